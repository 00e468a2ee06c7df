/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Unwinding one frame by the tables of the ARM exception handling ABI (EHABI32, 6 to 9). They are exact where a function calls, and at a
 * system call; not in a function's first and last instructions.
 */
#ifndef ST_PROCESS_EXIDX_H
#define ST_PROCESS_EXIDX_H

#include <process/cfi.h>

#define ST_EXIDX_CODE_MAX	1024	/* bytes of instructions that a frame can have */

/**
 * st_exidx_find() - the entry for an address
 * @index: pairs of words
 * @n: number of pairs
 * @addr: of the first
 * @entry: set to the address of the second word of the entry, whose value is *@word
 * Return: false: there is none.
 */
bool st_exidx_find(const uint32_t *index, size_t n, unsigned long addr, unsigned long pc, unsigned long *entry, uint32_t *word);

/* Reads the target's memory, its tables. */
typedef bool (*st_exidx_memory)(void *ctx, unsigned long addr, void *buf, size_t len);

/**
 * st_exidx_step() - from a frame to its caller
 * @entry, @word: from st_exidx_find()
 *
 * As st_cfi_step(). That a function can't be unwound says nothing about whether it has a caller: ST_CFI_UNKNOWN.
 */
enum st_cfi_result st_exidx_step(unsigned long entry, uint32_t word, struct st_cfi_regs *regs, unsigned long *cfa, unsigned long *ra_at,
				 st_exidx_memory memory, st_cfi_read read, void *ctx);

#endif
