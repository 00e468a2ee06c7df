/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Garbage in all vector registers that a callback may change, behind the compiler's back; what the ABI says a function
 * leaves as it is, the compiler does (AAPCS32 and AAPCS64: d8 to d15).
 */
#ifndef ST_TESTS_CLOBBER_H
#define ST_TESTS_CLOBBER_H

static inline void clobber_vectors(void)
{
#if defined(__x86_64__)
	__asm__ volatile(
		".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
		"pcmpeqd %%xmm\\i, %%xmm\\i\n\t"
		".endr" ::: "memory");
#elif defined(__aarch64__)
	__asm__ volatile(
		".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
		"movi v\\i\\().16b, #0xa5\n\t"
		".endr\n\t"
		".irp i, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31\n\t"
		"movi v\\i\\().16b, #0xa5\n\t"
		".endr" ::: "memory", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15");
#else
	__asm__ volatile(
		".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
		"vmov d\\i, sp, sp\n\t"
		".endr" ::: "memory", "d8", "d9", "d10", "d11", "d12", "d13", "d14", "d15");
#endif
}

#endif
