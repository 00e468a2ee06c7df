/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Patches for shadowed.c: one in which threads stay (STAYS) until drop() is called, at a quiescent point if QUIESCENT; and another, per
 * thread, that comes on top of it meanwhile.
 */
#include <sidetrack/patch.h>

#ifdef STAYS
ST_PATCH(stays, ST_INDEPENDENT);
#else
ST_PATCH(on_top, ST_PER_THREAD);
#endif
ST_REPLACE("shadowed", "use", new_use);
ST_REPLACE("shadowed", "drop", new_drop);
ST_TARGET(long *, destroyed, "shadowed", "destroyed");

long new_use(void *object)
{
	(void)object;
#ifdef STAYS
	while (!__atomic_load_n(destroyed, __ATOMIC_RELAXED)) {
#ifdef QUIESCENT
		st_quiescent();
#endif
	}
#endif
	return 0;
}

void new_drop(void *object)
{
	(void)object;
	__atomic_store_n(destroyed, 1, __ATOMIC_RELAXED);
}
