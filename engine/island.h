/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory for stubs within branch reach of the code that jumps to them, in this process. */
#ifndef ST_ENGINE_ISLAND_H
#define ST_ENGINE_ISLAND_H

#include <stddef.h>

/**
 * st_island_alloc() - a place for a stub
 * @near: an address the stub must be near to
 * @reach: how near, in bytes either way
 * @size: bytes wanted
 * @write: set to where to write it; *@at is where it will run
 *
 * Never writable and executable at one address: the memory is mapped twice. Never freed while the process lives, so
 * a thread may stay in a stub as long as it likes.
 * Return: 0, or -ENOMEM when there is no room within reach.
 */
int st_island_alloc(unsigned long near, unsigned long reach, size_t size, void **write, unsigned long *at)
	__attribute__((visibility("hidden")));

/* Put @size bytes of code there; of the @room that was asked for, the rest is given back. @code has @room bytes. */
void st_island_commit(void *write, const void *code, size_t size, size_t room) __attribute__((visibility("hidden")));

/* In the child of a fork: the memory so far is shared with the parent, so new stubs go to new memory. */
void st_islands_after_fork(void) __attribute__((visibility("hidden")));

/* Where the memory for stubs begins that @addr is in, or 0. */
unsigned long st_island_at(unsigned long addr) __attribute__((visibility("hidden")));

/* Calls it for all memory that stubs may be in. */
void st_islands_each(void (*fn)(unsigned long start, unsigned long end)) __attribute__((visibility("hidden")));

#endif
