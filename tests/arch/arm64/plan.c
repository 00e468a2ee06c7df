// SPDX-License-Identifier: GPL-2.0-only
/*
 * AArch64, runs on any host: what the planner says of each word of small functions, as compilers
 * and people write them: data among code, exclusive accesses, landing pads.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/arch.h"

/* Where the functions are; what the cases compute from pc counts on it. */
#define FUNC 0x400000ul
#define WORDS 16

static unsigned int passed, failed;

__attribute__((format(printf, 2, 3))) static bool check(bool ok, const char *fmt, ...)
{
	va_list ap;

	if (ok) {
		passed++;
		return true;
	}
	failed++;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	return false;
}

/*
 * For each word: m, a jump; b, a breakpoint, which has to be asked for; -, refused; ., not asked.
 */
static const struct {
	const char *name;
	const char *expect;
	uint32_t code[WORDS];
} cases[] = {
	{"a switch of GCC's",
	 "mmmmmmmmmmmmm",
	 {
		 0x71000c1f, /* cmp w0, #3 */
		 0x54000168, /* b.hi 2f */
		 0x90000801, /* adrp x1, .+0x100000 */
		 0x91040021, /* add x1, x1, #0x100 */
		 0x38604820, /* ldrb w0, [x1, w0, uxtw] */
		 0x10000061, /* adr x1, 1f */
		 0x8b208820, /* add x0, x1, w0, sxtb #2 */
		 0xd61f0000, /* br x0 */
		 0x52800020, /* 1: mov w0, #1 */
		 0xd65f03c0, /* ret */
		 0x52800040, /* mov w0, #2 */
		 0xd65f03c0, /* ret */
		 0x14001000, /* 2: b .+0x4000 */
	 }},
	{"a switch of clang's, with something in between",
	 "mmmmmmmmmm",
	 {
		 0x90000808, /* adrp x8, .+0x100000 */
		 0x100000c9, /* adr x9, 1f */
		 0x3860690a, /* ldrb w10, [x8, x0] */
		 0x2a0403e3, /* mov w3, w4 */
		 0x8b0a0929, /* add x9, x9, x10, lsl #2 */
		 0xa9bf7bfd, /* stp x29, x30, [sp, #-16]! */
		 0xd61f0120, /* br x9 */
		 0x52800020, /* 1: mov w0, #1 */
		 0xd65f03c0, /* ret */
		 0xd65f03c0, /* ret */
	 }},
	{"a table behind the branch, loaded from",
	 "mmmm----",
	 {
		 0x10000081, /* adr x1, 1f */
		 0x38606822, /* ldrb w2, [x1, x0] */
		 0x8b228821, /* add x1, x1, w2, sxtb #2 */
		 0xd61f0020, /* br x1 */
		 0xaa0003e0, /* 1: .inst 0xaa0003e0 */
		 0xaa0003e0, /* .inst 0xaa0003e0 */
		 0x52800020, /* mov w0, #1 */
		 0xd65f03c0, /* ret */
	 }},
	{"literals at its end",
	 "mmm--",
	 {
		 0x58000060, /* ldr x0, 1f */
		 0xaa0003e1, /* mov x1, x0 */
		 0xd65f03c0, /* ret */
		 0xaa0003e0, /* 1: .inst 0xaa0003e0 */
		 0xaa0003e1, /* .inst 0xaa0003e1 */
	 }},
	{"a vector's literal, and code behind it that a branch leads to",
	 "mmm----mm",
	 {
		 0x9c000060, /* ldr q0, 1f */
		 0xb40000c0, /* cbz x0, 2f */
		 0xd65f03c0, /* ret */
		 0xaa0003e0, /* 1: .inst 0xaa0003e0 */
		 0xaa0003e0, /* .inst 0xaa0003e0 */
		 0xaa0003e0, /* .inst 0xaa0003e0 */
		 0xaa0003e0, /* .inst 0xaa0003e0 */
		 0xd2800000, /* 2: mov x0, #0 */
		 0xd65f03c0, /* ret */
	 }},
	{"a literal behind a call that does not return",
	 "mm---",
	 {
		 0x58000060, /* ldr x0, 1f */
		 0x94001000, /* bl .+0x4000 */
		 0xd503201f, /* nop */
		 0xaa0003e0, /* 1: .inst 0xaa0003e0 */
		 0xaa0003e0, /* .inst 0xaa0003e0 */
	 }},
	{"a literal, and code behind a call",
	 "mmmm--",
	 {
		 0x58000080, /* ldr x0, 1f */
		 0x94001000, /* bl .+0x4000 */
		 0xaa0103e0, /* mov x0, x1 */
		 0xd65f03c0, /* ret */
		 0xaa0003e0, /* 1: .inst 0xaa0003e0 */
		 0xaa0003e0, /* .inst 0xaa0003e0 */
	 }},
	{"code behind a computed jump, where there is data",
	 "mm-----",
	 {
		 0x580000a0, /* ldr x0, 1f */
		 0xd61f0000, /* br x0 */
		 0xaa0103e0, /* mov x0, x1 */
		 0xd65f03c0, /* ret */
		 0xd503201f, /* nop */
		 0xaa0003e0, /* 1: .inst 0xaa0003e0 */
		 0xaa0003e0, /* .inst 0xaa0003e0 */
	 }},
	{"a word that is none, behind the last jump",
	 "mm-",
	 {
		 0xaa0103e0, /* mov x0, x1 */
		 0xd65f03c0, /* ret */
		 0x00000000, /* .inst 0x00000000 */
	 }},
	{"a word that is none, behind a call",
	 "mm-",
	 {
		 0xaa0103e0, /* mov x0, x1 */
		 0x94001000, /* bl .+0x4000 */
		 0x00000000, /* .inst 0x00000000 */
	 }},
	{"control runs into what is no instruction",
	 "m--",
	 {
		 0x58000040, /* ldr x0, 1f */
		 0xaa0103e0, /* mov x0, x1 */
		 0x00001234, /* 1: .inst 0x00001234 */
	 }},
	{"its own instructions read as a literal",
	 "m---",
	 {
		 0x58000040, /* ldr x0, 1f */
		 0xaa0203e1, /* mov x1, x2 */
		 0xaa0303e2, /* 1: mov x2, x3 */
		 0xd65f03c0, /* ret */
	 }},
	{"an address in its own page, loaded from",
	 "mmmm---",
	 {
		 0x90000001, /* adrp x1, . */
		 0x91005021, /* add x1, x1, #(1f - 0b) */
		 0xf9400020, /* ldr x0, [x1] */
		 0xd61f0000, /* br x0 */
		 0xaa0103e0, /* mov x0, x1 */
		 0xaa0003e0, /* 1: .inst 0xaa0003e0 */
		 0xaa0003e0, /* .inst 0xaa0003e0 */
	 }},
	{"a load from its own page",
	 "mmm---",
	 {
		 0x90000001, /* adrp x1, . */
		 0xf9400820, /* ldr x0, [x1, #(1f - 0b)] */
		 0xd65f03c0, /* ret */
		 0xaa0003e0, /* .inst 0xaa0003e0 */
		 0xaa0003e0, /* 1: .inst 0xaa0003e0 */
		 0xaa0003e0, /* .inst 0xaa0003e0 */
	 }},
	{"a load from its own page, with a jump between",
	 "mm-mm---",
	 {
		 0x90000001, /* adrp x1, . */
		 0x14000002, /* b 2f */
		 0xd65f03c0, /* 3: ret */
		 0xf9400c20, /* 2: ldr x0, [x1, #(1f - 0b)] */
		 0xd65f03c0, /* ret */
		 0xaa0003e0, /* .inst 0xaa0003e0 */
		 0xaa0003e0, /* 1: .inst 0xaa0003e0 */
		 0xaa0003e0, /* .inst 0xaa0003e0 */
	 }},
	{"the same offset in another page",
	 "mmmmmmm",
	 {
		 0x90000801, /* adrp x1, .+0x100000 */
		 0x91006021, /* add x1, x1, #(1f - 0b) */
		 0x90000002, /* adrp x2, . */
		 0x91200042, /* add x2, x2, #0x800 */
		 0xf9400020, /* ldr x0, [x1] */
		 0xd61f0000, /* br x0 */
		 0xd65f03c0, /* 1: ret */
	 }},
	{"a label in its own page that is code",
	 "mmmmmmmm",
	 {
		 0x90000001, /* adrp x1, . */
		 0x91006021, /* add x1, x1, #(1f - 0b) */
		 0xb4000080, /* cbz x0, 1f */
		 0x8b000021, /* add x1, x1, x0 */
		 0xd61f0020, /* br x1 */
		 0xd2800020, /* mov x0, #1 */
		 0xd2800000, /* 1: mov x0, #0 */
		 0xd65f03c0, /* ret */
	 }},
	{"compare and swap, alone: at its entry is the exclusive load, and a loop",
	 ".---mm",
	 {
		 0x885ffc20, /* 1: ldaxr w0, [x1] */
		 0x6b02001f, /* cmp w0, w2 */
		 0x54000061, /* b.ne 2f */
		 0x8803fc24, /* stlxr w3, w4, [x1] */
		 0x35ffff83, /* cbnz w3, 1b */
		 0xd65f03c0, /* 2: ret */
	 }},
	{"compare and swap, in pairs",
	 "mm---mm",
	 {
		 0xaa0003e9, /* mov x9, x0 */
		 0xc87f1420, /* 1: ldxp x0, x5, [x1] */
		 0xeb02001f, /* cmp x0, x2 */
		 0x54000061, /* b.ne 2f */
		 0xc8231824, /* stxp w3, x4, x6, [x1] */
		 0x35ffff83, /* cbnz w3, 1b */
		 0xd65f03c0, /* 2: ret */
	 }},
	{"a lock that waits",
	 "mm-m---mm",
	 {
		 0x52800025, /* mov w5, #1 */
		 0xd50320bf, /* sevl */
		 0xd503205f, /* 1: wfe */
		 0x885ffc03, /* 2: ldaxr w3, [x0] */
		 0x35ffffc3, /* cbnz w3, 1b */
		 0xd503201f, /* nop */
		 0x88037c05, /* stxr w3, w5, [x0] */
		 0x35ffff83, /* cbnz w3, 2b */
		 0xd65f03c0, /* ret */
	 }},
	{"the failed path of an exclusive access, out of the way",
	 "mm-mm--mm",
	 {
		 0xaa0203e1, /* mov x1, x2 */
		 0x885f7c03, /* 1: ldxr w3, [x0] */
		 0x14000003, /* b 3f */
		 0x889ffc03, /* 2: stlr w3, [x0] */
		 0xd65f03c0, /* ret */
		 0x11000463, /* 3: add w3, w3, #1 */
		 0x88047c03, /* stxr w4, w3, [x0] */
		 0x35ffff44, /* cbnz w4, 1b */
		 0x17fffffb, /* b 2b */
	 }},
	{"an exclusive access that is given up",
	 "mmmm-m",
	 {
		 0xaa0203e1, /* mov x1, x2 */
		 0x885f7c03, /* ldxr w3, [x0] */
		 0xd5033f5f, /* clrex */
		 0x2a0303e0, /* mov w0, w3 */
		 0x88037c05, /* stxr w3, w5, [x0] */
		 0xd65f03c0, /* ret */
	 }},
	{"an exclusive load by itself",
	 "mmmm",
	 {
		 0xaa0203e1, /* mov x1, x2 */
		 0x885f7c03, /* ldxr w3, [x0] */
		 0x2a0303e0, /* mov w0, w3 */
		 0xd65f03c0, /* ret */
	 }},
	{"movprfx",
	 "m--m",
	 {
		 0xaa0203e1, /* mov x1, x2 */
		 0x0420bc20, /* .inst 0x0420bc20 */
		 0x04a00020, /* .inst 0x04a00020 */
		 0xd65f03c0, /* ret */
	 }},
	{"a copy in three steps",
	 "m---m",
	 {
		 0xaa0203e1, /* mov x1, x2 */
		 0x1d010440, /* .inst 0x1d010440 */
		 0x1d410440, /* .inst 0x1d410440 */
		 0x1d810440, /* .inst 0x1d810440 */
		 0xd65f03c0, /* ret */
	 }},
	{"landing pads",
	 "mmbmbbmm",
	 {
		 0xd503245f, /* hint #34 */
		 0xaa0203e1, /* mov x1, x2 */
		 0xd503249f, /* hint #36 */
		 0xaa0203e1, /* mov x1, x2 */
		 0xd503233f, /* hint #25 */
		 0xd503237f, /* hint #27 */
		 0xd50323bf, /* hint #29 */
		 0xd65f03c0, /* ret */
	 }},
	{"traps",
	 "m-m",
	 {
		 0xaa0203e1, /* mov x1, x2 */
		 0xd4200020, /* brk #1 */
		 0xd65f03c0, /* ret */
	 }},
	{"traps for the kernel: no instructions of a program",
	 "m----",
	 {
		 0xaa0203e1, /* mov x1, x2 */
		 0xd4000002, /* hvc #0 */
		 0xd4000003, /* smc #0 */
		 0xd4400020, /* hlt #1 */
		 0xd65f03c0, /* ret */
	 }},
	{"a system call, a call through x30",
	 "mm-m",
	 {
		 0xaa0203e1, /* mov x1, x2 */
		 0xd4000001, /* svc #0 */
		 0xd63f03c0, /* blr x30 */
		 0xd65f03c0, /* ret */
	 }},
	{"it goes on behind its end, and has a switch",
	 "mmm--",
	 {
		 0x10000061, /* adr x1, 1f */
		 0x8b208820, /* add x0, x1, w0, sxtb #2 */
		 0xd61f0000, /* br x0 */
		 0x52800020, /* 1: mov w0, #1 */
		 0x52800040, /* mov w0, #2 */
	 }},
	{"a loop inside",
	 "mmmmmm",
	 {
		 0xaa0203e1, /* mov x1, x2 */
		 0xf1000421, /* 1: subs x1, x1, #1 */
		 0x54ffffe1, /* b.ne 1b */
		 0x5400004e, /* b.al 2f */
		 0xaa0403e3, /* mov x3, x4 */
		 0xd65f03c0, /* 2: ret */
	 }},
};

static int plan(struct st_plan *p, const uint32_t *code, size_t words, size_t offset,
		unsigned int flags)
{
	memset(p, 0xa5, sizeof(*p));
	return st_arch_plan_at(p, (const uint8_t *)code, FUNC, words * 4, words * 4, offset, flags,
			       ST_ISA_NATIVE);
}

static bool is(const struct st_plan *p, int ret, enum st_kind kind)
{
	return kind == ST_KIND_NO ? ret == -ENOTSUP && p->kind == kind && p->why
				  : !ret && p->kind == kind && !p->why;
}

static void small(void)
{
	static const char *const flag_names[] = {"", ", strict", ", any", ", a breakpoint"};
	static const unsigned int flags[] = {0, ST_PLAN_STRICT, ST_PLAN_ANY,
					     ST_PLAN_BREAKPOINT | ST_PLAN_ANY};

	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		size_t words = strlen(cases[c].expect);

		for (size_t i = 0; i < words * 4; i++) {
			char expect = cases[c].expect[i / 4];
			unsigned int f = i % 4;
			enum st_kind kind = ST_KIND_MOVE;
			struct st_plan p;
			int ret;

			if (expect == '.')
				continue;
			if (cases[c].code[i / 4] == 0xd503201f)
				kind = ST_KIND_NOP;
			if (f == 3 || (expect == 'b' && f == 2))
				kind = ST_KIND_BREAKPOINT;
			else if (expect == 'b')
				kind = ST_KIND_NO;
			if (expect == '-')
				kind = ST_KIND_NO;
			ret = plan(&p, cases[c].code, words, i / 4 * 4, flags[f]);
			check(is(&p, ret, kind), "%s: word %zu%s: %d, kind %d: %s", cases[c].name,
			      i / 4, flag_names[f], ret, p.kind, ret ? p.why : "");
			check(p.inside == (i >= 4), "%s: word %zu: inside?", cases[c].name, i / 4);
		}
	}
}

/* A stub that undoes what the landing pad did, and does it again. */
static void signed_entries(void)
{
	static const uint32_t pads[2][2] = {{0xd503233f, 0xd50323bf}, {0xd503237f, 0xd50323ff}};
	uint32_t code[] = {0, 0xa9bf7bfd, 0x910003fd, 0xa8c17bfd, 0xd65f03c0},
		 stub_code[ST_STUB_MAX / 4];
	struct st_stub stub = {
		.buf = (uint8_t *)stub_code, .at = FUNC + 0x10000, .site = 8, .entry = 16};
	struct st_plan p;

	for (int i = 0; i < 2; i++) {
		code[0] = pads[i][0];
		code[2] = 0x910003fd;
		check(!plan(&p, code, 5, 0, ST_PLAN_ANY) && p.addr == FUNC + 4 && p.func == FUNC &&
			      p.signs && p.kind == ST_KIND_MOVE && !p.inside,
		      "behind a pad that signs: %d", p.kind);
		check(!st_arch_stub(&p, &stub) && stub_code[0] == pads[i][1] &&
			      stub_code[stub.resume / 4] == pads[i][0] &&
			      stub.map[0] == stub.resume + 4 &&
			      stub_code[stub.map[0] / 4] == code[1],
		      "the stub behind a pad that signs");
		check(!plan(&p, code, 5, 0, ST_PLAN_BREAKPOINT) && p.addr == FUNC && !p.signs &&
			      p.kind == ST_KIND_BREAKPOINT && !st_arch_stub(&p, &stub) &&
			      stub_code[0] != pads[i][1] &&
			      stub_code[stub.resume / 4] == pads[i][0],
		      "a breakpoint on a pad that signs");
		check(is(&p, plan(&p, code, 1, 0, 0), ST_KIND_NO), "only a pad that signs");
		check(is(&p, plan(&p, code, 1, 0, ST_PLAN_ANY), ST_KIND_BREAKPOINT) &&
			      p.addr == FUNC,
		      "only a pad that signs, any");
		code[2] = 0x17ffffff; /* b .-4 */
		check(is(&p, plan(&p, code, 5, 0, 0), ST_KIND_NO), "a branch behind the pad");
		check(is(&p, plan(&p, code, 5, 0, ST_PLAN_ANY), ST_KIND_BREAKPOINT) &&
			      p.addr == FUNC,
		      "a branch behind the pad, any");
		code[2] = 0x17fffffe; /* b .-8 */
		check(is(&p, plan(&p, code, 5, 0, 0), ST_KIND_MOVE), "a tail call to the pad");
		plan(&p, code, 5, 4, 0);
		check(p.kind == ST_KIND_MOVE && p.inside && !p.signs && p.addr == FUNC + 4,
		      "the same place, inside");
	}
}

static void sweeps(void)
{
	uint32_t code[] = {0xd503233f, 0xa9bf7bfd, 0xa8c17bfd, 0xd65f03c0}, other[4] = {0};
	struct st_plan p[3], *list[3] = {&p[0], &p[1], &p[2]};
	const uint8_t *text = (const uint8_t *)other;

	plan(&p[0], code, 4, 0, 0);
	plan(&p[1], code, 4, 4, 0);
	plan(&p[2], code, 4, 8, 0);
	other[0] = 0x17ffffff; /* b .-4: to the pad */
	check(st_arch_sweep(list, 3, text, FUNC + 4, 16) == 0 && p[0].kind == ST_KIND_MOVE,
	      "a tail call from elsewhere");
	check(st_arch_sweep(list, 3, text, FUNC + 8, 16) == 1 && p[0].kind == ST_KIND_NO &&
		      p[0].why && p[1].kind == ST_KIND_MOVE,
	      "a branch from elsewhere behind the pad");
	plan(&p[0], code, 4, 0, 0);
	other[0] = 0x97ffffff; /* bl .-4 */
	check(st_arch_sweep(list, 3, text, FUNC + 8, 16) == 1 && p[0].kind == ST_KIND_NO,
	      "a call behind the pad");
	other[0] = 0x58ffffe0; /* ldr x0, .-4 */
	check(st_arch_sweep(list, 3, text, FUNC + 8, 16) == 2 && p[1].kind == ST_KIND_NO &&
		      p[2].kind == ST_KIND_NO,
	      "words that are read elsewhere");
}

static void places(void)
{
	uint32_t code[] = {0xaa0103e0, 0xaa0203e1, 0xd65f03c0};
	uint8_t jump[ST_JUMP_MAX];
	struct st_plan p;

	for (size_t offset = 1; offset < 4; offset++)
		check(is(&p, plan(&p, code, 3, offset, ST_PLAN_ANY), ST_KIND_NO), "offset %zu",
		      offset);
	check(is(&p, plan(&p, code, 3, 12, ST_PLAN_ANY), ST_KIND_NO), "behind its end");
	check(is(&p, plan(&p, code, 3, 0x4000000c, ST_PLAN_ANY), ST_KIND_NO), "far behind its end");
	check(is(&p, plan(&p, code, 0, 4, ST_PLAN_ANY), ST_KIND_NO), "in nothing");
	check(!plan(&p, code, 3, 8, 0) && !p.falls && p.addr == FUNC + 8 && p.func == FUNC,
	      "its last instruction");
	check(!plan(&p, code, 3, 4, ST_PLAN_BREAKPOINT) &&
		      !st_arch_jump(&p, 0x123456789a0ul, jump) &&
		      !memcmp(jump, "\x80\x6a\x2a\xd4", 4),
	      "a breakpoint, whatever is in reach");
}

/* Longer than what is followed; a literal at the end makes it necessary to follow. */
static void large(void)
{
	size_t words = 100000;
	uint32_t *code = malloc(words * 4);
	struct st_plan p;

	if (!code)
		abort();
	for (size_t i = 0; i < words; i++)
		code[i] = 0xaa0103e0;
	code[words - 1] = 0xd65f03c0;
	check(is(&p, plan(&p, code, words, 4 * 50000, 0), ST_KIND_MOVE), "a long function");
	code[words - 10] = 0x58000080; /* ldr x0, .+16 */
	code[words - 9] = 0xd65f03c0;
	check(is(&p, plan(&p, code, words, 4 * 50000, 0), ST_KIND_NO),
	      "a long function with a literal");
	check(is(&p, plan(&p, code + words - 16000, 16000, 4 * 10000, 0), ST_KIND_MOVE),
	      "a shorter one");
	check(is(&p, plan(&p, code + words - 16000, 16000, 4 * 15995, 0), ST_KIND_NO),
	      "its literal");
	free(code);
}

int main(void)
{
	small();
	signed_entries();
	sweeps();
	places();
	large();
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
