/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sites as compilers make them: linked to the functions of ../programs/sites-c.c, which meson.build compiles in every way
 * that leaves NOPs or calls at their entries, and in some that leave none. Each function is found, hooked, hit, does
 * what it did, and has its bytes back.
 *
 * NOPS: every function has an area of NOPs that a jump fits into. CXX: with sites-one.cc and sites-two.cc.
 */
#include <errno.h>
#include <sidetrack/hook.h>
#include <engine/arch.h>
#include "check.h"
#include "../programs/sites.h"

#define ARGS 8
#define BYTES 48

static unsigned long hits;

static void count_hit(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent)
{
	(void)hook;
	(void)regs;
	(void)ip;
	(void)parent;
	hits++;
}

/* What it gave before anything was hooked. */
static struct {
	const struct site_function *f;
	long expected[ARGS];
} functions[64];
static unsigned int count;

static void take(const struct site_function *f)
{
	for (; f->name && count < 64; f++, count++) {
		functions[count].f = f;
		for (long i = 0; i < ARGS; i++)
			functions[count].expected[i] = f->fn(i);
	}
}

static bool right(unsigned int k)
{
	for (long i = 0; i < ARGS; i++)
		if (functions[k].f->fn(i) != functions[k].expected[i])
			return false;
	return true;
}

/* An area of NOPs that the compiler left, if it was told to. */
static void look_at_area(const struct site_function *f, const unsigned char *bytes, unsigned long at)
{
#ifdef NOPS
	struct st_plan plan;
	enum st_isa isa = ST_ISA_NATIVE;
	int ret;

#if defined(__arm__)
	isa = (unsigned long)f->fn & 1 ? ST_ISA_T32 : ST_ISA_A32;
#endif
	ret = st_arch_plan(&plan, bytes, at, 32, 32, isa);
	check(!ret && plan.kind == ST_KIND_NOP, "%s: its NOPs are not seen: %s", f->name, plan.why ?: "moved");
#else
	(void)f;
	(void)bytes;
	(void)at;
#endif
}

static void one(unsigned int k)
{
	struct st_hook h = { .size = sizeof(h), .func = count_hit };
	const struct site_function *f = functions[k].f;
	unsigned long at = (unsigned long)f->fn & ~(unsigned long)(sizeof(long) == 4);
	unsigned char before[BYTES];
	int ret;

	memcpy(before, (void *)at, BYTES);
	look_at_area(f, before, at);
	ret = st_hook_filter(&h, f->name);
	if (!check(ret > 0, "%s: not found: %s", f->name, st_hook_reason(&h)))
		return;
	/* The symbol and the pointer are the same function. */
	check(!st_hook_filter_ip(&h, (const void *)f->fn), "%s: %s", f->name, st_hook_reason(&h));
	ret = st_hook_register(&h);
	if (!check(ret == 1, "%s: register: %d: %s", f->name, ret, st_hook_reason(&h))) {
		st_hook_unregister(&h);
		return;
	}
	check(memcmp(before, (void *)at, BYTES), "%s: its bytes have not changed", f->name);
	hits = 0;
	check(right(k), "%s: wrong value when hooked", f->name);
	check(hits >= ARGS, "%s: %lu hits", f->name, hits);
	check(!st_hook_unregister(&h), "%s: %s", f->name, st_hook_reason(&h));
	check(!memcmp(before, (void *)at, BYTES), "%s: its bytes are not restored", f->name);
	hits = 0;
	check(right(k) && !hits, "%s: after unhooking", f->name);
}

/* Together; in the C++ programs one of them throws an exception that another catches. */
static void all(const char *glob)
{
	struct st_hook h = { .size = sizeof(h), .func = count_hit };
	int ret = st_hook_filter(&h, glob);

	check(ret >= (int)count, "%s finds %d: %s", glob, ret, st_hook_reason(&h));
	ret = st_hook_register(&h);
	check(ret >= (int)count, "%s hooks %d: %s", glob, ret, st_hook_reason(&h));
	hits = 0;
	for (unsigned int k = 0; k < count; k++)
		check(right(k), "%s: wrong value when all are hooked", functions[k].f->name);
	check(hits >= count * ARGS, "%lu hits", hits);
	check(!st_hook_unregister(&h), "%s", st_hook_reason(&h));
}

int main(void)
{
	take(site_functions);
#ifdef CXX
	take(site_functions_cxx);
#endif
	for (unsigned int k = 0; k < count; k++)
		one(k);
	all("*site_*");
	return check_end();
}
