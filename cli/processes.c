// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finds the processes that have the agent, by the name of its memory in /proc/PID/maps.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <probe/print.h>
#include "cli.h"
#include "processes.h"

/* 1: it has the agent; 0: no, or not for us to know. */
static bool has_agent(int pid)
{
	static const char name[] = "/memfd:" ST_CTL_NAME;
	char path[64], *line = NULL;
	size_t room = 0;
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && getline(&line, &room, f) > 0) {
		char *at = strstr(line, name);

		/* The whole name: "/memfd:sidetrack (deleted)". */
		found = at && (at[sizeof(name) - 1] == ' ' || at[sizeof(name) - 1] == '\n');
	}
	free(line);
	fclose(f);
	return found;
}

int cli_each_process(int (*fn)(int pid, struct st_session *s, void *ctx), void *ctx,
		     unsigned int *skipped)
{
	DIR *dir = opendir("/proc");
	char err[ST_ERR_MAX], *end;
	int status = CLI_DONE;
	struct dirent *d;

	*skipped = 0;
	if (!dir)
		return cli_failed(-errno, "/proc can't be read: %s", strerror(errno));
	while (status == CLI_DONE && (d = readdir(dir))) {
		struct st_session *s;
		long pid = strtol(d->d_name, &end, 10);
		int ret;

		if (*end || pid <= 0 || pid == getpid() || !has_agent((int)pid))
			continue;
		ret = st_session_open((int)pid, false, &s, err);
		if (ret) {
			*skipped += ret != -ENOENT && ret != -ESRCH;
			continue;
		}
		status = fn((int)pid, s, ctx);
		st_session_close(s);
	}
	closedir(dir);
	return status;
}

unsigned int cli_patches(const struct st_ctl *ctl, unsigned int index[ST_PATCHES_MAX])
{
	unsigned int n = 0, k;

	for (unsigned int i = 0; i < ST_PATCHES_MAX; i++) {
		if (ctl->patch[i].state == ST_PATCH_FREE)
			continue;
		for (k = n++; k && ctl->patch[index[k - 1]].seq > ctl->patch[i].seq; k--)
			index[k] = index[k - 1];
		index[k] = i;
	}
	return n;
}

void cli_show_patch(int pid, const struct st_ctl_patch *shared, const char *before, bool all)
{
	static const char *const states[] = { "free", "disabled", "transition", "enabled" };
	static const char *const levels[] = { "independent", "thread", "process" };
	struct st_ctl_patch p = *shared;
	const char *state = p.state < 4 ? states[p.state] : "damaged";
	const char *level = p.level < 3 ? levels[p.level] : "damaged";

	p.name[sizeof(p.name) - 1] = p.object[sizeof(p.object) - 1] = p.functions[sizeof(p.functions) - 1] =
		p.busy[sizeof(p.busy) - 1] = '\0';
	all = all && p.state == ST_PATCH_TRANSITION && *p.busy;
	if (cli_json) {
		printf("{\"pid\":%d,\"kind\":\"patch\",\"name\":", pid);
		st_json_string(stdout, p.name, strlen(p.name));
		printf(",\"state\":\"%s\",\"level\":\"%s\",\"object\":", state, level);
		st_json_string(stdout, p.object, strlen(p.object));
		fputs(",\"functions\":", stdout);
		st_json_string(stdout, p.functions, strlen(p.functions));
		if (all) {
			fputs(",\"busy\":", stdout);
			st_json_string(stdout, p.busy, strlen(p.busy));
		}
		fputs("}\n", stdout);
		return;
	}
	fputs(before, stdout);
	cli_word(stdout, p.name);
	printf(" %s %s ", state, level);
	cli_word(stdout, p.object);
	putchar(' ');
	cli_word(stdout, p.functions);
	if (all) {
		fputs(": ", stdout);
		st_print_safe(stdout, p.busy, strlen(p.busy));
	}
	putchar('\n');
}
