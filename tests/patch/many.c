/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Many processes of a program to be patched.
 *
 *	one			a line on stdin: "a": writes a byte, what answer() says; "h": the same, but stays in answer() until the next "f"
 *	many COUNT PROGRAM	starts that many of them, "ready PIDS" when all run. Commands on stdin, a line each, and what they answer:
 *		ask		"answers OLD NEW", how many answered what
 *		hold K, free K	the Kth: "held", "freed A"
 *		At the end of stdin they end; "ok" if all did well
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY_MAX 4000

static int to[MANY_MAX], count;
static pid_t pid[MANY_MAX];

/* Patches call it, too. */
void stay(void)
{
	char byte;

	if (write(1, "h", 1) != 1 || read(0, &byte, 1) != 1)
		exit(1);
}

__attribute__((noipa)) char answer(int hold)
{
	if (hold)
		stay();
	__asm__ volatile("" ::: "memory");
	return '1';
}

static int one(void)
{
	char byte;

	if (write(1, "r", 1) != 1)
		return 1;
	while (read(0, &byte, 1) == 1) {
		char c = answer(byte == 'h');

		if (write(1, &c, 1) != 1)
			return 1;
	}
	return 0;
}

static char talk(int k, char what)
{
	char got = '?';

	if (write(to[k], &what, 1) != 1 || read(to[k], &got, 1) != 1)
		return '?';
	return got;
}

static void start(int k, const char *program)
{
	char got;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		perror("socketpair");
		exit(1);
	}
	pid[k] = fork();
	if (!pid[k]) {
		dup2(pair[1], 0);
		dup2(pair[1], 1);
		execl(program, program, (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	to[k] = pair[0];
	if (read(to[k], &got, 1) != 1 || got != 'r') {
		fprintf(stderr, "number %d does not start\n", k);
		exit(1);
	}
}

static void ask(void)
{
	int old = 0, new = 0;

	for (int k = 0; k < count; k++) {
		char got = talk(k, 'a');

		old += got == '1';
		new += got == '2';
	}
	printf("answers %d %d\n", old, new);
}

int main(int argc, char **argv)
{
	struct rlimit files;
	char line[64];
	int bad = 0, k;

	if (argc < 3)
		return one();
	count = atoi(argv[1]);
	if (count < 1 || count > MANY_MAX)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	for (k = 0; k < count; k++)
		start(k, argv[2]);
	printf("ready");
	for (k = 0; k < count; k++)
		printf(" %d", pid[k]);
	putchar('\n');
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "ask\n"))
			ask();
		else if (sscanf(line, "hold %d", &k) == 1)
			puts(talk(k, 'h') == 'h' ? "held" : "not held");
		else if (sscanf(line, "free %d", &k) == 1)
			printf("freed %c\n", talk(k, 'f'));
	}
	for (k = 0; k < count; k++) {
		int status;

		close(to[k]);
		bad += waitpid(pid[k], &status, 0) != pid[k] || status;
	}
	if (!bad)
		puts("ok");
	return bad != 0;
}
