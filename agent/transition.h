/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A transition of live patches as the agent sees it (process/transition.h has the whole): each function that takes part has a way
 * that needs nothing of us, the `resident` one (its own code, or the jump of the patch that is settled there), and an `other` one,
 * which a hook of ours sends threads to.
 */
#ifndef ST_AGENT_TRANSITION_H
#define ST_AGENT_TRANSITION_H

#include <stdint.h>
#include <sidetrack/hook.h>

#define ST_MOVES_MAX	1024
#define ST_SET_BITS	14
#define ST_SET_SIZE	(1u << ST_SET_BITS)

enum st_transition_mode {
	ST_MODE_RESIDENT,	/* everybody goes the resident way */
	ST_MODE_SET_RESIDENT,	/* threads in the set go the resident way, all others the other */
	ST_MODE_SET_OTHER,	/* threads in the set go the other way, all others the resident: turned round */
	ST_MODE_OTHER,		/* everybody goes the other way */
};

/*
 * Who goes which way. In the agent's own memory, not in what is shared: a forked child keeps what was true when it was forked, and its
 * threads go on as that says, whoever is taken out of the parent's set.
 *
 * The set holds thread pointers, from st_set_hash() on, 0 ends the search. It is filled while all threads are stopped. A member is taken
 * out by setting its bit 0, which no thread pointer has: one byte changes, so nobody who looks for another one is misled. Only the
 * thread itself looks for its own, and it is stopped then, or does it itself.
 */
struct st_transition_state {
	uint32_t mode;		/* and ST_MODE_SECOND: the second set counts. One store changes both */
	uint32_t pad;
	unsigned long set[2][ST_SET_SIZE];
};

#define ST_MODE_SECOND	4

static inline uint32_t st_set_hash(unsigned long tp)
{
	return (uint32_t)((uint32_t)(tp >> 4) * 0x9e3779b1u) >> (32 - ST_SET_BITS);
}

/* One function. The tool's, but for hook and other. */
struct st_ctl_move {
	struct st_hook hook;	/* func = agent's st_agent_transition, data = this record's address in the target */
	uint64_t other;		/* where the other way leads, with Thumb bit */
	uint64_t redirect;	/* as the site's record will have it, if the other way stays: 0: its own code */
	uint64_t addr, size;	/* the function's own code */
	uint64_t resident, resident_size, other_size;	/* code of a patch; resident 0: its own code */
	uint32_t site;		/* index of its record */
	uint32_t isa;
	char name[64];
};

struct st_ctl_transition {
	uint32_t patch;		/* index + 1 of the patch that it is for; 0: there is none. Set when all else is there */
	uint32_t level;
	uint32_t reversed;
	uint32_t started;	/* threads have been looked at */
	uint32_t turns;		/* it was turned round: both sets have counted */
	uint32_t whole;		/* all threads go together: threads here may change stacks, or share a thread pointer */
	uint32_t moves;
	uint32_t finishing;	/* the records lead the way that was taken: it can't be turned round any more */
	struct st_hook quiescent;	/* on the functions st_quiescent() of the program */
	struct st_ctl_move move[ST_MOVES_MAX];
	int32_t tid[ST_SET_SIZE];	/* of the thread that is in the set at the same place */
};

#endif
