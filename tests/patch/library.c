/* SPDX-License-Identifier: GPL-2.0-only */
/* What commanded.c loads and unloads. */
int in_library(int x);

__attribute__((noipa)) int in_library(int x)
{
	/* Long enough for a jump. */
	for (volatile int i = 0; i < 3; i++)
		__asm__ volatile("" : "+r"(x));
	return x + 1;
}
