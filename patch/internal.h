/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the patch client share. See patch.h. */
#ifndef ST_PATCH_INTERNAL_H
#define ST_PATCH_INTERNAL_H

#include <patch/patch.h>

#define ST_PATCH_STOP_MS 2000	/* how long to try to stop a thread */

/* A patch of a process that is being changed. */
struct st_work {
	struct st_session *s;
	struct st_ctl *ctl;
	struct st_objects *objs;	/* as they were when the work began */
	const struct st_patch_options *o;
	unsigned int patch;		/* index in ctl->patch */
	char *err;			/* ST_ERR_MAX bytes */
};

static inline struct st_ctl_patch *st_work_patch(const struct st_work *w)
{
	return &w->ctl->patch[w->patch];
}

/* say.c: a sentence for the caller of this library; for its user. */
int __attribute__((format(printf, 3, 4))) st_patch_fail(char *err, int ret, const char *fmt, ...);
void __attribute__((format(printf, 2, 3))) st_patch_say(const struct st_work *w, const char *fmt, ...);
int st_work_pid(const struct st_work *w);

/* patch.c: may this patch come to the others that are there, and at which level? */
int st_patch_may(struct st_work *w, const struct st_manifest *m, enum st_level *level);

/*
 * records.c. The target can write what it shares: indices are checked, and text is copied, by these alone.
 */

/* The next record of a patch from *i on, which becomes the index behind it; NULL: there is none. */
struct st_ctl_patch_object *st_record_object(struct st_ctl *ctl, unsigned int patch, uint32_t *i);
struct st_ctl_patch_func *st_record_func(struct st_ctl *ctl, unsigned int patch, uint32_t *i);
struct st_ctl_patch_word *st_record_word(struct st_ctl *ctl, unsigned int patch, uint32_t *i);

#define ST_NAME_MAX 1024
/* A name; "" if it is not one. Returns buf. */
const char *st_record_text(const struct st_ctl *ctl, uint32_t at, char buf[ST_NAME_MAX]);
/* What the manifest said about a function or variable; its symbol goes to buf. */
void st_record_entry(const struct st_ctl *ctl, const struct st_ctl_patch_func *f, const char *object, char buf[ST_NAME_MAX],
		     struct st_manifest_entry *e);
/* The name of a patch; buf has 64 bytes. */
const char *st_record_name(const struct st_ctl *ctl, unsigned int patch, char buf[64]);

/* An object that a patch is for, before it has a record. */
struct st_part {
	const char *name, *build_id;	/* build_id NULL: any */
	const char *const *callback;	/* enum st_callback, or NULL */
	struct st_object *o;		/* NULL: it is not there */
};

/* What a patch needs a record for: all about it is known, and where its own symbols are. */
struct st_parts {
	struct st_part part[2 * ST_MANIFEST_MAX];
	size_t n;
	struct st_fn fn[ST_MANIFEST_MAX];	/* of m->replace; addr 0: its object is not there */
};

/* Records of a patch that has been mapped, in state ST_PATCH_DISABLED; w->patch becomes its index. Return: 0 or -ENOSPC, -EINVAL. */
int st_records_make(struct st_work *w, const struct st_patch_file *file, const struct st_parts *parts, const struct st_loaded *loaded,
		    enum st_level level);
void st_records_free(struct st_ctl *ctl, unsigned int patch);

/*
 * objects.c: which objects the patch is for, which of them the process has, and the functions there, compared with what the patch
 * was made for.
 */
int st_parts_find(struct st_work *w, const struct st_manifest *m, struct st_parts *parts);
/* One object; *o NULL: it is not there. -EINVAL: it is, but another build, or twice. */
int st_part_object(struct st_work *w, const char *name, const char *build_id, struct st_object **o);
/* Variables of ST_TARGET(): those for this object get their values. */
int st_part_bind(struct st_work *w, const struct st_ctl_patch_object *po, struct st_object *o);

/* image.c: the patch is mapped near what it replaces. */
int st_image_map(struct st_work *w, const struct st_patch_file *file, const struct st_parts *parts, struct st_loaded *loaded);
/* Would its imports be found? 0 or -ENOENT: names one that would not. */
int st_image_imports(struct st_work *w, const struct st_patch_file *file);
/* Take it away again: nothing leads there. */
void st_image_unmap(struct st_work *w, const struct st_loaded *loaded);
/* The memory of a disabled patch goes, and its records. -EBUSY: a thread is still there. */
int st_image_release(struct st_work *w);

/* order.c: which version of a function runs. Moves are to be freed by st_moves_free(). */
struct st_moves {
	struct st_move *move;
	char (*name)[ST_NAME_MAX];
	size_t n;
};
int st_moves_apply(struct st_work *w, struct st_moves *m);
/* Of one object's functions alone. */
int st_moves_part(struct st_work *w, uint32_t object, struct st_moves *m);
int st_moves_revert(struct st_work *w, struct st_moves *m);
/* Those that still run the patch's functions, though it is disabled: a tool was killed. */
int st_moves_undo(struct st_work *w, struct st_moves *m);
void st_moves_free(struct st_moves *m);
/* The code that calls of a function end up in now, if a patch has replaced it. */
void st_order_runs(struct st_ctl *ctl, uint64_t addr, unsigned long *to, unsigned long *size);
/* What it depends on is enabled; nothing depends on it. */
int st_order_depends(struct st_work *w, const struct st_manifest *m);
int st_order_needed(struct st_work *w);

/* states.c: is the patch compatible with all that are enabled? */
int st_states_check(struct st_work *w, const struct st_manifest *m);

/*
 * callbacks.c. @stop: all threads are stopped already, or NULL. Each is called once for a change, whoever calls these.
 */
/* -ECANCELED: one has refused; the others are taken back. */
int st_callbacks_pre_patch(struct st_work *w, struct st_stop *stop);
void st_callbacks_post_patch(struct st_work *w);
void st_callbacks_pre_unpatch(struct st_work *w, struct st_stop *stop);
void st_callbacks_post_unpatch(struct st_work *w);
/* The same for one object. */
int st_callback_pre_patch(struct st_work *w, struct st_ctl_patch_object *po);
void st_callback_post_unpatch(struct st_work *w, struct st_ctl_patch_object *po);
void st_callback_gone(struct st_work *w, struct st_ctl_patch_object *po);

/* arrive.c: objects of w->patch that have come since it was applied. Return: how many, or a negative errno; the others wait on. */
int st_arrive(struct st_work *w, bool fresh);
/* Objects of all patches that have gone. Return: how many. */
int st_depart(struct st_work *w);

/* change.c: a patch becomes enabled, or disabled. */

/* Begins, and goes on as far as the options want: 0 done, 1 left in transition, ... */
int st_change_begin(struct st_work *w, bool going, enum st_level level, struct st_moves *m);
/* Functions of an object that has come, of a patch that stays enabled. */
int st_change_part(struct st_work *w, enum st_level level, struct st_moves *m);
/* Goes on with what is in transition, towards `enabled` or away from it. */
int st_change_go_on(struct st_work *w, bool enabled);
/* What tools that were killed have left between two steps, but transitions. */
int st_change_recover(struct st_work *w);
/* Takes back all that there is of a patch that was never enabled. */
int st_change_undo(struct st_work *w);
/* Is a transition of this patch under way? *to_enabled: which way? */
bool st_change_pending(const struct st_work *w, bool *to_enabled);

#endif
