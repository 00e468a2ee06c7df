/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which vector and floating-point state a function may touch, from its code: what has to be saved around a hook. */
#ifndef ST_X86_TOUCHES_H
#define ST_X86_TOUCHES_H

#include <stddef.h>
#include <stdint.h>
#include "decode.h"

/* Most bytes of a function that is looked at. */
#define ST_X86_TOUCHES_MAX 4096

/**
 * st_x86_touches() - what a function may change besides general registers, flags and memory
 * @code: all of it
 * @size: its length, by its symbol
 *
 * Sure only of functions that are wholly here: with no call, no indirect jump, no jump to outside. What it is not sure of
 * is ST_HOOKS_VECTOR.
 *
 * Return: 0 for nothing; ST_HOOKS_XMM_LOW for xmm0 to xmm7, low 128 bits, and MXCSR; ST_HOOKS_XMM | ST_HOOKS_XMM_LOW for
 * xmm0 to xmm15 and MXCSR; with ST_HOOKS_VECTOR, anything.
 */
unsigned int st_x86_touches(const uint8_t *code, size_t size);

/* The same of one instruction; of a branch or call, what it does itself. */
unsigned int st_x86_insn_touches(const struct st_x86_insn *insn, const uint8_t *code);

#endif
