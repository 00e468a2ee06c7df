/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counting a hit, on the straight way: in a column of the thread's own (agent/ctl.h), by one instruction. All else is for
 * count_slowly() of probe.c.
 */
#ifndef ST_AGENT_COUNT_H
#define ST_AGENT_COUNT_H

#include <stdbool.h>
#include <agent/ctl.h>
#include <engine/thread.h>

/* What the slot of a thread says that gets no column: there are no more. */
#define ST_NO_COLUMN 1ul

/* The 32 bits at an offset from the thread pointer. */
static inline uint32_t st_agent_thread_word(int64_t offset)
{
#if defined(__x86_64__)
	uint32_t v;

	asm volatile("movl %%fs:(%1), %0" : "=r"(v) : "r"(offset));
	return v;
#else
	unsigned long tp;

#if defined(__aarch64__)
	asm volatile("mrs %0, tpidr_el0" : "=r"(tp));
#else
	asm volatile("mrc p15, 0, %0, c13, c0, 3" : "=r"(tp));	/* TPIDRURO */
#endif
	return *(volatile uint32_t *)(tp + (unsigned long)offset);
#endif
}

/*
 * Add one to a counter that only this thread adds to. A signal handler that comes in between adds to it too: one instruction on
 * x86-64, elsewhere an exclusive pair, which the handler's return breaks up.
 */
static inline void st_agent_add_one(uint64_t *n)
{
#if defined(__x86_64__)
	__asm__ volatile("incq %0" : "+m"(*n));
#else
	__atomic_fetch_add(n, 1, __ATOMIC_RELAXED);
#endif
}

/* Counts a hit of the thread that has the slot. False if that takes longer: count_slowly(). Calls nothing. */
static inline bool st_agent_count_in(struct st_slot *t, struct st_ctl *ctl, struct st_ctl_probe *probe)
{
	uint32_t i = probe->index;

	if (__builtin_expect(t->client <= ST_NO_COLUMN || t->tid != (int)st_agent_thread_word(ctl->tid_offset) || i >= ST_PROBES_MAX, 0))
		return false;
	st_agent_add_one(&((uint64_t *)t->client)[i]);
	return true;
}

/* The same, of this thread. Who calls it needs no frame. */
static inline bool st_agent_count(struct st_ctl *ctl, struct st_ctl_probe *probe)
{
	unsigned long tp = st_thread_pointer();
	struct st_slot *t = &st_threads[st_thread_hash(tp)];

	return __builtin_expect(t->tp == tp, 1) && st_agent_count_in(t, ctl, probe);
}

/* Is this surely the process that was attached to? */
static inline bool st_agent_at_home(const struct st_ctl *ctl)
{
	return ctl->home && *(volatile uint32_t *)(unsigned long)ctl->home == ctl->pid;
}

#endif
