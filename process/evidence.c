/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See evidence.h. The rules by which a word leads to a piece of code [lo, hi):
 *
 *	A return address is that of the instruction behind a call, so it is > lo; it is == hi if the call is the last instruction (of a
 *	function that does not return). A word that is lo points to the function, and nobody returns by it.
 *
 *	The pc of a thread, and one that a signal frame holds, is that of the next instruction: it may be lo. A thread that stands at the
 *	entry of one of the program's own functions executes the site there, which leads to the hook, and that decides for it as for any
 *	other call: clean. This needs a site that is live; the entry of a patch's function, or of a function's cold part, is inside.
 *
 *	Where instructions that were displaced include a call, its return address is that of the place where they come from (engine/arch),
 *	so no return address leads to an island; but for that of a probed return, whose true one is in a list.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <process/evidence_internal.h>
#include <process/unwind.h>

/* ---- what is looked for ---- */

bool st_ends_with_call(const uint8_t *end)
{
#if defined(__x86_64__)
	/* e8 rel32; ff /2 with a register, a displacement of 0, 1 or 4 bytes, and a SIB byte. */
	if (end[-5] == 0xe8)
		return true;
	for (int len = 2; len <= 7; len++)
		if (end[-len] == 0xff && (end[1 - len] & 0x38) == 0x10)
			return true;
	return false;
#else
	uint32_t w;
	uint16_t h;

	memcpy(&w, end - 4, sizeof(w));
	memcpy(&h, end - 2, sizeof(h));
#if defined(__aarch64__)
	(void)h;
	return (w & 0xfc000000) == 0x94000000 || (w & 0xfefff800) == 0xd63f0000;	/* BL; BLR, BLRA* */
#else
	return (w & 0x0f000000) == 0x0b000000 || (w & 0xfe000000) == 0xfa000000 ||	/* BL, BLX imm */
	       (w & 0x0ffffff0) == 0x012fff30 ||					/* BLX reg */
	       (w & 0xc000f800) == 0xc000f000 || (h & 0xff87) == 0x4780;		/* Thumb: BL, BLX imm; BLX reg */
#endif
#endif
}

static bool has_site(const struct st_ctl *ctl, uint32_t used, unsigned long addr)
{
	for (uint32_t i = 0; i < used; i++)
		if (ctl->site[i].addr == addr && (ctl->site[i].state == ST_SITE_HOOKED || ctl->site[i].state == ST_SITE_PATCHED))
			return true;
	return false;
}

static int take_old(struct st_evidence *e, const struct st_old *old, size_t n)
{
	e->old = calloc(n + 1, sizeof(*e->old));
	if (!e->old)
		return -ENOMEM;
	e->lo = ~0ul;
	for (; e->n < n; e->n++) {
		struct st_old_code *o = &e->old[e->n];
		uint8_t tail[8];

		*o = (struct st_old_code){ .lo = old[e->n].lo & ~1ul, .hi = old[e->n].hi, .name = strdup(old[e->n].name ?: "") };
		if (!o->name)
			return -ENOMEM;
		if (o->hi < o->lo)
			return -EINVAL;
		o->site = has_site(e->s->ctl, st_sites_used(e->s), o->lo);
		if (st_mem_read(e->s->proc, o->hi - sizeof(tail), tail, sizeof(tail)))
			return -EFAULT;
		if (st_sites_undo(e->s->ctl, o->hi - sizeof(tail), tail, sizeof(tail)))
			return -ENOMEM;
		o->calls = st_ends_with_call(tail + sizeof(tail));
		e->lo = o->lo < e->lo ? o->lo : e->lo;
		e->hi = o->hi > e->hi ? o->hi : e->hi;
	}
	return 0;
}

/* What the agent has mapped to run in. */
static int take_ours(struct st_evidence *e)
{
	e->ours = calloc(ST_REGIONS_MAX, sizeof(*e->ours));
	if (!e->ours)
		return -ENOMEM;
	e->ours_lo = ~0ul;
	for (int i = 0; i < ST_REGIONS_MAX; i++) {
		const struct st_ctl_region *r = &e->s->ctl->region[i];
		unsigned long lo = (unsigned long)r->start, hi = lo + (unsigned long)r->size;

		if ((r->kind != ST_REGION_AGENT && r->kind != ST_REGION_ISLAND) || hi <= lo)
			continue;
		e->ours[e->nours++] = (struct st_range){ lo, hi };
		e->ours_lo = lo < e->ours_lo ? lo : e->ours_lo;
		e->ours_hi = hi > e->ours_hi ? hi : e->ours_hi;
	}
	return 0;
}

bool st_evidence_ours(const struct st_evidence *e, unsigned long addr)
{
	if (addr < e->ours_lo || addr >= e->ours_hi)
		return false;
	for (size_t i = 0; i < e->nours; i++)
		if (addr >= e->ours[i].lo && addr < e->ours[i].hi)
			return true;
	return false;
}

int st_old_at(const struct st_evidence *e, unsigned long addr, bool strict)
{
	/* Thumb: bit 0 of a code address says the state. */
#if defined(__arm__)
	addr &= ~1ul;
#endif
	if (addr < e->lo || addr > e->hi)
		return -1;
	for (size_t i = 0; i < e->n; i++) {
		const struct st_old_code *o = &e->old[i];

		if ((addr > o->lo && addr < o->hi) || (strict && addr == o->lo && !o->site && o->hi > o->lo) ||
		    (!strict && addr == o->hi && o->calls))
			return (int)i;
	}
	return -1;
}

int st_evidence_open(struct st_session *s, const struct st_old *old, size_t n, struct st_evidence **out, char err[ST_ERR_MAX])
{
	struct st_evidence *e = calloc(1, sizeof(*e));
	struct st_maps *maps;
	int ret;

	*out = NULL;
	if (!e)
		return -ENOMEM;
	e->s = s;
	ret = take_old(e, old, n);
	if (!ret)
		ret = take_ours(e);
	if (ret)
		snprintf(err, ST_ERR_MAX, "the code that threads have to be out of can't be looked at: %s", strerror(-ret));
	else
		ret = st_maps_read(s->proc, &maps, err);
	if (ret) {
		st_evidence_close(e);
		return ret;
	}
	for (size_t i = 0; i < maps->n; i++)
		if (!strcmp(maps->map[i].path, "[stack]"))
			e->stack_end = maps->map[i].end;
	st_maps_free(maps);
	*out = e;
	return 0;
}

void st_evidence_close(struct st_evidence *e)
{
	if (!e)
		return;
	for (size_t i = 0; i < e->n; i++)
		free(e->old[i].name);
	free(e->old);
	free(e->ours);
	st_copies_free(e);
	st_unwind_free(e->unwind);
	free(e->due);
	st_coroutines_free(e->coroutines);
	free(e);
}

/* ---- the quick look ---- */

static bool look_at_registers(struct st_evidence *e, const struct st_live *live, struct st_found *f)
{
	unsigned long word[sizeof(struct st_regs) / sizeof(long)], pc = st_regs_pc(&live->view);

	*f = (struct st_found){ .how = ST_BUSY_PC, .old = st_old_at(e, pc, true), .addr = pc };
	if (f->old >= 0)
		return true;
	f->how = ST_BUSY_STUB;
	if (st_evidence_ours(e, pc))
		return true;
	/* Raw: also where it would go on if its system call were not made again. */
	f->how = ST_BUSY_WORD;
	memcpy(word, &live->raw, sizeof(word));
	for (size_t i = 0; i < sizeof(word) / sizeof(word[0]); i++) {
		f->addr = word[i] & ~live->pac;
		f->old = st_old_at(e, f->addr, false);
		if (f->old >= 0)
			return true;
	}
	return false;
}

/* A stub that a signal has interrupted says more than a word that leads to old code: no unwinding makes it clean. */
bool st_evidence_piece(const struct st_evidence *e, const struct st_live *live, const struct st_piece *p, struct st_found *f)
{
	size_t n = (p->hi - p->lo) / sizeof(long);
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		unsigned long addr = p->word[i] & ~live->pac;
		int old;

		if (addr >= e->ours_lo && addr < e->ours_hi && st_evidence_ours(e, addr) && st_live_interrupted(p, i)) {
			*f = (struct st_found){ ST_BUSY_STUB, -1, addr, p->lo + i * sizeof(long) };
			return true;
		}
		if (any || addr < e->lo || addr > e->hi + 1)
			continue;
		old = st_old_at(e, addr, false);
		if (old < 0 && (old = st_old_at(e, addr, true)) >= 0 && !st_live_interrupted(p, i))
			continue;
		if (old >= 0) {
			*f = (struct st_found){ ST_BUSY_WORD, old, addr, p->lo + i * sizeof(long) };
			any = true;
		}
	}
	return any;
}

/* Is it one of a frame that is there? On ARM and AArch64 `after` may be anywhere in the frame, or in a register. */
static bool due_here(const struct st_live *live, const struct st_due *d)
{
	for (size_t i = 0; i < live->n; i++) {
		if (d->key < live->piece[i].lo || d->key > live->piece[i].hi)
			continue;
#if defined(__x86_64__)
		unsigned long word;

		return st_live_word(live, d->key, &word) && word == d->after;
#else
		return true;
#endif
	}
	return false;
}

/*
 * On x86-64 the word is `after` of the newest that is pending for the key: of one that was called in the tail of another the true address
 * is that other's.
 */
static bool look_at_pending(struct st_evidence *e, const struct st_live *live, struct st_found *f)
{
	for (size_t i = 0; i < e->ndue; i++) {
		const struct st_due *d = &e->due[i], *own = st_due_find(e->due, e->ndue, d->key, d->after);
		unsigned long addr;
		int old;

		if (!due_here(live, d))
			continue;
		addr = own ? own->addr & ~live->pac : 0;
		old = own ? st_old_at(e, addr, false) : -1;
		if (old >= 0 || !own) {
			*f = (struct st_found){ own ? ST_BUSY_PENDING : ST_BUSY_UNKNOWN, old, addr, d->key };
			return true;
		}
	}
	return false;
}

/*
 * A thread that is not on its own stack, and has been unwound to @bottom: what is parked on its own, and what else was taken for a part of
 * the one that it is on, is not judged by that.
 */
static bool look_elsewhere(struct st_evidence *e, const struct st_live *live, unsigned long bottom, struct st_found *f)
{
	for (size_t i = 0; i < live->n; i++) {
		struct st_piece p = live->piece[i];

		if (st_regs_sp(&live->raw) >= p.lo && st_regs_sp(&live->raw) <= p.hi && bottom > p.lo) {
			unsigned long by = (bottom < p.hi ? bottom - p.lo : p.hi - p.lo) / sizeof(long);

			p.lo += by * sizeof(long);
			p.word += by;
		}
		if (st_evidence_piece(e, live, &p, f))
			return true;
	}
	return live->cut || look_at_pending(e, live, f);
}

/* ---- saying it ---- */

static void __attribute__((format(printf, 2, 3))) say(struct st_busy *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
}

static void begin_why(struct st_evidence *e, pid_t tid, struct st_busy *why)
{
	char path[ST_PROC_PATH], *comm;

	*why = (struct st_busy){ .tid = tid, .how = ST_BUSY_UNKNOWN };
	snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", (int)st_proc_pid(e->s->proc), (int)tid);
	comm = st_slurp(path, NULL);
	snprintf(why->comm, sizeof(why->comm), "%.*s", comm ? (int)strcspn(comm, "\n") : 1, comm ?: "?");
	free(comm);
}

static void say_found(struct st_evidence *e, const struct st_found *f, const char *more, struct st_busy *why)
{
	const char *name = f->old >= 0 ? e->old[f->old].name : "";
	unsigned long off = f->old >= 0 ? f->addr - e->old[f->old].lo : 0;
	int tid = (int)why->tid;
	char place[48];

	why->how = f->how;
	why->addr = f->addr;
	snprintf(why->function, sizeof(why->function), "%s", name);
	if (f->where)
		snprintf(place, sizeof(place), "the word at %#lx of its stack", f->where);
	else
		snprintf(place, sizeof(place), "one of its registers");
	switch (f->how) {
	case ST_BUSY_PC:
		say(why, "thread %d (%s) runs in the old %s (+%#lx): it has to leave it", tid, why->comm, name, off);
		break;
	case ST_BUSY_FRAME:
		why->frame = (unsigned int)f->where;
		say(why, "thread %d (%s) will return to the old %s (+%#lx), frame %u of its stack: it has to return from it", tid, why->comm, name,
		    off, why->frame);
		break;
	case ST_BUSY_STUB:
		say(why, "thread %d (%s) is in a hook of sidetrack's (%#lx): it leaves that by itself", tid, why->comm, f->addr);
		break;
	case ST_BUSY_PENDING:
		say(why, "thread %d (%s) will return to the old %s (+%#lx) from a function whose return is probed: it has to return from %s, too",
		    tid, why->comm, name, off, name);
		break;
	default:
		say(why, "thread %d (%s) may return to the old %s (+%#lx), where %s leads%s%s", tid, why->comm, name, off, place,
		    *more ? "; its stack can't be unwound: " : "", more);
	}
}

static void say_unknown(int code, struct st_busy *why)
{
	static const char what[] = "it counts as busy";
	int tid = (int)why->tid;

	switch (code) {
	case -ESRCH:
		say(why, "thread %d (%s) has ended, or is about to", tid, why->comm);
		break;
	case -E2BIG:
		say(why, "thread %d (%s) has more stack than the %lu MiB that are looked at: %s", tid, why->comm, ST_LIVE_MAX >> 20, what);
		break;
	default:
		say(why, "the stack of thread %d (%s) can't be read (%s): %s", tid, why->comm, strerror(-code), what);
	}
}

void st_evidence_say_parked(struct st_evidence *e, int code, const struct st_found *f, struct st_busy *why)
{
	static const char what[] = "so it is not known whether a coroutine would return to old code";

	*why = (struct st_busy){ .how = code < 0 ? ST_BUSY_UNKNOWN : ST_BUSY_PARKED, .addr = f->addr };
	if (code == -EINVAL)
		say(why, "not all threads are stopped, %s", what);
	else if (code == -E2BIG)
		say(why, "the process has more memory than can be looked at, %s", what);
	else if (code < 0)
		say(why, "the memory of the process can't be read (%s), %s", strerror(-code), what);
	else if (f->how == ST_BUSY_STUB)
		say(why, "a coroutine is in a hook of sidetrack's (%#lx, at %#lx): it has to run on", f->addr, f->where);
	else
		say(why, "a coroutine that does not run now may return to the old %s (+%#lx), where the word at %#lx leads: it has to run on and leave it",
		    e->old[f->old].name, f->addr - e->old[f->old].lo, f->where);
	if (f->old >= 0)
		snprintf(why->function, sizeof(why->function), "%s", e->old[f->old].name);
}

int st_evidence_check(struct st_evidence *e, struct st_thread *t, struct st_busy *why)
{
	struct st_busy unwanted;
	struct st_live live;
	struct st_found f;
	bool busy;
	int ret;

	why = why ?: &unwanted;
	ret = st_due_read(e);
	if (!ret)
		ret = st_live_read(t, e->stack_end, &live);
	if (ret) {
		begin_why(e, st_thread_tid(t), why);
		say_unknown(ret, why);
		return ret;
	}
	e->switched |= live.foreign;
	busy = look_at_registers(e, &live, &f);
	if (!busy || f.how == ST_BUSY_WORD) {
		struct st_found on_stack;

		for (size_t i = 0; i < live.n && !(busy && f.how == ST_BUSY_STUB); i++) {
			if (st_evidence_piece(e, &live, &live.piece[i], &on_stack) && (!busy || on_stack.how == ST_BUSY_STUB)) {
				f = on_stack;
				busy = true;
			}
		}
	}
	if (!busy)
		busy = look_at_pending(e, &live, &f);
	ret = live.cut ? -E2BIG : busy;
	if (busy ? f.how == ST_BUSY_WORD || f.how == ST_BUSY_PENDING : live.cut) {
		const struct st_copy *copy = st_copy_take(e, &live);

		if (copy && copy->verdict == ST_COPY_CLEAN && (!live.foreign || !look_elsewhere(e, &live, copy->bottom, &f)) &&
		    (!copy->scanned || !look_at_pending(e, &live, &f))) {
			st_live_free(&live);
			return 0;
		}
		begin_why(e, live.tid, why);
		if (copy && copy->verdict == ST_COPY_BUSY)
			f = (struct st_found){ ST_BUSY_FRAME, (int)copy->old, copy->addr, copy->frame };
		if (busy || f.how == ST_BUSY_FRAME)
			say_found(e, &f, copy && copy->verdict == ST_COPY_UNKNOWN ? copy->why : "", why);
		else
			say_unknown(ret, why);
		ret = busy || f.how == ST_BUSY_FRAME ? 1 : ret;
	} else if (busy) {
		begin_why(e, live.tid, why);
		say_found(e, &f, "", why);
		ret = 1;
	}
	st_live_free(&live);
	return ret;
}
