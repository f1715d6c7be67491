/* Outputs of a run compared with what they should be. */
#ifndef TN_CLI_RUN_CHECK_H
#define TN_CLI_RUN_CHECK_H

#include "frontends/cli/model.h"

#include <jansson.h>

/* Each output with the interpreter's (--check), or with a file (--expect NAME=FILE, --tolerance). Differences go to `checks`,
 * or to stdout when that is NULL. EXIT_DONE, or another status with what differs on stderr. */
int check_interpreted(const session *s, json_t *checks);
int check_expected(const session *s, json_t *checks);

#endif
