/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stdout for a verb that prints for long: a reader that does not read must not keep the verb from ending.
 */
#ifndef ST_CLI_OUTPUT_H
#define ST_CLI_OUTPUT_H

#include <stdbool.h>

/**
 * cli_output() - from here on stdout goes to a file, or where it went, but gives up when a signal has come
 * @path: a file that is made anew; NULL: where stdout goes
 *
 * To be called after cli_hold_signals().
 *
 * Return: false when it can't be done; says why.
 */
bool cli_output(const char *path);

/* Was something thrown away because its reader did not read when the verb was to end? */
bool cli_output_cut(void);

#endif
