// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parser of probe specifications: what each form becomes, for each architecture, and for each wrong text the exit
 * status and the place that is pointed at.
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
	enum st_show show;
	const char *symbol;
} arg_cases[] = {
	{ "%di", &st_spec_x86_64, "arg1", ST_FETCH_REG, 14, 0, 0, { 0 }, 8, 1, ST_SHOW_HEX, "" },
	{ "flags=%flags:x32", &st_spec_x86_64, "flags", ST_FETCH_REG, 18, 0, 0, { 0 }, 4, 1, ST_SHOW_HEX, "" },
	{ "%x30", &st_spec_arm64, "arg1", ST_FETCH_REG, 30, 0, 0, { 0 }, 8, 1, ST_SHOW_HEX, "" },
	{ "%lr", &st_spec_arm64, "arg1", ST_FETCH_REG, 30, 0, 0, { 0 }, 8, 1, ST_SHOW_HEX, "" },
	{ "%ip", &st_spec_arm, "arg1", ST_FETCH_REG, 12, 0, 0, { 0 }, 4, 1, ST_SHOW_HEX, "" },
	{ "%cpsr:u32", &st_spec_arm, "arg1", ST_FETCH_REG, 16, 0, 0, { 0 }, 4, 1, ST_SHOW_UNSIGNED, "" },
	/* arguments: registers, then the stack */
	{ "$arg1", &st_spec_x86_64, "arg1", ST_FETCH_REG, 14, 0, 0, { 0 }, 8, 1, ST_SHOW_HEX, "" },
	{ "$arg6", &st_spec_x86_64, "arg1", ST_FETCH_REG, 8, 0, 0, { 0 }, 8, 1, ST_SHOW_HEX, "" },
	{ "$arg7", &st_spec_x86_64, "arg1", ST_FETCH_STACK, 1, 0, 0, { 0 }, 8, 1, ST_SHOW_HEX, "" },
	{ "$arg8", &st_spec_arm64, "arg1", ST_FETCH_REG, 7, 0, 0, { 0 }, 8, 1, ST_SHOW_HEX, "" },
	{ "$arg10", &st_spec_arm64, "arg1", ST_FETCH_STACK, 1, 0, 0, { 0 }, 8, 1, ST_SHOW_HEX, "" },
	{ "$arg5:s32", &st_spec_arm, "arg1", ST_FETCH_STACK, 0, 0, 0, { 0 }, 4, 1, ST_SHOW_SIGNED, "" },
	{ "$stack", &st_spec_x86_64, "arg1", ST_FETCH_REG, 19, 0, 0, { 0 }, 8, 1, ST_SHOW_HEX, "" },
	{ "$stack0:symbol", &st_spec_x86_64, "arg1", ST_FETCH_STACK, 0, 0, 0, { 0 }, 8, 1, ST_SHOW_SYMBOL, "" },
	{ "$stack12", &st_spec_x86_64, "arg1", ST_FETCH_STACK, 12, 0, 0, { 0 }, 8, 1, ST_SHOW_HEX, "" },
	{ "$comm", &st_spec_x86_64, "arg1", ST_FETCH_COMM, 0, 0, 0, { 0 }, 8, 1, ST_SHOW_COMM, "" },
	{ "c=$comm:string", &st_spec_x86_64, "c", ST_FETCH_COMM, 0, 0, 0, { 0 }, 8, 1, ST_SHOW_COMM, "" },
	/* memory */
	{ "s=+0(%di):string", &st_spec_x86_64, "s", ST_FETCH_REG, 14, 0, 1, { 0 }, 8, 1, ST_SHOW_STRING, "" },
	{ "s=%di:string", &st_spec_x86_64, "s", ST_FETCH_REG, 14, 0, 0, { 0 }, 8, 1, ST_SHOW_STRING, "" },
	{ "+8(-0x10(+u24(%si))):u16", &st_spec_x86_64, "arg1", ST_FETCH_REG, 13, 0, 3, { 24, -16, 8 }, 2, 1,
	  ST_SHOW_UNSIGNED, "" },
	{ "@0x1000:s8", &st_spec_x86_64, "arg1", ST_FETCH_IMM, 0, 0x1000, 1, { 0 }, 1, 1, ST_SHOW_SIGNED, "" },
	{ "@server", &st_spec_x86_64, "arg1", ST_FETCH_IMM, 0, 0, 1, { 0 }, 8, 1, ST_SHOW_HEX, "server" },
	{ "v=@server+16:u32", &st_spec_x86_64, "v", ST_FETCH_IMM, 0, 16, 1, { 0 }, 4, 1, ST_SHOW_UNSIGNED, "server" },
	{ "+4(@server-8)", &st_spec_x86_64, "arg1", ST_FETCH_IMM, 0, -8, 2, { 0, 4 }, 8, 1, ST_SHOW_HEX, "server" },
	{ "+0($arg1):u8[16]", &st_spec_x86_64, "arg1", ST_FETCH_REG, 14, 0, 1, { 0 }, 1, 16, ST_SHOW_UNSIGNED, "" },
	{ "\\42:u64", &st_spec_x86_64, "arg1", ST_FETCH_IMM, 0, 42, 0, { 0 }, 8, 1, ST_SHOW_UNSIGNED, "" },
	{ "\\-1:s32", &st_spec_x86_64, "arg1", ST_FETCH_IMM, 0, -1, 0, { 0 }, 4, 1, ST_SHOW_SIGNED, "" },
	{ "%ax:char", &st_spec_x86_64, "arg1", ST_FETCH_REG, 10, 0, 0, { 0 }, 1, 1, ST_SHOW_CHAR, "" },
	{ "%si:b4@12/16", &st_spec_x86_64, "arg1", ST_FETCH_REG, 13, 0, 0, { 0 }, 2, 1, ST_SHOW_UNSIGNED, "" },
};

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
		CHECK(spec.nargs == 1 && !strcmp(a->name, c->name), "%s: %u %s", text, spec.nargs, a->name);
		CHECK(f->base == c->base && f->index == c->index && f->imm == c->imm, "%s: %u %u %lld", text, f->base,
		      f->index, (long long)f->imm);
		CHECK(f->derefs == c->derefs && !memcmp(f->offs, c->offs, sizeof(c->offs)), "%s: %u %lld %lld %lld", text,
		      f->derefs, (long long)f->offs[0], (long long)f->offs[1], (long long)f->offs[2]);
		CHECK(f->size == c->size && f->count == c->count && a->show == c->show, "%s: %u %u %d", text, f->size,
		      f->count, a->show);
		CHECK(!strcmp(a->symbol, c->symbol), "%s: %s", text, a->symbol);
		CHECK((f->type == ST_TYPE_STRING) == (c->show == ST_SHOW_STRING), "%s", text);
	}
	if (parses("p f %di b=%si:b4@12/16 %dx", &st_spec_x86_64)) {
		CHECK(spec.nargs == 3 && !strcmp(spec.arg[2].name, "arg3"), "%s", spec.arg[2].name);
		CHECK(spec.arg[1].bits == 4 && spec.arg[1].shift == 12, "%u", spec.arg[1].bits);
	}
}

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

static void refusals(void)
{
	size_t i;

	for (i = 0; i < sizeof(bad_cases) / sizeof(bad_cases[0]); i++) {
		const struct bad_case *c = &bad_cases[i];
		const struct st_spec_arch *arch = strstr(c->text, "%r0") ? &st_spec_arm : &st_spec_x86_64;
		size_t want = strlen(c->mark) - 1;

		if (strstr(c->text, "%cpsr"))
			want = (size_t)(strstr(c->text, "%cpsr") - c->text);
		if (!st_spec_parse(c->text, arch, &spec, &err)) {
			CHECK(false, "'%s' was accepted", c->text);
			continue;
		}
		CHECK(err.pos == want, "'%s': at %zu, not %zu: %s", c->text, err.pos, want, err.text);
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
	CHECK(!strcmp(st_spec_native->name, st_spec_native->word == 4 ? "ARM" :
		      st_spec_native == &st_spec_x86_64 ? "x86-64" : "AArch64"), "%s", st_spec_native->name);
}

int main(void)
{
	heads();
	args();
	refusals();
	registers();
	return finish();
}
