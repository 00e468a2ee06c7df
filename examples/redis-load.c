/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A load for redis-server that checks every reply: each connection sets a key to a value of its own and reads it back.
 *
 *	redis-load PORT CONNECTIONS SECONDS
 *
 * Prints one line: requests, replies, wrong replies, failed connections, requests a second, latency median, 99 % and
 * longest in microseconds. Exit status 0 when every request was answered rightly.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 256
#define BUCKETS 200000		/* of a microsecond; the last takes the rest */

static volatile sig_atomic_t stop;
static unsigned int bucket[BUCKETS];

struct connection {
	int fd;
	unsigned long n;	/* requests sent */
	char want[128], got[128];
	size_t have;
	double sent;
};

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static int ask(struct connection *c, int id)
{
	char key[32], value[32], request[256];
	int len;

	snprintf(key, sizeof(key), "st:%d", id);
	snprintf(value, sizeof(value), "%lu.%d", c->n / 2, id);
	if (c->n % 2 == 0) {
		len = snprintf(request, sizeof(request), "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(key),
			       key, strlen(value), value);
		snprintf(c->want, sizeof(c->want), "+OK\r\n");
	} else {
		len = snprintf(request, sizeof(request), "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n", strlen(key), key);
		snprintf(c->want, sizeof(c->want), "$%zu\r\n%s\r\n", strlen(value), value);
	}
	c->n++;
	c->have = 0;
	c->sent = now_us();
	return write(c->fd, request, (size_t)len) == len ? 0 : -1;
}

static double percentile(unsigned long total, double part)
{
	unsigned long sum = 0;

	for (int i = 0; i < BUCKETS; i++) {
		sum += bucket[i];
		if ((double)sum >= part * (double)total)
			return i;
	}
	return BUCKETS;
}

int main(int argc, char **argv)
{
	static struct connection c[CONNECTIONS_MAX];
	static struct pollfd p[CONNECTIONS_MAX];
	struct sockaddr_in to = { .sin_family = AF_INET };
	unsigned long requests = 0, replies = 0, wrong = 0, failed = 0;
	double start, end, longest = 0, seconds;
	int n, open = 0;

	if (argc != 4) {
		fprintf(stderr, "usage: redis-load PORT CONNECTIONS SECONDS\n");
		return 2;
	}
	to.sin_port = htons((unsigned short)atoi(argv[1]));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	n = atoi(argv[2]);
	seconds = atof(argv[3]);
	if (n < 1 || n > CONNECTIONS_MAX)
		return 2;
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	signal(SIGPIPE, SIG_IGN);
	start = now_us();
	for (int i = 0; i < n; i++) {
		c[i].fd = socket(AF_INET, SOCK_STREAM, 0);
		p[i] = (struct pollfd){ .fd = c[i].fd, .events = POLLIN };
		if (connect(c[i].fd, (struct sockaddr *)&to, sizeof(to)) || ask(&c[i], i)) {
			failed++;
			p[i].fd = -1;
			continue;
		}
		open++;
		requests++;
	}
	while (open) {
		int ready = poll(p, (nfds_t)n, 5000);

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			break;		/* five seconds without any reply: those outstanding are lost */
		for (int i = 0; i < n; i++) {
			ssize_t got;
			double took;

			if (p[i].fd < 0 || !p[i].revents)
				continue;
			got = read(c[i].fd, c[i].got + c[i].have, sizeof(c[i].got) - c[i].have);
			if (got <= 0) {
				failed++;
				p[i].fd = -1;
				open--;
				continue;
			}
			c[i].have += (size_t)got;
			if (c[i].have < strlen(c[i].want))
				continue;
			replies++;
			wrong += c[i].have != strlen(c[i].want) || memcmp(c[i].got, c[i].want, c[i].have);
			took = now_us() - c[i].sent;
			bucket[took < BUCKETS - 1 ? (int)took : BUCKETS - 1]++;
			if (took > longest)
				longest = took;
			if (stop || now_us() - start > seconds * 1e6) {
				p[i].fd = -1;
				open--;
				continue;
			}
			if (ask(&c[i], i)) {
				failed++;
				p[i].fd = -1;
				open--;
				continue;
			}
			requests++;
		}
	}
	end = now_us();
	printf("requests %lu replies %lu wrong %lu failed %lu rate %.0f p50 %.0f p99 %.0f max %.0f\n", requests, replies, wrong,
	       failed, (double)replies / (end - start) * 1e6, percentile(replies, 0.5), percentile(replies, 0.99), longest);
	return requests != replies || wrong || failed;
}
