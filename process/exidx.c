/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See exidx.h. Only the instructions of EHABI32 10.3 that say where general registers are; those for others move sp. A personality routine
 * of a language's own (C++) is followed by the same instructions, with their number in front, as GCC and LLVM have it.
 */
#include <string.h>
#include <process/exidx.h>

#define CANTUNWIND	1
#define SP		13
#define LR		14
#define PC		15

/* Relative to where it stands, in 31 bits. */
static uint32_t prel31(uint32_t word, uint32_t at)
{
	return at + (uint32_t)((int32_t)(word << 1) >> 1);
}

bool st_exidx_find(const uint32_t *index, size_t n, unsigned long addr, unsigned long pc, unsigned long *entry, uint32_t *word)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (prel31(index[2 * mid], (uint32_t)(addr + 8 * mid)) <= (uint32_t)pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return false;
	*entry = addr + 8 * (lo - 1) + 4;
	*word = index[2 * (lo - 1) + 1];
	return true;
}

struct machine {
	uint8_t code[ST_EXIDX_CODE_MAX];
	size_t n, at;
	struct st_cfi_regs regs;
	unsigned long ra_at;
	bool pc, bad;
	st_cfi_read read;
	void *ctx;
};

static uint8_t next(struct machine *m)
{
	if (m->at < m->n)
		return m->code[m->at++];
	m->bad = true;
	return 0;
}

/* Bytes of a word from the highest, that many of them. */
static void put(struct machine *m, uint32_t word, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--) {
		if (m->n < sizeof(m->code))
			m->code[m->n++] = (uint8_t)(word >> (8 * i));
		else
			m->bad = true;
	}
}

/* The instructions, wherever they are. False: there are none, or too many. */
static bool fetch(struct machine *m, unsigned long entry, uint32_t word, st_exidx_memory memory)
{
	unsigned long at = entry;
	unsigned int more = 0;

	if (word == CANTUNWIND)
		return false;
	if (!(word >> 31)) {
		at = prel31(word, (uint32_t)entry);
		if (!memory(m->ctx, at, &word, sizeof(word)))
			return false;
		if (!(word >> 31)) {
			at += 4;
			if (!memory(m->ctx, at, &word, sizeof(word)))
				return false;
			more = word >> 24;
			put(m, word, 3);
			goto rest;
		}
	} else if (word >> 24 != 0x80) {
		/* In the index there is room for the short form only. */
		return false;
	}
	switch (word >> 24) {
	case 0x80:
		put(m, word, 3);
		break;
	case 0x81:
	case 0x82:
		more = word >> 16 & 0xff;
		put(m, word, 2);
		break;
	default:
		return false;
	}
rest:
	for (unsigned int i = 0; i < more; i++) {
		at += 4;
		if (!memory(m->ctx, at, &word, sizeof(word)))
			return false;
		put(m, word, 4);
	}
	return !m->bad;
}

static void pop(struct machine *m, unsigned int reg)
{
	unsigned long at = m->regs.r[SP], word;

	if (!m->read(m->ctx, at, &word)) {
		m->bad = true;
		return;
	}
	if (reg == LR && !m->pc)
		m->ra_at = at;
	if (reg == PC) {
		m->ra_at = at;
		m->pc = true;
	}
	m->regs.r[reg] = word;
	m->regs.lost &= ~(1ul << reg);
	m->regs.r[SP] = at + 4;
}

/* @mask: bit i for register @first + i. sp itself among them is set when all have been popped. */
static void pop_mask(struct machine *m, unsigned int first, unsigned int mask)
{
	unsigned long sp = 0;
	bool sets = false;

	for (unsigned int i = first; mask && i < 16; i++, mask >>= 1) {
		if (!(mask & 1))
			continue;
		if (i == SP) {
			sets = true;
			if (!m->read(m->ctx, m->regs.r[SP], &sp))
				m->bad = true;
			m->regs.r[SP] += 4;
		} else {
			pop(m, i);
		}
	}
	if (sets)
		m->regs.r[SP] = sp;
}

static void one(struct machine *m, uint8_t op)
{
	uint8_t b;

	if (op < 0x40) {
		m->regs.r[SP] += (op << 2) + 4;
	} else if (op < 0x80) {
		m->regs.r[SP] -= ((op & 0x3f) << 2) + 4;
	} else if (op < 0x90) {
		b = next(m);
		/* 0x8000: refuse to unwind. */
		if (op == 0x80 && !b)
			m->bad = true;
		pop_mask(m, 4, (op & 0xfu) << 8 | b);
	} else if (op < 0xa0) {
		if ((op & 0xf) == SP || (op & 0xf) == PC || m->regs.lost >> (op & 0xf) & 1)
			m->bad = true;
		m->regs.r[SP] = m->regs.r[op & 0xf];
	} else if (op < 0xb0) {
		pop_mask(m, 4, (1u << ((op & 7) + 1)) - 1);
		if (op & 8)
			pop(m, LR);
	} else if (op == 0xb1) {
		b = next(m);
		if (!b || b > 0xf)
			m->bad = true;
		pop_mask(m, 0, b);
	} else if (op == 0xb2) {
		unsigned long by = 0;
		unsigned int shift = 0;

		do {
			b = next(m);
			if (shift < 28)
				by |= (unsigned long)(b & 0x7f) << shift;
			else
				m->bad = true;
			shift += 7;
		} while (b & 0x80 && !m->bad);
		m->regs.r[SP] += 0x204 + (by << 2);
	} else if (op == 0xb3) {			/* FSTMFDX: a word more */
		b = next(m);
		m->regs.r[SP] += ((b & 0xf) + 1) * 8 + 4;
	} else if (op >= 0xb8 && op < 0xc0) {
		m->regs.r[SP] += ((op & 7) + 1) * 8 + 4;
	} else if (op == 0xc8 || op == 0xc9) {		/* VPUSH */
		b = next(m);
		m->regs.r[SP] += ((b & 0xf) + 1) * 8;
	} else if (op >= 0xd0 && op < 0xd8) {
		m->regs.r[SP] += ((op & 7) + 1) * 8;
	} else {
		m->bad = true;
	}
}

enum st_cfi_result st_exidx_step(unsigned long entry, uint32_t word, struct st_cfi_regs *regs, unsigned long *cfa, unsigned long *ra_at,
				 st_exidx_memory memory, st_cfi_read read, void *ctx)
{
	struct machine m = { .regs = *regs, .read = read, .ctx = ctx };

	if (!fetch(&m, entry, word, memory))
		return ST_CFI_UNKNOWN;
	while (m.at < m.n && !m.bad) {
		uint8_t op = next(&m);

		if (op == 0xb0)		/* finish */
			break;
		one(&m, op);
	}
	if (m.bad)
		return ST_CFI_UNKNOWN;
	if (!m.pc)
		m.regs.r[PC] = m.regs.r[LR];
	m.regs.pc = m.regs.r[PC];
	*regs = m.regs;
	*cfa = m.regs.r[SP];
	*ra_at = m.ra_at;
	return ST_CFI_CALLER;
}
