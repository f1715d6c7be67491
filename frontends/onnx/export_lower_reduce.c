/* Lowering of reductions, running values, windows and convolutions that ONNX has no op for. */
#include "frontends/onnx/export_ops.h"

#include <math.h>

enum { MOST_TAPS = 256 };

static bool done(lowering *c, tn_val v) {
    c->results[0] = v;
    return true;
}

static tn_dtype dtype_of(tn_val v) { return (tn_dtype)tn_type_of(v).dtype; }
static tn_ints ints_of(const int64_t *items, int n) { return (tn_ints){n, items}; }

/* ---- How kinds combine ----------------------------------------------------------------------------------- */

static tn_val combine(reduce_kind kind, tn_val a, tn_val b) {
    static const tn_op ops[] = {
        [REDUCE_SUM] = TN_OP_add, [REDUCE_PROD] = TN_OP_mul, [REDUCE_MAX] = TN_OP_max,
        [REDUCE_MIN] = TN_OP_min, [REDUCE_AND] = TN_OP_and,  [REDUCE_OR] = TN_OP_or,
    };
    return tn_binary_at(TN_HERE, ops[kind], a, b);
}

static tn_val least(tn_graph *g, tn_dtype dtype, bool is_greatest) {
    int bits = (int)tn_dtype_bits(dtype);
    if (dtype_is_float(dtype)) return tn_scalar(g, dtype, is_greatest ? INFINITY : -INFINITY);
    if (dtype == TN_BOOL) return tn_scalar_int(g, dtype, is_greatest);
    if (dtype_in(DTYPES_UINT, dtype)) return tn_convert(tn_scalar_int(g, TN_I64, is_greatest ? -1 : 0), dtype);
    int64_t most = INT64_MAX >> (64 - bits);
    return tn_scalar_int(g, dtype, is_greatest ? most : -most - 1);
}

/* What changes nothing when it is combined. */
static tn_val neutral(tn_graph *g, reduce_kind kind, tn_dtype dtype) {
    switch (kind) {
    case REDUCE_SUM:
    case REDUCE_OR: return tn_scalar_int(g, dtype, 0);
    case REDUCE_PROD: return tn_scalar_int(g, dtype, 1);
    case REDUCE_AND: return dtype == TN_BOOL ? tn_scalar_int(g, dtype, 1) : tn_not(tn_scalar_int(g, dtype, 0));
    default: return least(g, dtype, kind == REDUCE_MIN);
    }
}

/* Sums and products of small floats are kept in larger ones. */
static tn_val widened(reduce_kind kind, tn_val x) {
    return kind == REDUCE_SUM || kind == REDUCE_PROD ? tn_convert(x, dtype_accumulator(dtype_of(x))) : x;
}

/* ---- One after the other ----------------------------------------------------------------------------------- */

/* The body of a scan over rows: the carried row combined with the next; with `is_running` also what it was or is
 * after each step. */
static tn_graph *running_body(lowering *c, reduce_kind kind, tn_dtype dtype, tn_dim row, bool is_running,
                              bool is_exclusive) {
    tn_graph *body = tn_graph_sub(c->g, "running");
    int64_t n;
    if (!body) return NULL;
    tn_dim own = dim_is_const(export_dims(c->x), row, &n) ? row : dim_symbol(export_dims(c->x), "row");
    tn_type type = type_make(dtype, 1, &own);
    tn_val carried = {body, graph_add_param(body, "carried", &type, BINDING_RUN)};
    tn_val next = combine(kind, carried, (tn_val){body, graph_add_param(body, "row", &type, BINDING_RUN)});
    tn_output(body, "next", next);
    if (is_running) tn_output(body, "running", is_exclusive ? carried : next);
    return body;
}

/* x[n, row] combined along its first axis: the last row carried, or all of them. */
static tn_val scan_rows(lowering *c, reduce_kind kind, tn_val x, bool is_running, bool is_exclusive, bool is_reverse) {
    tn_type type = tn_type_of(x);
    if (!tn_is_valid(x)) return x;
    tn_graph *body = running_body(c, kind, dtype_of(x), type.dims[1], is_running, is_exclusive);
    if (!body) return (tn_val){NULL, VALUE_NONE};
    tn_val start = tn_broadcast_to(neutral(c->g, kind, dtype_of(x)), 1, &type.dims[1]);
    tn_val v = tn_scan(body, &start, 1, &x, 1, type.dims[0], is_reverse);
    return is_running ? tn_result(v, 1) : v;
}

/* The axes in `first` moved to the front, in one with the others in one. */
static tn_val as_rows(lowering *c, tn_val x, const int64_t *first, int n, int64_t *perm) {
    dim_table *t = export_dims(c->x);
    int rank = tn_rank(x), at = 0;
    uint32_t mask = 0;
    for (int i = 0; i < n; i++) mask |= UINT32_C(1) << first[i];
    for (int i = 0; i < n; i++) perm[at++] = first[i];
    for (int i = 0; i < rank; i++)
        if (!(mask >> i & 1)) perm[at++] = i;
    x = tn_transpose(x, ints_of(perm, rank));
    if (!tn_is_valid(x)) return x;
    tn_type type = tn_type_of(x);
    tn_dim rows[] = {dim_product(t, type.dims, n), dim_product(t, type.dims + n, rank - n)};
    return tn_reshape_dims(x, 2, rows);
}

/* Over no axes nothing changes. Integers are combined bit by bit one after the other: ONNX reduces numbers only. */
bool lower_reduce(lowering *c) {
    tn_val x = c->operands[0];
    const attr *axes = attr_find(&c->n->attrs, ATTR_axes);
    reduce_kind kind = (reduce_kind)attr_int(&c->n->attrs, ATTR_kind, 0);
    int64_t perm[TN_MAX_RANK];
    if (axes->ints.n == 0) return done(c, x);
    if ((kind != REDUCE_AND && kind != REDUCE_OR) || dtype_of(x) == TN_BOOL) return false;
    tn_type type = *graph_type(c->from, c->n->first_result);
    tn_val rows = as_rows(c, x, axes->ints.items, (int)axes->ints.n, perm);
    return done(c, tn_reshape_dims(scan_rows(c, kind, rows, false, false, false), type.rank, type.dims));
}

/* Only sums run in ONNX. */
bool lower_cumulate(lowering *c) {
    reduce_kind kind = (reduce_kind)attr_int(&c->n->attrs, ATTR_kind, 0);
    int64_t axis = attr_int(&c->n->attrs, ATTR_axis, 0), perm[TN_MAX_RANK], back[TN_MAX_RANK];
    int rank = tn_rank(c->operands[0]);
    if (kind == REDUCE_SUM) return false;
    tn_val x = widened(kind, c->operands[0]);
    tn_val rows = as_rows(c, x, &axis, 1, perm);
    tn_val v = scan_rows(c, kind, rows, true, attr_int(&c->n->attrs, ATTR_exclusive, 0) != 0,
                         attr_int(&c->n->attrs, ATTR_reverse, 0) != 0);
    tn_type type = tn_type_of(x);
    tn_dim dims[TN_MAX_RANK];
    for (int i = 0; i < rank; i++) dims[i] = type.dims[perm[i]];
    for (int i = 0; i < rank; i++) back[perm[i]] = i;
    v = tn_transpose(tn_reshape_dims(v, rank, dims), ints_of(back, rank));
    return done(c, tn_convert(v, dtype_of(c->operands[0])));
}

/* ---- Windows ---------------------------------------------------------------------------------------------------- */

/* What a window does along one axis. */
typedef struct window_axis {
    int64_t window, stride, dilation;
    tn_dim low, high;
} window_axis;

static window_axis read_axis(lowering *c, int i) {
    const attr_list *attrs = &c->n->attrs;
    tn_dim none = dim_const(export_dims(c->x), 0);
    return (window_axis){attr_entry(attrs, ATTR_window, i, 1), attr_entry(attrs, ATTR_stride, i, 1),
                         attr_entry(attrs, ATTR_dilation, i, 1), attr_dim_entry(attrs, ATTR_low, i, none),
                         attr_dim_entry(attrs, ATTR_high, i, none)};
}

static bool is_active(lowering *c, const window_axis *a) {
    tn_dim none = dim_const(export_dims(c->x), 0);
    return a->window != 1 || a->stride != 1 || a->low != none || a->high != none;
}

/* The same positions of all windows along an axis. */
static tn_val tap(lowering *c, tn_val x, int axis, const window_axis *a, int64_t number) {
    dim_table *t = export_dims(c->x);
    tn_type type = tn_type_of(x);
    tn_dim start[TN_MAX_RANK];
    int64_t stride[TN_MAX_RANK];
    for (int i = 0; i < type.rank; i++) {
        start[i] = dim_const(t, i == axis ? number * a->dilation : 0);
        stride[i] = i == axis ? a->stride : 1;
    }
    type.dims[axis] = dim_add_const(t, type.dims[axis], -(a->window - 1 - number) * a->dilation);
    return tn_slice_dims(x, start, type.dims, stride);
}

/* Windows are combined axis by axis. */
static tn_val window_along(lowering *c, reduce_kind kind, tn_val x, int axis, const window_axis *a) {
    dim_table *t = export_dims(c->x);
    tn_type type = tn_type_of(x);
    tn_dim low[TN_MAX_RANK], high[TN_MAX_RANK], none = dim_const(t, 0);
    for (int i = 0; i < type.rank; i++) {
        low[i] = i == axis ? a->low : none;
        high[i] = i == axis ? a->high : none;
    }
    if (a->low != none || a->high != none) {
        tn_attr_arg attrs[] = {
            {.name = "low", .dims = low, .n = type.rank}, {.name = "high", .dims = high, .n = type.rank}, {0}};
        x = tn_apply(TN_HERE, c->g, TN_OP_pad, (tn_val[]){x, neutral(c->g, kind, dtype_of(x))}, 2, attrs);
    }
    if (!tn_is_valid(x)) return x;
    tn_val v = tap(c, x, axis, a, 0);
    for (int64_t i = 1; i < a->window; i++) v = combine(kind, v, tap(c, x, axis, a, i));
    return v;
}

/* Pooling of x as it stands, when it suits windows of the axes behind the first two. */
static tn_val pool(lowering *c, tn_op op, tn_val x) {
    int64_t ints[3][TN_MAX_RANK];
    tn_dim dims[2][TN_MAX_RANK];
    int n = tn_rank(x) - 2;
    for (int i = 0; i < n; i++) {
        window_axis a = read_axis(c, i + 2);
        ints[0][i] = a.window;
        ints[1][i] = a.stride;
        ints[2][i] = a.dilation;
        dims[0][i] = a.low;
        dims[1][i] = a.high;
    }
    return tn_pool_at(TN_HERE, op, x,
                      (tn_window_args){.window = {n, ints[0]},
                                       .stride = {n, ints[1]},
                                       .dilation = {n, ints[2]},
                                       .low_dims = dims[0],
                                       .high_dims = dims[1],
                                       .count_padding = op == TN_OP_avg_pool});
}

/* Windows of [n, c, spatial...] are ONNX's own: of the greatest, the least (of -x), or a sum (a mean times the
 * number). */
static bool as_pool(lowering *c, reduce_kind kind) {
    tn_val x = c->operands[0];
    bool is_sum = kind == REDUCE_SUM, is_most = kind == REDUCE_MAX || kind == REDUCE_MIN;
    const export_row *row = &export_rows[is_sum ? TN_OP_avg_pool : TN_OP_max_pool];
    double count = 1;
    if ((!is_sum && !is_most) || !dtype_in(row->runs, dtype_of(x)) || tn_rank(x) < 3 || tn_rank(x) > 5) return false;
    for (int i = 0; i < tn_rank(x); i++) {
        window_axis a = read_axis(c, i);
        tn_dim ends[] = {a.low, a.high};
        if (i < 2 && is_active(c, &a)) return false;
        for (int k = 0; k < 2 && i >= 2; k++) {
            int64_t padding;
            if (!dim_is_const(export_dims(c->x), ends[k], &padding) || padding < 0 || padding >= a.window) return false;
        }
        if (is_sum && a.dilation != 1 && c->x->options.opset < 19) return false;
        count *= (double)a.window;
    }
    if (kind == REDUCE_MIN) return done(c, tn_neg(pool(c, TN_OP_max_pool, tn_neg(x))));
    tn_val v = pool(c, is_sum ? TN_OP_avg_pool : TN_OP_max_pool, x);
    return done(c, is_sum ? tn_mul_scalar(v, count) : v);
}

bool lower_window(lowering *c) {
    reduce_kind kind = (reduce_kind)attr_int(&c->n->attrs, ATTR_kind, 0);
    tn_val x = c->operands[0];
    if (as_pool(c, kind)) return true;
    for (int i = 0; i < tn_rank(c->operands[0]); i++)
        if (read_axis(c, i).window > MOST_TAPS) return false;
    x = widened(kind, x);
    for (int i = 0; i < tn_rank(c->operands[0]); i++) {
        window_axis a = read_axis(c, i);
        if (is_active(c, &a) && tn_is_valid(x)) x = window_along(c, kind, x, i, &a);
    }
    return done(c, tn_convert(x, dtype_of(c->operands[0])));
}

/* ---- Convolution ------------------------------------------------------------------------------------------------- */

/* Whether ONNX takes the padding: numbers that crop nothing. */
static bool pads_fit(lowering *c) {
    static const attr_name ends[] = {ATTR_low, ATTR_high};
    for (int k = 0; k < 2; k++) {
        const attr *given = attr_find(&c->n->attrs, ends[k]);
        int64_t padding;
        for (uint32_t i = 0; given && i < given->dims.n; i++)
            if (!dim_is_const(export_dims(c->x), given->dims.items[i], &padding) || padding < 0) return false;
    }
    return true;
}

/* Without spatial axes: with one of one element. */
static tn_val conv_of_points(lowering *c) {
    tn_val x = tn_expand_dims(c->operands[0], TN_INTS(-1)), kernel = tn_expand_dims(c->operands[1], TN_INTS(-1));
    return tn_squeeze(tn_conv(x, kernel, .groups = attr_int(&c->n->attrs, ATTR_groups, 1)), TN_INTS(-1));
}

/* Borders and what is put between the elements become a pad of its own. */
static tn_val conv_of_padded(lowering *c) {
    tn_val x = c->operands[0];
    int rank = tn_rank(x), n = rank - 2;
    tn_dim ends[2][TN_MAX_RANK], none = dim_const(export_dims(c->x), 0);
    int64_t interior[TN_MAX_RANK], stride[TN_MAX_RANK], dilation[TN_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        ends[0][i] = i < 2 ? none : attr_dim_entry(&c->n->attrs, ATTR_low, i - 2, none);
        ends[1][i] = i < 2 ? none : attr_dim_entry(&c->n->attrs, ATTR_high, i - 2, none);
        interior[i] = i < 2 ? 0 : attr_entry(&c->n->attrs, ATTR_input_dilation, i - 2, 1) - 1;
    }
    for (int i = 0; i < n; i++) {
        stride[i] = attr_entry(&c->n->attrs, ATTR_stride, i, 1);
        dilation[i] = attr_entry(&c->n->attrs, ATTR_dilation, i, 1);
    }
    tn_attr_arg attrs[] = {{.name = "low", .dims = ends[0], .n = rank},
                           {.name = "high", .dims = ends[1], .n = rank},
                           {.name = "interior", .ints = interior, .n = rank},
                           {0}};
    x = tn_apply(TN_HERE, c->g, TN_OP_pad, (tn_val[]){x, tn_scalar_int(c->g, dtype_of(x), 0)}, 2, attrs);
    return tn_conv(x, c->operands[1], .stride = {n, stride}, .dilation = {n, dilation},
                   .groups = attr_int(&c->n->attrs, ATTR_groups, 1));
}

/* The last axis goes fastest. */
static void next_tap(int64_t *at, const int64_t *extent, int n) {
    for (int i = n - 1; i >= 0; i--) {
        at[i]++;
        if (at[i] < extent[i]) return;
        at[i] = 0;
    }
}

/* The elements that each tap of the kernel meets, side by side: [n, c, taps, positions...]. */
static tn_val patches(lowering *c, tn_val x, const tn_type *kernel, int64_t n_taps) {
    dim_table *t = export_dims(c->x);
    tn_type type = tn_type_of(x);
    int rank = type.rank, n = rank - 2;
    int64_t stride[TN_MAX_RANK], at[TN_MAX_RANK] = {0}, extent[TN_MAX_RANK] = {0};
    tn_val *parts = ARENA_ARRAY(&c->x->memory, tn_val, n_taps);
    if (!parts) {
        export_no_memory(c->x);
        return (tn_val){NULL, VALUE_NONE};
    }
    for (int i = 0; i < n; i++) dim_is_const(t, kernel->dims[2 + i], &extent[i]);
    for (int64_t tap = 0; tap < n_taps; tap++) {
        tn_dim start[TN_MAX_RANK], limit[TN_MAX_RANK];
        for (int i = 0; i < rank; i++) {
            int64_t dilation = i < 2 ? 1 : attr_entry(&c->n->attrs, ATTR_dilation, i - 2, 1);
            int64_t first = i < 2 ? 0 : at[i - 2] * dilation;
            stride[i] = i < 2 ? 1 : attr_entry(&c->n->attrs, ATTR_stride, i - 2, 1);
            start[i] = dim_const(t, first);
            limit[i] = i < 2 ? type.dims[i] : dim_add_const(t, type.dims[i], first - (extent[i - 2] - 1) * dilation);
        }
        parts[tap] = tn_expand_dims(tn_slice_dims(x, start, limit, stride), TN_INTS(2));
        next_tap(at, extent, n);
    }
    return tn_concat(parts, (int)n_taps, 2);
}

/* Of integers, which ONNX convolves in no way of its own: a product of patches and kernel, group by group. */
static bool conv_of_integers(lowering *c) {
    dim_table *t = export_dims(c->x);
    tn_type kernel = tn_type_of(c->operands[1]), result = *graph_type(c->from, c->n->first_result);
    int n = kernel.rank - 2;
    int64_t taps, groups = attr_int(&c->n->attrs, ATTR_groups, 1), perm[TN_MAX_RANK], spread = 0;
    if (groups < 1) groups = 1;
    for (int i = 0; i < n; i++) spread |= attr_entry(&c->n->attrs, ATTR_input_dilation, i, 1) - 1;
    if (n > 3 || !dim_is_const(t, dim_product(t, kernel.dims + 2, n), &taps) || taps > MOST_TAPS) return false;
    if (spread != 0 || attr_find(&c->n->attrs, ATTR_low) || attr_find(&c->n->attrs, ATTR_high))
        return done(c, conv_of_padded(c));
    tn_val x = patches(c, c->operands[0], &kernel, taps);
    if (!tn_is_valid(x)) return true;
    tn_type rows = tn_type_of(x);
    tn_dim g = dim_const(t, groups), split[TN_MAX_RANK] = {rows.dims[0], g, kernel.dims[1]},
           tables[] = {g, dim_exact_div(t, kernel.dims[0], g), kernel.dims[1], dim_const(t, taps)};
    if (tables[1] == DIM_INVALID) return false;
    for (int i = 0; i <= n; i++) split[3 + i] = rows.dims[2 + i];
    tn_val v = tn_dot(tn_reshape_dims(x, 4 + n, split), tn_reshape_dims(c->operands[1], 4, tables), TN_INTS(1),
                      TN_INTS(0), TN_INTS(2, 3), TN_INTS(2, 3));
    /* [groups, n, positions..., features]: back to [n, groups, features, positions...]. */
    perm[0] = 1;
    perm[1] = 0;
    perm[2] = 2 + n;
    for (int i = 0; i < n; i++) perm[3 + i] = 2 + i;
    return done(c, tn_reshape_dims(tn_transpose(v, ints_of(perm, 3 + n)), result.rank, result.dims));
}

bool lower_conv(lowering *c) {
    tn_type kernel = tn_type_of(c->operands[1]);
    bool is_spread = !attr_at_most(&c->n->attrs, ATTR_input_dilation, 1);
    if (tn_rank(c->operands[0]) == 2) return done(c, conv_of_points(c));
    if (!dtype_is_float(kernel.dtype)) return conv_of_integers(c);
    if (is_spread ? conv_is_transposed(export_dims(c->x), &kernel, &c->n->attrs) : pads_fit(c)) return false;
    return done(c, conv_of_padded(c));
}
