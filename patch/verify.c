/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <string.h>
#include <patch/internal.h>
#include <patch/verify.h>

int st_verify_function(struct st_session *s, struct st_objects *objs, const struct st_manifest_entry *e, struct st_fn *fn, char *err)
{
	const struct st_func *f, *hit = NULL;
	struct st_object *o = NULL;
	size_t n;

	(void)s;
	for (size_t i = 0; i < objs->n; i++)
		if (!strcmp(objs->object[i].name, e->object))
			o = &objs->object[i];
	if (!o)
		return st_patch_fail(err, -ENOENT, "the process has no object %s", e->object);
	f = st_object_functions(o, &n);
	for (size_t k = 0; k < n; k++) {
		if (strcmp(f[k].name, e->symbol))
			continue;
		if (hit && hit->addr != f[k].addr)
			return st_patch_fail(err, -EINVAL, "%s has several functions %s", e->object, e->symbol);
		hit = &f[k];
	}
	if (!hit)
		return st_patch_fail(err, -ENOENT, "%s has no function %s (with a symbol)", e->object, e->symbol);
	if (hit->flags & ST_FUNC_IFUNC)
		return st_patch_fail(err, -ENOTSUP, "%s is chosen at run time (an ifunc): replace the one it chose", e->symbol);
	*fn = (struct st_fn){
		.addr = hit->addr, .size = hit->size, .room = hit->room, .isa = hit->isa, .name = hit->name,
	};
	return 0;
}
