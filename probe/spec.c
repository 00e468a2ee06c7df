// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parser of probe specifications. One function for each line of the grammar, each told the
 * words' bounds.
 *
 * Every refusal points at its place in the text, and says whether the text is wrong or only ahead
 * of the tool.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "spec.h"

#define WRONG 2
#define NOT_YET 1

/* Nesting that the text may have; a fetch program holds less, and says so itself. */
#define NEST_MAX 32

struct parser {
	const char *text;
	const struct st_spec_arch *arch;
	struct st_spec_error *err;
};

/* A piece of the text: [p, end). */
struct span {
	const char *p, *end;
};

static int __attribute__((format(printf, 4, 5)))
fail(struct parser *ps, const char *at, int status, const char *fmt, ...)
{
	va_list ap;

	ps->err->pos = (size_t)(at - ps->text);
	ps->err->status = status;
	va_start(ap, fmt);
	vsnprintf(ps->err->text, sizeof(ps->err->text), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static size_t length(struct span s)
{
	return (size_t)(s.end - s.p);
}

/* For "%.*s", no longer than a message can bear. */
static int shown(struct span s)
{
	return length(s) > 60 ? 60 : (int)length(s);
}

static bool is(struct span s, const char *word)
{
	return length(s) == strlen(word) && !memcmp(s.p, word, length(s));
}

static const char *find(struct span s, char c)
{
	return s.p < s.end ? memchr(s.p, c, length(s)) : NULL;
}

static const char *find_last(struct span s, char c)
{
	return s.p < s.end ? memrchr(s.p, c, length(s)) : NULL;
}

/* ctype.h depends on the locale; this is ASCII. */
static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* The next word; empty at the end. */
static struct span next_word(const char **p)
{
	struct span w;

	while (is_blank(**p))
		(*p)++;
	w.p = *p;
	while (**p && !is_blank(**p))
		(*p)++;
	w.end = *p;
	return w;
}

/* An identifier, as the kernel wants event and argument names. */
static int parse_name(struct parser *ps, struct span s, const char *what, char *out, size_t size)
{
	const char *c;

	if (s.p == s.end)
		return fail(ps, s.p, WRONG, "the name of the %s is missing", what);
	if (!is_name_start(*s.p))
		return fail(ps, s.p, WRONG, "the name of the %s must begin with a letter or _",
			    what);
	for (c = s.p; c < s.end; c++)
		if (!is_name_start(*c) && !is_digit(*c))
			return fail(ps, c, WRONG,
				    "the name of the %s may hold letters, digits and _ only", what);
	if (length(s) >= size)
		return fail(ps, s.p, WRONG, "the name of the %s is too long (at most %zu)", what,
			    size - 1);
	memcpy(out, s.p, length(s));
	out[length(s)] = '\0';
	return 0;
}

/* Decimal, or hexadecimal behind 0x; all of the span. */
static int parse_number(struct parser *ps, struct span s, uint64_t *out)
{
	unsigned int base = 10, digit;
	struct span all = s;
	uint64_t v = 0;

	if (length(s) > 2 && s.p[0] == '0' && (s.p[1] == 'x' || s.p[1] == 'X')) {
		base = 16;
		s.p += 2;
	}
	if (s.p == s.end)
		return fail(ps, s.p, WRONG, "a number is missing");
	for (; s.p < s.end; s.p++) {
		if (is_digit(*s.p))
			digit = (unsigned int)(*s.p - '0');
		else if (base == 16 && isxdigit((unsigned char)*s.p))
			digit = (unsigned int)((*s.p | 0x20) - 'a' + 10);
		else
			return fail(ps, s.p, WRONG, "'%.*s' is not a number", shown(all), all.p);
		if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, digit, &v))
			return fail(ps, all.p, WRONG, "the number %.*s is too large", shown(all),
				    all.p);
	}
	*out = v;
	return 0;
}

/* A number with a sign in front. */
static int parse_signed(struct parser *ps, struct span s, int64_t *out)
{
	bool minus = s.p < s.end && *s.p == '-';
	const char *at = s.p;
	uint64_t v;
	int ret;

	if (s.p < s.end && (*s.p == '-' || *s.p == '+'))
		s.p++;
	ret = parse_number(ps, s, &v);
	if (ret)
		return ret;
	if (v > (uint64_t)INT64_MAX + minus)
		return fail(ps, at, WRONG, "the number is too large");
	*out = minus ? (int64_t)-v : (int64_t)v;
	return 0;
}

/* p[:[GROUP/]NAME]; the name stays empty if there is none. */
static int parse_kind(struct parser *ps, struct span s, struct st_spec *spec)
{
	const char *slash;

	if (s.p == s.end)
		return fail(ps, s.p, WRONG, "a probe begins with p or p:NAME");
	if (*s.p == 'r' && (length(s) == 1 || s.p[1] == ':' || is_digit(s.p[1])))
		return fail(ps, s.p, NOT_YET, "return probes (r) are not there yet");
	if (*s.p == '-')
		return fail(
			ps, s.p, WRONG,
			"probes are removed by ending the command that set them, not by '-:NAME'");
	if (*s.p != 'p' || (length(s) > 1 && s.p[1] != ':'))
		return fail(ps, s.p, WRONG,
			    "a probe begins with p or p:NAME, as in 'p:open libc.so.6:open64'");
	if (length(s) == 1)
		return 0;
	s.p += 2;
	slash = find(s, '/');
	if (slash) {
		struct span group = { s.p, slash };
		int ret = parse_name(ps, group, "group", spec->name, sizeof(spec->name));

		if (ret)
			return ret;
		s.p = slash + 1;
	}
	return parse_name(ps, s, "probe", spec->name, sizeof(spec->name));
}

static int parse_symbol(struct parser *ps, struct span s, const char *what, char *out)
{
	const char *c;

	if (s.p == s.end)
		return fail(ps, s.p, WRONG, "the name of the %s is missing", what);
	if (length(s) >= ST_SPEC_SYMBOL_MAX)
		return fail(ps, s.p, WRONG, "the name of the %s is too long (at most %d)", what,
			    ST_SPEC_SYMBOL_MAX - 1);
	for (c = s.p; c < s.end; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return fail(ps, c, WRONG, "a control character in the name of the %s",
				    what);
	memcpy(out, s.p, length(s));
	out[length(s)] = '\0';
	return 0;
}

/* [OBJECT:]FUNCTION[+OFFSET] */
static int parse_place(struct parser *ps, struct span s, struct st_spec *spec)
{
	const char *colon = find(s, ':'), *plus, *percent;
	struct span object = { s.p, colon };
	uint64_t offset;
	int ret;

	if (s.p == s.end)
		return fail(ps, s.p, WRONG, "which function? ('p:NAME [OBJECT:]FUNCTION')");
	if (colon) {
		if (find(object, '/'))
			return fail(
				ps, s.p, WRONG,
				"an object is named without its folder, as in libc.so.6:malloc");
		ret = parse_symbol(ps, object, "object", spec->object);
		if (ret)
			return ret;
		s.p = colon + 1;
	}
	percent = find(s, '%');
	if (percent) {
		struct span suffix = { percent, s.end };

		if (!is(suffix, "%return"))
			return fail(ps, percent, WRONG, "'%.*s' is not known here", shown(suffix),
				    suffix.p);
		return fail(ps, percent, NOT_YET, "return probes (%%return) are not there yet");
	}
	plus = find_last(s, '+');
	if (plus) {
		struct span number = { plus + 1, s.end };

		ret = parse_number(ps, number, &offset);
		if (ret)
			return ret;
		if (offset)
			return fail(ps, plus, NOT_YET,
				    "probes inside a function (+OFFSET) are not there yet, only at "
				    "its entry");
		s.end = plus;
	}
	if (s.p < s.end && is_digit(*s.p))
		return fail(ps, s.p, WRONG, "a function is given by its name, not by its address");
	return parse_symbol(ps, s, "function", spec->function);
}

static int parse_register(struct parser *ps, struct span s, struct st_fetch *f)
{
	const struct st_spec_reg *reg;
	struct span name = { s.p + 1, s.end };

	for (reg = ps->arch->regs; reg->name; reg++) {
		if (is(name, reg->name)) {
			f->base = ST_FETCH_REG;
			f->index = reg->index;
			return 0;
		}
	}
	return fail(ps, s.p, WRONG, "'%.*s' is not a register of %s", shown(s), s.p,
		    ps->arch->name);
}

/* Stack word, as a base. */
static int stack_word(struct parser *ps, struct span s, uint64_t n, struct st_fetch *f)
{
	if (n > UINT16_MAX)
		return fail(ps, s.p, WRONG, "'%.*s' is too far up the stack (at most word %d)",
			    shown(s), s.p, UINT16_MAX);
	f->base = ST_FETCH_STACK;
	f->index = (uint16_t)n;
	return 0;
}

/* $argN, $stack, $stackN, $comm */
static int parse_variable(struct parser *ps, struct span s, struct st_spec_arg *arg)
{
	static const char argn[] = "$arg", stackn[] = "$stack";
	const size_t argn_len = sizeof(argn) - 1, stackn_len = sizeof(stackn) - 1;
	struct st_fetch *f = &arg->fetch;
	struct span number;
	uint64_t n;
	int ret;

	if (is(s, "$comm")) {
		f->base = ST_FETCH_COMM;
		arg->show = ST_SHOW_COMM;
		return 0;
	}
	if (is(s, "$retval"))
		return fail(ps, s.p, WRONG,
			    "$retval is for return probes (r); an entry probe (p) has none");
	if (is(s, stackn)) {
		f->base = ST_FETCH_REG;
		f->index = ps->arch->sp;
		return 0;
	}
	if (length(s) > stackn_len && !memcmp(s.p, stackn, stackn_len)) {
		number = (struct span){ s.p + stackn_len, s.end };
		ret = parse_number(ps, number, &n);
		return ret ? ret : stack_word(ps, s, n, f);
	}
	if (is(s, "$arg*"))
		return fail(ps, s.p, NOT_YET,
			    "$arg* (all arguments, by debug information) is not there yet");
	if (length(s) > argn_len && !memcmp(s.p, argn, argn_len)) {
		number = (struct span){ s.p + argn_len, s.end };
		ret = parse_number(ps, number, &n);
		if (ret)
			return ret;
		if (!n)
			return fail(ps, s.p, WRONG, "arguments are counted from $arg1");
		if (n > ps->arch->nargs) {
			n -= ps->arch->nargs + 1;
			/* Checked before the sum, which could wrap. */
			return stack_word(ps, s, n > UINT16_MAX ? n : n + ps->arch->stack_args, f);
		}
		f->base = ST_FETCH_REG;
		f->index = ps->arch->args[n - 1];
		return 0;
	}
	return fail(ps, s.p, WRONG, "'%.*s' is not known ($argN, $stack, $stackN and $comm are)",
		    shown(s), s.p);
}

/* One more dereference, at the end of the program. */
static int add_deref(struct parser *ps, const char *at, struct st_fetch *f, int64_t offset)
{
	if (f->derefs == ST_DEREF_MAX)
		return fail(ps, at, WRONG, "too many dereferences (at most %d)", ST_DEREF_MAX);
	f->offs[f->derefs++] = offset;
	return 0;
}

/* @ADDR, @SYM[+|-OFF]: memory there. */
static int parse_at(struct parser *ps, struct span s, struct st_spec_arg *arg)
{
	struct span what = { s.p + 1, s.end }, number;
	const char *sign;
	uint64_t addr;
	int ret;

	arg->fetch.base = ST_FETCH_IMM;
	if (what.p < what.end && is_digit(*what.p)) {
		ret = parse_number(ps, what, &addr);
		if (ret)
			return ret;
		if (ps->arch->word == 4 && addr > UINT32_MAX)
			return fail(ps, what.p, WRONG, "the address is too large");
		arg->fetch.imm = (int64_t)addr;
		return add_deref(ps, s.p, &arg->fetch, 0);
	}
	if (what.p < what.end && *what.p == '+')
		return fail(ps, s.p, NOT_YET,
			    "@+OFFSET (an offset in the file) is not there yet; use @SYM+OFFSET");
	sign = find_last(what, '+');
	if (!sign)
		sign = find_last(what, '-');
	if (sign) {
		number = (struct span){ sign, what.end };
		ret = parse_signed(ps, number, &arg->fetch.imm);
		if (ret)
			return ret;
		what.end = sign;
	}
	ret = parse_symbol(ps, what, "symbol", arg->symbol);
	return ret ? ret : add_deref(ps, s.p, &arg->fetch, 0);
}

/* +|-[u]OFFS(FETCHARG) or another FETCHARG without its type */
static int parse_fetch(struct parser *ps, struct span s, struct st_spec_arg *arg, int depth)
{
	const char *open;
	struct span number, inner;
	int64_t offset;
	int ret;

	if (s.p == s.end)
		return fail(ps, s.p, WRONG, "what is to be fetched is missing");
	switch (*s.p) {
	case '%':
		return parse_register(ps, s, &arg->fetch);
	case '$':
		return parse_variable(ps, s, arg);
	case '@':
		return parse_at(ps, s, arg);
	case '\\':
		inner = (struct span){ s.p + 1, s.end };
		if (inner.p < inner.end && *inner.p == '"')
			return fail(ps, s.p, NOT_YET,
				    "texts as constants (\\\"...\\\") are not there yet");
		arg->fetch.base = ST_FETCH_IMM;
		if (inner.p < inner.end && *inner.p == '-')
			return parse_signed(ps, inner, &arg->fetch.imm);
		return parse_number(ps, inner, (uint64_t *)&arg->fetch.imm);
	case '+':
	case '-':
		break;
	default:
		if (is_name_start(*s.p) || *s.p == '*' || *s.p == '&' || *s.p == '(')
			return fail(ps, s.p, NOT_YET,
				    "C expressions are not there yet; use %%REG, $argN, @SYM or "
				    "+OFFSET(...)");
		return fail(ps, s.p, WRONG, "'%.*s' can't be fetched", shown(s), s.p);
	}

	if (depth == NEST_MAX)
		return fail(ps, s.p, WRONG, "too many dereferences (at most %d)", ST_DEREF_MAX);
	open = find(s, '(');
	if (!open)
		return fail(ps, s.end, WRONG, "'(' is missing: %cOFFSET(...) reads memory", *s.p);
	if (s.end[-1] != ')')
		return fail(ps, s.end, WRONG, "')' is missing");
	number = (struct span){ s.p + 1, open };
	if (number.p < number.end && *number.p == 'u')	/* user memory: the only one here */
		number.p++;
	if (number.p < number.end && !is_digit(*number.p))
		return fail(ps, number.p, WRONG, "the offset must be a number");
	ret = parse_number(ps, number, (uint64_t *)&offset);
	if (ret)
		return ret;
	if (offset < 0)
		return fail(ps, number.p, WRONG, "the offset is too large");
	inner = (struct span){ open + 1, s.end - 1 };
	ret = parse_fetch(ps, inner, arg, depth + 1);
	if (ret)
		return ret;
	if (arg->show == ST_SHOW_COMM)
		return fail(ps, inner.p, WRONG, "$comm is a text, not an address");
	return add_deref(ps, s.p, &arg->fetch, *s.p == '-' ? -offset : offset);
}

/* b<width>@<offset>/<size> */
static int parse_bitfield(struct parser *ps, struct span s, struct st_spec_arg *arg)
{
	const char *at = find(s, '@'), *slash = find(s, '/');
	uint64_t width, shift, size;
	int ret;

	if (!at || !slash || slash < at)
		return fail(ps, s.p, WRONG, "a bitfield is b<width>@<offset>/<size>");
	ret = parse_number(ps, (struct span){ s.p + 1, at }, &width);
	if (!ret)
		ret = parse_number(ps, (struct span){ at + 1, slash }, &shift);
	if (!ret)
		ret = parse_number(ps, (struct span){ slash + 1, s.end }, &size);
	if (ret)
		return ret;
	if (size != 8 && size != 16 && size != 32 && size != 64)
		return fail(ps, slash + 1, WRONG,
			    "the size of a bitfield's container is 8, 16, 32 or 64");
	if (!width || width > size || shift > size - width)
		return fail(ps, s.p, WRONG, "the bitfield does not fit into its %d bits",
			    (int)size);
	arg->bits = (uint8_t)width;
	arg->shift = (uint8_t)shift;
	arg->show = ST_SHOW_UNSIGNED;
	arg->fetch.size = (uint8_t)(size / 8);
	return 0;
}

static int parse_type_name(struct parser *ps, struct span s, struct st_spec_arg *arg)
{
	static const struct {
		const char *name;
		uint8_t size;
		enum st_show show;
	} types[] = {
		{ "u8", 1, ST_SHOW_UNSIGNED },	{ "u16", 2, ST_SHOW_UNSIGNED },
		{ "u32", 4, ST_SHOW_UNSIGNED }, { "u64", 8, ST_SHOW_UNSIGNED },
		{ "s8", 1, ST_SHOW_SIGNED },	{ "s16", 2, ST_SHOW_SIGNED },
		{ "s32", 4, ST_SHOW_SIGNED },	{ "s64", 8, ST_SHOW_SIGNED },
		{ "x8", 1, ST_SHOW_HEX },	{ "x16", 2, ST_SHOW_HEX },
		{ "x32", 4, ST_SHOW_HEX },	{ "x64", 8, ST_SHOW_HEX },
		{ "char", 1, ST_SHOW_CHAR },
	};
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (is(s, types[i].name)) {
			arg->fetch.size = types[i].size;
			arg->show = types[i].show;
			return 0;
		}
	}
	if (is(s, "string")) {
		arg->fetch.type = ST_TYPE_STRING;
		arg->show = ST_SHOW_STRING;
		return 0;
	}
	if (is(s, "symbol")) {
		arg->show = ST_SHOW_SYMBOL;
		return 0;
	}
	if (length(s) > 1 && *s.p == 'b' && is_digit(s.p[1]))
		return parse_bitfield(ps, s, arg);
	if (s.p == s.end)
		return fail(ps, s.p, WRONG, "the type is missing behind ':'");
	return fail(
		ps, s.p, WRONG,
		"'%.*s' is not a type (u8 to u64, s8 to s64, x8 to x64, char, string, symbol are)",
		shown(s), s.p);
}

/* TYPE or TYPE[N]; the fetcharg has been parsed */
static int parse_type(struct parser *ps, struct span s, struct st_spec_arg *arg)
{
	const char *open = find(s, '[');
	struct span name = { s.p, open ? open : s.end }, number;
	struct st_fetch *f = &arg->fetch;
	uint64_t n;
	int ret;

	if (arg->show == ST_SHOW_COMM)
		return is(s, "string") ? 0 : fail(ps, s.p, WRONG, "$comm is a string");
	ret = parse_type_name(ps, name, arg);
	if (ret || !open)
		return ret;
	if (s.end[-1] != ']')
		return fail(ps, s.end, WRONG, "']' is missing");
	number = (struct span){ open + 1, s.end - 1 };
	ret = parse_number(ps, number, &n);
	if (ret)
		return ret;
	if (!n || n > ST_SPEC_ARRAY_MAX)
		return fail(ps, number.p, WRONG, "an array has 1 to %d elements",
			    ST_SPEC_ARRAY_MAX);
	if (f->type == ST_TYPE_STRING)
		return fail(ps, open, NOT_YET, "arrays of strings are not there yet");
	if (arg->bits)
		return fail(ps, open, WRONG, "a bitfield can't be an array");
	if (!f->derefs)
		return fail(ps, open, WRONG, "an array lies in memory: use +0(...):TYPE[N]");
	f->count = (uint16_t)n;
	arg->array = true;
	return 0;
}

/* The ':' in front of the type: the last one outside of parentheses. */
static const char *find_type(struct span s)
{
	const char *p;

	for (p = s.end; p > s.p && p[-1] != ')'; p--)
		if (p[-1] == ':')
			return p - 1;
	return NULL;
}

/* [NAME=]FETCHARG[:TYPE] */
static int parse_arg(struct parser *ps, struct span s, struct st_spec *spec)
{
	struct st_spec_arg *arg = &spec->arg[spec->nargs];
	struct span name = { s.p, NULL };
	const char *colon;
	unsigned int i;
	int ret;

	if (spec->nargs == ST_FETCH_MAX)
		return fail(ps, s.p, WRONG, "too many values (at most %d)", ST_FETCH_MAX);
	name.end = find(s, '=');
	/* '=' elsewhere is part of something else: 'a->b==1' is no name. */
	if (name.end && (name.end == s.p || is_name_start(*s.p) || is_digit(*s.p))) {
		ret = parse_name(ps, name, "value", arg->name, sizeof(arg->name));
		if (ret)
			return ret;
		s.p = name.end + 1;
	} else {
		snprintf(arg->name, sizeof(arg->name), "arg%u", spec->nargs + 1);
	}
	for (i = 0; i < spec->nargs; i++)
		if (!strcmp(arg->name, spec->arg[i].name))
			return fail(ps, name.p, WRONG, "there are two values named %s", arg->name);

	arg->fetch.size = (uint8_t)ps->arch->word;
	arg->fetch.count = 1;
	arg->fetch.type = ST_TYPE_WORD;
	arg->show = ST_SHOW_HEX;
	colon = find_type(s);
	ret = parse_fetch(ps, (struct span){ s.p, colon ? colon : s.end }, arg, 0);
	if (!ret && colon)
		ret = parse_type(ps, (struct span){ colon + 1, s.end }, arg);
	if (ret)
		return ret;
	spec->nargs++;
	return 0;
}

/* As the kernel names a probe that has no name: p_FUNCTION_OFFSET. */
static void default_name(struct st_spec *spec)
{
	char *c;

	snprintf(spec->name, sizeof(spec->name), "p_%.58s_0", spec->function);
	for (c = spec->name; *c; c++)
		if (!is_name_start(*c) && !is_digit(*c))
			*c = '_';
}

int st_spec_parse(const char *text, const struct st_spec_arch *arch, struct st_spec *spec,
		  struct st_spec_error *err)
{
	struct parser ps = { text, arch, err };
	const char *p = text;
	struct span word;
	int ret;

	memset(spec, 0, sizeof(*spec));
	memset(err, 0, sizeof(*err));
	ret = parse_kind(&ps, next_word(&p), spec);
	if (!ret)
		ret = parse_place(&ps, next_word(&p), spec);
	if (!ret && !spec->name[0])
		default_name(spec);
	while (!ret) {
		word = next_word(&p);
		if (word.p == word.end)
			break;
		ret = parse_arg(&ps, word, spec);
	}
	return ret;
}
