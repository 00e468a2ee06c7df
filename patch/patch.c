/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See patch.h. Level independent: the object is mapped from outside, its imports bound, its note says what it replaces;
 * then one flip of all its sites. Nobody runs the target's dynamic loader, so no lock of the target is in the way.
 *
 * States as in the kernel's livepatch: the record is `disabled` while the object is loaded, `enabled` from the flip on. A
 * tool killed between leaves a disabled patch, which revert removes.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <patch/manifest.h>
#include <patch/patch.h>

#define FILE_MAX (256l << 20)
#define STOP_MS 2000
#define RELEASE_MS 2000

static int __attribute__((format(printf, 3, 4))) fail(char *err, int ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, ST_ERR_MAX, fmt, ap);
	va_end(ap);
	return ret;
}

struct work {
	struct st_session *s;
	struct st_ctl *ctl;
	struct st_objects *objs;
	const char *file;
	const void *image;
	size_t len;
	struct st_manifest m;
	struct st_replace *replace;
	struct st_loaded loaded;
	int region;
	char *err;
};

static struct st_object *find_object(struct work *w, const char *name)
{
	for (size_t i = 0; i < w->objs->n; i++)
		if (!strcmp(w->objs->object[i].name, name))
			return &w->objs->object[i];
	return NULL;
}

static int check_objects(struct work *w)
{
	for (size_t i = 0; i < w->m.objects; i++) {
		const struct st_manifest_entry *e = &w->m.object[i];
		struct st_object *o = find_object(w, e->object);
		char id[2 * ST_BUILD_ID_MAX + 1] = "";

		if (!o)
			return fail(w->err, -ENOENT, "the process has no object %s", e->object);
		for (size_t k = 0; k < o->build_id_len && k < ST_BUILD_ID_MAX; k++)
			sprintf(id + 2 * k, "%02x", o->build_id[k]);
		if (strcasecmp(id, e->symbol))
			return fail(w->err, -EINVAL, "the patch is for %s with build-id %s, the process has %s", e->object,
				    e->symbol, *id ? id : "one without build-id");
	}
	return 0;
}

/* The old functions, by name. */
static int find_functions(struct work *w)
{
	w->replace = calloc(w->m.replaces, sizeof(*w->replace));
	if (!w->replace)
		return fail(w->err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < w->m.replaces; i++) {
		const struct st_manifest_entry *e = &w->m.replace[i];
		struct st_object *o = find_object(w, e->object);
		const struct st_func *f, *hit = NULL;
		size_t n;

		if (!o)
			return fail(w->err, -ENOENT, "the process has no object %s", e->object);
		f = st_object_functions(o, &n);
		for (size_t k = 0; k < n; k++) {
			if (strcmp(f[k].name, e->symbol))
				continue;
			if (hit && hit->addr != f[k].addr)
				return fail(w->err, -EINVAL, "%s has several functions %s", e->object, e->symbol);
			hit = &f[k];
		}
		if (!hit)
			return fail(w->err, -ENOENT, "%s has no function %s (with a symbol)", e->object, e->symbol);
		if (hit->flags & ST_FUNC_IFUNC)
			return fail(w->err, -ENOTSUP, "%s is chosen at run time (an ifunc): replace the one it chose", e->symbol);
		w->replace[i].fn = (struct st_fn){
			.addr = hit->addr, .size = hit->size, .room = hit->room, .isa = hit->isa, .name = hit->name,
		};
	}
	return 0;
}

/* Maps the object near the first function it replaces, and writes the addresses that ST_TARGET() asks for. */
static int load(struct work *w)
{
	struct st_proc *proc = st_session_proc(w->s);
	struct st_load_opts opts = { .size = sizeof(opts), .path = w->file };
	struct st_resolver resolver = { .objects = w->objs };
	struct st_remote *r = NULL;
	struct st_stop *stop;
	int ret;

	opts.near = opts.near_end = w->replace[0].fn.addr;
	for (size_t i = 1; i < w->m.replaces; i++) {
		unsigned long a = w->replace[i].fn.addr, reach = st_arch_reach(w->replace[i].fn.isa);

		if ((a > opts.near ? a - opts.near : opts.near - a) > reach / 2)
			continue;	/* in another object, far away: it goes through its stub */
		if (a < opts.near)
			opts.near = a;
		if (a > opts.near_end)
			opts.near_end = a;
	}
	opts.reach = st_arch_reach(w->replace[0].fn.isa);
	opts.resolve = st_resolve_with_objects;
	opts.ctx = &resolver;
	ret = st_stop(proc, ST_STOP_ONE, STOP_MS, &stop, w->err);
	if (ret)
		return ret;
	ret = st_remote_begin(stop, NULL, &r, w->err);
	resolver.remote = r;
	if (!ret) {
		ret = st_load(r, w->image, w->len, &opts, &w->loaded, w->err);
		if (ret == -ENOMEM) {	/* no room within reach: through the stubs, then */
			opts.near = opts.near_end = opts.reach = 0;
			ret = st_load(r, w->image, w->len, &opts, &w->loaded, w->err);
		}
	}
	if (r)
		st_remote_end(r);
	st_resume(stop, NULL);
	return ret;
}

static int bind_targets(struct work *w)
{
	struct st_proc *proc = st_session_proc(w->s);

	for (size_t i = 0; i < w->m.targets; i++) {
		const struct st_manifest_entry *e = &w->m.target[i];
		struct st_object *o = find_object(w, e->object);
		struct st_symbol sym;
		unsigned long var, value;

		if (!o)
			return fail(w->err, -ENOENT, "the process has no object %s", e->object);
		switch (st_object_symbol(o, e->symbol, NULL, &sym)) {
		case 0:
			break;
		case -EEXIST:
			return fail(w->err, -EINVAL, "%s has several symbols %s", e->object, e->symbol);
		default:
			return fail(w->err, -ENOENT, "%s has no symbol %s", e->object, e->symbol);
		}
		if (st_image_symbol(w->image, w->len, w->loaded.bias, e->own, &var))
			return fail(w->err, -EINVAL, "the patch has no variable %s", e->own);
		value = sym.addr | (sym.isa == ST_ISA_T32);
		if (var < w->loaded.lo || var + sizeof(value) > w->loaded.hi ||
		    st_mem_write(proc, var, &value, sizeof(value)))
			return fail(w->err, -EINVAL, "the patch's variable %s can't be set", e->own);
	}
	for (size_t i = 0; i < w->m.replaces; i++) {
		if (st_image_symbol(w->image, w->len, w->loaded.bias, w->m.replace[i].own, &w->replace[i].to))
			return fail(w->err, -EINVAL, "the patch has no function %s (is it static?)", w->m.replace[i].own);
		if (w->replace[i].to < w->loaded.lo || w->replace[i].to >= w->loaded.hi)
			return fail(w->err, -EINVAL, "the patch's symbol %s is not in its code", w->m.replace[i].own);
	}
	return 0;
}

static int add_region(struct work *w)
{
	for (int i = 0; i < ST_REGIONS_MAX; i++) {
		struct st_ctl_region *r = &w->ctl->region[i];

		if (r->kind != ST_REGION_FREE)
			continue;
		r->start = w->loaded.lo;
		r->size = w->loaded.hi - w->loaded.lo;
		__atomic_store_n(&r->kind, ST_REGION_PATCH, __ATOMIC_RELEASE);
		return i;
	}
	return fail(w->err, -ENOSPC, "the agent has no room for another memory region");
}

static void append(char *list, size_t size, const char *what)
{
	size_t n = strlen(list);

	if (n + strlen(what) + 2 < size)
		snprintf(list + n, size - n, "%s%s", n ? "," : "", what);
}

static int find_patch(const struct st_ctl *ctl, const char *name)
{
	for (int i = 0; i < ST_PATCHES_MAX; i++)
		if (ctl->patch[i].state != ST_PATCH_FREE && !strncmp(ctl->patch[i].name, name, sizeof(ctl->patch[i].name)))
			return i;
	return -1;
}

static int free_record(struct work *w)
{
	for (int i = 0; i < ST_PATCHES_MAX; i++)
		if (w->ctl->patch[i].state == ST_PATCH_FREE)
			return i;
	return fail(w->err, -ENOSPC, "the process has as many patches as it can have");
}

static int apply(struct work *w)
{
	struct st_ctl_patch *p;
	unsigned int region;
	int i, ret;

	if (find_patch(w->ctl, w->m.name) >= 0)
		return fail(w->err, -EEXIST, "a patch %s is there already (sidetrack patch list -p %d)", w->m.name,
			    (int)st_proc_pid(st_session_proc(w->s)));
	ret = check_objects(w) ?: find_functions(w);
	i = ret ? ret : free_record(w);
	if (i < 0)
		return i;
	ret = load(w);
	if (ret)
		return ret;
	ret = add_region(w);
	if (ret < 0)
		return ret;
	region = (unsigned int)ret;

	p = &w->ctl->patch[i];
	memset(p, 0, sizeof(*p));
	snprintf(p->name, sizeof(p->name), "%s", w->m.name);
	p->base = w->loaded.lo;
	p->size = w->loaded.hi - w->loaded.lo;
	p->funcs = (uint32_t)w->m.replaces;
	p->seq = ++w->ctl->patch_seq;
	for (size_t k = 0; k < w->m.replaces; k++) {
		bool seen = false;

		for (size_t l = 0; l < k; l++)
			seen |= !strcmp(w->m.replace[l].object, w->m.replace[k].object);
		if (!seen)
			append(p->object, sizeof(p->object), w->m.replace[k].object);
		append(p->functions, sizeof(p->functions), w->m.replace[k].symbol);
	}
	__atomic_store_n(&p->state, ST_PATCH_DISABLED, __ATOMIC_RELEASE);

	ret = bind_targets(w);
	if (!ret) {
		ret = st_session_replace(w->s, (unsigned int)i, w->replace, w->m.replaces);
		if (ret)
			fail(w->err, ret, "%s", st_session_error(w->s));
	}
	if (ret) {
		if (st_session_release(w->s, &region, 1, RELEASE_MS) == 0)
			p->state = ST_PATCH_FREE;
		return ret;
	}
	__atomic_store_n(&p->state, ST_PATCH_ENABLED, __ATOMIC_RELEASE);
	return (int)w->m.replaces;
}

int st_patch_apply(struct st_session *s, const char *file, char err[ST_ERR_MAX])
{
	struct work w = { .s = s, .ctl = st_session_ctl(s), .err = err };
	char why[ST_ERR_MAX], path[PATH_MAX];
	struct stat st;
	void *image;
	int fd, ret;

	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		ret = fail(err, -errno, "can't open %s: %s", file, strerror(errno));
	else if (!S_ISREG(st.st_mode) || !st.st_size || st.st_size > FILE_MAX)
		ret = fail(err, -ENOEXEC, "%s is not a patch: not a file of a fitting size", file);
	else
		ret = 0;
	if (ret) {
		if (fd >= 0)
			close(fd);
		return ret;
	}
	/* Private memory, not a mapping: the file may be cut short while we look at it. */
	image = malloc((size_t)st.st_size);
	if (!image || pread(fd, image, (size_t)st.st_size, 0) != st.st_size)
		ret = fail(err, -EIO, "can't read %s", file);
	close(fd);
	if (!ret) {
		w.image = image;
		w.len = (size_t)st.st_size;
		w.file = realpath(file, path);
		ret = st_manifest_read(w.image, w.len, &w.m, why);
		if (ret)
			fail(err, ret, "%.100s can't be applied: %s", file, why);
	}
	if (!ret) {
		ret = st_session_lock(s);
		if (ret)
			fail(err, ret, "%s", st_session_error(s));
	}
	if (!ret) {
		ret = st_objects_read(st_session_proc(s), &w.objs, err);
		if (!ret) {
			ret = apply(&w);
			st_objects_free(w.objs);
		}
		st_session_unlock(s);
	}
	free(w.replace);
	st_manifest_free(&w.m);
	free(image);
	return ret;
}

static int revert(struct st_session *s, const char *name, char err[ST_ERR_MAX])
{
	struct st_ctl *ctl = st_session_ctl(s);
	int i = find_patch(ctl, name), ret;
	struct st_ctl_patch *p;

	if (i < 0)
		return fail(err, -ENOENT, "there is no patch %s in process %d (sidetrack patch list -p %d)", name,
			    (int)st_proc_pid(st_session_proc(s)), (int)st_proc_pid(st_session_proc(s)));
	p = &ctl->patch[i];
	ret = st_session_restore(s, (unsigned int)i);
	if (ret)
		return fail(err, ret, "%s", st_session_error(s));
	__atomic_store_n(&p->state, ST_PATCH_DISABLED, __ATOMIC_RELEASE);
	for (unsigned int k = 0; k < ST_REGIONS_MAX; k++) {
		if (ctl->region[k].kind != ST_REGION_PATCH || ctl->region[k].start != p->base)
			continue;
		ret = st_session_release(s, &k, 1, RELEASE_MS);
		if (ret)
			return fail(err, ret, "patch %s is disabled, but its memory stays for now: %.150s; revert it again later",
				    name, st_session_error(s));
	}
	__atomic_store_n(&p->state, ST_PATCH_FREE, __ATOMIC_RELEASE);
	return 0;
}

int st_patch_revert(struct st_session *s, const char *name, char err[ST_ERR_MAX])
{
	int ret = st_session_lock(s);

	if (ret)
		return fail(err, ret, "%s", st_session_error(s));
	ret = revert(s, name, err);
	st_session_unlock(s);
	return ret;
}
