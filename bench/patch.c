/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the threads of a program see of a live patch. Usage: patch TOOL PATCH.so THREADS ROUNDS
 *
 * The tool applies PATCH.so to this program, and reverts it, ROUNDS times. A single thread calls the function all the time, and its pause
 * is a gap between two calls. With more of them each sleeps 20 ms, and calls: its pause is what it comes too late. Beside them a round
 * in which nothing is done for as long as an apply takes, for what the machine does by itself. One row of JSON for each: the longest
 * pause of any thread in a round, over the rounds.
 *
 * A thread that sleeps has cleared the stack below it first. Else what a call has left there stands in gaps of the sleep's frames, and
 * the tool has to find the thread at the same place twice, to show that it is nothing: on a loaded machine it may not within 20 ms.
 */
#include <pthread.h>
#include "bench.h"

#define THREADS_MAX 100
#define NAP_NS 20000000

__attribute__((noipa)) long patched(long a)
{
	return a + 1;
}

/* What returned calls left on the stack. */
__attribute__((noipa)) static void clear_stack(void)
{
	volatile char gone[4096];

	for (size_t i = 0; i < sizeof(gone); i++)
		gone[i] = 0;
}

/* From deeper than the gap that clear_stack() leaves above its array. */
__attribute__((noipa)) static void call_some(void)
{
	volatile long sink[16] = { 0 };

	for (int i = 0; i < 50; i++)
		sink[i % 16] = patched(sink[(i + 1) % 16]);
}

static volatile int ended;
static struct {
	uint64_t longest;
	char pad[56];
} seen[THREADS_MAX];
static int threads;

static void *call_all(void *arg)
{
	uint64_t *longest = arg, before = bench_ns(), nap = threads > 1 ? NAP_NS : 0;
	static const struct timespec t = { 0, NAP_NS };

	while (!ended) {
		uint64_t now;

		if (nap) {
			clear_stack();
			nanosleep(&t, NULL);
		}
		call_some();
		now = bench_ns();
		if (now - before > nap && now - before - nap > __atomic_load_n(longest, __ATOMIC_RELAXED))
			__atomic_store_n(longest, now - before - nap, __ATOMIC_RELAXED);
		before = now;
	}
	return NULL;
}

/* In ms, since the last time. */
static double longest(void)
{
	uint64_t most = 0;

	for (int i = 0; i < threads; i++) {
		uint64_t t = __atomic_exchange_n(&seen[i].longest, 0, __ATOMIC_RELAXED);

		most = t > most ? t : most;
	}
	return (double)most / 1e6;
}

int main(int argc, char **argv)
{
	static double apply[BENCH_ROUNDS_MAX], revert[BENCH_ROUNDS_MAX], none[BENCH_ROUNDS_MAX];
	uint64_t start, took = 50000000;
	char name[64];
	pthread_t t;
	int rounds;

	if (argc != 5)
		return 2;
	threads = atoi(argv[3]);
	rounds = atoi(argv[4]);
	if (threads < 1 || threads > THREADS_MAX || rounds < 1 || rounds > BENCH_ROUNDS_MAX)
		return 2;
	bench_traced();
	for (int i = 0; i < threads; i++)
		if (pthread_create(&t, NULL, call_all, &seen[i].longest))
			return 1;
	for (int i = -1; i < rounds; i++) {	/* the first one attaches */
		int k = i < 0 ? 0 : i;

		longest();
		usleep((useconds_t)(took / 1000));
		none[k] = longest();
		start = bench_ns();
		if (!bench_tool(argv[1], "apply", argv[2], NULL))
			return 1;
		took = bench_ns() - start;
		apply[k] = longest();
		if (!bench_tool(argv[1], "revert", "bench", NULL))
			return 1;
		revert[k] = longest();
	}
	ended = 1;
	snprintf(name, sizeof(name), "patch/none_%d", threads);
	bench_print(name, none, rounds);
	snprintf(name, sizeof(name), "patch/apply_%d", threads);
	bench_print(name, apply, rounds);
	snprintf(name, sizeof(name), "patch/revert_%d", threads);
	bench_print(name, revert, rounds);
	return 0;
}
