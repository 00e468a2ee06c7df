/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A hit, for people and for programs.
 *
 * Nothing that comes from the probed process reaches the terminal raw: text is escaped, values that
 * don't fit the record's length are an error and not a read beyond it.
 */
#ifndef ST_PROBE_PRINT_H
#define ST_PROBE_PRINT_H

#include <stdio.h>
#include <agent/ctl.h>
#include <probe/spec.h>

/* Longest record that a probe can write. */
#define ST_REC_MAX (sizeof(struct st_rec) + ST_FETCH_MAX * (size_t)(ST_SPEC_ARRAY_MAX * ST_STRING_ROOM))

/**
 * typedef st_symbolize - name of the function that holds an address
 * @ctx: the caller's own
 * @addr: an address in the process
 * @offset: set to its distance from the function's start
 *
 * Return: the name, or NULL if there is none. Valid until the next call.
 */
typedef const char *(*st_symbolize)(void *ctx, uint64_t addr, uint64_t *offset);

struct st_probe_hit {
	const struct st_spec *spec;
	const struct st_rec *rec; /* the tool's own copy, followed by its values; rec->size bytes */
	const char *comm;		/* NULL: not known */
	int pid;
	uint64_t ns;			/* CLOCK_MONOTONIC */
	st_symbolize symbolize;
	void *ctx;
};

/**
 * st_probe_hit_check() - does the record hold what its probe says it holds?
 *
 * To be called before any other function here. Return: true if every value lies within rec->size.
 */
bool st_probe_hit_check(const struct st_probe_hit *hit);

/**
 * st_print_text() - `COMM-TID [CPU] SECONDS.MICROS: NAME: (FUNCTION+OFFSET) NAME=VALUE...` and a
 * newline; `(CALLER+OFFSET <- FUNCTION)` for a return
 */
void st_print_text(FILE *out, const struct st_probe_hit *hit);

/**
 * st_print_json() - the same as one JSON object and a newline
 *
 * Numbers that are shown in hexadecimal are strings ("0x..."), what could not be read is null.
 */
void st_print_json(FILE *out, const struct st_probe_hit *hit);

/*
 * Text from elsewhere, for a terminal: control characters and broken UTF-8 as \xHH, the rest as it
 * is.
 */
void st_print_safe(FILE *out, const char *text, size_t len);
/* Text as a JSON string with its quotes; broken UTF-8 becomes U+FFFD. */
void st_json_string(FILE *out, const char *text, size_t len);

#endif
