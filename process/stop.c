// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stopping all threads of a process, and letting them go on as if nothing had been.
 *
 * PTRACE_SEIZE and PTRACE_INTERRUPT send no signal; when the tracer dies the kernel releases
 * everybody, and a group stop (SIGSTOP) is taken up again. Signals that arrive meanwhile are
 * delivered. See ptrace(2).
 */
#include "process/arch/arch.h"
#include <elf.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * A try that takes longer lets everybody go and waits for a better moment; the next may take twice
 * as long. An emulated or overloaded machine needs milliseconds for each thread.
 */
#define TRY_NS 200000000ull
#define TRY_THREAD_NS 10000000ull

/* A thread that was asked to stop, and had not when we gave up. */
struct st_late {
	pid_t tid;
	struct st_syscall was;
};

struct st_stop {
	struct st_proc *proc;
	struct st_thread **thread; /* pointers: they are handed out */
	struct st_syscall *was;	   /* of each thread, while it is being stopped */
	bool *repeated;		   /* st_arch_repeat() changed it */
	size_t n, size;
	bool whole;	/* all threads */
	uint64_t since; /* the first interrupt */
};

enum st_report st_report(int status, int *sig)
{
	*sig = 0;
	if (!WIFSTOPPED(status))
		return ST_REPORT_GONE;
	*sig = WSTOPSIG(status);
	if (status >> 16 == PTRACE_EVENT_STOP)
		return ST_REPORT_EVENT_STOP;
	if (status >> 16)
		return ST_REPORT_OTHER;
	if (*sig == (SIGTRAP | 0x80))
		return ST_REPORT_SYSCALL;
	return ST_REPORT_SIGNAL;
}

/* A process that this tool itself has started: its exit status is for who started it. */
static bool is_own_child(pid_t tid)
{
	char path[ST_PROC_PATH];

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	return st_status_number(path, "PPid") == getpid() && st_status_number(path, "Tgid") == tid;
}

/* As waitpid(), without waiting; the end of a child of our own is seen but not taken. */
static pid_t look(pid_t tid, int *status)
{
	siginfo_t info = {0};

	if (waitid(P_PID, tid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL))
		return -1;
	if (!info.si_pid)
		return 0;
	if ((info.si_code == CLD_EXITED || info.si_code == CLD_KILLED ||
	     info.si_code == CLD_DUMPED) &&
	    is_own_child(tid)) {
		*status = 0; /* exited */
		return tid;
	}
	return waitpid(tid, status, __WALL | WNOHANG);
}

int st_wait(pid_t tid, int *status, uint64_t deadline_ns)
{
	unsigned int tries = 0;

	for (;;) {
		pid_t got = look(tid, status);
		struct timespec pause;

		if (got == tid)
			return 0;
		/* Anything else says nothing about the thread. */
		if (got < 0 && errno == ECHILD)
			return -ESRCH;
		if (st_now_ns() > deadline_ns)
			return -ETIMEDOUT;
		/* Most reports come within microseconds. No signal tells: a library leaves SIGCHLD
		 * to its program. */
		if (tries++ < 20) {
			sched_yield();
			continue;
		}
		pause = (struct timespec){0, tries < 60 ? 20000 : 500000};
		nanosleep(&pause, NULL);
	}
}

static void read_syscall(pid_t pid, pid_t tid, struct st_syscall *was)
{
	char path[ST_PROC_PATH], text[256];
	ssize_t got;
	int fd;

	was->blocked = false;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (got <= 0)
		return;
	text[got] = '\0';
	/* "running", or "-1 sp pc" outside of system calls, or this: proc(5). */
	was->blocked = sscanf(text, "%ld %lx %lx %lx %lx %lx %lx %lx %lx", &was->nr, &was->arg[0],
			      &was->arg[1], &was->arg[2], &was->arg[3], &was->arg[4], &was->arg[5],
			      &was->sp, &was->pc) == 9;
}

/*
 * What it is blocked in, just before it is interrupted. One that runs may be about to block: it is
 * given the chance to do so first. What remains is a call that returns EINTR once, as after SIGSTOP
 * and SIGCONT.
 */
static void see_blocked(pid_t pid, pid_t tid, struct st_syscall *was)
{
	int tries;

	for (tries = 0; tries < 2; tries++) {
		if (tries)
			sched_yield();
		read_syscall(pid, tid, was);
		if (was->blocked)
			break;
	}
}

static struct st_thread *find_thread(const struct st_stop *stop, pid_t tid)
{
	size_t i;

	/* From the end: what a pass over /proc asks for comes in the order of creation. */
	for (i = stop->n; i--;)
		if (stop->thread[i]->tid == tid)
			return stop->thread[i];
	return NULL;
}

static struct st_thread *add_thread(struct st_stop *stop, pid_t tid)
{
	struct st_thread *thread;

	if (stop->n == stop->size) {
		size_t size = stop->size * 2 + 16;
		struct st_thread **more = realloc(stop->thread, size * sizeof(*more));
		struct st_syscall *was;
		bool *repeated;

		if (!more)
			return NULL;
		stop->thread = more;
		was = realloc(stop->was, size * sizeof(*was));
		if (!was)
			return NULL;
		stop->was = was;
		repeated = realloc(stop->repeated, size * sizeof(*repeated));
		if (!repeated)
			return NULL;
		stop->repeated = repeated;
		stop->size = size;
	}
	thread = calloc(1, sizeof(*thread));
	if (!thread)
		return NULL;
	thread->stop = stop;
	thread->tid = tid;
	stop->was[stop->n].blocked = false;
	stop->repeated[stop->n] = false;
	stop->thread[stop->n++] = thread;
	return thread;
}

static int say_seize(struct st_proc *proc, pid_t tid, int code, char *err)
{
	char path[ST_PROC_PATH];
	long tracer;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", proc->pid, tid);
	tracer = st_status_number(path, "TracerPid");
	if (tracer > 0)
		return st_fail(err, -EBUSY,
			       "thread %d of process %d (%s) is being traced by process %ld; only "
			       "one tracer is possible: "
			       "detach that one first",
			       tid, proc->pid, proc->comm, tracer);
	return st_fail(err, -code, "thread %d of process %d (%s) can't be attached to: %s%s", tid,
		       proc->pid, proc->comm, strerror(code),
		       code == EPERM && geteuid() ? "; run this as root" : "");
}

/* 1: it is ours and has been asked to stop. 0: it is gone, or as good as. */
static int interrupt(struct st_stop *stop, pid_t tid, char *err)
{
	struct st_proc *proc = stop->proc;
	struct st_thread *thread;
	struct st_stat stat;
	int code;

	thread = add_thread(stop, tid);
	if (!thread)
		return st_fail(err, -ENOMEM, "out of memory");
	if (proc->held) {
		thread->state = ST_THREAD_STOPPED;
		return 1;
	}
	thread->state = ST_THREAD_GONE;
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL)) {
		code = errno;
		/* EPERM is also what a thread that is exiting says (kernel/ptrace.c,
		 * ptrace_attach()). */
		if (st_stat_read(proc->pid, tid, &stat) || stat.state == 'Z' || stat.state == 'X' ||
		    code == ESRCH)
			return 0;
		return say_seize(proc, tid, code, err);
	}
	if (ST_ARCH_SNAPSHOT)
		see_blocked(proc->pid, tid, &stop->was[stop->n - 1]);
	if (!stop->since)
		stop->since = st_now_ns();
	thread->state = ST_THREAD_RUNNING;
	/* ESRCH here: it is exiting, and waiting for it will say so. */
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	return 1;
}

/* Its next report, until it is stopped by the trap that we asked for. */
static int wait_stopped(struct st_stop *stop, size_t i, uint64_t deadline)
{
	struct st_thread *thread = stop->thread[i];
	int status, sig, ret;

	while (thread->state == ST_THREAD_RUNNING) {
		ret = st_wait(thread->tid, &status, deadline);
		if (ret == -ETIMEDOUT) {
			struct st_stat stat;

			/* A leader that has exited before its threads is not reported while they
			 * live. */
			if (st_stat_read(stop->proc->pid, thread->tid, &stat) || stat.state == 'Z')
				thread->state = ST_THREAD_GONE;
			else
				return ret;
			continue;
		}
		if (ret) {
			thread->state = ST_THREAD_GONE;
			break;
		}
		switch (st_report(status, &sig)) {
		case ST_REPORT_GONE:
			thread->state = ST_THREAD_GONE;
			break;
		case ST_REPORT_EVENT_STOP:
			/*
			 * What a tool that was killed has left it to finish: up to the
			 * rt_sigreturn, and that. An interrupt would stop it before the first
			 * instruction.
			 */
			if (st_remote_in_loop(stop->proc, thread->tid)) {
				ptrace(PTRACE_SETOPTIONS, thread->tid, NULL, PTRACE_O_TRACESYSGOOD);
				ptrace(PTRACE_SYSCALL, thread->tid, NULL, NULL);
				break;
			}
			thread->state = ST_THREAD_STOPPED;
			/* 32-bit ARM still knows it now. */
			if (ST_ARCH_SNAPSHOT && !stop->was[i].blocked)
				read_syscall(stop->proc->pid, thread->tid, &stop->was[i]);
			stop->repeated[i] = st_arch_repeat(thread->tid, &stop->was[i]);
			break;
		case ST_REPORT_SIGNAL:
			/*
			 * It was first. Any trap takes back the one that we asked for
			 * (kernel/signal.c, ptrace_stop()): ask again, then deliver it; the thread
			 * stops at the handler's first instruction.
			 */
			ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL);
			ptrace(PTRACE_CONT, thread->tid, NULL, (void *)(long)sig);
			break;
		default:
			ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL);
			ptrace(PTRACE_CONT, thread->tid, NULL, NULL);
		}
	}
	return 0;
}

/* SigPnd, ShdPnd and SigBlk of a thread: is there a signal that it will be given? */
static bool signal_waits(pid_t pid, pid_t tid)
{
	static const char *const key[] = {"\nSigPnd:", "\nShdPnd:", "\nSigBlk:"};
	unsigned long long set[3] = {0};
	char path[ST_PROC_PATH], *text, *p;
	size_t i;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
	text = st_slurp(path, NULL);
	for (i = 0; text && i < ARRAY_SIZE(key); i++) {
		p = strstr(text, key[i]);
		if (p)
			set[i] = strtoull(p + strlen(key[i]), NULL, 16);
	}
	free(text);
	return (set[0] | set[1]) & ~set[2];
}

/* Threads that could not be stopped in time belong to the process's list until they do stop. */
static void keep_late(struct st_proc *proc, pid_t tid, const struct st_syscall *was)
{
	struct st_late *more = realloc(proc->late, (proc->nlate + 1) * sizeof(*more));

	if (!more)
		return;
	proc->late = more;
	proc->late[proc->nlate++] = (struct st_late){tid, *was};
}

static void hear_end(pid_t tid)
{
	uint64_t deadline = st_now_ns() + 1000000000;
	int status;

	while (!st_wait(tid, &status, deadline) && WIFSTOPPED(status))
		ptrace(PTRACE_DETACH, tid, NULL, NULL);
}

static void release(struct st_stop *stop, size_t i)
{
	struct st_thread *thread = stop->thread[i];

	if (thread->state == ST_THREAD_RUNNING) {
		keep_late(stop->proc, thread->tid, &stop->was[i]);
	} else if (thread->state == ST_THREAD_STOPPED && !stop->proc->held) {
		if (stop->repeated[i] && ST_ARCH_SNAPSHOT &&
		    signal_waits(stop->proc->pid, thread->tid))
			st_arch_unrepeat(thread->tid);
		/* Killed meanwhile: its end is reported to us, and its process can't end before we
		 * have heard of it. */
		if (ptrace(PTRACE_DETACH, thread->tid, NULL, NULL))
			hear_end(thread->tid);
	} else if (thread->state == ST_THREAD_GONE) {
		int status;

		look(thread->tid, &status);
	}
	free(thread);
	stop->thread[i] = NULL;
}

static void free_stop(struct st_stop *stop)
{
	free(stop->thread);
	free(stop->was);
	free(stop->repeated);
	free(stop);
}

/* Threads of an earlier try that have stopped by now: let them go. True when none is left. */
static bool reap_late(struct st_proc *proc)
{
	size_t i, left = 0;

	for (i = 0; i < proc->nlate; i++) {
		pid_t tid = proc->late[i].tid;
		int status, sig;
		pid_t got = look(tid, &status);

		if (!got) {
			proc->late[left++] = proc->late[i];
			continue;
		}
		if (got != tid)
			continue;
		switch (st_report(status, &sig)) {
		case ST_REPORT_GONE:
			break;
		case ST_REPORT_EVENT_STOP:
			st_arch_repeat(tid, &proc->late[i].was);
			ptrace(PTRACE_DETACH, tid, NULL, NULL);
			break;
		default:
			ptrace(PTRACE_DETACH, tid, NULL, (void *)(long)sig);
		}
	}
	proc->nlate = left;
	return !left;
}

/*
 * A thread in uninterruptible sleep can't be stopped before that ends: nobody is disturbed while
 * there is one. Returns its id, or 0.
 */
static pid_t uninterruptible(struct st_proc *proc)
{
	struct st_stat stat;
	pid_t *tid, found = 0;
	size_t i, n;

	tid = st_tasks(proc->pid, &n);
	for (i = 0; tid && i < n && !found; i++)
		if (!st_stat_read(proc->pid, tid[i], &stat) && stat.state == 'D')
			found = tid[i];
	free(tid);
	return found;
}

/* Threads that exited while the others were being stopped. */
static void drop_gone(struct st_stop *stop)
{
	size_t i, n = 0;

	for (i = 0; i < stop->n; i++) {
		if (stop->thread[i]->state == ST_THREAD_GONE) {
			free(stop->thread[i]);
			continue;
		}
		stop->thread[n] = stop->thread[i];
		stop->was[n] = stop->was[i];
		stop->repeated[n++] = stop->repeated[i];
	}
	stop->n = n;
}

/* One try, at one thread if there is an @only. -EAGAIN: @busy could not be stopped in time; nobody is stopped. */
static int try_stop(struct st_proc *proc, unsigned int flags, pid_t only, uint64_t limit_ns,
		    struct st_stop **out, pid_t *busy, char *err)
{
	uint64_t deadline;
	unsigned int quiet = 0;
	struct st_stop *stop;
	size_t i, n;
	pid_t *tid;
	int ret = 0;

	stop = calloc(1, sizeof(*stop));
	if (!stop)
		return st_fail(err, -ENOMEM, "out of memory");
	stop->proc = proc;
	stop->whole = !(flags & ST_STOP_ONE);

	/*
	 * Passes over the list of threads, until two in a row find nobody new: while one thread
	 * runs it may make others, and a list that is read while threads exit may miss one.
	 */
	while (quiet < 2) {
		size_t first = stop->n;

		tid = st_tasks(proc->pid, &n);
		if (!tid) {
			ret = st_fail(err, -ESRCH, "process %d (%s) has ended", proc->pid,
				      proc->comm);
			goto fail;
		}
		for (i = 0; i < n && ret >= 0; i++) {
			if (find_thread(stop, tid[i]) || (only && tid[i] != only))
				continue;
			ret = interrupt(stop, tid[i], err);
			if (ret > 0 && flags & ST_STOP_ONE)
				break;
		}
		free(tid);
		if (ret < 0)
			goto fail;
		deadline = st_now_ns() + limit_ns + (stop->n - first) * TRY_THREAD_NS;
		quiet = stop->n == first ? quiet + 1 : 0;
		for (i = first; i < stop->n; i++) {
			ret = wait_stopped(stop, i, deadline);
			if (ret) {
				*busy = stop->thread[i]->tid;
				ret = -EAGAIN;
				goto fail;
			}
			if (flags & ST_STOP_ONE && stop->thread[i]->state == ST_THREAD_STOPPED)
				quiet = 2;
		}
	}
	drop_gone(stop);
	if (!stop->n && only && st_proc_alive(proc)) {
		ret = -ENOENT;
		goto fail;
	}
	if (!stop->n) {
		ret = st_fail(err, -ESRCH, "process %d (%s) has ended", proc->pid, proc->comm);
		goto fail;
	}
	if (!st_proc_alive(proc)) {
		ret = st_fail(err, -ESTALE,
			      "process %d (was %s) has executed another program; start again",
			      proc->pid, proc->comm);
		goto fail;
	}
	*out = stop;
	return 0;
fail:
	for (i = stop->n; i--;)
		release(stop, i);
	free_stop(stop);
	return ret;
}

static const char *why_busy(pid_t pid, pid_t tid)
{
	struct st_syscall in;

	read_syscall(pid, tid, &in);
	if (in.blocked && (in.nr == SYS_clone || in.nr == 435 /* clone3 */
#ifdef SYS_vfork
			   || in.nr == SYS_vfork
#endif
			   ))
		return "it waits for a child of vfork() to execute a program";
	return in.blocked
		       ? "it is in an uninterruptible system call (a disk or network file system)"
		       : "the machine is too busy";
}

static int stop_some(struct st_proc *proc, unsigned int flags, pid_t only, unsigned int timeout_ms,
		     struct st_stop **out, char *err)
{
	uint64_t until = st_now_ns() + timeout_ms * 1000000ull, limit = TRY_NS;
	pid_t busy = 0;
	int ret;

	*out = NULL;
	if (proc->stop)
		return st_fail(err, -EBUSY, "process %d (%s) is stopped already", proc->pid,
			       proc->comm);
	/* If it can't be done now, st_remote_begin() tries again, and says why not. */
	st_remote_prepare(proc, NULL);
	for (;;) {
		struct timespec pause = {0, 2000000};

		ret = -EAGAIN;
		if (!reap_late(proc))
			busy = proc->late[0].tid;
		else if (!(flags & ST_STOP_ONE) && (busy = uninterruptible(proc)))
			;
		else
			ret = try_stop(proc, flags, only, limit, out, &busy, err);
		if (ret != -EAGAIN)
			break;
		if (limit < timeout_ms * 1000000ull)
			limit *= 2;
		if (st_now_ns() > until)
			return st_fail(
				err, -EBUSY,
				"thread %d of process %d (%s) can't be stopped: %s; try again",
				busy, proc->pid, proc->comm, why_busy(proc->pid, busy));
		nanosleep(&pause, NULL);
	}
	if (!ret)
		proc->stop = *out;
	return ret;
}

int st_stop(struct st_proc *proc, unsigned int flags, unsigned int timeout_ms, struct st_stop **out,
	    char *err)
{
	return stop_some(proc, flags, 0, timeout_ms, out, err);
}

int st_stop_thread_of(struct st_proc *proc, pid_t tid, unsigned int timeout_ms, struct st_stop **out,
		      char *err)
{
	return stop_some(proc, ST_STOP_ONE, tid, timeout_ms, out, err);
}

int st_resume(struct st_stop *stop, uint64_t *ns)
{
	struct st_proc *proc = stop->proc;
	size_t i;

	/* The leader, which comes first, last: while it has threads its end is not reported. */
	for (i = stop->n; i--;)
		release(stop, i);
	if (ns)
		*ns = stop->since ? st_now_ns() - stop->since : 0;
	free_stop(stop);
	proc->stop = NULL;
	return st_proc_alive(proc) ? 0 : -ESRCH;
}

struct st_proc *st_stop_proc(struct st_stop *stop)
{
	return stop->proc;
}

bool st_stop_is_whole(const struct st_stop *stop)
{
	return stop->whole;
}

size_t st_stop_count(const struct st_stop *stop)
{
	return stop->n;
}

struct st_thread *st_stop_thread(struct st_stop *stop, size_t i)
{
	return i < stop->n ? stop->thread[i] : NULL;
}

pid_t st_thread_tid(const struct st_thread *thread)
{
	return thread->tid;
}

int st_thread_regs(struct st_thread *thread, struct st_regs *regs)
{
	int ret = st_arch_get(thread->tid, regs);

	if (!ret)
		st_arch_view(regs);
	return ret;
}

int st_thread_set_regs(struct st_thread *thread, const struct st_regs *regs)
{
	struct st_regs raw, set = *regs;
	int ret = st_arch_get(thread->tid, &raw);

	if (ret)
		return ret;
	st_arch_unview(&set, &raw);
	return st_arch_set(thread->tid, &set);
}

int st_thread_set_pc(struct st_thread *thread, unsigned long pc)
{
	struct st_regs regs;
	int ret = st_thread_regs(thread, &regs);

	if (ret)
		return ret;
	st_regs_set_pc(&regs, pc);
	return st_thread_set_regs(thread, &regs);
}
