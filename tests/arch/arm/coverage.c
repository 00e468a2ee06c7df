// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many functions of real 32-bit ARM files can be hooked, and why the others can't. Runs on the
 *build machine.
 *
 *	coverage [--all] FILE...
 *
 * Fails when less than 95 of 100 can, or when a plan has no stub. --all: names each function that
 *can't.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/arch.h"

static unsigned long kinds[2][ST_KIND_NO + 1], broken;
static bool all;

static struct {
	const char *why;
	unsigned long n;
} reasons[64];

static void count_reason(const char *why)
{
	unsigned int i;

	for (i = 0; i < 63 && reasons[i].why && strcmp(reasons[i].why, why); i++)
		;
	reasons[i].why = why;
	reasons[i].n++;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = (*(Elf32_Sym *const *)a)->st_value, y = (*(Elf32_Sym *const *)b)->st_value;

	return x < y ? -1 : x > y;
}

static void function(const char *name, const uint8_t *code, uint32_t value, uint32_t size,
		     uint32_t room)
{
	bool thumb = value & 1;
	unsigned long addr = value & ~1u;
	uint8_t buf[ST_STUB_MAX];
	struct st_stub stub = {.buf = buf, .at = (addr + 0x100000) & ~15ul, .site = 1, .entry = 4};
	struct st_plan plan;

	if (st_arch_plan(&plan, code, addr, size, room, thumb ? ST_ISA_T32 : ST_ISA_A32)) {
		count_reason(plan.why);
		if (all)
			printf("%c32 %8lx %5u %s: %s\n", thumb ? 'T' : 'A', addr, size, name,
			       plan.why);
	} else if (st_arch_stub(&plan, &stub)) {
		printf("FAIL: no stub for %s\n", name);
		broken++;
	}
	kinds[thumb][plan.kind]++;
}

static bool object(const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	const uint8_t *p;
	const Elf32_Ehdr *eh;
	const Elf32_Shdr *sh, *table = NULL;
	const Elf32_Sym **sorted;
	unsigned int i, n, k = 0;

	if (fd < 0 || fstat(fd, &st)) {
		perror(path);
		return false;
	}
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	eh = (const void *)p;
	if (p == MAP_FAILED || memcmp(p, ELFMAG, 4) || p[EI_CLASS] != ELFCLASS32 ||
	    eh->e_machine != EM_ARM)
		return false;
	sh = (const void *)(p + eh->e_shoff);
	for (i = 0; i < eh->e_shnum; i++)
		if (sh[i].sh_type == SHT_SYMTAB || (sh[i].sh_type == SHT_DYNSYM && !table))
			table = &sh[i];
	if (!table)
		return false;
	n = table->sh_size / sizeof(Elf32_Sym);
	sorted = calloc(n, sizeof(*sorted));
	for (i = 0; i < n; i++) {
		const Elf32_Sym *s = (const Elf32_Sym *)(p + table->sh_offset) + i;

		if (ELF32_ST_TYPE(s->st_info) == STT_FUNC && s->st_shndx &&
		    s->st_shndx < eh->e_shnum && s->st_size)
			sorted[k++] = s;
	}
	qsort(sorted, k, sizeof(*sorted), by_value);
	for (i = 0; i < k; i++) {
		const Elf32_Sym *s = sorted[i];
		const Elf32_Shdr *in = &sh[s->st_shndx];
		uint32_t addr = s->st_value & ~1u, end = in->sh_addr + in->sh_size;
		unsigned int j = i + 1;

		if (i && sorted[i - 1]->st_value == s->st_value)
			continue;
		while (j < k && (sorted[j]->st_value & ~1u) <= addr)
			j++;
		if (j < k && (sorted[j]->st_value & ~1u) < end)
			end = sorted[j]->st_value & ~1u;
		if (addr < in->sh_addr || addr + s->st_size > in->sh_addr + in->sh_size)
			continue;
		function((const char *)p + sh[table->sh_link].sh_offset + s->st_name,
			 p + in->sh_offset + (addr - in->sh_addr), s->st_value, s->st_size,
			 end - addr);
	}
	free(sorted);
	munmap((void *)p, (size_t)st.st_size);
	return true;
}

int main(int argc, char **argv)
{
	unsigned long good = 0, bad = 0;
	unsigned int i;
	int files = 0;

	for (i = 1; i < (unsigned int)argc; i++) {
		if (!strcmp(argv[i], "--all"))
			all = true;
		else
			files += object(argv[i]);
	}
	if (!files) {
		printf("no ARM file to read\n");
		return 77;
	}
	for (i = 0; i < 2; i++) {
		printf("%c32: %lu NOP, %lu moved, %lu refused\n", i ? 'T' : 'A',
		       kinds[i][ST_KIND_NOP], kinds[i][ST_KIND_MOVE], kinds[i][ST_KIND_NO]);
		good += kinds[i][ST_KIND_NOP] + kinds[i][ST_KIND_MOVE];
		bad += kinds[i][ST_KIND_NO];
	}
	for (i = 0; i < 64 && reasons[i].why; i++)
		printf("%6lu %s\n", reasons[i].n, reasons[i].why);
	printf("%.2f of 100 can be hooked\n", 100.0 * (double)good / (double)(good + bad));
	return broken || good < (good + bad) * 95 / 100;
}
