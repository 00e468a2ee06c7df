/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shadow variables (agent/shadow.c) as a patch sees them, linked into a program: the cases of the kernel's test_klp_shadow_vars; memory
 * that ends; threads and signal handlers that create and free the same variables all the time; a fork in between.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <agent/shadow.h>

static atomic_uint passed, failed;

#define CHECK(what) do { \
	if (what) { \
		passed++; \
	} else { \
		failed++; \
		printf("failed: line %d: %s\n", __LINE__, #what); \
	} \
} while (0)

/* As the tool does it (process/shadow.c). */
static void map_area(unsigned long size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	st_shadow_head(at, size);
	st_shadow_area = at;
}

static void unmap_area(void)
{
	munmap(st_shadow_area, st_shadow_area->size);
	st_shadow_area = NULL;
}

/* ---- the kernel's cases ---- */

static unsigned int ctors, dtors;

static int ctor(void *obj, void *shadow_data, void *ctor_data)
{
	(void)obj;
	ctors++;
	if (!ctor_data)
		return -EINVAL;
	*(void **)shadow_data = ctor_data;
	return 0;
}

static void dtor(void *obj, void *shadow_data)
{
	(void)obj;
	dtors += *(void **)shadow_data != NULL;
}

static void kernel_cases(void)
{
	enum { ID1 = 0x1234, ID2 = 0x1235 };
	int obj1, obj2, obj3, other, value1, value2, value3, value4, value5;
	int *const value[3] = { &value1, &value2, &value3 }, *const more[3] = { &value4, &value4, &value5 };
	void *const obj[3] = { &obj1, &obj2, &obj3 };
	void **sv[3], **sv2[3];

	/* Nothing is there yet, and nothing can be. */
	CHECK(!st_shadow_get(&obj1, ID1));
	CHECK(!st_shadow_alloc(&obj1, ID1, sizeof(void *), ctor, &value1) && !ctors);
	st_shadow_free(&obj1, ID1, dtor);
	st_shadow_free_all(ID1, dtor);
	map_area(ST_SHADOW_MAX);
	CHECK(!st_shadow_get(&obj1, ID1));

	/* Several of one id, and of one object. */
	for (int i = 0; i < 3; i++) {
		sv[i] = st_shadow_alloc(obj[i], ID1, sizeof(void *), ctor, value[i]);
		CHECK(sv[i] && !((unsigned long)sv[i] & 15));
		sv2[i] = st_shadow_alloc(obj[i], ID2, 5000, ctor, more[i]);
		CHECK(sv2[i] && !sv2[i][1] && !sv2[i][5000 / sizeof(void *) - 1]);
	}
	CHECK(ctors == 6);
	for (int i = 0; i < 3; i++) {
		CHECK(st_shadow_get(obj[i], ID1) == sv[i] && *sv[i] == value[i]);
		CHECK(st_shadow_get(obj[i], ID2) == sv2[i] && *sv2[i] == more[i]);
		CHECK(!st_shadow_get(obj[i], ID1 - 1) && !st_shadow_get((char *)obj[i] + 1, ID1));
	}
	CHECK(!st_shadow_get(&other, ID1));

	/* A second one of the same key: none; the first stays as it is, and no constructor runs. */
	CHECK(!st_shadow_alloc(obj[0], ID1, sizeof(void *), ctor, value[1]));
	CHECK(st_shadow_get_or_alloc(obj[1], ID1, sizeof(void *), ctor, value[0]) == sv[1] && *sv[1] == value[1]);
	CHECK(ctors == 6);
	/* And one that is made. */
	CHECK(st_shadow_get_or_alloc(&other, ID1, sizeof(void *), ctor, value[0]) == st_shadow_get(&other, ID1));
	CHECK(ctors == 7 && st_shadow_get(&other, ID1));

	/* Its constructor does not want it. */
	CHECK(!st_shadow_alloc(&value1, ID1, 64, ctor, NULL) && ctors == 8 && !st_shadow_get(&value1, ID1));
	CHECK(!st_shadow_get_or_alloc(&value1, ID1, 64, ctor, NULL) && ctors == 9 && !st_shadow_get(&value1, ID1));
	CHECK(st_shadow_alloc(&value1, ID1, 64, NULL, NULL) && ctors == 9);
	st_shadow_free(&value1, ID1, NULL);

	/* Freed, each with its destructor; those of the other id stay. */
	for (int i = 0; i < 3; i++) {
		st_shadow_free(obj[i], ID1, dtor);
		CHECK(!st_shadow_get(obj[i], ID1) && st_shadow_get(obj[i], ID2) == sv2[i]);
	}
	CHECK(dtors == 3);
	st_shadow_free(obj[0], ID1, dtor);
	CHECK(dtors == 3);
	st_shadow_free_all(ID2, dtor);
	CHECK(dtors == 6 && !st_shadow_get(obj[0], ID2) && !st_shadow_get(obj[2], ID2) && st_shadow_get(&other, ID1));
	st_shadow_free_all(ID1, NULL);
	CHECK(dtors == 6 && !st_shadow_get(&other, ID1));
	st_shadow_free_all(ID1, dtor);
	CHECK(dtors == 6);

	/* Memory that is used again is zero again. */
	memset(st_shadow_alloc(&obj1, 1, 4096, NULL, NULL), 0xff, 4096);
	st_shadow_free(&obj1, 1, NULL);
	sv[0] = st_shadow_alloc(&obj2, 2, 4096, NULL, NULL);
	for (unsigned int i = 0; i < 4096 / sizeof(void *); i++)
		if (sv[0][i]) {
			failed++;
			puts("failed: memory that is not zero");
			break;
		}
	unmap_area();
}

/* The memory ends, and what was given back can be had again, also where pieces of that size have all been used up. */
static void memory_ends(void)
{
	unsigned long n = 0, again = 0;

	map_area(ST_SHADOW_MIN);
	CHECK(!st_shadow_alloc((void *)1, 0, ST_SHADOW_MIN, NULL, NULL) && !st_shadow_alloc((void *)1, 0, -1ul, NULL, NULL));
	while (st_shadow_alloc((void *)(n * 16), 1, 1024, NULL, NULL))
		n++;
	CHECK(n > 500);
	while (st_shadow_alloc((void *)(again++ * 16), 2, 16, NULL, NULL))
		;
	CHECK(!st_shadow_get_or_alloc(&n, 1, 16, NULL, NULL));
	for (unsigned long i = 0; i < n; i++)
		if (!st_shadow_get((void *)(i * 16), 1))
			failed++;
	st_shadow_free_all(1, NULL);
	for (again = 0; st_shadow_alloc((void *)(again * 16), 3, 1000, NULL, NULL);)
		again++;
	/* The table needs some of it, too. */
	CHECK(again > n / 4 * 3);
	st_shadow_free_all(3, NULL);
	CHECK(st_shadow_alloc((void *)16, 3, 20, NULL, NULL));
	unmap_area();
}

/* From a constructor or a destructor of the same variable, as a signal handler may: no waiting. */
static int inner_ctor(void *obj, void *shadow_data, void *ctor_data)
{
	(void)shadow_data;
	CHECK(!st_shadow_get(obj, 7) && !st_shadow_get_or_alloc(obj, 7, 16, NULL, NULL) && !st_shadow_alloc(obj, 7, 16, NULL, NULL));
	st_shadow_free(obj, 7, NULL);
	CHECK(st_shadow_get_or_alloc(obj, 8, 16, NULL, NULL));
	return *(int *)ctor_data;
}

static void inner_dtor(void *obj, void *shadow_data)
{
	int fail = 0;

	inner_ctor(obj, shadow_data, &fail);
}

static void inside(void)
{
	int fail = 1;

	map_area(ST_SHADOW_MIN);
	CHECK(!st_shadow_alloc(&fail, 7, 16, inner_ctor, &fail));
	fail = 0;
	CHECK(st_shadow_alloc(&fail, 7, 16, inner_ctor, &fail));
	st_shadow_free(&fail, 7, inner_dtor);
	CHECK(!st_shadow_get(&fail, 7) && st_shadow_get(&fail, 8));
	unmap_area();
}

/* ---- many at once ---- */

#define KEYS 24
#define THREADS 6

static atomic_int there[KEYS];		/* 1 from the constructor to the destructor */
static atomic_ulong made, gone, none;
static atomic_int done;
static bool signals;
static unsigned long rounds = 150000;
static char objects[KEYS * 16];

static unsigned long size_of(unsigned long key)
{
	return 16 + (key * 37 & 255) * 8;
}

static int storm_ctor(void *obj, void *shadow_data, void *ctor_data)
{
	unsigned long key = (unsigned long)((char *)obj - objects) / 16, *word = shadow_data;

	(void)ctor_data;
	if (atomic_exchange(&there[key], 1)) {
		failed++;
		puts("failed: two of one key");
	}
	for (unsigned long i = 0; i < size_of(key) / sizeof(*word); i++) {
		if (word[i]) {
			failed++;
			puts("failed: memory that is not zero, or in use");
			break;
		}
		word[i] = key + 1;
	}
	/* Now and then it does not want it. */
	if (atomic_fetch_add(&made, 1) % 16 == 0) {
		for (unsigned long i = 0; i < size_of(key) / sizeof(*word); i++)
			word[i] = 0x5555;
		atomic_store(&there[key], 0);
		return 1;
	}
	return 0;
}

static void storm_dtor(void *obj, void *shadow_data)
{
	unsigned long key = (unsigned long)((char *)obj - objects) / 16, *word = shadow_data;

	for (unsigned long i = 0; i < size_of(key) / sizeof(*word); i++)
		if (word[i] != key + 1) {
			failed++;
			puts("failed: somebody else has written there");
			break;
		}
	gone++;
	if (!atomic_exchange(&there[key], 0)) {
		failed++;
		puts("failed: freed twice");
	}
}

static void act(unsigned int *seed)
{
	unsigned int r = rand_r(seed);
	unsigned long key = r / 16 % KEYS;
	void *obj = objects + key * 16;

	switch (r % 16) {
	case 0 ... 4:
		if (!st_shadow_get_or_alloc(obj, key & 1, size_of(key), storm_ctor, NULL))
			none++;
		break;
	case 5 ... 6:
		st_shadow_alloc(obj, key & 1, size_of(key), storm_ctor, NULL);
		break;
	case 7 ... 10:
		st_shadow_free(obj, key & 1, storm_dtor);
		break;
	case 11:
		if (r / 1024 % 8 == 0)
			st_shadow_free_all(key & 1, storm_dtor);
		break;
	default:
		st_shadow_get(obj, key & 1);
		break;
	}
}

static void on_signal(int sig)
{
	static atomic_uint n;
	unsigned int seed = atomic_fetch_add(&n, 1) * 2654435761u;
	int err = errno;

	(void)sig;
	for (int i = 0; i < 3; i++)
		act(&seed);
	errno = err;
}

static void *storm(void *arg)
{
	unsigned int seed = (unsigned int)(unsigned long)arg;

	/* This one is nobody else's. */
	for (unsigned long i = 0; i < rounds; i++) {
		act(&seed);
		if (i % 64)
			continue;
		if (!st_shadow_alloc(arg, 99, 40, NULL, NULL) || !st_shadow_get(arg, 99)) {
			failed++;
			puts("failed: a thread's own variable");
		}
		st_shadow_free(arg, 99, NULL);
	}
	done++;
	return NULL;
}

/* A child that a fork has made in the middle of it ends, whatever the other threads had in hand. */
static void fork_once(void)
{
	unsigned int seed = 1;
	int status = -1;
	pid_t child = fork();

	if (!child) {
		for (unsigned long key = 0; key < KEYS; key++)
			st_shadow_get_or_alloc(objects + key * 16, key & 1, 16, NULL, NULL);
		for (int i = 0; i < 100; i++)
			st_shadow_get(objects + rand_r(&seed) % KEYS * 16, 0);
		_exit(0);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	CHECK(!status);
}

static void *disturb(void *arg)
{
	pthread_t *thread = arg;
	struct timespec nap = { 0, 50000 };

	for (unsigned int i = 0; done < THREADS; i++) {
		if (signals)
			pthread_kill(thread[i % THREADS], SIGUSR1);
		nanosleep(&nap, NULL);
	}
	return NULL;
}

static void many(bool with_signals)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	pthread_t thread[THREADS], other;
	long left = 0;

	map_area(ST_SHADOW_MAX);
	made = gone = none = 0;
	done = 0;
	signals = with_signals;
	sigaction(SIGUSR1, &sa, NULL);
	for (unsigned long i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, storm, (void *)(i * 7919 + 1));
	pthread_create(&other, NULL, disturb, thread);
	for (int i = 0; with_signals && i < 5; i++)
		fork_once();
	/* Threads that have ended may be sent signals until they are joined. */
	pthread_join(other, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (unsigned long key = 0; key < KEYS; key++)
		left += there[key];
	st_shadow_free_all(0, storm_dtor);
	st_shadow_free_all(1, storm_dtor);
	for (unsigned long key = 0; key < KEYS; key++)
		CHECK(!there[key] && !st_shadow_get(objects + key * 16, key & 1));
	printf("%s: %lu constructors, %lu destructors, %ld left at the end, %lu times none\n", with_signals ? "signals" : "threads",
	       (unsigned long)made, (unsigned long)gone, left, (unsigned long)none);
	CHECK(made > 1000 && gone > 1000);
	/* Memory is found again, not lost. */
	CHECK(st_shadow_area->used < st_shadow_area->size / 4);
	unmap_area();
}

int main(void)
{
	const char *is_long = getenv("SIDETRACK_LONG");

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (is_long && *is_long == '1')
		rounds *= 50;
	else if (sizeof(long) == 4 || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		rounds /= 3;
	kernel_cases();
	memory_ends();
	inside();
	many(false);
	many(true);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
