/* SPDX-License-Identifier: GPL-2.0-only */
/* Leaving a process: memory that no thread can come back to is unmapped; the code compared with the files. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <process/evidence.h>
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

/* A patch's functions call what they like: nobody may be in them, or come back to them, on whatever stack. *e NULL: there are none. */
static int open_evidence(struct st_session *s, const struct st_range *range, size_t n, struct st_evidence **e)
{
	struct st_old *old = calloc(n + 1, sizeof(*old));
	char (*name)[80] = calloc(n + 1, sizeof(*name));
	int ret = 0;

	*e = NULL;
	if (!old || !name)
		ret = st_session_fail(s, -ENOMEM, "out of memory");
	for (size_t i = 0; !ret && i < n; i++) {
		snprintf(name[i], sizeof(name[i]), "code of a patch");
		for (int k = 0; k < ST_PATCHES_MAX; k++)
			if (s->ctl->patch[k].state != ST_PATCH_FREE && range[i].lo - s->ctl->patch[k].base < s->ctl->patch[k].size)
				snprintf(name[i], sizeof(name[i]), "code of patch %.63s", s->ctl->patch[k].name);
		old[i] = (struct st_old){ range[i].lo, range[i].hi, name[i] };
	}
	if (!ret && n)
		ret = st_evidence_open(s, old, n, e, s->err);
	free(old);
	free(name);
	return ret;
}

/*
 * Stubs and the agent call nothing outside, and dispatches that were running have ended (install.c waits for that): a thread is in
 * them only where it stands. For patches, though, the agent calls constructors of shadow variables.
 * Return: not 0: somebody is inside, or that is not known; s->err says who.
 */
static int somebody_inside(struct st_session *s, struct st_stop *stop, const struct st_range *ours, size_t nours, struct st_evidence *e)
{
	struct st_busy why = { .text = "the stacks of the process can't be read" };
	int found = 0;

	for (size_t i = 0; i < st_stop_count(stop) && !found && nours; i++) {
		struct st_thread *t = st_stop_thread(stop, i);
		struct st_hit hit = { 0 };

		found = st_scan_interrupted(t, ours, nours, &hit);
		snprintf(why.text, sizeof(why.text), found < 0 ? "the stack of thread %d can't be read" :
			 "thread %d is, or may come back to, code that would go away (%#lx)", (int)st_thread_tid(t), hit.value);
	}
	for (size_t i = 0; i < st_stop_count(stop) && !found && e; i++)
		found = st_evidence_check(e, st_stop_thread(stop, i), &why);
	if (!found && e)
		found = st_evidence_parked(e, stop, &why);
	if (found)
		st_session_fail(s, -EBUSY, "%s", why.text);
	return found;
}

enum release {
	RELEASE,		/* these regions */
	RELEASE_PATCHES,	/* those of them that are patches, before all of them go; and true return addresses are put back */
	RELEASE_ALL,		/* these, which are all that there are, and all that is named as ours */
};

/* The process is stopped, and nobody is inside. */
static int unmap(struct st_session *s, struct st_stop *stop, const unsigned int *region, size_t n, enum release what)
{
	struct st_remote *r;
	int ret = st_remote_begin(stop, NULL, &r, s->err);

	if (ret)
		return ret;
	for (size_t i = 0; i < n; i++) {
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
	/* And what a killed tool had mapped and not yet noted: nothing leads there. */
	if (what == RELEASE_ALL)
		st_session_unmap_named(s, r, true);
	st_remote_end(r);
	return 0;
}

static int do_release(struct st_session *s, const unsigned int *region, size_t n, unsigned int wait_ms, enum release what)
{
	struct st_evidence *e = NULL;
	struct st_range *ours, *theirs;
	size_t nours, ntheirs;
	struct timespec from, now;
	struct st_stop *stop;
	int ret = 0, found;

	ours = executable_parts(s, region, n, false, &nours);
	theirs = executable_parts(s, region, n, true, &ntheirs);
	if (!ours || !theirs)
		ret = st_session_fail(s, -ENOMEM, "can't read the mappings of process %d", s->pid);
	if (!ret && what != RELEASE)
		ntheirs += st_session_shadow_code(s, theirs + ntheirs);
	ret = ret ?: open_evidence(s, theirs, ntheirs, &e);
	clock_gettime(CLOCK_MONOTONIC, &from);
	while (!ret) {
		ret = st_stop(s->proc, 0, ST_STOP_MS, &stop, s->err);
		if (ret)
			break;
		found = somebody_inside(s, stop, ours, nours, e);
		/* Tried again for a while if some return can't be put back, as with a thread that is inside. */
		ret = found ? -EBUSY : what == RELEASE ? 0 : st_session_unplant(s, stop);
		if (ret != -EBUSY) {
			ret = ret ?: unmap(s, stop, region, n, what);
			st_session_resume(s, stop);
			break;
		}
		st_session_resume(s, stop);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 >= (long)wait_ms)
			break;
		ret = 0;
		if (!e || st_evidence_think(e) <= 0)
			st_nap_ms(ST_BUSY_NAP_MS);
	}
	if (e)
		st_evidence_close(e);
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
	unsigned long internal = st_session_address(s, s->ctl->internal), *list = st_site_list(c);
	unsigned int n = 0;

	for (unsigned int i = 0; i < ST_SITE_HOOKS_MAX && list[i]; i++)
		if (list[i] - internal < sizeof(s->ctl->internal))
			list[n++] = list[i];
	memset(list + n, 0, sizeof(c->list[0]) - n * sizeof(list[0]));
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
