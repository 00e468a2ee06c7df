// SPDX-License-Identifier: GPL-2.0-only
/* See all.h. Reads /proc as text: a struct st_proc for every process of the machine would cost more than the rest. */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <patch/all.h>
#include <patch/internal.h>

#define NAME_KEPT 64

/* A file that has been looked at under a name, and whether it is what the patch is for: -1: another build of it. */
struct seen {
	unsigned int major, minor;
	unsigned long inode;
	int answer;
	char name[NAME_KEPT];
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

static int compare(const struct st_manifest *m, const char *name, const char *path)
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
static int wants(struct scan *s, int pid, const char *range, const struct seen *file, const char *path, const char *name)
{
	const char *build_id;
	struct seen *more;
	char open_as[PATH_MAX + 32];
	struct stat st;

	for (size_t i = 0; i < s->n; i++)
		if (s->seen[i].inode == file->inode && s->seen[i].major == file->major && s->seen[i].minor == file->minor &&
		    !strncmp(s->seen[i].name, name, NAME_KEPT - 1))
			return s->seen[i].answer;
	more = realloc(s->seen, (s->n + 1) * sizeof(*more));
	if (!more) {
		s->no_memory = true;
		return 0;
	}
	s->seen = more;
	more += s->n++;
	*more = *file;
	more->answer = names(s->m, name, NULL, &build_id);
	snprintf(more->name, sizeof(more->name), "%.*s", NAME_KEPT - 1, name);
	/* The mapping itself, whatever has its name now; that takes CAP_CHECKPOINT_RESTORE. */
	snprintf(open_as, sizeof(open_as), "/proc/%d/map_files/%s", pid, range);
	if (access(open_as, R_OK))
		snprintf(open_as, sizeof(open_as), "/proc/%d/root%s", pid, path);
	if (!stat(open_as, &st) && st.st_ino == file->inode)
		more->answer = compare(s->m, name, open_as);
	return more->answer;
}

/*
 * The program goes by the name it was started with, as in process/objects.c: Debian's redis-server is a link to redis-check-rdb. *inode:
 * of its file. False: not known.
 */
static bool started_as(int pid, char path[PATH_MAX], unsigned long *inode)
{
	unsigned long auxv[128] = { 0 }, at = 0;
	char file[PATH_MAX + 64];
	struct iovec to = { path, PATH_MAX }, from;
	struct stat exe, st;
	ssize_t len;
	FILE *f;

	snprintf(file, sizeof(file), "/proc/%d/auxv", pid);
	f = fopen(file, "re");
	if (!f)
		return false;
	len = (ssize_t)fread(auxv, sizeof(auxv[0]), sizeof(auxv) / sizeof(auxv[0]) - 2, f);
	fclose(f);
	for (ssize_t i = 0; i < len && auxv[i] != AT_NULL; i += 2)
		if (auxv[i] == AT_EXECFN)
			at = auxv[i + 1];
	/* Up to the end of its page: the stack ends behind it. */
	from = (struct iovec){ (void *)at, 4096 - at % 4096 };
	len = at ? process_vm_readv(pid, &to, 1, &from, 1, 0) : -1;
	if (len <= 0)
		return false;
	path[len - 1] = '\0';
	snprintf(file, sizeof(file), "/proc/%d/exe", pid);
	if (stat(file, &exe))
		return false;
	snprintf(file, sizeof(file), "/proc/%d/%s%s", pid, *path == '/' ? "root" : "cwd/", path);
	if (stat(file, &st) || st.st_ino != exe.st_ino || st.st_dev != exe.st_dev)
		return false;
	*inode = exe.st_ino;
	return true;
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

/* Does the process map something that the patch is for? -1: it does, but another build; -2: that can't be known. */
static int look_at(struct scan *s, int pid)
{
	char path[32], started[PATH_MAX], *line = NULL;
	unsigned long program = 0;
	struct seen file;
	size_t room = 0;
	int answer = 0;
	bool hidden;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return errno == EACCES || errno == EPERM ? -2 : 0;
	while (answer <= 0 && getline(&line, &room, f) > 0) {
		char *mapped = parse(line, &file);
		const char *name;
		int got;

		if (!mapped)
			continue;
		/* Who has mappings of files has a program; the first of them is as good as any to look for it. */
		if (!program && !started_as(pid, started, &program))
			program = ~0ul;
		name = strrchr(file.inode == program ? started : mapped, '/');
		name = name ? name + 1 : started;
		got = wants(s, pid, line, &file, mapped, name);
		answer = got ? got : answer;
	}
	/* It says so when it is read, too. */
	hidden = ferror(f) && (errno == EACCES || errno == EPERM);
	free(line);
	fclose(f);
	return answer <= 0 && hidden ? -2 : answer;
}

bool st_all_wants(const struct st_manifest *m, int pid)
{
	struct scan s = { .m = m };
	bool yes = look_at(&s, pid) > 0;

	free(s.seen);
	return yes;
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

		if (*end || pid <= 0 || pid == getpid())
			continue;
		switch (look_at(&s, (int)pid)) {
		case 1:
			add(&s, (int)pid);
			break;
		case -1:
			all->others++;
			break;
		case -2:
			all->hidden++;
		}
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
