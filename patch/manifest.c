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

#define WORDS 8

static int __attribute__((format(printf, 3, 4))) refuse(char *err, int ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, ST_ERR_MAX, fmt, ap);
	va_end(ap);
	return ret;
}

/* While it is read. */
struct reader {
	struct st_manifest *m;
	struct {
		const char *object, *symbol;
		struct st_bound bound;
	} bound[2 * ST_MANIFEST_MAX];	/* may come before what it belongs to */
	size_t bounds;
	char *err;
};

static bool all_of(const char *s, const char *more, size_t max)
{
	if (!*s || strlen(s) > max)
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr(more, *s))
			return false;
	return true;
}

/* A decimal or hexadecimal number, with a C suffix or without. */
static bool number(const char *s, unsigned long max, unsigned long *n)
{
	char *end;

	errno = 0;
	*n = strtoul(s, &end, 0);
	while (strchr("uUlL", *end) && *end)
		end++;
	return isdigit((unsigned char)*s) && !*end && !errno && *n <= max;
}

static bool hex(const char *s, uint8_t *bytes, size_t max, size_t *n)
{
	unsigned int byte;

	for (*n = 0; s[0] && *n < max; s += 2, ++*n) {
		if (!isxdigit((unsigned char)s[0]) || !isxdigit((unsigned char)s[1]))
			return false;
		sscanf(s, "%2x", &byte);
		bytes[*n] = (uint8_t)byte;
	}
	return *n && !*s;
}

/* Room for one more in a list of n, or a sentence. */
static bool room(struct reader *r, size_t n, const char *what)
{
	if (n < ST_MANIFEST_MAX)
		return true;
	refuse(r->err, -EINVAL, "the manifest has more than %d entries of '%s'", ST_MANIFEST_MAX, what);
	return false;
}

static int add_patch(struct reader *r, char **word)
{
	static const char *const levels[] = { "independent", "thread", "process" };

	if (r->m->name)
		return refuse(r->err, -EINVAL, "the manifest names the patch twice (two ST_PATCH())");
	if (!all_of(word[1], "_-.", 63))
		return refuse(r->err, -EINVAL, "'%.64s' is no name for a patch", word[1]);
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (!strcmp(word[2], levels[i]))
			r->m->level = levels[i];
	if (!r->m->level)
		return refuse(r->err, -EINVAL, "there is no level '%.32s': it is independent, thread or process", word[2]);
	r->m->name = word[1];
	return 0;
}

static int add_entry(struct reader *r, struct st_manifest_entry *list, size_t *n, char **word)
{
	if (!room(r, *n, word[0]))
		return -EINVAL;
	list[(*n)++] = (struct st_manifest_entry){ .object = word[1], .symbol = word[2], .own = word[3] ? word[3] : "" };
	return 0;
}

static int add_replace(struct reader *r, char **word)
{
	for (size_t i = 0; i < r->m->replaces; i++)
		if (!strcmp(r->m->replace[i].object, word[1]) && !strcmp(r->m->replace[i].symbol, word[2]))
			return refuse(r->err, -EINVAL, "it replaces %.200s twice", word[2]);
	return add_entry(r, r->m->replace, &r->m->replaces, word);
}

static int add_target(struct reader *r, char **word)
{
	return add_entry(r, r->m->target, &r->m->targets, word);
}

/* What is said again does not count. */
static int add_object(struct reader *r, char **word)
{
	uint8_t id[ST_BUILD_ID_MAX];
	size_t n;

	if (!hex(word[2], id, sizeof(id), &n))
		return refuse(r->err, -EINVAL, "'%.130s' is no build-id", word[2]);
	for (size_t i = 0; i < r->m->objects; i++) {
		if (strcmp(r->m->object[i].object, word[1]))
			continue;
		if (strcasecmp(r->m->object[i].symbol, word[2]))
			return refuse(r->err, -EINVAL, "the manifest asks for two builds of %.100s", word[1]);
		return 0;
	}
	return add_entry(r, r->m->object, &r->m->objects, word);
}

static int add_replace_all(struct reader *r, char **word)
{
	(void)word;
	r->m->replace_all = true;
	return 0;
}

static int add_depends(struct reader *r, char **word)
{
	if (!all_of(word[1], "_-.", 63))
		return refuse(r->err, -EINVAL, "'%.64s' is no name for a patch", word[1]);
	if (!room(r, r->m->dependses, word[0]))
		return -EINVAL;
	r->m->depends[r->m->dependses++] = word[1];
	return 0;
}

static int add_callbacks(struct reader *r, char **word)
{
	static const char *const none[] = { "none", "NULL", "nullptr", "0" };
	struct st_manifest_callbacks *c;

	for (size_t i = 0; i < r->m->callbacks; i++)
		if (!strcmp(r->m->callback[i].object, word[1]))
			return refuse(r->err, -EINVAL, "the manifest has callbacks for %.100s twice", word[1]);
	if (!room(r, r->m->callbacks, word[0]))
		return -EINVAL;
	c = &r->m->callback[r->m->callbacks++];
	c->object = word[1];
	for (size_t i = 0; i < ST_CALLBACKS_MAX; i++) {
		c->function[i] = word[2 + i];
		for (size_t k = 0; k < sizeof(none) / sizeof(none[0]); k++)
			if (!strcmp(word[2 + i], none[k]))
				c->function[i] = NULL;
	}
	return 0;
}

static int add_state(struct reader *r, char **word)
{
	unsigned long id, version;

	if (!number(word[1], ~0ul, &id) || !number(word[2], ~0u, &version))
		return refuse(r->err, -EINVAL, "a state is two numbers, not '%.32s' and '%.32s'", word[1], word[2]);
	for (size_t i = 0; i < r->m->states; i++)
		if (r->m->state[i].id == id)
			return refuse(r->err, -EINVAL, "the manifest has state %lu twice", id);
	if (!room(r, r->m->states, word[0]))
		return -EINVAL;
	r->m->state[r->m->states++] = (struct st_manifest_state){ id, (unsigned int)version };
	return 0;
}

static int add_bound(struct reader *r, char **word)
{
	static const char *const isas[] = { [ST_ISA_NATIVE] = "native", [ST_ISA_A32] = "a32", [ST_ISA_T32] = "t32" };
	struct st_bound b = { .known = true, .isa = ST_ISA_NATIVE };
	bool isa = false;
	size_t n;

	if (r->bounds == sizeof(r->bound) / sizeof(r->bound[0]))
		return refuse(r->err, -EINVAL, "the manifest has more addresses than functions");
	for (size_t i = 0; i < sizeof(isas) / sizeof(isas[0]); i++) {
		if (strcmp(word[6], isas[i]))
			continue;
		b.isa = (enum st_isa)i;
		isa = true;
	}
	b.function = strcmp(word[7], "data");
	if (!isa || !number(word[3], ~0ul >> 1, &b.addr) || !number(word[4], ~0ul >> 1, &b.size) || !number(word[5], ~0ul >> 1, &b.room) ||
	    (b.function && (!hex(word[7], b.checksum, sizeof(b.checksum), &n) || n != sizeof(b.checksum))))
		return refuse(r->err, -EINVAL, "what the manifest says about the address of %.100s makes no sense", word[2]);
	if (b.function && (!b.size || b.room < b.size))
		return refuse(r->err, -EINVAL, "the manifest gives %.100s no size, or one that does not fit", word[2]);
	r->bound[r->bounds].object = word[1];
	r->bound[r->bounds].symbol = word[2];
	r->bound[r->bounds++].bound = b;
	return 0;
}

/* Takes one note apart, in place. */
static int add(struct reader *r, char *text)
{
	static const struct {
		const char *keyword;
		size_t words;
		int (*add)(struct reader *r, char **word);
	} entries[] = {
		{ "patch", 3, add_patch },
		{ "replace", 4, add_replace },
		{ "target", 4, add_target },
		{ "object", 3, add_object },
		{ "replace-all", 1, add_replace_all },
		{ "depends", 2, add_depends },
		{ "callbacks", 6, add_callbacks },
		{ "state", 3, add_state },
		{ "bound", 8, add_bound },
	};
	char *word[WORDS + 1] = { NULL }, *at = text;
	size_t n = 0;

	while (at && n <= WORDS)
		word[n++] = strsep(&at, "\t");
	for (size_t i = 0; i < n; i++) {
		if (strlen(word[i]) > ST_MANIFEST_NAME_MAX)
			return refuse(r->err, -EINVAL, "the manifest has a name with more than %d characters", ST_MANIFEST_NAME_MAX);
		for (const char *p = word[i]; *p; p++)
			if (!isprint((unsigned char)*p) || *p == '/')
				return refuse(r->err, -EINVAL, "the manifest has an odd character in a name");
	}
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		if (strcmp(word[0], entries[i].keyword))
			continue;
		for (size_t k = 0; n == entries[i].words && k < n; k++)
			if (!*word[k])
				return refuse(r->err, -EINVAL, "the manifest has an empty name after '%s'", entries[i].keyword);
		if (n != entries[i].words)
			return refuse(r->err, -EINVAL, "the manifest has %zu words after '%s', which should be %zu", n - 1, entries[i].keyword,
				      entries[i].words - 1);
		return entries[i].add(r, word);
	}
	return refuse(r->err, -EINVAL, "the manifest says '%.64s', which this version does not know", word[0]);
}

/* @ours: the section is one of those that only hold our notes. */
static int read_notes(struct reader *r, Elf_Data *data, bool ours, size_t *used)
{
	size_t off = 0, next, name, desc;
	GElf_Nhdr nh;
	int ret = 0;

	while (!ret && (next = gelf_getnote(data, off, &nh, &name, &desc)) > 0) {
		const char *d = (const char *)data->d_buf + desc;

		off = next;
		if (nh.n_type != ST_NOTE_TYPE || nh.n_namesz != sizeof(ST_NOTE_NAME) ||
		    memcmp((const char *)data->d_buf + name, ST_NOTE_NAME, sizeof(ST_NOTE_NAME)))
			continue;
		if (!nh.n_descsz || memchr(d, '\0', nh.n_descsz) != d + nh.n_descsz - 1)
			return refuse(r->err, -EINVAL, "a note of the manifest has no end, or goes on behind it");
		memcpy(r->m->text + *used, d, nh.n_descsz);
		ret = add(r, r->m->text + *used);
		*used += nh.n_descsz;
	}
	if (!ret && ours && off != data->d_size)
		return refuse(r->err, -ENOEXEC, "its manifest is damaged: a note is longer than the section");
	return ret;
}

static const struct st_manifest_entry *find_object(const struct st_manifest *m, const char *name)
{
	for (size_t i = 0; i < m->objects; i++)
		if (!strcmp(m->object[i].object, name))
			return &m->object[i];
	return NULL;
}

/* Addresses go to what they are the addresses of. */
static int attach(struct reader *r)
{
	struct st_manifest *m = r->m;

	for (size_t i = 0; i < r->bounds; i++) {
		bool any = false;

		if (!find_object(m, r->bound[i].object))
			return refuse(r->err, -EINVAL, "the manifest has addresses in %.100s, and does not say of which build", r->bound[i].object);
		for (size_t k = 0; k < m->replaces + m->targets; k++) {
			struct st_manifest_entry *e = k < m->replaces ? &m->replace[k] : &m->target[k - m->replaces];

			if (strcmp(e->object, r->bound[i].object) || strcmp(e->symbol, r->bound[i].symbol))
				continue;
			if (e->bound.known)
				return refuse(r->err, -EINVAL, "the manifest has two addresses of %.100s", e->symbol);
			if (k < m->replaces && !r->bound[i].bound.function)
				return refuse(r->err, -EINVAL, "the manifest replaces %.100s, and says that it is data", e->symbol);
			e->bound = r->bound[i].bound;
			any = m->bound = true;
		}
		if (!any)
			return refuse(r->err, -EINVAL, "the manifest has an address of %.100s, which it does not use", r->bound[i].symbol);
	}
	return 0;
}

static int check(struct reader *r)
{
	const struct st_manifest *m = r->m;

	if (!m->name)
		return refuse(r->err, -EINVAL, "it has no manifest: it does not say ST_PATCH() (sidetrack/patch.h)");
	if (!m->replaces && !m->callbacks)
		return refuse(r->err, -EINVAL, "patch %s replaces nothing: it has no ST_REPLACE()", m->name);
	for (size_t i = 0; i < m->dependses; i++)
		if (!strcmp(m->depends[i], m->name))
			return refuse(r->err, -EINVAL, "patch %s depends on itself", m->name);
	return 0;
}

static int read_sections(struct reader *r, Elf *elf, size_t len)
{
	size_t used = 0, seen = 0, names;
	Elf_Scn *scn = NULL;
	int ret = 0;

	if (elf_getshdrstrndx(elf, &names))
		names = SHN_UNDEF;
	while (!ret && (scn = elf_nextscn(elf, scn))) {
		const char *name;
		Elf_Data *data;
		GElf_Shdr sh;
		bool ours;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_NOTE)
			continue;
		name = elf_strptr(elf, names, sh.sh_name);
		ours = name && !strncmp(name, ST_NOTE_SECTION, sizeof(ST_NOTE_SECTION) - 1);
		/* Then all of them together are longer than the file. */
		if (sh.sh_size > len - seen)
			return refuse(r->err, -ENOEXEC, "its manifest is damaged: sections reach beyond the end of the file, or overlap");
		seen += sh.sh_size;
		data = elf_getdata(scn, NULL);
		if (data && data->d_buf)
			ret = read_notes(r, data, ours, &used);
		else if (ours && sh.sh_size)
			ret = refuse(r->err, -ENOEXEC, "its manifest is damaged: the section is not in the file");
	}
	return ret;
}

int st_manifest_read(const void *image, size_t len, struct st_manifest *m, char *err)
{
	struct reader *r = calloc(1, sizeof(*r));
	int ret;
	Elf *elf;

	memset(m, 0, sizeof(*m));
	elf_version(EV_CURRENT);
	elf = elf_memory((char *)image, len);
	m->text = malloc(len + 1);
	if (!r || !m->text) {
		ret = refuse(err, -ENOMEM, "out of memory");
	} else if (!elf || elf_kind(elf) != ELF_K_ELF) {
		ret = refuse(err, -ENOEXEC, "it is not an ELF file");
	} else {
		r->m = m;
		r->err = err;
		ret = read_sections(r, elf, len);
		if (!ret)
			ret = attach(r);
		if (!ret)
			ret = check(r);
	}
	elf_end(elf);
	free(r);
	if (ret)
		st_manifest_free(m);
	return ret;
}

void st_manifest_free(struct st_manifest *m)
{
	free(m->text);
	m->text = NULL;
}
