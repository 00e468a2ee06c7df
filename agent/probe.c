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
#include <agent/count.h>
#include <agent/hit.h>
#include <agent/home.h>
#include <agent/probe.h>
#include <engine/syscall.h>
#include <engine/thread.h>

#define FILLER 0xffff
#define RING_MASK (ST_RING_SIZE - 1)

_Static_assert((ST_RING_SIZE & RING_MASK) == 0, "positions are taken modulo the ring's size");
_Static_assert(offsetof(struct st_ring, data) % 8 == 0, "records are 8-byte aligned");
_Static_assert(sizeof(struct st_rec) % 8 == 0, "so are the values behind the header");

struct st_ctl *st_agent_ctl;

/* Which column of ctl->column a thread's slot has. Copied by a fork, and worth nothing in the child: another pid. */
static struct {
	int pid;
	uint32_t column;
} columns[ST_THREADS];

static inline int thread_id(const struct st_ctl *ctl)
{
	if (ctl->tid_offset)
		return (int)st_agent_thread_word(ctl->tid_offset);
	if (ctl->no_syscalls)
		return 0;
	return (int)st_syscall6(__NR_gettid, 0, 0, 0, 0, 0, 0);
}

static inline uint16_t this_cpu(const struct st_ctl *ctl)
{
	uint32_t cpu;

	if (!ctl->rseq_offset)
		return ST_CPU_UNKNOWN;
	cpu = st_agent_thread_word(ctl->rseq_offset + 4); /* struct rseq, cpu_id; negative: not registered */
	return cpu < ST_CPU_UNKNOWN ? (uint16_t)cpu : ST_CPU_UNKNOWN;
}

static inline uint64_t now(const struct st_ctl *ctl)
{
	return ST_CLOCK_IS_NS && ctl->no_syscalls ? 0 : st_agent_clock();
}

static inline void filler(struct st_ring *ring, uint32_t pos, uint32_t size)
{
	struct st_rec *rec = (struct st_rec *)(ring->data + pos);

	rec->probe = FILLER;
	__atomic_store_n(&rec->size, size, __ATOMIC_RELEASE);
}

/* Take `size` bytes of the ring, in one piece. Returns NULL when it is full. */
static inline struct st_rec *reserve(struct st_ring *ring, uint32_t size)
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
	if (__builtin_expect(skip, 0)) {
		filler(ring, pos, skip);
		pos = 0;
	}
	return (struct st_rec *)(ring->data + pos);
}

/* ---- counting ---- */

/* A column for this thread: the one its slot had before, if that was in this process; NULL when there are no more. */
static uint64_t *take_column(struct st_ctl *ctl, struct st_slot *t, int pid)
{
	unsigned int i = (unsigned int)(t - st_threads);
	uint32_t n;

	if (columns[i].pid != pid) {
		n = __atomic_load_n(&ctl->columns_used, __ATOMIC_RELAXED);
		do {
			if (n >= ST_COLUMNS_MAX)
				return NULL;
		} while (!__atomic_compare_exchange_n(&ctl->columns_used, &n, n + 1, true, __ATOMIC_RELEASE,
						      __ATOMIC_RELAXED));
		columns[i].column = n;
		columns[i].pid = pid;
	}
	n = columns[i].column;
	return n < ST_COLUMNS_MAX ? ctl->column[n] : NULL;
}

/*
 * A hit that st_agent_count() does not take: the first one of a thread, whose slot has no column yet; one of a thread whose slot is not where
 * its hash leads; or of a child that was forked since: the slot is then as its parent left it, but the id near the thread pointer
 * is another. Where that id is not known, or we must not ask who we are, hits are added up by locked instructions.
 */
static __attribute__((noinline)) void count_slowly(struct st_ctl *ctl, struct st_ctl_probe *probe)
{
	struct st_slot *t = st_thread_self();
	int tid = t && ctl->tid_offset ? (int)st_agent_thread_word(ctl->tid_offset) : 0;
	uint64_t *column = NULL;

	if (tid && t->tid == tid && t->client) {
		if (t->client != ST_NO_COLUMN)
			column = (uint64_t *)t->client;
	} else if (tid && !ctl->no_syscalls && tid == (int)st_syscall0(__NR_gettid)) {
		column = take_column(ctl, t, (int)st_syscall0(__NR_getpid));
		t->client = column ? (unsigned long)column : ST_NO_COLUMN;
		t->tid = tid;
	}
	if (column && probe->index < ST_PROBES_MAX)
		st_agent_add_one(&column[probe->index]);
	else
		__atomic_fetch_add(&probe->hits, 1, __ATOMIC_RELAXED);
}

/* The power of two below a value. */
static void add_to_histogram(const struct st_agent_hit *hit, const struct st_ctl_probe *probe)
{
	struct st_ctl_code *code = (struct st_ctl_code *)hit->code;
	unsigned int i = ST_HIST_FAULT;
	uint64_t v;

	if (st_fetch_run(hit, probe->hist, &v)) {
		if (probe->hist_signed && (int64_t)v < 0)
			i = ST_HIST_NEGATIVE;
		else
			i = v ? ST_HIST_ZERO + 64 - (unsigned int)__builtin_clzll(v) : ST_HIST_ZERO;
	}
	__atomic_fetch_add(&code->bucket[i], 1, __ATOMIC_RELAXED);
}

/* ---- the hook ---- */

static inline struct st_rec *begin(struct st_ctl *ctl, const struct st_ctl_probe *probe, uint32_t room, unsigned long ip,
				   unsigned long parent_ip)
{
	struct st_rec *rec = reserve(&ctl->ring, room);

	if (__builtin_expect(!rec, 0)) {
		__atomic_fetch_add(&ctl->ring.lost, 1, __ATOMIC_RELAXED);
		return NULL;
	}
	rec->probe = (uint16_t)probe->index;
	rec->pid = st_agent_process(ctl);
	rec->time = now(ctl);
	rec->ip = ip;
	rec->parent = parent_ip;
	return rec;
}

/* Values that are registers, and no filter: nothing to evaluate, nothing that could go wrong. */
static __attribute__((noinline)) void record_registers(const struct st_ctl_probe *probe, const unsigned long *regs,
						       unsigned long ip, unsigned long parent_ip)
{
	uint32_t n = probe->fetches, i, room;
	struct st_ctl *ctl = st_agent_ctl;
	const struct st_fetch *f;
	struct st_rec *rec;
	uint64_t *out;

	if (n > ST_FETCH_MAX)
		n = ST_FETCH_MAX;
	room = sizeof(*rec) + n * 8;
	rec = begin(ctl, probe, room, ip, parent_ip);
	if (__builtin_expect(!rec, 0))
		return;
	rec->cpu = this_cpu(ctl);
	rec->tid = (uint32_t)thread_id(ctl);
	rec->faults = 0;
	out = (uint64_t *)(rec + 1);
	for (i = 0, f = probe->fetch; i < n; i++, f++) {
		uint32_t reg = f->index;

		out[i] = reg < sizeof(struct st_regs) / sizeof(long) ? regs[reg] & f->mask : 0;
	}
	__atomic_store_n(&rec->size, room, __ATOMIC_RELEASE);
}

static void record(const struct st_agent_hit *hit, const struct st_ctl_probe *probe, unsigned long ip, unsigned long parent_ip)
{
	uint32_t n = probe->fetches, room = sizeof(struct st_rec), used = sizeof(struct st_rec), faults = 0, i;
	struct st_ring *ring = &hit->ctl->ring;
	struct st_rec *rec;

	if (n > ST_FETCH_MAX)
		n = ST_FETCH_MAX;
	for (i = 0; i < n; i++)
		room += st_fetch_room(&probe->fetch[i]);
	if (room > ST_RING_SIZE / 4)
		return;
	rec = begin(hit->ctl, probe, room, ip, parent_ip);
	if (!rec)
		return;
	rec->cpu = hit->cpu;
	rec->tid = (uint32_t)hit->tid;
	for (i = 0; i < n && st_fetch_room(&probe->fetch[i]) <= room - used; i++) {
		bool fault;

		used += st_fetch_value(hit, &probe->fetch[i], (uint8_t *)rec + used, &fault);
		if (fault)
			faults |= ST_REC_FAULT_BIT(i);
	}
	rec->faults = faults;
	/*
	 * What strings left over becomes a filler, complete before the record in front of it can be
	 * seen.
	 */
	if (used < room)
		filler(ring, (uint32_t)((uint8_t *)rec - ring->data) + used, room - used);
	__atomic_store_n(&rec->size, used, __ATOMIC_RELEASE);
}

/* Hits in a child that was forked count for who follows it. */
static inline bool counts_here(struct st_ctl *ctl, const struct st_ctl_probe *probe)
{
	return st_agent_process(ctl) == ctl->pid || probe->flags & ST_PROBE_CHILDREN;
}

static __attribute__((noinline)) void slow_hit(struct st_ctl_probe *probe, struct st_regs *regs, unsigned long ip,
					       unsigned long parent_ip)
{
	struct st_ctl *ctl = st_agent_ctl;
	struct st_agent_hit hit;
	uint64_t v;

	if (probe->index >= ST_PROBES_MAX || !counts_here(ctl, probe))
		return;
	hit.ctl = ctl;
	hit.code = &ctl->code[probe->index];
	hit.regs = (const unsigned long *)regs;
	hit.sp = st_regs_sp(regs);
	hit.tid = thread_id(ctl);
	hit.cpu = this_cpu(ctl);
	if (probe->filter.ops && (!st_fetch_run(&hit, probe->filter, &v) || !v))
		return;
	if (!st_agent_count(ctl, probe))
		count_slowly(ctl, probe);
	if (probe->hist.ops)
		add_to_histogram(&hit, probe);
	if (!(probe->flags & ST_PROBE_COUNT_ONLY))
		record(&hit, probe, ip, parent_ip);
}

/* As st_agent_probe(), for a hit in a child, or one that has to be counted slowly. */
static __attribute__((noinline)) void rare_hit(struct st_ctl_probe *probe, const unsigned long *regs, unsigned long ip,
					       unsigned long parent_ip)
{
	struct st_ctl *ctl = st_agent_ctl;

	if (!counts_here(ctl, probe))
		return;
	if (!st_agent_count(ctl, probe))
		count_slowly(ctl, probe);
	if (!(probe->flags & ST_PROBE_COUNT_ONLY))
		record_registers(probe, regs, ip, parent_ip);
}

/* A probe that counts ends here, without a frame; all else is the last thing that is called. */
void st_agent_probe(struct st_hook *h, struct st_regs *regs, unsigned long ip,
		    unsigned long parent_ip)
{
	struct st_ctl_probe *probe = h->data;
	uint32_t flags = probe->flags;

	if (__builtin_expect(probe->state != ST_PROBE_ON, 0))
		return;
	if (__builtin_expect(flags & ST_PROBE_SLOW, 0))
		slow_hit(probe, regs, ip, parent_ip);
	else if (__builtin_expect(!st_agent_at_home(st_agent_ctl) || !st_agent_count(st_agent_ctl, probe), 0))
		rare_hit(probe, (const unsigned long *)regs, ip, parent_ip);
	else if (!(flags & ST_PROBE_COUNT_ONLY))
		record_registers(probe, (const unsigned long *)regs, ip, parent_ip);
}
