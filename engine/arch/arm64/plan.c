// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * AArch64: what a site displaces: one instruction, always. It has no interior, so nothing can lead
 * into it. What is asked instead: is it an instruction, does it bear a branch in its place, and a
 * hook in front of it?
 *
 * In guarded pages an indirect branch must find a landing pad: BTI, PACIASP, PACIBSP, BRK or HLT
 * (Arm ARM, D8.4.5). B is none. So a function's site is behind its BTI. Behind its PACIASP the
 * return address is signed by now; there the stub takes that back for the hooks and signs it anew
 * (stub.c), which is right as sp is still the same. Where a landing pad itself is the site, it
 * becomes a breakpoint.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <engine/arch.h>
#include "flow.h"
#include "relocate.h"

#define A64_NOP 0xd503201fu

/* BTI, BTI c, BTI j, BTI jc: whatever branch they accept, they must stay what it finds. */
static bool is_bti(uint32_t insn)
{
	return (insn & 0xffffff3f) == 0xd503241f;
}

/* Not 0 if it is: 2 for PACIASP, 3 for PACIBSP. */
static uint8_t is_paciasp(uint32_t insn)
{
	return (insn & 0xffffffbf) == 0xd503233f ? (uint8_t)(2 | (insn >> 6 & 1)) : 0;
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
static bool loops(const struct st_plan *plan, const struct st_a64_body *body)
{
	uint64_t to;
	uint32_t insn;
	size_t i;

	for (i = (plan->addr - plan->func) / 4; i < body->words; i++) {
		insn = st_a64_word(body, i);
		if (plan->kind == ST_KIND_NOP && !plan->signs && insn >> 26 == 5)
			continue;
		if (st_a64_target(insn, plan->func + i * 4, &to) && to == plan->addr)
			return true;
	}
	return false;
}

/* The instruction at @i is the site; refused if it can't be moved. */
static int displace(struct st_plan *plan, const struct st_a64_body *body, size_t i)
{
	const struct st_a64_row *row = st_a64_row(st_a64_word(body, i));
	unsigned int k;

	plan->addr = plan->func + i * 4;
	plan->len = 4;
	plan->jump = 4;
	plan->insns = 1;
	for (k = 0; k < 4; k++)
		plan->orig[k] = body->code[i * 4 + k];
	/* BRK is on the list as B is. */
	plan->live = row->live;
	plan->falls = row->form != ST_A64_LEAVE && row->form != ST_A64_B;
	if (st_a64_why(row->form))
		return refuse(plan, st_a64_why(row->form));
	plan->kind = st_a64_word(body, i) == A64_NOP ? ST_KIND_NOP : ST_KIND_MOVE;
	return 0;
}

static int plan_entry(struct st_plan *plan, const struct st_a64_body *body, unsigned int flags)
{
	uint8_t signs = body->words ? is_paciasp(st_a64_word(body, 0)) : 0;
	size_t pad;
	int ret;

	if (!body->words)
		return refuse(plan, "it is shorter than one instruction");
	pad = signs || is_bti(st_a64_word(body, 0));
	if (!(signs && flags & ST_PLAN_BREAKPOINT)) {
		plan->signs = signs;
		ret = pad < body->words
			      ? displace(plan, body, pad)
			      : refuse(plan, "it has no instruction behind its landing pad");
		if (!ret && loops(plan, body))
			ret = refuse(plan, "a loop starts at its first instruction");
		if (!ret && flags & ST_PLAN_BREAKPOINT)
			plan->kind = ST_KIND_BREAKPOINT;
		if (!ret || !(signs && flags & ST_PLAN_ANY))
			return ret;
	}
	/* A breakpoint is a landing pad. */
	plan->signs = 0;
	plan->why = NULL;
	displace(plan, body, 0);
	plan->kind = ST_KIND_BREAKPOINT;
	return 0;
}

/* MOVPRFX and PACM change what the very next instruction does. */
static bool binds_next(uint32_t insn)
{
	return insn == 0xd50324ff ||
	       ((insn >> 25 & 15) == 2 && st_a64_row(insn)->form == ST_A64_PAIRED);
}

static int plan_inside(struct st_plan *plan, const struct st_a64_body *body, size_t offset,
		       unsigned int flags)
{
	size_t i = offset / 4;
	const char *doubt;
	uint32_t insn;
	int ret;

	plan->inside = true;
	plan->addr = plan->func + offset;
	if (offset & 3)
		return refuse(plan, "the offset is not that of an instruction");
	if (i >= body->words)
		return refuse(plan, "the offset is behind the function's end");
	insn = st_a64_word(body, i);
	doubt = st_a64_doubt(body, i);
	if (doubt)
		return refuse(plan, doubt);
	ret = displace(plan, body, i);
	if (ret)
		return ret;
	if (binds_next(st_a64_word(body, i - 1)))
		return refuse(
			plan,
			"the instruction there must be executed together with the one before");
	if (st_a64_exclusive(body, i))
		return refuse(plan,
			      "an exclusive access is under way there, which a hook would break");
	if (flags & ST_PLAN_BREAKPOINT)
		plan->kind = ST_KIND_BREAKPOINT;
	if (is_bti(insn) || is_paciasp(insn)) {
		if (!(flags & (ST_PLAN_ANY | ST_PLAN_BREAKPOINT)))
			return refuse(plan, "a landing pad for computed branches is there: only a "
					    "breakpoint is one, too");
		plan->kind = ST_KIND_BREAKPOINT;
	}
	return 0;
}

int st_arch_plan_at(struct st_plan *plan, const uint8_t *code, unsigned long func, size_t size,
		    size_t room, size_t offset, unsigned int flags, enum st_isa isa)
{
	struct st_a64_body body = {.code = code, .addr = func, .words = size / 4};
	unsigned int i;

	(void)room;
	plan->func = func;
	plan->addr = func;
	plan->isa = isa;
	plan->kind = ST_KIND_NO;
	plan->inside = false;
	plan->live = false;
	plan->falls = true;
	plan->signs = 0;
	plan->len = 0;
	plan->jump = 0;
	plan->insns = 0;
	plan->why = NULL;
	for (i = 0; i < ST_INSNS_MAX; i++)
		plan->offs[i] = 0;
	for (i = 0; i < ST_DISPLACED_MAX; i++)
		plan->orig[i] = 0;

	if (isa != ST_ISA_NATIVE)
		return refuse(plan, "it is not A64 code");
	if (func & 3)
		return refuse(plan, "its address is not that of an instruction");
	return offset ? plan_inside(plan, &body, offset, flags) : plan_entry(plan, &body, flags);
}

/* Refuses the plans at @addr, if they are @inside or not. */
static size_t refuse_at(struct st_plan *const *plans, size_t n, uint64_t addr, bool inside,
			const char *why)
{
	size_t lo = 0, hi = n, refused = 0;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (plans[mid]->addr < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < n && plans[lo]->addr == addr; lo++) {
		struct st_plan *plan = plans[lo];

		if (plan->kind == ST_KIND_NO || (inside ? !plan->inside : !plan->signs))
			continue;
		refuse(plan, why);
		refused++;
	}
	return refused;
}

/*
 * Where a site displaces one instruction there is nothing to lead into. But nobody may come to a
 * site behind a PACIASP without having passed that, and an instruction is not read as a literal.
 */
size_t st_arch_sweep(struct st_plan *const *plans, size_t n, const uint8_t *code,
		     unsigned long addr, size_t size)
{
	struct st_a64_body body = {.code = code, .addr = addr, .words = size / 4};
	bool needed = false;
	size_t i, k, refused = 0;
	uint64_t to;

	for (i = 0; i < n; i++)
		needed |= plans[i]->kind != ST_KIND_NO && (plans[i]->inside || plans[i]->signs);
	for (i = 0; needed && i < body.words; i++) {
		uint32_t insn = st_a64_word(&body, i);
		unsigned int bytes = st_a64_literal_load(insn, addr + i * 4, &to);

		for (k = 0; k < bytes; k += 4)
			refused += refuse_at(plans, n, to + k, true,
					     "it is data: an instruction elsewhere reads it");
		if (!bytes && (insn >> 25 & 14) == 10 &&
		    (st_a64_target(insn, addr + i * 4, &to) ||
		     st_a64_call(insn, addr + i * 4, &to)))
			refused +=
				refuse_at(plans, n, to, false,
					  "a branch from elsewhere leads behind its landing pad");
	}
	return refused;
}
