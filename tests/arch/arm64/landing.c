// SPDX-License-Identifier: GPL-2.0-only
/*
 * AArch64, on the target: sites in guarded pages, where an indirect branch must find a landing pad,
 * and breakpoints. Each function is called, in a page that is guarded, as it is and with a hook:
 * same result, and the hook sees the true return address. That a jump in a pad's place ends in
 * SIGILL is shown, too.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "engine/arch.h"
#include "engine/site.h"

#ifndef PROT_BTI
#define PROT_BTI 0x10
#endif

#define PAGE 65536ul

extern const char __executable_start[], etext[];

static unsigned int passed, failed, hits, traps, types;
static unsigned long seen_pc, seen_lr;
static struct st_site site;
static uint8_t *code, *stub_page;
static struct st_stub stub;
static struct st_plan plan;
static sigjmp_buf back;
static int caught;

static void check(bool ok, const char *name, const char *what)
{
	passed += ok;
	failed += !ok;
	if (!ok)
		printf("FAIL: %s: %s\n", name, what);
}

/* What the stub calls, by st_entry: in place of the engine. */
__attribute__((target("general-regs-only"))) void st_dispatch(struct st_site *s,
							      struct st_regs *regs)
{
	(void)s;
	hits++;
	seen_pc = regs->pc;
	seen_lr = regs->regs[30];
}

static void on_trap(int sig, siginfo_t *info, void *context)
{
	mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;

	if (sig == SIGTRAP && m->pc == plan.addr && (unsigned long)info->si_addr == plan.addr) {
		traps++;
		types |= 1u << (m->pstate >> 10 & 3);
		m->pc = stub.at;
		return;
	}
	caught = sig;
	siglongjmp(back, 1);
}

/* The functions add to x0; 16 words each at most. */
asm(".pushsection .rodata\n"
    "	.arch_extension pauth\n"
    "signs:	paciasp\n	stp x29, x30, [sp, #-16]!\n	add x0, x0, #1\n"
    "	ldp x29, x30, [sp], #16\n	autiasp\n	ret\n"
    "signs_b: pacibsp\n	add x0, x0, #1\n	autibsp\n	ret\n"
    "checked: hint #34\n	add x0, x0, #1\n	ret\n"
    "table:	hint #34\n	adr x3, 1f\n	add x3, x3, x1, lsl #2\n	br x3\n"
    "1:	hint #36\n	add x0, x0, #1\n	ret\n"
    "plain:	add x0, x0, #1\n	ret\n"
    "ends:	nop\n"
    "	.popsection\n");
#pragma GCC visibility push(hidden)
extern const uint32_t signs[], signs_b[], checked[], table[], plain[], ends[];
#pragma GCC visibility pop

/* By words: QEMU 7.2 as a machine may run old code behind the first half of a 16-byte store. */
static void copy(void *to, const void *from, size_t len)
{
	volatile uint32_t *t = to;
	const uint32_t *f = from;

	for (size_t i = 0; i < (len + 3) / 4; i++)
		t[i] = f[i];
	__builtin___clear_cache(to, (char *)to + len);
}

static void put(const void *bytes, size_t at, size_t len, bool guarded)
{
	mprotect(code, PAGE, PROT_READ | PROT_WRITE);
	copy(code + at, bytes, len);
	/* refused where there is no BTI */
	if (!guarded || mprotect(code, PAGE, PROT_READ | PROT_EXEC | PROT_BTI))
		mprotect(code, PAGE, PROT_READ | PROT_EXEC);
}

static long call(void)
{
	long (*volatile f)(long, long) = (long (*)(long, long))code;

	caught = 0;
	if (sigsetjmp(back, 1))
		return -1;
	return f(41, 0);
}

/* Calls what is between @from and @to, hooked at @offset. */
static void one(const char *name, const uint32_t *from, const uint32_t *to, size_t offset,
		unsigned int flags, enum st_kind kind, bool guarded)
{
	size_t size = (size_t)(to - from) * 4;
	uint8_t bytes[ST_STUB_MAX] __attribute__((aligned(4))),
		jump[ST_JUMP_MAX] __attribute__((aligned(4)));
	unsigned int traps_before = traps, i;
	int ret;

	put(from, 0, size, guarded);
	check(call() == 42, name, "not hooked");
	ret = st_arch_plan_at(&plan, code, (unsigned long)code, size, size, offset, flags,
			      ST_ISA_NATIVE);
	check(!ret && plan.kind == kind, name, plan.why ? plan.why : "another kind");
	if (ret)
		return;
	stub = (struct st_stub){.buf = bytes,
				.at = (unsigned long)stub_page,
				.site = (unsigned long)&site,
				.entry = (unsigned long)st_entry};
	ret = st_arch_stub(&plan, &stub);
	check(!ret && !st_arch_jump(&plan, stub.at, jump), name, "no stub");
	mprotect(stub_page, PAGE, PROT_READ | PROT_WRITE);
	copy(stub_page, bytes, stub.size);
	mprotect(stub_page, PAGE, PROT_READ | PROT_EXEC);
	site = (struct st_site){.dispatch = st_dispatch,
				.func = plan.inside ? plan.addr : plan.func,
				.ip = plan.addr,
				.resume = stub.at + stub.resume};
	put(jump, plan.addr - (unsigned long)code, plan.jump, guarded);
	hits = 0;
	for (i = 1; i <= 3; i++) {
		check(call() == 42, name, "another result when hooked");
		check(hits == i, name, "no hit");
		check(seen_pc == (unsigned long)code + offset, name, "another pc");
		check(offset || (seen_lr >= (unsigned long)__executable_start &&
				 seen_lr < (unsigned long)etext),
		      name, "another return address");
	}
	check(traps - traps_before == (kind == ST_KIND_BREAKPOINT ? 3 : 0), name, "breakpoints");
	put(from + (plan.addr - (unsigned long)code) / 4, plan.addr - (unsigned long)code,
	    plan.jump, guarded);
	check(call() == 42 && hits == 3, name, "unhooked");
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
	uint32_t b = 0x14000000 | (uint32_t)(PAGE / 4);
	bool guarded;

	code = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED)
		return 1;
	stub_page = code + PAGE;
	sigaction(SIGTRAP, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);

	/* A jump over a pad: to plain code, which is not guarded, so that only the missing pad
	 * matters. */
	copy(stub_page, plain, 8);
	mprotect(stub_page, PAGE, PROT_READ | PROT_EXEC);
	put(&b, 0, 4, true);
	guarded = call() == -1 && caught == SIGILL;
	for (int g = 0; g <= guarded; g++) {
		one("paciasp", signs, signs_b, 0, 0, ST_KIND_MOVE, g);
		one("pacibsp", signs_b, checked, 0, 0, ST_KIND_MOVE, g);
		one("bti c", checked, table, 0, 0, ST_KIND_MOVE, g);
		one("paciasp, breakpoint", signs, signs_b, 0, ST_PLAN_BREAKPOINT,
		    ST_KIND_BREAKPOINT, g);
		one("bti c, breakpoint", checked, table, 0, ST_PLAN_BREAKPOINT, ST_KIND_BREAKPOINT,
		    g);
		one("bti j", table, plain, 16, ST_PLAN_ANY, ST_KIND_BREAKPOINT, g);
		one("behind bti j", table, plain, 20, 0, ST_KIND_MOVE, g);
		one("the branch", table, plain, 12, 0, ST_KIND_MOVE, g);
		one("inside", signs, signs_b, 8, ST_PLAN_BREAKPOINT, ST_KIND_BREAKPOINT, g);
	}
	one("no pad", plain, ends, 0, ST_PLAN_BREAKPOINT, ST_KIND_BREAKPOINT, false);
	if (!guarded) {
		printf("skipped: there are no guarded pages here\n%u passed, %u failed, 1 "
		       "skipped\n",
		       passed, failed);
		return failed != 0;
	}
	check(types & ~1u, "signal", "BTYPE was never other than 0 at a breakpoint");
	printf("BTYPE at breakpoints: mask %x\n%u passed, %u failed, 0 skipped\n", types, passed,
	       failed);
	return failed != 0;
}
