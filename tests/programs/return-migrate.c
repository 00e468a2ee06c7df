/* SPDX-License-Identifier: GPL-2.0-only */
/* Coroutines that change threads while calls are pending in them. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include "return.h"

#define THREADS 3
#define COROUTINES 8
#define STACK 65536

struct coroutine {
	ucontext_t here, *back;
	long value;
	int id, done;
};

static struct coroutine co[COROUTINES];
static pthread_barrier_t turn;
static int round_now;

/* The thread may be another behind the switch, so nothing of the thread is kept over it. */
KEEP void yield(struct coroutine *c, long v)
{
	c->value = c->value * 31 + v;
	swapcontext(&c->here, c->back);
}

KEEP long walk(struct coroutine *c, long depth, long seed)
{
	long got;

	if (!depth) {
		yield(c, seed);
		return seed + 1;
	}
	got = walk(c, depth - 1, seed * 3 + depth);
	yield(c, got);
	return got ^ depth;
}

KEEP void body(int id)
{
	struct coroutine *c = &co[id];
	long n = 0;

	for (int i = 0; i < 5; i++)
		n += walk(c, 3 + i + id % 3, n + id);
	c->value += n;
	c->done = 1;
	swapcontext(&c->here, c->back);
}

KEEP void resume(struct coroutine *c)
{
	ucontext_t me;

	c->back = &me;
	swapcontext(&me, &c->here);
}

/* In each round every coroutine runs on one thread, in the next on another. */
KEEP void *worker(void *arg)
{
	int self = (int)(long)arg;

	for (;;) {
		int left = 0;

		pthread_barrier_wait(&turn);
		for (int i = 0; i < COROUTINES; i++)
			if ((i + round_now) % THREADS == self && !co[i].done)
				resume(&co[i]);
		pthread_barrier_wait(&turn);
		for (int i = 0; i < COROUTINES; i++)
			left += !co[i].done;
		if (!left)
			return NULL;
		if (pthread_barrier_wait(&turn) == PTHREAD_BARRIER_SERIAL_THREAD)
			round_now++;
	}
}

int main(void)
{
	char *stacks = malloc((size_t)COROUTINES * STACK);
	pthread_t t[THREADS];

	pthread_barrier_init(&turn, NULL, THREADS);
	for (int i = 0; i < COROUTINES; i++) {
		co[i].id = i;
		getcontext(&co[i].here);
		co[i].here.uc_stack.ss_sp = stacks + i * STACK;
		co[i].here.uc_stack.ss_size = STACK;
		makecontext(&co[i].here, (void (*)(void))body, 1, i);
	}
	for (long i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, worker, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < COROUTINES; i++)
		printf("%ld\n", co[i].value);
	free(stacks);
	return 0;
}
