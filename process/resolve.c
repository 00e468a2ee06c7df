// SPDX-License-Identifier: GPL-2.0-only
/*
 * Imports of a loaded object: what the process's own dynamic loader would have bound them to. For
 * an indirect function (ifunc) that is what it did bind, or else what the resolver says when it is
 * run there.
 */
#include "process/arch/arch.h"
#include "process/symbols.h"
#include <elf.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* More relocations than this are damage. */
#define TABLE_MAX (64ul << 20)

struct dynamic {
	unsigned long symtab, strtab, strsz;
	struct {
		unsigned long addr, size;
		bool rela;
	} table[3]; /* of the PLT, with addend, without */
};

/* In memory some loaders have relocated the addresses and some have not. */
static unsigned long relocated(const struct st_object *obj, unsigned long addr)
{
	return addr >= obj->lo && addr < obj->hi ? addr : addr + obj->bias;
}

static bool read_dynamic(struct st_proc *proc, const struct st_object *obj, struct dynamic *d)
{
	ElfW(Dyn) dyn;
	size_t i;

	*d = (struct dynamic){.table[1].rela = true};
	for (i = 0; i < 256; i++) {
		if (st_mem_read(proc, obj->dynamic + i * sizeof(dyn), &dyn, sizeof(dyn)) ||
		    dyn.d_tag == DT_NULL)
			break;
		switch (dyn.d_tag) {
		case DT_SYMTAB:
			d->symtab = relocated(obj, dyn.d_un.d_ptr);
			break;
		case DT_STRTAB:
			d->strtab = relocated(obj, dyn.d_un.d_ptr);
			break;
		case DT_STRSZ:
			d->strsz = dyn.d_un.d_val;
			break;
		case DT_JMPREL:
			d->table[0].addr = relocated(obj, dyn.d_un.d_ptr);
			break;
		case DT_PLTRELSZ:
			d->table[0].size = dyn.d_un.d_val;
			break;
		case DT_PLTREL:
			d->table[0].rela = dyn.d_un.d_val == DT_RELA;
			break;
		case DT_RELA:
			d->table[1].addr = relocated(obj, dyn.d_un.d_ptr);
			break;
		case DT_RELASZ:
			d->table[1].size = dyn.d_un.d_val;
			break;
		case DT_REL:
			d->table[2].addr = relocated(obj, dyn.d_un.d_ptr);
			break;
		case DT_RELSZ:
			d->table[2].size = dyn.d_un.d_val;
			break;
		}
	}
	return d->symtab && d->strtab && d->strsz;
}

static bool is_code_of(struct st_objects *objs, struct st_object *who, unsigned long addr)
{
	size_t i;

	if (st_objects_find(objs, addr) != who || st_object_is_plt(who, addr))
		return false;
	for (i = 0; i < who->nsegments; i++)
		if (addr >= who->segment[i].start && addr < who->segment[i].end)
			return who->segment[i].prot & PROT_EXEC;
	return false;
}

#if defined(__x86_64__)
#define ST_RELOC_IRELATIVE R_X86_64_IRELATIVE
#elif defined(__aarch64__)
#define ST_RELOC_IRELATIVE R_AARCH64_IRELATIVE
#else
#define ST_RELOC_IRELATIVE R_ARM_IRELATIVE
#endif

/*
 * What a slot of one object for @name, or for the object's own indirect function with this resolver, holds, if that is code of @who.
 * 0: nothing.
 */
static unsigned long bound_in(struct st_objects *objs, const struct st_object *obj,
			      struct st_object *who, const char *name, unsigned long resolver)
{
	struct st_proc *proc = objs->proc;
	size_t t, i, len = strlen(name) + 1;
	unsigned long found = 0;
	struct dynamic d;
	char *is;

	if (!obj->dynamic || !read_dynamic(proc, obj, &d))
		return 0;
	is = malloc(len);
	for (t = 0; is && t < ARRAY_SIZE(d.table) && !found; t++) {
		size_t size = d.table[t].rela ? sizeof(ElfW(Rela)) : sizeof(ElfW(Rel));
		uint8_t *rel;

		if (!d.table[t].size || d.table[t].size > TABLE_MAX)
			continue;
		rel = malloc(d.table[t].size);
		if (!rel || st_mem_read(proc, d.table[t].addr, rel, d.table[t].size)) {
			free(rel);
			continue;
		}
		for (i = 0; i + size <= d.table[t].size && !found; i += size) {
			const char *why;
			unsigned long value, n, type;
			ElfW(Rela) r;
			ElfW(Sym) sym;

			memcpy(&r, rel + i, size);
			n = sizeof(long) == 8 ? r.r_info >> 16 >> 16 : r.r_info >> 8;
			type = sizeof(long) == 8 ? r.r_info & 0xffffffff : r.r_info & 0xff;
			if (type == ST_RELOC_IRELATIVE && d.table[t].rela && who == obj &&
			    resolver && obj->bias + r.r_addend == resolver) {
				if (!st_mem_read(proc, obj->bias + r.r_offset, &value, sizeof(value)) &&
				    value != resolver && is_code_of(objs, who, value))
					found = value;
				continue;
			}
			if (!n || st_arch_reloc(type, &why) != ST_RELOC_SLOT)
				continue;
			if (st_mem_read(proc, d.symtab + n * sizeof(sym), &sym, sizeof(sym)) ||
			    sym.st_name >= d.strsz ||
			    st_mem_read(proc, d.strtab + sym.st_name, is, len) ||
			    memcmp(is, name, len))
				continue;
			if (!st_mem_read(proc, obj->bias + r.r_offset, &value, sizeof(value)) &&
			    is_code_of(objs, who, value & ~1ul))
				found = value;
		}
		free(rel);
	}
	free(is);
	return found;
}

unsigned long st_ifunc_chosen(struct st_objects *objs, struct st_object *obj, const struct st_func *f)
{
	unsigned long bound = 0;
	size_t i;

	for (i = 0; objs->proc && i < objs->n && !bound; i++)
		bound = bound_in(objs, &objs->object[i], obj, f->name, f->addr);
	return bound & ~(unsigned long)(sizeof(long) == 4);
}

/* Runs the resolver with the arguments that the architecture's dynamic loader gives it. */
static int run_resolver(struct st_remote *remote, unsigned long fn, unsigned long *addr)
{
	struct st_proc *proc = st_stop_proc(st_remote_stop(remote));
	unsigned long args[2] = {0};
	unsigned int n = 0;

#if defined(__aarch64__)
	/* sys/ifunc.h: hwcap with bit 62 set, and a pointer to the rest. */
	uint64_t more[3] = {sizeof(more), st_proc_auxv(proc, AT_HWCAP),
			    st_proc_auxv(proc, AT_HWCAP2)};

	args[0] = more[1] | 1ull << 62;
	args[1] = st_remote_buffer(remote);
	if (!args[1] || st_mem_write(proc, args[1], more, sizeof(more)))
		return -EFAULT;
	n = 2;
#elif defined(__arm__)
	args[0] = st_proc_auxv(proc, AT_HWCAP);
	n = 1;
#else
	(void)proc;
#endif
	return st_remote_call(remote, fn, args, n, addr, 1000, NULL);
}

/*
 * C++ has things that are one in a process whether they are exported or not: types, inline variables and functions. So are the compiler's
 * runtime and that of C++, in a program that is linked with them statically. They are where symbol tables say; the program's own first, as
 * it is the first object.
 */
static int resolve_unexported(struct st_objects *objs, const char *name, unsigned long *addr)
{
	static const char *const names[] = { "_Z", "__cxa_", "__gxx_personality", "__gcc_personality", "_Unwind_", "__aeabi_" };
	bool cxx = false;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		cxx |= !strncmp(name, names[i], strlen(names[i]));
	for (size_t i = 0; cxx && i < objs->n; i++) {
		struct st_symbol sym;

		if (objs->object[i].flags & (ST_OBJECT_VDSO | ST_OBJECT_MEMORY) || st_object_symbol(&objs->object[i], name, NULL, &sym) ||
		    sym.type == STT_TLS || sym.type == STT_GNU_IFUNC)
			continue;
		*addr = sym.addr | (sym.isa == ST_ISA_T32);
		return 0;
	}
	return -ENOENT;
}

int st_resolve_with_objects(void *ctx, const char *name, const char *version, unsigned long *addr)
{
	struct st_resolver *resolver = ctx;
	struct st_object *who;
	struct st_symbol sym;
	size_t i;
	int ret;

	ret = st_objects_resolve(resolver->objects, name, version, &who, &sym);
	if (ret == -ENOENT)
		return resolve_unexported(resolver->objects, name, addr);
	if (ret)
		return ret;
	if (sym.type == STT_TLS)
		return -ENOTSUP;
	*addr = sym.addr | (sym.isa == ST_ISA_T32);
	if (sym.type != STT_GNU_IFUNC)
		return 0;
	for (i = 0; i < resolver->objects->n; i++) {
		unsigned long bound =
			bound_in(resolver->objects, &resolver->objects->object[i], who, name, 0);

		if (bound) {
			*addr = bound;
			return 0;
		}
	}
	if (!resolver->remote)
		return -ENOTSUP;
	ret = run_resolver(resolver->remote, *addr, addr);
	return ret ? ret : *addr ? 0 : -ENOTSUP;
}
