/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Probes in one process: set, read, removed.
 *
 * A probe is a record in the shared memory (agent/ctl.h) and a hook on the functions that match.
 * Whatever happens to the tool, the record says whose it is, so that a later tool can take it away.
 */
#ifndef ST_PROBE_TARGET_H
#define ST_PROBE_TARGET_H

#include <process/session.h>
#include <probe/compile.h>
#include <probe/ring.h>
#include <probe/print.h>

struct st_target;

/* No hit will be printed, so that another tool may be reading the ring. */
#define ST_TARGET_COUNTS	(1u << 0)
/* What a probe names may still come, with an object that is loaded later. */
#define ST_TARGET_WAIT		(1u << 1)
/* Hits of forked children count; programs that are executed are told of. */
#define ST_TARGET_FOLLOW	(1u << 2)
/* There are return probes: unwinders that are loaded later have to be told of them. */
#define ST_TARGET_RETURNS	(1u << 3)

/**
 * st_target_open() - get into a process, to probe it
 * @pid: the process; the agent is loaded if it is not there. May be one that is held before its first instruction (st_start()),
 *	which it leaves in st_target_start()
 * @flags: ST_TARGET_*
 * @wants: filters and histogram, or NULL; must stay until st_target_close()
 * @target: set to the handle
 * @err: why not
 *
 * Takes away what dead tools left.
 *
 * Return: 0, or a negative errno; -EBUSY: another tool reads the hits of this process, or a thread
 * is in the way.
 */
int st_target_open(int pid, unsigned int flags, const struct st_wants *wants, struct st_target **target,
		   char err[ST_ERR_MAX]);

/**
 * st_target_add() - set a probe
 * @spec: parsed; must stay until st_target_close()
 * @text: as the user wrote it; must stay, too
 * @note: set to a sentence about functions that were left out, or to ""
 *
 * Return: the number of functions it sits on, 0: none yet (ST_TARGET_WAIT), or a negative errno with a sentence in @err: -ENOENT
 *	no such function, -ENOTSUP none of them can be hooked, -EBUSY, -ENOSPC.
 */
int st_target_add(struct st_target *target, const struct st_spec *spec, const char *text,
		  char note[ST_ERR_MAX], char err[ST_ERR_MAX]);

/* Is the i-th probe that was added still waiting for what it names? */
bool st_target_waits(const struct st_target *target, unsigned int i);

enum st_letter {
	ST_LETTER_NONE,
	ST_LETTER_LOOK,		/* objects have come or gone: st_target_look() */
	ST_LETTER_PROGRAM,	/* thread *tid is about to execute a program; 0: it can't be found */
};

/*
 * What the process has to tell, to be asked often: a thread of it waits for st_target_answer(), which is to be called after what there
 * is to do was done.
 */
enum st_letter st_target_letter(struct st_target *target, int *tid);
void st_target_answer(struct st_target *target);

/* Threads wait longer for a tool that is at work, whatever on. */
void st_target_busy(struct st_target *target, bool busy);

/* Says once, by @tell, what is not there yet: at the beginning, or, in a program that begins, when it is known. */
void st_target_expect(struct st_target *target, void (*tell)(void *ctx, const char *sentence), void *ctx);

/* Arms probes in objects that have come, and forgets those that have gone. What is to be said is given to @tell. */
void st_target_look(struct st_target *target, void (*tell)(void *ctx, const char *sentence), void *ctx);

/* From here on hits count: of all probes at once, so that the first hits are not those of the first probe alone. */
void st_target_start(struct st_target *target);

/* The next hit of our probes, or false. @hit points into the target until the next call. */
bool st_target_next(struct st_target *target, struct st_probe_hit *hit);

/* Hits of the i-th probe that was added. */
uint64_t st_target_hits(const struct st_target *target, unsigned int i);

/* Adds what the histogram of the i-th probe has counted. */
void st_target_hist(const struct st_target *target, unsigned int i, uint64_t bucket[ST_HIST_BUCKETS]);

/* Hits that were not recorded: the ring was full; the thread was in a hook already. */
uint64_t st_target_lost(const struct st_target *target);
uint64_t st_target_missed(const struct st_target *target);

int st_target_pid(const struct st_target *target);

/* NULL while the process is there and has our agent, else half a sentence: "has exited". */
const char *st_target_gone(struct st_target *target);

/* The same, but for a process whose forked children are still there (ST_TARGET_FOLLOW). */
bool st_target_alive(struct st_target *target);

/* It has gone because it has executed another program. */
bool st_target_replaced(const struct st_target *target);

/**
 * st_target_close() - remove its probes and let go
 *
 * Return: 0 (also if the process is gone), or a negative errno with a sentence in @err: hooks are
 * left in the process.
 */
int st_target_close(struct st_target *target, char err[ST_ERR_MAX]);

#endif
