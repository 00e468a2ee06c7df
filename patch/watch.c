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
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <patch/all.h>
#include <patch/installed.h>
#include <patch/internal.h>
#include <patch/later.h>
#include <patch/watch.h>
#include <process/symbols.h>

#define PENDING_MAX 256		/* questions of the kernel that are not answered yet */
#define ANSWER_MS 2000		/* for a worker to trace the thread; then it is answered without */
#define TICK_MS 1000

/* A program that waits for its worker to trace it. */
struct pending {
	int event;		/* fanotify's descriptor, which the answer names */
	int pipe;		/* closed, or a byte: the worker is ready */
	uint64_t until;
};

struct watch {
	const struct st_watch_options *o;
	int fan, notify, mounts, lock;
	struct st_installed patches;
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
			st_mailbox_busy(box, true);
			*told = started(s);
			if (*told)
				return true;
			st_mailbox_answer(box);
			st_mailbox_busy(box, false);
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
	bool told = false, by_itself;
	int ret = st_session_open(w->pid, true, &s, err);

	if (ret) {
		unpatched(w, err);
		return;
	}
	st_proc_early(st_session_proc(s), (unsigned long)st_session_ctl(s)->early);
	ret = st_objects_read(st_session_proc(s), &objs, err);
	if (!ret) {
		by_itself = !st_objects_starting(objs) && !st_objects_loading(objs);	/* a static program */
		ret = st_mailbox_take(&box, s, objs, ST_MAILBOX_OBJECTS, err);
		st_objects_free(objs);
	}
	if (ret) {
		unpatched(w, err);
		st_proc_release(st_session_proc(s));
		st_session_close(s);
		return;
	}
	if (by_itself)
		apply(w, s, true);
	st_proc_release(st_session_proc(s));
	if (!by_itself) {
		if (wait_started(w, s, &box, &told)) {
			st_session_learn(s);
			apply(w, s, told && !st_mailbox_late(&box));
		} else if (st_session_there(s)) {
			unpatched(w, "its dynamic loader takes too long");
		}
	}
	alarm(0);
	if (!st_session_there(s))
		;
	else if (st_later_needed(s))
		st_later_go_on(s, &box, told, &later);
	else
		st_mailbox_release(&box);
	st_session_close(s);
}

/* In a child of the watcher: never returns. @tid is about to execute a program. */
static void work(const struct watch *watch, pid_t tid, int ready)
{
	struct worker w = { .o = watch->o, .patches = &watch->patches };
	const struct timespec pause = { .tv_nsec = 500000 };
	struct st_hold hold;
	int ret;

	w.until = now_ms() + (watch->o->ms ? watch->o->ms : ST_WATCH_MS);
	/* Whatever happens: our end lets it go. */
	alarm((unsigned int)((w.until - now_ms()) / 1000) + 2);
	ret = st_hold_begin(&hold, tid);
	w.pid = ret ? tid : hold.pid;
	if (write(ready, "", 1) != 1)
		_exit(1);
	close(ready);
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
		close(watch->pending[i].pipe);
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

/* An executable of our kind? *dynamic: it has a loader. */
static bool is_program(int fd, bool *dynamic)
{
	ElfW(Phdr) phdr[64];
	ElfW(Ehdr) ehdr;
	ssize_t got;

	if (pread(fd, &ehdr, sizeof(ehdr), 0) != sizeof(ehdr) || !st_elf_is_ours(&ehdr))
		return false;
	got = pread(fd, phdr, sizeof(phdr), (off_t)ehdr.e_phoff);
	*dynamic = false;
	for (size_t i = 0; got > 0 && i < ehdr.e_phnum && (i + 1) * sizeof(phdr[0]) <= (size_t)got; i++)
		*dynamic |= phdr[i].p_type == PT_INTERP;
	return true;
}

/* Is the file the build of a program that a patch is for? Its name is not known: it may have another one by a link. */
static bool is_build(const struct watch *w, int fd)
{
	char path[64], hex[2 * ST_BUILD_ID_MAX + 1];
	struct st_objects *objs;
	bool yes = false;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (st_objects_file(path, &objs, NULL))
		return false;
	st_hex_build_id(&objs->object[0], hex);
	st_objects_free(objs);
	for (size_t i = 0; i < w->patches.n; i++) {
		const struct st_manifest *m = &w->patches.file[i]->m;

		for (size_t k = 0; k < m->objects; k++)
			yes |= !is_library(m->object[k].object) && !strcasecmp(m->object[k].symbol, hex);
	}
	return yes;
}

static bool concerns(const struct watch *w, int fd)
{
	bool dynamic;

	return w->patches.n && is_program(fd, &dynamic) && (w->programs_any || (w->libraries && dynamic) || is_build(w, fd));
}

static void ask(struct watch *w, const struct fanotify_event_metadata *event)
{
	int ready[2];
	pid_t pid;

	if (!concerns(w, event->fd)) {
		answer(w, event->fd);
		return;
	}
	if (event->pid <= 0 || w->n == PENDING_MAX || pipe2(ready, O_CLOEXEC)) {
		say(w->o, "a program goes on unpatched: %s", event->pid <= 0 ? "its process can't be seen from here" : "too many start at once");
		answer(w, event->fd);
		return;
	}
	pid = start(w);
	if (!pid) {
		close(ready[0]);
		close(event->fd);
		work(w, event->pid, ready[1]);
	}
	close(ready[1]);
	if (pid < 0) {
		say(w->o, "process %d goes on unpatched: no worker can be started: %s", event->pid, strerror(errno));
		close(ready[0]);
		answer(w, event->fd);
		return;
	}
	w->pending[w->n++] = (struct pending){ event->fd, ready[0], now_ms() + ANSWER_MS };
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
		else
			close(event->fd);
	}
}

static void forget_pending(struct watch *w, size_t i)
{
	answer(w, w->pending[i].event);
	close(w->pending[i].pipe);
	w->pending[i] = w->pending[--w->n];
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

		fd[0] = (struct pollfd){ .fd = w->fan, .events = POLLIN };
		fd[1] = (struct pollfd){ .fd = w->notify, .events = POLLIN };
		fd[2] = (struct pollfd){ .fd = w->mounts, .events = POLLPRI };
		for (size_t i = 0; i < n; i++)
			fd[3 + i] = (struct pollfd){ .fd = w->pending[i].pipe, .events = POLLIN };
		if (poll(fd, 3 + n, TICK_MS) < 0)
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
		for (size_t i = n; i-- > 0;)
			if (fd[3 + i].revents || now_ms() > w->pending[i].until)
				forget_pending(w, i);
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
