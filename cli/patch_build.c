// SPDX-License-Identifier: GPL-2.0-only
/* sidetrack patch build: what a patch needs to know of the files that it is for. See patch/bind.h. */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <patch/bind.h>
#include <process/process.h>
#include "cli.h"
#include "patch.h"

/* [NAME=]FILE */
static bool take_object(struct st_bind_file *file, char *arg)
{
	char *equals = strchr(arg, '='), *slash = strchr(arg, '/');

	*file = (struct st_bind_file){ .path = arg };
	if (!equals || (slash && slash < equals))
		return true;
	if (equals == arg || !equals[1])
		return false;
	*equals = '\0';
	*file = (struct st_bind_file){ .name = arg, .path = equals + 1 };
	return true;
}

int cli_patch_build(int argc, char **argv)
{
	enum { OBJECT = 1, SOURCE };
	static const struct option options[] = {
		CLI_OPTIONS_ALL,
		{ "object", required_argument, NULL, OBJECT },
		{ "source", required_argument, NULL, SOURCE },
		{ "build", required_argument, NULL, SOURCE },
		{ 0 }
	};
	static struct st_bind_file file[ST_BIND_FILES_MAX];
	const char *out = NULL;
	char err[ST_ERR_MAX] = "";
	size_t n = 0;
	int ret, c;

	argv[0] = (char *)"patch build";
	cli_options_begin();
	while ((c = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
		switch (c) {
		case OBJECT:
			if (n == ST_BIND_FILES_MAX)
				return cli_usage("patch build: more than %d times --object", ST_BIND_FILES_MAX);
			if (!take_object(&file[n++], optarg))
				return cli_usage("patch build: --object is FILE or NAME=FILE, not '%s'", optarg);
			break;
		case SOURCE:
			cli_say("patch build: making a patch from a source tree and a diff is not there yet in this version: write the new "
				"functions with the macros of sidetrack/patch.h, compile them with -shared -fPIC, and build that with --object");
			return CLI_FAILED;
		case 'o':
			out = optarg;
			break;
		case CLI_OPT_JSON:
			break;
		case CLI_OPT_HELP:
			return cli_show_help();
		default:
			return cli_bad_option(argc, argv);
		}
	}
	if (optind == argc)
		return cli_usage("patch build: which patch?");
	if (optind + 1 != argc)
		return cli_usage("patch build: one patch at a time; what is '%s'?", argv[optind + 1]);
	if (!n)
		return cli_usage("patch build: for which files? (--object FILE)");
	if (!out)
		return cli_usage("patch build: where to? (-o OUT)");
	ret = st_bind(argv[optind], file, n, out, err);
	return ret < 0 ? cli_failed(ret, "patch build: %s", err) : CLI_DONE;
}
