/* SPDX-License-Identifier: GPL-2.0-only */
/* fork() deep in calls: both processes return through them. vfork(), and an exec or an exit of the child. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "return.h"

static volatile long one = 1;

KEEP long forked(long depth, long *child)
{
	long got;

	if (!depth) {
		fflush(stdout);
		*child = fork();
		return 1;
	}
	got = forked(depth - 1, child) * 3 + depth;
	return got;
}

KEEP int status_of(pid_t pid)
{
	int status;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

KEEP void end_child(int code)
{
	_exit(code + (int)one);
}

KEEP int vforked(int code)
{
	pid_t pid = vfork();

	if (!pid)
		end_child(code);
	return status_of(pid);
}

KEEP int spawned(const char *text)
{
	pid_t pid = vfork();

	if (!pid) {
		execl("/bin/sh", "sh", "-c", text, (char *)NULL);
		_exit(127);
	}
	return status_of(pid);
}

int main(void)
{
	long sum = 0;

	for (int i = 0; i < 40; i++) {
		long child, got = forked(i % 17, &child);

		if (!child)
			exit((int)(got % 120));
		sum += got + status_of((pid_t)child);
	}
	for (int i = 0; i < 40; i++)
		sum += vforked(i);
	for (int i = 0; i < 4; i++)
		sum = sum * 2 + spawned(i % 2 ? "exit 3" : "exit 4");
	printf("%ld\n", sum);
	return 0;
}
