/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Exceptions through the functions of a patch. The process's unwinders ask its dynamic loader what describes a frame, and that does not
 * know patches; so the agent answers for them (agent/exceptions.c), by the table that the patch's file has for this. What the agent
 * follows in the target without a look is checked here, in the file.
 */
#include <elf.h>
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stddef.h>
#include <string.h>
#include <agent/frames.h>
#include <process/session_internal.h>

/* DWARF pointer encodings (LSB 10.5.1): what every compiler and linker for Linux emits in a shared object. */
#define PCREL_SDATA4	0x1b
#define DATAREL_SDATA4	0x3b
#define UDATA4		0x03

#if defined(__arm__)
#define TABLE_SEGMENT PT_ARM_EXIDX
#else
#define TABLE_SEGMENT PT_GNU_EH_FRAME
#endif

/* The file of a patch. */
struct image {
	const uint8_t *file;
	size_t len;
	Elf *elf;
};

/* @len bytes of the file that are at @addr when it is loaded, in a segment with these flags. */
static const uint8_t *at(const struct image *im, unsigned long addr, size_t len, unsigned int flags)
{
	GElf_Phdr ph;

	for (int i = 0; gelf_getphdr(im->elf, i, &ph); i++)
		if (ph.p_type == PT_LOAD && (ph.p_flags & flags) == flags && addr >= ph.p_vaddr && addr - ph.p_vaddr <= ph.p_filesz &&
		    len <= ph.p_filesz - (addr - ph.p_vaddr) && ph.p_offset <= im->len && ph.p_filesz <= im->len - ph.p_offset)
			return im->file + ph.p_offset + (addr - ph.p_vaddr);
	return NULL;
}

static int32_t word(const uint8_t *p)
{
	int32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

#if defined(__arm__)
static unsigned long prel31(const uint8_t *p, unsigned long addr)
{
	return addr + (unsigned long)((int32_t)((uint32_t)word(p) << 1) >> 1);
}

/* An index table (EHABI32 5 and 6): ascending, of code, with tables where it says that there are some. Half a sentence, or NULL. */
static const char *check(const struct image *im, unsigned long addr, size_t size, unsigned long *count)
{
	const uint8_t *p = at(im, addr, size, PF_R);
	unsigned long last = 0;

	*count = size / 8;
	if (!p || size % 8)
		return "its index of frames is not in the file";
	for (size_t i = 0; i < *count; i++, addr += 8, p += 8) {
		unsigned long start = prel31(p, addr);
		uint32_t what = (uint32_t)word(p + 4);

		/* The last one may be for where the code ends. */
		if (word(p) < 0 || start < last || (i + 1 < *count && !at(im, start, 1, PF_X)))
			return "its index of frames is damaged";
		if (what != 1 && !(what & 1u << 31) && !at(im, prel31(p + 4, addr + 4), 4, PF_R))
			return "its index of frames leads out of the file";
		last = start;
	}
	return NULL;
}
#else
/* Does this CIE say that addresses are PCREL_SDATA4? */
static bool usual_encoding(const struct image *im, unsigned long addr)
{
	const uint8_t *p = at(im, addr, 12, PF_R), *end, *c;
	const char *augmentation;
	uint32_t len;

	len = p ? (uint32_t)word(p) : 0;
	if (len < 9 || len > 4096 || word(p + 4) || !at(im, addr, 4 + len, PF_R) || (p[8] != 1 && p[8] != 3))
		return false;
	end = p + 4 + len;
	augmentation = (const char *)p + 9;
	c = memchr(augmentation, 0, (size_t)(end - p) - 9);
	if (*augmentation != 'z' || !c)
		return false;
	/* Two alignments, the return address, the length of what follows: LEB128. */
	c++;
	for (int i = 0; i < 4 && c < end; c++)
		i += !(*c & 0x80);
	for (const char *a = augmentation + 1; *a && c < end; a++) {
		switch (*a) {
		case 'R':
			return *c == PCREL_SDATA4;
		case 'L':
			c++;
			break;
		case 'P':
			/* Only that of fixed size can be stepped over. */
			if ((*c & 0x0f) != 0x0b && (*c & 0x0f) != 0x03)
				return false;
			c += 5;
			break;
		case 'S':
		case 'B':	/* AArch64: return addresses are signed with the other key */
			break;
		default:
			return false;
		}
	}
	return false;
}

/* .eh_frame_hdr (LSB 10.6.2), and the descriptions that its search table leads to. Half a sentence, or NULL. */
static const char *check(const struct image *im, unsigned long addr, size_t size, unsigned long *count)
{
	const uint8_t *p = at(im, addr, size, PF_R);
	unsigned long last = 0;

	if (!p || size < ST_FRAMES_TABLE)
		return "its table of frames is not in the file";
	if (p[0] != 1 || p[1] != PCREL_SDATA4 || p[2] != UDATA4 || p[3] != DATAREL_SDATA4)
		return "its table of frames has an encoding that is not known";
	*count = (uint32_t)word(p + 8);
	if (*count > (size - ST_FRAMES_TABLE) / 8)
		return "its table of frames is damaged";
	for (size_t i = 0; i < *count; i++) {
		const uint8_t *e = p + ST_FRAMES_TABLE + 8 * i, *fde;
		unsigned long start = addr + (unsigned long)(long)word(e), description = addr + (unsigned long)(long)word(e + 4);

		fde = at(im, description, 16, PF_R);
		if (start < last || !fde || (uint32_t)word(fde) < 12 || !word(fde + 4))
			return "its table of frames is damaged";
		if (!at(im, description, 4 + (size_t)(uint32_t)word(fde), PF_R) || !at(im, start, (uint32_t)word(fde + 12), PF_X) ||
		    description + 8 + (unsigned long)(long)word(fde + 8) != start)
			return "a description of a frame is damaged";
		if (!usual_encoding(im, description + 4 - (uint32_t)word(fde + 4)))
			return "a description of a frame has an encoding that is not known";
		last = start;
	}
	return NULL;
}
#endif

/* Where the table is in the process, and its entries; count 0: there is none. Half a sentence, or NULL. */
static const char *find_table(const struct image *im, const struct st_loaded *loaded, struct st_patch_frames *f)
{
	GElf_Phdr ph;

	for (int i = 0; gelf_getphdr(im->elf, i, &ph); i++) {
		if (ph.p_type != TABLE_SEGMENT || !ph.p_memsz)
			continue;
		f->table = loaded->bias + (unsigned long)ph.p_vaddr + (TABLE_SEGMENT == PT_GNU_EH_FRAME ? ST_FRAMES_TABLE : 0);
		return check(im, (unsigned long)ph.p_vaddr, (size_t)ph.p_memsz, &f->count);
	}
	return NULL;
}

/* Does the patch throw, catch or clean up? Then it asks for what does that. */
static bool has_handlers(const struct image *im)
{
	static const char *const names[] = { "_Unwind_", "__cxa_throw", "__cxa_rethrow", "__cxa_begin_catch", "__cxa_end_cleanup",
					     "__gxx_personality", "__gcc_personality" };
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(im->elf, scn))) {
		Elf_Data *data;
		GElf_Shdr sh;
		GElf_Sym sym;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_DYNSYM)
			continue;
		data = elf_getdata(scn, NULL);
		for (int i = 1; data && gelf_getsym(data, i, &sym); i++) {
			const char *name = elf_strptr(im->elf, sh.sh_link, sym.st_name);

			for (size_t k = 0; name && sym.st_shndx == SHN_UNDEF && k < sizeof(names) / sizeof(names[0]); k++)
				if (!strncmp(name, names[k], strlen(names[k])))
					return true;
		}
	}
	return false;
}

/* The agent's records, and where they are. */
static int read_records(struct st_session *s, struct st_patch_frames f[ST_PATCHES_MAX], unsigned long *at)
{
	int ret = st_session_agent_symbol(s, "st_patch_frames", at);

	if (!ret)
		ret = st_mem_read(s->proc, *at, f, ST_PATCHES_MAX * sizeof(*f));
	return ret ? st_session_fail(s, ret, "can't read the agent's memory: %s", strerror(-ret)) : 0;
}

/* A record, complete before it says so by `hi`. */
static int note(struct st_session *s, struct st_patch_frames f)
{
	struct st_patch_frames is[ST_PATCHES_MAX];
	unsigned long at, hi = f.hi;
	unsigned int i = 0;
	int ret = read_records(s, is, &at);

	if (ret)
		return ret;
	while (i < ST_PATCHES_MAX && is[i].hi)
		i++;
	if (i == ST_PATCHES_MAX)
		return st_session_fail(s, -ENOSPC, "the process has as many patches as it can have");
	if (is[i].lo && st_session_grace(s))
		return -EBUSY;
	at += i * sizeof(f);
	f.hi = 0;
	ret = st_mem_write(s->proc, at, &f, sizeof(f)) ?:
	      st_mem_write(s->proc, at + offsetof(struct st_patch_frames, hi), &hi, sizeof(hi));
	return ret ? st_session_fail(s, ret, "can't write the agent's memory: %s", strerror(-ret)) : 0;
}

int st_session_frames(struct st_session *s, const void *file, size_t len, const struct st_loaded *loaded)
{
	struct st_patch_frames f = { .lo = loaded->lo, .hi = loaded->hi };
	struct image im = { .file = file, .len = len };
	const char *why = "it can't be read";
	bool handlers = false;
	int ret = 0;

	elf_version(EV_CURRENT);
	/* libelf does not write to it when it is only read from. */
	im.elf = elf_memory((char *)file, len);
	if (im.elf && elf_kind(im.elf) == ELF_K_ELF) {
		why = find_table(&im, loaded, &f);
		handlers = has_handlers(&im);
	}
	elf_end(im.elf);
	if (!why && !f.count && handlers)
		why = "it has no table of its frames (.eh_frame_hdr, .ARM.exidx)";
	if (why && handlers)
		return st_session_fail(s, -ENOTSUP, "the patch uses exceptions, and they could not pass through it: %s", why);
	if (why)
		return st_session_fail(s, 1, "an exception that comes through the patch will end the process: %s", why);
	if (!f.count)
		return 0;
	ret = st_session_find_frames(s);
	if (ret < 0 && (handlers || ret != -ENOTSUP))
		return ret;
	if (!ret && handlers)
		return st_session_fail(s, -ENOTSUP, "the patch uses exceptions, and the process's unwinder can't be found");
	return note(s, f) ?: ret < 0 ? 1 : 0;
}

void st_session_drop_frames(struct st_session *s, unsigned long lo)
{
	struct st_patch_frames f[ST_PATCHES_MAX];
	unsigned long at, none = 0;

	if (read_records(s, f, &at))
		return;
	for (unsigned int i = 0; i < ST_PATCHES_MAX; i++) {
		if (!f[i].hi || f[i].lo != lo)
			continue;
		st_mem_write(s->proc, at + i * sizeof(f[0]) + offsetof(struct st_patch_frames, hi), &none, sizeof(none));
		return;
	}
}
