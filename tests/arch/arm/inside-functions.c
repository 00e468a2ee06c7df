// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions that are probed at every instruction (inside.c): what compilers make of switches,
 * conditions, loops, 64-bit and floating-point arithmetic, calls, tail calls, literals and atomics.
 */
#include "inside.h"

#define corpus __attribute__((noinline, noclone, section("corpus")))

corpus static unsigned int dense(unsigned int x)
{
	switch (x % 11) {
	case 0:
		return x * 3;
	case 1:
		return x ^ 0x1234567;
	case 2:
		return x + 77;
	case 3:
		return ~x;
	case 4:
		return x >> 3;
	case 5:
		return x << 7;
	case 6:
		return x - 1;
	case 7:
		return x * x;
	case 8:
		return x | 0x10001;
	case 9:
		return x & 0xff00ff;
	default:
		return 42;
	}
}

corpus static int conditions(int a, int b)
{
	int r = a > b ? a - b : b - a;

	if (a < 0 && b < 0)
		r = -r;
	r += a == b ? 5 : 7;
	r += (a & 1) ? (b & 1) ? 1 : 2 : 3;
	return r > 1000 ? 1000 : r < -1000 ? -1000 : r;
}

corpus static unsigned int text(const char *s)
{
	unsigned int h = 5381;

	while (*s) {
		if (*s >= 'a' && *s <= 'z')
			h = h * 33 ^ (unsigned int)(*s - 32);
		else if (*s == ' ' || *s == '\t')
			h += 3;
		else
			h = h * 33 ^ (unsigned int)*s;
		s++;
	}
	return h;
}

corpus static unsigned long long wide(unsigned long long a, unsigned long long b)
{
	unsigned long long r = a * b + (a >> 7) - (b << 3);

	if (r > 0x123456789abcull)
		r /= (b | 1);
	return r ^ 0xfedcba9876543210ull;
}

corpus static double real(double a, double b)
{
	double r = a * b + 1.25e10, s = a - b;

	if (s > 0.5)
		r /= s;
	while (r > 1e6)
		r *= 0.125;
	return r + (float)s * 3.5f;
}

corpus static int atomics(int *p, int n)
{
	int i, r = 0;

	for (i = 0; i < n; i++) {
		r += __atomic_fetch_add(p, i, __ATOMIC_SEQ_CST);
		if (!__atomic_compare_exchange_n(p, &r, r + 1, 0, __ATOMIC_ACQ_REL,
						 __ATOMIC_RELAXED))
			r ^= 3;
	}
	return r;
}

corpus static unsigned int recursive(unsigned int n)
{
	return n < 2 ? n : recursive(n - 1) + recursive(n - 2);
}

corpus static unsigned int tail(unsigned int n, unsigned int (*fn)(unsigned int))
{
	return fn(n * 5 + 1);
}

corpus static void sort(int *v, int n)
{
	int i, k;

	for (i = 1; i < n; i++)
		for (k = i; k > 0 && v[k - 1] > v[k]; k--) {
			int t = v[k];

			v[k] = v[k - 1];
			v[k - 1] = t;
		}
}

corpus static int machine(const unsigned char *code, int n)
{
	static const void *const labels[] = {&&add, &&sub, &&dup, &&xor, &&end};
	int stack[8] = {1, 2, 3, 4, 5, 6, 7, 8}, at = 7, i = 0;

	goto *labels[i < n ? code[i] % 4 : 4];
add:
	stack[at & 7] += stack[(at + 1) & 7];
	i++;
	goto *labels[i < n ? code[i] % 4 : 4];
sub:
	stack[at & 7] -= i;
	at--;
	i++;
	goto *labels[i < n ? code[i] % 4 : 4];
dup:
	stack[(at + 3) & 7] = stack[at & 7];
	i++;
	goto *labels[i < n ? code[i] % 4 : 4];
	xor : stack[at & 7] ^= 0x55aa33cc;
	at += 3;
	i++;
	goto *labels[i < n ? code[i] % 4 : 4];
end:
	return stack[0] ^ stack[1] ^ stack[2] ^ stack[3] ^ stack[4] ^ stack[5] ^ stack[6] ^
	       stack[7];
}

/* What compilers seldom make, in both states: r0 is the argument and the result. */
#ifdef __thumb__
__attribute__((naked, noinline, section("corpus"))) static unsigned int assembly(unsigned int x)
{
	(void)x;
	__asm__(".syntax unified\n\t"
		"push {r4, r5, lr}\n\t"
		"and r4, r0, #3\n\t"
		"cmp r4, #2\n\t"
		"ittee eq\n\t"
		"addeq r0, #5\n\t"
		"ldreq.w r5, 8f\n\t"
		"addne.w r0, r0, #300\n\t"
		"ldrne r5, 9f\n\t"
		"add r0, r5\n\t"
		"it lt\n\t"
		"ldrlt.w r5, [sp]\n\t" /* the trap has 32 bits */
		"eor r0, r5\n\t"
		"adr r1, 9f\n\t"
		"ldr r2, [r1]\n\t"
		"adds r0, r2\n\t"
		"mov r3, pc\n\t"
		"add r3, pc\n\t"
		"sub r3, r3, r3\n\t"
		"add r0, r3\n\t"
		"cbz r4, 2f\n\t"
		"adds r0, #1\n"
		"2:\tcmp r4, #3\n\t"
		"bhi 7f\n\t"
		"tbb [pc, r4]\n"
		"3:\t.byte (4f - 3b) / 2, (5f - 3b) / 2, (6f - 3b) / 2, (7f - 3b) / 2\n"
		"4:\tadds r0, #11\n"
		"5:\tit eq\n\t"
		"bleq 1f\n\t"
		"it ne\n\t"
		"addne r0, #3\n\t"
		"b 7f\n"
		"6:\tldrd r1, r2, 8f\n\t"
		"eor r0, r1\n\t"
		"add r0, r2\n"
		"7:\tcmp r0, #0\n\t"
		"itt mi\n\t"
		"lsrmi r0, r0, #1\n\t"
		"popmi {r4, r5, pc}\n\t"
		"pop {r4, r5, pc}\n"
		"1:\tlsls r0, r0, #1\n\t"
		"bx lr\n\t"
		".p2align 2\n"
		"8:\t.word 0x2345, 0x777\n"
		"9:\t.word 0x13579");
}
#else
__attribute__((naked, noinline, section("corpus"))) static unsigned int assembly(unsigned int x)
{
	(void)x;
	__asm__("push {r4, r5, lr}\n\t"
		"and r4, r0, #3\n\t"
		"cmp r4, #2\n\t"
		"addls r0, pc, #0\n\t"
		"subls r0, r0, pc\n\t"
		"ldreq r5, 8f\n\t"
		"ldrne r5, 9f\n\t"
		"add r0, r0, r5\n\t"
		"ldrd r2, r3, 8f\n\t"
		"eor r0, r0, r3\n\t"
		"adr r1, 9f\n\t"
		"ldr r2, [r1]\n\t"
		"adds r0, r0, r2\n\t"
		"cmp r4, #3\n\t"
		"addls pc, pc, r4, lsl #2\n\t"
		"b 7f\n\t"
		"b 4f\n\t"
		"b 5f\n\t"
		"b 6f\n\t"
		"b 7f\n"
		"4:\tadd r0, r0, #11\n"
		"5:\tbl 1f\n\t"
		"b 7f\n"
		"6:\tstr pc, [r1, #-4]!\n\t"
		"ldr r2, [r1]\n\t"
		"sub r2, r2, pc\n\t"
		"add r0, r0, r2\n"
		"7:\tcmp r0, #0\n\t"
		"popmi {r4, r5, pc}\n\t"
		"mov r3, sp\n\t"
		"push {r3, pc}\n\t"
		"ldr r2, [sp, #4]\n\t"
		"sub r2, r2, pc\n\t"
		"add r0, r0, r2\n\t"
		"add sp, sp, #8\n\t"
		"pop {r4, r5, pc}\n"
		"1:\tlsl r0, r0, #1\n\t"
		"bx lr\n\t"
		".p2align 2\n"
		"8:\t.word 0x2345, 0x777\n\t"
		".word 0\n"
		"9:\t.word 0x13579");
}
#endif

unsigned int corpus_run(void)
{
	int v[12] = {5, 3, 9, -2, 77, 0, 12, 8, 8, -40, 6, 1}, cell = 3;
	unsigned int r = 1, i;

	for (i = 0; i < 24; i++) {
		r = r * 31 + assembly(i + (i > 12 ? 0x7ffffff0 : 0));
		r = r * 31 + dense(i * 7 + i / 3);
		r = r * 31 + (unsigned int)conditions((int)(i * 40) - 300, 5 - (int)i * (int)i);
	}
	r = r * 31 + text("The Quick brown fox 0123 jumps\tover");
	r = r * 31 + (unsigned int)(wide(0x123456789ull, 987654321) >> 5) +
	    (unsigned int)wide(3, 4);
	r = r * 31 + (unsigned int)(long long)real(1234.5, 0.25) +
	    (unsigned int)(long long)(real(0.125, 7) / 3);
	r = r * 31 + (unsigned int)atomics(&cell, 4) + (unsigned int)cell;
	r = r * 31 + recursive(6) + tail(9, dense);
	sort(v, 12);
	for (i = 0; i < 12; i++)
		r = r * 31 + (unsigned int)v[i];
	return r * 31 + (unsigned int)machine((const unsigned char *)"\1\2\0\3\1\1\2\3\0\2", 10);
}

static const void *const functions[] = {
	dense, conditions, text, wide, real, atomics, recursive, tail, sort, machine, assembly,
};

unsigned int corpus_functions(const void *const **list)
{
	*list = functions;
	return sizeof(functions) / sizeof(functions[0]);
}
