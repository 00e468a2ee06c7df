/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Return probes: hooks that run when a function returns.
 *
 * A function with return hooks has one more hook at its entry, the last of its site's list. It keeps the return address in the
 * thread's list of pending returns, together with the stack address that it belongs to, and puts `after`, a place in the
 * site's stub, where it was. When the function returns to `after`, the stub goes to st_return, which finds the pending return
 * by its stack address, never by order: frames that longjmp, an exception or a coroutine left behind do no harm.
 *
 * In x86-64's stub `path` takes the return address from the stack and *calls* the function's body, so that the call pushes
 * `after`, and the processor's return predictor stays right. On ARM and AArch64 `after` is put into lr.
 */
#ifndef ST_ENGINE_RETURN_H
#define ST_ENGINE_RETURN_H

#include <engine/site.h>
#include <engine/thread.h>

/*
 * Returns that may be pending on a thread, and one for the header. More than programs nest, apart from recursion; little enough
 * that all of them are looked at when they have to be.
 */
#define ST_PENDING_MAX	128

/* For return.S and unwind.c: offsets in struct st_pending (the header's behind them), struct st_return. */
#define ST_PENDING_KEY	0
#define ST_PENDING_ADDR	(1 * __SIZEOF_POINTER__)	/* next */
#define ST_PENDING_RET	(2 * __SIZEOF_POINTER__)	/* top */
#define ST_PENDING_LOW	(3 * __SIZEOF_POINTER__)
#define ST_PENDING_DATA	(4 * __SIZEOF_POINTER__)
#define ST_PENDING_SIZE	(6 * __SIZEOF_POINTER__)
#define ST_RETURN_SITE	(6 * __SIZEOF_POINTER__)
#define ST_RETURN_PATH	(7 * __SIZEOF_POINTER__)
#define ST_RETURN_AFTER	(8 * __SIZEOF_POINTER__)
#define ST_RETURN_HOOKS	(9 * __SIZEOF_POINTER__)
#define ST_RETURN_BEGIN	(11 * __SIZEOF_POINTER__)
#define ST_RETURN_END	(12 * __SIZEOF_POINTER__)

/* The key of a place that is being filled; nobody's. */
#define ST_PENDING_TAKEN 1ul

#ifndef __ASSEMBLER__

#include <stdbool.h>

/*
 * One for each function that has return hooks; written by whoever owns the sites (the engine in its own process, or the tool
 * from outside), all addresses the target's. Once its function was hooked it stays, as the stub does: a return may be pending.
 *
 * @hook: at the entry: func is st_return_enter, data this structure's address, flags ST_HOOK_GENERAL_REGS
 * @site: the struct st_site
 * @path: x86-64: where the stub calls the body; 0 elsewhere
 * @after: where the function returns to, with Thumb bit
 * @hooks: called when the function returns, as those of a site (with ST_HOOKS_*), ends with NULL, never NULL itself. regs are those
 *	at the return, pc is the true return address; ip is the site, parent_ip the true return address. What they leave in the
 *	general registers and flags is what the caller gets; pc and sp are not theirs to change.
 * @missed: calls whose return was not followed: too many are pending on the thread, or a hook has moved sp
 * @begin: NULL, or: something to keep with a pending return, which its hooks get from st_return_data(); NULL from it is a miss, which it
 *	counts itself. General registers only.
 * @end: called with it when the hooks have run, or when it is found that the function will never return. General registers only.
 */
struct st_return {
	struct st_hook hook;
	struct st_site *site;
	unsigned long path;
	unsigned long after;
	struct st_hook_list *hooks;
	unsigned long missed;
	void *(*begin)(struct st_return *ret, struct st_regs *regs, unsigned long ip, unsigned long parent_ip);
	void (*end)(struct st_return *ret, void *data);
};

/*
 * A pending return. The first of each thread is the header.
 *
 * @key: 0: free; 1: being filled; else the stack address that it belongs to. x86-64: where the return address lies; elsewhere sp at the entry
 * @addr: the true return address, with Thumb bit; 0: that of an older one with the same key, whose function called this
 *	one's in its tail
 * @ret: of which function
 * @low: the lowest key up to here: a lower one is not among them. Of the header: the highest number, or 0 before it is in the list
 * @data: from @begin
 */
struct st_pending {
	unsigned long key;
	union {
		unsigned long addr;
		struct st_pending *next;	/* thread that has pending returns, or had some: the list begins at st_returns_list */
	};
	union {
		struct st_return *ret;
		unsigned long top;		/* offset in bytes of the newest; 0: there is none */
	};
	unsigned long low;
	void *data;
	union {
		unsigned long tail;		/* if addr is 0: `after` of the older one */
		unsigned long missed;		/* of the header: misses since the last look for what is dead */
	};
};

/* By index of the thread's slot (engine/thread.h). Touched when a thread's first return becomes pending. */
extern struct st_pending st_returns[ST_THREADS][ST_PENDING_MAX] __attribute__((visibility("hidden")));
extern struct st_pending *st_returns_list __attribute__((visibility("hidden")));

/* The hook at the entry. General registers only. */
void st_return_enter(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip);

/* Where stubs go when a function returns to @after (arch/<arch>/return.S). Not a C function. */
void st_return(void);

#if defined(__x86_64__)
/* A `ret`: where a hook sends a thread that is to return from a function at once. */
void st_return_ret(void);
#endif

/* Called by it. @regs: as they are behind the return, but pc, which is set. Return: pc, with Thumb bit. */
unsigned long st_return_run(struct st_regs *regs) __attribute__((visibility("hidden")));

/* In a process that links us: fills in site, path and after of a function that has a hook (engine/hook.c). */
bool st_hook_returns(unsigned long func, struct st_return *ret) __attribute__((visibility("hidden")));

/* For return hooks: what @begin gave. It lies behind the registers. */
static inline void *st_return_data(const struct st_regs *regs)
{
	return *(void *const *)(regs + 1);
}

/*
 * st_return_refused() - functions that return more than once, or never to what stands at the stack's top when they are entered
 * @name: the function's
 * Return: half a sentence that says why, or NULL.
 *
 * Names are not all: a part of a function that a compiler has put elsewhere and that is entered by a jump is told by its frame
 * description, whose CFA is not the one of an entry.
 */
const char *st_return_refused(const char *name);

#endif
#endif
