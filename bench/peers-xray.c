// SPDX-License-Identifier: GPL-2.0-only
/* LLVM XRay with a handler that does nothing: built by clang with -fxray-instrument, its runtime is in the process. */
#include <stdint.h>
#include <stdlib.h>

/* compiler-rt, xray/xray_interface.h */
int __xray_set_handler(void (*entry)(int32_t, int));
int __xray_patch(void);
void __xray_init(void);

long xrayed(long a, long b);
void xray_start(void);

long __attribute__((noinline, aligned(64), xray_always_instrument)) xrayed(long a, long b)
{
	return a + b;
}

static void __attribute__((xray_never_instrument)) handler(int32_t id, int type)
{
	(void)id;
	(void)type;
}

void __attribute__((xray_never_instrument)) xray_start(void)
{
	__xray_set_handler(handler);
	if (__xray_patch() != 1)	/* XRayPatchingStatus::SUCCESS */
		abort();
}
