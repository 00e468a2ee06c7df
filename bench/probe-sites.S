/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The functions that probe.c calls: all give a + b, each on a cache line of its own. probe_bare holds an int3 of its own. In
 * probe_trap and probe_bare a branch that is never taken leads right behind one byte, so that no jump fits there.
 */
	.text
.macro function name
	.balign	64
	.globl	\name
	.type	\name, @function
\name:
.endm
.macro end name
	.size	\name, . - \name
.endm
.macro moved name
function \name
	push	%rbp
	mov	%rsp, %rbp
	lea	(%rdi, %rsi), %rax
	pop	%rbp
	ret
end \name
.endm
.macro short name, insn:vararg
function \name
	lea	(%rdi, %rsi), %rax
	test	%rsp, %rsp
	jz	1f
	\insn
1:	nop
	ret
end \name
.endm

	moved	probe_plain
	moved	probe_own
	moved	probe_attached
	moved	probe_three
	moved	probe_return
	moved	probe_return_attached
	short	probe_trap, nop
	short	probe_bare, int3

	/* Where the probe is: offset 4, the 5 bytes of one instruction. */
function probe_inside
	lea	(%rdi, %rsi), %rax
	.globl	probe_inside_at
probe_inside_at:
	add	$0x1000000, %rsi
	ret
end probe_inside

	.section .note.GNU-stack, "", @progbits
