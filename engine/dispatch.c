/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hot path in C: run the hooks of a site.
 *
 * General registers only; no libc, lock, allocation or system call (tests/engine/hotpath checks the object code). What is
 * rare, a hit while the thread is in a hook already, is behind one branch.
 */
#include <engine/site.h>
#include <engine/signal_frame.h>
#include <engine/syscall.h>
#include <engine/thread.h>

/* Contexts on top of the first; with it as many as the kernel's ftrace knows. */
#define DEPTH_MAX 3

static inline unsigned long parent_of(const struct st_site *site, const struct st_regs *regs)
{
	if (__builtin_expect(site->flags & ST_SITE_RETURN, 0))
		return st_regs_pc(regs);
#if defined(__x86_64__)
	return *(const unsigned long *)regs->sp;
#elif defined(__aarch64__)
	return regs->regs[30];
#else
	return regs->lr;
#endif
}

static __attribute__((noinline, cold)) void count(unsigned long *n)
{
	__atomic_fetch_add(n, 1, __ATOMIC_RELAXED);
}

/*
 * Published with release; a data dependency orders the reads of what it points to on every architecture. NULL: the list
 * is one for st_dispatch_vector(), and @saved says that this is not it.
 */
static inline struct st_hook **hooks_of(struct st_site *site, bool saved)
{
	unsigned long list = (unsigned long)*(struct st_hook_list *volatile *)&site->hooks;

	if (__builtin_expect(site->flags & ST_SITE_RETURN, 0))
		list = *(volatile unsigned long *)list;
	if (__builtin_expect(!saved && (list & ST_HOOKS_MASK), 0))
		return NULL;
	return ((struct st_hook_list *)(list & ~(unsigned long)ST_HOOKS_MASK))->hook;
}

static inline void call(struct st_slot *t, struct st_hook *h, struct st_site *site, struct st_regs *regs)
{
	int saved;

	if (h->flags & ST_HOOK_GENERAL_REGS || !t->err) {
		h->func(h, regs, site->ip, parent_of(site, regs));
	} else {
		saved = *t->err;
		h->func(h, regs, site->ip, parent_of(site, regs));
		*t->err = saved;
	}
}

/*
 * The thread is in a hook. Is this that hook running into a hooked function, or a signal handler that came on top? The
 * latter is a context of its own, and its frame lies between us and the hook.
 */
static __attribute__((noinline)) bool nested(struct st_slot *t, struct st_site *site, struct st_regs *regs, bool saved)
{
	unsigned long outer = t->depth ? t->inner : t->busy;
	unsigned long now = (unsigned long)regs;
	struct st_hook **h = hooks_of(site, saved);
	int tid = st_thread_id();
	bool fresh, left;

	if (!h)
		return false;
	/*
	 * The hook that was running was left: by longjmp or an exception, if nothing on the stack belongs to it; or its thread
	 * ended in it, and this is another that was given the same thread pointer.
	 */
	left = tid != t->tid || st_frame_left(now, outer);
	if (left) {
		t->tid = tid;
		fresh = true;
		t->depth = 0;
		t->busy = now;
	} else {
		fresh = t->depth < DEPTH_MAX && st_signal_frame_between(now, outer);
		t->depth++;
		t->inner = now;
	}
	__asm__ volatile("" ::: "memory");
	for (; *h; h++) {
		if (fresh || ((*h)->flags & ST_HOOK_RECURSE))
			call(t, *h, site, regs);
		else
			count(&(*h)->missed);
	}
	__asm__ volatile("" ::: "memory");
	if (left) {
		__atomic_store_n(&t->busy, 0, __ATOMIC_RELEASE);
	} else {
		t->depth--;
		t->inner = outer;
	}
	return true;
}

/*
 * Ordering against st_threads_wait(): busy is stored before site->hooks is read, with no barrier but the compiler's. The
 * waiter changes the list, then runs membarrier() on every core, then reads busy. So either it sees busy and waits, or
 * this thread's store comes after the membarrier and its read of the list sees the new one.
 */
static inline bool dispatch(struct st_site *site, struct st_regs *regs, bool saved)
{
	struct st_slot *t = st_thread_self();
	struct st_hook **h;

	if (__builtin_expect(!t, 0)) {
		count(&site->missed);
		return true;
	}
	if (__builtin_expect(t->busy != 0, 0))
		return nested(t, site, regs, saved);
	t->busy = (unsigned long)regs;
	__asm__ volatile("" ::: "memory");
	h = hooks_of(site, saved);
	for (; __builtin_expect(h != NULL, 1) && *h; h++)
		call(t, *h, site, regs);
	__asm__ volatile("" ::: "memory");
	__atomic_store_n(&t->busy, 0, __ATOMIC_RELEASE);
	return h != NULL;
}

void st_dispatch(struct st_site *site, struct st_regs *regs)
{
	dispatch(site, regs, true);
}

void st_dispatch_general(struct st_site *site, struct st_regs *regs)
{
	if (__builtin_expect(!dispatch(site, regs, false), 0))
		st_dispatch_vector(site, regs);
}

#if defined(__aarch64__)
/*
 * For a site whose function is replaced: behind the hooks the thread goes on at site->resume, which is not in the stub. st_entry
 * returns into the stub, so it is told by a changed pc; that costs x17, as a veneer does.
 */
void st_dispatch_redirect(struct st_site *site, struct st_regs *regs)
{
	if (site->flags & ST_SITE_GENERAL)
		st_dispatch(site, regs);
	else
		st_dispatch_vector(site, regs);
	if (regs->pc == site->func)
		regs->pc = site->resume;
}
#endif
