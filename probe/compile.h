/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a specification, filters and a histogram's expression to the record that the agent runs: symbols and C expressions get
 * their meaning in a process.
 */
#ifndef ST_PROBE_COMPILE_H
#define ST_PROBE_COMPILE_H

#include <process/session.h>
#include <probe/filter.h>
#include <probe/spec.h>

#define ST_FILTERS_MAX 8

/* What is asked of all probes of a run; all texts must stay as long as it is used. */
struct st_wants {
	struct st_filter filter[ST_FILTERS_MAX];
	unsigned int nfilters;
	const char *hist;		/* the expression of --hist, or NULL */
};

/**
 * st_hist_check() - may this be the expression of a histogram, for this probe?
 *
 * An argument's name, or FETCHARG[:TYPE]. Return: 0, or -EINVAL with @err, whose place is in @text.
 */
int st_hist_check(const char *text, const struct st_spec_arch *arch, const struct st_spec *spec, struct st_spec_error *err);

/**
 * st_compile() - fill in what a probe fetches
 * @objs: of the process
 * @fn, @n: the places it will sit on
 * @spec: parsed
 * @wants: filters and histogram, or NULL
 * @out: set to the specification with the types that debug information gives; values are printed by it
 * @rec: filled in: fetches, room, programs, and the flag ST_PROBE_SLOW; its other flags must be set
 * @code: filled in
 * @err: why not
 *
 * An expression that means different things in the places is refused.
 *
 * Return: 0, or a negative errno with a sentence in @err.
 */
int st_compile(struct st_objects *objs, const struct st_fn *fn, size_t n, const struct st_spec *spec,
	       const struct st_wants *wants, struct st_spec *out, struct st_ctl_probe *rec, struct st_ctl_code *code,
	       char err[ST_ERR_MAX]);

#endif
