/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See session.h. The order that makes the tool's death harmless at any point:
 *
 *	1. memory is mapped and noted in ctl->region; stubs and records are written; nobody can reach them
 *	2. every thread is stopped; who stands between two displaced instructions is moved to their copies
 *	3. records say "changed", then the bytes change, a page at a time
 *	4. the threads go on
 *
 * A tool that finds a record that says "changed" can put the original bytes back, whether or not they had changed.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <engine/thread.h>
#include <process/blob.h>
#include <process/session.h>
#include <process/thread_pointer.h>

#define STOP_MS 2000
#define LOCK_MS 5000		/* how long to wait for another tool */
#define BUSY_TRIES 100
#define BUSY_NAP_MS 2
#define GRACE_MS 5000		/* how long a hook of the agent may take at most */
#define ISLAND_MIN (64ul << 10)
#define WINDOW (256ul << 10)

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

static int __attribute__((format(printf, 3, 4))) fail(struct st_session *s, int ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->err, sizeof(s->err), fmt, ap);
	va_end(ap);
	return ret;
}

static void nap_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static int resume(struct st_session *s, struct st_stop *stop)
{
	uint64_t ns = 0;
	int ret = st_resume(stop, &ns);

	s->stops++;
	if (ns > s->longest)
		s->longest = ns;
	return ret;
}

/* ---- the shared memory ---- */

static unsigned long target_address(const struct st_session *s, const void *p)
{
	return (unsigned long)(s->ctl->self + (uint64_t)((const char *)p - (const char *)s->ctl));
}

static const struct st_map *find_ctl(const struct st_maps *maps)
{
	for (size_t i = 0; i < maps->n; i++)
		if (maps->map[i].shared && !strcmp(maps->map[i].path, "/memfd:" ST_CTL_NAME))
			return &maps->map[i];
	return NULL;
}

static bool same_file(int fd, const struct st_map *map)
{
	struct stat st;

	return !fstat(fd, &st) && st.st_ino == map->inode;
}

bool st_session_there(struct st_session *s)
{
	const struct st_map *map;
	struct st_maps *maps;
	bool there;

	if (!st_proc_alive(s->proc) || st_maps_read(s->proc, &maps, NULL))
		return false;
	map = find_ctl(maps);
	there = map && map->start == s->ctl->self && same_file(s->fd, map);
	st_maps_free(maps);
	return there;
}

/*
 * What several tools do to a process must not mix: the agent must not go away between one stop and the next of a tool that
 * installs a hook. The lock is on the process's folder in /proc, so that it is there before the agent is, and gone when
 * its holder dies.
 */
int st_session_lock(struct st_session *s)
{
	if (s->locked) {
		s->locked++;
		return 0;
	}
	for (long waited = 0; flock(s->lock_fd, LOCK_EX | LOCK_NB); waited += BUSY_NAP_MS) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return fail(s, -errno, "can't lock /proc/%d: %s", s->pid, strerror(errno));
		if (waited >= LOCK_MS)
			return fail(s, -EBUSY, "another sidetrack is changing process %d", s->pid);
		nap_ms(BUSY_NAP_MS);
	}
	/* The tool that had the lock may have taken the agent away. */
	if (s->ctl && !st_session_there(s)) {
		flock(s->lock_fd, LOCK_UN);
		return fail(s, -ESTALE, st_proc_alive(s->proc) ? "another sidetrack has detached from process %d" :
			    "process %d has ended, or runs another program now", s->pid);
	}
	s->locked = 1;
	return 0;
}

void st_session_unlock(struct st_session *s)
{
	if (!--s->locked)
		flock(s->lock_fd, LOCK_UN);
}

/* The mapping itself, which takes CAP_CHECKPOINT_RESTORE; or the descriptor of another tool that works on the process. */
static int open_existing(struct st_session *s, const struct st_map *map)
{
	struct st_holder holder[ST_HOLDERS_MAX];
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx", (int)st_proc_pid(s->proc), map->start, map->end);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (st_mem_read(s->proc, map->start + offsetof(struct st_ctl, holder), holder, sizeof(holder)))
		return -ESRCH;
	for (int i = 0; i < ST_HOLDERS_MAX; i++) {
		if (!holder[i].pid)
			continue;
		snprintf(path, sizeof(path), "/proc/%u/fd/%u", holder[i].pid, holder[i].fd);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd >= 0 && same_file(fd, map))
			return fd;
		if (fd >= 0)
			close(fd);
	}
	return -EPERM;
}

static int map_ctl(struct st_session *s, int fd)
{
	struct st_ctl *ctl;
	struct stat st;

	if (fstat(fd, &st) || (size_t)st.st_size < sizeof(*ctl))
		return fail(s, -EPROTO, "the agent in process %d is of another version of sidetrack",
			    (int)st_proc_pid(s->proc));
	ctl = mmap(NULL, sizeof(*ctl), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ctl == MAP_FAILED)
		return fail(s, -errno, "can't map the memory shared with the agent: %s", strerror(errno));
	s->ctl = ctl;
	s->fd = fd;
	return 0;
}

static int check_ctl(struct st_session *s)
{
	struct st_ctl *ctl = s->ctl;

	if (ctl->magic != ST_CTL_MAGIC || ctl->version != ST_CTL_VERSION || ctl->size != sizeof(*ctl))
		return fail(s, -EPROTO,
			    "the agent in process %d is of another version of sidetrack, or damaged; detach with that version",
			    (int)st_proc_pid(s->proc));
	return 0;
}

static void hold(struct st_session *s)
{
	int free_slot = -1;
	char path[32];

	for (int i = 0; i < ST_HOLDERS_MAX; i++) {
		snprintf(path, sizeof(path), "/proc/%u", s->ctl->holder[i].pid);
		if (!s->ctl->holder[i].pid || access(path, F_OK))
			free_slot = i;
	}
	if (free_slot < 0)
		return;
	s->ctl->holder[free_slot].fd = (uint32_t)s->fd;
	s->ctl->holder[free_slot].pid = (uint32_t)getpid();
}

/* A new memfd, mapped in the target at *at (0: anywhere) and known here by s->fd and s->ctl. */
static int new_ctl(struct st_session *s, struct st_remote *r, unsigned long *at)
{
	int flags = MAP_SHARED | (*at ? MAP_FIXED : 0);
	int remote_fd = st_remote_memfd(r, ST_CTL_NAME, MFD_CLOEXEC);
	char path[64];
	int fd, ret;

	if (remote_fd < 0)
		return fail(s, remote_fd, "the process can't make a memfd: %s", strerror(-remote_fd));
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)st_proc_pid(s->proc), remote_fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		ret = fail(s, -errno, "can't open %s: %s", path, strerror(errno));
		goto out;
	}
	if (ftruncate(fd, sizeof(struct st_ctl))) {
		ret = fail(s, -errno, "can't size the shared memory: %s", strerror(errno));
		goto out;
	}
	ret = st_remote_mmap(r, at, sizeof(struct st_ctl), PROT_READ | PROT_WRITE, flags, remote_fd, 0);
	if (ret)
		fail(s, ret, "the process can't map memory: %s", strerror(-ret));
	else
		ret = map_ctl(s, fd);
out:
	st_remote_close(r, remote_fd);
	if (ret && fd >= 0)
		close(fd);
	return ret;
}

/* ---- getting in ---- */

/* Where a thread's id stands, relative to its thread pointer: the same place for every thread, or it is not that. */
static int64_t find_tid_offset(struct st_stop *stop)
{
	enum { SPAN = 4096 };
	struct st_proc *proc = st_stop_proc(stop);
	static int32_t words[2 * SPAN / 4];
	static bool possible[2 * SPAN / 4];
	bool any = false;

	memset(possible, 1, sizeof(possible));
	for (size_t i = 0; i < st_stop_count(stop); i++) {
		pid_t tid = st_thread_tid(st_stop_thread(stop, i));
		unsigned long tp = st_thread_pointer_of(tid);
		size_t from = 0, to = 2 * SPAN / 4;

		if (!tp)
			continue;
		/* One half may not be mapped. */
		if (st_mem_read(proc, tp, words + SPAN / 4, SPAN))
			to = SPAN / 4;
		if (st_mem_read(proc, tp - SPAN, words, SPAN))
			from = SPAN / 4;
		for (size_t k = 0; k < 2 * SPAN / 4; k++)
			possible[k] = possible[k] && k >= from && k < to && words[k] == tid;
		any = true;
	}
	for (size_t k = 0; any && k < 2 * SPAN / 4; k++)
		if (possible[k])
			return (int64_t)k * 4 - SPAN;
	return 0;
}

static int64_t find_rseq_offset(struct st_session *s)
{
	struct st_objects *objs;
	struct st_symbol sym;
	long offset = 0;
	unsigned int size = 0;

	if (st_objects_read(s->proc, &objs, NULL))
		return 0;
	if (st_objects_resolve(objs, "__rseq_size", NULL, NULL, &sym) ||
	    st_mem_read(s->proc, sym.addr, &size, sizeof(size)) || !size ||
	    st_objects_resolve(objs, "__rseq_offset", NULL, NULL, &sym) ||
	    st_mem_read(s->proc, sym.addr, &offset, sizeof(offset)))
		offset = 0;
	st_objects_free(objs);
	return offset;
}

static bool under_seccomp(pid_t pid)
{
	char path[64], line[256];
	bool yes = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return true;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, "Seccomp:", 8))
			yes = atoi(line + 8) != 0;
	fclose(f);
	return yes;
}

static int add_region(struct st_session *s, enum st_region_kind kind, unsigned long start, unsigned long size)
{
	for (int i = 0; i < ST_REGIONS_MAX; i++) {
		struct st_ctl_region *r = &s->ctl->region[i];

		if (r->kind != ST_REGION_FREE)
			continue;
		r->start = start;
		r->size = size;
		r->used = 0;
		__atomic_store_n(&r->kind, kind, __ATOMIC_RELEASE);
		return i;
	}
	return fail(s, -ENOSPC, "the agent has no room for another memory region");
}

static int agent_symbol(struct st_session *s, const struct st_loaded *l, const char *name, uint64_t *addr)
{
	unsigned long v;
	int ret = st_image_symbol(st_agent_blob, st_agent_blob_size, l->bias, name, &v);

	if (ret)
		return fail(s, ret, "the agent lacks the symbol %s", name);
	*addr = v;
	return 0;
}

static int load_agent(struct st_session *s, struct st_remote *r)
{
	struct st_load_opts opts = { .size = sizeof(opts) };
	struct st_ctl *ctl = s->ctl;
	struct st_loaded l;
	uint64_t var = 0, init = 0, quiet = 0;
	int no_syscalls = ctl->no_syscalls;
	unsigned long self = ctl->self, hwcap = st_proc_auxv(s->proc, AT_HWCAP), ignored;
	int ret;

	ret = st_load(r, st_agent_blob, st_agent_blob_size, &opts, &l, s->err);
	if (ret)
		return ret;
	ret = agent_symbol(s, &l, "st_entry", &ctl->entry) ?:
	      agent_symbol(s, &l, "st_dispatch", &ctl->dispatch) ?:
	      agent_symbol(s, &l, "st_dispatch_vector", &ctl->dispatch_vector) ?:
#if defined(__aarch64__)
	      agent_symbol(s, &l, "st_dispatch_redirect", &ctl->dispatch_redirect) ?:
#endif
	      agent_symbol(s, &l, "st_agent_probe", &ctl->probe) ?:
	      agent_symbol(s, &l, "st_threads", &ctl->threads) ?:
	      agent_symbol(s, &l, "st_agent_ctl", &var) ?:
	      agent_symbol(s, &l, "st_arch_init", &init) ?:
	      agent_symbol(s, &l, "st_no_syscalls", &quiet);
	if (ret)
		return ret;
	ret = st_mem_write(s->proc, var, &self, sizeof(self)) ?:
	      st_mem_write(s->proc, quiet, &no_syscalls, sizeof(no_syscalls));
	if (ret)
		return fail(s, ret, "can't write the agent's memory: %s", strerror(-ret));
	ret = st_remote_call(r, init, &hwcap, 1, &ignored, STOP_MS, s->err);
	if (ret)
		return ret;
	ret = add_region(s, ST_REGION_AGENT, l.lo, l.hi - l.lo);
	return ret < 0 ? ret : 0;
}

static int create(struct st_session *s)
{
	struct st_remote *r = NULL;
	struct st_stop *stop;
	unsigned long at = 0;
	int ret = st_stop(s->proc, 0, STOP_MS, &stop, s->err);

	if (ret)
		return ret;
	ret = st_remote_begin(stop, NULL, &r, s->err);
	if (!ret)
		ret = new_ctl(s, r, &at);
	if (!ret) {
		s->ctl->self = at;
		s->ctl->version = ST_CTL_VERSION;
		s->ctl->size = sizeof(struct st_ctl);
		s->ctl->no_syscalls = under_seccomp(st_proc_pid(s->proc));
		s->ctl->tid_offset = find_tid_offset(stop);
		add_region(s, ST_REGION_CTL, at, sizeof(struct st_ctl));
		ret = load_agent(s, r);
	}
	if (!ret) {
		s->ctl->magic = ST_CTL_MAGIC;
		__atomic_store_n(&s->ctl->ready, 1, __ATOMIC_RELEASE);
	} else if (at) {
		st_remote_munmap(r, at, sizeof(struct st_ctl));
	}
	if (r)
		st_remote_end(r);
	resume(s, stop);
	if (!ret)
		s->ctl->rseq_offset = find_rseq_offset(s);
	return ret;
}

/* Nobody has the memory open any more, and we may not open the mapping: put new memory with the same contents in its place. */
static int replace_ctl(struct st_session *s, const struct st_map *map)
{
	struct st_remote *r = NULL;
	struct st_stop *stop;
	unsigned long at = map->start;
	uint8_t *copy;
	int ret;

	if (map->end - map->start < sizeof(struct st_ctl))
		return fail(s, -EPROTO, "the agent in process %d is of another version of sidetrack",
			    (int)st_proc_pid(s->proc));
	copy = malloc(sizeof(struct st_ctl));
	if (!copy)
		return fail(s, -ENOMEM, "out of memory");
	ret = st_stop(s->proc, 0, STOP_MS, &stop, s->err);
	if (ret) {
		free(copy);
		return ret;
	}
	ret = st_mem_read(s->proc, at, copy, sizeof(struct st_ctl));
	if (ret)
		fail(s, ret, "can't read the agent's memory: %s", strerror(-ret));
	else
		ret = st_remote_begin(stop, NULL, &r, s->err);
	if (!ret) {
		/* Complete before it replaces the old: made at another place first. */
		unsigned long elsewhere = 0;

		ret = new_ctl(s, r, &elsewhere);
		if (!ret) {
			unsigned long args[6] = { elsewhere, sizeof(struct st_ctl), sizeof(struct st_ctl),
						  MREMAP_MAYMOVE | MREMAP_FIXED, at, 0 };
			long got;

			memcpy(s->ctl, copy, sizeof(struct st_ctl));
			ret = st_remote_syscall(r, &got, __NR_mremap, args);
			if (!ret && got < 0 && got > -4096)
				ret = fail(s, (int)got, "can't renew the memory shared with the agent");
		}
	}
	if (r)
		st_remote_end(r);
	resume(s, stop);
	free(copy);
	return ret;
}

int st_session_open(int pid, bool may_create, struct st_session **session, char err[ST_ERR_MAX])
{
	struct st_session *s = calloc(1, sizeof(*s));
	struct st_maps *maps = NULL;
	const struct st_map *map;
	char path[32];
	int ret, fd;

	if (!s)
		return -ENOMEM;
	s->fd = -1;
	s->lock_fd = -1;
	s->pid = pid;
	snprintf(path, sizeof(path), "/proc/%d", pid);
	s->lock_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* If it can't be opened, st_proc_open() has the better sentence. */
	ret = s->lock_fd < 0 ? 0 : st_session_lock(s);
	if (!ret)
		ret = st_proc_open(pid, &s->proc, s->err);
	if (!ret)
		ret = st_maps_read(s->proc, &maps, s->err);
	if (ret)
		goto fail;
	map = find_ctl(maps);
	if (!map && !may_create) {
		ret = fail(s, -ENOENT, "sidetrack is not attached to process %d", pid);
		goto fail;
	}
	if (!map) {
		ret = create(s);
	} else {
		fd = open_existing(s, map);
		ret = fd >= 0 ? map_ctl(s, fd) : replace_ctl(s, map);
		if (ret && fd >= 0)
			close(fd);
		if (!ret)
			ret = check_ctl(s);
		/* A tool that was killed while it got in: nothing points to what it left. */
		if (ret == -EPROTO && s->ctl && !s->ctl->ready && !s->ctl->magic) {
			munmap(s->ctl, sizeof(*s->ctl));
			close(s->fd);
			s->ctl = NULL;
			s->fd = -1;
			ret = may_create ? create(s) : fail(s, -ENOENT, "sidetrack is not attached to process %d", pid);
		}
	}
	if (ret)
		goto fail;
	hold(s);
	st_session_unlock(s);
	st_maps_free(maps);
	*session = s;
	return 0;
fail:
	if (err)
		memcpy(err, s->err, sizeof(s->err));
	st_maps_free(maps);
	st_session_close(s);
	return ret;
}

void st_session_close(struct st_session *s)
{
	if (!s)
		return;
	if (s->ctl) {
		for (int i = 0; i < ST_HOLDERS_MAX; i++)
			if (s->ctl->holder[i].pid == (uint32_t)getpid())
				s->ctl->holder[i].pid = 0;
		munmap(s->ctl, sizeof(*s->ctl));
	}
	if (s->fd >= 0)
		close(s->fd);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	st_proc_close(s->proc);
	free(s->window);
	free(s);
}

struct st_ctl *st_session_ctl(struct st_session *s)
{
	return s->ctl;
}

struct st_proc *st_session_proc(struct st_session *s)
{
	return s->proc;
}

const char *st_session_error(struct st_session *s)
{
	return s->err;
}

void st_session_stops(struct st_session *s, unsigned long *count, unsigned long *longest_ns)
{
	*count = s->stops;
	*longest_ns = (unsigned long)s->longest;
}

/* ---- sites ---- */

/* How many records are in use; never more than there are, whatever the target wrote there. */
static uint32_t sites_used(const struct st_session *s)
{
	uint32_t n = __atomic_load_n(&s->ctl->sites_used, __ATOMIC_ACQUIRE);

	return n < ST_SITES_MAX ? n : ST_SITES_MAX;
}

static struct st_plan plan_of(const struct st_ctl_site *c)
{
	struct st_plan p = {
		.func = c->func, .addr = c->addr, .isa = c->isa, .kind = c->kind,
		.len = c->len, .jump = c->jump <= ST_JUMP_MAX ? c->jump : 0,
		.insns = c->insns <= ST_INSNS_MAX ? c->insns : 0,
	};

	memcpy(p.offs, c->offs, sizeof(p.offs));
	memcpy(p.orig, c->orig, sizeof(p.orig));
	return p;
}

static const uint8_t *code_at(struct st_session *s, unsigned long addr, size_t len)
{
	ssize_t got;

	if (s->window && addr >= s->window_at && addr + len <= s->window_at + s->window_len)
		return s->window + (addr - s->window_at);
	if (len > WINDOW)
		return NULL;
	if (!s->window)
		s->window = malloc(WINDOW);
	if (!s->window)
		return NULL;
	got = st_mem_read_some(s->proc, addr, s->window, WINDOW);
	s->window_at = addr;
	s->window_len = got > 0 ? (size_t)got : 0;
	return s->window_len >= len ? s->window : NULL;
}

struct index {
	unsigned long func;
	uint32_t site;
};

static int index_order(const void *a, const void *b)
{
	const struct index *x = a, *y = b;

	return x->func < y->func ? -1 : x->func > y->func;
}

/* The records by function, to look up many. */
static struct index *make_index(struct st_session *s, size_t *n)
{
	uint32_t used = sites_used(s);
	struct index *ix = malloc((used + 1) * sizeof(*ix));

	*n = 0;
	for (uint32_t i = 0; ix && i < used; i++)
		if (s->ctl->site[i].state != ST_SITE_FREE)
			ix[(*n)++] = (struct index){ s->ctl->site[i].func, i };
	if (ix)
		qsort(ix, *n, sizeof(*ix), index_order);
	return ix;
}

static int lookup(const struct index *ix, size_t n, unsigned long func)
{
	struct index key = { func, 0 };
	const struct index *hit = bsearch(&key, ix, n, sizeof(*ix), index_order);

	return hit ? (int)hit->site : -1;
}

/* A piece of an island near addr, or 0. */
static unsigned long island_room(struct st_session *s, unsigned long addr, unsigned long reach, unsigned long size,
				 struct st_ctl_region **region)
{
	for (int i = 0; i < ST_REGIONS_MAX; i++) {
		struct st_ctl_region *r = &s->ctl->region[i];
		unsigned long far = addr > r->start ? addr - r->start : r->start + r->size - addr;

		if (r->kind == ST_REGION_ISLAND && far < reach && r->used + size <= r->size) {
			*region = r;
			return r->start + r->used;
		}
	}
	return 0;
}

/*
 * The sites and stubs of functions that have none yet. Plans first, with nothing stopped; then, if memory is missing, one
 * thread is borrowed to map it; then stubs and records are written.
 */
struct fresh {
	struct st_plan plan;
	struct st_fn *fn;
	uint32_t site;
};

static int new_islands(struct st_session *s, struct fresh *f, size_t n)
{
	struct st_remote *r = NULL;
	struct st_stop *stop;
	int ret = st_stop(s->proc, ST_STOP_ONE, STOP_MS, &stop, s->err);

	if (ret)
		return ret;
	ret = st_remote_begin(stop, NULL, &r, s->err);
	for (size_t i = 0; !ret && i < n;) {
		unsigned long reach = st_arch_reach(f[i].plan.isa);
		unsigned long lo = f[i].plan.addr, at, size;
		struct st_ctl_region *region;
		size_t end = i;

		/* As many as lie close together, in order of address. */
		while (end < n && f[end].plan.addr - lo < reach / 2)
			end++;
		size = (end - i) * ST_STUB_MAX / 2 + ST_STUB_MAX;
		size = (size + ISLAND_MIN - 1) & ~(ISLAND_MIN - 1);
		if (!island_room(s, lo, reach, (end - i) * ST_STUB_MAX, &region)) {
			ret = st_remote_area(r, size, lo, f[end - 1].plan.addr, reach, PROT_READ | PROT_EXEC, &at, s->err);
			if (!ret && add_region(s, ST_REGION_ISLAND, at, size) < 0) {
				st_remote_munmap(r, at, size);
				ret = -ENOSPC;
			}
			if (ret == -ENOMEM)	/* no room near these: they are refused one by one */
				ret = 0;
		}
		i = end;
	}
	if (r)
		st_remote_end(r);
	resume(s, stop);
	return ret;
}

static int fresh_order(const void *a, const void *b)
{
	const struct fresh *x = a, *y = b;

	return x->plan.addr < y->plan.addr ? -1 : x->plan.addr > y->plan.addr;
}

/* Branches from elsewhere in the same object into the bytes that would be displaced; its file has them unchanged. */
static int sweep(struct st_session *s, struct fresh *f, size_t n)
{
	struct st_plan **plan = calloc(n, sizeof(*plan));
	struct st_objects *objs = NULL;
	uint8_t *code = NULL;
	int ret = plan ? st_objects_read(s->proc, &objs, s->err) : fail(s, -ENOMEM, "out of memory");

	for (size_t i = 0; plan && i < n; i++)
		plan[i] = &f[i].plan;
	for (size_t i = 0; !ret && i < objs->n; i++) {
		struct st_object *o = &objs->object[i];
		const struct st_range *text;
		size_t ranges, first = 0;

		while (first < n && f[first].plan.addr < o->lo)
			first++;
		if (first == n || f[first].plan.addr >= o->hi)
			continue;
		text = st_object_text(o, &ranges);
		for (size_t k = 0; k < ranges; k++) {
			size_t len = text[k].hi - text[k].lo;
			uint8_t *more = realloc(code, len + 1);

			if (!more) {
				ret = fail(s, -ENOMEM, "out of memory");
				break;
			}
			code = more;
			/* No file: then what is in memory, where a jump of ours may hide a branch that it displaced. */
			if (!st_object_bytes(o, text[k].lo, code, len) || !st_mem_read(s->proc, text[k].lo, code, len))
				st_arch_sweep(plan, n, code, text[k].lo, len);
		}
	}
	free(code);
	free(plan);
	if (objs)
		st_objects_free(objs);
	return ret;
}

static void set_dispatch(struct st_session *s, struct st_ctl_site *c, bool vector, bool redirected)
{
	uint64_t to = vector ? s->ctl->dispatch_vector : s->ctl->dispatch;

#if defined(__aarch64__)
	if (redirected)
		to = s->ctl->dispatch_redirect;
#else
	(void)redirected;	/* st_entry goes on at site.resume, wherever that is */
#endif
	__atomic_store_n(&c->site.dispatch, (void *)(unsigned long)to, __ATOMIC_RELEASE);
}

static const char *write_stub(struct st_session *s, struct fresh *f, struct st_ctl_site *c)
{
	uint8_t code[ST_STUB_MAX] = { 0 };
	struct st_ctl_region *region;
	struct st_stub stub = { .buf = code };
	bool vector;
	int ret;

	stub.at = island_room(s, f->plan.addr, st_arch_reach(f->plan.isa), ST_STUB_MAX, &region);
	if (!stub.at)
		return "there is no free memory within a branch's reach";
	stub.site = target_address(s, &c->site);
	stub.entry = s->ctl->entry;
	ret = st_arch_stub(&f->plan, &stub);
	if (!ret)
		ret = st_arch_jump(&f->plan, stub.at | (f->plan.isa == ST_ISA_T32), c->bytes);
	if (ret)
		return f->plan.why ?: "its stub would be out of a branch's reach";
	if (st_mem_write(s->proc, stub.at, code, stub.size))
		return "its stub could not be written";
	region->used += (stub.size + 15ul) & ~15ul;
	memset(&c->site, 0, sizeof(c->site));
	vector = st_arch_syscalls_harm(st_proc_auxv(s->proc, AT_HWCAP));
	set_dispatch(s, c, vector, false);
	c->site.func = f->plan.func;
	c->site.resume = (stub.at + stub.resume) | (f->plan.isa == ST_ISA_T32);
	c->site.flags = (vector ? 0 : ST_SITE_GENERAL) | (f->plan.isa == ST_ISA_T32 ? ST_SITE_THUMB : 0);
	c->site.ip = f->plan.addr;
	c->site.hooks = (void *)target_address(s, c->list);
	memset(c->list, 0, sizeof(c->list));
	c->isa = f->plan.isa;
	c->kind = f->plan.kind;
	c->addr = f->plan.addr;
	c->func = f->plan.func;
	c->size = f->fn->size;
	c->stub = stub.at;
	c->moved = stub.resume;
	c->patch = 0;
	c->redirect = 0;
	c->len = f->plan.len;
	c->jump = f->plan.jump;
	c->insns = f->plan.insns;
	memcpy(c->offs, f->plan.offs, sizeof(c->offs));
	memcpy(c->map, stub.map, sizeof(c->map));
	memcpy(c->orig, f->plan.orig, sizeof(c->orig));
	return NULL;
}

/* site[i] becomes the record of fn[i], -1 where it is refused (fn[i].why). */
static int find_sites(struct st_session *s, struct st_fn *fn, size_t n, int *site)
{
	struct fresh *fresh = calloc(n + 1, sizeof(*fresh));
	size_t known, count = 0, room;
	struct index *ix = make_index(s, &known);
	int ret = 0;

	if (!fresh || !ix) {
		ret = fail(s, -ENOMEM, "out of memory");
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		const uint8_t *code;
		struct fresh *f = &fresh[count];

		fn[i].why = NULL;
		site[i] = lookup(ix, known, fn[i].addr);
		if (site[i] >= 0)
			continue;
		room = fn[i].room > fn[i].size + 64 ? fn[i].size + 64 : fn[i].room;
		code = code_at(s, fn[i].addr, room > fn[i].size ? room : fn[i].size);
		if (!code) {
			fn[i].why = room > WINDOW || fn[i].size > WINDOW ? "it is too long to be looked at" : "its code can't be read";
			continue;
		}
		if (st_arch_plan(&f->plan, code, fn[i].addr, fn[i].size, room, fn[i].isa)) {
			fn[i].why = f->plan.why;
			continue;
		}
		f->fn = &fn[i];
		count++;
	}
	qsort(fresh, count, sizeof(*fresh), fresh_order);
	if (count)
		ret = sweep(s, fresh, count);
	for (size_t i = room = 0; i < count; i++) {
		if (fresh[i].plan.kind == ST_KIND_NO)
			fresh[i].fn->why = fresh[i].plan.why;
		else
			fresh[room++] = fresh[i];
	}
	count = room;
	if (!ret && count)
		ret = new_islands(s, fresh, count);
	for (size_t i = 0; !ret && i < count; i++) {
		uint32_t used = sites_used(s);
		struct st_ctl_site *c = &s->ctl->site[used];

		if (i && fresh[i].plan.addr == fresh[i - 1].plan.addr)
			continue;
		if (used == ST_SITES_MAX) {
			fresh[i].fn->why = "the agent has no room for more sites";
			continue;
		}
		fresh[i].fn->why = write_stub(s, &fresh[i], c);
		if (fresh[i].fn->why)
			continue;
		__atomic_store_n(&c->state, ST_SITE_READY, __ATOMIC_RELEASE);
		__atomic_store_n(&s->ctl->sites_used, used + 1, __ATOMIC_RELEASE);
	}
	free(ix);
	ix = ret ? NULL : make_index(s, &known);
	for (size_t i = 0; ix && i < n; i++)
		if (site[i] < 0 && !fn[i].why)
			site[i] = lookup(ix, known, fn[i].addr);
out:
	free(ix);
	free(fresh);
	return ret;
}

/* ---- changing bytes ---- */

/* What a site should hold now, by its record: its own bytes, a jump to the stub, or to a patch's function. */
static bool wanted_bytes(struct st_session *s, struct st_ctl_site *c, uint8_t out[ST_JUMP_MAX])
{
	struct st_plan plan = plan_of(c);
	unsigned long thumb = c->isa == ST_ISA_T32;

	if (c->list[0])
		return !st_arch_jump(&plan, c->stub | thumb, out);
	if (c->redirect && !st_arch_jump(&plan, c->direct ? c->redirect : c->stub | thumb, out))
		return true;
	(void)s;
	memcpy(out, plan.orig, plan.jump);
	return true;
}

struct change {
	struct st_ctl_site *c;
	struct st_edit edit;
	bool inside;		/* several instructions are displaced now: nobody may be between them */
	bool left;		/* somebody is: not this time */
};

static int change_order(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	return x->edit.addr < y->edit.addr ? -1 : x->edit.addr > y->edit.addr;
}

static struct change *change_at(struct change *ch, size_t n, unsigned long pc)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (ch[mid].edit.addr <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && pc - ch[lo - 1].edit.addr < ch[lo - 1].edit.len ? &ch[lo - 1] : NULL;
}

/* Who stands between two displaced instructions goes on with their copies. */
static void move_out(struct st_thread *t, struct change *ch, size_t n)
{
	struct st_regs regs;
	struct change *c;
	unsigned long pc;

	if (st_thread_regs(t, &regs))
		return;
	pc = st_regs_pc(&regs);
	c = change_at(ch, n, pc);
	if (!c || !c->inside)
		return;
	for (int i = 1; i < c->c->insns && i < ST_INSNS_MAX; i++)
		if (pc == c->c->addr + c->c->offs[i])
			st_thread_set_pc(t, (c->c->stub + c->c->map[i]) | (c->c->isa == ST_ISA_T32));
}

/* Marks the changes that a thread is in the way of. */
static int look_at_threads(struct st_session *s, struct st_stop *stop, struct change *ch, size_t n)
{
	struct st_range *range = malloc((n + 1) * sizeof(*range));
	size_t *owner = malloc((n + 1) * sizeof(*owner));
	size_t ranges = 0;
	int ret = 0;

	if (!range || !owner) {
		ret = fail(s, -ENOMEM, "out of memory");
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		ch[i].left = false;
		if (!ch[i].inside)
			continue;
		owner[ranges] = i;
		range[ranges++] = (struct st_range){ ch[i].edit.addr + 1, ch[i].edit.addr + ch[i].edit.len };
	}
	for (size_t i = 0; ranges && i < st_stop_count(stop); i++) {
		struct st_thread *t = st_stop_thread(stop, i);
		struct st_hit hit;
		int found;

		move_out(t, ch, n);
		while ((found = st_scan(t, range, ranges, &hit)) > 0) {
			ch[owner[hit.range]].left = true;
			range[hit.range].hi = range[hit.range].lo;
		}
		if (found < 0 && found != -ESRCH)
			for (size_t k = 0; k < n; k++)
				ch[k].left |= ch[k].inside;
	}
out:
	free(range);
	free(owner);
	return ret;
}

/* Brings the bytes of the changed sites in line with their records. `done` counts those that are. */
static int write_sites(struct st_session *s, struct change *ch, size_t n)
{
	struct st_edit *edit = malloc((n + 1) * sizeof(*edit));
	size_t left = n, todo;
	int ret = 0;

	if (!edit)
		return fail(s, -ENOMEM, "out of memory");
	qsort(ch, n, sizeof(*ch), change_order);
	for (int tries = 0; left && !ret && tries < BUSY_TRIES; tries++) {
		struct st_stop *stop;

		if (tries)
			nap_ms(BUSY_NAP_MS);
		ret = st_stop(s->proc, 0, STOP_MS, &stop, s->err);
		if (ret)
			break;
		ret = look_at_threads(s, stop, ch, left);
		todo = 0;
		for (size_t i = 0; i < left; i++)
			if (!ch[i].left)
				edit[todo++] = ch[i].edit;
		if (!ret && todo)
			ret = st_mem_edit(s->proc, edit, todo, s->err);
		resume(s, stop);
		if (ret)
			break;
		todo = 0;
		for (size_t i = 0; i < left; i++)
			if (ch[i].left)
				ch[todo++] = ch[i];
		left = todo;
	}
	free(edit);
	if (!ret && left)
		ret = fail(s, -EBUSY, "a thread stays in the first instructions of a function at %#" PRIx64
			   " that would change", ch[0].c->addr);
	return ret;
}

/* Which of these sites do not hold what their record wants, as changes. */
static int settle(struct st_session *s, const uint32_t *site, size_t n)
{
	struct change *ch = calloc(n + 1, sizeof(*ch));
	size_t count = 0;
	int ret = 0;

	if (!ch)
		return fail(s, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n && !ret; i++) {
		struct st_ctl_site *c = &s->ctl->site[site[i]];
		struct change *x = &ch[count];
		uint8_t now[ST_JUMP_MAX];

		if (c->jump > ST_JUMP_MAX || !wanted_bytes(s, c, x->edit.bytes)) {
			ret = fail(s, -ERANGE, "a jump at %#" PRIx64 " would not reach", c->addr);
			break;
		}
		ret = st_mem_read(s->proc, c->addr, now, c->jump);
		if (ret) {
			/* Its object is gone. */
			ret = 0;
			c->state = ST_SITE_FREE;
			continue;
		}
		if (!memcmp(now, x->edit.bytes, c->jump))
			continue;
		if (memcmp(now, c->orig, c->jump) && memcmp(now, c->bytes, c->jump)) {
			ret = fail(s, -EBADF, "the code at %#" PRIx64 " was changed by somebody else", c->addr);
			break;
		}
		x->c = c;
		x->edit.addr = c->addr;
		x->edit.len = c->jump;
		x->inside = c->insns > 1 && !memcmp(now, c->orig, c->jump);
		memcpy(c->bytes, memcmp(x->edit.bytes, c->orig, c->jump) ? x->edit.bytes : c->bytes, c->jump);
		count++;
	}
	if (!ret && count)
		ret = write_sites(s, ch, count);
	free(ch);
	return ret;
}

static void set_state(struct st_ctl_site *c)
{
	if (c->state == ST_SITE_FREE)
		return;
	__atomic_store_n(&c->state, c->list[0] ? ST_SITE_HOOKED : c->redirect ? ST_SITE_PATCHED : ST_SITE_READY,
			 __ATOMIC_RELEASE);
}

/* ---- hooks ---- */

static int hook_place(const struct st_ctl_site *c, unsigned long hook)
{
	for (int i = 0; i < ST_SITE_HOOKS_MAX && c->list[i]; i++)
		if (c->list[i] == hook)
			return i;
	return -1;
}

static bool list_add(struct st_ctl_site *c, unsigned long hook)
{
	int n = 0;

	while (n < ST_SITE_HOOKS_MAX && c->list[n])
		n++;
	if (n == ST_SITE_HOOKS_MAX)
		return false;
	c->list[n + 1] = 0;
	__atomic_store_n(&c->list[n], hook, __ATOMIC_RELEASE);
	return true;
}

/* A thread that is walking the list meanwhile may pass over one of the others once. */
static void list_remove(struct st_ctl_site *c, unsigned long hook)
{
	int i = hook_place(c, hook);

	for (; i >= 0 && i < ST_SITE_HOOKS_MAX && c->list[i]; i++)
		__atomic_store_n(&c->list[i], c->list[i + 1], __ATOMIC_RELEASE);
}

/* Has the thread with this thread pointer ended? Its id stands near, and is cleared by the kernel. */
static bool thread_gone(struct st_session *s, unsigned long tp)
{
	int32_t tid;

	if (!s->ctl->tid_offset)
		return false;
	return st_mem_read(s->proc, tp + (unsigned long)s->ctl->tid_offset, &tid, sizeof(tid)) || tid <= 0;
}

/* Waits until every dispatch that was running has ended. The agent's own hooks never block. */
static int grace(struct st_session *s)
{
	size_t len = sizeof(struct st_slot) * ST_THREADS;
	struct st_slot *was = malloc(len), *now = malloc(len);
	int ret = was && now ? st_mem_read(s->proc, s->ctl->threads, was, len) : -ENOMEM;
	bool busy = true;

	for (int ms = 0; !ret && busy && ms < GRACE_MS; ms++) {
		ret = st_mem_read(s->proc, s->ctl->threads, now, len);
		busy = false;
		for (unsigned int i = 0; !ret && i < ST_THREADS; i++)
			busy |= was[i].busy && now[i].busy == was[i].busy && now[i].tp == was[i].tp &&
				!thread_gone(s, now[i].tp);
		if (busy)
			nap_ms(1);
	}
	free(was);
	free(now);
	if (ret)
		return ret == -ESRCH ? ret : fail(s, ret, "can't read the agent's memory: %s", strerror(-ret));
	return busy ? fail(s, -EBUSY, "a thread stays in a probe") : 0;
}

static int fn_order(const void *a, const void *b)
{
	const struct st_fn *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static int do_hook(struct st_session *s, struct st_hook *hook, struct st_fn *fn, size_t n)
{
	unsigned long addr = target_address(s, hook);
	int *site = calloc(n + 1, sizeof(*site));
	uint32_t *mine = calloc(n + 1, sizeof(*mine));
	size_t count = 0;
	int ret;

	if (!site || !mine) {
		ret = fail(s, -ENOMEM, "out of memory");
		goto out;
	}
	qsort(fn, n, sizeof(*fn), fn_order);
	s->window_len = 0;
	ret = find_sites(s, fn, n, site);
	for (size_t i = 0; !ret && i < n; i++) {
		struct st_ctl_site *c;

		if (site[i] < 0)
			continue;
		c = &s->ctl->site[site[i]];
		if (hook_place(c, addr) >= 0)
			continue;
		if (!list_add(c, addr)) {
			fn[i].why = "as many probes as it can have sit on it already";
			continue;
		}
		set_state(c);
		mine[count++] = (uint32_t)site[i];
	}
	if (!ret && count)
		ret = settle(s, mine, count);
	if (ret) {
		char err[ST_ERR_MAX];

		memcpy(err, s->err, sizeof(err));
		for (size_t i = 0; i < count; i++) {
			list_remove(&s->ctl->site[mine[i]], addr);
			set_state(&s->ctl->site[mine[i]]);
		}
		if (count && ret != -ESRCH)
			settle(s, mine, count);
		memcpy(s->err, err, sizeof(err));
	}
out:
	free(site);
	free(mine);
	return ret ? ret : (int)count;
}

int st_session_hook(struct st_session *s, struct st_hook *hook, struct st_fn *fn, size_t n)
{
	int ret = st_session_lock(s);

	if (!ret) {
		ret = do_hook(s, hook, fn, n);
		st_session_unlock(s);
	}
	return ret;
}

static int do_unhook(struct st_session *s, struct st_hook *hook)
{
	unsigned long addr = target_address(s, hook);
	uint32_t used = sites_used(s);
	uint32_t *mine = calloc(used + 1, sizeof(*mine));
	size_t count = 0;
	int ret = 0;

	if (!mine)
		return fail(s, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < used; i++) {
		struct st_ctl_site *c = &s->ctl->site[i];

		if (c->state == ST_SITE_FREE || hook_place(c, addr) < 0)
			continue;
		list_remove(c, addr);
		mine[count++] = i;
	}
	if (count)
		ret = settle(s, mine, count);
	for (size_t i = 0; i < count; i++)
		set_state(&s->ctl->site[mine[i]]);
	if (!ret && count)
		ret = grace(s);
	free(mine);
	return ret;
}

int st_session_unhook(struct st_session *s, struct st_hook *hook)
{
	int ret = st_session_lock(s);

	if (!ret) {
		ret = do_unhook(s, hook);
		st_session_unlock(s);
	}
	return ret;
}

static uint64_t start_time(uint32_t pid)
{
	char path[32], buf[1024], *p;
	uint64_t v = 0;
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	n = fread(buf, 1, sizeof(buf) - 1, f);
	fclose(f);
	buf[n] = 0;
	p = strrchr(buf, ')');
	/* ") S" is field 3; the start time is field 22 */
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p)
		v = strtoull(p, NULL, 10);
	return v;
}

static int do_reap(struct st_session *s)
{
	int reaped = 0;

	for (int i = 0; i < ST_PROBES_MAX; i++) {
		struct st_ctl_probe *p = &s->ctl->probe_rec[i];
		int ret;

		if (p->state == ST_PROBE_FREE || (p->owner && start_time(p->owner) == p->owner_start))
			continue;
		ret = st_session_unhook(s, &p->hook);
		if (ret)
			return ret;
		__atomic_store_n(&p->state, ST_PROBE_FREE, __ATOMIC_RELEASE);
		reaped++;
	}
	return reaped;
}

int st_session_reap(struct st_session *s)
{
	int ret = st_session_lock(s);

	if (!ret) {
		ret = do_reap(s);
		st_session_unlock(s);
	}
	return ret;
}

/* ---- patches ---- */

/* A way to `to` from the site: by a jump, or through the stub (whose resume then leads there). */
static void redirect(struct st_session *s, struct st_ctl_site *c, unsigned int patch, unsigned long to)
{
	struct st_plan plan = plan_of(c);
	uint8_t bytes[ST_JUMP_MAX];
	unsigned long thumb = c->isa == ST_ISA_T32;

	c->patch = patch;
	c->redirect = to;
	/* A jump does not change the state: from A32 to Thumb, or back, it goes through the stub. */
	c->direct = to && !((to ^ thumb) & 1 && sizeof(long) == 4) && !st_arch_jump(&plan, to, bytes);
	set_dispatch(s, c, !(c->site.flags & ST_SITE_GENERAL), to != 0);
	__atomic_store_n(&c->site.resume, to ? to : (unsigned long)(c->stub + c->moved) | thumb, __ATOMIC_RELEASE);
	set_state(c);
}

static int do_replace(struct st_session *s, unsigned int patch, struct st_replace *r, size_t n)
{
	struct st_fn *fn = calloc(n + 1, sizeof(*fn));
	int *site = calloc(n + 1, sizeof(*site));
	uint32_t *mine = calloc(n + 1, sizeof(*mine));
	size_t done = 0;
	int ret;

	if (!fn || !site || !mine) {
		ret = fail(s, -ENOMEM, "out of memory");
		goto out;
	}
	for (size_t i = 0; i < n; i++)
		fn[i] = r[i].fn;
	s->window_len = 0;
	ret = find_sites(s, fn, n, site);
	for (size_t i = 0; !ret && i < n; i++)
		if (site[i] < 0)
			ret = fail(s, -ENOTSUP, "the function %s can't be replaced: %s", fn[i].name, fn[i].why);
		else if (s->ctl->site[site[i]].redirect)
			ret = fail(s, -EBUSY, "the function %s is replaced by another patch already: revert that first", fn[i].name);
	for (; !ret && done < n; done++) {
		struct st_ctl_site *c = &s->ctl->site[site[done]];

		mine[done] = (uint32_t)site[done];
		redirect(s, c, patch + 1, r[done].to);
	}
	if (!ret)
		ret = settle(s, mine, n);
	if (ret) {
		char err[ST_ERR_MAX];

		memcpy(err, s->err, sizeof(err));
		while (done--)
			redirect(s, &s->ctl->site[mine[done]], 0, 0);
		if (ret != -ESRCH)
			settle(s, mine, n);
		memcpy(s->err, err, sizeof(err));
	}
out:
	free(fn);
	free(site);
	free(mine);
	return ret;
}

int st_session_replace(struct st_session *s, unsigned int patch, struct st_replace *r, size_t n)
{
	int ret = st_session_lock(s);

	if (!ret) {
		ret = do_replace(s, patch, r, n);
		st_session_unlock(s);
	}
	return ret;
}

static int do_restore(struct st_session *s, unsigned int patch)
{
	uint32_t used = sites_used(s);
	uint32_t *mine = calloc(used + 1, sizeof(*mine));
	unsigned long *old = calloc(used + 1, sizeof(*old));
	size_t count = 0;
	int ret = 0;

	if (!mine || !old) {
		ret = fail(s, -ENOMEM, "out of memory");
		goto out;
	}
	for (uint32_t i = 0; i < used; i++) {
		struct st_ctl_site *c = &s->ctl->site[i];

		if (c->state == ST_SITE_FREE || c->patch != patch + 1)
			continue;
		old[count] = c->redirect;
		mine[count++] = i;
		redirect(s, c, 0, 0);
	}
	if (count)
		ret = settle(s, mine, count);
	if (ret && ret != -ESRCH) {
		char err[ST_ERR_MAX];

		memcpy(err, s->err, sizeof(err));
		for (size_t i = 0; i < count; i++)
			redirect(s, &s->ctl->site[mine[i]], patch + 1, old[i]);
		settle(s, mine, count);
		memcpy(s->err, err, sizeof(err));
	}
out:
	free(mine);
	free(old);
	return ret;
}

int st_session_restore(struct st_session *s, unsigned int patch)
{
	int ret = st_session_lock(s);

	if (!ret) {
		ret = do_restore(s, patch);
		st_session_unlock(s);
	}
	return ret;
}

/* ---- leaving ---- */

/*
 * The executable parts of the regions. Only these can be returned to; an address of a patch's data in some register (ARM's PLT
 * leaves one in ip) means nothing once none of its code runs.
 */
static struct st_range *executable_parts(struct st_session *s, const unsigned int *region, size_t n, size_t *count)
{
	struct st_range *range;
	struct st_maps *maps;

	*count = 0;
	if (st_maps_read(s->proc, &maps, s->err))
		return NULL;
	range = calloc(maps->n + 1, sizeof(*range));
	for (size_t i = 0; range && i < maps->n; i++) {
		const struct st_map *map = &maps->map[i];

		for (size_t k = 0; (map->prot & PROT_EXEC) && k < n; k++) {
			const struct st_ctl_region *r = &s->ctl->region[region[k]];

			if (map->end <= r->start || map->start >= r->start + r->size)
				continue;
			range[(*count)++] = (struct st_range){ map->start, map->end };
			break;
		}
	}
	st_maps_free(maps);
	return range;
}

static int do_release(struct st_session *s, const unsigned int *region, size_t n, unsigned int wait_ms, bool leaving)
{
	struct st_range *range;
	size_t ranges;
	struct timespec from, now;
	struct st_stop *stop;
	struct st_hit hit = { 0 };
	int ret = 0, found;

	range = executable_parts(s, region, n, &ranges);
	if (!range)
		return fail(s, -ENOMEM, "can't read the mappings of process %d", s->pid);
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (;;) {
		struct st_remote *r;

		ret = st_stop(s->proc, 0, STOP_MS, &stop, s->err);
		if (ret)
			break;
		found = 0;
		for (size_t i = 0; i < st_stop_count(stop) && !found; i++)
			found = st_scan(st_stop_thread(stop, i), range, ranges, &hit);
		if (!found) {
			ret = st_remote_begin(stop, NULL, &r, s->err);
			for (size_t i = 0; !ret && i < n; i++) {
				struct st_ctl_region *x = &s->ctl->region[region[i]];

				st_remote_munmap(r, x->start, x->size);
				if (leaving)
					x->released = (uint32_t)s->pid;
				else
					x->kind = ST_REGION_FREE;
			}
			if (!ret)
				st_remote_end(r);
			resume(s, stop);
			break;
		}
		resume(s, stop);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 >= (long)wait_ms) {
			ret = found < 0 ? fail(s, -EBUSY, "the stack of a thread can't be read") :
			      fail(s, -EBUSY, "thread %d is, or may come back to, code that would go away (%#lx)",
				   (int)hit.tid, hit.value);
			break;
		}
		nap_ms(BUSY_NAP_MS);
	}
	free(range);
	return ret;
}

int st_session_release(struct st_session *s, const unsigned int *region, size_t n, unsigned int wait_ms)
{
	int ret = st_session_lock(s);

	if (!ret) {
		ret = do_release(s, region, n, wait_ms, false);
		st_session_unlock(s);
	}
	return ret;
}

static int do_detach(struct st_session *s)
{
	unsigned int region[ST_REGIONS_MAX];
	uint32_t used = sites_used(s);
	uint32_t *all = calloc(used + 1, sizeof(*all));
	size_t n = 0;
	int ret;

	if (!all)
		return fail(s, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < used; i++) {
		struct st_ctl_site *c = &s->ctl->site[i];

		if (c->state == ST_SITE_FREE)
			continue;
		memset(c->list, 0, sizeof(c->list));
		redirect(s, c, 0, 0);
		all[n++] = i;
	}
	ret = settle(s, all, n);
	free(all);
	if (ret)
		return ret;
	for (int i = 0; i < ST_PROBES_MAX; i++)
		s->ctl->probe_rec[i].state = ST_PROBE_FREE;
	for (int i = 0; i < ST_PATCHES_MAX; i++)
		s->ctl->patch[i].state = ST_PATCH_FREE;
	n = 0;
	/*
	 * The shared memory last: it is what a later tool finds if this one dies. A child that the process has forked has it, too,
	 * and mappings of its own, so what is unmapped is noted by pid and not forgotten.
	 */
	for (unsigned int i = 0; i < ST_REGIONS_MAX; i++)
		if (s->ctl->region[i].kind != ST_REGION_FREE && s->ctl->region[i].kind != ST_REGION_CTL &&
		    s->ctl->region[i].released != (uint32_t)s->pid)
			region[n++] = i;
	for (unsigned int i = 0; i < ST_REGIONS_MAX; i++)
		if (s->ctl->region[i].kind == ST_REGION_CTL)
			region[n++] = i;
	return do_release(s, region, n, GRACE_MS, true);
}

int st_session_detach(struct st_session *s)
{
	int ret = st_session_lock(s);

	if (!ret) {
		ret = do_detach(s);
		st_session_unlock(s);
	}
	return ret;
}

long st_session_compare(struct st_session *s, unsigned long *bytes, unsigned int *objects)
{
	struct st_objects *objs;
	uint8_t *mem = malloc(WINDOW), *file = malloc(WINDOW);
	long differ = 0;
	int ret;

	*bytes = 0;
	*objects = 0;
	if (!mem || !file) {
		free(mem);
		free(file);
		return fail(s, -ENOMEM, "out of memory");
	}
	ret = st_objects_read(s->proc, &objs, s->err);
	for (size_t i = 0; !ret && i < objs->n; i++) {
		struct st_object *o = &objs->object[i];
		size_t ranges;
		const struct st_range *text = st_object_text(o, &ranges);

		if (o->flags & (ST_OBJECT_VDSO | ST_OBJECT_MEMORY))
			continue;
		for (size_t k = 0; k < ranges; k++) {
			for (unsigned long a = text[k].lo, len; a < text[k].hi; a += len) {
				len = text[k].hi - a < WINDOW ? text[k].hi - a : WINDOW;
				if (st_mem_read(s->proc, a, mem, len) || st_object_bytes(o, a, file, len))
					continue;
				for (unsigned long b = 0; b < len; b++)
					differ += mem[b] != file[b];
				*bytes += len;
			}
		}
		++*objects;
	}
	if (!ret)
		st_objects_free(objs);
	free(mem);
	free(file);
	return ret ? ret : differ;
}
