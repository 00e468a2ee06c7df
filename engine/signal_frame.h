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

#endif
