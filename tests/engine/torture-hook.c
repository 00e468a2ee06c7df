/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The torture's callback: general registers only, as it says of itself (built with -mgeneral-regs-only). It writes down what
 * it was given and leaves in the registers what it was told to.
 */
#include "torture.h"

#define EFLAGS_DF 0x400
#define EFLAGS_AC 0x40000

struct torture_hit torture_hit;

void torture_hook_general(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent)
{
	const unsigned long *from = (const unsigned long *)regs;
	unsigned long *to = (unsigned long *)&torture_hit.seen;
	unsigned long flags = __builtin_ia32_readeflags_u64();

	(void)hook;
	/* rbp of a frame: the ABI's alignment, less the return address and the saved rbp */
	if ((unsigned long)__builtin_frame_address(0) % 16 || flags & (EFLAGS_DF | EFLAGS_AC))
		torture_hit.bad++;
	for (unsigned int i = 0; i < sizeof(*regs) / sizeof(*from); i++)
		to[i] = from[i];
	torture_hit.ip = ip;
	torture_hit.parent = parent;
	torture_hit.hits++;
	if (!torture_hit.change)
		return;
	if (torture_hit.move_return)
		*(unsigned long *)torture_hit.want.sp = *(unsigned long *)regs->sp;
	from = (const unsigned long *)&torture_hit.want;
	to = (unsigned long *)regs;
	for (unsigned int i = 0; i < sizeof(*regs) / sizeof(*from); i++)
		to[i] = from[i];
}

void torture_hook_nothing(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent)
{
	(void)regs;
	(void)ip;
	(void)parent;
	++*(unsigned long *)hook->data;
}
