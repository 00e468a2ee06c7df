// SPDX-License-Identifier: GPL-2.0-only
/*
 * Probes in one process. The order of things is what keeps a killed tool harmless: a record has its
 * owner before it has a hook, and loses the hook before it is free.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <process/mailbox.h>
#include "match.h"
#include "target.h"

#define UNHOOK_TRIES 50			/* of 20 ms */
#define COMMS 64			/* threads whose names are kept */
#define COMM_NS 1000000000ull		/* for how long */
#define COMM_MAX 64
#define LESSONS 20			/* times that the agent's place for thread ids is looked for, 50 ms apart */
/* A site is at its function's entry, but for a landing pad: closer than this it is the entry. */
#define ENTRY_BYTES 16

struct place {
	unsigned long addr, size, offset;	/* the function, and how far into it the probe is */
	char *name;
};

struct probe {
	bool set;			/* it has a record, and places */
	unsigned int index;		/* in ctl->probe_rec, if it is set */
	const struct st_spec *asked;	/* as it was parsed */
	struct st_spec *spec;		/* with the types that the process's debug information gives; the same until it is set */
	const char *text;
	struct place *places;		/* what it sits on, by address */
	size_t nplaces;
};

struct comm {
	uint32_t tid;
	uint64_t when;
	char name[COMM_MAX];
};

struct st_target {
	int pid;
	int pidfd;			/* -1: this kernel has none */
	struct st_session *session;
	struct st_proc *proc;
	struct st_ctl *ctl;
	struct st_objects *objects;
	unsigned int flags;		/* ST_TARGET_* */
	bool counts_only;
	const struct st_wants *wants;
	bool started;
	unsigned int lessons;
	bool learnt;			/* what the agent has to know of the C library */
	bool said;			/* what is still to come */
	const char *gone;		/* half a sentence, once it is */
	bool replaced;			/* it has executed another program */
	struct st_mailbox box;
	uint64_t looked;		/* for new objects, ns */
	uint64_t asked;			/* whether children are left, ns */
	bool orphans;			/* the answer */
	unsigned int nprobes;
	struct probe *probes;
	struct st_ring_reader ring;
	struct st_clock clock;
	uint64_t checked;		/* when we last made sure that the agent is there, ns */
	const struct probe *current;	/* whose hit is being printed */
	struct comm comms[COMMS];
	union {
		struct st_rec rec;
		uint8_t bytes[ST_REC_MAX];
	} buf;
};

/* A sentence for the user, cut where it would not fit. */
__attribute__((format(printf, 2, 3)))
static void say(char *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, ST_ERR_MAX, fmt, ap);
	va_end(ap);
}

void st_target_start(struct st_target *t)
{
	unsigned int i;

	t->started = true;
	for (i = 0; i < t->nprobes; i++)
		if (t->probes[i].set)
			__atomic_store_n(&t->ctl->probe_rec[t->probes[i].index].state, ST_PROBE_ON, __ATOMIC_RELEASE);
	st_proc_release(t->proc);
}

int st_target_pid(const struct st_target *t)
{
	return t->pid;
}

static bool is_ours(const struct st_ctl_probe *p)
{
	return p->owner == (uint32_t)getpid();
}

/* Another living tool whose hits go through the ring, or 0. */
static uint32_t other_reader(struct st_ctl *ctl)
{
	unsigned int i;

	for (i = 0; i < ST_PROBES_MAX; i++) {
		struct st_ctl_probe *p = &ctl->probe_rec[i];

		if (__atomic_load_n(&p->state, __ATOMIC_ACQUIRE) != ST_PROBE_FREE && p->owner &&
		    !is_ours(p) && !(p->flags & ST_PROBE_COUNT_ONLY))
			return p->owner;
	}
	return 0;
}

/* Probes of this tool in a process that it has just got into: the memory is that of another one. */
static bool ours_already(struct st_ctl *ctl)
{
	unsigned int i;

	for (i = 0; i < ST_PROBES_MAX; i++)
		if (__atomic_load_n(&ctl->probe_rec[i].state, __ATOMIC_ACQUIRE) != ST_PROBE_FREE && is_ours(&ctl->probe_rec[i]))
			return true;
	return false;
}

void st_target_busy(struct st_target *t, bool busy)
{
	st_mailbox_busy(&t->box, busy);
}

int st_target_open(int pid, unsigned int flags, const struct st_wants *wants, struct st_target **target, char err[ST_ERR_MAX])
{
	bool counts_only = flags & ST_TARGET_COUNTS;
	struct st_target *t = calloc(1, sizeof(*t));
	uint32_t other;
	int ret;

	if (!t) {
		say(err, "out of memory");
		return -ENOMEM;
	}
	t->pid = pid;
	t->flags = flags;
	t->counts_only = counts_only;
	t->wants = wants;
	st_clock_begin(&t->clock);
	t->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	ret = st_session_open(pid, true, &t->session, err);
	if (ret)
		goto out_fd;
	t->ctl = st_session_ctl(t->session);
	t->proc = st_session_proc(t->session);
	t->learnt = !st_proc_held(t->proc);
	if (st_proc_held(t->proc))
		st_proc_early(t->proc, (unsigned long)t->ctl->early);
	ret = st_session_forget(t->session);
	if (ret >= 0)
		ret = st_mailbox_reap(t->session);
	if (ret >= 0)
		ret = st_session_reap(t->session);
	if (ret < 0) {
		say(err, ret == -ESRCH || ret == -ESTALE ? "%s" : "probes that a dead sidetrack left can't be removed: %s",
		    st_session_error(t->session));
		goto out_session;
	}
	if (ours_already(t->ctl)) {
		say(err, "process %d is a child that was forked by another process that is probed here: --follow prints its hits", pid);
		ret = -EBUSY;
		goto out_session;
	}
	other = counts_only ? 0 : other_reader(t->ctl);
	if (other) {
		say(err,
		    "sidetrack (process %" PRIu32
		    ") is printing the hits of process %d already; only one can: use -c, or end it",
		    other, pid);
		ret = -EBUSY;
		goto out_session;
	}
	ret = st_objects_read(t->proc, &t->objects, err);
	if (ret)
		goto out_session;
	if (!counts_only)
		st_ring_begin(&t->ring, &t->ctl->ring);
	if (flags & (ST_TARGET_WAIT | ST_TARGET_FOLLOW | ST_TARGET_RETURNS))
		ret = st_mailbox_take(&t->box, t->session, t->objects,
				      (flags & (ST_TARGET_WAIT | ST_TARGET_RETURNS) ? ST_MAILBOX_OBJECTS : 0) |
				      (flags & ST_TARGET_FOLLOW ? ST_MAILBOX_PROGRAMS : 0), err);
	/* Most processes have their unwinder from the beginning, or never. */
	if (ret == -ENOSPC && !(flags & (ST_TARGET_WAIT | ST_TARGET_FOLLOW)))
		ret = 0;
	if (ret) {
		st_objects_free(t->objects);
		goto out_session;
	}
	*target = t;
	return 0;

out_session:
	st_session_close(t->session);
out_fd:
	if (t->pidfd >= 0)
		close(t->pidfd);
	free(t);
	return ret;
}

/* ---- what a specification means in this process ---- */

/* Take a record: complete but for its state when this returns. */
static int take_record(struct st_target *t, struct probe *probe, const struct st_matches *m, char *err)
{
	const struct st_spec *spec = probe->asked;
	struct st_ctl_probe *p = NULL;
	unsigned int i;
	int ret;

	for (i = 0; i < ST_PROBES_MAX; i++) {
		uint32_t is_free = ST_PROBE_FREE;

		p = &t->ctl->probe_rec[i];
		if (__atomic_compare_exchange_n(&p->state, &is_free, ST_PROBE_SETUP, false,
						__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			break;
	}
	if (i == ST_PROBES_MAX) {
		say(err, "process %d has %d probes already, which is all it can have", t->pid,
			 ST_PROBES_MAX);
		return -ENOSPC;
	}
	probe->index = i;
	p->owner_start = st_start_time(getpid());
	p->owner = (uint32_t)getpid();
	p->flags = (t->counts_only ? ST_PROBE_COUNT_ONLY : 0) | (spec->ret ? ST_PROBE_RETURN : 0) |
		   (t->flags & ST_TARGET_FOLLOW ? ST_PROBE_CHILDREN : 0);
	p->index = i;
	p->hits = 0;
	p->hits -= st_ctl_hits(t->ctl, i);	/* what earlier probes left in the columns */
	p->sites = 0;
	snprintf(p->name, sizeof(p->name), "%s", spec->name);
	snprintf(p->spec, sizeof(p->spec), "%s", probe->text);
	ret = st_compile(t->objects, m->fn, m->n, spec, t->wants, probe->spec, p, &t->ctl->code[i], err);
	if (ret) {
		__atomic_store_n(&p->state, ST_PROBE_FREE, __ATOMIC_RELEASE);
		return ret;
	}
	memset(&p->hook, 0, sizeof(p->hook));
	p->hook.size = sizeof(p->hook);
	p->hook.func = (st_hook_fn)(uintptr_t)t->ctl->probe;
	p->hook.data = (void *)(uintptr_t)(t->ctl->self + offsetof(struct st_ctl, probe_rec) + i * sizeof(*p));
	/* Where its system calls would harm vector state, the session sees to it. */
	p->hook.flags = ST_HOOK_GENERAL_REGS;
	p->brief = t->ctl->brief;
	if (p->brief && (p->flags & (ST_PROBE_COUNT_ONLY | ST_PROBE_SLOW)) == ST_PROBE_COUNT_ONLY)
		p->hook.flags |= ST_HOOK_IS_SHORT;
	return 0;
}

/* Does the record that a probe has say what it would have to say for these places, too? */
static int same_record(struct st_target *t, struct probe *probe, const struct st_matches *m, char *err)
{
	const struct st_ctl_probe *has = &t->ctl->probe_rec[probe->index];
	struct st_ctl_probe *rec = malloc(sizeof(*rec));
	struct st_ctl_code *code = calloc(1, sizeof(*code));
	struct st_spec *spec = malloc(sizeof(*spec));
	int ret = -ENOMEM;

	if (!rec || !code || !spec) {
		say(err, "out of memory");
		goto out;
	}
	*rec = *has;
	ret = st_compile(t->objects, m->fn, m->n, probe->asked, t->wants, spec, rec, code, err);
	if (!ret && (rec->fetches != has->fetches || rec->room != has->room ||
		     memcmp(rec->fetch, has->fetch, rec->fetches * sizeof(rec->fetch[0])) ||
		     memcmp(code->op, t->ctl->code[probe->index].op, sizeof(code->op)))) {
		say(err, "%.60s in an object that has come means something else than where it is armed already: left out there",
		    probe->asked->name);
		ret = -ENOTSUP;
	}
out:
	free(rec);
	free(code);
	free(spec);
	return ret;
}

static int by_address(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* Remember what the probe sits on, and tell what was left out. */
static int keep_places(struct probe *p, struct st_matches *m, char *note)
{
	const struct st_fn *refused = NULL;
	struct place *more = realloc(p->places, (p->nplaces + m->n) * sizeof(*more));
	size_t i, left = 0;

	if (!more)
		return -ENOMEM;
	p->places = more;
	for (i = 0; i < m->n; i++) {
		if (m->fn[i].why) {
			if (!left++)
				refused = &m->fn[i];
			continue;
		}
		p->places[p->nplaces++] = (struct place){ m->fn[i].addr, m->fn[i].size, m->fn[i].offset, (char *)m->fn[i].name };
		m->fn[i].name = NULL;
	}
	qsort(p->places, p->nplaces, sizeof(*p->places), by_address);
	if (left == 1)
		say(note, "left out: %.100s (%s)", refused->name, refused->why);
	else if (left)
		say(note, "%zu of %zu functions are left out, the first of them %.100s (%s)", left, m->n, refused->name,
		    refused->why);
	return 0;
}

/* Places in objects that are not there any more. */
static void drop_places(struct st_target *t, struct probe *p)
{
	size_t i, n = 0;

	for (i = 0; i < p->nplaces; i++) {
		if (st_objects_find(t->objects, p->places[i].addr))
			p->places[n++] = p->places[i];
		else
			free(p->places[i].name);
	}
	p->nplaces = n;
}

/*
 * Set a probe on what it names, but for objects that are known already.
 * Return: sites that have come, 0: nothing that it names is there, or a negative errno.
 */
static int set_probe(struct st_target *t, struct probe *p, const struct st_objects *known, char *note, char *err)
{
	const struct st_spec *spec = p->asked;
	struct st_matches m = { 0 };
	struct st_ctl_probe *rec;
	bool fresh = !p->set;
	int ret;

	ret = st_match(t->objects, spec, known, &m);
	if (ret) {
		say(err, "out of memory");
		goto out;
	}
	if (!m.n) {
		st_match_why(t->objects, spec, &m, t->pid, err);
		/* Not that it may still come. */
		ret = m.outside ? -EINVAL : 0;
		goto out;
	}
	if (fresh) {
		ret = take_record(t, p, &m, err);
		if (ret) {
			/* A variable may come with its object as well. */
			if (ret == -ENOENT && t->flags & ST_TARGET_WAIT)
				ret = 0;
			goto out;
		}
	}
	rec = &t->ctl->probe_rec[p->index];
	ret = fresh ? 0 : same_record(t, p, &m, err);
	if (ret)
		goto out;
	ret = st_session_hook(t->session, &rec->hook, m.fn, m.n, ST_SESSION_ANY | (spec->ret ? ST_SESSION_RETURN : 0));
	if (ret <= 0) {
		if (m.n == 1 && m.fn[0].why)
			say(err, "%.100s can't be probed: %s", m.fn[0].name, m.fn[0].why);
		else if (!ret)
			say(err,
			    "none of the %zu functions that match can be probed; the first, %.60s: "
			    "%s",
			    m.n, m.fn[0].name, m.fn[0].why ? m.fn[0].why : "no reason was given");
		else
			say(err, "%s", st_session_error(t->session));
		if (fresh)
			__atomic_store_n(&rec->state, ST_PROBE_FREE, __ATOMIC_RELEASE);
		ret = ret ? ret : -ENOTSUP;
		goto out;
	}
	rec->sites += (uint64_t)ret;
	p->set = true;		/* from here on it is closed with the others */
	if (keep_places(p, &m, note)) {
		say(err, "out of memory");
		ret = -ENOMEM;
	}
	if (t->started)
		__atomic_store_n(&rec->state, ST_PROBE_ON, __ATOMIC_RELEASE);
out:
	st_matches_free(&m);
	return ret;
}

int st_target_add(struct st_target *t, const struct st_spec *spec, const char *text,
		  char note[ST_ERR_MAX], char err[ST_ERR_MAX])
{
	struct probe *p = realloc(t->probes, (t->nprobes + 1) * sizeof(*p));
	int ret;

	note[0] = '\0';
	if (!p) {
		say(err, "out of memory");
		return -ENOMEM;
	}
	t->probes = p;
	p += t->nprobes;
	*p = (struct probe){ .asked = spec, .spec = malloc(sizeof(*spec)), .text = text };
	if (!p->spec) {
		say(err, "out of memory");
		return -ENOMEM;
	}
	*p->spec = *spec;
	ret = set_probe(t, p, NULL, note, err);
	if (!ret && !(t->flags & ST_TARGET_WAIT))
		ret = -ENOENT;
	if (ret >= 0 || p->set)
		t->nprobes++;
	else
		free(p->spec);
	return ret;
}

bool st_target_waits(const struct st_target *t, unsigned int i)
{
	return !t->probes[i].set;
}

/* ---- hits ---- */

/* The probed function that begins at or before an address and holds it, or NULL. */
static const struct place *place_at(const struct probe *p, uint64_t addr)
{
	size_t lo = 0, hi = p->nplaces;
	const struct place *place;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (p->places[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return NULL;
	place = &p->places[lo - 1];
	return addr == place->addr || addr - place->addr < place->size ? place : NULL;
}

/*
 * The name of an address: the probed function under the name it was asked for, else what symbols
 * say.
 */
static const char *symbolize(void *ctx, uint64_t addr, uint64_t *offset)
{
	struct st_target *t = ctx;
	const struct place *place;
	const struct st_func *f;
	struct st_object *obj;

#if defined(__arm__)
	addr &= ~1ull;		/* of a function pointer: the state, no part of the address */
#endif
	place = place_at(t->current, addr);
	if (place) {
		*offset = addr - place->addr;
		return place->name;
	}
	obj = st_objects_find(t->objects, (unsigned long)addr);
	f = obj ? st_object_function_at(obj, (unsigned long)addr) : NULL;
	if (!f)
		return NULL;
	*offset = addr - f->addr;
	return f->name;
}

/* A site behind a landing pad is its function's entry. */
static uint64_t entry_of(const struct probe *p, uint64_t ip)
{
	const struct place *place = place_at(p, ip);

	return place && !place->offset && ip - place->addr < ENTRY_BYTES ? place->addr : ip;
}

/* The name of a thread. One that has ended since has the name it had last, or the process's. */
static const char *thread_name(struct st_target *t, uint32_t pid, uint32_t tid, uint64_t ns)
{
	struct comm *c = &t->comms[tid % COMMS];
	char path[64];
	size_t len;
	FILE *f;

	if (c->tid == tid && c->name[0] && ns - c->when < COMM_NS)
		return c->name;
	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/task/%" PRIu32 "/comm", pid, tid);
	f = fopen(path, "re");
	if (f) {
		len = fread(c->name, 1, sizeof(c->name) - 1, f);
		fclose(f);
		if (len && c->name[len - 1] == '\n')
			len--;
		c->name[len] = '\0';
	} else if (c->tid != tid || !c->name[0]) {
		snprintf(c->name, sizeof(c->name), "%s", st_proc_comm(t->proc));
	}
	c->tid = tid;
	c->when = ns;
	return c->name;
}

bool st_target_next(struct st_target *t, struct st_probe_hit *hit)
{
	uint64_t ns = st_monotonic_ns();
	unsigned int i;

	if (t->counts_only)
		return false;
	if (ns - t->clock.ns > 1000000000 || t->clock.ns == t->clock.ns0)
		st_clock_update(&t->clock);
	while (st_ring_next(&t->ring, &t->buf.rec, sizeof(t->buf), ns)) {
		struct st_rec *rec = &t->buf.rec;
		uint32_t pid = rec->pid ? rec->pid : (uint32_t)t->pid;

		for (i = 0; i < t->nprobes && (!t->probes[i].set || t->probes[i].index != rec->probe); i++)
			;
		if (i == t->nprobes)
			continue;
		t->current = &t->probes[i];
		rec->ip = entry_of(t->current, rec->ip);
		*hit = (struct st_probe_hit) {
			.spec = t->probes[i].spec,
			.rec = rec,
			.comm = thread_name(t, pid, rec->tid, ns),
			.pid = (int)pid,
			.ns = st_clock_ns(&t->clock, rec->time),
			.symbolize = symbolize,
			.ctx = t,
		};
		if (st_probe_hit_check(hit))
			return true;
		t->ring.skipped++;
	}
	return false;
}

uint64_t st_target_hits(const struct st_target *t, unsigned int i)
{
	if (i >= t->nprobes || !t->probes[i].set)
		return 0;
	return st_ctl_hits(t->ctl, t->probes[i].index);
}

void st_target_hist(const struct st_target *t, unsigned int i, uint64_t bucket[ST_HIST_BUCKETS])
{
	const struct st_ctl_code *code = &t->ctl->code[t->probes[i].index];
	unsigned int n;

	for (n = 0; t->probes[i].set && n < ST_HIST_BUCKETS; n++)
		bucket[n] += __atomic_load_n(&code->bucket[n], __ATOMIC_RELAXED);
}

uint64_t st_target_lost(const struct st_target *t)
{
	return t->counts_only ? 0 : st_ring_lost(&t->ring);
}

uint64_t st_target_missed(const struct st_target *t)
{
	uint64_t n = 0;
	unsigned int i;

	for (i = 0; i < t->nprobes; i++)
		if (t->probes[i].set)
			n += __atomic_load_n(&t->ctl->probe_rec[t->probes[i].index].hook.missed,
					     __ATOMIC_RELAXED);
	return n;
}

/* Its memory is gone, and it has not ended yet or is a zombie; after an exec there is other memory. */
static bool ending(int pid)
{
	char path[64], exe[1];

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return readlink(path, exe, sizeof(exe)) < 0 && (errno == ENOENT || errno == ESRCH);
}

const char *st_target_gone(struct st_target *t)
{
	struct pollfd pfd = { .fd = t->pidfd, .events = POLLIN };
	uint64_t ns = st_monotonic_ns();

	if (t->gone)
		return t->gone;
	if (t->pidfd >= 0 && poll(&pfd, 1, 0) == 1)
		return t->gone = "has exited";
	if (ns - t->checked < 200000000)
		return NULL;
	t->checked = ns;
	if (st_session_there(t->session))
		return NULL;
	if (!st_start_time(t->pid))
		return t->gone = "has exited";
	if (st_proc_alive(t->proc))
		return t->gone = "was detached by another sidetrack";
	/* That will be told by the pidfd in a moment. */
	if (ending(t->pid))
		return t->pidfd >= 0 ? NULL : (t->gone = "has exited");
	t->replaced = true;
	return t->gone = "runs another program now (exec)";
}

/* Is one of the process's children left, which write into the same ring? Looked for five times a second. */
static bool has_children(struct st_target *t)
{
	uint64_t ns = st_monotonic_ns();
	size_t n;

	if (!(t->flags & ST_TARGET_FOLLOW))
		return false;
	if (!t->asked || ns - t->asked > 200000000) {
		t->asked = ns;
		free(st_session_sharers(t->session, &n));
		t->orphans = n > 0;
	}
	return t->orphans;
}

bool st_target_alive(struct st_target *t)
{
	return !st_target_gone(t) || has_children(t);
}

bool st_target_replaced(const struct st_target *t)
{
	return t->replaced;
}

enum st_letter st_target_letter(struct st_target *t, int *tid)
{
	uint32_t letter;

	if (!st_mailbox_full(&t->box)) {
		uint64_t ns = st_monotonic_ns();

		/* Where nobody tells, we look ourselves. */
		if (t->flags & (ST_TARGET_WAIT | ST_TARGET_RETURNS) && !t->box.watched && ns - t->looked > 50000000) {
			t->looked = ns;
			return ST_LETTER_LOOK;
		}
		return ST_LETTER_NONE;
	}
	letter = st_mailbox_read(&t->box);
	if (!letter)
		return ST_LETTER_NONE;
	if ((letter & ~ST_LETTER_TID) != ST_LETTER_EXEC)
		return ST_LETTER_LOOK;
	*tid = st_session_thread(t->session, (int)(letter & ST_LETTER_TID));
	return ST_LETTER_PROGRAM;
}

void st_target_answer(struct st_target *t)
{
	st_mailbox_answer(&t->box);
}

void st_target_expect(struct st_target *t, void (*tell)(void *ctx, const char *sentence), void *ctx)
{
	char err[ST_ERR_MAX];
	unsigned int k;

	if (!t->learnt || t->said || !(t->flags & ST_TARGET_WAIT))
		return;
	t->said = true;
	if (t->flags & ST_TARGET_FOLLOW && !t->box.tells) {
		say(err, "programs that process %d (%s) executes will not be followed: it has no execve() by that name", t->pid,
		    st_proc_comm(t->proc));
		tell(ctx, err);
	}
	for (k = 0; k < t->nprobes; k++) {
		if (t->probes[k].set)
			continue;
		say(err, "%s: nothing in process %d matches %.60s%s%.100s yet: it will be armed when an object arrives that does",
		    t->probes[k].spec->name, t->pid, t->probes[k].spec->object, t->probes[k].spec->object[0] ? ":" : "",
		    t->probes[k].spec->function);
		tell(ctx, err);
	}
}

void st_target_look(struct st_target *t, void (*tell)(void *ctx, const char *sentence), void *ctx)
{
	char note[ST_ERR_MAX], err[ST_ERR_MAX];
	struct st_objects *before = t->objects, *now;
	size_t i, fresh = 0;
	unsigned int k;

	if (st_target_gone(t))
		return;
	if (st_objects_read(t->proc, &now, NULL))
		return;
	if (st_objects_loading(now)) {
		st_objects_free(now);
		return;
	}
	for (i = 0; i < now->n; i++)
		fresh += !st_objects_known(before, &now->object[i]);
	if (!fresh && now->n == before->n && t->learnt) {
		st_objects_free(now);
		return;
	}
	st_session_forget(t->session);
	t->objects = now;
	/* A static program tells nobody when it has begun: it is looked at a few times. */
	if (!t->learnt && !st_objects_starting(now))
		t->learnt = (!st_session_learn(t->session) && t->ctl->tid_offset) || ++t->lessons == LESSONS;
	st_mailbox_hooks(&t->box, now, before);
	if (t->flags & ST_TARGET_RETURNS && fresh && st_session_returns(t->session) < 0 && !st_target_gone(t))
		tell(ctx, st_session_error(t->session));
	for (k = 0; k < t->nprobes && t->flags & ST_TARGET_WAIT; k++) {
		struct probe *p = &t->probes[k];
		bool waited = !p->set;
		int ret;

		note[0] = err[0] = '\0';
			drop_places(t, p);
		/* What an earlier look could not set, for want of a variable, is tried on all objects. */
		ret = set_probe(t, p, p->set ? before : NULL, note, err);
		if (ret < 0) {
			tell(ctx, err);
		} else if (ret && waited && t->said) {
			say(err, "%s: armed in process %d, on %d %s", p->spec->name, t->pid, ret, ret == 1 ? "place" : "places");
			tell(ctx, err);
		}
		if (note[0])
			tell(ctx, note);
	}
	st_objects_free(before);
	st_target_expect(t, tell, ctx);
}

/* A hook off, from the process itself or, if that has gone, from a child. */
static int take_off(struct st_target *t, struct st_session *s, struct st_hook *hook)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	int tries, ret = 0;

	/* Each session has a mapping of its own of the same memory. */
	hook = (struct st_hook *)((char *)st_session_ctl(s) + ((char *)hook - (char *)t->ctl));
	for (tries = 0; tries < UNHOOK_TRIES; tries++) {
		ret = st_session_unhook(s, hook);
		if (ret != -EBUSY)
			break;
		nanosleep(&pause, NULL);
	}
	t->checked = 0;
	/* The end of the process has taken it off. */
	if (ret == -ESRCH || ret == -ESTALE || (ret < 0 && s == t->session && st_target_gone(t)))
		return 0;
	return ret;
}

/* The code of children that are left, until there are no new ones. */
static void settle_children(struct st_target *t)
{
	int *pids, rounds;
	size_t i, n, before = 0;

	for (rounds = 0; rounds < 5; rounds++) {
		struct st_session *s;

		pids = st_session_sharers(t->session, &n);
		for (i = 0; i < n; i++) {
			if (st_session_open(pids[i], false, &s, NULL))
				continue;
			st_session_settle(s);
			st_session_close(s);
		}
		free(pids);
		if (n <= before)
			break;
		before = n;
	}
}

/* A session with a child, when the process itself has gone. */
static struct st_session *with_child(struct st_target *t)
{
	struct st_session *s = NULL;
	size_t i, n;
	int *pids = st_session_sharers(t->session, &n);

	for (i = 0; i < n && !s; i++)
		if (st_session_open(pids[i], false, &s, NULL))
			s = NULL;
	free(pids);
	return s;
}

int st_target_close(struct st_target *t, char err[ST_ERR_MAX])
{
	struct st_session *s = t->session, *child = NULL;
	bool gone, follow = t->flags & ST_TARGET_FOLLOW;
	unsigned int i;
	size_t k;
	int ret = 0;

	st_proc_release(t->proc);
	t->checked = 0;
	gone = st_target_gone(t);
	if (gone && follow)
		child = with_child(t);
	if (child) {
		s = child;
		gone = false;
	}
	st_mailbox_off(&t->box);
	for (i = t->nprobes; i-- > 0;) {
		struct probe *p = &t->probes[i];
		struct st_ctl_probe *rec = &t->ctl->probe_rec[p->index];
		int r = gone || !p->set ? 0 : take_off(t, s, &rec->hook);

		if (r < 0) {
			/* It stays as it is, with its owner: whoever comes next will remove it. */
			say(err,
			    "the hooks of %s could not be removed: %s; 'sidetrack detach -p %d' "
			    "may",
			    p->spec->name, st_session_error(s), t->pid);
			ret = r;
		} else if (p->set) {
			__atomic_store_n(&rec->state, ST_PROBE_FREE, __ATOMIC_RELEASE);
		}
		for (k = 0; k < p->nplaces; k++)
			free(p->places[k].name);
		free(p->places);
		free(p->spec);
	}
	if (t->box.mail) {
		int r = gone ? 0 : take_off(t, s, &t->box.mail->objects);

		r = r || gone ? r : take_off(t, s, &t->box.mail->exec);
		if (r < 0 && !ret) {
			say(err, "hooks could not be removed: %s; 'sidetrack detach -p %d' may", st_session_error(s), t->pid);
			ret = r;
		}
		if (!r)
			__atomic_store_n(&t->box.mail->owner, 0, __ATOMIC_RELEASE);
	}
	if (follow)
		settle_children(t);
	st_session_close(child);
	free(t->probes);
	st_objects_free(t->objects);
	st_session_close(t->session);
	if (t->pidfd >= 0)
		close(t->pidfd);
	free(t);
	return ret;
}
