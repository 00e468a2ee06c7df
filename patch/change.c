/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A patch becomes enabled or disabled: kernel/livepatch/transition.c, for one process.
 *
 *	disabled --begin--> transition --nobody is left--> enabled
 *	   ^                 |      ^                         |
 *	   +----------------- reverse ------------------------+
 *
 * What a tool that is killed leaves behind, and what the next one makes of it:
 *
 *	DISABLED				the patch is loaded, or its memory stays: released when it is asked for again
 *	TRANSITION, not BEGUN, not GOING	pre-patch callbacks were called, perhaps it is half in place: undone
 *	TRANSITION, not BEGUN, GOING		pre-unpatch callbacks were called, perhaps it is half out: enabled
 *	TRANSITION, BEGUN, st_transition_pending()	may be gone on with or reversed
 *	st_transition_finishing()		nobody is left: finished, then completed
 *	TRANSITION, BEGUN, not pending		nobody is left: completed, the way that OUT says
 *
 * The lock of the process is not held while threads are waited for: another tool may reverse the transition then.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <patch/internal.h>

#define BUSY_MAX 64
#define NAP_MIN_MS 1
#define NAP_MAX_MS 50
#define BACK_MS 5000		/* how long to try to reverse at the end */

static unsigned int now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned int)(t.tv_sec * 1000 + t.tv_nsec / 1000000);
}

static void set_state(struct st_ctl_patch *p, enum st_patch_state state)
{
	__atomic_store_n(&p->state, state, __ATOMIC_RELEASE);
}

static int failed(struct st_work *w, int ret)
{
	return st_patch_fail(w->err, ret, "%s", st_session_error(w->s));
}

bool st_change_pending(const struct st_work *w, bool *to_enabled)
{
	const struct st_ctl_patch *p = st_work_patch(w);
	unsigned int patch;
	bool reversed;

	if (!st_transition_pending(w->s, &patch, &reversed) || patch != w->patch)
		return false;
	*to_enabled = !(p->flags & ST_PATCH_GOING) != reversed;
	return true;
}

/* ---- the end of a change ---- */

/* Memory that can't go now is no failure of what was asked for; it can be reverted later. */
static void release_quietly(struct st_work *w)
{
	char why[ST_ERR_MAX], name[64], *err = w->err;

	w->err = why;
	if (st_image_release(w))
		st_patch_say(w, "patch %s was replaced and is disabled, but its memory stays for now: %s; 'sidetrack patch revert -p %d %s' "
			     "releases it later", st_record_name(w->ctl, w->patch, name), why, st_work_pid(w), name);
	w->err = err;
}

/*
 * Atomic replace: those that were there before are out of use already. Their callbacks are not called: the new patch knows what they
 * did.
 */
static void drop_replaced(struct st_work *w)
{
	unsigned int mine = w->patch;
	uint32_t seq = st_work_patch(w)->seq;

	for (w->patch = 0; w->patch < ST_PATCHES_MAX; w->patch++) {
		if (st_work_patch(w)->state != ST_PATCH_ENABLED || st_work_patch(w)->seq >= seq)
			continue;
		set_state(st_work_patch(w), ST_PATCH_DISABLED);
		release_quietly(w);
	}
	w->patch = mine;
}

static void enabled(struct st_work *w)
{
	struct st_ctl_patch *p = st_work_patch(w);

	st_callbacks_post_patch(w);
	if (p->flags & ST_PATCH_REPLACE)
		drop_replaced(w);
	p->flags &= ~(ST_PATCH_GOING | ST_PATCH_BEGUN | ST_PATCH_OUT);
	set_state(p, ST_PATCH_ENABLED);
}

/* The patch's functions are out of use. */
static int disabled(struct st_work *w)
{
	struct st_ctl_patch *p = st_work_patch(w);
	char why[ST_ERR_MAX], name[64], *err = w->err;
	int ret;

	st_callbacks_post_unpatch(w);
	p->flags &= ~(ST_PATCH_GOING | ST_PATCH_BEGUN | ST_PATCH_OUT);
	set_state(p, ST_PATCH_DISABLED);
	w->err = why;
	ret = st_image_release(w);
	w->err = err;
	return ret ? st_patch_fail(err, ret, "patch %s is disabled, but its memory stays for now: %.130s; revert it again later",
				   st_record_name(w->ctl, w->patch, name), why) : 0;
}

/* Nobody is left. */
static int complete(struct st_work *w, bool to_enabled)
{
	struct st_ctl_patch *p = st_work_patch(w);
	int ret;

	if (p->state == ST_PATCH_TRANSITION)
		p->flags = to_enabled ? p->flags & ~ST_PATCH_OUT : p->flags | ST_PATCH_OUT;
	ret = st_transition_finish(w->s);
	if (ret)
		return failed(w, ret);
	if (p->state != ST_PATCH_TRANSITION) {	/* a part whose object has come later */
		if (to_enabled)
			st_callbacks_post_patch(w);
		return 0;
	}
	if (to_enabled)
		enabled(w);
	return to_enabled ? 0 : disabled(w);
}

/* ---- waiting ---- */

struct wait {
	unsigned int from, nap;
	struct st_busy busy[BUSY_MAX];
	unsigned int since[BUSY_MAX];	/* since when */
	unsigned int ms[BUSY_MAX];	/* for how long */
	size_t n;
};

/* What runs at the moment of the flip, when all threads are stopped. */
static int at_flip(void *ctx, struct st_stop *stop)
{
	struct st_work *w = ctx;

	if (!(st_work_patch(w)->flags & ST_PATCH_GOING))
		return st_callbacks_pre_patch(w, stop);
	st_callbacks_pre_unpatch(w, stop);
	return 0;
}

/* One step; who is still there has been since it was first seen. */
static int step(struct st_work *w, struct wait *t, bool forward)
{
	struct st_busy was[BUSY_MAX];
	unsigned int since[BUSY_MAX], now;
	size_t n = t->n;
	int ret;

	memcpy(was, t->busy, n * sizeof(was[0]));
	memcpy(since, t->since, n * sizeof(since[0]));
	t->n = BUSY_MAX;
	*w->err = '\0';
	ret = st_transition_step(w->s, forward ? at_flip : NULL, w, t->busy, &t->n);
	if (ret && ret != -EBUSY && !*w->err)
		failed(w, ret);
	if (ret != -EBUSY || t->n > BUSY_MAX)
		t->n = ret == -EBUSY ? BUSY_MAX : 0;
	now = now_ms();
	for (size_t i = 0; i < t->n; i++) {
		t->since[i] = now;
		for (size_t k = 0; k < n; k++)
			if (was[k].tid == t->busy[i].tid && !strcmp(was[k].function, t->busy[i].function))
				t->since[i] = since[k];
		t->ms[i] = now - t->since[i];
	}
	return ret;
}

/*
 * One step; the end, if nobody is left. *waiting: somebody is in the way, -EBUSY. A process that was forked meanwhile may be in the way of
 * the end alone.
 */
static int advance(struct st_work *w, struct wait *t, bool forward, bool to_enabled, bool *waiting)
{
	bool now;
	int ret = step(w, t, forward);

	*waiting = ret == -EBUSY;
	if (ret)
		return ret;
	ret = complete(w, to_enabled);
	*waiting = ret == -EBUSY && st_change_pending(w, &now);
	if (*waiting) {
		t->n = 1;
		t->busy[0] = (struct st_busy){ .how = ST_BUSY_UNKNOWN };
		memcpy(t->busy[0].text, w->err, sizeof(t->busy[0].text));
	}
	return ret;
}

static void report(struct st_work *w, const struct wait *t, bool reversed)
{
	struct st_patch_progress p = { .reversed = reversed, .ms = now_ms() - t->from, .busy = t->busy, .busy_ms = t->ms, .n = t->n };
	char name[64];

	p.name = st_record_name(w->ctl, w->patch, name);
	snprintf(st_work_patch(w)->busy, sizeof(st_work_patch(w)->busy), "%.199s", t->n ? t->busy[0].text : "");
	if (w->o->progress)
		w->o->progress(w->o->ctx, &p);
}

static void nap(struct wait *t)
{
	struct timespec ts = { 0, t->nap * 1000000l };

	nanosleep(&ts, NULL);
	t->nap = t->nap < NAP_MAX_MS / 2 ? t->nap * 2 : NAP_MAX_MS;
}

/*
 * Lets other tools at the process for a moment. Return: 0 the transition is as it was; 1 another tool has brought it to the end that was
 * wanted; -ECANCELED it has reversed it.
 */
static int let_others(struct st_work *w, struct wait *t, bool to_enabled)
{
	uint32_t seq = st_work_patch(w)->seq, state;
	char name[64];
	bool now;
	int ret;

	st_record_name(w->ctl, w->patch, name);
	st_session_unlock(w->s);
	nap(t);
	ret = st_session_lock(w->s);
	if (ret)
		return failed(w, ret);
	state = st_work_patch(w)->state;
	if (st_work_patch(w)->seq == seq && st_change_pending(w, &now) && now == to_enabled)
		return 0;
	if (st_work_patch(w)->seq == seq ? state == (to_enabled ? ST_PATCH_ENABLED : ST_PATCH_DISABLED) || (!to_enabled && !state) : !to_enabled)
		return 1;
	return st_patch_fail(w->err, -ECANCELED, "another sidetrack has reversed the transition of patch %s", name);
}

static const char *who(const struct wait *t)
{
	return t->n && *t->busy[0].text ? t->busy[0].text : "a thread is in the way";
}

/* The transition goes the other way from now on, until it is over, or for as long as is sensible. */
static int reverse(struct st_work *w, struct wait *t, bool to_enabled, int why)
{
	char text[ST_ERR_MAX], name[64];
	unsigned int from = now_ms();
	bool waiting;
	int ret;

	memcpy(text, w->err, sizeof(text));
	st_record_name(w->ctl, w->patch, name);
	ret = st_transition_reverse(w->s);
	if (ret)
		return failed(w, ret);
	t->n = 0;
	t->nap = NAP_MIN_MS;
	for (;;) {
		ret = advance(w, t, false, !to_enabled, &waiting);
		if (!waiting)
			break;
		report(w, t, true);
		if (now_ms() - from >= BACK_MS)
			return st_patch_fail(w->err, -EBUSY, "patch %s is being taken back, and still in transition: %.120s; '%s' it again to go on",
					     name, who(t), to_enabled ? "revert" : "apply");
		nap(t);
	}
	if (!ret) {
		memcpy(w->err, text, sizeof(text));
		ret = why;
	}
	return ret;
}

static int force(struct st_work *w, bool to_enabled)
{
	struct st_ctl_patch *p = st_work_patch(w);
	char name[64];
	int ret = 0;

	/* As klp_force_transition(): what goes may be in use for ever. */
	if (!to_enabled)
		p->flags |= ST_PATCH_FORCED;
	for (unsigned int i = 0; to_enabled && (p->flags & ST_PATCH_REPLACE) && i < ST_PATCHES_MAX; i++)
		if (i != w->patch && w->ctl->patch[i].state == ST_PATCH_ENABLED)
			w->ctl->patch[i].flags |= ST_PATCH_FORCED;
	/* Level process: the flip has not been. */
	if (to_enabled)
		ret = st_callbacks_pre_patch(w, NULL);
	else if (p->flags & ST_PATCH_GOING)
		st_callbacks_pre_unpatch(w, NULL);
	if (ret)
		return ret;
	ret = st_transition_force(w->s);
	if (ret)
		return failed(w, ret);
	st_patch_say(w, "the transition of patch %s was forced: threads that were in the way run a mixture of old and new functions",
		     st_record_name(w->ctl, w->patch, name));
	return complete(w, to_enabled);
}

/* Until it is over. `mine`: it goes the way that it was begun, and is reversed if it takes too long. */
static int run(struct st_work *w, bool to_enabled, bool mine)
{
	struct wait *t = calloc(1, sizeof(*t));
	bool waiting, pending;
	char name[64];
	int ret;

	if (!t)
		return st_patch_fail(w->err, -ENOMEM, "out of memory");
	st_record_name(w->ctl, w->patch, name);
	t->from = now_ms();
	t->nap = NAP_MIN_MS;
	for (;;) {
		ret = advance(w, t, mine, to_enabled, &waiting);
		if (!waiting) {
			if (ret && ret != -ESRCH && mine && st_change_pending(w, &pending))
				ret = reverse(w, t, to_enabled, ret);
			break;
		}
		report(w, t, !mine);
		if (w->o->no_wait) {
			st_patch_say(w, "patch %s is in transition: %s", name, who(t));
			ret = 1;
			break;
		}
		if (w->o->stop && w->o->stop(w->o->ctx)) {
			st_patch_fail(w->err, -EINTR, "interrupted while patch %s was in transition; nothing was changed", name);
			ret = mine ? reverse(w, t, to_enabled, -EINTR) :
			      st_patch_fail(w->err, -EINTR, "interrupted; patch %s is still in transition: %.150s", name, who(t));
			break;
		}
		if (now_ms() - t->from >= w->o->timeout_ms) {
			if (w->o->force) {
				ret = force(w, to_enabled);
				break;
			}
			st_patch_fail(w->err, -EBUSY, "patch %s could not be %s, nothing was changed: %.170s", name,
				      to_enabled ? "enabled" : "disabled", who(t));
			ret = mine ? reverse(w, t, to_enabled, -EBUSY) :
			      st_patch_fail(w->err, -EBUSY, "patch %s is still in transition: %.170s", name, who(t));
			break;
		}
		ret = let_others(w, t, to_enabled);
		if (ret) {
			ret = ret > 0 ? 0 : ret;
			break;
		}
	}
	free(t);
	return ret;
}

/* ---- beginning ---- */

static int at_once(struct st_work *w, bool going, struct st_moves *m)
{
	int ret = 0;

	if (going)
		st_callbacks_pre_unpatch(w, NULL);
	else
		ret = st_callbacks_pre_patch(w, NULL);
	if (ret)
		return ret;
	if (m->n)
		ret = st_transition_at_once(w->s, w->patch, m->move, m->n);
	return ret ? failed(w, ret) : 0;
}

/* Nothing of the change has happened but callbacks. */
static int not_begun(struct st_work *w, bool going, int ret)
{
	char text[ST_ERR_MAX];

	memcpy(text, w->err, sizeof(text));
	if (going)
		enabled(w);
	else
		disabled(w);
	memcpy(w->err, text, sizeof(text));
	return ret;
}

int st_change_begin(struct st_work *w, bool going, enum st_level level, struct st_moves *m)
{
	struct st_ctl_patch *p = st_work_patch(w);
	int ret = 0;

	p->flags = (p->flags & (ST_PATCH_REPLACE | ST_PATCH_FORCED)) | (going ? ST_PATCH_GOING : 0);
	set_state(p, ST_PATCH_TRANSITION);
	if (level == ST_LEVEL_INDEPENDENT || !m->n) {
		ret = at_once(w, going, m);
		if (ret)
			return not_begun(w, going, ret);
		if (!going)
			enabled(w);
		return going ? disabled(w) : 0;
	}
	if (level != ST_LEVEL_PROCESS) {
		if (going)
			st_callbacks_pre_unpatch(w, NULL);
		else
			ret = st_callbacks_pre_patch(w, NULL);
	}
	if (!ret) {
		ret = st_transition_begin(w->s, w->patch, level, m->move, m->n);
		if (ret)
			failed(w, ret);
	}
	if (ret)
		return not_begun(w, going, ret);
	p->flags |= ST_PATCH_BEGUN;
	return run(w, !going, true);
}

int st_change_part(struct st_work *w, enum st_level level, struct st_moves *m)
{
	int ret;

	if (level == ST_LEVEL_INDEPENDENT || !m->n) {
		ret = m->n ? st_transition_at_once(w->s, w->patch, m->move, m->n) : 0;
		if (!ret)
			st_callbacks_post_patch(w);
		return ret ? failed(w, ret) : 0;
	}
	ret = st_transition_begin(w->s, w->patch, level, m->move, m->n);
	return ret ? failed(w, ret) : run(w, true, true);
}

int st_change_go_on(struct st_work *w, bool to_enabled)
{
	struct st_ctl_patch *p = st_work_patch(w);
	bool now = to_enabled;
	int ret;

	if (!st_change_pending(w, &now))
		return 0;
	if (p->state == ST_PATCH_TRANSITION)
		p->flags |= ST_PATCH_BEGUN;
	if (now != to_enabled) {
		ret = st_transition_reverse(w->s);
		if (ret)
			return failed(w, ret);
	}
	return run(w, to_enabled, to_enabled == !(p->flags & ST_PATCH_GOING));
}

/* ---- what was left behind ---- */

int st_change_undo(struct st_work *w)
{
	struct st_moves m;
	int ret = st_moves_undo(w, &m);

	if (!ret && m.n) {
		ret = st_transition_at_once(w->s, w->patch, m.move, m.n);
		if (ret)
			failed(w, ret);
	}
	st_moves_free(&m);
	return ret ? ret : disabled(w);
}

int st_change_recover(struct st_work *w)
{
	int ret = 0;

	for (w->patch = 0; !ret && w->patch < ST_PATCHES_MAX; w->patch++) {
		struct st_ctl_patch *p = st_work_patch(w);
		bool to_enabled;

		if (st_change_pending(w, &to_enabled)) {
			if (st_transition_finishing(w->s))
				ret = complete(w, to_enabled);
			if (ret && !st_change_pending(w, &to_enabled))
				ret = 0;	/* memory that stays is released later */
			continue;
		}
		if (p->state != ST_PATCH_TRANSITION)
			continue;
		if (!(p->flags & ST_PATCH_BEGUN)) {
			if (p->flags & ST_PATCH_GOING)
				enabled(w);
			else
				ret = st_change_undo(w);
		} else if (p->flags & ST_PATCH_OUT) {
			disabled(w);	/* memory that stays is released later */
		} else {
			enabled(w);
		}
	}
	return ret;
}
