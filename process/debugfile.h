/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What was stripped from a file, where it may still be had.
 */
#ifndef ST_PROCESS_DEBUGFILE_H
#define ST_PROCESS_DEBUGFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <libelf.h>

struct st_debugfile {
	Elf *elf;
	int fd;		/* -1: none */
	uint8_t *image;	/* NULL: none */
};

/**
 * st_debugfile_find() - the separate debug file of a build-id
 *
 * Looked for as /usr/lib/debug/.build-id/XX/YYYY.debug, or in the folders that SIDETRACK_DEBUG_PATH names in place of
 * /usr/lib/debug (separated by colons). The file must say that it has this build-id.
 *
 * Return: true with a file for st_debugfile_close().
 */
bool st_debugfile_find(const uint8_t *build_id, size_t len, struct st_debugfile *file);

/**
 * st_debugfile_unpack() - the contents of a .gnu_debugdata section: an ELF file, compressed by xz
 *
 * Return: NULL with a file for st_debugfile_close(), else why not.
 */
const char *st_debugfile_unpack(const void *data, size_t len, struct st_debugfile *file);

void st_debugfile_close(struct st_debugfile *file);

#endif
