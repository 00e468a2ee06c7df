/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Changing the code of a process from outside, all its threads stopped. The order that makes the tool's death harmless at any point:
 *
 *	1. memory is mapped and noted in ctl->region; stubs and records are written; nobody can reach them
 *	2. every thread is stopped; who stands between two displaced instructions is moved to their copies
 *	3. records say "changed", then the bytes change, a page at a time
 *	4. the threads go on
 *
 * A tool that finds a record that says "changed" can put the original bytes back, whether or not they had changed.
 *
 * A jump that gives way to a site within its bytes becomes a breakpoint: its record says so by one store, then its bytes change
 * (pass 1), then those of the sites behind it (pass 2). Killed anywhere between, each site holds one of the forms of its record,
 * or lies under a jump that still stands, whose own record tells.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <process/session_internal.h>

#define BUSY_TRIES 100

/* What a site holds. */
enum holds { HOLDS_ORIGINAL, HOLDS_JUMP, HOLDS_BREAKPOINT, HOLDS_OTHER, HOLDS_NOTHING };

static enum holds look_at_site(struct st_session *s, struct st_ctl_site *c)
{
	const struct st_ctl_form *jump = &c->form[ST_FORM_JUMP], *trap = &c->form[ST_FORM_BREAKPOINT];
	unsigned int jlen = jump->stub ? st_form_jump(jump) : 0, tlen = trap->stub ? st_form_jump(trap) : 0;
	unsigned int len = jlen > tlen ? jlen : tlen;
	uint8_t now[ST_JUMP_MAX];

	if (!len || st_mem_read(s->proc, c->addr, now, len))
		return HOLDS_NOTHING;
	if (tlen && !memcmp(now, trap->bytes, tlen))
		return HOLDS_BREAKPOINT;
	if (jlen && (!memcmp(now, jump->bytes, jlen) || (c->direct && !memcmp(now, c->direct_bytes, jlen))))
		return HOLDS_JUMP;
	/* Behind its first instruction there may be other sites. */
	if (jlen && st_form_insns(jump) > 1 && jump->offs[1] < jlen)
		jlen = jump->offs[1];
	return memcmp(now, c->orig, jlen ? jlen : tlen) ? HOLDS_OTHER : HOLDS_ORIGINAL;
}

/* The bytes that a record wants at its site; how many differ from the original ones. */
static unsigned int wanted_bytes(struct st_ctl_site *c, const uint8_t **bytes)
{
	struct st_ctl_form *f = st_site_form(c);

	*bytes = f->bytes;
	if (c->list[0])
		return st_form_jump(f);
	f = &c->form[ST_FORM_JUMP];
	*bytes = c->direct ? c->direct_bytes : f->bytes;
	return c->redirect ? st_form_jump(f) : 0;
}

struct change {
	struct st_ctl_site *c;
	struct st_edit edit;
	bool inside;		/* several instructions will be displaced: nobody may be between them */
	bool grows;		/* for the second pass */
	bool left;		/* somebody is between them: not this time */
};

static int change_order(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	return x->edit.addr < y->edit.addr ? -1 : x->edit.addr > y->edit.addr;
}

static unsigned int displaced(const struct st_ctl_site *c)
{
	return st_form_len(&c->form[ST_FORM_JUMP]);
}

static struct change *change_at(struct change *ch, size_t n, unsigned long pc)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (ch[mid].edit.addr <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && pc - ch[lo - 1].edit.addr < displaced(ch[lo - 1].c) ? &ch[lo - 1] : NULL;
}

/* Who stands between two displaced instructions goes on with their copies. */
static void move_out(struct st_thread *t, struct change *ch, size_t n)
{
	const struct st_ctl_form *f;
	struct st_regs regs;
	struct change *c;
	unsigned long pc;

	if (st_thread_regs(t, &regs))
		return;
	pc = st_regs_pc(&regs);
	c = change_at(ch, n, pc);
	if (!c || !c->inside)
		return;
	f = &c->c->form[ST_FORM_JUMP];
	for (unsigned int i = 1; i < st_form_insns(f); i++)
		if (pc == c->c->addr + f->offs[i])
			st_thread_set_pc(t, (f->stub + f->map[i]) | st_site_thumb(c->c));
}

/* Marks the changes that a thread is in the way of. */
static int look_at_threads(struct st_session *s, struct st_stop *stop, struct change *ch, size_t n)
{
	struct st_range *range = malloc((n + 1) * sizeof(*range));
	size_t *owner = malloc((n + 1) * sizeof(*owner));
	size_t ranges = 0;
	int ret = 0;

	if (!range || !owner) {
		ret = st_session_fail(s, -ENOMEM, "out of memory");
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		ch[i].left = false;
		if (!ch[i].inside)
			continue;
		owner[ranges] = i;
		range[ranges++] = (struct st_range){ ch[i].edit.addr + 1, ch[i].edit.addr + displaced(ch[i].c) };
	}
	for (size_t i = 0; ranges && i < st_stop_count(stop); i++) {
		struct st_thread *t = st_stop_thread(stop, i);
		struct st_hit hit;
		int found;

		move_out(t, ch, n);
		while ((found = st_scan(t, range, ranges, &hit)) > 0) {
			ch[owner[hit.range]].left = true;
			range[hit.range].hi = range[hit.range].lo;
		}
		if (found < 0 && found != -ESRCH)
			for (size_t k = 0; k < n; k++)
				ch[k].left |= ch[k].inside;
	}
out:
	free(range);
	free(owner);
	return ret;
}

/* Brings the bytes of the changed sites in line with their records. `done` counts those that are. */
static int write_sites(struct st_session *s, struct change *ch, size_t n)
{
	struct st_edit *edit = malloc((n + 1) * sizeof(*edit));
	size_t left = n, todo;
	int ret = 0;

	if (!edit)
		return st_session_fail(s, -ENOMEM, "out of memory");
	qsort(ch, n, sizeof(*ch), change_order);
	for (int tries = 0; left && !ret && tries < BUSY_TRIES; tries++) {
		struct st_stop *stop;

		if (tries)
			st_nap_ms(ST_BUSY_NAP_MS);
		ret = st_stop(s->proc, 0, ST_STOP_MS, &stop, s->err);
		if (ret)
			break;
		ret = look_at_threads(s, stop, ch, left);
		for (int pass = 0; !ret && pass < 2; pass++) {
			todo = 0;
			for (size_t i = 0; i < left; i++)
				if (!ch[i].left && ch[i].grows == (pass == 1))
					edit[todo++] = ch[i].edit;
			if (todo)
				ret = st_mem_edit(s->proc, edit, todo, s->err);
		}
		st_session_resume(s, stop);
		if (ret)
			break;
		todo = 0;
		for (size_t i = 0; i < left; i++)
			if (ch[i].left)
				ch[todo++] = ch[i];
		left = todo;
	}
	free(edit);
	if (!ret && left)
		ret = st_session_fail(s, -EBUSY, "a thread stays in the first instructions of a function at %#" PRIx64
			   " that would change", ch[0].c->addr);
	return ret;
}

/* The site lies in the bytes of another one's jump, which still stands there although its record wants otherwise. */
static bool under_a_jump(struct st_session *s, const struct st_ctl_site *c)
{
	uint32_t used = st_sites_used(s);

	for (uint32_t i = 0; i < used; i++) {
		struct st_ctl_site *j = &s->ctl->site[i];

		if (j->state != ST_SITE_FREE && j->addr < c->addr &&
		    c->addr - j->addr < st_form_jump(&j->form[ST_FORM_JUMP]) && look_at_site(s, j) == HOLDS_JUMP)
			return true;
	}
	return false;
}

/* Which of these sites do not hold what their record wants, as changes. */
int st_sites_settle(struct st_session *s, const uint32_t *site, size_t n)
{
	struct change *ch = calloc(n + 1, sizeof(*ch));
	size_t count = 0;
	int ret = 0;

	if (!ch)
		return st_session_fail(s, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n && !ret; i++) {
		struct st_ctl_site *c = &s->ctl->site[site[i]];
		struct change *x = &ch[count];
		uint8_t now[ST_JUMP_MAX];
		const uint8_t *bytes;
		unsigned int want = wanted_bytes(c, &bytes), is;
		enum holds holds = look_at_site(s, c);
		bool hidden = holds == HOLDS_OTHER && under_a_jump(s, c);

		if (hidden)
			holds = HOLDS_ORIGINAL;
		if (holds == HOLDS_NOTHING) {
			/* Its object is gone. */
			c->state = ST_SITE_FREE;
			continue;
		}
		is = holds == HOLDS_ORIGINAL ? 0 : st_form_jump(&c->form[holds == HOLDS_JUMP ? ST_FORM_JUMP : ST_FORM_BREAKPOINT]);
		x->c = c;
		x->edit.addr = c->addr;
		x->edit.len = (uint8_t)(want > is ? want : is);
		if (holds == HOLDS_OTHER || (want > is && !hidden && (st_mem_read(s->proc, c->addr, now, want) ||
								     memcmp(now + is, c->orig + is, want - is)))) {
			ret = st_session_fail(s, -EBADF, "the code at %#" PRIx64 " was changed by somebody else", c->addr);
			break;
		}
		if (!x->edit.len)
			continue;
		memcpy(x->edit.bytes, c->orig, x->edit.len);
		memcpy(x->edit.bytes, bytes, want);
		if (!hidden && !st_mem_read(s->proc, c->addr, now, x->edit.len) && !memcmp(now, x->edit.bytes, x->edit.len))
			continue;
		x->grows = want > is;
		x->inside = want && bytes != c->form[ST_FORM_BREAKPOINT].bytes && holds != HOLDS_JUMP &&
			    st_form_insns(&c->form[ST_FORM_JUMP]) > 1;
		count++;
	}
	if (!ret && count)
		ret = write_sites(s, ch, count);
	free(ch);
	return ret;
}

/* Of a site that holds its own bytes; or to a breakpoint, before it is settled. */
void st_site_set_form(struct st_ctl_site *c, unsigned int form)
{
	const struct st_ctl_form *f = &c->form[form];

	if (!c->redirect)
		__atomic_store_n(&c->site.resume, (unsigned long)(f->stub + f->moved) | st_site_thumb(c), __ATOMIC_RELEASE);
	c->ret.path = f->path ? f->stub + f->path : 0;
	c->ret.after = f->after ? (unsigned long)(f->stub + f->after) | st_site_thumb(c) : 0;
	__atomic_store_n(&c->now, form, __ATOMIC_RELEASE);
}

void st_site_set_state(struct st_ctl_site *c)
{
	if (c->state == ST_SITE_FREE)
		return;
	__atomic_store_n(&c->state, c->list[0] ? ST_SITE_HOOKED : c->redirect ? ST_SITE_PATCHED : ST_SITE_READY,
			 __ATOMIC_RELEASE);
}

void st_site_set_dispatch(struct st_session *s, struct st_ctl_site *c, bool vector, bool redirected)
{
	uint64_t to = vector ? s->ctl->dispatch_vector : s->ctl->dispatch;

#if defined(__aarch64__)
	if (redirected)
		to = s->ctl->dispatch_redirect;
#else
	(void)redirected;	/* st_entry goes on at site.resume, wherever that is */
#endif
	__atomic_store_n(&c->site.dispatch, (void *)(unsigned long)to, __ATOMIC_RELEASE);
}

/* A way to `to` from the site: by a jump, or through the stub (whose resume then leads there). */
void st_site_redirect(struct st_session *s, struct st_ctl_site *c, unsigned int patch, unsigned long to)
{
	const struct st_ctl_form *f = st_site_form(c);
	struct st_plan plan = { .func = c->func, .addr = c->addr, .isa = c->isa, .kind = c->form[ST_FORM_JUMP].kind,
				.len = c->form[ST_FORM_JUMP].len, .jump = (uint8_t)st_form_jump(&c->form[ST_FORM_JUMP]) };
	unsigned long thumb = st_site_thumb(c);
	uint8_t bytes[ST_JUMP_MAX] = { 0 };

	c->patch = patch;
	/* What a site may hold is known as long as it may hold it: the last direct jump stays in the record. */
	if (to) {
		/* A jump does not change the state: from A32 to Thumb, or back, it goes through the stub. */
		c->direct = !((to ^ thumb) & 1 && sizeof(long) == 4) && !st_arch_jump(&plan, to, bytes);
		memcpy(c->direct_bytes, bytes, sizeof(bytes));
	}
	c->redirect = to;
	st_site_set_dispatch(s, c, !(c->site.flags & ST_SITE_GENERAL), to != 0);
	__atomic_store_n(&c->site.resume, to ? to : (unsigned long)(f->stub + f->moved) | thumb, __ATOMIC_RELEASE);
	st_site_set_state(c);
}
