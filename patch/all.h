/* SPDX-License-Identifier: GPL-2.0-only */
/* The processes that a patch is for. */
#ifndef ST_PATCH_ALL_H
#define ST_PATCH_ALL_H

#include <patch/manifest.h>
#include <process/process.h>

struct st_all_one {
	int pid;
	char comm[17];
};

struct st_all {
	size_t n;
	struct st_all_one *one;
	unsigned int hidden;	/* processes that may not be looked at */
	unsigned int others;	/* that have an object of the name, but another build of it */
};

/**
 * st_all_find() - processes that map an object whose functions a patch replaces, or that it has callbacks for
 * @m: the patch
 * @all: filled in; for st_all_free(). The tool itself is left out
 *
 * An object is known by its file name and, where the patch names one, by its build-id. Of a file that can't be read the name decides:
 * who applies the patch will know. Each process's maps are read once and each file once, no process is stopped.
 *
 * Return: 0 or a negative errno.
 */
int st_all_find(const struct st_manifest *m, struct st_all *all, char err[ST_ERR_MAX]);

/* Is this process one of them, now? */
bool st_all_wants(const struct st_manifest *m, int pid);

void st_all_free(struct st_all *all);

#endif
