/* SPDX-License-Identifier: GPL-2.0-only */
/* Unwinding a copy of a stopped thread's registers and stack to its bottom. The process runs on meanwhile. */
#ifndef ST_PROCESS_UNWIND_H
#define ST_PROCESS_UNWIND_H

#include <process/evidence_internal.h>

/**
 * st_unwind_copy() - the verdict about a copy
 *
 * Clean only if each frame is known up to one that has no caller: where the frame description says so (the beginning of a program, of a
 * thread, of a coroutine), or that is known by its name; or up to one behind which no word of the stack leads to old code. The thread has to wait in a system call: there no description is inexact.
 * e->due is what it was when the copy was made.
 */
void st_unwind_copy(struct st_evidence *e, struct st_copy *copy);

void st_unwind_free(struct st_unwind *u);

#endif
