/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * st_dispatch with all vector and floating-point state of the thread kept: for hooks that may use it.
 *
 * Plain moves of the registers at the width the CPU has, not xsave or fxsave: those take 70 to 120 ns
 * (docs/costs.md). The mask registers and MXCSR come along. Of the x87 unit, the control and status words; its
 * registers are empty at a call (psABI 3.2.3), and where they are not, fxsave is used after all.
 */
#include <engine/site.h>
#include "frame.h"

#define MXCSR	0		/* 4 bytes */
#define FCW	4		/* 2 */
#define FSW	6		/* 2 */
#define ENV	16		/* 28: fnstenv */
#define K	64		/* 8 x 8 */
#define V	128		/* 32 x 64 */
#define FX	(V + 32 * 64)	/* 512: fxsave */
#define SIZE	(FX + 512)

#define FSW_TOP	0x3800

.macro each16 op
	.irp	i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	\op	\i
	.endr
.endm
.macro each32 op
	each16	\op
	.irp	i, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	\op	\i
	.endr
.endm
.macro save_z i
	vmovdqu64 %zmm\i, V + 64 * \i(%rsp)
.endm
.macro load_z i
	vmovdqu64 V + 64 * \i(%rsp), %zmm\i
.endm
.macro save_y i
	vmovdqu	%ymm\i, V + 64 * \i(%rsp)
.endm
.macro load_y i
	vmovdqu	V + 64 * \i(%rsp), %ymm\i
.endm
.macro save_x i
	movaps	%xmm\i, V + 64 * \i(%rsp)
.endm
.macro load_x i
	movaps	V + 64 * \i(%rsp), %xmm\i
.endm
.macro save_k i
	kmovq	%k\i, K + 8 * \i(%rsp)
.endm
.macro load_k i
	kmovq	K + 8 * \i(%rsp), %k\i
.endm
.macro each8 op
	.irp	i, 0, 1, 2, 3, 4, 5, 6, 7
	\op	\i
	.endr
.endm

	.text
	.globl	st_dispatch_vector
	.hidden	st_dispatch_vector, st_dispatch, st_arch_vector
	.type	st_dispatch_vector, @function
	.balign	64
st_dispatch_vector:
	.cfi_startproc
	push	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset rbp, -16
	mov	%rsp, %rbp
	.cfi_def_cfa_register rbp
	push	%rbx
	.cfi_offset rbx, -24
	sub	$(SIZE + 64), %rsp
	and	$-64, %rsp
	stmxcsr	MXCSR(%rsp)
	fnstcw	FCW(%rsp)
	fnstsw	FSW(%rsp)
	mov	st_arch_vector(%rip), %ebx
	testw	$FSW_TOP, FSW(%rsp)
	jz	1f
	fxsave64 FX(%rsp)
1:	test	$ST_VECTOR_AVX512, %bl
	jz	2f
	each32	save_z
	each8	save_k
	call	st_dispatch
	each32	load_z
	each8	load_k
	jmp	5f
2:	test	$ST_VECTOR_AVX, %bl
	jz	3f
	each16	save_y
	call	st_dispatch
	each16	load_y
	jmp	5f
3:	each16	save_x
	call	st_dispatch
	each16	load_x

5:	testw	$FSW_TOP, FSW(%rsp)
	jnz	8f
	fnstsw	%ax
	cmp	FSW(%rsp), %ax
	jne	7f
	fldcw	FCW(%rsp)
6:	ldmxcsr	MXCSR(%rsp)
	lea	-8(%rbp), %rsp
	pop	%rbx
	pop	%rbp
	.cfi_remember_state
	.cfi_def_cfa rsp, 8
	ret
	.cfi_restore_state
	/* The hook left x87 exception flags or condition codes behind. */
7:	fnstenv	ENV(%rsp)
	mov	FCW(%rsp), %eax
	mov	%ax, ENV(%rsp)
	shr	$16, %eax
	mov	%ax, ENV + 4(%rsp)
	fldenv	ENV(%rsp)
	jmp	6b
	/* The image has xmm0-15 as they were, too. */
8:	fxrstor64 FX(%rsp)
	jmp	6b
	.cfi_endproc
	.size	st_dispatch_vector, . - st_dispatch_vector
	.section .note.GNU-stack, "", @progbits
