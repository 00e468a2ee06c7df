/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls a function of short instructions again and again, until stdin ends, and keeps the address of its second instruction on the stack
 * all the while: whoever looks must take it that the thread will come back there.
 */
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#if defined(__x86_64__)
#define BODY "push %rbx\n\tmov %edi, %ebx\n\tlea 1(%rbx), %eax\n\tpop %rbx\n\tret"
#define SECOND 1
#elif defined(__aarch64__)
#define BODY "add w0, w0, #1\n\tnop\n\tret"
#define SECOND 4
#elif defined(__thumb__)
#define BODY "push {r4, lr}\n\tmov r4, r0\n\tadds r0, r4, #1\n\tpop {r4, pc}"
#define SECOND 2
#else
#define BODY "push {r4, lr}\n\tmov r4, r0\n\tadd r0, r4, #1\n\tpop {r4, pc}"
#define SECOND 4
#endif

#if defined(__thumb__)
#define STATE ".thumb_func\n"
#else
#define STATE ""
#endif

int stays(int n);
__asm__(".text\n\t.balign 16\n\t.globl stays\n\t" STATE "\t.type stays, %function\nstays:\n\t" BODY "\n\t.size stays, . - stays\n");

int main(void)
{
	volatile unsigned long second = (unsigned long)stays + SECOND;
	struct pollfd in = { .fd = 0, .events = POLLIN };
	int n = 0, wrong = 0;
	char c;

	while (poll(&in, 1, 2) <= 0 || read(0, &c, 1) > 0) {
		wrong += stays(n) != n + 1;
		n++;
	}
	printf("%d wrong\n", wrong);
	return second ? 7 : 0;
}
