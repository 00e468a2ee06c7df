// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Looks at a place in an A32 or T32 function and says how it can be hooked: by a jump, by a
 * breakpoint, or not, and why not. What it can't be sure of is refused.
 */
#include <errno.h>
#include "arm.h"

#define A32_NOP 0xe320f000u	/* the hint, which is the NOP of the list in DDI0406C A3.5.4 */
#define A32_NOP_MOV 0xe1a00000u /* mov r0, r0: not on that list */
#define T32_JUMP 4		/* bytes of B.W */
#define WINDOW 32 /* how many bytes before an instruction are looked at to tell what it is */

/* What is looked at: @code is the place's, @size and @room count from there. */
struct place {
	const uint8_t *code;
	size_t size, room;
	uint32_t offset;
	unsigned int flags;
	const struct arm_walk *walk; /* NULL: not needed, for an entry */
	unsigned int cc,
		left; /* of an IT block: the condition, and how many of it from here on; 0 */
};

static int refuse(struct st_plan *plan, const char *why)
{
	plan->kind = ST_KIND_NO;
	plan->why = why;
	return -ENOTSUP;
}

/*
 * Is there a jump at @at to an address that was computed or read from a table of addresses? "bx rN"
 * is one behind an addition to rN, or if its Thumb bit was set shortly before (a label's address
 * has none), and otherwise a tail call. TBB and TBH lead forward only; so do returns lead out.
 */
static bool t32_computes(const uint8_t *code, size_t size, uint32_t at)
{
	uint16_t h = arm_read16(code + at);
	unsigned int m = h >> 3 & 15;
	uint32_t p;

	if ((h & 0xff87) == 0x4687) /* mov pc, rM */
		return m != ARM_LR;
	if ((h & 0xff87) == 0x4487) /* add pc, rM */
		return true;
	if ((h & 0xff87) == 0x4700 && m != ARM_LR) {
		for (p = at > WINDOW ? at - WINDOW : 0; p < at; p += 2) {
			uint16_t b = arm_read16(code + p);

			/* add rM, any; adds rM, any, any */
			if (p + 2 == at &&
			    (((b & 0xff00) == 0x4400 && ((b & 7u) | (b >> 4 & 8u)) == m) ||
			     ((b & 0xfe00) == 0x1800 && (b & 7u) == m)))
				return true;
			/* orr.w rM, any, #1 */
			if ((b & 0xfff0) == 0xf040 && p + 4 <= at &&
			    arm_read16(code + p + 2) == (m << 8 | 1))
				return true;
		}
		return false;
	}
	/* ldr pc, [rN, rM, lsl #n] */
	return (h & 0xfff0) == 0xf850 && at + 4 <= size &&
	       (arm_read16(code + at + 2) & 0xffc0) == 0xf000;
}

/*
 * May a branch in the function lead to the second instruction of its entry, at @to? Each halfword
 * is taken for an instruction: what only looks like a branch is found to be none by a walk, later.
 */
static const char *t32_branched_to(const struct st_plan *plan, const uint8_t *code, size_t size,
				   uint32_t to)
{
	uint32_t at;

	for (at = 0; at + 2 <= size; at += 2) {
		if (arm_t32_leads(code + at, size - at, (uint32_t)plan->addr + at) ==
		    ((uint32_t)plan->addr + to))
			return "a branch leads to its second instruction";
		if (t32_computes(code, size, at))
			return "a computed jump might lead to its second instruction";
	}
	return NULL;
}

static void displace(struct st_plan *plan, const struct place *at, unsigned int off,
		     const struct arm_insn *insn)
{
	plan->offs[plan->insns++] = (uint8_t)off;
	plan->falls = insn->falls;
	plan->len = (uint8_t)(off + insn->size);
	for (; off < plan->len; off++)
		plan->orig[off] = at->code[off];
}

static void start_over(struct st_plan *plan)
{
	unsigned int i;

	plan->kind = ST_KIND_NO;
	plan->live = false;
	plan->falls = true;
	plan->len = 0;
	plan->jump = 0;
	plan->insns = 0;
	plan->it = 0;
	plan->why = NULL;
	for (i = 0; i < ST_INSNS_MAX; i++)
		plan->offs[i] = 0;
	for (i = 0; i < ST_DISPLACED_MAX; i++)
		plan->orig[i] = 0;
}

/* One instruction, which has no interior. */
static const char *a32_site(struct st_plan *plan, const struct place *at, bool breakpoint)
{
	struct arm_insn insn;
	struct arm_code c;
	const char *why;
	bool nop;

	start_over(plan);
	if (!arm_fetch(&insn, at->code, at->size < at->room ? at->size : at->room,
		       (uint32_t)plan->addr, false))
		return "the function is shorter than an instruction";
	arm_begin(&c, NULL, insn.addr, false);
	why = arm_move(&c, &insn);
	if (why)
		return why;
	displace(plan, at, 0, &insn);
	plan->jump = 4;
	nop = insn.bits == A32_NOP || insn.bits == A32_NOP_MOV;
	plan->kind = breakpoint ? ST_KIND_BREAKPOINT : nop ? ST_KIND_NOP : ST_KIND_MOVE;
	/*
	 * DDI0406C A3.5.4: a B, BL, NOP or SVC may be changed into another of them while other
	 * cores run it. Of these only the unconditional ones are counted here; UDF, which the
	 * breakpoint is, is none of them.
	 */
	plan->live =
		!breakpoint && (insn.bits == A32_NOP || (insn.bits & 0xfe000000) == 0xea000000 ||
				(insn.bits & 0xff000000) == 0xef000000);
	return NULL;
}

/* An entry that looks as if something led into it: is that so? Apart, because of the stack that a
 * walk takes. */
static __attribute__((noinline)) bool walk_clears(const struct st_plan *plan, const uint8_t *code,
						  size_t size)
{
	struct arm_walk w;

	arm_walk(&w, code, (uint32_t)plan->addr, size, true);
	return !w.lost && arm_walk_insn(&w, plan->offs[1]) && !arm_walk_leads(&w, plan->offs[1]);
}

/*
 * B.W changes four bytes. Displaced is what stands in them, and an IT block to its end, since its
 * instructions stay conditional only as long as they stand behind their IT; what lies behind the
 * four bytes is not changed. Never live: the list in DDI0406C A3.5.4 has no 32-bit branch of T32
 * but BL.
 */
static const char *t32_jump(struct st_plan *plan, const struct place *at)
{
	unsigned int off = 0, it = 0;
	bool nops = true, block = false;
	struct arm_code c;
	const char *why;

	start_over(plan);
	if (at->left)
		return "it is an instruction of an IT block";
	arm_begin(&c, NULL, (uint32_t)plan->addr & ~3u, true);
	plan->jump = T32_JUMP;
	while (off < T32_JUMP || it) {
		struct arm_insn insn;

		/*
		 * Behind a return may be anything, but for padding behind the end, and behind "bx
		 * pc", which goes on at the next word.
		 */
		if (!plan->falls && at->room >= T32_JUMP &&
		    (off == at->size || arm_read16(at->code) == T16_BX_PC)) {
			for (; off < T32_JUMP; off++)
				plan->orig[off] = at->code[off];
			plan->len = T32_JUMP;
			break;
		}
		if (!plan->falls)
			return "what follows its first instruction may be data";
		if (off + 2 > at->size)
			return "the function is shorter than a jump";
		if (!arm_fetch(&insn, at->code + off, at->size - off, (uint32_t)plan->addr + off,
			       true))
			return "the function ends within an instruction";
		if (plan->insns == ST_INSNS_MAX || off + insn.size > ST_DISPLACED_MAX)
			return "an IT block that is too long";
		if (at->walk && !arm_walk_insn(at->walk, at->offset + off))
			return "what follows its first instruction may be data";
		nops = nops && insn.bits == (insn.size == 2 ? T16_NOP : T32_NOP);
		insn.in_it = it;
		why = arm_move(&c, &insn);
		if (why)
			return why;
		if (insn.call && off + insn.size < T32_JUMP)
			return "a call would return into the displaced bytes";
		displace(plan, at, off, &insn);
		block = block || (!off && insn.it);
		off += insn.size;
		it = insn.it ? insn.it : it ? it - 1 : 0;
	}
	/* nothing may lead into an IT block, and what would is unpredictable (A8.8.54) */
	if (plan->insns > 1 && plan->offs[1] < T32_JUMP && !block) {
		if (at->flags & ST_PLAN_STRICT)
			return "control may come to its second instruction by an exception";
		why = at->walk ? arm_walk_leads(at->walk, at->offset + plan->offs[1])
			       : t32_branched_to(plan, at->code, at->size, plan->offs[1]);
		if (why && (at->walk || !walk_clears(plan, at->code, at->size)))
			return why;
	}
	plan->kind = nops ? ST_KIND_NOP : ST_KIND_MOVE;
	return NULL;
}

/*
 * The trap is a halfword, which no store can tear and which always traps. Within an IT block it is
 * as long as the instruction: if its condition fails, a CPU may go on behind the trap.
 */
static const char *t32_breakpoint(struct st_plan *plan, const struct place *at)
{
	struct arm_insn insn;
	struct arm_code c;
	const char *why;

	start_over(plan);
	if (!arm_fetch(&insn, at->code, at->size, (uint32_t)plan->addr, true))
		return at->size < 2 ? "the function is shorter than an instruction"
				    : "the function ends within an instruction";
	insn.in_it = at->left;
	arm_begin(&c, NULL, (uint32_t)plan->addr & ~3u, true);
	why = arm_move(&c, &insn);
	if (why)
		return why;
	if (insn.it)
		return "an IT block is more than a breakpoint displaces";
	if (at->left > 1)
		return "an instruction of an IT block that others follow";
	displace(plan, at, 0, &insn);
	plan->jump = at->left ? insn.size : 2;
	plan->it = at->left ? (uint8_t)(at->cc + 1) : 0;
	plan->kind = ST_KIND_BREAKPOINT;
	return NULL;
}

static const char *site(struct st_plan *plan, const struct place *at)
{
	const char *why;
	bool thumb = plan->isa == ST_ISA_T32;

	if (!(at->flags & ST_PLAN_BREAKPOINT)) {
		why = thumb ? t32_jump(plan, at) : a32_site(plan, at, false);
		if (!why || !(at->flags & ST_PLAN_ANY))
			return why;
	}
	return thumb ? t32_breakpoint(plan, at) : a32_site(plan, at, true);
}

static void begin(struct st_plan *plan, struct place *at, const uint8_t *code, unsigned long func,
		  size_t size, size_t room, size_t offset, unsigned int flags, enum st_isa isa)
{
	plan->func = func;
	plan->addr = func + offset;
	plan->size = size;
	plan->isa = isa;
	plan->inside = offset != 0;
	start_over(plan);
	plan->falls = false;
	at->code = code + offset;
	at->size = size - offset;
	at->room = room > offset ? room - offset : 0;
	at->offset = (uint32_t)offset;
	at->flags = flags;
	at->walk = NULL;
	at->cc = ARM_AL;
	at->left = 0;
}

static const char *walked_site(struct st_plan *plan, struct place *at, const struct arm_walk *w)
{
	struct arm_insn insn;

	if (w->lost)
		return w->lost;
	if (!arm_walk_insn(w, at->offset))
		return "it is not known to be an instruction: nothing leads there for sure";
	if (arm_walk_exclusive(w, at->offset))
		return "it is between a load-exclusive and its store: a hook would break the "
		       "exclusive access";
	at->walk = w;
	at->cc = arm_walk_decode(w, at->offset, &insn, &at->left);
	return site(plan, at);
}

int arm_plan_walked(struct st_plan *plan, const struct arm_walk *w, size_t room, size_t offset,
		    unsigned int flags)
{
	struct place at;
	const char *why;

	begin(plan, &at, w->code, w->func, w->size, room, offset, flags,
	      w->thumb ? ST_ISA_T32 : ST_ISA_A32);
	why = walked_site(plan, &at, w);
	return why ? refuse(plan, why) : 0;
}

/* Apart, because of the stack that a walk takes. */
static __attribute__((noinline)) const char *inside(struct st_plan *plan, struct place *at,
						    const uint8_t *code, size_t size)
{
	struct arm_walk w;

	arm_walk(&w, code, (uint32_t)plan->func, size, plan->isa == ST_ISA_T32);
	return walked_site(plan, at, &w);
}

int st_arch_plan_at(struct st_plan *plan, const uint8_t *code, unsigned long func, size_t size,
		    size_t room, size_t offset, unsigned int flags, enum st_isa isa)
{
	struct place at;
	const char *why;

	/* A symbol without a size: an assembly function, which ends where the next one starts. */
	if (!size)
		size = room;
	begin(plan, &at, code, func, size, room, offset, flags, isa);
	if (isa != ST_ISA_A32 && isa != ST_ISA_T32)
		return refuse(plan, "it is not A32 or T32 code");
	if (isa == ST_ISA_A32 && plan->addr & 3)
		return refuse(plan, "A32 code that is not aligned to a word");
	if (plan->addr & 1)
		return refuse(plan, "Thumb code that is not aligned to a halfword");
	if (size < (isa == ST_ISA_T32 ? 2u : 4u))
		return refuse(plan, "the function is shorter than an instruction");
	if (offset >= size)
		return refuse(plan, "it is behind the end of the function");
	why = offset ? inside(plan, &at, code, size) : site(plan, &at);
	return why ? refuse(plan, why) : 0;
}

/* Does decoding from @from on come to a 32-bit instruction that begins before @at, all of it code
 * that runs on? */
static bool runs_over(const uint8_t *code, size_t from, size_t at)
{
	while (from < at) {
		struct arm_insn insn;
		struct arm_code c;

		if (!arm_fetch(&insn, code + from, at + 2 - from, 0, true))
			return false;
		arm_begin(&c, NULL, 0, true);
		arm_move(&c, &insn);
		from += insn.size;
		if (from < at && (!insn.falls || insn.call))
			return false;
	}
	return from == at + 2;
}

/*
 * Is the halfword at @at surely the second of an instruction, or data? Of halfwords that can be the
 * first of two, as many as stand before it in a row, every other one is. That is wrong only right
 * behind data, which ends with a word; data stands only behind what does not run on, so where
 * nothing before it does that, and decoding from either halfword of a word says the same, there is
 * none.
 */
static bool second_half(const uint8_t *code, size_t at, bool word)
{
	size_t p = at;

	while (p >= 2 && arm_read16(code + p - 2) >= 0xe800)
		p -= 2;
	if (!((at - p) & 2))
		return false;
	return !word || (at >= WINDOW && runs_over(code, at - WINDOW, at) &&
			 runs_over(code, at - WINDOW + 2, at));
}

/* Bytes */
#define NEIGHBOUR 64

/*
 * A plan of T32 with an instruction that begins within the jump: branches from other functions to
 * it, as GCC makes them from the part of a function that it has put elsewhere (".cold"). All of the
 * section is taken for T32, at each halfword.
 */
size_t st_arch_sweep(struct st_plan *const *plans, size_t n, const uint8_t *code,
		     unsigned long addr, size_t size)
{
	size_t at, refused = 0;

	for (at = 0; at + 2 <= size; at += 2) {
		uint32_t to = arm_t32_leads(code + at, size - at, (uint32_t)addr + (uint32_t)at);
		size_t lo = 0, hi = n;

		while (to && lo < hi) {
			size_t mid = (lo + hi) / 2;

			if ((uint32_t)plans[mid]->addr + 2 < to)
				lo = mid + 1;
			else
				hi = mid;
		}
		for (; to && lo < n && (uint32_t)plans[lo]->addr + 2 == to; lo++) {
			struct st_plan *p = plans[lo];

			/*
			 * At an entry by chance, in data, far more often than by a branch: of some
			 * 22,000 functions of Debian's files 59. Hand-written code enters its
			 * neighbours; what is further away is not believed.
			 */
			if (!p->inside && (uint32_t)addr + at - (uint32_t)p->addr + NEIGHBOUR > 2 * NEIGHBOUR)
				continue;
			if (p->isa != ST_ISA_T32 || p->insns < 2 || p->offs[1] != 2 ||
			    (p->kind != ST_KIND_MOVE && p->kind != ST_KIND_NOP))
				continue;
			if (addr + at - p->func < p->size)
				continue;
			/* the short branches of hand-written code; by chance there are many */
			if (arm_read16(code + at) < 0xe800 &&
			    second_half(code, at, !((addr + at) & 2)))
				continue;
			refuse(p, "a branch from elsewhere leads to its second instruction");
			refused++;
		}
	}
	return refused;
}
