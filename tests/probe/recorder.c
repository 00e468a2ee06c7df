// SPDX-License-Identifier: GPL-2.0-only
/*
 * The recorder, the ring and the formats, in one process: st_agent_probe() is called as a hook
 * would call it, and what the reader finds is compared with what was put into registers and memory.
 * No code is patched here.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <agent/probe.h>
#include <probe/compile.h>
#include <probe/print.h>
#include <probe/ring.h>
#include "check.h"

#define THREADS 4
#define HITS 20000

static struct st_ctl *ctl;
static struct st_ring_reader reader;
static struct st_spec spec;
static struct st_wants wants;
static struct st_hook hook;
static union {
	struct st_rec rec;
	uint8_t bytes[ST_REC_MAX];
} buf;

/* Memory of which the second page is missing. */
static char *edge;

/*
 * qemu-user has no process_vm_readv: every read of memory that is not on the stack is a fault
 * there.
 */
static bool can_read;

static void set_probe(unsigned int index, const char *text, uint32_t flags)
{
	struct st_ctl_probe *p = &ctl->probe_rec[index];
	static struct st_spec parsed;
	struct st_spec_error err;
	char why[ST_ERR_MAX] = "";

	CHECK(!st_spec_parse(text, st_spec_native, &parsed, &err), "%s: %s", text, err.text);
	memset(p, 0, sizeof(*p));
	p->state = ST_PROBE_ON;
	p->flags = flags;
	p->index = index;
	p->hits -= st_ctl_hits(ctl, index);
	CHECK(!st_compile(NULL, NULL, 0, &parsed, &wants, &spec, p, &ctl->code[index], why), "%s: %s", text, why);
	hook.data = p;
}

static bool next_record(void)
{
	return st_ring_next(&reader, &buf.rec, sizeof(buf), st_monotonic_ns());
}

static const char *fake_symbol(void *ctx, uint64_t addr, uint64_t *offset)
{
	(void)ctx;
	if (addr < 0x4000 || addr >= 0x4100)
		return NULL;
	*offset = addr - 0x4000;
	return "func";
}

/* What is printed for the record in buf, without the newline. */
static const char *printed(bool json, const char *comm)
{
	static char text[8192];
	struct st_probe_hit hit = { .spec = &spec,
				    .rec = &buf.rec,
				    .comm = comm,
				    .pid = 7,
				    .ns = 12345678901234,
				    .symbolize = fake_symbol };
	FILE *f = fmemopen(text, sizeof(text), "w");

	CHECK(st_probe_hit_check(&hit), "record does not fit");
	(json ? st_print_json : st_print_text)(f, &hit);
	fclose(f);
	text[strcspn(text, "\n")] = '\0';
	return text;
}

/* One hit with these arguments; then the output behind "NAME: (FUNCTION+OFFSET) ". */
static const char *hit_with(const char *text, unsigned long a, unsigned long b)
{
	unsigned long stack[8] __attribute__((aligned(64))) = { 0xcafe, 1, 2, 3, 4, 5, 6, 7 };
	struct st_regs regs;
	const char *out;
	char full[300];

	snprintf(full, sizeof(full), "p:n f %s", text);
	set_probe(5, full, 0);
	memset(&regs, 0, sizeof(regs));
	((unsigned long *)&regs)[st_spec_native->args[0]] = a;
	((unsigned long *)&regs)[st_spec_native->args[1]] = b;
	((unsigned long *)&regs)[st_spec_native->sp] = (unsigned long)stack;
	st_agent_probe(&hook, &regs, 0x4000, 0x4020);
	CHECK(next_record(), "no record for %s", text);
	CHECK(buf.rec.probe == 5 && buf.rec.ip == 0x4000 && buf.rec.parent == 0x4020, "%s", text);
	out = strstr(printed(false, "comm"), "(func+0x0)");
	CHECK(out, "%s", printed(false, "comm"));
	CHECK(!next_record(), "more than one record for %s", text);
	return out ? out + strlen("(func+0x0)") : "";
}

#define IS(spec_text, a, b, want) do {								\
	const char *got = hit_with(spec_text, (unsigned long)(a), (unsigned long)(b));		\
												\
	CHECK(!strcmp(got, want), "'%s' printed '%s', not '%s'", spec_text, got, want);		\
} while (0)

static void registers(void)
{
	char text[128];

	IS("", 0, 0, "");
	IS("$arg1 b=$arg2:s32", 0x1234, -5, " arg1=0x1234 b=-5");
	IS("$arg1:u8 $arg1:s8 $arg1:x16 $arg1:s16 $arg1:u32", 0xff80, 0,
	   " arg1=128 arg2=-128 arg3=0xff80 arg4=-128 arg5=65408");
	IS("$arg1:char b=$arg2:char", 'x', '\n', " arg1='x' b='\\n'");
	IS("$arg1:symbol $arg2:symbol", 0x4010, 0x9999, " arg1=func+0x10 arg2=0x9999");
	IS("$arg1:b4@4/8 $arg1:b1@0/16 $arg1:b3@0/8", 0xa6, 0, " arg1=10 arg2=0 arg3=6");
	IS("\\42:u64 \\-1:s32 \\0xff:x8", 0, 0, " arg1=42 arg2=-1 arg3=0xff");
	IS("$comm", 0, 0, " arg1=\"comm\"");
	/* the stack, by registers and by words */
	IS("$stack0 $stack3:u8", 0, 0, " arg1=0xcafe arg2=3");
	snprintf(text, sizeof(text), "+0($stack):x16 +%zu($stack):u32", 2 * sizeof(long));
	IS(text, 0, 0, " arg1=0xcafe arg2=2");
}

static void memory(void)
{
	struct {
		long pad[2];
		struct {
			char pad[8];
			const char *text;
		} *inner;
		short array[4];
	} outer;
	struct { char pad[8]; const char *text; } inner = { .text = "deep" };
	const char *word = sizeof(long) == 8 ? "+16" : "+8";
	char text[128];

	outer.inner = (void *)&inner;
	memcpy(outer.array, (short []){ 1, -2, 3, -4 }, sizeof(outer.array));
	snprintf(text, sizeof(text), "+0(+8(%s($arg1))):string", word);
	IS(text, &outer, 0, " arg1=\"deep\"");
	snprintf(text, sizeof(text), "+%zu($arg1):s16[4]",
		 (size_t)((char *)outer.array - (char *)&outer));
	IS(text, &outer, 0, " arg1={1,-2,3,-4}");
	IS("+0($arg1):u8[1]", "A", 0, " arg1={65}");
	IS("-1($arg1):char", (char *)"ab" + 1, 0, " arg1='a'");
	IS("+0($arg1):string $arg1:string", "text", 0, " arg1=\"text\" arg2=\"text\"");
	IS("+0($arg1):string", "", 0, " arg1=\"\"");
	IS("+0($arg1):string", "a\"b\\c\n\x1b[31m\xc3\xa4\xff\xc2\x9b", 0,
	   " arg1=\"a\\\"b\\\\c\\n\\x1b[31m\xc3\xa4\\xff\\xc2\\x9b\"");
	/* what can't be read: a fault, and the values around it are right */
	IS("+0($arg1):string x=$arg2", 0, 7, " arg1=(fault) x=0x7");
	IS("x=$arg2 +0($arg1) y=$arg2", 16, 7, " x=0x7 arg2=(fault) y=0x7");
	IS("+0($arg1):u8[64] y=$arg2", edge + 4096, 7, " arg1=(fault) y=0x7");
	IS("+8(+0($arg1)):u32 y=$arg2", edge + 4096, 7, " arg1=(fault) y=0x7");
	/* at the edge: the string ends on the last page, or runs out of it */
	strcpy(edge + 4096 - 6, "hello");
	IS("+0($arg1):string", edge + 4096 - 6, 0, " arg1=\"hello\"");
	edge[4095] = '!';
	IS("+0($arg1):string", edge + 4096 - 3, 0, " arg1=\"lo!\"");
	IS("+0($arg1):u64 y=$arg2", edge + 4096 - 4, 7, " arg1=(fault) y=0x7");
	IS("+0($arg1):x32", edge + 4096 - 4, 0, " arg1=0x216f6c6c");
}

static void long_strings(void)
{
	char text[1000], want[1100];

	memset(text, 'x', sizeof(text) - 1);
	text[999] = '\0';
	snprintf(want, sizeof(want), " arg1=\"%.255s\" b=0x9", text);
	IS("$arg1:string b=$arg2", text, 9, want);
}

/* Under seccomp nothing may be asked of the kernel: only what lies on the stack's page is read. */
static void no_syscalls(void)
{
	struct { unsigned long words[4]; } *frame = (void *)(edge + 1024);
	struct st_regs regs;
	const char *out;

	frame->words[0] = 0xabc;
	frame->words[1] = 0xdef;
	set_probe(5, "p:n f $stack1 +0($arg1):string $arg2", 0);
	memset(&regs, 0, sizeof(regs));
	((unsigned long *)&regs)[st_spec_native->args[0]] = (unsigned long)"text";
	((unsigned long *)&regs)[st_spec_native->args[1]] = 3;
	((unsigned long *)&regs)[st_spec_native->sp] = (unsigned long)frame;
	ctl->no_syscalls = 1;
	st_agent_probe(&hook, &regs, 0x4000, 0);
	ctl->no_syscalls = 0;
	CHECK(next_record(), "no record");
	CHECK(buf.rec.tid == 0, "%u", buf.rec.tid);
	out = printed(false, "comm");
	CHECK(strstr(out, "arg1=0xdef arg2=(fault) arg3=0x3"), "%s", out);
}

static void formats(void)
{
	hit_with("$arg1:string b=$arg2:s32 c=$arg2 d=+0($arg2) $comm",
		 (unsigned long)"\"\xff\x01\n", (unsigned long)-1);
	buf.rec.tid = 42;
	buf.rec.cpu = 1;
	CHECK(!strncmp(printed(false, "a b"), "a b-42 [001] 12345.678901: n: (func+0x0) ", 40),
	      "%s", printed(false, "a b"));
	CHECK(!strncmp(printed(false, "\x1b]0;x\a"), "\\x1b]0;x\\x07-42 ", 16), "%s",
	      printed(false, "\x1b]0;x\a"));
	CHECK(!strcmp(printed(true, "a\tb"),
		      sizeof(long) == 8
			      ? "{\"comm\":\"a\\u0009b\",\"pid\":7,\"tid\":42,\"cpu\":1,\"time\":"
				"12345.678901234,\"name\":\"n\","
				"\"function\":\"func+0x0\",\"args\":{\"arg1\":"
				"\"\\\"\\ufffd\\u0001\\u000a\",\"b\":-1,"
				"\"c\":\"0xffffffffffffffff\",\"d\":null,\"arg5\":\"a\\u0009b\"}}"
			      : "{\"comm\":\"a\\u0009b\",\"pid\":7,\"tid\":42,\"cpu\":1,\"time\":"
				"12345.678901234,\"name\":\"n\","
				"\"function\":\"func+0x0\",\"args\":{\"arg1\":"
				"\"\\\"\\ufffd\\u0001\\u000a\",\"b\":-1,"
				"\"c\":\"0xffffffff\",\"d\":null,\"arg5\":\"a\\u0009b\"}}"),
	      "%s", printed(true, "a\tb"));
	buf.rec.cpu = 0xffff;
	CHECK(strstr(printed(false, NULL), "<...>-42 [---] "), "%s", printed(false, NULL));
	CHECK(strstr(printed(true, NULL), "{\"comm\":null,") &&
		      strstr(printed(true, NULL), "\"cpu\":null"),
	      "%s", printed(true, NULL));
}

/* A record that is shorter than its specification says is refused, whatever its lengths claim. */
static void damaged(void)
{
	struct st_probe_hit hit = { .spec = &spec, .rec = &buf.rec };
	uint16_t len = 60000;
	uint32_t size;

	hit_with("$arg1:string b=$arg2", (unsigned long)"text", 1);
	CHECK(st_probe_hit_check(&hit), "good");
	for (size = 0; size < buf.rec.size; size += 8) {
		uint32_t keep = buf.rec.size;

		buf.rec.size = size;
		CHECK(!st_probe_hit_check(&hit), "%u bytes", size);
		buf.rec.size = keep;
	}
	memcpy(buf.bytes + sizeof(struct st_rec), &len, sizeof(len));
	CHECK(!st_probe_hit_check(&hit), "long string");
}

static void one_hit(unsigned long who, unsigned long n)
{
	static __thread char text[64];
	struct st_regs regs;

	memset(&regs, 0, sizeof(regs));
	snprintf(text, sizeof(text), "%lu-%0*lu", who, (int)(n % 40), n);
	((unsigned long *)&regs)[st_spec_native->args[0]] = (unsigned long)text;
	((unsigned long *)&regs)[st_spec_native->args[1]] = who << 24 | n;
	st_agent_probe(&hook, &regs, 0x4000, 0);
}

/*
 * What the target could write into the ring: the reader gives up on it, and goes on with what comes
 * then.
 */
static void damaged_ring(void)
{
	static const uint32_t sizes[] = {
		4, 12, 8, 32, 0x7ffffff8, ST_RING_SIZE, ST_REC_MAX + 8, 0xffffffff
	};
	struct st_ring *ring = &ctl->ring;
	uint64_t before = st_ring_lost(&reader);
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct st_rec *rec = (void *)(ring->data + (ring->head & (ST_RING_SIZE - 1)));

		rec->probe = 1;
		rec->size = sizes[i];
		ring->head += 64;
		CHECK(!next_record(), "size %u", sizes[i]);
		CHECK(ring->tail == ring->head, "size %u", sizes[i]);
	}
	ring->head += 3ull << 32;
	CHECK(!next_record() && ring->tail == ring->head, "head far ahead");
	ring->head -= 64;
	CHECK(!next_record() && ring->tail == ring->head, "head went back");
	CHECK(st_ring_lost(&reader) == before + i + 2, "%llu",
	      (unsigned long long)st_ring_lost(&reader));
	IS("$arg1", 1, 0, " arg1=0x1");
	/* A record that is never committed */
	ring->head += 64;
	one_hit(0, 0);
	CHECK(!st_ring_next(&reader, &buf.rec, sizeof(buf), 1000000000), "uncommitted");
	CHECK(!st_ring_next(&reader, &buf.rec, sizeof(buf), 2000000000), "uncommitted");
	CHECK(!st_ring_next(&reader, &buf.rec, sizeof(buf), 4000000000), "given up");
	CHECK(ring->tail == ring->head && st_ring_lost(&reader) == before + i + 3, "%llu",
	      (unsigned long long)st_ring_lost(&reader));
	IS("$arg1", 1, 0, " arg1=0x1");
}

static void full_ring(void)
{
	unsigned long long n = 0, sent = 0;
	struct st_regs regs;
	uint64_t lost = st_ring_lost(&reader);
	char text[300];

	memset(text, 'y', 255);
	text[255] = '\0';
	set_probe(9, "p:n f $arg1:string $arg1:string $arg1:string", 0);
	memset(&regs, 0, sizeof(regs));
	((unsigned long *)&regs)[st_spec_native->args[0]] = (unsigned long)text;
	while (st_ring_lost(&reader) == lost) {
		st_agent_probe(&hook, &regs, 0x4000, 0);
		sent++;
	}
	CHECK(sent > 5000 && st_ctl_hits(ctl, 9) == sent, "%llu", sent);
	while (next_record()) {
		struct st_probe_hit hit = { .spec = &spec, .rec = &buf.rec };

		if (!st_probe_hit_check(&hit) || buf.rec.probe != 9)
			break;
		n++;
	}
	CHECK(n == sent - 1, "%llu of %llu", n, sent);
	CHECK(ctl->ring.head == ctl->ring.tail, "empty");
}

static void count_only(void)
{
	struct st_regs regs = { 0 };

	set_probe(3, "p:n f $arg1", ST_PROBE_COUNT_ONLY);
	st_agent_probe(&hook, &regs, 0x4000, 0);
	st_agent_probe(&hook, &regs, 0x4000, 0);
	CHECK(st_ctl_hits(ctl, 3) == 2 && !next_record(), "%llu",
	      (unsigned long long)st_ctl_hits(ctl, 3));
}

/* ---- many threads, and signals on top of them ---- */

static __thread unsigned long signals;
static unsigned long signals_total;

static void on_signal(int sig)
{
	struct st_regs regs;

	(void)sig;
	memset(&regs, 0, sizeof(regs));
	((unsigned long *)&regs)[st_spec_native->args[0]] = (unsigned long)"s-s";
	((unsigned long *)&regs)[st_spec_native->args[1]] = 255ul << 24;
	signals++;
	st_agent_probe(&hook, &regs, 0x4000, 0);
}

static void *work(void *arg)
{
	unsigned long n;

	for (n = 0; n < HITS; n++) {
		one_hit((unsigned long)arg, n);
		/* Not faster than one CPU that also reads. */
		while (ctl->ring.head - ctl->ring.tail > ST_RING_SIZE / 2)
			usleep(1000);
	}
	__atomic_fetch_add(&signals_total, signals, __ATOMIC_RELAXED);
	return NULL;
}

static void storm(void)
{
	unsigned long next[THREADS] = { 0 }, from_signals = 0, bad = 0, i, done = 0;
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	uint64_t lost = st_ring_lost(&reader);
	pthread_t threads[THREADS];

	set_probe(11, "p:n f $arg1:string $arg2:u32 $arg1:string", 0);
	sigaction(SIGUSR1, &sa, NULL);
	for (i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, work, (void *)i);
	while (done < THREADS * HITS) {
		unsigned long who, n;
		char text[64], want[64];
		uint32_t value;
		uint16_t len;

		if (!next_record()) {
			if (done < THREADS * HITS - 1000)
				pthread_kill(threads[done % THREADS], SIGUSR1);
			else
				usleep(100);
			if (st_ring_lost(&reader) != lost)
				break;
			continue;
		}
		memcpy(&len, buf.bytes + sizeof(struct st_rec), 2);
		memcpy(&value, buf.bytes + sizeof(struct st_rec) + ((2u + len + 7) & ~7u), 4);
		who = value >> 24;
		n = value & 0xffffff;
		if (who == 255) {
			from_signals++;
			continue;
		}
		done++;
		if (who >= THREADS || n != next[who]) {
			bad++;
			continue;
		}
		next[who]++;
		snprintf(want, sizeof(want), "%lu-%0*lu", who, (int)(n % 40), n);
		snprintf(text, sizeof(text), "%.*s", (int)len,
			 (char *)buf.bytes + sizeof(struct st_rec) + 2);
		bad += can_read && strcmp(text, want);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	while (next_record())
		from_signals++;
	CHECK(done == THREADS * HITS, "%lu", done);
	CHECK(!bad, "%lu wrong", bad);
	CHECK(st_ring_lost(&reader) == lost, "lost");
	CHECK(from_signals == signals_total, "%lu %lu", from_signals, signals_total);
	CHECK(st_ctl_hits(ctl, 11) == done + from_signals, "%llu",
	      (unsigned long long)st_ctl_hits(ctl, 11));
}

static void clocks(void)
{
	uint64_t before, at, after;
	struct st_regs regs = { 0 };
	struct st_clock clock;

	st_clock_begin(&clock);
	set_probe(1, "p:n f", 0);
	before = st_monotonic_ns();
	st_agent_probe(&hook, &regs, 0x4000, 0);
	after = st_monotonic_ns();
	CHECK(next_record(), "no record");
	CHECK(buf.rec.tid == (uint32_t)syscall(SYS_gettid), "%u", buf.rec.tid);
	CHECK(buf.rec.cpu == 0xffff, "%u", buf.rec.cpu);
	st_clock_update(&clock);
	at = st_clock_ns(&clock, buf.rec.time);
	/* The rate is measured over 10 ms; a preemption between the two clocks may cost some. */
	CHECK(at + 1000000 > before && at < after + 1000000, "%lld %lld", (long long)(at - before),
	      (long long)(after - at));
}

int main(void)
{
	struct iovec self = { &skipped, 1 };

	ctl = mmap(NULL, sizeof(*ctl), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	edge = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ctl == MAP_FAILED || edge == MAP_FAILED || munmap(edge + 4096, 4096))
		return 1;
	st_agent_ctl = ctl;
	st_ring_begin(&reader, &ctl->ring);
	can_read = process_vm_readv(getpid(), &self, 1, &self, 1, 0) == 1;
	registers();
	if (can_read) {
		memory();
		long_strings();
		formats();
	} else {
		skipped++;
		puts("skipped: values in memory: there is no process_vm_readv here");
	}
	no_syscalls();
	damaged();
	count_only();
	full_ring();
	storm();
	clocks();
	damaged_ring();
	return finish();
}
