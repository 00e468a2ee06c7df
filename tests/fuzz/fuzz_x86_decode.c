// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer: the x86-64 decoder, planner and mover on any bytes. Nothing may read outside the
 * bytes given or write outside the buffer (AddressSanitizer), and what they return must be what
 * their headers promise.
 *
 *	clang -g -O1 -fsanitize=fuzzer,address,undefined -I. -Iinclude \
 *		tests/fuzz/fuzz_x86_decode.c engine/arch/x86_64/decode.c engine/arch/x86_64/stub.c \
 *		engine/arch/x86_64/relocate.c engine/arch/x86_64/plan.c -o fuzz_x86_decode
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "engine/arch.h"
#include "engine/arch/x86_64/relocate.h"

#define require(x)                                                                                 \
	do {                                                                                       \
		if (!(x))                                                                          \
			__builtin_trap();                                                          \
	} while (0)

static void check_decode(const uint8_t *code, size_t size)
{
	struct st_x86_insn insn;
	int len = st_x86_decode(&insn, code, size);

	if (len < 0) {
		require(len == -EINVAL || len == -ENODATA);
		require(len == -EINVAL || size < ST_X86_INSN_MAX);
		return;
	}
	require(len > 0 && len <= ST_X86_INSN_MAX && (size_t)len <= size && len == insn.len);
	require(insn.opcode < len && insn.modrm < len);
	require(insn.disp + insn.disp_len <= len && insn.imm + insn.imm_len <= len);
	require(!insn.rip || insn.disp_len == 4);
	require(!st_x86_is_branch(&insn) || insn.imm + insn.imm_len == len);
	/* A byte less, and it is not there. */
	require(st_x86_decode(&insn, code, len - 1) == -ENODATA);
}

static void check_plan(const struct st_plan *plan, const uint8_t *code, unsigned long func,
		       size_t room, size_t offset, unsigned int flags)
{
	size_t start = plan->addr - func;
	bool breakpoint = plan->kind == ST_KIND_BREAKPOINT;

	require(offset ? start == offset : start == 0 || start == 4);
	require(plan->kind == ST_KIND_NOP || plan->kind == ST_KIND_MOVE || breakpoint);
	require(!breakpoint || flags & (ST_PLAN_ANY | ST_PLAN_BREAKPOINT));
	require(breakpoint || !(flags & ST_PLAN_BREAKPOINT));
	require(plan->inside || !offset || offset == 4);
	require(!plan->inside || offset ||
		flags & (ST_PLAN_ANY | ST_PLAN_BREAKPOINT | ST_PLAN_PART));
	require(plan->jump == (breakpoint ? 1 : 5) && plan->len >= plan->jump &&
		plan->len <= ST_DISPLACED_MAX);
	require(start + plan->len <= room || breakpoint || plan->inside);
	require(plan->insns >= 1 && plan->insns <= (breakpoint || flags & ST_PLAN_STRICT ? 1 : 5) &&
		plan->offs[0] == 0);
	require(memcmp(plan->orig, code + start, plan->len) == 0);
	require(plan->live == (plan->insns == 1));
	for (unsigned int i = 0; i < plan->insns; i++) {
		unsigned int end = i + 1 < plan->insns ? plan->offs[i + 1] : plan->len;
		struct st_x86_insn insn;

		require(plan->offs[i] < plan->jump && plan->offs[i] < end);
		require(st_x86_decode(&insn, plan->orig + plan->offs[i],
				      plan->len - plan->offs[i]) > 0);
		/* The last may have padding behind it. */
		require(insn.len == end - plan->offs[i] || (i + 1 == plan->insns && !plan->falls));
	}
}

static void check_stub(struct st_plan *plan, unsigned long at, unsigned long ret)
{
	uint8_t *out = malloc(ST_STUB_MAX), jump[ST_JUMP_MAX];
	struct st_stub stub = {.buf = out, .at = at & ~15ul, .site = 1, .entry = 2, .ret = ret};

	require(out);
	if (st_arch_stub(plan, &stub) == 0) {
		require(stub.size <= ST_STUB_MAX && stub.resume < stub.size &&
			stub.map[0] == stub.resume);
		require((stub.path != 0) == (ret && !plan->inside) &&
			(stub.after != 0) == (stub.path != 0));
		require(stub.path < stub.size && stub.after < stub.size);
		st_arch_jump(plan, stub.at, jump);
	}
	free(out);
}

static void check_move(struct st_plan *plan, unsigned long at, size_t cap)
{
	uint8_t *out = malloc(cap);
	uint16_t map[ST_INSNS_MAX];
	int len;

	require(out);
	len = st_x86_move(plan, out, cap, at, map);
	if (len < 0) {
		require(len == -ERANGE || len == -ENOTSUP ||
			(len == -ENOSPC && cap < ST_X86_MOVE_MAX));
		require(plan->why);
	} else {
		require((size_t)len <= cap);
		for (unsigned int i = 0; i < plan->insns; i++)
			require(map[i] <= len && (i == 0 || map[i] >= map[i - 1]));
	}
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned long func, at;
	struct st_plan plan;
	size_t room, fn_size, offset;
	unsigned int flags;
	uint8_t *code;
	int err;

	if (size < 10)
		return 0;
	func = 0x400000 + (data[0] & 15);
	at = func + ((unsigned long)data[1] << 24) - ((unsigned long)data[2] << 26);
	room = size - 10;
	fn_size = data[3] | data[4] << 8;
	if (fn_size > room)
		fn_size = room;
	if (data[5] & 1) /* another symbol within */
		room = room < data[6] ? room : data[6];
	offset = data[8];
	flags = data[9] & (ST_PLAN_STRICT | ST_PLAN_BREAKPOINT | ST_PLAN_ANY | ST_PLAN_PART);
	code = malloc(size - 10 ? size - 10 : 1);
	require(code);
	memcpy(code, data + 10, size - 10);
	for (size_t i = 0; i < size - 10; i++)
		check_decode(code + i, size - 10 - i);
	memset(&plan, 0xa5, sizeof(plan));
	err = st_arch_plan_at(&plan, code, func, fn_size, room, offset, flags, ST_ISA_NATIVE);
	if (err) {
		require(err == -ENOTSUP && plan.kind == ST_KIND_NO && plan.why);
	} else {
		check_plan(&plan, code, func, room, offset, flags);
		check_stub(&plan, at, data[5] & 2);
		check_move(&plan, at, ST_X86_MOVE_MAX);
		check_move(&plan, at, data[7]);
	}
	st_x86_has_indirect_jump(code, fn_size);
	st_x86_sweep(&(struct st_plan *){&plan}, 1, code, func, size - 10);
	require(plan.kind != ST_KIND_NO || plan.why);
	free(code);
	return 0;
}
