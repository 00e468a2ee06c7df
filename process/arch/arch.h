/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an architecture says about borrowing a thread: registers, the signal frame that brings the
 *thread back by itself, the few instructions it runs meanwhile, interrupted system calls, and
 *relocations.
 *
 * The borrowed thread runs this, called the loop:
 *
 *	call:	call a function, its address in a register		only entered when a function
 *is called
 *	loop:	rt_sigreturn						the tool makes another system
 *call of it jump to loop
 *
 * Whenever the tool dies the kernel lets the thread go on; it comes to rt_sigreturn, and that makes
 *it what it was.
 */
#ifndef ST_PROCESS_ARCH_H
#define ST_PROCESS_ARCH_H

#include "process/internal.h"

/* All that borrowing a thread changes. */
struct st_saved {
	struct st_regs regs; /* as ptrace gives them */
	uint64_t sigmask;
	uint8_t *fp; /* vector and floating-point state: one regset, whose type is the
			architecture's affair */
	size_t fp_len;
	long call; /* the system call that restart_syscall() stands for, 0: none, or unknown */
};

/* The system call that a thread was blocked in when it was last seen, from
 * /proc/PID/task/TID/syscall. */
struct st_syscall {
	bool blocked;
	long nr;
	unsigned long arg[6], sp, pc;
};

/* The above is needed: an interrupted call's first argument can't be had otherwise. */
#if defined(__x86_64__)
#define ST_ARCH_SNAPSHOT false
#else
#define ST_ARCH_SNAPSHOT true
#endif

/*
 * An instruction of a function's: its length, 0 when it can't be decoded; *@target: the address of the function that it calls, 0: it
 * calls none that its own bytes name.
 */
size_t st_arch_insn(const uint8_t *code, size_t len, unsigned long addr, unsigned long *target);

/* Registers as ptrace has them. 0 or a negative errno. */
int st_arch_get(pid_t tid, struct st_regs *regs);
int st_arch_set(pid_t tid, const struct st_regs *regs);

int st_arch_get_fp(pid_t tid, struct st_saved *saved);
int st_arch_set_fp(pid_t tid, const struct st_saved *saved);

/* Does a system call lose any of it? */
bool st_arch_syscall_drops_fp(const struct st_saved *saved);

/*
 * A thread in a stop: where it will really go on when a system call is to be made again, and the
 * way back. Only x86 leaves that decision open during the stop.
 */
void st_arch_view(struct st_regs *regs);
void st_arch_unview(struct st_regs *view, const struct st_regs *raw);

/*
 * The stop made a system call return EINTR that no signal interrupted: have it made again. 1 when
 * it was so and the thread's registers were changed, else 0.
 */
int st_arch_repeat(pid_t tid, const struct st_syscall *was);
/* A signal came after all: let the call return EINTR. Nothing to do where the kernel decides after
 * the stop. */
void st_arch_unrepeat(pid_t tid);

/* In restart_syscall(): the call that was made originally, as the instructions before the pc tell
 * it. 0: it is not there, -1: unknown. */
long st_arch_restarted(const struct st_regs *regs, const uint8_t *before, size_t len);

/* Why this thread can't be borrowed, or NULL. */
const char *st_arch_refuses(const struct st_regs *regs);

/* Bytes below sp that belong to the thread. */
unsigned long st_arch_redzone(void);

/* The thread pointer, which libc has near the top of the thread's stack. 0: unknown. */
unsigned long st_arch_thread_pointer(pid_t tid);

/*
 * The frame: everything lies at @at (64-byte aligned) and above, so that the stack may begin there.
 * An interrupted system call is made again when the thread comes back this way.
 */
size_t st_arch_frame_size(const struct st_saved *saved);
void st_arch_frame(const struct st_saved *saved, unsigned long at, void *buf);

/* The instructions described above. */
#define ST_ARCH_CODE_MAX 32
extern const uint8_t st_arch_code[];
extern const size_t st_arch_code_len;

/* Registers for going to the loop, or to call @fn; all others as they are. */
void st_arch_loop(struct st_regs *regs, unsigned long code, unsigned long frame);
void st_arch_call(struct st_regs *regs, unsigned long code, unsigned long frame, unsigned long fn,
		  const unsigned long *args, unsigned int nargs);

/* A stop at the entry of a system call: is it the loop's? */
bool st_arch_at_loop(const struct st_regs *regs, unsigned long code);

/* At that stop: make it @nr. -1: none. */
int st_arch_enter(pid_t tid, long nr, const unsigned long args[6]);

/* What a system call (at its exit) or a function (at the loop's entry) returned. */
long st_arch_result(const struct st_regs *regs);
unsigned long st_arch_call_result(const struct st_regs *regs);

/* Kinds of dynamic relocations. */
enum st_reloc {
	ST_RELOC_NONE,
	ST_RELOC_RELATIVE, /* bias + addend */
	ST_RELOC_ABSOLUTE, /* symbol + addend, a word */
	ST_RELOC_ABS32,	   /* the same, 32 bits that must hold it */
	ST_RELOC_SLOT,	   /* symbol; the addend is not used */
	ST_RELOC_REFUSED,
};
enum st_reloc st_arch_reloc(unsigned int type, const char **why);

#endif
