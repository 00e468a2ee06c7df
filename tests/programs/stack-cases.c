/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stacks that lead to a function, old(), in all the ways there are, and stacks that only look so: stack-cases CASE.
 *
 * It says "ready" when the stack is as the case wants it, and goes on with each byte that it reads: each word of CASE's description is a
 * wait. At its end it says "out", and waits once more, with no frame of old() left.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <alloca.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define KEEP __attribute__((noinline, noclone, used))

static const char *how;
static volatile int leave;
static volatile unsigned long sink;

/* Not by the C library's buffers: what they do to the stack is not what is tested. */
KEEP void wait_here(const char *say)
{
	char c;

	if (write(1, say, strlen(say)) < 0 || read(0, &c, 1) != 1)
		_exit(1);
}

KEEP void inner(int depth)
{
	volatile char room[64];

	room[0] = (char)depth;
	if (depth)
		inner(depth - 1);
	else
		wait_here("ready\n");
	sink += (unsigned long)room[0];
}

KEEP void nothing(void)
{
	volatile char room[64];

	room[0] = 1;
	sink += (unsigned long)room[0];
	__asm__ volatile("" : : : "memory");
}

/* Has its return address on the stack, everywhere. */
KEEP void calls_nothing(void)
{
	nothing();
	nothing();
}

/* ---- a leaf that only its register leads back from */

#if defined(__aarch64__)
void leaf(volatile int *flag);
__asm__(".text\n.type leaf, %function\nleaf:\n1:\tldr w1, [x0]\n\tcbz w1, 1b\n\tret\n.size leaf, . - leaf\n");
/* Goes there by a jump, the return address in lr alone: nothing of it is on the stack. */
void old_asm(volatile int *flag);
__asm__(".globl old_asm\n.type old_asm, %function\nold_asm:\n\tmov x9, x30\n\tbl leaf\n\tmov x30, x9\n\tret\n.size old_asm, . - old_asm\n");
#elif defined(__arm__)
void leaf(volatile int *flag);
__asm__(".text\n.syntax unified\n.type leaf, %function\nleaf:\n1:\tldr r1, [r0]\n\tcmp r1, #0\n\tbeq 1b\n\tbx lr\n.size leaf, . - leaf\n");
void old_asm(volatile int *flag);
__asm__(".globl old_asm\n.type old_asm, %function\nold_asm:\n\tmov r12, lr\n\tbl leaf\n\tmov lr, r12\n\tbx lr\n.size old_asm, . - old_asm\n");
#endif

/* ---- signals */

static void *alt_stack(size_t size)
{
	void *at = mmap(NULL, size + 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	/* What lies next to it is not of its mapping. */
	mprotect(at, 4096, PROT_NONE);
	mprotect((char *)at + 4096 + size, 4096, PROT_NONE);
	return (char *)at + 4096;
}

static void use_alt_stack(void *at, size_t size)
{
	stack_t ss = { .ss_sp = at, .ss_size = size };

	if (sigaltstack(&ss, NULL))
		_exit(1);
}

KEEP void second_handler(int sig)
{
	(void)sig;
	inner(2);
}

KEEP void first_handler(int sig)
{
	(void)sig;
	if (strstr(how, "nested"))
		raise(SIGUSR2);
	else
		inner(2);
}

static void set_handlers(int flags)
{
	struct sigaction sa = { .sa_handler = first_handler, .sa_flags = flags };

	sigaction(SIGUSR1, &sa, NULL);
	sa.sa_handler = second_handler;
	sigaction(SIGUSR2, &sa, NULL);
}

/* By a system call: the library's frames have old words in them. On ARM by one of our own: nothing describes syscall() there. */
KEEP void send_signal(void)
{
	long pid = getpid(), tid = syscall(SYS_gettid);
#if defined(__arm__)
	register long r7 __asm__("r7") = SYS_tgkill, r0 __asm__("r0") = pid, r1 __asm__("r1") = tid, r2 __asm__("r2") = SIGUSR1;

	__asm__ volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2) : "memory");
	sink += (unsigned long)r0;
#else
	sink += (unsigned long)syscall(SYS_tgkill, pid, tid, SIGUSR1);
#endif
}

/* ---- coroutines */

#ifdef NO_COROUTINES
#define swapcontext(from, to) ((void)(from), (void)(to), abort())
#define makecontext(c, fn, n) ((void)(c), (void)(fn), (void)(n), abort())
#endif

static ucontext_t back, first, second;

KEEP void yield(void)
{
	swapcontext(&first, &back);
}

/* ---- the function */

KEEP void old(void)
{
	static int calls;

	if (!strcmp(how, "stale-again") && calls++)
		inner(3);
	else if (!strcmp(how, "pc")) {
		if (write(1, "ready\n", 6) != 6)
			_exit(1);
		while (!leave)
			sink++;
	} else if (!strncmp(how, "stale", 5) || !strcmp(how, "bottom") || !strcmp(how, "large") || strstr(how, "clean")) {
		calls_nothing();
	} else if (strstr(how, "handler")) {
		send_signal();
	} else if (strstr(how, "coroutine")) {
		yield();
	} else {
		inner(3);
		/* Now that it may be probed. */
		if (!strcmp(how, "pending"))
			inner(3);
	}
	__asm__ volatile("" : : : "memory");
}

KEEP void run(void)
{
	old();
	__asm__ volatile("" : : : "memory");
}

/* Where old() has been, there are words that lead there; @room is not written. */
KEEP void over(void)
{
	volatile char room[16384];

	__asm__ volatile("" : : "r"(room) : "memory");
	inner(0);
	__asm__ volatile("" : : "r"(room) : "memory");
}

KEEP void over_much(void)
{
	volatile char *room = alloca(10 << 20);

	for (size_t i = 0; i < 10 << 20; i += 4096)
		room[i] = 0;
	wait_here("ready\n");
	sink += (unsigned long)room[0];
}

KEEP void *in_a_thread(void *arg)
{
	if (arg)
		use_alt_stack(arg, 65536);
	run();
	if (!strncmp(how, "stale", 5))
		over();
	else if (!strcmp(how, "large"))
		over_much();
	else if (strstr(how, "clean"))
		send_signal();
	return NULL;
}

static void thread_case(void *arg, size_t stack)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	if (stack)
		pthread_attr_setstacksize(&attr, stack);
	if (pthread_create(&t, &attr, in_a_thread, arg))
		_exit(1);
	pthread_join(t, NULL);
}

KEEP void body(void)
{
	run();
}

KEEP void coroutine_case(void)
{
	size_t size = 65536;
	char *stack = strstr(how, "heap") ? malloc(size) : alt_stack(size);

	getcontext(&first);
	first.uc_stack.ss_sp = stack;
	first.uc_stack.ss_size = size;
	first.uc_link = &second;
	makecontext(&first, body, 0);
	swapcontext(&back, &first);
	/* Parked in old(). */
	wait_here("ready\n");
	swapcontext(&second, &first);
	memset(stack, 0, size);
	memset(&first, 0, sizeof(first));
	if (!strstr(how, "heap"))
		munmap(stack, size);
}

/* A thread on a coroutine's stack, its own is parked in old(). */
KEEP void stay(void)
{
	wait_here("ready\n");
}

KEEP void stay_case(void)
{
	size_t size = 65536;
	char *stack = alt_stack(size);

	getcontext(&second);
	second.uc_stack.ss_sp = stack;
	second.uc_stack.ss_size = size;
	second.uc_link = &first;
	makecontext(&second, stay, 0);
	back = second;
	old();
	memset(&first, 0, sizeof(first));
}

/* ---- a stack whose bottom nobody describes: begun by hand */

#if defined(__x86_64__)
__asm__(".text\n.type begin, @function\nbegin:\n\tmov %rsp, %rbx\n\tmov %rdi, %rsp\n\tcall *%rsi\n\tmov %rbx, %rsp\n\tret\n.size begin, . - begin\n");
#define BEGIN(stack, fn) __asm__ volatile("call begin" : : "D"(stack), "S"(fn) : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc")
#elif defined(__aarch64__)
__asm__(".text\n.type begin, %function\nbegin:\n\tmov x19, sp\n\tmov x20, x30\n\tmov sp, x0\n\tblr x1\n\tmov sp, x19\n\tret x20\n.size begin, . - begin\n");
#define BEGIN(stack, fn)                                                                                                                    \
	do {                                                                                                                                \
		register void *x0 __asm__("x0") = (stack);                                                                                  \
		register void *x1 __asm__("x1") = (void *)(fn);                                                                             \
		__asm__ volatile("bl begin" : "+r"(x0), "+r"(x1) : : "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12",     \
				 "x13", "x14", "x15", "x16", "x17", "x19", "x20", "x30", "memory", "cc");                                    \
	} while (0)
#else
__asm__(".text\n.syntax unified\n.type begin, %function\nbegin:\n\tmov r4, sp\n\tmov r5, lr\n\tmov sp, r0\n\tblx r1\n\tmov sp, r4\n\tbx r5\n"
	".size begin, . - begin\n");
#define BEGIN(stack, fn)                                                                                                                    \
	do {                                                                                                                                \
		register void *r0 __asm__("r0") = (stack);                                                                                  \
		register void *r1 __asm__("r1") = (void *)(fn);                                                                             \
		__asm__ volatile("bl begin" : "+r"(r0), "+r"(r1) : : "r2", "r3", "r4", "r5", "r12", "lr", "memory", "cc");                   \
	} while (0)
#endif

KEEP void on_it(void)
{
	run();
	over();
}

static void bottom_case(void)
{
	char *stack = alt_stack(65536);

	/* Above the frames: a word that leads to old(). */
	((unsigned long *)(stack + 65536))[-2] = ((unsigned long)old & ~1ul) + 16;
	BEGIN(stack + 65536 - 64, on_it);
}

int main(int argc, char **argv)
{
	char inside[65536];

	how = argc > 1 ? argv[1] : "";
	set_handlers(strstr(how, "alt") ? SA_ONSTACK : 0);
	if (strstr(how, "thread")) {
		thread_case(strstr(how, "alt") ? alt_stack(65536) : NULL, 0);
	} else if (!strcmp(how, "large")) {
		thread_case(NULL, 16 << 20);
	} else if (!strcmp(how, "bottom")) {
		bottom_case();
	} else if (!strcmp(how, "loop")) {
		wait_here("ready\n");
		while (!leave)
			nothing();
	} else if (!strcmp(how, "coroutine-stay")) {
		stay_case();
	} else if (!strncmp(how, "coroutine", 9)) {
		coroutine_case();
#if !defined(__x86_64__)
	} else if (!strcmp(how, "leaf")) {
		if (write(1, "ready\n", 6) != 6)
			_exit(1);
		old_asm(&leave);
#endif
	} else {
		/* A handler's stack that lies above what it interrupts. */
		if (strstr(how, "within"))
			use_alt_stack(inside, sizeof(inside));
		else if (strstr(how, "alt"))
			use_alt_stack(alt_stack(65536), 65536);
		run();
		if (!strncmp(how, "stale", 5))
			over();
		else if (strstr(how, "clean"))
			send_signal();
		if (!strcmp(how, "stale-again"))
			run();
	}
	__asm__ volatile("" : : "r"(inside) : "memory");
	wait_here("out\n");
	return 0;
}
