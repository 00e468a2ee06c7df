// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers by the names that the kernel gives them, as words of struct st_regs
 * (include/sidetrack/regs.h).
 *
 * All three architectures are in every tool: the parser is tested for all of them anywhere. Names
 * are those of regoffset_table in the kernel's arch/<arch>/kernel/ptrace.c.
 */
#include "spec.h"

static const struct st_spec_reg x86_64_regs[] = {
	{ "r15", 0 },	 { "r14", 1 }, { "r13", 2 }, { "r12", 3 },	{ "bp", 4 },  { "bx", 5 },
	{ "r11", 6 },	 { "r10", 7 }, { "r9", 8 },  { "r8", 9 },	{ "ax", 10 }, { "cx", 11 },
	{ "dx", 12 },	 { "si", 13 }, { "di", 14 }, { "orig_ax", 15 }, { "ip", 16 }, { "cs", 17 },
	{ "flags", 18 }, { "sp", 19 }, { "ss", 20 }, { NULL, 0 },
};

const struct st_spec_arch st_spec_x86_64 = {
	.name = "x86-64",
	.word = 8,
	.regs = x86_64_regs,
	.sp = 19,
	.ret = 10,				/* ax */
	.args = { 14, 13, 12, 11, 9, 8 },	/* psABI 3.2.3: di si dx cx r8 r9 */
	.nargs = 6,
	.stack_args = 1,			/* above the return address */
};

static const struct st_spec_reg arm64_regs[] = {
	{ "x0", 0 },   { "x1", 1 },   { "x2", 2 },   { "x3", 3 },   { "x4", 4 },      { "x5", 5 },
	{ "x6", 6 },   { "x7", 7 },   { "x8", 8 },   { "x9", 9 },   { "x10", 10 },    { "x11", 11 },
	{ "x12", 12 }, { "x13", 13 }, { "x14", 14 }, { "x15", 15 }, { "x16", 16 },    { "x17", 17 },
	{ "x18", 18 }, { "x19", 19 }, { "x20", 20 }, { "x21", 21 }, { "x22", 22 },    { "x23", 23 },
	{ "x24", 24 }, { "x25", 25 }, { "x26", 26 }, { "x27", 27 }, { "x28", 28 },    { "x29", 29 },
	{ "x30", 30 }, { "lr", 30 },  { "sp", 31 },  { "pc", 32 },  { "pstate", 33 }, { NULL, 0 },
};

const struct st_spec_arch st_spec_arm64 = {
	.name = "AArch64",
	.word = 8,
	.regs = arm64_regs,
	.sp = 31,
	.ret = 0,
	.args = { 0, 1, 2, 3, 4, 5, 6, 7 },	/* AAPCS64 6.8.2 */
	.nargs = 8,
	.stack_args = 0,
};

static const struct st_spec_reg arm_regs[] = {
	{ "r0", 0 },   { "r1", 1 },    { "r2", 2 },	  { "r3", 3 },	{ "r4", 4 },
	{ "r5", 5 },   { "r6", 6 },    { "r7", 7 },	  { "r8", 8 },	{ "r9", 9 },
	{ "r10", 10 }, { "fp", 11 },   { "ip", 12 },	  { "sp", 13 }, { "lr", 14 },
	{ "pc", 15 },  { "cpsr", 16 }, { "ORIG_r0", 17 }, { NULL, 0 },
};

const struct st_spec_arch st_spec_arm = {
	.name = "ARM",
	.word = 4,
	.regs = arm_regs,
	.sp = 13,
	.ret = 0,
	.args = { 0, 1, 2, 3 },			/* AAPCS 6.5 */
	.nargs = 4,
	.stack_args = 0,
};

#define WORD(field) (offsetof(struct st_regs, field) / sizeof(long))
#if defined(__x86_64__)
_Static_assert(WORD(bp) == 4 && WORD(r9) == 8 && WORD(di) == 14 && WORD(sp) == 19,
	       "st_spec_x86_64");
const struct st_spec_arch *const st_spec_native = &st_spec_x86_64;
#elif defined(__aarch64__)
_Static_assert(WORD(sp) == 31 && WORD(pstate) == 33, "st_spec_arm64");
const struct st_spec_arch *const st_spec_native = &st_spec_arm64;
#else
_Static_assert(WORD(fp) == 11 && WORD(sp) == 13 && WORD(cpsr) == 16, "st_spec_arm");
const struct st_spec_arch *const st_spec_native = &st_spec_arm;
#endif
