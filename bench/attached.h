/* SPDX-License-Identifier: GPL-2.0-only */
/* A program that is measured has the tool put probes into it from outside. */
#ifndef ST_BENCH_ATTACHED_H
#define ST_BENCH_ATTACHED_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct bench_tool {
	pid_t pid;
	FILE *said;	/* its stderr */
};

/* Starts the tool and waits until the function's first byte is its jump. @option may be NULL. */
static inline bool bench_tool_start(struct bench_tool *t, const char *tool, const char *option, const char *spec, const void *fn)
{
	unsigned char before = *(volatile const unsigned char *)fn;
	char pid[16];

	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	t->said = tmpfile();
	t->pid = t->said ? fork() : -1;
	if (!t->pid) {
		unsetenv("LD_PRELOAD");
		if (dup2(fileno(t->said), 2) < 0 || !freopen("/dev/null", "r", stdin) || !freopen("/dev/null", "w", stdout))
			_exit(1);
		execl(tool, tool, "probe", "-p", pid, spec, option, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; t->pid > 0 && i < 1000 && *(volatile const unsigned char *)fn == before &&
	     waitpid(t->pid, NULL, WNOHANG) == 0; i++)
		usleep(10000);
	if (*(volatile const unsigned char *)fn != before)
		return true;
	t->pid = 0;
	return false;
}

/* Ends the tool. Returns how many hits it says were lost, or not recorded. */
static inline unsigned long bench_tool_stop(struct bench_tool *t)
{
	unsigned long lost = 0, n;
	char line[256];

	if (t->pid <= 0)
		return 0;
	kill(t->pid, SIGINT);
	waitpid(t->pid, NULL, 0);
	rewind(t->said);
	while (fgets(line, sizeof(line), t->said)) {
		const char *at = strstr(line, "probe: ");

		if (at && sscanf(at, "probe: %lu hits were ", &n) == 1)
			lost += n;
		else
			fputs(line, stderr);
	}
	fclose(t->said);
	t->pid = 0;
	return lost;
}

/*
 * Hits that take the ring (8 MiB, 72 bytes a record of three arguments) round at least once: until then the thread meets each of
 * its pages for the first time. Slowly, so that the tool keeps up.
 */
static inline unsigned long bench_ring_warm(long (*loop)(long))
{
	unsigned long n;

	for (n = 0; n < 8ul << 20 >> 6; n += 1000) {
		loop(1000);
		usleep(2000);
	}
	return n;
}

/* @calls: of the row, @rounds: as bench_run() makes them */
static inline void bench_ring_note(const char *row, unsigned long warm, long calls, int rounds, unsigned long lost)
{
	printf("{\"note\": \"%s\", \"text\": \"%lu hits, of which %lu were lost; the first %lu took the ring all the way "
	       "round and are not in the figure\"}\n", row, warm + (unsigned long)(calls + calls / 16 + 1) * (unsigned long)rounds,
	       lost, warm);
}

#endif
