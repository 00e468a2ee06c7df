/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A probe on every instruction of every function of a corpus (../programs/everywhere-*): one at a time, then all at once, then all
 * at once while other threads and signal handlers run through them. What the functions return must not change, the bytes must be
 * back afterwards, and each instruction must be hit as often as it runs without a probe.
 *
 * How often that is comes from elsewhere: on x86-64 from a child that is single-stepped by ptrace, else from a file that
 * everywhere.sh makes of QEMU's log.
 *
 *	everywhere [--truth FILE] [--bare] [--seconds N]
 *
 * --bare: run every function as the test does, print where the program lies, and do nothing else
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <sidetrack/probe.h>
#include <engine/arch.h>
#include <engine/objects.h>
#include "../programs/everywhere.h"
#include "check.h"
#if defined(__x86_64__)
#include <sys/ptrace.h>
#include <sys/user.h>
#endif

#define FUNCTIONS 64
#define ARGS 6
#define TEXT_MAX (256ul << 10)

/* On x86-64 any byte may begin an instruction. */
#if defined(__x86_64__)
#define STEP 1
#elif defined(__aarch64__)
#define STEP 4
#endif
#ifndef STEP
#define STEP (f->fn->isa == ST_ISA_T32 ? 2 : 4)
#endif

static const long args[ARGS][2] = { { 0, 0 }, { 1, 2 }, { 5, -7 }, { -1234, 77 }, { 98765, 12 }, { 7, 7 } };

struct place {
	struct st_probe probe;
	unsigned long hits;
	bool refused;
	bool block;		/* T32: in an IT block: where its condition does not hold, a breakpoint is not met */
};

static struct target {
	const char *name;
	long (*call)(long, long);	/* NULL: others call it */
	const struct st_function *fn;
	long good[ARGS];
	struct place *place;		/* one for each STEP bytes */
	unsigned char *bytes;
} targets[FUNCTIONS];
static unsigned int count;

static struct st_object *objects;
static unsigned long base;		/* in front of the program's functions; offsets count from here */

/* How often each address ran: in all, and while its own function was run (a function that others call: always). */
static unsigned int *truth_all, *truth_own;

static unsigned long address_of(const void *fn)
{
	return (unsigned long)fn & ~(unsigned long)(sizeof(long) == 4);
}

static bool run(const struct target *t, const char *how)
{
	bool good = true;

	for (int i = 0; t->call && i < ARGS; i++) {
		long got = t->call(args[i][0], args[i][1]);

		good &= check(got == t->good[i], "%s: %s(%ld, %ld) gave %ld, not %ld", how, t->name, args[i][0], args[i][1], got,
			      t->good[i]);
	}
	return good;
}

/* For the log of an emulator: the next function begins. */
__attribute__((noipa)) void everywhere_next(void)
{
	__asm__ volatile("nop");
}

/* In the order of take(). Nothing of the engine is called: an emulator that logs each instruction is slow. */
static int bare(void)
{
	static const struct everywhere *const lists[] = { everywhere_c, everywhere_asm, everywhere_helpers };
	unsigned long lowest = ~0ul, highest = 0;

	for (int l = 0; l < 3; l++)
		for (const struct everywhere *e = lists[l]; e->name; e++) {
			lowest = address_of((void *)e->fn) < lowest ? address_of((void *)e->fn) : lowest;
			highest = address_of((void *)e->fn) > highest ? address_of((void *)e->fn) : highest;
		}
	if (address_of((void *)everywhere_next) < lowest)
		lowest = address_of((void *)everywhere_next);
	printf("%#lx %#lx %#lx %#lx\n", base, address_of((void *)everywhere_next), lowest, highest + 4096 - lowest);
	fflush(stdout);
	for (int l = 0; l < 2; l++)
		for (const struct everywhere *e = lists[l]; e->name; e++) {
			everywhere_next();
			for (int i = 0; i < ARGS; i++)
				e->fn(args[i][0], args[i][1]);
		}
	return 0;
}

static bool run_all(const char *how)
{
	bool good = true;

	for (unsigned int i = 0; i < count; i++)
		good &= run(&targets[i], how);
	return good;
}

static void take(const struct everywhere *list, bool callable)
{
	for (; list->name; list++) {
		struct target *t = &targets[count++];

		t->name = list->name;
		t->call = callable ? list->fn : NULL;
		t->fn = st_objects_find(objects, address_of((void *)list->fn));
		if (!check(t->fn, "no symbol for %s", list->name)) {
			count--;
			continue;
		}
		for (int i = 0; callable && i < ARGS; i++)
			t->good[i] = list->fn(args[i][0], args[i][1]);
		t->bytes = malloc(t->fn->size);
		memcpy(t->bytes, (void *)t->fn->addr, t->fn->size);
		t->place = mmap(NULL, (t->fn->size + 1) * sizeof(*t->place), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
				-1, 0);
	}
}

static const struct target *target_at(unsigned long addr)
{
	for (unsigned int i = 0; i < count; i++)
		if (addr - targets[i].fn->addr < targets[i].fn->size)
			return &targets[i];
	return NULL;
}

/* ---- how often each instruction runs ---- */

#if defined(__x86_64__)

static volatile unsigned int *current;

static void step_child(pid_t pid)
{
	unsigned long last = 0;
	int status;

	waitpid(pid, &status, 0);
	while (!ptrace(PTRACE_SINGLESTEP, pid, 0, 0) && waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		unsigned long pc = (unsigned long)ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip), 0);

		/* A repeated string instruction traps for each round. */
		if (pc != last && pc - base < TEXT_MAX) {
			const struct target *t = target_at(pc);

			if (t) {
				truth_all[pc - base]++;
				truth_own[pc - base] += !t->call || t == &targets[*current];
			}
		}
		last = pc;
	}
	check(WIFEXITED(status) && !WEXITSTATUS(status), "the child that was single-stepped ended with %#x", status);
}

static bool find_truth(const char *file)
{
	pid_t pid;

	(void)file;
	current = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		for (unsigned int i = 0; i < count; i++) {
			*current = i;
			for (int k = 0; targets[i].call && k < ARGS; k++)
				if (targets[i].call(args[k][0], args[k][1]) != targets[i].good[k])
					_exit(1);
		}
		_exit(0);
	}
	step_child(pid);
	return true;
}

#else

/* Lines of FUNCTION-INDEX ADDRESS COUNT, as everywhere.sh prints them, the addresses counted from @base. */
static bool find_truth(const char *file)
{
	FILE *f = file ? fopen(file, "r") : NULL;
	unsigned long at, n;
	unsigned int index;

	if (!f)
		return false;
	while (fscanf(f, "%u %lu %lu", &index, &at, &n) == 3) {
		const struct target *t = target_at(base + at);

		if (!t || at >= TEXT_MAX)
			continue;
		truth_all[at] += (unsigned int)n;
		if (!t->call || (index < count && t == &targets[index]))
			truth_own[at] += (unsigned int)n;
	}
	fclose(f);
	return true;
}

#endif

/* ---- one at a time, and all at once ---- */

static void on_hit(struct st_probe *p, struct st_regs *regs)
{
	struct place *place = (struct place *)p;

	(void)regs;
	place->hits++;
}

static bool restored(const struct target *t)
{
	return !memcmp(t->bytes, (void *)t->fn->addr, t->fn->size);
}

static unsigned long places, refused, kinds[3];
static bool have_truth;

/* What each kind is called, and how many of them. */
static void count_kind(const struct st_probe *p)
{
	static const char *const names[] = { "nop", "move", "breakpoint" };

	for (int i = 0; i < 3; i++)
		kinds[i] += !strcmp(st_probe_kind(p), names[i]);
}

static bool in_block(const struct target *f, size_t off)
{
	struct st_plan plan;

	return !st_arch_plan_at(&plan, f->bytes, f->fn->addr, f->fn->size, f->fn->size, off, ST_PLAN_ANY | ST_PLAN_BREAKPOINT,
				f->fn->isa) && plan.it;
}

static void one_at_a_time(struct target *f)
{
	for (size_t off = 0; off < f->fn->size; off += STEP) {
		struct place *p = &f->place[off];
		unsigned long at = f->fn->addr + off - base;
		unsigned int truth = truth_own[at];
		int ret;

		p->probe = (struct st_probe){ .size = sizeof(p->probe), .addr = (void *)f->fn->addr, .offset = off, .handler = on_hit };
		ret = st_probe_register(&p->probe);
		if (ret) {
			p->refused = true;
			check(ret == -ENOTSUP, "%s+%zu: %d: %s", f->name, off, ret, st_probe_reason(&p->probe));
			/* What runs can be probed, but for what says so. */
			if (have_truth && truth_all[at]) {
				refused++;
				printf("%s+%zu, which runs, can't be probed: %s\n", f->name, off, st_probe_reason(&p->probe));
			}
			st_probe_unregister(&p->probe);
			continue;
		}
		places++;
		count_kind(&p->probe);
		p->hits = 0;
		if (f->call)
			run(f, "one probe");
		else
			run_all("one probe");
		p->block = in_block(f, off);
		if (have_truth)
			check(p->hits == truth || (p->block && p->hits < truth), "%s+%zu %s: %lu hits, and it runs %u times", f->name,
			      off, st_probe_kind(&p->probe), p->hits, truth);
		ret = st_probe_unregister(&p->probe);
		check(!ret, "%s+%zu: unregister: %d", f->name, off, ret);
		check(restored(f), "%s+%zu: its bytes have changed", f->name, off);
	}
}

static size_t list_of(struct st_probe **list)
{
	size_t n = 0;

	for (unsigned int i = 0; i < count; i++) {
		struct target *f = &targets[i];

		for (size_t off = 0; off < f->fn->size; off += STEP) {
			struct place *p = &f->place[off];

			if (p->refused)
				continue;
			p->hits = 0;
			p->probe = (struct st_probe){ .size = sizeof(p->probe), .addr = (void *)f->fn->addr, .offset = off,
				.handler = on_hit };
			list[n++] = &p->probe;
		}
	}
	return n;
}

static const char *why(struct st_probe **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (*st_probe_reason(list[i]))
			return st_probe_reason(list[i]);
	return "";
}

static void all_at_once(struct st_probe **list, const char *how)
{
	size_t n = list_of(list), dropped = 0;
	int ret;

	/*
	 * A T32 instruction in an IT block and the IT itself can't both have a probe. It is the only case: elsewhere a jump makes
	 * room by becoming a breakpoint.
	 */
	while ((ret = st_probes_register(list, n)) == -ENOTSUP && dropped < 64) {
		size_t i = 0;

		while (i + 1 < n && !*st_probe_reason(list[i]))
			i++;
		if (!strstr(st_probe_reason(list[i]), "an IT block"))
			break;
		((struct place *)list[i])->refused = true;
		dropped++;
		for (size_t k = 0; k < n; k++)
			st_probe_unregister(list[k]);
		n = list_of(list);
	}
	if (!check(!ret, "%s: register: %d: %s", how, ret, why(list, n)))
		return;
	memset(kinds, 0, sizeof(kinds));
	for (size_t i = 0; i < n; i++)
		count_kind(list[i]);
	run_all(how);
	for (size_t i = 0; i < n && have_truth; i++) {
		struct place *p = (struct place *)list[i];
		unsigned long at = (unsigned long)p->probe.addr + p->probe.offset - base;

		check(p->hits == truth_all[at] || (p->block && p->hits < truth_all[at]), "%s: %s+%zu %s: %lu hits, and it runs %u times", how, target_at(base + at)->name,
		      p->probe.offset, st_probe_kind(&p->probe), p->hits, truth_all[at]);
	}
	printf("%s: %zu probes: %lu nop, %lu move, %lu breakpoint; %zu given up for their neighbours\n", how, n, kinds[0], kinds[1],
	       kinds[2], dropped);
	ret = st_probes_unregister(list, n);
	check(!ret, "%s: unregister: %d: %s", how, ret, why(list, n));
	for (unsigned int i = 0; i < count; i++)
		check(restored(&targets[i]), "%s: the bytes of %s have changed", how, targets[i].name);
	run_all("no probe");
}

/* ---- with threads and signals ---- */

static volatile int finish;
static bool few;
static unsigned long turns, handled;

static void on_signal(int sig)
{
	static unsigned int next;
	int saved = errno;

	(void)sig;
	run(&targets[__atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % count], "signal handler");
	handled++;
	errno = saved;
}

static void *runner(void *arg)
{
	unsigned int i = (unsigned int)(unsigned long)arg;

	while (!finish) {
		run(&targets[i++ % count], "thread");
		__atomic_fetch_add(&turns, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *storm(void *arg)
{
	struct st_probe **list = arg;
	uint64_t seed = 4242;
	unsigned long rounds = 0;

	while (!finish) {
		size_t n = list_of(list), from, some;
		int ret;

		/* All of them, or a part, or one: most neighbours are jumps, then. */
		from = few || rounds % 3 ? check_random(&seed) % n : 0;
		some = few ? 1 : rounds % 3 ? 1 + check_random(&seed) % (n - from) : n;
		ret = st_probes_register(list + from, some);
		if (ret == -EBUSY)
			continue;
		if (!check(!ret, "storm: register: %d: %s", ret, why(list + from, some)))
			break;
		usleep(few ? 100 : 1000);
		while ((ret = st_probes_unregister(list + from, some)) == -EBUSY)
			;
		check(!ret, "storm: unregister: %d: %s", ret, why(list + from, some));
		rounds++;
	}
	check(rounds, "the storm did not register anything");
	printf("storm: %lu rounds, %lu turns of the threads, %lu signals handled\n", rounds, turns, handled);
	return NULL;
}

static void with_threads(struct st_probe **list, double seconds)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	double end = check_now() + seconds;
	pthread_t thread[2], stormer;

	sigaction(SIGUSR1, &sa, NULL);
	for (unsigned long i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, runner, (void *)(i * 7));
	pthread_create(&stormer, NULL, storm, list);
	while (check_now() < end) {
		usleep(2000);
		pthread_kill(thread[0], SIGUSR1);
	}
	finish = 1;
	pthread_join(stormer, NULL);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	signal(SIGUSR1, SIG_DFL);
	for (unsigned int i = 0; i < count; i++)
		check(restored(&targets[i]), "storm: the bytes of %s have changed", targets[i].name);
	run_all("after the storm");
}

/*
 * The same where nothing was hooked before: a site that once had a breakpoint, or neighbours that had, is never a jump again, and after
 * one_at_a_time() most are so. And one at a time, not to make all of them breakpoints again. This process is from before it, and learns from it what is refused.
 */
static void with_threads_first(struct st_probe **list, double seconds, const int *go)
{
	char c;

	close(go[1]);
	check_failed = 0;
	if (read(go[0], &c, 1) != 1)
		_exit(1);
	few = true;
	with_threads(list, seconds);
	fflush(stdout);
	_exit(check_failed != 0);
}

int main(int argc, char **argv)
{
	double seconds = (double)check_option(argc, argv, "--seconds", 2, 60);
	struct st_probe **list;
	int go[2], status = 0;
	const char *file = NULL;
	size_t most = 0;
	pid_t first = 0;

	base = address_of((void *)everywhere_next) - TEXT_MAX / 2;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--truth") && i + 1 < argc)
			file = argv[i + 1];
		if (!strcmp(argv[i], "--bare"))
			return bare();
	}
	objects = st_objects_read(NULL);
	take(everywhere_c, true);
	take(everywhere_asm, true);
	take(everywhere_helpers, false);
	truth_all = calloc(TEXT_MAX, sizeof(*truth_all));
	truth_own = calloc(TEXT_MAX, sizeof(*truth_own));
	have_truth = find_truth(file);
	if (!have_truth)
		check_skip("how often instructions run: not run by everywhere.sh");
	for (unsigned int i = 0; i < count; i++)
		most += targets[i].fn->size;
	list = calloc(most + 1, sizeof(*list));
	fflush(stdout);
	if (check(!pipe(go), "pipe") && !(first = fork()))
		with_threads_first(list, seconds, go);
	for (unsigned int i = 0; i < count; i++)
		one_at_a_time(&targets[i]);
	printf("one at a time: %lu places in %u functions: %lu nop, %lu move, %lu breakpoint; %lu that run can't be probed\n", places,
	       count, kinds[0], kinds[1], kinds[2], refused);
	check(places > 500 && refused * 6 <= places, "%lu places, %lu that run are refused", places, refused);
	check(first > 0 && write(go[1], "", 1) == 1, "the storm that came first: %s", strerror(errno));
	check(waitpid(first, &status, 0) == first, "waiting for the storm that came first: %s", strerror(errno));
	check(!status, "the storm that came first ended with %#x", status);
	all_at_once(list, "all at once");
	all_at_once(list, "all at once, again");
	with_threads(list, seconds);
	return check_end();
}
