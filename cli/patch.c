// SPDX-License-Identifier: GPL-2.0-only
/*
 * sidetrack patch: apply, revert, check, list; the other sub-commands have files of their own. What a patch is and whether it may
 * go in is decided in patch/.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>
#include <patch/check.h>
#include <patch/patch.h>
#include <process/session.h>
#include "cli.h"
#include "patch.h"
#include "processes.h"

#define SHOWN 8		/* threads in the way, at the end */
#define PROGRESS_MS 500

const char cli_patch_help[] =
	"sidetrack patch apply {-p PID | --all} [OPTION]... FILE...\n"
	"sidetrack patch revert {-p PID | --all} [OPTION]... NAME...\n"
	"sidetrack patch check [-p PID] [OPTION]... FILE\n"
	"sidetrack patch list [-p PID | --installed]\n"
	"sidetrack patch install FILE... | uninstall NAME... | watch [-p PID]\n"
	"sidetrack patch build --object [NAME=]FILE... FIX.so -o OUT\n"
	"sidetrack patch sign --key FILE PATCH... | --generate FILE\n"
	"\n"
	"Replaces functions of a running process by those of a patch: a shared object made with\n"
	"the macros of sidetrack/patch.h. 'revert' brings the old functions back. 'check' says\n"
	"whether it would apply, and who is in the way now. 'list' prints a line for each patch:\n"
	"    NAME STATE LEVEL OBJECT FUNCTIONS\n"
	"\n"
	"    -p PID            the process; 'list' without it: all processes\n"
	"    --all             every process that the patch is for, a line for each\n"
	"    --timeout TIME    wait for threads in the way (10s); then nothing is changed, exit 3\n"
	"    --level LEVEL     be more careful than the patch asks for: thread or process\n"
	"    --no-wait         leave it in transition if a thread is in the way\n"
	"    --force           after the timeout wait no more: threads may mix old and new\n"
	"    --allow-unsigned  apply a patch that nobody trusted has signed\n"
	"    --json            'list', 'check': one JSON object a line\n"
	"\n"
	"Example:\n"
	"    cc -shared -fPIC -O2 -nostartfiles -o fix.so fix.c\n"
	"    sidetrack patch apply -p 1234 --allow-unsigned fix.so\n";

static int list_process(int pid, struct st_session *s, void *ctx)
{
	const struct st_ctl *ctl = st_session_ctl(s);
	unsigned int index[ST_PATCHES_MAX], n = cli_patches(ctl, index);
	bool *which = ctx;

	if (n && which && !cli_json)
		cli_say("process %d (%s):", pid, st_proc_comm(st_session_proc(s)));
	for (unsigned int i = 0; i < n; i++)
		cli_show_patch(pid, &ctl->patch[index[i]], "", false);
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

/* ---- a transition, as people see it ---- */

static bool stop(void *ctx)
{
	(void)ctx;
	return cli_signal_pending() != 0;
}

static void say(void *ctx, const char *sentence)
{
	struct cli_patching *p = ctx;

	cli_say("patch %s: %s", p->verb, sentence);
}

static void progress(void *ctx, const struct st_patch_progress *p)
{
	struct cli_patching *patching = ctx;

	patching->n = p->n < CLI_BUSY_MAX ? p->n : CLI_BUSY_MAX;
	memcpy(patching->busy, p->busy, patching->n * sizeof(p->busy[0]));
	memcpy(patching->busy_ms, p->busy_ms, patching->n * sizeof(p->busy_ms[0]));
	if (!isatty(STDERR_FILENO) || p->ms < patching->next_ms)
		return;
	patching->next_ms = p->ms + PROGRESS_MS;
	cli_say("patch %s: %s is %s, for %u.%u s: %zu in the way%s%s", patching->verb, p->name,
		p->reversed ? "being taken back" : "in transition", p->ms / 1000, p->ms / 100 % 10, p->n, p->n ? ": " : "",
		p->n ? p->busy[0].text : "");
}

void cli_patching_begin(struct cli_patching *p, const char *verb)
{
	memset(p, 0, sizeof(*p));
	p->verb = verb;
	p->options = (struct st_patch_options){
		.size = sizeof(p->options), .timeout_ms = ST_PATCH_TIMEOUT_MS, .level = ST_PATCH_LEVEL_OWN,
		.stop = stop, .progress = progress, .say = say, .ctx = p,
	};
}

void cli_patching_busy(const struct cli_patching *p)
{
	for (size_t i = 0; i < p->n && i < SHOWN; i++)
		cli_say("in the way for %u.%u s: %s", p->busy_ms[i] / 1000, p->busy_ms[i] / 100 % 10, p->busy[i].text);
	if (p->n > SHOWN)
		cli_say("and %zu more", p->n - SHOWN);
}

static int apply_file(struct cli_patching *p, struct st_session *s, const char *path, char *err)
{
	struct st_patch_file *file;
	int ret = st_patch_open(path, &p->options, &file, err);

	if (ret)
		return ret;
	ret = st_patch_apply(s, file, &p->options, err);
	st_patch_close(file);
	return ret;
}

/* Each file (name) in turn; the first that fails ends it, those before it stay. */
static int change(int pid, struct cli_patching *p, char **what, int n)
{
	bool apply = *p->verb == 'a';
	char err[ST_ERR_MAX] = "";
	struct st_session *s;
	int ret, i;

	cli_hold_signals();
	ret = st_session_open(pid, apply, &s, err);
	if (ret == -ENOENT && !apply)
		return cli_failed(ret, "patch revert: there is no patch in process %d", pid);
	if (ret)
		return cli_failed(ret, "patch %s: %s", p->verb, err);
	for (i = 0; i < n && ret >= 0 && !cli_signal_pending(); i++) {
		p->n = p->next_ms = 0;
		ret = apply ? apply_file(p, s, what[i], err) : st_patch_revert(s, what[i], &p->options, err);
	}
	if (apply && i)
		cli_patch_keep(p, s);
	st_session_close(s);
	if (ret < 0) {
		ret = cli_failed(ret, "patch %s: %s", p->verb, err);
		if (ret == CLI_BUSY)
			cli_patching_busy(p);
		return ret;
	}
	if (i < n)
		return cli_failed(-EINTR, "patch %s: interrupted before %s", p->verb, what[i]);
	return CLI_DONE;
}

static bool level(const char *text, int *level)
{
	static const char *const names[] = { "independent", "thread", "process" };

	for (int i = 0; i < 3; i++)
		if (!strcmp(text, names[i])) {
			*level = i;
			return true;
		}
	cli_usage("'%s' is no level: independent, thread or process", text);
	return false;
}

/* Sub-commands that have a file of their own, and options of their own. */
static const struct cli_sub {
	const char *name;
	int (*run)(int argc, char **argv);
} subs[] = {
	{ "build", cli_patch_build },
	{ "sign", cli_patch_sign },
	{ "install", cli_patch_install },
	{ "uninstall", cli_patch_install },
	{ "watch", cli_patch_watch },
};

int cli_patch(int argc, char **argv)
{
	enum { ALL = 1, INSTALLED, TIMEOUT, LEVEL, NO_WAIT, FORCE, UNSIGNED };
	static const struct option options[] = {
		CLI_OPTIONS_ALL,
		{ "all", no_argument, NULL, ALL },
		{ "installed", no_argument, NULL, INSTALLED },
		{ "timeout", required_argument, NULL, TIMEOUT },
		{ "level", required_argument, NULL, LEVEL },
		{ "no-wait", no_argument, NULL, NO_WAIT },
		{ "force", no_argument, NULL, FORCE },
		{ "allow-unsigned", no_argument, NULL, UNSIGNED },
		{ 0 }
	};
	static struct cli_patching p;
	bool all = false, installed = false;
	const char *sub;
	int pid = 0, c;

	for (size_t i = 0; argc > 1 && i < sizeof(subs) / sizeof(subs[0]); i++) {
		if (strcmp(argv[1], subs[i].name))
			continue;
		if (subs[i].run)
			return subs[i].run(argc - 1, argv + 1);
		cli_say("patch %s is not there yet in this version", subs[i].name);
		return CLI_FAILED;
	}
	cli_patching_begin(&p, "");
	cli_options_begin();
	while ((c = getopt_long(argc, argv, "p:", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			pid = cli_pid(optarg);
			if (!pid)
				return CLI_USAGE;
			break;
		case ALL:
			all = true;
			break;
		case INSTALLED:
			installed = true;
			break;
		case TIMEOUT:
			if (!cli_time(optarg, "--timeout", &p.options.timeout_ms))
				return CLI_USAGE;
			break;
		case LEVEL:
			if (!level(optarg, &p.options.level))
				return CLI_USAGE;
			break;
		case NO_WAIT:
			p.options.no_wait = true;
			break;
		case FORCE:
			p.options.force = true;
			break;
		case UNSIGNED:
			p.options.allow_unsigned = true;
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
	if (optind == argc)
		return cli_usage("patch: apply, revert, check or list?");
	sub = argv[optind++];
	if (!strcmp(sub, "list") && all)
		return cli_usage("patch list: without -p PID it lists all processes");
	if (installed && (strcmp(sub, "list") || pid))
		return cli_usage("--installed is for 'patch list', without -p PID");
	if (installed)
		return optind == argc ? cli_patch_list_installed() : cli_usage("patch list: what is '%s'?", argv[optind]);
	if (!strcmp(sub, "list"))
		return optind == argc ? list(pid)
				      : cli_usage("patch list: what is '%s'?", argv[optind]);
	if (strcmp(sub, "apply") && strcmp(sub, "revert") && strcmp(sub, "check"))
		return cli_usage("there is no 'patch %s'", sub);
	p.verb = sub;
	if (*sub == 'c' ? all : all == !!pid)
		return *sub == 'c' ? cli_usage("patch check: one process, with -p PID, not --all")
				   : cli_usage("patch %s: which process? (-p PID, or --all)", sub);
	if (optind == argc)
		return cli_usage("patch %s: which %s?", sub, *sub == 'r' ? "NAME" : "FILE");
	if (all)
		return cli_patch_all(&p, argv + optind, argc - optind);
	if (*sub != 'c')
		return change(pid, &p, argv + optind, argc - optind);
	return optind + 1 == argc ? cli_patch_check(pid, argv[optind], &p) : cli_usage("patch check: what is '%s'?", argv[optind + 1]);
}
