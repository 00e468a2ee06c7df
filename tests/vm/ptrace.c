// SPDX-License-Identifier: GPL-2.0-only
/*
 * What attaching needs of a kernel, checked on its own: a running process is seized, interrupted, its registers read,
 * its memory read and written, its code replaced, and let go. qemu-user has none of this.
 */

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <sidetrack/regs.h>

static int passed, failed;

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (cond) {                                                                        \
			passed++;                                                                  \
		} else {                                                                           \
			failed++;                                                                  \
			printf("%s:%d: %s (%s)\n", __FILE__, __LINE__, #cond, strerror(errno));    \
		}                                                                                  \
	} while (0)

/* "return 42", in the instruction set of this file. */
#if defined(__aarch64__)
static const uint32_t return_42[] = { 0x52800540, 0xd65f03c0 };	/* mov w0, #42; ret */
#elif defined(__thumb__)
static const uint16_t return_42[] = { 0x202a, 0x4770 };		/* movs r0, #42; bx lr */
#elif defined(__arm__)
static const uint32_t return_42[] = { 0xe3a0002a, 0xe12fff1e };	/* mov r0, #42; bx lr */
#else
static const uint8_t return_42[] = { 0xb8, 42, 0, 0, 0, 0xc3 };	/* mov $42, %eax; ret */
#endif

extern char __executable_start, etext;	/* the linker's */

static volatile unsigned long *answer;	/* shared with the child */
static volatile unsigned long word = 0x12345678;

__attribute__((noinline, noclone, aligned(8))) static int victim(void)
{
	asm volatile("");
	return 1;
}

static void child(void)
{
	for (;;) {
		answer[0] = victim();
		answer[1] = word;
		answer[2]++;
	}
}

/* Waits until the child has been through its loop twice: what it says is new. */
static int fresh(int milliseconds)
{
	unsigned long from = answer[2];
	int i;

	for (i = 0; i < milliseconds && answer[2] - from < 3; i++)
		usleep(1000);
	return answer[2] - from >= 3;
}

int main(void)
{
	uintptr_t code = (uintptr_t)victim & ~(uintptr_t)1;
	struct iovec local, remote, set;
	unsigned long value = 0;
	/* The kernel's set may be longer than struct st_regs: x86-64 has the segment registers behind it. */
	union {
		struct st_regs regs;
		unsigned long words[40];
	} u;
	size_t i, size;
	int status;
	pid_t pid;

	answer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (!pid)
		child();
	CHECK(fresh(5000) && answer[0] == 1 && answer[1] == 0x12345678);

	CHECK(!ptrace(PTRACE_SEIZE, pid, 0, 0));
	CHECK(!ptrace(PTRACE_INTERRUPT, pid, 0, 0));
	CHECK(waitpid(pid, &status, __WALL) == pid);
	CHECK(WIFSTOPPED(status) && status >> 16 == PTRACE_EVENT_STOP);
	CHECK(!fresh(50));

	memset(&u, 0xff, sizeof(u));
	set = (struct iovec){ &u, sizeof(u) };
	CHECK(!ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &set));
	CHECK(set.iov_len >= sizeof(u.regs) && set.iov_len < sizeof(u));
	CHECK(st_regs_pc(&u.regs) >= (uintptr_t)&__executable_start &&
	      st_regs_pc(&u.regs) < (uintptr_t)&etext);

	local = (struct iovec){ &value, sizeof(value) };
	remote = (struct iovec){ (void *)&word, sizeof(word) };
	CHECK(process_vm_readv(pid, &local, 1, &remote, 1, 0) == sizeof(value) && value == 0x12345678);
	value = 0x5eed;
	CHECK(process_vm_writev(pid, &local, 1, &remote, 1, 0) == sizeof(value));

	/* The tracer may write text that is not writable: the kernel breaks the sharing of the page. */
	size = sizeof(return_42);
	for (i = 0; i < size; i += sizeof(value)) {
		size_t part = size - i < sizeof(value) ? size - i : sizeof(value);

		errno = 0;
		value = ptrace(PTRACE_PEEKTEXT, pid, code + i, 0);
		CHECK(!errno);
		memcpy(&value, (const char *)return_42 + i, part);
		CHECK(!ptrace(PTRACE_POKETEXT, pid, code + i, value));
	}
	CHECK(!ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &set));
	CHECK(!ptrace(PTRACE_DETACH, pid, 0, 0));

	CHECK(fresh(5000));
	CHECK(answer[0] == 42);
	CHECK(answer[1] == 0x5eed);
	CHECK(victim() == 1);

	kill(pid, SIGKILL);
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	printf("%d passed, %d failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
