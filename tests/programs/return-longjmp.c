/* SPDX-License-Identifier: GPL-2.0-only */
/* Frames left by longjmp(), from many depths, again and again; and calls that return as usual between. */
#include <setjmp.h>
#include <stdio.h>
#include "return.h"

static jmp_buf top, inner;
static volatile unsigned long sum;

KEEP void leave(int depth)
{
	if (depth & 1)
		longjmp(inner, depth);
	longjmp(top, depth);
}

KEEP long dive(int depth)
{
	long got;

	if (!depth)
		leave((int)(sum % 7) + 1);
	got = dive(depth - 1) + depth;
	sum += (unsigned long)got;
	return got;
}

KEEP long usual(long n)
{
	return n < 2 ? n : usual(n - 1) + usual(n - 2);
}

KEEP long catcher(int depth)
{
	int got = setjmp(inner);

	if (got) {
		sum += (unsigned long)usual(got) + 1;
		return got;
	}
	return dive(depth);
}

int main(void)
{
	volatile int round = 0;

	if (setjmp(top))
		sum += 3;
	while (round < 3000) {
		round++;
		sum += (unsigned long)catcher(round % 37);
	}
	printf("%lu %ld\n", sum, usual(15));
	return (int)(sum % 100);
}
