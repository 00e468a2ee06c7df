// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program that is probed at every instruction of its functions while it runs: short and long loops, a jump table, recursion,
 * a red zone in use, vector registers, string instructions, calls through pointers. Each thread calls all of them with the same
 * arguments again and again, and compares with what came out before anybody was there.
 *
 *	anywhere [THREADS [trap] [signals] [masks]]
 *		trap: it has a SIGTRAP handler of its own, raises it, and looks at its action; signals: a timer interrupts it;
 *		masks: a thread, and a handler, that block every signal; when all is over they still do
 *
 * Says "ready", runs until its standard input ends, says "ok ROUNDS".
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define PROBED __attribute__((noinline, noclone, used, section(".text.probed")))
#define INPUTS 16

static volatile bool stop;
static volatile unsigned long rounds;
static volatile int traps, alarms;

PROBED uint64_t short_loop(uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t i = n & 15; i; i--)
		sum += i * n ^ sum >> 3;
	return sum;
}

PROBED uint64_t jump_table(uint64_t n)
{
	switch (n % 9) {
	case 0: return n + 7;
	case 1: return n * 3;
	case 2: return n ^ 0x55;
	case 3: return n >> 2;
	case 4: return n - 1;
	case 5: return ~n;
	case 6: return n << 5;
	case 7: return n / 5;
	default: return n % 1000;
	}
}

PROBED uint64_t red_zone(uint64_t n)
{
	volatile uint64_t a[8];

	for (int i = 0; i < 8; i++)
		a[i] = n + (uint64_t)i;
	for (int i = 0; i < 8; i++)
		n ^= a[i] * a[7 - i];
	return n;
}

PROBED uint64_t recursion(uint64_t n)
{
	return n < 2 ? n + 1 : recursion(n - 1) + recursion(n - 2) * 3;
}

PROBED uint64_t floating(uint64_t n)
{
	double x = (double)(n % 1000), y = 1.5;

	for (int i = 0; i < 5; i++) {
		y = y * 1.25 + x;
		x = x / 3 - y * 0.5;
	}
	return (uint64_t)(int64_t)(x * 1000) ^ (uint64_t)(int64_t)(y * 7);
}

PROBED uint64_t strings(uint64_t n)
{
	char a[64], b[64];

	memset(a, (int)(n % 64 + 32), sizeof(a));
	a[n % 60] = '\0';
	memcpy(b, a, sizeof(b));
	return strlen(b) * 31 + (uint64_t)(b[3] == a[3]) + (unsigned char)b[n % 50];
}

PROBED static uint64_t by_pointer(uint64_t (*fn)(uint64_t), uint64_t n)
{
	return fn(n + 1) ^ fn(n + 2);
}

PROBED uint64_t conditions(uint64_t n)
{
	int64_t v = (int64_t)n - 500;

	if (v < -100)
		v = -v;
	else if (v < 0)
		v += 3;
	else if (v > 300 && (v & 1))
		v ^= 0x77;
	return (uint64_t)v * (v & 4 ? 3 : 5);
}

PROBED uint64_t indirect(uint64_t n)
{
	static uint64_t (*const fn[])(uint64_t) = { short_loop, jump_table, red_zone, conditions };

	return by_pointer(fn[n % 4], n);
}

static uint64_t small_recursion(uint64_t n)
{
	return recursion(n % 8);
}

static uint64_t (*const all[])(uint64_t) = {
	short_loop, jump_table, red_zone, small_recursion, floating, strings, conditions, indirect,
};
#define FUNCTIONS (sizeof(all) / sizeof(all[0]))

static uint64_t right[FUNCTIONS][INPUTS];

static uint64_t input(unsigned int i)
{
	return i * 77ull + i;
}

static bool blocks_trap(void)
{
	sigset_t set;

	pthread_sigmask(SIG_SETMASK, NULL, &set);
	return sigismember(&set, SIGTRAP);
}

static void *worker(void *arg)
{
	sigset_t every;

	if (arg) {
		sigfillset(&every);
		pthread_sigmask(SIG_SETMASK, &every, NULL);
	}
	while (!stop) {
		for (unsigned int f = 0; f < FUNCTIONS; f++) {
			for (unsigned int i = 0; i < INPUTS; i++) {
				uint64_t got = all[f](input(i));

				if (got != right[f][i]) {
					fprintf(stderr, "wrong: function %u input %u: %#llx, not %#llx\n", f, i,
						(unsigned long long)got, (unsigned long long)right[f][i]);
					_exit(1);
				}
			}
		}
		__atomic_fetch_add(&rounds, 1, __ATOMIC_RELAXED);
	}
	if (arg && !blocks_trap()) {
		fprintf(stderr, "a thread's mask is not what it was\n");
		_exit(1);
	}
	return NULL;
}

static void on_trap(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (sig != SIGTRAP || info->si_pid != getpid()) {
		static const char text[] = "a trap that the program did not raise\n";

		if (write(2, text, sizeof(text) - 1) < 0)
			_exit(3);
		_exit(2);
	}
	traps++;
}

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
	if (jump_table(9) != 16)
		_exit(4);
}

/* Its own handler gets what it raises, and is what it finds installed. */
static void use_trap(void)
{
	struct sigaction sa = { 0 }, was;
	int before = traps;

	raise(SIGTRAP);
	if (traps != before + 1) {
		fprintf(stderr, "the program's own SIGTRAP was lost\n");
		_exit(1);
	}
	if (sigaction(SIGTRAP, NULL, &was) || was.sa_sigaction != on_trap || !(was.sa_flags & SA_SIGINFO) ||
	    !sigismember(&was.sa_mask, SIGUSR1)) {
		fprintf(stderr, "the program's own SIGTRAP action is another one\n");
		_exit(1);
	}
	/* Another one, and back. */
	sa.sa_handler = SIG_IGN;
	if (sigaction(SIGTRAP, &sa, &was) || was.sa_sigaction != on_trap)
		_exit(5);
	raise(SIGTRAP);
	if (traps != before + 1 || sigaction(SIGTRAP, &was, &sa) || sa.sa_handler != SIG_IGN)
		_exit(6);
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 1;
	struct itimerval every = { { 0, 3000 }, { 0, 3000 } };
	bool trap = false, signals = false, masks = false;
	pthread_t thread[64];
	struct sigaction sa = { 0 };
	char byte;

	for (int i = 2; i < argc; i++) {
		trap |= !strcmp(argv[i], "trap");
		signals |= !strcmp(argv[i], "signals");
		masks |= !strcmp(argv[i], "masks");
	}
	for (unsigned int f = 0; f < FUNCTIONS; f++)
		for (unsigned int i = 0; i < INPUTS; i++)
			right[f][i] = all[f](input(i));
	if (trap) {
		sa.sa_sigaction = on_trap;
		sa.sa_flags = SA_SIGINFO;
		sigaddset(&sa.sa_mask, SIGUSR1);
		sigaction(SIGTRAP, &sa, NULL);
	}
	if (signals) {
		struct sigaction alarm = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };

		if (masks)
			sigfillset(&alarm.sa_mask);
		sigaction(SIGALRM, &alarm, NULL);
		setitimer(ITIMER_REAL, &every, NULL);
	}
	for (int i = 0; i < threads && i < 64; i++)
		pthread_create(&thread[i], NULL, worker, masks && !i ? "" : NULL);
	puts("ready");
	fflush(stdout);
	if (trap) {
		struct timeval tv;
		fd_set in;

		for (;;) {
			FD_ZERO(&in);
			FD_SET(0, &in);
			tv = (struct timeval){ 0, 1000 };
			if (select(1, &in, NULL, NULL, &tv) > 0 && read(0, &byte, 1) == 0)
				break;
			use_trap();
		}
	} else {
		while (read(0, &byte, 1) != 0)
			;
	}
	stop = true;
	for (int i = 0; i < threads && i < 64; i++)
		pthread_join(thread[i], NULL);
	if (masks && (sigaction(SIGALRM, NULL, &sa) || !sigismember(&sa.sa_mask, SIGTRAP))) {
		fprintf(stderr, "a handler's mask is not what it was\n");
		return 1;
	}
	printf("ok %lu\n", rounds);
	return 0;
}
