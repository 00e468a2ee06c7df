// SPDX-License-Identifier: GPL-2.0-only
/*
 * See debugfile.h. Both may be damaged, or not what they are thought to be: a debug file must have the build-id, what is
 * unpacked may not be larger than UNPACKED_MAX.
 */
#include "process/internal.h"
#include "process/debugfile.h"
#include <fcntl.h>
#include <gelf.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNPACKED_MAX (256ul << 20)
#define MEMORY_MAX (256ul << 20)

static bool has_build_id(Elf *elf, const uint8_t *build_id, size_t len)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(elf, scn))) {
		size_t at = 0, next, name, desc;
		GElf_Shdr shdr;
		GElf_Nhdr note;
		Elf_Data *data;

		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_NOTE)
			continue;
		data = elf_getdata(scn, NULL);
		for (; data && (next = gelf_getnote(data, at, &note, &name, &desc)); at = next)
			if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && note.n_descsz == len &&
			    !memcmp((char *)data->d_buf + name, "GNU", 4) &&
			    !memcmp((char *)data->d_buf + desc, build_id, len))
				return true;
	}
	return false;
}

static bool open_in(const char *folder, size_t folder_len, const uint8_t *build_id, size_t len, struct st_debugfile *file)
{
	char path[4096];
	size_t i, at;

	at = (size_t)snprintf(path, sizeof(path), "%.*s/.build-id/%02x/", (int)folder_len, folder, build_id[0]);
	if (at + 2 * len + sizeof(".debug") > sizeof(path))
		return false;
	for (i = 1; i < len; i++)
		at += (size_t)sprintf(path + at, "%02x", build_id[i]);
	strcpy(path + at, ".debug");
	file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (file->fd < 0)
		return false;
	file->elf = elf_begin(file->fd, ELF_C_READ, NULL);
	if (file->elf && elf_kind(file->elf) == ELF_K_ELF && has_build_id(file->elf, build_id, len))
		return true;
	st_debugfile_close(file);
	return false;
}

bool st_debugfile_find(const uint8_t *build_id, size_t len, struct st_debugfile *file)
{
	const char *folders = getenv("SIDETRACK_DEBUG_PATH"), *end;

	*file = (struct st_debugfile){ .fd = -1 };
	if (len < 2)
		return false;
	if (!folders || !*folders)
		folders = "/usr/lib/debug";
	for (;; folders = end + 1) {
		end = strchrnul(folders, ':');
		if (end > folders && open_in(folders, (size_t)(end - folders), build_id, len, file))
			return true;
		if (!*end)
			return false;
	}
}

const char *st_debugfile_unpack(const void *data, size_t len, struct st_debugfile *file)
{
	lzma_stream xz = LZMA_STREAM_INIT;
	const char *why = NULL;
	size_t size = len * 4 + 65536;
	lzma_ret ret;

	*file = (struct st_debugfile){ .fd = -1 };
	if (lzma_stream_decoder(&xz, MEMORY_MAX, 0) != LZMA_OK)
		return "out of memory";
	xz.next_in = data;
	xz.avail_in = len;
	for (ret = LZMA_OK; ret == LZMA_OK;) {
		uint8_t *more;

		if (xz.total_out == UNPACKED_MAX) {
			why = "its .gnu_debugdata is larger than any that makes sense";
			break;
		}
		if (size > UNPACKED_MAX)
			size = UNPACKED_MAX;
		more = realloc(file->image, size);
		if (!more) {
			why = "out of memory";
			break;
		}
		file->image = more;
		xz.next_out = more + xz.total_out;
		xz.avail_out = size - xz.total_out;
		ret = lzma_code(&xz, LZMA_FINISH);
		size *= 2;
	}
	if (!why && ret != LZMA_STREAM_END)
		why = ret == LZMA_MEM_ERROR || ret == LZMA_MEMLIMIT_ERROR ? "its .gnu_debugdata takes too much memory" :
									   "its .gnu_debugdata is damaged";
	if (!why) {
		file->elf = elf_memory((char *)file->image, xz.total_out);
		if (!file->elf || elf_kind(file->elf) != ELF_K_ELF)
			why = "its .gnu_debugdata is damaged";
	}
	lzma_end(&xz);
	if (why)
		st_debugfile_close(file);
	return why;
}

void st_debugfile_close(struct st_debugfile *file)
{
	elf_end(file->elf);
	free(file->image);
	if (file->fd >= 0)
		close(file->fd);
	*file = (struct st_debugfile){ .fd = -1 };
}
