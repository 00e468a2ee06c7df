/* SPDX-License-Identifier: GPL-2.0-only */
/* The floor for every function of a program built with -pg -mfentry: each calls this first. */
#include <engine/arch/x86_64/frame.h>
#include <bench/floor.inc>

	.text
	.balign	64
	.globl	__fentry__
	.type	__fentry__, @function
__fentry__:
	floor_code 0
	.size	__fentry__, . - __fentry__

	.balign	64
floor_hook:
	incq	calls(%rip)
	ret
	.local	calls
	.comm	calls, 8, 8

	.section .note.GNU-stack, "", @progbits
