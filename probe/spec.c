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
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "expr.h"
#include "spec.h"

#define WRONG 2
#define NOT_YET 1

struct parser {
	const char *text;
	const struct st_spec_arch *arch;
	struct st_spec_error *err;
	const struct st_spec *spec;	/* its place in the program is known when values are parsed */
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

/* The next word; empty at the end. Blanks in parentheses, brackets and quotes are part of it: '(struct foo *)p'. */
static struct span next_word(const char **p)
{
	bool quoted = false;
	struct span w;
	int depth = 0;

	while (is_blank(**p))
		(*p)++;
	w.p = *p;
	for (; **p && (depth > 0 || quoted || !is_blank(**p)); (*p)++) {
		if (**p == '"')
			quoted = !quoted;
		else if (!quoted && (**p == '(' || **p == '['))
			depth++;
		else if (!quoted && (**p == ')' || **p == ']'))
			depth--;
	}
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

/* p[:[GROUP/]NAME] or r[MAXACTIVE][:[GROUP/]NAME]; the name stays empty if there is none. */
static int parse_kind(struct parser *ps, struct span s, struct st_spec *spec)
{
	const char *slash, *start = s.p;

	if (s.p == s.end)
		return fail(ps, s.p, WRONG, "a probe begins with p, p:NAME, r or r:NAME");
	if (*s.p == '-')
		return fail(
			ps, s.p, WRONG,
			"probes are removed by ending the command that set them, not by '-:NAME'");
	spec->ret = *s.p == 'r';
	if (*s.p++ != 'p' && !spec->ret)
		goto unknown;
	/* How many returns may be pending at a time: here each thread has room for a fixed number. */
	while (spec->ret && s.p < s.end && is_digit(*s.p))
		s.p++;
	if (s.p == s.end)
		return 0;
	if (*s.p != ':')
		goto unknown;
	s.p++;
	slash = find(s, '/');
	if (slash) {
		struct span group = { s.p, slash };
		int ret = parse_name(ps, group, "group", spec->name, sizeof(spec->name));

		if (ret)
			return ret;
		s.p = slash + 1;
	}
	return parse_name(ps, s, "probe", spec->name, sizeof(spec->name));

unknown:
	return fail(ps, start, WRONG,
		    "a probe begins with p or p:NAME, as in 'p:open libc.so.6:open64', or with r or r:NAME");
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

/* [OBJECT:]FUNCTION[+OFFSET], OBJECT:0xADDR; %return behind it makes it a return probe */
static int parse_place(struct parser *ps, struct span s, struct st_spec *spec)
{
	const char *colon = find(s, ':'), *plus, *percent;
	struct span object = { s.p, colon };
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
			return fail(ps, percent, WRONG, "'%.*s' is not known here (%%return is)", shown(suffix),
				    suffix.p);
		spec->ret = true;
		s.end = percent;
	}
	if (s.p < s.end && is_digit(*s.p)) {
		if (!colon)
			return fail(ps, s.p, WRONG, "an address is that in an object's file, as in libc.so.6:0x7e2d0");
		ret = parse_number(ps, s, &spec->offset);
		if (!ret && !spec->offset)
			return fail(ps, s.p, WRONG, "there is no function at address 0");
		return ret;
	}
	plus = find_last(s, '+');
	if (plus) {
		struct span number = { plus + 1, s.end };

		ret = parse_number(ps, number, &spec->offset);
		if (ret)
			return ret;
		if (spec->offset && spec->ret)
			return fail(ps, plus, WRONG, "a return probe sits on a whole function, not at +OFFSET");
		s.end = plus;
	}
	return parse_symbol(ps, s, "function", spec->function);
}

/* ---- values ---- */

int st_spec_op(struct st_spec_arg *arg, enum st_op_code op, uint8_t size, uint16_t index, int64_t imm)
{
	if (arg->nops == ST_SPEC_OPS_MAX)
		return -E2BIG;
	arg->op[arg->nops++] = (struct st_op){ .op = (uint8_t)op, .size = size, .index = index, .imm = imm };
	return 0;
}

int st_spec_finish(struct st_spec_arg *arg, const struct st_spec_arch *arch, bool memory)
{
	struct st_fetch *f = &arg->fetch;
	int ret = 0;

	f->mask = f->size == 8 ? ~0ull : (1ull << f->size * 8) - 1;
	f->limit = f->limit ? f->limit : ST_STRING_MAX;
	if (f->type == ST_TYPE_WORD && memory) {
		struct st_op *last = arg->nops ? &arg->op[arg->nops - 1] : NULL;

		if (last && last->op == ST_OP_ADDI)
			*last = (struct st_op){ .op = ST_OP_LOAD, .size = f->size, .imm = last->imm };
		else
			ret = st_spec_op(arg, ST_OP_LOAD, f->size, 0, 0);
	}
	if (!ret && arg->bits)
		ret = st_spec_op(arg, ST_OP_BITS, arg->bits, arg->shift, 0);
	f->base = ST_FETCH_PROGRAM;
	if (arg->nops == 1 && arg->op[0].op == ST_OP_REG) {
		f->base = ST_FETCH_REG;
		f->index = arg->op[0].index;
	}
	(void)arch;
	return ret;
}

/* A value while it is parsed: its program leaves it on the stack, or the address of the memory that holds it. */
struct value {
	struct st_spec_arg *arg;
	bool memory;
	unsigned int derefs;
};

static int emit(struct parser *ps, const char *at, struct value *v, enum st_op_code op, uint8_t size, uint16_t index,
		int64_t imm)
{
	return st_spec_op(v->arg, op, size, index, imm) ? fail(ps, at, WRONG, "this value is too complicated") : 0;
}

static int parse_register(struct parser *ps, struct span s, struct value *v)
{
	const struct st_spec_reg *reg;
	struct span name = { s.p + 1, s.end };

	for (reg = ps->arch->regs; reg->name; reg++)
		if (is(name, reg->name))
			return emit(ps, s.p, v, ST_OP_REG, 0, reg->index, 0);
	return fail(ps, s.p, WRONG, "'%.*s' is not a register of %s", shown(s), s.p,
		    ps->arch->name);
}

/* Word of the stack: a value, not an address that one could be read at. */
static int stack_word(struct parser *ps, struct span s, uint64_t n, struct value *v)
{
	int ret;

	if (n > UINT16_MAX)
		return fail(ps, s.p, WRONG, "'%.*s' is too far up the stack (at most word %d)",
			    shown(s), s.p, UINT16_MAX);
	ret = emit(ps, s.p, v, ST_OP_REG, 0, ps->arch->sp, 0);
	return ret ? ret : emit(ps, s.p, v, ST_OP_LOAD, (uint8_t)ps->arch->word, 0, (int64_t)(n * ps->arch->word));
}

static int parse_argument(struct parser *ps, struct span s, struct span number, struct value *v)
{
	uint64_t n;
	int ret = parse_number(ps, number, &n);

	if (ret)
		return ret;
	if (!n)
		return fail(ps, s.p, WRONG, "arguments are counted from $arg1");
	if (ps->spec->ret)
		return fail(ps, s.p, NOT_YET,
			    "arguments are gone when a function returns; fetch them with a p probe on it");
	if (ps->spec->offset && ps->spec->function[0])
		return fail(ps, s.p, WRONG,
			    "$argN is known where a function begins; inside, its registers hold other things");
	if (n > ps->arch->nargs) {
		n -= ps->arch->nargs + 1;
		/* Checked before the sum, which could wrap. */
		return stack_word(ps, s, n > UINT16_MAX ? n : n + ps->arch->stack_args, v);
	}
	return emit(ps, s.p, v, ST_OP_REG, 0, ps->arch->args[n - 1], 0);
}

/* $argN, $retval, $stack, $stackN, $comm */
static int parse_variable(struct parser *ps, struct span s, struct value *v)
{
	static const char argn[] = "$arg", stackn[] = "$stack";
	const size_t argn_len = sizeof(argn) - 1, stackn_len = sizeof(stackn) - 1;
	struct span number;
	uint64_t n;
	int ret;

	if (is(s, "$comm")) {
		v->arg->show = ST_SHOW_COMM;
		return 0;
	}
	if (is(s, "$retval")) {
		if (!ps->spec->ret)
			return fail(ps, s.p, WRONG,
				    "$retval is for return probes (r); an entry probe (p) has none");
		return emit(ps, s.p, v, ST_OP_REG, 0, ps->arch->ret, 0);
	}
	if (is(s, stackn))
		return emit(ps, s.p, v, ST_OP_REG, 0, ps->arch->sp, 0);
	if (length(s) > stackn_len && !memcmp(s.p, stackn, stackn_len)) {
		number = (struct span){ s.p + stackn_len, s.end };
		ret = parse_number(ps, number, &n);
		return ret ? ret : stack_word(ps, s, n, v);
	}
	if (is(s, "$arg*"))
		return fail(ps, s.p, NOT_YET, "$arg* (all arguments) is not there; name them");
	if (length(s) > argn_len && !memcmp(s.p, argn, argn_len))
		return parse_argument(ps, s, (struct span){ s.p + argn_len, s.end }, v);
	return fail(ps, s.p, WRONG, "'%.*s' is not known ($argN, $retval, $stack, $stackN and $comm are)",
		    shown(s), s.p);
}

/* One more dereference: what was an address of memory is read, and is an address in turn. */
static int add_deref(struct parser *ps, const char *at, struct value *v, int64_t offset)
{
	struct st_op *last = v->arg->nops ? &v->arg->op[v->arg->nops - 1] : NULL;

	if (v->derefs++ == ST_SPEC_DEREF_MAX)
		return fail(ps, at, WRONG, "too many dereferences (at most %d)", ST_SPEC_DEREF_MAX);
	if (v->memory && last && last->op == ST_OP_ADDI)
		*last = (struct st_op){ .op = ST_OP_LOAD, .size = (uint8_t)ps->arch->word, .imm = last->imm };
	v->memory = true;
	return emit(ps, at, v, ST_OP_ADDI, 0, 0, offset);
}

/* @ADDR, @SYM[+|-OFF], @+OFFSET: memory there. */
static int parse_at(struct parser *ps, struct span s, struct value *v)
{
	struct span what = { s.p + 1, s.end };
	int64_t offset = 0;
	const char *sign;
	uint64_t addr;
	int ret;

	if (what.p < what.end && (is_digit(*what.p) || *what.p == '+')) {
		v->arg->file_offset = *what.p == '+';
		what.p += *what.p == '+';
		ret = parse_number(ps, what, &addr);
		if (ret)
			return ret;
		if (ps->arch->word == 4 && addr > UINT32_MAX)
			return fail(ps, what.p, WRONG, "the address is too large");
		offset = (int64_t)addr;
	} else {
		sign = find_last(what, '+');
		if (!sign)
			sign = find_last(what, '-');
		if (sign) {
			ret = parse_signed(ps, (struct span){ sign, what.end }, &offset);
			if (ret)
				return ret;
			what.end = sign;
		}
		ret = parse_symbol(ps, what, "symbol", v->arg->symbol);
		if (ret)
			return ret;
	}
	ret = emit(ps, s.p, v, ST_OP_IMM, 0, 0, offset);
	return ret ? ret : add_deref(ps, s.p, v, 0);
}

/* \NUMBER, \"TEXT" */
static int parse_constant(struct parser *ps, struct span s, struct value *v)
{
	struct span inner = { s.p + 1, s.end };
	int64_t number = 0;
	int ret;

	if (inner.p < inner.end && *inner.p == '"') {
		if (length(inner) < 2 || inner.end[-1] != '"')
			return fail(ps, s.end, WRONG, "the text does not end (\")");
		inner = (struct span){ inner.p + 1, inner.end - 1 };
		if (length(inner) >= ST_SPEC_TEXT_MAX)
			return fail(ps, inner.p, WRONG, "the text is too long (at most %d bytes)", ST_SPEC_TEXT_MAX - 1);
		memcpy(v->arg->text, inner.p, length(inner));
		v->arg->text[length(inner)] = '\0';
		v->arg->show = ST_SHOW_TEXT;
		return 0;
	}
	if (inner.p < inner.end && *inner.p == '-')
		ret = parse_signed(ps, inner, &number);
	else
		ret = parse_number(ps, inner, (uint64_t *)&number);
	return ret ? ret : emit(ps, s.p, v, ST_OP_IMM, 0, 0, number);
}

/* Where %REG or $NAME ends. */
static const char *variable_end(struct span s)
{
	const char *p = s.p + 1;

	if (is(s, "$arg*"))
		return s.end;
	while (p < s.end && (is_name_start(*p) || is_digit(*p)))
		p++;
	return p;
}

/*
 * Is this the kernel's language, or C? The kernel's begins with % $ @ \ or with a signed number; a register or a variable that
 * goes on is part of an expression ($retval->len).
 */
static bool is_c(struct span s)
{
	switch (s.p < s.end ? *s.p : '\0') {
	case '%':
	case '$':
		return variable_end(s) < s.end && variable_end(s) > s.p + 1;
	case '+':
	case '-':
		if (*s.p++ == '+' && s.p < s.end && is_name_start(*s.p))
			return false;
		if (s.p < s.end && *s.p == 'u' && s.p + 1 < s.end && is_digit(s.p[1]))
			return false;
		return s.p < s.end && (is_name_start(*s.p) || strchr("(*&~!$%", *s.p));
	default:
		return s.p < s.end && (is_name_start(*s.p) || is_digit(*s.p) || strchr("(*&~!", *s.p));
	}
}

static int parse_fetch(struct parser *ps, struct span s, struct value *v, int depth);

/* +|-[u]OFFS(FETCHARG) */
static int parse_deref(struct parser *ps, struct span s, struct value *v, int depth)
{
	const char *open = find(s, '(');
	struct span number, inner;
	int64_t offset;
	int ret;

	if (depth == 2 * ST_SPEC_DEREF_MAX)
		return fail(ps, s.p, WRONG, "too many dereferences (at most %d)", ST_SPEC_DEREF_MAX);
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
	ret = parse_fetch(ps, inner, v, depth + 1);
	if (ret)
		return ret;
	if (v->arg->show == ST_SHOW_COMM || v->arg->show == ST_SHOW_TEXT)
		return fail(ps, inner.p, WRONG, "this is a text, not an address");
	return add_deref(ps, s.p, v, *s.p == '-' ? -offset : offset);
}

/* A FETCHARG of the kernel's language, without its type */
static int parse_fetch(struct parser *ps, struct span s, struct value *v, int depth)
{
	if (s.p == s.end)
		return fail(ps, s.p, WRONG, "what is to be fetched is missing");
	switch (*s.p) {
	case '%':
		return parse_register(ps, s, v);
	case '$':
		return parse_variable(ps, s, v);
	case '@':
		return parse_at(ps, s, v);
	case '\\':
		return parse_constant(ps, s, v);
	case '+':
	case '-':
		return parse_deref(ps, s, v, depth);
	default:
		if (depth && is_c(s))
			return fail(ps, s.p, WRONG, "a C expression stands by itself, not in OFFSET(...)");
		return fail(ps, s.p, WRONG, "'%.*s' can't be fetched", shown(s), s.p);
	}
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
	if (is(s, "string") || is(s, "ustring")) {
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
static int parse_type(struct parser *ps, struct span s, struct value *v)
{
	const char *open = find(s, '[');
	struct span name = { s.p, open ? open : s.end }, number;
	struct st_spec_arg *arg = v->arg;
	uint64_t n;
	int ret;

	arg->typed = true;
	if (arg->show == ST_SHOW_COMM || arg->show == ST_SHOW_TEXT)
		return is(s, "string") || is(s, "ustring") ? 0 : fail(ps, s.p, WRONG, "this is a string");
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
	if (arg->bits)
		return fail(ps, open, WRONG, "a bitfield can't be an array");
	if (!v->memory && !arg->expr)
		return fail(ps, open, WRONG, "an array lies in memory: use +0(...):TYPE[N]");
	arg->fetch.type = arg->fetch.type == ST_TYPE_STRING ? ST_TYPE_STRINGS : ST_TYPE_ARRAY;
	arg->fetch.count = (uint16_t)n;
	arg->array = true;
	return 0;
}

/* The ':' in front of the type: the last one outside of parentheses, brackets and quotes. */
static const char *find_type(struct span s)
{
	const char *p;

	for (p = s.end; p > s.p && !strchr(")\"", p[-1]); p--)
		if (p[-1] == ':')
			return p - 1;
	return NULL;
}

/* FETCHARG[:TYPE] */
static int parse_value(struct parser *ps, struct span s, struct st_spec_arg *arg)
{
	struct value v = { .arg = arg };
	const char *colon = find_type(s);
	struct span what = { s.p, colon ? colon : s.end };
	int ret;

	arg->fetch.size = (uint8_t)ps->arch->word;
	arg->fetch.count = 1;
	arg->fetch.type = ST_TYPE_WORD;
	arg->fetch.base = ST_FETCH_NONE;
	arg->show = ST_SHOW_HEX;
	if (is_c(what)) {
		ret = st_expr_check(what.p, length(what), ps->text, ps->err);
		arg->expr = what.p;
		arg->expr_len = length(what);
	} else {
		ret = parse_fetch(ps, what, &v, 0);
	}
	if (!ret && colon)
		ret = parse_type(ps, (struct span){ colon + 1, s.end }, &v);
	if (ret || arg->expr || arg->show == ST_SHOW_COMM || arg->show == ST_SHOW_TEXT)
		return ret;
	return st_spec_finish(arg, ps->arch, v.memory) ? fail(ps, s.p, WRONG, "this value is too complicated") : 0;
}

/* Where the name of `NAME=...` ends, or NULL: 'a->b', 'a==b' have none. */
static const char *name_end(struct span s)
{
	const char *p = s.p;

	while (p < s.end && (is_name_start(*p) || is_digit(*p) || (p > s.p && strchr("-.", *p) && p[1] != '>')))
		p++;
	return p < s.end && *p == '=' && p[1] != '=' ? p : NULL;
}

/* As the kernel names a value that has no name, argN; a variable of C by its own name, as perf probe does. */
static void default_arg_name(struct st_spec_arg *arg, unsigned int n, struct span s)
{
	const char *p = s.p;

	while (p < s.end && (is_name_start(*p) || (p > s.p && is_digit(*p))))
		p++;
	if (p > s.p && (p == s.end || *p == ':') && (size_t)(p - s.p) < sizeof(arg->name))
		snprintf(arg->name, sizeof(arg->name), "%.*s", (int)(p - s.p), s.p);
	else
		snprintf(arg->name, sizeof(arg->name), "arg%u", n);
}

/* [NAME=]FETCHARG[:TYPE] */
static int parse_arg(struct parser *ps, struct span s, struct st_spec *spec)
{
	struct st_spec_arg *arg = &spec->arg[spec->nargs];
	struct span name = { s.p, name_end(s) };
	unsigned int i;
	int ret;

	if (spec->nargs == ST_FETCH_MAX)
		return fail(ps, s.p, WRONG, "too many values (at most %d)", ST_FETCH_MAX);
	if (name.end) {
		ret = parse_name(ps, name, "value", arg->name, sizeof(arg->name));
		if (ret)
			return ret;
		s.p = name.end + 1;
	} else {
		default_arg_name(arg, spec->nargs + 1, s);
	}
	for (i = 0; i < spec->nargs; i++)
		if (!strcmp(arg->name, spec->arg[i].name))
			return fail(ps, name.p, WRONG, "there are two values named %s", arg->name);
	ret = parse_value(ps, s, arg);
	if (!ret)
		spec->nargs++;
	return ret;
}

/* As the kernel names a probe that has no name: p_FUNCTION_OFFSET. */
static void default_name(struct st_spec *spec)
{
	char kind = spec->ret ? 'r' : 'p', *c;

	if (!spec->function[0])
		snprintf(spec->name, sizeof(spec->name), "%c_%.40s_0x%" PRIx64, kind, spec->object, spec->offset);
	else
		snprintf(spec->name, sizeof(spec->name), "%c_%.42s_%" PRIu64, kind, spec->function, spec->offset);
	for (c = spec->name; *c; c++)
		if (!is_name_start(*c) && !is_digit(*c))
			*c = '_';
}

int st_spec_parse(const char *text, const struct st_spec_arch *arch, struct st_spec *spec,
		  struct st_spec_error *err)
{
	struct parser ps = { text, arch, err, spec };
	const char *p = text;
	struct span word;
	int ret;

	memset(spec, 0, sizeof(*spec));
	memset(err, 0, sizeof(*err));
	spec->spelling = text;
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

int st_spec_parse_value(const char *text, const struct st_spec_arch *arch, const struct st_spec *spec,
			struct st_spec_arg *arg, struct st_spec_error *err)
{
	struct parser ps = { text, arch, err, spec };
	struct span s = { text, text + strlen(text) };

	memset(arg, 0, sizeof(*arg));
	memset(err, 0, sizeof(*err));
	while (s.p < s.end && is_blank(*s.p))
		s.p++;
	while (s.end > s.p && is_blank(s.end[-1]))
		s.end--;
	return parse_value(&ps, s, arg);
}
