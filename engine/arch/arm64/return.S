/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * AArch64: where a function with return hooks returns to, by way of its stub (engine/return.h).
 *
 * x30, which the stub has used, gets the true return address, as after any return. At no instruction is anything live below sp.
 *
 *	sp + 288	the caller's sp
 *	sp + 272	st_return_data(), 16 bytes
 *	sp		struct st_regs
 */
#include "frame.h"

#define SIZE (ST_FRAME_SIZE + 16)

	/* x2 to x29; op is stp or ldp */
	.macro	registers op
	\op	x2, x3, [sp, #ST_FRAME_X(2)]
	\op	x4, x5, [sp, #ST_FRAME_X(4)]
	\op	x6, x7, [sp, #ST_FRAME_X(6)]
	\op	x8, x9, [sp, #ST_FRAME_X(8)]
	\op	x10, x11, [sp, #ST_FRAME_X(10)]
	\op	x12, x13, [sp, #ST_FRAME_X(12)]
	\op	x14, x15, [sp, #ST_FRAME_X(14)]
	\op	x16, x17, [sp, #ST_FRAME_X(16)]
	\op	x18, x19, [sp, #ST_FRAME_X(18)]
	\op	x20, x21, [sp, #ST_FRAME_X(20)]
	\op	x22, x23, [sp, #ST_FRAME_X(22)]
	\op	x24, x25, [sp, #ST_FRAME_X(24)]
	\op	x26, x27, [sp, #ST_FRAME_X(26)]
	\op	x28, x29, [sp, #ST_FRAME_X(28)]
	.endm

	.text
	.balign	16
	.globl	st_return
	.hidden	st_return, st_return_run
	.type	st_return, %function
st_return:
	.cfi_startproc
	.cfi_undefined x30
	hint	#38			/* BTI jc: the stub comes by br x30 */
	sub	sp, sp, #SIZE
	.cfi_def_cfa_offset SIZE
	registers stp
	stp	x0, x1, [sp, #ST_FRAME_X(0)]
	.irp	n, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29
	.cfi_offset x\n, ST_FRAME_X(\n) - SIZE
	.endr
	mrs	x3, nzcv
	add	x1, sp, #SIZE
	stp	xzr, x1, [sp, #ST_FRAME_X(30)]	/* x30: not known yet; sp */
	.cfi_offset x30, ST_FRAME_X(30) - SIZE
	stp	xzr, x3, [sp, #ST_FRAME_PC]	/* pc, pstate */
	stp	xzr, xzr, [sp, #ST_FRAME_SIZE]
	mov	x20, sp
	mov	x0, sp
	add	x29, sp, #ST_FRAME_X(29)
	.cfi_def_cfa x29, SIZE - ST_FRAME_X(29)
	and	sp, x0, #-16		/* see entry.S */
	bl	st_return_run

	mov	sp, x20
	.cfi_def_cfa sp, SIZE
	mov	x30, x0
	.cfi_restore x30
	ldr	x3, [sp, #ST_FRAME_PSTATE]
	msr	nzcv, x3
	registers ldp
	ldp	x0, x1, [sp, #ST_FRAME_X(0)]
	add	sp, sp, #SIZE
	.cfi_def_cfa_offset 0
	ret
	.cfi_endproc
	.size	st_return, . - st_return

#ifdef __ARM_FEATURE_BTI_DEFAULT
	/* As in entry.S. */
	.section .note.gnu.property, "a"
	.balign	8
	.word	4, 16, 5
	.asciz	"GNU"
	.word	0xc0000000, 4, 1, 0
#endif
	.section .note.GNU-stack, "", %progbits
