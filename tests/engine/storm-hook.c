/* SPDX-License-Identifier: GPL-2.0-only */
/* The storm's callbacks that declare ST_HOOK_GENERAL_REGS: built with -mgeneral-regs-only, no libc. */
#include "storm.h"

unsigned long storm_dead_calls;

static bool alive(struct st_hook *hook)
{
	struct owned *o = (struct owned *)hook;

	if (o->magic != MAGIC) {
		__atomic_fetch_add(&storm_dead_calls, 1, __ATOMIC_RELAXED);
		return false;
	}
	__atomic_fetch_add(&o->hits, 1, __ATOMIC_RELAXED);
	return true;
}

void storm_general(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent)
{
	(void)regs;
	(void)ip;
	(void)parent;
	alive(hook);
}

void storm_redirect(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent)
{
	unsigned long pc = st_regs_pc(regs);
	unsigned int lo = 0, hi = redirect_count;

	(void)ip;
	(void)parent;
	if (!alive(hook))
		return;
	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;

		if (redirects[mid].from < pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < redirect_count && redirects[lo].from == pc)
		st_regs_set_pc(regs, redirects[lo].to);
}
