/* SPDX-License-Identifier: GPL-2.0-only */
/* Live patches: a patch object goes into a process, and comes out again. */
#ifndef ST_PATCH_PATCH_H
#define ST_PATCH_PATCH_H

#include <process/session.h>

/**
 * st_patch_apply() - load a patch and put its functions in place
 * @s: a session
 * @file: the patch, a shared object with a manifest (include/sidetrack/patch.h)
 * @err: why not; the process is then as it was
 *
 * Return: the number of functions replaced, or -ENOENT (no such file, object or function), -ENOEXEC, -EINVAL (what the
 *	file says is wrong), -EEXIST (a patch of this name is applied), -ENOTSUP, -EBUSY (a thread in the way), ...
 */
int st_patch_apply(struct st_session *s, const char *file, char err[ST_ERR_MAX]);

/**
 * st_patch_revert() - the old functions again, and the patch's memory given back
 * @name: of the patch
 * @err: why not
 *
 * Return: 0; -ENOENT no such patch; -EBUSY: a later patch replaces one of its functions, or a thread is still in its code:
 *	its functions are then out of use, and a later revert finishes.
 */
int st_patch_revert(struct st_session *s, const char *name, char err[ST_ERR_MAX]);

#endif
