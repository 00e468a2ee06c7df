/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live patches: a patch object goes into a process, and comes out again. The rules are those of the kernel's livepatch
 * (Documentation/livepatch); docs/live-patching.md tells how it works here.
 *
 *	st_patch_open("fix.so", &options, &file, err);
 *	st_patch_apply(session, file, &options, err);		as often as there are processes
 *	st_patch_close(file);
 *
 * Everything that is needed later is in the process's shared memory (agent/patches.h), so a tool that dies leaves nothing that
 * another one can't go on with.
 */
#ifndef ST_PATCH_PATCH_H
#define ST_PATCH_PATCH_H

#include <patch/manifest.h>
#include <process/session.h>
#include <process/transition.h>

#define ST_PATCH_TIMEOUT_MS 10000
#define ST_PATCH_LEVEL_OWN (-1)

/* How far a transition has come, for st_patch_options.progress. */
struct st_patch_progress {
	const char *name;
	bool reversed;			/* it is being taken back */
	unsigned int ms;		/* since it began */
	const struct st_busy *busy;	/* who is in the way */
	const unsigned int *busy_ms;	/* for how long each has been */
	size_t n;
};

/**
 * struct st_patch_options - how to change a process
 * @size: sizeof(struct st_patch_options)
 * @timeout_ms: how long to wait for threads that are in the way; then the transition is reversed
 * @level: enum st_level, at least; ST_PATCH_LEVEL_OWN: what the patch says
 * @force: at the end of the timeout, in place of reversing: nobody is waited for any more
 * @no_wait: leave it in transition if it is not complete at once
 * @fresh: no thread has been in any of the objects: a program that begins. Nobody is waited for, whatever the level
 * @allow_unsigned: for st_patch_open()
 * @stop: asked often while waiting; true: reverse, and return -EINTR. May be NULL
 * @progress: called at each step that is not the last; may be NULL
 * @say: a sentence for people about something that is no failure; may be NULL
 */
struct st_patch_options {
	size_t size;
	unsigned int timeout_ms;
	int level;
	bool force, no_wait, fresh, allow_unsigned;
	bool (*stop)(void *ctx);
	void (*progress)(void *ctx, const struct st_patch_progress *p);
	void (*say)(void *ctx, const char *sentence);
	void *ctx;
};

/* A patch file, read and checked once for many processes. */
struct st_patch_file {
	const char *path;	/* absolute */
	const void *image;
	size_t len;
	struct st_manifest m;
	bool is_signed;		/* by a key that is trusted */
	char *path_memory;
};

/**
 * st_patch_open() - read a patch: its manifest, its signature
 * @file: set to it; for st_patch_close()
 * @err: why not
 *
 * Return: 0; -ENOENT, -ENOEXEC (not a patch), -EINVAL (what it says is wrong), -EKEYREJECTED (not signed, or by nobody who is trusted), ...
 */
int st_patch_open(const char *path, const struct st_patch_options *o, struct st_patch_file **file, char err[ST_ERR_MAX]);
void st_patch_close(struct st_patch_file *file);

/**
 * st_patch_apply() - load a patch and put its functions in place
 * @s: a session
 * @err: why not; the process is then as it was
 *
 * If the process has the patch in transition already, goes on with that, and reverses it if it is on its way out; what a tool that
 * was killed had only to complete is completed, and that is all. Objects that are not there are left out, until st_patch_arrived().
 *
 * Return: 0 enabled; 1 left in transition (no_wait); -EBUSY (who is in the way, or another transition is), -EEXIST (it is enabled
 *	already), -EINVAL (it does not fit: build, bytes, states, dependencies), -ECANCELED (a callback refused, or somebody else has
 *	reversed it), -ENOENT, -ENOTSUP, -EINTR, ...
 */
int st_patch_apply(struct st_session *s, const struct st_patch_file *file, const struct st_patch_options *o, char err[ST_ERR_MAX]);

/**
 * st_patch_revert() - the functions below it again, and the patch's memory given back
 * @name: of the patch; one in transition is reversed, or gone on with if it is on its way out
 *
 * Return: 0; 1 left in transition (no_wait); -ENOENT no such patch; -EBUSY: a thread is in the way (nothing was changed), or is still
 *	in the patch's code (it is disabled then, and a later revert finishes), or another patch depends on it; ...
 */
int st_patch_revert(struct st_session *s, const char *name, const struct st_patch_options *o, char err[ST_ERR_MAX]);

/**
 * st_patch_arrived() - objects have come, or gone
 *
 * Parts of enabled patches whose object is there now are put in place, as when a patch is applied: pre-patch callback, functions,
 * post-patch callback. Parts whose object is not there any more wait again; their sites are forgotten.
 *
 * @fresh: no thread has been in an object that has come, so nobody is waited for, whatever the level
 *
 * Return: how many parts changed, or a negative errno: of the first that could not; it waits on.
 */
int st_patch_arrived(struct st_session *s, bool fresh, const struct st_patch_options *o, char err[ST_ERR_MAX]);

/* Does a patch in this process wait for an object? */
bool st_patch_waits(struct st_session *s);

/* Index in ctl->patch, or -1. */
int st_patch_find(const struct st_ctl *ctl, const char *name);

#endif
