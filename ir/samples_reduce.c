/* Samples of reductions, windows, sorting and normalisations. */
#include "ir/samples_shape.h"

#include "ir/dtype.h"

static tn_val input_of_rank(sampler *s, tn_graph *g, int least_rank, int most_rank) {
    sample_shape shape = sampler_shape(s, least_rank, most_rank, 0);
    return sampler_input(s, g, s->dtype, &shape);
}

static int any_axis(sampler *s, tn_val x) { return (int)sampler_range(s, 0, tn_rank(x) - 1); }

/* A kind among the first n that the dtype knows. */
static const char *any_kind(sampler *s, int n) {
    for (;;) {
        int64_t kind = sampler_range(s, 0, n - 1);
        bool adds = kind == REDUCE_SUM || kind == REDUCE_PROD, is_logical = kind == REDUCE_AND || kind == REDUCE_OR;
        if (adds && s->dtype == TN_BOOL) continue;
        if (is_logical && dtype_is_float(s->dtype)) continue;
        return attr_option(ATTR_kind, kind);
    }
}

/* ---- Reductions -------------------------------------------------------------------------------- */

bool sample_reduce(sampler *s, tn_graph *g, tn_op op) {
    tn_val x = input_of_rank(s, g, 1, 4);
    int64_t axes[TN_MAX_RANK];
    const char *kind = any_kind(s, 8);
    tn_attr_arg attrs[4] = {{.name = "kind", .text = kind}, {.name = "axes", .ints = axes}};
    if (kind == attr_option(ATTR_kind, REDUCE_ARGMAX) || kind == attr_option(ATTR_kind, REDUCE_ARGMIN)) {
        axes[0] = any_axis(s, x);
        attrs[1].n = 1;
        attrs[2] = (tn_attr_arg){.name = "select_last", .i = sampler_range(s, 0, 1)};
    } else {
        attrs[1].n = sampler_axes(s, tn_rank(x), axes);
    }
    return sampler_done(g, tn_apply(TN_HERE, g, op, &x, 1, attrs));
}

bool sample_cumulate(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    tn_val x = input_of_rank(s, g, 1, 4);
    return sampler_done(g,
                        tn_cumulate(any_kind(s, 4), x, any_axis(s, x), sampler_chance(s, 50), sampler_chance(s, 50)));
}

/* Window, stride, padding and dilation for spatial axes of known extents, so that the window
 * fits; padding is less than the window's reach. */
typedef struct drawn_window {
    int64_t window[TN_MAX_RANK], stride[TN_MAX_RANK], dilation[TN_MAX_RANK];
    int64_t low[TN_MAX_RANK], high[TN_MAX_RANK];
} drawn_window;

static void draw_window(sampler *s, int rank, const int64_t *extents, drawn_window *w) {
    for (int i = 0; i < rank; i++) {
        w->window[i] = sampler_range(s, 1, 3);
        w->dilation[i] = sampler_chance(s, 20) ? 2 : 1;
        w->stride[i] = sampler_range(s, 1, 3);
        int64_t reach = (w->window[i] - 1) * w->dilation[i] + 1;
        w->low[i] = sampler_range(s, 0, reach - 1);
        w->high[i] = sampler_range(s, 0, reach - 1);
        if (extents[i] + w->low[i] + w->high[i] < reach) {
            w->window[i] = 1;
            w->dilation[i] = 1;
            w->low[i] = extents[i] > 0 ? 0 : 1;
        }
    }
}

bool sample_window(sampler *s, tn_graph *g, tn_op op) {
    sample_shape shape = sampler_shape(s, 1, 4, 0);
    tn_val x = sampler_input(s, g, s->dtype, &shape);
    drawn_window w;
    draw_window(s, shape.rank, shape.values, &w);
    tn_attr_arg attrs[] = {{.name = "kind", .text = any_kind(s, 4)},
                           {.name = "window", .ints = w.window, .n = shape.rank},
                           {.name = "stride", .ints = w.stride, .n = shape.rank},
                           {.name = "dilation", .ints = w.dilation, .n = shape.rank},
                           {.name = "low", .ints = w.low, .n = shape.rank},
                           {.name = "high", .ints = w.high, .n = shape.rank},
                           {0}};
    return sampler_done(g, tn_apply(TN_HERE, g, op, &x, 1, attrs));
}

/* Every window covers an element, so that no mean is taken of nothing. */
bool sample_pool(sampler *s, tn_graph *g, tn_op op) {
    sample_shape shape = sampler_shape(s, 2, 2, 0);
    for (int64_t spatial = sampler_range(s, 0, 2); spatial > 0; spatial--) sampler_append(s, &shape, 1, 9);
    tn_val x = sampler_input(s, g, s->dtype, &shape);
    int n = shape.rank - 2;
    drawn_window w;
    draw_window(s, n, shape.values + 2, &w);
    for (int i = 0; i < n; i++) {
        if (w.dilation[i] == 1 && w.stride[i] <= w.window[i]) continue;
        w.low[i] = 0;
        w.high[i] = 0;
        w.dilation[i] = 1;
        if (w.window[i] > shape.values[2 + i]) w.window[i] = 1;
    }
    tn_window_args args = {.window = {n, w.window},
                           .stride = {n, w.stride},
                           .dilation = {n, w.dilation},
                           .low = {n, w.low},
                           .high = {n, w.high},
                           .count_padding = op == TN_OP_avg_pool && sampler_chance(s, 50)};
    return sampler_done(g, tn_pool_at(TN_HERE, op, x, args));
}

bool sample_global_pool(sampler *s, tn_graph *g, tn_op op) {
    return sampler_done(g, tn_unary_at(TN_HERE, op, input_of_rank(s, g, 2, 4)));
}

/* ---- Sorting ----------------------------------------------------------------------------------- */

bool sample_sort(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    sample_shape shape = sampler_shape(s, 1, 3, 0);
    tn_val values[3];
    int n = (int)sampler_range(s, 1, 3);
    for (int i = 0; i < n; i++)
        values[i] = sampler_input(s, g, i == 0 ? s->dtype : (tn_dtype)sampler_range(s, 0, TN_DTYPE_COUNT - 1), &shape);
    return sampler_done(g, tn_sort(values, n, (int)sampler_range(s, 0, shape.rank - 1), sampler_chance(s, 50)));
}

bool sample_top_k(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    sample_shape shape = sampler_shape(s, 1, 3, 0);
    int axis = (int)sampler_range(s, 0, shape.rank - 1);
    tn_val x = sampler_input(s, g, s->dtype, &shape);
    tn_dim k = dim_const(g->module->dims, sampler_range(s, 0, shape.values[axis]));
    if (sampler_chance(s, 20)) k = tn_dim_of(x, axis);
    return sampler_done(g, tn_top_k(x, axis, k, sampler_chance(s, 70)));
}

/* ---- Composites -------------------------------------------------------------------------------- */

bool sample_axis_float(sampler *s, tn_graph *g, tn_op op) {
    tn_val x = input_of_rank(s, g, 1, 4);
    return sampler_done(g, tn_axis_at(TN_HERE, op, x, any_axis(s, x)));
}

/* Means of nothing are NaN, which says little: the extents are at least 1. */
bool sample_axes_float(sampler *s, tn_graph *g, tn_op op) {
    int64_t axes[TN_MAX_RANK];
    sample_shape shape = sampler_shape(s, 0, 4, 1);
    tn_val x = sampler_input(s, g, s->dtype, &shape);
    int n = sampler_axes(s, shape.rank, axes);
    return sampler_done(g, tn_axes_at(TN_HERE, op, x, ((tn_ints){n, axes}), sampler_chance(s, 50)));
}

/* The shape from an axis on. */
static sample_shape tail(const sample_shape *shape, int axis) {
    sample_shape t = {.rank = shape->rank - axis};
    for (int i = 0; i < t.rank; i++) {
        t.args[i] = shape->args[axis + i];
        t.values[i] = shape->values[axis + i];
    }
    return t;
}

static bool norm(sampler *s, tn_graph *g, bool has_bias) {
    sample_shape shape = sampler_shape(s, 1, 4, 0);
    int axis = (int)sampler_range(s, 0, shape.rank - 1);
    sample_shape part = tail(&shape, axis);
    tn_val x = sampler_input(s, g, s->dtype, &shape), scale = sampler_input(s, g, s->dtype, &part);
    if (!has_bias) return sampler_done(g, tn_rms_norm(x, scale, axis, 1e-5));
    return sampler_done(g, tn_layer_norm(x, scale, sampler_input(s, g, s->dtype, &part), axis, 1e-5));
}

bool sample_layer_norm(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    return norm(s, g, true);
}

bool sample_rms_norm(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    return norm(s, g, false);
}

bool sample_batch_norm(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    sample_shape shape = sampler_shape(s, 2, 4, 0), channels = {.rank = 1};
    channels.args[0] = shape.args[1];
    channels.values[0] = shape.values[1];
    tn_val x = sampler_input(s, g, s->dtype, &shape), c[4];
    for (int i = 0; i < 4; i++) c[i] = sampler_input(s, g, s->dtype, &channels);
    return sampler_done(g, tn_batch_norm(x, c[0], c[1], c[2], c[3], 1e-5));
}
