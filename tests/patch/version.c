/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Patches for commanded.c, chosen by -D: NAME and V (its version, which its functions answer), LEVEL, and what else is wanted of
 *	PART		only hold()
 *	ELSEWHERE	nothing of the program
 *	LIBRARY		in_library() of the library too
 *	REPLACE_ALL	atomic replace
 *	CALLBACKS	they tell the program that they were called; REFUSE: pre-patch returns -19
 *	STATE, DEPENDS	of this id, in version STATE_VERSION; on this patch
 */
#include <sidetrack/patch.h>

/* So that their arguments are expanded. */
#define PATCH(name, level) ST_PATCH(name, level)
#define STATE_IN(id, version) ST_STATE(id, version)
#define DEPENDS_ON(name) ST_DEPENDS(name)

PATCH(NAME, LEVEL);
#ifndef ELSEWHERE
ST_REPLACE("commanded", "hold", new_hold);
#endif
#if !defined(PART) && !defined(ELSEWHERE)
ST_REPLACE("commanded", "first", new_first);
ST_REPLACE("commanded", "second", new_second);
ST_REPLACE("commanded", "outer", new_outer);
#endif
#ifdef LIBRARY
ST_REPLACE("libcommanded.so", "in_library", new_in_library);
#endif
#ifdef REPLACE_ALL
ST_REPLACE_ALL();
#endif
#ifdef STATE
STATE_IN(STATE, STATE_VERSION);
#endif
#ifdef DEPENDS
DEPENDS_ON(DEPENDS);
#endif

void wait_in_hold(int k);
void event(const char *what, const char *object);

int new_hold(int k)
{
	wait_in_hold(k);
	__asm__ volatile("" ::: "memory");
	return V;
}

__attribute__((noipa)) int new_first(int x)
{
	return x + V;
}

__attribute__((noipa)) int new_second(int x)
{
	return x + V;
}

int new_outer(int x)
{
	int a = new_first(x);

	return a * 1000 + new_second(x);
}

int new_in_library(int x)
{
	return x + V;
}

#ifdef CALLBACKS
#define LIBRARY_NAME "libcommanded.so"
ST_CALLBACKS("commanded", pre_patch, post_patch, pre_unpatch, post_unpatch);
ST_CALLBACKS(LIBRARY_NAME, pre_patch, post_patch, pre_unpatch, post_unpatch);

int pre_patch(const char *object)
{
	event("pre-patch", object);
#ifdef REFUSE
	return object[0] == 'l' ? -19 : 0;
#else
	return 0;
#endif
}

void post_patch(const char *object)
{
	event("post-patch", object);
}

void pre_unpatch(const char *object)
{
	event("pre-unpatch", object);
}

void post_unpatch(const char *object)
{
	event("post-unpatch", object);
}
#endif
