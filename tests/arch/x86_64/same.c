// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compares an instruction with its moved copy, as Zydis reads both: what the copy names must be what the original named,
 * all else equal; for calls and branches, the forms that the mover writes, and no others.
 */
#include <stdbool.h>
#include <string.h>
#include "same.h"

int z_decode(struct z_insn *z, const uint8_t *code, size_t size)
{
	static ZydisDecoder decoder;
	static bool ready;

	if (!ready) {
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
		ready = true;
	}
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, size, &z->i, z->op)))
		return -1;
	/* Knights Corner was no x86-64 processor: its MVEX and jkzd are undefined on all others. */
	switch (z->i.meta.isa_ext) {
	case ZYDIS_ISA_EXT_KNC:
	case ZYDIS_ISA_EXT_KNCE:
	case ZYDIS_ISA_EXT_KNCV:
		return -1;
	default:
		return z->i.meta.isa_set == ZYDIS_ISA_SET_KNCJKBR ? -1 : 0;
	}
}

uint64_t z_names(const struct z_insn *z, uint64_t at)
{
	for (unsigned int i = 0; i < z->i.operand_count; i++) {
		const ZydisDecodedOperand *o = &z->op[i];
		ZyanU64 to;

		if (((o->type == ZYDIS_OPERAND_TYPE_MEMORY && o->mem.base == ZYDIS_REGISTER_RIP) ||
		     (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && o->imm.is_relative)) &&
		    ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&z->i, o, at, &to)))
			return to;
	}
	return 0;
}

/* A reader of the copy. */
struct copy {
	const uint8_t *code;
	size_t size;
	size_t at;
	uint64_t addr;
	struct z_insn z;
};

static bool next(struct copy *c)
{
	c->at += c->z.i.length; /* at first 0 */
	return c->at < c->size && z_decode(&c->z, c->code + c->at, c->size - c->at) == 0;
}

/* The 8 bytes of the copy that the instruction at hand reads. */
static bool literal(const struct copy *c, uint64_t *value)
{
	uint64_t off = z_names(&c->z, c->addr + c->at) - c->addr;

	if (c->size < 8 || off > c->size - 8)
		return false;
	memcpy(value, c->code + off, 8);
	return true;
}

static bool at_jump_to(struct copy *c, uint64_t to)
{
	uint64_t value;

	if (c->z.i.mnemonic != ZYDIS_MNEMONIC_JMP)
		return false;
	if (c->z.i.raw.imm[0].is_relative)
		return z_names(&c->z, c->addr + c->at) == to;
	return literal(c, &value) && value == to;
}

static bool at_push_of(struct copy *c, uint64_t value)
{
	uint64_t pushed;

	return c->z.i.mnemonic == ZYDIS_MNEMONIC_PUSH && literal(c, &pushed) && pushed == value;
}

/* The instruction at hand is @a at @from, but for what it names, and its mnemonic. */
static bool at_same_operands(const struct copy *c, const struct z_insn *a, uint64_t from)
{
	const struct z_insn *b = &c->z;

	if (z_names(a, from) != z_names(b, c->addr + c->at) || a->i.operand_width != b->i.operand_width ||
	    a->i.address_width != b->i.address_width)
		return false;
	for (unsigned int i = 0; i < a->i.operand_count_visible; i++) {
		const ZydisDecodedOperand *p = &a->op[i], *q = &b->op[i];

		if (p->type != q->type || p->size != q->size)
			return false;
		if (p->type == ZYDIS_OPERAND_TYPE_REGISTER && p->reg.value != q->reg.value)
			return false;
		if (p->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (p->mem.base != q->mem.base || p->mem.index != q->mem.index || p->mem.scale != q->mem.scale ||
		     p->mem.segment != q->mem.segment ||
		     (p->mem.base != ZYDIS_REGISTER_RIP && p->mem.disp.value != q->mem.disp.value)))
			return false;
		if (p->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && !p->imm.is_relative && p->imm.value.u != q->imm.value.u)
			return false;
	}
	return true;
}

static const char *other_differs(const uint8_t *code, const struct z_insn *a, uint64_t from, struct copy *c)
{
	const struct z_insn *b = &c->z;
	size_t disp = a->i.raw.disp.offset, end = disp + 4;

	if (!next(c) || a->i.mnemonic != b->i.mnemonic || a->i.length != b->i.length)
		return "another instruction";
	if (z_names(a, from) != z_names(b, c->addr + c->at))
		return "it names something else";
	if (!z_names(a, from))
		disp = end = a->i.length;
	if (memcmp(code, c->code + c->at, disp) || memcmp(code + end, c->code + c->at + end, a->i.length - end))
		return "other bytes";
	return NULL;
}

static const char *branch_differs(const struct z_insn *a, uint64_t to, struct copy *c, bool loop)
{
	uint64_t over;

	if (!next(c))
		return "not decoded";
	if (a->i.mnemonic == ZYDIS_MNEMONIC_JMP)
		return at_jump_to(c, to) ? NULL : "it jumps elsewhere";
	if (!loop && c->z.i.mnemonic == a->i.mnemonic)
		return z_names(&c->z, c->addr + c->at) == to ? NULL : "it branches elsewhere";
	/* a conditional branch, over or to a jump */
	over = z_names(&c->z, c->addr + c->at);
	if (loop) {
		if (c->z.i.mnemonic != a->i.mnemonic || c->z.i.address_width != a->i.address_width || !next(c))
			return "another loop";
		if (c->z.i.mnemonic != ZYDIS_MNEMONIC_JMP || over != c->addr + c->at + c->z.i.length)
			return "not taken, it does not go around";
		over = z_names(&c->z, c->addr + c->at);
	} else if ((c->z.i.opcode & 0xf0) != 0x70 || ((c->z.i.opcode ^ a->i.opcode) & 15) != 1) {
		return "not the opposite condition";
	}
	if (!next(c) || !at_jump_to(c, to))
		return "taken, it goes elsewhere";
	return over == c->addr + c->at + c->z.i.length ? NULL : "not taken, it does not go on";
}

static const char *call_differs(const uint8_t *code, const struct z_insn *a, uint64_t from, struct copy *c)
{
	uint64_t behind = from + a->i.length;

	(void)code;
	if (!next(c) || c->z.i.mnemonic != ZYDIS_MNEMONIC_PUSH)
		return "no push";
	if (at_push_of(c, behind)) {
		if (!next(c))
			return "not decoded";
		if (a->i.raw.imm[0].is_relative)
			return at_jump_to(c, z_names(a, from)) ? NULL : "it calls something else";
		return c->z.i.mnemonic == ZYDIS_MNEMONIC_JMP && at_same_operands(c, a, from) ? NULL :
			       "it calls through something else";
	}
	if (a->i.raw.imm[0].is_relative || !at_same_operands(c, a, from))
		return "its operand is not pushed";
	if (!next(c) || memcmp(c->code + c->at, "\xff\x34\x24", 3) || !next(c) || !at_push_of(c, behind) || !next(c) ||
	    memcmp(c->code + c->at, "\x8f\x44\x24\x08\x48\x8d\x64\x24\x08\xff\x64\x24\xf8", 13))
		return "not the long call";
	return NULL;
}

const char *z_differs(const uint8_t *code, size_t len, uint64_t from, const uint8_t *copy, size_t size, uint64_t at,
		      uint64_t self)
{
	struct copy c = { .code = copy, .size = size, .addr = at };
	const char *differs;
	struct z_insn a;
	uint64_t to;

	if (z_decode(&a, code, len) < 0)
		return "Zydis decodes nothing";
	to = z_names(&a, from);
	if (to == from)
		to = self;
	switch (a.i.mnemonic) {
	case ZYDIS_MNEMONIC_CALL:
		return call_differs(code, &a, from, &c);
	case ZYDIS_MNEMONIC_LOOP:
	case ZYDIS_MNEMONIC_LOOPE:
	case ZYDIS_MNEMONIC_LOOPNE:
	case ZYDIS_MNEMONIC_JECXZ:
	case ZYDIS_MNEMONIC_JRCXZ:
		return branch_differs(&a, to, &c, true);
	case ZYDIS_MNEMONIC_SYSCALL:
		differs = other_differs(code, &a, from, &c);
		if (differs)
			return differs;
		to = from + len;
		return memcmp(copy + len, "\x48\xb9", 2) || memcmp(copy + len + 2, &to, 8) ? "rcx is another" : NULL;
	case ZYDIS_MNEMONIC_XBEGIN:
		return next(&c) && c.z.i.mnemonic == a.i.mnemonic && z_names(&c.z, at) == to ? NULL : "it aborts elsewhere";
	case ZYDIS_MNEMONIC_JMP:
		if (!a.i.raw.imm[0].is_relative)
			return other_differs(code, &a, from, &c);
		return branch_differs(&a, to, &c, false);
	default:
		if (a.i.meta.category == ZYDIS_CATEGORY_COND_BR && a.i.raw.imm[0].is_relative)
			return branch_differs(&a, to, &c, false);
		return other_differs(code, &a, from, &c);
	}
}
