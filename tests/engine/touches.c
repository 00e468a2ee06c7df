// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hooks that do not say what they touch: the engine reads it from their code, and saves no more than that takes. Here each
 * kind, alone and together on a site: what the engine thinks of it, and that vector state comes through unchanged.
 */
#include <engine/arch/x86_64/touches.h>
#include <engine/objects.h>
#include <engine/site.h>
#include "check.h"
#include "touches.h"

#define REGS 16
#define WIDTH 32
#define MXCSR 0x1f80u

struct state {
	unsigned char v[REGS][WIDTH];
	unsigned int mxcsr;
	unsigned short fcw, fsw;
} __attribute__((aligned(32)));

static struct state before, after;
static bool avx;

__asm__(".text\n"
	".balign 16\n"
	".globl touches_site\n"
	".type touches_site, @function\n"
	"touches_site:\n"
	"	.byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
	"	lea (%rdi, %rsi), %rax\n"
	"	ret\n"
	".size touches_site, . - touches_site\n");
long touches_site(long a, long b);

#define LOAD(insn, reg, i) insn " 32 * " #i "(%0), %%" reg #i "\n\t"
#define STORE(insn, reg, i) insn " %%" reg #i ", 32 * " #i "(%1)\n\t"
#define EACH(x, insn, reg)                                                                         \
	x(insn, reg, 0) x(insn, reg, 1) x(insn, reg, 2) x(insn, reg, 3) x(insn, reg, 4)            \
	x(insn, reg, 5) x(insn, reg, 6) x(insn, reg, 7) x(insn, reg, 8) x(insn, reg, 9)            \
	x(insn, reg, 10) x(insn, reg, 11) x(insn, reg, 12) x(insn, reg, 13) x(insn, reg, 14)       \
	x(insn, reg, 15)
#define CALL(insn, reg)                                                                            \
	__asm__ volatile("sub $128, %%rsp\n\t"                                                     \
			 "ldmxcsr %c2(%0)\n\t" EACH(LOAD, insn, reg)                               \
			 "mov $30, %%edi\n\tmov $12, %%esi\n\t"                                    \
			 "call touches_site\n\t" EACH(STORE, insn, reg)                            \
			 "stmxcsr %c2(%1)\n\tfnstcw %c3(%1)\n\tfnstsw %c4(%1)\n\t"                 \
			 "add $128, %%rsp"                                                         \
			 :: "b"(&before), "r"(&after), \
			    "i"(offsetof(struct state, mxcsr)), "i"(offsetof(struct state, fcw)),  \
			    "i"(offsetof(struct state, fsw))                                       \
			 : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "cc",      \
			   "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",       \
			   "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",    \
			   "xmm15")

static uint64_t seed = 1;

static void fill(void)
{
	unsigned char *p = (unsigned char *)before.v;

	for (size_t i = 0; i < sizeof(before.v); i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		p[i] = (unsigned char)(seed >> 56);
	}
	before.mxcsr = MXCSR | (seed >> 40 & 1 ? 0x6000 : 0) | (seed >> 41 & 1 ? 0x8000 : 0);
}

static void __attribute__((target("avx"))) call_avx(void)
{
	CALL("vmovdqu", "ymm");
	__asm__ volatile("vzeroupper");
}

static void call_sse(void)
{
	CALL("movdqu", "xmm");
}

static void run(const char *what, unsigned long hits)
{
	unsigned long from = touches_hits;

	for (int round = 0; round < 200; round++) {
		fill();
		__asm__ volatile("fnstcw %0\n\tfnstsw %1" : "=m"(before.fcw), "=m"(before.fsw));
		if (avx)
			call_avx();
		else
			call_sse();
		__asm__ volatile("ldmxcsr %0" :: "m"((unsigned int){ MXCSR }));
		for (int i = 0; i < REGS; i++)
			if (!check(!memcmp(before.v[i], after.v[i], avx ? WIDTH : 16), "%s: register %d", what, i))
				return;
		if (!check(before.mxcsr == after.mxcsr, "%s: MXCSR %#x, was %#x", what, after.mxcsr, before.mxcsr) ||
		    !check(before.fcw == after.fcw && before.fsw == after.fsw, "%s: x87", what))
			return;
	}
	check(touches_hits - from == 200 * hits, "%s: %lu hits", what, touches_hits - from);
}

static struct {
	const char *name;
	st_hook_fn func;
	unsigned int touches;
	struct st_hook hook;
} kinds[] = {
#define KIND(name) { #name, hook_##name, 0, { 0 } },
	TOUCHES_HOOKS(KIND)
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))
static const unsigned int expected[] = {
	0, ST_HOOKS_XMM_LOW, ST_HOOKS_XMM | ST_HOOKS_XMM_LOW, ST_HOOKS_XMM_LOW, ST_HOOKS_VECTOR, ST_HOOKS_VECTOR,
	ST_HOOKS_VECTOR, ST_HOOKS_VECTOR, ST_HOOKS_VECTOR,
};
_Static_assert(sizeof(expected) / sizeof(expected[0]) == KINDS, "one for each of TOUCHES_HOOKS");

static bool add(size_t i)
{
	kinds[i].hook = (struct st_hook){ .size = sizeof(struct st_hook), .func = kinds[i].func };
	return check(!st_hook_filter_ip(&kinds[i].hook, touches_site) && st_hook_register(&kinds[i].hook) == 1, "%s: %s",
		     kinds[i].name, st_hook_reason(&kinds[i].hook));
}

int main(void)
{
	struct st_object *objects = st_objects_read(NULL);

	avx = __builtin_cpu_supports("avx");
	for (size_t i = 0; i < KINDS; i++) {
		const struct st_function *fn = st_objects_find(objects, (unsigned long)kinds[i].func);

		if (check(fn && fn->addr == (unsigned long)kinds[i].func, "%s: no symbol", kinds[i].name))
			kinds[i].touches = st_x86_touches((const uint8_t *)fn->addr, fn->size);
		check(kinds[i].touches == expected[i], "%s touches %#x, should be %#x", kinds[i].name, kinds[i].touches,
		      expected[i]);
	}
	run("no hook", 0);
	for (size_t i = 0; i < KINDS; i++) {
		char what[64];

		if (!avx && kinds[i].func == hook_avx)
			continue;
		if (!add(i))
			continue;
		run(kinds[i].name, 1);
		for (size_t k = 0; k < KINDS; k++) {
			if (k == i || (!avx && kinds[k].func == hook_avx) || !add(k))
				continue;
			snprintf(what, sizeof(what), "%s and %s", kinds[i].name, kinds[k].name);
			run(what, 2);
			check(!st_hook_unregister(&kinds[k].hook), "%s: unregister", kinds[k].name);
			run(kinds[i].name, 1);
		}
		check(!st_hook_unregister(&kinds[i].hook), "%s: unregister", kinds[i].name);
	}
	st_objects_free(objects);
	return check_end();
}
