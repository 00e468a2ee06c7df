// SPDX-License-Identifier: GPL-2.0-only
/*
 * sidetrack: the command. Finds the verb, and knows which verbs there will be.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include "cli.h"

#ifndef ST_VERSION
#define ST_VERSION "0.1.0"
#endif

bool cli_json;

static const struct cli_verb verbs[] = {
	{ "functions", cli_functions,
	  "list the functions of a process or a file, and how they can be hooked",
	  cli_functions_help },
	{ "probe", cli_probe, "print the arguments of functions as they are called",
	  cli_probe_help },
	{ "patch", cli_patch, "replace functions of a running process", cli_patch_help },
	{ "status", cli_status, "show what sidetrack has in a process", cli_status_help },
	{ "detach", cli_detach, "remove everything from a process", cli_detach_help },
	/*
	 * Verbs of the contract that are not there yet: refused by name, so that a typing error is
	 * something else.
	 */
	{ "trace", NULL, NULL, NULL },
	{ "report", NULL, NULL, NULL },
	{ "export", NULL, NULL, NULL },
	{ "graph", NULL, NULL, NULL },
	{ "top", NULL, NULL, NULL },
	{ "live", NULL, NULL, NULL },
	{ "diff", NULL, NULL, NULL },
	{ "snapshot", NULL, NULL, NULL },
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static const struct cli_verb *running;

static const struct cli_verb *find_verb(const char *name)
{
	size_t i;

	for (i = 0; i < VERBS; i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static void show_overview(FILE *out)
{
	size_t i;

	fprintf(out,
		"sidetrack: hooks at the entry of functions of running processes\n"
		"\n"
		"    sidetrack [--json] VERB ...\n"
		"\n");
	for (i = 0; i < VERBS; i++)
		if (verbs[i].run)
			fprintf(out, "    %-10s %s\n", verbs[i].name, verbs[i].line);
	fputs("\n"
	      "    sidetrack help VERB    one screen about a verb, with an example\n"
	      "    sidetrack --version\n"
	      "\n"
	      "Functions are named [OBJECT:]FUNCTION, both may be globs, as in libc.so.6:mall*.\n"
	      "Exit status: 0 done, 1 could not, 2 wrong usage, 3 busy (nothing was changed).\n"
	      "\n"
	      "Example: what does a server allocate?\n"
	      "    sidetrack probe -p $(pidof redis-server) -n 9 'p libc.so.6:malloc $arg1:u64'\n",
	      out);
}

static int not_yet(const struct cli_verb *verb)
{
	cli_say("%s is not there yet in this version", verb->name);
	return CLI_FAILED;
}

static int help(const char *name)
{
	const struct cli_verb *verb = find_verb(name);

	if (!verb)
		return cli_usage("there is no verb '%s'", name);
	if (!verb->run)
		return not_yet(verb);
	fputs(verb->help, stdout);
	return CLI_DONE;
}

int cli_show_help(void)
{
	return help(running->name);
}

static int run(int argc, char **argv)
{
	int i = 1;

	while (i < argc && !strcmp(argv[i], "--json")) {
		cli_json = true;
		i++;
	}
	if (i == argc) {
		show_overview(stderr);
		return CLI_USAGE;
	}
	if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h") || !strcmp(argv[i], "help")) {
		if (i + 1 < argc)
			return help(argv[i + 1]);
		show_overview(stdout);
		return CLI_DONE;
	}
	if (!strcmp(argv[i], "--version")) {
		printf("sidetrack %s\n", ST_VERSION);
		return CLI_DONE;
	}
	if (argv[i][0] == '-')
		return cli_usage("%s is not known", argv[i]);
	running = find_verb(argv[i]);
	if (!running)
		return cli_usage("there is no verb '%s'", argv[i]);
	if (!running->run)
		return not_yet(running);
	return running->run(argc - i, argv + i);
}

int main(int argc, char **argv)
{
	int status, at_end;

	/* A closed pipe is an error of a write, after which hooks are removed. */
	signal(SIGPIPE, SIG_IGN);
	status = run(argc, argv);
	if (!cli_flush(&at_end) && status == CLI_DONE)
		status = at_end;
	return status;
}
