// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * AArch64: the stub that a site jumps to, and the jump. It costs no register: B to the stub, not
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

/* Not 0, which debuggers use, nor what Linux, compilers or sanitizers do; "ST" */
#define BRK_NUMBER 0x5354u

/* paciasp, autiasp; with bit 6, pacibsp, autibsp */
#define PACIASP 0xd503233fu
#define AUTIASP 0xd50323bfu

static uint32_t get32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/*
 * The stub. st_entry is called with sp at the struct st_regs, 272 bytes below the function's sp,
 * and with x0, x1 and x30 in it.
 *
 *	autiasp				where the site is behind a PACIASP that is a landing pad
 *	sub	sp, sp, #272
 *	stp	x0, x1, [sp]
 *	str	x30, [sp, #240]
 *	ldr	x0, =site
 *	ldr	x30, =st_entry
 *	blr	x30
 *	ldr	x30, [sp, #240]		all others are as the function shall have them
 *	add	sp, sp, #272
 * resume: paciasp			the same
 * map:	moved instruction
 *	b	site + 4
 * after: ldr	x30, =st_return		returned to; x30 is the ABI's to lose then
 *	br	x30			BTI c accepts BR from pages that are not guarded
 *	constants
 */
int st_arch_stub(struct st_plan *plan, struct st_stub *stub)
{
	struct st_a64_out out;
	uint64_t dist = stub->at > plan->addr ? stub->at - plan->addr : plan->addr - stub->at;
	unsigned int i;

	if (plan->kind == ST_KIND_NO)
		return -ENOTSUP;
	if (dist > st_arch_reach(plan->isa))
		return -ERANGE;

	st_a64_start(&out, stub->buf, stub->at);
	if (plan->signs)
		st_a64_put(&out, AUTIASP | (plan->signs & 1) << 6);
	st_a64_put(&out, 0xd10003ff | ST_FRAME_SIZE << 10);
	st_a64_put(&out, 0xa90007e0);
	st_a64_put(&out, 0xf90003fe | ST_FRAME_X(30) / 8 << 10);
	st_a64_literal(&out, 0, stub->site);
	st_a64_literal(&out, 30, stub->entry);
	st_a64_put(&out, 0xd63f03c0);
	st_a64_put(&out, 0xf94003fe | ST_FRAME_X(30) / 8 << 10);
	st_a64_put(&out, 0x910003ff | ST_FRAME_SIZE << 10);
	stub->resume = (uint16_t)out.len;
	if (plan->signs)
		st_a64_put(&out, PACIASP | (plan->signs & 1) << 6);
	for (i = 0; i < ST_INSNS_MAX; i++)
		stub->map[i] = 0;
	stub->map[0] = (uint16_t)out.len;
	if (!st_a64_move(&out, get32(plan->orig), plan->addr, !plan->inside)) {
		plan->why = "the call or jump there would be out of reach from its stub";
		return -ERANGE;
	}
	stub->path = 0;
	stub->after = 0;
	if (stub->ret && !plan->inside) {
		stub->after = (uint16_t)out.len;
		st_a64_literal(&out, 30, stub->ret);
		st_a64_put(&out, 0xd61f03c0);
	}
	st_a64_finish(&out);
	stub->size = (uint16_t)out.len;
	return 0;
}

int st_arch_jump(const struct st_plan *plan, unsigned long to, uint8_t *out)
{
	uint32_t b = st_a64_branch(plan->addr, to);
	struct st_a64_out code;

	if (plan->kind == ST_KIND_BREAKPOINT)
		b = 0xd4200000 | BRK_NUMBER << 5;
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
