// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sites inside of functions, natively, with the real st_entry: `inside [ROUNDS [SEED]]`. From random registers, flags, red
 * zone and stack, code runs into a site that is a jump or a breakpoint. The hook must see all as it was; and all must go on
 * as it does, not hooked, with the registers that the hook leaves: whichever it changes, pc, sp and any flag among them.
 * Also the part of the stub that calls a function's body, so that it returns to the stub.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <ucontext.h>
#include "engine/arch.h"
#include "engine/site.h"

enum { AX, CX, DX, BX, SP, BP, SI, DI, R8, R9, R10, R11, R12, R13, R14, R15 };

struct state {
	unsigned long gpr[16]; /* in the numbering of instructions */
	unsigned long flags;
	unsigned long exit; /* which way out */
	unsigned long xmm0[2];
} __attribute__((aligned(16)));

/* Used by the assembly below. exit_ax is where a way out puts rax before it puts its number there. */
struct state inside_in, inside_out;
unsigned long inside_entry, inside_host_sp, exit_ax, true_return, seen_sp;

_Static_assert(offsetof(struct state, flags) == 128 && offsetof(struct state, exit) == 136 &&
		       offsetof(struct state, xmm0) == 144,
	       "the assembly below");

void inside_run(void);
void inside_captured(void);
void inside_return(void);

/* clang-format off */
asm(".text\n"
    "inside_run:\n"
    "	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "	mov %rsp, inside_host_sp(%rip)\n"
    "	movaps 144+inside_in(%rip), %xmm0\n"
    "	mov 0+inside_in(%rip), %rax;   mov 8+inside_in(%rip), %rcx\n"
    "	mov 16+inside_in(%rip), %rdx;  mov 24+inside_in(%rip), %rbx\n"
    "	mov 40+inside_in(%rip), %rbp\n"
    "	mov 48+inside_in(%rip), %rsi;  mov 56+inside_in(%rip), %rdi\n"
    "	mov 64+inside_in(%rip), %r8;   mov 72+inside_in(%rip), %r9\n"
    "	mov 80+inside_in(%rip), %r10;  mov 88+inside_in(%rip), %r11\n"
    "	mov 96+inside_in(%rip), %r12;  mov 104+inside_in(%rip), %r13\n"
    "	mov 112+inside_in(%rip), %r14; mov 120+inside_in(%rip), %r15\n"
    "	pushq 128+inside_in(%rip)\n"
    "	popfq\n"
    "	mov 32+inside_in(%rip), %rsp\n"
    "	jmp *inside_entry(%rip)\n"
    "inside_captured:\n"
    "	mov %rsp, 32+inside_out(%rip)\n"
    "	mov inside_host_sp(%rip), %rsp\n"
    "	pushfq\n"
    "	popq 128+inside_out(%rip)\n"
    "	pushq $0x202\n"
    "	popfq\n"
    "	mov %rax, 136+inside_out(%rip)\n"
    "	mov exit_ax(%rip), %rax;       mov %rax, 0+inside_out(%rip)\n"
    "	mov %rcx, 8+inside_out(%rip);  mov %rdx, 16+inside_out(%rip)\n"
    "	mov %rbx, 24+inside_out(%rip); mov %rbp, 40+inside_out(%rip)\n"
    "	mov %rsi, 48+inside_out(%rip); mov %rdi, 56+inside_out(%rip)\n"
    "	mov %r8, 64+inside_out(%rip);  mov %r9, 72+inside_out(%rip)\n"
    "	mov %r10, 80+inside_out(%rip); mov %r11, 88+inside_out(%rip)\n"
    "	mov %r12, 96+inside_out(%rip); mov %r13, 104+inside_out(%rip)\n"
    "	mov %r14, 112+inside_out(%rip); mov %r15, 120+inside_out(%rip)\n"
    "	movaps %xmm0, 144+inside_out(%rip)\n"
    "	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "	ret\n"
    /* in place of st_return: where the function returned to, and on to the true address */
    "inside_return:\n"
    "	mov %rsp, seen_sp(%rip)\n"
    "	push true_return(%rip)\n"
    "	ret\n");
/* clang-format on */

#define FLAGS_STATUS 0x8d5ul
#define FLAGS_ODD 0x244400ul /* DF NT AC ID */
#define FLAG_TF 0x100ul
#define STACK 4096
#define EXIT 20 /* bytes of a way out */

static uint8_t *code, *stack;
static uint8_t stack0[STACK], stack_here[STACK];
static uint64_t seed = 1;
static struct st_plan plan;
static struct st_site site;
static unsigned long stub_at;
static struct st_stub stub;

static unsigned long rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1d >> 8;
}

static unsigned int below(unsigned int n)
{
	return rnd() % n;
}

/* Several instructions each; the site may be any of them but the first. Nothing here goes where random registers say. */
static const struct body {
	const char *what;
	uint8_t len;
	uint8_t bytes[40];
} bodies[] = {
	/* mov %rdi,-8(%rsp); mov -16(%rsp),%rax; add -8(%rsp),%rax; adc %rbx,%rcx; lea (%rax,%rcx),%rdx */
	{ "a leaf with a red zone", 22,
	  { 0x48, 0x89, 0x7c, 0x24, 0xf8, 0x48, 0x8b, 0x44, 0x24, 0xf0, 0x48, 0x03, 0x44, 0x24, 0xf8, 0x48, 0x11, 0xd9, 0x48,
	    0x8d, 0x14, 0x08 } },
	/* xor %eax,%eax; cmp %rsi,%rdi; setb %al; jb 1f; mov $1,%ecx; 1: movq %rax,%xmm0; inc %r8 */
	{ "branches", 25,
	  { 0x31, 0xc0, 0x48, 0x39, 0xf7, 0x0f, 0x92, 0xc0, 0x72, 0x05, 0xb9, 1, 0, 0, 0, 0x66, 0x48, 0x0f, 0x6e, 0xc0, 0x49,
	    0xff, 0xc0, 0x90, 0x90 } },
	/* push %rbp; mov %rsp,%rbp; sub $64,%rsp; pushfq; pop %r9; mov %r9,-24(%rbp); leave; lahf */
	{ "a frame", 18,
	  { 0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x40, 0x9c, 0x41, 0x59, 0x4c, 0x89, 0x4d, 0xe8, 0xc9, 0x9f, 0x90 } },
	/* nop; nopw; mov %rsp,%r10; call .+5; pop %r11; lea 3(%rip),%r12; rol %cl,%r13 */
	{ "its own address", 27,
	  { 0x90, 0x66, 0x90, 0x49, 0x89, 0xe2, 0xe8, 0, 0, 0, 0, 0x41, 0x5b, 0x4c, 0x8d, 0x25, 0x00, 0x10, 0, 0, 0x49, 0xd3,
	    0xc5, 0x90, 0x90, 0x90, 0x90 } },
	/* mov $39,%eax; syscall; mov %rcx,%r14; xor %r11d,%r11d; mov $110,%eax; syscall */
	{ "system calls", 19,
	  { 0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0x49, 0x89, 0xce, 0x45, 0x31, 0xdb, 0xb0, 110, 0x0f, 0x05, 0x90, 0x90 } },
};
#define NR_BODIES (sizeof(bodies) / sizeof(bodies[0]))
static unsigned long jumped[NR_BODIES], broke[NR_BODIES];

/* The pointer is aligned: AC may be set. */
#define OUT 200

static void put_exit(uint8_t *at, unsigned int id)
{
	unsigned long ax = (unsigned long)&exit_ax, to = (unsigned long)inside_captured;
	/* movabs %rax, exit_ax; mov $id, %eax; jmp code + OUT */
	uint8_t bytes[EXIT] = { 0x48, 0xa3, [10] = 0xb8, id, [15] = 0xe9 };
	int32_t rel = code + OUT - (at + EXIT);

	memcpy(bytes + 2, &ax, 8);
	memcpy(bytes + 16, &rel, 4);
	memcpy(at, bytes, sizeof(bytes));
	memcpy(code + OUT, "\xff\x25\x02\0\0\0\xcc\xcc", 8);
	memcpy(code + OUT + 8, &to, 8);
}

/* What the hook is to do, and what it saw. */
static unsigned long hits;
static struct st_regs seen, leave_regs;
static uint8_t seen_below[128];
static bool leave_all;
static unsigned long call_body;

#define GENERAL __attribute__((target("general-regs-only")))

GENERAL static void copy(void *to, const void *from, size_t n)
{
	volatile uint8_t *t = to;
	const volatile uint8_t *f = from;

	while (n--)
		*t++ = *f++;
}

GENERAL static void on_hit(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent)
{
	(void)hook, (void)parent;
	hits++;
	copy(&seen, regs, sizeof(seen));
	copy(seen_below, (void *)(regs->sp - 128), 128);
	if (ip != site.ip)
		hits += 1000;
	if (leave_all)
		copy(regs, &leave_regs, sizeof(*regs));
	if (call_body) {
		((unsigned long *)regs->sp)[-2] = site.resume;
		regs->ip = call_body;
	}
}

static struct st_hook hook = { .size = sizeof(hook), .func = on_hit, .flags = ST_HOOK_GENERAL_REGS };
static struct {
	struct st_hook *hook[2];
} list = { { &hook, NULL } };

static unsigned long steps, traps;

static void on_trap(int signal, siginfo_t *si, void *uc_)
{
	ucontext_t *uc = uc_;

	(void)signal;
	if (si->si_code == TRAP_TRACE) {
		steps++;
		return;
	}
	if (plan.kind == ST_KIND_BREAKPOINT && (unsigned long)uc->uc_mcontext.gregs[REG_RIP] == plan.addr + 1) {
		traps++;
		uc->uc_mcontext.gregs[REG_RIP] = (long)stub_at;
		return;
	}
	fprintf(stderr, "a breakpoint at %llx\n", uc->uc_mcontext.gregs[REG_RIP]);
	_exit(1);
}

static void on_crash(int signal, siginfo_t *si, void *uc_)
{
	ucontext_t *uc = uc_;

	(void)si;
	fprintf(stderr, "signal %d at %llx, site %lx (%s), stub %lx\n", signal, uc->uc_mcontext.gregs[REG_RIP], plan.addr,
		plan.kind == ST_KIND_BREAKPOINT ? "breakpoint" : "jump", stub_at);
	_exit(1);
}

static unsigned long *field(struct st_regs *r, unsigned int n)
{
	unsigned long *const fields[16] = { &r->ax, &r->cx, &r->dx, &r->bx, &r->sp, &r->bp, &r->si, &r->di,
					    &r->r8, &r->r9, &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15 };

	return fields[n];
}

static void fill(void)
{
	for (unsigned int i = 0; i < STACK; i++)
		stack0[i] = rnd();
	for (unsigned int i = 0; i < 16; i++)
		inside_in.gpr[i] = rnd() << 32 | (rnd() & 0xffffffff);
	inside_in.gpr[SP] = (unsigned long)stack + STACK / 2 + 8 * below(16);
	inside_in.flags = 0x202 | (rnd() & FLAGS_STATUS);
	if (below(4) == 0)
		inside_in.flags |= rnd() & FLAGS_ODD;
	if (below(16) == 0)
		inside_in.flags |= FLAG_TF;
	inside_in.xmm0[0] = rnd();
	inside_in.xmm0[1] = rnd();
}

static void run(const struct state *in, unsigned long entry, const uint8_t *stack_in, struct state *out, uint8_t *stack_out)
{
	struct state kept = inside_in;

	memcpy(stack, stack_in, STACK);
	inside_in = *in;
	inside_entry = entry;
	inside_run();
	*out = inside_out;
	memcpy(stack_out, stack, STACK);
	inside_in = kept;
}

static int wrong(const struct body *b, size_t off, const char *what)
{
	fprintf(stderr, "%s+%zu (%s), round's seed %lx: %s\n", b->what, off,
		plan.kind == ST_KIND_BREAKPOINT ? "breakpoint" : "jump", seed, what);
	return -1;
}

static int one(const struct body *b, size_t off, unsigned int flags)
{
	static uint8_t stack_at[STACK], stack_there[STACK];
	struct state at, here, there, in;
	uint8_t buf[ST_STUB_MAX], jump[ST_JUMP_MAX];
	unsigned int changes;
	int32_t rel;
	size_t low;

	memcpy(code, b->bytes, b->len);
	put_exit(code + b->len, 1);
	put_exit(code + 128, 2);
	if (st_arch_plan_at(&plan, code, (unsigned long)code, b->len + EXIT, 128, off, flags, ST_ISA_NATIVE))
		return 0;
	if (!plan.inside || plan.addr != (unsigned long)code + off)
		return wrong(b, off, "planned elsewhere");
	stub = (struct st_stub){ .buf = buf, .at = stub_at, .site = (unsigned long)&site, .entry = (unsigned long)st_entry };
	if (st_arch_stub(&plan, &stub) || st_arch_jump(&plan, stub_at, jump))
		return wrong(b, off, "no stub");
	memcpy((void *)stub_at, buf, stub.size);
	site = (struct st_site){ .dispatch = st_dispatch_general, .func = plan.addr, .ip = plan.addr,
				 .resume = stub_at + stub.resume, .flags = ST_SITE_INSIDE | ST_SITE_GENERAL,
				 .hooks = (void *)&list };
	fill();

	/* What there is at the site: the same code up to it, and a way out there. */
	put_exit(code + 160, 3);
	rel = code + 160 - (code + off + 5);
	code[off] = 0xe9;
	memcpy(code + off + 1, &rel, 4);
	run(&inside_in, (unsigned long)code, stack0, &at, stack_at);
	memcpy(code, b->bytes, b->len);
	put_exit(code + b->len, 1);
	put_exit(code + 128, 2);
	if (at.exit != 3)
		return 0; /* a branch over it */

	/* What the hook leaves. */
	memset(&leave_regs, 0, sizeof(leave_regs));
	for (unsigned int i = 0; i < 16; i++)
		*field(&leave_regs, i) = at.gpr[i];
	leave_regs.flags = at.flags;
	leave_regs.ip = plan.addr;
	leave_regs.cs = 0x33;
	leave_regs.ss = 0x2b;
	leave_all = below(4) != 0;
	in = at;
	for (changes = leave_all ? below(4) : 0; changes; changes--) {
		switch (below(5)) {
		case 0:
		case 1: {
			unsigned int r = below(16);

			if (r == BP) /* "a frame" finds its frame by it */
				break;
			in.gpr[r] = r == SP ? at.gpr[SP] - 64 + 8 * below(16) : rnd();
			*field(&leave_regs, r) = in.gpr[r];
			break;
		}
		case 2:
			in.flags ^= rnd() & FLAGS_STATUS;
			break;
		case 3:
			in.flags ^= rnd() & FLAGS_ODD;
			break;
		case 4:
			leave_regs.ip = (unsigned long)code + 128;
			break;
		}
	}
	leave_regs.flags = in.flags;

	run(&in, leave_regs.ip, stack_at, &here, stack_here);
	hits = 0;
	memcpy((void *)plan.addr, jump, plan.jump);
	run(&inside_in, (unsigned long)code, stack0, &there, stack_there);
	memcpy((void *)plan.addr, plan.orig, plan.jump);
	if (hits != 1)
		return wrong(b, off, "not hit once");
	for (unsigned int i = 0; i < 16; i++)
		if (*field(&seen, i) != at.gpr[i])
			return wrong(b, off, "the hook saw another register");
	if (seen.ip != plan.addr || seen.flags != at.flags || seen.orig_ax != -1ul)
		return wrong(b, off, "the hook saw another pc, or other flags");
	if (memcmp(seen_below, stack_at + (at.gpr[SP] - 128 - (unsigned long)stack), 128))
		return wrong(b, off, "the red zone was written");
	if (memcmp(&here, &there, sizeof(here)))
		return wrong(b, off, "another state came out");
	/* What is further below sp is the kernel's and the hook's to write. */
	low = at.gpr[SP] - 128 - (unsigned long)stack;
	if (memcmp(stack_here + low, stack_there + low, STACK - low))
		return wrong(b, off, "the stack is another");
	(plan.kind == ST_KIND_BREAKPOINT ? broke : jumped)[b - bodies]++;
	return 0;
}

/* A function that is called by the stub, and returns to it. */
static int returns(unsigned int flags)
{
	/* lea (%rdi,%rsi),%rax; mov (%rsp),%rdx; mov %rdx,%r8; ret */
	static const uint8_t body[] = { 0x48, 0x8d, 0x04, 0x37, 0x48, 0x8b, 0x14, 0x24, 0x49, 0x89, 0xd0, 0xc3 };
	struct body b = { "a function that returns", sizeof(body), { 0 } };
	uint8_t buf[ST_STUB_MAX], jump[ST_JUMP_MAX];
	unsigned long *sp;
	struct state out;

	memcpy(code, body, sizeof(body));
	put_exit(code + 64, 7);
	if (st_arch_plan_at(&plan, code, (unsigned long)code, sizeof(body), 128, 0, flags, ST_ISA_NATIVE) || plan.inside)
		return wrong(&b, 0, "not planned");
	stub = (struct st_stub){ .buf = buf, .at = stub_at, .site = (unsigned long)&site, .entry = (unsigned long)st_entry,
				 .ret = (unsigned long)inside_return };
	if (st_arch_stub(&plan, &stub) || st_arch_jump(&plan, stub_at, jump) || !stub.path || !stub.after)
		return wrong(&b, 0, "no stub");
	memcpy((void *)stub_at, buf, stub.size);
	site = (struct st_site){ .dispatch = st_dispatch_general, .func = plan.func, .ip = plan.addr,
				 .resume = stub_at + stub.resume, .flags = ST_SITE_GENERAL, .hooks = (void *)&list };
	fill();
	inside_in.flags &= ~FLAG_TF;
	sp = (unsigned long *)(stack0 + (inside_in.gpr[SP] - (unsigned long)stack));
	true_return = *sp = (unsigned long)code + 64;
	leave_all = false;
	call_body = stub_at + stub.path;
	hits = 0;
	memcpy((void *)plan.addr, jump, plan.jump);
	run(&inside_in, (unsigned long)code, stack0, &out, stack_here);
	memcpy((void *)plan.addr, plan.orig, plan.jump);
	call_body = 0;
	if (hits != 1 || out.exit != 7 || out.gpr[AX] != inside_in.gpr[DI] + inside_in.gpr[SI])
		return wrong(&b, 0, "it did not run, or not return");
	if (out.gpr[DX] != stub_at + stub.after || out.gpr[SP] != inside_in.gpr[SP] + 8 || seen_sp != out.gpr[SP])
		return wrong(&b, 0, "its return address, or its stack, was another");
	if (out.flags != inside_in.flags)
		return wrong(&b, 0, "other flags");
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 600;
	struct sigaction sa = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	static uint8_t alternate[65536];
	stack_t ss = { .ss_sp = alternate, .ss_size = sizeof(alternate) };
	unsigned int passed = 0;

	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0) * 2 + 1;
	sigaltstack(&ss, NULL);
	sigaction(SIGTRAP, &sa, NULL);
	sa.sa_sigaction = on_crash;
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
	code = mmap((void *)0x100000000, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack = mmap(NULL, STACK + 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED || stack == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	stack += 65536; /* the hook's stack is below */
	stub_at = (unsigned long)code + 4096;
	for (unsigned long i = 0; i < rounds; i++) {
		for (const struct body *b = bodies; b < bodies + NR_BODIES; b++)
			for (size_t off = 1; off < b->len; off++)
				if (one(b, off, ST_PLAN_ANY) || one(b, off, ST_PLAN_BREAKPOINT))
					return 1;
		if (returns(0) || returns(ST_PLAN_BREAKPOINT))
			return 1;
	}
	for (size_t i = 0; i < NR_BODIES; i++) {
		printf("%-24s %lu times by a jump, %lu by a breakpoint\n", bodies[i].what, jumped[i], broke[i]);
		if (!jumped[i] || !broke[i])
			return 1;
		passed++;
	}
	printf("%lu breakpoints, %lu single steps\n", traps, steps);
	printf("%u passed, %u failed, 0 skipped\n", passed + 1, !steps || !traps);
	return !steps || !traps;
}
