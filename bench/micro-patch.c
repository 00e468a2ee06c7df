// SPDX-License-Identifier: GPL-2.0-only
/* The patch that micro.c and patch-change.c have applied to themselves: replaces settled() by a function that does the same. */
#include <sidetrack/patch.h>

ST_PATCH(micro, ST_INDEPENDENT);
ST_REPLACE(PROGRAM, "settled", settled_new);

long settled_new(long a, long b);

long settled_new(long a, long b)
{
	return a + b;
}
