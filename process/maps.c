// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/PID/maps, and where in it there is room.
 */
#include "process/internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The kernel writes a newline of a name as \012 (fs/proc/task_mmu.c, seq_path()). */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (!strncmp(s, "\\012", 4)) {
			*to++ = '\n';
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

static bool parse_line(char *line, struct st_map *map)
{
	static const char gone[] = " (deleted)";
	unsigned long long start, end, offset, inode;
	char prot[5];
	size_t len;
	int at = 0;

	if (sscanf(line, "%llx-%llx %4s %llx %x:%x %llu %n", &start, &end, prot, &offset,
		   &map->major, &map->minor, &inode, &at) < 7 ||
	    start >= end)
		return false;
	map->start = start;
	map->end = end;
	map->offset = offset;
	map->inode = inode;
	map->prot = (prot[0] == 'r' ? PROT_READ : 0) | (prot[1] == 'w' ? PROT_WRITE : 0) |
		    (prot[2] == 'x' ? PROT_EXEC : 0);
	map->shared = prot[3] == 's';
	map->deleted = false;
	map->path = at ? line + at : "";
	if (at && inode) {
		len = strlen(line + at);
		if (len > sizeof(gone) - 1 && !strcmp(line + at + len - (sizeof(gone) - 1), gone)) {
			line[at + len - (sizeof(gone) - 1)] = '\0';
			map->deleted = true;
		}
		unescape(line + at);
	}
	return true;
}

int st_maps_read(struct st_proc *proc, struct st_maps **out, char *err)
{
	char path[ST_PROC_PATH], *text, *line, *next;
	struct st_maps *maps;
	size_t size = 0;

	*out = NULL;
	snprintf(path, sizeof(path), "/proc/%d/maps", proc->tid);
	text = st_slurp(path, NULL);
	if (!text)
		return st_fail(err, errno == ENOENT ? -ESRCH : -errno,
			       "the memory map of process %d can't be read: %s", proc->pid,
			       strerror(errno));
	/* The text stays, behind the structure: paths point into it. */
	for (line = text; *line; line++)
		size += *line == '\n';
	maps = malloc(sizeof(*maps) + (size + 1) * sizeof(struct st_map));
	if (!maps) {
		free(text);
		return st_fail(err, -ENOMEM, "out of memory");
	}
	maps->map = (struct st_map *)(maps + 1);
	maps->n = 0;
	for (line = text; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (!parse_line(line, &maps->map[maps->n]))
			continue;
		/* The file is not read in one go: what changed between may show twice. */
		if (maps->n && maps->map[maps->n].start < maps->map[maps->n - 1].end)
			continue;
		maps->n++;
	}
	/* Where st_maps_free() finds it: there is room for one entry more than there are lines. */
	maps->map[maps->n].path = text;
	if (!maps->n) {
		st_maps_free(maps);
		return st_fail(err, -ESRCH, "process %d (%s) has ended", proc->pid, proc->comm);
	}
	*out = maps;
	return 0;
}

void st_maps_free(struct st_maps *maps)
{
	if (!maps)
		return;
	free((char *)maps->map[maps->n].path);
	free(maps);
}

const struct st_map *st_maps_find(const struct st_maps *maps, unsigned long addr)
{
	size_t lo = 0, hi = maps->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (addr < maps->map[mid].start)
			hi = mid;
		else if (addr >= maps->map[mid].end)
			lo = mid + 1;
		else
			return &maps->map[mid];
	}
	return NULL;
}

/* Room that is left to those who grow: the heap upwards, the stack downwards. */
#define HEAP_ROOM (sizeof(long) == 8 ? 1ul << 30 : 64ul << 20)
#define STACK_ROOM (sizeof(long) == 8 ? 64ul << 20 : 16ul << 20)
/* Nothing goes below: null pointers with an offset shall go on to crash. */
#define LOWEST (1ul << 20)

/* The nearest place in [lo, hi), if it is better than what is known. */
static void consider(unsigned long lo, unsigned long hi, size_t size, unsigned long near,
		     unsigned long *best, unsigned long *distance)
{
	unsigned long at, far;

	if (hi < lo || hi - lo < size)
		return;
	at = hi - size < near ? hi - size : lo > near ? lo : st_page_down(near);
	if (at < lo)
		at = lo;
	far = at > near ? at - near : near - at;
	if (!*best || far < *distance) {
		*best = at;
		*distance = far;
	}
}

static unsigned long find_gap(const struct st_maps *maps, size_t size, unsigned long near,
			      unsigned long lo, unsigned long hi, bool polite)
{
	unsigned long best = 0, distance = 0, page = st_page_size(), heap = 0;
	size_t i;

	/* Before there is a heap: it will begin behind the program, which is what lies lowest. */
	for (i = 0; i < maps->n; i++)
		if (!strcmp(maps->map[i].path, "[heap]") || !i ||
		    maps->map[i].inode == maps->map[0].inode ||
		    (maps->map[i].start == heap && !maps->map[i].inode))
			heap = maps->map[i].end;
	for (i = 0; i <= maps->n; i++) {
		unsigned long from = i ? maps->map[i - 1].end : LOWEST;
		unsigned long to = i < maps->n ? maps->map[i].start : 0;

		/* Nothing above the highest mapping, which is the stack or the kernel's own. */
		if (i == maps->n || maps->map[i].start < LOWEST)
			continue;
		/* A page of distance: an overrun of a neighbour shall still crash. */
		if (to < from + 3 * page)
			continue;
		from += page;
		to -= page;
		if (polite && from > heap && from - heap <= page)
			from += HEAP_ROOM;
		if (polite && !strcmp(maps->map[i].path, "[stack]"))
			to -= STACK_ROOM;
		if (!strcmp(maps->map[i].path, "[vsyscall]"))
			continue;
		if (from < lo)
			from = lo;
		if (to > hi)
			to = hi;
		if (from < to)
			consider(st_page_up(from), st_page_down(to), size, near, &best, &distance);
	}
	return best;
}

int st_maps_gap(const struct st_maps *maps, size_t size, unsigned long near, unsigned long near_end,
		unsigned long reach, unsigned long *addr, char *err)
{
	unsigned long lo = LOWEST, hi = ~0ul, at;

	size = st_page_up(size);
	if (near_end < near)
		near_end = near;
	if (reach) {
		if (near_end > reach && near_end - reach > lo)
			lo = near_end - reach;
		if (near + reach > near)
			hi = near + reach;
	}
	if (!near) {
		/* Where the libraries are: below the highest file that is mapped. */
		size_t i = maps->n;

		while (i-- && !(maps->map[i].inode && maps->map[i].prot & PROT_EXEC))
			;
		near = i < maps->n ? maps->map[i].start : maps->map[0].start;
	}
	at = find_gap(maps, size, near, lo, hi, true);
	if (!at)
		at = find_gap(maps, size, near, lo, hi, false);
	if (!at)
		return st_fail(err, -ENOMEM,
			       "there is no room for %zu bytes within %#lx bytes of %#lx", size,
			       reach, near);
	*addr = at;
	return 0;
}
