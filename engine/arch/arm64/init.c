/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* AArch64: what vector state there is, for st_dispatch_vector (entry.S). No libc. */
#include <engine/arch.h>
#include "frame.h"

#define HWCAP_CPUID (1ul << 11)
#define HWCAP_SVE (1ul << 22)

/* 0 until st_arch_init(): then q0 to q31 are kept. */
unsigned int st_arch_vector __attribute__((visibility("hidden")));

/*
 * SME is in AT_HWCAP2. It is also in ID_AA64PFR1_EL1, which programs may read when HWCAP_CPUID says
 * so, as the kernel wants them to see it (Linux Documentation/arm64/cpu-feature-registers.rst): no
 * second argument.
 */
void st_arch_init(unsigned long hwcap)
{
	unsigned int has = 0;
	unsigned long pfr1;

	if (hwcap & HWCAP_SVE)
		has |= 1u << ST_VECTOR_SVE;
	if (hwcap & HWCAP_CPUID) {
		asm("mrs %0, id_aa64pfr1_el1" : "=r"(pfr1));
		if (pfr1 >> 24 & 15)
			has |= 1u << ST_VECTOR_SME;
	}
	st_arch_vector = has;
}
