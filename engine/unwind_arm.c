/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unwinding through pending returns on 32-bit ARM, in a process that links us (EHABI32 5 and 6). There is no expression language, but an
 * index entry may name a personality routine that unwinds the frame as it likes. It has to be within a gigabyte of its entry, and both of the
 * code, so the first bytes of each piece of memory for stubs are the entry, its table, and a jump to the routine.
 */
#if defined(__arm__)
#include <dlfcn.h>
#include <link.h>
#include <stdint.h>
#include <engine/island.h>
#include <engine/return.h>
#include <engine/unwind.h>

#define URC_CONTINUE_UNWIND	8
#define URC_FAILURE		9
#define SP			13
#define PC			15

/* libgcc's (EHABI32 7.5): register class 0 is the core registers, representation 0 an unsigned word. */
int _Unwind_VRS_Get(void *context, int class, uint32_t reg, int representation, void *value) __attribute__((weak));
int _Unwind_VRS_Set(void *context, int class, uint32_t reg, int representation, void *value) __attribute__((weak));

static int (*get)(void *context, int class, uint32_t reg, int representation, void *value);
static int (*set)(void *context, int class, uint32_t reg, int representation, void *value);

/* sp is the caller's already, and the other registers are as the function left them. */
static int unwind(int state, void *exception, void *context)
{
	uint32_t key, addr = 0;

	(void)state;
	(void)exception;
	if (!get || get(context, 0, SP, 0, &key))
		return URC_FAILURE;
	for (struct st_pending *r = __atomic_load_n(&st_returns_list, __ATOMIC_ACQUIRE); r && !addr; r = r->next)
		for (struct st_pending *e = r + ST_PENDING_MAX - 1; e > r && !addr; e--)
			if (e->key == key)
				addr = e->addr;
	if (!addr || set(context, 0, PC, 0, &addr))
		return URC_FAILURE;
	return URC_CONTINUE_UNWIND;
}

static uint32_t prel31(unsigned long from, unsigned long to)
{
	return (to - from) & 0x7fffffff;
}

void st_unwind_head(void *write, unsigned long at)
{
	uint32_t *w = write;

	w[0] = prel31(at, at);			/* the code that it is for starts here */
	w[1] = prel31(at + 4, at + 8);		/* its table */
	w[2] = prel31(at + 8, at + 12);		/* which names a routine */
	w[3] = 0xe51ff004;			/* ldr pc, [pc, #-4] */
	w[4] = (uint32_t)&unwind;
}

/*
 * Is it where a pending return will come to? Unwinders look up a place in the call, which is before it. For other places in a stub nothing
 * is said: a thread that is cancelled there ends its stack, as before; a routine that gives up would end the process.
 */
static bool is_after(unsigned long pc)
{
	for (struct st_pending *r = __atomic_load_n(&st_returns_list, __ATOMIC_ACQUIRE); r; r = r->next)
		for (struct st_pending *e = r + ST_PENDING_MAX - 1; e > r; e--)
			if (e->key > ST_PENDING_TAKEN && (e->ret->after & ~1ul) - (pc & ~1ul) <= 2)
				return true;
	return false;
}

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
	} else if (is_after(pc)) {
		s.table = (const void *)island;
		s.count = 1;
	}
	*count = s.count;
	return s.table;
}

bool st_unwind_prepare(void)
{
	void *libgcc;

	if (get)
		return true;
	libgcc = dlopen("libgcc_s.so.1", RTLD_NOW);
	set = libgcc ? (__typeof__(set))dlsym(libgcc, "_Unwind_VRS_Set") : NULL;
	if (!set)
		set = _Unwind_VRS_Set;
	get = libgcc ? (__typeof__(get))dlsym(libgcc, "_Unwind_VRS_Get") : NULL;
	if (!get)
		get = _Unwind_VRS_Get;
	return get && set;
}
#endif
