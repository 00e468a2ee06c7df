/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * By which the unwinders of a process learn of pending returns (engine/unwind.h; on ARM the tool has written the islands' heads), and
 * of patches.
 */
#include <dlfcn.h>
#include <agent/frames.h>
#include <agent/probe.h>
#include <agent/unwind.h>
#include <engine/unwind.h>

#if defined(__arm__)
static const void *find(unsigned long pc, int *count)
{
	const struct st_ctl *ctl = st_agent_ctl;
	const void *index = st_patch_index(pc, count);

	/* Without them the routine could not do its work. So the stack ends here. */
	if (index || !st_unwind_get || !st_unwind_set || !st_unwind_is_after(pc))
		return index;
	for (unsigned int i = 0; i < ST_REGIONS_MAX; i++) {
		const struct st_ctl_region *r = &ctl->region[i];

		if (r->kind != ST_REGION_ISLAND || pc - (unsigned long)r->start >= (unsigned long)r->size)
			continue;
		*count = 1;
		return (const void *)(unsigned long)r->start;
	}
	return NULL;
}

void st_unwind_hook(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	int count;
	const void *index = find(regs->r[0], &count);

	(void)hook;
	(void)ip;
	(void)parent_ip;
	if (!index)
		return;
	*(int *)regs->r[1] = count;
	regs->r[0] = (unsigned long)index;
	st_regs_set_pc(regs, regs->lr);
}
#else
/* The hooked function returns this, and does nothing. */
static void answer(struct st_regs *regs, unsigned long value)
{
#if defined(__x86_64__)
	regs->ax = value;
	st_regs_set_pc(regs, (unsigned long)st_return_ret);
#else
	regs->regs[0] = value;
	st_regs_set_pc(regs, regs->regs[30]);
#endif
}

/* As libgcc has it (unwind-dw2-fde.h). */
struct dwarf_eh_bases {
	void *tbase, *dbase, *func;
};

void st_unwind_hook(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	unsigned long pc = st_regs_argument(regs, 0), func = pc;
	struct dwarf_eh_bases *bases = (struct dwarf_eh_bases *)st_regs_argument(regs, 1);
	const void *fde = st_patch_description(pc, &func);

	(void)hook;
	(void)ip;
	(void)parent_ip;
	if (!fde)
		fde = st_unwind_find(pc);
	if (!fde)
		return;
	bases->tbase = NULL;
	bases->dbase = NULL;
	bases->func = (void *)func;
	answer(regs, (unsigned long)fde);
}

#if defined(DLFO_STRUCT_HAS_EH_DBASE)
void st_find_object_hook(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	const struct st_patch_frames *f = st_patch_frames_at(st_regs_argument(regs, 0));
	struct dl_find_object *result = (struct dl_find_object *)st_regs_argument(regs, 1);

	(void)hook;
	(void)ip;
	(void)parent_ip;
	if (!f)
		return;
	result->dlfo_flags = 0;
	result->dlfo_map_start = (void *)f->lo;
	result->dlfo_map_end = (void *)f->hi;
	result->dlfo_link_map = NULL;
	result->dlfo_eh_frame = (void *)(f->table - ST_FRAMES_TABLE);
	answer(regs, 0);
}
#endif
#endif
