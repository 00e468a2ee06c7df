/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The records of this process's sites: what is planned, which stubs there are, what stands in the code now.
 *
 * A record is never forgotten while its object is mapped, and a stub never freed: a thread may be in one for ever. The table
 * only grows, so the handler of breakpoints reads it without a lock; all else happens under the lock of hook.c.
 */
#ifndef ST_ENGINE_RECORD_H
#define ST_ENGINE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <engine/arch.h>
#include <engine/edit.h>
#include <engine/objects.h>
#include <engine/return.h>
#include <engine/site.h>

#pragma GCC visibility push(hidden)

/**
 * struct st_place - where a site is wanted
 * @func, @size, @room, @isa, @entered, @strict, @part: the function, as struct st_function has it
 * @offset: of the instruction; 0: the function's entry
 * @any: a breakpoint will do where no jump is safe
 */
struct st_place {
	unsigned long func;
	size_t size, room, offset;
	enum st_isa isa;
	bool entered, strict, part, any;
};

/* One way in which a site can be hooked. @stub is 0 until st_record_finish(). @used: it was once, or nearly: threads may be in its stub. */
struct st_form {
	struct st_plan plan;
	unsigned long stub;		/* as a jump has it: with Thumb bit */
	unsigned long resume;		/* the displaced instructions, moved */
	uint16_t map[ST_INSNS_MAX];
	uint8_t jump[ST_JUMP_MAX];	/* what goes to the site */
	bool used;
};

/* For the hooks that run when the function returns, once there was one. */
struct st_record_return {
	struct st_return ret;
	struct {			/* the list of the site if ret.hook is alone on it */
		struct st_hook *hook, *end;
	} alone;
};

struct st_record {
	struct st_site site;
	struct st_record *next;		/* of the same hash */
	unsigned long addr;
	struct st_form form;		/* as planned first: a jump if one fits */
	struct st_form *trap;		/* by a breakpoint; NULL until needed; &form if nothing else fits */
	bool trapped;			/* trap is the one that counts, not form */
	bool on;			/* the site jumps to the stub, or holds the breakpoint */
	unsigned int hooks, returns;	/* hooks at the site, and for its function's returns */
	struct st_record_return *ret;
	unsigned long path, after;	/* see struct st_return; 0: not at an entry */
	unsigned long start, end;	/* of the object it lies in; end is 0 when that is gone */
	struct st_place place;
};

/* The form that counts. */
static inline struct st_form *st_record_form(struct st_record *r)
{
	return r->trapped ? r->trap : &r->form;
}

/* Is there a hook that it has to be on for? */
static inline bool st_record_wanted(const struct st_record *r)
{
	return r->hooks || r->returns;
}

/*
 * The record of a place, new and only planned if there was none. NULL: it can't be had, and @why says why.
 */
struct st_record *st_record_get(const struct st_place *place, const char **why);

/*
 * Makes the stubs of records that were only planned, once it is sure that no branch from elsewhere leads into what they displace.
 * One that can't be had is dead afterwards (end is 0), with the reason in form.plan.why. -ENOMEM or 0.
 */
int st_records_finish(struct st_record *const *records, size_t n, const struct st_object *objects);

/* The record of a function's entry, if there is one. */
struct st_record *st_record_of(unsigned long func);

/*
 * For a site that is to go on, when the lists of all hooks are as they will be: a jump, or a breakpoint because another site lies in
 * what the jump would displace, or a thread may come back to there. 0, or -ENOTSUP, -ENOMEM with @why.
 */
int st_record_choose(struct st_record *r, const char **why);

/* The site in front whose jump, now in the code, displaces what lies at @r. NULL: none. */
struct st_record *st_record_covering(const struct st_record *r);

/* Makes the form by breakpoint, if it is not there. 0, or -ENOTSUP, -ENOMEM with @why. */
int st_record_need_trap(struct st_record *r, const char **why);

/* What changes in the code when a record goes on or off, or from its jump to its breakpoint. */
struct st_change st_record_edit(struct st_record *r, bool on);
struct st_change st_record_edit_to_trap(struct st_record *r);

/* The changes have been made. */
void st_record_switched(struct st_record *r, bool on);
void st_record_switched_to_trap(struct st_record *r);

/* Records of objects that were unmapped are dead: their addresses may belong to others now. */
void st_records_forget_unmapped(void);

/* Does any breakpoint stand? */
bool st_records_any_trap(void);

/* Where a thread goes on that met a breakpoint there; 0: it is not ours. From a signal handler. */
unsigned long st_record_breakpoint(unsigned long addr);

/* NULL: no memory. @begin, @end: see struct st_return. */
struct st_record_return *st_record_return_new(struct st_record *r, void *(*begin)(struct st_return *, struct st_regs *,
					      unsigned long, unsigned long), void (*end)(struct st_return *, void *));

/* Is it in the code of an object? */
bool st_in_code(unsigned long addr);

/* What a record's hooks are before there are any. */
extern struct st_hook_list st_no_hooks;

#pragma GCC visibility pop
#endif
