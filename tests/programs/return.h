/* SPDX-License-Identifier: GPL-2.0-only */
/* Programs named return-*: what each computes does not depend on time, and it says it. tests/returns runs them bare and probed. */
#ifndef RETURN_H
#define RETURN_H

/* A function of its own, that is called. */
#if defined(__clang__)
#define KEEP __attribute__((noinline))
#else
#define KEEP __attribute__((noinline, noclone, noipa))
#endif

#include <unistd.h>

/* Programs that are attached to wait, if they have an argument, until there is something to read, or its end. */
static inline void return_wait(int argc)
{
	char c;

	if (argc > 1 && read(0, &c, 1) < 0)
		_exit(99);
}

#endif
