/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The patch's own memory in the process. It is mapped from outside, from its file, near the functions that it replaces; nobody runs
 * the target's dynamic loader, so no lock of the target is in the way.
 */
#include <elf.h>
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <string.h>
#include <patch/internal.h>

#define RELEASE_MS 2000

struct imports {
	struct st_session *s;
	struct st_resolver objects;
};

/* What sidetrack/patch.h declares is the agent's, all else the program's. */
static int resolve(void *ctx, const char *name, const char *version, unsigned long *addr)
{
	struct imports *imports = ctx;

	if (!strncmp(name, "st_shadow_", sizeof("st_shadow_") - 1))
		return st_session_agent_symbol(imports->s, name, addr) ?:
		       imports->objects.remote ? st_session_shadow(imports->s, imports->objects.remote) : 0;
	/* The program's own, if it has one: that is known to be one. */
	if (!strcmp(name, "st_quiescent") && st_resolve_with_objects(&imports->objects, name, NULL, addr) == -ENOENT)
		return st_session_agent_symbol(imports->s, name, addr);
	return st_resolve_with_objects(&imports->objects, name, version, addr);
}

int st_image_imports(struct st_work *w, const struct st_patch_file *file)
{
	struct imports imports = { .s = w->s, .objects = { .objects = w->objs } };
	Elf_Scn *scn = NULL;
	int ret = 0;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_memory((char *)file->image, file->len);
	while (!ret && elf && (scn = elf_nextscn(elf, scn))) {
		Elf_Data *data;
		GElf_Shdr sh;
		GElf_Sym sym;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_DYNSYM)
			continue;
		data = elf_getdata(scn, NULL);
		for (int i = 1; !ret && data && gelf_getsym(data, i, &sym); i++) {
			const char *name = elf_strptr(elf, sh.sh_link, sym.st_name);
			unsigned long addr;

			if (name && *name && sym.st_shndx == SHN_UNDEF && GELF_ST_BIND(sym.st_info) != STB_WEAK &&
			    resolve(&imports, name, NULL, &addr) == -ENOENT)
				ret = st_patch_fail(w->err, -ENOENT, "the object can't be loaded: nothing in the process defines %s", name);
		}
	}
	elf_end(elf);
	return ret;
}

/* Near the first function, and those that lie near it; what is far away goes through its stub. */
static void choose_place(const struct st_manifest *m, const struct st_parts *parts, struct st_load_opts *opts)
{
	for (size_t i = 0; i < m->replaces; i++) {
		unsigned long a = parts->fn[i].addr, reach;

		if (!a)
			continue;
		reach = st_arch_reach(parts->fn[i].isa);
		if (!opts->near) {
			opts->near = opts->near_end = a;
			opts->reach = reach;
		}
		if ((a > opts->near ? a - opts->near : opts->near - a) > reach / 2)
			continue;
		if (a < opts->near)
			opts->near = a;
		if (a > opts->near_end)
			opts->near_end = a;
	}
}

static int add_region(struct st_work *w, const struct st_loaded *loaded)
{
	for (int i = 0; i < ST_REGIONS_MAX; i++) {
		struct st_ctl_region *r = &w->ctl->region[i];

		if (r->kind != ST_REGION_FREE)
			continue;
		r->start = loaded->lo;
		r->size = loaded->hi - loaded->lo;
		r->used = loaded->keep;
		__atomic_store_n(&r->kind, ST_REGION_PATCH, __ATOMIC_RELEASE);
		return 0;
	}
	return st_patch_fail(w->err, -ENOSPC, "the agent has no room for another memory region");
}

int st_image_map(struct st_work *w, const struct st_patch_file *file, const struct st_parts *parts, struct st_loaded *loaded)
{
	struct st_load_opts opts = { .size = sizeof(opts), .path = file->path };
	struct imports imports = { .s = w->s, .objects = { .objects = w->objs } };
	struct st_remote *r = NULL;
	struct st_stop *stop;
	int ret;

	choose_place(&file->m, parts, &opts);
	opts.resolve = resolve;
	opts.ctx = &imports;
	ret = st_stop(st_session_proc(w->s), ST_STOP_ONE, ST_PATCH_STOP_MS, &stop, w->err);
	if (ret)
		return ret;
	ret = st_remote_begin(stop, NULL, &r, w->err);
	imports.objects.remote = r;
	if (!ret) {
		ret = st_load(r, file->image, file->len, &opts, loaded, w->err);
		if (ret == -ENOMEM) {	/* no room within reach: through the stubs, then */
			opts.near = opts.near_end = opts.reach = 0;
			ret = st_load(r, file->image, file->len, &opts, loaded, w->err);
		}
		if (!ret) {
			ret = add_region(w, loaded);
			if (ret)
				st_unload(r, loaded);
		}
	}
	if (r)
		st_remote_end(r);
	st_resume(stop, NULL);
	if (ret)
		return ret;
	ret = st_session_frames(w->s, file->image, file->len, loaded);
	if (ret > 0)
		st_patch_say(w, "%s", st_session_error(w->s));
	if (ret < 0) {
		st_patch_fail(w->err, ret, "%s", st_session_error(w->s));
		st_image_unmap(w, loaded);
	}
	return ret < 0 ? ret : 0;
}

void st_image_unmap(struct st_work *w, const struct st_loaded *loaded)
{
	char ignored[ST_ERR_MAX];
	struct st_stop *stop;
	struct st_remote *r;

	if (st_stop(st_session_proc(w->s), ST_STOP_ONE, ST_PATCH_STOP_MS, &stop, ignored))
		return;
	if (!st_remote_begin(stop, NULL, &r, ignored)) {
		st_session_drop_frames(w->s, loaded->lo);
		for (unsigned int k = 0; k < ST_REGIONS_MAX; k++)
			if (w->ctl->region[k].kind == ST_REGION_PATCH && w->ctl->region[k].start == loaded->lo &&
			    !st_unload(r, loaded))
				w->ctl->region[k].kind = ST_REGION_FREE;
		st_remote_end(r);
	}
	st_resume(stop, NULL);
}

int st_image_release(struct st_work *w)
{
	struct st_ctl_patch *p = st_work_patch(w);
	char name[64];
	bool kept;
	int ret;

	for (unsigned int k = 0; k < ST_REGIONS_MAX; k++) {
		const struct st_ctl_region *r = &w->ctl->region[k];

		if (r->kind != ST_REGION_PATCH || r->start != p->base || !p->base || (p->flags & ST_PATCH_FORCED))
			continue;
		kept = r->used;
		ret = st_session_release(w->s, &k, 1, RELEASE_MS);
		if (ret)
			return st_patch_fail(w->err, ret, "%s", st_session_error(w->s));
		if (kept)
			st_patch_say(w, "patch %s stays in memory until the process ends: exceptions of its own types may still be alive",
				     st_record_name(w->ctl, w->patch, name));
	}
	if (p->flags & ST_PATCH_FORCED) {
		st_patch_say(w, "patch %s stays in memory until the process ends or is detached from: a change to it was forced, so a thread "
			     "may still be in its functions", st_record_name(w->ctl, w->patch, name));
	}
	st_records_free(w->ctl, w->patch);
	return 0;
}
