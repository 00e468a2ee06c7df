// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include "dwarf.h"

int st_dwarf_open(struct st_object *obj, struct st_dwarf **dw, char err[ST_ERR_MAX])
{
	*dw = NULL;
	snprintf(err, ST_ERR_MAX, "C expressions are not there yet (in %.60s)", obj->name);
	return -ENOENT;
}

void st_dwarf_close(struct st_dwarf *dw)
{
	(void)dw;
}

int st_dwarf_value(struct st_dwarf *dw, unsigned long func, unsigned long pc, const struct st_spec *spec,
		   const struct st_expr *expr, struct st_spec_arg *arg, char err[ST_ERR_MAX])
{
	(void)dw, (void)func, (void)pc, (void)spec, (void)expr, (void)arg, (void)err;
	return -ENOENT;
}
