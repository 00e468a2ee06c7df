// SPDX-License-Identifier: GPL-2.0-only
/* sidetrack patch sign: who made a patch. How it is written down: patch/sign.h. */
#include <errno.h>
#include <getopt.h>
#include <patch/sign.h>
#include "cli.h"
#include "patch.h"

int cli_patch_sign(int argc, char **argv)
{
	enum { KEY = 1, GENERATE };
	static const struct option options[] = {
		CLI_OPTIONS_ALL,
		{ "key", required_argument, NULL, KEY },
		{ "generate", required_argument, NULL, GENERATE },
		{ 0 }
	};
	const char *key = NULL, *generate = NULL;
	char err[ST_ERR_MAX] = "";
	int ret, c;

	argv[0] = (char *)"patch sign";
	cli_options_begin();
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case KEY:
			key = optarg;
			break;
		case GENERATE:
			generate = optarg;
			break;
		case CLI_OPT_JSON:
			break;
		case CLI_OPT_HELP:
			return cli_show_help();
		default:
			return cli_bad_option(argc, argv);
		}
	}
	if (generate && (key || optind != argc))
		return cli_usage("patch sign: --generate FILE makes a key, and signs nothing");
	if (generate) {
		ret = st_sign_generate(generate, err);
		if (ret)
			return cli_failed(ret, "patch sign: %s", err);
		cli_say("patch sign: %s is the secret key: keep it; %s.pub goes into the folder of trusted keys, " ST_SIGN_TRUSTED
			", of the machines that apply your patches", generate, generate);
		return CLI_DONE;
	}
	if (!key)
		return cli_usage("patch sign: with which key? (--key FILE; --generate FILE makes one)");
	if (optind == argc)
		return cli_usage("patch sign: which FILE?");
	for (ret = 0; optind < argc && !ret; optind++)
		ret = st_sign(key, argv[optind], err);
	return ret ? cli_failed(ret, "patch sign: %s", err) : CLI_DONE;
}
