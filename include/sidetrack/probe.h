/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Probes: a handler that runs at any instruction of a function, or when a function returns.
 *
 * These are the kprobes and kretprobes of the kernel, for a process that links libsidetrack. Where a jump is safe a probe is
 * a jump, where it is not it is a breakpoint; nothing is single-stepped (docs/probes.md).
 *
 *	static void seen(struct st_probe *p, struct st_regs *regs)
 *	{
 *		sum += st_regs_argument(regs, 0);
 *	}
 *	static struct st_probe p = { .size = sizeof(p), .symbol = "libc.so.6:malloc", .handler = seen };
 *
 *	if (st_probe_register(&p))
 *		puts(st_probe_reason(&p));
 *	...
 *	st_probe_unregister(&p);
 *
 * Calls for one probe must not run at the same time; for different ones they may. A program that is linked with -static-pie,
 * or loads with dlopen(), is served like any other; a function needs a symbol.
 */
#ifndef SIDETRACK_PROBE_H
#define SIDETRACK_PROBE_H

#include <stddef.h>
#include <sidetrack/regs.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/*
 * The handlers, and all they call, use general registers only (built with -mgeneral-regs-only) and no libc: vector state and
 * errno are then not saved around them.
 */
#define ST_PROBE_GENERAL_REGS	(1u << 0)
/* The handler changes pc. At most one such probe, or hook, sits on an instruction; a second is refused with -EBUSY. */
#define ST_PROBE_IPMODIFY	(1u << 1)
/* What no jump fits into is refused. (A jump can still become a breakpoint, when others probe what it displaces.) */
#define ST_PROBE_NO_BREAKPOINT	(1u << 2)
/* Register it, but don't call it until st_probe_enable(). */
#define ST_PROBE_DISABLED	(1u << 3)

struct st_probe;
struct st_return_probe;

/**
 * typedef st_probe_fn - what a probe does
 * @probe: the probe
 * @regs: the registers in front of the instruction (docs/registers.md); what is left in them is what it starts with. pc is the
 *	instruction's address; of a function's entry that of the function, also where a landing pad stands in front of the first
 *	instruction. With ST_PROBE_IPMODIFY st_regs_set_pc() sends the thread elsewhere, and the instruction does not run.
 *
 * Context: any thread, any signal handler, whatever locks the interrupted program holds. May call libc unless the probe is
 * ST_PROBE_GENERAL_REGS; a probed function that it calls is not probed meanwhile, and that is counted as a miss. errno is
 * preserved.
 */
typedef void (*st_probe_fn)(struct st_probe *probe, struct st_regs *regs);

/**
 * struct st_probe - a probe at one instruction
 * @size: sizeof(struct st_probe), so that the structure can grow
 * @symbol: [OBJECT:]FUNCTION, no globs; OBJECT is a file name without its folder. NULL: @addr says where
 * @addr: an address in a function, if @symbol is NULL
 * @offset: bytes from @symbol or @addr to the instruction
 * @handler: called in front of the instruction
 * @data: the caller's own
 * @flags: ST_PROBE_*
 * @nmissed: hits that were not delivered because a handler was running on that thread already; brought up to date by
 *	st_probe_missed(), and when the probe is disabled or unregistered
 * @priv: the engine's own; starts as NULL
 *
 * The memory belongs to the caller. It must not change or go away between st_probe_register() and the return of
 * st_probe_unregister().
 */
struct st_probe {
	size_t size;
	const char *symbol;
	const void *addr;
	size_t offset;
	st_probe_fn handler;
	void *data;
	unsigned int flags;
	unsigned long nmissed;
	void *priv;
};

/**
 * st_probe_register() - put a probe in place
 * @probe: the probe
 *
 * Return: 0, or
 *	-EBUSY: it is registered; or it is ST_PROBE_IPMODIFY and another one sits there; or a thread could not be brought out of
 *		the bytes that would change, or blocks SIGTRAP and a breakpoint is needed (try again);
 *	-EINVAL: a field is not set, or the place is in no function of an object, or behind its end;
 *	-ENOENT: there is no such function; -ENOTUNIQ: there are several;
 *	-ENOTSUP: no probe can be there, or a signal handler blocks SIGTRAP and a breakpoint is needed;
 *	-EPERM: the text can't be written; -ENOMEM.
 * st_probe_reason() says it in words. Context: as st_hook_register().
 */
int st_probe_register(struct st_probe *probe);

/**
 * st_probe_unregister() - remove a probe
 * @probe: a registered probe, enabled or not
 *
 * When it returns, no thread is in the handler and none will enter it, and the instruction has its own bytes, unless
 * somebody else has a probe there.
 *
 * Return: 0, or -EINVAL if @probe is not registered, -EDEADLK if called from a handler, -EBUSY if a thread could not be stopped where
 *	that is needed, -ENOMEM: in these two cases it is still registered, try again.
 * Context: as st_hook_unregister(); waits for threads that are in the handler.
 */
int st_probe_unregister(struct st_probe *probe);

/**
 * st_probe_disable() - stop calling the handler, and take the probe out of the code
 * @probe: a registered probe
 *
 * When it returns, no thread is in the handler. Return: 0, also if it was disabled; errors as st_probe_unregister().
 */
int st_probe_disable(struct st_probe *probe);

/**
 * st_probe_enable() - call the handler again
 * @probe: a registered probe
 *
 * Return: 0, also if it was enabled; -EINVAL if it is not registered; other errors as st_probe_register(), it is then still disabled.
 */
int st_probe_enable(struct st_probe *probe);

/**
 * st_probes_register() - several probes, all or none
 * @probes: the probes
 * @n: how many
 *
 * With one change of the code, which stops the threads once at most. On an error none is registered, and st_probe_reason() of
 * the one that failed says why.
 *
 * Return: as st_probe_register().
 */
int st_probes_register(struct st_probe *const *probes, size_t n);

/**
 * st_probes_unregister() - the same for unregistering
 * @probes: registered probes
 * @n: how many
 *
 * Return: as st_probe_unregister(); on an error all are still registered.
 */
int st_probes_unregister(struct st_probe *const *probes, size_t n);

/**
 * st_probe_missed() - hits that were not delivered, until now
 * @probe: a probe
 */
unsigned long st_probe_missed(struct st_probe *probe);

/**
 * st_probe_kind() - how a probe is in place
 * @probe: a probe
 *
 * Return: "nop", "move" or "breakpoint" as `sidetrack functions` says it; "" if it is not in place.
 */
const char *st_probe_kind(const struct st_probe *probe);

/**
 * st_probe_reason() - why the last call for this probe failed
 * @probe: a probe
 *
 * Return: a sentence, never NULL; "" when nothing failed. Valid until the next call for @probe.
 */
const char *st_probe_reason(const struct st_probe *probe);

/**
 * struct st_return_instance - one call of a function with a return probe, from its entry to its return
 * @rp: the return probe
 * @ret_addr: where the function returns to
 * @data: @rp->data_size bytes for the handlers, aligned to 16; zero when the function is entered. NULL if there are none
 */
struct st_return_instance {
	struct st_return_probe *rp;
	unsigned long ret_addr;
	void *data;
};

/**
 * typedef st_return_entry_fn - called when the function is entered
 * @instance: of this call
 * @regs: as at a probe on the function
 *
 * Context: as st_probe_fn.
 * Return: 0, or anything else if the return of this call is of no interest.
 */
typedef int (*st_return_entry_fn)(struct st_return_instance *instance, struct st_regs *regs);

/**
 * typedef st_return_fn - called when the function returns
 * @instance: of this call
 * @regs: the registers as the caller is about to get them; pc is the return address. What is left in the general registers and flags
 *	is what it gets: a return value can be changed. pc and sp can't.
 *
 * Context: as st_probe_fn.
 */
typedef void (*st_return_fn)(struct st_return_instance *instance, struct st_regs *regs);

/* How many calls are followed at once if maxactive is 0. */
#define ST_RETURN_MAXACTIVE 256

/**
 * struct st_return_probe - handlers for a function's returns
 * @size: sizeof(struct st_return_probe)
 * @symbol: [OBJECT:]FUNCTION; NULL: @addr says which
 * @addr: of the function, if @symbol is NULL
 * @entry_handler: NULL, or called when the function is entered
 * @handler: called when it returns
 * @data: the caller's own
 * @data_size: bytes that each struct st_return_instance has for the handlers
 * @maxactive: most calls, of all threads, that are followed at once; 0: ST_RETURN_MAXACTIVE
 * @flags: ST_PROBE_*, but ST_PROBE_IPMODIFY
 * @nmissed: calls whose return was not followed: all @maxactive instances were taken, too many returns were pending on the thread, or a
 *	handler was running. Brought up to date as in struct st_probe
 * @priv: the engine's own; starts as NULL
 *
 * With neither @entry_handler nor @data_size nor @maxactive there are no instances to run out of, and only what is pending on each thread is
 * bounded; that is the fastest. Then a call may be seen to return that was entered before, under another return probe.
 *
 * A function that is left by longjmp() or an exception does not return: its instance is free again when that is found, at the
 * latest when its place on the stack, or in the thread's list of pending returns, is needed.
 */
struct st_return_probe {
	size_t size;
	const char *symbol;
	const void *addr;
	st_return_entry_fn entry_handler;
	st_return_fn handler;
	void *data;
	size_t data_size;
	unsigned int maxactive;
	unsigned int flags;
	unsigned long nmissed;
	void *priv;
};

/*
 * As for probes. After st_return_probe_disable() and st_return_probe_unregister() no handler is called any more, also not for calls
 * that were entered before; those return as if there had never been a probe.
 */
int st_return_probe_register(struct st_return_probe *rp);
int st_return_probe_unregister(struct st_return_probe *rp);
int st_return_probe_disable(struct st_return_probe *rp);
int st_return_probe_enable(struct st_return_probe *rp);
int st_return_probes_register(struct st_return_probe *const *rps, size_t n);
int st_return_probes_unregister(struct st_return_probe *const *rps, size_t n);
unsigned long st_return_probe_missed(struct st_return_probe *rp);
const char *st_return_probe_kind(const struct st_return_probe *rp);
const char *st_return_probe_reason(const struct st_return_probe *rp);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
#endif
