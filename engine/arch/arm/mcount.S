/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a program that was compiled with -pg calls at each entry: "push {lr}; bl __gnu_mcount_nc".
 * Gives lr back from the stack and returns, changing no register: the C library's own uses r12 up,
 * which is a nested function's static chain.
 */
	.syntax	unified
	.arch	armv7-a
	.arm
	.text

	.p2align 2
	.global	__gnu_mcount_nc
	.type	__gnu_mcount_nc, %function
__gnu_mcount_nc:
	.cfi_sections .debug_frame
	.cfi_startproc
	push	{lr}			@ the way back; above it, the function's lr
	.cfi_def_cfa_offset 4
	.cfi_offset lr, -4
	ldr	lr, [sp, #4]
	ldr	pc, [sp], #8		@ the state is in bit 0
	.cfi_endproc
	.size	__gnu_mcount_nc, . - __gnu_mcount_nc

	.section .note.GNU-stack, "", %progbits
