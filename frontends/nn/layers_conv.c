/* Convolutions and poolings.
 *
 * law: [n, c, spatial...]; "same" gives ceil(extent / stride) outputs with the odd element of the padding after, as in
 *      TensorFlow, also where the extent is a symbol
 */
#include "frontends/nn/layer.h"

#include "ir/expand.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MAX_SPATIAL = 3 };

/* ---- Windows --------------------------------------------------------------------------------------- */

/* The places of a window over the spatial axes. */
typedef struct window {
    int n;
    int64_t taps[MAX_SPATIAL], stride[MAX_SPATIAL], dilation[MAX_SPATIAL];
    tn_dim low[MAX_SPATIAL], high[MAX_SPATIAL];
} window;

/* Entries of axes that are not there must be left out. */
static bool has_no_more(nn_scope *s, const char *what, const int64_t *given, int n) {
    for (int i = n; i < MAX_SPATIAL; i++) {
        if (given[i] == 0) continue;
        build_error(&s->b, TN_ERR_ARGUMENT, "%s has %d entries, there are %d spatial axes", what, i + 1, n);
        return false;
    }
    return true;
}

/* One of the lists of a call, in which 0 is `otherwise`. */
static bool take_sizes(nn_scope *s, const char *what, const int64_t *given, int n, int64_t otherwise, int64_t *out) {
    for (int i = 0; i < n; i++) {
        out[i] = given[i] ? given[i] : otherwise;
        if (out[i] >= 1) continue;
        build_error(&s->b, TN_ERR_ARGUMENT, "entry %d of %s is %" PRId64 ", it must be at least 1", i, what, out[i]);
        return false;
    }
    return has_no_more(s, what, given, n);
}

/* Elements of a window from its first to its last tap. */
static int64_t reach(const window *w, int i) { return (w->taps[i] - 1) * w->dilation[i] + 1; }

static void pad_same(nn_scope *s, window *w, tn_val x) {
    dim_table *t = build_dims(&s->b);
    for (int i = 0; i < w->n; i++) {
        tn_dim extent = build_type(x)->dims[2 + i];
        tn_dim places = dim_ceildiv(t, extent, dim_const(t, w->stride[i]));
        tn_dim covered = dim_add_const(t, dim_mul_const(t, dim_add_const(t, places, -1), w->stride[i]), reach(w, i));
        tn_dim all = dim_max(t, dim_sub(t, covered, extent), dim_const(t, 0));
        w->low[i] = dim_floordiv(t, all, dim_const(t, 2));
        w->high[i] = dim_sub(t, all, w->low[i]);
    }
}

static bool set_padding(nn_scope *s, window *w, tn_val x, const char *padding, const int64_t *pad) {
    dim_table *t = build_dims(&s->b);
    bool has_numbers = pad[0] || pad[1] || pad[2];
    for (int i = 0; i < w->n; i++) {
        if (pad[i] < 0) {
            build_error(&s->b, TN_ERR_ARGUMENT, "entry %d of pad is %" PRId64 ", it must be at least 0", i, pad[i]);
            return false;
        }
        w->low[i] = w->high[i] = dim_const(t, pad[i]);
    }
    if (!has_no_more(s, "pad", pad, w->n)) return false;
    if (padding && has_numbers) {
        build_error(&s->b, TN_ERR_ARGUMENT, "padding \"%s\" and numbers in pad are given, one of them counts", padding);
        return false;
    }
    if (!padding || strcmp(padding, "valid") == 0) return true;
    if (strcmp(padding, "same") == 0) {
        pad_same(s, w, x);
        return true;
    }
    if (strcmp(padding, "causal") == 0 && w->n == 1) {
        w->low[0] = dim_const(t, reach(w, 0) - 1);
        return true;
    }
    build_error(&s->b, TN_ERR_ARGUMENT, "padding \"%s\" is none of valid, same%s", padding,
                w->n == 1 ? ", causal" : "");
    return false;
}

static tn_ints list(const int64_t *items, int n) { return (tn_ints){n, items}; }

/* ---- Convolutions ------------------------------------------------------------------------------------- */

static tn_val add_bias(nn_scope *s, tn_val y, const tn_nn_conv_args *a, int64_t filters, int64_t fan_in) {
    if (a->no_bias) return y;
    tn_val bias = nn_parameter(s, (nn_parameter_args){.name = "bias",
                                                      .init = a->bias_init,
                                                      .init_default = "zeros",
                                                      .fan_in = fan_in,
                                                      .fan_out = filters,
                                                      .rank = 1,
                                                      .dims = {filters}});
    return tn_add(y, nn_along(bias, y, 1));
}

/* Groups that divide both, channels and filters. */
static bool take_groups(nn_scope *s, const tn_nn_conv_args *a, int64_t channels, int64_t filters, int64_t *groups) {
    *groups = a->groups ? a->groups : 1;
    if (*groups > 0 && channels % *groups == 0 && filters % *groups == 0) return true;
    build_error(&s->b, TN_ERR_SHAPE, "%" PRId64 " groups do not divide %" PRId64 " channels and %" PRId64 " filters",
                *groups, channels, filters);
    return false;
}

static bool open_window(nn_scope *s, const tn_nn_conv_args *a, int n, window *w) {
    w->n = n;
    return nn_check(s, a->x, n + 2, n + 2) && take_sizes(s, "kernel", a->kernel, n, 0, w->taps) &&
           take_sizes(s, "stride", a->stride, n, 1, w->stride) &&
           take_sizes(s, "dilation", a->dilation, n, 1, w->dilation);
}

/* groups 0: those of the call. */
static tn_val convolve(nn_scope *s, const tn_nn_conv_args *a, int n, int64_t filters, int64_t groups) {
    window w = {0};
    int64_t channels;
    if (!nn_positive(s, "filters", filters) || !nn_extent(s, a->x, 1, "the number of channels", &channels) ||
        !open_window(s, a, n, &w) || !set_padding(s, &w, a->x, a->padding, a->pad))
        return BUILD_INVALID;
    if (!groups && !take_groups(s, a, channels, filters, &groups)) return BUILD_INVALID;
    nn_parameter_args kernel = {.name = "kernel",
                                .init = a->kernel_init,
                                .init_default = "glorot_uniform",
                                .penalty = a->penalty,
                                .rank = n + 2,
                                .dims = {filters, channels / groups}};
    int64_t fan_in = channels / groups;
    for (int i = 0; i < n; i++) fan_in *= kernel.dims[2 + i] = w.taps[i];
    tn_val k = nn_parameter(s, kernel);
    tn_val y = tn_conv(a->x, k, .stride = list(w.stride, n), .low_dims = w.low, .high_dims = w.high,
                       .dilation = list(w.dilation, n), .groups = groups);
    return nn_activate(&s->b, add_bias(s, y, a, filters, fan_in), a->activation);
}

tn_val tn_nn_conv1d_at(tn_location at, tn_model *m, tn_nn_conv_args a) {
    nn_scope s;
    return nn_open(&s, m, at, "conv1d", a.name, &a.x, 1) ? nn_close(&s, convolve(&s, &a, 1, a.filters, 0))
                                                         : BUILD_INVALID;
}

tn_val tn_nn_conv2d_at(tn_location at, tn_model *m, tn_nn_conv_args a) {
    nn_scope s;
    return nn_open(&s, m, at, "conv2d", a.name, &a.x, 1) ? nn_close(&s, convolve(&s, &a, 2, a.filters, 0))
                                                         : BUILD_INVALID;
}

static tn_val convolve_each(nn_scope *s, const tn_nn_conv_args *a) {
    int64_t channels;
    if (!nn_check(s, a->x, 4, 4) || !nn_extent(s, a->x, 1, "the number of channels", &channels)) return BUILD_INVALID;
    if (a->filters || a->groups || a->multiplier < 0)
        return build_error(&s->b, TN_ERR_ARGUMENT,
                           "the number of filters is that of the channels times `multiplier`, which is not negative");
    return convolve(s, a, 2, channels * (a->multiplier ? a->multiplier : 1), channels);
}

tn_val tn_nn_depthwise_conv2d_at(tn_location at, tn_model *m, tn_nn_conv_args a) {
    nn_scope s;
    return nn_open(&s, m, at, "depthwise_conv2d", a.name, &a.x, 1) ? nn_close(&s, convolve_each(&s, &a))
                                                                   : BUILD_INVALID;
}

/* [c, o / g, taps...] as the kernel of the convolution that makes the same: [o, c / g, taps...], taps reversed. */
static tn_val turn_kernel(tn_val k, int64_t channels, int64_t filters, int64_t groups, const int64_t *taps) {
    int64_t c = channels / groups, o = filters / groups;
    tn_val split = tn_reshape(k, TN_SHAPE(TN_SIZE(groups), TN_SIZE(c), TN_SIZE(o), TN_SIZE(taps[0]), TN_SIZE(taps[1])));
    tn_val turned = tn_reverse(tn_transpose(split, TN_INTS(0, 2, 1, 3, 4)), TN_INTS(3, 4));
    return tn_reshape(turned, TN_SHAPE(TN_SIZE(filters), TN_SIZE(c), TN_SIZE(taps[0]), TN_SIZE(taps[1])));
}

/* Padding of the convolution over the spread input: reach - 1 - pad before, and output_pad more after. "same" has
 * extent * stride outputs: of reach - stride elements too many, the smaller half goes before. */
static bool spread_padding(nn_scope *s, const tn_nn_conv_args *a, const window *w, int64_t low[2], int64_t high[2]) {
    bool is_same = a->padding && strcmp(a->padding, "same") == 0;
    if (a->padding && !is_same && strcmp(a->padding, "valid") != 0) {
        build_error(&s->b, TN_ERR_ARGUMENT, "padding \"%s\" is none of valid, same", a->padding);
        return false;
    }
    for (int i = 0; i < 2; i++) {
        int64_t more = a->output_pad[i], surplus = reach(w, i) - w->stride[i];
        if (a->pad[i] < 0 || more < 0 || more >= (w->stride[i] > w->dilation[i] ? w->stride[i] : w->dilation[i])) {
            build_error(&s->b, TN_ERR_ARGUMENT,
                        "axis %d: pad %" PRId64 " and output_pad %" PRId64
                        " must be at least 0, output_pad below stride or dilation",
                        i, a->pad[i], more);
            return false;
        }
        int64_t before = is_same && surplus > 0 ? surplus / 2 : a->pad[i];
        int64_t after = is_same ? surplus - before : a->pad[i];
        low[i] = reach(w, i) - 1 - before;
        high[i] = reach(w, i) - 1 - after + (is_same ? 0 : more);
    }
    return true;
}

static tn_val convolve_back(nn_scope *s, const tn_nn_conv_args *a) {
    window w = {0};
    int64_t channels, groups, low[2], high[2];
    if (!nn_positive(s, "filters", a->filters) || !open_window(s, a, 2, &w) ||
        !nn_extent(s, a->x, 1, "the number of channels", &channels) ||
        !take_groups(s, a, channels, a->filters, &groups) || !spread_padding(s, a, &w, low, high))
        return BUILD_INVALID;
    int64_t area = w.taps[0] * w.taps[1], o = a->filters / groups;
    tn_val k = nn_parameter(s, (nn_parameter_args){.name = "kernel",
                                                   .init = a->kernel_init,
                                                   .init_default = "glorot_uniform",
                                                   .penalty = a->penalty,
                                                   .fan_in = channels * area,
                                                   .fan_out = o * area,
                                                   .rank = 4,
                                                   .dims = {channels, o, w.taps[0], w.taps[1]}});
    tn_val y =
        tn_conv(a->x, turn_kernel(k, channels, a->filters, groups, w.taps), .low = list(low, 2), .high = list(high, 2),
                .dilation = list(w.dilation, 2), .input_dilation = list(w.stride, 2), .groups = groups);
    return nn_activate(&s->b, add_bias(s, y, a, a->filters, channels * area), a->activation);
}

tn_val tn_nn_conv_transpose2d_at(tn_location at, tn_model *m, tn_nn_conv_args a) {
    nn_scope s;
    return nn_open(&s, m, at, "conv_transpose2d", a.name, &a.x, 1) ? nn_close(&s, convolve_back(&s, &a))
                                                                   : BUILD_INVALID;
}

/* ---- Poolings ------------------------------------------------------------------------------------------- */

static tn_val pool(nn_scope *s, tn_op op, const tn_nn_pool_args *a) {
    window w = {.n = tn_rank(a->x) - 2};
    int64_t stride[MAX_SPATIAL];
    if (!nn_check(s, a->x, 3, 2 + MAX_SPATIAL) || !take_sizes(s, "window", a->window, w.n, 0, w.taps))
        return BUILD_INVALID;
    for (int i = 0; i < MAX_SPATIAL; i++) {
        w.dilation[i] = 1;
        stride[i] = a->stride[i] || i >= w.n ? a->stride[i] : w.taps[i]; /* 0: that of the window */
    }
    if (!take_sizes(s, "stride", stride, w.n, 1, w.stride) || !set_padding(s, &w, a->x, a->padding, a->pad))
        return BUILD_INVALID;
    return tn_pool_at(TN_HERE, op, a->x,
                      (tn_window_args){.window = list(w.taps, w.n),
                                       .stride = list(w.stride, w.n),
                                       .low_dims = w.low,
                                       .high_dims = w.high,
                                       .count_padding = a->count_padding});
}

tn_val tn_nn_max_pool_at(tn_location at, tn_model *m, tn_nn_pool_args a) {
    nn_scope s;
    return nn_open(&s, m, at, "max_pool", a.name, &a.x, 1) ? nn_close(&s, pool(&s, TN_OP_max_pool, &a)) : BUILD_INVALID;
}

tn_val tn_nn_avg_pool_at(tn_location at, tn_model *m, tn_nn_pool_args a) {
    nn_scope s;
    return nn_open(&s, m, at, "avg_pool", a.name, &a.x, 1) ? nn_close(&s, pool(&s, TN_OP_avg_pool, &a)) : BUILD_INVALID;
}

static tn_val pool_all(nn_scope *s, tn_val x, bool takes_mean) {
    int64_t axes[TN_MAX_RANK];
    if (!nn_check(s, x, 3, -1)) return BUILD_INVALID;
    int n = expand_axes_from(x, 2, axes);
    return takes_mean ? tn_mean(x, ((tn_ints){n, axes}), false) : tn_reduce("max", x, ((tn_ints){n, axes}), false);
}

tn_val tn_nn_global_max_pool_at(tn_location at, tn_model *m, tn_val x) {
    nn_scope s;
    return nn_open(&s, m, at, "global_max_pool", NULL, &x, 1) ? nn_close(&s, pool_all(&s, x, false)) : BUILD_INVALID;
}

tn_val tn_nn_global_avg_pool_at(tn_location at, tn_model *m, tn_val x) {
    nn_scope s;
    return nn_open(&s, m, at, "global_avg_pool", NULL, &x, 1) ? nn_close(&s, pool_all(&s, x, true)) : BUILD_INVALID;
}
