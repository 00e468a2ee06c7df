// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Looks at a place in an x86-64 function and says how it can be hooked: by a jump of 5 bytes, over
 * NOPs that a compiler left or over instructions that move; by a breakpoint of one byte, which
 * displaces one instruction; or not, and why not. What it can't be sure of is refused.
 */
#include <errno.h>
#include "relocate.h"

#define JUMP 5
#define BREAKPOINT 1

struct function {
	const uint8_t *code;
	unsigned long func;
	size_t size;
	size_t room;
	size_t entry; /* offset of its entry, behind a landing pad */
	size_t start; /* offset of the site */
	bool inside;  /* it is not the entry */
};

/*
 * What one look at all of a function shows. Of what leads to the site and the bytes behind it there
 * is a bit for each byte; nothing displaces more than ST_DISPLACED_MAX.
 *
 * @found: an instruction starts at the site
 * @broken: it holds bytes that are no instruction
 * @indirect: it holds a jump whose targets its bytes don't give, or another part of it may
 * @data: the first offset that may be data
 * @into: offsets from the site that something leads to
 * @around: offsets from the site of instructions that branch to the site
 * @around_elsewhere: others branch there too
 */
struct survey {
	bool found;
	bool broken;
	bool indirect;
	bool around_elsewhere;
	size_t data;
	uint32_t into;
	uint32_t around;
};

_Static_assert(ST_DISPLACED_MAX <= 32, "the bits of struct survey");

static int refuse(struct st_plan *plan, const char *why)
{
	plan->kind = ST_KIND_NO;
	plan->why = why;
	return -ENOTSUP;
}

static const char *either(const struct function *f, const char *at_entry, const char *inside)
{
	return f->inside ? inside : at_entry;
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

/* Something leads to offset @to. */
static void leads_to(struct survey *s, const struct function *f, size_t to)
{
	size_t into = to - f->start; /* in front of the site: huge */

	if (into && into < 32)
		s->into |= 1u << into;
}

/* The instruction at @off branches to offset @to. A call of the site is recursion. */
static void branches_to(struct survey *s, const struct function *f, size_t off, size_t to,
			bool call)
{
	leads_to(s, f, to);
	if (to != f->start || call)
		return;
	if (off - f->start < 32)
		s->around |= 1u << (off - f->start);
	else
		s->around_elsewhere = true;
}

static unsigned long little_endian(const uint8_t *p, unsigned int n)
{
	unsigned long v = 0;

	while (n--)
		v = v << 8 | p[n];
	return v;
}

/*
 * The function names one of its own bytes, by an operand relative to rip: it takes the address of a
 * label, to go there some time, or reads data that stands among its code. Or a constant of 4 or 8
 * bytes may be such an address, in a program that is not position-independent.
 */
static void names(struct survey *s, const struct function *f, const struct st_x86_insn *insn,
		  size_t off)
{
	const uint8_t *code = f->code + off;
	size_t to;

	if (insn->rip) {
		to = off + insn->len + (long)(int32_t)little_endian(code + insn->disp, 4);
		leads_to(s, f, to);
		/* Its own entry is a function, not data. */
		if (to && to != f->entry && to < s->data)
			s->data = to;
	} else if (insn->disp_len >= 4) {
		leads_to(s, f, little_endian(code + insn->disp, insn->disp_len) - f->func);
	}
	if (insn->imm_len >= 4)
		leads_to(s, f, little_endian(code + insn->imm, insn->imm_len) - f->func);
}

/* Does the instruction put something on top of the stack, for a ret behind it to go to? */
static bool puts_on_top(const struct st_x86_insn *insn, const uint8_t *code)
{
	uint8_t op = code[insn->opcode], modrm = insn->modrm ? code[insn->modrm] : 0;

	if (insn->opcode && code[insn->opcode - 1] == 0x0f)
		return false;
	switch (op) {
	case 0x50 ... 0x57: /* push */
	case 0x68:
	case 0x6a:
		return true;
	case 0x89: /* mov to (%rsp) */
	case 0xc7:
		return (modrm & 0xc7) == 0x04 && code[insn->modrm + 1] == 0x24;
	case 0xff:
		return (modrm >> 3 & 7) == 6;
	}
	return false;
}

/*
 * Bytes that may be anything, data among code: whatever could be a branch, at every offset. Only
 * what leads into the site counts: any two bytes can make a short branch to the first instruction.
 */
static void survey_bytes(struct survey *s, const struct function *f)
{
	for (size_t off = 0; off < f->size; off++) {
		struct st_x86_insn insn;

		if (st_x86_decode(&insn, f->code + off, f->size - off) > 0 &&
		    st_x86_is_branch(&insn))
			leads_to(s, f, off + insn.len + insn.rel);
	}
}

/*
 * All of the function, from its start on. With @open it has no size, only @f->size bytes up to the
 * next symbol: it ends where nothing goes on and no branch in front leads further; what follows may
 * be anything.
 */
static void survey(struct survey *s, const struct function *f, bool open)
{
	struct st_x86_insn insn;
	size_t off = 0, furthest = 0;
	bool on_top = false;

	*s = (struct survey){.data = f->size};
	while (off < f->size) {
		int len = st_x86_decode(&insn, f->code + off, f->size - off);

		s->found |= off == f->start;
		if (len < 0) {
			s->broken = true;
			if (off < s->data)
				s->data = off;
			off++;
			continue;
		}
		if (st_x86_is_branch(&insn)) {
			size_t to = off + len + insn.rel;

			branches_to(s, f, off, to, insn.class == ST_X86_CALL);
			/*
			 * A condition leads out of the function: to its cold part, most of the
			 * time, which has a table perhaps, with entries for this one.
			 */
			if (to >= f->size && insn.class == ST_X86_JCC)
				s->indirect = true;
			if (to < f->size && to > furthest && insn.class != ST_X86_CALL)
				furthest = to;
		} else {
			names(s, f, &insn, off);
		}
		/* A landing pad is there because something comes by an address. */
		if (insn.class == ST_X86_ENDBR64)
			leads_to(s, f, off);
		if (insn.class == ST_X86_JMP_INDIRECT || (insn.class == ST_X86_RET && on_top))
			s->indirect = true;
		on_top = puts_on_top(&insn, f->code + off);
		off += len;
		if (open && !st_x86_falls(&insn) && furthest < off && off < s->data)
			s->data = off;
	}
	if (s->broken)
		survey_bytes(s, f);
}

/* NOPs at the site that the jump fits into. */
static bool nop_area(struct st_plan *plan, const struct function *f)
{
	struct st_x86_insn insn;

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
 * The function ends in front of the jump's end, and what follows it up to @room has no symbol. That
 * may still be a function, of a stripped file, and may even start with NOPs. What is taken for
 * padding therefore has to reach the next 16-byte boundary, where compilers put functions whose
 * predecessor they pad at all, or the next known function.
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
					either(f,
					       "it is shorter than a jump and runs on behind its "
					       "end",
					       "the function ends within a jump, and runs on"));
			if (!padded(f))
				return refuse(plan, either(f,
							   "it is shorter than a jump, and another "
							   "function follows",
							   "the function ends within a jump, and "
							   "another follows"));
			while (plan->len < JUMP) {
				plan->orig[plan->len] = f->code[f->start + plan->len];
				plan->len++;
			}
			return 0;
		}
		if (st_x86_decode(&insn, f->code + off, f->size - off) < 0 ||
		    add_insn(plan, f, insn.len) < 0)
			return refuse(
				plan,
				either(f, "its first bytes can't be decoded",
				       "the bytes that a jump would displace can't be decoded"));
		why = st_x86_immovable(&insn, f->code + off, plan->len >= JUMP, false);
		if (why)
			return refuse(plan, why);
		plan->falls = st_x86_falls(&insn);
	}
	return 0;
}

/* Does anything but the displaced instructions themselves branch to the first of them? */
static bool around(const struct survey *s, const struct st_plan *plan)
{
	return s->around_elsewhere || s->around >> plan->len;
}

/*
 * One instruction may be displaced by a jump, not several, where control may come to any
 * instruction. At an entry a jump table is taken not to lead into the first bytes: see
 * st_x86_has_indirect_jump().
 */
static bool strict(const struct survey *s, const struct st_plan *plan, const struct function *f,
		   unsigned int flags)
{
	if (flags & (ST_PLAN_STRICT | ST_PLAN_PART))
		return true;
	/* Symbols within: of the second one and those behind it @room says nothing. */
	return f->inside && (s->indirect || (f->room < f->size && f->start + plan->len > f->room));
}

static int plan_jump(struct st_plan *plan, const struct function *f, const struct survey *s,
		     unsigned int flags)
{
	int err;

	if (f->inside || !nop_area(plan, f)) {
		err = move_area(plan, f);
		if (err)
			return err;
	}
	plan->jump = JUMP;
	/* A symbol between: an entry point of its own, that the jump would cover. */
	if (f->room < f->start + plan->len && (f->start < f->room || !f->inside))
		return refuse(plan, either(f, "another function starts within its first bytes",
					   "another function starts within a jump"));
	if (plan->insns > 1 && strict(s, plan, f, flags))
		return refuse(plan, "control may come to any of its instructions, and a jump would "
				    "displace several");
	if (s->into & ((1u << plan->len) - 2)) {
		if (s->broken)
			return refuse(plan, "it holds bytes that can't be decoded, and a branch "
					    "may lead into what a jump "
					    "would displace");
		return refuse(plan, either(f, "a branch leads into its first bytes",
					   "a branch leads into what a jump would displace"));
	}
	/*
	 * One instruction, or one and padding that no thread is in: nobody's pc is behind the first
	 * byte.
	 */
	plan->live = plan->insns == 1;
	return 0;
}

/* One byte changes, the first of one instruction: nothing can lead into it, and nobody can be in
 * it. */
static int plan_breakpoint(struct st_plan *plan, const struct function *f)
{
	struct st_x86_insn insn;
	const char *why;

	plan->len = 0;
	plan->insns = 0;
	plan->kind = ST_KIND_BREAKPOINT;
	plan->jump = BREAKPOINT;
	plan->why = NULL;
	if (st_x86_decode(&insn, f->code + f->start, f->size - f->start) < 0)
		return refuse(plan, "its bytes can't be decoded");
	add_insn(plan, f, insn.len);
	why = st_x86_immovable(&insn, f->code + f->start, true, true);
	if (why)
		return refuse(plan, why);
	plan->falls = st_x86_falls(&insn);
	plan->live = true;
	return 0;
}

int st_arch_plan_at(struct st_plan *plan, const uint8_t *code, unsigned long func, size_t size,
		    size_t room, size_t offset, unsigned int flags, enum st_isa isa)
{
	struct function f = {.code = code, .func = func, .size = size, .room = room};
	struct st_x86_insn insn;
	struct survey s;
	int err = -ENOTSUP;

	*plan = (struct st_plan){
		.func = func,
		.addr = func + offset,
		.isa = isa,
		.kind = ST_KIND_NO,
		.jump = JUMP,
	};

	/* Assembly often has symbols without a size: all up to the next symbol is theirs. */
	if (f.size == 0)
		f.size = room;
	if (f.size == 0)
		return refuse(plan, "it has no bytes");
	/* The instruction behind the landing pad is the entry, whoever asks for it. */
	if (st_x86_decode(&insn, code, f.size) > 0 && insn.class == ST_X86_ENDBR64)
		f.entry = insn.len;
	if (f.entry == f.size)
		return refuse(plan, "it holds no instruction");
	f.start = offset ? offset : f.entry;
	f.inside = f.start != f.entry || flags & ST_PLAN_PART;
	plan->addr = func + f.start;
	plan->inside = f.inside;
	if (f.start >= f.size)
		return refuse(plan, "the function ends in front of it");
	survey(&s, &f, size == 0);
	if (f.inside && f.start >= s.data)
		return refuse(plan, "it may be data: what the function reads, or what can't be "
				    "decoded, is in front of it");
	if (f.inside && !s.found)
		return refuse(plan, "no instruction starts there");

	if (!(flags & ST_PLAN_BREAKPOINT))
		err = plan_jump(plan, &f, &s, flags);
	if (err && flags & (ST_PLAN_ANY | ST_PLAN_BREAKPOINT))
		err = plan_breakpoint(plan, &f);
	if (err || f.inside || !around(&s, plan))
		return err;
	/*
	 * A loop comes around to the entry. There the red zone is live, so the site is like one
	 * inside; a client that does not know those may not have it.
	 */
	if (!(flags & (ST_PLAN_ANY | ST_PLAN_BREAKPOINT)))
		return refuse(plan, "a loop starts at its first instruction");
	plan->inside = true;
	return 0;
}
