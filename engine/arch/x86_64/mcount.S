/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `-pg -mfentry` calls at the entry of every function: does nothing, so that such a program links and runs with us. A
 * hooked function's call is displaced like any first instruction.
 */
	.text
	.globl	__fentry__
	.type	__fentry__, @function
__fentry__:
	ret
	.size	__fentry__, . - __fentry__
	.section .note.GNU-stack, "", @progbits
