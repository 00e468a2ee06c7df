// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs to be stopped and borrowed: each thread does one thing and checks that nothing ever
 *happens to it that would not happen without us. The first wrong result ends the program with
 *status 1 and says what it was.
 *
 *	target MODE[,MODE...]	runs until its standard input ends, then prints "ok COUNT" and exits
 *with 0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if !defined(SYS_futex)
#define SYS_futex SYS_futex_time64
#endif

static volatile bool stop;
static volatile unsigned long rounds;

#define FAIL(...)                                                                                  \
	do {                                                                                       \
		/* Its partner may be gone already. */                                             \
		while (stop)                                                                       \
			sleep(1);                                                                  \
		fprintf(stderr, "target: " __VA_ARGS__);                                           \
		fprintf(stderr, " (errno %d, %s)\n", errno, strerror(errno));                      \
		_exit(1);                                                                          \
	} while (0)

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void one(void)
{
	__atomic_fetch_add(&rounds, 1, __ATOMIC_RELAXED);
}

/* ---- blocked in a system call: no EINTR, the right result, not back too early */

static void *do_epoll(void *arg)
{
	struct epoll_event ev = {.events = EPOLLIN}, out;
	int ep = epoll_create1(0), p[2];

	(void)arg;
	if (pipe(p) || epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev))
		FAIL("epoll");
	while (!stop) {
		double t = now();

		if (epoll_wait(ep, &out, 1, 50) != 0 || now() - t < 0.049)
			FAIL("epoll_wait");
		one();
	}
	return NULL;
}

static void *do_poll(void *arg)
{
	struct pollfd fd = {.events = POLLIN};
	int p[2];

	(void)arg;
	if (pipe(p))
		FAIL("pipe");
	fd.fd = p[0];
	while (!stop) {
		double t = now();

		if (poll(&fd, 1, 50) != 0 || now() - t < 0.049 || now() - t > 30)
			FAIL("poll %f", now() - t);
		one();
	}
	return NULL;
}

static void *do_select(void *arg)
{
	(void)arg;
	while (!stop) {
		struct timeval tv = {0, 50000};
		double t = now();

		if (select(0, NULL, NULL, NULL, &tv) != 0 || now() - t < 0.049)
			FAIL("select");
		one();
	}
	return NULL;
}

static void *do_nanosleep(void *arg)
{
	(void)arg;
	while (!stop) {
		struct timespec ts = {0, 50000000};
		double t = now();

		if (nanosleep(&ts, NULL) || now() - t < 0.049)
			FAIL("nanosleep");
		one();
	}
	return NULL;
}

static void *do_clock_nanosleep(void *arg)
{
	(void)arg;
	while (!stop) {
		struct timespec ts;
		int ret;

		clock_gettime(CLOCK_MONOTONIC, &ts);
		ts.tv_nsec += 50000000;
		if (ts.tv_nsec >= 1000000000) {
			ts.tv_sec++;
			ts.tv_nsec -= 1000000000;
		}
		ret = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
		if (ret) {
			errno = ret;
			FAIL("clock_nanosleep");
		}
		one();
	}
	return NULL;
}

static void *do_futex(void *arg)
{
	static int word;

	(void)arg;
	while (!stop) {
		struct timespec ts = {0, 50000000};
		double t = now();

		if (syscall(SYS_futex, &word, FUTEX_WAIT, 0, &ts, NULL, 0) != -1 ||
		    errno != ETIMEDOUT || now() - t < 0.049)
			FAIL("futex");
		one();
	}
	return NULL;
}

/* The same, by a function of libc that says EINTR to its caller. */
static void *do_sem_timed(void *arg)
{
	sem_t never;

	(void)arg;
	sem_init(&never, 0, 0);
	while (!stop) {
		struct timespec ts;
		double t = now();

		clock_gettime(CLOCK_REALTIME, &ts);
		ts.tv_nsec += 50000000;
		if (ts.tv_nsec >= 1000000000) {
			ts.tv_sec++;
			ts.tv_nsec -= 1000000000;
		}
		if (sem_timedwait(&never, &ts) != -1 || errno != ETIMEDOUT || now() - t < 0.049)
			FAIL("sem_timedwait");
		one();
	}
	return NULL;
}

static int ping[2];

static void *do_read(void *arg)
{
	char byte;

	(void)arg;
	while (!stop) {
		if (read(ping[0], &byte, 1) != 1 || byte != 'p')
			FAIL("read");
		one();
	}
	return NULL;
}

static sem_t sem;
static int msgq, semid, dgram[2];
struct message {
	long type;
	char text[8];
};

/* Wakes up those who wait for somebody. */
static void *do_feed(void *arg)
{
	struct message m = {1, "hello"};
	struct sembuf up = {0, 1, 0};

	(void)arg;
	while (!stop) {
		usleep(20000);
		if (write(ping[1], "p", 1) != 1)
			FAIL("write");
		sem_post(&sem);
		if (msgsnd(msgq, &m, sizeof(m.text), 0))
			FAIL("msgsnd");
		if (semop(semid, &up, 1))
			FAIL("semop up");
		if (send(dgram[1], "d", 1, 0) != 1)
			FAIL("send");
	}
	return NULL;
}

static void *do_sem(void *arg)
{
	(void)arg;
	while (!stop) {
		if (sem_wait(&sem))
			FAIL("sem_wait");
		one();
	}
	return NULL;
}

static void *do_msgrcv(void *arg)
{
	struct message m;

	(void)arg;
	while (!stop) {
		if (msgrcv(msgq, &m, sizeof(m.text), 0, 0) != sizeof(m.text) ||
		    strcmp(m.text, "hello"))
			FAIL("msgrcv");
		one();
	}
	return NULL;
}

static void *do_semop(void *arg)
{
	struct sembuf down = {0, -1, 0};

	(void)arg;
	while (!stop) {
		struct timespec ts = {5, 0};

		if (semtimedop(semid, &down, 1, &ts))
			FAIL("semtimedop");
		one();
	}
	return NULL;
}

static void *do_recv(void *arg)
{
	struct timeval tv = {5, 0};
	char byte;

	(void)arg;
	/* With a timeout a socket returns EINTR where it would have gone on. */
	setsockopt(dgram[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	while (!stop) {
		if (recv(dgram[0], &byte, 1, 0) != 1 || byte != 'd')
			FAIL("recv");
		one();
	}
	return NULL;
}

static void *do_sigtimedwait(void *arg)
{
	sigset_t set;

	(void)arg;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 3);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	while (!stop) {
		struct timespec ts = {0, 50000000};
		double t = now();

		if (sigtimedwait(&set, NULL, &ts) != -1 || errno != EAGAIN || now() - t < 0.049)
			FAIL("sigtimedwait");
		one();
	}
	return NULL;
}

static void *do_ppoll(void *arg)
{
	sigset_t set, was;

	(void)arg;
	sigfillset(&set);
	pthread_sigmask(SIG_BLOCK, NULL, &was);
	while (!stop) {
		struct timespec ts = {0, 50000000};
		sigset_t is;

		if (ppoll(NULL, 0, &ts, &set))
			FAIL("ppoll");
		pthread_sigmask(SIG_BLOCK, NULL, &is);
		if (memcmp(&was, &is, 8))
			FAIL("the signal mask changed in ppoll");
		one();
	}
	return NULL;
}

/* These never come back. */
static void *do_pause(void *arg)
{
	(void)arg;
	pause();
	FAIL("pause came back");
}

static void *do_sigsuspend(void *arg)
{
	sigset_t set;

	(void)arg;
	sigfillset(&set);
	sigsuspend(&set);
	FAIL("sigsuspend came back");
}

static void *do_accept(void *arg)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)arg;
	if (fd < 0 || bind(fd, (void *)&name, sizeof(name.sun_family)) || listen(fd, 1))
		FAIL("listen");
	accept(fd, NULL, NULL);
	FAIL("accept came back");
}

static void *do_waitpid(void *arg)
{
	(void)arg;
	while (!stop) {
		int status;
		pid_t pid = fork();

		if (!pid) {
			usleep(30000);
			_exit(7);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
		    WEXITSTATUS(status) != 7)
			FAIL("waitpid");
		one();
	}
	return NULL;
}

/* A child of vfork() keeps its parent waiting; it says so by "v", and takes 400 ms. */
static volatile bool vforking;
static void *do_vfork(void *arg)
{
	(void)arg;
	while (!stop) {
		int status;
		pid_t pid;

		vforking = true;
		pid = vfork();
		if (!pid) {
			struct timespec ts = {0, 400000000};

			syscall(SYS_nanosleep, &ts, NULL);
			_exit(9);
		}
		vforking = false;
		if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
		    WEXITSTATUS(status) != 9)
			FAIL("vfork");
		usleep(300000);
		one();
	}
	return NULL;
}

/* Signals from outside: each that is queued is handled once. */
static volatile int queued;
static void on_queued(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	if (info->si_value.sival_int != queued)
		FAIL("signal %d came in place of %d", info->si_value.sival_int, queued);
	queued++;
}

static void *do_queue(void *arg)
{
	struct sigaction sa = {.sa_sigaction = on_queued, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigset_t set;

	(void)arg;
	sigaction(SIGRTMIN + 5, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 5);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	while (!stop) {
		struct timespec ts = {0, 1000000};

		nanosleep(&ts, NULL);
		rounds = queued;
	}
	return NULL;
}

/* ---- busy: locks held at any moment */

static void *do_malloc(void *arg)
{
	unsigned int seed = (uintptr_t)arg;
	char *p[64] = {0};

	while (!stop) {
		unsigned int i = rand_r(&seed) % 64, size = rand_r(&seed) % 70000 + 1;

		if (p[i] && p[i][0] != (char)i)
			FAIL("malloc: memory was changed");
		free(p[i]);
		p[i] = malloc(size);
		if (!p[i])
			FAIL("malloc");
		p[i][0] = i;
		p[i][size - 1] = i;
		one();
	}
	return NULL;
}

static void *do_dlopen(void *arg)
{
	(void)arg;
#ifndef STATIC
	while (!stop) {
		void *h = dlopen("libz.so.1", RTLD_NOW | RTLD_LOCAL);

		if (!h)
			h = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);
		if (!h)
			FAIL("dlopen: %s", dlerror());
		dlclose(h);
		one();
	}
#endif
	return NULL;
}

static void *do_printf(void *arg)
{
	FILE *f = fopen("/dev/null", "w");
	char text[64];

	(void)arg;
	while (!stop) {
		double x = rounds / 7.0;

		snprintf(text, sizeof(text), "%.17g", x);
		if (strtod(text, NULL) != x)
			FAIL("printf: %s is not %.17g", text, x);
		if (fprintf(f, "%d %s %f\n", 5, text, x) < 5)
			FAIL("fprintf");
		one();
	}
	return NULL;
}

/* All vector registers hold a pattern while a loop runs in general registers. */
static bool vector_round(const uint64_t *in, uint64_t *out, unsigned long n, unsigned long *sum)
{
	unsigned long a = 1, b = 0, i = n;

#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f")) {
#define L(k) "vmovdqu64 64*" #k "(%[in]),%%zmm" #k "\n"
#define S(k) "vmovdqu64 %%zmm" #k ",64*" #k "(%[out])\n"
#define ALL(X)                                                                                     \
	X(0)                                                                                       \
	X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16)     \
		X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29)      \
			X(30) X(31)
		asm volatile(ALL(L) "1: add %[a],%[b]\n imul $3,%[a],%[a]\n add $1,%[a]\n dec "
				    "%[i]\n jnz 1b\n" ALL(S) "vzeroupper\n"
			     : [a] "+r"(a), [b] "+r"(b), [i] "+r"(i)
			     : [in] "r"(in), [out] "r"(out)
			     : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
			       "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
			       "xmm14", "xmm15");
#undef L
#undef S
	} else {
#define L(k) "movdqu 64*" #k "(%[in]),%%xmm" #k "\n"
#define S(k) "movdqu %%xmm" #k ",64*" #k "(%[out])\n"
#define HALF(X)                                                                                    \
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
		memcpy(out, in, 32 * 64);
		asm volatile(HALF(L) "1: add %[a],%[b]\n imul $3,%[a],%[a]\n add $1,%[a]\n dec "
				     "%[i]\n jnz 1b\n" HALF(S)
			     : [a] "+r"(a), [b] "+r"(b), [i] "+r"(i)
			     : [in] "r"(in), [out] "r"(out)
			     : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
			       "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
			       "xmm14", "xmm15");
	}
#elif defined(__aarch64__)
#define L(k) "ldr q" #k ",[%[in],#16*" #k "]\n"
#define S(k) "str q" #k ",[%[out],#16*" #k "]\n"
#define ALL(X)                                                                                     \
	X(0)                                                                                       \
	X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16)     \
		X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29)      \
			X(30) X(31)
	unsigned long t = 3;

	asm volatile(ALL(L) "1: add %[b],%[b],%[a]\n mul %[a],%[a],%[t]\n add %[a],%[a],#1\n subs "
			    "%[i],%[i],#1\n b.ne 1b\n" ALL(S)
		     : [a] "+r"(a), [b] "+r"(b), [i] "+r"(i)
		     : [in] "r"(in), [out] "r"(out), [t] "r"(t)
		     : "memory", "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9",
		       "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20",
		       "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
#else
	const uint64_t *from = in;
	uint64_t *to = out;
	unsigned long t = 3;

	asm volatile(".fpu neon\n vldmia %[in]!,{d0-d15}\n vldmia %[in],{d16-d31}\n"
		     "1: add %[b],%[b],%[a]\n mul %[a],%[t],%[a]\n add %[a],%[a],#1\n subs "
		     "%[i],%[i],#1\n bne 1b\n"
		     "vstmia %[out]!,{d0-d15}\n vstmia %[out],{d16-d31}\n"
		     : [a] "+r"(a), [b] "+r"(b), [i] "+r"(i), [in] "+r"(from), [out] "+r"(to)
		     : [t] "r"(t)
		     : "memory", "cc", "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9",
		       "d10", "d11", "d12", "d13", "d14", "d15");
#endif
	*sum = b;
#if defined(__x86_64__)
	return !memcmp(in, out, 32 * 64);
#elif defined(__aarch64__)
	return !memcmp(in, out, 32 * 16);
#else
	return !memcmp(in, out, 32 * 8);
#endif
}

static void *do_vector(void *arg)
{
	uint64_t in[32 * 8], out[32 * 8];
	unsigned int seed = (uintptr_t)arg;
	size_t i;

	while (!stop) {
		unsigned long n = 100000, a = 1, b = 0, sum = 0;

		for (i = 0; i < 32 * 8; i++)
			in[i] = (uint64_t)rand_r(&seed) << 32 | rand_r(&seed);
		memset(out, 0, sizeof(out));
		if (!vector_round(in, out, n, &sum))
			FAIL("a vector register changed");
		while (n--) {
			b += a;
			a = a * 3 + 1;
		}
		if (b != sum)
			FAIL("a general register changed");
		one();
	}
	return NULL;
}

/* A timer's signals, handled on another stack. */
static __thread volatile int on_other;
static void handler(int sig)
{
	char here;
	volatile double x = 1.0;
	int i;

	(void)sig;
	(void)here;
	for (i = 0; i < 2000; i++)
		x = x * 1.0000001;
	on_other++;
}

static void *do_handler(void *arg)
{
	stack_t ss = {.ss_size = 65536}, is;
	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_ONSTACK | SA_RESTART};
	volatile unsigned long x = 0;

	(void)arg;
	ss.ss_sp = malloc(ss.ss_size);
	sigaltstack(&ss, NULL);
	sigaction(SIGRTMIN + 1, &sa, NULL);
	while (!stop) {
		int before = on_other, i;

		for (i = 0; i < 50; i++)
			pthread_kill(pthread_self(), SIGRTMIN + 1);
		for (i = 0; i < 10000; i++)
			x += i;
		if (on_other != before + 50)
			FAIL("%d of 50 signals were handled", on_other - before);
		if (sigaltstack(NULL, &is) || is.ss_sp != ss.ss_sp || is.ss_size != ss.ss_size)
			FAIL("the alternate stack changed");
		one();
	}
	return NULL;
}

static void *short_thread(void *arg)
{
	return (char *)arg + 1;
}

static void *do_threads(void *arg)
{
	(void)arg;
	while (!stop) {
		pthread_t t[4];
		uintptr_t i;
		void *ret;

		for (i = 0; i < 4; i++)
			if (pthread_create(&t[i], NULL, short_thread, (void *)i))
				FAIL("pthread_create");
		for (i = 0; i < 4; i++)
			if (pthread_join(t[i], &ret) || ret != (void *)(i + 1))
				FAIL("pthread_join");
		one();
	}
	return NULL;
}

/* ---- masks, SIGTRAP, seccomp */

static volatile int traps;
static void on_trap(int sig)
{
	(void)sig;
	traps++;
}

static void *do_mask(void *arg)
{
	struct sigaction sa = {.sa_handler = on_trap};
	sigset_t all, is;
	double t;

	(void)arg;
	sigaction(SIGTRAP, &sa, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &all);
	while (!stop) {
		for (t = now(); now() - t < 0.01;)
			;
		pthread_sigmask(SIG_SETMASK, NULL, &is);
		if (memcmp(&all, &is, 8))
			FAIL("the signal mask changed");
		if (traps)
			FAIL("a SIGTRAP arrived");
		one();
	}
	return NULL;
}

static void *do_trap(void *arg)
{
	struct sigaction sa = {.sa_handler = on_trap};

	(void)arg;
	sigaction(SIGTRAP, &sa, NULL);
	while (!stop) {
		int before = traps;

		raise(SIGTRAP);
		if (traps != before + 1)
			FAIL("its own SIGTRAP got lost");
		one();
	}
	return NULL;
}

static void seccomp(void)
{
	/* What we would do in its place kills it; what it does itself is allowed. */
	static const int deadly[] = {SYS_getpid, SYS_gettid, SYS_process_vm_readv, SYS_munmap, SYS_memfd_create, SYS_mprotect,
#ifdef SYS_mmap2
				     SYS_mmap2
#else
				      SYS_mmap
#endif
	};
	struct sock_filter f[16];
	struct sock_fprog prog = {.filter = f};
	size_t i, n = 0, count = sizeof(deadly) / sizeof(deadly[0]);

	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					      offsetof(struct seccomp_data, nr));
	for (i = 0; i < count; i++)
		f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
						      (unsigned int)deadly[i],
						      (unsigned char)(count - i), 0);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	prog.len = n;
	/* All threads: to make them took what is forbidden now. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog))
		FAIL("seccomp");
}

static const struct mode {
	const char *name, *group;
	void *(*fn)(void *);
} modes[] = {
	{"epoll", "blocked", do_epoll},
	{"poll", "blocked", do_poll},
	{"select", "blocked", do_select},
	{"nanosleep", "blocked", do_nanosleep},
	{"clock_nanosleep", "blocked", do_clock_nanosleep},
	{"futex", "blocked", do_futex},
	{"sem_timed", "blocked", do_sem_timed},
	{"feed", "blocked", do_feed},
	{"read", "blocked", do_read},
	{"sem", "blocked", do_sem},
	{"msgrcv", "blocked", do_msgrcv},
	{"semop", "blocked", do_semop},
	{"recv", "blocked", do_recv},
	{"sigtimedwait", "blocked", do_sigtimedwait},
	{"ppoll", "blocked", do_ppoll},
	{"pause", "blocked", do_pause},
	{"sigsuspend", "blocked", do_sigsuspend},
	{"accept", "blocked", do_accept},
	{"waitpid", "fork", do_waitpid},
	{"vfork", "vfork", do_vfork},
	{"queue", "queue", do_queue},
	{"malloc", "busy", do_malloc},
	{"malloc2", "busy", do_malloc},
	{"dlopen", "busy", do_dlopen},
	{"printf", "busy", do_printf},
	{"vector", "busy", do_vector},
	{"handler", "busy", do_handler},
	{"threads", "busy", do_threads},
	{"trap", "trap", do_trap},
	{"mask", "mask", do_mask},
};

/* Called from outside. */
long target_add(long a, long b, long c, long d);
long target_add(long a, long b, long c, long d)
{
	volatile double x = a;

	return (long)(x * 1000) + b * 100 + c * 10 + d;
}

volatile long target_word = 42;

void target_crash(void);
void target_crash(void)
{
	*(volatile int *)(target_word - 34) = 1;
}

void target_hang(void);
void target_hang(void)
{
	for (;;)
		getppid();
}

int main(int argc, char **argv)
{
	const char *want = argc > 1 ? argv[1] : "";
	pthread_t t;
	size_t i;
	char c;

	signal(SIGPIPE, SIG_IGN);
	if (strstr(want, "blocked")) {
		if (pipe(ping) || sem_init(&sem, 0, 0) || socketpair(AF_UNIX, SOCK_DGRAM, 0, dgram))
			FAIL("setup");
		msgq = msgget(IPC_PRIVATE, 0600);
		semid = semget(IPC_PRIVATE, 1, 0600);
		if (msgq < 0 || semid < 0)
			FAIL("setup");
	}
	if (strstr(want, "queue")) {
		/* For its own thread only. */
		sigset_t set;

		sigemptyset(&set);
		sigaddset(&set, SIGRTMIN + 5);
		pthread_sigmask(SIG_BLOCK, &set, NULL);
	}
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		char word[32];
		const char *at;

		snprintf(word, sizeof(word), "%s", modes[i].name);
		at = strstr(want, word);
		if (strstr(want, modes[i].group) ||
		    (at && (!at[strlen(word)] || at[strlen(word)] == ',')))
			if (pthread_create(&t, NULL, modes[i].fn, (void *)i))
				FAIL("pthread_create");
	}
	for (i = 0; strstr(want, "many") && i < (getenv("SIDETRACK_VM") ? 60 : 300); i++)
		if (pthread_create(&t, NULL, do_nanosleep, NULL))
			FAIL("pthread_create");
	if (strstr(want, "seccomp"))
		seccomp();
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		ssize_t got = read(0, &c, 1);

		if (got < 0)
			FAIL("read of standard input");
		if (!got)
			break;
		if (c == 'x') {
			execl("/proc/self/exe", argv[0], "", NULL);
			FAIL("exec");
		}
		if (c == 'l')
			pthread_exit(NULL);
		/* Asked for a sign of life. */
		printf("alive %lu\n", rounds);
		fflush(stdout);
	}
	stop = true;
	if (strstr(want, "blocked")) {
		msgctl(msgq, IPC_RMID, NULL);
		semctl(semid, 0, IPC_RMID);
	}
	printf("ok %lu\n", rounds);
	fflush(stdout);
	_exit(0);
}
