/* What gradient rules share (grad.h). */
#include "ir/build.h"
#include "ir/grad.h"

tn_val grad_fill(tn_val like, double number) {
    tn_type type = tn_type_of(like);
    if (!tn_is_valid(like)) return BUILD_INVALID;
    return tn_broadcast_to(tn_scalar(like.graph, (tn_dtype)type.dtype, number), type.rank, type.dims);
}

tn_val grad_zeros(tn_val like) { return grad_fill(like, 0); }

tn_val grad_zeros_of(tn_graph *g, const tn_type *type) {
    return tn_broadcast_to(tn_scalar(g, (tn_dtype)type->dtype, 0), type->rank, type->dims);
}

tn_val grad_cotangent(const grad_args *c, uint32_t i) { return tn_is_valid(c->dy[i]) ? c->dy[i] : grad_zeros(c->y[i]); }

tn_val grad_where(tn_val condition, tn_val v) { return tn_select(condition, v, grad_zeros(v)); }

tn_val grad_one_minus(tn_val v) { return tn_sub(grad_fill(v, 1), v); }
tn_val grad_one_minus_square(tn_val v) { return tn_mul(grad_one_minus(v), tn_add_scalar(v, 1)); }

tn_val grad_pad_zeros(tn_val v, const tn_dim *low, const tn_dim *high, const int64_t *interior) {
    int rank = tn_rank(v);
    if (rank < 0) return v;
    tn_val values[] = {v, tn_scalar(v.graph, (tn_dtype)tn_type_of(v).dtype, 0)};
    tn_attr_arg attrs[] = {{.name = "low", .dims = low, .n = rank},
                           {.name = "high", .dims = high, .n = rank},
                           {.name = "interior", .ints = interior, .n = rank},
                           {0}};
    bool spreads = false, pads = false;
    for (int i = 0; i < rank; i++) {
        spreads |= interior[i] != 0;
        pads |= !dim_is_value(v.graph->module->dims, low[i], 0) || !dim_is_value(v.graph->module->dims, high[i], 0);
    }
    if (!spreads && !pads) return v;
    if (!spreads) attrs[2] = (tn_attr_arg){0};
    return tn_apply(TN_HERE, v.graph, TN_OP_pad, values, 2, attrs);
}

tn_val grad_positions(tn_graph *g, int rank, const tn_dim *dims, int axis) {
    tn_attr_arg attrs[] = {
        {.name = "shape", .dims = dims, .n = rank}, {.name = "axis", .i = axis}, {.name = "dtype", .i = TN_I64}, {0}};
    return tn_apply(TN_HERE, g, TN_OP_iota, NULL, 0, attrs);
}
