/* SPDX-License-Identifier: GPL-2.0-only */
/* Patch files, read whole and written whole. */
#ifndef ST_PATCH_FILES_H
#define ST_PATCH_FILES_H

#include <stddef.h>

#define ST_FILE_MAX (256l << 20)

/**
 * st_file_read() - a file of a size that a patch can have
 *
 * Private memory, not a mapping: the file may be cut short while it is looked at.
 * Return: 0 with *image, to be freed; -ENOENT, -ENOEXEC (not a file of a fitting size), -EIO, ...
 */
int st_file_read(const char *path, void **image, size_t *len, char *err);

/**
 * st_file_replace() - put bytes in the place of a file, at once or not at all
 * @path: the file, which may be there or not; a link to one stays
 * @like: it gets the permissions of this one
 * @head, @tail: its bytes
 *
 * Return: 0 or a negative errno.
 */
int st_file_replace(const char *path, const char *like, const void *head, size_t head_len, const void *tail, size_t tail_len, char *err);

#endif
