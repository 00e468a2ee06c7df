/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a call of a replaced function costs, when the patch has settled and while a transition lasts.
 * Usage: patch-change CPU ROUNDS TOOL SETTLED.so MOVING.so
 *
 * Both patches are applied to this very process. A thread of it stands in a function that MOVING.so replaces, so that transition lasts:
 * the thread runs the old functions, every other one the new ones. Each measures, one after the other, beside a plain call and the floor
 * of its own: the other one sleeps meanwhile.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>
#include "bench.h"
#include "micro.h"

#define CALLS 2000

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
LOOP(jump)
LOOP(settled)
LOOP(moving)

static struct bench_row rows_new[] = {
	{ .name = "change/plain", .loop = loop_plain, .calls = CALLS },
	{ .name = "change/jump", .loop = loop_jump, .calls = CALLS },
	{ .name = "change/settled", .loop = loop_settled, .calls = CALLS },
	{ .name = "change/floor_new", .loop = loop_floor_sahf, .calls = CALLS },
	{ .name = "change/new", .loop = loop_moving, .calls = CALLS },
}, rows_old[] = {
	{ .name = "change/plain_old", .loop = loop_plain, .calls = CALLS },
	{ .name = "change/floor_old", .loop = loop_floor_sahf, .calls = CALLS },
	{ .name = "change/old", .loop = loop_moving, .calls = CALLS },
};

static sem_t parked, go;
static int cpu, rounds;

/* Which version of MOVING.so's functions the thread runs. */
__attribute__((noipa)) long version(void)
{
	return 1;
}

static void expect(const char *who, long want)
{
	if (version() != want || loop_moving(1000) != loop_plain(1000)) {
		fprintf(stderr, "patch-change: the %s thread runs version %ld, not %ld\n", who, version(), want);
		exit(1);
	}
}

/* Replaced: who is in it is in the way. */
__attribute__((noipa)) long park(long a)
{
	sem_post(&parked);
	sem_wait(&go);
	expect("old", 1);
	bench_run(rows_old, 3, rounds);
	return a + version();
}

static void *stay(void *arg)
{
	(void)arg;
	bench_pin(cpu);
	park(1);
	return NULL;
}

/* A jump at jump() to where the settled patch's goes: how far that is counts. */
static void same_jump(void)
{
	const unsigned char *site = (const unsigned char *)settled;
	unsigned char *own = (unsigned char *)jump;
	void *page = (void *)((unsigned long)own & ~0xffful);
	int d;

	memcpy(&d, site + 1, sizeof(d));
	if (site[0] != 0xe9 || mprotect(page, 0x2000, PROT_READ | PROT_WRITE | PROT_EXEC)) {
		fprintf(stderr, "patch-change: settled() is not one jump\n");
		exit(1);
	}
	d += (int)(site - own);
	memcpy(own + 1, &d, sizeof(d));
	mprotect(page, 0x2000, PROT_READ | PROT_EXEC);
}

int main(int argc, char **argv)
{
	pthread_t t;

	if (argc != 6)
		return 2;
	cpu = atoi(argv[1]);
	rounds = atoi(argv[2]);
	bench_traced();
	bench_pin(cpu);
	if (sem_init(&parked, 0, 0) || sem_init(&go, 0, 0) || pthread_create(&t, NULL, stay, NULL))
		return 1;
	sem_wait(&parked);
	if (!bench_tool(argv[3], "apply", argv[4], NULL) || !bench_tool(argv[3], "apply", argv[5], "--no-wait"))
		return 1;
	same_jump();
	expect("new", 2);
	bench_run(rows_new, 5, rounds);
	expect("new", 2);
	sem_post(&go);
	pthread_join(t, NULL);
	return 0;
}
