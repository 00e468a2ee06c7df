// SPDX-License-Identifier: GPL-2.0-only
/*
 * Formats hits as the kernel's trace file does, and as JSON. Values are found by walking the record
 * along the specification, always within the record's length.
 */
#include <inttypes.h>
#include <string.h>
#include "print.h"

/* ---- text ---- */

/* Length of the valid UTF-8 character at s (RFC 3629: shortest form, no surrogates), or 0. */
static size_t utf8(const unsigned char *s, size_t len, uint32_t *code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n, i;
	uint32_t c;

	if (s[0] < 0x80) {
		*code = s[0];
		return 1;
	}
	if (s[0] >= 0xc2 && s[0] < 0xe0)
		n = 2, c = s[0] & 0x1f;
	else if (s[0] >= 0xe0 && s[0] < 0xf0)
		n = 3, c = s[0] & 0x0f;
	else if (s[0] >= 0xf0 && s[0] < 0xf5)
		n = 4, c = s[0] & 0x07;
	else
		return 0;
	if (n > len)
		return 0;
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*code = c;
	return n;
}

/*
 * Would this character do something to a terminal, instead of being shown? C0, DEL, C1, and what
 * reorders a line.
 */
static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069);
}

static void print_escaped(FILE *out, const char *text, size_t len, bool quoted)
{
	const unsigned char *s = (const unsigned char *)text;
	uint32_t code;
	size_t n, i;

	for (; len; s += n, len -= n) {
		n = utf8(s, len, &code);
		if (n && !is_control(code)) {
			if (quoted && (*s == '"' || *s == '\\'))
				fputc('\\', out);
			fwrite(s, 1, n, out);
			continue;
		}
		if (quoted && (*s == '\n' || *s == '\t' || *s == '\r')) {
			fputs(*s == '\n' ? "\\n" : *s == '\t' ? "\\t" : "\\r", out);
			n = 1;
			continue;
		}
		if (!n)
			n = 1;
		for (i = 0; i < n; i++)
			fprintf(out, "\\x%02x", s[i]);
	}
}

void st_print_safe(FILE *out, const char *text, size_t len)
{
	print_escaped(out, text, len, false);
}

void st_json_string(FILE *out, const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	uint32_t code;
	size_t n;

	fputc('"', out);
	for (; len; s += n, len -= n) {
		n = utf8(s, len, &code);
		if (!n) {
			fputs("\\ufffd", out);
			n = 1;
		} else if (is_control(code)) {
			fprintf(out, "\\u%04" PRIx32, code);
		} else {
			if (*s == '"' || *s == '\\')
				fputc('\\', out);
			fwrite(s, 1, n, out);
		}
	}
	fputc('"', out);
}

/* ---- values ---- */

struct value {
	const struct st_spec_arg *arg;
	const uint8_t *data;
	bool fault;
};

static bool is_text(const struct st_spec_arg *arg)
{
	return arg->fetch.base != ST_FETCH_NONE &&
	       (arg->fetch.type == ST_TYPE_STRING || arg->fetch.type == ST_TYPE_STRINGS);
}

/* What a text in a record takes: its length stands in front of it. */
static size_t text_room(const uint8_t *data)
{
	uint16_t len;

	memcpy(&len, data, sizeof(len));
	return len == ST_STRING_FAULT ? 8 : (sizeof(len) + len + 7) & ~(size_t)7;
}

/*
 * The next value of a record, and *pos behind it. Returns false when it does not lie within the
 * record. Layout: agent/ctl.h, struct st_rec.
 */
static bool next_value(const struct st_probe_hit *hit, unsigned int i, size_t *pos, struct value *v)
{
	size_t size = hit->rec->size, at = *pos;
	unsigned int n;

	v->arg = &hit->spec->arg[i];
	v->data = (const uint8_t *)hit->rec + *pos;
	v->fault = hit->rec->faults & ST_REC_FAULT_BIT(i);
	for (n = v->arg->fetch.count; n; n--) {
		size_t need = 8;

		if (at > size || size - at < need)
			return false;
		if (is_text(v->arg))
			need = text_room((const uint8_t *)hit->rec + at);
		if (size - at < need)
			return false;
		at += need;
	}
	*pos = at;
	return true;
}

bool st_probe_hit_check(const struct st_probe_hit *hit)
{
	size_t pos = sizeof(struct st_rec);
	struct value v;
	unsigned int i;

	if (hit->rec->size < pos)
		return false;
	for (i = 0; i < hit->spec->nargs; i++)
		if (!next_value(hit, i, &pos, &v))
			return false;
	return true;
}

static uint64_t element(const struct value *v)
{
	uint64_t val;

	memcpy(&val, v->data, sizeof(val));
	return val;
}

static int64_t sign_extend(uint64_t val, unsigned int size)
{
	unsigned int shift = 64 - size * 8;

	return (int64_t)(val << shift) >> shift;
}

static void print_symbol(FILE *out, const struct st_probe_hit *hit, uint64_t addr)
{
	uint64_t offset;
	const char *name = hit->symbolize ? hit->symbolize(hit->ctx, addr, &offset) : NULL;

	if (!name) {
		fprintf(out, "0x%" PRIx64, addr);
		return;
	}
	st_print_safe(out, name, strlen(name));
	fprintf(out, "+0x%" PRIx64, offset);
}

static void quoted(FILE *out, const char *text, size_t len)
{
	fputc('"', out);
	print_escaped(out, text, len, true);
	fputc('"', out);
}

static void text_string(FILE *out, const uint8_t *data)
{
	uint16_t len;

	memcpy(&len, data, sizeof(len));
	if (len == ST_STRING_FAULT)
		fputs("(fault)", out);
	else
		quoted(out, (const char *)data + sizeof(len), len);
}

static void text_element(FILE *out, const struct st_probe_hit *hit, const struct value *v)
{
	uint64_t val = element(v);
	char c = (char)val;

	switch (v->arg->show) {
	case ST_SHOW_STRING:
		text_string(out, v->data);
		break;
	case ST_SHOW_UNSIGNED:
		fprintf(out, "%" PRIu64, val);
		break;
	case ST_SHOW_SIGNED:
		fprintf(out, "%" PRId64, sign_extend(val, v->arg->fetch.size));
		break;
	case ST_SHOW_CHAR:
		fputc('\'', out);
		if (c == '\'')
			fputc('\\', out);
		if (c == '"')
			fputc(c, out);
		else
			print_escaped(out, &c, 1, true);
		fputc('\'', out);
		break;
	case ST_SHOW_SYMBOL:
		print_symbol(out, hit, val);
		break;
	default:
		fprintf(out, "0x%" PRIx64, val);
	}
}

/* The function that returned: without an offset, as it is no place in it. */
static void print_function(FILE *out, const struct st_probe_hit *hit, uint64_t addr)
{
	uint64_t offset;
	const char *name = hit->symbolize ? hit->symbolize(hit->ctx, addr, &offset) : NULL;

	if (name)
		st_print_safe(out, name, strlen(name));
	else
		fprintf(out, "0x%" PRIx64, addr);
}

/* The next element of an array, or the next text. */
static void advance(struct value *v)
{
	v->data += is_text(v->arg) ? text_room(v->data) : 8;
}

static void text_value(FILE *out, const struct st_probe_hit *hit, struct value v)
{
	unsigned int i;

	if (v.fault) {
		fputs("(fault)", out);
	} else if (v.arg->show == ST_SHOW_COMM) {
		quoted(out, hit->comm ? hit->comm : "", hit->comm ? strlen(hit->comm) : 0);
	} else if (v.arg->show == ST_SHOW_TEXT) {
		quoted(out, v.arg->text, strlen(v.arg->text));
	} else {
		if (v.arg->array)
			fputc('{', out);
		for (i = 0; i < v.arg->fetch.count; i++, advance(&v)) {
			if (i)
				fputc(',', out);
			text_element(out, hit, &v);
		}
		if (v.arg->array)
			fputc('}', out);
	}
}

void st_print_text(FILE *out, const struct st_probe_hit *hit)
{
	const struct st_rec *rec = hit->rec;
	size_t pos = sizeof(*rec);
	struct value v;
	unsigned int i;

	if (hit->comm)
		st_print_safe(out, hit->comm, strlen(hit->comm));
	else
		fputs("<...>", out);
	fprintf(out, "-%" PRIu32, rec->tid);
	if (rec->cpu == 0xffff)
		fputs(" [---]", out);
	else
		fprintf(out, " [%03u]", rec->cpu);
	fprintf(out, " %" PRIu64 ".%06" PRIu64 ": %s: (", hit->ns / 1000000000,
		hit->ns / 1000 % 1000000, hit->spec->name);
	if (hit->spec->ret) {
		print_symbol(out, hit, rec->parent);
		fputs(" <- ", out);
		print_function(out, hit, rec->ip);
	} else {
		print_symbol(out, hit, rec->ip);
	}
	fputc(')', out);
	for (i = 0; i < hit->spec->nargs && next_value(hit, i, &pos, &v); i++) {
		fprintf(out, " %s=", v.arg->name);
		text_value(out, hit, v);
	}
	fputc('\n', out);
}

/* ---- JSON ---- */

static void json_symbol(FILE *out, const struct st_probe_hit *hit, uint64_t addr)
{
	char text[ST_SPEC_SYMBOL_MAX * 4];
	uint64_t offset;
	const char *name = hit->symbolize ? hit->symbolize(hit->ctx, addr, &offset) : NULL;

	if (name)
		snprintf(text, sizeof(text), "%.*s+0x%" PRIx64, (int)sizeof(text) - 20, name,
			 offset);
	else
		snprintf(text, sizeof(text), "0x%" PRIx64, addr);
	st_json_string(out, text, strlen(text));
}

static void json_element(FILE *out, const struct st_probe_hit *hit, const struct value *v)
{
	uint64_t val = element(v);
	char c = (char)val;

	uint16_t len;

	switch (v->arg->show) {
	case ST_SHOW_STRING:
		memcpy(&len, v->data, sizeof(len));
		if (len == ST_STRING_FAULT)
			fputs("null", out);
		else
			st_json_string(out, (const char *)v->data + sizeof(len), len);
		break;
	case ST_SHOW_UNSIGNED:
		fprintf(out, "%" PRIu64, val);
		break;
	case ST_SHOW_SIGNED:
		fprintf(out, "%" PRId64, sign_extend(val, v->arg->fetch.size));
		break;
	case ST_SHOW_CHAR:
		st_json_string(out, &c, 1);
		break;
	case ST_SHOW_SYMBOL:
		json_symbol(out, hit, val);
		break;
	default:
		fprintf(out, "\"0x%" PRIx64 "\"", val);
	}
}

static void json_value(FILE *out, const struct st_probe_hit *hit, struct value v)
{
	unsigned int i;

	if (v.fault || (v.arg->show == ST_SHOW_COMM && !hit->comm)) {
		fputs("null", out);
	} else if (v.arg->show == ST_SHOW_COMM) {
		st_json_string(out, hit->comm, strlen(hit->comm));
	} else if (v.arg->show == ST_SHOW_TEXT) {
		st_json_string(out, v.arg->text, strlen(v.arg->text));
	} else {
		if (v.arg->array)
			fputc('[', out);
		for (i = 0; i < v.arg->fetch.count; i++, advance(&v)) {
			if (i)
				fputc(',', out);
			json_element(out, hit, &v);
		}
		if (v.arg->array)
			fputc(']', out);
	}
}

void st_print_json(FILE *out, const struct st_probe_hit *hit)
{
	const struct st_rec *rec = hit->rec;
	size_t pos = sizeof(*rec);
	struct value v;
	unsigned int i;

	fputs("{\"comm\":", out);
	if (hit->comm)
		st_json_string(out, hit->comm, strlen(hit->comm));
	else
		fputs("null", out);
	fprintf(out, ",\"pid\":%d,\"tid\":%" PRIu32 ",\"cpu\":", hit->pid, rec->tid);
	if (rec->cpu == 0xffff)
		fputs("null", out);
	else
		fprintf(out, "%u", rec->cpu);
	fprintf(out, ",\"time\":%" PRIu64 ".%09" PRIu64 ",\"name\":", hit->ns / 1000000000,
		hit->ns % 1000000000);
	st_json_string(out, hit->spec->name, strlen(hit->spec->name));
	fputs(",\"function\":", out);
	json_symbol(out, hit, rec->ip);
	if (hit->spec->ret) {
		fputs(",\"caller\":", out);
		json_symbol(out, hit, rec->parent);
	}
	fputs(",\"args\":{", out);
	for (i = 0; i < hit->spec->nargs && next_value(hit, i, &pos, &v); i++) {
		if (i)
			fputc(',', out);
		st_json_string(out, v.arg->name, strlen(v.arg->name));
		fputc(':', out);
		json_value(out, hit, v);
	}
	fputs("}}\n", out);
}
