/* SPDX-License-Identifier: GPL-2.0-only */
/* Recursion deeper than any list of pending returns; shallow calls at the bottom of it and after it. */
#include <stdio.h>
#include "return.h"

static volatile long one = 1;

KEEP long leaf(long n)
{
	return n ^ one;
}

KEEP long down(long n)
{
	if (!n)
		return leaf(5);
	return leaf(n) + down(n - 1) + one;
}

KEEP long ackermann(long m, long n)
{
	if (!m)
		return n + one;
	if (!n)
		return ackermann(m - 1, 1);
	return ackermann(m - 1, ackermann(m, n - 1));
}

int main(void)
{
	printf("%ld\n", down(50));
	printf("%ld\n", down(5000));
	for (int i = 0; i < 300; i++)
		printf("%ld%c", down(i), i % 10 == 9 ? '\n' : ' ');
	printf("%ld\n", ackermann(2, 60));
	printf("%ld\n", down(20));
	return 0;
}
