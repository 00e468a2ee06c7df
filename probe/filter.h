/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Filters, as the kernel's event filters (Documentation/trace/events.rst): which hits count. Parsed here, compiled for each
 * probe by probe/compile.c, evaluated in the target.
 *
 *	EXPR is	NAME OP VALUE, !EXPR, EXPR && EXPR, EXPR || EXPR, (EXPR)
 *	NAME is	a value of the probe, tid or common_pid, cpu, comm; $retval, $argN, %REG: signed words
 *	OP is	== != < <= > >= & for numbers; == != ~ !~ for texts, ~ with a glob
 *	VALUE is a number, or a "text" in either kind of quotes
 */
#ifndef ST_PROBE_FILTER_H
#define ST_PROBE_FILTER_H

#include <probe/spec.h>

#define ST_FILTER_NODES 64
#define ST_FILTER_TEXT_MAX 250		/* bytes of a text */

enum st_filter_kind { ST_FILTER_AND, ST_FILTER_OR, ST_FILTER_NOT, ST_FILTER_COMPARE };

struct st_filter_node {
	uint8_t kind;
	uint8_t a, b;			/* indices of nodes */
	bool is_text;
	char op[3];
	const char *name, *value;	/* pieces of the text; value: of a text, without its quotes */
	size_t name_len, value_len;
	int64_t number;
	bool negative;			/* the number has a minus; without, it is the unsigned one */
};

struct st_filter {
	const char *text;
	unsigned int n, root;
	struct st_filter_node node[ST_FILTER_NODES];
};

/**
 * st_filter_parse() - parse a filter
 * @text: must stay
 * @arch: whose registers it may name
 * @spec, @n: the probes
 * @filter: filled in
 * @err: filled in on an error; its place is in @text
 *
 * A filter is for those probes that have all its names (st_filter_is_for()); if there is none, that is an error.
 *
 * Return: 0, or -EINVAL with @err.
 */
int st_filter_parse(const char *text, const struct st_spec_arch *arch, const struct st_spec *spec, unsigned int n,
		    struct st_filter *filter, struct st_spec_error *err);

bool st_filter_is_for(const struct st_filter *filter, const struct st_spec_arch *arch, const struct st_spec *spec);

/* What a name of a filter means for a probe. */
enum st_filter_field { ST_FIELD_UNKNOWN, ST_FIELD_ARG, ST_FIELD_TID, ST_FIELD_CPU, ST_FIELD_COMM };

/**
 * st_filter_field() - find a name
 * @value: set to what to evaluate, for ST_FIELD_ARG: an argument of @spec, or @own, filled in from the name
 * @is_signed: set to whether its words are signed
 */
enum st_filter_field st_filter_field(const struct st_filter_node *node, const struct st_spec_arch *arch,
				     const struct st_spec *spec, const struct st_spec_arg **value, struct st_spec_arg *own,
				     bool *is_signed);

#endif
