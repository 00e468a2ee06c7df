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

#ifdef __cplusplus
}
#endif
#endif
