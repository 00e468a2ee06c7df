/* SPDX-License-Identifier: GPL-2.0-only */
/* See everywhere.h: loops, switches, floating point, strings, recursion, setjmp, variable arguments, data among code. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "everywhere.h"

#define KEEP __attribute__((noinline, noclone))

static volatile long zero;
static long table[16] = { 3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3 };
static __thread long per_thread = 11;

KEEP static long straight(long a, long b)
{
	long c = a * 7 + b;

	c ^= c >> 3;
	c += (a & 0xff) << 4;
	return c - b * 13;
}

KEEP static long loops(long a, long b)
{
	long sum = 0;

	for (long i = 0; i < (a & 7) + 2; i++)
		for (long k = i; k < 6; k++)
			sum += table[(i * k + b) & 15] * (k + 1);
	a &= 63;
	do {
		sum += sum >> 5;
		a -= 3;
	} while (a > 0);
	return sum;
}

KEEP static long dense_switch(long a, long b)
{
	long r = b;

	for (int i = 0; i < 12; i++) {
		switch ((a + i) % 11) {
		case 0: r += 17; break;
		case 1: r ^= 0x5a5a; break;
		case 2: r -= a; break;
		case 3: r = r * 3 + 1; break;
		case 4: r += table[i]; break;
		case 5: r = ~r; break;
		case 6: r <<= 1; break;
		case 7: r >>= 2; /* fall through */
		case 8: r += i; break;
		case 9: r ^= r >> 7; break;
		default: r--;
		}
	}
	return r;
}

KEEP static long sparse_switch(long a, long b)
{
	switch ((a * 977 + b) & 0x3ff) {
	case 5: return 1;
	case 77: return a;
	case 500: return b;
	case 777: return a ^ b;
	case 1000: return a - b;
	}
	switch (b & 3) {
	case 0: return a + 4;
	case 1: return a - 4;
	case 2: return a * 4;
	default: return a ^ 4;
	}
}

KEEP static long floats(long a, long b)
{
	double x = (double)(a & 1023) / 7.0, y = (double)(b | 1);
	float f = (float)x * 1.5f;

	if (x < y)
		x = sqrt(x * y + 2.0);
	else if (x > 100.0)
		x = x - y / 3.0;
	for (int i = 0; i < 4; i++)
		f = f * 0.75f + (float)i;
	return (long)(x * 1000.0) + (long)f + (x == y) + (long)fabs(-y);
}

KEEP static long strings(long a, long b)
{
	char text[64], copy[64];
	long n = (a & 15) + 5, h = 5381;

	for (long i = 0; i < n; i++)
		text[i] = (char)('a' + (i * 7 + b % 13 + 13) % 26);
	text[n] = 0;
	memset(copy, 'x', sizeof(copy));
	memcpy(copy, text, (size_t)n + 1);
	if (strcmp(text, copy))
		return -1;
	for (const char *p = copy; *p; p++)
		h = h * 33 + *p;
	memmove(copy + 1, copy, 20);
	return h + (long)strlen(text) + copy[3] + (strchr(text, 'q') ? 1 : 0);
}

KEEP static long fibonacci(long n)
{
	return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

KEEP static long odd(long n);
KEEP static long even(long n)
{
	return n == 0 ? 1 : odd(n - 1);
}

KEEP static long odd(long n)
{
	return n == 0 ? 0 : even(n - 1);
}

KEEP static long recursion(long a, long b)
{
	return fibonacci(a & 7) * 100 + even(b & 15);
}

KEEP static void leave(jmp_buf env, long n)
{
	volatile char room[100];

	room[n & 63] = 1;
	if (n > 3)
		longjmp(env, (int)n + room[n & 63]);
	leave(env, n + 1);
}

KEEP static long jumps(long a, long b)
{
	jmp_buf env;
	volatile long turns = 0;
	int r = setjmp(env);

	turns++;
	if (turns < 4)
		leave(env, (a + turns) & 3);
	return r * 10 + turns + b;
}

KEEP static long sum_of(int n, ...)
{
	long sum = 0;
	va_list ap;

	va_start(ap, n);
	for (int i = 0; i < n; i++)
		sum += i & 1 ? (long)va_arg(ap, double) : va_arg(ap, long);
	va_end(ap);
	return sum;
}

KEEP static long variable(long a, long b)
{
	return sum_of(8, a, 2.5, b, (double)a, 5l, -7.25, a ^ b, 1e3) + sum_of(0) + sum_of(1, b);
}

struct big {
	long v[6];
	double d;
};

KEEP static struct big make_big(long a, long b)
{
	struct big s = { { a, b, a + b, a - b, a ^ b, 42 }, (double)(a & 255) };

	return s;
}

KEEP static long take_big(struct big s, int i, struct big *t)
{
	s.v[i] += t->v[5 - i];
	return s.v[0] + s.v[3] * 2 + s.v[5] + (long)s.d;
}

KEEP static long structures(long a, long b)
{
	struct big s = make_big(a, b), t = make_big(b, a);

	return take_big(s, (int)(a & 3), &t) + take_big(t, 2, &s);
}

KEEP static long plus(long a, long b)
{
	return a + b;
}

KEEP static long minus(long a, long b)
{
	return a - b;
}

static long (*volatile const operations[])(long, long) = { plus, minus, straight };

KEEP static long pointers(long a, long b)
{
	long r = operations[a & 1](a, b);

	r += operations[2](r, b);
	return operations[b & 1](r, a);		/* in its tail */
}

KEEP static long stacks(long a, long b)
{
	long n = (a & 31) + 1, sum = 0;
	long room[n];

	for (long i = 0; i < n; i++)
		room[i] = i * b;
	for (long i = n; i--;)
		sum ^= room[i] + i;
	return sum;
}

KEEP static long wide(long a, long b)
{
	unsigned long long x = (unsigned long)a * 0x123456789abcdefull + (unsigned long)b;
	long long y = (long long)x / ((b & 0xff) + 3);
	unsigned int carry;

	y += (long long)(x % 1000003);
	carry = __builtin_add_overflow(a, b, &a);
	return (long)(y >> 16) ^ (long)x ^ __builtin_clzll(x | 1) ^ __builtin_popcountll(x) ^ (long)carry ^
	       (long)__builtin_bswap32((unsigned int)y) ^ (long)(x << (b & 31));
}

KEEP static long atomics(long a, long b)
{
	long cell = a;
	unsigned char byte = (unsigned char)b;

	__atomic_fetch_add(&cell, b, __ATOMIC_SEQ_CST);
	__atomic_fetch_or(&byte, 3, __ATOMIC_RELAXED);
	if (__sync_bool_compare_and_swap(&cell, a + b, a - 1))
		cell += 5;
	return __atomic_exchange_n(&cell, 0, __ATOMIC_ACQ_REL) + byte;
}

KEEP static long data(long a, long b)
{
	static const char *const names[] = { "one", "two", "three", "four" };
	long old = per_thread;

	/* It only ever writes what is there: a signal handler that calls this may come between. */
	old = old * 3 + per_thread + (a & 7) + names[b & 3][0] + table[a & 15];
	per_thread = 11;
	return old + 0x12345678;
}

KEEP static long many(long a, long b, long c, long d, long e, long f, long g, double x, float y, long h)
{
	return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + (long)(x + (double)y) + 8 * h;
}

KEEP static long arguments(long a, long b)
{
	return many(a, b, 3, a, 5, b, 7, 0.5 + (double)(a & 63), 1.5f, 9);
}

KEEP static long labels(long a, long b)
{
	static const void *const to[] = { &&one, &&two, &&three, &&out };
	long i = a & 3, n = 0;

	goto *to[i];
one:
	b += 3;
	if (++n > 6)
		goto out;
	goto *to[(b + n) & 3];
two:
	b ^= 0x55;
	if (++n > 6)
		goto out;
	goto *to[(b >> 1) & 3];
three:
	b *= 3;
	if (++n > 6)
		goto out;
	goto *to[(b >> 2) & 3];
out:
	return b + n;
}

KEEP static long seldom(long a, long b)
{
	if (__builtin_expect(zero, 0))
		return strings(a, b) + floats(a, b);
	return (a > b ? a : b) + (a == b ? 1 : b < 0 ? 2 : 3);
}

KEEP static bool less(long a, long b)
{
	return (a ^ 5) < (b ^ 5);
}

KEEP static long sorting(long a, long b)
{
	long v[9], h = 0;

	for (int i = 0; i < 9; i++)
		v[i] = (a * (i + 3) + b * i) % 101;
	for (int i = 1; i < 9; i++)
		for (int k = i; k && less(v[k], v[k - 1]); k--) {
			long t = v[k];

			v[k] = v[k - 1];
			v[k - 1] = t;
		}
	for (int i = 0; i < 9; i++)
		h = h * 31 + v[i];
	return h;
}

KEEP static void nothing(void)
{
}

KEEP static long empties(long a, long b)
{
	nothing();
	if (a & 1)
		nothing();
	return b;
}

#define ONE(fn) { #fn, fn }

/* Those with another signature are called by the ones that stand there. */
#define HELPER(fn) { #fn, (long (*)(long, long))(void *)fn }

const struct everywhere everywhere_c[] = {
	ONE(straight), ONE(loops), ONE(dense_switch), ONE(sparse_switch), ONE(floats), ONE(strings), ONE(recursion), ONE(jumps),
	ONE(variable), ONE(structures), ONE(pointers), ONE(stacks), ONE(wide), ONE(atomics), ONE(data), ONE(arguments),
	ONE(labels), ONE(seldom), ONE(sorting), ONE(empties), ONE(plus), ONE(minus),
	{ NULL, NULL }
};

const struct everywhere everywhere_helpers[] = {
	HELPER(fibonacci), HELPER(even), HELPER(odd), HELPER(leave), HELPER(sum_of), HELPER(make_big), HELPER(take_big),
	HELPER(many), HELPER(less), HELPER(nothing),
	{ NULL, NULL }
};
