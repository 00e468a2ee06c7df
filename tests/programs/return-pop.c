/* SPDX-License-Identifier: GPL-2.0-only */
/* x86-64: functions that take their arguments from the stack when they return (ret n), which no compiler makes here. */
#include <stdio.h>
#include "return.h"

__asm__(".text\n"
	".globl	pops_two, pops_many, through\n"
	".type	pops_two, @function\n"
	"pops_two:\n"
	"	mov	8(%rsp), %rax\n"
	"	lea	(%rax, %rax, 2), %rax\n"
	"	add	16(%rsp), %rax\n"
	"	ret	$16\n"
	".size	pops_two, . - pops_two\n"
	".type	pops_many, @function\n"
	"pops_many:\n"
	"	mov	8(%rsp), %rax\n"
	"	add	160(%rsp), %rax\n"
	"	nop\n"
	"	ret	$160\n"
	".size	pops_many, . - pops_many\n"
	/* pops_two in its tail: two pending returns of one key */
	".type	through, @function\n"
	"through:\n"
	"	addq	$7, 8(%rsp)\n"
	"	jmp	pops_two\n"
	".size	through, . - through\n");

KEEP long two(long a, long b)
{
	long got;

	__asm__ volatile("sub $256, %%rsp\n\tpush %2\n\tpush %1\n\tcall pops_two\n\tadd $256, %%rsp"
			 : "=a"(got) : "r"(a), "r"(b) : "memory", "cc");
	return got;
}

KEEP long tail(long a, long b)
{
	long got;

	__asm__ volatile("sub $256, %%rsp\n\tpush %2\n\tpush %1\n\tcall through\n\tadd $256, %%rsp"
			 : "=a"(got) : "r"(a), "r"(b) : "memory", "cc");
	return got;
}

KEEP long many(long a, long b)
{
	long got;

	__asm__ volatile("sub $256, %%rsp\n\tpush %2\n\tsub $144, %%rsp\n\tpush %1\n\tcall pops_many\n\tadd $256, %%rsp"
			 : "=a"(got) : "r"(a), "r"(b) : "memory", "cc");
	return got;
}

int main(void)
{
	long sum = 0;

	for (long i = 0; i < 1000; i++)
		sum = sum * 3 + two(i, sum & 0xff) + many(i, 5) + tail(i, 2);
	printf("%ld\n", sum);
	return 0;
}
