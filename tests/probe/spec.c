// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parser of probe specifications: what each form becomes, for each architecture, and for each
 * wrong text the exit status and the place that is pointed at.
 */
#include <string.h>
#include <probe/spec.h>
#include "check.h"

static struct st_spec spec;
static struct st_spec_error err;

static bool parses(const char *text, const struct st_spec_arch *arch)
{
	bool ok = !st_spec_parse(text, arch, &spec, &err);

	CHECK(ok, "'%s' at %zu: %s", text, err.pos, err.text);
	return ok;
}

static void heads(void)
{
	if (parses("p:open libc.so.6:open64", &st_spec_x86_64)) {
		CHECK(!strcmp(spec.name, "open"), "%s", spec.name);
		CHECK(!strcmp(spec.object, "libc.so.6"), "%s", spec.object);
		CHECK(!strcmp(spec.function, "open64"), "%s", spec.function);
		CHECK(spec.nargs == 0, "%u", spec.nargs);
	}
	if (parses("r5:g/back f", &st_spec_x86_64))
		CHECK(!strcmp(spec.name, "back") && spec.ret && !spec.offset, "%s", spec.name);
	if (parses("p f%return", &st_spec_x86_64))
		CHECK(!strcmp(spec.name, "r_f_0") && spec.ret, "%s", spec.name);
	if (parses("p f+0x1c %ax", &st_spec_x86_64))
		CHECK(!strcmp(spec.name, "p_f_28") && spec.offset == 28 && !strcmp(spec.function, "f"), "%s", spec.name);
	if (parses("p libc.so.6:0x7e2d0 $arg1", &st_spec_x86_64)) {
		CHECK(!strcmp(spec.name, "p_libc_so_6_0x7e2d0"), "%s", spec.name);
		CHECK(spec.offset == 0x7e2d0 && !spec.function[0] && !strcmp(spec.object, "libc.so.6"), "%s", spec.object);
	}
	if (parses("  p\tprocess*  ", &st_spec_x86_64)) {
		CHECK(!strcmp(spec.name, "p_process__0"), "%s", spec.name);
		CHECK(!strcmp(spec.object, ""), "%s", spec.object);
		CHECK(!strcmp(spec.function, "process*"), "%s", spec.function);
	}
	if (parses("p:grp/ev libstdc++.so.6:_Znwm+0x0", &st_spec_x86_64)) {
		CHECK(!strcmp(spec.name, "ev"), "%s", spec.name);
		CHECK(!strcmp(spec.object, "libstdc++.so.6"), "%s", spec.object);
		CHECK(!strcmp(spec.function, "_Znwm"), "%s", spec.function);
	}
}

#define X86	&st_spec_x86_64
#define A64	&st_spec_arm64
#define A32	&st_spec_arm

enum {
	HEX = ST_SHOW_HEX,
	UNSIGNED = ST_SHOW_UNSIGNED,
	SIGNED = ST_SHOW_SIGNED,
	CHAR = ST_SHOW_CHAR,
	SYMBOL = ST_SHOW_SYMBOL,
	STRING = ST_SHOW_STRING,
	SHOW_COMM = ST_SHOW_COMM,
	SHOW_TEXT = ST_SHOW_TEXT,
};
enum { WORD = ST_TYPE_WORD, ARRAY = ST_TYPE_ARRAY, TEXT = ST_TYPE_STRING, TEXTS = ST_TYPE_STRINGS };

/* clang-format off */
/*
 * One argument, parsed: its program, how its value is recorded, size, count, how it is shown. Of a program: rN pushes a
 * register, =N a number, [S+N] loads S bytes, +N adds, bW@O takes bits.
 */
static const struct arg_case {
	const char *text;
	const struct st_spec_arch *arch;
	const char *name, *program;
	int type;
	uint8_t size;
	uint16_t count;
	int show;		/* enum st_show */
	const char *symbol;
} arg_cases[] = {
	{ "%di", X86, "arg1", "r14", WORD, 8, 1, HEX, "" },
	{ "flags=%flags:x32", X86, "flags", "r18", WORD, 4, 1, HEX, "" },
	{ "%x30", A64, "arg1", "r30", WORD, 8, 1, HEX, "" },
	{ "%lr", A64, "arg1", "r30", WORD, 8, 1, HEX, "" },
	{ "%ip", A32, "arg1", "r12", WORD, 4, 1, HEX, "" },
	{ "%cpsr:u32", A32, "arg1", "r16", WORD, 4, 1, UNSIGNED, "" },
	/* arguments: registers, then the stack */
	{ "$arg1", X86, "arg1", "r14", WORD, 8, 1, HEX, "" },
	{ "$arg6", X86, "arg1", "r8", WORD, 8, 1, HEX, "" },
	{ "$arg7", X86, "arg1", "r19 [8+8]", WORD, 8, 1, HEX, "" },
	{ "$arg8", A64, "arg1", "r7", WORD, 8, 1, HEX, "" },
	{ "$arg10", A64, "arg1", "r31 [8+8]", WORD, 8, 1, HEX, "" },
	{ "$arg5:s32", A32, "arg1", "r13 [4+0]", WORD, 4, 1, SIGNED, "" },
	{ "$stack", X86, "arg1", "r19", WORD, 8, 1, HEX, "" },
	{ "$stack0:symbol", X86, "arg1", "r19 [8+0]", WORD, 8, 1, SYMBOL, "" },
	{ "$stack12", X86, "arg1", "r19 [8+96]", WORD, 8, 1, HEX, "" },
	{ "+0($stack2):string", X86, "arg1", "r19 [8+16] +0", TEXT, 8, 1, STRING, "" },
	{ "$stack2:string", X86, "arg1", "r19 [8+16]", TEXT, 8, 1, STRING, "" },
	{ "$comm", X86, "arg1", "", WORD, 8, 1, SHOW_COMM, "" },
	{ "c=$comm:string", X86, "c", "", WORD, 8, 1, SHOW_COMM, "" },
	/* memory */
	{ "s=+0(%di):string", X86, "s", "r14 +0", TEXT, 8, 1, STRING, "" },
	{ "s=%di:string", X86, "s", "r14", TEXT, 8, 1, STRING, "" },
	{ "s=%di:ustring", X86, "s", "r14", TEXT, 8, 1, STRING, "" },
	{ "s=+8(%di):string[3]", X86, "s", "r14 +8", TEXTS, 8, 3, STRING, "" },
	{ "+8(-0x10(+u24(%si))):u16", X86, "arg1", "r13 [8+24] [8+-16] [2+8]", WORD, 2, 1, UNSIGNED, "" },
	{ "@0x1000:s8", X86, "arg1", "=4096 [1+0]", WORD, 1, 1, SIGNED, "" },
	{ "@+0x1000:s8", X86, "arg1", "=4096 [1+0]", WORD, 1, 1, SIGNED, "" },
	{ "@server", X86, "arg1", "=0 [8+0]", WORD, 8, 1, HEX, "server" },
	{ "v=@server+16:u32", X86, "v", "=16 [4+0]", WORD, 4, 1, UNSIGNED, "server" },
	{ "+4(@server-8)", X86, "arg1", "=-8 [8+0] [8+4]", WORD, 8, 1, HEX, "server" },
	{ "+4(@server-8):string", A32, "arg1", "=-8 [4+0] +4", TEXT, 4, 1, STRING, "server" },
	{ "@name:string", X86, "arg1", "=0 +0", TEXT, 8, 1, STRING, "name" },
	{ "+0($arg1):u8[16]", X86, "arg1", "r14 +0", ARRAY, 1, 16, UNSIGNED, "" },
	{ "\\42:u64", X86, "arg1", "=42", WORD, 8, 1, UNSIGNED, "" },
	{ "\\-1:s32", X86, "arg1", "=-1", WORD, 4, 1, SIGNED, "" },
	{ "t=\\\"a b\"", X86, "t", "", WORD, 8, 1, SHOW_TEXT, "" },
	{ "t=\\\"a:b\":string", X86, "t", "", WORD, 8, 1, SHOW_TEXT, "" },
	{ "%ax:char", X86, "arg1", "r10", WORD, 1, 1, CHAR, "" },
	{ "%si:b4@12/16", X86, "arg1", "r13 b4@12", WORD, 2, 1, UNSIGNED, "" },
	{ "+6(%si):b4@12/16", X86, "arg1", "r13 [2+6] b4@12", WORD, 2, 1, UNSIGNED, "" },
};

/* clang-format on */
static const char *program(const struct st_spec_arg *a)
{
	static char text[400];
	size_t len = 0;
	unsigned int i;

	text[0] = '\0';
	for (i = 0; i < a->nops && len < sizeof(text); i++) {
		const struct st_op *op = &a->op[i];
		const char *blank = i ? " " : "";
		char *to = text + len;
		size_t room = sizeof(text) - len;

		if (op->op == ST_OP_REG)
			len += (size_t)snprintf(to, room, "%sr%u", blank, op->index);
		else if (op->op == ST_OP_IMM)
			len += (size_t)snprintf(to, room, "%s=%lld", blank, (long long)op->imm);
		else if (op->op == ST_OP_LOAD)
			len += (size_t)snprintf(to, room, "%s[%u+%lld]", blank, op->size, (long long)op->imm);
		else if (op->op == ST_OP_ADDI)
			len += (size_t)snprintf(to, room, "%s+%lld", blank, (long long)op->imm);
		else if (op->op == ST_OP_BITS)
			len += (size_t)snprintf(to, room, "%sb%u@%u", blank, op->size, op->index);
		else
			len += (size_t)snprintf(to, room, "%s?%u", blank, op->op);
	}
	return text;
}

static void args(void)
{
	char text[200];
	size_t i;

	for (i = 0; i < sizeof(arg_cases) / sizeof(arg_cases[0]); i++) {
		const struct arg_case *c = &arg_cases[i];
		const struct st_spec_arg *a = &spec.arg[0];
		const struct st_fetch *f = &a->fetch;

		snprintf(text, sizeof(text), "p f %s", c->text);
		if (!parses(text, c->arch))
			continue;
		CHECK(spec.nargs == 1 && !strcmp(a->name, c->name), "%s: %u %s", text, spec.nargs,
		      a->name);
		CHECK(!strcmp(program(a), c->program), "%s: %s", text, program(a));
		CHECK(f->size == c->size && f->count == c->count && (int)a->show == c->show && f->type == c->type,
		      "%s: %u %u %d %d", text, f->size, f->count, a->show, f->type);
		CHECK(!strcmp(a->symbol, c->symbol), "%s: %s", text, a->symbol);
		CHECK(f->base == (!c->program[0]		     ? ST_FETCH_NONE :
				  a->nops == 1 && c->program[0] == 'r' ? ST_FETCH_REG :
									 ST_FETCH_PROGRAM),
		      "%s: %u", text, f->base);
		CHECK(a->file_offset == (strstr(c->text, "@+") != NULL), "%s", text);
	}
	if (parses("p f %di b=%si:b4@12/16 %dx", &st_spec_x86_64)) {
		CHECK(spec.nargs == 3 && !strcmp(spec.arg[2].name, "arg3"), "%s", spec.arg[2].name);
		CHECK(spec.arg[1].bits == 4 && spec.arg[1].shift == 12, "%u", spec.arg[1].bits);
	}
	if (parses("r f a=$retval:s32", &st_spec_x86_64))
		CHECK(!strcmp(program(&spec.arg[0]), "r10"), "%s", program(&spec.arg[0]));
	if (parses("r f $retval", &st_spec_arm))
		CHECK(!strcmp(program(&spec.arg[0]), "r0"), "%s", program(&spec.arg[0]));
	if (parses("p f t=\\\"say it\" %di", &st_spec_x86_64))
		CHECK(!strcmp(spec.arg[0].text, "say it") && spec.nargs == 2, "%s", spec.arg[0].text);
}

/* What is C, and what of it is a name and a type. */
static void expressions(void)
{
	static const struct {
		const char *text, *name, *expr;
		bool typed;
	} cases[] = {
		{ "p f c->argv[0]->ptr:string", "arg1", "c->argv[0]->ptr", true },
		{ "p f n=c->n", "n", "c->n", false },
		{ "p f count", "count", "count", false },
		{ "p f count:u8", "count", "count", true },
		{ "p f a->b==1", "arg1", "a->b==1", false },
		{ "p f (a == b)", "arg1", "(a == b)", false },
		{ "p f x=(struct foo *)$arg1:x32", "x", "(struct foo *)$arg1", true },
		{ "p f ((struct foo *)$arg1)->n", "arg1", "((struct foo *)$arg1)->n", false },
		{ "p f *p:u8[4]", "arg1", "*p", true },
		{ "p f &a.b", "arg1", "&a.b", false },
		{ "p f -x", "arg1", "-x", false },
		{ "p f -unsigned_one", "arg1", "-unsigned_one", false },
		{ "p f %di+1", "arg1", "%di+1", false },
		{ "r f $retval->len:u32", "arg1", "$retval->len", true },
		{ "p f 1+2*3", "arg1", "1+2*3", false },
		{ "p f sizeof(struct a)/sizeof(x)", "arg1", "sizeof(struct a)/sizeof(x)", false },
		{ "p f a[i].b->c&0xff", "arg1", "a[i].b->c&0xff", false },
		{ "p f (unsigned char)c", "arg1", "(unsigned char)c", false },
		{ "p f (foo_t)c", "arg1", "(foo_t)c", false },
		{ "p f c=='x'", "arg1", "c=='x'", false },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct st_spec_arg *a = &spec.arg[0];

		if (!parses(cases[i].text, X86))
			continue;
		CHECK(spec.nargs == 1 && !strcmp(a->name, cases[i].name), "%s: %s", cases[i].text, a->name);
		CHECK(a->expr && a->expr_len == strlen(cases[i].expr) && !memcmp(a->expr, cases[i].expr, a->expr_len),
		      "%s: %.*s", cases[i].text, (int)a->expr_len, a->expr ? a->expr : "");
		CHECK(a->typed == cases[i].typed, "%s", cases[i].text);
	}
}

/* clang-format off */
/* The place is that of the mark in the second line. */
static const struct bad_case {
	const char *text, *mark;
	int status;
} bad_cases[] = {
	{ "",
	  "^", 2 },
	{ "q f",
	  "^", 2 },
	{ "malloc",
	  "^", 2 },
	{ "p",
	  " ^", 2 },
	{ "p: f",
	  "  ^", 2 },
	{ "p:a-b f",
	  "   ^", 2 },
	{ "p:1 f",
	  "  ^", 2 },
	{ "rx f",
	  "^", 2 },
	{ "r:x f+4",
	  "     ^", 2 },
	{ "p:x f+4%return",
	  "     ^", 2 },
	{ "r f $arg1",
	  "    ^", 1 },
	{ "-:x f",
	  "^", 2 },
	{ "p f+4 $arg1",
	  "      ^", 2 },
	{ "p f+zz",
	  "    ^", 2 },
	{ "p f%ret",
	  "   ^", 2 },
	{ "p a.out:0x0",
	  "        ^", 2 },
	{ "p a.out:0xzz",
	  "          ^", 2 },
	{ "p /usr/bin/x:f",
	  "  ^", 2 },
	{ "p 0x1234",
	  "  ^", 2 },
	{ "p libc.so.6:",
	  "            ^", 2 },
	{ "p :f",
	  "  ^", 2 },
	{ "p f %xx",
	  "    ^", 2 },
	{ "p f a=%di a=%si",
	  "          ^", 2 },
	{ "p f arg2=%di %si",
	  "             ^", 2 },
	{ "p f $arg0",
	  "    ^", 2 },
	{ "p f $arg99999999",
	  "    ^", 2 },
	{ "p f $argx",
	  "        ^", 2 },
	{ "p f $retval",
	  "    ^", 2 },
	{ "p f $foo",
	  "    ^", 2 },
	{ "p f %di:u7",
	  "        ^", 2 },
	{ "p f %di:",
	  "        ^", 2 },
	{ "p f x=",
	  "      ^", 2 },
	{ "p f +0(%di",
	  "          ^", 2 },
	{ "p f +0%di",
	  "         ^", 2 },
	{ "p f +x(%di)",
	  "     ^", 2 },
	{ "p f +0()",
	  "       ^", 2 },
	{ "p f +0(+0(+0(+0(+0(+0(+0(+0(+0(+0(+0(+0(+0(%di)))))))))))))",
	  "    ^", 2 },
	{ "p f +0(a->b)",
	  "       ^", 2 },
	{ "p f +0($comm)",
	  "       ^", 2 },
	{ "p f $comm:u8",
	  "          ^", 2 },
	{ "p f %di:u8[4]",
	  "          ^", 2 },
	{ "p f +0(%di):u8[0]",
	  "               ^", 2 },
	{ "p f +0(%di):u8[65]",
	  "               ^", 2 },
	{ "p f +0(%di):u8[4",
	  "                ^", 2 },
	{ "p f %di:string[2]",
	  "              ^", 2 },
	{ "p f \\\"abc",
	  "         ^", 2 },
	{ "p f \\\"abc\":u8",
	  "           ^", 2 },
	{ "p f %di:b9@0/8",
	  "        ^", 2 },
	{ "p f %di:b1@8/8",
	  "        ^", 2 },
	{ "p f %di:b1@0/9",
	  "             ^", 2 },
	{ "p f @",
	  "     ^", 2 },
	{ "p f @+",
	  "      ^", 2 },
	{ "p f \\",
	  "     ^", 2 },
	{ "p f \\99999999999999999999",
	  "     ^", 2 },
	{ "p f c->argv[0->ptr",
	  "                  ^", 2 },
	{ "p f a=c->",
	  "         ^", 2 },
	{ "p f (x=1)",
	  "      ^", 2 },
	{ "p f (x)++",
	  "       ^", 2 },
	{ "p f f(x)",
	  "     ^", 2 },
	{ "p f (a?b:c)",
	  "      ^", 2 },
	{ "p f 08",
	  "    ^", 2 },
	{ "p f 1.5",
	  "    ^", 2 },
	{ "p f (x",
	  "      ^", 2 },
	{ "p f a->b:u7",
	  "         ^", 2 },
	{ "p f ?",
	  "    ^", 2 },
	{ "p f %r0 %r1 %r2 %r3 %r4 %r5 %r6 %r7 %r8 %r9 %r10 %fp %ip %sp %lr %pc %cpsr",
	  "                                                                     ^", 2 },
};

/* clang-format on */
static void refusals(void)
{
	size_t i;

	for (i = 0; i < sizeof(bad_cases) / sizeof(bad_cases[0]); i++) {
		const struct bad_case *c = &bad_cases[i];
		const struct st_spec_arch *arch =
			strstr(c->text, "%r0") ? &st_spec_arm : &st_spec_x86_64;
		size_t want = strlen(c->mark) - 1;

		if (strstr(c->text, "%cpsr"))
			want = (size_t)(strstr(c->text, "%cpsr") - c->text);
		if (!st_spec_parse(c->text, arch, &spec, &err)) {
			CHECK(false, "'%s' was accepted", c->text);
			continue;
		}
		CHECK(err.pos == want, "'%s': at %zu, not %zu: %s", c->text, err.pos, want,
		      err.text);
		CHECK(err.status == c->status, "'%s': %d: %s", c->text, err.status, err.text);
		CHECK(strlen(err.text) > 10, "'%s': %s", c->text, err.text);
	}
}

/* Registers that are not of the architecture are not known. */
static void registers(void)
{
	CHECK(st_spec_parse("p f %x0", &st_spec_x86_64, &spec, &err), "x0");
	CHECK(st_spec_parse("p f %di", &st_spec_arm64, &spec, &err), "di");
	CHECK(st_spec_parse("p f %x0", &st_spec_arm, &spec, &err), "x0");
	CHECK(st_spec_parse("p f @0x100000000", &st_spec_arm, &spec, &err), "address");
	CHECK(!strcmp(st_spec_native->name, st_spec_native->word == 4		? "ARM"
					    : st_spec_native == &st_spec_x86_64 ? "x86-64"
										: "AArch64"),
	      "%s", st_spec_native->name);
}

int main(void)
{
	heads();
	args();
	expressions();
	refusals();
	registers();
	return finish();
}
