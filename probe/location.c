// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where a variable is at a place in the program: DWARF's location expressions become instructions of the agent's machine.
 *
 * Debug information describes a function whose frame is set up. Before that, at its entry above all, a slot of the frame does not hold
 * its variable yet, though compilers that don't optimise say so for the whole function. Then a parameter is taken from where the
 * calling convention puts it, if that is certain, and anything else is refused.
 */
#include <dwarf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "debug.h"

#if defined(__x86_64__)
/* psABI 3.6.2, figure 3.36: ax dx cx bx si di bp sp r8-r15 */
static const uint8_t dwarf_regs[] = { 10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0 };
#elif defined(__aarch64__)
/* AADWARF64 4.1: x0-x30, sp */
static const uint8_t dwarf_regs[] = { 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
				      16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31 };
#else
/* AADWARF32 4.1: r0-r15 */
static const uint8_t dwarf_regs[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
#endif

#define WORD sizeof(long)

int st_gen_fail(struct st_generator *g, int ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(g->err, ST_ERR_MAX, fmt, ap);
	va_end(ap);
	return ret;
}

int st_gen(struct st_generator *g, enum st_op_code op, uint8_t size, uint16_t index, int64_t imm)
{
	struct st_op *last = g->arg->nops > g->fence ? &g->arg->op[g->arg->nops - 1] : NULL;

	if (op == ST_OP_ADDI && last && (last->op == ST_OP_ADDI || last->op == ST_OP_IMM)) {
		last->imm = (int64_t)((uint64_t)last->imm + (uint64_t)imm);
		return 0;
	}
	if (op == ST_OP_ADDI && !imm)
		return 0;
	if (op == ST_OP_LOAD && last && last->op == ST_OP_ADDI) {
		last->op = ST_OP_LOAD;
		last->size = size;
		last->imm = (int64_t)((uint64_t)last->imm + (uint64_t)imm);
		return 0;
	}
	if (st_spec_op(g->arg, op, size, index, imm))
		return st_gen_fail(g, -E2BIG, "%.60s is too complicated", g->arg->name);
	return 0;
}

/* One expression, for one variable. */
struct location {
	struct st_generator *g;
	const char *name;
	Dwarf_Attribute *attr;
	enum st_where where;
	bool of_frame_base;	/* the frame base itself: a register there is its content */
	int depth;
};

static int refuse(struct location *l, const char *why)
{
	return st_gen_fail(l->g, -ENOTSUP, "%.60s can't be fetched here: %s", l->name, why);
}

static int removed(struct location *l)
{
	return st_gen_fail(l->g, -ENODATA, "%.60s has no value here: the compiler has removed it (optimised out)", l->name);
}

static int push_register(struct location *l, Dwarf_Word reg)
{
	if (reg >= sizeof(dwarf_regs))
		return refuse(l, "it is in a floating-point or vector register");
	return st_gen(l->g, ST_OP_REG, 0, dwarf_regs[reg], 0);
}

/* ---- frames */

/* The rule for the frame's address (CFA) at a place. Returns the operations, NULL: there is none. The frame is the caller's to free. */
static Dwarf_Op *frame_rule(struct st_generator *g, Dwarf_Addr pc, size_t *n, Dwarf_Frame **frame)
{
	Dwarf_Op *ops = NULL;

	*frame = NULL;
	if ((!g->dw->eh_frame || dwarf_cfi_addrframe(g->dw->eh_frame, pc, frame)) &&
	    (!g->dw->debug_frame || dwarf_cfi_addrframe(g->dw->debug_frame, pc, frame)))
		return NULL;
	if (dwarf_frame_cfa(*frame, &ops, n) || !*n) {
		free(*frame);
		*frame = NULL;
		return NULL;
	}
	return ops;
}

/* If the CFA is a register and an offset there. */
static bool simple_frame(struct st_generator *g, Dwarf_Addr pc, Dwarf_Word *reg, Dwarf_Word *offset)
{
	Dwarf_Frame *frame;
	size_t n;
	Dwarf_Op *ops = frame_rule(g, pc, &n, &frame);
	bool simple = false;

	if (ops && (n == 1 || (n == 2 && ops[1].atom == DW_OP_stack_value))) {
		simple = true;
		if (ops->atom >= DW_OP_breg0 && ops->atom <= DW_OP_breg31) {
			*reg = ops->atom - DW_OP_breg0;
			*offset = ops->number;
		} else if (ops->atom == DW_OP_bregx) {
			*reg = ops->number;
			*offset = ops->number2;
		} else {
			simple = false;
		}
	}
	free(frame);
	return simple;
}

static int push_operations(struct location *l, Dwarf_Op *ops, size_t n);

static int push_cfa(struct location *l, Dwarf_Addr pc)
{
	Dwarf_Frame *frame;
	size_t n;
	Dwarf_Op *ops = frame_rule(l->g, pc, &n, &frame);
	struct location cfa = { .g = l->g, .name = l->name, .of_frame_base = true, .depth = l->depth + 1 };
	int ret;

	if (!ops)
		return refuse(l, "there is no description of the function's frame");
	ret = push_operations(&cfa, ops, n);
	free(frame);
	return ret;
}

/*
 * A frame base that is a register's content (clang) is meant for the body of the function. There the CFA is that register plus a
 * number; so it is the CFA minus that number everywhere, also where the register is not set up or not valid any more.
 */
static int push_frame_register(struct location *l, Dwarf_Word reg)
{
	struct st_generator *g = l->g;
	Dwarf_Word at_body, offset;
	int ret;

	if (!simple_frame(g, g->body ? g->body : g->pc, &at_body, &offset) || at_body != reg)
		return refuse(l, "the function's frame is not described where this instruction is");
	ret = push_cfa(l, g->pc);
	return ret ? ret : st_gen(g, ST_OP_ADDI, 0, 0, -(int64_t)offset);
}

static int push_frame_base(struct location *l)
{
	struct st_generator *g = l->g;
	struct location base = { .g = g, .name = l->name, .of_frame_base = true, .depth = l->depth + 1 };
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t n;

	if (!dwarf_attr_integrate(&g->function, DW_AT_frame_base, &attr) ||
	    dwarf_getlocation_addr(&attr, g->pc, &ops, &n, 1) != 1 || !n)
		return refuse(l, "the function's frame is not described here");
	base.attr = &attr;
	if (n == 1 && ops->atom >= DW_OP_reg0 && ops->atom <= DW_OP_reg31)
		return push_frame_register(l, ops->atom - DW_OP_reg0);
	if (n == 1 && ops->atom == DW_OP_regx)
		return push_frame_register(l, ops->number);
	return push_operations(&base, ops, n);
}

/* ---- operations */

/* What a register held when the function was called: known as long as it has not run. */
static int push_entry_value(struct location *l, Dwarf_Op *op)
{
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t n;

	if (dwarf_getlocation_attr(l->attr, op, &attr) || dwarf_getlocation(&attr, &ops, &n) || n != 1 ||
	    ops->atom < DW_OP_reg0 || ops->atom > DW_OP_reg31)
		return removed(l);
	if (l->g->pc != l->g->entry)
		return st_gen_fail(l->g, -ENODATA,
				   "%.60s has no value here: the compiler has kept it only where the function begins", l->name);
	return push_register(l, ops->atom - DW_OP_reg0);
}

/* An offset in the block of thread-local variables has been pushed. */
static int push_thread_local(struct location *l)
{
	int64_t offset;
	int ret;

	if (!st_object_tls(l->g->dw->obj, &offset))
		return refuse(l, "it is a variable of each thread, in a library");
	ret = st_gen(l->g, ST_OP_TP, 0, 0, offset);
	return ret ? ret : st_gen(l->g, ST_OP_ADD, 0, 0, 0);
}

static int push_address(struct location *l, Dwarf_Op *op)
{
	Dwarf_Attribute attr;
	Dwarf_Addr addr = op->number;

	if (op->atom != DW_OP_addr &&
	    (!l->attr || dwarf_getlocation_attr(l->attr, op, &attr) || dwarf_formaddr(&attr, &addr)))
		return refuse(l, "its address is not in the debug information");
	return st_gen(l->g, ST_OP_IMM, 0, 0, (int64_t)(addr + l->g->dw->obj->bias));
}

static int push_implicit(struct location *l, Dwarf_Op *op)
{
	Dwarf_Block block;
	uint64_t v = 0;

	if (!l->attr || dwarf_getlocation_implicit_value(l->attr, op, &block) || block.length > sizeof(v))
		return refuse(l, "it is a constant that is larger than a word");
	memcpy(&v, block.data, block.length);
	l->where = ST_WHERE_VALUE;
	return st_gen(l->g, ST_OP_IMM, 0, 0, (int64_t)v);
}

/* DWARF's arithmetic is on words. */
static int arithmetic(struct location *l, enum st_op_code op)
{
	int ret = st_gen(l->g, op, 0, 0, 0);

	return ret || WORD == 8 ? ret : st_gen(l->g, ST_OP_ZEXT, WORD, 0, 0);
}

/* Signed arithmetic: where words are narrower than the machine's values, it would need more than this. */
static int signed_arithmetic(struct location *l, enum st_op_code op, bool swap)
{
	int ret = swap ? st_gen(l->g, ST_OP_SWAP, 0, 0, 0) : 0;

	if (WORD != 8)
		return refuse(l, "the compiler computes it in a way that is not understood");
	return ret ? ret : st_gen(l->g, op, 0, 0, 0);
}

static int push_operation(struct location *l, Dwarf_Op *op, bool last)
{
	struct st_generator *g = l->g;
	int ret;

	if (op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31)
		return st_gen(g, ST_OP_IMM, 0, 0, op->atom - DW_OP_lit0);
	if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31) {
		ret = push_register(l, op->atom - DW_OP_breg0);
		return ret ? ret : st_gen(g, ST_OP_ADDI, 0, 0, (int64_t)op->number);
	}
	if ((op->atom >= DW_OP_reg0 && op->atom <= DW_OP_reg31) || op->atom == DW_OP_regx) {
		if (!last)
			return refuse(l, "the compiler has spread it over several places");
		l->where = ST_WHERE_VALUE;
		return push_register(l, op->atom == DW_OP_regx ? op->number : (Dwarf_Word)(op->atom - DW_OP_reg0));
	}
	switch (op->atom) {
	case DW_OP_addr:
	case DW_OP_addrx:
	case DW_OP_GNU_addr_index:
		return push_address(l, op);
	case DW_OP_const1u: case DW_OP_const1s: case DW_OP_const2u: case DW_OP_const2s: case DW_OP_const4u:
	case DW_OP_const4s: case DW_OP_const8u: case DW_OP_const8s: case DW_OP_constu: case DW_OP_consts:
		return st_gen(g, ST_OP_IMM, 0, 0, (int64_t)op->number);
	case DW_OP_bregx:
		ret = push_register(l, op->number);
		return ret ? ret : st_gen(g, ST_OP_ADDI, 0, 0, (int64_t)op->number2);
	case DW_OP_fbreg:
		if (l->of_frame_base)
			return refuse(l, "the debug information is damaged");
		ret = push_frame_base(l);
		return ret ? ret : st_gen(g, ST_OP_ADDI, 0, 0, (int64_t)op->number);
	case DW_OP_call_frame_cfa:
		return l->depth > 2 ? refuse(l, "the debug information is damaged") : push_cfa(l, g->pc);
	case DW_OP_deref:
		return st_gen(g, ST_OP_LOAD, WORD, 0, 0);
	case DW_OP_deref_size:
		return op->number && op->number <= 8 ? st_gen(g, ST_OP_LOAD, (uint8_t)op->number, 0, 0) :
						       refuse(l, "the debug information is damaged");
	case DW_OP_plus_uconst:
		return st_gen(g, ST_OP_ADDI, 0, 0, (int64_t)op->number);
	case DW_OP_entry_value:
	case DW_OP_GNU_entry_value:
		return push_entry_value(l, op);
	case DW_OP_form_tls_address:
	case DW_OP_GNU_push_tls_address:
		return push_thread_local(l);
	case DW_OP_implicit_value:
		return last ? push_implicit(l, op) : refuse(l, "the compiler has spread it over several places");
	case DW_OP_stack_value:
		l->where = ST_WHERE_VALUE;
		return last ? 0 : refuse(l, "the compiler has spread it over several places");
	case DW_OP_dup:
		return st_gen(g, ST_OP_DUP, 0, 0, 0);
	case DW_OP_drop:
		return st_gen(g, ST_OP_DROP, 0, 0, 0);
	case DW_OP_over:
		return st_gen(g, ST_OP_PICK, 0, 1, 0);
	case DW_OP_pick:
		return st_gen(g, ST_OP_PICK, 0, (uint16_t)op->number, 0);
	case DW_OP_swap:
		return st_gen(g, ST_OP_SWAP, 0, 0, 0);
	case DW_OP_and:
		return arithmetic(l, ST_OP_AND);
	case DW_OP_or:
		return arithmetic(l, ST_OP_OR);
	case DW_OP_xor:
		return arithmetic(l, ST_OP_XOR);
	case DW_OP_not:
		return arithmetic(l, ST_OP_NOT);
	case DW_OP_neg:
		return arithmetic(l, ST_OP_NEG);
	case DW_OP_plus:
		return arithmetic(l, ST_OP_ADD);
	case DW_OP_minus:
		return arithmetic(l, ST_OP_SUB);
	case DW_OP_mul:
		return arithmetic(l, ST_OP_MUL);
	case DW_OP_shl:
		return arithmetic(l, ST_OP_SHL);
	case DW_OP_shr:
		return arithmetic(l, ST_OP_SHR);
	case DW_OP_mod:
		return arithmetic(l, ST_OP_MODU);
	case DW_OP_shra:
		return signed_arithmetic(l, ST_OP_SAR, false);
	case DW_OP_div:
		return signed_arithmetic(l, ST_OP_DIVS, false);
	case DW_OP_eq:
		return arithmetic(l, ST_OP_EQ);
	case DW_OP_ne:
		return arithmetic(l, ST_OP_NE);
	case DW_OP_lt:
		return signed_arithmetic(l, ST_OP_LTS, false);
	case DW_OP_le:
		return signed_arithmetic(l, ST_OP_LES, false);
	case DW_OP_gt:
		return signed_arithmetic(l, ST_OP_LTS, true);
	case DW_OP_ge:
		return signed_arithmetic(l, ST_OP_LES, true);
	case DW_OP_nop:
		return 0;
	case DW_OP_piece:
	case DW_OP_bit_piece:
		return refuse(l, "the compiler has spread it over several places");
	case DW_OP_implicit_pointer:
	case DW_OP_GNU_implicit_pointer:
	case DW_OP_GNU_parameter_ref:
	case DW_OP_GNU_variable_value:
		return removed(l);
	default:
		return refuse(l, "the compiler computes it in a way that is not understood");
	}
}

static int push_operations(struct location *l, Dwarf_Op *ops, size_t n)
{
	size_t i;
	int ret = 0;

	l->where = ST_WHERE_MEMORY;
	for (i = 0; i < n && !ret; i++)
		ret = push_operation(l, &ops[i], i + 1 == n);
	return ret;
}

/* ---- before the frame is set up */

static bool is_list(Dwarf_Attribute *attr)
{
	switch (dwarf_whatform(attr)) {
	case DW_FORM_exprloc:
	case DW_FORM_block:
	case DW_FORM_block1:
	case DW_FORM_block2:
	case DW_FORM_block4:
		return false;
	default:
		return true;
	}
}

static bool uses_frame(const Dwarf_Op *ops, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (ops[i].atom == DW_OP_fbreg || ops[i].atom == DW_OP_call_frame_cfa)
			return true;
	return false;
}

/* Passed on the stack: in the caller's frame, and so in its place from the start. */
static bool in_callers_frame(struct st_generator *g, const Dwarf_Op *ops, size_t n)
{
	Dwarf_Attribute attr;
	Dwarf_Op *base;
	size_t len;

	return n == 1 && ops->atom == DW_OP_fbreg && (Dwarf_Sword)ops->number >= 0 &&
	       dwarf_attr_integrate(&g->function, DW_AT_frame_base, &attr) &&
	       dwarf_getlocation_addr(&attr, g->pc, &base, &len, 1) == 1 && len == 1 && base->atom == DW_OP_call_frame_cfa;
}

/* Does the function return something for which its caller passes a hidden argument? Unknown counts as yes. */
static bool hidden_argument(struct st_generator *g)
{
	Dwarf_Attribute attr;
	Dwarf_Die type;
	Dwarf_Word size;

	if (!dwarf_attr_integrate(&g->function, DW_AT_type, &attr))
		return false;
	if (!dwarf_formref_die(&attr, &type))
		return true;
	if (st_type_class(&type, &size) != ST_CLASS_OTHER)
		return false;
#if defined(__aarch64__)
	return false;			/* x8 has it */
#else
	/* What is small is returned in registers. On ARM, where vectors may be, and in C++, that is not the whole rule. */
	return dwarf_srclang(&g->unit) == DW_LANG_C_plus_plus || size > (WORD == 8 ? 16 : 4);
#endif
}

/* Do debug information and convention agree on a parameter whose place at the entry it tells? */
static bool agrees(struct st_generator *g, Dwarf_Die *die, unsigned int reg)
{
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t n;

	if (!dwarf_attr_integrate(die, DW_AT_location, &attr))
		return false;		/* removed: then the others may have moved up */
	if (!is_list(&attr))
		return true;		/* in a slot of the frame, like the one that is wanted */
	return dwarf_getlocation_addr(&attr, g->entry, &ops, &n, 1) == 1 && n == 1 && ops->atom >= DW_OP_reg0 &&
	       ops->atom <= DW_OP_reg31 && (size_t)(ops->atom - DW_OP_reg0) < sizeof(dwarf_regs) &&
	       dwarf_regs[ops->atom - DW_OP_reg0] == reg;
}

/*
 * The parameter's register, or its word of the stack, by the calling convention, if all before it are of the simple kinds. Vector
 * registers are enough for eight of them.
 */
static int push_by_convention(struct location *l, Dwarf_Die *wanted)
{
	static const char why[] = "its place is not set up where the function begins; probe behind that";
	struct st_generator *g = l->g;
	unsigned int next = 0, floats = 0, reg;
	Dwarf_Die die;

	if (hidden_argument(g))
		return refuse(l, why);
	if (dwarf_child(&g->function, &die))
		return refuse(l, why);
	do {
		Dwarf_Attribute attr;
		enum st_class class;
		Dwarf_Word size;
		Dwarf_Die type;

		if (dwarf_tag(&die) != DW_TAG_formal_parameter)
			continue;
		if (!dwarf_attr_integrate(&die, DW_AT_type, &attr) || !dwarf_formref_die(&attr, &type))
			return refuse(l, why);
		class = st_type_class(&type, &size);
		floats += class == ST_CLASS_FLOAT;
		if (floats > 8)
			return refuse(l, why);
		if (class == ST_CLASS_OTHER || size > WORD || (WORD == 4 && floats))
			return refuse(l, why);
		if (class == ST_CLASS_FLOAT) {
			if (dwarf_dieoffset(&die) == dwarf_dieoffset(wanted))
				return refuse(l, "it is in a floating-point or vector register");
			continue;
		}
		if (next >= st_spec_native->nargs) {
			if (dwarf_dieoffset(&die) != dwarf_dieoffset(wanted)) {
				next++;
				continue;
			}
			l->where = ST_WHERE_MEMORY;
			return st_gen(g, ST_OP_REG, 0, st_spec_native->sp, 0) ?:
			       st_gen(g, ST_OP_ADDI, 0, 0, (int64_t)((next - st_spec_native->nargs + st_spec_native->stack_args) * WORD));
		}
		reg = st_spec_native->args[next++];
		if (!agrees(g, &die, reg))
			return refuse(l, why);
		if (dwarf_dieoffset(&die) == dwarf_dieoffset(wanted)) {
			l->where = ST_WHERE_VALUE;
			return st_gen(g, ST_OP_REG, 0, (uint16_t)reg, 0);
		}
	} while (!dwarf_siblingof(&die, &die));
	return refuse(l, why);
}

/* ---- variables */

/*
 * LLVM (14 does) forgets to say that the value has been put onto the stack, and describes its address there as the value. The address
 * of a frame's slot is a plausible value of a pointer only.
 */
static bool forgotten_load(struct st_generator *g, Dwarf_Die *die, const Dwarf_Op *ops, size_t n)
{
	Dwarf_Attribute attr;
	Dwarf_Op *base;
	bool frame = false;
	size_t i, len;
	Dwarf_Die type;
	int pointer = -1;

	if (dwarf_attr_integrate(&g->function, DW_AT_frame_base, &attr) &&
	    dwarf_getlocation_addr(&attr, g->pc, &base, &len, 1) == 1 && len == 1 && base->atom >= DW_OP_reg0 &&
	    base->atom <= DW_OP_reg31)
		pointer = base->atom - DW_OP_reg0;
	for (i = 0; i < n; i++) {
		int reg = ops[i].atom >= DW_OP_breg0 && ops[i].atom < DW_OP_breg0 + (int)sizeof(dwarf_regs) ? ops[i].atom - DW_OP_breg0 : -1;

		if (ops[i].atom == DW_OP_deref || ops[i].atom == DW_OP_deref_size)
			return false;
		frame |= ops[i].atom == DW_OP_fbreg || (reg >= 0 && (reg == pointer || dwarf_regs[reg] == st_spec_native->sp));
	}
	if (!frame || !dwarf_attr_integrate(die, DW_AT_type, &attr) || !dwarf_formref_die(&attr, &type))
		return false;
	return dwarf_peel_type(&type, &type) || dwarf_tag(&type) != DW_TAG_pointer_type;
}

static int push_constant(struct location *l, Dwarf_Attribute *attr)
{
	Dwarf_Block block;
	Dwarf_Sword v = 0;

	if (!dwarf_formblock(attr, &block)) {
		if (block.length > sizeof(v))
			return refuse(l, "it is a constant that is larger than a word");
		memcpy(&v, block.data, block.length);
	} else if (dwarf_formsdata(attr, &v)) {
		return refuse(l, "its constant value is of an unknown form");
	}
	l->where = ST_WHERE_VALUE;
	return st_gen(l->g, ST_OP_IMM, 0, 0, v);
}

int st_gen_variable(struct st_generator *g, Dwarf_Die *die, const char *name, bool parameter, enum st_where *where)
{
	struct location l = { .g = g, .name = name };
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t n;
	int ret;

	if (!dwarf_attr_integrate(die, DW_AT_location, &attr)) {
		ret = dwarf_attr_integrate(die, DW_AT_const_value, &attr) ? push_constant(&l, &attr) : removed(&l);
		*where = l.where;
		return ret;
	}
	l.attr = &attr;
	if (dwarf_getlocation_addr(&attr, g->pc, &ops, &n, 1) != 1 || !n)
		return removed(&l);
	if (!is_list(&attr) && uses_frame(ops, n) && (g->pc == g->entry || g->pc < g->body) && g->pc >= g->entry &&
	    !(parameter && in_callers_frame(g, ops, n))) {
		if (g->pc == g->entry && parameter)
			ret = push_by_convention(&l, die);
		else if (g->body > g->entry)
			return st_gen_fail(g, -ENODATA,
					   "%.60s has no value here yet: the function sets up its frame first; probe at +0x%llx or behind",
					   name, (unsigned long long)(g->body - g->entry));
		else
			return st_gen_fail(g, -ENODATA, "%.60s has no value where the function begins", name);
	} else {
		ret = push_operations(&l, ops, n);
		if (!ret && l.where == ST_WHERE_VALUE && n > 1 && forgotten_load(g, die, ops, n))
			return refuse(&l, "the debug information is wrong about it");
	}
	*where = l.where;
	return ret;
}
