/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The frames of patches, which the process's dynamic loader does not know: what describes them is found by the table that the patch's file
 * brings along, whose place the tool has noted (frames.h). General registers only, no libc, no lock: unwinders run anywhere.
 */
#include <agent/frames.h>
#include <agent/unwind.h>

struct st_patch_frames st_patch_frames[ST_PATCHES_MAX];

const struct st_patch_frames *st_patch_frames_at(unsigned long pc)
{
	for (unsigned int i = 0; i < ST_PATCHES_MAX && st_patch_frames[i].lo; i++) {
		const struct st_patch_frames *f = &st_patch_frames[i];

		if (pc < __atomic_load_n(&f->hi, __ATOMIC_ACQUIRE) && pc >= f->lo)
			return f;
	}
	return NULL;
}

#if defined(__arm__)
const void *st_patch_index(unsigned long pc, int *count)
{
	const struct st_patch_frames *f = st_patch_frames_at(pc);

	if (!f)
		return NULL;
	*count = (int)f->count;
	return (const void *)f->table;
}
#else
/* Of the search table: distances from the beginning of .eh_frame_hdr (DW_EH_PE_datarel | DW_EH_PE_sdata4). */
struct entry {
	int32_t start, description;
};

/* A description: length, distance of its CIE, start (relative to itself), and how long the code is. */
#define RANGE 12

const void *st_patch_description(unsigned long pc, unsigned long *func)
{
	const struct st_patch_frames *f = st_patch_frames_at(pc);
	unsigned long lo = 0, hi, base, start, description;
	const struct entry *table;

	if (!f)
		return NULL;
	base = f->table - ST_FRAMES_TABLE;
	table = (const struct entry *)f->table;
	for (hi = f->count; lo < hi;) {
		unsigned long mid = lo + (hi - lo) / 2;

		if (base + (unsigned long)(long)table[mid].start <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return NULL;
	start = base + (unsigned long)(long)table[lo - 1].start;
	description = base + (unsigned long)(long)table[lo - 1].description;
	if (pc - start >= *(const uint32_t *)(description + RANGE))
		return NULL;
	*func = start;
	return (const void *)description;
}
#endif
