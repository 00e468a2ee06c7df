/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The functions that micro.c calls, and the floor: the least that saves and restores every register and the flags,
 * aligns the stack and calls an empty C function. Each on a cache line of its own, so that rows differ by what they do.
 */
#include <engine/arch/x86_64/frame.h>

	.text

/* What all of them do. */
.macro body
	lea	(%rdi, %rsi), %rax
	ret
.endm
.macro function name
	.balign	64
	.globl	\name
	.type	\name, @function
\name:
.endm
.macro end name
	.size	\name, . - \name
.endm
.macro nop5
	.byte	0x0f, 0x1f, 0x44, 0x00, 0x00
.endm
.macro nop_site name
function \name
	nop5
	body
end \name
.endm

function plain
	body
end plain

nop_site nop_rest
nop_site nop_general
nop_site nop_vector
nop_site nop_vector_used
nop_site nop_libc
nop_site nop_redirect
nop_site nop_2
nop_site nop_4
nop_site nop_8
nop_site settled

/* No NOP: its first instructions move. Twice, for the cost without a hook. */
.macro move_site name
function \name
	push	%rbp
	mov	%rsp, %rbp
	mov	%rdi, %rax
	add	%rsi, %rax
	pop	%rbp
	ret
end \name
.endm
move_site move_rest
move_site move_general

/* What a settled patch is compared with: a call of a function that is one jmp to another, written by hand. */
function jump
	.byte	0xe9
	.long	jump_to - . - 4
	body
end jump
function jump_to
	body
end jump_to
function redirect_to
	body
end redirect_to

function call_ret
	call	1f
	body
	.balign	64
1:	ret
end call_ret

/*
 * The floor: entered by a call from the site, so that the return address is the first word above the frame.
 *
 *	rsp + 184	return address of the hooked function
 *	rsp + 176	return address into the site
 *	rsp ->		struct st_regs, 168 bytes, 8 of padding
 */
.macro save_all
	lea	-ST_FRAME(%rsp), %rsp
	mov	%r15, ST_R15(%rsp)
	mov	%r14, ST_R14(%rsp)
	mov	%r13, ST_R13(%rsp)
	mov	%r12, ST_R12(%rsp)
	mov	%rbp, ST_RBP(%rsp)
	mov	%rbx, ST_RBX(%rsp)
	mov	%r11, ST_R11(%rsp)
	mov	%r10, ST_R10(%rsp)
	mov	%r9, ST_R9(%rsp)
	mov	%r8, ST_R8(%rsp)
	mov	%rax, ST_RAX(%rsp)
	mov	%rcx, ST_RCX(%rsp)
	mov	%rdx, ST_RDX(%rsp)
	mov	%rsi, ST_RSI(%rsp)
	mov	%rdi, ST_RDI(%rsp)
	pushfq
	popq	ST_EFLAGS(%rsp)
	movq	$-1, ST_ORIG_RAX(%rsp)
	movq	$0x33, ST_CS(%rsp)
	movq	$0x2b, ST_SS(%rsp)
	lea	ST_FRAME + 8(%rsp), %rcx
	mov	%rcx, ST_RSP(%rsp)
	mov	ST_FRAME(%rsp), %rdi
	mov	%rdi, ST_RIP(%rsp)
	sub	$5, %rdi
	mov	ST_FRAME + 8(%rsp), %rsi
	mov	%rsp, %rdx
.endm
.macro load_all
	mov	ST_R15(%rsp), %r15
	mov	ST_R14(%rsp), %r14
	mov	ST_R13(%rsp), %r13
	mov	ST_R12(%rsp), %r12
	mov	ST_RBP(%rsp), %rbp
	mov	ST_RBX(%rsp), %rbx
	mov	ST_R11(%rsp), %r11
	mov	ST_R10(%rsp), %r10
	mov	ST_R9(%rsp), %r9
	mov	ST_R8(%rsp), %r8
	mov	ST_RAX(%rsp), %rax
	mov	ST_RCX(%rsp), %rcx
	mov	ST_RDX(%rsp), %rdx
	mov	ST_RSI(%rsp), %rsi
	mov	ST_RDI(%rsp), %rdi
	lea	ST_FRAME(%rsp), %rsp
	ret
.endm

.macro floor name popf
function \name
	call	1f
	body
	.balign	64
1:	save_all
	mov	%rsp, %rbx
	mov	ST_EFLAGS(%rsp), %rbp
	and	$-16, %rsp
	call	floor_hook
	mov	%rbx, %rsp
	mov	ST_RIP(%rsp), %rcx
	mov	%rcx, ST_FRAME(%rsp)
.if \popf
	pushq	ST_EFLAGS(%rsp)
	popfq
.else
	cmp	ST_EFLAGS(%rsp), %rbp
	jne	2f
	mov	%rbp, %rax
	shr	$11, %eax
	and	$1, %eax
	mov	%ebp, %ecx
	movb	%cl, %ah
	add	$0x7f, %al
	sahf
	jmp	3f
2:	pushq	ST_EFLAGS(%rsp)
	popfq
3:
.endif
	load_all
end \name
.endm
floor floor_sahf 0
floor floor_popf 1

	.section .note.GNU-stack, "", @progbits
