/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Letters that a process writes to the tool (agent/mail.h), as the tool gets them: that its dynamic loader has changed its list of
 * objects, or that it is about to execute a program. The thread that wrote one waits for the answer, within bounds.
 */
#ifndef ST_PROCESS_MAILBOX_H
#define ST_PROCESS_MAILBOX_H

#include <process/session.h>

#define ST_MAILBOX_OBJECTS	(1u << 0)
/* And those of forked children. */
#define ST_MAILBOX_PROGRAMS	(1u << 1)

struct st_mailbox {
	struct st_session *session;
	struct st_ctl_mail *mail;	/* NULL: there is none */
	unsigned int wants;		/* ST_MAILBOX_* */
	bool watched;			/* the dynamic loader tells; else objects have to be looked for */
	bool tells;			/* of programs that it executes */
};

/* Mailboxes of tools that are dead. Return: 0 or a negative errno (st_session_error()). */
int st_mailbox_reap(struct st_session *s);

/**
 * st_mailbox_take() - from here on there are letters
 * @objs: the process's objects
 * @wants: ST_MAILBOX_*
 *
 * Return: 0; -ENOSPC: as many tools as possible have one.
 */
int st_mailbox_take(struct st_mailbox *box, struct st_session *s, struct st_objects *objs, unsigned int wants, char err[ST_ERR_MAX]);

/* Objects have come: those that @known does not have may have what tells. */
void st_mailbox_hooks(struct st_mailbox *box, struct st_objects *objs, const struct st_objects *known);

/* Is there a letter? Which (agent/mail.h); 0: it will be there in a moment. */
bool st_mailbox_full(const struct st_mailbox *box);
uint32_t st_mailbox_read(struct st_mailbox *box);
/* What there was to do about it is done. */
void st_mailbox_answer(struct st_mailbox *box);
/* Has somebody gone on without the answer? */
bool st_mailbox_late(const struct st_mailbox *box);
/* The tool is at work: who waits does so longer. */
void st_mailbox_busy(struct st_mailbox *box, bool busy);

/* No more letters; all that wait go on. */
void st_mailbox_off(struct st_mailbox *box);
/* And the hooks are gone. Return: 0 or a negative errno: a later st_mailbox_reap() will do it. */
int st_mailbox_release(struct st_mailbox *box);

#endif
