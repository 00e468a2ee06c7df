// SPDX-License-Identifier: GPL-2.0-only
/*
 * Borrowing a thread on x86-64. The frame is the one that the kernel itself writes for a signal
 * handler (arch/x86/kernel/signal_64.c), so that its rt_sigreturn takes it.
 */
#include "process/arch/arch.h"
#include "engine/arch/x86_64/decode.h"
#include <cpuid.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>

/* The kernel's own, never seen by programs (include/linux/errno.h). */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514
#define ERESTART_RESTARTBLOCK 516

/* struct st_regs is the first part of struct user_regs_struct; segment registers and bases follow.
 */
_Static_assert(offsetof(struct user_regs_struct, ss) == offsetof(struct st_regs, ss),
	       "uapi asm/ptrace.h");

int st_arch_get(pid_t tid, struct st_regs *regs)
{
	struct user_regs_struct user;

	if (ptrace(PTRACE_GETREGS, tid, NULL, &user))
		return -errno;
	memcpy(regs, &user, sizeof(*regs));
	return 0;
}

int st_arch_set(pid_t tid, const struct st_regs *regs)
{
	struct user_regs_struct user;

	if (ptrace(PTRACE_GETREGS, tid, NULL, &user))
		return -errno;
	memcpy(&user, regs, sizeof(*regs));
	return ptrace(PTRACE_SETREGS, tid, NULL, &user) ? -errno : 0;
}

/* Largest XSAVE image: 8 KiB of AMX tiles on top of AVX-512. */
#define XSAVE_MAX 16384

int st_arch_get_fp(pid_t tid, struct st_saved *saved)
{
	struct iovec iov;

	saved->fp = malloc(XSAVE_MAX);
	if (!saved->fp)
		return -ENOMEM;
	iov = (struct iovec){saved->fp, XSAVE_MAX};
	if (ptrace(PTRACE_GETREGSET, tid, NT_X86_XSTATE, &iov)) {
		/* No XSAVE: 512 bytes of FXSAVE. */
		iov.iov_len = XSAVE_MAX;
		if (ptrace(PTRACE_GETREGSET, tid, NT_PRFPREG, &iov)) {
			free(saved->fp);
			saved->fp = NULL;
			return -errno;
		}
	}
	saved->fp_len = iov.iov_len;
	return 0;
}

int st_arch_set_fp(pid_t tid, const struct st_saved *saved)
{
	struct iovec iov = {saved->fp, saved->fp_len};

	return ptrace(PTRACE_SETREGSET, tid, saved->fp_len > 512 ? NT_X86_XSTATE : NT_PRFPREG, &iov)
		       ? -errno
		       : 0;
}

bool st_arch_syscall_drops_fp(const struct st_saved *saved)
{
	(void)saved;
	return false;
}

/* Will the kernel make a system call again when this thread goes on? (arch_do_signal_or_restart())
 */
static bool restarts(const struct st_regs *regs)
{
	switch (-(long)regs->ax) {
	case ERESTARTSYS:
	case ERESTARTNOINTR:
	case ERESTARTNOHAND:
	case ERESTART_RESTARTBLOCK:
		return (long)regs->orig_ax >= 0;
	}
	return false;
}

#define SYSCALL_LEN 2 /* 0f 05 */

void st_arch_view(struct st_regs *regs)
{
	if (restarts(regs)) {
		regs->ip -= SYSCALL_LEN;
		regs->ax = regs->orig_ax;
	}
}

void st_arch_unview(struct st_regs *view, const struct st_regs *raw)
{
	if (restarts(raw) && view->orig_ax == raw->orig_ax && view->ax == raw->orig_ax) {
		view->ip += SYSCALL_LEN;
		view->ax = raw->ax;
	}
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
	SYS_semop,
	SYS_semtimedop,
	SYS_io_getevents,
	333 /* io_pgetevents */,
	426 /* io_uring_enter */,
	SYS_futex,
	449 /* futex_waitv */,
	SYS_read,
	SYS_readv,
	SYS_recvfrom,
	SYS_recvmsg,
	SYS_recvmmsg,
	SYS_write,
	SYS_writev,
	SYS_sendto,
	SYS_sendmsg,
	SYS_accept,
	SYS_accept4,
	SYS_connect,
	SYS_msgrcv,
	SYS_msgsnd,
};

/*
 * Whether a handler runs is not known yet during the stop. With ERESTARTNOHAND the kernel returns
 * EINTR if one does and makes the call again if none does.
 */
int st_arch_repeat(pid_t tid, const struct st_syscall *was)
{
	struct st_regs regs;
	size_t i;

	(void)was;
	if (st_arch_get(tid, &regs) || (long)regs.orig_ax < 0 || regs.ax != (unsigned long)-EINTR)
		return 0;
	for (i = 0; i < ARRAY_SIZE(repeatable); i++)
		if ((unsigned long)repeatable[i] == regs.orig_ax) {
			regs.ax = (unsigned long)-ERESTARTNOHAND;
			return !st_arch_set(tid, &regs);
		}
	return 0;
}

void st_arch_unrepeat(pid_t tid)
{
	(void)tid;
}

long st_arch_restarted(const struct st_regs *regs, const uint8_t *before, size_t len)
{
	/* Those that have a restart block (users of set_restart_fn() in the kernel). */
	static const uint32_t restartable[] = {SYS_nanosleep, SYS_clock_nanosleep, SYS_poll,
					       SYS_futex};
	size_t at, i;

	if (!restarts(regs) || regs->orig_ax != SYS_restart_syscall)
		return 0;
	/* The last mov $nr,%eax before the syscall instruction. */
	for (at = len - 5; at; at--)
		for (i = 0; before[at] == 0xb8 && i < ARRAY_SIZE(restartable); i++)
			if (!memcmp(before + at + 1, &restartable[i], 4))
				return restartable[i];
	return -1;
}

/* Selectors of user code and data (arch/x86/include/asm/segment.h). */
#define USER_CS 0x33
#define USER_DS 0x2b

const char *st_arch_refuses(const struct st_regs *regs)
{
	return regs->cs == USER_CS ? NULL : "it is running 32-bit code";
}

unsigned long st_arch_redzone(void)
{
	return 128; /* psABI x86-64, 3.2.2 */
}

unsigned long st_arch_thread_pointer(pid_t tid)
{
	struct user_regs_struct user;

	return ptrace(PTRACE_GETREGS, tid, NULL, &user) ? 0 : user.fs_base;
}

/* uapi/asm/ucontext.h */
#define UC_FP_XSTATE 1
#define UC_SIGCONTEXT_SS 2
#define UC_STRICT_RESTORE_SS 4

/* uapi/asm/sigcontext.h: in the unused bytes of the FXSAVE image, and behind the XSAVE image. */
#define FP_XSTATE_MAGIC1 0x46505853u
#define FP_XSTATE_MAGIC2 0x46505845u
#define SW_RESERVED 464

struct sw_bytes {
	uint32_t magic1;
	uint32_t extended_size;
	uint64_t xfeatures;
	uint32_t xstate_size;
	uint32_t pad[7];
};

/* uapi/asm/sigcontext.h, struct sigcontext_64, and asm-generic/ucontext.h around it. */
struct frame {
	uint64_t align; /* sp is 16-byte aligned behind pretcode */
	uint64_t pretcode;
	uint64_t uc_flags, uc_link;
	uint64_t ss_sp;
	int32_t ss_flags, pad;
	uint64_t ss_size;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t di, si, bp, bx, dx, ax, cx, sp, ip, flags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2;
	uint64_t fpstate;
	uint64_t reserved[8];
	uint64_t sigmask;
};

_Static_assert(sizeof(struct frame) == 320, "the XSAVE image behind it is 64-byte aligned");

/* A mode that sigaltstack() refuses: what the thread has set stays (restore_altstack() ignores the
 * error). */
#define SS_KEEP 0x1000

/* Bytes up to the end of the last component in use; the kernel allows any size that is not more
 * than its own. */
static size_t xsave_len(const struct st_saved *saved)
{
	size_t len = 512 + 64;
	uint64_t in_use;
	unsigned int i;

	if (saved->fp_len <= 512)
		return saved->fp_len;
	memcpy(&in_use, saved->fp + 512, sizeof(in_use));
	for (i = 2; i < 63; i++) {
		unsigned int size, offset, flags, unused;

		/* SDM vol. 1, 13.2: sub-leaf i says where component i lies in the standard format.
		 */
		if (in_use >> i & 1 && __get_cpuid_count(0xd, i, &size, &offset, &flags, &unused) &&
		    offset + size > len && offset + size <= saved->fp_len)
			len = offset + size;
	}
	return len;
}

size_t st_arch_frame_size(const struct st_saved *saved)
{
	return sizeof(struct frame) + xsave_len(saved) + sizeof(uint32_t);
}

void st_arch_frame(const struct st_saved *saved, unsigned long at, void *buf)
{
	struct st_regs regs = saved->regs;
	size_t len = xsave_len(saved);
	struct frame frame = {0};
	uint8_t *fp = (uint8_t *)buf + sizeof(frame);
	uint32_t magic2 = FP_XSTATE_MAGIC2;

	st_arch_view(&regs);
	if (saved->call)
		regs.ax = saved->call;
	frame.uc_flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
	frame.ss_flags = SS_KEEP;
	frame.r8 = regs.r8;
	frame.r9 = regs.r9;
	frame.r10 = regs.r10;
	frame.r11 = regs.r11;
	frame.r12 = regs.r12;
	frame.r13 = regs.r13;
	frame.r14 = regs.r14;
	frame.r15 = regs.r15;
	frame.di = regs.di;
	frame.si = regs.si;
	frame.bp = regs.bp;
	frame.bx = regs.bx;
	frame.dx = regs.dx;
	frame.ax = regs.ax;
	frame.cx = regs.cx;
	frame.sp = regs.sp;
	frame.ip = regs.ip;
	frame.flags = regs.flags;
	frame.cs = regs.cs;
	frame.ss = regs.ss;
	frame.fpstate = at + sizeof(frame);
	frame.sigmask = saved->sigmask;
	memcpy(buf, &frame, sizeof(frame));

	memcpy(fp, saved->fp, len);
	memset(fp + SW_RESERVED, 0, sizeof(struct sw_bytes));
	if (len > 512) {
		struct sw_bytes sw = {FP_XSTATE_MAGIC1, len + sizeof(magic2), 0, len, {0}};

		memcpy(&sw.xfeatures, fp + 512, sizeof(sw.xfeatures));
		sw.xfeatures |= 3; /* x87 and SSE are always there */
		memcpy(fp + SW_RESERVED, &sw, sizeof(sw));
	}
	memcpy(fp + len, &magic2, sizeof(magic2));
}

const uint8_t st_arch_code[] = {
	0x41, 0xff, 0xd3,	/* call:	call	*%r11 */
	0x48, 0x89, 0xc7,	/*		mov	%rax,%rdi	system calls lose rax */
	0xb8, 15,   0,	  0, 0, /* loop:	mov	$15,%eax	rt_sigreturn */
	0x0f, 0x05,		/*		syscall */
	0xeb, 0xf7,		/*		jmp	loop */
};
const size_t st_arch_code_len = sizeof(st_arch_code);

#define CODE_LOOP 6
#define CODE_SYSCALL 11

#define FLAGS_PLAIN 0x202 /* IF and the bit that is always set */

static void prepare(struct st_regs *regs, unsigned long frame)
{
	regs->sp = frame + offsetof(struct frame, uc_flags);
	regs->flags = FLAGS_PLAIN;
	regs->orig_ax = -1; /* not in a system call: nothing is to be made again */
	regs->ax = 0;
}

void st_arch_loop(struct st_regs *regs, unsigned long code, unsigned long frame)
{
	prepare(regs, frame);
	regs->ip = code + CODE_LOOP;
}

void st_arch_call(struct st_regs *regs, unsigned long code, unsigned long frame, unsigned long fn,
		  const unsigned long *args, unsigned int nargs)
{
	prepare(regs, frame);
	regs->ip = code;
	regs->r11 = fn;
	regs->di = nargs > 0 ? args[0] : 0;
	regs->si = nargs > 1 ? args[1] : 0;
	regs->dx = nargs > 2 ? args[2] : 0;
	regs->cx = nargs > 3 ? args[3] : 0;
	regs->bp = 0;
}

bool st_arch_at_loop(const struct st_regs *regs, unsigned long code)
{
	return regs->ip == code + CODE_SYSCALL + SYSCALL_LEN;
}

int st_arch_enter(pid_t tid, long nr, const unsigned long args[6])
{
	struct st_regs regs;
	int ret = st_arch_get(tid, &regs);

	if (ret)
		return ret;
	regs.orig_ax = nr;
	regs.di = args[0];
	regs.si = args[1];
	regs.dx = args[2];
	regs.r10 = args[3];
	regs.r8 = args[4];
	regs.r9 = args[5];
	return st_arch_set(tid, &regs);
}

long st_arch_result(const struct st_regs *regs)
{
	return regs->ax;
}

unsigned long st_arch_call_result(const struct st_regs *regs)
{
	return regs->di;
}

enum st_reloc st_arch_reloc(unsigned int type, const char **why)
{
	switch (type) {
	case R_X86_64_NONE:
		return ST_RELOC_NONE;
	case R_X86_64_RELATIVE:
		return ST_RELOC_RELATIVE;
	case R_X86_64_64:
		return ST_RELOC_ABSOLUTE;
	case R_X86_64_32:
		return ST_RELOC_ABS32;
	case R_X86_64_GLOB_DAT:
	case R_X86_64_JUMP_SLOT:
		return ST_RELOC_SLOT;
	case R_X86_64_DTPMOD64:
	case R_X86_64_DTPOFF64:
	case R_X86_64_TPOFF64:
	case R_X86_64_TLSDESC:
		*why = "it uses thread-local variables";
		return ST_RELOC_REFUSED;
	case R_X86_64_IRELATIVE:
		*why = "it has indirect functions (ifunc) of its own";
		return ST_RELOC_REFUSED;
	case R_X86_64_COPY:
		*why = "it has copy relocations: it is a program, not a shared object";
		return ST_RELOC_REFUSED;
	}
	*why = "it has a relocation of an unknown type";
	return ST_RELOC_REFUSED;
}

size_t st_arch_insn(const uint8_t *code, size_t len, unsigned long addr, unsigned long *target)
{
	struct st_x86_insn insn;

	*target = 0;
	if (st_x86_decode(&insn, code, len) < 0)
		return 0;
	if (insn.class == ST_X86_CALL)
		*target = addr + insn.len + (unsigned long)(long)insn.rel;
	return insn.len;
}
