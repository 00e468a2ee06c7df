// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finds the debug information of an object: in its own file, or in a separate one, by build-id or by .gnu_debuglink. A file that
 * is not that of the object (its build-id, or the link's checksum, says so) is not taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include "debug.h"

#define FOLDER "/usr/lib/debug"
#define PATH_LEN 4096

/* Debug information that has at least one unit; NULL: none. */
static Dwarf *read_dwarf(Elf *elf)
{
	Dwarf *dbg = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
	Dwarf_Off next;
	size_t size;

	if (dbg && dwarf_nextcu(dbg, 0, &next, &size, NULL, NULL, NULL)) {
		dwarf_end(dbg);
		return NULL;
	}
	return dbg;
}

/* ELF notes and their build-id, of a file that has sections only. */
static bool has_build_id(Elf *elf, const uint8_t *id, size_t len)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	while ((scn = elf_nextscn(elf, scn))) {
		size_t at = 0, name, desc;
		Elf_Data *data;
		GElf_Nhdr note;

		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_NOTE)
			continue;
		data = elf_getdata(scn, NULL);
		while (data && (at = gelf_getnote(data, at, &note, &name, &desc)) > 0)
			if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
			    !memcmp((char *)data->d_buf + name, "GNU", 4) && note.n_descsz == len &&
			    !memcmp((char *)data->d_buf + desc, id, len))
				return true;
	}
	return false;
}

/* The checksum of .gnu_debuglink is of the whole file. */
static bool has_checksum(int fd, uint32_t want)
{
	uint8_t buf[65536];
	uLong crc = crc32(0, NULL, 0);
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, buf, sizeof(buf), at)) > 0) {
		crc = crc32(crc, buf, (uInt)n);
		at += n;
	}
	return !n && crc == want;
}

/* Takes the file if it is the right one: by build-id if the object has one, else by checksum. */
static bool try_file(struct st_dwarf *dw, const char *path, const uint32_t *checksum)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf *elf;

	if (fd < 0)
		return false;
	elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	if (elf && (dw->obj->build_id_len ? has_build_id(elf, dw->obj->build_id, dw->obj->build_id_len) :
					    checksum && has_checksum(fd, *checksum)))
		dw->dbg = read_dwarf(elf);
	if (dw->dbg) {
		dw->debug_elf = elf;
		dw->debug_fd = fd;
		return true;
	}
	elf_end(elf);
	close(fd);
	return false;
}

static bool try_build_id(struct st_dwarf *dw, const char *folder, size_t folder_len)
{
	const struct st_object *obj = dw->obj;
	char path[PATH_LEN];
	size_t i, n;

	if (obj->build_id_len < 2)
		return false;
	n = (size_t)snprintf(path, sizeof(path), "%.*s/.build-id/%02x/", (int)folder_len, folder, obj->build_id[0]);
	for (i = 1; i < obj->build_id_len && n < sizeof(path); i++)
		n += (size_t)snprintf(path + n, sizeof(path) - n, "%02x", obj->build_id[i]);
	if (n + 7 > sizeof(path))
		return false;
	memcpy(path + n, ".debug", 7);
	return try_file(dw, path, NULL);
}

/* .gnu_debuglink: a file name, padded to 4 bytes, and a checksum. */
static const char *debug_link(Elf *elf, uint32_t *checksum)
{
	Elf_Scn *scn = NULL;
	size_t names, len;
	GElf_Shdr shdr;

	if (elf_getshdrstrndx(elf, &names))
		return NULL;
	while ((scn = elf_nextscn(elf, scn))) {
		const char *name = gelf_getshdr(scn, &shdr) ? elf_strptr(elf, names, shdr.sh_name) : NULL;
		Elf_Data *data;

		if (!name || strcmp(name, ".gnu_debuglink"))
			continue;
		data = elf_rawdata(scn, NULL);
		if (!data || !data->d_buf || !memchr(data->d_buf, 0, data->d_size))
			return NULL;
		len = (strlen(data->d_buf) + 4) & ~(size_t)3;
		if (len + sizeof(*checksum) > data->d_size || strchr(data->d_buf, '/'))
			return NULL;
		memcpy(checksum, (char *)data->d_buf + len, sizeof(*checksum));
		return data->d_buf;
	}
	return NULL;
}

static bool try_link(struct st_dwarf *dw, const char *folder, size_t folder_len)
{
	const char *path = dw->obj->path, *slash = strrchr(path, '/'), *link;
	int dir = slash ? (int)(slash - path) : 0;
	char file[PATH_LEN];
	uint32_t checksum;

	link = dw->elf ? debug_link(dw->elf, &checksum) : NULL;
	if (!link)
		return false;
	if (folder) {
		snprintf(file, sizeof(file), "%.*s%.*s/%s", (int)folder_len, folder, dir, path, link);
		return try_file(dw, file, &checksum);
	}
	snprintf(file, sizeof(file), "%.*s/%s", dir, path, link);
	if (try_file(dw, file, &checksum))
		return true;
	snprintf(file, sizeof(file), "%.*s/.debug/%s", dir, path, link);
	return try_file(dw, file, &checksum);
}

static bool find_debug_file(struct st_dwarf *dw)
{
	const char *p = getenv("SIDETRACK_DEBUG_PATH");

	for (; p && *p; p += *p == ':') {
		size_t len = strcspn(p, ":");

		if (len && (try_build_id(dw, p, len) || try_link(dw, p, len)))
			return true;
		p += len;
	}
	return try_build_id(dw, FOLDER, strlen(FOLDER)) || try_link(dw, NULL, 0) || try_link(dw, FOLDER, strlen(FOLDER));
}

int st_dwarf_open(struct st_objects *objs, struct st_object *obj, struct st_dwarf **out, char err[ST_ERR_MAX])
{
	struct st_dwarf *dw = calloc(1, sizeof(*dw));
	int fd = st_object_fd(obj);

	*out = NULL;
	if (!dw) {
		snprintf(err, ST_ERR_MAX, "out of memory");
		return -ENOMEM;
	}
	dw->objs = objs;
	dw->obj = obj;
	dw->debug_fd = -1;
	elf_version(EV_CURRENT);
	dw->elf = fd >= 0 ? elf_begin(fd, ELF_C_READ_MMAP, NULL) : NULL;
	if (dw->elf)
		dw->dbg = read_dwarf(dw->elf);
	if (!dw->dbg && !find_debug_file(dw)) {
		st_dwarf_close(dw);
		snprintf(err, ST_ERR_MAX,
			 "%.60s has no debug information, so that C expressions mean nothing in it: install its debug package, "
			 "or use $argN, %%REG, @SYMBOL",
			 obj->name);
		return -ENOENT;
	}
	if (dw->elf)
		dw->eh_frame = dwarf_getcfi_elf(dw->elf);
	dw->debug_frame = dwarf_getcfi(dw->dbg);
	*out = dw;
	return 0;
}

void st_dwarf_close(struct st_dwarf *dw)
{
	if (!dw)
		return;
	if (dw->eh_frame)
		dwarf_cfi_end(dw->eh_frame);
	if (dw->dbg)
		dwarf_end(dw->dbg);
	if (dw->debug_elf)
		elf_end(dw->debug_elf);
	if (dw->elf)
		elf_end(dw->elf);
	if (dw->debug_fd >= 0)
		close(dw->debug_fd);
	free(dw);
}
