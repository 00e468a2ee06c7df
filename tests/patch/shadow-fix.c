/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A patch for shadowed.c that remembers something of each object in a shadow variable. As the second patch (SECOND) it goes on with what the
 * first has left, and frees it in the end.
 */
#include <sidetrack/patch.h>

#define COUNT 0x600d

#if defined(SECOND)
ST_PATCH(shadow_second, ST_INDEPENDENT);
#elif defined(THREAD)
ST_PATCH(shadow_thread, ST_PER_THREAD);
#else
ST_PATCH(shadow_first, ST_INDEPENDENT);
#endif
ST_REPLACE("shadowed", "use", new_use);
ST_REPLACE("shadowed", "drop", new_drop);
ST_REPLACE("shadowed", "drop_all", new_drop_all);
ST_TARGET(long *, constructed, "shadowed", "constructed");
ST_TARGET(long *, destroyed, "shadowed", "destroyed");

struct more {
	long uses, first;
	char room[1000];
};

static int begin(void *obj, void *shadow_data, void *ctor_data)
{
	struct more *m = shadow_data;

	(void)obj;
	if (m->uses || m->room[999])
		return 1;
	m->first = *(long *)ctor_data;
	__atomic_add_fetch(constructed, 1, __ATOMIC_RELAXED);
	return 0;
}

static void end(void *obj, void *shadow_data)
{
	(void)obj;
	(void)shadow_data;
	__atomic_add_fetch(destroyed, 1, __ATOMIC_RELAXED);
}

/* How often an object was used since a patch came, and by which it was first. */
long new_use(void *object)
{
#ifdef SECOND
	long number = 2;
#else
	long number = 1;
#endif
	struct more *m = st_shadow_get_or_alloc(object, COUNT, sizeof(*m), begin, &number);

	/* A second one is not to be had. */
	if (!m || m != st_shadow_get(object, COUNT) || st_shadow_alloc(object, COUNT, 1, begin, &number))
		return -1;
	st_quiescent();
	return __atomic_add_fetch(&m->uses, 1, __ATOMIC_RELAXED) * 10 + m->first;
}

void new_drop(void *object)
{
	st_shadow_free(object, COUNT, end);
}

void new_drop_all(void)
{
	st_shadow_free_all(COUNT, end);
}
