// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer: the AArch64 planner and mover on any words, at any offset. Nothing may read outside
 *the bytes given or write outside the buffer (AddressSanitizer), and what they return must be what
 * engine/arch.h promises.
 *
 *	clang -g -O1 -fsanitize=fuzzer,address,undefined -I. -Iinclude \
 *		tests/fuzz/fuzz_a64_plan.c engine/arch/arm64/decode.c engine/arch/arm64/flow.c \
 *		engine/arch/arm64/plan.c engine/arch/arm64/relocate.c engine/arch/arm64/stub.c \
 *		-o fuzz_a64_plan
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "engine/arch.h"

#define require(x)                                                                                 \
	do {                                                                                       \
		if (!(x))                                                                          \
			__builtin_trap();                                                          \
	} while (0)

static void check_plan(const struct st_plan *plan, const uint8_t *code, unsigned long func,
		       size_t size, size_t offset, unsigned int flags)
{
	size_t at = plan->addr - func;

	require(plan->kind != ST_KIND_NO && !plan->why);
	require(plan->func == func && plan->isa == ST_ISA_NATIVE);
	require(offset ? at == offset && plan->inside : (at == 0 || at == 4) && !plan->inside);
	require(plan->len == 4 && plan->jump == 4 && plan->insns == 1 && !plan->offs[0]);
	require(at + 4 <= size && !memcmp(plan->orig, code + at, 4));
	require(!plan->signs || (at == 4 && !plan->inside && plan->kind != ST_KIND_BREAKPOINT));
	require(!(flags & ST_PLAN_BREAKPOINT) || plan->kind == ST_KIND_BREAKPOINT);
	require(flags & (ST_PLAN_ANY | ST_PLAN_BREAKPOINT) || plan->kind != ST_KIND_BREAKPOINT);
}

static void check_stub(struct st_plan *plan, unsigned long at, unsigned long ret)
{
	uint8_t *buf = malloc(ST_STUB_MAX), *jump = malloc(4);
	struct st_stub stub = {.buf = buf, .at = at & ~15ul, .site = 8, .entry = 16, .ret = ret};
	unsigned long dist = stub.at > plan->addr ? stub.at - plan->addr : plan->addr - stub.at;
	int err;

	require(buf && jump);
	err = st_arch_stub(plan, &stub);
	if (dist > st_arch_reach(ST_ISA_NATIVE)) {
		require(err == -ERANGE);
	} else if (err) {
		require(err == -ERANGE && plan->inside && plan->why);
	} else {
		require(stub.size <= ST_STUB_MAX && !(stub.size & 3) && stub.resume < stub.size);
		require(stub.map[0] == stub.resume + (plan->signs ? 4 : 0) && !stub.path);
		require(!stub.after == (!ret || plan->inside) && stub.after < stub.size);
		require(!st_arch_jump(plan, stub.at, jump));
	}
	free(buf);
	free(jump);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned int flags[] = {0, ST_PLAN_STRICT, ST_PLAN_ANY,
					     ST_PLAN_ANY | ST_PLAN_BREAKPOINT};
	unsigned long func, at;
	struct st_plan plan;
	uint8_t *code;
	int err;

	if (size < 4)
		return 0;
	func = 0x40000000 + data[0] * 4;
	at = func + ((unsigned long)data[1] << 22) - ((unsigned long)data[2] << 22);
	code = malloc(size - 3);
	require(code);
	memcpy(code, data + 4, size - 4);
	size -= 4;
	for (size_t offset = 0; offset < size + 8; offset += offset % 16 ? 1 : 4) {
		unsigned int f = flags[(data[3] + offset / 4) & 3];

		memset(&plan, 0xa5, sizeof(plan));
		err = st_arch_plan_at(&plan, code, func, size, size, offset, f, ST_ISA_NATIVE);
		if (err) {
			require(err == -ENOTSUP && plan.kind == ST_KIND_NO && plan.why);
			continue;
		}
		check_plan(&plan, code, func, size, offset, f);
		check_stub(&plan, at, data[3] & 4 ? 0x1000 : 0);
		st_arch_sweep(&(struct st_plan *){&plan}, 1, code, func, size);
		require(plan.kind != ST_KIND_NO || plan.why);
	}
	free(code);
	return 0;
}
