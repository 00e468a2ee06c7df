// SPDX-License-Identifier: GPL-2.0-only
/*
 * sidetrack status: what there is, read from the memory that the agent shares. Changes nothing,
 * stops nobody.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <probe/print.h>
#include <probe/target.h>
#include "cli.h"
#include "processes.h"

const char cli_status_help[] =
	"sidetrack status [-p PID]\n"
	"\n"
	"With -p: a line for each probe and patch in the process, nothing when there is none:\n"
	"    probe NAME HITS hits on SITES sites (KINDS), by PID: SPEC\n"
	"    patch NAME STATE LEVEL OBJECT FUNCTIONS[: who is in the way of a transition]\n"
	"KINDS says how the sites lead to the probe: how many are nop, move, breakpoint.\n"
	"A probe whose sidetrack was killed is marked 'orphan'; the next 'probe' or 'detach'\n"
	"removes it.\n"
	"Without -p: a line for each process that has any: PID COMM PROBES PATCHES\n"
	"\n"
	"    -p PID     the process\n"
	"    --json     one JSON object a line\n"
	"\n"
	"Example:\n"
	"    sidetrack status -p $(pidof redis-server)\n";

static const char *const kind_names[ST_KIND_NO] = {
	[ST_KIND_NOP] = "nop",
	[ST_KIND_MOVE] = "move",
	[ST_KIND_BREAKPOINT] = "breakpoint",
};

static void show_probe(int pid, const struct st_ctl *ctl, unsigned int index)
{
	struct st_ctl_probe p = ctl->probe_rec[index];
	uint64_t hits = st_ctl_hits(ctl, index);
	uint64_t hook = ctl->self + (uint64_t)((const char *)&ctl->probe_rec[index].hook - (const char *)ctl);
	unsigned long kinds[ST_KIND_NO];
	const char *between = " (";
	unsigned int i;
	bool orphan =
		!p.owner || p.owner > INT32_MAX || st_start_time((int)p.owner) != p.owner_start;

	st_sites_kinds(ctl, hook, kinds);
	p.name[sizeof(p.name) - 1] = p.spec[sizeof(p.spec) - 1] = '\0';
	if (cli_json) {
		printf("{\"pid\":%d,\"kind\":\"probe\",\"name\":", pid);
		st_json_string(stdout, p.name, strlen(p.name));
		printf(",\"hits\":%" PRIu64 ",\"sites\":%" PRIu64, hits, p.sites);
		for (i = 0; i < ST_KIND_NO; i++)
			printf(",\"%s\":%lu", kind_names[i], kinds[i]);
		printf(",\"owner\":%" PRIu32 ",\"orphan\":%s,\"spec\":", p.owner, orphan ? "true" : "false");
		st_json_string(stdout, p.spec, strlen(p.spec));
		fputs("}\n", stdout);
		return;
	}
	fputs("probe ", stdout);
	cli_word(stdout, p.name);
	printf(" %" PRIu64 " hits on %" PRIu64 " sites", hits, p.sites);
	for (i = 0; i < ST_KIND_NO; i++) {
		if (!kinds[i])
			continue;
		printf("%s%lu %s", between, kinds[i], kind_names[i]);
		between = ", ";
	}
	printf("%s, by ", *between == ',' ? ")" : "");
	if (orphan)
		fputs("orphan", stdout);
	else
		printf("%" PRIu32, p.owner);
	fputs(": ", stdout);
	st_print_safe(stdout, p.spec, strlen(p.spec));
	putchar('\n');
}

/* Hooks that tell a tool of objects that come, and of programs that are executed. */
static void show_letters(int pid, const struct st_ctl_mail *mail)
{
	bool orphan = mail->owner > INT32_MAX || st_start_time((int)mail->owner) != mail->owner_start;
	const char *what = mail->children ? "objects,programs" : "objects";

	if (cli_json)
		printf("{\"pid\":%d,\"kind\":\"hook\",\"name\":\"%s\",\"owner\":%" PRIu32 ",\"orphan\":%s}\n", pid, what, mail->owner,
		       orphan ? "true" : "false");
	else if (orphan)
		printf("hook %s, by orphan\n", what);
	else
		printf("hook %s, by %" PRIu32 "\n", what, mail->owner);
}

static int show_process(int pid, struct st_session *s)
{
	const struct st_ctl *ctl = st_session_ctl(s);
	unsigned int index[ST_PATCHES_MAX], n = cli_patches(ctl, index), i;

	for (i = 0; i < ST_PROBES_MAX; i++)
		if (ctl->probe_rec[i].state != ST_PROBE_FREE)
			show_probe(pid, ctl, i);
	for (i = 0; i < n; i++)
		cli_show_patch(pid, &ctl->patch[index[i]], "patch ", true);
	for (i = 0; i < ST_MAILS_MAX; i++)
		if (ctl->mail[i].owner)
			show_letters(pid, &ctl->mail[i]);
	return CLI_DONE;
}

static int show_counts(int pid, struct st_session *s, void *ctx)
{
	const struct st_ctl *ctl = st_session_ctl(s);
	const char *comm = st_proc_comm(st_session_proc(s));
	unsigned int probes = 0, patches = 0, i;

	(void)ctx;
	for (i = 0; i < ST_PROBES_MAX; i++)
		probes += ctl->probe_rec[i].state != ST_PROBE_FREE;
	for (i = 0; i < ST_PATCHES_MAX; i++)
		patches += ctl->patch[i].state != ST_PATCH_FREE;
	if (!probes && !patches)
		return CLI_DONE;
	if (cli_json) {
		printf("{\"pid\":%d,\"comm\":", pid);
		st_json_string(stdout, comm, strlen(comm));
		printf(",\"probes\":%u,\"patches\":%u}\n", probes, patches);
		return CLI_DONE;
	}
	printf("%d ", pid);
	cli_word(stdout, comm);
	printf(" %u probes %u patches\n", probes, patches);
	return CLI_DONE;
}

int cli_status(int argc, char **argv)
{
	static const struct option options[] = { CLI_OPTIONS_ALL, { 0 } };
	char err[ST_ERR_MAX] = "";
	struct st_session *s;
	struct st_proc *proc;
	unsigned int skipped;
	int pid = 0, c, ret;

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
		return cli_usage("status: what is '%s'?", argv[optind]);
	if (!pid) {
		ret = cli_each_process(show_counts, NULL, &skipped);
		if (skipped)
			cli_say("status: %u more can't be looked at (not yours)", skipped);
		return ret;
	}
	ret = st_session_open(pid, false, &s, err);
	if (ret == -ENOENT) {
		/* No agent; but a process that is not there, or not ours, is an error. */
		ret = st_proc_open(pid, &proc, err);
		if (ret)
			return cli_failed(ret, "status: %s", err);
		st_proc_close(proc);
		return CLI_DONE;
	}
	if (ret)
		return cli_failed(ret, "status: %s", err);
	ret = show_process(pid, s);
	st_session_close(s);
	return ret;
}
