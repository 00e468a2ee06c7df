/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A program that an installed patch is for. Says what the first call answers that it makes: in its constructor, and in main().
 *
 *	installed			"first C M L": constructor, main, library (0: not linked with it, WITH_LIBRARY)
 *	installed spawn N PROGRAM	starts it N times with posix_spawn(), one after the other
 *	installed daemon PROGRAM FILE	starts it from a child of a child that has left its session; its output goes to the file
 *	installed stay			as without, and stays until stdin ends; "again M L"
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static int in_constructor;

__attribute__((noipa)) int in_program(void)
{
	__asm__ volatile("" ::: "memory");
	return 1;
}

#ifdef WITH_LIBRARY
int in_library(void);
#else
static int in_library(void)
{
	return 0;
}
#endif

__attribute__((constructor)) static void construct(void)
{
	in_constructor = in_program();
}

static int spawn(int n, char *program)
{
	char *argv[] = { program, NULL };
	int status;
	pid_t pid;

	while (n--)
		if (posix_spawn(&pid, program, NULL, NULL, argv, environ) || waitpid(pid, &status, 0) != pid || status)
			return 1;
	return 0;
}

static int daemonise(const char *program, const char *file)
{
	if (fork())
		return 0;
	setsid();
	if (fork())
		_exit(0);
	if (chdir("/") || dup2(open(file, O_WRONLY | O_CREAT | O_APPEND, 0644), 1) < 0)
		_exit(1);
	execl(program, program, (char *)NULL);
	_exit(127);
}

int main(int argc, char **argv)
{
	char byte;

	if (argc == 4 && !strcmp(argv[1], "spawn"))
		return spawn(atoi(argv[2]), argv[3]);
	if (argc == 4 && !strcmp(argv[1], "daemon"))
		return daemonise(argv[2], argv[3]);
	printf("first %d %d %d\n", in_constructor, in_program(), in_library());
	fflush(stdout);
	if (argc == 2 && !strcmp(argv[1], "stay")) {
		while (read(0, &byte, 1) == 1)
			;
		printf("again %d %d\n", in_program(), in_library());
	}
	return 0;
}
