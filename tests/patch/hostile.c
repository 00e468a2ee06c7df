/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Damaged, truncated and hostile patch files: each gets its sentence, in no time and without harm to who reads it.
 * Usage: hostile PATCH.so (one that is right: the cases are what is done to it)
 */
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <patch/manifest.h>
#include <patch/sign.h>
#include <process/process.h>

static unsigned int passed, failed;

/* The file that is being worked on: room behind its end for what is added. */
static uint8_t *file, *good;
static size_t len, good_len;
#define ROOM (64u << 20)

#if defined(__arm__)
enum { REL_TABLE = DT_REL, REL_SIZE = DT_RELSZ, REL_ENTRY = DT_RELENT };
#else
enum { REL_TABLE = DT_RELA, REL_SIZE = DT_RELASZ, REL_ENTRY = DT_RELAENT };
#endif

static ElfW(Ehdr) *header(void)
{
	return (void *)file;
}

static ElfW(Phdr) *segment(unsigned int type, unsigned int n)
{
	ElfW(Phdr) *ph = (void *)(file + header()->e_phoff);

	for (unsigned int i = 0; i < header()->e_phnum; i++)
		if (ph[i].p_type == type && !n--)
			return &ph[i];
	fprintf(stderr, "the patch has no segment of type %u\n", type);
	exit(1);
}

static ElfW(Shdr) *section(const char *name)
{
	ElfW(Shdr) *sh = (void *)(file + header()->e_shoff);
	const char *names = (void *)(file + sh[header()->e_shstrndx].sh_offset);

	for (unsigned int i = 0; i < header()->e_shnum; i++)
		if (!strcmp(names + sh[i].sh_name, name))
			return &sh[i];
	fprintf(stderr, "the patch has no section %s\n", name);
	exit(1);
}

static ElfW(Dyn) *dynamic(long tag)
{
	ElfW(Dyn) *dyn = (void *)(file + segment(PT_DYNAMIC, 0)->p_offset);

	while (dyn->d_tag != tag && dyn->d_tag != DT_NULL)
		dyn++;
	if (dyn->d_tag == tag)
		return dyn;
	fprintf(stderr, "the patch has no dynamic entry %ld\n", tag);
	exit(1);
}

static ElfW(Phdr) *code(void)
{
	unsigned int n = 0;

	while (!(segment(PT_LOAD, n)->p_flags & PF_X))
		n++;
	return segment(PT_LOAD, n);
}

/* The first relocation: REL and RELA begin alike. */
static ElfW(Rel) *relocation(void)
{
	return (void *)(file + dynamic(REL_TABLE)->d_un.d_ptr - segment(PT_LOAD, 0)->p_vaddr);
}

/* Bytes behind the end of the file; where they lie. */
static size_t append(const void *bytes, size_t n)
{
	size_t at = (len + 7) & ~7ul;

	memset(file + len, 0, at - len);
	memcpy(file + at, bytes, n);
	len = at + n;
	return at;
}

static size_t note(uint8_t *to, const char *name, const char *text, size_t text_len)
{
	ElfW(Nhdr) head = { .n_namesz = (ElfW(Word))strlen(name) + 1, .n_descsz = (ElfW(Word))text_len, .n_type = 1 };
	size_t padded = (head.n_namesz + 3) & ~3ul;

	memset(to, 0, sizeof(head) + padded + ((text_len + 3) & ~3ul));
	memcpy(to, &head, sizeof(head));
	memcpy(to + sizeof(head), name, head.n_namesz);
	memcpy(to + sizeof(head) + padded, text, text_len);
	return sizeof(head) + padded + ((text_len + 3) & ~3ul);
}

/* The manifest is these notes, separated by newlines, and nothing else. */
static void manifest(const char *lines)
{
	uint8_t *notes = calloc(1, 64 * strlen(lines) + 4096);
	size_t n = 0;

	for (const char *line = lines; *line;) {
		size_t width = strcspn(line, "\n");
		char *text = strndup(line, width);

		n += note(notes + n, "Sidetrack", text, width + 1);
		free(text);
		line += width + (line[width] == '\n');
	}
	section(".note.sidetrack")->sh_size = n;
	n = append(notes, n);
	section(".note.sidetrack")->sh_offset = n;
	free(notes);
}

/* ---- what is done to it ---- */

static void not_elf(void) { memset(file, 'x', 16); }
static void other_machine(void) { header()->e_machine = EM_SPARC; }
static void other_class(void) { file[EI_CLASS] ^= 3; }
static void a_program(void) { header()->e_type = ET_EXEC; }
static void empty(void) { len = 0; }
static void short_header(void) { len = 30; }
static void phdrs_outside(void) { header()->e_phoff = len - 8; }
static void phdrs_far(void) { header()->e_phoff = (ElfW(Off))~0ul - 7; }
static void many_phdrs(void) { header()->e_phnum = 0xffff; }
static void sections_outside(void) { header()->e_shoff = len - 8; }
static void segment_outside(void) { segment(PT_LOAD, 1)->p_offset = len - 8; }
static void segment_far(void) { segment(PT_LOAD, 1)->p_offset = (ElfW(Off))~0ul - 4095; }
static void segment_huge(void) { segment(PT_LOAD, 1)->p_memsz = (ElfW(Addr))1 << (8 * sizeof(long) - 2); }
static void segment_endless(void) { segment(PT_LOAD, 1)->p_memsz = (ElfW(Addr))~0ul; }
static void segment_filesz(void) { segment(PT_LOAD, 1)->p_filesz = segment(PT_LOAD, 1)->p_memsz + 1; }
static void segments_overlap(void) { segment(PT_LOAD, 1)->p_vaddr = segment(PT_LOAD, 0)->p_vaddr; }
static void segments_share(void) { segment(PT_LOAD, 1)->p_vaddr = segment(PT_LOAD, 0)->p_vaddr + segment(PT_LOAD, 0)->p_memsz; }
static void segment_far_up(void) { segment(PT_LOAD, 1)->p_vaddr = (ElfW(Addr))~0ul - 0xfff; }
static void writable_code(void) { code()->p_flags = PF_R | PF_W | PF_X; }
static void no_dynamic(void) { segment(PT_DYNAMIC, 0)->p_type = PT_NULL; }
static void dynamic_outside(void) { segment(PT_DYNAMIC, 0)->p_vaddr += 1u << 20; }
static void dynamic_long(void) { segment(PT_DYNAMIC, 0)->p_filesz = 1u << 28; }
static void thread_local_data(void) { segment(PT_DYNAMIC, 0)[0].p_type = PT_TLS; }
static void interpreter(void) { segment(PT_DYNAMIC, 0)[0].p_type = PT_INTERP; }

static void relro_code(void)
{
	ElfW(Phdr) *ph = segment(PT_GNU_RELRO, 0);

	ph->p_vaddr = code()->p_vaddr;
	ph->p_memsz = 4096;
}

static void relro_endless(void) { segment(PT_GNU_RELRO, 0)->p_memsz = (ElfW(Addr))~0ul; }
static void strtab_outside(void) { dynamic(DT_STRTAB)->d_un.d_ptr = 1u << 27; }
static void strtab_long(void) { dynamic(DT_STRSZ)->d_un.d_val = 1u << 27; }
static void strtab_short(void) { dynamic(DT_STRSZ)->d_un.d_val = 1; }

/* No string in it ends. */
static void strtab_endless(void)
{
	memset(file + dynamic(DT_STRTAB)->d_un.d_ptr - segment(PT_LOAD, 0)->p_vaddr, 'x', dynamic(DT_STRSZ)->d_un.d_val);
}

static void symtab_outside(void) { dynamic(DT_SYMTAB)->d_un.d_ptr = 1u << 27; }
static void symbol_size(void) { dynamic(DT_SYMENT)->d_un.d_val = 5; }

static void relocations_outside(void) { dynamic(REL_TABLE)->d_un.d_ptr = 1u << 27; }
static void relocations_long(void) { dynamic(REL_SIZE)->d_un.d_val = 1u << 30; }
static void relocation_outside(void) { relocation()->r_offset = 1u << 29; }
static void relocation_at_end(void) { relocation()->r_offset = (ElfW(Addr))~0ul - 2; }
static void relocation_in_code(void) { relocation()->r_offset = code()->p_vaddr; }
static void relocation_type(void) { relocation()->r_info |= 0xff; }
static void relocation_symbol(void) { relocation()->r_info |= (ElfW(Addr))0xffffff << (sizeof(long) == 8 ? 32 : 8); }
static void constructor(void) { dynamic(DT_STRSZ)->d_tag = DT_INIT; }
static void text_relocations(void) { dynamic(DT_STRSZ)->d_tag = DT_TEXTREL; }

static void notes_outside(void) { section(".note.sidetrack")->sh_offset = len - 4; }
static void notes_long(void) { section(".note.sidetrack")->sh_size = 1u << 30; }
static void note_long(void) { *(ElfW(Word) *)(file + section(".note.sidetrack")->sh_offset + 4) = 1u << 20; }
static void note_longer(void) { *(ElfW(Word) *)(file + section(".note.sidetrack")->sh_offset + 4) = ~0u; }
static void note_name(void) { *(ElfW(Word) *)(file + section(".note.sidetrack")->sh_offset) = ~0u; }
static void note_without_end(void) { file[section(".note.sidetrack")->sh_offset + 24 + 30] = 'x'; }
static void no_notes(void) { section(".note.sidetrack")->sh_type = SHT_PROGBITS; }

/* A million notes of somebody else, and ours; of ours, that say the same; that say something else each. */
static void million(const char *name, bool same)
{
	uint8_t *notes = malloc(48u << 20);
	char text[64];
	size_t n = 0;

	n += note(notes + n, "Sidetrack", "patch\tp\tindependent", 20);
	n += note(notes + n, "Sidetrack", "replace\to\tf\tg", 14);
	for (int i = 0; i < 1000000; i++)
		n += note(notes + n, name, text, (size_t)snprintf(text, sizeof(text), same ? "object\to\t00" : "state\t%d\t1", i) + 1);
	section(".note.sidetrack")->sh_size = n;
	section(".note.sidetrack")->sh_offset = append(notes, n);
	free(notes);
}

static void million_foreign(void) { million("Somebody", true); }
static void million_same(void) { million("Sidetrack", true); }
static void million_ours(void) { million("Sidetrack", false); }

/* Many sections that are all the same long list of notes. */
static void overlapping_notes(void)
{
	enum { SECTIONS = 60000 };
	ElfW(Shdr) *table = calloc(SECTIONS, sizeof(*table)), sh = *section(".note.sidetrack");

	million("Somebody", true);
	sh = *section(".note.sidetrack");
	for (int i = 1; i < SECTIONS; i++)
		table[i] = sh;
	header()->e_shoff = append(table, SECTIONS * sizeof(*table));
	header()->e_shnum = SECTIONS;
	header()->e_shstrndx = 0;
	free(table);
}

/* A symbol's version is looked for in a long table, each entry of which leads through all that follow. */
static void versions(void)
{
	static const struct { uint16_t version, count; uint32_t file, aux, next; } entry = { 1, 0xffff, 0, 16, 16 };
	size_t n = 1u << 20, at = 0x7000000;
	ElfW(Phdr) *ph = segment(PT_LOAD, 0);
	uint8_t *table = malloc(n);

	for (size_t i = 0; i < n; i += sizeof(entry))
		memcpy(table + i, &entry, sizeof(entry));
	memset(table + n - 4096, 1, 4096);	/* the versions that are looked for */
	memset(table + n - 4096 - 4, 0, 4);	/* and so it ends */
	while (ph->p_type == PT_LOAD || ph->p_type == PT_DYNAMIC || ph->p_type == PT_GNU_RELRO)
		ph++;
	*ph = (ElfW(Phdr)){ .p_type = PT_LOAD, .p_vaddr = at, .p_filesz = n, .p_memsz = n, .p_flags = PF_R, .p_align = 4096 };
	ph->p_offset = append(table, n);
	free(table);
	*dynamic(DT_SYMENT) = (ElfW(Dyn)){ .d_tag = DT_VERNEED, .d_un.d_ptr = at };
	*dynamic(DT_GNU_HASH) = (ElfW(Dyn)){ .d_tag = DT_VERSYM, .d_un.d_ptr = at + n - 4096 };
	*dynamic(REL_ENTRY) = (ElfW(Dyn)){ .d_tag = DT_VERNEEDNUM, .d_un.d_val = ~0u };
}

struct file_case {
	const char *name;
	void (*make)(void);
	const char *manifest, *load;	/* part of the sentence; "": it does not mind; NULL: it may say either */
};

static const struct file_case cases[] = {
	{ "as it is", NULL, "", "" },
	{ "no ELF file", not_elf, "not an ELF file", "not an ELF file" },
	{ "another machine", other_machine, "", "for this architecture" },
	{ "the other class", other_class, NULL, "for this architecture" },
	{ "a program", a_program, "", "not a shared object" },
	{ "nothing", empty, "not an ELF file", "too short" },
	{ "half a header", short_header, NULL, "too short" },
	{ "program headers outside", phdrs_outside, "", "program headers are not in the file" },
	{ "program headers far outside", phdrs_far, "", "program headers are not in the file" },
	{ "many program headers", many_phdrs, "", "for this architecture" },
	{ "sections outside", sections_outside, "no manifest", "" },
	{ "a segment outside", segment_outside, "", "beyond the end of the file" },
	{ "a segment far outside", segment_far, "", "beyond the end of the file" },
	{ "a huge segment", segment_huge, "", "too large, or overlap" },
	{ "an endless segment", segment_endless, "", "too large, or overlap" },
	{ "a segment longer in the file", segment_filesz, "", "beyond the end of the file" },
	{ "segments that overlap", segments_overlap, "", "too large, or overlap" },
	{ "segments that share a page", segments_share, "", "share a page" },
	{ "a segment at the end of memory", segment_far_up, "", "too large, or overlap" },
	{ "writable code", writable_code, "", "writable and executable" },
	{ "no dynamic section", no_dynamic, "", "no dynamic section" },
	{ "dynamic section outside", dynamic_outside, "", "dynamic section is not in the file" },
	{ "endless dynamic section", dynamic_long, "", "dynamic section is not in the file" },
	{ "thread-local variables", thread_local_data, "", "thread-local" },
	{ "an interpreter", interpreter, "", "it is a program" },
	{ "code made read-only", relro_code, "", "read-only" },
	{ "everything made read-only", relro_endless, "", "read-only" },
	{ "strings outside", strtab_outside, "", "name is not in the file" },
	{ "too many strings", strtab_long, "", "name is not in the file" },
	{ "too few strings", strtab_short, "", "name is not in the file" },
	{ "strings without end", strtab_endless, "", "name is not in the file" },
	{ "symbols outside", symtab_outside, "", "symbol that is not in the file" },
	{ "symbols of another size", symbol_size, "", "unknown size" },
	{ "relocations outside", relocations_outside, "", "relocations are not in the file" },
	{ "too many relocations", relocations_long, "", "relocations are not in the file" },
	{ "a relocation outside", relocation_outside, "", "not writable data" },
	{ "a relocation at the end of memory", relocation_at_end, "", "not writable data" },
	{ "a relocation in code", relocation_in_code, "", "not writable data" },
	{ "a relocation nobody knows", relocation_type, "", "relocation type" },
	{ "a relocation without symbol", relocation_symbol, "", NULL },
	{ "a constructor", constructor, "", "constructors" },
	{ "relocations in the text", text_relocations, "", "text needs relocation" },
	{ "versions without end", versions, "", "versions has no end" },
	{ "notes outside", notes_outside, "manifest is damaged", "" },
	{ "notes longer than the file", notes_long, "manifest is damaged", "" },
	{ "a note longer than its section", note_long, "manifest is damaged", "" },
	{ "an endless note", note_longer, "manifest is damaged", "" },
	{ "a note with an endless name", note_name, "manifest is damaged", "" },
	{ "no notes", no_notes, "no manifest", "" },
	{ "a million foreign notes", million_foreign, "", "" },
	{ "a million notes that say the same", million_same, "", "" },
	{ "a million notes", million_ours, "more than 256 entries of 'state'", "" },
	{ "sixty thousand times a million notes", overlapping_notes, "manifest is damaged", "" },
	{ "a note without end", note_without_end, NULL, "" },
};

#define START "patch\tp\tthread\nreplace\to\tf\tg\n"

static const struct {
	const char *lines, *sentence;	/* "": it is right */
} manifests[] = {
	{ START, "" },
	{ START "replace-all\ndepends\tq\ncallbacks\to\ta\tnone\tNULL\t0\nstate\t1\t0x2u\nobject\to\tabcd\ntarget\to\tc.c:s\tv", "" },
	{ START "object\to\tab\nobject\to\tAB", "" },
	{ "patch\tp\tprocess\ncallbacks\to\ta\tb\tc\td", "" },
	{ "replace\to\tf\tg", "no manifest" },
	{ "patch\tp\tthread", "replaces nothing" },
	{ START "patch\tq\tthread", "names the patch twice" },
	{ "patch\tp q\tthread", "no name for a patch" },
	{ "patch\tp\tsometimes", "no level 'sometimes'" },
	{ START "replace\to\tf\th", "replaces f twice" },
	{ START "replace\to\tf", "2 words after 'replace', which should be 3" },
	{ START "replace\to\tf\tg\th", "4 words after 'replace', which should be 3" },
	{ START "replace\to\t\tg", "an empty name after 'replace'" },
	{ START "patch\ta\tb\tc\td\te\tf\tg\th\ti\tj", "words after 'patch'" },
	{ START "later\tx", "says 'later', which this version does not know" },
	{ START "\tx", "says '', which this version does not know" },
	{ START "target\t../o\ts\tv", "odd character" },
	{ START "target\to\ts\033[2J\tv", "odd character" },
	{ START "object\to\txyz", "'xyz' is no build-id" },
	{ START "object\to\tabc", "'abc' is no build-id" },
	{ START "object\to\tab\nobject\to\tcd", "two builds of o" },
	{ START "depends\tp", "depends on itself" },
	{ START "depends\ta/b", "odd character" },
	{ START "callbacks\to\ta\tb\tc\td\ncallbacks\to\ta\tb\tc\td", "callbacks for o twice" },
	{ START "state\t1\t2\nstate\t1\t3", "state 1 twice" },
	{ START "state\t-1\t2", "two numbers" },
	{ START "state\t1\t4294967296", "two numbers" },
	{ START "state\t99999999999999999999999\t1", "two numbers" },
	{ START "state\tone\t1", "two numbers" },
	{ START "bound\to\tf\t0x10\t4\t8\tnative\tdata", "does not say of which build" },
	{ START "object\to\tab\nbound\to\tf\t0x10\t4\t8\tnative\tdata", "says that it is data" },
	{ START "object\to\tab\nbound\to\tf\t0x10\t4\t8\tnative\tab", "makes no sense" },
	{ START "object\to\tab\nbound\to\tf\t0x10\t4\t8\tz80\tdata", "makes no sense" },
	{ START "object\to\tab\nbound\to\tf\t-1\t4\t8\tnative\tdata", "makes no sense" },
	{ START "object\to\tab\nbound\to\tx\t0x10\t4\t8\tnative\tdata", "address of x, which it does not use" },
#define SUM "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	{ START "object\to\tab\nbound\to\tf\t0x10\t4\t8\tt32\t" SUM, "" },
	{ "bound\to\tf\t0x10\t4\t8\tnative\t" SUM "\n" START "object\to\tab", "" },
	{ START "object\to\tab\nbound\to\tf\t0x10\t0\t8\tnative\t" SUM, "gives f no size" },
	{ START "object\to\tab\nbound\to\tf\t0x10\t9\t8\tnative\t" SUM, "gives f no size, or one that does not fit" },
	{ START "object\to\tab\nbound\to\tf\t0x10\t4\t8\tnative\t" SUM "ab", "makes no sense" },
	{ START "object\to\tab\nbound\to\tf\t0x10\t4\t8\tnative\t" SUM "\nbound\to\tf\t0x10\t4\t8\tnative\t" SUM, "two addresses of f" },
};

/* @want: part of the sentence; "": 0 is wanted; NULL: any answer, but with a sentence. */
static void check(const char *what, const char *who, int ret, const char *err, const char *want)
{
	bool right = want ? *want ? ret < 0 && strstr(err, want) : !ret : !ret || *err;

	if (right) {
		passed++;
		return;
	}
	failed++;
	printf("failed: %s, %s: %d, \"%s\", not \"%s\"\n", what, who, ret, ret ? err : "", want ? want : "a sentence");
}

static void restore(void)
{
	memcpy(file, good, good_len);
	len = good_len;
}

static int read_it(char *err)
{
	static struct st_manifest m;
	/* Of the size that it has, so that a sanitizer sees a byte too far. */
	uint8_t *copy = malloc(len);
	int ret;

	*err = '\0';
	memcpy(copy, file, len);
	ret = st_manifest_read(copy, len, &m, err);
	if (!ret)
		st_manifest_free(&m);
	free(copy);
	return ret;
}

static int load_it(char *err)
{
	uint8_t *copy = malloc(len);
	int ret;

	*err = '\0';
	memcpy(copy, file, len);
	ret = st_load_check(copy, len, err);
	free(copy);
	return ret;
}

static void check_files(void)
{
	char err[ST_ERR_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		restore();
		if (cases[i].make)
			cases[i].make();
		check(cases[i].name, "manifest", read_it(err), err, cases[i].manifest);
		check(cases[i].name, "load", load_it(err), err, cases[i].load);
	}
}

static void check_manifests(void)
{
	char err[ST_ERR_MAX];

	for (size_t i = 0; i < sizeof(manifests) / sizeof(manifests[0]); i++) {
		restore();
		manifest(manifests[i].lines);
		check(manifests[i].lines + (strlen(manifests[i].lines) > sizeof(START) ? sizeof(START) - 1 : 0), "manifest", read_it(err), err,
		      manifests[i].sentence);
	}
	/* A name that is too long. */
	restore();
	memset(file + ROOM / 2, 'x', 2000);
	memcpy(file + ROOM / 2, START "replace\to\t", sizeof(START "replace\to\t") - 1);
	strcpy((char *)file + ROOM / 2 + 2000, "\tg");
	manifest((char *)file + ROOM / 2);
	check("a long name", "manifest", read_it(err), err, "more than 1000 characters");
}

/* Cut anywhere, and any byte changed: something is said, or nothing is wrong with it. */
static void check_everywhere(void)
{
	char err[ST_ERR_MAX], who[ST_SIGN_NAME_MAX];
	size_t payload, step = getenv("SIDETRACK_LONG") ? 1 : good_len / 1500 + 1;

	for (size_t n = 0; n < good_len; n += step) {
		restore();
		len = n;
		check("cut", "manifest", read_it(err), err, NULL);
		check("cut", "load", load_it(err), err, NULL);
		restore();
		file[n] ^= 0xff;
		check("changed", "manifest", read_it(err), err, NULL);
		check("changed", "load", load_it(err), err, NULL);
		*err = '\0';
		check("cut", "signature", st_sign_check(file, n, &payload, who, err), err, "not signed");
	}
}

int main(int argc, char **argv)
{
	FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;

	file = malloc(ROOM);
	good = malloc(ROOM);
	good_len = f && file && good ? fread(good, 1, ROOM / 4, f) : 0;
	if (!good_len) {
		fprintf(stderr, "usage: hostile PATCH.so\n");
		return 2;
	}
	check_files();
	check_manifests();
	check_everywhere();
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
