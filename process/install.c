/* SPDX-License-Identifier: GPL-2.0-only */
/* Hooks on the sites of a process: what a record says, then the bytes (change.c). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <engine/thread.h>
#include <process/session_internal.h>

/* ---- hooks ---- */

static int hook_place(const unsigned long *list, unsigned long hook)
{
	for (int i = 0; i < ST_SITE_HOOKS_MAX && list[i]; i++)
		if (list[i] == hook)
			return i;
	return -1;
}

static bool list_add(unsigned long *list, unsigned long hook)
{
	int n = 0;

	while (n < ST_SITE_HOOKS_MAX && list[n])
		n++;
	if (n == ST_SITE_HOOKS_MAX)
		return false;
	list[n + 1] = 0;
	__atomic_store_n(&list[n], hook, __ATOMIC_RELEASE);
	return true;
}

/* A thread that is walking the list meanwhile may pass over one of the others once. */
static void list_remove(unsigned long *list, unsigned long hook)
{
	int i = hook_place(list, hook);

	for (; i >= 0 && i < ST_SITE_HOOKS_MAX && list[i]; i++)
		__atomic_store_n(&list[i], list[i + 1], __ATOMIC_RELEASE);
}

/* Has the thread with this thread pointer ended? Its id stands near, and is cleared by the kernel. */
static bool thread_gone(struct st_session *s, unsigned long tp)
{
	int32_t tid;

	if (!s->ctl->tid_offset)
		return false;
	return st_mem_read(s->proc, tp + (unsigned long)s->ctl->tid_offset, &tid, sizeof(tid)) || tid <= 0;
}

/* Waits until every dispatch that was running has ended. The agent's own hooks never block. */
int st_session_grace(struct st_session *s)
{
	size_t len = sizeof(struct st_slot) * ST_THREADS;
	struct st_slot *was = malloc(len), *now = malloc(len);
	uint32_t flips = s->ctl->flips;
	int ret = was && now ? st_mem_read(s->proc, s->ctl->threads, was, len) : -ENOMEM;
	bool busy = true;

	for (int ms = 0; !ret && busy && ms < ST_GRACE_MS; ms++) {
		ret = st_mem_read(s->proc, s->ctl->threads, now, len);
		busy = false;
		for (unsigned int i = 0; !ret && i < ST_THREADS; i++)
			busy |= was[i].busy && now[i].busy == was[i].busy && now[i].tp == was[i].tp &&
				!thread_gone(s, now[i].tp);
		if (busy)
			st_nap_ms(1);
	}
	free(was);
	free(now);
	if (ret)
		return ret == -ESRCH ? ret : st_session_fail(s, ret, "can't read the agent's memory: %s", strerror(-ret));
	if (busy)
		return st_session_fail(s, -EBUSY, "a thread stays in a probe");
	s->ctl->graced = flips;
	return 0;
}

static int fn_order(const void *a, const void *b)
{
	const struct st_fn *x = a, *y = b;
	unsigned long i = x->addr + x->offset, k = y->addr + y->offset;

	return i < k ? -1 : i > k;
}

/* Those of both lists are settled. */
static int settle_both(struct st_session *s, const uint32_t *a, size_t na, const uint32_t *b, size_t nb)
{
	uint32_t *all = calloc(na + nb + 1, sizeof(*all));
	int ret;

	if (!all)
		return st_session_fail(s, -ENOMEM, "out of memory");
	for (size_t i = 0; i < na; i++)
		all[i] = a[i];
	for (size_t i = 0; i < nb; i++)
		all[na + i] = b[i];
	ret = na + nb ? st_sites_settle(s, all, na + nb) : 0;
	free(all);
	return ret;
}

/* Hooks look; then those of a transition change where the thread goes; then the one that follows it to its return sees where. */
static int rank(const struct st_session *s, const struct st_ctl_site *c, unsigned long hook)
{
	if (hook == st_session_address(s, &c->ret.hook))
		return 2;
	return hook - st_session_address(s, &s->ctl->transition) < sizeof(s->ctl->transition);
}

/* Is it worth while for the stub to look whether the only hook can do without registers? (ST_SITE_ALONE) */
static void hint(struct st_session *s, struct st_ctl_site *c)
{
	const unsigned long *list = st_site_list(c);
	uint64_t at = list[0] - (s->ctl->self + offsetof(struct st_ctl, probe_rec)), i = at / sizeof(struct st_ctl_probe);

	if (list[0] && !list[1] && i < ST_PROBES_MAX && !(c->site.flags & ST_SITE_INSIDE) &&
	    s->ctl->probe_rec[i].hook.flags & ST_HOOK_IS_SHORT)
		__atomic_fetch_or(&c->site.flags, ST_SITE_ALONE, __ATOMIC_RELAXED);
	else if (list[0] && list[1])
		__atomic_fetch_and(&c->site.flags, ~(unsigned long)ST_SITE_ALONE, __ATOMIC_RELAXED);
}

/* The list that does not count is written, and counts. -EBUSY: a thread may be reading it still. */
static int list_set(struct st_session *s, struct st_ctl_site *c, const unsigned long *list, int n)
{
	unsigned long *to = c->list[st_site_list(c) == c->list[0]];
	int ret = c->flip > s->ctl->graced ? st_session_grace(s) : 0;

	if (ret)
		return ret;
	memset(to, 0, sizeof(c->list[0]));
	memcpy(to, list, (size_t)n * sizeof(*list));
	c->flip = ++s->ctl->flips;
	__atomic_store_n(&c->site.hooks, (void *)st_session_address(s, to), __ATOMIC_RELEASE);
	hint(s, c);
	return 0;
}

/* NULL, or why not. */
static const char *hook_add(struct st_session *s, struct st_ctl_site *c, unsigned long hook)
{
	unsigned long list[ST_SITE_HOOKS_MAX + 1];
	int n = 0, at;

	memcpy(list, st_site_list(c), sizeof(list));
	while (n < ST_SITE_HOOKS_MAX && list[n])
		n++;
	if (n == ST_SITE_HOOKS_MAX)
		return "as many probes as it can have sit on it already";
	for (at = n; at && rank(s, c, list[at - 1]) > rank(s, c, hook); at--)
		list[at] = list[at - 1];
	list[at] = hook;
	return list_set(s, c, list, n + 1) ? "a thread stays in a probe there" : NULL;
}

static int hooks_remove(struct st_session *s, struct st_ctl_site *c, unsigned long hook, unsigned long other)
{
	const unsigned long *is = st_site_list(c);
	unsigned long list[ST_SITE_HOOKS_MAX];
	int n = 0, i;

	for (i = 0; i < ST_SITE_HOOKS_MAX && is[i]; i++)
		if (is[i] != hook && is[i] != other)
			list[n++] = is[i];
	return n < i ? list_set(s, c, list, n) : 0;
}

const char *st_site_add_hook(struct st_session *s, struct st_ctl_site *c, const char *name, unsigned long hook,
			     unsigned int flags)
{
	unsigned long follow = st_session_address(s, &c->ret.hook);
	bool first = !c->returns[0] && (flags & ST_SESSION_RETURN);
	const char *why;

	if (!(flags & ST_SESSION_RETURN))
		return hook_add(s, c, hook);
	if (c->site.flags & ST_SITE_INSIDE)
		return "a return probe sits on a function's entry, and a place inside another function has a probe there";
	if (name && st_return_refused(name))
		return st_return_refused(name);
	if (!c->ret.after || !s->ctl->return_enter)
		return "its returns can't be followed";
	if (!list_add(c->returns, hook))
		return "as many return probes as it can have sit on it already";
	why = first ? hook_add(s, c, follow) : NULL;
	if (why)
		list_remove(c->returns, hook);
	return why;
}

int st_site_remove_hook(struct st_session *s, struct st_ctl_site *c, unsigned long hook)
{
	list_remove(c->returns, hook);
	return hooks_remove(s, c, hook, c->returns[0] ? 0 : st_session_address(s, &c->ret.hook));
}

/*
 * Settles them. Where a thread does not leave the instructions that a jump would displace, maybe for ever, a breakpoint comes instead: it
 * displaces one, and nobody is inside that. Not with patches and not where only jumps are wanted.
 */
static int settle_hooks(struct st_session *s, struct st_fn *fn, const int *site, size_t n, unsigned int flags,
			const uint32_t *a, size_t na, const uint32_t *b, size_t nb)
{
	int ret = settle_both(s, a, na, b, nb);
	bool other = false;
	char err[ST_ERR_MAX];

	if (ret != -EBUSY || !(flags & ST_SESSION_ANY))
		return ret;
	memcpy(err, s->err, sizeof(err));
	for (size_t i = 0; i < n; i++) {
		struct st_ctl_site *c = site[i] < 0 ? NULL : &s->ctl->site[site[i]];

		if (!c || !st_site_waits(s, c))
			continue;
		other = !st_site_to_breakpoint(s, c);
		if (!other)
			break;
		fn[i].kind = ST_KIND_BREAKPOINT;
	}
	if (!other) {
		memcpy(s->err, err, sizeof(err));
		return ret;
	}
	return settle_both(s, a, na, b, nb);
}

static int do_hook(struct st_session *s, unsigned long addr, struct st_fn *fn, size_t n, unsigned int flags)
{
	int *site = calloc(n + 1, sizeof(*site));
	uint32_t *mine = calloc(n + 1, sizeof(*mine)), *there = calloc(n + 1, sizeof(*there)), *also = NULL;
	size_t count = 0, nthere = 0, nalso = 0;
	int ret;

	if (!site || !mine || !there) {
		ret = st_session_fail(s, -ENOMEM, "out of memory");
		goto out;
	}
	qsort(fn, n, sizeof(*fn), fn_order);
	ret = st_sites_find(s, fn, n, flags, site);
	if (!ret)
		ret = st_sites_arrange(s, fn, n, flags, site, &also, &nalso);
	for (size_t i = 0; !ret && i < n; i++) {
		struct st_ctl_site *c;

		if (site[i] < 0)
			continue;
		c = &s->ctl->site[site[i]];
		if (hook_place(flags & ST_SESSION_RETURN ? c->returns : st_site_list(c), addr) >= 0) {
			/* By its record; a tool may have been killed before the bytes were changed. */
			there[nthere++] = (uint32_t)site[i];
			continue;
		}
		fn[i].why = st_site_add_hook(s, c, fn[i].name, addr, flags);
		if (fn[i].why)
			continue;
		st_site_set_state(c);
		mine[count++] = (uint32_t)site[i];
	}
	if (!ret && !count && s->traps_busy)
		ret = st_session_fail(s, -EBUSY, "%s", s->no_traps);
	if (!ret)
		ret = settle_hooks(s, fn, site, n, flags, there, nthere, NULL, 0);
	if (!ret)
		ret = settle_hooks(s, fn, site, n, flags, mine, count, also, nalso);
	if (ret) {
		char err[ST_ERR_MAX];

		memcpy(err, s->err, sizeof(err));
		for (size_t i = 0; i < count; i++)
			/* Somebody stays in a hook there: he may pass over another one. */
			if (st_site_remove_hook(s, &s->ctl->site[mine[i]], addr))
				list_remove(st_site_list(&s->ctl->site[mine[i]]), addr);
		if (ret != -ESRCH)
			settle_both(s, mine, count, also, nalso);
		memcpy(s->err, err, sizeof(err));
	}
out:
	free(site);
	free(mine);
	free(there);
	free(also);
	return ret ? ret : (int)count;
}

/* What is known of the process is looked at anew for each change. */
void st_session_begin_change(struct st_session *s)
{
	st_session_forget_objects(s);
	s->window_len = 0;
	s->no_traps = NULL;
	s->traps_ready = s->traps_busy = false;
}

int st_session_hook(struct st_session *s, struct st_hook *hook, struct st_fn *fn, size_t n, unsigned int flags)
{
	int ret = st_session_lock(s);

	if (!ret) {
		st_session_begin_change(s);
		ret = flags & ST_SESSION_RETURN ? st_session_unwinders(s) : 0;
		if (!ret)
			ret = do_hook(s, st_session_address(s, hook), fn, n, flags);
		st_session_forget_objects(s);
		if (ret <= 0)
			st_traps_end(s, false);
		st_session_unlock(s);
	}
	return ret;
}

int st_session_returns(struct st_session *s)
{
	int ret = st_session_lock(s);

	if (!ret) {
		st_session_begin_change(s);
		ret = st_session_unwinders(s);
		st_session_forget_objects(s);
		st_session_unlock(s);
	}
	return ret;
}

static int do_unhook(struct st_session *s, unsigned long addr)
{
	uint32_t used = st_sites_used(s);
	uint32_t *mine = calloc(used + 1, sizeof(*mine));
	size_t count = 0;
	int ret = 0;

	if (!mine)
		return st_session_fail(s, -ENOMEM, "out of memory");
	for (uint32_t i = 0; !ret && i < used; i++) {
		struct st_ctl_site *c = &s->ctl->site[i];

		if (c->state == ST_SITE_FREE || (hook_place(st_site_list(c), addr) < 0 && hook_place(c->returns, addr) < 0))
			continue;
		ret = st_site_remove_hook(s, c, addr);
		mine[count++] = i;
	}
	if (!ret && count)
		ret = st_sites_settle(s, mine, count);
	if (!ret && count)
		ret = st_session_grace(s);
	free(mine);
	return ret;
}

int st_session_unhook(struct st_session *s, struct st_hook *hook)
{
	int ret = st_session_lock(s);

	if (!ret) {
		ret = do_unhook(s, st_session_address(s, hook));
		/* If SIGTRAP can't be given back now, the next one who leaves does it. */
		if (!ret)
			st_traps_end(s, false);
		st_session_unlock(s);
	}
	return ret;
}

int st_session_hook_internal(struct st_session *s, unsigned int i, unsigned long func, struct st_fn *fn, size_t n)
{
	struct st_hook *hook = &s->ctl->internal[i];

	hook->size = sizeof(*hook);
	hook->flags = ST_HOOK_GENERAL_REGS | ST_HOOK_RECURSE;
	__atomic_store_n(&hook->func, (st_hook_fn)func, __ATOMIC_RELEASE);
	return do_hook(s, st_session_address(s, hook), fn, n, 0);
}

int st_session_unhook_internal(struct st_session *s, unsigned int i)
{
	return do_unhook(s, st_session_address(s, &s->ctl->internal[i]));
}

static uint64_t start_time(uint32_t pid)
{
	char path[32], buf[1024], *p;
	uint64_t v = 0;
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	n = fread(buf, 1, sizeof(buf) - 1, f);
	fclose(f);
	buf[n] = 0;
	p = strrchr(buf, ')');
	/* ") S" is field 3; the start time is field 22 */
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p)
		v = strtoull(p, NULL, 10);
	return v;
}

static int do_reap(struct st_session *s)
{
	int reaped = 0;

	for (int i = 0; i < ST_PROBES_MAX; i++) {
		struct st_ctl_probe *p = &s->ctl->probe_rec[i];
		int ret;

		if (p->state == ST_PROBE_FREE || (p->owner && start_time(p->owner) == p->owner_start))
			continue;
		ret = st_session_unhook(s, &p->hook);
		if (ret)
			return ret;
		__atomic_store_n(&p->state, ST_PROBE_FREE, __ATOMIC_RELEASE);
		reaped++;
	}
	return reaped;
}

int st_session_reap(struct st_session *s)
{
	int ret = st_session_lock(s);

	if (!ret) {
		ret = do_reap(s);
		st_session_unlock(s);
	}
	return ret;
}
