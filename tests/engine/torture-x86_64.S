/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Register torture for x86-64: the caller that fills every register there is before it calls a function, and the
 * functions, one for each kind of site and shape of first instructions. A function's body writes down all registers as
 * it finds them, so does the caller when it has returned. All of it changes nothing but rsp's own stack.
 *
 * Everything is static: with all registers taken there is no pointer to anything.
 */
#include "torture.h"

	.macro	each16 op
	.irp	i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	\op	\i
	.endr
	.endm
	.macro	upper16 op
	.irp	i, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	\op	\i
	.endr
	.endm
	.macro	each8 op
	.irp	i, 0, 1, 2, 3, 4, 5, 6, 7
	\op	\i
	.endr
	.endm

	.macro	save_z i
	vmovdqu64 %zmm\i, IMG_Z + 64 * \i + to(%rip)
	.endm
	.macro	save_y i
	vmovdqu	%ymm\i, IMG_Z + 64 * \i + to(%rip)
	.endm
	.macro	save_x i
	movdqu	%xmm\i, IMG_Z + 64 * \i + to(%rip)
	.endm
	.macro	save_k i
	kmovq	%k\i, IMG_K + 8 * \i + to(%rip)
	.endm
	.macro	load_z i
	vmovdqu64 IMG_Z + 64 * \i + torture_in(%rip), %zmm\i
	.endm
	.macro	load_y i
	vmovdqu	IMG_Z + 64 * \i + torture_in(%rip), %ymm\i
	.endm
	.macro	load_x i
	movdqu	IMG_Z + 64 * \i + torture_in(%rip), %xmm\i
	.endm
	.macro	load_k i
	kmovq	IMG_K + 8 * \i + torture_in(%rip), %k\i
	.endm

	/* All registers to the image \img; all stay as they are. 8 bytes below rsp are used. */
	.macro	write_down img
	.set	to, \img
	mov	%rax, 0 + to(%rip)
	mov	%rcx, 8 + to(%rip)
	mov	%rdx, 16 + to(%rip)
	mov	%rbx, 24 + to(%rip)
	mov	%rsp, 32 + to(%rip)
	mov	%rbp, 40 + to(%rip)
	mov	%rsi, 48 + to(%rip)
	mov	%rdi, 56 + to(%rip)
	mov	%r8, 64 + to(%rip)
	mov	%r9, 72 + to(%rip)
	mov	%r10, 80 + to(%rip)
	mov	%r11, 88 + to(%rip)
	mov	%r12, 96 + to(%rip)
	mov	%r13, 104 + to(%rip)
	mov	%r14, 112 + to(%rip)
	mov	%r15, 120 + to(%rip)
	pushfq
	popq	IMG_FLAGS + to(%rip)
	fxsave64 IMG_FX + to(%rip)
	cmpl	$LEVEL_AVX, torture_level(%rip)
	ja	1f
	je	2f
	each16	save_x
	jmp	3f
1:	each16	save_z
	upper16	save_z
	each8	save_k
	jmp	3f
2:	each16	save_y
3:	pushq	IMG_FLAGS + to(%rip)
	popfq
	.endm

	.bss
	.balign	64
	.globl	torture_in, torture_body, torture_out
torture_in:	.skip	IMG_SIZE
torture_body:	.skip	IMG_SIZE
torture_out:	.skip	IMG_SIZE
own_stack:	.skip	8
	.globl	torture_target, torture_level, torture_data
torture_target:	.skip	8
torture_level:	.skip	8
	.balign	64
torture_data:	.skip	64

	.text
	.globl	torture_call
	.type	torture_call, @function
	.balign	64
torture_call:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, own_stack(%rip)
	fxrstor64 IMG_FX + torture_in(%rip)
	cmpl	$LEVEL_AVX, torture_level(%rip)
	ja	1f
	je	2f
	each16	load_x
	jmp	3f
1:	each16	load_z
	upper16	load_z
	each8	load_k
	jmp	3f
2:	each16	load_y
3:	mov	32 + torture_in(%rip), %rsp
	pushq	IMG_FLAGS + torture_in(%rip)
	popfq
	mov	0 + torture_in(%rip), %rax
	mov	8 + torture_in(%rip), %rcx
	mov	16 + torture_in(%rip), %rdx
	mov	24 + torture_in(%rip), %rbx
	mov	40 + torture_in(%rip), %rbp
	mov	48 + torture_in(%rip), %rsi
	mov	56 + torture_in(%rip), %rdi
	mov	64 + torture_in(%rip), %r8
	mov	72 + torture_in(%rip), %r9
	mov	80 + torture_in(%rip), %r10
	mov	88 + torture_in(%rip), %r11
	mov	96 + torture_in(%rip), %r12
	mov	104 + torture_in(%rip), %r13
	mov	112 + torture_in(%rip), %r14
	mov	120 + torture_in(%rip), %r15
	call	*torture_target(%rip)
	.globl	torture_return
torture_return:
	write_down torture_out
	pushq	$0x202
	popfq
	fninit
	ldmxcsr	usual_mxcsr(%rip)
	mov	own_stack(%rip), %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	cmpl	$LEVEL_SSE, torture_level(%rip)
	je	4f
	vzeroupper
4:	ret
	.size	torture_call, . - torture_call

	.section .rodata
	.balign	4
usual_mxcsr:
	.long	0x1f80
	.text

	/* What every function's body does: a subroutine, called on the function's own stack. */
	.type	body, @function
	.balign	16
body:
	write_down torture_body
	movq	$WHO_BODY, IMG_WHO + torture_body(%rip)
	ret
	.size	body, . - body

	.globl	torture_redirect
	.type	torture_redirect, @function
	.balign	16
torture_redirect:
	write_down torture_body
	movq	$WHO_REDIRECT, IMG_WHO + torture_body(%rip)
	ret
	.size	torture_redirect, . - torture_redirect

	/*
	 * The functions. Each shape's first instructions are a macro "first_NAME", its last ones "last_NAME"; `self` is the
	 * function's start.
	 */
	.macro	one name, kind
	.type	\name\()_\kind, @function
	.balign	16
\name\()_\kind:
	.set	self, .
	first_\name
	call	body
	last_\name
	ret
	.size	\name\()_\kind, . - \name\()_\kind
	.endm

	.macro	shape name, text
	one	\name, hooked
	.skip	16, 0xcc
	one	\name, twin
	.pushsection .data.rel.ro.shapes, "aw"
	.quad	99f, \name\()_hooked, \name\()_twin
	.popsection
	.pushsection .rodata
99:	.asciz	"\text"
	.popsection
	.endm

	.pushsection .data.rel.ro.shapes, "aw"
	.balign	8
	.globl	torture_shapes
torture_shapes:
	.popsection

	.macro	first_nops1
	.byte	0x90, 0x90, 0x90, 0x90, 0x90
	.endm
	.macro	last_nops1
	.endm
	shape	nops1, "five NOPs of one byte (gcc)"

	.macro	first_nop5
	.byte	0x0f, 0x1f, 0x44, 0x00, 0x00
	.endm
	.macro	last_nop5
	.endm
	shape	nop5, "one NOP of five bytes (clang, -mnop-mcount)"

	.macro	first_nops16
	.fill	16, 1, 0x90
	.endm
	.macro	last_nops16
	.endm
	shape	nops16, "sixteen NOPs of one byte"

	.macro	first_endbr_nop5
	endbr64
	.byte	0x0f, 0x1f, 0x44, 0x00, 0x00
	.endm
	.macro	last_endbr_nop5
	.endm
	shape	endbr_nop5, "endbr64 and one NOP of five bytes"

	.macro	first_endbr_nops1
	endbr64
	.fill	5, 1, 0x90
	.endm
	.macro	last_endbr_nops1
	.endm
	shape	endbr_nops1, "endbr64 and five NOPs of one byte"

	.macro	first_fentry
	call	__fentry__
	.endm
	.macro	last_fentry
	.endm
	shape	fentry, "call __fentry__ (-pg -mfentry)"

	.macro	first_fentry_got
	call	*__fentry__@GOTPCREL(%rip)
	.endm
	.macro	last_fentry_got
	.endm
	shape	fentry_got, "call *__fentry__@GOTPCREL(%rip)"

	.macro	first_frame
	push	%rbp
	mov	%rsp, %rbp
	sub	$0x40, %rsp
	.endm
	.macro	last_frame
	leave
	.endm
	shape	frame, "push rbp; mov rsp, rbp; sub"

	.macro	first_pushes
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	.endm
	.macro	last_pushes
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	.endm
	shape	pushes, "push r15, r14, r13"

	.macro	first_endbr_frame
	endbr64
	push	%rbp
	mov	%rsp, %rbp
	and	$-32, %rsp
	.endm
	.macro	last_endbr_frame
	leave
	.endm
	shape	endbr_frame, "endbr64; push rbp; mov; and"

	.macro	first_sub
	sub	$0x1238, %rsp
	.endm
	.macro	last_sub
	add	$0x1238, %rsp
	.endm
	shape	sub, "sub imm32, rsp"

	.macro	first_rip_load
	mov	torture_data(%rip), %rax
	lea	torture_data + 8(%rip), %r11
	.endm
	.macro	last_rip_load
	.endm
	shape	rip_load, "rip-relative mov"

	.macro	first_rip_lea
	lea	torture_data + 8(%rip), %r11
	.endm
	.macro	last_rip_lea
	.endm
	shape	rip_lea, "rip-relative lea"

	.macro	first_rip_imm
	cmpl	$0x1234567, torture_data + 16(%rip)
	.endm
	.macro	last_rip_imm
	.endm
	shape	rip_imm, "rip-relative cmp with an immediate"

	.macro	first_rip_imm8
	cmpb	$0x12, torture_data + 16(%rip)
	.endm
	.macro	last_rip_imm8
	.endm
	shape	rip_imm8, "rip-relative cmpb"

	.macro	first_rip_sse
	movdqa	torture_data + 16(%rip), %xmm3
	.endm
	.macro	last_rip_sse
	.endm
	shape	rip_sse, "rip-relative movdqa"

	.macro	first_flags_read
	setc	%al
	adc	%rdx, %rcx
	sbb	%rsi, %rsi
	.endm
	.macro	last_flags_read
	.endm
	shape	flags_read, "setc; adc; sbb: reads the flags"

	.macro	first_pushfq
	pushfq
	pop	%rax
	cmc
	lahf
	xchg	%rax, %r9
	.endm
	.macro	last_pushfq
	.endm
	shape	pushfq, "pushfq; pop; cmc; lahf"

	.macro	first_jcc
	test	%edi, %edi
	je	1f
	lea	3(%rax), %rax
1:	lea	5(%rbx), %rcx
	.endm
	.macro	last_jcc
	.endm
	shape	jcc, "test; je"

	.macro	first_jcc_first
	jc	1f
	lea	3(%rax), %rax
	lea	3(%rdx), %rdx
1:	lea	5(%rbx), %rcx
	.endm
	.macro	last_jcc_first
	.endm
	shape	jcc_first, "jc first"

	.macro	first_jcc_far
	.byte	0x0f, 0x88	/* js rel32 */
	.long	1f - 2f
2:	lea	3(%rax), %rax
1:	lea	5(%rbx), %rcx
	.endm
	.macro	last_jcc_far
	.endm
	shape	jcc_far, "js rel32"

	.macro	first_jrcxz
	jrcxz	1f
	lea	3(%rax), %rax
1:	lea	5(%rbx), %rdx
	.endm
	.macro	last_jrcxz
	.endm
	shape	jrcxz, "jrcxz"

	.macro	first_loop
	loop	1f
	lea	3(%rax), %rax
1:	lea	5(%rbx), %rdx
	.endm
	.macro	last_loop
	.endm
	shape	loop, "loop forward"

	.macro	first_jmp
	jmp	1f
	lea	3(%rax), %rax
1:	lea	5(%rbx), %rcx
	.endm
	.macro	last_jmp
	.endm
	shape	jmp, "jmp rel8 first"

	.macro	first_jmp_far
	.byte	0xe9
	.long	1f - 2f
2:	lea	3(%rax), %rax
1:	lea	5(%rbx), %rcx
	.endm
	.macro	last_jmp_far
	.endm
	shape	jmp_far, "jmp rel32 first"

	/* Where the return address of a first call lies matters to unwinders, and to code that computes from it. */
	.type	where, @function
where:
	push	%rax
	mov	8(%rsp), %rax
	mov	%rax, IMG_AUX + torture_body(%rip)
	pop	%rax
	ret
	.size	where, . - where
	.section .data.rel.ro, "aw"
where_ptr:
	.quad	where
	.text

	/* The return address, less the function's start, is the same in both. */
	.macro	take_start
	push	%rax
	pushfq
	lea	self(%rip), %rax
	sub	%rax, IMG_AUX + torture_body(%rip)
	popfq
	pop	%rax
	.endm

	.macro	first_call
	call	where
	.endm
	.macro	last_call
	take_start
	.endm
	shape	call, "call first"

	.macro	first_call_mem
	call	*where_ptr(%rip)
	.endm
	.macro	last_call_mem
	take_start
	.endm
	shape	call_mem, "call through rip-relative memory first"

	.macro	first_sub_call
	sub	$8, %rsp
	call	where
	.endm
	.macro	last_sub_call
	add	$8, %rsp
	take_start
	.endm
	shape	sub_call, "sub; call"

	.macro	first_fs
	mov	%fs:0, %rax
	.endm
	.macro	last_fs
	.endm
	shape	fs, "mov fs:0"

	.macro	first_movabs
	movabs	$0x123456789abcdef0, %rax
	.endm
	.macro	last_movabs
	.endm
	shape	movabs, "movabs"

	.macro	first_push_imm
	pushq	$0x12345678
	.endm
	.macro	last_push_imm
	pop	%rcx
	.endm
	shape	push_imm, "push imm32"

	.macro	first_stack_args
	mov	8(%rsp), %rax
	mov	16(%rsp), %r11
	.endm
	.macro	last_stack_args
	.endm
	shape	stack_args, "reads its stack arguments"

	.macro	first_cvt
	cvtsi2sd %rdi, %xmm0
	addsd	%xmm1, %xmm2
	.endm
	.macro	last_cvt
	.endm
	shape	cvt, "cvtsi2sd; addsd: reads MXCSR's rounding, sets its flags"

	.macro	first_string
	mov	%rsi, %r11
	lea	torture_data(%rip), %rsi
	lodsb
	mov	%rsi, %rdx
	mov	%r11, %rsi
	.endm
	.macro	last_string
	.endm
	shape	string, "mov; lea; lodsb: reads the direction flag"

	/* No body: too short. The jump takes the padding behind it. */
	.macro	bare kind
	.type	bare_\kind, @function
	.balign	16
bare_\kind:
	mov	%rdi, %rax
	ret
	.size	bare_\kind, . - bare_\kind
	.balign	16
	.endm
	bare	hooked
	bare	twin
	.pushsection .data.rel.ro.shapes, "aw"
	.quad	99f, bare_hooked, bare_twin
	.popsection
	.pushsection .rodata
99:	.asciz	"mov; ret and padding"
	.popsection

	.pushsection .data.rel.ro.shapes, "aw"
torture_shapes_end:
	.popsection
	.section .rodata
	.balign	8
	.globl	torture_shapes_count
torture_shapes_count:
	.quad	(torture_shapes_end - torture_shapes) / 24

	.text
	.globl	torture_clobber
	.type	torture_clobber, @function
	.balign	16
torture_clobber:
	mov	$0xa5a5a5a5a5a5a5a5, %rax
	push	%rax
	push	%rax
	push	%rax
	push	%rax
	push	%rax
	push	%rax
	push	%rax
	push	%rax
	.macro	clobber_z i
	vmovdqu64 (%rsp), %zmm\i
	.endm
	.macro	clobber_k i
	kmovq	%rax, %k\i
	.endm
	.macro	clobber_y i
	vmovdqu	(%rsp), %ymm\i
	.endm
	.macro	clobber_x i
	movdqu	(%rsp), %xmm\i
	.endm
	cmpl	$LEVEL_AVX, torture_level(%rip)
	ja	1f
	je	2f
	each16	clobber_x
	jmp	3f
1:	each16	clobber_z
	upper16	clobber_z
	each8	clobber_k
	jmp	3f
2:	each16	clobber_y
3:	movl	$0x9fff, (%rsp)		/* FTZ, all masks, all flags */
	ldmxcsr	(%rsp)
	movw	$0x0f7f, (%rsp)		/* round to zero */
	fldcw	(%rsp)
	fldz
	fldpi
	fld1
	fdivp	%st, %st(2)		/* 1 / 0: the zero divide flag */
	fstp	%st
	fstp	%st
	add	$64, %rsp
	ret
	.size	torture_clobber, . - torture_clobber
	.section .note.GNU-stack, "", @progbits
