/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads that call a function as often as they can: `hammer THREADS CALLS`, or until SIGTERM with 0 CALLS. Its exit status says
 * whether every call returned what it should; `done CALLS` is the last that it prints.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static volatile sig_atomic_t stop;
static long calls;

__attribute__((noipa)) long hit(long n)
{
	return n ^ 0x55;
}

static void end(int sig)
{
	(void)sig;
	stop = 1;
}

struct one {
	pthread_t thread;
	long done, bad;
};

static void *run(void *arg)
{
	struct one *one = arg;

	while (!stop && (!calls || one->done < calls)) {
		one->bad += hit(one->done) != (one->done ^ 0x55);
		one->done++;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 4, i, done = 0, bad = 0;
	struct one *one = calloc((size_t)n, sizeof(*one));

	calls = argc > 2 ? atol(argv[2]) : 0;
	signal(SIGTERM, end);
	signal(SIGINT, SIG_IGN);
	puts("ready");
	fflush(stdout);
	for (i = 0; i < n; i++)
		pthread_create(&one[i].thread, NULL, run, &one[i]);
	for (i = 0; i < n; i++) {
		pthread_join(one[i].thread, NULL);
		done += one[i].done;
		bad += one[i].bad;
	}
	printf("done %ld\n", done);
	return bad != 0;
}
