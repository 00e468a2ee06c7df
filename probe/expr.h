/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * C expressions, parsed: a tree of nodes whose names mean nothing yet. Pure; probe/dwarf.c knows what is behind the names.
 */
#ifndef ST_PROBE_EXPR_H
#define ST_PROBE_EXPR_H

#include <stdint.h>
#include <stddef.h>

#define ST_EXPR_NODES 64

struct st_spec_error;

enum st_expr_kind {
	ST_EXPR_NUMBER,		/* value; op is not 0 if it is unsigned */
	ST_EXPR_NAME,		/* a variable, a parameter, a constant of an enumeration, a function */
	ST_EXPR_VARIABLE,	/* $argN, $retval, $stack, $stackN, %REG */
	ST_EXPR_MEMBER,		/* a.NAME */
	ST_EXPR_ARROW,		/* a->NAME */
	ST_EXPR_INDEX,		/* a[b] */
	ST_EXPR_DEREF,		/* *a */
	ST_EXPR_ADDRESS,	/* &a */
	ST_EXPR_UNARY,		/* op a: - + ~ ! */
	ST_EXPR_BINARY,		/* a op b: ST_EXPR_OP */
	ST_EXPR_CAST,		/* (NAME *...)a */
	ST_EXPR_SIZEOF,		/* of a, or of the type NAME *... if a is 0 */
};

/* Two characters of an operator as a number: "<<", "+". */
#define ST_EXPR_OP(c, d) ((c) | (d) << 8)

/*
 * A name is a piece of the text: of a member, or the words of a type ("const struct foo").
 */
struct st_expr_node {
	uint8_t kind;
	uint8_t stars;		/* of a type */
	uint16_t op;
	uint16_t a, b;		/* indices of nodes; 0 is none, as no node has index 0 */
	const char *at;		/* where in the text an error should point */
	const char *name;
	size_t len;
	uint64_t value;
};

struct st_expr {
	const char *text;	/* all of it, for positions of errors */
	unsigned int n, root;
	struct st_expr_node node[ST_EXPR_NODES];
};

/**
 * st_expr_parse() - parse a C expression
 * @p, @len: the expression
 * @text: what it is a part of: positions in @err count from there
 * @expr: filled in; names in it point into @p
 *
 * Return: 0, or -EINVAL with @err.
 */
int st_expr_parse(const char *p, size_t len, const char *text, struct st_expr *expr, struct st_spec_error *err);

/* Only whether it is one. */
int st_expr_check(const char *p, size_t len, const char *text, struct st_spec_error *err);

#endif
