// SPDX-License-Identifier: GPL-2.0-only
/*
 * Probes in one process. The order of things is what keeps a killed tool harmless: a record has its
 * owner before it has a hook, and loses the hook before it is free.
 */
#include <elf.h>
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "target.h"

#define UNHOOK_TRIES 50			/* of 20 ms */
#define COMMS 64			/* threads whose names are kept */
#define COMM_NS 1000000000ull		/* for how long */
#define COMM_MAX 64
/* A site is at its function's entry, but for a landing pad: closer than this it is the entry. */
#define ENTRY_BYTES 16

struct place {
	unsigned long addr, size;
	const char *name;
};

struct probe {
	unsigned int index;		/* in ctl->probe_rec */
	struct st_spec *spec;		/* with the types that the process's debug information gives */
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
	bool counts_only;
	const struct st_wants *wants;
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

uint64_t st_start_time(int pid)
{
	char path[32], line[1024], *p;
	uint64_t start = 0;
	int field;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fgets(line, sizeof(line), f)) {
		p = strrchr(line, ')');	/* the name before it may hold anything */
		for (field = 2; p && field < 22; field++)
			p = strchr(p + 1, ' ');
		if (p)
			start = strtoull(p + 1, NULL, 10);
	}
	fclose(f);
	return start;
}

void st_target_start(struct st_target *t)
{
	unsigned int i;

	for (i = 0; i < t->nprobes; i++)
		__atomic_store_n(&t->ctl->probe_rec[t->probes[i].index].state, ST_PROBE_ON, __ATOMIC_RELEASE);
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

int st_target_open(int pid, bool counts_only, const struct st_wants *wants, struct st_target **target, char err[ST_ERR_MAX])
{
	struct st_target *t = calloc(1, sizeof(*t));
	uint32_t other;
	int ret;

	if (!t) {
		say(err, "out of memory");
		return -ENOMEM;
	}
	t->pid = pid;
	t->counts_only = counts_only;
	t->wants = wants;
	st_clock_begin(&t->clock);
	t->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	ret = st_session_open(pid, true, &t->session, err);
	if (ret)
		goto out_fd;
	t->ctl = st_session_ctl(t->session);
	t->proc = st_session_proc(t->session);
	ret = st_session_reap(t->session);
	if (ret < 0) {
		say(err, "probes that a dead sidetrack left can't be removed: %s",
			 st_session_error(t->session));
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

struct matches {
	struct st_fn *fn;
	size_t n, room;
	size_t ifuncs;		/* left out */
};

static int add_match(struct matches *m, const struct st_func *f)
{
	struct st_fn *fn;

	if (m->n == m->room) {
		size_t room = m->room ? m->room * 2 : 64;

		fn = realloc(m->fn, room * sizeof(*fn));
		if (!fn)
			return -ENOMEM;
		m->fn = fn;
		m->room = room;
	}
	fn = &m->fn[m->n++];
	memset(fn, 0, sizeof(*fn));
	fn->addr = f->addr;
	fn->size = f->flags & ST_FUNC_NOSIZE ? f->room : f->size;
	fn->room = f->room;
	fn->isa = f->isa;
	fn->name = f->name;
	return 0;
}

static int find_matches(struct st_target *t, const struct st_spec *spec, struct matches *m)
{
	size_t i, j, n;

	for (i = 0; i < t->objects->n; i++) {
		struct st_object *obj = &t->objects->object[i];
		const struct st_func *f;
		unsigned long last = 0;

		/* The kernel's own object is there for who asks for it. */
		if (spec->object[0] ? fnmatch(spec->object, obj->name, 0) != 0
				    : (obj->flags & ST_OBJECT_VDSO) != 0)
			continue;
		f = st_object_functions(obj, &n);
		for (j = 0; j < n; j++) {
			if (fnmatch(spec->function, f[j].name, 0))
				continue;
			if (f[j].flags & ST_FUNC_IFUNC) {
				m->ifuncs++;
				continue;
			}
			if (f[j].addr == last)		/* another name of the one before */
				continue;
			last = f[j].addr;
			if (add_match(m, &f[j]))
				return -ENOMEM;
		}
	}
	return 0;
}

static void no_match(struct st_target *t, const struct st_spec *spec, const struct matches *m,
		     char *err)
{
	const char *why = NULL, *object = NULL;
	bool seen = false;
	size_t i;

	if (m->ifuncs) {
		say(err,
		    "%.100s is chosen among several functions when the program starts (ifunc); "
		    "probe the one that was chosen",
		    spec->function);
		return;
	}
	for (i = 0; i < t->objects->n; i++) {
		const struct st_object *obj = &t->objects->object[i];

		if (spec->object[0] && fnmatch(spec->object, obj->name, 0))
			continue;
		seen = true;
		if (obj->why && !why) {
			why = obj->why;
			object = obj->name;
		}
	}
	if (!seen)
		say(err, "process %d has no object %.100s (see /proc/%d/maps)", t->pid,
		    spec->object, t->pid);
	else if (why)
		say(err, "no function of process %d matches %.100s (%.60s: %.100s)", t->pid,
			 spec->function, object, why);
	else
		say(err,
		    "no function of process %d matches %.100s; 'sidetrack functions -p %d' lists "
		    "them",
		    t->pid, spec->function, t->pid);
}

/* Take a record: complete but for its state when this returns. */
static int take_record(struct st_target *t, const struct st_spec *spec, const char *text,
		       const struct matches *m, struct st_spec *typed, unsigned int *index, char *err)
{
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
	*index = i;
	p->owner_start = st_start_time(getpid());
	p->owner = (uint32_t)getpid();
	p->flags = (t->counts_only ? ST_PROBE_COUNT_ONLY : 0) | (spec->ret ? ST_PROBE_RETURN : 0);
	p->index = i;
	p->hits = 0;
	p->hits -= st_ctl_hits(t->ctl, i);	/* what earlier probes left in the columns */
	p->sites = 0;
	snprintf(p->name, sizeof(p->name), "%s", spec->name);
	snprintf(p->spec, sizeof(p->spec), "%s", text);
	ret = st_compile(t->objects, m->fn, m->n, spec, t->wants, typed, p, &t->ctl->code[i], err);
	if (ret) {
		__atomic_store_n(&p->state, ST_PROBE_FREE, __ATOMIC_RELEASE);
		return ret;
	}
	memset(&p->hook, 0, sizeof(p->hook));
	p->hook.size = sizeof(p->hook);
	p->hook.func = (st_hook_fn)(uintptr_t)t->ctl->probe;
	p->hook.data = (void *)(uintptr_t)(t->ctl->self + offsetof(struct st_ctl, probe_rec) +
					   *index * sizeof(*p));
	/* Where its system calls would harm vector state, the session sees to it. */
	p->hook.flags = ST_HOOK_GENERAL_REGS;
	return 0;
}

static int by_address(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* Remember what the probe sits on, and tell what was left out. */
static int keep_places(struct probe *p, const struct matches *m, char *note)
{
	const struct st_fn *refused = NULL;
	size_t i;

	p->places = calloc(m->n, sizeof(*p->places));
	if (!p->places)
		return -ENOMEM;
	for (i = 0; i < m->n; i++) {
		if (m->fn[i].why) {
			if (!refused)
				refused = &m->fn[i];
			continue;
		}
		p->places[p->nplaces++] =
			(struct place){ m->fn[i].addr, m->fn[i].size, m->fn[i].name };
	}
	qsort(p->places, p->nplaces, sizeof(*p->places), by_address);
	note[0] = '\0';
	if (refused && m->n - p->nplaces == 1)
		say(note, "left out: %.100s (%s)", refused->name, refused->why);
	else if (refused)
		say(note, "%zu of %zu functions are left out, the first of them %.100s (%s)",
			 m->n - p->nplaces, m->n, refused->name, refused->why);
	return 0;
}

int st_target_add(struct st_target *t, const struct st_spec *spec, const char *text,
		  char note[ST_ERR_MAX], char err[ST_ERR_MAX])
{
	struct matches m = { 0 };
	struct st_ctl_probe *rec;
	struct probe *p;
	int ret;

	note[0] = '\0';
	p = realloc(t->probes, (t->nprobes + 1) * sizeof(*p));
	if (!p)
		goto no_memory;
	t->probes = p;
	p += t->nprobes;
	memset(p, 0, sizeof(*p));
	p->spec = malloc(sizeof(*p->spec));
	if (!p->spec)
		goto no_memory;
	if (find_matches(t, spec, &m))
		goto no_memory;
	if (!m.n) {
		no_match(t, spec, &m, err);
		ret = -ENOENT;
		goto out;
	}
	ret = take_record(t, spec, text, &m, p->spec, &p->index, err);
	if (ret)
		goto out;
	rec = &t->ctl->probe_rec[p->index];
	ret = st_session_hook(t->session, &rec->hook, m.fn, m.n, 0);
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
		__atomic_store_n(&rec->state, ST_PROBE_FREE, __ATOMIC_RELEASE);
		ret = ret ? ret : -ENOTSUP;
		goto out;
	}
	rec->sites = (uint64_t)ret;
	t->nprobes++;		/* from here on it is closed with the others */
	if (keep_places(p, &m, note))
		goto no_memory;
	goto out;

no_memory:
	say(err, "out of memory");
	ret = -ENOMEM;
out:
	free(m.fn);
	if (t->probes && p == &t->probes[t->nprobes])
		free(p->spec);
	return ret;
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

	return place && ip - place->addr < ENTRY_BYTES ? place->addr : ip;
}

/* The name of a thread. One that has ended since has the name it had last, or the process's. */
static const char *thread_name(struct st_target *t, uint32_t tid, uint64_t ns)
{
	struct comm *c = &t->comms[tid % COMMS];
	char path[64];
	size_t len;
	FILE *f;

	if (c->tid == tid && c->name[0] && ns - c->when < COMM_NS)
		return c->name;
	snprintf(path, sizeof(path), "/proc/%d/task/%" PRIu32 "/comm", t->pid, tid);
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

		for (i = 0; i < t->nprobes && t->probes[i].index != rec->probe; i++)
			;
		if (i == t->nprobes)
			continue;
		t->current = &t->probes[i];
		rec->ip = entry_of(t->current, rec->ip);
		*hit = (struct st_probe_hit) {
			.spec = t->probes[i].spec,
			.rec = rec,
			.comm = thread_name(t, rec->tid, ns),
			.pid = t->pid,
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
	return st_ctl_hits(t->ctl, t->probes[i].index);
}

void st_target_hist(const struct st_target *t, unsigned int i, uint64_t bucket[ST_HIST_BUCKETS])
{
	const struct st_ctl_code *code = &t->ctl->code[t->probes[i].index];
	unsigned int n;

	for (n = 0; n < ST_HIST_BUCKETS; n++)
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
		n += __atomic_load_n(&t->ctl->probe_rec[t->probes[i].index].hook.missed,
				     __ATOMIC_RELAXED);
	return n;
}

const char *st_target_gone(struct st_target *t)
{
	struct pollfd pfd = { .fd = t->pidfd, .events = POLLIN };
	uint64_t ns = st_monotonic_ns();

	if (t->pidfd >= 0 && poll(&pfd, 1, 0) == 1)
		return "has exited";
	if (ns - t->checked < 200000000)
		return NULL;
	t->checked = ns;
	if (st_session_there(t->session))
		return NULL;
	if (!st_start_time(t->pid))
		return "has exited";
	return st_proc_alive(t->proc) ? "was detached by another sidetrack"
				      : "runs another program now (exec)";
}

int st_target_close(struct st_target *t, char err[ST_ERR_MAX])
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	bool gone;
	unsigned int i;
	int ret = 0, tries;

	t->checked = 0;
	gone = st_target_gone(t);
	for (i = t->nprobes; i-- > 0;) {
		struct st_ctl_probe *rec = &t->ctl->probe_rec[t->probes[i].index];
		int r = 0;

		for (tries = 0; !gone && tries < UNHOOK_TRIES; tries++) {
			r = st_session_unhook(t->session, &rec->hook);
			if (r != -EBUSY)
				break;
			nanosleep(&pause, NULL);
		}
		t->checked = 0;
		if (r < 0 && (r == -ESRCH || r == -ESTALE || st_target_gone(t)))
			gone = true;
		if (r < 0 && !gone) {
			/* It stays as it is, with its owner: whoever comes next will remove it. */
			say(err,
			    "the hooks of %s could not be removed: %s; 'sidetrack detach -p %d' "
			    "may",
			    t->probes[i].spec->name, st_session_error(t->session), t->pid);
			ret = r;
		} else {
			__atomic_store_n(&rec->state, ST_PROBE_FREE, __ATOMIC_RELEASE);
		}
		free(t->probes[i].places);
		free(t->probes[i].spec);
	}
	free(t->probes);
	st_objects_free(t->objects);
	st_session_close(t->session);
	if (t->pidfd >= 0)
		close(t->pidfd);
	free(t);
	return ret;
}
