/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of process/ share with each other and with nobody else.
 */
#ifndef ST_PROCESS_INTERNAL_H
#define ST_PROCESS_INTERNAL_H

/* Included first everywhere, so that this comes before any header of libc. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <errno.h>
#include "process/process.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* A name in /proc: "/proc/PID/task/TID/..." and some room. */
#define ST_PROC_PATH 64

struct st_proc {
	pid_t pid;
	pid_t tid; /* a thread that has a memory map: the leader may have exited */
	char comm[17];
	int mem;		  /* /proc/TID/mem; reads nothing once the program was replaced */
	unsigned long long start; /* starttime of /proc/PID/stat: tells a reused PID */
	unsigned long auxv[64];
	size_t nauxv; /* words */
	struct st_stop *stop;
	bool held; /* hold.c: stopped by us before its first instruction, and stays so */
	/* remote.c: objects that stay, and the unused ends of their pages. NULL: not looked for
	 * yet. */
	struct st_objects *stay;
	struct page_end *ends;
	size_t nends;
	/* stop.c: threads that we interrupted and that had not stopped in time: to be released when
	 * they do. */
	struct st_late *late;
	size_t nlate;
};

/* printf into @err, if there is one. Returns @code, which is a negative errno. */
int st_fail(char *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* A whole file; a NUL follows its last byte. Returns NULL with errno set. */
char *st_slurp(const char *path, size_t *len);

/* The number behind "@key:" in a /proc/.../status. -1 when there is none. */
long st_status_number(const char *path, const char *key);

/* State letter, flags and start time of a thread; a negative errno when it is gone. */
struct st_stat {
	char state;
	unsigned int flags;
	unsigned long long start;
};
int st_stat_read(pid_t pid, pid_t tid, struct st_stat *stat);

/* The thread ids of a process; NULL with errno when it is gone. */
pid_t *st_tasks(pid_t pid, size_t *n);

size_t st_page_size(void);

/* Monotonic time. */
uint64_t st_now_ns(void);

static inline unsigned long st_page_down(unsigned long addr)
{
	return addr & ~(st_page_size() - 1);
}

static inline unsigned long st_page_up(unsigned long addr)
{
	return st_page_down(addr + st_page_size() - 1);
}

/* A thread under a stop. */
struct st_thread {
	struct st_stop *stop;
	pid_t tid;
	enum { ST_THREAD_RUNNING, ST_THREAD_STOPPED, ST_THREAD_GONE } state;
};

/* All threads are stopped, not one. */
bool st_stop_is_whole(const struct st_stop *stop);

/* What a borrowed thread will need is looked for before anybody is stopped. */
int st_remote_prepare(struct st_proc *proc, char *err);
void st_remote_forget(struct st_proc *proc);

/* Is it in the loop of a tool that was killed (remote.c)? It leaves that by itself. */
bool st_remote_in_loop(struct st_proc *proc, pid_t tid);

/*
 * Waits for the next report about a thread.
 * Returns 0 with *@status, -ESRCH when it is no longer ours to wait for, -ETIMEDOUT.
 */
int st_wait(pid_t tid, int *status, uint64_t deadline_ns);

/* What a report means. */
enum st_report {
	ST_REPORT_GONE,
	ST_REPORT_EVENT_STOP, /* PTRACE_INTERRUPT's trap, or a group stop */
	ST_REPORT_SYSCALL,    /* with PTRACE_O_TRACESYSGOOD */
	ST_REPORT_SIGNAL,     /* about to be delivered */
	ST_REPORT_OTHER,
};
enum st_report st_report(int status, int *sig);

#endif
