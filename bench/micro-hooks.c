// SPDX-License-Identifier: GPL-2.0-only
/* The hooks of micro.c that use general registers only: this file is compiled with -mgeneral-regs-only. */
#include "micro.h"

void floor_hook(unsigned long ip, unsigned long parent_ip, struct st_regs *regs)
{
	(void)ip;
	(void)parent_ip;
	(void)regs;
	__asm__ volatile("");
}

void hook_general(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	(void)hook;
	(void)regs;
	(void)ip;
	(void)parent_ip;
	__asm__ volatile("");
}

void hook_redirect(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip)
{
	(void)ip;
	(void)parent_ip;
	st_regs_set_pc(regs, (unsigned long)hook->data);
}
