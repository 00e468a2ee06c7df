// SPDX-License-Identifier: GPL-2.0-only
/*
 * C expressions against programs whose values are known. A program is stepped through, one instruction at a time; wherever it is in
 * one of the functions, each expression of the table is compiled for that place and evaluated as the agent would: it must give
 * the value, or be refused. At the entry and where the table says so, it must not be refused.
 *
 *	probe-dwarf PROGRAM...		(tests/programs/expressions.c, compiled in some way)
 */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <agent/hit.h>
#include <probe/compile.h>
#include <probe/dwarf.h>
#include <probe/print.h>
#include "check.h"

#define STEPS 20000

enum need {
	MAYBE,		/* anywhere: right, or refused */
	ENTRY,		/* it must be there at the entry */
	ALWAYS,		/* it must be there everywhere */
};

/* clang-format off */
static const struct row {
	const char *function;
	const char *value;	/* NAME=FETCHARG, as in a probe */
	const char *want;
	enum need need;
} rows[] = {
	{ "simple", "v=a", "-5", ENTRY },
	{ "simple", "v=b", "200", ENTRY },
	{ "simple", "v=c", "-300", ENTRY },
	{ "simple", "v=flag", "1", MAYBE },	/* clang describes a bool in ways that are refused */
	{ "simple", "v=text:string", "\"text\"", ENTRY },
	{ "simple", "v=text[1]:char", "'e'", ENTRY },
	{ "simple", "v=*text", "116", ENTRY },
	{ "simple", "v=(a+1)*3-b/7%5", "-15", ENTRY },
	{ "simple", "v=(a<0&&b>199||c)", "1", ENTRY },
	{ "simple", "v=(a<sizeof(int))", "0", ENTRY },
	{ "simple", "v=(unsigned char)a", "251", ENTRY },
	{ "simple", "v=a>>1", "-3", ENTRY },
	{ "simple", "v=(unsigned)a>>1", "2147483645", ENTRY },
	{ "simple", "v=~a&0xff", "4", ENTRY },
	{ "simple", "v=-a:x16", "0x5", ENTRY },
	{ "simple", "v=!a", "0", ENTRY },
	{ "simple", "v=b<<24", "-939524096", ENTRY },
	{ "simple", "v=(b==200)+(c!=-300)", "1", ENTRY },
	{ "simple", "v=(&text[2]-text)", "2", ENTRY },
	{ "simple", "v=1/(a+5)", "(fault)", ENTRY },
	{ "simple", "v=((a+5)&&1/(a+5))", "0", ENTRY },
	{ "simple", "v=*(int *)8", "(fault)", ALWAYS },
	{ "simple", "v=global_number", "4711", ALWAYS },
	{ "simple", "v=global_number/-2", "-2355", ALWAYS },
	{ "simple", "v=file_static", "-77", ALWAYS },
	{ "simple", "v=file_static:u8", "179", ALWAYS },
	{ "simple", "v=global_text:string", "\"global text\"", ALWAYS },
	{ "simple", "v=global_client->argv[1]->ptr:string", "\"key\"", ALWAYS },
	{ "simple", "v=BLUE", "-3", ALWAYS },
	{ "simple", "v=sizeof(struct pair)", "8", ALWAYS },
	{ "simple", "v=sizeof(u32)+sizeof(a)", "8", ALWAYS },
	{ "command", "v=c->argc", "2", ENTRY },
	{ "command", "v=c->id:x64", "0x10000000000", ENTRY },
	{ "command", "v=c->argv[0]->ptr:string", "\"SET\"", ENTRY },
	{ "command", "v=c->argv[c->argc-1]->ptr:string", "\"key\"", ENTRY },
	{ "command", "v=(char *)c->argv[0]->ptr+1:string", "\"ET\"", ENTRY },
	{ "command", "v=((sds)c->argv[0]->ptr)[2]:char", "'T'", ENTRY },
	{ "command", "v=c->argv[0]->type", "3", ENTRY },
	{ "command", "v=c->argv[0]->encoding", "9", ENTRY },
	{ "command", "v=c->argv[0]->lru:x32", "0xabcdef", ENTRY },
	{ "command", "v=(*c->argv)->refs", "7", ENTRY },
	{ "command", "v=c->name", "\"a client\"", ENTRY },
	{ "command", "v=c->name[2]:char", "'c'", ENTRY },
	{ "command", "v=c->numbers", "{1,-2,3}", ENTRY },
	{ "command", "v=c->numbers[1]", "-2", ENTRY },
	{ "command", "v=c->numbers:x8[2]", "{0x1,0x0}", ENTRY },
	{ "command", "v=c->hidden", "12", ENTRY },
	{ "command", "v=c->whole:x32", "0x1020304", ENTRY },
	{ "command", "v=c->part[0]", "4", ENTRY },
	{ "command", "v=c->color==GREEN", "1", ENTRY },
	{ "command", "v=c->color", "5", ENTRY },
	{ "command", "v=other->color", "-3", ENTRY },
	{ "command", "v=c->wide", "-5", ENTRY },
	{ "command", "v=c->narrow", "-2", ENTRY },
	{ "command", "v=c->flag", "1", ENTRY },
	{ "command", "v=c->matrix[1][2]", "6", ENTRY },
	{ "command", "v=c->matrix[0]", "{1,2,3}", ENTRY },
	{ "command", "v=*(c->matrix[1]+1)", "5", ENTRY },
	{ "command", "v=c->ratio:x64", "0x3fe0000000000000", ENTRY },
	{ "command", "v=c->next->name", "\"the next one\"", ENTRY },
	{ "command", "v=c->next==other", "1", ENTRY },
	{ "command", "v=other->next->id", "(fault)", ENTRY },
	{ "command", "v=(other->next&&other->next->id)", "0", ENTRY },
	{ "command", "v=flags", "2147483649", ENTRY },
	{ "command", "v=(int)flags", "-2147483647", ENTRY },
	{ "command", "v=flags>>31", "1", ENTRY },
	{ "command", "v=flags&1", "1", ENTRY },
	{ "command", "v=sizeof(c->name)", "16", ALWAYS },
	{ "command", "v=sizeof(*c->argv[0])", sizeof(long) == 8 ? "16" : "12", ALWAYS },
	{ "command", "v=((struct client *)$arg1)->argc", "2", MAYBE },
	{ "in_memory", "v=value", "321", ENTRY },
	{ "in_memory", "v=p.a", "11", MAYBE },
	{ "in_memory", "v=p.b", "-22", MAYBE },
	{ "in_memory", "v=after", "99", MAYBE },
	{ "many", "v=a", "1", ENTRY },
	{ "many", "v=f", "6", ENTRY },
	{ "many", "v=i", "9", ENTRY },
	{ "many", "v=j", "-10", ENTRY },
	{ "outer", "v=o", "41", ENTRY },
	{ "outer", "v=inner", "42", MAYBE },
	{ "outer", "v=step", "12", MAYBE },
};

/* At the return of the function: what it returns, and what outlives it. */
static const struct row returned[] = {
	{ "simple", "v=$retval+0", "-5", ALWAYS },
	{ "command", "v=$retval+0", "-2", ALWAYS },
	{ "find", "v=$retval->name", "\"the next one\"", ALWAYS },
	{ "find", "v=$retval->next", "0x0", ALWAYS },
	{ "negative", "v=$retval*2", "-14", ALWAYS },
	{ "negative", "v=global_number", "4711", ALWAYS },
#if defined(__x86_64__)
	{ "make", "v=$retval.two", "101", ALWAYS },
#endif
};

/* Refused everywhere, with a sentence that has these words. */
static const struct row refused[] = {
	{ "simple", "v=nothing", "no variable named nothing", ALWAYS },
	{ "command", "v=c->nothing", "no member nothing", ALWAYS },
	{ "command", "v=*c", "structure", ALWAYS },
	{ "command", "v=c.argc", "no structure", ALWAYS },
	{ "command", "v=c->argv[0]->ptr[1]", "void", ALWAYS },
	{ "command", "v=&c->narrow", "bit-field", ALWAYS },
	{ "command", "v=c->ratio", "floating point", ALWAYS },
	{ "command", "v=c+c", "pointer", ALWAYS },
	{ "command", "v=(struct nothing *)c", "no type named struct nothing", ALWAYS },
	{ "command", "v=&flags", "", MAYBE },
};
/* clang-format on */

static pid_t child;
static struct st_objects *objs;
static struct st_ctl *ctl;
static unsigned int evaluated, declined;

static bool registers(struct st_regs *regs)
{
	struct iovec iov = { regs, sizeof(*regs) };
	union {
		struct st_regs regs;
		uint8_t all[512];
	} buf;

	iov.iov_base = &buf;
	iov.iov_len = sizeof(buf);
	if (ptrace(PTRACE_GETREGSET, child, NT_PRSTATUS, &iov))
		return false;
	*regs = buf.regs;
	return true;
}

static unsigned long pc_of(const struct st_regs *regs)
{
#if defined(__x86_64__)
	return regs->ip;
#else
	return regs->pc;
#endif
}

/* Evaluates a value at a place: its text, or NULL with why it was refused. */
static const char *evaluate(const struct row *row, bool ret, unsigned long func, unsigned long size, const struct st_regs *regs,
			    unsigned long pc, char why[ST_ERR_MAX])
{
	struct st_fn fn = { .addr = func, .size = size, .offset = ret ? 0 : pc - func, .name = row->function };
	static char spelling[300], text[600];
	static struct st_spec spec, typed;
	static union {
		struct st_rec rec;
		uint8_t bytes[4096];
	} buf;
	struct st_ctl_probe *p = &ctl->probe_rec[0];
	struct st_spec_error err;
	struct st_agent_hit hit = { .ctl = ctl, .code = &ctl->code[0], .regs = (const unsigned long *)regs, .tid = child,
			      /* No page of the child's stack is ours. */
			      .sp = ~0ul };
	struct st_probe_hit print = { .spec = &typed, .rec = &buf.rec, .comm = "c" };
	bool fault = false;
	char *value;
	FILE *f;

	snprintf(spelling, sizeof(spelling), "%s:n %s %s", ret ? "r" : "p", row->function, row->value);
	if (st_spec_parse(spelling, st_spec_native, &spec, &err)) {
		snprintf(why, ST_ERR_MAX, "%s", err.text);
		return NULL;
	}
	memset(p, 0, sizeof(*p));
	if (st_compile(objs, &fn, 1, &spec, NULL, &typed, p, &ctl->code[0], why))
		return NULL;
	memset(&buf.rec, 0, sizeof(buf.rec));
	buf.rec.size = (uint32_t)sizeof(buf.rec) + st_fetch_value(&hit, &p->fetch[0], (uint8_t *)(&buf.rec + 1), &fault);
	buf.rec.faults = fault;
	f = fmemopen(text, sizeof(text), "w");
	st_print_text(f, &print);
	fclose(f);
	text[strcspn(text, "\n")] = '\0';
	value = strstr(text, " v=");
	return value ? value + 3 : text;
}

static void look(const char *program, const struct st_func *f, const struct st_regs *regs, bool *seen)
{
	unsigned long pc = pc_of(regs);
	char why[ST_ERR_MAX] = "";
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		const char *got;

		if (strcmp(row->function, f->name))
			continue;
		/* $argN is what it is at the entry only. */
		if (strstr(row->value, "$arg") && pc != f->addr)
			continue;
		got = evaluate(row, false, f->addr, f->size, regs, pc, why);
		evaluated += got != NULL;
		declined += !got;
		if (!got && (row->need == ALWAYS || (row->need == ENTRY && pc == f->addr)))
			CHECK(false, "%s: %s+%lu: %s: refused: %s", program, f->name, pc - f->addr, row->value, why);
		else if (got && strcmp(got, row->want))
			CHECK(false, "%s: %s+%lu: %s: %s, not %s", program, f->name, pc - f->addr, row->value, got, row->want);
		else if (!got)
			CHECK(strlen(why) > 10, "%s: %s", row->value, why);
		seen[i] |= got != NULL;
	}
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]) && pc == f->addr; i++) {
		const char *got;

		if (strcmp(refused[i].function, f->name))
			continue;
		got = evaluate(&refused[i], false, f->addr, f->size, regs, pc, why);
		CHECK((!got || refused[i].need == MAYBE) && (got || strstr(why, refused[i].want)), "%s: %s: %s", program,
		      refused[i].value, got ? got : why);
	}
}

static void look_back(const char *program, const struct st_func *f, const struct st_regs *regs)
{
	char why[ST_ERR_MAX] = "";
	size_t i;

	for (i = 0; i < sizeof(returned) / sizeof(returned[0]); i++) {
		const char *got;

		if (strcmp(returned[i].function, f->name))
			continue;
		got = evaluate(&returned[i], true, f->addr, f->size, regs, f->addr, why);
		CHECK(got && !strcmp(got, returned[i].want), "%s: return of %s: %s: %s", program, f->name, returned[i].value,
		      got ? got : why);
	}
}

#if defined(__arm__)
/*
 * There is no single step. Breakpoints at the entries, and where each call returns to: taken away when they are hit.
 */
static struct {
	unsigned long addr, old;
} points[32];
static unsigned int npoints;

static void set_point(unsigned long addr, bool thumb)
{
	unsigned long word;

	if (npoints == 32)
		return;
	errno = 0;
	word = (unsigned long)ptrace(PTRACE_PEEKDATA, child, addr & ~3ul, 0);
	points[npoints].addr = addr;
	points[npoints++].old = word;
	if (!thumb)
		word = 0xe7f001f0;
	else
		word = addr & 2 ? (word & 0xffff) | 0xde010000 : (word & 0xffff0000) | 0xde01;
	ptrace(PTRACE_POKEDATA, child, addr & ~3ul, word);
}

static bool step(void)
{
	struct st_regs regs;
	unsigned int i;
	int status;

	if (ptrace(PTRACE_CONT, child, 0, 0) || waitpid(child, &status, 0) != child || !WIFSTOPPED(status) || !registers(&regs))
		return false;
	for (i = npoints; i-- > 0;) {
		if (points[i].addr != pc_of(&regs))
			continue;
		ptrace(PTRACE_POKEDATA, child, points[i].addr & ~3ul, points[i].old);
		points[i] = points[--npoints];
		break;
	}
	return true;
}
#else
static bool step(void)
{
	int status;

	return !ptrace(PTRACE_SINGLESTEP, child, 0, 0) && waitpid(child, &status, 0) == child && WIFSTOPPED(status);
}
#endif

static unsigned long stack_of(const struct st_regs *regs)
{
	return st_regs_sp(regs);
}

static bool is_looked_at(const struct st_func *f)
{
	size_t i;

	for (i = 0; f && i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!strcmp(rows[i].function, f->name))
			return true;
	for (i = 0; f && i < sizeof(returned) / sizeof(returned[0]); i++)
		if (!strcmp(returned[i].function, f->name))
			return true;
	return false;
}

static void run(const char *program)
{
	const struct st_func *f, *inside[16];
	bool seen[sizeof(rows) / sizeof(rows[0])] = { 0 };
	unsigned long back[16], sp[16];
	struct st_proc *proc = NULL;
	struct st_regs regs;
	unsigned int n = 0, i, before = evaluated, before_declined = declined;
	char err[ST_ERR_MAX] = "";
	int status;
#if defined(__arm__)
	size_t nfunctions;
#endif

	child = fork();
	if (!child) {
		execl(program, program, NULL);
		_exit(127);
	}
	if (waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status)) {
		CHECK(false, "%s does not start", program);
		return;
	}
	CHECK(!st_proc_open(child, &proc, err) && !st_objects_read(proc, &objs, err), "%s", err);
	if (failed)
		return;
	if (ptrace(PTRACE_SEIZE, child, 0, 0) || kill(child, SIGCONT) || ptrace(PTRACE_INTERRUPT, child, 0, 0)) {
		CHECK(false, "%s: ptrace: %s", program, strerror(errno));
		return;
	}
	waitpid(child, &status, 0);
#if defined(__arm__)
	npoints = 0;
	f = st_object_functions(&objs->object[0], &nfunctions);
	for (; nfunctions; nfunctions--, f++)
		if (is_looked_at(f))
			set_point(f->addr, f->isa == ST_ISA_T32);
#endif
	for (i = 0; i < STEPS && step() && registers(&regs); i++) {
		unsigned long pc = pc_of(&regs);
		struct st_object *obj = st_objects_find(objs, pc);

		f = obj && obj->flags & ST_OBJECT_EXE ? st_object_function_at(obj, pc) : NULL;
		if (n && pc == back[n - 1] && stack_of(&regs) >= sp[n - 1]) {
			n--;
			look_back(program, inside[n], &regs);
		}		if (!is_looked_at(f))
			continue;
		if (pc == f->addr && n < 16) {
			inside[n] = f;
			sp[n] = stack_of(&regs);
#if defined(__x86_64__)
			back[n] = (unsigned long)ptrace(PTRACE_PEEKDATA, child, sp[n], 0);
#elif defined(__aarch64__)
			back[n] = regs.regs[30];
#else
			back[n] = regs.lr & ~1ul;
			set_point(back[n], regs.lr & 1);
#endif
			n++;
		}
		look(program, f, &regs, seen);
	}
	CHECK(i > 10 && i < STEPS, "%s: %u steps", program, i);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CHECK(seen[i] || rows[i].need == MAYBE, "%s: %s: %s was never there", program, rows[i].function, rows[i].value);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	printf("%s: %u values, %u refusals\n", program, evaluated - before, declined - before_declined);
	st_objects_free(objs);
	st_proc_close(proc);
}

int main(int argc, char **argv)
{
	int i;

	ctl = calloc(1, sizeof(*ctl));
	if (!ctl || argc < 2)
		return 1;
	for (i = 1; i < argc; i++)
		run(argv[i]);
	return finish();
}
