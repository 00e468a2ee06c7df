/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ELF objects of this process and their functions, read from their files. */
#ifndef ST_ENGINE_OBJECTS_H
#define ST_ENGINE_OBJECTS_H

#include <stddef.h>
#include <stdbool.h>
#include <engine/arch.h>

/**
 * struct st_function - a function of a mapped object
 * @addr: where it is (no Thumb bit)
 * @size: its length, by its symbol
 * @room: bytes up to the next function or the end of the section
 * @isa: of its code
 * @entered: a branch from another function leads into the bytes that hooking it would displace
 * @part: it is no function, but a part of one that the compiler put elsewhere (see ST_PLAN_PART)
 * @strict: its object has exception tables: control may come to any of its instructions (see ST_PLAN_STRICT)
 * @name: as in the symbol table, NULL if it only has a record in __patchable_function_entries
 */
struct st_function {
	unsigned long addr;
	size_t size;
	size_t room;
	enum st_isa isa;
	bool entered;
	bool strict;
	bool part;
	const char *name;
};

/**
 * struct st_objects - what is mapped now
 * @list: the objects; valid until st_objects_free()
 */
struct st_object {
	struct st_object *next;
	char *name;			/* file name without folder */
	char *path;			/* what it can be opened by */
	bool strict;			/* it has exception tables */
	unsigned long base, start, end;	/* load bias; first and last+1 mapped address */
	struct st_function *fn;		/* sorted by address */
	size_t count;
	char *strings;			/* what the names point into */
	unsigned long device, inode;	/* of its file */
	long changed;			/* when the file was written, seconds */
};

/*
 * Reads the symbols of every object that dl_iterate_phdr() shows. What `old` has is taken from it, and the rest of it freed.
 * NULL on lack of memory.
 */
struct st_object *st_objects_read(struct st_object *old) __attribute__((visibility("hidden")));
void st_objects_free(struct st_object *list) __attribute__((visibility("hidden")));

/*
 * st_arch_sweep() over the text of the objects that the plans lie in, as their files have it. Plans are sorted by address; those of
 * an object whose file is not there any more, or not the same, become ST_KIND_NO.
 */
void st_objects_sweep(const struct st_object *list, struct st_plan *const *plans, size_t n)
	__attribute__((visibility("hidden")));

/* The function at, or around, an address. */
const struct st_function *st_objects_find(const struct st_object *list, unsigned long addr)
	__attribute__((visibility("hidden")));

#endif
