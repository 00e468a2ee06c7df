// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transitions by the session's own interface (process/transition.h), around a program that counts what is a mixture of two versions.
 *
 *	universes PROGRAM TEST
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <process/transition.h>

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

static void nap_us(long us)
{
	struct timespec t = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&t, NULL);
}

/* ---- the program */

static pid_t target;
static int door, out;

struct shared { unsigned long mixes, rounds, children, version[4], parked, child_mixes, page, child_rounds; };
static unsigned long shared_at;

static bool start(const char *program, char *const arg[])
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
		execv(program, arg);
		_exit(127);
	}
	close(in[0]);
	close(from[1]);
	door = in[1];
	out = from[0];
	return read(out, line, sizeof(line) - 1) > 0 && !strncmp(line, "ready", 5);
}

static void command(char c)
{
	check(write(door, &c, 1) == 1, "the program does not listen");
}

static void end(const char *what)
{
	char said[64] = "";
	unsigned long rounds = 0, mixes = 0;
	int status = -1;

	close(door);
	if (read(out, said, sizeof(said) - 1) < 0)
		said[0] = '\0';
	waitpid(target, &status, 0);
	close(out);
	check(WIFEXITED(status) && !WEXITSTATUS(status), "%s: the program ended with %#x", what, status);
	check(sscanf(said, "ok %lu %lu", &rounds, &mixes) == 2 && rounds && !mixes, "%s: the program said '%s'", what, said);
	printf("%s: %s", what, said);
}

/* ---- its functions */

#define VERSIONS 3

static struct st_fn fn[VERSIONS + 1][2];
static const char *const name[VERSIONS + 1][2] = {
	{ 0 }, { "first", "second" }, { "first_2", "second_2" }, { "first_3", "second_3" },
};

static unsigned long entry(int version, int i)
{
	return fn[version][i].addr | (fn[version][i].isa == ST_ISA_T32);
}

static struct shared look(struct st_session *s)
{
	struct shared x = { 0 };

	st_mem_read(st_session_proc(s), shared_at, &x, sizeof(x));
	return x;
}

static struct st_session *attach(void)
{
	struct st_session *s = NULL;
	struct st_objects *objs;
	const struct st_func *f;
	struct st_symbol sym;
	struct st_ctl *ctl;
	size_t n;

	if (st_session_open(target, true, &s, err)) {
		check(false, "attach: %s", err);
		exit(1);
	}
	if (st_objects_read(st_session_proc(s), &objs, err))
		exit(1);
	f = st_object_functions(&objs->object[0], &n);
	for (size_t i = 0; i < n; i++)
		for (int v = 1; v <= VERSIONS; v++)
			for (int k = 0; k < 2; k++)
				if (!strcmp(f[i].name, name[v][k]))
					fn[v][k] = (struct st_fn){ .addr = f[i].addr, .size = f[i].size, .room = f[i].room,
								   .isa = f[i].isa, .name = name[v][k] };
	if (!st_object_symbol(&objs->object[0], "shared", NULL, &sym))
		st_mem_read(st_session_proc(s), sym.addr, &shared_at, sizeof(shared_at));
	st_objects_free(objs);
	/* What the patch client would know of them. */
	ctl = st_session_ctl(s);
	for (int v = 2; v <= VERSIONS; v++)
		for (int k = 0; k < 2; k++) {
			struct st_ctl_patch_func *p = &ctl->patch_func[2 * v + k];

			p->patch = ST_PATCHES_MAX;
			p->to = entry(v, k);
			p->to_size = (uint32_t)fn[v][k].size;
		}
	ctl->patch_funcs_used = 2 * VERSIONS + 2;
	return s;
}

static void moves(struct st_move move[2], int to)
{
	memset(move, 0, 2 * sizeof(move[0]));
	for (int k = 0; k < 2; k++) {
		move[k].fn = fn[1][k];
		move[k].next = to > 1 ? entry(to, k) : 0;
		move[k].next_size = to > 1 ? fn[to][k].size : 0;
	}
}

/* Which version the records say. */
static int runs(struct st_session *s)
{
	const struct st_ctl *ctl = st_session_ctl(s);

	for (uint32_t i = 0; i < ctl->sites_used; i++)
		for (int v = 2; v <= VERSIONS; v++)
			if (ctl->site[i].state && ctl->site[i].redirect == entry(v, 0))
				return v;
	return 1;
}

static unsigned long steps, reversals;

static int step_all(struct st_session *s, int patience)
{
	struct st_busy busy[16];
	int ret = -EBUSY;

	for (int i = 0; i < patience && ret == -EBUSY; i++) {
		size_t n = 16;
		ret = st_transition_step(s, NULL, NULL, busy, &n);
		steps++;
		if (getenv("VERBOSE"))
			fprintf(stderr, "step %d: %d, %zu busy, %d %s\n", i, ret, n, n ? busy[0].how : 0, n ? busy[0].text : "");
		if (ret == -EBUSY) {
			nap_us(i < 20 ? 100 : 2000);
			if (i == patience - 1)
				for (size_t k = 0; k < n; k++)
					printf("  busy: %d %s %s\n", busy[k].tid, busy[k].function, busy[k].text);
		}
	}
	return ret;
}

/* To a version; turned round on the way as often as @turns says. */
static bool change(struct st_session *s, enum st_level level, int to, int turns, const char *what)
{
	struct st_move move[2];
	int from = runs(s), ret;

	moves(move, to);
	ret = st_transition_begin(s, 0, level, move, 2);
	if (ret) {
		check(ret == -EBUSY, "%s: begin: %d %s", what, ret, st_session_error(s));
		return false;
	}
	for (int i = 0; i < turns; i++) {
		if (rand() % 4)
			step_all(s, rand() % 3);
		ret = st_transition_reverse(s);
		check(!ret || ret == -EBUSY, "%s: reverse: %s", what, st_session_error(s));
		if (!ret) {
			int was = from;
			from = to;
			to = was;
			reversals++;
		}
	}
	ret = step_all(s, 3000);
	check(!ret, "%s: %d to %d, not through: %d %s", what, from, to, ret, st_session_error(s));
	for (int i = 0; i < 3000; i++) {
		ret = st_transition_finish(s);
		if (ret != -EBUSY)
			break;
		nap_us(2000);
	}
	check(!ret, "%s: finish: %d %s", what, ret, st_session_error(s));
	check(runs(s) == to, "%s: version %d, not %d", what, runs(s), to);
	return !ret;
}

static void summary(struct st_session *s, const char *what)
{
	unsigned long stops, longest;
	struct shared x = look(s);

	st_session_stops(s, &stops, &longest);
	printf("%s: %lu steps, %lu turned round, %lu stops, longest %lu us; %lu %lu %lu rounds, %lu children, %lu mixes (%lu)\n", what, steps,
	       reversals, stops, longest / 1000, x.version[1], x.version[2], x.version[3], x.children, x.mixes, x.child_mixes);
}

static void leave(struct st_session *s, const char *what)
{
	unsigned long bytes;
	unsigned int objects;
	int ret = -EBUSY;

	summary(s, what);
	for (int i = 0; i < 50 && ret == -EBUSY; i++)
		ret = st_session_detach(s);
	check(!ret, "%s: detach: %s", what, st_session_error(s));
	if (!ret)
		check(!st_session_compare(s, &bytes, &objects), "%s: code differs", what);
	st_session_close(s);
	end(what);
}

static int rounds = 200;

static void swap(const char *program, char *const arg[], enum st_level level, int turns, const char *what)
{
	struct st_session *s;

	if (!start(program, arg))
		exit(1);
	s = attach();
	for (int i = 0; i < rounds; i++) {
		int to = 1 + rand() % VERSIONS;

		if (to != runs(s) && !change(s, level, to, turns ? rand() % (turns + 1) : 0, what) && failed > 5)
			break;
	}
	while (runs(s) != 1 && failed < 5)
		change(s, level, 1, 0, what);
	leave(s, what);
}

/* A tool that is killed at any moment; another one goes on. */
static void killed(const char *program, char *const arg[], enum st_level level)
{
	struct st_session *s;

	if (!start(program, arg))
		exit(1);
	s = attach();
	change(s, level, 2, 0, "killed");
	for (int i = 0; i < rounds && !failed; i++) {
		unsigned int patch;
		bool reversed;
		pid_t tool = fork();

		if (!tool) {
			struct st_session *mine;

			srand((unsigned int)i);
			if (st_session_open(target, true, &mine, err))
				_exit(1);
			for (;;) {
				if (st_transition_pending(mine, &patch, &reversed)) {
					if (rand() % 2)
						st_transition_reverse(mine);
					if (!step_all(mine, 50))
						st_transition_finish(mine);
				} else {
					change(mine, level, 1 + rand() % VERSIONS, rand() % 3, "killed");
				}
			}
		}
		nap_us(rand() % 60000);
		kill(tool, SIGKILL);
		waitpid(tool, NULL, 0);
		if (look(s).mixes) {
			check(false, "killed: %lu mixes in round %d", look(s).mixes, i);
			break;
		}
	}
	{
		unsigned int patch;
		bool reversed;

		if (st_transition_pending(s, &patch, &reversed)) {
			check(!step_all(s, 3000), "killed: not through");
			check(!st_transition_finish(s), "killed: finish: %s", st_session_error(s));
		}
	}
	if (runs(s) != 1)
		change(s, level, 1, 0, "killed");
	leave(s, "killed");
}

static struct st_ctl_probe *take(struct st_session *s, unsigned int i)
{
	struct st_ctl *ctl = st_session_ctl(s);
	struct st_ctl_probe *p = &ctl->probe_rec[i];

	memset(p, 0, sizeof(*p));
	p->index = i;
	p->hits -= st_ctl_hits(ctl, i);
	p->flags = ST_PROBE_COUNT_ONLY;
	p->hook.size = sizeof(p->hook);
	p->hook.func = (st_hook_fn)(unsigned long)ctl->probe;
	p->hook.data = (void *)(unsigned long)(ctl->self + offsetof(struct st_ctl, probe_rec) + i * sizeof(*p));
	p->hook.flags = ST_HOOK_GENERAL_REGS;
	__atomic_store_n(&p->state, ST_PROBE_ON, __ATOMIC_RELEASE);
	return p;
}

/* Probes and return probes come and go on the functions meanwhile. */
static void probed(const char *program, char *const arg[], enum st_level level)
{
	struct st_session *s;
	pid_t tool;

	if (!start(program, arg))
		exit(1);
	s = attach();
	tool = fork();
	if (!tool) {
		struct st_session *mine;

		if (st_session_open(target, true, &mine, err))
			_exit(1);
		for (unsigned int i = 0;; i++) {
			struct st_fn f[2] = { fn[1][0], fn[1][1] };
			struct st_ctl_probe *p[4];

			for (int k = 0; k < 4; k++) {
				p[k] = take(mine, (unsigned int)k);
				if (k == 3)
					p[k]->flags |= ST_PROBE_RETURN;
				st_session_hook(mine, &p[k]->hook, f, 2, k == 3 ? ST_SESSION_RETURN : 0);
				nap_us(3000);
			}
			for (int k = 0; k < 4; k++) {
				while (st_session_unhook(mine, &p[(k + (int)i) % 4]->hook))
					nap_us(3000);
				nap_us(3000);
			}
		}
	}
	for (int i = 0; i < rounds && !failed; i++) {
		int to = 1 + rand() % VERSIONS;

		if (to != runs(s))
			change(s, level, to, rand() % 2, "probed");
	}
	kill(tool, SIGKILL);
	waitpid(tool, NULL, 0);
	for (unsigned int k = 0; k < 4; k++)
		st_session_unhook(s, &st_session_ctl(s)->probe_rec[k].hook);
	if (runs(s) != 1)
		change(s, level, 1, 0, "probed");
	leave(s, "probed");
}

static void parked(const char *program, char *const arg[])
{
	struct st_session *s;
	struct st_busy busy[16];
	struct st_move move[2];
	struct shared x;
	size_t n = 16;
	int ret;

	if (!start(program, arg))
		exit(1);
	s = attach();
	command('p');
	while (!look(s).parked)
		nap_us(1000);
	moves(move, 2);
	check(!st_transition_begin(s, 0, ST_LEVEL_THREAD, move, 2), "parked: begin: %s", st_session_error(s));
	for (int i = 0; i < 200; i++) {
		n = 16;
		ret = st_transition_step(s, NULL, NULL, busy, &n);
		check(ret == -EBUSY, "parked: step: %d", ret);
		if (n == 1)
			break;
		nap_us(2000);
	}
	check(n == 1 && !strcmp(busy[0].function, "first"), "parked: %zu busy, %s: %s", n, busy[0].function, busy[0].text);
	printf("parked: %s\n", busy[0].text);
	x = look(s);
	nap_us(100000);
	check(look(s).version[2] > x.version[2] && look(s).version[1] <= x.version[1] + 16, "parked: the others have not changed");
	/* Back, and forth again. */
	check(!st_transition_reverse(s) && !step_all(s, 1000) && !st_transition_finish(s), "parked: reverse: %s", st_session_error(s));
	check(runs(s) == 1, "parked: reversed");
	/* Before anybody was looked at. */
	check(!st_transition_begin(s, 0, ST_LEVEL_THREAD, move, 2), "parked: begin: %s", st_session_error(s));
	x = look(s);
	check(!st_transition_reverse(s) && !step_all(s, 1000) && !st_transition_finish(s), "parked: reversed early: %s", st_session_error(s));
	check(runs(s) == 1 && look(s).version[2] <= x.version[2], "parked: reversed early: version %d, %lu", runs(s), look(s).version[2] - x.version[2]);
	/* And by force: the one that is parked runs a mixture. */
	check(!st_transition_begin(s, 0, ST_LEVEL_THREAD, move, 2), "parked: begin: %s", st_session_error(s));
	step_all(s, 50);
	check(!look(s).mixes, "parked: %lu mixes", look(s).mixes);
	command('u');
	while (look(s).parked)
		nap_us(1000);
	ret = step_all(s, 2000);
	check(!ret && !st_transition_finish(s) && runs(s) == 2, "parked: let go: %d %s", ret, st_session_error(s));
	change(s, ST_LEVEL_THREAD, 1, 0, "parked");
	leave(s, "parked");
}

/* A child that has a probe in common with its parent, and has not what the parent has mapped since. */
static void early(const char *program, char *const arg[])
{
	struct st_session *s;
	struct st_move move[2];
	struct st_fn f[2];
	struct st_ctl_probe *p;
	unsigned long was;
	int ret;

	if (!start(program, arg))
		exit(1);
	s = attach();
	p = take(s, 0);
	memcpy(f, fn[1], sizeof(f));	/* they are sorted */
	check(st_session_hook(s, &p->hook, f, 2, 0) == 2, "early: probe: %s", st_session_error(s));
	command('c');
	while (!look(s).page)
		nap_us(1000);
	moves(move, 2);
	move[0].next = look(s).page;
	ret = st_transition_begin(s, 0, ST_LEVEL_THREAD, move, 2);
	check(ret == -EBUSY && strstr(st_session_error(s), "was forked before the patch was there"), "early: begin: %d %s", ret, st_session_error(s));
	moves(move, 2);
	move[0].next = look(s).page;
	ret = st_transition_at_once(s, 0, move, 2);
	check(ret == -EBUSY && runs(s) == 1, "early: at once: %d %s", ret, st_session_error(s));
	/* What both have is no matter. */
	change(s, ST_LEVEL_THREAD, 2, 0, "early");
	was = look(s).child_rounds;
	while (look(s).child_rounds < was + 100 && !kill(target, 0))
		nap_us(1000);
	change(s, ST_LEVEL_THREAD, 1, 0, "early");
	check(!st_session_unhook(s, &p->hook), "early: off: %s", st_session_error(s));
	leave(s, "early");
}

int main(int argc, char **argv)
{
	const char *program = argv[1], *test = argc > 2 ? argv[2] : "";
	char *const one[] = { argv[1], "1", NULL }, *const many[] = { argv[1], "16", "sleep", NULL };
	char *const all[] = { argv[1], "6", "signals", "churn", "sleep", NULL }, *const forks[] = { argv[1], "3", "fork", "sleep", NULL };
	char *const busy[] = { argv[1], "4", "signals", NULL };

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 3)
		rounds = atoi(argv[3]);
	if (argc > 4)
		srand((unsigned int)atoi(argv[4]));
	if (!strcmp(test, "one"))
		swap(program, one, ST_LEVEL_THREAD, 0, test);
	else if (!strcmp(test, "many"))
		swap(program, many, ST_LEVEL_THREAD, 0, test);
	else if (!strcmp(test, "all"))
		swap(program, all, ST_LEVEL_THREAD, 0, test);
	else if (!strcmp(test, "turned"))
		swap(program, all, ST_LEVEL_THREAD, 4, test);
	else if (!strcmp(test, "busy"))
		swap(program, busy, ST_LEVEL_THREAD, 1, test);
	else if (!strcmp(test, "process"))
		swap(program, one, ST_LEVEL_PROCESS, 2, test);
	else if (!strcmp(test, "fork"))
		swap(program, forks, ST_LEVEL_THREAD, getenv("TURNS") ? 1 : 0, test);
	else if (!strcmp(test, "killed"))
		killed(program, all, ST_LEVEL_THREAD);
	else if (!strcmp(test, "probed"))
		probed(program, busy, ST_LEVEL_THREAD);
	else if (!strcmp(test, "early"))
		early(program, many);
	else if (!strcmp(test, "parked"))
		parked(program, many);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
