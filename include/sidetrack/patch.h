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
 *	$ sidetrack patch apply -p PID --allow-unsigned hello_ping.so
 *
 * The patch calls what the program and its libraries export by declaring it, as above; what they do not export, and has a
 * symbol in their file, by ST_TARGET(). It may not have constructors or thread-local variables (they are refused).
 *
 * Symbols of the program are named as in its symbol table, so those of C++ are mangled (`nm`, not `nm -C`). A static one whose
 * name several files have is named with its file: "networking.c:helper". Functions of the patch that a macro names have to be
 * visible and have C names: in C++ extern "C", the object of a method as first argument:
 *
 *	ST_REPLACE("server", "_ZN6Server6handleEi", new_handle);
 *
 *	extern "C" int new_handle(Server *self, int request);
 *
 * `sidetrack patch build --object FILE fix.so -o OUT` looks the symbols up when the patch is made, so that the program may be
 * stripped.
 */
#ifndef SIDETRACK_PATCH_H
#define SIDETRACK_PATCH_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Levels of consistency: how much has to be old, or new, at once. The tool never applies below the level that a patch states.
 *
 * ST_INDEPENDENT	every call from the moment of the flip on runs the new function; calls that are under way end in the old
 *			one; no thread waits. Right where functions do not have to change together, and no data changes its meaning.
 * ST_PER_THREAD	each thread runs either all old functions or all new ones; it changes when none of the old ones is on its
 *			stack, or at st_quiescent(). Right where functions have to change together and what threads share does not.
 * ST_PROCESS		all threads at once, stopped, when none has an old function on its stack; callbacks run there. Right where
 *			what threads share changes its meaning: a locking order, a data structure.
 */
#define ST_INDEPENDENT	"independent"
#define ST_PER_THREAD	"thread"
#define ST_PROCESS	"process"

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

#ifdef __cplusplus
#define ST_PATCH_VARIABLE_(definition) extern "C" { definition }
#else
#define ST_PATCH_VARIABLE_(definition) definition
#endif

/**
 * ST_PATCH() - name the patch and its level; once in a patch
 * @name: an identifier; what `sidetrack patch revert` and `list` call it
 * @level: ST_INDEPENDENT, ST_PER_THREAD or ST_PROCESS
 *
 *	ST_PATCH(cve_2026_1234, ST_PER_THREAD);
 */
#define ST_PATCH(name, level) ST_PATCH_NOTE_("patch\\t" #name "\\t" level)

/**
 * ST_REPLACE() - put a function of the patch in the place of one of the program
 * @object: file name, without folder, of the program or library that has it
 * @function: its symbol there; static functions too, where the file has a symbol table, or the patch is built with one
 * @replacement: a function of this patch with the same signature; not static
 *
 * At most 256 in a patch. Several objects may have some: the program and its libraries.
 *
 *	ST_REPLACE("redis-server", "pingCommand", new_ping);
 *	ST_REPLACE("libfoo.so.1", "parse.c:next_token", new_next_token);
 */
#define ST_REPLACE(object, function, replacement) \
	ST_PATCH_NOTE_("replace\\t" object "\\t" function "\\t" #replacement)

/**
 * ST_OBJECT() - insist on one build of an object
 * @object: file name without folder
 * @build_id: its build-id in hexadecimal (`readelf -n`)
 *
 * Without it the names decide, and the author answers for the signatures. `sidetrack patch build` adds it.
 *
 *	ST_OBJECT("redis-server", "24be8a4d1c9b3d4e9d8e5a7f1fd2b40ea6a94a9a");
 */
#define ST_OBJECT(object, build_id) ST_PATCH_NOTE_("object\\t" object "\\t" build_id)

/**
 * ST_REPLACE_ALL() - this patch takes the place of all that are there
 *
 * Functions that an earlier patch replaces and this one does not are the program's own again, and the earlier patches are gone: all in
 * one change. For patches that hold everything that was fixed so far. The kernel's klp_patch.replace.
 *
 *	ST_PATCH(fixes_until_may, ST_PER_THREAD);
 *	ST_REPLACE_ALL();
 */
#define ST_REPLACE_ALL() ST_PATCH_NOTE_("replace-all")

/**
 * ST_DEPENDS() - another patch has to be there
 * @name: of that patch, as its ST_PATCH() has it
 *
 * This one is refused without it, and it can't be reverted before this one.
 *
 *	ST_DEPENDS(cve_2026_1234);
 */
#define ST_DEPENDS(name) ST_PATCH_NOTE_("depends\\t" #name)

/**
 * ST_CALLBACKS() - functions that run when an object is patched, or is no longer; once for an object
 * @object: file name without folder: of the program or a library
 * @pre_patch: int (*)(void): before the first function changes; anything but 0: the patch is not applied
 * @post_patch: void (*)(void): when all functions have changed
 * @pre_unpatch: void (*)(void): before they change back
 * @post_unpatch: void (*)(void): when they have
 *
 * `none` where there is none. Not static, extern "C" in C++. They are given the object's name, so they may be declared with a parameter
 * `const char *object` as well. They are called once for each change, also when the object comes (goes)
 * later, on a thread of the process that was interrupted anywhere, with ST_PROCESS while all others are stopped: only what is
 * async-signal-safe may be done there, on 32 KiB of stack.
 *
 *	ST_CALLBACKS("redis-server", check_version, start_counting, none, none);
 *
 *	int check_version(void)
 *	{
 *		return *old_version == 7 ? 0 : -1;
 *	}
 */
#define ST_CALLBACKS(object, pre_patch, post_patch, pre_unpatch, post_unpatch) \
	ST_PATCH_NOTE_("callbacks\\t" object "\\t" #pre_patch "\\t" #post_patch "\\t" #pre_unpatch "\\t" #post_unpatch)

/**
 * ST_STATE() - what the patch changes beyond functions, so that a later patch can take it over
 * @id: a number that means this state in all patches for the program
 * @version: of its layout; higher ones understand lower ones
 *
 * A later patch is only applied if it has each state of the patches that are there, in the same version or a higher one; it may
 * lack it if it is not ST_REPLACE_ALL(). The kernel's struct klp_state.
 *
 *	ST_STATE(1, 2);
 */
#define ST_STATE(id, version) ST_PATCH_NOTE_("state\\t" ST_PATCH_STR(id) "\\t" ST_PATCH_STR(version))

/**
 * ST_TARGET() - reach a function or variable that the program does not export
 * @type: of a pointer to it
 * @variable: a global pointer of this name is defined, and set before the patch becomes active
 * @object: file name without folder
 * @symbol: as in its symbol table
 *
 *	ST_TARGET(int (*)(struct client *), old_helper, "redis-server", "networking.c:helper");
 *	ST_TARGET(struct settings *, old_settings, "redis-server", "settings");
 */
#define ST_TARGET(type, variable, object, symbol) \
	ST_PATCH_VARIABLE_(__typeof__(type) variable __attribute__((visibility("default")));) \
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
