/* SPDX-License-Identifier: GPL-2.0-only */
/* What Zydis says of moved x86-64 instructions, for the tests of the mover. */
#ifndef TESTS_X86_64_SAME_H
#define TESTS_X86_64_SAME_H

#include <stddef.h>
#include <stdint.h>
#include <Zydis/Zydis.h>

struct z_insn {
	ZydisDecodedInstruction i;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

/* 0, or -1 if it is no instruction. */
int z_decode(struct z_insn *z, const uint8_t *code, size_t size);

/* The address that an operand relative to rip, or a direct branch, names; 0 if there is none. */
uint64_t z_names(const struct z_insn *z, uint64_t at);

/*
 * Does the code at @copy, which will be at address @at, do what the one instruction at @code does at @from? @self: where a
 * branch back to @from is to lead. NULL, or what is different.
 */
const char *z_differs(const uint8_t *code, size_t len, uint64_t from, const uint8_t *copy, size_t size, uint64_t at,
		      uint64_t self);

#endif
