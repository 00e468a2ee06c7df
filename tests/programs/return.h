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

#endif
