/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hundreds of functions of all kinds, each of them with NOPs at its entry and without. What each returns is computed
 * here a second time, inline.
 */
#include <stdarg.h>
#include <string.h>
#include "storm.h"

#if defined(__x86_64__)
#define AREA patchable_function_entry(5)
#elif defined(__thumb__)
#define AREA patchable_function_entry(6, 5)
#else
#define AREA patchable_function_entry(1)
#endif
#define NOPS __attribute__((noipa, AREA))
#define MOVED __attribute__((noipa))

typedef unsigned long ulong;

__thread unsigned long storm_got, storm_expected;

static bool same(ulong got, ulong expected)
{
	storm_got = got;
	storm_expected = expected;
	return got == expected;
}

/* The same body three times: with NOPs, without, and the twin. @BODY(n, self) may call itself. */
#define THREE(type, name, n, params, BODY) \
	NOPS type name##_nops_##n params BODY(n, name##_nops_##n) \
	MOVED type name##_moved_##n params BODY(n, name##_moved_##n) \
	MOVED type name##_twin_##n params BODY(n, name##_twin_##n)

/* ---- integers ---- */

#define SUM(n, self) { return a * n + b; }
#define MAKE_sum(n) THREE(static ulong, sum, n, (ulong a, ulong b), SUM)

static bool good_sum(void *at, ulong n, uint64_t r)
{
	ulong (*f)(ulong, ulong) = at;
	ulong a = (ulong)r, b = (ulong)(r >> 32);

	return same(f(a, b), a * n + b);
}

/* ---- arguments on the stack ---- */

#define MANY(n, self) { return a + b * 3 + c * 5 + d * 7 + e * 11 + f * 13 + g * 17 + h * 19 + i * 23 + j * n; }
#define MAKE_many(n) THREE(static ulong, many, n, \
	(ulong a, ulong b, ulong c, ulong d, ulong e, ulong f, ulong g, ulong h, ulong i, ulong j), MANY)

static bool good_many(void *at, ulong n, uint64_t r)
{
	ulong (*fn)(ulong, ulong, ulong, ulong, ulong, ulong, ulong, ulong, ulong, ulong) = at;
	ulong x = (ulong)r & 0xffff;

	return same(fn(x, x + 1, x + 2, x + 3, x + 4, x + 5, x + 6, x + 7, x + 8, x + 9),
		    x + (x + 1) * 3 + (x + 2) * 5 + (x + 3) * 7 + (x + 4) * 11 + (x + 5) * 13 + (x + 6) * 17 +
		    (x + 7) * 19 + (x + 8) * 23 + (x + 9) * n);
}

/* ---- a loop, that may begin at the first instruction ---- */

#define LOOP(n, self) { ulong s = n; do s = s * 31 + *p; while (*p++); return s; }
#define MAKE_loop(n) THREE(static ulong, loop, n, (const unsigned char *p), LOOP)

static bool good_loop(void *at, ulong n, uint64_t r)
{
	ulong (*f)(const unsigned char *) = at;
	unsigned char text[24];
	ulong s = n;
	unsigned int i;

	for (i = 0; i < 8 + (r & 15); i++)
		text[i] = (unsigned char)(1 + (r >> (i & 7)) % 250);
	text[i] = 0;
	for (i = 0; i == 0 || text[i - 1]; i++)
		s = s * 31 + text[i];
	return same(f(text), s);
}

/* ---- recursion ---- */

#define DEEP(n, self) { return a < 2 ? a + n : self(a - 1) + self(a - 2); }
#define MAKE_deep(n) THREE(static ulong, deep, n, (ulong a), DEEP)

static bool good_deep(void *at, ulong n, uint64_t r)
{
	ulong (*f)(ulong) = at;
	ulong a = n, b = n + 1, depth = r % 7;

	for (ulong i = 0; i < depth; i++) {
		ulong c = a + b;

		a = b;
		b = c;
	}
	return same(f(depth), a);
}

/* ---- a variable number of arguments ---- */

#define LIST(n, self) { \
	ulong s = n; \
	va_list ap; \
	va_start(ap, count); \
	for (int i = 0; i < count; i++) \
		s = s * 7 + (i & 1 ? (ulong)va_arg(ap, double) : va_arg(ap, ulong)); \
	va_end(ap); \
	return s; }
#define MAKE_list(n) THREE(static ulong, list, n, (int count, ...), LIST)

static bool good_list(void *at, ulong n, uint64_t r)
{
	ulong (*f)(int, ...) = at;
	ulong a = (ulong)r & 0xffffff, s = n;

	s = s * 7 + a;
	s = s * 7 + (a >> 3);
	s = s * 7 + (a ^ 5);
	s = s * 7 + (a >> 7);
	s = s * 7 + (a + 9);
	return same(f(5, a, (double)(a >> 3), a ^ 5, (double)(a >> 7), a + 9), s);
}

/* ---- floating point ---- */

#define REAL(n, self) { return a * n + (double)b * c; }
#define MAKE_real(n) THREE(static double, real, n, (double a, float b, double c), REAL)

static bool good_real(void *at, ulong n, uint64_t r)
{
	double (*f)(double, float, double) = at;
	double a = (double)(r & 0xffffff), c = (double)(r >> 44);
	float b = (float)(r >> 24 & 0xffff);

	return same((ulong)f(a, b, c), (ulong)(a * (double)n + (double)b * c));
}

/* ---- structures by value ---- */

struct big {
	ulong a;
	double b;
	ulong c[5];
};

#define BIG(n, self) { struct big s = { a, b, { a + n, a ^ n, a * n, n, b > 9 } }; return s; }
#define MAKE_big(n) THREE(static struct big, big, n, (ulong a, double b), BIG)

static bool good_big(void *at, ulong n, uint64_t r)
{
	struct big (*f)(ulong, double) = at;
	ulong a = (ulong)r;
	double b = (double)(r >> 50);
	struct big s = f(a, b);

	return s.a == a && s.b == b && s.c[0] == a + n && s.c[1] == (a ^ n) && s.c[2] == a * n && s.c[3] == n &&
	       s.c[4] == (b > 9);
}

struct pair {
	double a;
	ulong b;
};

#define PAIR(n, self) { struct pair s = { p.a + n, p.b * n }; return s; }
#define MAKE_pair(n) THREE(static struct pair, pair, n, (struct pair p), PAIR)

static bool good_pair(void *at, ulong n, uint64_t r)
{
	struct pair (*f)(struct pair) = at;
	struct pair p = { (double)(r & 0xffff), (ulong)r };
	struct pair s = f(p);

	return s.a == p.a + (double)n && s.b == p.b * n;
}

/* ---- a tail call, and a branch among the first instructions ---- */

MOVED static ulong leaf(ulong a)
{
	return a ^ 0x55;
}

#define TAIL(n, self) { if (a & 1) return leaf(a + n); return a * n; }
#define MAKE_tail(n) THREE(static ulong, tail, n, (ulong a), TAIL)

static bool good_tail(void *at, ulong n, uint64_t r)
{
	ulong (*f)(ulong) = at;
	ulong a = (ulong)r;

	return same(f(a), a & 1 ? (a + n) ^ 0x55 : a * n);
}

/* ---- position-relative data at once ---- */

static volatile ulong datum = 77;

#define DATA(n, self) { return datum + a * n; }
#define MAKE_data(n) THREE(static ulong, data, n, (ulong a), DATA)

static bool good_data(void *at, ulong n, uint64_t r)
{
	ulong (*f)(ulong) = at;

	return same(f((ulong)r), 77 + (ulong)r * n);
}

/*
 * ---- local functions whose callers know which registers they leave alone (-fipa-ra): with values of the caller in
 * vector and general registers over the calls ----
 */
#if defined(__x86_64__)
#define IN_VECTOR "+x"
#else
#define IN_VECTOR "+w"
#endif
#define LOCAL(n) \
	__attribute__((noinline, noclone)) static ulong local_##n(ulong a) { return a * n + 3; } \
	static bool good_local_##n(void *at, ulong id, uint64_t r) \
	{ \
		ulong a = (ulong)r & 0xffff, b = a + 1, c = a ^ 0x77; \
		double x = (double)a * 0.25, y = x + 3; \
		(void)at; \
		(void)id; \
		__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), IN_VECTOR(x), IN_VECTOR(y)); \
		ulong s = local_##n(a); \
		s += local_##n(b); \
		s += local_##n(c); \
		return same(s, (a + b + c) * n + 9) && x == (double)a * 0.25 && y == (double)a * 0.25 + 3; \
	}

#define IDS(M) \
	M(10) M(11) M(12) M(13) M(14) M(15) M(16) M(17) M(18) M(19) M(20) M(21) M(22) M(23) M(24) M(25)

IDS(MAKE_sum)
IDS(MAKE_many)
IDS(MAKE_loop)
IDS(MAKE_deep)
IDS(MAKE_list)
IDS(MAKE_real)
IDS(MAKE_big)
IDS(MAKE_pair)
IDS(MAKE_tail)
IDS(MAKE_data)
IDS(LOCAL)

#define ROW(name, n) \
	{ #name " with NOPs", name##_nops_##n, name##_twin_##n, good_##name, n }, \
	{ #name, name##_moved_##n, name##_twin_##n, good_##name, n },
#define ROW_sum(n) ROW(sum, n)
#define ROW_many(n) ROW(many, n)
#define ROW_loop(n) ROW(loop, n)
#define ROW_deep(n) ROW(deep, n)
#define ROW_list(n) ROW(list, n)
#define ROW_real(n) ROW(real, n)
#define ROW_big(n) ROW(big, n)
#define ROW_pair(n) ROW(pair, n)
#define ROW_tail(n) ROW(tail, n)
#define ROW_data(n) ROW(data, n)
#define ROW_LOCAL(n) { "local", local_##n, NULL, good_local_##n, n },

const struct function functions[] = {
	IDS(ROW_sum)
	IDS(ROW_many)
	IDS(ROW_loop)
	IDS(ROW_deep)
	IDS(ROW_list)
	IDS(ROW_real)
	IDS(ROW_big)
	IDS(ROW_pair)
	IDS(ROW_tail)
	IDS(ROW_data)
	IDS(ROW_LOCAL)
};
const unsigned int function_count = sizeof(functions) / sizeof(functions[0]);
