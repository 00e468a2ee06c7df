/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A program with children of every kind, each of which calls work(): forked, executed after fork, vfork and posix_spawn, a daemon,
 * and itself in the end. `family MODE...` does one after the other; `family work N` is what is executed. `until FILE` waits for a
 * file to be there, and so does the child of `orphan FILE`.
 */
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

__attribute__((noipa)) int work(int n)
{
	return n * 2;
}

static int bad;
static char *self;

static void expect(int got, int want, const char *what)
{
	if (got == want)
		return;
	fprintf(stderr, "family: %s: %d, not %d\n", what, got, want);
	bad = 1;
}

static void nap(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&t, &t))
		;
}

static int result(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -status;
}

static void *in_thread(void *arg)
{
	return (void *)(long)work((int)(long)arg);
}

static void do_threads(void)
{
	pthread_t t[3];
	long i;

	for (i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, in_thread, (void *)(10 + i));
	for (i = 0; i < 3; i++) {
		void *got;

		pthread_join(t[i], &got);
		expect((int)(long)got, 2 * (int)(10 + i), "thread");
	}
}

static void do_fork(void)
{
	int i;

	for (i = 0; i < 3; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(work(20 + i));
		expect(result(pid), 2 * (20 + i), "fork");
	}
}

static void do_exec(int n, int how)
{
	char number[16], *argv[] = { self, "work", number, NULL };
	pid_t pid = -1;

	snprintf(number, sizeof(number), "%d", n);
	if (how == 2)
		posix_spawn(&pid, self, NULL, NULL, argv, environ);
	else
		pid = how == 1 ? vfork() : fork();
	if (!pid) {
		execv(self, argv);
		_exit(1);
	}
	expect(result(pid), 2 * n, "exec");
}

/* Away from its parent, which does not wait for it. */
static void do_daemon(void)
{
	pid_t pid = fork();

	if (!pid) {
		setsid();
		if (fork())
			_exit(0);
		nap(300);
		_exit(work(40) != 80);
	}
	result(pid);
}

static void until(const char *file)
{
	while (file && access(file, F_OK))
		nap(20);
}

/* A child that is there after its parent. */
static void do_orphan(const char *file)
{
	pid_t pid = fork();

	if (!pid) {
		until(file);
		_exit(work(41) != 82);
	}
	printf("%d\n", (int)pid);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int i;

	self = "/proc/self/exe";
	if (argc == 3 && !strcmp(argv[1], "work"))
		return work(atoi(argv[2]));
	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "threads"))
			do_threads();
		else if (!strcmp(argv[i], "fork"))
			do_fork();
		else if (!strcmp(argv[i], "exec"))
			do_exec(30, 0);
		else if (!strcmp(argv[i], "vfork"))
			do_exec(31, 1);
		else if (!strcmp(argv[i], "spawn"))
			do_exec(32, 2);
		else if (!strcmp(argv[i], "daemon"))
			do_daemon();
		else if (!strcmp(argv[i], "missing") && execlp("no-such-program", "no-such-program", NULL))
			work(50);
		else if (!strcmp(argv[i], "orphan"))
			do_orphan(argv[++i]);
		else if (!strcmp(argv[i], "until"))
			until(argv[++i]);
		else if (!strcmp(argv[i], "wait"))
			nap(300);
		else if (!strcmp(argv[i], "self"))
			execl(self, argv[0], "work", "60", NULL);
	}
	work(70);
	return bad;
}
