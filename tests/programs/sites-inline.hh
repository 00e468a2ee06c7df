/* SPDX-License-Identifier: GPL-2.0-only */
/* Functions that two files define and the linker keeps once (COMDAT): GCC 12 loses their patchable-entry records. */
#ifndef ST_TESTS_SITES_INLINE_HH
#define ST_TESTS_SITES_INLINE_HH

extern volatile long site_seed;

__attribute__((noinline)) inline long site_inline(long n)
{
	return n * 3 + site_seed;
}

template <int N> __attribute__((noinline)) long site_template(long n)
{
	return n * N + site_seed;
}

struct site_class {
	long base;
	explicit site_class(long b) : base(b) {}
	virtual ~site_class() = default;
	__attribute__((noinline)) virtual long method(long n) const { return base * n + site_seed; }
};

#endif
