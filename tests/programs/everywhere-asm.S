/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See everywhere.h: forms that compilers seldom write where a probe can sit. Each is a function long f(long a, long b) by
 * the ABI of its architecture; on ARM this file is assembled once for each state.
 */

#if defined(__x86_64__)
#define WORD .quad
#elif defined(__aarch64__)
#define WORD .xword
#else
#define WORD .long
	.syntax unified
	.arch armv7-a
	.fpu vfpv3-d16
#endif

.macro function name
	.text
#if defined(__thumb__)
	.balign	4
	.thumb
	.thumb_func
#elif defined(__arm__)
	.balign	4
	.arm
#else
	.balign	16
#endif
	.type	\name, %function
\name:
.endm

.macro done name
	.size	\name, . - \name
	.section .rodata
7:	.asciz	"\name"
	.section .data.rel, "aw"
	.balign	8
	WORD	7b, \name
	.text
.endm

	.section .data.rel, "aw"
	.balign	8
	.globl	everywhere_asm
	.type	everywhere_asm, %object
everywhere_asm:
	.data
	.balign	16
datum:	.long	0x12345678, 0x9abcdef0, 7, 11, 13, 17, 19, 23

#if defined(__x86_64__)

	function asm_counted		/* loop, loopne, jrcxz */
	mov	%rsi, %rax
	mov	%rdi, %rcx
	and	$7, %ecx
	jrcxz	2f
1:	lea	1(%rax,%rax,2), %rax
	loop	1b
2:	mov	$5, %ecx
3:	dec	%rax
	test	$3, %al
	loopne	3b
	mov	%edi, %ecx
	and	$1, %ecx
	jecxz	4f
	add	$100, %rax
4:	ret
	done	asm_counted

	function asm_relative		/* rip-relative in every place of an instruction */
	mov	datum(%rip), %eax
	add	datum+4(%rip), %eax
	imul	$3, datum+8(%rip), %edx
	add	%rdx, %rax
	movss	datum+12(%rip), %xmm0
	cvtsi2sdl datum+16(%rip), %xmm1
	cvttsd2si %xmm1, %rdx
	add	%rdx, %rax
	movd	%xmm0, %edx
	xor	%rdx, %rax
	lea	datum+20(%rip), %rcx
	add	(%rcx), %eax
	cmpl	$19, datum+24(%rip)
	sete	%dl
	movzbl	%dl, %edx
	lea	(%rax,%rdx,8), %rax
	testb	$1, datum+28(%rip)
	jz	1f
	add	%rdi, %rax
1:	bt	$3, %edi
	adc	%rsi, %rax
	ret
	done	asm_relative

	function asm_calls		/* call, call through memory, push and pop around them, a call to the next instruction */
	push	%rbx
	mov	%rsi, %rbx
	call	asm_calls_five
	call	*asm_calls_slot(%rip)
	lea	asm_calls_five(%rip), %rdx
	call	*%rdx
	push	asm_calls_slot(%rip)
	pop	%rdx
	nop
	call	1f
1:	pop	%rdx
	lea	1b(%rip), %rcx
	cmp	%rcx, %rdx
	sete	%dl
	movzbl	%dl, %edx
	lea	(%rdi,%rdx), %rax
	add	%rbx, %rax
	pop	%rbx
	ret
asm_calls_five:
	lea	3(%rdi,%rdi), %rdi
	ret
	done	asm_calls
	.section .data.rel.local, "aw"
	.balign	8
asm_calls_slot:
	.quad	asm_calls_five
	.text

	function asm_table		/* a table of offsets right behind the function, an indirect jump */
	mov	%rsi, %rax
	and	$3, %edi
	lea	3f(%rip), %rdx
	movslq	(%rdx,%rdi,4), %rcx
	add	%rdx, %rcx
	jmp	*%rcx
1:	add	$1, %rax
	nop
2:	add	$20, %rax
	ret
4:	neg	%rax
	jmp	2b
5:	xor	$0x55, %rax
	ret
	done	asm_table
	.section .rodata
	.balign	4
3:	.long	1b - 3b, 2b - 3b, 4b - 3b, 5b - 3b
	.text

	function asm_red_zone		/* what lies below the stack pointer is live throughout */
	mov	%rdi, -8(%rsp)
	mov	%rsi, -64(%rsp)
	movl	$77, -128(%rsp)
	lea	(%rdi,%rsi), %rax
	test	%rax, %rax
	js	1f
	add	-8(%rsp), %rax
1:	sub	-64(%rsp), %rax
	movslq	-128(%rsp), %rdx
	add	%rdx, %rax
	movq	$-1, -16(%rsp)
	xor	-16(%rsp), %rax
	ret
	done	asm_red_zone

	function asm_flags		/* every status flag, over instructions that leave them alone; pushf, lahf, std */
	mov	%rdi, %rax
	add	%rsi, %rax
	mov	$0, %ecx
	lea	1(%rcx), %rcx
	setc	%dl
	seto	%cl
	movzbl	%dl, %edx
	movzbl	%cl, %ecx
	pushf
	pop	%r8
	and	$0x8d5, %r8d
	add	%r8, %rax
	stc
	nop
	rcl	$1, %rax
	cmc
	adc	%rdx, %rax
	sub	%rcx, %rax
	cmovs	%rsi, %rdx
	lahf
	std
	mov	%rsi, %r9
	cld
	add	%r9, %rax
	ret
	done	asm_flags

	function asm_strings		/* rep movs, stos, scas, with a frame by enter and leave */
	enter	$64, $0
	push	%rdi
	push	%rsi
	lea	-64(%rbp), %rdi
	mov	$8, %ecx
	mov	-8-64(%rbp), %rax
	rep stosq
	lea	datum(%rip), %rsi
	lea	-60(%rbp), %rdi
	mov	$16, %ecx
	rep movsb
	lea	-64(%rbp), %rdi
	mov	$64, %ecx
	mov	$7, %al
	repne scasb
	mov	%rcx, %rax
	add	-52(%rbp), %eax
	pop	%rsi
	pop	%rdi
	push	%rbx
	lea	datum(%rip), %rbx
	and	$15, %eax
	xlat
	pop	%rbx
	leave
	lea	(%rax,%rdi), %rax
	lea	(%rax,%rsi,2), %rax
	ret
	done	asm_strings

	function asm_short		/* instructions of one byte, a jump over one byte, a tail of jumps */
	push	%rdi
	push	%rsi
	pop	%rax
	pop	%rdx
	xchg	%rax, %rdx
	cltq
	cqto
	nop
	jmp	2f
	nop
2:	test	%eax, %eax
	je	3f
	jns	3f
	neg	%rax
3:	jmp	4f
4:	lea	(%rax,%rsi), %rax
	ret
	done	asm_short

#endif

#if defined(__aarch64__)

	function asm_literals		/* adr, adrp, ldr from a literal in every size, prfm */
	adr	x2, 8f
	ldr	x3, 8f
	ldr	w4, 8f
	ldrsw	x5, 8f + 4
	ldr	s0, 8f
	ldr	d1, 8f
	ldr	q2, 9f
	prfm	pldl1keep, 8f
	adrp	x6, datum
	ldr	w6, [x6, :lo12:datum]
	ldr	x7, [x2]
	sub	x7, x7, x3
	add	x7, x7, x4
	add	x7, x7, x5
	fmov	w8, s0
	fmov	x9, d1
	umov	x10, v2.d[1]
	eor	x7, x7, x8
	eor	x7, x7, x9
	add	x7, x7, x10
	add	x7, x7, x6
	add	x0, x0, x7
	sub	x0, x0, x1
	ret
	.balign	16
8:	.xword	0x8123456789abcdef
	.xword	5
9:	.xword	6, 7
	done	asm_literals

	function asm_branches		/* every conditional form, forwards and backwards */
	and	x2, x0, #7
1:	cbz	x2, 2f
	sub	x2, x2, #1
	add	x1, x1, #3
	cbnz	w2, 1b
2:	tbz	x0, #0, 3f
	add	x1, x1, #100
3:	tbnz	x1, #40, 4f
	add	x1, x1, #1000
4:	cmp	x0, x1
	b.lt	5f
	ccmp	x0, #3, #4, ne
	csel	x1, x0, x1, hi
5:	adds	x2, x0, x1
	adc	x3, x2, xzr
	cset	x4, vs
	b	7f
6:	add	x0, x3, x4
	ret
7:	b.eq	6b
	csinv	x3, x3, x1, mi
	b	6b
	done	asm_branches

	function asm_calls		/* bl, blr, a return address that is used; br through a table of offsets */
	stp	x29, x30, [sp, #-32]!
	mov	x29, sp
	str	x1, [sp, #16]
	bl	8f
	adr	x9, 8f
	blr	x9
	bl	1f
1:	adr	x2, 1b
	cmp	x30, x2
	cset	x3, eq
	add	x0, x0, x3
	and	x4, x0, #3
	adr	x5, 9f
	ldrsw	x6, [x5, x4, lsl #2]
	add	x5, x5, x6
	br	x5
2:	add	x0, x0, #1
3:	add	x0, x0, #20
	b	5f
4:	neg	x0, x0
5:	ldr	x1, [sp, #16]
	add	x0, x0, x1
	ldp	x29, x30, [sp], #32
	ret
8:	add	x0, x0, x0, lsl #1
	ret
	.balign	4
9:	.word	2b - 9b, 3b - 9b, 4b - 9b, 5b - 9b
	done	asm_calls

	function asm_exclusive		/* a loop of load and store exclusive; a probe between them would break the pair */
	sub	sp, sp, #16
	str	x0, [sp]
1:	ldaxr	x2, [sp]
	add	x2, x2, x1
	stlxr	w3, x2, [sp]
	cbnz	w3, 1b
	ldr	x0, [sp]
	add	sp, sp, #16
	ret
	done	asm_exclusive
#endif

#if defined(__arm__)

	function asm_literals		/* every way to read pc for a load */
	push	{r4, r5, lr}
	adr	r2, 8f
	ldr	r3, 8f
	ldrd	r4, r5, [r2]
	add	r3, r3, r4
	ldrh	r4, 9f
	add	r3, r3, r4
	ldrsb	r4, 9f + 3
	add	r3, r3, r4
	ldrsh	r4, 9f + 2
	add	r3, r3, r4
	ldrb	r4, 9f + 1
	add	r3, r3, r4
	ldrd	r4, r5, 8f
	eor	r3, r3, r4
	vldr	s0, 8f
	vmov	r4, s0
	eor	r3, r3, r4
	eor	r3, r3, r5
	vldr	d1, 9f
	vmov	r4, r5, d1
	add	r3, r3, r4
	add	r0, r0, r3
	sub	r0, r0, r1
	pop	{r4, r5, pc}
	.balign	8
8:	.long	0x12345678, 0x9abcdef0
9:	.long	0x8765ff42, 0x00000011
	done	asm_literals

	function asm_calls		/* bl, blx to a register, a return address that is used, returns of several kinds */
	push	{r4, lr}
	mov	r4, r1
	bl	5f
	adr	r2, 5f
#if defined(__thumb__)
	orr	r2, r2, #1
#endif
	blx	r2
	bl	1f
1:	adr	r2, 1b
	bic	r3, lr, #1
	cmp	r2, r3
	bne	2f
	add	r0, r0, #1000
2:	bl	6f
	add	r0, r0, r4
	ldmfd	sp!, {r4, lr}
	bx	lr
	.balign	4
5:	add	r0, r0, r0, lsl #1
	bx	lr
6:	push	{r5, lr}
	mov	r5, #9
	add	r0, r0, r5
	pop	{r5, pc}
	done	asm_calls

	function asm_exclusive		/* a loop of load and store exclusive */
	sub	sp, sp, #8
	str	r0, [sp]
1:	ldrex	r2, [sp]
	add	r2, r2, r1
	strex	r3, r2, [sp]
	cmp	r3, #0
	bne	1b
	ldr	r0, [sp]
	add	sp, sp, #8
	bx	lr
	done	asm_exclusive

	function asm_flags		/* flags over what leaves them alone, saturation, carry */
	adds	r2, r0, r1
	mov	r3, #0
	adc	r3, r3, r2
	mrs	r12, apsr
	and	r12, r12, #0xf0000000
	add	r3, r3, r12, lsr #28
	qadd	r12, r0, r0
	eor	r3, r3, r12
	rrxs	r2, r2
	sbcs	r3, r3, r2
	vmov	s0, r0
	vmov	s1, r1
	vcmp.f32 s0, s1
	vmrs	apsr_nzcv, fpscr
	mrs	r12, apsr
	add	r0, r3, r12, lsr #28
	bx	lr
	done	asm_flags

#if !defined(__thumb__)

	function asm_conditions		/* every condition, on instructions that use pc as well */
	cmp	r0, r1
	addeq	r0, r0, #1
	subne	r0, r0, #2
	rsbcs	r0, r0, #3
	eorcc	r0, r0, #4
	mulmi	r0, r0, r1
	addpl	r0, r0, r1, lsl #3
	movvs	r0, #5
	bicvc	r0, r0, #6
	orrhi	r0, r0, #8
	mvnls	r0, r0
	cmp	r0, r1
	addge	r0, r0, r1, ror #4
	sublt	r0, r0, r1, asr #2
	ldrgt	r2, 8f
	ldrle	r2, 9f
	addgt	r3, pc, #8
	movle	r3, pc
	sub	r3, r3, r3
	add	r0, r0, r2
	add	r0, r0, r3
	bxgt	lr
	blt	1f
	moveq	pc, lr
	addne	r0, r0, #7
1:	bx	lr
8:	.long	0x1111
9:	.long	0x2222
	done	asm_conditions

	function asm_table		/* jumps by arithmetic on pc, by a table that is loaded into pc */
	push	{r4, r5, lr}
	and	r2, r0, #7
	cmp	r2, #3
	addls	pc, pc, r2, lsl #2
	b	5f
	b	1f
	b	2f
	b	3f
	b	4f
1:	add	r1, r1, #1
2:	add	r1, r1, #20
	b	5f
3:	rsb	r1, r1, #0
4:	eor	r1, r1, #0x55
5:	and	r2, r1, #1
	adr	r4, 8f
	ldr	r5, [r4, r2, lsl #2]
	add	r4, r4, r5
	mov	lr, pc
	mov	pc, r4
	add	r0, r1, r0
	sub	r3, pc, lr
	add	r0, r0, r3
	pop	{r4, r5, pc}
6:	add	r1, r1, #3
	bx	lr
7:	sub	r1, r1, #3
	mov	pc, lr
8:	.long	6b - 8b, 7b - 8b
	done	asm_table

	function asm_multiple		/* ldm and stm in every mode, writeback, a base that is in the list */
	push	{r4-r11, lr}
	sub	sp, sp, #64
	mov	r12, sp
	mov	r4, r0
	mov	r5, r1
	add	r6, r0, r1
	eor	r7, r0, r1
	stmia	r12!, {r4-r7}
	stmib	r12, {r4, r6}
	add	r12, r12, #8
	stmdb	r12!, {r5, r7}
	ldmia	sp, {r8-r11}
	ldmda	r12, {r2, r3}
	ldmib	sp, {r4, r5}
	add	r0, r8, r9, lsl #1
	add	r0, r0, r10, lsl #2
	add	r0, r0, r11, lsl #3
	eor	r0, r0, r2
	sub	r0, r0, r3
	add	r0, r0, r4
	sub	r0, r0, r5
	add	sp, sp, #64
	pop	{r4-r11, pc}
	done	asm_multiple

#else

	function asm_blocks		/* IT blocks of one to four, with what uses pc, narrow and wide, at both alignments */
	cmp	r0, r1
	it	eq
	addeq	r0, #1
	ite	gt
	addgt	r0, #2
	suble	r0, #3
	nop
	cmp	r0, #10
	itte	lt
	addlt.w	r0, r0, #100
	lsllt	r1, r1, #1
	eorge	r0, r1
	cmp	r0, r1
	ittee	ne
	addne	r0, r0, r1
	ldrne	r2, 8f
	moveq	r2, #5
	ldreq.w	r3, 8f
	add	r0, r2
	it	hi
	bxhi	lr
	it	cs
	bcs.w	1f
	adds	r0, #9
	nop
1:	ittt	mi
	negmi	r0, r0
	addmi	r0, #77
	bmi	2f
	adds	r0, #1
2:	bx	lr
	.balign	4
8:	.long	0x3333
	done	asm_blocks

	function asm_table		/* tbb and tbh, cbz and cbnz, a jump by arithmetic on pc */
	push	{r4, lr}
	and	r2, r0, #3
	tbb	[pc, r2]
8:	.byte	(1f - 8b) / 2, (2f - 8b) / 2, (3f - 8b) / 2, (4f - 8b) / 2
1:	adds	r1, #1
2:	adds	r1, #20
	b	4f
3:	negs	r1, r1
4:	and	r2, r1, #1
	tbh	[pc, r2, lsl #1]
9:	.short	(5f - 9b) / 2, (6f - 9b) / 2
5:	adds	r1, #3
	nop
6:	and	r2, r0, #7
7:	cbz	r2, 1f
	subs	r2, #1
	adds	r1, r1, #2
	cbnz	r2, 8f
	adds	r1, #50
8:	b	7b
1:	mov	r3, pc
	adr	r4, 1b
	subs	r3, r3, r4
	adds	r0, r1, r3
	bics	r3, r3
	add	r3, pc
	sub	r3, r3, r3
	add	r0, r3
	pop	{r4, pc}
	done	asm_table

#endif
#endif

	.section .data.rel, "aw"
	.balign	8
	WORD	0, 0
	.section .note.GNU-stack, "", %progbits
