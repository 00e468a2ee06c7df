// SPDX-License-Identifier: GPL-2.0-only
/*
 * sidetrack functions: what can be hooked in a process or a file, and by what means. Changes
 * nothing.
 *
 * A function is looked at as hooking it would: the same bytes, the same decision (st_arch_plan).
 * Where we have changed the code ourselves, the bytes from before are taken.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <process/session.h>
#include <probe/print.h>
#include "cli.h"

const char cli_functions_help[] =
	"sidetrack functions {-p PID | FILE} [GLOB...]\n"
	"\n"
	"Lists functions, one a line: ADDRESS OBJECT:FUNCTION KIND. KIND is how a hook gets in:\n"
	"    nop           there is room that the compiler left\n"
	"    move          the first instructions are moved\n"
	"    breakpoint    only a breakpoint fits\n"
	"    no: REASON    it can't be hooked\n"
	"ADDRESS is in the process with -p, in the file otherwise. A GLOB is [OBJECT:]FUNCTION.\n"
	"A summary goes to stderr.\n"
	"\n"
	"    -p PID     the functions of a process, with all its libraries\n"
	"    --json     one JSON object a line\n"
	"\n"
	"Example: all functions of a server whose names begin with process\n"
	"    sidetrack functions -p $(pidof redis-server) 'redis-server:process*'\n";

#define PADDING 64			/* bytes behind a function that may matter */
#define CODE_MAX (1ul << 20)		/* a symbol that claims more is damaged */
#define REASONS 32

struct list {
	struct st_proc *proc;		/* NULL: a file */
	const struct st_ctl *ctl;	/* of the agent in the process, or NULL */
	unsigned int flags;		/* ST_PLAN_*, for the object that is listed */
	char **globs;
	int nglobs;
	uint8_t *code;
	size_t room;
	unsigned long matched, functions, kinds[ST_KIND_NO + 1];
	struct reason {
		const char *why;
		unsigned long count;
	} reasons[REASONS];
	size_t nreasons;
};

static bool wanted(const struct list *l, const char *object, const char *function)
{
	int i;

	for (i = 0; i < l->nglobs; i++)
		if (cli_glob_match(l->globs[i], object, function))
			return true;
	return !l->nglobs;
}

static void plan(struct list *l, struct st_object *obj, const struct st_func *f,
		 struct st_plan *plan)
{
	size_t size = f->flags & ST_FUNC_NOSIZE ? f->room : f->size, room = f->room, len;

	memset(plan, 0, sizeof(*plan));
	plan->kind = ST_KIND_NO;
	if (f->flags & ST_FUNC_IFUNC) {
		plan->why = "chosen among several functions when the program starts (ifunc)";
		return;
	}
	if (room > size + PADDING)
		room = size + PADDING;
	len = room > size ? room : size;
	if (!size || len > CODE_MAX) {
		plan->why = size ? "its symbol has an impossible size"
				 : "its symbol has no size, and nothing follows it";
		return;
	}
	if (len > l->room) {
		uint8_t *code = realloc(l->code, len);

		if (!code) {
			plan->why = "out of memory";
			return;
		}
		l->code = code;
		l->room = len;
	}
	if (l->proc ? st_mem_read(l->proc, f->addr, l->code, len)
		    : st_object_bytes(obj, f->addr, l->code, len)) {
		plan->why = "its bytes can't be read";
		return;
	}
	if (l->ctl && st_sites_undo(l->ctl, f->addr, l->code, len)) {
		plan->why = "out of memory";
		return;
	}
	st_arch_plan_at(plan, l->code, f->addr, size, room, 0, l->flags | (f->flags & ST_FUNC_PART ? ST_PLAN_STRICT : 0),
			f->isa);
}

static void count(struct list *l, const struct st_plan *p)
{
	const char *why = p->why ? p->why : "no reason was given";
	size_t i;

	l->functions++;
	l->kinds[p->kind]++;
	if (p->kind != ST_KIND_NO)
		return;
	for (i = 0; i < l->nreasons; i++) {
		if (!strcmp(l->reasons[i].why, why)) {
			l->reasons[i].count++;
			return;
		}
	}
	if (l->nreasons < REASONS)
		l->reasons[l->nreasons++] = (struct reason){ why, 1 };
}

static const char *const kind_names[] = {
	[ST_KIND_NOP] = "nop",
	[ST_KIND_MOVE] = "move",
	[ST_KIND_BREAKPOINT] = "breakpoint",
	[ST_KIND_NO] = "no",
};

static void show(const struct st_object *obj, const struct st_func *f, const struct st_plan *p)
{
	if (cli_json) {
		printf("{\"address\":\"0x%lx\",\"object\":", f->addr);
		st_json_string(stdout, obj->name, strlen(obj->name));
		fputs(",\"function\":", stdout);
		st_json_string(stdout, f->name, strlen(f->name));
		printf(",\"kind\":\"%s\",\"reason\":", kind_names[p->kind]);
		if (p->why && p->kind == ST_KIND_NO)
			st_json_string(stdout, p->why, strlen(p->why));
		else
			fputs("null", stdout);
		fputs("}\n", stdout);
		return;
	}
	printf("0x%lx ", f->addr);
	cli_word(stdout, obj->name);
	putchar(':');
	cli_word(stdout, f->name);
	printf(" %s", kind_names[p->kind]);
	if (p->kind == ST_KIND_NO)
		printf(": %s", p->why ? p->why : "no reason was given");
	putchar('\n');
}

static void list_object(struct list *l, const struct st_objects *objs, struct st_object *obj)
{
	unsigned long planned = 0, counted = 0;
	const struct st_func *f;
	struct st_plan p;
	size_t n, i;

	l->flags = st_object_no_breakpoints(objs, obj) ? 0 : ST_PLAN_ANY;
	f = st_object_functions(obj, &n);
	if (obj->why && (!l->nglobs || !n))
		cli_say("%s: %s", obj->name, obj->why);
	for (i = 0; i < n && !ferror(stdout); i++) {
		if (!wanted(l, obj->name, f[i].name))
			continue;
		if (!planned || planned != f[i].addr)
			plan(l, obj, &f[i], &p);
		planned = f[i].addr;
		l->matched++;
		show(obj, &f[i], &p);
		if (counted && counted == f[i].addr)	/* another name of the one before */
			continue;
		counted = f[i].addr;
		count(l, &p);
	}
}

static int more_often(const void *a, const void *b)
{
	const struct reason *x = a, *y = b;

	return x->count < y->count ? 1 : x->count > y->count ? -1 : 0;
}

static void summary(struct list *l)
{
	size_t i;

	cli_say("%lu functions: %lu nop, %lu move, %lu breakpoint, %lu no", l->functions,
		l->kinds[ST_KIND_NOP], l->kinds[ST_KIND_MOVE], l->kinds[ST_KIND_BREAKPOINT],
		l->kinds[ST_KIND_NO]);
	qsort(l->reasons, l->nreasons, sizeof(l->reasons[0]), more_often);
	for (i = 0; i < l->nreasons; i++)
		cli_say("%8lu no: %s", l->reasons[i].count, l->reasons[i].why);
}

int cli_functions(int argc, char **argv)
{
	static const struct option options[] = { CLI_OPTIONS_ALL, { 0 } };
	struct st_session *session = NULL;
	struct st_proc *proc = NULL;
	struct st_objects *objs;
	struct list l = { 0 };
	char err[ST_ERR_MAX] = "";
	int pid = 0, c, ret, status = CLI_DONE;
	const char *file = NULL;
	size_t i;

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
	if (!pid) {
		if (optind == argc)
			return cli_usage("functions: of which process (-p PID) or file?");
		file = argv[optind++];
	}
	l.globs = argv + optind;
	l.nglobs = argc - optind;

	if (pid) {
		ret = st_session_open(pid, false, &session, err);
		if (ret == -ENOENT) {
			ret = st_proc_open(pid, &proc, err);
			l.proc = proc;
		} else if (!ret) {
			l.proc = st_session_proc(session);
			l.ctl = st_session_ctl(session);
		}
		if (!ret)
			ret = st_objects_read(l.proc, &objs, err);
	} else {
		ret = st_objects_file(file, &objs, err);
	}
	if (ret) {
		status = cli_failed(ret, "%s", err);
		goto out;
	}
	for (i = 0; i < objs->n; i++)
		list_object(&l, objs, &objs->object[i]);
	if (cli_flush(&status)) {
		if (l.matched)
			summary(&l);
		else
			status = cli_failed(-ENOENT, "no function matches");
	}
	st_objects_free(objs);
out:
	free(l.code);
	if (session)
		st_session_close(session);
	st_proc_close(proc);
	return status;
}
