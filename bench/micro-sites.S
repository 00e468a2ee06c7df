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

/* A row of patch-change.c. */
nop_site moving

/* Rows of peers.c. */
nop_site uprobe_nop
nop_site uretprobe
nop_site gdb_ftrace
nop_site gdb_regs

/* The kernel emulates a NOP and a push; this it executes out of line, by a single step. */
function uprobe_step
	lea	uprobe_step(%rip), %rax
	body
end uprobe_step

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
move_site uprobe_push
move_site probe_count
move_site probe_return
move_site probe_three

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

#include <bench/floor.inc>

.macro floor name popf
function \name
	call	1f
	body
	.balign	64
1:	floor_code \popf
end \name
.endm
floor floor_sahf 0
floor floor_popf 1

	.section .note.GNU-stack, "", @progbits
