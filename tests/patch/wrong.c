/* SPDX-License-Identifier: GPL-2.0-only */
/* A patch that must be refused; which way is chosen by -D. */
#include <sidetrack/patch.h>

#ifdef NO_MANIFEST
#elif defined(NO_FUNCTION)
ST_PATCH(wrong, ST_INDEPENDENT);
ST_REPLACE("patched", "there_is_none", f);
#elif defined(NO_OBJECT)
ST_PATCH(wrong, ST_INDEPENDENT);
ST_REPLACE("libnone.so", "plain", f);
#elif defined(NO_IMPORT)
ST_PATCH(wrong, ST_INDEPENDENT);
ST_REPLACE("patched", "plain", f);
int there_is_none_either(int x);
#define BODY return there_is_none_either(a);
#elif defined(BUILD_ID)
ST_PATCH(wrong, ST_INDEPENDENT);
ST_OBJECT("patched", "00112233");
ST_REPLACE("patched", "plain", f);
#elif defined(LEVEL)
ST_PATCH(wrong, "sometimes");
ST_REPLACE("patched", "plain", f);
#elif defined(CONSTRUCTOR)
ST_PATCH(wrong, ST_INDEPENDENT);
ST_REPLACE("patched", "plain", f);
volatile int constructed;
__attribute__((constructor)) static void constructor(void)
{
	constructed = 1;
}
#elif defined(TLS)
ST_PATCH(wrong, ST_INDEPENDENT);
ST_REPLACE("patched", "plain", f);
__thread int tls;
#define BODY return tls + a;
#elif defined(SECOND)
ST_PATCH(second, ST_INDEPENDENT);
ST_REPLACE("patched", "plain", f);
#endif

#ifndef BODY
#define BODY return a;
#endif

int f(int a)
{
	BODY
}
