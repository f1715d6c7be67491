/* Pooling. */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"

static tn_val pool(tn_op op, tn_val x, const window_args *w, bool count_padding) {
    return tn_pool_at(TN_HERE, op, x,
                      (tn_window_args){.window = ints_of(w->kernel, w->n),
                                       .stride = ints_of(w->stride, w->n),
                                       .dilation = ints_of(w->dilation, w->n),
                                       .low_dims = w->low,
                                       .high_dims = w->high,
                                       .count_padding = count_padding});
}

static void add_extra(conversion *c, window_args *w) {
    for (int i = 0; i < w->n; i++) w->high[i] = dim_add(node_dims(c), w->high[i], w->extra[i]);
}

/* Padding as elements, so that only what ceil_mode adds is left to the window. */
static tn_val pad_spatial(conversion *c, tn_val x, double value, window_args *w) {
    tn_dim low[TN_MAX_RANK], high[TN_MAX_RANK], zero = number_dim(c, 0);
    bool is_none = true;
    for (int i = 0; i < w->n + 2; i++) {
        low[i] = i < 2 ? zero : w->low[i - 2];
        high[i] = i < 2 ? zero : w->high[i - 2];
        is_none &= low[i] == zero && high[i] == zero;
    }
    for (int i = 0; i < w->n; i++) w->low[i] = w->high[i] = zero;
    return is_none ? x : pad_dims(c, x, scalar_like(x, value), low, high);
}

static tn_val average_pool(conversion *c, tn_val x, window_args *w) {
    bool count_padding = read_int(c, "count_include_pad", 0) != 0;
    if (count_padding && w->has_extra) {
        x = pad_spatial(c, x, 0, w);
        count_padding = false;
    }
    add_extra(c, w);
    return pool(TN_OP_avg_pool, x, w, count_padding);
}

/* (sum |x|^p)^(1/p); windows of all axes, those before the spatial ones of 1. */
static tn_val lp_pool(conversion *c, tn_val x, window_args *w) {
    int64_t window[TN_MAX_RANK], stride[TN_MAX_RANK], dilation[TN_MAX_RANK];
    tn_dim low[TN_MAX_RANK], high[TN_MAX_RANK];
    int rank = w->n + 2;
    double p = has_attribute(c, "p") && c->version >= 2 ? (double)read_int(c, "p", 2) : 2;
    add_extra(c, w);
    for (int i = 0; i < rank; i++) {
        bool is_spatial = i >= 2;
        window[i] = is_spatial ? w->kernel[i - 2] : 1;
        stride[i] = is_spatial ? w->stride[i - 2] : 1;
        dilation[i] = is_spatial ? w->dilation[i - 2] : 1;
        low[i] = is_spatial ? w->low[i - 2] : number_dim(c, 0);
        high[i] = is_spatial ? w->high[i - 2] : number_dim(c, 0);
    }
    tn_val powers = tn_pow_scalar(tn_abs(x), p);
    tn_val sums = apply_op(c, TN_OP_window, &powers, 1,
                           (tn_attr_arg[]){{.name = "kind", .text = "sum"},
                                           {.name = "window", .ints = window, .n = rank},
                                           {.name = "stride", .ints = stride, .n = rank},
                                           {.name = "dilation", .ints = dilation, .n = rank},
                                           {.name = "low", .dims = low, .n = rank},
                                           {.name = "high", .dims = high, .n = rank},
                                           {0}});
    return tn_pow_scalar(sums, 1 / p);
}

/* What loses against every element. */
static double least_value(tn_dtype dtype) {
    if (dtype_is_float(dtype)) return -1.0 / 0.0;
    return dtype_in(DTYPES_SINT, dtype) ? -(double)(INT64_C(1) << (tn_dtype_bits(dtype) - 2)) * 2 : 0;
}

/* Positions of the maxima in the data, counted row-major (or column-major within the spatial
 * axes) over everything: the taps of the window are compared one after the other. */
static tn_val max_positions(conversion *c, tn_val x, tn_val best, window_args *w) {
    dim_table *t = node_dims(c);
    tn_type type = tn_type_of(x), result = tn_type_of(best);
    bool is_column_major = read_int(c, "storage_order", 0) != 0;
    int64_t taps = 1, n;
    for (int i = 0; i < w->n; i++) taps *= w->kernel[i];
    if (taps > 1024) {
        node_error(c, TN_ERR_LIMIT, "the window has %lld elements, the most for the output Indices is 1024",
                   (long long)taps);
        return best;
    }
    /* Positions of all elements, then padded as the data are. */
    tn_val at = tn_scalar_int(c->g, TN_I64, 0);
    tn_dim step = number_dim(c, 1);
    for (int k = 0; k < type.rank; k++) {
        int axis = k < w->n ? (is_column_major ? 2 + k : type.rank - 1 - k) : type.rank - 1 - k;
        at = tn_add(at, tn_mul(iota_dims(c, TN_I64, type.rank, type.dims, axis), tn_dim_value(c->g, step)));
        step = dim_mul(t, step, type.dims[axis]);
    }
    window_args copy = *w;
    tn_val padded = pad_spatial(c, x, least_value((tn_dtype)type.dtype), w);
    at = pad_spatial(c, at, 0, &copy);
    tn_val found = scalar_like(at, 0);
    for (int64_t tap = taps - 1; tap >= 0; tap--) {
        tn_dim start[TN_MAX_RANK], limit[TN_MAX_RANK];
        int64_t rest = tap, stride[TN_MAX_RANK];
        for (int i = type.rank - 1; i >= 0; i--) {
            start[i] = number_dim(c, 0);
            limit[i] = type.dims[i];
            stride[i] = 1;
            if (i < 2) continue;
            n = rest % w->kernel[i - 2] * w->dilation[i - 2];
            rest /= w->kernel[i - 2];
            stride[i] = w->stride[i - 2];
            start[i] = number_dim(c, n);
            limit[i] = dim_add_const(t, dim_mul_const(t, dim_add_const(t, result.dims[i], -1), stride[i]), n + 1);
        }
        tn_val is_best = tn_equal(tn_slice_dims(padded, start, limit, stride), best);
        found = tn_select(is_best, tn_slice_dims(at, start, limit, stride), found);
    }
    return found;
}

void convert_pool(conversion *c) {
    tn_val x = input(c, 0);
    window_args w;
    if (!read_window(c, x, NULL, &w)) return;
    if (c->variant == POOL_AVERAGE) {
        output(c, 0, average_pool(c, x, &w));
    } else if (c->variant == POOL_LP) {
        output(c, 0, lp_pool(c, x, &w));
    } else {
        add_extra(c, &w);
        tn_val v = pool(TN_OP_max_pool, x, &w, false);
        output(c, 0, v);
        if (has_output(c, 1) && !has_failed(c)) output(c, 1, max_positions(c, x, v, &w));
    }
}

void convert_global_pool(conversion *c) {
    tn_val x = input(c, 0);
    int64_t axes[TN_MAX_RANK];
    int n = 0;
    for (int i = 2; i < tn_rank(x); i++) axes[n++] = i;
    if (!tn_is_valid(x)) return;
    if (n == 0) {
        node_error(c, TN_ERR_SHAPE, "X has rank %d, the least is 3", tn_rank(x));
        return;
    }
    if (c->variant == POOL_AVERAGE) {
        output(c, 0, tn_global_avg_pool(x));
    } else if (c->variant == POOL_MAX) {
        output(c, 0, tn_reduce("max", x, ints_of(axes, n), true));
    } else {
        double p = (double)read_int(c, "p", 2);
        output(c, 0, tn_pow_scalar(tn_reduce("sum", tn_pow_scalar(tn_abs(x), p), ints_of(axes, n), true), 1 / p));
    }
}
