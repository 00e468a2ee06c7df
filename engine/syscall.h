/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * System calls without libc: for code that runs where libc must not be called (in a target, in a hook, while threads are
 * stopped). Returns the kernel's value, -errno on failure. Never touches errno.
 *
 * On AArch64 a system call may drop the upper part of SVE registers (Linux Documentation/arch/arm64/sve.rst, section 3): where
 * there is SVE, code that may get here in a hook runs under st_dispatch_vector.
 */
#ifndef ST_ENGINE_SYSCALL_H
#define ST_ENGINE_SYSCALL_H

#include <asm/unistd.h>

static inline long st_syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall" : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc #0" : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
#else
	/* r7 holds the number and is Thumb's frame pointer: set and put back inside. */
	register long r0 __asm__("r0") = a;
	register long r1 __asm__("r1") = b;
	register long r2 __asm__("r2") = c;
	register long r3 __asm__("r3") = d;
	register long r4 __asm__("r4") = e;
	register long r5 __asm__("r5") = f;
	register long r6 __asm__("r6") = nr;

	__asm__ volatile("mov ip, r7\n\tmov r7, r6\n\tsvc #0\n\tmov r7, ip" : "+r"(r0)
			 : "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5), "r"(r6) : "ip", "memory");
	return r0;
#endif
}

#define st_syscall0(nr) st_syscall6(nr, 0, 0, 0, 0, 0, 0)
#define st_syscall1(nr, a) st_syscall6(nr, (long)(a), 0, 0, 0, 0, 0)
#define st_syscall2(nr, a, b) st_syscall6(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define st_syscall3(nr, a, b, c) st_syscall6(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define st_syscall4(nr, a, b, c, d) st_syscall6(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

#endif
