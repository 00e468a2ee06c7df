/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the engine knows of each thread: whether it is in a hook. One slot a thread, found by its thread pointer.
 *
 * No thread-local storage: the same code runs injected into a process where the loader gives us none. Nothing is
 * allocated; slots lie in a fixed table.
 */
#ifndef ST_ENGINE_THREAD_H
#define ST_ENGINE_THREAD_H

/*
 * How many slots. Each has a list of pending returns (return.h): in 32 bits all of these together must leave room around the code
 * that they are linked with, for stubs within reach of a Thumb branch, 16 MiB.
 */
#if defined(__arm__)
#define ST_THREADS_BITS 11
#else
#define ST_THREADS_BITS 13
#endif
#define ST_THREADS (1 << ST_THREADS_BITS)

/* For entry.S: offsets in struct st_slot, its size as a power of two, the multiplier of the hash. */
#define ST_SLOT_TP	0
#define ST_SLOT_BUSY	(1 * __SIZEOF_POINTER__)
#define ST_SLOT_SHIFT	6
#define ST_SLOT_HASH	0x9e3779b1

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>
#include <engine/syscall.h>

/*
 * @tp: the thread pointer, 0 while the slot is free
 * @busy: address of the struct st_regs of the outermost running dispatch, 0 when the thread is in no hook
 * @inner: that of the innermost, if @depth is not 0
 * @depth: dispatches on top of the outermost one
 * @tid: of the thread that took the slot
 * @err: address of the thread's errno, or NULL
 * @client: of whoever runs the hooks: 0 when another thread takes the slot. Survives a fork, as the slot does
 */
struct st_slot {
	unsigned long tp;
	unsigned long busy;
	unsigned long inner;
	unsigned int depth;
	int tid;
	int *err;
	unsigned long client;
} __attribute__((aligned(64)));

_Static_assert(offsetof(struct st_slot, tp) == ST_SLOT_TP, "entry.S");
_Static_assert(offsetof(struct st_slot, busy) == ST_SLOT_BUSY, "entry.S");
_Static_assert(sizeof(struct st_slot) == 1 << ST_SLOT_SHIFT, "entry.S");

extern struct st_slot st_threads[ST_THREADS] __attribute__((visibility("hidden")));

/*
 * Not 0: the process is under a filter that may kill it for a system call (seccomp), so the dispatcher makes none; then a hook that
 * was left by longjmp is not noticed, and all threads look like one to st_thread_id(). For the agent, whose hooks do not do that.
 */
extern int st_no_syscalls __attribute__((visibility("hidden")));

static inline int st_thread_id(void)
{
	return st_no_syscalls ? 0 : (int)st_syscall0(__NR_gettid);
}

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
	return (uint32_t)((uint32_t)tp * ST_SLOT_HASH) >> (32 - ST_THREADS_BITS);
}

/* The slow part of st_thread_self(): the slot is not at its first place, or not taken yet. NULL: the table is full. */
struct st_slot *st_thread_find(unsigned long tp) __attribute__((visibility("hidden")));

/* That of the thread, or NULL while it has none. */
struct st_slot *st_thread_look(unsigned long tp) __attribute__((visibility("hidden")));

static inline struct st_slot *st_thread_known(void)
{
	unsigned long tp = st_thread_pointer();
	struct st_slot *t = &st_threads[st_thread_hash(tp)];

	if (__builtin_expect(t->tp == tp, 1))
		return t;
	return st_thread_look(tp);
}

static inline struct st_slot *st_thread_self(void)
{
	unsigned long tp = st_thread_pointer();
	struct st_slot *t = &st_threads[st_thread_hash(tp)];

	if (__builtin_expect(t->tp == tp, 1))
		return t;
	return st_thread_find(tp);
}

#endif
#endif
