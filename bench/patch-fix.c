// SPDX-License-Identifier: GPL-2.0-only
/* The patch that patch.c has applied to itself. */
#include <sidetrack/patch.h>

ST_PATCH(bench, ST_PER_THREAD);
ST_REPLACE("patch", "patched", new_patched);

long new_patched(long a);

long new_patched(long a)
{
	return a + 1;
}
