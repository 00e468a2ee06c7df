// SPDX-License-Identifier: GPL-2.0-only
/*
 * Borrowing a thread on 32-bit ARM, whatever state (A32, T32) it is in. The frame is the one that
 * the kernel itself writes for a signal handler (arch/arm/kernel/signal.c), so that its
 * rt_sigreturn takes it.
 *
 * The kernel decides before the stop whether a system call is made again: pc and r0 are back where
 * they were. Only calls that return EINTR need help.
 */
#include "process/arch/regset.h"
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#ifndef NT_ARM_VFP
#define NT_ARM_VFP 0x400
#endif
#ifndef PTRACE_GET_THREAD_AREA
#define PTRACE_GET_THREAD_AREA 22
#endif
#define SET_SYSCALL 23 /* uapi/asm/ptrace.h, PTRACE_SET_SYSCALL */

_Static_assert(sizeof(struct st_regs) == 72, "uapi asm/ptrace.h, struct pt_regs");

int st_arch_get(pid_t tid, struct st_regs *regs)
{
	size_t len = sizeof(*regs);

	return st_regset_get(tid, NT_PRSTATUS, regs, &len);
}

int st_arch_set(pid_t tid, const struct st_regs *regs)
{
	return st_regset_set(tid, NT_PRSTATUS, regs, sizeof(*regs));
}

/* The VFP regset: d0 to d31, FPSCR. */
#define VFP_LEN (32 * 8 + 4)

int st_arch_get_fp(pid_t tid, struct st_saved *saved)
{
	saved->fp = calloc(1, VFP_LEN);
	if (!saved->fp)
		return -ENOMEM;
	saved->fp_len = VFP_LEN;
	/* A machine without VFP has nothing to lose. */
	if (st_regset_get(tid, NT_ARM_VFP, saved->fp, &saved->fp_len))
		saved->fp_len = 0;
	return 0;
}

int st_arch_set_fp(pid_t tid, const struct st_saved *saved)
{
	return saved->fp_len ? st_regset_set(tid, NT_ARM_VFP, saved->fp, saved->fp_len) : 0;
}

bool st_arch_syscall_drops_fp(const struct st_saved *saved)
{
	(void)saved;
	return false;
}

void st_arch_view(struct st_regs *regs)
{
	(void)regs;
}

void st_arch_unview(struct st_regs *view, const struct st_regs *raw)
{
	(void)view;
	(void)raw;
}

static unsigned long svc_len(const struct st_regs *regs)
{
	return regs->cpsr & ST_CPSR_T ? 2 : 4;
}

/*
 * System calls that return EINTR where others have the kernel make them again, and that did nothing
 * when they do (signal(7), "Interruption of system calls by stop signals"; timeouts of sockets).
 * Not close(): it has closed.
 */
static const short repeatable[] = {
	SYS_epoll_wait,
	SYS_epoll_pwait,
	441 /* epoll_pwait2 */,
	SYS_rt_sigtimedwait,
	421 /* rt_sigtimedwait_time64 */,
	SYS_semop,
	SYS_semtimedop,
	420 /* semtimedop_time64 */,
	SYS_io_getevents,
	399 /* io_pgetevents */,
	416 /* io_pgetevents_time64 */,
	426 /* io_uring_enter */,
	SYS_futex,
	422 /* futex_time64 */,
	449 /* futex_waitv */,
	SYS_read,
	SYS_readv,
	SYS_recv,
	SYS_recvfrom,
	SYS_recvmsg,
	SYS_recvmmsg,
	417 /* recvmmsg_time64 */,
	SYS_write,
	SYS_writev,
	SYS_send,
	SYS_sendto,
	SYS_sendmsg,
	SYS_accept,
	SYS_accept4,
	SYS_connect,
	SYS_msgrcv,
	SYS_msgsnd,
};

int st_arch_repeat(pid_t tid, const struct st_syscall *was)
{
	struct st_regs regs;
	size_t i;

	if (!was->blocked || st_arch_get(tid, &regs) || regs.r[0] != (unsigned long)-EINTR)
		return 0;
	/* It is still, or again, in the call that it was seen in. r7 has its number (EABI). */
	if (regs.orig_r0 != was->arg[0] || regs.pc != was->pc || regs.sp != was->sp ||
	    regs.r[7] != (unsigned long)was->nr)
		return 0;
	for (i = 1; i < 6; i++)
		if (regs.r[i] != was->arg[i])
			return 0;
	for (i = 0; i < ARRAY_SIZE(repeatable); i++)
		if (repeatable[i] == was->nr) {
			regs.r[0] = was->arg[0];
			regs.pc -= svc_len(&regs);
			return !st_arch_set(tid, &regs);
		}
	return 0;
}

void st_arch_unrepeat(pid_t tid)
{
	struct st_regs regs;

	if (st_arch_get(tid, &regs))
		return;
	regs.r[0] = (unsigned long)-EINTR;
	regs.pc += svc_len(&regs);
	st_arch_set(tid, &regs);
}

/* The kernel restarts without the program's r7: it always has the call's own number. */
long st_arch_restarted(const struct st_regs *regs, const uint8_t *before, size_t len)
{
	(void)regs;
	(void)before;
	(void)len;
	return 0;
}

const char *st_arch_refuses(const struct st_regs *regs)
{
	(void)regs;
	return NULL;
}

unsigned long st_arch_redzone(void)
{
	return 0; /* AAPCS32, 6.2.1 */
}

unsigned long st_arch_thread_pointer(pid_t tid)
{
	unsigned long tp = 0;

	return ptrace(PTRACE_GET_THREAD_AREA, tid, NULL, &tp) ? 0 : tp;
}

/* asm-generic/siginfo.h, asm/ucontext.h, asm/sigcontext.h */
struct frame {
	uint8_t siginfo[128];
	uint32_t uc_flags, uc_link;
	uint32_t ss_sp;
	int32_t ss_flags;
	uint32_t ss_size;
	uint32_t trap_no, error_code, oldmask;
	uint32_t r[11], fp, ip, sp, lr, pc, cpsr;
	uint32_t fault_address;
	uint32_t sigmask[2];
	uint32_t unused[30];
	/* asm/ucontext.h, struct vfp_sigframe, in uc_regspace */
	uint32_t vfp_magic, vfp_size;
	uint64_t d[32];
	uint32_t fpscr, pad;
	uint32_t fpexc, fpinst, fpinst2, pad2;
	uint32_t more[(512 - 288) / 4];
};

_Static_assert(offsetof(struct frame, vfp_magic) == 360 &&
		       offsetof(struct frame, more) - 360 == 288 && sizeof(struct frame) == 872,
	       "asm/ucontext.h");

#define VFP_MAGIC 0x56465001u
#define VFP_SIZE 288
#define FPEXC_EN 0x40000000u

/* A mode that sigaltstack() refuses: what the thread has set stays (restore_altstack() ignores the
 * error). */
#define SS_KEEP 0x1000

size_t st_arch_frame_size(const struct st_saved *saved)
{
	(void)saved;
	return sizeof(struct frame);
}

void st_arch_frame(const struct st_saved *saved, unsigned long at, void *buf)
{
	const struct st_regs *regs = &saved->regs;
	struct frame frame = {0};
	unsigned int i;

	(void)at;
	frame.ss_flags = SS_KEEP;
	for (i = 0; i < 11; i++)
		frame.r[i] = regs->r[i];
	frame.fp = regs->fp;
	frame.ip = regs->ip;
	frame.sp = regs->sp;
	frame.lr = regs->lr;
	frame.pc = regs->pc;
	frame.cpsr = regs->cpsr;
	memcpy(frame.sigmask, &saved->sigmask, sizeof(frame.sigmask));
	if (saved->fp_len == VFP_LEN) {
		frame.vfp_magic = VFP_MAGIC;
		frame.vfp_size = VFP_SIZE;
		memcpy(frame.d, saved->fp, sizeof(frame.d));
		memcpy(&frame.fpscr, saved->fp + sizeof(frame.d), sizeof(frame.fpscr));
		frame.fpexc = FPEXC_EN;
	}
	memcpy(buf, &frame, sizeof(frame));
}

/* A32, whatever the program is. */
const uint8_t st_arch_code[] = {
	0x3c, 0xff, 0x2f, 0xe1, /* call:	blx	ip */
	0xad, 0x70, 0xa0, 0xe3, /* loop:	mov	r7, #173	rt_sigreturn */
	0x00, 0x00, 0x00, 0xef, /*		svc	#0 */
	0xfc, 0xff, 0xff, 0xea, /*		b	loop */
};
const size_t st_arch_code_len = sizeof(st_arch_code);

#define CODE_LOOP 4
#define CODE_SVC 8

/* T, J and the IT bits: Arm ARM (v7), B1.3.3. */
#define CPSR_STATE 0x0700fc20ul

static void prepare(struct st_regs *regs, unsigned long frame)
{
	regs->sp = frame;
	regs->cpsr &= ~CPSR_STATE;
	regs->orig_r0 = -1;
}

void st_arch_loop(struct st_regs *regs, unsigned long code, unsigned long frame)
{
	prepare(regs, frame);
	regs->pc = code + CODE_LOOP;
}

void st_arch_call(struct st_regs *regs, unsigned long code, unsigned long frame, unsigned long fn,
		  const unsigned long *args, unsigned int nargs)
{
	unsigned int i;

	prepare(regs, frame);
	regs->pc = code;
	regs->ip = fn;
	regs->fp = 0;
	for (i = 0; i < 4; i++)
		regs->r[i] = i < nargs ? args[i] : 0;
}

bool st_arch_at_loop(const struct st_regs *regs, unsigned long code)
{
	return regs->pc == code + CODE_SVC + 4;
}

int st_arch_enter(pid_t tid, long nr, const unsigned long args[6])
{
	struct st_regs regs;
	int ret = st_arch_get(tid, &regs);

	if (ret)
		return ret;
	memcpy(regs.r, args, 6 * sizeof(args[0]));
	ret = st_arch_set(tid, &regs);
	if (ret)
		return ret;
	return ptrace(SET_SYSCALL, tid, NULL, (void *)nr) ? -errno : 0;
}

long st_arch_result(const struct st_regs *regs)
{
	return regs->r[0];
}

unsigned long st_arch_call_result(const struct st_regs *regs)
{
	return regs->r[0];
}

enum st_reloc st_arch_reloc(unsigned int type, const char **why)
{
	switch (type) {
	case R_ARM_NONE:
		return ST_RELOC_NONE;
	case R_ARM_RELATIVE:
		return ST_RELOC_RELATIVE;
	case R_ARM_ABS32:
		return ST_RELOC_ABSOLUTE;
	case R_ARM_GLOB_DAT:
	case R_ARM_JUMP_SLOT:
		return ST_RELOC_SLOT;
	case R_ARM_TLS_DTPMOD32:
	case R_ARM_TLS_DTPOFF32:
	case R_ARM_TLS_TPOFF32:
	case R_ARM_TLS_DESC:
		*why = "it uses thread-local variables";
		return ST_RELOC_REFUSED;
	case R_ARM_IRELATIVE:
		*why = "it has indirect functions (ifunc) of its own";
		return ST_RELOC_REFUSED;
	case R_ARM_COPY:
		*why = "it has copy relocations: it is a program, not a shared object";
		return ST_RELOC_REFUSED;
	}
	*why = "it has a relocation of an unknown type";
	return ST_RELOC_REFUSED;
}

/* Functions without a symbol are not known there. */
size_t st_arch_insn(const uint8_t *code, size_t len, unsigned long addr, unsigned long *target)
{
	(void)code;
	(void)len;
	(void)addr;
	*target = 0;
	return 0;
}
