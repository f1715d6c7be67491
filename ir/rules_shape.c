/* Rules of leaves and views: shapes made and rearranged. */
#include "ir/columns.h"
#include "ir/rules.h"

#include <inttypes.h>

/* ---- Leaves ----------------------------------------------------------------------------------- */

bool rule_param(rule_args *c) {
    int64_t index = attr_int(&c->attrs, ATTR_index, 0);
    if (index < 0 || (uint64_t)index >= c->graph->n_params)
        return rule_error(c, TN_ERR_ARGUMENT, "@%s has no parameter %" PRId64, c->graph->name, index);
    return rule_one_result(c, &c->graph->params[index].type);
}

bool rule_constant(rule_args *c) { return rule_one_result(c, &attr_find(&c->attrs, ATTR_value)->data->type); }

bool rule_iota(rule_args *c) {
    tn_type type;
    tn_dtype dtype = (tn_dtype)attr_int(&c->attrs, ATTR_dtype, 0);
    int axis;
    if (dtype == TN_BOOL) return rule_error(c, TN_ERR_DTYPE, "counts in a number, not in bool");
    return rule_shape(c, ATTR_shape, dtype, &type) && rule_axis(c, type.rank, &axis) && rule_one_result(c, &type);
}

bool rule_dim(rule_args *c) {
    tn_type type = type_scalar(TN_I64);
    return rule_one_result(c, &type);
}

bool rule_rng_bits(rule_args *c) {
    char a[RULE_TEXT];
    tn_type type;
    tn_dtype dtype = (tn_dtype)attr_int(&c->attrs, ATTR_dtype, 0);
    const tn_type *state = &c->types[0];
    if (state->dtype != TN_U64 || state->rank != 1 || !dim_is_value(rule_dims(c), state->dims[0], 4))
        return rule_error(c, TN_ERR_SHAPE, "the state must be u64[4]: %s", rule_operand(c, 0, a));
    if (dtype != TN_U32 && dtype != TN_U64)
        return rule_error(c, TN_ERR_DTYPE, "gives u32 or u64, not %s", tn_dtype_name(dtype));
    return rule_shape(c, ATTR_shape, dtype, &type) && rule_one_result(c, &type);
}

bool rule_token(rule_args *c) {
    tn_type type = type_scalar(TN_TOKEN);
    return rule_one_result(c, &type);
}

/* ---- Shape ------------------------------------------------------------------------------------ */

bool rule_broadcast(rule_args *c) {
    char a[RULE_TEXT], from[RULE_TEXT], to[RULE_TEXT];
    const tn_type *x = &c->types[0];
    const attr *map = attr_find(&c->attrs, ATTR_dims);
    const int64_t *axes = map ? map->ints.items : NULL;
    tn_type type;
    if (!rule_shape(c, ATTR_shape, (tn_dtype)x->dtype, &type)) return false;
    if ((map ? map->ints.n : 0) != x->rank)
        return rule_error(c, TN_ERR_ARGUMENT, "dims has %u entries, but %s", map ? (unsigned)map->ints.n : 0,
                          rule_operand(c, 0, a));
    for (int i = 0; i < x->rank; i++) {
        if (!rule_check_axis(c, "result axis", axes[i], type.rank)) return false;
        if (i > 0 && axes[i] <= axes[i - 1])
            return rule_error(c, TN_ERR_ARGUMENT, "dims must increase: %" PRId64 " follows %" PRId64, axes[i],
                              axes[i - 1]);
        if (dim_is_value(rule_dims(c), x->dims[i], 1)) continue;
        if (!graph_require_equal(c->graph, x->dims[i], type.dims[axes[i]], c->op, c->where))
            return rule_error(c, TN_ERR_SHAPE, "%s: axis %d does not become result axis %" PRId64 " (%s is not %s)",
                              rule_operand(c, 0, a), i, axes[i], rule_dim_text(c, x->dims[i], from),
                              rule_dim_text(c, type.dims[axes[i]], to));
    }
    return rule_one_result(c, &type);
}

bool rule_reshape(rule_args *c) {
    char a[RULE_TEXT], b[RULE_TEXT], from[RULE_TEXT], to[RULE_TEXT];
    tn_type type;
    if (!rule_shape(c, ATTR_shape, (tn_dtype)c->types[0].dtype, &type)) return false;
    tn_dim n = type_element_count(rule_dims(c), &c->types[0]), m = type_element_count(rule_dims(c), &type);
    if (m != DIM_INVALID && graph_require_equal(c->graph, n, m, c->op, c->where)) return rule_one_result(c, &type);
    type_print(rule_dims(c), &type, b, sizeof b);
    return rule_error(c, TN_ERR_SHAPE, "element counts differ: %s, wanted is %s (%s is not %s)", rule_operand(c, 0, a),
                      b, rule_dim_text(c, n, from), rule_dim_text(c, m, to));
}

bool rule_transpose(rule_args *c) {
    const tn_type *x = &c->types[0];
    int64_t perm[TN_MAX_RANK];
    uint32_t mask;
    tn_type type = *x;
    if (!rule_ints(c, ATTR_perm, x->rank, 0, 0, perm) || !rule_check_axes(c, "axis", perm, x->rank, x->rank, &mask))
        return false;
    for (int i = 0; i < x->rank; i++) type.dims[i] = x->dims[perm[i]];
    return rule_one_result(c, &type);
}

bool rule_slice(rule_args *c) {
    dim_table *t = rule_dims(c);
    const tn_type *x = &c->types[0];
    tn_dim start[TN_MAX_RANK], limit[TN_MAX_RANK];
    int64_t stride[TN_MAX_RANK];
    char a[RULE_TEXT], from[RULE_TEXT], to[RULE_TEXT];
    tn_type type = *x;
    if (!rule_dim_list(c, ATTR_start, x->rank, start) || !rule_dim_list(c, ATTR_limit, x->rank, limit) ||
        !rule_ints(c, ATTR_stride, x->rank, 1, 1, stride))
        return false;
    for (int i = 0; i < x->rank; i++) {
        if (!rule_require(c, RELATION_LE, dim_const(t, 0), start[i]) ||
            !rule_require(c, RELATION_LE, start[i], limit[i]) || !rule_require(c, RELATION_LE, limit[i], x->dims[i]))
            return rule_error(c, TN_ERR_SHAPE, "[%s, %s) is not within axis %d: %s", rule_dim_text(c, start[i], from),
                              rule_dim_text(c, limit[i], to), i, rule_operand(c, 0, a));
        type.dims[i] = dim_ceildiv(t, dim_sub(t, limit[i], start[i]), dim_const(t, stride[i]));
    }
    return rule_one_result(c, &type);
}

bool rule_pad(rule_args *c) {
    dim_table *t = rule_dims(c);
    const tn_type *x = &c->types[0];
    tn_dim low[TN_MAX_RANK], high[TN_MAX_RANK];
    int64_t interior[TN_MAX_RANK];
    char a[RULE_TEXT], text[RULE_TEXT];
    tn_type type = *x;
    if (!rule_same_dtype(c, 0, 1) || !rule_rank(c, 1, 0) || !rule_dim_list(c, ATTR_low, x->rank, low) ||
        !rule_dim_list(c, ATTR_high, x->rank, high) || !rule_ints(c, ATTR_interior, x->rank, 0, 0, interior))
        return false;
    for (int i = 0; i < x->rank; i++) {
        type.dims[i] = dim_add(t, dim_add(t, low[i], high[i]), dim_spread(t, x->dims[i], interior[i]));
        if (!rule_require(c, RELATION_LE, dim_const(t, 0), type.dims[i]))
            return rule_error(c, TN_ERR_SHAPE, "axis %d would have %s elements: %s", i,
                              rule_dim_text(c, type.dims[i], text), rule_operand(c, 0, a));
    }
    return rule_one_result(c, &type);
}

bool rule_concat(rule_args *c) {
    char a[RULE_TEXT], b[RULE_TEXT];
    tn_type type = c->types[0];
    int axis;
    if (!rule_rank_at_least(c, 0, 1) || !rule_axis(c, type.rank, &axis)) return false;
    for (uint32_t i = 1; i < c->n_operands; i++) {
        if (!rule_same_dtype(c, 0, i)) return false;
        if (c->types[i].rank != type.rank)
            return rule_error(c, TN_ERR_SHAPE, "ranks differ: %s, %s", rule_operand(c, 0, a), rule_operand(c, i, b));
        for (int k = 0; k < type.rank; k++) {
            if (k == axis) {
                type.dims[k] = dim_add(rule_dims(c), type.dims[k], c->types[i].dims[k]);
                continue;
            }
            if (!rule_equal_dims(c, "shapes differ beside the axis", 0, k, i, k)) return false;
            type.dims[k] = rule_merge(c, type.dims[k], c->types[i].dims[k]);
        }
    }
    return rule_one_result(c, &type);
}

bool rule_reverse(rule_args *c) {
    uint32_t mask;
    return rule_axes(c, c->types[0].rank, &mask) && rule_one_result(c, &c->types[0]);
}
