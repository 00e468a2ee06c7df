/* SPDX-License-Identifier: GPL-2.0-only */
/* Is what a process has what the patch was made for? */
#ifndef ST_PATCH_VERIFY_H
#define ST_PATCH_VERIFY_H

#include <patch/manifest.h>
#include <process/session.h>

/**
 * st_verify_function() - find a function that is to be replaced, and look whether its code is what it should be
 * @s: to know which of its bytes are ours
 * @o: the object; with a build-id that the caller has compared, if the patch names one
 * @e: object, symbol, and what `patch build` found (e->bound)
 * @fn: filled in
 *
 * Where it is, e->bound says, else the object's symbols. Its bytes in memory, with our own sites undone, have to be those whose
 * checksum e->bound has, else those of the object's file.
 *
 * Return: 0; -ENOENT (no such function), -EINVAL (several, or its bytes differ: says where), -ENOTSUP (an ifunc, or nothing to
 *	compare with), -ENOMEM, -EFAULT, ...
 */
int st_verify_function(struct st_session *s, struct st_object *o, const struct st_manifest_entry *e, struct st_fn *fn, char *err);

/**
 * st_verify_target() - find what ST_TARGET() names
 * @addr: set to it; a function's with its Thumb bit
 *
 * Return: 0, -ENOENT, -EINVAL.
 */
int st_verify_target(struct st_object *o, const struct st_manifest_entry *e, unsigned long *addr, char *err);

/* BLAKE2b-256. */
void st_checksum(const void *bytes, size_t len, uint8_t sum[ST_CHECKSUM_SIZE]);

#endif
