/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A program for patches that are built with its file. bound-twin.c has a static function of the same name.
 *
 *	bound		"ready" when it runs; SIGUSR1: prints "answer A B"; SIGUSR2: changes a byte of a function's code, or changes it back;
 *			SIGTERM: ends
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noipa))

int second(int x);
unsigned char *second_code(void);

static volatile sig_atomic_t asked, change, ended;

static NOINLINE int helper(int x)
{
	__asm__ volatile("" : "+r"(x));
	return x + 1;
}

NOINLINE int first(int x)
{
	return helper(x);
}

#ifdef OTHER
/* Another build: what it is called is the same, where it is not. */
NOINLINE int other(int x)
{
	return helper(x) * 3;
}
#endif

static NOINLINE int one_way(int x)
{
	__asm__ volatile("" : "+r"(x));
	return x;
}

static int (*choose(void))(int)
{
	return one_way;
}

int chosen(int x) __attribute__((ifunc("choose")));

static void change_code(void)
{
	static unsigned char was;
	unsigned char *code = second_code(), now;
	int fd = open("/proc/self/mem", O_RDWR);

	now = was ? was : (unsigned char)(*code ^ 1);
	was = was ? 0 : *code;
	if (fd < 0 || pwrite(fd, &now, 1, (off_t)(unsigned long)code) != 1)
		puts("can't change code");
	else
		puts(was ? "changed" : "changed back");
	close(fd);
}

static void on_signal(int sig)
{
	if (sig == SIGUSR1)
		asked = 1;
	else if (sig == SIGUSR2)
		change = 1;
	else
		ended = 1;
}

int main(void)
{
	struct timespec nap = { 0, 2000000 };

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGUSR1, on_signal);
	signal(SIGUSR2, on_signal);
	signal(SIGTERM, on_signal);
	puts("ready");
	while (!ended) {
		nanosleep(&nap, NULL);
		if (asked) {
			asked = 0;
			printf("answer %d %d\n", chosen(first(10)), second(10));
		}
		if (change) {
			change = 0;
			change_code();
		}
	}
	return 0;
}
