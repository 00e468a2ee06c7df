/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A session: the tool at work on a process that has the agent. Puts the engine's sites and stubs into the target from
 * outside. All state is in the shared struct st_ctl, so sessions of several tools may follow each other, or overlap
 * (each change is made under ptrace, which only one tool has at a time).
 *
 * Between calls the target runs freely and is not traced.
 */
#ifndef ST_PROCESS_SESSION_H
#define ST_PROCESS_SESSION_H

#include <stdbool.h>
#include <agent/ctl.h>
#include <process/process.h>

struct st_session;

/* One function to hook, as symbols have it. Filled by the caller; why is set when it could not be hooked. */
struct st_fn {
	unsigned long addr;	/* in the target, no Thumb bit */
	size_t size, room;	/* of the function; up to the next one */
	unsigned long offset;	/* of the place in it, 0: its entry */
	enum st_isa isa;
	bool strict;		/* see ST_PLAN_STRICT */
	bool part;		/* may be reached by a jump at its entry as well: a site there is one inside of a function, and strict */
	const char *name;
	enum st_kind kind;	/* out: how it is, or would be, hooked */
	const char *why;	/* out: NULL or the reason it was refused */
};

/* The hook is for when the functions return (engine/return.h), not for when they are entered. */
#define ST_SESSION_RETURN	(1u << 0)
/* Where no jump fits, a breakpoint will do. */
#define ST_SESSION_ANY		(1u << 1)

/*
 * st_session_open() - get into a process: loads the agent if `create` and it is not there yet.
 * Return: 0 with *s, -ENOENT when there is no agent and !create, or another negative errno with a sentence in err.
 */
int st_session_open(int pid, bool create, struct st_session **s, char err[ST_ERR_MAX]);
/* Lets go of the process; what is installed stays. */
void st_session_close(struct st_session *s);

/*
 * What the agent needs to know of the C library, and could not be found out when a program had just been started: to be called
 * when the program's own loader is through. Stops all threads once.
 */
int st_session_learn(struct st_session *s);

/*
 * Sites whose object is not mapped any more are forgotten, also where another object has come in its place. Return: how many, or a
 * negative errno.
 */
int st_session_forget(struct st_session *s);

/* The thread of the process, or of a child of it, that calls itself @tid. Return: its id here, or 0. */
int st_session_thread(struct st_session *s, int tid);

/* The other processes that have the session's shared memory: children that were forked. *n of them, to be freed. */
int *st_session_sharers(struct st_session *s, size_t *n);

/*
 * Brings the code of a forked child in line with the records that it shares with its parent, after a hook was taken off there.
 * When it returns no thread of it is in that hook.
 */
int st_session_settle(struct st_session *s);

/* Where a function or variable of the agent is in the process (ARM: with Thumb bit). Return: 0 or -ENOENT. */
int st_session_agent_symbol(struct st_session *s, const char *name, unsigned long *addr);

/*
 * st_session_frames() - exceptions, and all else that unwinds, pass through the functions of a patch that has been loaded
 * @file, @len: its bytes
 *
 * Before it is put in place, with no thread stopped. What comes to the process later and unwinds is found by st_session_returns().
 *
 * Return: 0; 1: they will not, but the patch itself does not use exceptions (st_session_error() has a sentence for the user); -ENOTSUP: it
 * does; or another negative errno.
 */
int st_session_frames(struct st_session *s, const void *file, size_t len, const struct st_loaded *loaded);
/* The patch at @lo goes, or has gone: st_session_release() does that by itself. */
void st_session_drop_frames(struct st_session *s, unsigned long lo);

/*
 * st_session_shadow() - memory for shadow variables (agent/shadow.h), unless the process has it already
 * @r: a borrowed thread of the process
 *
 * Before a patch that uses them is put in place. It stays until sidetrack detaches. Return: 0 or a negative errno.
 */
int st_session_shadow(struct st_session *s, struct st_remote *r);

struct st_ctl *st_session_ctl(struct st_session *s);
struct st_proc *st_session_proc(struct st_session *s);
const char *st_session_error(struct st_session *s);

/* flags: ST_SESSION_*. Put the hook at ctl address `hook` (a struct st_hook in the shared memory) on n functions; fn[i].why says which were
 * refused. Return: sites hooked, or negative errno (nothing was changed); -EBUSY: a thread could not be brought out. */
int st_session_hook(struct st_session *s, struct st_hook *hook, struct st_fn *fn, size_t n, unsigned int flags);
/*
 * st_sites_undo() - code of the target as it would be without us
 * @code: the bytes at @addr as they are; changed to the original ones where a site is
 * Return: 0 or -ENOMEM.
 */
int st_sites_undo(const struct st_ctl *ctl, unsigned long addr, uint8_t *code, size_t len);

/* Why there can be no breakpoints in an object, half a sentence; NULL: there can. Of a process, or a file. */
const char *st_object_no_breakpoints(const struct st_objects *objs, const struct st_object *o);

/* Of the sites that have the hook at @hook (an address in the target): how many there are of each kind. */
void st_sites_kinds(const struct st_ctl *ctl, uint64_t hook, unsigned long kinds[ST_KIND_NO]);

/*
 * st_session_returns() - unwinders that have come to the process since return hooks were set, or patches applied, find their way through
 * pending returns and patches, too
 * Return: 0, or a negative errno: exceptions may end the process.
 */
int st_session_returns(struct st_session *s);

/* Take it off every site. When it returns no thread is in it. */
int st_session_unhook(struct st_session *s, struct st_hook *hook);

/*
 * st_session_lock() - keep other tools from changing the process meanwhile; nests
 * Return: 0, -EBUSY: another tool has it for long; -ESTALE: another tool has detached, the session is of no use any more.
 */
int st_session_lock(struct st_session *s);
void st_session_unlock(struct st_session *s);

/* Is the agent of this session still in the process? */
bool st_session_there(struct st_session *s);

/* Free the records of probes whose tool has died, and take them off their sites. */
int st_session_reap(struct st_session *s);

/*
 * Wait until no thread is in the memory regions (indices into ctl->region) or may come back to them, then unmap them. -EBUSY
 * after wait_ms, with a sentence that names the thread; nothing is unmapped then.
 */
int st_session_release(struct st_session *s, const unsigned int *region, size_t n, unsigned int wait_ms);

/* Compare the code of all objects with their files. Return: bytes that differ, or a negative errno. */
long st_session_compare(struct st_session *s, unsigned long *bytes, unsigned int *objects);

/* Remove everything: hooks, patches, the agent; the code is byte for byte what the files hold. Closes nothing. */
int st_session_detach(struct st_session *s);

/* The longest time any thread was stopped by this session, and the number of stops, for reports. */
void st_session_stops(struct st_session *s, unsigned long *count, unsigned long *longest_ns);

#endif
