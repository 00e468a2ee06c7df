/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Objects that come and go while a patch is enabled: as klp_module_coming() and klp_module_going() of the kernel. In which order the
 * patches were applied is in their records, so a part that comes late goes below what a newer patch has put there.
 */
#include <errno.h>
#include <string.h>
#include <patch/internal.h>
#include <patch/verify.h>

bool st_patch_waits(struct st_session *s)
{
	struct st_ctl *ctl = st_session_ctl(s);
	struct st_ctl_patch_object *po;

	for (unsigned int p = 0; p < ST_PATCHES_MAX; p++)
		for (uint32_t i = 0; ctl->patch[p].state >= ST_PATCH_TRANSITION && (po = st_record_object(ctl, p, &i));)
			if (!po->there)
				return true;
	return false;
}

/* The object is not there any more, nor are its functions. */
static void gone(struct st_work *w, struct st_ctl_patch_object *po, bool callbacks)
{
	struct st_ctl_patch_func *f;

	if (callbacks)
		st_callback_gone(w, po);
	for (uint32_t i = 0; (f = st_record_func(w->ctl, w->patch, &i));)
		if (!f->variable && f->object == (uint32_t)(po - w->ctl->patch_object))
			f->addr = 0;
	po->there = 0;
	po->base = 0;
}

/* Where the functions are. */
static int find_functions(struct st_work *w, const struct st_ctl_patch_object *po, struct st_object *o)
{
	struct st_ctl_patch_func *f;
	int ret = 0;

	for (uint32_t i = 0; !ret && (f = st_record_func(w->ctl, w->patch, &i));) {
		char symbol[ST_NAME_MAX];
		struct st_manifest_entry e;
		struct st_fn fn;

		if (f->variable || f->object != (uint32_t)(po - w->ctl->patch_object))
			continue;
		st_record_entry(w->ctl, f, o->name, symbol, &e);
		ret = st_verify_function(w->s, o, &e, &fn, w->err);
		if (ret)
			break;
		f->size = fn.size;
		f->room = fn.room;
		f->isa = fn.isa;
		f->addr = fn.addr;
	}
	return ret;
}

static int come(struct st_work *w, struct st_ctl_patch_object *po, struct st_object *o, bool fresh)
{
	uint32_t level = st_work_patch(w)->level;
	struct st_moves m = { 0 };
	int ret;

	ret = find_functions(w, po, o) ?: st_part_bind(w, po, o) ?: st_moves_part(w, (uint32_t)(po - w->ctl->patch_object), &m);
	po->base = o->lo;
	po->there = !ret;
	ret = ret ?: st_callback_pre_patch(w, po);
	if (!ret)
		ret = st_change_part(w, fresh ? ST_LEVEL_INDEPENDENT : level <= ST_LEVEL_PROCESS ? (enum st_level)level : ST_LEVEL_PROCESS, &m);
	st_moves_free(&m);
	if (ret < 0) {
		char why[ST_ERR_MAX];

		memcpy(why, w->err, sizeof(why));
		st_callback_post_unpatch(w, po);
		gone(w, po, false);
		memcpy(w->err, why, sizeof(why));
	}
	return ret;
}

/* The object that a part is for, as it is now. */
static int find_object(struct st_work *w, const struct st_ctl_patch_object *po, char name[ST_NAME_MAX], struct st_object **o)
{
	char build_id[ST_NAME_MAX];

	return st_part_object(w, st_record_text(w->ctl, po->name, name),
			      po->build_id ? st_record_text(w->ctl, po->build_id, build_id) : NULL, o);
}

int st_depart(struct st_work *w)
{
	unsigned int patch = w->patch;
	struct st_ctl_patch_object *po;
	char why[ST_ERR_MAX], *err = w->err;
	int n = 0;

	w->err = why;
	for (w->patch = 0; w->patch < ST_PATCHES_MAX; w->patch++) {
		for (uint32_t i = 0; st_work_patch(w)->state == ST_PATCH_ENABLED && (po = st_record_object(w->ctl, w->patch, &i));) {
			char name[ST_NAME_MAX];
			struct st_object *o;

			if (!po->there)
				continue;
			find_object(w, po, name, &o);
			if (o && o->lo == po->base)
				continue;
			if (!n++)
				st_session_forget(w->s);
			gone(w, po, true);
		}
	}
	w->patch = patch;
	w->err = err;
	return n;
}

int st_arrive(struct st_work *w, bool fresh)
{
	struct st_ctl_patch_object *po;
	int n = 0, first = 0;

	for (uint32_t i = 0; (po = st_record_object(w->ctl, w->patch, &i));) {
		char object[ST_NAME_MAX], why[ST_ERR_MAX];
		struct st_object *o;
		int ret = po->there ? 0 : find_object(w, po, object, &o);

		if (!ret && !po->there && o) {
			ret = come(w, po, o, fresh);
			n += ret >= 0;
		}
		if (ret < 0 && !first) {
			first = ret;
			memcpy(why, w->err, sizeof(why));
			st_patch_fail(w->err, ret, "the part of the patch for %.60s can't be put in place: %.170s", object, why);
		}
	}
	return first ? first : n;
}
