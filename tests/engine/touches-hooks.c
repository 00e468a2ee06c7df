// SPDX-License-Identifier: GPL-2.0-only
/* None of these says ST_HOOK_GENERAL_REGS: the engine finds out from their code. */
#include <stdio.h>
#include "touches.h"

volatile unsigned long touches_hits;
static char text[128];

#define HOOK(name, body)                                                                           \
	void hook_##name(struct st_hook *hook, struct st_regs *regs, unsigned long ip,             \
			 unsigned long parent_ip)                                                  \
	{                                                                                          \
		(void)hook;                                                                        \
		(void)regs;                                                                        \
		(void)ip;                                                                          \
		(void)parent_ip;                                                                   \
		touches_hits++;                                                                    \
		body;                                                                              \
	}

/* 1 / 3 sets MXCSR's inexact flag. */
static const unsigned long third[2] __attribute__((aligned(16))) = { 0x4008000000000000, 0 };

void touches_far(void);

void __attribute__((noinline, noclone)) touches_far(void)
{
	__asm__ volatile("pcmpeqd %%xmm4, %%xmm4" ::: "xmm4");
}

HOOK(nothing, )
HOOK(low, __asm__ volatile("pcmpeqd %%xmm0, %%xmm0\n\tpcmpeqd %%xmm7, %%xmm7" ::: "xmm0", "xmm7"))
HOOK(high, __asm__ volatile("pcmpeqd %%xmm3, %%xmm3\n\tpcmpeqd %%xmm8, %%xmm8\n\tpcmpeqd %%xmm15, %%xmm15"
			    ::: "xmm3", "xmm8", "xmm15"))
HOOK(mxcsr, __asm__ volatile("cvtsi2sd %1, %%xmm0\n\tdivsd %0, %%xmm0" :: "m"(third), "r"(1) : "xmm0"))
HOOK(avx, __asm__ volatile("vxorps %%ymm2, %%ymm2, %%ymm2\n\tvzeroupper" ::: "xmm2"))
HOOK(x87, __asm__ volatile("fld1\n\tfldpi\n\tfdivrp\n\tfstp %%st(0)" :::))
HOOK(mmx, __asm__ volatile("pcmpeqd %%mm0, %%mm0\n\temms" :::))
HOOK(libc, snprintf(text, sizeof(text), "%f %Lf", (double)touches_hits, (long double)touches_hits))
HOOK(calls, touches_far())
