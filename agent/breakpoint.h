/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Breakpoints in a process that was attached to: what the agent keeps for them, and the tool reads and writes from outside.
 *
 * Not in the shared memory: a child that the process forks has it too, and a signal action of its own.
 */
#ifndef ST_AGENT_BREAKPOINT_H
#define ST_AGENT_BREAKPOINT_H

#include <stdint.h>

/* As rt_sigaction(2) has it. */
struct st_action {
	unsigned long handler, flags, restorer;
	unsigned long mask[8 / sizeof(long)];
};

#define ST_SIG_TRAP		5
#define ST_SA_RESTORER		0x04000000ul
#define ST_SA_ONSTACK		0x08000000ul
#define ST_SA_RESTART		0x10000000ul
#define ST_SA_NODEFER		0x40000000ul
#define ST_SA_RESETHAND		0x80000000ul
#define ST_SA_SIGINFO		4ul

/*
 * @on: SIGTRAP's action is ours, the program's own is action[now]. Changed by the tool only, while all threads are stopped
 * @changing: threads that are changing the action just now
 * @masks: signals, as bits from 0 on, whose actions would block SIGTRAP and do not for now
 * @restorer: x86-64: what the C library adds to an action: where handlers return to
 */
struct st_trap {
	uint32_t on, changing, now, pad;
	uint64_t masks;
	unsigned long restorer;
	struct st_action action[2];
};

/*
 * What is installed for SIGTRAP while the program's own action is @own: its stack, its mask, its way with interrupted calls,
 * so that its handler finds what the kernel would have given it; but SIGTRAP is never blocked.
 */
static inline struct st_action st_trap_action(const struct st_action *own, unsigned long handler, unsigned long restorer)
{
	struct st_action a = { .handler = handler, .flags = ST_SA_SIGINFO | ST_SA_NODEFER };

	if (own->handler > 1) {		/* not SIG_DFL, SIG_IGN */
		a.flags |= own->flags & (ST_SA_ONSTACK | ST_SA_RESTART);
		for (unsigned int i = 0; i < sizeof(a.mask) / sizeof(long); i++)
			a.mask[i] = own->mask[i];
		a.mask[0] &= ~(1ul << (ST_SIG_TRAP - 1));
	} else {
		a.flags |= ST_SA_ONSTACK | ST_SA_RESTART;
	}
	if (restorer) {
		a.flags |= ST_SA_RESTORER;
		a.restorer = restorer;
	}
	return a;
}

#endif
