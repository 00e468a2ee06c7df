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

/*
 * One for each function that has return hooks; written by whoever owns the sites (the engine in its own process, or the tool
 * from outside), all addresses the target's.
 *
 * @hook: at the entry: func is st_return_enter, data is this structure's address
 * @site: the struct st_site
 * @path: x86-64: where the stub calls the body; 0 elsewhere
 * @after: where the function returns to, with Thumb bit
 * @hooks: called when the function returns, as those of a site, ends with NULL; regs are those at the return, pc is the
 *	true return address; ip is the site, parent_ip the true return address
 * @missed: calls whose return was not followed: too many are pending on the thread, or a hook was running
 */
struct st_return {
	struct st_hook hook;
	struct st_site *site;
	unsigned long path;
	unsigned long after;
	struct st_hook_list *hooks;
	unsigned long missed;
};

/* The hook at the entry. General registers only. */
void st_return_enter(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip);

/* Where stubs go when a function returns to @after (arch/<arch>/return.S). Not a C function. */
void st_return(void);

#endif
