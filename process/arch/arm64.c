// SPDX-License-Identifier: GPL-2.0-only
/*
 * Borrowing a thread on AArch64. The frame is the one that the kernel itself writes for a signal
 * handler (arch/arm64/kernel/signal.c), so that its rt_sigreturn takes it.
 *
 * The kernel decides before the stop whether a system call is made again: pc and x0 are back where
 * they were. Only calls that return EINTR need help, and their first argument is not in ptrace's
 * registers any more.
 */
#include "process/arch/regset.h"
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#ifndef NT_ARM_TLS
#define NT_ARM_TLS 0x401
#endif
#ifndef NT_ARM_SYSTEM_CALL
#define NT_ARM_SYSTEM_CALL 0x404
#endif
#ifndef NT_ARM_SVE
#define NT_ARM_SVE 0x405
#endif

_Static_assert(sizeof(struct st_regs) == 272, "uapi asm/ptrace.h, struct user_pt_regs");

int st_arch_get(pid_t tid, struct st_regs *regs)
{
	size_t len = sizeof(*regs);

	return st_regset_get(tid, NT_PRSTATUS, regs, &len);
}

int st_arch_set(pid_t tid, const struct st_regs *regs)
{
	return st_regset_set(tid, NT_PRSTATUS, regs, sizeof(*regs));
}

/* uapi/asm/ptrace.h, struct user_fpsimd_state */
struct fpsimd {
	uint64_t v[32][2];
	uint32_t fpsr, fpcr;
	uint32_t reserved[2];
};

/* uapi/asm/ptrace.h, struct user_sve_header */
struct sve_header {
	uint32_t size, max_size;
	uint16_t vl, max_vl, flags, reserved;
};

#define SVE_REGS 1 /* SVE_PT_REGS_SVE: the Z registers are live beyond their low 128 bits */
#define SVE_MAX (16 + 256 * 34 + 32 + 32)

/* Either the FPSIMD regset, or, when a thread has live SVE state, that one, which is larger. */
int st_arch_get_fp(pid_t tid, struct st_saved *saved)
{
	size_t len = SVE_MAX;
	struct sve_header head;

	saved->fp = malloc(SVE_MAX);
	if (!saved->fp)
		return -ENOMEM;
	if (!st_regset_get(tid, NT_ARM_SVE, saved->fp, &len) && len > sizeof(struct fpsimd)) {
		memcpy(&head, saved->fp, sizeof(head));
		if (head.flags & SVE_REGS) {
			saved->fp_len = len;
			return 0;
		}
	}
	saved->fp_len = sizeof(struct fpsimd);
	return st_regset_get(tid, NT_PRFPREG, saved->fp, &saved->fp_len);
}

static bool has_sve(const struct st_saved *saved)
{
	return saved->fp_len > sizeof(struct fpsimd);
}

int st_arch_set_fp(pid_t tid, const struct st_saved *saved)
{
	return st_regset_set(tid, has_sve(saved) ? NT_ARM_SVE : NT_PRFPREG, saved->fp,
			     saved->fp_len);
}

/* A system call may drop what SVE has beyond the FPSIMD registers
 * (Documentation/arch/arm64/sve.rst, 3). */
bool st_arch_syscall_drops_fp(const struct st_saved *saved)
{
	return has_sve(saved);
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

#define SVC_LEN 4

/*
 * System calls that return EINTR where others have the kernel make them again, and that did nothing
 * when they do (signal(7), "Interruption of system calls by stop signals"; timeouts of sockets).
 * Not close(): it has closed.
 */
static const short repeatable[] = {
	SYS_epoll_pwait,
	441 /* epoll_pwait2 */,
	SYS_rt_sigtimedwait,
	SYS_semop,
	SYS_semtimedop,
	SYS_io_getevents,
	292 /* io_pgetevents */,
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

int st_arch_repeat(pid_t tid, const struct st_syscall *was)
{
	struct st_regs regs;
	size_t i;

	if (!was->blocked || st_arch_get(tid, &regs) || regs.regs[0] != (unsigned long)-EINTR)
		return 0;
	/* It is still, or again, in the call that it was seen in. */
	if (regs.pc != was->pc || regs.sp != was->sp || regs.regs[8] != (unsigned long)was->nr)
		return 0;
	for (i = 1; i < 6; i++)
		if (regs.regs[i] != was->arg[i])
			return 0;
	for (i = 0; i < ARRAY_SIZE(repeatable); i++)
		if (repeatable[i] == was->nr) {
			regs.regs[0] = was->arg[0];
			regs.pc -= SVC_LEN;
			return !st_arch_set(tid, &regs);
		}
	return 0;
}

void st_arch_unrepeat(pid_t tid)
{
	struct st_regs regs;

	if (st_arch_get(tid, &regs))
		return;
	regs.regs[0] = (unsigned long)-EINTR;
	regs.pc += SVC_LEN;
	st_arch_set(tid, &regs);
}

long st_arch_restarted(const struct st_regs *regs, const uint8_t *before, size_t len)
{
	/* Those that have a restart block (users of set_restart_fn() in the kernel). */
	static const uint32_t restartable[] = {SYS_nanosleep, SYS_clock_nanosleep, SYS_futex};
	size_t at, i;
	uint32_t insn;

	if (regs->regs[8] != SYS_restart_syscall)
		return 0;
	/* The last mov x8,#nr before the svc. */
	for (at = len; at >= 4; at -= 4) {
		memcpy(&insn, before + at - 4, 4);
		for (i = 0; i < ARRAY_SIZE(restartable); i++)
			if (insn == (0xd2800008u | restartable[i] << 5))
				return restartable[i];
	}
	return -1;
}

const char *st_arch_refuses(const struct st_regs *regs)
{
	(void)regs;
	return NULL;
}

unsigned long st_arch_redzone(void)
{
	return 0; /* AAPCS64, 6.4.5.1 */
}

unsigned long st_arch_thread_pointer(pid_t tid)
{
	uint64_t tp[2] = {0};
	size_t len = sizeof(tp);

	return st_regset_get(tid, NT_ARM_TLS, tp, &len) ? 0 : tp[0];
}

/* asm-generic/siginfo.h, asm/ucontext.h, asm/sigcontext.h */
struct frame {
	uint8_t siginfo[128];
	uint64_t uc_flags, uc_link;
	uint64_t ss_sp;
	int32_t ss_flags, pad;
	uint64_t ss_size;
	uint64_t sigmask;
	uint8_t unused[120];
	uint64_t align;
	uint64_t fault_address;
	uint64_t regs[31];
	uint64_t sp, pc, pstate;
	uint64_t align2;
	/* records: of at most 4096 bytes */
};

_Static_assert(offsetof(struct frame, fault_address) == 304 && sizeof(struct frame) == 592,
	       "asm/sigcontext.h");

#define RECORDS_MAX 4096

#define FPSIMD_MAGIC 0x46508001u
#define SVE_MAGIC 0x53564501u

struct fpsimd_record {
	uint32_t magic, size;
	uint32_t fpsr, fpcr;
	uint64_t v[32][2];
};

struct sve_record {
	uint32_t magic, size;
	uint16_t vl, flags, reserved[2];
};

/* A mode that sigaltstack() refuses: what the thread has set stays (restore_altstack() ignores the
 * error). */
#define SS_KEEP 0x1000

/* Z, P and FFR registers of a vector length; the regset and the record have them at the same
 * offset, 16. */
static size_t sve_len(const struct st_saved *saved)
{
	struct sve_header head;
	size_t len;

	if (!has_sve(saved))
		return 0;
	memcpy(&head, saved->fp, sizeof(head));
	len = sizeof(struct sve_record) + 32ul * head.vl + 16ul * head.vl / 8 + head.vl / 8;
	/* What does not fit (vectors of more than 512 bits) goes as FPSIMD state. */
	return sizeof(struct fpsimd_record) + len + 32 <= RECORDS_MAX && len <= saved->fp_len
		       ? (len + 15) & ~15ul
		       : 0;
}

size_t st_arch_frame_size(const struct st_saved *saved)
{
	return sizeof(struct frame) + sizeof(struct fpsimd_record) + sve_len(saved) + 16;
}

static void fill_fpsimd(const struct st_saved *saved, struct fpsimd_record *record)
{
	struct sve_header head;
	struct fpsimd plain;
	size_t fpsr;
	int i;

	record->magic = FPSIMD_MAGIC;
	record->size = sizeof(*record);
	if (!has_sve(saved)) {
		memcpy(&plain, saved->fp, sizeof(plain));
		memcpy(record->v, plain.v, sizeof(record->v));
		record->fpsr = plain.fpsr;
		record->fpcr = plain.fpcr;
		return;
	}
	memcpy(&head, saved->fp, sizeof(head));
	for (i = 0; i < 32; i++)
		memcpy(record->v[i], saved->fp + 16 + (size_t)i * head.vl, 16);
	/* FPSR and FPCR follow, on the next 16 bytes (SVE_PT_SVE_FPSR_OFFSET). */
	fpsr = (16 + 32ul * head.vl + 16ul * head.vl / 8 + head.vl / 8 + 15) & ~15ul;
	memcpy(&record->fpsr, saved->fp + fpsr, 4);
	memcpy(&record->fpcr, saved->fp + fpsr + 4, 4);
}

void st_arch_frame(const struct st_saved *saved, unsigned long at, void *buf)
{
	const struct st_regs *regs = &saved->regs;
	struct fpsimd_record fpsimd = {0};
	struct frame frame = {0};
	size_t sve = sve_len(saved);
	uint8_t *to = buf;

	(void)at;
	frame.ss_flags = SS_KEEP;
	frame.sigmask = saved->sigmask;
	memcpy(frame.regs, regs->regs, sizeof(frame.regs));
	if (saved->call)
		frame.regs[8] = saved->call;
	frame.sp = regs->sp;
	frame.pc = regs->pc;
	frame.pstate = regs->pstate;
	memcpy(to, &frame, sizeof(frame));
	to += sizeof(frame);

	fill_fpsimd(saved, &fpsimd);
	memcpy(to, &fpsimd, sizeof(fpsimd));
	to += sizeof(fpsimd);
	if (sve) {
		struct sve_record record = {.magic = SVE_MAGIC, .size = sve};
		struct sve_header head;

		memcpy(&head, saved->fp, sizeof(head));
		record.vl = head.vl;
		memset(to, 0, sve);
		memcpy(to + sizeof(record), saved->fp + sizeof(head),
		       32ul * head.vl + 16ul * head.vl / 8 + head.vl / 8);
		memcpy(to, &record, sizeof(record));
		to += sve;
	}
	memset(to, 0, 16); /* ends the records */
}

const uint8_t st_arch_code[] = {
	0x00, 0x02, 0x3f, 0xd6, /* call:	blr	x16 */
	0x68, 0x11, 0x80, 0xd2, /* loop:	mov	x8, #139	rt_sigreturn */
	0x01, 0x00, 0x00, 0xd4, /*		svc	#0 */
	0xfe, 0xff, 0xff, 0x17, /*		b	loop */
};
const size_t st_arch_code_len = sizeof(st_arch_code);

#define CODE_LOOP 4
#define CODE_SVC 8

#define PSTATE_KEEP 0x1000 /* SSBS; flags and BTYPE are cleared */

static void prepare(struct st_regs *regs, unsigned long frame)
{
	regs->sp = frame;
	regs->pstate &= PSTATE_KEEP;
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
	regs->regs[16] = fn;
	regs->regs[29] = 0;
	for (i = 0; i < 4; i++)
		regs->regs[i] = i < nargs ? args[i] : 0;
}

bool st_arch_at_loop(const struct st_regs *regs, unsigned long code)
{
	return regs->pc == code + CODE_SVC + SVC_LEN;
}

int st_arch_enter(pid_t tid, long nr, const unsigned long args[6])
{
	struct st_regs regs;
	int ret = st_arch_get(tid, &regs), call = nr;

	if (ret)
		return ret;
	memcpy(regs.regs, args, 6 * sizeof(args[0]));
	ret = st_arch_set(tid, &regs);
	return ret ? ret : st_regset_set(tid, NT_ARM_SYSTEM_CALL, &call, sizeof(call));
}

long st_arch_result(const struct st_regs *regs)
{
	return regs->regs[0];
}

unsigned long st_arch_call_result(const struct st_regs *regs)
{
	return regs->regs[0];
}

enum st_reloc st_arch_reloc(unsigned int type, const char **why)
{
	switch (type) {
	case R_AARCH64_NONE:
		return ST_RELOC_NONE;
	case R_AARCH64_RELATIVE:
		return ST_RELOC_RELATIVE;
	case R_AARCH64_ABS64:
		return ST_RELOC_ABSOLUTE;
	case R_AARCH64_ABS32:
		return ST_RELOC_ABS32;
	case R_AARCH64_GLOB_DAT:
	case R_AARCH64_JUMP_SLOT:
		return ST_RELOC_SLOT;
	case R_AARCH64_TLS_DTPMOD:
	case R_AARCH64_TLS_DTPREL:
	case R_AARCH64_TLS_TPREL:
	case R_AARCH64_TLSDESC:
		*why = "it uses thread-local variables";
		return ST_RELOC_REFUSED;
	case R_AARCH64_IRELATIVE:
		*why = "it has indirect functions (ifunc) of its own";
		return ST_RELOC_REFUSED;
	case R_AARCH64_COPY:
		*why = "it has copy relocations: it is a program, not a shared object";
		return ST_RELOC_REFUSED;
	}
	*why = "it has a relocation of an unknown type";
	return ST_RELOC_REFUSED;
}

size_t st_arch_insn(const uint8_t *code, size_t len, unsigned long addr, unsigned long *target)
{
	uint32_t insn;

	*target = 0;
	if (len < sizeof(insn))
		return 0;
	memcpy(&insn, code, sizeof(insn));
	if ((insn & 0xfc000000) == 0x94000000)	/* BL, Arm ARM C6.2.32 */
		*target = addr + (unsigned long)((long)((unsigned long)insn << 38) >> 36);
	return sizeof(insn);
}
