/* SPDX-License-Identifier: GPL-2.0-only */
/* The objects that a patch is for, and those that the process has. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <patch/internal.h>
#include <patch/verify.h>

void st_hex_build_id(const struct st_object *o, char hex[2 * ST_BUILD_ID_MAX + 1])
{
	*hex = '\0';
	for (size_t k = 0; k < o->build_id_len && k < ST_BUILD_ID_MAX; k++)
		sprintf(hex + 2 * k, "%02x", o->build_id[k]);
}

int st_part_object(struct st_work *w, const char *name, const char *build_id, struct st_object **o)
{
	char hex[2 * ST_BUILD_ID_MAX + 1], other[2 * ST_BUILD_ID_MAX + 1];
	size_t named = 0, right = 0;

	*o = NULL;
	for (size_t i = 0; i < w->objs->n; i++) {
		if (!st_object_called(&w->objs->object[i], name))
			continue;
		st_hex_build_id(&w->objs->object[i], hex);
		named++;
		if (build_id && strcasecmp(hex, build_id)) {
			memcpy(other, hex, sizeof(other));
			continue;
		}
		right++;
		*o = &w->objs->object[i];
	}
	if (right > 1)
		return st_patch_fail(w->err, -ENOTSUP, "the process has %s more than once: which one is meant can't be said", name);
	if (named && !right)
		return st_patch_fail(w->err, -EINVAL, "the patch is for %s with build-id %s, the process has %s", name, build_id,
				     *other ? other : "one without build-id");
	return 0;
}

static struct st_part *add(struct st_work *w, struct st_parts *parts, const char *name)
{
	struct st_part *part;

	for (size_t i = 0; i < parts->n; i++)
		if (!strcmp(parts->part[i].name, name))
			return &parts->part[i];
	if (parts->n == sizeof(parts->part) / sizeof(parts->part[0])) {
		st_patch_fail(w->err, -EINVAL, "the patch is for too many objects");
		return NULL;
	}
	part = &parts->part[parts->n++];
	part->name = name;
	return part;
}

static struct st_part *find(struct st_parts *parts, const char *name)
{
	for (size_t i = 0; i < parts->n; i++)
		if (!strcmp(parts->part[i].name, name))
			return &parts->part[i];
	return NULL;
}

/* Whose functions it replaces, then whose callbacks it has: in this order they are called. */
static int collect(struct st_work *w, const struct st_manifest *m, struct st_parts *parts)
{
	struct st_part *part;

	for (size_t i = 0; i < m->replaces; i++)
		if (!add(w, parts, m->replace[i].object))
			return -EINVAL;
	for (size_t i = 0; i < m->callbacks; i++) {
		part = add(w, parts, m->callback[i].object);
		if (!part)
			return -EINVAL;
		part->callback = m->callback[i].function;
	}
	return 0;
}

/* An object that is only looked at has to be there: nothing of the patch could wait for it. */
static int look_only(struct st_work *w, const struct st_manifest *m, struct st_parts *parts, const char *name)
{
	const char *build_id = NULL;
	struct st_object *o;
	int ret;

	if (find(parts, name))
		return 0;
	for (size_t i = 0; i < m->objects; i++)
		if (!strcmp(m->object[i].object, name))
			build_id = m->object[i].symbol;
	ret = st_part_object(w, name, build_id, &o);
	if (!ret && !o)
		return st_patch_fail(w->err, -ENOENT, "the process has no object %s", name);
	if (!ret) {
		struct st_part *part = add(w, parts, name);

		if (!part)
			return -EINVAL;
		part->build_id = build_id;
		part->o = o;
	}
	return ret;
}

int st_parts_find(struct st_work *w, const struct st_manifest *m, struct st_parts *parts)
{
	int ret = collect(w, m, parts);

	for (size_t i = 0; i < m->objects; i++) {
		struct st_part *part = find(parts, m->object[i].object);

		if (part)
			part->build_id = m->object[i].symbol;
	}
	for (size_t i = 0; !ret && i < parts->n; i++)
		ret = st_part_object(w, parts->part[i].name, parts->part[i].build_id, &parts->part[i].o);
	for (size_t i = 0; !ret && i < m->objects; i++)
		ret = look_only(w, m, parts, m->object[i].object);
	for (size_t i = 0; !ret && i < m->targets; i++)
		ret = look_only(w, m, parts, m->target[i].object);
	for (size_t i = 0; !ret && i < m->replaces; i++) {
		struct st_object *o = find(parts, m->replace[i].object)->o;

		if (o)
			ret = st_verify_function(w->s, o, &m->replace[i], &parts->fn[i], w->err);
	}
	return ret;
}

int st_part_bind(struct st_work *w, const struct st_ctl_patch_object *po, struct st_object *o)
{
	uint32_t index = (uint32_t)(po - w->ctl->patch_object);
	struct st_ctl_patch_func *f;
	int ret = 0;

	for (uint32_t i = 0; !ret && (f = st_record_func(w->ctl, w->patch, &i));) {
		struct st_manifest_entry e;
		char symbol[ST_NAME_MAX];
		unsigned long value;

		if (!f->variable || f->object != index)
			continue;
		st_record_entry(w->ctl, f, o->name, symbol, &e);
		ret = st_verify_target(o, &e, &value, w->err);
		if (!ret && st_mem_write(st_session_proc(w->s), (unsigned long)f->to, &value, sizeof(value)))
			ret = st_patch_fail(w->err, -EINVAL, "a variable of the patch can't be set");
	}
	return ret;
}
