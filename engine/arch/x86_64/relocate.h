/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Displaced x86-64 instructions, moved into a stub: each does what it did at its own place, or the
 * site is refused. Pure, as all of engine/arch.h.
 */
#ifndef ST_X86_RELOCATE_H
#define ST_X86_RELOCATE_H

#include "engine/arch.h"
#include "decode.h"

/**
 * st_x86_move() - write a plan's displaced instructions for another address
 * @plan: of any kind but NO
 * @out: where to write
 * @cap: bytes there; ST_X86_MOVE_MAX are always enough
 * @at: the address that @out will have
 * @map: set, for each displaced instruction, to the offset of its copy
 *
 * Behind the copies comes a jump to what follows the displaced bytes, if plan->falls, and behind
 * that the addresses that the copies need. No register, no flag and no byte of memory but a call's
 * own return address, and below that, is written that the instructions did not write. A call
 * returns to its original return address.
 *
 * Return: bytes written; -ERANGE when @at is too far away for an operand relative to the
 * instruction, -ENOTSUP when an instruction can't be moved at all, -ENOSPC when @cap is too small:
 * each with plan->why.
 */
int st_x86_move(struct st_plan *plan, uint8_t *out, size_t cap, unsigned long at,
		uint16_t map[ST_INSNS_MAX]);

/*
 * Five instructions, of which each becomes at most 16 bytes of code and 16 of addresses, the last
 * one 38 and 8, the jump back, alignment.
 */
#define ST_X86_MOVE_MAX 192

/**
 * st_x86_immovable() - why an instruction can't be moved wherever its copy would be
 * @insn: the instruction
 * @code: its bytes
 * @last: it is the last one displaced
 * @alone: it is the only one, by a breakpoint
 *
 * Return: the reason, NULL if it can be moved.
 */
const char *st_x86_immovable(const struct st_x86_insn *insn, const uint8_t *code, bool last,
			     bool alone);

/**
 * st_x86_sweep() - refuse plans into whose displaced bytes a branch from elsewhere leads
 * @plans: of functions anywhere, ascending by addr; refused ones may be among them
 * @n: how many
 * @code: the text of the object (each of its executable sections, one call for each)
 * @addr: its address
 * @size: its length in bytes
 *
 * The plan of a site sees the branches of its function itself. But a cold part is a function of its
 * own and jumps back to where it likes, and assembly enters its neighbours behind their first
 * instruction: glibc's mempcpy does so with memcpy. Of 556,439 functions in the 1,319 binaries of a
 * Debian machine, 22 are such (tests/arch/x86_64/coverage.c). So before a site's bytes change, the
 * whole text has to be looked at; once for any number of plans. An address that is taken counts as
 * a branch. Data among the code may be taken for a branch: that only refuses more.
 *
 * Return: how many plans became ST_KIND_NO.
 */
size_t st_x86_sweep(struct st_plan *const *plans, size_t n, const uint8_t *code, unsigned long addr,
		    size_t size);

/**
 * st_x86_has_indirect_jump() - does a function hold a jump whose targets its own bytes don't give
 * @code: the function's bytes
 * @size: how many
 *
 * A jump table could lead into the displaced bytes of a plan with more than one instruction.
 * st_arch_plan() sees no table, only text, and takes it that none does: the code that reads the
 * table (range check, load, add, jump) is longer than 5 bytes and runs before the first label of
 * it, so only a loop around the switch whose body starts within the first 5 bytes of the function
 * could have such a label. Compilers put such loops behind a prologue, and align them;
 * tests/arch/x86_64/coverage.c, which reads the tables, finds none. Who wants to be sure may ask
 * here whether to read the tables (.rodata), and compare with the plan's offs.
 */
bool st_x86_has_indirect_jump(const uint8_t *code, size_t size);

#endif
