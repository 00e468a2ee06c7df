// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Sites and stubs of 32-bit ARM, both instruction sets.
 *
 * A stub: makes room for a struct st_regs (sp moves first), saves r0, goes to st_entry (entry.S)
 * with r0 = the site; then the displaced instructions, moved, and the jump behind them. It is in
 * the site's own state.
 */
#include <errno.h>
#include "arm.h"

#define A32_NOP 0xe320f000u	/* the hint, which is the NOP of the list in DDI0406C A3.5.4 */
#define A32_NOP_MOV 0xe1a00000u /* mov r0, r0: not on that list */
#define T16_NOP 0xbf00u
#define T16_BX_PC 0x4778u
#define T32_NOP 0xf3af8000u
#define T32_JUMP 4 /* bytes of B.W */

static int refuse(struct st_plan *plan, const char *why)
{
	plan->kind = ST_KIND_NO;
	plan->why = why;
	return -ENOTSUP;
}

static bool t32_wide(uint16_t first)
{
	return first >= 0xe800;
}

/*
 * Does an instruction at @at, if there is one, branch to @to? Unlike arm_move() this must also look
 * at data.
 */
static bool t32_branches(const uint8_t *code, size_t size, uint32_t at, uint32_t to)
{
	uint32_t off = to - (at + 4), imm, w, s;
	uint16_t h = arm_read16(code + at);

	/* CBZ and CBNZ can't: they lead forward only */
	if ((h & 0xf800) == 0xe000)
		return ((h & 0x7ffu) ^ 0x400) * 2 - 0x800 == off;
	if ((h & 0xf000) == 0xd000 && (h & 0xe00) != 0xe00)
		return ((h & 0xffu) ^ 0x80) * 2 - 0x100 == off;
	if ((h & 0xf800) != 0xf000 || at + 4 > size)
		return false;
	w = (uint32_t)h << 16 | arm_read16(code + at + 2);
	s = w >> 26 & 1;
	if ((w & 0xd000) == 0x8000) {
		imm = s << 20 | (w >> 11 & 1) << 19 | (w >> 13 & 1) << 18 | (w >> 16 & 0x3f) << 12 |
		      (w & 0x7ff) << 1;
		return ((imm ^ 1u << 20) - (1u << 20)) == off;
	}
	/* B.W and BL: compare whole, with the link bit set in both */
	return (w & 0x9000) == 0x9000 && (w | 0x4000) == (arm_t32_branch(at, to) | 0x4000);
}

/*
 * Is there a jump at @at to an address that was computed or read from a table of addresses? "bx rN"
 * is one behind an addition to rN, and otherwise a tail call. TBB and TBH lead forward only; so do
 * returns lead out.
 */
static bool t32_computes(const uint8_t *code, size_t size, uint32_t at)
{
	uint16_t h = arm_read16(code + at), before = at ? arm_read16(code + at - 2) : 0;
	unsigned int m = h >> 3 & 15;

	if ((h & 0xff87) == 0x4687) /* mov pc, rM */
		return m != ARM_LR;
	if ((h & 0xff87) == 0x4700) /* bx rM: add rM, any; adds rM, any, any */
		return ((before & 0xff00) == 0x4400 && ((before & 7) | (before >> 4 & 8)) == m) ||
		       ((before & 0xfe00) == 0x1800 && (before & 7u) == m);
	/* ldr pc, [rN, rM, lsl #n] */
	return (h & 0xfff0) == 0xf850 && at + 4 <= size &&
	       (arm_read16(code + at + 2) & 0xffc0) == 0xf000;
}

/*
 * May a branch in the function lead to @to? Literals and tables stand between instructions and
 * nothing says where, so each halfword is taken for an instruction: what only looks like a branch
 * makes a refusal, never the other way round.
 */
static const char *t32_branched_to(const uint8_t *code, size_t size, uint32_t to)
{
	uint32_t at;

	for (at = 0; at + 2 <= size; at += 2) {
		if (t32_branches(code, size, at, to))
			return "a branch leads to its second instruction";
		if (t32_computes(code, size, at))
			return "a computed jump might lead to its second instruction";
	}
	return NULL;
}

static int plan_a32(struct st_plan *plan, const uint8_t *code, size_t size, size_t room)
{
	uint8_t buf[ST_STUB_MAX];
	struct arm_code c;
	struct arm_insn insn = {.addr = (uint32_t)plan->addr, .size = 4};
	const char *why;

	if (plan->addr & 3)
		return refuse(plan, "A32 code that is not aligned to a word");
	if (size < 4 || room < 4)
		return refuse(plan, "the function is shorter than an instruction");
	arm_begin(&c, buf, (uint32_t)plan->addr, false);
	insn.bits = arm_read32(code);
	plan->insns = 1;
	plan->len = 4;
	plan->jump = 4;
	plan->falls = true;
	plan->kind = ST_KIND_NOP;
	/*
	 * DDI0406C A3.5.4: a B, BL or NOP may be changed into another of them while other cores run
	 * it. Of these only the unconditional ones are counted here.
	 */
	plan->live = insn.bits == A32_NOP;
	if (insn.bits == A32_NOP || insn.bits == A32_NOP_MOV)
		return 0;
	why = arm_move(&c, &insn);
	if (why)
		return refuse(plan, why);
	plan->kind = ST_KIND_MOVE;
	plan->live = (insn.bits & 0xfe000000) == 0xea000000;
	plan->falls = insn.falls;
	return 0;
}

/*
 * B.W changes four bytes. Displaced is what stands in them, and an IT block to its end, since its
 * instructions stay conditional only as long as they stand behind their IT; what lies behind the
 * four bytes is not changed. Never live: the list in DDI0406C A3.5.4 has no 32-bit branch of T32
 * but BL.
 */
static int plan_t32(struct st_plan *plan, const uint8_t *code, size_t size, size_t room)
{
	uint8_t buf[ST_STUB_MAX];
	struct arm_code c;
	unsigned int off = 0, it = 0;
	bool nops = true;
	const char *why;

	if (plan->addr & 1)
		return refuse(plan, "Thumb code that is not aligned to a halfword");
	if (size < 2)
		return refuse(plan, "the function is shorter than an instruction");
	arm_begin(&c, buf, (uint32_t)plan->addr & ~3u, true);
	plan->jump = T32_JUMP;
	plan->falls = true;
	while (off < T32_JUMP || it) {
		struct arm_insn insn = {.addr = (uint32_t)plan->addr + off, .size = 2, .in_it = it};

		/*
		 * Behind a return may be anything, but for padding behind the end, and behind "bx
		 * pc", which goes on at the next word.
		 */
		if (!plan->falls && room >= T32_JUMP &&
		    (off == size || arm_read16(code) == T16_BX_PC)) {
			off = T32_JUMP;
			break;
		}
		if (!plan->falls)
			return refuse(plan, "what follows its first instruction may be data");
		if (off + 2 > size)
			return refuse(plan, "the function is shorter than a jump");
		insn.bits = arm_read16(code + off);
		if (t32_wide((uint16_t)insn.bits)) {
			insn.size = 4;
			if (off + 4 > size)
				return refuse(plan, "the function ends within an instruction");
			insn.bits = insn.bits << 16 | arm_read16(code + off + 2);
		}
		if (plan->insns == ST_INSNS_MAX || off + insn.size > ST_DISPLACED_MAX)
			return refuse(plan, "an IT block that is too long");
		nops = nops && insn.bits == (insn.size == 2 ? T16_NOP : T32_NOP);
		why = arm_move(&c, &insn);
		if (why)
			return refuse(plan, why);
		if (insn.call && off + insn.size < T32_JUMP)
			return refuse(plan, "a call would return into the displaced bytes");
		plan->offs[plan->insns++] = (uint8_t)off;
		plan->falls = insn.falls;
		off += insn.size;
		it = insn.it ? insn.it : it ? it - 1 : 0;
	}
	plan->len = (uint8_t)off;
	why = NULL;
	if (plan->insns > 1 && plan->offs[1] < T32_JUMP)
		why = t32_branched_to(code, size, plan->offs[1]);
	if (why)
		return refuse(plan, why);
	plan->kind = nops ? ST_KIND_NOP : ST_KIND_MOVE;
	return 0;
}

int st_arch_plan_at(struct st_plan *plan, const uint8_t *code, unsigned long func, size_t size,
		    size_t room, size_t offset, unsigned int flags, enum st_isa isa)
{
	unsigned int i;
	int ret;

	plan->func = func;
	plan->addr = func;
	plan->isa = isa;
	plan->kind = ST_KIND_NO;
	plan->inside = false;
	plan->live = false;
	plan->falls = false;
	plan->len = 0;
	plan->jump = 0;
	plan->insns = 0;
	plan->why = NULL;
	for (i = 0; i < ST_INSNS_MAX; i++)
		plan->offs[i] = 0;
	for (i = 0; i < ST_DISPLACED_MAX; i++)
		plan->orig[i] = 0;
	if (offset || flags & ST_PLAN_BREAKPOINT)
		return refuse(plan, "only its entry can be hooked, by a jump");

	/* A symbol without a size: an assembly function, which ends where the next one starts. */
	if (!size)
		size = room;
	if (isa == ST_ISA_A32)
		ret = plan_a32(plan, code, size, room);
	else if (isa == ST_ISA_T32)
		ret = plan_t32(plan, code, size, room);
	else
		ret = refuse(plan, "it is not A32 or T32 code");
	for (i = 0; !ret && i < plan->len; i++)
		plan->orig[i] = code[i];
	return ret;
}

/*
 * A -pg site, "push {lr}; bl __gnu_mcount_nc", is displaced as what it is, a push (A32) or a push
 * and a call (T32): that is right whatever the call leads to, which the bytes do not say.
 */
int st_arch_stub(struct st_plan *plan, struct st_stub *stub)
{
	bool thumb = plan->isa == ST_ISA_T32;
	struct arm_code c;
	uint8_t jump[ST_JUMP_MAX];
	unsigned int i, it = 0;
	const char *why;

	if (plan->kind != ST_KIND_NOP && plan->kind != ST_KIND_MOVE)
		return -ENOTSUP;
	if (st_arch_jump(plan, stub->at | thumb, jump))
		return -ERANGE;
	arm_begin(&c, stub->buf, (uint32_t)stub->at, thumb);

	if (thumb) {
		arm_put16(&c, 0xb092); /* sub sp, #72 */
		arm_put16(&c, 0x9000); /* str r0, [sp] */
	} else {
		arm_put32(&c, 0xe24dd048); /* sub sp, sp, #72 */
		arm_put32(&c, 0xe58d0000); /* str r0, [sp] */
	}
	arm_load(&c, ARM_AL, 0, (uint32_t)stub->site);
	arm_load(&c, ARM_AL, ARM_PC, (uint32_t)stub->entry);

	stub->resume = c.len;
	for (i = 0; i < plan->insns; i++) {
		const uint8_t *p = plan->orig + plan->offs[i];
		struct arm_insn insn = {
			.bits = arm_read32(p),
			.addr = (uint32_t)plan->addr + plan->offs[i],
			.size = 4,
			.in_it = it,
		};

		stub->map[i] = c.len;
		if (plan->kind == ST_KIND_NOP)
			continue;
		if (thumb && !t32_wide(arm_read16(p))) {
			insn.size = 2;
			insn.bits = arm_read16(p);
		} else if (thumb) {
			insn.bits = (uint32_t)arm_read16(p) << 16 | arm_read16(p + 2);
		}
		why = arm_move(&c, &insn);
		if (why) {
			plan->why = why;
			return -ENOTSUP;
		}
		it = insn.it ? insn.it : it ? it - 1 : 0;
	}
	if (plan->falls)
		arm_goto(&c, ARM_AL, ((uint32_t)plan->addr + plan->len) | thumb);
	arm_literals(&c);
	if (c.full) {
		plan->why = "the moved instructions would not fit into a stub";
		return -ENOTSUP;
	}
	stub->size = c.len;
	return 0;
}

int st_arch_jump(const struct st_plan *plan, unsigned long to, uint8_t *out)
{
	bool thumb = plan->isa == ST_ISA_T32;
	struct arm_code c;
	uint32_t b;

	if ((to & 1) != thumb)
		return -ERANGE;
	b = thumb ? arm_t32_branch((uint32_t)plan->addr, (uint32_t)to - 1)
		  : arm_a32_branch(ARM_AL, (uint32_t)plan->addr, (uint32_t)to);
	if (!b)
		return -ERANGE;
	arm_begin(&c, out, (uint32_t)plan->addr, thumb);
	arm_put32(&c, b);
	return 0;
}

/* LDR pc, with the address behind it: takes the state from bit 0 and changes nothing else. */
size_t st_arch_veneer(enum st_isa isa, unsigned long at, unsigned long to, uint8_t *out)
{
	struct arm_code c;

	arm_begin(&c, out, (uint32_t)at, isa == ST_ISA_T32);
	if (!c.thumb) {
		arm_put32(&c, 0xe51ff004); /* ldr pc, [pc, #-4] */
	} else if (at & 2) {
		/* counts from pc rounded down to a word, and the literal must stand on one */
		arm_put32(&c, 0xf8dff004); /* ldr.w pc, [pc, #4] */
		arm_put16(&c, T16_NOP);
	} else {
		arm_put32(&c, 0xf8dff000); /* ldr.w pc, [pc] */
	}
	arm_put16(&c, (uint16_t)to);
	arm_put16(&c, (uint16_t)(to >> 16));
	return c.len;
}

/* The reach of B and B.W, less what lies within a stub */
unsigned long st_arch_reach(enum st_isa isa)
{
	return (isa == ST_ISA_T32 ? 1ul << 24 : 1ul << 25) - 2 * ST_STUB_MAX;
}

bool st_arch_syscalls_harm(unsigned long hwcap)
{
	(void)hwcap;
	return false;
}

size_t st_arch_sweep(struct st_plan *const *plans, size_t n, const uint8_t *code,
		     unsigned long addr, size_t size)
{
	(void)plans;
	(void)n;
	(void)code;
	(void)addr;
	(void)size;
	return 0;
}
