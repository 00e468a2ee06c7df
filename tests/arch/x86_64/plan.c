// SPDX-License-Identifier: GPL-2.0-only
/*
 * What st_arch_plan() says of x86-64 functions: each kind of site, each reason for a refusal, once
 * with bytes that just meet it. The function starts at an address that is a multiple of 16.
 */
#include <stdio.h>
#include <string.h>
#include "engine/arch.h"
#include "engine/arch/x86_64/relocate.h"

#define FUNC 0x401000ul

struct plan_case {
	const char *what;
	uint8_t code[48];
	unsigned int size, room;
	enum st_kind kind;
	/* if it can be hooked */
	unsigned int start, len, insns;
	bool live, falls;
	/* if not: what the reason has to contain */
	const char *why;
};

/* clang-format off */
#define NOP(start, len, insns, live) ST_KIND_NOP, start, len, insns, live, true, NULL
#define MOVE(start, len, insns, live, falls) ST_KIND_MOVE, start, len, insns, live, falls, NULL
#define NO(why) ST_KIND_NO, 0, 0, 0, false, false, why

static const struct plan_case cases[] = {
	{ "clang's NOP of 5 bytes", { 0x0f, 0x1f, 0x44, 0x00, 0x08, 0xc3 }, 6, 16, NOP(0, 5, 1, true) },
	{ "a NOP of 9 bytes behind endbr64",
	  { 0xf3, 0x0f, 0x1e, 0xfa, 0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, 0xc3 }, 14, 16, NOP(4, 9, 1, true) },
	{ "GCC's five NOPs", { 0x90, 0x90, 0x90, 0x90, 0x90, 0xc3 }, 6, 16, NOP(0, 5, 5, false) },
	{ "more NOPs than are needed", { 0x90, 0x90, 0x90, 0x90, 0x66, 0x90, 0x90, 0xc3 }, 8, 16, NOP(0, 6, 5, false) },
	{ "too few NOPs move", { 0x90, 0x90, 0x31, 0xc0, 0xc3 }, 5, 16, MOVE(0, 5, 4, false, false) },
	{ "pause is no NOP", { 0xf3, 0x90, 0xf3, 0x90, 0xf3, 0x90, 0xc3 }, 7, 16, MOVE(0, 6, 3, false, true) },
	{ "__fentry__", { 0xe8, 0, 1, 0, 0, 0xc3 }, 6, 16, MOVE(0, 5, 1, true, true) },
	{ "__fentry__ through the GOT", { 0xff, 0x15, 0, 1, 0, 0, 0xc3 }, 7, 16, MOVE(0, 6, 1, true, true) },
	{ "a prologue", { 0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5, 0x53, 0xc3 }, 10, 16,
	  MOVE(4, 5, 3, false, true) },
	{ "one long instruction", { 0xb8, 1, 0, 0, 0, 0xc3 }, 6, 6, MOVE(0, 5, 1, true, true) },
	{ "a call last", { 0x48, 0x83, 0xec, 0x08, 0xe8, 0, 1, 0, 0, 0xc3 }, 10, 16, MOVE(0, 9, 2, false, true) },
	{ "a tail call", { 0xe9, 0, 1, 0, 0 }, 5, 5, MOVE(0, 5, 1, true, false) },
	{ "padding of NOPs", { 0x31, 0xc0, 0xc3, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, 0x0f, 0x1f, 0x00 },
	  3, 16, MOVE(0, 5, 2, false, false) },
	{ "padding of int3", { 0xc3, 0xcc, 0xcc, 0xcc, 0xcc }, 1, 5, MOVE(0, 5, 1, true, false) },
	{ "padding of zeroes at the section's end", { 0xc3 }, 1, 5, MOVE(0, 5, 1, true, false) },
	{ "a loop of itself in the displaced bytes", { 0xff, 0xc9, 0x75, 0xfc, 0xc3 }, 5, 16, MOVE(0, 5, 3, false, false) },
	{ "a branch to behind the displaced bytes", { 0x85, 0xff, 0x74, 0x02, 0x31, 0xc0, 0xc3 }, 7, 16,
	  MOVE(0, 6, 3, false, true) },
	{ "a call of itself", { 0x48, 0x83, 0xec, 0x08, 0x31, 0xc0, 0xe8, 0xf5, 0xff, 0xff, 0xff, 0xc3 }, 12, 16,
	  MOVE(0, 6, 2, false, true) },
	{ "a jump to its own landing pad is a call",
	  { 0xf3, 0x0f, 0x1e, 0xfa, 0xb8, 1, 0, 0, 0, 0xeb, 0xf5 }, 11, 16, MOVE(4, 5, 1, true, true) },
	{ "call *%rsp", { 0x90, 0x90, 0x90, 0xff, 0xd4, 0xc3 }, 6, 16, MOVE(0, 5, 4, false, true) },
	{ "call *-8(%rsp)", { 0x90, 0xff, 0x54, 0x24, 0xf8, 0xc3 }, 6, 16, MOVE(0, 5, 2, false, true) },
	{ "a transaction", { 0xc7, 0xf8, 0, 0, 0, 0, 0xc3 }, 7, 16, MOVE(0, 6, 1, true, true) },
	{ "no size", { 0xb8, 1, 0, 0, 0, 0xc3 }, 0, 6, MOVE(0, 5, 1, true, true) },

	{ "nothing", { 0xc3 }, 0, 0, NO("no bytes") },
	{ "a landing pad alone", { 0xf3, 0x0f, 0x1e, 0xfa }, 4, 16, NO("no instruction") },
	{ "another function behind", { 0x31, 0xc0, 0xc3, 0x90, 0x90 }, 3, 4, NO("another function follows") },
	{ "code behind that has no symbol", { 0x31, 0xc0, 0xc3, 0x31, 0xc0, 0xc3 }, 3, 16, NO("another function follows") },
	{ "NOPs behind, then code", { 0xc3, 0x90, 0x90, 0x90, 0x90, 0x90, 0x31, 0xc0, 0xc3 }, 1, 16,
	  NO("another function follows") },
	{ "an open end", { 0x31, 0xc0 }, 2, 16, NO("runs on behind its end") },
	{ "another symbol within", { 0x55, 0x48, 0x89, 0xe5, 0x53, 0xc3 }, 6, 4, NO("another function starts within") },
	{ "undefined", { 0x31, 0xc0, 0x06, 0x90, 0x90, 0xc3 }, 6, 16, NO("can't be decoded") },
	{ "cut off", { 0x55, 0xb8, 0, 0 }, 4, 4, NO("can't be decoded") },
	{ "a call that returns into it", { 0xff, 0xd0, 0x31, 0xc0, 0x5b, 0xc3 }, 6, 16, NO("a call would have to move") },
	{ "a call as the end of a short function", { 0xff, 0xd0, 0xcc, 0xcc, 0xcc }, 2, 16, NO("a call would have to move") },
	{ "a system call", { 0x31, 0xc0, 0x0f, 0x05, 0x90, 0xc3 }, 6, 16, NO("system call") },
	{ "a breakpoint", { 0xcc, 0x48, 0x89, 0xe5, 0x53, 0xc3 }, 6, 16, NO("breakpoint") },
	{ "a transaction of 16 bits", { 0x66, 0xc7, 0xf8, 0, 0, 0xc3 }, 6, 16, NO("transaction") },
	{ "an illegal instruction", { 0x0f, 0x0b, 0xcc, 0xcc, 0xcc }, 2, 16, NO("raises a signal") },
	{ "a far return", { 0xcb, 0xcc, 0xcc, 0xcc, 0xcc }, 1, 16, NO("far branch") },
	{ "an operand relative to eip", { 0x67, 0x8b, 0x05, 0, 0, 0, 0, 0xc3 }, 8, 16, NO("eip") },
	{ "a 16-bit branch, or not", { 0x66, 0xe9, 0, 1, 0, 0, 0xc3 }, 7, 16, NO("Intel and AMD") },
	{ "a branch into it", { 0x55, 0x48, 0x89, 0xe5, 0x53, 0x75, 0xfa, 0xc3 }, 8, 16, NO("a branch leads into") },
	{ "a jump over a lock prefix", { 0x74, 0x01, 0xf0, 0x48, 0x0f, 0xb1, 0x37, 0xc3 }, 8, 16, NO("a branch leads into") },
	{ "a branch into a single instruction", { 0xb8, 0x31, 0xc0, 0xc3, 0x90, 0x75, 0xfa, 0xc3 }, 8, 16,
	  NO("a branch leads into") },
	{ "a loop around all of it", { 0x55, 0x48, 0x89, 0xe5, 0x53, 0x75, 0xf9, 0xc3 }, 8, 16, NO("a loop starts") },
	{ "a loop behind the landing pad",
	  { 0xf3, 0x0f, 0x1e, 0xfa, 0xb8, 1, 0, 0, 0, 0x75, 0xf9, 0xc3 }, 12, 16, NO("a loop starts") },
	{ "a loop around a NOP area", { 0x0f, 0x1f, 0x44, 0x00, 0x00, 0xff, 0xc9, 0x75, 0xf7, 0xc3 }, 10, 16,
	  NO("a loop starts") },
	/* 06 begins nothing; swept from there, b8 would hide the branch that is in its immediate */
	{ "data among code", { 0x55, 0x48, 0x89, 0xe5, 0x53, 0xc3, 0x06, 0xb8, 0x90, 0xeb, 0xf7, 0x90, 0xc3 }, 13, 16,
	  NO("bytes that can't be decoded") },
};
/* clang-format on */

static bool check(const struct plan_case *c)
{
	struct st_plan plan;
	int err = st_arch_plan(&plan, c->code, FUNC, c->size, c->room, ST_ISA_NATIVE);

	if (plan.func != FUNC || plan.kind != c->kind || (err != 0) != (c->kind == ST_KIND_NO)) {
		printf("%s: kind %d, %s\n", c->what, plan.kind, plan.why ? plan.why : "no reason");
		return false;
	}
	if (plan.kind == ST_KIND_NO) {
		if (plan.why && strstr(plan.why, c->why))
			return true;
		printf("%s: refused for another reason: %s\n", c->what,
		       plan.why ? plan.why : "none");
		return false;
	}
	if (plan.addr == FUNC + c->start && plan.len == c->len && plan.insns == c->insns &&
	    plan.live == c->live && plan.falls == c->falls && plan.jump == 5 &&
	    memcmp(plan.orig, c->code + c->start, c->len) == 0)
		return true;
	printf("%s: addr +%lu, len %u, insns %u, live %d, falls %d\n", c->what, plan.addr - FUNC,
	       plan.len, plan.insns, plan.live, plan.falls);
	return false;
}

/*
 * Three functions of 16 bytes; the second one's end jumps over the first instruction of the third
 * and, which is a tail call, to the start of the first.
 */
static bool check_sweep(void)
{
	uint8_t code[48] = {0};
	struct st_plan plan[3], *plans[3] = {&plan[0], &plan[1], &plan[2]};
	size_t n;

	for (unsigned int i = 0; i < 3; i++)
		memcpy(code + 16 * i, (uint8_t[]){0x55, 0x48, 0x89, 0xe5, 0x53, 0xc3}, 6);
	memcpy(code + 16 + 5, (uint8_t[]){0x74, 33 - (16 + 7), 0xeb, -(16 + 9)}, 4);
	for (unsigned int i = 0; i < 3; i++)
		if (st_arch_plan(&plan[i], code + 16 * i, FUNC + 16 * i, i == 1 ? 9 : 6, 16,
				 ST_ISA_NATIVE) < 0)
			return false;
	n = st_x86_sweep(plans, 3, code, FUNC, sizeof(code));
	if (n == 1 && plan[0].kind == ST_KIND_MOVE && plan[1].kind == ST_KIND_MOVE &&
	    plan[2].kind == ST_KIND_NO && strstr(plan[2].why, "from elsewhere"))
		return true;
	printf("sweep: %zu refused\n", n);
	return false;
}

int main(void)
{
	unsigned int passed = 0, failed = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (check(&cases[i]))
			passed++;
		else
			failed++;
	}
	if (check_sweep())
		passed++;
	else
		failed++;
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
