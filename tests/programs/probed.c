// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program to be probed: calls functions with known arguments until it is told to end, and looks
 *at what they return.
 *
 *	probed [exec]		SIGUSR1: calls tick() 1000 times in each of 4 threads; SIGUSR2:
 *executes itself again SIGTERM: ends, with "ok" if every result was right
 *
 * Its first line of output is "ready".
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

struct point {
	short x, y;
	const char *name;
};

int global_number = 4711;
const char *global_text = "global text";
static volatile sig_atomic_t ticks_wanted, exec_wanted, end_wanted;
static int wrong;

/* Nine arguments: some are on the stack everywhere. */
NOINLINE long nine(int a, const char *s, long c, unsigned char d, short e, long f, long g, long h,
		   long i)
{
	__asm__ volatile("" ::: "memory");
	return a + (long)strlen(s) + c + d + e + f + g + h + i;
}

NOINLINE int peek(const void *p)
{
	__asm__ volatile("" ::: "memory");
	return p != NULL;
}

NOINLINE int shape(const struct point *p)
{
	__asm__ volatile("" ::: "memory");
	return p->x * p->y;
}

NOINLINE int call_me(int (*fn)(const void *))
{
	__asm__ volatile("" ::: "memory");
	return fn(&global_number);
}

NOINLINE int tick(int n)
{
	__asm__ volatile("" ::: "memory");
	return n + 1;
}

#define MANY(n) NOINLINE int many_##n(int v) { __asm__ volatile("" ::: "memory"); return v * n; }
MANY(1) MANY(2) MANY(3) MANY(4) MANY(5) MANY(6) MANY(7) MANY(8)

static void *tick_1000(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 1000; i++)
		if (tick(i) != i + 1)
			__atomic_store_n(&wrong, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void ticks(void)
{
	pthread_t threads[4];
	int i;

	for (i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, tick_1000, NULL);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	puts("ticked");
}

static void on_signal(int sig)
{
	if (sig == SIGUSR1)
		ticks_wanted++;
	else if (sig == SIGUSR2)
		exec_wanted = 1;
	else
		end_wanted = 1;
}

static void round_of_calls(int i)
{
	const struct point p = { 3, -4, "corner" };
	int sum;

	wrong |= nine(-1, "hello", 2, 3, -4, 5, 6, 7, 8) != 31;
	wrong |= nine(i, "bell\a \"quoted\" \xc3\xa4", 0, 0, 0, 0, 0, 0, 0) != i + 17;
	wrong |= peek((void *)16) != 1;
	wrong |= peek(&global_number) != 1;
	wrong |= shape(&p) != -12;
	wrong |= call_me(peek) != 1;
	sum = many_1(i) + many_2(i) + many_3(i) + many_4(i) + many_5(i) + many_6(i) + many_7(i) +
	      many_8(i);
	wrong |= sum != 36 * i;
}

int main(int argc, char **argv)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	struct sigaction sa = { .sa_handler = on_signal };
	int i = 0;

	(void)argc;
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	/* Not left behind when a test is killed. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (!end_wanted) {
		round_of_calls(i++ & 0xffff);
		if (ticks_wanted) {
			ticks_wanted--;
			ticks();
		}
		if (exec_wanted)
			execv("/proc/self/exe", argv);
		nanosleep(&nap, NULL);
	}
	puts(wrong ? "wrong" : "ok");
	return wrong;
}
