/* SPDX-License-Identifier: GPL-2.0-only */
/* All registers of a thread as torture-x86_64.S writes them down, and what it shares with torture.c. */
#ifndef ST_TESTS_TORTURE_H
#define ST_TESTS_TORTURE_H

#define IMG_GPR		0	/* rax rcx rdx rbx rsp rbp rsi rdi r8-r15 */
#define IMG_FLAGS	128
#define IMG_WHO		136	/* which body wrote it */
#define IMG_AUX		144	/* a return address that the function pushed, as an offset from its start */
#define IMG_K		192
#define IMG_Z		256
#define IMG_FX		2304	/* fxsave64: x87 registers, control and status words, MXCSR */
#define IMG_SIZE	2816

#define WHO_BODY	1
#define WHO_REDIRECT	2

#define LEVEL_SSE	0
#define LEVEL_AVX	1
#define LEVEL_AVX512	2

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>
#include <sidetrack/hook.h>

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

struct image {
	uint64_t gpr[16];
	uint64_t flags;
	uint64_t who;
	uint64_t aux;
	uint64_t pad[5];
	uint64_t k[8];
	uint8_t z[32][64];
	uint8_t fx[512];
} __attribute__((aligned(64)));

_Static_assert(offsetof(struct image, flags) == IMG_FLAGS, "torture.h");
_Static_assert(offsetof(struct image, who) == IMG_WHO, "torture.h");
_Static_assert(offsetof(struct image, aux) == IMG_AUX, "torture.h");
_Static_assert(offsetof(struct image, k) == IMG_K, "torture.h");
_Static_assert(offsetof(struct image, z) == IMG_Z, "torture.h");
_Static_assert(offsetof(struct image, fx) == IMG_FX, "torture.h");
_Static_assert(sizeof(struct image) == IMG_SIZE, "torture.h");

/* What the caller loads; what the function's body found; what the caller got back. */
extern struct image torture_in, torture_body, torture_out;
extern void *torture_target;
extern unsigned int torture_level;
extern uint64_t torture_data[8];

/* Loads torture_in, calls torture_target on the stack torture_in.gpr[RSP], fills torture_out. */
void torture_call(void);
/* Where redirects lead: writes down the registers like every body, with another mark. */
void torture_redirect(void);
extern const char torture_return[];	/* the return address of the call */

/* One shape of function: to be hooked, and its twin at another address which never is. */
struct shape {
	const char *name;
	void *hooked;
	void *twin;
};
extern const struct shape torture_shapes[];
extern const unsigned long torture_shapes_count;

/* Puts garbage into all vector, mask and x87 registers and their control words, and leaves it there. */
void torture_clobber(void);

/* What the hook saw, and is to do: torture_hook.c. */
struct torture_hit {
	struct st_regs seen;
	unsigned long ip, parent;
	unsigned long hits;
	unsigned long bad;	/* stack not aligned, or flags that C code can't bear */
	int change;		/* set all of it to what is in @want */
	int move_return;	/* sp changes: bring the return address along */
	struct st_regs want;
};
extern struct torture_hit torture_hit;
void torture_hook_general(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent);
void torture_hook_nothing(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent);

#endif
#endif
