// SPDX-License-Identifier: GPL-2.0-only
/*
 * AArch64, runs on any host: every word of the text of real files.
 *
 *	corpus FILE...			a plan, and a stub, for each instruction of each function,
 *					by symbols and by .eh_frame. If the file has mapping symbols
 *					($x, $d: ELF for the Arm 64-bit Architecture, 5.5.7), what
 *					they say is data must be refused
 *	corpus --capstone N FILE...	each word is what Capstone says it is: branch, call, return,
 *					relative to pc, and where to; or no instruction. Also of N
 *					random words
 *
 * The counts are printed by kind and reason. A plan must keep what arch.h promises. What Capstone
 * does not know, or says otherwise, is in a table here with the evidence; anything else fails.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/arch.h"
#include "engine/arch/arm64/decode.h"
#include "engine/arch/arm64/relocate.h"

#ifdef HAVE_CAPSTONE
#include <capstone/capstone.h>
#endif

/* Bytes of a function that is looked at in part only, without --long */
#define LONG 8192

static unsigned long failures;

struct file {
	const char *path;
	const uint8_t *bytes;
	size_t size;
	const Elf64_Shdr *sections;
	unsigned int n;
};

static bool is_text(const struct file *f, unsigned int i)
{
	return f->sections[i].sh_flags & SHF_EXECINSTR && f->sections[i].sh_type == SHT_PROGBITS;
}

static bool file_open(struct file *f, const char *path)
{
	int fd = open(path, O_RDONLY);
	const Elf64_Ehdr *eh;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return false;
	f->path = path;
	f->size = (size_t)st.st_size;
	f->bytes = mmap(NULL, f->size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (f->bytes == MAP_FAILED)
		return false;
	eh = (const Elf64_Ehdr *)f->bytes;
	if (memcmp(eh->e_ident, ELFMAG, 4) || eh->e_machine != EM_AARCH64)
		return false;
	f->sections = (const Elf64_Shdr *)(f->bytes + eh->e_shoff);
	f->n = eh->e_shnum;
	return true;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

/* ---- plans ---- */

static struct count {
	const char *what;
	unsigned long n;
} counts[64];

static void count(const char *what)
{
	struct count *c = counts;

	while (c->what && strcmp(c->what, what))
		c++;
	c->what = what;
	c->n++;
}

static void wrong(const struct st_plan *plan, uint32_t insn, const char *what)
{
	if (failures++ < 20)
		printf("FAIL: %lx (%08x): %s%s%s\n", plan->addr, insn, what, plan->why ? ": " : "",
		       plan->why ? plan->why : "");
}

static void check_stub(struct st_plan *plan, uint32_t insn)
{
	uint8_t buf[ST_STUB_MAX], jump[ST_JUMP_MAX];
	struct st_stub stub = {.buf = buf,
			       .at = (plan->addr + 0x4000000) & ~15ul,
			       .site = 8,
			       .entry = 16,
			       .ret = 32};
	int ret = st_arch_stub(plan, &stub);

	if (ret == -ERANGE && plan->why && plan->inside)
		return count("    (out of a call's reach, 64 MiB away)");
	if (ret)
		return wrong(plan, insn, "no stub");
	if (stub.size > ST_STUB_MAX || !stub.resume || stub.map[0] < stub.resume ||
	    !stub.after != plan->inside)
		wrong(plan, insn, "a wrong stub");
	if (st_arch_jump(plan, stub.at, jump))
		return wrong(plan, insn, "no jump");
	if (plan->kind == ST_KIND_BREAKPOINT ? (get32(jump) & 0xffe0001f) != 0xd4200000
					     : get32(jump) >> 26 != 5)
		wrong(plan, insn, "a wrong jump");
}

struct function {
	uint64_t addr, size;
};

static struct function *functions;
static size_t nfunctions;

static void add_function(uint64_t addr, uint64_t size)
{
	if (!(nfunctions & (nfunctions + 1)))
		functions = realloc(functions, (2 * nfunctions + 1) * sizeof(*functions));
	if (!functions)
		abort();
	functions[nfunctions++] = (struct function){addr, size};
}

static int by_addr(const void *a_, const void *b_)
{
	const struct function *a = a_, *b = b_;

	return a->addr != b->addr ? (a->addr > b->addr) - (a->addr < b->addr)
				  : (a->size < b->size) - (a->size > b->size);
}

static const char *section_name(const struct file *f, unsigned int i)
{
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)f->bytes;

	return (const char *)f->bytes + f->sections[eh->e_shstrndx].sh_offset +
	       f->sections[i].sh_name;
}

/* As GCC writes it: the start relative to its own place in 4 bytes, then the length in 4. */
static void add_frames(const struct file *f, const Elf64_Shdr *sh)
{
	const uint8_t *p = f->bytes + sh->sh_offset;
	uint32_t len;

	for (size_t at = 0; at + 16 <= sh->sh_size && (len = get32(p + at)) != 0; at += len + 4) {
		if (get32(p + at + 4))
			add_function(sh->sh_addr + at + 8 + (uint64_t)(int32_t)get32(p + at + 8),
				     get32(p + at + 12));
	}
}

/* $x and $d: size is 1 where data begin. In the order of addresses. */
static struct function *mapping;
static size_t nmapping;

static void add_mapping(const char *name, uint64_t addr)
{
	if (name[0] != '$' || (name[1] != 'x' && name[1] != 'd') || (name[2] && name[2] != '.'))
		return;
	if (!(nmapping & (nmapping + 1)))
		mapping = realloc(mapping, (2 * nmapping + 1) * sizeof(*mapping));
	if (!mapping)
		abort();
	mapping[nmapping++] = (struct function){addr, name[1] == 'd'};
}

static bool is_data(uint64_t addr)
{
	size_t lo = 0, hi = nmapping;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (mapping[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && mapping[lo - 1].size;
}

static void find_functions(const struct file *f)
{
	nfunctions = 0;
	nmapping = 0;
	for (unsigned int i = 0; i < f->n; i++) {
		const Elf64_Shdr *sh = &f->sections[i];
		const Elf64_Sym *s = (const Elf64_Sym *)(f->bytes + sh->sh_offset);

		if (!strcmp(section_name(f, i), ".eh_frame"))
			add_frames(f, sh);
		if (sh->sh_type != SHT_SYMTAB && sh->sh_type != SHT_DYNSYM)
			continue;
		for (size_t n = sh->sh_size / sizeof(*s); n; n--, s++) {
			if (s->st_shndx < f->n && is_text(f, s->st_shndx))
				add_mapping((const char *)f->bytes +
						    f->sections[sh->sh_link].sh_offset + s->st_name,
					    s->st_value);
			if (ELF64_ST_TYPE(s->st_info) == STT_FUNC ||
			    ELF64_ST_TYPE(s->st_info) == STT_GNU_IFUNC)
				add_function(s->st_value, s->st_size);
		}
	}
	qsort(functions, nfunctions, sizeof(*functions), by_addr);
	/* where both are at one address, there is no data in between */
	qsort(mapping, nmapping, sizeof(*mapping), by_addr);
}

static unsigned long data_refused;

static void plan_one(const uint8_t *code, unsigned long func, size_t size, size_t off)
{
	static const char *const kinds[] = {"NOP", "moved", "breakpoint"};
	uint32_t insn = get32(code + off);
	struct st_plan plan;
	int ret;

	ret = st_arch_plan_at(&plan, code, func, size, size, off, ST_PLAN_ANY, ST_ISA_NATIVE);
	if (ret) {
		if (ret != -ENOTSUP || plan.kind != ST_KIND_NO || !plan.why)
			wrong(&plan, insn, "refused wrongly");
		data_refused += is_data(plan.addr);
		return count(plan.why);
	}
	/* OpenSSL writes an instruction that assemblers did not know as data, at an entry */
	if (off && is_data(func + off))
		wrong(&plan, insn, "it is data");
	count(kinds[plan.kind]);
	insn = get32(plan.orig);
	if (plan.len != 4 || plan.jump != 4 || plan.insns != 1 || plan.offs[0] ||
	    plan.func != func || plan.inside != (off != 0) || plan.isa != ST_ISA_NATIVE ||
	    plan.why || plan.addr & 3 || plan.addr < func + off ||
	    plan.addr > func + off + (off ? 0 : 4) || insn != get32(code + (plan.addr - func)))
		wrong(&plan, insn, "a wrong plan");
	if ((insn & 0xffffff3f) == 0xd503241f && plan.kind != ST_KIND_BREAKPOINT)
		wrong(&plan, insn, "a landing pad would be lost");
	if (!st_a64_allocated(insn))
		wrong(&plan, insn, "not an instruction");
	check_stub(&plan, insn);
}

static const uint8_t *text_at(const struct file *f, uint64_t addr, uint64_t size)
{
	for (unsigned int i = 0; i < f->n; i++) {
		const Elf64_Shdr *sh = &f->sections[i];

		if (is_text(f, i) && addr >= sh->sh_addr &&
		    addr + size <= sh->sh_addr + sh->sh_size)
			return f->bytes + sh->sh_offset + (addr - sh->sh_addr);
	}
	return NULL;
}

static void plans(const struct file *f)
{
	unsigned long n = 0, instructions = 0, left_out = 0, before = failures;
	size_t step;

	memset(counts, 0, sizeof(counts));
	data_refused = 0;
	find_functions(f);
	for (size_t i = 0; i < nfunctions; i++) {
		const struct function *fn = &functions[i];
		const uint8_t *code = text_at(f, fn->addr, fn->size);

		if (!code || fn->size < 4 || (i && fn[-1].addr == fn->addr))
			continue;
		n++;
		/* the time a plan takes grows with its function */
		step = fn->size > LONG && !getenv("SIDETRACK_LONG") ? 8 : 1;
		for (size_t off = 0; off + 4 <= fn->size;
		     off += off ? 4 * step : 4 * (1 + n % step)) {
			plan_one(code, fn->addr, fn->size, off);
			instructions++;
		}
		left_out += step > 1;
	}
	printf("%s: %lu functions, %lu instructions\n", f->path, n, instructions);
	for (struct count *c = counts; c->what; c++)
		printf("  %8lu %s\n", c->n, c->what);
	if (left_out)
		printf("  (of %lu functions longer than %d bytes, each eighth instruction)\n",
		       left_out, LONG);
	if (nmapping)
		printf("  %8lu words of them are data, by %zu mapping symbols\n", data_refused,
		       nmapping);
	if (!n || failures > before)
		printf("  FAILED\n");
	failures += !n;
}

/* ---- Capstone ---- */

#ifdef HAVE_CAPSTONE
enum class {
	NONE, /* no instruction */
	PLAIN,
	ADR,	 /* adr, adrp */
	LITERAL, /* loads and prefetches */
	JUMP,	 /* b */
	BRANCH,	 /* conditional */
	CALL,
	COMPUTED, /* br, braa */
	COMPUTED_CALL,
	RETURN,
	TRAP, /* brk, hlt, hvc, smc */
};

static const char *const names[] = {"no instruction", "plain",	"adr",	"literal",
				    "jump",	      "branch", "call", "computed jump",
				    "computed call",  "return", "trap"};

static enum class our_class(uint32_t insn, uint64_t pc, uint64_t *to) {
		*to = 0; if (!st_a64_allocated(insn)) return (insn & 0xffe0001e) == 0xd4000002 ||
					 (insn & 0xffe0001f) == 0xd4400000
				 ? TRAP
				 : NONE;
	switch (st_a64_row(insn)->form){
		case ST_A64_ADR : *to = st_a64_adr(insn, pc); return ADR;
		case ST_A64_LOAD : case ST_A64_LOADV : st_a64_literal_load(insn, pc, to);
		return LITERAL;
		case ST_A64_B : st_a64_target(insn, pc, to);
		return JUMP;
		case ST_A64_COND : case ST_A64_TEST : st_a64_target(insn, pc, to);
		return BRANCH;
		case ST_A64_BL : st_a64_call(insn, pc, to);
		return CALL;
		case ST_A64_BLR : case ST_A64_LINK : return COMPUTED_CALL;
		case ST_A64_LEAVE : return (insn & 0xffe00000) == 0xd6400000 ? RETURN : COMPUTED;
		case ST_A64_TRAP : return TRAP;
	}
return PLAIN;
}

static enum class their_class(const cs_insn *in, uint64_t *to) {
	const cs_arm64 *a = &in->detail->arm64;

	*to = 0;
	if (a->op_count && a->operands[a->op_count - 1].type ==
				   ARM64_OP_IMM) *to = (uint64_t)a->operands[a->op_count - 1].imm;
	switch (in->id){
		case ARM64_INS_ADR : case ARM64_INS_ADRP : return ADR;
		case ARM64_INS_B : return a->cc && a->cc != ARM64_CC_INVALID ? BRANCH : JUMP;
		case ARM64_INS_CBZ : case ARM64_INS_CBNZ : case ARM64_INS_TBZ : case
		ARM64_INS_TBNZ : return BRANCH;
		case ARM64_INS_BL : return CALL;
		case ARM64_INS_BLR : *to = 0;
		return COMPUTED_CALL;
		case ARM64_INS_BR : *to = 0;
		return COMPUTED;
		case ARM64_INS_RET : *to = 0;
		return RETURN;
		case ARM64_INS_BRK : case ARM64_INS_HLT : case ARM64_INS_HVC : case
		ARM64_INS_SMC : *to = 0;
		return TRAP;
		case ARM64_INS_LDR : case ARM64_INS_LDRSW : case ARM64_INS_PRFM :
			if (a->op_count == 2 && a->operands[1].type == ARM64_OP_IMM) return LITERAL;
		break;
	}
*to = 0;
return PLAIN;
}

/*
 * Where Capstone 4.0.2 and we differ. Evidence: what GNU objdump 2.40 prints for a word of the row.
 * Nothing in here is taken for another kind of branch, or for another target, than Capstone says.
 */
static struct gap {
	enum class ours, theirs;
	uint32_t mask, value;
	const char *what;
	unsigned long n;
} gaps[] = {
	/* extensions that Capstone 4.0.2 lacks, all or part of them */
	{PLAIN, NONE, 0x3f200c00, 0x38200000, "FEAT_LSE, LRCPC: f8e00041 is ldaddal x0, x1, [x2]",
	 0},
	{PLAIN, NONE, 0x3fa07c00, 0x08a07c00, "FEAT_LSE: c8e0fc41 is casal x0, x1, [x2]", 0},
	{PLAIN, NONE, 0xbfa07c00, 0x08207c00, "FEAT_LSE: 48207c82 is casp x0, x1, x2, x3, [x4]", 0},
	{PLAIN, NONE, 0xff200000, 0xd9200000, "FEAT_MTE: d9600000 is ldg x0, [x0]", 0},
	{PLAIN, NONE, 0xbfc0c000, 0x91800000, "FEAT_MTE: 91810400 is addg x0, x0, #0x10, #0x1", 0},
	{PLAIN, NONE, 0xfe400000, 0x68000000, "FEAT_MTE: 69000000 is stgp x0, x0, [x0]", 0},
	{PLAIN, NONE, 0xdfe0c000, 0x9ac00000, "FEAT_MTE: 9adf1000 is irg x0, x0", 0},
	{PLAIN, NONE, 0xffe0fc00, 0x9ac03000, "FEAT_PAuth: 9ac23020 is pacga x0, x1, x2", 0},
	{PLAIN, NONE, 0xffff0000, 0xdac10000, "FEAT_PAuth: dac10020 is pacia x0, x1", 0},
	{PLAIN, NONE, 0xff200400, 0xf8200400, "FEAT_PAuth: f8200400 is ldraa x0, [x0]", 0},
	{COMPUTED, NONE, 0xfedff800, 0xd61f0800, "FEAT_PAuth: d71f0801 is braa x0, x1", 0},
	{COMPUTED_CALL, NONE, 0xfedff800, 0xd63f0800 & 0xfedff800,
	 "FEAT_PAuth: d73f0801 is blraa x0, x1", 0},
	{RETURN, NONE, 0xfffffbff, 0xd65f0bff, "FEAT_PAuth: d65f0bff is retaa", 0},
	{PLAIN, NONE, 0x3f200c00, 0x19000000, "FEAT_LRCPC2: 99400000 is ldapur w0, [x0]", 0},
	{PLAIN, NONE, 0x3b200c00, 0x19000400, "FEAT_MOPS: 1d010440 is cpyp [x0]!, [x1]!, x2!", 0},
	{PLAIN, NONE, 0xffe07c10, 0xba000400, "FEAT_FlagM: ba000400 is rmif x0, #0, #0", 0},
	{PLAIN, NONE, 0xffffbc1f, 0x3a00080d, "FEAT_FlagM: 3a00080d is setf8 w0", 0},
	{BRANCH, NONE, 0xff000010, 0x54000010, "FEAT_HBC: 54000010 is bc.eq", 0},
	{PLAIN, NONE, 0x7ff00000, 0x11c00000, "FEAT_CSSC: 91c00000 is smax x0, x0, #0", 0},
	{PLAIN, NONE, 0x7fe0f000, 0x1ac06000, "FEAT_CSSC: 9ac26020 is smax x0, x1, x2", 0},
	{PLAIN, NONE, 0x7ffff800, 0x5ac01800, "FEAT_CSSC: dac01800 is ctz x0, x0", 0},
	{PLAIN, NONE, 0x7ffffc00, 0x5ac02000, "FEAT_CSSC: dac02000 is abs x0, x0", 0},
	{PLAIN, NONE, 0xffffffc0, 0xd5031000, "FEAT_WFxT: d5031000 is wfet x0", 0},
	{PLAIN, NONE, 0x1e000000, 0x04000000,
	 "SVE: 2598e3e0 is ptrue p0.s; what is not allocated, too", 0},
	{PLAIN, NONE, 0x9e000000, 0x80000000, "SME: 80800000 is fmopa; what is not allocated, too",
	 0},
	/* groups that we take as a whole: only whether a word may be data depends on it */
	{PLAIN, NONE, 0x0e000000, 0x0e000000,
	 "FP/SIMD: ce608000 is sha512h; what is not allocated, too", 0},
	{PLAIN, NONE, 0xbe000000, 0x0c000000, "SIMD loads and stores: what is not allocated", 0},
	{PLAIN, NONE, 0x3e000000, 0x28000000, "pairs without allocation: what is not allocated", 0},
	{PLAIN, NONE, 0x3e000000, 0x2c000000, "pairs without allocation: what is not allocated", 0},
	/* a base that is also loaded: 785e9af7 is ldtrh w23, [x23]; with writeback unpredictable */
	{PLAIN, NONE, 0x3b200c00, 0x38000800,
	 "ldtr to its own base: 785e9af7 is ldtrh w23, [x23, #-23]", 0},
	{PLAIN, NONE, 0x3b200400, 0x38000400, "writeback to what is loaded: unpredictable", 0},
	{PLAIN, NONE, 0xfff8f01f, 0xd500401f,
	 "msr of a pstate field: d503405f is msr, unknown field", 0},
	{PLAIN, NONE, 0xfffff01f, 0xd503301f,
	 "barriers: d50330ff is sb; what is not allocated, too", 0},
	{PLAIN, NONE, 0x3f000000, 0x08000000, "exclusive: 08400000 has bits set that should be", 0},
	/* what is never in code that we want to see, or should have other bits: we say no
	   instruction */
	{NONE, PLAIN, 0x3fa00000, 0x08800000, "ldar, stlr whose Rs and Rt2 are not all ones", 0},
	{NONE, PLAIN, 0xffd00000, 0xd5000000,
	 "d5031cca is msr S0_3_..., printed as s3_3 by Capstone", 0},
	{NONE, PLAIN, 0xffe0001c, 0xd4a00000, "dcps1: for debuggers", 0},
};

static void compare_word(csh cs, cs_insn *in, uint64_t pc, uint32_t insn, unsigned long *differ)
{
	uint64_t ours, theirs = 0, at = pc;
	enum class mine = our_class(insn, pc, &ours), his = NONE;
	const uint8_t *code = (const uint8_t *)&insn;
	size_t left = 4;

	if (cs_disasm_iter(cs, &code, &left, &at, in))
		his = their_class(in, &theirs);
	if (mine == his && ours == theirs)
		return;
	++*differ;
	for (unsigned int i = 0; i < sizeof(gaps) / sizeof(gaps[0]); i++) {
		struct gap *g = &gaps[i];

		if (g->ours == mine && g->theirs == his && (insn & g->mask) == g->value) {
			g->n++;
			return;
		}
	}
	if (failures++ < 20)
		printf("FAIL: %lx %08x: %s %lx, Capstone: %s %lx %s %s\n", pc, insn, names[mine],
		       ours, names[his], theirs, his ? in->mnemonic : "", his ? in->op_str : "");
}

static void compare_all(const struct file *f, unsigned long random)
{
	unsigned long words = 0, differ = 0;
	uint64_t z = 0x9e3779b97f4a7c15ull;
	cs_insn *in;
	csh cs;

	for (unsigned int i = 0; i < sizeof(gaps) / sizeof(gaps[0]); i++)
		gaps[i].n = 0;
	if (cs_open(CS_ARCH_ARM64, CS_MODE_ARM, &cs))
		exit(1);
	cs_option(cs, CS_OPT_DETAIL, CS_OPT_ON);
	in = cs_malloc(cs);
	for (unsigned int i = 0; f && i < f->n; i++)
		for (size_t off = 0; is_text(f, i) && off + 4 <= f->sections[i].sh_size;
		     off += 4, words++)
			compare_word(cs, in, f->sections[i].sh_addr + off,
				     get32(f->bytes + f->sections[i].sh_offset + off), &differ);
	for (; random; random--, words++) {
		z = z * 6364136223846793005ull + 1442695040888963407ull;
		compare_word(cs, in, 0x40000000, (uint32_t)(z >> 32), &differ);
	}
	cs_free(in, 1);
	cs_close(&cs);
	printf("%s: %lu words, %lu not as Capstone says\n", f ? f->path : "random", words, differ);
	for (unsigned int i = 0; i < sizeof(gaps) / sizeof(gaps[0]); i++)
		if (gaps[i].n)
			printf("  %8lu %s\n", gaps[i].n, gaps[i].what);
	failures += !words;
}
#else
static void compare_all(const struct file *f, unsigned long random)
{
	(void)f;
	(void)random;
}
#endif

int main(int argc, char **argv)
{
	bool capstone = argc > 2 && !strcmp(argv[1], "--capstone");

	for (int i = capstone ? 3 : 1; i < argc; i++) {
		struct file f;

		if (!file_open(&f, argv[i])) {
			printf("FAIL: %s can't be read\n", argv[i]);
			failures++;
			continue;
		}
		if (capstone)
			compare_all(&f, 0);
		else
			plans(&f);
		munmap((void *)f.bytes, f.size);
	}
	if (capstone)
		compare_all(NULL, strtoul(argv[2], NULL, 0));
	free(functions);
	free(mapping);
	printf("%lu failures\n", failures);
	return failures != 0;
}
