/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * States: what a patch has changed beyond functions, with a version; kernel/livepatch/state.c. A new patch has to know each state of
 * each patch that is there, in the same version or a newer one; it may be without only if the other stays.
 */
#include <errno.h>
#include <patch/internal.h>

static const struct st_manifest_state *find(const struct st_manifest *m, unsigned long id)
{
	for (size_t i = 0; i < m->states; i++)
		if (m->state[i].id == id)
			return &m->state[i];
	return NULL;
}

int st_states_check(struct st_work *w, const struct st_manifest *m)
{
	for (unsigned int p = 0; p < ST_PATCHES_MAX; p++) {
		const struct st_ctl_patch_word *v;
		char name[64];

		if (w->ctl->patch[p].state != ST_PATCH_ENABLED)
			continue;
		for (uint32_t i = 0; (v = st_record_word(w->ctl, p, &i));) {
			const struct st_manifest_state *mine = v->name ? NULL : find(m, (unsigned long)v->id);

			if (v->name || (mine && mine->version >= v->version) || (!mine && !m->replace_all))
				continue;
			st_record_name(w->ctl, p, name);
			if (mine)
				return st_patch_fail(w->err, -EINVAL, "patch %s is not compatible with patch %s: it has state %lu in version %u, "
						     "that one in version %u", m->name, name, mine->id, mine->version, v->version);
			return st_patch_fail(w->err, -EINVAL, "patch %s is not compatible with patch %s: it would replace it, and does not "
					     "know its state %lu", m->name, name, (unsigned long)v->id);
		}
	}
	return 0;
}
