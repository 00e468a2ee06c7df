// SPDX-License-Identifier: GPL-2.0-only
/*
 * All code of real 32-bit ARM files that is reached from the entries of functions: each instruction
 *decoded as Capstone does, and planned as a site. Runs on the build machine.
 *
 *	corpus [--verbose] [--debug FOLDER] FILE...
 *
 * Functions are those with a symbol, those that .ARM.exidx names, what data points to with a Thumb
 *bit, and what is called; each ends where the next begins. Fails where our decoder and Capstone do
 *not agree on length, class, target or use of pc, or where a plan or its stub is not what
 *engine/arch.h promises, or where a separate debug file, found by its build-id in FOLDER, has a
 *mapping symbol that says that an instruction is data. Prints what the plans are.
 */
#include <capstone/capstone.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Capstone has an arm_insn of its own */
#define arm_insn st_arm_insn
#include "engine/arch/arm/arm.h"

#define STARTS_MAX 200000u
#define SAMPLE 211 /* one plan of so many is made the long way, too */

enum { UNKNOWN_STATE, A32, T32 };

static struct {
	const uint8_t *file;
	size_t length;
	const Elf32_Shdr *text; /* of the section looked at */
} elf;

#define PLANS_MAX 200000u
static struct st_plan plan[PLANS_MAX];
static size_t planned, swept, swept_of, swept_entries;
static char *leads; /* a branch that is one leads to this halfword of the section */

static csh handle[2];
static uint32_t start[STARTS_MAX];
static uint8_t state[STARTS_MAX];
static unsigned int starts;
static bool verbose;
static const char *debug_folder;

static unsigned long functions, lost, instructions, bytes, mappings, tables, computed, failed,
	checks;
static unsigned long kinds[2][2][ST_KIND_NO + 1];

static struct {
	const char *why;
	unsigned long n;
} reasons[2][64]; /* why not at all, why not by a jump */

static void count_reason(unsigned int which, const char *why)
{
	unsigned int i;

	for (i = 0; i < 63 && reasons[which][i].why && strcmp(reasons[which][i].why, why); i++)
		;
	reasons[which][i].why = why;
	reasons[which][i].n++;
}

static struct arm_walk walk;

/* ---- Capstone ---- */

struct theirs {
	unsigned int size;
	enum arm_flow flow;
	bool falls;
	uint32_t to;
	bool uses_pc;
};

static bool writes(const cs_insn *in, unsigned int reg)
{
	cs_regs r, w;
	uint8_t nr, nw, i;

	if (cs_regs_access(handle[0], in, r, &nr, w, &nw))
		return false;
	for (i = 0; i < nw; i++)
		if (w[i] == reg)
			return true;
	return false;
}

static void classify(const cs_insn *in, bool thumb, bool in_it, struct theirs *t)
{
	const cs_arm *a = &in->detail->arm;
	unsigned int i;

	t->size = in->size;
	t->flow = ARM_NEXT;
	t->falls = true;
	t->to = 0;
	t->uses_pc = false;
	for (i = 0; i < a->op_count; i++) {
		const cs_arm_op *op = &a->operands[i];

		if (op->type == ARM_OP_MEM &&
		    (op->mem.base == ARM_REG_PC || op->mem.index == ARM_REG_PC))
			t->uses_pc = true;
		/* the first operand of all that has one is what it writes, or the first of a list
		 * that it loads */
		if (op->type == ARM_OP_REG && op->reg == ARM_REG_PC && (op->access & CS_AC_READ))
			t->uses_pc = true;
	}
	switch (in->id) {
	case ARM_INS_B:
		t->flow = ARM_BRANCH;
		t->to = (uint32_t)a->operands[0].imm | thumb;
		break;
	case ARM_INS_BL:
		t->flow = ARM_CALL;
		t->to = (uint32_t)a->operands[0].imm | thumb;
		break;
	case ARM_INS_BLX:
		t->flow = a->operands[0].type == ARM_OP_IMM ? ARM_CALL : ARM_CALL_REG;
		if (t->flow == ARM_CALL)
			t->to = (uint32_t)a->operands[0].imm | !thumb;
		break;
	case ARM_INS_CBZ:
	case ARM_INS_CBNZ:
		t->flow = ARM_BRANCH;
		t->to = (uint32_t)a->operands[1].imm | thumb;
		break;
	case ARM_INS_BX:
		t->flow = a->operands[0].reg == ARM_REG_LR   ? ARM_RETURN
			  : a->operands[0].reg == ARM_REG_PC ? ARM_BRANCH
							     : ARM_JUMP;
		if (t->flow == ARM_BRANCH)
			t->to = (uint32_t)in->address + (thumb ? 4 : 8);
		break;
	case ARM_INS_TBB:
	case ARM_INS_TBH:
		t->flow = a->operands[0].mem.base == ARM_REG_PC ? ARM_TABLE : ARM_JUMP;
		break;
	case ARM_INS_ADR: /* of T16; pc is not among its operands */
		t->uses_pc = true;
		break;
	case ARM_INS_UDF:
	case ARM_INS_TRAP:
	case ARM_INS_BKPT:
		t->flow = ARM_STOP;
		t->falls = false;
		break;
	default:
		if (!writes(in, ARM_REG_PC))
			break;
		t->flow = ARM_JUMP;
		if ((in->id == ARM_INS_MOV && a->operands[1].reg == ARM_REG_LR) ||
		    in->id == ARM_INS_POP)
			t->flow = ARM_RETURN;
		if ((in->id == ARM_INS_LDR && a->operands[1].mem.base == ARM_REG_SP) ||
		    (in->id == ARM_INS_LDM && a->operands[0].reg == ARM_REG_SP))
			t->flow = ARM_RETURN;
		if (in->id == ARM_INS_LDM && a->operands[0].reg == ARM_REG_R11 && !thumb)
			t->flow = ARM_RETURN;
		if (!thumb && t->uses_pc &&
		    (in->id == ARM_INS_ADD || (in->id == ARM_INS_LDR && a->operands[1].mem.index)))
			t->flow = ARM_TABLE;
	}
	if (t->flow == ARM_BRANCH || t->flow == ARM_JUMP || t->flow == ARM_RETURN ||
	    t->flow == ARM_TABLE)
		t->falls = in_it || (a->cc != ARM_CC_AL && a->cc != ARM_CC_INVALID) ||
			   in->id == ARM_INS_CBZ || in->id == ARM_INS_CBNZ;
}

static void complain(const cs_insn *in, const struct arm_insn *i, const char *what,
		     unsigned int ours, unsigned int theirs)
{
	failed++;
	if (failed < 60 || verbose)
		printf("FAIL: %x %0*x %s %s: %s: ours %x, theirs %x\n", i->addr, i->size * 2,
		       i->bits, in ? in->mnemonic : "", in ? in->op_str : "", what, ours, theirs);
}

/* The instructions from @off on, @n of them: one, or an IT block. */
static void compare(const struct arm_walk *w, uint32_t off, unsigned int n)
{
	csh h = handle[w->thumb];
	cs_insn *in;
	size_t got = cs_disasm(h, w->code + off, w->size - off, w->func + off, n, &in), k;

	for (k = 0; k < n; k++) {
		unsigned int left;
		struct arm_insn i;
		struct theirs t;

		if (off >= w->size || !arm_walk_insn(w, off))
			break;
		arm_walk_decode(w, off, &i, &left);
		instructions++;
		bytes += i.size;
		if (k >= got) {
			complain(NULL, &i, "only we know it", i.flow, 0);
			off += i.size;
			continue;
		}
		classify(&in[k], w->thumb, i.in_it, &t);
		checks++;
		if (t.size != i.size)
			complain(&in[k], &i, "length", i.size, t.size);
		else if (t.flow != i.flow)
			complain(&in[k], &i, "class", i.flow, t.flow);
		else if (t.to != i.to)
			complain(&in[k], &i, "target", i.to, t.to);
		else if (t.falls != i.falls)
			complain(&in[k], &i, "goes on", i.falls, t.falls);
		else if ((i.flow == ARM_NEXT || i.flow == ARM_TABLE || i.flow == ARM_JUMP ||
			  i.flow == ARM_RETURN) &&
			 !i.stores_exclusive && t.uses_pc == i.copied)
			complain(&in[k], &i, "uses pc", !i.copied, t.uses_pc);
		off += i.size;
	}
	if (got)
		cs_free(in, got);
}

/* ---- plans ---- */

static void broken(const struct st_plan *p, const char *what)
{
	failed++;
	if (failed < 60 || verbose)
		printf("FAIL: plan of %lx in %lx: kind %d len %u jump %u insns %u: %s\n", p->addr,
		       p->func, p->kind, p->len, p->jump, p->insns, what);
}

static bool same(const struct st_plan *a, const struct st_plan *b)
{
	return a->func == b->func && a->addr == b->addr && a->isa == b->isa && a->kind == b->kind &&
	       a->inside == b->inside && a->live == b->live && a->falls == b->falls &&
	       a->it == b->it && a->len == b->len && a->jump == b->jump && a->insns == b->insns &&
	       !memcmp(a->offs, b->offs, sizeof(a->offs)) &&
	       !memcmp(a->orig, b->orig, sizeof(a->orig)) && a->why == b->why;
}

static void check_plan(struct st_plan *p, const struct arm_walk *w, size_t room, uint32_t off,
		       unsigned int flags)
{
	uint8_t buf[ST_STUB_MAX], jump[ST_JUMP_MAX];
	struct st_stub stub = {.buf = buf,
			       .at = (p->addr + 0x100000) & ~15ul,
			       .site = 0x1000,
			       .entry = 0x2000,
			       .ret = 0x3000};
	unsigned int i, end = 0;
	int ret;

	checks++;
	if (p->kind == ST_KIND_NO) {
		if (!p->why)
			broken(p, "no reason");
		return;
	}
	if (p->func != w->func || p->addr != w->func + off || p->inside != (off != 0))
		broken(p, "place");
	if (!p->insns || p->offs[0] || p->len < p->jump || p->len > room - off ||
	    p->len > ST_DISPLACED_MAX)
		broken(p, "length");
	if (memcmp(p->orig, w->code + off, p->len))
		broken(p, "bytes");
	for (i = 0; i < p->insns; i++) {
		unsigned int left;
		struct arm_insn insn;

		if (!arm_walk_insn(w, off + p->offs[i]) || (i && p->offs[i] != end)) {
			broken(p, "displaces what is no instruction");
			return;
		}
		arm_walk_decode(w, off + p->offs[i], &insn, &left);
		end = p->offs[i] + insn.size;
		if (i && p->offs[i] < p->jump && arm_walk_leads(w, off + p->offs[i]) &&
		    !(w->code[off + 1] == 0xbf))
			broken(p, "something leads into it");
		if (insn.stores_exclusive)
			broken(p, "a store-exclusive");
	}
	if (p->kind == ST_KIND_BREAKPOINT &&
	    (p->insns != 1 || p->live || p->jump != (w->thumb && !p->it ? 2 : end)))
		broken(p, "breakpoint");
	if (p->kind != ST_KIND_BREAKPOINT && (p->jump != 4 || p->it))
		broken(p, "jump");
	if (flags & ST_PLAN_STRICT && p->insns > 1 && w->code[off + 1] != 0xbf)
		broken(p, "several instructions");
	if (flags & ST_PLAN_BREAKPOINT && p->kind != ST_KIND_BREAKPOINT)
		broken(p, "not a breakpoint");
	ret = st_arch_stub(p, &stub);
	if (ret)
		broken(p, p->why ? p->why : "no stub");
	else if (stub.size > ST_STUB_MAX || stub.resume >= stub.size || stub.path ||
		 !stub.after != p->inside || stub.after >= stub.size || stub.at & 3)
		broken(p, "stub");
	for (i = 0; !ret && i < p->insns; i++)
		if (stub.map[i] < stub.resume || stub.map[i] >= stub.size)
			broken(p, "map");
	if (st_arch_jump(p, stub.at | w->thumb, jump))
		broken(p, "no jump");
	/* with the stub out of reach of the branches that were moved */
	stub.at = 0x70000000;
	if (p->kind == ST_KIND_BREAKPOINT && st_arch_stub(p, &stub))
		broken(p, "no stub far away");
}

static void plans(const struct arm_walk *w, size_t room, uint32_t off)
{
	static const unsigned int flags[] = {ST_PLAN_ANY, 0, ST_PLAN_ANY | ST_PLAN_STRICT,
					     ST_PLAN_BREAKPOINT};
	static unsigned long n;
	unsigned int i;

	for (i = 0; i < 2 + 2 * !(off / 2 % 4); i++) {
		struct st_plan p, q;
		int ret = arm_plan_walked(&p, w, room, off, flags[i]);

		if (ret != (p.kind == ST_KIND_NO ? -ENOTSUP : 0))
			broken(&p, "return value");
		check_plan(&p, w, room, off, flags[i]);
		if (!i)
			kinds[w->thumb][off != 0][p.kind]++;
		if (p.kind == ST_KIND_NO && i < 2)
			count_reason(i, p.why);
		if (!i && p.kind == ST_KIND_MOVE && planned < PLANS_MAX &&
		    (!off || off / 2 % 4 == 1))
			plan[planned++] = p;
		if (off && ++n % SAMPLE == 0) {
			st_arch_plan_at(&q, w->code, w->func, w->size, room, off, flags[i],
					w->thumb ? ST_ISA_T32 : ST_ISA_A32);
			if (!same(&p, &q))
				broken(&q, "not the same each time");
		}
	}
}

/*
 * Branches from other functions. What a walk has said is a branch is believed; the sweep takes all
 * bytes for instructions, so it may refuse more, but not less.
 */
static int plan_order(const void *a, const void *b)
{
	const struct st_plan *x = *(struct st_plan *const *)a, *y = *(struct st_plan *const *)b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static void sweep(void)
{
	const Elf32_Shdr *t = elf.text;
	struct st_plan **sorted = calloc(planned + 1, sizeof(*sorted));
	size_t i;

	for (i = 0; i < planned; i++)
		sorted[i] = &plan[i];
	qsort(sorted, planned, sizeof(*sorted), plan_order);
	swept += st_arch_sweep(sorted, planned, elf.file + t->sh_offset, t->sh_addr, t->sh_size);
	for (i = 0; i < planned; i++) {
		bool led = sorted[i]->insns > 1 && sorted[i]->offs[1] == 2 &&
			   leads[(sorted[i]->addr + 2 - t->sh_addr) / 2];

		swept_entries += sorted[i]->kind == ST_KIND_NO && !sorted[i]->inside;
		checks++;
		if (led && sorted[i]->kind != ST_KIND_NO)
			broken(sorted[i], "a branch from elsewhere was not seen");
	}
	swept_of += planned;
	free(sorted);
}

/* ---- files ---- */

static unsigned int find(uint32_t addr)
{
	unsigned int lo = 0, hi = starts;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;

		if (start[mid] < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool add(uint32_t addr, unsigned int how)
{
	const Elf32_Shdr *t = elf.text;
	unsigned int at = find(addr);

	if (addr < t->sh_addr || addr >= t->sh_addr + t->sh_size || starts == STARTS_MAX)
		return false;
	if (at < starts && start[at] == addr) {
		if (state[at] == UNKNOWN_STATE)
			state[at] = (uint8_t)how;
		return false;
	}
	memmove(start + at + 1, start + at, (starts - at) * sizeof(start[0]));
	memmove(state + at + 1, state + at, starts - at);
	start[at] = addr;
	state[at] = (uint8_t)how;
	starts++;
	return true;
}

/* What the file's mapping symbols say of each halfword of the section: 'a', 't', 'd'; 0 where there
 * are none. */
static char *mapped;

static int by_address(const void *a, const void *b)
{
	uint32_t x = ((const Elf32_Sym *)a)->st_value, y = ((const Elf32_Sym *)b)->st_value;

	return x < y ? -1 : x > y;
}

static const Elf32_Shdr *section_of(const uint8_t *file, uint32_t type)
{
	const Elf32_Ehdr *eh = (const void *)file;
	const Elf32_Shdr *sh = (const void *)(file + eh->e_shoff);
	unsigned int i;

	for (i = 0; i < eh->e_shnum; i++)
		if (sh[i].sh_type == type)
			return &sh[i];
	return NULL;
}

static const uint8_t *map_file(const char *path, size_t *length)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st))
		return NULL;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	*length = (size_t)st.st_size;
	return p == MAP_FAILED ? NULL : p;
}

static const uint8_t *debug_file(size_t *length)
{
	const Elf32_Shdr *note = section_of(elf.file, SHT_NOTE);
	char path[512];
	unsigned int i, n;

	if (!debug_folder || !note)
		return NULL;
	/* 12 bytes of header, "GNU", the id */
	n = (unsigned int)snprintf(path, sizeof(path), "%s/.build-id/", debug_folder);
	for (i = 0; i < 20; i++)
		n += (unsigned int)snprintf(path + n, sizeof(path) - n, i ? "%02x" : "%02x/",
					    elf.file[note->sh_offset + 16 + i]);
	snprintf(path + n, sizeof(path) - n, ".debug");
	return map_file(path, length);
}

static void read_mapping(void)
{
	const Elf32_Shdr *t = elf.text, *sh, *table;
	unsigned int k, n = 0;
	const uint8_t *file;
	Elf32_Sym *map;
	size_t length;

	mapped = calloc(t->sh_size / 2 + 2, 1);
	file = debug_file(&length);
	if (!file)
		return;
	sh = (const void *)(file + ((const Elf32_Ehdr *)(const void *)file)->e_shoff);
	table = section_of(file, SHT_SYMTAB);
	map = malloc(table->sh_size);
	for (k = 0; k < table->sh_size / sizeof(*map); k++) {
		const Elf32_Sym *s = (const Elf32_Sym *)(file + table->sh_offset) + k;
		const char *name = (const char *)file + sh[table->sh_link].sh_offset + s->st_name;

		if (name[0] != '$' || !strchr("atd", name[1]) ||
		    s->st_value - t->sh_addr >= t->sh_size)
			continue;
		map[n] = *s;
		map[n++].st_info = (unsigned char)name[1];
	}
	qsort(map, n, sizeof(*map), by_address);
	for (k = 0; k < n; k++) {
		uint32_t from = (map[k].st_value - t->sh_addr) / 2;
		uint32_t to = k + 1 < n ? (map[k + 1].st_value - t->sh_addr) / 2 : t->sh_size / 2;

		memset(mapped + from, map[k].st_info, to - from);
	}
	free(map);
	munmap((void *)file, length);
}

static void compare_mapping(const struct arm_insn *i)
{
	unsigned int k;

	for (k = 0; k < i->size; k += 2) {
		char is = mapped[(i->addr + k - elf.text->sh_addr) / 2];

		if (is && is != (walk.thumb ? 't' : 'a'))
			complain(NULL, i, "the mapping symbols say otherwise",
				 (unsigned int)walk.thumb, (unsigned int)is);
		checks++;
		mappings += is != 0;
	}
}

static bool word_at(uint32_t addr, uint32_t *value)
{
	const Elf32_Ehdr *eh = (const void *)elf.file;
	const Elf32_Shdr *sh = (const void *)(elf.file + eh->e_shoff);
	unsigned int i;

	for (i = 0; i < eh->e_shnum; i++) {
		if (sh[i].sh_type == SHT_NOBITS || addr < sh[i].sh_addr ||
		    addr + 4 > sh[i].sh_addr + sh[i].sh_size)
			continue;
		memcpy(value, elf.file + sh[i].sh_offset + (addr - sh[i].sh_addr), 4);
		return true;
	}
	return false;
}

static void named(void)
{
	const Elf32_Ehdr *eh = (const void *)elf.file;
	const Elf32_Shdr *sh = (const void *)(elf.file + eh->e_shoff);
	unsigned int i, k;

	for (i = 0; i < eh->e_shnum; i++) {
		const uint8_t *p = elf.file + sh[i].sh_offset;

		if (sh[i].sh_type == SHT_SYMTAB || sh[i].sh_type == SHT_DYNSYM)
			for (k = 0; k < sh[i].sh_size / sizeof(Elf32_Sym); k++) {
				const Elf32_Sym *s = (const Elf32_Sym *)p + k;

				if (ELF32_ST_TYPE(s->st_info) == STT_FUNC && s->st_shndx)
					add(s->st_value & ~1u, s->st_value & 1 ? T32 : A32);
			}
		if (sh[i].sh_type == SHT_REL)
			for (k = 0; k < sh[i].sh_size / sizeof(Elf32_Rel); k++) {
				const Elf32_Rel *r = (const Elf32_Rel *)p + k;
				uint32_t to;

				if (ELF32_R_TYPE(r->r_info) == R_ARM_RELATIVE &&
				    word_at(r->r_offset, &to) && to & 1)
					add(to - 1, T32);
			}
		/* a program with a fixed address has no relocations that say which words are
		 * addresses: those of a push */
		if (eh->e_type == ET_EXEC && sh[i].sh_type == SHT_PROGBITS &&
		    sh[i].sh_flags & SHF_WRITE)
			for (k = 0; k < sh[i].sh_size / 4; k++) {
				uint32_t to, first;

				memcpy(&to, p + k * 4, 4);
				if ((to & 3) == 1 && word_at(to - 1, &first) &&
				    ((first & 0xfe00) == 0xb400 || (first & 0xffff) == 0xe92d))
					add(to - 1, T32);
			}
		if (sh[i].sh_type == SHT_ARM_EXIDX)
			for (k = 0; k < sh[i].sh_size / 8; k++) {
				uint32_t rel, how;

				memcpy(&rel, p + k * 8, 4);
				memcpy(&how, p + k * 8 + 4, 4);
				if (how == 1) /* can't be unwound: also what the linker puts behind
						 the last */
					continue;
				rel = (rel & 0x7fffffff) | (rel & 0x40000000) << 1;
				add(sh[i].sh_addr + k * 8 + rel, UNKNOWN_STATE);
			}
	}
}

static void walk_at(unsigned int i)
{
	const Elf32_Shdr *t = elf.text;
	uint32_t end = i + 1 < starts ? start[i + 1] : t->sh_addr + t->sh_size;

	arm_walk(&walk, elf.file + t->sh_offset + (start[i] - t->sh_addr), start[i], end - start[i],
		 state[i] != A32 || start[i] & 2);
}

/* What is called is a function, too; again until there are no new ones. */
static void called(void)
{
	bool more = true;
	unsigned int i;

	while (more) {
		more = false;
		for (i = 0; i < starts; i++) {
			uint32_t off, me = start[i];

			if (state[i] == UNKNOWN_STATE)
				state[i] = T32;
			walk_at(i);
			for (off = 0; off < walk.size; off += 2) {
				unsigned int left;
				struct arm_insn insn;

				if (!arm_walk_insn(&walk, off))
					continue;
				arm_walk_decode(&walk, off, &insn, &left);
				if (insn.flow == ARM_CALL && (insn.to & ~1u) - me >= walk.size)
					more |= add(insn.to & ~1u, insn.to & 1 ? T32 : A32);
			}
			i = find(me);
		}
	}
}

static void section(void)
{
	unsigned int i;

	starts = 0;
	named();
	called();
	read_mapping();
	leads = calloc(elf.text->sh_size / 2 + 2, 1);
	planned = 0;
	for (i = 0; i < starts; i++) {
		uint32_t off;

		walk_at(i);
		functions++;
		computed += walk.computed;
		if (walk.lost) {
			lost++;
			count_reason(0, walk.lost);
			if (verbose)
				printf("%c32 %x, %u bytes: %s\n", walk.thumb ? 'T' : 'A', walk.func,
				       walk.size, walk.lost);
			continue;
		}
		for (off = 0; off < walk.size; off += 2) {
			struct arm_insn insn;
			unsigned int left;

			if (!arm_walk_insn(&walk, off))
				continue;
			arm_walk_decode(&walk, off, &insn, &left);
			if (!insn.in_it)
				compare(&walk, off, 1 + insn.it);
			if ((insn.flow == ARM_BRANCH || insn.flow == ARM_CALL) && insn.to & 1 &&
			    insn.to - elf.text->sh_addr < elf.text->sh_size)
				leads[(insn.to - elf.text->sh_addr) / 2] = 1;
			tables += insn.flow == ARM_TABLE;
			compare_mapping(&insn);
			plans(&walk, walk.size, off);
		}
	}
	sweep();
	free(leads);
	free(mapped);
}

static bool object(const char *path)
{
	const Elf32_Ehdr *eh;
	const Elf32_Shdr *sh;
	unsigned int i;
	unsigned long before = bytes, size = 0;

	elf.file = map_file(path, &elf.length);
	if (!elf.file) {
		perror(path);
		return false;
	}
	eh = (const void *)elf.file;
	if (memcmp(elf.file, ELFMAG, 4) || eh->e_machine != EM_ARM)
		return false;
	sh = (const void *)(elf.file + eh->e_shoff);
	for (i = 0; i < eh->e_shnum; i++)
		if (sh[i].sh_flags & SHF_EXECINSTR && sh[i].sh_type == SHT_PROGBITS) {
			elf.text = &sh[i];
			size += sh[i].sh_size;
			section();
		}
	printf("%s: %lu of %lu bytes of code are reached\n", path, bytes - before, size);
	munmap((void *)elf.file, elf.length);
	return true;
}

int main(int argc, char **argv)
{
	int i, k, files = 0;

	for (i = 0; i < 2; i++) {
		if (cs_open(CS_ARCH_ARM, (i ? CS_MODE_THUMB : CS_MODE_ARM) | CS_MODE_V8,
			    &handle[i]) ||
		    cs_option(handle[i], CS_OPT_DETAIL, CS_OPT_ON)) {
			printf("Capstone can't be opened\n");
			return 1;
		}
	}
	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--verbose"))
			verbose = true;
		else if (!strcmp(argv[i], "--debug") && argv[i + 1])
			debug_folder = argv[++i];
		else
			files += object(argv[i]);
	}
	if (!files) {
		printf("no ARM file to read\n");
		return 77;
	}
	printf("%lu functions, %lu of them not followed; %lu instructions; mapping symbols for %lu "
	       "halfwords\n",
	       functions, lost, instructions, mappings);
	printf("%zu of %zu plans of a jump refused because of branches from elsewhere, %zu of them "
	       "entries\n",
	       swept, swept_of, swept_entries);
	printf("%lu jumps through a table; %lu functions with a jump to anywhere\n", tables,
	       computed);
	for (i = 0; i < 2; i++)
		for (k = 0; k < 2; k++)
			printf("%c32, %s: %lu NOP, %lu moved, %lu breakpoint, %lu refused\n",
			       i ? 'T' : 'A', k ? "inside" : "entry", kinds[i][k][ST_KIND_NOP],
			       kinds[i][k][ST_KIND_MOVE], kinds[i][k][ST_KIND_BREAKPOINT],
			       kinds[i][k][ST_KIND_NO]);
	for (k = 0; k < 2; k++) {
		printf(k ? "by a jump, not:\n" : "not at all:\n");
		for (i = 0; i < 64 && reasons[k][i].why; i++)
			printf("%8lu %s\n", reasons[k][i].n, reasons[k][i].why);
	}
	if (lost * 200 > functions) {
		printf("FAIL: too many functions can't be followed\n");
		failed++;
	}
	printf("%lu passed, %lu failed, 0 skipped\n", checks - (failed < checks ? failed : checks),
	       failed);
	return failed || !checks;
}
