/* A module's last steps: checked, optimised, written as LLVM text, assembly or an object.
 *
 * in:  a module marked for a machine (target_mark_module)
 * out: bytes
 * law: the passes keep every bit of every result (no fast-math); LLVM's errors come back in
 *      `diag`, nothing is printed and nothing exits
 */
#ifndef TN_COMPILER_CODEGEN_OBJECT_H
#define TN_COMPILER_CODEGEN_OBJECT_H

#include <stdbool.h>

#include <llvm-c/Core.h>
#include <llvm-c/Object.h>
#include <llvm-c/TargetMachine.h>

#include "runtime/tenon_rt.h"

/* Of modules. It becomes a symbol of an ELF object, too: the name of its source. */
#define OBJECT_MODULE_NAME "tenon"

typedef enum object_form {
    OBJECT_LLVM,     /* LLVM IR as text */
    OBJECT_ASSEMBLY, /* assembly as text */
    OBJECT_OBJECT,   /* relocatable object file */
} object_form;

/* Runs LLVM's verifier; a failure is a bug of the code generator (TN_ERR_INTERNAL). */
tn_status object_verify(LLVMModuleRef module, tn_diag *diag);

/* Runs the pass list of optimisation level 0 (none), 1 (quick, the default) or 2 (also loops). */
tn_status object_optimise(LLVMModuleRef module, LLVMTargetMachineRef tm, int level, tn_diag *diag);

/* Takes out what no external function needs. */
tn_status object_drop_unused(LLVMModuleRef module, tn_diag *diag);

/* Writes `module` in `form`; the caller disposes of *out with LLVMDisposeMemoryBuffer. */
tn_status object_emit(LLVMModuleRef module, LLVMTargetMachineRef tm, object_form form, LLVMMemoryBufferRef *out,
                      tn_diag *diag);

/* Calls `visit` for each named symbol of an ELF object until it returns false; section is NULL for undefined ones.
 * Of `symbol` it may ask more. */
typedef bool (*symbol_visit)(void *user, const char *name, const char *section, LLVMSymbolIteratorRef symbol);
void object_each_symbol(LLVMBinaryRef object, symbol_visit visit, void *user);

/* A new context whose diagnostics go to `diag` (the first error is kept) and nowhere else.
 * Dispose of it with LLVMContextDispose; `diag` must live until then. */
LLVMContextRef object_context_new(tn_diag *diag);

#endif
