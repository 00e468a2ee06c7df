// SPDX-License-Identifier: GPL-2.0-only
/*
 * System calls and functions run by a borrowed thread of the target.
 *
 * The rule: at no instruction of the tool may its death leave the thread anywhere but on its way
 *back. Before a register is touched, a complete signal frame with the thread's state lies in the
 *target, and the thread then runs a loop of rt_sigreturn (arch/arch.h). The tool makes other system
 *calls of it at the entry stop. Order matters throughout:
 *	begin:	frame, code, registers, signal mask		end:	signal mask, registers,
 *code, frame
 *
 * Code and frame lie in slack: bytes of a mapped page that no segment covers. They hold what the
 *file has there, and hold it again afterwards.
 */
#include "process/arch/arch.h"
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

#define SYSCALL_TIMEOUT_NS 10000000000ull

#ifndef PTRACE_SETSIGMASK
#define PTRACE_GETSIGMASK 0x420a
#define PTRACE_SETSIGMASK 0x420b
#endif
#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif
#define OPT_TRACESYSGOOD 1ul
#define OPT_SUSPEND_SECCOMP (1ul << 21) /* uapi/linux/ptrace.h */

/* Bytes of the target that we use for a while. */
struct slack {
	unsigned long addr;
	size_t len;
	uint8_t *old; /* what they held */
	bool written;
};

/* Memory of our own, once there is some: arguments, then the frame for calls, its stack below. */
#define AREA_BUFFER 4096
#define AREA_STACK 32768
#define AREA_FRAME 16384

struct st_remote {
	struct st_proc *proc;
	struct st_stop *stop;
	struct st_thread *thread;
	struct st_saved saved;
	struct slack code, frame;
	unsigned long home; /* the frame: behind its marker in the slack */
	unsigned long area, area_len;
	unsigned long area_frame; /* the frame in it; 0: not written */
	bool touched;		  /* registers are not the thread's own */
	bool called;		  /* a function has run: vector state may have changed */
	int deferred[16];	  /* signals that came meanwhile and could not be blocked */
	size_t ndeferred;
	bool running; /* it did not stop in time */
	bool dead;
};

static size_t area_len(void)
{
	return st_page_up(AREA_BUFFER + AREA_STACK + AREA_FRAME);
}

/* ---- a place for the frame and the code */

/* In front of a frame in slack, so that what a tool that was killed left there is recognised. */
struct marker {
	char magic[16];
	uint64_t len;	 /* of marker and frame */
	uint8_t pad[40]; /* the frame is 64-byte aligned */
};

_Static_assert(sizeof(struct marker) == 64, "the frame behind it is 64-byte aligned");

static const char marker_magic[16] = "sidetrack frame";

/* May a thread of the target still need what a killed tool has left at @range? */
static bool in_use(struct st_remote *r, struct st_range range)
{
	size_t i;

	if (!st_stop_is_whole(r->stop))
		return true;
	for (i = 0; i < st_stop_count(r->stop); i++)
		if (st_scan(st_stop_thread(r->stop, i), &range, 1, NULL))
			return true;
	return false;
}

bool st_remote_in_loop(struct st_proc *proc, pid_t tid)
{
	uint8_t near[2 * ST_ARCH_CODE_MAX] = {0};
	unsigned long from;
	struct st_regs regs;
	size_t i;

	if (st_arch_get(tid, &regs))
		return false;
	from = st_regs_pc(&regs) - st_arch_code_len;
	/* The code may be the last in its page. */
	if (st_mem_read_some(proc, from, near, 2 * st_arch_code_len) < (ssize_t)st_arch_code_len)
		return false;
	for (i = 0; i <= st_arch_code_len; i++)
		if (!memcmp(near + i, st_arch_code, st_arch_code_len))
			return true;
	return false;
}

/*
 * Objects that stay as long as the process does: other threads may be running dlclose() meanwhile,
 * or when the tool has died. The kernel's own page (vdso) is nobody's file.
 */
static bool stays(const struct st_object *obj)
{
	return obj->flags & (ST_OBJECT_EXE | ST_OBJECT_INTERP) || !strncmp(obj->name, "libc.so", 7);
}

/* The unused end of a segment's last page. */
struct page_end {
	const struct st_object *obj;
	unsigned long from, to;
	unsigned long offset; /* of @from in the file */
	bool exec;
	uint8_t *bytes; /* what it holds; only within find_slack() */
};

#define PAGE_ENDS_MAX 32

static bool get_page_end(const struct st_object *obj, const struct st_segment *seg,
			 const struct st_maps *maps, struct page_end *end)
{
	unsigned long from = seg->start + seg->filesz;
	const struct st_map *map;

	*end = (struct page_end){
		obj, from, st_page_up(from), seg->offset + seg->filesz, seg->prot & PROT_EXEC,
		NULL};
	if (seg->prot & PROT_WRITE || seg->end != from || end->to - from < 16)
		return false;
	map = st_maps_find(maps, from);
	return map && !map->shared && map->inode && map->end >= end->to &&
	       !(map->prot & PROT_WRITE) && (!end->exec || map->prot & PROT_EXEC);
}

/* Bytes that a killed tool has left at @at, 0: none. */
static size_t leftover(const struct page_end *end, unsigned long at)
{
	const uint8_t *p = end->bytes + (at - end->from);
	struct marker marker;

	if (end->exec && at % 16 == 0 && end->to - at >= st_arch_code_len &&
	    !memcmp(p, st_arch_code, st_arch_code_len))
		return st_arch_code_len;
	if (at % 64 == 0 && end->to - at >= sizeof(marker)) {
		memcpy(&marker, p, sizeof(marker));
		if (!memcmp(marker.magic, marker_magic, sizeof(marker_magic)) &&
		    marker.len <= end->to - at)
			return marker.len;
	}
	return 0;
}

/*
 * What a killed tool has left there is replaced by what belongs there, once nobody needs it:
 * threads in its loop have been let go when they were stopped; one that is in a function it called
 * comes back to it.
 */
static void heal(struct st_remote *r, struct page_end *end)
{
	unsigned long at;

	for (at = (end->from + 15) & ~15ul; at < end->to; at += 16) {
		size_t len = leftover(end, at);
		uint8_t *p = end->bytes + (at - end->from);
		int fd;

		if (!len || in_use(r, (struct st_range){at, at + len}))
			continue;
		fd = st_object_fd(end->obj);
		/* Behind the end of the file a page holds zeros. */
		memset(p, 0, len);
		if (fd >= 0 && pread64(fd, p, len, end->offset + (at - end->from)) < 0)
			memset(p, 0, len);
		st_mem_write(r->proc, at, p, len);
	}
}

static bool overlap(unsigned long a, size_t alen, unsigned long b, size_t blen)
{
	return blen && a < b + blen && b < a + alen;
}

/* The first place in it that is free. */
static bool take_slack(const struct page_end *end, struct slack *slack, size_t len, size_t align,
		       const struct slack *taken)
{
	unsigned long at, p;

	for (at = (end->from + align - 1) & ~(align - 1); at + len <= end->to; at += align) {
		bool free = !taken || !taken->len || !overlap(at, len, taken->addr, taken->len);

		for (p = (end->from + 15) & ~15ul; p < at + len && free; p += 16)
			free = !overlap(at, len, p, leftover(end, p));
		if (!free)
			continue;
		slack->old = malloc(len);
		if (!slack->old)
			return false;
		memcpy(slack->old, end->bytes + (at - end->from), len);
		slack->addr = at;
		slack->len = len;
		return true;
	}
	return false;
}

/* Places for the code and for a frame of @len bytes, where nobody but us can write. */
static void find_slack(struct st_remote *r, size_t len)
{
	struct page_end *end = r->proc->ends;
	size_t i, n = r->proc->nends;

	for (i = 0; i < n; i++) {
		size_t size = end[i].to - end[i].from;

		end[i].bytes = malloc(size);
		if (end[i].bytes && !st_mem_read(r->proc, end[i].from, end[i].bytes, size)) {
			heal(r, &end[i]);
			continue;
		}
		free(end[i].bytes);
		end[i].bytes = NULL;
	}
	for (i = 0; i < n && !r->code.len; i++)
		if (end[i].exec && end[i].bytes)
			take_slack(&end[i], &r->code, st_arch_code_len, 16, NULL);
	for (i = 0; i < n && !r->frame.len; i++)
		if (end[i].bytes)
			take_slack(&end[i], &r->frame, len, 64, &r->code);
	for (i = 0; i < n; i++)
		free(end[i].bytes);
}

/* Below the thread's own stack, where a signal's frame would be, when there is plenty of it. */
static void below_stack(struct st_remote *r, const struct st_maps *maps, size_t len,
			struct slack *slack)
{
	const struct st_regs *regs = &r->saved.regs;
	unsigned long sp = st_regs_sp(regs), at;
	const struct st_map *map = st_maps_find(maps, sp - 1);

	at = (sp - st_arch_redzone() - len) & ~63ul;
	if (!map || !(map->prot & PROT_WRITE) || at > sp || at < map->start)
		return;
	/* The main stack grows by itself; another one must have as much again as a signal handler
	 * might need. */
	if (strcmp(map->path, "[stack]") && at - map->start < 16384)
		return;
	slack->addr = at;
	slack->len = len;
	slack->old = NULL; /* nobody's */
}

/* The frame at @at, and the marker before it when it goes into slack. */
static int put_frame(struct st_remote *r, unsigned long at, bool marked)
{
	size_t len = st_arch_frame_size(&r->saved);
	struct marker marker = {.len = sizeof(marker) + len};
	uint8_t *buf = malloc(sizeof(marker) + len);
	int ret;

	if (!buf)
		return -ENOMEM;
	memcpy(marker.magic, marker_magic, sizeof(marker_magic));
	memcpy(buf, &marker, sizeof(marker));
	st_arch_frame(&r->saved, at, buf + sizeof(marker));
	ret = marked ? st_mem_write(r->proc, at - sizeof(marker), buf, sizeof(marker) + len)
		     : st_mem_write(r->proc, at, buf + sizeof(marker), len);
	free(buf);
	return ret;
}

static void put_back(struct st_remote *r, struct slack *slack)
{
	if (slack->written && slack->old)
		st_mem_write(r->proc, slack->addr, slack->old, slack->len);
	free(slack->old);
	slack->old = NULL;
	slack->written = false;
}

int st_remote_prepare(struct st_proc *proc, char *err)
{
	struct page_end *end;
	struct st_maps *maps;
	size_t i, j;
	int ret;

	if (proc->ends)
		return 0;
	end = calloc(PAGE_ENDS_MAX, sizeof(*end));
	if (!end)
		return st_fail(err, -ENOMEM, "out of memory");
	ret = st_objects_read(proc, &proc->stay, err);
	if (ret)
		goto fail;
	ret = st_maps_read(proc, &maps, err);
	if (ret) {
		st_objects_free(proc->stay);
		goto fail;
	}
	for (i = 0; i < proc->stay->n; i++) {
		const struct st_object *obj = &proc->stay->object[i];

		for (j = 0; stays(obj) && j < obj->nsegments && proc->nends < PAGE_ENDS_MAX; j++)
			proc->nends += get_page_end(obj, &obj->segment[j], maps, &end[proc->nends]);
	}
	st_maps_free(maps);
	proc->ends = end;
	return 0;
fail:
	free(end);
	proc->stay = NULL;
	return ret;
}

void st_remote_forget(struct st_proc *proc)
{
	st_objects_free(proc->stay);
	free(proc->ends);
}

static int place(struct st_remote *r, char *err)
{
	size_t len = sizeof(struct marker) + st_arch_frame_size(&r->saved);
	struct st_maps *maps;
	int ret;

	ret = st_remote_prepare(r->proc, err);
	if (ret)
		return ret;
	find_slack(r, len);
	if (!r->frame.len && !st_maps_read(r->proc, &maps, NULL)) {
		below_stack(r, maps, len, &r->frame);
		st_maps_free(maps);
	}
	if (!r->code.len)
		return st_fail(err, -ENOTSUP,
			       "process %d (%s) has no executable page with %zu unused bytes at "
			       "its end, which are needed to "
			       "begin with",
			       r->proc->pid, r->proc->comm, st_arch_code_len);
	if (!r->frame.len)
		return st_fail(err, -ENOTSUP,
			       "process %d (%s): there is no safe place for the state of thread %d "
			       "(%zu bytes); try again",
			       r->proc->pid, r->proc->comm, r->thread->tid, len);
	r->home = r->frame.addr + sizeof(struct marker);
	ret = put_frame(r, r->home, true);
	if (ret)
		return st_fail(err, ret, "process %d (%s): its memory at %#lx can't be written: %s",
			       r->proc->pid, r->proc->comm, r->frame.addr, strerror(-ret));
	r->frame.written = true;
	ret = st_mem_write(r->proc, r->code.addr, st_arch_code, st_arch_code_len);
	if (ret)
		return st_fail(err, ret, "process %d (%s): its memory at %#lx can't be written: %s",
			       r->proc->pid, r->proc->comm, r->code.addr, strerror(-ret));
	r->code.written = true;
	return 0;
}

/* ---- driving the thread */

/* Signals that say what an instruction did: to block them makes them deadly, and resets the
 * program's handler. */
static const int synchronous[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};

static uint64_t bit(int sig)
{
	return 1ull << (sig - 1);
}

static bool is_synchronous(int sig)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(synchronous); i++)
		if (sig == synchronous[i])
			return true;
	return false;
}

enum where { SYSCALL_STOP, EVENT_STOP, CRASH_STOP };

/* It is sent again when the thread has its registers back, before it runs. */
static void defer(struct st_remote *r, int sig)
{
	if (r->ndeferred < ARRAY_SIZE(r->deferred))
		r->deferred[r->ndeferred++] = sig;
}

/*
 * Lets the thread run to its next stop. Signals that come meanwhile (only those that can't be
 * blocked do) are put off until it is given back; one that its own instruction caused is a crash.
 */
static int run(struct st_remote *r, int request, bool want_event, enum where *at,
	       uint64_t timeout_ns, int *crash)
{
	uint64_t deadline = st_now_ns() + timeout_ns;
	int status, sig, ret;
	siginfo_t info;

	for (;;) {
		/* A thread that is still under way from before is only waited for. */
		if (!r->running && ptrace(request, r->thread->tid, NULL, NULL)) {
			/* Only this says that it is gone; else it needs what we have put there. */
			if (errno != ESRCH)
				return -errno;
			goto dead;
		}
		ret = st_wait(r->thread->tid, &status, deadline);
		r->running = ret == -ETIMEDOUT;
		if (r->running)
			return ret;
		if (ret)
			goto dead;
		switch (st_report(status, &sig)) {
		case ST_REPORT_GONE:
			goto dead;
		case ST_REPORT_EVENT_STOP:
			/* Of a group stop that was begun meanwhile, if we did not ask: it is taken
			 * up again afterwards. */
			if (want_event) {
				*at = EVENT_STOP;
				return 0;
			}
			break;
		case ST_REPORT_SYSCALL:
			*at = SYSCALL_STOP;
			return 0;
		case ST_REPORT_SIGNAL:
			if (is_synchronous(sig) &&
			    !ptrace(PTRACE_GETSIGINFO, r->thread->tid, NULL, &info) &&
			    info.si_code > 0) {
				*at = CRASH_STOP;
				*crash = sig;
				return 0;
			}
			defer(r, sig);
			/* A trap takes back one that was asked for. */
			if (want_event)
				ptrace(PTRACE_INTERRUPT, r->thread->tid, NULL, NULL);
			break;
		default:
			break;
		}
	}
dead:
	r->dead = true;
	r->thread->state = ST_THREAD_GONE;
	return -ESRCH;
}

/* From any stop to the interrupt's: the one in which the kernel looks at the registers when it goes
 * on. */
static int to_event(struct st_remote *r)
{
	enum where at = SYSCALL_STOP;
	int ret = 0, crash;

	while (!ret && at != EVENT_STOP) {
		/* Each time: any other trap that comes first takes the request back. */
		if (ptrace(PTRACE_INTERRUPT, r->thread->tid, NULL, NULL)) {
			if (errno != ESRCH)
				return -errno;
			r->dead = true;
			r->thread->state = ST_THREAD_GONE;
			return -ESRCH;
		}
		ret = run(r, PTRACE_CONT, true, &at, SYSCALL_TIMEOUT_NS, &crash);
	}
	return ret;
}

static int set_mask(struct st_remote *r, uint64_t mask)
{
	return ptrace(PTRACE_SETSIGMASK, r->thread->tid, sizeof(mask), &mask) ? -errno : 0;
}

/* At the interrupt's stop: go to the loop, and stop at the entry of its rt_sigreturn. */
static int to_loop(struct st_remote *r)
{
	struct st_regs regs = r->saved.regs;
	enum where at;
	int ret, crash;

	st_arch_loop(&regs, r->code.addr, r->home);
	ret = st_arch_set(r->thread->tid, &regs);
	if (ret)
		return ret;
	r->touched = true;
	/* Signals wait until it is over. The frame has the thread's own mask. */
	ret = set_mask(r, ~0ull);
	if (ret)
		return ret;
	ret = run(r, PTRACE_SYSCALL, false, &at, SYSCALL_TIMEOUT_NS, &crash);
	if (ret)
		return ret;
	if (at == SYSCALL_STOP && !st_arch_get(r->thread->tid, &regs) &&
	    st_arch_at_loop(&regs, r->code.addr))
		return 0;
	return -EFAULT;
}

static const unsigned long no_args[6];

int st_remote_syscall(struct st_remote *r, long *ret, long nr, const unsigned long args[6])
{
	struct st_regs regs;
	enum where at;
	int code, crash;

	if (r->dead || r->running)
		return r->dead ? -ESRCH : -ETIMEDOUT;
	code = st_arch_enter(r->thread->tid, nr, args);
	if (!code)
		code = run(r, PTRACE_SYSCALL, false, &at, SYSCALL_TIMEOUT_NS,
			   &crash); /* to its exit */
	if (!code)
		code = st_arch_get(r->thread->tid, &regs);
	if (code)
		return code;
	*ret = st_arch_result(&regs);
	code = run(r, PTRACE_SYSCALL, false, &at, SYSCALL_TIMEOUT_NS,
		   &crash); /* to the next entry */
	return code ? code : at == SYSCALL_STOP ? 0 : -EFAULT;
}

/* ---- borrowing and giving back */

/*
 * A thread in a restartable sequence: while it is away the kernel forgets that it was in one, so it
 * goes on at the sequence's abort handler, as after any preemption (rseq(2); uapi/linux/rseq.h).
 */
static void abort_rseq(struct st_remote *r)
{
	struct {
		uint64_t pointer;
		uint32_t size, signature, flags, pad;
	} conf;
	struct {
		uint32_t version, flags;
		uint64_t start, len, abort;
	} cs;
	uint64_t at = 0, zero = 0;

	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, r->thread->tid, sizeof(conf), &conf) !=
		    sizeof(conf) ||
	    !conf.pointer)
		return;
	/* struct rseq: cpu_id_start, cpu_id, rseq_cs */
	if (st_mem_read(r->proc, conf.pointer + 8, &at, sizeof(at)) || !at ||
	    st_mem_read(r->proc, at, &cs, sizeof(cs)))
		return;
	if (st_regs_pc(&r->saved.regs) - cs.start >= cs.len)
		return;
	st_regs_pc(&r->saved.regs) = cs.abort;
	st_mem_write(r->proc, conf.pointer + 8, &zero, sizeof(zero));
}

/*
 * A thread in restart_syscall(2): rt_sigreturn makes the kernel forget what was to be restarted, so
 * if the thread comes back that way it must make the call itself, from its beginning. Which it was,
 * the code says (> 0), or does not (-1; when the tool is killed that thread sees EINTR). 0: the
 * thread is not there.
 */
static long find_call(struct st_proc *proc, const struct st_regs *regs)
{
	struct st_regs view = *regs;
	uint8_t code[64];

	st_arch_view(&view);
	if (st_mem_read(proc, st_regs_pc(&view) - sizeof(code), code, sizeof(code)))
		return 0;
	return st_arch_restarted(regs, code, sizeof(code));
}

/* What /proc says about a thread that matters here; reading it is not cheap. */
struct status {
	long seccomp;
	bool shadow_stack; /* x86: it would have to hold what rt_sigreturn checks */
};

static struct status read_status(struct st_remote *r, pid_t tid)
{
	char path[ST_PROC_PATH], *text, *line;
	struct status status = {0};

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", r->proc->pid, tid);
	text = st_slurp(path, NULL);
	line = text ? strstr(text, "\nSeccomp:") : NULL;
	if (line)
		status.seccomp = strtol(line + strlen("\nSeccomp:"), NULL, 10);
	line = text ? strstr(text, "\nx86_Thread_features:") : NULL;
	if (line) {
		line[1 + strcspn(line + 1, "\n")] = '\0';
		status.shadow_stack = strstr(line, "shstk");
	}
	free(text);
	return status;
}

static struct st_thread *choose(struct st_remote *r, struct status *status)
{
	struct st_thread *first = NULL;
	struct st_regs regs;
	size_t i;

	/* A filter belongs to a thread: one without is the better choice. So is one whose call can
	 * be made again. */
	for (i = 0; i < st_stop_count(r->stop); i++) {
		struct st_thread *thread = st_stop_thread(r->stop, i);

		if (thread->state != ST_THREAD_STOPPED || st_arch_get(thread->tid, &regs) ||
		    st_arch_refuses(&regs))
			continue;
		if (!first)
			first = thread;
		*status = read_status(r, thread->tid);
		if (!status->seccomp && find_call(r->proc, &regs) >= 0)
			return thread;
	}
	if (first)
		*status = read_status(r, first->tid);
	return first;
}

/* Says what to do about system call filters; sets the thread's options. */
static int set_options(struct st_remote *r, long mode, char *err)
{
	if (mode == 1)
		return st_fail(err, -EPERM,
			       "process %d (%s) is in strict seccomp mode, in which any system "
			       "call of ours would kill it; "
			       "it can't be attached to",
			       r->proc->pid, r->proc->comm);
	if (mode == 2) {
		/* For checkpointing: the filter is off while we trace (needs CAP_SYS_ADMIN and no
		 * filter of our own). */
		if (!ptrace(PTRACE_SETOPTIONS, r->thread->tid, NULL,
			    (void *)(OPT_TRACESYSGOOD | OPT_SUSPEND_SECCOMP)))
			return 0;
		return st_fail(err, -EPERM,
			       "process %d (%s) has a seccomp filter that may kill it for the "
			       "system calls we need; run this "
			       "as root (with CAP_SYS_ADMIN, outside of any sandbox)",
			       r->proc->pid, r->proc->comm);
	}
	if (ptrace(PTRACE_SETOPTIONS, r->thread->tid, NULL, (void *)OPT_TRACESYSGOOD))
		return st_fail(err, -errno, "thread %d of process %d (%s) can't be driven: %s",
			       r->thread->tid, r->proc->pid, r->proc->comm, strerror(errno));
	return 0;
}

static void free_remote(struct st_remote *r)
{
	free(r->saved.fp);
	free(r->code.old);
	free(r->frame.old);
	free(r);
}

int st_remote_begin(struct st_stop *stop, struct st_thread *thread, struct st_remote **out,
		    char *err)
{
	struct st_remote *r = calloc(1, sizeof(*r));
	struct status status = {0};
	const char *why;
	int ret;

	*out = NULL;
	if (!r)
		return st_fail(err, -ENOMEM, "out of memory");
	r->stop = stop;
	r->proc = st_stop_proc(stop);
	r->thread = thread ? thread : choose(r, &status);
	if (!r->thread) {
		ret = st_fail(err, -ENOTSUP, "process %d (%s) has no thread that can be borrowed",
			      r->proc->pid, r->proc->comm);
		goto fail;
	}
	ret = st_arch_get(r->thread->tid, &r->saved.regs);
	if (!ret)
		ret = st_arch_get_fp(r->thread->tid, &r->saved);
	if (!ret &&
	    ptrace(PTRACE_GETSIGMASK, r->thread->tid, sizeof(r->saved.sigmask), &r->saved.sigmask))
		ret = -errno;
	if (ret) {
		st_fail(err, ret, "the state of thread %d of process %d (%s) can't be read: %s",
			r->thread->tid, r->proc->pid, r->proc->comm, strerror(-ret));
		goto fail;
	}
	if (thread)
		status = read_status(r, thread->tid);
	why = st_arch_refuses(&r->saved.regs);
	if (!why && status.shadow_stack)
		why = "it uses a shadow stack, which is not supported yet";
	if (why) {
		ret = st_fail(err, -ENOTSUP, "thread %d of process %d (%s) can't be borrowed: %s",
			      r->thread->tid, r->proc->pid, r->proc->comm, why);
		goto fail;
	}
	abort_rseq(r);
	r->saved.call = find_call(r->proc, &r->saved.regs);
	if (r->saved.call < 0)
		r->saved.call = 0;
	ret = set_options(r, status.seccomp, err);
	if (!ret)
		ret = place(r, err);
	if (ret)
		goto undo;
	ret = to_loop(r);
	if (ret) {
		st_fail(err, ret, "thread %d of process %d (%s) can't be driven: %s",
			r->thread->tid, r->proc->pid, r->proc->comm, strerror(-ret));
		goto undo;
	}
	*out = r;
	return 0;
undo:
	st_remote_end(r);
	return ret;
fail:
	free_remote(r);
	return ret;
}

int st_remote_end(struct st_remote *r)
{
	int ret = 0;
	size_t i;

	if (!r->dead && !r->running && r->area)
		st_remote_munmap(r, r->area, r->area_len);
	if (!r->dead && r->touched) {
		if (!r->running)
			ret = st_arch_enter(r->thread->tid, -1, no_args);
		if (!ret)
			ret = to_event(r);
		/* Until the registers are set the thread is in the loop, whose frame has the mask.
		 */
		if (!ret)
			ret = set_mask(r, r->saved.sigmask);
		if (!ret && (r->called || st_arch_syscall_drops_fp(&r->saved)))
			ret = st_arch_set_fp(r->thread->tid, &r->saved);
	}
	if (!r->dead) {
		if (!ret)
			ret = st_arch_set(r->thread->tid, &r->saved.regs);
		ptrace(PTRACE_SETOPTIONS, r->thread->tid, NULL, NULL);
		/* A stop signal is the whole process's affair. */
		for (i = 0; i < r->ndeferred; i++)
			if (r->deferred[i] == SIGSTOP)
				kill(r->proc->pid, SIGSTOP);
			else
				syscall(SYS_tgkill, r->proc->pid, r->thread->tid, r->deferred[i]);
	}
	/* When anything failed the thread finds its own way, and needs these. */
	if (!ret || r->dead) {
		put_back(r, &r->code);
		put_back(r, &r->frame);
	}
	if (r->dead)
		ret = -ESRCH;
	free_remote(r);
	return ret;
}

struct st_stop *st_remote_stop(struct st_remote *r)
{
	return r->stop;
}

/* ---- the common calls */

static long call(struct st_remote *r, long nr, unsigned long a, unsigned long b, unsigned long c,
		 unsigned long d, unsigned long e, unsigned long f)
{
	const unsigned long args[6] = {a, b, c, d, e, f};
	long result;
	int ret = st_remote_syscall(r, &result, nr, args);

	return ret ? ret : result;
}

int st_remote_mmap(struct st_remote *r, unsigned long *addr, size_t len, int prot, int flags,
		   int fd, unsigned long offset)
{
	/* 32-bit ARM has only mmap2, in units of 4096 whatever the page size. */
#ifdef SYS_mmap2
	long ret = call(r, SYS_mmap2, *addr, len, prot, flags, fd, offset / 4096);
#else
	long ret = call(r, SYS_mmap, *addr, len, prot, flags, fd, offset);
#endif

	if (ret < 0 && ret >= -4095)
		return ret;
	*addr = ret;
	return 0;
}

int st_remote_munmap(struct st_remote *r, unsigned long addr, size_t len)
{
	return call(r, SYS_munmap, addr, len, 0, 0, 0, 0);
}

int st_remote_mprotect(struct st_remote *r, unsigned long addr, size_t len, int prot)
{
	return call(r, SYS_mprotect, addr, len, prot, 0, 0, 0);
}

unsigned long st_remote_buffer(struct st_remote *r)
{
	unsigned long addr = 0;

	if (!r->area && !st_remote_mmap(r, &addr, area_len(), PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
		r->area = addr;
		r->area_len = area_len();
	}
	return r->area;
}

static int put_string(struct st_remote *r, const char *s, unsigned long *at)
{
	size_t len = strlen(s) + 1;

	if (len > AREA_BUFFER)
		return -ENAMETOOLONG;
	*at = st_remote_buffer(r);
	if (!*at)
		return r->dead ? -ESRCH : -ENOMEM;
	return st_mem_write(r->proc, *at, s, len);
}

int st_remote_open(struct st_remote *r, const char *path, int flags, int mode)
{
	unsigned long at;
	int ret = put_string(r, path, &at);

	return ret ? ret : call(r, SYS_openat, AT_FDCWD, at, flags, mode, 0, 0);
}

int st_remote_close(struct st_remote *r, int fd)
{
	return call(r, SYS_close, fd, 0, 0, 0, 0, 0);
}

int st_remote_memfd(struct st_remote *r, const char *name, unsigned int flags)
{
	unsigned long at;
	int ret = put_string(r, name, &at);

	return ret ? ret : call(r, SYS_memfd_create, at, flags, 0, 0, 0, 0);
}

int st_remote_ftruncate(struct st_remote *r, int fd, unsigned long size)
{
	return call(r, SYS_ftruncate, fd, size, 0, 0, 0, 0);
}

int st_remote_area(struct st_remote *r, size_t size, unsigned long near, unsigned long near_end,
		   unsigned long reach, int prot, unsigned long *addr, char *err)
{
	unsigned int tries;
	int ret = -ENOMEM, fd;

	size = st_page_up(size);
	/*
	 * Pages of a file with a name, private: maps then says whose they are, also if this tool is
	 * killed before it has noted them anywhere. Without memfd (Linux before 3.17), nameless
	 * pages.
	 */
	fd = st_remote_memfd(r, ST_AREA_NAME, MFD_CLOEXEC);
	if (fd >= 0 && st_remote_ftruncate(r, fd, size)) {
		st_remote_close(r, fd);
		fd = -1;
	}
	/* Other threads may be running and take the place first. */
	for (tries = 0; tries < 8; tries++) {
		struct st_maps *maps;

		ret = st_maps_read(r->proc, &maps, err);
		if (ret)
			goto out;
		ret = st_maps_gap(maps, size, near, near_end, reach, addr, err);
		st_maps_free(maps);
		if (ret)
			goto out;
		/* uapi: MAP_FIXED_NOREPLACE 0x100000; before Linux 4.17 it is not known, and the
		 * address is a hint. */
		unsigned long got = *addr;

		ret = st_remote_mmap(r, &got, size, prot,
				     MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS : 0) | 0x100000, fd, 0);
		if (!ret && got == *addr)
			goto out;
		if (!ret) {
			st_remote_munmap(r, got, size);
			ret = -ENOMEM;
		} else if (ret != -EEXIST) {
			break;
		}
	}
	st_fail(err, ret, "process %d (%s) can't be given %zu bytes of memory: %s", r->proc->pid,
		r->proc->comm, size, strerror(-ret));
out:
	if (fd >= 0)
		st_remote_close(r, fd);
	return ret;
}

int st_remote_call(struct st_remote *r, unsigned long fn, const unsigned long *args,
		   unsigned int nargs, unsigned long *result, unsigned int timeout_ms, char *err)
{
	uint64_t deadline, mask = ~0ull;
	struct st_regs regs;
	enum where at;
	int ret, crash = 0, why;
	size_t i;

	if (nargs > 4)
		return st_fail(err, -EINVAL, "at most 4 arguments");
	if (r->running)
		return st_fail(err, -ETIMEDOUT, "thread %d is still in an earlier call",
			       r->thread->tid);
	if (!st_remote_buffer(r))
		return st_fail(err, r->dead ? -ESRCH : -ENOMEM,
			       "process %d (%s) can't be given memory for a stack", r->proc->pid,
			       r->proc->comm);
	if (!r->area_frame) {
		unsigned long to = r->area + AREA_BUFFER + AREA_STACK;

		if (st_arch_frame_size(&r->saved) > AREA_FRAME)
			return st_fail(err, -ENOTSUP,
				       "the state of a thread is larger than expected");
		ret = put_frame(r, to, false);
		if (ret)
			return st_fail(err, ret, "the stack can't be written: %s", strerror(-ret));
		r->area_frame = to;
	}
	ret = st_arch_enter(r->thread->tid, -1, no_args);
	if (!ret)
		ret = to_event(r);
	if (ret)
		return st_fail(err, ret, "process %d (%s) has ended", r->proc->pid, r->proc->comm);
	for (i = 0; i < ARRAY_SIZE(synchronous); i++)
		if (!(r->saved.sigmask & bit(synchronous[i])))
			mask &= ~bit(synchronous[i]);
	ret = set_mask(r, mask);
	if (ret)
		return st_fail(err, ret, "thread %d can't be driven: %s", r->thread->tid,
			       strerror(-ret));
	regs = r->saved.regs;
	st_arch_call(&regs, r->code.addr, r->area_frame, fn, args, nargs);
	ret = st_arch_set(r->thread->tid, &regs);
	r->called = true;
	deadline = st_now_ns() + timeout_ms * 1000000ull;
	/* It may make system calls of its own: entry and exit of each are stops. */
	while (!ret) {
		uint64_t now = st_now_ns();

		ret = now > deadline ? -ETIMEDOUT
				     : run(r, PTRACE_SYSCALL, false, &at, deadline - now, &crash);
		if (ret || at == CRASH_STOP)
			break;
		ret = st_arch_get(r->thread->tid, &regs);
		if (!ret && st_arch_at_loop(&regs, r->code.addr)) {
			struct st_regs home = regs;

			*result = st_arch_call_result(&regs);
			/* Back to the first frame: the other one goes away before the thread does.
			 */
			st_arch_loop(&home, r->code.addr, r->home);
			st_regs_sp(&regs) = st_regs_sp(&home);
			ret = st_arch_set(r->thread->tid, &regs);
			return ret ? ret : set_mask(r, ~0ull);
		}
	}
	if (ret == -ESRCH)
		return st_fail(err, ret, "process %d (%s) has ended", r->proc->pid, r->proc->comm);
	why = ret ? ret : -EFAULT;
	st_fail(err, why,
		why == -EFAULT ? "the function at %#lx crashed (%s)"
			       : "the function at %#lx did not return%.0s",
		fn, strsignal(crash));
	/* Away from there. */
	ret = to_event(r);
	if (!ret)
		ret = to_loop(r);
	return ret ? ret : why;
}
