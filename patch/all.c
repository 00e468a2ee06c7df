// SPDX-License-Identifier: GPL-2.0-only
/* See all.h. Reads /proc as text: a struct st_proc for every process of the machine would cost more than the rest. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <patch/all.h>
#include <patch/internal.h>

/* A file that has been looked at, and what st_all_wants() said. */
struct seen {
	unsigned int major, minor;
	unsigned long inode;
	bool named;	/* by its path; files have several */
	int answer;
};

struct scan {
	const struct st_manifest *m;
	struct st_all *all;
	struct seen *seen;
	size_t n;
	bool no_memory;
};

static bool same(const char *object, const char *name, const struct st_object *o)
{
	return o ? st_object_called(o, object) : !strcmp(object, name);
}

/* Does the patch change this object? o NULL: as far as the name of its file says. *build_id: the one it insists on, or NULL. */
static bool names(const struct st_manifest *m, const char *name, const struct st_object *o, const char **build_id)
{
	bool named = false;

	for (size_t i = 0; !named && i < m->replaces; i++)
		named = same(m->replace[i].object, name, o);
	for (size_t i = 0; !named && i < m->callbacks; i++)
		named = same(m->callback[i].object, name, o);
	*build_id = NULL;
	for (size_t i = 0; named && i < m->objects; i++)
		if (same(m->object[i].object, name, o))
			*build_id = m->object[i].symbol;
	return named;
}

int st_all_wants(const struct st_manifest *m, const char *name, const char *path)
{
	char hex[2 * ST_BUILD_ID_MAX + 1], err[ST_ERR_MAX];
	const char *build_id = NULL;
	struct st_objects *objs;
	bool named;
	int answer;

	named = names(m, name, NULL, &build_id);
	if (named && !build_id)
		return 1;
	/* The name may be what it calls itself. */
	if (st_objects_file(path, &objs, err))
		return named;
	named = named || names(m, name, &objs->object[0], &build_id);
	st_hex_build_id(&objs->object[0], hex);
	answer = !named ? 0 : build_id && strcasecmp(hex, build_id) ? -1 : 1;
	st_objects_free(objs);
	return answer;
}

/* The same for a mapping; each file is opened once. */
static int wants(struct scan *s, int pid, const char *range, const struct seen *file, const char *path)
{
	const char *build_id, *name = strrchr(path, '/') + 1;
	bool named = names(s->m, name, NULL, &build_id);
	struct seen *more;
	char open_as[PATH_MAX + 32];
	struct stat st;

	for (size_t i = 0; i < s->n; i++)
		if (s->seen[i].named == named && s->seen[i].inode == file->inode && s->seen[i].major == file->major &&
		    s->seen[i].minor == file->minor)
			return s->seen[i].answer;
	more = realloc(s->seen, (s->n + 1) * sizeof(*more));
	if (!more) {
		s->no_memory = true;
		return 0;
	}
	s->seen = more;
	more[s->n] = *file;
	more[s->n].named = named;
	more[s->n].answer = named;
	/* The mapping itself, whatever has its name now; that takes CAP_CHECKPOINT_RESTORE. */
	snprintf(open_as, sizeof(open_as), "/proc/%d/map_files/%s", pid, range);
	if (access(open_as, R_OK))
		snprintf(open_as, sizeof(open_as), "/proc/%d/root%s", pid, path);
	if (!stat(open_as, &st) && st.st_ino == file->inode)
		more[s->n].answer = st_all_wants(s->m, name, open_as);
	return more[s->n++].answer;
}

static void add(struct scan *s, int pid)
{
	struct st_all *all = s->all;
	struct st_all_one *more = realloc(all->one, (all->n + 1) * sizeof(*more));
	char path[32];
	FILE *f;

	if (!more) {
		s->no_memory = true;
		return;
	}
	all->one = more;
	more += all->n++;
	more->pid = pid;
	memset(more->comm, 0, sizeof(more->comm));
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "re");
	if (f && fgets(more->comm, sizeof(more->comm), f))
		more->comm[strcspn(more->comm, "\n")] = '\0';
	if (f)
		fclose(f);
}

/* "START-END PROT OFFSET MAJOR:MINOR INODE    PATH[ (deleted)]": cut into the range, and the path that is returned; NULL: no file. */
static char *parse(char *line, struct seen *file)
{
	static const char deleted[] = " (deleted)";
	char *path = strchr(line, '/');
	size_t len;

	*file = (struct seen){ 0 };
	if (!path || sscanf(line, "%*s %*s %*s %x:%x %lu", &file->major, &file->minor, &file->inode) != 3 || !file->inode)
		return NULL;
	path[strcspn(path, "\n")] = '\0';
	len = strlen(path);
	if (len > sizeof(deleted) - 1 && !strcmp(path + len - (sizeof(deleted) - 1), deleted))
		path[len - (sizeof(deleted) - 1)] = '\0';
	line[strcspn(line, " ")] = '\0';
	return path;
}

static void look_at(struct scan *s, int pid)
{
	char path[32], *line = NULL, *mapped;
	bool found = false, other = false;
	struct seen file;
	size_t room = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f) {
		s->all->hidden += errno == EACCES || errno == EPERM;
		return;
	}
	while (!found && getline(&line, &room, f) > 0) {
		int answer;

		mapped = parse(line, &file);
		answer = mapped ? wants(s, pid, line, &file, mapped) : 0;
		found = answer > 0;
		other |= answer < 0;
	}
	/* It says so when it is read, too. */
	if (!found && ferror(f))
		s->all->hidden += errno == EACCES || errno == EPERM;
	free(line);
	fclose(f);
	if (found)
		add(s, pid);
	else
		s->all->others += other;
}

int st_all_find(const struct st_manifest *m, struct st_all *all, char err[ST_ERR_MAX])
{
	struct scan s = { .m = m, .all = all };
	DIR *dir = opendir("/proc");
	struct dirent *d;
	char *end;

	memset(all, 0, sizeof(*all));
	if (!dir)
		return st_patch_fail(err, -errno, "/proc can't be read: %s", strerror(errno));
	while (!s.no_memory && (d = readdir(dir))) {
		long pid = strtol(d->d_name, &end, 10);

		if (!*end && pid > 0 && pid != getpid())
			look_at(&s, (int)pid);
	}
	closedir(dir);
	free(s.seen);
	if (s.no_memory) {
		st_all_free(all);
		return st_patch_fail(err, -ENOMEM, "out of memory");
	}
	return 0;
}

void st_all_free(struct st_all *all)
{
	free(all->one);
	all->one = NULL;
	all->n = 0;
}
