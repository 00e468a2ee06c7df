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

/*
 * What is not saved yet of struct st_regs, at rsp. rbp is then where it lies.
 */
.macro save_rest
	mov	%rbp, ST_RBP(%rsp)
	.cfi_rel_offset rbp, ST_RBP
	mov	%rsp, %rbp
	.cfi_def_cfa rbp, SIZE
	mov	%r15, ST_R15(%rbp)
	mov	%r14, ST_R14(%rbp)
	mov	%r13, ST_R13(%rbp)
	mov	%r12, ST_R12(%rbp)
	mov	%rbx, ST_RBX(%rbp)
	mov	%r11, ST_R11(%rbp)
	mov	%r10, ST_R10(%rbp)
	mov	%r9, ST_R9(%rbp)
	.cfi_rel_offset r15, ST_R15
	.cfi_rel_offset r14, ST_R14
	.cfi_rel_offset r13, ST_R13
	.cfi_rel_offset r12, ST_R12
	.cfi_rel_offset rbx, ST_RBX
	movq	$-1, ST_ORIG_RAX(%rbp)
	movq	$0x33, ST_CS(%rbp)
	movq	$0x2b, ST_SS(%rbp)
	lea	SIZE(%rbp), %rax
	mov	%rax, ST_RSP(%rbp)
.endm

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

	/*
	 * The shortest way first, with six registers: the newest pending return of the thread is this one, the thread is in no hook, and
	 * the one that is to run can do without registers (engine/site.h). Nothing is changed until it has run.
	 *
	 *	rcx	the newest's offset	rsi	struct st_return, then the hook
	 *	rdi	the thread's slot	r8	the newest
	 */
	mov	%rax, ST_RAX(%rsp)
	mov	%rcx, ST_RCX(%rsp)
	mov	%rdx, ST_RDX(%rsp)
	mov	%rsi, ST_RSI(%rsp)
	mov	%rdi, ST_RDI(%rsp)
	mov	%r8, ST_R8(%rsp)
	mov	%fs:0, %rax
	imul	$ST_SLOT_HASH, %fs:0, %ecx
	shr	$(32 - ST_THREADS_BITS - ST_SLOT_SHIFT), %ecx
	and	$(((1 << ST_THREADS_BITS) - 1) << ST_SLOT_SHIFT), %ecx
	lea	st_threads(%rip), %rdi
	add	%rcx, %rdi
	cmp	%rax, ST_SLOT_TP(%rdi)
	jne	.Lall_ways
	cmpq	$0, ST_SLOT_BUSY(%rdi)
	jne	.Lall_ways
	imul	$(ST_PENDING_MAX * ST_PENDING_SIZE >> ST_SLOT_SHIFT), %rcx, %rcx
	lea	st_returns(%rip), %r8
	add	%rcx, %r8
	mov	ST_PENDING_RET(%r8), %rcx
	add	%rcx, %r8
	lea	SLOT(%rsp), %rdx
	cmp	ST_PENDING_KEY(%r8), %rdx
	jne	.Lall_ways
	mov	ST_PENDING_RET(%r8), %rsi
	mov	SLOT(%rsp), %rax
	cmp	ST_RETURN_AFTER(%rsi), %rax
	jne	.Lall_ways
	mov	ST_PENDING_DATA(%r8), %rax
	or	ST_RETURN_END(%rsi), %rax
	jnz	.Lall_ways
	cmpq	$0, ST_PENDING_ADDR(%r8)
	je	.Lall_ways
	testl	$~(ST_EFLAGS_STATUS | ST_EFLAGS_USUAL), ST_EFLAGS(%rsp)
	jnz	.Lall_ways
	/* Like a hook: the list of hooks stays as long as this is seen. */
	mov	%rsp, ST_SLOT_BUSY(%rdi)
	mov	ST_RETURN_HOOKS(%rsi), %rdx
	test	$ST_HOOKS_MASK, %dl
	jnz	.Lleave
	mov	(%rdx), %rsi
	test	%rsi, %rsi
	jz	.Lusual
	testl	$ST_HOOK_IS_SHORT, ST_HOOK_FLAGS(%rsi)
	jz	.Lusual
	cmpq	$0, 8(%rdx)
	jne	.Lusual
	mov	%rcx, ST_RSP(%rsp)		/* there is room */
	mov	%rdi, ST_SS(%rsp)
	call	*ST_HOOK_SHORT(%rsi)
	mov	ST_SS(%rsp), %rdi
	test	%eax, %eax
	jz	.Lleave
	mov	ST_RSP(%rsp), %rcx
	mov	ST_PENDING_ADDR(%r8), %rax
	mov	%rax, SLOT(%rsp)
	movq	$0, ST_PENDING_KEY(%r8)
	sub	%rcx, %r8			/* the header */
	sub	$ST_PENDING_SIZE, %rcx
	mov	%rcx, ST_PENDING_RET(%r8)
	movq	$0, ST_SLOT_BUSY(%rdi)
	mov	ST_EFLAGS(%rsp), %eax
	mov	%eax, %edx
	mov	%al, %ah
	shr	$11, %edx
	add	$0x7f, %dl
	sahf
	mov	ST_RAX(%rsp), %rax
	mov	ST_RCX(%rsp), %rcx
	mov	ST_RDX(%rsp), %rdx
	mov	ST_RSI(%rsp), %rsi
	mov	ST_RDI(%rsp), %rdi
	mov	ST_R8(%rsp), %r8
	.cfi_remember_state
	lea	SLOT(%rsp), %rsp
	.cfi_def_cfa_offset 8
	ret
	.cfi_restore_state

	/* The usual way: hooks that use general registers only. */
.Lusual:
	save_rest
	mov	ST_EFLAGS(%rbp), %r14
	and	$-16, %rsp
	mov	%rdi, %r12
	mov	%rdx, %r13
	mov	ST_PENDING_RET(%r8), %rbx
	mov	ST_PENDING_ADDR(%r8), %r15
	mov	%r15, ST_RIP(%rbp)
	mov	%r15, SLOT(%rbp)
	movq	$0, ST_FRAME - 8(%rbp)
	movq	$0, ST_PENDING_KEY(%r8)
	sub	%rcx, %r8
	sub	$ST_PENDING_SIZE, %rcx
	mov	%rcx, ST_PENDING_RET(%r8)
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
	cmp	%r15, SLOT(%rbp)
	jne	.Lchanged
.Lback:
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

	.cfi_def_cfa rsp, SIZE
.Lleave:
	movq	$0, ST_SLOT_BUSY(%rdi)
.Lall_ways:
	save_rest
	mov	ST_EFLAGS(%rbp), %r14
	test	$~(ST_EFLAGS_STATUS | ST_EFLAGS_USUAL), %r14d
	jnz	.Lodd_flags
.Lrun:
	and	$-16, %rsp
	mov	%rbp, %rdi
	call	st_return_run
	mov	%rax, %r15
	jmp	.Lran
	/* A hook has written where the return address stands, which is not its own to change. */
.Lchanged:
	mov	%r15, SLOT(%rbp)
	jmp	.Lback
.Lodd_flags:
	pushq	$ST_EFLAGS_USUAL
	popfq
	xor	%r14d, %r14d
	jmp	.Lrun

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

/*
 * From st_entry, as it began: if the site's one hook is st_return_enter, and it would take its usual way, that is done here, with five
 * registers instead of all. So is one that can do without registers. Else st_entry goes on.
 *
 *	rax	the flags		rcx	the thread's list	rdx	the key
 *	rsi	struct st_return	rdi	the thread's slot	rbx	struct st_site
 */
#define KEY (8 + ST_FRAME + ST_RED_ZONE)

	.globl	st_return_alone
	.hidden	st_return_alone, st_return_enter, st_entry_all
	.type	st_return_alone, @function
	.balign	64
st_return_alone:
	.cfi_startproc
	.cfi_def_cfa rsp, KEY + 8
	.cfi_offset rip, -8
	.cfi_rel_offset rbx, 8 + ST_RBX
	mov	%rax, 8 + ST_RAX(%rsp)
	mov	%rcx, 8 + ST_RCX(%rsp)
	mov	%rdx, 8 + ST_RDX(%rsp)
	mov	%rsi, 8 + ST_RSI(%rsp)
	mov	%rdi, 8 + ST_RDI(%rsp)
	mov	%fs:0, %rdx
	imul	$ST_SLOT_HASH, %fs:0, %ecx
	shr	$(32 - ST_THREADS_BITS - ST_SLOT_SHIFT), %ecx
	and	$(((1 << ST_THREADS_BITS) - 1) << ST_SLOT_SHIFT), %ecx
	lea	st_threads(%rip), %rdi
	add	%rcx, %rdi
	cmp	%rdx, ST_SLOT_TP(%rdi)
	jne	.Lall
	cmpq	$0, ST_SLOT_BUSY(%rdi)
	jne	.Lall
	/* Like a hook: the list of hooks stays as long as this is seen. */
	lea	8(%rsp), %rdx
	mov	%rdx, ST_SLOT_BUSY(%rdi)
	mov	ST_SITE_HOOKS(%rbx), %rsi
	test	$ST_HOOKS_MASK, %sil
	jnz	.Lnot_alone
	cmpq	$0, 8(%rsi)
	jne	.Lnot_alone
	mov	(%rsi), %rsi
	test	%rsi, %rsi
	jz	.Lnot_alone
	testl	$ST_HOOK_IS_SHORT, ST_HOOK_FLAGS(%rsi)
	jnz	.Lshort
	lea	st_return_enter(%rip), %rdx
	cmp	%rdx, ST_HOOK_FUNC(%rsi)
	jne	.Lnot_alone
	mov	ST_HOOK_DATA(%rsi), %rsi
	cmpq	$0, ST_RETURN_BEGIN(%rsi)
	jne	.Lnot_alone
	imul	$(ST_PENDING_MAX * ST_PENDING_SIZE >> ST_SLOT_SHIFT), %rcx, %rcx
	lea	st_returns(%rip), %rdx
	add	%rdx, %rcx
	mov	ST_PENDING_RET(%rcx), %rax
	cmp	$((ST_PENDING_MAX - 1) * ST_PENDING_SIZE), %rax
	jae	.Lnot_alone
	lea	KEY(%rsp), %rdx
	cmp	ST_PENDING_LOW(%rcx, %rax), %rdx
	jae	.Lnot_alone
	add	$ST_PENDING_SIZE, %rax
	cmpq	$0, ST_PENDING_KEY(%rcx, %rax)
	jne	.Lnot_alone
	movq	$1, ST_PENDING_KEY(%rcx, %rax)		/* ST_PENDING_TAKEN */
	mov	%rsi, ST_PENDING_RET(%rcx, %rax)
	mov	%rdx, ST_PENDING_LOW(%rcx, %rax)
	movq	$0, ST_PENDING_DATA(%rcx, %rax)
	mov	ST_SITE_RESUME(%rbx), %rbx
	mov	%rbx, -16(%rdx)
	mov	(%rdx), %rbx
	mov	%rbx, ST_PENDING_ADDR(%rcx, %rax)
	mov	%rdx, ST_PENDING_KEY(%rcx, %rax)
	mov	%rax, ST_PENDING_RET(%rcx)
	mov	ST_RETURN_PATH(%rsi), %rbx
	mov	%rbx, -8(%rdx)
.Lshort_done:
	movq	$0, ST_SLOT_BUSY(%rdi)
	/* Others than the status flags have not been touched. */
	mov	8 + ST_EFLAGS(%rsp), %eax
	mov	%eax, %edx
	mov	%al, %ah
	shr	$11, %edx
	and	$1, %edx
	add	$0x7f, %dl
	sahf
	mov	8 + ST_RBX(%rsp), %rbx
	mov	8 + ST_RAX(%rsp), %rax
	mov	8 + ST_RCX(%rsp), %rcx
	mov	8 + ST_RDX(%rsp), %rdx
	mov	8 + ST_RSI(%rsp), %rsi
	mov	8 + ST_RDI(%rsp), %rdi
	ret

.Lshort:
	testl	$~(ST_EFLAGS_STATUS | ST_EFLAGS_USUAL), 8 + ST_EFLAGS(%rsp)
	jnz	.Lnot_alone
	mov	%rdi, 8 + ST_SS(%rsp)		/* there is room */
	call	*ST_HOOK_SHORT(%rsi)
	mov	8 + ST_SS(%rsp), %rdi
	test	%eax, %eax
	jz	.Lnot_alone
	mov	ST_SITE_RESUME(%rbx), %rdx
	mov	%rdx, KEY - 8(%rsp)
	jmp	.Lshort_done

.Lnot_alone:
	movq	$0, ST_SLOT_BUSY(%rdi)
.Lall:
	mov	8 + ST_RAX(%rsp), %rax
	mov	8 + ST_RCX(%rsp), %rcx
	mov	8 + ST_RDX(%rsp), %rdx
	mov	8 + ST_RSI(%rsp), %rsi
	mov	8 + ST_RDI(%rsp), %rdi
	jmp	st_entry_all
	.cfi_endproc
	.size	st_return_alone, . - st_return_alone
	.section .note.GNU-stack, "", @progbits
