/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The functions of throwing.cc once more, as a patch. With OWN_TYPE what it throws is of a type that the program does not have, whose
 * memory and code are the patch's.
 */
#include <atomic>
#include <sidetrack/patch.h>
#include "throwing.hh"

#ifdef OWN_TYPE
struct More : Trouble {
	explicit More(int n) : Trouble(n) {}
	const char *what() const noexcept override { return Trouble::what(); }
};
#define OWN(n) More(n)
ST_PATCH(throwing_own, ST_INDEPENDENT);
#else
#define OWN(n) Trouble(n)
ST_PATCH(throwing_fix, ST_INDEPENDENT);
#endif
ST_REPLACE("throwing", "st_test_source", new_source);
ST_REPLACE("throwing", "st_test_middle", new_middle);
ST_REPLACE("throwing", "st_test_catcher", new_catcher);
ST_REPLACE("throwing", "st_test_quiet", new_quiet);

extern "C" {
long new_source(int kind, int n);
long new_middle(int depth, int kind, int n);
long new_catcher(int kind, int n);
long new_quiet(int n) noexcept;
}

/* The program exports nothing. */
ST_TARGET(long (*)(int, int), old_source, "throwing", "st_test_source");
ST_TARGET(long (*)(int, int, int), old_middle, "throwing", "st_test_middle");
ST_TARGET(void (*)(void), old_wait, "throwing", "st_test_wait");
ST_TARGET(long (*)(void), old_traced, "throwing", "st_test_traced");
ST_TARGET(std::atomic<long> *, old_patched, "throwing", "st_test_patched");
#define st_test_source old_source
#define st_test_middle old_middle
#define st_test_wait old_wait
#define st_test_traced old_traced

#define NAME(name) new_##name
#define PATCHED (void)(*old_patched)++
#include "throwing.inc"
