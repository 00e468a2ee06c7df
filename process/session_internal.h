/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of a session share: session.c, sites.c, arrange.c, traps.c, change.c, install.c, leave.c. See session.h. */
#ifndef ST_PROCESS_SESSION_INTERNAL_H
#define ST_PROCESS_SESSION_INTERNAL_H

#include <string.h>
#include <time.h>
#include <engine/unwind.h>
#include <process/session.h>

#define ST_STOP_MS 2000		/* how long to try to stop the threads */
#define ST_BUSY_NAP_MS 2
#define ST_GRACE_MS 5000	/* how long a hook of the agent may take at most */
#define ST_WINDOW (256ul << 10)
/* Bytes at an island's head that are for unwinders. */
#if defined(__arm__)
#define ST_ISLAND_HEAD ST_UNWIND_HEAD
#else
#define ST_ISLAND_HEAD 0
#endif

struct st_session {
	struct st_proc *proc;
	struct st_ctl *ctl;
	int fd;			/* of the shared memory */
	int lock_fd;		/* of /proc/PID, whose lock is ours while we change the process */
	unsigned int locked;	/* how often */
	int pid;
	char err[ST_ERR_MAX];
	unsigned long stops;
	uint64_t longest;	/* ns */
	/* a piece of the target's memory, read once for many functions */
	uint8_t *window;
	unsigned long window_at;
	size_t window_len;
	/* the objects, read once for each change */
	struct st_objects *objects;
	const char *no_traps;	/* why there can be no breakpoints now */
	const struct st_object *strict_object;	/* the last one asked about, and whether it has exception tables */
	bool strict;
	bool traps_ready;
	bool traps_busy;	/* and that may be otherwise soon */
};

/* session.c */
int __attribute__((format(printf, 3, 4))) st_session_fail(struct st_session *s, int ret, const char *fmt, ...);
int st_session_resume(struct st_session *s, struct st_stop *stop);
/* Unmaps all memory that has one of our names; `ctl`: the shared memory too. */
void st_session_unmap_named(struct st_session *s, struct st_remote *r, bool ctl);
int st_session_add_region(struct st_session *s, enum st_region_kind kind, unsigned long start, unsigned long size);

/* sites.c: site[i] becomes the record of fn[i], with a finished stub; -1 where it is refused (fn[i].why). flags: ST_SESSION_* */
int st_sites_find(struct st_session *s, struct st_fn *fn, size_t n, unsigned int flags, int *site);
/* The breakpoint form of a record, if it has none yet. NULL or the reason why it can't have one. */
const char *st_site_add_breakpoint(struct st_session *s, struct st_ctl_site *c);
/* The objects of the process as they are now; the session's own until the next call of st_sites_find(). */
int st_session_objects(struct st_session *s, struct st_objects **objs);
void st_session_forget_objects(struct st_session *s);
/* install.c: forgets what is known of the process. */
void st_session_begin_change(struct st_session *s);

/*
 * arrange.c: which form each of these records will have, so that no jump lies over another site. Where that can't be, site[i]
 * becomes -1 and fn[i].why says why. *also: records of other sites that have to change their form first.
 */
int st_sites_arrange(struct st_session *s, struct st_fn *fn, size_t n, unsigned int flags, int *site, uint32_t **also,
		     size_t *nalso);
/*
 * A live site whose jump is not there becomes a breakpoint, when it is settled. NULL, or why it can't: the record is as before.
 */
const char *st_site_to_breakpoint(struct st_session *s, struct st_ctl_site *c);

/* traps.c: makes breakpoints possible; s->no_traps says why not. 0 or a negative errno when something failed. */
int st_traps_begin(struct st_session *s);
/* Gives SIGTRAP back to the program, if no site has a breakpoint any more (always: if `leaving`). */
int st_traps_end(struct st_session *s, bool leaving);
/* Why a breakpoint can't be at this address, whatever the signals are; NULL: it can. */
const char *st_traps_refuse(struct st_session *s, unsigned long addr);

/* install.c: waits until no thread is in a hook. 0 or -EBUSY. */
int st_session_grace(struct st_session *s);
/* Puts a hook of the agent's own on functions, those that can be hooked by a jump. */
int st_session_hook_internal(struct st_session *s, unsigned int i, unsigned long func, struct st_fn *fn, size_t n);
int st_session_unhook_internal(struct st_session *s, unsigned int i);
/* The record alone. NULL, or why the hook can't be added. */
const char *st_site_add_hook(struct st_session *s, struct st_ctl_site *c, const char *name, unsigned long hook, unsigned int flags);
int st_site_remove_hook(struct st_session *s, struct st_ctl_site *c, unsigned long hook);

/* change.c: the bytes of these records' sites become what the records say. All or none. */
int st_sites_settle(struct st_session *s, const uint32_t *site, size_t n);
/* Has this live site its own bytes still, since nobody may be between the instructions that its jump displaces? */
bool st_site_waits(struct st_session *s, struct st_ctl_site *c);
void st_site_set_state(struct st_ctl_site *c);
void st_site_set_form(struct st_ctl_site *c, unsigned int form);
void st_site_set_dispatch(struct st_session *s, struct st_ctl_site *c, bool vector, bool redirected);
void st_site_redirect(struct st_session *s, struct st_ctl_site *c, unsigned int patch, unsigned long to);

/*
 * returns.c: with all threads stopped and none of them in the agent's code or a stub, true return addresses are put where pending returns
 * lead to stubs. All or none: 0, or -EBUSY (which thread, what), -EFAULT.
 */
int st_session_unplant(struct st_session *s, struct st_stop *stop);
/*
 * Before a return probe: unwinders that the process has will find their way through pending returns. 0, or -ENOTSUP: one of them can't be
 * hooked; an exception would end the process.
 */
int st_session_unwinders(struct st_session *s);
/* The same for the frames of patches. How many unwinders there are; -ENOTSUP: one can't be hooked. */
int st_session_find_frames(struct st_session *s);
/* The hooks' places among ctl->internal. */
#define ST_INTERNAL_UNWIND 2
#define ST_INTERNAL_OBJECT 3

/* shadow.c: the agent's code from which constructors and destructors of shadow variables are called, if there are any. How many pieces. */
#define ST_SHADOW_CODE 2
size_t st_session_shadow_code(struct st_session *s, struct st_range code[ST_SHADOW_CODE]);

static inline void st_nap_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static inline unsigned long st_session_address(const struct st_session *s, const void *p)
{
	return (unsigned long)(s->ctl->self + (uint64_t)((const char *)p - (const char *)s->ctl));
}

/* How many records are in use; never more than there are, whatever the target wrote there. */
static inline uint32_t st_sites_used(const struct st_session *s)
{
	uint32_t n = __atomic_load_n(&s->ctl->sites_used, __ATOMIC_ACQUIRE);

	return n < ST_SITES_MAX ? n : ST_SITES_MAX;
}

/* The form that a site has when it is changed. Whatever the target wrote there, it is one of the two. */
static inline struct st_ctl_form *st_site_form(struct st_ctl_site *c)
{
	return &c->form[c->now < ST_FORMS ? c->now : ST_FORM_JUMP];
}

static inline bool st_site_live(const struct st_ctl_site *c)
{
	return c->state == ST_SITE_HOOKED || c->state == ST_SITE_PATCHED;
}

static inline unsigned long st_site_thumb(const struct st_ctl_site *c)
{
	return c->isa == ST_ISA_T32;
}

/* Bytes that a form changes, and that it displaces; never more than there are. */
static inline unsigned int st_form_jump(const struct st_ctl_form *f)
{
	return f->jump <= ST_JUMP_MAX ? f->jump : 0;
}

static inline unsigned int st_form_len(const struct st_ctl_form *f)
{
	return f->len <= ST_DISPLACED_MAX ? f->len : 0;
}

static inline unsigned int st_form_insns(const struct st_ctl_form *f)
{
	return f->insns <= ST_INSNS_MAX ? f->insns : 0;
}

#endif
