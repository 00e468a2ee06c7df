/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A patch's symbols, looked up in the files of the objects when it is made and not when it is applied: the program that runs may then
 * be stripped, and its code is compared with what the patch was made for.
 */
#ifndef ST_PATCH_BIND_H
#define ST_PATCH_BIND_H

#include <stddef.h>

#define ST_BIND_FILES_MAX 64

/* A file of an object: itself, unstripped or not, or its debug file; both may be given. */
struct st_bind_file {
	const char *name;	/* of the object in the manifest; NULL: that of the file */
	const char *path;
};

/**
 * st_bind() - write a patch with the addresses of its symbols
 * @patch: a patch without them
 * @out: where to; a file that is there is replaced
 * @err: why not
 *
 * The file is @patch and one more section, ST_NOTE_BOUND, which is not loaded. For each replaced function and each target it
 * has the address, size, instruction set and, of code, checksum; for each object its build-id.
 *
 * Return: the number of symbols; -ENOENT: no such file, object or symbol; -EINVAL: several symbols, another build, or it can't be bound
 *	(says why); -ENOEXEC; ...
 */
int st_bind(const char *patch, const struct st_bind_file *file, size_t n, const char *out, char *err);

#endif
