/* SPDX-License-Identifier: GPL-2.0-only */
/* Calls that take some time, again and again: outer, middle, inner, until stdin ends. Prints what they return. */
#include <poll.h>
#include <stdio.h>
#include <unistd.h>
#include "return.h"

static volatile int ended;

KEEP int inner(int n)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };
	char c;

	if (poll(&in, 1, 100) > 0 && read(0, &c, 1) <= 0)
		ended = 1;
	return n + 1;
}

KEEP int middle(int n)
{
	return inner(n) * 2;
}

KEEP int outer(int n)
{
	return middle(n) + 1;
}

int main(void)
{
	int n;

	for (n = 0; !ended; n++) {
		printf("%d\n", outer(n) - 2 * n);
		fflush(stdout);
	}
	return 7;
}
