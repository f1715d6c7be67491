/* What the emission of an object's entries carries along; private to aot_*.c. */
#ifndef TN_CODEGEN_AOT_STATE_H
#define TN_CODEGEN_AOT_STATE_H

#include <llvm-c/Core.h>

#include "compiler/codegen/aot_entry.h"
#include "compiler/codegen/target.h"

typedef struct aot_emitter {
    const aot_entry *entry;
    const target *target; /* of all that is not a version's own: any CPU runs it */
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef b;
    LLVMTypeRef i8, i32, i64, pointer, empty;
    unsigned pointer_bytes;
    LLVMValueRef function; /* being emitted; the builder is in it */
    LLVMValueRef block;    /* the object's weights; NULL: none, or they are in a file */
    bool has_bound;        /* callers keep what NAME_bind found out */
} aot_emitter;

/* The struct NAME_bound: pointer to the weights, number of the version. */
enum { AOT_BOUND_WEIGHTS, AOT_BOUND_VERSION };

/* Functions with external linkage are NAME_<suffix>. The builder goes to their first block. */
LLVMValueRef aot_function(aot_emitter *a, const char *suffix, LLVMTypeRef type);

LLVMValueRef aot_i64(const aot_emitter *a, uint64_t value);
LLVMValueRef aot_i32(const aot_emitter *a, int32_t value);
LLVMBasicBlockRef aot_block_new(aot_emitter *a, const char *name);
/* `bytes` behind a pointer. */
LLVMValueRef aot_at(aot_emitter *a, LLVMValueRef base, LLVMValueRef bytes);
LLVMValueRef aot_load(aot_emitter *a, LLVMTypeRef type, LLVMValueRef base, uint64_t offset);
void aot_store(aot_emitter *a, LLVMValueRef value, LLVMValueRef base, uint64_t offset);
/* A table of the object that nobody writes. */
LLVMValueRef aot_table(aot_emitter *a, const char *name, LLVMTypeRef type, LLVMValueRef *items, size_t n);
/* Goes on where the condition holds, else returns the code. */
void aot_require(aot_emitter *a, LLVMValueRef condition, int32_t code);

/* for (i = 0; i < n; i++): the builder is in the body from open to close; n is at least 1. */
typedef struct aot_loop {
    LLVMBasicBlockRef before, body;
    LLVMValueRef i, n;
} aot_loop;
aot_loop aot_loop_open(aot_emitter *a, LLVMValueRef n);
void aot_loop_close(aot_emitter *a, aot_loop *loop);

/* Whether a pointer is a multiple of that many bytes. */
LLVMValueRef aot_is_aligned(aot_emitter *a, LLVMValueRef pointer, unsigned bytes);

/* The block of weights: the object's own, or what the bound struct says. */
LLVMValueRef aot_weights(aot_emitter *a, LLVMValueRef bound);

/* aot_run.c, aot_bind.c */
bool aot_emit_run(aot_emitter *a, tn_diag *diag);
void aot_emit_bind(aot_emitter *a);
void aot_emit_init(aot_emitter *a);

#endif
