/* Code generation as the driver sees it: a plan in, text or an object out. LLVM's types stay
 * within this folder.
 */
#ifndef TN_CODEGEN_CODEGEN_H
#define TN_CODEGEN_CODEGEN_H

#include "compiler/codegen/tables.h"
#include "compiler/loops/plan.h"

typedef struct codegen codegen;

typedef enum codegen_form { CODEGEN_LLVM, CODEGEN_ASSEMBLY, CODEGEN_OBJECT } codegen_form;

/* For the target of that name (NULL: this machine) at optimisation level 1 to 3. NULL: *diag. */
codegen *codegen_new(const char *target_name, int level, tn_diag *diag);
void codegen_free(codegen *g);

const machine *codegen_machine(const codegen *g);
bool codegen_is_host(const codegen *g);

/* Emits the entries of `entry` and all it calls, named <prefix>bind and <prefix>run. */
bool codegen_emit(codegen *g, const program_plan *plan, tn_graph *entry, const char *prefix, emitted_tables *tables);

/* After all entries are emitted: LLVM's passes, once. With `verify` LLVM's verifier runs first. */
bool codegen_finish(codegen *g, bool verify);

/* The module in that form, NUL-terminated, in memory from tn_malloc; NULL: *diag. */
char *codegen_write(codegen *g, codegen_form form, size_t *bytes);

/* "LLVM a.b.c, <cpu>", cut to capacity. */
void codegen_version(char *text, size_t capacity);

#endif
