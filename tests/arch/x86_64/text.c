// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads the executable sections and the function symbols (.symtab and .dynsym) of an x86-64 ELF
 * file.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "text.h"

static const Elf64_Shdr *sections_of(const struct text *text, unsigned int *nr)
{
	const Elf64_Ehdr *eh = (const void *)text->map;

	*nr = eh->e_shnum;
	return (const void *)(text->map + eh->e_shoff);
}

static int by_address(const void *a_, const void *b_)
{
	const struct text_function *a = a_, *b = b_;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	return a->size < b->size ? 1 : a->size > b->size ? -1 : 0;
}

static void add_symbols(struct text *text, const Elf64_Shdr *table)
{
	const Elf64_Sym *sym = (const void *)(text->map + table->sh_offset);
	size_t n = table->sh_size / sizeof(*sym);
	unsigned int nr;
	const Elf64_Shdr *sh = sections_of(text, &nr);
	const char *names = (const char *)text->map + sh[table->sh_link].sh_offset;

	text->functions =
		realloc(text->functions, (text->nr_functions + n) * sizeof(*text->functions));
	if (!text->functions)
		abort();
	for (; n--; sym++) {
		int type = ELF64_ST_TYPE(sym->st_info);

		if ((type != STT_FUNC && type != STT_GNU_IFUNC) || !sym->st_size)
			continue;
		for (size_t i = 0; i < text->nr_sections; i++) {
			const struct text_section *s = &text->sections[i];

			if (sym->st_value - s->addr >= s->size ||
			    sym->st_size > s->addr + s->size - sym->st_value)
				continue;
			text->functions[text->nr_functions++] = (struct text_function){
				.name = names + sym->st_name,
				.code = s->code + (sym->st_value - s->addr),
				.addr = sym->st_value,
				.size = sym->st_size,
				.room = s->addr + s->size - sym->st_value,
			};
		}
	}
}

static void sort_functions(struct text *text)
{
	size_t n = 0;

	qsort(text->functions, text->nr_functions, sizeof(*text->functions), by_address);
	for (size_t i = 0; i < text->nr_functions; i++)
		if (!n || text->functions[n - 1].addr != text->functions[i].addr)
			text->functions[n++] = text->functions[i];
	text->nr_functions = n;
	for (size_t i = 0; i + 1 < n; i++) {
		size_t gap = text->functions[i + 1].addr - text->functions[i].addr;

		if (gap < text->functions[i].room)
			text->functions[i].room = gap;
	}
}

int text_open(struct text *text, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const Elf64_Ehdr *eh;
	const Elf64_Shdr *sh;
	struct stat st;
	unsigned int nr;

	memset(text, 0, sizeof(*text));
	if (fd < 0 || fstat(fd, &st) < 0) {
		perror(path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	text->size = st.st_size;
	text->map = mmap(NULL, text->size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (text->map == MAP_FAILED) {
		perror(path);
		return -1;
	}
	eh = (const void *)text->map;
	if (text->size < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) ||
	    eh->e_machine != EM_X86_64) {
		fprintf(stderr, "%s: not an x86-64 ELF file\n", path);
		munmap((void *)text->map, text->size);
		return -1;
	}
	sh = sections_of(text, &nr);
	text->sections = calloc(nr ? nr : 1, sizeof(*text->sections));
	if (!text->sections)
		abort();
	for (unsigned int i = 0; i < nr; i++)
		if (sh[i].sh_type == SHT_PROGBITS && (sh[i].sh_flags & SHF_EXECINSTR))
			text->sections[text->nr_sections++] = (struct text_section){
				.name = (const char *)text->map + sh[eh->e_shstrndx].sh_offset +
					sh[i].sh_name,
				.code = text->map + sh[i].sh_offset,
				.addr = sh[i].sh_addr,
				.size = sh[i].sh_size,
			};
	for (unsigned int i = 0; i < nr; i++)
		if (sh[i].sh_type == SHT_SYMTAB || sh[i].sh_type == SHT_DYNSYM)
			add_symbols(text, &sh[i]);
	sort_functions(text);
	return 0;
}

const uint8_t *text_at(const struct text *text, unsigned long addr, size_t len)
{
	const Elf64_Ehdr *eh = (const void *)text->map;
	const Elf64_Phdr *ph = (const void *)(text->map + eh->e_phoff);

	for (unsigned int i = 0; i < eh->e_phnum; i++, ph++)
		if (ph->p_type == PT_LOAD && addr - ph->p_vaddr < ph->p_filesz &&
		    ph->p_filesz - (addr - ph->p_vaddr) >= len)
			return text->map + ph->p_offset + (addr - ph->p_vaddr);
	return NULL;
}

void text_close(struct text *text)
{
	free(text->sections);
	free(text->functions);
	munmap((void *)text->map, text->size);
}
