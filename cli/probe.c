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
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <probe/hist.h>
#include <probe/target.h>
#include "cli.h"

const char cli_probe_help[] =
	"sidetrack probe -p PID 'SPEC' ['SPEC'...]\n"
	"\n"
	"Prints a line for each call of the functions that match, until Ctrl-C:\n"
	"    COMM-TID [CPU] SECONDS.MICROS: NAME: (FUNCTION+OFFSET) NAME=VALUE...\n"
	"\n"
	"SPEC is      p[:NAME] [OBJECT:]FUNCTION [NAME=FETCHARG[:TYPE]]...\n"
	"FETCHARG is  $argN (N from 1)  %REG  $stack  $stackN  $comm  \\NUMBER\n"
	"             @ADDR, @SYMBOL[+OFFSET], +OFFSET(FETCHARG), -OFFSET(FETCHARG): memory there\n"
	"TYPE is      u8 to u64, s8 to s64, x8 to x64, char, string, symbol, TYPE[N],\n"
	"             b<width>@<offset>/<size>\n"
	"A pointer that can't be read gives (fault).\n"
	"\n"
	"    -p PID     the process; may be given several times\n"
	"    -n COUNT   end after COUNT hits\n"
	"    -c         print only counts, at the end\n"
	"    -f EXPR    only hits for which it is true: NAME OP VALUE, && || ! ( )\n"
	"    --hist EXPR  a power-of-two histogram of a value, at the end\n"
	"    --json     one JSON object a line\n"
	"\n"
	"Example: which files does a process open?\n"
	"    sidetrack probe -p 1234 'p:open libc.so.6:open64 path=$arg1:string flags=$arg2:x32'\n";

#define TARGETS 16
#define SPECS 64
#define IDLE_MS 20		/* the longest that a hit waits to be printed */
#define BATCH 4096		/* hits between two looks at signals and the output */

struct run {
	struct st_target *targets[TARGETS];
	unsigned int ntargets;
	struct st_spec specs[SPECS];
	uint64_t hits[SPECS];		/* of the targets that are closed */
	unsigned int nspecs;
	uint64_t limit;			/* 0: none */
	uint64_t printed;
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
		st_target_hist(t, i, r->hist[i]);
	}
	r->lost += st_target_lost(t);
	r->missed += st_target_missed(t);
	ret = st_target_close(t, err);
	if (ret)
		*status = cli_failed(ret, "probe: %s", err);
	r->targets[which] = r->targets[--r->ntargets];
}

static int open_target(struct run *r, int pid, char **texts)
{
	char err[ST_ERR_MAX] = "", note[ST_ERR_MAX] = "";
	struct st_target *t;
	unsigned int i;
	int ret;

	ret = st_target_open(pid, r->counts, &r->wants, &t, err);
	if (ret)
		return cli_failed(ret, "probe: %s", err);
	for (i = 0; i < r->nspecs; i++) {
		ret = st_target_add(t, &r->specs[i], texts[i], note, err);
		if (ret < 0) {
			int status = cli_failed(ret, "probe: %s", err);

			if (st_target_close(t, err))
				status = cli_failed(-EIO, "probe: %s", err);
			return status;
		}
		if (note[0])
			cli_say("probe: %s", note);
	}
	st_target_start(t);
	r->targets[r->ntargets++] = t;
	return CLI_DONE;
}

/* Print what there is. Returns false when enough was printed. */
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
	return true;
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

/* Until something ends it. */
static int follow(struct run *r)
{
	struct pollfd out = { .fd = STDOUT_FILENO }; /* no events: only that its reader has gone */
	int status = CLI_DONE, wait = 1;
	unsigned int i;

	while (r->ntargets && !cli_signal_pending()) {
		bool any = false;

		for (i = 0; i < r->ntargets; i++) {
			/* Asked first: what was recorded before it went is printed. */
			const char *gone = st_target_gone(r->targets[i]);

			if (!print_hits(r, r->targets[i], &any))
				return status;
			if (!gone)
				continue;
			while (!cli_signal_pending()) {
				bool more = false;

				if (!print_hits(r, r->targets[i], &more))
					return status;
				if (!more)
					break;
			}
			cli_say("probe: process %d %s", st_target_pid(r->targets[i]), gone);
			close_target(r, i--, &status);
		}
		if (!cli_flush(&status) || count_reached(r))
			break;
		wait = any ? 1 : wait * 2 < IDLE_MS ? wait * 2 : IDLE_MS;
		if (poll(&out, 1, wait) > 0 && out.revents & (POLLERR | POLLHUP | POLLNVAL))
			break;
	}
	return status;
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

static int probe(struct run *r, const int *pids, unsigned int npids, char **texts)
{
	int status = CLI_DONE, closing = CLI_DONE;
	struct st_spec_error err;
	unsigned int i;

	for (i = 0; i < r->nspecs; i++)
		if (st_spec_parse(texts[i], st_spec_native, &r->specs[i], &err))
			return bad_spec(texts[i], &err);
	for (i = 0; i < r->nfilters; i++)
		if (st_filter_parse(r->filters[i], st_spec_native, r->specs, r->nspecs, &r->wants.filter[i], &err))
			return bad_spec(r->filters[i], &err);
	r->wants.nfilters = r->nfilters;
	for (i = 0; r->wants.hist && i < r->nspecs; i++)
		if (st_hist_check(r->wants.hist, st_spec_native, &r->specs[i], &err))
			return bad_spec(r->wants.hist, &err);
	cli_hold_signals();
	for (i = 0; i < npids && status == CLI_DONE && !cli_signal_pending(); i++)
		status = open_target(r, pids[i], texts);
	if (status == CLI_DONE && i == npids)
		status = follow(r);
	while (r->ntargets)
		close_target(r, r->ntargets - 1, &closing);
	if (closing != CLI_DONE)
		status = closing;
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
	return status;
}

int cli_probe(int argc, char **argv)
{
	static const struct option options[] = {
		CLI_OPTIONS_ALL,
		{ "hist", required_argument, NULL, 'H' },
		{ "follow", no_argument, NULL, 'F' },
		{ 0 }
	};
	int pids[TARGETS], pid, c, i, status;
	unsigned int npids = 0, n;
	struct run *r;
	uint64_t limit = 0;
	bool counts = false;
	const char *filters[ST_FILTERS_MAX], *hist = NULL;
	unsigned int nfilters = 0;

	for (i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--")) {
			cli_say("probe: starting a command (-- CMD) is not there yet; use -p PID");
			return CLI_FAILED;
		}
	cli_options_begin();
	while ((c = getopt_long(argc, argv, "p:n:cf:", options, NULL)) != -1) {
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
			counts = true;
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
			cli_say("probe: following children (--follow) is not there yet");
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
	if (!npids)
		return cli_usage("probe: of which process? (-p PID)");
	if (optind == argc)
		return cli_usage("probe: which function? ('p [OBJECT:]FUNCTION')");
	if (argc - optind > SPECS)
		return cli_usage("probe: at most %d probes at a time", SPECS);
	r = calloc(1, sizeof(*r));
	if (!r)
		return cli_failed(-ENOMEM, "probe: out of memory");
	r->limit = limit;
	/* A histogram is printed at the end, like counts, and the hits are not. */
	r->counts = counts || hist;
	r->wants.hist = hist;
	r->nfilters = nfilters;
	memcpy(r->filters, filters, nfilters * sizeof(filters[0]));
	r->nspecs = (unsigned int)(argc - optind);
	status = probe(r, pids, npids, argv + optind);
	free(r);
	return status;
}
