/* Loop trees to LLVM IR.
 *
 * in:  a verified loop tree and a module marked for a machine
 * out: one function for each stage, called as abi.h says
 * law: a result's bits depend on the loop tree and the instruction set, on nothing else; no
 *      value of any input makes the code trap or touch memory that the tree does not name
 */
#ifndef TN_COMPILER_CODEGEN_EMIT_H
#define TN_COMPILER_CODEGEN_EMIT_H

#include <llvm-c/Core.h>

#include "compiler/codegen/abi.h"
#include "compiler/codegen/debug_info.h"
#include "compiler/codegen/target.h"
#include "compiler/loops/parts.h"

/* Which functions that kernels call some module has already, for those that come after it. */
typedef struct emit_helpers {
    /* emit_transpose.c: streamed or not; by the logarithms of an element's bytes and of the rows */
    bool transposes[2][4][8];
    bool *parts; /* emit_part.c: by number */
} emit_helpers;

typedef struct emitter {
    LLVMModuleRef module;
    const target *target;
    tn_diag *diag;           /* filled when a call fails */
    bool is_shared;          /* functions can be called from other modules */
    emit_helpers *helpers;   /* of all modules of the program; NULL: this is the only one */
    const loop_parts *parts; /* of all kernels of the program; NULL: none */
    debug_info *debug;       /* of the module; NULL: none */
} emitter;

/* Adds the stages of `k` to the module as functions <symbol>.s0, <symbol>.s1, ..., internal unless shared;
 * stages[] gets them (k->n_stages of them). False: *diag says why. */
bool emit_kernel(const emitter *out, const lt_kernel *k, const char *symbol, LLVMValueRef *stages);

/* The type of a stage's function. */
LLVMTypeRef emit_stage_type(LLVMContextRef context);

/* A symbol as an expression of i64 values, for code outside kernels (sizes, offsets, chunk
 * counts): emits `d` at the builder's place with symbols[i] read as values[i]. Divisors are
 * taken as at least 1. NULL: *why is TN_ERR_INTERNAL (a symbol has no value), TN_ERR_LIMIT (`d` did not
 * fit in 63 bits) or TN_ERR_MEMORY. */
LLVMValueRef emit_dim_expression(LLVMBuilderRef builder, dim_table *t, tn_dim d, const tn_dim *symbols,
                                 const LLVMValueRef *values, uint32_t n, tn_status *why);

#endif
