/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A probe as its user writes it: the kernel's kprobe_events language
 * (Documentation/trace/kprobetrace.rst), parsed.
 *
 * The parser is pure: it looks at its text and at a table of the architecture, at nothing else.
 * What is a symbol in the text stays a symbol in the result; whoever knows the process resolves it.
 */
#ifndef ST_PROBE_SPEC_H
#define ST_PROBE_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <agent/ctl.h>

#define ST_SPEC_NAME_MAX	64	/* of a probe, as struct st_ctl_probe has it */
#define ST_SPEC_ARG_NAME_MAX	32
#define ST_SPEC_SYMBOL_MAX	256
#define ST_SPEC_TEXT_MAX	64	/* of a constant */
#define ST_SPEC_ARRAY_MAX	64	/* elements; the kernel's MAX_ARRAY_LEN */
#define ST_SPEC_DEREF_MAX	12	/* dereferences of a fetcharg */
#define ST_SPEC_OPS_MAX		48	/* instructions of a value's program */

/* What a specification has to know of an architecture. */
struct st_spec_arch {
	const char *name;
	unsigned int word;		/* bytes */
	const struct st_spec_reg {
		const char *name;
		uint16_t index;		/* word of struct st_regs */
	} *regs;			/* ends with a NULL name */
	uint16_t sp;			/* index of the stack pointer */
	uint16_t ret;			/* of an integer or a pointer that is returned */
	uint16_t args[8];		/* registers of the first integer arguments */
	unsigned int nargs;
	unsigned int stack_args;	/* word of the stack that holds the argument behind those */
};

extern const struct st_spec_arch st_spec_x86_64, st_spec_arm64, st_spec_arm;
/* The one of this tool, and of the processes it works on. */
extern const struct st_spec_arch *const st_spec_native;

enum st_show {
	ST_SHOW_HEX,
	ST_SHOW_UNSIGNED,
	ST_SHOW_SIGNED,
	ST_SHOW_CHAR,
	ST_SHOW_SYMBOL,
	ST_SHOW_STRING,
	ST_SHOW_COMM,		/* the name of the thread: not in the record's value */
	ST_SHOW_TEXT,		/* a constant text, neither */
};

/*
 * One value. Of a C expression only the syntax is known: its program, and what the text does not say of its type, come from
 * debug information (probe/compile.h).
 */
struct st_spec_arg {
	char name[ST_SPEC_ARG_NAME_MAX];
	enum st_show show;
	bool array;			/* shown in braces, also with one element */
	bool typed;			/* the text has a type */
	uint8_t bits, shift;		/* of a bitfield; bits is 0 when it is none */
	struct st_fetch fetch;
	unsigned int nops;		/* its program, if fetch.base is ST_FETCH_PROGRAM */
	struct st_op op[ST_SPEC_OPS_MAX];
	char symbol[ST_SPEC_SYMBOL_MAX]; /* if not empty: its address is to be added to the first instruction's imm */
	bool file_offset;		/* that imm is an offset in the probed object's file (@+OFFSET) */
	const char *expr;		/* a C expression: its place in the text, and its length; NULL: there is none */
	size_t expr_len;
	char text[ST_SPEC_TEXT_MAX];	/* of ST_SHOW_TEXT */
};

struct st_spec {
	char name[ST_SPEC_NAME_MAX];
	char object[ST_SPEC_SYMBOL_MAX];	/* glob, empty when none was given */
	char function[ST_SPEC_SYMBOL_MAX];	/* glob; empty: @offset is an address of @object's file (OBJECT:0xADDR) */
	uint64_t offset;			/* of the instruction, from the function's first; 0: its entry */
	bool ret;				/* r: when the function returns */
	const char *spelling;			/* the text that was parsed */
	unsigned int nargs;
	struct st_spec_arg arg[ST_FETCH_MAX];
};

struct st_spec_error {
	size_t pos;		/* where in the text, in bytes */
	int status; /* exit status: 2 the text is wrong, 1 it is right and not there yet */
	char text[200];
};

/**
 * st_spec_parse() - parse a specification, `{p|r}[:NAME] [OBJECT:]FUNCTION[+OFFSET] [NAME=FETCHARG[:TYPE]]...`
 * @text: the specification; must stay as long as @spec is used
 * @arch: whose registers it names
 * @spec: filled in
 * @err: filled in on an error
 *
 * Return: 0, or -EINVAL with @err.
 */
int st_spec_parse(const char *text, const struct st_spec_arch *arch, struct st_spec *spec,
		  struct st_spec_error *err);

/**
 * st_spec_parse_value() - parse `FETCHARG[:TYPE]` by itself, as an argument of a probe that has been parsed
 * @text: must stay
 * @spec: says what is allowed; not changed
 * @arg: filled in
 *
 * Return: 0, or -EINVAL with @err, whose place is in @text.
 */
int st_spec_parse_value(const char *text, const struct st_spec_arch *arch, const struct st_spec *spec,
			struct st_spec_arg *arg, struct st_spec_error *err);

/**
 * st_spec_finish() - what an argument's fetch is, once its program and its type are known
 * @arg: op[] leaves the value, or with @memory the address of where it lies, on the stack
 *
 * Sets fetch.base, .type, .mask, and adds what reads memory.
 * Return: 0, or -E2BIG.
 */
int st_spec_finish(struct st_spec_arg *arg, const struct st_spec_arch *arch, bool memory);

/* Adds an instruction to an argument's program. Return: 0 or -E2BIG. */
int st_spec_op(struct st_spec_arg *arg, enum st_op_code op, uint8_t size, uint16_t index, int64_t imm);

#endif
