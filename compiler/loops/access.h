/* "The value of v at this index": the one routine by which all loop classes emit what was
 * fused into a kernel.
 *
 * in:  a fused function, an open loop-tree builder, a value and one dim expression per axis
 * out: the statements that compute that element, appended to the open block
 * law: an element of a view is an element of its operand at a mapped index, so views cost
 *      nothing; work shared between readers in one block is emitted once
 *
 * A class says where values already live (access_in_buffer, access_in_register); everything
 * else is computed from its operands, reductions by loops in place.
 */
#ifndef TN_LOOPS_ACCESS_H
#define TN_LOOPS_ACCESS_H

#include "compiler/loops/loops.h"
#include "ir/op.h"

typedef enum source_kind { SOURCE_COMPUTED, SOURCE_BUFFER, SOURCE_REGISTER } source_kind;

/* Where a value of the fused function is to be had. */
typedef struct source {
    source_kind kind;
    uint32_t buffer;                  /* SOURCE_BUFFER */
    tn_dim base, stride[TN_MAX_RANK]; /* element offset = base + sum of index * stride */
    lt_value reg;                     /* SOURCE_REGISTER: the same for every index asked for */
    bool is_looked_at;                /* for NaN, before it was put there */
} source;

typedef struct access_memo {
    value_id value;
    lt_value guard;
    int rank;
    tn_dim index[TN_MAX_RANK];
    lt_value result;
    bool is_look; /* what is remembered is that `result` was looked at for NaN */
} access_memo;

/* An operand of a select that is being computed. */
typedef struct access_branch {
    const struct access_branch *outer;
    uint32_t select; /* node */
    uint8_t side;    /* operand: 1 where the condition holds, 2 where it does not */
    lt_value condition;
} access_branch;

typedef struct access {
    lt_builder b;
    tn_graph *fused;
    source *sources; /* one for each value of `fused` */
    /* Results computed so far that dominate the open block. */
    access_memo *memo;
    size_t n_memo, memo_capacity;
    /* Known ranges of the variables in scope. */
    dim_range *ranges;
    size_t n_ranges, ranges_capacity;
    lt_value guard; /* loads happen only where it holds; LT_NONE: always */
    /* True: *x is the element of that buffer, had by another way than loading it there. NULL: there is none. */
    bool (*load_instead)(void *ctx, uint32_t buffer, tn_dim index, lt_value *x);
    void *load_ctx;
    uint32_t *sites; /* site of each node, LT_NONE until it has one */
    /* First site of each node for NaN, in the order of the nodes, LT_NONE: not looked at; NULL: nothing is. */
    uint32_t *nan_sites;
    const access_branch *branch; /* innermost */
} access;

/* Sets up the kernel's buffers from the function's parameters and results, extents from its
 * symbols, and a source for each parameter. False: the diagnostic is in the module. */
bool access_open(access *a, tn_graph *fused, const char *class_name, const machine *m);
/* The kernel, or NULL when something failed; releases the rest. */
lt_kernel *access_close(access *a);

lt_value access_value(access *a, value_id v, const tn_dim *index);
static const tn_dim ACCESS_NO_INDEX[TN_MAX_RANK] = {DIM_INVALID}; /* of a scalar */

/* Row-major element offset of `index` in a tensor of that type. */
tn_dim access_offset(access *a, const tn_type *type, const tn_dim *index);
/* view_unravel under the ranges in scope. */
void access_unravel(access *a, tn_dim linear, int rank, const tn_dim *extents, tn_dim *index);

void access_in_buffer(access *a, value_id v, uint32_t buffer);
void access_in_register(access *a, value_id v, lt_value reg);
void access_computed(access *a, value_id v);

/* Stores the element `index` of a value of that rank in a buffer. */
void access_store_in(access *a, const source *place, int rank, const tn_dim *index, lt_value value);

/* What is stored as result r: the value that it is in another order of axes, or in another shape. */
value_id access_stored(const tn_graph *fused, uint32_t r);
/* Stores `value` as element `index` of access_stored(r). */
void access_store_ordered(access *a, uint32_t r, const tn_dim *index, lt_value value);
/* Stores `value` as element `index` of result r of the function. */
void access_store_result(access *a, uint32_t r, const tn_dim *index, lt_value value);

/* Loops that keep ranges and shared work in step with the open block. */
typedef struct access_loop {
    lt_stmt *stmt;
    lt_block *outer;
    size_t memo_mark, range_mark;
} access_loop;
access_loop access_open_loop(access *a, lt_loop_kind kind, tn_dim begin, tn_dim end, uint32_t width,
                             uint32_t n_carries);
void access_close_loop(access *a, access_loop *loop);
static inline tn_dim access_counter(const access_loop *loop) { return loop->stmt->loop.variable; }

/* A stage of `chunks` chunks; returns the variable. */
tn_dim access_open_stage(access *a, tn_dim chunks);

/* A stage over [0, total) split in chunks of `grain`: opens stage and loop; returns the counter. */
tn_dim access_open_rows(access *a, tn_dim total, int64_t grain, access_loop *loop);

/* A variable that is `d`, with the range [0, end), until the loop is closed: what divisions hide is known again. */
tn_dim access_open_named(access *a, tn_dim d, tn_dim end, access_loop *loop);

/* A stage whose chunks have `n` numbers, each below its extent, the last one innermost;
 * closed by access_close_chunks. */
void access_open_chunks(access *a, int n, const tn_dim *extents, tn_dim *numbers, access_loop *named);
void access_close_chunks(access *a, int n, access_loop *named);

void access_add_range(access *a, tn_dim leaf, tn_dim low, tn_dim high);
/* The variable opened last, whatever its loop's bounds say, is known to be in [0, end). */
void access_know_range(access *a, tn_dim leaf, tn_dim end);
tn_dim access_simplify(access *a, tn_dim d);

/* For emitters of single ops (access_*.c): */
tn_dim access_row_stride(access *a, const tn_type *type, int axis);
/* While the result is in force, loads also need `condition` (LT_NONE: as it was). */
lt_value access_push_guard(access *a, lt_value condition);
/* low <= d < high as a value; LT_NONE when it is proved. */
lt_value access_within(access *a, tn_dim d, tn_dim low, tn_dim high);
uint32_t access_site(access *a, value_id v);
/* dtype in which an op's sums are kept. */
tn_dtype access_accumulator(const tn_graph *g, const node *n);
/* The neutral element of a reduction, and the op that combines. */
lt_value access_neutral(access *a, reduce_kind kind, tn_dtype dtype);
tn_op access_combiner(reduce_kind kind);

/* access_nan.c: with nan_looks, checks of element `index` of v, whose value is x; once for each x in a block. */
bool access_open_nan_sites(access *a);
void access_look(access *a, value_id v, const tn_dim *index, lt_value x);

/* Remembers what dominates the open block (access.c). */
const access_memo *access_find_memo(const access *a, value_id v, int rank, const tn_dim *index, bool is_look);
void access_add_memo(access *a, value_id v, int rank, const tn_dim *index, lt_value result, bool is_look);

typedef lt_value access_emitter(access *a, value_id v, const node *n, const tn_dim *index);
access_emitter access_plain_view, access_pad, access_concat, access_gather, access_dynamic_slice,
    access_dynamic_update_slice, access_reduce, access_window, access_dot, access_conv, access_rng_bits;

#endif
