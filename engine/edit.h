/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A change of the bytes at one site of this process, and the writer of batches of them (text.c). */
#ifndef ST_ENGINE_EDIT_H
#define ST_ENGINE_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <engine/arch.h>

/**
 * struct st_change - what changes at one site
 * @addr: the site
 * @len: bytes that change
 * @live: old and new are each one instruction that may be swapped under running threads (see struct st_plan)
 * @resume: where a thread that hits a breakpoint put there for the moment goes on: the moved instructions (with Thumb bit)
 * @insns, @offs, @to: the old instructions' offsets, and where a thread stopped at one of them goes on; insns is 0 or 1
 *	when no thread can be between two of them
 * @old, @new: the bytes
 */
struct st_change {
	unsigned long addr;
	uint8_t len;
	bool live;
	uint8_t insns;
	uint8_t offs[ST_INSNS_MAX];
	unsigned long to[ST_INSNS_MAX];
	unsigned long resume;
	uint8_t old[ST_JUMP_MAX];
	uint8_t new[ST_JUMP_MAX];
};

/**
 * st_text_edit() - change sites of this process, whatever its threads are doing
 * @edit: sorted by address, not overlapping
 * @n: how many
 * @why: set to a reason on failure; static storage
 *
 * All or nothing. Each site must hold its old bytes (-EBADF if not: someone else changed it).
 * Return: 0, -EBADF, -ENOMEM, -EPERM when text can't be written, -EBUSY when a thread could not be stopped or brought out.
 * Context: one caller at a time; not from a hook or signal handler; the objects must not be unmapped meanwhile.
 */
int st_text_edit(const struct st_change *edit, size_t n, const char **why) __attribute__((visibility("hidden")));

/* Registers the process for membarrier() and finds out how text can be written. 0 or -errno. */
int st_text_init(void) __attribute__((visibility("hidden")));

/* All cores see what was written to memory that becomes code: to be called between writing stubs and pointing to them. */
void st_text_sync(void) __attribute__((visibility("hidden")));

#endif
