// SPDX-License-Identifier: GPL-2.0-only
/*
 * sidetrack patch: apply, revert, list. What a patch is and whether it may go in is decided in
 * patch/.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <patch/patch.h>
#include <process/session.h>
#include "cli.h"
#include "processes.h"

const char cli_patch_help[] =
	"sidetrack patch apply -p PID FILE...\n"
	"sidetrack patch revert -p PID NAME...\n"
	"sidetrack patch list [-p PID]\n"
	"\n"
	"Replaces functions of a running process by those of a patch: a shared object made with\n"
	"the macros of sidetrack/patch.h. 'revert' brings the old functions back. 'list' prints a\n"
	"line for each patch:\n"
	"    NAME STATE LEVEL OBJECT FUNCTIONS\n"
	"STATE is disabled, transition or enabled; LEVEL is independent, thread or process.\n"
	"\n"
	"    -p PID     the process; 'list' without it: all processes\n"
	"    --json     'list': one JSON object a line\n"
	"\n"
	"Example:\n"
	"    cc -shared -fPIC -O2 -o fix.so fix.c\n"
	"    sidetrack patch apply -p 1234 fix.so\n"
	"    sidetrack patch revert -p 1234 fix\n";

static int list_process(int pid, struct st_session *s, void *ctx)
{
	const struct st_ctl *ctl = st_session_ctl(s);
	bool *which = ctx, said = false;
	unsigned int i;

	for (i = 0; i < ST_PATCHES_MAX; i++) {
		if (ctl->patch[i].state == ST_PATCH_FREE)
			continue;
		if (which && !said && !cli_json)
			cli_say("process %d (%s):", pid, st_proc_comm(st_session_proc(s)));
		said = true;
		cli_show_patch(pid, &ctl->patch[i], "");
	}
	return CLI_DONE;
}

static int list(int pid)
{
	char err[ST_ERR_MAX] = "";
	struct st_session *s;
	unsigned int skipped;
	struct st_proc *proc;
	bool which = true;
	int ret;

	if (!pid) {
		ret = cli_each_process(list_process, &which, &skipped);
		if (skipped)
			cli_say("patch list: %u more processes can't be looked at (not yours)",
				skipped);
		return ret;
	}
	ret = st_session_open(pid, false, &s, err);
	if (ret == -ENOENT) {
		ret = st_proc_open(pid, &proc, err);
		if (ret)
			return cli_failed(ret, "patch list: %s", err);
		st_proc_close(proc);
		return CLI_DONE;
	}
	if (ret)
		return cli_failed(ret, "patch list: %s", err);
	list_process(pid, s, NULL);
	st_session_close(s);
	return CLI_DONE;
}

/* Each file (name) in turn; the first that fails ends it, those before it stay. */
static int change(int pid, bool apply, char **what, int n)
{
	const char *verb = apply ? "apply" : "revert";
	char err[ST_ERR_MAX] = "";
	struct st_session *s;
	int ret, i;

	cli_hold_signals();
	ret = st_session_open(pid, apply, &s, err);
	if (ret == -ENOENT && !apply)
		return cli_failed(ret, "patch revert: there is no patch in process %d", pid);
	if (ret)
		return cli_failed(ret, "patch %s: %s", verb, err);
	for (i = 0; i < n && ret >= 0 && !cli_signal_pending(); i++)
		ret = apply ? st_patch_apply(s, what[i], err) : st_patch_revert(s, what[i], err);
	st_session_close(s);
	if (ret < 0)
		return cli_failed(ret, "patch %s: %s", verb, err);
	if (i < n)
		return cli_failed(-EINTR, "patch %s: interrupted before %s", verb, what[i]);
	return CLI_DONE;
}

int cli_patch(int argc, char **argv)
{
	static const char *const later[] = { "build", "check", "sign", "install", "uninstall" };
	enum { ALL = 1 };
	static const struct option options[] = {
		CLI_OPTIONS_ALL,
		{ "all", no_argument, NULL, ALL },
		{ 0 }
	};
	const char *sub;
	int pid = 0, c;
	size_t i;

	if (argc > 1)
		for (i = 0; i < sizeof(later) / sizeof(later[0]); i++)
			if (!strcmp(argv[1], later[i])) {
				cli_say("patch %s is not there yet in this version", later[i]);
				return CLI_FAILED;
			}
	cli_options_begin();
	while ((c = getopt_long(argc, argv, "p:", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			pid = cli_pid(optarg);
			if (!pid)
				return CLI_USAGE;
			break;
		case ALL:
			cli_say("patch: --all is not there yet; use -p PID");
			return CLI_FAILED;
		case CLI_OPT_JSON:
			cli_json = true;
			break;
		case CLI_OPT_HELP:
			return cli_show_help();
		default:
			return cli_bad_option(argc, argv);
		}
	}
	if (optind == argc)
		return cli_usage("patch: apply, revert or list?");
	sub = argv[optind++];
	if (!strcmp(sub, "list"))
		return optind == argc ? list(pid)
				      : cli_usage("patch list: what is '%s'?", argv[optind]);
	if (strcmp(sub, "apply") && strcmp(sub, "revert"))
		return cli_usage("there is no 'patch %s'", sub);
	if (!pid)
		return cli_usage("patch %s: which process? (-p PID)", sub);
	if (optind == argc)
		return cli_usage("patch %s: which %s?", sub, *sub == 'a' ? "FILE" : "NAME");
	return change(pid, *sub == 'a', argv + optind, argc - optind);
}
