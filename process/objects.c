// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which ELF objects a process has mapped, and where: program headers are read from its memory, so
 * that what is said is about what runs, not about what a path leads to today. Symbols: symbols.c.
 */
#include "process/symbols.h"
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* More program headers than this are damage. */
#define PHDRS_MAX 256
#define NOTES_MAX 65536
#define DYNAMIC_MAX 1024
#define SONAME_MAX 256

static unsigned int prot_of(ElfW(Word) flags)
{
	return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) |
	       (flags & PF_X ? PROT_EXEC : 0);
}

bool st_elf_is_ours(const ElfW(Ehdr) * ehdr)
{
	return !memcmp(ehdr->e_ident, ELFMAG, SELFMAG) && ehdr->e_ident[EI_DATA] == ELFDATA2LSB &&
	       ehdr->e_ident[EI_CLASS] == (sizeof(long) == 8 ? ELFCLASS64 : ELFCLASS32) &&
	       ehdr->e_phentsize == sizeof(ElfW(Phdr)) && ehdr->e_phnum &&
	       ehdr->e_phnum <= PHDRS_MAX &&
#if defined(__x86_64__)
	       ehdr->e_machine == EM_X86_64;
#elif defined(__aarch64__)
	       ehdr->e_machine == EM_AARCH64;
#else
	       ehdr->e_machine == EM_ARM;
#endif
}

/* Fills in segments and extent. False when the headers make no sense. */
static bool take_segments(struct st_object *obj, const ElfW(Phdr) * phdr, size_t n)
{
	size_t i;

	obj->lo = ~0ul;
	for (i = 0; i < n; i++) {
		struct st_segment *seg = &obj->segment[obj->nsegments];

		if (phdr[i].p_type == PT_DYNAMIC)
			obj->dynamic = obj->bias + phdr[i].p_vaddr;
		if (phdr[i].p_type != PT_LOAD || !phdr[i].p_memsz)
			continue;
		if (obj->nsegments == ST_SEGMENTS_MAX || phdr[i].p_filesz > phdr[i].p_memsz)
			return false;
		seg->start = obj->bias + phdr[i].p_vaddr;
		seg->end = seg->start + phdr[i].p_memsz;
		seg->offset = phdr[i].p_offset;
		seg->filesz = phdr[i].p_filesz;
		seg->prot = prot_of(phdr[i].p_flags);
		if (seg->end < seg->start)
			return false;
		if (st_page_down(seg->start) < obj->lo)
			obj->lo = st_page_down(seg->start);
		if (st_page_up(seg->end) > obj->hi)
			obj->hi = st_page_up(seg->end);
		obj->nsegments++;
	}
	return obj->nsegments;
}

/* The GNU build-id in a block of notes. */
static void take_build_id(struct st_object *obj, const uint8_t *notes, size_t len)
{
	size_t at = 0;

	while (at + sizeof(ElfW(Nhdr)) <= len) {
		ElfW(Nhdr) note;
		size_t name, desc;

		memcpy(&note, notes + at, sizeof(note));
		name = at + sizeof(note);
		desc = name + ((note.n_namesz + 3ul) & ~3ul);
		if (note.n_namesz > len || note.n_descsz > len || desc > len ||
		    desc + note.n_descsz > len)
			return;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
		    !memcmp(notes + name, "GNU", 4) && note.n_descsz <= ST_BUILD_ID_MAX) {
			obj->build_id_len = note.n_descsz;
			memcpy(obj->build_id, notes + desc, note.n_descsz);
			return;
		}
		at = desc + ((note.n_descsz + 3ul) & ~3ul);
	}
}

/* From memory (@proc) or from a file (@fd). */
static bool read_at(struct st_proc *proc, int fd, unsigned long addr, void *buf, size_t len)
{
	if (proc)
		return !st_mem_read(proc, addr, buf, len);
	return pread64(fd, buf, len, addr) == (ssize_t)len;
}

static void read_build_id(struct st_object *obj, struct st_proc *proc, int fd,
			  const ElfW(Phdr) * phdr, size_t n)
{
	size_t i;

	for (i = 0; i < n && !obj->build_id_len; i++) {
		uint8_t *notes;

		if (phdr[i].p_type != PT_NOTE || !phdr[i].p_filesz || phdr[i].p_filesz > NOTES_MAX)
			continue;
		notes = malloc(phdr[i].p_filesz);
		if (notes &&
		    read_at(proc, fd, proc ? obj->bias + phdr[i].p_vaddr : phdr[i].p_offset, notes,
			    phdr[i].p_filesz))
			take_build_id(obj, notes, phdr[i].p_filesz);
		free(notes);
	}
}

/* Where what the file has at an address is: in memory there, in the file at its offset. 0: nowhere. */
static unsigned long where_is(const struct st_object *obj, bool memory, unsigned long vaddr)
{
	for (size_t i = 0; i < obj->nsegments; i++) {
		unsigned long start = obj->segment[i].start - obj->bias;

		if (vaddr >= start && vaddr - start < obj->segment[i].filesz)
			return memory ? obj->bias + vaddr : obj->segment[i].offset + (vaddr - start);
	}
	return 0;
}

/* Both places are in one string table, as the dynamic section has them. */
static void read_soname(struct st_object *obj, struct st_proc *proc, int fd, const ElfW(Phdr) * phdr, size_t n)
{
	unsigned long strings = 0, name = 0;
	char text[SONAME_MAX];
	size_t i;

	for (i = 0; i < n && phdr[i].p_type != PT_DYNAMIC; i++)
		;
	for (size_t k = 0; i < n && k < phdr[i].p_filesz / sizeof(ElfW(Dyn)) && k < DYNAMIC_MAX;) {
		ElfW(Dyn) dyn[16];
		size_t room = phdr[i].p_filesz / sizeof(dyn[0]) - k, count = room < 16 ? room : 16, j;

		if (!read_at(proc, fd, (proc ? obj->bias + phdr[i].p_vaddr : phdr[i].p_offset) + k * sizeof(dyn[0]), dyn,
			     count * sizeof(dyn[0])))
			return;
		for (j = 0; j < count && dyn[j].d_tag != DT_NULL; j++) {
			if (dyn[j].d_tag == DT_SONAME)
				name = dyn[j].d_un.d_val;
			else if (dyn[j].d_tag == DT_STRTAB)
				strings = dyn[j].d_un.d_ptr;
		}
		k = j < count ? DYNAMIC_MAX : k + count;
	}
	if (!strings || !name)
		return;
	/* glibc adds the bias in memory when it has come to this object, musl does not. */
	if (proc && strings >= obj->lo)
		strings -= obj->bias;
	strings = where_is(obj, proc, strings);
	/* Near the end of the table there is not so much to read. */
	for (size_t len = sizeof(text); strings && len >= 8; len /= 2)
		if (read_at(proc, fd, strings + name, text, len)) {
			if (memchr(text, '\0', len) && *text)
				obj->priv->soname = strdup(text);
			return;
		}
}

bool st_object_called(const struct st_object *object, const char *name)
{
	return !strcmp(object->name, name) || (object->priv->soname && !strcmp(object->priv->soname, name));
}

static bool read_headers(struct st_proc *proc, int fd, unsigned long base, ElfW(Ehdr) * ehdr,
			 ElfW(Phdr) * *phdr)
{
	size_t len;

	if (!read_at(proc, fd, base, ehdr, sizeof(*ehdr)) || !st_elf_is_ours(ehdr))
		return false;
	len = ehdr->e_phnum * sizeof(**phdr);
	*phdr = malloc(len);
	if (*phdr && read_at(proc, fd, base + ehdr->e_phoff, *phdr, len))
		return true;
	free(*phdr);
	*phdr = NULL;
	return false;
}

static struct st_object *add_object(struct st_objects *objs, const char *path)
{
	struct st_object *more = realloc(objs->object, (objs->n + 1) * sizeof(*more)), *obj;

	if (!more)
		return NULL;
	objs->object = more;
	obj = &more[objs->n];
	memset(obj, 0, sizeof(*obj));
	obj->order = -1;
	obj->priv = calloc(1, sizeof(*obj->priv));
	obj->path = strdup(path);
	if (!obj->priv || !obj->path) {
		free(obj->priv);
		free((char *)obj->path);
		return NULL;
	}
	obj->priv->fd = -1;
	obj->priv->objs = objs;
	obj->name = strrchr(obj->path, '/') ? strrchr(obj->path, '/') + 1 : obj->path;
	objs->n++;
	return obj;
}

static void drop_last(struct st_objects *objs)
{
	struct st_object *obj = &objs->object[--objs->n];

	st_symbols_free(obj->priv);
	free((char *)obj->path);
}

/* Is an executable segment mapped from this file, where it belongs? */
static bool text_is_mapped(const struct st_object *obj, const struct st_maps *maps,
			   unsigned long inode)
{
	size_t i;

	for (i = 0; i < obj->nsegments; i++) {
		const struct st_segment *seg = &obj->segment[i];
		const struct st_map *map;

		if (!(seg->prot & PROT_EXEC))
			continue;
		map = st_maps_find(maps, st_page_down(seg->start));
		if (map && map->inode == inode && map->prot & PROT_EXEC &&
		    (!inode || st_page_down(seg->offset) ==
				       map->offset + st_page_down(seg->start) - map->start))
			return true;
	}
	return false;
}

/* An object whose ELF header is mapped at the beginning of @map. */
static int add_mapped(struct st_objects *objs, const struct st_maps *maps, const struct st_map *map)
{
	struct st_proc *proc = objs->proc;
	ElfW(Phdr) *phdr = NULL;
	struct st_object *obj;
	ElfW(Ehdr) ehdr;
	size_t i;

	/* Ours: the agent is not part of the program. */
	if (!strcmp(map->path, "/memfd:" ST_AREA_NAME))
		return 0;
	if (!read_headers(proc, -1, map->start, &ehdr, &phdr))
		return 0;
	obj = add_object(objs, map->path);
	if (!obj) {
		free(phdr);
		return -ENOMEM;
	}
	/* The segment whose first page holds the header: usually p_offset 0. */
	for (i = 0; i < ehdr.e_phnum; i++)
		if (phdr[i].p_type == PT_LOAD && !st_page_down(phdr[i].p_offset))
			break;
	if (i == ehdr.e_phnum)
		goto no;
	obj->bias = map->start - st_page_down(phdr[i].p_vaddr);
	if (!take_segments(obj, phdr, ehdr.e_phnum) || !text_is_mapped(obj, maps, map->inode))
		goto no;
	obj->priv->ehdr = ehdr;
	obj->priv->phdr = phdr;
	obj->priv->inode = map->inode;
	obj->priv->map_start = map->start;
	obj->priv->map_end = map->end;
	read_build_id(obj, proc, -1, phdr, ehdr.e_phnum);
	read_soname(obj, proc, -1, phdr, ehdr.e_phnum);
	return 0;
no:
	free(phdr);
	drop_last(objs);
	return 0;
}

/*
 * The program goes by the name it was started with, where that is another name of the same file:
 * Debian's redis-server is a link to redis-check-rdb. The name is kept behind the path.
 */
static void name_as_started(struct st_objects *objs, struct st_object *obj)
{
	char started[PATH_MAX], path[PATH_MAX + 64], *both;
	const char *name;
	struct stat st;

	if (st_mem_read_string(objs->proc, st_proc_auxv(objs->proc, AT_EXECFN), started,
			       sizeof(started)) <= 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/%s%s", objs->proc->tid,
		 started[0] == '/' ? "root" : "cwd/", started);
	name = strrchr(started, '/') ? strrchr(started, '/') + 1 : started;
	if (stat(path, &st) || st.st_ino != obj->priv->inode || !*name)
		return;
	both = malloc(strlen(obj->path) + strlen(name) + 2);
	if (!both)
		return;
	strcpy(both, obj->path);
	obj->name = strcpy(both + strlen(both) + 1, name);
	free((char *)obj->path);
	obj->path = both;
}

static void set_flags(struct st_objects *objs)
{
	unsigned long phdr = st_proc_auxv(objs->proc, AT_PHDR),
		      base = st_proc_auxv(objs->proc, AT_BASE);
	unsigned long vdso = st_proc_auxv(objs->proc, AT_SYSINFO_EHDR);
	size_t i;

	for (i = 0; i < objs->n; i++) {
		struct st_object *obj = &objs->object[i];

		if (phdr >= obj->lo && phdr < obj->hi)
			obj->flags |= ST_OBJECT_EXE;
		if (obj->flags & ST_OBJECT_EXE)
			name_as_started(objs, obj);
		if (base && base == obj->lo)
			obj->flags |= ST_OBJECT_INTERP;
		if (obj->lo == vdso || !strcmp(obj->path, "[vdso]"))
			obj->flags |= ST_OBJECT_VDSO;
	}
}

/* DT_DEBUG of the program: the dynamic loader has put the address of its r_debug there. */
static unsigned long find_r_debug(struct st_objects *objs)
{
	size_t i, j;

	for (i = 0; i < objs->n; i++) {
		ElfW(Dyn) dyn[64];
		ssize_t got;

		if (!objs->object[i].dynamic || objs->object[i].flags & ST_OBJECT_VDSO)
			continue;
		got = st_mem_read_some(objs->proc, objs->object[i].dynamic, dyn, sizeof(dyn));
		for (j = 0; got > 0 && j < got / sizeof(dyn[0]) && dyn[j].d_tag != DT_NULL; j++)
			if (dyn[j].d_tag == DT_DEBUG && dyn[j].d_un.d_ptr)
				return dyn[j].d_un.d_ptr;
	}
	return 0;
}

bool st_objects_loading(struct st_objects *objs)
{
	unsigned long at = objs->proc ? find_r_debug(objs) : 0;
	struct r_debug debug;

	return at && !st_mem_read(objs->proc, at, &debug, sizeof(debug)) && debug.r_state != RT_CONSISTENT;
}

bool st_objects_starting(struct st_objects *objs)
{
	struct r_debug debug;
	unsigned long at;
	size_t i;

	/* A static program has no loader. */
	for (i = 0; i < objs->n && !(objs->object[i].flags & ST_OBJECT_INTERP); i++)
		;
	if (!objs->proc || i == objs->n)
		return false;
	at = find_r_debug(objs);
	return !at || st_mem_read(objs->proc, at, &debug, sizeof(debug)) || !debug.r_map || debug.r_state != RT_CONSISTENT;
}

/* The dynamic loader's list. It may change while it is read: what is not in it then has no place.
 */
static void set_order(struct st_objects *objs)
{
	unsigned long at = find_r_debug(objs);
	struct r_debug debug;
	struct link_map map;
	int order = 0;
	size_t i;

	if (!at || st_mem_read(objs->proc, at, &debug, sizeof(debug)))
		return;
	for (at = (unsigned long)debug.r_map; at && order < 65536; at = (unsigned long)map.l_next) {
		if (st_mem_read(objs->proc, at, &map, sizeof(map)))
			return;
		for (i = 0; i < objs->n; i++) {
			struct st_object *obj = &objs->object[i];

			if (obj->dynamic && obj->dynamic == (unsigned long)map.l_ld &&
			    obj->order < 0) {
				obj->order = order;
				obj->flags |= ST_OBJECT_LINKED;
			}
		}
		order++;
	}
}

static int by_order(const void *a, const void *b)
{
	const struct st_object *x = a, *y = b;
	unsigned int xe = x->flags & ST_OBJECT_EXE, ye = y->flags & ST_OBJECT_EXE;

	if (xe != ye)
		return xe ? -1 : 1;
	if (x->order != y->order)
		return (unsigned int)x->order < (unsigned int)y->order ? -1 : 1;
	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

int st_objects_read(struct st_proc *proc, struct st_objects **out, char *err)
{
	struct st_objects *objs = calloc(1, sizeof(*objs));
	struct st_maps *maps;
	size_t i;
	int ret;

	*out = NULL;
	if (!objs)
		return st_fail(err, -ENOMEM, "out of memory");
	objs->proc = proc;
	ret = st_maps_read(proc, &maps, err);
	if (ret) {
		free(objs);
		return ret;
	}
	for (i = 0; i < maps->n && !ret; i++) {
		const struct st_map *map = &maps->map[i];

		if (!(map->prot & PROT_READ) || map->shared)
			continue;
		if ((map->inode && !map->offset) || !strcmp(map->path, "[vdso]"))
			ret = add_mapped(objs, maps, map);
	}
	st_maps_free(maps);
	if (ret) {
		st_objects_free(objs);
		return st_fail(err, ret, "out of memory");
	}
	if (!objs->n) {
		st_objects_free(objs);
		return st_fail(err, -ENOEXEC,
			       "process %d (%s) has no ELF object mapped that can be recognised",
			       proc->pid, proc->comm);
	}
	set_flags(objs);
	set_order(objs);
	qsort(objs->object, objs->n, sizeof(objs->object[0]), by_order);
	*out = objs;
	return 0;
}

int st_objects_file(const char *path, struct st_objects **out, char *err)
{
	struct st_objects *objs = calloc(1, sizeof(*objs));
	ElfW(Phdr) *phdr = NULL;
	struct st_object *obj;
	ElfW(Ehdr) ehdr;
	int fd, code;

	*out = NULL;
	if (!objs)
		return st_fail(err, -ENOMEM, "out of memory");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		code = errno;
		free(objs);
		return st_fail(err, -code, "%s can't be opened: %s", path, strerror(code));
	}
	if (!read_headers(NULL, fd, 0, &ehdr, &phdr)) {
		close(fd);
		free(objs);
		return st_fail(err, -ENOEXEC,
			       "%s is not a program or shared object of this machine's "
			       "architecture, or is damaged",
			       path);
	}
	obj = add_object(objs, path);
	if (!obj) {
		close(fd);
		free(phdr);
		free(objs);
		return st_fail(err, -ENOMEM, "out of memory");
	}
	obj->priv->fd = fd;
	obj->priv->ehdr = ehdr;
	obj->priv->phdr = phdr;
	obj->order = 0;
	obj->flags = ehdr.e_type == ET_EXEC ? ST_OBJECT_EXE : 0;
	if (!take_segments(obj, phdr, ehdr.e_phnum)) {
		st_objects_free(objs);
		return st_fail(err, -ENOEXEC, "%s has no usable program headers", path);
	}
	read_build_id(obj, NULL, fd, phdr, ehdr.e_phnum);
	read_soname(obj, NULL, fd, phdr, ehdr.e_phnum);
	*out = objs;
	return 0;
}

bool st_objects_known(const struct st_objects *objs, const struct st_object *obj)
{
	size_t i;

	for (i = 0; objs && i < objs->n; i++) {
		const struct st_object *o = &objs->object[i];

		if (o->lo == obj->lo && o->hi == obj->hi && o->bias == obj->bias && !strcmp(o->path, obj->path) &&
		    o->build_id_len == obj->build_id_len && !memcmp(o->build_id, obj->build_id, obj->build_id_len))
			return true;
	}
	return false;
}

void st_objects_free(struct st_objects *objs)
{
	if (!objs)
		return;
	while (objs->n)
		drop_last(objs);
	free(objs->object);
	free(objs);
}

struct st_object *st_objects_find(const struct st_objects *objs, unsigned long addr)
{
	size_t i, j;

	for (i = 0; i < objs->n; i++) {
		struct st_object *obj = &objs->object[i];

		if (addr < obj->lo || addr >= obj->hi)
			continue;
		for (j = 0; j < obj->nsegments; j++)
			if (addr >= obj->segment[j].start && addr < obj->segment[j].end)
				return obj;
	}
	return NULL;
}

/* Is this open file what is mapped? Its headers, program headers and build-id are those in memory.
 */
static bool same_file(struct st_object *obj, int fd)
{
	struct st_object other = {0};
	ElfW(Phdr) *phdr = NULL;
	ElfW(Ehdr) ehdr;
	struct stat st;
	bool same;

	if (!read_headers(NULL, fd, 0, &ehdr, &phdr))
		return false;
	same = !memcmp(&ehdr, &obj->priv->ehdr, sizeof(ehdr)) &&
	       !memcmp(phdr, obj->priv->phdr, ehdr.e_phnum * sizeof(*phdr));
	if (same)
		read_build_id(&other, NULL, fd, phdr, ehdr.e_phnum);
	free(phdr);
	if (!same || other.build_id_len != obj->build_id_len ||
	    memcmp(other.build_id, obj->build_id, obj->build_id_len))
		return false;
	/* With no build-id two versions may have the same headers: then it must be the very file.
	 */
	return obj->build_id_len ||
	       (!fstat(fd, &st) && (unsigned long)st.st_ino == obj->priv->inode);
}

int st_object_open(struct st_object *obj)
{
	struct st_objects *objs = obj->priv->objs;
	char path[4096 + ST_PROC_PATH];
	unsigned int i;
	int fd;

	if (obj->priv->fd >= 0)
		return obj->priv->fd;
	if (!objs->proc || obj->priv->tried || obj->flags & ST_OBJECT_VDSO)
		return -1;
	obj->priv->tried = true;
	/*
	 * /proc/PID/exe and map_files lead to the file even when its name leads elsewhere
	 * (map_files: root only); root/ is the process's own view of the file system.
	 */
	for (i = 0; i < 3; i++) {
		if (i == 0)
			snprintf(path, sizeof(path), "/proc/%d/exe", objs->proc->tid);
		else if (i == 1)
			snprintf(path, sizeof(path), "/proc/%d/root%s", objs->proc->tid, obj->path);
		else
			snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx", objs->proc->tid,
				 obj->priv->map_start, obj->priv->map_end);
		if (i == 0 && !(obj->flags & ST_OBJECT_EXE))
			continue;
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd < 0)
			continue;
		if (same_file(obj, fd))
			return obj->priv->fd = fd;
		close(fd);
	}
	return -1;
}

int st_object_fd(const struct st_object *obj)
{
	return st_object_open((struct st_object *)obj);
}

int st_object_bytes(struct st_object *obj, unsigned long addr, void *buf, size_t len)
{
	int fd = st_object_fd(obj);
	size_t i;

	if (fd < 0)
		return -ENOENT;
	for (i = 0; i < obj->nsegments; i++) {
		const struct st_segment *seg = &obj->segment[i];

		if (addr < seg->start || addr - seg->start >= seg->filesz)
			continue;
		if (len > seg->filesz - (addr - seg->start))
			return -EFAULT;
		return pread64(fd, buf, len, seg->offset + (addr - seg->start)) == (ssize_t)len
			       ? 0
			       : -EFAULT;
	}
	return -EFAULT;
}

bool st_object_tls(const struct st_object *obj, int64_t *offset)
{
	const struct st_object_priv *priv = obj->priv;
	size_t i;

	for (i = 0; obj->flags & ST_OBJECT_EXE && priv->phdr && i < priv->ehdr.e_phnum; i++) {
		const ElfW(Phdr) *ph = &priv->phdr[i];
		unsigned long align = ph->p_align ? ph->p_align : 1;

		if (ph->p_type != PT_TLS)
			continue;
		if (align & (align - 1) || ph->p_vaddr & (align - 1))
			return false;
		/* ELF Handling For Thread-Local Storage, 3: below the thread pointer (variant II), or above two words. */
#if defined(__x86_64__)
		*offset = -(int64_t)((ph->p_memsz + align - 1) & -align);
#else
		*offset = (int64_t)((2 * sizeof(long) + align - 1) & -align);
#endif
		return true;
	}
	return false;
}
