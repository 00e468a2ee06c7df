/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Recognising a signal handler's context from the stack, for a dispatch that finds its thread in a hook already. */
#ifndef ST_ENGINE_SIGNAL_FRAME_H
#define ST_ENGINE_SIGNAL_FRAME_H

#include <stdbool.h>

/* Is @sp on the alternate signal stack the thread runs on? Makes a system call. */
bool st_on_alternate_stack(unsigned long sp) __attribute__((visibility("hidden")));

/*
 * Was a signal delivered between the frame at @outer and the one at @inner of the same thread? True also when they are on
 * different stacks because a handler runs on its alternate one.
 */
bool st_signal_frame_between(unsigned long inner, unsigned long outer) __attribute__((visibility("hidden")));

/*
 * Has the dispatch at @outer been left by longjmp() or an exception, seen from a frame at @inner of the same thread? What
 * it called returns into st_entry: if no such address lies between, or the stack has unwound past it, it is gone. Old
 * contents of a stack that was not written since look like one that is not.
 */
bool st_frame_left(unsigned long inner, unsigned long outer) __attribute__((visibility("hidden")));

#endif
