/* SPDX-License-Identifier: GPL-2.0-only */
/* Patches to be installed: for the program, or (LIBRARY) for its library. Level process: it must not wait for the thread that starts. */
#include <sidetrack/patch.h>

int puts(const char *s);

#ifdef LIBRARY
ST_PATCH(in_library, ST_PROCESS);
ST_REPLACE("liblater.so", "in_library", new_function);
#else
ST_PATCH(in_program, ST_PROCESS);
ST_REPLACE("program", "in_program", new_function);
/* So each has a keeper. */
ST_REPLACE("libnever.so", "never", new_function);
#endif

int (*volatile imported)(const char *) = puts;

int new_function(void)
{
	/* An import that is there only when the libraries are. */
	return imported ? 2 : 3;
}
