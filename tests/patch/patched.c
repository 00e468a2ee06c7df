/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A program to be patched: each second thread calls the functions all the time and counts what they answer.
 *
 *	patched		"ready" when it runs; SIGUSR1: prints "answer A B C" (three functions called once); SIGTERM: ends, prints "ok"
 *			if every answer in every thread was an old or a new one, never a mixture
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* noipa: -fipa-ra would let callers keep values in registers that an ABI-conforming replacement clobbers (docs/limits.md). */
#define NOINLINE __attribute__((noipa))

static volatile sig_atomic_t asked, ended;
static volatile int wrong;
static volatile int hidden_number = 17;

/* Exported: patches may call it. */
int helper(int x)
{
	return x + 1000;
}

static NOINLINE int hidden_helper(int x)
{
	__asm__ volatile("" : "+r"(x));
	return x + hidden_number;
}

NOINLINE int plain(int a, int b)
{
	__asm__ volatile("" : "+r"(a));
	return a * 10 + b;
}

static NOINLINE int is_static(int a)
{
	__asm__ volatile("" : "+r"(a));
	return hidden_helper(a) - hidden_number;
}

NOINLINE double floating(double x, int n)
{
	__asm__ volatile("" : "+r"(n));
	return x * n;
}

static void *call_all(void *unused)
{
	(void)unused;
	while (!ended) {
		int a = plain(4, 2), b = is_static(5);
		double c = floating(1.5, 2);

		if ((a != 42 && a != 1006 && a != 4) || (b != 5 && b != 22) || (c != 3.0 && c != 6.0))
			wrong = 1;
	}
	return NULL;
}

static void on_signal(int sig)
{
	if (sig == SIGUSR1)
		asked = 1;
	else
		ended = 1;
}

int main(void)
{
	struct timespec nap = { 0, 2000000 };
	pthread_t thread[3];

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGUSR1, on_signal);
	signal(SIGTERM, on_signal);
	for (int i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, call_all, NULL);
	puts("ready");
	while (!ended) {
		nanosleep(&nap, NULL);
		if (asked) {
			asked = 0;
			printf("answer %d %d %g\n", plain(4, 2), is_static(5), floating(1.5, 2));
		}
	}
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	puts(wrong ? "wrong" : "ok");
	return wrong;
}
