/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the stubs of 32-bit ARM lead: from a site to its hooks and on, with every register as the
 * hooks left it.
 *
 * A32 code, for Thumb sites too: only A32's LDM loads all sixteen registers, sp and pc among them,
 * in one instruction, so that the way out needs no register and nothing below sp. No dynamic
 * relocation, no symbol from outside but st_dispatch.
 */
#include <engine/site.h>

/* struct st_regs; checked in init.c */
#define REGS_R4		16
#define REGS_SP		52
#define REGS_LR		56
#define REGS_PC		60
#define REGS_CPSR	64
#define REGS_SIZE	72

	.syntax	unified
	.arch	armv7-a
	.fpu	neon
	.arm
	.text
	.cfi_sections .debug_frame
	.hidden	st_dispatch
	.hidden	st_arch_vector

/*
 * Reached by a jump from a stub:
 *
 *	sp + 72		the stack at entry
 *	sp		struct st_regs, r0 filled in: sub sp, #72; str r0, [sp]
 *	r0		struct st_site
 *	all others	as at entry, flags too
 *
 * While the hooks run:
 *
 *	r4 + 56		the stack at entry
 *	r4 - 16		struct st_regs
 *	sp		the same, rounded down to 8 bytes
 *	r8		the site's function
 *	r11		where it goes on, with Thumb bit
 */
	.p2align 4
	.global	st_entry
	.hidden	st_entry
	.type	st_entry, %function
st_entry:
	.cfi_startproc
	.cfi_def_cfa sp, REGS_SIZE
	.cfi_offset r0, -REGS_SIZE
	stmib	sp, {r1-r12}
	.cfi_offset r1, 4 - REGS_SIZE
	.cfi_offset r2, 8 - REGS_SIZE
	.cfi_offset r3, 12 - REGS_SIZE
	.cfi_offset r4, 16 - REGS_SIZE
	.cfi_offset r5, 20 - REGS_SIZE
	.cfi_offset r6, 24 - REGS_SIZE
	.cfi_offset r7, 28 - REGS_SIZE
	.cfi_offset r8, 32 - REGS_SIZE
	.cfi_offset r9, 36 - REGS_SIZE
	.cfi_offset r10, 40 - REGS_SIZE
	.cfi_offset r11, 44 - REGS_SIZE
	.cfi_offset r12, 48 - REGS_SIZE
	ldm	r0, {r3, r8, r11}		@ dispatch, func, resume
	mrs	r9, apsr			@ N Z C V Q, GE; what else there is, is masked
	mov	r10, #0x10			@ user mode
	bfc	r9, #20, #7
	bfi	r9, r10, #0, #16
	bfi	r9, r11, #5, #1			@ T: bit 0 of resume, as in ST_SITE_THUMB
	mvn	r10, #0
	add	r6, sp, #REGS_SIZE
	mov	r7, lr
	stmdb	r6, {r6-r10}			@ sp, lr, pc, cpsr, orig_r0
	.cfi_offset lr, REGS_LR - REGS_SIZE
	mov	r1, sp
	add	r4, sp, #REGS_R4
	.cfi_def_cfa r4, REGS_SIZE - REGS_R4
	bic	sp, sp, #7
	blx	r3

	sub	sp, r4, #REGS_R4
	.cfi_def_cfa sp, REGS_SIZE
	ldrd	r2, r3, [sp, #REGS_PC]		@ pc, cpsr
	bfi	r8, r11, #0, #1			@ func and the site's own state
	ubfx	r0, r3, #5, #1
	orr	r2, r2, r0
	teq	r2, r8				@ neither pc nor the state changed?
	moveq	r2, r11
	str	r2, [sp, #REGS_PC]
	msr	apsr_nzcvqg, r3
	/*
	 * sp in the list of an LDM is deprecated but defined as long as there is no write-back
	 * (DDI0406C A8.8.58); all words are read before sp changes, wherever the hooks put it.
	 */
	ldm	sp, {r0-r12, sp, lr, pc}
	.cfi_endproc
	.size	st_entry, . - st_entry

/*
 * void st_dispatch_vector(struct st_site *site, struct st_regs *regs)
 *
 *	r6 + 16		the caller's
 *	r6		r4, r5, r6, lr
 *	r6 - 128	d16 to d31	(not on a CPU that has 16)
 *	sp		d0 to d7
 *	r4		FPSCR
 *	r5		how many registers there are: 0, 16 or 32
 *
 * d8 to d15 are the hooks' to preserve, as r4 to r11 are (AAPCS32, 6.1.2.1). A push moves sp in
 * the same instruction.
 */
	.p2align 4
	.global	st_dispatch_vector
	.hidden	st_dispatch_vector
	.type	st_dispatch_vector, %function
st_dispatch_vector:
	.cfi_startproc
	push	{r4, r5, r6, lr}
	.cfi_def_cfa_offset 16
	.cfi_offset r4, -16
	.cfi_offset r5, -12
	.cfi_offset r6, -8
	.cfi_offset lr, -4
	mov	r6, sp
	.cfi_def_cfa_register r6
	ldr	r5, .Lvector
.Lpc:	ldr	r5, [pc, r5]
	cmp	r5, #16
	blo	2f
	beq	1f
	vpush	{d16-d31}
1:	vpush	{d0-d7}
	vmrs	r4, fpscr
2:	bl	st_dispatch
	cmp	r5, #16
	poplo	{r4, r5, r6, pc}
	vmsr	fpscr, r4
	vpop	{d0-d7}
	popeq	{r4, r5, r6, pc}
	vpop	{d16-d31}
	pop	{r4, r5, r6, pc}
	.cfi_endproc
	.p2align 2
.Lvector:
	.word	st_arch_vector - (.Lpc + 8)
	.size	st_dispatch_vector, . - st_dispatch_vector
.Lend:

/*
 * Unwinding, for exceptions and backtraces that start in a hook (EHABI32 6 and 10.3, personality
 * routine 0 inline): the caller of st_entry is the hooked function's caller, since at its entry
 * the function has no frame yet. Written by hand because .fnstart adds a reference to the C++
 * runtime, which what runs in a foreign process does not have.
 */
	.section .ARM.exidx, "ao", %0x70000001, .text
	.reloc	., R_ARM_PREL31, st_entry
	.word	0, 0x809487ff		@ vsp = r4; pop {r4-r12, sp, lr}
	.reloc	., R_ARM_PREL31, st_dispatch_vector
	.word	0, 0x8096aab0		@ vsp = r6; pop {r4-r6, lr}; finish
	.reloc	., R_ARM_PREL31, .Lend
	.word	0, 1			@ can't be unwound

	.section .note.GNU-stack, "", %progbits
