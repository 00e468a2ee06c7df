/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See unwind.h. Frames are described by .eh_frame or .debug_frame (cfi.c), on 32-bit ARM by .ARM.exidx (exidx.c). Not by libdw: 0.188 takes
 * AArch64's signed return addresses for SPARC's register windows, knows no .ARM.exidx, and where nothing is described guesses from frame
 * pointers, which is no evidence.
 *
 * What a signal handler has interrupted is told by the code that it returns to, which is a system call, and by what the kernel has written
 * there for that; the kernel's own descriptions of it are made for debuggers and leave frames out.
 */
#include <elf.h>
#include <gelf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <process/cfi.h>
#include <process/debugfile.h>
#include <process/exidx.h>
#include <process/symbols.h>
#include <process/unwind.h>

#define FRAMES_MAX	8192
#define SECTION_MAX	(64ul << 20)
#define TABLES		3	/* .eh_frame, .debug_frame, and that of a debug file */

/* What describes the code of an object. */
struct module {
	unsigned long lo, hi, bias;
	struct st_object *obj;		/* NULL: a patch's */
	bool read;
	size_t n;
	uint8_t *data[TABLES];
	struct st_cfi_table table[TABLES];
	/* .ARM.exidx, as it is in memory: pairs of words */
	uint32_t *index;
	size_t pairs;
	unsigned long index_at;
};

struct st_unwind {
	struct st_objects *objs;
	struct module *module;
	size_t n;
};

/* ---- tables ---- */

static void free_module(struct module *m)
{
	for (size_t i = 0; i < m->n; i++) {
		st_cfi_close(&m->table[i]);
		free(m->data[i]);
	}
	free(m->index);
}

void st_unwind_free(struct st_unwind *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < u->n; i++)
		free_module(&u->module[i]);
	free(u->module);
	st_objects_free(u->objs);
	free(u);
}

static void add_table(struct module *m, const void *data, size_t len, unsigned long addr, bool debug)
{
	uint8_t *copy;

	if (m->n == TABLES || !len || len > SECTION_MAX || !(copy = malloc(len)))
		return;
	memcpy(copy, data, len);
	if (st_cfi_open(&m->table[m->n], copy, len, addr, debug))
		m->data[m->n++] = copy;
	else
		free(copy);
}

static void add_sections(struct module *m, Elf *elf, bool debug_only)
{
	Elf_Scn *scn = NULL;
	size_t names;

	if (!elf || elf_getshdrstrndx(elf, &names))
		return;
	while ((scn = elf_nextscn(elf, scn))) {
		const char *name;
		bool debug;
		Elf_Data *data;
		GElf_Shdr sh;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type == SHT_NOBITS || !(name = elf_strptr(elf, names, sh.sh_name)))
			continue;
		debug = !strcmp(name, ".debug_frame");
		if (!debug && (debug_only || strcmp(name, ".eh_frame")))
			continue;
		if (sh.sh_flags & SHF_COMPRESSED && elf_compress(scn, 0, 0) < 0)
			continue;
		data = elf_getdata(scn, NULL);
		if (data && data->d_buf)
			add_table(m, data->d_buf, data->d_size, sh.sh_addr, debug);
	}
}

#if defined(__arm__)
static void read_index(struct st_proc *proc, struct module *m, unsigned long at, size_t pairs)
{
	if (m->index || !pairs || pairs > SECTION_MAX / 8 || !(m->index = malloc(8 * pairs)) || st_mem_read(proc, at, m->index, 8 * pairs))
		return;
	m->pairs = pairs;
	m->index_at = at;
}
#endif

/* As it is mapped: of the kernel's own object, and of patches. And on 32-bit ARM of all: the index is always there. */
static void read_memory(struct st_proc *proc, struct module *m, bool frames)
{
	ElfW(Phdr) phdr[64], *eh = NULL;
	unsigned long end = 0, at;
	uint8_t head[16], *data;
	ElfW(Ehdr) ehdr;
	ssize_t got;

	if (st_mem_read(proc, m->lo, &ehdr, sizeof(ehdr)) || !st_elf_is_ours(&ehdr) || ehdr.e_phnum > sizeof(phdr) / sizeof(phdr[0]) ||
	    st_mem_read(proc, m->lo + ehdr.e_phoff, phdr, ehdr.e_phnum * sizeof(phdr[0])))
		return;
	for (int i = 0; i < ehdr.e_phnum; i++) {
		if (phdr[i].p_type == PT_GNU_EH_FRAME)
			eh = &phdr[i];
#if defined(__arm__)
		if (phdr[i].p_type == PT_ARM_EXIDX)
			read_index(proc, m, m->bias + phdr[i].p_vaddr, phdr[i].p_memsz / 8);
#endif
	}
	if (!frames || !eh || st_mem_read(proc, m->bias + eh->p_vaddr, head, sizeof(head)))
		return;
	at = st_frames_find(head, sizeof(head), eh->p_vaddr);
	for (int i = 0; i < ehdr.e_phnum; i++)
		if (phdr[i].p_type == PT_LOAD && at >= phdr[i].p_vaddr && at - phdr[i].p_vaddr < phdr[i].p_filesz)
			end = phdr[i].p_vaddr + phdr[i].p_filesz;
	if (!at || !end || end - at > SECTION_MAX || !(data = malloc(end - at)))
		return;
	got = st_mem_read_some(proc, m->bias + at, data, end - at);
	if (got > 0)
		add_table(m, data, (size_t)got, at, false);
	free(data);
}

static void read_module(struct st_proc *proc, struct module *m)
{
	int fd = m->obj ? st_object_fd(m->obj) : -1;
	struct st_debugfile debug;
	Elf *elf;

	m->read = true;
	elf_version(EV_CURRENT);
	elf = fd >= 0 ? elf_begin(fd, ELF_C_READ_MMAP_PRIVATE, NULL) : NULL;
	add_sections(m, elf, false);
	elf_end(elf);
	read_memory(proc, m, !m->n);
	if (m->obj && m->obj->build_id_len && st_debugfile_find(m->obj->build_id, m->obj->build_id_len, &debug)) {
		add_sections(m, debug.elf, true);
		st_debugfile_close(&debug);
	}
}

/* Where the first page of an object that was mapped at @lo belongs. */
static bool bias_of(struct st_proc *proc, unsigned long lo, unsigned long *bias)
{
	ElfW(Phdr) phdr[64];
	ElfW(Ehdr) ehdr;

	if (st_mem_read(proc, lo, &ehdr, sizeof(ehdr)) || !st_elf_is_ours(&ehdr) || ehdr.e_phnum > sizeof(phdr) / sizeof(phdr[0]) ||
	    st_mem_read(proc, lo + ehdr.e_phoff, phdr, ehdr.e_phnum * sizeof(phdr[0])))
		return false;
	for (int i = 0; i < ehdr.e_phnum; i++) {
		if (phdr[i].p_type != PT_LOAD)
			continue;
		*bias = lo - st_page_down(phdr[i].p_vaddr);
		return true;
	}
	return false;
}

static struct st_unwind *begin(struct st_evidence *e)
{
	struct st_unwind *u = calloc(1, sizeof(*u));

	if (!u || st_objects_read(e->s->proc, &u->objs, NULL) ||
	    !(u->module = calloc(u->objs->n + ST_REGIONS_MAX, sizeof(*u->module)))) {
		st_unwind_free(u);
		return NULL;
	}
	for (size_t i = 0; i < u->objs->n; i++) {
		struct st_object *o = &u->objs->object[i];

		u->module[u->n++] = (struct module){ .lo = o->lo, .hi = o->hi, .bias = o->bias, .obj = o };
	}
	for (int i = 0; i < ST_REGIONS_MAX; i++) {
		const struct st_ctl_region *r = &e->s->ctl->region[i];
		struct module m = { .lo = (unsigned long)r->start, .hi = (unsigned long)(r->start + r->size) };

		if (r->kind == ST_REGION_PATCH && !st_objects_find(u->objs, m.lo) && bias_of(e->s->proc, m.lo, &m.bias))
			u->module[u->n++] = m;
	}
	return u;
}

static struct module *find_module(struct st_evidence *e, unsigned long pc)
{
	struct st_unwind *u = e->unwind;

	for (size_t i = 0; i < u->n; i++) {
		struct module *m = &u->module[i];

		if (pc < m->lo || pc >= m->hi || (m->obj && st_objects_find(u->objs, pc) != m->obj))
			continue;
		if (!m->read)
			read_module(e->s->proc, m);
		return m;
	}
	return NULL;
}

/* ---- registers ---- */

static void take_registers(const struct st_regs *v, struct st_cfi_regs *regs)
{
#if defined(__x86_64__)
	*regs = (struct st_cfi_regs){ v->ip, { v->ax, v->dx, v->cx, v->bx, v->si, v->di, v->bp, v->sp, v->r8, v->r9, v->r10, v->r11,
					      v->r12, v->r13, v->r14, v->r15, v->ip }, 0 };
#elif defined(__aarch64__)
	*regs = (struct st_cfi_regs){ .pc = v->pc };
	memcpy(regs->r, v->regs, sizeof(v->regs));
	regs->r[ST_CFI_SP] = v->sp;
#else
	*regs = (struct st_cfi_regs){ .pc = v->pc | (v->cpsr & ST_CPSR_T ? 1 : 0) };
	memcpy(regs->r, v, 16 * sizeof(long));
#endif
}

/* ARM has another kind of frame for handlers without SA_SIGINFO. */
enum trampoline { NONE, SIGINFO, PLAIN };

/* Is the code at @pc a system call that returns from a signal handler? */
static enum trampoline trampoline_at(struct st_proc *proc, unsigned long pc)
{
	uint8_t code[12] = { 0 };
#if defined(__x86_64__)
	static const uint8_t movq[] = { 0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05 }, movl[] = { 0xb8, 15, 0, 0, 0, 0x0f, 0x05 };

	st_mem_read_some(proc, pc, code, sizeof(code));
	return !memcmp(code, movq, sizeof(movq)) || !memcmp(code, movl, sizeof(movl)) ? SIGINFO : NONE;
#elif defined(__aarch64__)
	static const uint8_t mov[] = { 0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4 };

	st_mem_read_some(proc, pc, code, sizeof(code));
	return !memcmp(code, mov, sizeof(mov)) ? SIGINFO : NONE;
#else
	static const uint8_t swi[] = { 0x00, 0x00, 0x00, 0xef };

	st_mem_read_some(proc, pc & ~1ul, code, sizeof(code));
	/* mov r7, #173 or #119; svc. Thumb: a movs or a mov.w */
	if (pc & 1) {
		uint8_t nr = code[0] == 0x4f && code[1] == 0xf0 && code[3] == 0x07 ? code[2] : code[1] == 0x27 ? code[0] : 0;
		const uint8_t *svc = code[1] == 0x27 ? code + 2 : code + 4;

		if (svc[0] || svc[1] != 0xdf)
			return NONE;
		return nr == 173 ? SIGINFO : nr == 119 ? PLAIN : NONE;
	}
	if (code[1] != 0x70 || code[2] != 0xa0 || code[3] != 0xe3 || memcmp(code + 4, swi, 3) || code[7] != 0xef)
		return NONE;
	return code[0] == 173 ? SIGINFO : code[0] == 119 ? PLAIN : NONE;
#endif
}

/* From the frame that the kernel has made at sp (arch/<arch>/kernel/signal.c): all registers of what was interrupted. */
static bool take_interrupted(const struct st_live *live, enum trampoline kind, struct st_cfi_regs *regs)
{
	unsigned long at = regs->r[ST_CFI_SP], word[33];
#if defined(__x86_64__)
	/* sp is behind the return address, at struct ucontext: flags, link, stack; r8 to r15, di si bp bx dx ax cx sp ip. */
	static const uint8_t order[] = { 8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16 };
	enum { OFFSET = 40, N = 17 };

	(void)kind;
#elif defined(__aarch64__)
	/* struct siginfo; flags, link, stack, 128 bytes for the mask; fault_address; x0 to x30, sp, pc. */
	enum { OFFSET = 128 + 176 + 8, N = 33 };

	(void)kind;
#else
	/* struct siginfo; flags, link, stack; trap_no, error_code, oldmask; r0 to pc, cpsr. */
	enum { OFFSET = 32, N = 17 };

	at += kind == SIGINFO ? 128 : 0;
#endif
	for (int i = 0; i < N; i++)
		if (!st_live_word(live, at + OFFSET + i * sizeof(long), &word[i]))
			return false;
	*regs = (struct st_cfi_regs){ 0 };
#if defined(__x86_64__)
	for (int i = 0; i < N; i++)
		regs->r[order[i]] = word[i];
	regs->pc = regs->r[16];
#elif defined(__aarch64__)
	memcpy(regs->r, word, 32 * sizeof(long));
	regs->pc = word[32];
#else
	memcpy(regs->r, word, 16 * sizeof(long));
	regs->pc = word[15] | (word[16] & ST_CPSR_T ? 1 : 0);
#endif
	return true;
}

/* Without Thumb bit. */
static unsigned long place(unsigned long pc)
{
#if defined(__arm__)
	return pc & ~1ul;
#else
	return pc;
#endif
}

/* Does who goes on at @pc (ARM: with Thumb bit) come from a system call, or make one at once? */
static bool at_system_call(struct st_proc *proc, unsigned long pc)
{
	uint8_t code[8] = { 0 };

	if (st_mem_read(proc, place(pc) - 4, code, sizeof(code)))
		return false;
#if defined(__x86_64__)
	return code[2] == 0x0f && code[3] == 0x05;
#elif defined(__aarch64__)
	static const uint8_t svc[] = { 0x01, 0x00, 0x00, 0xd4 };

	return !memcmp(code, svc, 4) || !memcmp(code + 4, svc, 4);
#else
	if (pc & 1)
		return (!code[2] && code[3] == 0xdf) || (!code[4] && code[5] == 0xdf);
	return (!code[0] && !code[1] && !code[2] && (code[3] & 0x0f) == 0x0f) || (!code[4] && !code[5] && !code[6] && (code[7] & 0x0f) == 0x0f);
#endif
}

/* ---- the bottom ---- */

/* A program's or the loader's first function, which nobody calls. */
static bool is_start(struct st_evidence *e, struct module *m, unsigned long pc)
{
	struct st_proc *proc = e->s->proc;
	unsigned long entry = st_proc_auxv(proc, AT_ENTRY) & ~1ul;
	const struct st_func *f;

	if (!m->obj || !(m->obj->flags & (ST_OBJECT_EXE | ST_OBJECT_INTERP)))
		return false;
	if (m->obj->flags & ST_OBJECT_INTERP)
		entry = m->bias + (m->obj->priv->ehdr.e_entry & ~1ul);
	f = st_object_function_at(m->obj, entry);
	/* Of a stripped program: no function of its own is so near behind it, but what the compiler's crt1.o brings. */
	return pc >= entry && pc < entry + (f && f->addr == entry ? f->size : 0x40);
}

/* A thread's first function, in the C library: it calls what pthread_create() was given, and nothing else that it calls waits. */
static bool is_thread_start(struct module *m, unsigned long pc)
{
	static const char *const names[] = { "clone", "__clone", "clone3", "__clone3", "thread_start", "__thread_start" };
	const struct st_func *f = m->obj ? st_object_function_at(m->obj, pc) : NULL;
	struct st_symbol main;

	if (!f || st_object_symbol(m->obj, "__libc_start_main", NULL, &main))
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(f->name, names[i]))
			return true;
	return false;
}

/* ---- the walk ---- */

struct walk {
	struct st_evidence *e;
	struct st_copy *copy;
	struct st_cfi_regs regs;
	unsigned long pc;	/* of regs, as an address */
	bool called;		/* it is behind a call; else it was interrupted there, or stands there */
	unsigned long cfa, ra_at;
	unsigned int left;	/* bits: pieces of the stack that the frames have left */
	bool rest;		/* what is above may still be clean */
};

static bool read_word(void *ctx, unsigned long addr, unsigned long *word)
{
	struct walk *w = ctx;

	return st_live_word(&w->copy->live, addr, word);
}

static void __attribute__((format(printf, 2, 3))) give_up(struct walk *w, const char *fmt, ...)
{
	va_list ap;

	w->copy->verdict = ST_COPY_UNKNOWN;
	va_start(ap, fmt);
	vsnprintf(w->copy->why, sizeof(w->copy->why), fmt, ap);
	va_end(ap);
}

/* A probed return: on to the true return address. False: there is none. */
static bool follow_due(struct walk *w)
{
	struct st_evidence *e = w->e;
	unsigned long after = w->regs.pc & ~w->copy->live.pac;
	const struct st_due *due = NULL;
	struct st_due *more;
#if defined(__x86_64__)
	unsigned long key = w->ra_at;
#else
	unsigned long key = w->cfa;
#endif

	if (w->called)
		due = st_due_find(e->due, e->ndue, key, after);
	if (!due)
		return false;
	more = realloc(w->copy->due, (w->copy->ndue + 1) * sizeof(*more));
	if (!more)
		return false;
	w->copy->due = more;
	more[w->copy->ndue++] = (struct st_due){ .key = key, .addr = due->addr, .after = after };
	w->regs.pc = due->addr;
	return true;
}

#if defined(__arm__)
static bool read_table(void *ctx, unsigned long addr, void *buf, size_t len)
{
	struct walk *w = ctx;

	return !st_mem_read(w->e->s->proc, addr, buf, len);
}

/* The place behind a call? The tables say nothing about the first and last instructions: what they lead to must be likely, too. */
static bool is_behind_call(struct walk *w)
{
	unsigned long pc = place(w->regs.pc);
	uint8_t code[8];

	return st_evidence_ours(w->e, pc) || trampoline_at(w->e->s->proc, w->regs.pc) != NONE ||
	       (!st_mem_read(w->e->s->proc, pc - sizeof(code), code, sizeof(code)) && st_ends_with_call(code + sizeof(code)));
}

/*
 * Who was not called, but stands or was interrupted there, must do so at a system call; and may have nothing of its frame yet, in a path
 * that needs none: then its caller is where lr says.
 */
static enum st_cfi_result step_exidx(struct walk *w, struct module *m)
{
	unsigned long entry, lr = w->regs.r[14];
	enum st_cfi_result ret;
	uint32_t word;

	if (!w->called && !at_system_call(w->e->s->proc, w->regs.pc))
		return ST_CFI_UNKNOWN;
	if (!st_exidx_find(m->index, m->pairs, m->index_at, w->pc - w->called, &entry, &word))
		return ST_CFI_UNKNOWN;
	ret = st_exidx_step(entry, word, &w->regs, &w->cfa, &w->ra_at, read_table, read_word, w);
	if (ret == ST_CFI_CALLER && !w->called && w->ra_at && st_old_at(w->e, lr, false) >= 0)
		return ST_CFI_UNKNOWN;
	return ret == ST_CFI_CALLER && !is_behind_call(w) ? ST_CFI_UNKNOWN : ret;
}
#endif

static enum st_cfi_result step(struct walk *w, struct module *m)
{
	unsigned long at = w->pc - w->called - m->bias;
	struct st_cfi_regs before = w->regs;
	enum st_cfi_result ret = ST_CFI_UNKNOWN;
	const struct st_frame *f = NULL;
	size_t i;

	for (i = 0; i < m->n && !f; i++)
		f = st_cfi_find(&m->table[i], at);
	if (f)
		ret = st_cfi_step(&m->table[i - 1], f, at, &w->regs, &w->cfa, &w->ra_at, read_word, w);
#if defined(__arm__)
	else
		ret = step_exidx(w, m);
#endif
	if (ret == ST_CFI_BOTTOM)
		return ret;
	/* Who has called has put its own return address away; and a caller's frame is higher up. */
	if (ret == ST_CFI_CALLER && (!f || !f->signal))
		if ((w->called && !w->ra_at) || w->cfa < before.r[ST_CFI_SP] || (w->called && w->cfa == before.r[ST_CFI_SP]))
			ret = ST_CFI_UNKNOWN;
	if (ret != ST_CFI_CALLER) {
		w->regs = before;
		return ret;
	}
	w->called = !f || !f->signal;
	return ret;
}

/* From a signal frame to what was interrupted, maybe on another stack. */
static void note_left(struct walk *w, unsigned long before)
{
	unsigned long now = w->regs.r[ST_CFI_SP];

	for (size_t i = 0; i < w->copy->live.n; i++) {
		const struct st_piece *p = &w->copy->live.piece[i];

		if (before >= p->lo && before <= p->hi && (now < p->lo || now > p->hi))
			w->left |= 1u << i;
	}
}

/*
 * Where unwinding ends before the bottom: what has been unwound is known, and above it no word leads to old code, nor does a register that
 * the frame may still hold. Pieces of stack that the frames have left are known, too.
 */
static bool rest_is_clean(struct walk *w)
{
	const struct st_live *live = &w->copy->live;
	unsigned long sp = w->regs.r[ST_CFI_SP] & -sizeof(long);
	struct st_found f;
	bool on_one = false;

	if (live->cut)
		return false;
	for (size_t i = 0; i < ST_CFI_REGS; i++)
		if (st_old_at(w->e, w->regs.r[i] & ~live->pac, false) >= 0)
			return false;
	for (size_t i = 0; i < live->n; i++) {
		struct st_piece p = live->piece[i];
		bool here = sp >= p.lo && sp <= p.hi;

		if (w->left >> i & 1 && !here)
			continue;
		on_one |= here;
		p.word += here ? (sp - p.lo) / sizeof(long) : 0;
		p.lo = here ? sp : p.lo;
		if (st_evidence_piece(w->e, live, &p, &f))
			return false;
	}
	w->copy->scanned = on_one;
	return on_one;
}

/* Is this frame in old code? */
static bool is_old(struct walk *w, unsigned int frame)
{
	const struct st_evidence *e = w->e;

	for (size_t i = 0; i < e->n; i++) {
		const struct st_old_code *o = &e->old[i];

		if (w->pc - w->called < o->lo || w->pc - w->called >= o->hi || (!w->called && w->pc == o->lo && o->site))
			continue;
		w->copy->verdict = ST_COPY_BUSY;
		w->copy->frame = frame;
		w->copy->old = i;
		w->copy->addr = w->pc;
		return true;
	}
	return false;
}

static void walk(struct walk *w)
{
	struct st_proc *proc = w->e->s->proc;

	for (unsigned int frame = 0, steps = 0; steps < FRAMES_MAX; steps++) {
		unsigned long sp = w->regs.r[ST_CFI_SP];
		enum trampoline kind;
		struct module *m;

		w->pc = place(w->regs.pc & ~w->copy->live.pac);
		if (st_evidence_ours(w->e, w->pc)) {
			if (!follow_due(w)) {
				give_up(w, "frame %u is in code of sidetrack's", frame);
				return;
			}
			continue;
		}
		if (is_old(w, frame))
			return;
		kind = trampoline_at(proc, w->regs.pc & ~w->copy->live.pac);
		if (kind != NONE) {
			if (!take_interrupted(&w->copy->live, kind, &w->regs)) {
				give_up(w, "the signal frame behind frame %u can't be read", frame);
				return;
			}
			note_left(w, sp);
			w->called = false;
			frame++;
			continue;
		}
		m = find_module(w->e, w->pc - w->called);
		if (!m) {
			w->rest = true;
			give_up(w, "frame %u is in code that belongs to no object (%#lx)", frame, w->pc);
			return;
		}
		if (w->called && (is_start(w->e, m, w->pc - 1) || is_thread_start(m, w->pc - 1))) {
			w->copy->verdict = ST_COPY_CLEAN;
			return;
		}
		switch (step(w, m)) {
		case ST_CFI_BOTTOM:
			w->copy->verdict = ST_COPY_CLEAN;
			return;
		case ST_CFI_UNKNOWN:
			w->rest = true;
			give_up(w, "no usable description of frame %u, in %s+%#lx", frame, m->obj ? m->obj->name : "a patch", w->pc - m->bias);
			return;
		case ST_CFI_CALLER:
			frame++;
		}
	}
	give_up(w, "more than %u frames", FRAMES_MAX);
}

void st_unwind_copy(struct st_evidence *e, struct st_copy *copy)
{
	struct walk w = { .e = e, .copy = copy };
	struct st_cfi_regs raw;

	if (!e->unwind)
		e->unwind = begin(e);
	take_registers(&copy->live.raw, &raw);
	take_registers(&copy->live.view, &w.regs);
	if (!e->unwind)
		give_up(&w, "the objects of the process can't be read");
	else if (!at_system_call(e->s->proc, raw.pc))
		give_up(&w, "it does not wait in a system call");
	else
		walk(&w);
	if (copy->verdict == ST_COPY_UNKNOWN && w.rest && rest_is_clean(&w))
		copy->verdict = ST_COPY_CLEAN;
	if (copy->verdict == ST_COPY_CLEAN)
		copy->bottom = w.regs.r[ST_CFI_SP];
}
