/* SPDX-License-Identifier: GPL-2.0-only */
/* Would a patch apply? Nothing is changed to find out. */
#ifndef ST_PATCH_CHECK_H
#define ST_PATCH_CHECK_H

#include <patch/patch.h>

#define ST_CHECK_BUSY_MAX 64

struct st_patch_check {
	enum st_level level;			/* at which it would apply */
	enum st_kind kind[ST_MANIFEST_MAX];	/* of each m->replace: how it would be reached; ST_KIND_NO: its object is not there, it waits */
	struct st_busy busy[ST_CHECK_BUSY_MAX];	/* who is in the way now; with level independent nobody ever is */
	size_t n;
};

/**
 * st_patch_check() - look, without changing anything
 * @check: filled in
 * @err: why it would not
 *
 * Return: 0 it would apply, now; -EBUSY: it would have to wait for threads (check->busy), or for another transition (n is 0); else as
 *	st_patch_apply().
 */
int st_patch_check(struct st_session *s, const struct st_patch_file *file, const struct st_patch_options *o, struct st_patch_check *check,
		   char err[ST_ERR_MAX]);

#endif
