/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* x86-64: which vector registers the CPU has and the kernel keeps (SDM vol. 1, 13.3 and 15.2). */
#include <cpuid.h>
#include <engine/arch.h>
#include "frame.h"

#define XCR0_AVX 0x06		/* SSE and AVX state */
#define XCR0_AVX512 0xe6	/* and masks, upper halves, registers 16 to 31 */

/* Read by vector.S. */
unsigned int st_arch_vector __attribute__((visibility("hidden")));

void st_arch_init(unsigned long hwcap)
{
	unsigned int a, b, c, d, xcr0, high;

	(void)hwcap;
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		return;
	__asm__("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
	if ((xcr0 & XCR0_AVX) == XCR0_AVX)
		st_arch_vector |= ST_VECTOR_AVX;
	/* kmovq wants AVX512BW; without it only the low 16 bits of a mask register exist, and no such CPU is supported */
	if ((xcr0 & XCR0_AVX512) == XCR0_AVX512 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX512BW))
		st_arch_vector |= ST_VECTOR_AVX512;
}
