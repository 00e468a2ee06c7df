// SPDX-License-Identifier: GPL-2.0-only
/*
 * The symbols of an object, read when first asked for: from the file's .symtab and .dynsym, or,
 * where no file can be had, from the dynamic table in memory. A file without .symtab may have left
 * it in .gnu_debugdata or in a debug file (debugfile.c); functions that nobody has a name for are
 * those that .eh_frame describes (frames.c). The file may be damaged: libelf checks what it hands
 * out, the rest is checked here.
 */
#include "process/arch/arch.h"
#include "process/symbols.h"
#include "process/debugfile.h"
#include "process/frames.h"
#include <elf.h>
#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Names, copied so that the file's tables need not stay. */
struct chunk {
	struct chunk *next;
	size_t used, size;
	char text[];
};

static const char *intern(struct st_object_priv *priv, const char *name, size_t len)
{
	struct chunk *c = priv->strings;
	char *to;

	if (!c || c->size - c->used <= len) {
		size_t size = len >= 65536 ? len + 1 : 65536;

		c = malloc(sizeof(*c) + size);
		if (!c)
			return NULL;
		*c = (struct chunk){priv->strings, 0, size};
		priv->strings = c;
	}
	to = c->text + c->used;
	memcpy(to, name, len);
	to[len] = '\0';
	c->used += len + 1;
	return to;
}

void st_symbols_free(struct st_object_priv *priv)
{
	if (!priv)
		return;
	while (priv->strings) {
		struct chunk *next = priv->strings->next;

		free(priv->strings);
		priv->strings = next;
	}
	if (priv->fd >= 0)
		close(priv->fd);
	free(priv->soname);
	free(priv->phdr);
	free(priv->sym);
	free(priv->func);
	free(priv->text);
	free(priv->plt);
	free(priv);
}

/* While an object is being read. */
struct reader {
	struct st_object *obj;
	/* Where code and data begin (ELF for the Arm architecture, "mapping symbols"), and other
	 * labels in the text. */
	struct mark {
		unsigned long addr;
		char what; /* a t x d, or 0: a label */
	} * mark;
	size_t nmark, size;
	/* Pieces of code that .eh_frame describes, as addresses in the process. */
	struct st_range *frame;
	size_t nframe, frame_size;
	const char *file; /* whose static symbols follow in the table */
	bool named;  /* a whole symbol table was found */
	bool failed; /* out of memory */
};

static void add_range(struct reader *r, struct st_range **list, size_t *n, unsigned long lo,
		      unsigned long hi)
{
	struct st_range *more = realloc(*list, (*n + 1) * sizeof(*more));

	if (!more) {
		r->failed = true;
		return;
	}
	*list = more;
	more[(*n)++] = (struct st_range){lo, hi};
}

static void add_mark(struct reader *r, unsigned long addr, char what)
{
	if (r->nmark == r->size) {
		struct mark *more = realloc(r->mark, (r->size = r->size * 2 + 256) * sizeof(*more));

		if (!more) {
			r->failed = true;
			return;
		}
		r->mark = more;
	}
	r->mark[r->nmark++] = (struct mark){addr, what};
}

static bool is_mapping_symbol(const ElfW(Sym) * s, const char *name)
{
#if defined(__x86_64__)
	(void)s;
	(void)name;
	return false;
#else
	return ELF64_ST_TYPE(s->st_info) == STT_NOTYPE && name[0] == '$' && name[1] &&
	       strchr("atxd", name[1]) && (!name[2] || name[2] == '.');
#endif
}

static enum st_isa isa_of(const ElfW(Sym) * s)
{
#if defined(__arm__)
	return s->st_value & 1 ? ST_ISA_T32 : ST_ISA_A32;
#else
	(void)s;
	return ST_ISA_NATIVE;
#endif
}

static void add_symbol(struct reader *r, const ElfW(Sym) * s, const char *name, const char *version,
		       bool hidden, bool dynamic)
{
	struct st_object_priv *priv = r->obj->priv;
	/* The two classes pack st_info alike. */
	unsigned char type = ELF64_ST_TYPE(s->st_info), bind = ELF64_ST_BIND(s->st_info);
	struct st_symbol *sym;
	bool code = type == STT_FUNC || type == STT_GNU_IFUNC;

	/* The linker's own local symbols follow a file without a name. */
	if (type == STT_FILE && !(name && *name))
		r->file = NULL;
	if (s->st_shndx == SHN_UNDEF || s->st_shndx == SHN_COMMON || !name || !*name)
		return;
	if (is_mapping_symbol(s, name)) {
		add_mark(r, r->obj->bias + s->st_value, name[1]);
		return;
	}
	if (type == STT_NOTYPE && bind != STB_LOCAL)
		add_mark(r, r->obj->bias + s->st_value, 0);
	if (type == STT_FILE) {
		const char *base = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;

		r->file = intern(priv, base, strlen(base));
		r->failed |= !r->file;
	}
	if (type == STT_SECTION || type == STT_FILE)
		return;
	if (priv->nsym == priv->sym_size) {
		size_t size = priv->sym_size * 2 + 256;
		struct st_symbol *more = realloc(priv->sym, size * sizeof(*more));

		if (!more) {
			r->failed = true;
			return;
		}
		priv->sym = more;
		priv->sym_size = size;
	}
	sym = &priv->sym[priv->nsym];
	/* .symtab says NAME@VERSION and NAME@@VERSION. */
	sym->name = intern(priv, name, dynamic ? strlen(name) : strcspn(name, "@"));
	sym->version = version ? intern(priv, version, strlen(version)) : NULL;
	if (!sym->name || (version && !sym->version)) {
		r->failed = true;
		return;
	}
	if (!*sym->name)
		return;
	sym->file = bind == STB_LOCAL ? r->file : NULL;
	sym->isa = code ? isa_of(s) : ST_ISA_NATIVE;
	sym->addr = s->st_value;
	if (sym->isa == ST_ISA_T32)
		sym->addr &= ~1ul;
	if (type != STT_TLS && s->st_shndx != SHN_ABS)
		sym->addr += r->obj->bias;
	sym->size = s->st_size;
	sym->type = type;
	sym->bind = bind;
	sym->dynamic = dynamic;
	sym->hidden = hidden;
	priv->nsym++;
}

/* The name of version @ndx in a .gnu.version_d section, or NULL. */
static const char *version_name(Elf *elf, Elf_Data *verdef, size_t strings, unsigned int ndx)
{
	size_t at = 0;

	while (verdef && at + sizeof(ElfW(Verdef)) <= verdef->d_size) {
		const ElfW(Verdef) *def = (const void *)((char *)verdef->d_buf + at);
		const ElfW(Verdaux) *aux = (const void *)((const char *)def + def->vd_aux);

		if (def->vd_ndx == ndx) {
			if (def->vd_aux > verdef->d_size - at - sizeof(*aux) || def->vd_aux % 4)
				return NULL;
			return elf_strptr(elf, strings, aux->vda_name);
		}
		if (!def->vd_next || def->vd_next > verdef->d_size || def->vd_next % 4)
			break;
		at += def->vd_next;
	}
	return NULL;
}

/* What the section table tells. */
struct sections {
	Elf_Scn *symtab, *dynsym, *versym, *verdef;
	Elf_Scn *frames, *debugdata; /* .eh_frame, .gnu_debugdata */
};

static void read_table(struct reader *r, Elf *elf, Elf_Scn *scn, const struct sections *s)
{
	bool dynamic = scn == s->dynsym;
	Elf_Data *data = elf_getdata(scn, NULL), *versym = NULL, *verdef = NULL;
	size_t i, n, strings, verdef_strings = 0;
	GElf_Shdr shdr;

	if (!data || !data->d_buf || !gelf_getshdr(scn, &shdr))
		return;
	strings = shdr.sh_link;
	if (dynamic && s->versym && s->verdef && gelf_getshdr(s->verdef, &shdr)) {
		versym = elf_getdata(s->versym, NULL);
		verdef = elf_getdata(s->verdef, NULL);
		verdef_strings = shdr.sh_link;
	}
	r->file = NULL;
	n = data->d_size / sizeof(ElfW(Sym));
	for (i = 1; i < n && !r->failed; i++) {
		const ElfW(Sym) *sym = (const ElfW(Sym) *)data->d_buf + i;
		const char *version = NULL;
		bool hidden = false;

		if (sym->st_shndx == SHN_UNDEF)
			continue;
		if (versym && versym->d_buf && (i + 1) * sizeof(ElfW(Half)) <= versym->d_size) {
			unsigned int v = ((const ElfW(Half) *)versym->d_buf)[i];

			/* 0: local, 1: no version; bit 15: not the default (gABI, symbol
			 * versioning). */
			hidden = v & 0x8000;
			if ((v & 0x7fff) > 1)
				version = version_name(elf, verdef, verdef_strings, v & 0x7fff);
			else if (!(v & 0x7fff))
				continue;
		}
		add_symbol(r, sym, elf_strptr(elf, strings, sym->st_name), version, hidden,
			   dynamic);
	}
}

/* The symbol table of a file that goes with the object's: a debug file. */
static void read_symtab(struct reader *r, Elf *elf)
{
	const struct sections s = {0};
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;
	size_t was = r->obj->priv->nsym;

	/* Of another class its symbols would be misread. */
	if (gelf_getclass(elf) != (sizeof(long) == 8 ? ELFCLASS64 : ELFCLASS32))
		return;
	while ((scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, &shdr) && shdr.sh_type == SHT_SYMTAB)
			read_table(r, elf, scn, &s);
	r->named |= r->obj->priv->nsym > was;
}

/* What was stripped from the file, if it is somewhere. */
static void read_stripped(struct reader *r, const struct sections *s)
{
	struct st_object *obj = r->obj;
	struct st_debugfile file;
	Elf_Data *data;

	if (st_debugfile_find(obj->build_id, obj->build_id_len, &file)) {
		read_symtab(r, file.elf);
		st_debugfile_close(&file);
	}
	if (r->named || !s->debugdata)
		return;
	data = elf_rawdata(s->debugdata, NULL);
	obj->why = data && data->d_buf ? st_debugfile_unpack(data->d_buf, data->d_size, &file)
				       : "its .gnu_debugdata is damaged";
	if (!obj->why) {
		read_symtab(r, file.elf);
		st_debugfile_close(&file);
	}
}

static bool add_frame(void *ctx, unsigned long start, unsigned long size)
{
	struct reader *r = ctx;

	if (r->nframe == r->frame_size) {
		size_t room = r->frame_size * 2 + 1024;
		struct st_range *more = realloc(r->frame, room * sizeof(*more));

		if (!more) {
			r->failed = true;
			return false;
		}
		r->frame = more;
		r->frame_size = room;
	}
	start += r->obj->bias;
	r->frame[r->nframe++] = (struct st_range){start, start + size};
	return true;
}

static void take_frames(struct reader *r, const void *data, size_t len, unsigned long addr)
{
	if (!st_frames_read(data, len, addr, add_frame, r) && !r->obj->why)
		r->obj->why = "its .eh_frame is damaged: not all functions without a name are known";
}

/*
 * What the section table says, and the executable sections if they are not known yet. False when the file has none that can be used.
 */
static bool read_sections(struct reader *r, Elf *elf, struct sections *s)
{
	struct st_object *obj = r->obj;
	bool known = obj->priv->ntext;
	Elf_Scn *scn = NULL;
	size_t names, n;

	*s = (struct sections){0};
	if (elf_kind(elf) != ELF_K_ELF || elf_getshdrstrndx(elf, &names) ||
	    elf_getshdrnum(elf, &n) || n < 2)
		return false;
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr shdr;
		const char *name;

		if (!gelf_getshdr(scn, &shdr))
			continue;
		name = elf_strptr(elf, names, shdr.sh_name);
		switch (shdr.sh_type) {
		case SHT_SYMTAB:
			s->symtab = scn;
			continue;
		case SHT_DYNSYM:
			s->dynsym = scn;
			continue;
		case SHT_GNU_versym:
			s->versym = scn;
			continue;
		case SHT_GNU_verdef:
			s->verdef = scn;
			continue;
		}
		if ((shdr.sh_flags & (SHF_ALLOC | SHF_EXECINSTR)) != (SHF_ALLOC | SHF_EXECINSTR) ||
		    !shdr.sh_size || shdr.sh_type == SHT_NOBITS ||
		    shdr.sh_addr + shdr.sh_size < shdr.sh_addr) {
			if (name && !strcmp(name, ".eh_frame") && shdr.sh_type != SHT_NOBITS)
				s->frames = scn;
			else if (name && !strcmp(name, ".gnu_debugdata"))
				s->debugdata = scn;
			continue;
		}
		if (known)
			continue;
		if (name && (!strncmp(name, ".plt", 4) || !strcmp(name, ".iplt")))
			add_range(r, &obj->priv->plt, &obj->priv->nplt, obj->bias + shdr.sh_addr,
				  obj->bias + shdr.sh_addr + shdr.sh_size);
		else
			add_range(r, &obj->priv->text, &obj->priv->ntext, obj->bias + shdr.sh_addr,
				  obj->bias + shdr.sh_addr + shdr.sh_size);
	}
	return obj->priv->ntext;
}

static bool read_elf(struct reader *r, Elf *elf)
{
	struct st_object *obj = r->obj;
	struct sections s;

	if (!read_sections(r, elf, &s))
		return false;
	if (s.symtab)
		read_table(r, elf, s.symtab, &s);
	r->named = obj->priv->nsym;
	if (s.dynsym)
		read_table(r, elf, s.dynsym, &s);
	if (!r->named)
		read_stripped(r, &s);
	if (!r->named && s.frames) {
		GElf_Shdr shdr;
		Elf_Data *data = elf_rawdata(s.frames, NULL);

		if (data && data->d_buf && gelf_getshdr(s.frames, &shdr))
			take_frames(r, data->d_buf, data->d_size, shdr.sh_addr);
	}
	return true;
}

/* Bytes of the object's image: of memory, or of the file where it would be. */
static bool peek(struct st_object *obj, unsigned long addr, void *buf, size_t len)
{
	if (obj->priv->objs->proc)
		return !st_mem_read(obj->priv->objs->proc, addr, buf, len);
	return !st_object_bytes(obj, addr, buf, len);
}

/* How many symbols DT_GNU_HASH knows: the end of the chain that begins last. */
static size_t count_gnu_hash(struct st_object *obj, unsigned long at)
{
	uint32_t head[4], bucket, last = 0, i, word;
	unsigned long chain;

	if (!peek(obj, at, head, sizeof(head)) || head[0] > 1u << 24 || head[2] > 1u << 24)
		return 0;
	at += sizeof(head) + head[2] * sizeof(long);
	for (i = 0; i < head[0]; i++, at += sizeof(bucket)) {
		if (!peek(obj, at, &bucket, sizeof(bucket)))
			return 0;
		if (bucket > last)
			last = bucket;
	}
	if (last < head[1])
		return 0;
	for (chain = at + (last - head[1]) * 4ul;; chain += 4, last++) {
		if (!peek(obj, chain, &word, sizeof(word)))
			return 0;
		if (word & 1)
			return last + 1;
	}
}

/* Addresses in the dynamic table are relocated in memory by some loaders and not by others. */
static unsigned long relocated(const struct st_object *obj, unsigned long addr)
{
	return addr >= obj->lo && addr < obj->hi ? addr : addr + obj->bias;
}

/* .eh_frame by way of PT_GNU_EH_FRAME, for who has no section table. */
static void read_frame_segment(struct reader *r)
{
	struct st_object *obj = r->obj;
	const ElfW(Phdr) *ph = obj->priv->phdr;
	uint8_t head[64], *data;
	unsigned long at, len;
	size_t i, got;

	for (i = 0; ph && i < obj->priv->ehdr.e_phnum; i++)
		if (ph[i].p_type == PT_GNU_EH_FRAME)
			break;
	if (!ph || i == obj->priv->ehdr.e_phnum)
		return;
	got = ph[i].p_filesz < sizeof(head) ? ph[i].p_filesz : sizeof(head);
	if (!peek(obj, obj->bias + ph[i].p_vaddr, head, got))
		return;
	at = st_frames_find(head, got, ph[i].p_vaddr);
	for (i = 0; at && i < obj->nsegments; i++) {
		const struct st_segment *seg = &obj->segment[i];

		if (obj->bias + at < seg->start || obj->bias + at >= seg->start + seg->filesz)
			continue;
		len = seg->start + seg->filesz - (obj->bias + at);
		data = len < 1ul << 30 ? malloc(len) : NULL;
		if (data && peek(obj, obj->bias + at, data, len))
			take_frames(r, data, len, at);
		free(data);
		break;
	}
}

/* Without a section table: executable segments, and the dynamic symbols by way of PT_DYNAMIC. */
static void read_dynamic(struct reader *r)
{
	unsigned long symtab = 0, strtab = 0, strsz = 0, hash = 0, gnu_hash = 0;
	struct st_object *obj = r->obj;
	ElfW(Dyn) dyn;
	size_t i, n = 0;
	char *strings;

	for (i = 0; i < obj->nsegments; i++)
		if (obj->segment[i].prot & PROT_EXEC)
			add_range(r, &obj->priv->text, &obj->priv->ntext, obj->segment[i].start,
				  obj->segment[i].start + obj->segment[i].filesz);
	if (!obj->dynamic)
		return;
	for (i = 0; i < 256; i++) {
		if (!peek(obj, obj->dynamic + i * sizeof(dyn), &dyn, sizeof(dyn)) ||
		    dyn.d_tag == DT_NULL)
			break;
		switch (dyn.d_tag) {
		case DT_SYMTAB:
			symtab = relocated(obj, dyn.d_un.d_ptr);
			break;
		case DT_STRTAB:
			strtab = relocated(obj, dyn.d_un.d_ptr);
			break;
		case DT_STRSZ:
			strsz = dyn.d_un.d_val;
			break;
		case DT_HASH:
			hash = relocated(obj, dyn.d_un.d_ptr);
			break;
		case DT_GNU_HASH:
			gnu_hash = relocated(obj, dyn.d_un.d_ptr);
			break;
		}
	}
	if (hash) {
		uint32_t head[2];

		n = peek(obj, hash, head, sizeof(head)) ? head[1] : 0;
	} else if (gnu_hash) {
		n = count_gnu_hash(obj, gnu_hash);
	}
	if (!symtab || !strtab || !strsz || strsz > 1ul << 28 || n > 1ul << 24)
		return;
	strings = malloc(strsz + 1);
	if (!strings || !peek(obj, strtab, strings, strsz)) {
		free(strings);
		return;
	}
	strings[strsz] = '\0';
	for (i = 1; i < n && !r->failed; i++) {
		ElfW(Sym) sym;

		if (!peek(obj, symtab + i * sizeof(sym), &sym, sizeof(sym)))
			break;
		if (sym.st_name < strsz)
			add_symbol(r, &sym, strings + sym.st_name, NULL, false, true);
	}
	free(strings);
}

static const struct st_range *in_ranges(const struct st_range *range, size_t n, unsigned long addr)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (addr >= range[i].lo && addr < range[i].hi)
			return &range[i];
	return NULL;
}

static int mark_order(const void *a, const void *b)
{
	const struct mark *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static int range_order(const void *a, const void *b)
{
	const struct st_range *x = a, *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

static int symbol_order(const void *a, const void *b)
{
	const struct st_symbol *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static size_t underscores(const char *s)
{
	return strspn(s, "_");
}

/* By address; where there are several names, the one that a person would use first. */
static int func_order(const void *a, const void *b)
{
	const struct st_func *x = a, *y = b;
	size_t lx, ly;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	if ((x->flags ^ y->flags) & ST_FUNC_LOCAL)
		return x->flags & ST_FUNC_LOCAL ? 1 : -1;
	lx = underscores(x->name);
	ly = underscores(y->name);
	if (lx != ly)
		return lx < ly ? -1 : 1;
	lx = strlen(x->name);
	ly = strlen(y->name);
	if (lx != ly)
		return lx < ly ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* The first mark behind @addr. */
static size_t mark_behind(const struct reader *r, unsigned long addr)
{
	size_t lo = 0, hi = r->nmark;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (r->mark[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Is there data at this address, as the mapping symbols have it? */
static bool is_data(const struct reader *r, unsigned long addr)
{
	size_t i = mark_behind(r, addr);

	while (i && !r->mark[i - 1].what)
		i--;
	return i && r->mark[i - 1].what == 'd';
}

/* The first label behind @addr that is no mapping symbol. */
static unsigned long next_label(const struct reader *r, unsigned long addr)
{
	size_t i = mark_behind(r, addr);

	while (i < r->nmark && r->mark[i].what)
		i++;
	return i < r->nmark ? r->mark[i].addr : ~0ul;
}

/* A piece of a function that the compiler has put elsewhere: it is jumped to, not called. */
static bool is_part(const char *name)
{
	const char *cold = strstr(name, ".cold");

	return cold && (!cold[5] || cold[5] == '.');
}

static int range_order(const void *a, const void *b);

/*
 * Which of the pieces are functions: those that are called from somewhere in the object. The others are functions that are only called
 * by pointers, and pieces of functions. @called: set for each piece, which are sorted.
 */
static void find_calls(struct reader *r, bool *called)
{
	size_t i;

	for (i = 0; i < r->nframe; i++) {
		unsigned long at = r->frame[i].lo, target;
		size_t len = r->frame[i].hi - at, done, one;
		uint8_t *code = len < 1ul << 24 ? malloc(len) : NULL;

		/* Not memory: we may have changed it. */
		if (code && st_object_bytes(r->obj, at, code, len))
			len = 0;
		for (done = 0; code && done < len; done += one) {
			size_t lo = 0, hi = r->nframe;

			one = st_arch_insn(code + done, len - done, at + done, &target);
			if (!one)
				break;
			while (target && lo < hi) {
				size_t mid = (lo + hi) / 2;

				if (r->frame[mid].lo < target)
					lo = mid + 1;
				else
					hi = mid;
			}
			if (target && lo < r->nframe && r->frame[lo].lo == target)
				called[lo] = true;
		}
		free(code);
	}
}

/*
 * Code that a frame describes and no symbol names, behind the functions that have one (which are
 * sorted). A frame may be a function, or a piece of one.
 */
static size_t add_nameless(struct reader *r, size_t named)
{
	struct st_object_priv *priv = r->obj->priv;
	struct st_func *func = priv->func;
	bool *called = calloc(r->nframe + 1, sizeof(*called));
	size_t i, n = named;

	if (r->nframe)
		qsort(r->frame, r->nframe, sizeof(*r->frame), range_order);
	if (called && r->nframe)
		find_calls(r, called);
	for (i = 0; i < r->nframe && called; i++) {
		unsigned long addr = r->frame[i].lo, size = r->frame[i].hi - addr;
		const struct st_range *text = in_ranges(priv->text, priv->ntext, addr);
		size_t lo = 0, hi = named;
		char name[2 + 2 * sizeof(long) + 1];
		int len;

		if (!text || r->frame[i].hi > text->hi)
			continue;
		while (lo < hi) {
			size_t mid = (lo + hi) / 2;

			if (func[mid].addr <= addr)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo && func[lo - 1].addr == addr) {
			/* Assembly often has no size. */
			if (!func[lo - 1].size)
				func[lo - 1].size = size;
			continue;
		}
		if ((lo && addr - func[lo - 1].addr < func[lo - 1].size) ||
		    (lo < named && func[lo].addr < r->frame[i].hi))
			continue;
		len = snprintf(name, sizeof(name), "%#lx", addr - r->obj->bias);
		func[n] = (struct st_func){
			.name = intern(priv, name, (size_t)len),
			.addr = addr,
			.size = size,
			.isa = ST_ISA_NATIVE,
			.flags = ST_FUNC_NONAME | ST_FUNC_LOCAL | (called[i] ? 0 : ST_FUNC_PART),
			.object = r->obj,
		};
		r->failed |= !func[n].name;
		n += func[n].name != NULL;
	}
	free(called);
	return n;
}

static void make_functions(struct reader *r)
{
	struct st_object_priv *priv = r->obj->priv;
	size_t i, n = r->nframe, out = 0;
	unsigned long next;

	for (i = 0; i < priv->nsym; i++)
		n += priv->sym[i].type == STT_FUNC || priv->sym[i].type == STT_GNU_IFUNC;
	priv->func = malloc((n + 1) * sizeof(*priv->func));
	if (!priv->func) {
		r->failed = true;
		return;
	}
	n = 0;
	for (i = 0; i < priv->nsym; i++) {
		const struct st_symbol *s = &priv->sym[i];

		if ((s->type != STT_FUNC && s->type != STT_GNU_IFUNC) ||
		    !in_ranges(priv->text, priv->ntext, s->addr) || is_data(r, s->addr))
			continue;
		priv->func[n++] = (struct st_func){
			.name = s->name,
			.addr = s->addr,
			.size = s->size,
			.isa = s->isa,
			.flags = (s->type == STT_GNU_IFUNC ? ST_FUNC_IFUNC : 0) |
				 (s->bind == STB_LOCAL ? ST_FUNC_LOCAL : 0) |
				 (is_part(s->name) ? ST_FUNC_PART : 0),
			.object = r->obj,
		};
	}
	qsort(priv->func, n, sizeof(*priv->func), func_order);
	n = add_nameless(r, n);
	qsort(priv->func, n, sizeof(*priv->func), func_order);
	for (i = 0; i < n; i++) {
		struct st_func *f = &priv->func[i], *last = out ? &priv->func[out - 1] : NULL;

		if (last && last->addr == f->addr) {
			if (!strcmp(last->name, f->name))
				continue;
			f->flags |= ST_FUNC_ALIAS;
			if (last->size > f->size)
				f->size = last->size;
		}
		priv->func[out++] = *f;
	}
	priv->nfunc = out;

	/* Backwards: where the next function begins, and the largest size that any name of an
	 * address gives. */
	for (i = out, next = ~0ul; i--;) {
		struct st_func *f = &priv->func[i];
		const struct st_range *text = in_ranges(priv->text, priv->ntext, f->addr);
		unsigned long end = text->hi, label = next_label(r, f->addr);

		if (i + 1 < out && priv->func[i + 1].addr != f->addr)
			next = priv->func[i + 1].addr;
		else if (i + 1 < out && priv->func[i + 1].size > f->size)
			f->size = priv->func[i + 1].size;
		if (next < end)
			end = next;
		if (label < end)
			end = label;
		f->room = end - f->addr;
		if (!f->size) {
			f->size = f->room;
			f->flags |= ST_FUNC_NOSIZE;
		}
		if (f->size > text->hi - f->addr)
			f->size = text->hi - f->addr;
	}
}

static void load(struct st_object *obj)
{
	struct st_object_priv *priv = obj->priv;
	struct reader r = {.obj = obj};
	bool done = false, vdso = obj->flags & ST_OBJECT_VDSO;
	char *image = NULL;
	Elf *elf = NULL;
	int fd;

	if (priv->loaded)
		return;
	priv->loaded = true;
	elf_version(EV_CURRENT);
	fd = vdso ? -1 : st_object_open(obj);
	if (vdso && priv->objs->proc) {
		image = malloc(obj->hi - obj->lo);
		if (image && !st_mem_read(priv->objs->proc, obj->lo, image, obj->hi - obj->lo))
			elf = elf_memory(image, obj->hi - obj->lo);
	} else if (fd >= 0) {
		elf = elf_begin(fd, ELF_C_READ, NULL);
	}
	if (elf)
		done = read_elf(&r, elf);
	if (elf)
		elf_end(elf);
	free(image);
	if (!done) {
		if (fd < 0 && !vdso) {
			obj->flags |= ST_OBJECT_MEMORY;
			obj->why = "its file can't be opened, or is not the one that is mapped: "
				   "only the functions that it "
				   "exports are known";
		} else if (!vdso) {
			obj->why = "its file has no section table: only the functions that it "
				   "exports are known";
		}
		free(priv->text);
		free(priv->plt);
		priv->text = priv->plt = NULL;
		priv->ntext = priv->nplt = 0;
		read_dynamic(&r);
		if (!r.named)
			read_frame_segment(&r);
	}
#if defined(__arm__)
	/* .ARM.exidx joins functions that unwind alike, and does not tell A32 from Thumb. */
	if (!r.named && !obj->why && !vdso && !priv->nsym)
		obj->why = "its symbols were stripped, and the tables of 32-bit ARM do not say where "
			   "functions begin";
#endif
	if (priv->ntext)
		qsort(priv->text, priv->ntext, sizeof(*priv->text), range_order);
	if (r.nmark)
		qsort(r.mark, r.nmark, sizeof(*r.mark), mark_order);
	make_functions(&r);
	if (priv->nsym)
		qsort(priv->sym, priv->nsym, sizeof(*priv->sym), symbol_order);
	if (r.failed)
		obj->why = "not all of its symbols could be read: out of memory";
	free(r.mark);
	free(r.frame);
}

const struct st_func *st_object_functions(struct st_object *obj, size_t *n)
{
	load(obj);
	*n = obj->priv->nfunc;
	return *n ? obj->priv->func : NULL;
}

const struct st_func *st_object_function_at(struct st_object *obj, unsigned long addr)
{
	size_t lo = 0, hi;
	const struct st_func *f;

	load(obj);
	hi = obj->priv->nfunc;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (obj->priv->func[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* A function may lie within another one: the last that begins before, whose size covers it.
	 */
	while (lo--) {
		f = &obj->priv->func[lo];
		if (f->flags & ST_FUNC_ALIAS)
			continue;
		if (addr - f->addr < f->size)
			return f;
		/* More than a few steps back is no longer "within". */
		if (addr - f->addr > 1ul << 16)
			break;
	}
	return NULL;
}

/* Without the symbols, which take much longer to read. */
static bool load_text(struct st_object *obj)
{
	struct st_object_priv *priv = obj->priv;
	struct reader r = {.obj = obj};
	struct sections s;
	int fd = obj->flags & ST_OBJECT_VDSO ? -1 : st_object_open(obj);
	Elf *elf;

	if (priv->ntext || priv->loaded)
		return true;
	elf_version(EV_CURRENT);
	elf = fd < 0 ? NULL : elf_begin(fd, ELF_C_READ, NULL);
	if (!elf)
		return false;
	read_sections(&r, elf, &s);
	elf_end(elf);
	if (priv->ntext)
		qsort(priv->text, priv->ntext, sizeof(*priv->text), range_order);
	return priv->ntext && !r.failed;
}

const struct st_range *st_object_text(struct st_object *obj, size_t *n)
{
	if (!load_text(obj))
		load(obj);
	*n = obj->priv->ntext;
	return obj->priv->text;
}

bool st_object_is_plt(struct st_object *obj, unsigned long addr)
{
	load(obj);
	return in_ranges(obj->priv->plt, obj->priv->nplt, addr);
}

/* The better of two symbols has the higher rank. */
static int rank(const struct st_symbol *s)
{
	return (s->dynamic && !s->hidden ? 8 : 0) + (s->dynamic ? 4 : 0) +
	       (s->bind == STB_LOCAL ? 0 : 2);
}

/* @file: of that source file only, or NULL. */
static int find_symbol(struct st_object *obj, const char *file, size_t file_len, const char *name,
		       const char *version, struct st_symbol *sym)
{
	struct st_object_priv *priv = obj->priv;
	const struct st_symbol *best = NULL;
	size_t lo = 0, hi;
	bool several = false;

	load(obj);
	hi = priv->nsym;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (strcmp(priv->sym[mid].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < priv->nsym && !strcmp(priv->sym[lo].name, name); lo++) {
		const struct st_symbol *s = &priv->sym[lo];

		if (file && (!s->file || strncmp(s->file, file, file_len) || s->file[file_len]))
			continue;
		/* A definition without a version satisfies everybody (ld.so, do_lookup_x()). */
		if (version && s->version && strcmp(s->version, version))
			continue;
		/* The version that was asked for, however old. */
		if (version && s->version && s->dynamic) {
			best = s;
			several = false;
			break;
		}
		if (!best || rank(s) > rank(best)) {
			best = s;
			several = false;
		} else if (rank(s) == rank(best) && s->bind == STB_LOCAL && s->addr != best->addr) {
			several = true;
		}
	}
	if (!best)
		return -ENOENT;
	if (several)
		return -EEXIST;
	*sym = *best;
	return 0;
}

int st_object_symbol(struct st_object *obj, const char *name, const char *version,
		     struct st_symbol *sym)
{
	const char *colon = strrchr(name, ':');
	int ret = find_symbol(obj, NULL, 0, name, version, sym);

	if (ret != -ENOENT || !colon)
		return ret;
	return find_symbol(obj, name, colon - name, colon + 1, version, sym);
}

int st_objects_resolve(struct st_objects *objs, const char *name, const char *version,
		       struct st_object **who, struct st_symbol *sym)
{
	bool linked = false;
	size_t i;

	for (i = 0; i < objs->n; i++)
		linked |= objs->object[i].flags & ST_OBJECT_LINKED;
	/* The program, then by order: as they are sorted. */
	for (i = 0; i < objs->n; i++) {
		struct st_object *obj = &objs->object[i];

		if (linked ? !(obj->flags & ST_OBJECT_LINKED)
			   : !(obj->flags & ST_OBJECT_EXE) && objs->proc)
			continue;
		if (st_object_symbol(obj, name, version, sym) || sym->bind == STB_LOCAL ||
		    (linked && !sym->dynamic))
			continue;
		if (who)
			*who = obj;
		return 0;
	}
	return -ENOENT;
}
