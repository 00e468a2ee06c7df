// SPDX-License-Identifier: GPL-2.0-only
/* The first program of a test machine: built for each instruction set, says which one it was built for. */

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#if defined(__aarch64__)
#define ISA "A64"
#define MACHINE "aarch64"
#elif defined(__thumb__)
#define ISA "T32"
#define MACHINE "armv7l"
#elif defined(__arm__)
#define ISA "A32"
#define MACHINE "armv7l"
#else
#define ISA "x86-64"
#define MACHINE "x86_64"
#endif

int main(int argc, char **argv)
{
	struct utsname name;
	int failed = 0;

	uname(&name);
	printf("hello from %s on %s %s\n", ISA, name.machine, name.release);
	/* The caller says which instruction set it asked the compiler for. */
	if (argc != 2 || strcmp(argv[1], ISA)) {
		printf("built for %s, not for %s\n", ISA, argc == 2 ? argv[1] : "?");
		failed++;
	}
	/* A kernel of its own, not the build machine's. */
	if (strcmp(name.machine, MACHINE)) {
		printf("the kernel is %s, not %s\n", name.machine, MACHINE);
		failed++;
	}
	printf("%d passed, %d failed, 0 skipped\n", 2 - failed, failed);
	return failed != 0;
}
