/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Patches that are kept for processes which start later: a folder of patch files, NUMBER-NAME.patch, or NUMBER-NAME.unsigned.patch for
 * one that was allowed in without a signature that is trusted. The number says in which order they are applied.
 *
 * Who may write there decides what runs in every process, so the folder and its files have to be root's (or the caller's own), and
 * nobody else's to write.
 */
#ifndef ST_PATCH_INSTALLED_H
#define ST_PATCH_INSTALLED_H

#include <patch/patch.h>

#define ST_INSTALLED_DIR "/var/lib/sidetrack/patches"

/* The folder: that, or what SIDETRACK_PATCHES names. */
const char *st_installed_dir(void);

struct st_installed {
	size_t n;
	struct st_patch_file **file;	/* in their order */
};

/**
 * st_installed_read() - all of them, read and checked
 * @say: told of each file that can't be used, which is left out; may be NULL
 *
 * Return: 0, also if there is no such folder; -EPERM: others may write there; or another negative errno.
 */
int st_installed_read(struct st_installed *all, void (*say)(void *ctx, const char *sentence), void *ctx, char err[ST_ERR_MAX]);
void st_installed_free(struct st_installed *all);

/**
 * st_installed_put() - keep a patch
 * @file: as st_patch_open() has it
 *
 * Makes the folder. Return: 0; 1: the very same is there already; -EEXIST: another one of its name is; or another negative errno.
 */
int st_installed_put(const struct st_patch_file *file, char err[ST_ERR_MAX]);

/* Forget a patch. Return: 0, -ENOENT: it is not there, or another negative errno. */
int st_installed_remove(const char *name, char err[ST_ERR_MAX]);

/* Say that there is a watcher, until the descriptor that is returned is closed. -EBUSY: there is one already. And ask. */
int st_installed_watch(char err[ST_ERR_MAX]);
bool st_installed_watched(void);

#endif
