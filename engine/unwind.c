/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See unwind.h. Whether an address is where a pending return will come to. General registers only, no libc: for the agent.
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
#endif
