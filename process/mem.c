// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading and writing the target's memory through /proc/PID/mem, which (FOLL_FORCE) writes text
 * without anybody ever making it writable.
 */
#include "process/internal.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int code_of(const struct st_proc *proc, ssize_t got)
{
	if (got < 0 && errno != EIO)
		return -errno;
	/* EIO: not mapped. 0: no such memory any more. */
	return got < 0 ? -EFAULT : st_proc_alive(proc) ? -EFAULT : -ESRCH;
}

ssize_t st_mem_read_some(struct st_proc *proc, unsigned long addr, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t got = pread64(proc->mem, (char *)buf + done, len - done, addr + done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return done ? (ssize_t)done : code_of(proc, got);
		done += got;
	}
	return done;
}

int st_mem_read(struct st_proc *proc, unsigned long addr, void *buf, size_t len)
{
	ssize_t got = st_mem_read_some(proc, addr, buf, len);

	if (got < 0)
		return got;
	return (size_t)got == len ? 0 : -EFAULT;
}

ssize_t st_mem_read_string(struct st_proc *proc, unsigned long addr, char *buf, size_t size)
{
	size_t done = 0;

	while (done < size) {
		/* Up to the end of the page: the next may not be mapped. */
		size_t part = st_page_size() - ((addr + done) & (st_page_size() - 1));
		ssize_t got;
		char *end;

		if (part > size - done)
			part = size - done;
		got = st_mem_read_some(proc, addr + done, buf + done, part);
		if (got < 0)
			return got;
		end = memchr(buf + done, '\0', got);
		if (end)
			return end - buf;
		done += got;
		if ((size_t)got < part)
			return -EFAULT;
	}
	return -ENAMETOOLONG;
}

int st_mem_write(struct st_proc *proc, unsigned long addr, const void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t put =
			pwrite64(proc->mem, (const char *)buf + done, len - done, addr + done);
		char byte;

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0) {
			int code = code_of(proc, put);

			/* Readable but not writable: a shared mapping of a file that was opened for
			 * reading. */
			if (code == -EFAULT && !st_mem_read(proc, addr + done, &byte, 1))
				return -EIO;
			return code;
		}
		done += put;
	}
	return 0;
}

static int by_address(const void *a, const void *b)
{
	const struct st_edit *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* What one write covers: a part of one page, as it was. */
struct span {
	unsigned long addr;
	size_t len;
	size_t old; /* offset of the old bytes */
};

int st_mem_edit(struct st_proc *proc, struct st_edit *edits, size_t n, char *err)
{
	size_t page = st_page_size(), nspans = 0, used = 0, size = 0, i = 0, from = 0;
	struct span *spans = NULL;
	uint8_t *old = NULL, *new;
	int ret = -ENOMEM;

	if (!n)
		return 0;
	qsort(edits, n, sizeof(*edits), by_address);
	for (i = 0; i + 1 < n; i++)
		if (edits[i].addr + edits[i].len > edits[i + 1].addr)
			return st_fail(err, -EINVAL, "two changes overlap at %#lx",
				       edits[i + 1].addr);
	new = malloc(page);
	/* An edit lies in at most two pages. */
	spans = malloc(2 * n * sizeof(*spans));
	if (!new || !spans)
		goto out;

	/* @at goes through the bytes to be changed, page by page. */
	for (i = 0; i < n;) {
		unsigned long at = edits[i].addr + from, end = st_page_down(at) + page, stop = at;
		struct span *span = &spans[nspans];
		size_t j, first = from;

		for (j = i; j < n && edits[j].addr < end; j++) {
			stop = edits[j].addr + edits[j].len;
			if (stop > end)
				stop = end;
		}
		*span = (struct span){at, stop - at, used};
		if (used + page > size) {
			uint8_t *more = realloc(old, size = size * 2 + 16 * page);

			if (!more) {
				ret = -ENOMEM;
				goto undo;
			}
			old = more;
		}
		ret = st_mem_read(proc, at, old + used, span->len);
		if (ret)
			goto undo;
		memcpy(new, old + used, span->len);
		used += span->len;
		for (; i < n && edits[i].addr < end; i++) {
			size_t part = edits[i].len - first;

			if (edits[i].addr + edits[i].len > end)
				part = end - edits[i].addr - first;
			memcpy(new + (edits[i].addr + first - at), edits[i].bytes + first, part);
			first += part;
			if (first < edits[i].len)
				break;
			first = 0;
		}
		from = first;
		nspans++;
		ret = st_mem_write(proc, at, new, span->len);
		if (ret)
			goto undo;
	}
	ret = 0;
	goto out;
undo:
	st_fail(err, ret, "the memory at %#lx can't be written: %s",
		nspans ? spans[nspans - 1].addr : edits[0].addr, strerror(-ret));
	while (nspans--)
		st_mem_write(proc, spans[nspans].addr, old + spans[nspans].old, spans[nspans].len);
out:
	free(new);
	free(spans);
	free(old);
	return ret;
}
