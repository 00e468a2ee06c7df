/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A load for the servers of real.sh. Each request has two right answers, the program's own and the patch's; anything else is a mixture,
 * or harm. Usage: real-load KIND PORT [CONNECTIONS]. Without CONNECTIONS it asks once and prints `old`, `new` or what came. Else it
 * asks until SIGTERM, some of the time on new connections, and prints a line: replies, old, new, wrong, failed connections. Exit
 * status 0: nothing was wrong, nothing failed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64
#define ASKED_MAX 200		/* on one connection */
#define WAIT_MS 60000
#define NAP_US 200		/* the tool wants a CPU, too */

static const struct kind {
	const char *name, *first, *ask, *end, *old, *new;
	bool http;
} kinds[] = {
	{ "redis", "SET real abcde\r\n", "STRLEN real\r\n", "\r\n", ":5\r\n", ":1012\r\n", false },
	{ "nginx", NULL, "GET /?real=abcde HTTP/1.1\r\nHost: real\r\n\r\n", "\n", "abcde\n", "bcde\n", true },
	{ "python", NULL, "1.5\n", "\n", "1.5\n", "1101.5\n", false },
	{ "memcached", "set real 0 0 5\r\nabcde\r\n", "get real\r\n", "END\r\n", "VALUE real 0 5\r\nabcde\r\nEND\r\n", NULL, false },
};

struct connection {
	char got[2048];
	size_t have;
	int asked;
};

static const struct kind *kind;
static struct sockaddr_in to = { .sin_family = AF_INET };
static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static int ask(int fd, struct connection *c, const char *what)
{
	c->have = 0;
	c->asked++;
	return write(fd, what, strlen(what)) == (ssize_t)strlen(what) ? 0 : -1;
}

/* A whole answer, or NULL. */
static const char *answer(struct connection *c, const char *end)
{
	const char *from = c->got;

	c->got[c->have] = '\0';
	if (kind->http) {
		from = strstr(c->got, "\r\n\r\n");
		if (!from)
			return NULL;
		from += 4;
	}
	return strlen(from) >= strlen(end) && !strcmp(from + strlen(from) - strlen(end), end) ? from : NULL;
}

/* -1: the connection is broken. */
static int more(int fd, struct connection *c)
{
	ssize_t n = read(fd, c->got + c->have, sizeof(c->got) - 1 - c->have);

	if (n <= 0)
		return n < 0 && errno == EINTR ? 0 : -1;
	c->have += (size_t)n;
	return 0;
}

static int open_one(struct connection *c)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	c->have = 0;
	c->asked = 0;
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static int ask_once(void)
{
	struct connection c;
	int fd = open_one(&c);
	const char *got = NULL;

	if (fd < 0)
		return 1;
	if (kind->first) {
		if (ask(fd, &c, kind->first))
			return 1;
		while (!answer(&c, "\r\n"))
			if (more(fd, &c))
				return 1;
	}
	if (ask(fd, &c, kind->ask))
		return 1;
	while (!(got = answer(&c, kind->end)))
		if (more(fd, &c))
			return 1;
	close(fd);
	if (!strcmp(got, kind->old))
		puts("old");
	else if (kind->new && !strcmp(got, kind->new))
		puts("new");
	else
		printf("wrong: %s\n", got);
	return 0;
}

int main(int argc, char **argv)
{
	static struct connection c[CONNECTIONS_MAX];
	unsigned long old = 0, new = 0, wrong = 0, failed = 0;
	struct pollfd p[CONNECTIONS_MAX];
	int n = argc > 3 ? atoi(argv[3]) : 0;

	for (size_t i = 0; argc > 2 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(argv[1], kinds[i].name))
			kind = &kinds[i];
	if (!kind || n < 0 || n > CONNECTIONS_MAX)
		return 2;
	to.sin_port = htons((unsigned short)atoi(argv[2]));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	signal(SIGPIPE, SIG_IGN);
	if (!n)
		return ask_once();
	signal(SIGTERM, on_signal);
	for (int i = 0; i < n; i++) {
		p[i] = (struct pollfd){ .fd = open_one(&c[i]), .events = POLLIN };
		if (p[i].fd < 0 || ask(p[i].fd, &c[i], kind->ask))
			failed++;
	}
	while (!stop && !failed) {
		int ready = poll(p, (nfds_t)n, WAIT_MS);

		usleep(NAP_US);
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0) {
			printf("no answer for a minute\n");
			failed++;
		}
		for (int i = 0; ready > 0 && i < n && !failed; i++) {
			const char *got;

			if (!p[i].revents)
				continue;
			if (more(p[i].fd, &c[i])) {
				failed++;
				break;
			}
			got = answer(&c[i], kind->end);
			if (!got)
				continue;
			if (!strcmp(got, kind->old)) {
				old++;
			} else if (kind->new && !strcmp(got, kind->new)) {
				new++;
			} else if (!wrong++) {
				printf("wrong: %s\n", got);
			}
			if (c[i].asked >= ASKED_MAX) {
				close(p[i].fd);
				p[i].fd = open_one(&c[i]);
			}
			if (p[i].fd < 0 || ask(p[i].fd, &c[i], kind->ask))
				failed++;
		}
	}
	printf("%lu replies, %lu old, %lu new, %lu wrong, %lu failed\n", old + new + wrong, old, new, wrong, failed);
	return wrong || failed;
}
