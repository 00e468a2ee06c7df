/* SPDX-License-Identifier: GPL-2.0-only */
/* Patches for later.c and its library: NAME, LEVEL; LIBRARY_ONLY: not for the program. */
#include <sidetrack/patch.h>

#define PATCH(name, level) ST_PATCH(name, level)

PATCH(NAME, LEVEL);
#ifndef LIBRARY_ONLY
ST_REPLACE("later", "in_program", new_in_program);

int new_in_program(void)
{
	__asm__ volatile("" ::: "memory");
	return 2;
}
#endif

ST_REPLACE("liblater.so", "in_library", new_in_library);

int new_in_library(void)
{
	__asm__ volatile("" ::: "memory");
	return 2;
}
