/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unwinding through pending returns on 32-bit ARM (EHABI32 5 and 6): the personality routine that the entry at the head of each piece of
 * memory for stubs leads to (unwind.h). General registers only, no libc: for the agent.
 */
#if defined(__arm__)
#include <engine/return.h>
#include <engine/unwind.h>

#define URC_CONTINUE_UNWIND	8
#define URC_FAILURE		9
#define SP			13
#define PC			15

st_unwind_vrs st_unwind_get, st_unwind_set;

/* sp is the caller's already, and the other registers are as the function left them. Register class 0 is the core registers. */
int st_unwind_personality(int state, void *exception, void *context)
{
	uint32_t key, addr = 0;

	(void)state;
	(void)exception;
	if (!st_unwind_get || !st_unwind_set || st_unwind_get(context, 0, SP, 0, &key))
		return URC_FAILURE;
	for (struct st_pending *r = __atomic_load_n(&st_returns_list, __ATOMIC_ACQUIRE); r && !addr; r = r->next)
		for (struct st_pending *e = r + ST_PENDING_MAX - 1; e > r && !addr; e--)
			if (e->key == key)
				addr = e->addr;
	if (!addr || st_unwind_set(context, 0, PC, 0, &addr))
		return URC_FAILURE;
	return URC_CONTINUE_UNWIND;
}

/*
 * For other places in a stub nothing is said: a thread that is cancelled there ends its stack, as before; a routine that gives up would end
 * the process.
 */
bool st_unwind_is_after(unsigned long pc)
{
	for (struct st_pending *r = __atomic_load_n(&st_returns_list, __ATOMIC_ACQUIRE); r; r = r->next)
		for (struct st_pending *e = r + ST_PENDING_MAX - 1; e > r; e--)
			if (e->key > ST_PENDING_TAKEN && (e->ret->after & ~1ul) - (pc & ~1ul) <= 2)
				return true;
	return false;
}
#endif
