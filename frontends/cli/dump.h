/* What a compilation comes to, stage by stage, for the command `dump`. */
#ifndef TN_CLI_DUMP_H
#define TN_CLI_DUMP_H

#include "compiler/stages.h"
#include "frontends/cli/options.h"

/* The stage's number in tn_stage_names; -1: there is no such, or it has no text. */
int dump_stage_number(const char *name);

/* Says that there is no such stage, and which are near; EXIT_USAGE. */
int dump_complain_of_stage(const arguments *a, const char *stage);

/* Writes `text` to a file, or to stdout when path is NULL. EXIT_DONE, or EXIT_INPUT with the error on stderr. */
int dump_write(const char *path, const char *text);
int dump_make_folder(const char *folder);

/* dump_diff.c: what each stage changed (stage "all"), or one. `out` is the folder for the former, the file for the
 * latter; NULL: all goes to stdout. */
int dump_differences(tn_module *m, const arguments *a, const char *stage, const char *out);

#endif
