/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing a live patch by hand: an ordinary shared object that says in a note what it replaces.
 *
 *	#include <sidetrack/patch.h>
 *
 *	ST_PATCH(hello_ping, ST_INDEPENDENT);
 *	ST_REPLACE("redis-server", "pingCommand", new_ping);
 *
 *	struct client;
 *	extern void addReplyBulkCBuffer(struct client *c, const void *p, unsigned long len);
 *
 *	void new_ping(struct client *c)
 *	{
 *		addReplyBulkCBuffer(c, "hello", 5);
 *	}
 *
 *	$ cc -shared -fPIC -O2 -nostartfiles -o hello_ping.so hello_ping.c
 *	$ sidetrack patch apply -p PID hello_ping.so
 *
 * The patch calls what the program and its libraries export by declaring it, as above; what they do not export, and has a
 * symbol in their file, by ST_TARGET(). It may not have constructors or thread-local variables (they are refused).
 */
#ifndef SIDETRACK_PATCH_H
#define SIDETRACK_PATCH_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Levels of consistency. Only ST_INDEPENDENT can be applied today: every call from the moment of the flip on runs the
 * new function; calls that are under way end in the old one; no thread waits. Right for a patch whose functions do not
 * have to change together.
 */
#define ST_INDEPENDENT	"independent"

#define ST_PATCH_STR_(x) #x
#define ST_PATCH_STR(x) ST_PATCH_STR_(x)

/* An ELF note, name "Sidetrack", type 1; its description is text: a keyword and words, separated by tabs. */
#define ST_PATCH_NOTE_(text) \
	__asm__(".pushsection .note.sidetrack, \"a\", %note\n\t" \
		".balign 4\n\t" \
		".long 10, 72f - 71f, 1\n\t" \
		".asciz \"Sidetrack\"\n\t" \
		".balign 4\n" \
		"71:\t.asciz \"" text "\"\n" \
		"72:\t.balign 4\n\t" \
		".popsection")

/**
 * ST_PATCH() - name the patch and its level; once in a patch
 * @name: an identifier; what `sidetrack patch revert` and `list` call it
 * @level: ST_INDEPENDENT
 */
#define ST_PATCH(name, level) ST_PATCH_NOTE_("patch\\t" #name "\\t" level)

/**
 * ST_REPLACE() - put a function of the patch in the place of one of the program
 * @object: file name, without folder, of the program or library that has it
 * @function: its symbol there; static functions too, where the file has a symbol table
 * @replacement: a function of this patch with the same signature; not static
 */
#define ST_REPLACE(object, function, replacement) \
	ST_PATCH_NOTE_("replace\\t" object "\\t" function "\\t" #replacement)

/**
 * ST_OBJECT() - insist on one build of an object
 * @object: file name without folder
 * @build_id: its build-id in hexadecimal (`readelf -n`)
 *
 * Without it the names decide, and the author answers for the signatures.
 */
#define ST_OBJECT(object, build_id) ST_PATCH_NOTE_("object\\t" object "\\t" build_id)

/**
 * ST_TARGET() - reach a function or variable that the program does not export
 * @type: of a pointer to it
 * @variable: a global pointer of this name is defined, and set before the patch becomes active
 * @object: file name without folder
 * @symbol: as in its symbol table
 *
 *	ST_TARGET(int (*)(struct client *), old_helper, "redis-server", "helper");
 */
#define ST_TARGET(type, variable, object, symbol) \
	__typeof__(type) variable __attribute__((visibility("default"))); \
	ST_PATCH_NOTE_("target\\t" object "\\t" symbol "\\t" #variable)

/*
 * ---- Shadow variables ----
 *
 * Data that a patch attaches to an object that the program has already, when a fix needs a new member of a structure: found by the
 * object's address and a number. As the kernel has them (klp_shadow_*). A patch calls these as it calls any function; the tool links it
 * with the agent's. They outlive the patch, so that the next one finds them under the same number, and go when sidetrack detaches.
 *
 *	unsigned long *calls = st_shadow_get_or_alloc(client, 1, sizeof(*calls), NULL, NULL);
 *
 *	if (calls)
 *		++*calls;
 *
 * Context: any thread, any signal handler, whatever the interrupted code was doing. No lock is taken and no system call made. Threads
 * that create or free the same variable at the same time wait for each other; nobody waits for a thread that waits, and nobody for
 * ever: NULL is returned in the end, and at once to a signal handler that has interrupted its own thread's constructor or destructor.
 *
 * Memory that has been freed is used again, so who frees a variable has to know that nobody uses it any more.
 */
#pragma GCC visibility push(default)

/**
 * typedef st_shadow_ctor - fill in a new shadow variable
 * @obj: what it belongs to
 * @shadow_data: its memory, all zero
 * @ctor_data: as given to st_shadow_alloc()
 *
 * Nobody else sees it yet. It must return (no longjmp, no exception), and not wait for other threads.
 * Return: 0, or anything else: the variable is not made.
 */
typedef int (*st_shadow_ctor)(void *obj, void *shadow_data, void *ctor_data);

/* Before a shadow variable's memory goes: nobody finds it any more. Must return, as a st_shadow_ctor. */
typedef void (*st_shadow_dtor)(void *obj, void *shadow_data);

/**
 * st_shadow_get() - find a shadow variable
 * @obj: what it belongs to; never followed, so any number will do
 * @id: which of those that @obj has
 *
 * Return: its memory, or NULL: there is none.
 */
void *st_shadow_get(void *obj, unsigned long id);

/**
 * st_shadow_alloc() - make a new shadow variable
 * @size: bytes; they are zero, and aligned to 16
 * @ctor: fills it in before anybody can find it, or NULL
 *
 * Return: its memory; NULL: there is one already, or no memory (docs/live-patching.md has the limit), or @ctor does not want it.
 */
void *st_shadow_alloc(void *obj, unsigned long id, unsigned long size, st_shadow_ctor ctor, void *ctor_data);

/* st_shadow_get_or_alloc() - the one that there is, whatever its size; else as st_shadow_alloc() */
void *st_shadow_get_or_alloc(void *obj, unsigned long id, unsigned long size, st_shadow_ctor ctor, void *ctor_data);

/**
 * st_shadow_free() - give a shadow variable back, if there is one
 * @dtor: called with it before, or NULL
 */
void st_shadow_free(void *obj, unsigned long id, st_shadow_dtor dtor);

/* st_shadow_free_all() - the same for all variables of this number, whatever they belong to. Those made meanwhile may stay. */
void st_shadow_free_all(unsigned long id, st_shadow_dtor dtor);

/*
 * ---- Quiescent points ----
 */

/**
 * st_quiescent() - a program says: this thread may change to new code here
 *
 * For a program with a function that never returns (an event loop), which therefore is on the stack of its thread for ever: called where
 * the thread holds nothing that old code would have to finish. A patch whose transition waits for the thread lets it go on in the
 * new functions from here. It does nothing otherwise, and costs a call.
 *
 * It is in libsidetrack. A program that does not want to link that defines it itself, in a file of its own:
 *
 *	__attribute__((noipa)) void st_quiescent(void) { __asm__ volatile("nop; nop; nop; nop; nop"); }
 *
 * It must not be inlined, and its symbol must not be stripped (export it: -rdynamic). A patch may call it as well.
 */
void st_quiescent(void);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
#endif
