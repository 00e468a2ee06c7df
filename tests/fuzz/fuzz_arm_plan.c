// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer: the planner and mover of A32 and T32 on any bytes. Nothing may read outside the bytes
 *given or write outside the buffer (AddressSanitizer), and what they return must be what their
 *header promises.
 *
 *	clang -g -O1 -fsanitize=fuzzer,address,undefined -I. -Iinclude \
 *		tests/fuzz/fuzz_arm_plan.c engine/arch/arm/relocate.c engine/arch/arm/walk.c \
 *		engine/arch/arm/plan.c engine/arch/arm/stub.c -o fuzz_arm_plan
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "engine/arch/arm/arm.h"

#define require(x)                                                                                 \
	do {                                                                                       \
		if (!(x))                                                                          \
			__builtin_trap();                                                          \
	} while (0)

static void check_stub(struct st_plan *plan, unsigned long at)
{
	bool thumb = plan->isa == ST_ISA_T32;
	uint8_t *buf = malloc(ST_STUB_MAX), *jump = malloc(plan->jump);
	struct st_stub stub = {
		.buf = buf, .at = at & 0xfffffff0ul, .site = 1, .entry = 2, .ret = 4};
	int ret;

	require(buf && jump);
	ret = st_arch_stub(plan, &stub);
	if (ret) {
		require(ret == -ERANGE || (ret == -ENOTSUP && plan->why));
	} else {
		require(stub.size <= ST_STUB_MAX && stub.resume < stub.size && !stub.path);
		require(stub.after < stub.size && !stub.after == plan->inside);
		for (unsigned int i = 0; i < plan->insns; i++)
			require(stub.map[i] >= stub.resume && stub.map[i] < stub.size);
		require(!st_arch_jump(plan, stub.at | thumb, jump));
	}
	free(buf);
	free(jump);
}

static void check_plan(const struct st_plan *plan, const uint8_t *code, size_t size, size_t room,
		       size_t offset, unsigned int flags)
{
	bool block = plan->isa == ST_ISA_T32 && plan->insns > 1 && plan->orig[1] == 0xbf;
	unsigned int i;

	require(plan->kind == ST_KIND_NOP || plan->kind == ST_KIND_MOVE ||
		plan->kind == ST_KIND_BREAKPOINT);
	require(plan->addr == plan->func + offset && plan->inside == (offset != 0));
	require(plan->jump && plan->jump <= plan->len && plan->len <= ST_DISPLACED_MAX);
	require(offset + plan->len <= (size > room ? size : room));
	require(plan->insns && plan->insns <= ST_INSNS_MAX && !plan->offs[0]);
	require(!memcmp(plan->orig, code + offset, plan->len));
	for (i = 1; i < plan->insns; i++)
		require(plan->offs[i] > plan->offs[i - 1] && plan->offs[i] < plan->len);
	require(plan->isa != ST_ISA_A32 || (plan->insns == 1 && plan->len == 4));
	require(plan->kind != ST_KIND_BREAKPOINT || (plan->insns == 1 && !plan->live));
	require(plan->kind == ST_KIND_BREAKPOINT || (plan->jump == 4 && !plan->it));
	require(plan->kind != ST_KIND_BREAKPOINT || flags & (ST_PLAN_ANY | ST_PLAN_BREAKPOINT));
	require(plan->kind == ST_KIND_BREAKPOINT || !(flags & ST_PLAN_BREAKPOINT));
	require(!(flags & ST_PLAN_STRICT) || plan->insns == 1 || block || plan->offs[1] >= 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned long func, at;
	struct st_plan plan;
	size_t room, fn_size, offset;
	enum st_isa isa;
	uint8_t *code;

	if (size < 9)
		return 0;
	isa = data[0] & 16 ? ST_ISA_A32 : ST_ISA_T32;
	func = 0x400000 + (data[0] & 14);
	at = func + ((unsigned long)data[1] << 16) - ((unsigned long)data[2] << 18);
	room = size - 9;
	fn_size = data[3] | data[4] << 8;
	if (fn_size > room)
		fn_size = room;
	if (data[5] & 1 && fn_size) /* another symbol within */
		room = room < data[6] ? room : data[6];
	if (fn_size > room)
		fn_size = room;
	offset = data[8] * 2u;
	code = malloc(room ? room : 1);
	require(code);
	memcpy(code, data + 9, room);
	for (unsigned int flags = 0; flags < 8; flags++) {
		struct st_plan *list = &plan;
		int err;

		memset(&plan, 0xa5, sizeof(plan));
		err = st_arch_plan_at(&plan, code, func, fn_size, room,
				      flags & 1	    ? offset
				      : data[7] & 1 ? 0
						    : offset,
				      flags, isa);
		if (err) {
			require(err == -ENOTSUP && plan.kind == ST_KIND_NO && plan.why);
			continue;
		}
		check_plan(&plan, code, fn_size, room, plan.addr - func, flags);
		check_stub(&plan, at);
		st_arch_sweep(&list, 1, code, func, room);
		require(plan.kind != ST_KIND_NO || plan.why);
	}
	free(code);
	return 0;
}
