// SPDX-License-Identifier: GPL-2.0-only
/* See installed.h. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <patch/files.h>
#include <patch/installed.h>
#include <patch/internal.h>

#define END ".patch"
#define UNSIGNED ".unsigned.patch"
#define LOCK ".watch"

const char *st_installed_dir(void)
{
	const char *dir = getenv("SIDETRACK_PATCHES");

	return dir && *dir ? dir : ST_INSTALLED_DIR;
}

/* May only root, or we, write there? */
static int check(const char *path, const struct stat *st, char *err)
{
	if (st->st_uid && st->st_uid != geteuid())
		return st_patch_fail(err, -EPERM, "%.120s belongs to user %u: patches are kept where only root can put them", path, st->st_uid);
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return st_patch_fail(err, -EPERM, "others may write to %.120s: patches are kept where only root can put them (chmod go-w)", path);
	return 0;
}

/* The folder, opened and checked. A link to one is not it. */
static int open_dir(char *err)
{
	const char *dir = st_installed_dir();
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), ret;
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		ret = -errno;
		if (fd >= 0)
			close(fd);
		return st_patch_fail(err, ret, "%.160s can't be opened: %s", dir, strerror(-ret));
	}
	ret = check(dir, &st, err);
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

static int make_dir(char *err)
{
	char path[PATH_MAX];

	if ((size_t)snprintf(path, sizeof(path), "%s", st_installed_dir()) >= sizeof(path))
		return st_patch_fail(err, -ENAMETOOLONG, "the name of the folder for patches is too long");
	for (char *p = path + 1; p; p = p ? p + 1 : NULL) {
		p = strchr(p, '/');
		if (p)
			*p = '\0';
		if (mkdir(path, 0755) && errno != EEXIST)
			return st_patch_fail(err, -errno, "%.160s can't be made: %s", path, strerror(errno));
		if (p)
			*p = '/';
	}
	return 0;
}

/* "12-NAME.patch": its number, and where NAME is; 0: it is no such file. */
static unsigned long split(const char *file, const char **name, size_t *len, bool *is_unsigned)
{
	char *end;
	unsigned long number = isdigit((unsigned char)*file) ? strtoul(file, &end, 10) : 0;
	size_t n = strlen(file);

	if (!number || *end != '-' || n < sizeof(END) || strcmp(file + n - (sizeof(END) - 1), END))
		return 0;
	*is_unsigned = n >= sizeof(UNSIGNED) && !strcmp(file + n - (sizeof(UNSIGNED) - 1), UNSIGNED);
	n -= *is_unsigned ? sizeof(UNSIGNED) - 1 : sizeof(END) - 1;
	*name = end + 1;
	if (file + n <= *name)
		return 0;
	*len = (size_t)(file + n - *name);
	return number;
}

static bool has_name(const char *file, const char *wanted)
{
	const char *name;
	bool is_unsigned;
	size_t len;

	return split(file, &name, &len, &is_unsigned) && strlen(wanted) == len && !memcmp(name, wanted, len);
}

static int is_patch(const struct dirent *d)
{
	const char *name;
	bool is_unsigned;
	size_t len;

	return split(d->d_name, &name, &len, &is_unsigned) != 0;
}

static int by_number(const struct dirent **a, const struct dirent **b)
{
	unsigned long x = strtoul((*a)->d_name, NULL, 10), y = strtoul((*b)->d_name, NULL, 10);

	return x < y ? -1 : x > y;
}

/* Their names, by number. */
static int list(struct dirent ***names, char *err)
{
	int n = scandir(st_installed_dir(), names, is_patch, by_number);

	return n < 0 ? st_patch_fail(err, -errno, "%.160s can't be read: %s", st_installed_dir(), strerror(errno)) : n;
}

static void free_list(struct dirent **names, int n)
{
	while (n > 0)
		free(names[--n]);
	free(names);
}

static int read_one(const char *file, struct st_patch_file **result, char *err)
{
	struct st_patch_options o = { .size = sizeof(o) };
	char path[PATH_MAX];
	const char *name;
	struct stat st;
	size_t len;
	int ret;

	split(file, &name, &len, &o.allow_unsigned);
	snprintf(path, sizeof(path), "%s/%s", st_installed_dir(), file);
	if (lstat(path, &st))
		return st_patch_fail(err, -errno, "%.160s can't be read: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return st_patch_fail(err, -EINVAL, "%.160s is no file", path);
	ret = check(path, &st, err) ?: st_patch_open(path, &o, result, err);
	if (!ret && !has_name(file, (*result)->m.name)) {
		ret = st_patch_fail(err, -EINVAL, "%.120s holds a patch of another name, %.60s", path, (*result)->m.name);
		st_patch_close(*result);
	}
	return ret;
}

int st_installed_read(struct st_installed *all, void (*say)(void *ctx, const char *sentence), void *ctx, char err[ST_ERR_MAX])
{
	struct dirent **names;
	int fd, n;

	memset(all, 0, sizeof(*all));
	fd = open_dir(err);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	close(fd);
	n = list(&names, err);
	if (n < 0)
		return n;
	all->file = calloc((size_t)n + 1, sizeof(*all->file));
	for (int i = 0; all->file && i < n; i++) {
		char why[ST_ERR_MAX] = "";
		int ret = read_one(names[i]->d_name, &all->file[all->n], why);

		if (!ret)
			all->n++;
		else if (say && ret != -ENOENT)	/* uninstalled meanwhile */
			say(ctx, why);
	}
	free_list(names, n);
	return all->file ? 0 : st_patch_fail(err, -ENOMEM, "out of memory");
}

void st_installed_free(struct st_installed *all)
{
	while (all->n)
		st_patch_close(all->file[--all->n]);
	free(all->file);
	all->file = NULL;
}

/* A name becomes a part of a file name. */
static bool is_plain(const char *name)
{
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_-+.", *p))
			return false;
	return *name && *name != '.' && strlen(name) < 64;
}

static int same(const char *file, const struct st_patch_file *patch, char *err)
{
	char path[PATH_MAX];
	void *image;
	size_t len;
	int ret;

	snprintf(path, sizeof(path), "%s/%s", st_installed_dir(), file);
	ret = st_file_read(path, &image, &len, err);
	if (ret)
		return ret;
	ret = len == patch->len && !memcmp(image, patch->image, len);
	free(image);
	return ret ? 1 : st_patch_fail(err, -EEXIST, "another patch %s is installed already; uninstall that first", patch->m.name);
}

int st_installed_put(const struct st_patch_file *file, char err[ST_ERR_MAX])
{
	unsigned long number = 1;
	struct dirent **names;
	char path[PATH_MAX];
	int ret, fd, n;

	if (!is_plain(file->m.name))
		return st_patch_fail(err, -EINVAL, "the patch's name, '%.60s', can't be a file name", file->m.name);
	ret = make_dir(err);
	fd = ret ? ret : open_dir(err);
	if (fd < 0)
		return fd;
	/* One at a time: the numbers. */
	flock(fd, LOCK_EX);
	n = ret = list(&names, err);
	for (int i = 0; i < n; i++) {
		if (has_name(names[i]->d_name, file->m.name)) {
			ret = same(names[i]->d_name, file, err);
			goto out;
		}
		number = strtoul(names[i]->d_name, NULL, 10) + 1;
	}
	if (n >= 0) {
		snprintf(path, sizeof(path), "%s/%04lu-%s%s", st_installed_dir(), number, file->m.name, file->is_signed ? END : UNSIGNED);
		ret = st_file_replace(path, file->path, file->image, file->len, "", 0, err);
		if (!ret && chmod(path, 0644))
			ret = st_patch_fail(err, -errno, "can't change who may read %.160s: %s", path, strerror(errno));
	}
out:
	if (n >= 0)
		free_list(names, n);
	close(fd);
	return ret;
}

int st_installed_remove(const char *name, char err[ST_ERR_MAX])
{
	int fd = open_dir(err), n, ret = -ENOENT;
	struct dirent **names;

	if (fd == -ENOENT)
		return st_patch_fail(err, -ENOENT, "no patch %.60s is installed", name);
	if (fd < 0)
		return fd;
	flock(fd, LOCK_EX);
	n = list(&names, err);
	for (int i = 0; i < n; i++)
		if (has_name(names[i]->d_name, name))
			ret = unlinkat(fd, names[i]->d_name, 0) ? -errno : 0;
	if (n >= 0)
		free_list(names, n);
	close(fd);
	if (n < 0)
		return n;
	if (ret == -ENOENT)
		return st_patch_fail(err, ret, "no patch %.60s is installed", name);
	return ret ? st_patch_fail(err, ret, "patch %.60s can't be removed from %.120s: %s", name, st_installed_dir(), strerror(-ret)) : 0;
}

/* The lock is a file of its own: st_installed_put() locks the folder. */
static int open_lock(int flags)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/" LOCK, st_installed_dir());
	return open(path, flags | O_NOFOLLOW | O_CLOEXEC, 0644);
}

int st_installed_watch(char err[ST_ERR_MAX])
{
	int ret = make_dir(err), fd;

	if (ret)
		return ret;
	fd = open_dir(err);
	if (fd < 0)
		return fd;
	close(fd);
	fd = open_lock(O_RDWR | O_CREAT);
	if (fd < 0)
		return st_patch_fail(err, -errno, "can't write to %.160s: %s", st_installed_dir(), strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		ret = st_patch_fail(err, -EBUSY, "another sidetrack patch watch is at work already");
		close(fd);
		return ret;
	}
	return fd;
}

bool st_installed_watched(void)
{
	int fd = open_lock(O_RDONLY);
	bool yes = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;

	if (fd >= 0)
		close(fd);
	return yes;
}
