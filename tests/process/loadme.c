// SPDX-License-Identifier: GPL-2.0-only
/*
 * An object for st_load(): imports (one of them an indirect function in glibc), relocated data,
 * bss, read-only data with pointers, a weak import that nobody has. Built without start files.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern long target_add(long a, long b, long c, long d);
extern long nobody_has_this(void) __attribute__((weak));

static long counter = 40;
static long *volatile at_counter = &counter;
static char room[20000];
static const char *const words[] = {"one", "two", "three"};
static long (*const volatile adders[])(long, long, long, long) = {target_add};

/* The same name as a function of the process: the object's own is taken. */
__attribute__((noinline)) long target_hang(void)
{
	return 7;
}

long loaded_main(long a, long b);
long loaded_main(long a, long b)
{
	char text[64];
	size_t i;

	if (nobody_has_this)
		return -1;
	for (i = 0; i < sizeof(room); i++)
		if (room[i])
			return -2;
	room[0] = room[sizeof(room) - 1] = 1;
	if (strcmp(words[1], "two") || strlen(words[2]) != 5)
		return -3;
	snprintf(text, sizeof(text), "%ld-%s", a, words[0]);
	if (strcmp(text, "5-one"))
		return -4;
	*at_counter += 2;
	if (counter != 42)
		return -5;
	counter = 40;
	memset(room, 0, sizeof(room));
	if (getpid() <= 0)
		return -6;
	return adders[0](a, b, counter / 10, target_hang());
}
