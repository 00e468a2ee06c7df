/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What hook.c offers to the other clients in this process (probe.c), beyond include/sidetrack/hook.h. */
#ifndef ST_ENGINE_HOOK_H
#define ST_ENGINE_HOOK_H

#include <stddef.h>
#include <sidetrack/hook.h>
#include <engine/return.h>

#pragma GCC visibility push(hidden)

/* Several hooks at once, with one change of the code: all or none. 0 or as st_hook_register(), the reason with one of them. */
int st_hooks_register(struct st_hook *const *hook, size_t n);
int st_hooks_unregister(struct st_hook *const *hook, size_t n);

/* The one function with a name, [OBJECT:]FUNCTION. -ENOENT, -ENOTUNIQ, -ENOMEM. @addr has the Thumb bit. */
int st_hook_find(struct st_hook *hook, const char *name, unsigned long *addr, size_t *size);

/* The callback touches what this code does, and no more (x86-64); one may be NULL. */
#define ST_HOOK_CODE 2
int st_hook_calls(struct st_hook *hook, const void *one, const void *two);

/* The callback is called when its functions return. @begin and @end: NULL, or those of all such hooks that have any. */
int st_hook_on_return(struct st_hook *hook, void *(*begin)(struct st_return *, struct st_regs *, unsigned long, unsigned long),
		      void (*end)(struct st_return *, void *));

/* How its first site is hooked: "nop", "move", "breakpoint"; "" if it is not. */
const char *st_hook_kind(const struct st_hook *hook);

/* What the sites of a hook that is called on returns have missed, for all such hooks, since there was one. */
unsigned long st_hook_returns_missed(const struct st_hook *hook);

/* Forgets what was asked for: for a hook that could not be registered. */
void st_hook_drop(struct st_hook *hook);

#pragma GCC visibility pop
#endif
