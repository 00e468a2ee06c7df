/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a thread of the register torture has in its registers: given, seen by a function, come back.
 * Shared by torture.c and functions.S.
 */
#ifndef TEST_ARM64_TORTURE_H
#define TEST_ARM64_TORTURE_H

#define T_SP 248
#define T_NZCV 256
#define T_WHO 264
#define T_FPCR 272
#define T_FPSR 280
#define T_Q 288
#define T_P 800
#define T_Z 1344

/* What a function wants its caller to give it. */
#define F_BODY 1 /* x16: the address of a function's body */
#define F_WORD 2 /* x16: the address of a variable */
#define F_SVC 4	 /* x8: the number of getpid */
#define F_LAST 8 /* there is no body: it returns at once */
#define F_PAD 16 /* nothing; but it begins with a landing pad */

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

struct state {
	uint64_t x[31], sp, nzcv;
	uint64_t who; /* which function, or which return address */
	uint64_t fpcr, fpsr;
	uint8_t q[32][16];
	uint8_t p[17][32];  /* with SVE: p0 to p15 and FFR, packed to VL / 8 bytes each */
	uint8_t z[32][256]; /* with SVE: z0 to z31, packed to VL bytes each */
};

_Static_assert(offsetof(struct state, sp) == T_SP, "functions.S");
_Static_assert(offsetof(struct state, nzcv) == T_NZCV, "functions.S");
_Static_assert(offsetof(struct state, who) == T_WHO, "functions.S");
_Static_assert(offsetof(struct state, fpcr) == T_FPCR, "functions.S");
_Static_assert(offsetof(struct state, fpsr) == T_FPSR, "functions.S");
_Static_assert(offsetof(struct state, q) == T_Q, "functions.S");
_Static_assert(offsetof(struct state, p) == T_P, "functions.S");
_Static_assert(offsetof(struct state, z) == T_Z, "functions.S");

struct function {
	void (*enter)(const struct state *in); /* loads all registers and calls it */
	uint8_t *code;
	uint64_t size;
	uint64_t wants;
	char name[24];
	char kind[8];
};

/* Ends with a function that is never hooked. */
extern const struct function functions[];
extern const uint64_t nfunctions;

extern struct state seen, came_back;
extern uint32_t with_sve, streaming;
extern uint64_t variable;
extern uint8_t back_a[], back_b[], body[];

void clobber_vectors(void);
unsigned long vector_length(void);
#endif
#endif
