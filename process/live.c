// SPDX-License-Identifier: GPL-2.0-only
/*
 * See live.h. Most threads take no look at /proc/PID/maps: a stack ends at the thread's own block (glibc and musl put it on top), or where
 * [stack] does, and a read that succeeds has found no hole up to there.
 */
#include "process/arch/arch.h"
#include "process/live.h"
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#ifndef NT_ARM_PAC_MASK
#define NT_ARM_PAC_MASK 0x406
#endif

unsigned long st_pac_mask(pid_t tid)
{
#if defined(__aarch64__)
	struct {
		uint64_t data, insn;
	} mask;
	struct iovec iov = { &mask, sizeof(mask) };

	return ptrace(PTRACE_GETREGSET, tid, NT_ARM_PAC_MASK, &iov) ? 0 : mask.insn;
#else
	(void)tid;
	return 0;
#endif
}

bool st_interrupted_pc(const unsigned long word[5], unsigned long where, unsigned long stack_lo)
{
#if defined(__x86_64__)
	enum { SP = 1, STATE = 4 };	/* rsp, rip, eflags, cs gs fs */
#elif defined(__aarch64__)
	enum { SP = 1, STATE = 3 };	/* sp, pc, pstate */
#else
	enum { SP = 0, STATE = 3 };	/* sp, lr, pc, cpsr */
#endif
	unsigned long sp = word[SP], state = word[STATE];

	/* The frame lies below what it interrupted, or the handler has a stack of its own. */
	if (sp <= where && sp >= stack_lo)
		return false;
#if defined(__x86_64__)
	return (state & 0xffff) == 0x33;
#elif defined(__aarch64__)
	return !(state & 0x1f) && sp % 16 == 0;		/* EL0t, AArch64 */
#else
	return (state & 0x1f) == 0x10 && sp % 4 == 0;	/* user mode */
#endif
}

/*
 * Is word @i the pc that a signal frame holds, as the kernel writes them? By what no program has by chance: the floating-point record's
 * magic number behind the registers (ARM and AArch64 programs have such units), cs and flags. The stack pointer goes to *@sp.
 */
static bool signal_frame(const struct st_piece *p, size_t i, unsigned long *sp)
{
	size_t n = (p->hi - p->lo) / sizeof(long);
	const unsigned long *w = p->word + i;
#if defined(__x86_64__)
	/* sp, pc, flags, cs gs fs ss */
	if (i < 1 || i + 2 >= n || (w[2] & 0xffff) != 0x33 || !(w[1] & 2))
		return false;
	*sp = w[-1];
#elif defined(__aarch64__)
	/* struct sigcontext: sp, pc, pstate, 8 bytes of padding, struct fpsimd_context. */
	if (i < 1 || i + 3 >= n || w[3] != 0x0000021046508001)
		return false;
	*sp = w[-1];
#else
	/* struct ucontext: sp at 84, pc at 92, cpsr, struct vfp_sigframe at 232, or behind 160 bytes for iWMMXt. */
	if (i < 2 || i + 35 >= n || (w[1] & 0x1f) != 0x10 || (w[35] != 0x56465001 && (i + 75 >= n || w[75] != 0x56465001)))
		return false;
	*sp = w[-2];
#endif
	return true;
}

bool st_live_interrupted(const struct st_piece *p, size_t i)
{
	unsigned long sp;

	return signal_frame(p, i, &sp);
}

struct reading {
	struct st_live *live;
	struct st_proc *proc;
	unsigned long stack_end;
	struct st_maps *maps;	/* NULL: not needed yet */
	bool own;		/* one of the pieces is the thread's own stack */
};

static const struct st_map *find_map(struct reading *r, unsigned long addr)
{
	if (!r->maps && st_maps_read(r->proc, &r->maps, NULL))
		return NULL;
	return st_maps_find(r->maps, addr);
}

static bool covered(const struct st_live *live, unsigned long addr)
{
	for (size_t i = 0; i < live->n; i++)
		if (addr >= live->piece[i].lo && addr <= live->piece[i].hi)
			return true;
	return false;
}

/* What lies between; it must all be there. */
static int add_piece(struct reading *r, unsigned long lo, unsigned long hi)
{
	struct st_live *live = r->live;
	struct st_piece *p = &live->piece[live->n];
	int ret;

	lo &= -sizeof(long);
	hi &= -sizeof(long);
	if (lo > hi)
		return -EFAULT;
	if (live->n == ST_PIECES_MAX)
		return -E2BIG;
	*p = (struct st_piece){ lo, hi, malloc(hi - lo + 1) };
	if (!p->word)
		return -ENOMEM;
	ret = lo == hi ? 0 : st_mem_read(r->proc, lo, p->word, hi - lo);
	if (ret)
		free(p->word);
	else
		live->n++;
	return ret;
}

/* From @sp to the end of that stack. */
static int add_stack(struct reading *r, unsigned long sp)
{
	unsigned long tp = r->live->tp, end;
	bool main = r->live->tid == r->proc->pid;
	const struct st_map *map;
	int ret;

	if (covered(r->live, sp))
		return 0;
	/* The first thread's block is elsewhere; what lies below may be a coroutine's stack, or, in a child of another thread, its stack. */
	if (tp > sp && tp - sp <= ST_LIVE_MAX && !add_piece(r, sp, tp)) {
		r->own |= !main;
		return 0;
	}
	if (main && r->stack_end > sp && r->stack_end - sp <= ST_LIVE_MAX && !add_piece(r, sp, r->stack_end)) {
		r->own = true;
		return 0;
	}
	map = find_map(r, sp);
	/* A stack that has not a byte on it yet points behind its mapping. */
	if (!map)
		map = find_map(r, sp - 1);
	if (!map)
		return -EFAULT;
	end = tp > sp && tp < map->end ? tp : map->end;
	if (end - sp > ST_LIVE_MAX) {
		r->live->cut = true;
		end = sp + ST_LIVE_MAX;
	}
	ret = add_piece(r, sp, end);
	r->own |= !ret && (main ? !strcmp(map->path, "[stack]") : tp > sp && tp < map->end);
	return ret;
}

/*
 * A handler that ran out of stack has interrupted what stands below the mapping, or on its guard page: what is there of the stack is
 * above. A stack pointer that leads nowhere near is no frame's.
 */
static int add_interrupted(struct reading *r, unsigned long sp)
{
	const struct st_map *map = find_map(r, sp);

	if (!map || !(map->prot & PROT_READ)) {
		size_t i;

		for (i = 0; r->maps && i < r->maps->n && (r->maps->map[i].start <= sp || !(r->maps->map[i].prot & PROT_WRITE)); i++)
			;
		if (!r->maps || i == r->maps->n || r->maps->map[i].start - sp > ST_LIVE_MAX)
			return 0;
		map = &r->maps->map[i];
		sp = map->start;
	}
	return map->prot & PROT_WRITE && !map->shared ? add_stack(r, sp) : 0;
}

/* Where on it is not known: all of it, from the lowest page that is there. */
static int add_own(struct reading *r)
{
	const struct st_map *own = NULL;
	unsigned long end;

	if (r->live->tid == r->proc->pid && r->stack_end)
		own = find_map(r, r->stack_end - 1);
	else if (r->live->tp)
		own = find_map(r, r->live->tp);
	if (!own)
		return 0;
	end = r->live->tid == r->proc->pid ? own->end : r->live->tp;
	if (end - own->start > ST_LIVE_MAX + (1ul << 20)) {
		r->live->cut = true;
		return add_piece(r, end - ST_LIVE_MAX, end);
	}
	return add_piece(r, own->start, end);
}

int st_live_read(struct st_thread *thread, unsigned long stack_end, struct st_live *live)
{
	struct reading r = { .live = live, .proc = st_stop_proc(thread->stop), .stack_end = stack_end };
	int ret;

	*live = (struct st_live){ .tid = thread->tid };
	ret = st_arch_get(thread->tid, &live->raw);
	if (ret)
		return ret;
	live->view = live->raw;
	st_arch_view(&live->view);
	live->tp = st_arch_thread_pointer(thread->tid);
	live->pac = st_pac_mask(thread->tid);
	/* Not the red zone: a leaf's own data; nobody returns to an address that stands there, and addresses of calls that have returned do. */
	ret = add_stack(&r, st_regs_sp(&live->raw));
	for (size_t i = 0; !ret && i < live->n; i++) {
		const struct st_piece *p = &live->piece[i];
		size_t n = (p->hi - p->lo) / sizeof(long);

		for (size_t k = 0; !ret && k < n; k++) {
			unsigned long sp;

			if (signal_frame(p, k, &sp) && !covered(live, sp))
				ret = add_interrupted(&r, sp);
		}
	}
	live->foreign = !r.own;
	if (!ret && !r.own)
		ret = add_own(&r);
	st_maps_free(r.maps);
	if (ret)
		st_live_free(live);
	return ret;
}

void st_live_free(struct st_live *live)
{
	while (live->n)
		free(live->piece[--live->n].word);
}

bool st_live_word(const struct st_live *live, unsigned long addr, unsigned long *word)
{
	for (size_t i = 0; i < live->n; i++) {
		const struct st_piece *p = &live->piece[i];

		if (addr < p->lo || addr >= p->hi || p->hi - addr < sizeof(long))
			continue;
		memcpy(word, (const char *)p->word + (addr - p->lo), sizeof(*word));
		return true;
	}
	return false;
}
