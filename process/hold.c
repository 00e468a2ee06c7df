// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs that have just been executed, held before their first instruction: one that we start, and one that a process we follow
 * executes. Held by ptrace, so that they go on should the tool die.
 */
#include "process/internal.h"
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <sys/user.h>
#endif

#define START_NS 10000000000ull

int st_hold_begin(struct st_hold *hold, pid_t tid)
{
	char path[ST_PROC_PATH];
	long pid;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	pid = st_status_number(path, "Tgid");
	if (pid <= 0)
		return -ESRCH;
	*hold = (struct st_hold){ .tid = tid, .pid = (pid_t)pid };
	return ptrace(PTRACE_SEIZE, tid, NULL, (void *)PTRACE_O_TRACEEXEC) ? -errno : 0;
}

/* The next report about it. 0: there is none. */
static pid_t hear(struct st_hold *hold, int *status)
{
	pid_t got = waitpid(hold->tid, status, __WALL | WNOHANG);

	/* Another thread than the first becomes the first by exec (ptrace(2), "execve under ptrace"). */
	if (got <= 0 && hold->tid != hold->pid) {
		pid_t pid = waitpid(hold->pid, status, __WALL | WNOHANG);

		if (pid > 0) {
			hold->tid = hold->pid;
			got = pid;
		}
	}
	return got < 0 && errno != EINTR ? -ESRCH : got < 0 ? 0 : got;
}

int st_hold_step(struct st_hold *hold)
{
	int status, sig;

	for (;;) {
		pid_t got = hear(hold, &status);

		if (got <= 0)
			return got;
		if (!WIFSTOPPED(status))
			return -ESRCH;
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
			/* On to the stop that interrupts make, before the first instruction: all else expects that one. */
			hold->executed = true;
			ptrace(PTRACE_SETOPTIONS, hold->tid, NULL, NULL);
			ptrace(PTRACE_INTERRUPT, hold->tid, NULL, NULL);
			ptrace(PTRACE_CONT, hold->tid, NULL, NULL);
			continue;
		}
		switch (st_report(status, &sig)) {
		case ST_REPORT_EVENT_STOP:
			if (hold->executed)
				return 1;
			/* It was stopped by a signal, and is to stay so. */
			ptrace(sig == SIGTRAP ? PTRACE_CONT : PTRACE_LISTEN, hold->tid, NULL, NULL);
			break;
		case ST_REPORT_SIGNAL:
			/* The trap takes back an interrupt that was asked for. */
			if (hold->executed)
				ptrace(PTRACE_INTERRUPT, hold->tid, NULL, NULL);
			ptrace(PTRACE_CONT, hold->tid, NULL, (void *)(long)sig);
			break;
		default:
			if (hold->executed)
				ptrace(PTRACE_INTERRUPT, hold->tid, NULL, NULL);
			ptrace(PTRACE_CONT, hold->tid, NULL, NULL);
		}
	}
}

void st_hold_now(struct st_hold *hold)
{
	hold->executed = true;
	ptrace(PTRACE_INTERRUPT, hold->tid, NULL, NULL);
}

/* The range of the dynamic loader in a program that has just been executed. False: it has none. */
static bool find_loader(pid_t pid, unsigned long *lo, unsigned long *hi)
{
	unsigned long auxv[128] = { 0 }, base = 0, start, end;
	char path[ST_PROC_PATH], line[512], file[64] = "", id[64];
	size_t i;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	i = fread(auxv, 1, sizeof(auxv) - 2 * sizeof(auxv[0]), f);
	fclose(f);
	for (i = 0; auxv[i] != AT_NULL; i += 2)
		if (auxv[i] == AT_BASE)
			base = auxv[i + 1];
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = base ? fopen(path, "re") : NULL;
	if (!f)
		return false;
	*lo = *hi = 0;
	/* The mappings of one file, device and inode, from there on. */
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %*s %*s %63[0-9a-f: ]", &start, &end, id) != 3 || start < base)
			continue;
		if (!*lo) {
			*lo = start;
			snprintf(file, sizeof(file), "%s", id);
		}
		if (!strcmp(file, id))
			*hi = end;
	}
	fclose(f);
	return *lo;
}

#ifdef __NR_mmap2
#define ST_NR_MMAP __NR_mmap2
#else
#define ST_NR_MMAP __NR_mmap
#endif

#define LOADS_MAX 4000	/* stops: a loader that is the C library too makes all system calls (musl) */

int st_hold_loads(struct st_hold *hold, bool (*mapped)(pid_t pid, void *ctx), void *ctx)
{
	bool maps = false, found = false;
	unsigned long lo, hi;
	int status, sig, n;

	if (!find_loader(hold->pid, &lo, &hi)) {
		st_hold_drop(hold);
		return 0;
	}
	ptrace(PTRACE_SETOPTIONS, hold->tid, NULL, (void *)PTRACE_O_TRACESYSGOOD);
	ptrace(PTRACE_SYSCALL, hold->tid, NULL, NULL);
	for (n = 0;; n++) {
		struct __ptrace_syscall_info info;
		enum st_report report;

		if (waitpid(hold->tid, &status, __WALL) < 0 && errno == EINTR)
			continue;
		if (!WIFSTOPPED(status))
			return -ESRCH;
		report = st_report(status, &sig);
		if (found && report == ST_REPORT_EVENT_STOP)
			return 1;
		if (report == ST_REPORT_EVENT_STOP && sig != SIGTRAP) {
			ptrace(PTRACE_LISTEN, hold->tid, NULL, NULL);
			continue;
		}
		if (report == ST_REPORT_SIGNAL) {
			if (found)
				ptrace(PTRACE_INTERRUPT, hold->tid, NULL, NULL);
			ptrace(found ? PTRACE_CONT : PTRACE_SYSCALL, hold->tid, NULL, (void *)(long)sig);
			continue;
		}
		if (found || report != ST_REPORT_SYSCALL ||
		    ptrace((enum __ptrace_request)PTRACE_GET_SYSCALL_INFO, hold->tid, (void *)sizeof(info), &info) <= 0) {
			ptrace(found ? PTRACE_CONT : PTRACE_SYSCALL, hold->tid, NULL, NULL);
			continue;
		}
		if (info.instruction_pointer < lo || info.instruction_pointer >= hi || n > LOADS_MAX) {
			st_hold_drop(hold);
			return 0;
		}
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
			maps = info.entry.nr == ST_NR_MMAP && info.entry.args[2] & PROT_EXEC;
		} else if (maps && info.op == PTRACE_SYSCALL_INFO_EXIT && mapped(hold->pid, ctx)) {
			/* On to the stop that interrupts make: all else expects that one. */
			found = true;
			ptrace(PTRACE_SETOPTIONS, hold->tid, NULL, NULL);
			ptrace(PTRACE_INTERRUPT, hold->tid, NULL, NULL);
			ptrace(PTRACE_CONT, hold->tid, NULL, NULL);
			continue;
		}
		ptrace(PTRACE_SYSCALL, hold->tid, NULL, NULL);
	}
}

bool st_hold_drop(struct st_hold *hold)
{
	int status, sig;

	if (hold->executed)
		return !ptrace(PTRACE_DETACH, hold->tid, NULL, NULL) || errno == ESRCH;
	/* It runs, and can only be let go where it stops. */
	if (!hold->dropped && ptrace(PTRACE_INTERRUPT, hold->tid, NULL, NULL))
		return true;
	hold->dropped = true;
	if (hear(hold, &status) == 0)
		return false;
	if (!WIFSTOPPED(status))
		return true;
	ptrace(PTRACE_DETACH, hold->tid, NULL, (void *)(long)(st_report(status, &sig) == ST_REPORT_SIGNAL ? sig : 0));
	return true;
}

void st_proc_release(struct st_proc *proc)
{
	if (!proc->held)
		return;
	ptrace(PTRACE_DETACH, proc->pid, NULL, NULL);
	proc->held = false;
}

bool st_proc_held(const struct st_proc *proc)
{
	return proc->held;
}

int st_proc_early(struct st_proc *proc, unsigned long addr)
{
#if defined(__x86_64__)
	unsigned long now;

	if (!proc->held)
		return -EINVAL;
	errno = 0;
	now = (unsigned long)ptrace(PTRACE_PEEKUSER, proc->pid, offsetof(struct user_regs_struct, fs_base), NULL);
	if (errno || now)
		return -errno;
	return ptrace(PTRACE_POKEUSER, proc->pid, offsetof(struct user_regs_struct, fs_base), addr) ? -errno : 0;
#else
	(void)addr;	/* its thread pointer is 0, which can be read */
	return proc->held ? 0 : -EINVAL;
#endif
}

/* In the child: never returns. */
static void execute(char *const argv[], const sigset_t *mask, int go, int failed)
{
	char byte;
	int code;

	/* The tool is tracing us once this can be read. */
	if (read(go, &byte, 1) == 1) {
		signal(SIGPIPE, SIG_DFL);	/* the tool ignores it, and that would be inherited */
		sigprocmask(SIG_SETMASK, mask, NULL);
		execvp(argv[0], argv);
		code = errno;
		if (write(failed, &code, sizeof(code)) < 0)
			_exit(126);
	}
	_exit(127);
}

static int say_exec(const char *name, int code, char *err)
{
	switch (code) {
	case ENOENT:
		return st_fail(err, -code, strchr(name, '/') ? "%s can't be started: there is no such file, or what it names as its "
							       "interpreter does not exist" :
							       "%s can't be started: there is no such command", name);
	case EACCES:
		return st_fail(err, -code, "%s can't be started: it is not executable, or not for you", name);
	case ENOEXEC:
	case ELIBBAD:
		return st_fail(err, -code, "%s can't be started: it is not a program that this machine can run", name);
	}
	return st_fail(err, -code, "%s can't be started: %s", name, strerror(code));
}

int st_start(char *const argv[], const sigset_t *mask, struct st_hold *hold, char *err)
{
	int go[2] = { -1, -1 }, failed[2] = { -1, -1 }, code = 0, ret = 0;
	uint64_t until;
	pid_t pid;

	if (pipe2(go, O_CLOEXEC) || pipe2(failed, O_CLOEXEC)) {
		ret = st_fail(err, -errno, "%s can't be started: %s", argv[0], strerror(errno));
		goto out;
	}
	pid = fork();
	if (!pid)
		execute(argv, mask, go[0], failed[1]);
	if (pid < 0) {
		ret = st_fail(err, -errno, "%s can't be started: %s", argv[0], strerror(errno));
		goto out;
	}
	close(failed[1]);
	failed[1] = -1;
	ret = st_hold_begin(hold, pid);
	if (ret) {
		st_fail(err, ret, "%s can't be traced: %s", argv[0], strerror(-ret));
		goto kill;
	}
	if (write(go[1], "", 1) != 1) {
		ret = st_fail(err, -EIO, "%s can't be started", argv[0]);
		goto kill;
	}
	until = st_now_ns() + START_NS;
	while (!(ret = st_hold_step(hold)) && st_now_ns() < until) {
		struct timespec pause = { 0, 200000 };

		nanosleep(&pause, NULL);
	}
	if (ret == 1) {
		ret = 0;
		goto out;
	}
	if (read(failed[0], &code, sizeof(code)) == sizeof(code))
		ret = say_exec(argv[0], code, err);
	else
		ret = st_fail(err, ret ?: -ETIMEDOUT, ret ? "%s ended as it was started" : "%s does not start", argv[0]);
kill:
	/* It is not ours any more if its end was heard of. */
	if (ret != -ESRCH && !code)
		kill(pid, SIGKILL);
	waitpid(pid, NULL, __WALL);
out:
	for (int i = 0; i < 2; i++) {
		if (go[i] >= 0)
			close(go[i]);
		if (failed[i] >= 0)
			close(failed[i]);
	}
	return ret;
}
