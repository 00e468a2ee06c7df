/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of a session share: session.c, sites.c, change.c, install.c, leave.c. See session.h. */
#ifndef ST_PROCESS_SESSION_INTERNAL_H
#define ST_PROCESS_SESSION_INTERNAL_H

#include <string.h>
#include <time.h>
#include <process/session.h>

#define ST_STOP_MS 2000		/* how long to try to stop the threads */
#define ST_BUSY_NAP_MS 2
#define ST_GRACE_MS 5000	/* how long a hook of the agent may take at most */
#define ST_WINDOW (256ul << 10)

struct st_session {
	struct st_proc *proc;
	struct st_ctl *ctl;
	int fd;			/* of the shared memory */
	int lock_fd;		/* of /proc/PID, whose lock is ours while we change the process */
	unsigned int locked;	/* how often */
	int pid;
	char err[ST_ERR_MAX];
	unsigned long stops;
	uint64_t longest;	/* ns */
	/* a piece of the target's memory, read once for many functions */
	uint8_t *window;
	unsigned long window_at;
	size_t window_len;
};

/* session.c */
int __attribute__((format(printf, 3, 4))) st_session_fail(struct st_session *s, int ret, const char *fmt, ...);
int st_session_resume(struct st_session *s, struct st_stop *stop);
/* Unmaps all memory that has one of our names; `ctl`: the shared memory too. */
void st_session_unmap_named(struct st_session *s, struct st_remote *r, bool ctl);
int st_session_add_region(struct st_session *s, enum st_region_kind kind, unsigned long start, unsigned long size);

/* sites.c: site[i] becomes the record of fn[i], with a finished stub; -1 where it is refused (fn[i].why). */
int st_sites_find(struct st_session *s, struct st_fn *fn, size_t n, int *site);

/* install.c: waits until no thread is in a hook. 0 or -EBUSY. */
int st_session_grace(struct st_session *s);

/* change.c: the bytes of these records' sites become what the records say. All or none. */
int st_sites_settle(struct st_session *s, const uint32_t *site, size_t n);
void st_site_set_state(struct st_ctl_site *c);
void st_site_set_dispatch(struct st_session *s, struct st_ctl_site *c, bool vector, bool redirected);
void st_site_redirect(struct st_session *s, struct st_ctl_site *c, unsigned int patch, unsigned long to);

static inline void st_nap_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static inline unsigned long st_session_address(const struct st_session *s, const void *p)
{
	return (unsigned long)(s->ctl->self + (uint64_t)((const char *)p - (const char *)s->ctl));
}

/* How many records are in use; never more than there are, whatever the target wrote there. */
static inline uint32_t st_sites_used(const struct st_session *s)
{
	uint32_t n = __atomic_load_n(&s->ctl->sites_used, __ATOMIC_ACQUIRE);

	return n < ST_SITES_MAX ? n : ST_SITES_MAX;
}

static inline struct st_plan st_site_plan(const struct st_ctl_site *c)
{
	struct st_plan p = {
		.func = c->func, .addr = c->addr, .isa = c->isa, .kind = c->kind,
		.signs = c->signs,
		.len = c->len, .jump = c->jump <= ST_JUMP_MAX ? c->jump : 0,
		.insns = c->insns <= ST_INSNS_MAX ? c->insns : 0,
	};

	memcpy(p.offs, c->offs, sizeof(p.offs));
	memcpy(p.orig, c->orig, sizeof(p.orig));
	return p;
}

#endif
