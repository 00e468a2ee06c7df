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
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <agent/hit.h>
#include <agent/probe.h>
#include <probe/compile.h>
#include <probe/hist.h>
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

/* Arrays of texts, a constant, and values of programs. */
static void programs(void)
{
	const char *texts[4] = { "one", "", (const char *)16, "two \"quoted\"" };

	IS("+0($arg1):string[4] b=$arg2", texts, 7, " arg1={\"one\",\"\",(fault),\"two \\\"quoted\\\"\"} b=0x7");
	IS("+0($arg1):string[1] b=$arg2", texts, 7, " arg1={\"one\"} b=0x7");
	IS("+0($arg1):string[3] b=$arg2", edge + 4096, 7, " arg1={(fault),(fault),(fault)} b=0x7");
	IS("\\\"a text\" b=$arg2", 0, 7, " arg1=\"a text\" b=0x7");
	IS("+0($arg1):b4@4/16 b=+0($arg1):b16@0/16", "\xa6\x12", 0, " arg1=10 b=4774");
	hit_with("+0($arg1):string[3]", (unsigned long)texts, 0);
	CHECK(strstr(printed(true, "c"), "\"args\":{\"arg1\":[\"one\",\"\",null]}"), "%s", printed(true, "c"));
}

/* ---- filters */

/* Does a hit of a probe pass a filter? */
static bool passes(const char *text, const char *filter, unsigned long a, unsigned long b)
{
	static struct st_spec parsed;
	struct st_spec_error err;
	struct st_regs regs;
	uint64_t before;
	bool recorded;
	char full[300];

	snprintf(full, sizeof(full), "p:n f %s", text);
	CHECK(!st_spec_parse(full, st_spec_native, &parsed, &err), "%s: %s", text, err.text);
	if (st_filter_parse(filter, st_spec_native, &parsed, 1, &wants.filter[0], &err)) {
		CHECK(false, "'%s' at %zu: %s", filter, err.pos, err.text);
		return false;
	}
	wants.nfilters = 1;
	set_probe(6, full, 0);
	wants.nfilters = 0;
	memset(&regs, 0, sizeof(regs));
	((unsigned long *)&regs)[st_spec_native->args[0]] = a;
	((unsigned long *)&regs)[st_spec_native->args[1]] = b;
	((unsigned long *)&regs)[st_spec_native->sp] = (unsigned long)&regs;
	before = st_ctl_hits(ctl, 6);
	st_agent_probe(&hook, &regs, 0x4000, 0x4020);
	recorded = next_record();
	CHECK(st_ctl_hits(ctl, 6) - before == recorded, "%s: counted and recorded alike", filter);
	CHECK(!recorded || buf.rec.probe == 6, "%s", filter);
	return recorded;
}

#define PASSES(text, filter, a, b, want) \
	CHECK(passes(text, filter, (unsigned long)(a), (unsigned long)(b)) == (want), "%s with '%s'", text, filter)

static void filters(void)
{
	char by_tid[64];

	PASSES("a=$arg1:s32", "a == -5", -5, 0, true);
	PASSES("a=$arg1:s32", "a == 5", -5, 0, false);
	PASSES("a=$arg1:s32", "a < 0", -5, 0, true);
	PASSES("a=$arg1:s32", "a > 0", -5, 0, false);
	PASSES("a=$arg1:s32", "a == 0xfffffffb", -5, 0, true);
	PASSES("a=$arg1:u32", "a == -5", -5, 0, true);
	PASSES("a=$arg1:u32", "a > 5", -5, 0, true);
	PASSES("a=$arg1:u8", "a == 5", 0x105, 0, true);
	PASSES("a=$arg1:s8", "a <= -128", 0x80, 0, true);
	PASSES("a=$arg1:x16 b=$arg2:u8", "a >= 0x10 && b < 3", 0x10, 2, true);
	PASSES("a=$arg1:x16 b=$arg2:u8", "a >= 0x10 && b < 3", 0x10, 3, false);
	PASSES("a=$arg1:x16 b=$arg2:u8", "a > 0x10 || b != 3", 0x10, 3, false);
	PASSES("a=$arg1:x16 b=$arg2:u8", "a > 0x10 || b != 3", 0x11, 3, true);
	PASSES("a=$arg1:x16 b=$arg2:u8", "!(a == 1) && !(b == 1 || b == 2)", 2, 3, true);
	PASSES("a=$arg1:x16 b=$arg2:u8", "!(a == 1) && !(b == 1 || b == 2)", 2, 2, false);
	PASSES("a=$arg1", "a & 0x6", 4, 0, true);
	PASSES("a=$arg1", "a & 0x6", 9, 0, false);
	PASSES("a=$arg1:u64", "a <= 18446744073709551615", 1, 0, true);
	PASSES("a=$arg1:b4@4/8", "a == 10", 0xa6, 0, true);
	PASSES("", "$arg1 < 0 && $arg2 == 7", -1, 7, true);
	PASSES("$arg2", "arg1 == 7", 0, 7, true);
	PASSES("\\42:u8", "arg1 == 42", 0, 0, true);
	snprintf(by_tid, sizeof(by_tid), "tid == %ld && common_pid != 1", (long)syscall(SYS_gettid));
	PASSES("", by_tid, 0, 0, true);
	PASSES("", "tid < 0 || tid == 1", 0, 0, false);
	/* Under an emulator it is the emulator's. */
	prctl(PR_SET_NAME, "probe-recorder");
	PASSES("", "comm ~ 'probe-rec*'", 0, 0, true);
	PASSES("", "comm == \"another\" || comm ~ '*x*y*z*'", 0, 0, false);
	PASSES("c=$comm", "c ~ \"*recorde[rs]\"", 0, 0, true);
}

static void text_filters(void)
{
	PASSES("s=$arg1:string", "s == \"text\"", "text", 0, true);
	PASSES("s=$arg1:string", "s == \"tex\"", "text", 0, false);
	PASSES("s=$arg1:string", "s != \"tex\"", "text", 0, true);
	PASSES("s=$arg1:string", "s == \"t*t\"", "text", 0, false);
	PASSES("s=$arg1:string", "s == \"t*[\\\"", "t*[\\", 0, true);
	PASSES("s=$arg1:string", "s ~ \"t*t\"", "text", 0, true);
	PASSES("s=$arg1:string", "s ~ \"t*x\"", "text", 0, false);
	PASSES("s=$arg1:string", "s !~ \"t*x\"", "text", 0, true);
	PASSES("s=$arg1:string", "s ~ \"*a*b*c\"", "xaxbxbxc", 0, true);
	PASSES("s=$arg1:string", "s ~ \"*a*b*c?\"", "xaxbxbxc", 0, false);
	PASSES("s=$arg1:string", "s ~ \"[!a-y]?[x-z]\"", "z1y", 0, true);
	PASSES("s=$arg1:string", "s ~ \"[!a-z]?[x-z]\"", "z1y", 0, false);
	PASSES("s=$arg1:string", "s ~ \"[\"", "[", 0, true);
	PASSES("s=$arg1:string", "s ~ \"*\"", "", 0, true);
	PASSES("s=$arg1:string", "s == \"\"", "", 0, true);
	PASSES("s=+0($arg1):string", "s == \"a\"", "a", 0, true);
	/* What can't be read does not match, whatever is asked. */
	PASSES("s=$arg1:string", "s != \"a\"", 16, 0, false);
	PASSES("s=$arg1:string", "!(s == \"a\")", 16, 0, false);
	PASSES("n=+0($arg1):u8", "n >= 0", 16, 0, false);
	/* What is not asked is not read. */
	PASSES("n=+0($arg1):u8 b=$arg2", "b == 1 || n == 0", 16, 1, true);
	PASSES("n=+0($arg1):u8 b=$arg2", "b == 1 && n == 0", 16, 2, false);
}

static void bad_filters(void)
{
	static const struct {
		const char *text;
		size_t pos;
	} cases[] = {
		{ "", 0 }, { "b == 1", 0 }, { "a", 1 }, { "a ==", 4 }, { "a = 1", 2 }, { "a == x", 5 }, { "a == 1 &", 7 },
		{ "a == 1 && ", 10 }, { "(a == 1", 7 }, { "a == 1)", 6 }, { "a == 'x'", 5 }, { "s == 1", 0 }, { "s < 'x'", 2 },
		{ "a ~ 1", 2 }, { "s == 'x", 5 }, { "a == 08", 5 }, { "a < -1", 0 }, { "a == 99999999999999999999", 5 },
		{ "c == 1", 0 }, { "$foo == 1", 0 },
	};
	static struct st_spec parsed;
	struct st_filter filter;
	struct st_spec_error err;
	size_t i;

	CHECK(!st_spec_parse("p f a=$arg1:u32 s=$arg2:string c=+0($arg2):u8[4]", st_spec_native, &parsed, &err), "%s", err.text);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK(st_filter_parse(cases[i].text, st_spec_native, &parsed, 1, &filter, &err), "'%s' was accepted", cases[i].text);
		CHECK(err.pos == cases[i].pos && err.status == 2 && err.text[0], "'%s': at %zu, not %zu: %s", cases[i].text, err.pos,
		      cases[i].pos, err.text);
	}
}

/* ---- histograms */

static uint64_t bucket_of(const char *value, unsigned long a)
{
	struct st_regs regs;
	unsigned int i;

	wants.hist = value;
	set_probe(7, "p:n f a=$arg1:s32 b=+0($arg1):u8", ST_PROBE_COUNT_ONLY);
	wants.hist = NULL;
	memset(&regs, 0, sizeof(regs));
	((unsigned long *)&regs)[st_spec_native->args[0]] = a;
	((unsigned long *)&regs)[st_spec_native->sp] = (unsigned long)&regs;
	st_agent_probe(&hook, &regs, 0x4000, 0x4020);
	CHECK(!next_record() && st_ctl_hits(ctl, 7) == 1, "%s", value);
	for (i = 0; i < ST_HIST_BUCKETS && !ctl->code[7].bucket[i]; i++)
		;
	return i;
}

static void histograms(void)
{
	static const char *const rows[] = {
		"n: a b",
		"(..., 0)                    1 |@@@@@@@@@@@@@                                       |",
		"[0]                         0 |                                                    |",
		"[1]                         4 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|",
		"(fault)                     2",
	};
	uint64_t bucket[ST_HIST_BUCKETS] = { [0] = 1, [2] = 4, [ST_HIST_FAULT] = 2 };
	char text[2000], *line = text;
	size_t i;
	FILE *f;

	CHECK(bucket_of("a", -7ul) == ST_HIST_NEGATIVE, "negative");
	CHECK(bucket_of("a", 0) == ST_HIST_ZERO, "0");
	CHECK(bucket_of("a", 1) == 2 && bucket_of("a", 2) == 3 && bucket_of("a", 3) == 3 && bucket_of("a", 4) == 4, "small");
	CHECK(bucket_of("a", 0x7fffffff) == 2 + 30, "2^31 - 1");
	CHECK(bucket_of("$arg1", -1ul) == 1 + 8 * sizeof(long), "-1, unsigned");
	CHECK(bucket_of("$arg1:s64", 1) == 2, "a fetcharg");
	CHECK(bucket_of("b", 16) == ST_HIST_FAULT, "a fault");
	f = fmemopen(text, sizeof(text), "w");
	st_hist_text(f, "n", "a b", bucket);
	fclose(f);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CHECK(!strncmp(line, rows[i], strlen(rows[i])) && line[strlen(rows[i])] == '\n', "row %zu: %.100s", i, line);
		line += strcspn(line, "\n") + 1;
	}
	memset(bucket, 0, sizeof(bucket));
	bucket[2 + 63] = 3;
	bucket[4] = 1;
	f = fmemopen(text, sizeof(text), "w");
	st_hist_json(f, "n", "a", bucket);
	fclose(f);
	CHECK(!strcmp(text, "{\"name\":\"n\",\"hist\":\"a\",\"buckets\":[{\"min\":4,\"max\":7,\"count\":1},"
			    "{\"min\":9223372036854775808,\"max\":18446744073709551615,\"count\":3}],\"faults\":0}\n"), "%s", text);
}

/* ---- programs that are damaged: faults, and nothing else */

static void damaged_programs(void)
{
	struct st_regs regs = { 0 };
	struct st_agent_hit hit = { .ctl = ctl, .code = &ctl->code[8], 
				    .regs = (const unsigned long *)&regs, .tid = (int)getpid(), .sp = ~0ul };
	struct st_op *op = ctl->code[8].op;
	uint64_t v, seed = 1, ran = 0;
	unsigned int i, round;

	CHECK(!st_fetch_run(&hit, (struct st_program){ ST_CODE_MAX - 1, 2 }, &v), "beyond the code");
	CHECK(!st_fetch_run(&hit, (struct st_program){ 65535, 65535 }, &v), "far beyond the code");
	CHECK(!st_fetch_run(&hit, (struct st_program){ 0, 0 }, &v), "nothing");
	for (round = 0; round < 200000; round++) {
		for (i = 0; i < 16; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			op[i] = (struct st_op){ .op = (uint8_t)((seed >> 33) % (ST_OP_CODES + 3)), .size = (uint8_t)(seed >> 41) >> (seed % 7),
						.index = (uint16_t)((seed >> 20) & (seed & 1 ? 0xffff : 31)), .imm = (int64_t)seed >> (seed % 60) };
			/* Those that ask the kernel are slow, and looked at elsewhere. */
			if (op[i].op == ST_OP_COMM || op[i].op == ST_OP_LOAD || op[i].op == ST_OP_MATCH)
				op[i].op = ST_OP_IMM;
		}
		ran += st_fetch_run(&hit, (struct st_program){ 0, (uint16_t)(1 + seed % 16) }, &v);
	}
	CHECK(ran > 100, "%llu", (unsigned long long)ran);
}

/* The machine's arithmetic, by values. */
static void arithmetic(void)
{
	static const struct {
		enum st_op_code op;
		int64_t b, a, want;
	} cases[] = {
		{ ST_OP_ADD, 1, -2, -1 }, { ST_OP_SUB, 1, 3, -2 }, { ST_OP_MUL, -3, 1ll << 40, -3 * (1ll << 40) },
		{ ST_OP_DIVS, -7, 2, -3 }, { ST_OP_MODS, -7, 2, -1 }, { ST_OP_DIVS, 7, -2, -3 }, { ST_OP_MODS, 7, -2, 1 },
		{ ST_OP_DIVS, INT64_MIN, -1, INT64_MIN }, { ST_OP_MODS, INT64_MIN, -1, 0 }, { ST_OP_DIVU, -1, 10, 1844674407370955161ll },
		{ ST_OP_MODU, -1, 10, 5 }, { ST_OP_AND, 6, 3, 2 }, { ST_OP_OR, 6, 3, 7 }, { ST_OP_XOR, 6, 3, 5 }, { ST_OP_SHL, 1, 63, INT64_MIN },
		{ ST_OP_SHL, 1, 64, 0 }, { ST_OP_SHR, -1, 60, 15 }, { ST_OP_SHR, -1, 64, 0 }, { ST_OP_SAR, -8, 2, -2 }, { ST_OP_SAR, -8, 99, -1 },
		{ ST_OP_EQ, 1, 1, 1 }, { ST_OP_NE, 1, 1, 0 }, { ST_OP_LTU, 1, -1, 1 }, { ST_OP_LTS, 1, -1, 0 }, { ST_OP_LEU, 2, 2, 1 },
		{ ST_OP_LES, -2, -3, 0 },
	};
	struct st_agent_hit hit = { .ctl = ctl, .code = &ctl->code[8], .sp = ~0ul };
	struct st_op *op = ctl->code[8].op;
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		op[0] = (struct st_op){ .op = ST_OP_IMM, .imm = cases[i].b };
		op[1] = (struct st_op){ .op = ST_OP_IMM, .imm = cases[i].a };
		op[2] = (struct st_op){ .op = (uint8_t)cases[i].op };
		CHECK(st_fetch_run(&hit, (struct st_program){ 0, 3 }, &v) && (int64_t)v == cases[i].want, "%zu: %lld", i, (long long)v);
	}
	op[1].imm = 0;
	for (i = ST_OP_DIVU; i <= ST_OP_MODS; i++) {
		op[2].op = (uint8_t)i;
		CHECK(!st_fetch_run(&hit, (struct st_program){ 0, 3 }, &v), "division by 0: %zu", i);
	}
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
	/* For filters by it: qemu-user gives its own. */
	prctl(PR_SET_NAME, "probe-recorder");
	can_read = process_vm_readv(getpid(), &self, 1, &self, 1, 0) == 1;
	registers();
	if (can_read) {
		memory();
		programs();
		text_filters();
		long_strings();
		formats();
	} else {
		skipped++;
		puts("skipped: values in memory: there is no process_vm_readv here");
	}
	filters();
	bad_filters();
	histograms();
	arithmetic();
	damaged_programs();
	no_syscalls();
	damaged();
	count_only();
	full_ring();
	storm();
	clocks();
	damaged_ring();
	return finish();
}
