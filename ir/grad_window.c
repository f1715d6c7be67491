/* Gradient rule of window (pooling).
 *
 * A window is looked at tap by tap: tap t of all windows is a strided slice of the padded operand, and what is due to
 * it is spread over the operand again by padding. Sums need no taps: the gradient of a windowed sum is a windowed
 * sum.
 */
#include "ir/build.h"
#include "ir/columns.h"
#include "ir/grad.h"

#include <math.h>

enum { MOST_TAPS = 4096 };

typedef struct windows {
    int rank;
    int64_t window[TN_MAX_RANK], stride[TN_MAX_RANK], dilation[TN_MAX_RANK];
    tn_dim low[TN_MAX_RANK], high[TN_MAX_RANK];
    tn_type from, to; /* of operand and result */
    int64_t n_taps;
} windows;

static windows read_windows(const grad_args *c) {
    static const struct {
        attr_name name;
        size_t offset;
    } rows[] = {{ATTR_window, offsetof(windows, window)},
                {ATTR_stride, offsetof(windows, stride)},
                {ATTR_dilation, offsetof(windows, dilation)}};
    windows w = {.from = tn_type_of(c->x[0]), .to = tn_type_of(c->y[0]), .n_taps = 1};
    w.rank = w.from.rank;
    const attr *low = attr_find(&c->attrs, ATTR_low), *high = attr_find(&c->attrs, ATTR_high);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        int64_t *items = (int64_t *)((char *)&w + rows[r].offset);
        const attr *given = attr_find(&c->attrs, rows[r].name);
        for (int i = 0; i < w.rank; i++) items[i] = given ? given->ints.items[i] : 1;
    }
    for (int i = 0; i < w.rank; i++) {
        w.low[i] = low ? low->dims.items[i] : dim_const(c->g->module->dims, 0);
        w.high[i] = high ? high->dims.items[i] : dim_const(c->g->module->dims, 0);
        if (w.n_taps <= MOST_TAPS) w.n_taps *= w.window[i];
    }
    return w;
}

/* ---- Sums ----------------------------------------------------------------------------------------- */

/* An operand's extent, at least 1 where it is a symbol's: a window that reaches over several elements has no place in
 * none. */
static tn_dim extent_of(dim_table *t, const windows *w, int i) {
    bool is_plain = w->window[i] == 1 || dim_is_const(t, w->from.dims[i], NULL);
    return is_plain ? w->from.dims[i] : dim_max(t, w->from.dims[i], dim_const(t, 1));
}

/* dx[i] is the sum of dy over the windows that cover i: those that start up to a window's reach before it. */
static void window_sum(grad_args *c, const windows *w) {
    dim_table *t = c->g->module->dims;
    tn_dim low[TN_MAX_RANK], high[TN_MAX_RANK], none[TN_MAX_RANK];
    int64_t interior[TN_MAX_RANK];
    bool is_cut = false;
    for (int i = 0; i < w->rank; i++) {
        int64_t reach = (w->window[i] - 1) * w->dilation[i];
        tn_dim extent = extent_of(t, w, i);
        interior[i] = w->stride[i] - 1;
        low[i] = dim_sub(t, dim_const(t, reach), w->low[i]);
        high[i] =
            dim_sub(t, dim_add_const(t, extent, reach), dim_add(t, low[i], dim_spread(t, w->to.dims[i], interior[i])));
        none[i] = dim_const(t, 0);
        is_cut |= extent != w->from.dims[i];
    }
    tn_val spread = grad_pad_zeros(c->dy[0], low, high, interior);
    tn_attr_arg attrs[] = {{.name = "kind", .text = "sum"},
                           {.name = "window", .ints = w->window, .n = w->rank},
                           {.name = "dilation", .ints = w->dilation, .n = w->rank},
                           {0}};
    c->dx[0] = tn_apply(TN_HERE, c->g, TN_OP_window, &spread, 1, attrs);
    if (is_cut) c->dx[0] = tn_slice_dims(c->dx[0], none, w->from.dims, NULL);
}

/* ---- Taps ----------------------------------------------------------------------------------------- */

/* First element of tap t in the padded operand. */
static void tap_start(const windows *w, int64_t t, int64_t *start) {
    for (int i = w->rank; i-- > 0; t /= w->window[i]) start[i] = t % w->window[i] * w->dilation[i];
}

static tn_val padded(tn_val x, const windows *w, double number) {
    tn_val values[] = {x, tn_scalar(x.graph, (tn_dtype)w->from.dtype, number)};
    tn_attr_arg attrs[] = {
        {.name = "low", .dims = w->low, .n = w->rank}, {.name = "high", .dims = w->high, .n = w->rank}, {0}};
    return tn_apply(TN_HERE, x.graph, TN_OP_pad, values, 2, attrs);
}

static tn_val take_tap(tn_val whole, const windows *w, int64_t t) {
    dim_table *dims = whole.graph->module->dims;
    int64_t first[TN_MAX_RANK];
    tn_dim start[TN_MAX_RANK], limit[TN_MAX_RANK];
    tap_start(w, t, first);
    for (int i = 0; i < w->rank; i++) {
        start[i] = dim_const(dims, first[i]);
        limit[i] = dim_add(dims, start[i], dim_spread(dims, w->to.dims[i], w->stride[i] - 1));
    }
    return tn_slice_dims(whole, start, limit, w->stride);
}

/* v, an element for each window, at the places of tap t in a tensor of the operand's shape. */
static tn_val spread_tap(tn_val v, const windows *w, int64_t t) {
    dim_table *dims = v.graph->module->dims;
    int64_t first[TN_MAX_RANK], interior[TN_MAX_RANK];
    tn_dim low[TN_MAX_RANK], high[TN_MAX_RANK];
    tap_start(w, t, first);
    for (int i = 0; i < w->rank; i++) {
        interior[i] = w->stride[i] - 1;
        low[i] = dim_sub(dims, dim_const(dims, first[i]), w->low[i]);
        high[i] = dim_sub(dims, w->from.dims[i], dim_add(dims, low[i], dim_spread(dims, w->to.dims[i], interior[i])));
    }
    return grad_pad_zeros(v, low, high, interior);
}

static tn_val sum_of(tn_val sum, tn_val term) { return tn_is_valid(sum) ? tn_add(sum, term) : term; }

/* The number of the first tap that holds the extreme, for each window; then each tap asks whether it is that. */
static void window_extreme(grad_args *c, const windows *w, double worst) {
    tn_val whole = padded(c->x[0], w, worst), sum = {NULL, VALUE_NONE};
    tn_val winner = tn_broadcast_to(tn_scalar_int(c->g, TN_I32, 0), w->rank, w->to.dims);
    for (int64_t t = w->n_taps; t-- > 0;)
        winner = tn_select(tn_equal(take_tap(whole, w, t), c->y[0]), tn_scalar_int(c->g, TN_I32, t), winner);
    for (int64_t t = 0; t < w->n_taps; t++)
        sum = sum_of(sum, spread_tap(grad_where(tn_equal(winner, tn_scalar_int(c->g, TN_I32, t)), c->dy[0]), w, t));
    c->dx[0] = sum;
}

static void window_max(grad_args *c, const windows *w) { window_extreme(c, w, -INFINITY); }
static void window_min(grad_args *c, const windows *w) { window_extreme(c, w, INFINITY); }

/* Each tap is due the product of the taps before it and of those after it. */
static void window_product(grad_args *c, const windows *w) {
    tn_val whole = padded(c->x[0], w, 1), before = grad_fill(c->y[0], 1), after = before, sum = {NULL, VALUE_NONE};
    tn_val *products = ARENA_ARRAY(&c->g->module->memory, tn_val, (size_t)w->n_taps);
    if (!products) {
        module_no_memory(c->g->module);
        return;
    }
    for (int64_t t = 0; t < w->n_taps; t++) {
        products[t] = before;
        before = tn_mul(before, take_tap(whole, w, t));
    }
    for (int64_t t = w->n_taps; t-- > 0;) {
        sum = sum_of(sum, spread_tap(tn_mul(c->dy[0], tn_mul(products[t], after)), w, t));
        after = tn_mul(take_tap(whole, w, t), after);
    }
    c->dx[0] = sum;
}

typedef void window_rule(grad_args *c, const windows *w);
static window_rule *const window_rules[] = {
    [REDUCE_SUM] = window_sum,
    [REDUCE_PROD] = window_product,
    [REDUCE_MAX] = window_max,
    [REDUCE_MIN] = window_min,
};

void grad_window(grad_args *c) {
    windows w = read_windows(c);
    reduce_kind kind = (reduce_kind)attr_int(&c->attrs, ATTR_kind, 0);
    if (kind != REDUCE_SUM && w.n_taps > MOST_TAPS)
        module_error(c->g->module, TN_ERR_LIMIT, c->g->origin,
                     "window: the gradient of %s looks at each element of a window, at most %d of them",
                     attr_option(ATTR_kind, kind), MOST_TAPS);
    else
        window_rules[kind](c, &w);
}
