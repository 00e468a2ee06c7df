/* SPDX-License-Identifier: GPL-2.0-only */
/* Sentences. */
#include <stdarg.h>
#include <stdio.h>
#include <patch/internal.h>

int st_patch_fail(char *err, int ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, ST_ERR_MAX, fmt, ap);
	va_end(ap);
	return ret;
}

void st_patch_say(const struct st_work *w, const char *fmt, ...)
{
	char text[2 * ST_ERR_MAX];
	va_list ap;

	if (!w->o || !w->o->say)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	w->o->say(w->o->ctx, text);
}

int st_work_pid(const struct st_work *w)
{
	return (int)st_proc_pid(st_session_proc(w->s));
}
