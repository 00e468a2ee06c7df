/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The register torture for x86-64: points 1 to 5 of the register contract, for each kind of site.
 *
 * A round fills every register with random bits, calls a hooked function and compares: what the hook saw with what was
 * filled in; what the function's body found, and what came back, with what its twin, at another address and never
 * hooked, finds and gives when called with what the hook was to leave. Signals keep arriving, whose handlers call hooked
 * functions too.
 *
 *	torture [--rounds N] [--shape PART] [--seed N]
 */
#include <cpuid.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>
#include "check.h"
#include "torture.h"

#define FLAGS_STATUS	0x8d5ul
#define FLAG_DF		0x400ul
#define FLAG_NT		0x4000ul
#define FLAG_AC		0x40000ul
#define FLAG_ID		0x200000ul
#define FLAGS_FIXED	0x202ul

#define MXCSR_MASKS	0x1f80u
#define MXCSR_REST	0xe07fu	/* FTZ, rounding, DAZ, exception flags */
#define FCW_MASKS	0x7fu
#define FCW_REST	0xf00u
#define FSW_REST	0x477fu	/* condition codes and exception flags, no TOP */

#define STACK		(1ul << 20)
#define POOL		(1ul << 20)

/* What engine/arch/x86_64/init.c found out; lower to try what older CPUs take. */
extern unsigned int st_arch_vector;

static uint8_t stack[STACK] __attribute__((aligned(64)));
static uint64_t pool[POOL / 8 + sizeof(struct image)];
static uint64_t seed;
static const char *now_doing = "";
static unsigned long storm_calls, storm_wrong;
static volatile sig_atomic_t storm_end;
static char formatted[256];

/* ---- the hooks ---- */

/* Uses all that C code may use, and more than it is allowed to: whatever it leaves behind must not be seen. */
static void hook_vector(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent)
{
	char copy[sizeof(formatted)];
	double x = (double)(ip & 0xffff) + 0.5;

	torture_hook_general(hook, regs, ip, parent);
	if (torture_hit.hits % 16 == 0) {
		snprintf(formatted, sizeof(formatted), "%s %lx %.3f", now_doing, ip, sqrt(x));
		memcpy(copy, formatted, sizeof(copy));
		if (strlen(copy) != strlen(formatted) || strncmp(copy, now_doing, strlen(now_doing)))
			torture_hit.bad++;
	}
	errno = 4711;
	torture_clobber();
}

/* ---- functions that signal handlers and the other checks call ---- */

#define PATCHABLE __attribute__((noipa, patchable_function_entry(5)))

PATCHABLE static long sig_nops(long a, long b)
{
	return a * 3 + b;
}

__attribute__((noipa)) static double sig_moved(double x, double y)
{
	return x * 0.5 + y;
}

static unsigned long sig_hits;

static void hook_signal(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent)
{
	char text[64];

	(void)hook;
	(void)regs;
	__atomic_fetch_add(&sig_hits, 1, __ATOMIC_RELAXED);
	snprintf(text, sizeof(text), "%.2f %lx", (double)(ip & 255), parent);
	torture_clobber();
}

/* The kernel clears DF for a handler, but not AC, and leaves MXCSR and x87 control as they were: not C's. */
static void handler(int sig)
{
	static const unsigned int mxcsr = 0x1f80;
	int saved = errno;

	__asm__ volatile("pushfq; andq $~0x40000, (%%rsp); popfq; fninit; ldmxcsr %0" : : "m"(mxcsr) : "memory");
	if (sig_nops(sig, 5) != sig * 3 + 5 || sig_moved(sig, 5) != sig * 0.5 + 5)
		__atomic_fetch_add(&storm_wrong, 1, __ATOMIC_RELAXED);
	/* one handler may interrupt the other right here */
	__atomic_fetch_add(&storm_calls, 1, __ATOMIC_RELAXED);
	errno = saved;
}

static void *storm(void *arg)
{
	pthread_t whom = *(pthread_t *)arg;

	while (!storm_end) {
		pthread_kill(whom, SIGUSR1);
		usleep(150);
	}
	return NULL;
}

/* ---- a round ---- */

static void fill(void *to, size_t n)
{
	memcpy(to, (uint8_t *)pool + (check_random(&seed) & (POOL - 1) & ~7ul), n);
}

static void set16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

/*
 * x87 state as fxsave has it (SDM vol. 1, 10.5.1), @live registers in use, which the ABI does not allow at a call. All
 * eight, and MMX's, are not tried: nothing cheap tells those from none (docs/limits.md).
 */
static void fill_x87(struct image *in, unsigned int live)
{
	uint64_t r = check_random(&seed);
	unsigned int top = (8 - live) & 7;
	unsigned int mxcsr = MXCSR_MASKS | (r & MXCSR_REST);
	uint8_t tags = 0;

	for (unsigned int i = 0; i < live; i++)
		tags |= (uint8_t)(1u << ((top + i) & 7));
	set16(in->fx, FCW_MASKS | (r >> 16 & FCW_REST));
	set16(in->fx + 2, (r >> 32 & FSW_REST) | top << 11);
	in->fx[4] = tags;
	in->fx[5] = 0;
	memset(in->fx + 6, 0, 18);
	memcpy(in->fx + 24, &mxcsr, 4);
	memset(in->fx + 28, 0, 4);
	for (unsigned int i = 0; i < 8; i++) {
		uint8_t *st = in->fx + 32 + 16 * i;

		st[7] |= 0x80;		/* a normal number */
		set16(st + 8, 0x3f00 | (st[8] & 0x7f));
		memset(st + 10, 0, 6);
	}
	for (unsigned int i = 0; i < 16; i++)
		memcpy(in->fx + 160 + 16 * i, in->z[i], 16);
}

static void fill_image(struct image *in)
{
	uint64_t r = check_random(&seed);
	unsigned int x87 = r & 63;

	fill(in, offsetof(struct image, fx) + sizeof(in->fx));
	in->flags = FLAGS_FIXED | (r >> 8 & FLAGS_STATUS);
	if (r >> 24 & 1)
		in->flags |= (r >> 25 & 3 ? 0 : FLAG_DF) | (r >> 27 & 3 ? 0 : FLAG_AC) |
			     (r >> 29 & 3 ? 0 : FLAG_ID) | (r >> 31 & 15 ? 0 : FLAG_NT);
	fill_x87(in, x87 < 8 ? x87 : 0);
	/* some way up, any multiple of 8 */
	in->gpr[RSP] = (uint64_t)stack + STACK / 2 + (r >> 40 & 0xfff) * 8;
}

static void load(struct image *to, const struct image *from)
{
	memcpy(to, from, sizeof(*to));
}

static void run(void *target, const struct image *in)
{
	load(&torture_in, in);
	torture_body.who = 0;
	torture_body.aux = 0;
	torture_target = target;
	torture_call();
}

static void regs_of(struct st_regs *r, const struct image *in, void *func)
{
	*r = (struct st_regs){
		.ax = in->gpr[RAX], .cx = in->gpr[RCX], .dx = in->gpr[RDX], .bx = in->gpr[RBX],
		.bp = in->gpr[RBP], .si = in->gpr[RSI], .di = in->gpr[RDI], .r8 = in->gpr[8],
		.r9 = in->gpr[9], .r10 = in->gpr[10], .r11 = in->gpr[11], .r12 = in->gpr[12],
		.r13 = in->gpr[13], .r14 = in->gpr[14], .r15 = in->gpr[15],
		.orig_ax = ~0ul, .cs = 0x33, .ss = 0x2b, .flags = in->flags,
		.ip = (unsigned long)func, .sp = in->gpr[RSP] - 8,
	};
}

static const char *const reg_names[] = {
	"r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si", "di",
	"orig_ax", "ip", "cs", "flags", "sp", "ss"
};

enum { W_ORIG_AX = 15, W_IP, W_CS, W_FLAGS, W_SP, W_SS, W_COUNT };

/* Changes that a hook makes, in turn. */
enum change {
	NOTHING = 15,		/* below: a general register, by its word in st_regs */
	SP, CF, PF, AF, ZF, SF, OF, DF, AC, ID, PC, PC_ARGS, ALL, CHANGES
};

/* The registers as the hook leaves them, and the same as an image. Returns what the function then is. */
static void *make_change(enum change change, struct st_regs *r, struct image *in, const struct shape *s)
{
	static const unsigned long flag[] = { 1, 4, 0x10, 0x40, 0x80, 0x800, FLAG_DF, FLAG_AC, FLAG_ID };
	static const uint8_t gpr[] = { 15, 14, 13, 12, RBP, RBX, 11, 10, 9, 8, RAX, RCX, RDX, RSI, RDI };
	unsigned long *word = (unsigned long *)r;
	void *func = s->twin;

	if (change < NOTHING) {
		word[change] = check_random(&seed);
	} else if (change >= CF && change <= ID) {
		r->flags ^= flag[change - CF];
	} else if (change == PC || change == PC_ARGS) {
		r->ip = (unsigned long)torture_redirect;
	}
	if (change == PC_ARGS) {
		r->di ^= check_random(&seed);
		r->si ^= check_random(&seed);
		r->r9 ^= check_random(&seed);
	}
	if (change == ALL) {
		for (unsigned int i = 0; i < NOTHING; i++)
			word[i] = check_random(&seed);
		r->flags ^= check_random(&seed) & (FLAGS_STATUS | FLAG_DF | FLAG_AC | FLAG_ID);
		if (check_random(&seed) >> 63)
			r->ip = (unsigned long)torture_redirect;
	}
	if (change == SP || change == ALL)
		r->sp += 64 + (check_random(&seed) >> 55) * 8;
	for (unsigned int i = 0; i < NOTHING; i++)
		in->gpr[gpr[i]] = word[i];
	in->gpr[RSP] = r->sp + 8;
	in->flags = r->flags;
	if (r->ip != (unsigned long)s->hooked)
		func = (void *)torture_redirect;
	return func;
}

/* The first difference between two images, or NULL. */
static const char *compare(const struct image *a, const struct image *b)
{
	static const char *const name[] = {
		"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
		"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"
	};
	static const unsigned int width[] = { 16, 32, 64 };
	unsigned int regs = torture_level == LEVEL_AVX512 ? 32 : 16;
	static char text[128];
	unsigned int top;

	for (unsigned int i = 0; i < 16; i++) {
		if (a->gpr[i] == b->gpr[i])
			continue;
		snprintf(text, sizeof(text), "%s %#lx, not %#lx", name[i], a->gpr[i], b->gpr[i]);
		return text;
	}
	if (a->flags != b->flags) {
		snprintf(text, sizeof(text), "flags %#lx, not %#lx", a->flags, b->flags);
		return text;
	}
	if (a->who != b->who)
		return "another function's body ran";
	if (a->aux != b->aux) {
		snprintf(text, sizeof(text), "return address %#lx, not %#lx", a->aux, b->aux);
		return text;
	}
	for (unsigned int i = 0; i < regs; i++) {
		if (!memcmp(a->z[i], b->z[i], width[torture_level]))
			continue;
		snprintf(text, sizeof(text), "vector register %u", i);
		return text;
	}
	if (torture_level == LEVEL_AVX512 && memcmp(a->k, b->k, sizeof(a->k)))
		return "mask registers";
	if (memcmp(a->fx + 24, b->fx + 24, 4)) {
		snprintf(text, sizeof(text), "MXCSR %#x, not %#x", a->fx[24] | a->fx[25] << 8, b->fx[24] | b->fx[25] << 8);
		return text;
	}
	if (memcmp(a->fx, b->fx, 5)) {
		snprintf(text, sizeof(text), "x87 control, status, tags %02x%02x %02x%02x %02x, not %02x%02x %02x%02x %02x",
			 a->fx[1], a->fx[0], a->fx[3], a->fx[2], a->fx[4],
			 b->fx[1], b->fx[0], b->fx[3], b->fx[2], b->fx[4]);
		return text;
	}
	top = (unsigned int)a->fx[3] >> 3 & 7;
	for (unsigned int i = 0; i < 8; i++)
		if (a->fx[4] & 1u << ((top + i) & 7) && memcmp(a->fx + 32 + 16 * i, b->fx + 32 + 16 * i, 10))
			return "an x87 register";
	return NULL;
}

static struct image in, expect_in, expect_body, expect_out;

/* false: something was wrong, and has been said. */
static bool one_round(const struct shape *s, enum change change)
{
	struct st_regs see;
	uint64_t above[8], *args;
	unsigned long *a, *b;
	unsigned long hits;
	const char *diff;
	void *func;

	fill_image(&in);
	load(&expect_in, &in);
	regs_of(&see, &in, s->hooked);
	torture_hit.want = see;
	func = make_change(change, &torture_hit.want, &expect_in, s);
	torture_hit.move_return = torture_hit.want.sp != see.sp;

	run(func, &expect_in);
	load(&expect_body, &torture_body);
	load(&expect_out, &torture_out);

	args = (uint64_t *)in.gpr[RSP];
	memcpy(above, args, sizeof(above));
	hits = torture_hit.hits;
	torture_hit.change = change != NOTHING;
	torture_hit.bad = 0;
	errno = 7;
	run(s->hooked, &in);
	torture_hit.change = 0;

	if (torture_hit.hits != hits + 1)
		return check(false, "%s: %s: the hook ran %ld times", now_doing, s->name, torture_hit.hits - hits);
	if (torture_hit.bad)
		return check(false, "%s: %s: the hook ran with a crooked stack, DF or AC, or libc failed it", now_doing, s->name);
	if (errno != 7)
		return check(false, "%s: %s: errno is %d", now_doing, s->name, errno);
	a = (unsigned long *)&torture_hit.seen;
	b = (unsigned long *)&see;
	for (unsigned int i = 0; i < W_COUNT; i++)
		if (a[i] != b[i])
			return check(false, "%s: %s: the hook saw %s %#lx, not %#lx", now_doing, s->name, reg_names[i], a[i], b[i]);
	if (torture_hit.parent != (unsigned long)torture_return || torture_hit.ip - see.ip > 4)
		return check(false, "%s: %s: parent_ip %#lx, ip %#lx", now_doing, s->name, torture_hit.parent, torture_hit.ip);
	diff = compare(&torture_body, &expect_body);
	if (diff && expect_body.who)
		return check(false, "%s: %s: change %d: the function found %s", now_doing, s->name, change, diff);
	diff = compare(&torture_out, &expect_out);
	if (diff)
		return check(false, "%s: %s: change %d: what came back: %s", now_doing, s->name, change, diff);
	if (memcmp(above, args, sizeof(above)) && !torture_hit.move_return)
		return check(false, "%s: %s: its stack arguments have changed", now_doing, s->name);
	return true;
}

static unsigned long rounds_done;

static bool rounds(const struct shape *s, unsigned long n, const char *what)
{
	now_doing = what;
	for (unsigned long i = 0; i < n; i++) {
		/* each change in turn, and every second round none */
		if (!one_round(s, i & 1 ? (enum change)(i / 2 % CHANGES) : NOTHING))
			return false;
		rounds_done++;
	}
	return true;
}

/* ---- a shape ---- */

static void torture(const struct shape *s, unsigned long n)
{
	static const struct {
		const char *name;
		bool general, vector;
		unsigned int share;	/* of 8 */
	} mode[] = {
		{ "general hook", true, false, 4 },
		{ "vector hook", false, true, 3 },
		{ "both hooks", true, true, 1 },
	};
	uint8_t before[64];

	memcpy(before, s->hooked, sizeof(before));
	for (unsigned int i = 0; i < 3; i++) {
		struct st_hook general = {
			.size = sizeof(general), .func = torture_hook_general,
			.flags = ST_HOOK_GENERAL_REGS | ST_HOOK_IPMODIFY,
		};
		struct st_hook vector = { .size = sizeof(vector), .func = hook_vector, .flags = ST_HOOK_IPMODIFY };
		unsigned long more = 0;
		bool good = true;

		if (mode[i].general && mode[i].vector) {
			general.func = torture_hook_nothing;
			general.flags = ST_HOOK_GENERAL_REGS;
			general.data = &more;
		}
		if (mode[i].general) {
			st_hook_filter_ip(&general, s->hooked);
			good = check(st_hook_register(&general) == 1, "%s: %s", s->name, st_hook_reason(&general));
		}
		if (good && mode[i].vector) {
			st_hook_filter_ip(&vector, s->hooked);
			good = check(st_hook_register(&vector) == 1, "%s: %s", s->name, st_hook_reason(&vector));
		}
		if (!good)
			return;
		good = rounds(s, n * mode[i].share / 8, mode[i].name);
		if (good)
			check(true, "%s: %s", s->name, mode[i].name);
		if (mode[i].vector)
			check(!st_hook_unregister(&vector) && !vector.missed, "%s: missed %lu", s->name, vector.missed);
		if (mode[i].general)
			check(!st_hook_unregister(&general) && !general.missed, "%s: missed %lu", s->name, general.missed);
		if (general.data && good)
			check(more >= n * mode[i].share / 8, "%s: the second hook ran %lu times", s->name, more);
		check(!memcmp(before, s->hooked, sizeof(before)), "%s: its bytes are not restored", s->name);
	}
}

/* ---- a static chain, and what signal handlers call ---- */

__attribute__((noipa)) static long nested_sum(long base, long n)
{
	long got = 0;

	__attribute__((noipa)) long with_base(long x)
	{
		got += x;
		return base * 2 + x;
	}

	for (long i = 0; i < n; i++)
		if (with_base(i) != base * 2 + i)
			return -1;
	return got;
}

static void static_chain(void)
{
	struct st_hook h = { .size = sizeof(h), .func = hook_signal };
	long n = 0;

	check(st_hook_filter(&h, "torture:with_base*") > 0, "nested function not found: %s", st_hook_reason(&h));
	check(st_hook_register(&h) > 0, "nested function: %s", st_hook_reason(&h));
	sig_hits = 0;
	for (long i = 0; i < 1000; i++)
		n += nested_sum(i, 10) == 45;
	check(n == 1000, "nested function: wrong %ld times of 1000", 1000 - n);
	check(sig_hits >= 10000, "nested function: %lu hits", sig_hits);
	check(!st_hook_unregister(&h), "%s", st_hook_reason(&h));
}

static unsigned int cpu_level(void)
{
	unsigned int a, b, c, d, xcr0, high;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		return LEVEL_SSE;
	__asm__("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
	if ((xcr0 & 0xe6) == 0xe6 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX512BW))
		return LEVEL_AVX512;
	return (xcr0 & 6) == 6 ? LEVEL_AVX : LEVEL_SSE;
}

static void start_signals(pthread_t *thread)
{
	static pthread_t self;
	struct itimerval every = { { 0, 500 }, { 0, 500 } };
	struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_RESTART };
	stack_t alt = { .ss_size = 1 << 18 };

	alt.ss_sp = malloc(alt.ss_size);
	sigaltstack(&alt, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sa.sa_flags |= SA_ONSTACK;
	sigaction(SIGALRM, &sa, NULL);
	self = pthread_self();
	storm_end = 0;
	pthread_create(thread, NULL, storm, &self);
	setitimer(ITIMER_REAL, &every, NULL);
}

static void stop_signals(pthread_t thread)
{
	struct itimerval never = { { 0, 0 }, { 0, 0 } };

	setitimer(ITIMER_REAL, &never, NULL);
	storm_end = 1;
	pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
	unsigned long n = check_option(argc, argv, "--rounds", 40000, 1000000);
	struct st_hook sig = { .size = sizeof(sig), .func = hook_signal };
	static const char *const level_name[] = { "SSE", "AVX", "AVX-512" };
	const char *part = "";
	double start = check_now();
	unsigned int top = cpu_level();
	unsigned int found;
	pthread_t thread;

	seed = check_option(argc, argv, "--seed", 88172645463325252ul, 88172645463325252ul);
	for (int i = 1; i + 1 < argc; i++)
		if (!strcmp(argv[i], "--shape"))
			part = argv[i + 1];
	for (size_t i = 0; i < sizeof(pool) / 8; i++)
		pool[i] = check_random(&seed);
	for (size_t i = 0; i < 8; i++)
		torture_data[i] = check_random(&seed);
	torture_level = top;

	static_chain();
	found = st_arch_vector;
	st_hook_filter_ip(&sig, sig_nops);
	st_hook_filter_ip(&sig, sig_moved);
	check(st_hook_register(&sig) == 2, "%s", st_hook_reason(&sig));
	sig_hits = 0;
	start_signals(&thread);
	for (unsigned int level = top; level <= top; level--) {
		torture_level = level;
		st_arch_vector = level == LEVEL_SSE ? 0 : level == LEVEL_AVX ? found & 1 : found;
		for (unsigned long i = 0; i < torture_shapes_count; i++)
			if (strstr(torture_shapes[i].name, part))
				torture(&torture_shapes[i], level == top ? n : n / 8);
		printf("%s: %lu rounds so far, %.1f s\n", level_name[level], rounds_done, check_now() - start);
	}
	stop_signals(thread);
	st_arch_vector = found;
	torture_level = top;
	check(!storm_wrong, "signal handlers got %lu wrong values", storm_wrong);
	check(sig_hits == 2 * storm_calls && !sig.missed, "%lu signals, %lu hits, %lu missed", storm_calls, sig_hits, sig.missed);
	check(!st_hook_unregister(&sig), "%s", st_hook_reason(&sig));
	printf("%lu kinds of site and shapes, %lu signals taken, %lu hits in them\n", torture_shapes_count, storm_calls, sig_hits);
	return check_end();
}
