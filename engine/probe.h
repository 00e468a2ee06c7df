/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What probe.c (registering) and probe_hit.c (what runs at a hit) share. */
#ifndef ST_ENGINE_PROBE_H
#define ST_ENGINE_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <sidetrack/hook.h>
#include <sidetrack/probe.h>
#include <engine/return.h>

#pragma GCC visibility push(hidden)

struct pool;

/**
 * struct instance - one call of a function, from its entry to its return
 * @pub: what the handlers see; pub.data lies behind this structure
 * @next: of the same call, of another return probe
 * @pool: of its return probe
 * @index: in the pool
 * @used: taken
 */
struct instance {
	struct st_return_instance pub;
	struct instance *next;
	struct pool *pool;
	unsigned long index;
	unsigned long used;
};

/**
 * struct pool - the instances of a return probe
 * @next: of those whose return probe is gone
 * @count, @stride: how many, and the bytes from one to the next
 * @hint: where to look first
 */
struct pool {
	struct pool *next;
	unsigned long count, stride, hint, data_size;
	unsigned char memory[] __attribute__((aligned(16)));
};

/* A registered probe or return probe. */
struct st_probed {
	struct st_hook hook;		/* data is this structure */
	union {
		struct st_probe *probe;
		struct st_return_probe *rp;
	};
	struct pool *pool;		/* NULL: calls of the function have nothing of their own */
	bool registered, enabled;
	unsigned long site_missed;	/* what the sites had missed when it was enabled */
	char reason[256];
};

void st_probe_hit(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip);
void st_return_probe_hit(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip);
void *st_return_probe_begin(struct st_return *ret, struct st_regs *regs, unsigned long ip, unsigned long parent_ip);
void st_return_probe_end(struct st_return *ret, void *data);

#pragma GCC visibility pop
#endif
