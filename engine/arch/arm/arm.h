/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of this folder share: a small assembler for stubs, and moving one instruction into
 * one. All addresses are the target's, 32 bits wide whatever runs this code. "DDI0406C" is the
 * ARMv7-A/R Architecture Reference Manual.
 */
#ifndef ST_ENGINE_ARCH_ARM_H
#define ST_ENGINE_ARCH_ARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <engine/arch.h>

#define T16_NOP 0xbf00u
#define T16_BX_PC 0x4778u
#define T32_NOP 0xf3af8000u

#define ARM_AL 14 /* the condition "always" */
#define ARM_SP 13
#define ARM_LR 14
#define ARM_PC 15

/*
 * site, entry, the jump back, and at most two for each displaced instruction that is not a plain
 * copy
 */
#define ARM_LITERALS 16

/*
 * Code being written. Literals are collected and placed behind it by arm_literals(), within the 4
 * KiB that a load relative to pc reaches.
 */
struct arm_code {
	uint8_t *buf; /* ST_STUB_MAX bytes, or NULL: only measured */
	uint32_t at;  /* the address buf will have, a multiple of 4 */
	uint16_t len;
	bool thumb;
	bool full; /* something did not fit */
	uint8_t literals;
	struct {
		uint16_t insn;
		uint32_t value;
	} literal[ARM_LITERALS];
};

void arm_begin(struct arm_code *c, uint8_t *buf, uint32_t at, bool thumb);
void arm_put16(struct arm_code *c, uint16_t insn);
void arm_put32(struct arm_code *c, uint32_t insn); /* T32: first halfword in the upper half */
void arm_load(struct arm_code *c, unsigned int cond, unsigned int reg, uint32_t value);
void arm_goto(struct arm_code *c, unsigned int cond, uint32_t to);
void arm_literals(struct arm_code *c);

/* The encoding of a branch, or 0 when @to (no Thumb bit) is out of its reach. */
uint32_t arm_a32_branch(unsigned int cond, uint32_t from, uint32_t to);
uint32_t arm_t32_branch(uint32_t from, uint32_t to);

uint32_t arm_read32(const uint8_t *p);
uint16_t arm_read16(const uint8_t *p);

/* What an instruction does with pc */
enum arm_flow {
	ARM_NEXT,     /* goes on behind itself */
	ARM_BRANCH,   /* to an address that it names; perhaps only under a condition */
	ARM_CALL,     /* the same, and lr is set */
	ARM_CALL_REG, /* to where a register says, and lr is set */
	ARM_RETURN,   /* to what lr is or was */
	ARM_TABLE,    /* to one of several places that a table behind it names */
	ARM_JUMP,     /* to where a register or memory says */
	ARM_STOP,     /* a trap, or a change of the processor's mode: it is not known to go on */
	ARM_UNKNOWN,  /* no instruction that we know: data, perhaps */
};

/**
 * struct arm_insn - one instruction and what moving it said
 * @bits: the instruction; for 32 bits of T32 the first halfword is the upper half
 * @addr: where it stands
 * @size: 2 or 4
 * @in_it: it is conditional by an IT instruction before it
 *
 * Out, also when it can't be moved:
 * @it: the number of instructions that it makes conditional, if it is IT, else 0
 * @flow: enum arm_flow
 * @falls: control may go on behind it
 * @call: it sets lr to the address behind it
 * @to: where a branch or call leads, with Thumb bit
 * @copied: it was moved as it is
 * @refers: it names an address, @literal, by its distance, and reads @reads bytes there; 0: it only
 * takes the address
 * @opens, @stores_exclusive, @closes: a load-exclusive, a store-exclusive, CLREX
 */
struct arm_insn {
	uint32_t bits;
	uint32_t addr;
	uint8_t size;
	bool in_it;

	uint8_t it;
	uint8_t flow;
	bool falls;
	bool call;
	bool copied;
	bool refers;
	bool opens, stores_exclusive, closes;
	uint8_t reads;
	uint32_t literal;
	uint32_t to;
};

/*
 * Append code to @c that does at c->at what the instruction does at its own address: same
 * registers, flags and memory, control goes on behind the code if it would behind the instruction.
 * May use the stack below sp, moving sp first. Returns NULL, or the reason why not.
 */
const char *arm_move(struct arm_code *c, struct arm_insn *insn);

/* The instruction at @code, of which there are @room bytes: bits, size, address. False if it does
 * not end there. */
bool arm_fetch(struct arm_insn *insn, const uint8_t *code, size_t room, uint32_t addr, bool thumb);

/*
 * Where the halfwords at @code lead, if they are a branch or a call of T32 to T32, without Thumb
 * bit; 0 if they are none. For looking at many of them quickly.
 */
uint32_t arm_t32_leads(const uint8_t *code, size_t room, uint32_t addr);

/* How many instructions the IT instruction @it makes conditional. */
static inline unsigned int arm_it_length(uint32_t it)
{
	return it & 1 ? 4 : it & 2 ? 3 : it & 4 ? 2 : 1;
}

/* The condition of the instruction number @n, from 0, of the block that the IT instruction @it
 * makes. */
static inline unsigned int arm_it_cond(uint32_t it, unsigned int n)
{
	return (it >> 4 & 14) | (it >> (4 - n) & 1);
}

/* ---- what of a function is instructions (walk.c) ---- */

/* Longest function, in bytes, that is looked into. It decides how much stack a walk takes: 5/16 of
 * it. */
#ifndef ARM_WALK_MAX
#define ARM_WALK_MAX 0x10000
#endif

#define ARM_WALK_WORDS (ARM_WALK_MAX / 2 / 32)

/**
 * struct arm_walk - a function, followed from its entry
 * @lost: why nothing in it can be relied on, or NULL
 * @computed: control goes to a place that was computed, and may be anywhere
 * @exclusive: it has a load-exclusive
 * @start: an instruction that is reached begins here (a bit for each halfword of the function)
 * @target: a branch leads here
 * @in_it: an IT instruction before it makes it conditional
 * @todo: to be looked at; when the walk is over: an exclusive access may be open here
 * @after: a call returns here, if it returns; when the walk is over: a store-exclusive may follow
 */
struct arm_walk {
	const uint8_t *code;
	uint32_t func, size;
	bool thumb;
	const char *lost;
	bool computed;
	bool exclusive;
	uint32_t start[ARM_WALK_WORDS], target[ARM_WALK_WORDS], in_it[ARM_WALK_WORDS];
	uint32_t todo[ARM_WALK_WORDS], after[ARM_WALK_WORDS];
};

/* @func: no Thumb bit */
void arm_walk(struct arm_walk *w, const uint8_t *code, uint32_t func, size_t size, bool thumb);

/* Is an instruction at @off, for all that is known? */
bool arm_walk_insn(const struct arm_walk *w, uint32_t off);

/*
 * Decodes the instruction at @off, which must be one. Returns the condition it has by an IT block
 * and in @left how many instructions of that block there are from here on, itself included; 0 when
 * it is in none.
 */
unsigned int arm_walk_decode(const struct arm_walk *w, uint32_t off, struct arm_insn *insn,
			     unsigned int *left);

/* Might control come to @off other than from the instruction before? The reason, or NULL. */
const char *arm_walk_leads(const struct arm_walk *w, uint32_t off);

/* Is @off between a load-exclusive and its store-exclusive? */
bool arm_walk_exclusive(const struct arm_walk *w, uint32_t off);

/* st_arch_plan_at() for many places of one function */
int arm_plan_walked(struct st_plan *plan, const struct arm_walk *w, size_t room, size_t offset,
		    unsigned int flags);

#endif
