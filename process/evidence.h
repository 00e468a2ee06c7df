/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Evidence that a thread is out of some code, and will not return to it: what the consistency of live patches rests on.
 *
 * The ladder, cheapest first; each rung is sound by itself. (1) The conservative scan: pc, every register, every word of the live
 * stack, and the true addresses of the thread's pending returns (engine/return.h): none lies in the code, so it is clean. (2) If a
 * word does: the stack is unwound to a known bottom, on a copy (regs and live stack), while the thread runs on; no frame lies in the
 * code, and the next time the thread is stopped it stands exactly as it did: clean, the word was stale. What is not known is busy.
 * A bottom is a frame whose description (.eh_frame, .debug_frame) says that it has no caller, or the beginning of a program or thread by
 * its name; there are no guesses from frame pointers. Or the unwinding ends at a frame above which no word leads to the code.
 *
 * A thread that stands in the agent's code or in a stub is busy whatever its stack says: it may have decided already.
 */
#ifndef ST_PROCESS_EVIDENCE_H
#define ST_PROCESS_EVIDENCE_H

#include <process/session.h>

/* Code that a thread has to be out of. */
struct st_old {
	unsigned long lo, hi;	/* hi is not part of it */
	const char *name;	/* of the function, for people */
};

enum st_busy_how {
	ST_BUSY_PC,		/* it runs there */
	ST_BUSY_FRAME,		/* a frame of it is there: unwound */
	ST_BUSY_WORD,		/* a register or a word of its stack may be a return address there */
	ST_BUSY_PENDING,	/* a return that is pending leads there */
	ST_BUSY_PARKED,		/* a stack that no thread runs on (a coroutine's) has a word that leads there */
	ST_BUSY_STUB,		/* it is in a stub, or in the agent */
	ST_BUSY_UNKNOWN,	/* its stack can't be read, or it can't be stopped */
};

struct st_busy {
	pid_t tid;		/* 0: no thread's (ST_BUSY_PARKED) */
	enum st_busy_how how;
	char comm[17];
	char function[64];	/* one of struct st_old's names, or "" */
	unsigned int frame;	/* ST_BUSY_FRAME: 0 is the innermost */
	unsigned long addr;	/* what leads there */
	char text[ST_ERR_MAX];	/* a sentence that says all of it */
};

struct st_evidence;

/**
 * st_evidence_open() - before threads are looked at
 * @old: code; copied
 *
 * Return: 0 or a negative errno with a sentence in @err.
 */
int st_evidence_open(struct st_session *s, const struct st_old *old, size_t n, struct st_evidence **e, char err[ST_ERR_MAX]);
void st_evidence_close(struct st_evidence *e);

/**
 * st_evidence_check() - is this thread clean?
 * @t: stopped
 * @why: filled in unless 0 is returned, may be NULL
 *
 * Quick: no unwinding. A thread that may be busy by ST_BUSY_WORD has been copied; st_evidence_think() works on that.
 *
 * Return: 0 clean, 1 busy, or a negative errno: not known, which must be read as busy.
 */
int st_evidence_check(struct st_evidence *e, struct st_thread *t, struct st_busy *why);

/**
 * st_evidence_think() - unwind what the last checks have copied
 *
 * While the threads run. Return: how many of them are worth another check.
 */
int st_evidence_think(struct st_evidence *e);

/**
 * st_evidence_parked() - is there a stack that no thread runs on, and that leads to the code?
 *
 * With all threads stopped (@stop is whole). Looks at all private writable memory but live stacks, if the process has loaded
 * something that makes such stacks (makecontext, swapcontext, known coroutine libraries), else at nothing.
 *
 * Return: 0 no, 1 there may be (@why), or a negative errno: not known.
 */
int st_evidence_parked(struct st_evidence *e, struct st_stop *stop, struct st_busy *why);

/*
 * May threads of this process change stacks? Then a thread alone can't be called clean: st_evidence_parked() has to be asked, too. Also
 * true from when a check has found a thread on a stack that is not its own, so: to be asked after the checks.
 */
bool st_evidence_coroutines(struct st_evidence *e);

#endif
