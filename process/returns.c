/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pending returns (engine/return.h) as seen from outside: true return addresses are put back where `after` of some stub stands, so
 * that the stubs can go away; and unwinders in the process are told of those places.
 *
 * x86-64 keeps a return address in one place, the key. Elsewhere the function has it in a register or somewhere in its frame, below the
 * key; each word that is `after` belongs to the nearest key above it. All that would be changed is found first: all or nothing.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <engine/return.h>
#include <process/session_internal.h>

/* Bytes below a key, and above a stack pointer, that are looked at. */
#define FRAME_MAX (256ul << 10)
#define PART (64ul << 10)

/* What scripts/sidetrack-gdb.py counts on. */
_Static_assert(offsetof(struct st_ctl, returns_list) == 96 && ST_PENDING_MAX == 128 &&
	       sizeof(struct st_pending) == 6 * sizeof(long) && ST_RETURN_AFTER == 8 * sizeof(long), "sidetrack-gdb.py");

struct pending {
	unsigned long key, addr, after;
	unsigned long at;		/* its struct st_pending in the target */
};

struct change {
	unsigned long at, word;
};

struct unplant {
	struct st_session *s;
	struct pending *pending;	/* by key */
	size_t n, room;
	struct change *change;
	size_t changes, change_room;
};

static int by_key(const void *a, const void *b)
{
	const struct pending *x = a, *y = b;

	return x->key < y->key ? -1 : x->key > y->key;
}

static int add_change(struct unplant *u, unsigned long at, unsigned long word)
{
	if (u->changes == u->change_room) {
		size_t room = u->change_room ? 2 * u->change_room : 64;
		struct change *more = realloc(u->change, room * sizeof(*more));

		if (!more)
			return st_session_fail(u->s, -ENOMEM, "out of memory");
		u->change = more;
		u->change_room = room;
	}
	u->change[u->changes++] = (struct change){ at, word };
	return 0;
}

static int add_pending(struct unplant *u, const struct st_pending *e, unsigned long at)
{
	struct pending p = { .key = e->key, .addr = e->addr, .at = at };

	if (st_mem_read(u->s->proc, (unsigned long)e->ret + ST_RETURN_AFTER, &p.after, sizeof(p.after)))
		return 0;
	if (u->n == u->room) {
		size_t room = u->room ? 2 * u->room : 64;
		struct pending *more = realloc(u->pending, room * sizeof(*more));

		if (!more)
			return st_session_fail(u->s, -ENOMEM, "out of memory");
		u->pending = more;
		u->room = room;
	}
	u->pending[u->n++] = p;
	return 0;
}

/* The target can write the lists; nothing in them is trusted further than to be written back to where it stands. */
static int read_lists(struct unplant *u)
{
	struct st_pending list[ST_PENDING_MAX];
	unsigned long at;
	int ret = 0;

	if (st_mem_read(u->s->proc, u->s->ctl->returns_list, &at, sizeof(at)))
		return st_session_fail(u->s, -EFAULT, "the agent's lists of pending returns can't be read");
	for (unsigned int lists = 0; at && lists < ST_THREADS && !ret; lists++, at = (unsigned long)list[0].next) {
		if (st_mem_read(u->s->proc, at, list, sizeof(list)))
			return st_session_fail(u->s, -EFAULT, "the agent's lists of pending returns can't be read");
		for (unsigned int i = 1; i < ST_PENDING_MAX && !ret; i++)
			if (list[i].key > ST_PENDING_TAKEN && list[i].addr)
				ret = add_pending(u, &list[i], at + i * sizeof(list[0]));
	}
	if (u->n)
		qsort(u->pending, u->n, sizeof(*u->pending), by_key);
	return ret;
}

#if defined(__x86_64__)
static int find_places(struct unplant *u, struct st_stop *stop)
{
	unsigned long word;
	int ret = 0;

	(void)stop;
	for (size_t i = 0; i < u->n && !ret; i++)
		if (!st_mem_read(u->s->proc, u->pending[i].key, &word, sizeof(word)) && word == u->pending[i].after)
			ret = add_change(u, u->pending[i].key, u->pending[i].addr);
	return ret;
}

static int change_registers(struct unplant *u, struct st_stop *stop)
{
	(void)u;
	(void)stop;
	return 0;
}
#else
/* Whatever its signature is. */
static bool is_after(unsigned long word, unsigned long after)
{
#if defined(__aarch64__)
	return !((word ^ after) << 16);
#else
	return word == after;
#endif
}

/* Whose `after` is it that stands at, or belongs to a frame that begins at, @at? NULL: nobody's. */
static const struct pending *owner(const struct unplant *u, unsigned long at, unsigned long word)
{
	for (size_t i = 0; i < u->n; i++)
		if (u->pending[i].key >= at && is_after(word, u->pending[i].after))
			return &u->pending[i];
	return NULL;
}

/* A signal frame on another stack, where keys say nothing. */
static const struct pending *only(const struct unplant *u, unsigned long word, bool *several)
{
	const struct pending *found = NULL;

	*several = false;
	for (size_t i = 0; i < u->n; i++) {
		if (!is_after(word, u->pending[i].after))
			continue;
		*several = found && found->addr != u->pending[i].addr;
		if (*several)
			break;
		found = &u->pending[i];
	}
	return found;
}

static int find_in(struct unplant *u, const struct st_map *map, unsigned long from, unsigned long to)
{
	unsigned long *words = malloc(PART);
	int ret = words ? 0 : st_session_fail(u->s, -ENOMEM, "out of memory");

	for (from &= -sizeof(long); from < to && !ret; from += PART) {
		size_t len = to - from < PART ? to - from : PART;

		if (st_mem_read(u->s->proc, from, words, len)) {
			ret = st_session_fail(u->s, -EBUSY, "a stack at %#lx can't be read", from);
			break;
		}
		for (size_t i = 0; i < len / sizeof(long) && !ret; i++) {
			const struct pending *p = owner(u, from + (i + 1) * sizeof(long), words[i]);
			bool several = false;

			if (!p || p->key > map->end)
				p = only(u, words[i], &several);
			if (several)
				ret = st_session_fail(u->s, -EBUSY, "a return to %#lx is pending in a signal handler's frame at %#lx",
						      words[i], from + i * sizeof(long));
			else if (p && words[i] != p->after)
				ret = st_session_fail(u->s, -EBUSY, "a signed return to %#lx is pending at %#lx", p->after,
						      from + i * sizeof(long));
			else if (p)
				ret = add_change(u, from + i * sizeof(long), p->addr);
		}
	}
	free(words);
	return ret;
}

static int find_places(struct unplant *u, struct st_stop *stop)
{
	struct st_maps *maps;
	unsigned long done = 0;
	int ret = st_maps_read(u->s->proc, &maps, u->s->err);

	if (ret)
		return ret;
	/* Below each key; keys ascend, so each piece of memory is looked at once. */
	for (size_t i = 0; i < u->n && !ret; i++) {
		const struct st_map *map = st_maps_find(maps, u->pending[i].key - 1);
		unsigned long from = u->pending[i].key > FRAME_MAX ? u->pending[i].key - FRAME_MAX : 0;

		if (!map)
			continue;
		from = from < map->start ? map->start : from;
		from = from < done ? done : from;
		ret = find_in(u, map, from, u->pending[i].key);
		done = u->pending[i].key;
	}
	/* And where a thread is in a handler that has a stack of its own. */
	for (size_t i = 0; i < st_stop_count(stop) && !ret; i++) {
		const struct st_map *map;
		struct st_regs regs;
		bool covered = false;

		ret = st_thread_regs(st_stop_thread(stop, i), &regs);
		map = ret ? NULL : st_maps_find(maps, st_regs_sp(&regs));
		for (size_t k = 0; map && k < u->n; k++)
			covered |= u->pending[k].key > map->start && u->pending[k].key <= map->end;
		if (map && !covered)
			ret = find_in(u, map, st_regs_sp(&regs), map->end - st_regs_sp(&regs) > FRAME_MAX ?
				      st_regs_sp(&regs) + FRAME_MAX : map->end);
	}
	st_maps_free(maps);
	return ret;
}

static int change_registers(struct unplant *u, struct st_stop *stop)
{
	int ret = 0;

	for (size_t i = 0; i < st_stop_count(stop) && !ret; i++) {
		struct st_thread *t = st_stop_thread(stop, i);
		unsigned long word[sizeof(struct st_regs) / sizeof(long)];
		struct st_regs regs;
		bool changed = false;

		ret = st_thread_regs(t, &regs);
		if (ret)
			return st_session_fail(u->s, ret, "the registers of thread %d can't be read", (int)st_thread_tid(t));
		memcpy(word, &regs, sizeof(regs));
		for (size_t k = 0; k < sizeof(word) / sizeof(word[0]); k++) {
			const struct pending *p = owner(u, st_regs_sp(&regs), word[k]);

			if (!p)
				continue;
			if (word[k] != p->after)
				return st_session_fail(u->s, -EBUSY, "thread %d has a signed return to %#lx pending",
						       (int)st_thread_tid(t), p->after);
			word[k] = p->addr;
			changed = true;
		}
		memcpy(&regs, word, sizeof(regs));
		if (changed)
			ret = st_thread_set_regs(t, &regs);
	}
	return ret;
}
#endif

int st_session_unplant(struct st_session *s, struct st_stop *stop)
{
	struct unplant u = { .s = s };
	unsigned long none = 0;
	int ret;

	if (!s->ctl->returns_list)
		return 0;
	ret = read_lists(&u);
	if (!ret)
		ret = find_places(&u, stop);
	if (!ret)
		ret = change_registers(&u, stop);
	for (size_t i = 0; i < u.changes && !ret; i++)
		if (st_mem_write(s->proc, u.change[i].at, &u.change[i].word, sizeof(u.change[i].word)))
			ret = st_session_fail(s, -EFAULT, "a return address at %#lx can't be written", u.change[i].at);
	for (size_t i = 0; i < u.n && !ret; i++)
		if (st_mem_write(s->proc, u.pending[i].at, &none, sizeof(none)))
			ret = st_session_fail(s, -EFAULT, "the agent's memory can't be written");
	free(u.pending);
	free(u.change);
	return ret;
}

/* By which libgcc's unwinder, and programs that are linked with it statically, find descriptions. */
#if defined(__arm__)
#define FINDER "__gnu_Unwind_Find_exidx"
#else
#define FINDER "_Unwind_Find_FDE"
#endif

#if defined(__arm__)
/* The agent calls two functions of libgcc's. Those of its shared object, if there is one: others are of the same kind. */
static int lend_registers(struct st_session *s, struct st_objects *objs)
{
	unsigned long get = 0, set = 0;
	bool unwinds = false, shared = false;
	int ret;

	for (size_t i = 0; i < objs->n && !shared; i++) {
		struct st_object *o = &objs->object[i];
		struct st_symbol g, p, raise;

		if (o->flags & ST_OBJECT_VDSO)
			continue;
		unwinds |= !st_object_symbol(o, "_Unwind_RaiseException", NULL, &raise);
		if (st_object_symbol(o, "_Unwind_VRS_Get", NULL, &g) || st_object_symbol(o, "_Unwind_VRS_Set", NULL, &p))
			continue;
		shared = !strncmp(o->name, "libgcc_s.so", strlen("libgcc_s.so"));
		if (get && !shared)
			continue;
		get = g.addr | (g.isa == ST_ISA_T32 ? 1 : 0);
		set = p.addr | (p.isa == ST_ISA_T32 ? 1 : 0);
	}
	if (!get)
		return unwinds ? st_session_fail(s, -ENOTSUP, "returns can't be followed: exceptions could not pass, as the process's unwinder has no "
						 "_Unwind_VRS_Get and _Unwind_VRS_Set") : 0;
	ret = st_mem_write(s->proc, s->ctl->unwind_set, &set, sizeof(set)) ?:
	      st_mem_write(s->proc, s->ctl->unwind_get, &get, sizeof(get));
	return ret ? st_session_fail(s, ret, "can't write the agent's memory: %s", strerror(-ret)) : 0;
}
#else
static int lend_registers(struct st_session *s, struct st_objects *objs)
{
	(void)s;
	(void)objs;
	return 0;
}
#endif

/* Hooks a function in all objects that have it. How many that are, or a negative errno. */
static int hook_all(struct st_session *s, struct st_objects *objs, const char *name, unsigned int internal, unsigned long hook, const char *what)
{
	struct st_fn *fn = calloc(objs->n + 1, sizeof(*fn));
	size_t n = 0;
	int ret;

	if (!fn)
		return st_session_fail(s, -ENOMEM, "out of memory");
	for (size_t i = 0; i < objs->n; i++) {
		const struct st_func *f;
		struct st_symbol sym;

		if (objs->object[i].flags & ST_OBJECT_VDSO || st_object_symbol(&objs->object[i], name, NULL, &sym))
			continue;
		f = st_object_function_at(&objs->object[i], sym.addr);
		if (f && f->addr == sym.addr)
			fn[n++] = (struct st_fn){ .addr = f->addr, .size = f->size, .room = f->room, .isa = f->isa,
						  .name = f->name };
	}
	ret = n ? st_session_hook_internal(s, internal, hook, fn, n) : 0;
	for (size_t i = 0; i < n && ret >= 0; i++)
		if (fn[i].why)
			ret = st_session_fail(s, -ENOTSUP, "%s: exceptions could not pass, as %s can't be hooked: %s", what, name, fn[i].why);
	free(fn);
	return ret < 0 ? ret : (int)n;
}

int st_session_unwinders(struct st_session *s)
{
	struct st_objects *objs;
	int ret;

	if (!s->ctl->unwind_hook)
		return 0;
	ret = st_session_objects(s, &objs);
	if (!ret)
		ret = lend_registers(s, objs);
	if (!ret)
		ret = hook_all(s, objs, FINDER, ST_INTERNAL_UNWIND, s->ctl->unwind_hook, "returns can't be followed");
	return ret < 0 ? ret : 0;
}

int st_session_find_frames(struct st_session *s)
{
	static const char what[] = "the patch's functions can't be seen by unwinders";
	struct st_objects *objs;
	unsigned long hook;
	int ret = st_session_lock(s), n;

	if (ret)
		return ret;
	st_session_begin_change(s);
	ret = st_session_objects(s, &objs);
	if (!ret)
		ret = hook_all(s, objs, FINDER, ST_INTERNAL_UNWIND, s->ctl->unwind_hook, what);
	/* And by which later ones ask, if they do. */
	if (ret >= 0 && !st_session_agent_symbol(s, "st_find_object_hook", &hook))
		n = hook_all(s, objs, "_dl_find_object", ST_INTERNAL_OBJECT, hook, what);
	else
		n = 0;
	st_session_forget_objects(s);
	st_session_unlock(s);
	if (n < 0 && n != -ENOTSUP)
		return n;
	return ret >= 0 && n > 0 ? ret + n : ret;
}
