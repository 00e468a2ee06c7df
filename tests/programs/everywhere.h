/* SPDX-License-Identifier: GPL-2.0-only */
/* Functions for ../engine/everywhere.c, which puts a probe on each of their instructions. */
#ifndef ST_TESTS_EVERYWHERE_H
#define ST_TESTS_EVERYWHERE_H

/* What it returns depends on its arguments alone. */
struct everywhere {
	const char *name;
	long (*fn)(long a, long b);
};

/* Each ends with a NULL. */
extern const struct everywhere everywhere_c[];		/* everywhere-c.c, compiled in several ways */
extern const struct everywhere everywhere_helpers[];	/* called by those, with other signatures: not to be called */
extern const struct everywhere everywhere_asm[];	/* everywhere-asm.S: what compilers seldom write */

#endif
