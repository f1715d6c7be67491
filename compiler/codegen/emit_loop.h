/* A loop being emitted, for i = begin; i < end; i += step; private to emit_loop.c, emit_vector.c. */
#ifndef TN_COMPILER_CODEGEN_EMIT_LOOP_H
#define TN_COMPILER_CODEGEN_EMIT_LOOP_H

#include "compiler/codegen/emit_state.h"

enum { FEW_CARRIES = 16 };

typedef struct loop {
    const lt_stmt *stmt;
    uint32_t number; /* of the counter, for names */
    LLVMValueRef begin, end;
    int64_t step;
    bool runs; /* at least one step, surely */
    bool once; /* exactly one step */
    LLVMBasicBlockRef before, head, exit;
    LLVMValueRef counter;
    uint32_t n_phis;                      /* all carried values, or 0 when they are kept elsewhere */
    LLVMValueRef few[FEW_CARRIES], *phis; /* carried values inside */
    size_t n_scopes, n_ranges;
} loop;

bool emit_loop_init(emit *e, loop *l, const lt_stmt *s); /* false: no memory */
void emit_loop_free(loop *l);

/* Opens the body with carried values starting from inits[]; closes it: nexts[] in, results[] out
 * (may be inits; all NULL without phis). */
void emit_loop_open(emit *e, loop *l, const LLVMValueRef *inits);
void emit_loop_close(emit *e, loop *l, const LLVMValueRef *inits, const LLVMValueRef *nexts, LLVMValueRef *results);
/* The whole loop, with the body once in between. */
void emit_loop_body(emit *e, loop *l, LLVMValueRef *inits, LLVMValueRef *results);

/* Trip count of a loop when known, else -1; whether there is surely a step. */
int64_t emit_loop_steps(emit *e, const lt_stmt *s);
bool emit_loop_runs(emit *e, const lt_stmt *s);

/* carried[]: first values in, last values out. */
void emit_vector_loop(emit *e, const lt_stmt *s, LLVMValueRef *carried);

#endif
