// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plan for every instruction of every function of ELF files: `anywhere FILE...`. How many can be had by a jump, how many
 * by a breakpoint, and why the others not. Each plan must agree with what Zydis knows of the file: displaced are whole
 * instructions; nothing in the file leads into them, but to the first; and their copies in the stub do what they did. Where
 * no instruction starts, nothing may be planned. Of functions with very many instructions, some are looked at (all with
 * SIDETRACK_LONG).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/arch.h"
#include "engine/arch/x86_64/relocate.h"
#include "same.h"
#include "text.h"

#define REASONS_MAX 48
#define SOME 1500

struct count {
	const char *why;
	size_t n;
};

static void count(struct count *counts, const char *why)
{
	int i = 0;

	while (counts[i].why && strcmp(counts[i].why, why) && i < REASONS_MAX - 1)
		i++;
	counts[i].why = why;
	counts[i].n++;
}

/* What Zydis knows of the file: a byte for each of its text, KNOWN_* bits. */
enum {
	LED_TO = 1,	/* something branches here, or takes the address */
	START = 2,	/* an instruction starts here */
	CALL = 4,
	SYSCALL = 8,
	PAD = 16,	/* endbr64 */
	FALLS = 32,
};

static uint8_t *known;
static unsigned long known_start, known_size;
static unsigned int wrong;

static uint8_t *know(unsigned long addr)
{
	static uint8_t nothing;

	nothing = 0;
	return addr - known_start < known_size ? &known[addr - known_start] : &nothing;
}

static void fail(const struct text_function *f, const struct st_plan *plan, const char *what)
{
	if (wrong++ > 20)
		return;
	printf("  WRONG: %s+%#lx (%lx), kind %d, %u bytes, %u instructions: %s\n", f->name, plan->addr - f->addr, plan->addr,
	       plan->kind, plan->len, plan->insns, what);
}

/* All of a section, or of a function, from its start on; @start: what begins here are instructions. */
static bool learn(const uint8_t *code, unsigned long addr, size_t size, bool start)
{
	bool indirect = false;
	struct z_insn z;

	for (size_t off = 0; off < size; off += z.i.length) {
		uint8_t bits = start ? START : 0;
		uint64_t to;

		if (z_decode(&z, code + off, size - off) < 0) {
			z.i.length = 1;
			continue;
		}
		to = z_names(&z, addr + off);
		if (to)
			*know(to) |= LED_TO;
		switch (z.i.mnemonic) {
		case ZYDIS_MNEMONIC_CALL:
			bits |= CALL | FALLS;
			break;
		case ZYDIS_MNEMONIC_SYSCALL:
		case ZYDIS_MNEMONIC_INT:
			bits |= SYSCALL | FALLS;
			break;
		case ZYDIS_MNEMONIC_ENDBR64:
			bits |= PAD | FALLS;
			break;
		case ZYDIS_MNEMONIC_JMP:
			indirect |= !z.i.raw.imm[0].is_relative;
			break;
		case ZYDIS_MNEMONIC_RET:
		case ZYDIS_MNEMONIC_UD2:
		case ZYDIS_MNEMONIC_HLT:
			break;
		default:
			bits |= FALLS;
		}
		if (start)
			*know(addr + off) |= bits;
	}
	return indirect;
}

static void check_copies(const struct text_function *f, struct st_plan *plan)
{
	uint8_t buf[ST_STUB_MAX];
	struct st_stub stub = { .buf = buf, .at = (plan->addr + 0x40000000) & ~15ul, .site = 1, .entry = 2, .ret = 3 };
	uint8_t jump[ST_JUMP_MAX] = { 0 };

	if (st_arch_stub(plan, &stub) || st_arch_jump(plan, stub.at, jump)) {
		fail(f, plan, plan->why ?: "no stub");
		return;
	}
	if (stub.size > ST_STUB_MAX || (stub.path == 0) != plan->inside)
		fail(f, plan, "stub");
	if (plan->kind == ST_KIND_BREAKPOINT ? jump[0] != 0xcc || plan->jump != 1 : jump[0] != 0xe9 || plan->jump != 5)
		fail(f, plan, "what goes to the site");
	for (unsigned int i = 0; i < plan->insns; i++) {
		unsigned int off = plan->offs[i], end = i + 1 < plan->insns ? plan->offs[i + 1] : plan->len;
		const char *differs = z_differs(plan->orig + off, end - off, plan->addr + off, buf + stub.map[i],
						stub.size - stub.map[i], stub.at + stub.map[i],
						plan->inside ? plan->addr : stub.at + stub.resume);

		if (differs && plan->kind != ST_KIND_NOP)
			fail(f, plan, differs);
	}
	/* and back: a jump behind the last copy */
	for (unsigned int i = stub.map[plan->insns - 1]; plan->falls && i + 5 <= stub.size; i++) {
		int32_t rel;

		memcpy(&rel, buf + i + 1, 4);
		if (buf[i] == 0xe9 && stub.at + i + 5 + rel == plan->addr + plan->len)
			return;
	}
	if (plan->falls)
		fail(f, plan, "it does not go back");
}

static void check_plan(const struct text_function *f, struct st_plan *plan, unsigned long asked, bool indirect)
{
	size_t off = plan->addr - f->addr;
	unsigned long end = plan->addr;

	if (plan->addr != asked || memcmp(plan->orig, f->code + off, plan->len) || plan->offs[0])
		fail(f, plan, "another place");
	for (unsigned int i = 0; i < plan->insns; i++) {
		struct z_insn z;

		if (plan->addr + plan->offs[i] != end || !(*know(end) & START) || z_decode(&z, plan->orig + plan->offs[i], 15) < 0) {
			fail(f, plan, "not whole instructions");
			return;
		}
		if (*know(end) & CALL && i + 1 < plan->insns)
			fail(f, plan, "a call that is not the last");
		if (*know(end) & SYSCALL && plan->kind != ST_KIND_BREAKPOINT)
			fail(f, plan, "a system call under a jump");
		if (*know(end) & PAD && i)
			fail(f, plan, "a landing pad within");
		if (i + 1 == plan->insns && plan->falls != !!(*know(end) & FALLS))
			fail(f, plan, "falls through, or not");
		end += z.i.length;
	}
	/* padding behind a function's last instruction */
	if (end != plan->addr + plan->len && (plan->falls || end != f->addr + f->size))
		fail(f, plan, "not whole instructions");
	if (plan->kind == ST_KIND_BREAKPOINT && plan->insns != 1)
		fail(f, plan, "a breakpoint for several");
	if (plan->kind == ST_KIND_MOVE && (plan->len < 5 || (plan->inside && indirect && plan->insns != 1)))
		fail(f, plan, "a jump where control may come to any instruction");
	if (plan->live != (plan->insns == 1))
		fail(f, plan, "live, or not");
	check_copies(f, plan);
}

/* After the sweep: whatever of the whole file leads into a plan. */
static void check_led_into(const struct text_function *f, struct st_plan *plan)
{
	if (plan->kind != ST_KIND_MOVE && plan->kind != ST_KIND_NOP)
		return;
	for (unsigned int i = 1; i < plan->len; i++)
		if (*know(plan->addr + i) & LED_TO)
			fail(f, plan, "something leads into it");
}

struct site {
	struct st_plan plan;
	const struct text_function *f;
};

static int by_address(const void *a, const void *b)
{
	const struct st_plan *p = *(struct st_plan *const *)a, *q = *(struct st_plan *const *)b;

	return p->addr < q->addr ? -1 : p->addr > q->addr;
}

static bool any(const char *path)
{
	size_t jumps = 0, breakpoints = 0, asked = 0, none = 0, swept = 0, entries = 0;
	size_t nr = 0, room = 0, skipped = 0, strict_jumps = 0;
	struct count refused[REASONS_MAX] = { { NULL, 0 } };
	struct st_plan **sorted;
	struct site *sites = NULL;
	struct text text;

	if (text_open(&text, path) < 0)
		return false;
	wrong = 0;
	known_start = text.sections[0].addr;
	for (size_t i = 0; i < text.nr_sections; i++)
		if (text.sections[i].addr < known_start)
			known_start = text.sections[i].addr;
	known_size = 0;
	for (size_t i = 0; i < text.nr_sections; i++)
		if (text.sections[i].addr + text.sections[i].size - known_start > known_size)
			known_size = text.sections[i].addr + text.sections[i].size - known_start;
	known = calloc(known_size + 1, 1);
	if (!known)
		abort();
	for (size_t i = 0; i < text.nr_sections; i++)
		learn(text.sections[i].code, text.sections[i].addr, text.sections[i].size, false);

	for (size_t i = 0; i < text.nr_functions; i++) {
		const struct text_function *f = &text.functions[i];
		bool indirect;
		size_t n = 0, step, pad = 0;

		for (size_t off = 0; off < f->size; off++)
			*know(f->addr + off) &= LED_TO;
		indirect = learn(f->code, f->addr, f->size, true);
		for (size_t off = 0; off < f->size; off++)
			n += *know(f->addr + off) & START;
		n /= START;
		step = getenv("SIDETRACK_LONG") || n < SOME ? 1 : n / SOME + 1;
		if (*know(f->addr) & PAD)
			pad = 4;
		n = 0;
		for (size_t off = 0; off < f->size; off++) {
			bool start = *know(f->addr + off) & START;
			struct st_plan plan;

			if (start && n++ % step) {
				skipped++;
				continue;
			}
			if (!start && n % step)
				continue;
			/* a few of the places that are none */
			if (!start && off % 16 != 3)
				continue;
			if (off && off < pad)
				continue;
			st_arch_plan_at(&plan, f->code, f->addr, f->size, f->room, off, ST_PLAN_ANY, ST_ISA_NATIVE);
			if (!start) {
				none++;
				if (plan.kind != ST_KIND_NO)
					fail(f, &plan, "planned where no instruction starts");
				continue;
			}
			asked++;
			if (plan.kind == ST_KIND_NO) {
				count(refused, plan.why);
				continue;
			}
			check_plan(f, &plan, f->addr + (off ? off : pad), indirect);
			entries += !plan.inside;
			if (nr == room) {
				room = room ? 2 * room : 4096;
				sites = realloc(sites, room * sizeof(*sites));
				if (!sites)
					abort();
			}
			sites[nr++] = (struct site){ plan, f };
		}
	}
	sorted = calloc(nr + 1, sizeof(*sorted));
	if (!sorted)
		abort();
	for (size_t i = 0; i < nr; i++)
		sorted[i] = &sites[i].plan;
	qsort(sorted, nr, sizeof(*sorted), by_address);
	for (size_t i = 0; i < text.nr_sections; i++)
		swept += st_x86_sweep(sorted, nr, text.sections[i].code, text.sections[i].addr, text.sections[i].size);
	for (size_t i = 0; i < nr; i++) {
		check_led_into(sites[i].f, &sites[i].plan);
		jumps += sites[i].plan.kind == ST_KIND_MOVE || sites[i].plan.kind == ST_KIND_NOP;
		strict_jumps += sites[i].plan.kind == ST_KIND_MOVE && sites[i].plan.insns == 1;
		breakpoints += sites[i].plan.kind == ST_KIND_BREAKPOINT;
	}
	printf("%s: %zu instructions of %zu functions, %zu more not looked at\n", path, asked, text.nr_functions, skipped);
	printf("  %8zu  by a jump (%4.1f %%), %zu of them over one instruction\n", jumps, 100.0 * jumps / (asked + !asked),
	       strict_jumps);
	printf("  %8zu  by a breakpoint (%4.1f %%); and %zu that the sweep leaves no jump\n", breakpoints,
	       100.0 * breakpoints / (asked + !asked), swept);
	for (int i = 0; i < REASONS_MAX && refused[i].why; i++)
		printf("  %8zu  not: %s\n", refused[i].n, refused[i].why);
	printf("  %8zu  places where no instruction starts, %u plans wrong\n", none, wrong);
	free(sorted);
	free(sites);
	free(known);
	text_close(&text);
	return !wrong && asked && entries && jumps && breakpoints && none;
}

int main(int argc, char **argv)
{
	unsigned int passed = 0, failed = 0, skipped = 0;

	for (int i = 1; i < argc; i++) {
		if (access(argv[i], R_OK) < 0) {
			printf("skipped: %s is not here\n", argv[i]);
			skipped++;
		} else if (any(argv[i])) {
			passed++;
		} else {
			failed++;
		}
	}
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed != 0;
}
