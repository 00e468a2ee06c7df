/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A program whose objects patches remember something of.
 *
 *	shadowed idle|busy	"ready". Lines of stdin: "use N", "drop N", "all": each prints "ANSWER constructed C destroyed D", what the
 *				patches say; what strict.c knows, as "nommap": from now on the program is so restricted, or ANSWER says
 *				why not; "end": "ok", or "wrong". Busy: threads use and drop objects of their own all the time, and only
 *				ANSWER is printed.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "strict.h"

#define NOINLINE __attribute__((noipa))

long constructed, destroyed;
static int ended, wrong;
static char object[16][16];

NOINLINE long use(void *o)
{
	__asm__ volatile("" : "+r"(o));
	return o ? 0 : 1;
}

NOINLINE void drop(void *o)
{
	__asm__ volatile("" : "+r"(o));
}

NOINLINE void drop_all(void)
{
	__asm__ volatile("nop; nop; nop; nop; nop");
}

/* What a patch has left in registers, and would look as if the thread would come back to it. */
static inline void forget(void)
{
#if defined(__aarch64__)
	__asm__ volatile("mov x0, 0; mov x1, 0; mov x2, 0; mov x3, 0; mov x4, 0; mov x5, 0; mov x6, 0; mov x7, 0; mov x8, 0\n\t"
			 "mov x9, 0; mov x10, 0; mov x11, 0; mov x12, 0; mov x13, 0; mov x14, 0; mov x15, 0; mov x16, 0; mov x17, 0"
			 : : : "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
			 "x16", "x17");
#elif defined(__arm__)
	__asm__ volatile("mov r0, #0; mov r1, #0; mov r2, #0; mov r3, #0; mov ip, #0" : : : "r0", "r1", "r2", "r3", "ip");
#else
	__asm__ volatile("xor %%eax, %%eax; xor %%ecx, %%ecx; xor %%edx, %%edx; xor %%esi, %%esi; xor %%edi, %%edi\n\t"
			 "xor %%r8d, %%r8d; xor %%r9d, %%r9d; xor %%r10d, %%r10d; xor %%r11d, %%r11d"
			 : : : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "cc");
#endif
}

static void *all_the_time(void *arg)
{
	char own[4][16] = { "" };

	(void)arg;
	while (!__atomic_load_n(&ended, __ATOMIC_RELAXED)) {
		for (int i = 0; i < 4; i++)
			if (use(own[i]) < 0)
				wrong = 1;
		for (int i = 0; i < 4; i++)
			drop(own[i]);
		forget();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 && !strcmp(argv[1], "busy") ? 3 : 0, n = 0;
	char line[64], what[16];
	pthread_t thread[3];

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, all_the_time, NULL);
	puts("ready");
	while (fgets(line, sizeof(line), stdin) && sscanf(line, "%15s %d", what, &n) >= 1 && strcmp(what, "end")) {
		long answer = 0;

		if (!strcmp(what, "use"))
			answer = use(object[n & 15]);
		else if (!strcmp(what, "drop"))
			drop(object[n & 15]);
		else if (!strcmp(what, "all"))
			drop_all();
		else
			answer = strict(what);
		if (threads)
			printf("%ld\n", answer);
		else
			printf("%ld constructed %ld destroyed %ld\n", answer, constructed, destroyed);
	}
	ended = 1;
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	puts(wrong ? "wrong" : "ok");
	return wrong;
}
