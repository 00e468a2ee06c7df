/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SIGTRAP of a process that has breakpoints of ours: the agent's handler (agent/breakpoint.c) is put in while there are any, and
 * the program's own action back afterwards.
 *
 * The rule: a breakpoint that a thread runs into while it blocks SIGTRAP kills the process. So there is none where that is known
 * to happen: in the C library, which blocks all signals in places (around clone(), in the child of posix_spawn()). Elsewhere it is
 * not blocked while there are breakpoints: masks of threads and of the program's handlers go without it, and what the program
 * asks of the C library later is kept from blocking it. What it asks the kernel directly is not seen (docs/limits.md).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <agent/breakpoint.h>
#include <process/session_internal.h>

#ifndef PTRACE_GETSIGMASK
#define PTRACE_GETSIGMASK 0x420a
#define PTRACE_SETSIGMASK 0x420b
#endif

#define TRAP_BIT (1ull << (SIGTRAP - 1))
#define TRIES 50
/* Tries after which a thread that blocks SIGTRAP is not in one of the C library's short ways. */
#define PATIENCE 10
/* The C library's sigaction() goes on in a function of its own next to it. */
#define NEAR 1024

/* ctl->internal */
enum { HOOK_SIGACTION, HOOK_SIGMASK };

static const char *const signal_functions[][3] = {
	[HOOK_SIGACTION] = { "sigaction", "__sigaction" },
	[HOOK_SIGMASK] = { "pthread_sigmask", "sigprocmask", "__sigprocmask" },
};

static bool is_c_library(const struct st_object *o)
{
	static const char *const names[] = { "libc.so", "libc-2.", "libpthread", "ld-linux", "ld-musl", "libc.musl", "ld-2." };

	if (o->flags & ST_OBJECT_INTERP)
		return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strncmp(o->name, names[i], strlen(names[i])))
			return true;
	return false;
}

const char *st_object_no_breakpoints(const struct st_objects *objs, const struct st_object *o)
{
	bool loader = false;

	if (o->flags & ST_OBJECT_VDSO)
		return "only a breakpoint fits, and it is the kernel's code";
	if (is_c_library(o))
		return "only a breakpoint fits, and the C library blocks all signals in places, where one would end the process";
	for (size_t i = 0; i < objs->n; i++)
		loader = loader || (objs->object[i].flags & ST_OBJECT_INTERP);
	if (objs->proc && !loader)
		return "only a breakpoint fits, and the program has its C library in it, which blocks all signals in places, where one would end the process";
	return NULL;
}

const char *st_traps_refuse(struct st_session *s, unsigned long addr)
{
	struct st_objects *objs;
	const struct st_object *o;

	if (st_session_objects(s, &objs))
		return "its object can't be read";
	o = st_objects_find(objs, addr);
	return o ? st_object_no_breakpoints(objs, o) : "only a breakpoint fits, and whose code it is is not known";
}

/* ---- looking at threads, all of them stopped */

struct status {
	uint64_t pending, blocked, caught;
	long seccomp;
};

static bool read_status(struct st_session *s, pid_t tid, struct status *st)
{
	static const char *const key[] = { "SigPnd:", "SigBlk:", "SigCgt:" };
	uint64_t *const to[] = { &st->pending, &st->blocked, &st->caught };
	char path[64], line[256];
	FILE *f;

	memset(st, 0, sizeof(*st));
	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", s->pid, (int)tid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		for (size_t i = 0; i < 3; i++)
			if (!strncmp(line, key[i], strlen(key[i])))
				*to[i] = strtoull(line + strlen(key[i]), NULL, 16);
		if (!strncmp(line, "Seccomp:", 8))
			st->seccomp = strtol(line + 8, NULL, 10);
	}
	fclose(f);
	return true;
}

static int get_action(struct st_remote *r, unsigned long buf, int sig, struct st_action *a)
{
	const unsigned long args[6] = { (unsigned long)sig, 0, buf, 8 };
	long got;
	int ret = st_remote_syscall(r, &got, SYS_rt_sigaction, args);

	if (ret || got)
		return ret ? ret : (int)got;
	return st_mem_read(st_stop_proc(st_remote_stop(r)), buf, a, sizeof(*a));
}

static int set_action(struct st_remote *r, unsigned long buf, int sig, const struct st_action *a)
{
	const unsigned long args[6] = { (unsigned long)sig, buf, 0, 8 };
	long got;
	int ret = st_mem_write(st_stop_proc(st_remote_stop(r)), buf, a, sizeof(*a)) ?:
		  st_remote_syscall(r, &got, SYS_rt_sigaction, args);

	return ret ? ret : (int)got;
}

static int fail(struct st_session *s, int ret)
{
	return st_session_fail(s, ret, "the process's signal actions can't be changed: %s", strerror(-ret));
}

/* ---- in */

/* Is it in a signal handler? When that returns, the mask is the one from before. Not known is yes. */
static bool in_handler(struct st_session *s, struct st_thread *thread)
{
	struct st_range *code;
	struct st_maps *maps;
	struct st_regs regs;
	unsigned long pc;
	bool yes = true;
	size_t n = 0;

	if (st_thread_regs(thread, &regs) || st_maps_read(s->proc, &maps, NULL))
		return true;
	pc = st_regs_pc(&regs);
	code = calloc(2 * maps->n + 1, sizeof(*code));
	for (size_t i = 0; code && i < maps->n; i++) {
		const struct st_map *map = &maps->map[i];

		if (!(map->prot & PROT_EXEC))
			continue;
		/* All but where it stands itself. */
		if (pc >= map->start && pc < map->end) {
			code[n++] = (struct st_range){ map->start, pc };
			code[n++] = (struct st_range){ pc + 1, map->end };
		} else {
			code[n++] = (struct st_range){ map->start, map->end };
		}
	}
	if (code)
		yes = st_scan_interrupted(thread, code, n, NULL) != 0;
	free(code);
	st_maps_free(maps);
	return yes;
}

/*
 * One thread that has blocked SIGTRAP for longer than the C library ever does is let take it, until the breakpoints are gone: some
 * libraries have threads that block everything. Not if it blocks it for the length of a system call only (ppoll): a handler that
 * comes meanwhile runs with that mask.
 */
static bool let_take(struct st_session *s, struct st_thread *thread)
{
	pid_t tid = st_thread_tid(thread);
	uint64_t mask, less;

	if (in_handler(s, thread) || ptrace(PTRACE_GETSIGMASK, tid, sizeof(mask), &mask) || !(mask & TRAP_BIT))
		return false;
	for (int i = 0; i < ST_MASKED_MAX; i++) {
		struct st_ctl_mask *m = &s->ctl->masked[i];

		if (m->tid && m->tid != (uint32_t)tid)
			continue;
		less = mask & ~TRAP_BIT;
		m->mask = mask;
		__atomic_store_n(&m->tid, (uint32_t)tid, __ATOMIC_RELEASE);
		return !ptrace(PTRACE_SETSIGMASK, tid, sizeof(less), &less);
	}
	return false;
}

/* Back to what it was, unless the thread has changed it. */
static void restore_masks(struct st_session *s, struct st_stop *stop)
{
	for (int i = 0; i < ST_MASKED_MAX; i++) {
		struct st_ctl_mask *m = &s->ctl->masked[i];
		uint64_t mask, was = m->mask;

		for (size_t k = 0; m->tid && k < st_stop_count(stop); k++)
			if (st_thread_tid(st_stop_thread(stop, k)) == (pid_t)m->tid &&
			    !ptrace(PTRACE_GETSIGMASK, m->tid, sizeof(mask), &mask) && mask == (was & ~TRAP_BIT))
				ptrace(PTRACE_SETSIGMASK, m->tid, sizeof(was), &was);
		m->tid = 0;
	}
}

/* Does a thread block SIGTRAP? s->no_traps says so. Before one is borrowed, which blocks everything. */
static void look_at_masks(struct st_session *s, struct st_stop *stop, bool patient, uint64_t *caught)
{
	struct status st;

	for (size_t i = 0; i < st_stop_count(stop) && !s->no_traps; i++) {
		pid_t tid = st_thread_tid(st_stop_thread(stop, i));

		if (!read_status(s, tid, &st))
			continue;
		if ((st.blocked & TRAP_BIT) && (patient || !let_take(s, st_stop_thread(stop, i)))) {
			s->no_traps = "only a breakpoint fits, and a thread blocks SIGTRAP, under which one would end the process";
			s->traps_busy = true;
		}
		if (st.seccomp)
			s->no_traps = "only a breakpoint fits, and the process is under seccomp, which may forbid the return from a signal";
		*caught = st.caught;
	}
}

/* Handlers of the program that would block it do not any more. @mask: those that do already. */
static int change_handlers(struct st_session *s, struct st_remote *r, unsigned long buf, uint64_t caught, uint64_t *mask)
{
	struct st_action a;
	int ret = 0;

	for (int sig = 1; sig <= 64 && !ret; sig++) {
		if (!(caught >> (sig - 1) & 1) || sig == SIGTRAP)
			continue;
		ret = get_action(r, buf, sig, &a);
		if (ret || !(a.mask[0] & TRAP_BIT))
			continue;
		/* Noted first. */
		*mask |= 1ull << (sig - 1);
		a.mask[0] &= ~(unsigned long)TRAP_BIT;
		ret = st_mem_write(s->proc, s->ctl->trap_state + offsetof(struct st_trap, masks), mask, sizeof(*mask)) ?:
		      set_action(r, buf, sig, &a);
	}
	return ret ? fail(s, ret) : 0;
}

static int restore_handlers(struct st_remote *r, unsigned long buf, struct st_trap *trap)
{
	struct st_action a;
	int ret = 0;

	for (int sig = 1; sig <= 64 && !ret; sig++) {
		if (!(trap->masks >> (sig - 1) & 1))
			continue;
		ret = get_action(r, buf, sig, &a);
		a.mask[0] |= TRAP_BIT;
		if (!ret && a.handler > 1)
			ret = set_action(r, buf, sig, &a);
	}
	trap->masks = 0;
	return ret;
}

/*
 * What the C library gives the kernel with every action on x86-64, where its handlers return to: from an action that it has
 * installed, or by its bytes, which are the same everywhere, since unwinders know signal frames by them.
 */
static unsigned long find_restorer(struct st_session *s, struct st_remote *r, unsigned long buf, uint64_t caught)
{
#if defined(__x86_64__)
	static const uint8_t code[] = { 0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05 };
	struct st_objects *objs;
	struct st_action a;

	for (int sig = 1; sig <= 64; sig++)
		if (caught >> (sig - 1) & 1 && !get_action(r, buf, sig, &a) && a.flags & ST_SA_RESTORER &&
		    a.restorer != s->ctl->trap_restorer)
			return a.restorer;
	if (st_session_objects(s, &objs))
		return 0;
	for (size_t i = 0; i < objs->n; i++) {
		struct st_object *o = &objs->object[i];
		size_t ranges;
		const struct st_range *text = st_object_text(o, &ranges);

		for (size_t k = 0; k < ranges && !(o->flags & ST_OBJECT_VDSO); k++) {
			size_t len = text[k].hi - text[k].lo;
			uint8_t *copy = malloc(len + 1), *at = NULL;
			unsigned long found = 0;

			if (copy && !st_mem_read(s->proc, text[k].lo, copy, len))
				at = memmem(copy, len, code, sizeof(code));
			if (at)
				found = text[k].lo + (unsigned long)(at - copy);
			free(copy);
			if (found)
				return found;
		}
	}
#endif
	(void)s;
	(void)r;
	(void)buf;
	(void)caught;
	return 0;
}

static int put_in(struct st_session *s, struct st_remote *r, unsigned long buf, uint64_t caught)
{
	struct st_ctl *ctl = s->ctl;
	struct st_trap trap;
	struct st_action ours;
	struct st_action own;
	int ret = get_action(r, buf, SIGTRAP, &own) ?: st_mem_read(s->proc, ctl->trap_state, &trap, sizeof(trap));

	if (ret)
		return fail(s, ret);
	if (own.handler == ctl->trap_handler && trap.on)
		return change_handlers(s, r, buf, caught, &trap.masks);
	/* What a killed tool had put in is ours, and the program's is in the agent already. */
	if (own.handler == ctl->trap_handler)
		own = trap.action[trap.now & 1];
	trap.restorer = own.flags & ST_SA_RESTORER ? own.restorer : find_restorer(s, r, buf, caught);
	trap.now = 0;
	trap.action[0] = own;
	trap.on = 1;
	ours = st_trap_action(&own, ctl->trap_handler, ctl->trap_restorer);
	__atomic_store_n(&ctl->trapped, 1, __ATOMIC_RELEASE);
	/* The program's action is kept before it is replaced. */
	ret = st_mem_write(s->proc, ctl->trap_state, &trap, sizeof(trap)) ?: set_action(r, buf, SIGTRAP, &ours);
	return ret ? fail(s, ret) : change_handlers(s, r, buf, caught, &trap.masks);
}

/*
 * The functions of every object that has them: who calls one that another object has put in front calls that one. All or no
 * breakpoint: one that is not hooked would show the program our handler, or replace it, or block SIGTRAP.
 */
static int hook_signal_functions(struct st_session *s)
{
	const unsigned long func[] = { s->ctl->trap_sigaction, s->ctl->trap_sigmask };
	struct st_objects *objs;
	int ret = st_session_objects(s, &objs);

	for (unsigned int h = 0; h < 2 && !ret; h++) {
		struct st_fn *fn = calloc(objs->n * 3 + 1, sizeof(*fn));
		size_t n = 0;

		if (!fn)
			return st_session_fail(s, -ENOMEM, "out of memory");
		for (size_t i = 0; i < objs->n; i++) {
			for (size_t k = 0; k < 3 && signal_functions[h][k]; k++) {
				const struct st_func *f;
				struct st_symbol sym;

				if (objs->object[i].flags & ST_OBJECT_VDSO ||
				    st_object_symbol(&objs->object[i], signal_functions[h][k], NULL, &sym))
					continue;
				f = st_object_function_at(&objs->object[i], sym.addr);
				if (!f || f->addr != sym.addr || (n && fn[n - 1].addr == f->addr))
					continue;
				fn[n++] = (struct st_fn){ .addr = f->addr, .size = f->size, .room = f->room, .isa = f->isa,
							  .name = f->name };
			}
		}
		ret = st_session_hook_internal(s, h, func[h], fn, n);
		for (size_t i = 0; ret >= 0 && i < n; i++)
			if (fn[i].why)
				s->no_traps = "only a breakpoint fits, and the C library's sigaction() or sigprocmask() can't be hooked, "
					      "which must not undo its handler";
		if (ret > 0)
			ret = 0;
		free(fn);
	}
	return ret;
}

static bool in_agent(struct st_session *s, struct st_thread *thread)
{
	for (int i = 0; i < ST_REGIONS_MAX; i++) {
		const struct st_ctl_region *r = &s->ctl->region[i];
		struct st_range range = { r->start, r->start + r->size };

		if (r->kind == ST_REGION_AGENT && s->ctl->entry - r->start < r->size)
			return st_scan_interrupted(thread, &range, 1, NULL) != 0;
	}
	return false;
}

/* Is a thread in sigaction(), or on its way there past our hook, which does nothing yet? */
static bool somebody_asks(struct st_session *s, struct st_stop *stop)
{
	unsigned long hook = st_session_address(s, &s->ctl->internal[HOOK_SIGACTION]);
	uint32_t used = st_sites_used(s);

	for (uint32_t i = 0; i < used; i++) {
		const struct st_ctl_site *c = &s->ctl->site[i];
		const struct st_ctl_form *f = &c->form[ST_FORM_JUMP];
		struct st_range near[] = { { c->func - NEAR, c->func + NEAR }, { f->stub, f->stub + f->size } };
		struct st_range site = { st_session_address(s, &c->site), st_session_address(s, &c->site + 1) };

		if (st_site_list(c)[0] != hook)
			continue;
		/* There, in the site's stub, or in the agent on its behalf. */
		for (size_t k = 0; k < st_stop_count(stop); k++)
			if (st_scan_interrupted(st_stop_thread(stop, k), near, 2, NULL) ||
			    (in_agent(s, st_stop_thread(stop, k)) && st_scan(st_stop_thread(stop, k), &site, 1, NULL)))
				return true;
	}
	return false;
}

int st_traps_begin(struct st_session *s)
{
	struct st_remote *r = NULL;
	struct st_stop *stop;
	uint64_t caught = 0;
	unsigned long buf;
	int ret;

	if (s->traps_ready || s->no_traps)
		return 0;
	/* First, so that what the program asks for from now on is seen. */
	ret = hook_signal_functions(s);
	if (s->no_traps)
		return ret;
	for (int tries = 0; !ret && tries < TRIES; tries++) {
		if (tries)
			st_nap_ms(ST_BUSY_NAP_MS);
		s->no_traps = NULL;
		s->traps_busy = false;
		ret = st_stop(s->proc, 0, ST_STOP_MS, &stop, s->err);
		if (ret)
			break;
		look_at_masks(s, stop, tries < PATIENCE, &caught);
		if (!s->no_traps && somebody_asks(s, stop)) {
			s->no_traps = "only a breakpoint fits, and a thread is changing signal actions all the time";
			s->traps_busy = true;
		}
		if (!s->no_traps)
			ret = st_remote_begin(stop, NULL, &r, s->err);
		if (!ret && !s->no_traps) {
			buf = st_remote_buffer(r);
			ret = buf ? put_in(s, r, buf, caught) : fail(s, -ENOMEM);
			st_remote_end(r);
		}
		st_session_resume(s, stop);
		/* libc blocks signals for short times. */
		if (!s->traps_busy)
			break;
	}
	s->traps_ready = !ret && !s->no_traps;
	return ret;
}

/* ---- out */

/*
 * Is a thread whose mask was changed on its way through the handler? It takes the mask with it from before. The way ends in the agent,
 * or in what the kernel has for that.
 */
static bool somebody_returns(struct st_session *s, struct st_stop *stop)
{
	struct st_range way[8];
	struct st_maps *maps;
	bool found = false;
	size_t n = 0;

	if (st_maps_read(s->proc, &maps, NULL))
		return true;
	for (size_t i = 0; i < maps->n && n < sizeof(way) / sizeof(way[0]); i++) {
		const struct st_map *map = &maps->map[i];

		if (!strcmp(map->path, "[vdso]") || !strcmp(map->path, "[sigpage]") ||
		    (s->ctl->trap_handler >= map->start && s->ctl->trap_handler < map->end))
			way[n++] = (struct st_range){ map->start, map->end };
	}
	st_maps_free(maps);
	for (int i = 0; i < ST_MASKED_MAX && !found; i++)
		for (size_t k = 0; s->ctl->masked[i].tid && k < st_stop_count(stop) && !found; k++)
			found = st_thread_tid(st_stop_thread(stop, k)) == (pid_t)s->ctl->masked[i].tid &&
				st_scan_interrupted(st_stop_thread(stop, k), way, n, NULL);
	return found;
}

/* A thread that has run into a breakpoint and not come to the handler yet, or that is changing the action just now. */
static bool somebody_needs_it(struct st_session *s, struct st_stop *stop)
{
	struct st_trap trap;
	struct status st;

	for (size_t i = 0; i < st_stop_count(stop); i++)
		if (read_status(s, st_thread_tid(st_stop_thread(stop, i)), &st) && (st.pending & ~st.blocked & TRAP_BIT))
			return true;
	return st_mem_read(s->proc, s->ctl->trap_state, &trap, sizeof(trap)) || trap.changing || somebody_returns(s, stop);
}

static int take_out(struct st_session *s, struct st_remote *r)
{
	unsigned long buf = st_remote_buffer(r);
	struct st_trap trap;
	struct st_action is;
	int ret;

	if (!buf)
		return fail(s, -ENOMEM);
	ret = get_action(r, buf, SIGTRAP, &is) ?: st_mem_read(s->proc, s->ctl->trap_state, &trap, sizeof(trap));
	if (!ret && is.handler == s->ctl->trap_handler)
		ret = set_action(r, buf, SIGTRAP, &trap.action[trap.now & 1]);
	if (!ret)
		ret = restore_handlers(r, buf, &trap);
	trap.on = 0;
	return ret ? fail(s, ret) : st_mem_write(s->proc, s->ctl->trap_state, &trap, sizeof(trap));
}

static bool any_breakpoint(struct st_session *s)
{
	uint32_t used = st_sites_used(s);

	for (uint32_t i = 0; i < used; i++)
		if (st_site_live(&s->ctl->site[i]) && s->ctl->site[i].now == ST_FORM_BREAKPOINT)
			return true;
	return false;
}

int st_traps_end(struct st_session *s, bool leaving)
{
	struct st_remote *r = NULL;
	struct st_stop *stop;
	struct st_trap trap;
	bool done = false;
	int ret = 0;

	if (!s->ctl->trapped)
		return 0;
	if (!leaving && (any_breakpoint(s) || st_mem_read(s->proc, s->ctl->trap_state, &trap, sizeof(trap)) || !trap.on))
		return 0;
	for (int tries = 0; !ret && !done && tries < TRIES; tries++) {
		if (tries)
			st_nap_ms(ST_BUSY_NAP_MS);
		ret = st_stop(s->proc, 0, ST_STOP_MS, &stop, s->err);
		if (ret)
			break;
		if (!somebody_needs_it(s, stop)) {
			restore_masks(s, stop);
			ret = st_remote_begin(stop, NULL, &r, s->err);
			if (!ret) {
				ret = take_out(s, r);
				st_remote_end(r);
				done = !ret;
			}
		}
		st_session_resume(s, stop);
	}
	if (!ret && !done)
		ret = st_session_fail(s, -EBUSY, "a thread does not come out of a breakpoint");
	s->traps_ready = false;
	for (unsigned int h = 0; h < 2 && !ret; h++)
		ret = st_session_unhook_internal(s, h);
	return ret;
}
