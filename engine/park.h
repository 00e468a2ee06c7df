/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stopping all other threads of this process, from inside, by a real-time signal, and looking at where they are.
 *
 * A thread that was in a system call which SA_RESTART does not cover may see EINTR. Attaching from outside (process/)
 * has no such effect; this is for programs that link us and hook functions that have no NOP.
 */
#ifndef ST_ENGINE_PARK_H
#define ST_ENGINE_PARK_H

#include <stddef.h>
#include <stdbool.h>
#include <engine/edit.h>

/*
 * Stop every other thread. From here to st_unpark() no libc function that takes a lock may be called: a stopped
 * thread may hold it. Return: 0, or -EBUSY with every thread running again: one could not be reached.
 */
int st_park(void) __attribute__((visibility("hidden")));

/*
 * Are all stopped threads outside the instructions that the edits replace? A thread right between two of them is moved
 * to the copy. Return: false if some thread has a signal frame or other word on its stack that points in there.
 */
bool st_park_clear(const struct st_change *edit, size_t n) __attribute__((visibility("hidden")));

void st_unpark(void) __attribute__((visibility("hidden")));

struct sigaction;

/* Is this the handler that st_park() stops threads with? It runs no code of the program. */
bool st_park_handles(const struct sigaction *sa) __attribute__((visibility("hidden")));

/*
 * Between st_park() and st_unpark(): where is the stopped thread with this thread pointer? Return: its tid, 0 if there is
 * none. @sp is set to its stack pointer, @alternate to whether that is on its alternate signal stack.
 */
int st_park_find(unsigned long tp, unsigned long *sp, bool *alternate) __attribute__((visibility("hidden")));

/* Do two addresses lie in the same mapping? */
bool st_park_same_mapping(unsigned long a, unsigned long b) __attribute__((visibility("hidden")));

/* Does any thread of the process, the caller's included, block this signal now? */
bool st_blocked_somewhere(int sig) __attribute__((visibility("hidden")));

#endif
