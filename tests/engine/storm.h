/* SPDX-License-Identifier: GPL-2.0-only */
/* What storm.c shares with its callbacks (storm-hook.c, general registers only) and its functions (storm-functions.c). */
#ifndef ST_TESTS_STORM_H
#define ST_TESTS_STORM_H

#include <stdbool.h>
#include <stdint.h>
#include <sidetrack/hook.h>

/*
 * A function of the storm: what it returns is known from @n and its arguments. @twin does the same and is never hooked;
 * NULL where a C function can't take its place (its callers know its registers, -fipa-ra).
 */
struct function {
	const char *kind;
	void *at;
	void *twin;
	bool (*good)(void *at, unsigned long n, uint64_t random);
	unsigned long n;
};
extern const struct function functions[];
extern const unsigned int function_count;
/* What the last function of this thread returned that gives an integer, and what it should have. */
extern __thread unsigned long storm_got, storm_expected;

/* A hook and the memory that goes with it: poisoned as soon as it is unregistered. */
#define MAGIC 0x600dbeefu
struct owned {
	struct st_hook hook;
	unsigned long magic;
	unsigned long hits;
};

/* Where to redirect to, sorted by address; set up before anything is hooked. */
struct redirect {
	unsigned long from, to;
};
extern struct redirect redirects[];
extern unsigned int redirect_count;

/* A callback ran with a hook that had been unregistered and poisoned. */
extern unsigned long storm_dead_calls;

void storm_general(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent);
void storm_redirect(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent);

#endif
