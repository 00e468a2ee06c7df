/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * AArch64: from a stub into C and back.
 *
 * The rule: what the hooks leave in struct st_regs is what the function gets, and at no instruction
 * is anything live below sp, since a signal may come at each. Nothing here has an absolute address:
 * the code is copied into processes.
 */
#include <engine/site.h>
#include "frame.h"

/* BTI C, for assemblers that do not know it; a NOP where there is no BTI (Arm ARM C6.2, HINT) */
#define LANDING_PAD	hint	#34

	.macro	function name
	.text
	.balign	16
	.globl	\name
	.hidden	\name
	.type	\name, %function
\name:
	.cfi_startproc
	LANDING_PAD
	.endm

	.macro	end name
	.cfi_endproc
	.size	\name, . - \name
	.endm

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

/*
 * st_entry - called by stubs (stub.c)
 * x0: the site; x30: behind the call in the stub; sp: the frame (frame.h), x0, x1 and x30 are in it
 *
 * To the unwinder this is a function that was called in place of the hooked one: its return address
 * is the function's, and the callee-saved registers are those in struct st_regs.
 */
function st_entry
	.cfi_def_cfa sp, ST_FRAME_SIZE
	.cfi_offset x30, ST_FRAME_X(30) - ST_FRAME_SIZE
	registers stp
	.irp	n, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29
	.cfi_offset x\n, ST_FRAME_X(\n) - ST_FRAME_SIZE
	.endr
	ldr	x21, [x0, #ST_SITE_FUNC]
	mrs	x3, nzcv
	add	x1, sp, #ST_FRAME_SIZE
	stp	x1, x21, [sp, #ST_FRAME_SP]
	str	x3, [sp, #ST_FRAME_PSTATE]

	ldr	x3, [x0, #ST_SITE_DISPATCH]
	mov	x1, sp
	mov	x20, sp
	mov	x19, x30
	add	x29, sp, #ST_FRAME_X(29)
	.cfi_def_cfa x29, ST_FRAME_SIZE - ST_FRAME_X(29)
	/*
	 * sp is aligned, or the stores above would have faulted (Linux sets SCTLR_EL1.SA0). Not so
	 * where the check is missing, as in emulators: the hooks get an aligned stack there too.
	 */
	and	sp, x1, #-16
	blr	x3

	ldp	x4, x5, [x20, #ST_FRAME_SP]	/* sp, pc */
	add	x6, x20, #ST_FRAME_SIZE
	cmp	x5, x21
	ccmp	x4, x6, #0, eq
	b.ne	.Lchanged

.Lcontinue:
	mov	sp, x20
	mov	x30, x19
	.cfi_remember_state
	.cfi_def_cfa sp, ST_FRAME_SIZE
	ldr	x3, [sp, #ST_FRAME_PSTATE]
	msr	nzcv, x3
	registers ldp
	ldp	x0, x1, [sp, #ST_FRAME_X(0)]
	ret					/* the stub: x30, sp, and on */

	/* A hook changed sp (x4; it was x6) or pc (x5; it was x21), or both. */
	.cfi_restore_state
.Lchanged:
	cmp	x4, x6
	b.eq	.Lplaced
	/*
	 * The frame moves to where it ends at the new sp. Up: copied from its end before sp follows.
	 * Down: sp goes first, and the copy begins at the start. Each pair is read before anything
	 * is written over it.
	 */
	sub	x7, x4, #ST_FRAME_SIZE
	b.lo	.Ldown
	add	x9, x20, #ST_FRAME_SIZE
1:	ldp	x10, x11, [x9, #-16]!
	stp	x10, x11, [x4, #-16]!
	cmp	x9, x20
	b.ne	1b
	b	.Lmoved
.Ldown:
	mov	sp, x7
	mov	x8, x7
1:	ldp	x10, x11, [x20], #16
	stp	x10, x11, [x8], #16
	cmp	x20, x6
	b.ne	1b
.Lmoved:
	mov	x20, x7
.Lplaced:
	cmp	x5, x21
	b.eq	.Lcontinue

	/*
	 * BR needs a register: x17, from which BTI c may be reached, and which calls may use up
	 * (AAPCS64 6.1.1).
	 */
	mov	sp, x20
	.cfi_def_cfa sp, ST_FRAME_SIZE
	ldr	x3, [sp, #ST_FRAME_PSTATE]
	msr	nzcv, x3
	registers ldp
	ldp	x0, x1, [sp, #ST_FRAME_X(0)]
	ldr	x17, [sp, #ST_FRAME_PC]
	ldr	x30, [sp, #ST_FRAME_X(30)]
	.cfi_restore x30
	add	sp, sp, #ST_FRAME_SIZE
	.cfi_def_cfa_offset 0
	br	x17
end st_entry

	/* op q0 to q31, 16 bytes each from sp */
	.macro	vectors op
	\op	q0, q1, [sp, #0]
	\op	q2, q3, [sp, #32]
	\op	q4, q5, [sp, #64]
	\op	q6, q7, [sp, #96]
	\op	q8, q9, [sp, #128]
	\op	q10, q11, [sp, #160]
	\op	q12, q13, [sp, #192]
	\op	q14, q15, [sp, #224]
	\op	q16, q17, [sp, #256]
	\op	q18, q19, [sp, #288]
	\op	q20, q21, [sp, #320]
	\op	q22, q23, [sp, #352]
	\op	q24, q25, [sp, #384]
	\op	q26, q27, [sp, #416]
	\op	q28, q29, [sp, #448]
	\op	q30, q31, [sp, #480]
	.endm

	/* op z0 to z31, above the predicates */
	.macro	scalable op
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	\op	z\n, [sp, #(\n + 3), mul vl]
	.endr
	.irp	n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	\op	z\n, [sp, #(\n + 3), mul vl]
	.endr
	.endm

	/* op p0 to p15, VL / 8 bytes each from sp; the next is FFR's */
	.macro	predicates op
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	\op	p\n, [sp, #\n, mul vl]
	.endr
	.endm

	/* room for z0 to z31 and for 17 predicates, in whole vectors so that sp stays aligned */
	.macro	scalable_room
	addvl	sp, sp, #-32
	addvl	sp, sp, #-3
	.endm

/*
 * st_dispatch_vector - void st_dispatch_vector(struct st_site *site, struct st_regs *regs)
 *
 * All vector registers at their full width, not only what the ABI has callees preserve: arguments
 * are in them, and functions of vector calling conventions count on them.
 *
 *	x29 + 16	FPCR, FPSR, 4 bytes each
 *	x29		x29, x30
 *	sp		q0 to q31, or with SVE p0 to p15, FFR, z0 to z31
 */
function st_dispatch_vector
	stp	x29, x30, [sp, #-32]!
	.cfi_def_cfa_offset 32
	.cfi_offset x29, -32
	.cfi_offset x30, -24
	mov	x29, sp
	.cfi_def_cfa_register x29
	mrs	x2, fpcr
	mrs	x3, fpsr
	stp	w2, w3, [sp, #16]
	adrp	x4, st_arch_vector
	ldr	w4, [x4, #:lo12:st_arch_vector]
	cbnz	w4, .Lscalable

.Lfixed:
	sub	sp, sp, #512
	vectors	stp
	bl	st_dispatch
	vectors	ldp

.Lvectors_back:
	ldp	w2, w3, [x29, #16]
	msr	fpcr, x2
	msr	fpsr, x3
	mov	sp, x29
	ldp	x29, x30, [sp], #32
	.cfi_remember_state
	.cfi_restore x29
	.cfi_restore x30
	.cfi_def_cfa sp, 0
	ret
	.cfi_restore_state

	.arch_extension sve
.Lscalable:
	tbz	w4, #ST_VECTOR_SME, 1f
	mrs	x5, s3_3_c4_c2_2		/* SVCR */
	tbnz	x5, #0, .Lstreaming		/* SVCR.SM */
	tbz	w4, #ST_VECTOR_SVE, .Lfixed
1:	scalable_room
	predicates str
	rdffr	p0.b
	str	p0, [sp, #16, mul vl]
	scalable str
	bl	st_dispatch
	ldr	p0, [sp, #16, mul vl]
	wrffr	p0.b
	predicates ldr
	scalable ldr
	b	.Lvectors_back

	/*
	 * In streaming mode the registers have another width, there is no FFR, and C code can't
	 * run: hooks run out of it. Both changes of the mode clear the registers and set FPSR (Arm
	 * ARM B1.4, process state), which is saved by now. ZA stays.
	 */
.Lstreaming:
	scalable_room
	predicates str
	scalable str
	msr	s0_3_c4_c2_3, xzr		/* SMSTOP SM */
	bl	st_dispatch
	msr	s0_3_c4_c3_3, xzr		/* SMSTART SM */
	predicates ldr
	scalable ldr
	b	.Lvectors_back
end st_dispatch_vector

	.hidden	st_dispatch
	.hidden	st_arch_vector

#ifdef __ARM_FEATURE_BTI_DEFAULT
	/* What has no landing pad here is not reached by indirect branches. */
	.section .note.gnu.property, "a"
	.balign	8
	.word	4, 16, 5			/* name, description, NT_GNU_PROPERTY_TYPE_0 */
	.asciz	"GNU"
	.word	0xc0000000, 4, 1, 0		/* FEATURE_1_AND: BTI */
#endif
	.section .note.GNU-stack, "", %progbits
