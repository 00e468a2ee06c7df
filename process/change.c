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
	if (jlen && (!memcmp(now, jump->bytes, jlen) || (c->direct && !memcmp(now, c->direct_bytes, jlen)) ||
		     (c->was && !memcmp(now, c->was_bytes, jlen))))
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
	if (st_site_list(c)[0])
		return st_form_jump(f);
	f = &c->form[ST_FORM_JUMP];
	*bytes = c->direct ? c->direct_bytes : f->bytes;
	return c->redirect ? st_form_jump(f) : 0;
}

/*
 * Where a thread goes on that comes through the site. Behind a breakpoint's one instruction there may still be the bytes of a jump:
 * so that way is open only when they are gone, and closed before they come.
 */
static void set_resume(struct st_ctl_site *c, const struct st_ctl_form *f)
{
	if (!c->redirect)
		__atomic_store_n(&c->site.resume, (unsigned long)(f->stub + f->moved) | st_site_thumb(c), __ATOMIC_RELEASE);
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

/*
 * Stubs that lead between the instructions which a jump will displace: those of sites next to it, that had another form or sleep
 * now. Who is in one comes out there.
 */
struct feeder {
	unsigned long exit;
	struct st_range stub;
	struct st_range site;		/* who is in the agent on behalf of the site has its address somewhere */
};

static int feeder_order(const void *a, const void *b)
{
	const struct feeder *x = a, *y = b;

	return x->exit < y->exit ? -1 : x->exit > y->exit;
}

static struct feeder *make_feeders(struct st_session *s, size_t *n)
{
	uint32_t used = st_sites_used(s);
	struct feeder *feeder = calloc(2 * (size_t)used + 1, sizeof(*feeder));

	*n = 0;
	for (uint32_t i = 0; feeder && i < used; i++) {
		const struct st_ctl_site *c = &s->ctl->site[i];

		for (int k = 0; k < ST_FORMS && c->state != ST_SITE_FREE; k++)
			if (c->form[k].stub)
				feeder[(*n)++] = (struct feeder){ c->addr + st_form_len(&c->form[k]),
								  { c->form[k].stub, c->form[k].stub + c->form[k].size },
								  { st_session_address(s, &c->site),
								    st_session_address(s, &c->site + 1) } };
	}
	if (feeder)
		qsort(feeder, *n, sizeof(*feeder), feeder_order);
	return feeder;
}

struct look {
	struct st_range *range;		/* code that nobody may be in, or come back to */
	struct st_range *stub, *site;	/* stubs that nobody may be in, and their sites */
	size_t *owner, *stub_owner;	/* of which change */
	size_t ranges, stubs;
	struct st_range agent;
};

static int look_begin(struct st_session *s, struct look *l, const struct change *ch, size_t n)
{
	size_t feeders, size = n;
	struct feeder *feeder = make_feeders(s, &feeders);

	memset(l, 0, sizeof(*l));
	for (int i = 0; i < ST_REGIONS_MAX; i++) {
		const struct st_ctl_region *r = &s->ctl->region[i];

		if (r->kind == ST_REGION_AGENT && s->ctl->entry - r->start < r->size)
			l->agent = (struct st_range){ r->start, r->start + r->size };
	}
	/* Each stub has one exit, which lies in the bytes of one jump. */
	size += feeders;
	l->range = malloc((n + 1) * sizeof(*l->range));
	l->owner = malloc((n + 1) * sizeof(*l->owner));
	l->stub = malloc((size + 1) * sizeof(*l->stub));
	l->site = malloc((size + 1) * sizeof(*l->site));
	l->stub_owner = malloc((size + 1) * sizeof(*l->stub_owner));
	if (!feeder || !l->range || !l->owner || !l->stub || !l->site || !l->stub_owner) {
		free(feeder);
		return st_session_fail(s, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < n; i++) {
		unsigned long from = ch[i].edit.addr, to = from + displaced(ch[i].c);
		size_t lo = 0, hi = feeders;

		if (!ch[i].inside)
			continue;
		l->owner[l->ranges] = i;
		/*
		 * Who has run into a breakpoint that was there before goes to its stub. On x86-64 pc is behind it then, elsewhere at
		 * it. Thumb: a pointer to the function, with bit 0 set, leads to its first instruction and not between two of them.
		 */
#if defined(__x86_64__)
		l->range[l->ranges++] = (struct st_range){ from + 1, to };
#else
		l->range[l->ranges++] = (struct st_range){
			ch[i].c->form[ST_FORM_BREAKPOINT].stub ? from : from + 1 + st_site_thumb(ch[i].c), to };
#endif
		while (lo < hi) {
			size_t mid = (lo + hi) / 2;

			if (feeder[mid].exit <= from)
				lo = mid + 1;
			else
				hi = mid;
		}
		for (; lo < feeders && feeder[lo].exit < to && l->stubs < size; lo++) {
			l->stub_owner[l->stubs] = i;
			l->site[l->stubs] = feeder[lo].site;
			l->stub[l->stubs++] = feeder[lo].stub;
		}
	}
	free(feeder);
	return 0;
}

static void look_end(struct look *l)
{
	free(l->range);
	free(l->owner);
	free(l->stub);
	free(l->site);
	free(l->stub_owner);
}

/* Each range that a thread may be in is found, and not looked for any more. Not known is in all of them. */
static void look_for(struct st_thread *t, struct st_range *range, const size_t *owner, size_t n, bool interrupted, struct change *ch)
{
	struct st_hit hit;
	int found = 0;

	while (n && (found = interrupted ? st_scan_interrupted(t, range, n, &hit) : st_scan(t, range, n, &hit)) > 0) {
		ch[owner[hit.range]].left = true;
		range[hit.range].hi = range[hit.range].lo;
	}
	if (found < 0 && found != -ESRCH)
		for (size_t i = 0; i < n; i++)
			ch[owner[i]].left = true;
}

/* Marks the changes that a thread is in the way of. */
static int look_at_threads(struct st_session *s, struct st_stop *stop, struct change *ch, size_t n)
{
	struct look l;
	int ret;

	for (size_t i = 0; i < n; i++)
		ch[i].left = false;
	ret = look_begin(s, &l, ch, n);
	for (size_t i = 0; !ret && l.ranges && i < st_stop_count(stop); i++) {
		struct st_thread *t = st_stop_thread(stop, i);
		struct st_hit hit;

		move_out(t, ch, n);
		look_for(t, l.range, l.owner, l.ranges, false, ch);
		if (!l.stubs)
			continue;
		/* What the agent was called from, or for, is on the stack; who is not in it is in a stub only where it stands. */
		look_for(t, l.stub, l.stub_owner, l.stubs, true, ch);
		if (st_scan_interrupted(t, &l.agent, 1, &hit)) {
			look_for(t, l.stub, l.stub_owner, l.stubs, false, ch);
			look_for(t, l.site, l.stub_owner, l.stubs, false, ch);
		}
	}
	look_end(&l);
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
		for (size_t i = 0; !ret && i < left; i++)
			if (!ch[i].left)
				set_resume(ch[i].c, st_site_form(ch[i].c));
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

/* The site in whose jump's bytes this one lies: it still stands there, although its record wants otherwise. -1: none. */
static int under_a_jump(struct st_session *s, const struct st_ctl_site *c)
{
	uint32_t used = st_sites_used(s);

	for (uint32_t i = 0; i < used; i++) {
		struct st_ctl_site *j = &s->ctl->site[i];

		if (j->state != ST_SITE_FREE && j->addr < c->addr &&
		    c->addr - j->addr < st_form_jump(&j->form[ST_FORM_JUMP]) && look_at_site(s, j) == HOLDS_JUMP)
			return (int)i;
	}
	return -1;
}

bool st_site_waits(struct st_session *s, struct st_ctl_site *c)
{
	return st_site_live(c) && st_site_list(c)[0] && !c->redirect && c->now == ST_FORM_JUMP &&
	       st_form_insns(&c->form[ST_FORM_JUMP]) > 1 && look_at_site(s, c) == HOLDS_ORIGINAL;
}

static int number_order(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* These sites, each once, and those whose jumps lie over them: a tool was killed between what it wrote of both. */
static uint32_t *with_covers(struct st_session *s, const uint32_t *site, size_t n, size_t *count)
{
	uint32_t *all = calloc(2 * n + 1, sizeof(*all));
	size_t m = n;

	*count = 0;
	for (size_t i = 0; all && i < n; i++) {
		struct st_ctl_site *c = &s->ctl->site[site[i]];
		int j = look_at_site(s, c) == HOLDS_OTHER ? under_a_jump(s, c) : -1;

		all[i] = site[i];
		if (j >= 0)
			all[m++] = (uint32_t)j;
	}
	if (!all)
		return NULL;
	qsort(all, m, sizeof(*all), number_order);
	for (size_t i = 0; i < m; i++)
		if (!*count || all[*count - 1] != all[i])
			all[(*count)++] = all[i];
	return all;
}

void st_site_set_state(struct st_ctl_site *c)
{
	if (c->state == ST_SITE_FREE)
		return;
	if (st_site_list(c)[0] || c->redirect)
		__atomic_store_n(&c->state, st_site_list(c)[0] ? ST_SITE_HOOKED : ST_SITE_PATCHED, __ATOMIC_RELEASE);
}

/* It is asleep when its bytes are known to be its own, and not before. */
static void settled(struct st_ctl_site *c)
{
	if (c->state != ST_SITE_FREE && !st_site_list(c)[0] && !c->redirect)
		__atomic_store_n(&c->state, ST_SITE_READY, __ATOMIC_RELEASE);
}

/* Which of these sites do not hold what their record wants, as changes. */
int st_sites_settle(struct st_session *s, const uint32_t *of, size_t nof)
{
	size_t n, count = 0;
	uint32_t *site = with_covers(s, of, nof, &n);
	struct change *ch = calloc(n + 1, sizeof(*ch));
	int ret = 0;

	if (!ch || !site) {
		free(ch);
		free(site);
		return st_session_fail(s, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < n && !ret; i++) {
		struct st_ctl_site *c = &s->ctl->site[site[i]];
		struct change *x = &ch[count];
		uint8_t now[ST_JUMP_MAX];
		const uint8_t *bytes;
		unsigned int want = wanted_bytes(c, &bytes), is;
		enum holds holds = look_at_site(s, c);
		bool hidden = holds == HOLDS_OTHER && under_a_jump(s, c) >= 0;

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
		if (!hidden && !st_mem_read(s->proc, c->addr, now, x->edit.len) && !memcmp(now, x->edit.bytes, x->edit.len)) {
			set_resume(c, st_site_form(c));	/* a tool that was killed may not have come to it */
			continue;
		}
		x->grows = want > is;
		x->inside = want && bytes != c->form[ST_FORM_BREAKPOINT].bytes && holds != HOLDS_JUMP &&
			    st_form_insns(&c->form[ST_FORM_JUMP]) > 1;
		count++;
	}
	if (!ret && count)
		ret = write_sites(s, ch, count);
	for (size_t i = 0; i < n && !ret; i++)
		settled(&s->ctl->site[site[i]]);
	free(ch);
	free(site);
	return ret;
}

/* Of a site that holds its own bytes; or to a breakpoint, before it is settled. */
void st_site_set_form(struct st_ctl_site *c, unsigned int form)
{
	const struct st_ctl_form *f = &c->form[form];

	if (form == ST_FORM_JUMP || !st_site_live(c))
		set_resume(c, f);
	/* The first ones for good: returns that are pending go there. They do not depend on what the stub displaces. */
	if (!c->ret.after && f->after) {
		c->ret.path = f->path ? (unsigned long)(f->stub + f->path) : 0;
		c->ret.after = (unsigned long)(f->stub + f->after) | st_site_thumb(c);
	}
	__atomic_store_n(&c->now, form, __ATOMIC_RELEASE);
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
	/* What a site may hold is known as long as it may hold it: the last direct jump stays in the record, and the one before. */
	if (to) {
		/*
		 * A jump does not change the state: from A32 to Thumb, or back, it goes through the stub. So does what would come with
		 * a signed return address.
		 */
		bool direct = !c->form[ST_FORM_JUMP].signs && !((to ^ thumb) & 1 && sizeof(long) == 4) && !st_arch_jump(&plan, to, bytes);

		if (c->direct && memcmp(c->direct_bytes, bytes, sizeof(bytes))) {
			memcpy(c->was_bytes, c->direct_bytes, sizeof(bytes));
			__atomic_store_n(&c->was, 1, __ATOMIC_RELEASE);
		}
		__atomic_store_n(&c->direct, 0, __ATOMIC_RELEASE);
		if (direct) {
			memcpy(c->direct_bytes, bytes, sizeof(bytes));
			__atomic_store_n(&c->direct, 1, __ATOMIC_RELEASE);
		}
	}
	c->redirect = to;
	st_site_set_dispatch(s, c, !(c->site.flags & ST_SITE_GENERAL), to != 0);
	__atomic_store_n(&c->site.resume, to ? to : (unsigned long)(f->stub + f->moved) | thumb, __ATOMIC_RELEASE);
	st_site_set_state(c);
}
