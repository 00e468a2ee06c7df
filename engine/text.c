/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing code of this process while its threads may be executing it.
 *
 * x86-64, one instruction for one instruction (SDM vol. 3, 9.1.3 forbids plain cross-modification; the order is that of
 * the kernel's text_poke_bp_batch): breakpoint on every first byte, synchronise all cores; the other bytes, synchronise;
 * the first bytes, synchronise. A thread that hits a breakpoint between goes on with the moved instructions of its stub,
 * which do what the old bytes did.
 * AArch64 (Arm ARM B2.2.5) and ARM (DDI0406C A3.5.4): NOP and B may be swapped by one aligned store, plus cache
 * maintenance and, so that no core runs the old one for ever, membarrier.
 * Everything else, several instructions or ones not on the architecture's list: all threads are stopped and looked at.
 *
 * x86-64 writes through /proc/self/mem: text is never writable, and untouched pages stay shared. ARM wants a single
 * store from user space, so there the pages are writable for the length of a batch (docs/limits.md).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <engine/breakpoint.h>
#include <engine/edit.h>
#include <engine/park.h>
#include <engine/syscall.h>

#define TRIES 20
#define BREAKPOINT 0xcc

void st_text_sync(void)
{
	st_syscall2(__NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0);
}

int st_text_init(void)
{
	long ret;

	ret = st_syscall2(__NR_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0);
	if (!ret)
		ret = st_syscall2(__NR_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0);
	return (int)ret;
}

#if defined(__x86_64__)

static int mem_fd = -1;

/* part 0: breakpoints; 1: all but the first byte; 2: the first byte; 3: everything, nobody is looking; 4: undo 0 */
static void put(uint8_t *to, const struct st_change *e, int part)
{
	switch (part) {
	case 0:
		to[0] = BREAKPOINT;
		break;
	case 1:
		memcpy(to + 1, e->new + 1, e->len - 1u);
		break;
	case 2:
		to[0] = e->new[0];
		break;
	case 4:
		to[0] = e->old[0];
		break;
	default:
		memcpy(to, e->new, e->len);
	}
}

/* One write a run of pages at most, of the bytes from its first site to its last. */
static int write_part(const struct st_change *edit, size_t n, int part)
{
	static uint8_t image[16 * 4096];

	for (size_t i = 0; i < n;) {
		unsigned long start = edit[i].addr, stop = 0;
		size_t end = i;

		while (end < n && edit[end].addr + edit[end].len - start <= sizeof(image) &&
		       (end == i || edit[end].addr - stop < 512)) {
			stop = edit[end].addr + edit[end].len;
			end++;
		}
		memcpy(image, (void *)start, stop - start);
		for (size_t k = i; k < end; k++)
			put(image + (edit[k].addr - start), &edit[k], part);
		if (st_syscall4(__NR_pwrite64, mem_fd, image, stop - start, start) != (long)(stop - start))
			return -EPERM;
		i = end;
	}
	return 0;
}

static int write_live(const struct st_change *edit, size_t n)
{
	int ret = st_breakpoint_own();

	if (!ret)
		ret = st_breakpoint_batch(edit, n);
	if (ret)
		return ret;
	st_text_sync();
	for (int part = 0; part < 3 && !ret; part++) {
		ret = write_part(edit, n, part);
		if (ret && part == 0)
			write_part(edit, n, 4);
		st_text_sync();
	}
	/* Who hit a breakpoint may not have come to the handler yet; it finds the batch gone and the byte changed, and goes back. */
	st_breakpoint_batch_end();
	return ret;
}

static int write_stopped(const struct st_change *edit, size_t n)
{
	return write_part(edit, n, 3);
}

static int open_text(const struct st_change *edit, size_t n)
{
	(void)edit;
	(void)n;
	mem_fd = (int)st_syscall4(__NR_openat, AT_FDCWD, "/proc/self/mem", O_RDWR | O_CLOEXEC, 0);
	return mem_fd < 0 ? -EPERM : 0;
}

static void close_text(const struct st_change *edit, size_t n)
{
	(void)edit;
	(void)n;
	st_syscall1(__NR_close, mem_fd);
}

/* A thread that blocks SIGTRAP between this look and the end of the batch, and runs into a site of it, is not seen (docs/limits.md). */
static bool may_be_live(void)
{
	const char *why;

	return !st_breakpoint_allowed(&why);
}

#else

static unsigned long page_size;

static unsigned long page_of(unsigned long addr)
{
	return addr & ~(page_size - 1);
}

/* The edits whose bytes lie on pages without a gap between: [i, result). */
static size_t run_of_pages(const struct st_change *edit, size_t i, size_t n)
{
	unsigned long last = page_of(edit[i].addr + edit[i].len - 1);

	for (i++; i < n && page_of(edit[i].addr) <= last + page_size; i++)
		last = page_of(edit[i].addr + edit[i].len - 1);
	return i;
}

static int protect(const struct st_change *edit, size_t n, int prot)
{
	for (size_t i = 0, end; i < n; i = end) {
		unsigned long start;

		end = run_of_pages(edit, i, n);
		start = page_of(edit[i].addr);
		if (st_syscall3(__NR_mprotect, start,
				page_of(edit[end - 1].addr + edit[end - 1].len - 1) + page_size - start, prot))
			return -EPERM;
	}
	return 0;
}

static void write_one(const struct st_change *e)
{
	if (e->len == 4 && e->addr % 4 == 0) {
		uint32_t w;

		memcpy(&w, e->new, 4);
		__atomic_store_n((uint32_t *)e->addr, w, __ATOMIC_RELEASE);
	} else {
		memcpy((void *)e->addr, e->new, e->len);
	}
	__builtin___clear_cache((char *)e->addr, (char *)e->addr + e->len);
}

static int write_live(const struct st_change *edit, size_t n)
{
	for (size_t i = 0; i < n; i++)
		write_one(&edit[i]);
	st_text_sync();
	return 0;
}

static int write_stopped(const struct st_change *edit, size_t n)
{
	return write_live(edit, n);
}

static int open_text(const struct st_change *edit, size_t n)
{
	page_size = (unsigned long)sysconf(_SC_PAGESIZE);
	return protect(edit, n, PROT_READ | PROT_WRITE | PROT_EXEC);
}

static void close_text(const struct st_change *edit, size_t n)
{
	protect(edit, n, PROT_READ | PROT_EXEC);
}

static bool may_be_live(void)
{
	return true;
}

#endif

static int edit_stopped(const struct st_change *edit, size_t n)
{
	struct { long sec, nsec; } pause = { 0, 1000000 };

	for (int i = 0; i < TRIES; i++) {
		int ret = st_park();

		if (!ret) {
			bool clear = st_park_clear(edit, n);

			if (clear)
				ret = write_stopped(edit, n);
			st_unpark();
			if (clear)
				return ret;
		} else {
			i += TRIES / 4;		/* each takes long: a thread that blocks every signal will not come */
		}
		st_syscall2(__NR_nanosleep, &pause, 0);
	}
	return -EBUSY;
}

int st_text_edit(const struct st_change *edit, size_t n, const char **why)
{
	bool live = true;
	int ret;

	for (size_t i = 0; i < n; i++) {
		live = live && edit[i].live;
		if (memcmp((void *)edit[i].addr, edit[i].old, edit[i].len)) {
			*why = "the bytes there are not what they should be: something else has changed them";
			return -EBADF;
		}
	}
	ret = open_text(edit, n);
	if (ret) {
		*why = "the program's code can't be written";
		return ret;
	}
	ret = live && may_be_live() ? write_live(edit, n) : edit_stopped(edit, n);
	if (ret)
		*why = ret == -ENOMEM ? "out of memory" : ret == -EBUSY ? "a thread could not be stopped, or stays in the bytes that would change" :
				       "the program's code can't be written";
	close_text(edit, n);
	return ret;
}
