// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moved instructions do what they did at their own place: `move [ROUNDS [SEED]]` runs random first
 * instructions of functions natively, once where they are and once as st_x86_move() writes them
 * (near, and out of a rel32's reach), from the same random registers, flags, stack and memory,
 * entering at each of the displaced instructions; then where control went, every register, the
 * flags, xmm0, the stack and the memory must be the same. During the second run the original place
 * holds breakpoints.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "engine/arch.h"
#include "engine/arch/x86_64/relocate.h"

enum { AX, CX, DX, BX, SP, BP, SI, DI, R8, R9, R10, R11, R12, R13, R14, R15 };

struct state {
	unsigned long gpr[16]; /* in the numbering of instructions */
	unsigned long flags;
	unsigned long exit; /* which way out */
	unsigned long xmm0[2];
};

/* Used by the assembly below. exit_ax is where a way out puts rax before it puts its number there.
 */
struct state move_in, move_out;
unsigned long move_entry, move_host_sp, exit_ax;

_Static_assert(offsetof(struct state, flags) == 128 && offsetof(struct state, exit) == 136 &&
		       offsetof(struct state, xmm0) == 144,
	       "the assembly below");

void move_run(void);
void move_captured(void);

/* clang-format off */
asm(".text\n"
    "move_run:\n"
    "	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "	mov %rsp, move_host_sp(%rip)\n"
    "	movups 144+move_in(%rip), %xmm0\n"
    "	pushq 128+move_in(%rip)\n"
    "	popfq\n"
    "	mov 0+move_in(%rip), %rax;   mov 8+move_in(%rip), %rcx\n"
    "	mov 16+move_in(%rip), %rdx;  mov 24+move_in(%rip), %rbx\n"
    "	mov 32+move_in(%rip), %rsp;  mov 40+move_in(%rip), %rbp\n"
    "	mov 48+move_in(%rip), %rsi;  mov 56+move_in(%rip), %rdi\n"
    "	mov 64+move_in(%rip), %r8;   mov 72+move_in(%rip), %r9\n"
    "	mov 80+move_in(%rip), %r10;  mov 88+move_in(%rip), %r11\n"
    "	mov 96+move_in(%rip), %r12;  mov 104+move_in(%rip), %r13\n"
    "	mov 112+move_in(%rip), %r14; mov 120+move_in(%rip), %r15\n"
    "	jmp *move_entry(%rip)\n"
    "move_captured:\n"
    "	mov %rsp, 32+move_out(%rip)\n"
    "	mov move_host_sp(%rip), %rsp\n"
    "	pushfq\n"
    "	popq 128+move_out(%rip)\n"
    "	cld\n"
    "	mov %rax, 136+move_out(%rip)\n"
    "	mov exit_ax(%rip), %rax;     mov %rax, 0+move_out(%rip)\n"
    "	mov %rcx, 8+move_out(%rip);  mov %rdx, 16+move_out(%rip)\n"
    "	mov %rbx, 24+move_out(%rip); mov %rbp, 40+move_out(%rip)\n"
    "	mov %rsi, 48+move_out(%rip); mov %rdi, 56+move_out(%rip)\n"
    "	mov %r8, 64+move_out(%rip);  mov %r9, 72+move_out(%rip)\n"
    "	mov %r10, 80+move_out(%rip); mov %r11, 88+move_out(%rip)\n"
    "	mov %r12, 96+move_out(%rip); mov %r13, 104+move_out(%rip)\n"
    "	mov %r14, 112+move_out(%rip); mov %r15, 120+move_out(%rip)\n"
    "	movups %xmm0, 144+move_out(%rip)\n"
    "	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "	ret\n");
/* clang-format on */

/*
 * One region holds all that must be within reach of the code: the function, ways out near it and
 * far from it, pointers to ways out (read only by the code), other data, the copy. The second copy
 * is 8 GiB away.
 */
#define REGION 0x10000
#define FUNC 0x8000
#define EXITS 0x9000
#define NR_EXITS 64
#define POINTERS 0xa000
#define DATA 0xb000
#define COPY 0xc000
#define AREA 1024 /* of pointers, of data, of stack */

static uint8_t *region, *far_copy, *stack;
static uint8_t pointers0[AREA], data0[AREA], stack0[AREA];
static uint64_t seed = 1;

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

static unsigned long exit_address(unsigned int i)
{
	return (unsigned long)region + EXITS + 32 * i;
}

static void put_exit(uint8_t *at, unsigned int id)
{
	unsigned long ax = (unsigned long)&exit_ax, to = (unsigned long)move_captured;
	uint8_t code[29] = {0x48, 0xa3, [10] = 0xb8, id, [15] = 0xff, 0x25};

	memcpy(code + 2, &ax,
	       8); /* movabs %rax, exit_ax; mov $id, %eax; jmp *0f(%rip); 0: move_captured */
	memcpy(code + 21, &to, 8);
	memcpy(at, code, sizeof(code));
}

/* The function being made. */
static struct {
	uint8_t code[64];
	unsigned int len;
	unsigned long at;
	unsigned int last; /* where its last instruction starts */
	bool stack_plain;  /* all words on the stack are pointers to ways out */
} fn;

static void emit(unsigned int n, const uint8_t *bytes)
{
	memcpy(fn.code + fn.len, bytes, n);
	fn.len += n;
}

#define EMIT(...) emit(sizeof((uint8_t[]){__VA_ARGS__}), (uint8_t[]){__VA_ARGS__})

static void emit32(uint32_t v)
{
	emit(4, (uint8_t *)&v);
}

/* A displacement for rip, where the instruction has @tail more bytes behind it. */
static void emit_rip(unsigned long target, unsigned int tail)
{
	emit32(target - (fn.at + fn.len + 4 + tail));
}

static unsigned long data_address(void)
{
	return (unsigned long)region + DATA + below(AREA - 64);
}

static unsigned long pointer_address(void)
{
	return (unsigned long)region + POINTERS + 8 * below(AREA / 8);
}

/* Ways out within reach of a rel8; put there in run_case(). */
static const int near_exits[] = {-0x60, -0x40, 0x50};

static void emit_rel8(void)
{
	EMIT(near_exits[below(3)] - (int)(fn.len + 1));
}

static void emit_rel32(void)
{
	emit_rip(exit_address(below(NR_EXITS)), 0);
}

/* clang-format off */
/* Instructions without rip, that keep rsp a pointer into the stack, and rdx, rbx, rbp, r8, r9, r12, r13, r15. */
static void emit_plain(void)
{
	switch (below(17)) {
	case 0: EMIT(0x52); break;					/* push %rdx */
	case 1: EMIT(0x41, 0x50 + below(2)); break;			/* push %r8, %r9 */
	case 2: EMIT(0x55); break;					/* push %rbp */
	case 3: EMIT(0x58); break;					/* pop %rax */
	case 4: EMIT(0x41, 0x5e); break;				/* pop %r14 */
	case 5: EMIT(0x48, 0x83, 0xec, 8 * below(8)); break;		/* sub $, %rsp */
	case 6: EMIT(0x48, 0x83, 0xc4, 8 * below(4)); break;		/* add $, %rsp */
	case 7: EMIT(0x31, 0xc0); break;				/* xor %eax, %eax */
	case 8: EMIT(0x48, 0x89, 0xe0); break;				/* mov %rsp, %rax */
	case 9: EMIT(0xb8); emit32(rnd()); break;			/* mov $, %eax */
	case 10: EMIT(0x49, 0xbe); emit32(rnd()); emit32(rnd()); break;	/* movabs $, %r14 */
	case 11: EMIT(0x48, 0x8b, 0x43, 8 * below(16)); break;		/* mov d(%rbx), %rax */
	case 12: EMIT(0x85, 0xff); break;				/* test %edi, %edi */
	case 13: EMIT(0x48, 0x8d, 0x74, 0x24, below(128)); break;	/* lea d(%rsp), %rsi */
	case 14: EMIT(0xff, 0x33); break;				/* push (%rbx) */
	case 15: EMIT(0x9f); break;					/* lahf */
	case 16: EMIT(0x90); break;
	}
}

/* One NOP, of any of the forms that compilers and assemblers use. */
static void emit_nop(void)
{
	switch (below(9)) {
	case 0: case 1: case 2: EMIT(0x90); break;
	case 3: EMIT(0x66, 0x90); break;
	case 4: EMIT(0x0f, 0x1f, 0x00); break;
	case 5: EMIT(0x0f, 0x1f, 0x44, 0x00, 0x00); break;
	case 6: EMIT(0x0f, 0x1f, 0x44, 0x00, 0x08); break;
	case 7: EMIT(0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0); break;
	case 8: EMIT(0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0); break;
	}
}

static void emit_rip_operand(void)
{
	switch (below(12)) {
	case 0: EMIT(0x48, 0x8b, 0x05); emit_rip(data_address(), 0); break;		/* mov , %rax */
	case 1: EMIT(0x4c, 0x8d, 0x1d); emit_rip(data_address(), 0); break;		/* lea , %r11 */
	case 2: EMIT(0x01, 0x35); emit_rip(data_address(), 0); break;			/* add %esi, */
	case 3: EMIT(0x80, 0x3d); emit_rip(data_address(), 1); EMIT(below(256)); break;	/* cmpb $, */
	case 4: EMIT(0x48, 0xc7, 0x05); emit_rip(data_address(), 4); emit32(rnd()); break; /* movq $, */
	case 5: EMIT(0x66, 0xc7, 0x05); emit_rip(data_address(), 2); EMIT(1, 2); break;	/* movw $, */
	case 6: EMIT(0x0f, 0x10, 0x05); emit_rip(data_address(), 0); break;		/* movups , %xmm0 */
	case 7: EMIT(0xf0, 0x48, 0x0f, 0xb1, 0x3d); emit_rip(data_address() & ~7ul, 0); break; /* cmpxchg */
	case 8: EMIT(0xff, 0x35); emit_rip(pointer_address(), 0); break;		/* push */
	case 9: EMIT(0x66, 0x0f, 0x3a, 0x0f, 0x05); emit_rip(data_address() & ~15ul, 1); EMIT(3); break; /* palignr */
	case 10: EMIT(0xf6, 0x05); emit_rip(data_address(), 1); EMIT(below(256)); break; /* testb $, */
	case 11:
		if (!__builtin_cpu_supports("avx"))
			break;
		EMIT(0xc5, 0xf8, 0x10, 0x05); emit_rip(data_address(), 0); break;	/* vmovups , %xmm0 */
	}
}

/* Group 5 through memory or a register, reg 2 (call) or 4 (jmp). */
static void emit_indirect(unsigned int reg)
{
	unsigned int r = reg << 3;

	switch (below(fn.stack_plain ? 14 : 9)) {
	case 0: EMIT(0xff, 0xc0 | r | DX); break;
	case 1: EMIT(0x41, 0xff, 0xc0 | r | below(2)); break;			/* r8, r9 */
	case 2: EMIT(0xff, 0x25 - 0x20 + r); emit_rip(pointer_address(), 0); break;
	case 3: EMIT(0xff, r | BX); break;
	case 4: EMIT(0xff, 0x40 | r | BX, 8 * below(16)); break;
	case 5: EMIT(0x41, 0xff, 0x44 | r, 0x24, 8 * below(16)); break;		/* d8(%r12) */
	case 6: EMIT(0x41, 0xff, 0x45 | r, 8 * below(16)); break;		/* d8(%r13) */
	case 7: EMIT(0x3e, 0xff, 0xc0 | r | DX); break;				/* notrack */
	case 8: EMIT(0xff, 0x80 | r | BX); emit32(8 * below(64)); break;
	case 9: EMIT(0xff, 0x04 | r, 0x24); break;				/* (%rsp) */
	case 10: EMIT(0xff, 0x44 | r, 0x24, 8 * below(16)); break;
	case 11: EMIT(0xff, 0x44 | r, 0x24, -8 * (int)below(16)); break;
	case 12: EMIT(0xff, 0x84 | r, 0x24); emit32(8 * below(32)); break;
	case 13: EMIT(0x42, 0xff, 0x44 | r, 0x3c, 8 * below(8)); break;		/* d8(%rsp,%r15), r15 small */
	}
}

/* clang-format on */

enum { PLAIN, NOPS, RIP, JCC, LOOP, CALL, CALL_IND, JMP, JMP_IND, RET, BACK, KINDS };
static const char *const kind_names[KINDS] = {"plain", "nop", "rip",  "jcc", "loop", "call",
					      "call*", "jmp", "jmp*", "ret", "back"};

static void emit_kind(int kind)
{
	switch (kind) {
	case PLAIN:
		emit_plain();
		break;
	case NOPS:
		while (fn.len < 5)
			emit_nop();
		break;
	case RIP:
		emit_rip_operand();
		break;
	case JCC:
		if (below(2)) {
			EMIT(0x70 | below(16));
			emit_rel8();
		} else {
			EMIT(0x0f, 0x80 | below(16));
			emit_rel32();
		}
		break;
	case LOOP:
		if (below(3) == 0)
			EMIT(0x67);
		EMIT(0xe0 + below(4));
		emit_rel8();
		break;
	case CALL:
		EMIT(0xe8);
		emit_rel32();
		break;
	case CALL_IND:
		emit_indirect(2);
		break;
	case JMP:
		if (below(2)) {
			EMIT(0xeb);
			emit_rel8();
		} else {
			EMIT(0xe9);
			emit_rel32();
		}
		break;
	case JMP_IND:
		emit_indirect(4);
		break;
	case RET:
		if (!fn.stack_plain)
			break;
		if (below(2))
			EMIT(0xc3);
		else
			EMIT(0xc2, 8 * below(8), 0);
		break;
	case BACK: /* around to the first instruction: goes to its copy; rcx is small */
		if (below(2)) {
			EMIT(0xff, 0xc9);		/* dec %ecx */
			EMIT(0x7f, -(int)(fn.len + 2)); /* jg */
		} else {
			EMIT(0xe2, -(int)(fn.len + 2)); /* loop */
		}
		break;
	}
}

static void make_function(int kind)
{
	fn.at = (unsigned long)region + FUNC + below(16);
	fn.len = fn.last = 0;
	fn.stack_plain = true;
	if (kind != NOPS)
		for (unsigned int n = below(3); n && fn.len < 4; n--)
			emit_plain();
	fn.last = fn.len;
	emit_kind(kind);
	while (fn.len < 5 && kind != RET && kind != JMP && kind != JMP_IND)
		emit_plain();
}

static void fill(int kind)
{
	for (unsigned int i = 0; i < AREA; i += 8) {
		unsigned long p = exit_address(below(NR_EXITS)), d = rnd();

		memcpy(pointers0 + i, &p, 8);
		memcpy(data0 + i, &d, 8);
		p = exit_address(below(NR_EXITS));
		memcpy(stack0 + i, &p, 8);
	}
	for (unsigned int i = 0; i < 16; i++)
		move_in.gpr[i] = rnd() << 32 | (rnd() & 0xffffffff);
	if (below(2))
		move_in.gpr[CX] = below(4) | (below(2) ? 0 : rnd() << 32);
	if (kind == BACK) /* loop counts all of rcx down */
		move_in.gpr[CX] = 1 + below(4);
	move_in.gpr[SP] = (unsigned long)stack + AREA / 2 + 8 * below(2);
	move_in.gpr[BX] = move_in.gpr[R12] = move_in.gpr[R13] =
		(unsigned long)region + POINTERS + 8 * below(16);
	move_in.gpr[DX] = exit_address(below(NR_EXITS));
	move_in.gpr[BP] = exit_address(below(NR_EXITS));
	move_in.gpr[R8] = exit_address(below(NR_EXITS));
	move_in.gpr[R9] = exit_address(below(NR_EXITS));
	move_in.gpr[R15] = 8 * below(8);
	move_in.flags = 0x202 | (rnd() & 0xcd5); /* CF PF AF ZF SF DF OF */
	move_in.xmm0[0] = rnd();
	move_in.xmm0[1] = rnd();
}

struct result {
	struct state state;
	uint8_t pointers[AREA], data[AREA], stack[AREA];
};

static void run_from(unsigned long entry, struct result *result)
{
	memcpy(region + POINTERS, pointers0, AREA);
	memcpy(region + DATA, data0, AREA);
	memcpy(stack, stack0, AREA);
	move_entry = entry;
	move_run();
	result->state = move_out;
	memcpy(result->pointers, region + POINTERS, AREA);
	memcpy(result->data, region + DATA, AREA);
	memcpy(result->stack, stack, AREA);
}

static void dump(const char *what, const uint8_t *bytes, unsigned int n)
{
	fprintf(stderr, "%s:", what);
	while (n--)
		fprintf(stderr, " %02x", *bytes++);
	fprintf(stderr, "\n");
}

static struct st_plan plan;
static uint8_t *copy;

static void report(const char *what, unsigned int i)
{
	fprintf(stderr, "%s, entered at instruction %u, function at %lx, copy at %p\n", what, i,
		plan.addr, copy);
	dump("displaced", plan.orig, plan.len);
	dump("moved", copy, 64);
}

static void crashed(int signal)
{
	fprintf(stderr, "signal %d\n", signal);
	report("crash", 0);
	_exit(1);
}

static size_t done[KINDS], refused[KINDS], runs;

/* Refusals that the cases made here may meet; any other one is a failure. */
static bool expected(const char *why, int kind, bool is_far)
{
	return strstr(why, "a call would have to move that returns into") != NULL ||
	       (kind == BACK && strcmp(why, "a loop starts at its first instruction") == 0) ||
	       (is_far &&
		strcmp(why, "its stub is too far from what a moved instruction names") == 0);
}

static int run_case(int kind, bool is_far)
{
	uint8_t *site = (uint8_t *)fn.at;
	struct result here, there;
	uint16_t map[ST_INSNS_MAX];
	bool exit_behind;
	int len;

	memset(region + FUNC - 0x80, 0x90, 0x200);
	for (unsigned int i = 0; i < 3; i++)
		put_exit(site + near_exits[i], 100 + i);
	memcpy(site, fn.code, fn.len);
	/*
	 * A short function is followed by padding, the others by what runs behind the displaced
	 * instructions.
	 */
	exit_behind = fn.len >= 5;
	if (exit_behind)
		put_exit(site + fn.len, 99);
	if (st_arch_plan(&plan, site, fn.at, exit_behind ? fn.len + 15 : fn.len, 0x50,
			 ST_ISA_NATIVE) < 0) {
		refused[kind]++;
		if (!expected(plan.why, kind, is_far)) {
			report(plan.why, 0);
			return -1;
		}
		return 0;
	}
	copy = is_far ? far_copy + below(64) : region + COPY + below(64);
	memset(copy, 0xcc, ST_X86_MOVE_MAX);
	len = st_x86_move(&plan, copy, ST_X86_MOVE_MAX, (unsigned long)copy, map);
	if (len < 0) {
		refused[kind]++;
		if (!expected(plan.why, kind, is_far)) {
			report(plan.why, 0);
			return -1;
		}
		return 0;
	}
	done[kind]++;
	for (unsigned int i = 0; i < plan.insns; i++) {
		fill(kind);
		memcpy(site, plan.orig, plan.len);
		run_from(fn.at + plan.offs[i], &here);
		memset(site, 0xcc, plan.len);
		run_from((unsigned long)copy + map[i], &there);
		runs++;
		/* Below its return address a moved call may write: that is the callee's. */
		if (kind == CALL_IND)
			for (unsigned int w = 1; w <= 2; w++) {
				size_t at = here.state.gpr[SP] - 8 * w - (unsigned long)stack;

				memset(here.stack + at, 0, 8);
				memset(there.stack + at, 0, 8);
			}
		if (memcmp(&here, &there, sizeof(here)) == 0)
			continue;
		report("the copy did something else", i);
		fprintf(stderr, "way out %lu, %lu; flags %lx, %lx\n", here.state.exit,
			there.state.exit, here.state.flags, there.state.flags);
		for (unsigned int r = 0; r < 16; r++)
			fprintf(stderr, "r%u %lx %lx\n", r, here.state.gpr[r], there.state.gpr[r]);
		return -1;
	}
	return 0;
}

/* Moved code fits in less than it needs, or says so, and never writes behind. */
static int run_small(void)
{
	uint8_t out[ST_X86_MOVE_MAX + 1];
	uint16_t map[ST_INSNS_MAX];
	size_t cap = below(ST_X86_MOVE_MAX);
	int len;

	if (plan.kind == ST_KIND_NO)
		return 0;
	memset(out, 0xa5, sizeof(out));
	len = st_x86_move(&plan, out, cap, (unsigned long)region + COPY, map);
	for (size_t i = cap; i < sizeof(out); i++)
		if (out[i] != 0xa5) {
			report("written behind the buffer", 0);
			return -1;
		}
	if (len > (int)cap) {
		report("more than the buffer", 0);
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	size_t rounds = argc > 1 ? strtoull(argv[1], NULL, 0) : 200000;
	static uint8_t alternate[65536];
	stack_t ss = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	struct sigaction sa = {.sa_handler = crashed, .sa_flags = SA_ONSTACK};

	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0) * 2 + 1;
	sigaltstack(&ss, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
	sigaction(SIGTRAP, &sa, NULL);
	sigaction(SIGALRM, &sa, NULL);
	alarm(300); /* a copy that loops for ever */
	region = mmap((void *)0x100000000, REGION, PROT_READ | PROT_WRITE | PROT_EXEC,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	far_copy = mmap((void *)0x300000000, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (region == MAP_FAILED || far_copy == MAP_FAILED || stack == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	for (unsigned int i = 0; i < NR_EXITS; i++)
		put_exit((uint8_t *)exit_address(i), i);
	for (size_t i = 0; i < rounds; i++) {
		int kind = i % KINDS;

		make_function(kind);
		if (run_case(kind, below(3) == 0) < 0 || run_small() < 0)
			return 1;
	}
	for (int kind = 0; kind < KINDS; kind++) {
		printf("%-6s %zu moved, %zu refused\n", kind_names[kind], done[kind],
		       refused[kind]);
		if (!done[kind] || refused[kind] > done[kind])
			return 1;
	}
	printf("%zu pairs of runs, none different\n%d passed, 0 failed, 0 skipped\n", runs, KINDS);
	return 0;
}
