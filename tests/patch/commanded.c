/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A program to be patched that does what it is told, a line on stdin each, and says what came of it, a line on stdout:
 *
 *	ask		"answer N A B": calls outer(), which calls first() and second(); N counts the answers
 *	hold K		thread K goes into hold() and stays there: "held K"
 *	free K		it comes out: "freed K A", what hold() answered
 *	events		"events N ..." what callbacks of patches have said (event()), and forgets it
 *	load FILE, unload	dlopen() and dlclose(): "loaded", "unloaded"
 *	library		"library N A": calls in_library() of what was loaded
 *
 * At the end of stdin "ok" if no thread ever saw a mixture. Two threads call outer() all the time: both halves of what it answers must
 * be of one version, or it is a mixture.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noipa))
#define HOLDERS 4

static volatile int ended, mixed, counting = 1;
static char events[4096];

/* Patches call it in their callbacks: async-signal-safe. */
void event(const char *what, const char *object)
{
	size_t n = strlen(events);

	if (n + strlen(what) + strlen(object) + 3 > sizeof(events))
		return;
	events[n++] = ' ';
	while (*what)
		events[n++] = *what++;
	events[n++] = ':';
	while (*object)
		events[n++] = *object++;
}

/* Where a held thread waits: patches call it, too. */
static struct holder {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int wanted, inside, answer, answered;
} holder[HOLDERS];

void wait_in_hold(int k)
{
	struct holder *h = &holder[k];

	pthread_mutex_lock(&h->lock);
	h->inside = 1;
	pthread_cond_broadcast(&h->changed);
	while (h->wanted)
		pthread_cond_wait(&h->changed, &h->lock);
	h->inside = 0;
	pthread_mutex_unlock(&h->lock);
}

NOINLINE int hold(int k)
{
	wait_in_hold(k);
	__asm__ volatile("" ::: "memory");
	return 1;
}

NOINLINE int first(int x)
{
	__asm__ volatile("" : "+r"(x));
	return x + 1;
}

NOINLINE int second(int x)
{
	__asm__ volatile("" : "+r"(x));
	return x + 1;
}

NOINLINE int outer(int x)
{
	int a = first(x), b;

	__asm__ volatile("" : "+r"(a));
	b = second(x);
	return a * 1000 + b;
}

static void *call_all(void *unused)
{
	struct timespec nap = { 0, 100000 };

	(void)unused;
	while (!ended) {
		int both = outer(0);

		if (both / 1000 != both % 1000)
			mixed = 1;
		nanosleep(&nap, NULL);
	}
	return NULL;
}

static void *hold_when_told(void *arg)
{
	struct holder *h = arg;

	pthread_mutex_lock(&h->lock);
	while (!ended) {
		while (!h->wanted && !ended)
			pthread_cond_wait(&h->changed, &h->lock);
		if (ended)
			break;
		pthread_mutex_unlock(&h->lock);
		h->answer = hold((int)(h - holder));
		pthread_mutex_lock(&h->lock);
		h->answered = 1;
		pthread_cond_broadcast(&h->changed);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

static void set_holder(int k, int wanted)
{
	struct holder *h = &holder[k];

	pthread_mutex_lock(&h->lock);
	h->wanted = wanted;
	if (wanted)
		h->answered = 0;
	pthread_cond_broadcast(&h->changed);
	while (wanted ? !h->inside : !h->answered)
		pthread_cond_wait(&h->changed, &h->lock);
	pthread_mutex_unlock(&h->lock);
}

static void *library;

static void obey(char *line)
{
	int both, k = strlen(line) > 5 ? atoi(line + 5) % HOLDERS : 0;

	line[strcspn(line, "\n")] = '\0';
	if (!strcmp(line, "ask")) {
		both = outer(0);
		printf("answer %d %d %d\n", counting++, both / 1000, both % 1000);
	} else if (!strncmp(line, "hold ", 5)) {
		set_holder(k, 1);
		printf("held %d\n", k);
	} else if (!strncmp(line, "free ", 5)) {
		set_holder(k, 0);
		printf("freed %d %d\n", k, holder[k].answer);
	} else if (!strcmp(line, "events")) {
		printf("events %d%s\n", counting++, events);
		memset(events, 0, sizeof(events));
	} else if (!strncmp(line, "load ", 5)) {
		library = dlopen(line + 5, RTLD_NOW);
		puts(library ? "loaded" : dlerror());
	} else if (!strcmp(line, "unload")) {
		puts(dlclose(library) ? dlerror() : "unloaded");
	} else if (!strcmp(line, "library")) {
		int (*f)(int) = (int (*)(int))dlsym(library, "in_library");

		printf("library %d %d\n", counting++, f ? f(0) : -1);
	}
}

int main(void)
{
	pthread_t caller[2], holding[HOLDERS];
	char line[1024];

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < 2; i++)
		pthread_create(&caller[i], NULL, call_all, NULL);
	for (int i = 0; i < HOLDERS; i++) {
		pthread_mutex_init(&holder[i].lock, NULL);
		pthread_cond_init(&holder[i].changed, NULL);
		pthread_create(&holding[i], NULL, hold_when_told, &holder[i]);
	}
	puts("ready");
	while (fgets(line, sizeof(line), stdin))
		obey(line);
	ended = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(caller[i], NULL);
	for (int i = 0; i < HOLDERS; i++) {
		pthread_mutex_lock(&holder[i].lock);
		holder[i].wanted = 0;
		pthread_cond_broadcast(&holder[i].changed);
		pthread_mutex_unlock(&holder[i].lock);
		pthread_join(holding[i], NULL);
	}
	puts(mixed ? "mixed" : "ok");
	return mixed;
}
