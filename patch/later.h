/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Keepers: a patch may have a part for an object that its process loads later, or unloads and loads again. As long as there is such a
 * part, a process of ours, the keeper, waits for the letters that the dynamic loader's work causes (process/mailbox.h), and the thread
 * that loads waits until the part is in place.
 *
 * A keeper that is killed leaves a mailbox that the next one takes away; the parts wait until then.
 */
#ifndef ST_PATCH_LATER_H
#define ST_PATCH_LATER_H

#include <patch/patch.h>
#include <process/mailbox.h>

/* Has the process a part of a patch in an object that may come, or go? */
bool st_later_needed(struct st_session *s);

/* The pid of its keeper, or 0. */
int st_later_keeper(struct st_session *s);

/**
 * st_later_start() - start a keeper in the background, if one is needed and not there
 *
 * It is a program of its own, `sidetrack patch watch -p PID`, and this returns when it is at work.
 *
 * Return: 1 started, 0 no need, or a negative errno.
 */
int st_later_start(struct st_session *s, char err[ST_ERR_MAX]);

struct st_later_options {
	size_t size;
	void (*ready)(void *ctx);	/* from here on nothing is missed; may be NULL */
	bool (*stop)(void *ctx);	/* asked at least once in a second */
	void (*say)(void *ctx, const char *sentence);
	void *ctx;
};

/**
 * st_later_keep() - be the keeper of a process
 *
 * Return: 0: the process has ended, nothing is left to wait for, or @o->stop said so; -EEXIST: it has a keeper; -ENOENT: sidetrack is
 *	not in it; or another negative errno.
 */
int st_later_keep(int pid, const struct st_later_options *o, char err[ST_ERR_MAX]);

/* The same, for who has a session and a mailbox already; @told: a letter is not answered yet, and the process has been looked at. */
void st_later_go_on(struct st_session *s, struct st_mailbox *box, bool told, const struct st_later_options *o);

#endif
