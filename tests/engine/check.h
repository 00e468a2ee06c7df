/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counting what a test has checked, and its options. A check that fails says what it found; the last line is what
 * tests/README.md asks for.
 */
#ifndef ST_TESTS_CHECK_H
#define ST_TESTS_CHECK_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static unsigned long check_passed, check_failed, check_skipped;

/* Says what went wrong, at most this many times in full. */
#define CHECK_SHOWN 40

static inline bool __attribute__((format(printf, 2, 3))) check(bool good, const char *fmt, ...)
{
	va_list ap;

	__atomic_fetch_add(good ? &check_passed : &check_failed, 1, __ATOMIC_RELAXED);
	if (good || check_failed > CHECK_SHOWN)
		return good;
	va_start(ap, fmt);
	fputs("FAILED: ", stdout);
	vprintf(fmt, ap);
	putchar('\n');
	fflush(stdout);
	va_end(ap);
	return good;
}

static inline void __attribute__((format(printf, 1, 2))) check_skip(const char *fmt, ...)
{
	va_list ap;

	check_skipped++;
	va_start(ap, fmt);
	fputs("skipped: ", stdout);
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
}

static inline int check_end(void)
{
	printf("%lu passed, %lu failed, %lu skipped\n", check_passed, check_failed, check_skipped);
	return check_failed ? 1 : 0;
}

static inline bool check_long(void)
{
	const char *s = getenv("SIDETRACK_LONG");

	return s && *s && strcmp(s, "0");
}

/* The number behind --NAME on the command line; else @usual, or @longer under SIDETRACK_LONG or --long. */
static inline unsigned long check_option(int argc, char **argv, const char *name, unsigned long usual,
					 unsigned long longer)
{
	unsigned long n = check_long() ? longer : usual;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--long"))
			n = longer;
		if (!strcmp(argv[i], name) && i + 1 < argc)
			return strtoul(argv[i + 1], NULL, 0);
	}
	return n;
}

static inline double check_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Under qemu-user, which shows the machine's own /proc/cpuinfo. */
static inline bool check_emulated(void)
{
#if defined(__x86_64__)
	return false;
#else
	static char text[65536];
	FILE *f = fopen("/proc/cpuinfo", "r");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	if (f)
		fclose(f);
	text[n] = 0;
	return strstr(text, "vendor_id");
#endif
}

/* xorshift64*: the same numbers for the same seed, everywhere. */
static inline uint64_t check_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dull;
}

#endif
