// SPDX-License-Identifier: GPL-2.0-only
/*
 * For LD_PRELOAD: hooks every function of the program with a hook that counts, and says at its end what that took. With
 * EVERY=0 in the environment it hooks nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <errno.h>
#include <sidetrack/hook.h>
#include "every.h"

static struct st_hook hook = { .size = sizeof(hook), .func = every_hook, .flags = ST_HOOK_GENERAL_REGS };
static double start;
static int sites;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void __attribute__((constructor)) begin(void)
{
	char glob[256];

	if (atoi(getenv("EVERY") ?: "0")) {
		snprintf(glob, sizeof(glob), "%s:*", program_invocation_short_name);
		st_hook_filter(&hook, glob);
		sites = st_hook_register(&hook);
		if (sites < 0) {
			fprintf(stderr, "every: %s\n", st_hook_reason(&hook));
			exit(1);
		}
	}
	start = now();
}

static void __attribute__((destructor)) end(void)
{
	double ns = now() - start;

	fprintf(stderr, "every ns=%.0f calls=%lu sites=%d refused=%d\n", ns, every_calls, sites,
		st_hook_refused(&hook, 0, NULL, NULL));
}
