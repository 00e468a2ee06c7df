/* SPDX-License-Identifier: GPL-2.0-only */
/* Patches for bound.c, by the file of its static functions; which one is chosen by -D. */
#include <sidetrack/patch.h>

#if defined(FIX)
ST_PATCH(bound_fix, ST_INDEPENDENT);
ST_REPLACE("bound", "bound-twin.c:helper", replacement);
ST_TARGET(int (*)(int), old_helper, "bound", "bound.c:helper");
ST_TARGET(int *, old_counter, "bound", "counter");
#define BODY (old_helper(x) * 100 + *old_counter)
#elif defined(SECOND)
ST_PATCH(bound_second, ST_INDEPENDENT);
ST_REPLACE("bound", "first", replacement);
#define BODY (x + 7)
#elif defined(AMBIGUOUS)
ST_PATCH(bound_ambiguous, ST_INDEPENDENT);
ST_REPLACE("bound", "helper", replacement);
#elif defined(MISSING)
ST_PATCH(bound_missing, ST_INDEPENDENT);
ST_REPLACE("bound", "nothing.c:helper", replacement);
#elif defined(DATA)
ST_PATCH(bound_data, ST_INDEPENDENT);
ST_REPLACE("bound", "counter", replacement);
#elif defined(CHOSEN)
ST_PATCH(bound_chosen, ST_INDEPENDENT);
ST_REPLACE("bound", "chosen", replacement);
#elif defined(BUILD)
ST_PATCH(bound_build, ST_INDEPENDENT);
ST_OBJECT("bound", "00112233");
ST_REPLACE("bound", "first", replacement);
#elif defined(RELOCATED)
ST_PATCH(bound_relocated, ST_INDEPENDENT);
ST_REPLACE("bound", "first", replacement);
ST_REPLACE("relocated.so", "relocated", replacement);
#endif
#ifndef BODY
#define BODY x
#endif

int replacement(int x)
{
	return BODY;
}
