// SPDX-License-Identifier: GPL-2.0-only
/*
 * sidetrack patch check: what a patch is, and whether a process would take it. A process that has no agent gets one to be looked at,
 * and is left as it was.
 */
#include <errno.h>
#include <string.h>
#include <patch/check.h>
#include <probe/print.h>
#include "cli.h"
#include "patch.h"

static const char *const level_names[] = { "independent", "thread", "process" };
static const char *const kind_names[] = {
	[ST_KIND_NOP] = "nop", [ST_KIND_MOVE] = "move", [ST_KIND_BREAKPOINT] = "breakpoint", [ST_KIND_NO] = "waits",
};

static void show_json(const struct st_patch_file *file, const char *level, const struct st_patch_check *check, const char *result)
{
	const struct st_manifest *m = &file->m;

	fputs("{\"kind\":\"check\",\"name\":", stdout);
	st_json_string(stdout, m->name, strlen(m->name));
	printf(",\"level\":\"%s\",\"signed\":%s,\"result\":\"%s\",\"functions\":[", level, file->is_signed ? "true" : "false", result);
	for (size_t i = 0; i < m->replaces; i++) {
		printf("%s{\"object\":", i ? "," : "");
		st_json_string(stdout, m->replace[i].object, strlen(m->replace[i].object));
		fputs(",\"function\":", stdout);
		st_json_string(stdout, m->replace[i].symbol, strlen(m->replace[i].symbol));
		if (check)
			printf(",\"how\":\"%s\"", kind_names[check->kind[i]]);
		fputs("}", stdout);
	}
	fputs("]}\n", stdout);
}

static void show(const struct st_patch_file *file, const char *level, const struct st_patch_check *check, const char *result)
{
	const struct st_manifest *m = &file->m;

	if (cli_json) {
		show_json(file, level, check, result);
		return;
	}
	printf("%s %s %s%s%s\n", m->name, level, file->is_signed ? "signed" : "unsigned", m->replace_all ? " replaces-all" : "", result);
	for (size_t i = 0; i < m->replaces; i++) {
		cli_word(stdout, m->replace[i].object);
		putchar(':');
		cli_word(stdout, m->replace[i].symbol);
		printf("%s%s\n", check ? " " : "", check ? kind_names[check->kind[i]] : "");
	}
}

/* Nobody uses the agent. */
static bool unused(const struct st_ctl *ctl)
{
	bool used = false;

	for (int i = 0; i < ST_PROBES_MAX; i++)
		used |= ctl->probe_rec[i].state != ST_PROBE_FREE;
	for (int i = 0; i < ST_PATCHES_MAX; i++)
		used |= ctl->patch[i].state != ST_PATCH_FREE;
	for (int i = 0; i < ST_MAILS_MAX; i++)
		used |= ctl->mail[i].owner != 0;
	return !used;
}

static int look(int pid, const struct st_patch_file *file, const struct st_patch_options *o, struct st_patch_check *check, char *err)
{
	struct st_session *s;
	bool mine = false;
	int ret = st_session_open(pid, false, &s, err);

	if (ret == -ENOENT) {
		mine = true;
		ret = st_session_open(pid, true, &s, err);
	}
	if (ret)
		return ret;
	ret = st_patch_check(s, file, o, check, err);
	if (mine && !st_session_lock(s)) {
		if (unused(st_session_ctl(s)))
			st_session_detach(s);
		st_session_unlock(s);
	}
	st_session_close(s);
	return ret;
}

int cli_patch_check(int pid, const char *path, struct cli_patching *p)
{
	static struct st_patch_check check;
	struct st_patch_options any = p->options;
	struct st_patch_file *file;
	char err[ST_ERR_MAX] = "";
	int ret;

	cli_hold_signals();
	any.allow_unsigned = true;	/* it is told, and refused below */
	ret = st_patch_open(path, &any, &file, err);
	if (ret)
		return cli_failed(ret, "patch check: %s", err);
	if (!pid) {
		show(file, file->m.level, NULL, cli_json ? "not looked at" : "");
		st_patch_close(file);
		return CLI_DONE;
	}
	ret = look(pid, file, &p->options, &check, err);
	if (!ret || (ret == -EBUSY && check.n))
		show(file, level_names[check.level], &check, !cli_json ? "" : ret ? "busy" : "applies");
	else if (cli_json)
		show_json(file, file->m.level, NULL, "refused");
	if (ret)
		ret = cli_failed(ret, "patch check: %s", err);
	for (size_t i = 1; i < check.n; i++)
		cli_say("patch check: %s", check.busy[i].text);
	if (!ret && !file->is_signed && !p->options.allow_unsigned)
		ret = cli_failed(-EKEYREJECTED, "patch check: nobody who is trusted has signed it: 'apply' asks for --allow-unsigned");
	st_patch_close(file);
	return ret;
}
