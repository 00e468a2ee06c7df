/* SPDX-License-Identifier: GPL-2.0-only */
/* What a thread of the register torture has in its registers: given, or seen by a function. */
#ifndef TEST_ARM_TORTURE_H
#define TEST_ARM_TORTURE_H

#define T_SP 52
#define T_WHO 60
#define T_CPSR 64
#define T_FPSCR 68
#define T_D 72

/* Which function it is: its place in t_kinds, or one of these */
#define T_TARGET_ARM 0x1000
#define T_TARGET_THUMB 0x1001

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

struct state {
	uint32_t r[13], sp, lr;
	uint32_t who; /* given: the function to jump to; seen: which function saw it */
	uint32_t cpsr;
	uint32_t fpscr;
	uint64_t d[32];
};

_Static_assert(offsetof(struct state, sp) == T_SP, "functions.S");
_Static_assert(offsetof(struct state, who) == T_WHO, "functions.S");
_Static_assert(offsetof(struct state, cpsr) == T_CPSR, "functions.S");
_Static_assert(offsetof(struct state, fpscr) == T_FPSCR, "functions.S");
_Static_assert(offsetof(struct state, d) == T_D, "functions.S");

/* A kind of site: a function that will be hooked, and the same once more that will not. */
struct kind {
	const char *name;
	void (*hooked)(void);
	void (*plain)(void);
	uint32_t who;
};

extern const struct kind t_kinds[];
extern const struct kind t_kinds_end[];

/* Where a hook redirects to */
void t_target_arm(void);
void t_target_thumb(void);

/* Jump to in->who with all registers as @in says; what the function it ends in sees goes to @out.
 */
void t_run(const struct state *in, struct state *out);

#ifdef ST_SITE_THUMB
/*
 * In the place of site->dispatch: notes sp as it is when st_entry calls, and goes on at
 * t_dispatch_next.
 */
void t_look(struct st_site *site, struct st_regs *regs);
extern unsigned long t_dispatch_sp;
extern void (*t_dispatch_next)(struct st_site *site, struct st_regs *regs);
#endif
#endif
#endif
