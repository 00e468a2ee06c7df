/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * x86-64: the stub of a site, and jumps to it. Pure: bytes into a buffer, nothing else.
 *
 *	stub:	lea	-152(%rsp), %rsp	over the red zone to the frame's end, see entry.S
 *		pushfq				where the frame has the flags: a push and a pop less
 *		lea	-144(%rsp), %rsp	to its beginning
 *		mov	%rbx, RBX(%rsp)
 *		movabs	$site, %rbx
 *		call	*entry(%rip)
 *		lea	304(%rsp), %rsp		restores nothing else: entry.S has
 *		jmp	*-8(%rsp)		to the moved instructions, or where a hook wants
 *	resume:	the displaced instructions, moved
 *		jmp	behind the site
 *	path:	lea	8(%rsp), %rsp		the return address's place; where to go on is 16 bytes below it
 *		call	*-24(%rsp)		puts `after` into it
 *	after:	jmp	*ret(%rip)
 *	entry:	.quad	st_entry
 *	ret:	.quad	st_return
 *
 * Inside of a function the red zone is live, so there is no jump through it: the stub falls through to the moved
 * instructions, and st_entry does not come back if a hook wants otherwise. A bit of the saved flags tells it. `path` and what belongs to it exist at an entry
 * only.
 */
#include <errno.h>
#include <engine/arch.h>
#include <engine/site.h>
#include "frame.h"
#include "relocate.h"

#ifdef __x86_64__
_Static_assert(offsetof(struct st_regs, r15) == ST_R15, "frame.h");
_Static_assert(offsetof(struct st_regs, bp) == ST_RBP, "frame.h");
_Static_assert(offsetof(struct st_regs, bx) == ST_RBX, "frame.h");
_Static_assert(offsetof(struct st_regs, r11) == ST_R11, "frame.h");
_Static_assert(offsetof(struct st_regs, ax) == ST_RAX, "frame.h");
_Static_assert(offsetof(struct st_regs, di) == ST_RDI, "frame.h");
_Static_assert(offsetof(struct st_regs, orig_ax) == ST_ORIG_RAX, "frame.h");
_Static_assert(offsetof(struct st_regs, ip) == ST_RIP, "frame.h");
_Static_assert(offsetof(struct st_regs, flags) == ST_EFLAGS, "frame.h");
_Static_assert(offsetof(struct st_regs, sp) == ST_RSP, "frame.h");
_Static_assert(offsetof(struct st_regs, ss) == ST_SS, "frame.h");
_Static_assert(sizeof(struct st_regs) <= ST_FRAME && ST_FRAME % 16 == 0, "frame.h");
#endif

#define JMP_REL32 0xe9
#define JMP_LEN 5
#define INT3 0xcc

/* The stub's own code, path, after, two addresses and alignment are much less than 128 bytes. */
_Static_assert(ST_X86_MOVE_MAX + 128 <= ST_STUB_MAX, "st_arch_stub()");

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		*p++ = (uint8_t)(v >> (8 * i));
	return p;
}

static uint8_t *put64(uint8_t *p, uint64_t v)
{
	return put32(put32(p, (uint32_t)v), (uint32_t)(v >> 32));
}

static uint8_t *put_bytes(uint8_t *p, const char *bytes, size_t n)
{
	while (n--)
		*p++ = (uint8_t)*bytes++;
	return p;
}
#define PUT(p, bytes) put_bytes(p, bytes, sizeof(bytes) - 1)

unsigned long st_arch_reach(enum st_isa isa)
{
	(void)isa;
	return 0x7fff0000ul;
}

int st_arch_stub(struct st_plan *plan, struct st_stub *stub)
{
	bool returns = stub->ret && !plan->inside;
	uint8_t *call, *ret = NULL;
	uint8_t *p = stub->buf;
	int n;

	p = PUT(p, "\x48\x8d\xa4\x24");			/* lea -disp32(%rsp), %rsp */
	p = put32(p, -(uint32_t)(ST_RED_ZONE + ST_FRAME - ST_EFLAGS - 8));
	*p++ = 0x9c;					/* pushfq */
	if (plan->inside) {
		p = PUT(p, "\x48\x83\x0c\x24");		/* orq $imm8, (%rsp): the flags are saved */
		*p++ = ST_EFLAGS_INSIDE;
	}
	p = PUT(p, "\x48\x8d\xa4\x24");
	p = put32(p, -(uint32_t)ST_EFLAGS);
	p = PUT(p, "\x48\x89\x5c\x24");			/* mov %rbx, disp8(%rsp) */
	*p++ = ST_RBX;
	p = PUT(p, "\x48\xbb");				/* movabs $imm64, %rbx */
	p = put64(p, stub->site);
	p = PUT(p, "\xff\x15");				/* call *disp32(%rip) */
	call = p;
	p = put32(p, 0);
	p = PUT(p, "\x48\x8d\xa4\x24");			/* lea disp32(%rsp), %rsp */
	p = put32(p, ST_FRAME + ST_RED_ZONE);
	if (!plan->inside)
		p = PUT(p, "\xff\x64\x24\xf8");		/* jmp *-8(%rsp) */

	stub->resume = (uint16_t)(p - stub->buf);
	n = st_x86_move(plan, p, ST_X86_MOVE_MAX, stub->at + stub->resume, stub->map);
	if (n < 0)
		return n;
	for (int i = 0; i < plan->insns; i++)
		stub->map[i] = (uint16_t)(stub->map[i] + stub->resume);
	p += n;

	stub->path = stub->after = 0;
	if (returns) {
		stub->path = (uint16_t)(p - stub->buf);
		p = PUT(p, "\x48\x8d\x64\x24\x08");		/* lea 8(%rsp), %rsp */
		p = PUT(p, "\xff\x54\x24\xe8");		/* call *-24(%rsp) */
		stub->after = (uint16_t)(p - stub->buf);
		p = PUT(p, "\xff\x25");				/* jmp *disp32(%rip) */
		ret = p;
		p = put32(p, 0);
	}
	while ((p - stub->buf) % 8)
		*p++ = 0xcc;
	put32(call, (uint32_t)(p - (call + 4)));
	p = put64(p, stub->entry);
	if (returns) {
		put32(ret, (uint32_t)(p - (ret + 4)));
		p = put64(p, stub->ret);
	}
	stub->size = (uint16_t)(p - stub->buf);
	return 0;
}

int st_arch_jump(const struct st_plan *plan, unsigned long to, uint8_t *out)
{
	long d = (long)(to - (plan->addr + JMP_LEN));

	if (plan->kind == ST_KIND_BREAKPOINT) {
		out[0] = INT3;
		return 0;
	}
	if (d != (int32_t)d)
		return -ERANGE;
	out[0] = JMP_REL32;
	put32(out + 1, (uint32_t)d);
	return 0;
}

size_t st_arch_veneer(enum st_isa isa, unsigned long at, unsigned long to, uint8_t *out)
{
	uint8_t *p = out;

	(void)isa;
	(void)at;
	p = PUT(p, "\xff\x25\0\0\0\0");			/* jmp *0(%rip) */
	p = put64(p, to);
	return (size_t)(p - out);
}

bool st_arch_syscalls_harm(unsigned long hwcap)
{
	(void)hwcap;
	return false;
}

size_t st_arch_sweep(struct st_plan *const *plans, size_t n, const uint8_t *code, unsigned long addr, size_t size)
{
	return st_x86_sweep(plans, n, code, addr, size);
}
