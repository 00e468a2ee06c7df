/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A64 instructions as a site sees them: what each one needs in order to run at another address.
 * Shared by relocate.c, stub.c and the tests, which check that every row of the table was
 * exercised.
 */
#ifndef ST_ARCH_ARM64_RELOCATE_H
#define ST_ARCH_ARM64_RELOCATE_H

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

enum st_a64_form {
	/* moved */
	ST_A64_COPY,  /* means the same anywhere */
	ST_A64_LEAVE, /* the same, and control never goes on behind it */
	ST_A64_NOP,   /* leaves nothing behind */
	ST_A64_ADR,   /* ADRP too */
	ST_A64_B,
	ST_A64_BL,
	ST_A64_BLR,   /* with the BR that differs from it in bit 21 only */
	ST_A64_COND,  /* conditional, 19 bits of offset at bit 5 */
	ST_A64_TEST,  /* conditional, 14 bits of offset at bit 5 */
	ST_A64_LOAD,  /* a literal into a general register, or a prefetch */
	ST_A64_LOADV, /* a literal into a vector register */

	/* refused */
	ST_A64_UNKNOWN,
	ST_A64_LINK,
	ST_A64_TRAP,
	ST_A64_PCSIGN,
	ST_A64_CB,
	ST_A64_STXR,
	ST_A64_PAIRED,
};

/* No pointers in here: the table must need no dynamic relocation. */
struct st_a64_row {
	uint32_t mask;
	uint32_t value;
	uint8_t form;
	bool live; /* on the list of Arm ARM B2.2.5 */
	char name[18];
};

extern const struct st_a64_row st_a64_rows[];
extern const unsigned int st_a64_nrows;

/* Code under construction; its 64-bit constants follow it. */
struct st_a64_out {
	uint8_t *buf;
	uint64_t at;
	unsigned int len;
	unsigned int nlits;
	struct {
		unsigned int insn; /* offset of the LDR (literal) */
		uint64_t value;
	} lit[6];
};

/* The row of an instruction: the first that matches. The last matches everything. */
const struct st_a64_row *st_a64_row(uint32_t insn);

/* Why a form can't be moved, NULL if it can. Half a sentence. */
const char *st_a64_why(enum st_a64_form form);

/* The address that a direct branch other than a call leads to: false if it is none. */
bool st_a64_target(uint32_t insn, uint64_t pc, uint64_t *to);

/* What ADR or ADRP computes. */
uint64_t st_a64_adr(uint32_t insn, uint64_t pc);

/* How many bytes a literal load reads, and where; 0 if it is none. */
unsigned int st_a64_literal_load(uint32_t insn, uint64_t pc, uint64_t *from);

/* The same of a direct call. */
bool st_a64_call(uint32_t insn, uint64_t pc, uint64_t *to);

/* B @to from @from, 0 if that is out of reach. */
uint32_t st_a64_branch(uint64_t from, uint64_t to);

void st_a64_start(struct st_a64_out *out, uint8_t *buf, uint64_t at);

void st_a64_put(struct st_a64_out *out, uint32_t insn);

/* LDR X@reg, =@value */
void st_a64_literal(struct st_a64_out *out, unsigned int reg, uint64_t value);

/* Writes the constants; nothing may be put after it. */
void st_a64_finish(struct st_a64_out *out);

/*
 * Writes code to @out that does what @insn does at @pc, and goes on at @pc + 4. The row's form must
 * be one that moves, and @out within st_arch_reach() of @pc. False if a call or tail call leads out
 * of reach, unless it may use x17, @far.
 */
bool st_a64_move(struct st_a64_out *out, uint32_t insn, uint64_t pc, bool far);

#pragma GCC visibility pop
#endif
