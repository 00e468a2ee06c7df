/* SPDX-License-Identifier: GPL-2.0-only */
/* See manifest.h. Input from outside: nothing in it is believed before it is checked (tests/fuzz/fuzz_manifest.c). */
#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <patch/manifest.h>
#include <process/process.h>

#define NOTE_NAME "Sidetrack"
#define NOTE_TYPE 1
#define WORDS 4

static int __attribute__((format(printf, 3, 4))) refuse(char *err, int ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, ST_ERR_MAX, fmt, ap);
	va_end(ap);
	return ret;
}

static bool printable(const char *s)
{
	for (; *s; s++)
		if (!isprint((unsigned char)*s) || *s == '/')
			return false;
	return true;
}

static bool identifier(const char *s)
{
	if (!*s || strlen(s) >= 64)
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && *s != '_' && *s != '-' && *s != '.')
			return false;
	return true;
}

/* Takes one note apart, in place. */
static int add(struct st_manifest *m, char *text, char *err)
{
	char *word[WORDS] = { "", "", "", "" }, *save = NULL;
	struct st_manifest_entry *list;
	size_t *count, n = 0;

	for (char *p = strtok_r(text, "\t", &save); p && n < WORDS; p = strtok_r(NULL, "\t", &save))
		word[n++] = p;
	for (size_t i = 0; i < n; i++)
		if (!printable(word[i]))
			return refuse(err, -EINVAL, "the manifest has an odd character in a name");
	if (!strcmp(word[0], "patch") && n == 3) {
		if (m->name)
			return refuse(err, -EINVAL, "the manifest names the patch twice");
		if (!identifier(word[1]))
			return refuse(err, -EINVAL, "'%.64s' is no name for a patch", word[1]);
		m->name = word[1];
		m->level = word[2];
		return 0;
	}
	if (!strcmp(word[0], "replace") && n == 4) {
		list = m->replace;
		count = &m->replaces;
	} else if (!strcmp(word[0], "object") && n == 3) {
		list = m->object;
		count = &m->objects;
	} else if (!strcmp(word[0], "target") && n == 4) {
		list = m->target;
		count = &m->targets;
	} else {
		return refuse(err, -EINVAL, "the manifest says '%.64s', which this version does not know", word[0]);
	}
	if (*count == ST_MANIFEST_MAX)
		return refuse(err, -EINVAL, "the manifest has more than 256 entries of '%.16s'", word[0]);
	list[(*count)++] = (struct st_manifest_entry){ .object = word[1], .symbol = word[2], .own = word[3] };
	return 0;
}

static int read_notes(Elf_Data *data, struct st_manifest *m, char *text, size_t *used, char *err)
{
	size_t off = 0, next, name, desc;
	GElf_Nhdr nh;
	int ret = 0;

	while (!ret && (next = gelf_getnote(data, off, &nh, &name, &desc)) > 0) {
		const char *d = (const char *)data->d_buf + desc;

		off = next;
		if (nh.n_type != NOTE_TYPE || nh.n_namesz != sizeof(NOTE_NAME) ||
		    memcmp((const char *)data->d_buf + name, NOTE_NAME, sizeof(NOTE_NAME)))
			continue;
		if (!nh.n_descsz || d[nh.n_descsz - 1])
			return refuse(err, -EINVAL, "a note of the manifest has no end");
		memcpy(text + *used, d, nh.n_descsz);
		ret = add(m, text + *used, err);
		*used += nh.n_descsz;
	}
	return ret;
}

static int check(const struct st_manifest *m, char *err)
{
	if (!m->name)
		return refuse(err, -EINVAL, "it has no manifest: it does not say ST_PATCH() (sidetrack/patch.h)");
	if (!m->replaces)
		return refuse(err, -EINVAL, "patch %s replaces nothing: it has no ST_REPLACE()", m->name);
	if (strcmp(m->level, "independent"))
		return refuse(err, -EINVAL, "level '%.32s' is not there yet: only 'independent' can be applied", m->level);
	for (size_t i = 0; i < m->replaces; i++)
		for (size_t k = 0; k < i; k++)
			if (!strcmp(m->replace[i].object, m->replace[k].object) &&
			    !strcmp(m->replace[i].symbol, m->replace[k].symbol))
				return refuse(err, -EINVAL, "it replaces %s twice", m->replace[i].symbol);
	return 0;
}

int st_manifest_read(const void *image, size_t len, struct st_manifest *m, char *err)
{
	Elf_Scn *scn = NULL;
	size_t used = 0;
	int ret = 0;
	Elf *elf;

	memset(m, 0, sizeof(*m));
	elf_version(EV_CURRENT);
	elf = elf_memory((char *)image, len);
	if (!elf || elf_kind(elf) != ELF_K_ELF) {
		elf_end(elf);
		return refuse(err, -ENOEXEC, "it is not an ELF file");
	}
	m->text = malloc(len + 1);
	if (!m->text) {
		elf_end(elf);
		return refuse(err, -ENOMEM, "out of memory");
	}
	while (!ret && (scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;
		Elf_Data *data;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_NOTE)
			continue;
		data = elf_getdata(scn, NULL);
		/* Sections of a damaged file may overlap: their text together is then longer than the file. */
		if (!data || !data->d_buf || data->d_size > len - used)
			continue;
		ret = read_notes(data, m, m->text, &used, err);
	}
	elf_end(elf);
	if (!ret)
		ret = check(m, err);
	if (ret)
		st_manifest_free(m);
	return ret;
}

void st_manifest_free(struct st_manifest *m)
{
	free(m->text);
	m->text = NULL;
}
