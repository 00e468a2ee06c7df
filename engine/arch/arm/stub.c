// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Stubs and jumps of 32-bit ARM, both instruction sets.
 *
 * A stub: makes room for a struct st_regs (sp moves first), saves r0, goes to st_entry (entry.S)
 * with r0 = the site; then the displaced instructions, moved, and the jump behind them. It is in
 * the site's own state.
 */
#include <errno.h>
#include "arm.h"

/* One instruction of an IT block, alone: the CPU is in no IT state here. */
static const char *move_conditional(struct arm_code *c, struct arm_insn *insn, unsigned int cc)
{
	struct arm_code measured = *c;
	const char *why;

	measured.buf = NULL;
	why = arm_move(&measured, insn);
	if (why)
		return why;
	if (insn->copied)
		arm_put16(c, (uint16_t)(0xbf08 | cc << 4)); /* it cc */
	else if (cc != ARM_AL) /* the opposite jumps over it; its pc is 2 behind it */
		arm_put16(c, (uint16_t)(0xd000 | (cc ^ 1) << 8 |
					((measured.len - c->len - 2) / 2 & 0xff)));
	return arm_move(c, insn);
}

/*
 * What is displaced. An IT block of plain copies stays one. In another, each instruction stands
 * alone, at @apart[]; a thread that stood between them when its site was changed brings the CPU's
 * IT state with it, and is sent to write_sleds()'s.
 */
static const char *move_all(struct arm_code *c, const struct st_plan *plan, struct st_stub *stub,
			    uint16_t *apart)
{
	unsigned int i, k, in_it = 0;
	bool copies = true;
	uint32_t it = 0;

	for (i = 0; i < plan->insns; i++) {
		struct arm_insn insn;
		const char *why;

		arm_fetch(&insn, plan->orig + plan->offs[i], ST_DISPLACED_MAX - plan->offs[i],
			  (uint32_t)plan->addr + plan->offs[i], c->thumb);
		stub->map[i] = c->len;
		if (plan->kind == ST_KIND_NOP)
			continue;
		insn.in_it = in_it || plan->it;
		if (plan->it) {
			why = move_conditional(c, &insn, plan->it - 1u);
		} else if (in_it && !copies) {
			apart[i] = c->len;
			why = move_conditional(c, &insn,
					       arm_it_cond(it, arm_it_length(it) - in_it));
		} else {
			struct arm_code measured = *c;

			measured.buf = NULL;
			why = arm_move(&measured, &insn);
			for (k = 1; !why && k <= insn.it && i + k < plan->insns; k++) {
				struct arm_insn next;

				arm_fetch(&next, plan->orig + plan->offs[i + k],
					  ST_DISPLACED_MAX - plan->offs[i + k],
					  (uint32_t)plan->addr + plan->offs[i + k], true);
				next.in_it = true;
				why = arm_move(&measured, &next);
				copies = copies && next.copied;
			}
			it = insn.it ? insn.bits : it;
			if (!why && (copies || !insn.it))
				why = arm_move(c, &insn);
		}
		if (why)
			return why;
		in_it = insn.it ? insn.it : in_it ? in_it - 1 : 0;
	}
	return NULL;
}

/* As many NOPs as the IT block has instructions left use its state up; then the rest, each
 * instruction alone. */
static void write_sleds(struct arm_code *c, const struct st_plan *plan, struct st_stub *stub,
			const uint16_t *apart)
{
	unsigned int i, k;

	for (i = 0; i < plan->insns; i++) {
		if (!apart[i])
			continue;
		stub->map[i] = c->len;
		for (k = i; k < plan->insns; k++)
			arm_put16(c, T16_NOP);
		arm_goto(c, ARM_AL, (c->at + apart[i]) | 1);
	}
}

/*
 * A -pg site, "push {lr}; bl __gnu_mcount_nc", is displaced as what it is, a push (A32) or a push
 * and a call (T32): that is right whatever the call leads to, which the bytes do not say.
 */
int st_arch_stub(struct st_plan *plan, struct st_stub *stub)
{
	bool thumb = plan->isa == ST_ISA_T32;
	uint32_t next = ((uint32_t)plan->addr + plan->len) | thumb;
	uint16_t apart[ST_INSNS_MAX] = {0};
	uint8_t jump[ST_JUMP_MAX];
	struct arm_code c;
	const char *why;

	if (plan->kind == ST_KIND_NO)
		return -ENOTSUP;
	if (st_arch_jump(plan, stub->at | thumb, jump))
		return -ERANGE;
	arm_begin(&c, stub->buf, (uint32_t)stub->at, thumb);

	if (plan->it) {
		/*
		 * From a breakpoint on the last instruction of an IT block. The NOP uses the IT
		 * state up, if the signal's handler has left it. An undefined instruction may trap
		 * though its condition fails (implementation defined, as kernel kprobes know);
		 * then nothing happens.
		 */
		arm_put16(&c, T16_NOP);
		if (plan->it - 1u != ARM_AL) {
			arm_put16(&c,
				  (uint16_t)(0xd001 | (plan->it - 1u) << 8)); /* over the jump */
			arm_goto(&c, ARM_AL, next);
		}
	}
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
	why = move_all(&c, plan, stub, apart);
	if (why) {
		plan->why = why;
		return -ENOTSUP;
	}
	if (plan->falls)
		arm_goto(&c, ARM_AL, next);
	write_sleds(&c, plan, stub, apart);
	stub->path = 0;
	stub->after = 0;
	if (stub->ret && !plan->inside) {
		stub->after = c.len;
		arm_load(&c, ARM_AL, ARM_PC, (uint32_t)stub->ret);
	}
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
	arm_begin(&c, out, (uint32_t)plan->addr, thumb);
	if (plan->kind == ST_KIND_BREAKPOINT) {
		/* undefined instructions that Linux makes a SIGTRAP of (arch/arm/kernel/ptrace.c)
		 */
		if (!thumb)
			arm_put32(&c, 0xe7f001f0);
		else if (plan->jump == 2)
			arm_put16(&c, 0xde01);
		else
			arm_put32(&c, 0xf7f0a000);
		return 0;
	}
	b = thumb ? arm_t32_branch((uint32_t)plan->addr, (uint32_t)to - 1)
		  : arm_a32_branch(ARM_AL, (uint32_t)plan->addr, (uint32_t)to);
	if (!b)
		return -ERANGE;
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
