/* SPDX-License-Identifier: GPL-2.0-only */
/* Processes that have the agent, and what its records say: for the verbs that only look. */
#ifndef ST_CLI_PROCESSES_H
#define ST_CLI_PROCESSES_H

#include <process/session.h>

/*
 * Calls fn for each process whose maps hold the agent's memory and that we may look at. Stops when
 * fn returns something else than CLI_DONE, and returns that. @skipped: how many had it and could
 * not be looked at.
 */
int cli_each_process(int (*fn)(int pid, struct st_session *s, void *ctx), void *ctx,
		     unsigned int *skipped);

/* The records of the patches that there are, in the order in which they were applied. Returns their number. */
unsigned int cli_patches(const struct st_ctl *ctl, unsigned int index[ST_PATCHES_MAX]);

/*
 * One patch, as `patch list` shows it, behind the given words; `all`: and who is in the way. The record is
 * the target's: it is copied and bounded.
 */
void cli_show_patch(int pid, const struct st_ctl_patch *shared, const char *before, bool all);

#endif
