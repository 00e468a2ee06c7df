/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an architecture supplies: engine/arch/<arch>/. All functions here are pure: they read and write only the
 * buffers they are given and use no libc, so that the engine uses them in its own process, the command line tool from
 * outside, and the kernel module in the kernel.
 *
 * The life of a site: st_arch_plan() says what would be displaced, st_arch_stub() writes the code that the site will
 * jump to, st_arch_jump() gives the bytes of the jump.
 */
#ifndef ST_ENGINE_ARCH_H
#define ST_ENGINE_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum st_isa {
	ST_ISA_NATIVE,	/* x86-64, A64 */
	ST_ISA_A32,
	ST_ISA_T32,
};

enum st_kind {
	ST_KIND_NOP,		/* displaces nothing: an area of NOPs that a compiler left */
	ST_KIND_MOVE,		/* the first instructions move into the stub */
	ST_KIND_BREAKPOINT,	/* only a breakpoint fits; its handler sends the thread to the stub */
	ST_KIND_NO,		/* refused; why says why */
};

/* Most bytes, and most instructions, that a site displaces. */
#define ST_DISPLACED_MAX 24
#define ST_INSNS_MAX 8
/* Most bytes of a stub, moved instructions included. */
#define ST_STUB_MAX 448
/* Most bytes of a jump at a site. */
#define ST_JUMP_MAX 8

/**
 * struct st_plan - what hooking a function would take
 * @func: the function's address, without Thumb bit
 * @addr: the site: @func, or behind the landing pad at @func, or the instruction inside the function that was asked for
 * @inside: the site is not at the function's entry: what lies below sp may be live (x86-64's red zone), and what the site's
 *	hooks see as pc is @addr
 * @isa: of the function
 * @kind: how it can be hooked
 * @live: the displaced bytes and the jump may be swapped while threads run, by the architecture's own rule
 *	(one instruction each; on ARM and AArch64 both on the architecture's list). If not, threads must be stopped
 *	and their pc looked at.
 * @len: bytes of the instructions displaced, whole instructions; at least the length of the jump
 * @jump: bytes that change at the site
 * @insns: instructions displaced
 * @offs: their offsets from @addr
 * @orig: the original bytes, @len of them
 * @signs: AArch64: the landing pad before the site signs the return address, and the stub takes that back for the hooks: a
 *	jump to anything but the stub would leave it signed. 0 if not
 * @falls: control goes on behind the last of them (false behind an unconditional branch)
 * @size: ARM: bytes from @func on in which branches have been looked for
 * @it: ARM: the condition, plus 1, of a T32 instruction in an IT block; else 0
 * @why: for ST_KIND_NO, the reason: half a sentence in plain words, static storage
 */
struct st_plan {
	unsigned long func;
	unsigned long addr;
	unsigned long size;
	enum st_isa isa;
	enum st_kind kind;
	bool inside;
	bool live;
	bool falls;
	uint8_t signs;
	uint8_t it;
	uint8_t len;
	uint8_t jump;
	uint8_t insns;
	uint8_t offs[ST_INSNS_MAX];
	uint8_t orig[ST_DISPLACED_MAX];
	const char *why;
};

/*
 * Control may come to any instruction of the function by ways that its bytes don't show (exception tables, jump tables that
 * nobody has read): a jump may displace one instruction only.
 */
#define ST_PLAN_STRICT		(1u << 0)
/* A jump is out of the question (another site lies in what it would displace): a breakpoint, or nothing. */
#define ST_PLAN_BREAKPOINT	(1u << 1)
/* Where no jump is safe, a breakpoint will do; without this such a place is refused. */
#define ST_PLAN_ANY		(1u << 2)
/*
 * The symbol is no function, but a part of one that the rest branches into, by tables too (NAME.cold of GCC and clang): its
 * first instruction is no entry, and ST_PLAN_STRICT holds.
 */
#define ST_PLAN_PART		(1u << 3)

/**
 * st_arch_plan_at() - look at a place in a function and say how it can be hooked
 * @plan: filled in, also when refused
 * @code: the function's bytes
 * @func: its address (no Thumb bit)
 * @size: its length in bytes
 * @room: bytes at @code up to the next function or the end of the section: @size and what padding follows
 * @offset: of the instruction from @func; 0: the function's entry, behind a landing pad if there is one
 * @flags: ST_PLAN_*
 * @isa: how to decode
 *
 * Decodes the whole function: a branch from inside into the displaced bytes (but their first) rules out a jump, and so does
 * whatever is not known. What no jump fits becomes ST_KIND_BREAKPOINT, one instruction displaced (its bytes @len, the
 * breakpoint's @jump), if @flags have ST_PLAN_ANY or ST_PLAN_BREAKPOINT. Refused: @offset is not at an instruction, or may be
 * data; code that can't be decoded where it matters; an instruction that can't be moved.
 *
 * Return: 0 with @kind NOP, MOVE or BREAKPOINT, -ENOTSUP with @kind NO and @why.
 */
int st_arch_plan_at(struct st_plan *plan, const uint8_t *code, unsigned long func, size_t size, size_t room,
		    size_t offset, unsigned int flags, enum st_isa isa);

/* The same for a function's entry, by a jump. */
static inline int st_arch_plan(struct st_plan *plan, const uint8_t *code, unsigned long func, size_t size, size_t room,
			       enum st_isa isa)
{
	return st_arch_plan_at(plan, code, func, size, room, 0, 0, isa);
}

/**
 * struct st_stub - a stub to be written
 * @buf: where to write it, ST_STUB_MAX bytes
 * @at: the address it will have (16-byte aligned)
 * @site: address of its struct st_site
 * @entry: address of st_entry
 * @ret: address of st_return (engine/return.h), or 0: the stub will not be used for returns
 * @size: out: bytes written
 * @resume: out: offset of the moved instructions
 * @path, @after: out: offsets of what struct st_return calls so; 0 where there is none
 * @map: out: for each displaced instruction, the offset of its moved copy: where a thread stopped at it goes on
 */
struct st_stub {
	uint8_t *buf;
	unsigned long at;
	unsigned long site;
	unsigned long entry;
	unsigned long ret;
	uint16_t size;
	uint16_t resume;
	uint16_t path, after;
	uint16_t map[ST_INSNS_MAX];
};

/**
 * st_arch_stub() - write the stub of a planned site
 *
 * Return: 0, or -ERANGE when @at is too far from the site, -ENOTSUP when an instruction can't be moved (plan->why).
 */
int st_arch_stub(struct st_plan *plan, struct st_stub *stub);

/**
 * st_arch_jump() - the bytes that go to the site
 * @plan: the site
 * @to: where the jump leads, on ARM with Thumb bit (the state must be the site's own)
 * @out: plan->jump bytes are written; for ST_KIND_BREAKPOINT the breakpoint, whose handler goes to @to (in the state it came
 *	from; a T32 IT state may stay or be cleared)
 *
 * Return: 0, or -ERANGE when @to is out of the jump's reach.
 */
int st_arch_jump(const struct st_plan *plan, unsigned long to, uint8_t *out);

/**
 * st_arch_veneer() - a jump with unlimited reach
 * @isa: the state it is entered in
 * @at: its address
 * @to: where it leads, on ARM with Thumb bit
 * @out: at most ST_STUB_MAX bytes
 *
 * Changes no register and no flag, but x17 on AArch64.
 * Return: its length in bytes.
 */
size_t st_arch_veneer(enum st_isa isa, unsigned long at, unsigned long to, uint8_t *out);

/**
 * st_arch_reach() - how far from a site its stub may be, in bytes either way
 */
unsigned long st_arch_reach(enum st_isa isa);

/**
 * st_arch_init() - learn what vector state st_dispatch_vector has to keep
 * @hwcap: AT_HWCAP of the process
 */
void st_arch_init(unsigned long hwcap);

/**
 * st_arch_syscalls_harm() - may a system call change vector state?
 *
 * On AArch64 with SVE it may (Linux Documentation/arch/arm64/sve.rst, section 3). The dispatcher makes one the first time it sees a
 * thread, and the agent's recorder makes some, so there every site is dispatched by st_dispatch_vector.
 */
bool st_arch_syscalls_harm(unsigned long hwcap);

/**
 * st_arch_sweep() - refuse plans into whose displaced bytes a branch from elsewhere leads
 * @plans: of functions, ascending by addr; refused ones may be among them
 * @n: how many
 * @code: an executable section of the object, as its file has it
 * @addr: its address
 * @size: its length
 *
 * st_arch_plan() sees a function's own branches only. Where a site displaces one instruction there is nothing to lead into.
 *
 * Return: how many plans became ST_KIND_NO.
 */
size_t st_arch_sweep(struct st_plan *const *plans, size_t n, const uint8_t *code, unsigned long addr, size_t size);

#endif
