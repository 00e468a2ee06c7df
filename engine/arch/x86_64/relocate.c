// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Moves displaced x86-64 instructions. What reads rip gets the value it had at its own place; what
 * can't is refused with the reason. Far targets go through an address behind the code (jmp *rip),
 * so that no register is needed.
 */
#include <errno.h>
#include "relocate.h"

#define OP_JMP_REL8 0xeb
#define OP_JMP_REL32 0xe9

/* Every far branch and every call leaves one address behind the code; a far call two. */
#define LITERALS_MAX (2 * ST_INSNS_MAX + 1)

struct mover {
	uint8_t *out;
	size_t cap;
	size_t len;
	unsigned long at; /* the address of out[0] */
	unsigned int literals;
	unsigned long literal[LITERALS_MAX];
	uint16_t literal_ref[LITERALS_MAX]; /* where the code has its disp32, which ends an
					       instruction */
};

static void put(struct mover *m, uint8_t byte)
{
	if (m->len < m->cap)
		m->out[m->len] = byte;
	m->len++;
}

static void put32(struct mover *m, uint32_t word)
{
	for (int i = 0; i < 4; i++)
		put(m, word >> 8 * i);
}

static void put_bytes(struct mover *m, const uint8_t *bytes, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		put(m, bytes[i]);
}

static void set32(struct mover *m, size_t at, uint32_t word)
{
	for (int i = 0; i < 4; i++)
		if (at + i < m->cap)
			m->out[at + i] = word >> 8 * i;
}

static int32_t get32(const uint8_t *p)
{
	return (int32_t)(p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24);
}

/* Is @to - @from, wrapped as the CPU does, within a signed 32-bit displacement? */
static bool near(unsigned long from, unsigned long to)
{
	long d = (long)(to - from);

	return d == (int32_t)d;
}

/*
 * "disp32(%rip)" at the end of an instruction: the address itself goes behind the code, in
 * finish().
 */
static void put_literal(struct mover *m, unsigned long value)
{
	m->literal[m->literals] = value;
	m->literal_ref[m->literals++] = m->len;
	put32(m, 0);
}

static void put_jmp(struct mover *m, unsigned long to)
{
	if (near(m->at + m->len + 5, to)) {
		put(m, OP_JMP_REL32);
		put32(m, to - (m->at + m->len + 4));
	} else {
		put(m, 0xff); /* jmp *disp32(%rip) */
		put(m, 0x25);
		put_literal(m, to);
	}
}

/*
 * The return address of a displaced call is that of its own place: one push from memory, no
 * register, no flag.
 */
static void put_push(struct mover *m, unsigned long value)
{
	put(m, 0xff); /* push disp32(%rip) */
	put(m, 0x35);
	put_literal(m, value);
}

static void finish(struct mover *m)
{
	if (m->literals)
		while ((m->at + m->len) % 8)
			put(m, 0xcc);
	for (unsigned int i = 0; i < m->literals; i++) {
		set32(m, m->literal_ref[i], m->len - (m->literal_ref[i] + 4));
		put32(m, m->literal[i]);
		put32(m, m->literal[i] >> 32);
	}
}

static void move_jcc(struct mover *m, const uint8_t *code, const struct st_x86_insn *insn,
		     unsigned long to)
{
	uint8_t condition = code[insn->opcode] & 15;

	if (near(m->at + m->len + 6, to)) {
		put(m, 0x0f);
		put(m, 0x80 | condition);
		put32(m, to - (m->at + m->len + 4));
	} else {
		put(m, 0x70 | (condition ^ 1)); /* the opposite, over the far jump's 6 bytes */
		put(m, 6);
		put_jmp(m, to);
	}
}

/* loop, loope, loopne and jrcxz know only rel8: taken leads to a jump, not taken over it. */
static void move_loop(struct mover *m, const uint8_t *code, const struct st_x86_insn *insn,
		      unsigned long to)
{
	size_t over;

	put_bytes(m, code, insn->opcode + 1); /* a 67 prefix chooses ecx */
	put(m, 2);
	put(m, OP_JMP_REL8);
	over = m->len;
	put(m, 0);
	put_jmp(m, to);
	if (over < m->cap)
		m->out[over] = m->len - over - 1;
}

/* An instruction with an operand relative to rip, its displacement changed by what it moved. */
static int move_rip(struct mover *m, const uint8_t *code, const struct st_x86_insn *insn,
		    unsigned long from)
{
	unsigned long target = from + insn->len + get32(code + insn->disp);
	unsigned long behind = m->at + m->len + insn->len;
	size_t at = m->len;

	if (!near(behind, target))
		return -ERANGE;
	put_bytes(m, code, insn->len);
	set32(m, at + insn->disp, target - behind);
	return 0;
}

/* Is the operand found through rsp? Only a SIB byte says so; with REX.B its base is r12. */
static bool through_rsp(const struct st_x86_insn *insn, const uint8_t *code)
{
	uint8_t modrm = insn->modrm ? code[insn->modrm] : 0xff;

	return modrm >> 6 != 3 && (modrm & 7) == 4 && (code[insn->modrm + 1] & 7) == 4 &&
	       !(insn->rex & 1);
}

static int32_t displacement(const struct st_x86_insn *insn, const uint8_t *code)
{
	if (insn->disp_len == 4)
		return get32(code + insn->disp);
	return insn->disp_len == 1 ? (int8_t)code[insn->disp] : 0;
}

/*
 * call *operand is push and jmp *operand: reg 4 of group 5 instead of 2. The push comes first, so
 * an operand that is found through rsp is 8 bytes further up; its displacement becomes a disp32. An
 * operand in the 8 bytes below rsp would be overwritten: st_x86_immovable() refuses what can be
 * seen of that. A pointer to there in another register can't be seen, but has nothing to point to:
 * what a function keeps below rsp (the red zone) any call may overwrite.
 */
static int move_call_indirect(struct mover *m, const uint8_t *code, const struct st_x86_insn *insn,
			      unsigned long from)
{
	uint8_t jmp[ST_X86_INSN_MAX];

	put_push(m, from + insn->len);
	for (unsigned int i = 0; i < insn->len; i++)
		jmp[i] = code[i];
	jmp[insn->modrm] = (jmp[insn->modrm] & ~0x38) | 0x20;
	if (insn->rip)
		return move_rip(m, jmp, insn, from);
	if (through_rsp(insn, code)) {
		jmp[insn->modrm] = (jmp[insn->modrm] & 0x3f) | 0x80;
		put_bytes(m, jmp, insn->modrm + 2);
		put32(m, (uint32_t)displacement(insn, code) + 8);
		return 0;
	}
	put_bytes(m, jmp, insn->len);
	return 0;
}

static const char *call_immovable(const struct st_x86_insn *insn, const uint8_t *code, bool last)
{
	/* The return address would lie inside the jump at the site. */
	if (!last)
		return "its first bytes hold a call that returns into them";
	if (insn->class == ST_X86_CALL)
		return NULL;
	/* call *%rsp: the return address is pushed after rsp was read. */
	if (code[insn->modrm] >> 6 == 3 && (code[insn->modrm] & 7) == 4 && !(insn->rex & 1))
		return "its first bytes hold a call to the stack pointer itself";
	/*
	 * See move_call_indirect(); an address of 32 bits would wrap elsewhere, a large
	 * displacement overflow.
	 */
	if (through_rsp(insn, code) && (insn->addr32 || displacement(insn, code) < 0 ||
					displacement(insn, code) > INT32_MAX - 8))
		return "its first bytes hold a call through memory below the stack pointer";
	return NULL;
}

const char *st_x86_immovable(const struct st_x86_insn *insn, const uint8_t *code, bool last)
{
	if (insn->vendor)
		return "its first bytes hold a branch that Intel and AMD decode differently";
	if (insn->rip && insn->addr32)
		return "its first bytes hold an operand relative to eip";
	switch (insn->class) {
	case ST_X86_CALL:
	case ST_X86_CALL_INDIRECT:
		return call_immovable(insn, code, last);
	case ST_X86_XBEGIN:
		return "its first bytes begin a hardware transaction";
	case ST_X86_JMP_FAR:
	case ST_X86_CALL_FAR:
	case ST_X86_RET_FAR:
	case ST_X86_IRET:
		return "its first bytes hold a far branch";
	case ST_X86_INT3:
		return "a breakpoint sits in its first bytes";
	/*
	 * The kernel restarts a system call by taking 2 bytes off the pc it has saved
	 * (arch/x86/kernel/signal.c): for a thread that waits in it while the site is patched, that
	 * leads into the jump. And rcx would tell the copy's address.
	 */
	case ST_X86_SYSCALL:
	case ST_X86_INT:
	case ST_X86_SYSRET:
		return "its first bytes hold a system call";
	}
	return NULL;
}

static int refuse(struct st_plan *plan, int err, const char *why)
{
	plan->why = why;
	return err;
}

/*
 * Where a branch of the displaced instructions leads: if back to the first of them, then to its
 * copy.
 */
static unsigned long branch_target(const struct st_plan *plan, const struct mover *m,
				   unsigned long target)
{
	return target == plan->addr ? m->at : target;
}

static int move_one(struct st_plan *plan, struct mover *m, unsigned int off,
		    const struct st_x86_insn *insn)
{
	const uint8_t *code = plan->orig + off;
	unsigned long from = plan->addr + off;
	unsigned long target = from + insn->len + insn->rel;

	switch (insn->class) {
	case ST_X86_JMP:
		put_jmp(m, branch_target(plan, m, target));
		return 0;
	case ST_X86_JCC:
		move_jcc(m, code, insn, branch_target(plan, m, target));
		return 0;
	case ST_X86_LOOP:
		move_loop(m, code, insn, branch_target(plan, m, target));
		return 0;
	case ST_X86_CALL:
		put_push(m, from + insn->len);
		put_jmp(m, target);
		return 0;
	case ST_X86_CALL_INDIRECT:
		return move_call_indirect(m, code, insn, from);
	}
	if (insn->rip)
		return move_rip(m, code, insn, from);
	put_bytes(m, code, insn->len);
	return 0;
}

int st_x86_move(struct st_plan *plan, uint8_t *out, size_t cap, unsigned long at,
		uint16_t map[ST_INSNS_MAX])
{
	struct mover m;
	unsigned int i;

	m.out = out;
	m.cap = cap;
	m.len = 0;
	m.at = at;
	m.literals = 0;
	if (plan->kind == ST_KIND_NO || plan->insns > ST_INSNS_MAX || plan->len > ST_DISPLACED_MAX)
		return refuse(plan, -ENOTSUP, "it was not planned");
	for (i = 0; i < plan->insns; i++) {
		unsigned int off = plan->offs[i];
		struct st_x86_insn insn;
		const char *why;

		map[i] = m.len;
		if (off >= plan->len || st_x86_decode(&insn, plan->orig + off, plan->len - off) < 0)
			return refuse(plan, -ENOTSUP, "its first bytes can't be decoded");
		/* What a NOP area does is done by the jump behind it. */
		if (plan->kind == ST_KIND_NOP && insn.class == ST_X86_NOP)
			continue;
		why = st_x86_immovable(&insn, plan->orig + off, i + 1 == plan->insns);
		if (why)
			return refuse(plan, -ENOTSUP, why);
		if (move_one(plan, &m, off, &insn) < 0)
			return refuse(plan, -ERANGE,
				      "its stub is too far from data that its first bytes name");
	}
	if (plan->falls)
		put_jmp(&m, plan->addr + plan->len);
	finish(&m);
	if (m.len > cap)
		return refuse(plan, -ENOSPC, "its moved instructions are too long");
	return m.len;
}

/* Refuses the plan of which @to is a displaced byte, but the first one. */
static bool refuse_led_into(struct st_plan *const *plans, size_t n, unsigned long to)
{
	struct st_plan *plan;
	size_t low = 0;

	/* The last plan in front of @to. */
	while (n) {
		size_t half = n / 2;

		if (plans[low + half]->addr < to) {
			low += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	if (!low)
		return false;
	plan = plans[low - 1];
	if (plan->kind == ST_KIND_NO || to - plan->addr >= plan->len)
		return false;
	plan->kind = ST_KIND_NO;
	plan->why = "a branch from elsewhere leads into its first bytes";
	return true;
}

size_t st_x86_sweep(struct st_plan *const *plans, size_t n, const uint8_t *code, unsigned long addr,
		    size_t size)
{
	struct st_x86_insn insn;
	size_t off = 0, refused = 0;

	while (n && off < size) {
		int len = st_x86_decode(&insn, code + off, size - off);

		if (len > 0 && st_x86_is_branch(&insn))
			refused += refuse_led_into(plans, n, addr + off + len + insn.rel);
		off += len > 0 ? len : 1;
	}
	return refused;
}

bool st_x86_has_indirect_jump(const uint8_t *code, size_t size)
{
	struct st_x86_insn insn;
	size_t off = 0;

	while (off < size) {
		int len = st_x86_decode(&insn, code + off, size - off);

		if (len > 0 && insn.class == ST_X86_JMP_INDIRECT && !insn.rip)
			return true;
		off += len > 0 ? len : 1;
	}
	return false;
}
