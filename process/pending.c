/* SPDX-License-Identifier: GPL-2.0-only */
/* Pending returns (engine/return.h) as evidence: where a function whose return is probed will return to stands only in the agent's lists. */
#include <stdlib.h>
#include <engine/return.h>
#include <process/evidence_internal.h>

static int add(struct st_evidence *e, const struct st_pending *p)
{
	struct st_due due = { .key = p->key, .addr = p->addr, .tail = p->addr ? 0 : p->tail };

	if (st_mem_read(e->s->proc, (unsigned long)p->ret + ST_RETURN_AFTER, &due.after, sizeof(due.after)))
		return -EFAULT;
	if (e->ndue == e->due_size) {
		size_t size = 2 * e->due_size + 64;
		struct st_due *more = realloc(e->due, size * sizeof(*more));

		if (!more)
			return -ENOMEM;
		e->due = more;
		e->due_size = size;
	}
	e->due[e->ndue++] = due;
	return 0;
}

/* Lists of all threads: a coroutine's may stand in that of the thread it ran on before. A list that changes meanwhile is another's. */
int st_due_read(struct st_evidence *e)
{
	struct st_pending list[ST_PENDING_MAX];
	unsigned long at = 0;
	int ret = 0;

	e->ndue = 0;
	if (!e->s->ctl->returns_list)
		return 0;
	ret = st_mem_read(e->s->proc, e->s->ctl->returns_list, &at, sizeof(at));
	for (unsigned int lists = 0; !ret && at && lists < ST_THREADS; lists++, at = (unsigned long)list[0].next) {
		ret = st_mem_read(e->s->proc, at, list, sizeof(list));
		for (unsigned int i = 1; !ret && i < ST_PENDING_MAX; i++)
			if (list[i].key > ST_PENDING_TAKEN)
				ret = add(e, &list[i]);
	}
	return ret;
}

const struct st_due *st_due_find(const struct st_due *due, size_t n, unsigned long key, unsigned long after)
{
	/* Each step leads to an older one; no more steps than there are. */
	for (size_t steps = 0; steps < n; steps++) {
		const struct st_due *found = NULL;

		for (size_t i = 0; i < n && !found; i++)
			if (due[i].key == key && due[i].after == after)
				found = &due[i];
		if (!found || found->addr)
			return found;
		after = found->tail;
	}
	return NULL;
}
