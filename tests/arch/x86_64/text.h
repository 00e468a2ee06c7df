/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The executable sections and the functions of an ELF file, for the tests of the x86-64 decoder and
 * planner.
 */
#ifndef TESTS_X86_64_TEXT_H
#define TESTS_X86_64_TEXT_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text_section {
	const char *name;
	const uint8_t *code;
	unsigned long addr;
	size_t size;
};

struct text_function {
	const char *name;
	const uint8_t *code;
	unsigned long addr;
	size_t size;
	size_t room; /* up to the next function, or the section's end */
};

struct text {
	const uint8_t *map;
	size_t size;
	struct text_section *sections;
	size_t nr_sections;
	struct text_function
		*functions; /* FUNC and IFUNC with a size, by address, one for each address */
	size_t nr_functions;
};

/* Prints why to stderr and returns -1 if @path can't be read. */
int text_open(struct text *text, const char *path);
/* What the file's segments have at an address, @len bytes of it; NULL if it is not there. */
const uint8_t *text_at(const struct text *text, unsigned long addr, size_t len);
void text_close(struct text *text);

#endif
