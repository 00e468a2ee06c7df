/* SPDX-License-Identifier: GPL-2.0-only */
/* See sites.h: functions whose first instructions differ, where the compiler puts nothing in front of them. */
#include <stddef.h>
#include "sites.h"

#define NOT_INLINE __attribute__((noinline, noclone))
#if defined(__clang__)
#undef NOT_INLINE
#define NOT_INLINE __attribute__((noinline))
#endif

static volatile long datum = 3;

NOT_INLINE long site_leaf(long n)
{
	return n * 7 + datum;
}

NOT_INLINE static long site_static(long n)
{
	return n ^ (datum << 4);
}

NOT_INLINE long site_deep(long n)
{
	return n < 2 ? 1 : site_deep(n - 1) + site_deep(n - 2);
}

NOT_INLINE long site_loop(long n)
{
	long s = datum;

	for (long i = 0; i < n; i++)
		s = s * 3 + i;
	return s;
}

NOT_INLINE long site_frame(long n)
{
	volatile char room[4000];

	for (long i = 0; i < 10; i++)
		room[i * 100] = (char)(n + i);
	return room[300] + room[500];
}

NOT_INLINE long site_tail(long n)
{
	return n & 1 ? site_leaf(n) : site_static(n);
}

NOT_INLINE long site_floats(long n)
{
	volatile double d = (double)n;

	return (long)(d * 0.5 + 0.25);
}

NOT_INLINE long site_switch(long n)
{
	switch (n) {
	case 0: return 11;
	case 1: return site_leaf(5);
	case 2: return 9 + datum;
	case 3: return site_static(4);
	case 4: return -7;
	case 5: return site_deep(5);
	}
	return n;
}

NOT_INLINE long site_pointer(long n)
{
	static long (*volatile fn)(long) = site_leaf;

	return fn(n) + 1;
}

/* Nobody refers to it: --gc-sections takes it away. */
NOT_INLINE long site_unused(long n);
long site_unused(long n)
{
	return n - datum;
}

const struct site_function site_functions[] = {
	{ "site_leaf", site_leaf },
	{ "site_static", site_static },
	{ "site_deep", site_deep },
	{ "site_loop", site_loop },
	{ "site_frame", site_frame },
	{ "site_tail", site_tail },
	{ "site_floats", site_floats },
	{ "site_switch", site_switch },
	{ "site_pointer", site_pointer },
	{ NULL, NULL },
};
