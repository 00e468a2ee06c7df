// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What of a function is instructions: followed from its entry, since literals and tables stand
 * among them and nothing says where.
 *
 * The rule: an offset counts as an instruction only if control surely comes there. Where that is
 * not sure, behind a call that may not return, in a table whose length is not known, it does not
 * count. What might be a branch is looked at the other way round: bytes that nobody is known to
 * reach may be anything (arm_walk_leads()).
 */
#include "arm.h"

/* How far a literal may be from what loads it: 12 bits of offset and what pc is ahead. */
#define LITERAL_REACH 4104
/* Instructions between the comparison of an index and the jump through the table */
#define TABLE_STEPS 12

static const char overlap[] = "its instructions can't be told from data";

static bool get(const uint32_t *map, uint32_t off)
{
	return map[off / 64] >> (off / 2 % 32) & 1;
}

static void set(uint32_t *map, uint32_t off)
{
	map[off / 64] |= 1u << (off / 2 % 32);
}

static void clear(uint32_t *map, uint32_t off)
{
	map[off / 64] &= ~(1u << (off / 2 % 32));
}

/* The first bit set from @off on, or @size. */
static uint32_t next_bit(const uint32_t *map, uint32_t off, uint32_t size)
{
	while (off < size) {
		uint32_t word = map[off / 64] >> (off / 2 % 32);

		if (!word)
			off = (off / 64 + 1) * 64;
		else if (word & 1)
			return off;
		else
			off += 2;
	}
	return size;
}

static bool decode(const struct arm_walk *w, uint32_t off, bool in_it, struct arm_insn *i)
{
	struct arm_code c;

	if (off >= w->size || !arm_fetch(i, w->code + off, w->size - off, w->func + off, w->thumb))
		return false;
	arm_begin(&c, NULL, i->addr & ~3u, w->thumb);
	i->in_it = in_it;
	arm_move(&c, i);
	return true;
}

static unsigned int size_at(const struct arm_walk *w, uint32_t off)
{
	return w->thumb && arm_read16(w->code + off) < 0xe800 ? 2 : 4;
}

/* Is @off within an instruction that is reached, or its start? */
static bool taken(const struct arm_walk *w, uint32_t off)
{
	return get(w->start, off) ||
	       (off >= 2 && get(w->start, off - 2) && size_at(w, off - 2) == 4);
}

/* The instruction before @off, in memory; false if none that is reached ends there. */
static bool before(const struct arm_walk *w, uint32_t off, uint32_t *at)
{
	unsigned int n;

	for (n = 2; n <= 4 && n <= off; n += 2) {
		*at = off - n;
		if (get(w->start, *at) && size_at(w, *at) == n)
			return true;
	}
	return false;
}

/* Where in the function a branch leads to; false: elsewhere, or in the other state. */
static bool inside(const struct arm_walk *w, uint32_t to, uint32_t *off)
{
	*off = (to & ~1u) - w->func;
	return (to & 1) == w->thumb && *off < w->size && (w->thumb || !(*off & 3));
}

static void lead(struct arm_walk *w, uint32_t off)
{
	set(w->target, off);
	if (!get(w->start, off))
		set(w->todo, off);
}

/* ---- tables ---- */

/* Does the instruction leave @reg as it is, and, if @flags, the flags? A few kinds that compilers
 * put there are known. */
static bool keeps(const struct arm_insn *i, bool thumb, unsigned int reg, bool flags)
{
	uint32_t b = i->bits;
	unsigned int d;

	if (i->flow != ARM_NEXT || i->it)
		return false;
	if (!thumb) {
		d = b >> 12 & 15;
		if ((b & 0x0ff00000) == 0x03000000 ||
		    (b & 0x0ff00000) == 0x03400000) /* MOVW, MOVT */
			return d != reg;
		if (!(b & 0x0c000000) && !((b & 0x02000090) == 0x90) &&
		    (b & 0x01800000) != 0x01000000)
			return d != reg && !(flags && b & 1u << 20);
		return (b & 0x0f200000) == 0x05000000 &&
		       (!(b & 1u << 20) || d != reg); /* LDR, STR, no write-back */
	}
	if (i->size == 2) {
		if (b < 0x2000 || (b & 0xff00) == 0xb200 || (b & 0xff00) == 0x4600 ||
		    (b & 0xfc00) == 0x4000)
			d = (b & 7) | ((b & 0xff00) == 0x4600 ? b >> 4 & 8 : 0);
		else if (b < 0x4000 || (b & 0xf800) == 0x4800 || (b & 0xf000) == 0x9000 ||
			 (b & 0xf000) == 0xa000)
			d = b >> 8 & 7;
		else if (b >= 0x5000 && b < 0x9000)
			d = b & 7;
		else
			return b == T16_NOP;
		if (b < 0x4400)
			return d != reg && !flags;
		if ((b & 0xf000) == 0x5000 ? (b >> 9 & 7) < 3
					   : b >= 0x6000 && b < 0xa000 && !(b & 0x800))
			return true; /* a store */
		return d != reg;
	}
	if ((b & 0xf8108000) == 0xf0000000 ||
	    (b & 0xfe100000) == 0xea000000) /* data processing, flags kept */
		return (b >> 8 & 15) != reg;
	if ((b & 0xff900000) ==
	    0xf8800000) /* STR, STRH, STRB with 12 bits of offset, and their loads */
		return true;
	return (b & 0xfe900000) == 0xf8900000 && (b >> 12 & 15) != reg;
}

/* "cmp @reg, #n" */
static bool compares(const struct arm_insn *i, bool thumb, unsigned int reg, uint32_t *n)
{
	*n = i->bits & 0xff;
	if (!thumb)
		return (i->bits & 0xffffff00) == (0xe3500000 | reg << 16);
	if (i->size == 2)
		return (i->bits & 0xff00) == (0x2800 | reg << 8) && reg < 8;
	return (i->bits & 0xffffff00) == (0xf1b00f00 | reg << 16);
}

static bool is_bhi(const struct arm_insn *i, bool thumb)
{
	if (!thumb)
		return (i->bits & 0xff000000) == 0x8a000000;
	return i->size == 2 ? (i->bits & 0xff00) == 0xd800 : (i->bits & 0xfbc0d000) == 0xf2008000;
}

/*
 * A table whose length is known for sure: nothing but falling through leads from a comparison of
 * the index with a number to the jump, which is not taken for a higher index.
 *
 * Return: how many places the table has, 0 if that is not known.
 */
static uint32_t table_length(const struct arm_walk *w, uint32_t off, const struct arm_insn *jump)
{
	unsigned int step, reg = jump->bits & 15;
	bool branch = w->thumb || jump->bits >> 28 == ARM_AL;
	uint32_t at = off, n;

	if (jump->in_it)
		return 0;
	if (!w->thumb) {
		/* add pc, pc, rN, lsl #2 and ldr pc, [pc, rN, lsl #2] */
		if ((jump->bits & 0x0ffffff0) != 0x008ff100 &&
		    (jump->bits & 0x0ffffff0) != 0x079ff100)
			return 0;
		if (!branch && jump->bits >> 28 != 9) /* LS */
			return 0;
	}
	for (step = 0; step < TABLE_STEPS; step++) {
		struct arm_insn i;

		if (get(w->target, at) || get(w->in_it, at) || !before(w, at, &at) ||
		    !decode(w, at, false, &i))
			return 0;
		if (!branch && compares(&i, w->thumb, reg, &n))
			return n + 1;
		if (branch && is_bhi(&i, w->thumb))
			branch = false;
		else if (!keeps(&i, w->thumb, reg, !branch))
			return 0;
	}
	return 0;
}

/* The offset of entry @n of a table, and its size. */
static uint32_t table_at(const struct arm_walk *w, uint32_t off, const struct arm_insn *jump,
			 uint32_t n, unsigned int *unit)
{
	*unit = !w->thumb ? 4 : jump->bits & 16 ? 2 : 1;
	return off + (w->thumb ? 4 : 8) + n * *unit;
}

/* A table of branches, which are code themselves: "add pc, pc, rN, lsl #2" */
static bool of_branches(const struct arm_walk *w, const struct arm_insn *jump)
{
	return !w->thumb && !(jump->bits & 1u << 26);
}

/* Where the jump at @off leads with index @n. */
static bool table_entry(const struct arm_walk *w, uint32_t off, const struct arm_insn *jump,
			uint32_t n, uint32_t *to)
{
	unsigned int unit;
	uint32_t at = table_at(w, off, jump, n, &unit);

	if (at + unit > w->size)
		return false;
	*to = at;
	if (!w->thumb)
		return of_branches(w, jump) || inside(w, arm_read32(w->code + at), to);
	*to = off + 4 + 2 * (unit == 2 ? arm_read16(w->code + at) : w->code[at]);
	return *to < w->size;
}

static bool table(struct arm_walk *w, uint32_t off, const struct arm_insn *jump)
{
	uint32_t n, to, length = table_length(w, off, jump);

	if (!length)
		return false;
	for (n = 0; n < length; n++)
		if (!table_entry(w, off, jump, n, &to))
			return false;
	for (n = 0; n < length; n++) {
		table_entry(w, off, jump, n, &to);
		lead(w, to);
	}
	return true;
}

/* ---- following ---- */

/* Is what stands before "bx rM" a "pop {..., lr}"? Then it leaves the function. */
static bool pops_lr(const struct arm_walk *w, uint32_t off)
{
	uint32_t at;

	/* pop.w {..., lr}; ldr lr, [sp], #n */
	if (!w->thumb || !before(w, off, &at) || size_at(w, at) != 4)
		return false;
	return (arm_read16(w->code + at) == 0xe8bd && arm_read16(w->code + at + 2) & 0x4000) ||
	       (arm_read16(w->code + at) == 0xf85d &&
		(arm_read16(w->code + at + 2) & 0xff00) == 0xeb00);
}

/*
 * A call returns behind itself, unless it does not return, and then a literal may stand there: that
 * is asked later, when all else is known. Two calls of Thumb-1 compilers are none: a far jump
 * within the function, and the one behind the check of an index ("bhi"), which takes a table behind
 * it for its argument (libgcc's __gnu_thumb1_case_uqi).
 */
static bool returns(const struct arm_walk *w, uint32_t off, const struct arm_insn *i)
{
	uint32_t to, at;
	struct arm_insn b;

	if (i->flow == ARM_CALL && inside(w, i->to, &to) && to)
		return false;
	return !(w->thumb && before(w, off, &at) && decode(w, at, false, &b) && is_bhi(&b, true));
}

static void follow(struct arm_walk *w, uint32_t off)
{
	unsigned int it = 0;

	while (off < w->size) {
		bool sure, in_it = it;
		struct arm_insn i;
		uint32_t to;

		if (get(w->start, off)) {
			if (get(w->in_it, off) != in_it)
				w->lost = overlap;
			return;
		}
		if (!decode(w, off, in_it, &i)) {
			w->lost = "it ends within an instruction";
			return;
		}
		if (i.flow == ARM_UNKNOWN) {
			w->lost = "it holds an instruction that is not known";
			return;
		}
		if (taken(w, off) ||
		    (i.size == 4 && w->thumb && off + 2 < w->size && get(w->start, off + 2))) {
			w->lost = overlap;
			return;
		}
		set(w->start, off);
		if (in_it)
			set(w->in_it, off);
		w->exclusive |= i.opens;
		sure = i.falls;
		if (i.flow == ARM_BRANCH && inside(w, i.to, &to)) {
			lead(w, to);
		} else if (i.flow == ARM_TABLE) {
			w->computed |= !table(w, off, &i);
		} else if (i.flow == ARM_JUMP) {
			w->computed |= !pops_lr(w, off);
		} else if (i.call) {
			if (i.flow == ARM_CALL && inside(w, i.to, &to))
				lead(w, to);
			/* a call under a condition is not always made */
			sure = w->thumb ? in_it : i.bits >> 28 < ARM_AL;
			if (!sure && off + i.size < w->size && returns(w, off, &i))
				set(w->after, off + i.size);
		}
		if (!sure)
			return;
		off += i.size;
		it = i.it ? i.it : it ? it - 1 : 0;
	}
}

/* NOPs and zeros, with which assemblers align literals */
static uint32_t padding_at(const struct arm_walk *w, uint32_t off)
{
	uint32_t v;

	if (w->thumb && off + 2 <= w->size) {
		v = arm_read16(w->code + off);
		if (!v || v == T16_NOP || v == 0x46c0)
			return 2;
	}
	if (off + 4 > w->size)
		return 0;
	v = arm_read32(w->code + off);
	if (w->thumb)
		return v == 0x8000f3af ? 4 : 0;
	return !v || v == 0xe320f000 || v == 0xe1a00000 ? 4 : 0;
}

/* A quick look: may this be a T32 instruction that names a place by its distance? */
static bool may_refer(uint32_t first)
{
	if (first < 0xe800)
		return (first & 0xf800) == 0x4800 || (first & 0xf800) == 0xa000;
	return (first & 0x000f) == 15 &&
	       ((first & 0xfe00) == 0xf800 || (first & 0xfe00) == 0xe800 ||
		(first & 0xff00) == 0xed00 || (first & 0xfb50) == 0xf200);
}

/* Does anything that is, or might be, an instruction name the word at @off as a literal's place? */
static bool literal_at(const struct arm_walk *w, uint32_t off)
{
	uint32_t at = off > LITERAL_REACH ? off - LITERAL_REACH : 0, end = off + LITERAL_REACH;
	unsigned int step = w->thumb ? 2 : 4;

	at &= ~3u;
	for (; at < end && at < w->size; at += step) {
		struct arm_insn i;

		if (at + 2 > w->size || (w->thumb && !may_refer(arm_read16(w->code + at))))
			continue;
		if (!get(w->start, at) && taken(w, at))
			continue;
		if (!decode(w, at, false, &i) || !i.refers)
			continue;
		if (w->func + off - i.literal < (i.reads > 4 ? i.reads : 4u))
			return true;
	}
	return false;
}

static bool literal_behind(const struct arm_walk *w, uint32_t off)
{
	uint32_t at, n;

	for (at = off; at - off <= 8 && at + 4 <= w->size; at += n) {
		if (!((w->func + at) & 3) && literal_at(w, at))
			return true;
		n = padding_at(w, at);
		if (!n)
			break;
	}
	return false;
}

static bool code_in(const struct arm_walk *w, uint32_t off, uint32_t len)
{
	uint32_t at;

	for (at = off & ~1u; at < off + len && at < w->size; at += 2)
		if (taken(w, at))
			return true;
	return false;
}

/* What is an instruction is not read as data as well, and nothing but falling through leads into
 * what checks an index. */
static void check(struct arm_walk *w)
{
	uint32_t off;

	for (off = 0; (off = next_bit(w->start, off, w->size)) < w->size; off += 2) {
		struct arm_insn i;

		decode(w, off, get(w->in_it, off), &i);
		if (i.flow == ARM_TABLE) {
			uint32_t n = table_length(w, off, &i), at;
			unsigned int unit;

			at = table_at(w, off, &i, 0, &unit);
			w->computed |= !n;
			if (!of_branches(w, &i) && code_in(w, at, n * unit))
				w->lost = overlap;
		}
		if (i.refers && i.literal - w->func < w->size &&
		    code_in(w, i.literal - w->func, i.reads))
			w->lost = overlap;
	}
}

/* The instructions that may run next; through tables nobody goes from a load-exclusive to its
 * store. */
static unsigned int successors(const struct arm_walk *w, uint32_t off, const struct arm_insn *i,
			       uint32_t to[2])
{
	unsigned int n = 0;

	if (i->falls && off + i->size < w->size && get(w->start, off + i->size))
		to[n++] = off + i->size;
	if ((i->flow == ARM_BRANCH || i->flow == ARM_CALL) && inside(w, i->to, &to[n]) &&
	    get(w->start, to[n]))
		n++;
	return n;
}

/*
 * todo: an exclusive access may be open before the instruction; after: a store-exclusive may come
 * before another load-exclusive. A store under a condition does not close the access, since another
 * may follow.
 */
static void exclusives(struct arm_walk *w)
{
	bool changed = true;
	uint32_t off, to[2];
	unsigned int k, n;

	for (k = 0; k < ARM_WALK_WORDS; k++)
		w->todo[k] = w->after[k] = 0;
	while (changed) {
		changed = false;
		for (off = 0; (off = next_bit(w->start, off, w->size)) < w->size; off += 2) {
			bool open = get(w->todo, off), ends, store, in_it = get(w->in_it, off);
			struct arm_insn i;

			decode(w, off, in_it, &i);
			n = successors(w, off, &i, to);
			store = i.stores_exclusive;
			ends = i.closes || (i.stores_exclusive && !in_it &&
					    (w->thumb || i.bits >> 28 == ARM_AL));
			for (k = 0; k < n; k++) {
				if ((i.opens || (open && !ends)) && !get(w->todo, to[k])) {
					set(w->todo, to[k]);
					changed = true;
				}
				store |= get(w->after, to[k]) && !i.opens && !i.closes;
			}
			if (store && !get(w->after, off)) {
				set(w->after, off);
				changed = true;
			}
		}
	}
}

void arm_walk(struct arm_walk *w, const uint8_t *code, uint32_t func, size_t size, bool thumb)
{
	unsigned int k;
	uint32_t off;

	w->code = code;
	w->func = func;
	w->size = (uint32_t)size;
	w->thumb = thumb;
	w->lost = NULL;
	w->computed = false;
	w->exclusive = false;
	if (size > ARM_WALK_MAX) {
		w->lost = "the function is too long to be followed";
		w->size = 0;
		return;
	}
	for (k = 0; k < ARM_WALK_WORDS; k++)
		w->start[k] = w->target[k] = w->in_it[k] = w->todo[k] = w->after[k] = 0;
	off = 0;
	if (size)
		set(w->todo, 0);
	while (!w->lost) {
		off = next_bit(w->todo, 0, w->size);
		if (off < w->size) {
			clear(w->todo, off);
			follow(w, off);
			continue;
		}
		/* the lowest first: what loads a literal stands before it, nearly always */
		off = next_bit(w->after, 0, w->size);
		if (off >= w->size)
			break;
		clear(w->after, off);
		if (!get(w->start, off) && !literal_behind(w, off))
			follow(w, off);
	}
	if (!w->lost)
		check(w);
	if (!w->lost && w->exclusive)
		exclusives(w);
}

bool arm_walk_insn(const struct arm_walk *w, uint32_t off)
{
	return !w->lost && !(off & (w->thumb ? 1 : 3)) && off < w->size && get(w->start, off);
}

unsigned int arm_walk_decode(const struct arm_walk *w, uint32_t off, struct arm_insn *insn,
			     unsigned int *left)
{
	struct arm_insn it;
	uint32_t at = off;
	unsigned int n;

	*left = 0;
	decode(w, off, get(w->in_it, off), insn);
	if (!insn->in_it)
		return ARM_AL;
	for (n = 0; before(w, at, &at) && get(w->in_it, at); n++)
		;
	decode(w, at, false, &it);
	*left = it.it - n;
	return arm_it_cond(it.bits, n);
}

const char *arm_walk_leads(const struct arm_walk *w, uint32_t off)
{
	unsigned int step = w->thumb ? 2 : 4;
	uint32_t at;

	if (get(w->target, off))
		return "a branch leads to its second instruction";
	for (at = 0; at < w->size; at += step) {
		struct arm_insn i;

		if (taken(w, at) || !decode(w, at, false, &i))
			continue;
		if ((i.flow == ARM_BRANCH || i.flow == ARM_CALL) &&
		    i.to == ((w->func + off) | w->thumb))
			return "a branch leads to its second instruction";
		if (i.flow == ARM_JUMP || i.flow == ARM_TABLE)
			return "a computed jump might lead to its second instruction";
	}
	return w->computed ? "a computed jump might lead to its second instruction" : NULL;
}

bool arm_walk_exclusive(const struct arm_walk *w, uint32_t off)
{
	return w->exclusive && get(w->todo, off) && get(w->after, off);
}
