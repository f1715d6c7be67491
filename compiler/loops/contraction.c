/* The axes of a dot as indices of a product's operands and results (contraction.h). */
#include "compiler/loops/contraction.h"

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

bool contraction_takes(const tn_graph *fused, const node *dot) {
    tn_dtype own = (tn_dtype)graph_type(fused, dot->operands[0])->dtype, acc = access_accumulator(fused, dot);
    bool is_float = own == TN_F16 || own == TN_BF16 || own == TN_F32 || own == TN_F64;
    return is_float && (acc == TN_F32 || acc == TN_F64) && !(own == TN_F64 && acc == TN_F32);
}

void contraction_set_sides(contraction *c) {
    product *p = &c->p;
    tn_dim extents[TN_MAX_RANK];
    for (int side = 0; side < 2; side++) {
        int o = operand_on(c, (matrix_side)side);
        p->side[side].extent = extents_of(c, o, c->free[o], c->n_free[o], extents);
        product_find_plain(p, (matrix_side)side, c->dot->operands[o], operand_index);
    }
}

void contraction_open(contraction *c, access *a, const node *dot) {
    tn_dim extents[TN_MAX_RANK];
    product *p = &c->p;
    p->a = a;
    p->t = a->fused->module->dims;
    p->ctx = c;
    p->element = element;
    p->store = store;
    p->pack_steps = product_pack_steps;
    c->dot = dot;
    c->value = dot->first_result;
    p->sum = access_accumulator(a->fused, dot);
    read_axes(c);
    p->outer = extents_of(c, 0, c->batch[0], c->n_batch, extents);
    p->depth = extents_of(c, 0, c->contract[0], c->n_contract, extents);
}
