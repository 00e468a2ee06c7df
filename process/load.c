// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mapping a shared object into the target from outside. The target's dynamic loader is not asked:
 * no lock that a stopped thread may hold is needed, and nothing of the object runs. The file is
 * somebody else's data: every offset in it is checked before it is followed.
 */
#include "process/arch/arch.h"
#include "process/symbols.h"
#include <elf.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* GCC's functions for atomic operations have one. */
#if defined(__aarch64__)
#define OUTLINE_ATOMICS ", compile it with -mno-outline-atomics"
#else
#define OUTLINE_ATOMICS
#endif

/* Larger objects than this are damage. */
#define SPAN_MAX (256ul << 20)
/* So are longer names of symbols, and version tables that take longer to go through for all symbols together. */
#define NAME_MAX_LEN 65536ul
#define VERSION_STEPS_MAX (1ul << 24)

struct table {
	unsigned long addr, size;
};

/* A shared object's file, and what its dynamic table says. */
struct image {
	const uint8_t *file;
	size_t len;
	ElfW(Ehdr) ehdr;
	ElfW(Phdr) load[ST_SEGMENTS_MAX];
	size_t nload;
	unsigned long lo, hi; /* pages that it covers, as linked */
	unsigned long relro, relro_end;
	struct table dynamic, symtab, strtab, rela, rel, jmprel, relr, versym, verneed;
	bool jmprel_is_rela;
	unsigned long steps; /* in the version table so far */
	bool throws, own_types; /* C++ exceptions; has some types that the process has not */
	char *err;
};

/* @len bytes of the file that lie at @addr when loaded, or NULL. */
static const uint8_t *at(const struct image *im, unsigned long addr, size_t len)
{
	size_t i;

	for (i = 0; i < im->nload; i++) {
		const ElfW(Phdr) *ph = &im->load[i];

		if (addr >= ph->p_vaddr && addr - ph->p_vaddr <= ph->p_filesz &&
		    len <= ph->p_filesz - (addr - ph->p_vaddr))
			return im->file + ph->p_offset + (addr - ph->p_vaddr);
	}
	return NULL;
}

static int damaged(const struct image *im, const char *what)
{
	return st_fail(im->err, -ENOEXEC, "the object to be loaded is damaged: %s", what);
}

static int refuse(const struct image *im, const char *why)
{
	return st_fail(im->err, -ENOTSUP, "the object can't be loaded: %s", why);
}

/* A name in the dynamic string table, or NULL. */
static const char *string(const struct image *im, unsigned long offset)
{
	unsigned long len;
	const uint8_t *s;

	if (offset >= im->strtab.size)
		return NULL;
	len = im->strtab.size - offset;
	s = at(im, im->strtab.addr + offset, len);
	return s && memchr(s, '\0', len < NAME_MAX_LEN ? len : NAME_MAX_LEN) ? (const char *)s : NULL;
}

static int read_program_headers(struct image *im)
{
	unsigned long end = 0;
	ElfW(Phdr) ph;
	size_t i;

	for (i = 0; i < im->ehdr.e_phnum; i++) {
		memcpy(&ph, im->file + im->ehdr.e_phoff + i * sizeof(ph), sizeof(ph));
		switch (ph.p_type) {
		case PT_TLS:
			return refuse(im, "it has thread-local variables");
		case PT_INTERP:
			return refuse(im, "it is a program, not a shared object");
		case PT_DYNAMIC:
			im->dynamic = (struct table){ph.p_vaddr, ph.p_filesz};
			continue;
		case PT_GNU_RELRO:
			im->relro = ph.p_vaddr;
			im->relro_end = ph.p_vaddr + ph.p_memsz;
			continue;
		case PT_LOAD:
			break;
		default:
			continue;
		}
		if (!ph.p_memsz)
			continue;
		if (im->nload == ST_SEGMENTS_MAX)
			return damaged(im, "it has too many segments");
		if (ph.p_filesz > ph.p_memsz || ph.p_offset > im->len ||
		    ph.p_filesz > im->len - ph.p_offset)
			return damaged(im, "a segment reaches beyond the end of the file");
		if (ph.p_vaddr > SPAN_MAX || ph.p_memsz > SPAN_MAX ||
		    (im->nload && ph.p_vaddr < end))
			return damaged(im, "its segments are too large, or overlap");
		if ((ph.p_flags & (PF_W | PF_X)) == (PF_W | PF_X))
			return refuse(im,
				      "it has a segment that is writable and executable at once");
		if (im->nload && st_page_down(ph.p_vaddr) < st_page_up(end))
			return refuse(im, "two of its segments share a page (it was linked for a "
					  "smaller page size)");
		end = ph.p_vaddr + ph.p_memsz;
		im->load[im->nload++] = ph;
	}
	if (!im->nload || !im->dynamic.addr)
		return damaged(im, "it has nothing to load, or no dynamic section");
	im->lo = st_page_down(im->load[0].p_vaddr);
	im->hi = st_page_up(end);
	return 0;
}

/* Code that is made read-only could not run any more. */
static bool relro_is_data(const struct image *im)
{
	size_t i;

	for (i = 0; i < im->nload; i++)
		if (im->load[i].p_flags & PF_W && im->relro >= im->load[i].p_vaddr &&
		    im->relro_end >= im->relro &&
		    im->relro_end <= st_page_up(im->load[i].p_vaddr + im->load[i].p_memsz))
			return true;
	return im->relro == im->relro_end;
}

static int read_dynamic_table(struct image *im)
{
	unsigned long syment = sizeof(ElfW(Sym)), verneednum = 0, i;
	const uint8_t *table = at(im, im->dynamic.addr, im->dynamic.size);
	ElfW(Dyn) dyn;

	if (!table)
		return damaged(im, "its dynamic section is not in the file");
	for (i = 0; (i + 1) * sizeof(dyn) <= im->dynamic.size; i++) {
		memcpy(&dyn, table + i * sizeof(dyn), sizeof(dyn));
		switch (dyn.d_tag) {
		case DT_NULL:
			i = im->dynamic.size;
			break;
		case DT_SYMTAB:
			im->symtab.addr = dyn.d_un.d_ptr;
			break;
		case DT_SYMENT:
			syment = dyn.d_un.d_val;
			break;
		case DT_STRTAB:
			im->strtab.addr = dyn.d_un.d_ptr;
			break;
		case DT_STRSZ:
			im->strtab.size = dyn.d_un.d_val;
			break;
		case DT_RELA:
			im->rela.addr = dyn.d_un.d_ptr;
			break;
		case DT_RELASZ:
			im->rela.size = dyn.d_un.d_val;
			break;
		case DT_REL:
			im->rel.addr = dyn.d_un.d_ptr;
			break;
		case DT_RELSZ:
			im->rel.size = dyn.d_un.d_val;
			break;
		case DT_JMPREL:
			im->jmprel.addr = dyn.d_un.d_ptr;
			break;
		case DT_PLTRELSZ:
			im->jmprel.size = dyn.d_un.d_val;
			break;
		case DT_PLTREL:
			im->jmprel_is_rela = dyn.d_un.d_val == DT_RELA;
			break;
		case 36 /* DT_RELR */:
			im->relr.addr = dyn.d_un.d_ptr;
			break;
		case 35 /* DT_RELRSZ */:
			im->relr.size = dyn.d_un.d_val;
			break;
		case DT_VERSYM:
			im->versym.addr = dyn.d_un.d_ptr;
			break;
		case DT_VERNEED:
			im->verneed.addr = dyn.d_un.d_ptr;
			break;
		case DT_VERNEEDNUM:
			verneednum = dyn.d_un.d_val;
			break;
		case DT_INIT:
		case DT_INIT_ARRAY:
			return refuse(im, "it has constructors; link it with -nostartfiles" OUTLINE_ATOMICS);
		case DT_FINI:
		case DT_FINI_ARRAY:
			return refuse(im, "it has destructors; link it with -nostartfiles");
		case DT_TEXTREL:
			return refuse(im, "its text needs relocation; compile it with -fPIC");
		case DT_FLAGS:
			if (dyn.d_un.d_val & DF_TEXTREL)
				return refuse(im,
					      "its text needs relocation; compile it with -fPIC");
			if (dyn.d_un.d_val & DF_STATIC_TLS)
				return refuse(im, "it uses thread-local variables");
			break;
		}
	}
	im->verneed.size = verneednum;
	if (syment != sizeof(ElfW(Sym)))
		return damaged(im, "its symbols have an unknown size");
	return 0;
}

static int open_image(struct image *im, const void *file, size_t len, char *err)
{
	int ret;

	*im = (struct image){.file = file, .len = len, .err = err};
	if (len < sizeof(im->ehdr))
		return damaged(im, "it is too short");
	memcpy(&im->ehdr, file, sizeof(im->ehdr));
	if (!st_elf_is_ours(&im->ehdr))
		return st_fail(err, -ENOEXEC,
			       "the object to be loaded is not an ELF file for this architecture");
	if (im->ehdr.e_type != ET_DYN)
		return st_fail(
			err, -ENOEXEC,
			"the object to be loaded is not a shared object (link it with -shared)");
	if (im->ehdr.e_phoff > len ||
	    im->ehdr.e_phnum * sizeof(ElfW(Phdr)) > len - im->ehdr.e_phoff)
		return damaged(im, "its program headers are not in the file");
	ret = read_program_headers(im);
	if (!ret && !relro_is_data(im))
		ret = damaged(im, "what it wants to be made read-only is not its data");
	return ret ? ret : read_dynamic_table(im);
}

/* The version that symbol @i is wanted in, or NULL. */
static const char *version_wanted(struct image *im, unsigned long i)
{
	unsigned long need_at = im->verneed.addr, aux_at, n, m;
	ElfW(Verneed) need;
	ElfW(Vernaux) aux;
	const uint8_t *p;
	ElfW(Half) v;

	p = im->versym.addr ? at(im, im->versym.addr + i * sizeof(v), sizeof(v)) : NULL;
	if (!p)
		return NULL;
	memcpy(&v, p, sizeof(v));
	for (n = 0; n < im->verneed.size; n++) {
		p = at(im, need_at, sizeof(need));
		if (!p || ++im->steps > VERSION_STEPS_MAX)
			return NULL;
		memcpy(&need, p, sizeof(need));
		aux_at = need_at + need.vn_aux;
		for (m = 0; m < need.vn_cnt; m++) {
			p = at(im, aux_at, sizeof(aux));
			if (!p || ++im->steps > VERSION_STEPS_MAX)
				return NULL;
			memcpy(&aux, p, sizeof(aux));
			if ((aux.vna_other & 0x7fff) == (v & 0x7fff))
				return string(im, aux.vna_name);
			aux_at += aux.vna_next;
			if (!aux.vna_next)
				break;
		}
		need_at += need.vn_next;
		if (!need.vn_next)
			break;
	}
	return NULL;
}

/*
 * Is it something of which C++ has one in a process, however many objects define it? What describes types, inline variables, static ones
 * of inline functions; and a destructor whose address is taken, which is what an exception refers to. The process's own is also still
 * there when the patch is not, where an exception may be. @called: it is for a
 * call (DT_JMPREL).
 */
static bool is_shared(const ElfW(Sym) *sym, const char *name, bool called)
{
	size_t len = strlen(name);

	if (ELF64_ST_BIND(sym->st_info) != STB_WEAK && ELF64_ST_BIND(sym->st_info) != STB_GNU_UNIQUE)
		return false;
	if (ELF64_ST_TYPE(sym->st_info) == STT_OBJECT)
		return true;
	return !called && len > 6 && !strncmp(name, "_ZN", 3) && name[len - 4] == 'D' && !strcmp(name + len - 2, "Ev");
}

/* The value of symbol @i. */
static int symbol_value(struct image *im, const struct st_load_opts *opts, unsigned long bias, unsigned long i, bool called,
			unsigned long *value)
{
	const uint8_t *p = at(im, im->symtab.addr + i * sizeof(ElfW(Sym)), sizeof(ElfW(Sym)));
	const char *name, *version;
	unsigned long other;
	ElfW(Sym) sym;
	int ret;

	*value = 0;
	if (!i)
		return 0;
	if (!p)
		return damaged(im, "a relocation names a symbol that is not in the file");
	memcpy(&sym, p, sizeof(sym));
	if (ELF64_ST_TYPE(sym.st_info) == STT_TLS)
		return refuse(im, "it uses thread-local variables");
	if (sym.st_shndx == SHN_ABS) {
		*value = sym.st_value;
		return 0;
	}
	if (sym.st_shndx != SHN_UNDEF) {
		/* Its own comes first, whatever the process has under that name: a patch replaces
		 * functions of the same name. */
		if (ELF64_ST_TYPE(sym.st_info) == STT_GNU_IFUNC)
			return refuse(im, "it has indirect functions (ifunc) of its own");
		*value = bias + sym.st_value;
		name = string(im, sym.st_name);
		if (!name || !opts->resolve || !is_shared(&sym, name, called))
			return 0;
		if (!opts->resolve(opts->ctx, name, NULL, &other))
			*value = other;
		else if (!strncmp(name, "_ZTI", 4) || ELF64_ST_TYPE(sym.st_info) != STT_OBJECT)
			im->own_types = true;
		return 0;
	}
	name = string(im, sym.st_name);
	if (!name)
		return damaged(im, "a symbol's name is not in the file");
	im->throws |= !strcmp(name, "__cxa_throw");
	version = version_wanted(im, i);
	if (im->steps > VERSION_STEPS_MAX)
		return damaged(im, "its table of versions has no end");
	ret = opts->resolve ? opts->resolve(opts->ctx, name, version, value) : -ENOENT;
	if (!ret)
		return 0;
	*value = 0;
	if (ret == -ENOENT && ELF64_ST_BIND(sym.st_info) == STB_WEAK)
		return 0;
	if (ret == -ENOENT)
		return st_fail(im->err, ret,
			       "the object can't be loaded: nothing in the process defines %s%s%s",
			       name, version ? "@" : "", version ? version : "");
	return st_fail(im->err, ret,
		       "the object can't be loaded: the address of %s can't be found: %s", name,
		       strerror(-ret));
}

/* Where in @mem a relocation writes: in a writable segment. */
static uint8_t *target(const struct image *im, uint8_t *mem, unsigned long addr, size_t len)
{
	size_t i;

	for (i = 0; i < im->nload; i++) {
		const ElfW(Phdr) *ph = &im->load[i];

		if (ph->p_flags & PF_W && addr >= ph->p_vaddr &&
		    addr - ph->p_vaddr <= ph->p_memsz && len <= ph->p_memsz - (addr - ph->p_vaddr))
			return mem + (addr - im->lo);
	}
	return NULL;
}

static unsigned long symbol_of(unsigned long info)
{
	return sizeof(long) == 8 ? info >> 16 >> 16 : info >> 8;
}

static unsigned int type_of(unsigned long info)
{
	return sizeof(long) == 8 ? info & 0xffffffff : info & 0xff;
}

static int relocate_one(struct image *im, const struct st_load_opts *opts, unsigned long bias,
			uint8_t *mem, const ElfW(Rela) * r, bool in_place, bool plt)
{
	unsigned long value = 0, addend = r->r_addend;
	const char *why = NULL;
	enum st_reloc kind = st_arch_reloc(type_of(r->r_info), &why);
	size_t width = kind == ST_RELOC_ABS32 ? 4 : sizeof(long);
	uint8_t *to;
	int ret;

	if (kind == ST_RELOC_NONE)
		return 0;
	if (kind == ST_RELOC_REFUSED)
		return st_fail(im->err, -ENOTSUP,
			       "the object can't be loaded: %s (relocation type %u)", why,
			       type_of(r->r_info));
	to = target(im, mem, r->r_offset, width);
	if (!to)
		return refuse(im, "a relocation changes something that is not writable data; "
				  "compile it with -fPIC");
	if (in_place && kind != ST_RELOC_SLOT)
		memcpy(&addend, to, width);
	if (kind == ST_RELOC_RELATIVE) {
		value = bias;
	} else {
		ret = symbol_value(im, opts, bias, symbol_of(r->r_info), plt, &value);
		if (ret)
			return ret;
	}
	value += addend;
	if (kind == ST_RELOC_ABS32 && value != (uint32_t)value)
		return refuse(im, "a 32-bit relocation does not reach; compile it with -fPIC");
	memcpy(to, &value, width);
	return 0;
}

static int relocate_table(struct image *im, const struct st_load_opts *opts,
			  unsigned long bias, uint8_t *mem, struct table table, bool rela, bool plt)
{
	size_t size = rela ? sizeof(ElfW(Rela)) : sizeof(ElfW(Rel)), i;
	const uint8_t *p;
	ElfW(Rela) r = {0};
	int ret;

	if (!table.size)
		return 0;
	p = at(im, table.addr, table.size);
	if (!p)
		return damaged(im, "its relocations are not in the file");
	for (i = 0; i + size <= table.size; i += size) {
		/* Rel is the first part of Rela. */
		memcpy(&r, p + i, size);
		ret = relocate_one(im, opts, bias, mem, &r, !rela, plt);
		if (ret)
			return ret;
	}
	return 0;
}

static int relocate_relative(const struct image *im, unsigned long bias, uint8_t *mem,
			     unsigned long addr)
{
	uint8_t *to = target(im, mem, addr, sizeof(long));
	unsigned long value;

	if (!to)
		return damaged(im, "a relocation lies outside of its data");
	memcpy(&value, to, sizeof(value));
	value += bias;
	memcpy(to, &value, sizeof(value));
	return 0;
}

/* DT_RELR: an address, then bitmaps of the words behind it (gABI). */
static int relocate_relr(const struct image *im, unsigned long bias, uint8_t *mem)
{
	const uint8_t *p = im->relr.size ? at(im, im->relr.addr, im->relr.size) : NULL;
	unsigned long entry, where = 0, bit;
	size_t i;
	int ret = 0;

	if (im->relr.size && !p)
		return damaged(im, "its relocations are not in the file");
	for (i = 0; i + sizeof(entry) <= im->relr.size && !ret; i += sizeof(entry)) {
		memcpy(&entry, p + i, sizeof(entry));
		if (!(entry & 1)) {
			ret = relocate_relative(im, bias, mem, entry);
			where = entry + sizeof(long);
			continue;
		}
		for (bit = 1; bit < 8 * sizeof(long) && !ret; bit++)
			if (entry >> bit & 1)
				ret = relocate_relative(im, bias, mem,
							where + (bit - 1) * sizeof(long));
		where += (8 * sizeof(long) - 1) * sizeof(long);
	}
	return ret;
}

static int relocate(struct image *im, const struct st_load_opts *opts, unsigned long bias,
		    uint8_t *mem)
{
	int ret = relocate_relr(im, bias, mem);

	if (!ret)
		ret = relocate_table(im, opts, bias, mem, im->rela, true, false);
	if (!ret)
		ret = relocate_table(im, opts, bias, mem, im->rel, false, false);
	return ret ? ret : relocate_table(im, opts, bias, mem, im->jmprel, im->jmprel_is_rela, true);
}

static int prot_of(const ElfW(Phdr) * ph)
{
	return (ph->p_flags & PF_R ? PROT_READ : 0) | (ph->p_flags & PF_W ? PROT_WRITE : 0) |
	       (ph->p_flags & PF_X ? PROT_EXEC : 0);
}

/* Is what the target has opened the file whose bytes we have? */
static bool same_bytes(struct st_remote *remote, int fd, const struct image *im)
{
	char path[ST_PROC_PATH];
	uint8_t buf[16384];
	size_t done = 0;
	ssize_t got = 0;
	int here;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", st_stop_proc(st_remote_stop(remote))->tid,
		 fd);
	here = open(path, O_RDONLY | O_CLOEXEC);
	if (here < 0)
		return false;
	while ((got = read(here, buf, sizeof(buf))) > 0) {
		if ((size_t)got > im->len - done || memcmp(buf, im->file + done, got))
			break;
		done += got;
	}
	close(here);
	return !got && done == im->len;
}

/* A descriptor in the target for @path, when it is the same file; -1: it must do without. */
static int open_named(struct st_remote *remote, const struct image *im, const char *path)
{
	int fd;
	size_t i;

	if (!path)
		return -1;
	for (i = 0; i < im->nload; i++)
		if ((im->load[i].p_vaddr - im->load[i].p_offset) & (st_page_size() - 1))
			return -1;
	fd = st_remote_open(remote, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return -1;
	if (same_bytes(remote, fd, im))
		return fd;
	st_remote_close(remote, fd);
	return -1;
}

/* One segment at its place: its pages, with their protection and bytes. */
static int map_segment(struct st_remote *remote, const struct image *im, const ElfW(Phdr) * ph,
		       unsigned long bias, const uint8_t *mem, int fd)
{
	unsigned long start = st_page_down(ph->p_vaddr),
		      end = st_page_up(ph->p_vaddr + ph->p_memsz);
	unsigned long file_end = st_page_up(ph->p_vaddr + ph->p_filesz), place = bias + start;
	struct st_proc *proc = st_stop_proc(st_remote_stop(remote));
	int ret;

	if (fd >= 0 && ph->p_filesz) {
		ret = st_remote_mmap(remote, &place, file_end - start, prot_of(ph),
				     MAP_PRIVATE | MAP_FIXED, fd, st_page_down(ph->p_offset));
		/* A file system mounted noexec. */
		if (ret)
			return ret;
		if (end > file_end)
			ret = st_remote_mprotect(remote, bias + file_end, end - file_end,
						 prot_of(ph));
		/* Text is the file's; data has been relocated. */
		if (ret || !(ph->p_flags & PF_W))
			return ret;
		return st_mem_write(proc, bias + start, mem + (start - im->lo), file_end - start);
	}
	/* First the protection, then the bytes: the kernel makes caches agree where it knows that
	 * code is written. */
	ret = st_remote_mprotect(remote, place, end - start, prot_of(ph));
	if (ret || !ph->p_filesz)
		return ret;
	return st_mem_write(proc, bias + ph->p_vaddr, mem + (ph->p_vaddr - im->lo), ph->p_filesz);
}

static int map_all(struct st_remote *remote, const struct image *im, unsigned long bias,
		   const uint8_t *mem, int fd)
{
	unsigned long end = im->lo;
	size_t i;
	int ret = 0;

	for (i = 0; i < im->nload && !ret; i++) {
		unsigned long start = st_page_down(im->load[i].p_vaddr);

		if (start > end)
			ret = st_remote_mprotect(remote, bias + end, start - end, PROT_NONE);
		end = st_page_up(im->load[i].p_vaddr + im->load[i].p_memsz);
		if (!ret)
			ret = map_segment(remote, im, &im->load[i], bias, mem, fd);
	}
	/* Whole pages only, as the dynamic loader does it. */
	if (!ret && st_page_down(im->relro_end) > st_page_down(im->relro) && im->relro >= im->lo &&
	    im->relro_end <= im->hi)
		ret = st_remote_mprotect(remote, bias + st_page_down(im->relro),
					 st_page_down(im->relro_end) - st_page_down(im->relro),
					 PROT_READ);
	return ret;
}

/* What the file holds, at its place in private memory, and relocated for a bias. */
static int make_memory(struct image *im, const struct st_load_opts *opts, unsigned long bias,
		       uint8_t **mem)
{
	size_t i;

	*mem = calloc(1, im->hi - im->lo);
	if (!*mem)
		return st_fail(im->err, -ENOMEM, "out of memory");
	for (i = 0; i < im->nload; i++)
		memcpy(*mem + (im->load[i].p_vaddr - im->lo), im->file + im->load[i].p_offset,
		       im->load[i].p_filesz);
	return relocate(im, opts, bias, *mem);
}

static int resolve_any(void *ctx, const char *name, const char *version, unsigned long *addr)
{
	(void)ctx;
	(void)name;
	(void)version;
	*addr = 0;
	return 0;
}

int st_load_check(const void *file, size_t len, char *err)
{
	struct st_load_opts opts = {.size = sizeof(opts), .resolve = resolve_any};
	uint8_t *mem = NULL;
	struct image im;
	int ret;

	ret = open_image(&im, file, len, err);
	if (!ret)
		ret = make_memory(&im, &opts, 0, &mem);
	free(mem);
	return ret;
}

/* Memory may be executable from the beginning, but not become so, in a process with PR_SET_MDWE. */
#define AREA_PROT (PROT_READ | PROT_EXEC)

int st_load(struct st_remote *remote, const void *file, size_t len, const struct st_load_opts *opts,
	    struct st_loaded *loaded, char *err)
{
	unsigned long base = 0, bias, span;
	uint8_t *mem = NULL;
	struct image im;
	int ret, fd = -1;

	ret = open_image(&im, file, len, err);
	if (ret)
		return ret;
	span = im.hi - im.lo;
	ret = st_remote_area(remote, span, opts->near, opts->near_end, opts->reach, AREA_PROT,
			     &base, err);
	if (ret)
		return ret;
	bias = base - im.lo;
	ret = make_memory(&im, opts, bias, &mem);
	if (ret)
		goto undo;
	fd = open_named(remote, &im, opts->path);
	ret = map_all(remote, &im, bias, mem, fd);
	if (ret && fd >= 0) {
		/* For instance a file system mounted noexec: once more without the file. */
		unsigned long again = base;

		st_remote_close(remote, fd);
		fd = -1;
		ret = st_remote_mmap(remote, &again, span, AREA_PROT,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		if (!ret)
			ret = map_all(remote, &im, bias, mem, fd);
	}
	if (ret) {
		st_fail(err, ret, "the object can't be mapped: %s%s", strerror(-ret),
			ret == -EACCES || ret == -EPERM
				? " (a security module forbids new executable memory)"
				: "");
		goto undo;
	}
	*loaded = (struct st_loaded){.bias = bias, .lo = base, .hi = base + span, .named = fd >= 0,
					 .keep = im.throws && im.own_types};
	if (fd >= 0)
		st_remote_close(remote, fd);
	free(mem);
	return 0;
undo:
	free(mem);
	st_remote_munmap(remote, base, span);
	return ret;
}

int st_unload(struct st_remote *remote, const struct st_loaded *loaded)
{
	return st_remote_munmap(remote, loaded->lo, loaded->hi - loaded->lo);
}

int st_image_function(const void *file, size_t len, unsigned long bias, const char *name, unsigned long *addr,
		      unsigned long *size)
{
	Elf_Scn *scn = NULL;
	int ret = -ENOENT;
	Elf *elf;

	elf_version(EV_CURRENT);
	/* libelf does not write to it when it is only read from. */
	elf = elf_memory((char *)file, len);
	if (!elf || elf_kind(elf) != ELF_K_ELF ||
	    gelf_getclass(elf) != (sizeof(long) == 8 ? ELFCLASS64 : ELFCLASS32)) {
		elf_end(elf);
		return -ENOEXEC;
	}
	while (ret && (scn = elf_nextscn(elf, scn))) {
		Elf_Data *data;
		GElf_Shdr shdr;
		GElf_Sym sym;
		int i;

		if (!gelf_getshdr(scn, &shdr) ||
		    (shdr.sh_type != SHT_SYMTAB && shdr.sh_type != SHT_DYNSYM))
			continue;
		data = elf_getdata(scn, NULL);
		for (i = 1; data && gelf_getsym(data, i, &sym); i++) {
			const char *is = elf_strptr(elf, shdr.sh_link, sym.st_name);

			if (!is || strcmp(is, name) || sym.st_shndx == SHN_UNDEF ||
			    GELF_ST_TYPE(sym.st_info) == STT_TLS)
				continue;
			*addr = sym.st_value + (sym.st_shndx == SHN_ABS ? 0 : bias);
			*size = sym.st_size;
			ret = 0;
			break;
		}
	}
	elf_end(elf);
	return ret;
}

int st_image_symbol(const void *file, size_t len, unsigned long bias, const char *name,
		    unsigned long *addr)
{
	unsigned long size;

	return st_image_function(file, len, bias, name, addr, &size);
}
