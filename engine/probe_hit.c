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

	for (unsigned long n = 0; n < pool->count; n++, i++) {
		struct instance *one;
		unsigned long none = 0;

		if (i >= pool->count)
			i = 0;
		one = at(pool, i);
		if (__atomic_load_n(&one->used, __ATOMIC_RELAXED) ||
		    !__atomic_compare_exchange_n(&one->used, &none, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue;
		__atomic_store_n(&pool->hint, i + 1, __ATOMIC_RELAXED);
		return one;
	}
	return NULL;
}

/* What is done last may be the last that is done with a pool whose return probe is gone. */
static void give_back(struct instance *one)
{
	__atomic_store_n(&one->pool->hint, one->index, __ATOMIC_RELAXED);
	__atomic_store_n(&one->used, 0, __ATOMIC_RELEASE);
}

/* Of a call that has no instance, and whose return is wanted by a return probe that needs none. */
static struct instance nobody;

/* The instances of one call; NULL: nobody wants its return. */
void *st_return_probe_begin(struct st_return *ret, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	unsigned long list = (unsigned long)*(struct st_hook_list *volatile *)&ret->hooks;
	struct instance *first = NULL;
	bool plain = false;

	(void)ip;
	for (struct st_hook **h = ((struct st_hook_list *)(list & ~(unsigned long)ST_HOOKS_MASK))->hook; *h; h++) {
		struct st_probed *p = (*h)->data;
		struct instance *one;

		if (!p->pool) {
			plain = true;
			continue;
		}
		one = take(p->pool);
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
	return first ?: plain ? &nobody : NULL;
}

void st_return_probe_end(struct st_return *ret, void *data)
{
	(void)ret;
	for (struct instance *one = data, *next; one && one != &nobody; one = next) {
		next = one->next;
		give_back(one);
	}
}

void st_return_probe_hit(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	struct st_probed *p = hook->data;

	(void)ip;
	if (!p->pool) {
		struct st_return_instance plain = { .rp = p->rp, .ret_addr = parent_ip };

		p->rp->handler(&plain, regs);
		return;
	}
	/* In a tail call the caller's return address was not in its place at the entry. */
	for (struct instance *one = st_return_data(regs); one; one = one->next) {
		if (one->pool != p->pool)
			continue;
		one->pub.ret_addr = parent_ip;
		p->rp->handler(&one->pub, regs);
	}
}
