/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the unwind tables of 32-bit ARM refer to (EHABI 7.3), and libgcc has. Nobody unwinds through the agent by them: they are
 * there because the engine's code is compiled once.
 */
#define PERSONALITY(name) \
	void name(void); \
	void name(void) \
	{ \
	}

PERSONALITY(__aeabi_unwind_cpp_pr0)
PERSONALITY(__aeabi_unwind_cpp_pr1)
PERSONALITY(__aeabi_unwind_cpp_pr2)
