/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target: any bytes as a patch file's manifest.
 *
 *	clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. -Iinclude \
 *		tests/fuzz/fuzz_manifest.c patch/manifest.c -lelf -o fuzz_manifest
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <patch/manifest.h>
#include <process/process.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[ST_ERR_MAX] = "";
	struct st_manifest m;
	size_t total = 0;

	if (st_manifest_read(data, size, &m, err)) {
		if (!err[0])
			abort();
		return 0;
	}
	if (!m.name || !m.level || !(m.replaces + m.callbacks))
		abort();
	for (size_t i = 0; i < m.replaces; i++)
		total += strlen(m.replace[i].object) + strlen(m.replace[i].symbol) + strlen(m.replace[i].own);
	st_manifest_free(&m);
	return total > size;
}
