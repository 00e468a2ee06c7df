/* SPDX-License-Identifier: GPL-2.0-only */
/* What a patch file says it does: the notes that include/sidetrack/patch.h writes. */
#ifndef ST_PATCH_MANIFEST_H
#define ST_PATCH_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/arch.h"

#define ST_MANIFEST_MAX 256	/* functions, objects, targets ... in one patch */
#define ST_MANIFEST_NAME_MAX 1000	/* characters in a name */
#define ST_CHECKSUM_SIZE 32	/* BLAKE2b-256 */

/* The notes: their name (with its NUL) and type; where `sidetrack patch build` puts its own. */
#define ST_NOTE_NAME "Sidetrack"
#define ST_NOTE_TYPE 1
#define ST_NOTE_SECTION ".note.sidetrack"
#define ST_NOTE_BOUND ".note.sidetrack.bound"

/*
 * What `sidetrack patch build` found out about a symbol in the object's file, so that the one that runs may be stripped. Not there: the
 * symbol is looked up in the process. For the build alone that object[] names.
 */
struct st_bound {
	bool known;
	unsigned long addr;	/* in the file (st_value), no Thumb bit */
	unsigned long size;
	unsigned long room;	/* bytes from addr up to what comes behind the function; of data: size */
	enum st_isa isa;
	bool function;
	uint8_t checksum[ST_CHECKSUM_SIZE];	/* of a function's bytes in the file */
};

/*
 * One note: replace OBJECT FUNCTION REPLACEMENT, object OBJECT BUILD_ID, target OBJECT SYMBOL VARIABLE. Symbols may be FILE:NAME.
 * To a replace or target belongs, if the patch was built with the object: bound OBJECT SYMBOL ADDR SIZE ROOM ISA CHECKSUM.
 */
struct st_manifest_entry {
	const char *object, *symbol, *own;
	struct st_bound bound;
};

/* callbacks OBJECT PRE_PATCH POST_PATCH PRE_UNPATCH POST_UNPATCH: functions of the patch, NULL where there is none. */
enum st_callback { ST_PRE_PATCH, ST_POST_PATCH, ST_PRE_UNPATCH, ST_POST_UNPATCH, ST_CALLBACKS_MAX };
struct st_manifest_callbacks {
	const char *object, *function[ST_CALLBACKS_MAX];
};

/* state ID VERSION: as struct klp_state has it. */
struct st_manifest_state {
	unsigned long id;
	unsigned int version;
};

/* Too large for a stack. */
struct st_manifest {
	const char *name, *level;	/* level: "independent", "thread" or "process" */
	bool replace_all;	/* atomic replace: all other patches go */
	struct st_manifest_entry replace[ST_MANIFEST_MAX], object[ST_MANIFEST_MAX], target[ST_MANIFEST_MAX];
	struct st_manifest_callbacks callback[ST_MANIFEST_MAX];
	struct st_manifest_state state[ST_MANIFEST_MAX];
	bool bound;		/* something in it is */
	const char *depends[ST_MANIFEST_MAX];	/* patches that have to be there */
	size_t replaces, objects, targets, callbacks, states, dependses;
	char *text;	/* what the strings point into */
};

/**
 * st_manifest_read() - find and check the manifest in the bytes of a patch
 * @image, @len: the file; anything may be in it
 * @m: filled in; to be freed by st_manifest_free() if 0 is returned
 * @err: why not, ST_ERR_MAX bytes
 *
 * Return: 0, -ENOEXEC (not an ELF file, or damaged), -EINVAL (no or a wrong manifest), -ENOMEM.
 */
int st_manifest_read(const void *image, size_t len, struct st_manifest *m, char *err);
void st_manifest_free(struct st_manifest *m);

#endif
