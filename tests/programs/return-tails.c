/* SPDX-License-Identifier: GPL-2.0-only */
/* Tail calls: chains, a function that jumps to itself through a pointer, and a state machine that never returns on its way. */
#include <stdio.h>
#include "return.h"

#if __has_attribute(musttail)
#define TAIL __attribute__((musttail))
#else
#define TAIL
#endif

typedef long (*step)(long n, long sum);

static volatile int side;

KEEP long last(long n, long sum)
{
	return n + sum * 3 + side;
}

KEEP long third(long n, long sum)
{
	TAIL return last(n + 1, sum);
}

KEEP long second(long n, long sum)
{
	if (n & 1)
		TAIL return third(n, sum + 2);
	TAIL return last(n, sum);
}

KEEP long first(long n, long sum)
{
	TAIL return second(n + 5, sum ^ 1);
}

KEEP long plain(long n)
{
	return n * 3 + side;
}

KEEP long itself(long n, long sum)
{
	static step volatile self = itself;

	if (!n)
		return sum;
	sum += n & 3;
	TAIL return self(n - 1, sum);
}

KEEP long state_b(long n, long sum);

KEEP long state_a(long n, long sum)
{
	if (!n)
		return sum;
	sum += plain(n);
	TAIL return state_b(n - 1, sum);
}

KEEP long state_b(long n, long sum)
{
	if (!n)
		return -sum;
	sum ^= plain(n);
	TAIL return state_a(n - 1, sum);
}

int main(void)
{
	long sum = 0;

	for (long i = 0; i < 2000; i++)
		sum += first(i, sum & 0xff);
	sum += itself(500, 7);
	sum += state_a(100001, 1);
	for (long i = 0; i < 100; i++)
		sum += itself(i, 1) + state_b(i, 2);
	printf("%ld\n", sum);
	return 0;
}
