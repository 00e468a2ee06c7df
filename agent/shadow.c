// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Shadow variables (sidetrack/patch.h): a hash table without locks. Called by patches, from any thread and any signal handler, so: general
 * registers only, no libc, no system call (the process may be under seccomp), no thread-local storage.
 *
 * A bucket is a list of slots. It only grows: a slot that was given back is taken again for another variable of the same bucket, so a
 * list can be walked at any time. A slot's state says what it is, and has a number that changes with it: who reads the key and then finds
 * the state as it was has read a key that belongs to it.
 *
 *	FREE	-> TAKEN	by whoever finds it; the key is written
 *	TAKEN	-> CLAIM	its owner wants the key, and looks at all other slots of the bucket:
 *				CLAIM with the same key: it becomes ABORTED; BUSY or LIVE: there is one already, so back to TAKEN
 *	CLAIM	-> BUSY		nobody has aborted it: the key is its owner's, who runs the constructor
 *	BUSY	-> LIVE		can be found
 *	LIVE	-> BUSY		who frees it runs the destructor
 *	TAKEN, BUSY, ABORTED -> FREE
 *
 * At most one slot is BUSY or LIVE for a key. Say A and B both came from CLAIM to BUSY. B has looked at A's slot after B's last claim
 * began. Had A's last claim begun before that, B would have seen it, and aborted it or given way. So it began afterwards; and the other way
 * round B's began after A had looked at B's slot, which was after A's began: each is before the other. (Claims and looks are
 * sequentially consistent.)
 *
 * Who finds BUSY waits for the owner, who is in a constructor or destructor; but not for itself (a signal handler), and for a bounded
 * time, so that circles of waiting signal handlers, and owners that a fork has not brought along, end. Nothing else waits.
 */
#include <agent/shadow.h>
#include <engine/thread.h>
#include <stdbool.h>
#include <stddef.h>

struct st_shadow_slot {
	uint64_t state;
	unsigned long obj, id, data;
	unsigned long class;		/* of data */
	struct st_shadow_slot *next;	/* never changes */
};

struct st_shadow_area *st_shadow_area;

enum { FREE, TAKEN, CLAIM, ABORTED, BUSY, LIVE };

/* state: its number, 24 bits of its owner, one of those */
#define WHAT	0xf
#define OWNER	(0xffffffull << 4)
#define NUMBER	(1ull << 28)

#if defined(__x86_64__)
#define WAIT (1u << 22)		/* PAUSE takes up to 140 cycles */
static inline void relax(void)
{
	__asm__ volatile("pause");
}
#else
#define WAIT (1u << 27)
static inline void relax(void)
{
	__asm__ volatile("yield");
}
#endif

static uint64_t me(void)
{
	return (uint64_t)((uint32_t)(st_thread_pointer() >> 3) * 0x9e3779b1u) >> 8 << 4;
}

static uint64_t next_state(uint64_t was, unsigned int what)
{
	return (was & ~(NUMBER - 1)) + NUMBER + me() + what;
}

static bool change(struct st_shadow_slot *s, uint64_t was, unsigned int what)
{
	return __atomic_compare_exchange_n(&s->state, &was, next_state(was, what), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* By its owner, who alone changes it now, or with somebody who aborts its claim. */
static uint64_t set(struct st_shadow_slot *s, unsigned int what)
{
	uint64_t state = next_state(__atomic_load_n(&s->state, __ATOMIC_RELAXED), what);

	__atomic_store_n(&s->state, state, __ATOMIC_SEQ_CST);
	return state;
}

/* ---- memory ---- */

static unsigned int class_of(unsigned long size)
{
	return size <= 16 ? 4 : sizeof(long) * 8 - (unsigned int)__builtin_clzl(size - 1);
}

static void *take_free(struct st_shadow_area *area, unsigned int class)
{
	uint64_t head = __atomic_load_n(&area->free[class], __ATOMIC_ACQUIRE), next;
	uint32_t *piece;

	do {
		if (!(uint32_t)head)
			return NULL;
		piece = (uint32_t *)((char *)area + (unsigned long)(uint32_t)head * 16);
		/* Whatever this reads if another thread has just taken the piece: then the head has changed. */
		next = ((head >> 32) + 1) << 32 | __atomic_load_n(piece, __ATOMIC_RELAXED);
	} while (!__atomic_compare_exchange_n(&area->free[class], &head, next, true, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE));
	return piece;
}

static void give(struct st_shadow_area *area, void *data, unsigned int class)
{
	uint64_t head = __atomic_load_n(&area->free[class], __ATOMIC_RELAXED), next;

	do {
		__atomic_store_n((uint32_t *)data, (uint32_t)head, __ATOMIC_RELAXED);
		next = ((head >> 32) + 1) << 32 | (uint32_t)((unsigned long)((char *)data - (char *)area) / 16);
	} while (!__atomic_compare_exchange_n(&area->free[class], &head, next, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

/* 2^*class bytes, all 0. A larger piece if need be. NULL: there is no more memory. */
static void *take(struct st_shadow_area *area, unsigned int *class)
{
	unsigned long *data = take_free(area, *class);
	uint64_t used, size = 1ull << *class;

	if (!data) {
		used = __atomic_load_n(&area->used, __ATOMIC_RELAXED);
		while (size <= area->size && used <= area->size - size)
			if (__atomic_compare_exchange_n(&area->used, &used, used + size, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
				return (char *)area + used;	/* never touched before */
	}
	for (unsigned int c = *class + 1; !data && c < ST_SHADOW_CLASSES && (1ull << c) < area->size; c++) {
		data = take_free(area, c);
		*class = data ? c : *class;
	}
	for (unsigned long i = 0; data && i < (1ul << *class) / sizeof(long); i++)
		data[i] = 0;
	return data;
}

/* ---- the table ---- */

static struct st_shadow_slot **bucket_of(struct st_shadow_area *area, unsigned long obj, unsigned long id)
{
	uint32_t h = (uint32_t)((obj >> 4) ^ (obj >> 20)) * 0x85ebca6bu ^ (uint32_t)id;

	return &area->bucket[(uint32_t)((h ^ h >> 15) * 0x9e3779b1u) >> (32 - area->bits)];
}

/* Is this slot for this key, and one of the states from @least on? *state: as it was. */
static bool is(struct st_shadow_slot *s, unsigned long obj, unsigned long id, unsigned int least, uint64_t *state, unsigned long *data)
{
	uint64_t before = __atomic_load_n(&s->state, __ATOMIC_SEQ_CST), after;
	bool same;

	for (;; before = after) {
		if ((before & WHAT) < least || (before & WHAT) == ABORTED)
			return false;
		same = __atomic_load_n(&s->obj, __ATOMIC_RELAXED) == obj && __atomic_load_n(&s->id, __ATOMIC_RELAXED) == id;
		*data = __atomic_load_n(&s->data, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);	/* with write_key() */
		after = __atomic_load_n(&s->state, __ATOMIC_SEQ_CST);
		if (before == after)
			break;
	}
	*state = before;
	return same;
}

static struct st_shadow_slot *find(struct st_shadow_slot **bucket, unsigned long obj, unsigned long id, uint64_t *state, unsigned long *data)
{
	struct st_shadow_slot *s = __atomic_load_n(bucket, __ATOMIC_SEQ_CST);

	while (s && !is(s, obj, id, BUSY, state, data))
		s = s->next;
	return s;
}

/* Until the owner of a BUSY slot is done. False: we don't wait for it, or have done so for too long. */
static bool wait(struct st_shadow_slot *s, uint64_t state)
{
	if ((state & OWNER) == me())
		return false;
	for (unsigned int i = 0; i < WAIT; i++) {
		if (__atomic_load_n(&s->state, __ATOMIC_RELAXED) != state)
			return true;
		relax();
	}
	return false;
}

static struct st_shadow_slot *take_slot(struct st_shadow_area *area, struct st_shadow_slot **bucket)
{
	struct st_shadow_slot *first = __atomic_load_n(bucket, __ATOMIC_ACQUIRE), *s;
	unsigned int class = class_of(sizeof(*s));

	for (s = first; s; s = s->next) {
		uint64_t state = __atomic_load_n(&s->state, __ATOMIC_RELAXED);

		if ((state & WHAT) == FREE && change(s, state, TAKEN))
			return s;
	}
	s = take(area, &class);
	if (!s)
		return NULL;
	set(s, TAKEN);
	do
		s->next = first;
	while (!__atomic_compare_exchange_n(bucket, &first, s, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE));
	return s;
}

static void write_key(struct st_shadow_slot *s, unsigned long obj, unsigned long id, unsigned long data, unsigned int class)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);	/* with is() */
	__atomic_store_n(&s->obj, obj, __ATOMIC_RELAXED);
	__atomic_store_n(&s->id, id, __ATOMIC_RELAXED);
	__atomic_store_n(&s->data, data, __ATOMIC_RELAXED);
	s->class = class;
}

/* From TAKEN to BUSY. False: another has the key, or may have it; the slot is TAKEN again. */
static bool claim(struct st_shadow_slot **bucket, struct st_shadow_slot *mine)
{
	uint64_t claimed = set(mine, CLAIM), state;
	unsigned long data;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (struct st_shadow_slot *s = __atomic_load_n(bucket, __ATOMIC_SEQ_CST); s; s = s->next) {
		while (s != mine && is(s, mine->obj, mine->id, CLAIM, &state, &data)) {
			if ((state & WHAT) != CLAIM)
				goto lost;
			if (change(s, state, ABORTED))
				break;
		}
	}
	if (change(mine, claimed, BUSY))
		return true;
lost:
	set(mine, TAKEN);
	return false;
}

/*
 * These two are all of the agent that calls out of it, and have names and frames of their own for that: who detaches looks for return
 * addresses in them (process/shadow.c).
 */
void *st_shadow_create(unsigned long obj, unsigned long id, unsigned long size, st_shadow_ctor ctor, void *ctor_data, bool get)
	__attribute__((noipa, visibility("hidden")));
void st_shadow_destroy(struct st_shadow_area *area, struct st_shadow_slot *s, st_shadow_dtor dtor)
	__attribute__((noipa, visibility("hidden")));

void *st_shadow_create(unsigned long obj, unsigned long id, unsigned long size, st_shadow_ctor ctor, void *ctor_data, bool get)
{
	struct st_shadow_area *area = __atomic_load_n(&st_shadow_area, __ATOMIC_ACQUIRE);
	struct st_shadow_slot **bucket, *mine = NULL, *s;
	unsigned int class = class_of(size);
	void *data = NULL, *found = NULL;
	unsigned long there;
	uint64_t state;
	bool ours = false;

	if (!area || size > area->size)
		return NULL;
	bucket = bucket_of(area, obj, id);
	for (unsigned int tries = 1; !ours; tries++) {
		s = find(bucket, obj, id, &state, &there);
		if (s && (state & WHAT) == LIVE) {
			found = get ? (void *)there : NULL;
			break;
		}
		if (s && !wait(s, state))
			break;
		if (s)
			continue;
		if (!data) {
			data = take(area, &class);
			mine = data ? take_slot(area, bucket) : NULL;
			if (!mine)
				break;
			write_key(mine, obj, id, (unsigned long)data, class);
		}
		ours = claim(bucket, mine);
		/* Two that abort each other's claims: each waits for a time of its own. */
		for (unsigned int i = 0; !ours && i < (tries & 63) * (1 + (me() >> 4 & 15)); i++)
			relax();
	}
	if (ours && (!ctor || !ctor((void *)obj, data, ctor_data))) {
		set(mine, LIVE);
		return data;
	}
	if (data)
		give(area, data, class);
	if (mine)
		set(mine, FREE);
	return found;
}

void st_shadow_destroy(struct st_shadow_area *area, struct st_shadow_slot *s, st_shadow_dtor dtor)
{
	if (dtor)
		dtor((void *)s->obj, (void *)s->data);
	give(area, (void *)s->data, (unsigned int)s->class);
	set(s, FREE);
}

void *st_shadow_get(void *obj, unsigned long id)
{
	struct st_shadow_area *area = __atomic_load_n(&st_shadow_area, __ATOMIC_ACQUIRE);
	unsigned long data;
	uint64_t state;

	if (!area || !find(bucket_of(area, (unsigned long)obj, id), (unsigned long)obj, id, &state, &data))
		return NULL;
	return (state & WHAT) == LIVE ? (void *)data : NULL;
}

void *st_shadow_alloc(void *obj, unsigned long id, unsigned long size, st_shadow_ctor ctor, void *ctor_data)
{
	return st_shadow_create((unsigned long)obj, id, size, ctor, ctor_data, false);
}

void *st_shadow_get_or_alloc(void *obj, unsigned long id, unsigned long size, st_shadow_ctor ctor, void *ctor_data)
{
	return st_shadow_create((unsigned long)obj, id, size, ctor, ctor_data, true);
}

void st_shadow_free(void *obj, unsigned long id, st_shadow_dtor dtor)
{
	struct st_shadow_area *area = __atomic_load_n(&st_shadow_area, __ATOMIC_ACQUIRE);
	struct st_shadow_slot **bucket, *s;
	unsigned long data;
	uint64_t state;

	if (!area)
		return;
	bucket = bucket_of(area, (unsigned long)obj, id);
	while ((s = find(bucket, (unsigned long)obj, id, &state, &data))) {
		if ((state & WHAT) == BUSY && !wait(s, state))
			return;
		if ((state & WHAT) == LIVE && change(s, state, BUSY)) {
			st_shadow_destroy(area, s, dtor);
			return;
		}
	}
}

void st_shadow_free_all(unsigned long id, st_shadow_dtor dtor)
{
	struct st_shadow_area *area = __atomic_load_n(&st_shadow_area, __ATOMIC_ACQUIRE);

	for (unsigned long i = 0; area && i < 1ul << area->bits; i++) {
		for (struct st_shadow_slot *s = __atomic_load_n(&area->bucket[i], __ATOMIC_ACQUIRE); s; s = s->next) {
			uint64_t state = __atomic_load_n(&s->state, __ATOMIC_ACQUIRE);

			/* The id belongs to that state if it can be changed. */
			if ((state & WHAT) == LIVE && __atomic_load_n(&s->id, __ATOMIC_RELAXED) == id && change(s, state, BUSY))
				st_shadow_destroy(area, s, dtor);
		}
	}
}
