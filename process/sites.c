/* SPDX-License-Identifier: GPL-2.0-only */
/* The records and stubs of sites in a process (agent/ctl.h). Everything here is written before any site leads to it. */
#include <elf.h>
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <process/session_internal.h>

#define ISLAND_MIN (64ul << 10)

int st_session_objects(struct st_session *s, struct st_objects **objs)
{
	int ret = s->objects ? 0 : st_objects_read(s->proc, &s->objects, s->err);

	*objs = s->objects;
	return ret;
}

void st_session_forget_objects(struct st_session *s)
{
	if (s->objects)
		st_objects_free(s->objects);
	s->objects = NULL;
}

/* Puts back, in a copy of the target's code, what one of the site's forms has changed there. */
static void undo_form(const struct st_ctl_site *c, const uint8_t *bytes, unsigned int n, unsigned long addr, const uint8_t *as_it_is,
		      uint8_t *code, size_t len)
{
	unsigned long at = c->addr - addr;

	/* A site that lies across the copy's beginning or end is compared as far as it is there. */
	for (unsigned int i = 0; i < n; i++)
		if (at + i < len && as_it_is[at + i] != bytes[i])
			return;
	for (unsigned int i = 0; i < n; i++)
		if (at + i < len)
			code[at + i] = c->orig[i];
}

int st_sites_undo(const struct st_ctl *ctl, unsigned long addr, uint8_t *code, size_t len)
{
	uint32_t used = __atomic_load_n(&ctl->sites_used, __ATOMIC_ACQUIRE);
	uint8_t *as_it_is = malloc(len + 1);

	if (!as_it_is)
		return -ENOMEM;
	memcpy(as_it_is, code, len);
	for (uint32_t i = 0; i < used && i < ST_SITES_MAX; i++) {
		const struct st_ctl_site *c = &ctl->site[i];
		const struct st_ctl_form *jump = &c->form[ST_FORM_JUMP], *trap = &c->form[ST_FORM_BREAKPOINT];

		if (c->state == ST_SITE_FREE || c->addr + ST_JUMP_MAX <= addr || c->addr >= addr + len)
			continue;
		if (trap->stub)
			undo_form(c, trap->bytes, st_form_jump(trap), addr, as_it_is, code, len);
		if (jump->stub)
			undo_form(c, jump->bytes, st_form_jump(jump), addr, as_it_is, code, len);
		if (jump->stub && c->direct)
			undo_form(c, c->direct_bytes, st_form_jump(jump), addr, as_it_is, code, len);
	}
	free(as_it_is);
	return 0;
}

void st_sites_kinds(const struct st_ctl *ctl, uint64_t hook, unsigned long kinds[ST_KIND_NO])
{
	uint32_t used = __atomic_load_n(&ctl->sites_used, __ATOMIC_ACQUIRE);

	memset(kinds, 0, ST_KIND_NO * sizeof(*kinds));
	for (uint32_t i = 0; i < used && i < ST_SITES_MAX; i++) {
		const struct st_ctl_site *c = &ctl->site[i];
		uint32_t kind = c->form[c->now < ST_FORMS ? c->now : ST_FORM_JUMP].kind;
		bool on = false;

		for (int k = 0; k < ST_SITE_HOOKS_MAX; k++)
			on = on || st_site_list(c)[k] == hook || c->returns[k] == hook;
		if (on && c->state != ST_SITE_FREE && kind < ST_KIND_NO)
			kinds[kind]++;
	}
}

/* The target's code as it would be without us. */
static const uint8_t *code_at(struct st_session *s, unsigned long addr, size_t len)
{
	ssize_t got;

	if (s->window && s->window_len && addr >= s->window_at && addr + len <= s->window_at + s->window_len)
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
	if (s->window_len && st_sites_undo(s->ctl, addr, s->window, s->window_len))
		s->window_len = 0;
	return s->window_len >= len ? s->window : NULL;
}

/* The records by address of the function's entry, and of the site. */
struct index {
	unsigned long at;
	uint32_t inside;	/* a function's entry is found before a place inside another function */
	uint32_t site;
};

static int index_order(const void *a, const void *b)
{
	const struct index *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (int)x->inside - (int)y->inside;
}

static struct index *make_index(struct st_session *s, size_t *n)
{
	uint32_t used = st_sites_used(s);
	struct index *ix = malloc((2 * (size_t)used + 1) * sizeof(*ix));

	*n = 0;
	for (uint32_t i = 0; ix && i < used; i++) {
		const struct st_ctl_site *c = &s->ctl->site[i];
		uint32_t inside = c->site.flags & ST_SITE_INSIDE;

		if (c->state == ST_SITE_FREE)
			continue;
		ix[(*n)++] = (struct index){ c->addr, inside, i };
		if (!inside && c->func != c->addr)
			ix[(*n)++] = (struct index){ c->func, inside, i };
	}
	if (ix)
		qsort(ix, *n, sizeof(*ix), index_order);
	return ix;
}

static int lookup(const struct index *ix, size_t n, unsigned long at)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (ix[mid].at < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && ix[lo].at == at ? (int)ix[lo].site : -1;
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

/* Is there a stub's room for each of those that lie close together, in order of address? *end: the first that does not. */
static bool is_room(struct st_session *s, const struct fresh *f, size_t n, size_t i, size_t *end)
{
	unsigned long reach = st_arch_reach(f[i].plan.isa), lo = f[i].plan.addr;
	struct st_ctl_region *region;

	for (*end = i; *end < n && f[*end].plan.addr - lo < reach / 2; ++*end)
		;
	return island_room(s, lo, reach, (*end - i) * ST_STUB_MAX, &region) != 0;
}

/* What unwinders read at an island's beginning; before it is known as one. */
static int write_head(struct st_session *s, unsigned long at)
{
#if defined(__arm__)
	uint32_t head[ST_ISLAND_HEAD / 4] = { 0 };

	st_unwind_head(head, at, (unsigned long)s->ctl->unwind_personality);
	if (st_mem_write(s->proc, at, head, sizeof(head)))
		return st_session_fail(s, -EFAULT, "memory for stubs can't be written");
#else
	(void)s;
	(void)at;
#endif
	return 0;
}

static int new_islands(struct st_session *s, struct fresh *f, size_t n)
{
	struct st_remote *r = NULL;
	struct st_stop *stop;
	size_t end;
	int ret;

	for (size_t i = 0; i < n; i = end)
		if (!is_room(s, f, n, i, &end))
			goto missing;
	return 0;
missing:
	ret = st_stop(s->proc, ST_STOP_ONE, ST_STOP_MS, &stop, s->err);
	if (ret)
		return ret;
	ret = st_remote_begin(stop, NULL, &r, s->err);
	for (size_t i = 0; !ret && i < n; i = end) {
		unsigned long lo = f[i].plan.addr, at, size;

		if (is_room(s, f, n, i, &end))
			continue;
		size = ST_ISLAND_HEAD + (end - i) * ST_STUB_MAX / 2 + ST_STUB_MAX;
		size = (size + ISLAND_MIN - 1) & ~(ISLAND_MIN - 1);
		ret = st_remote_area(r, size, lo, f[end - 1].plan.addr, st_arch_reach(f[i].plan.isa), PROT_READ | PROT_EXEC, &at,
				     s->err);
		if (!ret) {
			ret = write_head(s, at);
			if (!ret && st_session_add_region(s, ST_REGION_ISLAND, at, size) < 0)
				ret = -ENOSPC;
			if (ret)
				st_remote_munmap(r, at, size);
		}
		if (ret == -ENOMEM)	/* no room near these: they are refused one by one */
			ret = 0;
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
	int ret = plan ? st_session_objects(s, &objs) : st_session_fail(s, -ENOMEM, "out of memory");

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
			/* No file: then what is in memory, without our jumps, which may hide a branch that they displaced. */
			if (!st_object_bytes(o, text[k].lo, code, len) ||
			    (!st_mem_read(s->proc, text[k].lo, code, len) && !st_sites_undo(s->ctl, text[k].lo, code, len)))
				st_arch_sweep(plan, n, code, text[k].lo, len);
		}
	}
	free(code);
	free(plan);
	return ret;
}

/* The stub of one of its forms, and the form. */
static const char *write_form(struct st_session *s, struct st_ctl_site *c, struct st_plan *plan)
{
	struct st_ctl_form *f = &c->form[plan->kind == ST_KIND_BREAKPOINT ? ST_FORM_BREAKPOINT : ST_FORM_JUMP];
	uint8_t code[ST_STUB_MAX] = { 0 };
	struct st_ctl_region *region;
	struct st_stub stub = { .buf = code };
	int ret;

	stub.at = island_room(s, plan->addr, st_arch_reach(plan->isa), ST_STUB_MAX, &region);
	if (!stub.at)
		return "there is no free memory within a branch's reach";
	stub.site = st_session_address(s, &c->site);
	stub.entry = s->ctl->entry;
	stub.ret = plan->inside ? 0 : s->ctl->ret;
	ret = st_arch_stub(plan, &stub);
	if (!ret)
		ret = st_arch_jump(plan, stub.at | (plan->isa == ST_ISA_T32), f->bytes);
	if (ret)
		return plan->why ?: "its stub would be out of a branch's reach";
	if (st_mem_write(s->proc, stub.at, code, stub.size))
		return "its stub could not be written";
	region->used += (stub.size + 15ul) & ~15ul;
	f->kind = plan->kind;
	f->size = stub.size;
	f->moved = stub.resume;
	f->path = stub.path;
	f->after = stub.after;
	f->len = plan->len;
	f->jump = plan->jump;
	f->insns = plan->insns;
	f->signs = plan->signs;
	memcpy(f->offs, plan->offs, sizeof(f->offs));
	memcpy(f->map, stub.map, sizeof(f->map));
	/* The first bytes are the same, whichever form was there before. */
	if (plan->len <= sizeof(c->orig) && (!c->form[ST_FORM_JUMP].stub || plan->len > c->form[ST_FORM_JUMP].len))
		memcpy(c->orig, plan->orig, plan->len);
	__atomic_store_n(&f->stub, stub.at, __ATOMIC_RELEASE);
	return NULL;
}

/* So that the handler finds it, if it does not yet: the site's breakpoint form is complete. */
static void add_trap(struct st_session *s, struct st_ctl_site *c)
{
	uint32_t at = st_trap_hash(c->addr), entry = (uint32_t)(c - s->ctl->site) + 1;

	/* Of twice as many places as there are sites one is free, unless the target has written there. */
	for (uint32_t i = 0; i < ST_TRAPS && s->ctl->trap[at] && s->ctl->trap[at] != entry; i++)
		at = (at + 1) % ST_TRAPS;
	__atomic_store_n(&s->ctl->trap[at], entry, __ATOMIC_RELEASE);
}

static const char *new_record(struct st_session *s, struct fresh *f, struct st_ctl_site *c)
{
	bool vector = st_arch_syscalls_harm(st_proc_auxv(s->proc, AT_HWCAP));
	bool thumb = f->plan.isa == ST_ISA_T32;
	const char *why;

	memset(c, 0, sizeof(*c));
	c->isa = f->plan.isa;
	c->addr = f->plan.addr;
	c->func = f->plan.func;
	c->size = f->fn->size;
	why = write_form(s, c, &f->plan);
	if (why)
		return why;
	st_site_set_dispatch(s, c, vector, false);
	c->site.func = f->plan.inside ? f->plan.addr : f->plan.func;
	c->site.flags = (vector ? 0 : ST_SITE_GENERAL) | (thumb ? ST_SITE_THUMB : 0) | (f->plan.inside ? ST_SITE_INSIDE : 0);
	c->site.ip = f->plan.addr;
	c->site.hooks = (void *)st_session_address(s, c->list[0]);
	c->ret.hook.size = sizeof(c->ret.hook);
	c->ret.hook.func = (st_hook_fn)(unsigned long)s->ctl->return_enter;
	c->ret.hook.data = (void *)st_session_address(s, &c->ret);
	c->ret.hook.flags = ST_HOOK_GENERAL_REGS;
	c->ret.site = (void *)st_session_address(s, &c->site);
	c->ret.hooks = (void *)(st_session_address(s, c->returns) | (vector ? ST_HOOKS_VECTOR : 0));
	st_site_set_form(c, f->plan.kind == ST_KIND_BREAKPOINT ? ST_FORM_BREAKPOINT : ST_FORM_JUMP);
	if (f->plan.kind == ST_KIND_BREAKPOINT)
		add_trap(s, c);
	return NULL;
}

const char *st_site_add_breakpoint(struct st_session *s, struct st_ctl_site *c)
{
	struct fresh f = { 0 };
	bool inside = c->site.flags & ST_SITE_INSIDE;
	const uint8_t *code;
	const char *why;

	if (c->form[ST_FORM_BREAKPOINT].stub) {
		add_trap(s, c);		/* a tool may have been killed between the two */
		return NULL;
	}
	code = code_at(s, c->func, c->size);
	if (!code)
		return "its code can't be read";
	if (st_arch_plan_at(&f.plan, code, c->func, c->size, c->size, inside ? c->addr - c->func : 0,
			    ST_PLAN_ANY | ST_PLAN_BREAKPOINT, c->isa))
		return f.plan.why;
	if (f.plan.kind != ST_KIND_BREAKPOINT || f.plan.addr != c->addr)
		return "no breakpoint fits there";
	if (new_islands(s, &f, 1))
		return "there is no free memory within a branch's reach";
	why = write_form(s, c, &f.plan);
	if (!why)
		add_trap(s, c);
	return why;
}

/* Does the object have exception tables? Then control may come to instructions that no branch leads to. Not known is yes. */
static bool has_exception_tables(struct st_object *o)
{
	int fd = o ? st_object_fd(o) : -1;
	Elf *elf = fd >= 0 && elf_version(EV_CURRENT) != EV_NONE ? elf_begin(fd, ELF_C_READ, NULL) : NULL;
	Elf_Scn *scn = NULL;
	bool yes = true;
	size_t names;

	if (elf && !elf_getshdrstrndx(elf, &names)) {
		yes = !elf_nextscn(elf, NULL);
		while (!yes && (scn = elf_nextscn(elf, scn))) {
			GElf_Shdr shdr;
			const char *name = gelf_getshdr(scn, &shdr) ? elf_strptr(elf, names, shdr.sh_name) : NULL;

			yes = !name || !strcmp(name, ".gcc_except_table") || !strcmp(name, ".ARM.extab");
		}
	}
	elf_end(elf);
	return yes;
}

static unsigned int plan_flags(struct st_session *s, const struct st_fn *fn, unsigned int flags)
{
	unsigned int plan = flags & ST_SESSION_ANY ? ST_PLAN_ANY : 0;
	struct st_objects *objs;
	struct st_object *o;

	if (!fn->offset && !fn->part)
		return plan;
	if (fn->strict || fn->part || st_session_objects(s, &objs))
		return plan | ST_PLAN_STRICT | (fn->part ? ST_PLAN_PART : 0);
	o = st_objects_find(objs, fn->addr);
	if (o != s->strict_object) {
		s->strict_object = o;
		s->strict = has_exception_tables(o);
	}
	return plan | (s->strict ? ST_PLAN_STRICT : 0);
}

/* The plan of a place that has no record yet. */
static const char *plan_place(struct st_session *s, struct st_plan *plan, const struct st_fn *fn, unsigned int flags)
{
	size_t room = fn->room > fn->size + 64 ? fn->size + 64 : fn->room;
	const uint8_t *code = code_at(s, fn->addr, room > fn->size ? room : fn->size);

	if (!code)
		return room > ST_WINDOW || fn->size > ST_WINDOW ? "it is too long to be looked at" : "its code can't be read";
	/* Behind a landing pad is the function's entry. */
	if (fn->offset && fn->offset <= 8 &&
	    !st_arch_plan_at(plan, code, fn->addr, fn->size, room, 0, flags & ~ST_PLAN_STRICT, fn->isa) &&
	    plan->addr == fn->addr + fn->offset)
		return NULL;
	return st_arch_plan_at(plan, code, fn->addr, fn->size, room, fn->offset, flags, fn->isa) ? plan->why : NULL;
}

/* What is jumped to is no entry: below the stack pointer there may be something. */
static const char *make_plan(struct st_session *s, struct st_plan *plan, const struct st_fn *fn, unsigned int flags)
{
	const char *why = plan_place(s, plan, fn, flags);

	plan->inside |= fn->part;
	return why;
}

static bool is_first(const struct fresh *f, size_t i)
{
	return !i || f[i].plan.addr != f[i - 1].plan.addr;
}

/* site[i] becomes the record of fn[i], -1 where it is refused (fn[i].why). */
int st_sites_find(struct st_session *s, struct st_fn *fn, size_t n, unsigned int flags, int *site)
{
	struct fresh *fresh = calloc(n + 1, sizeof(*fresh));
	size_t known, count = 0, kept = 0;
	struct index *ix = make_index(s, &known);
	int ret = 0;

	s->strict_object = NULL;
	if (!fresh || !ix) {
		ret = st_session_fail(s, -ENOMEM, "out of memory");
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		struct fresh *f = &fresh[count];

		fn[i].kind = ST_KIND_NO;
		fn[i].why = NULL;
		site[i] = lookup(ix, known, fn[i].addr + fn[i].offset);
		if (site[i] >= 0)
			continue;
		fn[i].why = make_plan(s, &f->plan, &fn[i], plan_flags(s, &fn[i], flags));
		if (fn[i].why)
			continue;
		f->fn = &fn[i];
		count++;
	}
	qsort(fresh, count, sizeof(*fresh), fresh_order);
	if (count)
		ret = sweep(s, fresh, count);

	for (size_t i = 0; !ret && i < count; i++) {
		struct fresh *f = &fresh[i];

		if (f->plan.kind == ST_KIND_NO) {
			f->fn->why = f->plan.why;
			/* Where no jump is safe for a branch from elsewhere. */
			if (flags & ST_SESSION_ANY)
				f->fn->why = make_plan(s, &f->plan, f->fn, ST_PLAN_ANY | ST_PLAN_BREAKPOINT);
			if (f->fn->why)
				continue;
		}
		/* Another name, or another way to say the same place: it may have a record. */
		if (lookup(ix, known, f->plan.addr) < 0)
			fresh[kept++] = *f;
	}
	count = kept;
	if (!ret && count)
		ret = new_islands(s, fresh, count);
	for (size_t i = 0; !ret && i < count; i++) {
		uint32_t used = st_sites_used(s);
		struct st_ctl_site *c = &s->ctl->site[used];

		if (!is_first(fresh, i))
			continue;
		if (used == ST_SITES_MAX) {
			fresh[i].fn->why = "the agent has no room for more sites";
			continue;
		}
		fresh[i].fn->why = new_record(s, &fresh[i], c);
		if (fresh[i].fn->why)
			continue;
		__atomic_store_n(&c->state, ST_SITE_READY, __ATOMIC_RELEASE);
		__atomic_store_n(&s->ctl->sites_used, used + 1, __ATOMIC_RELEASE);
	}
	free(ix);
	ix = ret ? NULL : make_index(s, &known);
	for (size_t i = 0; ix && i < n; i++) {
		if (site[i] >= 0 || fn[i].why)
			continue;
		site[i] = lookup(ix, known, fn[i].addr + fn[i].offset);
		if (site[i] < 0)
			fn[i].why = "its entry can't be told from a place inside another function";
	}
out:
	free(ix);
	free(fresh);
	return ret;
}
