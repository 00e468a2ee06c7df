/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the engine knows of each thread: whether it is in a hook. One slot a thread, found by its thread pointer.
 *
 * No thread-local storage: the same code runs injected into a process where the loader gives us none. Nothing is
 * allocated; slots lie in a fixed table.
 */
#ifndef ST_ENGINE_THREAD_H
#define ST_ENGINE_THREAD_H

#include <stdint.h>

#define ST_THREADS_BITS 13
#define ST_THREADS (1u << ST_THREADS_BITS)

/*
 * @tp: the thread pointer, 0 while the slot is free
 * @busy: address of the struct st_regs of the innermost running dispatch, 0 when the thread is in no hook
 * @seq: how often the thread has left its outermost hook: with busy, what st_threads_wait() looks at
 * @depth: dispatches that are on top of each other: 1, and one more for each signal handler in between
 * @tid: of the thread that took the slot
 * @err: address of the thread's errno, or NULL
 */
struct st_slot {
	unsigned long tp;
	unsigned long busy;
	unsigned long seq;
	unsigned int depth;
	int tid;
	int *err;
} __attribute__((aligned(64)));

extern struct st_slot st_threads[ST_THREADS] __attribute__((visibility("hidden")));

/* How a thread finds its errno; NULL where hooks never touch it (the agent). */
extern int *(*st_errno_location)(void) __attribute__((visibility("hidden")));

static inline unsigned long st_thread_pointer(void)
{
	unsigned long tp;

#if defined(__x86_64__)
	__asm__("mov %%fs:0, %0" : "=r"(tp));	/* psABI: the word at fs:0 is the thread pointer */
#elif defined(__aarch64__)
	__asm__("mrs %0, tpidr_el0" : "=r"(tp));
#else
	__asm__("mrc p15, 0, %0, c13, c0, 3" : "=r"(tp));
#endif
	return tp;
}

static inline unsigned int st_thread_hash(unsigned long tp)
{
	return (uint32_t)((uint32_t)(tp >> 6) * 2654435761u) >> (32 - ST_THREADS_BITS);
}

/* The slow part of st_thread_self(): the slot is not at its first place, or not taken yet. NULL: the table is full. */
struct st_slot *st_thread_find(unsigned long tp) __attribute__((visibility("hidden")));

static inline struct st_slot *st_thread_self(void)
{
	unsigned long tp = st_thread_pointer();
	struct st_slot *t = &st_threads[st_thread_hash(tp)];

	if (__builtin_expect(t->tp == tp, 1))
		return t;
	return st_thread_find(tp);
}

#endif
