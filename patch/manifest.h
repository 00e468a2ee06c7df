/* SPDX-License-Identifier: GPL-2.0-only */
/* What a patch file says it does: the notes that include/sidetrack/patch.h writes. */
#ifndef ST_PATCH_MANIFEST_H
#define ST_PATCH_MANIFEST_H

#include <stddef.h>

#define ST_MANIFEST_MAX 256	/* functions, objects or targets in one patch */

/* One note: replace OBJECT FUNCTION REPLACEMENT, object OBJECT BUILD_ID, target OBJECT SYMBOL VARIABLE. */
struct st_manifest_entry {
	const char *object, *symbol, *own;
};

struct st_manifest {
	const char *name, *level;
	struct st_manifest_entry replace[ST_MANIFEST_MAX], object[ST_MANIFEST_MAX], target[ST_MANIFEST_MAX];
	size_t replaces, objects, targets;
	char *text;	/* what the strings point into */
};

/**
 * st_manifest_read() - find and check the manifest in the bytes of a patch
 * @image, @len: the file; anything may be in it
 * @m: filled in; to be freed by st_manifest_free() if 0 is returned
 * @err: why not, ST_ERR_MAX bytes
 *
 * Return: 0, -ENOEXEC (not an ELF file, or damaged), -EINVAL (no or a wrong manifest), -ENOMEM.
 */
int st_manifest_read(const void *image, size_t len, struct st_manifest *m, char *err);
void st_manifest_free(struct st_manifest *m);

#endif
