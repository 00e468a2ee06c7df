/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Runs a command, and does harm at one of its system calls:
 *
 *	fault count FILE COMMAND...		none; FILE gets the number of its system calls
 *	fault kill N COMMAND...			it is killed as it enters the N-th
 *	fault fail N ERRNO COMMAND...		the N-th is not made and fails
 *	fault victim N PID COMMAND...		PID is killed as it enters the N-th
 *
 * Exit status: the command's; 128 + its signal; 125: N was never reached.
 */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOPPED_AT_CALL (SIGTRAP | 0x80)

#if defined(__x86_64__)
static long number(pid_t pid)
{
	return ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, orig_rax), 0);
}

static void set_number(pid_t pid, long nr)
{
	ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax), nr);
}

static void set_result(pid_t pid, long result)
{
	ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax), result);
}
#elif defined(__aarch64__)
static long number(pid_t pid)
{
	int nr = 0;
	struct iovec io = { &nr, sizeof(nr) };

	ptrace(PTRACE_GETREGSET, pid, NT_ARM_SYSTEM_CALL, &io);
	return nr;
}

static void set_number(pid_t pid, long nr)
{
	int small = (int)nr;
	struct iovec io = { &small, sizeof(small) };

	ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &io);
}

static void set_result(pid_t pid, long result)
{
	struct user_regs_struct regs;
	struct iovec io = { &regs, sizeof(regs) };

	ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &io);
	regs.regs[0] = (unsigned long)result;
	ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &io);
}
#else
static long number(pid_t pid)
{
	struct user_regs regs;

	ptrace(PTRACE_GETREGS, pid, 0, &regs);
	return (long)regs.uregs[7];
}

static void set_number(pid_t pid, long nr)
{
	ptrace((enum __ptrace_request)23 /* PTRACE_SET_SYSCALL */, pid, 0, nr);
}

static void set_result(pid_t pid, long result)
{
	struct user_regs regs;

	ptrace(PTRACE_GETREGS, pid, 0, &regs);
	regs.uregs[0] = (unsigned long)result;
	ptrace(PTRACE_SETREGS, pid, 0, &regs);
}
#endif

int main(int argc, char **argv)
{
	enum { COUNT, KILL, FAIL, VICTIM } what;
	bool inside = false, failing = false, done = false;
	unsigned long n = 0, when = 0;
	int at = 3, status, sig = 0;
	pid_t pid, victim = 0;
	long error = 0;
	FILE *f;

	if (argc < 4)
		return 2;
	if (!strcmp(argv[1], "count")) {
		what = COUNT;
	} else {
		what = !strcmp(argv[1], "kill") ? KILL : !strcmp(argv[1], "fail") ? FAIL : VICTIM;
		when = strtoul(argv[2], NULL, 10);
		if (what == FAIL)
			error = atol(argv[at++]);
		else if (what == VICTIM)
			victim = atoi(argv[at++]);
	}
	pid = fork();
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		execvp(argv[at], argv + at);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 126;
	ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	for (;;) {
		ptrace(PTRACE_SYSCALL, pid, 0, sig);
		if (waitpid(pid, &status, 0) != pid)
			return 126;
		if (WIFEXITED(status) || WIFSIGNALED(status))
			break;
		sig = WSTOPSIG(status);
		if (sig != STOPPED_AT_CALL) {
			if (sig == SIGTRAP)	/* execve */
				sig = 0;
			continue;
		}
		sig = 0;
		inside = !inside;
		if (!inside) {
			if (failing)
				set_result(pid, -error);
			failing = false;
			continue;
		}
		if (++n != when)
			continue;
		done = true;
		switch (what) {
		case COUNT:
			break;
		case KILL:
			kill(pid, SIGKILL);
			break;
		case VICTIM:
			kill(victim, SIGKILL);
			break;
		case FAIL:
			/* Only as the kernel may: its end can't fail, to wait is at most interrupted, and what is traced is there. brk() says an address. */
			if (number(pid) == SYS_exit_group || number(pid) == SYS_exit || number(pid) == SYS_ptrace || number(pid) == SYS_brk)
				break;
			if (number(pid) == SYS_wait4 || number(pid) == SYS_waitid)
				error = EINTR;
			set_number(pid, -1);
			failing = true;
		}
	}
	if (what == COUNT) {
		f = fopen(argv[2], "w");
		if (!f)
			return 126;
		fprintf(f, "%lu\n", n);
		fclose(f);
	} else if (!done) {
		return 125;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
