// SPDX-License-Identifier: GPL-2.0-only
/*
 * What one call of a probed function costs: by include/sidetrack/probe.h in this process, and by the tool from outside, beside a plain
 * call and the bare round trip of a breakpoint.
 *
 *	probe CPU ROUNDS [TOOL]
 */
#include <signal.h>
#include <sidetrack/probe.h>
#include "attached.h"
#include "bench.h"

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

LOOP(probe_plain)
LOOP(probe_own)
LOOP(probe_inside)
LOOP(probe_trap)
LOOP(probe_return)
LOOP(probe_attached)
LOOP(probe_three)
LOOP(probe_return_attached)
LOOP(probe_bare)
extern char probe_inside_at[];

/* The least: a handler that returns. Behind the int3 is where the thread goes on. */
static void bare_handler(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	(void)context;
}

static long loop_bare(long n)
{
	struct sigaction sa = { .sa_sigaction = bare_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART }, old;
	long a;

	sigaction(SIGTRAP, &sa, &old);
	a = loop_probe_bare(n);
	sigaction(SIGTRAP, &old, NULL);
	return a;
}

static struct bench_row rows[] = {
	{ .name = "probe/plain", .loop = loop_probe_plain, .calls = 2000 },
	{ .name = "probe/own", .loop = loop_probe_own, .calls = 2000 },
	{ .name = "probe/inside", .loop = loop_probe_inside, .calls = 2000 },
	{ .name = "probe/return", .loop = loop_probe_return, .calls = 2000 },
	{ .name = "probe/bare", .loop = loop_bare, .calls = 400 },
	{ .name = "probe/trap", .loop = loop_probe_trap, .calls = 400 },
	{ .name = "probe/attached", .loop = loop_probe_attached, .calls = 2000 },
	{ .name = "probe/return_attached", .loop = loop_probe_return_attached, .calls = 2000 },
	{ .name = "probe/three", .loop = loop_probe_three, .calls = 500 },
};
enum { OWN = 6, ROWS = sizeof(rows) / sizeof(rows[0]) };

static unsigned long hits, returns;

static __attribute__((target("general-regs-only"))) void count(struct st_probe *p, struct st_regs *regs)
{
	(void)p;
	(void)regs;
	hits++;
}

static __attribute__((target("general-regs-only"))) void count_return(struct st_return_instance *i, struct st_regs *regs)
{
	(void)i;
	(void)regs;
	returns++;
}

static void put(struct st_probe *p, const void *at, const char *kind)
{
	*p = (struct st_probe){ .size = sizeof(*p), .addr = at, .handler = count, .flags = ST_PROBE_GENERAL_REGS };
	if (st_probe_register(p) || strcmp(st_probe_kind(p), kind)) {
		fprintf(stderr, "probe: %s%s, and not %s\n", st_probe_reason(p), st_probe_kind(p), kind);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	static struct st_probe own, inside, trap;
	static struct st_return_probe back = { .size = sizeof(back), .symbol = "probe_return", .handler = count_return,
		.flags = ST_PROBE_GENERAL_REGS };
	int n = OWN, rounds = argc > 2 ? atoi(argv[2]) : 200;
	struct bench_tool tool[3] = { 0 };
	unsigned long warm = 0;
	long want;

	want = loop_probe_plain(1000);
	if (argc > 3) {
		static const struct {
			const char *option, *spec;
			long (*fn)(long, long);
		} from_outside[] = {
			{ "-c", "p:own probe:probe_attached", probe_attached },
			{ "-c", "r:back probe:probe_return_attached", probe_return_attached },
			{ NULL, "p:three probe:probe_three a=$arg1 b=$arg2 c=$arg3", probe_three },
		};

		for (int i = 0; i < 3; i++) {
			if (bench_tool_start(&tool[i], argv[3], from_outside[i].option, from_outside[i].spec,
					     (void *)from_outside[i].fn))
				rows[n++] = rows[OWN + i];
			else
				printf("{\"row\": \"%s\", \"unavailable\": \"the tool did not put the probe in place\"}\n",
				       rows[OWN + i].name);
		}
	}
	bench_pin(argc > 1 ? atoi(argv[1]) : 0);
	put(&own, (void *)probe_own, "move");
	put(&inside, probe_inside_at, "move");
	put(&trap, (char *)probe_trap + 9, "breakpoint");
	if (st_return_probe_register(&back)) {
		fprintf(stderr, "probe: %s\n", st_return_probe_reason(&back));
		return 1;
	}
	for (int i = 0; i < n; i++) {
		if (rows[i].loop(1000) != want) {
			fprintf(stderr, "%s returns something else\n", rows[i].name);
			return 1;
		}
	}
	if (hits != 3000 || returns != 1000) {
		fprintf(stderr, "probe: %lu hits, %lu returns\n", hits, returns);
		return 1;
	}
	if (tool[2].pid)
		warm = bench_ring_warm(loop_probe_three);
	bench_run(rows, n, rounds);
	for (int i = 0; i < 2; i++)
		bench_tool_stop(&tool[i]);
	if (tool[2].pid)
		bench_ring_note("probe/three", warm, rows[n - 1].calls, rounds, bench_tool_stop(&tool[2]));
	return 0;
}
