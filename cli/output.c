// SPDX-License-Identifier: GPL-2.0-only
/* See output.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli.h"
#include "output.h"

#define BUFFER (256u << 10)
#define PIECE 4096		/* PIPE_BUF: what a pipe that poll() calls writable takes without blocking */
#define WAIT_MS 20		/* between two looks at signals */
#define PATIENCE_MS 1000	/* with a reader, once a signal has come */

static struct {
	int fd;
	bool blocking;		/* a write may block although some of it would fit */
	bool cut;
	int patience;
} out;

static ssize_t write_out(void *cookie, const char *text, size_t len)
{
	struct pollfd fd = { .fd = out.fd, .events = POLLOUT };
	size_t done = 0;

	(void)cookie;
	while (done < len && !out.cut) {
		size_t piece = out.blocking && len - done > PIECE ? PIECE : len - done;
		ssize_t got = 0;

		if (poll(&fd, 1, WAIT_MS) != 0) {
			got = write(out.fd, text + done, piece);
			if (got < 0 && errno != EAGAIN && errno != EINTR)
				return done ? (ssize_t)done : 0;
		}
		if (got > 0) {
			done += (size_t)got;
			continue;
		}
		if (cli_signalled())
			out.patience -= WAIT_MS;
		out.cut = out.patience <= 0;
	}
	return (ssize_t)len;
}

bool cli_output(const char *path)
{
	static char buffer[BUFFER];
	cookie_io_functions_t io = { .write = write_out };
	struct stat st = { 0 };
	FILE *stream;

	if (path) {
		out.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
		if (out.fd < 0) {
			cli_say("%s can't be written: %s", path, strerror(errno));
			return false;
		}
	} else {
		/* Not to block, and not to make others that have it open not block. Not a file: the place in it is shared. */
		out.fd = -1;
		if (fstat(STDOUT_FILENO, &st) || S_ISFIFO(st.st_mode) || isatty(STDOUT_FILENO))
			out.fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
		out.blocking = out.fd < 0 && !S_ISREG(st.st_mode);
		if (out.fd < 0)
			out.fd = STDOUT_FILENO;
	}
	out.cut = false;
	out.patience = PATIENCE_MS;
	fflush(stdout);
	stream = fopencookie(NULL, "w", io);
	if (!stream) {
		cli_say("out of memory");
		return false;
	}
	setvbuf(stream, buffer, _IOFBF, sizeof(buffer));
	/* One thread prints. */
	__fsetlocking(stream, FSETLOCKING_BYCALLER);
	stdout = stream;
	return true;
}

bool cli_output_cut(void)
{
	return out.cut;
}
