/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * st_quiescent() for programs that link us: nothing but a place that can be hooked. One instruction, as long as a jump.
 */
#include <sidetrack/patch.h>

__attribute__((noipa)) void st_quiescent(void)
{
#if defined(__x86_64__)
	__asm__ volatile(".byte 0x0f, 0x1f, 0x44, 0x00, 0x00");	/* SDM volume 2, NOP: 5 bytes */
#elif defined(__thumb__)
	__asm__ volatile("nop.w");
#else
	__asm__ volatile("nop");
#endif
}
