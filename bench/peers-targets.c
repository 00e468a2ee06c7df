// SPDX-License-Identifier: GPL-2.0-only
/* What uftrace patches when it starts the program: built with -pg -mfentry -mnop-mcount. */
long uftraced(long a, long b);

long __attribute__((noinline, aligned(64))) uftraced(long a, long b)
{
	return a + b;
}
