/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of threads, and waiting until none of them is in a hook. No libc: also runs injected into a process. */
#include <stdbool.h>
#include <stddef.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <engine/syscall.h>
#include <engine/thread.h>
#include <engine/wait.h>

/* Slots looked at from a thread pointer's place. */
#define NEAR 64
/* Looks at a slot before sleeping. */
#define LOOKS 2000

struct st_slot st_threads[ST_THREADS];
int *(*st_errno_location)(void);

static bool dead(int tid)
{
	return tid && st_syscall3(__NR_tgkill, st_syscall0(__NR_getpid), tid, 0) == -ESRCH;
}

static struct st_slot *take(struct st_slot *t, unsigned long old, unsigned long tp)
{
	if (!__atomic_compare_exchange_n(&t->tp, &old, tp, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return NULL;
	t->tid = (int)st_syscall0(__NR_gettid);
	t->depth = 0;
	t->err = st_errno_location ? st_errno_location() : NULL;
	return t;
}

/*
 * Only a thread itself takes a slot for its pointer, and a signal handler of its that comes in between takes the same
 * one: the search is always in the same order, and taking is one compare-and-swap.
 */
struct st_slot *st_thread_find(unsigned long tp)
{
	unsigned int h = st_thread_hash(tp);
	struct st_slot *t, *got;

	for (unsigned int i = 0; i < NEAR; i++) {
		t = &st_threads[(h + i) % ST_THREADS];
		if (t->tp == tp)
			return t;
		if (!t->tp) {
			got = take(t, 0, tp);
			if (got)
				return got;
			i--;
		}
	}
	/* All taken: by threads that have ended since? Those are in no hook. */
	for (unsigned int i = 0; i < NEAR; i++) {
		unsigned long old;

		t = &st_threads[(h + i) % ST_THREADS];
		old = t->tp;
		if (!t->busy && dead(t->tid)) {
			got = take(t, old, tp);
			if (got)
				return got;
		}
	}
	return NULL;
}

/* Another thread may be in its slot's hook at the time of a fork: it does not exist in the child. */
void st_threads_after_fork(void)
{
	unsigned long self = st_thread_pointer();

	for (unsigned int i = 0; i < ST_THREADS; i++) {
		struct st_slot *t = &st_threads[i];

		if (t->tp && t->tp != self) {
			t->busy = 0;
			t->tp = 0;
		} else if (t->tp) {
			t->tid = (int)st_syscall0(__NR_gettid);
		}
	}
}

bool st_threads_in_hook(void)
{
	struct st_slot *t = st_thread_self();

	return t && t->busy;
}

/*
 * A thread that goes in and out of hooks is seen outside sooner or later; one that is seen in another hook, by the frame,
 * has left the first. Looked at often before sleeping, since the time outside may be short.
 */
static bool left_hook(struct st_slot *t, unsigned long was)
{
	for (int i = 0; i < LOOKS; i++)
		if (__atomic_load_n(&t->busy, __ATOMIC_ACQUIRE) != was)
			return true;
	return false;
}

void st_threads_wait(void)
{
	struct { long sec, nsec; } nap = { 0, 50000 };

	/* Pairs with the stores to busy in dispatch.c and entry.S. */
	st_syscall2(__NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0);
	for (unsigned int i = 0; i < ST_THREADS; i++) {
		struct st_slot *t = &st_threads[i];
		unsigned long was = __atomic_load_n(&t->busy, __ATOMIC_ACQUIRE);

		while (was && !left_hook(t, was)) {
			/* It ended inside its hook: cancelled there, or by a call that ends the thread. */
			if (dead(t->tid))
				break;
			st_syscall2(__NR_nanosleep, &nap, 0);
		}
	}
}
