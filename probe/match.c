// SPDX-License-Identifier: GPL-2.0-only
/* See match.h. */
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "match.h"

/* "OBJECT:0xADDR" for what has no name. */
static char *name_of(const struct st_object *obj, const struct st_func *f)
{
	char *name = NULL;

	if (!(f->flags & ST_FUNC_NONAME))
		return strdup(f->name);
	return asprintf(&name, "%s:%s", obj->name, f->name) < 0 ? NULL : name;
}

static int add_match(struct st_matches *m, const struct st_object *obj, const struct st_func *f, const char *name,
		     unsigned long offset)
{
	unsigned long size = f->flags & ST_FUNC_NOSIZE ? f->room : f->size;
	struct st_fn *fn;

	if (offset && offset >= size) {
		m->outside++;
		return 0;
	}
	if (m->n == m->room) {
		size_t room = m->room ? m->room * 2 : 64;

		fn = realloc(m->fn, room * sizeof(*fn));
		if (!fn)
			return -ENOMEM;
		m->fn = fn;
		m->room = room;
	}
	fn = &m->fn[m->n];
	memset(fn, 0, sizeof(*fn));
	fn->addr = f->addr;
	fn->size = size;
	fn->room = f->room;
	fn->offset = offset;
	fn->isa = f->isa;
	fn->part = f->flags & ST_FUNC_PART;
	fn->name = name ? strdup(name) : name_of(obj, f);
	m->n += fn->name != NULL;
	return fn->name ? 0 : -ENOMEM;
}

/* OBJECT:0xADDR */
static int match_address(struct st_object *obj, const struct st_spec *spec, struct st_matches *m)
{
	unsigned long addr = obj->bias + (unsigned long)spec->offset;
	const struct st_func *f = st_object_function_at(obj, addr);

	return f && !(f->flags & ST_FUNC_IFUNC) ? add_match(m, obj, f, NULL, addr - f->addr) : 0;
}

static int match_ifunc(struct st_objects *objs, struct st_object *obj, const struct st_func *f, const struct st_spec *spec,
		       struct st_matches *m)
{
	unsigned long addr = st_ifunc_chosen(objs, obj, f);
	const struct st_func *chosen = addr ? st_object_function_at(obj, addr) : NULL;
	size_t i;

	if (!chosen || chosen->addr != addr) {
		m->ifuncs++;
		return 0;
	}
	/* Several names may have chosen the same. */
	for (i = 0; i < m->n; i++)
		if (m->fn[i].addr == addr)
			return 0;
	return add_match(m, obj, chosen, f->name, (unsigned long)spec->offset);
}

int st_match(struct st_objects *objs, const struct st_spec *spec, const struct st_objects *from, struct st_matches *m)
{
	size_t i, j, n;
	int ret = 0;

	for (i = 0; i < objs->n; i++) {
		struct st_object *obj = &objs->object[i];
		const struct st_func *f;
		unsigned long last = 0;

		/* The kernel's own object is there for who asks for it. */
		if (spec->object[0] ? fnmatch(spec->object, obj->name, 0) != 0
				    : (obj->flags & ST_OBJECT_VDSO) != 0)
			continue;
		m->objects++;
		if (st_objects_known(from, obj))
			continue;
		if (!spec->function[0]) {
			ret = match_address(obj, spec, m);
			if (ret)
				return ret;
			continue;
		}
		f = st_object_functions(obj, &n);
		for (j = 0; j < n && !ret; j++) {
			if (fnmatch(spec->function, f[j].name, 0))
				continue;
			if (f[j].flags & ST_FUNC_IFUNC) {
				ret = match_ifunc(objs, obj, &f[j], spec, m);
				continue;
			}
			if (f[j].addr == last)		/* another name of the one before */
				continue;
			last = f[j].addr;
			ret = add_match(m, obj, &f[j], NULL, (unsigned long)spec->offset);
		}
		if (ret)
			return ret;
	}
	return 0;
}

void st_match_why(struct st_objects *objs, const struct st_spec *spec, const struct st_matches *m, int pid, char err[ST_ERR_MAX])
{
	const char *why = NULL, *object = NULL;
	size_t i;

	for (i = 0; i < objs->n && !why; i++) {
		const struct st_object *obj = &objs->object[i];

		if (spec->object[0] && fnmatch(spec->object, obj->name, 0))
			continue;
		why = obj->why;
		object = obj->name;
	}
	if (m->ifuncs)
		snprintf(err, ST_ERR_MAX,
			 "%.100s is chosen among several functions when the program starts (ifunc), and nobody has asked for it yet; "
			 "probe the one that was chosen",
			 spec->function);
	else if (m->outside)
		snprintf(err, ST_ERR_MAX, "%.100s has no instruction at +0x%" PRIx64 ": it is not that long", spec->function,
			 spec->offset);
	else if (!m->objects)
		snprintf(err, ST_ERR_MAX, "process %d has no object %.100s (see /proc/%d/maps)", pid, spec->object, pid);
	else if (!spec->function[0])
		snprintf(err, ST_ERR_MAX, "0x%" PRIx64 " of %.100s is in no function that is known%s%.80s", spec->offset,
			 spec->object, why ? ": " : "", why ? why : "");
	else if (why)
		snprintf(err, ST_ERR_MAX, "no function of process %d matches %.60s (%.30s: %.110s)", pid, spec->function, object,
			 why);
	else
		snprintf(err, ST_ERR_MAX, "no function of process %d matches %.100s; 'sidetrack functions -p %d' lists them", pid,
			 spec->function, pid);
}

void st_matches_free(struct st_matches *m)
{
	size_t i;

	for (i = 0; i < m->n; i++)
		free((char *)m->fn[i].name);
	free(m->fn);
	memset(m, 0, sizeof(*m));
}
