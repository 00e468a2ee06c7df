// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * See mail.h. A hook, as the recorder is one: general registers only, no libc, no lock. It waits, but for a bounded time,
 * and where the program waits anyway: in the dynamic loader, and before an exec.
 */
#include <errno.h>
#include <linux/futex.h>
#include <agent/ctl.h>
#include <agent/home.h>
#include <agent/probe.h>
#include <engine/syscall.h>

/* CLOCK_MONOTONIC in ms, good enough for differences. */
static uint32_t now_ms(void)
{
	unsigned long ts[2] = { 0, 0 };

	st_syscall2(__NR_clock_gettime, 1, ts);
	return (uint32_t)(ts[0] * 1000 + ts[1] / 1000000);
}

/* Until the letter is answered, or for as long as mail.h says. */
static void wait(struct st_ctl_mail *mail, uint32_t number)
{
	uint32_t from = now_ms(), since = from, now;

	for (now = from; now - since < ST_MAIL_MS && now - from < ST_MAIL_MAX_MS; now = now_ms()) {
		uint32_t answered = __atomic_load_n(&mail->answered, __ATOMIC_ACQUIRE);
		unsigned long ts[2] = { 0, ST_MAIL_SLICE_MS * 1000000ul };
		long ret;

		if ((int32_t)(answered - number) > 0)
			return;
		if (__atomic_load_n(&mail->busy, __ATOMIC_RELAXED))
			since = now;
		/* Dead: nobody will answer any more. */
		if (mail->near && st_syscall2(__NR_kill, mail->owner, 0) == -ESRCH)
			break;
		ret = st_syscall6(__NR_futex, (long)&mail->answered, FUTEX_WAIT, (long)answered, (long)ts, 0, 0);
		if (ret && ret != -ETIMEDOUT && ret != -EAGAIN && ret != -EINTR)
			break;
	}
	__atomic_store_n(&mail->deaf, 1, __ATOMIC_RELEASE);
}

void st_agent_mail(struct st_hook *h, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	struct st_ctl *ctl = st_agent_ctl;
	struct st_ctl_mail *mail = h->data;
	uint32_t kind = h == &mail->exec ? ST_LETTER_EXEC : ST_LETTER_OBJECTS, number, answered;

	(void)regs;
	(void)ip;
	(void)parent_ip;
	if (!__atomic_load_n(&mail->on, __ATOMIC_ACQUIRE) || ctl->no_syscalls)
		return;
	if (!mail->children && st_agent_process(ctl) != ctl->pid)
		return;
	/* A number is only taken where there is room for the letter. */
	number = __atomic_load_n(&mail->asked, __ATOMIC_RELAXED);
	do {
		answered = __atomic_load_n(&mail->answered, __ATOMIC_ACQUIRE);
		if (number - answered >= ST_LETTERS_MAX)
			return;
	} while (!__atomic_compare_exchange_n(&mail->asked, &number, number + 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	__atomic_store_n(&mail->letter[number % ST_LETTERS_MAX],
			 kind | ((uint32_t)st_syscall0(__NR_gettid) & ST_LETTER_TID), __ATOMIC_RELEASE);
	st_syscall6(__NR_futex, (long)&mail->asked, FUTEX_WAKE, 1, 0, 0, 0);
	if (!__atomic_load_n(&mail->deaf, __ATOMIC_ACQUIRE))
		wait(mail, number);
}
