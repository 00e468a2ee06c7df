/* SPDX-License-Identifier: GPL-2.0-only */
/* See session.h. Getting into a process: the shared memory, the agent, who else is at work on it. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
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
#include <process/session_internal.h>
#include <process/thread_pointer.h>

#define LOCK_MS 5000		/* how long to wait for another tool */

int __attribute__((format(printf, 3, 4))) st_session_fail(struct st_session *s, int ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->err, sizeof(s->err), fmt, ap);
	va_end(ap);
	return ret;
}

int st_session_resume(struct st_session *s, struct st_stop *stop)
{
	uint64_t ns = 0;
	int ret = st_resume(stop, &ns);

	s->stops++;
	if (ns > s->longest)
		s->longest = ns;
	return ret;
}

/* ---- the shared memory ---- */

_Static_assert(offsetof(struct st_ctl, self) == 16, "find_ctl()");

/*
 * The shared memory. A tool that was killed while it got in, or while it put new memory in the place of the old, may have left
 * another mapping of that name, which is not in use: it has no magic number, or says that its place is elsewhere, as the memory of
 * other processes that a sidetrack works on does in that.
 */
static const struct st_map *find_ctl(struct st_proc *proc, const struct st_maps *maps)
{
	const struct st_map *unused = NULL;

	for (size_t i = 0; i < maps->n; i++) {
		const struct st_map *map = &maps->map[i];
		struct {
			uint64_t magic, version_size, self;
		} head;

		if (!map->shared || strcmp(map->path, "/memfd:" ST_CTL_NAME))
			continue;
		if (st_mem_read(proc, map->start, &head, sizeof(head)) || head.magic != ST_CTL_MAGIC)
			unused = map;
		else if (head.self == map->start)
			return map;
		/* Else it is another process's: this one is a sidetrack at work. */
	}
	return unused;
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
	map = find_ctl(s->proc, maps);
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
	for (long waited = 0; flock(s->lock_fd, LOCK_EX | LOCK_NB); waited += ST_BUSY_NAP_MS) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return st_session_fail(s, -errno, "can't lock /proc/%d: %s", s->pid, strerror(errno));
		if (waited >= LOCK_MS)
			return st_session_fail(s, -EBUSY, "another sidetrack is changing process %d", s->pid);
		st_nap_ms(ST_BUSY_NAP_MS);
	}
	/* The tool that had the lock may have taken the agent away. */
	if (s->ctl && !st_session_there(s)) {
		flock(s->lock_fd, LOCK_UN);
		return st_session_fail(s, -ESTALE, st_proc_alive(s->proc) ? "another sidetrack has detached from process %d" :
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
		return st_session_fail(s, -EPROTO, "the agent in process %d is of another version of sidetrack",
			    (int)st_proc_pid(s->proc));
	ctl = mmap(NULL, sizeof(*ctl), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ctl == MAP_FAILED)
		return st_session_fail(s, -errno, "can't map the memory shared with the agent: %s", strerror(errno));
	s->ctl = ctl;
	s->fd = fd;
	return 0;
}

static int check_ctl(struct st_session *s)
{
	struct st_ctl *ctl = s->ctl;

	if (ctl->magic != ST_CTL_MAGIC || ctl->version != ST_CTL_VERSION || ctl->size != sizeof(*ctl))
		return st_session_fail(s, -EPROTO,
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
		return st_session_fail(s, remote_fd, "the process can't make a memfd: %s", strerror(-remote_fd));
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)st_proc_pid(s->proc), remote_fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		ret = st_session_fail(s, -errno, "can't open %s: %s", path, strerror(errno));
		goto out;
	}
	if (ftruncate(fd, sizeof(struct st_ctl))) {
		ret = st_session_fail(s, -errno, "can't size the shared memory: %s", strerror(errno));
		goto out;
	}
	ret = st_remote_mmap(r, at, sizeof(struct st_ctl), PROT_READ | PROT_WRITE, flags, remote_fd, 0);
	if (ret)
		st_session_fail(s, ret, "the process can't map memory: %s", strerror(-ret));
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

int st_session_add_region(struct st_session *s, enum st_region_kind kind, unsigned long start, unsigned long size)
{
	for (int i = 0; i < ST_REGIONS_MAX; i++) {
		struct st_ctl_region *r = &s->ctl->region[i];

		if (r->kind != ST_REGION_FREE)
			continue;
		r->start = start;
		r->size = size;
		r->used = kind == ST_REGION_ISLAND ? ST_ISLAND_HEAD : 0;
		__atomic_store_n(&r->kind, kind, __ATOMIC_RELEASE);
		return i;
	}
	return st_session_fail(s, -ENOSPC, "the agent has no room for another memory region");
}

static int agent_symbol(struct st_session *s, const struct st_loaded *l, const char *name, uint64_t *addr)
{
	unsigned long v;
	int ret = st_image_symbol(st_agent_blob, st_agent_blob_size, l->bias, name, &v);

	if (ret)
		return st_session_fail(s, ret, "the agent lacks the symbol %s", name);
	*addr = v;
	return 0;
}

/* The same for what an agent may do without. */
static void optional_symbol(const struct st_loaded *l, const char *name, uint64_t *addr)
{
	unsigned long v;

	*addr = st_image_symbol(st_agent_blob, st_agent_blob_size, l->bias, name, &v) ? 0 : v;
}

/*
 * On 32 bits the agent and the shared memory would take all the room within a branch's reach of the libraries, where stubs go.
 * Neither needs to be near: stubs have both addresses as words. On 64 bits they are wherever is room.
 */
#define OUT_OF_THE_WAY (sizeof(long) == 8 ? 0 : 1ul << 30)

static int load_agent(struct st_session *s, struct st_remote *r)
{
	struct st_load_opts opts = { .size = sizeof(opts), .near = OUT_OF_THE_WAY };
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
	      agent_symbol(s, &l, "st_agent_mail", &ctl->mail_func) ?:
	      agent_symbol(s, &l, "st_threads", &ctl->threads) ?:
	      agent_symbol(s, &l, "st_agent_trap", &ctl->trap_handler) ?:
	      agent_symbol(s, &l, "st_trap_state", &ctl->trap_state) ?:
	      agent_symbol(s, &l, "st_agent_sigaction", &ctl->trap_sigaction) ?:
	      agent_symbol(s, &l, "st_agent_sigmask", &ctl->trap_sigmask) ?:
#if defined(__x86_64__)
	      agent_symbol(s, &l, "st_agent_restorer", &ctl->trap_restorer) ?:
#endif
	      agent_symbol(s, &l, "st_agent_ctl", &var) ?:
	      agent_symbol(s, &l, "st_arch_init", &init) ?:
	      agent_symbol(s, &l, "st_no_syscalls", &quiet);
	if (ret)
		return ret;
	optional_symbol(&l, "st_agent_count_brief", &ctl->brief);
	optional_symbol(&l, "st_return", &ctl->ret);
	optional_symbol(&l, "st_return_enter", &ctl->return_enter);
	optional_symbol(&l, "st_returns_list", &ctl->returns_list);
	optional_symbol(&l, "st_unwind_hook", &ctl->unwind_hook);
	optional_symbol(&l, "st_unwind_personality", &ctl->unwind_personality);
	optional_symbol(&l, "st_unwind_get", &ctl->unwind_get);
	optional_symbol(&l, "st_unwind_set", &ctl->unwind_set);
	ret = st_mem_write(s->proc, var, &self, sizeof(self)) ?:
	      st_mem_write(s->proc, quiet, &no_syscalls, sizeof(no_syscalls));
	if (ret)
		return st_session_fail(s, ret, "can't write the agent's memory: %s", strerror(-ret));
	ret = st_remote_call(r, init, &hwcap, 1, &ignored, ST_STOP_MS, s->err);
	if (ret)
		return ret;
	ret = st_session_add_region(s, ST_REGION_AGENT, l.lo, l.hi - l.lo);
	return ret < 0 ? ret : 0;
}

void st_session_unmap_named(struct st_session *s, struct st_remote *r, bool ctl)
{
	struct st_maps *maps;

	if (st_maps_read(s->proc, &maps, NULL))
		return;
	for (size_t i = 0; i < maps->n; i++) {
		const struct st_map *map = &maps->map[i];

		if (!strcmp(map->path, "/memfd:" ST_AREA_NAME) || (ctl && !strcmp(map->path, "/memfd:" ST_CTL_NAME)))
			st_remote_munmap(r, map->start, map->end - map->start);
	}
	st_maps_free(maps);
}

/* The word by which the agent tells the process from its children (agent/home.h). Without it, an old kernel, they are all one. */
static int make_home(struct st_session *s, struct st_remote *r)
{
	unsigned long at = 0, args[6] = { 0, (size_t)sysconf(_SC_PAGESIZE), MADV_WIPEONFORK };
	uint32_t pid = (uint32_t)s->pid;
	long got = 0;
	int ret = st_remote_mmap(r, &at, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (ret)
		return st_session_fail(s, ret, "the process can't map memory: %s", strerror(-ret));
	args[0] = at;
	ret = st_remote_syscall(r, &got, __NR_madvise, args);
	if (!ret && got)
		return st_remote_munmap(r, at, (size_t)sysconf(_SC_PAGESIZE));
	ret = ret ?: st_mem_write(s->proc, at, &pid, sizeof(pid));
	if (!ret)
		ret = st_session_add_region(s, ST_REGION_AGENT, at, (size_t)sysconf(_SC_PAGESIZE));
	if (ret >= 0)
		s->ctl->home = at;
	return ret < 0 ? ret : 0;
}

/* Where the shared memory goes. 0: wherever the kernel likes. */
static unsigned long out_of_the_way(struct st_session *s)
{
	unsigned long at = 0;
	struct st_maps *maps;

	if (!OUT_OF_THE_WAY || st_maps_read(s->proc, &maps, NULL))
		return 0;
	if (st_maps_gap(maps, sizeof(struct st_ctl), OUT_OF_THE_WAY, 0, 0, &at, NULL))
		at = 0;
	st_maps_free(maps);
	return at;
}

static int create(struct st_session *s)
{
	struct st_remote *r = NULL;
	struct st_stop *stop;
	unsigned long at = 0;
	int ret = st_stop(s->proc, 0, ST_STOP_MS, &stop, s->err);

	if (ret)
		return ret;
	ret = st_remote_begin(stop, NULL, &r, s->err);
	if (!ret) {
		/* What a tool left that was killed while it got in: nothing leads there. */
		st_session_unmap_named(s, r, true);
		at = out_of_the_way(s);
		ret = new_ctl(s, r, &at);
	}
	if (!ret) {
		s->ctl->self = at;
		s->ctl->version = ST_CTL_VERSION;
		s->ctl->size = sizeof(struct st_ctl);
		s->ctl->no_syscalls = under_seccomp(st_proc_pid(s->proc));
		s->ctl->pid = (uint32_t)s->pid;
		s->ctl->early = at + offsetof(struct st_ctl, early);
		/* A program that has just been started has none yet: st_session_learn(). */
		s->ctl->tid_offset = st_proc_held(s->proc) ? 0 : find_tid_offset(stop);
		st_session_add_region(s, ST_REGION_CTL, at, sizeof(struct st_ctl));
		ret = load_agent(s, r) ?: make_home(s, r);
	}
	if (!ret) {
		s->ctl->magic = ST_CTL_MAGIC;
		__atomic_store_n(&s->ctl->ready, 1, __ATOMIC_RELEASE);
	} else if (at) {
		st_remote_munmap(r, at, sizeof(struct st_ctl));
	}
	if (r)
		st_remote_end(r);
	st_session_resume(s, stop);
	if (!ret && !st_proc_held(s->proc))
		s->ctl->rseq_offset = find_rseq_offset(s);
	return ret;
}

int st_session_learn(struct st_session *s)
{
	struct st_stop *stop;
	int ret = st_session_lock(s);

	if (ret)
		return ret;
	if (!s->ctl->tid_offset) {
		ret = st_stop(s->proc, 0, ST_STOP_MS, &stop, s->err);
		if (!ret) {
			s->ctl->tid_offset = find_tid_offset(stop);
			st_session_resume(s, stop);
		}
	}
	if (!ret && !s->ctl->rseq_offset)
		s->ctl->rseq_offset = find_rseq_offset(s);
	st_session_unlock(s);
	return ret;
}

/* Records of an array of s->ctl, those that may be in use. */
static int copy_used(struct st_session *s, unsigned long at, void *array, size_t size, uint32_t used, uint32_t max)
{
	return st_mem_read(s->proc, at + (unsigned long)((char *)array - (char *)s->ctl), array, (used < max ? used : max) * size);
}

/* Copies of the memory at @at in the target to s->ctl what is in use, not all of its tens of MiB: every thread is stopped meanwhile. */
static int copy_ctl(struct st_session *s, unsigned long at)
{
	struct st_ctl *ctl = s->ctl;
	uint64_t from, len;
	int ret = st_mem_read(s->proc, at, ctl, offsetof(struct st_ctl, ring.data));

	/* Hits that nobody has fetched yet, and those that are being written. */
	from = ctl->ring.tail;
	len = ctl->ring.head - from;
	if (len > ST_RING_SIZE)
		len = ST_RING_SIZE;
	while (!ret && len) {
		uint64_t off = from % ST_RING_SIZE, part = len < ST_RING_SIZE - off ? len : ST_RING_SIZE - off;

		ret = st_mem_read(s->proc, at + offsetof(struct st_ctl, ring.data) + off, ctl->ring.data + off, part);
		from += part;
		len -= part;
	}
	if (!ret && st_sites_used(s))
		ret = st_mem_read(s->proc, at + offsetof(struct st_ctl, site), ctl->site,
				  st_sites_used(s) * sizeof(ctl->site[0]));
	if (!ret && ctl->trapped)
		ret = st_mem_read(s->proc, at + offsetof(struct st_ctl, trap), ctl->trap, sizeof(ctl->trap));
	for (int i = 0; !ret && i < ST_PROBES_MAX; i++)
		if (ctl->probe_rec[i].state != ST_PROBE_FREE)
			ret = st_mem_read(s->proc, at + offsetof(struct st_ctl, code[i]), &ctl->code[i], sizeof(ctl->code[i]));
	if (!ret)
		ret = st_mem_read(s->proc, at + offsetof(struct st_ctl, column), ctl->column,
				  (ctl->columns_used < ST_COLUMNS_MAX ? ctl->columns_used : ST_COLUMNS_MAX) * sizeof(ctl->column[0]));
	ret = ret ?: copy_used(s, at, ctl->patch_object, sizeof(ctl->patch_object[0]), ctl->patch_objects_used, ST_PATCH_OBJECTS_MAX) ?:
	      copy_used(s, at, ctl->patch_func, sizeof(ctl->patch_func[0]), ctl->patch_funcs_used, ST_PATCH_FUNCS_MAX) ?:
	      copy_used(s, at, ctl->patch_word, sizeof(ctl->patch_word[0]), ctl->patch_words_used, ST_PATCH_WORDS_MAX) ?:
	      copy_used(s, at, ctl->patch_text, 1, ctl->patch_text_used, ST_PATCH_TEXT_MAX);
	return ret ? st_session_fail(s, ret, "can't read the agent's memory: %s", strerror(-ret)) : 0;
}

/* Nobody has the memory open any more, and we may not open the mapping: put new memory with the same contents in its place. */
static int replace_ctl(struct st_session *s, const struct st_map *map)
{
	struct st_remote *r = NULL;
	struct st_stop *stop;
	unsigned long at = map->start, elsewhere = 0;
	long got;
	int ret;

	if (map->end - map->start < sizeof(struct st_ctl))
		return st_session_fail(s, -EPROTO, "the agent in process %d is of another version of sidetrack",
				       (int)st_proc_pid(s->proc));
	ret = st_stop(s->proc, 0, ST_STOP_MS, &stop, s->err);
	if (ret)
		return ret;
	ret = st_remote_begin(stop, NULL, &r, s->err);
	/* Complete before it takes the place of the old: made somewhere else first. */
	if (!ret)
		ret = new_ctl(s, r, &elsewhere);
	if (!ret)
		ret = copy_ctl(s, at);
	if (!ret) {
		unsigned long args[6] = { elsewhere, sizeof(struct st_ctl), sizeof(struct st_ctl),
					  MREMAP_MAYMOVE | MREMAP_FIXED, at, 0 };

		ret = st_remote_syscall(r, &got, __NR_mremap, args);
		if (!ret && got < 0 && got > -4096)
			ret = st_session_fail(s, (int)got, "can't renew the memory shared with the agent");
	} else if (elsewhere) {
		st_remote_munmap(r, elsewhere, sizeof(struct st_ctl));
	}
	if (r)
		st_remote_end(r);
	st_session_resume(s, stop);
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
	map = find_ctl(s->proc, maps);
	if (!map && !may_create) {
		ret = st_session_fail(s, -ENOENT, "sidetrack is not attached to process %d", pid);
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
			ret = may_create ? create(s) : st_session_fail(s, -ENOENT, "sidetrack is not attached to process %d", pid);
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
	st_session_forget_objects(s);
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

int st_session_agent_symbol(struct st_session *s, const char *name, unsigned long *addr)
{
	unsigned long entry;
	int ret = st_image_symbol(st_agent_blob, st_agent_blob_size, 0, "st_entry", &entry);

	/* The agent is where its st_entry is. */
	return ret ?: st_image_symbol(st_agent_blob, st_agent_blob_size, (unsigned long)s->ctl->entry - entry, name, addr);
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
