/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Offsets into struct st_regs and the stub's frame, for entry.S and vector.S; stub.c checks them against the structure. */
#ifndef ST_X86_FRAME_H
#define ST_X86_FRAME_H

#define ST_R15		0
#define ST_R14		8
#define ST_R13		16
#define ST_R12		24
#define ST_RBP		32
#define ST_RBX		40
#define ST_R11		48
#define ST_R10		56
#define ST_R9		64
#define ST_R8		72
#define ST_RAX		80
#define ST_RCX		88
#define ST_RDX		96
#define ST_RSI		104
#define ST_RDI		112
#define ST_ORIG_RAX	120
#define ST_RIP		128
#define ST_CS		136
#define ST_EFLAGS	144
#define ST_RSP		152
#define ST_SS		160
#define ST_FRAME	176	/* struct st_regs, rounded up to 16 */
#define ST_RED_ZONE	128	/* psABI 3.2.2 */

#define ST_EFLAGS_STATUS 0x8d5	/* OF SF ZF AF PF CF */
#define ST_EFLAGS_USUAL	0x202	/* IF and bit 1: what else a program has set */
#define ST_EFLAGS_DF	0x400
#define ST_EFLAGS_AC	0x40000
/* Always 0 in the register (SDM volume 1, 3.4.3): the stub of a site inside of a function sets it in the frame, for st_entry. */
#define ST_EFLAGS_INSIDE_BIT 5
#define ST_EFLAGS_INSIDE (1 << ST_EFLAGS_INSIDE_BIT)
/* No flags at all, negative. */
#define ST_FLAGS_INSIDE	(1 << 63)

/* st_arch_vector: what the CPU and the kernel let programs use. */
#define ST_VECTOR_AVX	1
#define ST_VECTOR_AVX512 2

#endif
