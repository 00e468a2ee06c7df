/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads that are about to execute a program, each traced from its letter (agent/mail.h) to the moment when the program is there.
 */
#ifndef ST_PROCESS_FOLLOW_H
#define ST_PROCESS_FOLLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <process/process.h>

struct st_follow {
	size_t n;
	struct st_follow_one {
		struct st_hold hold;
		uint64_t until;		/* ns: an exec that has not come by then has failed */
	} *one;
};

/* Wait for this thread's program. Return: 0 or a negative errno. */
int st_follow_add(struct st_follow *follow, int tid);

/*
 * The next program that has been executed; it is held before its first instruction. To be called every few ms. False: none.
 */
bool st_follow_next(struct st_follow *follow, struct st_hold *hold);

/* Is a process's program waited for, or not yet taken from st_follow_next()? */
bool st_follow_has(const struct st_follow *follow, int pid);

/* Let the threads of a process go: somebody wants to stop it. */
void st_follow_forget(struct st_follow *follow, int pid);

/* Let all go. */
void st_follow_end(struct st_follow *follow);

#endif
