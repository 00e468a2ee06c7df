// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * AArch64: what a site displaces, and the stub it jumps to.
 *
 * A site is one instruction, so it has no interior, and it costs no register: B to the stub, not
 * BL.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <engine/arch.h>
#include "frame.h"
#include "relocate.h"

#define MIB (1024ul * 1024)

#define A64_NOP 0xd503201fu

static uint32_t get32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* BTI, BTI c, BTI j, BTI jc: whatever branch they accept, they must stay what it finds. */
static bool is_bti(uint32_t insn)
{
	return (insn & 0xffffff3f) == 0xd503241f;
}

static int refuse(struct st_plan *plan, const char *why)
{
	plan->kind = ST_KIND_NO;
	plan->why = why;
	return -ENOTSUP;
}

/*
 * A loop whose head is the site would run the hook in each round. A tail call to itself (B) looks
 * like one, unless there is a landing pad, where the call goes, or a NOP of the compiler, which it
 * puts before all loops.
 */
static bool loops(const struct st_plan *plan, const uint8_t *code, size_t size)
{
	uint64_t to;
	uint32_t insn;
	size_t i;

	for (i = plan->addr - plan->func; i + 4 <= size; i += 4) {
		insn = get32(code + i);
		if (plan->kind == ST_KIND_NOP && insn >> 26 == 5)
			continue;
		if (st_a64_target(insn, plan->func + i, &to) && to == plan->addr)
			return true;
	}
	return false;
}

int st_arch_plan_at(struct st_plan *plan, const uint8_t *code, unsigned long func, size_t size,
		    size_t room, size_t offset, unsigned int flags, enum st_isa isa)
{
	const struct st_a64_row *row;
	unsigned int i, pad;
	uint32_t insn;

	(void)room;
	plan->func = func;
	plan->addr = func;
	plan->isa = isa;
	plan->kind = ST_KIND_NO;
	plan->inside = false;
	plan->live = false;
	plan->falls = true;
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

	if (isa != ST_ISA_NATIVE)
		return refuse(plan, "it is not A64 code");
	if (func & 3)
		return refuse(plan, "its address is not that of an instruction");
	if (size < 4)
		return refuse(plan, "it is shorter than one instruction");
	pad = is_bti(get32(code)) ? 4 : 0;
	if (size < pad + 4)
		return refuse(plan, "it has no instruction behind its landing pad");

	insn = get32(code + pad);
	row = st_a64_row(insn);
	plan->addr = func + pad;
	plan->len = 4;
	plan->jump = 4;
	plan->insns = 1;
	for (i = 0; i < 4; i++)
		plan->orig[i] = code[pad + i];
	plan->live = row->live;
	plan->falls = row->form != ST_A64_LEAVE && row->form != ST_A64_B;

	if (st_a64_why(row->form))
		return refuse(plan, st_a64_why(row->form));
	plan->kind = insn == A64_NOP ? ST_KIND_NOP : ST_KIND_MOVE;
	if (loops(plan, code, size))
		return refuse(plan, "a loop starts at its first instruction");
	return 0;
}

/*
 * The stub. st_entry is called with sp at the struct st_regs, 272 bytes below the function's sp,
 * and with x0, x1 and x30 in it.
 *
 *	sub	sp, sp, #272
 *	stp	x0, x1, [sp]
 *	str	x30, [sp, #240]
 *	ldr	x0, =site
 *	ldr	x30, =st_entry
 *	blr	x30
 *	ldr	x30, [sp, #240]		all others are as the function shall have them
 *	add	sp, sp, #272
 * resume: moved instruction
 *	b	site + 4
 *	constants
 */
int st_arch_stub(struct st_plan *plan, struct st_stub *stub)
{
	struct st_a64_out out;
	uint64_t dist = stub->at > plan->addr ? stub->at - plan->addr : plan->addr - stub->at;
	unsigned int i;

	if (plan->kind != ST_KIND_NOP && plan->kind != ST_KIND_MOVE)
		return -ENOTSUP;
	if (dist > st_arch_reach(plan->isa))
		return -ERANGE;

	st_a64_start(&out, stub->buf, stub->at);
	st_a64_put(&out, 0xd10003ff | ST_FRAME_SIZE << 10);
	st_a64_put(&out, 0xa90007e0);
	st_a64_put(&out, 0xf90003fe | ST_FRAME_X(30) / 8 << 10);
	st_a64_literal(&out, 0, stub->site);
	st_a64_literal(&out, 30, stub->entry);
	st_a64_put(&out, 0xd63f03c0);
	st_a64_put(&out, 0xf94003fe | ST_FRAME_X(30) / 8 << 10);
	st_a64_put(&out, 0x910003ff | ST_FRAME_SIZE << 10);
	stub->resume = (uint16_t)out.len;
	for (i = 0; i < ST_INSNS_MAX; i++)
		stub->map[i] = 0;
	stub->map[0] = stub->resume;
	st_a64_move(&out, get32(plan->orig), plan->addr);
	st_a64_finish(&out);
	stub->size = (uint16_t)out.len;
	return 0;
}

int st_arch_jump(const struct st_plan *plan, unsigned long to, uint8_t *out)
{
	uint32_t b = st_a64_branch(plan->addr, to);
	struct st_a64_out code;

	if (!b)
		return -ERANGE;
	st_a64_start(&code, out, plan->addr);
	st_a64_put(&code, b);
	return 0;
}

size_t st_arch_veneer(enum st_isa isa, unsigned long at, unsigned long to, uint8_t *out)
{
	uint32_t b = st_a64_branch(at, to);
	struct st_a64_out code;

	(void)isa;
	st_a64_start(&code, out, at);
	if (b) {
		st_a64_put(&code, b);
		return code.len;
	}
	st_a64_literal(&code, 17, to);
	st_a64_put(&code, 0xd61f0220); /* br	x17, which BTI c accepts */
	st_a64_finish(&code);
	return code.len;
}

/* B reaches 128 MiB: a stub also reaches all that is within 16 MiB of its site (relocate.c). */
unsigned long st_arch_reach(enum st_isa isa)
{
	(void)isa;
	return 112 * MIB;
}

#define HWCAP_SVE (1ul << 22) /* Linux arch/arm64/include/uapi/asm/hwcap.h */

bool st_arch_syscalls_harm(unsigned long hwcap)
{
	return hwcap & HWCAP_SVE;
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
