/* SPDX-License-Identifier: GPL-2.0-only */
/* A patch's file: read once, checked, then applied as often as there are processes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <patch/internal.h>

#define FILE_MAX (256l << 20)

/* Private memory, not a mapping: the file may be cut short while it is looked at. */
static int read_file(const char *path, struct st_patch_file *file, char *err)
{
	struct stat st;
	void *image = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret = 0;

	if (fd < 0 || fstat(fd, &st))
		ret = st_patch_fail(err, -errno, "can't open %s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode) || !st.st_size || st.st_size > FILE_MAX)
		ret = st_patch_fail(err, -ENOEXEC, "%s is not a patch: not a file of a fitting size", path);
	if (!ret) {
		image = malloc((size_t)st.st_size);
		if (!image || pread(fd, image, (size_t)st.st_size, 0) != st.st_size)
			ret = st_patch_fail(err, -EIO, "can't read %s", path);
		file->image = image;
		file->len = (size_t)st.st_size;
	}
	if (fd >= 0)
		close(fd);
	return ret;
}

int st_patch_open(const char *path, const struct st_patch_options *o, struct st_patch_file **result, char err[ST_ERR_MAX])
{
	struct st_patch_file *file = calloc(1, sizeof(*file));
	char why[ST_ERR_MAX];
	int ret;

	(void)o;
	if (!file)
		return st_patch_fail(err, -ENOMEM, "out of memory");
	ret = read_file(path, file, err);
	if (!ret) {
		file->path = file->path_memory = realpath(path, NULL);
		ret = st_manifest_read(file->image, file->len, &file->m, why);
		if (ret)
			st_patch_fail(err, ret, "%.100s can't be applied: %s", path, why);
	}
	if (ret) {
		st_patch_close(file);
		return ret;
	}
	*result = file;
	return 0;
}

void st_patch_close(struct st_patch_file *file)
{
	if (!file)
		return;
	st_manifest_free(&file->m);
	free(file->path_memory);
	free((void *)file->image);
	free(file);
}
