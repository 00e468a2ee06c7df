/* SPDX-License-Identifier: GPL-2.0-only */
/* Functions of a program that is built in many ways; every one takes a number and gives one. */
#ifndef ST_TESTS_SITES_H
#define ST_TESTS_SITES_H

#ifdef __cplusplus
extern "C" {
#endif

struct site_function {
	const char *name;	/* as a glob has it */
	long (*fn)(long);
};
extern const struct site_function site_functions[];
extern const struct site_function site_functions_cxx[];

#ifdef __cplusplus
}
#endif
#endif
