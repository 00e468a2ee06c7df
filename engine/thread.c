/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of threads, and waiting until none of them is in a hook. No libc: also runs injected into a process. */
#include <stdbool.h>
#include <stddef.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <engine/signal_frame.h>
#include <engine/syscall.h>
#include <engine/thread.h>
#include <engine/wait.h>

/* Slots looked at from a thread pointer's place. */
#define NEAR 64
/* Looks at a slot before sleeping. */
#define LOOKS 2000
/* Naps before asking where the thread is: about a second. */
#define PATIENCE 8000

struct st_slot st_threads[ST_THREADS];
int *(*st_errno_location)(void);
int st_no_syscalls;

static long tid_offset;		/* of a thread's id from its thread pointer; 0: not known */

/*
 * The C library keeps each thread's id near its thread pointer and the kernel clears it when the thread ends (set_tid_address(2)).
 * Found by looking for it; every thread that takes a slot confirms it, or we do without.
 */
void st_threads_init(void)
{
	unsigned long tp = st_thread_pointer();
	int tid = (int)st_syscall0(__NR_gettid);
	/* Not beyond the page: what lies on either side may not be mapped. */
	unsigned long lo = tp & ~4095ul, hi = lo + 4096;

	if (!tp)
		return;
	for (unsigned long a = tp; !tid_offset && a < hi; a += sizeof(int))
		if (*(volatile int *)a == tid)
			tid_offset = (long)(a - tp);
#if !defined(__x86_64__)
	/* The thread's descriptor lies below (TLS variant I). */
	for (unsigned long a = tp - sizeof(int); !tid_offset && a >= tp - 4096; a -= sizeof(int)) {
		int word;

		if (!st_read_safely(&word, a, sizeof(word)))
			break;
		if (word == tid)
			tid_offset = (long)(a - tp);
	}
#else
	(void)lo;
#endif
}

/* Reads memory that may not be there: through the kernel, which says so. */
bool st_read_safely(void *to, unsigned long from, unsigned long len)
{
	int pipe[2];
	bool ok;

	if (st_syscall2(__NR_pipe2, pipe, 0))
		return false;
	ok = st_syscall3(__NR_write, pipe[1], from, len) == (long)len &&
	     st_syscall3(__NR_read, pipe[0], to, len) == (long)len;
	st_syscall1(__NR_close, pipe[0]);
	st_syscall1(__NR_close, pipe[1]);
	return ok;
}

/*
 * Has the thread that owns this thread pointer ended? By the id that stands there now, not by the one that took the slot:
 * threads that come later get the same pointer. Not known is no.
 */
static bool gone(const struct st_slot *t)
{
	int tid;

	if (!tid_offset)
		return false;
	if (!st_read_safely(&tid, t->tp + (unsigned long)tid_offset, sizeof(tid)))
		return true;
	return tid <= 0 || st_syscall3(__NR_tgkill, st_syscall0(__NR_getpid), tid, 0) == -ESRCH;
}

static struct st_slot *take(struct st_slot *t, unsigned long old, unsigned long tp)
{
	if (!__atomic_compare_exchange_n(&t->tp, &old, tp, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return NULL;
	t->tid = st_thread_id();
	if (tid_offset && *(volatile int *)(tp + (unsigned long)tid_offset) != t->tid)
		tid_offset = 0;
	t->busy = 0;
	t->depth = 0;
	t->client = 0;
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
	/* All taken: by threads that have ended since? */
	for (unsigned int i = 0; i < NEAR; i++) {
		unsigned long old;

		t = &st_threads[(h + i) % ST_THREADS];
		old = t->tp;
		if (gone(t)) {
			got = take(t, old, tp);
			if (got)
				return got;
		}
	}
	return NULL;
}

struct st_slot *st_thread_look(unsigned long tp)
{
	unsigned int h = st_thread_hash(tp);

	for (unsigned int i = 0; i < NEAR; i++)
		if (st_threads[(h + i) % ST_THREADS].tp == tp)
			return &st_threads[(h + i) % ST_THREADS];
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
	unsigned long here = (unsigned long)__builtin_frame_address(0);

	if (!t || !t->busy)
		return false;
	if (!st_frame_left(here, t->busy))
		return true;
	t->depth = 0;
	__atomic_store_n(&t->busy, 0, __ATOMIC_RELEASE);
	return false;
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

void st_threads_wait(bool (*left)(unsigned long tp, unsigned long busy))
{
	struct { long sec, nsec; } nap = { 0, 50000 };

	/* Pairs with the stores to busy in dispatch.c and entry.S. */
	st_syscall2(__NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0);
	for (unsigned int i = 0; i < ST_THREADS; i++) {
		struct st_slot *t = &st_threads[i];
		unsigned long was = __atomic_load_n(&t->busy, __ATOMIC_ACQUIRE);

		for (unsigned int naps = 1; was && !left_hook(t, was); naps++) {
			/* It ended inside its hook: cancelled there, or by a call that ends the thread. */
			if (gone(t))
				break;
			if (naps % PATIENCE == 0 && left(t->tp, was))
				break;
			st_syscall2(__NR_nanosleep, &nap, 0);
		}
	}
}
