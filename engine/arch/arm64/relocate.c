// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Moving one A64 instruction to another address.
 *
 * The rule: the moved code changes exactly what the instruction changes, no other register and no
 * flag, or the instruction is refused. Section names are those of the Arm ARM (DDI 0487), chapter
 * C4 for the encodings.
 */
#include "relocate.h"

#include <stddef.h>

/*
 * First match wins. PC-dependent instructions, then those that can't be moved, then whole encoding
 * groups, of which the branch group is closed: what is not listed there is refused, since new
 * branches go there. Whether an instruction is allocated is the processor's to say, it raises the
 * same exception in the stub.
 */
const struct st_a64_row st_a64_rows[] = {
	/* PC-rel. addressing (C4.1.92) */
	{0x9f000000, 0x10000000, ST_A64_ADR, false, "adr"},
	{0x9f000000, 0x90000000, ST_A64_ADR, false, "adrp"},

	/* Branches, exceptions, system (C4.1.93) */
	{0xfc000000, 0x14000000, ST_A64_B, true, "b"},
	{0xfc000000, 0x94000000, ST_A64_BL, true, "bl"},
	{0xff000010, 0x54000000, ST_A64_COND, true, "b.cond"},
	{0xff000010, 0x54000010, ST_A64_COND, false, "bc.cond"},
	{0x7f000000, 0x34000000, ST_A64_COND, true, "cbz"},
	{0x7f000000, 0x35000000, ST_A64_COND, true, "cbnz"},
	{0x7f000000, 0x36000000, ST_A64_TEST, true, "tbz"},
	{0x7f000000, 0x37000000, ST_A64_TEST, true, "tbnz"},
	{0xfffffc1f, 0xd61f0000, ST_A64_LEAVE, false, "br"},
	{0xfffff81f, 0xd61f081f, ST_A64_LEAVE, false, "braaz/brabz"},
	{0xfffff800, 0xd71f0800, ST_A64_LEAVE, false, "braa/brab"},
	{0xfffffc1f, 0xd65f0000, ST_A64_LEAVE, false, "ret"},
	{0xfffffbff, 0xd65f0bff, ST_A64_LEAVE, false, "retaa/retab"},
	{0xffffffff, 0xd63f03c0, ST_A64_LINK, false, "blr x30"},
	{0xfffffbff, 0xd63f0bdf, ST_A64_LINK, false, "blraaz x30"},
	{0xfffffbe0, 0xd73f0bc0, ST_A64_LINK, false, "blraa x30"},
	{0xfffff81f, 0xd73f081e, ST_A64_LINK, false, "blraa ,x30"},
	{0xfffffc1f, 0xd63f0000, ST_A64_BLR, false, "blr"},
	{0xfffff81f, 0xd63f081f, ST_A64_BLR, false, "blraaz/blrabz"},
	{0xfffff800, 0xd73f0800, ST_A64_BLR, false, "blraa/blrab"},
	{0xffe0001f, 0xd4000001, ST_A64_COPY, true, "svc"},
	{0xffe0001f, 0xd4000002, ST_A64_TRAP, true, "hvc"},
	{0xffe0001f, 0xd4000003, ST_A64_TRAP, true, "smc"},
	{0xffe0001f, 0xd4200000, ST_A64_TRAP, false, "brk"},
	{0xffe0001f, 0xd4400000, ST_A64_TRAP, false, "hlt"},
	{0xffffffff, 0xd503201f, ST_A64_NOP, true, "nop"},
	/* PACM changes what the very next instruction does */
	{0xffffffff, 0xd50324ff, ST_A64_PCSIGN, false, "pacm"},
	{0xfffff01f, 0xd503201f, ST_A64_COPY, false, "hint"},
	{0xfffff0ff, 0xd50330df, ST_A64_COPY, true, "isb"},
	{0xff800000, 0xd5000000, ST_A64_COPY, false, "msr/mrs/sys"},
	/* RETAASPPC, RETABSPPC with a label */
	{0xff000000, 0x55000000, ST_A64_PCSIGN, false, "retaasppc"},
	/* CB<cond> and relatives of Armv9.6 */
	{0x7e000000, 0x74000000, ST_A64_CB, false, "cb.cond"},
	{0x1c000000, 0x14000000, ST_A64_UNKNOWN, false, "branches"},

	/* Loads and stores (C4.1.94) */
	{0xff000000, 0x18000000, ST_A64_LOAD, false, "ldr w, literal"},
	{0xff000000, 0x58000000, ST_A64_LOAD, false, "ldr x, literal"},
	{0xff000000, 0x98000000, ST_A64_LOAD, false, "ldrsw, literal"},
	{0xff000000, 0xd8000000, ST_A64_LOAD, false, "prfm, literal"},
	{0xff000000, 0x1c000000, ST_A64_LOADV, false, "ldr s, literal"},
	{0xff000000, 0x5c000000, ST_A64_LOADV, false, "ldr d, literal"},
	{0xff000000, 0x9c000000, ST_A64_LOADV, false, "ldr q, literal"},
	{0xff000000, 0xdc000000, ST_A64_UNKNOWN, false, "ldr ?, literal"},
	/* a store-exclusive that is first completes a pair that the hook would break (B2.12) */
	{0x3fe00000, 0x08000000, ST_A64_STXR, false, "stxr"},
	{0xbfe00000, 0x88200000, ST_A64_STXR, false, "stxp"},
	{0xbfe00000, 0x89000000, ST_A64_STXR, false, "sttxr"},
	/* the three steps of a memory copy or set; the kernel may go back to the first */
	{0x3b200c00, 0x19000400, ST_A64_PAIRED, false, "cpy/set"},
	{0x0a000000, 0x08000000, ST_A64_COPY, false, "loads, stores"},

	/* Data processing (C4.1.92, C4.1.95) */
	{0x7f800000, 0x13800000, ST_A64_COPY, false, "extr"},
	/* AUTIASPPC, AUTIBSPPC with a label are where EXTR has opc != 0 */
	{0x1f800000, 0x13800000, ST_A64_PCSIGN, false, "autiasppc"},
	{0x1c000000, 0x10000000, ST_A64_COPY, false, "dp immediate"},
	/* PACIASPPC and relatives: signed with pc */
	{0xffff8000, 0xdac18000, ST_A64_PCSIGN, false, "paciasppc"},
	{0x0e000000, 0x0a000000, ST_A64_COPY, false, "dp register"},
	{0x0e000000, 0x0e000000, ST_A64_COPY, false, "dp fp/simd"},

	/* SVE (C4.1.91): MOVPRFX is one operation with what follows */
	{0xfffffc00, 0x0420bc00, ST_A64_PAIRED, false, "movprfx"},
	{0xff3ee000, 0x04102000, ST_A64_PAIRED, false, "movprfx p"},
	{0x1e000000, 0x04000000, ST_A64_COPY, false, "sve"},
	{0x9e000000, 0x80000000, ST_A64_COPY, false, "sme"},

	{0x00000000, 0x00000000, ST_A64_UNKNOWN, false, "no instruction"},
};

const unsigned int st_a64_nrows = sizeof(st_a64_rows) / sizeof(st_a64_rows[0]);

const struct st_a64_row *st_a64_row(uint32_t insn)
{
	const struct st_a64_row *row = st_a64_rows;

	while ((insn & row->mask) != row->value)
		row++;
	return row;
}

const char *st_a64_why(enum st_a64_form form)
{
	if (form < ST_A64_UNKNOWN)
		return NULL;
	if (form == ST_A64_LINK)
		return "the instruction there calls through x30";
	if (form == ST_A64_TRAP)
		return "the instruction there is a trap";
	if (form == ST_A64_PCSIGN)
		return "the instruction there signs or checks the return address with its own "
		       "address";
	if (form == ST_A64_CB)
		return "the instruction there is a branch that can't be moved";
	if (form == ST_A64_STXR)
		return "the instruction there completes an exclusive access that a hook would "
		       "break";
	if (form == ST_A64_PAIRED)
		return "the instruction there must be executed together with the next";
	return "the instruction there is not known";
}

static int64_t sext(uint64_t value, unsigned int bits)
{
	return (int64_t)(value << (64 - bits)) >> (64 - bits);
}

/* The offset that @count bits at bit 5 hold, in words. */
static uint64_t offset5(uint32_t insn, unsigned int count)
{
	return (uint64_t)sext(insn >> 5, count) * 4;
}

bool st_a64_target(uint32_t insn, uint64_t pc, uint64_t *to)
{
	switch (st_a64_row(insn)->form) {
	case ST_A64_B:
		*to = pc + (uint64_t)sext(insn, 26) * 4;
		return true;
	case ST_A64_COND:
		*to = pc + offset5(insn, 19);
		return true;
	case ST_A64_TEST:
		*to = pc + offset5(insn, 14);
		return true;
	case ST_A64_CB:
		*to = pc + offset5(insn, 9);
		return true;
	}
	return false;
}

bool st_a64_call(uint32_t insn, uint64_t pc, uint64_t *to)
{
	*to = pc + (uint64_t)sext(insn, 26) * 4;
	return insn >> 26 == 0x25;
}

uint64_t st_a64_adr(uint32_t insn, uint64_t pc)
{
	uint64_t imm = (uint64_t)sext((insn >> 29 & 3) | (insn >> 3 & 0x1ffffc), 21);

	return insn >> 31 ? (pc & ~4095ull) + (imm << 12) : pc + imm;
}

unsigned int st_a64_literal_load(uint32_t insn, uint64_t pc, uint64_t *from)
{
	/* by V and opc; PRFM reads what a load would find */
	static const uint8_t bytes[8] = {4, 8, 4, 8, 4, 8, 16, 0};

	if ((insn & 0x3b000000) != 0x18000000)
		return 0;
	*from = pc + offset5(insn, 19);
	return bytes[(insn >> 24 & 4) | insn >> 30];
}

uint32_t st_a64_branch(uint64_t from, uint64_t to)
{
	int64_t off = (int64_t)(to - from);

	if (off < -(1 << 27) || off >= 1 << 27 || off & 3)
		return 0;
	return 0x14000000 | ((uint32_t)(off >> 2) & 0x3ffffff);
}

/* A64 instructions are little-endian whatever data are (B2.6.2). */
static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

void st_a64_start(struct st_a64_out *out, uint8_t *buf, uint64_t at)
{
	out->buf = buf;
	out->at = at;
	out->len = 0;
	out->nlits = 0;
}

void st_a64_put(struct st_a64_out *out, uint32_t insn)
{
	put32(out->buf + out->len, insn);
	out->len += 4;
}

void st_a64_literal(struct st_a64_out *out, unsigned int reg, uint64_t value)
{
	out->lit[out->nlits].insn = out->len;
	out->lit[out->nlits].value = value;
	out->nlits++;
	st_a64_put(out, 0x58000000 | reg);
}

void st_a64_finish(struct st_a64_out *out)
{
	unsigned int i;

	if (out->nlits && (out->at + out->len) & 4)
		st_a64_put(out, 0xd503201f);
	for (i = 0; i < out->nlits; i++) {
		uint8_t *insn = out->buf + out->lit[i].insn;
		uint32_t words = (out->len - out->lit[i].insn) / 4;

		/* the register is in the low 5 bits, the rest of the offset's field is 0 */
		put32(insn, 0x58000000 | (insn[0] & 31) | words << 5);
		st_a64_put(out, (uint32_t)out->lit[i].value);
		st_a64_put(out, (uint32_t)(out->lit[i].value >> 32));
	}
}

/*
 * An unconditional branch. st_arch_reach() keeps what is within 16 MiB of the site in reach of its
 * stub. So what is out of reach is not the same function; the branch is a call or tail call, to
 * which a linker could have added a veneer that uses x17 (AAPCS64 6.1.1). That is said of functions
 * only: where code may rely on x17, @far is false.
 */
static bool put_jump(struct st_a64_out *out, uint64_t to, bool far)
{
	uint32_t b = st_a64_branch(out->at + out->len, to);

	if (b) {
		st_a64_put(out, b);
		return true;
	}
	if (!far)
		return false;
	st_a64_literal(out, 17, to);
	st_a64_put(out, 0xd61f0220); /* br	x17 */
	return true;
}

/*
 * A literal load that can't use its own register as the base (a vector register, xzr) borrows one.
 * The stack is moved by the same instruction that stores: a signal finds nothing below sp. A
 * prefetch may take the same way.
 */
static void put_load(struct st_a64_out *out, uint32_t load, uint64_t from)
{
	st_a64_put(out, 0xf81f0fe0); /* str	x0, [sp, #-16]! */
	st_a64_literal(out, 0, from);
	st_a64_put(out, load);	     /* ldr	?, [x0] */
	st_a64_put(out, 0xf84107e0); /* ldr	x0, [sp], #16 */
}

static void move_load(struct st_a64_out *out, uint32_t insn, uint64_t from)
{
	/* with an unsigned offset of 0 from x0, by opc: ldr w, ldr x, ldrsw, prfm */
	static const uint32_t load[4] = {0xb9400000, 0xf9400000, 0xb9800000, 0xf9800000};
	unsigned int opc = insn >> 30, reg = insn & 31;

	if (opc == 3 || reg == 31) {
		put_load(out, load[opc] | reg, from);
		return;
	}
	st_a64_literal(out, reg, from);
	st_a64_put(out, load[opc] | reg << 5 | reg);
}

static void move_loadv(struct st_a64_out *out, uint32_t insn, uint64_t from)
{
	/* by opc: ldr s, ldr d, ldr q */
	static const uint32_t load[3] = {0xbd400000, 0xfd400000, 0x3dc00000};

	put_load(out, load[insn >> 30] | (insn & 31), from);
}

/*
 * The condition stays as it is and skips one instruction:
 *	cond	1f
 *	b	pc + 4
 * 1:	b	target
 */
static bool move_cond(struct st_a64_out *out, uint32_t insn, unsigned int bits, uint64_t pc)
{
	uint32_t field = ((1u << bits) - 1) << 5;

	st_a64_put(out, (insn & ~field) | 2 << 5);
	st_a64_put(out, st_a64_branch(out->at + out->len, pc + 4));
	return put_jump(out, pc + offset5(insn, bits), false);
}

bool st_a64_move(struct st_a64_out *out, uint32_t insn, uint64_t pc, bool far)
{
	switch (st_a64_row(insn)->form) {
	case ST_A64_COPY:
		st_a64_put(out, insn);
		break;
	case ST_A64_LEAVE:
		st_a64_put(out, insn);
		return true;
	case ST_A64_ADR:
		if ((insn & 31) != 31)
			st_a64_literal(out, insn & 31, st_a64_adr(insn, pc));
		break;
	case ST_A64_LOAD:
		move_load(out, insn, pc + offset5(insn, 19));
		break;
	case ST_A64_LOADV:
		move_loadv(out, insn, pc + offset5(insn, 19));
		break;
	case ST_A64_COND:
		return move_cond(out, insn, 19, pc);
	case ST_A64_TEST:
		return move_cond(out, insn, 14, pc);
	case ST_A64_B:
		return put_jump(out, pc + (uint64_t)sext(insn, 26) * 4, far);
	case ST_A64_BL:
		st_a64_literal(out, 30, pc + 4);
		return put_jump(out, pc + (uint64_t)sext(insn, 26) * 4, far);
	case ST_A64_BLR:
		/*
		 * BR instead of BLR: stubs are never in guarded pages, from where BR is accepted by
		 * BTI c and BTI j alike (D8.4.5, BTYPE 0b01).
		 */
		st_a64_literal(out, 30, pc + 4);
		st_a64_put(out, insn & ~(1u << 21));
		return true;
	}
	return put_jump(out, pc + 4, false);
}
