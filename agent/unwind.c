/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* By which the unwinder of a 32-bit ARM process learns of pending returns (engine/unwind.h). The tool has written the islands' heads. */
#include <agent/ctl.h>
#include <agent/probe.h>
#include <engine/unwind.h>

/* For __gnu_Unwind_Find_exidx(pc, count), which returns an index table. */
void st_unwind_hook(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	unsigned long pc = regs->r[0];
	const struct st_ctl *ctl = st_agent_ctl;

	(void)hook;
	(void)ip;
	(void)parent_ip;
	/* Without them the routine could not do its work. So the stack ends here. */
	if (!st_unwind_get || !st_unwind_set || !st_unwind_is_after(pc))
		return;
	for (unsigned int i = 0; i < ST_REGIONS_MAX; i++) {
		const struct st_ctl_region *r = &ctl->region[i];

		if (r->kind != ST_REGION_ISLAND || pc - (unsigned long)r->start >= (unsigned long)r->size)
			continue;
		*(int *)regs->r[1] = 1;
		regs->r[0] = (unsigned long)r->start;
		st_regs_set_pc(regs, regs->lr);
		return;
	}
}
