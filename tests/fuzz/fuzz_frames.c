/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target: any bytes as .eh_frame, as .eh_frame_hdr, and as .gnu_debugdata.
 *
 *	clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. -Iinclude \
 *		tests/fuzz/fuzz_frames.c process/frames.c process/debugfile.c -lelf -llzma -o fuzz_frames
 */
#include <stdlib.h>
#include <process/debugfile.h>
#include <process/frames.h>

static bool each(void *ctx, unsigned long start, unsigned long size)
{
	unsigned int *n = ctx;

	if (!size || start + size <= start)
		abort();
	return ++*n < 100;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct st_debugfile file;
	unsigned int n = 0;

	st_frames_read(data, size, 0x1000, each, &n);
	st_frames_find(data, size, 0x1000);
	if (!st_debugfile_unpack(data, size, &file))
		st_debugfile_close(&file);
	return 0;
}
