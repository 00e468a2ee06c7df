/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which process is this: the one that was attached to, or a child that it has forked, which has all of it, too? A word in memory
 * that the kernel clears in a child (MADV_WIPEONFORK) says so, at the price of a load.
 */
#ifndef ST_AGENT_HOME_H
#define ST_AGENT_HOME_H

#include <agent/ctl.h>
#include <engine/syscall.h>

/*
 * The process id; ctl->pid in the one that was attached to. A child of vfork() is its parent. 0: a child under seccomp.
 */
static inline uint32_t st_agent_process(const struct st_ctl *ctl)
{
	volatile uint32_t *home = (volatile uint32_t *)(unsigned long)ctl->home;
	uint32_t pid;

	if (!home)
		return ctl->pid;
	pid = *home;
	if (__builtin_expect(!pid && !ctl->no_syscalls, 0)) {
		pid = (uint32_t)st_syscall0(__NR_getpid);
		*home = pid;
	}
	return pid;
}

#endif
