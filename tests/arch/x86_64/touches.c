// SPDX-License-Identifier: GPL-2.0-only
/*
 * What st_x86_touches() says of code: each class, each way out of being sure, and (with Zydis) no
 * instruction that touches more than we say: `touches FILE... -r N SEED`, as for zydis.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/arch/x86_64/touches.h"
#include "engine/site.h"
#ifdef HAVE_ZYDIS
#include <Zydis/Zydis.h>
#endif
#include "text.h"

#define ALL ST_HOOKS_VECTOR
#define LOW ST_HOOKS_XMM_LOW
#define HIGH (ST_HOOKS_XMM | ST_HOOKS_XMM_LOW)

/* clang-format off */
static const struct {
	const char *what;
	uint8_t code[24];
	unsigned int size, touches;
} cases[] = {
	{ "a return", { 0xc3 }, 1, 0 },
	{ "a counter", { 0x48, 0x83, 0x05, 0, 0, 0, 0, 0x01, 0xc3 }, 9, 0 },
	{ "a thread's counter", { 0x64, 0x48, 0xff, 0x04, 0x25, 0xf8, 0xff, 0xff, 0xff, 0xc3 }, 10, 0 },
	{ "a locked counter", { 0xf0, 0x48, 0xff, 0x07, 0xc3 }, 5, 0 },
	{ "rdtsc, shl, or", { 0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0xc3 }, 10, 0 },
	{ "a loop", { 0xff, 0xc9, 0x75, 0xfc, 0xc3 }, 5, 0 },
	{ "rep movsq", { 0xf3, 0x48, 0xa5, 0xc3 }, 4, 0 },
	{ "ud2 at the end", { 0x0f, 0x0b }, 2, 0 },
	{ "movaps xmm7", { 0x0f, 0x28, 0x3f, 0xc3 }, 4, LOW },
	{ "movaps xmm8", { 0x44, 0x0f, 0x28, 0x07, 0xc3 }, 5, HIGH },
	{ "addsd xmm0, xmm9", { 0xf2, 0x41, 0x0f, 0x58, 0xc1, 0xc3 }, 6, HIGH },
	{ "movaps from (%r8)", { 0x41, 0x0f, 0x28, 0x00, 0xc3 }, 5, LOW },
	{ "pxor", { 0x66, 0x0f, 0xef, 0xc0, 0xc3 }, 5, LOW },
	{ "ldmxcsr", { 0x0f, 0xae, 0x17, 0xc3 }, 4, LOW },
	{ "pshufb, SSE", { 0x66, 0x0f, 0x38, 0x00, 0xc1, 0xc3 }, 6, LOW },
	{ "pxor, MMX", { 0x0f, 0xef, 0xc0, 0xc3 }, 4, ALL },
	{ "pshufb, MMX", { 0x0f, 0x38, 0x00, 0xc1, 0xc3 }, 5, ALL },
	{ "cvtpi2ps", { 0x0f, 0x2a, 0xc0, 0xc3 }, 4, ALL },
	{ "movdq2q", { 0xf2, 0x0f, 0xd6, 0xc0, 0xc3 }, 5, ALL },
	{ "emms", { 0x0f, 0x77, 0xc3 }, 3, ALL },
	{ "pcmpistrm: xmm0 unsaid", { 0x66, 0x0f, 0x3a, 0x62, 0xc1, 0x00, 0xc3 }, 7, ALL },
	{ "fld", { 0xd9, 0x07, 0xc3 }, 3, ALL },
	{ "fwait", { 0x9b, 0xc3 }, 2, ALL },
	{ "fxrstor", { 0x0f, 0xae, 0x0f, 0xc3 }, 4, ALL },
	{ "vpxor", { 0xc5, 0xf9, 0xef, 0xc0, 0xc3 }, 5, ALL },
	{ "vzeroupper", { 0xc5, 0xf8, 0x77, 0xc3 }, 4, ALL },
	{ "andn (VEX, general registers): not looked at", { 0xc4, 0xe2, 0xf8, 0xf2, 0xc1, 0xc3 }, 6, ALL },
	{ "vmovups zmm", { 0x62, 0xf1, 0x7c, 0x48, 0x10, 0x07, 0xc3 }, 7, ALL },
	{ "a call", { 0xe8, 0, 0, 0, 0, 0xc3 }, 6, ALL },
	{ "a call through memory", { 0xff, 0x15, 0, 0, 0, 0, 0xc3 }, 7, ALL },
	{ "a jump table", { 0xff, 0x24, 0xc5, 0, 0, 0, 0 }, 7, ALL },
	{ "a tail call", { 0xe9, 0, 1, 0, 0 }, 5, ALL },
	{ "a branch to in front", { 0x74, 0xf0, 0xc3 }, 3, ALL },
	{ "a branch into an instruction", { 0x74, 0x01, 0xb8, 0, 0, 0, 0, 0xc3 }, 8, ALL },
	{ "a system call", { 0x0f, 0x05, 0xc3 }, 3, ALL },
	{ "a breakpoint", { 0xcc, 0xc3 }, 2, ALL },
	{ "runs on behind its end", { 0x31, 0xc0 }, 2, ALL },
	{ "cut off", { 0xc3, 0xb8, 0 }, 3, ALL },
	{ "no instruction", { 0x06, 0xc3 }, 2, ALL },
	{ "nothing", { 0xc3 }, 0, ALL },
};
/* clang-format on */

static unsigned int passed, failed, skipped;

static void try_cases(void)
{
	static uint8_t big[ST_X86_TOUCHES_MAX + 1];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned int got = st_x86_touches(cases[i].code, cases[i].size);

		if (got == cases[i].touches) {
			passed++;
			continue;
		}
		failed++;
		printf("FAILED: %s: %#x, should be %#x\n", cases[i].what, got, cases[i].touches);
	}
	memset(big, 0x90, sizeof(big));
	big[ST_X86_TOUCHES_MAX - 1] = big[ST_X86_TOUCHES_MAX] = 0xc3;
	if (st_x86_touches(big, ST_X86_TOUCHES_MAX) || st_x86_touches(big, sizeof(big)) != ALL)
		failed++;
	else
		passed++;
}

#ifdef HAVE_ZYDIS
static ZydisDecoder decoder;
static size_t instructions, wrong, harmless, few;

/* What Zydis says an instruction writes, hidden operands included. */
static unsigned int zydis_touches(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o)
{
	unsigned int touches = 0;

	for (unsigned int i = 0; i < z->operand_count; i++) {
		ZydisRegister r = o[i].reg.value;

		if (o[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		switch (ZydisRegisterGetClass(r)) {
		case ZYDIS_REGCLASS_GPR8:
		case ZYDIS_REGCLASS_GPR16:
		case ZYDIS_REGCLASS_GPR32:
		case ZYDIS_REGCLASS_GPR64:
		case ZYDIS_REGCLASS_FLAGS:
		case ZYDIS_REGCLASS_IP:
			break;
		case ZYDIS_REGCLASS_XMM:
			if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
			    (o[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
				touches |= ALL;
			touches |= ZydisRegisterGetId(r) < 8 ? LOW : HIGH;
			break;
		case ZYDIS_REGCLASS_MMX: /* any use of one marks the x87 registers as full */
			touches |= ALL;
			break;
		default:
			if (r == ZYDIS_REGISTER_MXCSR)
				touches |= LOW;
			/* reading one of the others changes nothing */
			else if (o[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
				touches |= ALL;
		}
	}
	if (z->fpu_flags && (z->fpu_flags->modified || z->fpu_flags->set_0 || z->fpu_flags->set_1 ||
			     z->fpu_flags->undefined))
		touches |= ALL;
	return touches;
}

static size_t compare(const uint8_t *code, size_t size)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	unsigned int ours, theirs;
	ZydisDecodedInstruction z;
	struct st_x86_insn insn;

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, size, &z, operands)) ||
	    st_x86_decode(&insn, code, size) != z.length)
		return 1;
	instructions++;
	ours = st_x86_insn_touches(&insn, code);
	theirs = zydis_touches(&z, operands);
	harmless += !ours;
	few += ours && !(ours & ALL);
	if (!(ours & ALL) && (theirs & ~ours) && wrong++ < 40) {
		printf("  ours %#x, Zydis %#x (%s):", ours, theirs, ZydisMnemonicGetString(z.mnemonic));
		for (size_t i = 0; i < z.length; i++)
			printf(" %02x", code[i]);
		printf("\n");
	}
	return z.length;
}

static void result(const char *what)
{
	printf("%s: %zu instructions, %zu harmless, %zu in xmm registers, %zu wrong\n", what, instructions,
	       harmless, few, wrong);
	if (!wrong && harmless && few)
		passed++;
	else
		failed++;
	instructions = wrong = harmless = few = 0;
}

static void sweep(const char *path)
{
	struct text text;

	if (access(path, R_OK) < 0) {
		printf("skipped: %s is not here\n", path);
		skipped++;
		return;
	}
	if (text_open(&text, path) < 0) {
		failed++;
		return;
	}
	for (size_t i = 0; i < text.nr_sections; i++)
		for (size_t off = 0; off < text.sections[i].size;)
			off += compare(text.sections[i].code + off, text.sections[i].size - off);
	text_close(&text);
	result(path);
}

static void random_bytes(size_t rounds, uint64_t seed)
{
	static const uint8_t head[] = {0x0f, 0x66, 0xf2, 0xf3, 0x48, 0x62, 0xc4, 0xc5, 0x8f, 0xff, 0x41, 0x67, 0xf0};
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
	result("random");
}
#endif

int main(int argc, char **argv)
{
	try_cases();
#ifdef HAVE_ZYDIS
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-r") == 0 && i + 2 < argc) {
			random_bytes(strtoull(argv[i + 1], NULL, 0), strtoull(argv[i + 2], NULL, 0));
			i += 2;
		} else {
			sweep(argv[i]);
		}
	}
#else
	(void)argc;
	(void)argv;
	printf("skipped: Zydis is not here\n");
	skipped++;
#endif
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed != 0;
}
