/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What runs at a hit of a probe or return probe (include/sidetrack/probe.h): between the engine and the handlers of the program.
 *
 * General registers only, no libc, no lock: the handlers may be the only ones that use anything else, and then the engine has
 * saved it. An instance is taken and given back by one word of its own, so a signal handler may come in between anywhere.
 */
#include <engine/probe.h>

static void count(unsigned long *n)
{
	__atomic_fetch_add(n, 1, __ATOMIC_RELAXED);
}

void st_probe_hit(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	struct st_probe *p = ((struct st_probed *)hook->data)->probe;

	(void)ip;
	(void)parent_ip;
	p->handler(p, regs);
}

static struct instance *at(struct pool *pool, unsigned long i)
{
	return (struct instance *)(pool->memory + i * pool->stride);
}

static struct instance *take(struct pool *pool)
{
	unsigned long i = __atomic_load_n(&pool->hint, __ATOMIC_RELAXED);

	if (__atomic_load_n(&pool->taken, __ATOMIC_RELAXED) >= pool->count)
		return NULL;
	for (unsigned long n = 0; n < pool->count; n++, i++) {
		struct instance *one;
		unsigned long none = 0;

		if (i >= pool->count)
			i = 0;
		one = at(pool, i);
		if (__atomic_load_n(&one->used, __ATOMIC_RELAXED) ||
		    !__atomic_compare_exchange_n(&one->used, &none, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue;
		__atomic_fetch_add(&pool->taken, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&pool->hint, i + 1, __ATOMIC_RELAXED);
		return one;
	}
	return NULL;
}

/* The last thing that is done with a pool whose return probe is gone may be this. */
static void give_back(struct instance *one)
{
	struct pool *pool = one->pool;

	__atomic_store_n(&pool->hint, (unsigned long)((unsigned char *)one - pool->memory) / pool->stride, __ATOMIC_RELAXED);
	__atomic_store_n(&one->used, 0, __ATOMIC_RELEASE);
	__atomic_fetch_sub(&pool->taken, 1, __ATOMIC_RELEASE);
}

/* The instances of one call; NULL: nobody wants its return. */
void *st_return_probe_begin(struct st_return *ret, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	unsigned long list = (unsigned long)*(struct st_hook_list *volatile *)&ret->hooks;
	struct instance *first = NULL;

	(void)ip;
	for (struct st_hook **h = ((struct st_hook_list *)(list & ~(unsigned long)ST_HOOKS_MASK))->hook; *h; h++) {
		struct st_probed *p = (*h)->data;
		struct instance *one = take(p->pool);

		if (!one) {
			count(&p->rp->nmissed);
			continue;
		}
		one->pub.ret_addr = parent_ip;
		for (unsigned long i = 0; i < p->pool->data_size; i += sizeof(long))
			*(volatile long *)((unsigned char *)one->pub.data + i) = 0;
		if (p->rp->entry_handler && p->rp->entry_handler(&one->pub, regs)) {
			give_back(one);
			continue;
		}
		one->next = first;
		first = one;
	}
	return first;
}

void st_return_probe_end(struct st_return *ret, void *data)
{
	(void)ret;
	for (struct instance *one = data, *next; one; one = next) {
		next = one->next;
		give_back(one);
	}
}

void st_return_probe_hit(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	struct st_probed *p = hook->data;

	(void)ip;
	/* In a tail call the caller's return address was not in its place at the entry. */
	for (struct instance *one = st_return_data(regs); one; one = one->next) {
		if (one->pool != p->pool)
			continue;
		one->pub.ret_addr = parent_ip;
		p->rp->handler(&one->pub, regs);
	}
}
