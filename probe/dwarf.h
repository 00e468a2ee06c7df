/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * C expressions by debug information: names become registers, memory and constants at a place in the program, types become
 * sizes and offsets.
 */
#ifndef ST_PROBE_DWARF_H
#define ST_PROBE_DWARF_H

#include <process/process.h>
#include <probe/expr.h>
#include <probe/spec.h>

struct st_dwarf;

/**
 * st_dwarf_open() - the debug information of an object
 *
 * In its file, or in a file of its own: found by build-id in FOLDER/.build-id, or by .gnu_debuglink beside the object, in
 * .debug there, and in FOLDER; FOLDER is each of $SIDETRACK_DEBUG_PATH (separated by ':'), then /usr/lib/debug.
 *
 * Return: 0, -ENOENT when there is none, or another negative errno; with a sentence in @err.
 */
int st_dwarf_open(struct st_objects *objs, struct st_object *obj, struct st_dwarf **dw, char err[ST_ERR_MAX]);
void st_dwarf_close(struct st_dwarf *dw);

/**
 * st_dwarf_value() - compile an expression
 * @func: address of the function in the process
 * @pc: address of the place in it; @func: its entry, as it was called
 * @spec: the probe; if it is a return probe, parameters and locals are gone, and there is $retval
 * @expr: parsed
 * @arg: its type, if the text has one; filled in: program, fetch and type
 *
 * Return: 0, or a negative errno with a sentence in @err.
 */
int st_dwarf_value(struct st_dwarf *dw, unsigned long func, unsigned long pc, const struct st_spec *spec,
		   const struct st_expr *expr, struct st_spec_arg *arg, char err[ST_ERR_MAX]);

#endif
