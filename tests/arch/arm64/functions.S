/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * AArch64 register torture: functions of every kind of site, and the caller that fills every
 * register before it jumps to them. A function's body writes down all registers as it finds them;
 * so does the place it returns to.
 */
#include "torture.h"

	.arch	armv8.3-a
	.arch_extension sve

	.macro	address reg, sym
	adrp	\reg, \sym
	add	\reg, \reg, #:lo12:\sym
	.endm

	/* op x2 to x29 at x0 */
	.macro	registers op
	\op	x2, x3, [x0, #16]
	\op	x4, x5, [x0, #32]
	\op	x6, x7, [x0, #48]
	\op	x8, x9, [x0, #64]
	\op	x10, x11, [x0, #80]
	\op	x12, x13, [x0, #96]
	\op	x14, x15, [x0, #112]
	\op	x16, x17, [x0, #128]
	\op	x18, x19, [x0, #144]
	\op	x20, x21, [x0, #160]
	\op	x22, x23, [x0, #176]
	\op	x24, x25, [x0, #192]
	\op	x26, x27, [x0, #208]
	\op	x28, x29, [x0, #224]
	.endm

	.macro	vectors op
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	\op	q\n, [x1, #(16 * \n)]
	.endr
	.endm

	.macro	scalable op
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	\op	z\n, [x1, #\n, mul vl]
	.endr
	.endm

	.macro	predicates op
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	\op	p\n, [x1, #\n, mul vl]
	.endr
	.endm

	.macro	smstart_sm
	msr	s0_3_c4_c3_3, xzr
	.endm

	.macro	smstop_sm
	msr	s0_3_c4_c2_3, xzr
	.endm

	.text
/*
 * Writes all registers to the state at x0; x0, x1 are at sp, x30 at sp + 16, sp is 48 less than it
 * was. Uses x0, x1 and x30 only, and no flag.
 */
record:
	registers stp
	ldr	x1, [sp]
	str	x1, [x0]
	ldr	x1, [sp, #8]
	str	x1, [x0, #8]
	ldr	x1, [sp, #16]
	str	x1, [x0, #240]
	add	x1, sp, #48
	str	x1, [x0, #T_SP]
	mrs	x1, nzcv
	str	x1, [x0, #T_NZCV]
	mrs	x1, fpcr
	str	x1, [x0, #T_FPCR]
	mrs	x1, fpsr
	str	x1, [x0, #T_FPSR]
	add	x1, x0, #T_Q
	vectors	str
	adrp	x1, with_sve
	ldr	w1, [x1, #:lo12:with_sve]
	cbz	w1, 2f
	add	x1, x0, #T_P
	predicates str
	adrp	x1, streaming
	ldr	w1, [x1, #:lo12:streaming]
	cbnz	w1, 1f
	add	x1, x0, #T_P
	rdffr	p0.b
	str	p0, [x1, #16, mul vl]
	ldr	p0, [x1]
1:	add	x1, x0, #T_Z
	scalable str
2:	ret

	/* The end of each function. */
	.macro	body_of who
	sub	sp, sp, #48
	stp	x0, x1, [sp]
	str	x30, [sp, #16]
	address	x0, seen
	mov	x1, #\who
	str	x1, [x0, #T_WHO]
	bl	record
	ldp	x0, x1, [sp]
	ldr	x30, [sp, #16]
	add	sp, sp, #48
	ret
	.endm

/* Fills the vector registers from the state at x0. Uses x1. */
load_vectors:
	adrp	x1, streaming
	ldr	w1, [x1, #:lo12:streaming]
	cbz	w1, 1f
	smstart_sm
1:	ldr	x1, [x0, #T_FPCR]
	msr	fpcr, x1
	ldr	x1, [x0, #T_FPSR]
	msr	fpsr, x1
	add	x1, x0, #T_Q
	vectors	ldr
	adrp	x1, with_sve
	ldr	w1, [x1, #:lo12:with_sve]
	cbz	w1, 3f
	adrp	x1, streaming
	ldr	w1, [x1, #:lo12:streaming]
	cbnz	w1, 2f
	add	x1, x0, #T_P
	ldr	p0, [x1, #16, mul vl]
	wrffr	p0.b
2:	add	x1, x0, #T_P
	predicates ldr
	add	x1, x0, #T_Z
	scalable ldr
3:	ret

/* The C caller's frame: x19 to x30 and d8 to d15; its sp is kept in c_sp. */
save_c:
	mov	x1, x30
	ldr	x30, [sp], #16			/* of our caller, see enter_of */
	sub	sp, sp, #160
	stp	x19, x20, [sp]
	stp	x21, x22, [sp, #16]
	stp	x23, x24, [sp, #32]
	stp	x25, x26, [sp, #48]
	stp	x27, x28, [sp, #64]
	stp	x29, x30, [sp, #80]
	stp	d8, d9, [sp, #96]
	stp	d10, d11, [sp, #112]
	stp	d12, d13, [sp, #128]
	stp	d14, d15, [sp, #144]
	adrp	x2, c_sp
	mov	x3, sp
	str	x3, [x2, #:lo12:c_sp]
	br	x1

	/* enter(in): all registers from *in, then a direct branch, which needs none */
	.macro	enter_of name
enter_\name:
	str	x30, [sp, #-16]!
	bl	save_c
	bl	load_vectors
	ldr	x1, [x0, #T_NZCV]
	msr	nzcv, x1
	ldr	x1, [x0, #T_SP]
	mov	sp, x1
	registers ldp
	ldr	x30, [x0, #240]
	ldp	x0, x1, [x0]
	b	fn_\name
	.endm

	/* Where functions return to, one of two places. */
	.globl	back_a, back_b
back_a:
	sub	sp, sp, #48
	stp	x0, x1, [sp]
	mov	x1, #1001
	b	1f
back_b:
	sub	sp, sp, #48
	stp	x0, x1, [sp]
	mov	x1, #1002
1:	str	x30, [sp, #16]
	address	x0, came_back
	str	x1, [x0, #T_WHO]
	bl	record
	adrp	x1, streaming
	ldr	w1, [x1, #:lo12:streaming]
	cbz	w1, 1f
	smstop_sm
1:	adrp	x1, c_sp
	ldr	x1, [x1, #:lo12:c_sp]
	mov	sp, x1
	msr	fpcr, xzr
	ldp	x19, x20, [sp]
	ldp	x21, x22, [sp, #16]
	ldp	x23, x24, [sp, #32]
	ldp	x25, x26, [sp, #48]
	ldp	x27, x28, [sp, #64]
	ldp	x29, x30, [sp, #80]
	ldp	d8, d9, [sp, #96]
	ldp	d10, d11, [sp, #112]
	ldp	d12, d13, [sp, #128]
	ldp	d14, d15, [sp, #144]
	add	sp, sp, #160
	ret

	/* void clobber_vectors(void): what a hook that uses vector code may do */
	.globl	clobber_vectors
clobber_vectors:
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	movi	v\n\().16b, #(0xa0 + \n)
	.endr
	mrs	x0, fpcr
	eor	x0, x0, #0x1c00000		/* RMode, FZ */
	msr	fpcr, x0
	mrs	x0, fpsr
	eor	x0, x0, #0x1f
	msr	fpsr, x0
	adrp	x1, with_sve
	ldr	w1, [x1, #:lo12:with_sve]
	cbz	w1, 1f
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	dup	z\n\().b, #(\n + 1)
	.endr
	pfalse	p0.b
	wrffr	p0.b
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	ptrue	p\n\().h
	.endr
1:	ret

	/* unsigned long vector_length(void): in bytes, in the mode of the test */
	.globl	vector_length
vector_length:
	adrp	x1, streaming
	ldr	w1, [x1, #:lo12:streaming]
	cbz	w1, 1f
	smstart_sm
	rdvl	x0, #1
	smstop_sm
	ret
1:	rdvl	x0, #1
	ret

	.set	count, 0
	.pushsection .data.rel.ro, "aw"
	.balign	16
	.globl	functions
functions:
	.popsection

	/* function NAME, KIND, WANTS: its first instructions follow, and then end NAME */
	.macro	function name, kind, wants=0
	enter_of \name
	.balign	16
	.type	fn_\name, %function
fn_\name:
	.set	count, count + 1
	.pushsection .data.rel.ro, "aw"
	.quad	enter_\name, fn_\name, end_\name - fn_\name, \wants
8:	.ascii	"\name"
	.zero	24 - (. - 8b)
8:	.ascii	"\kind"
	.zero	8 - (. - 8b)
	.popsection
	.endm

	.macro	end name
	body_of	count
end_\name:
	.size	fn_\name, . - fn_\name
	.endm

	/* A taken branch shows in x9. */
	.macro	branches name
	b	2f
1:	mvn	x9, x9
2:
	end	\name
	.endm

function nop1, nop
	nop
end nop1

function nop2, nop
	nop
	nop
end nop2

function bti_nop, bti, F_PAD
	hint	#34
	nop
end bti_nop

function bti_jc_nop, bti, F_PAD
	hint	#38
	nop
end bti_jc_nop

function bti_push, move, F_PAD
	hint	#34
	stp	x29, x30, [sp, #-16]!
	ldp	x29, x30, [sp], #16
end bti_push

function paciasp, move, F_PAD
	hint	#25
	hint	#29				/* fails if sp or x30 is another */
end paciasp

function paciasp_push, move, F_PAD
	hint	#25
	stp	x29, x30, [sp, #-16]!
	ldp	x29, x30, [sp], #16
	hint	#29
end paciasp_push

function pacibsp_nop, nop, F_PAD
	hint	#27
	nop
	hint	#31
end pacibsp_nop

function push, move
	stp	x29, x30, [sp, #-16]!
	ldp	x29, x30, [sp], #16
end push

function frame, move
	sub	sp, sp, #4080
	add	sp, sp, #4080
end frame

function mov, move
	mov	x7, x29
end mov

function adds, move
	adds	x18, x17, x16
end adds

function adc, move
	adc	x17, x18, x30
end adc

function fmov, move
	fmov	x15, d17
end fmov

function mrs, move
	mrs	x6, nzcv
end mrs

function isb, move
	isb
end isb

function svc, move, F_SVC
	svc	#0
end svc

function adr, move
	adr	x17, fn_nop1
end adr

function adr_xzr, move
	adr	xzr, fn_nop1
end adr_xzr

function adrp, move
	adrp	x16, seen
end adrp

function adrp_x29, move
	adrp	x29, came_back
end adrp_x29

function ldr_x, move
	ldr	x5, words
end ldr_x

function ldr_w, move
	ldr	w18, words
end ldr_w

function ldrsw, move
	ldrsw	x0, words + 4
end ldrsw

function ldr_xzr, move
	ldr	xzr, words
end ldr_xzr

function ldr_s, move
	ldr	s0, words
end ldr_s

function ldr_d, move
	ldr	d8, words
end ldr_d

function ldr_q, move
	ldr	q31, words
end ldr_q

function prfm, move
	prfm	pldl1keep, words
end prfm

function cbz, move
	cbz	x2, 1f
branches cbz

function cbnz, move
	cbnz	w16, 1f
branches cbnz

function tbz, move
	tbz	x4, #33, 1f
branches tbz

function tbnz, move
	tbnz	w17, #3, 1f
branches tbnz

function b_eq, move
	b.eq	1f
branches b_eq

function b_vc, move
	b.vc	1f
branches b_vc

function b_hi, move
	b.hi	1f
branches b_hi

function b, move
	b	1f
branches b

function ldxr, move, F_WORD
	ldxr	x9, [x16]
	b	2f
1:	ldxr	x9, [x16]
2:	stxr	w10, x9, [x16]
	cbnz	w10, 1b				/* a signal came between */
end ldxr

function ret, move, F_LAST
	ret
end ret

function br, move, F_BODY
	br	x16
end br

function bl, move
	bl	body				/* which returns to here */
	b	back_b
end bl

function blr, move, F_BODY
	blr	x16
	b	back_b
end blr

/* Where hooks redirect to. */
function unhooked, none
	hint	#34
end unhooked

	.globl	body
body:
	hint	#34
	body_of	1000

	.balign	16
words:
	.quad	0x9123456789abcdef, 0x0f1e2d3c4b5a6978

	.section .rodata
	.globl	nfunctions
	.balign	8
nfunctions:
	.quad	count

	.bss
	.balign	64
	.globl	seen, came_back, with_sve, streaming, variable
seen:	.skip	T_Z + 32 * 256
	.balign	64
came_back:
	.skip	T_Z + 32 * 256
c_sp:	.skip	8
variable:
	.skip	8
with_sve:
	.skip	4
streaming:
	.skip	4

	.section .note.GNU-stack, "", %progbits
