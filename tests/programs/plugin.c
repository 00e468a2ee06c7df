/* SPDX-License-Identifier: GPL-2.0-only */
/* A shared library that tests load, hook and unload again. */

#if defined(__x86_64__)
#define AREA patchable_function_entry(5)
#elif defined(__thumb__)
#define AREA patchable_function_entry(6, 5)
#else
#define AREA patchable_function_entry(1)
#endif

static long plugin_base = 1000;

__attribute__((noipa, AREA)) long plugin_nops(long a, long b)
{
	return plugin_base + a * b;
}

__attribute__((noipa)) long plugin_moved(long a, long b)
{
	return a - b * 3 + plugin_base;
}

__attribute__((noipa)) double plugin_double(double x)
{
	return x * 0.5 + (double)plugin_base;
}
