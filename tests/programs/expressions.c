// SPDX-License-Identifier: GPL-2.0-only
/*
 * What tests/probe/dwarf.c looks at: functions whose parameters and variables keep the values that its table says, wherever in
 * the function it looks. Compiled with several compilers, optimisations and versions of DWARF.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif

enum color { RED, GREEN = 5, BLUE = -3 };
typedef unsigned int u32;
typedef char *sds;

struct object {
	unsigned type : 4;
	unsigned encoding : 4;
	unsigned lru : 24;
	int refs;
	void *ptr;
};

struct client {
	uint64_t id;
	int argc;
	struct object **argv;
	char name[16];
	short numbers[3];
	struct {
		int hidden;
		union {
			int whole;
			char part[4];
		};
	};
	enum color color;
	int64_t wide : 40;
	int narrow : 3;
	bool flag;
	int matrix[2][3];
	double ratio;
	struct client *next;
	int (*call)(int);
};

struct pair {
	int a, b;
};

struct large {
	long one, two, three;
};

static volatile int sink;
static int file_static = -76;
int global_number = 4711;
const char *global_text = "global text";
sds global_sds;
struct client *global_client;
__thread int per_thread = 33;

static NOINLINE int twice(int n)
{
	return n * 2;
}

NOINLINE int simple(int a, unsigned char b, short c, long long d, const char *text, bool flag)
{
	int local = 9;

	sink += a;
	for (int i = 0; i < 3; i++)
		sink += twice(b + i + local);
	sink += c + (int)d + text[0] + flag;
	return a;
}

NOINLINE int command(struct client *c, struct client *other, u32 flags)
{
	sink += (int)flags;
	sink += twice(c->argc);
	sink += twice((int)other->id);
	return c->narrow;
}

/* Its address is taken: it lives in memory. */
NOINLINE int in_memory(int value, struct pair p, double ratio, long after)
{
	volatile int *place = &value;

	sink += *place + p.a + p.b + (int)ratio + (int)after;
	sink += twice((int)after);
	return *place;
}

/* More than registers hold. */
NOINLINE long many(long a, long b, long c, long d, long e, long f, long g, long h, long i, int j)
{
	sink += (int)(a + b + c + d + e + f + g + h + i + j);
	sink += twice((int)i);
	return i;
}

static inline __attribute__((always_inline)) int inlined(int inner, int step)
{
	sink += inner;
	sink += twice(step);
	return inner + step;
}

NOINLINE int outer(int o)
{
	int n = inlined(o + 1, 12);

	sink += n;
	return o;
}

NOINLINE struct client *find(struct client *c)
{
	sink++;
	return c->next;
}

NOINLINE struct large make(int n)
{
	sink += n;
	return (struct large){ n, n + 1, n + 2 };
}

NOINLINE short negative(int n)
{
	sink += n;
	return (short)-n;
}

int main(void)
{
	static struct object argv0 = { 3, 9, 0xabcdef, 7, "SET" }, argv1 = { 1, 2, 3, 4, "key" };
	static struct object *argv[] = { &argv0, &argv1 };
	static struct client next = { .id = 2, .name = "the next one" };
	static struct client c = {
		.id = 1ull << 40, .argc = 2, .argv = argv, .name = "a client", .numbers = { 1, -2, 3 }, .color = GREEN,
		.wide = -5, .narrow = -2, .flag = true, .matrix = { { 1, 2, 3 }, { 4, 5, 6 } }, .ratio = 0.5, .next = &next,
		.call = twice,
	};

	c.hidden = 12;
	c.whole = 0x01020304;
	next.color = BLUE;
	next.next = NULL;
	global_client = &c;
	file_static -= (int)strlen("x") + (getpid() < 0);
	sink += file_static + per_thread;
	raise(SIGSTOP);
	simple(-5, 200, -300, 1ll << 33, "text", true);
	command(&c, &next, 0x80000001u);
	in_memory(321, (struct pair){ 11, -22 }, 1.5, 99);
	many(1, 2, 3, 4, 5, 6, 7, 8, 9, -10);
	outer(41);
	find(&c);
	make(100);
	negative(7);
	return 0;
}
