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
#define SP 4 /* rsp in ModRM; r12 with REX.B */

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

/* Is the operand a register other than rsp, or in memory whose address no register gives? */
static bool simple_operand(const struct st_x86_insn *insn, const uint8_t *code)
{
	uint8_t modrm = code[insn->modrm];

	if (modrm >> 6 == 3)
		return (modrm & 7) != SP || insn->rex & 1;
	return insn->rip;
}

/*
 * call *operand: push the return address and jmp *operand, reg 4 of group 5 instead of 2. But the
 *operand may be in what the push overwrites, or depend on rsp, which the push changes. Then it is
 *pushed first (reg 6), twice, and the return address takes the place of the first of them:
 *
 *	push operand; push (%rsp); push ret; pop 8(%rsp); lea 8(%rsp), %rsp; jmp *-8(%rsp)
 *
 * The two words below the return address are the callee's to overwrite.
 */
static int move_call_indirect(struct mover *m, const uint8_t *code, const struct st_x86_insn *insn,
			      unsigned long from)
{
	bool simple = simple_operand(insn, code);
	uint8_t copy[ST_X86_INSN_MAX] = {0};
	int err = 0;

	for (unsigned int i = 0; i < insn->len; i++)
		copy[i] = code[i];
	copy[insn->modrm] = (copy[insn->modrm] & ~0x38) | (simple ? 4 : 6) << 3;
	if (simple)
		put_push(m, from + insn->len);
	if (insn->rip)
		err = move_rip(m, copy, insn, from);
	else
		put_bytes(m, copy, insn->len);
	if (simple)
		return err;
	put_bytes(m, (const uint8_t[]){0xff, 0x34, 0x24}, 3);
	put_push(m, from + insn->len);
	put_bytes(m, (const uint8_t[]){0x8f, 0x44, 0x24, 8}, 4);
	put_bytes(m, (const uint8_t[]){0x48, 0x8d, 0x64, 0x24, 8}, 5);
	put_bytes(m, (const uint8_t[]){0xff, 0x64, 0x24, -8 & 0xff}, 4);
	return 0;
}

/* syscall leaves the address behind it in rcx. */
static void move_syscall(struct mover *m, const uint8_t *code, const struct st_x86_insn *insn,
			 unsigned long from)
{
	put_bytes(m, code, insn->len);
	put(m, 0x48); /* movabs $behind, %rcx */
	put(m, 0xb9);
	put32(m, from + insn->len);
	put32(m, (from + insn->len) >> 32);
}

/* An abort goes to what the displacement names; all that the transaction did is undone then. */
static int move_xbegin(struct mover *m, const uint8_t *code, const struct st_x86_insn *insn,
		       unsigned long to)
{
	unsigned long behind = m->at + m->len + insn->len;

	if (!near(behind, to))
		return -ERANGE;
	put_bytes(m, code, insn->imm);
	put32(m, to - behind);
	return 0;
}

const char *st_x86_immovable(const struct st_x86_insn *insn, const uint8_t *code, bool last,
			     bool alone)
{
	if (insn->vendor)
		return "a branch that Intel and AMD decode differently would have to move";
	if (insn->rip && insn->addr32)
		return "an operand relative to eip would have to move";
	switch (insn->class) {
	case ST_X86_CALL:
	case ST_X86_CALL_INDIRECT:
		/* The return address would lie inside the jump at the site. */
		return last ? NULL
			    : "a call would have to move that returns into what a jump would "
			      "displace";
	case ST_X86_XBEGIN:
		return insn->opsize ? "a transaction whose abort goes to 16 bits of address would "
				      "have to move"
				    : NULL;
	case ST_X86_JMP_FAR:
	case ST_X86_CALL_FAR:
	case ST_X86_RET_FAR:
	case ST_X86_IRET:
		return "a far branch would have to move";
	case ST_X86_INT3:
		return "a breakpoint is there already";
	/* It raises a signal, on purpose, and the handler looks at pc to know where. */
	case ST_X86_TRAP:
		return "an instruction that raises a signal would have to move";
	/*
	 * The kernel restarts a system call by taking 2 bytes off the pc that it has saved
	 * (arch/x86/kernel/signal.c). For a thread that waits in it while the site changes, that
	 * must not lead into the jump: alone, it leads to the breakpoint, and for one that waits in
	 * the copy to the copy.
	 */
	case ST_X86_SYSCALL:
		if (code[insn->opcode] != 0x05)
			return "sysenter would have to move";
		return alone && insn->len == 2 ? NULL : "a system call would have to move";
	case ST_X86_INT:
		if (code[insn->opcode] != 0xcd || code[insn->imm] != 0x80)
			return "an instruction that raises a signal would have to move";
		return alone && insn->len == 2 ? NULL : "a system call would have to move";
	case ST_X86_SYSRET:
		return "an instruction of the kernel's would have to move";
	}
	return NULL;
}

static int refuse(struct st_plan *plan, int err, const char *why)
{
	plan->why = why;
	return err;
}

/*
 * Where a branch of the displaced instructions leads. Back to the first of them: at an entry to its
 * copy, as a loop is no call; inside of a function to the site, which is hit again.
 */
static unsigned long branch_target(const struct st_plan *plan, const struct mover *m,
				   unsigned long target)
{
	return target == plan->addr && !plan->inside ? m->at : target;
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
	case ST_X86_SYSCALL:
		move_syscall(m, code, insn, from);
		return 0;
	case ST_X86_XBEGIN:
		return move_xbegin(m, code, insn, branch_target(plan, m, target));
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
			return refuse(plan, -ENOTSUP, "its bytes can't be decoded");
		/* What a NOP area does is done by the jump behind it. */
		if (plan->kind == ST_KIND_NOP && insn.class == ST_X86_NOP)
			continue;
		why = st_x86_immovable(&insn, plan->orig + off, i + 1 == plan->insns,
				       plan->kind == ST_KIND_BREAKPOINT);
		if (why)
			return refuse(plan, -ENOTSUP, why);
		if (move_one(plan, &m, off, &insn) < 0)
			return refuse(plan, -ERANGE,
				      "its stub is too far from what a moved instruction names");
	}
	if (plan->falls)
		put_jmp(&m, plan->addr + plan->len);
	finish(&m);
	if (m.len > cap)
		return refuse(plan, -ENOSPC, "its moved instructions are too long");
	return m.len;
}

static size_t refuse_one(struct st_plan *plan, unsigned long to)
{
	/* One byte of a breakpoint's changes, the first. */
	if (plan->kind == ST_KIND_NO || plan->kind == ST_KIND_BREAKPOINT ||
	    to - plan->addr >= plan->len)
		return 0;
	plan->kind = ST_KIND_NO;
	plan->why = plan->inside ? "a branch from elsewhere leads into what a jump would displace"
				 : "a branch from elsewhere leads into its first bytes";
	return 1;
}

/* Refuses the plans of which @to is a displaced byte, but the first one; sites of one function may
 * overlap. */
static size_t refuse_led_into(struct st_plan *const *plans, size_t n, unsigned long to)
{
	size_t low = 0, refused = 0;

	/* The plans in front of @to. */
	while (n) {
		size_t half = n / 2;

		if (plans[low + half]->addr < to) {
			low += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	while (low-- && to - plans[low]->addr < ST_DISPLACED_MAX)
		refused += refuse_one(plans[low], to);
	return refused;
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
		else if (len > 0 && insn.rip)
			refused += refuse_led_into(
				plans, n, addr + off + len + get32(code + off + insn.disp));
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
