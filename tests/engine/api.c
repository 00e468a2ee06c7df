/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What include/sidetrack/hook.h promises, call by call: filters, errors with their reasons, order, reentrancy, signal
 * handlers and longjmp, unregistering while threads sleep in a hook, end in it or fork in it, blocked signals, SIGTRAP.
 *
 *	api [PART]
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <sidetrack/hook.h>
#include <engine/hook.h>
#include "check.h"

#if defined(__x86_64__)
#define AREA patchable_function_entry(5)
#elif defined(__thumb__)
#define AREA patchable_function_entry(6, 5)
#else
#define AREA patchable_function_entry(1)
#endif

typedef void (*hook_fn)(struct st_hook *, struct st_regs *, unsigned long, unsigned long);
#define HOOK(name) static void name(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent)
#define UNUSED ((void)hook, (void)regs, (void)ip, (void)parent)

/* ---- functions to hook ---- */

__attribute__((noipa, AREA)) long fn_nops(long a, long b)
{
	return a * 3 + b;
}

__attribute__((noipa)) long fn_moved(long a, long b)
{
	return a * 5 - b;
}

__attribute__((noipa)) static long fn_local(long a)
{
	return a + 7;
}

__attribute__((noipa, AREA)) long fn_other(long a, long b)
{
	return a - b * 2;
}

__attribute__((noipa)) long fn_twin(long a, long b)
{
	return a * 1000 + b;
}

/* Calls it further down the stack. */
__attribute__((noipa)) static long deeper(long (*fn)(long, long), long a, long b, size_t by)
{
	volatile char room[by];
	long value;

	memset((char *)room, 1, by);
	value = fn(a, b);
	return value + room[0] - 1;
}

/*
 * On T32 data may look like a branch into any function (st_arch_sweep), which then takes a breakpoint: that is not what is tested here.
 */
static struct st_hook hook_of(hook_fn fn, unsigned int flags)
{
#if defined(__thumb__)
	flags |= ST_HOOK_BREAKPOINT;
#endif
	return (struct st_hook){ .size = sizeof(struct st_hook), .func = fn, .flags = flags };
}

static bool on(struct st_hook *h, const void *fn)
{
	int ret = st_hook_filter_ip(h, fn);

	if (!ret)
		ret = st_hook_register(h);
	return check(ret == 1, "register: %d: %s", ret, st_hook_reason(h));
}

static void off(struct st_hook *h)
{
	int ret = st_hook_unregister(h);

	check(!ret, "unregister: %d: %s", ret, st_hook_reason(h));
}

static unsigned long hits;

HOOK(count_hit)
{
	UNUSED;
	__atomic_fetch_add(&hits, 1, __ATOMIC_RELAXED);
}

/* ---- filters and errors ---- */

static void filters(void)
{
	struct st_hook h = hook_of(count_hit, 0);
	char name[256];
	int local = 0;

	check(st_hook_filter(&h, "no_such_function_*") == -ENOENT && *st_hook_reason(&h), "ENOENT");
	check(st_hook_filter(&h, "no_such_object:*") == -ENOENT && *st_hook_reason(&h), "ENOENT");
	check(st_hook_filter_ip(&h, &local) == -EINVAL && *st_hook_reason(&h), "EINVAL for a variable");
	check(st_hook_filter_ip(&h, NULL) == -EINVAL, "EINVAL for NULL");
	check(st_hook_register(&h) == -ENOENT && *st_hook_reason(&h), "ENOENT with no function");
	check(st_hook_unregister(&h) == -EINVAL, "EINVAL when not registered");

	snprintf(name, sizeof(name), "%s:fn_[mn]o*", program_invocation_short_name);
	check(st_hook_filter(&h, name) == 2, "two functions by %s: %s", name, st_hook_reason(&h));
	check(st_hook_filter(&h, "fn_local") == 1, "a static function: %s", st_hook_reason(&h));
	check(st_hook_filter_ip(&h, fn_moved) == 0, "one that is there already");
	check(st_hook_register(&h) == 3, "three sites: %s", st_hook_reason(&h));
	check(!*st_hook_reason(&h), "no reason when nothing failed");
	check(st_hook_register(&h) == -EBUSY && *st_hook_reason(&h), "EBUSY when registered");
	check(st_hook_filter(&h, "fn_other") == -EBUSY && st_hook_filter_ip(&h, fn_other) == -EBUSY, "EBUSY for filters");
	hits = 0;
	check(fn_nops(3, 4) == 13 && fn_moved(3, 4) == 11 && fn_local(1) == 8 && fn_other(1, 1) == -1, "values");
	check(hits == 3, "%lu hits", hits);
	off(&h);
	check(fn_nops(3, 4) == 13 && fn_moved(3, 4) == 11 && hits == 3, "after unregistering");
	check(st_hook_unregister(&h) == -EINVAL, "EINVAL the second time");

	h = hook_of(count_hit, 0);
	h.size = 8;
	st_hook_filter_ip(&h, fn_nops);
	check(st_hook_register(&h) == -EINVAL, "EINVAL for the size");
}

/* ---- what a callback is told ---- */

static struct {
	unsigned long ip, parent, pc, a, b;
} told;

HOOK(take_notes)
{
	(void)hook;
	told.ip = ip;
	told.parent = parent;
	told.pc = st_regs_pc(regs);
	told.a = st_regs_argument(regs, 0);
	told.b = st_regs_argument(regs, 1);
}

static void notes(void)
{
	static const void *const fns[] = { (void *)fn_nops, (void *)fn_moved };

	for (unsigned int i = 0; i < 2; i++) {
		struct st_hook h = hook_of(take_notes, i ? 0 : ST_HOOK_GENERAL_REGS);
		unsigned long at = (unsigned long)fns[i] & ~(unsigned long)(sizeof(long) == 4);
		long (*fn)(long, long) = (void *)fns[i];

		if (!on(&h, fns[i]))
			continue;
		fn(41, -42);
		check(told.pc == at, "pc %#lx of %#lx", told.pc, at);
		check(told.ip >= at && told.ip <= at + 4, "ip %#lx of %#lx", told.ip, at);
		check(told.parent - (unsigned long)notes < 4096, "parent_ip %#lx", told.parent);
		check(told.a == 41 && told.b == (unsigned long)-42, "arguments %lu %lu", told.a, told.b);
		off(&h);
	}
}

/* ---- several hooks, in order ---- */

static char trace[64];

HOOK(leave_mark)
{
	UNUSED;
	strncat(trace, hook->data, sizeof(trace) - strlen(trace) - 1);
}

static void order(void)
{
	struct st_hook h[4];

	for (int i = 0; i < 4; i++) {
		h[i] = hook_of(leave_mark, i & 1 ? ST_HOOK_GENERAL_REGS : 0);
		h[i].data = &"a\0b\0c\0d"[2 * i];
		on(&h[i], fn_nops);
	}
	*trace = 0;
	check(fn_nops(1, 2) == 5 && !strcmp(trace, "abcd"), "order: %s", trace);
	off(&h[1]);
	*trace = 0;
	check(fn_nops(1, 2) == 5 && !strcmp(trace, "acd"), "order: %s", trace);
	off(&h[0]);
	off(&h[3]);
	*trace = 0;
	check(fn_nops(1, 2) == 5 && !strcmp(trace, "c"), "order: %s", trace);
	off(&h[2]);
	*trace = 0;
	check(fn_nops(1, 2) == 5 && !*trace, "order: %s", trace);
}

/* ---- one that changes pc, and only one ---- */

HOOK(redirect)
{
	UNUSED;
	st_regs_set_pc(regs, (unsigned long)fn_twin);
}

static void ipmodify(void)
{
	struct st_hook one = hook_of(redirect, ST_HOOK_IPMODIFY), two = hook_of(redirect, ST_HOOK_IPMODIFY);
	struct st_hook plain = hook_of(count_hit, 0);
	int ret;

	on(&one, fn_moved);
	check(fn_moved(3, 4) == 3004, "redirected");
	st_hook_filter_ip(&two, fn_nops);
	st_hook_filter_ip(&two, fn_moved);
	ret = st_hook_register(&two);
	check(ret == -EBUSY && *st_hook_reason(&two), "a second: %d %s", ret, st_hook_reason(&two));
	check(fn_nops(3, 4) == 13, "all or nothing");
	on(&plain, fn_moved);
	hits = 0;
	check(fn_moved(3, 4) == 3004 && hits == 1, "redirected and counted");
	off(&one);
	check(fn_moved(3, 4) == 11 && hits == 2, "not redirected");
	check(st_hook_register(&two) == 2, "now: %s", st_hook_reason(&two));
	check(fn_moved(3, 4) == 3004 && fn_nops(3, 4) == 3004, "redirected");
	off(&two);
	off(&plain);
	check(fn_moved(3, 4) == 11 && fn_nops(3, 4) == 13, "not redirected");
}

/* ---- a hook that runs into a hooked function ---- */

static long inner_value;

HOOK(call_hooked)
{
	UNUSED;
	hits++;
	if (hits < 3)
		inner_value = fn_nops(10, 1) + fn_moved(2, 1);
}

static void reentry(void)
{
	struct st_hook h = hook_of(call_hooked, 0), again = hook_of(call_hooked, ST_HOOK_RECURSE);

	st_hook_filter_ip(&h, fn_nops);
	st_hook_filter_ip(&h, fn_moved);
	check(st_hook_register(&h) == 2, "%s", st_hook_reason(&h));
	hits = 0;
	check(fn_nops(1, 1) == 4 && inner_value == 40, "values");
	check(hits == 1 && h.missed == 2, "%lu hits, %lu missed", hits, h.missed);
	check(fn_nops(1, 1) == 4 && hits == 2 && h.missed == 4, "%lu hits, %lu missed", hits, h.missed);
	off(&h);

	st_hook_filter_ip(&again, fn_nops);
	st_hook_filter_ip(&again, fn_moved);
	check(st_hook_register(&again) == 2, "%s", st_hook_reason(&again));
	hits = 0;
	check(fn_nops(1, 1) == 4 && inner_value == 40, "values");
	check(hits == 5 && !again.missed, "recursing: %lu hits, %lu missed", hits, again.missed);
	off(&again);
}

/* ---- a signal handler on top of a hook ---- */

static unsigned long handler_hits, plain_hits;

HOOK(raise_inside)
{
	UNUSED;
	if (st_regs_pc(regs) == ((unsigned long)fn_nops & ~(unsigned long)(sizeof(long) == 4))) {
		plain_hits++;
		raise(SIGUSR1);
	} else {
		handler_hits++;
	}
}

static long handler_value;

static void call_other(int sig)
{
	(void)sig;
	handler_value = fn_other(10, 2);
}

static void signal_round(const char *how, int flags)
{
	struct sigaction sa = { .sa_handler = call_other, .sa_flags = flags };
	struct st_hook h = hook_of(raise_inside, 0);

	st_hook_filter_ip(&h, fn_nops);
	st_hook_filter_ip(&h, fn_other);
	check(st_hook_register(&h) == 2, "%s", st_hook_reason(&h));
	sigaction(SIGUSR1, &sa, NULL);
	handler_hits = plain_hits = 0;
	handler_value = 0;
	for (int i = 0; i < 100; i++)
		check(fn_nops(i, 1) == i * 3 + 1 && handler_value == 6, "%s: values", how);
	check(plain_hits == 100 && handler_hits == 100 && !h.missed, "%s: %lu and %lu hits, %lu missed", how,
	      plain_hits, handler_hits, h.missed);
	off(&h);
	signal(SIGUSR1, SIG_DFL);
}

/* A small stack right above its guard page, the alternate stack right below that. */
static void *on_small_stack(void *alt)
{
	stack_t ss = { .ss_sp = alt, .ss_size = 32768 };

	sigaltstack(&ss, NULL);
	signal_round("alternate stack behind a guard page", SA_ONSTACK);
	signal_round("small stack", 0);
	ss.ss_flags = SS_DISABLE;
	sigaltstack(&ss, NULL);
	return NULL;
}

static void signals(void)
{
	stack_t ss = { .ss_size = 65536 }, none = { .ss_flags = SS_DISABLE };
	size_t guard = 65536, size = 98304, low = 32768;
	pthread_attr_t attr;
	char *area;
	pthread_t t;

	signal_round("same stack", 0);
	ss.ss_sp = malloc(ss.ss_size);
	sigaltstack(&ss, NULL);
	signal_round("alternate stack", SA_ONSTACK);
	sigaltstack(&none, NULL);
	free(ss.ss_sp);

	/* alternate stack, guard, stack: and the other way round */
	for (int above = 0; above < 2; above++) {
		area = mmap(NULL, low + guard + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		mprotect(area + (above ? size : low), guard, PROT_NONE);
		pthread_attr_init(&attr);
		pthread_attr_setstack(&attr, above ? area : area + low + guard, size);
		check(!pthread_create(&t, &attr, on_small_stack, above ? area + size + guard : area), "pthread_create");
		pthread_join(t, NULL);
		munmap(area, low + guard + size);
	}
}

/* ---- longjmp out of a hook ---- */

static jmp_buf back;
static bool jump;

HOOK(jump_out)
{
	UNUSED;
	hits++;
	if (jump)
		longjmp(back, 1);
}

__attribute__((noipa)) static int jump_from(size_t depth)
{
	if (setjmp(back))
		return 1;
	jump = true;
	deeper(fn_nops, 1, 2, depth);
	return 0;
}

static int unregister_deeper(struct st_hook *h, size_t by)
{
	volatile char room[by];
	int ret;

	memset((char *)room, 0, by);
	ret = st_hook_unregister(h);
	return ret + room[0];
}

static void jumps(void)
{
	for (unsigned int general = 0; general < 2; general++) {
		struct st_hook h = hook_of(jump_out, general ? ST_HOOK_GENERAL_REGS : 0);

		/* later hits: from the same depth, from further up, from further down */
		static const size_t depth[][2] = { { 64, 64 }, { 4096, 64 }, { 64, 4096 }, { 64, 65536 } };

		for (unsigned int i = 0; i < 4; i++) {
			if (!on(&h, fn_nops))
				return;
			hits = 0;
			check(jump_from(depth[i][0]) == 1 && hits == 1, "longjmp");
			jump = false;
			check(deeper(fn_nops, 1, 2, depth[i][1]) == 5, "value after longjmp");
			check(deeper(fn_nops, 1, 2, depth[i][1]) == 5, "value after longjmp");
			check(hits == 3 && !h.missed, "after longjmp at %zu, calls at %zu: %lu hits, %lu missed", depth[i][0],
			      depth[i][1], hits, h.missed);
			h.missed = 0;
			off(&h);
		}
		/* and none, but unregistering */
		for (unsigned int i = 0; i < 4; i++) {
			int ret;

			if (!on(&h, fn_nops))
				return;
			jump_from(depth[i][0]);
			jump = false;
			ret = unregister_deeper(&h, depth[i][1]);
			if (!check(!ret, "unregister after longjmp at %zu, from %zu: %d %s", depth[i][0], depth[i][1], ret,
				   st_hook_reason(&h))) {
				fn_nops(1, 2);
				off(&h);
			}
		}
	}
}

/* Another thread left its hook by longjmp and sleeps: nobody waits for it. */
static int stage;

static void *jump_and_sleep(void *arg)
{
	(void)arg;
	jump_from(64);
	__atomic_store_n(&stage, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&stage, __ATOMIC_ACQUIRE) == 1)
		usleep(1000);
	return NULL;
}

static void jumps_elsewhere(void)
{
	struct st_hook h = hook_of(jump_out, 0);
	double start;
	pthread_t t;

	stage = 0;
	on(&h, fn_nops);
	pthread_create(&t, NULL, jump_and_sleep, NULL);
	while (!__atomic_load_n(&stage, __ATOMIC_ACQUIRE))
		usleep(1000);
	jump = false;
	start = check_now();
	off(&h);
	check(check_now() - start < 10, "unregistering took %.1f s", check_now() - start);
	__atomic_store_n(&stage, 2, __ATOMIC_RELEASE);
	pthread_join(t, NULL);
}

/* ---- unregistering while a thread sleeps in the callback ---- */

static bool asleep, awake;

HOOK(sleep_in)
{
	struct timespec t = { 0, 300000000 };

	UNUSED;
	__atomic_store_n(&asleep, true, __ATOMIC_RELEASE);
	while (nanosleep(&t, &t) && errno == EINTR)
		;
	__atomic_store_n(&awake, true, __ATOMIC_RELEASE);
}

static void *call_nops(void *arg)
{
	(void)arg;
	return (void *)fn_nops(1, 2);
}

static void waits(void)
{
	for (int i = 0; i < 3; i++) {
		struct st_hook h = hook_of(sleep_in, 0);
		pthread_t t;
		void *value;

		asleep = awake = false;
		on(&h, fn_nops);
		/* The second and third thread get the first one's stack and thread pointer. */
		pthread_create(&t, NULL, call_nops, NULL);
		while (!__atomic_load_n(&asleep, __ATOMIC_ACQUIRE))
			usleep(1000);
		off(&h);
		check(awake, "unregistering did not wait for a sleeping callback");
		memset(&h, 0xdb, sizeof(h));
		pthread_join(t, &value);
		check((long)value == 5, "value");
	}
}

static int from_hook;

HOOK(unregister_inside)
{
	UNUSED;
	from_hook = st_hook_unregister(hook);
}

static void deadlock(void)
{
	struct st_hook h = hook_of(unregister_inside, 0);

	on(&h, fn_nops);
	check(fn_nops(1, 2) == 5 && from_hook == -EDEADLK, "from a hook: %d", from_hook);
	off(&h);
}

/* ---- refused functions ---- */

#if defined(__x86_64__)
__asm__(".text\n\t.type too_short, @function\n"
	"too_short: ret\n\t.size too_short, 1\n"
	".type next_to_it, @function\n"
	"next_to_it: mov %edi, %eax\n\tret\n\t.size next_to_it, . - next_to_it\n"
	".type loop_at_start, @function\n"
	"loop_at_start: lea 1(%rax), %rax\n\tdec %edi\n\tjnz loop_at_start\n\tret\n\t.size loop_at_start, . - loop_at_start\n");
extern void too_short(void), loop_at_start(void);
#endif

static void refused(void)
{
	struct st_hook h = hook_of(count_hit, ST_HOOK_GENERAL_REGS);
	unsigned long func = 0;
	const char *why = "";
	int found, sites;

#if defined(__x86_64__)
	struct st_hook tiny = hook_of(count_hit, 0), both = hook_of(count_hit, 0);

	check(!st_hook_filter_ip(&tiny, too_short), "%s", st_hook_reason(&tiny));
	check(st_hook_register(&tiny) == -ENOTSUP && *st_hook_reason(&tiny), "a function of one byte");
	printf("refused: %s\n", st_hook_reason(&tiny));
	check(st_hook_filter(&both, "loop_at_start") == 1, "%s", st_hook_reason(&both));
	check(st_hook_register(&both) == -ENOENT && *st_hook_reason(&both), "none of them");
	printf("refused: %s\n", st_hook_reason(&both));
	st_hook_filter_ip(&both, fn_nops);
	check(st_hook_register(&both) == 1, "the other one: %s", st_hook_reason(&both));
	check(st_hook_refused(&both, 0, &func, &why) == 1 && func == (unsigned long)loop_at_start && *why, "its reason");
	off(&both);
#endif
	found = st_hook_filter(&h, "libc.so.6:*");
	check(found > 500, "functions of libc: %d: %s", found, st_hook_reason(&h));
	sites = st_hook_register(&h);
	check(sites > found * 9 / 10, "%d of %d: %s", sites, found, st_hook_reason(&h));
	check(sites < 0 || sites + st_hook_refused(&h, 0, NULL, NULL) == found, "%d and %d of %d", sites,
	      st_hook_refused(&h, 0, NULL, NULL), found);
	for (unsigned int i = 0; i < (unsigned int)st_hook_refused(&h, 0, NULL, NULL); i++) {
		why = NULL;
		func = 0;
		st_hook_refused(&h, i, &func, &why);
		check(why && *why && func, "refused %#lx without a reason", func);
	}
	hits = 0;
	deeper((long (*)(long, long))(void *)random, 0, 0, 16);
	check(hits > 0, "no hits in libc");
	off(&h);
}

/* ---- a thread that ends in a hook ---- */

HOOK(end_thread)
{
	UNUSED;
	if (hook->data)
		syscall(SYS_exit, 0);
	pthread_exit(NULL);
}

static void *call_and_end(void *arg)
{
	(void)arg;
	fn_nops(1, 2);
	check(false, "came back");
	return NULL;
}

static void *call_often(void *arg)
{
	long n = 0;

	(void)arg;
	for (int i = 0; i < 100; i++)
		n += fn_nops(i, 1) == i * 3 + 1;
	return (void *)n;
}

static void thread_ends(void)
{
	for (int how = 0; how < 2; how++) {
		struct st_hook h = hook_of(end_thread, 0), after = hook_of(count_hit, 0);
		void *value;
		pthread_t t;

		h.data = how ? &h : NULL;
		on(&h, fn_nops);
		for (int i = 0; i < 3; i++) {
			pthread_create(&t, NULL, call_and_end, NULL);
			pthread_join(t, NULL);
		}
		off(&h);
		/* Threads that get its stack and thread pointer are in no hook. */
		on(&after, fn_nops);
		hits = 0;
		for (int i = 0; i < 3; i++) {
			pthread_create(&t, NULL, call_often, NULL);
			pthread_join(t, &value);
			check((long)value == 100, "value");
		}
		check(hits == 300 && !after.missed, "%lu hits, %lu missed", hits, after.missed);
		off(&after);
	}
}

/* ---- fork in a hook ---- */

static pid_t forked;

HOOK(fork_inside)
{
	UNUSED;
	forked = fork();
}

static void forks(void)
{
	struct st_hook h = hook_of(fork_inside, 0), inner = hook_of(count_hit, 0);
	int status = -1;
	long value;

	on(&h, fn_nops);
	value = fn_nops(1, 2);
	if (!forked) {
		alarm(20);
		hits = 0;
		if (value != 5)
			_exit(1);
		if (st_hook_filter_ip(&inner, fn_moved) || st_hook_register(&inner) != 1)
			_exit(2);
		if (fn_moved(3, 4) != 11 || hits != 1)
			_exit(3);
		if (st_hook_unregister(&inner) || st_hook_unregister(&h))
			_exit(4);
		_exit(fn_nops(1, 2) == 5 && fn_moved(3, 4) == 11 && hits == 1 ? 0 : 5);
	}
	check(value == 5, "value");
	waitpid(forked, &status, 0);
	check(!status, "the child's status is %#x", status);
	off(&h);
}

/* ---- every signal blocked ---- */

static volatile bool stop_blocked;
static volatile long blocked_calls, blocked_wrong;

static void *run_blocked(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	while (!stop_blocked) {
		for (long i = 0; i < 1000; i++)
			blocked_wrong += fn_nops(i, 1) != i * 3 + 1 || fn_moved(i, 1) != i * 5 - 1;
		blocked_calls++;
		if (arg)
			usleep(100);
	}
	return NULL;
}

static void blocked(void)
{
	struct st_hook h = hook_of(count_hit, 0);
	double start = check_now();
	int ret, again = 0;
	pthread_t t;

	stop_blocked = false;
	pthread_create(&t, NULL, run_blocked, NULL);
	st_hook_filter_ip(&h, fn_moved);
	st_hook_filter_ip(&h, fn_nops);
	ret = st_hook_register(&h);
	check(ret == 2 || (ret == -EBUSY && *st_hook_reason(&h)), "with a thread that blocks all signals: %d %s", ret,
	      st_hook_reason(&h));
	printf("a thread blocks every signal: %s, %.1f s\n", ret == 2 ? "hooked" : st_hook_reason(&h), check_now() - start);
	if (ret == 2) {
		start = check_now();
		ret = st_hook_unregister(&h);
		check(!ret || ret == -EBUSY, "unregister: %d %s", ret, st_hook_reason(&h));
		again = ret;
		printf("a thread blocks every signal: %s, %.1f s\n", ret ? st_hook_reason(&h) : "unhooked", check_now() - start);
	}
	while (!blocked_calls)
		usleep(1000);
	stop_blocked = true;
	pthread_join(t, NULL);
	check(blocked_calls && !blocked_wrong, "%ld wrong values", blocked_wrong);
	if (again)
		off(&h);
}

/* ---- the program's own SIGTRAP ---- */

static volatile sig_atomic_t traps;

static void on_trap(int sig)
{
	(void)sig;
	traps++;
}

static volatile bool stop_toggling;

/* Both sides are to come to something, on a machine that is busy too: at least so many rounds, at least so long. */
#define ROUNDS 3
#define PATIENCE 40.0

static volatile long toggle_rounds;

static bool go_on(double start, double least, long rounds)
{
	double passed = check_now() - start;

	return passed < least || (passed < PATIENCE && (toggle_rounds < ROUNDS || rounds < ROUNDS));
}

/* Busy is what threads that are not run in time make it. */
static bool toggle_once(const void *one, const void *two)
{
	struct st_hook h = hook_of(count_hit, 0);
	int ret, sites = two ? 2 : 1;

	st_hook_filter_ip(&h, one);
	if (two)
		st_hook_filter_ip(&h, two);
	do
		ret = st_hook_register(&h);
	while (ret == -EBUSY && !stop_toggling);
	if (ret == -EBUSY || !check(ret == sites, "toggling: register: %d: %s", ret, st_hook_reason(&h)))
		return false;
	while ((ret = st_hook_unregister(&h)) == -EBUSY)
		;
	toggle_rounds++;
	return check(!ret, "toggling: unregister: %d: %s", ret, st_hook_reason(&h));
}

static void *toggle(void *arg)
{
	(void)arg;
	while (!stop_toggling && toggle_once(fn_nops, fn_moved))
		;
	return NULL;
}

static void trap(void)
{
#if defined(__x86_64__)
	__asm__ volatile("int3");
#else
	raise(SIGTRAP);
#endif
}

static void sigtrap(void)
{
	struct sigaction sa = { .sa_handler = on_trap };
	struct st_hook h = hook_of(count_hit, 0);
	long wrong = 0, rounds = 0;
	double start;
	pthread_t t;

	/* installed after ours, if ours is there; then ours again, around it */
	traps = 0;
	sigaction(SIGTRAP, &sa, NULL);
	trap();
	raise(SIGTRAP);
	check(traps == 2, "%d traps", (int)traps);
	on(&h, fn_nops);
	check(fn_nops(1, 2) == 5, "value");
	trap();
	raise(SIGTRAP);
	check(traps == 4, "%d traps", (int)traps);
	off(&h);
	stop_toggling = false;
	toggle_rounds = 0;
	pthread_create(&t, NULL, toggle, NULL);
	for (start = check_now(); go_on(start, 0.5, rounds); rounds++) {
		for (long i = 0; i < 100; i++)
			wrong += fn_nops(i, 1) != i * 3 + 1 || fn_moved(i, 1) != i * 5 - 1;
		trap();
		traps--;
	}
	stop_toggling = true;
	pthread_join(t, NULL);
	check(!wrong && traps == 4, "%ld wrong values, %d traps", wrong, (int)traps);
	check(toggle_rounds > 0 && rounds > 0, "toggled %ld times, %ld rounds", toggle_rounds, rounds);
	signal(SIGTRAP, SIG_DFL);
	on(&h, fn_nops);
	check(fn_nops(1, 2) == 5, "value");
	off(&h);
}

/* ---- a handler with every signal blocked runs through sites that change ---- */

#if defined(__x86_64__)
/* One NOP of five bytes: a site that may change while threads run. */
__asm__(".text\n\t.balign 16\n\t.type fn_live, @function\n"
	"fn_live: .byte 0x0f, 0x1f, 0x44, 0, 0\n\tlea 9(%rdi), %rax\n\tret\n\t.size fn_live, . - fn_live\n");
extern long fn_live(long a);
#else
__attribute__((noipa, AREA)) long fn_live(long a)
{
	return a + 9;
}
#endif

static volatile sig_atomic_t live_wrong, live_calls;

static void call_live(int sig)
{
	(void)sig;
	for (long i = 0; i < 20000; i++)
		live_wrong += fn_live(i) != i + 9;
	live_calls++;
}

static void *toggle_live(void *arg)
{
	(void)arg;
	while (!stop_toggling && toggle_once((void *)fn_live, NULL))
		;
	return NULL;
}

static void masked(void)
{
	struct sigaction sa = { .sa_handler = call_live };
	double start;
	pthread_t t;

	/* Half of the time the program has no such handler. */
	for (int how = 0; how < 2; how++) {
		if (how)
			sigfillset(&sa.sa_mask);
		sigaction(SIGUSR1, &sa, NULL);
		live_wrong = live_calls = 0;
		stop_toggling = false;
		toggle_rounds = 0;
		pthread_create(&t, NULL, toggle_live, NULL);
		for (start = check_now(); go_on(start, 0.7, live_calls);)
			raise(SIGUSR1);
		stop_toggling = true;
		pthread_join(t, NULL);
		check(live_calls && !live_wrong, "%d calls, %d wrong values", (int)live_calls, (int)live_wrong);
		check(toggle_rounds > 0, "toggled %ld times", toggle_rounds);
		printf("a handler that blocks %s: toggled %ld times\n", how ? "every signal" : "nothing else", toggle_rounds);
	}
	signal(SIGUSR1, SIG_DFL);
}

/* ---- errno ---- */

HOOK(spoil_errno)
{
	UNUSED;
	close(-1);
}

static void error_number(void)
{
	struct st_hook h = hook_of(spoil_errno, 0);

	on(&h, fn_nops);
	errno = 99;
	fn_nops(1, 2);
	check(errno == 99, "errno is %d", errno);
	off(&h);
}

/* ---- a hook on libc that takes locks, while threads hold them and sites change ---- */

HOOK(allocate)
{
	UNUSED;
	free(malloc(100));
	hits++;
}

static void *allocate_often(void *arg)
{
	(void)arg;
	while (!stop_blocked)
		free(malloc(2000));
	return NULL;
}

static void locks(void)
{
	struct st_hook h = hook_of(allocate, 0);
	pthread_t t[3];

	stop_blocked = false;
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, allocate_often, NULL);
	check(st_hook_filter(&h, "libc.so.6:clock_*") > 0 && st_hook_filter(&h, "libc.so.6:sig*") > 0 &&
	      st_hook_filter(&h, "libc.so.6:mem*") > 0 && st_hook_filter(&h, "libc.so.6:str*") > 0, "%s", st_hook_reason(&h));
	check(st_hook_register(&h) > 0, "%s", st_hook_reason(&h));
	for (int i = 0; i < 50; i++) {
		struct st_hook other = hook_of(count_hit, 0);

		on(&other, fn_moved);
		off(&other);
	}
	off(&h);
	stop_blocked = true;
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
}

static const struct {
	const char *name;
	void (*run)(void);
} parts[] = {
	{ "filters", filters },
	{ "notes", notes },
	{ "order", order },
	{ "ipmodify", ipmodify },
	{ "reentry", reentry },
	{ "signals", signals },
	{ "errno", error_number },
	{ "deadlock", deadlock },
	{ "waits", waits },
	{ "refused", refused },
	{ "thread ends", thread_ends },
	{ "forks", forks },
	{ "sigtrap", sigtrap },
	{ "masked", masked },
	{ "locks", locks },
	{ "jumps", jumps },
	{ "jumps elsewhere", jumps_elsewhere },
	{ "blocked", blocked },
};

/* Each in a process of its own, so that one that hangs or dies says which it was. */
int main(int argc, char **argv)
{
	for (unsigned int i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		unsigned long *count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		double start = check_now();
		int status = 0;
		pid_t pid;

		if (argc > 1 && *argv[1] != '-' && strcmp(argv[1], parts[i].name))
			continue;
		fflush(stdout);
		pid = fork();
		if (!pid) {
			alarm(60);
			check_passed = check_failed = 0;
			parts[i].run();
			count[0] = check_passed;
			count[1] = check_failed;
			fflush(stdout);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		check_passed += count[0];
		check_failed += count[1];
		check(!status, "%s: ended with %s %d", parts[i].name, WIFSIGNALED(status) ? "signal" : "status",
		      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		printf("%s: %lu passed, %lu failed, %.2f s\n", parts[i].name, count[0], count[1], check_now() - start);
	}
	return check_end();
}
