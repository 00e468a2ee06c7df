/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A program to be patched that loads and unloads a library, as stdin says, a line each:
 *
 *	ask		"answer N P L C": what in_program() and in_library() answer, and what the library's constructor was answered;
 *			0 if it isn't loaded; N counts
 *	load FILE, unload	"loaded N", "unloaded N"
 *
 * A second thread calls both all the time. At the end of stdin "ok".
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int (*in_library)(void), *at_load;
static volatile int ended, wrong;

__attribute__((noipa)) int in_program(void)
{
	__asm__ volatile("" ::: "memory");
	return 1;
}

static void *call_all(void *unused)
{
	(void)unused;
	while (!ended) {
		int p = in_program(), l;

		pthread_mutex_lock(&lock);
		l = in_library ? in_library() : 1;
		pthread_mutex_unlock(&lock);
		if ((p != 1 && p != 2) || (l != 1 && l != 2))
			wrong = 1;
		usleep(100);
	}
	return NULL;
}

int main(void)
{
	char line[1024];
	void *handle = NULL;
	pthread_t thread;
	int n = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	pthread_create(&thread, NULL, call_all, NULL);
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strcmp(line, "ask")) {
			printf("answer %d %d %d %d\n", ++n, in_program(), in_library ? in_library() : 0, at_load ? *at_load : 0);
		} else if (!strncmp(line, "load ", 5)) {
			handle = dlopen(line + 5, RTLD_NOW);
			pthread_mutex_lock(&lock);
			in_library = handle ? dlsym(handle, "in_library") : NULL;
			at_load = handle ? dlsym(handle, "at_load") : NULL;
			pthread_mutex_unlock(&lock);
			printf("%s %d\n", handle ? "loaded" : dlerror(), ++n);
		} else if (!strcmp(line, "unload")) {
			pthread_mutex_lock(&lock);
			in_library = NULL;
			at_load = NULL;
			pthread_mutex_unlock(&lock);
			dlclose(handle);
			printf("unloaded %d\n", ++n);
		}
	}
	ended = 1;
	pthread_join(thread, NULL);
	puts(wrong ? "wrong" : "ok");
	return wrong;
}
