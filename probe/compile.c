// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fills the record of a probe: fetches with their programs one behind the other in its code, then the filter, then the
 * histogram's value.
 */
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "compile.h"
#include "dwarf.h"

struct compiler {
	struct st_objects *objs;
	const struct st_fn *fn;
	size_t n;
	const struct st_spec *spec;	/* with types */
	struct st_ctl_code *code;
	unsigned int ops, text;		/* used of code */
	struct st_object *object;	/* whose debug information is open */
	struct st_dwarf *dwarf;
	char *err;
};

__attribute__((format(printf, 3, 4)))
static int fail(struct compiler *c, int ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->err, ST_ERR_MAX, fmt, ap);
	va_end(ap);
	return ret;
}

/* ---- C expressions ---- */

static bool same_value(const struct st_spec_arg *a, const struct st_spec_arg *b)
{
	return a->show == b->show && a->array == b->array && a->nops == b->nops && a->fetch.type == b->fetch.type &&
	       a->fetch.size == b->fetch.size && a->fetch.count == b->fetch.count && a->fetch.limit == b->fetch.limit &&
	       !memcmp(a->op, b->op, a->nops * sizeof(a->op[0]));
}

static int open_dwarf(struct compiler *c, unsigned long addr)
{
	struct st_object *obj = st_objects_find(c->objs, addr);

	if (!obj)
		return fail(c, -ENOENT, "the object that the probe is in is gone");
	if (c->dwarf && obj == c->object)
		return 0;
	st_dwarf_close(c->dwarf);
	c->dwarf = NULL;
	c->object = obj;
	return st_dwarf_open(c->objs, obj, &c->dwarf, c->err);
}

/* The same program in all places, or none. */
static int compile_expression(struct compiler *c, struct st_spec_arg *arg)
{
	struct st_spec_arg first = { 0 }, now;
	struct st_spec_error where;
	struct st_expr expr;
	size_t i;
	int ret;

	if (st_expr_parse(arg->expr, arg->expr_len, arg->expr, &expr, &where))
		return fail(c, -EINVAL, "%s", where.text);
	for (i = 0; i < c->n; i++) {
		const struct st_fn *fn = &c->fn[i];

		now = *arg;
		ret = open_dwarf(c, fn->addr);
		if (!ret)
			ret = st_dwarf_value(c->dwarf, fn->addr, fn->addr + fn->offset, c->spec, &expr, &now, c->err);
		if (ret)
			return ret;
		if (i && !same_value(&first, &now))
			return fail(c, -ENOTSUP,
				    "%.60s is not the same in %.60s and in %.60s; give each a probe of its own", arg->name,
				    c->fn[0].name, fn->name);
		if (!i)
			first = now;
	}
	*arg = first;
	return 0;
}

/* ---- symbols ---- */

/*
 * The address of @SYM: as the dynamic loader would, then any object that has it, the program first.
 */
static int resolve_symbol(struct compiler *c, struct st_spec_arg *arg)
{
	struct st_symbol sym = { 0 };
	struct st_object *obj = NULL;
	bool several = false, found;
	int64_t offset = 0;
	size_t i;
	int ret;

	found = !st_objects_resolve(c->objs, arg->symbol, NULL, &obj, &sym);
	for (i = 0; i < c->objs->n && !found; i++) {
		obj = &c->objs->object[i];
		ret = st_object_symbol(obj, arg->symbol, NULL, &sym);
		several |= ret == -EEXIST;
		found = !ret;
	}
	if (!found)
		return fail(c, -ENOENT, several ? "the process has several local symbols %.100s" :
			    "the process has no symbol %.100s", arg->symbol);
	if (sym.type == STT_TLS) {
		if (!st_object_tls(obj, &offset))
			return fail(c, -ENOTSUP,
				    "@%.100s is a variable of each thread, in a library; only those of the program itself can be fetched",
				    arg->symbol);
		offset += (int64_t)sym.addr;
		arg->op[0].op = ST_OP_TP;
	} else {
		offset = (int64_t)sym.addr;
	}
	arg->op[0].imm = (int64_t)((uint64_t)arg->op[0].imm + (uint64_t)offset);
	return 0;
}

/* @+OFFSET: where the file of the probe's object is in memory. */
static int resolve_offset(struct compiler *c, struct st_spec_arg *arg)
{
	struct st_object *obj = NULL, *other;
	uint64_t offset = (uint64_t)arg->op[0].imm;
	size_t i;

	for (i = 0; i < c->n; i++) {
		other = st_objects_find(c->objs, c->fn[i].addr);
		if (i && other != obj)
			return fail(c, -ENOTSUP, "@+OFFSET is an offset in a file, but the probe sits in several");
		obj = other;
	}
	for (i = 0; obj && i < obj->nsegments; i++) {
		const struct st_segment *s = &obj->segment[i];

		if (offset >= s->offset && offset - s->offset < s->filesz) {
			/* The segment begins on the page that p_vaddr is on. */
			arg->op[0].imm = (int64_t)(s->start + (offset - s->offset));
			return 0;
		}
	}
	return fail(c, -ENOENT, "offset 0x%llx of the file is nowhere in memory", (unsigned long long)offset);
}

/* What debug information and symbols know of a value. */
static int compile_value(struct compiler *c, struct st_spec_arg *arg)
{
	if (arg->expr)
		return compile_expression(c, arg);
	if (arg->symbol[0])
		return resolve_symbol(c, arg);
	return arg->file_offset ? resolve_offset(c, arg) : 0;
}

/* ---- code ---- */

static int emit(struct compiler *c, enum st_op_code op, uint8_t size, uint16_t index, int64_t imm)
{
	if (c->ops == ST_CODE_MAX)
		return fail(c, -E2BIG, "the probe's values and its filter are too complicated");
	c->code->op[c->ops++] = (struct st_op){ .op = (uint8_t)op, .size = size, .index = index, .imm = imm };
	return 0;
}

static int append(struct compiler *c, const struct st_spec_arg *arg)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < arg->nops && !ret; i++)
		ret = emit(c, (enum st_op_code)arg->op[i].op, arg->op[i].size, arg->op[i].index, arg->op[i].imm);
	return ret;
}

/* A value as a number of 64 bits. */
static int append_number(struct compiler *c, const struct st_spec_arg *arg, bool is_signed)
{
	int ret = append(c, arg);

	if (ret || arg->fetch.size == 8)
		return ret;
	return emit(c, is_signed ? ST_OP_SEXT : ST_OP_ZEXT, arg->fetch.size, 0, 0);
}

/* ---- filters ---- */

/* The text of a comparison as a pattern of the agent's: == takes every character as it is. */
static int add_pattern(struct compiler *c, const struct st_filter_node *n, uint16_t *at)
{
	bool exact = !strchr(n->op, '~');
	size_t i;

	*at = (uint16_t)c->text;
	for (i = 0; i < n->value_len; i++) {
		bool escape = exact && strchr("*?[\\", n->value[i]);

		if (c->text + escape + 2 > ST_TEXT_MAX)
			return fail(c, -E2BIG, "the texts of the filter are too long, all together");
		if (escape)
			c->code->text[c->text++] = '\\';
		c->code->text[c->text++] = n->value[i];
	}
	if (c->text == ST_TEXT_MAX)
		return fail(c, -E2BIG, "the texts of the filter are too long, all together");
	c->code->text[c->text++] = '\0';
	return 0;
}

static int compare_text(struct compiler *c, const struct st_filter_node *n, const struct st_spec_arg *value)
{
	uint16_t at;
	int ret = add_pattern(c, n, &at);

	if (!ret && value)
		ret = append(c, value);
	if (!ret)
		ret = emit(c, value ? ST_OP_MATCH : ST_OP_COMM, value ? value->fetch.limit : 0, at, 0);
	if (!ret && n->op[0] == '!')
		ret = emit(c, ST_OP_LNOT, 0, 0, 0);
	return ret;
}

/* The value is on the stack; what it is compared with has its type. */
static int compare_number(struct compiler *c, const struct st_filter_node *n, bool is_signed, unsigned int size)
{
	uint64_t number = (uint64_t)n->number;
	enum st_op_code op;
	bool swap = false;
	int ret;

	if (!strcmp(n->op, "==") || !strcmp(n->op, "!=")) {
		op = n->op[0] == '=' ? ST_OP_EQ : ST_OP_NE;
		/* -1 is equal to the u32 that holds it; 0xffffffff to the s32. */
		if (size < 8 && (n->negative || is_signed)) {
			unsigned int shift = 64 - size * 8;

			if (n->negative ? n->number >= -(1ll << (size * 8 - 1)) : number < 1ull << size * 8)
				number = is_signed ? (uint64_t)((int64_t)(number << shift) >> shift) : number << shift >> shift;
		}
	} else if (n->op[0] == '&') {
		op = ST_OP_AND;
	} else {
		op = is_signed ? (n->op[1] ? ST_OP_LES : ST_OP_LTS) : (n->op[1] ? ST_OP_LEU : ST_OP_LTU);
		swap = n->op[0] == '>';
		/* A number that no signed value reaches. */
		if (is_signed && !n->negative && n->number < 0)
			number = INT64_MAX;
	}
	ret = emit(c, ST_OP_IMM, 0, 0, (int64_t)number);
	if (!ret && swap)
		ret = emit(c, ST_OP_SWAP, 0, 0, 0);
	if (!ret)
		ret = emit(c, op, 0, 0, 0);
	if (!ret && op == ST_OP_AND)
		ret = emit(c, ST_OP_LNOT, 0, 0, 0) ?: emit(c, ST_OP_LNOT, 0, 0, 0);
	return ret;
}

static int compile_compare(struct compiler *c, const struct st_filter_node *n)
{
	const struct st_spec_arg *value = NULL;
	bool is_signed = false, is_text;
	struct st_spec_arg own;
	enum st_filter_field field = st_filter_field(n, st_spec_native, c->spec, &value, &own, &is_signed);
	unsigned int size = 8;
	int ret;

	is_text = field == ST_FIELD_COMM || (field == ST_FIELD_ARG && value->fetch.type == ST_TYPE_STRING);
	/* What debug information has said of the type since the filter was parsed. */
	if (field == ST_FIELD_ARG && (value->array || value->show == ST_SHOW_TEXT))
		return fail(c, -EINVAL, "the filter's %.*s can't be compared", (int)n->name_len, n->name);
	if (is_text != n->is_text)
		return fail(c, -EINVAL, "the filter's %.*s is a %s", (int)n->name_len, n->name, is_text ? "text" : "number");
	if (is_text)
		return compare_text(c, n, field == ST_FIELD_ARG ? value : NULL);
	if (field == ST_FIELD_ARG) {
		if (n->negative && !is_signed && strcmp(n->op, "==") && strcmp(n->op, "!="))
			return fail(c, -EINVAL, "the filter's %.*s is never negative (its type is unsigned)", (int)n->name_len,
				    n->name);
		ret = append_number(c, value, is_signed);
		size = value->fetch.size;
	} else {
		ret = emit(c, field == ST_FIELD_TID ? ST_OP_TID : ST_OP_CPU, 0, 0, 0);
	}
	return ret ? ret : compare_number(c, n, is_signed, size);
}

static int compile_node(struct compiler *c, const struct st_filter *f, unsigned int node)
{
	const struct st_filter_node *n = &f->node[node];
	unsigned int jump;
	int ret;

	if (n->kind == ST_FILTER_COMPARE)
		return compile_compare(c, n);
	ret = compile_node(c, f, n->a);
	if (ret || n->kind == ST_FILTER_NOT)
		return ret ? ret : emit(c, ST_OP_LNOT, 0, 0, 0);
	jump = c->ops;
	ret = emit(c, n->kind == ST_FILTER_AND ? ST_OP_ANDIF : ST_OP_ORIF, 0, 0, 0);
	if (!ret)
		ret = compile_node(c, f, n->b);
	if (!ret)
		c->code->op[jump].index = (uint16_t)(c->ops - jump - 1);
	return ret;
}

/* All filters that are for this probe. */
static int compile_filters(struct compiler *c, const struct st_wants *wants, struct st_program *program)
{
	unsigned int i, jump = 0;
	bool any = false;
	int ret = 0;

	program->first = (uint16_t)c->ops;
	for (i = 0; i < wants->nfilters && !ret; i++) {
		if (!st_filter_is_for(&wants->filter[i], st_spec_native, c->spec))
			continue;
		jump = c->ops;
		if (any)
			ret = emit(c, ST_OP_ANDIF, 0, 0, 0);
		if (!ret)
			ret = compile_node(c, &wants->filter[i], wants->filter[i].root);
		if (!ret && any)
			c->code->op[jump].index = (uint16_t)(c->ops - jump - 1);
		any = true;
	}
	program->ops = (uint16_t)(c->ops - program->first);
	return ret;
}

/* ---- histograms ---- */

static const struct st_spec_arg *named(const struct st_spec *spec, const char *name)
{
	unsigned int i;

	for (i = 0; i < spec->nargs; i++)
		if (!strcmp(spec->arg[i].name, name))
			return &spec->arg[i];
	return NULL;
}

static bool is_number(const struct st_spec_arg *arg)
{
	return !arg->array && arg->fetch.type == ST_TYPE_WORD && arg->show != ST_SHOW_COMM && arg->show != ST_SHOW_TEXT;
}

int st_hist_check(const char *text, const struct st_spec_arch *arch, const struct st_spec *spec, struct st_spec_error *err)
{
	const struct st_spec_arg *arg = named(spec, text);
	struct st_spec_arg own;

	if (!arg && st_spec_parse_value(text, arch, spec, &own, err))
		return -EINVAL;
	arg = arg ? arg : &own;
	if (is_number(arg))
		return 0;
	err->pos = 0;
	err->status = 2;
	snprintf(err->text, sizeof(err->text), "a histogram is of numbers");
	return -EINVAL;
}

static int compile_hist(struct compiler *c, const char *text, struct st_ctl_probe *rec)
{
	const struct st_spec_arg *arg = named(c->spec, text);
	struct st_spec_error where;
	struct st_spec_arg own;
	int ret;

	if (!arg) {
		if (st_spec_parse_value(text, st_spec_native, c->spec, &own, &where))
			return fail(c, -EINVAL, "%s", where.text);
		snprintf(own.name, sizeof(own.name), "%.*s", (int)sizeof(own.name) - 1, text);
		ret = compile_value(c, &own);
		if (ret)
			return ret;
		arg = &own;
	}
	if (!is_number(arg))
		return fail(c, -EINVAL, "a histogram is of numbers, and %.100s is none", text);
	rec->hist.first = (uint16_t)c->ops;
	rec->hist_signed = arg->show == ST_SHOW_SIGNED;
	ret = append_number(c, arg, rec->hist_signed);
	rec->hist.ops = (uint16_t)(c->ops - rec->hist.first);
	return ret;
}

/* ---- all of it ---- */

static int compile_fetch(struct compiler *c, const struct st_spec_arg *arg, struct st_ctl_probe *rec, struct st_fetch *f)
{
	*f = arg->fetch;
	switch (f->base) {
	case ST_FETCH_NONE:
		/* A register of which nothing is kept. */
		f->base = ST_FETCH_REG;
		f->type = ST_TYPE_WORD;
		f->index = 0;
		f->mask = 0;
		return 0;
	case ST_FETCH_REG:
		if (f->type != ST_TYPE_WORD)
			rec->flags |= ST_PROBE_SLOW;
		return 0;
	default:
		rec->flags |= ST_PROBE_SLOW;
		f->program.first = (uint16_t)c->ops;
		f->program.ops = (uint16_t)arg->nops;
		return append(c, arg);
	}
}

static int compile(struct compiler *c, const struct st_wants *wants, struct st_spec *out, struct st_ctl_probe *rec)
{
	unsigned int i;
	int ret = 0;

	rec->fetches = out->nargs;
	rec->room = sizeof(struct st_rec);
	for (i = 0; i < out->nargs && !ret; i++) {
		ret = compile_value(c, &out->arg[i]);
		/* Where nothing is recorded, nothing has to be fetched. */
		if (ret || rec->flags & ST_PROBE_COUNT_ONLY)
			continue;
		ret = compile_fetch(c, &out->arg[i], rec, &rec->fetch[i]);
		rec->room += st_fetch_room(&rec->fetch[i]);
	}
	if (!ret && wants)
		ret = compile_filters(c, wants, &rec->filter);
	if (!ret && wants && wants->hist)
		ret = compile_hist(c, wants->hist, rec);
	if (rec->filter.ops || rec->hist.ops)
		rec->flags |= ST_PROBE_SLOW;
	return ret;
}

int st_compile(struct st_objects *objs, const struct st_fn *fn, size_t n, const struct st_spec *spec,
	       const struct st_wants *wants, struct st_spec *out, struct st_ctl_probe *rec, struct st_ctl_code *code,
	       char err[ST_ERR_MAX])
{
	struct compiler c = { .objs = objs, .fn = fn, .n = n, .spec = out, .code = code, .err = err };
	int ret;

	*out = *spec;
	memset(code, 0, sizeof(*code));
	memset(rec->fetch, 0, sizeof(rec->fetch));
	memset(&rec->filter, 0, sizeof(rec->filter));
	memset(&rec->hist, 0, sizeof(rec->hist));
	rec->flags &= ~ST_PROBE_SLOW;
	ret = compile(&c, wants, out, rec);
	st_dwarf_close(c.dwarf);
	return ret;
}
