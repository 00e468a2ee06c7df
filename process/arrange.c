/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sites that lie close together. A jump displaces several instructions where one is shorter than the jump (x86-64, Thumb); a site at
 * one of the others, and that jump, can't both be. Then the jump becomes a breakpoint, which displaces one instruction. Its old stub
 * stays: a thread may be in it, and what it does is as right as before.
 *
 * Looked at each time that a site comes to life; one that sleeps (holds its own bytes) is in nobody's way.
 */
#include <errno.h>
#include <stdlib.h>
#include <process/session_internal.h>

struct place {
	unsigned long addr;
	uint32_t site;
};

struct places {
	struct place *place;	/* sites that are, or will be, alive; by address */
	size_t n;
	uint32_t *also;		/* those that change their form */
	size_t nalso;
};

static int place_order(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* The first at or behind an address. */
static size_t find_place(const struct places *p, unsigned long addr)
{
	size_t lo = 0, hi = p->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (p->place[mid].addr < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Does one of the instructions that it displaces begin there? */
static bool at_instruction(const struct st_ctl_site *c, const struct st_ctl_form *f, unsigned long addr)
{
	for (unsigned int i = 0; i < st_form_insns(f); i++)
		if (c->addr + f->offs[i] == addr)
			return true;
	return false;
}

static const char *need_breakpoint(struct st_session *s, struct st_ctl_site *c)
{
	const char *why;

	why = st_traps_refuse(s, c->addr);
	if (!why && st_traps_begin(s))
		why = s->err;
	if (!why)
		why = s->no_traps;
	return why ?: st_site_add_breakpoint(s, c);
}

const char *st_site_to_breakpoint(struct st_session *s, struct st_ctl_site *c)
{
	const char *why = need_breakpoint(s, c);

	if (!why)
		st_site_set_form(c, ST_FORM_BREAKPOINT);
	return why;
}

/* May this site be where others are? `any`: it, or they, may become a breakpoint. NULL, or why not. */
static const char *arrange(struct st_session *s, struct places *p, struct st_ctl_site *c, bool any)
{
	struct st_ctl_form *jump = &c->form[ST_FORM_JUMP];
	size_t me = find_place(p, c->addr), covers = SIZE_MAX, i;
	const char *why;
	bool crowded = false;

	if (st_site_live(c))
		return NULL;
	/* Whose bytes does it lie in? */
	for (i = me; i-- > 0 && c->addr - p->place[i].addr < ST_DISPLACED_MAX;) {
		struct st_ctl_site *j = &s->ctl->site[p->place[i].site];
		struct st_ctl_form *f = st_site_form(j);

		/* Its jump may still be there, if a tool was killed before it became the breakpoint that its record says. */
		if (st_site_live(j) && f != &j->form[ST_FORM_JUMP] && c->addr - j->addr < st_form_len(&j->form[ST_FORM_JUMP]))
			p->also[p->nalso++] = p->place[i].site;
		if (!f->stub || c->addr - j->addr >= st_form_len(f))
			continue;
		if (!at_instruction(j, f, c->addr))
			return "it lies in an instruction that another probe has displaced";
		if (!st_site_live(j))
			continue;	/* it has yet to be arranged, and will see this one */
		if (j->redirect)
			return "the jump of a patch lies over it";
		if (!any)
			return "a probe lies over it";
		covers = i;
	}
	/* Who lies in its bytes? */
	for (i = me; i < p->n && jump->stub && p->place[i].addr < c->addr + st_form_len(jump); i++) {
		if (p->place[i].addr == c->addr)
			continue;
		if (!at_instruction(c, jump, p->place[i].addr))
			return "another probe lies in an instruction that it would displace";
		crowded = true;
	}
	if ((crowded || !jump->stub) && !any)
		return crowded ? "a probe lies in the first bytes, where its jump would be" : "no jump fits there";
	if (crowded || !jump->stub) {
		why = need_breakpoint(s, c);
		if (why)
			return why;
	}
	if (covers != SIZE_MAX) {
		struct st_ctl_site *j = &s->ctl->site[p->place[covers].site];

		why = need_breakpoint(s, j);
		if (why)
			return why;
		st_site_set_form(j, ST_FORM_BREAKPOINT);
		p->also[p->nalso++] = p->place[covers].site;
	}
	st_site_set_form(c, crowded || !jump->stub ? ST_FORM_BREAKPOINT : ST_FORM_JUMP);
	return NULL;
}

int st_sites_arrange(struct st_session *s, struct st_fn *fn, size_t n, unsigned int flags, int *site, uint32_t **also,
		     size_t *nalso)
{
	uint32_t used = st_sites_used(s);
	struct places p = { 0 };

	*also = NULL;
	*nalso = 0;
	p.place = calloc(used + n + 1, sizeof(*p.place));
	/* At most so many begin in the bytes before a site. */
	p.also = calloc(n * ST_DISPLACED_MAX + 1, sizeof(*p.also));
	if (!p.place || !p.also) {
		free(p.place);
		free(p.also);
		return st_session_fail(s, -ENOMEM, "out of memory");
	}
	for (uint32_t i = 0; i < used; i++)
		if (st_site_live(&s->ctl->site[i]))
			p.place[p.n++] = (struct place){ s->ctl->site[i].addr, i };
	for (size_t i = 0; i < n; i++)
		if (site[i] >= 0 && !st_site_live(&s->ctl->site[site[i]]))
			p.place[p.n++] = (struct place){ s->ctl->site[site[i]].addr, (uint32_t)site[i] };
	qsort(p.place, p.n, sizeof(*p.place), place_order);
	for (size_t i = 0; i < n; i++) {
		struct st_ctl_site *c;

		if (site[i] < 0)
			continue;
		c = &s->ctl->site[site[i]];
		fn[i].why = arrange(s, &p, c, flags & ST_SESSION_ANY);
		fn[i].kind = fn[i].why ? ST_KIND_NO : (enum st_kind)st_site_form(c)->kind;
		if (fn[i].why)
			site[i] = -1;
	}
	free(p.place);
	*also = p.also;
	*nalso = p.nalso;
	return 0;
}
