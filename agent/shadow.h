/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The memory of shadow variables (shadow.c). The tool maps it, writes its head, and tells the agent. */
#ifndef ST_AGENT_SHADOW_H
#define ST_AGENT_SHADOW_H

#include <stdint.h>
#include <sidetrack/patch.h>

/* So much address space, or what the process may have of it: memory is used when it is touched. */
#define ST_SHADOW_MAX	(sizeof(long) == 8 ? 256ul << 20 : 32ul << 20)
#define ST_SHADOW_MIN	(1ul << 20)
#define ST_SHADOW_CLASSES 32	/* pieces of 2^n bytes */

struct st_shadow_slot;

struct st_shadow_area {
	uint64_t size;				/* all of it, a power of two */
	uint64_t used;				/* bytes handed out, from the beginning */
	uint64_t bits;				/* there are 2^bits buckets */
	uint64_t free[ST_SHADOW_CLASSES];	/* lists of pieces: how often it was changed, and the first one's offset / 16 */
	struct st_shadow_slot *bucket[];
};

/* NULL: there is none yet. Each process has its own: a child that was forked before it was mapped has not got it. */
extern struct st_shadow_area *st_shadow_area __attribute__((visibility("hidden")));

/* @size: a power of two from ST_SHADOW_MIN to ST_SHADOW_MAX. The rest of the area is 0. */
static inline void st_shadow_head(struct st_shadow_area *head, uint64_t size)
{
	head->size = size;
	head->bits = 63 - (uint64_t)__builtin_clzll(size / 8192);
	head->used = (sizeof(*head) + (sizeof(head->bucket[0]) << head->bits) + 63) & ~63ull;
}

#endif
