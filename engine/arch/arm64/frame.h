/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * struct st_regs as entry.S and the stub use it. The stub makes the frame and saves x0, x1 and
 * x30 in it, st_entry the rest.
 *
 *	sp + 272	the function's sp
 *	sp + 264	pstate
 *	sp + 256	pc
 *	sp + 248	sp
 *	sp + 240	x30
 *	sp + 232	x29
 *	sp		x0 to x28
 *
 * x29 and x30 lie as in a frame record, and x29 points to them while the hooks run: the chain of
 * frame pointers goes on to the function's caller.
 */
#ifndef ST_ARCH_ARM64_FRAME_H
#define ST_ARCH_ARM64_FRAME_H

#define ST_FRAME_X(n) (8 * (n))
#define ST_FRAME_SP 248
#define ST_FRAME_PC 256
#define ST_FRAME_PSTATE 264
#define ST_FRAME_SIZE 272

/* Bits of st_arch_vector, by number: what there is besides q0 to q31. */
#define ST_VECTOR_SVE 0
#define ST_VECTOR_SME 1

#if !defined(__ASSEMBLER__) && defined(__aarch64__)
#include <stddef.h>
#include <sidetrack/regs.h>

_Static_assert(offsetof(struct st_regs, regs[29]) == ST_FRAME_X(29), "entry.S");
_Static_assert(offsetof(struct st_regs, sp) == ST_FRAME_SP, "entry.S");
_Static_assert(offsetof(struct st_regs, pc) == ST_FRAME_PC, "entry.S");
_Static_assert(offsetof(struct st_regs, pstate) == ST_FRAME_PSTATE, "entry.S");
_Static_assert(sizeof(struct st_regs) == ST_FRAME_SIZE, "entry.S");
#endif
#endif
