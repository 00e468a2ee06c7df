/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * x86-64: where a function with return hooks returns to, by way of its stub (engine/return.h).
 *
 * rsp is as the caller will have it. Nothing is live below, but the word there holds what was returned to: it says which
 * function it was, and takes the true return address, to which we go by `ret`. So the processor predicts that return,
 * shadow stacks agree, and to an unwinder this is a function that was called from there. Registers and flags as in entry.S.
 *
 *	rsp ->		the caller's
 *	rsp - 8		`after`, then the true return address
 *	rsp - 16	8 bytes of padding: st_return_data()
 *	rsp - 184 ->	struct st_regs, 168 bytes
 */
#include "frame.h"

	.text
	.globl	st_return
	.hidden	st_return, st_return_run
	.type	st_return, @function
	.balign	64
st_return:
	.cfi_startproc
	.cfi_def_cfa rsp, 0
	.cfi_offset rip, -8
	lea	-(8 + ST_FRAME - ST_EFLAGS - 8)(%rsp), %rsp
	.cfi_def_cfa_offset 8 + ST_FRAME - ST_EFLAGS - 8
	pushfq
	.cfi_adjust_cfa_offset 8
	lea	-ST_EFLAGS(%rsp), %rsp
	.cfi_adjust_cfa_offset ST_EFLAGS
	mov	%rbp, ST_RBP(%rsp)
	.cfi_rel_offset rbp, ST_RBP
	mov	%rsp, %rbp
	.cfi_def_cfa rbp, ST_FRAME + 8
	mov	%r14, ST_R14(%rbp)
	.cfi_rel_offset r14, ST_R14
	mov	ST_EFLAGS(%rbp), %r14
	mov	%r15, ST_R15(%rbp)
	mov	%r13, ST_R13(%rbp)
	mov	%r12, ST_R12(%rbp)
	mov	%rbx, ST_RBX(%rbp)
	mov	%r11, ST_R11(%rbp)
	mov	%r10, ST_R10(%rbp)
	mov	%r9, ST_R9(%rbp)
	mov	%r8, ST_R8(%rbp)
	mov	%rax, ST_RAX(%rbp)
	mov	%rcx, ST_RCX(%rbp)
	mov	%rdx, ST_RDX(%rbp)
	mov	%rsi, ST_RSI(%rbp)
	mov	%rdi, ST_RDI(%rbp)
	.cfi_rel_offset r15, ST_R15
	.cfi_rel_offset r13, ST_R13
	.cfi_rel_offset r12, ST_R12
	.cfi_rel_offset rbx, ST_RBX
	movq	$-1, ST_ORIG_RAX(%rbp)
	movq	$0x33, ST_CS(%rbp)
	movq	$0x2b, ST_SS(%rbp)
	lea	ST_FRAME + 8(%rbp), %rax
	mov	%rax, ST_RSP(%rbp)
	test	$~(ST_EFLAGS_STATUS | ST_EFLAGS_USUAL), %r14d
	jnz	.Lodd_flags
.Lcall:
	and	$-16, %rsp
	mov	%rbp, %rdi
	call	st_return_run
	mov	%rbp, %rsp
	mov	%rax, ST_FRAME(%rbp)	/* a hook may have changed what stands there */
	mov	ST_EFLAGS(%rbp), %rax
	cmp	%rax, %r14
	jne	.Lnew_flags
.Lknown_flags:
	mov	%eax, %edx
	mov	%al, %ah		/* SF ZF AF PF CF */
	shr	$11, %edx		/* OF */
	add	$0x7f, %dl
	sahf

.Lregisters:
	mov	ST_R15(%rsp), %r15
	mov	ST_R14(%rsp), %r14
	mov	ST_R13(%rsp), %r13
	mov	ST_R12(%rsp), %r12
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
	mov	ST_RBP(%rsp), %rbp
	.cfi_remember_state
	.cfi_def_cfa rsp, ST_FRAME + 8
	.cfi_restore rbp
	.cfi_restore rbx
	.cfi_restore r12
	.cfi_restore r13
	.cfi_restore r14
	.cfi_restore r15
	lea	ST_FRAME(%rsp), %rsp
	.cfi_def_cfa_offset 8
	ret

	.cfi_restore_state
.Lodd_flags:
	pushq	$ST_EFLAGS_USUAL
	popfq
	xor	%r14d, %r14d
	jmp	.Lcall

	/* As in entry.S: others than the status flags, or such as sahf does not load. */
.Lnew_flags:
	mov	%rax, %rdx
	and	$~ST_EFLAGS_STATUS, %rdx
	cmp	$ST_EFLAGS_USUAL, %rdx
	je	.Lknown_flags
	push	%rax
	popfq
	jmp	.Lregisters
	.cfi_endproc
	.size	st_return, . - st_return
	.section .note.GNU-stack, "", @progbits
