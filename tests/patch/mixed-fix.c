/* SPDX-License-Identifier: GPL-2.0-only */
/* Both functions of mixed.c, which have to change together. */
#include <sidetrack/patch.h>

#ifdef WHOLE
ST_PATCH(mixed_whole, ST_PROCESS);
#else
ST_PATCH(mixed_fix, ST_PER_THREAD);
#endif
ST_REPLACE("mixed", "inner", new_inner);
ST_REPLACE("mixed", "outer", new_outer);

__attribute__((noinline)) int new_inner(int a)
{
	return a + 2;
}

/* Through the site, as any caller of the program. */
extern int inner(int a);

int new_outer(int a)
{
	int first = inner(a), second;

	__asm__ volatile("" ::: "memory");
	second = inner(a);
	return first + second + 120;
}
