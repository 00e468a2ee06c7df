/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which version of a function runs: that of the newest enabled patch which replaces it, else the program's own. So patches may be
 * reverted in any order: one that is not the newest for a function leaves that as it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <patch/internal.h>

static struct st_ctl_patch_func *func_at(struct st_ctl *ctl, unsigned int patch, uint64_t addr)
{
	struct st_ctl_patch_func *f;

	for (uint32_t i = 0; (f = st_record_func(ctl, patch, &i));)
		if (!f->variable && f->addr == addr)
			return f;
	return NULL;
}

/* The newest version of a function, but for one patch. NULL: the program's own. *seq: of its patch. */
static struct st_ctl_patch_func *newest(struct st_ctl *ctl, uint64_t addr, unsigned int but, uint32_t *seq)
{
	struct st_ctl_patch_func *best = NULL;

	*seq = 0;
	for (unsigned int p = 0; p < ST_PATCHES_MAX; p++) {
		struct st_ctl_patch_func *f;

		if (p == but || ctl->patch[p].state != ST_PATCH_ENABLED || ctl->patch[p].seq < *seq)
			continue;
		f = func_at(ctl, p, addr);
		if (!f)
			continue;
		best = f;
		*seq = ctl->patch[p].seq;
	}
	return best;
}

void st_order_runs(struct st_ctl *ctl, uint64_t addr, unsigned long *to, unsigned long *size)
{
	uint32_t seq;
	const struct st_ctl_patch_func *f = newest(ctl, addr, ST_PATCHES_MAX, &seq);

	if (!f)
		return;
	*to = (unsigned long)f->to;
	*size = f->to_size;
	if (!*size && f->patch - 1 < ST_PATCHES_MAX) {
		*to = (unsigned long)ctl->patch[f->patch - 1].base;
		*size = (unsigned long)ctl->patch[f->patch - 1].size;
	}
}

static int begin(struct st_work *w, struct st_moves *m)
{
	m->n = 0;
	m->move = calloc(ST_PATCH_FUNCS_MAX, sizeof(*m->move));
	m->name = calloc(ST_PATCH_FUNCS_MAX, sizeof(*m->name));
	if (m->move && m->name)
		return 0;
	st_moves_free(m);
	return st_patch_fail(w->err, -ENOMEM, "out of memory");
}

void st_moves_free(struct st_moves *m)
{
	free(m->move);
	free(m->name);
	memset(m, 0, sizeof(*m));
}

/* The function at f's address becomes `to`; NULL: the program's own. */
static void add(struct st_work *w, struct st_moves *m, const struct st_ctl_patch_func *f, const struct st_ctl_patch_func *to)
{
	struct st_move *move = &m->move[m->n];

	for (size_t i = 0; i < m->n; i++)
		if (m->move[i].fn.addr == f->addr)
			return;
	st_record_text(w->ctl, f->name, m->name[m->n]);
	move->fn = (struct st_fn){
		.addr = (unsigned long)f->addr, .size = (size_t)f->size, .room = (size_t)f->room, .isa = f->isa, .name = m->name[m->n],
	};
	move->next = to ? (unsigned long)to->to : 0;
	move->next_size = to ? to->to_size : 0;
	m->n++;
}

int st_moves_part(struct st_work *w, uint32_t object, struct st_moves *m)
{
	uint32_t seq, mine = st_work_patch(w)->seq;
	struct st_ctl_patch_func *f;
	int ret = begin(w, m);

	if (ret)
		return ret;
	for (uint32_t i = 0; (f = st_record_func(w->ctl, w->patch, &i));) {
		if (f->variable || !f->addr || (object != UINT32_MAX && f->object != object))
			continue;
		newest(w->ctl, f->addr, w->patch, &seq);
		if (seq < mine)
			add(w, m, f, f);
	}
	return 0;
}

int st_moves_apply(struct st_work *w, struct st_moves *m)
{
	struct st_ctl_patch_func *f;
	int ret = st_moves_part(w, UINT32_MAX, m);

	if (ret || !(st_work_patch(w)->flags & ST_PATCH_REPLACE))
		return ret;
	for (unsigned int p = 0; p < ST_PATCHES_MAX; p++)
		for (uint32_t i = 0; p != w->patch && w->ctl->patch[p].state == ST_PATCH_ENABLED &&
				     (f = st_record_func(w->ctl, p, &i));)
			if (!f->variable && f->addr)
				add(w, m, f, NULL);
	return 0;
}

int st_moves_revert(struct st_work *w, struct st_moves *m)
{
	uint32_t seq, mine = st_work_patch(w)->seq;
	struct st_ctl_patch_func *f, *below;
	int ret = begin(w, m);

	if (ret)
		return ret;
	for (uint32_t i = 0; (f = st_record_func(w->ctl, w->patch, &i));) {
		if (f->variable || !f->addr)
			continue;
		below = newest(w->ctl, f->addr, w->patch, &seq);
		if (seq < mine)
			add(w, m, f, below);
	}
	return 0;
}

int st_moves_undo(struct st_work *w, struct st_moves *m)
{
	uint32_t n = w->ctl->sites_used < ST_SITES_MAX ? w->ctl->sites_used : ST_SITES_MAX, seq;
	struct st_ctl_patch_func *f;
	int ret = begin(w, m);

	if (ret)
		return ret;
	for (uint32_t i = 0; (f = st_record_func(w->ctl, w->patch, &i));)
		for (uint32_t k = 0; !f->variable && f->addr && k < n; k++)
			if (w->ctl->site[k].state != ST_SITE_FREE && w->ctl->site[k].addr == f->addr && w->ctl->site[k].redirect == f->to)
				add(w, m, f, newest(w->ctl, f->addr, w->patch, &seq));
	return 0;
}

int st_order_depends(struct st_work *w, const struct st_manifest *m)
{
	for (size_t i = 0; i < m->dependses; i++) {
		int p = st_patch_find(w->ctl, m->depends[i]);

		if (p < 0 || w->ctl->patch[p].state != ST_PATCH_ENABLED)
			return st_patch_fail(w->err, -EINVAL, "patch %s depends on patch %s, which is not enabled in process %d: apply that first",
					     m->name, m->depends[i], st_work_pid(w));
		if (m->replace_all)
			return st_patch_fail(w->err, -EINVAL, "patch %s replaces all others, so it can't depend on patch %s", m->name,
					     m->depends[i]);
	}
	return 0;
}

int st_order_needed(struct st_work *w)
{
	char mine[64], theirs[64], on[ST_NAME_MAX];

	st_record_name(w->ctl, w->patch, mine);
	for (unsigned int p = 0; p < ST_PATCHES_MAX; p++) {
		const struct st_ctl_patch_word *v;

		if (p == w->patch || w->ctl->patch[p].state != ST_PATCH_ENABLED)
			continue;
		for (uint32_t i = 0; (v = st_record_word(w->ctl, p, &i));)
			if (v->name && !strcmp(st_record_text(w->ctl, v->name, on), mine))
				return st_patch_fail(w->err, -EBUSY, "patch %s depends on patch %s: revert that first",
						     st_record_name(w->ctl, p, theirs), mine);
	}
	return 0;
}
