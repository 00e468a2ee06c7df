// SPDX-License-Identifier: GPL-2.0-only
/*
 * May a stopped thread be in some code, or come back to it? Without unwind tables (32-bit ARM has
 * none for C) the answer is conservative: every register and every word of the live stack that
 * looks like an address in it counts. What can't be read is "unknown", never "clean".
 */
#include "process/arch/arch.h"
#include "process/live.h"
#include <stdlib.h>
#include <string.h>

#define SCAN_MAX (8ul << 20)
#define PART 65536

struct scan {
	struct st_thread *thread;
	const struct st_range *ranges;
	size_t n;
	unsigned long lo, hi;	/* all of them lie between */
	unsigned long pac;	/* bits of a code pointer that hold its signature */
	bool frames;		/* on the stack only a signal frame's pc counts */
	unsigned long stack_lo; /* where the mapping begins that is being looked at */
	struct st_hit *hit;
};

static bool looks_like(struct scan *s, unsigned long word, unsigned long where)
{
	unsigned long addr = word & ~s->pac;
	size_t i;

	if (addr < s->lo || addr >= s->hi)
		return false;

	for (i = 0; i < s->n; i++) {
		/* Thumb: bit 0 of a return address says the state. */
		if (addr < s->ranges[i].lo || addr >= s->ranges[i].hi)
			continue;
		if (s->hit)
			*s->hit = (struct st_hit){s->thread->tid, word, where, i};
		return true;
	}
	return false;
}

static bool in_signal_frame(const struct scan *s, unsigned long where)
{
	unsigned long word[5];

	if (st_mem_read(st_stop_proc(s->thread->stop), where - 2 * sizeof(long), word, sizeof(word)))
		return true; /* not known */
	return st_interrupted_pc(word, where, s->stack_lo);
}

/* 1: found, 0: not, or a negative errno. */
static int scan_memory(struct scan *s, unsigned long from, unsigned long to)
{
	unsigned long *words = malloc(PART);
	int ret = 0;

	if (!words)
		return -ENOMEM;
	while (from < to && !ret) {
		size_t len = to - from < PART ? to - from : PART, i;

		ret = st_mem_read(st_stop_proc(s->thread->stop), from, words, len);
		for (i = 0; !ret && i < len / sizeof(long); i++)
			ret = looks_like(s, words[i], from + i * sizeof(long)) &&
			      (!s->frames || in_signal_frame(s, from + i * sizeof(long)));
		from += len;
	}
	free(words);
	return ret;
}

/*
 * Not the red zone: a leaf's own data; nobody returns to an address that stands there, and
 * addresses of calls that have returned do.
 *
 * From @sp to the end of the stack: of its mapping, or the thread's own block (glibc and musl put
 * it on top of the stack; what lies behind may be another mapping that the kernel has merged).
 */
static int scan_stack(struct scan *s, const struct st_maps *maps, unsigned long sp,
		      unsigned long tp)
{
	const struct st_map *map = st_maps_find(maps, sp);
	unsigned long from = sp & ~(sizeof(long) - 1), to;
	int ret;

	/* A stack that has not a byte on it yet points behind its mapping. */
	if (!map)
		map = st_maps_find(maps, sp - 1);
	if (!map)
		return -EFAULT;
	s->stack_lo = map->start;
	if (from < map->start)
		from = map->start;
	to = tp > sp && tp < map->end ? tp & ~(sizeof(long) - 1) : map->end;
	if (to - from > SCAN_MAX) {
		/* Anything found is an answer all the same. */
		ret = scan_memory(s, from, from + SCAN_MAX);
		return ret ? ret : -E2BIG;
	}
	return scan_memory(s, from, to);
}

static int scan(struct st_thread *thread, const struct st_range *ranges, size_t n, bool frames,
		struct st_hit *hit)
{
	struct scan s = {.thread = thread,
			 .ranges = ranges,
			 .n = n,
			 .lo = ~0ul,
			 .pac = st_pac_mask(thread->tid),
			 .frames = frames,
			 .hit = hit};
	unsigned long word[sizeof(struct st_regs) / sizeof(long)], tp;
	struct st_proc *proc = st_stop_proc(thread->stop);
	struct st_regs raw, view;
	struct st_maps *maps;
	size_t i;
	int ret;

	for (i = 0; i < n; i++) {
		if (ranges[i].lo < s.lo)
			s.lo = ranges[i].lo;
		if (ranges[i].hi > s.hi)
			s.hi = ranges[i].hi;
	}
	ret = st_arch_get(thread->tid, &raw);
	if (ret)
		return ret;
	view = raw;
	st_arch_view(&view);
	/* Where it will go on, and where it would if its system call is not made again. */
	if (looks_like(&s, st_regs_pc(&view), 0))
		return 1;
	memcpy(word, &raw, sizeof(raw));
	for (i = 0; !frames && i < ARRAY_SIZE(word); i++)
		if (looks_like(&s, word[i], 0))
			return 1;
	ret = st_maps_read(proc, &maps, NULL);
	if (ret)
		return ret;
	tp = st_arch_thread_pointer(thread->tid);
	ret = scan_stack(&s, maps, st_regs_sp(&raw), tp);
	/* In a signal handler on another stack, what was interrupted is on the thread's own. */
	if (!ret) {
		const struct st_map *here = st_maps_find(maps, st_regs_sp(&raw)), *own = NULL;

		if (thread->tid == proc->pid) {
			for (i = 0; i < maps->n && !own; i++)
				if (!strcmp(maps->map[i].path, "[stack]"))
					own = &maps->map[i];
		} else if (tp) {
			own = st_maps_find(maps, tp);
		}
		/* Where on it is not known: all of it, from the lowest page that is there. */
		if (own && own != here && own->end - own->start <= SCAN_MAX + (1ul << 20))
			ret = scan_memory(&s, own->start, own->end);
		else if (own && own != here)
			ret = -E2BIG;
	}
	st_maps_free(maps);
	return ret;
}

int st_scan(struct st_thread *thread, const struct st_range *ranges, size_t n, struct st_hit *hit)
{
	return scan(thread, ranges, n, false, hit);
}

int st_scan_interrupted(struct st_thread *thread, const struct st_range *ranges, size_t n,
			struct st_hit *hit)
{
	return scan(thread, ranges, n, true, hit);
}
