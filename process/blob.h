/* SPDX-License-Identifier: GPL-2.0-only */
/* The agent's shared object, as built from agent/ and the hot part of the engine, inside the tool. */
#ifndef ST_PROCESS_BLOB_H
#define ST_PROCESS_BLOB_H

#include <stddef.h>

extern const unsigned char st_agent_blob[] __attribute__((visibility("hidden")));
extern const size_t st_agent_blob_size __attribute__((visibility("hidden")));

#endif
