/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See transition.h. Hooks, as the recorder is one: general registers only, no libc, no lock, no system call. */
#include <agent/ctl.h>
#include <agent/probe.h>
#include <engine/thread.h>
#include <sidetrack/patch.h>

struct st_transition_state st_transition_state;

/* Its place in the set that counts, or NULL. */
static inline unsigned long *find(uint32_t mode, unsigned long tp)
{
	unsigned long *set = st_transition_state.set[mode / ST_MODE_SECOND & 1];

	for (uint32_t i = st_set_hash(tp);; i = (i + 1) % ST_SET_SIZE) {
		unsigned long *at = &set[i];
		unsigned long v = __atomic_load_n(at, __ATOMIC_RELAXED);

		if (v == tp)
			return at;
		if (!v)
			return NULL;
	}
}

/*
 * What a thread reads here may be changed only while it is stopped, but for `mode` and members of others. mode goes from one value to the
 * next while all threads are stopped, so a thread that has read it either stands in this code, and is busy (process/evidence.h), or
 * has gone the way that was right then.
 */
void st_agent_transition(struct st_hook *h, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	const struct st_ctl_move *move = h->data;
	uint32_t mode = __atomic_load_n(&st_transition_state.mode, __ATOMIC_ACQUIRE);

	(void)ip;
	(void)parent_ip;
	switch (mode % ST_MODE_SECOND) {
	case ST_MODE_RESIDENT:
		return;
	case ST_MODE_SET_RESIDENT:
		if (find(mode, st_thread_pointer()))
			return;
		break;
	case ST_MODE_SET_OTHER:
		if (!find(mode, st_thread_pointer()))
			return;
	}
	st_regs_set_pc(regs, (unsigned long)move->other);
}

/* The program says that nothing of this thread's past matters. */
static void quiescent(void)
{
	uint32_t mode = __atomic_load_n(&st_transition_state.mode, __ATOMIC_ACQUIRE), what = mode % ST_MODE_SECOND;
	unsigned long *at = what == ST_MODE_SET_RESIDENT || what == ST_MODE_SET_OTHER ? find(mode, st_thread_pointer()) : NULL;

	if (at)
		__atomic_store_n((uint8_t *)at, (uint8_t)(*(uint8_t *)at | 1), __ATOMIC_RELEASE);
}

void st_agent_quiescent(struct st_hook *h, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	(void)h;
	(void)regs;
	(void)ip;
	(void)parent_ip;
	quiescent();
}

/* For patches, in a program that has none of its own. A thread that stands here is busy, as in a hook. */
void st_quiescent(void)
{
	quiescent();
}
