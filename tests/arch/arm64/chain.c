// SPDX-License-Identifier: GPL-2.0-only
/*
 * The static chain: GCC hands the frame of the enclosing function to a nested one in x18, and it
 * must get there through a hook that calls libc and vector code. Sites of both kinds; also a
 * redirect, which must keep x18 too.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sidetrack/hook.h>

#if !defined(__aarch64__) || defined(__clang__)
#error "GCC for AArch64"
#endif

static unsigned long hits, chains;
static volatile double sink;
static unsigned long redirect_to, hooked;

/* At a nested function: its chain is its caller's frame. */
static void on_hit(struct st_hook *h, struct st_regs *regs, unsigned long ip,
		   unsigned long parent_ip)
{
	char text[64];

	(void)h, (void)ip, (void)parent_ip;
	snprintf(text, sizeof(text), "%g %lu", sqrt((double)++hits), regs->regs[0]);
	sink = strtod(text, NULL);
	chains += regs->regs[18] - regs->sp < 65536;
	hooked = regs->pc;
	if (redirect_to)
		regs->pc = redirect_to;
}

static unsigned long enclosing(unsigned long a, unsigned long n)
{
	unsigned long b = 3 * a, i, sum = 0;

	__attribute__((noinline, noclone, noipa, patchable_function_entry(1))) unsigned long nop(
		unsigned long x)
	{
		b++;
		return x + a + b;
	}

	__attribute__((noinline, noclone, noipa, patchable_function_entry(0))) unsigned long move(
		unsigned long x)
	{
		b += 2;
		return x * a + b;
	}

	for (i = 0; i < n; i++)
		sum = sum * 31 + nop(i) + move(sum);
	return sum;
}

/* The same without nested functions. */
static unsigned long plain(unsigned long a, unsigned long n)
{
	unsigned long b = 3 * a, i, sum = 0, x, y;

	for (i = 0; i < n; i++) {
		b++;
		x = i + a + b;
		b += 2;
		y = sum * a + b;
		sum = sum * 31 + x + y;
	}
	return sum;
}

/* Where a redirect leads: returns what it finds in x18. */
unsigned long chain_of_callee(void);
asm(".text\n\t.type chain_of_callee, %function\nchain_of_callee:\n\tmov x0, x18\n\tret");

/* Calls the nested function as the compiler does, with a chain of the test's own. */
__attribute__((noipa)) static unsigned long call_with_chain(unsigned long fn, unsigned long chain)
{
	register unsigned long x18 asm("x18") = chain;
	unsigned long ret;

	asm volatile("blr %1\n\tmov %0, x0"
		     : "=r"(ret)
		     : "r"(fn), "r"(x18)
		     : "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11",
		       "x12", "x13", "x14", "x15", "x16", "x17", "x30", "memory", "cc");
	return ret;
}

static unsigned int failures;

__attribute__((format(printf, 2, 3))) static void expect(int ok, const char *fmt, ...)
{
	va_list ap;

	if (ok)
		return;
	failures++;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static void run(const char *glob, unsigned long sites)
{
	static struct st_hook hook;
	unsigned long n = 500, got;
	int ret;

	memset(&hook, 0, sizeof(hook));
	hook.size = sizeof(hook);
	hook.func = on_hit;
	hook.flags = ST_HOOK_IPMODIFY;
	hits = chains = 0;
	st_hook_filter(&hook, glob);
	ret = st_hook_register(&hook);
	expect(ret == (int)sites, "%s: %d sites, %s", glob, ret, st_hook_reason(&hook));
	if (ret < 0)
		return;
	got = enclosing(7, n);
	expect(got == plain(7, n), "%s: the nested functions returned other values", glob);
	expect(hits == n * sites, "%s: %lu hits", glob, hits);
	expect(chains == hits, "%s: %lu of %lu static chains", glob, chains, hits);
	redirect_to = (unsigned long)chain_of_callee;
	expect(call_with_chain(hooked, 0x123456789abcul) == 0x123456789abcul, "%s: redirected",
	       glob);
	redirect_to = 0;
	ret = st_hook_unregister(&hook);
	expect(!ret, "unregister: %d", ret);
	expect(enclosing(7, n) == plain(7, n), "%s: not as before", glob);
}

int main(void)
{
	run("*chain*:nop.*", 1);
	run("*chain*:move.*", 1);
	printf("%u failures\n", failures);
	return failures != 0;
}
