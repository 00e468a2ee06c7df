/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Register torture: the caller that fills every register, functions with each kind of site, and
 * where they end: in code that writes down every register. A function does not return, so that lr
 * too can be anything.
 */
#include "torture.h"

	.syntax	unified
	.arch	armv7-a
	.fpu	neon
	.text

/*
 * void t_run(const struct state *in, struct state *out)
 *
 * Our stack pointer and @out stay in t_saved. The last LDM is the way in: see st_entry.
 */
	.arm
	.p2align 2
	.global	t_run
	.type	t_run, %function
t_run:
	push	{r4-r11, lr}
	vpush	{d8-d15}
	vmrs	r2, fpscr
	push	{r2}
	ldr	r3, =t_saved
	str	sp, [r3]
	str	r1, [r3, #4]
	add	r2, r0, #T_D
	vldm	r2!, {d0-d15}
	vldm	r2, {d16-d31}
	ldr	r2, [r0, #T_FPSCR]
	vmsr	fpscr, r2
	ldr	r2, [r0, #T_CPSR]
	msr	apsr_nzcvqg, r2
	ldm	r0, {r0-r12, sp, lr, pc}
	.size	t_run, . - t_run

/* From END: the function's r0 on its stack, its number in r0, the rest as it was. */
	.type	t_end, %function
t_end:
	str	r1, [sp, #-4]!
	ldr	r1, =t_saved
	ldr	r1, [r1, #4]
	str	r0, [r1, #T_WHO]
	ldr	r0, [sp, #4]
	str	r0, [r1]
	ldr	r0, [sp]
	str	r0, [r1, #4]
	add	r1, r1, #8
	stm	r1, {r2-r12}
	add	r0, sp, #8
	str	r0, [r1, #T_SP - 8]
	str	lr, [r1, #T_SP + 4 - 8]
	mrs	r0, apsr
	str	r0, [r1, #T_CPSR - 8]
	vmrs	r0, fpscr
	str	r0, [r1, #T_FPSCR - 8]
	add	r1, r1, #T_D - 8
	vstm	r1!, {d0-d15}
	vstm	r1, {d16-d31}
	ldr	r1, =t_saved
	ldr	sp, [r1]
	pop	{r2}
	vmsr	fpscr, r2
	vpop	{d8-d15}
	pop	{r4-r11, pc}
	.size	t_end, . - t_end
	.ltorg

	.macro	END who
	str	r0, [sp, #-4]!
	ldr	r0, =\who
	ldr	pc, =t_end
	.endm

/* A kind of site: its first instructions, in a function to be hooked and one not; 7: is behind */
	.set	kinds, 0
	.macro	KIND name, isa, text
	.\isa
	.p2align 2
	BODY	hooked_\name, \isa, "\text"
	BODY	plain_\name, \isa, "\text"
	.pushsection .rodata.names, "aMS", %progbits, 1
8:	.asciz	"\name"
	.popsection
	.pushsection .data.kinds, "aw"
	.word	8b, hooked_\name, plain_\name, kinds
	.popsection
	.set	kinds, kinds + 1
	.endm

	.macro	BODY label, isa, text
	.type	\label, %function
	.global	\label
\label:
	\text
7:	END	kinds
	.size	\label, . - \label
	.ltorg
	.p2align 2
	.endm

	.pushsection .data.kinds, "aw"
	.p2align 2
	.global	t_kinds
	.type	t_kinds, %object
t_kinds:
	.popsection

KIND a32_nop, arm, "nop"
KIND a32_nop_mov, arm, ".inst 0xe1a00000"
KIND a32_add, arm, "add r3, r3, r4"
KIND a32_push, arm, "push {r4, lr}"
KIND a32_mov_ip_sp, arm, "mov ip, sp"
KIND a32_conditional, arm, "addne r0, r0, r12"
KIND a32_flags, arm, "adcs r1, r1, r2"
KIND a32_b, arm, "b 7f"
KIND a32_beq, arm, "beq 7f; add r5, r5, #1"
KIND a32_ldr_literal, arm, "ldr r12, =0x12345678"
KIND a32_ldr_literal_eq, arm, "ldreq lr, =0x12345678"
KIND a32_vldr_literal, arm, "vldr d3, 9f; b 7f; .p2align 3; 9: .word 0x89abcdef, 0x01234567"
KIND a32_ldr_pc, arm, "ldr pc, 9f; 9: .word 7f"
KIND a32_pg, arm, "push {lr}; bl __gnu_mcount_nc"
KIND t32_nop_nop, thumb, "nop; nop"
KIND t32_nop_w, thumb, "nop.w"
KIND t32_16_16, thumb, "adds r0, #1; mov r8, r9"
KIND t32_16_32, thumb, "push {r4, lr}; add.w r3, r3, r4"
KIND t32_32, thumb, "adcs.w r1, r1, r2"
KIND t32_push_w, thumb, "push.w {r4-r11, lr}"
KIND t32_cbz, thumb, "cbz r0, 7f; mov r5, r6"
KIND t32_bne, thumb, "bne 7f; mov r12, r6"
KIND t32_it, thumb, "cmp r0, r1; itte lo; movlo r12, sp; addlo.w r3, r3, #3; movhs lr, r2"
KIND t32_it_first, thumb, "it mi; movmi r7, r1"
KIND t32_ldr_literal, thumb, "ldr r3, =0x12345678; mov r4, r3"
KIND t32_ldr_w_literal, thumb, "ldr.w r12, =0x12345678"
KIND t32_vldr_literal, thumb, "vldr d3, 9f; b 7f; .p2align 2; 9: .word 0x89abcdef, 0x01234567"
KIND t32_pg, thumb, "push {lr}; bl __gnu_mcount_nc"
KIND t32_bx_pc, thumb, "bx pc; nop; .arm; add r0, r0, r1; ldr pc, 9f; 9: .word 7f + 1; .thumb"

/* Not aligned to a word; like KIND otherwise */
	.macro	ODD label
	.p2align 2
	nop
	.type	\label, %function
	.thumb_func
\label:
	adcs.w	r1, r1, r2
	END	kinds
	.size	\label, . - \label
	.ltorg
	.endm

	ODD	hooked_t32_odd
	ODD	plain_t32_odd
	.pushsection .data.kinds, "aw"
	.word	7f, hooked_t32_odd, plain_t32_odd, kinds
	.global	t_kinds_end
	.type	t_kinds_end, %object
t_kinds_end:
	.popsection
	.pushsection .rodata.names, "aMS", %progbits, 1
7:	.asciz	"t32_odd"
	.popsection

	.arm
	.p2align 2
	.global	t_target_arm
	.type	t_target_arm, %function
t_target_arm:
	END	T_TARGET_ARM
	.size	t_target_arm, . - t_target_arm
	.ltorg

	.thumb
	.global	t_target_thumb
	.type	t_target_thumb, %function
	.thumb_func
t_target_thumb:
	END	T_TARGET_THUMB
	.size	t_target_thumb, . - t_target_thumb
	.ltorg

#ifndef TORTURE_API
	.arm
	.p2align 2
	.global	t_look
	.type	t_look, %function
t_look:
	ldr	r2, =t_dispatch_sp
	str	sp, [r2]
	ldr	r2, =t_dispatch_next
	ldr	pc, [r2]
	.size	t_look, . - t_look
	.ltorg
#endif

	.bss
	.p2align 2
t_saved:
	.skip	8

	.section .note.GNU-stack, "", %progbits
