// SPDX-License-Identifier: GPL-2.0-only
/*
 * A site at every instruction of a few functions, one at a time and all at once, as a jump and as a
 *breakpoint: the functions still do what they did, the hooks are called, and the bytes are as they
 *were afterwards. With the architecture's code alone.
 *
 *	inside [--verbose]
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "engine/arch.h"
#include "engine/site.h"
#include "inside.h"

#define general __attribute__((target("general-regs-only"), noinline))
#define SITES 4096
#define CPSR_T 0x20u
#define CPSR_IT 0x0600fc00u

struct record {
	struct st_site site;
	struct st_plan plan;
	uint8_t jump[ST_JUMP_MAX];
	unsigned long stub;
	unsigned long hits;
	bool on;
};

extern uint8_t __start_corpus[], __stop_corpus[];

static struct record record[SITES];
static unsigned int records;
static uint8_t *island;
static uint8_t original[65536];
static unsigned long traps, passed, failed;
static unsigned long redirect, after;
unsigned long true_return, returned; /* of from_after(), which is assembly */
static bool verbose;

general void st_dispatch(struct st_site *site, struct st_regs *regs);

/* The site is the first member of its record. */
general void st_dispatch(struct st_site *site, struct st_regs *regs)
{
	((struct record *)site)->hits++;
	if (regs->pc != site->func || !(regs->cpsr & CPSR_T) != !(site->flags & ST_SITE_THUMB) ||
	    regs->cpsr & CPSR_IT)
		failed++;
	if (redirect)
		regs->pc = redirect;
	if (after) {
		true_return = regs->lr;
		regs->lr = after;
	}
}

/* Where a function returns to whose lr was changed; r12 is free there, and the flags are. */
__attribute__((naked, target("arm"))) static void from_after(void)
{
	__asm__("push {r0}\n\t"
		"ldr r12, =returned\n\t"
		"ldr r0, [r12]\n\t"
		"add r0, r0, #1\n\t"
		"str r0, [r12]\n\t"
		"pop {r0}\n\t"
		"ldr r12, =true_return\n\t"
		"ldr r12, [r12]\n\t"
		"bx r12\n\t"
		".ltorg");
}

static void trap(int sig, siginfo_t *info, void *context)
{
	mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;
	unsigned int i;

	(void)sig;
	for (i = 0; i < records; i++)
		if (record[i].on && record[i].plan.addr == m->arm_pc &&
		    record[i].plan.kind == ST_KIND_BREAKPOINT)
			break;
	if (i == records || info->si_code != TRAP_BRKPT) {
		printf("FAIL: a trap at %lx, code %d\n", m->arm_pc, info->si_code);
		_exit(1);
	}
	traps++;
	m->arm_pc = record[i].stub & ~1ul;
	/* either must do */
	if (traps & 1)
		m->arm_cpsr &= ~(unsigned long)CPSR_IT;
}

static const char *prepare(struct record *r, const uint8_t *func, size_t size, size_t offset,
			   unsigned int flags, bool thumb)
{
	unsigned int n = (unsigned int)(r - record);
	struct st_stub stub = {
		.buf = island + n * ST_STUB_MAX,
		.at = (unsigned long)island + n * ST_STUB_MAX,
		.site = (unsigned long)&r->site,
		.entry = (unsigned long)st_entry,
		.ret = (unsigned long)from_after,
	};

	memset(r, 0, sizeof(*r));
	if (st_arch_plan_at(&r->plan, func, (unsigned long)func, size, size, offset, flags,
			    thumb ? ST_ISA_T32 : ST_ISA_A32))
		return r->plan.why;
	if (st_arch_stub(&r->plan, &stub)) {
		failed++;
		return "no stub";
	}
	r->stub = stub.at | thumb;
	r->site.dispatch = st_dispatch;
	r->site.func = r->site.ip = r->plan.addr;
	r->site.resume = (stub.at + stub.resume) | thumb;
	r->site.flags = (thumb ? ST_SITE_THUMB : 0) | (offset ? ST_SITE_INSIDE : 0);
	r->site.pad = stub.after ? (stub.at + stub.after) | thumb : 0;
	if (st_arch_jump(&r->plan, r->stub, r->jump))
		return "out of reach";
	__builtin___clear_cache((char *)stub.buf, (char *)stub.buf + stub.size);
	return NULL;
}

static void put(struct record *r, bool on)
{
	uint8_t *p = (uint8_t *)r->plan.addr;

	memcpy(p, on ? r->jump : r->plan.orig, r->plan.jump);
	__builtin___clear_cache((char *)p, (char *)p + r->plan.jump);
	r->on = on;
}

static void say(bool right, const char *what, const struct st_plan *p)
{
	if (right) {
		passed++;
		return;
	}
	failed++;
	printf("FAIL: %s: %lx in %lx, kind %d, %u instructions, %u bytes changed\n", what, p->addr,
	       p->func, p->kind, p->insns, p->jump);
}

static const uint8_t *end_of(const uint8_t *func)
{
	const void *const *list;
	unsigned int i, n = corpus_functions(&list);
	const uint8_t *end = __stop_corpus;

	for (i = 0; i < n; i++) {
		const uint8_t *other = (const uint8_t *)((uintptr_t)list[i] & ~1u);

		if (other > func && other < end)
			end = other;
	}
	return end;
}

/* All sites of all functions with these flags, one at a time; each that can be goes into a record.
 */
static void one_by_one(unsigned int flags, unsigned int want)
{
	const void *const *list;
	unsigned int i, n = corpus_functions(&list), planned = 0, refused = 0, never = 0,
			kinds[ST_KIND_NO + 1] = {0};

	for (i = 0; i < n; i++) {
		bool thumb = (uintptr_t)list[i] & 1;
		const uint8_t *func = (const uint8_t *)((uintptr_t)list[i] & ~1u);
		size_t size = (size_t)(end_of(func) - func), off;

		records = 1;
		for (off = 0; off < size; off += thumb ? 2 : 4) {
			struct record *r = &record[0];
			const char *why = prepare(r, func, size, off, flags, thumb);
			unsigned int is;

			if (why) {
				refused++;
				if (verbose)
					printf("%p+%zx: %s\n", (const void *)func, off, why);
				continue;
			}
			planned++;
			kinds[r->plan.kind]++;
			put(r, true);
			is = corpus_run();
			put(r, false);
			never += !r->hits;
			say(is == want, "another result", &r->plan);
		}
	}
	printf("one at a time, flags %u: %u sites: %u NOP, %u moved, %u breakpoints; %u never came "
	       "by; %u places refused\n",
	       flags, planned, kinds[ST_KIND_NOP], kinds[ST_KIND_MOVE], kinds[ST_KIND_BREAKPOINT],
	       never, refused);
	if (planned < 100 || never > planned / 4)
		failed++;
	say(!memcmp(original, __start_corpus, (size_t)(__stop_corpus - __start_corpus)),
	    "the bytes afterwards", &record[0].plan);
}

/* Every site that can be, at the same time: a jump where it displaces nothing that another site
 * stands on. */
static void all_at_once(unsigned int flags, unsigned int want)
{
	const void *const *list;
	unsigned int i, n = corpus_functions(&list), is, never = 0;

	records = 0;
	for (i = 0; i < n; i++) {
		bool thumb = (uintptr_t)list[i] & 1;
		const uint8_t *func = (const uint8_t *)((uintptr_t)list[i] & ~1u);
		size_t size = (size_t)(end_of(func) - func), off;
		unsigned long busy = 0;

		for (off = 0; off < size; off += thumb ? 2 : 4) {
			struct record *r = &record[records];

			if ((unsigned long)func + off < busy ||
			    prepare(r, func, size, off, flags, thumb))
				continue;
			if (r->plan.insns > 1 &&
			    !(r->plan.orig[1] == 0xbf && r->plan.orig[0] & 15) &&
			    prepare(r, func, size, off, ST_PLAN_BREAKPOINT, thumb))
				continue;
			busy = r->plan.addr + r->plan.len;
			if (records < SITES - 1)
				records++;
		}
	}
	for (i = 0; i < records; i++)
		put(&record[i], true);
	traps = 0;
	is = corpus_run();
	for (i = 0; i < records; i++) {
		put(&record[i], false);
		never += !record[i].hits;
	}
	printf("all at once, flags %u: %u sites, %lu traps, %u never came by\n", flags, records,
	       traps, never);
	say(is == want && records > 100 && never < records / 4, "all at once", &record[0].plan);
	say(!memcmp(original, __start_corpus, (size_t)(__stop_corpus - __start_corpus)),
	    "the bytes afterwards", &record[0].plan);
}

/* A pc that the hook changes: mov r0, #1; add r0, #41 (left out); bx lr. And a function that
 * returns by way of its stub. */
__attribute__((naked, noinline, target("arm"))) static int skip_arm(void)
{
	__asm__("mov r0, #1\n\tadd r0, r0, #41\n\tbx lr\n\tnop");
}

__attribute__((naked, noinline, target("thumb"))) static int skip_thumb(void)
{
	__asm__("mov.w r0, #1\n\tadd.w r0, r0, #41\n\tbx lr\n\tnop");
}

static void changes(unsigned int flags)
{
	int (*const fn[])(void) = {skip_arm, skip_thumb};
	unsigned int i;

	records = 1;
	for (i = 0; i < 2; i++) {
		const uint8_t *func = (const uint8_t *)((uintptr_t)fn[i] & ~1u);
		struct record *r = &record[0];
		unsigned long before = returned;
		const char *why = prepare(r, func, 14 - 2 * i, 4, flags, i);
		int skipped, whole;

		if (why) {
			printf("FAIL: %s\n", why);
			failed++;
			continue;
		}
		put(r, true);
		redirect = ((unsigned long)func + 8) | i;
		skipped = fn[i]();
		redirect = 0;
		whole = fn[i]();
		put(r, false);
		say(skipped == 1 && whole == 42 && r->hits == 2 && !r->site.pad, "a changed pc",
		    &r->plan);

		why = prepare(r, func, 14 - 2 * i, 0, flags, i);
		put(r, true);
		after = r->site.pad;
		whole = fn[i]();
		after = 0;
		put(r, false);
		say(!why && whole == 42 && returned == before + 1, "a return by way of the stub",
		    &r->plan);
	}
}

int main(int argc, char **argv)
{
	static const unsigned int flags[] = {ST_PLAN_ANY, ST_PLAN_ANY | ST_PLAN_STRICT,
					     ST_PLAN_BREAKPOINT};
	struct sigaction sa = {.sa_sigaction = trap, .sa_flags = SA_SIGINFO};
	unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);
	unsigned long from = (unsigned long)__start_corpus & ~(page - 1);
	unsigned long self = (unsigned long)skip_arm & ~(page - 1);
	unsigned int want, i;

	verbose = argc > 1 && !strcmp(argv[1], "--verbose");
	sigaction(SIGTRAP, &sa, NULL);
	island = mmap((void *)0x00800000, SITES * ST_STUB_MAX, PROT_READ | PROT_WRITE | PROT_EXEC,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (island == MAP_FAILED ||
	    mprotect((void *)from, (unsigned long)__stop_corpus - from,
		     PROT_READ | PROT_WRITE | PROT_EXEC) ||
	    mprotect((void *)self, (unsigned long)skip_thumb + 64 - self,
		     PROT_READ | PROT_WRITE | PROT_EXEC)) {
		perror("memory");
		return 1;
	}
	want = corpus_run();
	/* one of the functions stores to what stands behind it */
	memcpy(original, __start_corpus, (size_t)(__stop_corpus - __start_corpus));
	if (corpus_run() != want) {
		printf("FAIL: the functions themselves\n");
		return 1;
	}
	for (i = 0; i < 3; i++) {
		one_by_one(flags[i], want);
		all_at_once(flags[i], want);
	}
	changes(ST_PLAN_ANY);
	changes(ST_PLAN_BREAKPOINT);
	printf("%lu passed, %lu failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
