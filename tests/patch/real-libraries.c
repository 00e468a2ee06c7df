/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A program whose threads call functions of two stock libraries that call each other there: uncompress() and uncompress2() of zlib,
 * OBJ_txt2nid() and OBJ_obj2nid() of libcrypto. Prints "ready", and on SIGUSR1 what they answer now: `old`, `new`, or `between`; at
 * SIGTERM the number of right answers, old and new, and of wrong ones. Exit status 0: none was wrong.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 3

static int (*uncompress_)(void *to, unsigned long *to_len, const void *from, unsigned long from_len);
static int (*nid)(const char *text);
static unsigned char packed[64];
static unsigned long packed_len = sizeof(packed);
static unsigned long answers[2][2], wrong;
static volatile int ended;

static int unpack(void)
{
	char got[16];
	unsigned long len = sizeof(got);

	return uncompress_(got, &len, packed, packed_len);
}

/* 0 old, 1 new, -1 neither */
static int which(int got, int old, int new)
{
	return got == old ? 0 : got == new ? 1 : -1;
}

static void count(int library, int got, int old, int new)
{
	int v = which(got, old, new);

	if (v >= 0)
		__atomic_add_fetch(&answers[library][v], 1, __ATOMIC_RELAXED);
	else if (!__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED))
		printf("%s answered %d\n", library ? "libcrypto" : "zlib", got);
}

static void *call_all(void *arg)
{
	(void)arg;
	while (!ended) {
		for (int i = 0; i < 50; i++) {
			count(0, unpack(), 0, 107);
			count(1, nid("2.5.4.3"), 13, 107000);
		}
		usleep(1000);
	}
	return NULL;
}

int main(void)
{
	void *z = dlopen("libz.so.1", RTLD_NOW), *crypto = dlopen("libcrypto.so.3", RTLD_NOW);
	int (*compress_)(void *to, unsigned long *to_len, const void *from, unsigned long from_len);
	pthread_t thread[THREADS];
	sigset_t set;
	int sig;

	if (!z || !crypto) {
		puts(dlerror());
		return 77;
	}
	compress_ = (__typeof__(compress_))dlsym(z, "compress");
	uncompress_ = (__typeof__(uncompress_))dlsym(z, "uncompress");
	nid = (__typeof__(nid))dlsym(crypto, "OBJ_txt2nid");
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (compress_(packed, &packed_len, "abcde", 5) || unpack() || nid("2.5.4.3") != 13)
		return 1;
	for (int i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, call_all, NULL);
	puts("ready");
	while (!sigwait(&set, &sig) && sig == SIGUSR1) {
		int a = which(unpack(), 0, 107), b = which(nid("2.5.4.3"), 13, 107000);

		puts(a != b || a < 0 ? "between" : a ? "new" : "old");
	}
	ended = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	printf("zlib %lu old, %lu new; libcrypto %lu old, %lu new; %lu wrong\n", answers[0][0], answers[0][1], answers[1][0],
	       answers[1][1], wrong);
	return wrong != 0;
}
