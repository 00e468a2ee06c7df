/* SPDX-License-Identifier: GPL-2.0-only */
/* A patch's file: read once, checked, then applied as often as there are processes. */
#include <errno.h>
#include <stdlib.h>
#include <patch/files.h>
#include <patch/internal.h>
#include <patch/sign.h>

int st_patch_open(const char *path, const struct st_patch_options *o, struct st_patch_file **result, char err[ST_ERR_MAX])
{
	struct st_patch_file *file = calloc(1, sizeof(*file));
	char why[ST_ERR_MAX], who[ST_SIGN_NAME_MAX];
	void *image = NULL;
	size_t payload;
	int ret;

	if (!file)
		return st_patch_fail(err, -ENOMEM, "out of memory");
	ret = st_file_read(path, &image, &file->len, err);
	file->image = image;
	if (!ret) {
		file->path = file->path_memory = realpath(path, NULL);
		ret = st_sign_check(file->image, file->len, &payload, who, why);
		file->is_signed = !ret;
		/* A file that was changed after it was signed is not what anybody made. */
		if (ret != -EBADMSG && o && o->allow_unsigned)
			ret = 0;
		if (!ret)
			ret = st_manifest_read(file->image, payload, &file->m, why);
		if (ret)
			st_patch_fail(err, ret, "%.80s can't be applied: %.160s%s", path, why,
				      ret == -EKEYREJECTED ? "; with --allow-unsigned it can" : "");
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
