/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the verbs of the command line share. One file a verb; the contract is docs' cli page:
 * results to stdout, all else to stderr, exit status 0 done, 1 could not, 2 wrong usage, 3 busy.
 */
#ifndef ST_CLI_CLI_H
#define ST_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum cli_status {
	CLI_DONE = 0,
	CLI_FAILED = 1,		/* could not; a sentence was printed */
	CLI_USAGE = 2,
	CLI_BUSY = 3,		/* nothing was changed; trying again may work */
};

struct cli_verb {
	const char *name;
	int (*run)(int argc, char **argv);	/* argv[0] is the verb; NULL: not there yet */
	const char *line;			/* what it does, in a few words */
	const char *help;			/* one screen with an example */
};

int cli_functions(int argc, char **argv);
int cli_probe(int argc, char **argv);
int cli_patch(int argc, char **argv);
int cli_status(int argc, char **argv);
int cli_detach(int argc, char **argv);

extern const char cli_functions_help[], cli_probe_help[], cli_patch_help[];
extern const char cli_status_help[], cli_detach_help[];

/* --json was given, before or behind the verb. */
extern bool cli_json;

/*
 * "sidetrack: VERB: sentence", to stderr. What is foreign in the sentence is made safe for a
 * terminal.
 */
__attribute__((format(printf, 1, 2)))
void cli_say(const char *fmt, ...);

/* cli_say(), and the exit status for a negative errno. */
__attribute__((format(printf, 2, 3)))
int cli_failed(int error, const char *fmt, ...);

/* cli_say(), a hint at the help, and CLI_USAGE. */
__attribute__((format(printf, 1, 2)))
int cli_usage(const char *fmt, ...);

/* Begin to parse a verb's options: getopt_long() starts anew, and prints nothing itself. */
void cli_options_begin(void);
/* What getopt_long() returned '?' or ':' for. */
int cli_bad_option(int argc, char **argv);
/* --help of the verb that runs. */
int cli_show_help(void);

/* Every verb's getopt_long() values for the options that all have. */
#define CLI_OPT_HELP 1000
#define CLI_OPT_JSON 1001
/* clang-format off */
#define CLI_OPTIONS_ALL								\
	{ "help", no_argument, NULL, CLI_OPT_HELP },				\
	{ "json", no_argument, NULL, CLI_OPT_JSON }
/* clang-format on */

/* A process id. Returns 0 and says why if it is none. */
int cli_pid(const char *text);

/* A count from 1. Returns false and says why if it is none. */
bool cli_count(const char *text, const char *what, uint64_t *n);

/* A time: 10s, 500ms, 1.5m, 1h; seconds without a unit. Returns false and says why if it is none. */
bool cli_time(const char *text, const char *what, unsigned int *ms);

/* Ctrl-C, SIGTERM and SIGHUP wait until the verb is through, or has cleaned up. */
void cli_hold_signals(void);
/* Has one of them come? Returns its number or 0. */
int cli_signal_pending(void);
/* Has one come, now or before? */
bool cli_signalled(void);

/*
 * Write out stdout. Returns false when that is not possible any more. A reader that has gone away
 * is no failure (CLI_DONE in *status), a full disk is (said, CLI_FAILED).
 */
bool cli_flush(int *status);

/* `[OBJECT:]FUNCTION`, both globs: does it match? */
bool cli_glob_match(const char *glob, const char *object, const char *function);

/* One word of a line of output: never empty, blanks escaped. */
void cli_word(FILE *out, const char *text);

#endif
