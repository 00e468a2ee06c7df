/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unwinding through functions whose return is pending: what stands on the stack is `after` (engine/return.h), the true return address
 * is in the lists of pending returns. A frame description says so.
 *
 * x86-64 and AArch64: in DWARF, by an expression that walks the lists (unwind.S). ARM: an index entry with a personality routine that
 * does it (unwind_exidx.c). In a process that links us the unwinder is told of the memory that stubs are in; elsewhere a hook at the
 * function by which unwinders find descriptions answers for our addresses (agent/unwind.c).
 */
#ifndef ST_ENGINE_UNWIND_H
#define ST_ENGINE_UNWIND_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Is @pc, as unwinders ask for it, an `after` for which a return is pending? Then what describes it, else NULL: an FDE, for any address
 * (`func` of struct dwarf_eh_bases may be @pc). General registers only. Not on ARM.
 */
const void *st_unwind_find(unsigned long pc) __attribute__((visibility("hidden")));

/*
 * st_unwind_prepare() - in a process that links us: before the first return probe
 *
 * May load libgcc_s, so: not with a lock held, not from a hook or a signal handler.
 * Return: false if there is no unwinder to be told; then nothing unwinds through a pending return.
 */
bool st_unwind_prepare(void) __attribute__((visibility("hidden")));

#if defined(__arm__)
/* Is it where a pending return will come to? Unwinders look up a place in the call, which is before it. */
bool st_unwind_is_after(unsigned long pc) __attribute__((visibility("hidden")));

/* The personality routine, which unwinds from there to the true return address. */
int st_unwind_personality(int state, void *exception, void *context) __attribute__((visibility("hidden")));

/* _Unwind_VRS_Get and _Unwind_VRS_Set of the process's libgcc (EHABI32 7.5), or NULL. */
typedef int (*st_unwind_vrs)(void *context, int class, uint32_t reg, int representation, void *value);
extern st_unwind_vrs st_unwind_get, st_unwind_set __attribute__((visibility("hidden")));

/* The first bytes of memory for stubs, ST_UNWIND_HEAD of them, which are for an unwinder to read. */
#define ST_UNWIND_HEAD 32

static inline uint32_t st_unwind_prel31(unsigned long from, unsigned long to)
{
	return (to - from) & 0x7fffffff;
}

/*
 * There is no expression language in ARM's tables, but an index entry may name a personality routine that unwinds the frame as it likes.
 * It has to be within a gigabyte of its entry, and both of the code: so there are the entry, its table, and a jump to the routine.
 * @w: what is, or will be, at @at
 */
static inline void st_unwind_head(uint32_t w[ST_UNWIND_HEAD / 4], unsigned long at, unsigned long routine)
{
	w[0] = st_unwind_prel31(at, at);		/* the code that it is for starts here */
	w[1] = st_unwind_prel31(at + 4, at + 8);	/* its table */
	w[2] = st_unwind_prel31(at + 8, at + 12);	/* which names a routine */
	w[3] = 0xe51ff004;				/* ldr pc, [pc, #-4] */
	w[4] = (uint32_t)routine;
}
#else
/* Tells it of stubs in @start to @end, if st_unwind_prepare() was called; else that does it. */
void st_unwind_cover(unsigned long start, unsigned long end) __attribute__((visibility("hidden")));

/* A CIE, an FDE and the end mark; where in it the list's address goes, and where the code's address and length (unwind.S). */
extern unsigned char st_unwind_table[], st_unwind_table_end[] __attribute__((visibility("hidden")));
extern unsigned char st_unwind_table_list[], st_unwind_table_list2[], st_unwind_table_fde[] __attribute__((visibility("hidden")));

#endif

#endif
