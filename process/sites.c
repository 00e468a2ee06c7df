/* SPDX-License-Identifier: GPL-2.0-only */
/* The records and stubs of sites in a process (agent/ctl.h). Everything here is written before any site leads to it. */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <process/session_internal.h>

#define ISLAND_MIN (64ul << 10)

static const uint8_t *code_at(struct st_session *s, unsigned long addr, size_t len)
{
	ssize_t got;

	if (s->window && addr >= s->window_at && addr + len <= s->window_at + s->window_len)
		return s->window + (addr - s->window_at);
	if (len > ST_WINDOW)
		return NULL;
	if (!s->window)
		s->window = malloc(ST_WINDOW);
	if (!s->window)
		return NULL;
	got = st_mem_read_some(s->proc, addr, s->window, ST_WINDOW);
	s->window_at = addr;
	s->window_len = got > 0 ? (size_t)got : 0;
	return s->window_len >= len ? s->window : NULL;
}

struct index {
	unsigned long func;
	uint32_t site;
};

static int index_order(const void *a, const void *b)
{
	const struct index *x = a, *y = b;

	return x->func < y->func ? -1 : x->func > y->func;
}

/* The records by function, to look up many. */
static struct index *make_index(struct st_session *s, size_t *n)
{
	uint32_t used = st_sites_used(s);
	struct index *ix = malloc((used + 1) * sizeof(*ix));

	*n = 0;
	for (uint32_t i = 0; ix && i < used; i++)
		if (s->ctl->site[i].state != ST_SITE_FREE)
			ix[(*n)++] = (struct index){ s->ctl->site[i].func, i };
	if (ix)
		qsort(ix, *n, sizeof(*ix), index_order);
	return ix;
}

static int lookup(const struct index *ix, size_t n, unsigned long func)
{
	struct index key = { func, 0 };
	const struct index *hit = bsearch(&key, ix, n, sizeof(*ix), index_order);

	return hit ? (int)hit->site : -1;
}

/* A piece of an island near addr, or 0. */
static unsigned long island_room(struct st_session *s, unsigned long addr, unsigned long reach, unsigned long size,
				 struct st_ctl_region **region)
{
	for (int i = 0; i < ST_REGIONS_MAX; i++) {
		struct st_ctl_region *r = &s->ctl->region[i];
		unsigned long far = addr > r->start ? addr - r->start : r->start + r->size - addr;

		if (r->kind == ST_REGION_ISLAND && far < reach && r->used + size <= r->size) {
			*region = r;
			return r->start + r->used;
		}
	}
	return 0;
}

/*
 * The sites and stubs of functions that have none yet. Plans first, with nothing stopped; then, if memory is missing, one
 * thread is borrowed to map it; then stubs and records are written.
 */
struct fresh {
	struct st_plan plan;
	struct st_fn *fn;
	uint32_t site;
};

static int new_islands(struct st_session *s, struct fresh *f, size_t n)
{
	struct st_remote *r = NULL;
	struct st_stop *stop;
	int ret = st_stop(s->proc, ST_STOP_ONE, ST_STOP_MS, &stop, s->err);

	if (ret)
		return ret;
	ret = st_remote_begin(stop, NULL, &r, s->err);
	for (size_t i = 0; !ret && i < n;) {
		unsigned long reach = st_arch_reach(f[i].plan.isa);
		unsigned long lo = f[i].plan.addr, at, size;
		struct st_ctl_region *region;
		size_t end = i;

		/* As many as lie close together, in order of address. */
		while (end < n && f[end].plan.addr - lo < reach / 2)
			end++;
		size = (end - i) * ST_STUB_MAX / 2 + ST_STUB_MAX;
		size = (size + ISLAND_MIN - 1) & ~(ISLAND_MIN - 1);
		if (!island_room(s, lo, reach, (end - i) * ST_STUB_MAX, &region)) {
			ret = st_remote_area(r, size, lo, f[end - 1].plan.addr, reach, PROT_READ | PROT_EXEC, &at, s->err);
			if (!ret && st_session_add_region(s, ST_REGION_ISLAND, at, size) < 0) {
				st_remote_munmap(r, at, size);
				ret = -ENOSPC;
			}
			if (ret == -ENOMEM)	/* no room near these: they are refused one by one */
				ret = 0;
		}
		i = end;
	}
	if (r)
		st_remote_end(r);
	st_session_resume(s, stop);
	return ret;
}

static int fresh_order(const void *a, const void *b)
{
	const struct fresh *x = a, *y = b;

	return x->plan.addr < y->plan.addr ? -1 : x->plan.addr > y->plan.addr;
}

/* Branches from elsewhere in the same object into the bytes that would be displaced; its file has them unchanged. */
static int sweep(struct st_session *s, struct fresh *f, size_t n)
{
	struct st_plan **plan = calloc(n, sizeof(*plan));
	struct st_objects *objs = NULL;
	uint8_t *code = NULL;
	int ret = plan ? st_objects_read(s->proc, &objs, s->err) : st_session_fail(s, -ENOMEM, "out of memory");

	for (size_t i = 0; plan && i < n; i++)
		plan[i] = &f[i].plan;
	for (size_t i = 0; !ret && i < objs->n; i++) {
		struct st_object *o = &objs->object[i];
		const struct st_range *text;
		size_t ranges, first = 0;

		while (first < n && f[first].plan.addr < o->lo)
			first++;
		if (first == n || f[first].plan.addr >= o->hi)
			continue;
		text = st_object_text(o, &ranges);
		for (size_t k = 0; k < ranges; k++) {
			size_t len = text[k].hi - text[k].lo;
			uint8_t *more = realloc(code, len + 1);

			if (!more) {
				ret = st_session_fail(s, -ENOMEM, "out of memory");
				break;
			}
			code = more;
			/* No file: then what is in memory, where a jump of ours may hide a branch that it displaced. */
			if (!st_object_bytes(o, text[k].lo, code, len) || !st_mem_read(s->proc, text[k].lo, code, len))
				st_arch_sweep(plan, n, code, text[k].lo, len);
		}
	}
	free(code);
	free(plan);
	if (objs)
		st_objects_free(objs);
	return ret;
}

static const char *write_stub(struct st_session *s, struct fresh *f, struct st_ctl_site *c)
{
	uint8_t code[ST_STUB_MAX] = { 0 };
	struct st_ctl_region *region;
	struct st_stub stub = { .buf = code };
	bool vector;
	int ret;

	stub.at = island_room(s, f->plan.addr, st_arch_reach(f->plan.isa), ST_STUB_MAX, &region);
	if (!stub.at)
		return "there is no free memory within a branch's reach";
	stub.site = st_session_address(s, &c->site);
	stub.entry = s->ctl->entry;
	ret = st_arch_stub(&f->plan, &stub);
	if (!ret)
		ret = st_arch_jump(&f->plan, stub.at | (f->plan.isa == ST_ISA_T32), c->bytes);
	if (ret)
		return f->plan.why ?: "its stub would be out of a branch's reach";
	if (st_mem_write(s->proc, stub.at, code, stub.size))
		return "its stub could not be written";
	region->used += (stub.size + 15ul) & ~15ul;
	memset(&c->site, 0, sizeof(c->site));
	vector = st_arch_syscalls_harm(st_proc_auxv(s->proc, AT_HWCAP));
	st_site_set_dispatch(s, c, vector, false);
	c->site.func = f->plan.func;
	c->site.resume = (stub.at + stub.resume) | (f->plan.isa == ST_ISA_T32);
	c->site.flags = (vector ? 0 : ST_SITE_GENERAL) | (f->plan.isa == ST_ISA_T32 ? ST_SITE_THUMB : 0);
	c->site.ip = f->plan.addr;
	c->site.hooks = (void *)st_session_address(s, c->list);
	memset(c->list, 0, sizeof(c->list));
	c->isa = f->plan.isa;
	c->kind = f->plan.kind;
	c->addr = f->plan.addr;
	c->func = f->plan.func;
	c->size = f->fn->size;
	c->stub = stub.at;
	c->moved = stub.resume;
	c->patch = 0;
	c->redirect = 0;
	c->len = f->plan.len;
	c->jump = f->plan.jump;
	c->insns = f->plan.insns;
	c->signs = f->plan.signs;
	memcpy(c->offs, f->plan.offs, sizeof(c->offs));
	memcpy(c->map, stub.map, sizeof(c->map));
	memcpy(c->orig, f->plan.orig, sizeof(c->orig));
	return NULL;
}

/* site[i] becomes the record of fn[i], -1 where it is refused (fn[i].why). */
int st_sites_find(struct st_session *s, struct st_fn *fn, size_t n, int *site)
{
	struct fresh *fresh = calloc(n + 1, sizeof(*fresh));
	size_t known, count = 0, room;
	struct index *ix = make_index(s, &known);
	int ret = 0;

	if (!fresh || !ix) {
		ret = st_session_fail(s, -ENOMEM, "out of memory");
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		const uint8_t *code;
		struct fresh *f = &fresh[count];

		fn[i].why = NULL;
		site[i] = lookup(ix, known, fn[i].addr);
		if (site[i] >= 0)
			continue;
		room = fn[i].room > fn[i].size + 64 ? fn[i].size + 64 : fn[i].room;
		code = code_at(s, fn[i].addr, room > fn[i].size ? room : fn[i].size);
		if (!code) {
			fn[i].why = room > ST_WINDOW || fn[i].size > ST_WINDOW ? "it is too long to be looked at" : "its code can't be read";
			continue;
		}
		if (st_arch_plan(&f->plan, code, fn[i].addr, fn[i].size, room, fn[i].isa)) {
			fn[i].why = f->plan.why;
			continue;
		}
		f->fn = &fn[i];
		count++;
	}
	qsort(fresh, count, sizeof(*fresh), fresh_order);
	if (count)
		ret = sweep(s, fresh, count);
	for (size_t i = room = 0; i < count; i++) {
		if (fresh[i].plan.kind == ST_KIND_NO)
			fresh[i].fn->why = fresh[i].plan.why;
		else
			fresh[room++] = fresh[i];
	}
	count = room;
	if (!ret && count)
		ret = new_islands(s, fresh, count);
	for (size_t i = 0; !ret && i < count; i++) {
		uint32_t used = st_sites_used(s);
		struct st_ctl_site *c = &s->ctl->site[used];

		if (i && fresh[i].plan.addr == fresh[i - 1].plan.addr)
			continue;
		if (used == ST_SITES_MAX) {
			fresh[i].fn->why = "the agent has no room for more sites";
			continue;
		}
		fresh[i].fn->why = write_stub(s, &fresh[i], c);
		if (fresh[i].fn->why)
			continue;
		__atomic_store_n(&c->state, ST_SITE_READY, __ATOMIC_RELEASE);
		__atomic_store_n(&s->ctl->sites_used, used + 1, __ATOMIC_RELEASE);
	}
	free(ix);
	ix = ret ? NULL : make_index(s, &known);
	for (size_t i = 0; ix && i < n; i++)
		if (site[i] < 0 && !fn[i].why)
			site[i] = lookup(ix, known, fn[i].addr);
out:
	free(ix);
	free(fresh);
	return ret;
}
