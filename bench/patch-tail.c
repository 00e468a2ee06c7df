/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How long a redis-server takes to answer while a patch goes in and out. Usage: patch-tail TOOL PATCH.so CYCLES PORT PID
 *
 * One connection asks all the time, as real-load does (tests/patch). Each cycle is an apply and a revert to the server, PID, and then as
 * long a time in which nothing is done. One row of JSON for each of the two: all answers' times, in ms. A wrong answer ends it.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include "bench.h"

#define SAMPLES_MAX (4 << 20)
#define NAP_US 200	/* the tool wants a CPU, too */

static double *sample[2];
static int count[2];
static volatile int phase, ended;

static void die(const char *why)
{
	fprintf(stderr, "patch-tail: %s\n", why);
	exit(1);
}

static void ask(int fd, const char *what, const char *old, const char *new)
{
	char got[64] = "";
	size_t have = 0;

	if (write(fd, what, strlen(what)) < 0)
		die("write");
	while (!have || got[have - 1] != '\n') {
		ssize_t n = read(fd, got + have, sizeof(got) - 1 - have);

		if (n <= 0)
			die("the connection is broken");
		have += (size_t)n;
		got[have] = '\0';
	}
	if (strcmp(got, old) && strcmp(got, new))
		die(got);
}

static void *load(void *arg)
{
	int fd = *(int *)arg;

	while (!ended) {
		int p = phase;
		uint64_t start = bench_ns();

		ask(fd, "STRLEN real\r\n", ":5\r\n", ":1012\r\n");
		if (count[p] < SAMPLES_MAX)
			sample[p][count[p]++] = (double)(bench_ns() - start) / 1e6;
		usleep(NAP_US);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1, cycles;
	pthread_t t;
	pid_t pid;

	if (argc != 6)
		return 2;
	cycles = atoi(argv[3]);
	pid = atoi(argv[5]);
	to.sin_port = htons((unsigned short)atoi(argv[4]));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; connect(fd, (struct sockaddr *)&to, sizeof(to)); i++) {
		if (i == 200)
			die("the server does not answer");
		usleep(50000);
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	ask(fd, "SET real abcde\r\n", "+OK\r\n", "");
	for (int i = 0; i < 2; i++)
		sample[i] = malloc(SAMPLES_MAX * sizeof(double));
	if (!bench_tool_on(pid, argv[1], "apply", argv[2], NULL) || !bench_tool_on(pid, argv[1], "revert", "real_redis", NULL))
		die("the patch");	/* the first one attaches */
	if (pthread_create(&t, NULL, load, &fd))
		die("a thread");
	for (int i = 0; i < cycles; i++) {
		uint64_t start = bench_ns();

		phase = 1;
		if (!bench_tool_on(pid, argv[1], "apply", argv[2], NULL) || !bench_tool_on(pid, argv[1], "revert", "real_redis", NULL))
			die("the patch");
		phase = 0;
		usleep((useconds_t)((bench_ns() - start) / 1000));
	}
	ended = 1;
	pthread_join(t, NULL);
	bench_print("tail/none", sample[0], count[0]);
	bench_print("tail/cycles", sample[1], count[1]);
	return 0;
}
