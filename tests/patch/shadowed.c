/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A program whose objects patches remember something of.
 *
 *	shadowed idle|busy	"ready". Lines of stdin: "use N", "drop N", "all": each prints "ANSWER constructed C destroyed D", what the
 *				patches say; "nommap": from now on who makes a mapping is killed (seccomp); "end": "ok", or "wrong". Busy:
 *				threads use and drop objects of their own all the time, and only ANSWER is printed.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define NOINLINE __attribute__((noipa))

long constructed, destroyed;
static int ended, wrong;
static char object[16][16];

NOINLINE long use(void *o)
{
	__asm__ volatile("" : "+r"(o));
	return o ? 0 : 1;
}

NOINLINE void drop(void *o)
{
	__asm__ volatile("" : "+r"(o));
}

NOINLINE void drop_all(void)
{
	__asm__ volatile("nop; nop; nop; nop; nop");
}

static void *all_the_time(void *arg)
{
	char own[4][16] = { "" }, text[64];

	(void)arg;
	while (!__atomic_load_n(&ended, __ATOMIC_RELAXED)) {
		for (int i = 0; i < 4; i++)
			if (use(own[i]) < 0)
				wrong = 1;
		for (int i = 0; i < 4; i++)
			drop(own[i]);
		/* What a patch has left in registers, and looks as if the thread would come back to it, goes. */
		snprintf(text, sizeof(text), "%p %d", arg, ended);
	}
	return NULL;
}

/* Who maps memory is killed. */
static void forbid_mmap(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#if defined(__arm__)
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mmap2, 0, 1),
#else
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mmap, 0, 1),
#endif
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof(filter) / sizeof(filter[0]), filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog)) {
		perror("seccomp");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	int threads = argc > 1 && !strcmp(argv[1], "busy") ? 3 : 0, n = 0;
	char line[64], what[16];
	pthread_t thread[3];

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, all_the_time, NULL);
	puts("ready");
	while (fgets(line, sizeof(line), stdin) && sscanf(line, "%15s %d", what, &n) >= 1 && strcmp(what, "end")) {
		long answer = 0;

		if (!strcmp(what, "nommap"))
			forbid_mmap();
		else if (!strcmp(what, "use"))
			answer = use(object[n & 15]);
		else if (!strcmp(what, "drop"))
			drop(object[n & 15]);
		else if (!strcmp(what, "all"))
			drop_all();
		if (threads)
			printf("%ld\n", answer);
		else
			printf("%ld constructed %ld destroyed %ld\n", answer, constructed, destroyed);
	}
	ended = 1;
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	puts(wrong ? "wrong" : "ok");
	return wrong;
}
