// SPDX-License-Identifier: GPL-2.0-only
/* See later.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <patch/internal.h>
#include <patch/later.h>

#define START_MS 10000		/* until a keeper must be at work */
#define TICK_MS 1000		/* between two looks whether there is still something to do */
#define LOOK_MS 100		/* between two looks at objects, where the loader does not tell */
#define AGAIN_MAX_MS 60000

/* What comes with the program stays; what follows the dynamic loader in its own list was loaded later. */
static bool may_go(const struct st_objects *objs, const struct st_object *o)
{
	int loader = -1;

	if (o->flags & (ST_OBJECT_EXE | ST_OBJECT_INTERP | ST_OBJECT_VDSO))
		return false;
	for (size_t i = 0; i < objs->n; i++)
		if (objs->object[i].flags & ST_OBJECT_INTERP)
			loader = objs->object[i].order;
	return o->order < 0 || loader < 0 || o->order > loader;
}

/* The parts of patches that are in use, each with the object that is there for it, or NULL. True: @fn said so of one. */
static bool any_part(struct st_session *s, const struct st_objects *objs,
		     bool (*fn)(const struct st_ctl_patch_object *po, const struct st_objects *objs, const struct st_object *o, void *ctx),
		     void *ctx)
{
	struct st_ctl *ctl = st_session_ctl(s);
	struct st_ctl_patch_object *po;

	for (unsigned int p = 0; p < ST_PATCHES_MAX; p++) {
		for (uint32_t i = 0; ctl->patch[p].state >= ST_PATCH_TRANSITION && (po = st_record_object(ctl, p, &i));) {
			const struct st_object *o = NULL;
			char name[ST_NAME_MAX];

			st_record_text(ctl, po->name, name);
			for (size_t k = 0; k < objs->n && !o; k++)
				if (st_object_called(&objs->object[k], name))
					o = &objs->object[k];
			if (fn(po, objs, o, ctx))
				return true;
		}
	}
	return false;
}

static bool comes_or_goes(const struct st_ctl_patch_object *po, const struct st_objects *objs, const struct st_object *o, void *ctx)
{
	(void)ctx;
	return !po->there || !o || may_go(objs, o);
}

/* It waits, though its object is there. */
static bool is_late(const struct st_ctl_patch_object *po, const struct st_objects *objs, const struct st_object *o, void *ctx)
{
	const struct st_objects *known = ctx;

	(void)objs;
	return !po->there && o && (!known || st_objects_known(known, o));
}

bool st_later_needed(struct st_session *s)
{
	struct st_objects *objs;
	bool needed;

	if (st_patch_waits(s))
		return true;
	/* It has no patch: no need to look. */
	for (unsigned int p = 0;; p++) {
		if (p == ST_PATCHES_MAX)
			return false;
		if (st_session_ctl(s)->patch[p].state >= ST_PATCH_TRANSITION)
			break;
	}
	if (st_objects_read(st_session_proc(s), &objs, NULL))
		return false;
	needed = any_part(s, objs, comes_or_goes, NULL);
	st_objects_free(objs);
	return needed;
}

int st_later_keeper(struct st_session *s)
{
	struct st_ctl *ctl = st_session_ctl(s);

	for (int i = 0; i < ST_MAILS_MAX; i++) {
		const struct st_ctl_mail *mail = &ctl->mail[i];

		if (mail->owner && mail->keeps && mail->owner <= INT32_MAX && st_start_time((pid_t)mail->owner) == mail->owner_start)
			return (int)mail->owner;
	}
	return 0;
}

/* ---- starting one ---- */

/* In a child of the tool: never returns. */
static void become_keeper(int pid, int ready)
{
	char number[16];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	/* Once more, so that nobody has to wait for it. */
	setsid();
	if (fork())
		_exit(0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(number, sizeof(number), "%d", pid);
	if (null < 0 || chdir("/") || dup2(null, STDIN_FILENO) < 0 || dup2(ready, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		_exit(126);
	syscall(SYS_close_range, 3u, ~0u, 0);
	execl("/proc/self/exe", "sidetrack", "patch", "watch", "-p", number, (char *)NULL);
	_exit(127);
}

int st_later_start(struct st_session *s, char err[ST_ERR_MAX])
{
	int pid = (int)st_proc_pid(st_session_proc(s)), ready[2];
	struct pollfd fd;
	char byte;
	pid_t child;
	bool came;

	if (st_later_keeper(s) || !st_later_needed(s))
		return 0;
	if (pipe2(ready, O_CLOEXEC))
		return st_patch_fail(err, -errno, "can't make a pipe: %s", strerror(errno));
	child = fork();
	if (!child)
		become_keeper(pid, ready[1]);
	close(ready[1]);
	if (child < 0) {
		close(ready[0]);
		return st_patch_fail(err, -errno, "can't start a keeper for process %d: %s", pid, strerror(errno));
	}
	waitpid(child, NULL, 0);
	fd = (struct pollfd){ .fd = ready[0], .events = POLLIN };
	came = poll(&fd, 1, START_MS) == 1 && read(ready[0], &byte, 1) == 1;
	close(ready[0]);
	if (!came && !st_later_keeper(s))
		return st_patch_fail(err, -ECHILD, "the keeper of process %d does not start: what it loads later stays unpatched until "
						   "'sidetrack patch watch -p %d' runs", pid, pid);
	return 1;
}

/* ---- being one ---- */

struct keeper {
	struct st_session *s;
	struct st_mailbox box;
	struct st_objects *known;	/* at the last look */
	struct st_patch_options options;
	const struct st_later_options *o;
	unsigned int again_ms, waited_ms;	/* a part could not be put in place: how long until the next try */
	char said[ST_ERR_MAX];
};

/* Once, until there is something else to say. */
static void say(struct keeper *k, const char *sentence)
{
	if (!strcmp(k->said, sentence))
		return;
	snprintf(k->said, sizeof(k->said), "%s", sentence);
	k->o->say(k->o->ctx, sentence);
}

/* Parts are put in place, or wait again. @told: a thread waits for the answer, with what it has loaded, so nobody has been in that. */
static void look(struct keeper *k, bool told)
{
	char err[ST_ERR_MAX] = "";
	struct st_objects *now;
	bool fresh;
	int ret;

	/* Whatever comes of it: the next look is as long away as was said. */
	k->waited_ms = 0;
	if (st_objects_read(st_session_proc(k->s), &now, NULL))
		return;
	if (st_objects_loading(now)) {
		st_objects_free(now);
		return;
	}
	fresh = told && !st_mailbox_late(&k->box) && !any_part(k->s, now, is_late, k->known);
	/* Others are to be waited for, and one of them may be the one that waits for us. */
	if (told && !fresh)
		st_mailbox_answer(&k->box);
	ret = st_patch_arrived(k->s, fresh, &k->options, err);
	if (ret < 0 && st_session_there(k->s))
		say(k, err);
	st_mailbox_hooks(&k->box, now, k->known);
	st_objects_free(k->known);
	k->known = now;
	if (any_part(k->s, now, is_late, NULL))
		k->again_ms = !k->again_ms ? LOOK_MS : k->again_ms < AGAIN_MAX_MS ? 2 * k->again_ms : AGAIN_MAX_MS;
	else
		k->again_ms = 0;
}

/* There is a letter: it may be only that the loader has begun. */
static void read_letter(struct keeper *k)
{
	uint32_t number = k->box.mail->answered;

	if (!st_mailbox_read(&k->box))
		return;
	st_mailbox_busy(&k->box, true);
	look(k, true);
	if (k->box.mail->answered == number)
		st_mailbox_answer(&k->box);
	st_mailbox_busy(&k->box, false);
}

/* Until there is a letter, or for a time. */
static void wait_for_letter(struct keeper *k, unsigned int ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };
	struct st_ctl_mail *mail = k->box.mail;

	syscall(SYS_futex, &mail->asked, FUTEX_WAIT, __atomic_load_n(&mail->answered, __ATOMIC_ACQUIRE), &ts, NULL, 0);
}

static void keep(struct keeper *k)
{
	struct st_ctl *ctl = st_session_ctl(k->s);
	unsigned int since = 0;

	while (!k->o->stop(k->o->ctx)) {
		unsigned int ms = k->box.watched && !ctl->no_syscalls ? TICK_MS : LOOK_MS;

		if (st_mailbox_full(&k->box)) {
			read_letter(k);
			continue;
		}
		if (k->again_ms && k->again_ms - k->waited_ms < ms)
			ms = k->again_ms - k->waited_ms;
		wait_for_letter(k, ms);
		if (st_mailbox_full(&k->box))
			continue;
		since += ms;
		k->waited_ms += ms;
		if (k->again_ms ? k->waited_ms >= k->again_ms : !k->box.watched || ctl->no_syscalls)
			look(k, false);
		if (since < TICK_MS)
			continue;
		since = 0;
		if (!st_session_there(k->s) || !st_later_needed(k->s))
			return;
	}
}

/* Only one. */
static int take_office(struct keeper *k, int pid, char *err)
{
	int ret = st_session_lock(k->s), other;

	if (ret)
		return st_patch_fail(err, ret, "%s", st_session_error(k->s));
	other = st_later_keeper(k->s);
	ret = other ? st_patch_fail(err, -EEXIST, "process %d has a keeper already: process %d", pid, other) : st_mailbox_reap(k->s);
	if (ret && !other)
		st_patch_fail(err, ret, "what a dead sidetrack left can't be removed: %s", st_session_error(k->s));
	ret = ret ?: st_objects_read(st_session_proc(k->s), &k->known, err) ?:
	      st_mailbox_take(&k->box, k->s, k->known, ST_MAILBOX_OBJECTS, err);
	if (!ret)
		k->box.mail->keeps = 1;
	st_session_unlock(k->s);
	return ret;
}

static void begin(struct keeper *k, const struct st_later_options *o)
{
	k->o = o;
	k->options = (struct st_patch_options){
		.size = sizeof(k->options), .timeout_ms = ST_PATCH_TIMEOUT_MS, .level = ST_PATCH_LEVEL_OWN, .stop = o->stop, .say = o->say,
		.ctx = o->ctx,
	};
}

/* What is in office does its work. */
static void serve(struct keeper *k)
{
	if (k->o->ready)
		k->o->ready(k->o->ctx);
	keep(k);
	if (st_session_there(k->s))
		st_mailbox_release(&k->box);
	st_objects_free(k->known);
}

int st_later_keep(int pid, const struct st_later_options *o, char err[ST_ERR_MAX])
{
	struct keeper k = { 0 };
	int ret = st_session_open(pid, false, &k.s, err);

	if (ret)
		return ret;
	begin(&k, o);
	ret = take_office(&k, pid, err);
	if (!ret) {
		look(&k, false);
		serve(&k);
	} else {
		st_objects_free(k.known);
	}
	st_session_close(k.s);
	return ret;
}

void st_later_go_on(struct st_session *s, struct st_mailbox *box, bool told, const struct st_later_options *o)
{
	struct keeper k = { .s = s, .box = *box };

	begin(&k, o);
	box->mail->keeps = 1;
	if (st_objects_read(st_session_proc(s), &k.known, NULL))
		k.known = NULL;
	if (told)
		st_mailbox_answer(&k.box);
	serve(&k);
	*box = k.box;
}
