/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads that end deep in calls: by pthread_exit(), cancelled while they wait, cancelled at any instruction; with clean-ups. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include "return.h"

static long cleaned;
static pthread_barrier_t ready;
static volatile long spun;

KEEP void cleanup(void *arg)
{
	__atomic_fetch_add(&cleaned, (long)arg, __ATOMIC_RELAXED);
}

KEEP long leave(long depth, long how)
{
	long got = 0;

	pthread_cleanup_push(cleanup, (void *)depth);
	if (depth) {
		got = leave(depth - 1, how) + 1;
	} else if (!how) {
		pthread_exit((void *)77);
	} else if (how == 1) {
		pthread_barrier_wait(&ready);
		for (;;)
			pause();
	} else {
		got = 3;
	}
	pthread_cleanup_pop(0);
	return got;
}

KEEP long spin(long n)
{
	spun++;
	return n ? spin(n - 1) + 1 : 1;
}

KEEP void *ends(void *arg)
{
	long n = (long)arg;

	return (void *)leave(n % 20, n % 3);
}

KEEP void *spins(void *arg)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	pthread_barrier_wait(&ready);
	for (;;)
		spin((long)arg);
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned long sum = 0;
	pthread_t t;
	void *got;

	(void)argv;
	return_wait(argc);
	pthread_barrier_init(&ready, NULL, 2);
	for (long n = 0; n < 300; n++) {
		pthread_create(&t, NULL, ends, (void *)n);
		if (n % 3 == 1) {
			pthread_barrier_wait(&ready);
			pthread_cancel(t);
		}
		pthread_join(t, &got);
		sum = sum * 3 + (got == PTHREAD_CANCELED ? 1000 : (unsigned long)got);
	}
	for (long n = 0; n < 20; n++) {
		pthread_create(&t, NULL, spins, (void *)n);
		pthread_barrier_wait(&ready);
		pthread_cancel(t);
		pthread_join(t, &got);
		sum += got == PTHREAD_CANCELED;
	}
	printf("%lu %ld\n", sum, cleaned);
	return 0;
}
