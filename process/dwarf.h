/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading what DWARF is made of, byte by byte: every read is checked against the end. */
#ifndef ST_PROCESS_DWARF_H
#define ST_PROCESS_DWARF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct st_cursor {
	const uint8_t *base, *at, *end;
	unsigned long addr;	/* of base */
	bool bad;
};

static inline uint64_t st_take(struct st_cursor *c, size_t n)
{
	uint64_t v = 0;

	if ((size_t)(c->end - c->at) < n) {
		c->bad = true;
		c->at = c->end;
		return 0;
	}
	memcpy(&v, c->at, n);	/* little endian, as all that we work on */
	c->at += n;
	return v;
}

/* LEB128, unsigned or signed. */
static inline uint64_t st_take_number(struct st_cursor *c, bool sign)
{
	unsigned int shift = 0;
	uint64_t v = 0, byte;

	do {
		byte = st_take(c, 1);
		if (shift < 64)
			v |= (byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	if (sign && shift < 64 && byte & 0x40)
		v |= ~0ull << shift;
	return v;
}

static inline uint64_t st_take_leb(struct st_cursor *c)
{
	return st_take_number(c, false);
}

static inline int64_t st_take_sleb(struct st_cursor *c)
{
	return (int64_t)st_take_number(c, true);
}

#endif
