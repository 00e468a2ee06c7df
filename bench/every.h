/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef ST_EVERY_H
#define ST_EVERY_H

#include <sidetrack/hook.h>

extern unsigned long every_calls;
void every_hook(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent_ip);

#endif
