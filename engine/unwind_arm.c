/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unwinding through pending returns on 32-bit ARM, in a process that links us: its unwinder finds the entries of unwind_exidx.c, since the
 * function by which it looks for them is ours.
 */
#if defined(__arm__)
#include <dlfcn.h>
#include <link.h>
#include <stdint.h>
#include <engine/island.h>
#include <engine/return.h>
#include <engine/unwind.h>

/* libgcc's, of a program that is linked statically. */
int _Unwind_VRS_Get(void *context, int class, uint32_t reg, int representation, void *value) __attribute__((weak));
int _Unwind_VRS_Set(void *context, int class, uint32_t reg, int representation, void *value) __attribute__((weak));

struct search {
	unsigned long pc;
	const void *table;
	int count;
};

static int search_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *s = arg;
	const ElfW(Phdr) *index = NULL;
	bool ours = false;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

		if (ph->p_type == PT_LOAD && s->pc - (info->dlpi_addr + ph->p_vaddr) < ph->p_memsz)
			ours = true;
		if (ph->p_type == PT_ARM_EXIDX)
			index = ph;
	}
	if (!ours)
		return 0;
	if (index) {
		s->table = (const void *)(info->dlpi_addr + index->p_vaddr);
		s->count = (int)(index->p_memsz / 8);
	}
	return 1;
}

/*
 * In the place of the C library's, which libgcc's unwinder calls: the index table for a piece of code (EHABI32 appendix C), and how many
 * entries it has.
 */
__attribute__((visibility("default"))) const void *__gnu_Unwind_Find_exidx(unsigned long pc, int *count)
{
	struct search s = { .pc = pc };
	unsigned long island = st_island_at(pc);

	if (!island) {
		dl_iterate_phdr(search_object, &s);
	} else if (st_unwind_is_after(pc)) {
		s.table = (const void *)island;
		s.count = 1;
	}
	*count = s.count;
	return s.table;
}

bool st_unwind_prepare(void)
{
	void *libgcc;

	if (st_unwind_get && st_unwind_set)
		return true;
	libgcc = dlopen("libgcc_s.so.1", RTLD_NOW);
	st_unwind_set = libgcc ? (st_unwind_vrs)dlsym(libgcc, "_Unwind_VRS_Set") : NULL;
	if (!st_unwind_set)
		st_unwind_set = _Unwind_VRS_Set;
	st_unwind_get = libgcc ? (st_unwind_vrs)dlsym(libgcc, "_Unwind_VRS_Get") : NULL;
	if (!st_unwind_get)
		st_unwind_get = _Unwind_VRS_Get;
	return st_unwind_get && st_unwind_set;
}
#endif
