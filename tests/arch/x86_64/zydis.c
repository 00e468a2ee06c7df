// SPDX-License-Identifier: GPL-2.0-only
/*
 * Our x86-64 decoder against Zydis: `zydis FILE... -r N SEED` sweeps all executable sections of ELF
 * files, and N random byte strings. Wherever Zydis decodes an instruction, ours must give the same
 * length, class, branch target, answer to whether control goes on behind it, and the same place of a rip-relative displacement. Where Zydis sees
 * none (data among code, then one byte is skipped), ours may see one: such are counted, and shown
 * if SHOW_OURS is set.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <Zydis/Zydis.h>
#include "engine/arch/x86_64/decode.h"
#include "text.h"

static ZydisDecoder decoder;
static size_t instructions, differ, only_ours, shown;

static int class_of(const ZydisDecodedInstruction *z)
{
	bool far = z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
	bool direct = z->raw.imm[0].is_relative;

	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_XBEGIN:
		return ST_X86_XBEGIN;
	case ZYDIS_MNEMONIC_JMP:
		return direct ? ST_X86_JMP : far ? ST_X86_JMP_FAR : ST_X86_JMP_INDIRECT;
	case ZYDIS_MNEMONIC_CALL:
		return direct ? ST_X86_CALL : far ? ST_X86_CALL_FAR : ST_X86_CALL_INDIRECT;
	case ZYDIS_MNEMONIC_RET:
		return far ? ST_X86_RET_FAR : ST_X86_RET;
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ:
		return ST_X86_IRET;
	case ZYDIS_MNEMONIC_LOOP:
	case ZYDIS_MNEMONIC_LOOPE:
	case ZYDIS_MNEMONIC_LOOPNE:
	case ZYDIS_MNEMONIC_JCXZ:
	case ZYDIS_MNEMONIC_JECXZ:
	case ZYDIS_MNEMONIC_JRCXZ:
		return ST_X86_LOOP;
	case ZYDIS_MNEMONIC_INT3:
		return ST_X86_INT3;
	case ZYDIS_MNEMONIC_INT:
	case ZYDIS_MNEMONIC_INT1:
		return ST_X86_INT;
	case ZYDIS_MNEMONIC_SYSCALL:
	case ZYDIS_MNEMONIC_SYSENTER:
		return ST_X86_SYSCALL;
	case ZYDIS_MNEMONIC_SYSRET:
	case ZYDIS_MNEMONIC_SYSEXIT:
		return ST_X86_SYSRET;
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_HLT:
		return ST_X86_TRAP;
	case ZYDIS_MNEMONIC_ENDBR64:
		return ST_X86_ENDBR64;
	case ZYDIS_MNEMONIC_NOP:
		/*
		 * Zydis calls NOP also what does nothing on today's processors but may on
		 * tomorrow's.
		 */
		return z->opcode == 0x90 || z->opcode == 0x1f ? ST_X86_NOP : ST_X86_OTHER;
	default:
		/* xend, xabort: Zydis counts them among the conditional branches */
		return z->meta.category == ZYDIS_CATEGORY_COND_BR && direct ? ST_X86_JCC
									    : ST_X86_OTHER;
	}
}

static bool falls_through(const ZydisDecodedInstruction *z)
{
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_SYSRET:
	case ZYDIS_MNEMONIC_SYSEXIT:
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ:
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_HLT:
		return false;
	case ZYDIS_MNEMONIC_XABORT: /* outside of a transaction it does nothing */
		return true;
	default:
		return z->meta.category != ZYDIS_CATEGORY_UNCOND_BR &&
		       z->meta.category != ZYDIS_CATEGORY_RET;
	}
}

static bool show_ours;

static void show(const char *what, const uint8_t *code, size_t size, int ours, int our_class,
		 int zydis, int class)
{
	if (shown++ >= 40)
		return;
	printf("  %s: ours %d (class %d), Zydis %d (class %d):", what, ours, our_class, zydis,
	       class);
	for (size_t i = 0; i < size && i < ST_X86_INSN_MAX; i++)
		printf(" %02x", code[i]);
	printf("\n");
}

/* Compares one place, returns the length Zydis sees, or 1. */
static size_t compare(const uint8_t *code, size_t size)
{
	ZydisDecodedInstruction z;
	struct st_x86_insn insn;
	int ours = st_x86_decode(&insn, code, size);
	int class;

	/* Knights Corner was no x86-64 processor: its MVEX and jkzd are undefined on all others. */
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, code, size, &z)) ||
	    z.meta.isa_ext == ZYDIS_ISA_EXT_KNC || z.meta.isa_ext == ZYDIS_ISA_EXT_KNCE ||
	    z.meta.isa_set == ZYDIS_ISA_SET_KNCJKBR || z.meta.isa_ext == ZYDIS_ISA_EXT_KNCV) {
		if (ours > 0) {
			only_ours++;
			if (show_ours)
				show("only ours", code, size, ours, insn.class, 0, 0);
		}
		return 1;
	}
	instructions++;
	class = class_of(&z);
	if (ours != z.length || insn.class != class || st_x86_falls(&insn) != falls_through(&z) ||
	    (st_x86_is_branch(&insn) && insn.rel != z.raw.imm[0].value.s) ||
	    insn.disp != z.raw.disp.offset || insn.disp_len * 8 != z.raw.disp.size ||
	    (insn.disp_len && insn.rip != ((z.attributes & ZYDIS_ATTRIB_IS_RELATIVE) &&
					   !z.raw.imm[0].is_relative)) ||
	    (insn.imm && insn.imm != z.raw.imm[0].offset &&
	     z.encoding != ZYDIS_INSTRUCTION_ENCODING_3DNOW) ||
	    ((z.attributes & ZYDIS_ATTRIB_HAS_MODRM) && insn.modrm != z.raw.modrm.offset)) {
		differ++;
		show("DIFFER", code, size, ours, insn.class, z.length, class);
	}
	return z.length;
}

/* 1: all the same; 0: not; -1: there is no such file. */
static int sweep(const char *path)
{
	struct text text;

	if (access(path, R_OK) < 0) {
		printf("skipped: %s is not here\n", path);
		return -1;
	}
	if (text_open(&text, path) < 0)
		return 0;
	for (size_t i = 0; i < text.nr_sections; i++) {
		const struct text_section *s = &text.sections[i];

		for (size_t off = 0; off < s->size;)
			off += compare(s->code + off, s->size - off);
	}
	printf("%s: %zu instructions, %zu differ, %zu that only we see\n", path, instructions,
	       differ, only_ours);
	text_close(&text);
	return !differ;
}

static int random_bytes(size_t rounds, uint64_t seed)
{
	static const uint8_t head[] = {0x0f, 0x66, 0xf2, 0xf3, 0x48, 0x62, 0xc4,
				       0xc5, 0x8f, 0xff, 0x41, 0x67, 0xf0};
	uint8_t code[ST_X86_INSN_MAX + 1];

	while (rounds--) {
		for (size_t i = 0; i < sizeof(code); i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			code[i] = seed >> 56;
			if (i < 3 && (seed >> 40 & 3) == 0)
				code[i] = head[(seed >> 48 & 0xff) % sizeof(head)];
		}
		compare(code, sizeof(code));
	}
	printf("random: %zu instructions, %zu differ, %zu that only we see\n", instructions, differ,
	       only_ours);
	return !differ;
}

int main(int argc, char **argv)
{
	unsigned int passed = 0, failed = 0, skipped = 0;

	show_ours = getenv("SHOW_OURS");
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (int i = 1; i < argc; i++) {
		int good;

		instructions = differ = only_ours = shown = 0;
		if (strcmp(argv[i], "-r") == 0 && i + 2 < argc) {
			good = random_bytes(strtoull(argv[i + 1], NULL, 0),
					    strtoull(argv[i + 2], NULL, 0));
			i += 2;
		} else {
			good = sweep(argv[i]);
		}
		passed += good > 0;
		failed += good == 0;
		skipped += good < 0;
	}
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed != 0;
}
