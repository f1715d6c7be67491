/* Convolutions, forward and transposed. */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"

#include <inttypes.h>
#include <string.h>

/* Ranks of data and kernel agree, the kernel's spatial sizes are numbers. */
static bool check_kernel(conversion *c, tn_val x, tn_val w, int64_t *kernel) {
    if (!tn_is_valid(x) || !tn_is_valid(w)) return false;
    if (tn_rank(x) != tn_rank(w) || tn_rank(x) < 3)
        return node_error(c, TN_ERR_SHAPE, "X has rank %d, W has rank %d", tn_rank(x), tn_rank(w));
    for (int i = 2; i < tn_rank(w); i++)
        if (!is_static_dim(c, tn_type_of(w).dims[i], &kernel[i - 2]))
            return node_error(c, TN_ERR_UNSUPPORTED, "the sizes of W are not fixed");
    return true;
}

/* A bias for each channel. */
static tn_val add_bias(conversion *c, tn_val v, tn_val bias) {
    return tn_is_valid(bias) && tn_is_valid(v) ? tn_add(v, along_axis(c, bias, 1, tn_rank(v))) : v;
}

static tn_val convolve(conversion *c, tn_val x, tn_val w) {
    int64_t kernel[TN_MAX_RANK];
    window_args a;
    if (!check_kernel(c, x, w, kernel) || !read_window(c, x, kernel, &a)) return (tn_val){NULL, VALUE_NONE};
    return tn_conv(x, w, .stride = ints_of(a.stride, a.n), .dilation = ints_of(a.dilation, a.n), .low_dims = a.low,
                   .high_dims = a.high, .groups = read_int(c, "group", 1));
}

void convert_conv(conversion *c) { output(c, 0, add_bias(c, convolve(c, input(c, 0), input(c, 1)), input(c, 2))); }

/* In 32 bits, after the zero points are taken off. */
static tn_val without_zero_point(conversion *c, int i, int zero_point, int axis) {
    tn_val v = tn_convert(input(c, i), TN_I32), zero = input(c, zero_point);
    if (!tn_is_valid(zero) || !tn_is_valid(v)) return v;
    if (tn_rank(zero) == 1 && !dim_is_value(node_dims(c), tn_type_of(zero).dims[0], 1))
        zero = along_axis(c, zero, axis, tn_rank(v));
    else
        zero = tn_reshape_dims(zero, 0, NULL);
    return tn_sub(v, tn_convert(zero, TN_I32));
}

void convert_conv_integer(conversion *c) {
    output(c, 0, convolve(c, without_zero_point(c, 0, 2, 0), without_zero_point(c, 1, 3, 0)));
}

void convert_qlinear_conv(conversion *c) {
    tn_val v = convolve(c, without_zero_point(c, 0, 2, 0), without_zero_point(c, 3, 5, 0));
    v = add_bias(c, v, input(c, 8));
    tn_val w_scale = input(c, 4), y_zero = input(c, 7);
    if (has_failed(c) || !tn_is_valid(v)) return;
    if (tn_rank(w_scale) == 1) w_scale = along_axis(c, w_scale, 1, tn_rank(v));
    tn_val factor =
        tn_div(tn_mul(tn_reshape_dims(input(c, 1), 0, NULL), w_scale), tn_reshape_dims(input(c, 6), 0, NULL));
    output(c, 0, quantize(c, tn_mul(tn_convert(v, TN_F32), factor), tn_reshape_dims(y_zero, 0, NULL)));
}

/* ---- Transposed ---------------------------------------------------------------------------- */

/* The kernel [c, m / groups, k...] as that of a forward convolution: [m, c / groups, k...], each
 * spatial axis from end to start. */
static tn_val flipped_kernel(conversion *c, tn_val w, int64_t groups) {
    dim_table *t = node_dims(c);
    tn_type type = tn_type_of(w);
    int rank = type.rank;
    int64_t axes[TN_MAX_RANK], perm[TN_MAX_RANK + 1];
    tn_dim split[TN_MAX_RANK + 1], joined[TN_MAX_RANK], each = dim_exact_div(t, type.dims[0], number_dim(c, groups));
    if (each == DIM_INVALID || rank == TN_MAX_RANK) {
        node_error(c, TN_ERR_SHAPE, "the channels of W are not a multiple of %" PRId64 " groups", groups);
        return (tn_val){NULL, VALUE_NONE};
    }
    split[0] = number_dim(c, groups);
    split[1] = each;
    joined[0] = dim_mul_const(t, type.dims[1], groups);
    joined[1] = each;
    for (int i = 0; i <= rank; i++) perm[i] = i == 1 ? 2 : i == 2 ? 1 : i;
    for (int i = 1; i < rank; i++) split[i + 1] = type.dims[i];
    for (int i = 2; i < rank; i++) {
        joined[i] = type.dims[i];
        axes[i - 2] = i;
    }
    w = tn_transpose(tn_reshape_dims(w, rank + 1, split), ints_of(perm, rank + 1));
    return tn_reverse(tn_reshape_dims(w, rank, joined), ints_of(axes, rank - 2));
}

/* Padding from the wanted output, when that is given or to be stride times the input. */
static bool output_pads(conversion *c, tn_val x, const int64_t *extra, window_args *a) {
    dim_table *t = node_dims(c);
    int64_t wanted[TN_MAX_RANK];
    int n;
    const char *how = read_text(c, "auto_pad", "NOTSET");
    bool is_same = strncmp(how, "SAME_", 5) == 0;
    if (!read_ints(c, "output_shape", wanted, TN_MAX_RANK, &n)) return false;
    if (n >= 0 && n != a->n)
        return node_error(c, TN_ERR_SHAPE, "output_shape has %d entries for %d spatial axes", n, a->n);
    for (int i = 0; i < a->n && (n >= 0 || is_same); i++) {
        tn_dim extent = tn_type_of(x).dims[2 + i];
        int64_t reach = (a->kernel[i] - 1) * a->dilation[i] + 1;
        tn_dim whole = dim_add_const(t, dim_mul_const(t, dim_add_const(t, extent, -1), a->stride[i]), reach + extra[i]);
        tn_dim result = n >= 0 ? number_dim(c, wanted[i]) : dim_mul_const(t, extent, a->stride[i]);
        tn_dim total = dim_max(t, dim_sub(t, whole, result), number_dim(c, 0));
        tn_dim less = dim_floordiv(t, total, number_dim(c, 2)), more = dim_sub(t, total, less);
        bool is_upper = strcmp(how, "SAME_UPPER") == 0;
        a->low[i] = is_upper ? less : more;
        a->high[i] = is_upper ? more : less;
        /* A result larger than all that is computed is filled at the end. */
        if (n >= 0) a->high[i] = dim_sub(t, dim_sub(t, whole, result), a->low[i]);
    }
    return true;
}

/* A forward convolution over the input spread by the stride. */
void convert_conv_transpose(conversion *c) {
    tn_val x = input(c, 0), w = input(c, 1);
    int64_t kernel[TN_MAX_RANK] = {0}, extra[TN_MAX_RANK], groups = read_int(c, "group", 1);
    int n;
    window_args a;
    if (!check_kernel(c, x, w, kernel) || !read_window(c, x, kernel, &a) ||
        !read_ints(c, "output_padding", extra, TN_MAX_RANK, &n))
        return;
    if ((n >= 0 && n != a.n) || groups < 1) {
        node_error(c, TN_ERR_SHAPE, "output_padding or group does not fit the data");
        return;
    }
    for (int i = 0; n < 0 && i < a.n; i++) extra[i] = 0;
    if (!output_pads(c, x, extra, &a)) return;
    dim_table *t = node_dims(c);
    for (int i = 0; i < a.n; i++) {
        tn_dim full = number_dim(c, (kernel[i] - 1) * a.dilation[i]);
        a.low[i] = dim_sub(t, full, a.low[i]);
        a.high[i] = dim_add_const(t, dim_sub(t, full, a.high[i]), extra[i]);
    }
    tn_val v = tn_conv(x, flipped_kernel(c, w, groups), .input_dilation = ints_of(a.stride, a.n),
                       .dilation = ints_of(a.dilation, a.n), .low_dims = a.low, .high_dims = a.high, .groups = groups);
    output(c, 0, add_bias(c, v, input(c, 2)));
}
