/* SPDX-License-Identifier: GPL-2.0-only */
/* The thread pointer of a stopped thread. */
#ifndef ST_PROCESS_THREAD_POINTER_H
#define ST_PROCESS_THREAD_POINTER_H

#include <sys/types.h>

/* 0 when it has none or can't be read. The caller must be the tracer. */
unsigned long st_thread_pointer_of(pid_t tid);

#endif
