/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Callbacks of a patch, for each object that is there, as the kernel orders them (klp_callbacks, core.c):
 *
 *	pre-patch	before anything changes; may refuse
 *	post-patch	when the patch is enabled
 *	pre-unpatch	before the way back begins
 *	post-unpatch	when it is disabled; only where pre-patch had agreed
 *
 * A transition that is reversed has the first of one way and the last of the other. They are called by a thread that is borrowed, so
 * only what is async-signal-safe may be done there.
 */
#include <errno.h>
#include <patch/internal.h>

#define CALL_MS 5000

/* With what the callback returned in *ret. */
static int call(struct st_work *w, struct st_stop *stopped, const struct st_ctl_patch_object *po, enum st_callback which,
		unsigned long *ret)
{
	/* The object's name, where the process has it. */
	unsigned long arg = (unsigned long)w->ctl->self + (unsigned long)(w->ctl->patch_text - (char *)w->ctl) + po->name;
	struct st_stop *stop = stopped;
	struct st_remote *r;
	int err = 0;

	*ret = 0;
	if (!stop)
		err = st_stop(st_session_proc(w->s), ST_STOP_ONE, ST_PATCH_STOP_MS, &stop, w->err);
	if (err)
		return err;
	err = st_remote_begin(stop, NULL, &r, w->err);
	if (!err) {
		err = st_remote_call(r, (unsigned long)po->callback[which], &arg, 1, ret, CALL_MS, w->err);
		st_remote_end(r);
	}
	if (!stopped)
		st_resume(stop, NULL);
	return err;
}

/* One whose result does not matter. */
static void tell(struct st_work *w, struct st_stop *stop, const struct st_ctl_patch_object *po, enum st_callback which, const char *what)
{
	char why[ST_ERR_MAX] = "", object[ST_NAME_MAX], *err = w->err;
	unsigned long ignored;

	if (!po->callback[which])
		return;
	w->err = why;
	if (call(w, stop, po, which, &ignored))
		st_patch_say(w, "the %s callback for %.64s failed: %s", what, st_record_text(w->ctl, po->name, object), why);
	w->err = err;
}

static int ask(struct st_work *w, struct st_ctl_patch_object *po, struct st_stop *stop)
{
	char why[ST_ERR_MAX] = "", object[ST_NAME_MAX], *err = w->err;
	unsigned long value = 0;
	int ret;

	if (po->called & ST_CALLED_PRE_PATCH)
		return 0;
	if (po->callback[ST_PRE_PATCH]) {
		w->err = why;
		ret = call(w, stop, po, ST_PRE_PATCH, &value);
		w->err = err;
		st_record_text(w->ctl, po->name, object);
		if (ret)
			return st_patch_fail(err, ret, "the pre-patch callback for %.64s failed: %.160s", object, why);
		if ((int)value)
			return st_patch_fail(err, -ECANCELED, "the pre-patch callback for %.64s refused: it returned %d", object, (int)value);
	}
	po->called |= ST_CALLED_PRE_PATCH;
	return 0;
}

static void unpatched(struct st_work *w, struct st_ctl_patch_object *po, struct st_stop *stop)
{
	uint32_t called = po->called;

	po->called = 0;
	if (called & ST_CALLED_PRE_PATCH)
		tell(w, stop, po, ST_POST_UNPATCH, "post-unpatch");
}

int st_callback_pre_patch(struct st_work *w, struct st_ctl_patch_object *po)
{
	return ask(w, po, NULL);
}

int st_callbacks_pre_patch(struct st_work *w, struct st_stop *stop)
{
	struct st_ctl_patch_object *po;
	int ret = 0;

	for (uint32_t i = 0; !ret && (po = st_record_object(w->ctl, w->patch, &i));)
		if (po->there)
			ret = ask(w, po, stop);
	if (ret)
		for (uint32_t i = 0; (po = st_record_object(w->ctl, w->patch, &i));)
			unpatched(w, po, stop);
	return ret;
}

void st_callbacks_post_patch(struct st_work *w)
{
	struct st_ctl_patch_object *po;

	for (uint32_t i = 0; (po = st_record_object(w->ctl, w->patch, &i));) {
		if (!po->there || (po->called & ST_CALLED_POST_PATCH))
			continue;
		po->called = (po->called & ~ST_CALLED_PRE_UNPATCH) | ST_CALLED_POST_PATCH;
		tell(w, NULL, po, ST_POST_PATCH, "post-patch");
	}
}

void st_callbacks_pre_unpatch(struct st_work *w, struct st_stop *stop)
{
	struct st_ctl_patch_object *po;

	for (uint32_t i = 0; (po = st_record_object(w->ctl, w->patch, &i));) {
		if (!po->there || (po->called & ST_CALLED_PRE_UNPATCH))
			continue;
		po->called = (po->called & ~ST_CALLED_POST_PATCH) | ST_CALLED_PRE_UNPATCH;
		tell(w, stop, po, ST_PRE_UNPATCH, "pre-unpatch");
	}
}

void st_callbacks_post_unpatch(struct st_work *w)
{
	struct st_ctl_patch_object *po;

	for (uint32_t i = 0; (po = st_record_object(w->ctl, w->patch, &i));)
		if (po->there)
			unpatched(w, po, NULL);
}

void st_callback_post_unpatch(struct st_work *w, struct st_ctl_patch_object *po)
{
	unpatched(w, po, NULL);
}

void st_callback_gone(struct st_work *w, struct st_ctl_patch_object *po)
{
	tell(w, NULL, po, ST_PRE_UNPATCH, "pre-unpatch");
	unpatched(w, po, NULL);
}
