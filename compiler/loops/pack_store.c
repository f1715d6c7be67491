/* What becomes of C: a product's tiles stored.
 *
 * in:  a tile of C in memory, all of k done
 * out: the class's `store` for each of its elements, in vector loops along columns or along rows
 * law: what lies beyond a symbolic extent is not stored. A tile's sums are written out vector by vector where that
 *      keeps them in registers and the code short: few steps of k, few operations behind a sum
 */
#include "compiler/loops/pack_chunk.h"
#include "runtime/fault.h"

enum {
    MOST_LIGHT_OPS = 6,  /* behind a sum, when they are written out for each vector of a tile */
    SHALLOW_DEPTH = 256, /* steps of k */
};

static tn_dim constant(const product *p, int64_t value) { return dim_const(p->t, value); }

/* A row counted over all lines. */
static tn_dim row_in_all(const product *p, const chunk *c, tn_dim row) {
    return p->in_lines ? dim_add(p->t, row, dim_mul(p->t, c->line, p->side[SIDE_A].extent)) : row;
}

/* ---- Through memory ---- */

void product_store_part(product *p, const chunk *c, const product_part *q) {
    dim_table *t = p->t;
    tn_dim begin[2] = {q->row, q->column}, end[2] = {q->row_end, q->column_end}, at_side[2];
    matrix_side inner = p->lanes_along_rows ? SIDE_A : SIDE_B, outer = p->lanes_along_rows ? SIDE_B : SIDE_A;
    uint32_t lanes = lower_lanes_for(p->a->fused, p->a->b.machine, dim_sub(t, end[inner], begin[inner]));
    access_loop lines, run;
    at_side[outer] = product_open_part(p, LT_SERIAL, begin[outer], end[outer], p->side[outer].extent, 0, &lines);
    at_side[inner] = product_open_part(p, LT_VECTOR, begin[inner], end[inner], p->side[inner].extent, lanes, &run);
    tn_dim row = at_side[SIDE_A], column = at_side[SIDE_B];
    tn_dim at = dim_add(t, dim_mul(t, dim_sub(t, row, q->row0), c->c_row),
                        dim_mul(t, dim_sub(t, column, q->column0), c->c_column));
    p->store(p, c->outer, row_in_all(p, c, row), column, lt_load(&p->a->b, c->c, at, LT_NONE));
    access_close_loop(p->a, &run);
    access_close_loop(p->a, &lines);
}

lt_value product_reaches_beyond(product *p, tn_dim d, tn_dim end) {
    return lt_compare(&p->a->b, COMPARE_GT, lt_dim_value(&p->a->b, d), lt_dim_value(&p->a->b, end));
}

/* A whole tile; the symbolic ones may be cut. */
static void store_whole(product *p, const chunk *c, tn_dim row, tn_dim column, int64_t mr, int64_t nr) {
    dim_table *t = p->t;
    tn_dim row_end = dim_add_const(t, row, mr), column_end = dim_add_const(t, column, nr);
    product_part whole = {row, row_end, row, column, column_end, column}, cut = whole;
    lt_value beyond = LT_NONE;
    if (c->cuts[SIDE_A].is_padded) {
        cut.row_end = dim_min(t, row_end, p->side[SIDE_A].extent);
        beyond = product_reaches_beyond(p, row_end, p->side[SIDE_A].extent);
    }
    if (c->cuts[SIDE_B].is_padded) {
        cut.column_end = dim_min(t, column_end, p->side[SIDE_B].extent);
        lt_value too = product_reaches_beyond(p, column_end, p->side[SIDE_B].extent);
        beyond = beyond == LT_NONE ? too : lt_binary(&p->a->b, TN_OP_or, beyond, too);
    }
    if (beyond == LT_NONE) {
        product_store_part(p, c, &whole);
        return;
    }
    lt_block *outer = p->a->b.block;
    lt_stmt *branch = lt_open_if(&p->a->b, beyond);
    product_store_part(p, c, &cut);
    lt_else(&p->a->b, branch);
    product_store_part(p, c, &whole);
    lt_close_if(&p->a->b, branch, outer);
}

static void turn_columns(product *p, const chunk *c, tn_dim c_index, tn_dim first, int64_t mr, int64_t n) {
    lt_matrix from = {c->c, dim_add(p->t, c_index, first), c->c_row},
              to = {c->turned, dim_mul_const(p->t, first, p->how.mr), constant(p, p->how.mr)};
    lt_transpose(&p->a->b, from, to, mr, n);
}

void product_store_tile(product *p, const chunk *c, tn_dim c_index, tn_dim row, tn_dim column, int64_t mr, int64_t nr) {
    int64_t lanes = machine_lanes(p->a->b.machine, tn_dtype_bits(p->sum));
    if (c->turned == LT_NONE) {
        store_whole(p, c, row, column, mr, nr);
        return;
    }
    if (nr >= lanes) {
        access_loop loop = access_open_loop(p->a, LT_SERIAL, constant(p, 0), constant(p, nr / lanes), 0, 0);
        turn_columns(p, c, c_index, dim_mul_const(p->t, access_counter(&loop), lanes), mr, lanes);
        access_close_loop(p->a, &loop);
    }
    if (nr % lanes) turn_columns(p, c, c_index, constant(p, nr / lanes * lanes), mr, nr % lanes);
    chunk turned = *c;
    turned.c = c->turned;
    turned.c_row = constant(p, 1);
    turned.c_column = constant(p, p->how.mr);
    store_whole(p, &turned, row, column, mr, nr);
}

/* ---- Sums that stay in registers ---- */

/* What becomes of a sum is a few instructions: they may be written out for each of a tile's vectors. */
static bool has_light_epilogue(const product *p) {
    const tn_graph *g = p->a->fused;
    int n = 0;
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (op_table[g->nodes[i].op].loop_class != CLASS_MAP) continue;
        if (!lower_is_light((tn_op)g->nodes[i].op)) return false;
        n++;
    }
    return n <= MOST_LIGHT_OPS;
}

/* Through memory a tile's sums take about three cycles a vector, which counts beside few steps of k. */
static bool keeps_sums(const product *p, const chunk *c) {
    int64_t depth = product_constant(p, c->depth);
    bool is_static = !c->cuts[SIDE_A].is_padded && !c->cuts[SIDE_B].is_padded;
    return is_static && c->turned == LT_NONE && depth >= 0 && depth * product_inner_steps(p) <= SHALLOW_DEPTH &&
           has_light_epilogue(p);
}

/* Stores the rows of columns [first, first + n * lanes) of a tile, C being its own. With every index known, what the
 * tile stores in C is what is loaded here: the sums never come to be in memory. */
static void store_groups(product *p, const chunk *c, tn_dim row, tn_dim column, int64_t mr, int64_t first, int64_t n,
                         int64_t width, uint32_t lanes) {
    dim_table *t = p->t;
    access_loop rows = access_open_loop(p->a, LT_UNROLLED, constant(p, 0), constant(p, mr), 0, 0);
    access_loop groups = access_open_loop(p->a, LT_UNROLLED, constant(p, 0), constant(p, n), 0, 0);
    tn_dim begin = dim_add_const(t, dim_mul_const(t, access_counter(&groups), width), first);
    access_loop run = access_open_loop(p->a, LT_VECTOR, begin, dim_add_const(t, begin, width), lanes, 0);
    tn_dim r = access_counter(&rows), j = access_counter(&run);
    lt_value sum = lt_load(&p->a->b, c->c, dim_add(t, dim_mul(t, r, c->c_row), j), LT_NONE);
    p->store(p, c->outer, row_in_all(p, c, dim_add(t, row, r)), dim_add(t, column, j), sum);
    access_close_loop(p->a, &run);
    access_close_loop(p->a, &groups);
    access_close_loop(p->a, &rows);
}

static void store_sums(product *p, const chunk *c, tn_dim row, tn_dim column, int64_t mr, int64_t nr) {
    int64_t lanes = lower_lanes_for(p->a->fused, p->a->b.machine, constant(p, nr)), rest = nr % lanes;
    store_groups(p, c, row, column, mr, 0, nr / lanes, lanes, (uint32_t)lanes);
    if (rest) store_groups(p, c, row, column, mr, nr - rest, 1, rest - FAULT(tile_rest), (uint32_t)lanes);
}

void product_store_own(product *p, const chunk *c, tn_dim row, tn_dim column, int64_t mr, int64_t nr) {
    if (keeps_sums(p, c))
        store_sums(p, c, row, column, mr, nr);
    else
        product_store_tile(p, c, constant(p, 0), row, column, mr, nr);
}
