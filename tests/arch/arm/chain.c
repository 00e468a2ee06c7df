// SPDX-License-Identifier: GPL-2.0-only
/*
 * The static chain: GCC hands the frame of the enclosing function to a nested one in r12 (ip), and
 * it must get there through a hook that calls libc and vector code. Sites of each kind, also behind
 * -pg; a redirect must keep r12 too. And out of a hook, an unwinder must come to the callers of the
 * hooked function.
 */
#include <execinfo.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sidetrack/hook.h>

/* -fpatchable-function-entry counts instructions; a Thumb site wants two of its NOPs */
#ifdef __thumb__
#define NOPS 2
#else
#define NOPS 1
#endif
#define nested(n) __attribute__((noinline, noclone, noipa, patchable_function_entry(n)))

static unsigned long hits, chains, unwound, failures;
static unsigned long redirect_to, hooked;
static volatile double sink;
static unsigned long
	wanted[2]; /* return addresses: of the hooked function's caller, and of its caller */

__attribute__((format(printf, 2, 3))) static void expect(int ok, const char *fmt, ...)
{
	va_list ap;

	if (ok)
		return;
	failures++;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* At a nested function: its chain is its caller's frame. */
static void on_hit(struct st_hook *h, struct st_regs *regs, unsigned long ip,
		   unsigned long parent_ip)
{
	void *frames[32];
	char text[64];
	int n, i, found = 0;

	(void)h;
	(void)ip;
	snprintf(text, sizeof(text), "%g %lu", sqrt((double)++hits), regs->r[0]);
	sink = strtod(text, NULL);
	chains += regs->ip - regs->sp < 65536;
	hooked = regs->pc | (regs->cpsr & ST_CPSR_T ? 1 : 0);
	wanted[0] = parent_ip;
	n = backtrace(frames, 32);
	for (i = 0; i < n && found < 2; i++)
		found += ((unsigned long)frames[i] | 1) == (wanted[found] | 1);
	unwound += found == 2;
	if (redirect_to)
		st_regs_set_pc(regs, redirect_to);
}

__attribute__((noipa)) static unsigned long enclosing(unsigned long a, unsigned long n)
{
	unsigned long b = 3 * a, i, sum = 0;

	nested(NOPS) unsigned long nop(unsigned long x)
	{
		b++;
		return x + a + b;
	}

	nested(0) unsigned long move(unsigned long x)
	{
		b += 2;
		return x * a + b;
	}

	wanted[1] = (unsigned long)__builtin_return_address(0);
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

/* Where a redirect leads, in either state: returns what it finds in r12. */
unsigned long chain_arm(void), chain_thumb(void);
__asm__(".pushsection .text\n\t.arm\n\t.p2align 2\n\t.type chain_arm, %function\nchain_arm:\n\tmov "
	"r0, r12\n\tbx lr\n\t"
	".thumb\n\t.type chain_thumb, %function\n\t.thumb_func\nchain_thumb:\n\tmov r0, r12\n\tbx "
	"lr\n\t.popsection");

/* Calls the nested function as the compiler does, with a chain of the test's own. */
__attribute__((noipa)) static unsigned long call_with_chain(unsigned long fn, unsigned long chain)
{
	register unsigned long r12 __asm__("r12") = chain;
	register unsigned long r0 __asm__("r0");

	__asm__ volatile("blx %1"
			 : "=r"(r0)
			 : "r"(fn), "r"(r12)
			 : "r1", "r2", "r3", "lr", "memory", "cc");
	return r0;
}

static void run(const char *glob)
{
	static struct st_hook hook;
	unsigned long n = 500, got;
	int ret;

	memset(&hook, 0, sizeof(hook));
	hook.size = sizeof(hook);
	hook.func = on_hit;
	hook.flags = ST_HOOK_IPMODIFY;
	hits = chains = unwound = 0;
	st_hook_filter(&hook, glob);
	ret = st_hook_register(&hook);
	expect(ret == 1, "%s: %d sites, %s", glob, ret, st_hook_reason(&hook));
	if (ret < 0)
		return;
	got = enclosing(7, n);
	expect(got == plain(7, n), "%s: the nested functions returned other values", glob);
	expect(hits == n, "%s: %lu hits", glob, hits);
	expect(chains == hits, "%s: %lu of %lu static chains", glob, chains, hits);
	expect(unwound == hits, "%s: %lu of %lu unwound", glob, unwound, hits);
	redirect_to = (unsigned long)chain_arm;
	expect(call_with_chain(hooked, 0x12345678) == 0x12345678, "%s: redirected to A32", glob);
	redirect_to = (unsigned long)chain_thumb;
	expect(call_with_chain(hooked, 0x12345678) == 0x12345678, "%s: redirected to T32", glob);
	redirect_to = 0;
	ret = st_hook_unregister(&hook);
	expect(!ret, "unregister: %d", ret);
	expect(enclosing(7, n) == plain(7, n), "%s: not as before", glob);
}

int main(void)
{
	run("*chain*:nop.*");
	run("*chain*:move.*");
	printf("%s\n", failures ? "FAIL" : "ok");
	return failures != 0;
}
