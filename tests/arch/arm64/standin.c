// SPDX-License-Identifier: GPL-2.0-only
/*
 * In place of the engine, so that the architecture's code is tested alone: one hook on one function
 * of the torture, and nothing that the torture does not use.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/arch.h"
#include "engine/site.h"
#include "torture.h"

static struct st_site site;
static struct st_plan plan;
static struct st_hook *hook;
static const char *reason = "";

__attribute__((target("general-regs-only"))) void st_dispatch(struct st_site *s,
							      struct st_regs *regs)
{
	hook->func(hook, regs, s->ip, regs->regs[30]);
}

static void write_code(unsigned long at, const void *bytes, size_t len)
{
	unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);

	mprotect((void *)(at & -page), page, PROT_READ | PROT_WRITE | PROT_EXEC);
	memcpy((void *)at, bytes, len);
	__builtin___clear_cache((char *)at, (char *)at + len);
}

int st_hook_filter_ip(struct st_hook *h, const void *func)
{
	h->priv = (void *)func;
	return 0;
}

int st_hook_register(struct st_hook *h)
{
	static uint8_t *stubs;
	struct st_stub stub = {.site = (uintptr_t)&site, .entry = (uintptr_t)st_entry};
	uint8_t code[ST_STUB_MAX], jump[ST_JUMP_MAX];
	const struct function *f = functions;
	int ret;

	while (f->code != h->priv)
		f++;
	if (!stubs) {
		/* near enough, if the kernel takes the hint; st_arch_stub() will tell */
		stubs = mmap((void *)(((uintptr_t)f->code + 0x2000000) & -65536ul), 65536,
			     PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (stubs == MAP_FAILED)
			return -ENOMEM;
		st_arch_init(getauxval(AT_HWCAP));
	}
	stub.buf = code;
	stub.at = (uintptr_t)stubs;
	ret = st_arch_plan(&plan, f->code, (uintptr_t)f->code, f->size, f->size, ST_ISA_NATIVE);
	if (!ret)
		ret = st_arch_stub(&plan, &stub);
	if (!ret)
		ret = st_arch_jump(&plan, stub.at, jump);
	if (ret) {
		reason = plan.why ? plan.why : "out of reach";
		return ret;
	}
	hook = h;
	site.dispatch = h->flags & ST_HOOK_GENERAL_REGS ? st_dispatch : st_dispatch_vector;
	site.func = plan.func;
	site.ip = plan.addr;
	site.resume = stub.at + stub.resume;
	write_code(stub.at, code, stub.size);
	write_code(plan.addr, jump, plan.jump);
	return 1;
}

int st_hook_unregister(struct st_hook *h)
{
	h->priv = NULL;
	write_code(plan.addr, plan.orig, plan.jump);
	return 0;
}

const char *st_hook_reason(const struct st_hook *h)
{
	(void)h;
	return reason;
}
