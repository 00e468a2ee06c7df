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

/* Places in functions, and what entries can have besides a jump. */
struct place_case {
	const char *what;
	uint8_t code[48];
	unsigned int size, room, offset, flags;
	enum st_kind kind;
	unsigned int start, len, insns;
	bool inside, falls;
	const char *why;
};

#define ANY ST_PLAN_ANY
#define STRICT ST_PLAN_STRICT
#define BP ST_PLAN_BREAKPOINT
#define JUMP_AT(start, len, insns, falls) ST_KIND_MOVE, start, len, insns, true, falls, NULL
#define BREAK_AT(start, len, falls) ST_KIND_BREAKPOINT, start, len, 1, true, falls, NULL
#define NONE(why) ST_KIND_NO, 0, 0, 0, false, false, why
#define PROLOGUE 0x55, 0x48, 0x89, 0xe5 /* push %rbp; mov %rsp, %rbp */

/* clang-format off */
static const struct place_case places[] = {
	{ "several instructions", { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x5d, 0xc3 }, 10, 16, 4, 0, JUMP_AT(4, 5, 3, true) },
	{ "one long instruction", { PROLOGUE, 0xb8, 1, 0, 0, 0, 0x5d, 0xc3 }, 11, 16, 4, 0, JUMP_AT(4, 5, 1, true) },
	{ "one, where control may come to any", { PROLOGUE, 0xb8, 1, 0, 0, 0, 0x5d, 0xc3 }, 11, 16, 4, STRICT,
	  JUMP_AT(4, 5, 1, true) },
	{ "several, where control may come to any", { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x5d, 0xc3 }, 10, 16, 4, STRICT | ANY,
	  BREAK_AT(4, 2, true) },
	{ "the same, by a jump", { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x5d, 0xc3 }, 10, 16, 4, STRICT, NONE("to any of its") },
	{ "an indirect jump in the function", { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x5d, 0xff, 0xe1 }, 11, 16, 4, ANY,
	  BREAK_AT(4, 2, true) },
	{ "a jump through a pointer, too", { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x5d, 0xff, 0x25, 0, 1, 0, 0 }, 15, 16, 4, ANY,
	  BREAK_AT(4, 2, true) },
	{ "a table in the program's data", { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x5d, 0xff, 0x24, 0xc5, 0, 1, 0, 0 }, 16, 16, 4, ANY,
	  BREAK_AT(4, 2, true) },
	{ "a jump by push and ret", { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x5d, 0x51, 0xc3 }, 11, 16, 4, ANY, BREAK_AT(4, 2, true) },
	{ "a return to what was stored", { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x5d, 0x48, 0x89, 0x04, 0x24, 0xc3 }, 14, 16, 4, ANY,
	  BREAK_AT(4, 2, true) },
	{ "a cold part that may have a table", { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x5d, 0x0f, 0x84, 0, 1, 0, 0, 0xc3 }, 16, 16, 4,
	  ANY, BREAK_AT(4, 2, true) },
	{ "one long instruction under an indirect jump", { PROLOGUE, 0xb8, 1, 0, 0, 0, 0xff, 0xe1 }, 11, 16, 4, 0,
	  JUMP_AT(4, 5, 1, true) },
	{ "only a breakpoint is wanted", { PROLOGUE, 0xb8, 1, 0, 0, 0, 0x5d, 0xc3 }, 11, 16, 4, BP, BREAK_AT(4, 5, true) },
	{ "a branch into it", { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x90, 0x75, 0xfb, 0xc3 }, 12, 16, 4, ANY, BREAK_AT(4, 2, true) },
	{ "the same, by a jump", { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x90, 0x75, 0xfb, 0xc3 }, 12, 16, 4, 0, NONE("leads into") },
	{ "a loop around it", { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x90, 0x75, 0xf9, 0xc3 }, 12, 16, 4, 0, JUMP_AT(4, 5, 3, true) },
	{ "a call into it", { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x90, 0xe8, 0xf8, 0xff, 0xff, 0xff, 0xc3 }, 15, 16, 4, ANY,
	  BREAK_AT(4, 2, true) },
	{ "a call of it", { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x90, 0xe8, 0xf6, 0xff, 0xff, 0xff, 0xc3 }, 15, 16, 4, 0,
	  JUMP_AT(4, 5, 3, true) },
	{ "a transaction aborts into it", { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x90, 0xc7, 0xf8, 0xf7, 0xff, 0xff, 0xff, 0xc3 }, 16, 16,
	  4, ANY, BREAK_AT(4, 2, true) },
	{ "a loop of itself", { PROLOGUE, 0xff, 0xc9, 0x75, 0xfc, 0x5d, 0xc3 }, 10, 16, 4, 0, JUMP_AT(4, 5, 3, true) },
	{ "its label is taken by lea",
	  { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x48, 0x8d, 0x05, 0xf7, 0xff, 0xff, 0xff, 0xc3 }, 16, 16, 4, ANY,
	  BREAK_AT(4, 2, true) },
	{ "and what is behind that may be data",
	  { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x48, 0x8d, 0x05, 0xf7, 0xff, 0xff, 0xff, 0xc3 }, 16, 16, 6, ANY, NONE("data") },
	{ "its label is a constant", { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0xb8, 0x06, 0x10, 0x40, 0, 0xc3 }, 14, 16, 4, ANY,
	  BREAK_AT(4, 2, true) },
	{ "its label is one of 64 bits",
	  { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x48, 0xb8, 0x06, 0x10, 0x40, 0, 0, 0, 0, 0, 0xc3 }, 19, 32, 4, ANY,
	  BREAK_AT(4, 2, true) },
	{ "a landing pad within", { PROLOGUE, 0x31, 0xc0, 0xf3, 0x0f, 0x1e, 0xfa, 0xc3 }, 11, 16, 4, ANY, BREAK_AT(4, 2, true) },
	{ "a landing pad itself", { PROLOGUE, 0xf3, 0x0f, 0x1e, 0xfa, 0x89, 0xf9, 0xc3 }, 11, 16, 4, 0, JUMP_AT(4, 6, 2, true) },
	{ "NOPs are instructions", { PROLOGUE, 0x0f, 0x1f, 0x44, 0, 0, 0xc3 }, 10, 16, 4, 0, JUMP_AT(4, 5, 1, true) },
	{ "a call last", { PROLOGUE, 0x31, 0xc0, 0xe8, 0, 1, 0, 0, 0x5d, 0xc3 }, 13, 16, 4, 0, JUMP_AT(4, 7, 2, true) },
	{ "a call first", { PROLOGUE, 0xff, 0xd0, 0x31, 0xc0, 0x90, 0x5d, 0xc3 }, 11, 16, 4, ANY, BREAK_AT(4, 2, true) },
	{ "a system call", { PROLOGUE, 0x0f, 0x05, 0x31, 0xc0, 0x90, 0x5d, 0xc3 }, 11, 16, 4, ANY, BREAK_AT(4, 2, true) },
	{ "a system call behind it", { PROLOGUE, 0x31, 0xc0, 0x0f, 0x05, 0x90, 0x5d, 0xc3 }, 11, 16, 4, ANY, BREAK_AT(4, 2, true) },
	{ "the older system call", { PROLOGUE, 0xcd, 0x80, 0x31, 0xc0, 0x90, 0x5d, 0xc3 }, 11, 16, 4, ANY, BREAK_AT(4, 2, true) },
	{ "another interrupt", { PROLOGUE, 0xcd, 0x03, 0x31, 0xc0, 0x90, 0x5d, 0xc3 }, 11, 16, 4, ANY, NONE("raises a signal") },
	{ "sysenter", { PROLOGUE, 0x0f, 0x34, 0x31, 0xc0, 0x90, 0x5d, 0xc3 }, 11, 16, 4, ANY, NONE("sysenter") },
	{ "a trap", { PROLOGUE, 0x0f, 0x0b, 0x31, 0xc0, 0x90, 0x5d, 0xc3 }, 11, 16, 4, ANY, NONE("raises a signal") },
	{ "hlt", { PROLOGUE, 0xf4, 0x31, 0xc0, 0x90, 0x5d, 0xc3 }, 10, 16, 4, ANY, NONE("raises a signal") },
	{ "a breakpoint", { PROLOGUE, 0xcc, 0x31, 0xc0, 0x90, 0x5d, 0xc3 }, 10, 16, 4, ANY, NONE("breakpoint") },
	{ "a far return", { PROLOGUE, 0x48, 0xcb, 0x31, 0xc0, 0x90, 0x5d, 0xc3 }, 11, 16, 4, ANY, NONE("far branch") },
	{ "the last one, and padding", { PROLOGUE, 0x5d, 0xc3, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 }, 6, 16, 4, 0,
	  JUMP_AT(4, 5, 2, false) },
	{ "the last one, and another function", { PROLOGUE, 0x5d, 0xc3 }, 6, 6, 5, ANY, BREAK_AT(5, 1, false) },
	{ "the same, by a jump", { PROLOGUE, 0x5d, 0xc3 }, 6, 6, 5, 0, NONE("another follows") },
	{ "an open end", { PROLOGUE, 0x31, 0xc0 }, 6, 16, 4, ANY, BREAK_AT(4, 2, true) },
	{ "a symbol within it", { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x5d, 0xc3 }, 10, 6, 4, ANY, BREAK_AT(4, 2, true) },
	{ "a symbol within one instruction", { PROLOGUE, 0xb8, 1, 0, 0, 0, 0x5d, 0xc3 }, 11, 5, 4, ANY, BREAK_AT(4, 5, true) },
	{ "behind a symbol within", { PROLOGUE, 0x31, 0xc0, 0x89, 0xf9, 0x5d, 0xc3 }, 10, 4, 4, ANY, BREAK_AT(4, 2, true) },
	{ "one, behind a symbol within", { PROLOGUE, 0xb8, 1, 0, 0, 0, 0x5d, 0xc3 }, 11, 4, 4, 0, JUMP_AT(4, 5, 1, true) },
	{ "no instruction starts there", { PROLOGUE, 0xb8, 1, 0, 0, 0, 0x5d, 0xc3 }, 11, 16, 5, ANY, NONE("no instruction starts") },
	{ "behind the end", { PROLOGUE, 0xc3 }, 5, 16, 5, ANY, NONE("in front of it") },
	{ "behind what can't be decoded", { PROLOGUE, 0x06, 0x31, 0xc0, 0x89, 0xf9, 0x90, 0xc3 }, 11, 16, 5, ANY, NONE("data") },
	{ "in front of what can't be decoded", { PROLOGUE, 0x31, 0xc0, 0x90, 0x90, 0x90, 0xc3, 0x06 }, 11, 16, 4, ANY,
	  JUMP_AT(4, 5, 4, true) },
	/* mov 1(%rip), %eax; ret; 8 bytes of data */
	{ "in front of the function's data", { 0x90, 0x8b, 0x05, 1, 0, 0, 0, 0xc3, 1, 2, 3, 4, 5, 6, 7, 8 }, 16, 16, 1, 0,
	  JUMP_AT(1, 6, 1, true) },
	{ "the function's data", { 0x90, 0x8b, 0x05, 1, 0, 0, 0, 0xc3, 1, 2, 3, 4, 5, 6, 7, 8 }, 16, 16, 8, ANY, NONE("data") },
	{ "no size, behind what must be the end", { PROLOGUE, 0x5d, 0xc3, 0x31, 0xc0, 0x89, 0xf9, 0x90, 0xc3 }, 0, 12, 6, ANY,
	  NONE("data") },
	{ "no size, behind a branch over it", { PROLOGUE, 0x74, 1, 0xc3, 0x31, 0xc0, 0x89, 0xf9, 0x90, 0xc3 }, 0, 13, 7, ANY,
	  JUMP_AT(7, 5, 3, true) },

	{ "behind the landing pad is the entry", { 0xf3, 0x0f, 0x1e, 0xfa, 0xb8, 1, 0, 0, 0, 0xc3 }, 10, 16, 4, 0,
	  ST_KIND_MOVE, 4, 5, 1, false, true, NULL },
	{ "an entry, by a breakpoint", { 0xf3, 0x0f, 0x1e, 0xfa, 0xb8, 1, 0, 0, 0, 0xc3 }, 10, 16, 0, BP,
	  ST_KIND_BREAKPOINT, 4, 5, 1, false, true, NULL },
	{ "a NOP by a breakpoint", { 0x0f, 0x1f, 0x44, 0, 0, 0xc3 }, 6, 16, 0, BP, ST_KIND_BREAKPOINT, 0, 5, 1, false, true, NULL },
	{ "an entry that a jump fits into", { PROLOGUE, 0x53, 0xc3 }, 6, 16, 0, ANY, ST_KIND_MOVE, 0, 5, 3, false, true, NULL },
	{ "a branch into an entry", { PROLOGUE, 0x53, 0x75, 0xfa, 0xc3 }, 8, 16, 0, ANY, ST_KIND_BREAKPOINT, 0, 1, 1, false, true,
	  NULL },
	{ "the start of a cold part", { 0x31, 0xc0, 0x89, 0xf9, 0x90, 0xc3 }, 6, 16, 0, ST_PLAN_PART | ANY,
	  ST_KIND_BREAKPOINT, 0, 2, 1, true, true, NULL },
	{ "one long instruction of a cold part", { 0xb8, 1, 0, 0, 0, 0xc3 }, 6, 16, 0, ST_PLAN_PART,
	  ST_KIND_MOVE, 0, 5, 1, true, true, NULL },
	{ "a short function", { 0x31, 0xc0, 0xc3 }, 3, 3, 0, ANY, ST_KIND_BREAKPOINT, 0, 2, 1, false, true, NULL },
	{ "a function of one ret", { 0xc3 }, 1, 1, 0, ANY, ST_KIND_BREAKPOINT, 0, 1, 1, false, false, NULL },
	{ "a symbol within an entry", { PROLOGUE, 0x53, 0xc3 }, 6, 4, 0, ANY, ST_KIND_BREAKPOINT, 0, 1, 1, false, true, NULL },
	{ "an entry that starts with a call", { 0xff, 0xd0, 0x31, 0xc0, 0x5b, 0xc3 }, 6, 16, 0, ANY,
	  ST_KIND_BREAKPOINT, 0, 2, 1, false, true, NULL },
	/* the red zone may be live there: like a site inside */
	{ "an entry that a loop comes to", { PROLOGUE, 0x53, 0x75, 0xf9, 0xc3 }, 8, 16, 0, ANY, ST_KIND_MOVE, 0, 5, 3, true, true, NULL },
	{ "the same, by a breakpoint", { PROLOGUE, 0x53, 0x75, 0xf9, 0xc3 }, 8, 16, 0, BP, ST_KIND_BREAKPOINT, 0, 1, 1, true, true, NULL },
	{ "a loop of its first instruction", { 0xe2, 0xfe, 0x31, 0xc0, 0x90, 0xc3 }, 6, 16, 0, BP, ST_KIND_BREAKPOINT, 0, 2, 1, false, true,
	  NULL },
	{ "an entry that calls the kernel", { 0x0f, 0x05, 0xc3 }, 3, 16, 0, ANY, ST_KIND_BREAKPOINT, 0, 2, 1, false, true, NULL },
	{ "an entry that traps", { 0x0f, 0x0b, 0x31, 0xc0, 0x90, 0xc3 }, 6, 16, 0, ANY, NONE("raises a signal") },
};
/* clang-format on */

static bool check_place(const struct place_case *c)
{
	uint8_t bytes[ST_JUMP_MAX] = {0};
	struct st_plan plan;
	int err = st_arch_plan_at(&plan, c->code, FUNC, c->size, c->room, c->offset, c->flags, ST_ISA_NATIVE);

	if (plan.func != FUNC || plan.kind != c->kind || (err != 0) != (c->kind == ST_KIND_NO)) {
		printf("%s: kind %d, %s\n", c->what, plan.kind, plan.why ? plan.why : "no reason");
		return false;
	}
	if (err) {
		if (plan.why && strstr(plan.why, c->why))
			return true;
		printf("%s: refused for another reason: %s\n", c->what, plan.why ? plan.why : "none");
		return false;
	}
	if (plan.addr != FUNC + c->start || plan.len != c->len || plan.insns != c->insns || plan.inside != c->inside ||
	    plan.falls != c->falls || plan.live != (c->insns == 1) || memcmp(plan.orig, c->code + c->start, c->len)) {
		printf("%s: addr +%lu, len %u, insns %u, inside %d, live %d, falls %d\n", c->what, plan.addr - FUNC, plan.len,
		       plan.insns, plan.inside, plan.live, plan.falls);
		return false;
	}
	if (st_arch_jump(&plan, FUNC + 0x1000, bytes) == 0 && plan.jump == (c->kind == ST_KIND_BREAKPOINT ? 1 : 5) &&
	    bytes[0] == (c->kind == ST_KIND_BREAKPOINT ? 0xcc : 0xe9) && !bytes[plan.jump])
		return true;
	printf("%s: what goes to the site: %u bytes, %02x\n", c->what, plan.jump, bytes[0]);
	return false;
}

/* An instruction that loops around itself: its copy leads to the copy at an entry, to the site inside of a function. */
static bool check_around(void)
{
	static const uint8_t code[] = {0x90, 0xff, 0xc9, 0x75, 0xfc, 0x90, 0xc3}; /* nop; 1: dec %ecx; jne 1b; nop; ret */
	bool right = true;

	for (unsigned int offset = 0; offset < 2; offset++) {
		uint8_t buf[ST_STUB_MAX];
		struct st_stub stub = {.buf = buf, .at = FUNC + 0x10000, .ret = 1};
		unsigned long to;
		struct st_plan plan;
		int32_t rel;

		if (st_arch_plan_at(&plan, code + 1 - offset, FUNC, sizeof(code) - 1 + offset, 16, offset, 0, ST_ISA_NATIVE) ||
		    st_arch_stub(&plan, &stub))
			return false;
		memcpy(&rel, buf + stub.map[1] + 2, 4);
		to = stub.at + stub.map[1] + 6 + rel;
		right &= to == (offset ? plan.addr : stub.at + stub.resume) && plan.inside == offset &&
			 (stub.path == 0) == offset && (stub.after == 0) == offset;
	}
	if (!right)
		printf("a loop of the displaced instructions, or the return part of the stub\n");
	return right;
}

/* Sites of one function whose jumps overlap, and a breakpoint: a branch into both jumps, an address taken of one. */
static bool check_sweep_inside(void)
{
	uint8_t code[48] = {0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xc3, 0x90, 0x90,
			    0x90, 0x90, 0x90, 0x90, 0x90, 0x74, 0xf2,
			    0x48, 0x8d, 0x05, 0xef, 0xff, 0xff, 0xff, 0xc3};
	struct st_plan plan[4], *plans[4];
	size_t n;

	for (unsigned int i = 0; i < 4; i++) {
		plans[i] = &plan[i];
		/* displaced: 1 to 5, 2 to 6, 3, 4 to 8 */
		if (st_arch_plan_at(&plan[i], code, FUNC, 9, 16, i + 1, i == 2 ? BP : 0, ST_ISA_NATIVE))
			return false;
	}
	/* to 4, in the jumps at 1 and 2, and to 8, in the one at 4 */
	n = st_x86_sweep(plans, 4, code, FUNC, sizeof(code));
	if (n == 3 && plan[0].kind == ST_KIND_NO && plan[1].kind == ST_KIND_NO && plan[2].kind == ST_KIND_BREAKPOINT &&
	    plan[3].kind == ST_KIND_NO && strstr(plan[0].why, "from elsewhere"))
		return true;
	printf("sweep inside: %zu refused\n", n);
	return false;
}

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
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		if (check_place(&places[i]))
			passed++;
		else
			failed++;
	}
	for (int i = 0; i < 3; i++) {
		if (i == 0 ? check_sweep() : i == 1 ? check_sweep_inside() : check_around())
			passed++;
		else
			failed++;
	}
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
