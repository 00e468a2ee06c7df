/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interleaved measuring: in each round every row takes one sample, in an order that rotates, so that what disturbs the
 * machine disturbs all rows alike. A row is printed as one line of JSON, which table.py reads.
 */
#ifndef ST_BENCH_H
#define ST_BENCH_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BENCH_ROUNDS_MAX 8192

struct bench_row {
	const char *name;
	long (*loop)(long calls);
	long calls;		/* a sample */
	double *sample;		/* ns a call */
};

static inline uint64_t bench_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* To one CPU, before others as far as we may. */
static inline void bench_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		perror("sched_setaffinity");
	setpriority(PRIO_PROCESS, 0, -10);	/* an ordinary user may not: then without */
}

/* A child, the tool, may attach. */
static inline void bench_traced(void)
{
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
}

/* sidetrack patch VERB [OPTION] PATCH, to process @pid, at nobody's cost but the machine's. */
static inline bool bench_tool_on(pid_t pid, const char *tool, const char *verb, const char *patch, const char *option)
{
	char number[16];
	int status;
	pid_t child;

	snprintf(number, sizeof(number), "%d", (int)pid);
	child = fork();
	if (!child) {
		const char *argv[12] = { tool, "patch", verb, "-p", number, "--timeout", "30s", patch };
		int n = 8;

		if (!strcmp(verb, "apply"))
			argv[n++] = "--allow-unsigned";
		argv[n] = option;
		if (!freopen("/dev/null", "w", stdout))
			_exit(1);
		execv(tool, (char **)argv);
		_exit(127);
	}
	return waitpid(child, &status, 0) == child && !status;
}

static inline bool bench_tool(const char *tool, const char *verb, const char *patch, const char *option)
{
	return bench_tool_on(getpid(), tool, verb, patch, option);
}

static inline int bench_order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static inline void bench_print(const char *name, double *sample, int n)
{
	qsort(sample, (size_t)n, sizeof(*sample), bench_order);
	printf("{\"row\": \"%s\", \"min\": %.4f, \"med\": %.4f, \"p99\": %.4f, \"p999\": %.4f, \"max\": %.4f, \"n\": %d}\n", name,
	       sample[0], sample[n / 2], sample[(n - 1) * 99L / 100], sample[(n - 1) * 999L / 1000], sample[n - 1], n);
	fflush(stdout);
}

static inline void bench_run(struct bench_row *row, int rows, int rounds)
{
	volatile long sink = 0;

	if (rounds > BENCH_ROUNDS_MAX)
		rounds = BENCH_ROUNDS_MAX;
	for (int i = 0; i < rows; i++)
		row[i].sample = calloc((size_t)rounds, sizeof(double));
	for (int k = 0; k < rounds; k++) {
		for (int i = 0; i < rows; i++) {
			struct bench_row *r = &row[(i + k) % rows];
			uint64_t start;

			sink += r->loop(r->calls / 16 + 1);	/* caches and predictors */
			start = bench_ns();
			sink += r->loop(r->calls);
			r->sample[k] = (double)(bench_ns() - start) / (double)r->calls;
		}
	}
	for (int i = 0; i < rows; i++)
		bench_print(row[i].name, row[i].sample, rounds);
}

#endif
