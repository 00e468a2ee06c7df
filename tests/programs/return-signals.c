/* SPDX-License-Identifier: GPL-2.0-only */
/* Signal handlers that call functions, nested, on an alternate stack, at any instruction (a timer). */
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include "return.h"

static volatile long inner, timed, wrong;
static char stack[65536];

KEEP long work(long n)
{
	return n < 2 ? n : work(n - 1) + work(n - 2);
}

KEEP void on_usr2(int sig)
{
	(void)sig;
	inner += work(5);
}

KEEP void on_usr1(int sig)
{
	inner += work(4);
	if (sig)
		raise(SIGUSR2);
	inner += work(3);
}

KEEP void on_timer(int sig)
{
	(void)sig;
	timed++;
	if (work(6) != 8)
		wrong++;
}

int main(void)
{
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction sa = { .sa_handler = on_usr1 };
	struct itimerval often = { { 0, 300 }, { 0, 300 } }, never = { { 0, 0 }, { 0, 0 } };
	long sum = 0;

	sigaltstack(&alternate, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sa.sa_handler = on_usr2;
	sa.sa_flags = SA_ONSTACK;
	sigaction(SIGUSR2, &sa, NULL);
	sa.sa_handler = on_timer;
	sa.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &sa, NULL);
	for (int i = 0; i < 200; i++) {
		raise(SIGUSR1);
		raise(SIGUSR2);
	}
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 400 || timed < 100; i++)
		sum += work(12) == 144 ? 0 : 1;
	sa.sa_flags |= SA_ONSTACK;
	sigaction(SIGALRM, &sa, NULL);
	timed = 0;
	for (int i = 0; i < 400 || timed < 100; i++)
		sum += work(12) == 144 ? 0 : 1;
	setitimer(ITIMER_REAL, &never, NULL);
	printf("%ld %ld %ld\n", sum, inner, wrong);
	return 0;
}
