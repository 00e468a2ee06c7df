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
 *	rsp - 128	the rest of what no signal touches: where `after` is if the function took arguments from the stack
 *	rsp - 136	8 bytes of padding: st_return_data()
 *	rsp - 304 ->	struct st_regs, 168 bytes
 */
#include <engine/return.h>
#include "frame.h"

/* From struct st_regs to the return address, and beyond it. */
#define SLOT (ST_FRAME + ST_RED_ZONE - 8)
#define SIZE (SLOT + 8)

	.text
	.globl	st_return, st_return_ret
	.hidden	st_return, st_return_ret, st_return_run, st_returns, st_threads
	.type	st_return, @function
	.balign	64
st_return:
	.cfi_startproc
	.cfi_def_cfa rsp, 0
	.cfi_offset rip, -8
	lea	-(SIZE - ST_EFLAGS - 8)(%rsp), %rsp
	.cfi_def_cfa_offset SIZE - ST_EFLAGS - 8
	pushfq
	.cfi_adjust_cfa_offset 8
	lea	-ST_EFLAGS(%rsp), %rsp
	.cfi_adjust_cfa_offset ST_EFLAGS
	mov	%rbp, ST_RBP(%rsp)
	.cfi_rel_offset rbp, ST_RBP
	mov	%rsp, %rbp
	.cfi_def_cfa rbp, SIZE
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
	lea	SIZE(%rbp), %rax
	mov	%rax, ST_RSP(%rbp)
	test	$~(ST_EFLAGS_STATUS | ST_EFLAGS_USUAL), %r14d
	jnz	.Lodd_flags
.Lcall:
	and	$-16, %rsp

	/*
	 * st_return_run() in place, for its usual way: the newest pending return of the thread is this one, it has hooks that use
	 * general registers only, and the thread is in no hook. In the order that return.c gives reasons for.
	 */
	mov	%fs:0, %rax
	imul	$ST_SLOT_HASH, %fs:0, %ecx
	shr	$(32 - ST_THREADS_BITS - ST_SLOT_SHIFT), %ecx
	and	$(((1 << ST_THREADS_BITS) - 1) << ST_SLOT_SHIFT), %ecx
	lea	st_threads(%rip), %r12
	add	%rcx, %r12
	cmp	%rax, ST_SLOT_TP(%r12)
	jne	.Lrun
	cmpq	$0, ST_SLOT_BUSY(%r12)
	jne	.Lrun
	imul	$(ST_PENDING_MAX * ST_PENDING_SIZE >> ST_SLOT_SHIFT), %rcx, %rcx
	lea	st_returns(%rip), %rdx
	add	%rcx, %rdx			/* the header */
	mov	ST_PENDING_RET(%rdx), %rcx
	lea	(%rdx, %rcx), %r8		/* the newest */
	lea	SLOT(%rbp), %rdi
	cmp	ST_PENDING_KEY(%r8), %rdi
	jne	.Lrun
	mov	ST_PENDING_ADDR(%r8), %r15
	mov	ST_PENDING_RET(%r8), %rbx
	mov	ST_PENDING_DATA(%r8), %rax
	or	ST_RETURN_END(%rbx), %rax
	jnz	.Lrun
	test	%r15, %r15
	jz	.Lrun
	mov	SLOT(%rbp), %rax
	cmp	ST_RETURN_AFTER(%rbx), %rax
	jne	.Lrun
	mov	%rbp, ST_SLOT_BUSY(%r12)
	mov	ST_RETURN_HOOKS(%rbx), %r13
	test	$ST_HOOKS_MASK, %r13b
	jnz	.Lnot_general
	mov	%r15, ST_RIP(%rbp)
	mov	%r15, SLOT(%rbp)
	movq	$0, ST_FRAME - 8(%rbp)
	movq	$0, ST_PENDING_KEY(%r8)
	sub	$ST_PENDING_SIZE, %rcx
	mov	%rcx, ST_PENDING_RET(%rdx)
	mov	ST_RETURN_SITE(%rbx), %rbx
	mov	(%r13), %rdi
	test	%rdi, %rdi
	jz	2f
1:	mov	%rbp, %rsi
	mov	ST_SITE_IP(%rbx), %rdx
	mov	%r15, %rcx
	call	*ST_HOOK_FUNC(%rdi)
	add	$8, %r13
	mov	(%r13), %rdi
	test	%rdi, %rdi
	jnz	1b
2:	movq	$0, ST_SLOT_BUSY(%r12)
.Lran:
	mov	%rbp, %rsp
	mov	%r15, SLOT(%rbp)		/* a hook may have changed what stands there */
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
	.cfi_def_cfa rsp, SIZE
	.cfi_restore rbp
	.cfi_restore rbx
	.cfi_restore r12
	.cfi_restore r13
	.cfi_restore r14
	.cfi_restore r15
	lea	SLOT(%rsp), %rsp
	.cfi_def_cfa_offset 8
st_return_ret:
	ret

	.cfi_restore_state
.Lnot_general:
	movq	$0, ST_SLOT_BUSY(%r12)
.Lrun:
	mov	%rbp, %rdi
	call	st_return_run
	mov	%rax, %r15
	jmp	.Lran
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
