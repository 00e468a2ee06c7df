/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See record.h. Records are found by their site's address, in a table hashed by lines of 64 bytes, so that those of a
 * range of addresses are found as well: what a function's own bytes are has to be known where sites stand in it.
 *
 * Two sites never overlap. A jump displaces several instructions on x86-64 and Thumb; a site that starts in one of the
 * others makes it a breakpoint, which displaces one. The jump's stub stays good for the threads in it: it goes on behind all
 * that the jump displaced. For the same reason no jump may come to cover a place where a stub, once used, goes on.
 *
 * That this is enough. A stub leads back to one place, behind what its form displaced (also the return address that a moved call
 * leaves there); a thread may be in it, asleep in a hook or about to leave, for as long as the process lives, and which thread is, nobody
 * can see. So a form counts as used before anything can lead into its stub or its moved instructions, and for ever:
 *	- chosen for a site that goes on (st_record_choose): before site.resume, by which those in the site's other stub leave, points
 *	  to its moved instructions, and before a batch of changes is begun, which may send threads there and fail afterwards;
 *	- in place of a jump (st_record_edit_to_trap): likewise.
 * A jump is only chosen where no used form, nor the site's own breakpoint, goes on strictly inside of what it displaces (crowded()). All
 * lists of hooks are as they will be before the first form of a batch is chosen, so it does not matter in which order those of one
 * batch are looked at: of two that overlap the first is a breakpoint. A batch has sites that go on, or that go off, or jumps that
 * become breakpoints, never two of these, and the last is written before the sites go on that it makes room for.
 * Who goes back to behind one instruction of what was a jump must find the old bytes there. While a jump becomes a breakpoint,
 * threads that meet it are sent through the jump's stub; site.resume changes after the last byte; and a breakpoint of the record's
 * counts only while it stands in the code and no batch is under way or has ended during the look (breakpoint.c), or with the other
 * threads stopped. From a breakpoint a site never becomes a jump again, unless control does not come back from it.
 * Who is in the displaced bytes themselves is seen when the threads are stopped: by its pc, and by what its stacks hold (park.c). Return
 * addresses that are kept elsewhere (return.c) never lie there: no jump displaces a call but as its last instruction.
 */
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <engine/breakpoint.h>
#include <engine/island.h>
#include <engine/record.h>
#include <engine/thread.h>

#define TABLE_BITS 14
#define TABLE (1u << TABLE_BITS)
#define LINE_BITS 6
/* More than any landing pad in front of a function's site. */
#define PAD_MAX 16

static struct st_record *table[TABLE];
static unsigned long traps;	/* breakpoints in the code */
struct st_hook_list st_no_hooks;

/* ---- the table ---- */

static unsigned int hash(unsigned long line)
{
	return (uint32_t)((uint32_t)line * 2654435761u) >> (32 - TABLE_BITS);
}

/* The first live record with lo <= addr < hi of the line that lo is in, behind @r; in no order. */
static struct st_record *next_in_line(unsigned long lo, unsigned long hi, struct st_record *r)
{
	r = r ? r->next : table[hash(lo >> LINE_BITS)];
	for (; r; r = r->next)
		if (r->addr >> LINE_BITS == lo >> LINE_BITS && r->addr >= lo && r->addr < hi && r->end)
			return r;
	return NULL;
}

/* Each live record in a range of addresses. */
#define for_range(r, lo, hi)							\
	for (unsigned long from_ = (lo); from_ < (hi);				\
	     from_ = ((from_ >> LINE_BITS) + 1) << LINE_BITS)			\
		for (r = NULL; (r = next_in_line(from_, (hi), r));)

static void insert(struct st_record *r)
{
	struct st_record **head = &table[hash(r->addr >> LINE_BITS)];

	r->next = *head;
	__atomic_store_n(head, r, __ATOMIC_RELEASE);
}

static struct st_record *find(const struct st_place *p)
{
	unsigned long at = p->func + p->offset;
	struct st_record *r;

	for_range(r, at, at + (p->offset ? 1 : PAD_MAX))
		if (r->addr == at || (!r->place.offset && r->place.func == p->func))
			return r;
	return NULL;
}

unsigned long st_record_breakpoint(unsigned long addr)
{
	struct st_record *r = __atomic_load_n(&table[hash(addr >> LINE_BITS)], __ATOMIC_ACQUIRE);
	struct st_form *trap;

	for (; r; r = r->next) {
		if (r->addr != addr || !__atomic_load_n(&r->end, __ATOMIC_RELAXED))
			continue;
		trap = __atomic_load_n(&r->trap, __ATOMIC_ACQUIRE);
		return trap && __atomic_load_n(&trap->used, __ATOMIC_ACQUIRE) ? trap->stub : 0;
	}
	return 0;
}

struct st_record *st_record_of(unsigned long func)
{
	return find(&(struct st_place){ .func = func });
}

bool st_records_any_trap(void)
{
	return traps;
}

/* ---- the objects they lie in ---- */

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

bool st_in_code(unsigned long addr)
{
	struct range r = { .addr = addr };

	return dl_iterate_phdr(range_of, &r);
}

static int count_unloads(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	*(unsigned long long *)arg = info->dlpi_subs;
	return 1;
}

void st_records_forget_unmapped(void)
{
	static unsigned long long seen;
	unsigned long long now = 0;

	dl_iterate_phdr(count_unloads, &now);
	if (now == seen)
		return;
	seen = now;
	for (unsigned int i = 0; i < TABLE; i++) {
		for (struct st_record *r = table[i]; r; r = r->next) {
			struct range range = { .addr = r->addr };
			const struct st_form *f;

			if (!r->end)
				continue;
			f = st_record_form(r);
			if (dl_iterate_phdr(range_of, &range) && range.start == r->start && range.end == r->end &&
			    !memcmp((void *)r->addr, r->on ? f->jump : f->plan.orig, f->plan.jump))
				continue;
			__atomic_store_n(&r->end, 0, __ATOMIC_RELAXED);
			if (r->on)
				st_record_switched(r, false);
		}
	}
}

/* ---- plans ---- */

/* A copy of code without what we have put there; NULL if there is nothing of ours in it, or, with *err set, no memory. */
static uint8_t *original(unsigned long addr, size_t size, int *err)
{
	struct st_record *r;
	uint8_t *copy = NULL;

	for_range(r, addr - ST_JUMP_MAX, addr + size) {
		const struct st_form *f = st_record_form(r);

		if (!r->on)
			continue;
		if (!copy) {
			copy = malloc(size);
			if (!copy) {
				*err = -ENOMEM;
				return NULL;
			}
			memcpy(copy, (void *)addr, size);
		}
		for (unsigned int i = 0; i < f->plan.jump; i++)
			if (r->addr + i - addr < size)
				copy[r->addr + i - addr] = f->plan.orig[i];
	}
	return copy;
}

static int plan(struct st_plan *plan, const struct st_place *p, unsigned int flags)
{
	int ret = 0;
	uint8_t *copy = original(p->func, p->room > p->size ? p->room : p->size, &ret);

	if (ret) {
		plan->why = "out of memory";
		return ret;
	}
	if (p->strict && p->offset)
		flags |= ST_PLAN_STRICT;
	if (p->part)
		flags |= ST_PLAN_STRICT | ST_PLAN_PART;
	if (p->any)
		flags |= ST_PLAN_ANY;
	ret = st_arch_plan_at(plan, copy ?: (const uint8_t *)p->func, p->func, p->size, p->room, p->offset, flags, p->isa);
	free(copy);
	/* What is jumped to is no entry: below the stack pointer there may be something. */
	plan->inside |= p->part;
	return ret;
}

static const char *own_code(unsigned long func, size_t size)
{
	static void *const own[] = {
		st_entry, st_dispatch, st_dispatch_general, st_dispatch_vector, st_thread_find, st_record_breakpoint,
	};

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (((unsigned long)own[i] & ~1ul) - func < (size ?: 1))
			return "it is part of Sidetrack itself";
	return st_breakpoint_own_code(func, size ?: 1);
}

static struct st_record *refuse(struct st_record *r, const char *reason, const char **why)
{
	*why = reason;
	free(r);
	return NULL;
}

struct st_record *st_record_get(const struct st_place *place, const char **why)
{
	struct st_record *r = find(place);
	struct range range = { .addr = place->func };
	struct st_place p = *place;
	const char *own;

	if (r && !p.any && r->trap == &r->form && r->form.plan.kind == ST_KIND_BREAKPOINT)
		return refuse(NULL, "only a breakpoint fits", why);
	if (r) {
		r->place.any |= p.any;
		return r;
	}
	own = own_code(p.func, p.size);
	if (own)
		return refuse(NULL, own, why);
	if (p.entered && !p.offset && !p.any)
		return refuse(NULL, "another function branches into its first instructions", why);
	if (!dl_iterate_phdr(range_of, &range))
		return refuse(NULL, "its object is not mapped any more", why);
	r = calloc(1, sizeof(*r));
	if (!r)
		return refuse(NULL, "out of memory", why);
	/* The instruction behind a landing pad is the function's entry. */
	if (p.offset && p.offset < PAD_MAX) {
		p.offset = 0;
		plan(&r->form.plan, &p, 0);
		if (r->form.plan.addr == p.func + place->offset) {
			free(r);
			return st_record_get(&p, why);
		}
		p.offset = place->offset;
		memset(&r->form.plan, 0, sizeof(r->form.plan));
	}
	if (plan(&r->form.plan, &p, p.entered && !p.offset ? ST_PLAN_BREAKPOINT : 0))
		return refuse(r, r->form.plan.why, why);
	r->place = p;
	r->addr = r->form.plan.addr;
	r->site.dispatch = st_dispatch_general;
	r->site.func = p.offset ? r->addr : p.func;
	r->site.flags = ST_SITE_GENERAL | (p.isa == ST_ISA_T32 ? ST_SITE_THUMB : 0) |
			(r->form.plan.inside ? ST_SITE_INSIDE : 0);
	r->site.ip = r->addr;
	r->site.hooks = &st_no_hooks;
	r->start = range.start;
	r->end = range.end;
	insert(r);
	return r;
}

/* ---- stubs ---- */

static int make_stub(struct st_record *r, struct st_form *f)
{
	struct st_plan *p = &f->plan;
	struct st_stub stub = {
		.site = (unsigned long)&r->site, .entry = (unsigned long)st_entry,
		.ret = p->inside ? 0 : (unsigned long)st_return,
	};
	uint8_t code[ST_STUB_MAX] = { 0 };
	void *write;
	int ret;

	if (st_island_alloc(p->addr, st_arch_reach(p->isa), ST_STUB_MAX, &write, &stub.at)) {
		p->why = "there is no free memory within a branch's reach";
		return -ENOMEM;
	}
	stub.buf = code;
	f->stub = stub.at | (p->isa == ST_ISA_T32);
	ret = st_arch_stub(p, &stub);
	if (!ret)
		ret = st_arch_jump(p, f->stub, f->jump);
	if (ret) {
		if (!p->why)
			p->why = "its stub would be out of a branch's reach";
		f->stub = 0;
		st_island_commit(write, code, 0, ST_STUB_MAX);
		return ret;
	}
	st_island_commit(write, code, stub.size, ST_STUB_MAX);
	memcpy(f->map, stub.map, sizeof(f->map));
	/* Those of any stub of the function will do. */
	if (!r->after && stub.after) {
		r->path = stub.path ? stub.at + stub.path : 0;
		r->after = (stub.at + stub.after) | (p->isa == ST_ISA_T32);
	}
	f->resume = (stub.at + stub.resume) | (p->isa == ST_ISA_T32);
	return 0;
}

static void finish(struct st_record *r)
{
	/* From elsewhere a branch leads into what it would displace, or nobody can say. */
	if (r->form.plan.kind == ST_KIND_NO && r->place.any) {
		const char *why = r->form.plan.why;

		if (plan(&r->form.plan, &r->place, ST_PLAN_BREAKPOINT))
			r->form.plan.why = r->form.plan.why ?: why;
	}
	if (r->form.plan.kind == ST_KIND_NO || make_stub(r, &r->form)) {
		r->end = 0;
		return;
	}
	r->site.resume = r->form.resume;
	if (r->form.plan.kind == ST_KIND_BREAKPOINT)
		__atomic_store_n(&r->trap, &r->form, __ATOMIC_RELEASE);
}

static int by_address(const void *a, const void *b)
{
	const struct st_plan *x = *(struct st_plan *const *)a, *y = *(struct st_plan *const *)b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

int st_records_finish(struct st_record *const *records, size_t n, const struct st_object *objects)
{
	struct st_plan **plans = malloc((n + 1) * sizeof(*plans));
	size_t count = 0;

	if (!plans)
		return -ENOMEM;
	/* Of all functions' entries it is known (struct st_function's entered). */
	for (size_t i = 0; i < n; i++)
		if (!records[i]->form.stub && records[i]->end && records[i]->form.plan.inside &&
		    records[i]->form.plan.insns > 1)
			plans[count++] = &records[i]->form.plan;
	if (count) {
		qsort(plans, count, sizeof(*plans), by_address);
		st_objects_sweep(objects, plans, count);
	}
	free(plans);
	for (size_t i = 0; i < n; i++)
		if (!records[i]->form.stub && records[i]->end)
			finish(records[i]);
	return 0;
}

int st_record_need_trap(struct st_record *r, const char **why)
{
	struct st_form *f;

	if (r->trap)
		return 0;
	f = calloc(1, sizeof(*f));
	if (!f) {
		*why = "out of memory";
		return -ENOMEM;
	}
	if (plan(&f->plan, &r->place, ST_PLAN_BREAKPOINT) || make_stub(r, f)) {
		*why = f->plan.why;
		free(f);
		return -ENOTSUP;
	}
	__atomic_store_n(&r->trap, f, __ATOMIC_RELEASE);
	return 0;
}

/* ---- neighbours ---- */

static bool within(const struct st_record *r, unsigned long addr)
{
	return addr > r->addr && addr < r->addr + r->form.plan.len;
}

static bool goes_on_within(const struct st_record *r, const struct st_record *other, const struct st_form *f)
{
	return f && f->used && f->plan.falls && within(r, other->addr + f->plan.len);
}

static bool crowded(const struct st_record *r)
{
	const struct st_plan *p = &r->form.plan;
	struct st_record *o;

	if (p->insns < 2)
		return false;
	for_range(o, p->addr - ST_DISPLACED_MAX, p->addr + p->len) {
		if (o != r && st_record_wanted(o) && within(r, o->addr))
			return true;
		if ((o != r && goes_on_within(r, o, &o->form)) || goes_on_within(r, o, o->trap))
			return true;
	}
	return false;
}

struct st_record *st_record_covering(const struct st_record *r)
{
	struct st_record *o;

	for_range(o, r->addr - ST_DISPLACED_MAX, r->addr)
		if (o->on && !o->trapped && within(o, r->addr))
			return o;
	return NULL;
}

int st_record_choose(struct st_record *r, const char **why)
{
	bool trapped = r->trap == &r->form || crowded(r);

	if (trapped && st_record_need_trap(r, why))
		return -ENOTSUP;
	r->trapped = trapped;
	__atomic_store_n(&st_record_form(r)->used, true, __ATOMIC_RELEASE);
	/* Whoever is still in the other stub may go on by either. */
	__atomic_store_n(&r->site.resume, st_record_form(r)->resume, __ATOMIC_RELEASE);
	return 0;
}

/* ---- returns ---- */

struct st_record_return *st_record_return_new(struct st_record *r, void *(*begin)(struct st_return *, struct st_regs *,
					      unsigned long, unsigned long), void (*end)(struct st_return *, void *))
{
	struct st_record_return *new = calloc(1, sizeof(*new));

	if (!new)
		return NULL;
	new->ret = (struct st_return){
		.hook = { .size = sizeof(struct st_hook), .func = st_return_enter, .data = new, .flags = ST_HOOK_GENERAL_REGS },
		.site = &r->site, .path = r->path, .after = r->after, .hooks = &st_no_hooks, .begin = begin, .end = end,
	};
	new->alone.hook = &new->ret.hook;
	return new;
}

/* ---- changes of the code ---- */

void st_record_switched(struct st_record *r, bool on)
{
	traps += r->trapped && on;
	traps -= r->trapped && !on;
	r->on = on;
}

void st_record_switched_to_trap(struct st_record *r)
{
	r->trapped = true;
	traps++;
	__atomic_store_n(&r->site.resume, r->trap->resume, __ATOMIC_RELEASE);
}

struct st_change st_record_edit(struct st_record *r, bool on)
{
	const struct st_form *f = st_record_form(r);
	struct st_change e = {
		.addr = r->addr, .len = f->plan.jump, .resume = f->resume,
		.live = f->plan.live, .insns = on ? f->plan.insns : 1,
	};

#if defined(__x86_64__)
	/* A jump is one instruction, and a breakpoint on it is resolved by the moved ones: always fit to be swapped back. */
	e.live |= !on;
#endif
	for (int i = 0; i < f->plan.insns; i++) {
		e.offs[i] = f->plan.offs[i];
		e.to[i] = (f->stub & ~1ul) + f->map[i];
	}
	memcpy(on ? e.old : e.new, f->plan.orig, e.len);
	memcpy(on ? e.new : e.old, f->jump, e.len);
	return e;
}

/*
 * Whoever meets the breakpoint while the bytes behind it are not yet the original ones goes through the jump's stub, which
 * does not come back to them.
 */
struct st_change st_record_edit_to_trap(struct st_record *r)
{
	struct st_change e = {
		.addr = r->addr, .len = r->form.plan.jump, .resume = r->form.stub, .insns = 1,
#if defined(__x86_64__)
		.live = true,
#endif
	};

	memcpy(e.old, r->form.jump, e.len);
	memcpy(e.new, r->form.plan.orig, e.len);
	memcpy(e.new, r->trap->jump, r->trap->plan.jump);
	__atomic_store_n(&r->trap->used, true, __ATOMIC_RELEASE);
	return e;
}
