/* --eval with --nan-check: the interpreter looks for the first NaN. */
#ifndef TN_CLI_RUN_NAN_H
#define TN_CLI_RUN_NAN_H

#include "frontends/cli/model.h"

/* Interprets main as run_data_interpret does. TN_ERR_NAN, with a message like that of compiled code, at the first NaN that
 * is an error. */
tn_status interpret_looking_for_nan(session *s, tn_diag *diag);

#endif
