/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A transition: functions of a process go from one universe (`prev`) to another (`next`), together. What a patch is, the caller
 * (patch/) knows; here a universe is an address for each function: where it is, 0 for the program's own.
 *
 * One at a time in a process. Its state is in struct st_ctl (agent/ctl.h), so that another tool can go on with it, turn it round
 * or force it when this one has died. While it lasts each function has a hook of the agent's (agent/transition.c), which sends
 * the calling thread to `prev` or `next`:
 *
 *	PREV	everybody runs prev				begun, nothing has happened yet
 *	SET	threads whose thread pointer is in the set run prev, all others next
 *	NEXT	everybody runs next				complete; the hooks give way to plain jumps
 *
 * A thread is taken out of the set by the tool, while it is stopped and clean (evidence.h), or by itself at st_quiescent(). A new
 * thread is not in the set: it has no old frame. A signal handler runs as its thread does.
 *
 * Turning round (reverse) swaps prev and next, and the set becomes its complement over the live threads.
 */
#ifndef ST_PROCESS_TRANSITION_H
#define ST_PROCESS_TRANSITION_H

#include <process/evidence.h>

enum st_level { ST_LEVEL_INDEPENDENT, ST_LEVEL_THREAD, ST_LEVEL_PROCESS };

/* One function. */
struct st_move {
	struct st_fn fn;		/* the program's own function; fn.why: why it can't be */
	unsigned long next;		/* with Thumb bit; 0: the program's own again */
	unsigned long next_size;	/* bytes of the function there */
	/* filled in by st_transition_begin() */
	unsigned long prev, prev_size;
};

/**
 * st_transition_begin() - get ready: sites and hooks are in place, and everybody still runs prev
 * @level: ST_LEVEL_THREAD or ST_LEVEL_PROCESS
 * @patch: index in ctl->patch of the patch that it is for; its `state` is the caller's affair
 *
 * Return: 0; -EBUSY: there is a transition already; -ENOTSUP (move[i].fn.why).
 */
int st_transition_begin(struct st_session *s, unsigned int patch, enum st_level level, struct st_move *move, size_t n);

/* What runs in the target at the moment of the flip of ST_LEVEL_PROCESS, all threads stopped; not 0: no flip. */
typedef int (*st_transition_flip)(void *ctx, struct st_stop *stop);

/**
 * st_transition_step() - move whoever can be moved
 * @flip: for ST_LEVEL_PROCESS, may be NULL
 * @busy: filled in with up to *@n of those who could not; *@n becomes their number
 *
 * The first call starts the transition. ST_LEVEL_PROCESS: all at once or nobody.
 *
 * Return: 0 nobody is left, -EBUSY, -ESRCH, ...
 */
int st_transition_step(struct st_session *s, st_transition_flip flip, void *ctx, struct st_busy *busy, size_t *n);

/* Turn it round. What was prev is next; go on with st_transition_step(). */
int st_transition_reverse(struct st_session *s);

/* Everybody runs next from now on, whatever is on the stacks. The caller answers for it. */
int st_transition_force(struct st_session *s);

/* Nobody is left: plain jumps (or nothing) in place of the hooks, and the record is free. */
int st_transition_finish(struct st_session *s);

/* Is there one? Of which patch (index), which way? */
bool st_transition_pending(struct st_session *s, unsigned int *patch, bool *reversed);

/* Has a tool begun with its st_transition_finish()? Then that is all that can be done with it. */
bool st_transition_finishing(struct st_session *s);

/* ST_LEVEL_INDEPENDENT: at once, all of them or none. */
int st_transition_at_once(struct st_session *s, unsigned int patch, struct st_move *move, size_t n);

#endif
