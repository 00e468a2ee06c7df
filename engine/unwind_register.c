/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See unwind.h: the unwinder of a process that links us is told of our stubs. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <engine/island.h>
#include <engine/return.h>
#include <engine/unwind.h>

#if !defined(__arm__)
/* In a program that is linked statically they are there, or nothing unwinds. */
void __register_frame(const void *table) __attribute__((weak));

static void (*tell)(const void *table);

/* Tables are never taken back, as the stubs are not. */
void st_unwind_cover(unsigned long start, unsigned long end)
{
	size_t size = (size_t)(st_unwind_table_end - st_unwind_table);
	struct st_pending **list = &st_returns_list;
	unsigned long length = end - start;
	unsigned char *table;

	if (!tell)
		return;
	table = malloc(size);
	if (!table)
		return;
	memcpy(table, st_unwind_table, size);
	memcpy(table + (st_unwind_table_list - st_unwind_table), &list, sizeof(list));
	memcpy(table + (st_unwind_table_list2 - st_unwind_table), &list, sizeof(list));
	memcpy(table + (st_unwind_table_fde - st_unwind_table), &start, sizeof(start));
	memcpy(table + (st_unwind_table_fde - st_unwind_table) + sizeof(start), &length, sizeof(length));
	tell(table);
}

bool st_unwind_prepare(void)
{
	void *libgcc;

	if (tell)
		return true;
	/* backtrace() and pthread_cancel() load it by this name when they need it. */
	libgcc = dlopen("libgcc_s.so.1", RTLD_NOW);
	if (libgcc)
		tell = (void (*)(const void *))dlsym(libgcc, "__register_frame");
	if (!tell)
		tell = __register_frame;
	if (!tell)
		return false;
	st_islands_each(st_unwind_cover);
	return true;
}
#endif
