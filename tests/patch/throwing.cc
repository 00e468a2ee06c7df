/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A program that throws through functions that are to be patched.
 *
 *	throwing	threads do all of it all the time, and check that it comes to the same each time; "ready". Lines of stdin: "sum": prints
 *			"sum S alive A patched P" after all kinds were done once, P being 1 if a patch had a part in it; "cancel": a thread
 *			is cancelled while it is in them, "cancelled alive A"; "trace": "traced N"; "quiet": throws out of what must not:
 *			the program ends, "terminate", exit status 7; "end": "ok", or "wrong".
 */
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <execinfo.h>
#include <pthread.h>
#include <unistd.h>
#include "throwing.hh"

std::atomic<long> Witness::alive;
std::atomic<long> st_test_patched;

static std::atomic<bool> ended, wrong, waiting;
static thread_local void *outermost;

#define NAME(name) st_test_##name
#define OWN(n) Trouble(n)
#define PATCHED do { } while (0)
#include "throwing.inc"

KEEP void st_test_wait(void)
{
	waiting = true;
	for (;;)
		pause();
}

KEEP long st_test_traced(void)
{
	void *frame[64];
	int n = backtrace(frame, 64);

	/* Without Thumb bits. Nothing else is one byte apart. */
	for (int i = 0; i < n; i++)
		if (((unsigned long)frame[i] & ~1ul) == ((unsigned long)outermost & ~1ul))
			return 1000;
	return 0;
}

static KEEP long run(int kind, int n)
{
	Witness w("run");

	outermost = __builtin_extract_return_addr(__builtin_return_address(0));
	try {
		return st_test_catcher(kind, n);
	} catch (const Trouble &t) {
		return 10000 + t.n + t.what()[0];
	} catch (const std::exception &e) {
		return 20000 + (long)std::strlen(e.what());
	} catch (const std::string &s) {
		return 30000 + (long)s.size();
	} catch (int i) {
		return 40000 + i;
	} catch (const Witness &other) {
		return 50000 + (long)other.text.size();
	}
}

static long run_all(void)
{
	long sum = 0;

	for (int n = 0; n < 60; n++)
		for (int kind = RETURNS; kind < WAITS; kind++)
			sum = sum * 31 % 1000003 + run(kind, n);
	return sum;
}

static void *again_and_again(void *expected)
{
	while (!ended)
		if (run_all() != *(long *)expected)
			wrong = true;
	return NULL;
}

static void *be_cancelled(void *)
{
	run(WAITS, 4);
	return NULL;
}

static void cancel(void)
{
	pthread_t t;
	void *ret;

	waiting = false;
	pthread_create(&t, NULL, be_cancelled, NULL);
	while (!waiting)
		usleep(1000);
	pthread_cancel(t);
	pthread_join(t, &ret);
	if (ret != PTHREAD_CANCELED)
		wrong = true;
}

/* Threads are between two rounds, or there are none. */
static long alive(void)
{
	for (int i = 0; Witness::alive && i < 100000; i++)
		sched_yield();
	return Witness::alive;
}

static void terminated()
{
	puts("terminate");
	fflush(stdout);
	_exit(7);
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 0;
	pthread_t thread[16];
	long expected = run_all();
	char line[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	std::set_terminate(terminated);
	for (int i = 0; i < threads && i < 16; i++)
		pthread_create(&thread[i], NULL, again_and_again, &expected);
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		long before = st_test_patched;

		if (!strcmp(line, "sum\n")) {
			long sum = run_all();

			printf("sum %ld alive %ld patched %d\n", sum, threads ? 0 : alive(), st_test_patched != before);
		} else if (!strcmp(line, "cancel\n")) {
			cancel();
			printf("cancelled alive %ld\n", threads ? 0 : alive());
		} else if (!strcmp(line, "trace\n")) {
			printf("traced %ld\n", run(TRACES, 4) / 1000);
		} else if (!strcmp(line, "quiet\n")) {
			printf("quiet %ld\n", st_test_quiet(3));
			st_test_quiet(-1);
		} else {
			break;
		}
	}
	ended = true;
	for (int i = 0; i < threads && i < 16; i++)
		pthread_join(thread[i], NULL);
	if (alive())
		wrong = true;
	puts(wrong ? "wrong" : "ok");
	return wrong;
}
