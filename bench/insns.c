// SPDX-License-Identifier: GPL-2.0-only
/*
 * insns HOW CALLS: calls a function that often, hooked in one way or not at all; insns.py counts instructions around it.
 * Exit status 3: it can't be hooked so, the reason is on stderr.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sidetrack/hook.h>
#include "micro.h"

#ifdef __thumb__
#define NOPS 2	/* two halfwords: one B.W */
#else
#define NOPS 1
#endif

long __attribute__((noinline, noclone, aligned(64), patchable_function_entry(NOPS))) nop_site(long a, long b)
{
	__asm__ volatile("");
	return a + b;
}

long __attribute__((noinline, noclone, aligned(64))) move_site(long a, long b)
{
	__asm__ volatile("");
	return a + b;
}

static long hits;

static void hook_any(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	(void)hook;
	(void)regs;
	(void)ip;
	(void)parent_ip;
	hits++;
}

int main(int argc, char **argv)
{
	static struct st_hook hook = { .size = sizeof(hook) };
	const char *how = argc > 1 ? argv[1] : "";
	long calls = argc > 2 ? atol(argv[2]) : 1, a = 0;
	long (*volatile fn)(long, long) = strstr(how, "move") ? move_site : nop_site;
	const char *why = "";

	if (!strstr(how, "rest")) {
		hook.func = strstr(how, "vector") ? hook_any : hook_general;
		hook.flags = strstr(how, "vector") ? 0 : ST_HOOK_GENERAL_REGS;
		if (st_hook_filter_ip(&hook, fn) || st_hook_register(&hook) != 1) {
			st_hook_refused(&hook, 0, NULL, &why);
			fprintf(stderr, "%s %s\n", st_hook_reason(&hook), why);
			return 3;
		}
	}
	for (long i = 0; i < calls; i++)
		a = fn(a, i);
	return a != calls * (calls - 1) / 2 || (strstr(how, "vector") && hits != calls);
}
