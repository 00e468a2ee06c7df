// SPDX-License-Identifier: GPL-2.0-only
/*
 * x86-64, each row of the opcode maps that the decoder knows, many random instructions of each: planned inside of a
 * function or at its entry, moved by st_arch_stub(), and then
 *
 *  - compared as Zydis reads them (same.c), and
 *  - executed in an emulator (Unicorn), in place and moved, from the same random registers, flags and memory. All
 *    registers, flags, pc and memory must be the same after both.
 *
 * Fails if a row was not reached, or a row that the emulator knows was not executed, or a way of the mover was not gone.
 *
 *	moved [ROUNDS [SEED]]: instructions of each row
 *	moved --break: a bit of the moved code is wrong, and each row must tell
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <unicorn/unicorn.h>

#include "engine/arch.h"
#include "engine/arch/x86_64/relocate.h"
#include "same.h"

#define SITE_PAGE 0x400000000ul
#define SITE (SITE_PAGE + 0x2000)
#define SITE_SIZE 0x20000ul
#define NEAR_STUB (SITE_PAGE + 0x10000)
#define DATA (SITE_PAGE + 0x100000)
#define DATA_SIZE 0x4000ul
#define STACK (DATA + 0x3000) /* its middle is rsp */
#define BEFORE 3	      /* bytes of the function in front of the site */
#define AFTER 24	      /* and behind the instruction, NOPs of one byte */

static unsigned int failures;
static bool broken;

static uint64_t seed = 0x9e3779b97f4a7c15ull;

static uint64_t rnd(void)
{
	uint64_t z = (seed += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static unsigned int below(unsigned int n)
{
	return rnd() % n;
}

/* The opcode maps: escapes, and for those of vector instructions the number in their prefix. */
static const struct map {
	const char *name;
	uint8_t escape;
	uint8_t number;
} maps[] = {
	{ "", 0, 0 },	      { "0f", 0x0f, 1 },      { "0f 38", 0x0f, 0x38 }, { "0f 3a", 0x0f, 0x3a },
	{ "VEX 1", 0xc4, 1 }, { "VEX 2", 0xc4, 2 },   { "VEX 3", 0xc4, 3 },    { "EVEX 1", 0x62, 1 },
	{ "EVEX 2", 0x62, 2 },{ "EVEX 3", 0x62, 3 },  { "EVEX 5", 0x62, 5 },   { "EVEX 6", 0x62, 6 },
	{ "XOP 8", 0x8f, 8 }, { "XOP 9", 0x8f, 9 },   { "XOP 10", 0x8f, 10 },
};
#define MAPS (sizeof(maps) / sizeof(maps[0]))

/* The ways of the mover: each must be gone, those with a branch both ways. */
enum way { COPY, RIP, JCC_TAKEN, JCC_NOT, LOOP_TAKEN, LOOP_NOT, JMP, CALL, CALL_REG, CALL_RIP, CALL_MEM, CALL_RSP, CALL_BELOW,
	   CALL_SP, JMP_REG, JMP_MEM, JMP_RIP, RETS, WAYS };
static const char *const way_names[WAYS] = { "copy", "rip operand", "jcc taken", "jcc not taken", "loop taken", "loop not taken",
	"jmp", "call", "call *reg", "call *rip", "call *mem", "call *(rsp)", "call *-d(rsp)", "call *rsp", "jmp *reg", "jmp *mem",
	"jmp *rip", "ret" };
/* near, and where rel32 does not reach back */
static unsigned long ways[2][WAYS];
/* and these, which nobody here executes */
static unsigned long transactions, syscalls;

static struct row {
	unsigned long made, compared, executed, refused, noticed, noticed_run;
} rows[MAPS][256];

static void row_name(char *out, size_t map, unsigned int op)
{
	sprintf(out, "%s%s%02x", maps[map].name, map ? " " : "", op);
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

static void dump(const char *what, const uint8_t *bytes, unsigned int n)
{
	if (failures > 20 || broken)
		return;
	fprintf(stderr, "  %s:", what);
	while (n--)
		fprintf(stderr, " %02x", *bytes++);
	fputc('\n', stderr);
}

/* Making instructions. */

static uint8_t code[BEFORE + ST_X86_INSN_MAX + AFTER];
static struct st_x86_insn insn;
static struct z_insn z;

static void set(uint8_t *p, uint64_t v, unsigned int n)
{
	memcpy(p, &v, n);
}

static uint8_t modrm(void)
{
	switch (below(6)) {
	case 0:
	case 1:
		return (rnd() & 0x38) | 5; /* rip */
	case 2:
		return 0xc0 | rnd();
	case 3:
		return (rnd() & 0x38) | 0x44; /* d8 and SIB */
	default:
		return rnd();
	}
}

/* One instruction of a row into code + BEFORE; whatever else there may be is up to the decoders. */
static bool make(size_t map, unsigned int op)
{
	static const uint8_t segments[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };
	const struct map *m = &maps[map];
	uint8_t *start = code + BEFORE, *p = start;
	unsigned int opcode;

	if (below(10) == 0)
		*p++ = segments[below(6)];
	if (below(12) == 0)
		*p++ = 0x67;
	if (m->number < 2 || m->escape == 0x0f) {
		if (below(4) == 0)
			*p++ = 0x66;
		if (below(3) == 0)
			*p++ = 0xf2 + below(2);
		if (below(16) == 0)
			*p++ = 0xf0;
		if (below(2) == 0)
			*p++ = 0x40 | below(16);
	}
	switch (m->escape) {
	case 0x0f:
		*p++ = 0x0f;
		if (m->number > 1)
			*p++ = m->number;
		break;
	case 0xc4:
		if (m->number == 1 && below(2)) {
			*p++ = 0xc5;
			*p++ = rnd();
			break;
		}
		*p++ = 0xc4;
		*p++ = (rnd() & 0xe0) | m->number;
		*p++ = below(2) ? rnd() : rnd() | 0x78;
		break;
	case 0x8f:
		*p++ = 0x8f;
		*p++ = (rnd() & 0xe0) | m->number;
		*p++ = below(2) ? rnd() : rnd() | 0x78;
		break;
	case 0x62:
		*p++ = 0x62;
		*p++ = (rnd() & 0xf0) | m->number;
		*p++ = (below(2) ? rnd() : rnd() | 0x78) | 4;
		*p++ = below(2) ? (rnd() & 0x60) | 8 : rnd();
		break;
	}
	opcode = p - start;
	*p++ = op;
	*p = modrm();
	if (!map && op == 0xff && below(4)) { /* calls and jumps, through rsp too */
		*p = (*p & 0xc7) | (below(2) ? 2 : 4) << 3;
		if (below(4) == 0)
			*p = (*p & 0xf8) | 4;
	}
	if (!map && (op & 0xfe) == 0xc6 && below(3) == 0) /* xabort, xbegin */
		*p = 0xf8;
	p++;
	if (below(2)) /* rsp as base, no index */
		*p = 0x24 | (rnd() & 0xc0);
	else
		*p = rnd();
	p++;
	while (p < start + ST_X86_INSN_MAX)
		*p++ = rnd();
	if (st_x86_decode(&insn, start, ST_X86_INSN_MAX) < 0)
		return false;
	/* of another row: it was a prefix, or an escape */
	if (insn.opcode != opcode)
		return false;
	if (insn.rip) {
		uint64_t to = DATA + 0x40 + below(0x2f00);

		set(start + insn.disp, (below(2) ? to & ~63ul : to) - (SITE + BEFORE + insn.len), 4);
	} else if (insn.disp_len == 8) {
		set(start + insn.disp, DATA + below(0x2f00), 8);
	} else if (insn.disp_len == 4) {
		set(start + insn.disp, (int)below(0x200) - 0x100, 4);
	} else if (insn.disp_len == 1 && below(2)) {
		start[insn.disp] = -(1 + below(16));
	}
	if (st_x86_is_branch(&insn) && insn.imm_len == 4)
		set(start + insn.imm, (int)below(0x1000) - 0x800, 4);
	if (st_x86_is_branch(&insn) && below(8) == 0) /* around to itself */
		set(start + insn.imm, -insn.len, insn.imm_len);
	if (insn.imm_len == 2 || insn.imm_len == 3) /* ret, enter */
		set(start + insn.imm, below(8) * 8, 2);
	memset(start + insn.len, 0x90, ST_X86_INSN_MAX + AFTER - insn.len);
	return st_x86_decode(&insn, start, ST_X86_INSN_MAX) > 0;
}

/* The emulator. */

struct state {
	uint64_t gpr[16], rip, flags, fs_base, gs_base;
	uint64_t fpsw, fpcw, fptag, mxcsr;
	uint8_t xmm[16][16];
	uint8_t fp[8][16];
};

static const int gpr_ids[16] = {
	UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_RBX, UC_X86_REG_RSP, UC_X86_REG_RBP,
	UC_X86_REG_RSI, UC_X86_REG_RDI, UC_X86_REG_R8,	UC_X86_REG_R9,	UC_X86_REG_R10, UC_X86_REG_R11,
	UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14, UC_X86_REG_R15,
};
enum { AX, CX, DX, BX, SP };

static uc_engine *uc;
static uc_context *pristine_cpu;
static uint8_t pristine[DATA_SIZE], memory[2][DATA_SIZE];

#define STEPS 100

/* Where the code may not go on; @again: nor at its beginning, but for the first time. */
static struct bounds {
	uint64_t from, to, begin;
	bool again;
	unsigned int steps, most;
} bounds;

static void on_insn(uc_engine *engine, uint64_t addr, uint32_t size, void *arg)
{
	struct bounds *b = arg;

	(void)size;
	if (addr < b->from || addr >= b->to || (!b->again && b->steps && addr == b->begin) || b->steps++ == b->most)
		uc_emu_stop(engine);
}

static bool on_fetch(uc_engine *engine, uc_mem_type type, uint64_t addr, int size, int64_t value, void *arg)
{
	(void)engine, (void)type, (void)addr, (void)size, (void)value, (void)arg;
	return false;
}

static const unsigned long stubs[] = { NEAR_STUB, SITE_PAGE + 0x7ff00000, SITE_PAGE - 0x7fe00000, SITE_PAGE + 0x180000000 };
#define FAR 3

static void open_emulator(void)
{
	static uc_hook hook, fetch;

	if (uc_open(UC_ARCH_X86, UC_MODE_64, &uc) || uc_mem_map(uc, SITE_PAGE, SITE_SIZE, UC_PROT_ALL) ||
	    uc_mem_map(uc, DATA, DATA_SIZE, UC_PROT_READ | UC_PROT_WRITE) ||
	    uc_hook_add(uc, &hook, UC_HOOK_CODE, (void *)on_insn, &bounds, 1, 0) ||
	    uc_hook_add(uc, &fetch, UC_HOOK_MEM_FETCH_UNMAPPED, (void *)on_fetch, NULL, 1, 0) ||
	    uc_context_alloc(uc, &pristine_cpu) || uc_context_save(uc, pristine_cpu)) {
		fprintf(stderr, "no emulator\n");
		exit(1);
	}
	for (unsigned int i = 1; i < 4; i++)
		if (uc_mem_map(uc, stubs[i], 4096, UC_PROT_ALL)) {
			fprintf(stderr, "can't map %lx\n", stubs[i]);
			exit(1);
		}
}

/* Some spoiled instructions are more than the emulator can take. */
static sigjmp_buf abandoned;

static void aborted(int signal)
{
	if (!broken)
		_exit(128 + signal);
	siglongjmp(abandoned, 1);
}

static void registers(struct state *s, bool write)
{
	int ids[48];
	void *at[48];
	int n = 0, i;

#define REG(id, where) (ids[n] = (id), at[n++] = (where))
	for (i = 0; i < 16; i++)
		REG(gpr_ids[i], &s->gpr[i]);
	for (i = 0; i < 16; i++)
		REG(UC_X86_REG_XMM0 + i, s->xmm[i]);
	REG(UC_X86_REG_EFLAGS, &s->flags);
	REG(UC_X86_REG_MXCSR, &s->mxcsr);
	if (write) {
		uc_reg_write_batch(uc, ids, at, n);
		return;
	}
	REG(UC_X86_REG_RIP, &s->rip);
	REG(UC_X86_REG_FS_BASE, &s->fs_base);
	REG(UC_X86_REG_GS_BASE, &s->gs_base);
	REG(UC_X86_REG_FPSW, &s->fpsw);
	REG(UC_X86_REG_FPCW, &s->fpcw);
	REG(UC_X86_REG_FPTAG, &s->fptag);
	uc_reg_read_batch(uc, ids, at, n);
	for (i = 0; i < 8; i++)
		uc_reg_read(uc, UC_X86_REG_FP0 + i, s->fp[i]);
#undef REG
}

static uc_err run(uint64_t from, uint64_t low, uint64_t high, bool again, const struct state *in, struct state *out,
		  uint8_t *mem)
{
	struct state copy = *in;
	uc_err err;

	/* a moved instruction is several, in a loop too */
	bounds = (struct bounds){ low, high, from, again, 0, mem == memory[0] ? STEPS : 20 * STEPS };
	uc_context_restore(uc, pristine_cpu);
	uc_mem_write(uc, DATA, pristine, DATA_SIZE);
	registers(&copy, true);
	err = uc_emu_start(uc, from, 0, 0, 0);
	if (err == UC_ERR_FETCH_UNMAPPED || err == UC_ERR_FETCH_PROT)
		err = UC_ERR_OK;
	memset(out, 0, sizeof(*out));
	registers(out, false);
	uc_mem_read(uc, DATA, mem, DATA_SIZE);
	return err;
}

/* What the emulator can't, or what is not the same twice, or what would change the emulated machine. */
static bool executable(void)
{
	/* It takes XOP's prefix for a pop. */
	if (z.i.encoding == ZYDIS_INSTRUCTION_ENCODING_XOP)
		return false;
	if (z.i.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED || z.i.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return false;
	for (unsigned int i = 0; i < z.i.operand_count; i++)
		if (z.op[i].type == ZYDIS_OPERAND_TYPE_REGISTER && z.op[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE &&
		    ZydisRegisterGetClass(z.op[i].reg.value) == ZYDIS_REGCLASS_SEGMENT)
			return false;
	switch (z.i.meta.category) {
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_RDRAND:
	case ZYDIS_CATEGORY_RDSEED:
	case ZYDIS_CATEGORY_VTX:
	case ZYDIS_CATEGORY_XSAVE:
	case ZYDIS_CATEGORY_XSAVEOPT:
		return false;
	default:
		break;
	}
	switch (z.i.mnemonic) {
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDTSCP:
	case ZYDIS_MNEMONIC_CLI:
	case ZYDIS_MNEMONIC_STI:
	case ZYDIS_MNEMONIC_XBEGIN:
	case ZYDIS_MNEMONIC_XABORT:
		return false;
	default:
		return true;
	}
}

static bool repeats(void)
{
	return z.i.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);
}

static uint64_t value(void)
{
	switch (below(8)) {
	case 0:
		return below(3);
	case 1:
		return rnd();
	case 2:
		return below(256);
	default:
		return DATA + 0x400 + (rnd() & 0x2478);
	}
}

static void prepare(struct state *in)
{
	memset(in, 0, sizeof(*in));
	for (unsigned int i = 0; i < 16; i++)
		in->gpr[i] = value();
	if (repeats() || below(2))
		in->gpr[CX] = below(6);
	in->gpr[SP] = STACK + 0x800 + (rnd() & 0xf8);
	in->flags = 2 | (rnd() & 0xcd5);
	in->mxcsr = 0x1f80;
	for (unsigned int i = 0; i < 16; i++)
		for (unsigned int j = 0; j < 16; j++)
			in->xmm[i][j] = rnd();
	/* words of which many are addresses */
	for (unsigned int i = 0; i < DATA_SIZE; i += 8) {
		uint64_t v = below(3) ? DATA + 0x400 + (rnd() & 0x2478) : rnd();

		memcpy(pristine + i, &v, 8);
	}
}

static enum way way_of(const struct state *out, uint64_t behind)
{
	const uint8_t *start = code + BEFORE;
	uint8_t mod = insn.modrm ? start[insn.modrm] : 0;
	bool rsp = insn.modrm && mod >> 6 != 3 && (mod & 7) == 4 && (start[insn.modrm + 1] & 7) == 4 && !(insn.rex & 1);

	switch (insn.class) {
	case ST_X86_JCC:
		return out->rip == behind ? JCC_NOT : JCC_TAKEN;
	case ST_X86_LOOP:
		return out->rip == behind ? LOOP_NOT : LOOP_TAKEN;
	case ST_X86_JMP:
		return JMP;
	case ST_X86_CALL:
		return CALL;
	case ST_X86_CALL_INDIRECT:
		if (mod >> 6 == 3)
			return (mod & 7) == 4 && !(insn.rex & 1) ? CALL_SP : CALL_REG;
		if (rsp)
			return insn.disp_len && start[insn.disp + insn.disp_len - 1] & 0x80 ? CALL_BELOW : CALL_RSP;
		return insn.rip ? CALL_RIP : CALL_MEM;
	case ST_X86_JMP_INDIRECT:
		return mod >> 6 == 3 ? JMP_REG : insn.rip ? JMP_RIP : JMP_MEM;
	case ST_X86_RET:
		return RETS;
	}
	return insn.rip ? RIP : COPY;
}

static void execute(struct row *row, struct st_plan *plan, const struct st_stub *stub, bool far, const char *name)
{
	struct state in, a, b;
	uint64_t end;
	uc_err ea, eb;
	bool again;

	prepare(&in);
	uc_mem_write(uc, SITE, code, sizeof(code));
	uc_mem_write(uc, stub->at, stub->buf, ST_STUB_MAX);
	uc_ctl_remove_cache(uc, SITE, SITE + sizeof(code));
	uc_ctl_remove_cache(uc, stub->at, stub->at + ST_STUB_MAX);
	/* A loop at an entry goes round without the site's hooks, a call of itself or a loop inside comes to the site. */
	again = (!plan->inside && insn.class != ST_X86_CALL) || repeats();
	/* A breakpoint leaves the bytes behind the first as they are. */
	end = plan->addr + plan->offs[plan->insns - 1] + 1;
	ea = run(plan->addr, plan->addr, end, again, &in, &a, memory[0]);
	/* does not end, or steps now, from one instruction earlier than the copy */
	if (ea == UC_ERR_OK && ((again && a.rip - plan->addr < end - plan->addr) || a.flags & 0x100))
		return;
	eb = run(stub->at + stub->resume, stub->at, stub->at + stub->size, true, &in, &b, memory[1]);
	if (ea != UC_ERR_OK) {
		/* undefined here, or a fault: then in the stub too */
		if (eb == UC_ERR_OK) {
			row->noticed_run++;
			fail("%s: faults in place (%s) but not moved", name, uc_strerror(ea));
			dump("code", code + BEFORE, insn.len);
		}
		return;
	}
	/* the words below a moved call's return address are the callee's */
	if (insn.class == ST_X86_CALL_INDIRECT && b.gpr[SP] - DATA - 16 < DATA_SIZE - 16) {
		memset(memory[0] + (b.gpr[SP] - DATA) - 16, 0, 16);
		memset(memory[1] + (b.gpr[SP] - DATA) - 16, 0, 16);
	}
	row->executed++;
	ways[far][way_of(&a, plan->addr + insn.len)]++;
	if (eb == UC_ERR_OK && !memcmp(&a, &b, sizeof(a)) && !memcmp(memory[0], memory[1], DATA_SIZE))
		return;
	row->noticed_run++;
	fail("%s: moved to %lx it does something else: %s", name, stub->at, uc_strerror(eb));
	dump("code", code + BEFORE, insn.len);
	dump("copy", stub->buf + stub->resume, 64);
	for (unsigned int i = 0; i < sizeof(a) / 8 && failures < 20 && !broken; i++)
		if (((uint64_t *)&a)[i] != ((uint64_t *)&b)[i])
			fprintf(stderr, "  word %u: %lx %lx\n", i, ((uint64_t *)&a)[i], ((uint64_t *)&b)[i]);
}

/* May a plan be refused so? */
static bool expected(const char *why)
{
	if ((insn.vendor && strstr(why, "Intel and AMD")) || (insn.rip && insn.addr32 && strstr(why, "eip")))
		return true;
	switch (insn.class) {
	case ST_X86_JMP_FAR:
	case ST_X86_CALL_FAR:
	case ST_X86_RET_FAR:
	case ST_X86_IRET:
		return strstr(why, "far branch");
	case ST_X86_INT3:
		return strstr(why, "a breakpoint is there");
	case ST_X86_TRAP:
	case ST_X86_INT:
		return strstr(why, "raises a signal") || strstr(why, "system call");
	case ST_X86_SYSCALL:
		return strstr(why, "system call") || strstr(why, "sysenter");
	case ST_X86_SYSRET:
		return strstr(why, "of the kernel's");
	case ST_X86_XBEGIN:
		return strstr(why, "16 bits") || strstr(why, "leads into");
	}
	return ((insn.class == ST_X86_CALL || insn.class == ST_X86_CALL_INDIRECT) && strstr(why, "a call would have to move")) ||
	       (st_x86_is_branch(&insn) && strstr(why, "leads into")) || strstr(why, "it may be data") ||
	       strstr(why, "control may come to any") || strstr(why, "it runs on behind");
}

static void check(size_t map, unsigned int op)
{
	struct row *row = &rows[map][op];
	unsigned int which = below(4), at_entry = below(3) == 0, before = at_entry ? 0 : BEFORE;
	unsigned int flags = at_entry ? 0 : below(2) ? ST_PLAN_BREAKPOINT : ST_PLAN_ANY;
	uint8_t buf[ST_STUB_MAX];
	struct st_stub stub = { .buf = buf, .at = stubs[which], .site = rnd(), .entry = rnd(), .ret = below(2) };
	struct st_plan plan;
	const char *differs;
	char name[16];
	int ret;

	row_name(name, map, op);
	row->made++;
	memcpy(code, "\x0f\x1f\x00", BEFORE);
	ret = st_arch_plan_at(&plan, code + BEFORE - before, SITE + BEFORE - before, sizeof(code) - BEFORE + before, sizeof(code),
			      before, flags, ST_ISA_NATIVE);
	if (!ret && plan.kind == ST_KIND_NOP)
		ret = -1;
	if (ret) {
		row->refused++;
		if (plan.why && !expected(plan.why)) {
			fail("%s: refused: %s", name, plan.why);
			dump("code", code + BEFORE, insn.len);
		}
		if (!plan.why || plan.kind == ST_KIND_NOP || !st_x86_immovable(&insn, code + BEFORE, true, true))
			row->refused--, row->made--;
		return;
	}
	memset(buf, 0xa5, sizeof(buf));
	ret = st_arch_stub(&plan, &stub);
	if (ret == -ERANGE && which == FAR && (insn.rip || insn.class == ST_X86_XBEGIN)) {
		row->made--;
		return;
	}
	if (ret || stub.size > ST_STUB_MAX || stub.map[0] != stub.resume) {
		fail("%s: stub: %d, %s", name, ret, plan.why);
		return;
	}
	for (unsigned int i = stub.size; i < sizeof(buf); i++)
		if (buf[i] != 0xa5)
			fail("%s: wrote behind its end", name);
	if (broken)
		buf[stub.resume + below(insn.len)] ^= 1 << below(8);
	/* What only our decoder takes for an instruction is copied like any other. */
	if (z_decode(&z, code + BEFORE, insn.len) < 0) {
		row->made--;
		return;
	}
	differs = z_differs(code + BEFORE, insn.len, plan.addr, buf + stub.map[0], stub.size - stub.map[0],
			    stub.at + stub.map[0], plan.inside ? plan.addr : stub.at + stub.resume);
	row->compared++;
	transactions += insn.class == ST_X86_XBEGIN;
	syscalls += insn.class == ST_X86_SYSCALL;
	if (differs) {
		row->noticed++;
		fail("%s: moved, it is not the same: %s", name, differs);
		dump("code", code + BEFORE, insn.len);
		dump("copy", buf + stub.map[0], 32);
	}
	if (!executable())
		return;
	if (sigsetjmp(abandoned, 1) == 0) {
		execute(row, &plan, &stub, which == FAR, name);
	} else {
		row->noticed_run++;
		open_emulator();
	}
}

/*
 * Rows that exist and that nothing executes: system instructions, and those that the emulator does not have. As ranges
 * of opcodes.
 */
static bool is_executed(size_t map, unsigned int op)
{
	static const struct {
		uint8_t map, from, to;
	} not[] = {
		{ 0, 0x6c, 0x6f }, { 0, 0xe4, 0xe7 }, { 0, 0xec, 0xef }, /* ins, outs, in, out */
		{ 0, 0x8e, 0x8e }, { 0, 0xfa, 0xfb },			 /* mov to a segment, cli, sti */
		{ 1, 0x00, 0x03 }, { 1, 0x05, 0x09 },			 /* segments, syscall, caches */
		{ 1, 0x20, 0x23 }, { 1, 0x30, 0x35 }, { 1, 0x37, 0x37 }, /* mov cr and dr, wrmsr and so on */
		{ 1, 0xa1, 0xa1 }, { 1, 0xa6, 0xa7 }, { 1, 0xa9, 0xaa }, /* pop fs and gs, PadLock, rsm */
		{ 1, 0xb2, 0xb2 }, { 1, 0xb4, 0xb5 }, { 1, 0xb8, 0xb8 }, /* lss, lfs, lgs, popcnt */
		{ 2, 0x80, 0x82 }, { 2, 0xc8, 0xcf }, { 2, 0xd8, 0xd8 }, /* invept, SHA, GFNI, key locker */
		{ 2, 0xf5, 0xf5 }, { 2, 0xf8, 0xfb },			 /* wruss, movdir64b */
		{ 3, 0x44, 0x44 }, { 3, 0xcc, 0xcf }, { 3, 0xf0, 0xf0 }, /* pclmulqdq, SHA, GFNI, hreset */
	};

	if (map > 3)
		return false;
	for (unsigned int i = 0; i < sizeof(not) / sizeof(not[0]); i++)
		if (not[i].map == map && op >= not[i].from && op <= not[i].to)
			return false;
	return true;
}

/* Nothing of the row was moved or refused yet, or nothing executed that should be. */
static bool unseen(const struct row *r, size_t map, unsigned int op)
{
	return r->compared ? !r->executed && is_executed(map, op) : !r->refused;
}

int main(int argc, char **argv)
{
	unsigned long rounds = 20, made = 0, compared = 0, executed = 0;
	unsigned int missed = 0, nr = 0, nr_executed = 0, nr_refused = 0;
	char name[16];

	if (argc > 1 && !strcmp(argv[1], "--break"))
		broken = true;
	else if (argc > 1)
		rounds = strtoul(argv[1], NULL, 0);
	if (argc > 2)
		seed += strtoull(argv[2], NULL, 0);

	signal(SIGABRT, aborted);
	open_emulator();
	for (size_t map = 0; map < MAPS; map++)
		for (unsigned int op = 0; op < 256; op++) {
			struct row *r = &rows[map][op];
			unsigned long tries = 0, decoded = 0, n = rounds;

			/* the rows that are not just copied */
			if (!map && (op == 0xff || op >> 4 == 0xe || (op & 0xfe) == 0xc2))
				n *= op == 0xff ? 60 : 4;
			if (map == 1 && op == 0x05)
				n *= 10;
			while ((r->made < n && tries < n * 40) || (decoded && unseen(r, map, op) && tries < n * 400)) {
				tries++;
				if (!make(map, op))
					continue;
				decoded++;
				check(map, op);
			}
			if (!decoded || (map > 3 && !r->compared))
				continue;
			row_name(name, map, op);
			nr++;
			nr_executed += r->executed != 0;
			nr_refused += r->refused && !r->compared;
			made += r->made;
			compared += r->compared;
			executed += r->executed;
			if (getenv("SHOW_ROWS"))
				printf("%s: %lu made, %lu compared, %lu executed, %lu refused; noticed %lu %lu\n", name, r->made,
				       r->compared, r->executed, r->refused, r->noticed, r->noticed_run);
			if (!r->compared && !r->refused) {
				fprintf(stderr, "%s: no instruction of this row was moved, nor refused\n", name);
				missed++;
			}
			if (!broken && r->compared && !r->executed && is_executed(map, op)) {
				fprintf(stderr, "%s: no instruction of this row was executed\n", name);
				missed++;
			}
			if (broken && ((r->compared && !r->noticed) || (r->executed > 9 && !r->noticed_run))) {
				fprintf(stderr, "%s: nobody noticed\n", name);
				missed++;
			}
		}
	for (unsigned int i = 0; i < 2 * WAYS && !broken; i++)
		if (!ways[i / WAYS][i % WAYS] && !(i / WAYS && strstr(way_names[i % WAYS], "rip"))) {
			fprintf(stderr, "%s%s: never gone\n", way_names[i % WAYS], i / WAYS ? ", far" : "");
			missed++;
		}
	if (!transactions || !syscalls) {
		fprintf(stderr, "xbegin, or syscall: never moved\n");
		missed++;
	}
	printf("%u rows, %u of them executed, %u always refused; %lu instructions made, %lu compared, %lu executed\n", nr,
	       nr_executed, nr_refused, made, compared, executed);
	if (broken) {
		printf("one bit wrong: %u failures, not noticed in %u rows\n", failures, missed);
		return missed != 0;
	}
	for (unsigned int i = 0; i < WAYS; i++)
		printf("%-16s %lu near, %lu far\n", way_names[i], ways[0][i], ways[1][i]);
	printf("%u rows missed, %u failures\n", missed, failures);
	return failures || missed;
}
