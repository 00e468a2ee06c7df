/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A64: what a function's words are to each other (flow.c). */
#ifndef ST_ARCH_ARM64_FLOW_H
#define ST_ARCH_ARM64_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

struct st_a64_body {
	const uint8_t *code;
	uint64_t addr;
	size_t words;
};

uint32_t st_a64_word(const struct st_a64_body *body, size_t i);

/* Why a word may be data; NULL if it is an instruction. */
const char *st_a64_doubt(const struct st_a64_body *body, size_t i);

/* Whether an exclusive access may be under way when control comes to a word. */
bool st_a64_exclusive(const struct st_a64_body *body, size_t i);

#pragma GCC visibility pop
#endif
