// SPDX-License-Identifier: GPL-2.0-only
/* See follow.h. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <process/follow.h>
#include <process/internal.h>

#define WAIT_NS 1000000000ull
#define END_TRIES 500		/* to let somebody go, 1 ms apart */

int st_follow_add(struct st_follow *f, int tid)
{
	struct st_follow_one *one;
	size_t i;
	int ret;

	/* execvp() tries one folder after the other. */
	for (i = 0; i < f->n; i++)
		if (f->one[i].hold.tid == tid && !f->one[i].hold.dropped) {
			f->one[i].until = st_now_ns() + WAIT_NS;
			return 0;
		}
	one = realloc(f->one, (f->n + 1) * sizeof(*one));
	if (!one)
		return -ENOMEM;
	f->one = one;
	ret = st_hold_begin(&one[f->n].hold, tid);
	if (ret)
		return ret;
	one[f->n++].until = st_now_ns() + WAIT_NS;
	return 0;
}

static void forget(struct st_follow *f, size_t i)
{
	f->one[i] = f->one[--f->n];
}

bool st_follow_next(struct st_follow *f, struct st_hold *hold)
{
	uint64_t now = f->n ? st_now_ns() : 0;
	size_t i;

	for (i = 0; i < f->n; i++) {
		struct st_follow_one *one = &f->one[i];
		int ret = one->hold.dropped ? 0 : st_hold_step(&one->hold);

		if (ret == 1) {
			*hold = one->hold;
			forget(f, i);
			return true;
		}
		if (ret < 0 || (now > one->until && st_hold_drop(&one->hold)))
			forget(f, i--);
	}
	return false;
}

bool st_follow_has(const struct st_follow *f, int pid)
{
	size_t i;

	for (i = 0; i < f->n && f->one[i].hold.pid != pid; i++)
		;
	return i < f->n;
}

/* Those of one process, or (0) all. */
static void drop(struct st_follow *f, int pid)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	bool left = true;
	size_t i;
	int tries;

	for (tries = 0; left && tries < END_TRIES; tries++) {
		left = false;
		for (i = 0; i < f->n; i++) {
			if (pid && f->one[i].hold.pid != pid)
				continue;
			if (st_hold_drop(&f->one[i].hold))
				forget(f, i--);
			else
				left = true;
		}
		if (left)
			nanosleep(&pause, NULL);
	}
}

void st_follow_forget(struct st_follow *f, int pid)
{
	drop(f, pid);
}

void st_follow_end(struct st_follow *f)
{
	/* Who can't be stopped in time is let go by our end. */
	drop(f, 0);
	free(f->one);
	f->one = NULL;
	f->n = 0;
}
