/* Gradient rules of reductions, running reductions and windows.
 *
 * Products are differentiated without a division, so that zeros among the factors are no special case.
 *
 * Ties: equal largest elements of a reduction share its cotangent; in a window the first one gets it; of
 * a running maximum each result goes to the last element that attained it.
 */
#include "ir/build.h"
#include "ir/columns.h"
#include "ir/expand.h"
#include "ir/grad.h"

#include <math.h>

/* ---- Reductions ----------------------------------------------------------------------------------- */

static void reduce_sum(grad_args *c, const int64_t *axes, int n) { c->dx[0] = expand_back(c->dy[0], c->x[0], axes, n); }

static void reduce_extreme(grad_args *c, const int64_t *axes, int n) {
    tn_val attains = tn_equal(c->x[0], expand_back(c->y[0], c->x[0], axes, n));
    tn_dtype dtype = (tn_dtype)tn_type_of(c->x[0]).dtype;
    tn_val count = expand_reduce("sum", tn_convert(attains, dtype), axes, n, false);
    c->dx[0] = grad_where(attains, expand_back(tn_div(c->dy[0], count), c->x[0], axes, n));
}

/* Product of all other elements along the last axis: of those before times of those after. */
static tn_val others(tn_val flat) {
    tn_val before = tn_cumulate("prod", flat, -1, true, false), after = tn_cumulate("prod", flat, -1, true, true);
    return tn_mul(before, after);
}

/* The reduced axes go last and become one. */
static void reduce_product(grad_args *c, const int64_t *axes, int n) {
    tn_val x = c->x[0];
    dim_table *t = c->g->module->dims;
    tn_type type = tn_type_of(x), turned_type = type;
    int64_t perm[TN_MAX_RANK], inverse[TN_MAX_RANK];
    int kept = 0, next = 0;
    tn_dim flat[TN_MAX_RANK], extent = dim_const(t, 1);
    if (n == 0) {
        c->dx[0] = c->dy[0];
        return;
    }
    for (int i = 0; i < type.rank; i++)
        if (next < n && axes[next] == i)
            next++;
        else
            perm[kept++] = i;
    for (int i = 0; i < n; i++) perm[kept + i] = axes[i];
    for (int i = 0; i < type.rank; i++) {
        inverse[perm[i]] = i;
        turned_type.dims[i] = type.dims[perm[i]];
        if (i < kept) flat[i] = turned_type.dims[i];
    }
    for (int i = 0; i < n; i++) extent = dim_mul(t, extent, type.dims[axes[i]]);
    flat[kept] = extent;
    tn_val rows = tn_reshape_dims(tn_transpose(x, ((tn_ints){type.rank, perm})), kept + 1, flat);
    tn_val slope = tn_reshape_dims(others(rows), type.rank, turned_type.dims);
    c->dx[0] = tn_mul(tn_transpose(slope, ((tn_ints){type.rank, inverse})), expand_back(c->dy[0], x, axes, n));
}

typedef void reduce_rule(grad_args *c, const int64_t *axes, int n);
static reduce_rule *const reduce_rules[] = {
    [REDUCE_SUM] = reduce_sum,     [REDUCE_PROD] = reduce_product, [REDUCE_MAX] = reduce_extreme,
    [REDUCE_MIN] = reduce_extreme, [REDUCE_ARGMIN] = NULL, /* those of integers and bools have no cotangent */
};

void grad_reduce(grad_args *c) {
    const attr *axes = attr_find(&c->attrs, ATTR_axes);
    reduce_rule *rule = reduce_rules[attr_int(&c->attrs, ATTR_kind, 0)];
    if (rule) rule(c, axes->ints.items, (int)axes->ints.n);
}

/* ---- Running reductions --------------------------------------------------------------------------- */

typedef struct run {
    int axis;
    bool exclusive, reverse;
} run;

static void cumulate_sum(grad_args *c, const run *r) {
    c->dx[0] = tn_cumulate("sum", c->dy[0], r->axis, r->exclusive, !r->reverse);
}

/* v moved by one along the axis, towards the elements that a run reaches first; `number` comes in. */
static tn_val move_back(tn_val v, const run *r, double number) {
    int64_t low[TN_MAX_RANK] = {0}, high[TN_MAX_RANK] = {0};
    low[r->axis] = r->reverse ? 1 : -1;
    high[r->axis] = -low[r->axis];
    return tn_pad(v, number, ((tn_ints){tn_rank(v), low}), ((tn_ints){tn_rank(v), high}));
}

static tn_val axis_to_front(tn_val v, int axis) {
    int64_t perm[TN_MAX_RANK];
    int n = 0;
    perm[n++] = axis;
    for (int i = 0; i < tn_rank(v); i++)
        if (i != axis) perm[n++] = i;
    return tn_transpose(v, ((tn_ints){n, perm}));
}

static tn_val axis_from_front(tn_val v, int axis) {
    int64_t perm[TN_MAX_RANK];
    int n = 0;
    for (int i = 1; i < tn_rank(v); i++) {
        if (n == axis) perm[n++] = 0;
        perm[n++] = i;
    }
    if (n == axis) perm[n++] = 0;
    return tn_transpose(v, ((tn_ints){n, perm}));
}

/* s -> dy + factor * s, and the new s as an element of the result */
static tn_graph *recurrence(tn_graph *g, tn_val like) {
    tn_graph *body = tn_graph_sub(g, "grad.recurrence");
    tn_type type = tn_type_of(like);
    tn_type element = type_make((tn_dtype)type.dtype, type.rank - 1, type.dims + 1);
    static const char *const names[] = {"s", "dy", "factor"};
    tn_val in[3];
    for (int i = 0; i < 3; i++) {
        in[i] = (tn_val){body, body ? graph_add_param(body, names[i], &element, BINDING_RUN) : VALUE_NONE};
        if (!tn_is_valid(in[i])) return NULL;
    }
    tn_val next = tn_add(in[1], tn_mul(in[2], in[0]));
    tn_output(body, "s", next);
    tn_output(body, "element", next);
    return body;
}

/* With y[k] the product up to k: dx[i] = (product before i) * s[i], s[i] = dy[i] + x[i + 1] * s[i + 1]. An exclusive
 * run is an inclusive one whose results stand one further. */
static void cumulate_product(grad_args *c, const run *r) {
    tn_val x = c->x[0], dy = r->exclusive ? move_back(c->dy[0], r, 0) : c->dy[0];
    tn_val sequences[] = {axis_to_front(dy, r->axis), axis_to_front(move_back(x, r, 0), r->axis)};
    if (!tn_is_valid(sequences[0]) || !tn_is_valid(sequences[1])) return;
    tn_type type = tn_type_of(sequences[0]);
    tn_val start = tn_broadcast_to(tn_scalar(c->g, (tn_dtype)type.dtype, 0), type.rank - 1, type.dims + 1);
    tn_graph *body = recurrence(c->g, sequences[0]);
    if (!body) return;
    tn_val s = tn_result(tn_scan(body, &start, 1, sequences, 2, type.dims[0], !r->reverse), 1);
    c->dx[0] = tn_mul(axis_from_front(s, r->axis), tn_cumulate("prod", x, r->axis, true, r->reverse));
}

/* Each result is owned by the last element before it that attained it; cotangents are added up at their owners. */
static void cumulate_extreme(grad_args *c, const run *r, const char *kind, const char *relation) {
    tn_val x = c->x[0], dy = r->exclusive ? move_back(c->dy[0], r, 0) : c->dy[0];
    tn_val y = r->exclusive ? tn_cumulate(kind, x, r->axis, false, r->reverse) : c->y[0];
    run opposite = {.axis = r->axis, .reverse = !r->reverse};
    /* What came before the first element is worse than any. */
    tn_val before = move_back(y, &opposite, relation[0] == 'g' ? -INFINITY : INFINITY);
    tn_val attains = tn_compare_at(TN_HERE, relation, x, before);
    tn_type type = tn_type_of(x);
    tn_val at = grad_positions(c->g, type.rank, type.dims, r->axis);
    /* A run from the end looks for the least position, and none is past the last. */
    tn_val none = tn_convert(tn_dim_value(c->g, tn_dim_of(x, r->axis)), TN_I64);
    tn_val owner = tn_cumulate(r->reverse ? "min" : "max",
                               tn_select(attains, at, r->reverse ? none : tn_scalar_int(c->g, TN_I64, -1)), r->axis,
                               false, r->reverse);
    /* NaN attains nothing: what it owns goes nowhere, to an index that is in range all the same. */
    tn_val is_owned = r->reverse ? tn_less(owner, none) : tn_greater_equal(owner, tn_scalar_int(c->g, TN_I64, 0));
    tn_val index = tn_select(is_owned, owner, at);
    c->dx[0] = grad_add_along(grad_zeros(x), index, grad_where(is_owned, dy), r->axis);
}

static void cumulate_max(grad_args *c, const run *r) { cumulate_extreme(c, r, "max", "ge"); }
static void cumulate_min(grad_args *c, const run *r) { cumulate_extreme(c, r, "min", "le"); }

typedef void cumulate_rule(grad_args *c, const run *r);
static cumulate_rule *const cumulate_rules[] = {
    [REDUCE_SUM] = cumulate_sum,
    [REDUCE_PROD] = cumulate_product,
    [REDUCE_MAX] = cumulate_max,
    [REDUCE_MIN] = cumulate_min,
};

void grad_cumulate(grad_args *c) {
    run r = {.axis = (int)attr_int(&c->attrs, ATTR_axis, 0),
             .exclusive = attr_int(&c->attrs, ATTR_exclusive, 0) != 0,
             .reverse = attr_int(&c->attrs, ATTR_reverse, 0) != 0};
    cumulate_rules[attr_int(&c->attrs, ATTR_kind, 0)](c, &r);
}
