// SPDX-License-Identifier: GPL-2.0-only
/*
 * sidetrack patch apply --all, revert --all: the same change to many processes, one after the other. One that can't be changed is no
 * reason to leave out the others; what became of each is a line on stdout.
 */
#include <errno.h>
#include <string.h>
#include <patch/all.h>
#include <patch/patch.h>
#include <probe/print.h>
#include "cli.h"
#include "patch.h"
#include "processes.h"

struct many {
	struct cli_patching *p;
	const char *name;	/* of the patch */
	unsigned int found, busy, failed;
};

static void show(const struct many *m, int pid, const char *comm, const char *result, const char *why)
{
	if (cli_json) {
		printf("{\"pid\":%d,\"comm\":", pid);
		st_json_string(stdout, comm, strlen(comm));
		fputs(",\"name\":", stdout);
		st_json_string(stdout, m->name, strlen(m->name));
		printf(",\"result\":\"%s\"", result);
		if (why) {
			fputs(",\"why\":", stdout);
			st_json_string(stdout, why, strlen(why));
		}
		fputs("}\n", stdout);
		return;
	}
	printf("%d ", pid);
	cli_word(stdout, comm);
	printf(": %s", result);
	if (why) {
		fputs(": ", stdout);
		st_print_safe(stdout, why, strlen(why));
	}
	putchar('\n');
}

/* A line about one process, by what st_patch_apply() or st_patch_revert() has returned. */
static void report(struct many *m, int pid, const char *comm, int ret, const char *err)
{
	bool reverts = *m->p->verb == 'r' || *m->p->verb == 'u';

	m->found++;
	if (!ret) {
		show(m, pid, comm, reverts ? "reverted" : "applied", NULL);
	} else if (ret > 0) {
		show(m, pid, comm, "transition", NULL);
	} else if (ret == -EEXIST) {
		show(m, pid, comm, "applied already", NULL);
	} else if (ret == -ESRCH) {
		show(m, pid, comm, "ended", NULL);
	} else if (ret == -EBUSY) {
		m->busy++;
		show(m, pid, comm, "busy", err);
	} else {
		m->failed++;
		show(m, pid, comm, "refused", err);
	}
}

static int end(struct many *m, unsigned int hidden)
{
	const char *verb = m->p->verb;
	int at_end;

	cli_flush(&at_end);
	if (hidden)
		cli_say("patch %s: %u more processes can't be looked at (not yours)", verb, hidden);
	if (cli_signalled())
		return cli_failed(-EINTR, "patch %s: interrupted; the processes above were changed", verb);
	if (m->busy || m->failed)
		cli_say("patch %s: %u of %u processes were left as they were (%u busy, %u refused)", verb, m->busy + m->failed, m->found,
			m->busy, m->failed);
	return m->failed ? CLI_FAILED : m->busy ? CLI_BUSY : CLI_DONE;
}

static void apply_one(struct many *m, const struct st_patch_file *file, const struct st_all_one *one)
{
	char err[ST_ERR_MAX] = "";
	struct st_session *s;
	int ret = st_session_open(one->pid, true, &s, err);

	m->p->n = m->p->next_ms = 0;
	if (!ret) {
		ret = st_patch_apply(s, file, &m->p->options, err);
		if (ret >= 0 || ret == -EEXIST)
			cli_patch_keep(m->p, s);
		st_session_close(s);
	}
	report(m, one->pid, one->comm, ret, err);
}

int cli_patch_apply_all(struct cli_patching *p, const struct st_patch_file *file, bool nobody)
{
	struct many m = { .p = p, .name = file->m.name };
	char err[ST_ERR_MAX] = "";
	struct st_all all;
	int ret = st_all_find(&file->m, &all, err);

	if (ret)
		return cli_failed(ret, "patch %s: %s", p->verb, err);
	for (size_t i = 0; i < all.n && !cli_signal_pending(); i++)
		apply_one(&m, file, &all.one[i]);
	if (all.others)
		cli_say("patch %s: %u processes have another build of what the patch is for, and were left alone", p->verb, all.others);
	ret = end(&m, all.hidden);
	if (!all.n && !nobody && ret == CLI_DONE)
		ret = cli_failed(-ENOENT, "patch %s: no process has an object that patch %s is for", p->verb, m.name);
	st_all_free(&all);
	return ret;
}

static int apply_all(struct cli_patching *p, const char *path)
{
	struct st_patch_file *file;
	char err[ST_ERR_MAX] = "";
	int ret = st_patch_open(path, &p->options, &file, err);

	if (ret)
		return cli_failed(ret, "patch apply: %s", err);
	ret = cli_patch_apply_all(p, file, false);
	st_patch_close(file);
	return ret;
}

static int revert_one(int pid, struct st_session *s, void *ctx)
{
	struct many *m = ctx;
	char err[ST_ERR_MAX] = "";

	if (st_patch_find(st_session_ctl(s), m->name) < 0)
		return CLI_DONE;
	m->p->n = m->p->next_ms = 0;
	report(m, pid, st_proc_comm(st_session_proc(s)), st_patch_revert(s, m->name, &m->p->options, err), err);
	return cli_signal_pending() ? CLI_FAILED : CLI_DONE;
}

int cli_patch_revert_all(struct cli_patching *p, const char *name, bool nobody)
{
	struct many m = { .p = p, .name = name };
	unsigned int hidden;
	int ret;

	cli_each_process(revert_one, &m, &hidden);
	ret = end(&m, hidden);
	if (!m.found && !nobody && ret == CLI_DONE)
		ret = cli_failed(-ENOENT, "patch %s: no process has a patch %s", p->verb, name);
	return ret;
}

int cli_patch_all(struct cli_patching *p, char **what, int n)
{
	int status = CLI_DONE;

	cli_hold_signals();
	/* What was busy for one patch may be right for the next: the worst of them is what is said. */
	for (int i = 0; i < n && !cli_signalled(); i++) {
		int one = *p->verb == 'a' ? apply_all(p, what[i]) : cli_patch_revert_all(p, what[i], false);

		status = one == CLI_FAILED || status == CLI_DONE ? one : status;
	}
	return status;
}
