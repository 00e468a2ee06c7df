/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stacks that no thread runs on: those of coroutines. Nothing says where they are, so all private writable memory is looked at, with all
 * threads stopped, in programs that can have them.
 *
 * Not looked at is what a thread's own check has judged: its live stack; and the dead part of its own stack, below sp.
 */
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>
#include <process/evidence_internal.h>

/* ---- can there be any? ---- */

/* By which a program changes stacks: the C library's way, Boost's, libco's, Ruby's, QEMU's, State Threads', MariaDB's. */
static const char *const switches[] = {
	"makecontext", "swapcontext", "setcontext", "__start_context", "jump_fcontext", "make_fcontext", "ontop_fcontext", "co_switch",
	"co_create", "co_resume", "coroutine_transfer", "qemu_coroutine_switch", "_st_md_cxt_save", "my_context_spawn", "coro_transfer",
	"greenlet", "PyInit__greenlet", "swtch", "_swapcontext", "libtask_swapcontext",
};

/* The objects that were looked at, by their addresses. */
struct st_coroutines {
	unsigned long *seen;
	size_t n;
	bool yes;
};

static bool names_switch(const char *name)
{
	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++)
		if (!strcmp(name, switches[i]))
			return true;
	return false;
}

/* Also what is not known: an object without a file or section headers, a static program without symbols. */
static bool object_switches(struct st_object *obj)
{
	bool libc = false, found = false, tables = false, whole = false;
	int fd = st_object_fd(obj);
	Elf_Scn *scn = NULL;
	Elf *elf;

	if (obj->flags & (ST_OBJECT_VDSO | ST_OBJECT_INTERP))
		return false;
	elf_version(EV_CURRENT);
	elf = fd >= 0 ? elf_begin(fd, ELF_C_READ_MMAP, NULL) : NULL;
	while (elf && (scn = elf_nextscn(elf, scn))) {
		Elf_Data *data;
		GElf_Shdr sh;
		GElf_Sym sym;

		if (!gelf_getshdr(scn, &sh) || (sh.sh_type != SHT_DYNSYM && sh.sh_type != SHT_SYMTAB) || !sh.sh_entsize)
			continue;
		tables = true;
		whole |= sh.sh_type == SHT_SYMTAB;
		data = elf_getdata(scn, NULL);
		for (int i = 1; data && gelf_getsym(data, i, &sym); i++) {
			const char *name = elf_strptr(elf, sh.sh_link, sym.st_name);

			if (!name)
				continue;
			/* The C library has them for others. */
			libc |= sym.st_shndx != SHN_UNDEF && sh.sh_type == SHT_DYNSYM && !strcmp(name, "__libc_start_main");
			found |= names_switch(name);
		}
	}
	elf_end(elf);
	return tables && (obj->dynamic || whole) ? found && !libc : true;
}

bool st_evidence_coroutines(struct st_evidence *e)
{
	struct st_coroutines *c = e->coroutines;
	struct st_objects *objs;
	unsigned long *more;
	bool known = true;

	if (e->switched || (c && c->yes))
		return true;
	if (!c)
		c = e->coroutines = calloc(1, sizeof(*c));
	if (!c || st_objects_read(e->s->proc, &objs, NULL))
		return true;
	more = realloc(c->seen, (c->n + objs->n) * sizeof(*more));
	for (size_t i = 0; more && i < objs->n && !c->yes; i++) {
		size_t k;

		c->seen = more;
		for (k = 0; k < c->n && more[k] != objs->object[i].lo; k++)
			;
		if (k < c->n)
			continue;
		more[c->n++] = objs->object[i].lo;
		c->yes = object_switches(&objs->object[i]);
	}
	known = more;
	st_objects_free(objs);
	return c->yes || !known;
}

void st_coroutines_free(struct st_coroutines *c)
{
	if (c)
		free(c->seen);
	free(c);
}

/* ---- looking for them ---- */

#define CHUNK	(1ul << 20)
#define MARGIN	(2 * ST_FRAME_WORDS * sizeof(long))	/* words that say what another is: seen together in one of two chunks */
#define MAX	(64ull << 30)		/* of mapped memory, most of which has no page */

struct search {
	struct st_evidence *e;
	struct st_live frame;		/* of no thread: the bits that sign addresses */
	struct st_range *judged;
	size_t njudged;
	int pagemap;
	unsigned long *word;
	struct st_found *found;
};

static bool has_judged(const struct search *s, unsigned long addr)
{
	for (size_t i = 0; i < s->njudged; i++)
		if (addr >= s->judged[i].lo && addr < s->judged[i].hi)
			return true;
	return false;
}

static int add_judged(struct search *s, unsigned long lo, unsigned long hi)
{
	struct st_range *more = realloc(s->judged, (s->njudged + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	s->judged = more;
	more[s->njudged++] = (struct st_range){ lo, hi };
	return 0;
}

/* A stack of its own: the whole of it. Elsewhere only what has been unwound: what lies behind may be anybody's. */
static int judge_thread(struct search *s, struct st_thread *t, const struct st_maps *maps)
{
	struct st_live live;
	int ret = st_live_read(t, s->e->stack_end, &live);

	if (ret)
		return ret;
	s->frame.pac = live.pac;
	for (size_t i = 0; !ret && !live.foreign && i < live.n; i++) {
		const struct st_piece *p = &live.piece[i];
		const struct st_map *map = st_maps_find(maps, p->hi - 1);

		if (map && (p->hi == s->e->stack_end || p->hi == (live.tp & -sizeof(long))))
			ret = add_judged(s, map->start, p->hi);
	}
	if (!ret && live.foreign) {
		unsigned long bottom = st_copy_bottom(s->e, &live);

		if (bottom > st_regs_sp(&live.raw))
			ret = add_judged(s, st_regs_sp(&live.raw), bottom);
	}
	st_live_free(&live);
	return ret;
}

static int read_chunk(struct search *s, unsigned long from, size_t len)
{
	struct iovec to = { s->word, len }, at = { (void *)from, len };

	return process_vm_readv(s->e->s->proc->tid, &to, 1, &at, 1, 0) == (ssize_t)len ? 0 :
	       st_mem_read(s->e->s->proc, from, s->word, len);
}

/* What was judged is wiped out of the copy: nothing is found there. 1: found. */
static int look_at(struct search *s, unsigned long from, unsigned long to)
{
	while (from < to) {
		size_t len = to - from < CHUNK ? to - from : CHUNK;
		struct st_piece piece = { from, from + len, s->word };
		int ret = read_chunk(s, from, len);

		if (ret)
			return ret;
		for (size_t i = 0; i < s->njudged; i++) {
			unsigned long lo = s->judged[i].lo > from ? s->judged[i].lo : from;
			unsigned long hi = s->judged[i].hi < from + len ? s->judged[i].hi : from + len;

			if (lo < hi)
				memset((char *)s->word + (lo - from), 0, hi - lo);
		}
		if (st_evidence_piece(s->e, &s->frame, &piece, s->found))
			return 1;
		if (len < CHUNK)
			break;
		from += len - MARGIN;
	}
	return 0;
}

/* Only pages that the process has: a read of the others would give it some. */
static int look_at_map(struct search *s, unsigned long from, unsigned long end)
{
	unsigned long page = st_page_size(), begin = 0;
	uint64_t there[4096];
	int ret = 0;

	for (; from < end && !ret; from += sizeof(there) / sizeof(there[0]) * page) {
		size_t n = (end - from) / page;
		ssize_t got;

		n = n < sizeof(there) / sizeof(there[0]) ? n : sizeof(there) / sizeof(there[0]);
		got = pread64(s->pagemap, there, n * sizeof(there[0]), from / page * sizeof(there[0]));
		if (got != (ssize_t)(n * sizeof(there[0])))
			return -EFAULT;
		for (size_t i = 0; i < n && !ret; i++) {
			bool has = there[i] >> 62;	/* Documentation/admin-guide/mm/pagemap.rst: present, or swapped */

			if (has && !begin)
				begin = from + i * page;
			if (!has && begin) {
				ret = look_at(s, begin, from + i * page);
				begin = 0;
			}
		}
	}
	return !ret && begin ? look_at(s, begin, end) : ret;
}

/* A frame of a coroutine that a probed function was called from. */
static bool look_at_due(struct search *s, const struct st_maps *maps)
{
	struct st_evidence *e = s->e;

	for (size_t i = 0; i < e->ndue; i++) {
		const struct st_due *d = &e->due[i], *own = st_due_find(e->due, e->ndue, d->key, d->after);
		unsigned long addr = own ? own->addr & ~s->frame.pac : 0, word = d->after;
		int old = own ? st_old_at(e, addr, false) : -1;

		if (old < 0 || has_judged(s, d->key) || !st_maps_find(maps, d->key - 1))
			continue;
#if defined(__x86_64__)
		if (st_mem_read(e->s->proc, d->key, &word, sizeof(word)))
			continue;
#endif
		if (word != d->after)
			continue;
		*s->found = (struct st_found){ ST_BUSY_PARKED, old, addr, d->key };
		return true;
	}
	return false;
}

static int search(struct search *s, struct st_stop *stop)
{
	char path[ST_PROC_PATH];
	struct st_maps *maps;
	unsigned long long size = 0;
	int ret = st_maps_read(s->e->s->proc, &maps, NULL);

	if (ret)
		return ret;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)s->e->s->proc->tid);
	s->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	s->word = malloc(CHUNK);
	ret = !s->word ? -ENOMEM : s->pagemap < 0 ? -errno : st_due_read(s->e);
	for (size_t i = 0; !ret && i < st_stop_count(stop); i++)
		ret = judge_thread(s, st_stop_thread(stop, i), maps);
	for (size_t i = 0; !ret && i < maps->n; i++) {
		const struct st_map *map = &maps->map[i];

		if (map->shared || (map->prot & (PROT_READ | PROT_WRITE)) != (PROT_READ | PROT_WRITE) ||
		    st_evidence_ours(s->e, map->start))
			continue;
		size += map->end - map->start;
		ret = size > MAX ? -E2BIG : look_at_map(s, map->start, map->end);
	}
	if (!ret)
		ret = look_at_due(s, maps);
	if (s->pagemap >= 0)
		close(s->pagemap);
	free(s->word);
	free(s->judged);
	st_maps_free(maps);
	return ret;
}

int st_evidence_parked(struct st_evidence *e, struct st_stop *stop, struct st_busy *why)
{
	struct st_found found = { .old = -1 };
	struct search s = { .e = e, .found = &found };
	struct st_busy unwanted;
	int ret;

	why = why ?: &unwanted;
	if (!st_evidence_coroutines(e))
		return 0;
	ret = st_stop_is_whole(stop) ? search(&s, stop) : -EINVAL;
	if (ret)
		st_evidence_say_parked(e, ret, &found, why);
	return ret;
}
