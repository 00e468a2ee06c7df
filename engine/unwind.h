/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unwinding through functions whose return is pending: what stands on the stack is `after` (engine/return.h), the true return address
 * is in the lists of pending returns. A frame description says so.
 *
 * x86-64 and AArch64: in DWARF, by an expression that walks the lists (unwind.S). ARM: an index entry with a personality routine that
 * does it (unwind_arm.c). In a process that links us the unwinder is told of the memory that stubs are in; elsewhere a hook at the
 * function by which unwinders find descriptions answers for our addresses.
 */
#ifndef ST_ENGINE_UNWIND_H
#define ST_ENGINE_UNWIND_H

#include <stdbool.h>
#include <sidetrack/hook.h>

/*
 * Is @pc, as unwinders ask for it, an `after` for which a return is pending? Then what describes it, else NULL: x86-64 and AArch64
 * an FDE, for any address (`func` of struct dwarf_eh_bases may be @pc); ARM an entry of an index table. General registers only.
 */
const void *st_unwind_find(unsigned long pc) __attribute__((visibility("hidden")));

/*
 * For _Unwind_Find_FDE(pc, bases), by which libgcc's unwinder finds descriptions: answers in its place for our addresses. The hook may
 * change pc (ST_HOOK_IPMODIFY). Not on ARM.
 */
void st_unwind_hook(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
	__attribute__((visibility("hidden")));

/*
 * st_unwind_prepare() - in a process that links us: before the first return probe
 *
 * May load libgcc_s, so: not with a lock held, not from a hook or a signal handler.
 * Return: false if there is no unwinder to be told; then nothing unwinds through a pending return.
 */
bool st_unwind_prepare(void) __attribute__((visibility("hidden")));

#if defined(__arm__)
/* The first bytes of memory for stubs, ST_UNWIND_HEAD of them, which are for an unwinder to read. */
#define ST_UNWIND_HEAD 32
void st_unwind_head(void *write, unsigned long at) __attribute__((visibility("hidden")));
#else
/* Tells it of stubs in @start to @end, if st_unwind_prepare() was called; else that does it. */
void st_unwind_cover(unsigned long start, unsigned long end) __attribute__((visibility("hidden")));

/* A CIE, an FDE and the end mark; where in it the list's address goes, and where the code's address and length (unwind.S). */
extern unsigned char st_unwind_table[], st_unwind_table_end[] __attribute__((visibility("hidden")));
extern unsigned char st_unwind_table_list[], st_unwind_table_list2[], st_unwind_table_fde[] __attribute__((visibility("hidden")));

#endif

#endif
