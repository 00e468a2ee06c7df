// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The length and the kind of x86-64 instructions, from tables of the opcode maps (SDM volume 2,
 * appendix A; XOP and 3DNow!: AMD volumes 3 to 6). What a table can't say is an error, never a
 * guess.
 */
#include <errno.h>
#include "decode.h"

/* clang-format off */
/* What follows an opcode; a byte for each. */
enum {
	BAD = 0x80,	/* no instruction */
	M = 0x01,	/* ModRM */
	B = 0x02,	/* an immediate byte */
	Z = 0x04,	/* an immediate of 2 bytes with a 66 prefix, else 4 */
	W = 0x08,	/* an immediate of 2 bytes */
	J = 0x10,	/* B or Z is a branch's displacement; Z then is always 4 bytes (Intel) */
	X = 0x20,	/* needs a look at prefixes or ModRM: special_*() */
	P = 0x40,	/* a prefix or an escape: never reached as an opcode */
};
/* clang-format on */

#define JB (J | B)
#define JZ (J | Z)
#define MB (M | B)
#define MZ (M | Z)
#define MX (M | X)
#define ALL_16(x) x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x

/* clang-format off */
static const uint8_t one_byte[256] = {
	/*0 1   2   3   4   5   6    7    8   9   a   b   c   d   e    f */
	M,  M,  M,  M,  B,  Z,  BAD, BAD, M,  M,  M,  M,  B,  Z,  BAD, P,	/* 0: add, or */
	M,  M,  M,  M,  B,  Z,  BAD, BAD, M,  M,  M,  M,  B,  Z,  BAD, BAD,	/* 1: adc, sbb */
	M,  M,  M,  M,  B,  Z,  P,   BAD, M,  M,  M,  M,  B,  Z,  P,   BAD,	/* 2: and, sub */
	M,  M,  M,  M,  B,  Z,  P,   BAD, M,  M,  M,  M,  B,  Z,  P,   BAD,	/* 3: xor, cmp */
	ALL_16(P),								/* 4: REX */
	ALL_16(0),								/* 5: push, pop */
	BAD, BAD, P, M, P, P, P,  P,  Z,  MZ, B,  MB, 0,  0,  0,  0,		/* 6: EVEX, movsxd, push, imul */
	ALL_16(JB),								/* 7: jcc */
	MB, MZ, BAD, MB, M, M, M, M,  M,  M,  M,  M,  MX, MX, MX, MX,		/* 8: group 1, mov, lea, pop */
	0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  BAD, 0, 0,  0,  0,  0,		/* 9: nop, xchg */
	X,  X,  X,  X,  0,  0,  0,  0,  B,  Z,  0,  0,  0,  0,  0,  0,		/* a: mov moffs, strings */
	B,  B,  B,  B,  B,  B,  B,  B,  X,  X,  X,  X,  X,  X,  X,  X,		/* b: mov imm */
	MB, MB, W,  0,  P,  P,  MB | X, MX, W | B, 0, W, 0, 0, B, BAD, 0,	/* c: shifts, ret, mov, enter, int */
	M,  M,  M,  M,  BAD, BAD, BAD, 0, M, M, M,  M,  M,  M,  M,  M,		/* d: shifts, x87 */
	JB, JB, JB, JB, B,  B,  B,  B,  JZ, JZ, BAD, JB, 0, 0,  0,  0,		/* e: loop, in, out, call, jmp */
	P,  0,  P,  P,  0,  0,  MX, MX, 0,  0,  0,  0,  0,  0,  MX, MX,		/* f: groups 3, 4, 5 */
};

static const uint8_t map_0f[256] = {
	MX, M,  M,  M,  BAD, 0, 0,  0,  0,  0,  BAD, 0, BAD, M, 0,  MB,		/* 0: syscall, ud2, 3DNow! */
	M,  M,  M,  M,  M,  M,  M,  M,  M,  M,  M,  M,  M,  M,  M,  M,		/* 1: mov, nop */
	MX, MX, MX, MX, BAD, BAD, BAD, BAD, M, M, M, M, M,  M,  M,  M,		/* 2: mov cr and dr, cvt */
	0,  0,  0,  0,  0,  0,  BAD, 0, P,  BAD, P, BAD, BAD, BAD, BAD, BAD,	/* 3: wrmsr, rdtsc, sysenter */
	ALL_16(M),								/* 4: cmov */
	ALL_16(M),								/* 5 */
	ALL_16(M),								/* 6 */
	MB, MB, MB, MB, M,  M,  M,  0,  MX, M,  BAD, BAD, M, M, M,  M,		/* 7: emms, vmread, extrq */
	ALL_16(JZ),								/* 8: jcc */
	ALL_16(M),								/* 9: setcc */
	0,  0,  0,  M,  MB, M,  MX, MX, 0,  0,  0,  M,  MB, M,  M,  M,		/* a: push fs, cpuid, bt, shld */
	M,  M,  M,  M,  M,  M,  M,  M,  MX, M,  MB, M,  M,  M,  M,  M,		/* b: cmpxchg, popcnt, group 8 */
	M,  M,  MB, M,  MB, MB, MB, M,  0,  0,  0,  0,  0,  0,  0,  0,		/* c: xadd, cmpps, bswap */
	ALL_16(M),								/* d */
	ALL_16(M),								/* e */
	ALL_16(M),								/* f */
};

/* Maps 0f 38 (ModRM) and 0f 3a (ModRM, immediate byte): a bit for each opcode that exists. */
static const uint16_t map_0f38[16] = {
	0x0fff, 0x70b1, 0x0f3f, 0xffbf, 0x0003, 0, 0, 0,
	0x0007, 0, 0, 0, 0xbf00, 0xf900, 0, 0x1f63,
};

static const uint16_t map_0f3a[16] = {
	0xff00, 0x00f0, 0x0007, 0, 0x0017, 0, 0x000f, 0,
	0, 0, 0, 0, 0xd000, 0x8000, 0, 0x0001,
};
/* clang-format on */

struct reader {
	const uint8_t *code;
	size_t size;
	size_t at;
};

/* The next byte, or -ENODATA; -EINVAL when the instruction becomes too long. */
static int next(struct reader *r)
{
	if (r->at >= ST_X86_INSN_MAX)
		return -EINVAL;
	if (r->at >= r->size)
		return -ENODATA;
	return r->code[r->at++];
}

static int skip(struct reader *r, unsigned int bytes)
{
	if (r->at + bytes > ST_X86_INSN_MAX)
		return -EINVAL;
	if (r->at + bytes > r->size)
		return -ENODATA;
	r->at += bytes;
	return 0;
}

/* ModRM, SIB, displacement: SDM volume 2, tables 2-2 and 2-3; EVEX only scales disp8. */
static int read_modrm(struct st_x86_insn *insn, struct reader *r)
{
	int modrm, sib, mod, rm, len = 0;

	insn->modrm = r->at;
	modrm = next(r);
	if (modrm < 0)
		return modrm;
	mod = modrm >> 6;
	rm = modrm & 7;
	if (mod == 3)
		return modrm;
	if (rm == 4) {
		sib = next(r);
		if (sib < 0)
			return sib;
		if (mod == 0 && (sib & 7) == 5)
			len = 4;
	}
	if (mod == 1)
		len = 1;
	if (mod == 2)
		len = 4;
	if (mod == 0 && rm == 5) {
		len = 4;
		insn->rip = true;
	}
	if (len) {
		insn->disp = r->at;
		insn->disp_len = len;
		mod = skip(r, len);
		if (mod < 0)
			return mod;
	}
	return modrm;
}

static int read_imm(struct st_x86_insn *insn, struct reader *r, unsigned int len)
{
	insn->imm = r->at;
	insn->imm_len = len;
	return skip(r, len);
}

static void read_rel(struct st_x86_insn *insn, const uint8_t *code)
{
	const uint8_t *p = code + insn->imm;

	if (insn->imm_len == 1)
		insn->rel = (int8_t)p[0];
	else if (insn->imm_len == 2)
		insn->rel = (int16_t)(p[0] | p[1] << 8);
	else
		insn->rel = (int32_t)(p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24);
}

/* VEX, EVEX, XOP: the map fixes the length, but for the few of map 1 that have an immediate. */
static int decode_vector(struct st_x86_insn *insn, struct reader *r, int map)
{
	int op, err;

	insn->opcode = r->at;
	op = next(r);
	if (op < 0)
		return op;
	if (map == 1 && op == 0x77) /* vzeroupper, vzeroall */
		return 0;
	err = read_modrm(insn, r);
	if (err < 0)
		return err;
	switch (map) {
	case 1:
		if ((op >= 0x70 && op <= 0x73) || op == 0xc2 || (op >= 0xc4 && op <= 0xc6))
			return read_imm(insn, r, 1);
		return 0;
	case 3:
	case 8:
		return read_imm(insn, r, 1);
	case 10:
		return read_imm(insn, r, 4);
	case 2:
	case 5:
	case 6:
	case 9:
		return 0;
	}
	return -EINVAL;
}

static int decode_vex(struct st_x86_insn *insn, struct reader *r, int escape)
{
	int p0 = next(r), p1;

	if (p0 < 0)
		return p0;
	switch (escape) {
	case 0xc5:
		return decode_vector(insn, r, 1);
	case 0xc4:
		p1 = next(r);
		if (p1 < 0)
			return p1;
		if (!(p0 & 0x1f) || (p0 & 0x1f) > 3)
			return -EINVAL;
		return decode_vector(insn, r, p0 & 0x1f);
	case 0x8f:
		p1 = next(r);
		if (p1 < 0)
			return p1;
		if ((p0 & 0x1f) > 10)
			return -EINVAL;
		return decode_vector(insn, r, p0 & 0x1f);
	default: /* 62: EVEX, SDM volume 2, 2.7.1: three bytes with two fixed bits */
		p1 = next(r);
		if (p1 < 0)
			return p1;
		if ((p0 & 8) || !(p1 & 4) || (p0 & 7) == 0 || (p0 & 7) == 4 || (p0 & 7) == 7)
			return -EINVAL;
		p1 = next(r);
		if (p1 < 0)
			return p1;
		return decode_vector(insn, r, p0 & 7);
	}
}

/* Entries of one_byte[] with X. */
static int special_one_byte(struct st_x86_insn *insn, struct reader *r, int op, int modrm)
{
	int reg = modrm >> 3 & 7;
	bool memory = modrm >> 6 != 3;

	switch (op) {
	case 0x8c: /* mov from a segment register */
		return reg > 5 ? -EINVAL : 0;
	case 0x8d:
		return memory ? 0 : -EINVAL;
	case 0x8e: /* mov to one; cs can't be loaded */
		return reg > 5 || reg == 1 ? -EINVAL : 0;
	case 0x8f:
		return reg ? -EINVAL : 0;
	case 0xa0 ... 0xa3:
		insn->disp = r->at;
		insn->disp_len = insn->addr32 ? 4 : 8;
		return skip(r, insn->disp_len);
	case 0xb8 ... 0xbf:
		return read_imm(insn, r, insn->rex & 8 ? 8 : insn->opsize ? 2 : 4);
	case 0xc6: /* mov, or xabort (c6 f8) */
		return reg && modrm != 0xf8 ? -EINVAL : 0;
	case 0xc7: /* mov, or xbegin (c7 f8) */
		if (modrm == 0xf8)
			insn->class = ST_X86_XBEGIN;
		else if (reg)
			return -EINVAL;
		return read_imm(insn, r, insn->opsize ? 2 : 4);
	case 0xf6: /* test has an immediate, the others of group 3 don't */
		return reg < 2 ? read_imm(insn, r, 1) : 0;
	case 0xf7:
		return reg < 2 ? read_imm(insn, r, insn->opsize ? 2 : 4) : 0;
	case 0xfe:
		return reg > 1 ? -EINVAL : 0;
	case 0xff:
		if (reg == 7 || ((reg == 3 || reg == 5) && !memory))
			return -EINVAL;
		if (reg == 2)
			insn->class = ST_X86_CALL_INDIRECT;
		if (reg == 3)
			insn->class = ST_X86_CALL_FAR;
		if (reg == 4)
			insn->class = ST_X86_JMP_INDIRECT;
		if (reg == 5)
			insn->class = ST_X86_JMP_FAR;
		if (reg == 2 || reg == 4)
			insn->vendor = insn->opsize;
		return 0;
	}
	return -EINVAL;
}

/* Entries of map_0f[] with X. @repeat is the last of f2 and f3, or 0. */
static int special_0f(struct st_x86_insn *insn, struct reader *r, int op, int modrm, int repeat,
		      bool p66)
{
	int reg = modrm >> 3 & 7;

	switch (op) {
	case 0x00:
		return reg > 5 ? -EINVAL : 0;
	case 0x78: /* extrq and insertq with two immediate bytes (AMD), or vmread */
		return p66 || repeat == 0xf2 ? read_imm(insn, r, 2) : repeat ? -EINVAL : 0;
	case 0xa6 ... 0xa7: /* VIA PadLock: register forms only */
		return modrm >> 6 == 3 ? 0 : -EINVAL;
	case 0xb8: /* popcnt; without f3 it is Itanium's jmpe */
		return repeat == 0xf3 ? 0 : -EINVAL;
	}
	return -EINVAL;
}

static int class_one_byte(const struct st_x86_insn *insn, int op, int repeat)
{
	switch (op) {
	case 0x70 ... 0x7f:
		return ST_X86_JCC;
	case 0x90: /* f3 is pause; REX.B makes it xchg with r8 */
		return repeat == 0xf3 || (insn->rex & 1) ? ST_X86_OTHER : ST_X86_NOP;
	case 0xc2:
	case 0xc3:
		return ST_X86_RET;
	case 0xca:
	case 0xcb:
		return ST_X86_RET_FAR;
	case 0xcc:
		return ST_X86_INT3;
	case 0xcd:
	case 0xf1:
		return ST_X86_INT;
	case 0xcf:
		return ST_X86_IRET;
	case 0xe0 ... 0xe3:
		return ST_X86_LOOP;
	case 0xe8:
		return ST_X86_CALL;
	case 0xe9:
	case 0xeb:
		return ST_X86_JMP;
	case 0xf4:
		return ST_X86_TRAP;
	}
	return insn->class;
}

static int class_0f(int op, int modrm, int repeat)
{
	switch (op) {
	case 0x05:
	case 0x34:
		return ST_X86_SYSCALL;
	case 0x07:
	case 0x35:
		return ST_X86_SYSRET;
	case 0x0b:
	case 0xb9:
	case 0xff:
		return ST_X86_TRAP;
	case 0x1e:
		return repeat == 0xf3 && modrm == 0xfa ? ST_X86_ENDBR64 : ST_X86_OTHER;
	case 0x1f:
		return ST_X86_NOP;
	case 0x80 ... 0x8f:
		return ST_X86_JCC;
	}
	return ST_X86_OTHER;
}

/*
 * What of an entry's operands is plain: ModRM and immediates; X is the caller's. Returns ModRM, or
 * an error.
 */
static int read_operands(struct st_x86_insn *insn, struct reader *r, unsigned int entry)
{
	int modrm = 0, err = 0;

	if (entry & M)
		modrm = read_modrm(insn, r);
	if (modrm < 0)
		return modrm;
	if (entry & Z)
		err = read_imm(insn, r, insn->opsize && !(entry & J) ? 2 : 4);
	else if (entry & (W | B))
		err = read_imm(insn, r, (entry & W ? 2 : 0) + (entry & B ? 1 : 0));
	return err < 0 ? err : modrm;
}

static int decode_0f(struct st_x86_insn *insn, struct reader *r, int repeat, bool p66)
{
	int op, modrm, err;
	unsigned int entry;

	insn->opcode = r->at;
	op = next(r);
	if (op < 0)
		return op;
	if (op == 0x38 || op == 0x3a) {
		const uint16_t *map = op == 0x38 ? map_0f38 : map_0f3a;

		entry = op == 0x38 ? M : MB;
		insn->opcode = r->at;
		op = next(r);
		if (op < 0)
			return op;
		if (!(map[op >> 4] >> (op & 15) & 1))
			return -EINVAL;
		err = read_operands(insn, r, entry);
		return err < 0 ? err : 0;
	}
	entry = map_0f[op];
	if (entry & BAD)
		return -EINVAL;
	if (op >= 0x20 && op <= 0x23) {
		/*
		 * mov to and from control and debug registers takes any mod for 3: SDM volume 2,
		 * "MOV"
		 */
		insn->modrm = r->at;
		return skip(r, 1);
	}
	modrm = read_operands(insn, r, entry);
	if (modrm < 0)
		return modrm;
	insn->class = class_0f(op, modrm, repeat);
	if (entry & J)
		insn->vendor = insn->opsize;
	return entry & X ? special_0f(insn, r, op, modrm, repeat, p66) : 0;
}

static int decode_one_byte(struct st_x86_insn *insn, struct reader *r, int op, int repeat)
{
	unsigned int entry = one_byte[op];
	int modrm, err;

	if (entry & (BAD | P))
		return -EINVAL;
	modrm = read_operands(insn, r, entry);
	if (modrm < 0)
		return modrm;
	if (entry & X) {
		err = special_one_byte(insn, r, op, modrm);
		if (err < 0)
			return err;
	}
	insn->class = class_one_byte(insn, op, repeat);
	if ((entry & J) || insn->class == ST_X86_RET)
		insn->vendor = insn->opsize;
	return 0;
}

int st_x86_decode(struct st_x86_insn *insn, const uint8_t *code, size_t size)
{
	struct reader r = {.code = code, .size = size};
	bool p66 = false, lock = false;
	int op, peek, err, repeat = 0;

	*insn = (struct st_x86_insn){.class = ST_X86_OTHER};
	for (;;) {
		op = next(&r);
		if (op < 0)
			return op;
		if ((op & 0xf0) == 0x40) {
			insn->rex = op;
			continue;
		}
		if (op == 0x66)
			p66 = true;
		else if (op == 0x67)
			insn->addr32 = true;
		else if (op == 0xf2 || op == 0xf3)
			repeat = op;
		else if (op == 0xf0)
			lock = true;
		else if (op != 0x26 && op != 0x2e && op != 0x36 && op != 0x3e && op != 0x64 &&
			 op != 0x65)
			break;
		/* SDM volume 2, 2.2.1: a REX prefix that is not the last prefix is ignored. */
		insn->rex = 0;
	}
	insn->opsize = p66 && !(insn->rex & 8);
	insn->opcode = r.at - 1;

	/* 8f is XOP if what would be ModRM has at least 8 in its low five bits, else pop. */
	peek = op == 0x8f && r.at < size ? code[r.at] & 0x1f : 0;
	if (op == 0xc4 || op == 0xc5 || op == 0x62 || peek >= 8) {
		/* SDM volume 2, 2.3.2 and following: #UD with REX, 66, f2, f3 or LOCK before it. */
		if (insn->rex || p66 || repeat || lock)
			return -EINVAL;
		err = decode_vex(insn, &r, op);
	} else if (op == 0x0f) {
		err = decode_0f(insn, &r, repeat, p66);
	} else {
		err = decode_one_byte(insn, &r, op, repeat);
	}
	if (err < 0)
		return err;
	insn->len = r.at;
	if (st_x86_is_branch(insn))
		read_rel(insn, code);
	return insn->len;
}
