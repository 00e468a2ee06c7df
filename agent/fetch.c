// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The machine that runs a probe's programs in the target (agent/fetch.h), and the reading of memory that may not be there.
 *
 * General registers only, no libc, no lock; async-signal-safe. A program is at most ST_CODE_MAX instructions and jumps
 * forward only, so that it ends.
 */
#include <agent/hit.h>
#include <engine/syscall.h>
#include <engine/thread.h>

#define PAGE 4096ul	/* the smallest there is: larger ones are whole numbers of it */
#define PR_GET_NAME 16
#define COMM_SIZE 16

struct iov {
	unsigned long base, len;
};

/*
 * Is [addr, addr + len) on the page that the stack pointer is on? That page is mapped: the caller's
 * frame, or the return address, lies on it. On ARM and AArch64 nothing needs to lie at sp itself,
 * so a page that begins there is not known to be mapped.
 */
static inline bool on_stack_page(const struct st_agent_hit *hit, unsigned long addr, unsigned long len)
{
#if defined(__x86_64__)
	unsigned long known = hit->sp;
#else
	unsigned long known = hit->sp - 1;
#endif
	unsigned long end = (known | (PAGE - 1)) + 1;

	return addr >= hit->sp && addr < end && len <= end - addr;
}

static inline void copy(uint8_t *to, unsigned long from, unsigned long len)
{
	unsigned long i;

	for (i = 0; i < len; i++)
		to[i] = *(volatile const uint8_t *)(from + i);
}

/*
 * Read memory that may not be there. Returns the bytes that could be read: what lies up to the end
 * of a page is taken also if the next page is missing (a string may end there).
 */
static unsigned long read_memory(const struct st_agent_hit *hit, void *to, unsigned long addr,
				 unsigned long len)
{
	struct iov local = { (unsigned long)to, len };
	struct iov remote[2] = { { addr, len }, { 0, 0 } };
	unsigned long first = PAGE - (addr & (PAGE - 1));
	long n;

	if (on_stack_page(hit, addr, len)) {
		copy(to, addr, len);
		return len;
	}
	if (hit->ctl->no_syscalls)
		return 0;
	/* process_vm_readv(2): a transfer may be partial between elements, never within one. */
	if (first < len) {
		remote[0].len = first;
		remote[1].base = addr + first;
		remote[1].len = len - first;
	}
	/* Any thread's id names the process's memory. */
	n = st_syscall6(__NR_process_vm_readv, hit->tid, (long)&local, 1, (long)remote,
			first < len ? 2 : 1, 0);
	return n < 0 ? 0 : (unsigned long)n;
}

/* The text at an address, without its NUL. Returns its length, or -1 if there is none. */
static int read_text(const struct st_agent_hit *hit, uint8_t *to, unsigned long addr, unsigned int limit)
{
	unsigned long len = read_memory(hit, to, addr, limit), i;

	if (!len && limit)
		return -1;
	for (i = 0; i < len && to[i]; i++)
		;
	return (int)i;
}

static inline uint64_t keep(uint64_t v, unsigned int bits)
{
	return bits < 64 ? v & ((1ull << bits) - 1) : v;
}

static inline uint64_t extend(uint64_t v, unsigned int bits)
{
	return bits && bits < 64 ? (uint64_t)((int64_t)(v << (64 - bits)) >> (64 - bits)) : v;
}

/* Little endian, as all our architectures are. */
static inline uint64_t word_at(const uint8_t *p, unsigned int size)
{
	uint64_t v = 0;

	while (size-- > 0)
		v = v << 8 | p[size];
	return v;
}

#if defined(__arm__)
/* There is no 64-bit division without libgcc. */
static void divide(uint64_t n, uint64_t d, uint64_t *quotient, uint64_t *rest)
{
	uint64_t q = 0, r = 0;
	int i;

	for (i = 63; i >= 0; i--) {
		r = r << 1 | (n >> i & 1);
		if (r >= d) {
			r -= d;
			q |= 1ull << i;
		}
	}
	*quotient = q;
	*rest = r;
}
#else
static inline void divide(uint64_t n, uint64_t d, uint64_t *quotient, uint64_t *rest)
{
	*quotient = n / d;
	*rest = n % d;
}
#endif

/* C's: rounds towards zero, the remainder has the sign of the dividend. Without the trap of the smallest number by -1. */
static uint64_t division(unsigned int op, uint64_t n, uint64_t d)
{
	bool is_signed = op == ST_OP_DIVS || op == ST_OP_MODS;
	bool minus_n = is_signed && (int64_t)n < 0, minus_d = is_signed && (int64_t)d < 0;
	uint64_t q, r;

	divide(minus_n ? -n : n, minus_d ? -d : d, &q, &r);
	if (op == ST_OP_MODU || op == ST_OP_MODS)
		return minus_n ? -r : r;
	return minus_n != minus_d ? -q : q;
}

/* A character of a pattern; 0 behind its end. */
static inline uint8_t pattern_at(const struct st_agent_hit *hit, unsigned int at)
{
	return at < ST_TEXT_MAX ? (uint8_t)*(volatile const char *)&hit->code->text[at] : 0;
}

/* Does c match the one element of a pattern at *at? Sets *at behind it. [ ] is a class, \ takes a character as it is. */
static bool match_one(const struct st_agent_hit *hit, unsigned int *at, uint8_t c)
{
	uint8_t p = pattern_at(hit, (*at)++), lo, hi;
	bool in = false, not;
	unsigned int i = *at;

	if (p == '?')
		return true;
	if (p == '\\' && pattern_at(hit, *at))
		return pattern_at(hit, (*at)++) == c;
	if (p != '[')
		return p == c;
	not = pattern_at(hit, i) == '!' || pattern_at(hit, i) == '^';
	i += not;
	do {
		lo = hi = pattern_at(hit, i++);
		if (!lo)
			return c == '[';	/* a class without an end: a character */
		if (pattern_at(hit, i) == '-' && pattern_at(hit, i + 1) && pattern_at(hit, i + 1) != ']') {
			hi = pattern_at(hit, i + 1);
			i += 2;
		}
		in |= lo <= c && c <= hi;
	} while (pattern_at(hit, i) != ']');
	*at = i + 1;
	return in != not;
}

static bool match(const struct st_agent_hit *hit, unsigned int pattern, const uint8_t *text, int len)
{
	unsigned int p = pattern, again = 0, next;
	bool star = false;
	int i = 0, from = 0;

	while (i < len) {
		if (pattern_at(hit, p) == '*') {
			star = true;
			again = ++p;
			from = i;
			continue;
		}
		next = p;
		if (pattern_at(hit, p) && match_one(hit, &next, text[i])) {
			p = next;
			i++;
		} else if (star) {
			p = again;
			i = ++from;
		} else {
			return false;
		}
	}
	while (pattern_at(hit, p) == '*')
		p++;
	return !pattern_at(hit, p);
}

/* b OP a */
static bool binary(unsigned int op, uint64_t b, uint64_t a, uint64_t *v)
{
	switch (op) {
	case ST_OP_ADD:
		*v = b + a;
		return true;
	case ST_OP_SUB:
		*v = b - a;
		return true;
	case ST_OP_MUL:
		*v = b * a;
		return true;
	case ST_OP_DIVU:
	case ST_OP_DIVS:
	case ST_OP_MODU:
	case ST_OP_MODS:
		if (!a)
			return false;
		*v = division(op, b, a);
		return true;
	case ST_OP_AND:
		*v = b & a;
		return true;
	case ST_OP_OR:
		*v = b | a;
		return true;
	case ST_OP_XOR:
		*v = b ^ a;
		return true;
	case ST_OP_SHL:
		*v = a < 64 ? b << a : 0;
		return true;
	case ST_OP_SHR:
		*v = a < 64 ? b >> a : 0;
		return true;
	case ST_OP_SAR:
		*v = (uint64_t)((int64_t)b >> (a < 64 ? a : 63));
		return true;
	case ST_OP_EQ:
		*v = b == a;
		return true;
	case ST_OP_NE:
		*v = b != a;
		return true;
	case ST_OP_LTU:
		*v = b < a;
		return true;
	case ST_OP_LEU:
		*v = b <= a;
		return true;
	case ST_OP_LTS:
		*v = (int64_t)b < (int64_t)a;
		return true;
	case ST_OP_LES:
		*v = (int64_t)b <= (int64_t)a;
		return true;
	default:
		return false;
	}
}

/* What takes one value and gives one. */
static bool unary(const struct st_agent_hit *hit, const struct st_op *op, uint64_t *v)
{
	uint8_t buf[ST_STRING_MAX + 1];
	unsigned int size = op->size;
	int len;

	switch (op->op) {
	case ST_OP_LOAD:
		if (size > 8 || read_memory(hit, buf, (unsigned long)(*v + (uint64_t)op->imm), size) != size)
			return false;
		*v = word_at(buf, size);
		return true;
	case ST_OP_ADDI:
		*v += (uint64_t)op->imm;
		return true;
	case ST_OP_ZEXT:
		*v = keep(*v, size * 8);
		return true;
	case ST_OP_SEXT:
		*v = extend(*v, size * 8);
		return true;
	case ST_OP_BITS:
	case ST_OP_SBITS:
		if (op->index > 63)
			return false;
		*v >>= op->index;
		*v = op->op == ST_OP_BITS ? keep(*v, size) : extend(*v, size);
		return true;
	case ST_OP_NEG:
		*v = -*v;
		return true;
	case ST_OP_NOT:
		*v = ~*v;
		return true;
	case ST_OP_LNOT:
		*v = !*v;
		return true;
	case ST_OP_MATCH:
		len = read_text(hit, buf, (unsigned long)*v, size);
		*v = len >= 0 && match(hit, op->index, buf, len);
		return len >= 0;
	default:
		return false;
	}
}

static bool thread_name_matches(const struct st_agent_hit *hit, unsigned int pattern, uint64_t *v)
{
	uint8_t name[COMM_SIZE];
	int len;

	if (hit->ctl->no_syscalls || st_syscall2(__NR_prctl, PR_GET_NAME, name))
		return false;
	for (len = 0; len < COMM_SIZE && name[len]; len++)
		;
	*v = match(hit, pattern, name, len);
	return true;
}

/* What takes nothing and gives a value. */
static bool push(const struct st_agent_hit *hit, const struct st_op *op, uint64_t *v)
{
	switch (op->op) {
	case ST_OP_IMM:
		*v = (uint64_t)op->imm;
		return true;
	case ST_OP_REG:
		if (op->index >= sizeof(struct st_regs) / sizeof(long))
			return false;
		*v = hit->regs[op->index];
		return true;
	case ST_OP_TP:
		*v = st_thread_pointer() + (unsigned long)op->imm;
		return true;
	case ST_OP_TID:
		*v = (uint32_t)hit->tid;
		return true;
	case ST_OP_CPU:
		*v = hit->cpu;
		return hit->cpu != ST_CPU_UNKNOWN;
	case ST_OP_COMM:
		return thread_name_matches(hit, op->index, v);
	default:
		return false;
	}
}

bool st_fetch_run(const struct st_agent_hit *hit, struct st_program program, uint64_t *value)
{
	uint32_t pc = program.first, end = pc + program.ops;
	uint64_t stack[ST_STACK_MAX];
	unsigned int n = 0;

	if (end > ST_CODE_MAX)
		return false;
	for (; pc < end; pc++) {
		const struct st_op *op = &hit->code->op[pc];
		unsigned int code = op->op;
		uint64_t v;

		if (code <= ST_OP_CPU || code == ST_OP_COMM) {
			if (n == ST_STACK_MAX || !push(hit, op, &stack[n]))
				return false;
			n++;
			continue;
		}
		if (!n)
			return false;
		if (code >= ST_OP_ADD && code <= ST_OP_LES) {
			if (n < 2 || !binary(code, stack[n - 2], stack[n - 1], &stack[n - 2]))
				return false;
			n--;
			continue;
		}
		switch (code) {
		case ST_OP_DUP:
		case ST_OP_PICK:
			v = code == ST_OP_DUP ? 0 : op->index;
			if (n == ST_STACK_MAX || v >= n)
				return false;
			stack[n] = stack[n - 1 - v];
			n++;
			break;
		case ST_OP_DROP:
			n--;
			break;
		case ST_OP_SWAP:
			if (n < 2)
				return false;
			v = stack[n - 1];
			stack[n - 1] = stack[n - 2];
			stack[n - 2] = v;
			break;
		case ST_OP_ANDIF:
		case ST_OP_ORIF:
			if (!stack[n - 1] == (code == ST_OP_ANDIF))
				pc += op->index;
			else
				n--;
			break;
		default:
			if (!unary(hit, op, &stack[n - 1]))
				return false;
		}
	}
	if (n != 1)
		return false;
	*value = stack[0];
	return true;
}

/* A text into the record. Returns the bytes it took, 0 if there is none. */
static uint32_t record_text(const struct st_agent_hit *hit, uint8_t *out, unsigned long addr, unsigned int limit)
{
	int len = read_text(hit, out + 2, addr, limit);
	uint32_t i, room;

	if (len < 0)
		return 0;
	*(uint16_t *)out = (uint16_t)len;
	room = (2 + (uint32_t)len + 7) & ~7u;
	for (i = 2 + (uint32_t)len; i < room; i++)
		((volatile uint8_t *)out)[i] = 0;
	return room;
}

/* An array of pointers to texts. One that can't be read is a fault of its own. */
static uint32_t record_texts(const struct st_agent_hit *hit, const struct st_fetch *f, uint8_t *out, unsigned long addr)
{
	uint32_t used = 0, i, len, count = f->count;

	for (i = 0; i < count; i++) {
		unsigned long text = 0;

		len = 0;
		if (read_memory(hit, &text, addr + i * sizeof(text), sizeof(text)) == sizeof(text))
			len = record_text(hit, out + used, text, f->limit);
		if (!len) {
			*(volatile uint64_t *)(out + used) = ST_STRING_FAULT;
			len = 8;
		}
		used += len;
	}
	return used;
}

uint32_t st_fetch_value(const struct st_agent_hit *hit, const struct st_fetch *f, uint8_t *out, bool *fault)
{
	uint32_t count = f->count, size = f->size, i, len;
	uint64_t value = 0, *val = (uint64_t *)out;

	*fault = false;
	if (f->base == ST_FETCH_REG)
		value = f->index < sizeof(struct st_regs) / sizeof(long) ? hit->regs[f->index] : 0;
	else if (f->base == ST_FETCH_PROGRAM && !st_fetch_run(hit, f->program, &value))
		goto fault;

	switch (f->type) {
	case ST_TYPE_STRINGS:
		return record_texts(hit, f, out, (unsigned long)value);
	case ST_TYPE_STRING:
		len = record_text(hit, out, (unsigned long)value, f->limit);
		if (!len)
			goto fault;
		return len;
	case ST_TYPE_ARRAY:
		len = count * size;
		if (size > 8 || read_memory(hit, out, (unsigned long)value, len) != len)
			goto fault;
		/* It arrived packed: widen it in place, from its end. */
		for (i = count; i-- > 0;)
			val[i] = word_at(out + i * size, size);
		return count * 8;
	default:
		*val = value & f->mask;
		return 8;
	}

fault:
	*fault = true;
	if (f->type == ST_TYPE_STRINGS) {
		for (i = 0; i < count; i++)
			((volatile uint64_t *)val)[i] = ST_STRING_FAULT;
		return count * 8;
	}
	if (f->type != ST_TYPE_ARRAY)
		count = 1;
	for (i = 0; i < count; i++)
		((volatile uint64_t *)val)[i] = 0;
	return count * 8;
}
