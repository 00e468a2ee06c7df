// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unwinding out of a hook, by the tables (backtrace) and by frame pointers: both must come to the
 * callers of the hooked function, the nearest first.
 */
#include <execinfo.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <sidetrack/hook.h>

#if !defined(__aarch64__)
#error "AArch64"
#endif

static unsigned long wanted[3]; /* the return addresses, from the hooked function outwards */
static unsigned long hits, by_tables, by_frames;

/* All of them, in this order, with others between. */
static bool contains(void *const *frames, int n)
{
	int i, k = 0;

	for (i = 0; i < n && k < 3; i++)
		k += (unsigned long)frames[i] == wanted[k];
	return k == 3;
}

static void on_hit(struct st_hook *h, struct st_regs *regs, unsigned long ip,
		   unsigned long parent_ip)
{
	const unsigned long *record = __builtin_frame_address(0);
	void *frames[64];
	int n;

	(void)h, (void)regs, (void)ip;
	hits++;
	wanted[0] = parent_ip;
	by_tables += contains(frames, backtrace(frames, 64));
	for (n = 0; n < 64 && record; n++) {
		frames[n] = (void *)record[1];
		/* the chain goes up the stack */
		if (record[0] && record[0] <= (unsigned long)record)
			break;
		record = (const unsigned long *)record[0];
	}
	by_frames += contains(frames, n);
}

__attribute__((noipa, patchable_function_entry(1))) unsigned long nop(unsigned long x)
{
	return x + 1;
}

__attribute__((noipa, patchable_function_entry(0))) unsigned long move(unsigned long x)
{
	return nop(x) + 2;
}

__attribute__((noipa)) static unsigned long middle(unsigned long (*fn)(unsigned long),
						   unsigned long x)
{
	wanted[1] = (unsigned long)__builtin_return_address(0);
	return fn(x) + 1;
}

__attribute__((noipa)) static unsigned long outer(unsigned long (*fn)(unsigned long),
						  unsigned long x)
{
	wanted[2] = (unsigned long)__builtin_return_address(0);
	return middle(fn, x) + 1;
}

static int run(const char *name, unsigned long (*fn)(unsigned long), unsigned long want)
{
	struct st_hook hook = {.size = sizeof(hook), .func = on_hit};
	unsigned long i, got = 0;
	int ret;

	hits = by_tables = by_frames = 0;
	ret = st_hook_filter_ip(&hook, fn);
	if (!ret)
		ret = st_hook_register(&hook);
	if (ret != 1) {
		printf("%s: %d, %s\n", name, ret, st_hook_reason(&hook));
		return 1;
	}
	for (i = 0; i < 100; i++)
		got += outer(fn, i);
	st_hook_unregister(&hook);
	printf("%s: %lu hits, %lu unwound by tables, %lu by frame pointers\n", name, hits,
	       by_tables, by_frames);
	return got != want || hits != 100 || by_tables != 100 || by_frames != 100;
}

int main(void)
{
	return run("NOP site", nop, 4950 + 300) | run("moved", move, 4950 + 500);
}
