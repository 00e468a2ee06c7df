// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A probe that counts, without registers: struct st_short_hook of engine/site.h. x86-64 only; this file is compiled so that all but
 * rax, rcx, rdx, rsi and rdi are as they were.
 */
#include <agent/count.h>
#include <agent/probe.h>

int st_agent_count_brief(struct st_slot *t, struct st_hook *h)
{
	struct st_ctl_probe *probe = h->data;
	struct st_ctl *ctl = st_agent_ctl;

	return probe->state == ST_PROBE_ON && (probe->flags & (ST_PROBE_COUNT_ONLY | ST_PROBE_SLOW)) == ST_PROBE_COUNT_ONLY &&
	       st_agent_at_home(ctl) && st_agent_count_in(t, ctl, probe);
}
