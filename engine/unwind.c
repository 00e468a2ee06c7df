/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See unwind.h. Whether an address is where a pending return will come to. And the hook by which an unwinder learns of it. General
 * registers only, no libc: for the agent.
 */
#include <engine/return.h>
#include <engine/unwind.h>

#if !defined(__arm__)
/* Unwinders look up the call, which is before the return address; the return address itself if a signal came there. */
static bool is_after(unsigned long pc)
{
	for (struct st_pending *r = __atomic_load_n(&st_returns_list, __ATOMIC_ACQUIRE); r; r = r->next)
		for (struct st_pending *e = r + ST_PENDING_MAX - 1; e > r; e--)
			if (e->key > ST_PENDING_TAKEN && e->ret->after - pc <= 1)
				return true;
	return false;
}

static void set_word(unsigned char *to, unsigned long word)
{
	for (unsigned int i = 0; i < sizeof(word); i++, word >>= 8)
		((volatile unsigned char *)to)[i] = (unsigned char)word;
}

const void *st_unwind_find(unsigned long pc)
{
	if (!is_after(pc))
		return NULL;
	/* The same each time. */
	set_word(st_unwind_table_list, (unsigned long)&st_returns_list);
	set_word(st_unwind_table_list2, (unsigned long)&st_returns_list);
	return st_unwind_table_fde - 2 * sizeof(int);
}

/* As libgcc has it (unwind-dw2-fde.h). */
struct dwarf_eh_bases {
	void *tbase, *dbase, *func;
};

void st_unwind_hook(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	unsigned long pc = st_regs_argument(regs, 0);
	struct dwarf_eh_bases *bases = (struct dwarf_eh_bases *)st_regs_argument(regs, 1);
	const void *fde = st_unwind_find(pc);

	(void)hook;
	(void)ip;
	(void)parent_ip;
	if (!fde)
		return;
	bases->tbase = NULL;
	bases->dbase = NULL;
	bases->func = (void *)pc;
#if defined(__x86_64__)
	regs->ax = (unsigned long)fde;
	st_regs_set_pc(regs, (unsigned long)st_return_ret);
#else
	regs->regs[0] = (unsigned long)fde;
	st_regs_set_pc(regs, regs->regs[30]);
#endif
}
#endif
