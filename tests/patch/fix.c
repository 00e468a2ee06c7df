/* SPDX-License-Identifier: GPL-2.0-only */
/* A patch for patched.c: an exported and a static function, one with floating point; calls what is exported and what is not. */
#include <sidetrack/patch.h>

ST_PATCH(fix, ST_INDEPENDENT);
ST_REPLACE("patched", "plain", new_plain);
ST_REPLACE("patched", "is_static", new_static);
ST_REPLACE("patched", "floating", new_floating);
ST_TARGET(int (*)(int), old_hidden_helper, "patched", "hidden_helper");
ST_TARGET(int *, old_hidden_number, "patched", "hidden_number");

int helper(int x);

static int own_data = 3;

int new_plain(int a, int b)
{
	return helper(a + b);
}

int new_static(int a)
{
	own_data++;
	return *old_hidden_number == 17 ? old_hidden_helper(a) : -1;
}

double new_floating(double x, int n)
{
	return x * n * 2;
}
