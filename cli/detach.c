// SPDX-License-Identifier: GPL-2.0-only
/*
 * sidetrack detach: everything out of a process. Done also when there is nothing.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <process/session.h>
#include "cli.h"
#include "patch.h"

const char cli_detach_help[] =
	"sidetrack detach -p PID\n"
	"\n"
	"Removes everything that sidetrack has in a process: probes (also those that another\n"
	"sidetrack is printing), patches, and the agent. Returns that are followed go their own way\n"
	"again, and SIGTRAP is the program's. Afterwards the code of the process is byte for byte\n"
	"what its files hold. Patches are reverted first, the newest first, each as 'patch revert'\n"
	"does it; if a thread is in the way for 10 seconds that one and all else stays (status 3).\n"
	"\n"
	"    -p PID     the process\n"
	"    --json     no effect: there is no output\n"
	"\n"
	"Example:\n"
	"    sidetrack detach -p $(pidof redis-server)\n";

/* Looks again, at all of it, and says what it found. */
static void prove(struct st_session *s, int pid)
{
	unsigned int objects;
	unsigned long bytes;
	long differ = st_session_compare(s, &bytes, &objects);

	if (!differ)
		cli_say("detach: process %d is left: %lu bytes of code in %u objects are what their files hold", pid, bytes,
			objects);
	else if (differ > 0)
		cli_say("detach: process %d is left: %ld of %lu bytes of code are not what their files hold, and not ours", pid,
			differ, bytes);
}

/* The next to be reverted: one in transition, as there is no other change before that is over; else the newest. -1: none is in use. */
static int next_patch(struct st_session *s)
{
	const struct st_ctl *ctl = st_session_ctl(s);
	unsigned int pending;
	bool reversed;
	int found = -1;

	if (st_transition_pending(s, &pending, &reversed) && pending < ST_PATCHES_MAX && ctl->patch[pending].state >= ST_PATCH_TRANSITION)
		return (int)pending;
	for (int i = 0; i < ST_PATCHES_MAX; i++)
		if (ctl->patch[i].state >= ST_PATCH_TRANSITION && (found < 0 || ctl->patch[i].seq > ctl->patch[found].seq))
			found = i;
	return found;
}

/*
 * Patches go as consistently as they came. Their memory, if it is still in use, is the detaching's affair. What the process shares with
 * children or its parent is not for it alone to revert.
 */
static int revert_all(struct st_session *s, struct cli_patching *p, char *err)
{
	const struct st_ctl *ctl = st_session_ctl(s);
	size_t sharers;
	int ret = 0, i;

	free(st_session_sharers(s, &sharers));
	for (int n = 0; !sharers && !ret && n < 2 * ST_PATCHES_MAX && (i = next_patch(s)) >= 0; n++) {
		char name[sizeof(ctl->patch[i].name) + 1] = "";

		memcpy(name, ctl->patch[i].name, sizeof(ctl->patch[i].name));
		p->n = p->next_ms = 0;
		ret = st_patch_revert(s, name, &p->options, err);
		if (ret == -ENOENT || (ret < 0 && ctl->patch[i].state < ST_PATCH_TRANSITION))
			ret = 0;
	}
	return ret;
}

int cli_detach(int argc, char **argv)
{
	static const struct option options[] = { CLI_OPTIONS_ALL, { 0 } };
	static struct cli_patching p;
	char err[ST_ERR_MAX] = "";
	struct st_session *s;
	int pid = 0, c, ret, status = CLI_DONE;

	cli_options_begin();
	while ((c = getopt_long(argc, argv, "p:", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			pid = cli_pid(optarg);
			if (!pid)
				return CLI_USAGE;
			break;
		case CLI_OPT_JSON:
			cli_json = true;
			break;
		case CLI_OPT_HELP:
			return cli_show_help();
		default:
			return cli_bad_option(argc, argv);
		}
	}
	if (optind != argc)
		return cli_usage("detach: what is '%s'?", argv[optind]);
	if (!pid)
		return cli_usage("detach: from which process? (-p PID)");
	cli_hold_signals();
	ret = st_session_open(pid, false, &s, err);
	if (ret == -ENOENT) {
		cli_say("detach: there is nothing of sidetrack in process %d", pid);
		return CLI_DONE;
	}
	if (ret)
		return cli_failed(ret, "detach: %s", err);
	cli_patching_begin(&p, "revert");
	ret = revert_all(s, &p, err);
	if (ret < 0) {
		status = cli_failed(ret, "detach: %s", err);
		if (status == CLI_BUSY)
			cli_patching_busy(&p);
		st_session_close(s);
		return status;
	}
	ret = st_session_detach(s);
	if (ret < 0)
		status = cli_failed(ret, "detach: %s", st_session_error(s));
	else
		prove(s, pid);
	st_session_close(s);
	return status;
}
