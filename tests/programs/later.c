/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Loads two libraries (late.c), one after the other, several times: the second is likely to come where the first was.
 * `later FIRST SECOND ROUNDS [FILE]`; waits for the file to be there before it begins.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int load(const char *path, const char *name, long want)
{
	void *lib = dlopen(path, RTLD_NOW);
	long (*fn)(long), got;

	if (!lib) {
		fprintf(stderr, "later: %s\n", dlerror());
		return 1;
	}
	fn = (long (*)(long))dlsym(lib, name);
	got = fn ? fn(2) : -1;
	dlclose(lib);
	if (got != want)
		fprintf(stderr, "later: %s: %ld, not %ld\n", name, got, want);
	return got != want;
}

int main(int argc, char **argv)
{
	int i, bad = 0;

	if (argc < 4)
		return 2;
	while (argc > 4 && access(argv[4], F_OK))
		usleep(20000);
	for (i = 0; i < atoi(argv[3]); i++) {
		bad |= load(argv[1], "late_first", 12);
		bad |= load(argv[2], "late_second", 27);
	}
	return bad;
}
