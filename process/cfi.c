/* SPDX-License-Identifier: GPL-2.0-only */
/* See cfi.h. The section may be damaged: reads are checked, steps are counted. Registers that are not general ones are passed over. */
#include <stdlib.h>
#include <process/cfi.h>
#include <process/dwarf.h>

#define STATES_MAX	16	/* DW_CFA_remember_state nests that deep */
#define STACK_MAX	32
#define STEPS_MAX	1000

/* ---- finding a description ---- */

static bool add(void *ctx, const struct st_frame *frame)
{
	struct st_cfi_table *t = ctx;

	if (t->n == t->size) {
		size_t size = 2 * t->size + 256;
		struct st_frame *more = realloc(t->frame, size * sizeof(*more));

		if (!more)
			return false;
		t->frame = more;
		t->size = size;
	}
	t->frame[t->n++] = *frame;
	return true;
}

static int by_start(const void *a, const void *b)
{
	const struct st_frame *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

bool st_cfi_open(struct st_cfi_table *table, const uint8_t *data, size_t len, unsigned long addr, bool debug)
{
	*table = (struct st_cfi_table){ .data = data, .len = len };
	/* What came before a damage is good. */
	st_frames_walk(data, len, addr, debug, add, table);
	if (table->n)
		qsort(table->frame, table->n, sizeof(*table->frame), by_start);
	return table->n;
}

void st_cfi_close(struct st_cfi_table *table)
{
	free(table->frame);
	table->frame = NULL;
	table->n = 0;
}

const struct st_frame *st_cfi_find(const struct st_cfi_table *table, unsigned long pc)
{
	size_t lo = 0, hi = table->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (table->frame[mid].start <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && pc - table->frame[lo - 1].start < table->frame[lo - 1].size ? &table->frame[lo - 1] : NULL;
}

/* ---- expressions ---- */

struct expression {
	const struct st_cfi_regs *regs;
	st_cfi_read read;
	void *ctx;
	unsigned long stack[STACK_MAX];
	unsigned int depth;
	bool bad;
};

static void push(struct expression *x, unsigned long v)
{
	if (x->depth == STACK_MAX)
		x->bad = true;
	else
		x->stack[x->depth++] = v;
}

static unsigned long pop(struct expression *x)
{
	if (!x->depth) {
		x->bad = true;
		return 0;
	}
	return x->stack[--x->depth];
}

/* The element @i from the top. */
static unsigned long peek(struct expression *x, uint64_t i)
{
	if (i >= x->depth) {
		x->bad = true;
		return 0;
	}
	return x->stack[x->depth - 1 - i];
}

static bool has(const struct st_cfi_regs *regs, uint64_t reg)
{
	return reg < ST_CFI_REGS && !(regs->lost >> reg & 1);
}

static void push_register(struct expression *x, uint64_t reg, int64_t offset)
{
	if (!has(x->regs, reg))
		x->bad = true;
	else
		push(x, x->regs->r[reg] + (unsigned long)offset);
}

static void deref(struct expression *x)
{
	unsigned long word = 0;

	if (!x->bad && !x->read(x->ctx, pop(x), &word))
		x->bad = true;
	push(x, word);
}

/* DW_OP_and .. DW_OP_xor, DW_OP_eq .. DW_OP_ne: on the two topmost. False: it is none of them. */
static bool binary(struct expression *x, uint8_t op)
{
	unsigned long b, a;

	if ((op < 0x1a || op > 0x27 || op == 0x1f || op == 0x20 || op == 0x23) && (op < 0x29 || op > 0x2e))
		return false;
	b = pop(x);
	a = pop(x);
	switch (op) {
	case 0x1a: push(x, a & b); break;
	case 0x1b:
		/* The one quotient that does not fit traps. */
		if (!b || (b == ~0ul && a == 1ul << (8 * sizeof(long) - 1)))
			x->bad = true;
		else
			push(x, (unsigned long)((long)a / (long)b));
		break;
	case 0x1c: push(x, a - b); break;
	case 0x1d:
		if (!b)
			x->bad = true;
		else
			push(x, a % b);
		break;
	case 0x1e: push(x, a * b); break;
	case 0x21: push(x, a | b); break;
	case 0x22: push(x, a + b); break;
	case 0x24: push(x, b < 8 * sizeof(long) ? a << b : 0); break;
	case 0x25: push(x, b < 8 * sizeof(long) ? a >> b : 0); break;
	case 0x26: push(x, (unsigned long)((long)a >> (b < 8 * sizeof(long) ? b : 8 * sizeof(long) - 1))); break;
	case 0x27: push(x, a ^ b); break;
	case 0x29: push(x, a == b); break;
	case 0x2a: push(x, (long)a >= (long)b); break;
	case 0x2b: push(x, (long)a > (long)b); break;
	case 0x2c: push(x, (long)a <= (long)b); break;
	case 0x2d: push(x, (long)a < (long)b); break;
	case 0x2e: push(x, a != b); break;
	}
	return true;
}

static void other(struct expression *x, struct st_cursor *c, uint8_t op)
{
	unsigned long a;

	switch (op) {
	case 0x03: push(x, (unsigned long)st_take(c, sizeof(long))); break;		/* DW_OP_addr */
	case 0x06: deref(x); break;
	case 0x08: push(x, (unsigned long)st_take(c, 1)); break;			/* const1u .. const8s */
	case 0x09: push(x, (unsigned long)(int8_t)st_take(c, 1)); break;
	case 0x0a: push(x, (unsigned long)st_take(c, 2)); break;
	case 0x0b: push(x, (unsigned long)(int16_t)st_take(c, 2)); break;
	case 0x0c: push(x, (unsigned long)st_take(c, 4)); break;
	case 0x0d: push(x, (unsigned long)(int32_t)st_take(c, 4)); break;
	case 0x0e:
	case 0x0f: push(x, (unsigned long)st_take(c, 8)); break;
	case 0x10: push(x, (unsigned long)st_take_leb(c)); break;			/* constu, consts */
	case 0x11: push(x, (unsigned long)st_take_sleb(c)); break;
	case 0x12: push(x, peek(x, 0)); break;						/* dup, drop, over, pick, swap */
	case 0x13: pop(x); break;
	case 0x14: push(x, peek(x, 1)); break;
	case 0x15: push(x, peek(x, st_take(c, 1))); break;
	case 0x16:
		a = peek(x, 1);
		if (!x->bad) {
			x->stack[x->depth - 2] = x->stack[x->depth - 1];
			x->stack[x->depth - 1] = a;
		}
		break;
	case 0x19:									/* abs, neg */
		a = pop(x);
		push(x, (long)a < 0 ? -a : a);
		break;
	case 0x1f: push(x, -pop(x)); break;
	case 0x20: push(x, ~pop(x)); break;						/* not */
	case 0x23: push(x, pop(x) + (unsigned long)st_take_leb(c)); break;		/* plus_uconst */
	case 0x28:									/* bra, skip */
	case 0x2f: {
		int16_t by = (int16_t)st_take(c, 2);

		if (op == 0x28 && !pop(x))
			break;
		if (by < c->base - c->at || by > c->end - c->at)
			x->bad = true;
		else
			c->at += by;
		break;
	}
	case 0x92: {									/* bregx */
		uint64_t reg = st_take_leb(c);

		push_register(x, reg, st_take_sleb(c));
		break;
	}
	case 0x96: break;								/* nop */
	default: x->bad = true;
	}
}

/* @cfa: is on the stack at first, unless it is what is wanted. */
static bool evaluate(const uint8_t *code, size_t len, const struct st_cfi_regs *regs, const unsigned long *cfa, st_cfi_read read, void *ctx,
		     unsigned long *value)
{
	struct expression x = { .regs = regs, .read = read, .ctx = ctx };
	struct st_cursor c = { .base = code, .at = code, .end = code + len };

	if (cfa)
		push(&x, *cfa);
	for (int steps = 0; c.at < c.end && !c.bad && !x.bad; steps++) {
		uint8_t op = (uint8_t)st_take(&c, 1);

		if (steps == STEPS_MAX)
			return false;
		if (op >= 0x30 && op <= 0x4f)	/* lit */
			push(&x, op - 0x30);
		else if (op >= 0x70 && op <= 0x8f)	/* breg */
			push_register(&x, op - 0x70, st_take_sleb(&c));
		else if (!binary(&x, op))
			other(&x, &c, op);
	}
	*value = pop(&x);
	return !c.bad && !x.bad;
}

/* ---- the table of rules ---- */

struct rule {
	enum { SAME, UNDEFINED, OFFSET, VALUE, REGISTER, EXPRESSION, VALUE_EXPRESSION } how;
	int64_t offset;		/* from the CFA; REGISTER: which; EXPRESSION: where in the section */
	size_t len;
};

struct state {
	struct rule reg[ST_CFI_REGS], initial[ST_CFI_REGS];
	struct rule cfa;	/* VALUE: register `base` + offset */
	uint64_t base;
};

struct program {
	const struct st_cfi_table *table;
	const struct st_frame *frame;
	struct state now, saved[STATES_MAX];
	unsigned int depth;
	unsigned long loc, at;
};

static void set_rule(struct program *p, uint64_t reg, struct rule rule)
{
	if (reg < ST_CFI_REGS)
		p->now.reg[reg] = rule;
}

/* In units of the CIE's; a damaged one may overflow. */
static int64_t scaled(const struct st_frame *f, uint64_t n)
{
	return (int64_t)(n * (uint64_t)f->data_align);
}

static struct rule take_expression(struct st_cursor *c, int how)
{
	struct rule rule = { .how = how, .len = st_take_leb(c), .offset = c->at - c->base };

	if (rule.len > (size_t)(c->end - c->at))
		c->bad = true;
	else
		c->at += rule.len;
	return rule;
}

/* One instruction that is not an advance. False: it is not known. */
static bool one(struct program *p, struct st_cursor *c, uint8_t op)
{
	const struct st_frame *f = p->frame;
	struct state *now = &p->now;
	uint64_t reg;

	if (op >> 6 == 2) {
		set_rule(p, op & 0x3f, (struct rule){ OFFSET, scaled(f, st_take_leb(c)), 0 });
		return true;
	}
	if (op >> 6 == 3) {
		if ((op & 0x3f) < ST_CFI_REGS)
			now->reg[op & 0x3f] = now->initial[op & 0x3f];
		return true;
	}
	switch (op) {
	case 0x00:	/* nop */
		return true;
	case 0x05:	/* offset_extended */
		reg = st_take_leb(c);
		set_rule(p, reg, (struct rule){ OFFSET, scaled(f, st_take_leb(c)), 0 });
		return true;
	case 0x06:	/* restore_extended */
		reg = st_take_leb(c);
		if (reg < ST_CFI_REGS)
			now->reg[reg] = now->initial[reg];
		return true;
	case 0x07:	/* undefined */
		set_rule(p, st_take_leb(c), (struct rule){ UNDEFINED, 0, 0 });
		return true;
	case 0x08:	/* same_value */
		set_rule(p, st_take_leb(c), (struct rule){ SAME, 0, 0 });
		return true;
	case 0x09:	/* register */
		reg = st_take_leb(c);
		set_rule(p, reg, (struct rule){ REGISTER, (int64_t)st_take_leb(c), 0 });
		return true;
	case 0x0a:	/* remember_state */
		if (p->depth == STATES_MAX)
			return false;
		p->saved[p->depth++] = *now;
		return true;
	case 0x0b:	/* restore_state */
		if (!p->depth)
			return false;
		*now = p->saved[--p->depth];
		return true;
	case 0x0c:	/* def_cfa */
		now->base = st_take_leb(c);
		now->cfa = (struct rule){ VALUE, (int64_t)st_take_leb(c), 0 };
		return true;
	case 0x0d:	/* def_cfa_register: of a CFA that is an expression it makes no sense */
		now->base = st_take_leb(c);
		return now->cfa.how == VALUE;
	case 0x0e:	/* def_cfa_offset */
		now->cfa.offset = (int64_t)st_take_leb(c);
		return now->cfa.how == VALUE;
	case 0x0f:	/* def_cfa_expression */
		now->cfa = take_expression(c, VALUE_EXPRESSION);
		return true;
	case 0x10:	/* expression */
		reg = st_take_leb(c);
		set_rule(p, reg, take_expression(c, EXPRESSION));
		return true;
	case 0x11:	/* offset_extended_sf */
		reg = st_take_leb(c);
		set_rule(p, reg, (struct rule){ OFFSET, scaled(f, (uint64_t)st_take_sleb(c)), 0 });
		return true;
	case 0x12:	/* def_cfa_sf */
		now->base = st_take_leb(c);
		now->cfa = (struct rule){ VALUE, scaled(f, (uint64_t)st_take_sleb(c)), 0 };
		return true;
	case 0x13:	/* def_cfa_offset_sf */
		now->cfa.offset = scaled(f, (uint64_t)st_take_sleb(c));
		return now->cfa.how == VALUE;
	case 0x14:	/* val_offset */
		reg = st_take_leb(c);
		set_rule(p, reg, (struct rule){ VALUE, scaled(f, st_take_leb(c)), 0 });
		return true;
	case 0x15:	/* val_offset_sf */
		reg = st_take_leb(c);
		set_rule(p, reg, (struct rule){ VALUE, scaled(f, (uint64_t)st_take_sleb(c)), 0 });
		return true;
	case 0x16:	/* val_expression */
		reg = st_take_leb(c);
		set_rule(p, reg, take_expression(c, VALUE_EXPRESSION));
		return true;
#if defined(__aarch64__)
	case 0x2d:	/* AARCH64_negate_ra_state: what signs is taken off every return address */
		return true;
#endif
	case 0x2e:	/* GNU_args_size */
		st_take_leb(c);
		return true;
	default:
		return false;
	}
}

/* Up to the place in the code. False: damaged, or not known. */
static bool run(struct program *p, size_t from, size_t len)
{
	struct st_cursor c = { .base = p->table->data, .at = p->table->data + from, .end = p->table->data + from + len };
	uint64_t by;

	while (c.at < c.end) {
		uint8_t op = (uint8_t)st_take(&c, 1);

		switch (op >> 6 == 1 ? 1 : op) {
		case 1:		/* advance_loc; DW_CFA_set_loc, which is 1, is not for position-independent code */
			if (op == 1)
				return false;
			by = op & 0x3f;
			break;
		case 2:
			by = st_take(&c, 1);
			break;
		case 3:
			by = st_take(&c, 2);
			break;
		case 4:
			by = st_take(&c, 4);
			break;
		default:
			if (!one(p, &c, op) || c.bad)
				return false;
			continue;
		}
		if (c.bad)
			return false;
		p->loc += (unsigned long)(by * p->frame->code_align);
		if (p->loc > p->at)
			return true;
	}
	return true;
}

/* ---- a step ---- */

static bool apply(const struct program *p, const struct rule *rule, unsigned long cfa, const struct st_cfi_regs *old,
		  st_cfi_read read, void *ctx, unsigned long *value, unsigned long *where)
{
	const uint8_t *data = p->table->data;

	*where = 0;
	switch (rule->how) {
	case OFFSET:
		*where = cfa + (unsigned long)rule->offset;
		return read(ctx, *where, value);
	case VALUE:
		*value = cfa + (unsigned long)rule->offset;
		return true;
	case REGISTER:
		if (rule->offset < 0 || !has(old, (uint64_t)rule->offset))
			return false;
		*value = old->r[rule->offset];
		return true;
	case EXPRESSION:
		return evaluate(data + rule->offset, rule->len, old, &cfa, read, ctx, where) && read(ctx, *where, value);
	case VALUE_EXPRESSION:
		return evaluate(data + rule->offset, rule->len, old, &cfa, read, ctx, value);
	default:
		return false;
	}
}

enum st_cfi_result st_cfi_step(const struct st_cfi_table *table, const struct st_frame *frame, unsigned long at, struct st_cfi_regs *regs,
			       unsigned long *cfa, unsigned long *ra_at, st_cfi_read read, void *ctx)
{
	struct program p = { .table = table, .frame = frame, .loc = frame->start, .at = at };
	struct st_cfi_regs old = *regs, new = *regs;
	unsigned long where;

	/* The CIE's instructions have no places. */
	p.now.cfa.how = UNDEFINED;
	if (!run(&p, frame->common, frame->common_len) || p.loc != frame->start)
		return ST_CFI_UNKNOWN;
	memcpy(p.now.initial, p.now.reg, sizeof(p.now.reg));
	if (!run(&p, frame->program, frame->program_len))
		return ST_CFI_UNKNOWN;
	if (frame->ra >= ST_CFI_REGS)
		return ST_CFI_UNKNOWN;
	if (p.now.reg[frame->ra].how == UNDEFINED)
		return ST_CFI_BOTTOM;
	if (p.now.cfa.how == VALUE && has(&old, p.now.base))
		*cfa = old.r[p.now.base] + (unsigned long)p.now.cfa.offset;
	else if (p.now.cfa.how != VALUE_EXPRESSION ||
		 !evaluate(table->data + p.now.cfa.offset, p.now.cfa.len, &old, NULL, read, ctx, cfa))
		return ST_CFI_UNKNOWN;
	new.r[ST_CFI_SP] = *cfa;
	new.lost &= ~(1ul << ST_CFI_SP);
	*ra_at = 0;
	for (unsigned int i = 0; i < ST_CFI_REGS; i++) {
		const struct rule *rule = &p.now.reg[i];

		if (rule->how == UNDEFINED)
			new.lost |= 1ul << i;
		if (rule->how == UNDEFINED || rule->how == SAME)
			continue;
		new.lost &= ~(1ul << i);
		if (!apply(&p, rule, *cfa, &old, read, ctx, &new.r[i], &where))
			return ST_CFI_UNKNOWN;
		if (i == frame->ra)
			*ra_at = where;
	}
	/* x86-64 has a column for the return address, which is no register: it must have been said. */
#if defined(__x86_64__)
	if (p.now.reg[frame->ra].how == SAME)
		return ST_CFI_UNKNOWN;
#endif
	if (!has(&new, frame->ra))
		return ST_CFI_UNKNOWN;
	new.pc = new.r[frame->ra];
	*regs = new;
	return ST_CFI_CALLER;
}
