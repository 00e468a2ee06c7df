/* SPDX-License-Identifier: GPL-2.0-only */
/* See thread_pointer.h. */
#include <elf.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <process/thread_pointer.h>

unsigned long st_thread_pointer_of(pid_t tid)
{
	unsigned long tp = 0;

#if defined(__x86_64__)
	tp = (unsigned long)ptrace(PTRACE_PEEKUSER, tid, offsetof(struct user_regs_struct, fs_base), NULL);
	if (tp == ~0ul)
		tp = 0;
#elif defined(__aarch64__)
	struct iovec iov = { &tp, sizeof(tp) };

	ptrace(PTRACE_GETREGSET, tid, NT_ARM_TLS, &iov);
#else
	ptrace(22 /* PTRACE_GET_THREAD_AREA, arch/arm/include/uapi/asm/ptrace.h */, tid, NULL, &tp);
#endif
	return tp;
}
