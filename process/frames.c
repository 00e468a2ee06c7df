// SPDX-License-Identifier: GPL-2.0-only
/*
 * See frames.h. The format: Linux Standard Base Core, "Exception Frames"; DWARF 5, 6.4.1. The section may be damaged: every
 * read is checked against its end.
 */
#include "process/frames.h"
#include <string.h>

/* DW_EH_PE_*: how a pointer is written. */
#define PE_ABSPTR	0x00
#define PE_UDATA2	0x02
#define PE_UDATA4	0x03
#define PE_UDATA8	0x04
#define PE_SDATA2	0x0a
#define PE_SDATA4	0x0b
#define PE_SDATA8	0x0c
#define PE_FORMAT	0x0f
#define PE_PCREL	0x10
#define PE_OMIT		0xff

struct cursor {
	const uint8_t *base, *at, *end;
	unsigned long addr;	/* of base */
	bool bad;
};

static uint64_t take(struct cursor *c, size_t n)
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

static uint64_t take_leb(struct cursor *c)
{
	unsigned int shift = 0;
	uint64_t v = 0, byte;

	do {
		byte = take(c, 1);
		if (shift < 64)
			v |= (byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	return v;
}

/* A pointer, or (@relative is false) a length in a pointer's format. */
static unsigned long take_pointer(struct cursor *c, uint8_t encoding, bool relative)
{
	unsigned long at = c->addr + (unsigned long)(c->at - c->base), v;

	switch (encoding & PE_FORMAT) {
	case PE_ABSPTR:
		v = take(c, sizeof(long));
		break;
	case PE_UDATA2:
		v = take(c, 2);
		break;
	case PE_UDATA4:
		v = take(c, 4);
		break;
	case PE_SDATA2:
		v = (unsigned long)(int16_t)take(c, 2);
		break;
	case PE_SDATA4:
		v = (unsigned long)(int32_t)take(c, 4);
		break;
	case PE_UDATA8:
	case PE_SDATA8:
		v = take(c, 8);
		break;
	default:
		c->bad = true;
		return 0;
	}
	return relative && (encoding & ~PE_FORMAT) == PE_PCREL ? at + v : v;
}

/* What all descriptions that share a CIE have in common. */
struct common {
	bool usable;		/* else its descriptions are passed over */
	uint8_t encoding;	/* of their addresses */
};

static struct common read_common(struct cursor *c)
{
	struct common common = { .encoding = PE_ABSPTR };
	const uint8_t *augmentation;
	uint64_t version = take(c, 1);

	augmentation = c->at;
	while (take(c, 1))
		;
	if (c->bad || (version != 1 && version != 3 && version != 4))
		return common;
	if (version == 4)
		take(c, 2);
	take_leb(c);	/* alignment of code, of data */
	take_leb(c);
	if (version == 1)
		take(c, 1);
	else
		take_leb(c);
	if (*augmentation == 'z')
		take_leb(c);
	else if (*augmentation)
		return common;
	for (; *augmentation && !c->bad; augmentation++) {
		uint8_t encoding;

		switch (*augmentation) {
		case 'z':
		case 'B':	/* AArch64: signed with key B */
		case 'G':	/* AArch64: tagged stack */
			break;
		case 'L':
			take(c, 1);
			break;
		case 'P':
			encoding = (uint8_t)take(c, 1);
			take_pointer(c, encoding, false);
			break;
		case 'R':
			common.encoding = (uint8_t)take(c, 1);
			break;
		default:	/* 'S': a signal handler's trampoline; or not known */
			return common;
		}
	}
	common.usable = !c->bad &&
			((common.encoding & ~PE_FORMAT) == 0 || (common.encoding & ~PE_FORMAT) == PE_PCREL);
	return common;
}

bool st_frames_read(const uint8_t *data, size_t len, unsigned long addr,
		    bool (*each)(void *ctx, unsigned long start, unsigned long size), void *ctx)
{
	struct cursor c = { .base = data, .at = data, .end = data + len, .addr = addr };
	size_t known = len;	/* offset of the CIE that was read last */
	struct common common = { 0 };

	while (c.end - c.at >= 4) {
		uint64_t length = take(&c, 4), id;
		const uint8_t *next, *from = c.at;
		unsigned long start, size;
		struct cursor entry;
		size_t cie;

		if (!length)
			return true;
		/* 0xffffffff, a long entry: no section is that long. */
		if (length < 4 || length > (size_t)(c.end - c.at))
			return false;
		next = c.at + length;
		entry = c;
		entry.end = next;
		c.at = next;
		id = take(&entry, 4);
		if (!id)
			continue;
		if (id > (size_t)(from - data))
			return false;
		cie = (size_t)(from - data) - id;
		if (cie != known) {
			struct cursor at = { .base = data, .at = data + cie, .end = data + len, .addr = addr };
			uint64_t cie_length = take(&at, 4);

			if (at.bad || cie_length < 4 || cie_length > (size_t)(at.end - at.at))
				return false;
			at.end = at.at + cie_length;
			if (take(&at, 4))
				return false;
			common = read_common(&at);
			known = cie;
		}
		if (!common.usable)
			continue;
		start = take_pointer(&entry, common.encoding, true);
		size = take_pointer(&entry, common.encoding, false);
		if (entry.bad)
			return false;
		if (size && start + size > start && !each(ctx, start, size))
			return true;
	}
	return true;
}

unsigned long st_frames_find(const uint8_t *data, size_t len, unsigned long addr)
{
	struct cursor c = { .base = data, .at = data, .end = data + len, .addr = addr };
	uint8_t version = (uint8_t)take(&c, 1), encoding = (uint8_t)take(&c, 1);
	unsigned long at;

	take(&c, 2);
	if (c.bad || version != 1 || encoding == PE_OMIT)
		return 0;
	at = take_pointer(&c, encoding, true);
	return c.bad ? 0 : at;
}
