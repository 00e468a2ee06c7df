/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counting checks, for tests that are one program. The last line is what tests/README.md asks for.
 */
#ifndef ST_TESTS_PROBE_CHECK_H
#define ST_TESTS_PROBE_CHECK_H

#include <stdio.h>

static unsigned int passed, failed, skipped;

#define CHECK(cond, ...) do {								\
	if (cond) {									\
		passed++;								\
	} else {									\
		failed++;								\
		printf("%s:%d: failed: %s: ", __FILE__, __LINE__, #cond);		\
		printf(__VA_ARGS__);							\
		putchar('\n');								\
	}										\
} while (0)

static inline int finish(void)
{
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed || !passed;
}

#endif
