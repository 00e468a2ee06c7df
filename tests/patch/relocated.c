/* SPDX-License-Identifier: GPL-2.0-only */
/* A library with a relocation in the code of a function. */
extern int relocated_to;
int relocated_to;

__asm__(".pushsection .text\n"
	".globl relocated\n"
	".type relocated, %function\n"
	".balign 8\n"
	"relocated: .dc.a relocated_to\n"
	".size relocated, . - relocated\n"
	".popsection");
