/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Registers by PTRACE_GETREGSET and SETREGSET: the two Arm architectures have nothing else in
 * common here.
 */
#ifndef ST_PROCESS_REGSET_H
#define ST_PROCESS_REGSET_H

#include "process/arch/arch.h"
#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

/* *@len: room at @data, then what was read. */
static inline int st_regset_get(pid_t tid, int regset, void *data, size_t *len)
{
	struct iovec iov = {data, *len};

	if (ptrace(PTRACE_GETREGSET, tid, regset, &iov))
		return -errno;
	*len = iov.iov_len;
	return 0;
}

static inline int st_regset_set(pid_t tid, int regset, const void *data, size_t len)
{
	struct iovec iov = {(void *)data, len};

	return ptrace(PTRACE_SETREGSET, tid, regset, &iov) ? -errno : 0;
}

#endif
