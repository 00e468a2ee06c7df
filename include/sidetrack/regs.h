/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registers of a thread at the first instruction of a hooked function.
 *
 * struct st_regs has, word for word, the layout of the architecture's kernel pt_regs (AArch64: user_pt_regs), so that
 * what is known about those holds here. What each field means at a hook is the register contract: docs/registers.md.
 */
#ifndef SIDETRACK_REGS_H
#define SIDETRACK_REGS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__x86_64__)

/* Linux arch/x86/include/uapi/asm/ptrace.h, struct pt_regs: 21 words, 168 bytes. */
struct st_regs {
	unsigned long r15, r14, r13, r12, bp, bx;
	unsigned long r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long orig_ax;	/* always -1 */
	unsigned long ip;
	unsigned long cs;	/* always 0x33 */
	unsigned long flags;
	unsigned long sp;
	unsigned long ss;	/* always 0x2b */
};

#define st_regs_pc(regs) ((regs)->ip)
#define st_regs_sp(regs) ((regs)->sp)

#elif defined(__aarch64__)

/* Linux arch/arm64/include/uapi/asm/ptrace.h, struct user_pt_regs: 34 words, 272 bytes. */
struct st_regs {
	unsigned long regs[31];	/* x0 to x30 */
	unsigned long sp;
	unsigned long pc;
	unsigned long pstate;	/* N, Z, C, V in bits 31 to 28; the rest is 0 */
};

#define st_regs_pc(regs_) ((regs_)->pc)
#define st_regs_sp(regs_) ((regs_)->sp)

#elif defined(__arm__)

/* Linux arch/arm/include/uapi/asm/ptrace.h, struct pt_regs: 18 words, 72 bytes. */
struct st_regs {
	unsigned long r[11];	/* r0 to r10 */
	unsigned long fp;	/* r11 */
	unsigned long ip;	/* r12: the static chain of GCC's nested functions */
	unsigned long sp;
	unsigned long lr;
	unsigned long pc;	/* bit 0 clear; the state is in cpsr.T */
	unsigned long cpsr;	/* N Z C V Q, GE and T are true; mode is user (0x10) */
	unsigned long orig_r0;	/* always -1 */
};

#define ST_CPSR_T 0x20ul

#define st_regs_pc(regs) ((regs)->pc)
#define st_regs_sp(regs) ((regs)->sp)

#else
#error "Sidetrack knows x86-64, AArch64 and 32-bit ARM"
#endif

/**
 * st_regs_set_pc() - redirect the hooked function
 * @regs: the registers a hook was given; the hook must be ST_HOOK_IPMODIFY
 * @fn: where the thread goes on; a function pointer, on ARM bit 0 chooses Thumb
 *
 * Arguments, stack and return address stay as they are, so @fn is called as if it had been called in the first place.
 *
 * Context: only from a hook.
 */
static inline void st_regs_set_pc(struct st_regs *regs, unsigned long fn)
{
#if defined(__arm__)
	regs->pc = fn & ~1ul;
	regs->cpsr = (fn & 1) ? regs->cpsr | ST_CPSR_T : regs->cpsr & ~ST_CPSR_T;
#elif defined(__aarch64__)
	regs->pc = fn;
#else
	regs->ip = fn;
#endif
}

/**
 * st_regs_argument() - an argument of the hooked function that is passed in a general register
 * @regs: the registers at the entry
 * @n: which, from 0; up to 6 on x86-64, 8 on AArch64, 4 on ARM (psABI, AAPCS64, AAPCS)
 *
 * Return: the register's value, 0 when @n has no register.
 */
static inline unsigned long st_regs_argument(const struct st_regs *regs, unsigned int n)
{
#if defined(__x86_64__)
	switch (n) {
	case 0: return regs->di;
	case 1: return regs->si;
	case 2: return regs->dx;
	case 3: return regs->cx;
	case 4: return regs->r8;
	case 5: return regs->r9;
	}
	return 0;
#elif defined(__aarch64__)
	return n < 8 ? regs->regs[n] : 0;
#else
	return n < 4 ? regs->r[n] : 0;
#endif
}

#ifdef __cplusplus
}
#endif
#endif
