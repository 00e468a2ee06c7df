/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a specification names in a process: the functions that match, as a session takes them.
 */
#ifndef ST_PROBE_MATCH_H
#define ST_PROBE_MATCH_H

#include <process/session.h>
#include <probe/spec.h>

struct st_matches {
	struct st_fn *fn;	/* names are its own, to be freed by st_matches_free() */
	size_t n, room;
	size_t ifuncs;		/* left out: it is not known what was chosen */
	size_t outside;		/* left out: the offset lies behind the function's end */
	size_t objects;		/* that have the right name */
};

/**
 * st_match() - the functions that a specification names
 * @objs: of the process
 * @spec: the specification
 * @from: objects that are also in these have been seen to; NULL: none
 * @m: zeroed; filled in
 *
 * A function that is chosen among several when the program starts (ifunc) is the one that was chosen.
 *
 * Return: 0, also when there are none, or -ENOMEM.
 */
int st_match(struct st_objects *objs, const struct st_spec *spec, const struct st_objects *from, struct st_matches *m);

/* Why there are none: a sentence. */
void st_match_why(struct st_objects *objs, const struct st_spec *spec, const struct st_matches *m, int pid, char err[ST_ERR_MAX]);

void st_matches_free(struct st_matches *m);

#endif
