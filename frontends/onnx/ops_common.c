/* What conversions share: small pieces of graph. */
#include "frontends/onnx/import.h"

#include <stdio.h>

bool is_static_dim(const conversion *c, tn_dim d, int64_t *value) {
    return dim_is_const(c->im->module->dims, d, value);
}

tn_val apply_op(conversion *c, tn_op op, const tn_val *operands, int n, const tn_attr_arg *attributes) {
    return tn_apply(TN_HERE, c->g, op, operands, n, attributes);
}

tn_val scalar_like(tn_val v, double number) { return tn_is_valid(v) ? tn_scalar(v.graph, dtype_of(v), number) : v; }

tn_val iota_dims(conversion *c, tn_dtype dtype, int rank, const tn_dim *dims, int axis) {
    return apply_op(c, TN_OP_iota, NULL, 0,
                    (tn_attr_arg[]){{.name = "shape", .dims = dims, .n = rank},
                                    {.name = "axis", .i = axis},
                                    {.name = "dtype", .i = dtype},
                                    {0}});
}

tn_val pad_dims(conversion *c, tn_val x, tn_val value, const tn_dim *low, const tn_dim *high) {
    int rank = tn_rank(x);
    return apply_op(
        c, TN_OP_pad, (tn_val[]){x, value}, 2,
        (tn_attr_arg[]){{.name = "low", .dims = low, .n = rank}, {.name = "high", .dims = high, .n = rank}, {0}});
}

tn_val slice_axis(conversion *c, tn_val x, int axis, tn_dim start, tn_dim limit) {
    tn_dim starts[TN_MAX_RANK], limits[TN_MAX_RANK];
    tn_type type = tn_type_of(x);
    if (!tn_is_valid(x)) return x;
    for (int i = 0; i < type.rank; i++) {
        starts[i] = i == axis ? start : number_dim(c, 0);
        limits[i] = i == axis ? limit : type.dims[i];
    }
    if (limits[axis] == type.dims[axis] && starts[axis] == number_dim(c, 0)) return x;
    return tn_slice_dims(x, starts, limits, NULL);
}

tn_val pick(conversion *c, tn_val x, int axis, int64_t i) {
    tn_val part = slice_axis(c, x, axis, number_dim(c, i), number_dim(c, i + 1));
    return tn_squeeze(part, TN_INTS(axis));
}

tn_val along_axis(conversion *c, tn_val v, int axis, int rank) {
    tn_dim dims[TN_MAX_RANK];
    if (!tn_is_valid(v)) return v;
    tn_type type = tn_type_of(v);
    tn_dim n = type_element_count(node_dims(c), &type);
    for (int i = 0; i < rank; i++) dims[i] = i == axis ? n : number_dim(c, 1);
    return tn_reshape_dims(v, rank, dims);
}

tn_val broadcast_like(conversion *c, tn_val v, tn_val like) {
    (void)c;
    tn_type type = tn_type_of(like);
    return tn_is_valid(like) ? tn_broadcast_to(v, type.rank, type.dims) : like;
}

tn_val wrap_indices(conversion *c, tn_val indices, tn_dim extent) {
    tn_val size = tn_convert(tn_dim_value(c->g, extent), dtype_of(indices));
    tn_val is_negative = tn_less(indices, scalar_like(indices, 0));
    return tn_select(is_negative, tn_add(indices, size), indices);
}

/* The token that the function's next effect goes on from. */
static tn_val last_token(conversion *c) {
    for (size_t i = c->g->n_nodes; i > 0; i--) {
        const node *n = &c->g->nodes[i - 1];
        if (n->op == TN_OP_assert) return (tn_val){c->g, n->first_result};
    }
    return apply_op(c, TN_OP_token, NULL, 0, NULL);
}

bool assume_equal(conversion *c, tn_dim a, tn_dim b) {
    dim_table *t = node_dims(c);
    int64_t low, high;
    if (a == b) return true;
    if (c->g == tn_module_main(c->im->module)) return graph_require_equal(c->g, a, b, TN_OP_if, c->g->origin);
    dim_bounds(t, dim_sub(t, a, b), NULL, 0, &low, &high);
    if (low > 0 || high < 0) return false;
    char left[128], right[128], message[320];
    dim_print(t, a, left, sizeof left);
    dim_print(t, b, right, sizeof right);
    snprintf(message, sizeof message, "the sizes are other than the model's branches are for: %s must be %s", left,
             right);
    tn_val token = last_token(c), holds = tn_equal(tn_dim_value(c->g, a), tn_dim_value(c->g, b));
    apply_op(c, TN_OP_assert, (tn_val[]){token, holds}, 2, (tn_attr_arg[]){{.name = "message", .text = message}, {0}});
    return true;
}

tn_val drop_axis(conversion *c, tn_val x, int axis) {
    if (!tn_is_valid(x)) return x;
    tn_dim extent = tn_type_of(x).dims[axis], one = number_dim(c, 1);
    if (extent != one && c->g != tn_module_main(c->im->module) && assume_equal(c, extent, one))
        x = slice_axis(c, x, axis, number_dim(c, 0), one);
    return tn_squeeze(x, TN_INTS(axis));
}
