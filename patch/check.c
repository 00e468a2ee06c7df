/* SPDX-License-Identifier: GPL-2.0-only */
/* See check.h. The same looks that apply has, and once the threads; but nothing is mapped or written. */
#include <errno.h>
#include <stdlib.h>
#include <patch/check.h>
#include <patch/internal.h>

#define CODE_MAX (256ul << 10)
#define PADDING 64

/* Can the function be replaced? */
static int plan(struct st_work *w, const struct st_fn *fn, enum st_kind *kind)
{
	size_t room = fn->room > fn->size + PADDING ? fn->size + PADDING : fn->room, len = room > fn->size ? room : fn->size;
	struct st_plan plan = { .why = "its bytes can't be read" };
	uint8_t *code = len && len <= CODE_MAX ? malloc(len) : NULL;
	int ret = -EFAULT;

	if (code && !st_mem_read(st_session_proc(w->s), fn->addr, code, len) && !st_sites_undo(w->ctl, fn->addr, code, len))
		ret = st_arch_plan_at(&plan, code, fn->addr, fn->size, room, 0, 0, fn->isa);
	free(code);
	*kind = plan.kind;
	return ret ? st_patch_fail(w->err, -ENOTSUP, "the function %s can't be replaced: %s", fn->name, plan.why) : 0;
}

/* The code that runs now in place of these functions. */
static size_t old_code(struct st_work *w, const struct st_parts *parts, size_t n, struct st_old *old)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		const struct st_fn *fn = &parts->fn[i];
		unsigned long addr = fn->addr, size = fn->size;

		if (!addr)
			continue;
		st_order_runs(w->ctl, fn->addr, &addr, &size);
		if (fn->isa == ST_ISA_T32)
			addr &= ~1ul;
		old[count++] = (struct st_old){ .lo = addr, .hi = addr + size, .name = fn->name };
	}
	return count;
}

/* All threads, stopped once. *n becomes the number of those that are in the way. */
static int look(struct st_work *w, struct st_evidence *e, struct st_busy *busy, size_t *n)
{
	struct st_stop *stop;
	int ret = st_stop(st_session_proc(w->s), 0, ST_PATCH_STOP_MS, &stop, w->err);

	*n = 0;
	if (ret)
		return ret;
	for (size_t i = 0; i < st_stop_count(stop) && *n < ST_CHECK_BUSY_MAX; i++)
		*n += st_evidence_check(e, st_stop_thread(stop, i), &busy[*n]) != 0;
	if (*n < ST_CHECK_BUSY_MAX)
		*n += st_evidence_parked(e, stop, &busy[*n]) != 0;
	st_resume(stop, NULL);
	return 0;
}

static int threads(struct st_work *w, const struct st_old *old, size_t n, struct st_patch_check *check)
{
	struct st_evidence *e;
	int ret = st_evidence_open(w->s, old, n, &e, w->err);

	if (ret)
		return ret;
	ret = look(w, e, check->busy, &check->n);
	/* A word may be stale: unwound, and looked at again. */
	if (!ret && check->n && st_evidence_think(e) > 0)
		ret = look(w, e, check->busy, &check->n);
	st_evidence_close(e);
	return ret ? ret : check->n ? st_patch_fail(w->err, -EBUSY, "%s", check->busy[0].text) : 0;
}

static int look_at(struct st_work *w, const struct st_patch_file *file, struct st_patch_check *check)
{
	struct st_parts *parts = calloc(1, sizeof(*parts));
	struct st_old old[ST_MANIFEST_MAX];
	size_t n;
	int ret;

	if (!parts)
		return st_patch_fail(w->err, -ENOMEM, "out of memory");
	ret = st_patch_may(w, &file->m, &check->level) ?: st_parts_find(w, &file->m, parts) ?: st_image_imports(w, file);
	for (size_t i = 0; !ret && i < file->m.replaces; i++) {
		check->kind[i] = ST_KIND_NO;
		if (parts->fn[i].addr)
			ret = plan(w, &parts->fn[i], &check->kind[i]);
	}
	n = ret ? 0 : old_code(w, parts, file->m.replaces, old);
	if (n && check->level != ST_LEVEL_INDEPENDENT)
		ret = threads(w, old, n, check);
	free(parts);
	return ret;
}

int st_patch_check(struct st_session *s, const struct st_patch_file *file, const struct st_patch_options *o, struct st_patch_check *check,
		   char err[ST_ERR_MAX])
{
	struct st_work w = { .s = s, .ctl = st_session_ctl(s), .o = o, .err = err };
	int ret = st_session_lock(s);

	check->n = 0;
	if (ret)
		return st_patch_fail(err, ret, "%s", st_session_error(s));
	if (st_patch_find(w.ctl, file->m.name) >= 0)
		ret = st_patch_fail(err, -EEXIST, "a patch %s is there already (sidetrack patch list -p %d)", file->m.name, st_work_pid(&w));
	if (!ret)
		ret = st_objects_read(st_session_proc(s), &w.objs, err);
	if (!ret) {
		ret = look_at(&w, file, check);
		st_objects_free(w.objs);
	}
	st_session_unlock(s);
	return ret;
}
