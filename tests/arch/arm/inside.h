/* SPDX-License-Identifier: GPL-2.0-only */
/* The functions that are probed at every instruction, and what runs them. */
#ifndef TEST_ARM_INSIDE_H
#define TEST_ARM_INSIDE_H

/* Runs them all; the same number each time. */
unsigned int corpus_run(void);

/* Their addresses, with Thumb bit; they are alone in section "corpus". Returns how many. */
unsigned int corpus_functions(const void *const **list);

#endif
