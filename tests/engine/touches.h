/* SPDX-License-Identifier: GPL-2.0-only */
/* Callbacks that touch vector state in one way each: touches-hooks.c. */
#ifndef ST_TESTS_TOUCHES_H
#define ST_TESTS_TOUCHES_H

#include <sidetrack/hook.h>

#define TOUCHES_HOOKS(x) x(nothing) x(low) x(high) x(mxcsr) x(avx) x(x87) x(mmx) x(libc) x(calls)

#define TOUCHES_DECLARE(name) \
	void hook_##name(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip);
TOUCHES_HOOKS(TOUCHES_DECLARE)

extern volatile unsigned long touches_hits;

#endif
