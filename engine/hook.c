/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hooks of this process: include/sidetrack/hook.h. Which hook sits on which site, and the order in which a site comes
 * and goes:
 *
 *	on:  stub and struct st_site complete -> all cores synchronised -> list of hooks set -> site jumps to the stub
 *	off: hook out of the list -> site holds its own bytes, if nobody else wants it -> no thread reads the old list
 *
 * Sites are never forgotten while their object is mapped, and stubs never freed: a thread may be in one for ever.
 *
 * Everything that changes happens under one lock and inside dl_iterate_phdr(), which keeps objects from being unmapped.
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
#include <engine/edit.h>
#include <engine/island.h>
#include <engine/objects.h>
#include <engine/park.h>
#include <engine/return.h>
#include <engine/site.h>
#include <engine/thread.h>
#include <engine/wait.h>
#if defined(__x86_64__)
#include <engine/arch/x86_64/touches.h>
#endif

#define TABLE_BITS 14
#define TABLE (1u << TABLE_BITS)

struct record {
	struct st_site site;
	struct record *next;		/* of the same hash */
	struct st_plan plan;
	unsigned long stub;		/* as a jump has it: with Thumb bit */
	unsigned long path, after;	/* see struct st_return */
	uint16_t map[ST_INSNS_MAX];
	uint8_t jump[ST_JUMP_MAX];
	unsigned int hooks;		/* in site.hooks */
	bool on;			/* the site jumps to the stub */
	unsigned long start, end;	/* of the object it lies in */
};

/* One function a hook wants. */
struct want {
	unsigned long addr;
	size_t size, room;
	enum st_isa isa;
	bool by_ip;
	bool entered;		/* see struct st_function */
	struct record *record;	/* when registered; NULL if refused */
	const char *why;
};

struct state {
	struct want *want;
	size_t count, room;
	size_t sites, refused;
	bool registered;
	struct {			/* the list of every site that has this hook alone */
		struct st_hook *hook, *end;
	} alone;
	unsigned long needs;		/* ST_HOOKS_*: what has to be saved around the callback */
	char reason[256];
};

/* Lists that some thread may still read; freed when all have left. */
struct garbage {
	struct garbage *next;
	struct st_hook_list *list;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct record *table[TABLE];
static struct garbage *garbage;
static struct st_hook_list empty;
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

struct range {
	unsigned long addr, start, end;
};

static int range_of(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct range *r = arg;
	unsigned long start = ~0ul, end = 0;
	bool code = false;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		unsigned long at = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type != PT_LOAD)
			continue;
		if (at < start)
			start = at;
		if (at + ph->p_memsz > end)
			end = at + ph->p_memsz;
		if ((ph->p_flags & PF_X) && r->addr - at < ph->p_memsz)
			code = true;
	}
	if (!code)
		return 0;
	r->start = start;
	r->end = end;
	return 1;
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

static int add_want(struct state *s, const struct st_function *fn, unsigned long addr, bool by_ip)
{
	for (size_t i = 0; i < s->count; i++) {
		if (s->want[i].addr == addr) {
			s->want[i].by_ip |= by_ip;
			return 0;
		}
		if (!by_ip && i > 64 && s->want[s->count - 1].addr < addr)
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
		.addr = addr, .isa = fn->isa, .by_ip = by_ip, .entered = fn->entered,
		.size = fn->size - (addr - fn->addr),
		.room = fn->room > addr - fn->addr ? fn->room - (addr - fn->addr) : 0,
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
			ret = add_want(s, &o->fn[i], o->fn[i].addr, false);
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

int st_hook_filter_ip(struct st_hook *hook, const void *func)
{
	struct state *s = state_of(hook);
	unsigned long addr = (unsigned long)func;
	struct st_function nameless = { 0 };
	const struct st_function *fn;
	struct range r;
	int ret;

	if (!s)
		return -ENOMEM;
	if (s->registered)
		return fail(s, -EBUSY, "the hook is registered");
#if defined(__arm__)
	nameless.isa = addr & 1 ? ST_ISA_T32 : ST_ISA_A32;
	addr &= ~1ul;
#endif
	pthread_mutex_lock(&lock);
	fn = st_objects_find(current_objects(), addr);
	r.addr = addr;
	if (!fn) {
		ret = fail(s, -EINVAL, dl_iterate_phdr(range_of, &r) ?
			   "no symbol says how long the function at %#lx is" :
			   "%#lx is not in the code of any object", addr);
	} else {
		nameless.addr = fn->addr;
		nameless.size = fn->size;
		nameless.room = fn->room;
		nameless.entered = fn->entered;
		ret = add_want(s, &nameless, addr, true);
	}
	pthread_mutex_unlock(&lock);
	return ret < 0 ? ret : 0;
}

/* ---- sites ---- */

static unsigned int hash(unsigned long addr)
{
	return (uint32_t)((uint32_t)addr * 2654435761u) >> (32 - TABLE_BITS);
}

/*
 * Sites of objects that were unmapped are worth nothing, and their addresses may belong to others now. Hooks that still
 * name one find it dead.
 */
static void forget_unmapped(void)
{
	static unsigned long long seen;
	unsigned long long now[2] = { 0, 0 };

	dl_iterate_phdr(count_changes, now);
	if (now[1] == seen)
		return;
	seen = now[1];
	for (unsigned int i = 0; i < TABLE; i++) {
		for (struct record *r = table[i]; r; r = r->next) {
			struct range range = { .addr = r->plan.addr };

			if (!r->end)
				continue;
			if (dl_iterate_phdr(range_of, &range) && range.start == r->start && range.end == r->end &&
			    !memcmp((void *)r->plan.addr, r->on ? r->jump : r->plan.orig, r->plan.jump))
				continue;
			r->end = 0;
			r->on = false;
		}
	}
}

static struct record *find_record(unsigned long func)
{
	struct record *r;

	for (r = table[hash(func)]; r; r = r->next)
		if (r->plan.func == func && r->end)
			return r;
	return NULL;
}

static const char *own_code(unsigned long addr)
{
	static void *const own[] = { st_entry, st_dispatch, st_dispatch_general, st_dispatch_vector, st_thread_find };

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if ((addr & ~1ul) == ((unsigned long)own[i] & ~1ul))
			return "it is part of Sidetrack itself";
	return NULL;
}

/* A site for the function, with a finished stub; NULL and w->why if it can't be had. */
static struct record *make_record(struct want *w)
{
	struct record *r = find_record(w->addr);
	struct range range = { .addr = w->addr };
	struct st_stub stub;
	uint8_t code[ST_STUB_MAX] = { 0 };
	void *write;
	int ret;

	if (r)
		return r;
	w->why = w->entered ? "another function branches into its first instructions" : own_code(w->addr);
	if (w->why)
		return NULL;
	if (!dl_iterate_phdr(range_of, &range)) {
		w->why = "its object is not mapped any more";
		return NULL;
	}
	r = calloc(1, sizeof(*r));
	if (!r) {
		w->why = "out of memory";
		return NULL;
	}
	ret = st_arch_plan(&r->plan, (const uint8_t *)w->addr, w->addr, w->size, w->room, w->isa);
	if (ret)
		goto refuse;
	ret = st_island_alloc(r->plan.addr, st_arch_reach(w->isa), ST_STUB_MAX, &write, &stub.at);
	if (ret) {
		r->plan.why = "there is no free memory within a branch's reach";
		goto refuse;
	}
	stub.buf = code;
	stub.site = (unsigned long)&r->site;
	stub.entry = (unsigned long)st_entry;
	stub.ret = (unsigned long)st_return;
	r->stub = stub.at | (w->isa == ST_ISA_T32);
	ret = st_arch_stub(&r->plan, &stub);
	if (!ret)
		ret = st_arch_jump(&r->plan, r->stub, r->jump);
	if (ret) {
		if (!r->plan.why)
			r->plan.why = "its stub would be out of a branch's reach";
		st_island_commit(write, code, 0, ST_STUB_MAX);
		goto refuse;
	}
	st_island_commit(write, code, stub.size, ST_STUB_MAX);
	memcpy(r->map, stub.map, sizeof(r->map));
	r->path = stub.path ? stub.at + stub.path : 0;
	r->after = stub.after ? (stub.at + stub.after) | (w->isa == ST_ISA_T32) : 0;
	r->site.dispatch = st_dispatch_general;
	r->site.func = w->addr;
	r->site.resume = (stub.at + stub.resume) | (w->isa == ST_ISA_T32);
	r->site.flags = ST_SITE_GENERAL | (w->isa == ST_ISA_T32 ? ST_SITE_THUMB : 0);
	r->site.ip = r->plan.addr;
	r->site.hooks = &empty;
	r->start = range.start;
	r->end = range.end;
	r->next = table[hash(w->addr)];
	table[hash(w->addr)] = r;
	return r;
refuse:
	w->why = r->plan.why;
	free(r);
	return NULL;
}

static struct st_change edit_of(const struct record *r, bool on)
{
	struct st_change e = {
		.addr = r->plan.addr, .len = r->plan.jump, .resume = r->site.resume,
		.live = r->plan.live, .insns = on ? r->plan.insns : 1,
	};

#if defined(__x86_64__)
	/* A jump is one instruction, and a breakpoint on it is resolved by the moved ones: always fit to be swapped back. */
	e.live |= !on;
#endif
	for (int i = 0; i < r->plan.insns; i++) {
		e.offs[i] = r->plan.offs[i];
		e.to[i] = (r->stub & ~1ul) + r->map[i];
	}
	memcpy(on ? e.old : e.new, r->plan.orig, e.len);
	memcpy(on ? e.new : e.old, r->jump, e.len);
	return e;
}

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

static struct st_hook_list *list_of(const struct record *r)
{
	return (void *)((unsigned long)r->site.hooks & ~(unsigned long)ST_HOOKS_MASK);
}

static unsigned long needs_of(const struct st_hook *hook)
{
	return ((const struct state *)hook->priv)->needs;
}

/* What the callback may touch besides general registers: by its own word, or else by its code. */
static unsigned long touches(const struct st_hook *hook)
{
#if defined(__x86_64__)
	const struct st_function *fn;

	if (hook->flags & ST_HOOK_GENERAL_REGS)
		return 0;
	fn = st_objects_find(current_objects(), (unsigned long)hook->func);
	return fn && fn->addr == (unsigned long)hook->func ?
	       st_x86_touches((const uint8_t *)hook->func, fn->size) : ST_HOOKS_VECTOR;
#else
	return hook->flags & ST_HOOK_GENERAL_REGS ? 0 : ST_HOOKS_VECTOR;
#endif
}

/* The hooks of a site with one more (add) or one fewer. Readers see the old list or the new one. */
static int change_list(struct record *r, struct st_hook *hook, bool add)
{
	unsigned int n = add ? r->hooks + 1 : r->hooks - 1, out = 0;
	unsigned long need = always_vector ? ST_HOOKS_VECTOR : 0;
	struct st_hook_list *list = &empty;

	if (n == 1) {
		for (unsigned int i = 0; i < r->hooks; i++)
			if (list_of(r)->hook[i] != hook)
				list = alone(list_of(r)->hook[i]);
		if (add)
			list = alone(hook);
	} else if (n) {
		list = malloc((n + 1) * sizeof(list->hook[0]));
		if (!list)
			return -ENOMEM;
		for (unsigned int i = 0; i < r->hooks; i++)
			if (add || list_of(r)->hook[i] != hook)
				list->hook[out++] = list_of(r)->hook[i];
		if (add)
			list->hook[out++] = hook;
		list->hook[out] = NULL;
	}
	for (unsigned int i = 0; i < n; i++)
		need |= needs_of(list->hook[i]);
	if (allocated(list_of(r))) {
		struct garbage *g = malloc(sizeof(*g));

		if (!g) {
			if (n > 1)
				free(list);
			return -ENOMEM;
		}
		*g = (struct garbage){ .next = garbage, .list = list_of(r) };
		garbage = g;
	}
	/* The vector state is saved before a hook that needs it can be called, and until it can't be. */
	if (need) {
		__atomic_store_n(&r->site.dispatch, st_dispatch_vector, __ATOMIC_RELEASE);
		__atomic_fetch_and(&r->site.flags, ~(unsigned long)ST_SITE_GENERAL, __ATOMIC_RELEASE);
	}
	list = (void *)((unsigned long)list | need);
	__atomic_store_n(&r->site.hooks, list, __ATOMIC_RELEASE);
	r->hooks = n;
	return 0;
}

/* After st_threads_wait(): no thread reads an old list, so none can call a hook that is in no new one. */
static void collect(struct state *s)
{
	for (size_t i = 0; i < s->count; i++) {
		struct record *r = s->want[i].record;
		unsigned long need = always_vector ? ST_HOOKS_VECTOR : 0;

		if (!r)
			continue;
		for (unsigned int k = 0; k < r->hooks; k++)
			need |= needs_of(list_of(r)->hook[k]);
		if (!need) {
			__atomic_store_n(&r->site.dispatch, st_dispatch_general, __ATOMIC_RELEASE);
			__atomic_fetch_or(&r->site.flags, ST_SITE_GENERAL, __ATOMIC_RELEASE);
		}
	}
	while (garbage) {
		struct garbage *g = garbage;

		garbage = g->next;
		free(g->list);
		free(g);
	}
}

/* ---- registering ---- */

struct call {
	struct st_hook *hook;
	struct state *state;
	int ret;
};

static void undo(struct state *s, struct st_hook *hook)
{
	for (size_t i = 0; i < s->count; i++) {
		if (s->want[i].record)
			change_list(s->want[i].record, hook, false);
		s->want[i].record = NULL;
	}
	s->sites = s->refused = 0;
}

static int switch_sites(struct state *s, bool on)
{
	struct st_change *edit = malloc((s->count + 1) * sizeof(*edit));
	const char *why = "";
	size_t n = 0;
	int ret = 0;

	if (!edit)
		return fail(s, -ENOMEM, "out of memory");
	for (size_t i = 0; i < s->count; i++) {
		struct record *r = s->want[i].record;

		if (r && r->end && r->on != on && (on || !r->hooks))
			edit[n++] = edit_of(r, on);
	}
	for (size_t i = 1; i < n; i++) {
		if (edit[i].addr < edit[i - 1].addr) {
			qsort(edit, n, sizeof(*edit), edit_order);
			break;
		}
	}
	if (n)
		ret = st_text_edit(edit, n, &why);
	free(edit);
	if (ret)
		return fail(s, ret, "%s", why);
	for (size_t i = 0; i < s->count; i++) {
		struct record *r = s->want[i].record;

		if (r && r->end && (on || !r->hooks))
			r->on = on;
	}
	return 0;
}

static int do_register(struct call *c)
{
	struct state *s = c->state;
	int ret;

	forget_unmapped();
	s->needs = touches(c->hook);
	for (size_t i = 0; i < s->count; i++) {
		struct want *w = &s->want[i];
		struct record *r;

		w->why = NULL;
		r = make_record(w);
		if (!r && w->by_ip) {
			ret = fail(s, -ENOTSUP, "the function at %#lx can't be hooked: %s", w->addr, w->why);
			goto fail;
		}
		if (!r) {
			s->refused++;
			continue;
		}
		for (unsigned int k = 0; c->hook->flags & ST_HOOK_IPMODIFY && k < r->hooks; k++) {
			if (list_of(r)->hook[k]->flags & ST_HOOK_IPMODIFY) {
				ret = fail(s, -EBUSY, "another hook changes pc at %#lx already", w->addr);
				goto fail;
			}
		}
		ret = change_list(r, c->hook, true);
		if (ret) {
			fail(s, ret, "out of memory");
			goto fail;
		}
		w->record = r;
		s->sites++;
	}
	if (!s->sites) {
		ret = fail(s, -ENOENT, s->refused ? "none of the functions can be hooked: %s" : "no function was given%s",
			   s->refused ? s->want[0].why : "");
		goto fail;
	}
	st_text_sync();
	ret = switch_sites(s, true);
	if (!ret)
		return 0;
fail:
	undo(s, c->hook);
	return ret;
}

static int do_unregister(struct call *c)
{
	struct state *s = c->state;
	int ret;

	forget_unmapped();
	for (size_t i = 0; i < s->count; i++) {
		if (s->want[i].record && change_list(s->want[i].record, c->hook, false))
			return fail(s, -ENOMEM, "out of memory");
	}
	ret = switch_sites(s, false);
	for (size_t i = 0; ret && i < s->count; i++)
		if (s->want[i].record)
			change_list(s->want[i].record, c->hook, true);
	return ret;
}

static int with_objects_held(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct call *c = arg;

	(void)info;
	(void)size;
	c->ret = c->state->registered ? do_unregister(c) : do_register(c);
	return 1;
}

int st_hook_register(struct st_hook *hook)
{
	struct state *s = state_of(hook);
	struct call c = { .hook = hook, .state = s };

	if (!s)
		return -ENOMEM;
	if (s->registered)
		return fail(s, -EBUSY, "the hook is registered");
	if (hook->size < sizeof(*hook) || !hook->func)
		return fail(s, -EINVAL, "the hook's size or func is not set");
	pthread_mutex_lock(&lock);
	c.ret = init();
	if (c.ret)
		fail(s, c.ret, "the kernel has no membarrier");
	else
		dl_iterate_phdr(with_objects_held, &c);
	s->registered = !c.ret;
	pthread_mutex_unlock(&lock);
	if (c.ret)
		return c.ret;
	s->reason[0] = 0;
	return (int)s->sites;
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

int st_hook_unregister(struct st_hook *hook)
{
	struct state *s = hook->priv;
	struct call c = { .hook = hook, .state = s };

	if (!s || !s->registered)
		return -EINVAL;
	if (st_threads_in_hook())
		return fail(s, -EDEADLK, "called from a hook");
	pthread_mutex_lock(&lock);
	dl_iterate_phdr(with_objects_held, &c);
	if (!c.ret) {
		st_threads_wait(left_by_jump);
		collect(s);
	}
	pthread_mutex_unlock(&lock);
	if (c.ret)
		return c.ret;
	free(s->want);
	free(s);
	hook->priv = NULL;
	return 0;
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
				*func = s->want[k].addr;
			if (why)
				*why = s->want[k].why;
		}
	}
	return (int)n;
}

bool st_hook_returns(unsigned long func, struct st_return *ret)
{
	const struct record *r;

	pthread_mutex_lock(&lock);
	r = find_record(func);
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
