// SPDX-License-Identifier: GPL-2.0-only
/*
 * See frames.h. The format: Linux Standard Base Core, "Exception Frames"; DWARF 5, 6.4.1. The section may be damaged: every
 * read is checked against its end.
 */
#include "process/frames.h"
#include "process/dwarf.h"

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

/* A pointer, or (@relative is false) a length in a pointer's format. */
static unsigned long take_pointer(struct st_cursor *c, uint8_t encoding, bool relative)
{
	unsigned long at = c->addr + (unsigned long)(c->at - c->base), v;

	switch (encoding & PE_FORMAT) {
	case PE_ABSPTR:
		v = st_take(c, sizeof(long));
		break;
	case PE_UDATA2:
		v = st_take(c, 2);
		break;
	case PE_UDATA4:
		v = st_take(c, 4);
		break;
	case PE_SDATA2:
		v = (unsigned long)(int16_t)st_take(c, 2);
		break;
	case PE_SDATA4:
		v = (unsigned long)(int32_t)st_take(c, 4);
		break;
	case PE_UDATA8:
	case PE_SDATA8:
		v = st_take(c, 8);
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
	bool sized;		/* they have augmentation data */
	uint8_t encoding;	/* of their addresses */
	struct st_frame frame;
};

static struct common read_common(struct st_cursor *c, bool debug)
{
	struct common common = { .encoding = PE_ABSPTR };
	struct st_frame *f = &common.frame;
	const uint8_t *augmentation, *behind = NULL;
	uint64_t version = st_take(c, 1);

	augmentation = c->at;
	while (st_take(c, 1))
		;
	if (c->bad || (version != 1 && version != 3 && version != 4))
		return common;
	if (version == 4 && (st_take(c, 1) != sizeof(long) || st_take(c, 1)))
		return common;
	f->code_align = st_take_leb(c);
	f->data_align = st_take_sleb(c);
	f->ra = version == 1 ? st_take(c, 1) : st_take_leb(c);
	if (*augmentation == 'z') {
		uint64_t size = st_take_leb(c);

		common.sized = true;
		if (size > (size_t)(c->end - c->at))
			return common;
		behind = c->at + size;
	} else if (*augmentation) {
		return common;
	}
	for (; *augmentation && !c->bad; augmentation++) {
		uint8_t encoding;

		switch (*augmentation) {
		case 'z':
		case 'B':	/* AArch64: signed with key B */
		case 'G':	/* AArch64: tagged stack */
			break;
		case 'S':
			f->signal = true;
			break;
		case 'L':
			st_take(c, 1);
			break;
		case 'P':
			encoding = (uint8_t)st_take(c, 1);
			take_pointer(c, encoding, false);
			break;
		case 'R':
			common.encoding = (uint8_t)st_take(c, 1);
			break;
		default:	/* not known */
			return common;
		}
	}
	if (behind)
		c->at = behind;
	f->common = (size_t)(c->at - c->base);
	f->common_len = (size_t)(c->end - c->at);
	common.usable = !c->bad && !(debug && common.sized) &&
			((common.encoding & ~PE_FORMAT) == 0 || (common.encoding & ~PE_FORMAT) == PE_PCREL);
	return common;
}

bool st_frames_walk(const uint8_t *data, size_t len, unsigned long addr, bool debug,
		    bool (*each)(void *ctx, const struct st_frame *frame), void *ctx)
{
	struct st_cursor c = { .base = data, .at = data, .end = data + len, .addr = addr };
	size_t known = len;	/* offset of the CIE that was read last */
	struct common common = { 0 };

	while (c.end - c.at >= 4) {
		uint64_t length = st_take(&c, 4), id;
		const uint8_t *next, *from = c.at;
		struct st_cursor entry;
		struct st_frame frame;
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
		id = st_take(&entry, 4);
		if (id == (debug ? 0xffffffff : 0))
			continue;
		if (id > (debug ? len : (size_t)(from - data)))
			return false;
		cie = debug ? id : (size_t)(from - data) - id;
		if (cie != known) {
			struct st_cursor at = { .base = data, .at = data + cie, .end = data + len, .addr = addr };
			uint64_t cie_length = st_take(&at, 4);

			if (at.bad || cie_length < 4 || cie_length > (size_t)(at.end - at.at))
				return false;
			at.end = at.at + cie_length;
			if (st_take(&at, 4) != (debug ? 0xffffffff : 0))
				return false;
			common = read_common(&at, debug);
			known = cie;
		}
		if (!common.usable)
			continue;
		frame = common.frame;
		frame.start = take_pointer(&entry, common.encoding, true);
		frame.size = take_pointer(&entry, common.encoding, false);
		if (common.sized) {
			uint64_t size = st_take_leb(&entry);

			if (size > (size_t)(entry.end - entry.at))
				return false;
			entry.at += size;
		}
		if (entry.bad)
			return false;
		frame.program = (size_t)(entry.at - data);
		frame.program_len = (size_t)(entry.end - entry.at);
		if (frame.size && frame.start + frame.size > frame.start && !each(ctx, &frame))
			return true;
	}
	return true;
}

struct reader {
	bool (*each)(void *ctx, unsigned long start, unsigned long size);
	void *ctx;
};

/* Not a signal handler's trampoline, which the kernel enters in the middle of what is described. */
static bool give(void *ctx, const struct st_frame *frame)
{
	struct reader *r = ctx;

	return frame->signal || r->each(r->ctx, frame->start, frame->size);
}

bool st_frames_read(const uint8_t *data, size_t len, unsigned long addr,
		    bool (*each)(void *ctx, unsigned long start, unsigned long size), void *ctx)
{
	struct reader r = { each, ctx };

	return st_frames_walk(data, len, addr, false, give, &r);
}

unsigned long st_frames_find(const uint8_t *data, size_t len, unsigned long addr)
{
	struct st_cursor c = { .base = data, .at = data, .end = data + len, .addr = addr };
	uint8_t version = (uint8_t)st_take(&c, 1), encoding = (uint8_t)st_take(&c, 1);
	unsigned long at;

	st_take(&c, 2);
	if (c.bad || version != 1 || encoding == PE_OMIT)
		return 0;
	at = take_pointer(&c, encoding, true);
	return c.bad ? 0 : at;
}
