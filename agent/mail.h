/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Letters from a process to the tool: a thread of it is about to go on with objects that are new, or to execute another program. It
 * waits until the tool has done what it has to do about that, but not for long, and not for a tool that has not answered before.
 */
#ifndef ST_AGENT_MAIL_H
#define ST_AGENT_MAIL_H

#include <stdint.h>
#include <sidetrack/hook.h>

#define ST_MAILS_MAX	8	/* tools that get letters from one process */
#define ST_LETTERS_MAX	64	/* that lie unread */
#define ST_MAIL_MS	1000	/* how long a thread waits for a tool that does nothing */
#define ST_MAIL_MAX_MS	5000	/* and for one that is at work, on this answer or another */
#define ST_MAIL_SLICE_MS 20	/* between two looks which of them it is */

#define ST_LETTER_OBJECTS	(1u << 30)
#define ST_LETTER_EXEC		(2u << 30)
#define ST_LETTER_TID		((1u << 30) - 1)	/* the thread, as its process sees it */

/* One tool's. Letters are numbered from 0; those from `answered` to `asked` are not answered yet. */
struct st_ctl_mail {
	struct st_hook objects, exec;	/* func = agent's st_agent_mail, data = this record's address in the target */
	uint32_t owner;			/* pid of the tool, 0: free */
	uint32_t on;			/* 1: write letters */
	uint64_t owner_start;
	uint32_t children;		/* forked children write, too */
	uint32_t near;			/* the process sees the tool under the same pid */
	uint32_t deaf;			/* somebody waited in vain: nobody waits until the tool has taken this back */
	uint32_t asked;			/* by the target; a futex */
	uint32_t answered;		/* by the tool; a futex */
	uint32_t busy;			/* 1: the tool is at work */
	uint32_t keeps;			/* 1: it is the keeper of the process's patches */
	uint32_t pad;
	uint32_t letter[ST_LETTERS_MAX];	/* 0: not written yet; the tool takes it out */
};

#endif
