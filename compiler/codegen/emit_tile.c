/* The register tile of a contraction.
 *
 * in:  LT_TILE: mr rows of A against nr columns of B, depth steps
 * out: mr x nr accumulators in vector registers through a nest of loops over the depth: each step
 *      loads a row of B, converts it when it is narrower, splats mr elements of A, and multiplies
 *      and adds
 * law: each element is one chain over the depth, fused where the target fuses, so that neither
 *      mr, nr nor the vector width changes a bit
 */
#include "compiler/codegen/emit_state.h"

enum {
    MOST_LANES = 256,
    SOME_DEPTH = 256,  /* taken for a symbolic one */
    MOST_UNROLLED = 9, /* steps: with more of a tall tile, sums are spilled */
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

/* ---- The depth ---- */

/* Where the present step reads: a, b, and what it asks memory for. */
enum { AT_A, AT_B, AT_NEXT, CURSORS };

/* One level of the depth's nest: how far each cursor goes on from one of its steps to the next. */
typedef struct level {
    tn_dim steps, moves[CURSORS];
    int64_t known; /* steps; 0: symbolic */
    LLVMValueRef *phis;
} level;

typedef struct nest {
    const tile *t;
    uint32_t n, buffers[CURSORS], n_cursors;
    level levels[LT_MAX_INNER + 1];
    LLVMValueRef *rows, *columns;
} nest;

static void emit_level(const nest *d, uint32_t number, const LLVMValueRef *at);

/* What lies within the level is few steps: they follow each other without a loop. */
static bool is_unrolled(const nest *d, uint32_t number) {
    int64_t steps = 1;
    for (uint32_t i = number; i < d->n; i++) steps *= d->levels[i].known;
    return number > 0 && steps <= MOST_UNROLLED;
}

/* Steps of the level meet elements of A that others met: rows of a window that move on by a column. LLVM would keep
 * those in registers, which the sums fill, and spill. */
static bool reads_again(const tile *t, const level *l) {
    int64_t row, move;
    if (!dim_is_const(t->e->dims, t->s->tile.a_row, &row) || !dim_is_const(t->e->dims, l->moves[AT_A], &move))
        return true;
    for (int64_t i = 1; row && i < l->known; i++)
        if (i * move % row == 0 && i * move / row < t->s->tile.mr) return true;
    return false;
}

static void unroll_level(const nest *d, uint32_t number, const LLVMValueRef *at) {
    emit *e = d->t->e;
    const level *l = &d->levels[number];
    for (int64_t i = 0; i < l->known; i++) {
        LLVMValueRef moved[CURSORS] = {NULL};
        for (uint32_t c = 0; c < d->n_cursors; c++)
            moved[c] = emit_address_plus(e, d->buffers[c], at[c], emit_dim(e, dim_mul_const(e->dims, l->moves[c], i)));
        if (i && reads_again(d->t, l)) LLVMBuildFence(e->builder, LLVMAtomicOrderingAcquireRelease, true, "");
        emit_level(d, number + 1, moved);
    }
}

/* for k in 0..steps; the sums are phis. */
static void loop_level(const nest *d, uint32_t number, const LLVMValueRef *at) {
    const tile *t = d->t;
    emit *e = t->e;
    const level *l = &d->levels[number];
    uint32_t n = t->s->tile.mr * t->n_groups;
    LLVMValueRef steps = emit_dim(e, l->steps), zero = emit_const_i64(e, 0), moves[CURSORS] = {NULL},
                 phis[CURSORS] = {NULL};
    for (uint32_t c = 0; c < d->n_cursors; c++) moves[c] = emit_dim(e, l->moves[c]);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->builder);
    LLVMBasicBlockRef head = emit_new_block(e, "depth", 0), exit = emit_new_block(e, "tile", 0);
    if (l->known > 0)
        LLVMBuildBr(e->builder, head);
    else
        LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntSGT, steps, zero, "any"), head, exit);
    LLVMPositionBuilderAtEnd(e->builder, head);
    LLVMValueRef k = LLVMBuildPhi(e->builder, e->i64, "k");
    LLVMAddIncoming(k, &zero, &before, 1);
    for (uint32_t c = 0; c < d->n_cursors; c++) {
        phis[c] = LLVMBuildPhi(e->builder, e->pointer, "at");
        LLVMAddIncoming(phis[c], (LLVMValueRef *)&at[c], &before, 1);
    }
    for (uint32_t i = 0; i < n; i++) {
        l->phis[i] = LLVMBuildPhi(e->builder, LLVMTypeOf(t->sums[i]), "sum");
        LLVMAddIncoming(l->phis[i], &t->sums[i], &before, 1);
        t->sums[i] = l->phis[i];
    }
    emit_level(d, number + 1, phis);
    LLVMValueRef next = emit_opaque(e, LLVMBuildNSWAdd(e->builder, k, emit_const_i64(e, 1), "next"));
    LLVMBasicBlockRef last = LLVMGetInsertBlock(e->builder);
    LLVMAddIncoming(k, &next, &last, 1);
    for (uint32_t c = 0; c < d->n_cursors; c++) {
        LLVMValueRef after = emit_opaque(e, emit_address_plus(e, d->buffers[c], phis[c], moves[c]));
        LLVMAddIncoming(phis[c], &after, &last, 1);
    }
    emit_back_edge(e, LLVMBuildICmp(e->builder, LLVMIntSLT, next, steps, "more"), head, exit,
                   l->known > 0 ? l->known : SOME_DEPTH);
    LLVMPositionBuilderAtEnd(e->builder, exit);
    for (uint32_t i = 0; i < n; i++) {
        LLVMValueRef sum = t->sums[i], init = LLVMGetIncomingValue(l->phis[i], 0);
        LLVMAddIncoming(l->phis[i], &sum, &last, 1);
        t->sums[i] = LLVMBuildPhi(e->builder, LLVMTypeOf(sum), "sum");
        if (l->known <= 0) LLVMAddIncoming(t->sums[i], &init, &before, 1);
        LLVMAddIncoming(t->sums[i], &sum, &last, 1);
    }
}

static void emit_level(const nest *d, uint32_t number, const LLVMValueRef *at) {
    if (number == d->n) {
        if (d->n_cursors > AT_NEXT) prefetch_next(d->t, at[AT_NEXT]);
        emit_step(d->t, at[AT_A], d->rows, at[AT_B], d->columns);
    } else
        (is_unrolled(d, number) ? unroll_level : loop_level)(d, number, at);
}

/* Steps within one step of that level. */
static int64_t steps_within(const lt_stmt *s, uint32_t number) {
    int64_t steps = 1;
    for (uint32_t i = number; i < s->tile.n_inner; i++) steps *= s->tile.inner[i].steps;
    return steps;
}

/* `work` has room for mr rows, n_groups columns, and the sums of all levels. */
static void emit_depth(const tile *t, LLVMValueRef *work) {
    emit *e = t->e;
    const lt_stmt *s = t->s;
    nest d = {.t = t,
              .n = s->tile.n_inner + 1,
              .buffers = {s->tile.a, s->tile.b, s->tile.next},
              .n_cursors = s->tile.next == LT_NONE ? AT_NEXT : CURSORS,
              .rows = work,
              .columns = work + s->tile.mr};
    LLVMValueRef at[CURSORS] = {emit_address(e, s->tile.a, s->tile.a_index),
                                emit_address(e, s->tile.b, s->tile.b_index)};
    if (d.n_cursors > AT_NEXT) at[AT_NEXT] = emit_address(e, s->tile.next, s->tile.next_index);
    d.levels[0] = (level){.steps = s->tile.depth, .moves = {s->tile.a_depth, s->tile.b_depth}};
    dim_is_const(e->dims, s->tile.depth, &d.levels[0].known);
    for (uint32_t i = 0; i < s->tile.n_inner; i++) {
        const lt_inner *inner = &s->tile.inner[i];
        d.levels[i + 1] =
            (level){.steps = dim_const(e->dims, inner->steps), .moves = {inner->a, inner->b}, .known = inner->steps};
    }
    for (uint32_t i = 0; i < d.n; i++) {
        d.levels[i].phis = d.columns + t->n_groups + (size_t)i * s->tile.mr * t->n_groups;
        if (d.n_cursors > AT_NEXT)
            d.levels[i].moves[AT_NEXT] = dim_mul_const(e->dims, s->tile.next_step, steps_within(s, i));
    }
    for (uint32_t r = 0; r < s->tile.mr; r++) d.rows[r] = emit_dim(e, dim_mul_const(e->dims, s->tile.a_row, r));
    emit_level(&d, 0, at);
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
    LLVMValueRef *work = tn_calloc((size_t)n * (s->tile.n_inner + 1u) + s->tile.mr + t.n_groups + 1, sizeof *work);
    if (t.groups && t.sums && work) {
        split_columns(m, s->tile.nr, widest, t.groups);
        load_sums(&t);
        emit_depth(&t, work);
        store_sums(&t);
    } else
        emit_fail(e, TN_ERR_MEMORY, "out of memory");
    tn_free(t.groups);
    tn_free(t.sums);
    tn_free(work);
}
