/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hooks of this process: include/sidetrack/hook.h. Which hook sits on which site, and the order in which a site comes
 * and goes:
 *
 *	on:  stub and struct st_site complete -> all cores synchronised -> list of hooks set -> site jumps to the stub
 *	off: hook out of the list -> site holds its own bytes, if nobody else wants it -> no thread reads the old list
 *
 * The sites themselves, and what stands in the code for each, are record.c's. Everything that changes happens under one
 * lock and inside dl_iterate_phdr(), which keeps objects from being unmapped.
 */
#include <errno.h>
#include <fnmatch.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <engine/arch.h>
#include <engine/breakpoint.h>
#include <engine/edit.h>
#include <engine/hook.h>
#include <engine/island.h>
#include <engine/objects.h>
#include <engine/park.h>
#include <engine/record.h>
#include <engine/site.h>
#include <engine/thread.h>
#include <engine/wait.h>
#if defined(__x86_64__)
#include <engine/arch/x86_64/touches.h>
#endif

/* One place a hook wants. */
struct want {
	struct st_place place;
	bool by_ip;
	struct st_record *record;	/* when registered; NULL if refused */
	const char *why;
};

struct state {
	struct want *want;
	size_t count, room;
	size_t sites, refused;
	bool registered;
	bool called;			/* in the call that is under way */
	bool returns;			/* called when functions return; begin and end are those of struct st_return */
	void *(*begin)(struct st_return *ret, struct st_regs *regs, unsigned long ip, unsigned long parent_ip);
	void (*end)(struct st_return *ret, void *data);
	struct {			/* the list of every site that has this hook alone */
		struct st_hook *hook, *end;
	} alone;
	const void *code[ST_HOOK_CODE];	/* what the callback calls */
	unsigned long needs;		/* ST_HOOKS_*: what has to be saved around the callback */
	char reason[256];
};

/* Lists that some thread may still read; freed when all have left. */
struct garbage {
	struct garbage *next;
	struct st_hook_list *list;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct garbage *garbage;
static struct st_object *objects;
static unsigned long long objects_adds, objects_subs;
static int ready = -EAGAIN;
static bool always_vector;	/* general registers are not all that the dispatcher itself may change */

/* ---- once ---- */

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void after_fork_parent(void)
{
	pthread_mutex_unlock(&lock);
}

static void after_fork_child(void)
{
	st_islands_after_fork();
	st_threads_after_fork();
	pthread_mutex_unlock(&lock);
}

/* Not in init(): filters take the lock before it, and a fork may come at any time. */
static void __attribute__((constructor)) mind_forks(void)
{
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static int init(void)
{
	if (ready != -EAGAIN)
		return ready;
	st_errno_location = __errno_location;
	st_threads_init();
	st_arch_init(getauxval(AT_HWCAP));
	always_vector = st_arch_syscalls_harm(getauxval(AT_HWCAP));
	ready = st_text_init();
	return ready;
}

/* ---- objects ---- */

static int count_changes(struct dl_phdr_info *info, size_t size, void *arg)
{
	unsigned long long *changes = arg;

	(void)size;
	changes[0] = info->dlpi_adds;
	changes[1] = info->dlpi_subs;
	return 1;
}

static struct st_object *current_objects(void)
{
	unsigned long long now[2] = { 0, 0 };

	dl_iterate_phdr(count_changes, now);
	if (objects && now[0] == objects_adds && now[1] == objects_subs)
		return objects;
	objects_adds = now[0];
	objects_subs = now[1];
	objects = st_objects_read(objects);
	return objects;
}

/* ---- filters ---- */

static struct state *state_of(struct st_hook *hook)
{
	if (!hook->priv)
		hook->priv = calloc(1, sizeof(struct state));
	if (hook->priv)
		((struct state *)hook->priv)->alone.hook = hook;
	return hook->priv;
}

static int __attribute__((format(printf, 3, 4))) fail(struct state *s, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->reason, sizeof(s->reason), fmt, ap);
	va_end(ap);
	return err;
}

static unsigned long address_of(const struct want *w)
{
	return w->place.func + w->place.offset;
}

static int add_want(struct state *s, const struct st_function *fn, size_t offset, bool by_ip)
{
	unsigned long addr = fn->addr + offset;

	for (size_t i = 0; i < s->count; i++) {
		if (address_of(&s->want[i]) == addr) {
			s->want[i].by_ip |= by_ip;
			return 0;
		}
		if (!by_ip && i > 64 && address_of(&s->want[s->count - 1]) < addr)
			break;	/* globs add in order of address */
	}
	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 16;
		struct want *more = realloc(s->want, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->want = more;
		s->room = room;
	}
	s->want[s->count++] = (struct want){
		.by_ip = by_ip,
		.place = {
			.func = fn->addr, .offset = offset, .size = fn->size, .room = fn->room, .isa = fn->isa,
			.entered = fn->entered, .strict = fn->strict, .part = fn->part,
		},
	};
	return 1;
}

int st_hook_filter(struct st_hook *hook, const char *glob)
{
	struct state *s = state_of(hook);
	const char *colon = strrchr(glob, ':');
	const char *function = colon ? colon + 1 : glob;
	char object[256] = "*";
	int added = 0, ret = 0;

	if (!s)
		return -ENOMEM;
	if (s->registered)
		return fail(s, -EBUSY, "the hook is registered");
	if (colon && (size_t)(colon - glob) < sizeof(object)) {
		memcpy(object, glob, (size_t)(colon - glob));
		object[colon - glob] = 0;
	}
	pthread_mutex_lock(&lock);
	for (struct st_object *o = current_objects(); o && ret >= 0; o = o->next) {
		if (fnmatch(object, o->name, 0))
			continue;
		for (size_t i = 0; i < o->count && ret >= 0; i++) {
			if (!o->fn[i].name || fnmatch(function, o->fn[i].name, 0))
				continue;
			ret = add_want(s, &o->fn[i], 0, false);
			added += ret > 0;
		}
	}
	pthread_mutex_unlock(&lock);
	if (ret < 0)
		return fail(s, ret, "out of memory");
	if (!added)
		return fail(s, -ENOENT, "no function matches '%s'", glob);
	return added;
}

/* @at: any instruction; else a function, and on ARM the pointer says of which instruction set. */
static int filter_address(struct st_hook *hook, unsigned long addr, bool at)
{
	struct state *s = state_of(hook);
	struct st_function copy;
	const struct st_function *fn;
	int ret;

	if (!s)
		return -ENOMEM;
	if (s->registered)
		return fail(s, -EBUSY, "the hook is registered");
	pthread_mutex_lock(&lock);
	fn = st_objects_find(current_objects(), addr & ~(unsigned long)(sizeof(long) == 4));
	if (!fn) {
		ret = fail(s, -EINVAL, st_in_code(addr) ? "no symbol says how long the function at %#lx is" :
			   "%#lx is not in the code of any object", addr);
	} else {
		copy = *fn;
#if defined(__arm__)
		if (!at)
			copy.isa = addr & 1 ? ST_ISA_T32 : ST_ISA_A32;
		addr &= ~1ul;
#else
		(void)at;
#endif
		ret = add_want(s, &copy, addr - fn->addr, true);
	}
	pthread_mutex_unlock(&lock);
	return ret < 0 ? ret : 0;
}

int st_hook_filter_ip(struct st_hook *hook, const void *func)
{
	return filter_address(hook, (unsigned long)func, false);
}

int st_hook_filter_at(struct st_hook *hook, const void *addr)
{
	return filter_address(hook, (unsigned long)addr, true);
}

int st_hook_find(struct st_hook *hook, const char *name, unsigned long *addr, size_t *size)
{
	struct state *s = state_of(hook);
	const char *colon = strrchr(name, ':');
	size_t object = colon ? (size_t)(colon - name) : 0;
	const struct st_function *found = NULL;
	int ret = 0;

	if (!s)
		return -ENOMEM;
	pthread_mutex_lock(&lock);
	for (struct st_object *o = current_objects(); o; o = o->next) {
		if (colon && (strncmp(o->name, name, object) || o->name[object]))
			continue;
		for (size_t i = 0; i < o->count; i++) {
			if (!o->fn[i].name || strcmp(o->fn[i].name, colon ? colon + 1 : name))
				continue;
			if (found && found->addr != o->fn[i].addr)
				ret = fail(s, -ENOTUNIQ, "there are several functions '%s': give the address", name);
			found = &o->fn[i];
		}
	}
	if (!found)
		ret = fail(s, -ENOENT, "there is no function '%s'", name);
	if (!ret) {
		*addr = found->addr | (found->isa == ST_ISA_T32);
		*size = found->size;
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

int st_hook_calls(struct st_hook *hook, const void *one, const void *two)
{
	struct state *s = state_of(hook);

	if (!s)
		return -ENOMEM;
	s->code[0] = one;
	s->code[1] = two;
	return 0;
}

int st_hook_on_return(struct st_hook *hook, void *(*begin)(struct st_return *, struct st_regs *, unsigned long, unsigned long),
		      void (*end)(struct st_return *, void *))
{
	struct state *s = state_of(hook);

	if (!s)
		return -ENOMEM;
	s->returns = true;
	s->begin = begin;
	s->end = end;
	return 0;
}

/* ---- lists ---- */

static int edit_order(const void *a, const void *b)
{
	const struct st_change *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static struct st_hook_list *alone(struct st_hook *hook)
{
	return (struct st_hook_list *)&((struct state *)hook->priv)->alone;
}

static bool allocated(const struct st_hook_list *list)
{
	return list->hook[0] && list->hook[1];
}

static struct st_hook_list *plain(const struct st_hook_list *list)
{
	return (void *)((unsigned long)list & ~(unsigned long)ST_HOOKS_MASK);
}

static unsigned long needs_of(const struct st_hook *hook)
{
	return ((const struct state *)hook->priv)->needs;
}

/* What code may touch besides general registers. */
static unsigned long touched_by(const void *code)
{
#if defined(__x86_64__)
	const struct st_function *fn = st_objects_find(current_objects(), (unsigned long)code);

	return fn && fn->addr == (unsigned long)code ? st_x86_touches(code, fn->size) : ST_HOOKS_VECTOR;
#else
	(void)code;
	return ST_HOOKS_VECTOR;
#endif
}

/* What the callback may touch: by its own word, or else by its code. */
static unsigned long touches(const struct st_hook *hook)
{
	const struct state *s = hook->priv;
	unsigned long needs = 0;

	if (hook->flags & ST_HOOK_GENERAL_REGS)
		return 0;
	if (!s->code[0] && !s->code[1])
		return touched_by(hook->func);
	for (int i = 0; i < ST_HOOK_CODE; i++)
		if (s->code[i])
			needs |= touched_by(s->code[i]);
	return needs;
}

/* What the hooks of a list need; of the hook at the entry for return hooks, what those need. */
static unsigned long needs_of_list(const struct st_record *r, struct st_hook *const *hook)
{
	unsigned long need = always_vector ? ST_HOOKS_VECTOR : 0;

	for (; *hook; hook++)
		need |= r->ret && *hook == &r->ret->ret.hook ? needs_of_list(r, plain(r->ret->ret.hooks)->hook) :
							       needs_of(*hook);
	return need;
}

/*
 * A list with one more hook (add) or one fewer; @hook NULL: neither. @enter, if not NULL, is the hook for returns, which is at
 * the end if @returns and nowhere else. NULL: no memory.
 */
static struct st_hook_list *new_list(struct st_hook_list *old, struct st_hook *enter, bool returns, struct st_hook *hook, bool add)
{
	struct st_hook *only = NULL;
	struct st_hook_list *list;
	unsigned int n = 0, out = 0;

	for (struct st_hook **h = old->hook; *h; h++)
		if (*h != enter && *h != hook)
			n++, only = *h;
	if (add)
		n++, only = hook;
	if (!n && !returns)
		return &st_no_hooks;
	if (!n)
		return (struct st_hook_list *)&((struct st_record_return *)enter->data)->alone;
	if (n == 1 && !returns)
		return alone(only);
	list = malloc((n + 2) * sizeof(list->hook[0]));
	if (!list)
		return NULL;
	for (struct st_hook **h = old->hook; *h; h++)
		if (*h != enter && *h != hook)
			list->hook[out++] = *h;
	if (add)
		list->hook[out++] = hook;
	if (returns)
		list->hook[out++] = enter;
	list->hook[out] = NULL;
	return list;
}

static bool throw_away(struct st_hook_list *list)
{
	struct garbage *g;

	if (!allocated(list))
		return true;
	g = malloc(sizeof(*g));
	if (!g)
		return false;
	*g = (struct garbage){ .next = garbage, .list = list };
	garbage = g;
	return true;
}

/* Readers see the old list or the new one. */
static int replace_list(struct st_record *r, struct st_hook_list **where, struct st_hook_list *list)
{
	unsigned long need;

	if (!list)
		return -ENOMEM;
	need = needs_of_list(r, list->hook);
	if (!throw_away(plain(*where))) {
		if (allocated(list))
			free(list);
		return -ENOMEM;
	}
	/* The vector state is saved before a hook that needs it can be called, and until it can't be. */
	if (need && where == &r->site.hooks) {
		__atomic_store_n(&r->site.dispatch, st_dispatch_vector, __ATOMIC_RELEASE);
		__atomic_fetch_and(&r->site.flags, ~(unsigned long)ST_SITE_GENERAL, __ATOMIC_RELEASE);
	}
	list = (void *)((unsigned long)list | need);
	__atomic_store_n(where, list, __ATOMIC_RELEASE);
	return 0;
}

static int change_entry(struct st_record *r, struct st_hook *hook, bool add, bool returns)
{
	return replace_list(r, &r->site.hooks,
			    new_list(plain(r->site.hooks), r->ret ? &r->ret->ret.hook : NULL, returns, hook, add));
}

static int change_returns(struct st_record *r, struct st_hook *hook, bool add)
{
	const struct state *s = hook->priv;
	struct st_return *ret;
	int err;

	if (!r->ret) {
		r->ret = st_record_return_new(r, s->begin, s->end);
		if (!r->ret)
			return -ENOMEM;
	}
	ret = &r->ret->ret;
	/* The end first: a call that has begun with the one ends with the other. Pending calls may need them for ever. */
	if (add && s->begin && !ret->begin) {
		__atomic_store_n(&ret->end, s->end, __ATOMIC_RELEASE);
		__atomic_store_n(&ret->begin, s->begin, __ATOMIC_RELEASE);
	}
	/* Return hooks are there before the first return is followed, and until no further one is. */
	if (add) {
		if (needs_of(hook) || !(hook->flags & ST_HOOK_GENERAL_REGS))
			ret->hook.flags &= ~ST_HOOK_GENERAL_REGS;
		err = replace_list(r, &ret->hooks, new_list(plain(ret->hooks), NULL, false, hook, true));
		if (!err)
			err = change_entry(r, NULL, false, true);
		if (err && plain(ret->hooks)->hook[0])
			replace_list(r, &ret->hooks, new_list(plain(ret->hooks), NULL, false, hook, false));
	} else {
		err = r->returns == 1 ? change_entry(r, NULL, false, false) : 0;
		if (!err)
			err = replace_list(r, &ret->hooks, new_list(plain(ret->hooks), NULL, false, hook, false));
	}
	if (!err)
		r->returns += add ? 1 : -1;
	return err;
}

/* The hooks of a site with one more (add) or one fewer. */
static int change_list(struct st_record *r, struct st_hook *hook, bool add)
{
	int ret;

	if (((struct state *)hook->priv)->returns)
		return change_returns(r, hook, add);
	ret = change_entry(r, hook, add, r->returns);
	if (!ret)
		r->hooks += add ? 1 : -1;
	return ret;
}

/* After st_threads_wait(): no thread reads an old list, so none can call a hook that is in no new one. */
static void collect(struct state *s)
{
	for (size_t i = 0; i < s->count; i++) {
		struct st_record *r = s->want[i].record;

		if (!r)
			continue;
		if (!needs_of_list(r, plain(r->site.hooks)->hook)) {
			__atomic_store_n(&r->site.dispatch, st_dispatch_general, __ATOMIC_RELEASE);
			__atomic_fetch_or(&r->site.flags, ST_SITE_GENERAL, __ATOMIC_RELEASE);
		}
		if (r->ret && !r->returns)
			r->ret->ret.hook.flags |= ST_HOOK_GENERAL_REGS;
	}
	while (garbage) {
		struct garbage *g = garbage;

		garbage = g->next;
		free(g->list);
		free(g);
	}
}

/* ---- registering ---- */

/* Several hooks at once, all or nothing. */
struct call {
	struct st_hook *const *hook;
	size_t n;
	bool on;
	int ret;
};

static struct state *state_in(const struct call *c, size_t i)
{
	return c->hook[i]->priv;
}

static int __attribute__((format(printf, 3, 4))) fail_all(const struct call *c, int err, const char *fmt, ...)
{
	va_list ap;

	for (size_t i = 0; i < c->n; i++) {
		va_start(ap, fmt);
		vsnprintf(state_in(c, i)->reason, sizeof(state_in(c, i)->reason), fmt, ap);
		va_end(ap);
	}
	return err;
}

#define for_wants(c, s, w)								\
	for (size_t i_ = 0; i_ < (c)->n; i_++)						\
		for (struct state *s = state_in(c, i_); s; s = NULL)			\
			for (struct want *w = s->want; w < s->want + s->count; w++)

static void undo(const struct call *c)
{
	for (size_t i = 0; i < c->n; i++) {
		struct state *s = state_in(c, i);

		for (size_t k = 0; k < s->count; k++) {
			if (s->want[k].record)
				change_list(s->want[k].record, c->hook[i], false);
			s->want[k].record = NULL;
		}
		s->sites = s->refused = 0;
	}
}

/* Some records may be there twice: they are changed once. */
static size_t sort_edits(struct st_change *edit, size_t n)
{
	size_t out = 0;

	for (size_t i = 1; i < n; i++) {
		if (edit[i].addr <= edit[i - 1].addr) {
			qsort(edit, n, sizeof(*edit), edit_order);
			break;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (!out || edit[out - 1].addr != edit[i].addr)
			edit[out++] = edit[i];
	return out;
}

static bool changes(const struct st_record *r, bool on)
{
	return r && r->end && r->on != on && (on || !st_record_wanted(r));
}

static int switch_sites(const struct call *c, bool on)
{
	struct st_change *edit;
	const char *why = "";
	size_t n = 0;
	int ret = 0;

	for_wants(c, s, w)
		n += changes(w->record, on);
	if (!n)
		return 0;
	edit = malloc(n * sizeof(*edit));
	if (!edit)
		return fail_all(c, -ENOMEM, "out of memory");
	n = 0;
	for_wants(c, s, w)
		if (changes(w->record, on))
			edit[n++] = st_record_edit(w->record, on);
	n = sort_edits(edit, n);
	ret = st_text_edit(edit, n, &why);
	free(edit);
	if (ret)
		return fail_all(c, ret, "%s", why);
	for_wants(c, s, w) {
		if (!changes(w->record, on))
			continue;
		st_record_switched(w->record, on);
	}
	return 0;
}

/* Jumps in whose displaced bytes a site is to be become breakpoints. That stays so, whatever becomes of the call. */
static int make_traps(const struct call *c, struct st_record **records, size_t n)
{
	struct st_change *edit = malloc((n + 1) * sizeof(*edit));
	const char *why = "";
	int ret;

	if (!edit)
		return fail_all(c, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		edit[i] = st_record_edit_to_trap(records[i]);
	st_text_sync();
	ret = st_text_edit(edit, sort_edits(edit, n), &why);
	free(edit);
	if (ret)
		return fail_all(c, ret, "%s", why);
	for (size_t i = 0; i < n; i++)
		st_record_switched_to_trap(records[i]);
	return 0;
}

static int refuse_want(struct state *s, struct want *w, const char *why)
{
	w->why = why;
	w->record = NULL;
	if (w->by_ip)
		return fail(s, -ENOTSUP, "the %s at %#lx can't be hooked: %s", w->place.offset ? "place" : "function",
			    address_of(w), why);
	s->refused++;
	return 0;
}

/* Why a function can't have a return hook, or NULL. */
static const char *no_return(const struct want *w)
{
	const struct st_function *fn;
	const char *why = NULL;

	if (w->place.offset)
		return "returns belong to a function's entry";
	if (w->place.part)
		return "it is a part of a function, and is not called";
	for (const struct st_object *o = objects; o && !why; o = o->next) {
		if (w->place.func < o->start || w->place.func >= o->end)
			continue;
		for (fn = o->fn; fn < o->fn + o->count && !why; fn++)
			if (fn->addr == w->place.func && fn->name)
				why = st_return_refused(fn->name);
	}
	return why;
}

/* The records of all wants, with stubs. */
static int get_records(const struct call *c)
{
	struct st_record **fresh;
	size_t n = 0;
	int ret = 0;

	for (size_t i = 0; i < c->n; i++) {
		struct state *s = state_in(c, i);

		s->needs = touches(c->hook[i]);
		for (struct want *w = s->want; w < s->want + s->count && !ret; w++) {
			w->place.any = c->hook[i]->flags & ST_HOOK_BREAKPOINT;
			w->why = s->returns ? no_return(w) : NULL;
			w->record = w->why ? NULL : st_record_get(&w->place, &w->why);
			if (!w->record)
				ret = refuse_want(s, w, w->why);
			n += w->record && !w->record->form.stub;
		}
	}
	if (ret || !n)
		return ret;
	fresh = malloc(n * sizeof(*fresh));
	if (!fresh)
		return fail_all(c, -ENOMEM, "out of memory");
	n = 0;
	for_wants(c, s, w)
		if (w->record && !w->record->form.stub)
			fresh[n++] = w->record;
	ret = st_records_finish(fresh, n, current_objects());
	free(fresh);
	if (ret)
		return fail_all(c, ret, "out of memory");
	for_wants(c, s, w)
		if (w->record && !w->record->end && !ret)
			ret = refuse_want(s, w, w->record->form.plan.why);
	for_wants(c, s, w)
		if (w->record && s->returns && !w->record->after && !ret)
			ret = refuse_want(s, w, "its stub has no place to return to");
	return ret;
}

/* Puts the hooks into the lists of their sites. After an error those that are in one are those that still have a record. */
static int add_to_lists(const struct call *c)
{
	int ret = 0;

	for (size_t i = 0; i < c->n; i++) {
		struct st_hook *hook = c->hook[i];
		struct state *s = hook->priv;

		for (struct want *w = s->want; w < s->want + s->count; w++) {
			struct st_record *r = w->record;

			if (!r)
				continue;
			w->record = NULL;
			if (ret)
				continue;
			for (struct st_hook **h = plain(r->site.hooks)->hook; hook->flags & ST_HOOK_IPMODIFY && *h; h++)
				if ((*h)->flags & ST_HOOK_IPMODIFY)
					ret = fail(s, -EBUSY, "another hook changes pc at %#lx already", address_of(w));
			if (ret)
				continue;
			ret = change_list(r, hook, true);
			if (ret) {
				fail(s, ret, "out of memory");
				continue;
			}
			w->record = r;
			s->sites++;
		}
	}
	return ret;
}

/* Which of the sites that go on are jumps, and which breakpoints; jumps in front of them that have to make room. */
static int choose_forms(const struct call *c)
{
	struct st_record **crowded = NULL, *front;
	size_t n = 0, room = 0;
	bool traps = false;
	int ret = 0;

	for (size_t i = 0; i < c->n && !ret; i++) {
		struct state *s = state_in(c, i);

		for (struct want *w = s->want; w < s->want + s->count && !ret; w++) {
			struct st_record *r = w->record;
			const char *why = NULL;

			if (!r || r->on)
				continue;
			if (st_record_choose(r, &why) || ((front = st_record_covering(r)) && st_record_need_trap(front, &why))) {
				change_list(r, c->hook[i], false);
				s->sites--;
				ret = refuse_want(s, w, why);
				continue;
			}
			traps |= r->trapped;
			if (!front || !front->on)
				continue;
			if (n == room) {
				struct st_record **more = realloc(crowded, (room = 2 * room + 8) * sizeof(*more));

				if (!more) {
					ret = fail_all(c, -ENOMEM, "out of memory");
					break;
				}
				crowded = more;
			}
			crowded[n++] = front;
			traps = true;
		}
	}
	if (!ret && traps) {
		const char *why;

		ret = st_breakpoint_allowed(&why);
		if (ret)
			fail_all(c, ret, "%s", why);
	}
	if (!ret && n)
		ret = make_traps(c, crowded, n);
	free(crowded);
	return ret;
}

static int do_register(const struct call *c)
{
	bool breakpoints = st_records_any_trap();
	int ret;

	st_records_forget_unmapped();
	for (size_t i = 0; i < c->n; i++)
		breakpoints |= c->hook[i]->flags & ST_HOOK_BREAKPOINT;
	if (breakpoints && (ret = st_breakpoint_own()))
		return fail_all(c, ret, "SIGTRAP can't be handled");
	ret = get_records(c);
	if (ret) {
		for_wants(c, s, w)
			w->record = NULL;
		for (size_t i = 0; i < c->n; i++)
			state_in(c, i)->refused = 0;
		return ret;
	}
	ret = add_to_lists(c);
	if (!ret)
		ret = choose_forms(c);
	for (size_t i = 0; i < c->n && !ret; i++) {
		struct state *s = state_in(c, i);

		if (!s->sites)
			ret = fail(s, -ENOENT,
				   s->refused ? "none of the functions can be hooked: %s" : "no function was given%s",
				   s->refused ? s->want[0].why : "");
	}
	if (!ret) {
		st_text_sync();
		ret = switch_sites(c, true);
	}
	if (ret)
		undo(c);
	return ret;
}

static int do_unregister(const struct call *c)
{
	int ret;

	st_records_forget_unmapped();
	if (st_records_any_trap())
		st_breakpoint_own();
	for (size_t i = 0; i < c->n; i++) {
		struct state *s = state_in(c, i);

		for (size_t k = 0; k < s->count; k++) {
			if (!s->want[k].record || !change_list(s->want[k].record, c->hook[i], false))
				continue;
			/* No memory for a shorter list: all as it was. */
			for (size_t a = 0; a <= i; a++)
				for (size_t b = 0; b < (a == i ? k : state_in(c, a)->count); b++)
					if (state_in(c, a)->want[b].record)
						change_list(state_in(c, a)->want[b].record, c->hook[a], true);
			return fail_all(c, -ENOMEM, "out of memory");
		}
	}
	ret = switch_sites(c, false);
	for (size_t i = 0; ret && i < c->n; i++)
		for (size_t k = 0; k < state_in(c, i)->count; k++)
			if (state_in(c, i)->want[k].record)
				change_list(state_in(c, i)->want[k].record, c->hook[i], true);
	return ret;
}

static int with_objects_held(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct call *c = arg;

	(void)info;
	(void)size;
	c->ret = c->on ? do_register(c) : do_unregister(c);
	return 1;
}

/* Each once, and in the right state. */
static int check_call(const struct call *c)
{
	int ret = 0;

	for (size_t i = 0; i < c->n; i++) {
		struct st_hook *hook = c->hook[i];
		struct state *s = c->on ? state_of(hook) : hook->priv;

		if (!s && !ret)
			ret = c->on ? -ENOMEM : -EINVAL;
		else if (!ret && c->on && (s->registered || s->called))
			ret = fail(s, -EBUSY, "the hook is registered");
		else if (!ret && c->on && (hook->size < sizeof(*hook) || !hook->func))
			ret = fail(s, -EINVAL, "the hook's size or func is not set");
		else if (!ret && c->on && hook->flags & ST_HOOK_IS_SHORT)
			ret = fail(s, -EINVAL, "the hook has a flag that there is not");
		else if (!ret && !c->on && (!s->registered || s->called))
			ret = -EINVAL;
		if (ret) {
			while (i--)
				state_in(c, i)->called = false;
			return ret;
		}
		s->called = true;
	}
	return 0;
}

static int run(struct call *c)
{
	pthread_mutex_lock(&lock);
	c->ret = check_call(c);
	if (c->ret)
		goto out;
	c->ret = init();
	if (c->ret)
		fail_all(c, c->ret, "the kernel has no membarrier");
	else
		dl_iterate_phdr(with_objects_held, c);
	for (size_t i = 0; i < c->n; i++) {
		struct state *s = state_in(c, i);

		s->called = false;
		if (c->ret)
			continue;
		s->registered = c->on;
		s->reason[0] = 0;
	}
out:
	return c->ret;
}

int st_hooks_register(struct st_hook *const *hook, size_t n)
{
	struct call c = { .hook = hook, .n = n, .on = true };

	run(&c);
	pthread_mutex_unlock(&lock);
	return c.ret;
}

int st_hook_register(struct st_hook *hook)
{
	int ret = st_hooks_register(&hook, 1);

	return ret ?: (int)((struct state *)hook->priv)->sites;
}

/* Is the thread that was in a hook at @busy further up the same stack now? */
static bool left_by_jump(unsigned long tp, unsigned long busy)
{
	unsigned long sp;
	bool alternate, left;

	if (st_park())
		return false;
	left = st_park_find(tp, &sp, &alternate) && sp > busy && !alternate && st_park_same_mapping(sp, busy);
	st_unpark();
	return left;
}

int st_hooks_unregister(struct st_hook *const *hook, size_t n)
{
	struct call c = { .hook = hook, .n = n };

	for (size_t i = 0; i < n; i++)
		if (!hook[i]->priv || !state_in(&c, i)->registered)
			return -EINVAL;
	if (st_threads_in_hook())
		return fail_all(&c, -EDEADLK, "called from a hook");
	if (!run(&c)) {
		st_threads_wait(left_by_jump);
		for (size_t i = 0; i < n; i++) {
			struct state *s = state_in(&c, i);

			collect(s);
			free(s->want);
			free(s);
			hook[i]->priv = NULL;
		}
	}
	pthread_mutex_unlock(&lock);
	return c.ret;
}

int st_hook_unregister(struct st_hook *hook)
{
	return st_hooks_unregister(&hook, 1);
}

void st_hook_drop(struct st_hook *hook)
{
	struct state *s = hook->priv;

	if (!s || s->registered)
		return;
	free(s->want);
	free(s);
	hook->priv = NULL;
}

const char *st_hook_kind(const struct st_hook *hook)
{
	static const char *const names[] = {
		[ST_KIND_NOP] = "nop", [ST_KIND_MOVE] = "move", [ST_KIND_BREAKPOINT] = "breakpoint", [ST_KIND_NO] = "",
	};
	const struct state *s = hook->priv;
	const char *name = "";

	pthread_mutex_lock(&lock);
	for (size_t i = 0; s && s->registered && i < s->count && !*name; i++)
		if (s->want[i].record && s->want[i].record->on)
			name = names[st_record_form(s->want[i].record)->plan.kind];
	pthread_mutex_unlock(&lock);
	return name;
}

unsigned long st_hook_returns_missed(const struct st_hook *hook)
{
	const struct state *s = hook->priv;
	unsigned long missed = 0;

	for (size_t i = 0; s && s->returns && s->registered && i < s->count; i++) {
		const struct st_record *r = s->want[i].record;

		if (r && r->ret)
			missed += __atomic_load_n(&r->ret->ret.missed, __ATOMIC_RELAXED) +
				  __atomic_load_n(&r->ret->ret.hook.missed, __ATOMIC_RELAXED);
	}
	return missed;
}

int st_hook_refused(const struct st_hook *hook, unsigned int i, unsigned long *func, const char **why)
{
	const struct state *s = hook->priv;
	unsigned int n = 0;

	for (size_t k = 0; s && k < s->count; k++) {
		if (!s->want[k].why)
			continue;
		if (n++ == i) {
			if (func)
				*func = address_of(&s->want[k]);
			if (why)
				*why = s->want[k].why;
		}
	}
	return (int)n;
}

bool st_hook_returns(unsigned long func, struct st_return *ret)
{
	const struct st_record *r;

	pthread_mutex_lock(&lock);
	r = st_record_of(func);
	if (r) {
		ret->site = (struct st_site *)&r->site;
		ret->path = r->path;
		ret->after = r->after;
	}
	pthread_mutex_unlock(&lock);
	return r && r->after;
}

const char *st_hook_reason(const struct st_hook *hook)
{
	const struct state *s = hook->priv;

	return s ? s->reason : "";
}
