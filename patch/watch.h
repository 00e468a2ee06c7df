/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The watcher: installed patches (installed.h) get into programs that start, before their first own instruction.
 *
 * The kernel asks it (fanotify, FAN_OPEN_EXEC_PERM) before a program is executed. For one that a patch may be for it starts a worker,
 * which traces the thread that executes; then the kernel is answered. The worker holds the new program, finds out what it maps, and
 * either lets it go or patches it when its dynamic loader is through, before any constructor runs; then it becomes its keeper
 * (later.h), if it needs one.
 *
 * A watcher that dies blocks nobody: the kernel answers in its place when its descriptor is closed. A worker that dies leaves a process
 * that goes on unpatched.
 */
#ifndef ST_PATCH_WATCH_H
#define ST_PATCH_WATCH_H

#include <patch/patch.h>

#define ST_WATCH_MS 5000	/* to patch a program that starts */

struct st_watch_options {
	size_t size;
	const char *const *on;		/* only programs on the file systems that these are on; NULL at the end. NULL: on all */
	unsigned int ms;		/* after that a program goes on unpatched; 0: ST_WATCH_MS */
	void (*ready)(void *ctx);	/* from here on nothing is missed; may be NULL */
	bool (*stop)(void *ctx);	/* asked after every signal, and at least once in a second */
	void (*say)(void *ctx, const char *sentence);
	void *ctx;
};

/**
 * st_watch() - be the watcher
 *
 * Processes that run already are patched first, as those that were started when nobody watched.
 *
 * Return: 0: @stop said so; -EBUSY: there is one already; -EPERM: not root; -ENOTSUP: the kernel can't; or another negative errno.
 */
int st_watch(const struct st_watch_options *o, char err[ST_ERR_MAX]);

#endif
