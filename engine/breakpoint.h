/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SIGTRAP of this process: sites that are breakpoints, and those that are one for the moment while code changes (text.c).
 * Whatever the program has as its handler gets all other SIGTRAPs.
 */
#ifndef ST_ENGINE_BREAKPOINT_H
#define ST_ENGINE_BREAKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <engine/edit.h>

#pragma GCC visibility push(hidden)

/* Makes our handler the process's; what the program has installed since the last call is called after it. 0 or -errno. */
int st_breakpoint_own(void);

/*
 * May a thread meet a breakpoint? Where SIGTRAP is blocked it would end the process (kernel/signal.c, force_sig_info_to_task).
 * 0; -EBUSY: a thread blocks it now; -ENOTSUP: a handler of the program does. @why says it.
 */
int st_breakpoint_allowed(const char **why);

/* The changes that are being written, sorted by address, until the end: who meets a breakpoint there goes on at its @resume. -ENOMEM or 0. */
int st_breakpoint_batch(const struct st_change *edit, size_t n);
void st_breakpoint_batch_end(void);

/* Would a breakpoint in this function be met on the way out of a breakpoint? Then the reason, else NULL. */
const char *st_breakpoint_own_code(unsigned long func, size_t size);

#pragma GCC visibility pop
#endif
