/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Probes and return probes of this process: include/sidetrack/probe.h. Each is a hook of hook.c at one place; a disabled one is
 * a hook that is not registered.
 *
 * The instances of a return probe lie in a pool of their own. A call that is pending when its return probe goes still has some: the
 * pool is freed when a later call finds that all have come back.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <engine/hook.h>
#include <engine/probe.h>

#define MAXACTIVE_MAX (1u << 20)

static struct pool *orphans;	/* pools whose return probe is gone */

static int __attribute__((format(printf, 3, 4))) fail(struct st_probed *p, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->reason, sizeof(p->reason), fmt, ap);
	va_end(ap);
	return err;
}

static struct st_probed *get_priv(void **priv)
{
	struct st_probed *p = *priv;

	if (!p) {
		p = *priv = calloc(1, sizeof(*p));
		if (!p)
			return NULL;
	}
	p->reason[0] = 0;
	return p;
}

/* ---- instances ---- */

static struct pool *new_pool(struct st_return_probe *rp)
{
	unsigned long count = rp->maxactive ?: ST_RETURN_MAXACTIVE;
	unsigned long data = (rp->data_size + 15) & ~15ul;
	unsigned long stride = ((sizeof(struct instance) + 15) & ~15ul) + data;
	struct pool *pool = calloc(1, sizeof(*pool) + count * stride);

	if (!pool)
		return NULL;
	pool->count = count;
	pool->stride = stride;
	pool->data_size = data;
	for (unsigned long i = 0; i < count; i++) {
		struct instance *one = (struct instance *)(pool->memory + i * stride);

		one->pool = pool;
		one->index = i;
		one->pub.rp = rp;
		one->pub.data = data ? (unsigned char *)one + stride - data : NULL;
	}
	return pool;
}

/* Nobody takes one any more. */
static bool in_use(struct pool *pool)
{
	for (unsigned long i = 0; i < pool->count; i++)
		if (__atomic_load_n(&((struct instance *)(pool->memory + i * pool->stride))->used, __ATOMIC_ACQUIRE))
			return true;
	return false;
}

static void free_orphans(void)
{
	struct pool *all = __atomic_exchange_n(&orphans, NULL, __ATOMIC_ACQUIRE), *next;

	for (; all; all = next) {
		next = all->next;
		if (!in_use(all)) {
			free(all);
			continue;
		}
		all->next = __atomic_load_n(&orphans, __ATOMIC_RELAXED);
		while (!__atomic_compare_exchange_n(&orphans, &all->next, all, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			;
	}
}

static void leave_pool(struct pool *pool)
{
	if (!pool)
		return;
	pool->next = __atomic_load_n(&orphans, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&orphans, &pool->next, pool, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	free_orphans();
}

/* ---- what both kinds do ---- */

/* The hook of a place, ready to be registered. */
static int prepare(struct st_probed *p, const char *symbol, const void *addr, size_t offset, unsigned int flags)
{
	unsigned long at = (unsigned long)addr;
	size_t size = 0;
	int ret = 0;

	st_hook_drop(&p->hook);
	p->hook = (struct st_hook){
		.size = sizeof(p->hook), .func = st_probe_hit, .data = p,
		.flags = (flags & ST_PROBE_GENERAL_REGS ? ST_HOOK_GENERAL_REGS : 0) |
			 (flags & ST_PROBE_IPMODIFY ? ST_HOOK_IPMODIFY : 0) |
			 (flags & ST_PROBE_NO_BREAKPOINT ? 0 : ST_HOOK_BREAKPOINT),
	};
	if (!symbol == !addr)
		return fail(p, -EINVAL, "either symbol or addr says where it is");
	if (symbol)
		ret = st_hook_find(&p->hook, symbol, &at, &size);
	if (!ret && symbol && offset >= size)
		return fail(p, -EINVAL, "%s has %zu bytes only", symbol, size);
#if defined(__arm__)
	if (!ret && offset & 1)
		return fail(p, -ENOTSUP, "no instruction has an odd address");
#endif
	if (!ret)
		ret = st_hook_filter_at(&p->hook, (const void *)((at & ~(unsigned long)(sizeof(long) == 4)) + offset));
	return ret ? fail(p, ret, "%s", st_hook_reason(&p->hook)) : 0;
}

/* Registers the hooks of those that are to be enabled, all or none. */
static int enable(struct st_probed **p, size_t n)
{
	struct st_hook **hook = malloc((n + 1) * sizeof(*hook));
	int ret = -ENOMEM;

	if (hook) {
		for (size_t i = 0; i < n; i++)
			hook[i] = &p[i]->hook;
		ret = n ? st_hooks_register(hook, n) : 0;
	}
	free(hook);
	for (size_t i = 0; i < n; i++) {
		if (ret)
			fail(p[i], ret, "%s", hook ? st_hook_reason(&p[i]->hook) : "out of memory");
		p[i]->enabled = !ret;
		p[i]->site_missed = st_hook_returns_missed(&p[i]->hook);
	}
	return ret;
}

static int disable(struct st_probed **p, size_t n)
{
	struct st_hook **hook = malloc((n + 1) * sizeof(*hook));
	int ret = -ENOMEM;

	if (hook) {
		for (size_t i = 0; i < n; i++)
			hook[i] = &p[i]->hook;
		ret = n ? st_hooks_unregister(hook, n) : 0;
	}
	free(hook);
	for (size_t i = 0; i < n; i++) {
		if (ret)
			fail(p[i], ret, "%s", hook ? st_hook_reason(&p[i]->hook) : "out of memory");
		else
			p[i]->enabled = false;
	}
	return ret;
}

/* The hook has counted since it was registered. */
static void collect_missed(struct st_probed *p, unsigned long *nmissed)
{
	unsigned long site;

	__atomic_fetch_add(nmissed, __atomic_exchange_n(&p->hook.missed, 0, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
	if (!p->enabled)
		return;
	site = st_hook_returns_missed(&p->hook);
	__atomic_fetch_add(nmissed, site - p->site_missed, __ATOMIC_RELAXED);
	p->site_missed = site;
}

static const char *reason(const void *priv)
{
	return priv ? ((const struct st_probed *)priv)->reason : "";
}

static const char *kind(const void *priv)
{
	const struct st_probed *p = priv;

	return p && p->enabled ? st_hook_kind(&p->hook) : "";
}

static void forget(void **priv)
{
	struct st_probed *p = *priv;

	st_hook_drop(&p->hook);
	leave_pool(p->pool);
	free(p);
	*priv = NULL;
}

/* ---- probes ---- */

static int prepare_probe(struct st_probe *probe)
{
	struct st_probed *p = get_priv(&probe->priv);
	int ret;

	if (!p)
		return -ENOMEM;
	if (p->registered && p->enabled)
		return fail(p, -EBUSY, "the probe is registered");
	if (probe->size < sizeof(*probe) || !probe->handler)
		return fail(p, -EINVAL, "the probe's size or handler is not set");
	ret = prepare(p, probe->symbol, probe->addr, probe->offset, probe->flags);
	p->probe = probe;
	return ret ?: st_hook_calls(&p->hook, (const void *)probe->handler, NULL);
}

int st_probes_register(struct st_probe *const *probes, size_t n)
{
	struct st_probed **list = malloc((n + 1) * sizeof(*list));
	size_t done, on = 0;
	int ret = list ? 0 : -ENOMEM;

	for (done = 0; done < n && !ret; done++) {
		struct st_probed *p = probes[done]->priv;

		if (p && p->registered)
			ret = fail(p, -EBUSY, "the probe is registered");
		else
			ret = prepare_probe(probes[done]);
		if (ret)
			break;
		p = probes[done]->priv;
		p->registered = true;	/* so that nobody is there twice */
		probes[done]->nmissed = 0;
		if (!(probes[done]->flags & ST_PROBE_DISABLED))
			list[on++] = p;
	}
	if (!ret)
		ret = enable(list, on);
	for (size_t i = 0; ret && i < done; i++)
		((struct st_probed *)probes[i]->priv)->registered = false;
	free(list);
	return ret;
}

int st_probe_register(struct st_probe *probe)
{
	return st_probes_register(&probe, 1);
}

int st_probes_unregister(struct st_probe *const *probes, size_t n)
{
	struct st_probed **list = malloc((n + 1) * sizeof(*list));
	size_t on = 0;
	int ret = list ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && !ret; i++) {
		struct st_probed *p = probes[i]->priv;

		if (!p || !p->registered)
			ret = -EINVAL;
		else if (p->enabled)
			list[on++] = p;
	}
	for (size_t i = 0; i < n && !ret; i++)
		st_probe_missed(probes[i]);
	if (!ret)
		ret = disable(list, on);
	for (size_t i = 0; i < n && !ret; i++) {
		st_probe_missed(probes[i]);
		forget(&probes[i]->priv);
	}
	free(list);
	return ret;
}

int st_probe_unregister(struct st_probe *probe)
{
	return st_probes_unregister(&probe, 1);
}

int st_probe_disable(struct st_probe *probe)
{
	struct st_probed *p = probe->priv;
	int ret = 0;

	if (!p || !p->registered)
		return -EINVAL;
	if (p->enabled)
		ret = disable(&p, 1);
	if (!ret)
		st_probe_missed(probe);
	return ret;
}

int st_probe_enable(struct st_probe *probe)
{
	struct st_probed *p = probe->priv;
	int ret;

	if (!p || !p->registered)
		return -EINVAL;
	if (p->enabled)
		return 0;
	ret = prepare_probe(probe);
	return ret ?: enable(&p, 1);
}

unsigned long st_probe_missed(struct st_probe *probe)
{
	if (probe->priv)
		collect_missed(probe->priv, &probe->nmissed);
	return __atomic_load_n(&probe->nmissed, __ATOMIC_RELAXED);
}

const char *st_probe_kind(const struct st_probe *probe)
{
	return kind(probe->priv);
}

const char *st_probe_reason(const struct st_probe *probe)
{
	return reason(probe->priv);
}

/* ---- return probes ---- */

static int prepare_return(struct st_return_probe *rp)
{
	struct st_probed *p = get_priv(&rp->priv);
	bool plain;
	int ret;

	if (!p)
		return -ENOMEM;
	if (rp->size < sizeof(*rp) || !rp->handler || rp->maxactive > MAXACTIVE_MAX || rp->data_size > MAXACTIVE_MAX)
		return fail(p, -EINVAL, "the return probe's size or handler is not set, or it wants too many or too large instances");
	if (rp->flags & ST_PROBE_IPMODIFY)
		return fail(p, -EINVAL, "a return probe can't change pc");
	ret = prepare(p, rp->symbol, rp->addr, 0, rp->flags);
	if (ret)
		return ret;
	p->rp = rp;
	/* Without anything to keep for a call the engine's own list of pending returns is enough. */
	plain = !rp->entry_handler && !rp->data_size && !rp->maxactive;
	if (!p->pool && !plain)
		p->pool = new_pool(rp);
	if (!p->pool && !plain)
		return fail(p, -ENOMEM, "out of memory");
	p->hook.func = st_return_probe_hit;
	ret = plain ? st_hook_on_return(&p->hook, NULL, NULL) :
		      st_hook_on_return(&p->hook, st_return_probe_begin, st_return_probe_end);
	return ret ?: st_hook_calls(&p->hook, (const void *)rp->handler, (const void *)rp->entry_handler);
}

int st_return_probes_register(struct st_return_probe *const *rps, size_t n)
{
	struct st_probed **list = malloc((n + 1) * sizeof(*list));
	size_t done, on = 0;
	int ret = list ? 0 : -ENOMEM;

	free_orphans();
	for (done = 0; done < n && !ret; done++) {
		struct st_probed *p = rps[done]->priv;

		if (p && p->registered) {
			ret = fail(p, -EBUSY, "the return probe is registered");
			break;
		}
		/* It may want other instances than the last time. */
		if (p) {
			leave_pool(p->pool);
			p->pool = NULL;
		}
		ret = prepare_return(rps[done]);
		if (ret)
			break;
		p = rps[done]->priv;
		p->registered = true;
		rps[done]->nmissed = 0;
		if (!(rps[done]->flags & ST_PROBE_DISABLED))
			list[on++] = p;
	}
	if (!ret)
		ret = enable(list, on);
	for (size_t i = 0; ret && i < done; i++)
		((struct st_probed *)rps[i]->priv)->registered = false;
	free(list);
	return ret;
}

int st_return_probe_register(struct st_return_probe *rp)
{
	return st_return_probes_register(&rp, 1);
}

int st_return_probes_unregister(struct st_return_probe *const *rps, size_t n)
{
	struct st_probed **list = malloc((n + 1) * sizeof(*list));
	size_t on = 0;
	int ret = list ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && !ret; i++) {
		struct st_probed *p = rps[i]->priv;

		if (!p || !p->registered)
			ret = -EINVAL;
		else if (p->enabled)
			list[on++] = p;
	}
	for (size_t i = 0; i < n && !ret; i++)
		st_return_probe_missed(rps[i]);
	if (!ret)
		ret = disable(list, on);
	for (size_t i = 0; i < n && !ret; i++) {
		st_return_probe_missed(rps[i]);
		forget(&rps[i]->priv);
	}
	free(list);
	return ret;
}

int st_return_probe_unregister(struct st_return_probe *rp)
{
	return st_return_probes_unregister(&rp, 1);
}

int st_return_probe_disable(struct st_return_probe *rp)
{
	struct st_probed *p = rp->priv;

	if (!p || !p->registered)
		return -EINVAL;
	if (!p->enabled)
		return 0;
	st_return_probe_missed(rp);
	return disable(&p, 1);
}

int st_return_probe_enable(struct st_return_probe *rp)
{
	struct st_probed *p = rp->priv;
	int ret;

	if (!p || !p->registered)
		return -EINVAL;
	if (p->enabled)
		return 0;
	ret = prepare_return(rp);
	return ret ?: enable(&p, 1);
}

unsigned long st_return_probe_missed(struct st_return_probe *rp)
{
	if (rp->priv)
		collect_missed(rp->priv, &rp->nmissed);
	return __atomic_load_n(&rp->nmissed, __ATOMIC_RELAXED);
}

const char *st_return_probe_kind(const struct st_return_probe *rp)
{
	return kind(rp->priv);
}

const char *st_return_probe_reason(const struct st_return_probe *rp)
{
	return reason(rp->priv);
}
