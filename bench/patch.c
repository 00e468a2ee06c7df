/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the threads of a program see of a live patch. Usage: patch TOOL PATCH.so THREADS ROUNDS
 *
 * The tool applies PATCH.so to this program, and reverts it, ROUNDS times. Each of THREADS threads calls the function all the time (with
 * more than a few: each now and then) and keeps its longest gap between two calls of a round; beside them a round in which nothing
 * is done, for what the machine does by itself. One row of JSON for each: the longest gap of any thread, over the rounds.
 */
#include <pthread.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

#define THREADS_MAX 100

__attribute__((noipa)) long patched(long a)
{
	return a + 1;
}

static volatile int ended;
static struct {
	uint64_t longest;
	char pad[56];
} seen[THREADS_MAX];
static int threads;

static void *call_all(void *arg)
{
	uint64_t *longest = arg, before = bench_ns();
	volatile long sink = 0;

	while (!ended) {
		uint64_t now;

		for (int i = 0; i < 50; i++)
			sink += patched(i);
		now = bench_ns();
		if (now - before > __atomic_load_n(longest, __ATOMIC_RELAXED))
			__atomic_store_n(longest, now - before, __ATOMIC_RELAXED);
		if (threads > 2) {
			struct timespec nap = { 0, 2000000 };

			nanosleep(&nap, NULL);
			now = bench_ns();
		}
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

static bool run(char *const *argv)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (!freopen("/dev/null", "w", stdout))
			_exit(1);
		execv(argv[0], argv);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && !status;
}

int main(int argc, char **argv)
{
	static double apply[BENCH_ROUNDS_MAX], revert[BENCH_ROUNDS_MAX], none[BENCH_ROUNDS_MAX];
	char pid[16], name[64];
	pthread_t t;
	int rounds;

	if (argc != 5)
		return 2;
	threads = atoi(argv[3]);
	rounds = atoi(argv[4]);
	if (threads < 1 || threads > THREADS_MAX || rounds < 1 || rounds > BENCH_ROUNDS_MAX)
		return 2;
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	for (int i = 0; i < threads; i++)
		if (pthread_create(&t, NULL, call_all, &seen[i].longest))
			return 1;
	for (int i = -1; i < rounds; i++) {	/* the first one attaches */
		int k = i < 0 ? 0 : i;

		longest();
		usleep(50000);
		none[k] = longest();
		if (!run((char *[]){ argv[1], "patch", "apply", "-p", pid, "--allow-unsigned", "--timeout", "60s", argv[2], NULL }))
			return 1;
		apply[k] = longest();
		if (!run((char *[]){ argv[1], "patch", "revert", "-p", pid, "--timeout", "60s", "bench", NULL }))
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
