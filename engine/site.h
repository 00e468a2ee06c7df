/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A site as the code in the target sees it: what a stub hands to the dispatcher.
 *
 * Read by entry.S (offsets below, checked against the structure) and written by whoever owns the sites: the engine in
 * its own process, or the command line tool from outside. The same layout on both sides, all addresses the target's.
 */
#ifndef ST_ENGINE_SITE_H
#define ST_ENGINE_SITE_H

#define ST_SITE_DISPATCH	0
#define ST_SITE_FUNC		(1 * __SIZEOF_POINTER__)
#define ST_SITE_RESUME		(2 * __SIZEOF_POINTER__)
#define ST_SITE_FLAGS		(3 * __SIZEOF_POINTER__)
#define ST_SITE_IP		(4 * __SIZEOF_POINTER__)
#define ST_SITE_HOOKS		(5 * __SIZEOF_POINTER__)
/* struct st_hook's func */
#define ST_HOOK_FUNC		__SIZEOF_POINTER__
#define ST_HOOK_DATA		(2 * __SIZEOF_POINTER__)
#define ST_HOOK_FLAGS		(3 * __SIZEOF_POINTER__)
#define ST_HOOK_SHORT		(6 * __SIZEOF_POINTER__)

/*
 * The site is not at a function's entry. x86-64: the red zone is live, so nothing is written there; the stub goes on by itself,
 * and a changed pc takes the slow way.
 */
#define ST_SITE_INSIDE		1
/* The site's code is Thumb (ARM only). */
#define ST_SITE_THUMB		2
/* All hooks of the site are ST_HOOK_GENERAL_REGS: entry.S may run them itself, as st_dispatch_general() would. */
#define ST_SITE_GENERAL		4
/* Not a site, but a return (engine/return.c): regs->pc is the return address, and hooks points to the pointer to the hooks. */
#define ST_SITE_RETURN		256
/* x86-64: the only hook was st_return_enter(), or a short one, lately, so it is worth while to look whether it still is (return.S). */
#define ST_SITE_ALONE		512
/*
 * A bit of the pointer to a site's hooks: one of them may touch vector state. What a thread has read of the site before
 * may be older than the list; the list itself says what it takes to run it.
 */
#define ST_HOOKS_VECTOR		1
/* x86-64: all that they touch are the low halves of xmm0 to xmm7, or of xmm0 to xmm15, and MXCSR. */
#define ST_HOOKS_XMM_LOW	2
#define ST_HOOKS_XMM		4
/* All that the pointer may hold beside the address: lists are aligned like a pointer. */
#if defined(__x86_64__)
#define ST_HOOKS_MASK		7
#else
#define ST_HOOKS_MASK		ST_HOOKS_VECTOR
#endif

/*
 * A flag of a hook, x86-64 only, beside ST_HOOK_GENERAL_REGS and never by a program's own wish: it is a struct st_short_hook, that is,
 * it can do without registers what it mostly does.
 */
#define ST_HOOK_IS_SHORT	(1u << 31)

#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stddef.h>
#include <sidetrack/hook.h>
#include <engine/thread.h>

/*
 * A hook that needs no registers saved beyond those that its short form changes: where it is the only one, that is called instead of
 * hook.func, on the way in or out.
 *
 * @brief: does it, or does nothing and returns 0, and hook.func is called. @t is the thread's slot. It may change rax, rcx, rdx,
 *	rsi, rdi and the status flags only (its file is compiled so), calls nothing, and finds the stack not aligned.
 */
struct st_short_hook {
	struct st_hook hook;
	int (*brief)(struct st_slot *t, struct st_hook *hook);
};

/* The hooks of a site; replaced as a whole, never changed, when a hook comes or goes. Ends with NULL. */
struct st_hook_list {
	struct st_hook *hook[1];
};

struct st_site {
	/* st_dispatch_general, or st_dispatch_vector where a hook may touch vector state */
	void (*dispatch)(struct st_site *site, struct st_regs *regs);
	unsigned long func;	/* what regs->pc is when the hooks run: the function's address, or that of the place inside it (no Thumb bit) */
	unsigned long resume;	/* the displaced instructions, moved (with Thumb bit): where pc == func goes on */
	unsigned long flags;
	unsigned long ip;	/* the site's own address (no Thumb bit) */
	struct st_hook_list *hooks;	/* and ST_HOOKS_* */
	unsigned long missed;	/* hits that found no thread slot, or a running hook */
	unsigned long pad;
};

_Static_assert(offsetof(struct st_site, dispatch) == ST_SITE_DISPATCH, "entry.S");
_Static_assert(offsetof(struct st_site, func) == ST_SITE_FUNC, "entry.S");
_Static_assert(offsetof(struct st_site, resume) == ST_SITE_RESUME, "entry.S");
_Static_assert(offsetof(struct st_site, flags) == ST_SITE_FLAGS, "entry.S");
_Static_assert(offsetof(struct st_site, ip) == ST_SITE_IP, "entry.S");
_Static_assert(offsetof(struct st_site, hooks) == ST_SITE_HOOKS, "entry.S");
_Static_assert(offsetof(struct st_hook, func) == ST_HOOK_FUNC, "entry.S");
_Static_assert(offsetof(struct st_hook, data) == ST_HOOK_DATA, "return.S");
_Static_assert(offsetof(struct st_hook, flags) == ST_HOOK_FLAGS, "return.S");
_Static_assert(offsetof(struct st_short_hook, brief) == ST_HOOK_SHORT, "return.S");

/*
 * What every stub calls (entry.S). Saves the registers into a struct st_regs, calls site->dispatch(site, regs) on an
 * aligned stack, and goes on as regs say. Not a C function: arguments are the stub's affair.
 */
void st_entry(void);

/*
 * Runs the hooks of a site; general registers only, and nothing from outside (dispatch.c). C code with the ABI's
 * calling convention: may clobber what the ABI lets it.
 */
void st_dispatch(struct st_site *site, struct st_regs *regs);

/* The same, if no hook of the site may touch vector state; else st_dispatch_vector(). */
void st_dispatch_general(struct st_site *site, struct st_regs *regs);

/* The same, with all vector and floating-point state of the thread saved around it (entry.S). */
void st_dispatch_vector(struct st_site *site, struct st_regs *regs);

#if defined(__aarch64__)
/* st_dispatch or st_dispatch_vector, and then on at site->resume: for a site whose function is replaced (dispatch.c). */
void st_dispatch_redirect(struct st_site *site, struct st_regs *regs);
#endif

#endif
#endif
