/* SPDX-License-Identifier: GPL-2.0-only */
/* What a program forbids itself, in the ways that services do: by a seccomp filter, or by asking for no code that can be written. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "strict.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif
#ifdef __NR_mmap
#define NR_MMAP __NR_mmap
#else
#define NR_MMAP __NR_mmap2
#endif

#define LOAD(what) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, what))
#define RET(what) BPF_STMT(BPF_RET | BPF_K, what)
/* The next instruction is for this call alone. */
#define CALL(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1)
#define ALLOW(nr) CALL(nr), RET(SECCOMP_RET_ALLOW)
#define FAIL (SECCOMP_RET_ERRNO | EPERM)

static int filter(struct sock_filter *f, size_t n)
{
	struct sock_fprog prog = { (unsigned short)n, f };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) ? -errno : 0;
}

/* What a tool would have the process do. */
static int forbid_ours(unsigned int how)
{
	struct sock_filter f[] = {
		LOAD(nr), CALL(NR_MMAP), RET(how), CALL(__NR_mprotect), RET(how), CALL(__NR_memfd_create), RET(how), CALL(__NR_ptrace), RET(how),
		RET(SECCOMP_RET_ALLOW),
	};

	return filter(f, sizeof(f) / sizeof(f[0]));
}

static int forbid_mmap(void)
{
	struct sock_filter f[] = { LOAD(nr), CALL(NR_MMAP), RET(SECCOMP_RET_KILL_PROCESS), RET(SECCOMP_RET_ALLOW) };

	return filter(f, sizeof(f) / sizeof(f[0]));
}

/* A list of what is allowed, as systemd's SystemCallFilter=@system-service is; of that, what such a program needs. */
static int service(unsigned int how)
{
	struct sock_filter f[] = {
		LOAD(nr), ALLOW(__NR_read), ALLOW(__NR_write), ALLOW(__NR_close), ALLOW(__NR_brk), ALLOW(NR_MMAP), ALLOW(__NR_munmap),
		ALLOW(__NR_mprotect), ALLOW(__NR_futex), ALLOW(__NR_rt_sigaction), ALLOW(__NR_rt_sigprocmask), ALLOW(__NR_rt_sigreturn),
		ALLOW(__NR_restart_syscall), ALLOW(__NR_exit), ALLOW(__NR_exit_group), RET(how),
	};

	return filter(f, sizeof(f) / sizeof(f[0]));
}

/* As systemd's MemoryDenyWriteExecute=. The protection is the third argument of both; its lower half is the first on little endian. */
static int forbid_write_execute(unsigned int how)
{
	struct sock_filter f[] = {
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NR_MMAP, 0, 4),
		LOAD(args[2]),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, PROT_WRITE | PROT_EXEC),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROT_WRITE | PROT_EXEC, 4, 0),
		RET(SECCOMP_RET_ALLOW),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mprotect, 0, 3),
		LOAD(args[2]),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
		RET(how),
		RET(SECCOMP_RET_ALLOW),
	};

	return filter(f, sizeof(f) / sizeof(f[0]));
}

int strict(const char *how)
{
	if (!strcmp(how, "nommap"))
		return forbid_mmap();
	if (!strcmp(how, "ours-fail"))
		return forbid_ours(FAIL);
	if (!strcmp(how, "ours-kill"))
		return forbid_ours(SECCOMP_RET_KILL_PROCESS);
	if (!strcmp(how, "service-fail"))
		return service(FAIL);
	if (!strcmp(how, "service-kill"))
		return service(SECCOMP_RET_KILL_PROCESS);
	if (!strcmp(how, "wx-fail"))
		return forbid_write_execute(FAIL);
	if (!strcmp(how, "wx-kill"))
		return forbid_write_execute(SECCOMP_RET_KILL_PROCESS);
	if (!strcmp(how, "mdwe"))
		return prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) ? -errno : 0;
	if (!strcmp(how, "mode-strict"))
		return prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) ? -errno : 0;
	return 1;
}
