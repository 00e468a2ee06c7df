// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is code in a function, and what is data? And where is an exclusive access under way?
 *
 * A word is taken for an instruction in two cases only.
 *
 * 1. The function holds no data. Every word of it is an allocated instruction, the last one does
 *    not go on behind it, no literal load in it reads from it, and nothing in it computes an
 *    address inside it (ADR; ADRP and what adds to it), but for that of code by the second rule,
 *    and the base of a switch: an address that is added to, and then branched to, and not loaded
 *    from. So compilers' switches, computed
 * gotos and landing pads of exceptions are code, though no branch leads there. Data must be reached
 * from somewhere, and this is all that reaches data in text but a pointer made elsewhere.
 *
 * 2. Control comes to it from the function's entry, by what is not computed. What follows a call
 *    may be data, since a call may not return: it is not gone into where an address is computed or
 *    a literal is read, nor through NOPs in front of that. If anything contradicts (an instruction
 *    is read as a literal, or control runs into what is none), nothing of the function is believed.
 *
 * Memory is fixed: 3 bits a word of the longest function that the second rule is applied to. What
 * stops early, stops with less known.
 */
#include "flow.h"

#include "decode.h"
#include "relocate.h"

#define WORDS_MAX 16384
#define PASSES_MAX 64
/* Words that are looked at around an exclusive access: B2.12.5 wants it within 128 bytes. */
#define AROUND 512

#define A64_NOP 0xd503201fu

enum flow {
	FALLS,	/* only to the next */
	CALLS,	/* to the next, if the callee returns */
	FORKS,	/* to the next, or to a target */
	JUMPS,	/* to a target */
	LEAVES, /* nowhere that the word says */
	NONE,	/* no instruction */
};

static enum flow flow_of(uint32_t insn)
{
	if (!st_a64_allocated(insn))
		return NONE;
	if ((insn >> 25 & 14) != 10)
		return FALLS;
	switch (st_a64_row(insn)->form) {
	case ST_A64_B:
		return JUMPS;
	case ST_A64_COND:
		/* AL and NV are both always */
		return insn >> 24 == 0x54 && (insn & 14) == 14 ? JUMPS : FORKS;
	case ST_A64_TEST:
	case ST_A64_CB:
		return FORKS;
	case ST_A64_BL:
	case ST_A64_BLR:
	case ST_A64_LINK:
		return CALLS;
	case ST_A64_LEAVE:
	case ST_A64_TRAP:
		return LEAVES;
	}
	return (insn & 0xffe0001f) == 0xd4000001 ? CALLS : FALLS; /* svc */
}

uint32_t st_a64_word(const struct st_a64_body *body, size_t i)
{
	const uint8_t *p = body->code + i * 4;

	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t address(const struct st_a64_body *body, size_t i)
{
	return body->addr + i * 4;
}

/* Which word an address is in; body->words if none. */
static size_t index_of(const struct st_a64_body *body, uint64_t addr)
{
	uint64_t i = (addr - body->addr) / 4;

	return addr >= body->addr && i < body->words ? i : body->words;
}

static size_t target_of(const struct st_a64_body *body, size_t i)
{
	uint64_t to;

	if (!st_a64_target(st_a64_word(body, i), address(body, i), &to))
		return body->words;
	return index_of(body, to);
}

/*
 * Is the ADR at @i the base of a switch, as compilers make it?
 *
 *	adr	xB, base
 *	...				does not touch xB
 *	add	xD, xB, <offset>	LSL #2, or SXTB, SXTH, SXTW #2
 *	...				does not touch xB nor xD
 *	br	xD
 */
static bool is_switch(const struct st_a64_body *body, size_t i)
{
	unsigned int base = st_a64_word(body, i) & 31, sum = 32;
	size_t end = i + 12 < body->words ? i + 12 : body->words;

	for (i++; i < end; i++) {
		uint32_t insn = st_a64_word(body, i);
		unsigned int d = insn & 31, n = insn >> 5 & 31, m = insn >> 16 & 31;

		if (sum < 32 && insn == (0xd61f0000 | sum << 5))
			return true;
		if (flow_of(insn) != FALLS)
			return false;
		if (sum == 32 && n == base && m != base && d != 31 &&
		    ((insn & 0xffe0fc00) == 0x8b000800 ||    /* lsl #2 */
		     ((insn & 0xffe09c00) == 0x8b208800))) { /* sxt? #2 */
			sum = d;
			continue;
		}
		/* whatever the fields are, no register in them is ours */
		if (d == base || n == base || m == base || (insn >> 10 & 31) == base)
			return false;
		if (sum < 32 && (d == sum || n == sum || m == sum || (insn >> 10 & 31) == sum))
			return false;
	}
	return false;
}

/* What an instruction makes of a page in @reg: an address in it; 0 if it does nothing with it. */
static uint64_t in_page(uint32_t insn, unsigned int reg, uint64_t page)
{
	if ((insn >> 5 & 31) != reg)
		return 0;
	if ((insn & 0xffc00000) == 0x91000000) /* add, immediate */
		return page + (insn >> 10 & 0xfff);
	if ((insn & 0x3b000000) == 0x39000000) { /* load or store, unsigned offset */
		unsigned int shift = insn >> 30;

		if ((insn & 0x04800000) == 0x04800000)
			shift = 4;
		return page + ((uint64_t)(insn >> 10 & 0xfff) << shift);
	}
	/* other loads and stores, other arithmetic */
	return insn >> 27 & 1 && (insn >> 25 & 7) != 7 && (insn >> 25 & 3) != 3 ? page : 0;
}

/* Does an instruction put something into the register that its lowest bits name? */
static bool defines(uint32_t insn)
{
	/* immediates */
	if ((insn & 0x1c000000) == 0x10000000)
		return true;
	/* loads of one register, of what size and sign; no prefetch */
	if ((insn & 0x3e000000) == 0x38000000)
		return insn & 0x00c00000 && (insn & 0xffc00000) != 0xf9800000 &&
		       (insn & 0xffc00000) != 0xf8800000;
	/* arithmetic, but for what only changes flags: ccmp, rmif, setf */
	return (insn & 0x0e000000) == 0x0a000000 && (insn & 0x1fa00000) != 0x1a000000;
}

/*
 * Is what the instruction at @k finds in @reg certainly not @page? What is added to a page belongs
 * to one symbol, so all ADRP that come to it have the same page: the nearest one tells, if control
 * goes on from there to here.
 */
static bool has_other_page(const struct st_a64_body *body, size_t k, unsigned int reg,
			   uint64_t page)
{
	while (k--) {
		uint32_t insn = st_a64_word(body, k);
		enum flow flow = flow_of(insn);

		if (flow == JUMPS || flow == LEAVES || flow == NONE)
			return false;
		if ((insn & 31) == reg && defines(insn))
			return (insn & 0x9f000000) != 0x90000000 ||
			       st_a64_adr(insn, address(body, k)) != page;
	}
	return false;
}

/*
 * Which words' address is computed, or which are read as literals, by the instruction at @i. Calls
 * mark() for each; false if it said so.
 */
static bool refers(const struct st_a64_body *body, size_t i, bool (*mark)(void *, size_t),
		   void *arg)
{
	uint32_t insn = st_a64_word(body, i);
	uint64_t to = 0, page;
	size_t k, n, bytes;

	bytes = st_a64_literal_load(insn, address(body, i), &to);
	if ((insn & 0x3b000000) == 0x18000000) {
		for (k = 0; k < bytes || !k; k += 4) {
			n = index_of(body, to + k);
			if (n < body->words && !mark(arg, n))
				return false;
		}
		return true;
	}
	if ((insn & 0x1f000000) != 0x10000000)
		return true;
	to = st_a64_adr(insn, address(body, i));
	if (!(insn >> 31)) {
		n = index_of(body, to);
		return n == body->words || !n || is_switch(body, i) || mark(arg, n);
	}
	page = to;
	if (page + 4096 <= body->addr || page >= address(body, body->words))
		return true;
	/* in whatever order they are executed */
	for (k = 0; k < body->words; k++) {
		to = in_page(st_a64_word(body, k), insn & 31, page);
		n = to ? index_of(body, to) : body->words;
		if (n < body->words && n && !has_other_page(body, k, insn & 31, page) &&
		    !mark(arg, n))
			return false;
	}
	return true;
}

static bool stop(void *arg, size_t i)
{
	(void)arg;
	(void)i;
	return false;
}

/* Does its last word not go on behind it? */
static bool ends(const struct st_a64_body *body)
{
	enum flow last = flow_of(st_a64_word(body, body->words - 1));

	return last != FALLS && last != FORKS;
}

/* The first rule. */
static bool holds_no_data(const struct st_a64_body *body)
{
	size_t i;

	if (!ends(body))
		return false;
	for (i = 0; i < body->words; i++) {
		uint32_t insn = st_a64_word(body, i);

		if (!st_a64_allocated(insn))
			return false;
		/* ADR, ADRP, literal loads */
		if (((insn & 0x1f000000) == 0x10000000 || (insn & 0x3b000000) == 0x18000000) &&
		    !refers(body, i, stop, NULL))
			return false;
	}
	return true;
}

static bool get(const uint8_t *bits, size_t i)
{
	return bits[i / 8] >> i % 8 & 1;
}

static bool set(uint8_t *bits, size_t i)
{
	bool is = get(bits, i);

	bits[i / 8] |= (uint8_t)(1u << i % 8);
	return !is;
}

static bool mark_bit(void *arg, size_t i)
{
	set(arg, i);
	return true;
}

static bool is_clear(void *arg, size_t i)
{
	return !get(arg, i);
}

static void clear(uint8_t *bits, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		bits[i] = 0;
}

/* What is behind a call may be data; NOPs may be padding in front of it. */
static bool may_return_to(const struct st_a64_body *body, const uint8_t *named, size_t i)
{
	while (i < body->words && !get(named, i) && st_a64_word(body, i) == A64_NOP)
		i++;
	return i < body->words && !get(named, i) && st_a64_allocated(st_a64_word(body, i));
}

/* Adds what a word leads to; whether anything was new. */
static bool follow(const struct st_a64_body *body, const uint8_t *named, uint8_t *code, size_t i)
{
	enum flow flow = flow_of(st_a64_word(body, i));
	bool more = false;
	size_t to;

	if (flow == FALLS || flow == FORKS || (flow == CALLS && may_return_to(body, named, i + 1)))
		if (i + 1 < body->words)
			more |= set(code, i + 1);
	if (flow == FORKS || flow == JUMPS) {
		to = target_of(body, i);
		if (to < body->words)
			more |= set(code, to);
	}
	return more;
}

/* Nothing but instructions, and all that is named is code by the second rule. */
static bool only_labels(const struct st_a64_body *body, const uint8_t *named, const uint8_t *code)
{
	size_t i;

	if (!ends(body))
		return false;
	for (i = 0; i < body->words; i++)
		if (!st_a64_allocated(st_a64_word(body, i)) || (get(named, i) && !get(code, i)))
			return false;
	return true;
}

/* The second rule. */
static const char *reached(const struct st_a64_body *body, size_t site)
{
	uint8_t named[WORDS_MAX / 8], code[WORDS_MAX / 8];
	unsigned int pass;
	bool more = true;
	size_t i;

	if (body->words > WORDS_MAX)
		return "its function holds data, and is too long to find it";
	clear(named, sizeof(named));
	clear(code, sizeof(code));
	for (i = 0; i < body->words; i++)
		refers(body, i, mark_bit, named);
	set(code, 0);
	for (pass = 0; more && pass < PASSES_MAX; pass++)
		for (more = false, i = 0; i < body->words; i++)
			if (get(code, i) && follow(body, named, code, i))
				more |= target_of(body, i) <= i;
	for (i = 0; i < body->words; i++) {
		uint32_t insn = st_a64_word(body, i);
		enum flow flow = flow_of(insn);

		if (!get(code, i))
			continue;
		if (flow == NONE)
			return "instructions and data of its function can't be told apart";
		if ((insn & 0x3b000000) == 0x18000000 && !refers(body, i, is_clear, code))
			return "its function reads instructions as data";
	}
	return get(code, site) || only_labels(body, named, code)
		       ? NULL
		       : "it may be data: no branch from the function's entry leads there";
}

const char *st_a64_doubt(const struct st_a64_body *body, size_t i)
{
	return holds_no_data(body) ? NULL : reached(body, i);
}

static bool loads_exclusive(uint32_t insn)
{
	if ((insn & 0xbfe00000) == 0x89400000) /* ldtxr */
		return true;
	return (insn & 0x3fc00000) == 0x08400000 && (insn >> 31 || !(insn >> 21 & 1));
}

static bool clears_exclusive(uint32_t insn)
{
	return (insn & 0xfffff0ff) == 0xd503305f; /* clrex */
}

static bool stores_exclusive(uint32_t insn)
{
	return (insn & 0x3e000000) == 0x08000000 && st_a64_row(insn)->form == ST_A64_STXR;
}

/* What a hook in front of it would take the exclusive monitor from: WFE waits for it. */
static bool wants_exclusive(uint32_t insn)
{
	return stores_exclusive(insn) || insn == 0xd503205f || (insn & 0xffffffe0) == 0xd5031000;
}

/*
 * From an exclusive load control comes to the word, and from there to what completes it, without
 * passing what ends it before. Calls and what is computed count as going on to the next word.
 */
bool st_a64_exclusive(const struct st_a64_body *whole, size_t site)
{
	uint8_t held[AROUND / 4], wanted[AROUND / 4];
	size_t from = site > AROUND ? site - AROUND : 0, i, k, to;
	struct st_a64_body part = *whole, *body = &part;
	bool loads = false, wants = false, more = true;
	unsigned int pass;

	part.code += from * 4;
	part.addr += from * 4;
	part.words -= from;
	site -= from;
	if (part.words > site + AROUND)
		part.words = site + AROUND;
	for (i = 0; i < body->words; i++) {
		loads |= loads_exclusive(st_a64_word(body, i));
		wants |= wants_exclusive(st_a64_word(body, i));
	}
	if (!loads || !wants)
		return false;

	clear(held, sizeof(held));
	clear(wanted, sizeof(wanted));
	for (pass = 0; more; pass++) {
		if (pass == PASSES_MAX)
			return true;
		more = false;
		for (i = 0; i < body->words; i++) {
			uint32_t insn = st_a64_word(body, i);
			enum flow flow = flow_of(insn);

			if (!(loads_exclusive(insn) || (get(held, i) && !stores_exclusive(insn))) ||
			    clears_exclusive(insn))
				continue;
			to = target_of(body, i);
			if (flow != JUMPS && i + 1 < body->words)
				more |= set(held, i + 1);
			if ((flow == FORKS || flow == JUMPS) && to < body->words)
				more |= set(held, to);
		}
		for (k = body->words; k; k--) {
			uint32_t insn = st_a64_word(body, k - 1);
			enum flow flow = flow_of(insn);
			bool leads = false;

			i = k - 1;
			to = target_of(body, i);
			if (flow != JUMPS && k < body->words)
				leads |= get(wanted, k);
			if ((flow == FORKS || flow == JUMPS) && to < body->words)
				leads |= get(wanted, to);
			if (wants_exclusive(insn) ||
			    (leads && !loads_exclusive(insn) && !clears_exclusive(insn)))
				more |= set(wanted, i);
		}
	}
	return get(held, site) && get(wanted, site);
}
