/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef ST_PATCH_VERIFY_H
#define ST_PATCH_VERIFY_H

#include <patch/manifest.h>
#include <process/session.h>

int st_verify_function(struct st_session *s, struct st_objects *objs, const struct st_manifest_entry *e, struct st_fn *fn, char *err);

#endif
