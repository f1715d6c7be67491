/* Class reduce where the last axes are kept: sums over rows, a run of columns at a time.
 *
 * in:  reductions of one phase, of more than a few rows and a vector of columns, the last axis not among the reduced
 *      ones; results of the columns' shape
 * out: a stage of runs of columns, with a buffer of the thread's that has a sum for each; BLOCK_ROWS rows at a time are
 *      added to it, so that memory is read along the rows, in as many streams, and a sum is loaded and stored once
 *      for so many terms
 * law: each sum is one chain over the reduced axes, row-major: that of a loop down its column, bit for bit
 */
#include "compiler/loops/class_reduce.h"

enum { BLOCK_ROWS = 8, FEW_ROWS = 16, RUN = 1024, MOST_SUMS = 8 };

typedef struct columns {
    rows *s;
    dim_table *t;
    int n;
    const node *nodes[MOST_SUMS];
    uint32_t sums[MOST_SUMS]; /* buffers */
    tn_dim begin, end;        /* of the run */
    int inner_from, inner_to; /* the last reduced axes that are next to each other: merged into one */
} columns;

bool reduce_suits_columns(const rows *s) {
    tn_dim rows = dim_const(s->t, 1);
    int64_t known;
    int n = 0;
    for (int i = 0; i < s->domain.rank; i++)
        if (s->reduced[i]) rows = dim_mul(s->t, rows, s->domain.dims[i]);
    for (size_t i = 0; i < s->g->n_nodes; i++) {
        if (s->g->nodes[i].op != TN_OP_reduce) continue;
        if (rows_is_arg(&s->g->nodes[i])) return false;
        n++;
    }
    tn_dim extent = dim_product(s->t, s->domain.dims + s->lanes_from, s->domain.rank - s->lanes_from);
    bool are_few = dim_is_const(s->t, rows, &known) && known <= FEW_ROWS;
    are_few |= dim_is_const(s->t, extent, &known) && known <= lower_lanes(s->g, s->a->b.machine);
    return !s->reduced[s->domain.rank - 1] && s->n_phases == 1 && n <= MOST_SUMS && !are_few &&
           !reduce_has_whole_result(s);
}

/* ---- Loops over columns ---- */

typedef void column_body(columns *c, tn_dim at, tn_dim row, int64_t n);

/* The run's columns: `body` with the number of the sum. */
static void over_columns(columns *c, column_body *body, tn_dim row, int64_t n) {
    rows *s = c->s;
    int n_axes = s->domain.rank - s->lanes_from;
    tn_dim extent = dim_product(c->t, s->domain.dims + s->lanes_from, n_axes);
    access_loop lanes =
        access_open_loop(s->a, LT_VECTOR, c->begin, c->end, lower_lanes_for(s->g, s->a->b.machine, extent), 0);
    access_know_range(s->a, access_counter(&lanes), extent);
    access_unravel(s->a, access_counter(&lanes), n_axes, s->domain.dims + s->lanes_from, s->index + s->lanes_from);
    body(c, dim_sub(c->t, access_counter(&lanes), c->begin), row, n);
    access_close_loop(s->a, &lanes);
}

static void clear(columns *c, tn_dim at, tn_dim row, int64_t n) {
    (void)row, (void)n;
    for (int k = 0; k < c->n; k++) {
        reduce_kind kind = (reduce_kind)attr_int(&c->nodes[k]->attrs, ATTR_kind, 0);
        lt_value neutral = access_neutral(c->s->a, kind, access_accumulator(c->s->g, c->nodes[k]));
        lt_store(&c->s->a->b, c->sums[k], at, neutral, LT_NONE);
    }
}

/* Rows from `row` on, n of them. */
static void add_rows(columns *c, tn_dim at, tn_dim row, int64_t n) {
    rows *s = c->s;
    lt_builder *b = &s->a->b;
    for (int k = 0; k < c->n && !b->failed; k++) {
        tn_op combine = access_combiner((reduce_kind)attr_int(&c->nodes[k]->attrs, ATTR_kind, 0));
        lt_value sum = lt_load(b, c->sums[k], at, LT_NONE);
        for (int64_t i = 0; i < n; i++) {
            access_unravel(s->a, dim_add_const(c->t, row, i), c->inner_to - c->inner_from,
                           s->domain.dims + c->inner_from, s->index + c->inner_from);
            lt_value term = access_value(s->a, c->nodes[k]->operands[0], s->index);
            if (term == LT_NONE) return;
            sum = lt_binary(b, combine, sum, lt_convert(b, term, access_accumulator(s->g, c->nodes[k])));
        }
        lt_store(b, c->sums[k], at, sum, LT_NONE);
    }
}

static void finish(columns *c, tn_dim at, tn_dim row, int64_t n) {
    rows *s = c->s;
    (void)row, (void)n;
    for (int k = 0; k < c->n && !s->a->b.failed; k++) {
        value_id v = c->nodes[k]->first_result;
        lt_value sum = lt_load(&s->a->b, c->sums[k], at, LT_NONE);
        access_in_register(s->a, v, lt_convert(&s->a->b, sum, (tn_dtype)graph_type(s->g, v)->dtype));
    }
    reduce_store_results(s, false);
    rows_forget(s);
}

/* ---- Loops over rows ---- */

/* Rows [begin, end) of the merged axes, `step` at a time. */
static void add_range(columns *c, tn_dim begin, tn_dim end, int64_t step) {
    if (begin == end) return;
    access_loop loop = access_open_loop(c->s->a, LT_SERIAL, begin, end, 0, 0);
    over_columns(c, add_rows, dim_mul_const(c->t, access_counter(&loop), step), step);
    access_close_loop(c->s->a, &loop);
}

static void add_all(columns *c) {
    rows *s = c->s;
    dim_table *t = c->t;
    access_loop loops[TN_MAX_RANK];
    int depth = 0;
    for (int i = 0; i < c->inner_from; i++)
        if (s->reduced[i]) {
            loops[depth] = access_open_loop(s->a, LT_SERIAL, dim_const(t, 0), s->domain.dims[i], 0, 0);
            s->index[i] = access_counter(&loops[depth++]);
        }
    tn_dim n = dim_product(t, s->domain.dims + c->inner_from, c->inner_to - c->inner_from),
           blocks = dim_floordiv(t, n, dim_const(t, BLOCK_ROWS));
    add_range(c, dim_const(t, 0), blocks, BLOCK_ROWS);
    add_range(c, dim_mul_const(t, blocks, BLOCK_ROWS), n, 1);
    while (depth > 0) access_close_loop(s->a, &loops[--depth]);
}

/* ---- Entry ---- */

static void find_sums(columns *c, tn_dim extent) {
    rows *s = c->s;
    for (size_t i = 0; i < s->g->n_nodes; i++) {
        const node *n = &s->g->nodes[i];
        if (n->op != TN_OP_reduce) continue;
        c->nodes[c->n] = n;
        c->sums[c->n++] = lt_add_buffer(&s->a->b, LT_SCRATCH, access_accumulator(s->g, n),
                                        dim_min(s->t, extent, dim_const(s->t, RUN)), "sums");
    }
    c->inner_to = s->lanes_from;
    while (!s->reduced[c->inner_to - 1]) c->inner_to--;
    c->inner_from = c->inner_to;
    while (c->inner_from > 0 && s->reduced[c->inner_from - 1]) c->inner_from--;
}

void reduce_lower_columns(rows *s) {
    columns c = {.s = s, .t = s->t};
    dim_table *t = s->t;
    tn_dim kept[TN_MAX_RANK + 1], at[TN_MAX_RANK + 1];
    int n = 0, next = 0;
    tn_dim extent = dim_product(t, s->domain.dims + s->lanes_from, s->domain.rank - s->lanes_from);
    find_sums(&c, extent);
    for (int i = 0; i < s->lanes_from; i++)
        if (!s->reduced[i]) kept[n++] = s->domain.dims[i];
    kept[n++] = dim_ceildiv(t, extent, dim_const(t, RUN));
    access_unravel(s->a, access_open_stage(s->a, dim_product(t, kept, n)), n, kept, at);
    for (int i = 0; i < s->lanes_from; i++)
        if (!s->reduced[i]) s->index[i] = at[next++];
    c.begin = dim_mul_const(t, at[next], RUN);
    c.end = dim_min(t, dim_add_const(t, c.begin, RUN), extent);
    over_columns(&c, clear, DIM_INVALID, 0);
    add_all(&c);
    over_columns(&c, finish, DIM_INVALID, 0);
}
