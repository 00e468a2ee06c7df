/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A process as seen from outside: its memory, its ELF objects, its threads, and system calls run on
 *its behalf.
 *
 * Everything here may be followed by a SIGKILL of the tool at any instruction: the target then goes
 *on unharmed. Nothing prints or exits. Functions return 0 (or what they say) or a negative errno
 *and, where they take @err, write a sentence there: what could not be done, why, and what to do.
 *@err has ST_ERR_MAX bytes and may be NULL.
 *
 * One thread of the tool must make all calls for one st_proc: the kernel ties a tracer to a thread.
 *
 *	st_proc_open(pid, &p, err);
 *	st_objects_read(p, &objs, err);			no thread is stopped for this
 *	st_stop(p, 0, 1000, &stop, err);		every thread, some hundred microseconds
 *	st_remote_begin(stop, NULL, &r, err);		one of them is borrowed
 *	st_load(r, image, len, &opts, &loaded, err);
 *	st_remote_end(r);				it is as it was
 *	st_resume(stop, &ns);
 */
#ifndef ST_PROCESS_H
#define ST_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sidetrack/regs.h>
#include "engine/arch.h"

#define ST_ERR_MAX 256

/* ---- proc.c */

struct st_proc;

/**
 * st_proc_open() - look at a process, and make sure that it can be worked on
 * @pid: its process id
 * @proc: set to a handle for st_proc_close()
 * @err: why not
 *
 * Stops nothing and attaches to nothing.
 *
 * Return: 0, or
 *	-ESRCH: no such process, or a zombie;	-EPERM: not yours (says what would help);
 *	-EBUSY: somebody traces it (names who);	-ENOEXEC: a kernel thread, or another architecture
 *than the tool's.
 */
int st_proc_open(pid_t pid, struct st_proc **proc, char *err);

/**
 * st_proc_close() - forget a process
 * @proc: a handle, or NULL
 *
 * A stop of it that is still held is resumed first.
 */
void st_proc_close(struct st_proc *proc);

pid_t st_proc_pid(const struct st_proc *proc);

/* What /proc/PID/comm said when the process was opened. */
const char *st_proc_comm(const struct st_proc *proc);

/* Start time of a process as /proc has it, 0 if there is none: with the pid it names a process for good. */
uint64_t st_start_time(pid_t pid);

/* Is it still there, the same process running the same program (no exec in between)? */
bool st_proc_alive(const struct st_proc *proc);

/**
 * st_proc_auxv() - a value of the auxiliary vector that the kernel gave the program
 * @type: AT_* (<elf.h>)
 * Return: the value, 0 when there is none.
 */
unsigned long st_proc_auxv(const struct st_proc *proc, unsigned long type);

/* ---- hold.c */

/* A thread that will execute a program, or has. */
struct st_hold {
	pid_t tid, pid;
	bool executed, dropped;
};

/**
 * st_start() - start a program, and hold it before its first instruction
 * @argv: the command; looked for in PATH
 * @mask: its signal mask
 * @hold: filled in
 *
 * The program is a child of the tool; st_proc_open() takes it as it is held.
 *
 * Return: 0; -ENOENT, -EACCES, -ENOEXEC ...: it could not be executed.
 */
int st_start(char *const argv[], const sigset_t *mask, struct st_hold *hold, char *err);

/**
 * st_hold_begin() - wait for a thread to execute a program
 * @tid: it runs, and is traced from here on
 *
 * Return: 0 or a negative errno.
 */
int st_hold_begin(struct st_hold *hold, pid_t tid);

/**
 * st_hold_step() - has it?
 *
 * To be called every few ms: signals to the thread wait meanwhile.
 *
 * Return: 0 not yet, 1 it has, and is held, -ESRCH it has ended.
 */
int st_hold_step(struct st_hold *hold);

/* The same for one that may have executed it already: it is held wherever it is; st_hold_step() says when. */
void st_hold_now(struct st_hold *hold);

/* Stop waiting for it, or let it go; does not wait. False: not yet, call again. */
bool st_hold_drop(struct st_hold *hold);

/**
 * st_hold_loads() - let a program that is held go on while its dynamic loader works, and hold it again when it has mapped something
 * @hold: held before its first instruction
 * @mapped: asked each time that it has mapped code
 *
 * By its system calls alone: nothing in it is changed, so it goes on should the tool die.
 *
 * Return: 1: @mapped has said yes, and it is held; 0: its own code begins (or is static), it has been let go; -ESRCH: it has ended.
 */
int st_hold_loads(struct st_hold *hold, bool (*mapped)(pid_t pid, void *ctx), void *ctx);

/* Let a process go that was opened while it was held, and look whether it was. */
void st_proc_release(struct st_proc *proc);
bool st_proc_held(const struct st_proc *proc);

/**
 * st_proc_early() - give a program that is held a thread pointer that can be read
 * @addr: a word that holds its own address
 *
 * On x86-64 the agent reads the word at the thread pointer, and a program has none before its C library makes it one.
 */
int st_proc_early(struct st_proc *proc, unsigned long addr);

/* ---- maps.c */

/* One line of /proc/PID/maps. */
struct st_map {
	unsigned long start, end;
	unsigned long offset; /* in the file */
	unsigned int prot;    /* PROT_* */
	bool shared;
	bool deleted; /* the file has no name any more; @path is without the " (deleted)" */
	unsigned int major, minor;
	unsigned long inode; /* 0: no file */
	const char *path; /* as the process sees it; "[heap]" and the like; "" when there is none */
};

struct st_maps {
	size_t n;
	struct st_map *map; /* by address */
};

int st_maps_read(struct st_proc *proc, struct st_maps **maps, char *err);
void st_maps_free(struct st_maps *maps);

/* The mapping that holds @addr, or NULL. */
const struct st_map *st_maps_find(const struct st_maps *maps, unsigned long addr);

/**
 * st_maps_gap() - find room that nobody uses
 * @maps: the mappings now
 * @size: bytes wanted
 * @near: as close as possible to this address; 0: anywhere
 * @reach: every byte of the room is at most this far from @near and from @near_end; 0: no matter
 * how far
 * @near_end: end of the thing at @near (0: the same as @near)
 * @addr: set to a page aligned address
 *
 * Stays out of the way of the heap and the stacks, which grow, where it can.
 *
 * Return: 0 or -ENOMEM.
 */
int st_maps_gap(const struct st_maps *maps, size_t size, unsigned long near, unsigned long near_end,
		unsigned long reach, unsigned long *addr, char *err);

/* ---- mem.c */

/**
 * st_mem_read() - read the target's memory
 * Return: 0, -EFAULT when not all of it is mapped, -ESRCH when the process is gone.
 * Context: threads of the target may be running.
 */
int st_mem_read(struct st_proc *proc, unsigned long addr, void *buf, size_t len);

/* As many bytes of it as there are; returns their number or a negative errno. */
ssize_t st_mem_read_some(struct st_proc *proc, unsigned long addr, void *buf, size_t len);

/* A string with its NUL, at most @size bytes. Return: its length or a negative errno
 * (-ENAMETOOLONG: no NUL). */
ssize_t st_mem_read_string(struct st_proc *proc, unsigned long addr, char *buf, size_t size);

/**
 * st_mem_write() - write the target's memory, whatever its protection (text too)
 *
 * Pages of private mappings become the process's own. Not one instruction for the target: text that
 * threads may be executing is written with all of them stopped.
 *
 * Return: 0, -EFAULT, -EIO (a shared read-only mapping), -ESRCH.
 */
int st_mem_write(struct st_proc *proc, unsigned long addr, const void *buf, size_t len);

#define ST_EDIT_MAX 16

/* Some bytes to be written. */
struct st_edit {
	unsigned long addr;
	uint8_t len; /* at most ST_EDIT_MAX */
	uint8_t bytes[ST_EDIT_MAX];
};

/**
 * st_mem_edit() - write many small pieces, each page with one write
 * @edits: sorted by address here; must not overlap
 *
 * What lies between two edits of a page is read and written back, so threads that could change it
 * must be stopped (text: nobody changes it).
 *
 * Return: 0, or the errno of st_mem_write() for the first page that failed, with the pages before
 * it put back.
 */
int st_mem_edit(struct st_proc *proc, struct st_edit *edits, size_t n, char *err);

/* ---- objects.c */

#define ST_FUNC_IFUNC (1u << 0)	 /* @addr is the resolver, not the function */
#define ST_FUNC_ALIAS (1u << 1)	 /* another name of the function before it in the list */
#define ST_FUNC_NOSIZE (1u << 2) /* the symbol has no size; @size is a guess: @room */
#define ST_FUNC_LOCAL (1u << 3)	 /* a local symbol (static) */
#define ST_FUNC_NONAME (1u << 4) /* from .eh_frame; @name is its address in the file: "0x1234" */
#define ST_FUNC_PART (1u << 5)	 /* may be a piece of another function, which is jumped to and not called */

/* A function's symbol. */
struct st_func {
	const char *name;   /* without a version */
	unsigned long addr; /* in the process (in the file: st_value); no Thumb bit */
	unsigned long size; /* bytes */
	unsigned long room; /* bytes up to the next function or the end of its section */
	enum st_isa isa;
	unsigned int flags; /* ST_FUNC_* */
	const struct st_object *object;
};

/* An address range. */
struct st_range {
	unsigned long lo, hi; /* hi is not part of it */
};

#define ST_OBJECT_EXE (1u << 0)	   /* the program itself */
#define ST_OBJECT_VDSO (1u << 1)   /* the kernel's, has no file */
#define ST_OBJECT_INTERP (1u << 2) /* the dynamic loader */
#define ST_OBJECT_LINKED (1u << 3) /* in the dynamic loader's list */
#define ST_OBJECT_MEMORY                                                                           \
	(1u << 4) /* no file could be opened: symbols are those of the dynamic table in memory */

#define ST_BUILD_ID_MAX 64

/* A PT_LOAD, at its place. */
struct st_segment {
	unsigned long start, end; /* bias + p_vaddr, and + p_memsz */
	unsigned long offset;	  /* p_offset */
	unsigned long filesz;
	unsigned int prot; /* PROT_* */
};

#define ST_SEGMENTS_MAX 32

/* An ELF object in a process, or a file. */
struct st_object {
	const char *path;     /* as the process sees it, "[vdso]" */
	const char *name;     /* its last component */
	unsigned long bias;   /* what is added to the addresses of the file; 0 for a file */
	unsigned long lo, hi; /* from the first segment to the end of the last, page aligned */
	unsigned int flags;
	size_t nsegments;
	struct st_segment segment[ST_SEGMENTS_MAX];
	size_t build_id_len; /* 0: it has none */
	uint8_t build_id[ST_BUILD_ID_MAX];
	unsigned long dynamic; /* address of its PT_DYNAMIC, 0: none */
	int order;	       /* place in the dynamic loader's list, from 0; -1: not in it */
	const char *why;       /* why its symbols are not (all) known, else NULL */
	struct st_object_priv *priv;
};

struct st_objects {
	size_t n;
	struct st_object *object; /* the program first, then by order, then by address */
	struct st_proc *proc;	  /* NULL for a file */
	void *priv;
};

/**
 * st_objects_read() - the ELF objects of a process
 *
 * Each is checked: program headers and build-id of the file that is opened are those in memory; a
 * file that was deleted, replaced or is in another mount namespace is found all the same. Symbols
 * are read when first asked for. May run while the target runs; an object that goes away meanwhile
 * is left out.
 *
 * Return: 0 or a negative errno.
 */
int st_objects_read(struct st_proc *proc, struct st_objects **objs, char *err);

/* The same for a file: one object with bias 0. -ENOEXEC: not an ELF file of the tool's
 * architecture, or damaged. */
int st_objects_file(const char *path, struct st_objects **objs, char *err);

/* Is this its name? The last component of its path is, and its DT_SONAME. */
bool st_object_called(const struct st_object *object, const char *name);

void st_objects_free(struct st_objects *objs);

/* Is this object, at its place, one of those? NULL: of none. */
bool st_objects_known(const struct st_objects *objs, const struct st_object *obj);

/* Is the dynamic loader at work on its list? Has it not begun, in a program that has just been executed? */
bool st_objects_loading(struct st_objects *objs);
bool st_objects_starting(struct st_objects *objs);

/* The object that holds @addr, or NULL. */
struct st_object *st_objects_find(const struct st_objects *objs, unsigned long addr);

/**
 * st_object_functions() - functions of an object, by address
 * @n: set to their number
 *
 * Of a file without .symtab also those of its debug file or .gnu_debugdata; with neither, also the
 * code that .eh_frame describes (ST_FUNC_NONAME; not on 32-bit ARM).
 * Every name is there once; names at the same address follow each other, all but the first with
 * ST_FUNC_ALIAS. Functions of the PLT are not listed. Valid until st_objects_free().
 *
 * Return: the array; NULL with *@n == 0 when there are none (object->why may say why).
 */
const struct st_func *st_object_functions(struct st_object *obj, size_t *n);

/* The function whose bytes hold @addr (size, not room), or NULL. The first name, not an alias. */
const struct st_func *st_object_function_at(struct st_object *obj, unsigned long addr);

/* Its executable sections (.plt left out), by address; whole segments when the file has no section
 * table. */
const struct st_range *st_object_text(struct st_object *obj, size_t *n);

/**
 * st_object_bytes() - what the object's file holds for an address of the process
 *
 * To compare memory with. Relocations are not applied.
 * Return: 0, -ENOENT when there is no file, -EFAULT when the address is in no segment's file part.
 */
int st_object_bytes(struct st_object *obj, unsigned long addr, void *buf, size_t len);

/*
 * Where the block of thread-local variables lies: the same distance from every thread's pointer, for the program itself. False: it
 * is a library, or has none, or one that does not begin aligned.
 */
bool st_object_tls(const struct st_object *obj, int64_t *offset);

/* A file descriptor of the object's file, or -1. It stays the object's. */
int st_object_fd(const struct st_object *obj);

/* A symbol, of any type. */
struct st_symbol {
	const char *name;
	const char *version; /* NULL: none */
	const char *file;    /* of a static one: the source file, without folder; NULL: not known */
	unsigned long addr;  /* in the process; no Thumb bit; STT_TLS: offset in the TLS block */
	unsigned long size;
	unsigned char type; /* STT_* */
	unsigned char bind; /* STB_* */
	bool dynamic;	    /* from .dynsym: other objects may see it */
	bool hidden;	    /* an old version, found only by who asks for it */
	enum st_isa isa;
};

/**
 * st_object_symbol() - a defined symbol by its name
 * @name: FILE:NAME: a static one of this source file
 * @version: NULL: the default version; else this one
 * @sym: filled in; strings are valid until st_objects_free()
 *
 * Dynamic symbols are preferred to others, global to local.
 * Return: 0, -ENOENT, -EEXIST when several different local symbols have the name.
 */
int st_object_symbol(struct st_object *obj, const char *name, const char *version,
		     struct st_symbol *sym);

/**
 * st_objects_resolve() - the symbol that the dynamic loader would take
 * @name: of a dynamic symbol
 * @version: or NULL
 * @obj: set to who defines it, if not NULL
 * @sym: filled in
 *
 * In the order of the loader's list; symbols of objects that are not in it are not seen, but those
 * of the program itself when there is no list (static programs: their whole symbol table).
 *
 * Return: 0 or -ENOENT.
 */
int st_objects_resolve(struct st_objects *objs, const char *name, const char *version,
		       struct st_object **obj, struct st_symbol *sym);

/* ---- stop.c */

struct st_stop;
struct st_thread;

#define ST_STOP_ONE (1u << 0) /* one thread is enough: for a remote call while the others run */

/**
 * st_stop() - stop the threads
 * @flags: ST_STOP_*
 * @timeout_ms: how long to try (a thread that waits for a vfork child, or for a disk, can't be
 *stopped)
 *
 * A process has at most one stop at a time. System calls that threads were in go on as if nothing
 *had been, when they are resumed. A process that was stopped by a signal is stopped again
 *afterwards.
 *
 * Return: 0, -ESRCH (gone), -EPERM, -EBUSY (says which thread can't be stopped; nobody is left
 *stopped), -ESTALE (it has executed another program).
 */
int st_stop(struct st_proc *proc, unsigned int flags, unsigned int timeout_ms,
	    struct st_stop **stop, char *err);

/**
 * st_stop_thread_of() - stop one thread, this one
 * @tid: its id
 *
 * Return: as st_stop(); -ENOENT when there is no such thread (any more).
 */
int st_stop_thread_of(struct st_proc *proc, pid_t tid, unsigned int timeout_ms, struct st_stop **stop,
		      char *err);

/**
 * st_resume() - let them go on, and forget the stop
 * @ns: set to the time between the first thread's stop and the last one's release, if not NULL
 *
 * Return: 0, -ESRCH when the process died meanwhile.
 */
int st_resume(struct st_stop *stop, uint64_t *ns);

struct st_proc *st_stop_proc(struct st_stop *stop);
size_t st_stop_count(const struct st_stop *stop);
struct st_thread *st_stop_thread(struct st_stop *stop, size_t i);
pid_t st_thread_tid(const struct st_thread *thread);

/**
 * st_thread_regs() - the registers with which the thread will go on
 *
 * orig_ax (orig_r0) is the kernel's, cs and ss are the thread's.
 * Return: 0 or -ESRCH.
 */
int st_thread_regs(struct st_thread *thread, struct st_regs *regs);
int st_thread_set_regs(struct st_thread *thread, const struct st_regs *regs);

/* Move it: on ARM bit 0 is the state to go on in. */
int st_thread_set_pc(struct st_thread *thread, unsigned long pc);

/* ---- remote.c */

struct st_remote;

/**
 * st_remote_begin() - borrow a thread
 * @stop: the process must be stopped, or this thread of it
 * @thread: which; NULL: any that is suitable
 *
 * Return: 0, or -EPERM (seccomp would not let us), -ENOTSUP (says what is in the way), -ESRCH.
 */
int st_remote_begin(struct st_stop *stop, struct st_thread *thread, struct st_remote **remote,
		    char *err);

/* Give it back: registers, vector state, signal mask and an interrupted system call are as they
 * were. */
int st_remote_end(struct st_remote *remote);

struct st_stop *st_remote_stop(struct st_remote *remote);

/**
 * st_remote_syscall() - a system call made by the borrowed thread
 * @ret: what it returned (-4095 to -1: a negated errno)
 *
 * Return: 0 when it was made, or -ESRCH (died), -ETIMEDOUT.
 */
int st_remote_syscall(struct st_remote *remote, long *ret, long nr, const unsigned long args[6]);

/* The common ones. Return: 0 (or the descriptor) or a negative errno. */
int st_remote_mmap(struct st_remote *remote, unsigned long *addr, size_t len, int prot, int flags,
		   int fd, unsigned long offset);
int st_remote_munmap(struct st_remote *remote, unsigned long addr, size_t len);
int st_remote_mprotect(struct st_remote *remote, unsigned long addr, size_t len, int prot);
int st_remote_open(struct st_remote *remote, const char *path, int flags, int mode);
int st_remote_close(struct st_remote *remote, int fd);
int st_remote_memfd(struct st_remote *remote, const char *name, unsigned int flags);
int st_remote_ftruncate(struct st_remote *remote, int fd, unsigned long size);

/**
 * st_remote_call() - a C function called by the borrowed thread
 * @fn: its address (ARM: with Thumb bit)
 * @nargs: at most 4
 * @ret: what it returned
 * @timeout_ms: it is abandoned after that
 *
 * On a stack of ours (32 KiB), signals blocked. It must not take locks that a stopped thread may
 * hold, nor use thread-local storage in a way that the thread's own code would notice.
 *
 * Return: 0, -EFAULT when it crashed (the process goes on), -ETIMEDOUT, -ESRCH.
 */
int st_remote_call(struct st_remote *remote, unsigned long fn, const unsigned long *args,
		   unsigned int nargs, unsigned long *ret, unsigned int timeout_ms, char *err);

/* 4 KiB of the target's memory for arguments; its own while the thread is borrowed. 0 when it can't
 * be had. */
unsigned long st_remote_buffer(struct st_remote *remote);

#define ST_AREA_NAME "sidetrack-code"

/**
 * st_remote_area() - new memory near an address
 * @size: bytes, made whole pages
 * @near, @near_end, @reach: as st_maps_gap()
 * @prot: PROT_*; executable memory is filled by st_mem_write(), never made writable
 * @addr: set to it
 *
 * In maps it is /memfd:ST_AREA_NAME.
 *
 * Return: 0, -ENOMEM when there is no room.
 */
int st_remote_area(struct st_remote *remote, size_t size, unsigned long near,
		   unsigned long near_end, unsigned long reach, int prot, unsigned long *addr,
		   char *err);

/* ---- load.c */

/**
 * typedef st_resolve_fn - find what a loaded object imports
 * @name: the symbol
 * @version: the version asked for, or NULL
 * @addr: set to its address (ARM: with Thumb bit for functions)
 *
 * Return: 0, or -ENOENT (a weak import then is 0, any other a refusal).
 */
typedef int (*st_resolve_fn)(void *ctx, const char *name, const char *version, unsigned long *addr);

/**
 * struct st_load_opts - how to load
 * @size: sizeof(struct st_load_opts)
 * @near, @near_end, @reach: where to, as st_maps_gap()
 * @path: a file the process can open: mapped, so that debuggers and profilers see it. NULL, or when
 *it can't be opened there or is not the same: anonymous memory
 * @resolve, @ctx: imports; NULL: none allowed
 */
struct st_load_opts {
	size_t size;
	unsigned long near, near_end, reach;
	const char *path;
	st_resolve_fn resolve;
	void *ctx;
};

/* What was loaded. */
struct st_loaded {
	unsigned long bias;
	unsigned long lo, hi; /* all of its memory */
	bool named;	      /* mapped from the file */
	bool keep;	      /* throws exceptions of types that are its own: those may be alive when it isn't run any more */
};

/**
 * st_load() - map a shared object into the target, without the target's dynamic loader
 * @image: the file's bytes
 * @len: their number
 *
 * Segments get the protection they ask for, never writable and executable at once. Constructors
 *(DT_INIT, DT_INIT_ARRAY), TLS, IRELATIVE and COPY relocations and text relocations are refused.
 *
 * Return: 0; -ENOEXEC: damaged, or not for this architecture; -ENOTSUP: needs what is not supported
 *(says what); -ENOENT: an import is missing (names it); -ENOMEM: no room near. Nothing is left
 *mapped on an error.
 */
int st_load(struct st_remote *remote, const void *image, size_t len,
	    const struct st_load_opts *opts, struct st_loaded *loaded, char *err);

/* Would st_load() take it, in a process that has all that it imports? Return: as st_load(). */
int st_load_check(const void *image, size_t len, char *err);

/* Take it away again; no thread may be in it (st_scan()). */
int st_unload(struct st_remote *remote, const struct st_loaded *loaded);

/**
 * st_image_symbol() - a symbol defined in the bytes of an object
 * @bias: added to its value (st_loaded.bias)
 * @addr: set to the address (ARM: with Thumb bit for functions)
 * Return: 0, -ENOENT, -ENOEXEC.
 */
int st_image_symbol(const void *image, size_t len, unsigned long bias, const char *name,
		    unsigned long *addr);
/* The same, and the size that the symbol has. */
int st_image_function(const void *image, size_t len, unsigned long bias, const char *name, unsigned long *addr,
		      unsigned long *size);

/* For st_resolve_with_objects(). */
struct st_resolver {
	struct st_objects *objects;
	struct st_remote *remote; /* to run ifunc resolvers; NULL: such imports only when the
				     process bound one */
};

/* A st_resolve_fn over the process's own symbols; @ctx is a struct st_resolver. */
int st_resolve_with_objects(void *ctx, const char *name, const char *version, unsigned long *addr);

/**
 * st_ifunc_chosen() - what the dynamic loader has chosen for an indirect function
 * @f: has ST_FUNC_IFUNC
 *
 * By the slots of all objects that ask for it.
 *
 * Return: the address of the function (no Thumb bit), 0: not known.
 */
unsigned long st_ifunc_chosen(struct st_objects *objs, struct st_object *obj, const struct st_func *f);

/* ---- stack.c */

/* Where an address was found. */
struct st_hit {
	pid_t tid;
	unsigned long value; /* the word */
	unsigned long where; /* its address on the stack; 0: a register */
	size_t range;	     /* which range */
};

/**
 * st_scan() - may a thread be in one of these ranges, or come back to it?
 * @thread: a stopped thread
 * @ranges: code
 * @n: number of ranges
 * @hit: what was found first, if not NULL
 *
 * Conservative: pc, all registers and every word of the live stack are looked at; a word that only
 *looks like an address counts.
 *
 * Return: 0 it is not, 1 it may be (@hit), or a negative errno: unknown, which must be read as "it
 *may be"
 *	(-E2BIG: more stack than 8 MiB; -EFAULT: the stack can't be read).
 */
int st_scan(struct st_thread *thread, const struct st_range *ranges, size_t n, struct st_hit *hit);

/**
 * st_scan_interrupted() - is a thread in one of these ranges, or was it there when a signal came?
 *
 * For code from which nothing outside is called, so that no return address into it is on a stack
 * but stale ones: pc, and the pc that signal frames on the live stack hold. Otherwise as st_scan().
 */
int st_scan_interrupted(struct st_thread *thread, const struct st_range *ranges, size_t n,
			struct st_hit *hit);

#endif
