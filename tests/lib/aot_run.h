/* A module compiled ahead of time as a user would: object and header (tenon_aot.h), linked with the C program that comes
 * with them by a plain `cc NAME.c NAME.o`, and run; on this machine, or another by a cross compiler and an emulator.
 *
 *     aot_run *a = aot_run_open(machine, module, &options, message);
 *     if (!a || !aot_run_call(a, &call, message)) ...
 *     aot_run_close(a);
 *
 * law: header and program compile without a warning; no symbol from outside but memcpy, memmove and memset
 */
#ifndef TN_TESTS_AOT_RUN_H
#define TN_TESTS_AOT_RUN_H

#include "compiler/tenon_aot.h"
#include "tests/lib/object_run.h"

typedef struct aot_run aot_run;

/* Compiles for the machine's target and links. `options` may be NULL. NULL: OBJECT_MESSAGE bytes say why. */
aot_run *aot_run_open(object_run *machine, tn_module *m, const tn_aot_options *options, char *message);
void aot_run_close(aot_run *a); /* NULL is allowed */

/* Runs it. call->in: one for each parameter of the function, data NULL for weights that have values; a state's are those
 * before the run. call->out: one for each result. Sizes are told by the inputs, or as object_call says. False:
 * OBJECT_MESSAGE bytes say why. */
bool aot_run_call(aot_run *a, const object_call *call, char *message);

/* What came of the compilation. */
const tn_aot *aot_run_files(const aot_run *a);

#endif
