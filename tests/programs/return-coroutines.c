/* SPDX-License-Identifier: GPL-2.0-only */
/* Coroutines on swapcontext(): each has calls pending when the others run; some are left for good. */
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include "return.h"

#define COROUTINES 12
#define STACK 65536

static ucontext_t back, co[COROUTINES];
static long value[COROUTINES];
static int current;
static int done[COROUTINES];

KEEP void yield(long v)
{
	value[current] = v;
	swapcontext(&co[current], &back);
}

KEEP long walk(long depth, long seed)
{
	long got;

	if (!depth) {
		yield(seed);
		return seed + 1;
	}
	got = walk(depth - 1, seed * 3 + depth);
	yield(got);
	return got ^ depth;
}

KEEP void body(void)
{
	long n = 0;

	for (int i = 0; i < 6; i++)
		n += walk(3 + i + current % 5, n + current);
	done[current] = 1;
	value[current] = n;
}

int main(void)
{
	unsigned long sum = 0;
	char *stacks = malloc((size_t)COROUTINES * STACK);
	int running = COROUTINES;

	for (int i = 0; i < COROUTINES; i++) {
		getcontext(&co[i]);
		co[i].uc_stack.ss_sp = stacks + i * STACK;
		co[i].uc_stack.ss_size = STACK;
		co[i].uc_link = &back;
		makecontext(&co[i], body, 0);
	}
	for (int round = 0; running; round++) {
		for (int i = 0; i < COROUTINES; i++) {
			/* Two of them are never resumed again. */
			if (done[i] || (i % 6 == 5 && round > 9)) {
				running -= done[i] != 2;
				done[i] = 2;
				continue;
			}
			current = i;
			swapcontext(&back, &co[i]);
			sum = sum * 31 + (unsigned long)value[i];
		}
	}
	printf("%lu\n", sum);
	free(stacks);
	return 0;
}
