/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See transition.h. What the agent does is in agent/transition.c, and what it reads in agent/transition.h.
 *
 * Each function has a resident way, which is what its site's record says (its own code, or the jump of a settled patch), and an other
 * one, which the hook leads to. The transition ends with the record saying what became of it, and the hook gone. In this order, so that
 * a tool may die anywhere:
 *
 *	begin	records of the moves; hooks; ctl->transition.patch		before the last nothing counts, and the hooks do nothing
 *	start	who has the process stopped: the set, then the mode, then `started`
 *	step	a thread is stopped and clean: out of the set
 *	end	who has the process stopped, the set empty: mode RESIDENT or OTHER
 *	finish	records; hooks go; bytes; wait; then patch = 0		each repeated by who finds it half done
 *
 * Children that were forked in between have the records in common with the process, and their own agent (transition.h): they are
 * stopped and looked at before the records change.
 */
#include "process/internal.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <engine/thread.h>
#include "process/internal.h"
#include <process/session_internal.h>
#include <process/thread_pointer.h>
#include <process/transition.h>

#define CHILD_STOP_MS 200
/* How long the process may stand while its threads are looked at for the first time. */
#define FIRST_LOOK_NS 500000
/* Pieces of functions, stubs and the functions themselves. */
#define OLD_EACH 8

static struct st_ctl_transition *transition(struct st_session *s)
{
	return &s->ctl->transition;
}

/* Never more than there are, whatever the target wrote there. */
static uint32_t moves(struct st_session *s)
{
	uint32_t n = transition(s)->moves;

	return n < ST_MOVES_MAX ? n : ST_MOVES_MAX;
}

bool st_transition_pending(struct st_session *s, unsigned int *patch, bool *reversed)
{
	struct st_ctl_transition *t = transition(s);
	uint32_t n = __atomic_load_n(&t->patch, __ATOMIC_ACQUIRE);

	*patch = n - 1;
	*reversed = t->reversed;
	return n != 0;
}

/* The record of a move's site; NULL: its object is gone. */
static struct st_ctl_site *site_of(struct st_session *s, const struct st_ctl_move *m)
{
	struct st_ctl_site *c = m->site < ST_SITES_MAX ? &s->ctl->site[m->site] : NULL;

	return c && c->state != ST_SITE_FREE && c->addr == m->addr ? c : NULL;
}

bool st_transition_finishing(struct st_session *s)
{
	return transition(s)->patch && transition(s)->finishing;
}

/* ---- the agent's state ---- */

static int state_address(struct st_session *s, unsigned long *at)
{
	int ret = st_session_agent_symbol(s, "st_transition_state", at);

	return ret ? st_session_fail(s, ret, "the agent in process %d can't make transitions", s->pid) : 0;
}

static int write_state(struct st_session *s, struct st_proc *proc, size_t offset, const void *what, size_t len)
{
	unsigned long at;
	int ret = state_address(s, &at);

	ret = ret ?: st_mem_write(proc, at + offset, what, len);
	return ret ? st_session_fail(s, ret, "can't write the agent's memory: %s", strerror(-ret)) : 0;
}

static int write_mode(struct st_session *s, struct st_proc *proc, uint32_t mode)
{
	return write_state(s, proc, offsetof(struct st_transition_state, mode), &mode, sizeof(mode));
}

static int read_state(struct st_session *s, struct st_transition_state *state)
{
	unsigned long at;
	int ret = state_address(s, &at);

	ret = ret ?: st_mem_read(s->proc, at, state, sizeof(*state));
	return ret ? st_session_fail(s, ret, "can't read the agent's memory: %s", strerror(-ret)) : 0;
}

static uint32_t mode_of(const struct st_transition_state *state)
{
	return state->mode % ST_MODE_SECOND;
}

/* The set that counts, and its offset. */
static unsigned long *set_of(struct st_transition_state *state)
{
	return state->set[state->mode / ST_MODE_SECOND & 1];
}

static size_t set_offset(const struct st_transition_state *state)
{
	return offsetof(struct st_transition_state, set) + (state->mode / ST_MODE_SECOND & 1) * sizeof(state->set[0]);
}

static bool is_member(unsigned long word)
{
	return word && !(word & 1);
}

/* Out of the set; its bit 0 and nothing else changes. */
static int remove_member(struct st_session *s, struct st_transition_state *state, uint32_t i)
{
	uint8_t low = (uint8_t)(set_of(state)[i] | 1);

	set_of(state)[i] |= 1;
	return write_state(s, s->proc, set_offset(state) + i * sizeof(long), &low, 1);
}

static int64_t find_member(const unsigned long *set, unsigned long tp)
{
	for (uint32_t i = st_set_hash(tp); set[i]; i = (i + 1) % ST_SET_SIZE)
		if (set[i] == tp)
			return i;
	return -1;
}

/* -EEXIST: there are two threads of one thread pointer. */
static int add_member(struct st_session *s, unsigned long *set, unsigned long tp, pid_t tid)
{
	uint32_t i = st_set_hash(tp);

	if (!tp || tp & 1 || find_member(set, tp) >= 0)
		return -EEXIST;
	while (set[i])
		i = (i + 1) % ST_SET_SIZE;
	set[i] = tp;
	transition(s)->tid[i] = tid;
	return 0;
}

/* ---- code that threads have to be out of ---- */

struct old {
	struct st_old *list;
	size_t n, size;
};

static int add_old(struct old *o, unsigned long lo, unsigned long hi, const char *name)
{
	if (o->n == o->size) {
		size_t size = 2 * o->size + 64;
		struct st_old *more = realloc(o->list, size * sizeof(*more));

		if (!more)
			return -ENOMEM;
		o->list = more;
		o->size = size;
	}
	if (hi > lo)
		o->list[o->n++] = (struct st_old){ .lo = lo, .hi = hi, .name = name };
	return 0;
}

/* FUNCTION.cold, FUNCTION.part.0 and the like run on behalf of the function, and no call of it stands on the stack. */
static int add_pieces(struct st_session *s, struct old *o, const struct st_ctl_move *m)
{
	struct st_objects *objs;
	struct st_object *obj;
	const struct st_func *f;
	size_t n, len = strnlen(m->name, sizeof(m->name) - 1);
	int ret = st_session_objects(s, &objs);

	if (ret)
		return ret;
	obj = st_objects_find(objs, (unsigned long)m->addr);
	f = obj ? st_object_functions(obj, &n) : NULL;
	for (size_t i = 0; f && !ret && i < n; i++)
		if (!strncmp(f[i].name, m->name, len) &&
		    (!strncmp(f[i].name + len, ".cold", 5) || !strncmp(f[i].name + len, ".part.", 6)))
			ret = add_old(o, f[i].addr, f[i].addr + f[i].size, m->name);
	return ret;
}

/*
 * The stubs too, from where the displaced instructions are: they run there, and a call among them comes back there. Who is in front of
 * that is in the agent, or stands in the stub, and is busy anyway; what each hit leaves below the stack would look like more.
 */
static int add_stubs(struct st_session *s, struct old *o, const struct st_ctl_move *m)
{
	const struct st_ctl_site *c = site_of(s, m);
	int ret = 0;

	for (int i = 0; c && !ret && i < ST_FORMS; i++)
		if (c->form[i].stub)
			ret = add_old(o, (unsigned long)(c->form[i].stub + c->form[i].moved), (unsigned long)(c->form[i].stub + c->form[i].size),
				      m->name);
	return ret;
}

static int add_patched(struct st_session *s, struct old *o, uint64_t addr, uint64_t size, const char *name)
{
	unsigned long lo = (unsigned long)addr & ~(unsigned long)(sizeof(long) == 4);

	/* Of a symbol without size it is not known where the function ends: all of the patch. */
	for (int i = 0; !size && i < ST_PATCHES_MAX; i++) {
		const struct st_ctl_patch *p = &s->ctl->patch[i];

		if (p->state != ST_PATCH_FREE && lo - p->base < p->size)
			return add_old(o, (unsigned long)p->base, (unsigned long)(p->base + p->size), name);
	}
	return add_old(o, lo, lo + (unsigned long)size, name);
}

/* What the way that is being left consists of. */
static int collect_old(struct st_session *s, struct old *o)
{
	const struct st_ctl_transition *t = transition(s);
	int ret = 0;

	memset(o, 0, sizeof(*o));
	for (uint32_t i = 0; !ret && i < moves(s); i++) {
		const struct st_ctl_move *m = &t->move[i];
		uint64_t to = t->reversed ? m->redirect : m->resident;
		uint64_t size = t->reversed ? m->other_size : m->resident_size;

		if (to) {
			ret = add_patched(s, o, to, size, m->name);
			continue;
		}
		ret = add_old(o, (unsigned long)m->addr, (unsigned long)(m->addr + m->size), m->name) ?:
		      add_stubs(s, o, m) ?: add_pieces(s, o, m);
	}
	if (ret == -ENOMEM)
		st_session_fail(s, ret, "out of memory");
	return ret;
}

static int open_evidence(struct st_session *s, struct st_evidence **e)
{
	struct old o;
	int ret;

	st_session_begin_change(s);
	ret = collect_old(s, &o);
	if (!ret)
		ret = st_evidence_open(s, o.list, o.n, e, s->err);
	free(o.list);
	return ret;
}

/* ---- begin ---- */

/* Where the function goes on that has no patch any more: behind its site's jump, in the stub. */
static unsigned long own_code(const struct st_ctl_site *c)
{
	const struct st_ctl_form *f = &c->form[ST_FORM_JUMP];

	return (unsigned long)(f->stub + f->moved) | st_site_thumb(c);
}

/* The patch in which an address lies, as a site's record has it; 0: none. */
static unsigned int patch_of(const struct st_session *s, unsigned long addr)
{
	for (unsigned int i = 0; addr && i < ST_PATCHES_MAX; i++) {
		const struct st_ctl_patch *p = &s->ctl->patch[i];

		if (p->state != ST_PATCH_FREE && addr - p->base < p->size)
			return i + 1;
	}
	return 0;
}

static uint64_t size_in_patch(const struct st_session *s, uint64_t addr)
{
	for (uint32_t i = 0; i < s->ctl->patch_funcs_used && i < ST_PATCH_FUNCS_MAX; i++)
		if (s->ctl->patch_func[i].patch && s->ctl->patch_func[i].to == addr)
			return s->ctl->patch_func[i].to_size;
	return 0;
}

static int move_order(const void *a, const void *b)
{
	const struct st_move *x = a, *y = b;

	return x->fn.addr < y->fn.addr ? -1 : x->fn.addr > y->fn.addr;
}

struct sites {
	int *site;		/* of each move, in their order */
	uint32_t *all;		/* these, and others that have to be settled with them */
	size_t count;
};

static void forget_sites(struct sites *x)
{
	free(x->site);
	free(x->all);
}

/* Finds the sites of the moves. All of them can be jumps, or none is changed. */
static int find_sites(struct st_session *s, struct st_move *move, size_t n, struct sites *x)
{
	struct st_fn *fn = calloc(n + 1, sizeof(*fn));
	uint32_t *also = NULL;
	size_t nalso = 0;
	int ret;

	memset(x, 0, sizeof(*x));
	x->site = calloc(n + 1, sizeof(*x->site));
	if (!fn || !x->site) {
		free(fn);
		return st_session_fail(s, -ENOMEM, "out of memory");
	}
	qsort(move, n, sizeof(*move), move_order);
	for (size_t i = 0; i < n; i++)
		fn[i] = move[i].fn;
	st_session_begin_change(s);
	ret = st_sites_find(s, fn, n, 0, x->site) ?: st_sites_arrange(s, fn, n, 0, x->site, &also, &nalso);
	for (size_t i = 0; i < n; i++) {
		const struct st_ctl_site *c = x->site[i] >= 0 ? &s->ctl->site[x->site[i]] : NULL;

		move[i].fn.why = fn[i].why;
		if (ret)
			continue;
		if (!c)
			ret = st_session_fail(s, -ENOTSUP, "the function %s can't be replaced: %s", fn[i].name, fn[i].why);
		else if (c->now != ST_FORM_JUMP || (c->site.flags & ST_SITE_INSIDE))
			ret = st_session_fail(s, -EBUSY, "the function %s can't be replaced while a probe sits in its first bytes", fn[i].name);
	}
	x->all = calloc(n + nalso + 1, sizeof(*x->all));
	if (!ret && !x->all)
		ret = st_session_fail(s, -ENOMEM, "out of memory");
	for (size_t i = 0; !ret && i < n; i++)
		x->all[x->count++] = (uint32_t)x->site[i];
	for (size_t i = 0; !ret && i < nalso; i++)
		x->all[x->count++] = also[i];
	free(also);
	free(fn);
	return ret;
}

/*
 * A child that was forked before the patch was mapped has not got it. Where its code leads to a stub, because of a probe, it would go
 * where the records say, with its parent.
 */
static int look_at_children(struct st_session *s, const struct st_move *move, size_t n, const struct sites *x)
{
	size_t count;
	int *pid = st_session_sharers(s, &count), ret = 0;

	for (size_t i = 0; pid && !ret && i < count; i++) {
		struct st_proc *proc;

		if (st_proc_open(pid[i], &proc, NULL))
			continue;
		for (size_t k = 0; !ret && k < n; k++) {
			const struct st_ctl_site *c = &s->ctl->site[x->site[k]];
			const struct st_ctl_form *f = &c->form[ST_FORM_JUMP];
			uint8_t now[ST_JUMP_MAX], there;

			if (move[k].next && st_form_jump(f) && st_mem_read(proc, move[k].next & ~1ul, &there, 1) == -EFAULT &&
			    !st_mem_read(proc, (unsigned long)c->addr, now, st_form_jump(f)) && !memcmp(now, f->bytes, st_form_jump(f)))
				ret = st_session_fail(s, -EBUSY, "process %d was forked before the patch was there, and has a probe on %s that it shares "
						      "with process %d: take that off first", pid[i], move[k].fn.name, s->pid);
		}
		st_proc_close(proc);
	}
	free(pid);
	return ret;
}

/* Hooks of this file's that are on sites: of a transition that ends, or that a tool was killed in before it counted. */
static int remove_hooks(struct st_session *s)
{
	unsigned long from = st_session_address(s, transition(s));
	uint32_t used = st_sites_used(s);
	uint32_t *mine = calloc(used + 1, sizeof(*mine));
	size_t n = 0;
	int ret = 0;

	if (!mine)
		return st_session_fail(s, -ENOMEM, "out of memory");
	for (uint32_t i = 0; !ret && i < used; i++) {
		struct st_ctl_site *c = &s->ctl->site[i];
		unsigned long hook = 0;

		for (int k = 0; c->state != ST_SITE_FREE && k < ST_SITE_HOOKS_MAX; k++)
			if (st_site_list(c)[k] - from < sizeof(*transition(s)))
				hook = st_site_list(c)[k];
		if (!hook)
			continue;
		ret = st_site_remove_hook(s, c, hook);
		mine[n++] = i;
	}
	if (!ret && n)
		ret = st_sites_settle(s, mine, n) ?: st_session_grace(s);
	free(mine);
	return ret;
}

/* Nothing is known to be in the way, or to be left over. */
static int make_room(struct st_session *s)
{
	if (transition(s)->patch)
		return st_session_fail(s, -EBUSY, "another patch is in transition in process %d; wait until it is through, or revert it", s->pid);
	return remove_hooks(s);
}

static void fill_move(struct st_session *s, struct st_ctl_move *to, struct st_move *m, uint32_t site, unsigned long func)
{
	struct st_ctl_site *c = &s->ctl->site[site];

	m->prev = (unsigned long)c->redirect;
	m->prev_size = (unsigned long)size_in_patch(s, c->redirect);
	*to = (struct st_ctl_move){
		.hook = { .size = sizeof(struct st_hook), .flags = ST_HOOK_GENERAL_REGS | ST_HOOK_RECURSE | ST_HOOK_IPMODIFY,
			  .func = (st_hook_fn)func, .data = (void *)st_session_address(s, to) },
		.other = m->next ? m->next : own_code(c), .redirect = m->next, .addr = m->fn.addr, .size = m->fn.size,
		.resident = c->redirect, .resident_size = m->prev_size, .other_size = m->next_size, .site = site, .isa = m->fn.isa,
	};
	snprintf(to->name, sizeof(to->name), "%s", m->fn.name ? m->fn.name : "");
}

/* The program's own functions st_quiescent(), where there are any. One that can't be hooked does nothing. */
static int hook_quiescent(struct st_session *s, unsigned long func)
{
	struct st_hook *hook = &transition(s)->quiescent;
	struct st_objects *objs;
	struct st_fn *fn;
	size_t n = 0;
	int ret = st_session_objects(s, &objs);

	if (ret)
		return ret;
	fn = calloc(objs->n + 1, sizeof(*fn));
	if (!fn)
		return st_session_fail(s, -ENOMEM, "out of memory");
	for (size_t i = 0; i < objs->n; i++) {
		struct st_symbol sym;
		const struct st_func *f;

		if (objs->object[i].flags & ST_OBJECT_VDSO || st_object_symbol(&objs->object[i], "st_quiescent", NULL, &sym))
			continue;
		f = st_object_function_at(&objs->object[i], sym.addr);
		if (f && f->addr == sym.addr)
			fn[n++] = (struct st_fn){ .addr = f->addr, .size = f->size, .room = f->room, .isa = f->isa, .name = "st_quiescent" };
	}
	*hook = (struct st_hook){ .size = sizeof(*hook), .flags = ST_HOOK_GENERAL_REGS | ST_HOOK_RECURSE, .func = (st_hook_fn)func };
	ret = n ? st_session_hook(s, hook, fn, n, 0) : 0;
	free(fn);
	return ret < 0 ? ret : 0;
}

static int begin(struct st_session *s, unsigned int patch, enum st_level level, struct st_move *move, size_t n, struct sites *x)
{
	struct st_ctl_transition *t = transition(s);
	unsigned long func, quiescent;
	size_t hooked = 0;
	int ret = st_session_agent_symbol(s, "st_agent_transition", &func) ?:
		  st_session_agent_symbol(s, "st_agent_quiescent", &quiescent);

	if (ret)
		return st_session_fail(s, ret, "the agent in process %d can't make transitions", s->pid);
	ret = write_mode(s, s->proc, ST_MODE_RESIDENT) ?: find_sites(s, move, n, x) ?: look_at_children(s, move, n, x);
	if (ret)
		return ret;
	t->level = level;
	t->reversed = t->started = t->whole = t->turns = t->finishing = 0;
	t->moves = (uint32_t)n;
	for (; !ret && hooked < n; hooked++) {
		struct st_ctl_site *c = &s->ctl->site[x->site[hooked]];
		const char *why;

		fill_move(s, &t->move[hooked], &move[hooked], (uint32_t)x->site[hooked], func);
		why = st_site_add_hook(s, c, NULL, st_session_address(s, &t->move[hooked].hook), 0);
		if (why)
			ret = st_session_fail(s, -EBUSY, "the function %s can't be replaced now: %s", move[hooked].fn.name, why);
		st_site_set_state(c);
	}
	ret = ret ?: st_sites_settle(s, x->all, x->count) ?: hook_quiescent(s, quiescent);
	if (!ret)
		__atomic_store_n(&t->patch, patch + 1, __ATOMIC_RELEASE);
	return ret;
}

int st_transition_begin(struct st_session *s, unsigned int patch, enum st_level level, struct st_move *move, size_t n)
{
	struct sites x = { 0 };
	int ret;

	if (n > ST_MOVES_MAX)
		return st_session_fail(s, -E2BIG, "at most %d functions can change together", ST_MOVES_MAX);
	ret = st_session_lock(s);
	if (ret)
		return ret;
	ret = make_room(s);
	if (!ret) {
		ret = begin(s, patch, level, move, n, &x);
		if (ret && ret != -ESRCH) {
			char err[ST_ERR_MAX];

			memcpy(err, s->err, sizeof(err));
			remove_hooks(s);
			memcpy(s->err, err, sizeof(err));
		}
	}
	forget_sites(&x);
	st_session_forget_objects(s);
	st_session_unlock(s);
	return ret;
}

/* ---- step ---- */

struct looking {
	struct st_session *s;
	struct st_evidence *e;
	struct st_transition_state *state;
	struct st_busy *busy;
	size_t n, max;		/* of busy */
	bool unknown;		/* somebody can't be looked at at all */
};

static struct st_busy *next_busy(struct looking *l)
{
	static struct st_busy rest;

	return l->n < l->max ? &l->busy[l->n++] : &rest;
}

/* 0 clean, 1 not, or not known. */
static int look(struct looking *l, struct st_thread *t)
{
	struct st_busy why = { .tid = st_thread_tid(t), .how = ST_BUSY_UNKNOWN };

	if (!st_evidence_check(l->e, t, &why))
		return 0;
	*next_busy(l) = why;
	return 1;
}

static void say_stuck(struct looking *l, pid_t tid, const char *err)
{
	struct st_busy *b = next_busy(l);

	*b = (struct st_busy){ .tid = tid, .how = ST_BUSY_UNKNOWN };
	snprintf(b->text, sizeof(b->text), "%s", err);
}

/* With all threads stopped: are all of them clean, those of children too, and nobody parked? */
static int all_clean(struct looking *l, struct st_stop *stop)
{
	int found = 0;

	for (size_t i = 0; i < st_stop_count(stop); i++)
		found += look(l, st_stop_thread(stop, i));
	if (!found) {
		struct st_busy why = { .how = ST_BUSY_UNKNOWN };

		found = st_evidence_parked(l->e, stop, &why) != 0;
		if (found)
			*next_busy(l) = why;
	}
	return found ? -EBUSY : 0;
}

/* The process is stopped; nobody has gone the new way yet. */
static int go_together(struct looking *l, struct st_stop *stop, st_transition_flip flip, void *ctx)
{
	const struct st_ctl_transition *t = transition(l->s);
	int ret = all_clean(l, stop);

	if (!ret && flip && t->level == ST_LEVEL_PROCESS)
		ret = flip(ctx, stop);
	return ret ?: write_mode(l->s, l->s->proc, t->reversed ? ST_MODE_RESIDENT : ST_MODE_OTHER);
}

static int stop_all(struct st_session *s, struct st_stop **stop)
{
	return st_stop(s->proc, 0, ST_STOP_MS, stop, s->err);
}

/* What st_stop() says when somebody can't be stopped is no failure: it may be otherwise soon. */
static int stuck(struct looking *l, int ret)
{
	if (ret == -EBUSY)
		say_stuck(l, 0, l->s->err);
	return ret;
}

static int step_together(struct looking *l, st_transition_flip flip, void *ctx)
{
	struct st_stop *stop;
	int ret = 0;

	for (int pass = 0; pass < 2; pass++) {
		l->n = 0;
		ret = stop_all(l->s, &stop);
		if (ret)
			return stuck(l, ret);
		transition(l->s)->started = 1;
		ret = go_together(l, stop, flip, ctx);
		st_session_resume(l->s, stop);
		if (ret != -EBUSY || st_evidence_think(l->e) <= 0)
			break;
	}
	return ret;
}

/* The set is all threads, but those that are seen to be clean while there is time. */
static int fill(struct looking *l, struct st_stop *stop)
{
	struct st_ctl_transition *t = transition(l->s);
	size_t n = st_stop_count(stop);
	uint64_t from = st_now_ns();
	int ret = 0;

	memset(l->state, 0, sizeof(*l->state));
	if (n >= ST_THREADS || n >= ST_SET_SIZE / 2)
		return st_session_fail(l->s, -E2BIG, "process %d has too many threads for a transition", l->s->pid);
	for (size_t i = 0; !ret && i < n; i++) {
		pid_t tid = st_thread_tid(st_stop_thread(stop, i));

		ret = add_member(l->s, set_of(l->state), st_thread_pointer_of(tid), tid);
	}
	if (ret == -EEXIST) {	/* threads can't be told from each other */
		t->whole = 1;
		return 0;
	}
	for (size_t i = 0; !ret && i < n && st_now_ns() - from < FIRST_LOOK_NS; i++) {
		struct st_thread *thread = st_stop_thread(stop, i);
		int64_t at = find_member(set_of(l->state), st_thread_pointer_of(st_thread_tid(thread)));

		if (at >= 0 && !st_evidence_check(l->e, thread, NULL))
			set_of(l->state)[at] |= 1;
	}
	ret = ret ?: write_state(l->s, l->s->proc, set_offset(l->state), set_of(l->state), sizeof(l->state->set[0])) ?:
	      write_mode(l->s, l->s->proc, ST_MODE_SET_RESIDENT);
	if (!ret)
		t->started = 1;
	return ret;
}

static int start(struct looking *l)
{
	struct st_stop *stop;
	int ret = stop_all(l->s, &stop);

	if (ret)
		return stuck(l, ret);
	ret = fill(l, stop);
	st_session_resume(l->s, stop);
	return ret;
}

/*
 * Members whose thread has ended. Another may have got its thread pointer since, and be anywhere by now: then the set is that one's, and
 * it is looked at under its own id.
 */
static int find_ended(struct looking *l)
{
	int32_t *tid = transition(l->s)->tid;
	struct st_stop *stop;
	bool any = false;
	size_t n;
	pid_t *live = st_tasks(l->s->pid, &n);
	int ret;

	if (!live)
		return -ESRCH;
	for (uint32_t i = 0; i < ST_SET_SIZE && !any; i++) {
		bool lives = !is_member(set_of(l->state)[i]);

		for (size_t k = 0; k < n && !lives; k++)
			lives = live[k] == tid[i];
		any = !lives;
	}
	free(live);
	if (!any)
		return 0;
	ret = stop_all(l->s, &stop);
	if (ret)
		return stuck(l, ret);
	for (uint32_t i = 0; i < ST_SET_SIZE; i++)
		if (is_member(set_of(l->state)[i]))
			tid[i] = 0;
	for (size_t i = 0; i < st_stop_count(stop); i++) {
		pid_t id = st_thread_tid(st_stop_thread(stop, i));
		int64_t at = find_member(set_of(l->state), st_thread_pointer_of(id));

		if (at >= 0)
			tid[at] = id;
	}
	for (uint32_t i = 0; !ret && i < ST_SET_SIZE; i++)
		if (is_member(set_of(l->state)[i]) && !tid[i])
			ret = remove_member(l->s, l->state, i);
	st_session_resume(l->s, stop);
	return ret;
}

/* One after the other, each stopped for its own look only. */
static int look_at_members(struct looking *l)
{
	int32_t *tid = transition(l->s)->tid;
	int ret = 0;

	l->n = 0;
	for (uint32_t i = 0; !ret && i < ST_SET_SIZE; i++) {
		struct st_stop *stop;
		struct st_thread *t;

		if (!is_member(set_of(l->state)[i]))
			continue;
		ret = st_stop_thread_of(l->s->proc, tid[i], ST_STOP_MS / 10, &stop, l->s->err);
		if (ret == -EBUSY) {
			say_stuck(l, tid[i], l->s->err);
			ret = 0;
			continue;
		}
		if (ret == -ENOENT) {	/* it has ended: find_ended() next time */
			say_stuck(l, tid[i], "a thread has just ended");
			ret = 0;
			continue;
		}
		if (ret)
			break;
		t = st_stop_thread(stop, 0);
		if (st_thread_pointer_of(st_thread_tid(t)) != set_of(l->state)[i])
			tid[i] = 0;	/* another thread has its id by now */
		else if (!look(l, t))
			ret = remove_member(l->s, l->state, i);
		st_session_resume(l->s, stop);
	}
	return ret;
}

static size_t members(struct st_transition_state *state)
{
	size_t n = 0;

	for (uint32_t i = 0; i < ST_SET_SIZE; i++)
		n += is_member(set_of(state)[i]);
	return n;
}

static int step_each(struct looking *l)
{
	struct st_ctl_transition *t = transition(l->s);
	int ret = t->started ? 0 : start(l);

	if (ret || t->whole)
		return ret;
	for (int pass = 0; !ret && pass < 2; pass++) {
		ret = read_state(l->s, l->state) ?: find_ended(l) ?: look_at_members(l) ?: read_state(l->s, l->state);
		if (ret || !members(l->state) || st_evidence_think(l->e) <= 0)
			break;
	}
	if (ret)
		return ret;
	return members(l->state) ? -EBUSY : write_mode(l->s, l->s->proc, t->reversed ? ST_MODE_RESIDENT : ST_MODE_OTHER);
}

/*
 * Has everybody gone the way that is wanted, at an earlier step, perhaps of another tool? Which may have been killed when it had turned the
 * set round, and had not come to note it.
 */
static int is_through(struct st_session *s, struct st_transition_state *state, bool *through)
{
	struct st_ctl_transition *t = transition(s);
	int ret = read_state(s, state);

	if (!ret && !t->finishing && (mode_of(state) == ST_MODE_SET_RESIDENT || mode_of(state) == ST_MODE_SET_OTHER))
		t->reversed = mode_of(state) == ST_MODE_SET_OTHER;
	*through = !ret && (t->finishing || (t->started && mode_of(state) == (t->reversed ? ST_MODE_RESIDENT : ST_MODE_OTHER)));
	return ret;
}

static int step(struct looking *l, st_transition_flip flip, void *ctx)
{
	struct st_ctl_transition *t = transition(l->s);
	bool through;
	int ret = is_through(l->s, l->state, &through);

	if (ret || through)
		return ret;
	ret = open_evidence(l->s, &l->e);
	if (ret)
		return ret;
	if (t->level == ST_LEVEL_PROCESS || (!t->started && st_evidence_coroutines(l->e)))
		t->whole = 1;
	if (!t->whole)
		ret = step_each(l);
	if (!ret && t->whole)
		ret = step_together(l, flip, ctx);
	st_evidence_close(l->e);
	return ret;
}

int st_transition_step(struct st_session *s, st_transition_flip flip, void *ctx, struct st_busy *busy, size_t *n)
{
	struct looking l = { .s = s, .busy = busy, .max = *n };
	int ret = st_session_lock(s);

	*n = 0;
	if (ret)
		return ret;
	l.state = malloc(sizeof(*l.state));
	if (!l.state)
		ret = st_session_fail(s, -ENOMEM, "out of memory");
	else if (!transition(s)->patch)
		ret = st_session_fail(s, -ENOENT, "no patch is in transition in process %d", s->pid);
	else
		ret = step(&l, flip, ctx);
	if (ret == -EBUSY)
		*n = l.n;
	free(l.state);
	st_session_forget_objects(s);
	st_session_unlock(s);
	return ret;
}

/* ---- turning round, force ---- */

/* Those who go the way that was the new one become the set: the one that does not count yet, until one store says so. */
static int complement(struct st_session *s, struct st_transition_state *state)
{
	struct st_ctl_transition *t = transition(s);
	struct st_stop *stop;
	unsigned long *set;
	uint32_t mode;
	bool all;
	/* The set that will be written counted once before: a thread that is still in the hook may be looking there. */
	int ret = (t->turns ? st_session_grace(s) : 0) ?: stop_all(s, &stop);

	if (ret)
		return ret;
	/* A thread may have called st_quiescent() since. */
	ret = read_state(s, state);
	all = mode_of(state) == ST_MODE_OTHER;
	mode = (mode_of(state) != ST_MODE_SET_OTHER ? ST_MODE_SET_OTHER : ST_MODE_SET_RESIDENT) |
	       ((state->mode & ST_MODE_SECOND) ^ ST_MODE_SECOND);
	set = state->set[mode / ST_MODE_SECOND];
	memset(set, 0, sizeof(state->set[0]));
	for (size_t i = 0; !ret && i < st_stop_count(stop); i++) {
		pid_t tid = st_thread_tid(st_stop_thread(stop, i));
		unsigned long tp = st_thread_pointer_of(tid);

		if ((all || find_member(set_of(state), tp) < 0) && add_member(s, set, tp, tid))
			ret = st_session_fail(s, -EBUSY, "thread %d can't be told from another; the transition goes on as it was", (int)tid);
	}
	if (!ret) {
		state->mode = mode;
		ret = write_state(s, s->proc, set_offset(state), set, sizeof(state->set[0])) ?: write_mode(s, s->proc, mode);
	}
	if (!ret)
		t->reversed = !t->reversed;
	t->turns = 1;
	st_session_resume(s, stop);
	return ret;
}

static int reverse(struct st_session *s, struct st_transition_state *state)
{
	struct st_ctl_transition *t = transition(s);
	bool through;
	int ret = is_through(s, state, &through);

	if (ret)
		return ret;
	if (t->finishing)
		return st_session_fail(s, -EALREADY, "the transition is over, but its end could not be completed; the next command tries again");
	if (mode_of(state) == ST_MODE_SET_RESIDENT || mode_of(state) == ST_MODE_SET_OTHER ||
	    (mode_of(state) == ST_MODE_OTHER && !t->reversed && !t->whole && t->level == ST_LEVEL_THREAD))
		return complement(s, state);
	t->reversed = !t->reversed;
	/* Everybody is where the way back leads, or will have to go there together. */
	if (mode_of(state) == ST_MODE_RESIDENT)
		t->started = t->reversed;
	else
		t->whole = 1;
	return 0;
}

static int pending_or(struct st_session *s)
{
	return transition(s)->patch ? 0 : st_session_fail(s, -ENOENT, "no patch is in transition in process %d", s->pid);
}

int st_transition_reverse(struct st_session *s)
{
	struct st_transition_state *state = malloc(sizeof(*state));
	int ret = state ? st_session_lock(s) : st_session_fail(s, -ENOMEM, "out of memory");

	if (!ret) {
		ret = pending_or(s) ?: reverse(s, state);
		st_session_unlock(s);
	}
	free(state);
	return ret;
}

int st_transition_force(struct st_session *s)
{
	struct st_ctl_transition *t = transition(s);
	int ret = st_session_lock(s);

	if (ret)
		return ret;
	ret = pending_or(s) ?: write_mode(s, s->proc, t->reversed ? ST_MODE_RESIDENT : ST_MODE_OTHER);
	if (!ret)
		t->started = 1;
	st_session_unlock(s);
	return ret;
}

/* ---- finish ---- */

struct child {
	struct st_session *s;
	struct st_stop *stop;
};

static void resume_children(struct child *child, size_t n)
{
	while (n--) {
		if (child[n].stop)
			st_resume(child[n].stop, NULL);
		st_session_close(child[n].s);
	}
}

/* Does its code lead to our hooks? What is not changed there, or jumps to a patch by itself, stays as it is. */
static bool is_concerned(struct st_session *s, struct st_session *child)
{
	const struct st_ctl_transition *t = transition(s);

	for (uint32_t i = 0; i < moves(s); i++) {
		const struct st_ctl_site *c = site_of(s, &t->move[i]);
		uint8_t now[ST_JUMP_MAX];
		unsigned int len = c ? st_form_jump(&c->form[ST_FORM_JUMP]) : 0;

		if (len && !st_mem_read(child->proc, (unsigned long)c->addr, now, len) && !memcmp(now, c->form[ST_FORM_JUMP].bytes, len))
			return true;
	}
	return false;
}

/* Stopped, and out of the code that is left. */
static int stop_child(struct st_session *s, struct child *c, const struct old *o)
{
	struct st_evidence *e;
	int ret = st_evidence_open(c->s, o->list, o->n, &e, s->err);
	bool clean = false;

	if (ret)
		return ret;
	for (int pass = 0; !ret && !clean && pass < 2; pass++) {
		struct st_busy why = { 0 };

		ret = st_stop(c->s->proc, 0, CHILD_STOP_MS, &c->stop, s->err);
		if (ret)
			break;
		clean = true;
		for (size_t i = 0; clean && i < st_stop_count(c->stop); i++)
			clean = !st_evidence_check(e, st_stop_thread(c->stop, i), &why);
		if (clean)
			break;
		st_resume(c->stop, NULL);
		c->stop = NULL;
		if (pass || st_evidence_think(e) <= 0)
			ret = st_session_fail(s, -EBUSY, "in process %d, which process %d has forked, %.160s", c->s->pid, s->pid, why.text);
	}
	st_evidence_close(e);
	return ret == -ESRCH || ret == -ESTALE ? 0 : ret;	/* it has ended, or executes another program */
}

/* Children that the process has forked go by the records too: they change while those stand, clean. */
static int stop_children(struct st_session *s, struct child **list, size_t *n)
{
	size_t count, held = 0;
	int *pid = st_session_sharers(s, &count), ret;
	struct child *child;
	struct old o;

	*list = NULL;
	*n = 0;
	if (!pid || !count) {
		free(pid);
		return 0;
	}
	ret = collect_old(s, &o);
	child = calloc(count, sizeof(*child));
	if (!ret && !child)
		ret = st_session_fail(s, -ENOMEM, "out of memory");
	for (size_t i = 0; !ret && i < count; i++) {
		struct child *c = &child[held];

		if (st_session_open(pid[i], false, &c->s, NULL))
			continue;	/* it has ended */
		held++;
		if (is_concerned(s, c->s))
			ret = stop_child(s, c, &o);
	}
	free(pid);
	free(o.list);
	if (ret) {
		resume_children(child, held);
		free(child);
		return ret;
	}
	*list = child;
	*n = held;
	return 0;
}

/* With the hooks gone, the records lead the way that was taken. */
static int settle_all(struct st_session *s)
{
	uint32_t *site = calloc(moves(s) + 1u, sizeof(*site));
	size_t n = 0;
	int ret;

	if (!site)
		return st_session_fail(s, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < moves(s); i++)
		if (site_of(s, &transition(s)->move[i]))
			site[n++] = transition(s)->move[i].site;
	ret = n ? st_sites_settle(s, site, n) : 0;
	free(site);
	return ret;
}

/*
 * The mode means nothing any more, and must not when the next transition has put hooks into the lists that children share. One that was
 * forked while the others were being looked at has gone the new way, as its parent, which is where the records lead now.
 */
static int end_mode(struct st_session *s)
{
	struct st_stop *stop;
	int ret = stop_all(s, &stop), *pid;	/* nobody is forking */
	unsigned long at;
	size_t n;

	if (ret)
		return ret;
	ret = write_mode(s, s->proc, ST_MODE_RESIDENT) ?: state_address(s, &at);
	st_session_resume(s, stop);
	pid = st_session_sharers(s, &n);
	for (size_t i = 0; !ret && pid && i < n; i++) {
		uint32_t mode = ST_MODE_RESIDENT;
		struct st_proc *proc;

		if (st_proc_open(pid[i], &proc, NULL))
			continue;
		if (!st_mem_read(proc, at + offsetof(struct st_transition_state, mode), &mode, sizeof(mode)) && mode != ST_MODE_RESIDENT)
			write_mode(s, proc, ST_MODE_RESIDENT);
		st_proc_close(proc);
	}
	free(pid);
	return ret;
}

static int finish(struct st_session *s)
{
	struct st_ctl_transition *t = transition(s);
	struct st_transition_state state;
	struct child *child;
	size_t children;
	bool through;
	int ret = is_through(s, &state, &through);

	if (!ret && !through)
		ret = st_session_fail(s, -EBUSY, "the transition is not through yet");
	ret = ret ?: stop_children(s, &child, &children);
	if (ret)
		return ret;
	__atomic_store_n(&t->finishing, 1, __ATOMIC_RELEASE);
	for (uint32_t i = 0; !t->reversed && i < moves(s); i++) {
		struct st_ctl_site *c = site_of(s, &t->move[i]);

		if (c)
			st_site_redirect(s, c, patch_of(s, (unsigned long)t->move[i].redirect), (unsigned long)t->move[i].redirect);
	}
	for (uint32_t i = 0; !ret && i < moves(s); i++) {
		struct st_ctl_site *c = site_of(s, &t->move[i]);

		if (c)
			ret = st_site_remove_hook(s, c, st_session_address(s, &t->move[i].hook));
	}
	/* Not before the hooks are gone: a child that is resumed in between, because we are killed, goes on as it did. */
	for (size_t i = 0; !ret && i < children; i++)
		if (child[i].stop)
			ret = write_mode(s, child[i].s->proc, ST_MODE_RESIDENT);
	resume_children(child, children);
	free(child);
	ret = ret ?: settle_all(s) ?: remove_hooks(s) ?: st_session_grace(s) ?: end_mode(s);
	if (!ret)
		__atomic_store_n(&t->patch, 0, __ATOMIC_RELEASE);
	return ret;
}

int st_transition_finish(struct st_session *s)
{
	int ret = st_session_lock(s);

	if (!ret) {
		ret = pending_or(s) ?: finish(s);
		st_session_forget_objects(s);
		st_session_unlock(s);
	}
	return ret;
}

/* ---- without one ---- */

/* `done` of them lead the new way by now. */
static void put_back(struct st_session *s, const struct st_move *move, const struct sites *x, size_t done)
{
	char err[ST_ERR_MAX];

	memcpy(err, s->err, sizeof(err));
	while (done--)
		st_site_redirect(s, &s->ctl->site[x->site[done]], patch_of(s, move[done].prev), move[done].prev);
	st_sites_settle(s, x->all, x->count);
	memcpy(s->err, err, sizeof(err));
}

int st_transition_at_once(struct st_session *s, unsigned int patch, struct st_move *move, size_t n)
{
	struct sites x = { 0 };
	size_t done = 0;
	int ret = st_session_lock(s);

	(void)patch;
	if (ret)
		return ret;
	ret = make_room(s) ?: find_sites(s, move, n, &x) ?: look_at_children(s, move, n, &x);
	for (; !ret && done < n; done++) {
		struct st_ctl_site *c = &s->ctl->site[x.site[done]];

		move[done].prev = (unsigned long)c->redirect;
		move[done].prev_size = (unsigned long)size_in_patch(s, c->redirect);
		st_site_redirect(s, c, patch_of(s, move[done].next), move[done].next);
	}
	if (!ret && done) {
		ret = st_sites_settle(s, x.all, x.count);
		if (ret && ret != -ESRCH)
			put_back(s, move, &x, done);
	}
	forget_sites(&x);
	st_session_forget_objects(s);
	st_session_unlock(s);
	return ret;
}
