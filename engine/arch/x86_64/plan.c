// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Looks at an x86-64 function and says how its entry can become a jump of 5 bytes: through NOPs
 * that a compiler left, by moving its first instructions, or not, and why not. What it can't be
 * sure of is refused.
 */
#include <errno.h>
#include "relocate.h"

#define JUMP 5

struct function {
	const uint8_t *code;
	unsigned long func;
	size_t size;
	size_t room;
	size_t start; /* offset of the site: behind endbr64 */
};

static int refuse(struct st_plan *plan, const char *why)
{
	plan->kind = ST_KIND_NO;
	plan->why = why;
	return -ENOTSUP;
}

static int add_insn(struct st_plan *plan, const struct function *f, unsigned int len)
{
	if (plan->insns >= ST_INSNS_MAX || plan->len + len > ST_DISPLACED_MAX)
		return -1;
	plan->offs[plan->insns++] = plan->len;
	for (unsigned int i = 0; i < len; i++)
		plan->orig[plan->len + i] = f->code[f->start + plan->len + i];
	plan->len += len;
	return 0;
}

/* NOPs at the site that the jump fits into. */
static bool nop_area(struct st_plan *plan, const struct function *f)
{
	struct st_x86_insn insn;

	plan->len = 0;
	plan->insns = 0;
	while (plan->len < JUMP) {
		size_t off = f->start + plan->len;

		if (st_x86_decode(&insn, f->code + off, f->size - off) < 0)
			return false;
		if (insn.class != ST_X86_NOP || add_insn(plan, f, insn.len) < 0)
			return false;
	}
	plan->kind = ST_KIND_NOP;
	plan->falls = true;
	return true;
}

static bool is_padding(const uint8_t *code, size_t room, size_t *len)
{
	struct st_x86_insn insn;

	*len = 1;
	if (*code == 0x00 || *code == 0xcc)
		return true;
	if (st_x86_decode(&insn, code, room) < 0)
		return false;
	*len = insn.len;
	return insn.class == ST_X86_NOP;
}

/*
 * The function is shorter than the jump, and what follows it up to @room has no symbol. That may
 * still be a function, of a stripped file, and may even start with NOPs. What is taken for padding
 * therefore has to reach the next 16-byte boundary, where compilers put functions whose predecessor
 * they pad at all, or the next known function.
 */
static bool padded(const struct function *f)
{
	unsigned long boundary = (f->func + f->start + JUMP + 15) & ~15ul;
	size_t end = boundary - f->func;
	size_t off = f->size, len;

	if (f->room < f->start + JUMP)
		return false;
	if (end > f->room)
		end = f->room;
	for (; off < end; off += len)
		if (!is_padding(f->code + off, f->room - off, &len))
			return false;
	return true;
}

static int move_area(struct st_plan *plan, const struct function *f)
{
	struct st_x86_insn insn;
	const char *why;

	plan->len = 0;
	plan->insns = 0;
	plan->kind = ST_KIND_MOVE;
	plan->falls = true;
	while (plan->len < JUMP) {
		size_t off = f->start + plan->len;

		if (off >= f->size) {
			if (plan->falls)
				return refuse(
					plan,
					"it is shorter than a jump and runs on behind its end");
			if (!padded(f))
				return refuse(
					plan,
					"it is shorter than a jump, and another function follows");
			while (plan->len < JUMP) {
				plan->orig[plan->len] = f->code[f->start + plan->len];
				plan->len++;
			}
			return 0;
		}
		if (st_x86_decode(&insn, f->code + off, f->size - off) < 0 ||
		    add_insn(plan, f, insn.len) < 0)
			return refuse(plan, "its first bytes can't be decoded");
		why = st_x86_immovable(&insn, f->code + off, plan->len >= JUMP);
		if (why)
			return refuse(plan, why);
		plan->falls = st_x86_falls(&insn);
	}
	return 0;
}

enum lead { NOWHERE, INTO, TO_FIRST };

/*
 * Where a branch to offset @to leads, as far as the site is concerned. @from_site: it is displaced
 * itself.
 */
static enum lead leads(const struct st_plan *plan, const struct function *f, size_t to, bool call,
		       bool from_site)
{
	size_t into = to - f->start; /* in front of the site: huge */

	if (into && into < plan->len)
		return INTO;
	/* A call is recursion; a displaced branch goes to the copy of the first instruction. */
	if (!into && !call && !from_site)
		return TO_FIRST;
	return NOWHERE;
}

/*
 * Bytes that may be anything, data among code: whatever could be a branch, at every offset. Only
 * what leads into the site counts: any two bytes can make a short branch to the first instruction.
 */
static bool bytes_lead_into(const struct st_plan *plan, const struct function *f)
{
	for (size_t off = 0; off < f->size; off++) {
		struct st_x86_insn insn;

		if (st_x86_decode(&insn, f->code + off, f->size - off) < 0 ||
		    !st_x86_is_branch(&insn))
			continue;
		if (leads(plan, f, off + insn.len + insn.rel, false, false) == INTO)
			return true;
	}
	return false;
}

/* Does any branch of the function lead into the displaced bytes, or around to the first of them? */
static int check_branches(struct st_plan *plan, const struct function *f)
{
	struct st_x86_insn insn;
	bool broken = false;
	size_t off = 0;

	while (off < f->size) {
		int len = st_x86_decode(&insn, f->code + off, f->size - off);

		if (len < 0) {
			broken = true;
			off++;
			continue;
		}
		if (st_x86_is_branch(&insn)) {
			bool from_site = off >= f->start && off < f->start + plan->len;

			switch (leads(plan, f, off + len + insn.rel, insn.class == ST_X86_CALL,
				      from_site)) {
			case INTO:
				return refuse(plan, "a branch leads into its first bytes");
			case TO_FIRST:
				return refuse(plan, "a loop starts at its first instruction");
			case NOWHERE:
				break;
			}
		}
		off += len;
	}
	if (broken && bytes_lead_into(plan, f))
		return refuse(plan, "it holds bytes that can't be decoded, and a branch may lead "
				    "into its first bytes");
	return 0;
}

int st_arch_plan_at(struct st_plan *plan, const uint8_t *code, unsigned long func, size_t size,
		    size_t room, size_t offset, unsigned int flags, enum st_isa isa)
{
	struct function f = {.code = code, .func = func, .size = size, .room = room};
	struct st_x86_insn insn;
	int err;

	plan->func = func;
	plan->addr = func;
	plan->isa = isa;
	plan->kind = ST_KIND_NO;
	plan->inside = false;
	plan->live = false;
	plan->falls = false;
	plan->len = 0;
	plan->jump = JUMP;
	plan->insns = 0;
	plan->why = NULL;
	for (unsigned int i = 0; i < ST_INSNS_MAX; i++)
		plan->offs[i] = 0;
	for (unsigned int i = 0; i < ST_DISPLACED_MAX; i++)
		plan->orig[i] = 0;
	if (offset || flags & ST_PLAN_BREAKPOINT)
		return refuse(plan, "only its entry can be hooked, by a jump");

	/* Assembly often has symbols without a size: all up to the next symbol is theirs. */
	if (f.size == 0)
		f.size = room;
	if (f.size == 0)
		return refuse(plan, "it has no bytes");
	if (st_x86_decode(&insn, code, f.size) > 0 && insn.class == ST_X86_ENDBR64)
		f.start = insn.len;
	if (f.start == f.size)
		return refuse(plan, "it holds no instruction");
	plan->addr = func + f.start;
	if (!nop_area(plan, &f)) {
		err = move_area(plan, &f);
		if (err)
			return err;
	}
	/* A symbol between: an entry point of its own, that the jump would cover. */
	if (f.room < f.start + plan->len)
		return refuse(plan, "another function starts within its first bytes");
	/*
	 * One instruction, or one and padding that no thread is in: nobody's pc is behind the first
	 * byte.
	 */
	plan->live = plan->insns == 1;
	return check_branches(plan, &f);
}
