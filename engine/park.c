/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See park.h. Between st_park() and st_unpark() this file uses system calls and its own static memory only.
 *
 * How it ends: every thread listed in /proc/self/task has acknowledged, in a pass that found no thread it had not
 * signalled. A thread that appears later was created by one that runs, and there is none.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <engine/park.h>
#include <engine/syscall.h>
#include <engine/thread.h>

#define PARK_MAX 8192
#define PARK_MS 500		/* how long a thread may take to come */
#define SCAN_MAX (8ul << 20)	/* most of a stack that is looked at */

struct parked {
	int tid;
	int acked;
	unsigned long tp;
	ucontext_t *uc;
	/* What of its stacks is live: of the one it was on, as far as to an alternate signal stack's end, if it is that. */
	unsigned long sp, end;
	unsigned long alternate_sp, alternate_end;
};

static struct parked parked[PARK_MAX];
static int count;		/* slots of parked[] in use */
static int signal_number;
static int generation;		/* odd while threads are to stay; a futex */
static char buffer[65536];

static void nap(long ns)
{
	struct { long sec, nsec; } t = { 0, ns };

	st_syscall2(__NR_nanosleep, &t, 0);
}

static void handler(int sig, siginfo_t *info, void *context)
{
	int tid = (int)st_syscall0(__NR_gettid);
	int gen = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
	struct parked *me = NULL;

	(void)sig;
	(void)info;
	if (!(gen & 1))
		return;		/* came too late: the round it belonged to was given up */
	for (int i = 0; i < __atomic_load_n(&count, __ATOMIC_ACQUIRE); i++)
		if (parked[i].tid == tid)
			me = &parked[i];
	if (!me)
		return;
	me->tp = st_thread_pointer();
	me->uc = context;
	__atomic_store_n(&me->acked, gen, __ATOMIC_RELEASE);
	while (__atomic_load_n(&generation, __ATOMIC_ACQUIRE) == gen)
		st_syscall4(__NR_futex, &generation, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, gen, 0);
#if !defined(__x86_64__)
	/* What was written while we slept must not have been fetched before (x86: sigreturn's iret serialises). */
	__asm__ volatile("isb" ::: "memory");
#endif
}

static int init(void)
{
	struct sigaction sa, old;

	if (signal_number)
		return 0;
	for (int sig = SIGRTMAX - 3; sig > SIGRTMIN; sig--) {
		if (sigaction(sig, NULL, &old) || old.sa_handler != SIG_DFL || (old.sa_flags & SA_SIGINFO))
			continue;
		memset(&sa, 0, sizeof(sa));
		sa.sa_sigaction = handler;
		sa.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
		sigfillset(&sa.sa_mask);
		sigdelset(&sa.sa_mask, SIGTRAP);	/* a breakpoint under it would end the process */
		if (sigaction(sig, &sa, NULL))
			return -errno;
		signal_number = sig;
		return 0;
	}
	return -EBUSY;
}

static long read_file(const char *path, char *buf, size_t size)
{
	long fd = st_syscall4(__NR_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	long got, n = 0;

	if (fd < 0)
		return fd;
	while ((size_t)n < size - 1 && (got = st_syscall3(__NR_read, fd, buf + n, size - 1 - (size_t)n)) > 0)
		n += got;
	st_syscall1(__NR_close, fd);
	buf[n] = 0;
	return n;
}

struct dirent64_ {
	uint64_t ino;
	int64_t off;
	unsigned short len;
	unsigned char type;
	char name[];
};

static int number(const char *s)
{
	int n = 0;

	while (*s >= '0' && *s <= '9')
		n = n * 10 + (*s++ - '0');
	return n;
}

/* Calls fn for each thread but the caller; stops when it returns non-zero, and returns that. */
static int each_thread(int (*fn)(int tid, void *arg), void *arg)
{
	static char dents[8192];
	int self = (int)st_syscall0(__NR_gettid);
	long fd = st_syscall4(__NR_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	int ret = 0;
	long n;

	if (fd < 0)
		return (int)fd;
	while (!ret && (n = st_syscall3(__NR_getdents64, fd, dents, sizeof(dents))) > 0) {
		for (char *p = dents; !ret && p < dents + n; p += ((struct dirent64_ *)p)->len) {
			int tid = number(((struct dirent64_ *)p)->name);

			if (tid && tid != self)
				ret = fn(tid, arg);
		}
	}
	st_syscall1(__NR_close, fd);
	return ret;
}

static int blocks(int tid, void *arg)
{
	static char status[4096];
	char path[64] = "/proc/self/task/", digits[12];
	int sig = *(int *)arg;
	unsigned long long mask = 0;
	char *p;
	int i = 0;

	for (int t = tid; t; t /= 10)
		digits[i++] = (char)('0' + t % 10);
	p = path + strlen(path);
	while (i)
		*p++ = digits[--i];
	memcpy(p, "/status", 8);
	if (read_file(path, status, sizeof(status)) <= 0)
		return 0;	/* it has ended */
	p = strstr(status, "SigBlk:\t");
	if (!p)
		return 0;
	for (p += 8; (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f'); p++)
		mask = mask << 4 | (unsigned long long)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
	return mask >> (sig - 1) & 1;
}


/*
 * Under qemu-user /proc/self/task also lists a thread of QEMU's own, which runs none of the program and blocks all signals. It is
 * the first that QEMU starts, also after a fork, and the kernel lists threads in that order. That a thread blocks the signal says
 * little: those of the program do, too, for as long as QEMU starts them or works on some of their system calls. An ARM process
 * that sees the cpuinfo of an x86 machine is there.
 */
static int qemus_thread;	/* 0: there is none */

#if !defined(__x86_64__)
static int first_but_main(int tid, void *arg)
{
	return tid == *(int *)arg ? 0 : tid;
}

static void find_qemus_thread(void)
{
	static int emulated = -1;
	int pid = (int)st_syscall0(__NR_getpid), sig = SIGTRAP, tid;

	if (emulated < 0)
		emulated = read_file("/proc/cpuinfo", buffer, 4096) > 0 && strstr(buffer, "vendor_id");
	tid = emulated ? each_thread(first_but_main, &pid) : 0;
	qemus_thread = tid > 0 && blocks(tid, &sig) > 0 ? tid : 0;
}
#else
static void find_qemus_thread(void)
{
}
#endif

bool st_blocked_somewhere(int sig)
{
	uint64_t own = 0;

	st_syscall4(__NR_rt_sigprocmask, SIG_BLOCK, NULL, &own, sizeof(own));
	find_qemus_thread();
	/* Under qemu-user the kernel's masks are QEMU's, and tell nothing of the program. */
	return own >> (sig - 1) & 1 || (!qemus_thread && each_thread(blocks, &sig) > 0);
}

static int signal_one(int tid, void *arg)
{
	int *news = arg;

	if (tid == qemus_thread)
		return 0;
	for (int i = 0; i < count; i++)
		if (parked[i].tid == tid)
			return 0;
	if (count == PARK_MAX)
		return -EBUSY;
	parked[count].tid = tid;
	parked[count].acked = 0;
	__atomic_store_n(&count, count + 1, __ATOMIC_RELEASE);
	if (st_syscall3(__NR_tgkill, st_syscall0(__NR_getpid), tid, signal_number))
		__atomic_store_n(&parked[count - 1].acked, -1, __ATOMIC_RELEASE);
	++*news;
	return 0;
}

static bool ended(int tid)
{
	return st_syscall3(__NR_tgkill, st_syscall0(__NR_getpid), tid, 0) == -ESRCH;
}

/*
 * Whoever stops the others must not run a hook or a handler of the program meanwhile: it may want a lock that a stopped
 * thread holds. A call to a hooked function counts as one from a hook.
 */
static void keep_to_ourselves(bool on)
{
	static uint64_t mask;
	static unsigned long busy;
	struct st_slot *t = st_thread_self();
	uint64_t all = ~(1ull << (SIGTRAP - 1));	/* what we call of libc may hold a breakpoint */

	if (on) {
		st_syscall4(__NR_rt_sigprocmask, SIG_BLOCK, &all, &mask, sizeof(mask));
		if (t) {
			busy = t->busy;
			t->busy = busy ?: ~(unsigned long)15;
		}
	} else {
		if (t)
			t->busy = busy;
		st_syscall4(__NR_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	}
}

int st_park(void)
{
	int news, ret = init();

	if (ret)
		return ret;
	keep_to_ourselves(true);
	find_qemus_thread();
	__atomic_store_n(&count, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&generation, generation + 1, __ATOMIC_RELEASE);
	do {
		struct timespec end, now;

		news = 0;
		ret = each_thread(signal_one, &news);
		clock_gettime(CLOCK_MONOTONIC, &end);
		for (int i = 0; !ret && i < count; i++) {
			while (!__atomic_load_n(&parked[i].acked, __ATOMIC_ACQUIRE)) {
				if (ended(parked[i].tid)) {
					parked[i].acked = -1;
					break;
				}
				clock_gettime(CLOCK_MONOTONIC, &now);
				if ((now.tv_sec - end.tv_sec) * 1000 + (now.tv_nsec - end.tv_nsec) / 1000000 > PARK_MS) {
					ret = -EBUSY;
					break;
				}
				nap(20000);
			}
		}
	} while (!ret && news);
	if (ret)
		st_unpark();
	return ret;
}

void st_unpark(void)
{
	__atomic_store_n(&generation, generation + 1, __ATOMIC_RELEASE);
	st_syscall3(__NR_futex, &generation, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX);
	keep_to_ourselves(false);
}

static unsigned long *context_pc(ucontext_t *uc)
{
#if defined(__x86_64__)
	return (unsigned long *)&uc->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	return (unsigned long *)&uc->uc_mcontext.pc;
#else
	return (unsigned long *)&uc->uc_mcontext.arm_pc;
#endif
}

static unsigned long context_sp(ucontext_t *uc)
{
#if defined(__x86_64__)
	return (unsigned long)uc->uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
	return uc->uc_mcontext.sp;
#else
	return uc->uc_mcontext.arm_sp;
#endif
}

/* The edit with addr < pc < addr + length of the old instructions, or NULL. */
static const struct st_change *inside(const struct st_change *edit, size_t n, unsigned long pc)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (edit[mid].addr < pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* edit[lo - 1] is the last that begins below pc; instructions that begin in the changed bytes are inside */
	if (!lo || edit[lo - 1].insns < 2 || pc - edit[lo - 1].addr >= edit[lo - 1].len)
		return NULL;
	return &edit[lo - 1];
}

static unsigned long hex(const char **p)
{
	unsigned long v = 0;

	for (; (**p >= '0' && **p <= '9') || (**p >= 'a' && **p <= 'f'); ++*p)
		v = v << 4 | (unsigned long)(**p <= '9' ? **p - '0' : **p - 'a' + 10);
	return v;
}

/* Which stacks end with this mapping? */
static void end_of_stacks(unsigned long start, unsigned long end, unsigned long *pair)
{
	(void)pair;
	for (int i = 0; i < count; i++) {
		struct parked *p = &parked[i];

		if (p->sp >= start && p->sp < end)
			p->end = end - p->sp > SCAN_MAX ? p->sp + SCAN_MAX : end;
	}
}

static void holds_both(unsigned long start, unsigned long end, unsigned long *pair)
{
	if (pair[0] >= start && pair[0] < end && pair[1] >= start && pair[1] < end)
		pair[2] = 1;
}

typedef void (*mapping_fn)(unsigned long start, unsigned long end, unsigned long *pair);

static void one_line(const char *line, mapping_fn fn, unsigned long *pair)
{
	unsigned long start = hex(&line);

	line++;
	fn(start, hex(&line), pair);
}

/* Each line of /proc/self/maps, which may be longer than any buffer of ours. */
static void each_mapping(mapping_fn fn, unsigned long *pair)
{
	long fd = st_syscall4(__NR_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
	bool at_start = true;
	size_t len = 0;
	long got;

	if (fd < 0)
		return;
	while ((got = st_syscall3(__NR_read, fd, buffer + len, sizeof(buffer) - 1 - len)) > 0) {
		char *line = buffer, *stop;

		len += (size_t)got;
		buffer[len] = 0;
		while ((stop = strchr(line, '\n'))) {
			if (at_start)
				one_line(line, fn, pair);
			at_start = true;
			line = stop + 1;
		}
		len = (size_t)(buffer + len - line);
		/* A line that fills it all: its addresses have been read, the rest is a name. */
		if (len == sizeof(buffer) - 1) {
			if (at_start)
				one_line(buffer, fn, pair);
			at_start = false;
			len = 0;
		}
		memmove(buffer, line, len);
	}
	st_syscall1(__NR_close, fd);
}

/*
 * A thread on its alternate signal stack was on another one before, and that may hold frames of signals too. Where it was
 * is in the context that the kernel has put onto the alternate stack, which is told by its uc_stack.
 */
static void find_stacks(struct parked *p)
{
	const stack_t *ss = &p->uc->uc_stack;
	unsigned long bottom = (unsigned long)ss->ss_sp;

	p->sp = context_sp(p->uc) & ~(sizeof(long) - 1);
	p->end = p->alternate_sp = p->alternate_end = 0;
	if (p->sp - bottom >= ss->ss_size)
		return;
	p->alternate_sp = p->sp;
	p->alternate_end = bottom + ss->ss_size;
	for (unsigned long at = p->alternate_sp; at + sizeof(ucontext_t) <= p->alternate_end; at += sizeof(long)) {
		ucontext_t *uc = (ucontext_t *)at;

		if (uc->uc_stack.ss_sp == ss->ss_sp && uc->uc_stack.ss_size == ss->ss_size &&
		    context_sp(uc) - bottom >= ss->ss_size)
			p->sp = context_sp(uc) & ~(sizeof(long) - 1);
	}
}

/*
 * A thread may have met a breakpoint on the last instruction that begins in the changed bytes, and not have come to the end of
 * the handler yet. It will go on at that instruction (breakpoint.c), and on x86-64 what the signal frame has is behind the breakpoint:
 * where the changed bytes end, if that instruction begins with the last of them.
 */
static bool trapped(const struct st_change *edit, size_t n, unsigned long pc)
{
#if defined(__x86_64__)
	const struct st_change *e = inside(edit, n, pc - 1);

	for (int k = 1; e && k < e->insns; k++)
		if (pc - 1 == e->addr + e->offs[k])
			return true;
#else
	(void)edit;
	(void)n;
	(void)pc;
#endif
	return false;
}

/* Does a word of a stack point between two instructions that the edits replace? */
static bool holds(unsigned long sp, unsigned long end, const struct st_change *edit, size_t n)
{
	unsigned long lowest = edit[0].addr, highest = edit[n - 1].addr + edit[n - 1].len;

	for (; sp < end; sp += sizeof(long)) {
		unsigned long w = *(unsigned long *)sp;

		if (w > lowest && w <= highest && (inside(edit, n, w) || trapped(edit, n, w)))
			return true;
	}
	return false;
}

bool st_park_handles(const struct sigaction *sa)
{
	return (sa->sa_flags & SA_SIGINFO) && sa->sa_sigaction == handler;
}

int st_park_find(unsigned long tp, unsigned long *sp, bool *alternate)
{
	for (int i = 0; i < count; i++) {
		const stack_t *ss;

		if (parked[i].acked != generation || parked[i].tp != tp)
			continue;
		ss = &parked[i].uc->uc_stack;
		*sp = context_sp(parked[i].uc);
		*alternate = *sp - (unsigned long)ss->ss_sp < ss->ss_size;
		return parked[i].tid;
	}
	return 0;
}

bool st_park_same_mapping(unsigned long a, unsigned long b)
{
	unsigned long pair[3] = { a, b, 0 };

	each_mapping(holds_both, pair);
	return pair[2];
}

bool st_park_clear(const struct st_change *edit, size_t n)
{
	bool any = false;

	for (size_t i = 0; i < n; i++)
		any |= edit[i].insns > 1;
	if (!any)
		return true;
	for (int i = 0; i < count; i++) {
		parked[i].sp = parked[i].end = 0;
		if (parked[i].acked == generation)
			find_stacks(&parked[i]);
	}
	each_mapping(end_of_stacks, NULL);
	for (int i = 0; i < count; i++) {
		const struct parked *p = &parked[i];

		if (p->acked != generation)
			continue;
		/* A stack that is in no mapping is one we know nothing of. */
		if (!p->end || holds(p->sp, p->end, edit, n) || holds(p->alternate_sp, p->alternate_end, edit, n))
			return false;
	}
	for (int i = 0; i < count; i++) {
		const struct st_change *e;
		unsigned long *pc;

		if (parked[i].acked != generation)
			continue;
		pc = context_pc(parked[i].uc);
		e = inside(edit, n, *pc);
		if (!e)
			continue;
		for (int k = 1; k < e->insns; k++)
			if (*pc == e->addr + e->offs[k])
				*pc = e->to[k] & ~(unsigned long)(sizeof(long) == 4);
	}
	return true;
}
