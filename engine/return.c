/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pending returns: kept at a function's entry, found again when it returns. See return.h.
 *
 * The list of a thread grows and shrinks at its end, with four rules that make it fit for signal handlers and for threads that
 * change stacks:
 *
 *	a place is free if its key is 0, and whatever `top` says, only a free one is taken;
 *	a place is taken (its key is ST_PENDING_TAKEN) before it is filled, and its own key is set last;
 *	a return is found by its key, wherever it stands;
 *	what belongs to a stack that another thread runs on now is found in the lists of the others.
 *
 * A handler comes and goes between two instructions and leaves the list as it was, or longer: with returns that will not come
 * (it was left by longjmp), or that come later (it was left by swapcontext).
 *
 * General registers only, no libc, no lock; on the straight way no system call (tests/engine/hotpath checks the object code).
 */
#include <stdbool.h>
#include <engine/return.h>
#include <engine/signal_frame.h>
#include <engine/syscall.h>
#include <engine/thread.h>
#if defined(__x86_64__)
#include <engine/arch/x86_64/frame.h>
#endif

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define barrier() __asm__ volatile("" ::: "memory")

/* Returns pending for one key, by tail calls: a state machine that never returns must not fill the list. */
#define TAILS_MAX 16
/* Bytes below a key in which its return address is looked for. */
#define FRAME_MAX (64ul << 10)
/* Misses between two searches for what is dead, at least and at most. */
#define SEARCH_MIN 64
#define SEARCH_MAX 65536
#define PAGE 4096ul

struct st_pending st_returns[ST_THREADS][ST_PENDING_MAX];
struct st_pending *st_returns_list;

_Static_assert(offsetof(struct st_pending, key) == ST_PENDING_KEY, "unwind.c");
_Static_assert(offsetof(struct st_pending, addr) == ST_PENDING_ADDR, "unwind.c");
_Static_assert(offsetof(struct st_pending, ret) == ST_PENDING_RET, "unwind.c");
_Static_assert(offsetof(struct st_pending, low) == ST_PENDING_LOW, "unwind.c");
_Static_assert(offsetof(struct st_pending, data) == ST_PENDING_DATA, "unwind.c");
_Static_assert(sizeof(struct st_pending) == ST_PENDING_SIZE, "unwind.c");
_Static_assert(offsetof(struct st_return, after) == ST_RETURN_AFTER, "return.S");
_Static_assert(offsetof(struct st_return, end) == ST_RETURN_END, "return.S");
_Static_assert(offsetof(struct st_return, site) == ST_RETURN_SITE, "return.S");
_Static_assert(offsetof(struct st_return, hooks) == ST_RETURN_HOOKS, "return.S");

static __attribute__((noinline, cold)) void count(unsigned long *n)
{
	__atomic_fetch_add(n, 1, __ATOMIC_RELAXED);
}

static struct st_pending *list_of(const struct st_slot *t)
{
	return st_returns[t - st_threads];
}

/* The place is free, and stays so over a handler that comes before the first store. */
static inline void fill(struct st_pending *e, unsigned long key, unsigned long addr, unsigned long low, struct st_return *ret,
			void *data)
{
	e->key = ST_PENDING_TAKEN;
	barrier();
	e->addr = addr;
	e->ret = ret;
	e->low = low;
	e->data = data;
	barrier();
	e->key = key;
}

static void drop(struct st_pending *e)
{
	struct st_return *ret = e->ret;
	void *data = e->data;

	e->key = 0;
	barrier();
	if (ret->end)
		ret->end(ret, data);
}

static inline struct st_pending *newest(struct st_pending *r)
{
	return (struct st_pending *)((char *)r + r->top);
}

static inline void set_newest(struct st_pending *r, const struct st_pending *e)
{
	r->top = (unsigned long)((const char *)e - (const char *)r);
}

static inline void shrink(struct st_pending *r)
{
	const struct st_pending *e = newest(r);

	while (e > r && !e->key)
		e--;
	set_newest(r, e);
}

/* ---- the slow part of the entry ---- */

static bool is_listed(const struct st_pending *r)
{
	for (const struct st_pending *p = __atomic_load_n(&st_returns_list, __ATOMIC_ACQUIRE); p; p = p->next)
		if (p == r)
			return true;
	return false;
}

/* Nothing leaves the list. What a handler that comes in between does, only its own thread's header, is seen. */
static void enlist(struct st_pending *r)
{
	struct st_pending *first;

	do {
		first = __atomic_load_n(&st_returns_list, __ATOMIC_ACQUIRE);
		if (is_listed(r))
			break;
		r->next = first;
	} while (!__atomic_compare_exchange_n(&st_returns_list, &first, r, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	r->low = ~0ul;
}

/* Reads memory that may not be there, as st_read_safely() does, many times over. */
struct reader {
	int pipe[2];
	bool open;
};

static bool read_word(struct reader *reader, void *to, unsigned long from, unsigned long len)
{
	return reader->open && st_syscall3(__NR_write, reader->pipe[1], from, len) == (long)len &&
	       st_syscall3(__NR_read, reader->pipe[0], to, len) == (long)len;
}

#if defined(__x86_64__)
/* Is the return address, or our `after` in its place, gone from where it was? Then nobody returns by it. */
static bool is_dead(const struct st_pending *e, const struct st_regs *regs, struct reader *reader)
{
	unsigned long word;

	if ((e->key ^ regs->sp) < PAGE)
		word = *(const unsigned long *)e->key;
	else if (!reader || !read_word(reader, &word, e->key, sizeof(word)))
		return false;
	return word != e->ret->after && word != e->addr;
}

/* Its place holds the return address of another call. */
static bool is_gone(const struct st_pending *e, const struct st_regs *regs)
{
	(void)e;
	(void)regs;
	return true;
}
#else
#define BLOCK 512

static bool mentions(const unsigned long *word, unsigned long n, unsigned long after)
{
	for (unsigned long i = 0; i < n; i++)
#if defined(__aarch64__)
		if (!((word[i] ^ after) << 16))		/* whatever its signature is */
#else
		if (word[i] == after)
#endif
			return true;
	return false;
}

/*
 * Who returns to `after` has it in a register, or keeps it in its frame below the key. A frame that can't be read, or is larger
 * than we look, is taken to have it.
 */
static bool is_dead(const struct st_pending *e, const struct st_regs *regs, struct reader *reader)
{
	unsigned long word[BLOCK / sizeof(long)];
	unsigned long from = e->key > FRAME_MAX ? e->key - FRAME_MAX : 0;

	if (mentions((const unsigned long *)regs, sizeof(*regs) / sizeof(long), e->ret->after))
		return false;
	for (unsigned long a = e->key & -sizeof(long); a >= from + BLOCK; a -= BLOCK) {
		if (!read_word(reader, word, a - BLOCK, BLOCK))
			return false;
		if (mentions(word, BLOCK / sizeof(long), e->ret->after))
			return false;
	}
	return true;
}

/*
 * A function that has another begin its frame where its own begins has nothing on the stack, and its return address in a register. Those
 * that were called in its tail go with it.
 */
static bool is_gone(const struct st_pending *e, const struct st_regs *regs)
{
	return !mentions((const unsigned long *)regs, sizeof(*regs) / sizeof(long), e->addr ? e->ret->after : e->tail);
}
#endif

/* Was its function called in the tail of @e's? */
static bool in_tail(const struct st_pending *e, const struct st_pending *p)
{
	return p->key == e->key && !p->addr && p->tail == e->ret->after;
}

/*
 * The list is full. Looking costs system calls, so it is not done at every miss: a recursion that is deeper than the list has nothing
 * dead in it.
 */
static void reclaim(struct st_pending *r, const struct st_regs *regs)
{
	unsigned long m = r->missed++;
	struct reader reader;

	if (st_no_syscalls || (m && (m < SEARCH_MIN || m & (m - 1)) && m % SEARCH_MAX))
		return;
	reader.open = !st_syscall2(__NR_pipe2, reader.pipe, 0);
	for (unsigned long i = 1; i < ST_PENDING_MAX; i++) {
		if (r[i].key <= ST_PENDING_TAKEN || !r[i].addr || !is_dead(&r[i], regs, &reader))
			continue;
		for (unsigned long k = 1; k < ST_PENDING_MAX; k++)
			if (in_tail(&r[i], &r[k]))
				drop(&r[k]);
		drop(&r[i]);
		r->missed = 0;
	}
	if (reader.open) {
		st_syscall1(__NR_close, reader.pipe[0]);
		st_syscall1(__NR_close, reader.pipe[1]);
	}
	shrink(r);
}

/* A free place: above all others, or else the highest. NULL: none. */
static struct st_pending *free_place(struct st_pending *r)
{
	struct st_pending *e = newest(r) + 1;

	if (e < r + ST_PENDING_MAX && !e->key)
		return e;
	for (e = r + ST_PENDING_MAX - 1; e > r && e->key; e--)
		;
	return e > r ? e : NULL;
}

/* *@tail, false before, becomes true if the return address is already `after` of a function that is pending for this key. */
static bool push(struct st_pending *r, unsigned long key, unsigned long addr, struct st_return *ret, void *data,
		 const struct st_regs *regs, bool *tail)
{
	struct st_pending *e;
	unsigned int same = 0;
	unsigned long low;

	if (!r->low)
		enlist(r);
	for (unsigned long i = 1; i < ST_PENDING_MAX; i++) {
		if (r[i].key != key)
			continue;
		same++;
		if (r[i].addr && r[i].ret->after == addr)
			*tail = true;
	}
	if (*tail && same >= TAILS_MAX)
		return false;
	/* Mostly those of the same key were left: their functions' frames begin where this one's does. */
	for (unsigned long i = 1; !*tail && same && i < ST_PENDING_MAX; i++)
		if (r[i].key == key && is_gone(&r[i], regs))
			drop(&r[i]);
#if defined(__x86_64__)
	/* So were those above it in the list, as far as that can be seen at once. */
	for (e = newest(r); e > r && e->key > ST_PENDING_TAKEN && e->key < key && (e->key ^ key) < PAGE; e--) {
		if (!e->addr || !is_dead(e, regs, NULL))
			break;
		drop(e);
	}
#endif
	shrink(r);
	e = free_place(r);
	if (!e) {
		reclaim(r, regs);
		e = free_place(r);
	}
	/* Those of one key have to stand in order, for find_in(). */
	for (struct st_pending *p = r + ST_PENDING_MAX - 1; e && !*tail && p > e; p--)
		if (p->key == key)
			e = NULL;
	if (!e)
		return false;
	low = e[-1].low < key ? e[-1].low : key;
	for (struct st_pending *p = newest(r); p > e; p--)
		if (p->low > low)
			p->low = low;
	fill(e, key, *tail ? 0 : addr, low, ret, data);
	if (*tail)
		e->tail = addr;
	if (e > newest(r))
		set_newest(r, e);
	return true;
}

/* ---- the entry ---- */

/* The function will return to `after`. */
static inline void divert(struct st_regs *regs, struct st_return *ret)
{
#if defined(__x86_64__)
	/* Below sp at an entry nothing is live; `path` calls what it finds there. */
	((unsigned long *)regs->sp)[-2] = regs->ip == ret->site->func ? ret->site->resume : regs->ip;
	regs->ip = ret->path;
#elif defined(__aarch64__)
	regs->regs[30] = ret->after;
#else
	regs->lr = ret->after;
#endif
}

/* Has a hook made another stack of it? x86-64: then it is not where the stub goes on. */
static inline bool moved(const struct st_regs *regs)
{
#if defined(__x86_64__)
	return regs->sp != (unsigned long)regs + ST_FRAME + ST_RED_ZONE;
#else
	(void)regs;
	return false;
#endif
}

static __attribute__((noinline)) void enter_slowly(struct st_hook *hook, struct st_regs *regs, unsigned long ip,
						   unsigned long parent_ip)
{
	struct st_return *ret = hook->data;
	struct st_slot *t = st_thread_self();
	void *data = NULL;
	bool tail = false;

	if (!t || moved(regs)) {
		count(&ret->missed);
		return;
	}
	if (ret->begin) {
		data = ret->begin(ret, regs, ip, parent_ip);
		if (!data)
			return;
	}
	if (!push(list_of(t), st_regs_sp(regs), parent_ip, ret, data, regs, &tail)) {
		count(&ret->missed);
		if (ret->end)
			ret->end(ret, data);
	} else if (!tail) {
		divert(regs, ret);
	}
}

/* Mostly the key is lower than all that are pending, so none of them has it, and there is room above them. */
void st_return_enter(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	struct st_return *ret = hook->data;
	unsigned long tp = st_thread_pointer(), key = st_regs_sp(regs);
	struct st_slot *t = &st_threads[st_thread_hash(tp)];
	struct st_pending *r = list_of(t), *e = newest(r) + 1;

	if (unlikely(t->tp != tp || ret->begin || moved(regs) || key >= e[-1].low ||
		     r->top >= (ST_PENDING_MAX - 1) * sizeof(*e) || e->key)) {
		enter_slowly(hook, regs, ip, parent_ip);
		return;
	}
	fill(e, key, parent_ip, key, ret, NULL);
	set_newest(r, e);
	divert(regs, ret);
}

/* ---- the return ---- */

/* With a return address of its own, the newest of the key. @after: of this function; 0: of any. */
static struct st_pending *find_in(struct st_pending *r, unsigned long key, unsigned long after)
{
	for (unsigned long i = ST_PENDING_MAX - 1; i; i--)
		if (r[i].key == key && r[i].addr && (!after || r[i].ret->after == after))
			return &r[i];
	return NULL;
}

static struct st_pending *find_for(struct st_pending *own, unsigned long key, unsigned long after)
{
	struct st_pending *e = own ? find_in(own, key, after) : NULL;

	for (struct st_pending *r = __atomic_load_n(&st_returns_list, __ATOMIC_ACQUIRE); r && !e; r = r->next)
		if (r != own)
			e = find_in(r, key, after);
	return e;
}

#if defined(__x86_64__)
/*
 * A function that takes its arguments from the stack as it returns ("ret n"): the highest key below whose word is what was returned to.
 * What lies between is the function's own arguments. Beyond the red zone the word may be lost.
 */
static struct st_pending *find_below(unsigned long sp)
{
	unsigned long from = sp - 65536 - 8, to = sp - 8;

	for (;;) {
		struct st_pending *best = NULL;

		for (struct st_pending *r = __atomic_load_n(&st_returns_list, __ATOMIC_ACQUIRE); r; r = r->next)
			for (unsigned long i = ST_PENDING_MAX - 1; i; i--)
				if (r[i].key >= from && r[i].key < to && r[i].addr && (!best || r[i].key > best->key))
					best = &r[i];
		if (!best || best->key < sp - ST_RED_ZONE || *(const unsigned long *)best->key == best->ret->after)
			return best;
		to = best->key;
	}
}
#endif

static __attribute__((noinline)) struct st_pending *find_slowly(struct st_pending *own, const struct st_regs *regs)
{
	struct st_pending *e;

#if defined(__x86_64__)
	e = find_for(own, regs->sp - 8, *(const unsigned long *)(regs->sp - 8));
	if (!e)
		e = find_below(regs->sp);
#else
	/* If lr says which function it was, so much the better. */
#if defined(__aarch64__)
	unsigned long lr = regs->regs[30];
#else
	unsigned long lr = regs->lr;
#endif

	e = find_for(own, regs->sp, lr);
	if (!e)
		e = find_for(own, regs->sp, 0);
#endif
	/* Somebody copied a return address. There is nowhere to go. */
	if (!e)
		__builtin_trap();
	return e;
}

/*
 * In all the ways that st_dispatch_vector() knows: a thread in a hook, a thread with no slot yet, hooks that use vector registers. What
 * it does may take system calls, which may change vector state (st_arch_syscalls_harm()).
 */
static __attribute__((noinline)) void run_slowly(struct st_return *ret, struct st_regs *regs)
{
	struct st_site site;	/* no initialiser: that may be a call of memset() */

	site.func = ret->site->func;
	site.ip = ret->site->ip;
	site.flags = ST_SITE_RETURN;
	site.hooks = (void *)&ret->hooks;
	site.missed = 0;
	st_dispatch_vector(&site, regs);
	if (site.missed)
		count(&ret->missed);
}

static inline void set_pc(struct st_regs *regs, unsigned long addr)
{
	st_regs_set_pc(regs, addr);
#if defined(__x86_64__)
	/* In the place of `after`: from here on the stack says the truth, to us when we leave and to unwinders before that. */
	*(unsigned long *)(regs->sp - 8) = addr;
#elif defined(__aarch64__)
	regs->regs[30] = addr;
#else
	regs->lr = addr;
#endif
}

static inline void run_hooks(struct st_slot *t, struct st_return *ret, struct st_regs *regs, unsigned long addr)
{
	struct st_hook **h;
	unsigned long list;

	if (unlikely(!t || t->busy)) {
		run_slowly(ret, regs);
		return;
	}
	t->busy = (unsigned long)regs;
	barrier();
	list = (unsigned long)*(struct st_hook_list *volatile *)&ret->hooks;
	if (unlikely(list & ST_HOOKS_MASK)) {
		t->busy = 0;
		run_slowly(ret, regs);
		return;
	}
	for (h = ((struct st_hook_list *)list)->hook; *h; h++)
		(*h)->func(*h, regs, ret->site->ip, addr);
	barrier();
	__atomic_store_n(&t->busy, 0, __ATOMIC_RELEASE);
}

/* The hooks of one pending return, which is free from then on. */
static inline void finish(struct st_slot *t, struct st_pending *e, struct st_regs *regs, unsigned long addr)
{
	struct st_return *ret = e->ret;
	void *data = e->data;

	*(void **)(regs + 1) = data;
	barrier();
	e->key = 0;
	barrier();
	run_hooks(t, ret, regs, addr);
	if (unlikely(ret->end != NULL))
		ret->end(ret, data);
}

/* It is not the newest of this thread, or other functions were called in its function's tail: their hooks run first. */
static __attribute__((noinline)) unsigned long run_tails(struct st_slot *t, struct st_pending *own, struct st_regs *regs)
{
	struct st_pending *e = find_slowly(own, regs), *r = st_returns[(e - st_returns[0]) / ST_PENDING_MAX];
	unsigned long addr = e->addr;

	set_pc(regs, addr);
	for (unsigned long i = ST_PENDING_MAX - 1; i; i--)
		if (in_tail(e, &r[i]))
			finish(t, &r[i], regs, addr);
	finish(t, e, regs, addr);
	if (own)
		shrink(own);
	return addr;
}

/* x86-64: only what return.S does not do itself. */
unsigned long st_return_run(struct st_regs *regs)
{
	struct st_slot *t = st_thread_known();
	struct st_pending *own = t ? list_of(t) : NULL, *e;
	unsigned long addr;

	if (unlikely(!own))
		return run_tails(t, own, regs);
	e = newest(own);
#if defined(__x86_64__)
	if (unlikely(e->key != regs->sp - 8 || !e->addr || e->ret->after != *(unsigned long *)(regs->sp - 8)))
#else
	if (unlikely(e->key != regs->sp || !e->addr))
#endif
		return run_tails(t, own, regs);
	addr = e->addr;
	set_pc(regs, addr);
	finish(t, e, regs, addr);
	shrink(own);
	return addr;
}
