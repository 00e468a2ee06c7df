/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * x86-64 instructions, as far as moving them needs: where one ends, what in it depends on its
 * address, where it goes. 64-bit mode only. Pure: reads nothing but the bytes it is given, needs no
 * libc.
 */
#ifndef ST_X86_DECODE_H
#define ST_X86_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* SDM volume 2, 2.3.11: a longer instruction is #GP. */
#define ST_X86_INSN_MAX 15

enum st_x86_class {
	ST_X86_OTHER, /* goes on behind itself */
	ST_X86_NOP,   /* 90 and 0f 1f, whatever their prefixes */
	ST_X86_ENDBR64,
	ST_X86_JCC,    /* 70-7f, 0f 80-8f */
	ST_X86_LOOP,   /* e0-e3: loopne, loope, loop, jrcxz */
	ST_X86_JMP,    /* e9, eb */
	ST_X86_CALL,   /* e8 */
	ST_X86_XBEGIN, /* a branch too: where an abort goes */
	ST_X86_JMP_INDIRECT,
	ST_X86_CALL_INDIRECT,
	ST_X86_JMP_FAR,
	ST_X86_CALL_FAR,
	ST_X86_RET, /* c2, c3 */
	ST_X86_RET_FAR,
	ST_X86_IRET,
	ST_X86_INT3,
	ST_X86_INT,	/* int n, int1 */
	ST_X86_SYSCALL, /* syscall, sysenter */
	ST_X86_SYSRET,	/* sysret, sysexit */
	ST_X86_TRAP,	/* ud0, ud1, ud2, hlt: ends a thread that is not in the kernel */
};

/**
 * struct st_x86_insn - one instruction
 * @rel: for a direct branch (st_x86_is_branch()), its target minus the address behind the
 *	instruction
 * @len: bytes
 * @class: enum st_x86_class
 * @opcode: offset of the opcode byte, behind prefixes and escape bytes
 * @modrm: offset of the ModRM byte, 0 if there is none
 * @disp: offset of the displacement (or of the absolute address of a0-a3), 0 if there is none
 * @disp_len: its bytes
 * @imm: offset of the immediate, or of a branch's displacement, 0 if there is none
 * @imm_len: its bytes
 * @rex: the REX prefix, 0 if there is none (VEX and its like don't count)
 * @rip: the memory operand is relative to the address behind the instruction
 * @opsize: a 66 prefix counts (there is no REX.W)
 * @addr32: a 67 prefix
 * @vendor: Intel and AMD decode it differently: a near branch with a 66 prefix, SDM volume 2 "Jcc"
 *	against AMD's manual volume 3, 1.2.7. Decoded as Intel does.
 */
struct st_x86_insn {
	int32_t rel;
	uint8_t len;
	uint8_t class;
	uint8_t opcode;
	uint8_t modrm;
	uint8_t disp;
	uint8_t disp_len;
	uint8_t imm;
	uint8_t imm_len;
	uint8_t rex;
	bool rip;
	bool opsize;
	bool addr32;
	bool vendor;
};

/**
 * st_x86_decode() - decode one instruction
 * @insn: filled in
 * @code: its first byte
 * @size: bytes that may be read
 *
 * Opcodes that the manuals leave undefined are errors in the one-byte, 0f, 0f 38 and 0f 3a maps.
 * What only makes an instruction undefined and does not change its length is not looked at: opcodes
 * in the VEX, EVEX and XOP maps, prefixes that choose between vector instructions, LOCK where it is
 * not allowed, holes in the x87 map.
 *
 * Return: its length; -EINVAL if this is no instruction; -ENODATA if @size is less than it has.
 */
int st_x86_decode(struct st_x86_insn *insn, const uint8_t *code, size_t size);

/**
 * st_x86_is_branch() - has the instruction a target that its own bytes give
 */
static inline bool st_x86_is_branch(const struct st_x86_insn *insn)
{
	return insn->class >= ST_X86_JCC && insn->class <= ST_X86_XBEGIN;
}

/**
 * st_x86_falls() - does control go on behind the instruction (behind a call: once it returns)
 */
static inline bool st_x86_falls(const struct st_x86_insn *insn)
{
	switch (insn->class) {
	case ST_X86_JMP:
	case ST_X86_JMP_INDIRECT:
	case ST_X86_JMP_FAR:
	case ST_X86_RET:
	case ST_X86_RET_FAR:
	case ST_X86_IRET:
	case ST_X86_SYSRET:
	case ST_X86_TRAP:
		return false;
	default:
		return true;
	}
}

#endif
