// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stops, borrows and kills around programs that check themselves (target.c). Whatever is done here,
 *a target must go on with right results and end with "ok"; that is what each test asks in the end.
 *
 *	attach [--user] DIR [NAME...]	DIR holds the target programs; NAME: only tests whose name
 *begins so
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "process/process.h"

static const char *dir;
static unsigned int passed, failed, skipped;

static void skip(const char *why)
{
	printf("skipped: %s\n", why);
	skipped++;
}
static const char *test_name;
static bool test_failed;
static char err[ST_ERR_MAX];

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			printf("  %s:%d: %s is not so [%s]\n", __FILE__, __LINE__, #what, err);    \
			test_failed = true;                                                        \
		}                                                                                  \
	} while (0)

#define NEED(what)                                                                                 \
	do {                                                                                       \
		CHECK(what);                                                                       \
		if (test_failed)                                                                   \
			return;                                                                    \
	} while (0)

/* Emulated machines are slow: fewer rounds there. */
static int scaled(int count)
{
	return getenv("SIDETRACK_VM") ? (count + 3) / 4 : count;
}

/* A program without a dynamic loader: musl's where there is one, else glibc's. NULL: neither was
 * built. */
static const char *static_target(void)
{
	static const char *const names[] = {"target-musl", "target-static"};
	char path[512];
	size_t i;

	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		if (!access(path, X_OK))
			return names[i];
	}
	skip("no static program was built");
	return NULL;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* ---- targets */

struct target {
	pid_t pid;
	int in, out;
};

static bool read_line(int fd, char *line, size_t size, int timeout_ms)
{
	size_t n = 0;

	while (n + 1 < size) {
		struct pollfd p = {fd, POLLIN, 0};

		if (poll(&p, 1, timeout_ms) != 1 || read(fd, line + n, 1) != 1)
			break;
		if (line[n++] == '\n')
			break;
	}
	line[n] = '\0';
	return n && line[n - 1] == '\n';
}

static struct target start_as(const char *program, const char *mode, uid_t uid)
{
	int in[2], out[2];
	char path[512], line[64];
	struct target t;

	snprintf(path, sizeof(path), "%s%s%s", *program == '/' ? "" : dir,
		 *program == '/' ? "" : "/", program);
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		exit(1);
	t.pid = fork();
	if (!t.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], 0);
		dup2(out[1], 1);
		if (uid && (setgid(uid) || setuid(uid)))
			_exit(126);
		execl(path, path, mode, NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	t.in = in[1];
	t.out = out[0];
	if (!read_line(t.out, line, sizeof(line), 10000) || strcmp(line, "ready\n")) {
		snprintf(err, sizeof(err), "%.100s %.100s did not start", path, mode);
		test_failed = true;
	}
	return t;
}

static struct target start(const char *program, const char *mode)
{
	return start_as(program, mode, 0);
}

/* Is it running, and does its main thread answer? */
static bool answers(struct target *t)
{
	char line[64];

	return write(t->in, "?", 1) == 1 && read_line(t->out, line, sizeof(line), 5000) &&
	       !strncmp(line, "alive", 5);
}

/* For who gives up. */
static void say_status(struct target *t)
{
	int status;

	if (waitpid(t->pid, &status, WNOHANG) == t->pid)
		printf("  target ended with status %#x\n", status);
}

static bool finish(struct target *t)
{
	char line[64] = "";
	int status = -1;
	bool ok;

	close(t->in);
	ok = read_line(t->out, line, sizeof(line), 10000) && !strncmp(line, "ok", 2);
	if (!ok)
		kill(t->pid, SIGKILL);
	waitpid(t->pid, &status, 0);
	close(t->out);
	if (!ok || !WIFEXITED(status) || WEXITSTATUS(status))
		printf("  target: said \"%s\", status %#x\n", line, status);
	return ok && WIFEXITED(status) && !WEXITSTATUS(status);
}

/* ---- opening */

static void test_open(void)
{
	struct target t = start("target", "blocked");
	struct st_proc *p;

	NEED(!test_failed);
	CHECK(!st_proc_open(t.pid, &p, err));
	if (p) {
		CHECK(st_proc_pid(p) == t.pid);
		CHECK(!strcmp(st_proc_comm(p), "target"));
		CHECK(st_proc_alive(p));
		CHECK(st_proc_auxv(p, 6 /* AT_PAGESZ */) == (unsigned long)sysconf(_SC_PAGESIZE));
	}
	st_proc_close(p);
	CHECK(finish(&t));
}

static void test_no_such(void)
{
	struct st_proc *p;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	CHECK(st_proc_open(pid, &p, err) == -ESRCH && strstr(err, "there is no process"));
	CHECK(st_proc_open(-5, &p, err) == -ESRCH);
	CHECK(st_proc_open(getpid(), &p, err) == -EPERM);
}

static void test_zombie(void)
{
	struct st_proc *p;
	pid_t pid = fork();
	siginfo_t info;

	if (!pid)
		_exit(0);
	waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
	CHECK(st_proc_open(pid, &p, err) == -ESRCH && strstr(err, "zombie"));
	waitpid(pid, NULL, 0);
}

static void test_kernel_thread(void)
{
	struct st_proc *p;

	/* kthreadd, unless we are in a PID namespace of our own. */
	if (!access("/proc/2/exe", F_OK) || access("/proc/2/stat", F_OK)) {
		skip("kernel threads are not seen from this PID namespace");
		return;
	}
	CHECK(st_proc_open(2, &p, err) == -ENOEXEC && strstr(err, "kernel"));
}

static void test_traced(void)
{
	struct target t = start("target", "");
	char go[2], name[32];
	struct st_proc *p;
	int pipefd[2];
	pid_t tracer;

	NEED(!test_failed && !pipe(pipefd));
	tracer = fork();
	if (!tracer) {
		ptrace(PTRACE_SEIZE, t.pid, NULL, NULL);
		write(pipefd[1], "x", 1);
		pause();
	}
	read(pipefd[0], go, 1);
	snprintf(name, sizeof(name), "process %d", tracer);
	CHECK(st_proc_open(t.pid, &p, err) == -EBUSY && strstr(err, name));
	kill(tracer, SIGKILL);
	waitpid(tracer, NULL, 0);
	close(pipefd[0]);
	close(pipefd[1]);
	CHECK(finish(&t));
}

static void test_not_mine(void)
{
	struct target t;
	pid_t child;
	int status;

	if (geteuid()) {
		skip("needs root, to be somebody else");
		return;
	}
	t = start("target", "");
	NEED(!test_failed);
	child = fork();
	if (!child) {
		struct st_proc *p;

		if (setgid(65534) || setuid(65534))
			_exit(3);
		_exit(st_proc_open(t.pid, &p, err) == -EPERM && strstr(err, "belongs to root") ? 0
											       : 1);
	}
	waitpid(child, &status, 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CHECK(finish(&t));
}

static void test_other_arch(void)
{
	char path[512];
	struct st_proc *p;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/target32", dir);
	if (access(path, X_OK)) {
		skip("a 32-bit program can be made on x86-64 only");
		return;
	}
	pid = fork();
	if (!pid) {
		execl(path, path, NULL);
		_exit(127);
	}
	usleep(50000);
	CHECK(st_proc_open(pid, &p, err) == -ENOEXEC && strstr(err, "32-bit"));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* ---- objects */

static void test_objects(void)
{
	struct target t = start("target", "malloc,printf,vector");
	struct st_objects *objs;
	struct st_symbol sym;
	struct st_object *who;
	const struct st_func *f;
	struct st_proc *p;
	size_t n, i, bad = 0;
	bool libc = false, vdso = false;

	NEED(!test_failed && !st_proc_open(t.pid, &p, err));
	NEED(!st_objects_read(p, &objs, err));
	CHECK(objs->object[0].flags & ST_OBJECT_EXE);
	CHECK(!strcmp(objs->object[0].name, "target"));
	for (i = 0; i < objs->n; i++) {
		struct st_object *o = &objs->object[i];
		size_t j;

		libc |= !strcmp(o->name, "libc.so.6") && o->order > 0;
		vdso |= !!(o->flags & ST_OBJECT_VDSO);
		CHECK(o->build_id_len);
		f = st_object_functions(o, &n);
		CHECK(!o->why);
		if (!(o->flags & ST_OBJECT_VDSO))
			CHECK(st_object_fd(o) >= 0);
		for (j = 0; j < n; j++) {
			size_t bads = bad;
			uint8_t a[16], b[16];
			size_t len = f[j].size < 16 ? f[j].size : 16;

			if (j && f[j].addr < f[j - 1].addr)
				bad++;
			if (!(f[j].flags & ST_FUNC_ALIAS) && j && f[j].addr == f[j - 1].addr)
				bad++;
			if (f[j].addr < o->lo || f[j].addr + f[j].room > o->hi || !f[j].room)
				bad++;
			/* The text of the process is the text of the file. */
			if (!(o->flags & ST_OBJECT_VDSO) &&
			    (st_mem_read(p, f[j].addr, a, len) ||
			     st_object_bytes(o, f[j].addr, b, len) || memcmp(a, b, len)))
				bad++;
			if (bad > bads)
				printf("  %s:%s at %#lx, size %lu, room %lu\n", o->name, f[j].name,
				       f[j].addr - o->bias, f[j].size, f[j].room);
		}
	}
	CHECK(!bad);
	CHECK(libc && vdso);
	CHECK(!st_object_symbol(&objs->object[0], "target_add", NULL, &sym));
	f = st_object_function_at(&objs->object[0], sym.addr + 3);
	CHECK(f && !strcmp(f->name, "target_add") && f->size == sym.size);
	CHECK(!st_objects_resolve(objs, "malloc", NULL, &who, &sym) &&
	      !strcmp(who->name, "libc.so.6"));
	CHECK(!st_objects_resolve(objs, "target_word", NULL, &who, &sym) &&
	      sym.size == sizeof(long));
	CHECK(st_objects_resolve(objs, "no_such_thing", NULL, &who, &sym) == -ENOENT);
	st_objects_free(objs);

	/* The same file seen as a file. */
	{
		char path[512];
		struct st_objects *file;
		const struct st_func *g;
		size_t m;

		snprintf(path, sizeof(path), "%s/target", dir);
		NEED(!st_objects_read(p, &objs, err) && !st_objects_file(path, &file, err));
		f = st_object_functions(&objs->object[0], &n);
		g = st_object_functions(&file->object[0], &m);
		CHECK(n == m && n > 20);
		for (i = 0; i < n && i < m; i++)
			if (strcmp(f[i].name, g[i].name) ||
			    f[i].addr != g[i].addr + objs->object[0].bias ||
			    f[i].size != g[i].size || f[i].room != g[i].room)
				test_failed = true;
		st_objects_free(file);
		st_objects_free(objs);
	}
	st_proc_close(p);
	CHECK(finish(&t));
}

/* Its file is gone, or another one has its name. */
static void test_deleted(void)
{
	char path[512], copy[64], folder[] = "/tmp/sidetrack-XXXXXX", cmd[2048];
	struct st_objects *objs;
	struct st_symbol sym;
	struct st_proc *p;
	struct target t;

	snprintf(path, sizeof(path), "%s/target", dir);
	NEED(mkdtemp(folder));
	snprintf(copy, sizeof(copy), "%s/target-copy", folder);
	snprintf(cmd, sizeof(cmd), "cp %s %s", path, copy);
	NEED(!system(cmd));
	t = start(copy, "");
	NEED(!test_failed);
	snprintf(cmd, sizeof(cmd), "rm -f %s; cp /bin/true %s", copy, copy);
	NEED(!system(cmd));
	NEED(!st_proc_open(t.pid, &p, err) && !st_objects_read(p, &objs, err));
	CHECK(!strcmp(objs->object[0].name, "target-copy"));
	CHECK(!st_object_symbol(&objs->object[0], "do_malloc", NULL, &sym));
	CHECK(!objs->object[0].why);
	st_objects_free(objs);
	st_proc_close(p);
	CHECK(finish(&t));
	unlink(copy);
	rmdir(folder);
}

/* ---- stops */

static void stops(const char *program, const char *mode, int count)
{
	struct target t = start(program, mode);
	uint64_t ns, most = 0, sum = 0;
	struct st_proc *p;
	int i;

	count = scaled(count);
	NEED(!test_failed && !st_proc_open(t.pid, &p, err));
	for (i = 0; i < count && !test_failed; i++) {
		struct st_stop *s;
		struct st_regs regs;
		size_t j;

		NEED(!st_stop(p, 0, 20000, &s, err));
		CHECK(st_stop_count(s) > 0);
		for (j = 0; j < st_stop_count(s); j++) {
			struct st_thread *th = st_stop_thread(s, j);

			CHECK(!st_thread_regs(th, &regs));
			/* To set what was read changes nothing. */
			if (i % 2)
				CHECK(!st_thread_set_regs(th, &regs));
		}
		CHECK(!st_resume(s, &ns));
		sum += ns;
		if (ns > most)
			most = ns;
		usleep(i % 7 * 300);
	}
	printf("  %d stops: mean %.0f us, longest %.0f us\n", count, sum / 1e3 / count, most / 1e3);
	CHECK(answers(&t));
	st_proc_close(p);
	CHECK(finish(&t));
}

static void test_stop_blocked(void)
{
	stops("target", "blocked", 300);
}

static void test_stop_busy(void)
{
	stops("target", "busy", 300);
}

static void test_stop_mask(void)
{
	stops("target", "mask,fork", 100);
}

static void test_stop_trap(void)
{
	stops("target", "trap", 100);
}

static void test_stop_static(void)
{
	const char *program = static_target();

	if (program)
		stops(program, "blocked,busy", 200);
}

/* Stopped by SIGSTOP before: it is so afterwards, and goes on at SIGCONT. */
static char state_of(pid_t pid)
{
	char path[64], text[256], *bracket;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY);
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (got < 0)
		return '?';
	text[got] = '\0';
	bracket = strrchr(text, ')');
	return bracket ? bracket[2] : '?';
}

static bool becomes(pid_t pid, char state)
{
	int i;

	for (i = 0; i < 200 && state_of(pid) != state; i++)
		usleep(5000);
	return state_of(pid) == state;
}

static long remote_getpid(struct st_remote *r)
{
	static const unsigned long none[6];
	long ret = -1;

	return st_remote_syscall(r, &ret, SYS_getpid, none) ? -1 : ret;
}

static void test_group_stop(void)
{
	/* Not those calls that return EINTR after SIGCONT without our doing: signal(7). */
	struct target t = start("target", "busy,poll,nanosleep,futex");
	struct st_remote *r;
	struct st_stop *s;
	struct st_proc *p;
	int i;

	NEED(!test_failed);
	kill(t.pid, SIGSTOP);
	NEED(becomes(t.pid, 'T'));
	NEED(!st_proc_open(t.pid, &p, err));
	for (i = 0; i < 20; i++) {
		NEED(!st_stop(p, 0, 10000, &s, err));
		if (i % 2) {
			NEED(!st_remote_begin(s, NULL, &r, err));
			CHECK(remote_getpid(r) == t.pid);
			CHECK(!st_remote_end(r));
		}
		CHECK(!st_resume(s, NULL));
		CHECK(becomes(t.pid, 'T'));
	}
	kill(t.pid, SIGCONT);
	CHECK(answers(&t));
	/* And one that comes while it is borrowed. */
	NEED(!st_stop(p, 0, 10000, &s, err));
	kill(t.pid, SIGSTOP);
	NEED(!st_remote_begin(s, NULL, &r, err));
	CHECK(remote_getpid(r) == t.pid);
	CHECK(!st_remote_end(r));
	CHECK(!st_resume(s, NULL));
	CHECK(becomes(t.pid, 'T'));
	kill(t.pid, SIGCONT);
	CHECK(answers(&t));
	st_proc_close(p);
	CHECK(finish(&t));
}

/* A thread that waits for its vfork() child can't be stopped: it says so, or waits until it can. */
static void test_vfork(void)
{
	struct target t = start("target", "vfork,vector");
	int i, busy = 0, done = 0;
	struct st_proc *p;

	NEED(!test_failed && !st_proc_open(t.pid, &p, err));
	/* Until both have been seen. */
	for (i = 0; i < 200 && (i < 12 || !busy || done < 6) && !test_failed; i++) {
		struct st_stop *s;
		double begun = now();
		int ret = st_stop(p, 0, i % 2 ? 3000 : 50, &s, err);

		if (ret == -EBUSY) {
			CHECK(strstr(err, "vfork"));
			CHECK(now() - begun < 10);
			busy++;
		} else {
			NEED(!ret);
			done++;
			CHECK(!st_resume(s, NULL));
		}
		usleep(70000);
	}
	CHECK(busy > 0 && done >= 6);
	CHECK(answers(&t));
	st_proc_close(p);
	CHECK(finish(&t));
}

static void test_many(void)
{
	stops("target", "many,blocked", 40);
}

/* It executes another program, or the same one: nothing that is known about it holds. */
static void test_exec(void)
{
	struct target t = start("target", "vector");
	struct st_stop *s;
	struct st_proc *p;
	char line[64];

	NEED(!test_failed && !st_proc_open(t.pid, &p, err));
	CHECK(st_proc_alive(p));
	CHECK(write(t.in, "x", 1) == 1 && read_line(t.out, line, sizeof(line), 5000));
	CHECK(!st_proc_alive(p));
	CHECK(st_stop(p, 0, 1000, &s, err) == -ESTALE && strstr(err, "executed"));
	CHECK(answers(&t));
	st_proc_close(p);
	CHECK(finish(&t));
}

/* Its first thread has exited: what /proc/PID says is then a zombie's. */
static void test_no_leader(void)
{
	struct target t = start("target", "vector,nanosleep,vfork");
	struct st_objects *objs;
	struct st_proc *p;
	int i;

	NEED(!test_failed && write(t.in, "l", 1) == 1);
	NEED(becomes(t.pid, 'Z'));
	NEED(!st_proc_open(t.pid, &p, err));
	CHECK(!st_objects_read(p, &objs, err) && !strcmp(objs->object[0].name, "target"));
	st_objects_free(objs);
	for (i = 0; i < 20 && !test_failed; i++) {
		struct st_remote *r;
		struct st_stop *s;

		NEED(!st_stop(p, i % 2 ? ST_STOP_ONE : 0, 5000, &s, err));
		NEED(!st_remote_begin(s, NULL, &r, err));
		CHECK(remote_getpid(r) == t.pid);
		CHECK(!st_remote_end(r));
		CHECK(!st_resume(s, NULL));
	}
	st_proc_close(p);
	close(t.in);
	close(t.out);
	kill(t.pid, SIGKILL);
	waitpid(t.pid, NULL, 0);
}

/* Signals that are queued all the time: none is lost, none comes twice, none changes its data. */
static void test_signals(void)
{
	struct target t = start("target", "queue,vector");
	unsigned int sent = 0, i;
	struct st_proc *p;

	NEED(!test_failed && !st_proc_open(t.pid, &p, err));
	for (i = 0; i < (unsigned int)scaled(200) && !test_failed; i++) {
		struct st_remote *r;
		struct st_stop *s;
		unsigned int j;

		for (j = 0; j < i % 5; j++)
			sent += !sigqueue(t.pid, SIGRTMIN + 5,
					  (union sigval){.sival_int = (int)sent});
		NEED(!st_stop(p, 0, 20000, &s, err));
		sent += !sigqueue(t.pid, SIGRTMIN + 5, (union sigval){.sival_int = (int)sent});
		if (i % 2) {
			NEED(!st_remote_begin(s, st_stop_thread(s, i % st_stop_count(s)), &r, err));
			sent += !sigqueue(t.pid, SIGRTMIN + 5,
					  (union sigval){.sival_int = (int)sent});
			CHECK(remote_getpid(r) == t.pid);
			CHECK(!st_remote_end(r));
		}
		CHECK(!st_resume(s, NULL));
	}
	for (i = 0; i < 100; i++) {
		char line[64];
		unsigned long n = 0;

		if (write(t.in, "?", 1) != 1 || !read_line(t.out, line, sizeof(line), 5000))
			break;
		sscanf(line, "alive %lu", &n);
		if (n == sent)
			break;
		usleep(20000);
	}
	CHECK(i < 100);
	st_proc_close(p);
	CHECK(finish(&t));
}

/* The target dies while it is stopped, or borrowed. */
static void test_target_dies(void)
{
	int i;

	for (i = 0; i < 20 && !test_failed; i++) {
		struct target t = start("target", "vector,nanosleep");
		unsigned long addr = 0;
		struct st_remote *r;
		struct st_stop *s;
		struct st_proc *p;

		NEED(!test_failed && !st_proc_open(t.pid, &p, err));
		NEED(!st_stop(p, 0, 20000, &s, err));
		if (i % 4 == 0)
			kill(t.pid, SIGKILL);
		if (i % 2 || !st_remote_begin(s, NULL, &r, err)) {
			if (i % 2)
				NEED(!st_remote_begin(s, NULL, &r, err));
			kill(t.pid, SIGKILL);
			usleep(i * 100);
			CHECK(st_remote_mmap(r, &addr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
					     -1, 0) == -ESRCH);
			CHECK(st_remote_end(r) == -ESRCH);
		}
		CHECK(st_resume(s, NULL) == -ESRCH);
		st_proc_close(p);
		close(t.in);
		close(t.out);
		waitpid(t.pid, NULL, 0);
	}
}

/* ---- remote calls */

/* Text, read-only data and the unused ends of their pages hold what the files hold (but for
 * relocated pages). */
static bool is_now_as_its_files(struct st_proc *p)
{
	size_t page = sysconf(_SC_PAGESIZE), i, j;
	struct st_objects *objs;
	struct st_stop *stop;
	bool same = true;

	/* Stopped: nobody unloads an object meanwhile. */
	if (st_stop(p, 0, 10000, &stop, err))
		return false;
	if (st_objects_read(p, &objs, err)) {
		st_resume(stop, NULL);
		return false;
	}
	for (i = 0; i < objs->n; i++) {
		const struct st_object *o = &objs->object[i];
		int fd = st_object_fd(o);

		for (j = 0; fd >= 0 && j < o->nsegments; j++) {
			const struct st_segment *seg = &o->segment[j];
			unsigned long from = seg->start + seg->filesz,
				      to = (from + page - 1) & ~(page - 1);
			size_t len = to - (seg->prot & PROT_EXEC ? seg->start : from),
			       base = to - len;
			uint8_t *mem = malloc(len + 1), *file = calloc(1, len + 1);

			if (!(seg->prot & PROT_WRITE) && seg->end == from && len &&
			    pread(fd, file, len, seg->offset + (base - seg->start)) >= 0 &&
			    (st_mem_read(p, base, mem, len) || memcmp(mem, file, len))) {
				printf("  %s: segment %zu differs from its file\n", o->name, j);
				same = false;
			}
			free(mem);
			free(file);
		}
	}
	st_objects_free(objs);
	return !st_resume(stop, NULL) && same;
}

/* A thread may have been stopped half way through mapping an object: looked at again then. */
static bool is_as_its_files(struct st_proc *p)
{
	for (int tries = 0; tries < 10; tries++) {
		if (is_now_as_its_files(p))
			return true;
		usleep(20000);
	}
	return false;
}

static void borrow(const char *program, const char *mode, int count, unsigned int flags)
{
	struct target t = start(program, mode);
	struct st_proc *p;
	double begun = now();
	int i, j;

	count = scaled(count);
	NEED(!test_failed && !st_proc_open(t.pid, &p, err));
	for (i = 0; i < count && !test_failed; i++) {
		struct st_remote *r;
		struct st_stop *s;

		NEED(!st_stop(p, flags, 20000, &s, err));
		/* Another thread each time: each kind of blocked call is borrowed. */
		NEED(!st_remote_begin(s, i % 3 ? st_stop_thread(s, i % st_stop_count(s)) : NULL, &r,
				      err));
		for (j = 0; j < 3; j++) {
			unsigned long addr = 0;
			char word[32] = "written from outside", back[32] = "";

			CHECK(remote_getpid(r) == t.pid);
			CHECK(!st_remote_mmap(r, &addr, 65536, PROT_READ | PROT_WRITE,
					      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
			CHECK(addr && !st_mem_write(p, addr + 60000, word, sizeof(word)));
			CHECK(!st_mem_read(p, addr + 60000, back, sizeof(back)) &&
			      !strcmp(word, back));
			CHECK(!st_remote_mprotect(r, addr, 4096, PROT_READ));
			CHECK(!st_remote_munmap(r, addr, 65536));
			/* While others run they may have got the place already. */
			if (!flags)
				CHECK(st_mem_read(p, addr + 60000, back, sizeof(back)) == -EFAULT);
		}
		CHECK(!st_remote_end(r));
		CHECK(!st_resume(s, NULL));
		if (i % 4 == 0)
			usleep(500 * (i % 5));
	}
	printf("  %d times borrowed, %.0f us each\n", count, (now() - begun) * 1e6 / count);
	CHECK(is_as_its_files(p));
	CHECK(answers(&t));
	st_proc_close(p);
	CHECK(finish(&t));
}

static void test_remote_blocked(void)
{
	borrow("target", "blocked", 200, 0);
}

static void test_remote_busy(void)
{
	borrow("target", "busy", 200, 0);
}

static void test_remote_one(void)
{
	borrow("target", "busy,blocked", 100, ST_STOP_ONE);
}

static void test_remote_mask(void)
{
	borrow("target", "mask", 50, 0);
	borrow("target", "trap", 50, 0);
}

static void test_remote_idle(void)
{
	borrow("target", "", 50, 0);
}

static void test_remote_vector(void)
{
	borrow("target", "vector", 100, 0);
}

static void test_remote_static(void)
{
	const char *program = static_target();

	if (program)
		borrow(program, "blocked,busy", 100, 0);
}

static void test_remote_seccomp(void)
{
	if (geteuid()) {
		struct target t = start("target", "seccomp,nanosleep");
		struct st_remote *r;
		struct st_stop *s;
		struct st_proc *p;

		NEED(!test_failed && !st_proc_open(t.pid, &p, err) &&
		     !st_stop(p, 0, 10000, &s, err));
		CHECK(st_remote_begin(s, NULL, &r, err) == -EPERM && strstr(err, "seccomp"));
		st_proc_close(p);
		CHECK(finish(&t));
		return;
	}
	borrow("target", "seccomp,nanosleep,futex,epoll,vector", 50, 0);
}

static unsigned long symbol(struct st_proc *p, const char *name)
{
	struct st_objects *objs;
	struct st_symbol sym;
	unsigned long addr = 0;

	if (!st_objects_read(p, &objs, err)) {
		if (!st_object_symbol(&objs->object[0], name, NULL, &sym))
			addr = sym.addr | (sym.isa == ST_ISA_T32);
		st_objects_free(objs);
	}
	return addr;
}

static void test_remote_call(void)
{
	struct target t = start("target", "blocked,vector,handler");
	unsigned long args[4] = {1, 2, 3, 4}, ret, add, crash, hang;
	struct st_proc *p;
	int i;

	NEED(!test_failed && !st_proc_open(t.pid, &p, err));
	add = symbol(p, "target_add");
	crash = symbol(p, "target_crash");
	hang = symbol(p, "target_hang");
	NEED(add && crash && hang);
	for (i = 0; i < 60 && !test_failed; i++) {
		struct st_remote *r;
		struct st_stop *s;

		NEED(!st_stop(p, 0, 10000, &s, err));
		NEED(!st_remote_begin(s, st_stop_thread(s, i % st_stop_count(s)), &r, err));
		ret = 0;
		CHECK(!st_remote_call(r, add, args, 4, &ret, 1000, err));
		CHECK(ret == 1234);
		if (i % 10 == 5) {
			CHECK(st_remote_call(r, crash, NULL, 0, &ret, 1000, err) == -EFAULT);
			CHECK(strstr(err, "crashed"));
		}
		if (i % 5 == 2)
			CHECK(st_remote_call(r, hang, NULL, 0, &ret, 20, err) == -ETIMEDOUT);
		CHECK(remote_getpid(r) == t.pid);
		args[3] = 4;
		CHECK(!st_remote_call(r, add, args, 4, &ret, 1000, err) && ret == 1234);
		CHECK(!st_remote_end(r));
		CHECK(!st_resume(s, NULL));
	}
	CHECK(answers(&t));
	st_proc_close(p);
	CHECK(finish(&t));
}

static void test_remote_files(void)
{
	struct target t = start("target", "busy");
	struct st_remote *r;
	struct st_stop *s;
	struct st_proc *p;
	unsigned long addr = 0, text;
	char path[64], word[6] = "";
	int fd, here;

	NEED(!test_failed && !st_proc_open(t.pid, &p, err) && !st_stop(p, 0, 10000, &s, err));
	NEED(!st_remote_begin(s, NULL, &r, err));
	fd = st_remote_open(r, "/no/such/file", O_RDONLY, 0);
	CHECK(fd == -ENOENT);
	fd = st_remote_memfd(r, "sidetrack-test", 0);
	CHECK(fd > 2);
	CHECK(!st_remote_ftruncate(r, fd, 8192));
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", t.pid, fd);
	here = open(path, O_RDWR);
	CHECK(here >= 0 && pwrite(here, "hello", 6, 5000) == 6);
	close(here);
	CHECK(!st_remote_mmap(r, &addr, 8192, PROT_READ, MAP_PRIVATE, fd, 0));
	CHECK(!st_mem_read(p, addr + 5000, word, 6) && !strcmp(word, "hello"));
	CHECK(!st_remote_munmap(r, addr, 8192));
	CHECK(!st_remote_close(r, fd));
	text = symbol(p, "target_add");
	CHECK(!st_remote_area(r, 100000, text, text + 4096, 1ul << 24, PROT_READ | PROT_EXEC, &addr,
			      err));
	CHECK(addr + 100000 < text + (1ul << 24) && addr + (1ul << 24) > text + 4096);
	CHECK(!st_mem_write(p, addr, "code", 4));
	CHECK(!st_remote_munmap(r, addr, (100000 + 4095) & ~4095ul));
	CHECK(!st_remote_end(r));
	CHECK(!st_resume(s, NULL));
	CHECK(answers(&t));
	st_proc_close(p);
	CHECK(finish(&t));
}

/* ---- loading */

static char *slurp(const char *path, size_t *len)
{
	struct stat st;
	int fd = open(path, O_RDONLY);
	char *buf;

	if (fd < 0 || fstat(fd, &st))
		return NULL;
	*len = st.st_size;
	buf = malloc(*len);
	if (read(fd, buf, *len) != (ssize_t)*len)
		return NULL;
	close(fd);
	return buf;
}

/* No memory is writable and executable; is something of this name mapped? */
static bool check_maps(struct st_proc *p, const struct st_loaded *l, const char *path, bool *named)
{
	struct st_maps *maps;
	size_t i;
	bool ok = true;

	*named = false;
	if (st_maps_read(p, &maps, err))
		return false;
	for (i = 0; i < maps->n; i++) {
		const struct st_map *m = &maps->map[i];

		if ((m->prot & (PROT_WRITE | PROT_EXEC)) == (PROT_WRITE | PROT_EXEC))
			ok = false;
		if (!strcmp(m->path, path))
			*named = true;
		if (l && m->start >= l->lo && m->end <= l->hi && m->prot & PROT_EXEC &&
		    m->prot & PROT_WRITE)
			ok = false;
	}
	st_maps_free(maps);
	return ok;
}

static void loads(const char *program, bool want_named)
{
	struct target t = start(program, "malloc,printf,nanosleep");
	struct st_resolver resolver = {0};
	struct st_load_opts opts = {.size = sizeof(opts)};
	struct st_objects *objs;
	char path[512], *image;
	struct st_proc *p;
	size_t len;
	int i;

	NEED(!test_failed);
	snprintf(path, sizeof(path), "%s/loadme.so", dir);
	image = slurp(path, &len);
	NEED(image && !st_proc_open(t.pid, &p, err) && !st_objects_read(p, &objs, err));
	for (i = 0; i < 20 && !test_failed; i++) {
		unsigned long args[2] = {5, 3}, fn = 0, ret = 0;
		struct st_loaded l;
		struct st_remote *r;
		struct st_stop *s;
		bool named;

		NEED(!st_stop(p, 0, 10000, &s, err) && !st_remote_begin(s, NULL, &r, err));
		resolver = (struct st_resolver){objs, r};
		opts.resolve = st_resolve_with_objects;
		opts.ctx = &resolver;
		opts.path = i % 2 ? path : NULL;
		opts.near = objs->object[0].lo;
		opts.near_end = objs->object[0].hi;
		opts.reach = 1ul << (sizeof(long) == 8 ? 30 : 27);
		NEED(!st_load(r, image, len, &opts, &l, err));
		CHECK(l.named == (i % 2 && want_named));
		CHECK(l.lo + opts.reach >= opts.near_end && l.hi <= opts.near + opts.reach);
		CHECK(check_maps(p, &l, path, &named));
		CHECK(named == l.named);
		NEED(!st_image_symbol(image, len, l.bias, "loaded_main", &fn));
		CHECK(!st_remote_call(r, fn, args, 2, &ret, 1000, err));
		CHECK(ret == 5347);
		CHECK(!st_remote_call(r, fn, args, 2, &ret, 1000, err) && ret == 5347);
		CHECK(!st_unload(r, &l));
		CHECK(check_maps(p, NULL, path, &named) && !named);
		opts.resolve = NULL;
		CHECK(st_load(r, image, len, &opts, &l, err) == -ENOENT);
		CHECK(!st_remote_end(r));
		CHECK(!st_resume(s, NULL));
	}
	st_objects_free(objs);
	st_proc_close(p);
	free(image);
	CHECK(answers(&t));
	CHECK(finish(&t));
}

static void test_load(void)
{
	loads("target", true);
}

/* Any byte of the file may be wrong: a sentence, and nothing left mapped. */
static void test_load_damaged(void)
{
	struct target t = start("target", "");
	struct st_load_opts opts = {.size = sizeof(opts), .resolve = st_resolve_with_objects};
	struct st_resolver resolver;
	struct st_objects *objs;
	char path[512], *image, *bad;
	unsigned int seed = 3, loaded = 0;
	struct st_remote *r;
	struct st_stop *s;
	struct st_proc *p;
	size_t len;
	int i, j;

	NEED(!test_failed);
	snprintf(path, sizeof(path), "%s/loadme.so", dir);
	image = slurp(path, &len);
	NEED(image && !st_proc_open(t.pid, &p, err) && !st_objects_read(p, &objs, err));
	bad = malloc(len);
	NEED(!st_stop(p, 0, 10000, &s, err) && !st_remote_begin(s, NULL, &r, err));
	resolver = (struct st_resolver){objs, r};
	opts.ctx = &resolver;
	for (i = 0; i < scaled(1500) && !test_failed; i++) {
		size_t n = i % 5 ? len : rand_r(&seed) % len, limit = i % 2 ? 4096 : len;
		struct st_loaded l;
		unsigned long fn;
		int ret;

		memcpy(bad, image, len);
		for (j = 0; j <= i % 4; j++)
			bad[rand_r(&seed) % (i % 3 ? limit : 1024)] = rand_r(&seed);
		*err = '\0';
		ret = st_load(r, bad, n, &opts, &l, err);
		st_image_symbol(bad, n, 0, "loaded_main", &fn);
		if (!ret) {
			loaded++;
			CHECK(!st_unload(r, &l));
		} else {
			CHECK(ret < 0 && *err);
		}
	}
	printf("  %u of %d damaged files could be loaded\n", loaded, i);
	CHECK(!st_remote_end(r));
	CHECK(!st_resume(s, NULL));
	st_objects_free(objs);
	st_proc_close(p);
	free(image);
	free(bad);
	CHECK(answers(&t));
	CHECK(finish(&t));
}

/* ---- where threads are */

static void test_scan(void)
{
	struct target t = start("target", "pause,vector,mask");
	struct st_objects *objs;
	struct st_symbol pausing, vector, never;
	struct st_proc *p;
	int i, vectors = 0, seen = 0;

	NEED(!test_failed && !st_proc_open(t.pid, &p, err) && !st_objects_read(p, &objs, err));
	NEED(!st_object_symbol(&objs->object[0], "do_pause", NULL, &pausing));
	NEED(!st_object_symbol(&objs->object[0], "do_vector", NULL, &vector));
	NEED(!st_object_symbol(&objs->object[0], "do_semop", NULL, &never));
	for (i = 0; i < 20 || (!seen && i < 2000); i++) {
		struct st_range r[2] = {{pausing.addr, pausing.addr + pausing.size},
					{vector.addr, vector.addr + vector.size}};
		struct st_range no = {never.addr, never.addr + never.size};
		size_t j, pauses = 0;
		struct st_stop *s;
		struct st_hit hit;

		NEED(!st_stop(p, 0, 10000, &s, err));
		for (j = 0; j < st_stop_count(s); j++) {
			struct st_thread *th = st_stop_thread(s, j);

			/* In do_pause: its address is on the stack, the thread itself is in libc.
			 */
			pauses += st_scan(th, r, 1, &hit) == 1 && hit.where &&
				  hit.tid == st_thread_tid(th);
			vectors += st_scan(th, r + 1, 1, &hit) == 1;
			CHECK(st_scan(th, &no, 1, NULL) == 0);
		}
		/* It may not have come there at first. */
		seen |= pauses == 1;
		CHECK(pauses == 1 || !seen);
		CHECK(!st_resume(s, NULL));
		usleep(1000);
	}
	CHECK(seen && vectors > 10);
	st_objects_free(objs);
	st_proc_close(p);
	CHECK(finish(&t));
}

/* ---- memory */

static void test_edit(void)
{
	struct target t = start("target", "");
	size_t page = sysconf(_SC_PAGESIZE), i, n = 0;
	uint8_t *want = malloc(4 * page), *have = malloc(4 * page), *was = malloc(4 * page);
	struct st_edit edits[300];
	struct st_objects *objs;
	struct st_proc *p;
	unsigned long text;
	unsigned int seed = 1;

	NEED(!test_failed && !st_proc_open(t.pid, &p, err) && !st_objects_read(p, &objs, err));
	/* A library's text: nobody is in it. */
	for (i = 0; i < objs->n && strncmp(objs->object[i].name, "libc", 4); i++)
		;
	NEED(i < objs->n);
	text = st_object_text(&objs->object[i], &n)[0].lo & ~(page - 1);
	text += 4 * page;
	NEED(!st_mem_read(p, text, was, 4 * page));
	memcpy(want, was, 4 * page);
	n = 0;
	for (i = 3; i + ST_EDIT_MAX < 4 * page && n < 300; i += 20 + rand_r(&seed) % 60) {
		struct st_edit *e = &edits[n++];
		unsigned int j;

		e->addr = text + i;
		e->len = 1 + rand_r(&seed) % ST_EDIT_MAX;
		for (j = 0; j < e->len; j++)
			want[i + j] = e->bytes[j] = rand_r(&seed);
	}
	/* One across pages, and not in order. */
	edits[0].addr = text + page - 3;
	memset(want, 0, 0);
	memcpy(want, was, page);
	for (i = 1; i < n; i++)
		if (edits[i].addr < text + page + 16)
			edits[i--] = edits[--n];
	memcpy(want, was, 4 * page);
	edits[0].len = 16;
	for (i = 0; i < n; i++)
		memcpy(want + (edits[i].addr - text), edits[i].bytes, edits[i].len);
	CHECK(!st_mem_edit(p, edits, n, err));
	CHECK(!st_mem_read(p, text, have, 4 * page) && !memcmp(want, have, 4 * page));
	CHECK(!st_mem_write(p, text, was, 4 * page));
	/* One that can't be written: those before it are undone. */
	edits[0] = (struct st_edit){text + 8, 4, "abcd"};
	edits[1] = (struct st_edit){text + 16, 4, "abcd"};
	edits[2] = (struct st_edit){page, 4, "abcd"};
	edits[2].addr = ~0ul - 2 * page;
	CHECK(st_mem_edit(p, edits, 3, err) < 0);
	CHECK(!st_mem_read(p, text, have, 4 * page) && !memcmp(was, have, 4 * page));
	edits[1].addr = text + 10;
	CHECK(st_mem_edit(p, edits, 2, err) == -EINVAL);
	st_objects_free(objs);
	st_proc_close(p);
	free(want);
	free(have);
	free(was);
	CHECK(finish(&t));
}

/* ---- killed at any moment */

/* What is killed: attaches for ever. */
static void attach_for_ever(pid_t pid, unsigned int flags, unsigned long add)
{
	unsigned long args[4] = {1, 2, 3, 4}, ret;
	struct st_proc *p;
	unsigned int i;

	if (st_proc_open(pid, &p, err))
		_exit(1);
	for (i = 0;; i++) {
		struct st_remote *r;
		struct st_stop *s;
		unsigned long addr = 0;

		if (st_stop(p, flags, 20000, &s, err) ||
		    st_remote_begin(s, st_stop_thread(s, i % st_stop_count(s)), &r, err)) {
			printf("  the killed one: %s\n", err);
			_exit(1);
		}
		st_remote_mmap(r, &addr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);
		remote_getpid(r);
		if (add && st_remote_call(r, add, args, 4, &ret, 1000, err))
			_exit(1);
		st_remote_munmap(r, addr, 4096);
		st_remote_end(r);
		st_resume(s, NULL);
	}
}

static void kills(const char *program, const char *mode, int count, bool call)
{
	struct target t = start(program, mode);
	unsigned int seed = 7;
	unsigned long add = 0;
	struct st_remote *r;
	struct st_stop *s;
	struct st_proc *p;
	int i, early = 0;

	NEED(!test_failed && !st_proc_open(t.pid, &p, err));
	if (call)
		add = symbol(p, "target_add");
	st_proc_close(p);
	for (i = 0; i < count && !test_failed; i++) {
		pid_t child = fork();
		int status;

		if (!child)
			attach_for_ever(t.pid, i % 2 ? ST_STOP_ONE : 0, add);
		usleep(rand_r(&seed) % (getenv("SIDETRACK_VM") ? 60000 : 6000));
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		/* It must have been the kill that ended it. */
		if (!WIFSIGNALED(status))
			early++;
		if (i % 10 == 9)
			CHECK(answers(&t));
	}
	CHECK(!early);
	CHECK(answers(&t));
	/* And a later one works. */
	if (test_failed)
		say_status(&t);
	NEED(!st_proc_open(t.pid, &p, err) && !st_stop(p, 0, 10000, &s, err) &&
	     !st_remote_begin(s, NULL, &r, err));
	CHECK(remote_getpid(r) == t.pid);
	CHECK(!st_remote_end(r));
	CHECK(!st_resume(s, NULL));
	/* What the killed ones left has been cleaned up. */
	CHECK(is_as_its_files(p));
	st_proc_close(p);
	CHECK(finish(&t));
}

static void test_kill_blocked(void)
{
	/* Not futex: syscall(2) leaves no trace of which call is to be restarted
	 * (st_arch_restarted()). */
	kills("target", "poll,select,nanosleep,clock_nanosleep,sem_timed,malloc,vector", 150,
	      false);
}

static void test_kill_busy(void)
{
	kills("target", "busy", 150, false);
}

static void test_kill_call(void)
{
	kills("target", "vector,handler,malloc,mask", 150, true);
}

static void test_kill_static(void)
{
	const char *program = static_target();

	if (program)
		kills(program, "busy", 60, false);
}

static const struct test {
	const char *name;
	void (*fn)(void);
} tests[] = {
	{"open", test_open},
	{"open-no-such-process", test_no_such},
	{"open-zombie", test_zombie},
	{"open-kernel-thread", test_kernel_thread},
	{"open-traced", test_traced},
	{"open-not-mine", test_not_mine},
	{"open-other-architecture", test_other_arch},
	{"objects", test_objects},
	{"objects-deleted", test_deleted},
	{"edit", test_edit},
	{"stop-blocked", test_stop_blocked},
	{"stop-busy", test_stop_busy},
	{"stop-mask", test_stop_mask},
	{"stop-trap", test_stop_trap},
	{"stop-static", test_stop_static},
	{"stop-group-stop", test_group_stop},
	{"stop-vfork", test_vfork},
	{"stop-many", test_many},
	{"stop-exec", test_exec},
	{"stop-no-leader", test_no_leader},
	{"stop-signals", test_signals},
	{"stop-target-dies", test_target_dies},
	{"remote-idle", test_remote_idle},
	{"remote-blocked", test_remote_blocked},
	{"remote-busy", test_remote_busy},
	{"remote-one", test_remote_one},
	{"remote-mask", test_remote_mask},
	{"remote-vector", test_remote_vector},
	{"remote-static", test_remote_static},
	{"remote-seccomp", test_remote_seccomp},
	{"remote-call", test_remote_call},
	{"remote-files", test_remote_files},
	{"load", test_load},
	{"load-damaged", test_load_damaged},
	{"scan", test_scan},
	{"kill-blocked", test_kill_blocked},
	{"kill-busy", test_kill_busy},
	{"kill-call", test_kill_call},
	{"kill-static", test_kill_static},
};

int main(int argc, char **argv)
{
	size_t i;
	int j;

	if (argc > 1 && !strcmp(argv[1], "--user")) {
		argv++;
		argc--;
		if (!geteuid() && (setgid(65534) || setuid(65534)))
			return 2;
		if (argc > 1 && access(argv[1], X_OK)) {
			printf("another user can't look into %s\n", argv[1]);
			return 77;
		}
	}
	if (argc < 2) {
		fprintf(stderr, "usage: attach [--user] DIR [TEST...]\n");
		return 2;
	}
	dir = argv[1];
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		unsigned int skips = skipped;
		double begun = now();
		bool want = argc == 2;

		for (j = 2; j < argc; j++)
			want |= !strncmp(tests[i].name, argv[j], strlen(argv[j]));
		if (!want)
			continue;
		test_name = tests[i].name;
		test_failed = false;
		*err = '\0';
		tests[i].fn();
		printf("%s %s (%.1f s)\n",
		       test_failed	 ? "FAIL"
		       : skipped > skips ? "skip"
					 : "ok  ",
		       test_name, now() - begun);
		if (test_failed)
			failed++;
		else if (skipped == skips)
			passed++;
	}
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed != 0;
}
