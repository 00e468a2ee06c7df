/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * 32-bit ARM: where a function with return hooks returns to, by way of its stub (engine/return.h). A32 code, as entry.S, and for the
 * same reason.
 *
 *	sp + 80		the caller's sp
 *	sp + 72		st_return_data(), 8 bytes
 *	sp		struct st_regs
 *
 * lr is as the function left it until st_return_run() puts the true return address there; it may say which function it was.
 */
#define REGS_R4		16
#define REGS_SP		52
#define REGS_LR		56
#define REGS_PC		60
#define REGS_CPSR	64
#define REGS_SIZE	72
#define SIZE		80

	.syntax	unified
	.arch	armv7-a
	.arm
	.text
	.cfi_sections .debug_frame
	.hidden	st_return_run

	.p2align 4
	.global	st_return
	.hidden	st_return
	.type	st_return, %function
st_return:
	.cfi_startproc
	sub	sp, sp, #SIZE
	.cfi_def_cfa_offset SIZE
	stm	sp, {r0-r12}
	.irp	n, 4, 5, 6, 7, 8, 9, 10, 11
	.cfi_offset r\n, 4 * \n - SIZE
	.endr
	mrs	r9, apsr			@ as in entry.S; T comes with the return address
	mov	r10, #0x10
	bfc	r9, #20, #7
	bfi	r9, r10, #0, #16
	mvn	r10, #0
	add	r6, sp, #SIZE
	mov	r7, lr
	mov	r8, #0
	add	r5, sp, #REGS_SIZE
	stmdb	r5, {r6-r10}			@ sp, lr, pc, cpsr, orig_r0
	.cfi_offset lr, REGS_LR - SIZE
	str	r8, [r5]
	str	r8, [r5, #4]
	mov	r0, sp
	add	r4, sp, #REGS_R4
	.cfi_def_cfa r4, SIZE - REGS_R4
	bic	sp, sp, #7
	bl	st_return_run

	sub	sp, r4, #REGS_R4
	.cfi_def_cfa sp, SIZE
	ldr	r3, [sp, #REGS_CPSR]
	add	r1, sp, #SIZE
	str	r1, [sp, #REGS_SP]		@ these two are not the hooks' to change
	str	r0, [sp, #REGS_PC]
	msr	apsr_nzcvqg, r3
	ldm	sp, {r0-r12, sp, lr, pc}	@ see entry.S
	.cfi_endproc
	.size	st_return, . - st_return
.Lend:

/* As in entry.S: it was called in the place of what it returns to. */
	.section .ARM.exidx, "ao", %0x70000001, .text
	.reloc	., R_ARM_PREL31, st_return
	.word	0, 0x809487ff		@ vsp = r4; pop {r4-r12, sp, lr}
	.reloc	., R_ARM_PREL31, .Lend
	.word	0, 1			@ can't be unwound

	.section .note.GNU-stack, "", %progbits
