/* Gradient rules of contractions: that of a product is a product, that of a convolution two convolutions. */
#include "ir/build.h"
#include "ir/columns.h"
#include "ir/grad.h"

/* ---- dot ------------------------------------------------------------------------------------------ */

/* One operand of a dot: what becomes of its axes. */
typedef struct factor {
    tn_val v;
    int rank, n_free;
    int64_t batch[TN_MAX_RANK], contract[TN_MAX_RANK], free[TN_MAX_RANK];
    int64_t free_in_y[TN_MAX_RANK]; /* the axis of the result that free axis i is */
} factor;

typedef struct product {
    int n_batch, n_contract;
    factor of[2];
} product;

static bool is_among(const int64_t *items, int n, int64_t item) {
    for (int i = 0; i < n; i++)
        if (items[i] == item) return true;
    return false;
}

static product read_product(const grad_args *c) {
    const attr *batch = attr_find(&c->attrs, ATTR_batch), *contract = attr_find(&c->attrs, ATTR_contract);
    product p = {.n_batch = batch ? (int)batch->split : 0, .n_contract = (int)contract->split};
    int64_t next = p.n_batch;
    for (int side = 0; side < 2; side++) {
        factor *f = &p.of[side];
        f->v = c->x[side];
        f->rank = tn_rank(f->v);
        for (int i = 0; i < p.n_batch; i++) f->batch[i] = batch->ints.items[side * p.n_batch + i];
        for (int i = 0; i < p.n_contract; i++) f->contract[i] = contract->ints.items[side * p.n_contract + i];
        for (int64_t axis = 0; axis < f->rank; axis++) {
            if (is_among(f->batch, p.n_batch, axis) || is_among(f->contract, p.n_contract, axis)) continue;
            f->free[f->n_free] = axis;
            f->free_in_y[f->n_free++] = next++;
        }
    }
    return p;
}

/* dot with c's accumulator. */
static tn_val dot_like(const grad_args *c, tn_val a, tn_val b, tn_ints batch_a, tn_ints batch_b, tn_ints contract_a,
                       tn_ints contract_b) {
    tn_val values[] = {a, b};
    int64_t batch[2 * TN_MAX_RANK], contract[2 * TN_MAX_RANK];
    for (int i = 0; i < batch_a.n; i++) {
        batch[i] = batch_a.items[i];
        batch[batch_a.n + i] = batch_b.items[i];
    }
    for (int i = 0; i < contract_a.n; i++) {
        contract[i] = contract_a.items[i];
        contract[contract_a.n + i] = contract_b.items[i];
    }
    tn_attr_arg attrs[] = {{.name = "batch", .ints = batch, .n = 2 * batch_a.n, .split = batch_a.n},
                           {.name = "contract", .ints = contract, .n = 2 * contract_a.n, .split = contract_a.n},
                           {0},
                           {0}};
    const attr *acc = attr_find(&c->attrs, ATTR_acc);
    if (acc) attrs[2] = (tn_attr_arg){.name = "acc", .i = acc->i};
    return tn_apply(TN_HERE, c->g, TN_OP_dot, values, 2, attrs);
}

/* The gradient's last axis is to be the operand's, so that it is stored as it is computed: the cotangent, which has the
 * free axes, comes first where that one is contracted. */
static bool cotangent_comes_first(const product *p, int side) {
    const factor *f = &p->of[side];
    return is_among(f->contract, p->n_contract, f->rank - 1);
}

/* The axis of operand `side`'s gradient, as the product leaves it, that axis number `axis` of the operand is. The
 * contracted axes stand in the order that the other operand has them in. */
static int64_t place_of(const product *p, int side, int64_t axis) {
    const factor *f = &p->of[side], *other = &p->of[1 - side];
    bool is_free_first = cotangent_comes_first(p, side);
    for (int i = 0; i < p->n_batch; i++)
        if (f->batch[i] == axis) return i;
    for (int i = 0; i < f->n_free; i++)
        if (f->free[i] == axis) return p->n_batch + (is_free_first ? 0 : p->n_contract) + i;
    int64_t place = p->n_batch + (is_free_first ? f->n_free : 0);
    for (int i = 0; i < p->n_contract; i++) {
        if (f->contract[i] != axis) continue;
        for (int k = 0; k < p->n_contract; k++) place += other->contract[k] < other->contract[i];
    }
    return place;
}

/* The cotangent times the other operand, over the axes that are free there. */
static tn_val factor_gradient(const grad_args *c, const product *p, int side) {
    static const int64_t leading[TN_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    const factor *f = &p->of[side], *other = &p->of[1 - side];
    tn_ints batch_y = {p->n_batch, leading}, batch_other = {p->n_batch, other->batch};
    tn_ints over_y = {other->n_free, other->free_in_y}, over_other = {other->n_free, other->free};
    tn_val made = cotangent_comes_first(p, side)
                      ? dot_like(c, c->dy[0], other->v, batch_y, batch_other, over_y, over_other)
                      : dot_like(c, other->v, c->dy[0], batch_other, batch_y, over_other, over_y);
    int64_t perm[TN_MAX_RANK];
    for (int axis = 0; axis < f->rank; axis++) perm[axis] = place_of(p, side, axis);
    return f->rank > 0 ? tn_transpose(made, ((tn_ints){f->rank, perm})) : made;
}

void grad_dot(grad_args *c) {
    product p = read_product(c);
    for (int side = 0; side < 2; side++)
        if (c->wanted[side]) c->dx[side] = factor_gradient(c, &p, side);
}

/* ---- conv ----------------------------------------------------------------------------------------- */

typedef struct convolution {
    const grad_args *c;
    dim_table *t;
    int spatial;
    int64_t groups, stride[TN_MAX_RANK], dilation[TN_MAX_RANK], input_dilation[TN_MAX_RANK];
    tn_dim low[TN_MAX_RANK];
    tn_dim input
        [TN_MAX_RANK]; /* elements from the first to the last of the input, with what input_dilation puts between */
    tn_dim output[TN_MAX_RANK]; /* the same of the result, with its stride as dilation */
    tn_dim reach[TN_MAX_RANK];  /* of the kernel: (taps - 1) * dilation */
} convolution;

static void read_ints(const grad_args *c, attr_name name, int n, int64_t *items) {
    const attr *given = attr_find(&c->attrs, name);
    for (int i = 0; i < n; i++) items[i] = given ? given->ints.items[i] : 1;
}

static convolution read_convolution(const grad_args *c) {
    dim_table *t = c->g->module->dims;
    convolution v = {.c = c, .t = t, .spatial = tn_rank(c->x[0]) - 2, .groups = attr_int(&c->attrs, ATTR_groups, 1)};
    tn_type x = tn_type_of(c->x[0]), kernel = tn_type_of(c->x[1]), y = tn_type_of(c->y[0]);
    const attr *low = attr_find(&c->attrs, ATTR_low);
    if (v.groups == 0) v.groups = 1;
    read_ints(c, ATTR_stride, v.spatial, v.stride);
    read_ints(c, ATTR_dilation, v.spatial, v.dilation);
    read_ints(c, ATTR_input_dilation, v.spatial, v.input_dilation);
    for (int i = 0; i < v.spatial; i++) {
        v.low[i] = low ? low->dims.items[i] : dim_const(t, 0);
        v.input[i] = dim_spread(t, x.dims[2 + i], v.input_dilation[i] - 1);
        v.output[i] = dim_spread(t, y.dims[2 + i], v.stride[i] - 1);
        v.reach[i] = dim_mul_const(t, dim_add_const(t, kernel.dims[2 + i], -1), v.dilation[i]);
    }
    return v;
}

static tn_val conv_like(const convolution *v, tn_val x, tn_val kernel, const int64_t *stride, const tn_dim *low,
                        const tn_dim *high, const int64_t *dilation, const int64_t *input_dilation) {
    tn_val values[] = {x, kernel};
    int n = v->spatial;
    tn_attr_arg attrs[] = {{.name = "stride", .ints = stride, .n = n},
                           {.name = "low", .dims = low, .n = n},
                           {.name = "high", .dims = high, .n = n},
                           {.name = "dilation", .ints = dilation, .n = n},
                           {.name = "input_dilation", .ints = input_dilation, .n = n},
                           {0},
                           {0},
                           {0}};
    const attr *acc = attr_find(&v->c->attrs, ATTR_acc);
    int n_attrs = 5;
    if (v->groups > 1) attrs[n_attrs++] = (tn_attr_arg){.name = "groups", .i = v->groups};
    if (acc) attrs[n_attrs++] = (tn_attr_arg){.name = "acc", .i = acc->i};
    return tn_apply(TN_HERE, v->c->g, TN_OP_conv, values, 2, attrs);
}

/* v [a, b, ...] with axis `split` (0 or 1) seen as [groups, rest], as [b', a', ...]: the two first axes change
 * places, and the groups go from the axis they were in to the other: [g a, b] to [g b, a] for split 0, [a, g b] to
 * [b, g a] for split 1. */
static tn_val exchange(const convolution *c, tn_val v, int split) {
    tn_type type = tn_type_of(v);
    int64_t perm[TN_MAX_RANK + 1];
    tn_dim dims[TN_MAX_RANK + 1];
    for (int i = 0; i < type.rank; i++) perm[i] = i < 2 ? 1 - i : i;
    if (c->groups == 1) return tn_transpose(v, ((tn_ints){type.rank, perm}));
    tn_dim groups = dim_const(c->t, c->groups), rest = dim_floordiv(c->t, type.dims[split], groups);
    static const int64_t orders[2][3] = {{0, 2, 1}, {2, 1, 0}};
    const tn_dim parts[2][3] = {{groups, rest, type.dims[1]}, {type.dims[0], groups, rest}};
    for (int i = 0; i < type.rank + 1; i++) {
        perm[i] = i < 3 ? orders[split][i] : i;
        dims[i] = i < 3 ? parts[split][i] : type.dims[i - 1];
    }
    tn_val turned = tn_transpose(tn_reshape_dims(v, type.rank + 1, dims), ((tn_ints){type.rank + 1, perm}));
    tn_dim other = type.dims[1 - split];
    dims[0] = split == 0 ? dim_mul(c->t, groups, type.dims[1]) : rest;
    dims[1] = split == 0 ? rest : dim_mul(c->t, groups, other);
    for (int i = 2; i < type.rank; i++) dims[i] = type.dims[i];
    return tn_reshape_dims(turned, type.rank, dims);
}

/* Each element of the input gets what the windows that cover it are due, through the tap that covers it: the
 * cotangent, spread by the stride, meets the kernel from behind. */
static tn_val input_gradient(const convolution *v) {
    tn_dim low[TN_MAX_RANK], high[TN_MAX_RANK];
    int64_t axes[TN_MAX_RANK];
    for (int i = 0; i < v->spatial; i++) {
        low[i] = dim_sub(v->t, v->reach[i], v->low[i]);
        high[i] = dim_add(v->t, dim_sub(v->t, v->input[i], v->output[i]), v->low[i]);
        axes[i] = 2 + i;
    }
    tn_val kernel = exchange(v, tn_reverse(v->c->x[1], ((tn_ints){v->spatial, axes})), 0);
    return conv_like(v, v->c->dy[0], kernel, v->input_dilation, low, high, v->dilation, v->stride);
}

/* Each tap gets the products of the cotangent with the elements it met: input and cotangent are correlated, examples
 * taking the place of channels. */
static tn_val kernel_gradient(const convolution *v) {
    tn_dim high[TN_MAX_RANK];
    for (int i = 0; i < v->spatial; i++)
        high[i] = dim_sub(v->t, dim_add(v->t, v->reach[i], v->output[i]), dim_add(v->t, v->input[i], v->low[i]));
    tn_val x = exchange(v, v->c->x[0], 1), dy = v->c->dy[0];
    tn_type type = tn_type_of(dy);
    int64_t perm[TN_MAX_RANK];
    for (int i = 0; i < type.rank; i++) perm[i] = i < 2 ? 1 - i : i;
    tn_ints turn = {type.rank, perm};
    tn_val made = conv_like(v, x, tn_transpose(dy, turn), v->dilation, v->low, high, v->stride, v->input_dilation);
    return tn_transpose(made, turn);
}

void grad_conv(grad_args *c) {
    convolution v = read_convolution(c);
    if (c->wanted[0]) c->dx[0] = input_gradient(&v);
    if (c->wanted[1]) c->dx[1] = kernel_gradient(&v);
}
