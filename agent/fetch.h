/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a probe fetches, and how: small programs for a stack machine, which the tool compiles from fetchargs, C expressions and
 * filters, and the agent runs in the target at every hit (agent/fetch.c).
 *
 * They lie in memory that the target can write, so the machine trusts nothing: every index is checked, jumps lead forward
 * only, and memory is read through the kernel. What is wrong is a fault, like an address that can't be read.
 */
#ifndef ST_AGENT_FETCH_H
#define ST_AGENT_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#define ST_FETCH_MAX	16			/* fetchargs a probe */
#define ST_STRING_MAX	255			/* bytes of a string that are recorded */
#define ST_STACK_MAX	16			/* values that a program may have on its stack */
#define ST_CODE_MAX	512			/* instructions a probe, all its programs together */
#define ST_TEXT_MAX	512			/* bytes of the texts that its filter compares with */

/* Values are 64 bits wide, on ARM too; an address is the low word of one. `a` is the top of the stack, `b` what lies below it. */
enum st_op_code {
	ST_OP_IMM,		/* push imm */
	ST_OP_REG,		/* push word `index` of struct st_regs */
	ST_OP_TP,		/* push the thread pointer + imm */
	ST_OP_TID,		/* push the thread's id */
	ST_OP_CPU,		/* push the number of the CPU; a fault if it is not known */
	ST_OP_LOAD,		/* a: `size` bytes at a + imm, zero extended */
	ST_OP_ADDI,		/* a + imm */
	ST_OP_ZEXT,		/* the low `size` bytes of a */
	ST_OP_SEXT,		/* the same, sign extended */
	ST_OP_BITS,		/* `size` bits of a from bit `index` on */
	ST_OP_SBITS,		/* the same, sign extended */
	ST_OP_DUP,		/* push a */
	ST_OP_PICK,		/* push the value `index` places below the top */
	ST_OP_DROP,
	ST_OP_SWAP,
	ST_OP_NEG, ST_OP_NOT /* ~ */, ST_OP_LNOT /* ! */,
	/* b OP a */
	ST_OP_ADD, ST_OP_SUB, ST_OP_MUL,
	ST_OP_DIVU, ST_OP_DIVS, ST_OP_MODU, ST_OP_MODS,	/* by 0: a fault */
	ST_OP_AND, ST_OP_OR, ST_OP_XOR,
	ST_OP_SHL, ST_OP_SHR, ST_OP_SAR,		/* by 64 and more: as by 64 bits, one after the other */
	ST_OP_EQ, ST_OP_NE, ST_OP_LTU, ST_OP_LEU, ST_OP_LTS, ST_OP_LES,
	ST_OP_ANDIF,		/* if a is 0 skip `index` instructions, else pop it */
	ST_OP_ORIF,		/* if a is not 0 skip `index` instructions, else pop it */
	ST_OP_MATCH,		/* a: does the text at a match the pattern at text[index]? At most `size` bytes are looked at */
	ST_OP_COMM,		/* push: does the thread's name match the pattern at text[index]? */
	ST_OP_CODES
};

struct st_op {
	uint8_t op, size;
	uint16_t index;
	uint32_t pad;
	int64_t imm;
};

struct st_program {
	uint16_t first, ops;	/* of the probe's code; ops is 0 when there is none */
};

enum st_fetch_base {
	ST_FETCH_REG,		/* word `index` of struct st_regs, no program */
	ST_FETCH_PROGRAM,	/* what the program leaves on the stack */
	ST_FETCH_NONE,		/* nothing: the tool knows (the thread's name, a constant text); 8 bytes of 0 in the record */
};

enum st_fetch_type {
	ST_TYPE_WORD,		/* the value, its low `size` bytes */
	ST_TYPE_ARRAY,		/* `count` elements of `size` bytes, in memory at the value */
	ST_TYPE_STRING,		/* the text at the value, up to a NUL or to `limit` bytes */
	ST_TYPE_STRINGS,	/* `count` pointers to such texts, in memory at the value */
};

/* One value of a record. */
struct st_fetch {
	uint8_t base, type;
	uint8_t size;		/* 1, 2, 4 or 8 */
	uint8_t limit;		/* of a string */
	uint16_t index;
	uint16_t count;		/* elements, 1 when it is no array */
	struct st_program program;
	uint32_t pad;
	uint64_t mask;		/* of a word: what `size` keeps */
};

/* A string in a record: 2 bytes of length and the text, padded to 8 bytes; that length stands for one that could not be read. */
#define ST_STRING_ROOM	((2 + ST_STRING_MAX + 7) & ~7u)
#define ST_STRING_FAULT	0xffff

/* Bytes of the record that the value takes at most, a multiple of 8. */
static inline uint32_t st_fetch_room(const struct st_fetch *f)
{
	return f->count * (f->type >= ST_TYPE_STRING ? ST_STRING_ROOM : 8u);
}

#endif
