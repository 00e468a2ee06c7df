// SPDX-License-Identifier: GPL-2.0-only
/*
 * One process in which peers are measured beside the floor and our hook: each row is a function that one of them probes.
 *
 *	peers CPU ROUNDS ROW…
 *
 * Says "ready" on stderr when our hook is in place, and starts measuring at the first line on stdin: until then the
 * peer has time to attach.
 */
#include <stdbool.h>
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
LOOP(uprobe_nop)
LOOP(uprobe_push)
LOOP(uretprobe)
LOOP(uftraced)

#ifdef WITH_XRAY
LOOP(xrayed)
void xray_start(void);
#endif

static const struct bench_row all[] = {
	{ .name = "peers/plain", .loop = loop_plain, .calls = 2000 },
	{ .name = "peers/floor", .loop = loop_floor_sahf, .calls = 2000 },
	{ .name = "peers/sidetrack", .loop = loop_nop_general, .calls = 2000 },
	{ .name = "peers/uprobe_nop", .loop = loop_uprobe_nop, .calls = 200 },
	{ .name = "peers/uprobe_push", .loop = loop_uprobe_push, .calls = 200 },
	{ .name = "peers/uretprobe", .loop = loop_uretprobe, .calls = 200 },
	{ .name = "peers/uftrace", .loop = loop_uftraced, .calls = 200 },
#ifdef WITH_XRAY
	{ .name = "peers/xray", .loop = loop_xrayed, .calls = 2000 },
#endif
};

static struct st_hook hook = { .size = sizeof(hook), .func = hook_general, .flags = ST_HOOK_GENERAL_REGS };

int main(int argc, char **argv)
{
	struct bench_row rows[sizeof(all) / sizeof(all[0])];
	int n = 0, rounds = argc > 2 ? atoi(argv[2]) : 100;
	long want = loop_plain(100);

	bench_pin(argc > 1 ? atoi(argv[1]) : 0);
	if (st_hook_filter_ip(&hook, nop_general) || st_hook_register(&hook) != 1) {
		fprintf(stderr, "%s\n", st_hook_reason(&hook));
		return 1;
	}
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		bool asked = i < 3;

		for (int k = 3; k < argc; k++)
			asked |= !strcmp(argv[k], all[i].name);
		if (asked)
			rows[n++] = all[i];
	}
#ifdef WITH_XRAY
	for (int i = 0; i < n; i++)
		if (rows[i].loop == loop_xrayed)
			xray_start();
#endif
	fprintf(stderr, "ready\n");
	getchar();
	for (int i = 0; i < n; i++)
		if (rows[i].loop(100) != want)
			return 1;
	bench_run(rows, n, rounds);
	return 0;
}
