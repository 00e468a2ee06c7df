// SPDX-License-Identifier: GPL-2.0-only
/* sidetrack patch install, uninstall, list --installed: patches for programs that start later (patch/installed.h, patch/watch.h). */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <patch/installed.h>
#include <probe/print.h>
#include "cli.h"
#include "patch.h"

static int install(struct cli_patching *p, const char *path)
{
	struct st_patch_file *file;
	char err[ST_ERR_MAX] = "";
	int ret = st_patch_open(path, &p->options, &file, err);

	if (!ret) {
		/* Before it is looked who runs: a program that starts meanwhile finds it. */
		ret = st_installed_put(file, err);
		if (ret < 0)
			st_patch_close(file);
	}
	if (ret < 0)
		return cli_failed(ret, "patch install: %s", err);
	if (ret)
		cli_say("patch install: patch %s is installed already", file->m.name);
	if (!st_installed_watched())
		cli_say("patch install: nobody watches programs that start: they will be patched when 'sidetrack patch watch' runs "
			"(systemctl enable --now sidetrack-patches)");
	ret = cli_patch_apply_all(p, file, true);
	st_patch_close(file);
	return ret;
}

static int uninstall(struct cli_patching *p, const char *name)
{
	char err[ST_ERR_MAX] = "";
	int ret = st_installed_remove(name, err);

	if (ret)
		return cli_failed(ret, "patch uninstall: %s", err);
	return cli_patch_revert_all(p, name, true);
}

int cli_patch_install(int argc, char **argv)
{
	enum { TIMEOUT = 1, FORCE, UNSIGNED };
	static const struct option options[] = {
		CLI_OPTIONS_ALL,
		{ "timeout", required_argument, NULL, TIMEOUT },
		{ "force", no_argument, NULL, FORCE },
		{ "allow-unsigned", no_argument, NULL, UNSIGNED },
		{ 0 }
	};
	static struct cli_patching p;
	bool installs = *argv[0] == 'i';
	int status = CLI_DONE, c;

	cli_patching_begin(&p, argv[0]);
	cli_options_begin();
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case TIMEOUT:
			if (!cli_time(optarg, "--timeout", &p.options.timeout_ms))
				return CLI_USAGE;
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
		return cli_usage("patch %s: which %s?", argv[0], installs ? "FILE" : "NAME");
	cli_hold_signals();
	for (int i = optind; i < argc && !cli_signalled(); i++) {
		int one = installs ? install(&p, argv[i]) : uninstall(&p, argv[i]);

		status = one == CLI_FAILED || status == CLI_DONE ? one : status;
	}
	return status;
}

static void say(void *ctx, const char *sentence)
{
	(void)ctx;
	cli_say("patch list: %s", sentence);
}

/* What a patch replaces: its objects, each once, or their functions. To be freed; NULL: no memory. */
static char *names(const struct st_manifest *m, bool objects)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	for (size_t i = 0; out && i < m->replaces; i++) {
		size_t k = 0;

		while (objects && k < i && strcmp(m->replace[k].object, m->replace[i].object))
			k++;
		if (!objects || k == i)
			fprintf(out, "%s%s", i ? "," : "", objects ? m->replace[i].object : m->replace[i].symbol);
	}
	if (out)
		fclose(out);
	return text;
}

static void show(const struct st_patch_file *file)
{
	const struct st_manifest *m = &file->m;
	char *objects = names(m, true), *functions = names(m, false);

	if (!objects || !functions) {
		cli_say("out of memory");
	} else if (cli_json) {
		fputs("{\"kind\":\"patch\",\"name\":", stdout);
		st_json_string(stdout, m->name, strlen(m->name));
		printf(",\"state\":\"installed\",\"level\":\"%s\",\"signed\":%s,\"object\":", m->level, file->is_signed ? "true" : "false");
		st_json_string(stdout, objects, strlen(objects));
		fputs(",\"functions\":", stdout);
		st_json_string(stdout, functions, strlen(functions));
		puts("}");
	} else {
		cli_word(stdout, m->name);
		printf(" installed %s ", m->level);
		cli_word(stdout, objects);
		putchar(' ');
		cli_word(stdout, functions);
		putchar('\n');
	}
	free(objects);
	free(functions);
}

int cli_patch_list_installed(void)
{
	struct st_installed all;
	char err[ST_ERR_MAX] = "";
	int ret = st_installed_read(&all, say, NULL, err);

	if (ret)
		return cli_failed(ret, "patch list: %s", err);
	for (size_t i = 0; i < all.n; i++)
		show(all.file[i]);
	st_installed_free(&all);
	return CLI_DONE;
}
