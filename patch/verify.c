/* SPDX-License-Identifier: GPL-2.0-only */
/* See verify.h. Nothing is changed here, and nothing believed: a patch may say what it likes about addresses. */
#include <elf.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <patch/internal.h>
#include <patch/verify.h>

#define FUNCTION_MAX (16ul << 20)	/* a larger one is damage */

void st_checksum(const void *bytes, size_t len, uint8_t sum[ST_CHECKSUM_SIZE])
{
	crypto_generichash(sum, ST_CHECKSUM_SIZE, bytes, len, NULL, 0);
}

/* Is [addr, addr + size) in a segment of the object with this protection? */
static bool in_segment(const struct st_object *o, unsigned long addr, unsigned long size, unsigned int prot)
{
	for (size_t i = 0; i < o->nsegments; i++) {
		const struct st_segment *seg = &o->segment[i];

		if (addr >= seg->start && addr < seg->end && size <= seg->end - addr && (seg->prot & prot) == prot)
			return true;
	}
	return false;
}

/* By what `patch build` found. */
static int find_bound(const struct st_object *o, const struct st_manifest_entry *e, unsigned int prot, unsigned long *addr, char *err)
{
	const struct st_bound *b = &e->bound;

	*addr = o->bias + b->addr;
	if (*addr < o->bias || b->size > FUNCTION_MAX || !in_segment(o, *addr, b->size, prot))
		return st_patch_fail(err, -EINVAL, "the patch says that %.100s is at %#lx of %.60s, which has no such place", e->symbol, b->addr,
				     o->name);
	return 0;
}

static int find_symbol(struct st_object *o, const struct st_manifest_entry *e, const char *what, struct st_symbol *sym, char *err)
{
	switch (st_object_symbol(o, e->symbol, NULL, sym)) {
	case 0:
		return 0;
	case -EEXIST:
		return st_patch_fail(err, -EINVAL, "%.60s has several static %ss %.100s: say which, as \"FILE.c:%.60s\"", o->name, what, e->symbol,
				     e->symbol);
	default:
		return st_patch_fail(err, -ENOENT, "%.60s has no %s %.100s (with a symbol)%s%.80s", o->name, what, e->symbol, o->why ? ": " : "",
				     o->why ? o->why : "");
	}
}

/* What the symbols say of the function at an address; NULL: nothing. */
static const struct st_func *describe(struct st_object *o, unsigned long addr)
{
	size_t n, lo = 0, hi;
	const struct st_func *f = st_object_functions(o, &n);

	for (hi = n; lo < hi;) {
		size_t mid = (lo + hi) / 2;

		if (f[mid].addr < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && f[lo].addr == addr ? &f[lo] : NULL;
}

static int find_function(struct st_object *o, const struct st_manifest_entry *e, struct st_fn *fn, char *err)
{
	const struct st_func *f;
	struct st_symbol sym;
	unsigned long addr;
	int ret;

	if (e->bound.known) {
		ret = find_bound(o, e, PROT_EXEC, &addr, err);
		if (!ret)
			*fn = (struct st_fn){ .addr = addr, .size = e->bound.size, .room = e->bound.room, .isa = e->bound.isa, .name = e->symbol };
		return ret;
	}
	ret = find_symbol(o, e, "function", &sym, err);
	if (ret)
		return ret;
	if (sym.type == STT_GNU_IFUNC)
		return st_patch_fail(err, -ENOTSUP, "%.100s is chosen at run time (an ifunc): replace the one it chose", e->symbol);
	f = sym.type == STT_FUNC ? describe(o, sym.addr) : NULL;
	if (!f)
		return st_patch_fail(err, -ENOENT, "%.60s has no function %.100s: that is data", o->name, e->symbol);
	*fn = (struct st_fn){
		.addr = f->addr, .size = f->size, .room = f->room, .isa = f->isa, .part = f->flags & ST_FUNC_PART, .name = e->symbol,
	};
	return 0;
}

static int differs(const struct st_manifest_entry *e, const struct st_object *o, const uint8_t *is, const uint8_t *should, size_t size, char *err)
{
	size_t at = 0;

	while (should && at < size && is[at] == should[at])
		at++;
	if (should && at < size)
		return st_patch_fail(err, -EINVAL, "the code of %.100s in %.60s is not what its file has (from %.40s+%#zx on: %02x, not %02x): "
				     "somebody else has changed it, perhaps a debugger's breakpoint or another tool; take that away first",
				     e->symbol, o->name, e->symbol, at, is[at], should[at]);
	return st_patch_fail(err, -EINVAL, "the code of %.100s in %.60s is not what the patch was built for: build it with the file that runs, or "
			     "somebody else has changed it", e->symbol, o->name);
}

/* Compares code as it would be without us. */
static int compare(struct st_object *o, const struct st_manifest_entry *e, const struct st_fn *fn, const uint8_t *is, uint8_t *file, char *err)
{
	uint8_t sum[ST_CHECKSUM_SIZE];
	int ret = st_object_bytes(o, fn->addr, file, fn->size);

	if (e->bound.known) {
		st_checksum(is, fn->size, sum);
		if (!memcmp(sum, e->bound.checksum, sizeof(sum)))
			return 0;
		if (!ret)
			st_checksum(file, fn->size, sum);
		return differs(e, o, is, !ret && !memcmp(sum, e->bound.checksum, sizeof(sum)) ? file : NULL, fn->size, err);
	}
	if (ret)
		return st_patch_fail(err, -ENOTSUP, "the file of %.60s can't be opened, so the code of %.100s can't be compared with it: build the "
				     "patch with the file (sidetrack patch build)", o->name, e->symbol);
	return memcmp(is, file, fn->size) ? differs(e, o, is, file, fn->size, err) : 0;
}

int st_verify_function(struct st_session *s, struct st_object *o, const struct st_manifest_entry *e, struct st_fn *fn, char *err)
{
	uint8_t *code = NULL;
	int ret = find_function(o, e, fn, err);

	if (ret)
		return ret;
	if (!fn->size || fn->size > FUNCTION_MAX)
		return st_patch_fail(err, -EINVAL, "%.100s in %.60s has no size that makes sense", e->symbol, o->name);
	code = malloc(2 * fn->size);
	if (!code)
		return st_patch_fail(err, -ENOMEM, "out of memory");
	ret = st_mem_read(st_session_proc(s), fn->addr, code, fn->size);
	if (ret)
		st_patch_fail(err, ret, "the code of %.100s can't be read: %s", e->symbol, strerror(-ret));
	else if (st_sites_undo(st_session_ctl(s), fn->addr, code, fn->size))
		ret = st_patch_fail(err, -ENOMEM, "out of memory");
	else
		ret = compare(o, e, fn, code, code + fn->size, err);
	free(code);
	return ret;
}

int st_verify_target(struct st_object *o, const struct st_manifest_entry *e, unsigned long *addr, char *err)
{
	struct st_symbol sym;
	int ret;

	if (e->bound.known) {
		ret = find_bound(o, e, 0, addr, err);
		*addr |= e->bound.isa == ST_ISA_T32;
		return ret;
	}
	ret = find_symbol(o, e, "symbol", &sym, err);
	if (!ret && sym.type == STT_TLS)
		return st_patch_fail(err, -ENOTSUP, "%.100s in %.60s is a variable that each thread has: it has no address", e->symbol, o->name);
	if (!ret)
		*addr = sym.addr | (sym.isa == ST_ISA_T32);
	return ret;
}
