// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parser of filters. Pure; every refusal points at its place in the text.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "filter.h"

#define DEPTH_MAX 32

struct parser {
	const char *p;
	struct st_filter *f;
	struct st_spec_error *err;
	int depth;
};

static int __attribute__((format(printf, 3, 4))) fail(struct parser *ps, const char *at, const char *fmt, ...)
{
	va_list ap;

	ps->err->pos = (size_t)(at - ps->f->text);
	ps->err->status = 2;
	va_start(ap, fmt);
	vsnprintf(ps->err->text, sizeof(ps->err->text), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static char peek(struct parser *ps)
{
	while (*ps->p == ' ' || *ps->p == '\t' || *ps->p == '\n')
		ps->p++;
	return *ps->p;
}

static bool accept(struct parser *ps, const char *token)
{
	size_t len = strlen(token);

	peek(ps);
	if (strncmp(ps->p, token, len))
		return false;
	ps->p += len;
	return true;
}

static int add(struct parser *ps, enum st_filter_kind kind, int a, int b)
{
	struct st_filter *f = ps->f;

	if (f->n == ST_FILTER_NODES)
		return fail(ps, ps->p, "the filter is too long");
	f->node[f->n] = (struct st_filter_node){ .kind = (uint8_t)kind, .a = (uint8_t)a, .b = (uint8_t)b };
	return (int)f->n++;
}

static int number(struct parser *ps, struct st_filter_node *n)
{
	const char *at = ps->p;
	unsigned int base = 10, digit;
	uint64_t v = 0;
	char c;

	n->negative = *ps->p == '-';
	ps->p += n->negative;
	if (!is_digit(*ps->p))
		return fail(ps, at, "a number or a \"text\" is missing");
	if (*ps->p == '0' && (ps->p[1] | 0x20) == 'x') {
		base = 16;
		ps->p += 2;
	} else if (*ps->p == '0') {
		base = 8;
	}
	if (base == 16 && !is_digit(*ps->p) && !((*ps->p | 0x20) >= 'a' && (*ps->p | 0x20) <= 'f'))
		return fail(ps, at, "a number is missing behind 0x");
	for (; is_digit(*ps->p) || is_start(*ps->p) || *ps->p == '.'; ps->p++) {
		c = (char)(*ps->p | 0x20);
		digit = is_digit(*ps->p) ? (unsigned int)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned int)(c - 'a' + 10) : 16;
		if (digit >= base)
			return fail(ps, at, "this is not a number");
		if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, digit, &v))
			return fail(ps, at, "the number is too large");
	}
	if (n->negative && v > 1ull << 63)
		return fail(ps, at, "the number is too large");
	n->number = (int64_t)(n->negative ? -v : v);
	return 0;
}

static int text(struct parser *ps, struct st_filter_node *n)
{
	char quote = *ps->p++;
	const char *end = strchr(ps->p, quote);

	if (!end)
		return fail(ps, ps->p - 1, "the text does not end (%c)", quote);
	if (end - ps->p > ST_FILTER_TEXT_MAX)
		return fail(ps, ps->p - 1, "the text is too long (at most %d bytes)", ST_FILTER_TEXT_MAX);
	n->is_text = true;
	n->value = ps->p;
	n->value_len = (size_t)(end - ps->p);
	ps->p = end + 1;
	return 0;
}

static int compare(struct parser *ps)
{
	static const char ops[][3] = { "==", "!=", "!~", "<=", ">=", "<", ">", "&", "~" };
	int node = add(ps, ST_FILTER_COMPARE, 0, 0);
	struct st_filter_node *n;
	const char *at;
	bool for_text;
	size_t i;
	int ret;

	if (node < 0)
		return node;
	n = &ps->f->node[node];
	peek(ps);
	n->name = ps->p;
	if (*ps->p == '$' || *ps->p == '%')
		ps->p++;
	if (!is_start(*ps->p))
		return fail(ps, ps->p, *ps->p ? "the name of a value is missing" : "the filter is not complete");
	while (is_start(*ps->p) || is_digit(*ps->p))
		ps->p++;
	n->name_len = (size_t)(ps->p - n->name);
	peek(ps);
	at = ps->p;
	for (i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (!(ops[i][0] == '&' && *ps->p == '&' && ps->p[1] == '&') && accept(ps, ops[i]))
			break;
	if (i == sizeof(ops) / sizeof(ops[0]))
		return fail(ps, at, "an operator is missing (==, !=, <, <=, >, >=, &, ~)");
	memcpy(n->op, ops[i], sizeof(n->op));
	peek(ps);
	ret = *ps->p == '"' || *ps->p == '\'' ? text(ps, n) : number(ps, n);
	if (ret)
		return ret;
	for_text = strchr(n->op, '~') != NULL;
	if (for_text && !n->is_text)
		return fail(ps, at, "%s compares with a \"text\"", n->op);
	if (n->is_text && !for_text && n->op[1] != '=')
		return fail(ps, at, "a text is compared by ==, !=, ~ or !~");
	if (n->is_text && (n->op[0] == '<' || n->op[0] == '>'))
		return fail(ps, at, "a text is compared by ==, !=, ~ or !~");
	return node;
}

static int either(struct parser *ps);

static int factor(struct parser *ps)
{
	int node;

	if (ps->depth == DEPTH_MAX)
		return fail(ps, ps->p, "the filter is nested too deeply");
	ps->depth++;
	if (accept(ps, "!")) {
		node = factor(ps);
		if (node >= 0)
			node = add(ps, ST_FILTER_NOT, node, 0);
	} else if (accept(ps, "(")) {
		node = either(ps);
		if (node >= 0 && !accept(ps, ")"))
			node = fail(ps, ps->p, "')' is missing");
	} else {
		node = compare(ps);
	}
	ps->depth--;
	return node;
}

static int both(struct parser *ps)
{
	int node = factor(ps), right;

	while (node >= 0 && accept(ps, "&&")) {
		right = factor(ps);
		node = right < 0 ? right : add(ps, ST_FILTER_AND, node, right);
	}
	return node;
}

static int either(struct parser *ps)
{
	int node = both(ps), right;

	while (node >= 0 && accept(ps, "||")) {
		right = both(ps);
		node = right < 0 ? right : add(ps, ST_FILTER_OR, node, right);
	}
	return node;
}

static bool is(const struct st_filter_node *n, const char *word)
{
	return n->name_len == strlen(word) && !memcmp(n->name, word, n->name_len);
}

enum st_filter_field st_filter_field(const struct st_filter_node *node, const struct st_spec_arch *arch,
				     const struct st_spec *spec, const struct st_spec_arg **value, struct st_spec_arg *own,
				     bool *is_signed)
{
	struct st_spec_error err;
	char name[ST_SPEC_ARG_NAME_MAX];
	unsigned int i;

	for (i = 0; i < spec->nargs; i++) {
		const struct st_spec_arg *a = &spec->arg[i];

		if (!is(node, a->name))
			continue;
		*value = a;
		*is_signed = a->show == ST_SHOW_SIGNED;
		return a->show == ST_SHOW_COMM ? ST_FIELD_COMM : ST_FIELD_ARG;
	}
	if (is(node, "tid") || is(node, "common_pid"))
		return ST_FIELD_TID;
	if (is(node, "cpu") || is(node, "common_cpu"))
		return ST_FIELD_CPU;
	if (is(node, "comm") || is(node, "COMM") || is(node, "$comm"))
		return ST_FIELD_COMM;
	if ((node->name[0] != '$' && node->name[0] != '%') || node->name_len >= sizeof(name))
		return ST_FIELD_UNKNOWN;
	memcpy(name, node->name, node->name_len);
	name[node->name_len] = '\0';
	if (st_spec_parse_value(name, arch, spec, own, &err))
		return ST_FIELD_UNKNOWN;
	*value = own;
	*is_signed = true;
	return ST_FIELD_ARG;
}

static bool has_name(const struct st_filter_node *n, const struct st_spec_arch *arch, const struct st_spec *spec)
{
	const struct st_spec_arg *value;
	struct st_spec_arg own;
	bool is_signed;

	return n->kind != ST_FILTER_COMPARE || st_filter_field(n, arch, spec, &value, &own, &is_signed);
}

bool st_filter_is_for(const struct st_filter *filter, const struct st_spec_arch *arch, const struct st_spec *spec)
{
	unsigned int i;

	for (i = 0; i < filter->n; i++)
		if (!has_name(&filter->node[i], arch, spec))
			return false;
	return true;
}

/* Can this comparison be made, as far as the text of the probe says of the value's type? */
static int check_types(struct parser *ps, const struct st_spec_arch *arch, const struct st_spec *spec)
{
	unsigned int i;

	for (i = 0; i < ps->f->n; i++) {
		const struct st_filter_node *n = &ps->f->node[i];
		const struct st_spec_arg *value = NULL;
		struct st_spec_arg own;
		enum st_filter_field field;
		bool is_signed = false, is_text;

		if (n->kind != ST_FILTER_COMPARE)
			continue;
		field = st_filter_field(n, arch, spec, &value, &own, &is_signed);
		if (field == ST_FIELD_ARG && value->expr && !value->typed)
			continue;
		is_text = field == ST_FIELD_COMM || (field == ST_FIELD_ARG && value->fetch.type == ST_TYPE_STRING);
		if (field == ST_FIELD_ARG && (value->array || value->show == ST_SHOW_TEXT))
			return fail(ps, n->name, "this value can't be compared");
		if (is_text != n->is_text)
			return fail(ps, n->is_text ? n->value - 1 : n->name, "%.*s is a %s", (int)n->name_len, n->name,
				    is_text ? "text; compare it with one, as in name == \"text\"" : "number");
		if (!is_text && n->negative && !is_signed && strcmp(n->op, "==") && strcmp(n->op, "!="))
			return fail(ps, n->name, "%.*s is never negative (its type is unsigned)", (int)n->name_len, n->name);
	}
	return 0;
}

int st_filter_parse(const char *text, const struct st_spec_arch *arch, const struct st_spec *spec, unsigned int n,
		    struct st_filter *filter, struct st_spec_error *err)
{
	struct parser ps = { .p = text, .f = filter, .err = err };
	unsigned int i, j;
	bool used = false;
	int root, ret;

	memset(filter, 0, sizeof(*filter));
	memset(err, 0, sizeof(*err));
	filter->text = text;
	root = either(&ps);
	if (root < 0)
		return root;
	if (peek(&ps))
		return fail(&ps, ps.p, "the filter should end here, or go on with && or ||");
	filter->root = (unsigned int)root;
	for (i = 0; i < n; i++) {
		if (!st_filter_is_for(filter, arch, &spec[i]))
			continue;
		used = true;
		ret = check_types(&ps, arch, &spec[i]);
		if (ret)
			return ret;
	}
	if (used || !n)
		return 0;
	for (i = 0; i < filter->n; i++) {
		for (j = 0; j < n && !has_name(&filter->node[i], arch, &spec[j]); j++)
			;
		if (j == n)
			return fail(&ps, filter->node[i].name, "no probe has a value named %.*s (nor is it tid, cpu or comm)",
				    (int)filter->node[i].name_len, filter->node[i].name);
	}
	return fail(&ps, text, "no probe has all the values that the filter names");
}
