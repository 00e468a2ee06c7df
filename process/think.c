/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The second rung of evidence.h: threads whose stacks hold words that lead to old code are copied, the copies are unwound while the
 * threads run, and a thread that stands exactly as its copy does shares its verdict. Exactly: all general registers, every word of the
 * live stack that was copied, and the pending returns that its frames led through. The unwinder looks at nothing else that changes.
 */
#include <stdlib.h>
#include <string.h>
#include <process/unwind.h>

#define COPY_MAX	(256ul << 10)	/* bytes of a piece: who has more before its bottom can't be unwound */

static void free_copy(struct st_copy *copy)
{
	st_live_free(&copy->live);
	free(copy->due);
}

void st_copies_free(struct st_evidence *e)
{
	while (e->ncopies)
		free_copy(&e->copy[--e->ncopies]);
	free(e->copy);
}

static struct st_copy *find(const struct st_evidence *e, pid_t tid)
{
	for (size_t i = 0; i < e->ncopies; i++)
		if (e->copy[i].live.tid == tid)
			return &e->copy[i];
	return NULL;
}

static bool same_stack(const struct st_copy *copy, const struct st_live *live)
{
	const struct st_live *was = &copy->live;

	if (memcmp(&was->raw, &live->raw, sizeof(live->raw)) || memcmp(&was->view, &live->view, sizeof(live->view)) ||
	    was->tp != live->tp || was->pac != live->pac || was->n != live->n)
		return false;
	for (size_t i = 0; i < live->n; i++) {
		const struct st_piece *a = &was->piece[i], *b = &live->piece[i];

		if (a->lo != b->lo || a->hi > b->hi || memcmp(a->word, b->word, a->hi - a->lo))
			return false;
	}
	return true;
}

static bool same_due(const struct st_evidence *e, const struct st_copy *copy)
{
	for (size_t i = 0; i < copy->ndue; i++) {
		const struct st_due *was = &copy->due[i], *due = st_due_find(e->due, e->ndue, was->key, was->after);

		if (!due || due->addr != was->addr)
			return false;
	}
	return true;
}

const struct st_copy *st_copy_take(struct st_evidence *e, struct st_live *live)
{
	struct st_copy *copy = find(e, live->tid);

	if (copy && same_stack(copy, live) && same_due(e, copy))
		return copy;
	if (copy) {
		free_copy(copy);
	} else {
		copy = realloc(e->copy, (e->ncopies + 1) * sizeof(*copy));
		if (!copy)
			return NULL;
		e->copy = copy;
		copy += e->ncopies++;
	}
	*copy = (struct st_copy){ .live = *live };
	live->n = 0;
	for (size_t i = 0; i < copy->live.n; i++) {
		struct st_piece *p = &copy->live.piece[i];
		unsigned long *less;

		if (p->hi - p->lo <= COPY_MAX)
			continue;
		copy->live.cut = true;
		p->hi = p->lo + COPY_MAX;
		less = realloc(p->word, COPY_MAX);
		p->word = less ?: p->word;
	}
	return NULL;
}

int st_evidence_think(struct st_evidence *e)
{
	int worth = 0;

	for (size_t i = 0; i < e->ncopies; i++) {
		struct st_copy *copy = &e->copy[i];

		if (copy->verdict != ST_COPY_NEW)
			continue;
		st_unwind_copy(e, copy);
		worth += copy->verdict == ST_COPY_CLEAN;
	}
	return worth;
}

unsigned long st_copy_bottom(const struct st_evidence *e, const struct st_live *live)
{
	const struct st_copy *copy = find(e, live->tid);

	return copy && copy->verdict == ST_COPY_CLEAN && same_stack(copy, live) ? copy->bottom : 0;
}
