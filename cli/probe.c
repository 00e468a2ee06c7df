// SPDX-License-Identifier: GPL-2.0-only
/*
 * sidetrack probe: print the arguments of functions as they are called.
 *
 * However it ends (Ctrl-C, SIGTERM, a closed pipe, enough hits, the process gone), the hooks are
 * removed first.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <process/follow.h>
#include <probe/hist.h>
#include <probe/target.h>
#include "cli.h"
#include "output.h"

const char cli_probe_help[] =
	"sidetrack probe {-p PID 'SPEC'... | 'SPEC'... -- COMMAND [ARGUMENT...]}\n"
	"\n"
	"Prints a line for each hit, COMM-TID [CPU] TIME: NAME: (FUNCTION+OFFSET) NAME=VALUE..., until Ctrl-C or the end.\n"
	"\n"
	"SPEC is   p[:NAME] [OBJECT:]FUNCTION[+OFFSET] [NAME=FETCHARG[:TYPE]]...   or OBJECT:0xADDRESS, as in the file\n"
	"          r[:NAME] [OBJECT:]FUNCTION [NAME=FETCHARG[:TYPE]]...   when it returns\n"
	"FETCHARG  $argN (from 1) $retval %REG $stack $stackN $comm \\NUMBER @ADDR @SYMBOL[+OFFSET] +OFFSET(FETCHARG) \\\"TEXT\";\n"
	"          with debug information also a C expression: c->argv[0]->ptr:string\n"
	"TYPE      u8 to u64, s8 to s64, x8 to x64, char, string, symbol, TYPE[N], b<width>@<offset>/<size>\n"
	"          What can't be read is printed as (fault).\n"
	"\n"
	"    -p PID     the process; may be given several times\n"
	"    --follow   also its children, and the programs that they execute\n"
	"    --wait     also in objects that are loaded later (always so with a COMMAND)\n"
	"    -n COUNT   end after COUNT hits\n"
	"    -c         print only counts, at the end\n"
	"    --hist X   print only a histogram of a value (its name, or FETCHARG[:TYPE]), at the end\n"
	"    -f EXPR    only hits for which it is true: NAME OP VALUE, && || ! ( ); OP is == != < <= > >= &,\n"
	"               for texts == != ~ (a glob)\n"
	"    -o FILE    print to FILE; stdout is also COMMAND's\n"
	"    --json     one JSON object a line\n"
	"\n"
	"Example: which files does a process open? (more: man sidetrack-probe)\n"
	"    sidetrack probe -p 1234 'p:open libc.so.6:open64 path=$arg1:string flags=$arg2:x32'\n";

#define TARGETS 16		/* given by -p */
#define FOLLOWED 512		/* with all that they execute */
#define SPECS 64
#define IDLE_MS 20		/* the longest that a hit waits to be printed */
#define LETTERS_MS 2		/* and a letter to be answered */
#define BATCH 4096		/* hits between two looks at signals and the output */

struct run {
	struct st_target *targets[FOLLOWED];
	unsigned int ntargets;
	char **texts;			/* of the specifications */
	unsigned int flags;		/* ST_TARGET_* */
	struct st_follow executing;
	char **command;			/* NULL: there is none */
	pid_t child;			/* its process, 0: not started */
	bool matched[SPECS];		/* somewhere, at some time */
	struct st_spec specs[SPECS];
	uint64_t hits[SPECS];		/* of the targets that are closed */
	unsigned int nspecs;
	uint64_t limit;			/* 0: none */
	uint64_t printed;
	bool enough;			/* was printed */
	bool behind;			/* there are more hits than were printed this time */
	uint64_t lost, missed;
	bool counts;
	const char *filters[ST_FILTERS_MAX];	/* as they were written */
	unsigned int nfilters;
	struct st_wants wants;
	uint64_t hist[SPECS][ST_HIST_BUCKETS];	/* of the targets that are closed */
};

/* Where in the text: the text, and below it a mark. */
static int bad_spec(const char *text, const struct st_spec_error *err)
{
	size_t i;

	cli_say("probe: %s", err->text);
	fputs("    ", stderr);
	st_print_safe(stderr, text, strlen(text));
	fputs("\n    ", stderr);
	for (i = 0; i < err->pos; i++)
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			fputc(' ', stderr);
	fputs("^\n", stderr);
	return err->status;
}

/* Close a target, and keep its counts. */
static void close_target(struct run *r, unsigned int which, int *status)
{
	struct st_target *t = r->targets[which];
	char err[ST_ERR_MAX] = "";
	unsigned int i;
	int ret;

	for (i = 0; i < r->nspecs; i++) {
		r->hits[i] += st_target_hits(t, i);
		r->matched[i] |= !st_target_waits(t, i);
		st_target_hist(t, i, r->hist[i]);
	}
	r->lost += st_target_lost(t);
	r->missed += st_target_missed(t);
	st_follow_forget(&r->executing, st_target_pid(t));
	ret = st_target_close(t, err);
	if (ret)
		*status = cli_failed(ret, "probe: %s", err);
	r->targets[which] = r->targets[--r->ntargets];
}

static void tell(void *ctx, const char *sentence)
{
	(void)ctx;
	cli_say("probe: %s", sentence);
}

static int open_target(struct run *r, int pid)
{
	char err[ST_ERR_MAX] = "", note[ST_ERR_MAX] = "";
	struct st_target *t;
	unsigned int i;
	int ret;

	if (r->ntargets == FOLLOWED)
		return cli_failed(-ENOSPC, "probe: process %d is not followed: there are %d already", pid, FOLLOWED);
	ret = st_target_open(pid, r->flags, &r->wants, &t, err);
	if (ret)
		return cli_failed(ret, "probe: %s", err);
	for (i = 0; i < r->nspecs; i++) {
		ret = st_target_add(t, &r->specs[i], r->texts[i], note, err);
		if (ret < 0) {
			int status = cli_failed(ret, "probe: %s", err);

			if (st_target_close(t, err))
				status = cli_failed(-EIO, "probe: %s", err);
			return status;
		}
		if (note[0])
			cli_say("probe: %s", note);
	}
	st_target_expect(t, tell, NULL);
	st_target_start(t);
	r->targets[r->ntargets++] = t;
	return CLI_DONE;
}

/* Print what there is, or a batch of it. Returns false when enough was printed. */
static bool print_hits(struct run *r, struct st_target *t, bool *any)
{
	struct st_probe_hit hit;
	unsigned int i;

	for (i = 0; i < BATCH && st_target_next(t, &hit); i++) {
		*any = true;
		if (cli_json)
			st_print_json(stdout, &hit);
		else
			st_print_text(stdout, &hit);
		if (++r->printed == r->limit)
			return false;
	}
	r->behind |= i == BATCH;
	return true;
}

/* The last hits of a program that has gone. False: enough was printed. */
static bool drain(struct run *r, struct st_target *t)
{
	while (!cli_signal_pending()) {
		bool more = false;

		if (!print_hits(r, t, &more))
			return false;
		if (!more)
			break;
	}
	return true;
}

/* A program that a followed process has executed, held before its first instruction. */
static void open_executed(struct run *r, struct st_hold *hold)
{
	unsigned int i;
	int status = CLI_DONE;

	/* The process had another program before. */
	for (i = 0; i < r->ntargets; i++) {
		if (st_target_pid(r->targets[i]) != hold->pid)
			continue;
		if (!drain(r, r->targets[i])) {
			r->enough = true;
			st_hold_drop(hold);
			return;
		}
		close_target(r, i--, &status);
	}
	/* What can't be followed goes on without us. */
	if (open_target(r, hold->pid) != CLI_DONE)
		st_hold_drop(hold);
}

static void set_busy(struct run *r, bool busy)
{
	unsigned int i;

	for (i = 0; i < r->ntargets; i++)
		st_target_busy(r->targets[i], busy);
}

/* What processes have to tell. Returns true when somebody had. */
static bool read_letters(struct run *r)
{
	struct st_hold hold;
	bool any = false;
	unsigned int i;
	int tid;

	for (i = 0; i < r->ntargets; i++) {
		enum st_letter letter = st_target_letter(r->targets[i], &tid);

		if (letter == ST_LETTER_NONE)
			continue;
		set_busy(r, true);
		if (letter == ST_LETTER_LOOK) {
			st_follow_forget(&r->executing, st_target_pid(r->targets[i]));
			st_target_look(r->targets[i], tell, NULL);
		} else if (tid) {
			st_follow_add(&r->executing, tid);
		}
		st_target_answer(r->targets[i]);
		any = true;
	}
	while (!r->enough && st_follow_next(&r->executing, &hold)) {
		set_busy(r, true);
		open_executed(r, &hold);
		any = true;
	}
	if (any)
		set_busy(r, false);
	return any;
}

static bool count_reached(const struct run *r)
{
	uint64_t n = 0;
	unsigned int i, j;

	if (!r->counts || !r->limit)
		return false;
	for (i = 0; i < r->nspecs; i++) {
		n += r->hits[i];
		for (j = 0; j < r->ntargets; j++)
			n += st_target_hits(r->targets[j], i);
	}
	return n >= r->limit;
}

/* A process that has gone, with all its children. False: enough was printed. */
static bool see_off(struct run *r, unsigned int which, const char *gone, int *status)
{
	struct st_target *t = r->targets[which];
	int pid = st_target_pid(t);
	bool again = st_target_replaced(t) && r->flags & ST_TARGET_FOLLOW;

	if (!drain(r, t))
		return false;
	/* The end of the command is told with its status, and what was followed comes and goes. */
	if (pid != r->child && !(r->flags & ST_TARGET_FOLLOW))
		cli_say("probe: process %d %s", pid, gone);
	else if (pid == r->child && st_target_replaced(t) && !again)
		cli_say("probe: process %d %s; --follow goes on with that", pid, gone);
	close_target(r, which, status);
	/* Executed in a way that we had no letter of. */
	if (again)
		open_target(r, pid);
	return true;
}

/* Until something ends it. */
static int follow(struct run *r)
{
	struct pollfd out = { .fd = STDOUT_FILENO }; /* no events: only that its reader has gone */
	bool letters = r->flags & (ST_TARGET_WAIT | ST_TARGET_FOLLOW | ST_TARGET_RETURNS);
	int status = CLI_DONE, wait = 1, longest = letters ? LETTERS_MS : IDLE_MS;
	unsigned int i;

	while ((r->ntargets || r->executing.n) && !cli_signal_pending()) {
		bool any = letters && read_letters(r);

		if (r->enough)
			return status;
		r->behind = false;
		for (i = 0; i < r->ntargets; i++) {
			/* Asked first: what was recorded before it went is printed. */
			const char *gone = st_target_gone(r->targets[i]);

			if (!print_hits(r, r->targets[i], &any))
				return status;
			/* Held before its first instruction, it is for read_letters(): here it would be let go. */
			if (!gone || st_target_alive(r->targets[i]) || st_follow_has(&r->executing, st_target_pid(r->targets[i])))
				continue;
			if (!see_off(r, i--, gone, &status))
				return status;
		}
		if (!cli_flush(&status) || count_reached(r))
			break;
		wait = any ? 1 : wait * 2 < longest ? wait * 2 : longest;
		if (poll(&out, 1, r->behind ? 0 : wait) > 0 && out.revents & (POLLERR | POLLHUP | POLLNVAL))
			break;
	}
	return status;
}

/* Start the command, and probe it before it runs. */
static int start(struct run *r, const sigset_t *mask)
{
	char err[ST_ERR_MAX] = "";
	struct st_hold hold;
	int ret, status;

	ret = st_start(r->command, mask, &hold, err);
	if (ret)
		return cli_failed(ret, "probe: %s", err);
	r->child = hold.pid;
	status = open_target(r, hold.pid);
	if (status != CLI_DONE) {
		/* It has not run, and will not. */
		kill(hold.pid, SIGKILL);
		st_hold_drop(&hold);
		waitpid(hold.pid, NULL, __WALL);
		r->child = 0;
	}
	return status;
}

/* Its end, if it has ended; @wait: it is about to, or runs on unprobed, until a signal comes. */
static void end_command(struct run *r, bool wait)
{
	int status, got = 0;

	while (r->child && !(got = waitpid(r->child, &status, WNOHANG)) && wait && !cli_signal_pending())
		poll(NULL, 0, IDLE_MS);
	if (!r->child || got != r->child)
		return;
	if (WIFSIGNALED(status))
		cli_say("probe: %s was ended by signal %d (%s)", r->command[0], WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status))
		cli_say("probe: %s ended with status %d", r->command[0], WEXITSTATUS(status));
}

static void print_counts(const struct run *r)
{
	unsigned int i;

	for (i = 0; i < r->nspecs; i++) {
		if (r->wants.hist) {
			(cli_json ? st_hist_json : st_hist_text)(stdout, r->specs[i].name, r->wants.hist, r->hist[i]);
		} else if (cli_json) {
			fputs("{\"name\":", stdout);
			st_json_string(stdout, r->specs[i].name, strlen(r->specs[i].name));
			printf(",\"hits\":%" PRIu64 "}\n", r->hits[i]);
		} else {
			printf("%s %" PRIu64 "\n", r->specs[i].name, r->hits[i]);
		}
	}
}

/* Names that nothing ever had. */
static int tell_unmatched(const struct run *r)
{
	int status = CLI_DONE;
	unsigned int i;

	for (i = 0; i < r->nspecs; i++)
		if (!r->matched[i])
			status = cli_failed(-ENOENT, "probe: nothing was there that %s matches", r->texts[i]);
	return status;
}

static int probe(struct run *r, const int *pids, unsigned int npids, const char *file)
{
	int status = CLI_DONE, closing = CLI_DONE;
	struct st_spec_error err;
	unsigned int i;
	sigset_t mask;
	bool ended;

	for (i = 0; i < r->nspecs; i++) {
		if (st_spec_parse(r->texts[i], st_spec_native, &r->specs[i], &err))
			return bad_spec(r->texts[i], &err);
		if (r->specs[i].ret)
			r->flags |= ST_TARGET_RETURNS;
	}
	for (i = 0; i < r->nfilters; i++)
		if (st_filter_parse(r->filters[i], st_spec_native, r->specs, r->nspecs, &r->wants.filter[i], &err))
			return bad_spec(r->filters[i], &err);
	r->wants.nfilters = r->nfilters;
	for (i = 0; r->wants.hist && i < r->nspecs; i++)
		if (st_hist_check(r->wants.hist, st_spec_native, &r->specs[i], &err))
			return bad_spec(r->wants.hist, &err);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	cli_hold_signals();
	if (!cli_output(file))
		return CLI_FAILED;
	for (i = 0; i < npids && status == CLI_DONE && !cli_signal_pending(); i++)
		status = open_target(r, pids[i]);
	if (r->command)
		status = start(r, &mask);
	if (status == CLI_DONE && i == npids)
		status = follow(r);
	ended = !r->ntargets;
	while (r->ntargets)
		close_target(r, r->ntargets - 1, &closing);
	st_follow_end(&r->executing);
	if (closing != CLI_DONE)
		status = closing;
	end_command(r, ended && !cli_signalled());
	if (r->counts && status == CLI_DONE)
		print_counts(r);
	if (r->lost)
		cli_say("probe: %" PRIu64
			" hits were lost: they came faster than they could be printed",
			r->lost);
	if (r->missed)
		cli_say("probe: %" PRIu64
			" hits were not recorded: they came while a hook ran on that thread",
			r->missed);
	if (status == CLI_DONE && !cli_flush(&closing))
		status = closing;
	if (cli_output_cut())
		cli_say("probe: the last lines were not written: their reader does not read");
	return status == CLI_DONE && r->flags & ST_TARGET_WAIT ? tell_unmatched(r) : status;
}

int cli_probe(int argc, char **argv)
{
	static const struct option options[] = {
		CLI_OPTIONS_ALL,
		{ "hist", required_argument, NULL, 'H' },
		{ "follow", no_argument, NULL, 'F' },
		{ "wait", no_argument, NULL, 'W' },
		{ 0 }
	};
	int pids[TARGETS], pid, c, i, status;
	unsigned int npids = 0, n;
	struct run *r;
	char **command = NULL;
	const char *file = NULL;
	uint64_t limit = 0;
	unsigned int flags = 0;
	const char *filters[ST_FILTERS_MAX], *hist = NULL;
	unsigned int nfilters = 0;

	/* The command's options are its own. */
	for (i = 1; i < argc && !command; i++)
		if (!strcmp(argv[i], "--")) {
			command = argv + i + 1;
			argc = i;
		}
	cli_options_begin();
	while ((c = getopt_long(argc, argv, "p:n:cf:o:", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			pid = cli_pid(optarg);
			if (!pid)
				return CLI_USAGE;
			for (n = 0; n < npids && pids[n] != pid; n++)
				;
			if (n < npids)
				break;
			if (npids == TARGETS)
				return cli_usage("probe: at most %d processes at a time", TARGETS);
			pids[npids++] = pid;
			break;
		case 'n':
			if (!cli_count(optarg, "probe: -n", &limit))
				return CLI_USAGE;
			break;
		case 'c':
			flags |= ST_TARGET_COUNTS;
			break;
		case 'o':
			file = optarg;
			break;
		case 'f':
			if (nfilters == ST_FILTERS_MAX)
				return cli_usage("probe: at most %d filters", ST_FILTERS_MAX);
			filters[nfilters++] = optarg;
			break;
		case 'H':
			hist = optarg;
			break;
		case 'F':
			flags |= ST_TARGET_FOLLOW | ST_TARGET_WAIT;
			break;
		case 'W':
			flags |= ST_TARGET_WAIT;
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
	if (command && npids)
		return cli_usage("probe: either -p PID or -- COMMAND");
	if (command && !*command)
		return cli_usage("probe: which command? (-- COMMAND [ARGUMENT...])");
	if (!npids && !command)
		return cli_usage("probe: of which process? (-p PID, or -- COMMAND)");
	if (optind == argc)
		return cli_usage("probe: which function? ('p [OBJECT:]FUNCTION')");
	if (argc - optind > SPECS)
		return cli_usage("probe: at most %d probes at a time", SPECS);
	r = calloc(1, sizeof(*r));
	if (!r)
		return cli_failed(-ENOMEM, "probe: out of memory");
	r->limit = limit;
	/* A histogram is printed at the end, like counts, and the hits are not. */
	if (hist)
		flags |= ST_TARGET_COUNTS;
	r->counts = flags & ST_TARGET_COUNTS;
	r->flags = command ? flags | ST_TARGET_WAIT : flags;
	r->wants.hist = hist;
	r->nfilters = nfilters;
	memcpy(r->filters, filters, nfilters * sizeof(filters[0]));
	r->command = command;
	r->texts = argv + optind;
	r->nspecs = (unsigned int)(argc - optind);
	status = probe(r, pids, npids, file);
	free(r);
	return status;
}
