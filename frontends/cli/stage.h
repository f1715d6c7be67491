/* Stages of a compilation by name, for the commands that look at one: dump, export, draw, debug. */
#ifndef TN_CLI_STAGE_H
#define TN_CLI_STAGE_H

#include "compiler/stages.h"
#include "frontends/cli/options.h"

/* The stage's number in tn_stage_names; -1: there is no such, or it has no text. */
int stage_number(const char *name);
/* Whether it ends with a graph and nothing more: the stages behind the passes have loops and code besides. */
bool stage_is_graph(const char *name);
/* That --after names such a stage, or is not given: EXIT_DONE. Else EXIT_USAGE with a message that names near ones. */
int stage_check(const arguments *a);
int stage_check_graph(const arguments *a);

/* The module as the stage leaves it: `visit` gets it (and what it returns is returned), by the options of compilation.
 * `stage` NULL: the module as it is. */
int stage_visit(const arguments *a, tn_module *m, const char *stage, int (*visit)(void *ctx, tn_module *m), void *ctx);

/* dump_diff.c: what each stage changed (stage "all"), or one. `out` is the folder for the former, the file for the
 * latter; NULL: all goes to stdout. */
int dump_differences(tn_module *m, const arguments *a, const char *stage, const char *out);

#endif
