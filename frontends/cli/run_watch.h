/* --watch and --stats: what values are like while a model runs. */
#ifndef TN_CLI_RUN_WATCH_H
#define TN_CLI_RUN_WATCH_H

#include "frontends/cli/model.h"

#include <jansson.h>

/* Runs the model on the session's inputs and shows the values that --watch names, or all with --stats, on stdout, or adds
 * them to the arrays (not NULL with --json). With --eval by the interpreter, else by a copy of the model in which they
 * are results. EXIT_DONE, or another status with the error on stderr. */
int watch_values(session *s, json_t *watched, json_t *statistics);

#endif
