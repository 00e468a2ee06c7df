# SPDX-License-Identifier: GPL-2.0-only
# A 32-bit x86 program without a C library: waits for ever, so that a 64-bit tool can refuse it.
	.globl _start
_start:
	mov	$29, %eax		# pause
	int	$0x80
	jmp	_start
