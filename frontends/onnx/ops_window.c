/* Windows: what convolution and pooling share, from auto_pad to ceil_mode. */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"

#include <inttypes.h>
#include <string.h>

/* One number for each spatial axis, `otherwise` when the attribute is absent. */
static bool read_list(conversion *c, const char *name, int n, int64_t otherwise, int64_t *items) {
    int given;
    if (!read_ints(c, name, items, TN_MAX_RANK, &given)) return false;
    if (given >= 0 && given != n)
        return node_error(c, TN_ERR_SHAPE, "%s has %d entries for %d spatial axes", name, given, n);
    for (int i = 0; i < n; i++) {
        if (given < 0) items[i] = otherwise;
        if (items[i] < 1 || items[i] > INT32_MAX) return node_error(c, TN_ERR_SHAPE, "%s has %" PRId64, name, items[i]);
    }
    return true;
}

static bool read_pads(conversion *c, window_args *w) {
    int64_t pads[2 * TN_MAX_RANK];
    int n;
    if (!read_ints(c, "pads", pads, 2 * TN_MAX_RANK, &n)) return false;
    if (n >= 0 && n != 2 * w->n) return node_error(c, TN_ERR_SHAPE, "pads has %d entries for %d spatial axes", n, w->n);
    for (int i = 0; i < w->n; i++) {
        w->low[i] = number_dim(c, n < 0 ? 0 : pads[i]);
        w->high[i] = number_dim(c, n < 0 ? 0 : pads[w->n + i]);
    }
    return true;
}

/* Padding so that the result has extent / stride places, rounded up; what is odd goes after
 * (SAME_UPPER) or before the data. */
static void same_pads(conversion *c, tn_val x, bool is_upper, window_args *w) {
    dim_table *t = node_dims(c);
    for (int i = 0; i < w->n; i++) {
        tn_dim extent = tn_type_of(x).dims[2 + i];
        int64_t reach = (w->kernel[i] - 1) * w->dilation[i] + 1;
        tn_dim places = dim_ceildiv(t, extent, number_dim(c, w->stride[i]));
        tn_dim needed = dim_add_const(t, dim_mul_const(t, dim_add_const(t, places, -1), w->stride[i]), reach);
        tn_dim total = dim_max(t, dim_sub(t, needed, extent), number_dim(c, 0));
        tn_dim less = dim_floordiv(t, total, number_dim(c, 2)), more = dim_sub(t, total, less);
        w->low[i] = is_upper ? less : more;
        w->high[i] = is_upper ? more : less;
    }
}

/* Places rounded up: elements that are missing behind the padding for the last window. A window that
 * would start in them is left out. */
static void ceil_extra(conversion *c, tn_val x, window_args *w) {
    dim_table *t = node_dims(c);
    for (int i = 0; i < w->n; i++) {
        int64_t reach = (w->kernel[i] - 1) * w->dilation[i] + 1, s = w->stride[i];
        tn_dim begin = dim_add(t, tn_type_of(x).dims[2 + i], w->low[i]), padded = dim_add(t, begin, w->high[i]);
        tn_dim places = dim_add_const(t, dim_ceildiv(t, dim_add_const(t, padded, -reach), number_dim(c, s)), 1);
        places = dim_min(t, places, dim_ceildiv(t, begin, number_dim(c, s)));
        tn_dim used = dim_add_const(t, dim_mul_const(t, dim_add_const(t, places, -1), s), reach);
        w->extra[i] = dim_max(t, dim_sub(t, used, padded), number_dim(c, 0));
        w->has_extra |= !dim_is_value(t, w->extra[i], 0);
    }
}

bool read_window(conversion *c, tn_val x, const int64_t *kernel, window_args *w) {
    if (!tn_is_valid(x)) return false;
    *w = (window_args){.n = tn_rank(x) - 2};
    if (w->n < 1) return node_error(c, TN_ERR_SHAPE, "X has rank %d, the least is 3", tn_rank(x));
    for (int i = 0; i < w->n; i++) w->extra[i] = number_dim(c, 0);
    if (!kernel && !has_attribute(c, "kernel_shape")) return node_error(c, TN_ERR_PARSE, "kernel_shape is missing");
    if (!read_list(c, "kernel_shape", w->n, 1, w->kernel) || !read_list(c, "strides", w->n, 1, w->stride) ||
        !read_list(c, "dilations", w->n, 1, w->dilation) || !read_pads(c, w))
        return false;
    for (int i = 0; kernel && i < w->n; i++) {
        if (has_attribute(c, "kernel_shape") && w->kernel[i] != kernel[i])
            return node_error(c, TN_ERR_SHAPE, "kernel_shape has %" PRId64 " for spatial axis %d, W has %" PRId64,
                              w->kernel[i], i, kernel[i]);
        w->kernel[i] = kernel[i];
    }
    const char *how = read_text(c, "auto_pad", "NOTSET");
    if (strcmp(how, "SAME_UPPER") == 0 || strcmp(how, "SAME_LOWER") == 0)
        same_pads(c, x, how[5] == 'U', w);
    else if (strcmp(how, "VALID") == 0)
        for (int i = 0; i < w->n; i++) w->low[i] = w->high[i] = number_dim(c, 0);
    else if (strcmp(how, "NOTSET") != 0 && *how)
        return node_error(c, TN_ERR_PARSE, "auto_pad is '%.40s'", how);
    if (read_int(c, "ceil_mode", 0) != 0) ceil_extra(c, x, w);
    return !has_failed(c);
}
