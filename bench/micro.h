/* SPDX-License-Identifier: GPL-2.0-only */
/* Between micro.c and the files that are built with other flags. */
#ifndef ST_MICRO_H
#define ST_MICRO_H

#include <sidetrack/hook.h>

void floor_hook(unsigned long ip, unsigned long parent_ip, struct st_regs *regs);
void hook_general(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip);
void hook_redirect(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip);

#endif
