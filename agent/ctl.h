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
#include <engine/arch.h>
#include <engine/site.h>

#define ST_CTL_NAME	"sidetrack"		/* of the memfd: /memfd:sidetrack in maps */
#define ST_CTL_MAGIC	0x6b63617274656469ull	/* "idetrack", little endian */
#define ST_CTL_VERSION	1

#define ST_SITES_MAX	65536
#define ST_PROBES_MAX	1024
#define ST_PATCHES_MAX	64
#define ST_REGIONS_MAX	256
#define ST_SITE_HOOKS_MAX	7			/* hooks on one site */
#define ST_HOLDERS_MAX	16			/* tools that hold the memory open */
#define ST_FETCH_MAX	16			/* fetchargs a probe */
#define ST_DEREF_MAX	6
#define ST_RING_SIZE	(8u << 20)		/* bytes, a power of two */
#define ST_STRING_MAX	255			/* bytes of a string that are recorded */

/* ---- sites ---- */

enum st_site_state {
	ST_SITE_FREE,
	ST_SITE_READY,		/* record and stub complete, the site holds its own bytes */
	ST_SITE_HOOKED,		/* the site holds a jump to its stub, or is about to */
	ST_SITE_PATCHED,	/* the site holds a jump to a patch's function, or is about to */
};

/* One changed, or once changed, place. site.dispatch etc. are read by the stub. */
struct st_ctl_site {
	struct st_site site;
	uint32_t state;
	uint32_t isa;
	uint32_t kind;		/* enum st_kind */
	uint32_t patch;		/* index of the newest enabled patch + 1, or 0 */
	uint64_t addr, func, size;	/* site, function, its length */
	uint64_t stub;		/* address of the stub, without Thumb bit */
	uint32_t moved;		/* offset of the moved instructions in it */
	uint32_t direct;	/* 1: a jump reaches `redirect`; 0: it goes through the stub */
	uint64_t redirect;	/* patch function a settled patch jumps to, with Thumb bit, or 0 */
	uint8_t len, jump, insns, signs;	/* as in struct st_plan */
	uint8_t offs[ST_INSNS_MAX];
	uint16_t map[ST_INSNS_MAX];
	uint8_t orig[ST_DISPLACED_MAX];
	uint8_t bytes[ST_JUMP_MAX];	/* what the site holds when changed */
	unsigned long list[ST_SITE_HOOKS_MAX + 1];	/* addresses of its hooks, ends with 0: site.hooks points here */
};

/* ---- probes ---- */

enum st_fetch_base {
	ST_FETCH_REG,		/* a word of struct st_regs, by index */
	ST_FETCH_STACK,		/* word number `index` of the stack (offset from sp) */
	ST_FETCH_IMM,		/* `imm` itself: an immediate, or a resolved symbol's address */
	ST_FETCH_COMM,		/* name of the thread; filled in by the tool */
};

enum st_fetch_type {
	ST_TYPE_WORD,		/* the value, size bytes */
	ST_TYPE_STRING,		/* NUL-terminated text at the value's address, at most ST_STRING_MAX bytes */
};

/*
 * One value: start with the base; for each of the `derefs` offsets but the last add it and read a word there; at the last
 * read `size` bytes (or, for a string, take the text at that address). No dereference: the base itself, or for
 * a string the text it points to.
 */
struct st_fetch {
	uint8_t base, type, derefs, size;	/* size 1, 2, 4 or 8 */
	uint16_t index;
	uint16_t count;				/* elements of an array, 1 otherwise */
	int64_t imm;
	int64_t offs[ST_DEREF_MAX];
};

enum st_probe_state {
	ST_PROBE_FREE,
	ST_PROBE_SETUP,		/* taken by a tool, not hit yet */
	ST_PROBE_ON,
};

#define ST_PROBE_COUNT_ONLY	1	/* count hits, write no record */

struct st_ctl_probe {
	struct st_hook hook;	/* hook.func = agent's st_agent_probe, hook.data = this record's address in the target */
	uint32_t state;
	uint32_t flags;
	uint32_t owner;		/* pid of the tool that reads its hits */
	uint32_t fetches;
	uint64_t owner_start;	/* its start time (/proc/PID/stat field 22), so that a reused pid is not taken for it */
	uint64_t hits;		/* counted by the agent, relaxed atomic */
	uint64_t sites;		/* how many sites it sits on */
	struct st_fetch fetch[ST_FETCH_MAX];
	char name[64];
	char spec[512];
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

/* ---- patches ---- */

enum st_patch_state { ST_PATCH_FREE, ST_PATCH_DISABLED, ST_PATCH_TRANSITION, ST_PATCH_ENABLED };

struct st_ctl_patch {
	uint32_t state;
	uint32_t level;		/* 0 independent, 1 thread, 2 process */
	uint32_t funcs;
	uint32_t seq;		/* order of application */
	uint64_t base, size;	/* where its object is mapped */
	char name[64];
	char object[64];	/* of the functions it replaces; "a,b" for several */
	char functions[512];
};

/* Memory that we mapped in the target and that goes away with the agent. */
enum st_region_kind { ST_REGION_FREE, ST_REGION_AGENT, ST_REGION_ISLAND, ST_REGION_PATCH, ST_REGION_CTL };
struct st_ctl_region {
	uint32_t kind;
	uint32_t released;	/* pid of the process in which it is unmapped already, while that is being left */
	uint64_t start, size;
	uint64_t used;		/* ISLAND: bytes handed out */
};

struct st_ctl {
	uint64_t magic;
	uint32_t version;
	uint32_t size;		/* of this structure */
	uint64_t self;		/* its address in the target */
	uint64_t ready;		/* 1 when the agent is complete and may be used */
	/* of the agent's image in the target */
	uint64_t entry, dispatch, dispatch_vector, dispatch_redirect, probe, threads;
	/* what the tool found out for the agent */
	int64_t tid_offset;	/* of the thread's id from the thread pointer; 0: not known, the agent asks the kernel once */
	int64_t rseq_offset;	/* of struct rseq from the thread pointer; 0: not known, cpu is 0xffff */
	uint32_t no_syscalls;	/* the target is under seccomp: memory reads that need a system call yield a fault */
	uint32_t sites_used;	/* records below this index may be in use */
	uint32_t patch_seq, pad;
	/* Tools that have this memory open: another one, without the right to open the mapping, asks for theirs. */
	struct st_holder { uint32_t pid, fd; } holder[ST_HOLDERS_MAX];
	struct st_ctl_region region[ST_REGIONS_MAX];
	struct st_ctl_patch patch[ST_PATCHES_MAX];
	struct st_ctl_probe probe_rec[ST_PROBES_MAX];
	struct st_ring ring;
	struct st_ctl_site site[ST_SITES_MAX];
};

#endif
