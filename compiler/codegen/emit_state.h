/* What the emission of one stage carries along; private to emit*.c.
 *
 * Scopes: every loop body, and what follows an LT_BIND, opens a scope with a block of its own,
 * the prologue, that dominates the rest of the scope. A dim expression or an address is
 * computed once, in the prologue of the outermost scope that has all its leaves.
 *
 * Lanes: inside the wide part of a vector loop `lanes` is its width, elsewhere 1. Each value
 * is then either uniform (an LLVM scalar) or varying (a vector of `lanes`); emit_vary.c finds
 * out which before the loop is emitted.
 */
#ifndef TN_COMPILER_CODEGEN_EMIT_STATE_H
#define TN_COMPILER_CODEGEN_EMIT_STATE_H

#include "compiler/codegen/builder_place.h"
#include "compiler/codegen/emit.h"
#include "compiler/codegen/vmath.h"

/* A value computed in a scope: a dim expression, or the address of an element. */
typedef struct scope_memo {
    tn_dim dim;
    uint32_t buffer; /* LT_NONE: the dim itself */
    bool is_vector;
    LLVMValueRef value;
} scope_memo;

typedef struct scope {
    LLVMBasicBlockRef prologue;
    size_t n_ranges; /* those that hold in the prologue */
    scope_memo *memo;
    size_t n_memo, memo_capacity;
} scope;

typedef struct variable {
    LLVMValueRef scalar; /* vector counters: of lane 0; varying bound indices: NULL */
    LLVMValueRef vector; /* varying bound indices */
    uint32_t level;      /* scope that defines it */
    bool is_varying;
} variable;

enum { EMIT_MOST_CHECKS = 16 };

typedef struct emit {
    const emitter *out;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    vmath_ctx math;
    const lt_kernel *kernel;
    dim_table *dims;

    LLVMValueRef function, args, chunk, worker;
    LLVMMetadataRef described; /* the function, for lines; NULL: it has none */
    LLVMBasicBlockRef entry;
    LLVMTypeRef i1, i32, i64, pointer;

    LLVMValueRef *values;  /* by lt_value */
    bool *is_varying;      /* by lt_value; counts while lanes > 1 */
    variable *variables;   /* by number */
    LLVMValueRef *buffers; /* addresses, NULL until used in this stage */
    LLVMValueRef *extents; /* values; NULL: in slots (abi.h) */
    scope *scopes;
    size_t n_scopes, scopes_capacity;
    dim_range *ranges; /* of the variables in scope */
    size_t n_ranges, ranges_capacity;
    tn_dim *unrolled, *steps; /* counters of unrolled loops, and their present values */
    size_t n_unrolled, unrolled_capacity, steps_capacity;

    uint32_t lanes;
    tn_dim counter;                          /* of the vector loop, while lanes > 1 */
    LLVMValueRef mask;                       /* lanes that are live, or NULL: all */
    const lt_block *block;                   /* being emitted */
    const lt_stmt *checks[EMIT_MOST_CHECKS]; /* of this block, still to be emitted: together they are one branch */
    uint32_t n_checks;
    bool streams;      /* lanes that are stored to streamed buffers are whole lines, or follow each other */
    bool has_streamed; /* the stage does, somewhere */
    bool failed;
} emit;

/* ---- emit.c ---- */
bool emit_fail(emit *e, tn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
void emit_block(emit *e, const lt_block *block);
/* A block after all others of the function. */
LLVMBasicBlockRef emit_new_block(emit *e, const char *name, uint32_t number);
/* Ends the present block with a jump to a new prologue, opens its scope, and goes on behind it.
 * emit_open_scope_at: the prologue exists and the builder stands in it. */
bool emit_open_scope(emit *e, const char *name, uint32_t number);
bool emit_open_scope_at(emit *e, LLVMBasicBlockRef prologue, const char *name, uint32_t number);
void emit_close_scopes(emit *e, size_t n);
/* Of the variable that opened the present scope. */
bool emit_push_range(emit *e, tn_dim leaf, tn_dim low, tn_dim high);
LLVMValueRef emit_const_i64(const emit *e, int64_t value);
LLVMValueRef emit_splat(emit *e, LLVMValueRef scalar); /* to e->lanes; a vector stays */
LLVMValueRef emit_value(emit *e, lt_value v);          /* scalar or vector, as it is */
LLVMValueRef emit_value_as(emit *e, lt_value v, bool varying);
void emit_set_value(emit *e, lt_value v, LLVMValueRef value);
/* For debuggers: what $8 is from here on goes by the name i8. */
void emit_tell_variable(emit *e, uint32_t number, LLVMValueRef value);
bool emit_is_vector(LLVMValueRef v);
/* `step`, hidden from LLVM's analysis of induction variables. Addresses are computed where they belong already, so
 * its loop strength reduction has nothing to gain; it took 25 to 45% of all code generation to find out. */
LLVMValueRef emit_opaque(emit *e, LLVMValueRef step);
LLVMValueRef emit_intrinsic(emit *e, const char *name, LLVMTypeRef *types, unsigned n_types, LLVMValueRef *args,
                            unsigned n_args, const char *result);
/* The zero of a type; all lanes of a bool vector set. */
LLVMValueRef emit_all_true(emit *e);

/* ---- emit_dim.c ---- */
tn_dim emit_substitute(emit *e, tn_dim d); /* counters of unrolled loops by their values */
LLVMValueRef emit_dim(emit *e, tn_dim d);  /* for lane 0 when d varies */
LLVMValueRef emit_dim_vector(emit *e, tn_dim d);
bool emit_dim_varies(emit *e, tn_dim d);
uint32_t emit_dim_level(emit *e, tn_dim d);
/* How an index runs over the lanes: index(lane l) = index(lane 0) + stride * l. */
typedef enum lane_pattern { LANES_UNIFORM, LANES_STRIDED, LANES_ANY } lane_pattern;
lane_pattern emit_lane_pattern(emit *e, tn_dim d, tn_dim *stride);
/* Address of an element (of lane 0 when the index varies). */
LLVMValueRef emit_address(emit *e, uint32_t buffer, tn_dim index);
int64_t emit_constant_term(const emit *e, tn_dim d);
LLVMValueRef emit_address_plus(emit *e, uint32_t buffer, LLVMValueRef address, LLVMValueRef elements);

/* Moves the builder into a scope's prologue and tells where it was: the block being written, or another prologue, which
 * ends already. */
builder_place emit_enter_prologue(emit *e, uint32_t level);

/* ---- emit_divide.c ---- */

typedef struct emit_division {
    int64_t divisor;     /* when constant, else 0 */
    bool is_nonnegative; /* the dividend */
    bool is_positive;    /* the divisor is known to be */
} emit_division;

emit_division emit_division_of(dim_table *t, tn_dim x, tn_dim y, const dim_range *ranges, size_t n);
LLVMValueRef emit_divide(LLVMBuilderRef b, dim_kind kind, LLVMValueRef x, LLVMValueRef y, const emit_division *how);
LLVMValueRef emit_quotient_lanes(emit *e, tn_dim d, uint32_t level);

/* ---- emit_memory.c ---- */
void emit_load(emit *e, const lt_stmt *s);
void emit_store(emit *e, const lt_stmt *s);
LLVMValueRef emit_buffer(emit *e, uint32_t buffer);
LLVMValueRef emit_frame_field(emit *e, LLVMTypeRef type, size_t offset, const char *name); /* of tn_frame */
LLVMValueRef emit_slot_i64(emit *e, uint32_t slot, const char *name);
unsigned emit_alignment(const emit *e, uint32_t buffer);
/* The guard ANDed with the mask; NULL: always. */
LLVMValueRef emit_guard(emit *e, lt_value guard);

/* A vector's lanes that the mask lets through; the others are 0, and not touched in memory. */
LLVMValueRef emit_masked_load(emit *e, LLVMTypeRef vector, LLVMValueRef address, LLVMValueRef mask, unsigned alignment);
void emit_masked_store(emit *e, LLVMValueRef value, LLVMValueRef address, LLVMValueRef mask, unsigned alignment);

/* `address` when the condition holds, else one from which a value of `type` is read as zeros. */
LLVMValueRef emit_address_if(emit *e, LLVMValueRef condition, LLVMValueRef address, LLVMTypeRef type);

/* ---- emit_stream.c ---- */
/* Whether stores of the whole groups of a vector loop may be streamed, as a value before the loop; NULL: none may. */
LLVMValueRef emit_streams(emit *e, const lt_stmt *vector_loop);
/* The same of rows of a matrix that is stored, that many columns wide, a row at a time. */
LLVMValueRef emit_streams_rows(emit *e, const lt_matrix *to, uint32_t columns);
bool emit_is_streamed(const emit *e, uint32_t buffer);
/* Makes a store of so many bytes, a power of two, go past the caches. */
void emit_stream_store(emit *e, LLVMValueRef store, unsigned bytes);
/* `body`, in two versions where stores may be streamed (NULL: not here): in one of them e->streams holds. */
void emit_stream_either_way(emit *e, LLVMValueRef may_stream, void (*body)(void *ctx), void *ctx);
void emit_stream_fence(emit *e); /* at the end of a stage */

/* ---- emit_shuffle.c ---- */
/* The lanes of a load in memory's dtype, 0 where the guard does not hold, when shuffles get at them; else NULL, and
 * nothing was emitted. */
LLVMValueRef emit_shuffled_load(emit *e, const lt_stmt *load, LLVMTypeRef element, LLVMValueRef guard);

/* ---- emit_op.c ---- */
LLVMValueRef emit_op(emit *e, tn_op op, int32_t compare, tn_dtype operand, tn_dtype result, const LLVMValueRef *x);
LLVMValueRef emit_const(emit *e, tn_dtype dtype, uint64_t bits);

/* The branch at the end of a loop that runs about `steps` times (below 1: unknown). Register allocation goes by it: of
 * a short loop in a longer one it would otherwise think more than of a single long one, such as a tile's. */
void emit_back_edge(emit *e, LLVMValueRef more, LLVMBasicBlockRef head, LLVMBasicBlockRef exit, int64_t steps);

/* ---- emit_part.c ---- */
void emit_part_call(emit *e, const part_use *use); /* the call */
/* The body of `function` (emit.c). */
bool emit_part_function(const emitter *out, const loop_part *part, LLVMValueRef function);

/* ---- emit_loop.c, emit_vary.c, emit_bind.c, emit_tile.c, emit_transpose.c ---- */
void emit_loop(emit *e, const lt_stmt *s);
void emit_if(emit *e, const lt_stmt *s);
void emit_mark_varying(emit *e, const lt_stmt *vector_loop);
void emit_bind(emit *e, const lt_stmt *s);
void emit_check(emit *e, const lt_stmt *s);
void emit_pending_checks(emit *e);
void emit_tile(emit *e, const lt_stmt *s);
void emit_transpose(emit *e, const lt_stmt *s);

#endif
