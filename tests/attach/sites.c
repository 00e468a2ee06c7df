// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sites at every instruction of a running program, by the session's own interface: one at a time, all at once, overlapping ones
 * included; with a SIGTRAP handler of the program's own; with return probes; put in and taken out while threads hammer them; and
 * the tool killed meanwhile. The program (tests/programs/anywhere.c) checks itself, and must end as it would have.
 *
 *	sites PROGRAM TEST
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <process/session.h>

static unsigned int passed, failed;
static char err[ST_ERR_MAX];

static void __attribute__((format(printf, 2, 3))) check(bool ok, const char *fmt, ...)
{
	va_list ap;

	if (ok) {
		passed++;
		return;
	}
	failed++;
	va_start(ap, fmt);
	fputs("failed: ", stdout);
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
}

static void nap(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* ---- the program */

static pid_t target;
static int door, out;

static bool start(const char *program, const char *threads, const char *how, const char *more)
{
	int in[2], from[2];
	char line[16] = "";

	if (pipe(in) || pipe(from))
		return false;
	target = fork();
	if (!target) {
		dup2(in[0], 0);
		dup2(from[1], 1);
		for (int fd = 3; fd < 64; fd++)
			close(fd);
		execl(program, program, threads, how, more, NULL);
		_exit(127);
	}
	close(in[0]);
	close(from[1]);
	door = in[1];
	out = from[0];
	return read(out, line, sizeof(line) - 1) > 0 && !strncmp(line, "ready", 5);
}

static bool alive(void)
{
	siginfo_t info = { 0 };

	return !waitid(P_PID, (id_t)target, &info, WEXITED | WNOHANG | WNOWAIT) && !info.si_pid;
}

static void end(const char *what)
{
	char said[64] = "";
	unsigned long rounds = 0;
	int status = -1;

	close(door);
	if (read(out, said, sizeof(said) - 1) < 0)
		said[0] = '\0';
	waitpid(target, &status, 0);
	close(out);
	check(WIFEXITED(status) && !WEXITSTATUS(status), "%s: the program ended with %#x", what, status);
	check(sscanf(said, "ok %lu", &rounds) == 1 && rounds > 0, "%s: the program said '%s'", what, said);
	target = 0;
}

/* ---- its places */

#define FUNCS 64

static struct st_fn func[FUNCS];
static size_t nfunc;

static const char *const wanted[] = {
	"short_loop", "jump_table", "red_zone", "recursion", "floating", "strings", "by_pointer", "conditions", "indirect",
};

static void find_functions(struct st_session *s)
{
	struct st_objects *objs;
	const struct st_func *f;
	size_t n;

	nfunc = 0;
	if (st_objects_read(st_session_proc(s), &objs, err))
		return;
	f = st_object_functions(&objs->object[0], &n);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < sizeof(wanted) / sizeof(wanted[0]); k++)
			if (!strcmp(f[i].name, wanted[k]) && nfunc < FUNCS)
				func[nfunc++] = (struct st_fn){ .addr = f[i].addr, .size = f[i].size, .room = f[i].room,
								.isa = f[i].isa, .name = wanted[k] };
	st_objects_free(objs);
}

/* Where instructions can begin. */
static unsigned int step(const struct st_fn *fn)
{
#if defined(__x86_64__)
	(void)fn;
	return 1;
#else
	return fn->isa == ST_ISA_T32 ? 2 : 4;
#endif
}

/* ---- hooks that count */

static const struct st_ctl *shared;

static unsigned long hits(const struct st_ctl_probe *p)
{
	return (unsigned long)st_ctl_hits(shared, p->index);
}

static struct st_ctl_probe *take(struct st_session *s, unsigned int i)
{
	struct st_ctl *ctl = st_session_ctl(s);
	struct st_ctl_probe *p = &ctl->probe_rec[i];

	memset(p, 0, sizeof(*p));
	shared = ctl;
	p->index = i;
	p->hits -= st_ctl_hits(ctl, i);	/* what earlier ones left in the columns */
	p->owner = 0;	/* an orphan, should we be killed */
	p->flags = ST_PROBE_COUNT_ONLY;
	p->hook.size = sizeof(p->hook);
	p->hook.func = (st_hook_fn)(unsigned long)ctl->probe;
	p->hook.data = (void *)(unsigned long)(ctl->self + offsetof(struct st_ctl, probe_rec) + i * sizeof(*p));
	p->hook.flags = ST_HOOK_GENERAL_REGS;
	snprintf(p->name, sizeof(p->name), "p%u", i);
	__atomic_store_n(&p->state, ST_PROBE_ON, __ATOMIC_RELEASE);
	return p;
}

static unsigned long kinds[ST_KIND_NO + 1], sites, hit;

static void count(const struct st_fn *fn, const struct st_ctl_probe *p)
{
	kinds[fn->why ? ST_KIND_NO : fn->kind]++;
	sites += !fn->why;
	hit += p && hits(p) != 0;
}

/* With breakpoints everywhere, and on a busy machine, it may take its time. */
static void wait_hits(const struct st_ctl_probe *p, unsigned long n)
{
	for (int i = 0; i < 1000 && hits(p) < n && alive(); i++)
		nap(10);
}

static bool as_file(struct st_session *s, const char *what)
{
	unsigned long bytes;
	unsigned int objects;
	long differ = st_session_compare(s, &bytes, &objects);

	check(!differ && bytes, "%s: %ld bytes of code differ", what, differ);
	return !differ;
}

static struct st_session *attach(void)
{
	struct st_session *s = NULL;
	int ret = st_session_open(target, true, &s, err);

	check(!ret, "attach: %s", ret ? err : "");
	if (!ret)
		find_functions(s);
	return ret ? NULL : s;
}

static void detach(struct st_session *s, const char *what)
{
	int ret = st_session_detach(s);

	check(!ret, "%s: detach: %s", what, ret ? st_session_error(s) : "");
	as_file(s, what);
	st_session_close(s);
}

static void report(const char *what)
{
	printf("%s: %lu sites (%lu nop, %lu move, %lu breakpoint), %lu refused, %lu were hit\n", what, sites, kinds[ST_KIND_NOP],
	       kinds[ST_KIND_MOVE], kinds[ST_KIND_BREAKPOINT], kinds[ST_KIND_NO], hit);
	check(sites > 50, "%s: only %lu sites", what, sites);
	memset(kinds, 0, sizeof(kinds));
	sites = hit = 0;
}

/* Every instruction, one at a time. */
static void one_at_a_time(const char *program)
{
	struct st_session *s;
	unsigned long unhit = 0;

	if (!start(program, "1", NULL, NULL) || !(s = attach()))
		return;
	for (size_t k = 0; k < nfunc; k += getenv("SIDETRACK_VM") ? 2 : 1) {
		for (unsigned long off = 0; off < func[k].size && alive(); off += step(&func[k])) {
			struct st_ctl_probe *p = take(s, 0);
			struct st_fn fn = func[k];
			int ret;

			fn.offset = off;
			ret = st_session_hook(s, &p->hook, &fn, 1, ST_SESSION_ANY);
			check(ret >= 0, "%s+%#lx: %s", fn.name, off, ret < 0 ? st_session_error(s) : "");
			for (int i = 0; ret > 0 && !hits(p) && i < 20; i++)
				nap(1);
			ret = st_session_unhook(s, &p->hook);
			check(!ret, "%s+%#lx: off: %s", fn.name, off, ret ? st_session_error(s) : "");
			unhit += !fn.why && !hits(p);
			count(&fn, p);
		}
	}
	check(alive(), "the program has died");
	as_file(s, "one at a time");
	report("one at a time");
	/* What no input leads to: few. */
	check(unhit < 60, "%lu sites were not hit", unhit);
	detach(s, "one at a time");
	end("one at a time");
}

/* All of them at once, in the order @step leads through them, then off in another one. */
static void all_at_once(const char *program, const char *how, const char *more, unsigned int rounds)
{
	static struct st_fn fn[1 << 14];
	struct st_session *s;

	if (!start(program, "2", how, more) || !(s = attach()))
		return;
	for (unsigned int round = 0; round < rounds && alive(); round++) {
		unsigned int n = 0, used = 0;

		for (size_t k = 0; k < nfunc; k++)
			for (unsigned long off = 0; off < func[k].size && n < 1 << 14; off += step(&func[k])) {
				fn[n] = func[k];
				fn[n++].offset = off;
			}
		/* Forwards, backwards, from the middle: each leads to other overlaps. */
		for (unsigned int i = 0; i < n && used < 8 && alive(); i += (n + 7) / 8, used++) {
			struct st_ctl_probe *p = take(s, used);
			unsigned int m = n - i < (n + 7) / 8 ? n - i : (n + 7) / 8, at = round % 2 ? n - i - m : i;
			int ret = st_session_hook(s, &p->hook, fn + at, m, ST_SESSION_ANY);

			check(ret >= 0, "all at once: %s", ret < 0 ? st_session_error(s) : "");
		}
		for (unsigned int i = 0; i < n; i++)
			count(&fn[i], NULL);
		for (unsigned int i = 0; i < used; i++) {
			struct st_ctl_probe *p = &st_session_ctl(s)->probe_rec[i];

			wait_hits(p, 1);
			check(hits(p) > 0, "all at once: part %u was never hit", i);
			check(!st_session_unhook(s, &p->hook), "all at once: off: %s", st_session_error(s));
			p->state = ST_PROBE_FREE;
		}
		as_file(s, "all at once");
	}
	check(alive(), "the program has died");
	report("all at once");
	detach(s, "all at once");
	end("all at once");
}

/* Every place for itself, in an order that makes jumps give way to others. */
static void overlapping(const char *program)
{
	bool emulated = getenv("SIDETRACK_VM") != NULL, longer = getenv("SIDETRACK_LONG") != NULL;
	struct st_session *s;

	if (!start(program, "2", "signals", NULL) || !(s = attach()))
		return;
	/* Emulated, each stop takes its time, and threads in breakpoints take all the rest: each function in one order only. */
	for (int order = 0; order < 3; order++) {
		unsigned int n = 0;

		for (size_t k = (size_t)order; k < nfunc; k += emulated ? 3 : 1) {
			if (emulated && !longer && func[k].size / step(&func[k]) > 100)
				continue;
			for (unsigned long i = 0; i < func[k].size && n < ST_PROBES_MAX && alive(); i += step(&func[k])) {
				unsigned long off = order == 0 ? i : order == 1 ? func[k].size - step(&func[k]) - i :
							      (i * 7919) % func[k].size;
				struct st_ctl_probe *p = take(s, n);
				struct st_fn fn = func[k];
				int ret;

				fn.offset = off;
				ret = st_session_hook(s, &p->hook, &fn, 1, ST_SESSION_ANY);
				check(ret >= 0, "overlapping: %s+%#lx: %s", fn.name, off, ret < 0 ? st_session_error(s) : "");
				count(&fn, NULL);
				n += ret > 0;
			}
			/* And off, in the order they came. */
			for (unsigned int i = 0; i < n; i++)
				if (st_session_unhook(s, &st_session_ctl(s)->probe_rec[i].hook))
					check(false, "overlapping: off: %s", st_session_error(s));
			n = 0;
		}
		as_file(s, "overlapping");
	}
	check(alive(), "the program has died");
	report("overlapping");
	detach(s, "overlapping");
	end("overlapping");
}

/* Returns, of functions that run just then, with probes in them; detached while they are pending. */
static void returns(const char *program)
{
	for (int round = 0; round < 6; round++) {
		struct st_session *s;
		struct st_ctl_probe *r, *p, *e;
		struct st_fn fn[FUNCS];
		unsigned int n = 0;
		int ret;

		if (!start(program, "2", "signals", NULL) || !(s = attach()))
			return;
		memcpy(fn, func, sizeof(fn));
		r = take(s, 0);
		ret = st_session_hook(s, &r->hook, fn, nfunc, ST_SESSION_ANY | ST_SESSION_RETURN);
		check(ret == (int)nfunc, "returns: %d of %zu functions: %s", ret, nfunc, ret < 0 ? st_session_error(s) : fn[0].why ?: "");
		if (round & 1) {
			/* Behind the entry, so that the entry's jump gives way; and at the entry, before what follows the return. */
			p = take(s, 1);
			for (size_t k = 0; k < nfunc; k++)
				for (unsigned long off = step(&func[k]); off < 8 && n < FUNCS; off += step(&func[k])) {
					fn[n] = func[k];
					fn[n++].offset = off;
				}
			ret = st_session_hook(s, &p->hook, fn, n, ST_SESSION_ANY);
			check(ret > 0, "returns: places: %s", ret < 0 ? st_session_error(s) : "none");
			e = take(s, 2);
			memcpy(fn, func, sizeof(fn));
			ret = st_session_hook(s, &e->hook, fn, nfunc, ST_SESSION_ANY);
			check(ret == (int)nfunc, "returns: entries: %s", ret < 0 ? st_session_error(s) : "some are refused");
			wait_hits(e, 1);
			wait_hits(p, 1);
			check(hits(e) && hits(p), "returns: entries and places are not hit");
		}
		wait_hits(r, 101);
		check(hits(r) > 100, "returns: %lu hits", hits(r));
		if (round & 2) {
			ret = st_session_unhook(s, &r->hook);
			check(!ret, "returns: off: %s", ret ? st_session_error(s) : "");
		}
		detach(s, "returns");
		nap(20);
		check(alive(), "the program has died");
		end("returns");
	}
}

/* The program's own SIGTRAP, before, meanwhile and afterwards. */
static void own_trap(const char *program)
{
	all_at_once(program, "trap", "signals", 3);
	/* SIGTRAP blocked by a thread, and by a handler. */
	all_at_once(program, "masks", "signals", 2);
}

/* One tool after the other is killed at some moment of its work. */
static void killed(const char *program)
{
	bool longer = getenv("SIDETRACK_LONG") != NULL;
	int rounds = longer ? 1000 : getenv("SIDETRACK_VM") ? 15 : 60;
	struct st_session *s;

	if (!start(program, "2", "trap", "signals"))
		return;
	srand((unsigned int)getpid());
	for (int i = 0; i < rounds && alive(); i++) {
		pid_t tool = fork();

		if (!tool) {
			unsigned int seed = (unsigned int)getpid();
			int ret;

			if (st_session_open(target, true, &s, err))
				_exit(1);
			find_functions(s);
			if (!nfunc)
				_exit(1);
			st_session_reap(s);
			for (unsigned int n = 1;; n++) {
				struct st_ctl_probe *p = &st_session_ctl(s)->probe_rec[n % 64];
				struct st_fn fn[16];

				for (int k = 0; k < 16; k++) {
					fn[k] = func[(unsigned int)rand_r(&seed) % nfunc];
					fn[k].offset = (unsigned int)rand_r(&seed) % fn[k].size / step(&fn[k]) * step(&fn[k]);
				}
				ret = st_session_unhook(s, &p->hook);
				if (ret) {
					fprintf(stderr, "unhook: %d %s\n", ret, st_session_error(s));
					continue;
				}
				take(s, n % 64);
				ret = st_session_hook(s, &p->hook, fn, 16, ST_SESSION_ANY | (n % 5 ? 0 : ST_SESSION_RETURN));
				if (ret < 0)
					fprintf(stderr, "hook: %d %s\n", ret, st_session_error(s));
			}
		}
		nap((getenv("SIDETRACK_VM") ? 300 : 20) + rand() % 100);
		kill(tool, SIGKILL);
		waitpid(tool, NULL, 0);
		/* Everything out now and then, or left to the next one. */
		if (i % 4 == 3 && (s = attach()))
			detach(s, "killed");
	}
	check(alive(), "the program has died");
	s = attach();
	if (s)
		detach(s, "killed, at last");
	nap(50);
	end("killed");
}

int main(int argc, char **argv)
{
	static const struct test {
		const char *name;
		void (*run)(const char *program);
	} tests[] = {
		{ "one", one_at_a_time }, { "overlapping", overlapping }, { "returns", returns }, { "trap", own_trap },
		{ "killed", killed },
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; argc > 2 && i < sizeof(tests) / sizeof(tests[0]); i++)
		if (!strcmp(argv[2], tests[i].name))
			tests[i].run(argv[1]);
	if (target) {
		kill(target, SIGKILL);
		failed++;
		printf("failed: the test did not come to its end: %s\n", err);
	}
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0 || !passed;
}
