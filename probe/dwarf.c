// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a C expression means: names and types from debug information, arithmetic as C does it, instructions for the agent's machine.
 *
 * A value on the machine's stack is kept as its type's: extended to 64 bits by its sign, so that it can go on as any other. An lvalue is
 * the address of one, which is read when its value is asked for, and not before.
 */
#include <dwarf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "debug.h"

#define WORD ((unsigned int)sizeof(long))
#define SCOPES_MAX 32
#define IMPORTS_MAX 16		/* of partial units in each other */
#define ANONYMOUS_MAX 8		/* structures without a name, in each other */
#define FAIL(...) st_gen_fail(g, -EINVAL, __VA_ARGS__)

/* A type: @stars pointers to it, to an array of debug information without its first @dim dimensions, or to one of C's own types. */
struct type {
	bool builtin;
	bool is_signed, is_bool, is_void;	/* of a builtin */
	uint8_t size;				/* the same */
	uint8_t stars;
	uint8_t dim;
	Dwarf_Die die;
};

enum kind { K_VOID, K_INTEGER, K_POINTER, K_ARRAY, K_STRUCT, K_FLOAT, K_FUNCTION, K_REFERENCE, K_UNKNOWN };

/* What is known of a type, once looked at. */
struct shape {
	enum kind kind;
	uint64_t size;		/* 0: not known */
	bool is_signed, is_bool, is_char;
	Dwarf_Die die;		/* without typedefs and qualifiers */
};

struct value {
	struct type type;
	bool lvalue;
	uint8_t bits, shift;	/* of a bit-field; bits is 0 when it is none */
	bool in_register;	/* not lvalue, because it has no address */
};

static const struct type int_type = { .builtin = true, .is_signed = true, .size = 4 };
static const struct type long_type = { .builtin = true, .is_signed = true, .size = sizeof(long) };
static const struct type ulong_type = { .builtin = true, .size = sizeof(long) };
static const struct type void_type = { .builtin = true, .is_void = true };

/* ---- types */

static bool die_size(Dwarf_Die *die, uint64_t *size)
{
	Dwarf_Word n;

	if (dwarf_aggregate_size(die, &n))
		return false;
	*size = n;
	return true;
}

/* Bounds of dimension @dim of an array and of those behind it. Returns the elements in dimension @dim, 0 if it is not known. */
static uint64_t array_count(Dwarf_Die *array, unsigned int dim, unsigned int *dims)
{
	uint64_t count = 0;
	unsigned int n = 0;
	Dwarf_Die child;

	if (!dwarf_child(array, &child)) {
		do {
			Dwarf_Attribute attr;
			Dwarf_Word v;

			if (dwarf_tag(&child) != DW_TAG_subrange_type)
				continue;
			if (n++ != dim)
				continue;
			if (dwarf_attr_integrate(&child, DW_AT_count, &attr) && !dwarf_formudata(&attr, &v))
				count = v;
			else if (dwarf_attr_integrate(&child, DW_AT_upper_bound, &attr) && !dwarf_formudata(&attr, &v) && v + 1)
				count = v + 1;
		} while (!dwarf_siblingof(&child, &child));
	}
	*dims = n;
	return count;
}

/* The type that a DIE refers to; void if it has none. */
static struct type type_of(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	struct type t = { 0 };

	if (!dwarf_attr_integrate(die, DW_AT_type, &attr) || !dwarf_formref_die(&attr, &t.die))
		return void_type;
	return t;
}

static struct shape shape_of(const struct type *t)
{
	struct shape s = { .kind = K_UNKNOWN };
	Dwarf_Die die = t->die;
	Dwarf_Attribute attr;
	Dwarf_Word encoding;

	if (t->stars) {
		s.kind = K_POINTER;
		s.size = WORD;
		return s;
	}
	if (t->builtin) {
		s.kind = t->is_void ? K_VOID : K_INTEGER;
		s.size = t->size;
		s.is_signed = t->is_signed;
		s.is_bool = t->is_bool;
		s.is_char = t->size == 1 && !t->is_bool;
		return s;
	}
	if (dwarf_peel_type(&die, &s.die))
		return s;
	if (dwarf_tag(&s.die) == DW_TAG_typedef || dwarf_tag(&s.die) == DW_TAG_const_type) {
		s.kind = K_VOID;	/* qualifiers around nothing */
		return s;
	}
	switch (dwarf_tag(&s.die)) {
	case DW_TAG_base_type:
		s.kind = K_UNKNOWN;
		if (!die_size(&s.die, &s.size) || !dwarf_attr_integrate(&s.die, DW_AT_encoding, &attr) ||
		    dwarf_formudata(&attr, &encoding))
			return s;
		switch (encoding) {
		case DW_ATE_signed_char:
			s.is_char = s.size == 1;
			/* fallthrough */
		case DW_ATE_signed:
			s.is_signed = true;
			s.kind = K_INTEGER;
			break;
		case DW_ATE_unsigned_char:
		case DW_ATE_UTF:
			s.is_char = s.size == 1;
			/* fallthrough */
		case DW_ATE_unsigned:
		case DW_ATE_address:
			s.kind = K_INTEGER;
			break;
		case DW_ATE_boolean:
			s.is_bool = true;
			s.kind = K_INTEGER;
			break;
		case DW_ATE_float:
		case DW_ATE_complex_float:
		case DW_ATE_decimal_float:
			s.kind = K_FLOAT;
			break;
		}
		if (s.kind == K_INTEGER && s.size > 8)
			s.kind = K_UNKNOWN;
		break;
	case DW_TAG_enumeration_type:
		s.kind = K_INTEGER;
		if (!die_size(&s.die, &s.size) || !s.size || s.size > 8)
			s.size = 4;
		/* As large as the values want; signed if one of them is. */
		if (dwarf_attr_integrate(&s.die, DW_AT_type, &attr)) {
			struct type under = type_of(&s.die);

			s.is_signed = shape_of(&under).is_signed;
		}
		break;
	case DW_TAG_pointer_type:
	case DW_TAG_ptr_to_member_type:
		s.kind = K_POINTER;
		s.size = WORD;
		break;
	case DW_TAG_reference_type:
	case DW_TAG_rvalue_reference_type:
		s.kind = K_REFERENCE;
		s.size = WORD;
		break;
	case DW_TAG_array_type:
		s.kind = K_ARRAY;
		if (dwarf_hasattr(&s.die, DW_AT_GNU_vector))
			s.kind = K_UNKNOWN;
		break;
	case DW_TAG_structure_type:
	case DW_TAG_union_type:
	case DW_TAG_class_type:
		s.kind = K_STRUCT;
		die_size(&s.die, &s.size);
		break;
	case DW_TAG_subroutine_type:
		s.kind = K_FUNCTION;
		break;
	}
	return s;
}

enum st_class st_type_class(Dwarf_Die *type, Dwarf_Word *size)
{
	struct type t = { .die = *type };
	struct shape s = shape_of(&t);
	uint64_t n = s.size;

	if (!n && s.kind == K_STRUCT)
		n = UINT64_MAX;
	*size = n;
	switch (s.kind) {
	case K_INTEGER:
	case K_POINTER:
	case K_REFERENCE:
		return ST_CLASS_INTEGER;
	case K_FLOAT:
		/* long double and complex numbers have rules of their own. */
		return n == 4 || n == 8 ? ST_CLASS_FLOAT : ST_CLASS_OTHER;
	default:
		return ST_CLASS_OTHER;
	}
}

/* What a pointer points to, an array consists of, a reference refers to. */
static struct type element_of(const struct type *t)
{
	struct type e = *t;
	struct shape s;
	unsigned int dims;

	if (t->stars) {
		e.stars--;
		return e;
	}
	s = shape_of(t);
	if (s.kind == K_ARRAY) {
		array_count(&s.die, t->dim, &dims);
		if (t->dim + 1u < dims) {
			e.die = s.die;
			e.dim++;
			return e;
		}
	}
	return type_of(&s.die);
}

static struct type pointer_to(struct type t)
{
	t.stars++;
	return t;
}

static uint64_t size_of(const struct type *t)
{
	struct shape s = shape_of(t);
	struct type e;
	unsigned int dims;
	uint64_t n, size;

	if (s.kind != K_ARRAY)
		return s.size;
	e = element_of(t);
	n = array_count(&s.die, t->dim, &dims);
	return __builtin_mul_overflow(n, size_of(&e), &size) ? 0 : size;
}

/* ---- names in debug information */

static const char *die_name(Dwarf_Die *die)
{
	Dwarf_Attribute attr;

	return dwarf_attr_integrate(die, DW_AT_name, &attr) ? dwarf_formstring(&attr) : NULL;
}

static bool is_named(Dwarf_Die *die, const char *name, size_t len)
{
	const char *s = die_name(die);

	return s && !strncmp(s, name, len) && !s[len];
}

/* What is looked for at the top of a unit. */
struct search {
	bool (*is_it)(struct search *search, Dwarf_Die *die);
	const char *name;
	size_t len;
	int tag;		/* of a type; 0: any that has a name of its own */
	Dwarf_Die found;
	unsigned int n;		/* how many there are; the first is @found */
	int64_t number;		/* of an enumerator */
};

/* Children of a unit, of namespaces in it, and of the units that it imports (dwz). Returns true to stop. */
static bool search_children(struct search *s, Dwarf_Die *parent, int depth)
{
	Dwarf_Die die, imported;
	Dwarf_Attribute attr;

	if (dwarf_child(parent, &die))
		return false;
	do {
		int tag = dwarf_tag(&die);

		if (tag == DW_TAG_imported_unit) {
			if (depth < IMPORTS_MAX && dwarf_attr(&die, DW_AT_import, &attr) && dwarf_formref_die(&attr, &imported) &&
			    search_children(s, &imported, depth + 1))
				return true;
		} else if (tag == DW_TAG_namespace) {
			if (depth < IMPORTS_MAX && search_children(s, &die, depth + 1))
				return true;
		} else if (s->is_it(s, &die)) {
			s->found = die;
			if (!s->n++ && s->tag >= 0)
				return true;
		}
	} while (!dwarf_siblingof(&die, &die));
	return false;
}

static bool next_unit(Dwarf *dbg, Dwarf_Off *off, Dwarf_Die *unit)
{
	Dwarf_Off next;
	size_t header;

	while (!dwarf_nextcu(dbg, *off, &next, &header, NULL, NULL, NULL)) {
		Dwarf_Off die = *off + header;

		*off = next;
		if (dwarf_offdie(dbg, die, unit) && dwarf_tag(unit) == DW_TAG_compile_unit)
			return true;
	}
	return false;
}

/* The unit of the function first, then the others. */
static bool search_all(struct st_generator *g, struct search *s)
{
	Dwarf_Off off = 0;
	Dwarf_Die unit;

	if (search_children(s, &g->unit, 0))
		return true;
	while (next_unit(g->dw->dbg, &off, &unit))
		if (dwarf_dieoffset(&unit) != dwarf_dieoffset(&g->unit) && search_children(s, &unit, 0))
			return true;
	return false;
}

static bool is_complete_type(struct search *s, Dwarf_Die *die)
{
	int tag = dwarf_tag(die);

	if (s->tag ? tag != s->tag && !(s->tag == DW_TAG_structure_type && tag == DW_TAG_class_type) :
		     tag != DW_TAG_typedef && tag != DW_TAG_base_type && tag != DW_TAG_class_type &&
			     !((tag == DW_TAG_structure_type || tag == DW_TAG_enumeration_type) && s->len))
		return false;
	return is_named(die, s->name, s->len) && !dwarf_hasattr(die, DW_AT_declaration);
}

static bool is_definition(struct search *s, Dwarf_Die *die)
{
	Dwarf_Attribute attr;

	return dwarf_tag(die) == DW_TAG_variable && is_named(die, s->name, s->len) &&
	       (dwarf_attr(die, DW_AT_location, &attr) || dwarf_attr(die, DW_AT_const_value, &attr));
}

/* Not a DIE at the top, but one of its children. */
static bool has_enumerator(struct search *s, Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	Dwarf_Sword v;
	Dwarf_Word u;
	Dwarf_Die child;

	if (dwarf_tag(die) != DW_TAG_enumeration_type || dwarf_child(die, &child))
		return false;
	do {
		if (!is_named(&child, s->name, s->len) || !dwarf_attr(&child, DW_AT_const_value, &attr))
			continue;
		if (!dwarf_formsdata(&attr, &v))
			s->number = v;
		else if (!dwarf_formudata(&attr, &u))
			s->number = (int64_t)u;
		else
			continue;
		return true;
	} while (!dwarf_siblingof(&child, &child));
	return false;
}

/* ---- values */

static int gen(struct st_generator *g, enum st_op_code op, uint8_t size, uint16_t index, int64_t imm)
{
	return st_gen(g, op, size, index, imm);
}

/* What is on the stack becomes a value of an integer type: its size, extended by its sign. */
static int narrow(struct st_generator *g, const struct shape *s)
{
	if (s->size >= 8)
		return 0;
	return gen(g, s->is_signed ? ST_OP_SEXT : ST_OP_ZEXT, (uint8_t)s->size, 0, 0);
}

/* The bits of a field, of the value that holds them. */
static int take_bits(struct st_generator *g, const struct value *v, const struct shape *s)
{
	return gen(g, s->is_signed ? ST_OP_SBITS : ST_OP_BITS, v->bits, v->shift, 0);
}

/* An lvalue becomes its value, an array the address of its first element. */
static int load(struct st_generator *g, struct value *v)
{
	struct shape s = shape_of(&v->type);
	int ret;

	if (s.kind == K_ARRAY) {
		if (!v->lvalue)
			return FAIL("an array that is in a register can't be used");
		v->type = pointer_to(element_of(&v->type));
		v->lvalue = false;
		return 0;
	}
	if (s.kind == K_FLOAT)
		return FAIL("%.60s: floating point can't be computed with (:x32 or :x64 shows the bits of one in memory)", g->arg->name);
	if (s.kind != K_INTEGER && s.kind != K_POINTER)
		return FAIL("%.60s: %s", g->arg->name,
			    s.kind == K_STRUCT ? "a structure is no value; name one of its members" :
			    s.kind == K_VOID   ? "void is no value; a cast says what it is" :
						 "this is no number and no pointer");
	if (!v->lvalue)
		return 0;
	v->lvalue = false;
	if (v->bits) {
		unsigned int bytes = (v->shift + v->bits + 7u) / 8;

		if (bytes > 8)
			return FAIL("%.60s: a bit-field that spans nine bytes can't be fetched", g->arg->name);
		ret = gen(g, ST_OP_LOAD, (uint8_t)bytes, 0, 0);
		if (!ret)
			ret = take_bits(g, v, &s);
		v->bits = 0;
		return ret;
	}
	ret = gen(g, ST_OP_LOAD, (uint8_t)s.size, 0, 0);
	return ret || !s.is_signed ? ret : narrow(g, &s);
}

/* A C++ reference stands for what it refers to. */
static int follow_reference(struct st_generator *g, struct value *v)
{
	int ret = 0;

	if (shape_of(&v->type).kind != K_REFERENCE)
		return 0;
	if (v->lvalue)
		ret = gen(g, ST_OP_LOAD, (uint8_t)WORD, 0, 0);
	v->type = element_of(&v->type);
	v->lvalue = true;
	v->in_register = false;
	return ret;
}

static int generate(struct st_generator *g, unsigned int node, struct value *v);

/* A number or a pointer. */
static int generate_value(struct st_generator *g, unsigned int node, struct value *v)
{
	int ret = generate(g, node, v);

	return ret ? ret : load(g, v);
}

/* ---- names */

/* The scopes around a place, the innermost last: the function, blocks, calls that were inlined. */
static unsigned int find_scopes(struct st_generator *g, Dwarf_Die scopes[SCOPES_MAX])
{
	unsigned int n = 1;
	Dwarf_Die die;

	scopes[0] = g->function;
	while (n < SCOPES_MAX && !dwarf_child(&scopes[n - 1], &die)) {
		bool deeper = false;

		do {
			int tag = dwarf_tag(&die);

			deeper = (tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine) && dwarf_haspc(&die, g->pc) > 0;
			if (deeper)
				break;
		} while (!dwarf_siblingof(&die, &die));
		if (!deeper)
			break;
		scopes[n++] = die;
	}
	return n;
}

/* Places a variable's value on the stack. */
static int use_variable(struct st_generator *g, Dwarf_Die *die, const char *name, bool parameter, struct value *v)
{
	enum st_where where = ST_WHERE_MEMORY;
	struct shape s;
	int ret = g->unevaluated ? 0 : st_gen_variable(g, die, name, parameter, &where);

	if (ret)
		return ret;
	*v = (struct value){ .type = type_of(die), .lvalue = where == ST_WHERE_MEMORY, .in_register = where == ST_WHERE_VALUE };
	s = shape_of(&v->type);
	if (!v->lvalue && s.kind == K_INTEGER)
		ret = narrow(g, &s);
	return ret ? ret : follow_reference(g, v);
}

static int find_local(struct st_generator *g, const struct st_expr_node *n, Dwarf_Die *found, bool *parameter)
{
	Dwarf_Die scopes[SCOPES_MAX], die;
	unsigned int i;

	for (i = find_scopes(g, scopes); i-- > 0;) {
		if (dwarf_child(&scopes[i], &die))
			continue;
		do {
			int tag = dwarf_tag(&die);

			if ((tag != DW_TAG_variable && tag != DW_TAG_formal_parameter) || !is_named(&die, n->name, n->len))
				continue;
			/* `extern` in a function */
			if (dwarf_hasattr(&die, DW_AT_declaration))
				continue;
			*found = die;
			*parameter = tag == DW_TAG_formal_parameter && !i;
			return 0;
		} while (!dwarf_siblingof(&die, &die));
	}
	return -ENOENT;
}

/* Is a global variable, as other objects see it, the one of this object? It is not if the program has a copy of it, or its own. */
static bool is_shared(struct st_generator *g, const char *name)
{
	struct st_symbol own, seen;
	struct st_object *obj;

	if (!g->dw->objs || !g->dw->objs->proc || st_object_symbol(g->dw->obj, name, NULL, &own) || !own.dynamic)
		return false;
	return !st_objects_resolve(g->dw->objs, name, NULL, &obj, &seen) && seen.addr != own.addr;
}

static int use_global(struct st_generator *g, const struct st_expr_node *n, const char *name, struct value *v)
{
	struct search s = { .is_it = is_definition, .name = n->name, .len = n->len, .tag = -1 };
	Dwarf_Die die;

	/* Statics of the same name: the one of the function's own file, else it must be the only one. */
	search_children(&s, &g->unit, 0);
	if (!s.n)
		search_all(g, &s);
	if (s.n > 1)
		return FAIL("there are several variables named %.60s; use @SYMBOL or @ADDRESS", name);
	if (s.n) {
		die = s.found;
		if (is_shared(g, name))
			return FAIL("the program has %.60s, too, and it is not certain which one is in use; use @%.60s", name, name);
		return use_variable(g, &die, name, false, v);
	}
	s = (struct search){ .is_it = has_enumerator, .name = n->name, .len = n->len };
	if (search_all(g, &s)) {
		*v = (struct value){ .type = s.number == (int32_t)s.number ? int_type : long_type };
		return gen(g, ST_OP_IMM, 0, 0, s.number);
	}
	return st_gen_fail(g, -ENOENT, "there is no variable named %.60s here", name);
}

/* A constant of an enumeration that a function or a block declares. */
static bool local_enumerator(struct st_generator *g, const struct st_expr_node *n, int64_t *number)
{
	struct search s = { .is_it = has_enumerator, .name = n->name, .len = n->len };
	Dwarf_Die scopes[SCOPES_MAX];
	unsigned int i;

	for (i = find_scopes(g, scopes); i-- > 0;) {
		if (search_children(&s, &scopes[i], IMPORTS_MAX)) {
			*number = s.number;
			return true;
		}
	}
	return false;
}

static int use_name(struct st_generator *g, const struct st_expr_node *n, struct value *v)
{
	char name[ST_SPEC_SYMBOL_MAX];
	bool parameter, local;
	Dwarf_Die die;
	int64_t number;

	if (n->len >= sizeof(name))
		return FAIL("a name is too long");
	memcpy(name, n->name, n->len);
	name[n->len] = '\0';
	local = !find_local(g, n, &die, &parameter);
	if (local && g->spec->ret && !dwarf_hasattr(&die, DW_AT_external)) {
		Dwarf_Attribute attr;
		Dwarf_Op *ops;
		size_t len;

		/* A static of the function goes on living. */
		if (!dwarf_attr_integrate(&die, DW_AT_location, &attr) || dwarf_getlocation(&attr, &ops, &len) || len != 1 ||
		    (ops->atom != DW_OP_addr && ops->atom != DW_OP_addrx))
			return FAIL("%.60s is gone when the function returns; fetch it with a p probe", name);
	}
	if (local)
		return use_variable(g, &die, name, parameter, v);
	if (local_enumerator(g, n, &number)) {
		*v = (struct value){ .type = number == (int32_t)number ? int_type : long_type };
		return gen(g, ST_OP_IMM, 0, 0, number);
	}
	return use_global(g, n, name, v);
}

/* What the function returns, by its type. */
static int use_retval(struct st_generator *g, struct value *v)
{
	struct shape s;
	int ret;

	*v = (struct value){ .type = type_of(&g->function), .in_register = true };
	s = shape_of(&v->type);
	switch (s.kind) {
	case K_INTEGER:
		ret = gen(g, ST_OP_REG, 0, st_spec_native->ret, 0);
		/* ARM: a long long is in r0 and r1. */
		if (!ret && s.size > WORD)
			ret = gen(g, ST_OP_REG, 0, (uint16_t)(st_spec_native->ret + 1), 0) ?:
			      gen(g, ST_OP_IMM, 0, 0, 32) ?: gen(g, ST_OP_SHL, 0, 0, 0) ?: gen(g, ST_OP_OR, 0, 0, 0);
		return ret ? ret : narrow(g, &s);
	case K_POINTER:
	case K_REFERENCE:
		ret = gen(g, ST_OP_REG, 0, st_spec_native->ret, 0);
		return ret ? ret : follow_reference(g, v);
	case K_STRUCT:
#if defined(__x86_64__)
		/* psABI 3.2.3: what is larger than two words is in memory, and ax has its address. */
		if (s.size > 16) {
			v->lvalue = true;
			v->in_register = false;
			return gen(g, ST_OP_REG, 0, st_spec_native->ret, 0);
		}
#endif
		return FAIL("a structure that is returned in registers can't be taken apart; use %%REG");
	case K_VOID:
		return FAIL("the function returns nothing");
	default:
		return FAIL("what the function returns is in no integer register");
	}
}

/* $argN, $retval, $stackN, %REG as the kernel's language has them: words. */
static int use_variable_word(struct st_generator *g, const struct st_expr_node *n, struct value *v)
{
	struct st_spec_error where;
	struct st_spec_arg arg;
	char name[32];
	unsigned int i;
	int ret = 0;

	if (n->len >= sizeof(name))
		return FAIL("a name is too long");
	memcpy(name, n->name, n->len);
	name[n->len] = '\0';
	if (!strcmp(name, "$retval") && g->spec->ret)
		return use_retval(g, v);
	if (st_spec_parse_value(name, st_spec_native, g->spec, &arg, &where))
		return FAIL("%s", where.text);
	if (!arg.nops)
		return FAIL("%s is a text, not a number", name);
	for (i = 0; i < arg.nops && !ret; i++)
		ret = gen(g, (enum st_op_code)arg.op[i].op, arg.op[i].size, arg.op[i].index, arg.op[i].imm);
	*v = (struct value){ .type = ulong_type, .in_register = true };
	return ret;
}

/* ---- members */

static bool member_offset(Dwarf_Die *member, uint64_t *offset)
{
	Dwarf_Attribute attr;
	Dwarf_Word v;
	Dwarf_Op *ops;
	size_t n;

	*offset = 0;
	if (!dwarf_attr_integrate(member, DW_AT_data_member_location, &attr))
		return true;
	if (!dwarf_formudata(&attr, &v)) {
		*offset = v;
		return true;
	}
	if (dwarf_getlocation(&attr, &ops, &n) || n != 1 || ops->atom != DW_OP_plus_uconst)
		return false;
	*offset = ops->number;
	return true;
}

/* A member by its name, also in members and base classes that have no name; *offset: from the structure's beginning. */
static bool find_member(Dwarf_Die *type, const char *name, size_t len, Dwarf_Die *member, uint64_t *offset, int depth)
{
	uint64_t at, inner;
	Dwarf_Die die;

	if (depth == ANONYMOUS_MAX || dwarf_child(type, &die))
		return false;
	do {
		int tag = dwarf_tag(&die);
		struct type t;
		struct shape s;

		if ((tag != DW_TAG_member && tag != DW_TAG_inheritance) || dwarf_hasattr(&die, DW_AT_declaration) ||
		    !member_offset(&die, &at))
			continue;
		if (tag == DW_TAG_member && is_named(&die, name, len)) {
			*member = die;
			*offset = at;
			return true;
		}
		if (tag == DW_TAG_member && die_name(&die))
			continue;
		t = type_of(&die);
		s = shape_of(&t);
		if (s.kind == K_STRUCT && find_member(&s.die, name, len, member, &inner, depth + 1)) {
			*offset = at + inner;
			return true;
		}
	} while (!dwarf_siblingof(&die, &die));
	return false;
}

static bool attr_number(Dwarf_Die *die, unsigned int name, Dwarf_Word *v)
{
	Dwarf_Attribute attr;

	return dwarf_attr_integrate(die, name, &attr) && !dwarf_formudata(&attr, v);
}

/* If it is a bit-field: its first bit, counted from bit 0 of the byte at the member's offset, which may move. */
static int bit_field(struct st_generator *g, Dwarf_Die *member, uint64_t *offset, struct value *v)
{
	Dwarf_Word size, at, storage;
	struct shape s = shape_of(&v->type);

	if (!attr_number(member, DW_AT_bit_size, &size))
		return 0;
	if (attr_number(member, DW_AT_data_bit_offset, &at)) {
		/* From the beginning of the structure that the member is in, which data_member_location is not given for. */
	} else if (attr_number(member, DW_AT_bit_offset, &at)) {
		/* DWARF 3 and before: from the most significant bit of its storage. */
		if (!attr_number(member, DW_AT_byte_size, &storage))
			storage = s.size;
		if (storage > 8 || at + size > storage * 8)
			return FAIL("%.60s: the debug information is damaged", g->arg->name);
		at = storage * 8 - at - size;
	} else {
		at = 0;
	}
	if (!size || size > 64 || s.kind != K_INTEGER)
		return FAIL("%.60s: the debug information is damaged", g->arg->name);
	*offset += at / 8;
	v->bits = (uint8_t)size;
	v->shift = (uint8_t)(at % 8);
	return 0;
}

/* The type of a structure that this unit only declares. */
static void complete(struct st_generator *g, Dwarf_Die *type)
{
	struct search s = { .is_it = is_complete_type, .tag = dwarf_tag(type) };

	s.name = die_name(type);
	s.len = s.name ? strlen(s.name) : 0;
	if (dwarf_hasattr(type, DW_AT_declaration) && s.name && search_all(g, &s))
		*type = s.found;
}

static int use_member(struct st_generator *g, const struct st_expr_node *n, struct value *v)
{
	struct shape s = shape_of(&v->type), part;
	bool in_register = !v->lvalue;
	Dwarf_Die member;
	uint64_t offset;
	int ret;

	if (s.kind != K_STRUCT)
		return FAIL("%.*s: what is in front of it is no structure", (int)n->len, n->name);
	complete(g, &s.die);
	if (dwarf_hasattr(&s.die, DW_AT_declaration))
		return FAIL("%.60s is only declared: debug information does not say what is in it",
			    die_name(&s.die) ? die_name(&s.die) : "a structure");
	if (!find_member(&s.die, n->name, n->len, &member, &offset, 0))
		return FAIL("%.60s has no member %.*s", die_name(&s.die) ? die_name(&s.die) : "a structure without a name",
			    n->len > 60 ? 60 : (int)n->len, n->name);
	*v = (struct value){ .type = type_of(&member), .lvalue = !in_register, .in_register = in_register };
	ret = bit_field(g, &member, &offset, v);
	if (ret)
		return ret;
	if (in_register) {
		/* A structure that fits into a register. */
		part = shape_of(&v->type);
		if (s.size > WORD || !part.size || part.size > 8 || offset * 8 + v->shift + (v->bits ? v->bits : part.size * 8) > 64 ||
		    (part.kind != K_INTEGER && part.kind != K_POINTER))
			return FAIL("%.*s: its structure is in registers", (int)n->len, n->name);
		if (!v->bits)
			v->bits = (uint8_t)(part.size * 8);
		v->shift = (uint8_t)(v->shift + offset * 8);
		ret = take_bits(g, v, &part);
		v->bits = v->shift = 0;
		return ret;
	}
	ret = gen(g, ST_OP_ADDI, 0, 0, (int64_t)offset);
	return ret ? ret : follow_reference(g, v);
}

/* The pointer on the stack becomes what it points to. */
static int dereference(struct st_generator *g, struct value *v)
{
	struct type t;

	if (shape_of(&v->type).kind != K_POINTER)
		return FAIL("%.60s: what is dereferenced is no pointer", g->arg->name);
	t = element_of(&v->type);
	if (shape_of(&t).kind == K_VOID)
		return FAIL("%.60s: a pointer to void says nothing of what it points to; a cast does", g->arg->name);
	*v = (struct value){ .type = t, .lvalue = true };
	return 0;
}

/* ---- arithmetic */

static int below(struct st_generator *g, bool is_signed, unsigned int size)
{
	return gen(g, ST_OP_SWAP, 0, 0, 0) ?: gen(g, is_signed ? ST_OP_SEXT : ST_OP_ZEXT, (uint8_t)size, 0, 0) ?:
	       gen(g, ST_OP_SWAP, 0, 0, 0);
}

/* C 6.3.1.1: what is smaller than int becomes int. */
static struct type promoted(const struct type *t)
{
	struct shape s = shape_of(t);
	struct type r = { .builtin = true, .size = (uint8_t)s.size, .is_signed = s.is_signed };

	return s.size < 4 ? int_type : r;
}

/* C 6.3.1.8, for the integers there are: the larger one; unsigned if the one of that size is. */
static struct type common(const struct type *a, const struct type *b)
{
	struct type x = promoted(a), y = promoted(b);

	if (x.size != y.size)
		return x.size > y.size ? x : y;
	return x.is_signed ? y : x;
}

/* Both operands on the stack, of types @a and @b, become values of type @to. Extending the sign is done already. */
static int convert_both(struct st_generator *g, const struct type *a, const struct type *b, const struct type *to)
{
	int ret = 0;

	if (to->size >= 8 || to->is_signed)
		return 0;
	if (promoted(a).is_signed)
		ret = below(g, false, to->size);
	if (!ret && promoted(b).is_signed)
		ret = gen(g, ST_OP_ZEXT, to->size, 0, 0);
	return ret;
}

/* The integer on the stack counts things of this size. */
static int scale(struct st_generator *g, uint64_t size)
{
	struct st_op *last = g->arg->nops > g->fence ? &g->arg->op[g->arg->nops - 1] : NULL;

	if (last && last->op == ST_OP_IMM) {
		last->imm = (int64_t)((uint64_t)last->imm * size);
		return 0;
	}
	if (size == 1)
		return 0;
	return gen(g, ST_OP_IMM, 0, 0, (int64_t)size) ?: gen(g, ST_OP_MUL, 0, 0, 0);
}

static int pointee_size(struct st_generator *g, const struct type *pointer, uint64_t *size)
{
	struct type t = element_of(pointer);

	*size = size_of(&t);
	/* GNU C: void counts as one byte. */
	if (shape_of(&t).kind == K_VOID)
		*size = 1;
	return *size ? 0 : FAIL("%.60s: the size of what a pointer points to is not known", g->arg->name);
}

/* pointer + integer, which is on top: an address. A constant is added without an instruction of its own. */
static int add_to_pointer(struct st_generator *g, const struct type *pointer, bool minus)
{
	struct st_op *last;
	uint64_t size;
	int ret = pointee_size(g, pointer, &size);

	if (!ret)
		ret = scale(g, size);
	if (ret)
		return ret;
	last = g->arg->nops > g->fence ? &g->arg->op[g->arg->nops - 1] : NULL;
	if (last && last->op == ST_OP_IMM) {
		int64_t n = last->imm;

		g->arg->nops--;
		ret = gen(g, ST_OP_ADDI, 0, 0, minus ? -n : n);
	} else {
		ret = gen(g, minus ? ST_OP_SUB : ST_OP_ADD, 0, 0, 0);
	}
	return ret;
}

static int pointer_value(struct st_generator *g)
{
	return WORD == 8 ? 0 : gen(g, ST_OP_ZEXT, (uint8_t)WORD, 0, 0);
}

static int pointer_arithmetic(struct st_generator *g, uint16_t op, struct value *a, struct value *b)
{
	bool pa = shape_of(&a->type).kind == K_POINTER, pb = shape_of(&b->type).kind == K_POINTER;
	struct shape word = { .kind = K_INTEGER, .size = WORD, .is_signed = true };
	struct type pointer;
	uint64_t size;
	int ret;

	if (op == '-' && pa && pb) {
		pointer = a->type;
		ret = pointee_size(g, &pointer, &size) ?: gen(g, ST_OP_SUB, 0, 0, 0) ?: narrow(g, &word) ?:
		      gen(g, ST_OP_IMM, 0, 0, (int64_t)size) ?: gen(g, ST_OP_DIVS, 0, 0, 0);
		*a = (struct value){ .type = long_type, .in_register = true };
		return ret;
	}
	if ((op != '+' && op != '-') || (pa && pb) || (op == '-' && pb))
		return FAIL("%.60s: this can't be computed with a pointer", g->arg->name);
	ret = pb ? gen(g, ST_OP_SWAP, 0, 0, 0) : 0;
	pointer = pa ? a->type : b->type;
	*a = (struct value){ .type = pointer, .in_register = true };
	return ret ?: add_to_pointer(g, &pointer, op == '-') ?: pointer_value(g);
}

static int compare(struct st_generator *g, uint16_t op, bool is_signed, struct value *a)
{
	bool swap = (op & 0xff) == '>', or_equal = op >> 8 == '=';
	enum st_op_code code = is_signed ? (or_equal ? ST_OP_LES : ST_OP_LTS) : (or_equal ? ST_OP_LEU : ST_OP_LTU);
	int ret = swap ? gen(g, ST_OP_SWAP, 0, 0, 0) : 0;

	*a = (struct value){ .type = int_type, .in_register = true };
	if (op == ST_EXPR_OP('=', '='))
		code = ST_OP_EQ;
	else if (op == ST_EXPR_OP('!', '='))
		code = ST_OP_NE;
	return ret ? ret : gen(g, code, 0, 0, 0);
}

static bool is_comparison(uint16_t op)
{
	return op == '<' || op == '>' || op >> 8 == '=';
}

static int shift(struct st_generator *g, uint16_t op, struct value *a)
{
	struct type t = promoted(&a->type);
	struct shape s = shape_of(&t);
	enum st_op_code code = op == ST_EXPR_OP('<', '<') ? ST_OP_SHL : s.is_signed ? ST_OP_SAR : ST_OP_SHR;

	*a = (struct value){ .type = t, .in_register = true };
	return gen(g, code, 0, 0, 0) ?: narrow(g, &s);
}

static int binary(struct st_generator *g, uint16_t op, struct value *a, struct value *b)
{
	struct shape sa = shape_of(&a->type), sb = shape_of(&b->type), s;
	enum st_op_code code;
	struct type t;
	int ret;

	if (sa.kind == K_POINTER || sb.kind == K_POINTER)
		return is_comparison(op) ? compare(g, op, false, a) : pointer_arithmetic(g, op, a, b);
	if (op == ST_EXPR_OP('<', '<') || op == ST_EXPR_OP('>', '>'))
		return shift(g, op, a);
	t = common(&a->type, &b->type);
	s = shape_of(&t);
	ret = convert_both(g, &a->type, &b->type, &t);
	if (ret)
		return ret;
	if (is_comparison(op))
		return compare(g, op, s.is_signed, a);
	switch (op) {
	case '+':
		code = ST_OP_ADD;
		break;
	case '-':
		code = ST_OP_SUB;
		break;
	case '*':
		code = ST_OP_MUL;
		break;
	case '/':
		code = s.is_signed ? ST_OP_DIVS : ST_OP_DIVU;
		break;
	case '%':
		code = s.is_signed ? ST_OP_MODS : ST_OP_MODU;
		break;
	case '&':
		code = ST_OP_AND;
		break;
	case '|':
		code = ST_OP_OR;
		break;
	default:
		code = ST_OP_XOR;
	}
	*a = (struct value){ .type = t, .in_register = true };
	return gen(g, code, 0, 0, 0) ?: narrow(g, &s);
}

/* A number becomes 0 or 1. */
static int truth(struct st_generator *g)
{
	return gen(g, ST_OP_LNOT, 0, 0, 0) ?: gen(g, ST_OP_LNOT, 0, 0, 0);
}

/* && and ||: the right side is evaluated only if it matters. */
static int logic(struct st_generator *g, const struct st_expr_node *n, struct value *v)
{
	unsigned int jump;
	int ret = generate_value(g, n->a, v);

	if (!ret)
		ret = truth(g);
	jump = g->arg->nops;
	if (!ret)
		ret = gen(g, n->op == ST_EXPR_OP('&', '&') ? ST_OP_ANDIF : ST_OP_ORIF, 0, 0, 0);
	if (!ret)
		ret = generate_value(g, n->b, v);
	if (!ret)
		ret = truth(g);
	if (ret)
		return ret;
	g->arg->op[jump].index = (uint16_t)(g->arg->nops - jump - 1);
	g->fence = g->arg->nops;
	*v = (struct value){ .type = int_type, .in_register = true };
	return 0;
}

static int unary(struct st_generator *g, const struct st_expr_node *n, struct value *v)
{
	struct shape s;
	int ret = generate_value(g, n->a, v);

	if (ret)
		return ret;
	s = shape_of(&v->type);
	if (n->op == '!') {
		*v = (struct value){ .type = int_type, .in_register = true };
		return gen(g, ST_OP_LNOT, 0, 0, 0);
	}
	if (s.kind == K_POINTER)
		return FAIL("%.60s: this can't be computed with a pointer", g->arg->name);
	*v = (struct value){ .type = promoted(&v->type), .in_register = true };
	s = shape_of(&v->type);
	if (n->op == '+')
		return 0;
	return gen(g, n->op == '-' ? ST_OP_NEG : ST_OP_NOT, 0, 0, 0) ?: narrow(g, &s);
}

/* ---- casts */

/* One of C's own types, by its words. */
static bool builtin_type(const char *p, const char *end, struct type *t)
{
	int longs = 0, shorts = 0, chars = 0, ints = 0, is_unsigned = 0, is_signed = 0, bools = 0, voids = 0, words = 0;

	while (p < end) {
		size_t len = 0;

		while (p < end && *p == ' ')
			p++;
		while (p + len < end && p[len] != ' ' && p[len] != '\t')
			len++;
		if (!len)
			break;
#define IS(word) (len == strlen(word) && !memcmp(p, word, len))
		if (IS("const") || IS("volatile"))
			words--;
		else if (IS("unsigned"))
			is_unsigned++;
		else if (IS("signed"))
			is_signed++;
		else if (IS("char"))
			chars++;
		else if (IS("short"))
			shorts++;
		else if (IS("int"))
			ints++;
		else if (IS("long"))
			longs++;
		else if (IS("bool") || IS("_Bool"))
			bools++;
		else if (IS("void"))
			voids++;
		else
			return false;
#undef IS
		words++;
		p += len;
	}
	if (words < 1 || is_unsigned + is_signed > 1 || chars + shorts + bools + voids + !!longs > 1)
		return false;
	*t = (struct type){ .builtin = true, .is_void = voids, .is_bool = bools };
	t->size = (uint8_t)(chars || bools ? 1 : shorts ? 2 : longs > 1 ? 8 : longs ? sizeof(long) : voids ? 0 : 4);
	/* Plain char: signed on x86-64, unsigned on ARM and AArch64, as this program's own is. */
	t->is_signed = !bools && !voids && (chars && !is_signed ? !is_unsigned && (char)-1 < 0 : !is_unsigned);
	return true;
}

static int named_type(struct st_generator *g, const struct st_expr_node *n, struct type *t)
{
	static const struct {
		const char *word;
		int tag;
	} tags[] = { { "struct ", DW_TAG_structure_type }, { "union ", DW_TAG_union_type }, { "enum ", DW_TAG_enumeration_type } };
	const char *p = n->name, *end = n->name + n->len, *q;
	struct search s = { .is_it = is_complete_type };
	size_t i;

	if (!builtin_type(p, end, t)) {
		*t = (struct type){ 0 };
		while (end - p > 6 && (!memcmp(p, "const ", 6)))
			p += 6;
		for (i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
			size_t len = strlen(tags[i].word);

			if ((size_t)(end - p) > len && !memcmp(p, tags[i].word, len)) {
				s.tag = tags[i].tag;
				p += len;
			}
		}
		while (p < end && *p == ' ')
			p++;
		for (q = p; q < end && *q != ' '; q++)
			;
		s.name = p;
		s.len = (size_t)(q - p);
		if (!search_all(g, &s))
			return st_gen_fail(g, -ENOENT, "there is no type named %.*s in the debug information", n->len > 80 ? 80 : (int)n->len,
					   n->name);
		t->die = s.found;
	}
	t->stars = n->stars;
	return 0;
}

static int cast(struct st_generator *g, const struct st_expr_node *n, struct value *v)
{
	struct shape s;
	struct type t;
	int ret = named_type(g, n, &t) ?: generate_value(g, n->a, v);

	if (ret)
		return ret;
	s = shape_of(&t);
	*v = (struct value){ .type = t, .in_register = true };
	if (s.kind == K_POINTER)
		return pointer_value(g);
	if (s.kind != K_INTEGER)
		return FAIL("%.60s: a value becomes an integer or a pointer by a cast, nothing else", g->arg->name);
	return s.is_bool ? truth(g) : narrow(g, &s);
}

static int size_operator(struct st_generator *g, const struct st_expr_node *n, struct value *v)
{
	unsigned int ops = g->arg->nops;
	struct type t;
	uint64_t size;
	int ret;

	if (n->a) {
		g->unevaluated++;
		ret = generate(g, n->a, v);
		g->unevaluated--;
		g->arg->nops = ops;
		t = v->type;
		if (ret && n->name)
			ret = named_type(g, n, &t);
		else if (!ret && v->bits)
			return FAIL("%.60s: a bit-field has no size", g->arg->name);
	} else {
		ret = named_type(g, n, &t);
	}
	if (ret)
		return ret;
	size = size_of(&t);
	*v = (struct value){ .type = ulong_type, .in_register = true };
	return size ? gen(g, ST_OP_IMM, 0, 0, (int64_t)size) : FAIL("%.60s: this has no size", g->arg->name);
}

/* ---- the tree */

static int address_of(struct st_generator *g, const struct st_expr_node *n, struct value *v)
{
	int ret = generate(g, n->a, v);

	if (ret)
		return ret;
	if (!v->lvalue || v->bits)
		return FAIL("%.60s: %s has no address", g->arg->name, v->bits ? "a bit-field" : "what is in a register");
	*v = (struct value){ .type = pointer_to(v->type), .in_register = true };
	return pointer_value(g);
}

static int index_of(struct st_generator *g, const struct st_expr_node *n, struct value *v)
{
	struct value i;
	struct type pointer;
	int ret = generate_value(g, n->a, v) ?: generate_value(g, n->b, &i);

	if (ret)
		return ret;
	if (shape_of(&v->type).kind != K_POINTER || shape_of(&i.type).kind != K_INTEGER)
		return FAIL("%.60s: what is indexed is no array and no pointer, or the index is no number", g->arg->name);
	pointer = v->type;
	return add_to_pointer(g, &pointer, false) ?: dereference(g, v) ?: follow_reference(g, v);
}

static int generate(struct st_generator *g, unsigned int node, struct value *v)
{
	const struct st_expr_node *n = &g->expr->node[node];
	struct value right;
	int ret;

	switch (n->kind) {
	case ST_EXPR_NUMBER:
		*v = (struct value){ .in_register = true };
		v->type = n->value <= INT32_MAX ? int_type : long_type;
		if (n->op || n->value > INT64_MAX)
			v->type = n->value <= UINT32_MAX ? (struct type){ .builtin = true, .size = 4 } :
							   (struct type){ .builtin = true, .size = 8 };
		else if (n->value > INT32_MAX)
			v->type.size = 8;
		return gen(g, ST_OP_IMM, 0, 0, (int64_t)n->value);
	case ST_EXPR_NAME:
		return use_name(g, n, v);
	case ST_EXPR_VARIABLE:
		return use_variable_word(g, n, v);
	case ST_EXPR_MEMBER:
		return generate(g, n->a, v) ?: use_member(g, n, v);
	case ST_EXPR_ARROW:
		return generate_value(g, n->a, v) ?: dereference(g, v) ?: use_member(g, n, v);
	case ST_EXPR_DEREF:
		return generate_value(g, n->a, v) ?: dereference(g, v) ?: follow_reference(g, v);
	case ST_EXPR_INDEX:
		return index_of(g, n, v);
	case ST_EXPR_ADDRESS:
		return address_of(g, n, v);
	case ST_EXPR_UNARY:
		return unary(g, n, v);
	case ST_EXPR_CAST:
		return cast(g, n, v);
	case ST_EXPR_SIZEOF:
		return size_operator(g, n, v);
	default:
		if (n->op == ST_EXPR_OP('&', '&') || n->op == ST_EXPR_OP('|', '|'))
			return logic(g, n, v);
		ret = generate_value(g, n->a, v) ?: generate_value(g, n->b, &right);
		return ret ? ret : binary(g, n->op, v, &right);
	}
}

/* ---- the result, as a probe's value */

/* An array without a type in the text: text if it is one of characters, else its numbers. */
static int show_array(struct st_generator *g, struct value *v)
{
	struct st_spec_arg *arg = g->arg;
	struct shape s = shape_of(&v->type), element;
	struct type e = element_of(&v->type);
	unsigned int dims;
	uint64_t count = array_count(&s.die, v->type.dim, &dims);

	element = shape_of(&e);
	if (element.is_char) {
		arg->show = ST_SHOW_STRING;
		arg->fetch.type = ST_TYPE_STRING;
		arg->fetch.limit = (uint8_t)(count && count < ST_STRING_MAX ? count : ST_STRING_MAX);
		return 0;
	}
	if ((element.kind != K_INTEGER && element.kind != K_POINTER) || !count)
		return FAIL("%.60s is an array; name an element of it", arg->name);
	arg->array = true;
	arg->show = element.kind == K_POINTER ? ST_SHOW_HEX : element.is_signed ? ST_SHOW_SIGNED : ST_SHOW_UNSIGNED;
	arg->fetch.type = ST_TYPE_ARRAY;
	arg->fetch.size = (uint8_t)element.size;
	arg->fetch.count = (uint16_t)(count > ST_SPEC_ARRAY_MAX ? ST_SPEC_ARRAY_MAX : count);
	return 0;
}

/* The text gives no type: that of the expression. */
static int show_default(struct st_generator *g, struct value *v)
{
	struct st_spec_arg *arg = g->arg;
	struct shape s = shape_of(&v->type);
	int ret;

	if (s.kind == K_ARRAY && v->lvalue)
		return show_array(g, v);
	ret = load(g, v);
	if (ret)
		return ret;
	s = shape_of(&v->type);
	arg->fetch.size = (uint8_t)s.size;
	arg->show = s.kind == K_POINTER ? ST_SHOW_HEX : s.is_signed ? ST_SHOW_SIGNED : ST_SHOW_UNSIGNED;
	return 0;
}

/* An address of something that the text's type says of what it consists. */
static int show_memory(struct st_generator *g, struct value *v)
{
	struct st_spec_arg *arg = g->arg;
	struct shape s = shape_of(&v->type);
	uint64_t size;

	if (s.kind == K_ARRAY && v->lvalue) {
		size = size_of(&v->type);
		if (arg->fetch.type == ST_TYPE_STRING && size && size < ST_STRING_MAX)
			arg->fetch.limit = (uint8_t)size;
		return 0;
	}
	if (arg->fetch.type != ST_TYPE_STRING && s.kind != K_POINTER)
		return FAIL("%.60s is no array and no pointer to one", arg->name);
	return load(g, v);
}

/* The type of the text, for a single value. */
static int show_word(struct st_generator *g, struct value *v)
{
	struct shape s = shape_of(&v->type);

	if (s.kind == K_ARRAY)
		return FAIL("%.60s is an array; give it a type like u8[4], or name an element of it", g->arg->name);
	/* The bits of a number that can't be computed with. */
	if (s.kind == K_FLOAT && v->lvalue && g->arg->fetch.size <= s.size)
		return gen(g, ST_OP_LOAD, g->arg->fetch.size, 0, 0);
	return load(g, v);
}

/* The last instruction cuts off what the record's size cuts off as well. */
static void drop_extension(struct st_spec_arg *arg, unsigned int fence)
{
	struct st_op *last = arg->nops > fence ? &arg->op[arg->nops - 1] : NULL;

	if (last && arg->fetch.type == ST_TYPE_WORD && !arg->bits && arg->nops > 1 &&
	    (last->op == ST_OP_ZEXT || last->op == ST_OP_SEXT) && last->size >= arg->fetch.size)
		arg->nops--;
}

static int show(struct st_generator *g, struct value *v)
{
	struct st_spec_arg *arg = g->arg;
	int ret;

	if (!arg->typed)
		ret = show_default(g, v);
	else if (arg->fetch.type == ST_TYPE_WORD)
		ret = show_word(g, v);
	else
		ret = show_memory(g, v);
	if (ret)
		return ret;
	drop_extension(arg, g->fence);
	return st_spec_finish(arg, st_spec_native, false) ? FAIL("%.60s is too complicated", arg->name) : 0;
}

/* ---- the function */

/* The function, or the nested function, whose code holds an address. */
static bool find_function(Dwarf_Die *parent, Dwarf_Addr pc, Dwarf_Die *found, int depth)
{
	Dwarf_Die die;

	if (depth == SCOPES_MAX || dwarf_child(parent, &die))
		return false;
	do {
		switch (dwarf_tag(&die)) {
		case DW_TAG_subprogram:
			if (dwarf_haspc(&die, pc) > 0) {
				*found = die;
				find_function(&die, pc, found, depth + 1);
				return true;
			}
			/* A nested function lies elsewhere than the one that it is in. */
			/* fallthrough */
		case DW_TAG_lexical_block:
		case DW_TAG_namespace:
		case DW_TAG_structure_type:
		case DW_TAG_class_type:
			if (find_function(&die, pc, found, depth + 1))
				return true;
		}
	} while (!dwarf_siblingof(&die, &die));
	return false;
}

static bool find_unit(struct st_generator *g)
{
	Dwarf_Off off = 0;

	while (next_unit(g->dw->dbg, &off, &g->unit))
		if (dwarf_haspc(&g->unit, g->pc) != 0 && find_function(&g->unit, g->pc, &g->function, 0))
			return true;
	return false;
}

/* Where the frame is set up, as debuggers do it: the second line of the line table, or where it says so. */
static Dwarf_Addr find_body(struct st_generator *g)
{
	Dwarf_Addr *at = NULL, body = 0;
	int n = dwarf_entry_breakpoints(&g->function, &at), i;

	for (i = 0; i < n; i++)
		if (at[i] > g->entry && (!body || at[i] < body))
			body = at[i];
	free(at);
	return body;
}

int st_dwarf_value(struct st_dwarf *dw, unsigned long func, unsigned long pc, const struct st_spec *spec,
		   const struct st_expr *expr, struct st_spec_arg *arg, char err[ST_ERR_MAX])
{
	struct st_generator gen = { .dw = dw, .spec = spec, .expr = expr, .arg = arg, .err = err }, *g = &gen;
	struct value v;
	int ret;

	g->pc = pc - dw->obj->bias;
	if (!find_unit(g))
		return st_gen_fail(g, -ENOENT, "the debug information of %.60s does not have the function at 0x%lx", dw->obj->name,
				   func - dw->obj->bias);
	if (dwarf_entrypc(&g->function, &g->entry))
		g->entry = func - dw->obj->bias;
	g->body = find_body(g);
	arg->nops = 0;
	ret = generate(g, expr->root, &v);
	return ret ? ret : show(g, &v);
}
