/* Reductions, running sums, sorting. */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"

#include <string.h>

/* ---- Reduce* ------------------------------------------------------------------------------- */

/* Axes, with what ONNX means by none of them: all, or (noop_with_empty_axes) no reduction. */
static bool reduced_axes(conversion *c, tn_val x, int64_t *axes, int *n, bool *is_noop) {
    *is_noop = false;
    if (!tn_is_valid(x) || !read_axes(c, 1, tn_rank(x), axes, n)) return false;
    if (*n > 0) return true;
    *is_noop = read_int(c, "noop_with_empty_axes", 0) != 0;
    for (*n = 0; *n < tn_rank(x); (*n)++) axes[*n] = *n;
    return true;
}

/* log(sum(exp(x))) without overflow. */
static tn_val log_sum_exp(tn_val x, tn_ints axes, bool keep) {
    tn_val most = tn_reduce("max", x, axes, true);
    most = tn_select(tn_is_inf(most), scalar_like(most, 0), most);
    tn_val sum = tn_log(tn_reduce("sum", tn_exp(tn_sub(x, most)), axes, true));
    tn_val v = tn_add(sum, most);
    return keep ? v : tn_squeeze(v, axes);
}

static tn_val integer_mean(conversion *c, tn_val x, tn_ints axes, bool keep) {
    tn_dim n = number_dim(c, 1);
    for (int i = 0; i < axes.n; i++) n = dim_mul(node_dims(c), n, tn_type_of(x).dims[axes.items[i]]);
    return tn_div(tn_reduce("sum", x, axes, keep), tn_convert(tn_dim_value(c->g, n), dtype_of(x)));
}

static tn_val reduce(conversion *c, tn_val x, tn_ints axes, bool keep) {
    switch ((reduce_variant)c->variant) {
    case REDUCE_ROW_L1: return tn_reduce("sum", tn_abs(x), axes, keep);
    case REDUCE_ROW_L2: return tn_sqrt(tn_reduce("sum", tn_mul(x, x), axes, keep));
    case REDUCE_ROW_LOG_SUM: return tn_log(tn_reduce("sum", x, axes, keep));
    case REDUCE_ROW_LOG_SUM_EXP: return log_sum_exp(x, axes, keep);
    case REDUCE_ROW_MEAN: return dtype_is_float(dtype_of(x)) ? tn_mean(x, axes, keep) : integer_mean(c, x, axes, keep);
    case REDUCE_ROW_MAX: return tn_reduce("max", x, axes, keep);
    case REDUCE_ROW_MIN: return tn_reduce("min", x, axes, keep);
    case REDUCE_ROW_PROD: return tn_reduce("prod", x, axes, keep);
    case REDUCE_ROW_SUM: return tn_reduce("sum", x, axes, keep);
    case REDUCE_ROW_SUM_SQUARE: return tn_reduce("sum", tn_mul(x, x), axes, keep);
    }
    return x;
}

void convert_reduce(conversion *c) {
    tn_val x = input(c, 0);
    int64_t axes[TN_MAX_RANK];
    int n;
    bool is_noop, keep = read_int(c, "keepdims", 1) != 0;
    if (!reduced_axes(c, x, axes, &n, &is_noop)) return;
    if (is_noop) n = 0;
    output(c, 0,
           is_noop && c->variant >= REDUCE_ROW_MEAN && c->variant != REDUCE_ROW_SUM_SQUARE
               ? x
               : reduce(c, x, ints_of(axes, n), keep));
}

void convert_arg(conversion *c) {
    tn_val x = input(c, 0);
    int64_t axis = read_int(c, "axis", 0);
    if (!tn_is_valid(x) || !check_axis(c, &axis, tn_rank(x))) return;
    tn_type type = tn_type_of(x);
    tn_val at = apply_op(c, TN_OP_reduce, &x, 1,
                         (tn_attr_arg[]){{.name = "kind", .i = c->variant},
                                         {.name = "axes", .ints = &axis, .n = 1},
                                         {.name = "select_last", .i = read_int(c, "select_last_index", 0) != 0},
                                         {0}});
    if (read_int(c, "keepdims", 1) != 0) {
        type.dims[axis] = number_dim(c, 1);
        at = tn_reshape_dims(at, type.rank, type.dims);
    }
    output(c, 0, at);
}

/* ---- Along an axis ------------------------------------------------------------------------- */

void convert_cum_sum(conversion *c) {
    tn_val x = input(c, 0);
    int64_t axis;
    if (!tn_is_valid(x) || !need_int(c, 1, "the axis", &axis) || !check_axis(c, &axis, tn_rank(x))) return;
    output(c, 0, tn_cumulate("sum", x, (int)axis, read_int(c, "exclusive", 0) != 0, read_int(c, "reverse", 0) != 0));
}

/* k is an attribute in opset 1, then an input. */
void convert_top_k(conversion *c) {
    tn_val x = input(c, 0);
    int64_t axis = read_int(c, "axis", -1);
    if (!tn_is_valid(x) || !check_axis(c, &axis, tn_rank(x))) return;
    tn_dim k;
    if (c->version < 10) {
        k = number_dim(c, read_int(c, "k", 0));
    } else {
        const known *given = need_known(c, 1, "the number k");
        if (!given) return;
        if (given->n != 1) {
            node_error(c, TN_ERR_SHAPE, "k must be one number");
            return;
        }
        k = given->items[0];
    }
    tn_val v = tn_top_k(x, (int)axis, k, read_int(c, "largest", 1) != 0);
    output(c, 0, v);
    output(c, 1, tn_result(v, 1));
}
