/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <process/transition.h>
#include <stdlib.h>
int st_transition_begin(struct st_session *s, unsigned int patch, enum st_level level, struct st_move *move, size_t n)
{ (void)s;(void)patch;(void)level;(void)move;(void)n; return -ENOTSUP; }
int st_transition_step(struct st_session *s, st_transition_flip flip, void *ctx, struct st_busy *busy, size_t *n)
{ (void)s;(void)flip;(void)ctx;(void)busy;(void)n; return -ENOTSUP; }
int st_transition_reverse(struct st_session *s) { (void)s; return -ENOTSUP; }
int st_transition_force(struct st_session *s) { (void)s; return -ENOTSUP; }
int st_transition_finish(struct st_session *s) { (void)s; return -ENOTSUP; }
bool st_transition_pending(struct st_session *s, unsigned int *patch, bool *reversed) { (void)s;(void)patch;(void)reversed; return false; }
int st_transition_at_once(struct st_session *s, unsigned int patch, struct st_move *move, size_t n)
{
	struct st_replace r[256]; size_t k = 0;
	for (size_t i = 0; i < n; i++) if (move[i].next) { r[k].fn = move[i].fn; r[k++].to = move[i].next; }
	return k ? st_session_replace(s, patch, r, k) : st_session_restore(s, patch);
}
