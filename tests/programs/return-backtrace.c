/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * backtrace() and _Unwind_Backtrace() from the bottom of a recursion: every call of it is there, and what called it. What else they
 * list, a probe's own code, is not counted.
 */
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <unwind.h>
#include "return.h"

#define MAX 400

static int frames, from_handler;
static void *frame[MAX];
static volatile long one = 1;

static _Unwind_Reason_Code trace(struct _Unwind_Context *context, void *arg)
{
	(void)arg;
	if (frames < MAX)
		frame[frames++] = (void *)_Unwind_GetIP(context);
	return _URC_NO_REASON;
}

KEEP void by_backtrace(void)
{
	frames = backtrace(frame, MAX);
}

KEEP void by_unwinder(void)
{
	frames = 0;
	_Unwind_Backtrace(trace, NULL);
}

KEEP void on_signal(int sig)
{
	(void)sig;
	by_unwinder();
}

KEEP long dive(long depth, void (*bottom)(void))
{
	if (depth)
		return dive(depth - 1, bottom) + one;
	if (from_handler)
		raise(SIGUSR1);
	else
		bottom();
	return one;
}

/* The bottom of it. */
KEEP long begin(long depth, void (*bottom)(void))
{
	return dive(depth, bottom) + one;
}

/* Neither function is longer, and what follows them in the program is not on the stack. */
static long within(void *start)
{
	long n = 0;

	for (int i = 0; i < frames; i++)
		n += (unsigned long)((char *)frame[i] - (char *)((unsigned long)start & ~1ul)) < 64;
	return n;
}

static void report(const char *what)
{
	printf("%s: %ld of dive, %ld of begin\n", what, within((void *)dive), within((void *)begin));
}

int main(int argc, char **argv)
{
	(void)argv;
	return_wait(argc);
	signal(SIGUSR1, on_signal);
	for (int depth = 0; depth < 40; depth += 13) {
		begin(depth, by_backtrace);
		report("backtrace");
		begin(depth, by_unwinder);
		report("unwinder");
		from_handler = 1;
		begin(depth, NULL);
		report("from a handler");
		from_handler = 0;
	}
	return 0;
}
