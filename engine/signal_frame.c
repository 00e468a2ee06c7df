/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A signal frame is told from its floating-point record, which the kernel marks with a magic number:
 * x86-64 struct _fpx_sw_bytes (arch/x86/include/uapi/asm/sigcontext.h) and the pointer to it in the ucontext, AArch64
 * struct fpsimd_context (first in __reserved), ARM struct vfp_sigframe (first in uc_regspace).
 *
 * A mark left over from an earlier signal may be taken for a new one; then a hook runs once more inside itself, at most
 * as deep as dispatch.c allows. A frame with no mark (no such CPU is supported) would be taken for recursion, and counted as missed.
 */
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <engine/return.h>
#include <engine/signal_frame.h>
#include <engine/site.h>
#include <engine/syscall.h>
#include <engine/thread.h>

/* How far apart two frames of one stack may be for us to look between them. */
#define LOOK_MAX (256ul << 10)

bool st_on_alternate_stack(unsigned long sp)
{
	stack_t ss;

	if (st_no_syscalls || st_syscall2(__NR_sigaltstack, 0, &ss) || !(ss.ss_flags & SS_ONSTACK))
		return false;
	return sp - (unsigned long)ss.ss_sp < ss.ss_size;
}

#if defined(__x86_64__)
#define FP_XSTATE_MAGIC1_ 0x46505853u
#define SW_RESERVED 464		/* of struct _fpstate, where the mark is */

static bool frame_mark(const unsigned long *p, const unsigned long *lo)
{
	unsigned long fpstate = (unsigned long)p - SW_RESERVED;

	if ((uint32_t)*p != FP_XSTATE_MAGIC1_ || fpstate % 64)
		return false;
	/* mcontext.fpstate lies below, in the ucontext */
	for (const unsigned long *q = p; q-- > lo;)
		if (*q == fpstate)
			return true;
	return false;
}
#elif defined(__aarch64__)
static bool frame_mark(const unsigned long *p, const unsigned long *lo)
{
	(void)lo;
	return *p == (0x46508001ul | 528ul << 32);	/* FPSIMD_MAGIC, size */
}
#else
static bool frame_mark(const unsigned long *p, const unsigned long *lo)
{
	(void)lo;
	return p[0] == 0x56465001ul && p[1] == 288;	/* VFP_MAGIC, VFP_STORAGE_SIZE */
}
#endif

bool st_signal_frame_between(unsigned long inner, unsigned long outer)
{
	const unsigned long *lo = (const unsigned long *)inner;
	const unsigned long *hi = (const unsigned long *)outer;

	if (inner > outer || outer - inner > LOOK_MAX)
		return st_on_alternate_stack(inner) && !st_on_alternate_stack(outer);
	for (const unsigned long *p = lo; p < hi; p++)
		if (frame_mark(p, lo))
			return true;
	return false;
}

/* Longer than st_entry and st_return on any architecture. */
#define ENTRY_MAX 1024

bool st_frame_left(unsigned long inner, unsigned long outer)
{
	if (inner >= outer)
		return !st_on_alternate_stack(inner);
	if (outer - inner > LOOK_MAX || st_on_alternate_stack(inner) != st_on_alternate_stack(outer))
		return false;
	for (const unsigned long *p = (const unsigned long *)inner; p < (const unsigned long *)outer; p++)
		if (*p - (unsigned long)st_entry < ENTRY_MAX || *p - (unsigned long)st_return < ENTRY_MAX)
			return false;
	return true;
}
