/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * backtrace() and _Unwind_Backtrace() from the bottom of a recursion: every call of it is there, and main behind them. What else they
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

static long within(void *start, unsigned long size)
{
	long n = 0;

	for (int i = 0; i < frames; i++)
		n += (unsigned long)((char *)frame[i] - (char *)((unsigned long)start & ~1ul)) < size;
	return n;
}

int main(void);

/* Its own frames and main's. */
KEEP void report(const char *what, unsigned long self)
{
	printf("%s: %ld of dive, %ld of main\n", what, within((void *)dive, self), within((void *)main, 4096));
}

int main(void)
{
	/* No function is longer, and what follows dive is not on the stack. */
	unsigned long size = 96;

	signal(SIGUSR1, on_signal);
	for (int depth = 0; depth < 40; depth += 13) {
		dive(depth, by_backtrace);
		report("backtrace", size);
		dive(depth, by_unwinder);
		report("unwinder", size);
		from_handler = 1;
		dive(depth, NULL);
		report("from a handler", size);
		from_handler = 0;
	}
	return 0;
}
