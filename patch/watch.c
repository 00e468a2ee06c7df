// SPDX-License-Identifier: GPL-2.0-only
/* See watch.h. The watcher itself does nothing that could take long: every program on the machine waits for it. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <patch/all.h>
#include <patch/installed.h>
#include <patch/internal.h>
#include <patch/later.h>
#include <patch/watch.h>
#include <process/symbols.h>

/* Debian's folder of libraries. */
#if defined(__x86_64__)
#define ST_TRIPLET "x86_64-linux-gnu"
#elif defined(__aarch64__)
#define ST_TRIPLET "aarch64-linux-gnu"
#else
#define ST_TRIPLET "arm-linux-gnueabihf"
#endif

#define PENDING_MAX 256		/* programs whose workers do not trace them yet */
#define TRACE_MS 10		/* for a worker to trace the thread before it executes, where the kernel lets it */
#define TICK_MS 1000
#define HANGS_S 20		/* we do not answer: better no watcher than one that does not */

/*
 * A thread that is about to execute a program, and its worker.
 *
 * Linux before 6.8 opens the program under the lock that tracing takes, too, and any Linux opens the interpreter of a script so: then
 * the worker's PTRACE_SEIZE waits until the program is executed. So that it is not late, the kernel is asked to ask again, when the
 * new program opens the C library (or the loader's cache), as a dynamic one does before anything of its own runs.
 */
struct pending {
	pid_t tid, pid;		/* the thread; its process, whose id it has when it has executed */
	int event;		/* fanotify's descriptor of the program, which the answer names; -1: answered */
	int opens;		/* of what it opens, -1: nothing yet */
	int sock;		/* to the worker */
	uint64_t trace, until;	/* ms: answer the first, though it is not traced yet; forget it */
};

struct watch {
	const struct st_watch_options *o;
	int fan, notify, mounts, lock;
	struct st_installed patches;
	bool early;		/* a thread can be traced while its program is opened */
	bool marked;		/* C libraries are */
	bool programs_any, libraries;	/* a patch is for a program that only its name tells; for a library */
	struct pending pending[PENDING_MAX];
	size_t n;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static unsigned int limit(const struct watch *w)
{
	return w->o->ms ? w->o->ms : ST_WATCH_MS;
}

static void __attribute__((format(printf, 2, 3))) say(const struct st_watch_options *o, const char *fmt, ...)
{
	char text[2 * ST_ERR_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	o->say(o->ctx, text);
}

/* ---- a worker: one program ---- */

struct worker {
	const struct st_watch_options *o;
	const struct st_installed *patches;
	uint64_t until;
	int pid;
	bool begins;	/* it is held before its first instruction */
};

static bool is_late(void *ctx)
{
	return now_ms() > ((struct worker *)ctx)->until;
}

static void say_patch(void *ctx, const char *sentence)
{
	struct worker *w = ctx;

	w->o->say(w->o->ctx, sentence);
}

static bool wanted(pid_t pid, void *ctx)
{
	const struct worker *w = ctx;

	for (size_t i = 0; i < w->patches->n; i++)
		if (st_all_wants(&w->patches->file[i]->m, pid))
			return true;
	return false;
}

static const char *comm(int pid, char name[17])
{
	char path[32];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "re");
	if (!f || !fgets(name, 17, f))
		strcpy(name, "?");
	name[strcspn(name, "\n")] = '\0';
	if (f)
		fclose(f);
	return name;
}

static void unpatched(const struct worker *w, const char *why)
{
	char name[17];

	say(w->o, "process %d (%s) goes on unpatched: %s", w->pid, comm(w->pid, name), why);
}

/* All installed patches that are for what the process has, in their order. */
static void apply(const struct worker *w, struct st_session *s, bool fresh)
{
	struct st_patch_options o = {
		.size = sizeof(o), .timeout_ms = ST_PATCH_TIMEOUT_MS, .level = ST_PATCH_LEVEL_OWN, .fresh = fresh, .ctx = (void *)w,
	};

	for (size_t i = 0; i < w->patches->n; i++) {
		const struct st_patch_file *file = w->patches->file[i];
		char err[ST_ERR_MAX] = "";
		int ret;

		if (!st_all_wants(&file->m, w->pid))
			continue;
		ret = st_patch_apply(s, file, &o, err);
		if (ret < 0 && ret != -EEXIST && ret != -ESRCH)
			unpatched(w, err);
	}
}

/* Is the loader through with what the program starts with? */
static bool started(struct st_session *s)
{
	struct st_objects *objs;
	bool yes;

	if (st_objects_read(st_session_proc(s), &objs, NULL))
		return false;
	yes = !st_objects_starting(objs) && !st_objects_loading(objs);
	st_objects_free(objs);
	return yes;
}

/* From its letters, or by looking, if it can't write any: the moment when the loader is through. *told: a letter waits for the answer. */
static bool wait_started(struct worker *w, struct st_session *s, struct st_mailbox *box, bool *told)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	for (*told = false; !is_late(w) && st_session_there(s); nanosleep(&pause, NULL)) {
		if (st_mailbox_full(box)) {
			if (!st_mailbox_read(box))
				continue;
			*told = started(s);
			if (*told)
				return true;
			st_mailbox_answer(box);
		} else if ((!box->watched || st_session_ctl(s)->no_syscalls) && started(s)) {
			return true;
		}
	}
	return false;
}

static bool stop(void *ctx)
{
	const struct worker *w = ctx;

	return w->o->stop(w->o->ctx);
}

/* The program is held, with what a patch is for. */
static void patch_program(struct worker *w)
{
	struct st_later_options later = { .size = sizeof(later), .stop = stop, .say = say_patch, .ctx = w };
	struct st_mailbox box = { 0 };
	struct st_objects *objs;
	char err[ST_ERR_MAX] = "";
	struct st_session *s;
	bool told = false, through;
	int ret = st_session_open(w->pid, true, &s, err);

	if (ret) {
		unpatched(w, err);
		return;
	}
	st_proc_early(st_session_proc(s), (unsigned long)st_session_ctl(s)->early);
	ret = st_objects_read(st_session_proc(s), &objs, err);
	if (!ret) {
		/* A static program; or we are late. */
		through = !st_objects_starting(objs) && !st_objects_loading(objs);
		ret = st_mailbox_take(&box, s, objs, ST_MAILBOX_OBJECTS, err);
		st_objects_free(objs);
		/* On a loaded machine we may come late. */
		st_mailbox_busy(&box, true);
	}
	if (ret) {
		unpatched(w, err);
		st_proc_release(st_session_proc(s));
		st_session_close(s);
		return;
	}
	if (through && w->begins)
		apply(w, s, true);
	st_proc_release(st_session_proc(s));
	if (through && !w->begins) {
		apply(w, s, false);
	} else if (!through) {
		if (wait_started(w, s, &box, &told)) {
			st_session_learn(s);
			apply(w, s, told && !st_mailbox_late(&box));
		} else if (st_session_there(s)) {
			unpatched(w, "its dynamic loader takes too long");
		}
	}
	alarm(0);
	st_mailbox_busy(&box, false);
	if (!st_session_there(s))
		;
	else if (st_later_needed(s))
		st_later_go_on(s, &box, told, &later);
	else
		st_mailbox_release(&box);
	st_session_close(s);
}

/* In a child of the watcher: never returns. @tid is about to execute a program, or has when the watcher says so. */
static void work(const struct watch *watch, pid_t tid, int sock)
{
	struct worker w = { .o = watch->o, .patches = &watch->patches };
	const struct timespec pause = { .tv_nsec = 500000 };
	struct st_hold hold;
	char byte;
	int ret;

	w.until = now_ms() + limit(watch);
	/* Whatever happens: our end lets it go. */
	alarm(limit(watch) / 1000 + 2);
	ret = st_hold_begin(&hold, tid);
	w.pid = ret ? tid : hold.pid;
	w.begins = recv(sock, &byte, 1, MSG_DONTWAIT) != 1;
	if (!ret && !w.begins)
		st_hold_now(&hold);
	/* What it waits for in the kernel may be answered now: it is stopped, or will be. */
	if (send(sock, "", 1, MSG_NOSIGNAL) != 1 && w.begins)
		_exit(1);
	close(sock);
	if (ret == -EPERM)
		unpatched(&w, "somebody traces it already, or it can't be traced");
	if (ret)
		_exit(1);
	while (!(ret = st_hold_step(&hold)) && !is_late(&w))
		nanosleep(&pause, NULL);
	w.pid = hold.pid;
	if (ret == 1 && !wanted(w.pid, &w))
		ret = watch->libraries ? st_hold_loads(&hold, wanted, &w) : (st_hold_drop(&hold), 0);
	if (ret == 1)
		patch_program(&w);
	/* An exec that has failed: our end lets the thread go. */
	_exit(0);
}

/* Also in a child: processes that run. */
static void work_on_running(const struct watch *watch)
{
	struct worker w = { .o = watch->o, .patches = &watch->patches };
	struct st_patch_options o = {
		.size = sizeof(o), .timeout_ms = ST_PATCH_TIMEOUT_MS, .level = ST_PATCH_LEVEL_OWN, .say = NULL, .ctx = &w,
	};

	for (size_t i = 0; i < w.patches->n; i++) {
		const struct st_patch_file *file = w.patches->file[i];
		char err[ST_ERR_MAX] = "";
		struct st_all all;

		if (st_all_find(&file->m, &all, err))
			continue;
		for (size_t k = 0; k < all.n; k++) {
			struct st_session *s;
			int ret;

			w.pid = all.one[k].pid;
			ret = st_session_open(w.pid, true, &s, err);
			if (!ret) {
				ret = started(s) ? st_patch_apply(s, file, &o, err) : 0;
				if (ret >= 0 && st_later_start(s, err) < 0)
					say(watch->o, "%s", err);
				st_session_close(s);
			}
			if (ret < 0 && ret != -EEXIST && ret != -ESRCH)
				unpatched(&w, err);
		}
		st_all_free(&all);
	}
	_exit(0);
}

/* A child, which has nothing of ours that would outlive us: with the kernel's questions open, all would wait for it. */
static pid_t start(const struct watch *watch)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	close(watch->fan);
	close(watch->lock);
	close(watch->notify);
	for (size_t i = 0; i < watch->n; i++) {
		close(watch->pending[i].event);
		close(watch->pending[i].opens);
		close(watch->pending[i].sock);
	}
	setsid();
	signal(SIGCHLD, SIG_DFL);
	return 0;
}

/* ---- the watcher ---- */

static void answer(const struct watch *w, int event)
{
	struct fanotify_response yes = { .fd = event, .response = FAN_ALLOW };

	if (write(w->fan, &yes, sizeof(yes)) < 0 && errno != ENOENT)
		say(w->o, "the kernel can't be answered: %s", strerror(errno));
	close(event);
}

/* A library by its name; else a program. */
static bool is_library(const char *name)
{
	return strstr(name, ".so");
}

/* "GNU" and NT_GNU_BUILD_ID among notes. */
static void read_build_id(const char *notes, ssize_t len, char hex[2 * ST_BUILD_ID_MAX + 1])
{
	for (ssize_t at = 0; at + (ssize_t)sizeof(ElfW(Nhdr)) <= len;) {
		const ElfW(Nhdr) *note = (const void *)(notes + at);
		const char *name = notes + at + sizeof(*note), *id = name + (((size_t)note->n_namesz + 3) & ~3ul);

		if (note->n_namesz > (size_t)len || note->n_descsz > (size_t)len || id + note->n_descsz > notes + len)
			return;
		if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && !memcmp(name, "GNU", 4) && note->n_descsz <= ST_BUILD_ID_MAX)
			for (unsigned int i = 0; i < note->n_descsz; i++)
				sprintf(hex + 2 * i, "%02x", (unsigned char)id[i]);
		at = id + ((note->n_descsz + 3) & ~3u) - notes;
	}
}

/*
 * An executable of our kind? *dynamic: it has a loader. @build_id: in hexadecimal, "" if it has none. By its descriptor alone: what we
 * open ourselves, we would be asked about.
 */
static bool is_program(int fd, bool *dynamic, char build_id[2 * ST_BUILD_ID_MAX + 1])
{
	ElfW(Phdr) phdr[64];
	ElfW(Ehdr) ehdr;
	ssize_t got;

	if (pread(fd, &ehdr, sizeof(ehdr), 0) != sizeof(ehdr) || !st_elf_is_ours(&ehdr))
		return false;
	got = pread(fd, phdr, sizeof(phdr), (off_t)ehdr.e_phoff);
	*dynamic = false;
	*build_id = '\0';
	for (size_t i = 0; got > 0 && i < ehdr.e_phnum && (i + 1) * sizeof(phdr[0]) <= (size_t)got; i++) {
		_Alignas(ElfW(Nhdr)) char notes[1024];
		ssize_t len = phdr[i].p_filesz < sizeof(notes) ? (ssize_t)phdr[i].p_filesz : (ssize_t)sizeof(notes);

		*dynamic |= phdr[i].p_type == PT_INTERP;
		if (phdr[i].p_type == PT_NOTE && pread(fd, notes, (size_t)len, (off_t)phdr[i].p_offset) == len)
			read_build_id(notes, len, build_id);
	}
	return true;
}

/* The build of a program that a patch is for? Its name is not known: it may have another one by a link. */
static bool is_build(const struct watch *w, const char *build_id)
{
	for (size_t i = 0; *build_id && i < w->patches.n; i++) {
		const struct st_manifest *m = &w->patches.file[i]->m;

		for (size_t k = 0; k < m->objects; k++)
			if (!is_library(m->object[k].object) && !strcasecmp(m->object[k].symbol, build_id))
				return true;
	}
	return false;
}

static bool concerns(const struct watch *w, int fd)
{
	char build_id[2 * ST_BUILD_ID_MAX + 1];
	bool dynamic;

	return w->patches.n && is_program(fd, &dynamic, build_id) &&
	       (w->programs_any || (w->libraries && dynamic) || is_build(w, build_id));
}

static pid_t process_of(pid_t tid)
{
	char path[32], line[128];
	int pid = tid;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f) && sscanf(line, "Tgid: %d", &pid) != 1)
		;
	if (f)
		fclose(f);
	return pid;
}

static void ask(struct watch *w, const struct fanotify_event_metadata *event)
{
	const char *why = NULL;
	int pair[2];
	pid_t pid = 0;

	if (!concerns(w, event->fd)) {
		answer(w, event->fd);
		return;
	}
	if (event->pid <= 0)
		why = "its process can't be seen from here";
	else if (w->n == PENDING_MAX)
		why = "too many start at once";
	else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		why = strerror(errno);
	if (!why) {
		pid = start(w);
		if (!pid) {
			close(pair[0]);
			close(event->fd);
			work(w, event->pid, pair[1]);
		}
		close(pair[1]);
		if (pid < 0) {
			why = strerror(errno);
			close(pair[0]);
		}
	}
	if (why) {
		say(w->o, "process %d goes on unpatched: %s", event->pid, why);
		answer(w, event->fd);
		return;
	}
	w->pending[w->n++] = (struct pending){
		.tid = event->pid, .pid = process_of(event->pid), .event = event->fd, .opens = -1, .sock = pair[0],
		.trace = now_ms() + (w->early ? TRACE_MS : 0), .until = now_ms() + limit(w),
	};
}

/* What a program opens whose worker does not trace it yet. */
static bool holds(struct watch *w, const struct fanotify_event_metadata *event)
{
	for (size_t i = 0; i < w->n; i++) {
		struct pending *p = &w->pending[i];

		if (p->event >= 0 || p->opens >= 0 || (event->pid != p->tid && event->pid != p->pid))
			continue;
		p->opens = event->fd;
		return true;
	}
	return false;
}

static void read_events(struct watch *w)
{
	struct fanotify_event_metadata buf[64], *event = buf;
	ssize_t len = read(w->fan, buf, sizeof(buf));

	for (; FAN_EVENT_OK(event, len); event = FAN_EVENT_NEXT(event, len)) {
		if (event->fd < 0)
			continue;
		if (event->mask & FAN_OPEN_EXEC_PERM)
			ask(w, event);
		else if (!holds(w, event))
			answer(w, event->fd);
	}
}

/* It executes, untraced: it is to be found by what it opens. */
static void let_execute(struct watch *w, struct pending *p)
{
	static const char *const files[] = {
		"etc/ld.so.cache", "lib/" ST_TRIPLET "/libc.so.6", "usr/lib/" ST_TRIPLET "/libc.so.6", "lib64/libc.so.6",
		"usr/lib64/libc.so.6", "lib/libc.so.6", "usr/lib/libc.so.6",
	};
	char path[64];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "/proc/%d/root/%s", p->tid, files[i]);
		w->marked |= !fanotify_mark(w->fan, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, path);
	}
	/* Before the answer: the worker will see it. */
	if (send(p->sock, "", 1, MSG_NOSIGNAL) < 0)
		say(w->o, "process %d goes on unpatched: its worker has ended", p->pid);
	answer(w, p->event);
	p->event = -1;
}

static void forget_pending(struct watch *w, size_t i)
{
	struct pending *p = &w->pending[i];

	if (p->event >= 0)
		answer(w, p->event);
	if (p->opens >= 0)
		answer(w, p->opens);
	close(p->sock);
	*p = w->pending[--w->n];
}

/* Programs whose workers trace them, or do not in time. @fd: poll() has looked at the first @n. */
static void serve_pending(struct watch *w, const struct pollfd *fd, size_t n)
{
	bool needed = false;

	for (size_t i = n; i-- > 0;) {
		if (fd[i].revents || now_ms() > w->pending[i].until)
			forget_pending(w, i);
		else if (w->pending[i].event >= 0 && now_ms() >= w->pending[i].trace)
			let_execute(w, &w->pending[i]);
	}
	for (size_t i = 0; i < w->n; i++)
		needed |= w->pending[i].event < 0;
	/* These marks are on files; those on file systems stay. */
	if (w->marked && !needed) {
		fanotify_mark(w->fan, FAN_MARK_FLUSH, 0, AT_FDCWD, NULL);
		w->marked = false;
	}
}

/* What patches there are, and so what the kernel's questions are about. */
static int read_patches(struct watch *w, char *err)
{
	struct st_installed all;
	int ret = st_installed_read(&all, w->o->say, w->o->ctx, err);

	if (ret)
		return ret;
	st_installed_free(&w->patches);
	w->patches = all;
	w->programs_any = w->libraries = false;
	for (size_t i = 0; i < all.n; i++) {
		const struct st_manifest *m = &all.file[i]->m;

		for (size_t k = 0; k < m->replaces + m->callbacks; k++) {
			const char *object = k < m->replaces ? m->replace[k].object : m->callback[k - m->replaces].object;
			bool built = false;

			for (size_t b = 0; b < m->objects; b++)
				built |= !strcmp(m->object[b].object, object);
			if (is_library(object))
				w->libraries = true;
			else if (!built)
				w->programs_any = true;
		}
	}
	return 0;
}

static int mark(const struct watch *w, const char *path)
{
	return fanotify_mark(w->fan, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN_EXEC_PERM, AT_FDCWD, path);
}

/* All file systems that programs can be on: whatever is mounted, and lets itself be marked. */
static int mark_mounts(struct watch *w)
{
	char line[2 * PATH_MAX], path[PATH_MAX];
	int marked = 0, ret = 0;
	FILE *f;

	for (size_t i = 0; w->o->on && w->o->on[i] && !ret; i++)
		ret = mark(w, w->o->on[i]);
	if (w->o->on)
		return ret ? -errno : 0;
	f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		char *out = path;

		if (sscanf(line, "%*d %*d %*u:%*u %*s %4095s", path) != 1)
			continue;
		/* "\040" is a blank. */
		for (char *p = path; *p; p++) {
			unsigned int c;

			if (*p == '\\' && sscanf(p + 1, "%3o", &c) == 1) {
				*out++ = (char)c;
				p += 3;
			} else {
				*out++ = *p;
			}
		}
		*out = '\0';
		/* Once more for one that is marked does no harm. */
		marked += !mark(w, path);
	}
	fclose(f);
	return marked ? 0 : -errno;
}

static int begin(struct watch *w, char *err)
{
	unsigned int major, minor;
	struct utsname name;
	int ret;

	if (geteuid())
		return st_patch_fail(err, -EPERM, "only root can watch programs that start");
	w->lock = st_installed_watch(err);
	if (w->lock < 0)
		return w->lock;
	w->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->notify < 0 || inotify_add_watch(w->notify, st_installed_dir(), IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE) < 0)
		return st_patch_fail(err, -errno, "%.160s can't be watched: %s", st_installed_dir(), strerror(errno));
	w->fan = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE | FAN_REPORT_TID,
			       O_RDONLY | O_CLOEXEC | O_LARGEFILE);
	if (w->fan < 0)
		return st_patch_fail(err, errno == ENOSYS || errno == EINVAL ? -ENOTSUP : -errno,
				     "programs that start can't be watched: fanotify: %s (it takes CAP_SYS_ADMIN, and a kernel with "
				     "CONFIG_FANOTIFY_ACCESS_PERMISSIONS, 5.0 or later)", strerror(errno));
	w->early = !uname(&name) && sscanf(name.release, "%u.%u", &major, &minor) == 2 && (major > 6 || (major == 6 && minor >= 8));
	ret = read_patches(w, err);
	if (ret)
		return ret;
	ret = mark_mounts(w);
	if (ret)
		return st_patch_fail(err, -ENOTSUP, "programs that start can't be watched: no file system can be marked: %s (it takes a "
						    "kernel with CONFIG_FANOTIFY_ACCESS_PERMISSIONS)", strerror(-ret));
	w->mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	return 0;
}

static void serve(struct watch *w)
{
	struct pollfd fd[3 + PENDING_MAX];
	char buf[4096], err[ST_ERR_MAX];

	while (!w->o->stop(w->o->ctx)) {
		size_t n = w->n;
		int ms = TICK_MS;

		/* Nothing here takes long. If it does all the same, our end is the answer. */
		alarm(HANGS_S);
		fd[0] = (struct pollfd){ .fd = w->fan, .events = POLLIN };
		fd[1] = (struct pollfd){ .fd = w->notify, .events = POLLIN };
		fd[2] = (struct pollfd){ .fd = w->mounts, .events = POLLPRI };
		for (size_t i = 0; i < n; i++) {
			fd[3 + i] = (struct pollfd){ .fd = w->pending[i].sock, .events = POLLIN };
			if (w->pending[i].event >= 0)
				ms = w->early ? TRACE_MS : 0;
		}
		if (poll(fd, 3 + n, ms) < 0)
			continue;
		/* Patches before programs: one that was installed before a program starts is for it. */
		if (fd[1].revents && read(w->notify, buf, sizeof(buf)) > 0 && read_patches(w, err))
			say(w->o, "%s", err);
		if (fd[2].revents & POLLPRI) {
			if (lseek(w->mounts, 0, SEEK_SET) == 0)
				while (read(w->mounts, buf, sizeof(buf)) > 0)
					;
			mark_mounts(w);
		}
		serve_pending(w, fd + 3, n);
		if (fd[0].revents)
			read_events(w);
	}
}

int st_watch(const struct st_watch_options *o, char err[ST_ERR_MAX])
{
	struct watch *w = calloc(1, sizeof(*w));
	int ret;

	if (!w)
		return st_patch_fail(err, -ENOMEM, "out of memory");
	w->o = o;
	w->fan = w->notify = w->mounts = w->lock = -1;
	ret = begin(w, err);
	if (!ret) {
		pid_t child;

		/* Workers are nobody's affair. */
		signal(SIGCHLD, SIG_IGN);
		child = start(w);
		if (!child)
			work_on_running(w);
		if (child < 0)
			say(o, "processes that run stay unpatched: %s", strerror(errno));
		if (o->ready)
			o->ready(o->ctx);
		serve(w);
	}
	alarm(0);
	/* From here on the kernel asks nobody. */
	if (w->fan >= 0)
		close(w->fan);
	if (w->notify >= 0)
		close(w->notify);
	if (w->mounts >= 0)
		close(w->mounts);
	if (w->lock >= 0)
		close(w->lock);
	st_installed_free(&w->patches);
	free(w);
	return ret;
}
