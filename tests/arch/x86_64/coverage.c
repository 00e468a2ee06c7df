// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many functions of ELF files can be hooked, by what means, and why the rest can't: `coverage
 * [-v] FILE...`. -v names each function that is refused. A file passes with 95 %, if no jump table
 * leads into displaced bytes: the planner sees no data.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/arch.h"
#include "engine/arch/x86_64/relocate.h"
#include "text.h"

#define REASONS_MAX 32

struct count {
	const char *why;
	size_t n;
};

static void count(struct count *counts, const char *why)
{
	for (int i = 0; i < REASONS_MAX; i++) {
		if (!counts[i].why)
			counts[i].why = why;
		if (strcmp(counts[i].why, why) == 0) {
			counts[i].n++;
			return;
		}
	}
}

/* A bit for each byte of the text, set at displaced instructions but the first. */
struct interior {
	unsigned long start;
	unsigned long size;
	uint8_t *bits;
};

static bool is_interior(const struct interior *in, unsigned long addr)
{
	unsigned long i = addr - in->start;

	return i < in->size && in->bits[i / 8] >> i % 8 & 1;
}

static void mark(struct interior *in, const struct st_plan *plan)
{
	for (unsigned int i = 1; i < plan->insns; i++) {
		unsigned long bit = plan->addr + plan->offs[i] - in->start;

		in->bits[bit / 8] |= 1 << bit % 8;
	}
}

static void interior_init(struct interior *in, const struct text *text)
{
	unsigned long end = 0;

	in->start = -1ul;
	for (size_t i = 0; i < text->nr_sections; i++) {
		const struct text_section *s = &text->sections[i];

		if (s->addr < in->start)
			in->start = s->addr;
		if (s->addr + s->size > end)
			end = s->addr + s->size;
	}
	in->size = end > in->start ? end - in->start : 0;
	in->bits = calloc(in->size / 8 + 1, 1);
	if (!in->bits)
		abort();
}

static int32_t word(const uint8_t *p)
{
	int32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/*
 * The addresses that the text takes with lea (8d), ascending: where one table starts, the one in
 * front of it ends.
 */
struct taken {
	unsigned long *addr;
	size_t n;
};

static int by_value(const void *a_, const void *b_)
{
	const unsigned long *a = a_, *b = b_;

	return *a < *b ? -1 : *a > *b;
}

static void add_taken(struct taken *taken, unsigned long addr)
{
	if (!(taken->n & (taken->n + 1)) && taken->n >= 63) { /* full: 63, 127, 255... */
		taken->addr = realloc(taken->addr, (2 * taken->n + 1) * sizeof(addr));
		if (!taken->addr)
			abort();
	}
	taken->addr[taken->n++] = addr;
}

static void taken_init(struct taken *taken, const struct text *text)
{
	taken->n = 0;
	taken->addr = malloc(63 * sizeof(*taken->addr));
	if (!taken->addr)
		abort();
	for (size_t i = 0; i < text->nr_sections; i++) {
		const struct text_section *s = &text->sections[i];

		for (size_t off = 0; off < s->size;) {
			struct st_x86_insn insn;
			int len = st_x86_decode(&insn, s->code + off, s->size - off);

			if (len > 0 && insn.rip && s->code[off + insn.opcode] == 0x8d)
				add_taken(taken,
					  s->addr + off + len + word(s->code + off + insn.disp));
			off += len > 0 ? len : 1;
		}
	}
	qsort(taken->addr, taken->n, sizeof(*taken->addr), by_value);
}

/*
 * Jump tables as compilers make them: 4-byte offsets from the table's own address, which the
 * function takes with lea; and absolute ones of 8 bytes, which a jmp *table(,reg,8) names. Read as
 * long as they lead into the function.
 */
static size_t table_leads_into(const struct interior *in, const struct taken *taken,
			       const struct text *text, const struct text_function *f,
			       unsigned long table, bool absolute)
{
	unsigned long at = table;
	const uint8_t *p;
	size_t n = 0;

	while ((p = text_at(text, at, 8))) {
		unsigned long to = table + word(p);

		if (absolute)
			memcpy(&to, p, sizeof(to));
		if (to - f->addr >= f->size)
			break;
		if (is_interior(in, to)) {
			printf("  the table at %lx of %s leads to %lx\n", table, f->name, to);
			n++;
		}
		at += absolute ? 8 : 4;
		if (bsearch(&at, taken->addr, taken->n, sizeof(at), by_value))
			break;
	}
	return n;
}

static size_t tables_into(const struct interior *in, const struct text *text, size_t *tables)
{
	struct taken taken;
	size_t n = 0;

	taken_init(&taken, text);
	for (size_t i = 0; i < text->nr_functions; i++) {
		const struct text_function *f = &text->functions[i];

		if (!st_x86_has_indirect_jump(f->code, f->size))
			continue;
		++*tables;
		for (size_t off = 0; off < f->size;) {
			struct st_x86_insn insn;
			int len = st_x86_decode(&insn, f->code + off, f->size - off);
			const uint8_t *code = f->code + off;

			off += len > 0 ? len : 1;
			if (len <= 0 || insn.disp_len != 4)
				continue;
			if (insn.rip && code[insn.opcode] == 0x8d)
				n += table_leads_into(in, &taken, text, f,
						      f->addr + off + word(code + insn.disp),
						      false);
			else if (insn.class == ST_X86_JMP_INDIRECT)
				n += table_leads_into(in, &taken, text, f,
						      (unsigned int)word(code + insn.disp), true);
		}
	}
	free(taken.addr);
	return n;
}

/* Returns whether enough of the file's functions can be hooked. */
static bool cover(const char *path, bool verbose)
{
	size_t nop = 0, move = 0, live = 0, tables = 0, led_into;
	struct count refused[REASONS_MAX] = {0};
	struct st_plan *plans, **sorted;
	struct interior in;
	struct text text;

	if (text_open(&text, path) < 0)
		return false;
	printf("%s: %zu functions\n", path, text.nr_functions);
	interior_init(&in, &text);
	plans = calloc(text.nr_functions + 1, sizeof(*plans));
	sorted = calloc(text.nr_functions + 1, sizeof(*sorted));
	if (!plans || !sorted)
		abort();
	for (size_t i = 0; i < text.nr_functions; i++) {
		const struct text_function *f = &text.functions[i];
		uint16_t map[ST_INSNS_MAX];
		uint8_t out[ST_X86_MOVE_MAX];

		sorted[i] = &plans[i];
		/* The copy's place: near the text, as an island will be. */
		if (st_arch_plan(&plans[i], f->code, f->addr, f->size, f->room, ST_ISA_NATIVE) ==
			    0 &&
		    st_x86_move(&plans[i], out, sizeof(out), 0x40000000, map) < 0)
			plans[i].kind = ST_KIND_NO;
	}
	for (size_t i = 0; i < text.nr_sections; i++)
		st_x86_sweep(sorted, text.nr_functions, text.sections[i].code,
			     text.sections[i].addr, text.sections[i].size);
	for (size_t i = 0; i < text.nr_functions; i++) {
		const struct text_function *f = &text.functions[i];

		switch (plans[i].kind) {
		case ST_KIND_NOP:
			nop++;
			break;
		case ST_KIND_MOVE:
			move++;
			break;
		default:
			count(refused, plans[i].why);
			if (verbose)
				printf("  %lx %s (%zu bytes): %s\n", f->addr, f->name, f->size,
				       plans[i].why);
			continue;
		}
		live += plans[i].live;
		mark(&in, &plans[i]);
	}
	led_into = tables_into(&in, &text, &tables);
	printf("  %6zu  by their NOPs\n", nop);
	printf("  %6zu  by moving their first instructions\n", move);
	for (int i = 0; i < REASONS_MAX && refused[i].why; i++)
		printf("  %6zu  not: %s\n", refused[i].n, refused[i].why);
	printf("  %6.2f %% can be hooked; %zu of them while threads run\n",
	       text.nr_functions ? 100.0 * (nop + move) / text.nr_functions : 0.0, live);
	printf("  %6zu  functions have an indirect jump; %zu of their tables' entries lead into "
	       "displaced bytes\n",
	       tables, led_into);
	free(plans);
	free(sorted);
	free(in.bits);
	text_close(&text);
	return !led_into && (nop + move) * 100 >= text.nr_functions * 95;
}

int main(int argc, char **argv)
{
	bool verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
	unsigned int passed = 0, failed = 0, skipped = 0;

	for (int i = verbose ? 2 : 1; i < argc; i++) {
		if (access(argv[i], R_OK) < 0) {
			printf("skipped: %s is not here\n", argv[i]);
			skipped++;
		} else if (cover(argv[i], verbose)) {
			passed++;
		} else {
			failed++;
		}
	}
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed != 0;
}
