/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sidetrack/hook.h>
static unsigned long hits;
static void h(struct st_hook *hook, struct st_regs *regs, unsigned long ip, unsigned long parent)
{ hits++; (void)hook;(void)regs;(void)ip;(void)parent; }
__attribute__((noinline)) int f(int a, int b) { __asm__ volatile(""); return a * b + 1; }
__attribute__((noinline,patchable_function_entry(5))) int g(int a, int b) { __asm__ volatile(""); return a * b + 2; }
int main(void)
{
	static struct st_hook hook = { .size = sizeof(hook), .func = h };
	printf("filter %d\n", st_hook_filter(&hook, "*:[fg]"));
	printf("reg %d %s\n", st_hook_register(&hook), st_hook_reason(&hook));
	printf("%d %d hits %lu\n", f(3, 4), g(3, 4), hits);
	printf("unreg %d\n", st_hook_unregister(&hook));
	printf("%d %d hits %lu\n", f(3, 4), g(3, 4), hits);
	static struct st_hook all = { .size = sizeof(hook), .func = h };
	printf("filter %d\n", st_hook_filter(&all, "libc.so.6:*"));
	int r = st_hook_register(&all);
	printf("reg %d %s refused %d\n", r, st_hook_reason(&all), st_hook_refused(&all, 0, 0, 0));
	for (int i = 0; i < 3000; i++) { void *p = malloc(i); memset(p, 1, i); free(p); }
	printf("hits %lu\n", hits);
	int u = st_hook_unregister(&all);
	printf("unreg %d\n", u);
	return 0;
}
