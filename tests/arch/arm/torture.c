// SPDX-License-Identifier: GPL-2.0-only
/*
 * ARM register torture, A32 and T32. Random patterns in every register, a stack that may be
 *misaligned, through a function that is not hooked and through the same function hooked, under
 *signals: what the hook saw and what the function saw must be what was given. A hook that changes
 *registers must make the function see what it would have seen if it had been called with them.
 *
 *	torture [--rounds N] [--seed N] [--kind NAME] [--no-signals] [--mutate]
 *
 * N rounds for each kind of site and each way to dispatch. --mutate: proves that the test can fail:
 *each instruction of st_entry and st_dispatch_vector is taken out in turn, and the test must
 *notice.
 *
 * Built with -DTORTURE_API it hooks through the public API instead of writing stubs itself.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/arch.h"
#include "engine/site.h"
#include "torture.h"

#define general __attribute__((target("general-regs-only"), noinline))

#define STACK_SIZE (64 * 1024)
#define ABOVE 160	  /* bytes above sp that must not change */
#define FLAGS 0xf80f0000u /* N Z C V Q, GE */
#define CPSR_T 0x20u

enum { CHANGE_SP = 13, CHANGE_LR, CHANGE_FLAGS, CHANGE_PC, CHANGES };

static uint8_t stack[STACK_SIZE] __attribute__((aligned(64)));
static uint8_t expected_stack[STACK_SIZE];
static struct state in, wanted, expected, seen;
static const struct kind *kind;
static uint32_t change; /* a bit for each of the above; below 13: r0 to r12 */
/* How hooks are called, and how many vector registers the CPU is said to have. */
static const struct way {
	const char *name;
	bool vector;
	unsigned int registers;
} ways[] = {
	{"general", false, 32},
	{"vector", true, 32},
#ifndef TORTURE_API
	{"vector, 16 registers", true, 16},
	{"vector, no registers", true, 0},
#endif
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))
static const struct way *way;
static unsigned long hits, hit_count;
static unsigned int wrong;
static const char *wrong_what;
static uint32_t wrong_is, wrong_should;
static volatile unsigned long signals;
static unsigned long passed, failed;
static uint64_t random_state = 88172645463325252ull;

static uint32_t rnd(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 13);
}

/* ---- the hook ---- */

static general void expect(const char *what, unsigned long is, unsigned long should)
{
	if (is == should || wrong++)
		return;
	wrong_what = what;
	wrong_is = is;
	wrong_should = should;
}

/* Takes every vector register there is, and FPSCR. */
static __attribute__((noinline)) void use_vectors(void)
{
	__asm__ volatile(".fpu neon\n"
			 "vmov.i8 q0, #0xa5\n\tvmov q1, q0\n\tvmov q2, q0\n\tvmov q3, q0\n\t"
			 "vmov q4, q0\n\tvmov q5, q0\n\tvmov q6, q0\n\tvmov q7, q0\n\t"
			 "vmov q8, q0\n\tvmov q9, q0\n\tvmov q10, q0\n\tvmov q11, q0\n\t"
			 "vmov q12, q0\n\tvmov q13, q0\n\tvmov q14, q0\n\tvmov q15, q0\n\t"
			 "vmsr fpscr, %0"
			 :
			 : "r"(0x0340009f)
			 : "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9", "d10", "d11",
			   "d12", "d13", "d14", "d15", "d16", "d17", "d18", "d19", "d20", "d21",
			   "d22", "d23", "d24", "d25", "d26", "d27", "d28", "d29", "d30", "d31",
			   "cc");
}

#ifndef TORTURE_API
static __attribute__((noinline)) void use_half(void)
{
	__asm__ volatile(
		"vmov.i8 q0, #0xa5\n\tvmov q1, q0\n\tvmov q2, q0\n\tvmov q3, q0\n\tvmsr fpscr, %0"
		:
		: "r"(0x0340009f)
		: "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "cc");
}
#endif

static general void hook_body(struct st_regs *regs)
{
	static const char *const name[] = {"r0", "r1", "r2", "r3",  "r4", "r5", "r6",
					   "r7", "r8", "r9", "r10", "fp", "ip"};
	unsigned long *r = regs->r, flags = in.cpsr & FLAGS;
	uint32_t thumb = (uint32_t)kind->hooked & 1;
	unsigned int i;

	hits++;
	for (i = 0; i < 13; i++)
		expect(name[i], r[i], in.r[i]);
	expect("sp", regs->sp, in.sp);
	expect("lr", regs->lr, in.lr);
	expect("pc", regs->pc, (unsigned long)kind->hooked & ~1ul);
	expect("cpsr", regs->cpsr, flags | 0x10 | thumb * CPSR_T);
	expect("orig_r0", regs->orig_r0, ~0ul);
	expect("the stack's alignment", (unsigned long)__builtin_frame_address(0) & 3, 0);

	for (i = 0; i < 13; i++)
		if (change & 1u << i)
			r[i] = wanted.r[i];
	regs->sp = wanted.sp;
	regs->lr = wanted.lr;
	/* what is not a flag must not matter */
	regs->cpsr = (regs->cpsr & ~FLAGS) | (wanted.cpsr & FLAGS);
	if (change & 1u << CHANGE_PC)
		st_regs_set_pc(regs, wanted.who);
}

#ifndef TORTURE_API

/* In the place of the engine's. Aligned by the ABI: a local that needs it says whether it is so. */
general void st_dispatch(struct st_site *site, struct st_regs *regs)
{
	volatile uint64_t aligned __attribute__((aligned(8))) = 0;

	(void)aligned;
	expect("the site", site->ip, (unsigned long)kind->hooked & ~1ul);
	hook_body(regs);
	if (way->registers == 32 && way->vector)
		use_vectors();
	else if (way->registers == 16)
		use_half();
}

/* Stands before st_dispatch or st_dispatch_vector, to look at sp as it is when the call comes. */
extern unsigned int st_arch_vector;
unsigned long t_dispatch_sp;
void (*t_dispatch_next)(struct st_site *site, struct st_regs *regs);

static uint8_t stubs[64][(ST_STUB_MAX + 15) & ~15] __attribute__((aligned(4096)));
static struct st_site sites[64];

static void writable(void *p, size_t len)
{
	uintptr_t from = (uintptr_t)p & ~4095ul, to = ((uintptr_t)p + len + 4095) & ~4095ul;

	if (mprotect((void *)from, to - from, PROT_READ | PROT_WRITE | PROT_EXEC)) {
		perror("mprotect");
		exit(1);
	}
}

static bool hook_site(const struct kind *k)
{
	unsigned int n = k->who;
	unsigned long func = (unsigned long)k->hooked & ~1ul;
	enum st_isa isa = (unsigned long)k->hooked & 1 ? ST_ISA_T32 : ST_ISA_A32;
	struct st_site *site = &sites[n];
	uint8_t buf[ST_STUB_MAX], jump[ST_JUMP_MAX];
	struct st_stub stub = {.buf = buf,
			       .at = (unsigned long)stubs[n],
			       .site = (unsigned long)site,
			       .entry = (unsigned long)st_entry};
	struct st_plan plan;

	if (st_arch_plan(&plan, (const uint8_t *)func, func, 16, 16, isa) ||
	    st_arch_stub(&plan, &stub) ||
	    st_arch_jump(&plan, stub.at | (isa == ST_ISA_T32), jump)) {
		printf("FAIL: %s: %s\n", k->name, plan.why ? plan.why : "no stub");
		failed++;
		return false;
	}
	site->dispatch = t_look;
	site->func = site->ip = func;
	site->resume = (stub.at + stub.resume) | (isa == ST_ISA_T32);
	site->flags =
		(isa == ST_ISA_T32 ? ST_SITE_THUMB : 0) | 0xf00f0; /* others must not matter */
	memcpy(stubs[n], buf, stub.size);
	memcpy((void *)func, jump, plan.jump);
	__builtin___clear_cache((char *)stubs[n], (char *)stubs[n] + stub.size);
	__builtin___clear_cache((char *)func, (char *)func + plan.jump);
	return true;
}

static void set_up(void)
{
	t_dispatch_next = way->vector ? st_dispatch_vector : st_dispatch;
	st_arch_vector = way->registers;
}

static bool start(void)
{
	const struct kind *k;
	bool ok = true;

	writable(stubs, sizeof(stubs));
	writable((void *)t_run, 4096 * 2);
	st_arch_init(getauxval(AT_HWCAP));
	for (k = t_kinds; k < t_kinds_end; k++)
		ok &= hook_site(k);
	return ok;
}

#else

static void api_hook(struct st_hook *hook, struct st_regs *regs, unsigned long ip,
		     unsigned long parent_ip)
{
	expect("the hook", (unsigned long)hook->data, (unsigned long)kind);
	expect("ip", ip, (unsigned long)kind->hooked & ~1ul);
	expect("parent_ip", parent_ip, in.lr);
	hook_body(regs);
	if (way->vector) {
		use_vectors();
		errno = (int)hits;
	}
}

static general void api_hook_general(struct st_hook *hook, struct st_regs *regs, unsigned long ip,
				     unsigned long parent_ip)
{
	expect("the hook", (unsigned long)hook->data, (unsigned long)kind);
	expect("ip", ip, (unsigned long)kind->hooked & ~1ul);
	expect("parent_ip", parent_ip, in.lr);
	hook_body(regs);
}

static struct st_hook hook;

static void set_up(void)
{
	int ret;

	if (hook.size)
		st_hook_unregister(&hook);
	hook = (struct st_hook){.size = sizeof(hook),
				.data = (void *)kind,
				.flags = ST_HOOK_IPMODIFY,
				.func = way->vector ? api_hook : api_hook_general};
	if (!way->vector)
		hook.flags |= ST_HOOK_GENERAL_REGS;
	ret = st_hook_filter_ip(&hook, (void *)kind->hooked);
	if (!ret)
		ret = st_hook_register(&hook);
	if (ret != 1) {
		printf("FAIL: %s: %s\n", kind->name, st_hook_reason(&hook));
		failed++;
	}
}

static bool start(void)
{
	return true;
}

#endif

/* ---- signals ---- */

static void on_signal(int sig)
{
	volatile uint8_t garbage[600];

	memset((void *)garbage, 0xee, sizeof(garbage));
	use_vectors();
	signals++;
	(void)sig;
}

static pid_t storm;

static void start_storm(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	struct itimerval it = {{0, 331}, {0, 331}};
	pid_t parent = getpid();

	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	storm = fork();
	if (storm)
		return;
	while (getppid() == parent) {
		kill(parent, SIGUSR1);
		usleep(200);
	}
	_exit(0);
}

static void stop_storm(void)
{
	struct itimerval it = {{0, 0}, {0, 0}};

	setitimer(ITIMER_REAL, &it, NULL);
	if (storm <= 0)
		return;
	kill(storm, SIGKILL);
	waitpid(storm, NULL, 0);
}

/* ---- rounds ---- */

static uint32_t pattern(void)
{
	switch (rnd() % 8) {
	case 0:
		return 0;
	case 1:
		return ~0u;
	case 2:
		return in.sp;
	}
	return rnd();
}

static void random_state_in(void)
{
	unsigned int i;

	for (i = 0; i < 13; i++)
		in.r[i] = pattern();
	in.lr = pattern();
	in.sp = (uint32_t)stack + STACK_SIZE / 2 + rnd() % 64 * 4;
	in.cpsr = rnd() & FLAGS;
	/* rounding, flush to zero, default NaN, the flags and the cumulative flags */
	in.fpscr = rnd() & 0xffc0009f & ~0x00300000u;
	for (i = 0; i < 32; i++)
		in.d[i] = (uint64_t)rnd() << 32 | rnd();
}

static void random_change(void)
{
	unsigned int what = rnd() % (CHANGES + 3), i;
	static const int near[] = {-4,	 -8, -16, -60, -72, -76,  -128,
				   -200, 4,  8,	  64,  72,  4096, -4096};

	if (what < CHANGES)
		change = 1u << what;
	else
		change = what == CHANGES ? ~0u : what == CHANGES + 1 ? rnd() : 0;
	wanted = in;
	for (i = 0; i < 13; i++)
		if (change & 1u << i)
			wanted.r[i] = pattern();
	if (change & 1u << CHANGE_SP)
		wanted.sp = in.sp + near[rnd() % 14];
	if (change & 1u << CHANGE_LR)
		wanted.lr = pattern();
	if (change & 1u << CHANGE_FLAGS)
		wanted.cpsr = rnd() & FLAGS;
	wanted.who = (uint32_t)kind->plain;
	if (change & 1u << CHANGE_PC)
		wanted.who = (uint32_t)(rnd() % 2 ? t_target_arm : t_target_thumb);
}

static void fill_stack(uint32_t lo, uint32_t hi)
{
	memset(stack + (lo - 64 - (uint32_t)stack), 0x5a, hi - lo + 64 + ABOVE);
}

static void expect_stack(uint32_t from, uint32_t to)
{
	uint32_t off = from - (uint32_t)stack;

	if (memcmp(stack + off, expected_stack + off, to - from))
		expect("the stack", 1, 0);
}

static void one_round(void)
{
	static const char *const name[] = {"r0", "r1", "r2", "r3",  "r4", "r5", "r6",
					   "r7", "r8", "r9", "r10", "fp", "ip"};
	uint32_t lo, hi;
	unsigned int i;

	random_state_in();
	random_change();
	wrong = 0;
	hits = 0;
	lo = in.sp < wanted.sp ? in.sp : wanted.sp;
	hi = in.sp > wanted.sp ? in.sp : wanted.sp;

	fill_stack(lo, hi);
	t_run(&wanted, &expected);
	memcpy(expected_stack + (lo - 64 - (uint32_t)stack), stack + (lo - 64 - (uint32_t)stack),
	       hi - lo + 64 + ABOVE);

	fill_stack(lo, hi);
	in.who = (uint32_t)kind->hooked;
#ifndef TORTURE_API
	t_dispatch_sp = 1;
#endif
	t_run(&in, &seen);
#ifndef TORTURE_API
	expect("the stack's alignment", t_dispatch_sp & 7, 0);
#endif
	expect("hits", hits, 1);
	hit_count += hits;
	for (i = 0; i < 13; i++)
		expect(name[i], seen.r[i], expected.r[i]);
	expect("sp behind", seen.sp, expected.sp);
	expect("lr behind", seen.lr, expected.lr);
	expect("the function that ran", seen.who, expected.who);
	expect("flags behind", seen.cpsr & FLAGS, expected.cpsr & FLAGS);
	expect("fpscr", seen.fpscr, expected.fpscr);
	for (i = 0; i < 32; i++)
		if (seen.d[i] != expected.d[i])
			expect("a vector register", i, 100);
	expect_stack(seen.sp, wanted.sp);
	expect_stack(hi, hi + ABOVE);
	if (!wrong) {
		passed++;
		return;
	}
	if (failed++ < 20)
		printf("FAIL: %s, %s, change %05x: %u wrong, first %s: %08x, should be %08x\n",
		       kind->name, way->name, change, wrong, wrong_what, wrong_is, wrong_should);
}

static void all_rounds(unsigned long rounds, const char *only)
{
	unsigned long i, before;

	for (kind = t_kinds; kind < t_kinds_end; kind++) {
		if (only && strcmp(only, kind->name))
			continue;
		for (way = ways; way < ways + WAYS; way++) {
			set_up();
			before = failed;
			for (i = 0; i < (way->registers == 32 ? rounds : rounds / 16) &&
				    failed < before + 5;
			     i++)
				one_round();
		}
	}
}

#ifndef TORTURE_API

/*
 * Is the test's eye on every instruction? Each is replaced by a NOP in a child, which must not come
 * through.
 */
static int mutate(void)
{
	uint32_t *p[] = {(uint32_t *)st_entry, (uint32_t *)st_dispatch_vector};
	/* how they end: ldm sp, {r0-r15}; pop {r4-r6, pc} */
	static const uint32_t end[] = {0xe89dffff, 0xe8bd8070};
	/*
	 * Not seen from here: bits of the APSR that this CPU happens to give as they must be; the
	 * frame pointer, which is for unwinders; that more was saved than the CPU is said to have,
	 * twice.
	 */
	static const uint32_t unseen[] = {0xe7da9a1f, 0xe7cf901a, 0xe1a0600d, 0xe79f5005,
					  0xe3550010};
	unsigned int i, j, unnoticed = 0, n = 0;
	int status;

	for (i = 0; i < 2; i++) {
		writable((void *)p[i], 4096);
		for (; p[i][-1] != end[i]; p[i]++, n++) {
			pid_t pid;

			fflush(stdout);
			pid = fork();
			if (!pid) {
				*p[i] = 0xe320f000;
				__builtin___clear_cache((char *)p[i], (char *)p[i] + 4);
				if (!freopen("/dev/null", "w", stdout))
					_exit(2);
				alarm(5);
				all_rounds(200, NULL);
				_exit(failed != 0);
			}
			waitpid(pid, &status, 0);
			for (j = 0; j < 5 && *p[i] != unseen[j]; j++)
				;
			if (WIFEXITED(status) && !WEXITSTATUS(status) && j == 5) {
				printf("not noticed: %08x at %s+%#x without\n", *p[i],
				       i ? "st_dispatch_vector" : "st_entry",
				       (unsigned int)((uintptr_t)p[i] -
						      (i ? (uintptr_t)st_dispatch_vector
							 : (uintptr_t)st_entry)));
				unnoticed++;
			}
		}
	}
	printf("%u passed, %u failed, 0 skipped\n", n - unnoticed, unnoticed);
	return unnoticed != 0;
}

#endif

int main(int argc, char **argv)
{
	unsigned long rounds =
		getenv("SIDETRACK_LONG") && atoi(getenv("SIDETRACK_LONG")) ? 1000000 : 20000;
	bool with_signals = true, mutations = false;
	const char *only = NULL;
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--rounds") && argv[i + 1])
			rounds = strtoul(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--seed") && argv[i + 1])
			random_state ^= strtoull(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--kind") && argv[i + 1])
			only = argv[++i];
		else if (!strcmp(argv[i], "--no-signals"))
			with_signals = false;
		else if (!strcmp(argv[i], "--mutate"))
			mutations = true;
		else
			return 2;
	}
	way = ways;
	if (!start())
		return 1;
#ifndef TORTURE_API
	if (mutations)
		return mutate();
#else
	(void)mutations;
#endif
	if (with_signals)
		start_storm();
	all_rounds(rounds, only);
	if (with_signals)
		stop_storm();
	printf("%s: %lu rounds, %lu hits, %lu signals\n", failed ? "FAIL" : "ok", passed + failed,
	       hit_count, signals);
	printf("%lu passed, %lu failed, 0 skipped\n", passed, failed);
	return failed || !passed;
}
