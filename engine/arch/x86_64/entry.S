/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every x86-64 stub calls: saves the registers, runs the hooks, goes on as the registers say.
 *
 * The register contract (docs/registers.md) is kept here. No popfq, fxsave or xsave on the usual way: they cost more
 * than all the rest. Position-independent, no dynamic relocation: this code is also injected into processes.
 */
#include <engine/site.h>
#include <engine/thread.h>
#include "frame.h"

	.text

/* r13: the hooks, ends with NULL; the other registers as below. */
.macro run_hooks
	mov	(%r13), %rdi
	test	%rdi, %rdi
	jz	2f
1:	mov	%rbp, %rsi
	mov	ST_SITE_IP(%rbx), %rdx
	mov	ST_FRAME + ST_RED_ZONE(%rbp), %rcx
	call	*ST_HOOK_FUNC(%rdi)
	add	$8, %r13
	mov	(%r13), %rdi
	test	%rdi, %rdi
	jnz	1b
2:
.endm
.macro movaps_store i
	movaps	%xmm\i, 16 * \i(%rsp)
.endm
.macro movaps_load i
	movaps	16 * \i(%rsp), %xmm\i
.endm
.macro xmm op i:vararg
	.irp	n, \i
	\op	\n
	.endr
.endm

/*
 * The stub (stub.c) has moved rsp below the red zone and the frame, saved the flags and rbx, and called us:
 *
 *	entry rsp ->	return address of the hooked function
 *			red zone, 128 bytes: dead at a function's entry, live inside of one
 *	rsp + 8 + 168	8 bytes of padding
 *	rsp + 8 ->	struct st_regs, 168 bytes
 *	rsp ->		return address into the stub
 *
 * rbx: the struct st_site. Everything else is the interrupted program's. The saved flags have ST_EFLAGS_INSIDE set if the
 * site is inside of a function: so that costs nothing at an entry, as it looks like flags that are odd anyway.
 *
 * Once saved, what a call preserves is ours until the end:
 *
 *	rbx	struct st_site		rbp	struct st_regs		r15	entry rsp
 *	r14	the flags as they were, 0 if there were others than those that sahf restores, ST_FLAGS_INSIDE inside of
 *		a function
 *	r12	the thread's slot	r13	the list of hooks
 *
 * Back in the stub at a function's entry, it jumps through the 8 bytes under the entry rsp, where we leave the address to go
 * on at: a redirect needs no register, and a signal that comes in between leaves the red zone alone. The jump is the
 * stub's own, so that it is predicted for each site, and our ret matches the stub's call.
 */
	.globl	st_entry
	.hidden	st_entry, st_threads
	.type	st_entry, @function
	.balign	64
st_entry:
	.cfi_startproc
	.cfi_def_cfa rsp, 8 + ST_FRAME + ST_RED_ZONE + 8
	.cfi_offset rip, -8
	.cfi_rel_offset rbx, 8 + ST_RBX
	testl	$ST_SITE_ALONE, ST_SITE_FLAGS(%rbx)
	jnz	st_return_alone
	.globl	st_entry_all
	.hidden	st_entry_all, st_return_alone
st_entry_all:
	mov	%r15, 8 + ST_R15(%rsp)
	mov	%r14, 8 + ST_R14(%rsp)
	mov	%r13, 8 + ST_R13(%rsp)
	mov	%r12, 8 + ST_R12(%rsp)
	mov	%rbp, 8 + ST_RBP(%rsp)
	.cfi_rel_offset r15, 8 + ST_R15
	.cfi_rel_offset r14, 8 + ST_R14
	.cfi_rel_offset r13, 8 + ST_R13
	.cfi_rel_offset r12, 8 + ST_R12
	.cfi_rel_offset rbp, 8 + ST_RBP
	mov	%r11, 8 + ST_R11(%rsp)
	mov	%r10, 8 + ST_R10(%rsp)
	mov	%r9, 8 + ST_R9(%rsp)
	mov	%r8, 8 + ST_R8(%rsp)
	mov	%rax, 8 + ST_RAX(%rsp)
	mov	%rcx, 8 + ST_RCX(%rsp)
	mov	%rdx, 8 + ST_RDX(%rsp)
	mov	%rsi, 8 + ST_RSI(%rsp)
	mov	%rdi, 8 + ST_RDI(%rsp)
	movq	$-1, 8 + ST_ORIG_RAX(%rsp)
	movq	$0x33, 8 + ST_CS(%rsp)
	movq	$0x2b, 8 + ST_SS(%rsp)
	lea	8 + ST_FRAME + ST_RED_ZONE(%rsp), %r15
	mov	%r15, 8 + ST_RSP(%rsp)
	mov	ST_SITE_FUNC(%rbx), %rax
	mov	%rax, 8 + ST_RIP(%rsp)

	lea	8(%rsp), %rbp
	.cfi_def_cfa rbp, ST_FRAME + ST_RED_ZONE + 8
	/*
	 * C code wants the direction flag clear (psABI 3.2.1), and AC would fault on its unaligned accesses. The others go
	 * too: then, if the hook clears one of them, sahf is still enough.
	 */
	mov	ST_EFLAGS(%rbp), %r14
	test	$~(ST_EFLAGS_STATUS | ST_EFLAGS_USUAL), %r14d
	jnz	.Lodd_flags
.Lcall:
	and	$-16, %rsp

	/* st_dispatch_general() of dispatch.c in place, for its usual way: every register is free here. */
	mov	%fs:0, %rax
	imul	$ST_SLOT_HASH, %fs:0, %ecx	/* st_thread_hash() */
	shr	$(32 - ST_THREADS_BITS - ST_SLOT_SHIFT), %ecx
	and	$(((1 << ST_THREADS_BITS) - 1) << ST_SLOT_SHIFT), %ecx
	lea	st_threads(%rip), %r12
	add	%rcx, %r12
	cmp	%rax, ST_SLOT_TP(%r12)
	jne	.Ldispatch
	cmpq	$0, ST_SLOT_BUSY(%r12)
	jne	.Ldispatch
	mov	%rbp, ST_SLOT_BUSY(%r12)
	mov	ST_SITE_HOOKS(%rbx), %r13
	test	$ST_HOOKS_MASK, %r13b
	jnz	st_entry_vector
	run_hooks
.Lran:
	movq	$0, ST_SLOT_BUSY(%r12)

.Lafter:
	lea	-8(%rbp), %rsp
	mov	ST_RIP(%rbp), %rdx
	cmp	ST_SITE_FUNC(%rbx), %rdx
	cmove	ST_SITE_RESUME(%rbx), %rdx
	cmp	ST_EFLAGS(%rbp), %r14
	jne	.Lnew_flags
.Lknown_flags:
	cmp	ST_RSP(%rbp), %r15
	jne	.Lslow
	mov	%rdx, -8(%r15)
.Lflags:
	mov	%r14d, %eax
	mov	%al, %ah		/* SF ZF AF PF CF */
	shr	$11, %r14d		/* OF: no flag above it is set */
	add	$0x7f, %r14b		/* sets OF if it was 1: 1 + 0x7f overflows */
	sahf				/* the others; leaves OF alone */

	mov	ST_R15(%rbp), %r15
	mov	ST_R14(%rbp), %r14
	mov	ST_R13(%rbp), %r13
	mov	ST_R12(%rbp), %r12
	mov	ST_RBX(%rbp), %rbx
	mov	ST_R11(%rbp), %r11
	mov	ST_R10(%rbp), %r10
	mov	ST_R9(%rbp), %r9
	mov	ST_R8(%rbp), %r8
	mov	ST_RAX(%rbp), %rax
	mov	ST_RCX(%rbp), %rcx
	mov	ST_RDX(%rbp), %rdx
	mov	ST_RSI(%rbp), %rsi
	mov	ST_RDI(%rbp), %rdi
	mov	ST_RBP(%rbp), %rbp
	.cfi_remember_state
	.cfi_def_cfa rsp, 8 + ST_FRAME + ST_RED_ZONE + 8
	.cfi_restore rbp
	.cfi_restore rbx
	.cfi_restore r12
	.cfi_restore r13
	.cfi_restore r14
	.cfi_restore r15
	ret

	.cfi_restore_state
.Lall:
	movq	$0, ST_SLOT_BUSY(%r12)
.Ldispatch:
	mov	%rbx, %rdi
	mov	%rbp, %rsi
	call	*ST_SITE_DISPATCH(%rbx)
	jmp	.Lafter
.Lodd_flags:
	btr	$ST_EFLAGS_INSIDE_BIT, %r14
	mov	%r14, ST_EFLAGS(%rbp)
	jc	3f
	pushq	$ST_EFLAGS_USUAL
	popfq
	xor	%r14d, %r14d
	jmp	.Lcall
3:	test	$~(ST_EFLAGS_STATUS | ST_EFLAGS_USUAL), %r14d
	jz	4f
	pushq	$ST_EFLAGS_USUAL
	popfq
4:	movabs	$ST_FLAGS_INSIDE, %r14
	jmp	.Lcall

	/*
	 * The hook changed flags, or there were others than usual, or the site is inside of a function. sahf will do if IF and
	 * the fixed bit are all that the program is to have besides the status flags.
	 */
.Lnew_flags:
	mov	%r14, %rcx
	mov	ST_EFLAGS(%rbp), %r14
	mov	%r14, %rax
	and	$~ST_EFLAGS_STATUS, %rax
	cmp	$ST_EFLAGS_USUAL, %rax
	jne	.Lslow
	test	%rcx, %rcx
	jns	.Lknown_flags
	/* The red zone is live: the stub goes on by itself, or we do. */
	cmp	ST_SITE_RESUME(%rbx), %rdx
	jne	.Lslow
	cmp	ST_RSP(%rbp), %r15
	je	.Lflags

	/*
	 * The hook changed sp, or flags that sahf does not load, or pc inside of a function: iretq loads rip, flags and rsp in one
	 * instruction from the end of struct st_regs, which is laid out for it.
	 */
.Lslow:
	mov	%rdx, ST_RIP(%rbp)
	/* Under shadow stacks, take back what the stub's call pushed there (rdssp is a NOP without them; SDM vol. 1, 17). */
	xor	%eax, %eax
	rdsspq	%rax
	test	%rax, %rax
	jz	1f
	mov	$1, %eax
	incsspq	%rax
1:	pushq	$ST_EFLAGS_USUAL	/* iretq faults if NT is set now */
	popfq
	mov	ST_R15(%rbp), %r15
	mov	ST_R14(%rbp), %r14
	mov	ST_R13(%rbp), %r13
	mov	ST_R12(%rbp), %r12
	mov	ST_RBX(%rbp), %rbx
	mov	ST_R11(%rbp), %r11
	mov	ST_R10(%rbp), %r10
	mov	ST_R9(%rbp), %r9
	mov	ST_R8(%rbp), %r8
	mov	ST_RAX(%rbp), %rax
	mov	ST_RCX(%rbp), %rcx
	mov	ST_RDX(%rbp), %rdx
	mov	ST_RSI(%rbp), %rsi
	mov	ST_RDI(%rbp), %rdi
	lea	ST_RIP(%rbp), %rsp
	mov	ST_RBP(%rbp), %rbp
	iretq
	.size	st_entry, . - st_entry

	/*
	 * The low halves of xmm registers, and MXCSR, are all that the hooks change:
	 *
	 *	rsp + 256	MXCSR
	 *	rsp ->		xmm0 to xmm15, or to xmm7
	 */
	.type	st_entry_vector, @function
st_entry_vector:
	test	$ST_HOOKS_VECTOR, %r13b
	jnz	.Lall
	lea	-(16 * 16 + 16)(%rsp), %rsp
	stmxcsr	16 * 16(%rsp)
	xmm	movaps_store, 0, 1, 2, 3, 4, 5, 6, 7
	test	$ST_HOOKS_XMM, %r13b
	jnz	3f
	and	$~ST_HOOKS_MASK, %r13
	run_hooks
	jmp	4f
3:	and	$~ST_HOOKS_MASK, %r13
	xmm	movaps_store, 8, 9, 10, 11, 12, 13, 14, 15
	run_hooks
	xmm	movaps_load, 8, 9, 10, 11, 12, 13, 14, 15
4:	xmm	movaps_load, 0, 1, 2, 3, 4, 5, 6, 7
	ldmxcsr	16 * 16(%rsp)
	jmp	.Lran
	.cfi_endproc
	.size	st_entry_vector, . - st_entry_vector
	.section .note.GNU-stack, "", @progbits
