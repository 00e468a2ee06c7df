/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The storm: threads call hundreds of functions of all kinds, while others hook and unhook them at random; signals,
 * threads that come and go, libraries that are loaded and unloaded with hooks on them, and forks meanwhile.
 *
 * Every call must return the right value, no callback may run with a hook that was unregistered, and in the end the text
 * must be what it was.
 *
 *	storm [--seconds N] [--seed N] [--without PART[,PART...]] PLUGIN
 *
 * PART: signals, masks, threads, plugin, fork, libc
 */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"
#include "clobber.h"
#include "storm.h"

#define CALLERS 4
#define HOOKERS 2
#define STUCK 30.0	/* seconds without progress */

static volatile int finish;
static const char *plugin_path = "";
static uint64_t base_seed;

static unsigned long calls, signal_calls, wrong, registered, refused_busy, hits, missed, threads, loads, forks;

static void add(unsigned long *n, unsigned long by)
{
	__atomic_fetch_add(n, by, __ATOMIC_RELAXED);
}

/* ---- who does what, and since when: for the watchdog ---- */

enum { ACTORS = CALLERS + HOOKERS + 4 };
static struct actor {
	const char *volatile doing;
	volatile double since;
} actors[ACTORS];
static __thread struct actor *me;

static void doing(const char *what)
{
	if (!me)
		return;
	me->doing = what;
	me->since = check_now();
}

/* ---- callers ---- */

static bool call_one(const struct function *f, uint64_t r)
{
	errno = (int)(r & 127);
	if (f->good(f->at, f->n, r) && errno == (int)(r & 127))
		return true;
	add(&wrong, 1);
	check(false, "%s %lu: got %#lx, not %#lx, errno %d, not %d, random %#llx", f->kind, f->n, storm_got, storm_expected,
	      errno, (int)(r & 127), (unsigned long long)r);
	return false;
}

static void call_some(uint64_t *seed, unsigned int n)
{
	while (n--) {
		uint64_t r = check_random(seed);

		call_one(&functions[(r >> 40) % function_count], r);
	}
}

static void *caller(void *arg)
{
	uint64_t seed = base_seed + 77 * (unsigned long)arg;
	stack_t alt = { .ss_size = 1 << 17 };

	me = &actors[(unsigned long)arg];
	if ((unsigned long)arg & 1) {
		alt.ss_sp = malloc(alt.ss_size);
		sigaltstack(&alt, NULL);
	}
	while (!finish) {
		doing("calling");
		call_some(&seed, 500);
		add(&calls, 500);
	}
	if (alt.ss_sp) {
		alt.ss_flags = SS_DISABLE;
		sigaltstack(&alt, NULL);
		free(alt.ss_sp);
	}
	doing(NULL);
	return NULL;
}

/* ---- signals ---- */

static pthread_t caller_thread[CALLERS];

static void on_signal(int sig)
{
	static uint64_t seeds;
	uint64_t seed = __atomic_add_fetch(&seeds, 12345678901ul, __ATOMIC_RELAXED) | 1;
	int saved = errno;

	(void)sig;
	call_some(&seed, 3);
	add(&signal_calls, 3);
	errno = saved;
}

static void *signaller(void *arg)
{
	static const int sigs[] = { SIGUSR1, SIGUSR2, SIGHUP };
	uint64_t seed = base_seed ^ 0x123456789;

	me = arg;
	while (!finish) {
		uint64_t r = check_random(&seed);

		doing("signalling");
		pthread_kill(caller_thread[r % CALLERS], sigs[(r >> 20) % 3]);
		usleep((useconds_t)(r >> 40) % 400);
	}
	doing(NULL);
	return NULL;
}

/* ---- hookers ---- */

/* May use vectors and libc, and does. */
static void storm_vector(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent)
{
	struct owned *o = (struct owned *)hook;
	char text[64];

	(void)regs;
	if (o->magic != MAGIC) {
		__atomic_fetch_add(&storm_dead_calls, 1, __ATOMIC_RELAXED);
		return;
	}
	if (__atomic_add_fetch(&o->hits, 1, __ATOMIC_RELAXED) % 64 == 0)
		snprintf(text, sizeof(text), "%lx %.3f", parent, sqrt((double)ip));
	if (o->hits % 1024 == 0)
		usleep(200);	/* somebody unregisters it meanwhile */
	errno = 4711;
	clobber_vectors();
	if (o->magic != MAGIC)
		__atomic_fetch_add(&storm_dead_calls, 1, __ATOMIC_RELAXED);
}

/* Poisoned at once; given back to malloc() later, so that nobody else's data covers it up. */
static void bury(struct owned *o)
{
	static struct owned *graves[256];
	static unsigned int next;
	struct owned *old;

	add(&hits, o->hits);
	add(&missed, o->hook.missed);
	memset(o, 0xdb, sizeof(*o));
	old = __atomic_exchange_n(&graves[__atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % 256], o, __ATOMIC_ACQ_REL);
	for (size_t i = 0; old && i < sizeof(*old); i++)
		if (((unsigned char *)old)[i] != 0xdb) {
			add(&storm_dead_calls, 1);
			break;
		}
	free(old);
}

static struct owned *new_hook(unsigned int kind)
{
	struct owned *o = calloc(1, sizeof(*o));

	o->magic = MAGIC;
	o->hook.size = sizeof(o->hook);
	o->hook.func = kind == 0 ? storm_general : kind == 1 ? storm_redirect : storm_vector;
	o->hook.flags = kind == 0 ? ST_HOOK_GENERAL_REGS :
			kind == 1 ? ST_HOOK_GENERAL_REGS | ST_HOOK_IPMODIFY : 0;
	return o;
}

static bool do_register(struct owned *o)
{
	int ret;

	doing("registering");
	ret = st_hook_register(&o->hook);
	doing("between");
	if (ret > 0) {
		add(&registered, 1);
		return true;
	}
	add(&refused_busy, ret == -EBUSY);
	/* A 32-bit address space that is full of stacks has no room within a branch of a small library. */
	if (sizeof(long) == 4 && strstr(st_hook_reason(&o->hook), "no free memory"))
		return false;
	check(ret == -EBUSY, "register: %d: %s", ret, st_hook_reason(&o->hook));
	return false;
}

static bool do_unregister(struct owned *o)
{
	int ret;

	doing("unregistering");
	while ((ret = st_hook_unregister(&o->hook)) == -EBUSY)
		add(&refused_busy, 1);
	doing("between");
	return check(!ret, "unregister: %d: %s", ret, st_hook_reason(&o->hook));
}

/*
 * No function here branches into another one. But on T32 every halfword of the section is taken for an instruction, data too, and a
 * word that happens to look like a long branch to there rules a function out: which, depends on where all lies.
 */
#if defined(__thumb__)
#define ENTERED_MAX (function_count / 50)
#else
#define ENTERED_MAX 0
#endif

static bool refused[1024];	/* of functions[]: can't be hooked */

/* In calm weather first: each function by itself, under each kind of hook. */
static void one_by_one(void)
{
	uint64_t seed = base_seed;
	unsigned int refusals = 0, entered = 0;

	for (unsigned int i = 0; i < function_count; i++) {
		const struct function *f = &functions[i];

		for (unsigned int kind = 0; kind < 3; kind++) {
			struct owned *o = new_hook(kind);
			int ret = -ENOENT;

			if (kind == 1 && !f->twin)
				goto out;
			st_hook_filter_ip(&o->hook, f->at);
			ret = st_hook_register(&o->hook);
			if (ret == -ENOTSUP) {
				/* A loop at the start is what some of them are made for. */
				if (strstr(st_hook_reason(&o->hook), ": another function branches into its first instructions"))
					entered += kind == 0;
				else
					refusals += kind == 0;
				refused[i] = true;
				if (kind == 0)
					printf("%s %lu: %s\n", f->kind, f->n, st_hook_reason(&o->hook));
				goto out;
			}
			if (!check(ret == 1, "%s %lu: %s", f->kind, f->n, st_hook_reason(&o->hook)))
				goto out;
			for (unsigned int k = 0; k < 20 && call_one(f, check_random(&seed)); k++)
				;
			check(o->hits, "%s %lu: no hits", f->kind, f->n);
			st_hook_unregister(&o->hook);
			call_one(f, check_random(&seed));
out:
			bury(o);
		}
	}
	check(refusals <= function_count / 20, "%u of %u functions can't be hooked", refusals, function_count);
	check(entered <= ENTERED_MAX, "%u functions are said to be entered by others", entered);
	hits = missed = 0;
}

static void hook_random(uint64_t *seed)
{
	static const char *const libc[] = { "libc.so.6:str*", "libc.so.6:*printf", "libc.so.6:*alloc", "libc.so.6:mem*" };
	uint64_t r = check_random(seed);
	struct owned *o = new_hook(r % 3);
	unsigned int n = 1 + (r >> 8) % 40;

	while (n--) {
		unsigned int i = (unsigned int)(check_random(seed) % function_count);
		const struct function *f = &functions[i];

		if (!refused[i] && (r % 3 != 1 || f->twin))
			st_hook_filter_ip(&o->hook, f->at);
	}
	if (r % 3 == 0 && !(r >> 16 & 15))
		st_hook_filter(&o->hook, libc[r >> 32 & 3]);
	if (o->hook.priv && do_register(o)) {
		usleep((useconds_t)(r >> 40) % 2000);
		if (!do_unregister(o))
			return;
	}
	bury(o);
}

static void *hooker(void *arg)
{
	uint64_t seed = base_seed + 999 * (unsigned long)arg;

	me = &actors[CALLERS + (unsigned long)arg];
	while (!finish)
		hook_random(&seed);
	doing(NULL);
	return NULL;
}

/* ---- threads that come and go ---- */

static void *short_lived(void *arg)
{
	uint64_t seed = (unsigned long)arg | 1;

	call_some(&seed, 100);
#if !defined(__arm__)
	/* There it unwinds under the loader's lock, which a child forked at that moment never gets (glibc 2.36). */
	if (seed & 1)
		pthread_exit(NULL);
#endif
	return NULL;
}

static void *spawner(void *arg)
{
	uint64_t seed = base_seed ^ 0x777;

	me = arg;
	while (!finish) {
		pthread_t t[4];

		doing("starting threads");
		for (int i = 0; i < 4; i++)
			if (pthread_create(&t[i], NULL, short_lived, (void *)(unsigned long)check_random(&seed)))
				t[i] = 0;
		for (int i = 0; i < 4; i++)
			if (t[i])
				pthread_join(t[i], NULL);
		add(&threads, 4);
	}
	doing(NULL);
	return NULL;
}

/* ---- a library that is hooked and unloaded ---- */

/* glibc's fork() and dlopen() of two threads at once can leave the child's loader locked: not what is tested here. */
static pthread_mutex_t loader = PTHREAD_MUTEX_INITIALIZER;

static void plugin_round(uint64_t r)
{
	struct owned *o = new_hook(r & 1 ? 0 : 2);
	long (*nops)(long, long), (*moved)(long, long);
	double (*real)(double);
	bool on = false;
	void *lib;

	doing("loading");
	pthread_mutex_lock(&loader);
	lib = dlopen(plugin_path, RTLD_NOW);
	pthread_mutex_unlock(&loader);
	if (!check(lib, "dlopen: %s", dlerror()))
		goto out;
	*(void **)&nops = dlsym(lib, "plugin_nops");
	*(void **)&moved = dlsym(lib, "plugin_moved");
	*(void **)&real = dlsym(lib, "plugin_double");
	check(st_hook_filter(&o->hook, "libstorm-plugin*:plugin_*") == 3, "plugin: %s", st_hook_reason(&o->hook));
	on = do_register(o);
	doing("calling the plugin");
	for (long i = 0; i < 100; i++) {
		long a = nops(i, 3), b = moved(i, 4);
		double c = real((double)i);

		if (!check(a == 1000 + i * 3 && b == i - 12 + 1000 && c == (double)i * 0.5 + 1000,
			   "the plugin returned %ld %ld %f for %ld", a, b, c, i)) {
			add(&wrong, 1);
			break;
		}
	}
	check(!on || o->hits == 300 || wrong, "plugin: %lu hits", o->hits);
	if (on && r & 2) {
		on = false;
		if (!do_unregister(o))
			return;
	}
	doing("unloading");
	pthread_mutex_lock(&loader);
	dlclose(lib);
	pthread_mutex_unlock(&loader);
	if (on && !do_unregister(o))
		return;
out:
	bury(o);
	add(&loads, 1);
}

static void *loading(void *arg)
{
	uint64_t seed = base_seed ^ 0xabcdef;

	me = arg;
	while (!finish) {
		plugin_round(check_random(&seed));
		usleep(1000);
	}
	doing(NULL);
	return NULL;
}

/* ---- forks ---- */

static int child(uint64_t seed)
{
	struct owned *o = new_hook(seed % 3);
	unsigned int n = 0;
	int status = 0;

	me = NULL;
	alarm((unsigned int)STUCK);
	wrong = storm_dead_calls = 0;
	call_some(&seed, 50);
	for (unsigned int i = 0; i < function_count; i += 37)
		n += functions[i].twin && !refused[i] && !st_hook_filter_ip(&o->hook, functions[i].at);
	if (n && st_hook_register(&o->hook) > 0) {
		for (unsigned int i = 0; i < function_count; i += 37)
			call_one(&functions[i], seed);
		if (o->hits < n)
			status = 2;
		if (st_hook_unregister(&o->hook))
			status = 3;
	}
	if (wrong || storm_dead_calls)
		status = 1;
	return status;
}

static void *forker(void *arg)
{
	uint64_t seed = base_seed ^ 0xf0f0f0;

	me = arg;
	while (!finish) {
		uint64_t r = check_random(&seed);
		int status = 0;
		pid_t pid;

		doing("forking");
		pthread_mutex_lock(&loader);
		pid = fork();
		if (!pid)
			_exit(child(r));
		pthread_mutex_unlock(&loader);
		doing("waiting for a child");
		if (pid > 0 && waitpid(pid, &status, 0) == pid)
			check(status == 0, "a forked child ended with %s %d", WIFSIGNALED(status) ? "signal" : "status",
			      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		add(&forks, 1);
		usleep(3000);
	}
	doing(NULL);
	return NULL;
}

/* ---- text, before and after ---- */

static struct text {
	unsigned long start, size;
	unsigned char *copy;
	const char *name;
} texts[64];
static unsigned int text_count;

static int save_text(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	for (int i = 0; i < info->dlpi_phnum && text_count < 64; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		struct text *t = &texts[text_count];

		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X) || strstr(info->dlpi_name, "vdso"))
			continue;
		*t = (struct text){ info->dlpi_addr + ph->p_vaddr, ph->p_filesz, malloc(ph->p_filesz), info->dlpi_name };
		memcpy(t->copy, (void *)t->start, t->size);
		text_count++;
	}
	return 0;
}

static void compare_text(void)
{
	for (unsigned int i = 0; i < text_count; i++) {
		const unsigned char *now = (void *)texts[i].start;
		unsigned long k = 0;

		while (k < texts[i].size && now[k] == texts[i].copy[k])
			k++;
		check(k == texts[i].size, "the text of %s has changed at %#lx", texts[i].name, texts[i].start + k);
	}
}

static int by_from(const void *a, const void *b)
{
	const struct redirect *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

struct redirect redirects[1024];
unsigned int redirect_count;

/* Wherever nothing moves, who is it? */
static void watch(double seconds)
{
	double end = check_now() + seconds;

	while (check_now() < end + STUCK + 1) {
		bool busy = false;

		if (check_now() >= end)
			finish = 1;
		for (int i = 0; i < ACTORS; i++) {
			if (!actors[i].doing)
				continue;
			busy = true;
			if (check_now() - actors[i].since < STUCK)
				continue;
			check(false, "stuck: actor %d, %s", i, actors[i].doing);
			fflush(stdout);
			check_end();
			fflush(stdout);
			_exit(1);
		}
		if (finish && !busy)
			return;
		usleep(20000);
	}
}

static bool wanted(const char *without, const char *part)
{
	return !strstr(without, part);
}

int main(int argc, char **argv)
{
	double seconds = (double)check_option(argc, argv, "--seconds", 5, 180);
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	pthread_t hook_thread[HOOKERS], other[4];
	const char *without = "";
	unsigned int others = 0;

	base_seed = check_option(argc, argv, "--seed", 4242, 4242);
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--without") && i + 1 < argc)
			without = argv[i + 1];
		else if (strchr(argv[i], '/'))
			plugin_path = argv[i];
	}
	for (unsigned int i = 0; i < function_count; i++)
		if (functions[i].twin)
			redirects[redirect_count++] = (struct redirect){
				(unsigned long)functions[i].at & ~(unsigned long)(sizeof(long) == 4),
				(unsigned long)functions[i].twin
			};
	qsort(redirects, redirect_count, sizeof(redirects[0]), by_from);
	for (unsigned int i = 0; i < function_count; i++)
		call_one(&functions[i], base_seed);
	if (!check(!wrong, "functions are wrong before anything is hooked"))
		return check_end();
	dl_iterate_phdr(save_text, NULL);

	one_by_one();
	sigaction(SIGUSR1, &sa, NULL);
	sa.sa_flags |= SA_ONSTACK;
	sigaction(SIGUSR2, &sa, NULL);
	/* every signal blocked, SIGTRAP too */
	if (wanted(without, "masks"))
		sigfillset(&sa.sa_mask);
	sigaction(SIGHUP, &sa, NULL);

	for (int i = 0; i < CALLERS; i++)
		doing(NULL), pthread_create(&caller_thread[i], NULL, caller, (void *)(unsigned long)i);
	for (int i = 0; i < HOOKERS; i++)
		pthread_create(&hook_thread[i], NULL, hooker, (void *)(unsigned long)i);
	if (wanted(without, "signals"))
		pthread_create(&other[others], NULL, signaller, &actors[CALLERS + HOOKERS + others]), others++;
	if (wanted(without, "threads"))
		pthread_create(&other[others], NULL, spawner, &actors[CALLERS + HOOKERS + others]), others++;
	if (wanted(without, "plugin") && *plugin_path)
		pthread_create(&other[others], NULL, loading, &actors[CALLERS + HOOKERS + others]), others++;
	if (check_emulated() && wanted(without, "fork"))
		check_skip("forks: under qemu-user the child of a process with threads waits for locks of QEMU's");
	else if (wanted(without, "fork"))
		pthread_create(&other[others], NULL, forker, &actors[CALLERS + HOOKERS + others]), others++;
	watch(seconds);
	for (unsigned int i = 0; i < others; i++)
		pthread_join(other[i], NULL);
	for (int i = 0; i < HOOKERS; i++)
		pthread_join(hook_thread[i], NULL);
	for (int i = 0; i < CALLERS; i++)
		pthread_join(caller_thread[i], NULL);

	compare_text();
	check(!wrong, "%lu of %lu calls returned a wrong value", wrong, calls + signal_calls);
	check(!storm_dead_calls, "%lu callbacks ran with a hook that was gone", storm_dead_calls);
	check(calls && registered && hits, "nothing happened: %lu calls, %lu hooks, %lu hits", calls, registered, hits);
	printf("%u functions, %lu calls, %lu from signal handlers, %lu hooks registered, %lu refused as busy, %lu hits, "
	       "%lu missed, %lu threads, %lu loads, %lu forks, %.1f s\n", function_count, calls, signal_calls, registered,
	       refused_busy, hits, missed, threads, loads, forks, seconds);
	return check_end();
}
