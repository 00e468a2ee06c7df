// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parser of C expressions: as C has them, without assignments, calls, ?: and floating point, since nothing in the process
 * may change. By precedence; depth and size are bounded.
 *
 * (NAME) is a cast if NAME can only be a type there: words of C's own types, struct and the like, a star, or a value behind it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "expr.h"
#include "spec.h"

#define DEPTH_MAX 32

struct parser {
	const char *p, *end;
	struct st_expr *expr;
	struct st_spec_error *err;
	int depth;
};

static int __attribute__((format(printf, 3, 4))) fail(struct parser *ps, const char *at, const char *fmt, ...)
{
	va_list ap;

	ps->err->pos = (size_t)(at - ps->expr->text);
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
	while (ps->p < ps->end && (*ps->p == ' ' || *ps->p == '\t' || *ps->p == '\n'))
		ps->p++;
	return ps->p < ps->end ? *ps->p : '\0';
}

static bool next_is(struct parser *ps, const char *token)
{
	size_t len = strlen(token);

	peek(ps);
	return (size_t)(ps->end - ps->p) >= len && !memcmp(ps->p, token, len);
}

static bool accept(struct parser *ps, const char *token)
{
	if (!next_is(ps, token))
		return false;
	ps->p += strlen(token);
	return true;
}

/* Returns the index of a new node, or a negative errno. */
static int add(struct parser *ps, enum st_expr_kind kind, const char *at, int a, int b)
{
	struct st_expr *e = ps->expr;

	if (e->n == ST_EXPR_NODES)
		return fail(ps, at, "the expression is too long");
	e->node[e->n] = (struct st_expr_node){ .kind = (uint8_t)kind, .a = (uint16_t)a, .b = (uint16_t)b, .at = at };
	return (int)e->n++;
}

static const char *word_end(const struct parser *ps, const char *p)
{
	while (p < ps->end && (is_start(*p) || is_digit(*p)))
		p++;
	return p;
}

/* An identifier into a node that was just made; it is the next thing in the text. */
static int take_name(struct parser *ps, int node)
{
	struct st_expr_node *n;

	if (node < 0)
		return node;
	if (!is_start(peek(ps)))
		return fail(ps, ps->p, "a name is missing");
	n = &ps->expr->node[node];
	n->name = ps->p;
	ps->p = word_end(ps, ps->p);
	n->len = (size_t)(ps->p - n->name);
	return node;
}

static bool is_word(const char *p, size_t len, const char *const *words)
{
	for (; *words; words++)
		if (strlen(*words) == len && !memcmp(p, *words, len))
			return true;
	return false;
}

static const char *const type_words[] = { "struct", "union", "enum", "const", "volatile", "unsigned", "signed", "char",
					  "short", "int", "long", "void", "_Bool", "bool", "float", "double", NULL };

/*
 * Is `(` here the beginning of a cast, or of sizeof's type? Looks at the words, the stars and what follows; ps->p is behind the
 * parenthesis.
 */
static bool is_type(struct parser *ps, bool of_sizeof)
{
	const char *p = ps->p, *word;
	bool known = false, stars = false;
	int words = 0;

	for (;;) {
		while (p < ps->end && (*p == ' ' || *p == '\t' || *p == '\n'))
			p++;
		if (p < ps->end && *p == '*' && words) {
			stars = true;
			p++;
			continue;
		}
		if (p == ps->end || !is_start(*p))
			break;
		word = p;
		p = word_end(ps, p);
		if (stars && !is_word(word, (size_t)(p - word), (const char *const[]){ "const", "volatile", NULL }))
			return false;
		known |= is_word(word, (size_t)(p - word), type_words);
		words++;
	}
	if (!words || p == ps->end || *p != ')')
		return false;
	if (known || stars)
		return true;
	/* One name: a type if a value follows, else a value. sizeof(NAME) is tried as a value, then as a type. */
	for (p++; p < ps->end && *p == ' '; p++)
		;
	return !of_sizeof && words == 1 && p < ps->end && (is_start(*p) || is_digit(*p) || strchr("($'~!", *p));
}

/* The words and stars of a type, up to `)`, into a node. */
static int take_type(struct parser *ps, int node)
{
	struct st_expr_node *n;

	if (node < 0)
		return node;
	n = &ps->expr->node[node];
	peek(ps);
	n->name = ps->p;
	while (is_start(peek(ps))) {
		ps->p = word_end(ps, ps->p);
		if (!n->stars)
			n->len = (size_t)(ps->p - n->name);
	}
	while (peek(ps) == '*' || is_start(peek(ps))) {
		if (*ps->p == '*') {
			if (n->stars == 8)
				return fail(ps, ps->p, "too many stars");
			n->stars++;
			ps->p++;
		} else {
			ps->p = word_end(ps, ps->p);
		}
	}
	return accept(ps, ")") ? node : fail(ps, ps->p, "')' is missing");
}

static int number(struct parser *ps)
{
	const char *at = ps->p;
	unsigned int base = 10, digit;
	int node = add(ps, ST_EXPR_NUMBER, at, 0, 0);
	uint64_t v = 0;
	char c;

	if (node < 0)
		return node;
	if (*ps->p == '0' && ps->end - ps->p > 1 && (ps->p[1] | 0x20) == 'x') {
		base = 16;
		ps->p += 2;
		if (ps->p == ps->end)
			return fail(ps, at, "a number is missing behind 0x");
	} else if (*ps->p == '0') {
		base = 8;
	}
	for (; ps->p < ps->end && (is_digit(*ps->p) || is_start(*ps->p) || *ps->p == '.'); ps->p++) {
		c = (char)(*ps->p | 0x20);
		if (is_digit(*ps->p))
			digit = (unsigned int)(*ps->p - '0');
		else if (base == 16 && c >= 'a' && c <= 'f')
			digit = (unsigned int)(c - 'a' + 10);
		else
			break;
		if (digit >= base || __builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, digit, &v))
			return fail(ps, at, "this is not a number, or too large a one");
	}
	while (ps->p < ps->end && ((*ps->p | 0x20) == 'u' || (*ps->p | 0x20) == 'l')) {
		ps->expr->node[node].op |= (*ps->p | 0x20) == 'u';
		ps->p++;
	}
	if (ps->p < ps->end && (is_start(*ps->p) || is_digit(*ps->p) || *ps->p == '.'))
		return fail(ps, at, "this is not a number (floating point is not there)");
	ps->expr->node[node].value = v;
	return node;
}

static int character(struct parser *ps)
{
	static const char from[] = "ntr0\\'\"", to[] = "\n\t\r\0\\'\"";
	const char *at = ps->p++;
	int node = add(ps, ST_EXPR_NUMBER, at, 0, 0);
	char c = ps->p < ps->end ? *ps->p++ : '\0';
	const char *esc;

	if (node < 0)
		return node;
	if (c == '\\' && ps->p < ps->end) {
		esc = *ps->p ? strchr(from, *ps->p) : NULL;
		if (!esc)
			return fail(ps, at, "this is not a character constant");
		c = to[esc - from];
		ps->p++;
	}
	if (ps->p == ps->end || *ps->p++ != '\'')
		return fail(ps, at, "the character constant does not end (')");
	ps->expr->node[node].value = (uint64_t)(int64_t)(signed char)c;
	return node;
}

static int binary(struct parser *ps, unsigned int least);
static int unary(struct parser *ps);

static int primary(struct parser *ps)
{
	char c = peek(ps);
	int node;

	if (is_start(c)) {
		node = take_name(ps, add(ps, ST_EXPR_NAME, ps->p, 0, 0));
		if (node >= 0 && peek(ps) == '(')
			return fail(ps, ps->p, "a function can't be called from here");
		return node;
	}
	if (is_digit(c))
		return number(ps);
	if (c == '\'')
		return character(ps);
	if (c == '$' || c == '%') {
		node = add(ps, ST_EXPR_VARIABLE, ps->p, 0, 0);
		if (node < 0)
			return node;
		ps->expr->node[node].name = ps->p;
		ps->p = word_end(ps, ps->p + 1);
		ps->expr->node[node].len = (size_t)(ps->p - ps->expr->node[node].name);
		return node;
	}
	if (c == '(') {
		ps->p++;
		node = binary(ps, 1);
		if (node < 0)
			return node;
		return accept(ps, ")") ? node : fail(ps, ps->p, "')' is missing");
	}
	if (!c)
		return fail(ps, ps->p, "the expression is not complete");
	return fail(ps, ps->p, "'%c' is not known here", c < ' ' || c > '~' ? '?' : c);
}

static int postfix(struct parser *ps)
{
	int node = primary(ps), index;
	const char *at;

	while (node >= 0) {
		peek(ps);
		at = ps->p;
		if (accept(ps, "->")) {
			node = take_name(ps, add(ps, ST_EXPR_ARROW, at, node, 0));
		} else if (accept(ps, ".")) {
			node = take_name(ps, add(ps, ST_EXPR_MEMBER, at, node, 0));
		} else if (accept(ps, "[")) {
			index = binary(ps, 1);
			if (index < 0)
				return index;
			if (!accept(ps, "]"))
				return fail(ps, ps->p, "']' is missing");
			node = add(ps, ST_EXPR_INDEX, at, node, index);
		} else if (next_is(ps, "++") || next_is(ps, "--")) {
			return fail(ps, at, "nothing in the process may be changed");
		} else {
			break;
		}
	}
	return node;
}

static int size_of(struct parser *ps, const char *at)
{
	int node, operand;

	if (peek(ps) == '(') {
		ps->p++;
		if (is_type(ps, true))
			return take_type(ps, add(ps, ST_EXPR_SIZEOF, at, 0, 0));
		ps->p--;
	}
	operand = unary(ps);
	if (operand < 0)
		return operand;
	node = add(ps, ST_EXPR_SIZEOF, at, operand, 0);
	/* sizeof(NAME): if there is no such variable it is a type. */
	if (node >= 0 && ps->expr->node[operand].kind == ST_EXPR_NAME) {
		ps->expr->node[node].name = ps->expr->node[operand].name;
		ps->expr->node[node].len = ps->expr->node[operand].len;
	}
	return node;
}

static int unary_inner(struct parser *ps)
{
	char c = peek(ps);
	const char *at = ps->p, *end;
	int node, operand;

	if (next_is(ps, "++") || next_is(ps, "--"))
		return fail(ps, at, "nothing in the process may be changed");
	if (c && strchr("*&-+~!", c)) {
		ps->p++;
		operand = unary(ps);
		if (operand < 0)
			return operand;
		node = add(ps, c == '*' ? ST_EXPR_DEREF : c == '&' ? ST_EXPR_ADDRESS : ST_EXPR_UNARY, at, operand, 0);
		if (node >= 0)
			ps->expr->node[node].op = (uint8_t)c;
		return node;
	}
	end = is_start(c) ? word_end(ps, ps->p) : ps->p;
	if (end - ps->p == 6 && !memcmp(ps->p, "sizeof", 6)) {
		ps->p = end;
		return size_of(ps, at);
	}
	if (c == '(') {
		ps->p++;
		if (is_type(ps, false)) {
			node = take_type(ps, add(ps, ST_EXPR_CAST, at, 0, 0));
			if (node < 0)
				return node;
			operand = unary(ps);
			if (operand >= 0)
				ps->expr->node[node].a = (uint16_t)operand;
			return operand < 0 ? operand : node;
		}
		ps->p--;
	}
	return postfix(ps);
}

static int unary(struct parser *ps)
{
	int node;

	if (ps->depth == DEPTH_MAX)
		return fail(ps, ps->p, "the expression is nested too deeply");
	ps->depth++;
	node = unary_inner(ps);
	ps->depth--;
	return node;
}

/* The operator that comes next, and how tightly it binds; 0: none. */
static unsigned int operator(struct parser *ps, char op[3])
{
	static const struct {
		char op[3];
		uint8_t level;
	} ops[] = {
		{ "||", 1 }, { "&&", 2 }, { "==", 6 }, { "!=", 6 }, { "<<", 8 }, { ">>", 8 }, { "<=", 7 }, { ">=", 7 },
		{ "|", 3 },  { "^", 4 },  { "&", 5 },  { "<", 7 },  { ">", 7 },  { "+", 9 },  { "-", 9 },  { "*", 10 },
		{ "/", 10 }, { "%", 10 },
	};
	size_t i;

	for (i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (next_is(ps, ops[i].op)) {
			memcpy(op, ops[i].op, 3);
			return ops[i].level;
		}
	}
	return 0;
}

static int binary(struct parser *ps, unsigned int least)
{
	int left = unary(ps), right, node;
	unsigned int level;
	const char *at;
	char op[3];

	while (left >= 0 && (level = operator(ps, op)) >= least && level) {
		at = ps->p;
		ps->p += strlen(op);
		if (peek(ps) == '=')
			return fail(ps, at, "nothing in the process may be changed");
		if (ps->depth == DEPTH_MAX)
			return fail(ps, at, "the expression is nested too deeply");
		ps->depth++;
		right = binary(ps, level + 1);
		ps->depth--;
		if (right < 0)
			return right;
		node = add(ps, ST_EXPR_BINARY, at, left, right);
		if (node >= 0)
			ps->expr->node[node].op = (uint16_t)ST_EXPR_OP(op[0], op[1]);
		left = node;
	}
	return left;
}

int st_expr_parse(const char *p, size_t len, const char *text, struct st_expr *expr, struct st_spec_error *err)
{
	struct parser ps = { .p = p, .end = p + len, .expr = expr, .err = err };
	int root;

	expr->text = text;
	expr->n = 1;
	memset(&expr->node[0], 0, sizeof(expr->node[0]));
	root = binary(&ps, 1);
	if (root < 0)
		return root;
	if (peek(&ps) == '=')
		return fail(&ps, ps.p, "nothing in the process may be changed");
	if (peek(&ps) == '?')
		return fail(&ps, ps.p, "the operator ?: is not there");
	if (ps.p < ps.end)
		return fail(&ps, ps.p, "the expression should end here");
	expr->root = (unsigned int)root;
	return 0;
}

int st_expr_check(const char *p, size_t len, const char *text, struct st_spec_error *err)
{
	struct st_expr expr;

	return st_expr_parse(p, len, text, &expr, err);
}
