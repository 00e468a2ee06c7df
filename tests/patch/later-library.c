/* SPDX-License-Identifier: GPL-2.0-only */
/* What later.c loads and unloads, and what programs of install.sh are linked with. Its constructor is the first to call it. */
int in_library(void);

int at_load;

__attribute__((noipa)) int in_library(void)
{
	/* Long enough for a jump. */
	for (volatile int i = 0; i < 3; i++)
		__asm__ volatile("" ::: "memory");
	return 1;
}

__attribute__((constructor)) static void load(void)
{
	at_load = in_library();
}
