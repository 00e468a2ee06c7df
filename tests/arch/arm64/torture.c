// SPDX-License-Identifier: GPL-2.0-only
/*
 * AArch64 register torture. Random patterns in every register, through a function that is not
 * hooked and through the same function hooked: what the hook saw, what the function saw and what
 * came back must be what was given. A hook that changes registers must make the function see what
 * it would have seen if it had been called with them. Only the public interface is used: the
 * program is linked with the engine, and once more with standin.c.
 *
 * --rounds N: for each kind of site and each way to dispatch. --seed N: other patterns.
 * --misaligned: at times with an sp that is not a multiple of 16 (where that is not checked).
 * --streaming: in the streaming mode of SME. --no-signals: without the storm of signals.
 * --mutate ENTRY VECTOR: proves that the test can fail: each instruction of st_entry (which has
 * ENTRY bytes) and st_dispatch_vector (VECTOR bytes) is taken out in turn. --step N: one in N.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/arch.h"
#include "engine/site.h"
#include "torture.h"

extern unsigned int st_arch_vector;

#define general __attribute__((target("general-regs-only"), noinline))

#define BATCH 32
#define STACK_SIZE (256 * 1024)
#define ABOVE 512

enum { CHANGE_SP = 31, CHANGE_NZCV = 32, CHANGE_PC = 33, CHANGES };

struct round {
	struct state in;
	struct state wanted; /* what the hook makes of it */
	uint64_t change; /* a bit for each field that the hook sets: x0 to x30, then those above */
	struct state seen;
	struct state back;
	uint64_t variable;
};

static void on_hit(struct st_hook *h, struct st_regs *regs, unsigned long ip,
		   unsigned long parent_ip);

static struct st_hook hook = {.size = sizeof(hook), .func = on_hit};
static const struct function *function;
static const struct round *round_now;
static unsigned long hits, wrong;

static struct round rounds[BATCH];
static uint8_t stack[STACK_SIZE] __attribute__((aligned(64)));
static uint8_t above[ABOVE];
static bool misaligned, quiet;
static unsigned long failures, signals;
static unsigned int vl;
static unsigned long step = 1;
static uint64_t seed = 1;

static uint64_t rnd(void)
{
	uint64_t z = (seed += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

__attribute__((format(printf, 1, 2))) static void fail(const char *fmt, ...)
{
	va_list ap;

	if (failures++ > 10 || quiet)
		return;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* ---- the hook ---- */

/* Everything that C code may leave changed. */
general static void clobber(void)
{
	asm volatile("mov x0, #-1\n\t"
		     "mov x1, x0\n\tmov x2, x0\n\tmov x3, x0\n\tmov x4, x0\n\t"
		     "mov x5, x0\n\tmov x6, x0\n\tmov x7, x0\n\tmov x8, x0\n\t"
		     "mov x9, x0\n\tmov x10, x0\n\tmov x11, x0\n\tmov x12, x0\n\t"
		     "mov x13, x0\n\tmov x14, x0\n\tmov x15, x0\n\tmov x16, x0\n\t"
		     "mov x17, x0\n\tmov x18, x0\n\t"
		     "mov x0, #0x50000000\n\tmsr nzcv, x0" ::
			     : "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10",
			       "x11", "x12", "x13", "x14", "x15", "x16", "x17", "x18", "cc");
}

general static void on_hit(struct st_hook *h, struct st_regs *regs, unsigned long ip,
			   unsigned long parent_ip)
{
	const struct round *r = round_now;
	unsigned long func = (uintptr_t)function->code, sp;
	unsigned int i;
	bool ok = true;

	asm("mov %0, sp" : "=r"(sp));
	for (i = 0; i < 31; i++)
		ok &= regs->regs[i] == r->in.x[i];
	ok &= regs->sp == r->in.sp;
	ok &= regs->pc == func;
	ok &= regs->pstate == r->in.nzcv;
	ok &= ip == func + (function->wants & F_PAD ? 4 : 0);
	ok &= parent_ip == r->in.x[30];
	ok &= !(sp & 15);
	hits++;
	wrong += !ok;

	for (i = 0; i < 31; i++)
		if (r->change >> i & 1)
			regs->regs[i] = r->wanted.x[i];
	if (r->change >> CHANGE_SP & 1)
		regs->sp = r->wanted.sp;
	if (r->change >> CHANGE_NZCV & 1)
		regs->pstate = r->wanted.nzcv;
	if (r->change >> CHANGE_PC & 1)
		regs->pc = (uintptr_t)functions[nfunctions - 1].code;
	if (!(h->flags & ST_HOOK_GENERAL_REGS))
		clobber_vectors();
	clobber();
}

/* ---- rounds ---- */

static void fill(void *p, size_t size)
{
	uint64_t *w = p;
	size_t i;

	for (i = 0; i < size / 8; i++)
		w[i] = rnd();
}

static uint64_t random_sp(void)
{
	uint64_t sp = (uintptr_t)stack + 32768 + (rnd() % (STACK_SIZE - 65536) & ~15ul);

	return misaligned && !(rnd() & 7) ? sp + (rnd() & 15) : sp;
}

static void make_state(struct state *s, uint64_t wants)
{
	unsigned int i;

	for (i = 0; i < 31; i++)
		s->x[i] = rnd() & 15 ? rnd() : 0;
	s->x[30] = (uintptr_t)(rnd() & 1 ? back_a : back_b);
	s->sp = random_sp();
	s->nzcv = rnd() & 0xf0000000;
	s->who = 0;
	s->fpcr = rnd() & 0x03c00000;
	s->fpsr = rnd() & 0x0800001f;
	fill(s->q, sizeof(s->q));
	if (with_sve) {
		fill(s->z, 32 * vl);
		fill(s->p, 17 * vl / 8);
		/* FFR holds 1s from the bottom only */
		memset((uint8_t *)s->p + 2 * vl, 0, vl / 8);
		memset((uint8_t *)s->p + 2 * vl, 0xff, rnd() % (vl / 8 + 1));
		for (i = 0; i < 32; i++)
			memcpy(s->q[i], (uint8_t *)s->z + i * vl, 16);
	}
	if (wants & F_BODY)
		s->x[16] = (uintptr_t)body;
	if (wants & F_WORD)
		s->x[16] = (uintptr_t)&variable;
	if (wants & F_SVC)
		s->x[8] = SYS_getpid;
}

static void make_round(struct round *r, const struct function *f)
{
	struct state other;
	unsigned int i;

	make_state(&r->in, f->wants);
	make_state(&other, f->wants);
	r->wanted = r->in;
	r->variable = rnd();
	r->change = 0;
	switch (rnd() & 7) {
	case 0:
	case 1:
		break; /* a hook that looks */
	case 2:
		r->change = rnd(); /* some */
		break;
	case 3:
		r->change = ~0ul; /* all */
		break;
	default:
		r->change = 1ul << rnd() % CHANGES;
	}
	r->change &= (1ul << CHANGES) - 1;
	for (i = 0; i < 31; i++)
		if (r->change >> i & 1)
			r->wanted.x[i] = other.x[i];
	if (r->change >> CHANGE_SP & 1) {
		/* anywhere, or so near that the frames overlap */
		if (rnd() & 1)
			other.sp = r->in.sp + (rnd() & 0x3f0) - 0x200;
		r->wanted.sp = other.sp;
	}
	if (r->change >> CHANGE_NZCV & 1)
		r->wanted.nzcv = other.nzcv;
}

static void call(const struct function *f, const struct state *in, uint64_t value, struct state *s,
		 struct state *b)
{
	seen.who = 0;
	variable = value;
	memcpy((void *)in->sp, above, ABOVE);
	f->enter(in);
	memcpy(s, &seen, with_sve ? sizeof(*s) : T_P);
	memcpy(b, &came_back, with_sve ? sizeof(*b) : T_P);
}

static void show(const char *what, const struct function *f, const struct round *r,
		 const struct state *want, const struct state *got)
{
	const uint64_t *a = (const uint64_t *)want, *b = (const uint64_t *)got;
	unsigned int i;

	fail("%s (%s), change %lx, sp %lx: %s", f->name,
	     hook.flags & ST_HOOK_GENERAL_REGS ? "general" : "vector", r->change, r->in.sp, what);
	if (failures > 10 || quiet)
		return;
	for (i = 0; i < T_P / 8; i++)
		if (a[i] != b[i])
			fprintf(stderr, "  word %u: %016lx should be %016lx\n", i, b[i], a[i]);
}

static bool same(const struct state *a, const struct state *b)
{
	if (memcmp(a, b, offsetof(struct state, p)))
		return false;
	/* there is no FFR in streaming mode */
	return !with_sve || (!memcmp(a->p, b->p, (streaming ? 16 : 17) * vl / 8) &&
			     !memcmp(a->z, b->z, 32 * vl));
}

static void batch(const struct function *f, unsigned int count)
{
	static struct state s, b;
	const struct function *target = &functions[nfunctions - 1];
	uint8_t bytes[16];
	unsigned int i;
	int ret;

	for (i = 0; i < count; i++) {
		struct round *r = &rounds[i];

		make_round(r, f);
		if (r->change >> CHANGE_PC & 1) {
			r->wanted.x[17] = (uintptr_t)target->code;
			call(target, &r->wanted, r->variable, &r->seen, &r->back);
		} else {
			call(f, &r->wanted, r->variable, &r->seen, &r->back);
		}
	}

	memcpy(bytes, f->code, sizeof(bytes));
	function = f;
	ret = st_hook_filter_ip(&hook, f->code);
	if (!ret)
		ret = st_hook_register(&hook);
	if (ret < 0) {
		fail("%s: %d, %s", f->name, ret, st_hook_reason(&hook));
		return;
	}
	for (i = 0; i < count; i++) {
		struct round *r = &rounds[i];
		uint64_t top = r->in.sp > r->wanted.sp ? r->in.sp : r->wanted.sp;
		uint64_t value = variable;

		round_now = r;
		hits = wrong = 0;
		call(f, &r->in, r->variable, &s, &b);
		value = variable;
		if (hits != 1)
			fail("%s: the hook ran %lu times", f->name, hits);
		if (wrong)
			fail("%s: the hook saw other registers", f->name);
		if (!same(&r->seen, &s) && !(f->wants & F_LAST && !(r->change >> CHANGE_PC & 1)))
			show("the function saw other registers", f, r, &r->seen, &s);
		if (!same(&r->back, &b))
			show("other registers came back", f, r, &r->back, &b);
		if (top < r->in.sp + ABOVE &&
		    memcmp((void *)top, above + (top - r->in.sp), ABOVE - (top - r->in.sp)))
			fail("%s: the caller's stack changed", f->name);
		if (value != r->variable)
			fail("%s: memory changed", f->name);
	}
	ret = st_hook_unregister(&hook);
	if (ret || memcmp(bytes, f->code, sizeof(bytes)))
		fail("%s: not as it was: %d", f->name, ret);
}

/* ---- signals ---- */

static void on_signal(int sig)
{
	volatile uint8_t below[768];
	unsigned int i;

	(void)sig;
	for (i = 0; i < sizeof(below); i++)
		below[i] = 0xdb;
	clobber_vectors();
	signals++;
}

static void storm(bool on)
{
	struct itimerval t = {{0, on ? 400 : 0}, {0, on ? 400 : 0}};
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &t, NULL);
}

/* ---- main ---- */

static void torture(const char *kind, unsigned long n)
{
	unsigned long done = 0;
	unsigned int i;

	while (done < n) {
		for (i = 0; i < nfunctions && done < n; i++) {
			if (strcmp(functions[i].kind, kind))
				continue;
			batch(&functions[i], BATCH);
			done += BATCH;
		}
	}
}

static const char *const kinds[] = {"nop", "bti", "move"};

static void all(unsigned long n, bool say)
{
	static const unsigned int flags[] = {ST_HOOK_GENERAL_REGS, 0};
	unsigned int i, j;

	for (i = 0; i < 2; i++) {
		hook.flags = flags[i] | ST_HOOK_IPMODIFY;
		for (j = 0; j < 3; j++) {
			torture(kinds[j], n);
			if (say)
				printf("%s, %s: %lu rounds, %lu signals, %lu failures\n", kinds[j],
				       flags[i] ? "general" : "vector", n, signals, failures);
		}
	}
}

/* Runs with one instruction replaced by NOP; true if it was noticed: a failure, or a crash. */
static bool noticed(uint32_t *insn)
{
	unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);
	uint32_t nop = 0xd503201f;
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		quiet = true;
		alarm(20);
		mprotect((void *)((uintptr_t)insn & -page), page,
			 PROT_READ | PROT_WRITE | PROT_EXEC);
		memcpy(insn, &nop, 4);
		__builtin___clear_cache((char *)insn, (char *)insn + 4);
		all(384, false);
		_exit(!!failures);
	}
	waitpid(pid, &status, 0);
	return status != 0;
}

/* What may be missing without a wrong register: marks for BTI and for unwinders. */
static bool idle(uint32_t insn)
{
	return insn == 0xd503245f || insn == 0xd503201f || (insn & 0xffc003ff) == 0x910003fd;
}

static unsigned int mutate(const char *what, void *code, unsigned long size)
{
	unsigned int survivors = 0, count = 0;
	uint32_t *insn = code;
	unsigned long i;

	for (i = 0; i < size / 4; i++) {
		if (idle(insn[i]) || i % step)
			continue;
		count++;
		if (noticed(&insn[i]))
			continue;
		printf("%s: nobody notices when %08x at +%lx is missing\n", what, insn[i], i * 4);
		survivors++;
	}
	printf("%s: %u instructions taken out, %u not noticed\n", what, count, survivors);
	return survivors;
}

int main(int argc, char **argv)
{
	const char *lasting = getenv("SIDETRACK_LONG");
	unsigned long n = lasting && atoi(lasting) ? 1000000 : 20000, mutated[2] = {0};
	bool storming = true;
	int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--rounds") && i + 1 < argc)
			n = strtoul(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			seed = strtoul(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--step") && i + 1 < argc)
			step = strtoul(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--misaligned"))
			misaligned = true;
		else if (!strcmp(argv[i], "--no-signals"))
			storming = false;
		else if (!strcmp(argv[i], "--streaming"))
			streaming = 1;
		else if (!strcmp(argv[i], "--mutate") && i + 2 < argc) {
			mutated[0] = strtoul(argv[++i], NULL, 0);
			mutated[1] = strtoul(argv[++i], NULL, 0);
		} else {
			return 2;
		}
	}
	fill(above, sizeof(above));
	st_arch_init(getauxval(AT_HWCAP));
	with_sve = streaming || st_arch_vector & 1;
	if (streaming && !(st_arch_vector & 2)) {
		printf("no streaming mode here\n");
		return 77;
	}
	vl = with_sve ? vector_length() : 16;
	printf("vector state: %s, %u bytes\n",
	       streaming  ? "streaming SVE"
	       : with_sve ? "SVE"
			  : "FPSIMD",
	       vl);
	if (mutated[1])
		return mutate("st_entry", st_entry, mutated[0]) |
		       mutate("st_dispatch_vector", st_dispatch_vector, mutated[1]);
	storm(storming);
	all(n, true);
	storm(false);
	return failures != 0;
}
