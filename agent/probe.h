/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The probe recorder of the agent: a hook callback whose data is a struct st_ctl_probe. General
 * registers only, no libc.
 */
#ifndef ST_AGENT_PROBE_H
#define ST_AGENT_PROBE_H

#include <agent/ctl.h>

/*
 * Where the shared memory is mapped in this process. Set by whoever loads the agent, before the
 * first hit.
 */
extern struct st_ctl *st_agent_ctl __attribute__((visibility("hidden")));

/**
 * st_agent_probe() - record a hit
 * @h: hook.data is the struct st_ctl_probe, an element of st_agent_ctl->probe_rec
 * @regs: registers at the function's entry; not changed
 * @ip: the site
 * @parent_ip: the return address
 *
 * Counts the hit, and unless the probe only counts, writes a struct st_rec with the fetchargs'
 * values into the ring. When the ring is full the hit is counted in ring.lost.
 *
 * Context: any thread, any signal handler.
 */
void st_agent_probe(struct st_hook *h, struct st_regs *regs, unsigned long ip,
		    unsigned long parent_ip);

/*
 * The same for a probe that only counts, if that can be done at once: else nothing, and 0 (struct st_short_hook).
 */
int st_agent_count_brief(struct st_slot *t, struct st_hook *h);

/**
 * st_agent_mail() - write a letter to the tool (mail.h)
 * @h: the hook `objects` or `exec` of a struct st_ctl_mail, which hook.data is
 *
 * Context: any thread; may wait for ST_MAIL_MS.
 */
void st_agent_mail(struct st_hook *h, struct st_regs *regs, unsigned long ip, unsigned long parent_ip);

#endif
