// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads the ring of hits that agent/probe.c writes (the format is in agent/ctl.h), and converts its
 * clock.
 *
 * What was read is zeroed before it is given back, so that a record's size is 0 until it is
 * committed.
 */
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <agent/clock.h>
#include "ring.h"

#define RING_MASK (ST_RING_SIZE - 1)
#define FILLER 0xffff
#define STUCK_NS 2000000000ull
/* Bytes that are read before they are given back to the writers. */
#define BATCH (64u << 10)

uint64_t st_monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Zero what was read, [given, to), and give it back to the writers. */
static void release(struct st_ring_reader *r, uint64_t to)
{
	uint32_t pos = (uint32_t)r->given & RING_MASK;
	uint64_t len = to - r->given;

	if (len >= ST_RING_SIZE) {
		memset(r->ring->data, 0, ST_RING_SIZE);
	} else if (pos + len > ST_RING_SIZE) {
		memset(r->ring->data + pos, 0, ST_RING_SIZE - pos);
		memset(r->ring->data, 0, pos + len - ST_RING_SIZE);
	} else {
		memset(r->ring->data + pos, 0, len);
	}
	r->tail = to;
	r->given = to;
	/*
	 * Pairs with the acquire in the agent's reserve(): who sees this tail sees zeroes in front
	 * of it.
	 */
	__atomic_store_n(&r->ring->tail, to, __ATOMIC_RELEASE);
}

/*
 * The memory of the ring is there before the first hit: else the target would take it page by page, at some 70 ns a hit until it has
 * been all the way round. A kernel that does not know how (before 5.14) leaves it at that.
 */
static void populate(struct st_ring *ring)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = (uintptr_t)ring->data & -page, to = ((uintptr_t)ring->data + ST_RING_SIZE + page - 1) & -page;

	madvise((void *)from, to - from, MADV_POPULATE_WRITE);
}

void st_ring_begin(struct st_ring_reader *r, struct st_ring *ring)
{
	uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) & ~7ull;

	memset(r, 0, sizeof(*r));
	r->ring = ring;
	populate(ring);
	r->given = __atomic_load_n(&ring->tail, __ATOMIC_RELAXED);
	if (head - r->given > ST_RING_SIZE)
		r->given = head - ST_RING_SIZE;
	release(r, head);
	r->head = head;
	r->lost_before = __atomic_load_n(&ring->lost, __ATOMIC_RELAXED);
}

static void skip_all(struct st_ring_reader *r, uint64_t head)
{
	r->skipped++;
	r->stuck_since = 0;
	release(r, head & ~7ull);
	r->head = r->tail;
}

/* Step over what was read. Both ends of the ring are lines of memory that the writers want: they are left alone for a while. */
static void step(struct st_ring_reader *r, uint32_t size)
{
	r->tail += size;
	if (r->tail - r->given >= BATCH)
		release(r, r->tail);
}

/* Nothing more to read: the writers get all of it back. */
static bool caught_up(struct st_ring_reader *r)
{
	if (r->tail != r->given)
		release(r, r->tail);
	return false;
}

bool st_ring_next(struct st_ring_reader *r, struct st_rec *rec, size_t max, uint64_t ns)
{
	for (;;) {
		uint32_t pos = (uint32_t)r->tail & RING_MASK, size;
		struct st_rec *at = (struct st_rec *)(r->ring->data + pos);
		uint64_t head = r->head;
		uint16_t probe;

		if (head == r->tail)
			head = r->head = __atomic_load_n(&r->ring->head, __ATOMIC_ACQUIRE);
		if (head == r->tail)
			return caught_up(r);
		if (head - r->given > ST_RING_SIZE) {
			skip_all(r, head);
			return false;
		}
		/* Pairs with the release of size in the agent: who sees it sees the record. */
		size = __atomic_load_n(&at->size, __ATOMIC_ACQUIRE);
		if (!size) {
			if (!r->stuck_since)
				r->stuck_since = ns;
			else if (ns - r->stuck_since > STUCK_NS)
				skip_all(r, __atomic_load_n(&r->ring->head, __ATOMIC_ACQUIRE));
			return caught_up(r);
		}
		r->stuck_since = 0;
		probe = __atomic_load_n(&at->probe, __ATOMIC_RELAXED);
		if (size % 8 || size > ST_RING_SIZE - pos || size > head - r->tail ||
		    (probe != FILLER && (size < sizeof(*rec) || size > max))) {
			skip_all(r, head);
			return false;
		}
		if (probe == FILLER) {
			step(r, size);
			continue;
		}
		memcpy(rec, at, size);
		rec->size = size;
		rec->probe = probe;
		step(r, size);
		return true;
	}
}

uint64_t st_ring_lost(const struct st_ring_reader *r)
{
	return __atomic_load_n(&r->ring->lost, __ATOMIC_RELAXED) - r->lost_before + r->skipped;
}

/* Both clocks at one moment: the closest of a few tries, as we may be preempted between the two. */
static void sample(uint64_t *ticks, uint64_t *ns)
{
	uint64_t best = UINT64_MAX;
	int i;

	for (i = 0; i < 5; i++) {
		uint64_t before = st_agent_clock(), t = st_monotonic_ns(), after = st_agent_clock();

		if (after - before < best) {
			best = after - before;
			*ticks = before + (after - before) / 2;
			*ns = t;
		}
	}
}

void st_clock_begin(struct st_clock *c)
{
	sample(&c->ticks0, &c->ns0);
	c->ticks = c->ticks0;
	c->ns = c->ns0;
	c->rate = 1;
}

void st_clock_update(struct st_clock *c)
{
	const uint64_t least = 10000000;	/* for a rate good to some parts in a million */
	uint64_t age = st_monotonic_ns() - c->ns0;

	if (ST_CLOCK_IS_NS)
		return;
	if (age < least) {
		struct timespec ts = { .tv_nsec = (long)(least - age) };

		nanosleep(&ts, NULL);
	}
	sample(&c->ticks, &c->ns);
	if (c->ticks > c->ticks0)
		c->rate = (double)(c->ns - c->ns0) / (double)(c->ticks - c->ticks0);
}

uint64_t st_clock_ns(const struct st_clock *c, uint64_t ticks)
{
	if (!ticks)
		return st_monotonic_ns();
	if (ST_CLOCK_IS_NS)
		return ticks;
	return c->ns + (uint64_t)(int64_t)((double)(int64_t)(ticks - c->ticks) * c->rate);
}
