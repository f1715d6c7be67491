/* The commands, one file each. Each returns the exit status. */
#ifndef TN_CLI_COMMANDS_H
#define TN_CLI_COMMANDS_H

#include "frontends/cli/options.h"

int command_run(const arguments *a);
int command_dump(const arguments *a);
int command_export(const arguments *a);
int command_draw(const arguments *a);
int command_debug(const arguments *a);
int command_grad(const arguments *a);
int command_train(const arguments *a);
int command_check(const arguments *a);
int command_bench(const arguments *a);
int command_explain(const arguments *a);
int command_compile(const arguments *a);
int command_bisect(const arguments *a);
int command_reduce(const arguments *a);
int command_cache(const arguments *a);
int command_doc(const arguments *a);

#endif
