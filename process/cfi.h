/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Unwinding one frame by its call frame description (DWARF 5, 6.4). Written for evidence: what is not fully understood is an error, never
 * a guess, and nothing is read but the registers and what @read gives.
 */
#ifndef ST_PROCESS_CFI_H
#define ST_PROCESS_CFI_H

#include <process/frames.h>

/* General registers by their DWARF numbers, and the place of sp and the return address among them. */
#if defined(__x86_64__)
#define ST_CFI_REGS	17
#define ST_CFI_SP	7
#elif defined(__aarch64__)
#define ST_CFI_REGS	32
#define ST_CFI_SP	31
#else
#define ST_CFI_REGS	16
#define ST_CFI_SP	13
#endif

/* Registers of a frame. pc: of the next instruction. @lost: a bit for each whose value is not known. */
struct st_cfi_regs {
	unsigned long pc, r[ST_CFI_REGS], lost;
};

/* A section, with its descriptions by address. */
struct st_cfi_table {
	const uint8_t *data;	/* the caller's */
	size_t len;
	struct st_frame *frame;
	size_t n, size;
};

/**
 * st_cfi_open() - read a section
 * @addr: its address, as code addresses will be asked for
 * Return: false: there is no memory, or nothing in it
 */
bool st_cfi_open(struct st_cfi_table *table, const uint8_t *data, size_t len, unsigned long addr, bool debug);
void st_cfi_close(struct st_cfi_table *table);

/* The description of the code at @pc, or NULL. */
const struct st_frame *st_cfi_find(const struct st_cfi_table *table, unsigned long pc);

/* What @read is for: a word of the stack. */
typedef bool (*st_cfi_read)(void *ctx, unsigned long addr, unsigned long *word);

enum st_cfi_result {
	ST_CFI_CALLER,		/* @regs are those of the caller, or of what was interrupted */
	ST_CFI_BOTTOM,		/* it says that there is no caller */
	ST_CFI_UNKNOWN,		/* it makes no sense, or needs what can't be read */
};

/**
 * st_cfi_step() - from a frame to its caller
 * @at: the place in the code, as the section has addresses: pc, or a byte less for a frame that has called
 * @regs: changed if ST_CFI_CALLER is returned; r[sp] is the caller's
 * @ra_at: where the return address was read, 0: it is in a register
 */
enum st_cfi_result st_cfi_step(const struct st_cfi_table *table, const struct st_frame *frame, unsigned long at, struct st_cfi_regs *regs,
			       unsigned long *cfa, unsigned long *ra_at, st_cfi_read read, void *ctx);

#endif
