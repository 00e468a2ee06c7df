// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Is a word an instruction? Asked of words that may be data, so what is not allocated, or is never
 * in a program's code, is none. Within FP/SIMD, SVE and SME whole groups are taken as allocated.
 * What is frequent comes first in the tables: a function is read as a whole for each site in it.
 *
 * Section names are those of the Arm ARM (DDI 0487), chapter C4.
 */
#include "decode.h"

#include <stddef.h>

struct row {
	uint32_t mask;
	uint32_t value;
};

/* Data processing, immediate (C4.1.92); the fields of logical, bitfield and extract: see below */
static const struct row immediate[] = {
	{0x1f800000, 0x11000000}, /* add, sub */
	{0x1f000000, 0x10000000}, /* adr, adrp */
	{0xbfc0c000, 0x91800000}, /* addg, subg: tags */
	{0x7ff00000, 0x11c00000}, /* smax, smin, umax, umin */
	{0x1f800000, 0x12000000}, /* and, orr, eor */
	{0x7fc00000, 0x12800000}, /* movn */
	{0xffc00000, 0x92c00000},
	{0x5fc00000, 0x52800000}, /* movz, movk */
	{0xdfc00000, 0xd2c00000},
	{0x1f800000, 0x13000000}, /* sbfm, bfm, ubfm */
	{0x7fa00000, 0x13800000}, /* extr */
	{0, 0},
};

/* Branches, exceptions, system (C4.1.93) */
static const struct row branches[] = {
	{0x7c000000, 0x14000000}, /* b, bl */
	{0xff000000, 0x54000000}, /* b.cond, bc.cond */
	{0x7c000000, 0x34000000}, /* cbz, cbnz, tbz, tbnz */
	{0xffdffc1f, 0xd61f0000}, /* br, blr */
	{0xffdff81f, 0xd61f081f}, /* braaz, blraaz, ... */
	{0xffdff800, 0xd71f0800}, /* braa, blraa, ... */
	{0xfffffc1f, 0xd65f0000}, /* ret */
	{0xfffffbff, 0xd65f0bff}, /* retaa, retab */
	{0xffe0001f, 0xd4000001}, /* svc */
	{0xffe0001f, 0xd4200000}, /* brk */
	{0xfffff01f, 0xd503201f}, /* hints */
	{0xfffff01f, 0xd503301f}, /* barriers */
	{0xffffffc0, 0xd5031000}, /* wfet, wfit */
	{0xfff8f01f, 0xd500401f}, /* msr, immediate */
	{0xffd80000, 0xd5080000}, /* sys, sysl */
	{0xffd00000, 0xd5100000}, /* msr, mrs */
	{0, 0},
};

/* Data processing, register (C4.1.95) */
static const struct row registers[] = {
	{0x9f000000, 0x8a000000}, /* logical */
	{0x9f008000, 0x0a000000},
	{0x9fa00000, 0x8b000000}, /* add, sub: shifted by lsl, lsr */
	{0x9fe00000, 0x8b800000}, /* by asr */
	{0x9fa08000, 0x0b000000},
	{0x9fe08000, 0x0b800000},
	{0x1fe01000, 0x0b200000}, /* extended, shifted by 0 to 3 */
	{0x1fe01c00, 0x0b201000}, /* by 4 */
	{0x1fe0fc00, 0x1a000000}, /* adc, sbc */
	{0xffe07c10, 0xba000400}, /* rmif */
	{0xffffbc1f, 0x3a00080d}, /* setf8, setf16 */
	{0x3fe00410, 0x3a400000}, /* ccmn, ccmp */
	{0x3fe00800, 0x1a800000}, /* csel, csinc, csinv, csneg */
	{0x7fe00000, 0x1b000000}, /* madd, msub */
	{0xff600000, 0x9b200000}, /* smaddl, umaddl, ... */
	{0xff608000, 0x9b400000}, /* smulh, umulh */
	{0x7fe0f800, 0x1ac00800}, /* udiv, sdiv */
	{0x7fe0f000, 0x1ac02000}, /* lslv, ... */
	{0xffe0ec00, 0x9ac04c00}, /* crc32x, crc32cx */
	{0xffe0e800, 0x1ac04000}, /* crc32b, crc32h, ... */
	{0xffe0ec00, 0x1ac04800},
	{0x7fe0f000, 0x1ac06000}, /* smax, ... */
	{0xdfe0fc00, 0x9ac00000}, /* subp, subps */
	{0xffe0f800, 0x9ac01000}, /* irg, gmi */
	{0xffe0fc00, 0x9ac03000}, /* pacga */
	{0x7ffff800, 0x5ac00000}, /* rbit, rev16 */
	{0x7ffffc00, 0x5ac00800}, /* rev */
	{0xfffffc00, 0xdac00c00},
	{0x7ffff800, 0x5ac01000}, /* clz, cls */
	{0x7ffff800, 0x5ac01800}, /* ctz, cnt */
	{0x7ffffc00, 0x5ac02000}, /* abs */
	{0xffffe000, 0xdac10000}, /* pacia, autia, ... */
	{0xffffe3e0, 0xdac123e0}, /* paciza, autiza, ... */
	{0xfffffbe0, 0xdac143e0}, /* xpaci, xpacd */
	{0, 0},
};

/* Loads and stores (C4.1.94) */
static const struct row memory[] = {
	/* a register, by size and opc; offset in bits 24, 21, 11, 10 */
	{0x3f800000, 0x39000000}, /* bytes to doublewords */
	{0x3f800000, 0x38000000},
	{0xbf800000, 0x38800000}, /* with a sign: bytes, halfwords */
	{0xbf800000, 0x39800000},
	{0xffc00000, 0xb8800000}, /* words */
	{0xffc00000, 0xb9800000},
	{0xffc00000, 0xf8800000}, /* prfm */
	{0xffc00000, 0xf9800000},
	{0x3f800000, 0x3c000000}, /* FP/SIMD: b to d */
	{0x3f800000, 0x3d000000},
	{0xff800000, 0x3c800000}, /* q */
	{0xff800000, 0x3d800000},
	{0x3f200c00, 0x38200000}, /* ldadd, swp, ... */
	{0xff200400, 0xf8200400}, /* ldraa, ldrab */
	{0x7e000000, 0x28000000}, /* pairs */
	{0xfe000000, 0x68000000}, /* ldpsw, stgp */
	{0xbe000000, 0x2c000000},
	{0xfe000000, 0xac000000},
	{0x3f000000, 0x18000000}, /* literal */
	{0xbf000000, 0x1c000000},
	{0xff000000, 0x9c000000},
	{0x3fa00000, 0x08000000}, /* exclusive */
	{0xbfa00000, 0x88200000}, /* pairs */
	{0xbfa07c00, 0x08207c00}, /* casp */
	{0x3fbf7c00, 0x089f7c00}, /* stlr, ldar, ... */
	{0x3fa07c00, 0x08a07c00}, /* cas */
	{0xbf200c00, 0x19000000}, /* stlurb, ldapurb, ... */
	{0x3fa00c00, 0x19000000},
	{0xffe00c00, 0x99800000},
	{0xff200c00, 0xd9200400}, /* stg, ... */
	{0xff200800, 0xd9200800},
	{0xff200c00, 0xd9200000}, /* ldg, stzgm, ... */
	{0x3b200c00, 0x19000400}, /* cpy, set */
	/* structures */
	{0xbfbf0000, 0x0c000000},
	{0xbfa00000, 0x0c800000},
	{0xbf9f0000, 0x0d000000},
	{0xbf800000, 0x0d800000},
	{0, 0},
};

/* Data processing, FP and SIMD (C4.1.96) */
static const struct row simd[] = {
	{0x9e000000, 0x0e000000}, /* vectors */
	{0xde000000, 0x5e000000}, /* scalars of them, cryptography */
	{0xff000000, 0xce000000}, /* cryptography */
	{0x7f000000, 0x1e000000}, /* scalars, and to and from registers */
	{0xff000000, 0x1f000000}, /* fmadd, ... */
	{0, 0},
};

static bool among(const struct row *row, uint32_t insn)
{
	for (; row->mask; row++)
		if ((insn & row->mask) == row->value)
			return true;
	return false;
}

/* A bitmask immediate (DecodeBitMasks) */
static bool bitmask(uint32_t insn)
{
	unsigned int imms = insn >> 10 & 63, levels = 63;

	if (insn >> 22 & 1) {
		if (!(insn >> 31))
			return false;
	} else {
		/* as many as there are bits below the highest that is clear */
		levels = 31;
		while (levels && imms & (levels + 1))
			levels >>= 1;
	}
	return levels && (imms & levels) != levels;
}

/* What the rows of immediates leave open. */
static bool immediate_fields(uint32_t insn)
{
	bool sf = insn >> 31, n = insn >> 22 & 1;

	switch (insn >> 23 & 7) {
	case 4:
		return bitmask(insn);
	case 6:
		return (insn >> 29 & 3) != 3 && n == sf && (sf || !(insn & (1 << 21 | 1 << 15)));
	case 7:
		return n == sf && (sf || !(insn & 1 << 15));
	}
	return true;
}

/* A register's load or store: what bits 21, 11 and 10 say */
static bool register_fields(uint32_t insn)
{
	bool v = insn >> 26 & 1;

	if (insn >> 24 & 1)
		return true;
	if (insn >> 21 & 1) {
		switch (insn >> 10 & 3) {
		case 0: /* atomics; swp, ldapr, ld64b and relatives where bit 15 is set */
			return !v;
		case 2: /* extended by 32 or 64 bits */
			return insn >> 14 & 1;
		}
		return !v && insn >> 30 == 3;
	}
	/* neither a prefetch nor a vector register has all forms */
	switch (insn >> 10 & 3) {
	case 2:
		return !v && (insn & 0xffc00000) != 0xf8800000;
	case 1:
	case 3:
		return v || (insn & 0xffc00000) != 0xf8800000;
	}
	return true;
}

bool st_a64_allocated(uint32_t insn)
{
	switch (insn >> 25 & 15) {
	case 0:
		return insn >> 31; /* SME; 0x0000xxxx is UDF */
	case 2:
		return true; /* SVE */
	case 8:
	case 9:
		return among(immediate, insn) && immediate_fields(insn);
	case 10:
	case 11:
		return among(branches, insn);
	case 5:
	case 13:
		return among(registers, insn);
	case 4:
	case 6:
	case 12:
	case 14:
		if ((insn & 0x3a000000) == 0x38000000 && !register_fields(insn))
			return false;
		return among(memory, insn);
	case 7:
	case 15:
		return among(simd, insn);
	}
	return false;
}
