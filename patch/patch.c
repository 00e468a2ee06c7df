/* SPDX-License-Identifier: GPL-2.0-only */
/* See patch.h: apply and revert, whatever state the patch is in. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <patch/internal.h>

static void end(struct st_work *w)
{
	st_objects_free(w->objs);
	st_session_unlock(w->s);
}

/* Did a tool that changes this patch leave it in the midst of that? */
static bool unfinished(struct st_work *w, const char *name)
{
	int i = st_patch_find(w->ctl, name);
	bool to_enabled;

	if (i < 0)
		return false;
	w->patch = (unsigned int)i;
	return st_work_patch(w)->state == ST_PATCH_TRANSITION || st_change_pending(w, &to_enabled);
}

/*
 * The process is ours, and all that other tools, or the program, have left behind is put in order. *departed: objects that have gone.
 * @name: of the patch that is asked about, or NULL; *left: something was left of a change of it, which may be all that there was to do.
 */
static int begin(struct st_work *w, struct st_session *s, const struct st_patch_options *o, char *err, const char *name, bool *left, int *departed)
{
	unsigned int patch;
	bool reversed;
	int ret = st_session_lock(s);

	*w = (struct st_work){ .s = s, .ctl = st_session_ctl(s), .o = o, .err = err };
	if (ret)
		return st_patch_fail(err, ret, "%s", st_session_error(s));
	*departed = 0;
	*left = name && unfinished(w, name);
	ret = st_objects_read(st_session_proc(s), &w->objs, err);
	if (!ret)
		ret = st_change_recover(w);
	if (!ret && !st_transition_pending(s, &patch, &reversed))
		*departed = st_depart(w);
	if (ret)
		end(w);
	return ret;
}

static int level_of(struct st_work *w, enum st_level own, enum st_level *level)
{
	static const char *const names[] = { "independent", "thread", "process" };

	*level = own;
	if (w->o->level == ST_PATCH_LEVEL_OWN)
		return 0;
	if (w->o->level < (int)own)
		return st_patch_fail(w->err, -EINVAL, "the patch asks for level %s; it can't be applied at level %s, which is lower", names[own],
				     names[w->o->level]);
	*level = (enum st_level)w->o->level;
	return 0;
}

static enum st_level manifest_level(const struct st_manifest *m)
{
	return !strcmp(m->level, "process") ? ST_LEVEL_PROCESS : !strcmp(m->level, "thread") ? ST_LEVEL_THREAD : ST_LEVEL_INDEPENDENT;
}

/* Only one transition at a time, as in the kernel. */
static int other_pending(struct st_work *w)
{
	char name[64];
	unsigned int patch;
	bool reversed;

	if (!st_transition_pending(w->s, &patch, &reversed) || patch >= ST_PATCHES_MAX)
		return 0;
	return st_patch_fail(w->err, -EBUSY, "patch %s is in transition in process %d: apply it again to go on with that, or revert it",
			     st_record_name(w->ctl, patch, name), st_work_pid(w));
}

int st_patch_may(struct st_work *w, const struct st_manifest *m, enum st_level *level)
{
	return other_pending(w) ?: level_of(w, manifest_level(m), level) ?: st_order_depends(w, m) ?: st_states_check(w, m);
}

/* What of the patch waits for an object. */
static void say_what_waits(struct st_work *w, const char *patch)
{
	struct st_ctl_patch_object *po;
	char object[ST_NAME_MAX];

	for (uint32_t i = 0; (po = st_record_object(w->ctl, w->patch, &i));)
		if (!po->there)
			st_patch_say(w, "process %d has no object %s: that part of patch %s waits until it is loaded", st_work_pid(w),
				     st_record_text(w->ctl, po->name, object), patch);
}

static int bind_parts(struct st_work *w)
{
	struct st_ctl_patch_object *po;
	int ret = 0;

	for (uint32_t i = 0; !ret && (po = st_record_object(w->ctl, w->patch, &i));) {
		char name[ST_NAME_MAX], build_id[ST_NAME_MAX];
		struct st_object *o;

		if (!po->there)
			continue;
		ret = st_part_object(w, st_record_text(w->ctl, po->name, name),
				     po->build_id ? st_record_text(w->ctl, po->build_id, build_id) : NULL, &o);
		if (!ret && o)
			ret = st_part_bind(w, po, o);
	}
	return ret;
}

static int apply_new(struct st_work *w, const struct st_patch_file *file)
{
	struct st_parts *parts = calloc(1, sizeof(*parts));
	struct st_moves moves = { 0 };
	struct st_loaded loaded;
	enum st_level level;
	int ret;

	if (!parts)
		return st_patch_fail(w->err, -ENOMEM, "out of memory");
	ret = st_patch_may(w, &file->m, &level) ?: st_parts_find(w, &file->m, parts) ?: st_image_map(w, file, parts, &loaded);
	if (!ret) {
		ret = st_records_make(w, file, parts, &loaded, level);
		if (ret)
			st_image_unmap(w, &loaded);
	}
	free(parts);
	if (ret)
		return ret;
	ret = bind_parts(w) ?: st_moves_apply(w, &moves);
	if (ret) {
		char why[ST_ERR_MAX];

		memcpy(why, w->err, sizeof(why));
		st_change_undo(w);
		memcpy(w->err, why, sizeof(why));
	} else {
		ret = st_change_begin(w, false, w->o->fresh ? ST_LEVEL_INDEPENDENT : level, &moves);
	}
	st_moves_free(&moves);
	if (ret >= 0)
		say_what_waits(w, file->m.name);
	return ret;
}

static int apply(struct st_work *w, const struct st_patch_file *file, bool left)
{
	int i = st_patch_find(w->ctl, file->m.name), ret;
	bool to_enabled;

	if (i < 0)
		return apply_new(w, file);
	w->patch = (unsigned int)i;
	if (st_change_pending(w, &to_enabled))
		return st_change_go_on(w, true);
	if (st_work_patch(w)->state == ST_PATCH_DISABLED)
		return st_change_undo(w) ?: apply_new(w, file);
	ret = st_arrive(w, false);
	if (ret || left)
		return ret < 0 ? ret : 0;
	return st_patch_fail(w->err, -EEXIST, "a patch %s is there already (sidetrack patch list -p %d)", file->m.name, st_work_pid(w));
}

int st_patch_apply(struct st_session *s, const struct st_patch_file *file, const struct st_patch_options *o, char err[ST_ERR_MAX])
{
	struct st_work w;
	bool left;
	int gone, ret = begin(&w, s, o, err, file->m.name, &left, &gone);

	if (ret)
		return ret;
	ret = apply(&w, file, left);
	end(&w);
	return ret;
}

static int revert(struct st_work *w, const char *name, bool left)
{
	struct st_moves moves = { 0 };
	enum st_level level;
	bool to_enabled;
	int i = st_patch_find(w->ctl, name), ret;

	if (i < 0 && left)
		return 0;
	if (i < 0)
		return st_patch_fail(w->err, -ENOENT, "there is no patch %s in process %d (sidetrack patch list -p %d)", name,
				     st_work_pid(w), st_work_pid(w));
	w->patch = (unsigned int)i;
	if (st_work_patch(w)->state == ST_PATCH_DISABLED)
		return st_change_undo(w);
	if (st_change_pending(w, &to_enabled)) {
		ret = st_change_go_on(w, false);
		if (ret || st_work_patch(w)->state != ST_PATCH_ENABLED)
			return ret;
	}
	level = st_work_patch(w)->level <= ST_LEVEL_PROCESS ? (enum st_level)st_work_patch(w)->level : ST_LEVEL_PROCESS;
	ret = other_pending(w) ?: level_of(w, level, &level) ?: st_order_needed(w) ?: st_moves_revert(w, &moves);
	if (!ret)
		ret = st_change_begin(w, true, level, &moves);
	st_moves_free(&moves);
	return ret;
}

int st_patch_revert(struct st_session *s, const char *name, const struct st_patch_options *o, char err[ST_ERR_MAX])
{
	struct st_work w;
	bool left;
	int gone, ret = begin(&w, s, o, err, name, &left, &gone);

	if (ret)
		return ret;
	ret = revert(&w, name, left);
	end(&w);
	return ret;
}

int st_patch_arrived(struct st_session *s, bool fresh, const struct st_patch_options *o, char err[ST_ERR_MAX])
{
	unsigned int pending;
	bool reversed, left;
	struct st_work w;
	int n, ret = begin(&w, s, o, err, NULL, &left, &n);

	if (ret)
		return ret;
	for (w.patch = 0; w.patch < ST_PATCHES_MAX; w.patch++) {
		char why[ST_ERR_MAX];
		int got;

		/* What comes while a transition is under way waits until that is over. */
		if (st_work_patch(&w)->state != ST_PATCH_ENABLED || st_transition_pending(s, &pending, &reversed))
			continue;
		w.err = ret ? why : err;
		got = st_arrive(&w, fresh);
		n += got > 0 ? got : 0;
		ret = ret ? ret : got < 0 ? got : 0;
	}
	end(&w);
	return ret ? ret : n;
}
