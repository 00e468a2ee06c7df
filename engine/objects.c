/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See objects.h. The library that programs link has no dependency but libc, so this reads the section headers and symbol
 * tables itself; the command line tool uses libelf. Every offset that a file gives is checked against its size.
 *
 * A function's NOPs are found at the symbol, not by __patchable_function_entries: GCC 12 loses records of COMDAT groups and
 * under --gc-sections. The records are used for functions that have no symbol.
 */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <engine/objects.h>

struct image {
	const uint8_t *bytes;
	size_t size;
	const ElfW(Ehdr) *eh;
	const ElfW(Shdr) *sh;
	const char *shstr;
	size_t shstr_size;
};

static bool fits(const struct image *f, uint64_t off, uint64_t len)
{
	return off <= f->size && len <= f->size - off;
}

static bool open_image(const char *path, struct image *f, struct stat *file)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *map;

	memset(f, 0, sizeof(*f));
	if (fd < 0)
		return false;
	if (fstat(fd, &st) || (size_t)st.st_size < sizeof(ElfW(Ehdr))) {
		close(fd);
		return false;
	}
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return false;
	*file = st;
	f->bytes = map;
	f->size = (size_t)st.st_size;
	f->eh = map;
	if (memcmp(f->eh->e_ident, ELFMAG, SELFMAG) || f->eh->e_shentsize != sizeof(ElfW(Shdr)) ||
	    !fits(f, f->eh->e_shoff, (uint64_t)f->eh->e_shnum * sizeof(ElfW(Shdr))) ||
	    f->eh->e_shoff % sizeof(long) || f->eh->e_shstrndx >= f->eh->e_shnum)
		return true;	/* no sections: no symbols */
	f->sh = (const void *)(f->bytes + f->eh->e_shoff);
	if (fits(f, f->sh[f->eh->e_shstrndx].sh_offset, f->sh[f->eh->e_shstrndx].sh_size)) {
		f->shstr = (const char *)f->bytes + f->sh[f->eh->e_shstrndx].sh_offset;
		f->shstr_size = f->sh[f->eh->e_shstrndx].sh_size;
	}
	return true;
}

static void close_image(struct image *f)
{
	munmap((void *)f->bytes, f->size);
}

static const ElfW(Shdr) *section_of_type(const struct image *f, unsigned int type)
{
	for (unsigned int i = 0; f->sh && i < f->eh->e_shnum; i++)
		if (f->sh[i].sh_type == type && fits(f, f->sh[i].sh_offset, f->sh[i].sh_size))
			return &f->sh[i];
	return NULL;
}

static bool has_section(const struct image *f, const char *name)
{
	for (unsigned int i = 0; f->sh && f->shstr && i < f->eh->e_shnum; i++)
		if (f->sh[i].sh_name < f->shstr_size && !strcmp(f->shstr + f->sh[i].sh_name, name))
			return true;
	return false;
}

static const ElfW(Shdr) *section_at(const struct image *f, unsigned long addr)
{
	for (unsigned int i = 0; f->sh && i < f->eh->e_shnum; i++)
		if ((f->sh[i].sh_flags & SHF_EXECINSTR) && addr - f->sh[i].sh_addr < f->sh[i].sh_size)
			return &f->sh[i];
	return NULL;
}

static int by_address(const void *a, const void *b)
{
	const struct st_function *x = a, *y = b;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	return !x->name - !y->name;
}

static enum st_isa isa_of(unsigned long value)
{
#if defined(__arm__)
	return value & 1 ? ST_ISA_T32 : ST_ISA_A32;
#else
	(void)value;
	return ST_ISA_NATIVE;
#endif
}

/* A piece of a function that the compiler has put elsewhere: it is jumped to, not called. */
static bool is_part(const char *name)
{
	const char *cold = strstr(name, ".cold");

	return cold && (!cold[5] || cold[5] == '.');
}

/* Appends the functions of one symbol table. The names are offsets into o->strings, which gets the string table. */
static void add_symbols(struct st_object *o, const struct image *f, const ElfW(Shdr) *table)
{
	const ElfW(Shdr) *str;
	const ElfW(Sym) *sym;
	size_t n;

	if (!table || table->sh_link >= f->eh->e_shnum || table->sh_offset % sizeof(long))
		return;
	str = &f->sh[table->sh_link];
	if (!fits(f, str->sh_offset, str->sh_size) || !str->sh_size ||
	    f->bytes[str->sh_offset + str->sh_size - 1])
		return;
	n = table->sh_size / sizeof(*sym);
	sym = (const void *)(f->bytes + table->sh_offset);
	o->strings = malloc(str->sh_size);
	o->fn = malloc((n + 1) * sizeof(*o->fn));
	if (!o->strings || !o->fn)
		return;
	memcpy(o->strings, f->bytes + str->sh_offset, str->sh_size);
	for (size_t i = 0; i < n; i++) {
		unsigned int type = sym[i].st_info & 15;
		unsigned long value = sym[i].st_value;
		struct st_function *fn = &o->fn[o->count];

		if (type != STT_FUNC || sym[i].st_shndx == SHN_UNDEF || !sym[i].st_size ||
		    sym[i].st_name >= str->sh_size)
			continue;
		fn->isa = isa_of(value);
		if (fn->isa == ST_ISA_T32)
			value &= ~1ul;
		if (!section_at(f, value))
			continue;
		fn->addr = value;
		fn->entered = false;
		fn->size = sym[i].st_size;
		fn->name = o->strings + sym[i].st_name;
		fn->part = is_part(fn->name);
		o->count++;
	}
}

/* Functions with NOPs and no symbol. The section's contents are in memory, relocated. */
static void add_records(struct st_object *o, const struct image *f)
{
	struct st_function *more;

	for (unsigned int i = 0; f->sh && f->shstr && i < f->eh->e_shnum; i++) {
		const ElfW(Shdr) *sh = &f->sh[i];
		size_t n = sh->sh_size / sizeof(long);
		const unsigned long *rec = (const unsigned long *)(o->base + sh->sh_addr);

		if (sh->sh_name >= f->shstr_size || !(sh->sh_flags & SHF_ALLOC) ||
		    strcmp(f->shstr + sh->sh_name, "__patchable_function_entries") ||
		    o->base + sh->sh_addr < o->start || o->base + sh->sh_addr + sh->sh_size > o->end)
			continue;
		more = realloc(o->fn, (o->count + n + 1) * sizeof(*o->fn));
		if (!more)
			return;
		o->fn = more;
		for (size_t k = 0; k < n; k++) {
			unsigned long addr = rec[k] - o->base;

			if (section_at(f, addr))
				o->fn[o->count++] = (struct st_function){
					.addr = addr, .isa = isa_of(0), .name = NULL
				};
		}
	}
}

/* Plans for all functions, to see which of them other functions branch into. Costs some milliseconds an object. */
static void find_entered(struct st_object *o, const struct image *f)
{
	struct st_plan *plan = calloc(o->count + 1, sizeof(*plan));
	struct st_plan **sorted = calloc(o->count + 1, sizeof(*sorted));
	struct st_function **fn = calloc(o->count + 1, sizeof(*fn));
	size_t n = 0;

	for (size_t i = 0; plan && sorted && fn && i < o->count; i++) {
		const ElfW(Shdr) *sh = section_at(f, o->fn[i].addr);
		unsigned long off = o->fn[i].addr - sh->sh_addr;

		if (!fits(f, sh->sh_offset, sh->sh_size) ||
		    st_arch_plan(&plan[n], f->bytes + sh->sh_offset + off, o->fn[i].addr, o->fn[i].size,
				 o->fn[i].room, o->fn[i].isa))
			continue;
		fn[n] = &o->fn[i];
		sorted[n] = &plan[n];
		n++;
	}
	for (unsigned int i = 0; n && i < f->eh->e_shnum; i++)
		if ((f->sh[i].sh_flags & SHF_EXECINSTR) && f->sh[i].sh_type == SHT_PROGBITS &&
		    fits(f, f->sh[i].sh_offset, f->sh[i].sh_size))
			st_arch_sweep(sorted, n, f->bytes + f->sh[i].sh_offset, f->sh[i].sh_addr, f->sh[i].sh_size);
	for (size_t i = 0; i < n; i++)
		fn[i]->entered = plan[i].kind == ST_KIND_NO;
	free(plan);
	free(sorted);
	free(fn);
}

static void finish(struct st_object *o, const struct image *f)
{
	size_t out = 0;

	if (!o->count)
		return;
	qsort(o->fn, o->count, sizeof(*o->fn), by_address);
	/* A record inside a function that has a symbol tells nothing new. */
	for (size_t i = 0; i < o->count; i++) {
		const struct st_function *last = out ? &o->fn[out - 1] : NULL;

		if (!o->fn[i].name && last &&
		    (last->addr == o->fn[i].addr || o->fn[i].addr - last->addr < last->size))
			continue;
		/* A prefix in front of the next symbol (N,M): that symbol's own. */
		if (!o->fn[i].name && i + 1 < o->count && o->fn[i + 1].addr - o->fn[i].addr < 64)
			continue;
		o->fn[out++] = o->fn[i];
	}
	o->count = out;
	for (size_t i = 0; i < o->count; i++) {
		struct st_function *fn = &o->fn[i];
		const ElfW(Shdr) *sh = section_at(f, fn->addr);
		unsigned long end = sh->sh_addr + sh->sh_size;

		for (size_t k = i + 1; k < o->count; k++) {
			if (o->fn[k].addr == fn->addr)
				continue;
			if (o->fn[k].addr < end)
				end = o->fn[k].addr;
			break;
		}
		fn->room = end - fn->addr;
		if (!fn->name)
			fn->size = fn->room;
		if (fn->size > sh->sh_addr + sh->sh_size - fn->addr)
			fn->size = sh->sh_addr + sh->sh_size - fn->addr;
	}
	find_entered(o, f);
	for (size_t i = 0; i < o->count; i++) {
		o->fn[i].addr += o->base;
		o->fn[i].strict = o->strict;
	}
}

struct reading {
	struct st_object *old, *list;
	struct st_object **tail;
};

static int one_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct reading *r = arg;
	const char *path = info->dlpi_name && *info->dlpi_name ? info->dlpi_name : "/proc/self/exe";
	char link[4096];
	struct st_object *o, **known;
	struct stat st, named;
	const char *started;
	struct image f;
	ssize_t n;

	(void)size;
	if (!open_image(path, &f, &st))
		return 0;	/* the vDSO, or a file that is gone */
	for (known = &r->old; (o = *known); known = &o->next) {
		if (o->base != info->dlpi_addr || o->inode != st.st_ino || o->device != st.st_dev ||
		    o->changed != st.st_mtime)
			continue;
		*known = o->next;
		o->next = NULL;
		*r->tail = o;
		r->tail = &o->next;
		close_image(&f);
		return 0;
	}
	/* The program goes by the name it was started with, where that is another name of the same file. */
	started = (const char *)getauxval(AT_EXECFN);
	if (!*info->dlpi_name && started && !stat(started, &named) && named.st_ino == st.st_ino && named.st_dev == st.st_dev) {
		path = started;
	} else if (!*info->dlpi_name && (n = readlink(path, link, sizeof(link) - 1)) > 0) {
		link[n] = 0;
		path = link;
	}
	o = calloc(1, sizeof(*o));
	if (o) {
		const char *slash = strrchr(path, '/');

		o->name = strdup(slash ? slash + 1 : path);
		o->path = strdup(*info->dlpi_name ? info->dlpi_name : "/proc/self/exe");
		o->strict = has_section(&f, ".gcc_except_table") || has_section(&f, ".ARM.extab");
		o->base = info->dlpi_addr;
		o->inode = st.st_ino;
		o->device = st.st_dev;
		o->changed = st.st_mtime;
		o->start = ~0ul;
		for (int i = 0; i < info->dlpi_phnum; i++) {
			const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

			if (ph->p_type != PT_LOAD)
				continue;
			if (o->base + ph->p_vaddr < o->start)
				o->start = o->base + ph->p_vaddr;
			if (o->base + ph->p_vaddr + ph->p_memsz > o->end)
				o->end = o->base + ph->p_vaddr + ph->p_memsz;
		}
		add_symbols(o, &f, section_of_type(&f, SHT_SYMTAB) ?: section_of_type(&f, SHT_DYNSYM));
		add_records(o, &f);
		finish(o, &f);
		*r->tail = o;
		r->tail = &o->next;
	}
	close_image(&f);
	return 0;
}

struct st_object *st_objects_read(struct st_object *old)
{
	struct reading r = { .old = old, .tail = &r.list };

	dl_iterate_phdr(one_object, &r);
	st_objects_free(r.old);
	return r.list;
}

static void sweep_object(const struct st_object *o, struct st_plan *const *plans, size_t n)
{
	struct image f;
	struct stat st;

	if (!o->path || !open_image(o->path, &f, &st)) {
		for (size_t i = 0; i < n; i++) {
			plans[i]->kind = ST_KIND_NO;
			plans[i]->why = "the file of its object can't be read";
		}
		return;
	}
	if (st.st_ino != o->inode || st.st_dev != o->device || st.st_mtime != o->changed) {
		for (size_t i = 0; i < n; i++) {
			plans[i]->kind = ST_KIND_NO;
			plans[i]->why = "the file of its object has changed";
		}
	}
	for (unsigned int i = 0; f.sh && i < f.eh->e_shnum; i++)
		if ((f.sh[i].sh_flags & SHF_EXECINSTR) && f.sh[i].sh_type == SHT_PROGBITS &&
		    fits(&f, f.sh[i].sh_offset, f.sh[i].sh_size))
			st_arch_sweep(plans, n, f.bytes + f.sh[i].sh_offset, o->base + f.sh[i].sh_addr, f.sh[i].sh_size);
	close_image(&f);
}

void st_objects_sweep(const struct st_object *list, struct st_plan *const *plans, size_t n)
{
	for (; list; list = list->next) {
		size_t from = 0, to;

		while (from < n && plans[from]->addr < list->start)
			from++;
		for (to = from; to < n && plans[to]->addr < list->end; to++)
			;
		if (from < to)
			sweep_object(list, plans + from, to - from);
	}
}

void st_objects_free(struct st_object *list)
{
	while (list) {
		struct st_object *next = list->next;

		free(list->name);
		free(list->path);
		free(list->strings);
		free(list->fn);
		free(list);
		list = next;
	}
}

const struct st_function *st_objects_find(const struct st_object *list, unsigned long addr)
{
	for (; list; list = list->next) {
		size_t lo = 0, hi = list->count;

		if (addr < list->start || addr >= list->end)
			continue;
		while (lo < hi) {
			size_t mid = (lo + hi) / 2;

			if (list->fn[mid].addr <= addr)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo && addr - list->fn[lo - 1].addr < list->fn[lo - 1].size)
			return &list->fn[lo - 1];
	}
	return NULL;
}
