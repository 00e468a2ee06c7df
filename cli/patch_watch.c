// SPDX-License-Identifier: GPL-2.0-only
/* sidetrack patch watch: patches for what comes later. Mostly runs where nobody sees its stderr, so it writes to syslog, too. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <syslog.h>
#include <unistd.h>
#include <patch/later.h>
#include <patch/watch.h>
#include "cli.h"
#include "patch.h"

void cli_patch_keep(const struct cli_patching *p, struct st_session *s)
{
	char err[ST_ERR_MAX];

	if (st_later_start(s, err) < 0)
		cli_say("patch %s: %s", p->verb, err);
}

static bool stop(void *ctx)
{
	(void)ctx;
	return cli_signal_pending() != 0;
}

static void say(void *ctx, const char *sentence)
{
	(void)ctx;
	cli_say("patch watch: %s", sentence);
	syslog(LOG_WARNING, "%s", sentence);
}

/* Who has started us waits for this line. @ctx: a process's id, 0: programs that start. */
static void ready(void *ctx)
{
	int null, at_end, pid = *(int *)ctx;

	if (pid)
		printf("watching process %d\n", pid);
	else
		puts("watching programs that start");
	cli_flush(&at_end);
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null >= 0 && !isatty(STDOUT_FILENO))
		dup2(null, STDOUT_FILENO);
	if (null >= 0)
		close(null);
}

static int watch(int pid, unsigned int ms, const char *const *on)
{
	struct st_later_options later = { .size = sizeof(later), .ready = ready, .stop = stop, .say = say, .ctx = &pid };
	struct st_watch_options o = { .size = sizeof(o), .ms = ms, .on = on, .ready = ready, .stop = stop, .say = say, .ctx = &pid };
	char err[ST_ERR_MAX] = "";
	int ret;

	cli_hold_signals();
	prctl(PR_SET_NAME, "sidetrack");	/* started through a link in /proc it has another name */
	openlog("sidetrack", LOG_PID, LOG_DAEMON);
	ret = pid ? st_later_keep(pid, &later, err) : st_watch(&o, err);
	return ret ? cli_failed(ret, "patch watch: %s", err) : CLI_DONE;
}

int cli_patch_watch(int argc, char **argv)
{
	enum { TIMEOUT = 1, ON };
	static const struct option options[] = { CLI_OPTIONS_ALL, { "timeout", required_argument, NULL, TIMEOUT },
					  { "on", required_argument, NULL, ON }, { 0 } };
	const char **on = calloc((size_t)argc + 1, sizeof(*on));
	unsigned int ms = 0;
	size_t n = 0;
	int pid = 0, c;

	if (!on)
		return cli_failed(-ENOMEM, "patch watch: out of memory");
	cli_options_begin();
	while ((c = getopt_long(argc, argv, "p:", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			pid = cli_pid(optarg);
			if (!pid)
				return CLI_USAGE;
			break;
		case TIMEOUT:
			if (!cli_time(optarg, "--timeout", &ms))
				return CLI_USAGE;
			break;
		case ON:
			on[n++] = optarg;
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
		return cli_usage("patch watch: what is '%s'?", argv[optind]);
	return watch(pid, ms, n ? on : NULL);
}
