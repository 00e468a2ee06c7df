// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many functions of ELF files can be hooked, by what means, and why the rest can't: `coverage [-v] FILE...`.
 * A file passes with 95 %. -v names each function that is refused.
 */
#include <stdio.h>
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

/* Returns whether enough of the file's functions can be hooked. */
static bool cover(const char *path, bool verbose)
{
	size_t nop = 0, move = 0, live = 0, no = 0, tables = 0;
	struct count refused[REASONS_MAX] = { 0 };
	struct text text;

	if (text_open(&text, path) < 0)
		return false;
	for (size_t i = 0; i < text.nr_functions; i++) {
		const struct text_function *f = &text.functions[i];
		uint16_t map[ST_INSNS_MAX];
		uint8_t out[ST_X86_MOVE_MAX];
		struct st_plan plan;

		/* The copy's place: near the text, as an island will be. */
		if (st_arch_plan(&plan, f->code, f->addr, f->size, f->room, ST_ISA_NATIVE) == 0 &&
		    st_x86_move(&plan, out, sizeof(out), 0x40000000, map) < 0)
			plan.kind = ST_KIND_NO;
		switch (plan.kind) {
		case ST_KIND_NOP:
			nop++;
			break;
		case ST_KIND_MOVE:
			move++;
			break;
		default:
			no++;
			count(refused, plan.why);
			if (verbose)
				printf("  %lx %s (%zu bytes): %s\n", f->addr, f->name, f->size, plan.why);
			continue;
		}
		live += plan.live;
		if (plan.insns > 1 && st_x86_has_indirect_jump(f->code, f->size))
			tables++;
	}
	printf("%s: %zu functions\n", path, text.nr_functions);
	printf("  %6zu  by their NOPs\n", nop);
	printf("  %6zu  by moving their first instructions\n", move);
	for (int i = 0; i < REASONS_MAX && refused[i].why; i++)
		printf("  %6zu  not: %s\n", refused[i].n, refused[i].why);
	printf("  %6.2f %% can be hooked; %zu of them while threads run; %zu have an indirect jump\n",
	       text.nr_functions ? 100.0 * (nop + move) / text.nr_functions : 0.0, live, tables);
	text_close(&text);
	return (nop + move) * 100 >= text.nr_functions * 95;
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
