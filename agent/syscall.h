/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Raw system calls for code that runs in a foreign process: no libc, no errno, no cancellation point.
 *
 * A call returns what the kernel returned: -4095 to -1 is a negative errno.
 * On AArch64 a system call may drop the upper part of SVE registers (Linux Documentation/arch/arm64/sve.rst, section 3):
 * a hook that makes one is not "general registers only" on a CPU with SVE; the tool installs it accordingly.
 */
#ifndef ST_AGENT_SYSCALL_H
#define ST_AGENT_SYSCALL_H

#include <asm/unistd.h>

static inline long st_syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	register long r10 asm("r10") = d;
	register long r8 asm("r8") = e;
	register long r9 asm("r9") = f;
	long ret;

	asm volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
		     : "rcx", "r11", "memory");
	return ret;
#elif defined(__aarch64__)
	register long x8 asm("x8") = nr;
	register long x0 asm("x0") = a;
	register long x1 asm("x1") = b;
	register long x2 asm("x2") = c;
	register long x3 asm("x3") = d;
	register long x4 asm("x4") = e;
	register long x5 asm("x5") = f;

	asm volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
#elif defined(__arm__)
	/* r7 may be the frame pointer of Thumb code, so it can't be named as an operand: keep it by hand. */
	register long r0 asm("r0") = a;
	register long r1 asm("r1") = b;
	register long r2 asm("r2") = c;
	register long r3 asm("r3") = d;
	register long r4 asm("r4") = e;
	register long r5 asm("r5") = f;
	long keep;

	asm volatile("mov %[keep], r7\n\t"
		     "mov r7, %[nr]\n\t"
		     "svc #0\n\t"
		     "mov r7, %[keep]"
		     : "+r"(r0), [keep] "=&r"(keep)
		     : [nr] "r"(nr), "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5) : "memory");
	return r0;
#endif
}

#endif
