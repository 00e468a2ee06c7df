// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opening a process: does it exist, is it ours to work on, is it of our architecture. A refusal
 * says what would help.
 */
#include "process/internal.h"
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* include/linux/sched.h */
#define PF_KTHREAD 0x00200000

#if defined(__x86_64__)
#define ST_MACHINE EM_X86_64
#define ST_CLASS ELFCLASS64
#define ST_MACHINE_NAME "x86-64"
#elif defined(__aarch64__)
#define ST_MACHINE EM_AARCH64
#define ST_CLASS ELFCLASS64
#define ST_MACHINE_NAME "AArch64"
#else
#define ST_MACHINE EM_ARM
#define ST_CLASS ELFCLASS32
#define ST_MACHINE_NAME "32-bit ARM"
#endif

int st_fail(char *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err) {
		va_start(ap, fmt);
		vsnprintf(err, ST_ERR_MAX, fmt, ap);
		va_end(ap);
	}
	return code;
}

size_t st_page_size(void)
{
	static size_t size;

	if (!size)
		size = sysconf(_SC_PAGESIZE);
	return size;
}

uint64_t st_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

char *st_slurp(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0, size = 0;
	char *buf = NULL;
	int saved;

	if (fd < 0)
		return NULL;
	for (;;) {
		ssize_t got;

		if (size - used < 4096) {
			char *more = realloc(buf, (size += 16384) + 1);

			if (!more)
				goto fail;
			buf = more;
		}
		got = read(fd, buf + used, size - used);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			goto fail;
		if (!got)
			break;
		used += got;
	}
	close(fd);
	buf[used] = '\0';
	if (len)
		*len = used;
	return buf;
fail:
	saved = errno;
	free(buf);
	close(fd);
	errno = saved;
	return NULL;
}

long st_status_number(const char *path, const char *key)
{
	char *text = st_slurp(path, NULL);
	size_t len = strlen(key);
	long value = -1;
	char *line;

	if (!text)
		return -1;
	for (line = text; line && *line; line = strchr(line, '\n'), line += line != NULL)
		if (!strncmp(line, key, len) && line[len] == ':') {
			value = strtol(line + len + 1, NULL, 10);
			break;
		}
	free(text);
	return value;
}

int st_stat_read(pid_t pid, pid_t tid, struct st_stat *stat)
{
	char path[ST_PROC_PATH], *text, *p;
	int ret = -ESRCH;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	text = st_slurp(path, NULL);
	if (!text)
		return errno == ENOENT ? -ESRCH : -errno;
	/* The name may hold anything, brackets too: what follows the last bracket is numbers. */
	p = strrchr(text, ')');
	/* Fields 3 (state), 9 (flags), 22 (starttime): proc(5). */
	if (p && sscanf(p + 1,
			" %c %*d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
			"%*d %llu",
			&stat->state, &stat->flags, &stat->start) == 3)
		ret = 0;
	free(text);
	return ret;
}

uint64_t st_start_time(pid_t pid)
{
	struct st_stat stat;

	return st_stat_read(pid, pid, &stat) ? 0 : stat.start;
}

pid_t *st_tasks(pid_t pid, size_t *n)
{
	char path[ST_PROC_PATH];
	size_t size = 0;
	pid_t *tid = NULL;
	struct dirent *d;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return NULL;
	*n = 0;
	while ((d = readdir(dir))) {
		if (d->d_name[0] < '0' || d->d_name[0] > '9')
			continue;
		if (*n == size) {
			pid_t *more = realloc(tid, (size = size * 2 + 16) * sizeof(*tid));

			if (!more) {
				free(tid);
				closedir(dir);
				errno = ENOMEM;
				return NULL;
			}
			tid = more;
		}
		tid[(*n)++] = atoi(d->d_name);
	}
	closedir(dir);
	if (!*n) {
		free(tid);
		errno = ESRCH;
		return NULL;
	}
	return tid;
}

static void read_comm(pid_t pid, char comm[17])
{
	char path[ST_PROC_PATH], *text;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	text = st_slurp(path, NULL);
	if (text)
		text[strcspn(text, "\n")] = '\0';
	snprintf(comm, 17, "%.16s", text ? text : "?");
	free(text);
}

static const char *machine_name(unsigned int machine, unsigned int class)
{
	switch (machine) {
	case EM_386:
		return "32-bit x86 (i386)";
	case EM_X86_64:
		return class == ELFCLASS32 ? "x32" : "x86-64";
	case EM_ARM:
		return "32-bit ARM";
	case EM_AARCH64:
		return class == ELFCLASS32 ? "AArch64 ILP32" : "AArch64";
	case EM_RISCV:
		return "RISC-V";
	}
	return "another architecture";
}

/* Whose is it, and what would make it ours? */
static int say_permission(pid_t pid, const char *comm, int code, char *err)
{
	char path[ST_PROC_PATH];
	struct stat st;
	char *text;
	long scope;

	if (geteuid() == 0)
		return st_fail(
			err, -EPERM,
			"process %d (%s) may not be traced: root lacks CAP_SYS_PTRACE here, or a "
			"security module "
			"forbids it (%s); in a container, start it with --cap-add=SYS_PTRACE",
			pid, comm, strerror(code));
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	if (!stat(path, &st) && st.st_uid != geteuid()) {
		struct passwd *pw = getpwuid(st.st_uid);
		long uid;

		snprintf(path, sizeof(path), "/proc/%d/status", pid);
		uid = st_status_number(path, "Uid");
		if (uid == (long)geteuid())
			return st_fail(err, -EPERM,
				       "process %d (%s) may not be traced by its own user: it was "
				       "started with extra "
				       "rights (set-user-ID, file capabilities) or asked for it; "
				       "run this as root",
				       pid, comm);
		return st_fail(err, -EPERM,
			       "process %d (%s) belongs to %s, not to you; run this as that user "
			       "or as root",
			       pid, comm, pw ? pw->pw_name : "another user");
	}
	text = st_slurp("/proc/sys/kernel/yama/ptrace_scope", NULL);
	scope = text ? atol(text) : 0;
	free(text);
	if (scope > 0)
		return st_fail(err, -EPERM,
			       "process %d (%s) may not be traced: kernel.yama.ptrace_scope is "
			       "%ld; run this as root, or "
			       "set it to 0 (sysctl kernel.yama.ptrace_scope=0)%s",
			       pid, comm, scope, scope > 2 ? " after a reboot" : "");
	return st_fail(err, -EPERM, "process %d (%s) may not be traced (%s); run this as root", pid,
		       comm, strerror(code));
}

static int check_machine(struct st_proc *proc, char *err)
{
	unsigned char head[20];
	char path[ST_PROC_PATH];
	unsigned int machine;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/exe", proc->tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		got = read(fd, head, sizeof(head));
		close(fd);
	} else {
		/* A program that may be run but not read: its header is in the page of its program
		 * headers. */
		unsigned long phdr = st_proc_auxv(proc, AT_PHDR);

		got = phdr ? st_mem_read_some(proc, st_page_down(phdr), head, sizeof(head)) : -1;
	}
	if (got != sizeof(head) || memcmp(head, ELFMAG, SELFMAG))
		return st_fail(err, -ENOEXEC,
			       "process %d (%s): its program is not an ELF file that can be read",
			       proc->pid, proc->comm);
	/* e_machine, in the byte order that EI_DATA says. */
	machine =
		head[EI_DATA] == ELFDATA2MSB ? head[18] << 8 | head[19] : head[19] << 8 | head[18];
	if (machine != ST_MACHINE || head[EI_CLASS] != ST_CLASS || head[EI_DATA] != ELFDATA2LSB)
		return st_fail(err, -ENOEXEC,
			       "process %d (%s) is a program for %s%s and this sidetrack is built "
			       "for %s; use a sidetrack "
			       "that is built for it",
			       proc->pid, proc->comm, machine_name(machine, head[EI_CLASS]),
			       head[EI_DATA] == ELFDATA2MSB ? " (big-endian)" : "",
			       ST_MACHINE_NAME);
	return 0;
}

static void read_auxv(struct st_proc *proc)
{
	char path[ST_PROC_PATH], *text;
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/auxv", proc->tid);
	text = st_slurp(path, &len);
	if (!text)
		return;
	proc->nauxv = len / sizeof(long);
	if (proc->nauxv > ARRAY_SIZE(proc->auxv))
		proc->nauxv = ARRAY_SIZE(proc->auxv);
	memcpy(proc->auxv, text, proc->nauxv * sizeof(long));
	free(text);
}

/* The leader, or when it has exited any thread that lives. */
static int find_thread(struct st_proc *proc, char *err)
{
	struct st_stat stat;
	size_t i, n;
	pid_t *tid;
	int ret;

	ret = st_stat_read(proc->pid, proc->pid, &stat);
	if (ret)
		return st_fail(err, -ESRCH, "there is no process %d", proc->pid);
	proc->start = stat.start;
	proc->tid = proc->pid;
	if (stat.flags & PF_KTHREAD)
		return st_fail(err, -ENOEXEC,
			       "process %d (%s) is a thread of the kernel, not a program",
			       proc->pid, proc->comm);
	if (stat.state != 'Z' && stat.state != 'X')
		return 0;
	tid = st_tasks(proc->pid, &n);
	for (i = 0; tid && i < n; i++)
		if (!st_stat_read(proc->pid, tid[i], &stat) && stat.state != 'Z' &&
		    stat.state != 'X') {
			proc->tid = tid[i];
			free(tid);
			return 0;
		}
	free(tid);
	return st_fail(
		err, -ESRCH,
		"process %d (%s) has ended (a zombie: its parent has not fetched its status)",
		proc->pid, proc->comm);
}

int st_proc_open(pid_t pid, struct st_proc **out, char *err)
{
	char path[ST_PROC_PATH], name[17];
	struct st_proc *proc;
	long tracer, tgid;
	int ret;

	*out = NULL;
	if (pid <= 0)
		return st_fail(err, -ESRCH, "%d is not a process id", pid);
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	tgid = st_status_number(path, "Tgid");
	if (tgid < 0)
		return access("/proc/self", F_OK)
			       ? st_fail(err, -ESRCH,
					 "/proc is not mounted; mount it (mount -t proc proc "
					 "/proc)")
			       : st_fail(err, -ESRCH, "there is no process %d", pid);
	if (tgid != pid)
		return st_fail(err, -ESRCH, "%d is a thread of process %ld; give that number", pid,
			       tgid);
	if (pid == getpid())
		return st_fail(err, -EPERM, "process %d is this tool itself", pid);

	proc = calloc(1, sizeof(*proc));
	if (!proc)
		return st_fail(err, -ENOMEM, "out of memory");
	proc->pid = pid;
	proc->mem = -1;
	read_comm(pid, proc->comm);
	ret = find_thread(proc, err);
	if (ret)
		goto fail;

	tracer = st_status_number(path, "TracerPid");
	proc->held = tracer == getpid();
	if (tracer > 0 && !proc->held) {
		read_comm(tracer, name);
		ret = st_fail(err, -EBUSY,
			      "process %d (%s) is being traced by process %ld (%s); only one "
			      "tracer is possible: detach "
			      "that one first",
			      pid, proc->comm, tracer, name);
		goto fail;
	}

	/* Opening mem asks the kernel the same question as attaching: PTRACE_MODE_ATTACH. */
	snprintf(path, sizeof(path), "/proc/%d/mem", proc->tid);
	proc->mem = open(path, O_RDWR | O_CLOEXEC);
	if (proc->mem < 0) {
		if (errno == ENOENT || errno == ESRCH)
			ret = st_fail(err, -ESRCH, "process %d (%s) has just ended", pid,
				      proc->comm);
		else
			ret = say_permission(pid, proc->comm, errno, err);
		goto fail;
	}
	read_auxv(proc);
	ret = check_machine(proc, err);
	if (ret)
		goto fail;
	*out = proc;
	return 0;
fail:
	st_proc_close(proc);
	return ret;
}

void st_proc_close(struct st_proc *proc)
{
	if (!proc)
		return;
	if (proc->stop)
		st_resume(proc->stop, NULL);
	if (proc->mem >= 0)
		close(proc->mem);
	st_remote_forget(proc);
	free(proc->late);
	free(proc);
}

pid_t st_proc_pid(const struct st_proc *proc)
{
	return proc->pid;
}

const char *st_proc_comm(const struct st_proc *proc)
{
	return proc->comm;
}

bool st_proc_alive(const struct st_proc *proc)
{
	struct st_stat stat;
	char byte;

	if (st_stat_read(proc->pid, proc->pid, &stat) || stat.start != proc->start)
		return false;
	/* 0 is said only when the memory that was opened has no user any more (fs/proc/base.c,
	 * mem_rw()). */
	return pread64(proc->mem, &byte, 1, st_proc_auxv(proc, AT_ENTRY)) != 0;
}

unsigned long st_proc_auxv(const struct st_proc *proc, unsigned long type)
{
	size_t i;

	for (i = 0; i + 1 < proc->nauxv && proc->auxv[i] != AT_NULL; i += 2)
		if (proc->auxv[i] == type)
			return proc->auxv[i + 1];
	return 0;
}
