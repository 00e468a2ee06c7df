/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See island.h: chunks of a memfd, each mapped r-x near the code it serves and rw- somewhere else. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <engine/island.h>
#include <engine/unwind.h>

#define CHUNK (256ul << 10)
#define ALIGN 16

struct st_island {
	struct st_island *next;
	unsigned long at;
	uint8_t *write;
	size_t used;
};

static struct st_island *islands;

static unsigned long distance(unsigned long a, unsigned long b)
{
	return a > b ? a - b : b - a;
}

/* A free place for a chunk within reach, the nearest below or above, from /proc/self/maps. 0: none. */
static unsigned long find_gap(unsigned long near, unsigned long reach)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long best = 0, last = 0x10000, start, end;
	char line[512];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		/* Leave a page free on both sides; the gap below a stack is where it grows. */
		if (start > last && start - last >= CHUNK + 0x2000) {
			unsigned long low = last + 0x1000, high = start - CHUNK - 0x1000;
			unsigned long want = near < low ? low : near > high ? high : near;

			want &= ~0xffful;
			if (want >= low && distance(want, near) + CHUNK < reach &&
			    (!best || distance(want, near) < distance(best, near)))
				best = want;
		}
		if (end > last)
			last = end;
	}
	fclose(f);
	return best;
}

static struct st_island *new_island(unsigned long near, unsigned long reach)
{
	struct st_island *i = calloc(1, sizeof(*i));
	void *at = MAP_FAILED;
	int fd;

	if (!i)
		return NULL;
	fd = memfd_create("sidetrack-stubs", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, CHUNK))
		goto fail;
	i->write = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (i->write == MAP_FAILED)
		goto fail;
	/* Another thread may map something there first: look again. */
	for (int tries = 0; tries < 16 && at == MAP_FAILED; tries++) {
		unsigned long gap = find_gap(near, reach);

		if (!gap)
			break;
		at = mmap((void *)gap, CHUNK, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
		if (at != MAP_FAILED && (unsigned long)at != gap) {	/* a kernel or QEMU without the flag */
			munmap(at, CHUNK);
			at = MAP_FAILED;
		}
	}
	if (at == MAP_FAILED) {
		munmap(i->write, CHUNK);
		goto fail;
	}
	close(fd);
	i->at = (unsigned long)at;
	i->next = islands;
	islands = i;
#if defined(__arm__)
	st_unwind_head((uint32_t *)i->write, i->at, (unsigned long)&st_unwind_personality);
	i->used = ST_UNWIND_HEAD;
#else
	st_unwind_cover(i->at, i->at + CHUNK);
#endif
	return i;
fail:
	if (fd >= 0)
		close(fd);
	free(i);
	return NULL;
}

int st_island_alloc(unsigned long near, unsigned long reach, size_t size, void **write, unsigned long *at)
{
	struct st_island *i;

	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	for (i = islands; i; i = i->next)
		if (CHUNK - i->used >= size && distance(i->at, near) + CHUNK < reach)
			break;
	if (!i)
		i = new_island(near, reach);
	if (!i)
		return -ENOMEM;
	*write = i->write + i->used;
	*at = i->at + i->used;
	i->used += size;
	return 0;
}

void st_island_commit(void *write, const void *code, size_t size, size_t room)
{
	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	memcpy(write, code, size);
	for (struct st_island *i = islands; i; i = i->next) {
		unsigned long off = (unsigned long)((uint8_t *)write - i->write);

		if (off >= CHUNK)
			continue;
		if (off + room == i->used)
			i->used -= room - size;
#if !defined(__x86_64__)
		/* Both the address it was written by and the one it runs at: an instruction cache may go by the latter. */
		__builtin___clear_cache(write, (char *)write + size);
		__builtin___clear_cache((char *)i->at + off, (char *)i->at + off + size);
#endif
	}
}

void st_islands_after_fork(void)
{
	for (struct st_island *i = islands; i; i = i->next)
		i->used = CHUNK;
}

void st_islands_each(void (*fn)(unsigned long start, unsigned long end))
{
	for (struct st_island *i = islands; i; i = i->next)
		fn(i->at, i->at + CHUNK);
}

unsigned long st_island_at(unsigned long addr)
{
	for (struct st_island *i = islands; i; i = i->next)
		if (addr - i->at < CHUNK)
			return i->at;
	return 0;
}
