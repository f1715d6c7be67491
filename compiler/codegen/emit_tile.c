/* The register tile of a contraction.
 *
 * in:  LT_TILE: mr rows of A against nr columns of B, depth steps
 * out: mr x nr accumulators in vector registers through one loop over the depth: each step
 *      loads a row of B, converts it when it is narrower, splats mr elements of A, and multiplies
 *      and adds
 * law: each element is one chain over the depth, fused where the target fuses, so that neither
 *      mr, nr nor the vector width changes a bit
 */
#include "compiler/codegen/emit_state.h"

enum {
    MOST_LANES = 256,
    SOME_DEPTH = 256, /* taken for a symbolic one */
    PREFETCH_LINE = 64,
    PREFETCH_LOCALITY = 3, /* all levels */
};

/* Columns are covered by vectors of the widest kind; what is left by one with some lanes off, or without masks by
 * vectors of half the lanes, down to one. */
typedef struct column_group {
    uint32_t first, lanes, used;
} column_group;

typedef struct tile {
    emit *e;
    const lt_stmt *s;
    tn_dtype sum;
    LLVMTypeRef element; /* in registers */
    uint32_t n_groups;
    column_group *groups;
    LLVMValueRef *sums; /* mr x n_groups */
} tile;

static LLVMTypeRef group_type(LLVMTypeRef element, const column_group *g) {
    return g->lanes > 1 ? LLVMVectorType(element, g->lanes) : element;
}

static uint32_t split_columns(const machine *m, uint32_t nr, uint32_t widest, column_group *groups) {
    uint32_t n = 0;
    for (uint32_t first = 0; first < nr; n++) {
        uint32_t left = nr - first;
        while (widest > 1 && (machine_has_masks(m) ? widest / 2 >= left : widest > left)) widest /= 2;
        if (groups) groups[n] = (column_group){first, widest, widest < left ? widest : left};
        first += widest;
    }
    return n;
}

/* The lanes in use; NULL: all. */
static LLVMValueRef group_mask(const emit *e, const column_group *g) {
    LLVMValueRef lanes[MOST_LANES];
    if (g->used == g->lanes) return NULL;
    for (uint32_t i = 0; i < g->lanes; i++) lanes[i] = LLVMConstInt(e->i1, i < g->used, false);
    return LLVMConstVector(lanes, g->lanes);
}

static LLVMValueRef load_group(const tile *t, uint32_t buffer, LLVMValueRef address, const column_group *g) {
    emit *e = t->e;
    tn_dtype dtype = e->kernel->buffers[buffer].dtype;
    LLVMTypeRef type = vmath_memory_type(e->context, dtype, g->lanes > 1 ? g->lanes : 0);
    LLVMValueRef v, mask = group_mask(e, g);
    if (mask)
        v = emit_masked_load(e, type, address, mask, emit_alignment(e, buffer));
    else
        LLVMSetAlignment(v = LLVMBuildLoad2(e->builder, type, address, ""), emit_alignment(e, buffer));
    return vmath_convert(&e->math, vmath_unpack(&e->math, dtype, v), dtype, t->sum);
}

static LLVMValueRef c_address(const tile *t, uint32_t row, const column_group *g) {
    emit *e = t->e;
    tn_dim at = dim_add(e->dims, t->s->tile.c_index, dim_mul_const(e->dims, t->s->tile.c_row, row));
    return emit_address(e, t->s->tile.c, dim_add_const(e->dims, at, g->first));
}

static void load_sums(const tile *t) {
    for (uint32_t r = 0; r < t->s->tile.mr; r++)
        for (uint32_t g = 0; g < t->n_groups; g++)
            t->sums[r * t->n_groups + g] =
                t->s->tile.accumulate ? load_group(t, t->s->tile.c, c_address(t, r, &t->groups[g]), &t->groups[g])
                                      : LLVMConstNull(group_type(t->element, &t->groups[g]));
}

static void store_sums(const tile *t) {
    emit *e = t->e;
    for (uint32_t r = 0; r < t->s->tile.mr; r++)
        for (uint32_t g = 0; g < t->n_groups; g++) {
            tn_dtype dtype = e->kernel->buffers[t->s->tile.c].dtype;
            LLVMValueRef packed = vmath_pack(&e->math, dtype, t->sums[r * t->n_groups + g]);
            LLVMValueRef to = c_address(t, r, &t->groups[g]), mask = group_mask(e, &t->groups[g]);
            if (mask)
                emit_masked_store(e, packed, to, mask, emit_alignment(e, t->s->tile.c));
            else
                LLVMSetAlignment(LLVMBuildStore(e->builder, packed, to), emit_alignment(e, t->s->tile.c));
        }
}

static LLVMValueRef splat_to(emit *e, LLVMValueRef scalar, uint32_t lanes) {
    uint32_t before = e->lanes;
    e->lanes = lanes;
    LLVMValueRef v = emit_splat(e, scalar);
    e->lanes = before;
    return v;
}

/* Asks for what is read after the tile, a step's share of it. */
static void prefetch_next(const tile *t, LLVMValueRef next) {
    emit *e = t->e;
    int64_t step, bytes = tn_dtype_bits(e->kernel->buffers[t->s->tile.next].dtype) / 8;
    dim_is_const(e->dims, t->s->tile.next_step, &step);
    for (int64_t at = 0; at < step * bytes; at += PREFETCH_LINE) {
        LLVMValueRef line = emit_address_plus(e, t->s->tile.next, next, emit_const_i64(e, at / bytes));
        LLVMValueRef args[] = {line, LLVMConstInt(e->i32, 0, false), LLVMConstInt(e->i32, PREFETCH_LOCALITY, false),
                               LLVMConstInt(e->i32, 1, false)};
        emit_intrinsic(e, "llvm.prefetch", &e->pointer, 1, args, 4, "");
    }
}

/* One step: sums[r, :] += a[r] * b[:]. */
static void emit_step(const tile *t, LLVMValueRef a, const LLVMValueRef *rows, LLVMValueRef b, LLVMValueRef *columns) {
    emit *e = t->e;
    static const column_group one = {0, 1, 1};
    for (uint32_t g = 0; g < t->n_groups; g++) {
        LLVMValueRef at = emit_const_i64(e, t->groups[g].first);
        columns[g] = load_group(t, t->s->tile.b, emit_address_plus(e, t->s->tile.b, b, at), &t->groups[g]);
    }
    for (uint32_t r = 0; r < t->s->tile.mr; r++) {
        LLVMValueRef x = load_group(t, t->s->tile.a, emit_address_plus(e, t->s->tile.a, a, rows[r]), &one);
        for (uint32_t g = 0; g < t->n_groups; g++) {
            LLVMValueRef *sum = &t->sums[r * t->n_groups + g];
            *sum = vmath_mad(&e->math, splat_to(e, x, t->groups[g].lanes), columns[g], *sum);
        }
    }
}

/* A pointer that moves on by `step` elements with each step of the depth loop. */
typedef struct cursor {
    uint32_t buffer;
    LLVMValueRef start, step, phi, after;
} cursor;

static cursor cursor_of(emit *e, uint32_t buffer, tn_dim index, tn_dim step) {
    return (cursor){.buffer = buffer, .start = emit_address(e, buffer, index), .step = emit_dim(e, step)};
}

static void open_cursor(emit *e, cursor *c, LLVMBasicBlockRef before) {
    c->phi = LLVMBuildPhi(e->builder, e->pointer, "at");
    LLVMAddIncoming(c->phi, &c->start, &before, 1);
}

static void close_cursor(emit *e, cursor *c, LLVMBasicBlockRef last) {
    c->after = emit_opaque(e, emit_address_plus(e, c->buffer, c->phi, c->step));
    LLVMAddIncoming(c->phi, &c->after, &last, 1);
}

/* for k in 0..depth; the sums are phis. `work` has room for n phis, mr rows, n_groups columns. */
static void emit_depth_loop(const tile *t, LLVMValueRef *work) {
    emit *e = t->e;
    uint32_t n = t->s->tile.mr * t->n_groups;
    LLVMValueRef *phis = work, *rows = work + n, *columns = rows + t->s->tile.mr;
    LLVMValueRef depth = emit_dim(e, t->s->tile.depth), zero = emit_const_i64(e, 0);
    cursor cursors[3] = {cursor_of(e, t->s->tile.a, t->s->tile.a_index, t->s->tile.a_depth),
                         cursor_of(e, t->s->tile.b, t->s->tile.b_index, t->s->tile.b_depth)};
    uint32_t n_cursors = 2;
    if (t->s->tile.next != LT_NONE)
        cursors[n_cursors++] = cursor_of(e, t->s->tile.next, t->s->tile.next_index, t->s->tile.next_step);
    for (uint32_t r = 0; r < t->s->tile.mr; r++) rows[r] = emit_dim(e, dim_mul_const(e->dims, t->s->tile.a_row, r));

    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->builder);
    LLVMBasicBlockRef head = emit_new_block(e, "depth", 0), exit = emit_new_block(e, "tile", 0);
    LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntSGT, depth, zero, "any"), head, exit);
    LLVMPositionBuilderAtEnd(e->builder, head);
    LLVMValueRef k = LLVMBuildPhi(e->builder, e->i64, "k");
    LLVMAddIncoming(k, &zero, &before, 1);
    for (uint32_t i = 0; i < n_cursors; i++) open_cursor(e, &cursors[i], before);
    for (uint32_t i = 0; i < n; i++) {
        LLVMValueRef init = t->sums[i];
        phis[i] = LLVMBuildPhi(e->builder, LLVMTypeOf(init), "sum");
        LLVMAddIncoming(phis[i], &init, &before, 1);
        t->sums[i] = phis[i];
    }
    if (n_cursors > 2) prefetch_next(t, cursors[2].phi);
    emit_step(t, cursors[0].phi, rows, cursors[1].phi, columns);
    LLVMValueRef next = emit_opaque(e, LLVMBuildNSWAdd(e->builder, k, emit_const_i64(e, 1), "next"));
    LLVMBasicBlockRef last = LLVMGetInsertBlock(e->builder);
    LLVMAddIncoming(k, &next, &last, 1);
    for (uint32_t i = 0; i < n_cursors; i++) close_cursor(e, &cursors[i], last);
    int64_t steps = SOME_DEPTH;
    dim_is_const(e->dims, t->s->tile.depth, &steps);
    emit_back_edge(e, LLVMBuildICmp(e->builder, LLVMIntSLT, next, depth, "more"), head, exit, steps);
    LLVMPositionBuilderAtEnd(e->builder, exit);
    for (uint32_t i = 0; i < n; i++) {
        LLVMValueRef sum = t->sums[i], init = LLVMGetIncomingValue(phis[i], 0);
        LLVMAddIncoming(phis[i], &sum, &last, 1);
        t->sums[i] = LLVMBuildPhi(e->builder, LLVMTypeOf(sum), "sum");
        LLVMAddIncoming(t->sums[i], &init, &before, 1);
        LLVMAddIncoming(t->sums[i], &sum, &last, 1);
    }
}

void emit_tile(emit *e, const lt_stmt *s) {
    tn_dtype sum = e->kernel->buffers[s->tile.c].dtype == TN_F64 ? TN_F64 : TN_F32;
    tile t = {.e = e, .s = s, .sum = sum, .element = vmath_register_type(e->context, sum, 0)};
    uint32_t widest = (uint32_t)machine_lanes(&e->out->target->machine, tn_dtype_bits(sum));
    const machine *m = &e->out->target->machine;
    t.n_groups = split_columns(m, s->tile.nr, widest, NULL);
    uint32_t n = s->tile.mr * t.n_groups;
    t.groups = tn_calloc(t.n_groups + 1u, sizeof *t.groups);
    t.sums = tn_calloc(n + 1u, sizeof *t.sums);
    LLVMValueRef *work = tn_calloc((size_t)n + s->tile.mr + t.n_groups + 1, sizeof *work);
    if (t.groups && t.sums && work) {
        split_columns(m, s->tile.nr, widest, t.groups);
        load_sums(&t);
        emit_depth_loop(&t, work);
        store_sums(&t);
    } else
        emit_fail(e, TN_ERR_MEMORY, "out of memory");
    tn_free(t.groups);
    tn_free(t.sums);
    tn_free(work);
}
