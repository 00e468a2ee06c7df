/* SPDX-License-Identifier: GPL-2.0-only */
/* What evidence.c, think.c, unwind.c, pending.c and parked.c share. See evidence.h. */
#ifndef ST_PROCESS_EVIDENCE_INTERNAL_H
#define ST_PROCESS_EVIDENCE_INTERNAL_H

#include <process/evidence.h>
#include <process/live.h>
#include <process/session_internal.h>

/* @lo and @hi as in struct st_old. */
struct st_old_code {
	unsigned long lo, hi;
	char *name;
	bool site;	/* a live site is at its first instruction: who comes there goes through the hook */
	bool calls;	/* its last instruction may be a call: that returns to @hi */
};

/* A pending return (engine/return.h). */
struct st_due {
	unsigned long key, addr, after;
	unsigned long tail;	/* if addr is 0 */
};

/* A thread whose stack held words that lead to the code: what it was then, and what unwinding said. */
struct st_copy {
	struct st_live live;
	enum { ST_COPY_NEW, ST_COPY_CLEAN, ST_COPY_BUSY, ST_COPY_UNKNOWN } verdict;
	struct st_due *due;	/* pending returns that the frames led through, by key and `after` */
	size_t ndue;
	unsigned int frame;	/* ST_COPY_BUSY: which frame is where */
	size_t old;
	unsigned long addr;
	unsigned long bottom;	/* ST_COPY_CLEAN: where its stack ends, or what was unwound of it */
	bool scanned;		/* ... by its words from there on: no pending return may lead there */
	char why[120];		/* ST_COPY_UNKNOWN */
};

/* @old: which; -1: none. @where: the address of the word; 0: a register; ST_BUSY_FRAME: the frame. */
struct st_found {
	enum st_busy_how how;
	int old;
	unsigned long addr, where;
};

struct st_evidence {
	struct st_session *s;
	struct st_old_code *old;
	size_t n;
	unsigned long lo, hi;		/* all of it lies between */
	unsigned long stack_end;	/* of the mapping [stack] */
	/* the agent and its islands, and what lies between */
	struct st_range *ours;
	size_t nours;
	unsigned long ours_lo, ours_hi;
	/* pending returns, as read last */
	struct st_due *due;
	size_t ndue, due_size;
	struct st_copy *copy;
	size_t ncopies;
	bool switched;			/* a thread was seen on a stack that is not its own */
	struct st_unwind *unwind;
	struct st_coroutines *coroutines;
};

/* Which of the old code does @addr, found as @word, lead to? @strict: also what is an instruction's own address. -1: none. */
int st_old_at(const struct st_evidence *e, unsigned long addr, bool strict);

/* Do the 8 bytes before @end end with a call? Not told from data that looks like one. */
bool st_ends_with_call(const uint8_t *end);

/* pending.c: reads the lists into e->due. 0 or a negative errno. */
int st_due_read(struct st_evidence *e);
/* The pending return that has the true return address of who returns to @after, with the key @key; NULL: there is none. */
const struct st_due *st_due_find(const struct st_due *due, size_t n, unsigned long key, unsigned long after);

/* Code of the agent's, or an island of stubs? */
bool st_evidence_ours(const struct st_evidence *e, unsigned long addr);

/* Does a word of it lead to the code? @live: the bits that sign addresses. */
bool st_evidence_piece(const struct st_evidence *e, const struct st_live *live, const struct st_piece *p, struct st_found *f);

/*
 * think.c: the copy of a thread that stands as it did then, NULL: there is none, and it has been made now (@live is its own then), if
 * there was memory.
 */
const struct st_copy *st_copy_take(struct st_evidence *e, struct st_live *live);
void st_copies_free(struct st_evidence *e);

/* Where the stack of a thread that stands as this does ends, if it was unwound; else 0. */
unsigned long st_copy_bottom(const struct st_evidence *e, const struct st_live *live);

void st_evidence_say_parked(struct st_evidence *e, int code, const struct st_found *f, struct st_busy *why);

void st_coroutines_free(struct st_coroutines *c);

#endif
