/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What include/sidetrack/probe.h promises, call by call: names and places, errors with their reasons, several at once or none,
 * enabling and disabling, misses, data of each call, handlers that change registers and pc, SIGTRAP, recursion, longjmp, fork, dlclose.
 *
 *	probe-api PLUGIN [PART]
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <sidetrack/hook.h>
#include <sidetrack/probe.h>
#include "check.h"

#define PLAIN(fn) ((unsigned long)(fn) & ~(unsigned long)(sizeof(long) == 4))

/* ---- functions to probe ---- */

__attribute__((noipa)) long pa_plain(long a, long b)
{
	return a * 5 - b;
}

__attribute__((noipa)) long pa_other(long a, long b)
{
	return a * 1000 + b;
}

__attribute__((noipa)) long pa_loop(long n)
{
	long sum = 0;

	for (long i = 1; i <= n; i++)
		sum += i * i ^ n;
	return sum;
}

long pa_deep(long n);
static long (*volatile call_deep)(long n) = pa_deep;	/* else compilers make a loop of it */

__attribute__((noipa)) long pa_deep(long n)
{
	return n ? n + call_deep(n - 1) : 0;
}

/* Nobody else probes it: what is a breakpoint here is one because no jump fits. */
__attribute__((noipa)) long pa_trap(long n)
{
	long sum = 3, turns = 4;

	/* A branch leads right behind the short instruction. */
#if defined(__x86_64__)
	__asm__ volatile("nop\n1:\tadd $2, %0\n\tsub $1, %1\n\tjnz 1b" : "+r"(sum), "+r"(turns));
#elif defined(__thumb__)
	__asm__ volatile("nop\n1:\tadds %0, #2\n\tsubs %1, #1\n\tbne 1b" : "+l"(sum), "+l"(turns));
#endif
	return sum * n + turns;
}

__attribute__((noipa)) double pa_double(double x)
{
	return x * 0.5 + 1.0;
}

static jmp_buf env;

__attribute__((noipa)) long pa_jumps(long n)
{
	volatile char room[64];

	room[n & 63] = 1;
	if (n & 1)
		longjmp(env, 1);
	return n + room[n & 63];
}

static void set_result(struct st_regs *regs, long value)
{
#if defined(__x86_64__)
	regs->ax = (unsigned long)value;
#elif defined(__aarch64__)
	regs->regs[0] = (unsigned long)value;
#else
	regs->r[0] = (unsigned long)value;
#endif
}

static long result(const struct st_regs *regs)
{
#if defined(__x86_64__)
	return (long)regs->ax;
#elif defined(__aarch64__)
	return (long)regs->regs[0];
#else
	return (long)regs->r[0];
#endif
}

static void set_argument(struct st_regs *regs, long value)
{
#if defined(__x86_64__)
	regs->di = (unsigned long)value;
#else
	set_result(regs, value);
#endif
}

static unsigned long hits;

static void count(struct st_probe *p, struct st_regs *regs)
{
	(void)p;
	(void)regs;
	__atomic_fetch_add(&hits, 1, __ATOMIC_RELAXED);
}

static struct st_probe probe_of(const char *symbol, st_probe_fn handler)
{
	return (struct st_probe){ .size = sizeof(struct st_probe), .symbol = symbol, .handler = handler };
}

static bool on(struct st_probe *p)
{
	int ret = st_probe_register(p);

	return check(!ret, "register: %d: %s", ret, st_probe_reason(p));
}

static void off(struct st_probe *p)
{
	int ret = st_probe_unregister(p);

	check(!ret, "unregister: %d: %s", ret, st_probe_reason(p));
}

/* ---- names, places, errors ---- */

static void refuses(struct st_probe p, int err, const char *what)
{
	int ret = st_probe_register(&p);

	check(ret == err && (*st_probe_reason(&p) || ret == -ENOMEM), "%s: %d, not %d: %s", what, ret, err, st_probe_reason(&p));
	check(!*st_probe_kind(&p), "%s: is in place", what);
	check(st_probe_unregister(&p) == -EINVAL, "%s: could be unregistered", what);
}

static void errors(void)
{
	struct st_probe p = probe_of("pa_plain", count);
	char name[256];
	int local = 0;

	refuses((struct st_probe){ .size = sizeof(p), .symbol = "pa_plain" }, -EINVAL, "no handler");
	refuses((struct st_probe){ .size = 8, .symbol = "pa_plain", .handler = count }, -EINVAL, "size");
	refuses((struct st_probe){ .size = sizeof(p), .handler = count }, -EINVAL, "neither symbol nor addr");
	refuses((struct st_probe){ .size = sizeof(p), .handler = count, .symbol = "pa_plain", .addr = &local }, -EINVAL, "both");
	refuses((struct st_probe){ .size = sizeof(p), .handler = count, .addr = &local }, -EINVAL, "a variable");
	refuses((struct st_probe){ .size = sizeof(p), .handler = count, .symbol = "pa_plain", .offset = 100000 }, -EINVAL,
		"an offset behind the end");
	refuses(probe_of("no_such_function", count), -ENOENT, "no such function");
	refuses(probe_of("no_such_object:pa_plain", count), -ENOENT, "no such object");
	refuses(probe_of("pa_*", count), -ENOENT, "a glob");
#if defined(__x86_64__) || defined(__arm__)
	p.offset = 1;
	refuses(p, -ENOTSUP, "not an instruction");
	p.offset = 0;
#endif
	check(!*st_probe_reason(&p) && !*st_probe_kind(&p) && !st_probe_missed(&p), "before anything");
	check(st_probe_disable(&p) == -EINVAL && st_probe_enable(&p) == -EINVAL && st_probe_unregister(&p) == -EINVAL,
	      "EINVAL when not registered");

	snprintf(name, sizeof(name), "%s:pa_plain", program_invocation_short_name);
	p = probe_of(name, count);
	hits = 0;
	if (!on(&p))
		return;
	check(*st_probe_kind(&p) && !*st_probe_reason(&p), "in place, and nothing to say");
	check(st_probe_register(&p) == -EBUSY && *st_probe_reason(&p), "EBUSY when registered");
	check(pa_plain(3, 4) == 11 && hits == 1, "%lu hits", hits);
	off(&p);
	check(pa_plain(3, 4) == 11 && hits == 1, "%lu hits afterwards", hits);

	p = (struct st_probe){ .size = sizeof(p), .addr = (void *)pa_plain, .handler = count };
	if (on(&p)) {
		check(pa_plain(3, 4) == 11 && hits == 2, "by address: %lu hits", hits);
		off(&p);
	}
	p = probe_of("malloc", count);
	hits = 0;
	if (on(&p)) {
		void *volatile memory = malloc(1000);

		free(memory);
		check(hits, "malloc is not hit");
		off(&p);
	}
}

/* ---- what a handler sees and changes ---- */

static unsigned long seen_pc;

static void change_argument(struct st_probe *p, struct st_regs *regs)
{
	(void)p;
	seen_pc = st_regs_pc(regs);
	set_argument(regs, (long)st_regs_argument(regs, 0) + 100);
}

static void go_elsewhere(struct st_probe *p, struct st_regs *regs)
{
	(void)p;
	st_regs_set_pc(regs, (unsigned long)pa_other);
}

static void use_doubles(struct st_probe *p, struct st_regs *regs)
{
	volatile double d = (double)st_regs_pc(regs);
	char text[64];

	(void)p;
	snprintf(text, sizeof(text), "%f %f", (double)d, (double)d / 3);
	errno = 4711;
	hits++;
}

/* In front of the last instruction that gives the result, wherever it is: some offset before the return at which it is known. */
static void add_to_result(struct st_probe *p, struct st_regs *regs)
{
	(void)p;
	seen_pc = st_regs_pc(regs);
	set_result(regs, result(regs) + 7);
}

static void registers(void)
{
	struct st_probe p = probe_of("pa_plain", change_argument), q = probe_of("pa_plain", go_elsewhere);
	struct st_probe two = probe_of("pa_plain", go_elsewhere);
	bool found = false;

	if (on(&p)) {
		check(pa_plain(3, 4) == 511, "argument changed: %ld", pa_plain(3, 4));
		check(seen_pc == PLAIN(pa_plain), "pc %#lx", seen_pc);
		off(&p);
	}
	q.flags = two.flags = ST_PROBE_IPMODIFY;
	if (on(&q)) {
		check(pa_plain(3, 4) == 3004, "redirected: %ld", pa_plain(3, 4));
		check(st_probe_register(&two) == -EBUSY && *st_probe_reason(&two), "a second that changes pc: %s",
		      st_probe_reason(&two));
		st_probe_unregister(&two);
		off(&q);
	}
	p = probe_of("pa_double", use_doubles);
	hits = 0;
	if (on(&p)) {
		double d;

		errno = 5;
		d = pa_double(3.0);
		check(d == 2.5 && errno == 5 && hits == 1, "vector registers or errno: %f, %d, %lu hits", d, errno, hits);
		off(&p);
	}
	/* The return instruction of a leaf: the result is in its register. */
	for (size_t off = 0; off < 64 && !found; off++) {
		struct st_probe r = probe_of("pa_plain", add_to_result);

		r.offset = off;
		if (!st_probe_register(&r)) {
			found = pa_plain(3, 4) == 18 && pa_plain(0, 0) == 7 && pa_plain(-100, 5) == -498;
			check(seen_pc >= PLAIN(pa_plain) && seen_pc <= PLAIN(pa_plain) + off, "pc %#lx at +%zu", seen_pc, off);
		}
		st_probe_unregister(&r);
	}
	check(found, "no instruction at which the result could be changed");
	check(pa_plain(3, 4) == 11, "as before");
}

/* ---- enabling, disabling ---- */

static void switching(void)
{
	struct st_probe p = probe_of("pa_plain", count);
	unsigned char before[16];

	memcpy(before, (void *)PLAIN(pa_plain), sizeof(before));
	hits = 0;
	p.flags = ST_PROBE_DISABLED;
	if (!on(&p))
		return;
	pa_plain(1, 2);
	check(!hits && !*st_probe_kind(&p) && !memcmp(before, (void *)PLAIN(pa_plain), sizeof(before)), "disabled: %lu hits", hits);
	for (int i = 0; i < 3; i++) {
		check(!st_probe_enable(&p) && !st_probe_enable(&p), "enable: %s", st_probe_reason(&p));
		pa_plain(1, 2);
		check(hits == (unsigned long)i + 1 && *st_probe_kind(&p), "enabled: %lu hits", hits);
		check(memcmp(before, (void *)PLAIN(pa_plain), sizeof(before)), "enabled, and its bytes are as before");
		check(!st_probe_disable(&p) && !st_probe_disable(&p), "disable: %s", st_probe_reason(&p));
		pa_plain(1, 2);
		check(hits == (unsigned long)i + 1, "disabled: %lu hits", hits);
		check(!memcmp(before, (void *)PLAIN(pa_plain), sizeof(before)), "disabled, and its bytes are not as before");
	}
	check(st_probe_register(&p) == -EBUSY, "EBUSY when registered and disabled");
	off(&p);
	p.flags = 0;
	if (on(&p)) {
		check(!st_probe_disable(&p), "disable");
		off(&p);
	}
}

/* ---- several at once ---- */

static void arrays(void)
{
	struct st_probe p[4] = {
		probe_of("pa_plain", count), probe_of("pa_other", count), probe_of("pa_loop", count), probe_of("nowhere", count),
	};
	struct st_probe *list[] = { &p[0], &p[1], &p[2], &p[3] }, *twice[] = { &p[0], &p[1], &p[0] };
	int ret;

	hits = 0;
	ret = st_probes_register(list, 4);
	check(ret == -ENOENT && *st_probe_reason(&p[3]), "all or none: %d", ret);
	check(pa_plain(1, 1) + pa_other(1, 1) + pa_loop(1) == 4 + 1001 && !hits, "none: %lu hits", hits);
	check(st_probes_unregister(list, 4) == -EINVAL, "none was registered");
	check(st_probes_register(twice, 3) == -EBUSY && !*st_probe_kind(&p[0]), "the same one twice");
	ret = st_probes_register(list, 3);
	if (!check(!ret, "three: %d %s %s %s", ret, st_probe_reason(&p[0]), st_probe_reason(&p[1]), st_probe_reason(&p[2])))
		return;
	pa_plain(1, 1);
	pa_other(1, 1);
	pa_loop(1);
	check(hits == 3, "three: %lu hits", hits);
	check(st_probes_unregister(list, 4) == -EINVAL && pa_plain(1, 1) == 4 && hits == 4, "all or none, unregistering");
	check(!st_probe_disable(&p[1]), "one of them disabled");
	check(!st_probes_unregister(list, 3) && pa_plain(1, 1) == 4 && hits == 4, "unregistered");
	check(!st_probes_register(list, 0) && !st_probes_unregister(list, 0), "an empty list");
}

/* ---- two kinds of the same, jumps that make room ---- */

static void neighbours(void)
{
	struct st_hook h = { .size = sizeof(h), .func = NULL };
	struct st_probe entry = probe_of("pa_loop", count), in[64], *list[64];
	long good = pa_loop(10);
	unsigned int n = 0;

	(void)h;
	for (size_t off = 1; off < 64 && n < 64; off++) {
		in[n] = probe_of("pa_loop", count);
		in[n].offset = off;
		if (!st_probe_register(&in[n]))
			n++;
		else
			st_probe_unregister(&in[n]);
	}
	for (unsigned int i = 0; i < n; i++) {
		list[i] = &in[i];
		off(&in[i]);
	}
	check(n > 4, "%u instructions", n);
	/* A jump first, then what lies in its displaced bytes; and the other way round. */
	for (int first = 0; first < 2; first++) {
		if (first && !on(&entry))
			return;
		check(!st_probes_register(list, n), "the others: %s", st_probe_reason(list[0]));
		if (!first && !on(&entry))
			return;
		hits = 0;
		check(pa_loop(10) == good && hits > 11, "%lu hits", hits);
		if (first)
			off(&entry);
		check(!st_probes_unregister(list, n), "unregister");
		if (!first)
			off(&entry);
		check(pa_loop(10) == good, "afterwards");
	}
}

/* ---- misses ---- */

#if defined(__x86_64__) || defined(__thumb__)
/* Instructions of two bytes: a jump displaces three of them on x86-64, two on Thumb. */
#if defined(__x86_64__)
#define SHORT(name) ".balign 16\n\t.type " name ", %function\n" name ": mov %edi, %eax\n\tinc %eax\n\tinc %eax\n\tinc %eax\n\t" \
	"inc %eax\n\tinc %eax\n\tinc %eax\n\tret\n\t.size " name ", . - " name "\n\t"
#else
#define SHORT(name) ".balign 4\n\t.thumb_func\n\t.type " name ", %function\n" name ": adds r0, #1\n\tadds r0, #1\n\tadds r0, #1\n\t" \
	"adds r0, #1\n\tadds r0, #1\n\tadds r0, #1\n\tbx lr\n\t.size " name ", . - " name "\n\t"
#endif
__asm__(".text\n\t" SHORT("pa_short_one") SHORT("pa_short_two") SHORT("pa_short_three"));
extern long pa_short_one(long n), pa_short_two(long n), pa_short_three(long n);

static void is_kind(long (*fn)(long), size_t offset, const char *kind)
{
	struct st_probe p = { .size = sizeof(p), .addr = (void *)fn, .offset = offset, .handler = count };

	if (!on(&p))
		return;
	hits = 0;
	check(!strcmp(st_probe_kind(&p), kind), "at +%zu there is a %s, not a %s", offset, st_probe_kind(&p), kind);
	check(fn(1) == 7 && hits == 1, "the probe at +%zu: %lu hits", offset, hits);
	off(&p);
}

/* No jump comes to cover a place where a stub that was used goes on: a thread may still be in it. */
static void never_again(void)
{
	struct st_probe first = { .size = sizeof(first), .addr = (void *)pa_short_two, .handler = count };
	struct st_probe second = { .size = sizeof(second), .addr = (void *)pa_short_two, .offset = 2, .handler = count };
	struct st_probe inner = { .size = sizeof(inner), .addr = (void *)pa_short_three, .offset = 2, .handler = count };
	struct st_probe next = { .size = sizeof(next), .addr = (void *)pa_short_three, .offset = 4, .handler = count };

	is_kind(pa_short_one, 0, "move");
	is_kind(pa_short_one, 0, "move");
	/* The site's own breakpoint goes on in what its jump would displace. */
	if (!on(&first) || !on(&second))
		return;
	hits = 0;
	check(pa_short_two(1) == 7 && hits == 2, "%lu hits", hits);
	off(&first);
	off(&second);
	is_kind(pa_short_two, 0, "breakpoint");
	/* The breakpoint of a site behind it: on Thumb it goes on at the end of what the jump displaces. */
	if (!on(&next) || !on(&inner))
		return;
	hits = 0;
	check(pa_short_three(1) == 7 && hits == 2, "%lu hits", hits);
	off(&inner);
	off(&next);
	is_kind(pa_short_three, 0, sizeof(long) == 8 ? "breakpoint" : "move");
}
#else
static void never_again(void)
{
	check_skip("jumps that displace several instructions: there are none here");
}
#endif

static void call_probed(struct st_probe *p, struct st_regs *regs)
{
	(void)p;
	(void)regs;
	hits++;
	pa_other(1, 2);
	pa_plain(1, 2);
}

static void misses(void)
{
	struct st_probe a = probe_of("pa_plain", call_probed), b = probe_of("pa_other", count);

	hits = 0;
	if (!on(&a) || !on(&b))
		return;
	check(pa_plain(3, 4) == 11 && hits == 1, "%lu hits", hits);
	check(st_probe_missed(&a) == 1 && st_probe_missed(&b) == 1 && a.nmissed == 1, "missed %lu, %lu", st_probe_missed(&a),
	      st_probe_missed(&b));
	pa_plain(3, 4);
	check(st_probe_missed(&a) == 2 && st_probe_missed(&b) == 2, "missed %lu, %lu", a.nmissed, b.nmissed);
	check(!st_probe_disable(&a) && !st_probe_enable(&a), "off and on");
	pa_plain(3, 4);
	off(&a);
	off(&b);
	check(a.nmissed == 3 && b.nmissed == 3, "missed in the end: %lu, %lu", a.nmissed, b.nmissed);
}

/* ---- calls from a handler ---- */

static int from_handler[3];

static void unregister_itself(struct st_probe *p, struct st_regs *regs)
{
	(void)regs;
	from_handler[0] = st_probe_unregister(p);
	from_handler[1] = st_probe_disable(p);
}

static void deadlock(void)
{
	struct st_probe p = probe_of("pa_plain", unregister_itself);

	if (!on(&p))
		return;
	pa_plain(1, 2);
	check(from_handler[0] == -EDEADLK && from_handler[1] == -EDEADLK, "%d, %d", from_handler[0], from_handler[1]);
	off(&p);
}

/* ---- SIGTRAP ---- */

static volatile unsigned long traps_of_our_own;

static void on_trap(int sig)
{
	(void)sig;
	traps_of_our_own++;
}

static void nothing(int sig)
{
	(void)sig;
}

/* One that is a breakpoint; NULL: this function has none. */
static bool breakpoint(struct st_probe *p, st_probe_fn handler)
{
	/* From the end: the entry may be a jump that covers what follows. */
	for (size_t off = 64; off--;) {
		*p = probe_of("pa_trap", handler);
		p->offset = off;
		if (!st_probe_register(p) && !strcmp(st_probe_kind(p), "breakpoint"))
			return true;
		st_probe_unregister(p);
	}
	return false;
}

static void sigtrap(void)
{
	struct sigaction sa = { .sa_handler = on_trap }, blocks = { .sa_handler = nothing };
	long good = pa_trap(5);
	struct st_probe p;
	sigset_t set;

	sigaction(SIGTRAP, &sa, NULL);
	if (!breakpoint(&p, count)) {
		check_skip("on this architecture every instruction can be a jump");
		signal(SIGTRAP, SIG_DFL);
		return;
	}
	hits = 0;
	check(pa_trap(5) == good && hits && !traps_of_our_own, "%lu hits, %lu of the program's own", hits, traps_of_our_own);
	raise(SIGTRAP);
	check(traps_of_our_own == 1, "the program's handler gets its own SIGTRAP");
	/* The program takes SIGTRAP back; the next call for a probe or hook makes ours the handler again, its own is called by ours. */
	off(&p);
	sigaction(SIGTRAP, &sa, NULL);
	check(!st_probe_register(&p), "again: %s", st_probe_reason(&p));
	check(pa_trap(5) == good && traps_of_our_own == 1, "again");
	raise(SIGTRAP);
	check(traps_of_our_own == 2, "the program's handler gets its own SIGTRAP");
	off(&p);

	p.flags = ST_PROBE_NO_BREAKPOINT;
	check(st_probe_register(&p) == -ENOTSUP && *st_probe_reason(&p), "a jump or nothing");
	p.flags = 0;
	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	check(st_probe_register(&p) == -EBUSY && strstr(st_probe_reason(&p), "SIGTRAP"), "blocked: %s", st_probe_reason(&p));
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	sigaddset(&blocks.sa_mask, SIGTRAP);
	sigaction(SIGUSR2, &blocks, NULL);
	check(st_probe_register(&p) == -ENOTSUP && strstr(st_probe_reason(&p), "SIGTRAP"), "blocked by a handler: %s",
	      st_probe_reason(&p));
	signal(SIGUSR2, SIG_DFL);
	if (!st_probe_register(&p)) {
		check(pa_trap(5) == good, "allowed again");
		off(&p);
	}
	signal(SIGTRAP, SIG_DFL);
}

/* ---- return probes ---- */

static struct st_return_probe return_of(const char *symbol, st_return_fn handler)
{
	return (struct st_return_probe){ .size = sizeof(struct st_return_probe), .symbol = symbol, .handler = handler };
}

static unsigned long entries, returns;
static long last_result;

static int count_entry(struct st_return_instance *i, struct st_regs *regs)
{
	long *data = i->data;

	if (data) {
		check(!data[0] && !data[1], "data are not zero");
		data[0] = (long)st_regs_argument(regs, 0);
	}
	entries++;
	return 0;
}

static void count_return(struct st_return_instance *i, struct st_regs *regs)
{
	last_result = result(regs);
	check(i->ret_addr == st_regs_pc(regs) || i->ret_addr == (st_regs_pc(regs) | 1), "ret_addr %#lx, pc %#lx", i->ret_addr,
	      st_regs_pc(regs));
	returns++;
}

static bool return_on(struct st_return_probe *rp)
{
	int ret = st_return_probe_register(rp);

	return check(!ret, "register: %d: %s", ret, st_return_probe_reason(rp));
}

static void return_off(struct st_return_probe *rp)
{
	int ret = st_return_probe_unregister(rp);

	check(!ret, "unregister: %d: %s", ret, st_return_probe_reason(rp));
}

static void return_refuses(struct st_return_probe rp, int err, const char *what)
{
	int ret = st_return_probe_register(&rp);

	check(ret == err && *st_return_probe_reason(&rp), "%s: %d, not %d: %s", what, ret, err, st_return_probe_reason(&rp));
	check(st_return_probe_unregister(&rp) == -EINVAL, "%s: could be unregistered", what);
}

static void return_errors(void)
{
	struct st_return_probe rp = return_of("pa_plain", count_return), one = rp, none = return_of("nowhere", count_return);
	struct st_return_probe *list[] = { &one, &none };

	return_refuses((struct st_return_probe){ .size = sizeof(rp), .symbol = "pa_plain" }, -EINVAL, "no handler");
	return_refuses((struct st_return_probe){ .size = 4, .symbol = "pa_plain", .handler = count_return }, -EINVAL, "size");
	return_refuses(none, -ENOENT, "no such function");
	return_refuses((struct st_return_probe){ .size = sizeof(rp), .addr = (char *)pa_plain + 4, .handler = count_return }, -ENOTSUP,
		       "inside a function");
	rp.maxactive = ~0u;
	return_refuses(rp, -EINVAL, "too many");
	rp.maxactive = 0;
	rp.flags = ST_PROBE_IPMODIFY;
	return_refuses(rp, -EINVAL, "one that changes pc");
	return_refuses(return_of("_setjmp", count_return), -ENOTSUP, "setjmp");
	rp.flags = 0;
	check(st_return_probe_disable(&rp) == -EINVAL && st_return_probe_enable(&rp) == -EINVAL, "EINVAL when not registered");
	check(st_return_probes_register(list, 2) == -ENOENT && !*st_return_probe_kind(&one), "all or none");
	list[1] = &rp;
	check(!st_return_probes_register(list, 2), "two on one function: %s", st_return_probe_reason(&one));
	returns = 0;
	check(pa_plain(3, 4) == 11 && returns == 2 && last_result == 11, "%lu returns", returns);
	check(st_return_probe_register(&rp) == -EBUSY, "EBUSY when registered");
	check(!st_return_probes_unregister(list, 2) && pa_plain(3, 4) == 11 && returns == 2, "unregistered");
}

static int only_odd(struct st_return_instance *i, struct st_regs *regs)
{
	(void)i;
	entries++;
	return !(st_regs_argument(regs, 0) & 1);
}

static void compare_data(struct st_return_instance *i, struct st_regs *regs)
{
	long n = *(long *)i->data;

	check(result(regs) == n * (n + 1) / 2, "the data of another call: %ld for %ld", result(regs), n);
	returns++;
}

static void return_double(struct st_return_instance *i, struct st_regs *regs)
{
	(void)i;
	set_result(regs, result(regs) * 2);
}

static void returning(void)
{
	struct st_return_probe rp = return_of("pa_plain", count_return), deep = return_of("pa_deep", compare_data);
	struct st_return_probe few = deep, twice = return_of("pa_plain", return_double);
	struct st_probe with = probe_of("pa_plain", count), elsewhere = probe_of("pa_plain", go_elsewhere);

	entries = returns = hits = 0;
	rp.entry_handler = count_entry;
	if (!return_on(&rp))
		return;
	check(pa_plain(3, 4) == 11 && entries == 1 && returns == 1 && last_result == 11, "%lu, %lu, %ld", entries, returns, last_result);
	/* Together with a probe on the same function, and one that sends the thread elsewhere. */
	if (on(&with)) {
		check(pa_plain(3, 4) == 11 && hits == 1 && returns == 2, "%lu hits, %lu returns", hits, returns);
		off(&with);
	}
	elsewhere.flags = ST_PROBE_IPMODIFY;
	if (on(&elsewhere)) {
		check(pa_plain(3, 4) == 3004 && returns == 3 && last_result == 3004, "redirected: %lu returns", returns);
		off(&elsewhere);
	}
	check(!st_return_probe_disable(&rp) && pa_plain(3, 4) == 11 && returns == 3, "disabled");
	check(!st_return_probe_enable(&rp) && pa_plain(3, 4) == 11 && returns == 4, "enabled: %s", st_return_probe_reason(&rp));
	return_off(&rp);
	check(pa_plain(3, 4) == 11 && returns == 4, "unregistered");

	/* A return that nobody wants. */
	rp.entry_handler = only_odd;
	entries = returns = 0;
	if (return_on(&rp)) {
		for (long i = 0; i < 10; i++)
			pa_plain(i, 1);
		check(entries == 10 && returns == 5 && !st_return_probe_missed(&rp), "%lu entries, %lu returns", entries, returns);
		return_off(&rp);
	}
	/* The result is another. */
	if (return_on(&twice)) {
		check(pa_plain(3, 4) == 22, "result changed: %ld", pa_plain(3, 4));
		return_off(&twice);
	}
	/* Each call has its own data; there are not enough for all. */
	deep.entry_handler = few.entry_handler = count_entry;
	deep.data_size = few.data_size = 2 * sizeof(long);
	few.maxactive = 5;
	entries = returns = 0;
	if (return_on(&deep)) {
		check(pa_deep(20) == 210 && entries == 21 && returns == 21 && !st_return_probe_missed(&deep), "%lu, %lu, missed %lu",
		      entries, returns, deep.nmissed);
		return_off(&deep);
	}
	entries = returns = 0;
	if (return_on(&few)) {
		check(pa_deep(20) == 210 && entries == 5 && returns == 5 && st_return_probe_missed(&few) == 16, "%lu, %lu, missed %lu",
		      entries, returns, few.nmissed);
		check(pa_deep(3) == 6 && entries == 9 && returns == 9 && st_return_probe_missed(&few) == 16, "%lu, %lu, missed %lu",
		      entries, returns, few.nmissed);
		return_off(&few);
	}
}

/* ---- left by longjmp ---- */

static void left(void)
{
	struct st_return_probe rp = return_of("pa_jumps", count_return);

	rp.entry_handler = count_entry;
	rp.maxactive = 4;
	entries = returns = 0;
	if (!return_on(&rp))
		return;
	for (volatile long i = 0; i < 400; i++)
		if (!setjmp(env))
			check(pa_jumps(i) == i + 1, "values");
	check(returns >= 150 && returns + st_return_probe_missed(&rp) >= 200, "%lu entries, %lu returns, %lu missed", entries, returns,
	      rp.nmissed);
	return_off(&rp);
	check(pa_jumps(2) == 3, "afterwards");
}

/* ---- a return that is pending when its probe goes ---- */

static volatile int inside, go_on;

__attribute__((noipa)) long pa_waits(long n)
{
	inside = 1;
	while (!go_on)
		usleep(100);
	return n * 3;
}

static void *wait_inside(void *arg)
{
	return (void *)pa_waits((long)arg);
}

static void pending(void)
{
	for (int disable = 0; disable < 2; disable++) {
		struct st_return_probe rp = return_of("pa_waits", count_return);
		pthread_t t;
		void *value;

		inside = go_on = 0;
		returns = 0;
		rp.data_size = 100;
		if (!return_on(&rp))
			return;
		pthread_create(&t, NULL, wait_inside, (void *)14);
		while (!inside)
			usleep(100);
		if (disable)
			check(!st_return_probe_disable(&rp), "disable: %s", st_return_probe_reason(&rp));
		else
			return_off(&rp);
		memset(&rp, disable ? 0 : 0xdb, disable ? 0 : sizeof(rp));
		go_on = 1;
		pthread_join(t, &value);
		check((long)value == 42 && !returns, "value %ld, %lu returns", (long)value, returns);
		if (disable)
			return_off(&rp);
	}
}

/* ---- threads ---- */

static volatile int finish;
static unsigned long wrong;

static void *call_all(void *arg)
{
	(void)arg;
	while (!finish) {
		wrong += pa_plain(3, 4) != 11;
		wrong += pa_deep(12) != 78;
		wrong += pa_loop(3) != (1 ^ 3) + (4 ^ 3) + (9 ^ 3);
	}
	return NULL;
}

static int quiet_entry(struct st_return_instance *i, struct st_regs *regs)
{
	*(long *)i->data = (long)st_regs_argument(regs, 0);
	return 0;
}

static void quiet_return(struct st_return_instance *i, struct st_regs *regs)
{
	long n = *(long *)i->data;

	if (result(regs) != n * (n + 1) / 2)
		__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&returns, 1, __ATOMIC_RELAXED);
}

static void threads(void)
{
	double end = check_now() + (check_long() ? 30 : 1.5);
	unsigned long rounds = 0;
	pthread_t t[3];

	finish = 0;
	wrong = returns = hits = 0;
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, call_all, NULL);
	while (check_now() < end) {
		struct st_return_probe rp = return_of("pa_deep", quiet_return);
		struct st_probe p = probe_of("pa_loop", count), q = probe_of("pa_plain", count);
		int ret;

		rp.entry_handler = quiet_entry;
		rp.data_size = sizeof(long);
		while ((ret = st_return_probe_register(&rp)) == -EBUSY)
			;
		check(!ret, "register: %d: %s", ret, st_return_probe_reason(&rp));
		while ((ret = st_probe_register(&p)) == -EBUSY)
			;
		while ((ret = st_probe_register(&q)) == -EBUSY)
			;
		check(!ret, "register: %d: %s", ret, st_probe_reason(&q));
		usleep(500);
		while ((ret = st_return_probe_unregister(&rp)) == -EBUSY)
			;
		check(!ret, "unregister: %d", ret);
		memset(&rp, 0xdb, sizeof(rp));
		while ((ret = st_probe_unregister(&p)) == -EBUSY)
			;
		while ((ret = st_probe_unregister(&q)) == -EBUSY)
			;
		check(!ret, "unregister: %d", ret);
		rounds++;
	}
	finish = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	check(!wrong && hits && returns, "%lu wrong, %lu hits, %lu returns", wrong, hits, returns);
	printf("%lu rounds, %lu hits, %lu returns\n", rounds, hits, returns);
}

/* ---- fork ---- */

static void forks(void)
{
	struct st_probe p = probe_of("pa_plain", count), q = probe_of("pa_other", count);
	struct st_return_probe rp = return_of("pa_deep", count_return);
	int status = 0;
	pid_t pid;

	hits = returns = 0;
	if (!on(&p) || !return_on(&rp))
		return;
	pid = fork();
	if (!pid) {
		bool good = pa_plain(3, 4) == 11 && hits == 1 && pa_deep(3) == 6 && returns == 4;

		good = good && !st_probe_register(&q) && pa_other(1, 1) == 1001 && hits == 2 && !st_probe_unregister(&q);
		good = good && !st_probe_unregister(&p) && !st_return_probe_unregister(&rp) && pa_plain(3, 4) == 11 && hits == 2;
		_exit(good ? 0 : 1);
	}
	check(waitpid(pid, &status, 0) == pid && !status, "the child: %#x", status);
	check(pa_plain(3, 4) == 11 && hits == 1 && pa_deep(3) == 6 && returns == 4, "the parent: %lu, %lu", hits, returns);
	off(&p);
	return_off(&rp);
}

/* ---- dlclose ---- */

static const char *plugin = "";

static void unloading(void)
{
	for (int i = 0; i < 3; i++) {
		struct st_probe p = probe_of("plugin_moved", count);
		struct st_return_probe rp = return_of("plugin_moved", count_return);
		void *lib = dlopen(plugin, RTLD_NOW);
		long (*moved)(long, long);

		if (!check(lib, "dlopen: %s", dlerror()))
			return;
		*(void **)&moved = dlsym(lib, "plugin_moved");
		hits = returns = 0;
		if (!on(&p) || !return_on(&rp))
			return;
		check(moved(i, 4) == i - 12 + 1000 && hits == 1 && returns == 1, "%lu hits, %lu returns", hits, returns);
		if (i == 1)
			off(&p);
		dlclose(lib);
		if (i != 1)
			off(&p);
		return_off(&rp);
	}
	refuses(probe_of("plugin_moved", count), -ENOENT, "unloaded");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} parts[] = {
		{ "errors", errors }, { "registers", registers }, { "switching", switching }, { "arrays", arrays },
		{ "neighbours", neighbours }, { "never again", never_again }, { "misses", misses }, { "deadlock", deadlock }, { "sigtrap", sigtrap },
		{ "return errors", return_errors }, { "returning", returning }, { "left", left }, { "pending", pending },
		{ "threads", threads }, { "forks", forks }, { "unloading", unloading },
	};

	plugin = argc > 1 ? argv[1] : "";
	for (unsigned int i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		unsigned long failed = check_failed, passed = check_passed;

		if (argc > 2 && strcmp(argv[2], parts[i].name))
			continue;
		if (parts[i].run == forks && check_emulated()) {
			check_skip("forks: under qemu-user the child of a process with threads waits for locks of QEMU's");
			continue;
		}
		parts[i].run();
		printf("%s: %lu passed, %lu failed\n", parts[i].name, check_passed - passed, check_failed - failed);
		fflush(stdout);
	}
	return check_end();
}
