/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Waiting for the threads that are in a hook: the slow side of thread.h. */
#ifndef ST_ENGINE_WAIT_H
#define ST_ENGINE_WAIT_H

#include <stdbool.h>

/*
 * Returns when every dispatch that was running, and could have read a list of hooks changed before the call, has ended. The
 * process must be registered for MEMBARRIER_CMD_PRIVATE_EXPEDITED. Not from a hook. Of a thread that does not come back for
 * about a second, @left is asked whether it has left its hook by longjmp(), and is elsewhere.
 */
void st_threads_wait(bool (*left)(unsigned long tp, unsigned long busy)) __attribute__((visibility("hidden")));

/* Before the first hook: finds out how to tell a thread that has ended. Not needed in the agent, whose hooks never block. */
void st_threads_init(void) __attribute__((visibility("hidden")));

/* Copies memory that may not be mapped; false if it is not. Slow, by system calls. */
bool st_read_safely(void *to, unsigned long from, unsigned long len) __attribute__((visibility("hidden")));

/* Is the calling thread in a hook? */
bool st_threads_in_hook(void) __attribute__((visibility("hidden")));

/* To be called in the child of a fork, before anything is hooked or unhooked there. */
void st_threads_after_fork(void) __attribute__((visibility("hidden")));

#endif
