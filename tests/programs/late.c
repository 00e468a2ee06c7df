/* SPDX-License-Identifier: GPL-2.0-only */
/* A library that later.c loads; it calls its function in a constructor, too. */

#if defined(FIRST)
__attribute__((noipa)) long late_first(long n)
{
	return n + 10;
}
#define FUNCTION late_first
#else
static volatile long more = 21;

__attribute__((noipa)) long late_second(long n)
{
	long sum = more;

	for (long i = 0; i < 3; i++)
		sum += n;
	return sum;
}
#define FUNCTION late_second
#endif

static volatile long got;

__attribute__((constructor)) static void begin(void)
{
	got = FUNCTION(1);
}
