/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between debug.c (whose debug information, and where), location.c (where a variable is) and dwarf.c (what an expression means).
 */
#ifndef ST_PROBE_DEBUG_H
#define ST_PROBE_DEBUG_H

#include <elfutils/libdw.h>
#include <probe/dwarf.h>

struct st_dwarf {
	struct st_objects *objs;
	struct st_object *obj;
	Elf *elf, *debug_elf;		/* of the object's file; of the file that has .debug_info, if that is another */
	int debug_fd;			/* -1: the object's own */
	Dwarf *dbg;
	Dwarf_CFI *eh_frame, *debug_frame;	/* NULL: there is none */
};

/* While an expression is compiled. Addresses are those of the file: the process's without the object's bias. */
struct st_generator {
	struct st_dwarf *dw;
	const struct st_spec *spec;
	const struct st_expr *expr;
	struct st_spec_arg *arg;
	Dwarf_Die unit, function;
	Dwarf_Addr pc, entry;		/* of the place; where the function begins */
	Dwarf_Addr body;		/* where its frame is set up; 0: not known */
	unsigned int unevaluated;	/* in the operand of sizeof: only types matter */
	unsigned int fence;		/* instructions before this one stay as they are: a jump leads behind them */
	char *err;
};

/* Adds an instruction; merges it with the one before where that changes nothing. Return: 0 or -E2BIG with a sentence. */
int st_gen(struct st_generator *g, enum st_op_code op, uint8_t size, uint16_t index, int64_t imm);

__attribute__((format(printf, 3, 4))) int st_gen_fail(struct st_generator *g, int ret, const char *fmt, ...);

/* ---- location.c */

enum st_where {
	ST_WHERE_VALUE,		/* the program has pushed the value itself */
	ST_WHERE_MEMORY,	/* it has pushed the address where the value is */
};

/**
 * st_gen_variable() - where a variable or a parameter is
 * @die: it
 * @name: for messages
 * @parameter: it is one of g->function itself
 * @where: set
 *
 * A register's value is whole, as wide as the register. Return: 0, -ENODATA if the compiler has removed it, or another negative
 * errno; with a sentence.
 */
int st_gen_variable(struct st_generator *g, Dwarf_Die *die, const char *name, bool parameter, enum st_where *where);

/* Does the bytes' size and kind of a type fit an integer register? For parameters by the calling convention. */
enum st_class { ST_CLASS_INTEGER, ST_CLASS_FLOAT, ST_CLASS_OTHER };
enum st_class st_type_class(Dwarf_Die *type, Dwarf_Word *size);

#endif
