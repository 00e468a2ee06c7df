// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The handler of SIGTRAP in a process that was attached to: a thread that ran into a breakpoint of ours goes on in the site's
 * stub. Nothing else is done here: hooks run in the stub, on the program's stack and with its mask, and the displaced
 * instruction is there too, so no thread is ever stepped.
 *
 * Every other trap is the program's. It finds its own action, or what it last asked for, as if we were not there: hooks on
 * the C library's functions keep what it asks for (st_agent_sigaction), and keep SIGTRAP from being blocked (st_agent_sigmask),
 * under which a breakpoint would be deadly (kernel/signal.c, force_sig_info_to_task()).
 *
 * General registers only, no libc, no lock. No system call but in what the program asks for.
 */
#include <signal.h>
#include <stdbool.h>
#include <ucontext.h>
#include <agent/breakpoint.h>
#include <agent/ctl.h>
#include <agent/probe.h>
#include <engine/syscall.h>

#define TRAP_BIT (1ul << (ST_SIG_TRAP - 1))
#define COPIES 256u

struct st_trap st_trap_state;

void st_agent_trap(int sig, siginfo_t *info, void *context);
void st_agent_sigaction(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip);
void st_agent_sigmask(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip);
void st_agent_restorer(void) __attribute__((visibility("hidden")));

/* Exactly these bytes: it is how unwinders know a signal frame. ARM and AArch64 have the kernel's own. */
#if defined(__x86_64__)
__asm__(".text\n"
	"	.type st_agent_restorer, @function\n"
	"	.globl st_agent_restorer\n"
	"	.hidden st_agent_restorer\n"
	"	nop\n"
	"st_agent_restorer:\n"
	"	.byte 0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05\n" /* mov $15, %rax; syscall */
	"	.size st_agent_restorer, . - st_agent_restorer\n");
#define RESTORER ((unsigned long)st_agent_restorer)
#else
#define RESTORER 0ul
#endif

#if defined(__x86_64__)
/* int3 has been run, so pc is behind it. */
static unsigned long trap_address(const ucontext_t *uc, const siginfo_t *info)
{
	return info->si_code == SI_KERNEL ? (unsigned long)uc->uc_mcontext.gregs[REG_RIP] - 1 : 0;
}

static void set_pc(ucontext_t *uc, unsigned long pc, bool thumb)
{
	(void)thumb;
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)pc;
}
#elif defined(__aarch64__)
static unsigned long trap_address(const ucontext_t *uc, const siginfo_t *info)
{
	return info->si_code == TRAP_BRKPT ? uc->uc_mcontext.pc : 0;
}

static void set_pc(ucontext_t *uc, unsigned long pc, bool thumb)
{
	(void)thumb;
	uc->uc_mcontext.pc = pc;
}
#else
#define CPSR_IT 0x0600fc00ul

static unsigned long trap_address(const ucontext_t *uc, const siginfo_t *info)
{
	return info->si_code == TRAP_BRKPT ? uc->uc_mcontext.arm_pc : 0;
}

static void set_pc(ucontext_t *uc, unsigned long pc, bool thumb)
{
	uc->uc_mcontext.arm_pc = pc;
	uc->uc_mcontext.arm_cpsr &= ~(CPSR_IT | ST_CPSR_T);
	if (thumb)
		uc->uc_mcontext.arm_cpsr |= ST_CPSR_T;
}
#endif

/* Also one whose bytes are back already: the thread came late, and its stub does what those bytes do. */
static const struct st_ctl_site *find(const struct st_ctl *ctl, unsigned long addr)
{
	uint32_t at = st_trap_hash(addr), i;

	while ((i = __atomic_load_n(&ctl->trap[at], __ATOMIC_ACQUIRE)) != 0) {
		const struct st_ctl_site *site = &ctl->site[(i - 1) % ST_SITES_MAX];

		if (site->addr == addr && site->state != ST_SITE_FREE && site->form[ST_FORM_BREAKPOINT].stub)
			return site;
		at = (at + 1) % ST_TRAPS;
	}
	return NULL;
}

static long sigaction_call(int sig, const struct st_action *new, struct st_action *old)
{
	return st_syscall4(__NR_rt_sigaction, sig, new, old, 8);
}

/* As if the program had no handler: the same trap again, or the same signal. */
static void let_die(int sig, ucontext_t *uc, unsigned long addr)
{
	struct st_action deadly = { 0 };

#if defined(__x86_64__)
	deadly.flags = ST_SA_RESTORER;
	deadly.restorer = RESTORER;
#endif
	sigaction_call(sig, &deadly, NULL);
#if defined(__x86_64__)
	if (addr) {
		set_pc(uc, addr, false);
		return;
	}
#else
	(void)uc;
	if (addr)
		return;
#endif
	st_syscall3(__NR_tgkill, st_syscall0(__NR_getpid), st_syscall0(__NR_gettid), sig);
}

void st_agent_trap(int sig, siginfo_t *info, void *context)
{
	struct st_trap *t = &st_trap_state;
	struct st_action *own = &t->action[__atomic_load_n(&t->now, __ATOMIC_ACQUIRE) & 1];
	ucontext_t *uc = context;
	unsigned long addr = trap_address(uc, info), handler;
	const struct st_ctl_site *site = addr ? find(st_agent_ctl, addr) : NULL;

	if (site) {
		set_pc(uc, site->form[ST_FORM_BREAKPOINT].stub, site->isa == ST_ISA_T32);
		return;
	}
	handler = own->handler;
	/* A trap of the program's own instruction can't be ignored. */
	if (handler == (unsigned long)SIG_IGN && info->si_code <= 0)
		return;
	if (handler == (unsigned long)SIG_DFL || handler == (unsigned long)SIG_IGN) {
		let_die(sig, uc, addr);
		return;
	}
	if (own->flags & ST_SA_RESETHAND)
		own->handler = (unsigned long)SIG_DFL;
	/* Ours has the stack and the mask of the program's: jumped to, it stands where the kernel would have called it. */
	((void (*)(int, siginfo_t *, void *))handler)(sig, info, context);
}

/* ---- what the program asks of the C library */

/* struct sigaction of glibc and musl. */
struct libc_action {
	unsigned long handler;
	unsigned long mask[128 / sizeof(long)];
	int flags;
	unsigned long restorer;
};

_Static_assert(sizeof(struct libc_action) == sizeof(struct sigaction), "of glibc");

/* Back to the caller: the function does not run. */
static void leave(struct st_regs *regs, unsigned long parent_ip, unsigned long result)
{
#if defined(__x86_64__)
	(void)parent_ip;
	regs->ip = *(unsigned long *)regs->sp;
	regs->sp += sizeof(long);
	regs->ax = result;
#elif defined(__aarch64__)
	register unsigned long lr __asm__("x30") = parent_ip;

	__asm__("hint #7" : "+r"(lr));	/* xpaclri: behind a paciasp it is signed */
	regs->pc = lr;
	regs->regs[0] = result;
#else
	st_regs_set_pc(regs, parent_ip);
	regs->r[0] = result;
#endif
}

static void set_argument(struct st_regs *regs, unsigned long value)
{
#if defined(__x86_64__)
	regs->si = value;
#elif defined(__aarch64__)
	regs->regs[1] = value;
#else
	regs->r[1] = value;
#endif
}

/*
 * Where the function finds what it is to be told instead. It reads that at once; a thread would have to stand still between us and
 * there while COPIES others come by.
 */
static struct libc_action action_copy[COPIES];
static unsigned long mask_copy[COPIES][128 / sizeof(long)];
static unsigned int copies;

static unsigned int next_copy(void)
{
	return __atomic_fetch_add(&copies, 1, __ATOMIC_RELAXED) % COPIES;
}

/* No struct is copied as a whole, nor cleared: there is no memcpy here. */
static void copy_action(struct libc_action *to, const struct libc_action *from)
{
	to->handler = from->handler;
	for (unsigned int i = 0; i < sizeof(to->mask) / sizeof(long); i++)
		to->mask[i] = from->mask[i];
	to->flags = from->flags;
	to->restorer = from->restorer;
}

static void change_own(const struct libc_action *act)
{
	struct st_trap *t = &st_trap_state;
	unsigned int next = ~t->now & 1;
	struct st_action *own = &t->action[next], real;

	own->handler = act->handler;
	/* As the C library would tell the kernel. */
	own->flags = (unsigned int)act->flags;
	own->restorer = act->restorer;
	if (t->restorer) {
		own->flags |= ST_SA_RESTORER;
		own->restorer = t->restorer;
	}
	for (unsigned int i = 0; i < sizeof(own->mask) / sizeof(long); i++)
		own->mask[i] = act->mask[i];
	__atomic_store_n(&t->now, next, __ATOMIC_RELEASE);
	real = st_trap_action(own, (unsigned long)st_agent_trap, RESTORER);
	sigaction_call(ST_SIG_TRAP, &real, NULL);
}

static void set_masked(struct st_trap *t, int sig, bool yes)
{
	uint32_t *half = (uint32_t *)&t->masks + (sig - 1) / 32, bit = 1u << (sig - 1) % 32;

	if (yes)
		__atomic_fetch_or(half, bit, __ATOMIC_RELAXED);
	else if (*half & bit)
		__atomic_fetch_and(half, ~bit, __ATOMIC_RELAXED);
}

/* sigaction(sig, act, old). */
void st_agent_sigaction(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	struct libc_action *act = (struct libc_action *)st_regs_argument(regs, 1);
	struct libc_action *old = (struct libc_action *)st_regs_argument(regs, 2);
	struct st_trap *t = &st_trap_state;
	const struct st_action *own;
	struct st_action was;
	int sig;

	(void)hook;
	(void)ip;
	sig = (int)st_regs_argument(regs, 0);
	if (sig != ST_SIG_TRAP) {
		struct libc_action *copy;

		if (!t->on || !act || sig < 1 || sig > 64)
			return;
		set_masked(t, sig, act->mask[0] & TRAP_BIT);
		if (!(act->mask[0] & TRAP_BIT))
			return;
		copy = &action_copy[next_copy()];
		copy_action(copy, act);
		copy->mask[0] &= ~TRAP_BIT;
		set_argument(regs, (unsigned long)copy);
		return;
	}
	/* Pairs with the tool's look at it, which it takes with all threads stopped, as it changes `on`. */
	__atomic_fetch_add(&t->changing, 1, __ATOMIC_SEQ_CST);
	if (t->on) {
		/* Both may be the same structure. */
		own = &t->action[t->now & 1];
		was = *own;
		if (act)
			change_own(act);
		if (old) {
			old->handler = was.handler;
			for (unsigned int i = 0; i < sizeof(old->mask) / sizeof(long); i++)
				old->mask[i] = i < sizeof(was.mask) / sizeof(long) ? was.mask[i] : 0;
			old->flags = (int)(was.flags & ~ST_SA_RESTORER);
			old->restorer = was.restorer;
		}
		leave(regs, parent_ip, 0);
	}
	__atomic_fetch_sub(&t->changing, 1, __ATOMIC_SEQ_CST);
}

/* sigprocmask(how, set, old) and pthread_sigmask. */
void st_agent_sigmask(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	const unsigned long *set = (const unsigned long *)st_regs_argument(regs, 1);
	unsigned long *copy;

	(void)hook;
	(void)ip;
	(void)parent_ip;
	if (!st_trap_state.on || !set || (int)st_regs_argument(regs, 0) == SIG_UNBLOCK || !(set[0] & TRAP_BIT))
		return;
	copy = mask_copy[next_copy()];
	for (unsigned int i = 0; i < 8 / sizeof(long); i++)
		copy[i] = set[i];
	copy[0] &= ~TRAP_BIT;
	set_argument(regs, (unsigned long)copy);
}
