/* SPDX-License-Identifier: GPL-2.0-only */
/* See bind.h. The files may be damaged; libelf checks what it hands out, the rest is checked here. */
#include <elf.h>
#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <link.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <patch/bind.h>
#include <patch/files.h>
#include <patch/internal.h>
#include <patch/sign.h>
#include <patch/verify.h>
#include <process/debugfile.h>

/* A file that was opened. */
struct source {
	const char *name, *path;
	Elf *elf;
	int fd;
	struct st_debugfile debug;	/* found by its build-id; elf is its elf */
	const uint8_t *build_id;
	size_t build_id_len;
	bool symtab;
};

struct binder {
	struct source source[2 * ST_BIND_FILES_MAX];
	size_t n;
	const struct st_manifest *m;
	unsigned int machine;		/* of the patch */
	char *note;			/* the section */
	size_t note_len, note_size;
	int symbols;
	char *err;
};

/* A symbol of the name that is looked for. */
struct candidate {
	unsigned long addr, size;
	unsigned char type, bind;
	bool hidden;			/* an old version */
	bool thumb;
	const char *file;		/* of a static one, or NULL */
};

#define CANDIDATES_MAX 64

/* ---- the files ---- */

static int open_source(struct binder *b, struct source *s, const struct st_bind_file *file)
{
	GElf_Ehdr ehdr;
	ssize_t n;

	*s = (struct source){ .path = file->path, .fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), .debug.fd = -1 };
	s->name = file->name ? file->name : strrchr(file->path, '/') ? strrchr(file->path, '/') + 1 : file->path;
	if (s->fd < 0)
		return st_patch_fail(b->err, -errno, "can't open %.160s: %s", s->path, strerror(errno));
	s->elf = elf_begin(s->fd, ELF_C_READ, NULL);
	if (!s->elf || elf_kind(s->elf) != ELF_K_ELF || !gelf_getehdr(s->elf, &ehdr))
		return st_patch_fail(b->err, -ENOEXEC, "%.160s is not an ELF file", s->path);
	if (ehdr.e_type != ET_EXEC && ehdr.e_type != ET_DYN)
		return st_patch_fail(b->err, -ENOEXEC, "%.160s is neither a program nor a shared object", s->path);
	if (ehdr.e_machine != b->machine)
		return st_patch_fail(b->err, -EINVAL, "%.160s is for another architecture than the patch", s->path);
	n = dwelf_elf_gnu_build_id(s->elf, (const void **)&s->build_id);
	if (n <= 0 || n > ST_BUILD_ID_MAX)
		return st_patch_fail(b->err, -EINVAL, "%.160s has no build-id, so it could not be told from another build: link it with "
				     "-Wl,--build-id", s->path);
	s->build_id_len = (size_t)n;
	return 0;
}

static void close_source(struct source *s)
{
	if (s->debug.elf) {
		st_debugfile_close(&s->debug);
		return;
	}
	elf_end(s->elf);
	if (s->fd >= 0)
		close(s->fd);
}

static void look_for_symtab(struct source *s)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;

	while ((scn = elf_nextscn(s->elf, scn)))
		if (gelf_getshdr(scn, &sh) && sh.sh_type == SHT_SYMTAB)
			s->symtab = true;
}

static bool names(const struct st_manifest *m, const char *object)
{
	for (size_t i = 0; i < m->replaces + m->targets; i++)
		if (!strcmp((i < m->replaces ? &m->replace[i] : &m->target[i - m->replaces])->object, object))
			return true;
	return false;
}

/* The files of an object are of one build; where they have no symbol table, the debug file of that build may be on this machine. */
static int check_object(struct binder *b, const char *object)
{
	struct source *first = NULL, *more;
	bool symtab = false;

	for (size_t i = 0; i < b->n; i++) {
		struct source *s = &b->source[i];

		if (strcmp(s->name, object))
			continue;
		if (first && (s->build_id_len != first->build_id_len || memcmp(s->build_id, first->build_id, s->build_id_len)))
			return st_patch_fail(b->err, -EINVAL, "%.100s and %.100s have different build-ids: they don't belong together", first->path,
					     s->path);
		if (!first)
			first = s;
		symtab |= s->symtab;
	}
	if (!first)
		return st_patch_fail(b->err, -ENOENT, "the patch is for %.100s: which file is that? (--object FILE, or --object %.60s=FILE)", object,
				     object);
	more = &b->source[b->n];
	if (symtab || b->n == sizeof(b->source) / sizeof(b->source[0]) || !st_debugfile_find(first->build_id, first->build_id_len, &more->debug))
		return 0;
	more->name = object;
	more->path = "its debug file";
	more->elf = more->debug.elf;
	more->build_id = first->build_id;
	more->build_id_len = first->build_id_len;
	b->n++;
	return 0;
}

static int open_all(struct binder *b, const struct st_bind_file *file, size_t n)
{
	int ret = 0;

	for (size_t i = 0; i < n && !ret; i++) {
		b->n++;
		ret = open_source(b, &b->source[i], &file[i]);
		if (!ret)
			look_for_symtab(&b->source[i]);
		if (!ret && !names(b->m, b->source[i].name))
			ret = st_patch_fail(b->err, -EINVAL, "the patch has nothing to do with %.100s; it is for %.100s (--object NAME=FILE gives a "
					    "file another name)", b->source[i].name, (b->m->replaces ? b->m->replace : b->m->target)->object);
	}
	return ret;
}

/* ---- symbols ---- */

static void add_candidate(struct candidate *c, size_t *n, const struct candidate *one)
{
	for (size_t i = 0; i < *n; i++) {
		if (c[i].addr != one->addr)
			continue;
		/* The same thing, under a better name or in another table. */
		if (c[i].bind == STB_LOCAL && one->bind != STB_LOCAL)
			c[i].bind = one->bind;
		if (c[i].size < one->size)
			c[i].size = one->size;
		c[i].hidden &= one->hidden;
		return;
	}
	if (*n < CANDIDATES_MAX)
		c[(*n)++] = *one;
}

/* Symbols of a table that have this name. */
static void search_table(const struct binder *b, Elf *elf, Elf_Scn *scn, const GElf_Shdr *sh, Elf_Data *versym, const char *name,
			 struct candidate *c, size_t *n)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	const char *file = NULL;
	GElf_Sym sym;

	for (int i = 1; data && gelf_getsym(data, i, &sym); i++) {
		const char *is = elf_strptr(elf, sh->sh_link, sym.st_name);
		struct candidate one = { .size = sym.st_size, .type = GELF_ST_TYPE(sym.st_info), .bind = GELF_ST_BIND(sym.st_info) };
		size_t len = strlen(name);
		GElf_Versym version;

		if (!is)
			continue;
		if (one.type == STT_FILE) {
			file = strrchr(is, '/') ? strrchr(is, '/') + 1 : is;
			continue;
		}
		/* .symtab says NAME@VERSION and NAME@@VERSION. */
		if (strncmp(is, name, len) || (is[len] && is[len] != '@') || sym.st_shndx == SHN_UNDEF || sym.st_shndx == SHN_COMMON ||
		    sym.st_shndx == SHN_ABS || one.type == STT_SECTION)
			continue;
		if (is[len] == '@')
			one.hidden = is[len + 1] != '@';
		else if (versym && gelf_getversym(versym, i, &version))
			one.hidden = version & 0x8000;
		one.thumb = b->machine == EM_ARM && (one.type == STT_FUNC || one.type == STT_GNU_IFUNC) && (sym.st_value & 1);
		one.addr = (unsigned long)sym.st_value & ~(one.thumb ? 1ul : 0ul);
		one.file = one.bind == STB_LOCAL && file && *file ? file : NULL;
		add_candidate(c, n, &one);
	}
}

static void search(const struct binder *b, const char *object, const char *name, struct candidate *c, size_t *n)
{
	*n = 0;
	for (size_t i = 0; i < b->n; i++) {
		Elf *elf = b->source[i].elf;
		Elf_Data *versym = NULL;
		Elf_Scn *scn = NULL;
		GElf_Shdr sh;

		if (strcmp(b->source[i].name, object))
			continue;
		while ((scn = elf_nextscn(elf, scn)))
			if (gelf_getshdr(scn, &sh) && sh.sh_type == SHT_GNU_versym)
				versym = elf_getdata(scn, NULL);
		while ((scn = elf_nextscn(elf, scn)))
			if (gelf_getshdr(scn, &sh) && (sh.sh_type == SHT_SYMTAB || sh.sh_type == SHT_DYNSYM))
				search_table(b, elf, scn, &sh, sh.sh_type == SHT_DYNSYM ? versym : NULL, name, c, n);
	}
}

static int several(const struct binder *b, const char *object, const char *symbol, const struct candidate *c, size_t n)
{
	char list[160] = "";
	size_t used = 0;

	for (size_t i = 0; i < n && used < sizeof(list); i++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s%s%#lx", i ? ", " : "", c[i].file ? c[i].file : "",
					 c[i].file ? " " : "", c[i].addr);
	return st_patch_fail(b->err, -EINVAL, "%.40s has %zu %.60s: %s; say which, as \"FILE.c:NAME\"", object, n, symbol, list);
}

/*
 * The symbol that is meant: FILE:NAME is a static one of that file; NAME is what other files of the program would reach under it, and
 * else the static one.
 */
static int find_symbol(const struct binder *b, const struct st_manifest_entry *e, struct candidate *result)
{
	const char *colon = strrchr(e->symbol, ':'), *name = colon ? colon + 1 : e->symbol;
	struct candidate c[CANDIDATES_MAX];
	size_t n, kept = 0;
	int best = 0;

	search(b, e->object, name, c, &n);
	for (size_t i = 0; i < n; i++) {
		size_t len = colon ? (size_t)(colon - e->symbol) : 0;
		int rank = c[i].bind == STB_LOCAL ? 1 : c[i].hidden ? 2 : 3;

		if (colon && (!c[i].file || strncmp(c[i].file, e->symbol, len) || c[i].file[len]))
			continue;
		if (rank < best)
			continue;
		if (rank > best)
			kept = 0;
		best = rank;
		c[kept++] = c[i];
	}
	if (kept > 1)
		return several(b, e->object, e->symbol, c, kept);
	if (kept) {
		*result = c[0];
		return 0;
	}
	if (colon && n)
		return st_patch_fail(b->err, -ENOENT, "%.60s has no static %.100s, or its symbol table does not say of which file (%s is there)",
				     e->object, e->symbol, name);
	return st_patch_fail(b->err, -ENOENT, "%.60s has no symbol %.100s (is the file stripped? --object takes its debug file, too)", e->object,
			     e->symbol);
}

/* ---- what a function is ---- */

/* The executable section that holds an address, and its bytes if one of the files has them. */
static bool find_text(const struct binder *b, const char *object, unsigned long addr, GElf_Shdr *sh, Elf_Data **data)
{
	bool found = false;

	*data = NULL;
	for (size_t i = 0; i < b->n; i++) {
		Elf_Scn *scn = NULL;
		GElf_Shdr is;

		if (strcmp(b->source[i].name, object))
			continue;
		while ((scn = elf_nextscn(b->source[i].elf, scn))) {
			if (!gelf_getshdr(scn, &is) || (is.sh_flags & (SHF_ALLOC | SHF_EXECINSTR)) != (SHF_ALLOC | SHF_EXECINSTR) ||
			    addr < is.sh_addr || addr - is.sh_addr >= is.sh_size)
				continue;
			*sh = is;
			found = true;
			*data = is.sh_type == SHT_NOBITS ? NULL : elf_rawdata(scn, NULL);
			if (*data && (*data)->d_buf && (*data)->d_size == is.sh_size)
				return true;
			*data = NULL;
		}
	}
	return found;
}

/* Where the next function or label begins, at or behind @from. */
static unsigned long next_function(const struct binder *b, const char *object, unsigned long from, unsigned long end)
{
	for (size_t i = 0; i < b->n; i++) {
		Elf_Scn *scn = NULL;
		GElf_Shdr sh;

		if (strcmp(b->source[i].name, object))
			continue;
		while ((scn = elf_nextscn(b->source[i].elf, scn))) {
			Elf_Data *data;
			GElf_Sym sym;

			if (!gelf_getshdr(scn, &sh) || (sh.sh_type != SHT_SYMTAB && sh.sh_type != SHT_DYNSYM))
				continue;
			data = elf_getdata(scn, NULL);
			for (int k = 1; data && gelf_getsym(data, k, &sym); k++) {
				unsigned int type = GELF_ST_TYPE(sym.st_info);
				unsigned long at = (unsigned long)sym.st_value & ~(b->machine == EM_ARM ? 1ul : 0ul);

				if (sym.st_shndx == SHN_UNDEF || at < from || at >= end)
					continue;
				if (type == STT_FUNC || type == STT_GNU_IFUNC || (type == STT_NOTYPE && GELF_ST_BIND(sym.st_info) != STB_LOCAL))
					end = at;
			}
		}
	}
	return end;
}

/* Does the dynamic loader write to the function? Then its bytes are not those of the file. */
static bool has_relocations(const struct binder *b, const char *object, unsigned long addr, unsigned long size)
{
	for (size_t i = 0; i < b->n; i++) {
		Elf_Scn *scn = NULL;
		GElf_Shdr sh;

		if (strcmp(b->source[i].name, object))
			continue;
		while ((scn = elf_nextscn(b->source[i].elf, scn))) {
			Elf_Data *data;
			GElf_Rela rela;
			GElf_Rel rel;

			if (!gelf_getshdr(scn, &sh) || !(sh.sh_flags & SHF_ALLOC) || (sh.sh_type != SHT_REL && sh.sh_type != SHT_RELA))
				continue;
			data = elf_getdata(scn, NULL);
			for (int k = 0; data; k++) {
				GElf_Addr at;

				if (sh.sh_type == SHT_RELA ? !gelf_getrela(data, k, &rela) : !gelf_getrel(data, k, &rel))
					break;
				at = sh.sh_type == SHT_RELA ? rela.r_offset : rel.r_offset;
				if (at + 8 > addr && at < addr + size)
					return true;
			}
		}
	}
	return false;
}

static int describe(const struct binder *b, const struct st_manifest_entry *e, const struct candidate *c, bool replaced, struct st_bound *bound)
{
	unsigned long end;
	Elf_Data *data;
	GElf_Shdr sh;

	*bound = (struct st_bound){ .known = true, .addr = c->addr, .size = c->size, .room = c->size, .function = c->type == STT_FUNC };
	if (b->machine == EM_ARM && c->type == STT_FUNC)
		bound->isa = c->thumb ? ST_ISA_T32 : ST_ISA_A32;
	if (c->type == STT_GNU_IFUNC)
		return st_patch_fail(b->err, -EINVAL, "%.100s is chosen at run time (an ifunc): name the one it chooses", e->symbol);
	if (c->type == STT_TLS)
		return st_patch_fail(b->err, -EINVAL, "%.100s is a variable that each thread has: it has no address", e->symbol);
	if (!bound->function)
		return replaced ? st_patch_fail(b->err, -EINVAL, "%.100s in %.60s is data, not a function", e->symbol, e->object) : 0;
	if (!find_text(b, e->object, c->addr, &sh, &data))
		return st_patch_fail(b->err, -ENOEXEC, "%.100s is not in the code of %.60s", e->symbol, e->object);
	if (!data)
		return st_patch_fail(b->err, -EINVAL, "the file of %.60s has no code (is it a debug file?): give the object itself as well, with "
				     "--object %.60s=FILE", e->object, e->object);
	end = next_function(b, e->object, c->addr + (c->size ? c->size : 1), sh.sh_addr + sh.sh_size);
	bound->room = end - c->addr;
	if (!bound->size)
		bound->size = bound->room;
	if (bound->size > sh.sh_size - (c->addr - sh.sh_addr))
		return st_patch_fail(b->err, -ENOEXEC, "%.100s is longer than the code of %.60s", e->symbol, e->object);
	if (replaced && has_relocations(b, e->object, bound->addr, bound->size))
		return st_patch_fail(b->err, -EINVAL, "the code of %.100s is changed by the dynamic loader (%.60s was not compiled with -fPIC): it "
				     "can't be compared with the file's", e->symbol, e->object);
	st_checksum((const uint8_t *)data->d_buf + (c->addr - sh.sh_addr), bound->size, bound->checksum);
	return 0;
}

/* ---- the section ---- */

static int __attribute__((format(printf, 2, 3))) add_note(struct binder *b, const char *fmt, ...)
{
	char text[3 * ST_MANIFEST_NAME_MAX];
	ElfW(Nhdr) head = { .n_namesz = sizeof(ST_NOTE_NAME), .n_type = ST_NOTE_TYPE };
	size_t name = (sizeof(ST_NOTE_NAME) + 3) & ~3ul, desc;
	va_list ap;
	char *to;

	va_start(ap, fmt);
	head.n_descsz = (ElfW(Word))vsnprintf(text, sizeof(text), fmt, ap) + 1;
	va_end(ap);
	desc = (head.n_descsz + 3) & ~3ul;
	if (b->note_size - b->note_len < sizeof(head) + name + desc) {
		char *more = realloc(b->note, b->note_size = 2 * b->note_size + sizeof(head) + name + desc);

		if (!more)
			return st_patch_fail(b->err, -ENOMEM, "out of memory");
		b->note = more;
	}
	to = b->note + b->note_len;
	memset(to, 0, sizeof(head) + name + desc);
	memcpy(to, &head, sizeof(head));
	memcpy(to + sizeof(head), ST_NOTE_NAME, sizeof(ST_NOTE_NAME));
	memcpy(to + sizeof(head) + name, text, head.n_descsz);
	b->note_len += sizeof(head) + name + desc;
	return 0;
}

static int bind_entry(struct binder *b, const struct st_manifest_entry *e, bool replaced)
{
	static const char *const isas[] = { [ST_ISA_NATIVE] = "native", [ST_ISA_A32] = "a32", [ST_ISA_T32] = "t32" };
	char sum[2 * ST_CHECKSUM_SIZE + 1] = "data";
	struct candidate c = { 0 };
	struct st_bound bound;
	int ret = find_symbol(b, e, &c) ?: describe(b, e, &c, replaced, &bound);

	if (ret)
		return ret;
	if (bound.function)
		sodium_bin2hex(sum, sizeof(sum), bound.checksum, sizeof(bound.checksum));
	b->symbols++;
	return add_note(b, "bound\t%s\t%s\t%#lx\t%lu\t%lu\t%s\t%s", e->object, e->symbol, bound.addr, bound.size, bound.room, isas[bound.isa], sum);
}

/* Which build it is bound to; an ST_OBJECT() must say the same. */
static int bind_object(struct binder *b, const char *object)
{
	char id[2 * ST_BUILD_ID_MAX + 1] = "";
	int ret = check_object(b, object);

	for (size_t i = 0; i < b->n && !ret && !*id; i++)
		if (!strcmp(b->source[i].name, object))
			sodium_bin2hex(id, sizeof(id), b->source[i].build_id, b->source[i].build_id_len);
	for (size_t i = 0; i < b->m->objects && !ret; i++)
		if (!strcmp(b->m->object[i].object, object) && strcasecmp(b->m->object[i].symbol, id))
			return st_patch_fail(b->err, -EINVAL, "the patch asks for %.60s with build-id %.64s, the file has %.64s", object,
					     b->m->object[i].symbol, id);
	return ret ? ret : add_note(b, "object\t%s\t%s", object, id);
}

static const struct st_manifest_entry *entry(const struct st_manifest *m, size_t i)
{
	return i < m->replaces ? &m->replace[i] : &m->target[i - m->replaces];
}

static int bind_all(struct binder *b)
{
	int ret = 0;

	for (size_t i = 0; i < b->m->replaces + b->m->targets && !ret; i++) {
		const struct st_manifest_entry *e = entry(b->m, i);
		bool object = true, symbol = true;

		for (size_t k = 0; k < i; k++) {
			bool same = !strcmp(entry(b->m, k)->object, e->object);

			object &= !same;
			symbol &= !same || strcmp(entry(b->m, k)->symbol, e->symbol);
		}
		if (object)
			ret = bind_object(b, e->object);
		if (!ret && symbol)
			ret = bind_entry(b, e, i < b->m->replaces);
	}
	return ret;
}

/*
 * The patch with one more section. What is loaded of it stays byte for byte where it is: the section, a new table of section names and a
 * new section table go behind its end.
 */
static int add_section(const struct binder *b, const uint8_t *image, size_t len, uint8_t **result, size_t *result_len)
{
	size_t note_at = (len + 7) & ~7ul, names_at = note_at + b->note_len, table_at, total;
	ElfW(Shdr) names, sh = { .sh_type = SHT_NOTE, .sh_addralign = 4 };
	ElfW(Ehdr) ehdr;
	uint8_t *out;

	memcpy(&ehdr, image, sizeof(ehdr));
	if (ehdr.e_shentsize != sizeof(sh) || !ehdr.e_shnum || ehdr.e_shnum >= SHN_LORESERVE - 1 || ehdr.e_shstrndx >= ehdr.e_shnum ||
	    ehdr.e_shoff > len || ehdr.e_shnum * sizeof(sh) > len - ehdr.e_shoff)
		return st_patch_fail(b->err, -ENOEXEC, "the patch has no section table, or a damaged one");
	memcpy(&names, image + ehdr.e_shoff + ehdr.e_shstrndx * sizeof(sh), sizeof(names));
	if (names.sh_offset > len || names.sh_size > len - names.sh_offset)
		return st_patch_fail(b->err, -ENOEXEC, "the names of the patch's sections are not in the file");
	table_at = (names_at + names.sh_size + sizeof(ST_NOTE_BOUND) + 7) & ~7ul;
	total = table_at + (ehdr.e_shnum + 1ul) * sizeof(sh);
	out = calloc(1, total);
	if (!out)
		return st_patch_fail(b->err, -ENOMEM, "out of memory");
	memcpy(out, image, len);
	memcpy(out + note_at, b->note, b->note_len);
	memcpy(out + names_at, image + names.sh_offset, names.sh_size);
	memcpy(out + names_at + names.sh_size, ST_NOTE_BOUND, sizeof(ST_NOTE_BOUND));
	memcpy(out + table_at, image + ehdr.e_shoff, ehdr.e_shnum * sizeof(sh));
	sh.sh_name = (ElfW(Word))names.sh_size;
	sh.sh_offset = note_at;
	sh.sh_size = b->note_len;
	memcpy(out + table_at + ehdr.e_shnum * sizeof(sh), &sh, sizeof(sh));
	names.sh_offset = names_at;
	names.sh_size += sizeof(ST_NOTE_BOUND);
	memcpy(out + table_at + ehdr.e_shstrndx * sizeof(names), &names, sizeof(names));
	ehdr.e_shoff = table_at;
	ehdr.e_shnum++;
	memcpy(out, &ehdr, sizeof(ehdr));
	*result = out;
	*result_len = total;
	return 0;
}

static int check_patch(struct binder *b, const uint8_t *image, size_t len, const char *path)
{
	char who[ST_SIGN_NAME_MAX], ignored[ST_ERR_MAX];
	ElfW(Ehdr) ehdr;
	size_t payload;

	if (b->m->bound)
		return st_patch_fail(b->err, -EINVAL, "%.100s has the addresses of its symbols already: build it from the one without", path);
	if (st_sign_check(image, len, &payload, who, ignored) == -EBADMSG || payload != len)
		return st_patch_fail(b->err, -EINVAL, "%.100s is signed: build the patch first, then sign it", path);
	memcpy(&ehdr, image, sizeof(ehdr));	/* it has a manifest, so it is an ELF file */
	if (ehdr.e_ident[EI_CLASS] != (sizeof(long) == 8 ? ELFCLASS64 : ELFCLASS32) || ehdr.e_ident[EI_DATA] != ELFDATA2LSB)
		return st_patch_fail(b->err, -EINVAL, "%.100s is not for this machine", path);
	b->machine = ehdr.e_machine;
	return 0;
}

int st_bind(const char *patch, const struct st_bind_file *file, size_t n, const char *out, char *err)
{
	struct st_manifest *m = calloc(1, sizeof(*m)), *again = calloc(1, sizeof(*again));
	struct binder *b = calloc(1, sizeof(*b));
	void *image = NULL;
	uint8_t *result = NULL;
	size_t len = 0, result_len = 0;
	char why[ST_ERR_MAX];
	int ret;

	if (!m || !again || !b || n > ST_BIND_FILES_MAX) {
		ret = st_patch_fail(err, -ENOMEM, "out of memory, or too many files");
		goto end;
	}
	b->m = m;
	b->err = err;
	ret = st_file_read(patch, &image, &len, err);
	if (ret)
		goto end;
	ret = st_manifest_read(image, len, m, why);
	if (ret) {
		st_patch_fail(err, ret, "%.80s can't be built: %.160s", patch, why);
		goto end;
	}
	ret = check_patch(b, image, len, patch);
	if (!ret) {
		ret = st_load_check(image, len, why);
		if (ret) {
			st_patch_fail(err, ret, "%.80s could not be applied: %.160s", patch, why);
			goto end;
		}
	}
	ret = ret ?: open_all(b, file, n) ?: bind_all(b) ?: add_section(b, image, len, &result, &result_len);
	if (!ret) {
		/* What was written has to be what will be read. */
		ret = st_manifest_read(result, result_len, again, why);
		if (ret)
			st_patch_fail(err, ret, "%.80s can't be built: %.160s", patch, why);
		else
			ret = st_file_replace(out, patch, result, result_len, NULL, 0, err);
	}
	if (!ret)
		ret = b->symbols;
end:
	for (size_t i = 0; b && i < b->n; i++)
		close_source(&b->source[i]);
	if (m)
		st_manifest_free(m);
	if (again)
		st_manifest_free(again);
	if (b)
		free(b->note);
	free(b);
	free(m);
	free(again);
	free(image);
	free(result);
	return ret;
}
