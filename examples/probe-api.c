/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Probes of a program on itself, by include/sidetrack/probe.h: one at the entry of a library's function, one at every
 * instruction of a function of its own, and a return probe that measures how long a function takes and changes what it returns.
 *
 *	cc -O2 -I include -o probe-api examples/probe-api.c build/engine/libsidetrack.a -lpthread && ./probe-api
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sidetrack/probe.h>

__attribute__((noipa)) static long sum_to(long n)
{
	long sum = 0;

	for (long i = 1; i <= n; i++)
		sum += i;
	return sum;
}

/* ---- a probe: who asks for how much memory? ---- */

static unsigned long asked;

static void on_malloc(struct st_probe *p, struct st_regs *regs)
{
	(void)p;
	asked += st_regs_argument(regs, 0);
}

/* ---- probes at instructions: how often does each run? ---- */

static void count(struct st_probe *p, struct st_regs *regs)
{
	(void)regs;
	++*(unsigned long *)p->data;
}

/* ---- a return probe with data for each call ---- */

static int started(struct st_return_instance *call, struct st_regs *regs)
{
	if (st_regs_argument(regs, 0) < 10)
		return 1;	/* of no interest */
	clock_gettime(CLOCK_MONOTONIC, call->data);
	return 0;
}

static unsigned long took;

static void returned(struct st_return_instance *call, struct st_regs *regs)
{
	struct timespec now, *start = call->data;

	clock_gettime(CLOCK_MONOTONIC, &now);
	took = (unsigned long)((now.tv_sec - start->tv_sec) * 1000000000 + now.tv_nsec - start->tv_nsec);
#if defined(__x86_64__)
	regs->ax = (unsigned long)-(long)regs->ax;
#elif defined(__aarch64__)
	regs->regs[0] = (unsigned long)-(long)regs->regs[0];
#else
	regs->r[0] = (unsigned long)-(long)regs->r[0];
#endif
}

#define MOST 256

int main(void)
{
	struct st_probe m = { .size = sizeof(m), .symbol = "malloc", .handler = on_malloc };
	struct st_return_probe r = { .size = sizeof(r), .symbol = "sum_to", .entry_handler = started, .handler = returned,
		.data_size = sizeof(struct timespec) };
	static struct st_probe at[MOST];
	static unsigned long hits[MOST];
	unsigned int n = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("probes of this program on itself");
	if (st_probe_register(&m)) {
		printf("malloc: %s\n", st_probe_reason(&m));
		return 1;
	}
	for (unsigned int i = 0; i < 3; i++) {
		void *volatile memory = malloc(1000);

		free(memory);
	}
	printf("malloc was asked for %lu bytes\n", asked);
	st_probe_unregister(&m);

	/* Not every offset is an instruction; the engine knows, and says so. */
	for (size_t offset = 0; n < MOST && offset < MOST; offset++) {
		at[n] = (struct st_probe){ .size = sizeof(at[n]), .symbol = "sum_to", .offset = offset, .handler = count,
			.data = &hits[n], .flags = ST_PROBE_DISABLED };
		/* Refused at once: behind the end of the function, or on ARM no instruction can be there. */
		if (st_probe_register(&at[n]) || st_probe_enable(&at[n]))
			st_probe_unregister(&at[n]);
		else
			n++;
	}
	if (sum_to(100) != 5050)
		return 1;
	for (unsigned int i = 0; i < n; i++) {
		printf("sum_to+%zu %s: %lu\n", at[i].offset, st_probe_kind(&at[i]), hits[i]);
		st_probe_unregister(&at[i]);
	}

	if (st_return_probe_register(&r)) {
		printf("sum_to: %s\n", st_return_probe_reason(&r));
		return 1;
	}
	printf("sum_to(3) = %ld, sum_to(100) = %ld\n", sum_to(3), sum_to(100));
	st_return_probe_unregister(&r);
	printf("sum_to(100) = %ld; it took some time: %s\n", sum_to(100), took ? "yes" : "no");
	return 0;
}
