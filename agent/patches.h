/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Patches, as the memory shared with the tool has them (ctl.h): what was applied, from which functions to which, and all that is needed
 * to go on, to turn round or to revert when neither the tool that applied them nor the patch's file is there any more.
 *
 * Written by the tool alone, under its lock; the agent reads none of it.
 */
#ifndef ST_AGENT_PATCHES_H
#define ST_AGENT_PATCHES_H

#include <stdint.h>

#define ST_PATCHES_MAX		64
#define ST_PATCH_OBJECTS_MAX	1024	/* of all patches together, as are the others */
#define ST_PATCH_FUNCS_MAX	4096
#define ST_PATCH_WORDS_MAX	1024
#define ST_PATCH_TEXT_MAX	(512u << 10)

enum st_patch_state { ST_PATCH_FREE, ST_PATCH_DISABLED, ST_PATCH_TRANSITION, ST_PATCH_ENABLED };

#define ST_PATCH_REPLACE	(1u << 0)	/* atomic replace: when it is enabled all others go */
#define ST_PATCH_FORCED		(1u << 1)	/* a thread may be in its functions for ever: never unmapped */
#define ST_PATCH_GOING		(1u << 2)	/* its transition was begun to disable it, not to enable it */
#define ST_PATCH_BEGUN		(1u << 3)	/* its transition has begun: not to be found means that it is over */
#define ST_PATCH_OUT		(1u << 4)	/* that it is over means that the patch is disabled */

struct st_ctl_patch {
	uint32_t state;
	uint32_t level;		/* 0 independent, 1 thread, 2 process */
	uint32_t funcs;
	uint32_t seq;		/* order of application */
	uint32_t flags;		/* ST_PATCH_* */
	uint32_t text, text_len;	/* its part of ctl->patch_text */
	uint32_t pad;
	uint64_t base, size;	/* where its object is mapped */
	char name[64];
	char object[64];	/* of the functions it replaces; "a,b" for several */
	char functions[512];
	char busy[200];		/* in transition: who was in the way when it was looked last */
};

#define ST_CALLED_PRE_PATCH	(1u << 0)	/* it has agreed, or there is none: the post-unpatch callback is owed */
#define ST_CALLED_POST_PATCH	(1u << 1)
#define ST_CALLED_PRE_UNPATCH	(1u << 2)	/* since the last post-patch callback */

/*
 * An object that a patch is for. In this and the next two, patch is the index of the patch + 1; 0: free. Names are offsets into
 * ctl->patch_text.
 */
struct st_ctl_patch_object {
	uint32_t patch;
	uint32_t name;
	uint32_t there;		/* it is mapped, and this part of the patch is in place, or will be with the transition */
	uint32_t called;	/* ST_CALLED_* */
	uint64_t base;		/* where the object is */
	uint64_t callback[4];	/* enum st_callback: addresses with Thumb bit, 0: none */
	uint32_t build_id;	/* in hexadecimal, offset as name; 0: any */
	uint32_t pad;
};

/* A function that a patch replaces, or a variable of the patch that is set to where something is (ST_TARGET). */
struct st_ctl_patch_func {
	uint32_t patch;
	uint32_t name;
	uint32_t object;	/* index in ctl->patch_object */
	uint32_t variable;	/* 1: `to` is a variable */
	uint32_t isa;		/* enum st_isa */
	uint32_t to_size;	/* bytes of the function at `to`; 0: in pieces, or not known: all of the patch */
	uint64_t addr, size, room;	/* where it is, without Thumb bit; addr 0: its object is not there */
	uint64_t to;		/* in the patch; a function with its Thumb bit */
	/* What `patch build` found in the object's file (struct st_bound). */
	uint32_t bound, bound_isa, bound_function, pad;
	uint64_t bound_addr, bound_size, bound_room;
	uint8_t checksum[32];
};

/* A state of a patch, or another patch that it depends on. */
struct st_ctl_patch_word {
	uint32_t patch;
	uint32_t name;		/* of what it depends on; 0: it is a state */
	uint32_t version;
	uint32_t pad;
	uint64_t id;
};

#endif
