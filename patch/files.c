/* SPDX-License-Identifier: GPL-2.0-only */
/* See files.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <patch/files.h>
#include <patch/internal.h>

int st_file_read(const char *path, void **image, size_t *len, char *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), ret = 0;
	struct stat st;

	*image = NULL;
	if (fd < 0 || fstat(fd, &st))
		ret = st_patch_fail(err, -errno, "can't open %.160s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode) || !st.st_size || st.st_size > ST_FILE_MAX)
		ret = st_patch_fail(err, -ENOEXEC, "%.160s is not a patch: not a file of a fitting size", path);
	if (!ret) {
		*len = (size_t)st.st_size;
		*image = malloc(*len);
		if (!*image || pread(fd, *image, *len, 0) != st.st_size) {
			ret = st_patch_fail(err, -EIO, "can't read %.160s", path);
			free(*image);
			*image = NULL;
		}
	}
	if (fd >= 0)
		close(fd);
	return ret;
}

static int write_all(int fd, const void *bytes, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)bytes + done, len - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int st_file_replace(const char *path, const char *like, const void *head, size_t head_len, const void *tail, size_t tail_len, char *err)
{
	char real[PATH_MAX], temporary[PATH_MAX + 16];
	struct stat st;
	int fd, ret;

	if (!realpath(path, real))
		snprintf(real, sizeof(real), "%s", path);
	snprintf(temporary, sizeof(temporary), "%s.XXXXXX", real);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return st_patch_fail(err, -errno, "can't write %.160s: %s", path, strerror(errno));
	ret = write_all(fd, head, head_len) ?: write_all(fd, tail, tail_len);
	if (!ret && (stat(like, &st) || fchmod(fd, st.st_mode & 0777) || fsync(fd) || rename(temporary, real)))
		ret = -errno;
	close(fd);
	if (ret) {
		unlink(temporary);
		return st_patch_fail(err, ret, "can't write %.160s: %s", path, strerror(-ret));
	}
	return 0;
}
