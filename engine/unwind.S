/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The frame description of `after` (engine/unwind.h): .eh_frame as x86-64 and AArch64 have it (DWARF 4, 6.4 and 2.5; LSB 10.6), with
 * two words to be filled in at run time, since there may be no relocation here: the list's address, and what code it is for.
 *
 * The frame has nothing on the stack: sp and the other registers are as the function left them, and the return address is
 *
 *	for each thread r in the list:
 *		for each pending return e, from the newest:
 *			if (e->key == key && e->addr [x86-64: && e->ret->after == *key])
 *				e->addr
 *	0
 *
 * libgcc's unwinder tells frames by their CFA, and the function that returned has sp, so this frame's is sp + 1. But what is below a
 * signal frame must say sp, since there the CFA is taken for the frame's address.
 */
#include <engine/return.h>

#if defined(__x86_64__) || defined(__aarch64__)

#define DW_OP_addr		0x03
#define DW_OP_deref		0x06
#define DW_OP_const1u		0x08
#define DW_OP_const4u		0x0c
#define DW_OP_dup		0x12
#define DW_OP_drop		0x13
#define DW_OP_over		0x14
#define DW_OP_pick		0x15
#define DW_OP_minus		0x1c
#define DW_OP_plus		0x22
#define DW_OP_plus_uconst	0x23
#define DW_OP_eq		0x29
#define DW_OP_ne		0x2e
#define DW_OP_lit0		0x30
#define DW_OP_lit8		0x38
#define DW_OP_breg0		0x70
#define DW_OP_deref_size	0x94

.macro op code, operand
	.byte	\code
	.ifnb	\operand
	.byte	\operand
	.endif
.endm
.macro bra to		/* if the top of the stack, which goes, is not 0 */
	.byte	0x28
	.2byte	\to - (. + 2)
.endm
.macro skip to
	.byte	0x2f
	.2byte	\to - (. + 2)
.endm

#if defined(__x86_64__)
#define SP 7
#define RETURN_ADDRESS 16
#define SIGRETURN 0x0fc0c748		/* of mov $15, %rax */
#else
#define SP 31
#define RETURN_ADDRESS 30
#define SIGRETURN 0xd2801168		/* mov x8, #139 */
#endif

/* Leaves the return address on the stack. libgcc puts something there before, and needs it: its DW_OP_pick spares the last. */
.macro find list
	op	DW_OP_breg0 + SP, 0
#if defined(__x86_64__)
	op	DW_OP_lit8
	op	DW_OP_minus
	op	DW_OP_dup
	op	DW_OP_deref			/* key *key */
#else
	op	DW_OP_dup			/* so that the depth is the same */
#endif
	.byte	DW_OP_addr
\list:
	.8byte	0
	op	DW_OP_deref
.Lthread\@:					/* key *key r */
	op	DW_OP_dup
	bra	.Lr\@
	skip	.Lend\@				/* 0: not known */
.Lr\@:	op	DW_OP_dup
	op	DW_OP_plus_uconst, ST_PENDING_RET
	op	DW_OP_deref
	op	DW_OP_over
	op	DW_OP_plus
.Lpending\@:					/* key *key r e */
	op	DW_OP_over
	op	DW_OP_over
	op	DW_OP_eq
	bra	.Lnext_thread\@
	op	DW_OP_dup
	op	DW_OP_deref
	op	DW_OP_pick, 4
	op	DW_OP_ne
	bra	.Lnext\@
	op	DW_OP_dup
	op	DW_OP_plus_uconst, ST_PENDING_ADDR
	op	DW_OP_deref
	op	DW_OP_lit0
	op	DW_OP_eq
	bra	.Lnext\@
#if defined(__x86_64__)
	op	DW_OP_dup
	op	DW_OP_plus_uconst, ST_PENDING_RET
	op	DW_OP_deref
	op	DW_OP_plus_uconst, ST_RETURN_AFTER
	op	DW_OP_deref
	op	DW_OP_pick, 3
	op	DW_OP_ne
	bra	.Lnext\@
#endif
	op	DW_OP_plus_uconst, ST_PENDING_ADDR
	op	DW_OP_deref
	skip	.Lend\@
.Lnext\@:
	op	DW_OP_const1u, ST_PENDING_SIZE
	op	DW_OP_minus
	skip	.Lpending\@
.Lnext_thread\@:
	op	DW_OP_drop
	op	DW_OP_plus_uconst, ST_PENDING_ADDR
	op	DW_OP_deref
	skip	.Lthread\@
.Lend\@:
.endm

	.data
	.globl	st_unwind_table, st_unwind_table_end, st_unwind_table_list, st_unwind_table_list2, st_unwind_table_fde
	.hidden	st_unwind_table, st_unwind_table_end, st_unwind_table_list, st_unwind_table_list2, st_unwind_table_fde
	.balign	8
st_unwind_table:
	.4byte	.Lcie_end - .Lcie
.Lcie:	.4byte	0
	.byte	1			/* version */
	.byte	0			/* augmentation: none, so addresses are absolute */
	.byte	1			/* code alignment */
	.byte	0x78			/* data alignment, -8 */
	.byte	RETURN_ADDRESS
	.byte	0x0f			/* DW_CFA_def_cfa_expression */
	.uleb128 2f - 1f
1:	op	DW_OP_lit0
	find	st_unwind_table_list
	op	DW_OP_dup
	bra	3f
	skip	4f			/* 0 */
3:	op	DW_OP_deref_size, 4
	.byte	DW_OP_const4u
	.4byte	SIGRETURN
	op	DW_OP_ne
4:	op	DW_OP_breg0 + SP, 0
	op	DW_OP_plus
2:	.byte	0x16, SP		/* DW_CFA_val_expression */
	.uleb128 2
	op	DW_OP_breg0 + SP, 0
	.byte	0x16, RETURN_ADDRESS
	.uleb128 2f - 1f
1:	find	st_unwind_table_list2
2:
	.balign	8, 0				/* DW_CFA_nop */
.Lcie_end:
	.4byte	.Lfde_end - .Lfde
.Lfde:	.4byte	.Lfde - .Lcie + 4
st_unwind_table_fde:
	.8byte	0, 0
	.balign	8, 0
.Lfde_end:
	.4byte	0
	.balign	8, 0
st_unwind_table_end:
#endif
	.section .note.GNU-stack, "", %progbits
