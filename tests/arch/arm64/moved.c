// SPDX-License-Identifier: GPL-2.0-only
/*
 * AArch64, runs on any host: each row of the relocation table, many random instructions of each, at
 * the entry of a function and inside one, executed in place and executed as st_arch_stub() moved
 * it, in an emulator (Unicorn). All registers, flags, pc and memory must be the same after both;
 * only x17 may differ, and only where at an entry a call or tail call needs a far jump; inside a
 * function that is refused. Fails if a row was not reached in both places.
 *
 *	moved [ROUNDS]: instructions of each row
 *	moved --break: one bit of the moved code is wrong, and each row must tell
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unicorn/unicorn.h>

#include "engine/arch.h"
#include "engine/arch/arm64/decode.h"
#include "engine/arch/arm64/relocate.h"

#define SITE_PAGE 0x400000000ul
#define SITE (SITE_PAGE + 0x100000) /* literals are within 1 MiB of it */
#define SITE_SIZE 0x300000ul
#define DATA 0x600000000ul
#define DATA_SIZE 0x10000ul
#define REACH (112ul << 20)

static unsigned int failures;
static bool broken;
/* conditional branches executed, by whether they were taken */
static unsigned long conditional[2];

static uint64_t rnd(void)
{
	static uint64_t s = 0x9e3779b97f4a7c15ull;
	uint64_t z = (s += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

__attribute__((format(printf, 1, 2))) static void fail(const char *fmt, ...)
{
	va_list ap;

	if (failures++ > 20 || broken)
		return;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

struct state {
	uint64_t x[31], sp, pc, nzcv;
	uint64_t q[32][2];
};

/* x0 to x30, sp, pc, nzcv, q0 ... */
static const uint64_t *words(const struct state *s)
{
	return (const uint64_t *)s;
}

static int reg_x(unsigned int i)
{
	return i < 29 ? UC_ARM64_REG_X0 + (int)i : i == 29 ? UC_ARM64_REG_X29 : UC_ARM64_REG_X30;
}

static void load(uc_engine *uc, const struct state *s)
{
	unsigned int i;

	for (i = 0; i < 31; i++)
		uc_reg_write(uc, reg_x(i), &s->x[i]);
	for (i = 0; i < 32; i++)
		uc_reg_write(uc, UC_ARM64_REG_Q0 + (int)i, s->q[i]);
	uc_reg_write(uc, UC_ARM64_REG_SP, &s->sp);
	uc_reg_write(uc, UC_ARM64_REG_NZCV, &s->nzcv);
}

static void save(uc_engine *uc, struct state *s)
{
	unsigned int i;

	memset(s, 0, sizeof(*s));
	for (i = 0; i < 31; i++)
		uc_reg_read(uc, reg_x(i), &s->x[i]);
	for (i = 0; i < 32; i++)
		uc_reg_read(uc, UC_ARM64_REG_Q0 + (int)i, s->q[i]);
	uc_reg_read(uc, UC_ARM64_REG_SP, &s->sp);
	uc_reg_read(uc, UC_ARM64_REG_NZCV, &s->nzcv);
	uc_reg_read(uc, UC_ARM64_REG_PC, &s->pc);
	s->nzcv &= 0xf0000000;
}

/* Where the code may not go on: the emulator would fetch what is not there. */
struct bounds {
	uint64_t from, to;
};

static void on_insn(uc_engine *uc, uint64_t addr, uint32_t size, void *arg)
{
	struct bounds *b = arg;

	(void)size;
	if (addr < b->from || addr >= b->to)
		uc_emu_stop(uc);
}

static bool on_fetch(uc_engine *uc, uc_mem_type type, uint64_t addr, int size, int64_t value,
		     void *arg)
{
	(void)uc, (void)type, (void)addr, (void)size, (void)value, (void)arg;
	return false;
}

static uint8_t memory[2][SITE_SIZE + DATA_SIZE];
static uint8_t pristine[SITE_SIZE + DATA_SIZE];

/* Executes from @from until control leaves [@from, @to); what a fetch failed on counts as left. */
static uc_err run(uc_engine *uc, struct bounds *bounds, uint64_t from, uint64_t to,
		  const struct state *in, struct state *out, uint8_t *mem)
{
	uc_err err;

	bounds->from = from;
	bounds->to = to;
	load(uc, in);
	err = uc_emu_start(uc, from, 0, 0, 32);
	if (err == UC_ERR_FETCH_UNMAPPED)
		err = UC_ERR_OK;
	save(uc, out);
	uc_mem_read(uc, SITE_PAGE, mem, SITE_SIZE);
	uc_mem_read(uc, DATA, mem + SITE_SIZE, DATA_SIZE);
	return err;
}

/* What the emulator can't execute in place is compared as bytes. */
static bool executable(const char *name)
{
	static const char *const no[] = {"svc", "hvc",	   "smc",	  "sve",
					 "sme", "bc.cond", "msr/mrs/sys", "hint"};
	unsigned int i;

	for (i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (!strcmp(no[i], name))
			return false;
	return true;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static const unsigned long distances[] = {0x1000000, REACH,	-REACH,
					  0x4000,    0x6f00000, -0x3210000ul};

static uc_engine *uc;
static struct bounds bounds;
static unsigned long stub_at[sizeof(distances) / sizeof(distances[0])];

/* Addresses for loads and stores, small numbers, anything; nothing for the branches on zero. */
static uint64_t value(void)
{
	switch (rnd() & 7) {
	case 0:
		return 0;
	case 1:
		return rnd();
	case 2:
		return rnd() & 0xff;
	default:
		return DATA + 0x4000 + (rnd() & 0x7ff8);
	}
}

static void prepare(uint32_t insn, const struct st_stub *stub)
{
	uc_mem_write(uc, SITE_PAGE, pristine, SITE_SIZE);
	uc_mem_write(uc, DATA, pristine + SITE_SIZE, DATA_SIZE);
	uc_mem_write(uc, SITE, &insn, 4);
	uc_mem_write(uc, stub->at, stub->buf, ST_STUB_MAX);
	uc_ctl_remove_cache(uc, SITE, SITE + 4);
	uc_ctl_remove_cache(uc, stub->at, stub->at + ST_STUB_MAX);
}

/* Words in front of the site and behind it */
#define FRONT 16
#define BACK 16

/* At an entry, or inside a function */
enum place { ENTRY, INSIDE, PLACES };

/* Executed or compared, by place and row; refused in reach of no branch */
static unsigned long executed[PLACES][128], unreachable;

/* Whether the function would be taken for one that reads or names its own words. */
static bool names_itself(uint32_t insn, uint64_t func, uint64_t end)
{
	uint64_t at;

	if (st_a64_literal_load(insn, SITE, &at))
		return at + 16 > func && at < end;
	if ((insn & 0x1f000000) != 0x10000000)
		return false;
	at = st_a64_adr(insn, SITE);
	return at + 4096 > func && at < end;
}

/* The plan for @insn at SITE; false if that is all there is to see. */
static bool planned(enum place place, const struct st_a64_row *row, uint32_t insn,
		    struct st_plan *plan)
{
	static const unsigned int wishes[] = {0, ST_PLAN_STRICT, ST_PLAN_ANY,
					      ST_PLAN_ANY | ST_PLAN_BREAKPOINT};
	unsigned int front = place == INSIDE ? 1 + rnd() % FRONT : 0, flags = wishes[rnd() & 3];
	unsigned long func = SITE - front * 4, size = (front + BACK) * 4;
	uint32_t code[FRONT + BACK];
	enum st_kind kind = ST_KIND_MOVE;
	uint64_t to;
	int ret;

	for (unsigned int i = 0; i < front + BACK; i++)
		code[i] = 0xd503201f;
	code[front] = insn;
	code[front + BACK - 1] = 0xd65f03c0;
	ret = st_arch_plan_at(plan, (uint8_t *)code, func, size, size, front * 4, flags,
			      ST_ISA_NATIVE);
	if (ret && (ret != -ENOTSUP || plan->kind != ST_KIND_NO || !plan->why)) {
		fail("%s %08x: refused wrongly: %d", row->name, insn, ret);
		return false;
	}
	if (st_a64_why(row->form)) {
		if (!ret)
			fail("%s %08x: not refused", row->name, insn);
		return false;
	}
	if (place == ENTRY && st_a64_target(insn, SITE, &to) && to == SITE) {
		if (!ret || !strstr(plan->why, "loop"))
			fail("%s %08x: a loop was not refused", row->name, insn);
		return false;
	}
	if (place == INSIDE && ret &&
	    (!st_a64_allocated(insn) || names_itself(insn, func, func + size)))
		return false;
	if (insn == 0xd503201f)
		kind = ST_KIND_NOP;
	if (flags & ST_PLAN_BREAKPOINT)
		kind = ST_KIND_BREAKPOINT;
	if (place == INSIDE &&
	    ((insn & 0xffffff3f) == 0xd503241f || (insn & 0xffffffbf) == 0xd503233f)) {
		/* a landing pad */
		if (!(flags & ST_PLAN_ANY)) {
			if (!ret || !strstr(plan->why, "landing pad"))
				fail("%s %08x: a landing pad would be lost", row->name, insn);
			return false;
		}
		kind = ST_KIND_BREAKPOINT;
	}
	if (ret || plan->addr != SITE || plan->func != func || plan->inside != (place == INSIDE) ||
	    plan->len != 4 || plan->jump != 4 || plan->insns != 1 || plan->kind != kind ||
	    plan->live != row->live || get32(plan->orig) != insn) {
		fail("%s %08x: plan: %d, %s", row->name, insn, ret, ret ? plan->why : "");
		return false;
	}
	return true;
}

/* What the function returns to when its return is probed. */
static void check_after(const struct st_a64_row *row, const struct st_stub *stub,
			const struct st_plan *plan)
{
	struct state in = {.pc = 0}, out;

	if (plan->inside || !stub->ret) {
		if (stub->after || stub->path)
			fail("%s: a way for returns where there is none", row->name);
		return;
	}
	for (unsigned int i = 0; i < 31; i++)
		in.x[i] = rnd();
	in.sp = DATA + 0x8000;
	in.nzcv = rnd() & 0xf0000000;
	if (!stub->after || stub->path || stub->after & 3 ||
	    run(uc, &bounds, stub->at + stub->after, stub->at + stub->size, &in, &out, memory[0])) {
		fail("%s: no way for returns", row->name);
		return;
	}
	in.x[30] = stub->ret;
	in.pc = stub->ret;
	if (memcmp(&in, &out, sizeof(in)))
		fail("%s: the way for returns", row->name);
}

static bool out_of_reach(const struct st_a64_row *row, uint32_t insn, const struct st_stub *stub)
{
	unsigned long from = stub->at + stub->resume + (row->form == ST_A64_BL) * 4;
	int64_t far = (int64_t)(insn << 6) >> 4;

	if (row->form != ST_A64_B && row->form != ST_A64_BL)
		return false;
	far = (int64_t)SITE + ((int32_t)(insn << 6) >> 4) - (int64_t)from;
	return far < -(128l << 20) || far >= 128l << 20;
}

static void check(enum place place, const struct st_a64_row *row, uint32_t insn)
{
	unsigned int which = rnd() % (sizeof(stub_at) / sizeof(stub_at[0]));
	struct st_stub stub = {.at = stub_at[which], .site = rnd(), .entry = rnd()};
	uint8_t buf[ST_STUB_MAX];
	struct state in, a, b;
	struct st_plan plan;
	unsigned int i;
	uc_err ea, eb;
	int ret;

	if (!planned(place, row, insn, &plan))
		return;
	memset(buf, 0xa5, sizeof(buf));
	stub.buf = buf;
	stub.ret = rnd() & 1 ? 0x700000000ul + (rnd() & 0xfffffc) : 0;
	stub.path = stub.after = 0xffff;
	ret = st_arch_stub(&plan, &stub);
	if (place == INSIDE && out_of_reach(row, insn, &stub)) {
		if (ret != -ERANGE || !plan.why)
			fail("%s %08x: would cost a register", row->name, insn);
		unreachable++;
		return;
	}
	if (ret || stub.size > ST_STUB_MAX || stub.map[0] != stub.resume) {
		fail("%s %08x: stub: %d", row->name, insn, ret);
		return;
	}
	/* BRAA's lowest bits say what its pointer is signed with, and nothing is signed here */
	if (broken)
		buf[stub.resume] ^= row->form == ST_A64_LEAVE ? 1 << 5 : 1;
	for (i = stub.size; i < sizeof(buf); i++)
		if (buf[i] != 0xa5)
			fail("%s %08x: wrote behind its end", row->name, insn);
	if (!executable(row->name)) {
		uint32_t want = row->form == ST_A64_BLR ? insn & ~(1u << 21) : insn;

		if (row->form == ST_A64_COND)
			want = (insn & ~0xffffe0u) | 2 << 5;
		if (get32(buf + stub.resume + (row->form == ST_A64_BLR) * 4) != want)
			fail("%s %08x: copied wrong", row->name, insn);
		if (row->form == ST_A64_COPY &&
		    get32(buf + stub.resume + 4) !=
			    st_a64_branch(stub.at + stub.resume + 4, SITE + 4))
			fail("%s %08x: does not go back", row->name, insn);
		executed[place][row - st_a64_rows]++;
		return;
	}

	for (i = 0; i < 31; i++)
		in.x[i] = value();
	for (i = 0; i < 64; i++)
		in.q[i / 2][i & 1] = rnd();
	in.sp = DATA + 0x8000 + (rnd() & 0x7f0);
	in.nzcv = rnd() & 0xf0000000;

	prepare(insn, &stub);
	ea = run(uc, &bounds, SITE, SITE + 4, &in, &a, memory[0]);
	prepare(insn, &stub);
	eb = run(uc, &bounds, stub.at + stub.resume, stub.at + stub.size, &in, &b, memory[1]);

	if (ea != UC_ERR_OK) {
		/* unallocated, or a fault: then in the stub too */
		if (eb == UC_ERR_OK)
			fail("%s %08x: faults in place (%s) but not moved", row->name, insn,
			     uc_strerror(ea));
		return;
	}
	if (eb != UC_ERR_OK) {
		fail("%s %08x at %lx: %s", row->name, insn, stub.at, uc_strerror(eb));
		return;
	}
	executed[place][row - st_a64_rows]++;
	if (row->form == ST_A64_COND || row->form == ST_A64_TEST)
		conditional[a.pc != SITE + 4]++;
	if (row->form == ST_A64_B || row->form == ST_A64_BL) {
		int64_t far = (int64_t)(a.pc - stub.at);

		if (place == ENTRY && (far > (127l << 20) || far < -(127l << 20)))
			b.x[17] = a.x[17];
	}
	/* the slot that the moved code borrows is below sp again, where nothing counts */
	if (row->form == ST_A64_LOADV || row->form == ST_A64_LOAD)
		memcpy(memory[1] + SITE_SIZE + (in.sp - DATA) - 16,
		       pristine + SITE_SIZE + (in.sp - DATA) - 16, 16);
	if (memcmp(&a, &b, sizeof(a))) {
		fail("%s %08x at %lx: registers differ", row->name, insn, stub.at);
		for (i = 0; i < 34; i++)
			if (words(&a)[i] != words(&b)[i] && failures < 20 && !broken)
				fprintf(stderr, "  %u: %lx %lx\n", i, words(&a)[i], words(&b)[i]);
	}
	if (memcmp(memory[0], memory[1], sizeof(memory[0])))
		fail("%s %08x at %lx: memory differs", row->name, insn, stub.at);
	if (!broken)
		check_after(row, &stub, &plan);
}

/* Half-precision vectors that are not allocated end this QEMU when it only translates them. */
static bool aborts(uint32_t insn)
{
	return (insn & 0x9f60c400) == 0x0e400400 || (insn & 0x8f7e0c00) == 0x0e780800;
}

/* Offsets are small at times, so that loops and self-references come up. */
static uint32_t instruction(const struct st_a64_row *row)
{
	uint32_t insn = (uint32_t)rnd();

	if (!(rnd() & 7))
		insn &= 0x1f;
	return (insn & ~row->mask) | row->value;
}

static void expect(bool ok, const char *what)
{
	if (!ok)
		fail("%s", what);
}

/* What is not about one instruction. */
static void plans(void)
{
	static const uint32_t pads[] = {0xd503241f, 0xd503245f, 0xd503249f, 0xd50324df};
	uint32_t code[4] = {0xd503201f, 0xd503201f, 0xd2800000, 0xd65f03c0};
	uint8_t buf[ST_STUB_MAX], jump[ST_JUMP_MAX];
	struct st_stub stub = {.buf = buf};
	struct st_plan plan;
	unsigned int i;

	expect(!st_arch_plan(&plan, (uint8_t *)code, SITE, 16, 16, ST_ISA_NATIVE) &&
		       plan.kind == ST_KIND_NOP && plan.live && plan.addr == SITE &&
		       plan.func == SITE && plan.jump == 4,
	       "NOP site");
	for (i = 0; i < 4; i++) {
		code[0] = pads[i];
		expect(!st_arch_plan(&plan, (uint8_t *)code, SITE, 16, 16, ST_ISA_NATIVE) &&
			       plan.kind == ST_KIND_NOP && plan.addr == SITE + 4 &&
			       plan.func == SITE,
		       "behind a pad");
	}
	expect(st_arch_plan(&plan, (uint8_t *)code, SITE, 4, 16, ST_ISA_NATIVE) == -ENOTSUP &&
		       plan.why,
	       "only a pad");
	expect(st_arch_plan(&plan, (uint8_t *)code, SITE, 0, 16, ST_ISA_NATIVE) == -ENOTSUP &&
		       plan.why,
	       "empty");
	expect(st_arch_plan(&plan, (uint8_t *)code, SITE + 2, 16, 16, ST_ISA_NATIVE) == -ENOTSUP,
	       "odd address");
	expect(st_arch_plan(&plan, (uint8_t *)code, SITE, 16, 16, ST_ISA_A32) == -ENOTSUP, "A32");

	/* a loop to the first instruction; to a pad it is a call of itself */
	code[0] = 0xd1000400; /* sub	x0, x0, #1 */
	code[1] = 0xb5ffffe0; /* cbnz	x0, .-4 */
	expect(st_arch_plan(&plan, (uint8_t *)code, SITE, 16, 16, ST_ISA_NATIVE) == -ENOTSUP &&
		       plan.why && strstr(plan.why, "loop"),
	       "loop");
	code[1] = 0x97ffffff; /* bl	.-4 */
	expect(!st_arch_plan(&plan, (uint8_t *)code, SITE, 16, 16, ST_ISA_NATIVE) &&
		       plan.kind == ST_KIND_MOVE && !plan.live && plan.falls,
	       "recursion");
	code[0] = 0xd503245f;
	code[1] = 0xd1000400;
	code[2] = 0x17fffffe; /* b	.-8 */
	expect(!st_arch_plan(&plan, (uint8_t *)code, SITE, 16, 16, ST_ISA_NATIVE) &&
		       plan.addr == SITE + 4,
	       "tail call");
	code[2] = 0x17ffffff; /* b	.-4 */
	expect(st_arch_plan(&plan, (uint8_t *)code, SITE, 16, 16, ST_ISA_NATIVE) == -ENOTSUP,
	       "loop behind a pad");
	code[1] = 0xd503201f;
	expect(!st_arch_plan(&plan, (uint8_t *)code, SITE, 16, 16, ST_ISA_NATIVE),
	       "tail call to a NOP");
	code[2] = 0x54ffffe0; /* b.eq	.-4 */
	expect(st_arch_plan(&plan, (uint8_t *)code, SITE, 16, 16, ST_ISA_NATIVE) == -ENOTSUP,
	       "loop to a NOP");

	/* reach */
	code[0] = 0xd503201f;
	expect(!st_arch_plan(&plan, (uint8_t *)code, SITE, 4, 4, ST_ISA_NATIVE), "one instruction");
	stub.at = SITE + st_arch_reach(ST_ISA_NATIVE);
	expect(!st_arch_stub(&plan, &stub), "reach up");
	stub.at += 16;
	expect(st_arch_stub(&plan, &stub) == -ERANGE, "too far up");
	stub.at = SITE - st_arch_reach(ST_ISA_NATIVE);
	expect(!st_arch_stub(&plan, &stub), "reach down");
	stub.at -= 16;
	expect(st_arch_stub(&plan, &stub) == -ERANGE, "too far down");
	expect(!st_arch_jump(&plan, SITE + (128ul << 20) - 4, jump) && get32(jump) == 0x15ffffff,
	       "jump up");
	expect(!st_arch_jump(&plan, SITE - (128ul << 20), jump) && get32(jump) == 0x16000000,
	       "jump down");
	expect(st_arch_jump(&plan, SITE + (128ul << 20), jump) == -ERANGE, "jump too far up");
	expect(st_arch_jump(&plan, SITE - (128ul << 20) - 4, jump) == -ERANGE, "jump too far down");

	/* veneers, on both alignments */
	expect(st_arch_veneer(ST_ISA_NATIVE, SITE, SITE + 64, buf) == 4 && get32(buf) == 0x14000010,
	       "near veneer");
	for (i = 0; i < 8; i += 4) {
		unsigned long to = 0x123456789abcdef0ul;
		struct state in = {0}, out;
		size_t len = st_arch_veneer(ST_ISA_NATIVE, stub_at[0] + i, to, buf);

		in.x[16] = 1;
		in.sp = DATA + 0x8000;
		expect(len == 16 || len == 20, "veneer's length");
		uc_mem_write(uc, stub_at[0] + i, buf, len);
		uc_ctl_remove_cache(uc, stub_at[0], stub_at[0] + 64);
		run(uc, &bounds, stub_at[0] + i, stub_at[0] + i + len, &in, &out, memory[0]);
		in.x[17] = to;
		in.pc = to;
		expect(!memcmp(&in, &out, sizeof(in)), "far veneer");
	}
}

/* All rows in one place; how many were missed. */
static unsigned int rows(enum place place, unsigned long rounds, unsigned long *total)
{
	unsigned int row, missed = 0;

	for (row = 0; row < st_a64_nrows; row++) {
		const struct st_a64_row *r = &st_a64_rows[row];
		unsigned long hits = 0, tries = 0;
		unsigned int before = failures;

		while (hits < rounds && tries++ < rounds * 200) {
			uint32_t insn = instruction(r);

			if (aborts(insn))
				continue;
			/* landing pads at an entry: plans() */
			if (st_a64_row(insn) != r ||
			    (place == ENTRY && ((insn & 0xffffff3f) == 0xd503241f ||
						(insn & 0xffffffbf) == 0xd503233f)))
				continue;
			check(place, r, insn);
			hits++;
		}
		if (!hits || (!broken && !st_a64_why(r->form) && !executed[place][row])) {
			fprintf(stderr, "%s: no instruction of this row was %s %s\n", r->name,
				hits ? "executed" : "made",
				place == INSIDE ? "inside" : "at an entry");
			missed++;
		}
		*total += executed[place][row];
		if (broken && !st_a64_why(r->form) && failures == before) {
			fprintf(stderr, "%s: nobody noticed\n", r->name);
			missed++;
		}
	}
	return missed;
}

int main(int argc, char **argv)
{
	unsigned long rounds = 40, i, total[PLACES] = {0};
	unsigned int missed = 0;
	uc_hook hook, fetch;

	if (argc > 1 && !strcmp(argv[1], "--break"))
		broken = true;
	else if (argc > 1)
		rounds = strtoul(argv[1], NULL, 0);

	/* the model with pointer authentication */
	if (uc_open(UC_ARCH_ARM64, UC_MODE_ARM, &uc) ||
	    uc_ctl_set_cpu_model(uc, UC_CPU_ARM64_MAX) ||
	    uc_mem_map(uc, SITE_PAGE, SITE_SIZE, UC_PROT_ALL) ||
	    uc_mem_map(uc, DATA, DATA_SIZE, UC_PROT_READ | UC_PROT_WRITE) ||
	    uc_hook_add(uc, &hook, UC_HOOK_CODE, (void *)on_insn, &bounds, 1, 0) ||
	    uc_hook_add(uc, &fetch, UC_HOOK_MEM_FETCH_UNMAPPED, (void *)on_fetch, NULL, 1, 0)) {
		fprintf(stderr, "no emulator\n");
		return 1;
	}
	for (i = 0; i < sizeof(distances) / sizeof(distances[0]); i++) {
		stub_at[i] = SITE + distances[i];
		if (distances[i] == 0x4000)
			continue; /* inside the site's own map */
		if (uc_mem_map(uc, stub_at[i] & ~4095ul, 4096, UC_PROT_ALL)) {
			fprintf(stderr, "can't map %lx\n", stub_at[i]);
			return 1;
		}
	}
	for (i = 0; i < sizeof(pristine); i++)
		pristine[i] = (uint8_t)rnd();
	/* what a branch leads to is translated before it is stopped */
	for (i = 0; i < SITE_SIZE; i += 4)
		if (aborts(get32(pristine + i)))
			memset(pristine + i, 0x55, 4);
	if (st_a64_nrows > sizeof(executed[0]) / sizeof(executed[0][0]))
		return 1;
	for (i = 0; i < PLACES; i++)
		missed += rows((enum place)i, rounds, &total[i]);
	if (broken) {
		printf("one bit wrong in %lu: %u failures, not noticed in %u rows\n",
		       total[ENTRY] + total[INSIDE], failures, missed);
		return missed != 0;
	}
	plans();
	expect(conditional[0] > rounds && conditional[1] > rounds, "branches both ways");
	expect(unreachable > 0, "calls out of reach");
	printf("%u rows, %lu instructions compared at entries, %lu inside, %lu out of reach there, "
	       "%u rows missed, "
	       "%u failures\n",
	       st_a64_nrows, total[ENTRY], total[INSIDE], unreachable, missed, failures);
	return failures || missed;
}
