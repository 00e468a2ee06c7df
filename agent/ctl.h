/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The memory that the agent in a process and the command line tool share: a memfd, mapped in both.
 *
 * Everything the tool needs to go on after another tool (or itself, killed at any moment) worked on the process stands
 * here and nowhere else: which sites were changed and what they held before, which probes and patches there are.
 * Rule: a record is complete before its `state` is set, and a site's record is complete before its bytes change.
 * The tool trusts nothing it reads here (the target can write it): every index and size is checked.
 */
#ifndef ST_AGENT_CTL_H
#define ST_AGENT_CTL_H

#include <stdint.h>
#include <agent/fetch.h>
#include <agent/mail.h>
#include <agent/patches.h>
#include <agent/transition.h>
#include <engine/arch.h>
#include <engine/return.h>
#include <engine/site.h>

#define ST_CTL_NAME	"sidetrack"		/* of the memfd: /memfd:sidetrack in maps */
#define ST_CTL_MAGIC	0x6b63617274656469ull	/* "idetrack", little endian */
#define ST_CTL_VERSION	4

#define ST_SITES_MAX	65536
#define ST_PROBES_MAX	1024
#define ST_REGIONS_MAX	256
#define ST_SITE_HOOKS_MAX	7			/* hooks on one site */
#define ST_TRAPS_BITS	17			/* index of breakpoints: twice as many places as there are sites */
#define ST_TRAPS	(1u << ST_TRAPS_BITS)
#define ST_INTERNAL_MAX	8
#define ST_MASKED_MAX	64
#define ST_HOLDERS_MAX	16			/* tools that hold the memory open */
#define ST_RING_SIZE	(8u << 20)		/* bytes, a power of two */
#define ST_COLUMNS_MAX	1024			/* threads that count without a locked instruction */

/* ---- sites ---- */

enum st_site_state {
	ST_SITE_FREE,
	ST_SITE_READY,		/* record and stub complete, the site holds its own bytes */
	ST_SITE_HOOKED,		/* the site leads to its stub, or is about to */
	ST_SITE_PATCHED,	/* the site holds a jump to a patch's function, or is about to */
};

/*
 * A changed site has one of two forms. Each has a stub of its own, which stays when the other one is taken: a thread may be in it.
 * The original bytes are common to both. A form is complete before `stub` is set, and never changes afterwards.
 */
enum { ST_FORM_JUMP, ST_FORM_BREAKPOINT, ST_FORMS };

struct st_ctl_form {
	uint64_t stub;		/* address of the stub, without Thumb bit; 0: not prepared, or it does not fit */
	uint32_t kind;		/* enum st_kind */
	uint16_t size;		/* of the stub */
	uint16_t moved;		/* offset of the moved instructions in it */
	uint16_t path, after;	/* as struct st_stub has them */
	uint8_t len, jump, insns, signs;	/* as in struct st_plan */
	uint8_t offs[ST_INSNS_MAX];
	uint16_t map[ST_INSNS_MAX];
	uint8_t bytes[ST_JUMP_MAX];	/* what the site holds when it leads to the stub */
};

/* One changed, or once changed, place. site.dispatch etc. are read by the stub. */
struct st_ctl_site {
	struct st_site site;
	struct st_return ret;	/* while it has return hooks, ret.hook is the last of its hooks */
	uint32_t state;
	uint32_t isa;
	uint32_t now;		/* ST_FORM_*: the one that it has, or will have, when changed */
	uint32_t patch;		/* index of the newest enabled patch + 1, or 0 */
	uint64_t addr, func, size;	/* site, function, its length */
	uint64_t redirect;	/* patch function a settled patch jumps to, with Thumb bit, or 0 */
	uint32_t direct;	/* 1: a jump reaches `redirect`: direct_bytes; 0: it goes through the stub */
	uint32_t was;		/* 1: before that it may have held another one: was_bytes */
	uint32_t flip;		/* ctl->flips when the list that counts began to */
	uint32_t pad;
	struct st_ctl_form form[ST_FORMS];
	uint8_t direct_bytes[ST_JUMP_MAX], was_bytes[ST_JUMP_MAX];
	uint8_t orig[ST_DISPLACED_MAX];	/* of whichever form displaces more */
	/*
	 * Addresses of its hooks, ends with 0. Two lists: site.hooks points to the one that counts, and the next one is written where nobody
	 * reads. So a thread walks one or the other: it passes over no hook, and comes to none twice.
	 */
	unsigned long list[2][ST_SITE_HOOKS_MAX + 1];
	unsigned long returns[ST_SITE_HOOKS_MAX + 1];	/* of its return hooks, likewise: ret.hooks points here */
};

/* Of its two lists the one that counts. */
static inline unsigned long *st_site_list(const struct st_ctl_site *c)
{
	unsigned long at = (unsigned long)c->site.hooks - (unsigned long)c->ret.site;

	return (unsigned long *)c->list[at == offsetof(struct st_ctl_site, list[1]) - offsetof(struct st_ctl_site, site)];
}

/* Where in ctl->trap the search for a breakpoint begins. */
static inline uint32_t st_trap_hash(unsigned long addr)
{
	return (uint32_t)((uint32_t)(addr >> 1) * 0x9e3779b1u) >> (32 - ST_TRAPS_BITS);
}

/* ---- probes ---- */

enum st_probe_state {
	ST_PROBE_FREE,
	ST_PROBE_SETUP,		/* taken by a tool, not hit yet */
	ST_PROBE_ON,
};

#define ST_PROBE_COUNT_ONLY	(1u << 0)	/* count hits, write no record */
#define ST_PROBE_SLOW		(1u << 1)	/* there is a filter, a histogram, or a value that is not just a register */
#define ST_PROBE_CHILDREN	(1u << 8)	/* hits of forked children count, too */
#define ST_PROBE_RETURN		(1u << 2)	/* hit when the function returns */

/*
 * A histogram has a bucket for negative values, one for 0, one for each power of two, and one for what could not be read:
 * bucket 2 + n holds 2^n to 2^(n+1) - 1.
 */
#define ST_HIST_NEGATIVE	0
#define ST_HIST_ZERO		1
#define ST_HIST_FAULT		66
#define ST_HIST_BUCKETS		67

struct st_ctl_probe {
	struct st_hook hook;	/* hook.func = agent's st_agent_probe, hook.data = this record's address in the target */
	uint64_t brief;		/* agent's st_agent_count_brief, if hook.flags has ST_HOOK_IS_SHORT (engine/site.h) */
	uint32_t state;
	uint32_t flags;
	uint32_t index;		/* of this record */
	uint32_t fetches;
	uint32_t room;		/* bytes of the largest record, its header included */
	uint32_t owner;		/* pid of the tool that reads its hits */
	uint64_t owner_start;	/* its start time (/proc/PID/stat field 22), so that a reused pid is not taken for it */
	uint64_t hits;		/* those that are in no column: st_ctl_hits() has the sum */
	uint64_t sites;		/* how many sites it sits on */
	struct st_program filter;	/* a hit for which it gives 0, or a fault, is none: neither counted nor recorded */
	struct st_program hist;		/* gives the value for the histogram */
	uint32_t hist_signed;
	uint32_t pad;
	struct st_fetch fetch[ST_FETCH_MAX];
	char name[64];
	char spec[512];
};

/* The rest of a probe, which few have. */
struct st_ctl_code {
	struct st_op op[ST_CODE_MAX];
	char text[ST_TEXT_MAX];
	uint64_t bucket[ST_HIST_BUCKETS];
};

/* ---- the ring: hits, from all threads to the tool ---- */

#define ST_REC_FAULT_BIT(i)	(1u << (i))	/* fetcharg i could not be read */

/*
 * One hit. Reserved by moving ring.head, filled, then committed by storing `size` last. All records are 8-byte aligned;
 * a record that would cross the ring's end is preceded by a filler (probe == 0xffff). Behind the header: for each
 * fetcharg, in order, count * 8 bytes of value, or for a string 2 bytes length + text, padded to 8.
 */
struct st_rec {
	uint32_t size;		/* of the whole record; 0 until committed */
	uint16_t probe;		/* index */
	uint16_t cpu;		/* 0xffff: not known */
	uint32_t tid;
	uint32_t faults;	/* bit i: fetcharg i could not be read */
	uint32_t pid;		/* of the process: a forked child's is not ctl->pid */
	uint32_t pad;
	uint64_t time;		/* st_agent_clock() ticks: TSC, CNTVCT, or ns where neither can be read */
	uint64_t ip;
	uint64_t parent;
};

struct st_ring {
	uint64_t head;		/* bytes ever reserved */
	uint64_t pad0[7];
	uint64_t tail;		/* bytes ever consumed, written by the tool */
	uint64_t pad1[7];
	uint64_t lost;		/* hits that found no room */
	uint64_t pad2[7];
	uint8_t data[ST_RING_SIZE];
};

/* ---- patches: patches.h ---- */

/* Memory that we mapped in the target and that goes away with the agent. */
enum st_region_kind { ST_REGION_FREE, ST_REGION_AGENT, ST_REGION_ISLAND, ST_REGION_PATCH, ST_REGION_CTL, ST_REGION_SHADOW };
struct st_ctl_region {
	uint32_t kind;
	uint32_t released;	/* pid of the process in which it is unmapped already, while that is being left */
	uint64_t start, size;
	uint64_t used;		/* ISLAND: bytes handed out. PATCH: 1: it is never unmapped, exceptions of its types may be alive */
};

struct st_ctl {
	uint64_t magic;
	uint32_t version;
	uint32_t size;		/* of this structure */
	uint64_t self;		/* its address in the target */
	uint64_t ready;		/* 1 when the agent is complete and may be used */
	/* of the agent's image in the target */
	uint64_t entry, dispatch, dispatch_vector, dispatch_redirect, probe, threads;
	uint64_t ret, return_enter, returns_list, unwind_hook;
	uint64_t unwind_personality, unwind_get, unwind_set;	/* 32-bit ARM (engine/unwind.h) */
	uint64_t trap_handler, trap_restorer, trap_state, trap_sigaction, trap_sigmask;
	/* what the tool found out for the agent */
	int64_t tid_offset;	/* of the thread's id from the thread pointer; 0: not known, the agent asks the kernel once */
	uint64_t mail_func;	/* st_agent_mail */
	uint64_t brief;		/* st_agent_count_brief, or 0 */
	uint64_t home;		/* of a word that holds the process id, and 0 in a child (home.h); 0: not known */
	uint64_t early;		/* its own address: the thread pointer of a program that has just been started and has none yet */
	uint32_t pid;		/* of the process, as the tool sees it */
	uint32_t pad0;
	int64_t rseq_offset;	/* of struct rseq from the thread pointer; 0: not known, cpu is 0xffff */
	uint32_t no_syscalls;	/* the target is under seccomp: memory reads that need a system call yield a fault */
	uint32_t sites_used;	/* records below this index may be in use */
	uint32_t patch_seq;
	uint32_t patch_objects_used, patch_funcs_used, patch_words_used, patch_text_used;	/* as sites_used */
	uint32_t columns_used;	/* may be above ST_COLUMNS_MAX: there were no more */
	uint32_t flips, graced;	/* sites' lists that have begun to count; up to which of them nobody reads the one before */
	uint32_t trapped;	/* breakpoints are, or were, in the code: SIGTRAP may be the agent's */
	/* Threads that blocked SIGTRAP, and their masks: they do not while there are breakpoints. */
	struct st_ctl_mask { uint32_t tid, pad; uint64_t mask; } masked[ST_MASKED_MAX];
	/* Hooks of the agent's own, not a user's: on the C library's functions for signals, on its unwinder's. */
	struct st_hook internal[ST_INTERNAL_MAX];
	/* Tools that have this memory open: another one, without the right to open the mapping, asks for theirs. */
	struct st_holder { uint32_t pid, fd; } holder[ST_HOLDERS_MAX];
	struct st_ctl_mail mail[ST_MAILS_MAX];
	struct st_ctl_region region[ST_REGIONS_MAX];
	struct st_ctl_patch patch[ST_PATCHES_MAX];
	struct st_ctl_transition transition;
	struct st_ctl_probe probe_rec[ST_PROBES_MAX];
	struct st_ring ring;
	struct st_ctl_site site[ST_SITES_MAX];
	/*
	 * The sites that have a breakpoint form, for the handler: index + 1, from st_trap_hash() on, 0 ends the search. Entries are
	 * only added: a thread may come late with a trap.
	 */
	uint32_t trap[ST_TRAPS];
	struct st_ctl_code code[ST_PROBES_MAX];	/* of the probe with the same index */
	struct st_ctl_patch_object patch_object[ST_PATCH_OBJECTS_MAX];
	struct st_ctl_patch_func patch_func[ST_PATCH_FUNCS_MAX];
	struct st_ctl_patch_word patch_word[ST_PATCH_WORDS_MAX];
	char patch_text[ST_PATCH_TEXT_MAX];
	/*
	 * Hits by thread and probe, added to by one thread alone. Columns below columns_used have been handed out; a process
	 * that was forked takes columns of its own.
	 */
	uint64_t column[ST_COLUMNS_MAX][ST_PROBES_MAX];
};

/* Hits of the probe at @index. */
static inline uint64_t st_ctl_hits(const struct st_ctl *ctl, uint32_t index)
{
	uint32_t i, used = __atomic_load_n(&ctl->columns_used, __ATOMIC_ACQUIRE);
	uint64_t n = __atomic_load_n(&ctl->probe_rec[index].hits, __ATOMIC_RELAXED);

	for (i = 0; i < used && i < ST_COLUMNS_MAX; i++)
		n += __atomic_load_n(&ctl->column[i][index], __ATOMIC_RELAXED);
	return n;
}

#endif
