// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target: any text as a probe specification, for each architecture, and as a filter of the probe in front of it (the
 * two are separated by a newline). What is accepted must be a program that the agent can run within its bounds; what is
 * refused must point into the text.
 *
 *	clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. -Iinclude \
 *		tests/fuzz/fuzz_spec.c probe/spec.c probe/arch.c probe/expr.c probe/filter.c -o fuzz_spec
 */
#include <stdlib.h>
#include <string.h>
#include <probe/expr.h>
#include <probe/filter.h>
#include <probe/spec.h>

#define REQUIRE(cond) do { if (!(cond)) abort(); } while (0)

static void check_value(const struct st_spec_arg *a)
{
	unsigned int i;

	REQUIRE(a->nops <= ST_SPEC_OPS_MAX);
	REQUIRE(a->fetch.count >= 1 && a->fetch.count <= ST_SPEC_ARRAY_MAX);
	REQUIRE(a->fetch.size == 1 || a->fetch.size == 2 || a->fetch.size == 4 || a->fetch.size == 8);
	REQUIRE(a->fetch.base <= ST_FETCH_NONE && a->fetch.type <= ST_TYPE_STRINGS);
	REQUIRE(a->fetch.base != ST_FETCH_REG || a->fetch.index < 34);
	REQUIRE(!a->bits || a->bits + a->shift <= 64);
	REQUIRE(memchr(a->symbol, 0, sizeof(a->symbol)) && memchr(a->text, 0, sizeof(a->text)));
	REQUIRE(!a->symbol[0] || (a->nops && a->op[0].op == ST_OP_IMM));
	for (i = 0; i < a->nops; i++)
		REQUIRE(a->op[i].op < ST_OP_CODES);
}

/* The nodes of an expression form a tree: each is made after those below it. */
static void check_expression(const struct st_spec_arg *a)
{
	struct st_spec_error err;
	struct st_expr e;
	unsigned int i;

	REQUIRE(!st_expr_parse(a->expr, a->expr_len, a->expr, &e, &err));
	REQUIRE(e.n <= ST_EXPR_NODES && e.root > 0 && e.root < e.n);
	for (i = 1; i < e.n; i++) {
		const struct st_expr_node *n = &e.node[i];

		REQUIRE(n->a < e.n && n->b < e.n && n->a != i && n->b != i);
		REQUIRE(!n->name || (n->name >= a->expr && n->name + n->len <= a->expr + a->expr_len));
	}
}

static void check_accepted(const struct st_spec *spec)
{
	unsigned int i;

	REQUIRE(spec->name[0] && memchr(spec->name, 0, sizeof(spec->name)));
	REQUIRE(memchr(spec->function, 0, sizeof(spec->function)));
	REQUIRE(memchr(spec->object, 0, sizeof(spec->object)));
	REQUIRE(spec->function[0] || (spec->object[0] && spec->offset));
	REQUIRE(!spec->ret || !spec->offset || !spec->function[0]);
	REQUIRE(spec->nargs <= ST_FETCH_MAX);
	for (i = 0; i < spec->nargs; i++) {
		REQUIRE(spec->arg[i].name[0] && memchr(spec->arg[i].name, 0, sizeof(spec->arg[i].name)));
		check_value(&spec->arg[i]);
		if (spec->arg[i].expr)
			check_expression(&spec->arg[i]);
	}
}

static void check_filter(const char *text, const struct st_spec_arch *arch, const struct st_spec *spec)
{
	struct st_spec_error err;
	struct st_filter f;
	unsigned int i;

	if (st_filter_parse(text, arch, spec, 1, &f, &err)) {
		REQUIRE(err.status == 2 && err.pos <= strlen(text) && err.text[0]);
		return;
	}
	REQUIRE(f.n <= ST_FILTER_NODES && f.root < f.n);
	for (i = 0; i < f.n; i++) {
		if (f.node[i].kind == ST_FILTER_COMPARE) {
			REQUIRE(f.node[i].name >= text && f.node[i].name + f.node[i].name_len <= text + strlen(text));
			REQUIRE(!f.node[i].is_text || f.node[i].value_len <= ST_FILTER_TEXT_MAX);
		} else {
			REQUIRE(f.node[i].a < i && (f.node[i].kind == ST_FILTER_NOT || f.node[i].b < i));
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct st_spec_arch *const archs[] = { &st_spec_x86_64, &st_spec_arm64,
							    &st_spec_arm };
	char *text = malloc(size + 1);
	struct st_spec_error err;
	static struct st_spec spec;
	char *filter;
	size_t i;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	filter = memchr(text, '\n', size);
	if (filter)
		*filter++ = '\0';
	for (i = 0; i < sizeof(archs) / sizeof(archs[0]); i++) {
		if (!st_spec_parse(text, archs[i], &spec, &err)) {
			check_accepted(&spec);
			if (filter)
				check_filter(filter, archs[i], &spec);
			continue;
		}
		REQUIRE(err.status == 1 || err.status == 2);
		REQUIRE(err.pos <= strlen(text));
		REQUIRE(err.text[0]);
	}
	free(text);
	return 0;
}
