/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Each kind of evidence (process/evidence.h) on threads whose stacks are known (tests/programs/stack-cases.c), to be found and to be found
 * missing.
 *
 *	evidence PROGRAM [CASE...]	CASE: only cases whose name begins so
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <process/evidence.h>

static const char *program;
static unsigned int passed, failed, skipped;
static bool broken;		/* the case has failed */
static char err[ST_ERR_MAX];

#define CHECK(what, ...)                                                                          \
	do {                                                                                      \
		if (!(what)) {                                                                    \
			printf("  %s:%d: %s is not so: ", __FILE__, __LINE__, #what);             \
			printf(__VA_ARGS__);                                                      \
			putchar('\n');                                                            \
			broken = true;                                                            \
		}                                                                                 \
	} while (0)

/* ---- the program and what is known of it */

struct target {
	pid_t pid;
	int in, out;
	struct st_session *s;
	struct st_objects *objs;
	struct st_evidence *e;
};

static bool hears(struct target *t, const char *want)
{
	char line[32];
	size_t n = 0;

	while (n + 1 < sizeof(line)) {
		struct pollfd p = { t->out, POLLIN, 0 };

		if (poll(&p, 1, 60000) != 1 || read(t->out, line + n, 1) != 1 || line[n++] == '\n')
			break;
	}
	line[n] = '\0';
	return !strcmp(line, want);
}

static void goes_on(struct target *t)
{
	if (write(t->in, "x", 1) != 1)
		broken = true;
}

static bool find(struct target *t, const char *name, struct st_symbol *sym)
{
	return !st_object_symbol(&t->objs->object[0], name, NULL, sym);
}

static void look_anew(struct target *t, const char *function)
{
	struct st_symbol sym = { 0 };
	struct st_old old;

	CHECK(find(t, function, &sym), "%s", function);
	old = (struct st_old){ sym.addr, sym.addr + sym.size, function };
	st_evidence_close(t->e);
	t->e = NULL;
	CHECK(!st_evidence_open(t->s, &old, 1, &t->e, err), "%s", err);
}

static bool begin(struct target *t, const char *how, const char *function)
{
	int in[2], out[2];

	memset(t, 0, sizeof(*t));
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		exit(1);
	t->pid = fork();
	if (!t->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl(program, program, how, NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	t->in = in[1];
	t->out = out[0];
	CHECK(hears(t, "ready\n"), "the program's word");
	CHECK(!st_session_open(t->pid, true, &t->s, err), "%s", err);
	if (!t->s)
		return false;
	CHECK(!st_objects_read(st_session_proc(t->s), &t->objs, err), "%s", err);
	if (!t->objs)
		return false;
	look_anew(t, function);
	return !broken;
}

static void end(struct target *t)
{
	st_evidence_close(t->e);
	st_objects_free(t->objs);
	st_session_close(t->s);
	close(t->in);
	close(t->out);
	kill(t->pid, SIGKILL);
	waitpid(t->pid, NULL, 0);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* One look at all threads: the last one that is not clean decides. And at parked stacks, if @parked. */
static int look(struct target *t, bool parked, struct st_busy *why)
{
	struct st_busy one;
	struct st_stop *stop;
	int ret = 0;

	memset(why, 0, sizeof(*why));
	if (st_stop(st_session_proc(t->s), 0, 10000, &stop, err)) {
		CHECK(false, "%s", err);
		return -ESRCH;
	}
	for (size_t i = 0; i < st_stop_count(stop); i++) {
		int got = st_evidence_check(t->e, st_stop_thread(stop, i), &one);

		if (got)
			*why = one;
		ret = got ? got : ret;
		CHECK(!got || one.text[0], "a sentence");
	}
	if (parked && !ret)
		ret = st_evidence_parked(t->e, stop, why);
	st_resume(stop, NULL);
	return ret;
}

/*
 * Looks and thinks until it is as wanted, for a thread may not wait yet. Return: the last look.
 */
static int look_for(struct target *t, int want, enum st_busy_how how, bool parked, struct st_busy *why)
{
	double until = now() + 30;
	int ret;

	do {
		ret = look(t, parked, why);
		if (ret == want && (!want || why->how == how))
			break;
		st_evidence_think(t->e);
		usleep(2000);
	} while (now() < until && !broken);
	return ret;
}

static void must_be(struct target *t, int want, enum st_busy_how how, bool parked)
{
	struct st_busy why;
	int ret = look_for(t, want, how, parked, &why);

	CHECK(ret == want && (!want || why.how == how), "%d, %d: %s", ret, (int)why.how, why.text);
	if (want > 0 && how != ST_BUSY_STUB)
		CHECK(!strncmp(why.function, "old", 3) && strstr(why.text, why.function), "'%s': %s", why.function, why.text);
	if (getenv("VERBOSE"))
		printf("  %d %d: %s\n", ret, (int)why.how, why.text);
}

/* It stays so, however long it is thought. */
static void stays(struct target *t, enum st_busy_how how, const char *text)
{
	struct st_busy why;

	for (int i = 0; i < 20; i++) {
		int ret = look(t, false, &why);

		CHECK(ret == 1 && why.how == how, "%d, %d: %s", ret, (int)why.how, why.text);
		st_evidence_think(t->e);
		usleep(2000);
	}
	CHECK(strstr(why.text, text), "%s", why.text);
	if (getenv("VERBOSE"))
		printf("  %s\n", why.text);
}

/* ---- cases: old() is on the stack, then it is not */

/* After old() has returned: its words may be there, but no frame is. */
static void must_get_out(struct target *t, bool parked)
{
	goes_on(t);
	CHECK(hears(t, "out\n"), "the program's word");
	must_be(t, 0, 0, parked);
}

static void test_frame(const char *how)
{
	struct target t;

	if (begin(&t, how, "old")) {
		struct st_busy why;

		CHECK(look(&t, false, &why) == 1 && why.how == ST_BUSY_WORD, "%s", why.text);
		must_be(&t, 1, ST_BUSY_FRAME, false);
		CHECK(look(&t, false, &why) == 1 && why.frame >= 3, "%s", why.text);
		must_get_out(&t, false);
	}
	end(&t);
}

static void set_leave(struct target *t)
{
	struct st_symbol leave;
	int yes = 1;

	CHECK(find(t, "leave", &leave) && !st_mem_write(st_session_proc(t->s), leave.addr, &yes, sizeof(yes)), "leave");
	CHECK(hears(t, "out\n"), "the program's word");
	must_be(t, 0, 0, true);
}

static void test_pc(const char *how)
{
	struct target t;

	if (begin(&t, how, "old")) {
		must_be(&t, 1, ST_BUSY_PC, false);
		set_leave(&t);
	}
	end(&t);
}

/* The return address is in lr and nowhere else. */
static void test_leaf(const char *how)
{
#if defined(__x86_64__)
	(void)how;
	printf("skipped: a call on x86-64 puts its return address on the stack\n");
	skipped++;
#else
	struct target t;

	if (begin(&t, how, "old_asm")) {
		must_be(&t, 1, ST_BUSY_WORD, false);
		stays(&t, ST_BUSY_WORD, "one of its registers");
		set_leave(&t);
	}
	end(&t);
#endif
}

/* Words lead there and no frame does. */
static void test_stale(const char *how)
{
	struct target t;

	if (begin(&t, how, "old")) {
		struct st_busy why;

		CHECK(look(&t, false, &why) == 1 && why.how == ST_BUSY_WORD, "%s", why.text);
		must_be(&t, 0, 0, false);
		/* And once more without thinking: it stands as it did. */
		CHECK(look(&t, false, &why) == 0, "%s", why.text);
		must_get_out(&t, false);
	}
	end(&t);
}

/* Words and no frame, then a frame: what was found out about the first says nothing about the second. */
static void test_again(const char *how)
{
	struct target t;

	if (begin(&t, how, "old")) {
		struct st_busy why;

		must_be(&t, 0, 0, false);
		goes_on(&t);
		CHECK(hears(&t, "ready\n"), "the program's word");
		CHECK(look(&t, false, &why) == 1, "%s", why.text);
		must_be(&t, 1, ST_BUSY_FRAME, false);
		must_get_out(&t, false);
	}
	end(&t);
}

/* Old code has run, and a handler of something else runs now. */
static void test_clean(const char *how)
{
	struct target t;

	if (begin(&t, how, "old")) {
		must_be(&t, 0, 0, false);
		must_get_out(&t, false);
	}
	end(&t);
}

/* It can't be known: it stays busy. */
static void test_unknown(const char *how)
{
	struct target t;

	if (begin(&t, how, "old"))
		stays(&t, ST_BUSY_WORD, "can't be unwound");
	end(&t);
}

/* Without frame descriptions, and without coroutines: nothing parked is looked for. */
static void test_untold(const char *how)
{
	struct target t;

	if (begin(&t, how, "old")) {
		struct st_stop *stop;

		stays(&t, ST_BUSY_WORD, "can't be unwound");
		CHECK(!st_evidence_coroutines(t.e), "coroutines");
		CHECK(!st_stop(st_session_proc(t.s), 0, 10000, &stop, err), "%s", err);
		CHECK(!st_evidence_parked(t.e, stop, NULL), "parked");
		st_resume(stop, NULL);
		must_get_out(&t, false);
	}
	end(&t);
}

static void test_large(const char *how)
{
	struct target t;

	if (begin(&t, how, "old")) {
		struct st_busy why;

		/* More stack than is looked at; what is below was not. */
		for (int i = 0; i < 10; i++) {
			int ret = look(&t, false, &why);

			CHECK(ret == -E2BIG && why.how == ST_BUSY_UNKNOWN, "%d, %s", ret, why.text);
			st_evidence_think(t.e);
			usleep(2000);
		}
	}
	end(&t);
}

/* A thread that is gone is not clean. */
static void test_gone(const char *how)
{
	struct target t;

	(void)how;
	if (begin(&t, "stale", "old")) {
		struct st_stop *stop;
		struct st_busy why;
		int ret;

		CHECK(!st_stop(st_session_proc(t.s), 0, 10000, &stop, err), "%s", err);
		kill(t.pid, SIGKILL);
		usleep(50000);
		ret = st_evidence_check(t.e, st_stop_thread(stop, 0), &why);
		CHECK(ret < 0 && why.how == ST_BUSY_UNKNOWN && why.text[0], "%d %s", ret, why.text);
		st_resume(stop, NULL);
	}
	end(&t);
}

/* ---- coroutines */

static void test_parked(const char *how)
{
	struct target t;

	if (begin(&t, how, "old")) {
		struct st_busy why;
		int ret = look(&t, false, &why);

		/* Its thread may be clean, it is not on that stack. */
		CHECK(st_evidence_coroutines(t.e), "coroutines");
		CHECK(ret == 0 || why.how == ST_BUSY_WORD, "%d %s", ret, why.text);
		must_be(&t, 0, 0, false);
		must_be(&t, 1, ST_BUSY_PARKED, true);
		must_get_out(&t, true);
	}
	end(&t);
}

/* A coroutine runs, and the thread's own stack is what is parked. How a coroutine's bottom is described is the C library's affair. */
static void test_runs(const char *how)
{
	struct target t;

	if (begin(&t, how, "old")) {
		struct st_busy why;

		for (int i = 0; i < 20; i++) {
			int ret = look(&t, true, &why);

			CHECK(ret == 1 && (why.how == ST_BUSY_WORD || why.how == ST_BUSY_PARKED), "%d, %d: %s", ret, (int)why.how, why.text);
			st_evidence_think(t.e);
			usleep(2000);
		}
		must_get_out(&t, true);
	}
	end(&t);
}

/* ---- probed returns, stubs */

static void probe(struct target *t, const char *name, unsigned int flags)
{
	struct st_ctl *ctl = st_session_ctl(t->s);
	struct st_ctl_probe *p = &ctl->probe_rec[0];
	const struct st_func *f;
	struct st_symbol sym;
	struct st_fn fn;

	memset(p, 0, sizeof(*p));
	p->flags = ST_PROBE_COUNT_ONLY | (flags & ST_SESSION_RETURN ? ST_PROBE_RETURN : 0);
	p->hook.size = sizeof(p->hook);
	p->hook.func = (st_hook_fn)(unsigned long)ctl->probe;
	p->hook.data = (void *)(unsigned long)(ctl->self + offsetof(struct st_ctl, probe_rec));
	p->hook.flags = ST_HOOK_GENERAL_REGS;
	__atomic_store_n(&p->state, ST_PROBE_ON, __ATOMIC_RELEASE);
	f = find(t, name, &sym) ? st_object_function_at(&t->objs->object[0], sym.addr) : NULL;
	CHECK(f, "%s", name);
	if (!f)
		return;
	fn = (struct st_fn){ .addr = f->addr, .size = f->size, .room = f->room, .isa = f->isa, .name = name };
	CHECK(st_session_hook(t->s, &p->hook, &fn, 1, flags) == 1, "%s: %s", name, fn.why ? fn.why : st_session_error(t->s));
	/* What the agent has mapped by now. */
	look_anew(t, "old");
}

/* It runs in the hook most of the time. */
static void test_stub(const char *how)
{
	struct target t;

	if (begin(&t, how, "old")) {
		probe(&t, "nothing", 0);
		goes_on(&t);
		must_be(&t, 1, ST_BUSY_STUB, false);
		set_leave(&t);
	}
	end(&t);
}

/* As it waits the function is not hooked yet: it has to be called again. */
static void test_pending(const char *how)
{
	struct target t;

	if (begin(&t, how, "old")) {
		struct st_busy why;

		probe(&t, "inner", ST_SESSION_RETURN);
		goes_on(&t);
		CHECK(hears(&t, "ready\n"), "the program's word");
		CHECK(look(&t, false, &why) == 1 && (why.how == ST_BUSY_PENDING || why.how == ST_BUSY_WORD), "%d %s", why.how, why.text);
#if defined(__x86_64__)
		CHECK(why.how == ST_BUSY_PENDING, "%s", why.text);
#endif
		must_be(&t, 1, ST_BUSY_FRAME, false);
		must_get_out(&t, false);
	}
	end(&t);
}

/* ---- all of them */

struct test {
	const char *name;
	void (*run)(const char *how);
	const char *how;
};

static const struct test tests[] = {
	{ "pc", test_pc, "pc" },
	{ "frame", test_frame, "deep" },
	{ "frame in a thread", test_frame, "deep-thread" },
	{ "leaf", test_leaf, "leaf" },
	{ "stale", test_stale, "stale" },
	{ "stale in a thread", test_stale, "stale-thread" },
	{ "stale, then not", test_again, "stale-again" },
	{ "handler", test_frame, "handler" },
	{ "handler, own stack", test_frame, "alt-handler" },
	{ "handler, own stack, thread", test_frame, "alt-handler-thread" },
	{ "handler, nested", test_frame, "alt-nested-handler" },
	{ "handler, nested, thread", test_frame, "alt-nested-handler-thread" },
	{ "handler, own stack within the other", test_frame, "alt-within-handler" },
	{ "handler of something else", test_clean, "clean-handler" },
	{ "handler of something else, own stack", test_clean, "alt-clean-handler" },
	{ "handler of something else, own stack, thread", test_clean, "alt-clean-handler-thread" },
	{ "coroutine", test_parked, "coroutine" },
	{ "coroutine runs", test_runs, "coroutine-stay" },
	{ "coroutine in the heap", test_parked, "coroutine-heap" },
	{ "pending", test_pending, "pending" },
	{ "stub", test_stub, "loop" },
	{ "bottom", test_unknown, "bottom" },
	{ "large", test_large, "large" },
	{ "gone", test_gone, "" },
	/* Of a program without frame descriptions: */
	{ "untold stale", test_untold, "stale" },
	{ "untold frame", test_untold, "deep" },
};

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	program = argv[1];
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		const struct test *test = &tests[i];
		bool wanted = argc == 2 && strncmp(test->name, "untold", 6);

		for (int k = 2; k < argc; k++)
			wanted |= !strncmp(test->name, argv[k], strlen(argv[k]));
		if (!wanted)
			continue;
		broken = false;
		err[0] = '\0';
		printf("%s\n", test->name);
		test->run(test->how);
		failed += broken;
		passed += !broken;
	}
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed != 0;
}
