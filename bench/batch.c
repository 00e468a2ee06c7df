// SPDX-License-Identifier: GPL-2.0-only
/*
 * What hooking and unhooking 20,000 sites in one batch costs, while a second thread runs through them.
 *
 *	batch CPU ROUNDS
 *
 * The floor does the same protocol (breakpoint, synchronise, tail, synchronise, head, synchronise) and nothing else, on
 * pages that it makes writable for the time: no symbol, no stub, no list of hooks. In the engine's figures the change of the text is
 * also given alone (the linker's --wrap sees to that).
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <engine/edit.h>
#include <sidetrack/hook.h>
#include "bench.h"
#include "micro.h"

#define SITES 20000
#define SITE_BYTES 32
#define WARM 2

extern unsigned char nopsites[], movesites[], floorsites[];

static uint64_t text_ns;
static double sample[8][BENCH_ROUNDS_MAX];
static volatile long turns;
static volatile int stop;

int __real_st_text_edit(const struct st_change *edit, size_t n, const char **why);
int __wrap_st_text_edit(const struct st_change *edit, size_t n, const char **why);

int __wrap_st_text_edit(const struct st_change *edit, size_t n, const char **why)
{
	uint64_t start = bench_ns();
	int ret = __real_st_text_edit(edit, n, why);

	text_ns = bench_ns() - start;
	return ret;
}

static void *runner(void *arg)
{
	bench_pin((int)(long)arg);
	while (!stop) {
		for (int i = 0; i < SITES && !stop; i++)
			((long (*)(long, long))(nopsites + SITE_BYTES * i))(i, 1);
		for (int i = 0; i < SITES && !stop; i++)
			((long (*)(long, long))(movesites + SITE_BYTES * i))(i, 1);
		turns++;
	}
	return NULL;
}

static void barrier(void)
{
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0))
		perror("membarrier");
}

static void floor_switch(bool on)
{
	static const unsigned char nop[5] = { 0x0f, 0x1f, 0x44, 0x00, 0x00 };

	mprotect(floorsites, SITES * SITE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC);
	for (int i = 0; i < SITES; i++)
		floorsites[SITE_BYTES * i] = 0xcc;
	barrier();
	for (int i = 0; i < SITES; i++) {
		unsigned char *site = floorsites + SITE_BYTES * i;
		int d = (int)(floorsites - (site + 5));

		memcpy(site + 1, on ? (void *)&d : (void *)(nop + 1), 4);
	}
	barrier();
	for (int i = 0; i < SITES; i++)
		floorsites[SITE_BYTES * i] = on ? 0xe9 : nop[0];
	mprotect(floorsites, SITES * SITE_BYTES, PROT_READ | PROT_EXEC);
	barrier();
}

static double timed_floor(bool on)
{
	uint64_t start = bench_ns();

	floor_switch(on);
	return (double)(bench_ns() - start) / SITES;
}

static struct st_hook hook;

static void die(const char *what, int ret)
{
	fprintf(stderr, "batch: %s: %s: %s\n", what, strerror(-ret), st_hook_reason(&hook));
	exit(1);
}

/* @out: register, its text part, unregister, its text part; ns a site */
static void timed_hook(const char *glob, double out[4])
{
	uint64_t start;
	int ret;

	hook = (struct st_hook){ .size = sizeof(hook), .func = hook_general, .flags = ST_HOOK_GENERAL_REGS };
	ret = st_hook_filter(&hook, glob);
	if (ret != SITES)
		die(glob, ret);
	start = bench_ns();
	ret = st_hook_register(&hook);
	out[0] = (double)(bench_ns() - start) / SITES;
	if (ret != SITES)
		die("register", ret);
	out[1] = (double)text_ns / SITES;
	start = bench_ns();
	ret = st_hook_unregister(&hook);
	out[2] = (double)(bench_ns() - start) / SITES;
	if (ret)
		die("unregister", ret);
	out[3] = (double)text_ns / SITES;
}

static void measure(const char *kind, const char *glob, int rounds)
{
	static const char *const part[] = { "hook", "hook_text", "unhook", "unhook_text" };
	char name[64];
	double out[4];

	timed_hook(glob, out);
	snprintf(name, sizeof(name), "batch/%s_first", kind);
	bench_print(name, &out[0], 1);
	for (int k = -WARM; k < rounds; k++) {
		double on = timed_floor(true), off = timed_floor(false);

		timed_hook(glob, out);
		if (k < 0)
			continue;
		for (int i = 0; i < 4; i++)
			sample[i][k] = out[i];
		sample[4][k] = on;
		sample[5][k] = off;
	}
	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "batch/%s_%s", kind, part[i]);
		bench_print(name, sample[i], rounds);
	}
	if (!strcmp(kind, "nop")) {
		bench_print("batch/floor_hook", sample[4], rounds);
		bench_print("batch/floor_unhook", sample[5], rounds);
	}
}

int main(int argc, char **argv)
{
	int cpu = argc > 1 ? atoi(argv[1]) : 0, rounds = argc > 2 ? atoi(argv[2]) : 30;
	long before;
	pthread_t t;

	if (rounds > BENCH_ROUNDS_MAX)
		rounds = BENCH_ROUNDS_MAX;
	bench_pin(cpu);
	syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
	pthread_create(&t, NULL, runner, (void *)(long)(sysconf(_SC_NPROCESSORS_ONLN) > 1 ? !cpu : cpu));
	while (!turns)
		usleep(1000);
	before = turns;
	measure("nop", "batch:nopsite_*", rounds);
	measure("move", "batch:movesite_*", rounds);
	if (turns == before)
		fprintf(stderr, "batch: the second thread did not run\n");
	stop = 1;
	pthread_join(t, NULL);
	return 0;
}
