/* Normalisations. */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"

#include <inttypes.h>

/* (x - mean) / sqrt(variance + epsilon) over axes; mean and 1 / sqrt come back too. */
static tn_val normalize(tn_val x, tn_ints axes, double epsilon, tn_val *mean, tn_val *inverse) {
    *mean = tn_mean(x, axes, true);
    *inverse = tn_rsqrt(tn_add_scalar(tn_variance(x, axes, true), epsilon));
    return tn_mul(tn_sub(x, *mean), *inverse);
}

/* Axes from `first` on. */
static tn_ints axes_from(int first, int rank, int64_t *axes) {
    for (int i = first; i < rank; i++) axes[i - first] = i;
    return ints_of(axes, rank - first);
}

/* ---- BatchNormalization -------------------------------------------------------------------- */

/* Training: the batch's own mean and variance, and running ones. */
static void batch_norm_training(conversion *c, tn_val x, double epsilon) {
    int rank = tn_rank(x), n = 0;
    int64_t axes[TN_MAX_RANK];
    double momentum = read_float(c, "momentum", 0.9);
    for (int i = 0; i < rank; i++)
        if (i != 1) axes[n++] = i;
    tn_val mean = tn_mean(x, ints_of(axes, n), false), variance = tn_variance(x, ints_of(axes, n), false);
    tn_dtype dtype = dtype_of(input(c, 3));
    output(c, 0, tn_batch_norm(x, input(c, 1), input(c, 2), mean, variance, epsilon));
    output(c, 1, tn_add(tn_mul_scalar(input(c, 3), momentum), tn_mul_scalar(tn_convert(mean, dtype), 1 - momentum)));
    output(c, 2,
           tn_add(tn_mul_scalar(input(c, 4), momentum), tn_mul_scalar(tn_convert(variance, dtype), 1 - momentum)));
}

void convert_batch_norm(conversion *c) {
    tn_val x = input(c, 0), values[4];
    double epsilon = read_float(c, "epsilon", 1e-5);
    if (!tn_is_valid(x)) return;
    if (tn_rank(x) < 2) {
        node_error(c, TN_ERR_SHAPE, "X has rank %d, the least is 2", tn_rank(x));
        return;
    }
    if (c->version >= 14 && read_int(c, "training_mode", 0) != 0) {
        batch_norm_training(c, x, epsilon);
        return;
    }
    for (int i = 0; i < 4; i++) values[i] = tn_convert(input(c, i + 1), dtype_of(x));
    output(c, 0, tn_batch_norm(x, values[0], values[1], values[2], values[3], epsilon));
}

/* ---- Others with scale and bias ------------------------------------------------------------ */

void convert_instance_norm(conversion *c) {
    tn_val x = input(c, 0), mean, inverse;
    int rank = tn_rank(x);
    int64_t axes[TN_MAX_RANK];
    if (!tn_is_valid(x)) return;
    if (rank < 3) {
        node_error(c, TN_ERR_SHAPE, "the input has rank %d, the least is 3", rank);
        return;
    }
    tn_val v = normalize(x, axes_from(2, rank, axes), read_float(c, "epsilon", 1e-5), &mean, &inverse);
    output(c, 0, tn_add(tn_mul(v, along_axis(c, input(c, 1), 1, rank)), along_axis(c, input(c, 2), 1, rank)));
}

/* Scale and bias that have the normalized shape make it Tenon's own op. */
static bool has_shape_from(conversion *c, tn_val v, tn_val x, int axis) {
    tn_type wanted = tn_type_of(x), has = tn_type_of(v);
    if (!tn_is_valid(v) || has.rank != wanted.rank - axis || has.dtype != wanted.dtype) return false;
    for (int i = 0; i < has.rank; i++)
        if (has.dims[i] != wanted.dims[axis + i]) return false;
    return !has_failed(c);
}

void convert_layer_norm(conversion *c) {
    tn_val x = input(c, 0), scale = input(c, 1), bias = input(c, 2), mean, inverse;
    int64_t axis = read_int(c, "axis", -1), axes[TN_MAX_RANK];
    double epsilon = read_float(c, "epsilon", 1e-5);
    if (!tn_is_valid(x) || !check_axis(c, &axis, tn_rank(x))) return;
    bool wants_statistics = has_output(c, 1) || has_output(c, 2);
    if (!wants_statistics && has_shape_from(c, scale, x, (int)axis) && has_shape_from(c, bias, x, (int)axis)) {
        output(c, 0, tn_layer_norm(x, scale, bias, (int)axis, epsilon));
        return;
    }
    tn_dtype dtype = dtype_of(x);
    bool is_small = dtype == TN_F16 || dtype == TN_BF16;
    tn_val wide = is_small ? tn_convert(x, TN_F32) : x;
    tn_val v = tn_convert(normalize(wide, axes_from((int)axis, tn_rank(x), axes), epsilon, &mean, &inverse), dtype);
    v = tn_mul(v, scale);
    output(c, 0, tn_is_valid(bias) ? tn_add(v, bias) : v);
    output(c, 1, mean);
    output(c, 2, inverse);
}

/* x / sqrt(mean(x^2) + epsilon) * scale */
void convert_rms_norm(conversion *c) {
    tn_val x = input(c, 0), scale = input(c, 1);
    int64_t axis = read_int(c, "axis", -1), axes[TN_MAX_RANK];
    double epsilon = read_float(c, "epsilon", 1e-5);
    if (!tn_is_valid(x) || !check_axis(c, &axis, tn_rank(x))) return;
    if (has_shape_from(c, scale, x, (int)axis)) {
        output(c, 0, tn_rms_norm(x, scale, (int)axis, epsilon));
        return;
    }
    tn_val square = tn_mean(tn_mul(x, x), axes_from((int)axis, tn_rank(x), axes), true);
    output(c, 0, tn_mul(tn_mul(x, tn_rsqrt(tn_add_scalar(square, epsilon))), scale));
}

/* Channels in groups. Scale and bias are for each group up to opset 20, then for each channel. */
void convert_group_norm(conversion *c) {
    tn_val x = input(c, 0), mean, inverse;
    tn_type type = tn_type_of(x);
    int64_t groups = read_int(c, "num_groups", 0);
    if (!tn_is_valid(x)) return;
    if (type.rank < 3 || type.rank == TN_MAX_RANK || groups < 1) {
        node_error(c, TN_ERR_SHAPE, "X has rank %d, num_groups is %" PRId64, type.rank, groups);
        return;
    }
    dim_table *t = node_dims(c);
    tn_dim count = number_dim(c, groups), each = dim_exact_div(t, type.dims[1], count), wide[TN_MAX_RANK];
    if (each == DIM_INVALID) {
        node_error(c, TN_ERR_SHAPE, "%" PRId64 " groups do not divide the channels", groups);
        return;
    }
    wide[0] = type.dims[0];
    wide[1] = count;
    wide[2] = each;
    for (int i = 2; i < type.rank; i++) wide[i + 1] = type.dims[i];
    int64_t axes[TN_MAX_RANK];
    tn_val v = normalize(tn_reshape_dims(x, type.rank + 1, wide), axes_from(2, type.rank + 1, axes),
                         read_float(c, "epsilon", 1e-5), &mean, &inverse);
    if (c->version < 21) {
        v = tn_mul(v, along_axis(c, input(c, 1), 1, type.rank + 1));
        v = tn_add(v, along_axis(c, input(c, 2), 1, type.rank + 1));
        output(c, 0, tn_reshape_dims(v, type.rank, type.dims));
    } else {
        v = tn_reshape_dims(v, type.rank, type.dims);
        output(c, 0,
               tn_add(tn_mul(v, along_axis(c, input(c, 1), 1, type.rank)), along_axis(c, input(c, 2), 1, type.rank)));
    }
}

/* ---- Without parameters -------------------------------------------------------------------- */

void convert_mean_variance_norm(conversion *c) {
    tn_val x = input(c, 0);
    int64_t axes[TN_MAX_RANK] = {0, 2, 3};
    int n = 0;
    if (!tn_is_valid(x)) return;
    if (has_attribute(c, "axes") ? !read_axes(c, -1, tn_rank(x), axes, &n) : tn_rank(x) != 4) {
        node_error(c, TN_ERR_SHAPE, "the data has rank %d", tn_rank(x));
        return;
    }
    tn_ints over = ints_of(axes, has_attribute(c, "axes") ? n : 3);
    tn_val deviation = tn_sqrt(tn_variance(x, over, true));
    output(c, 0, tn_div(tn_sub(x, tn_mean(x, over, true)), tn_add_scalar(deviation, 1e-9)));
}

void convert_lp_norm(conversion *c) {
    tn_val x = input(c, 0);
    int64_t axis = read_int(c, "axis", -1), p = read_int(c, "p", 2);
    if (!tn_is_valid(x) || !check_axis(c, &axis, tn_rank(x))) return;
    tn_ints over = TN_INTS(axis);
    tn_val norm =
        p == 1 ? tn_reduce("sum", tn_abs(x), over, true) : tn_sqrt(tn_reduce("sum", tn_mul(x, x), over, true));
    output(c, 0, tn_div(x, norm));
}

/* x / (bias + alpha / size * (sum of squares over `size` neighbouring channels))^beta */
void convert_lrn(conversion *c) {
    tn_val x = input(c, 0), square = tn_mul(x, x);
    int64_t size = read_int(c, "size", 0), window[TN_MAX_RANK];
    tn_dim low[TN_MAX_RANK], high[TN_MAX_RANK];
    int rank = tn_rank(x);
    if (!tn_is_valid(x)) return;
    if (rank < 2 || size < 1 || size > INT32_MAX) {
        node_error(c, TN_ERR_SHAPE, "X has rank %d, size is %" PRId64, rank, size);
        return;
    }
    for (int i = 0; i < rank; i++) {
        window[i] = i == 1 ? size : 1;
        low[i] = number_dim(c, i == 1 ? (size - 1) / 2 : 0);
        high[i] = number_dim(c, i == 1 ? size / 2 : 0);
    }
    tn_val sum = apply_op(c, TN_OP_window, &square, 1,
                          (tn_attr_arg[]){{.name = "kind", .text = "sum"},
                                          {.name = "window", .ints = window, .n = rank},
                                          {.name = "low", .dims = low, .n = rank},
                                          {.name = "high", .dims = high, .n = rank},
                                          {0}});
    double alpha = read_float(c, "alpha", 1e-4), beta = read_float(c, "beta", 0.75), bias = read_float(c, "bias", 1);
    tn_val base = tn_add_scalar(tn_mul_scalar(sum, alpha / (double)size), bias);
    output(c, 0, tn_div(x, tn_pow_scalar(base, beta)));
}
