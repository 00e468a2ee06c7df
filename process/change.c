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
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <process/session_internal.h>

#define BUSY_TRIES 100

/* What a site should hold now, by its record: its own bytes, a jump to the stub, or to a patch's function. */
static bool wanted_bytes(struct st_session *s, struct st_ctl_site *c, uint8_t out[ST_JUMP_MAX])
{
	struct st_plan plan = st_site_plan(c);
	unsigned long thumb = c->isa == ST_ISA_T32;

	if (c->list[0])
		return !st_arch_jump(&plan, c->stub | thumb, out);
	if (c->redirect && !st_arch_jump(&plan, c->direct ? c->redirect : c->stub | thumb, out))
		return true;
	(void)s;
	memcpy(out, plan.orig, plan.jump);
	return true;
}

struct change {
	struct st_ctl_site *c;
	struct st_edit edit;
	bool inside;		/* several instructions are displaced now: nobody may be between them */
	bool left;		/* somebody is: not this time */
};

static int change_order(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	return x->edit.addr < y->edit.addr ? -1 : x->edit.addr > y->edit.addr;
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
	return lo && pc - ch[lo - 1].edit.addr < ch[lo - 1].edit.len ? &ch[lo - 1] : NULL;
}

/* Who stands between two displaced instructions goes on with their copies. */
static void move_out(struct st_thread *t, struct change *ch, size_t n)
{
	struct st_regs regs;
	struct change *c;
	unsigned long pc;

	if (st_thread_regs(t, &regs))
		return;
	pc = st_regs_pc(&regs);
	c = change_at(ch, n, pc);
	if (!c || !c->inside)
		return;
	for (int i = 1; i < c->c->insns && i < ST_INSNS_MAX; i++)
		if (pc == c->c->addr + c->c->offs[i])
			st_thread_set_pc(t, (c->c->stub + c->c->map[i]) | (c->c->isa == ST_ISA_T32));
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
		range[ranges++] = (struct st_range){ ch[i].edit.addr + 1, ch[i].edit.addr + ch[i].edit.len };
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
		todo = 0;
		for (size_t i = 0; i < left; i++)
			if (!ch[i].left)
				edit[todo++] = ch[i].edit;
		if (!ret && todo)
			ret = st_mem_edit(s->proc, edit, todo, s->err);
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

		if (c->jump > ST_JUMP_MAX || !wanted_bytes(s, c, x->edit.bytes)) {
			ret = st_session_fail(s, -ERANGE, "a jump at %#" PRIx64 " would not reach", c->addr);
			break;
		}
		ret = st_mem_read(s->proc, c->addr, now, c->jump);
		if (ret) {
			/* Its object is gone. */
			ret = 0;
			c->state = ST_SITE_FREE;
			continue;
		}
		if (!memcmp(now, x->edit.bytes, c->jump))
			continue;
		if (memcmp(now, c->orig, c->jump) && memcmp(now, c->bytes, c->jump)) {
			ret = st_session_fail(s, -EBADF, "the code at %#" PRIx64 " was changed by somebody else", c->addr);
			break;
		}
		x->c = c;
		x->edit.addr = c->addr;
		x->edit.len = c->jump;
		x->inside = c->insns > 1 && !memcmp(now, c->orig, c->jump);
		memcpy(c->bytes, memcmp(x->edit.bytes, c->orig, c->jump) ? x->edit.bytes : c->bytes, c->jump);
		count++;
	}
	if (!ret && count)
		ret = write_sites(s, ch, count);
	free(ch);
	return ret;
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
	struct st_plan plan = st_site_plan(c);
	uint8_t bytes[ST_JUMP_MAX];
	unsigned long thumb = c->isa == ST_ISA_T32;

	c->patch = patch;
	c->redirect = to;
	/*
	 * A jump does not change the state: from A32 to Thumb, or back, it goes through the stub. So does what would come with
	 * a signed return address.
	 */
	c->direct = to && !plan.signs && !((to ^ thumb) & 1 && sizeof(long) == 4) && !st_arch_jump(&plan, to, bytes);
	st_site_set_dispatch(s, c, !(c->site.flags & ST_SITE_GENERAL), to != 0);
	__atomic_store_n(&c->site.resume, to ? to : (unsigned long)(c->stub + c->moved) | thumb, __ATOMIC_RELEASE);
	st_site_set_state(c);
}
