/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See sites-inline.hh. Exceptions pass through hooked functions, too; not with NO_THROW: with -fpatchable-function-entry
 * on ARM, GCC 12's exceptions end the program, hooked or not.
 */
#include <cstddef>
#include "sites.h"
#include "sites-inline.hh"

volatile long site_seed = 5;
long site_other_file(long n);

__attribute__((noinline)) static long site_throws(long n)
{
#ifndef NO_THROW
	if (n & 1)
		throw n;
#endif
	return n;
}

__attribute__((noinline)) static long site_catches(long n)
{
	try {
		return site_throws(n) + 1;
	} catch (long x) {
		return x * 100;
	}
}

__attribute__((noinline)) static long site_object(long n)
{
	site_class *volatile object = new site_class(n);
	long value = object->method(n);

	delete object;
	return value;
}

const struct site_function site_functions_cxx[] = {
	{ "_Z11site_inlinel", site_inline },
	{ "_Z13site_templateILi4EEll", site_template<4> },
	{ "_Z15site_other_filel", site_other_file },
	{ "_ZL12site_catchesl", site_catches },
	{ "_ZL11site_objectl", site_object },
	{ NULL, NULL },
};
