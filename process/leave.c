/* SPDX-License-Identifier: GPL-2.0-only */
/* Leaving a process: memory that no thread can come back to is unmapped; the code compared with the files. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <process/session_internal.h>

/*
 * The executable parts of the regions. Only these can be returned to; an address of a patch's data in some register (ARM's PLT
 * leaves one in ip) means nothing once none of its code runs.
 */
static struct st_range *executable_parts(struct st_session *s, const unsigned int *region, size_t n, bool patches,
					 size_t *count)
{
	struct st_range *range;
	struct st_maps *maps;

	*count = 0;
	if (st_maps_read(s->proc, &maps, s->err))
		return NULL;
	range = calloc(maps->n + 1 + ST_SHADOW_CODE, sizeof(*range));
	for (size_t i = 0; range && i < maps->n; i++) {
		const struct st_map *map = &maps->map[i];

		for (size_t k = 0; (map->prot & PROT_EXEC) && k < n; k++) {
			const struct st_ctl_region *r = &s->ctl->region[region[k]];

			if (map->end <= r->start || map->start >= r->start + r->size ||
			    (r->kind == ST_REGION_PATCH) != patches)
				continue;
			range[(*count)++] = (struct st_range){ map->start, map->end };
			break;
		}
	}
	st_maps_free(maps);
	return range;
}

/*
 * Stubs and the agent call nothing outside, and dispatches that were running have ended (install.c waits for that): a thread is in
 * them only where it stands. A patch's functions call what they like, and for them the agent calls constructors of shadow variables.
 */
static int thread_inside(struct st_thread *t, const struct st_range *ours, size_t nours, const struct st_range *theirs,
			 size_t ntheirs, struct st_hit *hit)
{
	int found = nours ? st_scan_interrupted(t, ours, nours, hit) : 0;

	return found || !ntheirs ? found : st_scan(t, theirs, ntheirs, hit);
}

enum release {
	RELEASE,		/* these regions */
	RELEASE_PATCHES,	/* those of them that are patches, before all of them go; and true return addresses are put back */
	RELEASE_ALL,		/* these, which are all that there are, and all that is named as ours */
};

static int do_release(struct st_session *s, const unsigned int *region, size_t n, unsigned int wait_ms, enum release what)
{
	struct st_range *ours, *theirs;
	size_t nours, ntheirs;
	struct timespec from, now;
	struct st_stop *stop;
	struct st_hit hit = { 0 };
	int ret = 0, found;

	ours = executable_parts(s, region, n, false, &nours);
	theirs = executable_parts(s, region, n, true, &ntheirs);
	if (!ours || !theirs) {
		free(ours);
		free(theirs);
		return st_session_fail(s, -ENOMEM, "can't read the mappings of process %d", s->pid);
	}
	if (what != RELEASE)
		ntheirs += st_session_shadow_code(s, theirs + ntheirs);
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (;;) {
		struct st_remote *r;

		ret = st_stop(s->proc, 0, ST_STOP_MS, &stop, s->err);
		if (ret)
			break;
		found = 0;
		for (size_t i = 0; i < st_stop_count(stop) && !found; i++)
			found = thread_inside(st_stop_thread(stop, i), ours, nours, theirs, ntheirs, &hit);
		/* Tried again for a while if some return can't be put back, as with a thread that is inside. */
		ret = found || what == RELEASE ? 0 : st_session_unplant(s, stop);
		if (!found && ret != -EBUSY) {
			ret = ret ?: st_remote_begin(stop, NULL, &r, s->err);
			for (size_t i = 0; !ret && i < n; i++) {
				struct st_ctl_region *x = &s->ctl->region[region[i]];

				if (what == RELEASE_PATCHES && x->kind != ST_REGION_PATCH)
					continue;
				if (x->kind == ST_REGION_PATCH)
					st_session_drop_frames(s, (unsigned long)x->start);
				if (x->kind != ST_REGION_PATCH || !x->used)
					st_remote_munmap(r, x->start, x->size);
				if (what != RELEASE)
					x->released = (uint32_t)s->pid;
				else
					x->kind = ST_REGION_FREE;
			}
			if (!ret) {
				/* And what a killed tool had mapped and not yet noted: nothing leads there. */
				if (what == RELEASE_ALL)
					st_session_unmap_named(s, r, true);
				st_remote_end(r);
			}
			st_session_resume(s, stop);
			break;
		}
		st_session_resume(s, stop);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 >= (long)wait_ms) {
			ret = ret ? ret : found < 0 ? st_session_fail(s, -EBUSY, "the stack of a thread can't be read") :
			      st_session_fail(s, -EBUSY, "thread %d is, or may come back to, code that would go away (%#lx)",
				   (int)hit.tid, hit.value);
			break;
		}
		st_nap_ms(ST_BUSY_NAP_MS);
	}
	free(ours);
	free(theirs);
	return ret;
}

int st_session_release(struct st_session *s, const unsigned int *region, size_t n, unsigned int wait_ms)
{
	int ret = st_session_lock(s);

	if (!ret) {
		ret = do_release(s, region, n, wait_ms, RELEASE);
		st_session_unlock(s);
	}
	return ret;
}

/* The hooks of its users go; what the agent needs for itself stays until nobody needs that. */
static void drop_hooks(struct st_session *s, struct st_ctl_site *c)
{
	unsigned long internal = st_session_address(s, s->ctl->internal);
	unsigned int n = 0;

	for (unsigned int i = 0; i < ST_SITE_HOOKS_MAX && c->list[i]; i++)
		if (c->list[i] - internal < sizeof(s->ctl->internal))
			c->list[n++] = c->list[i];
	memset(c->list + n, 0, sizeof(c->list) - n * sizeof(c->list[0]));
	memset(c->returns, 0, sizeof(c->returns));
}

/*
 * The shared memory last: it is what a later tool finds if this one dies. A child that the process has forked has it, too, and
 * mappings of its own, so what is unmapped is noted by pid and not forgotten.
 */
static size_t regions_left(struct st_session *s, unsigned int region[ST_REGIONS_MAX])
{
	size_t n = 0;

	for (unsigned int i = 0; i < ST_REGIONS_MAX; i++)
		if (s->ctl->region[i].kind != ST_REGION_FREE && s->ctl->region[i].kind != ST_REGION_CTL &&
		    s->ctl->region[i].released != (uint32_t)s->pid)
			region[n++] = i;
	for (unsigned int i = 0; i < ST_REGIONS_MAX; i++)
		if (s->ctl->region[i].kind == ST_REGION_CTL)
			region[n++] = i;
	return n;
}

static int do_detach(struct st_session *s)
{
	unsigned int region[ST_REGIONS_MAX];
	uint32_t used = st_sites_used(s);
	uint32_t *all = calloc(used + 1, sizeof(*all));
	size_t n = 0;
	int ret;

	if (!all)
		return st_session_fail(s, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < used; i++) {
		struct st_ctl_site *c = &s->ctl->site[i];

		if (c->state == ST_SITE_FREE)
			continue;
		drop_hooks(s, c);
		st_site_redirect(s, c, 0, 0);
		all[n++] = i;
	}
	ret = st_sites_settle(s, all, n);
	free(all);
	if (!ret)
		ret = st_session_grace(s);
	if (!ret)
		ret = st_traps_end(s, true);
	/* Exceptions need the agent's hooks until no thread is in a patch, and until true return addresses are back. */
	if (!ret) {
		n = regions_left(s, region);
		ret = do_release(s, region, n, ST_GRACE_MS, RELEASE_PATCHES);
	}
	for (unsigned int i = 0; i < ST_INTERNAL_MAX && !ret; i++)
		ret = st_session_unhook_internal(s, i);
	if (ret)
		return ret;
	for (int i = 0; i < ST_PROBES_MAX; i++)
		s->ctl->probe_rec[i].state = ST_PROBE_FREE;
	for (int i = 0; i < ST_PATCHES_MAX; i++)
		s->ctl->patch[i].state = ST_PATCH_FREE;
	n = regions_left(s, region);
	return do_release(s, region, n, ST_GRACE_MS, RELEASE_ALL);
}

int st_session_detach(struct st_session *s)
{
	int ret = st_session_lock(s);

	if (!ret) {
		ret = do_detach(s);
		st_session_unlock(s);
	}
	return ret;
}

long st_session_compare(struct st_session *s, unsigned long *bytes, unsigned int *objects)
{
	struct st_objects *objs;
	uint8_t *mem = malloc(ST_WINDOW), *file = malloc(ST_WINDOW);
	long differ = 0;
	int ret;

	*bytes = 0;
	*objects = 0;
	if (!mem || !file) {
		free(mem);
		free(file);
		return st_session_fail(s, -ENOMEM, "out of memory");
	}
	ret = st_objects_read(s->proc, &objs, s->err);
	for (size_t i = 0; !ret && i < objs->n; i++) {
		struct st_object *o = &objs->object[i];
		size_t ranges;
		const struct st_range *text = st_object_text(o, &ranges);

		if (o->flags & (ST_OBJECT_VDSO | ST_OBJECT_MEMORY))
			continue;
		for (size_t k = 0; k < ranges; k++) {
			for (unsigned long a = text[k].lo, len; a < text[k].hi; a += len) {
				len = text[k].hi - a < ST_WINDOW ? text[k].hi - a : ST_WINDOW;
				if (st_mem_read(s->proc, a, mem, len) || st_object_bytes(o, a, file, len))
					continue;
				for (unsigned long b = 0; b < len; b++)
					differ += mem[b] != file[b];
				*bytes += len;
			}
		}
		++*objects;
	}
	if (!ret)
		st_objects_free(objs);
	free(mem);
	free(file);
	return ret ? ret : differ;
}
