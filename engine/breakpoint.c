/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See breakpoint.h. The handler only sets pc: the thread goes to the site's stub, and the hooks run there, outside of any
 * signal handler, with the program's stack and signal mask. Nothing is single-stepped.
 *
 * What a program does to SIGTRAP while breakpoints stand is its own affair, and may end it: a handler of its own gets
 * our breakpoints until something is hooked or unhooked, and a thread that blocks SIGTRAP is killed by one (docs/limits.md).
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>
#include <engine/breakpoint.h>
#include <engine/park.h>
#include <engine/record.h>
#include <engine/syscall.h>

static const struct st_change *volatile batch;
static volatile size_t batch_size;
static struct sigaction next_handler;

void st_breakpoint_batch(const struct st_change *edit, size_t n)
{
	batch_size = n;
	__atomic_store_n(&batch, edit, __ATOMIC_RELEASE);
}

static const struct st_change *in_batch(unsigned long addr)
{
	const struct st_change *edit = batch;
	size_t lo = 0, hi = edit ? batch_size : 0;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (edit[mid].addr < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < batch_size && edit && edit[lo].addr == addr ? &edit[lo] : NULL;
}

#if defined(__x86_64__)

#define TRAP_CODE SI_KERNEL	/* int3, and not a signal that was sent, nor a single step */
#define TRAP_BYTE 0xcc

/* Of the instruction; pc is behind it. */
static unsigned long trap_address(const ucontext_t *uc)
{
	return (unsigned long)uc->uc_mcontext.gregs[REG_RIP] - 1;
}

static void go_on_at(ucontext_t *uc, unsigned long to)
{
	uc->uc_mcontext.gregs[REG_RIP] = (long)to;
}

/* The batch it belonged to has ended since: the instruction is another one now. */
static bool is_over(unsigned long addr)
{
	return *(volatile uint8_t *)addr != TRAP_BYTE;
}

#else

#define TRAP_CODE TRAP_BRKPT

#if defined(__aarch64__)
#define PSTATE_BTYPE 0xc00ull

static unsigned long trap_address(const ucontext_t *uc)
{
	return uc->uc_mcontext.pc;
}

static void go_on_at(ucontext_t *uc, unsigned long to)
{
	uc->uc_mcontext.pc = to;
	uc->uc_mcontext.pstate &= ~PSTATE_BTYPE;
}
#else
#define CPSR_T 0x20ul
#define CPSR_IT 0x0600fc00ul	/* a stub says itself what of it is conditional */

static unsigned long trap_address(const ucontext_t *uc)
{
	return uc->uc_mcontext.arm_pc;
}

static void go_on_at(ucontext_t *uc, unsigned long to)
{
	uc->uc_mcontext.arm_pc = to & ~1ul;
	uc->uc_mcontext.arm_cpsr = (uc->uc_mcontext.arm_cpsr & ~(CPSR_IT | CPSR_T)) | (to & 1 ? CPSR_T : 0);
}
#endif

static bool is_over(unsigned long addr)
{
	(void)addr;
	return false;
}

#endif

static void on_breakpoint(int sig, siginfo_t *info, void *context)
{
	unsigned long addr = trap_address(context);

	if (info->si_code == TRAP_CODE) {
		const struct st_change *e = in_batch(addr);
		unsigned long to = e ? e->resume : st_record_breakpoint(addr);

		if (to || is_over(addr)) {
			go_on_at(context, to ?: addr);
			return;
		}
	}
	if (next_handler.sa_flags & SA_SIGINFO) {
		next_handler.sa_sigaction(sig, info, context);
	} else if (next_handler.sa_handler == SIG_DFL) {
		sigaction(sig, &next_handler, NULL);
		st_syscall3(__NR_tgkill, st_syscall0(__NR_getpid), st_syscall0(__NR_gettid), sig);
	} else if (next_handler.sa_handler != SIG_IGN) {
		next_handler.sa_handler(sig);
	}
}

int st_breakpoint_own(void)
{
	struct sigaction sa, old;

	if (sigaction(SIGTRAP, NULL, &old))
		return -errno;
	if ((old.sa_flags & SA_SIGINFO) && old.sa_sigaction == on_breakpoint)
		return 0;
	memset(&sa, 0, sizeof(sa));
	sa.sa_sigaction = on_breakpoint;
	sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART;
	next_handler = old;
	return sigaction(SIGTRAP, &sa, NULL) ? -errno : 0;
}

/* Does the program have a signal handler during which SIGTRAP is blocked? */
static bool blocked_by_a_handler(void)
{
	struct sigaction sa;

	for (int sig = 1; sig < NSIG; sig++) {
		if (sig == SIGTRAP || sigaction(sig, NULL, &sa) || st_park_handles(&sa))
			continue;
		if (sa.sa_handler != SIG_DFL && sa.sa_handler != SIG_IGN && sigismember(&sa.sa_mask, SIGTRAP))
			return true;
	}
	return false;
}

int st_breakpoint_allowed(const char **why)
{
	if (blocked_by_a_handler()) {
		*why = "a signal handler of the program blocks SIGTRAP, and a breakpoint would end the process there";
		return -ENOTSUP;
	}
	if (st_blocked_somewhere(SIGTRAP)) {
		*why = "a thread blocks SIGTRAP, and a breakpoint would end the process there";
		return -EBUSY;
	}
	return 0;
}

const char *st_breakpoint_own_code(unsigned long func, size_t size)
{
	/* What the kernel has for SIGTRAP; the C library's sigaction() keeps sa_restorer to itself. */
	struct { void *handler; unsigned long flags; void *restorer; unsigned long mask[2]; } sa = { 0 };

	if (((unsigned long)on_breakpoint & ~1ul) - func < size || ((unsigned long)in_batch & ~1ul) - func < size)
		return "it is part of Sidetrack itself";
	if (!st_syscall4(__NR_rt_sigaction, SIGTRAP, 0, &sa, 8) && sa.restorer &&
	    ((unsigned long)sa.restorer & ~1ul) - func < size)
		return "signal handlers return by it";
	return NULL;
}
