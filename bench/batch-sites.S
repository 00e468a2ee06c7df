/* SPDX-License-Identifier: GPL-2.0-only */
/* For batch.c: three times 20,000 functions of 32 bytes each, with a NOP for our engine and for the floor, and without. */

.macro begin group
	.section .text.\group, "ax", @progbits
	.balign	4096
	.globl	\group
\group:
.endm
.macro finish
	.balign	4096
	.text
.endm
.macro function group first:vararg
	.balign	32
	.type	\group\()_\@, @function
\group\()_\@:
	\first
	lea	(%rdi, %rsi), %rax
	ret
	.size	\group\()_\@, . - \group\()_\@
.endm
.macro floor_function
	.balign	32
	.byte	0x0f, 0x1f, 0x44, 0x00, 0x00
	lea	(%rdi, %rsi), %rax
	ret
.endm

	begin	nopsites
	.rept	20000
	function nopsite .byte 0x0f, 0x1f, 0x44, 0x00, 0x00
	.endr
	finish

	/* Two instructions to move, of three bytes each. */
	begin	movesites
	.rept	20000
	function movesite .byte 0x48, 0x01, 0xf7, 0x48, 0x29, 0xf7
	.endr
	finish

	begin	floorsites
	.rept	20000
	floor_function
	.endr
	finish

	.section .note.GNU-stack, "", @progbits
