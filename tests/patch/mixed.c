/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads call outer(), which calls inner(): the old one has to find the old one, the new one the new. So do signal handlers,
 * threads that come and go, and children that are forked. Usage: mixed THREADS FILE. A thread that finds a mixture ends the program with
 * status 1. FILE gets a line for each SIGUSR1: what outer() says to a thread that is new. SIGTERM: the end, status 0.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

volatile int spins = 20;

__attribute__((noinline)) int inner(int a)
{
	for (int i = 0; i < spins; i++)
		__asm__ volatile("" ::: "memory");
	return a + 1;
}

__attribute__((noinline)) int outer(int a)
{
	int first = inner(a), second;

	__asm__ volatile("" ::: "memory");
	second = inner(a);
	return first + second + 10;	/* 2a + 12; of the patch: 2a + 124 */
}

/* A program that does not link us may have one of its own. */
__attribute__((noinline)) void st_quiescent(void)
{
	__asm__ volatile("nop;nop;nop;nop;nop;nop;nop;nop" ::: "memory");
}

static int check(void)
{
	int got = outer(4);

	if (got == 20 || got == 132)
		return got;
	dprintf(2, "outer said %d\n", got);
	_exit(1);
}

static void on_timer(int sig)
{
	(void)sig;
	check();
}

static void *loop(void *arg)
{
	(void)arg;
	for (;;) {
		check();
		/* Out of the functions for most of the time: all threads have to be, together, for level process. */
		usleep(100);
	}
	return NULL;
}

static void *once(void *arg)
{
	(void)arg;
	for (int i = 0; i < 100; i++)
		check();
	return NULL;
}

/* Threads that are short, and children. */
static void *maker(void *arg)
{
	(void)arg;
	for (unsigned int i = 0;; i++) {
		pthread_t t;

		if (i % 16) {
			if (!pthread_create(&t, NULL, once, NULL))
				pthread_join(t, NULL);
		} else {
			int status = 0;
			pid_t pid = fork();

			if (!pid) {
				once(NULL);
				_exit(0);
			}
			if (pid > 0 && waitpid(pid, &status, 0) == pid && status)
				_exit(2);
		}
		usleep(2000);
	}
	return NULL;
}

static void *say(void *arg)
{
	*(int *)arg = check();
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 2, sig, said;
	FILE *out = fopen(argc > 2 ? argv[2] : "/dev/stdout", "a");
	struct itimerval every = { { 0, 5000 }, { 0, 5000 } };
	struct sigaction sa = { .sa_handler = on_timer, .sa_flags = SA_RESTART };
	pthread_t t;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	for (int i = 0; i < threads; i++)
		pthread_create(&t, NULL, loop, NULL);
	pthread_create(&t, NULL, maker, NULL);
	fprintf(out, "ready\n");
	fflush(out);
	while (!sigwait(&set, &sig) && sig == SIGUSR1) {
		pthread_create(&t, NULL, say, &said);
		pthread_join(t, NULL);
		fprintf(out, "says %d\n", said);
		fflush(out);
	}
	fprintf(out, "end\n");
	fclose(out);
	_exit(0);
}
