// SPDX-License-Identifier: GPL-2.0-only
/* See mailbox.h. A record has its owner before it has hooks, and loses them before it is free. */
#include <elf.h>
#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <process/internal.h>
#include <process/mailbox.h>

#define RELEASE_TRIES 50	/* of 20 ms */

static void answer(struct st_ctl_mail *mail, uint32_t number)
{
	__atomic_store_n(&mail->answered, number, __ATOMIC_RELEASE);
	__atomic_store_n(&mail->deaf, 0, __ATOMIC_RELEASE);
	syscall(SYS_futex, &mail->answered, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static int unhook(struct st_session *s, struct st_ctl_mail *mail)
{
	return st_session_unhook(s, &mail->objects) ?: st_session_unhook(s, &mail->exec);
}

int st_mailbox_reap(struct st_session *s)
{
	struct st_ctl *ctl = st_session_ctl(s);

	for (int i = 0; i < ST_MAILS_MAX; i++) {
		struct st_ctl_mail *mail = &ctl->mail[i];
		int ret;

		if (!mail->owner || st_start_time((pid_t)mail->owner) == mail->owner_start)
			continue;
		__atomic_store_n(&mail->on, 0, __ATOMIC_RELEASE);
		ret = unhook(s, mail);
		if (ret)
			return ret;
		__atomic_store_n(&mail->owner, 0, __ATOMIC_RELEASE);
	}
	return 0;
}

static void make_hook(const struct st_mailbox *box, struct st_hook *hook)
{
	struct st_ctl *ctl = st_session_ctl(box->session);

	memset(hook, 0, sizeof(*hook));
	hook->size = sizeof(*hook);
	hook->func = (st_hook_fn)(uintptr_t)ctl->mail_func;
	hook->data = (void *)(uintptr_t)(ctl->self + (uint64_t)((char *)box->mail - (char *)ctl));
	hook->flags = ST_HOOK_GENERAL_REGS;
}

/* A function to put a hook of ours on. False: there is none. */
static bool find_function(struct st_object *obj, const char *name, struct st_fn *fn)
{
	const struct st_func *f;
	struct st_symbol sym;

	if (st_object_symbol(obj, name, NULL, &sym) || sym.type != STT_FUNC)
		return false;
	f = st_object_function_at(obj, sym.addr);
	if (!f || f->addr != sym.addr)
		return false;
	*fn = (struct st_fn){ .addr = f->addr, .size = f->flags & ST_FUNC_NOSIZE ? f->room : f->size, .room = f->room,
			      .isa = f->isa, .name = name };
	return true;
}

/* Of the dynamic loader, the function that it calls for debuggers when its list has changed (link.h, r_brk); musl has it, too. */
void st_mailbox_hooks(struct st_mailbox *box, struct st_objects *objs, const struct st_objects *known)
{
	static const char *const names[] = { "execve", "execveat", "fexecve" };
	const size_t n = sizeof(names) / sizeof(names[0]);
	struct st_fn *exec = calloc(objs->n * n + 1, sizeof(*exec)), loader;
	size_t i, j, count = 0;

	for (i = 0; box->mail && exec && i < objs->n; i++) {
		struct st_object *obj = &objs->object[i];

		if (obj->flags & ST_OBJECT_VDSO || st_objects_known(known, obj))
			continue;
		if (!box->watched && box->wants & ST_MAILBOX_OBJECTS && obj->flags & (ST_OBJECT_INTERP | ST_OBJECT_EXE) &&
		    find_function(obj, "_dl_debug_state", &loader))
			box->watched = st_session_hook(box->session, &box->mail->objects, &loader, 1, ST_SESSION_ANY) > 0;
		for (j = 0; box->wants & ST_MAILBOX_PROGRAMS && j < n; j++)
			count += find_function(obj, names[j], &exec[count]);
	}
	if (count)
		box->tells |= st_session_hook(box->session, &box->mail->exec, exec, count, ST_SESSION_ANY) > 0;
	free(exec);
}

/* Do process ids mean the same to us both? */
static bool same_namespace(pid_t pid)
{
	struct stat here, there;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	return !stat("/proc/self/ns/pid", &here) && !stat(path, &there) && here.st_ino == there.st_ino;
}

int st_mailbox_take(struct st_mailbox *box, struct st_session *s, struct st_objects *objs, unsigned int wants, char err[ST_ERR_MAX])
{
	struct st_ctl *ctl = st_session_ctl(s);
	pid_t pid = st_proc_pid(st_session_proc(s));

	*box = (struct st_mailbox){ .session = s, .wants = wants };
	for (int i = 0; i < ST_MAILS_MAX; i++) {
		uint32_t none = 0;

		if (!__atomic_compare_exchange_n(&ctl->mail[i].owner, &none, (uint32_t)getpid(), false, __ATOMIC_ACQ_REL,
						 __ATOMIC_RELAXED))
			continue;
		box->mail = &ctl->mail[i];
		box->mail->owner_start = st_start_time(getpid());
		box->mail->near = same_namespace(pid);
		make_hook(box, &box->mail->objects);
		make_hook(box, &box->mail->exec);
		box->mail->children = wants & ST_MAILBOX_PROGRAMS ? 1 : 0;
		box->mail->deaf = box->mail->busy = box->mail->keeps = 0;
		box->mail->asked = box->mail->answered = 0;
		memset(box->mail->letter, 0, sizeof(box->mail->letter));
		__atomic_store_n(&box->mail->on, 1, __ATOMIC_RELEASE);
		st_mailbox_hooks(box, objs, NULL);
		return 0;
	}
	return st_fail(err, -ENOSPC, "%d other sidetracks wait for objects of process %d, which is all it can have", ST_MAILS_MAX, pid);
}

bool st_mailbox_full(const struct st_mailbox *box)
{
	return box->mail && box->mail->answered != __atomic_load_n(&box->mail->asked, __ATOMIC_ACQUIRE);
}

uint32_t st_mailbox_read(struct st_mailbox *box)
{
	return __atomic_exchange_n(&box->mail->letter[box->mail->answered % ST_LETTERS_MAX], 0, __ATOMIC_ACQ_REL);
}

void st_mailbox_answer(struct st_mailbox *box)
{
	if (st_mailbox_full(box))
		answer(box->mail, box->mail->answered + 1);
}

bool st_mailbox_late(const struct st_mailbox *box)
{
	return box->mail && __atomic_load_n(&box->mail->deaf, __ATOMIC_ACQUIRE);
}

void st_mailbox_busy(struct st_mailbox *box, bool busy)
{
	if (box->mail)
		__atomic_store_n(&box->mail->busy, busy, __ATOMIC_RELEASE);
}

void st_mailbox_off(struct st_mailbox *box)
{
	if (!box->mail)
		return;
	__atomic_store_n(&box->mail->on, 0, __ATOMIC_RELEASE);
	answer(box->mail, __atomic_load_n(&box->mail->asked, __ATOMIC_ACQUIRE));
}

int st_mailbox_release(struct st_mailbox *box)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	int ret = -EBUSY;

	if (!box->mail)
		return 0;
	st_mailbox_off(box);
	for (int tries = 0; ret == -EBUSY && tries < RELEASE_TRIES; tries++) {
		ret = unhook(box->session, box->mail);
		if (ret == -EBUSY)
			nanosleep(&pause, NULL);
	}
	if (!ret)
		__atomic_store_n(&box->mail->owner, 0, __ATOMIC_RELEASE);
	box->mail = NULL;
	return ret;
}
