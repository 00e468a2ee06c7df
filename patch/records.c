/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The records of patches in the shared memory (agent/patches.h). Complete before the patch's state says that they are there; the
 * target can write them, so what is read is checked here and nowhere else.
 */
#include <elf.h>
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <string.h>
#include <patch/internal.h>

static uint32_t bounded(uint32_t n, uint32_t max)
{
	return n < max ? n : max;
}

struct st_ctl_patch_object *st_record_object(struct st_ctl *ctl, unsigned int patch, uint32_t *i)
{
	for (uint32_t n = bounded(ctl->patch_objects_used, ST_PATCH_OBJECTS_MAX); *i < n;)
		if (ctl->patch_object[(*i)++].patch == patch + 1)
			return &ctl->patch_object[*i - 1];
	return NULL;
}

struct st_ctl_patch_func *st_record_func(struct st_ctl *ctl, unsigned int patch, uint32_t *i)
{
	for (uint32_t n = bounded(ctl->patch_funcs_used, ST_PATCH_FUNCS_MAX); *i < n;)
		if (ctl->patch_func[(*i)++].patch == patch + 1)
			return &ctl->patch_func[*i - 1];
	return NULL;
}

struct st_ctl_patch_word *st_record_word(struct st_ctl *ctl, unsigned int patch, uint32_t *i)
{
	for (uint32_t n = bounded(ctl->patch_words_used, ST_PATCH_WORDS_MAX); *i < n;)
		if (ctl->patch_word[(*i)++].patch == patch + 1)
			return &ctl->patch_word[*i - 1];
	return NULL;
}

const char *st_record_text(const struct st_ctl *ctl, uint32_t at, char buf[ST_NAME_MAX])
{
	size_t n = at < ST_PATCH_TEXT_MAX ? ST_PATCH_TEXT_MAX - at : 0;

	if (n > ST_NAME_MAX - 1)
		n = ST_NAME_MAX - 1;
	memcpy(buf, ctl->patch_text + (n ? at : 0), n);
	buf[n] = '\0';
	return buf;
}

void st_record_entry(const struct st_ctl *ctl, const struct st_ctl_patch_func *f, const char *object, char buf[ST_NAME_MAX],
		     struct st_manifest_entry *e)
{
	*e = (struct st_manifest_entry){ .object = object, .symbol = st_record_text(ctl, f->name, buf) };
	e->bound = (struct st_bound){
		.known = f->bound, .addr = (unsigned long)f->bound_addr, .size = (unsigned long)f->bound_size,
		.room = (unsigned long)f->bound_room, .isa = f->bound_isa, .function = f->bound_function,
	};
	memcpy(e->bound.checksum, f->checksum, sizeof(f->checksum));
}

const char *st_record_name(const struct st_ctl *ctl, unsigned int patch, char buf[64])
{
	memcpy(buf, ctl->patch[patch].name, 64);
	buf[63] = '\0';
	return buf;
}

int st_patch_find(const struct st_ctl *ctl, const char *name)
{
	char is[64];

	for (unsigned int i = 0; i < ST_PATCHES_MAX; i++)
		if (ctl->patch[i].state != ST_PATCH_FREE && !strcmp(st_record_name(ctl, i, is), name))
			return (int)i;
	return -1;
}

void st_records_free(struct st_ctl *ctl, unsigned int patch)
{
	struct st_ctl_patch_object *o;
	struct st_ctl_patch_func *f;
	struct st_ctl_patch_word *v;

	for (uint32_t i = 0; (o = st_record_object(ctl, patch, &i));)
		o->patch = 0;
	for (uint32_t i = 0; (f = st_record_func(ctl, patch, &i));)
		f->patch = 0;
	for (uint32_t i = 0; (v = st_record_word(ctl, patch, &i));)
		v->patch = 0;
	__atomic_store_n(&ctl->patch[patch].state, ST_PATCH_FREE, __ATOMIC_RELEASE);
}

/* ---- making them ---- */

/* A free record of an array, or NULL. */
#define TAKE(ctl, array, max) ({									\
	uint32_t n_ = bounded((ctl)->array##s_used, max), i_ = 0;					\
	while (i_ < n_ && (ctl)->array[i_].patch)							\
		i_++;											\
	if (i_ == n_ && i_ < (max))									\
		(ctl)->array##s_used = i_ + 1;								\
	i_ < (max) ? memset(&(ctl)->array[i_], 0, sizeof((ctl)->array[i_])) : NULL; })

struct text {
	struct st_ctl *ctl;
	uint32_t at, end;
};

static uint32_t put(struct text *t, const char *name)
{
	uint32_t at = t->at;
	size_t n = strlen(name) + 1;

	if (n > t->end - t->at)
		return 0;
	memcpy(t->ctl->patch_text + at, name, n);
	t->at += (uint32_t)n;
	return at;
}

/* Room for @size bytes: behind the text of another patch, or at the beginning (but not at 0, which is no name). */
static uint32_t find_text(const struct st_ctl *ctl, uint32_t size)
{
	for (int i = -1; i < ST_PATCHES_MAX; i++) {
		const struct st_ctl_patch *p = i < 0 ? NULL : &ctl->patch[i];
		uint32_t at = p ? p->text + p->text_len : 1;
		bool is_free = at && at < ST_PATCH_TEXT_MAX && size <= ST_PATCH_TEXT_MAX - at;

		if (p && p->state == ST_PATCH_FREE)
			continue;
		for (int k = 0; is_free && k < ST_PATCHES_MAX; k++)
			is_free = ctl->patch[k].state == ST_PATCH_FREE || ctl->patch[k].text >= at + size ||
				  ctl->patch[k].text + ctl->patch[k].text_len <= at;
		if (is_free)
			return at;
	}
	return 0;
}

static size_t text_size(const struct st_manifest *m, const struct st_parts *parts)
{
	size_t n = 0;

	for (size_t i = 0; i < parts->n; i++)
		n += strlen(parts->part[i].name) + 1 + (parts->part[i].build_id ? strlen(parts->part[i].build_id) + 1 : 0);
	for (size_t i = 0; i < m->replaces; i++)
		n += strlen(m->replace[i].symbol) + 1;
	for (size_t i = 0; i < m->targets; i++)
		n += strlen(m->target[i].symbol) + 1;
	for (size_t i = 0; i < m->dependses; i++)
		n += strlen(m->depends[i]) + 1;
	return n;
}

static void append(char *list, size_t size, const char *what)
{
	size_t n = strlen(list);

	if (n + strlen(what) + 2 < size)
		snprintf(list + n, size - n, "%s%s", n ? "," : "", what);
}

/*
 * Has the compiler cut pieces off this function (FUNCTION.cold, FUNCTION.part.0)? They run on its behalf. Without a symbol table it may
 * have.
 */
static bool in_pieces(const struct st_patch_file *file, const char *name)
{
	size_t len = strlen(name);
	bool known = false, found = false;
	Elf_Scn *scn = NULL;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_memory((char *)file->image, file->len);
	while (elf && !known && (scn = elf_nextscn(elf, scn))) {
		Elf_Data *data;
		GElf_Shdr sh;
		GElf_Sym sym;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_SYMTAB)
			continue;
		known = true;
		data = elf_getdata(scn, NULL);
		for (int i = 1; !found && data && gelf_getsym(data, i, &sym); i++) {
			const char *is = elf_strptr(elf, sh.sh_link, sym.st_name);

			found = is && !strncmp(is, name, len) && (!strncmp(is + len, ".cold", 5) || !strncmp(is + len, ".part.", 6));
		}
	}
	elf_end(elf);
	return !known || found;
}

/* A symbol of the patch itself. *size 0: a function that is not in one piece; all of the patch counts as its code. */
static int own(struct st_work *w, const struct st_patch_file *file, const struct st_loaded *l, const char *name, const char *what,
	       uint64_t *addr, uint32_t *size)
{
	unsigned long a, n;

	if (st_image_function(file->image, file->len, l->bias, name, &a, &n))
		return st_patch_fail(w->err, -EINVAL, "the patch has no %s %s (is it static?)", what, name);
	if (a < l->lo || a >= l->hi || n > l->hi - a)
		return st_patch_fail(w->err, -EINVAL, "the patch's symbol %s is not in its memory", name);
	*addr = a;
	*size = in_pieces(file, name) ? 0 : (uint32_t)n;
	return 0;
}

static int make_objects(struct st_work *w, const struct st_patch_file *file, const struct st_parts *parts, const struct st_loaded *l,
			struct text *t, uint32_t *index)
{
	uint32_t size;
	int ret = 0;

	for (size_t i = 0; !ret && i < parts->n; i++) {
		const struct st_part *part = &parts->part[i];
		struct st_ctl_patch_object *o = TAKE(w->ctl, patch_object, ST_PATCH_OBJECTS_MAX);

		if (!o)
			return st_patch_fail(w->err, -ENOSPC, "the process has as many patches as it can have");
		index[i] = (uint32_t)(o - w->ctl->patch_object);
		o->name = put(t, part->name);
		o->build_id = part->build_id ? put(t, part->build_id) : 0;
		o->there = part->o != NULL;
		o->base = part->o ? part->o->lo : 0;
		for (int k = 0; !ret && part->callback && k < ST_CALLBACKS_MAX; k++)
			if (part->callback[k])
				ret = own(w, file, l, part->callback[k], "callback", &o->callback[k], &size);
		o->patch = w->patch + 1;
	}
	return ret;
}

static uint32_t part_of(const struct st_parts *parts, const uint32_t *index, const char *object)
{
	for (size_t i = 0; i < parts->n; i++)
		if (!strcmp(parts->part[i].name, object))
			return index[i];
	return 0;
}

static int make_func(struct st_work *w, const struct st_patch_file *file, const struct st_parts *parts, const struct st_loaded *l,
		     struct text *t, const uint32_t *index, const struct st_manifest_entry *e, const struct st_fn *fn)
{
	struct st_ctl_patch_func *f = TAKE(w->ctl, patch_func, ST_PATCH_FUNCS_MAX);
	int ret;

	if (!f)
		return st_patch_fail(w->err, -ENOSPC, "the process has as many patched functions as it can have");
	f->name = put(t, e->symbol);
	f->object = part_of(parts, index, e->object);
	f->variable = !fn;
	if (fn) {
		f->addr = fn->addr;
		f->size = fn->size;
		f->room = fn->room;
		f->isa = fn->isa;
	}
	f->bound = e->bound.known;
	f->bound_addr = e->bound.addr;
	f->bound_size = e->bound.size;
	f->bound_room = e->bound.room;
	f->bound_isa = e->bound.isa;
	f->bound_function = e->bound.function;
	memcpy(f->checksum, e->bound.checksum, sizeof(f->checksum));
	ret = own(w, file, l, e->own, fn ? "function" : "variable", &f->to, &f->to_size);
	if (!ret && !fn && l->hi - f->to < sizeof(long))
		ret = st_patch_fail(w->err, -EINVAL, "the patch's variable %s can't be set", e->own);
	f->patch = w->patch + 1;
	return ret;
}

static int make_words(struct st_work *w, const struct st_manifest *m, struct text *t)
{
	for (size_t i = 0; i < m->states + m->dependses; i++) {
		struct st_ctl_patch_word *v = TAKE(w->ctl, patch_word, ST_PATCH_WORDS_MAX);

		if (!v)
			return st_patch_fail(w->err, -ENOSPC, "the process has as many states of patches as it can have");
		if (i < m->states) {
			v->id = m->state[i].id;
			v->version = m->state[i].version;
		} else {
			v->name = put(t, m->depends[i - m->states]);
		}
		v->patch = w->patch + 1;
	}
	return 0;
}

static int take_patch(struct st_work *w)
{
	for (unsigned int i = 0; i < ST_PATCHES_MAX; i++)
		if (w->ctl->patch[i].state == ST_PATCH_FREE) {
			w->patch = i;
			st_records_free(w->ctl, i);	/* of a tool that was killed here */
			return 0;
		}
	return st_patch_fail(w->err, -ENOSPC, "the process has as many patches as it can have (%d)", ST_PATCHES_MAX);
}

int st_records_make(struct st_work *w, const struct st_patch_file *file, const struct st_parts *parts, const struct st_loaded *l,
		    enum st_level level)
{
	const struct st_manifest *m = &file->m;
	size_t size = text_size(m, parts);
	uint32_t index[2 * ST_MANIFEST_MAX];
	struct text t = { .ctl = w->ctl };
	struct st_ctl_patch *p;
	int ret = take_patch(w);

	if (ret)
		return ret;
	if (size < ST_PATCH_TEXT_MAX)
		t.at = find_text(w->ctl, (uint32_t)size);
	if (!t.at)
		return st_patch_fail(w->err, -ENOSPC, "the names in the patch are longer than there is room for");
	t.end = t.at + (uint32_t)size;
	if (w->ctl->patch_text_used < t.end)
		w->ctl->patch_text_used = t.end;

	p = st_work_patch(w);
	memset(p, 0, sizeof(*p));
	snprintf(p->name, sizeof(p->name), "%s", m->name);
	p->level = level;
	p->flags = m->replace_all ? ST_PATCH_REPLACE : 0;
	p->text = t.at;
	p->text_len = (uint32_t)size;
	p->base = l->lo;
	p->size = l->hi - l->lo;
	p->funcs = (uint32_t)m->replaces;
	p->seq = ++w->ctl->patch_seq;
	ret = make_objects(w, file, parts, l, &t, index);
	for (size_t i = 0; !ret && i < m->replaces; i++)
		ret = make_func(w, file, parts, l, &t, index, &m->replace[i], &parts->fn[i]);
	for (size_t i = 0; !ret && i < m->targets; i++)
		ret = make_func(w, file, parts, l, &t, index, &m->target[i], NULL);
	if (!ret)
		ret = make_words(w, m, &t);
	if (ret) {
		st_records_free(w->ctl, w->patch);
		return ret;
	}
	for (size_t i = 0; i < parts->n; i++)
		append(p->object, sizeof(p->object), parts->part[i].name);
	for (size_t i = 0; i < m->replaces; i++)
		append(p->functions, sizeof(p->functions), m->replace[i].symbol);
	__atomic_store_n(&p->state, ST_PATCH_DISABLED, __ATOMIC_RELEASE);
	return 0;
}
