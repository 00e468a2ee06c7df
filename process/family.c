/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What changes about a process while it is being probed: objects that have gone, and children that it has forked, which share the
 * agent's memory with it, and have copies of all else.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <process/session_internal.h>

/* Does memory hold what it may by the site's record? */
static bool holds(struct st_session *s, const struct st_ctl_site *c)
{
	uint8_t now[ST_JUMP_MAX];
	unsigned int i, len = 0;

	for (i = 0; i < ST_FORMS; i++)
		if (c->form[i].stub && st_form_jump(&c->form[i]) > len)
			len = st_form_jump(&c->form[i]);
	if (!len || st_mem_read(s->proc, c->addr, now, len))
		return false;
	for (i = 0; i < ST_FORMS; i++)
		if (c->form[i].stub && !memcmp(now, c->form[i].bytes, st_form_jump(&c->form[i])))
			return true;
	return !memcmp(now, c->orig, len) || (c->direct && !memcmp(now, c->direct_bytes, len));
}

/* Does the site's record speak of what is there? @objs: read when first needed. */
static bool belongs(struct st_session *s, const struct st_ctl_site *c, struct st_objects **objs)
{
	uint8_t file[ST_DISPLACED_MAX];
	struct st_object *obj;
	unsigned int i, len = 1;

	if (holds(s, c))
		return true;
	/* Changed by somebody else, or in the bytes of another site, if its file still says what the record says. */
	if (!*objs && st_objects_read(s->proc, objs, NULL))
		return true;
	for (i = 0; i < ST_FORMS; i++)
		if (c->form[i].stub && st_form_len(&c->form[i]) > len)
			len = st_form_len(&c->form[i]);
	obj = st_objects_find(*objs, c->addr);
	return obj && (st_object_bytes(obj, c->addr, file, len) || !memcmp(file, c->orig, len));
}

int st_session_forget(struct st_session *s)
{
	uint32_t used = st_sites_used(s), i;
	struct st_objects *objs = NULL;
	int ret = st_session_lock(s);

	if (ret)
		return ret;
	for (i = 0; i < used; i++) {
		struct st_ctl_site *c = &s->ctl->site[i];

		if (c->state == ST_SITE_FREE || belongs(s, c, &objs))
			continue;
		memset(c->list, 0, sizeof(c->list));
		memset(c->returns, 0, sizeof(c->returns));
		__atomic_store_n(&c->state, ST_SITE_FREE, __ATOMIC_RELEASE);
		ret++;
	}
	st_objects_free(objs);
	st_session_unlock(s);
	return ret;
}

/* A child that was forked before a patch came has not got it. */
static bool has_patch(struct st_session *s, const struct st_ctl_site *c)
{
	uint8_t byte;

	return !c->redirect || !st_mem_read(s->proc, (unsigned long)c->redirect & ~1ul, &byte, 1);
}

int st_session_settle(struct st_session *s)
{
	uint32_t used = st_sites_used(s), i, *site;
	bool traps = false;
	size_t n = 0;
	int ret = st_session_lock(s);

	if (ret)
		return ret;
	st_session_begin_change(s);
	site = calloc(used + 1, sizeof(*site));
	if (!site)
		ret = st_session_fail(s, -ENOMEM, "out of memory");
	for (i = 0; !ret && i < used; i++) {
		struct st_ctl_site *c = &s->ctl->site[i];

		/* Objects that this process has not, or not any more, are the affair of the one that has them. So are patches. */
		if (c->state != ST_SITE_FREE && holds(s, c) && has_patch(s, c)) {
			site[n++] = i;
			traps = traps || (st_site_live(c) && c->now == ST_FORM_BREAKPOINT && st_site_list(c)[0]);
		}
	}
	/* It may have been forked before its parent had breakpoints, and have no handler for them. */
	if (!ret && traps)
		ret = st_traps_begin(s) ?: s->no_traps ? st_session_fail(s, -EBUSY, "%s", s->no_traps) : 0;
	if (!ret && n)
		ret = st_sites_settle(s, site, n) ?: st_session_grace(s);
	if (!ret && !traps)
		st_traps_end(s, false);
	st_session_forget_objects(s);
	free(site);
	st_session_unlock(s);
	return ret;
}

/* One look instead of a walk through all mappings: most processes have none that begins and ends there. */
static bool maps_nothing_there(int pid, uint64_t at)
{
	unsigned long size = sysconf(_SC_PAGESIZE), end = at + (sizeof(struct st_ctl) + size - 1) / size * size;
	char path[96];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx", pid, (unsigned long)at, end);
	return lstat(path, &st) && errno == ENOENT;
}

/* Has the process a mapping of this file, where the session's has it? A tool has it elsewhere. */
static bool maps_file(int pid, const char *inode, uint64_t at)
{
	char path[64], *line = NULL;
	bool found = false;
	size_t room = 0;
	FILE *f;

	if (maps_nothing_there(pid, at))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && getline(&line, &room, f) > 0) {
		char *name = strstr(line, "/memfd:" ST_CTL_NAME " ");

		found = name && strtoull(line, NULL, 16) == at && strstr(line, inode) && strstr(line, inode) < name;
	}
	free(line);
	fclose(f);
	return found;
}

/* The thread's id as its own process sees it, where that is in a PID namespace. */
static int id_inside(int pid, int tid)
{
	char path[64], *line = NULL, *last;
	size_t room = 0;
	int id = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
	f = fopen(path, "re");
	if (!f)
		return -1;
	while (getline(&line, &room, f) > 0) {
		if (strncmp(line, "NSpid:", 6))
			continue;
		last = strrchr(line, '\t');
		id = last ? atoi(last) : -1;
		break;
	}
	free(line);
	fclose(f);
	return id;
}

static int find_inside(int pid, int tid)
{
	int found = 0;
	struct dirent *d;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && !found && (d = readdir(dir)))
		if (atoi(d->d_name) > 0 && id_inside(pid, atoi(d->d_name)) == tid)
			found = atoi(d->d_name);
	if (dir)
		closedir(dir);
	return found;
}

int st_session_thread(struct st_session *s, int tid)
{
	int found = 0, *pids;
	char inode[32];
	struct stat st;
	size_t i, n;

	if (fstat(s->fd, &st))
		return 0;
	snprintf(inode, sizeof(inode), " %lu ", (unsigned long)st.st_ino);
	/* Nearly always the number means the same to us. */
	if (maps_file(tid, inode, s->ctl->self) && id_inside(tid, tid) == tid)
		return tid;
	found = find_inside(s->pid, tid);
	pids = found ? NULL : st_session_sharers(s, &n);
	for (i = 0; pids && i < n && !found; i++)
		found = find_inside(pids[i], tid);
	free(pids);
	return found;
}

int *st_session_sharers(struct st_session *s, size_t *n)
{
	DIR *dir = opendir("/proc");
	int *pids = NULL;
	char inode[32];
	struct dirent *d;
	struct stat st;

	*n = 0;
	if (!dir || fstat(s->fd, &st))
		goto out;
	snprintf(inode, sizeof(inode), " %lu ", (unsigned long)st.st_ino);
	while ((d = readdir(dir))) {
		int pid = atoi(d->d_name), *more;

		if (pid <= 0 || pid == s->pid || pid == getpid() || !maps_file(pid, inode, s->ctl->self))
			continue;
		more = realloc(pids, (*n + 1) * sizeof(*pids));
		if (!more)
			break;
		pids = more;
		pids[(*n)++] = pid;
	}
out:
	if (dir)
		closedir(dir);
	return pids;
}
