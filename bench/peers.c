// SPDX-License-Identifier: GPL-2.0-only
/*
 * One process in which peers are measured beside the floor and our hook: each row is a function that one of them probes.
 *
 *	peers CPU ROUNDS TOOL ROW…
 *
 * ROW of all[]; the first three are always measured. Those of our probes are put in place by TOOL, from outside.
 *
 * Says "ready" on stderr when our hook is in place, and starts measuring at the first line on stdin: until then the
 * peer has time to attach.
 */
#include <stdbool.h>
#include "attached.h"
#include "bench.h"
#include "micro.h"

#define LOOP(fn)                                                                                   \
	long fn(long a, long b);                                                                   \
	static long __attribute__((noinline, aligned(64))) loop_##fn(long n)                       \
	{                                                                                          \
		long a = 0;                                                                        \
                                                                                                   \
		for (long i = 0; i < n; i++)                                                       \
			a = fn(a, i);                                                              \
		return a;                                                                          \
	}

LOOP(plain)
LOOP(floor_sahf)
LOOP(nop_general)
LOOP(probe_count)
LOOP(probe_return)
LOOP(probe_three)
LOOP(uprobe_nop)
LOOP(uprobe_push)
LOOP(uprobe_step)
LOOP(uretprobe)
LOOP(gdb_ftrace)
LOOP(gdb_regs)
LOOP(uftraced)

#ifdef WITH_XRAY
LOOP(xrayed)
void xray_start(void);
#endif

static const struct bench_row all[] = {
	{ .name = "peers/plain", .loop = loop_plain, .calls = 2000 },
	{ .name = "peers/floor", .loop = loop_floor_sahf, .calls = 2000 },
	{ .name = "peers/sidetrack", .loop = loop_nop_general, .calls = 2000 },
	{ .name = "peers/count", .loop = loop_probe_count, .calls = 2000 },
	{ .name = "peers/return", .loop = loop_probe_return, .calls = 2000 },
	{ .name = "peers/three", .loop = loop_probe_three, .calls = 500 },
	{ .name = "peers/uprobe_nop", .loop = loop_uprobe_nop, .calls = 200 },
	{ .name = "peers/uprobe_push", .loop = loop_uprobe_push, .calls = 200 },
	{ .name = "peers/uprobe_step", .loop = loop_uprobe_step, .calls = 50 },
	{ .name = "peers/uretprobe", .loop = loop_uretprobe, .calls = 200 },
	{ .name = "peers/gdb_ftrace", .loop = loop_gdb_ftrace, .calls = 2000 },
	{ .name = "peers/gdb_regs", .loop = loop_gdb_regs, .calls = 500 },
	{ .name = "peers/uftrace", .loop = loop_uftraced, .calls = 200 },
#ifdef WITH_XRAY
	{ .name = "peers/xray", .loop = loop_xrayed, .calls = 2000 },
#endif
};

static struct st_hook hook = { .size = sizeof(hook), .func = hook_general, .flags = ST_HOOK_GENERAL_REGS };

/* What the tool puts in place. */
static struct {
	const char *row, *option, *spec;
	long (*fn)(long, long);
	long (*loop)(long);
	struct bench_tool tool;
} ours[] = {
	{ .row = "peers/count", .option = "-c", .spec = "p:count peers*:probe_count", .fn = probe_count, .loop = loop_probe_count },
	{ .row = "peers/return", .option = "-c", .spec = "r:back peers*:probe_return", .fn = probe_return,
	  .loop = loop_probe_return },
	{ .row = "peers/three", .spec = "p:three peers*:probe_three a=$arg1 b=$arg2 c=$arg3", .fn = probe_three,
	  .loop = loop_probe_three },
};

/* Where gdb stops the program, to ask what was traced. */
void measured(void);
void __attribute__((noinline)) measured(void)
{
	__asm__ volatile("" ::: "memory");
}

int main(int argc, char **argv)
{
	struct bench_row rows[sizeof(all) / sizeof(all[0])];
	int n = 0, rounds = argc > 2 ? atoi(argv[2]) : 100;
	long want = loop_plain(100), three_calls = 0;
	unsigned long warm = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		bool asked = i < 3;

		for (int k = 4; k < argc; k++)
			asked |= !strcmp(argv[k], all[i].name);
		for (size_t k = 0; asked && k < sizeof(ours) / sizeof(ours[0]); k++) {
			if (strcmp(ours[k].row, all[i].name))
				continue;
			asked = bench_tool_start(&ours[k].tool, argv[3], ours[k].option, ours[k].spec, (void *)ours[k].fn);
			if (!asked)
				printf("{\"row\": \"%s\", \"unavailable\": \"the tool did not put the probe in place\"}\n",
				       ours[k].row);
		}
		if (asked)
			rows[n++] = all[i];
	}
	bench_pin(argc > 1 ? atoi(argv[1]) : 0);
	if (st_hook_filter_ip(&hook, nop_general) || st_hook_register(&hook) != 1) {
		/* The thread of gdbserver's library has all signals blocked. Then without the row, which is the third. */
		fprintf(stderr, "%s\n", st_hook_reason(&hook));
		memmove(&rows[2], &rows[3], (size_t)(--n - 2) * sizeof(rows[0]));
	}
#ifdef WITH_XRAY
	for (int i = 0; i < n; i++)
		if (rows[i].loop == loop_xrayed)
			xray_start();
#endif
	fprintf(stderr, "ready\n");
	getchar();
	for (int i = 0; i < n; i++) {
		if (rows[i].loop(100) != want)
			return 1;
		if (rows[i].loop == loop_probe_three) {
			three_calls = rows[i].calls;
			warm = bench_ring_warm(loop_probe_three);
		}
	}
	bench_run(rows, n, rounds);
	measured();
	for (size_t k = 0; k < sizeof(ours) / sizeof(ours[0]); k++) {
		unsigned long lost = bench_tool_stop(&ours[k].tool);

		if (ours[k].loop == loop_probe_three && warm)
			bench_ring_note("peers/three", warm, three_calls, rounds, lost);
	}
	return 0;
}
