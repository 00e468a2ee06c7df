// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each row of the decoding tables, filled with random bits, at a function's entry or inside it: the
 * instruction at its own place and the moved one in its stub run on an emulated CPU from the same
 * state, and must leave the same state: registers, flags, vector registers, memory, where control
 * goes. So must a thread that stood between two displaced instructions and goes on with their
 * copies, also in an IT block. Where the decoder says an instruction leads is compared with where
 *it does. Runs on the build machine (the engine's code for ARM is compiled for it), so it shows too
 * that the code does not depend on the width of a long.
 *
 *	moved [--rounds N] [--seed N] [--verbose] [--break]
 *
 * N fillings for each row. A row of which no filling could be compared is a failure, unless it is a
 * refusal. --break: spoils each stub, and succeeds if that is noticed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicorn/unicorn.h>

/* for its tables */
#include "engine/arch/arm/relocate.c"

#define CODE 0x00400000u
#define CODE_SIZE 0x4000u
#define FUNC (CODE + 0x2000)
#define DATA 0x20000000u
#define DATA_SIZE 0x4000u
#define STACK 0x30000000u
#define STACK_SIZE 0x2000u
#define STEPS 60
#define LEAD 8 /* bytes of NOPs before a site inside a function */
/* What stands for st_entry: undoes what a stub has saved, and goes on at the word behind */
#define ENTRY 0x50000000u
#define SITE 0x12345678u

/* Where a stub may be: close, and as far as it goes */
static const uint32_t stubs[] = {0x00600000, CODE + 0x00fe0000, 0x01400000};
#define STUB_SIZE 0x1000u

struct state {
	uint32_t r[16], cpsr, fpscr;
	uint64_t d[32];
	uint8_t data[DATA_SIZE], stack[STACK_SIZE], code[CODE_SIZE];
	uc_err err;
	bool stopped;
};

static uc_engine *uc;
static uint8_t image[CODE_SIZE];
static uint64_t random_state = 1;
static bool verbose, break_it;
static unsigned long passed, failed, compared, noticed, own, between, led, by_breakpoint;
static unsigned int rows, rows_hit, rows_refused;

static uint32_t rnd(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16);
}

static const int reg_id[16] = {
	UC_ARM_REG_R0,	UC_ARM_REG_R1, UC_ARM_REG_R2, UC_ARM_REG_R3, UC_ARM_REG_R4,  UC_ARM_REG_R5,
	UC_ARM_REG_R6,	UC_ARM_REG_R7, UC_ARM_REG_R8, UC_ARM_REG_R9, UC_ARM_REG_R10, UC_ARM_REG_R11,
	UC_ARM_REG_R12, UC_ARM_REG_SP, UC_ARM_REG_LR, UC_ARM_REG_PC,
};

static void check(uc_err err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "%s: %s\n", what, uc_strerror(err));
	exit(1);
}

static void open_cpu(void)
{
	uint32_t v;
	unsigned int i;

	check(uc_open(UC_ARCH_ARM, UC_MODE_ARM, &uc), "uc_open");
	check(uc_ctl_set_cpu_model(uc, UC_CPU_ARM_MAX), "model");
	check(uc_mem_map(uc, CODE, CODE_SIZE, UC_PROT_ALL), "map");
	check(uc_mem_map(uc, DATA, DATA_SIZE, UC_PROT_READ | UC_PROT_WRITE), "map");
	check(uc_mem_map(uc, STACK, STACK_SIZE, UC_PROT_READ | UC_PROT_WRITE), "map");
	check(uc_mem_map(uc, ENTRY, 0x1000, UC_PROT_ALL), "map");
	for (i = 0; i < 3; i++)
		check(uc_mem_map(uc, stubs[i], STUB_SIZE, UC_PROT_ALL), "map");
	check(uc_reg_read(uc, UC_ARM_REG_C1_C0_2, &v), "cpacr");
	v |= 0xf << 20;
	check(uc_reg_write(uc, UC_ARM_REG_C1_C0_2, &v), "cpacr");
	v = 1u << 30;
	check(uc_reg_write(uc, UC_ARM_REG_FPEXC, &v), "fpexc");
}

static void random_start(struct state *s, bool thumb)
{
	unsigned int i;

	for (i = 0; i < 15; i++) {
		switch (rnd() % 4) {
		case 0:
			s->r[i] = rnd() % 1024;
			break;
		case 1:
			s->r[i] = rnd();
			break;
		default:
			s->r[i] = DATA + DATA_SIZE / 4 + rnd() % (DATA_SIZE / 2 / 8) * 8;
		}
	}
	s->r[13] = STACK + STACK_SIZE / 2 + rnd() % 64 * 4;
	s->cpsr = (rnd() & 0xf80f0000) | 0x10 | (thumb ? 0x20 : 0);
	s->fpscr = rnd() & 0xf7c00000;
	for (i = 0; i < 32; i++)
		s->d[i] = (uint64_t)rnd() << 32 | rnd();
	for (i = 0; i < DATA_SIZE; i++)
		s->data[i] = (uint8_t)rnd();
	for (i = 0; i < STACK_SIZE; i++)
		s->stack[i] = (uint8_t)rnd();
}

static void run_until(const struct state *in, struct state *out, uint32_t from, bool thumb,
		      uint32_t until, size_t steps)
{
	uint32_t cpsr = in->cpsr;
	unsigned int i;

	check(uc_reg_write(uc, UC_ARM_REG_CPSR, &cpsr), "cpsr");
	for (i = 0; i < 15; i++)
		check(uc_reg_write(uc, reg_id[i], &in->r[i]), "register");
	for (i = 0; i < 32; i++)
		check(uc_reg_write(uc, UC_ARM_REG_D0 + (int)i, &in->d[i]), "register");
	check(uc_reg_write(uc, UC_ARM_REG_FPSCR, &in->fpscr), "fpscr");
	check(uc_mem_write(uc, DATA, in->data, DATA_SIZE), "data");
	check(uc_mem_write(uc, STACK, in->stack, STACK_SIZE), "stack");
	check(uc_mem_write(uc, CODE, image, CODE_SIZE), "code");
	uc_ctl_remove_cache(uc, CODE, CODE + CODE_SIZE);

	out->err = uc_emu_start(uc, from | thumb, until, 0, steps);
	out->stopped = out->err != UC_ERR_OK;
	for (i = 0; i < 16; i++)
		uc_reg_read(uc, reg_id[i], &out->r[i]);
	for (i = 0; i < 32; i++)
		uc_reg_read(uc, UC_ARM_REG_D0 + (int)i, &out->d[i]);
	uc_reg_read(uc, UC_ARM_REG_CPSR, &out->cpsr);
	uc_reg_read(uc, UC_ARM_REG_FPSCR, &out->fpscr);
	uc_mem_read(uc, DATA, out->data, DATA_SIZE);
	uc_mem_read(uc, STACK, out->stack, STACK_SIZE);
	uc_mem_read(uc, CODE, out->code, CODE_SIZE);
}

static void run(const struct state *in, struct state *out, uint32_t from, bool thumb)
{
	run_until(in, out, from, thumb, 0xfffffffe, STEPS);
}

/* Code that traps whatever is jumped to, and which no two literal loads read the same from. */
static void fill_code(bool thumb)
{
	unsigned int i;

	for (i = 0; i < CODE_SIZE; i += 4) {
		uint32_t udf = thumb ? 0xde00de00 | (rnd() & 0x00ff00ff)
				     : 0xe7f000f0 | (rnd() & 0x000fff0f);

		memcpy(image + i, &udf, 4);
	}
}

static void put(uint32_t addr, uint32_t bits, unsigned int size)
{
	uint32_t swapped = bits << 16 | bits >> 16;

	memcpy(image + (addr - CODE), size == 4 ? &swapped : &bits, size);
}

static const char *differs(const struct state *a, const struct state *b)
{
	static char text[80];
	unsigned int i;
	uint32_t sp = a->r[13], below = sp - STACK;

	for (i = 0; i < 16; i++) {
		if (a->r[i] == b->r[i])
			continue;
		sprintf(text, "r%u is %08x, not %08x", i, b->r[i], a->r[i]);
		return text;
	}
	if ((a->cpsr ^ b->cpsr) & 0xff0fffff)
		return sprintf(text, "cpsr is %08x, not %08x", b->cpsr, a->cpsr), text;
	/*
	 * without the cumulative flags: of one VCMLA, two runs in 10,000 differ in the emulator
	 * itself
	 */
	if ((a->fpscr ^ b->fpscr) & ~0x9fu)
		return "fpscr";
	if (memcmp(a->d, b->d, sizeof(a->d)))
		return "a vector register";
	if (memcmp(a->data, b->data, DATA_SIZE) || memcmp(a->code, b->code, CODE_SIZE))
		return "memory";
	/* what lies below sp belongs to nobody */
	if (below > STACK_SIZE)
		below = 0;
	if (memcmp(a->stack + below, b->stack + below, STACK_SIZE - below))
		return "stack";
	return NULL;
}

static struct state start, there, here;
static uint8_t original[CODE_SIZE], written[CODE_SIZE];

/*
 * An instruction may branch to the site, or read its own bytes: then the difference is there
 * because these are not what they were, and is gone when they are.
 */
static bool by_own_bytes(uint32_t from, bool thumb)
{
	memcpy(image, original, CODE_SIZE);
	memcpy(there.code, written, CODE_SIZE);
	run(&start, &here, from, thumb);
	return here.err == there.err && !differs(&there, &here);
}

/* Does the first instruction lead where the decoder says? */
static void compare_flow(uint32_t at, bool thumb)
{
	struct arm_code c;
	struct arm_insn i;
	uint32_t next;
	bool right;

	arm_begin(&c, NULL, at & ~3u, thumb);
	if (!arm_fetch(&i, image + (at - CODE), 8, at, thumb) || arm_move(&c, &i))
		return;
	/* the emulator does not stop within an IT block */
	if (i.it)
		return;
	run_until(&start, &here, at, thumb, 0xfffffffe, 1);
	if (here.err)
		return;
	next = here.r[15] | !!(here.cpsr & 0x20);
	switch (i.flow) {
	case ARM_NEXT:
		right = false;
		break;
	case ARM_BRANCH:
		right = next == i.to;
		break;
	case ARM_CALL:
		right = next == i.to && here.r[14] == ((at + i.size) | thumb);
		break;
	case ARM_CALL_REG:
		right = here.r[14] == ((at + i.size) | thumb);
		break;
	default:
		right = i.flow != ARM_STOP;
	}
	led++;
	if (right || (i.falls && next == ((at + i.size) | thumb))) {
		passed++;
		return;
	}
	failed++;
	printf("FAIL: %s %08x at %x leads to %x, flow %u, to %x\n", thumb ? "T32" : "A32", i.bits,
	       at, next, i.flow, i.to);
}

/* A thread that stands before displaced instruction @k goes on in the stub. */
static void compare_between(const struct st_plan *plan, const struct st_stub *stub, unsigned int k)
{
	uint32_t at = (uint32_t)plan->addr + plan->offs[k],
		 target = (uint32_t)stub->at + stub->map[k];
	static struct state mid;
	const char *diff;

	memcpy(image, original, CODE_SIZE);
	run_until(&start, &mid, (uint32_t)plan->addr, true, at, STEPS);
	if (mid.err || mid.r[15] != at)
		return;
	run(&mid, &there, at, true);
	run(&mid, &here, target, true);
	if (!there.stopped || (there.r[15] >= at && there.r[15] < plan->addr + plan->len))
		return;
	diff = !here.stopped	       ? "does not end"
	       : here.err != there.err ? "ends otherwise"
				       : differs(&there, &here);
	between++;
	if (!diff) {
		passed++;
		return;
	}
	failed++;
	printf("FAIL: between, at %x (cpsr %08x), moved to %x: %s\n", at, mid.cpsr, target, diff);
}

/* The whole stub runs: into what stands for st_entry, and out of it. */
static void write_entry(uint32_t resume)
{
	/* ldr r0, [sp]; add sp, #72; ldr.w pc, [pc] */
	uint16_t code[] = {0x9800, 0xb012,	     0xf8df,
			   0xf000, (uint16_t)resume, (uint16_t)(resume >> 16)};

	check(uc_mem_write(uc, ENTRY, code, sizeof(code)), "entry");
	uc_ctl_remove_cache(uc, ENTRY, ENTRY + sizeof(code));
}

/*
 * The place at @func in the image, of @size bytes; at least @need of them must be displaced.
 * Returns whether it was compared.
 */
static bool compare(uint32_t func, unsigned int size, unsigned int need, bool thumb,
		    const char **why)
{
	enum st_isa isa = thumb ? ST_ISA_T32 : ST_ISA_A32;
	unsigned int lead = rnd() % 2 ? LEAD : 0, flags = rnd() % 2   ? ST_PLAN_ANY
							  : rnd() % 8 ? 0
								      : ST_PLAN_BREAKPOINT;
	uint8_t buf[ST_STUB_MAX];
	uint32_t at = stubs[rnd() % (thumb ? 2 : 3)];
	struct st_stub stub = {
		.buf = buf, .at = at, .site = SITE, .entry = ENTRY | 1, .ret = 0x9abcdef0};
	struct st_plan plan;
	const char *diff;
	unsigned int i;
	uint32_t from;
	int ret;

	for (i = 0; i < lead; i += 2) {
		uint32_t nop = thumb ? 0xbf00 : i & 2 ? 0xe320 : 0xf000;

		memcpy(image + (func - CODE) - lead + i, &nop, 2);
	}
	ret = st_arch_plan_at(&plan, image + (func - CODE) - lead, func - lead, size + lead,
			      size + lead + 4, lead, flags, isa);
	if (!ret && plan.len < need) {
		*why = "only the instruction before it is displaced";
		return false;
	}
	if (ret) {
		*why = plan.why;
		if (ret != -ENOTSUP || plan.kind != ST_KIND_NO || !plan.why) {
			printf("FAIL: a refusal without a reason\n");
			failed++;
		}
		return false;
	}
	*why = "";
	memset(buf, 0xcc, sizeof(buf));
	ret = st_arch_stub(&plan, &stub);
	if (ret) {
		printf("FAIL: planned, but no stub: %d %s\n", ret, plan.why ? plan.why : "");
		failed++;
		return false;
	}

	random_start(&start, thumb);
	if (!break_it)
		compare_flow(func, thumb);
	run(&start, &there, func, thumb);
	if (!there.stopped) {
		*why = "loops";
		return false;
	}
	if (memcmp(there.code + (func - CODE) + plan.len, image + (func - CODE) + plan.len, 4)) {
		*why = "writes what runs next";
		return false;
	}
	memcpy(original, image, CODE_SIZE);
	memcpy(written, there.code, CODE_SIZE);
	/* Nothing may run at the site's own bytes any more. */
	for (i = 0; i < plan.jump; i += 2) {
		uint32_t udf = thumb ? 0xdeff : i & 2 ? 0xe7ff : 0xfffc;

		memcpy(image + (func - CODE) + i, &udf, 2);
	}
	if (break_it) {
		/* one bit in what was moved or in its way back */
		uint32_t site = SITE;
		uint8_t *end = stub.after ? buf + stub.after : memmem(buf, stub.size, &site, 4);

		i = stub.resume + rnd() % (unsigned int)(end - (buf + stub.resume));
		buf[i] ^= 1u << rnd() % 8;
	}
	check(uc_mem_write(uc, at, buf, sizeof(buf)), "stub");
	uc_ctl_remove_cache(uc, at, at + STUB_SIZE);
	from = at + stub.resume;
	by_breakpoint += plan.kind == ST_KIND_BREAKPOINT;
	run(&start, &here, from, thumb);

	/* Traps at itself: so must the moved one, somewhere within. */
	if (there.r[15] >= func && there.r[15] < func + plan.len) {
		if (here.stopped && here.r[15] >= at && here.r[15] < at + stub.size &&
		    here.err == there.err)
			return false;
		diff = "does not trap";
	} else {
		memcpy(there.code + (func - CODE), image + (func - CODE), plan.jump);
		diff = !here.stopped	       ? "does not end"
		       : here.err != there.err ? "ends otherwise"
					       : differs(&there, &here);
	}
	compared++;
	if (!diff) {
		passed++;
		if (plan.insns > 1 && !break_it && thumb)
			compare_between(&plan, &stub, 1 + rnd() % (plan.insns - 1u));
		return true;
	}
	noticed++;
	if (break_it)
		return true;
	if (by_own_bytes(from, thumb)) {
		own++;
		return true;
	}
	failed++;
	printf("FAIL: %s at %x, stub at %x:", thumb ? "T32" : "A32", func, at);
	for (i = 0; i < plan.len; i += thumb ? 2 : 4)
		printf(thumb ? " %04x" : " %08x",
		       thumb ? arm_read16(plan.orig + i) : arm_read32(plan.orig + i));
	printf(": %s\n\tmoved:", diff);
	for (i = stub.resume; i < stub.size; i += 2)
		printf(" %04x", arm_read16(buf + i));
	printf("\n\tends with pc %x (%s) and %x (%s)\n", there.r[15], uc_strerror(there.err),
	       here.r[15], uc_strerror(here.err));
	return true;
}

/* pc and sp where a random filling would seldom have them */
static uint32_t special(uint32_t bits, uint32_t mask)
{
	static const unsigned int shift[] = {16, 12, 8, 0};
	unsigned int i;

	for (i = 0; i < 4; i++) {
		uint32_t f = 15u << shift[i];
		unsigned int kind = rnd() % 16;

		if (!(mask & f) && kind < 3)
			bits = (bits & ~f) | (kind == 2 ? 13u : 15u) << shift[i];
	}
	/* a push of pc */
	if (mask == 0x0e000000 && (bits >> 25 & 7) == 4 && rnd() % 4 == 0)
		bits = (bits & 0x0000dfff) | 0x092d8000;
	/* coprocessors that exist: VFP */
	if (!(mask & 0xf00) && (bits & 0x0c000000) == 0x0c000000 && rnd() % 2)
		bits = (bits & ~0xf00u) | (10 + rnd() % 2) << 8;
	/* and of its transfers to and from a register those that are defined */
	if ((mask & 0x0f000010) == 0x0f000010 && (bits & 0x0f000010) == 0x0e000010 && rnd() % 2)
		bits &= ~0x00e0006fu;
	return bits;
}

struct count {
	unsigned int tried, compared;
	const char *why;
};

static void report(const char *isa, const struct row *row, const struct count *n)
{
	bool refusal = row->what > DO_t32_table;

	rows++;
	rows_refused += refusal && n->tried;
	rows_hit += !refusal && n->compared;
	if (refusal && !n->tried) {
		printf("FAIL: row %s %08x/%08x, a refusal, was never tried\n", isa, row->bits,
		       row->mask);
		failed++;
	}
	if (verbose)
		printf("%s %08x/%08x: %u of %u compared%s%s\n", isa, row->bits, row->mask,
		       n->compared, n->tried, n->why ? ", the last not: " : "",
		       n->why ? n->why : "");
	if (refusal ? n->compared : !n->compared && !break_it) {
		printf("FAIL: row %s %08x/%08x: %u fillings compared; %s\n", isa, row->bits,
		       row->mask, n->compared, n->why ? n->why : "never tried");
		failed++;
	}
}

/*
 * Does the row that comes first say this is the one? Where it is another, that one is tested by its
 * own turn.
 */
static bool is_first(const struct row *table, const struct row *row, uint32_t bits)
{
	while (table < row && (bits & table->mask) != table->bits)
		table++;
	return table == row;
}

/* What can't be compared here: it stops the emulator, or a system call */
static bool leave_out(uint32_t bits, bool thumb, unsigned int size)
{
	if (thumb && size == 2)
		return (bits & 0xff00) == 0xdf00 || ((bits & 0xff0f) == 0xbf00 && (bits & 0xf0));
	if (thumb)
		return (bits & 0xffffff00) == 0xf3af8000 && (bits & 0xff);
	return (bits & 0x0f000000) == 0x0f000000 ||
	       ((bits & 0x0ffff000) == 0x0320f000 && (bits & 0xff));
}

static void a32_row(const struct row *table, const struct row *row, bool always,
		    unsigned int rounds)
{
	struct count n = {0};
	unsigned int i;

	for (i = 0; i < rounds * 20 && n.tried < rounds; i++) {
		uint32_t bits = special(row->bits | (rnd() & ~row->mask), row->mask);

		if (!always)
			bits = (bits & 0x0fffffff) | (i % 2 ? 14u : rnd() % 15) << 28;
		if (!is_first(table, row, bits))
			continue;
		n.tried++;
		if (leave_out(bits, false, 4)) {
			n.compared++;
			continue;
		}
		fill_code(false);
		memcpy(image + (FUNC - CODE), &bits, 4);
		if (compare(FUNC, 4, 4, false, &n.why))
			n.compared++;
	}
	if (row->what == DO_COPY && (row->mask == 0x0f000000 || row->bits == 0x0320f000))
		n.compared = n.tried;
	report("A32", row, &n);
}

static void t32_row(const struct row *table, const struct row *row, unsigned int size,
		    unsigned int rounds)
{
	static const uint16_t companion[] = {0xbf00, 0x3101, 0x4240, 0xb401, 0x4611};
	struct count n = {0};
	unsigned int i;

	for (i = 0; i < rounds * 20 && n.tried < rounds; i++) {
		uint32_t func = FUNC + rnd() % 2 * 2, bits, other = companion[rnd() % 5];
		uint32_t fixed = size == 2 ? row->mask | 0xffff0000 : row->mask;
		bool first = rnd() % 2, same;

		bits = special(row->bits | (rnd() & ~fixed), fixed);
		if (!is_first(table, row, bits) || (size == 2 && bits >= 0xe800))
			continue;
		n.tried++;
		if (leave_out(bits, true, size)) {
			n.compared++;
			continue;
		}
		fill_code(true);
		if (size == 4 && first) {
			put(func, bits, 4);
			same = compare(func, 4, 4, true, &n.why);
		} else {
			put(func, first ? bits : other, 2);
			put(func + 2, first ? other : bits, first ? 2 : size);
			same = compare(func, first ? 4 : 2 + size, first ? 2 : 2 + size, true,
				       &n.why);
			if (same && !strcmp(n.why, "loops"))
				same = false;
		}
		n.compared += same;
	}
	report(size == 2 ? "T16" : "T32", row, &n);
}

/* IT blocks of random plain instructions, after another instruction or as the first */
static unsigned int put_block(uint32_t at, unsigned int n, unsigned int offs[4], unsigned int *cc)
{
	static const uint32_t plain[] = {
		0x3101, 0x4240,	    0x4611,	0xbf00,	    0x6808,
		0x9801, 0xf1000105, 0xe9dd2300, 0xeb010203, 0x4288,
	};
	/* with pc, and then those that only the last may be */
	static const uint32_t with_pc[] = {
		0x4801,	    0xa101,	0xf8df1010, 0x4479,	0x4679,	    0xe9df2304, 0xed9f0b02,
		0xf20f0310, 0xf89f0011, 0x4770,	    0xbd10,	0xe001,	    0x4798,	0x47f0,
		0xf000f810, 0xe8dff001, 0xe8d0f011, 0xf000b820, 0xf8dff010, 0x448f,	0x4687,
	};
	unsigned int mask = 1u << (4 - n), j, size = 2;
	bool copies = rnd() % 2;
	uint32_t it;

	mask |= rnd() & 15 & ~((mask << 1) - 1);
	*cc = rnd() % 15;
	if (*cc == 14) /* "always" has no "else" */
		mask = 1u << (4 - n);
	it = 0xbf00 | *cc << 4 | mask;
	put(at, it, 2);
	for (j = 0; j < n; j++) {
		bool last = j + 1 == n;
		uint32_t bits = copies && (!last || rnd() % 2) ? plain[rnd() % 10]
							       : with_pc[rnd() % (last ? 21 : 9)];

		offs[j] = size;
		put(at + size, bits, bits > 0xffff ? 4 : 2);
		size += bits > 0xffff ? 4 : 2;
		*cc = arm_it_cond(it, j);
	}
	return size;
}

static void it_blocks(unsigned int rounds)
{
	unsigned int i, before = (unsigned int)compared, offs[4], cc;
	const char *why;

	for (i = 0; i < rounds; i++) {
		uint32_t func = FUNC + rnd() % 2 * 2;
		unsigned int at = rnd() % 2 * 2;

		fill_code(true);
		if (at)
			put(func, 0x3101, 2);
		compare(func, at + put_block(func + at, 1 + rnd() % 4, offs, &cc), at + 2, true,
			&why);
	}
	if (compared - before < rounds / 2) {
		printf("FAIL: IT blocks: only %lu compared\n", compared - before);
		failed++;
	}
}

/* A breakpoint on the last instruction of an IT block; on the others there is none */
static void it_breakpoints(unsigned int rounds)
{
	unsigned long before = compared;
	unsigned int i;

	for (i = 0; i < rounds; i++) {
		unsigned int n = 1 + rnd() % 4, offs[4], cc, size, last;
		uint32_t func = FUNC + rnd() % 2 * 2, at = stubs[rnd() % 3];
		static uint8_t buf[ST_STUB_MAX];
		struct st_stub stub = {.buf = buf, .at = at, .site = SITE, .entry = ENTRY | 1};
		static struct state mid;
		struct st_plan plan;
		const char *diff;

		fill_code(true);
		size = put_block(func, n, offs, &cc);
		last = offs[n - 1];
		if (n > 1 && !st_arch_plan_at(&plan, image + (func - CODE), func, size, size,
					      offs[rnd() % (n - 1)], ST_PLAN_ANY, ST_ISA_T32)) {
			printf("FAIL: planned in the midst of an IT block\n");
			failed++;
		}
		if (!st_arch_plan_at(&plan, image + (func - CODE), func, size, size, last, 0,
				     ST_ISA_T32)) {
			printf("FAIL: a jump in an IT block\n");
			failed++;
		}
		if (st_arch_plan_at(&plan, image + (func - CODE), func, size, size, last,
				    ST_PLAN_ANY, ST_ISA_T32))
			continue;
		if (plan.kind != ST_KIND_BREAKPOINT || plan.it != cc + 1 || plan.insns != 1 ||
		    plan.len != size - last || plan.jump != plan.len ||
		    st_arch_stub(&plan, &stub)) {
			printf("FAIL: breakpoint in an IT block\n");
			failed++;
			continue;
		}
		random_start(&start, true);
		run_until(&start, &mid, func, true, func + last, STEPS);
		if (mid.err || mid.r[15] != func + last)
			continue;
		run(&mid, &there, func + last, true);
		if (!there.stopped || (there.r[15] >= func + last && there.r[15] < func + size))
			continue;
		check(uc_mem_write(uc, at, buf, sizeof(buf)), "stub");
		uc_ctl_remove_cache(uc, at, at + STUB_SIZE);
		write_entry((at + stub.resume) | 1);
		/* the handler may or may not have cleared the IT state */
		if (rnd() % 2)
			mid.cpsr &= ~0x0600fc00u;
		run(&mid, &here, at, true);
		diff = !here.stopped	       ? "does not end"
		       : here.err != there.err ? "ends otherwise"
					       : differs(&there, &here);
		compared++;
		if (!diff) {
			passed++;
			continue;
		}
		failed++;
		printf("FAIL: breakpoint on the last of an IT block at %x (cpsr %08x), %u bytes: "
		       "%s\n",
		       func, mid.cpsr, plan.len, diff);
	}
	if (compared - before < rounds / 2) {
		printf("FAIL: breakpoints in IT blocks: only %lu compared\n", compared - before);
		failed++;
	}
}

/* What must be refused or planned in a certain way */
static void plans(void)
{
	/* clang-format off */
	static const struct {
		const char *what;
		enum st_isa isa;
		uint16_t code[8];
		uint8_t size, room;
		enum st_kind kind;
		bool live;
		uint8_t len, insns;
	} t[] = {
		{ "A32 NOP", ST_ISA_A32, { 0xf000, 0xe320 }, 4, 4, ST_KIND_NOP, true, 4, 1 },
		{ "A32 mov r0, r0", ST_ISA_A32, { 0x0000, 0xe1a0 }, 4, 4, ST_KIND_NOP, false, 4, 1 },
		{ "A32 b", ST_ISA_A32, { 0x0010, 0xea00 }, 4, 4, ST_KIND_MOVE, true, 4, 1 },
		{ "A32 beq", ST_ISA_A32, { 0x0010, 0x0a00 }, 4, 4, ST_KIND_MOVE, false, 4, 1 },
		{ "A32 push {lr}", ST_ISA_A32, { 0xe004, 0xe52d, 0x0010, 0xeb00 }, 8, 8, ST_KIND_MOVE, false, 4, 1 },
		{ "A32 too short", ST_ISA_A32, { 0xf000 }, 2, 2, ST_KIND_NO, false, 0, 0 },
		{ "A32 strex", ST_ISA_A32, { 0x2f91, 0xe180 }, 4, 4, ST_KIND_NO, false, 0, 0 },
		{ "T32 two NOPs", ST_ISA_T32, { 0xbf00, 0xbf00 }, 4, 4, ST_KIND_NOP, false, 4, 2 },
		{ "T32 nop.w", ST_ISA_T32, { 0xf3af, 0x8000 }, 4, 4, ST_KIND_NOP, false, 4, 1 },
		{ "T32 -pg", ST_ISA_T32, { 0xb500, 0xf000, 0xf810 }, 6, 6, ST_KIND_MOVE, false, 6, 2 },
		{ "T32 bx lr, padded", ST_ISA_T32, { 0x4770, 0xbf00 }, 2, 4, ST_KIND_MOVE, false, 4, 1 },
		{ "T32 bx lr, not padded", ST_ISA_T32, { 0x4770, 0xb510 }, 2, 2, ST_KIND_NO, false, 0, 0 },
		{ "T32 b.n and what may be data", ST_ISA_T32, { 0xe001, 0xb510, 0x4770 }, 6, 6, ST_KIND_NO, false, 0, 0 },
		{ "T32 16+32", ST_ISA_T32, { 0xb510, 0xf100, 0x0001 }, 6, 6, ST_KIND_MOVE, false, 6, 2 },
		{ "T32 no second instruction", ST_ISA_T32, { 0xb510, 0xf100 }, 4, 6, ST_KIND_NO, false, 0, 0 },
		{ "T32 loop to the second", ST_ISA_T32, { 0x2000, 0x3001, 0x2805, 0xd1fc, 0x4770 }, 10, 10,
		  ST_KIND_NO, false, 0, 0 },
		{ "T32 loop to the first", ST_ISA_T32, { 0x3002, 0x3001, 0x2805, 0xd1fb, 0x4770 }, 10, 10,
		  ST_KIND_MOVE, false, 4, 2 },
		{ "T32 b.w to the second", ST_ISA_T32, { 0x2000, 0x3001, 0xf7ff, 0xbffd }, 8, 8, ST_KIND_NO, false, 0, 0 },
		{ "T32 bl to the second", ST_ISA_T32, { 0x2000, 0x3001, 0xf7ff, 0xfffd }, 8, 8, ST_KIND_NO, false, 0, 0 },
		{ "T32 beq.w to the second", ST_ISA_T32, { 0x2000, 0x3001, 0xf43f, 0xaffd }, 8, 8, ST_KIND_NO, false, 0, 0 },
		{ "T32 cmp; it; bxeq", ST_ISA_T32, { 0x2800, 0xbf08, 0x4770, 0x3001, 0x4770 }, 10, 10, ST_KIND_MOVE,
		  false, 6, 3 },
		{ "T32 blx first", ST_ISA_T32, { 0x4798, 0xbf00, 0x4770 }, 6, 6, ST_KIND_NO, false, 0, 0 },
		{ "T32 mov pc, r3", ST_ISA_T32, { 0x2000, 0x3001, 0x469f }, 6, 6, ST_KIND_NO, false, 0, 0 },
		{ "T32 add r3, r2; bx r3", ST_ISA_T32, { 0x2000, 0x3001, 0x4413, 0x4718 }, 8, 8, ST_KIND_NO, false, 0, 0 },
		{ "T32 ldr pc, table", ST_ISA_T32, { 0x2000, 0x3001, 0xf853, 0xf022 }, 8, 8, ST_KIND_NO, false, 0, 0 },
		{ "T32 a tail call", ST_ISA_T32, { 0x2000, 0x3001, 0x4718 }, 6, 6, ST_KIND_MOVE, false, 4, 2 },
		{ "T32 mov pc, r3, one instruction displaced", ST_ISA_T32, { 0xf100, 0x0001, 0x469f }, 6, 6, ST_KIND_MOVE,
		  false, 4, 1 },
		{ "T32 tbb", ST_ISA_T32, { 0xe8df, 0xf000 }, 4, 8, ST_KIND_MOVE, false, 4, 1 },
	};
	/* clang-format on */
	struct st_plan plan;
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int ret = st_arch_plan(&plan, (const uint8_t *)t[i].code, FUNC, t[i].size,
				       t[i].room, t[i].isa);

		if (plan.kind == t[i].kind && !ret == (plan.kind != ST_KIND_NO) &&
		    plan.live == t[i].live &&
		    (ret || (plan.len == t[i].len && plan.insns == t[i].insns && plan.jump == 4))) {
			passed++;
			continue;
		}
		printf("FAIL: plan of %s: kind %d live %d len %u insns %u %s\n", t[i].what,
		       plan.kind, plan.live, plan.len, plan.insns, plan.why ? plan.why : "");
		failed++;
	}
}

#define ANY ST_PLAN_ANY
#define STRICT ST_PLAN_STRICT
#define BREAKPOINT ST_PLAN_BREAKPOINT
#define NO ST_KIND_NO
#define JUMP ST_KIND_MOVE
#define TRAP ST_KIND_BREAKPOINT

/* The same for places anywhere, and what @flags say */
static void plans_anywhere(void)
{
	/* clang-format off */
	static const struct {
		const char *what;
		enum st_isa isa;
		uint16_t code[16];
		uint8_t size, offset, flags;
		enum st_kind kind;
		uint8_t len, insns, jump, it;
	} t[] = {
		{ "A32 b to it", ST_ISA_A32, { 0x0000, 0xe3a0, 0xffff, 0xeaff }, 8, 4, 0, JUMP, 4, 1, 4, 0 },
		{ "A32 breakpoint", ST_ISA_A32, { 0x0000, 0xe3a0, 0xffff, 0xeaff }, 8, 4, BREAKPOINT, TRAP, 4, 1, 4, 0 },
		{ "A32 within an instruction", ST_ISA_A32, { 0x0000, 0xe3a0, 0xffff, 0xeaff }, 8, 2, ANY, NO, 0, 0, 0, 0 },
		{ "A32 behind a return", ST_ISA_A32, { 0xff1e, 0xe12f, 0x0000, 0xe3a0 }, 8, 4, ANY, NO, 0, 0, 0, 0 },
		{ "A32 behind the end", ST_ISA_A32, { 0xff1e, 0xe12f }, 4, 4, ANY, NO, 0, 0, 0, 0 },
		/* ldr r0, pool; bl; pool: */
		{ "A32 a literal behind a call that does not return", ST_ISA_A32,
		  { 0x0000, 0xe59f, 0x1000, 0xeb00, 0x0000, 0xe3a0 }, 12, 8, ANY, NO, 0, 0, 0, 0 },
		{ "A32 behind a call", ST_ISA_A32, { 0x0000, 0xe3a0, 0x1000, 0xeb00, 0x0000, 0xe3a0 }, 12, 8, ANY, JUMP, 4, 1, 4, 0 },
		/* ldrex r1, [r0]; add; strex r2, r1, [r0]; cmp; bne; bx lr */
		{ "A32 ldrex", ST_ISA_A32, { 0x1f9f, 0xe190, 0x1001, 0xe281, 0x2f91, 0xe180, 0x0000, 0xe352, 0xfffa, 0x1aff,
		  0xff1e, 0xe12f }, 24, 0, ANY, JUMP, 4, 1, 4, 0 },
		{ "A32 between ldrex and strex", ST_ISA_A32, { 0x1f9f, 0xe190, 0x1001, 0xe281, 0x2f91, 0xe180, 0x0000, 0xe352,
		  0xfffa, 0x1aff, 0xff1e, 0xe12f }, 24, 4, ANY, NO, 0, 0, 0, 0 },
		{ "A32 strex", ST_ISA_A32, { 0x1f9f, 0xe190, 0x1001, 0xe281, 0x2f91, 0xe180, 0x0000, 0xe352, 0xfffa, 0x1aff,
		  0xff1e, 0xe12f }, 24, 8, ANY, NO, 0, 0, 0, 0 },
		{ "A32 behind strex", ST_ISA_A32, { 0x1f9f, 0xe190, 0x1001, 0xe281, 0x2f91, 0xe180, 0x0000, 0xe352, 0xfffa,
		  0x1aff, 0xff1e, 0xe12f }, 24, 12, ANY, JUMP, 4, 1, 4, 0 },
		/* cmp r0, #1; addls pc, pc, r0, lsl #2; bx lr; b 1f; b 1f; 1: mov */
		{ "A32 through a table", ST_ISA_A32, { 0x0001, 0xe350, 0xf100, 0x908f, 0xff1e, 0xe12f, 0x0000, 0xea00, 0xffff,
		  0xeaff, 0x0000, 0xe3a0, 0xff1e, 0xe12f }, 28, 20, ANY, JUMP, 4, 1, 4, 0 },
		{ "A32 a table without a length", ST_ISA_A32, { 0x0001, 0xe150, 0xf100, 0x908f, 0xff1e, 0xe12f, 0x0000, 0xea00,
		  0xffff, 0xeaff, 0x0000, 0xe3a0, 0xff1e, 0xe12f }, 28, 20, ANY, NO, 0, 0, 0, 0 },
		{ "T32 two", ST_ISA_T32, { 0x2000, 0x3001, 0x3002, 0x4770 }, 8, 2, 0, JUMP, 4, 2, 4, 0 },
		{ "T32 two, strict", ST_ISA_T32, { 0x2000, 0x3001, 0x3002, 0x4770 }, 8, 2, STRICT, NO, 0, 0, 0, 0 },
		{ "T32 two, strict or a breakpoint", ST_ISA_T32, { 0x2000, 0x3001, 0x3002, 0x4770 }, 8, 2, STRICT | ANY, TRAP, 2,
		  1, 2, 0 },
		{ "T32 two at the entry, strict", ST_ISA_T32, { 0x2000, 0x3001, 0x3002, 0x4770 }, 8, 0, STRICT | ANY, TRAP, 2, 1,
		  2, 0 },
		{ "T32 one of 32 bits, strict", ST_ISA_T32, { 0x2000, 0xf100, 0x0001, 0x4770 }, 8, 2, STRICT, JUMP, 4, 1, 4, 0 },
		{ "T32 one of 32 bits, breakpoint", ST_ISA_T32, { 0x2000, 0xf100, 0x0001, 0x4770 }, 8, 2, BREAKPOINT, TRAP, 4, 1,
		  2, 0 },
		{ "T32 within an instruction", ST_ISA_T32, { 0x2000, 0xf100, 0x0001, 0x4770 }, 8, 4, ANY, NO, 0, 0, 0, 0 },
		{ "T32 last", ST_ISA_T32, { 0x2000, 0x3001, 0x3002, 0x4770 }, 8, 6, ANY, TRAP, 2, 1, 2, 0 },
		{ "T32 last, by a jump", ST_ISA_T32, { 0x2000, 0x3001, 0x3002, 0x4770 }, 8, 6, 0, NO, 0, 0, 0, 0 },
		{ "T32 a loop to the second", ST_ISA_T32, { 0x2000, 0x3001, 0x2805, 0xd1fc, 0x4770 }, 10, 0, ANY, TRAP, 2, 1, 2,
		  0 },
		{ "T32 call first", ST_ISA_T32, { 0x2000, 0x4798, 0xbf00, 0x4770 }, 8, 2, ANY, TRAP, 2, 1, 2, 0 },
		/* cmp; it eq; addeq.w; bx lr */
		{ "T32 IT block", ST_ISA_T32, { 0x2800, 0xbf08, 0xf100, 0x0001, 0x4770 }, 10, 2, STRICT, JUMP, 6, 2, 4, 0 },
		{ "T32 IT, breakpoint", ST_ISA_T32, { 0x2800, 0xbf08, 0xf100, 0x0001, 0x4770 }, 10, 2, BREAKPOINT, NO, 0, 0, 0,
		  0 },
		{ "T32 in an IT block", ST_ISA_T32, { 0x2800, 0xbf08, 0xf100, 0x0001, 0x4770 }, 10, 4, ANY, TRAP, 4, 1, 4, 1 },
		{ "T32 in an IT block, 16 bits", ST_ISA_T32, { 0x2800, 0xbf18, 0x3001, 0x4770 }, 8, 4, ANY, TRAP, 2, 1, 2, 2 },
		{ "T32 first of two in an IT block", ST_ISA_T32, { 0x2800, 0xbf0c, 0x3001, 0x3002, 0x4770 }, 10, 4, ANY, NO, 0,
		  0, 0, 0 },
		{ "T32 second of two in an IT block", ST_ISA_T32, { 0x2800, 0xbf0c, 0x3001, 0x3002, 0x4770 }, 10, 6, ANY, TRAP, 2,
		  1, 2, 2 },
		/* cmp r0, #1; bhi; tbb [pc, r0]; bytes; movs; bx lr */
		{ "T32 through a table", ST_ISA_T32, { 0x2801, 0xd804, 0xe8df, 0xf000, 0x0201, 0x3001, 0x3002, 0x4770 }, 16, 12,
		  ANY, TRAP, 2, 1, 2, 0 },
		{ "T32 a table", ST_ISA_T32, { 0x2801, 0xd804, 0xe8df, 0xf000, 0x0201, 0x3001, 0x3002, 0x4770 }, 16, 8, ANY, NO,
		  0, 0, 0, 0 },
		{ "T32 a literal", ST_ISA_T32, { 0x4801, 0x4770, 0xbf00, 0xbf00, 0x2000, 0x3001 }, 12, 8, ANY, NO, 0, 0, 0, 0 },
		{ "T32 a literal, zero, behind a call that does not return", ST_ISA_T32,
		  { 0x4801, 0xf001, 0xf800, 0xbf00, 0x0000, 0x0000 }, 12, 8, ANY, NO, 0, 0, 0, 0 },
		{ "T32 a Thumb-1 table behind a call", ST_ISA_T32, { 0x2801, 0xd804, 0xf001, 0xf800, 0x0201, 0x3001, 0x3002,
		  0x4770 }, 16, 8, ANY, NO, 0, 0, 0, 0 },
		{ "T32 behind a far jump of Thumb-1", ST_ISA_T32, { 0xf000, 0xf802, 0x3001, 0x3001, 0x3002, 0x4770 }, 12, 4, ANY, NO,
		  0, 0, 0, 0 },
		{ "T32 where it leads", ST_ISA_T32, { 0xf000, 0xf802, 0x3001, 0x3001, 0x3002, 0x4770 }, 12, 8, ANY, JUMP, 4, 2, 4,
		  0 },
		{ "T32 orr r3, #1; bx r3", ST_ISA_T32, { 0x2000, 0x3001, 0xf043, 0x0301, 0x4718 }, 10, 0, 0, NO, 0, 0, 0, 0 },
		{ "T32 pop {lr}; bx r3", ST_ISA_T32, { 0xb510, 0x3001, 0x3001, 0xe8bd, 0x4010, 0x4718 }, 12, 2, 0, JUMP, 4, 2, 4,
		  0 },
		{ "T32 bx r3", ST_ISA_T32, { 0xb510, 0x3001, 0x3001, 0x3001, 0x4718 }, 10, 2, ANY, TRAP, 2, 1, 2, 0 },
		{ "T32 udf", ST_ISA_T32, { 0xb510, 0xde00, 0x3001, 0x3001, 0x4718 }, 10, 2, ANY, NO, 0, 0, 0, 0 },
		{ "T32 code that is not known", ST_ISA_T32, { 0xb510, 0x3001, 0x3001, 0xba80, 0x4718 }, 10, 2, ANY, NO, 0, 0, 0,
		  0 },
	};
	/* clang-format on */
	struct st_plan plan;
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int ret = st_arch_plan_at(&plan, (const uint8_t *)t[i].code, FUNC, t[i].size,
					  t[i].size, t[i].offset, t[i].flags, t[i].isa);

		if (plan.kind == t[i].kind && !ret == (plan.kind != NO) &&
		    (ret ? plan.why != NULL
			 : plan.len == t[i].len && plan.insns == t[i].insns &&
				     plan.jump == t[i].jump && plan.it == t[i].it)) {
			passed++;
			continue;
		}
		printf("FAIL: plan of %s: kind %d len %u insns %u jump %u it %u %s\n", t[i].what,
		       plan.kind, plan.len, plan.insns, plan.jump, plan.it,
		       plan.why ? plan.why : "");
		failed++;
	}
}

/* A branch from another function into what a jump displaces */
static void sweeps(void)
{
	static const struct {
		uint16_t code[12];
		bool refused;
	} t[] = {
		/* what is, or is not, a branch to the second instruction of the first function,
		   whose end is at 6 */
		{{0x2000, 0x3001, 0x4770, 0xbf00, 0xf7ff, 0xbffb}, true},  /* b.w */
		{{0x2000, 0x3001, 0x4770, 0xbf00, 0xf7ff, 0xbffa}, false}, /* to the first */
		{{0x2000, 0x3001, 0x4770, 0xbf00, 0xe7fb}, true},	   /* b.n */
		{{0x2000, 0x3001, 0x4770, 0xf000, 0xe7fb}, true}, /* behind what ends with a word */
		{{0x2000, 0x3001, 0x4770, 0xbf00, 0xf000, 0xe7fa},
		 false},			   /* the second half of blx */
		{{0x2000, 0xe7fe, 0x4770}, false}, /* its own */
	};
	struct st_plan plan, *list = &plan;
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		size_t n;

		st_arch_plan(&plan, (const uint8_t *)t[i].code, FUNC, 6, 6, ST_ISA_T32);
		plan.kind = JUMP;
		plan.inside = true;
		plan.why = NULL;
		n = st_arch_sweep(&list, 1, (const uint8_t *)t[i].code, FUNC, sizeof(t[i].code));
		if (n == t[i].refused && (plan.kind == NO) == t[i].refused &&
		    !plan.why == !t[i].refused) {
			passed++;
			continue;
		}
		printf("FAIL: sweep %u: %zu refused\n", i, n);
		failed++;
	}
}

/* Jumps and veneers, run: to the very ends of their reach, and not beyond */
static void jumps(void)
{
	struct st_plan plan = {
		.kind = ST_KIND_NOP, .addr = FUNC, .len = 4, .jump = 4, .insns = 1, .falls = true};
	struct state *s = &start;
	uint8_t out[ST_STUB_MAX];
	unsigned int i;

	for (i = 0; i < 2; i++) {
		bool thumb = i != 0;
		uint32_t far = thumb ? 1u << 24 : 1u << 25, base = FUNC + (thumb ? 4 : 8),
			 step = thumb ? 2 : 4;

		plan.isa = thumb ? ST_ISA_T32 : ST_ISA_A32;
		if (!st_arch_jump(&plan, (base + far) | thumb, out) ||
		    !st_arch_jump(&plan, (base - far - step) | thumb, out) ||
		    st_arch_jump(&plan, (base - far) | thumb, out) ||
		    st_arch_jump(&plan, (base + far - step) | thumb, out) ||
		    !st_arch_jump(&plan, (FUNC + 64) | !thumb, out) ||
		    st_arch_jump(&plan, (FUNC + st_arch_reach(plan.isa)) | thumb, out) ||
		    st_arch_jump(&plan, (FUNC - st_arch_reach(plan.isa)) | thumb, out)) {
			printf("FAIL: the reach of a jump\n");
			failed++;
		} else {
			passed++;
		}
	}
	for (i = 0; i < 2000; i++) {
		bool thumb = i % 2, to_thumb = rnd() % 2;
		uint32_t at = FUNC + (thumb ? rnd() % 2 * 2 : 0), to = rnd() & ~3u;
		size_t len;

		fill_code(thumb);
		if (i % 4 < 2) {
			to = CODE + rnd() % (CODE_SIZE / 4) * 4;
			to_thumb = thumb;
			plan.isa = thumb ? ST_ISA_T32 : ST_ISA_A32;
			plan.addr = at;
			if (to - at + 4 < 8 || st_arch_jump(&plan, to | thumb, image + (at - CODE)))
				continue;
		} else {
			len = st_arch_veneer(thumb ? ST_ISA_T32 : ST_ISA_A32, at, to | to_thumb,
					     out);
			memcpy(image + (at - CODE), out, len);
		}
		random_start(s, thumb);
		run(s, &here, at, thumb);
		memcpy(&there, s, sizeof(there));
		memcpy(there.code, image, CODE_SIZE);
		there.r[15] = to;
		there.cpsr = (s->cpsr & ~0x20u) | (to_thumb ? 0x20 : 0);
		if (differs(&there, &here)) {
			printf("FAIL: jump from %x to %x: %s\n", at, to | to_thumb,
			       differs(&there, &here));
			failed++;
		} else {
			passed++;
		}
	}
}

int main(int argc, char **argv)
{
	unsigned int rounds = 200, i;

	for (i = 1; i < (unsigned int)argc; i++) {
		if (!strcmp(argv[i], "--rounds") && argv[i + 1])
			rounds = (unsigned int)strtoul(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--seed") && argv[i + 1])
			random_state = strtoul(argv[++i], NULL, 0) | 1;
		else if (!strcmp(argv[i], "--verbose"))
			verbose = true;
		else if (!strcmp(argv[i], "--break"))
			break_it = true;
		else
			return 2;
	}
	open_cpu();
	for (i = 0; i < sizeof(a32_always) / sizeof(a32_always[0]); i++)
		a32_row(a32_always, &a32_always[i], true, rounds);
	for (i = 0; i < sizeof(a32_conditional) / sizeof(a32_conditional[0]); i++)
		a32_row(a32_conditional, &a32_conditional[i], false, rounds);
	for (i = 0; i < sizeof(t16) / sizeof(t16[0]); i++)
		t32_row(t16, &t16[i], 2, rounds);
	for (i = 0; i < sizeof(t32) / sizeof(t32[0]); i++)
		t32_row(t32, &t32[i], 4, rounds);
	it_blocks(rounds * 10);
	if (break_it) {
		printf("%lu of %lu spoiled stubs noticed\n", noticed, compared);
		printf("%u passed, %u failed, 0 skipped\n", noticed > compared / 4 * 3,
		       noticed <= compared / 4 * 3);
		return noticed <= compared / 4 * 3;
	}
	it_breakpoints(rounds * 10);
	plans();
	plans_anywhere();
	sweeps();
	jumps();
	printf("%u rows of the decoding tables hit: %u compared, %u refused\n", rows, rows_hit,
	       rows_refused);
	if (rows != rows_hit + rows_refused) {
		printf("FAIL: not every row was hit\n");
		failed++;
	}
	printf("%lu moved instructions compared, %lu of them use their own bytes, %lu by a "
	       "breakpoint, %lu led where they should; "
	       "%lu times between two of them\n",
	       compared, own, by_breakpoint, led, between);
	printf("%lu passed, %lu failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
