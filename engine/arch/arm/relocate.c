// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Moves one A32 or T32 instruction to another address.
 *
 * The rule: an instruction is moved only if a row of the tables below knows it and what it does
 * with pc; everything else is refused. What a row does not mention is not pc-relative. No register
 * and no flag is used up: r12 is the static chain of nested functions at entry, so where a register
 * is needed that the instruction does not overwrite anyway, one is saved on the stack, sp moved
 * first so that a signal handler does no harm.
 *
 * Encodings: DDI0406C chapters A5 (A32), A6 (T32) and A7 (VFP and Advanced SIMD), and the few of
 * ARMv8 that compilers emit.
 */
#include "arm.h"

static const char unknown[] = "an instruction that is not known";
static const char stores_pc[] = "an instruction that stores pc";
static const char exclusive[] =
	"a store-exclusive: a hook before it would break the exclusive access";
static const char privileged[] = "an instruction of the system";
static const char endianness[] =
	"an instruction that changes the byte order or the processor's mode";
static const char breakpoint[] = "a breakpoint, or an instruction that is undefined for ever";
static const char pc_operand[] = "an instruction that uses pc where the architecture allows none";
static const char sp_and_pc[] = "an instruction that uses both sp and pc";
static const char writeback_pc[] = "an instruction that would write an address back to pc";

/* ---- writing ---- */

uint16_t arm_read16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t arm_read32(const uint8_t *p)
{
	return arm_read16(p) | (uint32_t)arm_read16(p + 2) << 16;
}

void arm_begin(struct arm_code *c, uint8_t *buf, uint32_t at, bool thumb)
{
	c->buf = buf;
	c->at = at;
	c->len = 0;
	c->thumb = thumb;
	c->full = false;
	c->literals = 0;
}

bool arm_fetch(struct arm_insn *i, const uint8_t *code, size_t room, uint32_t addr, bool thumb)
{
	i->addr = addr;
	i->in_it = false;
	i->size = 4;
	if (thumb) {
		if (room < 2)
			return false;
		i->bits = arm_read16(code);
		if (i->bits < 0xe800) {
			i->size = 2;
			return true;
		}
		if (room < 4)
			return false;
		i->bits = i->bits << 16 | arm_read16(code + 2);
		return true;
	}
	if (room < 4)
		return false;
	i->bits = arm_read32(code);
	return true;
}

static void set16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

void arm_put16(struct arm_code *c, uint16_t insn)
{
	if (c->len + 2 > ST_STUB_MAX) {
		c->full = true;
		return;
	}
	if (c->buf)
		set16(c->buf + c->len, insn);
	c->len += 2;
}

void arm_put32(struct arm_code *c, uint32_t insn)
{
	if (c->thumb) {
		arm_put16(c, (uint16_t)(insn >> 16));
		arm_put16(c, (uint16_t)insn);
	} else {
		arm_put16(c, (uint16_t)insn);
		arm_put16(c, (uint16_t)(insn >> 16));
	}
}

/*
 * LDR (literal): @reg = @value; into pc it is a jump that takes the state from bit 0 (DDI0406C
 * A8.8.64).
 */
void arm_load(struct arm_code *c, unsigned int cond, unsigned int reg, uint32_t value)
{
	if (c->literals == ARM_LITERALS) {
		c->full = true;
		return;
	}
	c->literal[c->literals].insn = c->len;
	c->literal[c->literals].value = value;
	c->literals++;
	arm_put32(c, (c->thumb ? 0xf8df0000u : cond << 28 | 0x059f0000u) | reg << 12);
}

uint32_t arm_a32_branch(unsigned int cond, uint32_t from, uint32_t to)
{
	int32_t off = (int32_t)(to - (from + 8));

	if (off < -(1 << 25) || off >= 1 << 25 || (off & 3))
		return 0;
	return cond << 28 | 0x0a000000u | (((uint32_t)off >> 2) & 0xffffffu);
}

/* B.W, encoding T4: J1 = NOT(I1 EOR S), J2 likewise */
uint32_t arm_t32_branch(uint32_t from, uint32_t to)
{
	int32_t off = (int32_t)(to - (from + 4));
	uint32_t u = (uint32_t)off, s = u >> 31;
	uint32_t j1 = ((u >> 23) & 1) ^ s ^ 1, j2 = ((u >> 22) & 1) ^ s ^ 1;

	if (off < -(1 << 24) || off >= 1 << 24 || (off & 1))
		return 0;
	return 0xf0009000u | s << 26 | ((u >> 12) & 0x3ffu) << 16 | j1 << 13 | j2 << 11 |
	       ((u >> 1) & 0x7ffu);
}

/* A jump of four bytes to @to (with Thumb bit). In T32 @cond must be ARM_AL. */
void arm_goto(struct arm_code *c, unsigned int cond, uint32_t to)
{
	uint32_t b = 0;

	if ((to & 1) == c->thumb)
		b = c->thumb ? arm_t32_branch(c->at + c->len, to - 1)
			     : arm_a32_branch(cond, c->at + c->len, to);
	if (b)
		arm_put32(c, b);
	else
		arm_load(c, cond, ARM_PC, to);
}

void arm_literals(struct arm_code *c)
{
	unsigned int i;

	if (c->len & 2)
		arm_put16(c, 0xbf00);
	for (i = 0; i < c->literals; i++) {
		uint16_t insn = c->literal[i].insn;
		uint8_t *p = c->buf + insn;
		uint32_t value = c->literal[i].value;
		uint16_t off;

		if (c->len + 4 > ST_STUB_MAX) {
			c->full = true;
			return;
		}
		/*
		 * relative to pc rounded down to a word; the offset is in the (second) lower
		 * halfword's 12 bits
		 */
		off = c->len - (c->thumb ? (insn & ~3) + 4 : insn + 8);
		if (c->thumb)
			p += 2;
		set16(p, arm_read16(p) | off);
		set16(c->buf + c->len, (uint16_t)value);
		set16(c->buf + c->len + 2, (uint16_t)(value >> 16));
		c->len += 4;
	}
}

static unsigned int field(uint32_t bits, unsigned int shift)
{
	return (bits >> shift) & 15;
}

static uint32_t with(uint32_t bits, unsigned int shift, unsigned int reg)
{
	return (bits & ~(15u << shift)) | reg << shift;
}

/* A register below 8 that is not in @used; there are at most five in an instruction. */
static unsigned int scratch(unsigned int used)
{
	unsigned int r = 0;

	while (used & 1u << r)
		r++;
	return r;
}

/* ---- the tables ---- */

/* Register fields of a row. Where a plain copy has one, pc in it is refused. */
enum {
	N = 1, /* bits 19 to 16 */
	D = 2, /* bits 15 to 12 */
	S = 4, /* bits 11 to 8 */
	M = 8, /* bits 3 to 0 */
	/* what else the flow walk must know of a copy */
	OPENS = 16,  /* a load-exclusive */
	CLOSES = 32, /* gives an exclusive access up */
};

/*
 * What a row says is a number and not a pointer: this code also runs where nobody relocates tables.
 */
/* clang-format off */
#define MOVES(X) \
	X(a32_data) X(a32_mem) X(a32_extra) X(a32_multiple) X(a32_coprocessor_mem) X(a32_b) \
	X(a32_blx) X(a32_bx) X(a32_blx_reg) X(a32_preload) X(t16_add_high) X(t16_cmp_high) \
	X(t16_mov_high) X(t16_bx) X(t16_blx) X(t16_ldr_literal) X(t16_adr) X(t16_cbz) X(t16_pop) \
	X(t16_it) X(t16_b_cond) X(t16_b) X(t32_multiple) X(t32_ldrd) X(t32_data) X(t32_plain) \
	X(t32_b) X(t32_b_cond) X(t32_bl) X(t32_store) X(t32_load) X(t32_coprocessor_mem) X(t32_table)
#define REASONS(X) \
	X(unknown) X(exclusive) X(privileged) X(endianness) X(breakpoint) X(pc_operand)

#define NUMBER(name) DO_##name,
enum { DO_COPY, MOVES(NUMBER) REASONS(NUMBER) };

struct row {
	uint32_t mask, bits;
	uint8_t what, regs;
};

#define COPY(mask, bits, regs) { mask, bits, DO_COPY, regs }
#define MOVE(mask, bits, fn) { mask, bits, DO_##fn, 0 }
#define REFUSE(mask, bits, why) { mask, bits, DO_##why, 0 }
/* clang-format on */

static bool has_pc(uint32_t bits, unsigned int regs)
{
	return ((regs & N) && field(bits, 16) == ARM_PC) ||
	       ((regs & D) && field(bits, 12) == ARM_PC) ||
	       ((regs & S) && field(bits, 8) == ARM_PC) || ((regs & M) && field(bits, 0) == ARM_PC);
}

static const char *copy(struct arm_code *c, struct arm_insn *i)
{
	i->copied = true;
	if (i->size == 2)
		arm_put16(c, (uint16_t)i->bits);
	else
		arm_put32(c, i->bits);
	return NULL;
}

/* The instruction refers to what stands at @at, and reads @len bytes of it. */
static void refers(struct arm_insn *i, uint32_t at, unsigned int len)
{
	i->refers = true;
	i->literal = at;
	i->reads = (uint8_t)len;
}

/* It changes pc: @flow says how. */
static void leaves(struct arm_insn *i, enum arm_flow flow, bool always)
{
	i->flow = (uint8_t)flow;
	i->falls = !always;
}

static void branches(struct arm_insn *i, uint32_t to, bool always)
{
	leaves(i, ARM_BRANCH, always);
	i->to = to;
}

static void calls(struct arm_insn *i, uint32_t to)
{
	i->flow = ARM_CALL;
	i->call = true;
	i->to = to;
}

/* ---- A32 ---- */

#define A32_PUSH(r) (0xe52d0004u | (r) << 12) /* str r, [sp, #-4]! */
#define A32_POP(r) (0xe49d0004u | (r) << 12)  /* ldr r, [sp], #4 */

static unsigned int cond(const struct arm_insn *i)
{
	return i->bits >> 28;
}

static uint32_t a32_pc(const struct arm_insn *i)
{
	return i->addr + 8;
}

/* Several instructions for one conditional instruction: jump over them when its condition fails. */
static uint16_t a32_begin(struct arm_code *c, unsigned int cc)
{
	uint16_t at = c->len;

	if (cc < ARM_AL)
		arm_put32(c, 0);
	return at;
}

static void a32_end(struct arm_code *c, unsigned int cc, uint16_t at)
{
	uint32_t b;

	if (cc >= ARM_AL || c->full || !c->buf)
		return;
	b = arm_a32_branch(cc ^ 1, at, c->len);
	set16(c->buf + at, (uint16_t)b);
	set16(c->buf + at + 2, (uint16_t)(b >> 16));
}

/*
 * Run @bits with a register that holds @pc in the place of pc, in the fields that @where names.
 * @used: all registers of the instruction as a bit mask. @dest: the register it overwrites without
 * reading it, which then serves, or -1 if there is none. @to_pc: the result, in field D, goes to
 * pc.
 */
static const char *a32_with_pc(struct arm_code *c, const struct arm_insn *i, uint32_t pc,
			       unsigned int where, unsigned int used, int dest, bool to_pc)
{
	unsigned int r = dest >= 0 ? (unsigned int)dest : scratch(used);
	uint32_t bits = i->bits;
	uint16_t begin;

	/* sp must not move while the instruction uses it, nor be the one that is borrowed */
	if (used & 1u << ARM_SP && (dest < 0 || dest == ARM_SP || to_pc))
		return sp_and_pc;
	if (where & N)
		bits = with(bits, 16, r);
	if (where & M)
		bits = with(bits, 0, r);

	begin = a32_begin(c, cond(i));
	if (to_pc) {
		arm_put32(c, 0xe24dd008);	    /* sub sp, sp, #8 */
		arm_put32(c, 0xe58d0000 | r << 12); /* str r, [sp] */
		arm_load(c, ARM_AL, r, pc);
		arm_put32(c, with(bits, 12, r));
		arm_put32(c, 0xe58d0004 | r << 12); /* str r, [sp, #4] */
		arm_put32(c, 0xe8bd8000 | 1u << r); /* pop {r, pc} */
	} else if (dest >= 0) {
		arm_load(c, ARM_AL, r, pc);
		arm_put32(c, bits);
	} else {
		arm_put32(c, A32_PUSH(r));
		arm_load(c, ARM_AL, r, pc);
		arm_put32(c, bits);
		arm_put32(c, A32_POP(r));
	}
	a32_end(c, cond(i), begin);
	return NULL;
}

/* ARMExpandImm (A5.2.4) */
static uint32_t a32_constant(uint32_t bits)
{
	unsigned int turn = field(bits, 8) * 2;
	uint32_t v = bits & 0xff;

	return turn ? v >> turn | v << (32 - turn) : v;
}

/* Data processing, immediate or register shifted by an immediate (DDI0406C A5.2.1, A5.2.3). */
static const char *a32_data(struct arm_code *c, struct arm_insn *i)
{
	unsigned int op = (i->bits >> 21) & 15, used = 0, where = 0;
	unsigned int n = field(i->bits, 16), d = field(i->bits, 12), m = field(i->bits, 0);
	bool has_n = op != 13 && op != 15, has_d = op < 8 || op > 11, has_m = !(i->bits & 1u << 25);
	int dest = -1;

	if (d == ARM_PC && (!has_d || (i->bits & 1u << 20)))
		return privileged;
	if (has_n) {
		used |= 1u << n;
		where |= n == ARM_PC ? N : 0;
	}
	if (has_m) {
		used |= 1u << m;
		where |= m == ARM_PC ? M : 0;
	}
	if (has_d && d == ARM_PC)
		leaves(i,
		       op == 13 && has_m && m == ARM_LR ? ARM_RETURN
		       : op == 4 && n == ARM_PC		? ARM_TABLE
							: ARM_JUMP,
		       cond(i) == ARM_AL);
	if (!where)
		return copy(c, i);
	if (!has_m && n == ARM_PC && (op == 2 || op == 4)) /* ADR */
		refers(i, a32_pc(i) + (op == 4 ? a32_constant(i->bits) : -a32_constant(i->bits)),
		       0);
	if (has_d && d != ARM_PC && !(used & 1u << d))
		dest = (int)d;
	if (has_d)
		used |= 1u << d;
	return a32_with_pc(c, i, a32_pc(i), where, used, dest, has_d && d == ARM_PC);
}

/*
 * STR of pc stores what reads of it give, 8 more than its address (DDI0406C, PCStoreValue(); what
 * lets a processor store 12 more is for those before ARMv7).
 */
static const char *a32_store_pc(struct arm_code *c, const struct arm_insn *i, unsigned int used)
{
	unsigned int n = field(i->bits, 16), r = scratch(used);
	uint16_t begin;

	if (n == ARM_PC)
		return pc_operand;
	if (used & 1u << ARM_SP)
		return stores_pc;
	begin = a32_begin(c, cond(i));
	arm_put32(c, A32_PUSH(r));
	arm_load(c, ARM_AL, r, a32_pc(i));
	arm_put32(c, with(i->bits, 12, r));
	arm_put32(c, A32_POP(r));
	a32_end(c, cond(i), begin);
	return NULL;
}

/* Loads and stores of one register, of a word or a byte (A5.3) */
static const char *a32_mem(struct arm_code *c, struct arm_insn *i)
{
	unsigned int n = field(i->bits, 16), t = field(i->bits, 12), m = field(i->bits, 0);
	bool reg = i->bits & 1u << 25, load = i->bits & 1u << 20, byte = i->bits & 1u << 22;
	bool writeback = !(i->bits & 1u << 24) || (i->bits & 1u << 21);
	unsigned int used = 1u << n | 1u << t | (reg ? 1u << m : 0);
	uint32_t imm = i->bits & 0xfff;
	int dest = -1;

	if (reg && m == ARM_PC)
		return pc_operand;
	if (t == ARM_PC && byte)
		return pc_operand;
	if (t == ARM_PC && load)
		leaves(i,
		       n == ARM_SP	    ? ARM_RETURN
		       : n == ARM_PC && reg ? ARM_TABLE
					    : ARM_JUMP,
		       cond(i) == ARM_AL);
	if (t == ARM_PC && !load)
		return a32_store_pc(c, i, used);
	if (n != ARM_PC)
		return copy(c, i);
	if (writeback)
		return writeback_pc;
	if (!reg)
		refers(i, a32_pc(i) + (i->bits & 1u << 23 ? imm : -imm), load ? byte ? 1 : 4 : 0);
	if (load && t != ARM_PC && !(reg && m == t))
		dest = (int)t;
	return a32_with_pc(c, i, a32_pc(i), N, used, dest, t == ARM_PC);
}

/* Halfword, signed and doubleword loads and stores (A5.2.8) */
static const char *a32_extra(struct arm_code *c, struct arm_insn *i)
{
	unsigned int n = field(i->bits, 16), t = field(i->bits, 12), m = field(i->bits, 0);
	bool reg = !(i->bits & 1u << 22), writeback = !(i->bits & 1u << 24) || (i->bits & 1u << 21);
	bool dual = !(i->bits & 1u << 20) && (i->bits & 1u << 6);
	bool load = (i->bits & 1u << 20) || (i->bits & 0x60) == 0x40;
	unsigned int used = 1u << n | 1u << t | (reg ? 1u << m : 0);
	uint32_t imm = (i->bits >> 4 & 0xf0) | (i->bits & 15);
	int dest = -1;

	if ((reg && m == ARM_PC) || t == ARM_PC || (dual && (t & 1 || t == ARM_LR)))
		return pc_operand;
	if (dual)
		used |= 1u << (t + 1);
	if (n != ARM_PC)
		return copy(c, i);
	if (writeback)
		return writeback_pc;
	if (!reg)
		refers(i, a32_pc(i) + (i->bits & 1u << 23 ? imm : -imm), load ? dual ? 8 : 2 : 0);
	if (load && !(reg && (m == t || (dual && m == t + 1))))
		dest = (int)t;
	return a32_with_pc(c, i, a32_pc(i), N, used, dest, false);
}

/*
 * PUSH with pc in the list, as the frames of the APCS have it ("push {fp, ip, lr, pc}"): room for
 * all words first, then the others, then pc's. As for STR, what is stored is 8 more than the
 * address.
 */
static const char *a32_push_pc(struct arm_code *c, const struct arm_insn *i)
{
	unsigned int others = i->bits & 0x7fff, n = 1, r;
	uint16_t begin;

	if ((i->bits & 0x0fff0000) != 0x092d0000 || others & 1u << ARM_SP)
		return stores_pc;
	for (r = others; r; r &= r - 1)
		n++;
	begin = a32_begin(c, cond(i));
	arm_put32(c, 0xe24dd000 | n * 4); /* sub sp, sp, #n * 4 */
	if (others)
		arm_put32(c, 0xe88d0000 | others); /* stm sp, {others} */
	arm_put32(c, A32_PUSH(0));
	arm_load(c, ARM_AL, 0, a32_pc(i));
	arm_put32(c, 0xe58d0000 | n * 4); /* str r0, [sp, #n * 4]: above the word just pushed */
	arm_put32(c, A32_POP(0));
	a32_end(c, cond(i), begin);
	return NULL;
}

static const char *a32_multiple(struct arm_code *c, struct arm_insn *i)
{
	bool load = i->bits & 1u << 20;

	if (i->bits & 1u << 22)
		return privileged;
	if (field(i->bits, 16) == ARM_PC || !(i->bits & 0xffff))
		return pc_operand;
	if (i->bits & 1u << ARM_PC && !load)
		return a32_push_pc(c, i);
	if (i->bits & 1u << ARM_PC)
		leaves(i,
		       field(i->bits, 16) == ARM_SP || field(i->bits, 16) == 11 ? ARM_RETURN
										: ARM_JUMP,
		       cond(i) == ARM_AL);
	return copy(c, i);
}

/* What a VLDR reads: a word, or a doubleword, which coprocessor 11 means */
static unsigned int vldr_size(uint32_t bits)
{
	return field(bits, 8) == 11 ? 8 : 4;
}

/* LDC and STC, which VLDR, VSTR, VLDM, VSTM are (A7.6) */
static const char *a32_coprocessor_mem(struct arm_code *c, struct arm_insn *i)
{
	if (field(i->bits, 16) != ARM_PC)
		return copy(c, i);
	if (i->bits & 1u << 21)
		return writeback_pc;
	if (i->bits & 1u << 24)
		refers(i, a32_pc(i) + (i->bits & 1u << 23 ? 4 : -4) * (i->bits & 0xff),
		       i->bits & 1u << 20 ? vldr_size(i->bits) : 0);
	else
		refers(i, a32_pc(i), i->bits & 1u << 20 ? (i->bits & 0x3f) * 4 : 0);
	return a32_with_pc(c, i, a32_pc(i), N, 0, -1, false);
}

static const char *a32_b(struct arm_code *c, struct arm_insn *i)
{
	uint32_t to = a32_pc(i) + ((i->bits & 0xffffff) ^ 0x800000) * 4 - 0x2000000;

	if (i->bits & 1u << 24) {
		calls(i, to);
		arm_load(c, cond(i), ARM_LR, i->addr + 4);
	} else {
		branches(i, to, cond(i) == ARM_AL);
	}
	arm_goto(c, cond(i), to);
	return NULL;
}

static const char *a32_blx(struct arm_code *c, struct arm_insn *i)
{
	uint32_t to = a32_pc(i) + ((i->bits & 0xffffff) ^ 0x800000) * 4 - 0x2000000;

	to += (i->bits >> 24 & 1) * 2;
	calls(i, to | 1);
	arm_load(c, ARM_AL, ARM_LR, i->addr + 4);
	arm_load(c, ARM_AL, ARM_PC, to | 1);
	return NULL;
}

static const char *a32_bx(struct arm_code *c, struct arm_insn *i)
{
	if (field(i->bits, 0) == ARM_PC) {
		branches(i, a32_pc(i), cond(i) == ARM_AL);
		arm_goto(c, cond(i), a32_pc(i));
		return NULL;
	}
	leaves(i, field(i->bits, 0) == ARM_LR ? ARM_RETURN : ARM_JUMP, cond(i) == ARM_AL);
	return copy(c, i);
}

static const char *a32_blx_reg(struct arm_code *c, struct arm_insn *i)
{
	unsigned int m = field(i->bits, 0);
	uint16_t begin;

	if (m == ARM_PC)
		return pc_operand;
	i->flow = ARM_CALL_REG;
	i->call = true;
	if (m == ARM_LR) {
		begin = a32_begin(c, cond(i));
		arm_put32(c, A32_PUSH(ARM_LR));
		arm_load(c, ARM_AL, ARM_LR, i->addr + 4);
		arm_put32(c, A32_POP(ARM_PC));
		a32_end(c, cond(i), begin);
	} else {
		arm_load(c, cond(i), ARM_LR, i->addr + 4);
		arm_put32(c, cond(i) << 28 | 0x012fff10 | m);
	}
	return NULL;
}

/* A hint that an address will be used; relative to pc it is left out, which hints may be. */
static const char *a32_preload(struct arm_code *c, struct arm_insn *i)
{
	if ((i->bits & 1u << 25) && field(i->bits, 0) == ARM_PC)
		return pc_operand;
	return field(i->bits, 16) == ARM_PC ? NULL : copy(c, i);
}

/* clang-format off */
static const struct row a32_always[] = {
	COPY(0xfe000000, 0xf2000000, 0),		/* Advanced SIMD data processing */
	COPY(0xff100000, 0xf4000000, N),		/* Advanced SIMD element and structure loads, stores */
	MOVE(0xff70f000, 0xf450f000, a32_preload),	/* PLI */
	MOVE(0xff30f000, 0xf510f000, a32_preload),	/* PLD, PLDW */
	MOVE(0xff70f010, 0xf650f000, a32_preload),
	MOVE(0xff30f010, 0xf710f000, a32_preload),
	COPY(0xffffffff, 0xf57ff01f, CLOSES),		/* CLREX */
	COPY(0xfffffff0, 0xf57ff040, 0),		/* DSB */
	COPY(0xfffffff0, 0xf57ff050, 0),		/* DMB */
	COPY(0xfffffff0, 0xf57ff060, 0),		/* ISB */
	REFUSE(0xfff10000, 0xf1010000, endianness),	/* SETEND */
	REFUSE(0xfff10000, 0xf1000000, endianness),	/* CPS */
	MOVE(0xfe000000, 0xfa000000, a32_blx),
	COPY(0xff000010, 0xfe000000, 0),		/* CDP2: VSEL, VMAXNM, VRINT, VCVTA, VCMLA */
	COPY(0xff000f10, 0xfe000d10, 0),		/* VUDOT of an element */
	COPY(0xfe000f00, 0xfc000800, 0),		/* VCMLA, VCADD, VFMAL */
	COPY(0xfe000f00, 0xfc000d00, 0),		/* VSDOT, VUDOT */
};
/* clang-format on */

/* clang-format off */
static const struct row a32_conditional[] = {
	/* multiplies */
	COPY(0x0fc000f0, 0x00000090, N | D | S | M),	/* MUL, MLA */
	COPY(0x0ff000f0, 0x00400090, N | D | S | M),	/* UMAAL */
	COPY(0x0ff000f0, 0x00600090, N | D | S | M),	/* MLS */
	COPY(0x0f8000f0, 0x00800090, N | D | S | M),	/* UMULL, UMLAL, SMULL, SMLAL */
	/* synchronisation */
	COPY(0x0fb00ff0, 0x01000090, N | D | M),	/* SWP, SWPB */
	COPY(0x0fd00fff, 0x01900f9f, N | D | OPENS),		/* LDREX, LDREXB */
	REFUSE(0x0ff0feff, 0x01b0ee9f, pc_operand),	/* LDREXD, LDAEXD of r14 and pc */
	COPY(0x0ff01eff, 0x01b00e9f, N | OPENS),		/* LDREXD, LDAEXD of an even register */
	COPY(0x0ff00fff, 0x01f00f9f, N | D | OPENS),		/* LDREXH */
	COPY(0x0fd00fff, 0x01900c9f, N | D),		/* LDA, LDAB */
	COPY(0x0ff00fff, 0x01f00c9f, N | D),		/* LDAH */
	COPY(0x0fd00fff, 0x01900e9f, N | D | OPENS),		/* LDAEX, LDAEXB */
	COPY(0x0ff00fff, 0x01f00e9f, N | D | OPENS),		/* LDAEXH */
	COPY(0x0fd0fff0, 0x0180fc90, N | M),		/* STL, STLB */
	COPY(0x0ff0fff0, 0x01e0fc90, N | M),		/* STLH */
	REFUSE(0x0f900ef0, 0x01800e90, exclusive),	/* STREX, STLEX and their sizes */
	/* extra loads and stores */
	MOVE(0x0e4000f0, 0x004000b0, a32_extra),
	MOVE(0x0e4000d0, 0x004000d0, a32_extra),
	MOVE(0x0e400ff0, 0x000000b0, a32_extra),
	MOVE(0x0e400fd0, 0x000000d0, a32_extra),
	/* miscellaneous, and halfword multiplies */
	COPY(0x0fbf0fff, 0x010f0000, D),		/* MRS */
	COPY(0x0fb0fff0, 0x0120f000, M),		/* MSR */
	COPY(0x0f900df0, 0x01000040, N | D | M),	/* CRC32 */
	MOVE(0x0ffffff0, 0x012fff10, a32_bx),
	COPY(0x0fff0ff0, 0x016f0f10, D | M),		/* CLZ */
	MOVE(0x0ffffff0, 0x012fff30, a32_blx_reg),
	COPY(0x0f900ff0, 0x01000050, N | D | M),	/* QADD, QSUB, QDADD, QDSUB */
	REFUSE(0x0ff000f0, 0x01200070, breakpoint),	/* BKPT */
	COPY(0x0f900090, 0x01000080, N | D | S | M),	/* SMLAxy and relatives */
	REFUSE(0x0f900000, 0x01000000, privileged),	/* the rest of this space: BXJ, ERET, HVC, SMC, banked */
	/* data processing */
	COPY(0x0e000090, 0x00000010, N | D | S | M),	/* shifted by a register: no pc anywhere */
	MOVE(0x0e000010, 0x00000000, a32_data),
	COPY(0x0ff00000, 0x03000000, D),		/* MOVW */
	COPY(0x0ff00000, 0x03400000, D),		/* MOVT */
	COPY(0x0fffff00, 0x0320f000, 0),		/* NOP, YIELD, WFE, WFI, SEV, DBG */
	COPY(0x0fb0f000, 0x0320f000, 0),		/* MSR (immediate) */
	REFUSE(0x0f900000, 0x03000000, unknown),
	MOVE(0x0e000000, 0x02000000, a32_data),
	/* loads and stores */
	MOVE(0x0e000000, 0x04000000, a32_mem),
	MOVE(0x0e000010, 0x06000000, a32_mem),
	/* media */
	REFUSE(0x0fb00010, 0x06000010, unknown),
	REFUSE(0x0f8000f0, 0x060000b0, unknown),
	REFUSE(0x0f8000f0, 0x060000d0, unknown),
	COPY(0x0f800f10, 0x06000f10, N | D | M),	/* parallel addition and subtraction */
	COPY(0x0ff00030, 0x06800010, N | D | M),	/* PKH */
	COPY(0x0fb003f0, 0x06800070, D | M),		/* SXTB16, SXTAB16, UXT... */
	COPY(0x0fa003f0, 0x06a00070, D | M),		/* SXTB, SXTH, SXTAB, SXTAH, UXT... */
	COPY(0x0ff00ff0, 0x06800fb0, N | D | M),	/* SEL */
	COPY(0x0fa00030, 0x06a00010, D | M),		/* SSAT, USAT */
	COPY(0x0fb00ff0, 0x06a00f30, D | M),		/* SSAT16, USAT16 */
	COPY(0x0fbf0f70, 0x06bf0f30, D | M),		/* REV, REV16, REVSH, RBIT */
	COPY(0x0ff00090, 0x07000010, N | S | M),	/* SMLAD, SMUAD, SMLSD, SMUSD */
	COPY(0x0ff00090, 0x07400010, N | D | S | M),	/* SMLALD, SMLSLD */
	COPY(0x0fd0f0f0, 0x0710f010, N | S | M),	/* SDIV, UDIV */
	COPY(0x0ff000d0, 0x07500010, N | S | M),	/* SMMLA, SMMUL */
	COPY(0x0ff000d0, 0x075000d0, N | D | S | M),	/* SMMLS */
	COPY(0x0ff000f0, 0x07800010, N | S | M),	/* USAD8, USADA8 */
	COPY(0x0fa00070, 0x07a00050, D | M),		/* SBFX, UBFX */
	COPY(0x0fe00070, 0x07c00010, D),		/* BFC, BFI */
	REFUSE(0x0ff000f0, 0x07f000f0, breakpoint),	/* UDF */
	REFUSE(0x0e000010, 0x06000010, unknown),
	/* blocks, branches, coprocessors */
	MOVE(0x0e000000, 0x08000000, a32_multiple),
	MOVE(0x0e000000, 0x0a000000, a32_b),
	COPY(0x0fe00000, 0x0c400000, N | D),		/* MCRR, MRRC: VMOV of two registers */
	REFUSE(0x0fa00000, 0x0c000000, unknown),
	MOVE(0x0e000000, 0x0c000000, a32_coprocessor_mem),
	COPY(0x0f000010, 0x0e000000, 0),		/* CDP: VFP data processing */
	COPY(0x0f100010, 0x0e000010, D),		/* MCR */
	COPY(0x0f100010, 0x0e100010, 0),		/* MRC: pc stands for the flags */
	COPY(0x0f000000, 0x0f000000, 0),		/* SVC */
};
/* clang-format on */

/* ---- T32 ---- */

#define T16_PUSH(r) (uint16_t)(0xb400 | 1u << (r))
#define T16_POP(r) (uint16_t)(0xbc00 | 1u << (r))

static uint32_t t32_pc(const struct arm_insn *i)
{
	return i->addr + 4;
}

/* What literal loads and ADR count from */
static uint32_t t32_base(const struct arm_insn *i)
{
	return (i->addr + 4) & ~3u;
}

/* pc = the word at @from, through the stack: no register changes */
static void t32_load_pc(struct arm_code *c, uint32_t from)
{
	arm_put16(c, 0xb082); /* sub sp, #8 */
	arm_put16(c, 0x9000); /* str r0, [sp] */
	arm_load(c, ARM_AL, 0, from);
	arm_put16(c, 0x6800); /* ldr r0, [r0] */
	arm_put16(c, 0x9001); /* str r0, [sp, #4] */
	arm_put16(c, 0xbd01); /* pop {r0, pc} */
}

/* ADD pc, rM: a jump that stays in T32 whatever bit 0 is (A8.8.6, ALUWritePC) */
static const char *t16_add_pc(struct arm_code *c, struct arm_insn *i, unsigned int m)
{
	unsigned int r = scratch(1u << m);

	if (m == ARM_PC)
		return pc_operand;
	leaves(i, ARM_JUMP, true);
	if (m == ARM_SP)
		return sp_and_pc;
	arm_put16(c, 0xb082);			   /* sub sp, #8 */
	arm_put16(c, (uint16_t)(0x9000 | r << 8)); /* str r, [sp] */
	arm_load(c, ARM_AL, r, t32_pc(i));
	arm_put16(c, (uint16_t)(0x4400 | m << 3 | r)); /* add r, m */
	arm_put32(c, 0xf0400001 | r << 16 | r << 8);   /* orr.w r, r, #1 */
	arm_put16(c, (uint16_t)(0x9001 | r << 8));     /* str r, [sp, #4] */
	arm_put16(c, (uint16_t)(0xbd00 | 1u << r));    /* pop {r, pc} */
	return NULL;
}

static const char *t16_add_high(struct arm_code *c, struct arm_insn *i)
{
	unsigned int d = (i->bits & 7) | (i->bits >> 4 & 8), m = field(i->bits, 3), r;

	if (d == ARM_PC)
		return t16_add_pc(c, i, m);
	if (m != ARM_PC)
		return copy(c, i);
	if (d == ARM_SP)
		return sp_and_pc;
	r = scratch(1u << d);
	arm_put16(c, T16_PUSH(r));
	arm_load(c, ARM_AL, r, t32_pc(i));
	arm_put16(c, (uint16_t)((i->bits & ~0x78u) | r << 3));
	arm_put16(c, T16_POP(r));
	return NULL;
}

static const char *t16_cmp_high(struct arm_code *c, struct arm_insn *i)
{
	unsigned int n = (i->bits & 7) | (i->bits >> 4 & 8);

	return n == ARM_PC || field(i->bits, 3) == ARM_PC ? pc_operand : copy(c, i);
}

static const char *t16_mov_high(struct arm_code *c, struct arm_insn *i)
{
	unsigned int d = (i->bits & 7) | (i->bits >> 4 & 8), m = field(i->bits, 3);

	if (d == ARM_PC && m == ARM_PC) {
		branches(i, t32_pc(i) | 1, true);
		arm_goto(c, ARM_AL, t32_pc(i) | 1);
		return NULL;
	}
	if (d == ARM_PC)
		leaves(i, m == ARM_LR ? ARM_RETURN : ARM_JUMP, true);
	if (m != ARM_PC)
		return copy(c, i);
	if (d == ARM_SP)
		return sp_and_pc;
	arm_load(c, ARM_AL, d, t32_pc(i));
	return NULL;
}

static const char *t16_bx(struct arm_code *c, struct arm_insn *i)
{
	leaves(i, field(i->bits, 3) == ARM_LR ? ARM_RETURN : ARM_JUMP, true);
	if (field(i->bits, 3) != ARM_PC)
		return copy(c, i);
	/* a change to A32 code at the next word (A8.8.27); the linker's veneers do it */
	if (t32_pc(i) & 2)
		return pc_operand;
	branches(i, t32_pc(i), true);
	arm_load(c, ARM_AL, ARM_PC, t32_pc(i));
	return NULL;
}

static const char *t16_blx(struct arm_code *c, struct arm_insn *i)
{
	unsigned int m = field(i->bits, 3);
	uint32_t back = (i->addr + 2) | 1;

	if (m == ARM_PC)
		return pc_operand;
	i->flow = ARM_CALL_REG;
	i->call = true;
	if (m == ARM_LR) {
		arm_put16(c, 0xb500); /* push {lr} */
		arm_load(c, ARM_AL, ARM_LR, back);
		arm_put16(c, 0xbd00); /* pop {pc} */
	} else {
		arm_load(c, ARM_AL, ARM_LR, back);
		arm_put16(c, (uint16_t)(0x4700 | m << 3));
	}
	return NULL;
}

static const char *t16_ldr_literal(struct arm_code *c, struct arm_insn *i)
{
	unsigned int t = i->bits >> 8 & 7;

	refers(i, t32_base(i) + (i->bits & 0xff) * 4, 4);
	/* through memory, not by the value that is there now: a literal may be data that changes */
	arm_load(c, ARM_AL, t, t32_base(i) + (i->bits & 0xff) * 4);
	arm_put16(c, (uint16_t)(0x6800 | t << 3 | t));
	return NULL;
}

static const char *t16_adr(struct arm_code *c, struct arm_insn *i)
{
	refers(i, t32_base(i) + (i->bits & 0xff) * 4, 0);
	arm_load(c, ARM_AL, i->bits >> 8 & 7, t32_base(i) + (i->bits & 0xff) * 4);
	return NULL;
}

static const char *t16_cbz(struct arm_code *c, struct arm_insn *i)
{
	uint32_t to = t32_pc(i) + ((i->bits >> 9 & 1) << 6 | (i->bits >> 3 & 31) << 1);

	if (i->in_it)
		return pc_operand;
	branches(i, to | 1, false);
	/* the opposite test jumps over the jump: 2 from its pc */
	arm_put16(c, (uint16_t)(((i->bits ^ 0x0800) & 0xfd07) | 1u << 3));
	arm_goto(c, ARM_AL, to | 1);
	return NULL;
}

static const char *t16_pop(struct arm_code *c, struct arm_insn *i)
{
	if (i->bits & 0x100)
		leaves(i, ARM_RETURN, true);
	return copy(c, i);
}

static const char *t16_it(struct arm_code *c, struct arm_insn *i)
{
	unsigned int mask = i->bits & 15;

	if (i->in_it)
		return pc_operand;
	/* "else" of "always", and "never" (A8.8.54) */
	if ((i->bits >> 4 & 15) == 15 || ((i->bits >> 4 & 15) == ARM_AL && mask & (mask - 1)))
		return pc_operand;
	for (i->it = 4; !(mask & 1); mask >>= 1)
		i->it--;
	return copy(c, i);
}

static void t32_cond_goto(struct arm_code *c, unsigned int cc, uint32_t to)
{
	arm_put16(c, (uint16_t)(0xd000 | (cc ^ 1) << 8 | 1)); /* over the jump: 2 from its pc */
	arm_goto(c, ARM_AL, to | 1);
}

static const char *t16_b_cond(struct arm_code *c, struct arm_insn *i)
{
	uint32_t to = t32_pc(i) + ((i->bits & 0xff) ^ 0x80) * 2 - 0x100;

	if (i->in_it)
		return pc_operand;
	branches(i, to | 1, false);
	t32_cond_goto(c, i->bits >> 8 & 15, to);
	return NULL;
}

static const char *t16_b(struct arm_code *c, struct arm_insn *i)
{
	branches(i, (t32_pc(i) + ((i->bits & 0x7ff) ^ 0x400) * 2 - 0x800) | 1, true);
	arm_goto(c, ARM_AL, i->to);
	return NULL;
}

/* clang-format off */
static const struct row t16[] = {
	COPY(0xc000, 0x0000, 0),		/* shifts, ADD, SUB, MOV, CMP of low registers */
	COPY(0xfc00, 0x4000, 0),		/* data processing */
	MOVE(0xff00, 0x4400, t16_add_high),
	MOVE(0xff00, 0x4500, t16_cmp_high),
	MOVE(0xff00, 0x4600, t16_mov_high),
	MOVE(0xff87, 0x4700, t16_bx),
	MOVE(0xff87, 0x4780, t16_blx),
	MOVE(0xf800, 0x4800, t16_ldr_literal),
	COPY(0xf000, 0x5000, 0),		/* loads and stores */
	COPY(0xe000, 0x6000, 0),
	COPY(0xe000, 0x8000, 0),
	MOVE(0xf800, 0xa000, t16_adr),
	COPY(0xf800, 0xa800, 0),		/* ADD rd, sp */
	COPY(0xff00, 0xb000, 0),		/* ADD, SUB sp */
	MOVE(0xf500, 0xb100, t16_cbz),
	COPY(0xff00, 0xb200, 0),		/* SXTH, SXTB, UXTH, UXTB */
	COPY(0xfe00, 0xb400, 0),		/* PUSH */
	REFUSE(0xff00, 0xb600, endianness),	/* SETEND, CPS */
	COPY(0xff80, 0xba00, 0),		/* REV, REV16 */
	COPY(0xffc0, 0xbac0, 0),		/* REVSH */
	MOVE(0xfe00, 0xbc00, t16_pop),
	REFUSE(0xff00, 0xbe00, breakpoint),	/* BKPT */
	COPY(0xff0f, 0xbf00, 0),		/* NOP and hints */
	MOVE(0xff00, 0xbf00, t16_it),
	COPY(0xf000, 0xc000, 0),		/* STM, LDM */
	REFUSE(0xff00, 0xde00, breakpoint),	/* UDF */
	COPY(0xff00, 0xdf00, 0),		/* SVC */
	MOVE(0xf000, 0xd000, t16_b_cond),
	MOVE(0xf800, 0xe000, t16_b),
};
/* clang-format on */

static const char *t32_multiple(struct arm_code *c, struct arm_insn *i)
{
	bool load = i->bits & 1u << 20;

	if (field(i->bits, 16) == ARM_PC || (i->bits & 1u << ARM_SP) ||
	    (!load && (i->bits & 1u << ARM_PC)))
		return pc_operand;
	if (i->bits & 1u << ARM_PC)
		leaves(i, field(i->bits, 16) == ARM_SP ? ARM_RETURN : ARM_JUMP, true);
	return copy(c, i);
}

/* LDRD with an immediate, A6.3.6 */
static const char *t32_ldrd(struct arm_code *c, struct arm_insn *i)
{
	unsigned int t = field(i->bits, 12), t2 = field(i->bits, 8);

	if (t == ARM_PC || t2 == ARM_PC || t == ARM_SP || t2 == ARM_SP)
		return pc_operand;
	if (field(i->bits, 16) != ARM_PC)
		return copy(c, i);
	if (i->bits & 1u << 21)
		return writeback_pc;
	refers(i, t32_base(i) + (i->bits & 1u << 23 ? 4 : -4) * (i->bits & 0xff), 8);
	arm_load(c, ARM_AL, t, t32_base(i));
	arm_put32(c, with(i->bits, 16, t));
	return NULL;
}

/*
 * Data processing of a shifted register or a modified immediate (A6.3.1, A6.3.11). pc in Rn makes
 * MOV of ORR and MVN of ORN; pc in Rd makes a comparison of AND, EOR, ADD and SUB that set the
 * flags.
 */
static const char *t32_data(struct arm_code *c, struct arm_insn *i)
{
	unsigned int op = i->bits >> 21 & 15, n = field(i->bits, 16), d = field(i->bits, 8);
	bool reg = i->bits & 1u << 25;

	if ((0x9020u >> op & 1) || op == 7 || op == 9 ||
	    (op == 6 && !reg)) /* 5, 12, 15 in the constant */
		return unknown;
	if (n == ARM_PC && op != 2 && op != 3)
		return pc_operand;
	if (d == ARM_PC && (!(i->bits & 1u << 20) || (op != 0 && op != 4 && op != 8 && op != 13)))
		return pc_operand;
	if (reg && field(i->bits, 0) == ARM_PC)
		return pc_operand;
	return copy(c, i);
}

/* Data processing of a plain immediate (A6.3.3) */
static const char *t32_plain(struct arm_code *c, struct arm_insn *i)
{
	unsigned int op = i->bits >> 20 & 31, n = field(i->bits, 16), d = field(i->bits, 8);
	uint32_t imm = (i->bits >> 15 & 0x800) | (i->bits >> 4 & 0x700) | (i->bits & 0xff);

	if (d == ARM_PC)
		return pc_operand;
	switch (op) {
	case 0:	 /* ADDW, ADR */
	case 10: /* SUBW, ADR */
		if (n != ARM_PC)
			return copy(c, i);
		if (d == ARM_SP)
			return sp_and_pc;
		refers(i, t32_base(i) + (op ? -imm : imm), 0);
		arm_load(c, ARM_AL, d, i->literal);
		return NULL;
	case 4:	 /* MOVW */
	case 12: /* MOVT; their Rn is a part of the immediate */
	case 22: /* BFI, BFC */
		return copy(c, i);
	case 16: /* SSAT */
	case 18: /* SSAT, SSAT16 */
	case 20: /* SBFX */
	case 24: /* USAT */
	case 26: /* USAT, USAT16 */
	case 28: /* UBFX */
		return n == ARM_PC ? pc_operand : copy(c, i);
	}
	return unknown;
}

static uint32_t t32_branch_to(const struct arm_insn *i)
{
	uint32_t s = i->bits >> 26 & 1, i1 = (i->bits >> 13 & 1) ^ s ^ 1,
		 i2 = (i->bits >> 11 & 1) ^ s ^ 1;
	uint32_t imm = s << 24 | i1 << 23 | i2 << 22 | (i->bits >> 16 & 0x3ff) << 12 |
		       (i->bits & 0x7ff) << 1;

	return (imm ^ 1u << 24) - (1u << 24);
}

static const char *t32_b(struct arm_code *c, struct arm_insn *i)
{
	branches(i, (t32_pc(i) + t32_branch_to(i)) | 1, true);
	arm_goto(c, ARM_AL, i->to);
	return NULL;
}

static uint32_t t32_cond_to(const struct arm_insn *i)
{
	uint32_t imm = (i->bits >> 26 & 1) << 20 | (i->bits >> 11 & 1) << 19 |
		       (i->bits >> 13 & 1) << 18 | (i->bits >> 16 & 0x3f) << 12 |
		       (i->bits & 0x7ff) << 1;

	return t32_pc(i) + ((imm ^ 1u << 20) - (1u << 20));
}

static const char *t32_b_cond(struct arm_code *c, struct arm_insn *i)
{
	if (i->in_it)
		return pc_operand;
	branches(i, t32_cond_to(i) | 1, false);
	t32_cond_goto(c, i->bits >> 22 & 15, i->to - 1);
	return NULL;
}

static const char *t32_bl(struct arm_code *c, struct arm_insn *i)
{
	bool exchange = !(i->bits & 1u << 12);

	if (exchange && (i->bits & 1))
		return unknown;
	calls(i, exchange ? t32_base(i) + t32_branch_to(i) : (t32_pc(i) + t32_branch_to(i)) | 1);
	arm_load(c, ARM_AL, ARM_LR, (i->addr + 4) | 1);
	arm_goto(c, ARM_AL, i->to);
	return NULL;
}

/* STR, STRB, STRH (A6.3.10) */
static const char *t32_store(struct arm_code *c, struct arm_insn *i)
{
	bool reg = !(i->bits & 0x00800fc0);

	if ((i->bits >> 21 & 3) == 3)
		return unknown;
	/* imm8 without index or write-back bits, where the register form has a zero, is undefined
	 */
	if (!(i->bits & 1u << 23) && !reg && !(i->bits & 0x800))
		return unknown;
	return has_pc(i->bits, N | D | (reg ? M : 0)) ? pc_operand : copy(c, i);
}

/* LDR, LDRB, LDRH, LDRSB, LDRSH, PLD, PLI (A6.3.7 to A6.3.9) */
static const char *t32_load(struct arm_code *c, struct arm_insn *i)
{
	unsigned int size = i->bits >> 21 & 3, n = field(i->bits, 16), t = field(i->bits, 12);
	bool reg = !(i->bits & 0x00800fc0), up = i->bits & 1u << 23, word = size == 2;
	uint32_t imm = i->bits & 0xfff, from = t32_base(i) + (up ? imm : -imm);

	if (size == 3 || (word && (i->bits & 1u << 24)))
		return unknown;
	if (n == ARM_PC) {
		if (t == ARM_PC && !word)
			return size == 0 ? NULL : unknown; /* a preload hint: left out */
		refers(i, from, 1u << size);
		if (t == ARM_PC) {
			leaves(i, ARM_JUMP, true);
			t32_load_pc(c, from);
			return NULL;
		}
		if (t == ARM_SP)
			return sp_and_pc;
		arm_load(c, ARM_AL, t, from);
		arm_put32(c, (i->bits & 0xff700000) | 1u << 23 | t << 16 | t << 12);
		return NULL;
	}
	if (!up && !reg && !(i->bits & 0x800))
		return unknown;
	if (reg && field(i->bits, 0) == ARM_PC)
		return pc_operand;
	if (t == ARM_PC && !word && !(up || reg || (i->bits & 0xf00) == 0xc00))
		return pc_operand;
	if (t == ARM_PC && word)
		leaves(i, n == ARM_SP ? ARM_RETURN : ARM_JUMP, true);
	return copy(c, i);
}

/*
 * TBB, TBH. The table and what it leads to stay where they are: with pc as its base it stands
 * behind the original, and its entries count from there in any case.
 */
static const char *t32_table(struct arm_code *c, struct arm_insn *i)
{
	unsigned int n = field(i->bits, 16), m = field(i->bits, 0), half = i->bits >> 4 & 1;
	unsigned int r = scratch(1u << n | 1u << m), q = scratch(1u << n | 1u << m | 1u << r);

	if (n == ARM_SP || m == ARM_SP || m == ARM_PC)
		return pc_operand;
	leaves(i, n == ARM_PC ? ARM_TABLE : ARM_JUMP, true);
	arm_put16(c, 0xb083);			   /* sub sp, #12 */
	arm_put16(c, (uint16_t)(0x9000 | r << 8)); /* str r, [sp] */
	arm_put16(c, (uint16_t)(0x9001 | q << 8)); /* str q, [sp, #4]: q > r */
	if (n == ARM_PC) {
		n = r;
		arm_load(c, ARM_AL, r, t32_pc(i));
	}
	/* ldrb.w r, [n, m] or ldrh.w r, [n, m, lsl #1] */
	arm_put32(c, (half ? 0xf8300010 : 0xf8100000) | n << 16 | r << 12 | m);
	arm_load(c, ARM_AL, q, t32_pc(i) | 1);
	arm_put32(c, 0xeb000040 | q << 16 | r << 8 | r);      /* add.w r, q, r, lsl #1 */
	arm_put16(c, (uint16_t)(0x9002 | r << 8));	      /* str r, [sp, #8] */
	arm_put16(c, (uint16_t)(0xbd00 | 1u << r | 1u << q)); /* pop {r, q, pc} */
	return NULL;
}

static const char *t32_coprocessor_mem(struct arm_code *c, struct arm_insn *i)
{
	if (field(i->bits, 16) != ARM_PC)
		return copy(c, i);
	if (!(i->bits & 1u << 24) || (i->bits & 1u << 21))
		return writeback_pc;
	if (!(i->bits & 1u << 20))
		return pc_operand;
	refers(i, t32_base(i) + (i->bits & 1u << 23 ? 4 : -4) * (i->bits & 0xff),
	       vldr_size(i->bits));
	arm_put16(c, T16_PUSH(0));
	arm_load(c, ARM_AL, 0, t32_base(i));
	arm_put32(c, with(i->bits, 16, 0));
	arm_put16(c, T16_POP(0));
	return NULL;
}

/* clang-format off */
static const struct row t32[] = {
	/* blocks, doublewords, synchronisation */
	MOVE(0xffc00000, 0xe8800000, t32_multiple),
	MOVE(0xffc00000, 0xe9000000, t32_multiple),
	REFUSE(0xffc00000, 0xe8000000, privileged),	/* SRS, RFE */
	REFUSE(0xffc00000, 0xe9800000, privileged),
	REFUSE(0xfff00000, 0xe8400000, exclusive),	/* STREX */
	COPY(0xfff00f00, 0xe8500f00, N | D | OPENS),		/* LDREX */
	COPY(0xfff00fef, 0xe8c00f8f, N | D),		/* STLB, STLH */
	COPY(0xfff00fff, 0xe8c00faf, N | D),		/* STL */
	REFUSE(0xfff00000, 0xe8c00000, exclusive),
	MOVE(0xfff0ffe0, 0xe8d0f000, t32_table),
	COPY(0xfff00fef, 0xe8d00f4f, N | D | OPENS),		/* LDREXB, LDREXH */
	COPY(0xfff000ff, 0xe8d0007f, N | D | S | OPENS),	/* LDREXD */
	COPY(0xfff00fef, 0xe8d00f8f, N | D),		/* LDAB, LDAH */
	COPY(0xfff00fff, 0xe8d00faf, N | D),		/* LDA */
	COPY(0xfff00fef, 0xe8d00fcf, N | D | OPENS),	/* LDAEXB, LDAEXH */
	COPY(0xfff00fff, 0xe8d00fef, N | D | OPENS),	/* LDAEX */
	COPY(0xfff000ff, 0xe8d000ff, N | D | S | OPENS),	/* LDAEXD */
	REFUSE(0xff600000, 0xe8400000, unknown),	/* the rest of this space */
	MOVE(0xfe500000, 0xe8500000, t32_ldrd),
	COPY(0xfe500000, 0xe8400000, N | D | S),	/* STRD */
	/* data processing */
	MOVE(0xfe008000, 0xea000000, t32_data),
	MOVE(0xfa008000, 0xf0000000, t32_data),
	MOVE(0xfa008000, 0xf2000000, t32_plain),
	COPY(0xff80f0f0, 0xfa00f000, N | S | M),	/* shifts by a register */
	REFUSE(0xffe0f080, 0xfa60f080, unknown),
	COPY(0xff80f080, 0xfa00f080, S | M),		/* extensions; pc in Rn means none is added */
	COPY(0xff80f080, 0xfa80f000, N | S | M),	/* parallel addition and subtraction */
	COPY(0xffc0f0c0, 0xfa80f080, N | S | M),	/* QADD, REV, SEL, CLZ and relatives */
	COPY(0xfff0f0c0, 0xfac0f080, N | S | M),	/* CRC32 */
	COPY(0xfff0f0c0, 0xfad0f080, N | S | M),	/* CRC32C */
	COPY(0xfff000f0, 0xfb000010, N | D | S | M),	/* MLS */
	COPY(0xff8000c0, 0xfb000000, N | S | M),	/* multiplies; pc in Ra means none is added */
	COPY(0xfff0f0f0, 0xfb90f0f0, N | S | M),	/* SDIV */
	COPY(0xfff0f0f0, 0xfbb0f0f0, N | S | M),	/* UDIV */
	COPY(0xff800000, 0xfb800000, N | D | S | M),	/* long multiplies */
	/* branches and control */
	REFUSE(0xfff0f000, 0xf7f0a000, breakpoint),	/* UDF */
	COPY(0xfff0f0ff, 0xf3808000, N),		/* MSR */
	COPY(0xffffff00, 0xf3af8000, 0),		/* NOP and hints */
	REFUSE(0xffffffe0, 0xf3bf8f00, privileged),	/* ENTERX, LEAVEX */
	COPY(0xffffffff, 0xf3bf8f2f, CLOSES),		/* CLREX */
	COPY(0xffffffc0, 0xf3bf8f40, 0),		/* DSB, DMB, ISB, SB */
	COPY(0xfffff0ff, 0xf3ef8000, S),		/* MRS */
	REFUSE(0xfb80d000, 0xf3808000, privileged),	/* the rest of this space */
	MOVE(0xf800d000, 0xf0008000, t32_b_cond),
	MOVE(0xf800d000, 0xf0009000, t32_b),
	MOVE(0xf800c000, 0xf000c000, t32_bl),
	/* loads and stores */
	MOVE(0xff100000, 0xf8000000, t32_store),
	COPY(0xff100000, 0xf9000000, N),		/* Advanced SIMD element and structure loads, stores */
	MOVE(0xfe100000, 0xf8100000, t32_load),
	/* coprocessors */
	COPY(0xef000000, 0xef000000, 0),		/* Advanced SIMD data processing */
	COPY(0xffe00000, 0xec400000, N | D),		/* MCRR, MRRC */
	REFUSE(0xffa00000, 0xec000000, unknown),
	MOVE(0xfe000000, 0xec000000, t32_coprocessor_mem),
	COPY(0xff000010, 0xee000000, 0),		/* CDP: VFP data processing */
	COPY(0xff100010, 0xee000010, D),		/* MCR */
	COPY(0xff100010, 0xee100010, 0),		/* MRC: pc stands for the flags */
	COPY(0xff000010, 0xfe000000, 0),		/* CDP2: VSEL, VMAXNM, VRINT, VCVTA, VCMLA */
	COPY(0xff000f10, 0xfe000d10, 0),		/* VUDOT of an element */
	COPY(0xfe000f00, 0xfc000800, 0),		/* VCMLA, VCADD, VFMAL */
	COPY(0xfe000f00, 0xfc000d00, 0),		/* VSDOT, VUDOT */
};
/* clang-format on */

static const char *by_table(const struct row *row, unsigned int rows, struct arm_code *c,
			    struct arm_insn *i)
{
	while (rows && (i->bits & row->mask) != row->bits) {
		rows--;
		row++;
	}
	if (!rows)
		return unknown;
#define CALL(fn)                                                                                   \
	case DO_##fn:                                                                              \
		return fn(c, i);
#define REASON(why)                                                                                \
	case DO_##why:                                                                             \
		return why;
	switch (row->what) {
		MOVES(CALL)
		REASONS(REASON)
	}
	i->opens = row->regs & OPENS;
	i->closes = row->regs & CLOSES;
	return has_pc(i->bits, row->regs) ? pc_operand : copy(c, i);
}

#define BY_TABLE(t, c, i) by_table(t, sizeof(t) / sizeof((t)[0]), c, i)

const char *arm_move(struct arm_code *c, struct arm_insn *i)
{
	const char *why;

	i->it = 0;
	i->flow = ARM_NEXT;
	i->falls = true;
	i->call = false;
	i->copied = false;
	i->refers = false;
	i->opens = false;
	i->closes = false;
	i->to = 0;
	if (!c->thumb)
		why = i->bits >> 28 == 15 ? BY_TABLE(a32_always, c, i)
					  : BY_TABLE(a32_conditional, c, i);
	else if (i->size == 2)
		why = BY_TABLE(t16, c, i);
	else
		why = BY_TABLE(t32, c, i);
	if (why == unknown || why == pc_operand)
		leaves(i, ARM_UNKNOWN, true);
	else if (why == breakpoint || why == privileged)
		leaves(i, ARM_STOP, true);
	i->stores_exclusive = why == exclusive;
	/* a conditional instruction may not be executed */
	i->falls |= i->in_it;
	if (!why && c->full)
		why = "the moved instructions would not fit into a stub";
	return why;
}

uint32_t arm_t32_leads(const uint8_t *code, size_t room, uint32_t addr)
{
	struct arm_insn i;
	uint32_t h = room < 2 ? 0 : arm_read16(code), w;

	/* B, B<c>, CBZ; B.W, B<c>.W, BL, BLX: those that arm_move() calls so */
	if (h < 0xe800) {
		if ((h & 0xf800) == 0xe000)
			return addr + 4 + ((h & 0x7ff) ^ 0x400) * 2 - 0x800;
		if ((h & 0xf000) == 0xd000 && (h & 0xe00) != 0xe00)
			return addr + 4 + ((h & 0xff) ^ 0x80) * 2 - 0x100;
		if ((h & 0xf500) == 0xb100)
			return addr + 4 + ((h >> 9 & 1) << 6 | (h >> 3 & 31) << 1);
		return 0;
	}
	if ((h & 0xf800) != 0xf000 || room < 4)
		return 0;
	w = arm_read16(code + 2);
	i.bits = h << 16 | w;
	i.addr = addr;
	if ((w & 0xd000) == 0x8000)
		return (h & 0x380) == 0x380 ? 0 : t32_cond_to(&i);
	if ((w & 0xd000) == 0xc000)
		return 0; /* BLX: to A32 */
	return (w & 0x9000) == 0x9000 ? t32_pc(&i) + t32_branch_to(&i) : 0;
}
