// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions that must change together, in three versions: first() calls second() and itself, and all of one activation have to be of one
 * version, whatever the moment, in threads, in signal handlers on top of them, and in children forked meanwhile. What is not is counted.
 *
 *	universes THREADS [signals] [churn] [fork] [sleep]
 *
 * Commands on stdin: c a child is forked, then a page mapped that it has not got; p a thread is parked in first(), u it goes on; at the end of stdin it says "ok ROUNDS MIXES".
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PLAIN, PARK = -1, FORK = -2 };

struct shared { unsigned long mixes, rounds, children, version[4], parked, child_mixes, page, child_rounds; };

struct shared *shared;
static volatile bool ending;
static bool sleeps;
static int door[2];
static __thread volatile long inside;
static pid_t home;

long first(long how), second(long how);

static void mix(void)
{
	__atomic_fetch_add(&shared->mixes, 1, __ATOMIC_RELAXED);
	if (getpid() != home)
		__atomic_fetch_add(&shared->child_mixes, 1, __ATOMIC_RELAXED);
}

static void in_child(long version)
{
	if (second(0) != version)
		mix();
}

static void fork_here(long version)
{
	pid_t child = fork();
	int status;

	if (!child) {
		in_child(version);
		return;		/* all the way out of it, then more: forker() */
	}
	waitpid(child, &status, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		mix();
	__atomic_fetch_add(&shared->children, 1, __ATOMIC_RELAXED);
}

static void park(void)
{
	char c;

	__atomic_store_n(&shared->parked, 1, __ATOMIC_RELEASE);
	while (read(door[0], &c, 1) < 0)
		;
	__atomic_store_n(&shared->parked, 0, __ATOMIC_RELEASE);
}

#define VERSION(n, first_n, second_n)							\
__attribute__((noipa)) long second_n(long how)						\
{											\
	if (inside && inside != n)							\
		mix();									\
	for (volatile int i = 0; i < 10; i++)						\
		;									\
	return n + 0 * how;								\
}											\
__attribute__((noipa)) long first_n(long how)						\
{											\
	long was = inside;								\
											\
	if (was && was != n)								\
		mix();									\
	inside = n;									\
	if (how == PARK)								\
		park();									\
	if (how == FORK)								\
		fork_here(n);								\
	if (second(how) != n)								\
		mix();									\
	if (how > 0 && first(how - 1) != n)						\
		mix();									\
	if (sleeps && how == 1)								\
		usleep(50);								\
	if (second(how) != n)								\
		mix();									\
	inside = was;									\
	return n;									\
}

VERSION(1, first, second)
VERSION(2, first_2, second_2)
VERSION(3, first_3, second_3)

/* What says that nothing is pending: it lies between two activations. */
__attribute__((noipa)) void st_quiescent(void)
{
	__asm__ volatile("nop; nop; nop; nop; nop; nop; nop; nop" ::: "memory");
}

static void on_signal(int sig)
{
	long is = inside, v;

	(void)sig;
	v = first(0);
	if (is && v != is)
		mix();
}

static void *work(void *arg)
{
	(void)arg;
	while (!ending) {
		long v = first(3);

		__atomic_fetch_add(&shared->version[v], 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&shared->rounds, 1, __ATOMIC_RELAXED);
		st_quiescent();
	}
	return NULL;
}

static void *brief(void *arg)
{
	for (int i = 0; i < 20; i++)
		first(1);
	return arg;
}

static void *churn(void *arg)
{
	while (!ending) {
		pthread_t t;

		if (!pthread_create(&t, NULL, brief, NULL))
			pthread_join(t, NULL);
	}
	return arg;
}

static void *forker(void *arg)
{
	pid_t me = getpid();

	while (!ending) {
		first(FORK);
		if (getpid() == me) {
			usleep(500);
			continue;
		}
		for (int i = 0; i < 300; i++)
			first(2);
		_exit(0);
	}
	return arg;
}

static void *parker(void *arg)
{
	first(PARK);
	return arg;
}

/* It lives as long as its parent does. */
static pid_t fork_early(void)
{
	pid_t child = fork();

	if (child) {
		shared->page = (unsigned long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		return child;
	}
	while (getppid() == home) {
		first(2);
		__atomic_fetch_add(&shared->child_rounds, 1, __ATOMIC_RELAXED);
		usleep(100);
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 1, used = 0;
	pthread_t thread[66];
	pid_t early = 0;
	char c;

	home = getpid();

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || pipe(door))
		return 2;
	for (int i = 2; i < argc; i++) {
		if (!strcmp(argv[i], "sleep"))
			sleeps = true;
		if (!strcmp(argv[i], "signals")) {
			struct itimerval it = { { 0, 300 }, { 0, 300 } };
			struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

			sigaction(SIGALRM, &sa, NULL);
			setitimer(ITIMER_REAL, &it, NULL);
		}
		if (!strcmp(argv[i], "churn"))
			pthread_create(&thread[used++], NULL, churn, NULL);
		if (!strcmp(argv[i], "fork"))
			pthread_create(&thread[used++], NULL, forker, NULL);
	}
	for (int i = 0; i < n && used < 64; i++)
		pthread_create(&thread[used++], NULL, work, NULL);
	if (write(1, "ready\n", 6) < 0)
		return 2;
	for (;;) {
		ssize_t got = read(0, &c, 1);

		if (!got)
			break;
		if (got < 0)
			continue;
		if (c == 'c')
			early = fork_early();
		if (c == 'p')
			pthread_create(&thread[used++], NULL, parker, NULL);
		if (c == 'u' && write(door[1], "u", 1) < 0)
			return 2;
	}
	ending = true;
	while (used)
		pthread_join(thread[--used], NULL);
	if (early) {
		int status;

		kill(early, SIGTERM);
		waitpid(early, &status, 0);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGTERM)
			mix();
	}
	printf("ok %lu %lu\n", shared->rounds, shared->mixes);
	return 0;
}
