/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Functions that can't have a return probe, by name. Pure: used in the process and from outside. */
#include <stdbool.h>
#include <stddef.h>
#include <engine/return.h>

struct refusal {
	const char *name, *why;		/* a trailing '*' stands for anything */
};

/*
 * The first keep their return address for somebody to come back to again; a return that is pending can be used once.
 * The others find something else than a return address where it should be.
 */
static const char twice[] = "it may return more than once";
static const char none[] = "it is not entered by a call";
static const struct refusal refusals[] = {
	{ "setjmp", twice }, { "_setjmp", twice }, { "__setjmp", twice }, { "sigsetjmp", twice }, { "__sigsetjmp", twice },
	{ "___setjmp", twice }, { "__sigsetjmp_nocancel", twice }, { "savectx", twice },
	{ "getcontext", twice }, { "__getcontext", twice }, { "swapcontext", twice }, { "__swapcontext", twice },
	{ "vfork", twice }, { "__vfork", twice }, { "__libc_vfork", twice }, { "__GI_vfork", twice }, { "__GI___vfork", twice },
	{ "__GI__setjmp", twice }, { "__GI___sigsetjmp", twice },
	{ "_start", none }, { "_dl_start_user", none }, { "__start_context", none }, { "__restore_rt", none },
	{ "__restore", none }, { "__default_sa_restorer", none }, { "__default_rt_sa_restorer", none },
	{ "__default_sa_restorer_v2", none }, { "__default_rt_sa_restorer_v2", none }, { "__kernel_rt_sigreturn", none },
	{ "_dl_runtime_resolve*", none }, { "_dl_runtime_profile*", none }, { "_dlfcn_hook*", none }, { "_dl_tlsdesc_*", none },
	{ "mcount", none }, { "_mcount", none }, { "__fentry__", none }, { "__gnu_mcount_nc", none },
	{ "__morestack", none }, { "__morestack_*", none },
};

static bool same(const char *name, const char *pattern)
{
	while (*pattern && *pattern != '*' && *name == *pattern) {
		name++;
		pattern++;
	}
	return *pattern == '*' || *name == *pattern;
}

/* Compilers call them FUNCTION.cold, and .cold.N. */
static bool is_part(const char *name)
{
	for (; *name; name++)
		if (same(name, ".cold") || same(name, ".cold.*"))
			return true;
	return false;
}

const char *st_return_refused(const char *name)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		if (same(name, refusals[i].name))
			return refusals[i].why;
	return is_part(name) ? "it is a part of a function, and entered by a jump" : NULL;
}
