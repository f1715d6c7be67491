/* Entries of an object, for codegen.c (see aot_entry.h). */
#ifndef TN_CODEGEN_CODEGEN_AOT_H
#define TN_CODEGEN_CODEGEN_AOT_H

#include "compiler/codegen/aot_entry.h"
#include "compiler/codegen/target.h"

/* Adds them to the module, in which the versions' functions stand; these become internal. `t`: what any CPU of the
 * versions' runs. False: *diag. */
bool aot_emit(LLVMModuleRef module, LLVMTargetMachineRef machine, const target *t, const aot_entry *entry,
              tn_diag *diag);

/* Puts the weights where the object has room for them. False: *diag. */
bool aot_fill_weights(const target *t, const aot_block *block, void *object, size_t bytes, tn_diag *diag);

#endif
