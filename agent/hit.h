/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hit, while it is being recorded: what the parts of the recorder know of it.
 */
#ifndef ST_AGENT_HIT_H
#define ST_AGENT_HIT_H

#include <agent/ctl.h>

struct st_agent_hit {
	struct st_ctl *ctl;
	const struct st_ctl_code *code;
	const unsigned long *regs;	/* struct st_regs as words */
	unsigned long sp;
	int tid;
	uint16_t cpu;			/* ST_CPU_UNKNOWN, or its number */
};

#define ST_CPU_UNKNOWN 0xffff

/**
 * st_fetch_run() - run a program
 * @value: what it leaves on the stack
 *
 * Return: false if it read what can't be read, or is damaged.
 */
bool st_fetch_run(const struct st_agent_hit *hit, struct st_program program, uint64_t *value);

/**
 * st_fetch_value() - evaluate a fetch into the record
 * @out: st_fetch_room() bytes, 8-byte aligned
 * @fault: set if it could not be read; the value is then 0, or the empty string
 *
 * Return: the bytes that it took, a multiple of 8, at most st_fetch_room().
 */
uint32_t st_fetch_value(const struct st_agent_hit *hit, const struct st_fetch *f, uint8_t *out, bool *fault);

#endif
