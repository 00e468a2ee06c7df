/* SPDX-License-Identifier: GPL-2.0-only */
/* What the sub-commands of `sidetrack patch` share. */
#ifndef ST_CLI_PATCH_H
#define ST_CLI_PATCH_H

#include <patch/patch.h>

#define CLI_BUSY_MAX 64

/* A change to one process: its options, and who was in the way when it was last looked. */
struct cli_patching {
	const char *verb;
	struct st_patch_options options;
	struct st_busy busy[CLI_BUSY_MAX];
	unsigned int busy_ms[CLI_BUSY_MAX];
	size_t n;
	unsigned int next_ms;	/* when progress is shown again */
};

/* The usual options; signals end it, sentences and progress go to stderr. */
void cli_patching_begin(struct cli_patching *p, const char *verb);
/* Who is in the way, and for how long. */
void cli_patching_busy(const struct cli_patching *p);

/* patch apply, revert --all: files or names, each in turn, in every process that they are for. */
int cli_patch_all(struct cli_patching *p, char **what, int n);
/* One of them; signals are held. @nobody: that no process has it, or can have it, is no failure. */
int cli_patch_apply_all(struct cli_patching *p, const struct st_patch_file *file, bool nobody);
int cli_patch_revert_all(struct cli_patching *p, const char *name, bool nobody);

/* Parts of a process's patches wait for objects, or are in objects that may go: somebody has to watch. What can't be is said. */
void cli_patch_keep(const struct cli_patching *p, struct st_session *s);

/* patch list --installed. */
int cli_patch_list_installed(void);

/* patch build, sign, install, uninstall, watch: argv[0] is the sub-command. */
int cli_patch_build(int argc, char **argv);
int cli_patch_sign(int argc, char **argv);
int cli_patch_install(int argc, char **argv);
int cli_patch_watch(int argc, char **argv);

/* patch check: one file, pid 0: no process. */
int cli_patch_check(int pid, const char *path, struct cli_patching *p);

#endif
