// SPDX-License-Identifier: GPL-2.0-only
/* The patch that patch-change.c has applied to itself and that stays in transition: park() is in the way. */
#include <sidetrack/patch.h>

ST_PATCH(moving, ST_PER_THREAD);
ST_REPLACE("patch-change", "moving", new_moving);
ST_REPLACE("patch-change", "version", new_version);
ST_REPLACE("patch-change", "park", new_park);

long new_moving(long a, long b);
long new_version(void);
long new_park(long a);

long new_moving(long a, long b)
{
	return a + b;
}

long new_version(void)
{
	return 2;
}

long new_park(long a)
{
	return a;
}
