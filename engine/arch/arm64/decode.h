/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A64: which words are instructions. */
#ifndef ST_ARCH_ARM64_DECODE_H
#define ST_ARCH_ARM64_DECODE_H

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* Whether a program's code may have the word as an instruction. */
bool st_a64_allocated(uint32_t insn);

#pragma GCC visibility pop
#endif
