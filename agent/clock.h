/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The clock that stamps hits. Read by the agent in the target and by the tool, which relates it to
 * CLOCK_MONOTONIC.
 *
 * x86-64: the TSC, as rdtsc gives it (no fence: a hit is not ordered against its neighbours to the
 * nanosecond). AArch64: CNTVCT_EL0, which Linux lets user space read. 32-bit ARM: whether CNTVCT
 * can be read depends on the kernel and the board, and trying it may be a SIGILL in the target, so
 * it is CLOCK_MONOTONIC by a system call, in ns.
 */
#ifndef ST_AGENT_CLOCK_H
#define ST_AGENT_CLOCK_H

#include <stdint.h>
#include <engine/syscall.h>

/* Ticks are nanoseconds of CLOCK_MONOTONIC already, and reading them is a system call. */
#if defined(__arm__)
#define ST_CLOCK_IS_NS 1
#else
#define ST_CLOCK_IS_NS 0
#endif

/* Returns 0 where the clock can't be read. */
static inline uint64_t st_agent_clock(void)
{
#if defined(__x86_64__)
	uint32_t lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
#elif defined(__aarch64__)
	uint64_t t;

	asm volatile("mrs %0, cntvct_el0" : "=r"(t));
	return t;
#else
	/*
	 * The old system call with its 32-bit time: every ARM kernel has it, and it counts from
	 * boot.
	 */
	uint32_t ts[2] = { 0, 0 };

	if (st_syscall6(__NR_clock_gettime, 1 /* CLOCK_MONOTONIC */, (long)ts, 0, 0, 0, 0) < 0)
		return 0;
	return ts[0] * 1000000000ull + ts[1];
#endif
}

#endif
