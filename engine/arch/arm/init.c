// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the code of entry.S must know about the CPU it runs on, and the proof that it and C mean the
 * same structure.
 */
#include <stddef.h>
#include <engine/arch.h>
#include <sidetrack/regs.h>

_Static_assert(offsetof(struct st_regs, r[4]) == 16, "entry.S: REGS_R4");
_Static_assert(offsetof(struct st_regs, fp) == 44, "entry.S: r11 follows r10");
_Static_assert(offsetof(struct st_regs, ip) == 48, "entry.S: r12 follows r11");
_Static_assert(offsetof(struct st_regs, sp) == 52, "entry.S: REGS_SP");
_Static_assert(offsetof(struct st_regs, lr) == 56, "entry.S: REGS_LR");
_Static_assert(offsetof(struct st_regs, pc) == 60, "entry.S: REGS_PC");
_Static_assert(offsetof(struct st_regs, cpsr) == 64, "entry.S: REGS_CPSR");
_Static_assert(offsetof(struct st_regs, orig_r0) == 68, "entry.S: the last word");
_Static_assert(sizeof(struct st_regs) == 72, "entry.S: REGS_SIZE, and the stubs");

/* Linux arch/arm/include/uapi/asm/hwcap.h */
#define HWCAP_VFP (1ul << 6)
#define HWCAP_NEON (1ul << 12)
#define HWCAP_VFPV3 (1ul << 13)
#define HWCAP_VFPV3D16 (1ul << 14)
#define HWCAP_VFPD32 (1ul << 19)

/*
 * How many doubleword registers the CPU has: 0, 16 or 32. Read by st_dispatch_vector; most have all
 * of them.
 */
unsigned int st_arch_vector __attribute__((visibility("hidden"))) = 32;

void st_arch_init(unsigned long hwcap)
{
	/* kernels before 3.7 don't say VFPD32, but say VFPV3D16 where it is not so */
	if ((hwcap & (HWCAP_VFPD32 | HWCAP_NEON)) ||
	    (hwcap & (HWCAP_VFPV3 | HWCAP_VFPV3D16)) == HWCAP_VFPV3)
		st_arch_vector = 32;
	else
		st_arch_vector = hwcap & (HWCAP_VFP | HWCAP_VFPV3D16) ? 16 : 0;
}
