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
#define ST_SPEC_ARRAY_MAX	64	/* elements; the kernel's MAX_ARRAY_LEN */

/* What a specification has to know of an architecture. */
struct st_spec_arch {
	const char *name;
	unsigned int word;		/* bytes */
	const struct st_spec_reg {
		const char *name;
		uint16_t index;		/* word of struct st_regs */
	} *regs;			/* ends with a NULL name */
	uint16_t sp;			/* index of the stack pointer */
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
};

struct st_spec_arg {
	char name[ST_SPEC_ARG_NAME_MAX];
	enum st_show show;
	bool array;			/* shown in braces, also with one element */
	uint8_t bits, shift;		/* of a bitfield; bits is 0 when it is none */
	struct st_fetch fetch;
	char symbol[ST_SPEC_SYMBOL_MAX]; /* if not empty: its address is to be added to fetch.imm */
};

struct st_spec {
	char name[ST_SPEC_NAME_MAX];
	char object[ST_SPEC_SYMBOL_MAX];	/* glob, empty when none was given */
	char function[ST_SPEC_SYMBOL_MAX];	/* glob; empty: @offset is an address of @object's file (OBJECT:0xADDR) */
	uint64_t offset;			/* of the instruction, from the function's first; 0: its entry */
	bool ret;				/* r: when the function returns */
	unsigned int nargs;
	struct st_spec_arg arg[ST_FETCH_MAX];
};

struct st_spec_error {
	size_t pos;		/* where in the text, in bytes */
	int status; /* exit status: 2 the text is wrong, 1 it is right and not there yet */
	char text[200];
};

/**
 * st_spec_parse() - parse `p[:NAME] [OBJECT:]FUNCTION [NAME=FETCHARG[:TYPE]]...`
 * @text: the specification
 * @arch: whose registers it names
 * @spec: filled in
 * @err: filled in on an error
 *
 * Return: 0, or -EINVAL with @err.
 */
int st_spec_parse(const char *text, const struct st_spec_arch *arch, struct st_spec *spec,
		  struct st_spec_error *err);

#endif
