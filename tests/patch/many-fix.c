/* SPDX-License-Identifier: GPL-2.0-only */
/* A patch for the processes of many.c. BUILD_ID: for a build that nobody has. */
#include <sidetrack/patch.h>

ST_PATCH(many, ST_PER_THREAD);
ST_REPLACE("one", "answer", new_answer);
#ifdef BUILD_ID
ST_OBJECT("one", "00112233445566778899aabbccddeeff00112233");
#endif

void stay(void);

char new_answer(int hold)
{
	if (hold)
		stay();
	__asm__ volatile("" ::: "memory");
	return '2';
}
