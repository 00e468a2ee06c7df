// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target: any text as a probe specification, for each architecture. What is accepted must
 *be a program that the agent can run within its bounds; what is refused must point into the text.
 *
 *	clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. -Iinclude \
 *		tests/fuzz/fuzz_spec.c probe/spec.c probe/arch.c -o fuzz_spec
 */
#include <stdlib.h>
#include <string.h>
#include <probe/spec.h>

#define REQUIRE(cond) do { if (!(cond)) abort(); } while (0)

static void check_accepted(const struct st_spec *spec)
{
	unsigned int i;

	REQUIRE(spec->name[0] && memchr(spec->name, 0, sizeof(spec->name)));
	REQUIRE(spec->function[0] && memchr(spec->function, 0, sizeof(spec->function)));
	REQUIRE(memchr(spec->object, 0, sizeof(spec->object)));
	REQUIRE(spec->nargs <= ST_FETCH_MAX);
	for (i = 0; i < spec->nargs; i++) {
		const struct st_spec_arg *a = &spec->arg[i];

		REQUIRE(a->name[0] && memchr(a->name, 0, sizeof(a->name)));
		REQUIRE(a->fetch.derefs <= ST_DEREF_MAX);
		REQUIRE(a->fetch.count >= 1 && a->fetch.count <= ST_SPEC_ARRAY_MAX);
		REQUIRE(a->fetch.size == 1 || a->fetch.size == 2 || a->fetch.size == 4 ||
			a->fetch.size == 8);
		REQUIRE(a->fetch.base <= ST_FETCH_COMM && a->fetch.type <= ST_TYPE_STRING);
		REQUIRE(a->fetch.base != ST_FETCH_REG || a->fetch.index < 34);
		REQUIRE(!a->bits || a->bits + a->shift <= a->fetch.size * 8);
		REQUIRE(!a->array || a->fetch.derefs);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct st_spec_arch *const archs[] = { &st_spec_x86_64, &st_spec_arm64,
							    &st_spec_arm };
	char *text = malloc(size + 1);
	struct st_spec_error err;
	struct st_spec spec;
	size_t i;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	for (i = 0; i < sizeof(archs) / sizeof(archs[0]); i++) {
		if (!st_spec_parse(text, archs[i], &spec, &err)) {
			check_accepted(&spec);
			continue;
		}
		REQUIRE(err.status == 1 || err.status == 2);
		REQUIRE(err.pos <= strlen(text));
		REQUIRE(err.text[0]);
	}
	free(text);
	return 0;
}
