/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The live stack of a stopped thread, read at once: all memory that it may come back to by returning. That is its stack from sp up, and,
 * in a signal handler, the stack that was interrupted, and so on. What this can't be sure of it says: @cut, @foreign.
 */
#ifndef ST_PROCESS_LIVE_H
#define ST_PROCESS_LIVE_H

#include "process/internal.h"

/* More stack than this is not read. */
#define ST_LIVE_MAX	(8ul << 20)
#define ST_PIECES_MAX	8

struct st_piece {
	unsigned long lo, hi;	/* whole words */
	unsigned long *word;
};

/*
 * @raw: registers as ptrace has them; @view: as the thread will go on
 * @pac: bits of a code pointer that hold its signature
 * @foreign: it is not on a stack of its own, nor in a handler that has interrupted it there: the program changes stacks
 * @cut: there is more stack than was read
 */
struct st_live {
	pid_t tid;
	struct st_regs raw, view;
	unsigned long tp, pac;
	bool foreign, cut;
	size_t n;
	struct st_piece piece[ST_PIECES_MAX];
};

/**
 * st_live_read() - read it
 * @stack_end: where the mapping [stack] ends, which it does for the life of the program; 0: not known
 *
 * Return: 0 with @live for st_live_free(); -EFAULT: it can't be read; -E2BIG: more pieces than can be; -ESRCH.
 */
int st_live_read(struct st_thread *thread, unsigned long stack_end, struct st_live *live);
void st_live_free(struct st_live *live);

/* A word of it. False: it was not read. */
bool st_live_word(const struct st_live *live, unsigned long addr, unsigned long *word);

/* Is its word @i the pc that a signal frame holds? No program has by chance what is looked for around it, ST_FRAME_WORDS at most away. */
#define ST_FRAME_WORDS	80
bool st_live_interrupted(const struct st_piece *p, size_t i);

/* Bits that sign code pointers (AArch64), else 0. */
unsigned long st_pac_mask(pid_t tid);

/*
 * Is word[2], at @where, the pc that a signal frame holds? By its neighbours in struct sigcontext: a stack pointer that points higher up
 * in the same stack (which begins at @stack_lo), or elsewhere, and a state word that a program's can be. True for each that is one, and
 * for some that are not.
 */
bool st_interrupted_pc(const unsigned long word[5], unsigned long where, unsigned long stack_lo);

#endif
