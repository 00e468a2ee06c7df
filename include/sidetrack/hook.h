/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hooks: a callback at the entry of functions that is handed every register and may change every register.
 *
 * This is ftrace_ops of the kernel, for a process that links libsidetrack. A hook names its functions by globs or
 * addresses, is registered, is called at the first instruction of each of them, and is unregistered.
 *
 *	static void hello(struct st_hook *h, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
 *	{
 *		calls++;
 *	}
 *	static struct st_hook h = { .size = sizeof(h), .func = hello };
 *
 *	st_hook_filter(&h, "libc.so.6:open*");
 *	if (st_hook_register(&h) < 0)
 *		puts(st_hook_reason(&h));
 *	...
 *	st_hook_unregister(&h);
 */
#ifndef SIDETRACK_HOOK_H
#define SIDETRACK_HOOK_H

#include <stddef.h>
#include <sidetrack/regs.h>

#ifdef __cplusplus
extern "C" {
#endif

struct st_hook;

/* What is declared here is what the shared library exports. */
#pragma GCC visibility push(default)

/**
 * typedef st_hook_fn - what a hook does at a site
 * @hook: the hook, so that one callback may serve several
 * @regs: the registers at the function's first instruction; what is left in them is what the function starts with
 * @ip: address of the site: the function's first instruction, behind a landing pad (endbr64, bti) where there is one
 * @parent_ip: the return address
 *
 * Context: any thread, any signal handler, whatever locks the interrupted program holds. May block if the program can
 * bear it. May call libc unless ST_HOOK_GENERAL_REGS was given. errno is preserved by the engine.
 */
typedef void (*st_hook_fn)(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip);

/* The hook changes regs->pc. At most one such hook sits on a site; a second is refused with -EBUSY. */
#define ST_HOOK_IPMODIFY	(1u << 0)
/*
 * The callback, and all it calls, uses general registers only (built with -mgeneral-regs-only) and no libc: vector state and errno are then not saved around it.
 */
#define ST_HOOK_GENERAL_REGS	(1u << 1)
/* Call the hook also for hooked functions that hooks themselves run into. It must bound its own recursion. */
#define ST_HOOK_RECURSE		(1u << 2)
/*
 * Where no jump is safe, a breakpoint will do: about a hundred times slower, and nothing for threads that block SIGTRAP
 * (docs/probes.md). Without it such places are refused.
 */
#define ST_HOOK_BREAKPOINT	(1u << 3)

/**
 * struct st_hook - a callback and the sites it wants
 * @size: sizeof(struct st_hook), so that the structure can grow
 * @func: the callback
 * @data: the caller's own
 * @flags: ST_HOOK_*
 * @missed: hits that were not delivered because a hook was running on that thread already; read it at any time
 * @priv: the engine's own; starts as NULL
 *
 * The memory belongs to the caller. It must not change or go away between st_hook_register() and the return of
 * st_hook_unregister().
 */
struct st_hook {
	size_t size;
	st_hook_fn func;
	void *data;
	unsigned int flags;
	unsigned long missed;
	void *priv;
};

/**
 * st_hook_filter() - add functions by name
 * @hook: a hook that is not registered
 * @glob: [OBJECT:]FUNCTION, both may be globs; OBJECT is a file name without its folder; without OBJECT the functions
 *	of every object of the process are meant
 *
 * Return: the number of functions added, or -ENOENT if nothing matches, -EBUSY if @hook is registered, -ENOMEM.
 * Context: any thread, not from a hook or a signal handler.
 */
int st_hook_filter(struct st_hook *hook, const char *glob);

/**
 * st_hook_filter_ip() - add one function by its address
 * @hook: a hook that is not registered
 * @func: a function pointer (on ARM bit 0 says Thumb)
 *
 * Return: 0, or -EBUSY if @hook is registered, -EINVAL if @func is not in executable memory of an object, -ENOMEM.
 * Context: any thread, not from a hook or a signal handler.
 */
int st_hook_filter_ip(struct st_hook *hook, const void *func);

/**
 * st_hook_filter_at() - add one instruction, anywhere in a function
 * @hook: a hook that is not registered
 * @addr: of the instruction (bit 0 is ignored on ARM)
 *
 * What the callback sees as pc and ip is @addr; parent_ip is the word at sp, or lr, which need not be a return address there. A
 * function's first instruction, also behind a landing pad, is the function's entry. ST_HOOK_BREAKPOINT makes nearly every
 * instruction possible.
 *
 * Return: as st_hook_filter_ip().
 * Context: any thread, not from a hook or a signal handler.
 */
int st_hook_filter_at(struct st_hook *hook, const void *addr);

/**
 * st_hook_register() - start calling the hook
 * @hook: a hook with at least one function
 *
 * Functions that came in by a glob and can't be hooked are left out (st_hook_refused() counts them); one that came in
 * by its address and can't be hooked makes the call fail. All or nothing: on an error no site was changed.
 *
 * Return: the number of sites that are hooked now, or
 *	-EBUSY: @hook is registered; or it is ST_HOOK_IPMODIFY and a site has such a hook already; or a thread could not
 *		be brought out of the bytes that would change (try again); or a thread blocks SIGTRAP, and a breakpoint is needed;
 *	-ENOENT: no function was given, or none of them can be hooked;
 *	-ENOTSUP: a function given by its address can't be hooked; st_hook_reason() says why; or a signal handler blocks SIGTRAP, and
 *		a breakpoint is needed;
 *	-EPERM: the text can't be written; -ENOMEM.
 * Context: any thread, not from a hook or a signal handler. Other threads may be running through the sites. Where a
 *	function has no NOP, all threads are stopped for some microseconds by a real-time signal, and a system call that
 *	SA_RESTART does not cover (epoll_wait, poll, nanosleep) may return EINTR once.
 */
int st_hook_register(struct st_hook *hook);

/**
 * st_hook_unregister() - stop calling the hook
 * @hook: a registered hook
 *
 * When it returns, no thread is in the callback and none will enter it: the caller may free @hook and unload the code.
 * A site that has no other hook holds its original bytes again.
 *
 * Return: 0, or -EINVAL if @hook is not registered, -EDEADLK if called from a hook, -EBUSY if a thread could not be
 *	stopped where that is needed: @hook is then still registered, try again; -ENOMEM likewise.
 * Context: as st_hook_register(); waits for threads that are in the callback.
 */
int st_hook_unregister(struct st_hook *hook);

/**
 * st_hook_refused() - how many functions of a registered hook could not be hooked
 * @hook: a hook
 * @i: which of them to explain, from 0
 * @func: set to the function's address, if not NULL
 * @why: set to the reason, if not NULL; valid as long as @hook is registered
 *
 * Return: the number of refused functions (@func and @why are set only if @i is less).
 */
int st_hook_refused(const struct st_hook *hook, unsigned int i, unsigned long *func, const char **why);

/**
 * st_hook_reason() - why the last call for this hook failed
 * @hook: a hook
 *
 * Return: a sentence, never NULL; "" when nothing failed. Valid until the next call for @hook.
 */
const char *st_hook_reason(const struct st_hook *hook);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
#endif
