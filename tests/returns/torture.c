/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Register torture for returns, x86-64: random contents of every register there is come out of a function whose return is probed as
 * they come out of its twin that is not; hooks see them, hooks change some, and hooks leave garbage in all that is not theirs. The
 * functions, the caller and the signals are those of the engine's own torture.
 */
#define main engine_main
#include "../engine/torture.c"
#undef main
#include <engine/return.h>

static struct st_return ret;
static struct st_hook *list[3] __attribute__((aligned(16)));
static struct image expect;

/* What the caller will have. */
static void image_of(struct image *out, const struct st_regs *r)
{
	static const uint8_t gpr[] = { 15, 14, 13, 12, RBP, RBX, 11, 10, 9, 8, RAX, RCX, RDX, RSI, RDI };
	const unsigned long *word = (const unsigned long *)r;

	for (unsigned int i = 0; i < NOTHING; i++)
		out->gpr[gpr[i]] = word[i];
	out->flags = r->flags;
}

static bool one_return(const struct shape *s, bool change)
{
	const unsigned long *seen = (const unsigned long *)&torture_hit.seen;
	unsigned long *want = (unsigned long *)&torture_hit.want, hits = torture_hit.hits;
	struct st_regs see;
	const char *diff;

	fill_image(&in);
	run(s->twin, &in);
	load(&expect, &torture_out);
	load(&expect_body, &torture_body);
	regs_of(&see, &expect, (void *)torture_return);
	see.sp = in.gpr[RSP];
	torture_hit.want = see;
	if (change) {
		for (unsigned int i = 0; i < NOTHING; i++)
			want[i] = check_random(&seed);
		torture_hit.want.flags ^= check_random(&seed) & (FLAGS_STATUS | FLAG_DF | FLAG_AC | FLAG_ID);
		image_of(&expect, &torture_hit.want);
		/* Not theirs to change. */
		torture_hit.want.ip = check_random(&seed);
		torture_hit.want.sp = check_random(&seed);
	}
	torture_hit.change = change;
	torture_hit.move_return = 0;
	torture_hit.bad = 0;
	errno = 7;
	run(s->hooked, &in);
	torture_hit.change = 0;
	if (torture_hit.hits != hits + 1)
		return check(false, "%s: %s: the hook ran %ld times", now_doing, s->name, torture_hit.hits - hits);
	if (torture_hit.bad || errno != 7)
		return check(false, "%s: %s: the hook ran with a crooked stack, DF or AC, or libc failed it", now_doing, s->name);
	for (unsigned int i = 0; i < W_COUNT; i++)
		if (seen[i] != ((unsigned long *)&see)[i])
			return check(false, "%s: %s: the hook saw %s %#lx, not %#lx", now_doing, s->name, reg_names[i], seen[i],
				     ((unsigned long *)&see)[i]);
	if (torture_hit.parent != (unsigned long)torture_return || torture_hit.ip != ret.site->ip)
		return check(false, "%s: %s: parent_ip %#lx, ip %#lx", now_doing, s->name, torture_hit.parent, torture_hit.ip);
	diff = compare(&torture_body, &expect_body);
	if (diff)
		return check(false, "%s: %s: the function found %s", now_doing, s->name, diff);
	diff = compare(&torture_out, &expect);
	if (diff)
		return check(false, "%s: %s: what came back: %s", now_doing, s->name, diff);
	rounds_done++;
	return true;
}

/*
 * A hook that can do without registers (engine/site.h): its short form leaves garbage in all that it may change, and each fourth time has
 * done nothing.
 */
int torture_brief(struct st_slot *t, struct st_hook *hook);
unsigned long torture_brief_calls;
__asm__(".text\n\t.type torture_brief, @function\ntorture_brief:\n\t"
	"incq torture_brief_calls(%rip)\n\tmov torture_brief_calls(%rip), %eax\n\tmov $-1, %rcx\n\tmov %rcx, %rdx\n\tmov %rcx, %rsi\n\t"
	"mov %rcx, %rdi\n\tand $3, %eax\n\tadd $0x7fffffff, %ecx\n\tret\n\t.size torture_brief, . - torture_brief");

static void torture_short(const struct shape *s, unsigned long n, unsigned long *others, const char *what)
{
	const char *diff = NULL;
	unsigned long hits;

	*others = torture_brief_calls = 0;
	now_doing = what;
	for (unsigned long i = 0; i < n && !diff; i++) {
		fill_image(&in);
		run(s->twin, &in);
		load(&expect, &torture_out);
		load(&expect_body, &torture_body);
		errno = 7;
		run(s->hooked, &in);
		diff = compare(&torture_body, &expect_body) ?: compare(&torture_out, &expect);
		rounds_done++;
	}
	check(!diff && errno == 7, "%s: %s: %s", now_doing, s->name, diff);
	/* The others have flags that it must not see. */
	hits = torture_brief_calls - torture_brief_calls / 4 + *others;
	check(hits == n && torture_brief_calls > n / 64, "%s: %s: %lu of %lu hits, short %lu", now_doing, s->name, hits, n,
	      torture_brief_calls);
}

static void torture_returns(const struct shape *s, unsigned long n)
{
	struct st_hook entry = { .size = sizeof(entry), .func = torture_hook_nothing, .flags = ST_HOOK_GENERAL_REGS };
	struct st_hook general = { .size = sizeof(general), .func = torture_hook_general, .flags = ST_HOOK_GENERAL_REGS };
	struct st_hook vector = { .size = sizeof(vector), .func = hook_vector };
	unsigned long entries = 0, others = 0;
	struct st_short_hook brief = {
		.hook = { .size = sizeof(brief.hook), .func = torture_hook_nothing, .data = &others, .flags = ST_HOOK_GENERAL_REGS },
		.brief = torture_brief,
	};

	entry.data = &entries;
	memset(&ret, 0, sizeof(ret));
	ret.hook = (struct st_hook){ .size = sizeof(ret.hook), .func = st_return_enter, .data = &ret, .flags = ST_HOOK_GENERAL_REGS };
	ret.hooks = (struct st_hook_list *)list;
	st_hook_filter_ip(&entry, s->hooked);
	st_hook_filter_ip(&ret.hook, s->hooked);
	if (!check(st_hook_register(&entry) == 1 && st_hook_returns((unsigned long)s->hooked, &ret) && st_hook_register(&ret.hook) == 1,
		   "%s: %s %s", s->name, st_hook_reason(&entry), st_hook_reason(&ret.hook)))
		return;
	for (unsigned int mode = 0; mode < 3; mode++) {
		unsigned long i = 0;

		list[0] = mode == 1 ? &vector : &general;
		ret.hooks = (struct st_hook_list *)((unsigned long)list | (mode == 1 ? ST_HOOKS_VECTOR : 0));
		now_doing = mode == 1 ? "vector hook at the return" : mode ? "no other hook at the entry" : "general hook at the return";
		if (mode == 2)
			check(!st_hook_unregister(&entry), "%s: can't be unhooked", s->name);
		while (i < n && one_return(s, i & 1))
			i++;
		check(i == n, "%s: %s: after %lu rounds", s->name, now_doing, i);
	}
	list[0] = &brief.hook;
	brief.hook.flags |= ST_HOOK_IS_SHORT;
	torture_short(s, n, &others, "short hook at the return");
	brief.hook.flags &= ~ST_HOOK_IS_SHORT;
	check(!ret.missed && !general.missed && !vector.missed, "%s: %lu missed", s->name, ret.missed);
	check(ret.site->flags & ST_SITE_ALONE, "%s: the short way was not taken", s->name);
	check(!st_hook_unregister(&ret.hook), "%s: can't be unhooked", s->name);
	st_hook_filter_ip(&brief.hook, s->hooked);
	if (!check(st_hook_register(&brief.hook) == 1, "%s: %s", s->name, st_hook_reason(&brief.hook)))
		return;
	brief.hook.flags |= ST_HOOK_IS_SHORT;
	__atomic_fetch_or(&ret.site->flags, ST_SITE_ALONE, __ATOMIC_RELAXED);
	torture_short(s, n, &others, "short hook at the entry");
	check(!st_hook_unregister(&brief.hook), "%s: can't be unhooked", s->name);
}

int main(int argc, char **argv)
{
	unsigned long n = check_option(argc, argv, "--rounds", 8000, 200000);
	struct st_hook sig = { .size = sizeof(sig), .func = hook_signal };
	unsigned int top = cpu_level(), found = st_arch_vector;
	pthread_t thread;

	seed = check_option(argc, argv, "--seed", 88172645463325252ul, 88172645463325252ul);
	for (size_t i = 0; i < sizeof(pool) / 8; i++)
		pool[i] = check_random(&seed);
	for (size_t i = 0; i < 8; i++)
		torture_data[i] = check_random(&seed);
	torture_level = top;
	fill_image(&in);
	st_hook_filter_ip(&sig, sig_nops);
	st_hook_filter_ip(&sig, sig_moved);
	check(st_hook_register(&sig) == 2, "%s", st_hook_reason(&sig));
	found = st_arch_vector;
	start_signals(&thread);
	for (unsigned int level = top; level <= top; level--) {
		torture_level = level;
		st_arch_vector = level == LEVEL_SSE ? 0 : level == LEVEL_AVX ? found & 1 : found;
		for (unsigned long i = 0; i < torture_shapes_count; i++)
			torture_returns(&torture_shapes[i], level == top ? n : n / 8);
	}
	stop_signals(thread);
	check(!storm_wrong && !sig.missed, "signal handlers got %lu wrong values, %lu missed", storm_wrong, sig.missed);
	printf("%lu returns of %lu shapes, %lu signals taken\n", rounds_done, torture_shapes_count, storm_calls);
	return check_end();
}
