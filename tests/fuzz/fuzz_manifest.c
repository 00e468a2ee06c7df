/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target: any bytes as a patch file: its signature, its manifest with what `patch build` adds, and what is loaded of it. What
 * needs a process is not reached from here, and its symbols are not there.
 *
 *	clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. -Iinclude -fno-pie -no-pie \
 *		-Wl,--unresolved-symbols=ignore-all tests/fuzz/fuzz_manifest.c patch/manifest.c patch/sign.c patch/say.c \
 *		patch/files.c process/load.c process/objects.c process/proc.c process/arch/x86_64.c -lelf -lsodium -o fuzz_manifest
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <patch/manifest.h>
#include <patch/sign.h>
#include <process/process.h>

static size_t length(const struct st_manifest_entry *e, size_t n)
{
	size_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += strlen(e[i].object) + strlen(e[i].symbol) + strlen(e[i].own) + e[i].bound.checksum[ST_CHECKSUM_SIZE - 1];
	return total;
}

/* All that it points to is there. */
static size_t use(const struct st_manifest *m)
{
	size_t total = strlen(m->name) + strlen(m->level) + length(m->replace, m->replaces) + length(m->object, m->objects) +
		       length(m->target, m->targets);

	if (!(m->replaces + m->callbacks))
		abort();
	for (size_t i = 0; i < m->callbacks; i++)
		for (size_t k = 0; k < ST_CALLBACKS_MAX; k++)
			total += strlen(m->callback[i].object) + (m->callback[i].function[k] ? strlen(m->callback[i].function[k]) : 0);
	for (size_t i = 0; i < m->dependses; i++)
		total += strlen(m->depends[i]);
	return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct st_manifest m;
	static volatile size_t total;
	char err[ST_ERR_MAX] = "", who[ST_SIGN_NAME_MAX];
	size_t payload;
	int ret;

	setenv("SIDETRACK_TRUSTED", "/dev/null", 0);
	ret = st_sign_check(data, size, &payload, who, err);
	if (!ret || !*err || payload > size)
		abort();
	*err = '\0';
	ret = st_manifest_read(data, payload, &m, err);
	if (ret && !*err)
		abort();
	if (!ret) {
		total = use(&m);
		st_manifest_free(&m);
	}
	*err = '\0';
	if (st_load_check(data, size, err) && !*err)
		abort();
	return 0;
}
