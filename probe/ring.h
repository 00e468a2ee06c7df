/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tool's end of the ring of hits, and the clock of its records.
 *
 * The target can write the whole ring: each length is checked, each record is copied before it is
 * looked at, and what does not make sense is thrown away and counted, never followed.
 */
#ifndef ST_PROBE_RING_H
#define ST_PROBE_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <agent/ctl.h>

struct st_ring_reader {
	struct st_ring *ring;
	uint64_t tail;		/* read up to here; what the target makes of ring->tail is of no interest */
	uint64_t given;		/* given back to the writers up to here */
	uint64_t head;		/* written up to here, as last seen */
	uint64_t lost_before;	/* ring->lost when we came */
	uint64_t skipped;	/* times that we gave up on a part of the ring */
	uint64_t stuck_since;	/* ns; when the record at tail was first seen uncommitted, or 0 */
};

/**
 * st_ring_begin() - become the reader of a ring
 *
 * Throws away what is in it. Nobody may write or read it now: no probe of ours is set, and those of
 * others are gone.
 */
void st_ring_begin(struct st_ring_reader *r, struct st_ring *ring);

/**
 * st_ring_next() - take the oldest record
 * @r: the reader
 * @rec: a copy is written here
 * @max: its size
 * @ns: CLOCK_MONOTONIC now: a record that is not committed in two seconds never will be (its thread
 *	jumped out of a signal handler, or was a child that was killed)
 *
 * Return: true with a record, false when there is none now.
 */
bool st_ring_next(struct st_ring_reader *r, struct st_rec *rec, size_t max, uint64_t ns);

/* Hits that the reader will never see. */
uint64_t st_ring_lost(const struct st_ring_reader *r);

/* Relates st_agent_clock() to CLOCK_MONOTONIC. */
struct st_clock {
	uint64_t ticks0, ns0;	/* first sample */
	uint64_t ticks, ns;	/* latest */
	double rate;		/* ns per tick */
};

void st_clock_begin(struct st_clock *c);
/*
 * Sample again; to be called before records are converted, and now and then. The first call may
 * sleep 10 ms.
 */
void st_clock_update(struct st_clock *c);
/* 0 ticks (a clock that could not be read) is now. */
uint64_t st_clock_ns(const struct st_clock *c, uint64_t ticks);

uint64_t st_monotonic_ns(void);

#endif
