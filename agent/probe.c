// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The probe recorder: the hook that runs in the target at every hit of a probe, and writes a record
 * into the ring.
 *
 * Runs in any thread and any signal handler, whatever the program was doing: general registers
 * only, no libc, no lock, no allocation, no wait. Memory is read through the kernel, so that a bad
 * pointer is a fault bit and not a signal. A signal handler that is hit while its thread writes a
 * record reserves its own space: each record is one thread's alone between its reservation and its
 * commit.
 */
#include <agent/clock.h>
#include <agent/ctl.h>
#include <agent/home.h>
#include <agent/probe.h>
#include <engine/syscall.h>

#define PAGE 4096ul	/* the smallest there is: larger ones are whole numbers of it */
#define CPU_UNKNOWN 0xffff
#define FILLER 0xffff
#define RING_MASK (ST_RING_SIZE - 1)
/* Ring space of a string: 2 bytes of length and the text, padded. */
#define STRING_ROOM ((2 + ST_STRING_MAX + 7) & ~7u)

_Static_assert((ST_RING_SIZE & RING_MASK) == 0, "positions are taken modulo the ring's size");
_Static_assert(offsetof(struct st_ring, data) % 8 == 0, "records are 8-byte aligned");
_Static_assert(sizeof(struct st_rec) % 8 == 0, "so are the values behind the header");

struct st_ctl *st_agent_ctl;

struct iov {
	unsigned long base, len;
};

/* What a hit knows about itself. */
struct hit {
	struct st_ctl *ctl;
	const unsigned long *regs;	/* struct st_regs as words */
	unsigned long sp;
	int tid;
};

/* The 32 bits at an offset from the thread pointer. */
static inline uint32_t thread_word(int64_t offset)
{
#if defined(__x86_64__)
	uint32_t v;

	asm volatile("movl %%fs:(%1), %0" : "=r"(v) : "r"(offset));
	return v;
#else
	unsigned long tp;

#if defined(__aarch64__)
	asm volatile("mrs %0, tpidr_el0" : "=r"(tp));
#else
	asm volatile("mrc p15, 0, %0, c13, c0, 3" : "=r"(tp));	/* TPIDRURO */
#endif
	return *(volatile uint32_t *)(tp + (unsigned long)offset);
#endif
}

static inline int thread_id(const struct st_ctl *ctl)
{
	if (ctl->tid_offset)
		return (int)thread_word(ctl->tid_offset);
	if (ctl->no_syscalls)
		return 0;
	return (int)st_syscall6(__NR_gettid, 0, 0, 0, 0, 0, 0);
}

static inline uint16_t this_cpu(const struct st_ctl *ctl)
{
	uint32_t cpu;

	if (!ctl->rseq_offset)
		return CPU_UNKNOWN;
	cpu = thread_word(ctl->rseq_offset + 4); /* struct rseq, cpu_id; negative: not registered */
	return cpu < CPU_UNKNOWN ? (uint16_t)cpu : CPU_UNKNOWN;
}

static inline uint64_t now(const struct st_ctl *ctl)
{
	return ST_CLOCK_IS_NS && ctl->no_syscalls ? 0 : st_agent_clock();
}

/*
 * Is [addr, addr + len) on the page that the stack pointer is on? That page is mapped: the caller's
 * frame, or the return address, lies on it. On ARM and AArch64 nothing needs to lie at sp itself,
 * so a page that begins there is not known to be mapped.
 */
static inline bool on_stack_page(const struct hit *hit, unsigned long addr, unsigned long len)
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
static unsigned long read_memory(const struct hit *hit, void *to, unsigned long addr,
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

/* Where the fetcharg starts: a value, or the address of one. */
static inline uint64_t fetch_base(const struct hit *hit, const struct st_fetch *f)
{
	switch (f->base) {
	case ST_FETCH_REG:
		return f->index < sizeof(struct st_regs) / sizeof(long) ? hit->regs[f->index] : 0;
	case ST_FETCH_STACK:
		/* An address: read as one more dereference would be. */
		return hit->sp + f->index * sizeof(long);
	default:
		return (uint64_t)f->imm;
	}
}

/* Space that the value of a fetcharg may take. */
static inline uint32_t fetch_room(const struct st_fetch *f)
{
	return f->type == ST_TYPE_STRING ? STRING_ROOM : f->count * 8u;
}

/*
 * Evaluate one fetcharg into the record. Returns the space it took, a multiple of 8; sets *fault if
 * it could not be read (the value is then 0, or the empty string).
 */
static uint32_t fetch(const struct hit *hit, const struct st_fetch *f, uint8_t *out, bool *fault)
{
	unsigned int size = f->size, derefs = f->derefs, i;
	uint64_t *val = (uint64_t *)out;
	uint64_t base = fetch_base(hit, f);
	unsigned long addr = (unsigned long)base;
	bool memory = derefs > 0;
	uint32_t len, room;

	*fault = false;
	/*
	 * A word of the stack is the value: the last dereference, unless there are others behind
	 * it.
	 */
	if (f->base == ST_FETCH_STACK) {
		memory = true;
		if (derefs || f->type == ST_TYPE_STRING) {
			unsigned long word = 0;

			if (read_memory(hit, &word, addr, sizeof(word)) != sizeof(word))
				goto fault;
			addr = word;
		}
	}
	for (i = 0; i < derefs; i++) {
		unsigned long word = 0;

		addr += (unsigned long)f->offs[i];
		if (i + 1 == derefs)
			break;
		if (read_memory(hit, &word, addr, sizeof(word)) != sizeof(word))
			goto fault;
		addr = word;
	}

	if (f->type == ST_TYPE_STRING) {
		uint8_t *text = out + 2;

		len = (uint32_t)read_memory(hit, text, addr, ST_STRING_MAX);
		if (!len)
			goto fault;
		for (i = 0; i < len && text[i]; i++)
			;
		*(uint16_t *)out = (uint16_t)i;
		room = (2 + i + 7) & ~7u;
		for (i += 2; i < room; i++)
			((volatile uint8_t *)out)[i] = 0;
		return room;
	}

	if (!memory) {
		*val = size == 8 ? base : base & ((1ull << size * 8) - 1);
		return f->count * 8u;
	}
	*val = 0;
	len = f->count * size;
	if (read_memory(hit, out, addr, len) != len)
		goto fault;
	/* An array arrived packed: widen it in place, from its end. */
	for (i = f->count; i-- > 0;) {
		uint64_t v = 0;
		unsigned int b;

		for (b = size; b-- > 0;)
			v = v << 8 | out[i * size + b];
		val[i] = v;
	}
	return f->count * 8u;

fault:
	*fault = true;
	if (f->type == ST_TYPE_STRING) {
		*val = 0;
		return 8;
	}
	for (i = 0; i < f->count; i++)
		((volatile uint64_t *)val)[i] = 0;
	return f->count * 8u;
}

static inline void filler(struct st_ring *ring, uint32_t pos, uint32_t size)
{
	struct st_rec *rec = (struct st_rec *)(ring->data + pos);

	rec->probe = FILLER;
	__atomic_store_n(&rec->size, size, __ATOMIC_RELEASE);
}

/* Take `size` bytes of the ring, in one piece. Returns NULL when it is full. */
static struct st_rec *reserve(struct st_ring *ring, uint32_t size)
{
	uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_RELAXED);
	uint32_t pos, skip;

	do {
		/* Pairs with the tool's release of tail: what it gave back it has zeroed before. */
		uint64_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);

		pos = (uint32_t)head & RING_MASK;
		skip = pos + size > ST_RING_SIZE ? ST_RING_SIZE - pos : 0;
		/* A stale head that is behind tail only makes the compare-and-swap fail. */
		if ((int64_t)(head + skip + size - tail) > (int64_t)ST_RING_SIZE)
			return NULL;
	} while (!__atomic_compare_exchange_n(&ring->head, &head, head + skip + size, true,
					      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	if (skip) {
		filler(ring, pos, skip);
		pos = 0;
	}
	return (struct st_rec *)(ring->data + pos);
}

void st_agent_probe(struct st_hook *h, struct st_regs *regs, unsigned long ip,
		    unsigned long parent_ip)
{
	struct st_ctl_probe *probe = h->data;
	struct st_ctl *ctl = st_agent_ctl;
	uint32_t n = probe->fetches, room = sizeof(struct st_rec), used = sizeof(struct st_rec),
		 faults = 0, i;
	uint32_t pid = st_agent_process(ctl);
	struct st_rec *rec;
	struct hit hit;

	if (__builtin_expect(probe->state != ST_PROBE_ON, 0))
		return;
	/* In a forked child that nobody follows. */
	if (__builtin_expect(pid != ctl->pid, 0) && !(probe->flags & ST_PROBE_CHILDREN))
		return;
	__atomic_fetch_add(&probe->hits, 1, __ATOMIC_RELAXED);
	if (probe->flags & ST_PROBE_COUNT_ONLY)
		return;
	if (n > ST_FETCH_MAX)
		n = ST_FETCH_MAX;
	for (i = 0; i < n; i++)
		room += fetch_room(&probe->fetch[i]);
	rec = reserve(&ctl->ring, room);
	if (!rec) {
		__atomic_fetch_add(&ctl->ring.lost, 1, __ATOMIC_RELAXED);
		return;
	}

	hit.ctl = ctl;
	hit.regs = (const unsigned long *)regs;
	hit.sp = st_regs_sp(regs);
	hit.tid = thread_id(ctl);
	rec->probe = (uint16_t)(probe - ctl->probe_rec);
	rec->cpu = this_cpu(ctl);
	rec->tid = (uint32_t)hit.tid;
	rec->pid = pid;
	rec->time = now(ctl);
	rec->ip = ip;
	rec->parent = parent_ip;
	for (i = 0; i < n; i++) {
		bool fault;

		used += fetch(&hit, &probe->fetch[i], (uint8_t *)rec + used, &fault);
		if (fault)
			faults |= ST_REC_FAULT_BIT(i);
	}
	rec->faults = faults;
	/*
	 * What strings left over becomes a filler, complete before the record in front of it can be
	 * seen.
	 */
	if (used < room)
		filler(&ctl->ring, (uint32_t)((uint8_t *)rec - ctl->ring.data) + used, room - used);
	__atomic_store_n(&rec->size, used, __ATOMIC_RELEASE);
}
