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

enum { REG = ST_FETCH_REG, STACK = ST_FETCH_STACK, IMM = ST_FETCH_IMM, COMM = ST_FETCH_COMM };
enum {
	HEX = ST_SHOW_HEX,
	UNSIGNED = ST_SHOW_UNSIGNED,
	SIGNED = ST_SHOW_SIGNED,
	CHAR = ST_SHOW_CHAR,
	SYMBOL = ST_SHOW_SYMBOL,
	STRING = ST_SHOW_STRING,
	SHOW_COMM = ST_SHOW_COMM,
};

/* clang-format off */
/* One argument, parsed: base, index, immediate, dereferences, size, count, how it is shown. */
static const struct arg_case {
	const char *text;
	const struct st_spec_arch *arch;
	const char *name;
	uint8_t base;
	uint16_t index;
	int64_t imm;
	uint8_t derefs;
	int64_t offs[3];
	uint8_t size;
	uint16_t count;
	int show;		/* enum st_show */
	const char *symbol;
} arg_cases[] = {
	{ "%di", X86, "arg1", REG, 14, 0, 0, { 0 }, 8, 1, HEX, "" },
	{ "flags=%flags:x32", X86, "flags", REG, 18, 0, 0, { 0 }, 4, 1, HEX, "" },
	{ "%x30", A64, "arg1", REG, 30, 0, 0, { 0 }, 8, 1, HEX, "" },
	{ "%lr", A64, "arg1", REG, 30, 0, 0, { 0 }, 8, 1, HEX, "" },
	{ "%ip", A32, "arg1", REG, 12, 0, 0, { 0 }, 4, 1, HEX, "" },
	{ "%cpsr:u32", A32, "arg1", REG, 16, 0, 0, { 0 }, 4, 1, UNSIGNED, "" },
	/* arguments: registers, then the stack */
	{ "$arg1", X86, "arg1", REG, 14, 0, 0, { 0 }, 8, 1, HEX, "" },
	{ "$arg6", X86, "arg1", REG, 8, 0, 0, { 0 }, 8, 1, HEX, "" },
	{ "$arg7", X86, "arg1", STACK, 1, 0, 0, { 0 }, 8, 1, HEX, "" },
	{ "$arg8", A64, "arg1", REG, 7, 0, 0, { 0 }, 8, 1, HEX, "" },
	{ "$arg10", A64, "arg1", STACK, 1, 0, 0, { 0 }, 8, 1, HEX, "" },
	{ "$arg5:s32", A32, "arg1", STACK, 0, 0, 0, { 0 }, 4, 1, SIGNED, "" },
	{ "$stack", X86, "arg1", REG, 19, 0, 0, { 0 }, 8, 1, HEX, "" },
	{ "$stack0:symbol", X86, "arg1", STACK, 0, 0, 0, { 0 }, 8, 1, SYMBOL, "" },
	{ "$stack12", X86, "arg1", STACK, 12, 0, 0, { 0 }, 8, 1, HEX, "" },
	{ "$comm", X86, "arg1", COMM, 0, 0, 0, { 0 }, 8, 1, SHOW_COMM, "" },
	{ "c=$comm:string", X86, "c", COMM, 0, 0, 0, { 0 }, 8, 1, SHOW_COMM, "" },
	/* memory */
	{ "s=+0(%di):string", X86, "s", REG, 14, 0, 1, { 0 }, 8, 1, STRING, "" },
	{ "s=%di:string", X86, "s", REG, 14, 0, 0, { 0 }, 8, 1, STRING, "" },
	{ "+8(-0x10(+u24(%si))):u16", X86, "arg1", REG, 13, 0, 3, { 24, -16, 8 }, 2, 1,
	  UNSIGNED, "" },
	{ "@0x1000:s8", X86, "arg1", IMM, 0, 0x1000, 1, { 0 }, 1, 1, SIGNED, "" },
	{ "@server", X86, "arg1", IMM, 0, 0, 1, { 0 }, 8, 1, HEX, "server" },
	{ "v=@server+16:u32", X86, "v", IMM, 0, 16, 1, { 0 }, 4, 1, UNSIGNED, "server" },
	{ "+4(@server-8)", X86, "arg1", IMM, 0, -8, 2, { 0, 4 }, 8, 1, HEX, "server" },
	{ "+0($arg1):u8[16]", X86, "arg1", REG, 14, 0, 1, { 0 }, 1, 16, UNSIGNED, "" },
	{ "\\42:u64", X86, "arg1", IMM, 0, 42, 0, { 0 }, 8, 1, UNSIGNED, "" },
	{ "\\-1:s32", X86, "arg1", IMM, 0, -1, 0, { 0 }, 4, 1, SIGNED, "" },
	{ "%ax:char", X86, "arg1", REG, 10, 0, 0, { 0 }, 1, 1, CHAR, "" },
	{ "%si:b4@12/16", X86, "arg1", REG, 13, 0, 0, { 0 }, 2, 1, UNSIGNED, "" },
};

/* clang-format on */
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
		CHECK(f->base == c->base && f->index == c->index && f->imm == c->imm,
		      "%s: %u %u %lld", text, f->base, f->index, (long long)f->imm);
		CHECK(f->derefs == c->derefs && !memcmp(f->offs, c->offs, sizeof(c->offs)),
		      "%s: %u %lld %lld %lld", text, f->derefs, (long long)f->offs[0],
		      (long long)f->offs[1], (long long)f->offs[2]);
		CHECK(f->size == c->size && f->count == c->count && (int)a->show == c->show,
		      "%s: %u %u %d", text, f->size, f->count, a->show);
		CHECK(!strcmp(a->symbol, c->symbol), "%s: %s", text, a->symbol);
		CHECK((f->type == ST_TYPE_STRING) == (c->show == ST_SHOW_STRING), "%s", text);
	}
	if (parses("p f %di b=%si:b4@12/16 %dx", &st_spec_x86_64)) {
		CHECK(spec.nargs == 3 && !strcmp(spec.arg[2].name, "arg3"), "%s", spec.arg[2].name);
		CHECK(spec.arg[1].bits == 4 && spec.arg[1].shift == 12, "%u", spec.arg[1].bits);
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
	{ "r f $retval",
	  "^", 1 },
	{ "r:x f",
	  "^", 1 },
	{ "r16:x f",
	  "^", 1 },
	{ "-:x f",
	  "^", 2 },
	{ "p f+4",
	  "   ^", 1 },
	{ "p f+zz",
	  "    ^", 2 },
	{ "p f%return",
	  "   ^", 1 },
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
	{ "p f +0(+0(+0(+0(+0(+0(+0(%di)))))))",
	  "    ^", 2 },
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
	{ "p f +0(%di):string[2]",
	  "                  ^", 1 },
	{ "p f %di:b9@0/8",
	  "        ^", 2 },
	{ "p f %di:b1@8/8",
	  "        ^", 2 },
	{ "p f %di:b1@0/9",
	  "             ^", 2 },
	{ "p f @",
	  "     ^", 2 },
	{ "p f @+16",
	  "    ^", 1 },
	{ "p f \\",
	  "     ^", 2 },
	{ "p f \\99999999999999999999",
	  "     ^", 2 },
	{ "p f c->argv[0]->ptr:string",
	  "    ^", 1 },
	{ "p f a=c->n",
	  "      ^", 1 },
	{ "p f (x)",
	  "    ^", 1 },
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
	refusals();
	registers();
	return finish();
}
