/* Rules of reductions, windows and sorting. */
#include "ir/columns.h"
#include "ir/rules.h"

/* What each kind of reduction takes; and whether `cumulate` and `window` know it. */
static const struct {
    const dtype_set *dtypes;
    bool runs; /* has running and windowed forms */
    bool is_arg;
} kinds[] = {
    [REDUCE_SUM] = {&DTYPES_NUMBER, true, false}, [REDUCE_PROD] = {&DTYPES_NUMBER, true, false},
    [REDUCE_MAX] = {&DTYPES_ANY, true, false},    [REDUCE_MIN] = {&DTYPES_ANY, true, false},
    [REDUCE_AND] = {&DTYPES_BITS, false, false},  [REDUCE_OR] = {&DTYPES_BITS, false, false},
    [REDUCE_ARGMAX] = {&DTYPES_ANY, false, true}, [REDUCE_ARGMIN] = {&DTYPES_ANY, false, true},
};

static bool check_kind(rule_args *c, reduce_kind kind) {
    return rule_dtype(c, 0, *kinds[kind].dtypes) && rule_acc(c, (tn_dtype)c->types[0].dtype);
}

static bool check_running_kind(rule_args *c, reduce_kind *kind) {
    *kind = (reduce_kind)attr_int(&c->attrs, ATTR_kind, 0);
    if (!kinds[*kind].runs)
        return rule_error(c, TN_ERR_ARGUMENT, "knows no %s", attr_option(ATTR_kind, (int64_t)*kind));
    return check_kind(c, *kind);
}

static tn_type without_axes(const tn_type *x, uint32_t mask) {
    tn_type type = type_make((tn_dtype)x->dtype, 0, NULL);
    for (int i = 0; i < x->rank; i++)
        if (!(mask >> i & 1)) type.dims[type.rank++] = x->dims[i];
    return type;
}

bool rule_reduce(rule_args *c) {
    reduce_kind kind = (reduce_kind)attr_int(&c->attrs, ATTR_kind, 0);
    uint32_t mask;
    if (!check_kind(c, kind) || !rule_axes(c, c->types[0].rank, &mask)) return false;
    tn_type type = without_axes(&c->types[0], mask);
    if (kinds[kind].is_arg) {
        if (type.rank != c->types[0].rank - 1)
            return rule_error(c, TN_ERR_ARGUMENT, "%s takes one axis, not %d", attr_option(ATTR_kind, (int64_t)kind),
                              c->types[0].rank - type.rank);
        type.dtype = TN_I64;
    } else if (attr_int(&c->attrs, ATTR_select_last, 0) != 0) {
        return rule_error(c, TN_ERR_ARGUMENT, "select_last goes with argmax and argmin only");
    }
    return rule_one_result(c, &type);
}

bool rule_cumulate(rule_args *c) {
    reduce_kind kind;
    int axis;
    return check_running_kind(c, &kind) && rule_axis(c, c->types[0].rank, &axis) && rule_one_result(c, &c->types[0]);
}

bool rule_window(rule_args *c) {
    const tn_type *x = &c->types[0];
    reduce_kind kind;
    int64_t window[TN_MAX_RANK], stride[TN_MAX_RANK], dilation[TN_MAX_RANK];
    tn_dim low[TN_MAX_RANK], high[TN_MAX_RANK];
    tn_type type = *x;
    if (!check_running_kind(c, &kind) || !rule_ints(c, ATTR_window, x->rank, 1, 1, window) ||
        !rule_ints(c, ATTR_stride, x->rank, 1, 1, stride) || !rule_ints(c, ATTR_dilation, x->rank, 1, 1, dilation) ||
        !rule_dim_list(c, ATTR_low, x->rank, low) || !rule_dim_list(c, ATTR_high, x->rank, high))
        return false;
    for (int i = 0; i < x->rank; i++)
        if (!rule_window_places(c, i, x->dims[i], low[i], high[i], dim_const(rule_dims(c), window[i]), dilation[i],
                                stride[i], &type.dims[i]))
            return false;
    return rule_one_result(c, &type);
}

/* ---- Sorting ---------------------------------------------------------------------------------- */

bool rule_sort(rule_args *c) {
    char a[RULE_TEXT], b[RULE_TEXT];
    const tn_type *key = &c->types[0];
    int axis;
    if (!rule_dtype(c, 0, DTYPES_ANY) || !rule_axis(c, key->rank, &axis) || !rule_results(c, c->n_operands))
        return false;
    for (uint32_t i = 0; i < c->n_operands; i++) {
        c->results[i] = c->types[i];
        if (c->types[i].rank != key->rank)
            return rule_error(c, TN_ERR_SHAPE, "shapes differ: %s, %s", rule_operand(c, 0, a), rule_operand(c, i, b));
        for (int k = 0; k < key->rank; k++)
            if (!rule_equal_dims(c, "shapes differ", 0, k, i, k)) return false;
    }
    return true;
}

bool rule_top_k(rule_args *c) {
    char a[RULE_TEXT], b[RULE_TEXT];
    const tn_type *x = &c->types[0];
    tn_dim k = attr_find(&c->attrs, ATTR_k)->dim;
    int axis;
    if (!rule_dtype(c, 0, DTYPES_ANY) || !rule_axis(c, x->rank, &axis) || !rule_extent(c, "k", k)) return false;
    if (!rule_require(c, RELATION_LE, k, x->dims[axis]))
        return rule_error(c, TN_ERR_SHAPE, "there are not %s along axis %d: %s", rule_dim_text(c, k, b), axis,
                          rule_operand(c, 0, a));
    if (!rule_results(c, 2)) return false;
    c->results[0] = *x;
    c->results[0].dims[axis] = k;
    c->results[1] = c->results[0];
    c->results[1].dtype = TN_I64;
    return true;
}

/* ---- Composites that reduce ------------------------------------------------------------------- */

bool rule_axis_float(rule_args *c) {
    int axis;
    return rule_dtype(c, 0, DTYPES_FLOAT) && rule_axis(c, c->types[0].rank, &axis) && rule_one_result(c, &c->types[0]);
}

bool rule_mean(rule_args *c) {
    uint32_t mask;
    if (!rule_dtype(c, 0, DTYPES_FLOAT) || !rule_axes(c, c->types[0].rank, &mask)) return false;
    tn_type type = without_axes(&c->types[0], mask);
    return rule_one_result(c, &type);
}

/* Operands from 1 on have the shape of operand 0's axes from `axis` on. */
static bool check_norm(rule_args *c) {
    char a[RULE_TEXT], b[RULE_TEXT];
    const tn_type *x = &c->types[0];
    int axis;
    if (!rule_dtype(c, 0, DTYPES_FLOAT) || !rule_axis(c, x->rank, &axis)) return false;
    for (uint32_t i = 1; i < c->n_operands; i++) {
        if (!rule_same_dtype(c, 0, i)) return false;
        if (c->types[i].rank != x->rank - axis)
            return rule_error(c, TN_ERR_SHAPE, "scale and bias have the axes from %d on: %s, %s", axis,
                              rule_operand(c, 0, a), rule_operand(c, i, b));
        for (int k = axis; k < x->rank; k++)
            if (!rule_equal_dims(c, "normalised axes differ", 0, k, i, k - axis)) return false;
    }
    return rule_one_result(c, x);
}

bool rule_layer_norm(rule_args *c) { return check_norm(c); }
bool rule_rms_norm(rule_args *c) { return check_norm(c); }

bool rule_batch_norm(rule_args *c) {
    if (!rule_dtype(c, 0, DTYPES_FLOAT) || !rule_rank_at_least(c, 0, 2)) return false;
    for (uint32_t i = 1; i < c->n_operands; i++)
        if (!rule_same_dtype(c, 0, i) || !rule_rank(c, i, 1) || !rule_equal_dims(c, "channels differ", 0, 1, i, 0))
            return false;
    return rule_one_result(c, &c->types[0]);
}
