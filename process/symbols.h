/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between objects.c and symbols.c: what an object keeps to itself.
 */
#ifndef ST_PROCESS_SYMBOLS_H
#define ST_PROCESS_SYMBOLS_H

#include "process/internal.h"
#include <link.h>

struct chunk;

struct st_object_priv {
	struct st_objects *objs;
	/* As read from memory: they say whether a file is the one that is mapped. */
	ElfW(Ehdr) ehdr;
	ElfW(Phdr) * phdr;
	unsigned long inode;
	unsigned long map_start, map_end; /* its first mapping: names it in /proc/PID/map_files */
	char *soname; /* NULL: it has none */
	int fd;
	bool tried; /* to open the file */

	bool loaded; /* what follows is there */
	struct chunk *strings;
	struct st_symbol *sym; /* by name */
	size_t nsym, sym_size;
	struct st_func *func; /* by address */
	size_t nfunc;
	struct st_range *text;
	size_t ntext;
	struct st_range *plt;
	size_t nplt;
};

bool st_elf_is_ours(const ElfW(Ehdr) * ehdr);

/* Opens the object's file, if it can be found. Returns a descriptor that stays the object's, or -1.
 */
int st_object_open(struct st_object *obj);

void st_symbols_free(struct st_object_priv *priv);

/* Code of the PLT, for who wants to know whether an address is real code. */
bool st_object_is_plt(struct st_object *obj, unsigned long addr);

#endif
