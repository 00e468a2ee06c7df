/* SPDX-License-Identifier: GPL-2.0-only */
/* siglongjmp() out of signal handlers, on the thread's stack and on an alternate one. */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include "return.h"

static sigjmp_buf back;
static volatile unsigned long sum;
static char stack[65536];

KEEP void out(int sig)
{
	siglongjmp(back, sig);
}

KEEP void handler(int sig)
{
	sum += (unsigned long)sig;
	out(sig);
}

KEEP int fault(int depth, volatile int *where)
{
	if (depth)
		return fault(depth - 1, where) + 1;
	return *where;
}

KEEP int hit(int depth)
{
	if (depth)
		return hit(depth - 1) + 1;
	raise(SIGUSR1);
	return 0;
}

KEEP int once(int round)
{
	int sig = sigsetjmp(back, 1);

	if (sig)
		return sig + round;
	if (round & 1)
		return fault(round % 23, NULL);
	return hit(round % 23);
}

int main(void)
{
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction sa = { .sa_handler = handler };

	sigaltstack(&alternate, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sa.sa_flags = SA_ONSTACK;
	sigaction(SIGSEGV, &sa, NULL);
	for (int round = 0; round < 2000; round++)
		sum += (unsigned long)once(round);
	printf("%lu\n", sum);
	return 0;
}
