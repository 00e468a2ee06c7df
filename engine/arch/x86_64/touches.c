// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * See touches.h. Lists of what is known to be harmless; the rest, everything with VEX or EVEX among it, is not. Opcode
 * maps: SDM volume 2, appendix A.
 *
 * Legacy SSE instructions leave the bits above 127 of a register alone (SDM volume 1, 14.8), so for those that use no
 * MMX register, saving xmm registers and MXCSR is enough.
 */
#include <engine/site.h>
#include "touches.h"

#define ALL ST_HOOKS_VECTOR
#define LOW ST_HOOKS_XMM_LOW
#define HIGH ST_HOOKS_XMM

/* Map 0f: a bit for each opcode; row = high digit. */

/* General registers and memory only, whatever prefix and operand. */
static const uint16_t general_0f[16] = {
	[0x0] = 0x2000,	/* prefetchw */
	[0x1] = 0xf300,	/* prefetch, NOPs, endbr64, rdssp */
	[0x3] = 0x0002,	/* rdtsc */
	[0x4] = 0xffff,	/* cmovcc */
	[0x8] = 0xffff,	/* jcc */
	[0x9] = 0xffff,	/* setcc */
	[0xa] = 0xb83c,	/* cpuid, bt, shld; bts, shrd, imul (not a6, a7, ae) */
	[0xb] = 0xfdcb,	/* cmpxchg, btr, movzx; popcnt, group 8, btc, bsf, bsr, movsx */
	[0xc] = 0xff0b,	/* xadd, movnti, bswap */
};
/* SSE without a prefix, or with 66, f2 or f3: no MMX register with any of them. */
static const uint16_t sse_0f[16] = {
	[0x1] = 0x00ff,	/* moves */
	[0x2] = 0xcb00,	/* movaps, movntps, ucomis, comis */
	[0x5] = 0xffff,
	[0xc] = 0x0044,	/* cmpps, shufps */
};
/* The same, but an MMX form without prefix. */
static const uint16_t sse_66_0f[16] = {
	[0x6] = 0xffff,
	[0x7] = 0xf07f,	/* all but emms and 78 to 7b; 7c and 7d have no form without prefix */
	[0xc] = 0x0030,	/* pinsrw, pextrw */
	[0xd] = 0xffff,
	[0xe] = 0xffff,
	[0xf] = 0x7fff,
};
/* Maps 0f 38 and 0f 3a, with 66. Not those with implied registers, nor AES and SHA. */
static const uint16_t sse_66_0f38[16] = {
	[0x0] = 0x0fff, [0x1] = 0x7000, [0x2] = 0x0f3f, [0x3] = 0xffbf, [0x4] = 0x0003,
};
static const uint16_t sse_66_0f3a[16] = {
	[0x0] = 0xff00, [0x1] = 0x00f0, [0x2] = 0x0007, [0x4] = 0x0007,
};

static bool in(const uint16_t *map, uint8_t op)
{
	return map[op >> 4] >> (op & 15) & 1;
}

struct prefixes {
	bool p66, repeat;
	uint8_t end;	/* offset of what follows them: an opcode, an escape byte, VEX and its like */
};

static struct prefixes prefixes_of(const struct st_x86_insn *insn, const uint8_t *code)
{
	struct prefixes p = { .end = 0 };

	for (; p.end < insn->opcode; p.end++) {
		uint8_t b = code[p.end];

		if (b == 0x66)
			p.p66 = true;
		else if (b == 0xf2 || b == 0xf3)
			p.repeat = true;
		else if (b != 0xf0 && b != 0x26 && b != 0x2e && b != 0x36 && b != 0x3e && b != 0x64 && b != 0x65 &&
			 b != 0x67 && (b & 0xf0) != 0x40)
			break;
	}
	return p;
}

/* Its registers by number; that some of these are general ones only makes us save more. */
static unsigned int xmm(const struct st_x86_insn *insn, const uint8_t *code)
{
	bool high = insn->rex & 4 || ((insn->rex & 1) && code[insn->modrm] >> 6 == 3);

	return high ? LOW | HIGH : LOW;
}

static unsigned int one_byte(const struct st_x86_insn *insn, const uint8_t *code, uint8_t op)
{
	switch (op) {
	case 0x9b:		/* fwait */
	case 0xd8 ... 0xdf:	/* x87 */
	case 0x8e:		/* a segment register: fs is the thread pointer */
	case 0x6c ... 0x6f:	/* in, out */
	case 0xe4 ... 0xe7:
	case 0xec ... 0xef:
		return ALL;
	case 0xc6:
	case 0xc7:		/* xabort and xbegin restore registers */
		return code[insn->modrm] == 0xf8 ? ALL : 0;
	}
	return 0;
}

static unsigned int map_0f(const struct st_x86_insn *insn, const uint8_t *code, uint8_t op, struct prefixes p)
{
	uint8_t modrm = insn->modrm ? code[insn->modrm] : 0;
	uint8_t reg = modrm >> 3 & 7;
	bool memory = modrm >> 6 != 3;

	if (in(general_0f, op))
		return 0;
	switch (op) {
	case 0x01:	/* rdtscp */
		return modrm == 0xf9 ? 0 : ALL;
	case 0x0b:	/* ud2 */
		return 0;
	case 0x2a:	/* cvtsi2ss, cvtsi2sd; without prefix or with 66, from an MMX register */
	case 0x2c:
	case 0x2d:
		return p.repeat ? xmm(insn, code) : ALL;
	case 0xae:	/* fences, ldmxcsr, stmxcsr, clflush */
		if (p.p66 || p.repeat)
			return ALL;
		if (!memory)
			return reg >= 5 ? 0 : ALL;
		return reg == 2 || reg == 3 ? LOW : reg == 7 ? 0 : ALL;
	case 0xc7:	/* cmpxchg16b, rdrand, rdseed */
		if (memory)
			return reg == 1 ? 0 : ALL;
		return !p.repeat && reg >= 6 ? 0 : ALL;
	case 0xd6:	/* movq; with f2 and f3, from and to an MMX register */
		return p.p66 && !p.repeat ? xmm(insn, code) : ALL;
	}
	if (in(sse_0f, op))
		return xmm(insn, code);
	if (in(sse_66_0f, op))
		return p.p66 || p.repeat ? xmm(insn, code) : ALL;
	return ALL;
}

static unsigned int map_0f38(const struct st_x86_insn *insn, const uint8_t *code, uint8_t op, struct prefixes p)
{
	if (op == 0xf0 || op == 0xf1)	/* movbe, crc32 */
		return 0;
	if (op == 0xf6)			/* adcx, adox; wrss without prefix */
		return p.p66 || p.repeat ? 0 : ALL;
	return p.p66 && !p.repeat && in(sse_66_0f38, op) ? xmm(insn, code) : ALL;
}

unsigned int st_x86_insn_touches(const struct st_x86_insn *insn, const uint8_t *code)
{
	struct prefixes p = prefixes_of(insn, code);
	uint8_t op = code[insn->opcode];

	switch (insn->class) {
	case ST_X86_CALL:
	case ST_X86_CALL_INDIRECT:
	case ST_X86_CALL_FAR:
	case ST_X86_JMP_INDIRECT:
	case ST_X86_JMP_FAR:
	case ST_X86_RET_FAR:
	case ST_X86_IRET:
	case ST_X86_INT3:
	case ST_X86_INT:
	case ST_X86_SYSCALL:
	case ST_X86_SYSRET:
	case ST_X86_XBEGIN:
		return ALL;
	}
	if (p.end == insn->opcode)
		return op == 0xc4 || op == 0xc5 || op == 0x62 ? ALL : one_byte(insn, code, op);
	if (code[p.end] != 0x0f)	/* VEX, EVEX, XOP */
		return ALL;
	switch (insn->opcode - p.end) {
	case 1:
		return map_0f(insn, code, op, p);
	case 2:
		if (code[insn->opcode - 1] == 0x38)
			return map_0f38(insn, code, op, p);
		if (code[insn->opcode - 1] == 0x3a)
			return p.p66 && !p.repeat && in(sse_66_0f3a, op) ? xmm(insn, code) : ALL;
	}
	return ALL;
}

unsigned int st_x86_touches(const uint8_t *code, size_t size)
{
	uint8_t starts[ST_X86_TOUCHES_MAX / 8] = { 0 };
	struct st_x86_insn insn;
	unsigned int touches = 0;
	bool falls = true;

	if (!size || size > ST_X86_TOUCHES_MAX)
		return ALL;
	for (size_t off = 0; off < size; off += insn.len) {
		if (st_x86_decode(&insn, code + off, size - off) < 0 || insn.vendor)
			return ALL;
		touches |= st_x86_insn_touches(&insn, code + off);
		starts[off / 8] |= (uint8_t)(1u << off % 8);
		falls = st_x86_falls(&insn);
	}
	if (falls)
		return ALL;
	/* Where it branches to is one of the instructions that were looked at. */
	for (size_t off = 0; off < size; off += insn.len) {
		size_t to;

		st_x86_decode(&insn, code + off, size - off);
		to = off + insn.len + (size_t)(long)insn.rel;
		if (st_x86_is_branch(&insn) && (to >= size || !(starts[to / 8] >> to % 8 & 1)))
			return ALL;
	}
	return touches & ALL ? ALL : touches;
}
