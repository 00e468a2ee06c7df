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
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <engine/breakpoint.h>
#include <engine/park.h>
#include <engine/record.h>
#include <engine/syscall.h>

/*
 * The batch, as the handler sees it. A thread may have come into the handler and not run on since long ago, so nobody waits for
 * readers and nothing they may look at is freed: the writer has a copy, a larger one is a new one. @batch_round is odd while the batch
 * counts; who finds another value after the look than before has seen nothing.
 */
struct batch {
	size_t room, n;
	struct st_change edit[];
};
static struct batch *batch;
static unsigned long batch_round;
static struct sigaction next_handler;

int st_breakpoint_batch(const struct st_change *edit, size_t n)
{
	struct batch *b = batch;

	if (!b || b->room < n) {
		size_t room = 2 * n + 64;

		b = malloc(sizeof(*b) + room * sizeof(b->edit[0]));
		if (!b)
			return -ENOMEM;
		b->room = room;
	}
	memcpy(b->edit, edit, n * sizeof(*edit));
	b->n = n;
	__atomic_store_n(&batch, b, __ATOMIC_RELEASE);
	__atomic_store_n(&batch_round, batch_round + 1, __ATOMIC_SEQ_CST);
	return 0;
}

void st_breakpoint_batch_end(void)
{
	__atomic_store_n(&batch_round, batch_round + 1, __ATOMIC_SEQ_CST);
}

/* Where a thread goes on that met a breakpoint of the batch there; 0: it has none there. */
static unsigned long in_batch(unsigned long addr)
{
	const struct batch *b = __atomic_load_n(&batch, __ATOMIC_ACQUIRE);
	size_t lo = 0, n = b->n, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (b->edit[mid].addr < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && b->edit[lo].addr == addr ? b->edit[lo].resume : 0;
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

/*
 * Where a thread goes on that met a breakpoint at @addr; 0: it is not ours. It may have met it in a batch that has ended since; so
 * nothing counts but what stands there now, and that only if no batch began or ended during the look. What stands there may be a
 * jump: then the record's breakpoint would lead back to behind one instruction, into the middle of it.
 */
static unsigned long go_on(unsigned long addr)
{
	unsigned long before, to;

	do {
		before = __atomic_load_n(&batch_round, __ATOMIC_SEQ_CST);
		to = before & 1 ? in_batch(addr) : 0;
		if (!to)
			to = is_over(addr) ? addr : st_record_breakpoint(addr);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	} while (__atomic_load_n(&batch_round, __ATOMIC_SEQ_CST) != before);
	return to;
}

static void on_breakpoint(int sig, siginfo_t *info, void *context)
{
	unsigned long to = info->si_code == TRAP_CODE ? go_on(trap_address(context)) : 0;

	if (to) {
		go_on_at(context, to);
		return;
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

	if (((unsigned long)on_breakpoint & ~1ul) - func < size || ((unsigned long)go_on & ~1ul) - func < size ||
	    ((unsigned long)in_batch & ~1ul) - func < size)
		return "it is part of Sidetrack itself";
	if (!st_syscall4(__NR_rt_sigaction, SIGTRAP, 0, &sa, 8) && sa.restorer &&
	    ((unsigned long)sa.restorer & ~1ul) - func < size)
		return "signal handlers return by it";
	return NULL;
}
