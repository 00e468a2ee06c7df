/* SPDX-License-Identifier: GPL-2.0-only */
/* The second file with the functions of sites-inline.hh. */
#include "sites-inline.hh"

long site_other_file(long n);

__attribute__((noinline)) long site_other_file(long n)
{
	return site_inline(n) + site_template<4>(n) + site_template<9>(n);
}
