/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What describes the frames of patches to the unwinders of a process. In the agent's own memory, written by the tool: a child that the
 * process has forked goes on with the patches that it has, whatever happens to those of its parent.
 */
#ifndef ST_AGENT_FRAMES_H
#define ST_AGENT_FRAMES_H

#include <agent/ctl.h>

/*
 * A patch. On ARM the table is an index table (EHABI32 5); elsewhere the search table of .eh_frame_hdr (LSB 10.6.2), ST_FRAMES_TABLE
 * behind that section's start. The tool has looked at all of it. A record that was in use is used again only when nobody reads it
 * any more (st_session_grace()).
 */
struct st_patch_frames {
	unsigned long lo, hi;	/* the patch's memory; hi is not part of it, and is 0 while this is not complete */
	unsigned long table, count;
};

#define ST_FRAMES_TABLE 12

/* The first that has no `lo` was never used, nor were those behind it. */
extern struct st_patch_frames st_patch_frames[ST_PATCHES_MAX] __attribute__((visibility("hidden")));

#endif
