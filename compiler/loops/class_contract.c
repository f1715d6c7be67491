/* Class contract: one dot with what was fused after it.
 *
 * in:  a fused function with one dot of floats whose operands come from outside, the other
 *      members elementwise on its result
 * out: a blocked product (pack.h): batch axes are its outer ones, free axes of the first operand
 *      its rows, of the second its columns, contracted axes its depth
 *
 * When the second operand's runs in memory cross the product's columns (weights as [out, in]), packing it
 * would mean to transpose it: then the operands change sides if the first is smaller, and the
 * result is stored by columns.
 *
 * Integers and dots so small that blocking costs more than it gives go to class map.
 */
#include "compiler/loops/pack.h"

enum {
    TINY_MULTIPLY_ADDS = 512,
    SOME_EXTENT = 64, /* taken for symbolic ones */
};

typedef struct contraction {
    product p;
    const node *dot;
    value_id value;
    bool swaps;              /* the dot's first operand is B */
    const tn_type *types[2]; /* of the dot's operands; so too below */
    int n_batch, n_contract, n_free[2];
    int batch[2][TN_MAX_RANK], contract[2][TN_MAX_RANK], free[2][TN_MAX_RANK];
} contraction;

/* ---- Axes ---- */

static void read_pairs(const attr *pairs, int *n, int axes[2][TN_MAX_RANK]) {
    *n = pairs ? (int)pairs->split : 0;
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < *n; i++) axes[side][i] = (int)pairs->ints.items[side * *n + i];
}

static void read_axes(contraction *c) {
    read_pairs(attr_find(&c->dot->attrs, ATTR_batch), &c->n_batch, c->batch);
    read_pairs(attr_find(&c->dot->attrs, ATTR_contract), &c->n_contract, c->contract);
    for (int side = 0; side < 2; side++) {
        c->types[side] = graph_type(c->p.a->fused, c->dot->operands[side]);
        uint32_t taken = 0;
        for (int i = 0; i < c->n_batch; i++) taken |= 1u << c->batch[side][i];
        for (int i = 0; i < c->n_contract; i++) taken |= 1u << c->contract[side][i];
        c->n_free[side] = 0;
        for (int i = 0; i < c->types[side]->rank; i++)
            if (!(taken >> i & 1)) c->free[side][c->n_free[side]++] = i;
    }
}

/* Extents of the listed axes of an operand; returns their product. */
static tn_dim extents_of(const contraction *c, int side, const int *axes, int n, tn_dim *extents) {
    tn_dim all = dim_const(c->p.t, 1);
    for (int i = 0; i < n; i++) all = dim_mul(c->p.t, all, extents[i] = c->types[side]->dims[axes[i]]);
    return all;
}

static void unravel_onto(contraction *c, int side, const int *axes, int n, tn_dim linear, tn_dim *index) {
    tn_dim extents[TN_MAX_RANK] = {0}, at[TN_MAX_RANK];
    extents_of(c, side, axes, n, extents);
    access_unravel(c->p.a, linear, n, extents, at);
    for (int i = 0; i < n; i++) index[axes[i]] = at[i];
}

/* The dot's operand that is on that side of the product. */
static int operand_on(const contraction *c, matrix_side side) { return c->swaps ? 1 - (int)side : (int)side; }

static void operand_index(product *p, matrix_side side, tn_dim outer, tn_dim at, tn_dim k, tn_dim *index) {
    contraction *c = p->ctx;
    int o = operand_on(c, side);
    unravel_onto(c, o, c->batch[o], c->n_batch, outer, index);
    unravel_onto(c, o, c->free[o], c->n_free[o], at, index);
    unravel_onto(c, o, c->contract[o], c->n_contract, k, index);
}

static lt_value element(product *p, matrix_side side, tn_dim outer, tn_dim at, tn_dim k) {
    tn_dim index[TN_MAX_RANK];
    operand_index(p, side, outer, at, k, index);
    contraction *c = p->ctx;
    return access_value(p->a, c->dot->operands[operand_on(c, side)], index);
}

/* ---- Results ---- */

static void store(product *p, tn_dim outer, tn_dim row, tn_dim column, lt_value sum) {
    contraction *c = p->ctx;
    tn_dim index[TN_MAX_RANK], extents[TN_MAX_RANK];
    extents_of(c, 0, c->batch[0], c->n_batch, extents);
    access_unravel(p->a, outer, c->n_batch, extents, index);
    for (int o = 0, done = c->n_batch; o < 2; done += c->n_free[o++]) {
        extents_of(c, o, c->free[o], c->n_free[o], extents);
        access_unravel(p->a, operand_on(c, SIDE_A) == o ? row : column, c->n_free[o], extents, index + done);
    }
    lower_store_anchor(p->a, c->value, index, sum);
}

/* ---- Entries ---- */

bool contract_takes(const tn_graph *fused) {
    const node *dot = lower_anchor(fused, TN_OP_dot);
    if (!dot) return false;
    tn_dtype own = (tn_dtype)graph_type(fused, dot->operands[0])->dtype, acc = access_accumulator(fused, dot);
    bool is_float = own == TN_F16 || own == TN_BF16 || own == TN_F32 || own == TN_F64;
    return is_float && (acc == TN_F32 || acc == TN_F64) && !(own == TN_F64 && acc == TN_F32);
}

static bool is_tiny(const product_shape *s) {
    bool is_known = s->rows >= 0 && s->columns >= 0 && s->depth >= 0;
    if (s->depth >= 0 && s->depth <= 2) return true;
    return is_known && (double)s->rows * (double)s->columns * (double)s->depth <= TINY_MULTIPLY_ADDS;
}

/* Matrices of the product, as sides lie. */
static void set_sides(contraction *c) {
    product *p = &c->p;
    tn_dim extents[TN_MAX_RANK];
    for (int side = 0; side < 2; side++) {
        int o = operand_on(c, (matrix_side)side);
        p->side[side].extent = extents_of(c, o, c->free[o], c->n_free[o], extents);
        product_find_plain(p, (matrix_side)side, c->dot->operands[o], operand_index);
    }
}

static double known_or_some(int64_t extent) { return extent < 0 ? SOME_EXTENT : (double)(extent > 0 ? extent : 1); }

/* In cycles for each multiply-add of a column: packing across takes about one for each element, storing by
 * columns one and a half, and a multiply-add a 32nd. */
static bool should_swap(const contraction *c) {
    const matrix *a = &c->p.side[SIDE_A], *b = &c->p.side[SIDE_B];
    dim_table *t = c->p.t;
    product_shape s = product_known_shape(&c->p);
    bool a_is_run = a->has_strides && dim_is_value(t, a->step, 1),
         b_crosses = b->has_strides && dim_is_value(t, b->depth_step, 1);
    if (s.columns >= 0 && s.columns <= 1) return a_is_run && !dim_is_value(t, a->depth_step, 1);
    if (!b_crosses || dim_is_value(t, b->step, 1)) return false;
    return 48 / known_or_some(s.depth) + 32 / known_or_some(s.columns) < 32 / known_or_some(s.rows);
}

static void choose_sides(contraction *c) {
    set_sides(c);
    if (!should_swap(c)) return;
    c->swaps = true;
    set_sides(c);
    c->p.lanes_along_rows = !dim_is_value(c->p.t, c->p.side[SIDE_A].extent, 1);
}

static bool set_up(contraction *c, access *a, tn_graph *fused) {
    tn_dim extents[TN_MAX_RANK];
    product *p = &c->p;
    p->a = a;
    p->t = fused->module->dims;
    p->ctx = c;
    p->element = element;
    p->store = store;
    p->pack_steps = product_pack_steps;
    c->dot = lower_anchor(fused, TN_OP_dot);
    c->value = c->dot->first_result;
    p->sum = access_accumulator(fused, c->dot);
    read_axes(c);
    p->outer = extents_of(c, 0, c->batch[0], c->n_batch, extents);
    p->depth = extents_of(c, 0, c->contract[0], c->n_contract, extents);
    choose_sides(c);
    return !a->b.failed;
}

lt_kernel *contract_lower(tn_graph *fused, const machine *m) {
    access a;
    contraction c = {0};
    if (access_open(&a, fused, "contract", m) && set_up(&c, &a, fused)) {
        product_shape s = product_known_shape(&c.p);
        if (is_tiny(&s)) {
            access_close(&a);
            return map_lower(fused, m);
        }
        s.is_narrow = c.swaps && s.columns < 0;
        c.p.how = blocking_choose(m, &s);
        product_lower(&c.p);
    }
    return access_close(&a);
}
