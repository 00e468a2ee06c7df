/* SPDX-License-Identifier: GPL-2.0-only */
/* Every way in which a value is returned; variadic functions; nested functions with a static chain. */
#include <complex.h>
#include <stdarg.h>
#include <stdio.h>
#include "return.h"

struct small { int a; short b; };
struct pair { long a, b; };
struct mixed { double d; long n; };
struct floats { float x, y, z; };
struct doubles { double a, b, c, d; };
struct large { long n[9]; };
struct one { double d; };

static volatile double half = 0.5;
static volatile long three = 3;

KEEP char a_char(long n) { return (char)(n * three); }
KEEP unsigned short a_short(long n) { return (unsigned short)(n * 77); }
KEEP long long a_long_long(long n) { return (long long)n * 0x123456789abll; }
KEEP float a_float(long n) { return (float)n * (float)half; }
KEEP double a_double(long n) { return (double)n * half; }
KEEP long double a_long_double(long n) { return (long double)n / 3; }
KEEP double complex a_complex(long n) { return (double)n + half * I; }
KEEP float complex a_float_complex(long n) { return (float)n - 2 * I; }
KEEP long double complex a_long_complex(long n) { return (long double)n * 7 - 3 * I; }
KEEP struct small a_small(long n) { return (struct small){ (int)n, (short)(n + 1) }; }
KEEP struct pair a_pair(long n) { return (struct pair){ n, ~n }; }
KEEP struct mixed a_mixed(long n) { return (struct mixed){ (double)n * half, n }; }
KEEP struct floats a_floats(long n) { return (struct floats){ (float)n, (float)half, (float)(n + 2) }; }
KEEP struct doubles a_doubles(long n) { return (struct doubles){ (double)n, half, (double)n * 3, 4 }; }
KEEP struct one a_one(long n) { return (struct one){ (double)n + half }; }
KEEP struct large a_large(long n)
{
	struct large l;

	for (int i = 0; i < 9; i++)
		l.n[i] = n * i;
	return l;
}
KEEP void *a_pointer(long n) { return (char *)&half + n; }
KEEP void nothing(long n) { three = 3 + (n & 0); }

typedef int vector __attribute__((vector_size(16)));
KEEP vector a_vector(long n) { return (vector){ (int)n, 2, (int)n * 3, 4 }; }

KEEP double sum_of(int n, ...)
{
	double sum = 0;
	va_list ap;

	va_start(ap, n);
	while (n--)
		sum += va_arg(ap, int) + va_arg(ap, double) + (double)va_arg(ap, long double);
	va_end(ap);
	return sum;
}

#ifndef __clang__
KEEP long apply(long (*f)(long), long n)
{
	return f(n) + f(n + 1);
}

KEEP long nested(long n)
{
	long calls = 0;

	long add(long k)
	{
		calls++;
		return k * n;
	}
	return apply(add, n) * 10 + calls + add(2);
}
#endif

int main(void)
{
	for (long n = 0; n < 50; n++) {
		struct small s = a_small(n);
		struct pair p = a_pair(n);
		struct mixed m = a_mixed(n);
		struct floats f = a_floats(n);
		struct doubles d = a_doubles(n);
		struct large l = a_large(n);
		vector v = a_vector(n);
		double complex c = a_complex(n);
		float complex fc = a_float_complex(n);
		long double complex lc = a_long_complex(n);

		nothing(n);
		printf("%d %u %lld %g %g %Lg %g %g %g %g %Lg %Lg %d %d %ld %ld %g %ld %g %g %g %g %g %g %g %g %ld %ld %d %d %d %d %g %g",
		       a_char(n), a_short(n), a_long_long(n), (double)a_float(n), a_double(n), a_long_double(n), creal(c), cimag(c),
		       (double)crealf(fc), (double)cimagf(fc), creall(lc), cimagl(lc), s.a, s.b, p.a, p.b, m.d, m.n, (double)f.x,
		       (double)f.y, (double)f.z, d.a, d.b, d.c, d.d, a_one(n).d, l.n[8], (long)((char *)a_pointer(n) - (char *)&half),
		       v[0], v[1], v[2], v[3], sum_of(1, 1, 2.0, 3.0L), sum_of(3, 1, half, 3.0L, 4, half, 6.0L, (int)n, 7.0, 8.0L));
#ifndef __clang__
		printf(" %ld", nested(n));
#endif
		printf("\n");
	}
	return 0;
}
