/* SPDX-License-Identifier: GPL-2.0-only */
/* The other half of bound.c. */
static volatile int counter = 40;

static __attribute__((noipa)) int helper(int x)
{
	/* A branch that is never taken: code that may be changed without harm. */
	if (counter < 0) {
		__asm__ volatile("never_run: nop; nop; nop; nop");
		counter++;
	}
	return x + 2;
}

int second(int x)
{
	return helper(x);
}

extern unsigned char never_run[] __attribute__((visibility("hidden")));

unsigned char *second_code(void)
{
	return never_run;
}
