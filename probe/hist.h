/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Power-of-two histograms: the agent counts (agent/ctl.h), this shows them.
 */
#ifndef ST_PROBE_HIST_H
#define ST_PROBE_HIST_H

#include <stdio.h>
#include <agent/ctl.h>

/**
 * st_hist_text() - one row for each power of two from the first to the last that has values
 *
 *	NAME: EXPR
 *	[4, 8)                12 |@@@@@@@@@@@@@                                       |
 */
void st_hist_text(FILE *out, const char *name, const char *expr, const uint64_t bucket[ST_HIST_BUCKETS]);

/*
 * The same as one JSON object: buckets that are not empty as {"min", "max", "count"}, both ends included; min is null for negative
 * values. "faults" counts what could not be read.
 */
void st_hist_json(FILE *out, const char *name, const char *expr, const uint64_t bucket[ST_HIST_BUCKETS]);

#endif
