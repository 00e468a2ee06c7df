/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which code the call frame descriptions of .eh_frame cover: where the functions of a stripped file begin and end.
 */
#ifndef ST_PROCESS_FRAMES_H
#define ST_PROCESS_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A frame description, with what its CIE says. Offsets are in the section's bytes. */
struct st_frame {
	unsigned long start, size;	/* of the code */
	bool signal;			/* it is a signal handler's trampoline */
	uint64_t code_align;
	int64_t data_align;
	uint64_t ra;			/* the register that stands for the return address */
	size_t common, common_len;	/* the CIE's instructions */
	size_t program, program_len;	/* its own */
};

/**
 * st_frames_walk() - walk the descriptions of an .eh_frame or .debug_frame section
 * @debug: it is .debug_frame
 *
 * As st_frames_read(), but that trampolines of signal handlers are given, too.
 */
bool st_frames_walk(const uint8_t *data, size_t len, unsigned long addr, bool debug,
		    bool (*each)(void *ctx, const struct st_frame *frame), void *ctx);

/**
 * st_frames_read() - walk the descriptions of an .eh_frame section
 * @data: its bytes; may be longer than it: a length of 0 ends it
 * @len: their number
 * @addr: the address of the first of them, in the file
 * @each: is given the address (in the file) and the length of each piece of code, in no order; returns false to end the walk
 * @ctx: for @each
 *
 * Trampolines of signal handlers are left out: the kernel enters them in the middle of what is described. So is what has an
 * encoding that no compiler for Linux emits, and a piece of no length.
 *
 * Return: true when all of it made sense, false when it is damaged (what came before was given to @each).
 */
bool st_frames_read(const uint8_t *data, size_t len, unsigned long addr,
		    bool (*each)(void *ctx, unsigned long start, unsigned long size), void *ctx);

/**
 * st_frames_find() - where .eh_frame is, as .eh_frame_hdr has it
 * @data: the bytes of .eh_frame_hdr
 * @len: their number
 * @addr: its address in the file
 *
 * Return: the address in the file, 0: it does not say.
 */
unsigned long st_frames_find(const uint8_t *data, size_t len, unsigned long addr);

#endif
