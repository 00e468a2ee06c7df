/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef STRICT_H
#define STRICT_H

/* From now on the process forbids itself something: 0; -errno: it can't; 1: there is nothing of that name. */
int strict(const char *how);

#endif
