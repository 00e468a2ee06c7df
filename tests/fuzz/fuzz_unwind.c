/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target: any bytes as frame descriptions, .eh_frame, .debug_frame and .ARM.exidx, and any registers and stack to unwind by them.
 *
 *	clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. -Iinclude \
 *		tests/fuzz/fuzz_unwind.c process/cfi.c process/exidx.c process/frames.c -o fuzz_unwind
 */
#include <stdlib.h>
#include <string.h>
#include <process/cfi.h>
#include <process/exidx.h>

struct input {
	const uint8_t *data;
	size_t size;
	unsigned int reads;
};

/* The stack is the input, too, from address 0 on. */
static bool read_word(void *ctx, unsigned long addr, unsigned long *word)
{
	struct input *in = ctx;

	if (addr >= in->size || in->size - addr < sizeof(*word))
		return false;
	memcpy(word, in->data + addr, sizeof(*word));
	in->reads++;
	return true;
}

static bool read_memory(void *ctx, unsigned long addr, void *buf, size_t len)
{
	struct input *in = ctx;

	if (addr >= in->size || in->size - addr < len)
		return false;
	memcpy(buf, in->data + addr, len);
	return true;
}

static void walk(struct input *in, bool debug)
{
	unsigned long cfa, at;
	struct st_cfi_table t;

	if (!st_cfi_open(&t, in->data, in->size, 0x1000, debug)) {
		st_cfi_close(&t);
		return;
	}
	for (size_t i = 0; i < t.n && i < 50; i++) {
		struct st_cfi_regs regs = { .pc = t.frame[i].start };
		const struct st_frame *f = st_cfi_find(&t, regs.pc + t.frame[i].size / 2);

		if (f && (regs.pc + t.frame[i].size / 2 < f->start || regs.pc + t.frame[i].size / 2 - f->start >= f->size))
			abort();
		for (int k = 0; k < ST_CFI_REGS; k++)
			regs.r[k] = (unsigned long)k * 8;
		st_cfi_step(&t, &t.frame[i], t.frame[i].start + t.frame[i].size / 2, &regs, &cfa, &at, read_word, in);
	}
	st_cfi_close(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .data = data, .size = size };
	struct st_cfi_regs regs = { 0 };
	unsigned long entry, cfa, at;
	uint32_t word, *index;

	walk(&in, false);
	walk(&in, true);
	index = malloc(size + 1);
	memcpy(index, data, size);
	if (st_exidx_find(index, size / 8, 0, size / 2, &entry, &word)) {
		if (entry >= size)
			abort();
		st_exidx_step(entry, word, &regs, &cfa, &at, read_memory, read_word, &in);
	}
	free(index);
	return 0;
}
