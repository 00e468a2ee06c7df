/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the unwinders of a process that was attached to find their way through what is ours. */
#ifndef ST_AGENT_UNWIND_H
#define ST_AGENT_UNWIND_H

#include <sidetrack/hook.h>

struct st_patch_frames;

/**
 * st_unwind_hook() - for the function by which libgcc's unwinder finds descriptions: answers in its place for our addresses
 *
 * For _Unwind_Find_FDE(pc, bases); on ARM for __gnu_Unwind_Find_exidx(pc, count). Changes pc where it has an answer.
 */
void st_unwind_hook(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
	__attribute__((visibility("hidden")));

/* Those of the patch that is at @pc, or NULL. */
const struct st_patch_frames *st_patch_frames_at(unsigned long pc) __attribute__((visibility("hidden")));

#if defined(__arm__)
/* The index table of the patch whose code is at @pc, and how many entries it has; NULL: there is none. */
const void *st_patch_index(unsigned long pc, int *count) __attribute__((visibility("hidden")));
#else
/*
 * For the C library's _dl_find_object(pc, result), by which libgcc finds objects since glibc 2.35: so that an unwinder which comes to the
 * process later finds patches, too. backtrace() and pthread_cancel() load libgcc when they need it.
 */
void st_find_object_hook(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
	__attribute__((visibility("hidden")));

/* The description (FDE) of the function of a patch that is at @pc, and where that begins; NULL: there is none. */
const void *st_patch_description(unsigned long pc, unsigned long *func) __attribute__((visibility("hidden")));
#endif

#endif
