// SPDX-License-Identifier: GPL-2.0-only
/*
 * What one call of a hooked function costs, next to a plain call and to the floor, all in one run.
 *
 *	micro CPU ROUNDS [TOOL PATCH.so]
 *
 * With TOOL, the settled patch is applied to this very process; without, its site gets the same bytes from here.
 */
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "bench.h"
#include "micro.h"

#define CALLS 2000

#define LOOP(fn)                                                                                   \
	long fn(long a, long b);                                                                   \
	static long __attribute__((noinline, aligned(64))) loop_##fn(long n)                       \
	{                                                                                          \
		long a = 0;                                                                        \
                                                                                                   \
		for (long i = 0; i < n; i++)                                                       \
			a = fn(a, i);                                                              \
		return a;                                                                          \
	}
#define ROW(fn) { .name = "micro/" #fn, .loop = loop_##fn, .calls = CALLS }

LOOP(plain)
LOOP(call_ret)
LOOP(floor_sahf)
LOOP(floor_popf)
LOOP(nop_rest)
LOOP(nop_general)
LOOP(nop_vector)
LOOP(nop_vector_used)
LOOP(nop_libc)
LOOP(nop_redirect)
LOOP(nop_2)
LOOP(nop_4)
LOOP(nop_8)
LOOP(move_rest)
LOOP(move_general)
LOOP(jump)
LOOP(settled)
long jump_to(long a, long b);
long redirect_to(long a, long b);

static struct bench_row rows[] = {
	ROW(plain), ROW(call_ret), ROW(floor_sahf), ROW(floor_popf), ROW(nop_rest), ROW(nop_general), ROW(nop_vector),
	ROW(nop_vector_used), ROW(nop_libc), ROW(nop_redirect), ROW(nop_2), ROW(nop_4), ROW(nop_8), ROW(move_rest),
	ROW(move_general), ROW(jump), ROW(settled),
};
#define ROWS ((int)(sizeof(rows) / sizeof(rows[0])))

static long hits;
static double average;
static char text[64];

/* Not declared ST_HOOK_GENERAL_REGS, though it could be. */
static void hook_nothing(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	(void)hook;
	(void)regs;
	(void)ip;
	(void)parent_ip;
	hits++;
}

static void hook_double(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	(void)hook;
	(void)ip;
	(void)parent_ip;
	average += ((double)(long)regs->si - average) / 16;
}

static void hook_libc(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	(void)regs;
	(void)ip;
	(void)parent_ip;
	memcpy(text, hook->data, strlen(hook->data));
}

static struct st_hook general[2 + 4 + 8 + 2], vector, used, libc, redirect;

static void attach(struct st_hook *h, st_hook_fn fn, unsigned int flags, void *data, long (*site)(long, long))
{
	h->size = sizeof(*h);
	h->func = fn;
	h->flags = flags;
	h->data = data;
	if (st_hook_filter_ip(h, site) || st_hook_register(h) != 1) {
		fprintf(stderr, "micro: %s\n", st_hook_reason(h));
		exit(1);
	}
}

static void attach_all(void)
{
	struct st_hook *h = general;

	attach(h++, hook_general, ST_HOOK_GENERAL_REGS, NULL, nop_general);
	attach(h++, hook_general, ST_HOOK_GENERAL_REGS, NULL, move_general);
	for (int i = 0; i < 2; i++)
		attach(h++, hook_general, ST_HOOK_GENERAL_REGS, NULL, nop_2);
	for (int i = 0; i < 4; i++)
		attach(h++, hook_general, ST_HOOK_GENERAL_REGS, NULL, nop_4);
	for (int i = 0; i < 8; i++)
		attach(h++, hook_general, ST_HOOK_GENERAL_REGS, NULL, nop_8);
	attach(&vector, hook_nothing, 0, NULL, nop_vector);
	attach(&used, hook_double, 0, NULL, nop_vector_used);
	attach(&libc, hook_libc, 0, "some words", nop_libc);
	attach(&redirect, hook_redirect, ST_HOOK_GENERAL_REGS | ST_HOOK_IPMODIFY, redirect_to, nop_redirect);
}

/* A jump at @from, as a settled patch leaves it, written before anybody runs it. */
static void write_jump(void *from, const void *to)
{
	unsigned char *site = from;
	void *page = (void *)((unsigned long)site & ~0xffful);
	int d = (int)((const unsigned char *)to - (site + 5));

	if (mprotect(page, 0x2000, PROT_READ | PROT_WRITE | PROT_EXEC))
		exit(1);
	site[0] = 0xe9;
	memcpy(site + 1, &d, sizeof(d));
	mprotect(page, 0x2000, PROT_READ | PROT_EXEC);
}

static void settle(const char *tool, const char *patch)
{
	const unsigned char *site = (const unsigned char *)settled;
	char command[1024];
	bool applied = false;
	int d;

	if (tool) {
		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
		snprintf(command, sizeof(command), "%s patch apply -p %d --allow-unsigned %s >&2", tool, (int)getpid(), patch);
		applied = system(command) == 0;
	}
	if (!applied)
		write_jump(settled, jump_to);
	/* What it is compared with jumps to the same place: how far that is counts. */
	memcpy(&d, site + 1, sizeof(d));
	write_jump(jump, site + 5 + d);
	printf("{\"note\": \"micro/settled\", \"text\": \"%s\"}\n",
	       applied ? "by sidetrack patch apply" : "same bytes, not by the tool");
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 500;
	long want;

	bench_pin(argc > 1 ? atoi(argv[1]) : 0);
	want = rows[0].loop(1000);
	settle(argc > 4 ? argv[3] : NULL, argc > 4 ? argv[4] : NULL);
	attach_all();
	for (int i = 0; i < ROWS; i++) {
		if (rows[i].loop(1000) != want) {
			fprintf(stderr, "micro: %s returns something else\n", rows[i].name);
			return 1;
		}
	}
	if (hits != 1000 || !average) {
		fprintf(stderr, "micro: a hook was not called\n");
		return 1;
	}
	bench_run(rows, ROWS, rounds);
	return 0;
}
