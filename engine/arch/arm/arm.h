/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of this folder share: a small assembler for stubs, and moving one instruction into
 * one. All addresses are the target's, 32 bits wide whatever runs this code. "DDI0406C" is the
 * ARMv7-A/R Architecture Reference Manual.
 */
#ifndef ST_ENGINE_ARCH_ARM_H
#define ST_ENGINE_ARCH_ARM_H

#include <stdbool.h>
#include <stdint.h>
#include <engine/arch.h>

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
	uint8_t *buf; /* ST_STUB_MAX bytes */
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

/**
 * struct arm_insn - one instruction and what moving it said
 * @bits: the instruction; for 32 bits of T32 the first halfword is the upper half
 * @addr: where it stands
 * @size: 2 or 4
 * @in_it: it is conditional by an IT instruction before it
 * @it: out: the number of instructions that it makes conditional, if it is IT, else 0
 * @falls: out: control may go on behind it
 * @call: out: it sets lr to the address behind it
 */
struct arm_insn {
	uint32_t bits;
	uint32_t addr;
	uint8_t size;
	bool in_it;
	uint8_t it;
	bool falls;
	bool call;
};

/*
 * Append code to @c that does at c->at what the instruction does at its own address: same
 * registers, flags and memory, control goes on behind the code if it would behind the instruction.
 * May use the stack below sp, moving sp first. Returns NULL, or the reason why not.
 */
const char *arm_move(struct arm_code *c, struct arm_insn *insn);

#endif
