/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A shared library that puts return probes on functions of the program that it is linked to, before main().
 *
 *	SIDETRACK_RETURNS	globs of functions, separated by blanks; not set: nothing is done
 *	SIDETRACK_RETURNS_LOG	a file that gets, when the program exits: for each function probed its name and how often it was
 *				entered, returned, and was missed; for each that can't be, `refused NAME WHY`
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <engine/objects.h>
#include <engine/return.h>
#include <engine/unwind.h>

struct probed {
	const char *name;
	struct st_hook entry, at_return;
	struct st_return ret;
	struct st_hook *list[2];
	unsigned long entries, returns;
};

static struct probed *probed;
static size_t count;
static FILE *logfile;
static pid_t owner;

static void __attribute__((noinline, target("general-regs-only"))) on_entry(struct st_hook *h, struct st_regs *regs, unsigned long ip, unsigned long parent)
{
	struct probed *p = h->data;

	(void)regs;
	(void)ip;
	(void)parent;
	__atomic_fetch_add(&p->entries, 1, __ATOMIC_RELAXED);
}

static void __attribute__((noinline, target("general-regs-only"))) on_return(struct st_hook *h, struct st_regs *regs, unsigned long ip, unsigned long parent)
{
	struct probed *p = h->data;

	(void)regs;
	(void)ip;
	(void)parent;
	__atomic_fetch_add(&p->returns, 1, __ATOMIC_RELAXED);
}

static const char *probe(struct probed *p, const struct st_function *fn)
{
	const void *at = (const void *)(fn->addr | (fn->isa == ST_ISA_T32));
	static char why[256];

	if (st_return_refused(fn->name))
		return st_return_refused(fn->name);
	p->name = strdup(fn->name);
	p->entry = (struct st_hook){ .size = sizeof(p->entry), .func = on_entry, .data = p, .flags = ST_HOOK_GENERAL_REGS };
	p->at_return = (struct st_hook){ .size = sizeof(p->entry), .func = on_return, .data = p, .flags = ST_HOOK_GENERAL_REGS };
	if (st_hook_filter_ip(&p->entry, at) || st_hook_register(&p->entry) < 0) {
		snprintf(why, sizeof(why), "%s", st_hook_reason(&p->entry));
		return why;
	}
	if (!st_hook_returns(fn->addr, &p->ret)) {
		st_hook_unregister(&p->entry);
		return "its stub has no way back";
	}
	p->list[0] = &p->at_return;
	p->ret.hooks = (struct st_hook_list *)p->list;
	p->ret.hook = (struct st_hook){ .size = sizeof(p->entry), .func = st_return_enter, .data = &p->ret,
		.flags = ST_HOOK_GENERAL_REGS };
	if (st_hook_filter_ip(&p->ret.hook, at) || st_hook_register(&p->ret.hook) < 0) {
		snprintf(why, sizeof(why), "%s", st_hook_reason(&p->ret.hook));
		st_hook_unregister(&p->entry);
		return why;
	}
	return NULL;
}

static bool wanted(const char *globs, const char *object, const char *name)
{
	char *copy = strdup(globs), *save, full[1024];
	bool found = false;

	snprintf(full, sizeof(full), "%s:%s", object, name);
	for (char *g = strtok_r(copy, " ", &save); g && !found; g = strtok_r(NULL, " ", &save))
		found = !fnmatch(g, full, 0);
	free(copy);
	return found;
}

static void __attribute__((constructor)) start(void)
{
	const char *globs = getenv("SIDETRACK_RETURNS"), *log = getenv("SIDETRACK_RETURNS_LOG");
	struct st_object *objects;
	size_t n = 0;

	if (!globs)
		return;
	logfile = log ? fopen(log, "we") : NULL;
	owner = getpid();
	st_unwind_prepare();
	objects = st_objects_read(NULL);
	for (struct st_object *o = objects; o; o = o->next)
		n += o->count;
	probed = calloc(n, sizeof(*probed));
	for (struct st_object *o = objects; o; o = o->next) {
		for (size_t i = 0; i < o->count; i++) {
			const char *why;

			if (!o->fn[i].name || !wanted(globs, o->name, o->fn[i].name))
				continue;
			/* Another name of the same. */
			if (count && probed[count - 1].entry.func && i && o->fn[i].addr == o->fn[i - 1].addr)
				continue;
			why = probe(&probed[count], &o->fn[i]);
			if (!why)
				count++;
			else if (logfile)
				fprintf(logfile, "refused %s %s\n", o->fn[i].name, why);
		}
	}
	if (logfile)
		fflush(logfile);
}

static void __attribute__((destructor)) stop(void)
{
	if (!logfile || getpid() != owner)
		return;
	for (size_t i = 0; i < count; i++)
		fprintf(logfile, "%s %lu %lu %lu\n", probed[i].name, probed[i].entries, probed[i].returns,
			probed[i].ret.missed);
	fclose(logfile);
}
