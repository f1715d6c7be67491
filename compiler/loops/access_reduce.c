/* Reductions, windows and contractions computed in place, by serial loops around one
 * element's terms (see access.h).
 *
 * This is how any of them is lowered when no class has a better form: every combination that
 * fusion makes has these loops to fall back on. The order of a sum is the order of its axes,
 * row-major.
 */
#include "compiler/loops/access.h"

#include <math.h>
#include <stdlib.h>

static dim_table *dims_of(access *a) { return a->fused->module->dims; }

tn_dtype access_accumulator(const tn_graph *g, const node *n) {
    tn_dtype own = (tn_dtype)graph_type(g, n->operands[0])->dtype;
    tn_dtype wanted = (tn_dtype)attr_int(&n->attrs, ATTR_acc, TN_DTYPE_INVALID);
    if (attr_find(&n->attrs, ATTR_acc)) return wanted;
    return own == TN_F16 || own == TN_BF16 ? TN_F32 : own;
}

tn_op access_combiner(reduce_kind kind) {
    static const tn_op ops[] = {
        [REDUCE_SUM] = TN_OP_add, [REDUCE_PROD] = TN_OP_mul, [REDUCE_MAX] = TN_OP_max,    [REDUCE_MIN] = TN_OP_min,
        [REDUCE_AND] = TN_OP_and, [REDUCE_OR] = TN_OP_or,    [REDUCE_ARGMAX] = TN_OP_max, [REDUCE_ARGMIN] = TN_OP_min,
    };
    return ops[kind];
}

/* Least value of an integer dtype in 64 bits, and the greatest, by kind and width. */
static int64_t extreme_int(tn_dtype dtype, bool greatest) {
    unsigned bits = tn_dtype_bits(dtype);
    switch (dtype) {
    case TN_BOOL: return greatest;
    case TN_U8:
    case TN_U16:
    case TN_U32: return greatest ? (int64_t)((UINT64_C(1) << bits) - 1) : 0;
    case TN_U64: return greatest ? -1 : 0;
    default: return greatest ? (int64_t)(UINT64_MAX >> (65 - bits)) : -(int64_t)(UINT64_MAX >> (65 - bits)) - 1;
    }
}

lt_value access_neutral(access *a, reduce_kind kind, tn_dtype dtype) {
    bool is_float = dtype == TN_F16 || dtype == TN_BF16 || dtype == TN_F32 || dtype == TN_F64;
    switch (kind) {
    case REDUCE_SUM:
    case REDUCE_OR: return lt_const_int(&a->b, dtype, 0);
    case REDUCE_PROD: return lt_const_int(&a->b, dtype, 1);
    case REDUCE_AND: return lt_const_int(&a->b, dtype, dtype == TN_BOOL ? 1 : -1);
    case REDUCE_MAX:
    case REDUCE_ARGMAX:
        return is_float ? lt_const_float(&a->b, dtype, -INFINITY)
                        : lt_const_int(&a->b, dtype, extreme_int(dtype, false));
    default:
        return is_float ? lt_const_float(&a->b, dtype, INFINITY) : lt_const_int(&a->b, dtype, extreme_int(dtype, true));
    }
}

/* ---- A nest of serial loops with carried values ---- */

enum { MAX_NEST = 2 * TN_MAX_RANK, MAX_CARRIED = 2 };

typedef struct nest {
    int depth, n_carried;
    access_loop loops[MAX_NEST];
    tn_dim counters[MAX_NEST];
    lt_value carried[MAX_CARRIED]; /* inside: as of this step; after close: final */
} nest;

static void open_nest(access *a, nest *s, int depth, const tn_dim *extents, int n_carried, const lt_value *init) {
    s->depth = depth;
    s->n_carried = n_carried;
    for (int k = 0; k < n_carried; k++) s->carried[k] = init[k];
    for (int i = 0; i < depth && !a->b.failed; i++) {
        s->loops[i] = access_open_loop(a, LT_SERIAL, dim_const(dims_of(a), 0), extents[i], 0, (uint32_t)n_carried);
        s->counters[i] = access_counter(&s->loops[i]);
        for (int k = 0; k < n_carried; k++)
            s->carried[k] = lt_carry_in(&a->b, s->loops[i].stmt, (uint32_t)k, s->carried[k], TN_OP_COUNT);
    }
}

static void close_nest(access *a, nest *s, const lt_value *next) {
    for (int k = 0; k < s->n_carried; k++) s->carried[k] = next[k];
    for (int i = s->depth; i-- > 0 && !a->b.failed;) {
        for (int k = 0; k < s->n_carried; k++) lt_carry_next(s->loops[i].stmt, (uint32_t)k, s->carried[k]);
        access_close_loop(a, &s->loops[i]);
        for (int k = 0; k < s->n_carried; k++) s->carried[k] = lt_carry_result(s->loops[i].stmt, (uint32_t)k);
    }
}

static lt_value to_result(access *a, value_id v, lt_value x) {
    return a->b.failed || x == LT_NONE ? LT_NONE : lt_convert(&a->b, x, (tn_dtype)graph_type(a->fused, v)->dtype);
}

/* ---- reduce ---- */

/* The better of two candidates: `later` when it wins by value, by NaN, or (select_last) by
 * being equal. */
static lt_value later_wins(access *a, bool greatest, bool select_last, lt_value best, lt_value later) {
    compare_kind better = greatest ? COMPARE_GT : COMPARE_LT, or_equal = greatest ? COMPARE_GE : COMPARE_LE;
    lt_value wins = lt_compare(&a->b, select_last ? or_equal : better, later, best);
    tn_dtype dtype = lt_dtype(&a->b, later);
    if (dtype != TN_F16 && dtype != TN_BF16 && dtype != TN_F32 && dtype != TN_F64) return wins;
    /* NaN beats everything; among NaNs the first, or with select_last the last. */
    lt_value later_nan = lt_compare(&a->b, COMPARE_NE, later, later);
    lt_value best_number = lt_compare(&a->b, COMPARE_EQ, best, best);
    lt_value nan_wins = select_last ? later_nan : lt_binary(&a->b, TN_OP_and, later_nan, best_number);
    return lt_binary(&a->b, TN_OP_or, nan_wins, lt_binary(&a->b, TN_OP_and, wins, best_number));
}

static lt_value arg_reduce(access *a, value_id v, const node *n, reduce_kind kind, const tn_dim *reduced,
                           const int *axes, tn_dim *at) {
    /* The first element is the first candidate, so that the neutral value never wins. */
    nest s = {0};
    value_id x = n->operands[0];
    at[axes[0]] = dim_const(dims_of(a), 0);
    lt_value not_empty = access_within(a, dim_const(dims_of(a), 0), dim_const(dims_of(a), 0), reduced[0]);
    lt_value former = access_push_guard(a, not_empty);
    lt_value init[2] = {access_value(a, x, at), lt_const_int(&a->b, TN_I64, 0)};
    a->guard = former;
    if (init[0] == LT_NONE) return LT_NONE;
    open_nest(a, &s, 1, reduced, 2, init);
    at[axes[0]] = s.counters[0];
    lt_value later = access_value(a, x, at);
    if (later == LT_NONE) return LT_NONE;
    lt_value wins =
        later_wins(a, kind == REDUCE_ARGMAX, attr_int(&n->attrs, ATTR_select_last, 0) != 0, s.carried[0], later);
    lt_value next[2] = {lt_select(&a->b, wins, later, s.carried[0]),
                        lt_select(&a->b, wins, lt_dim_value(&a->b, s.counters[0]), s.carried[1])};
    close_nest(a, &s, next);
    return to_result(a, v, s.carried[1]);
}

lt_value access_reduce(access *a, value_id v, const node *n, const tn_dim *index) {
    const tn_type *type = graph_type(a->fused, n->operands[0]);
    const attr *reduced_axes = attr_find(&n->attrs, ATTR_axes);
    reduce_kind kind = (reduce_kind)attr_int(&n->attrs, ATTR_kind, 0);
    bool is_reduced[TN_MAX_RANK] = {false};
    for (uint32_t i = 0; i < reduced_axes->ints.n; i++) is_reduced[reduced_axes->ints.items[i]] = true;
    tn_dim at[TN_MAX_RANK], extents[TN_MAX_RANK] = {0};
    int axes[TN_MAX_RANK] = {0}, n_axes = 0, next = 0;
    for (int i = 0; i < type->rank; i++) {
        at[i] = is_reduced[i] ? DIM_INVALID : index[next++];
        if (is_reduced[i]) {
            extents[n_axes] = type->dims[i];
            axes[n_axes++] = i;
        }
    }
    if (kind == REDUCE_ARGMAX || kind == REDUCE_ARGMIN) return arg_reduce(a, v, n, kind, extents, axes, at);

    nest s = {0};
    tn_dtype acc = access_accumulator(a->fused, n);
    lt_value init = access_neutral(a, kind, acc);
    open_nest(a, &s, n_axes, extents, 1, &init);
    for (int i = 0; i < n_axes; i++) at[axes[i]] = s.counters[i];
    lt_value term = access_value(a, n->operands[0], at);
    if (term == LT_NONE) return LT_NONE;
    lt_value sum = lt_binary(&a->b, access_combiner(kind), s.carried[0], lt_convert(&a->b, term, acc));
    close_nest(a, &s, &sum);
    return to_result(a, v, s.carried[0]);
}

/* ---- window ---- */

static int64_t list_item(const node *n, attr_name name, int i, int64_t otherwise) {
    const attr *list = attr_find(&n->attrs, name);
    return list && list->ints.n ? list->ints.items[i] : otherwise;
}

static tn_dim dim_item(access *a, const node *n, attr_name name, int i) {
    const attr *list = attr_find(&n->attrs, name);
    return list && list->dims.n ? list->dims.items[i] : dim_const(dims_of(a), 0);
}

static lt_value both(access *a, lt_value x, lt_value y) {
    if (x == LT_NONE || y == LT_NONE) return x == LT_NONE ? y : x;
    return lt_binary(&a->b, TN_OP_and, x, y);
}

lt_value access_window(access *a, value_id v, const node *n, const tn_dim *index) {
    dim_table *t = dims_of(a);
    const tn_type *type = graph_type(a->fused, n->operands[0]);
    reduce_kind kind = (reduce_kind)attr_int(&n->attrs, ATTR_kind, 0);
    tn_dtype acc = access_accumulator(a->fused, n);
    tn_dim extents[TN_MAX_RANK], at[TN_MAX_RANK];
    int axis_of[TN_MAX_RANK], depth = 0;
    for (int i = 0; i < type->rank; i++)
        if (list_item(n, ATTR_window, i, 1) != 1) {
            extents[depth] = dim_const(t, list_item(n, ATTR_window, i, 1));
            axis_of[depth++] = i;
        }
    nest s = {0};
    lt_value init = access_neutral(a, kind, acc), inside = LT_NONE;
    open_nest(a, &s, depth, extents, 1, &init);
    for (int i = 0, k = 0; i < type->rank; i++) {
        tn_dim tap = k < depth && axis_of[k] == i ? s.counters[k++] : dim_const(t, 0);
        at[i] = dim_sub(t,
                        dim_add(t, dim_mul_const(t, index[i], list_item(n, ATTR_stride, i, 1)),
                                dim_mul_const(t, tap, list_item(n, ATTR_dilation, i, 1))),
                        dim_item(a, n, ATTR_low, i));
        inside = both(a, inside, access_within(a, at[i], dim_const(t, 0), type->dims[i]));
    }
    lt_value former = access_push_guard(a, inside);
    lt_value term = access_value(a, n->operands[0], at);
    a->guard = former;
    if (term == LT_NONE) return LT_NONE;
    term = lt_convert(&a->b, term, acc);
    if (inside != LT_NONE) term = lt_select(&a->b, inside, term, init);
    lt_value sum = lt_binary(&a->b, access_combiner(kind), s.carried[0], term);
    close_nest(a, &s, &sum);
    return to_result(a, v, s.carried[0]);
}

/* ---- dot and conv ---- */

/* acc + x * y in the accumulator's dtype: one fused step for floats. */
static lt_value multiply_add(access *a, tn_dtype acc, lt_value x, lt_value y, lt_value sum) {
    x = lt_convert(&a->b, x, acc);
    y = lt_convert(&a->b, y, acc);
    if (acc == TN_F32 || acc == TN_F64) return lt_ternary(&a->b, TN_OP_fma, x, y, sum);
    return lt_binary(&a->b, TN_OP_add, sum, lt_binary(&a->b, TN_OP_mul, x, y));
}

lt_value access_dot(access *a, value_id v, const node *n, const tn_dim *index) {
    const tn_type *types[2] = {graph_type(a->fused, n->operands[0]), graph_type(a->fused, n->operands[1])};
    const attr *batch = attr_find(&n->attrs, ATTR_batch), *contract = attr_find(&n->attrs, ATTR_contract);
    int n_contract = (int)contract->split, n_batch = batch ? (int)batch->split : 0, next = n_batch;
    tn_dim at[2][TN_MAX_RANK], extents[TN_MAX_RANK] = {0};
    for (int i = 0; i < n_contract; i++) extents[i] = types[0]->dims[contract->ints.items[i]];
    nest s = {0};
    tn_dtype acc = access_accumulator(a->fused, n);
    lt_value init = lt_const_int(&a->b, acc, 0), x[2];
    open_nest(a, &s, n_contract, extents, 1, &init);
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < types[side]->rank; i++) at[side][i] = DIM_INVALID;
        for (int i = 0; i < n_batch; i++) at[side][batch->ints.items[side * n_batch + i]] = index[i];
        for (int i = 0; i < n_contract; i++) at[side][contract->ints.items[side * n_contract + i]] = s.counters[i];
        for (int i = 0; i < types[side]->rank; i++)
            if (at[side][i] == DIM_INVALID) at[side][i] = index[next++];
        if ((x[side] = access_value(a, n->operands[side], at[side])) == LT_NONE) return LT_NONE;
    }
    lt_value sum = multiply_add(a, acc, x[0], x[1], s.carried[0]);
    close_nest(a, &s, &sum);
    return to_result(a, v, s.carried[0]);
}

lt_value access_conv(access *a, value_id v, const node *n, const tn_dim *index) {
    dim_table *t = dims_of(a);
    const tn_type *input = graph_type(a->fused, n->operands[0]), *kernel = graph_type(a->fused, n->operands[1]);
    int64_t groups = attr_int(&n->attrs, ATTR_groups, 1);
    tn_dim extents[TN_MAX_RANK], at[TN_MAX_RANK], tap[TN_MAX_RANK];
    for (int i = 1; i < kernel->rank; i++) extents[i - 1] = kernel->dims[i];
    nest s = {0};
    tn_dtype acc = access_accumulator(a->fused, n);
    lt_value init = lt_const_int(&a->b, acc, 0), inside = LT_NONE;
    open_nest(a, &s, kernel->rank - 1, extents, 1, &init);
    tn_dim group = dim_const(t, 0);
    if (groups > 1)
        group = access_simplify(a, dim_floordiv(t, index[1], dim_exact_div(t, kernel->dims[0], dim_const(t, groups))));
    at[0] = index[0];
    at[1] = dim_add(t, dim_mul(t, group, kernel->dims[1]), s.counters[0]);
    tap[0] = index[1];
    tap[1] = s.counters[0];
    for (int i = 2; i < input->rank; i++) {
        int spatial = i - 2;
        int64_t zeros = list_item(n, ATTR_input_dilation, spatial, 1);
        tap[i] = s.counters[i - 1];
        tn_dim spread = dim_sub(t,
                                dim_add(t, dim_mul_const(t, index[i], list_item(n, ATTR_stride, spatial, 1)),
                                        dim_mul_const(t, tap[i], list_item(n, ATTR_dilation, spatial, 1))),
                                dim_item(a, n, ATTR_low, spatial));
        at[i] = access_simplify(a, dim_floordiv(t, spread, dim_const(t, zeros)));
        inside = both(a, inside, access_within(a, at[i], dim_const(t, 0), input->dims[i]));
        if (zeros > 1) {
            tn_dim between = dim_sub(t, spread, dim_mul_const(t, at[i], zeros));
            inside = both(a, inside,
                          lt_compare(&a->b, COMPARE_EQ, lt_dim_value(&a->b, between), lt_const_int(&a->b, TN_I64, 0)));
        }
    }
    lt_value former = access_push_guard(a, inside);
    lt_value x = access_value(a, n->operands[0], at);
    a->guard = former;
    lt_value y = access_value(a, n->operands[1], tap);
    if (x == LT_NONE || y == LT_NONE) return LT_NONE;
    if (inside != LT_NONE) x = lt_select(&a->b, inside, x, lt_const_int(&a->b, lt_dtype(&a->b, x), 0));
    lt_value sum = multiply_add(a, acc, x, y, s.carried[0]);
    close_nest(a, &s, &sum);
    return to_result(a, v, s.carried[0]);
}
