/* Decompositions of matmul and attention into dot. */
#include "ir/columns.h"
#include "ir/expand.h"

/* ---- matmul ----------------------------------------------------------------------------------- */

/* An operand of matmul: its batch axes come first, `inner` is the axis summed over. */
typedef struct factor {
    tn_val v;
    tn_type type;
    int n_batch;
    int n_core; /* axes that are no batch axes: 1 or 2 */
    int inner;
} factor;

static factor factor_of(tn_val v, bool is_left) {
    factor f = {.v = v, .type = tn_type_of(v)};
    f.n_core = f.type.rank >= 2 ? 2 : 1;
    f.n_batch = f.type.rank - f.n_core;
    f.inner = is_left ? f.type.rank - 1 : f.n_batch;
    return f;
}

/* f with other batch axes, to which its own are repeated or else reshaped; the core stays. */
static factor with_batch(factor f, const tn_dim *batch, int n, bool repeats) {
    tn_dim dims[TN_MAX_RANK];
    for (int i = 0; i < n; i++) dims[i] = batch[i];
    for (int i = 0; i < f.n_core; i++) dims[n + i] = f.type.dims[f.n_batch + i];
    f.v = repeats ? tn_broadcast_to(f.v, n + f.n_core, dims) : tn_reshape_dims(f.v, n + f.n_core, dims);
    f.inner += n - f.n_batch;
    f.n_batch = n;
    f.type = tn_type_of(f.v);
    return f;
}

static bool is_one(const tn_graph *g, tn_dim d) { return dim_is_value(g->module->dims, d, 1); }

/* Batch extent number j of n, 1 where the operand has no such axis. */
static tn_dim batch_extent(const factor *f, int j, int n) {
    int axis = j - (n - f->n_batch);
    return axis >= 0 ? f->type.dims[axis] : dim_const(f->v.graph->module->dims, 1);
}

/* The leading batch axes that both operands have become batch axes of the dot. The others can
 * stay free axes of the left operand when the right one only repeats along them, as it does
 * where both are 1: a weight is then a plain matrix. Else both are repeated to the full batch. */
bool expand_matmul(tn_graph *g, const tn_val *x, uint32_t n_x, const attr_list *attrs, tn_val *results) {
    (void)n_x, (void)attrs;
    factor a = factor_of(x[0], true), b = factor_of(x[1], false);
    if (a.n_batch < 0 || b.n_batch < 0) return false;
    int n = a.n_batch > b.n_batch ? a.n_batch : b.n_batch, shared = 0;
    tn_dim full[TN_MAX_RANK], left[TN_MAX_RANK], right[TN_MAX_RANK];
    bool right_repeats = true;
    for (int j = 0; j < n; j++) {
        left[j] = batch_extent(&a, j, n);
        right[j] = batch_extent(&b, j, n);
        full[j] = is_one(g, left[j]) ? right[j] : left[j];
        if (shared == j && is_one(g, left[j]) == is_one(g, right[j]))
            shared++;
        else
            right_repeats &= is_one(g, right[j]);
    }
    while (shared > 0 && right_repeats && is_one(g, right[shared - 1])) shared--;
    if (!right_repeats) {
        shared = n;
        a = with_batch(a, full, n, true);
        b = with_batch(b, full, n, true);
    } else {
        if (a.n_batch != n) a = with_batch(a, left, n, false);
        if (b.n_batch != shared) b = with_batch(b, right, shared, false);
    }
    if (!tn_is_valid(a.v) || !tn_is_valid(b.v)) return false;
    static const int64_t leading[TN_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    tn_ints batch = {shared, leading};
    return expand_done(tn_dot(a.v, b.v, batch, batch, TN_INTS(a.inner), TN_INTS(b.inner)), results);
}

/* ---- Attention -------------------------------------------------------------------------------- */

/* 1 / sqrt(d), as a scalar; 1 when d is 0, where there is nothing to scale. */
static tn_val default_scale(tn_val q) {
    int64_t last = tn_rank(q) - 1;
    tn_dtype dtype = (tn_dtype)tn_type_of(q).dtype;
    return tn_rsqrt(tn_max_scalar(expand_count(q, &last, 1, dtype), 1));
}

/* The numbers 0, 1, ... along an axis of [m, n], the shape of the last two axes. */
static tn_val count_along(tn_val scores, int axis) {
    tn_type type = tn_type_of(scores);
    tn_attr_arg attrs[] = {{.name = "shape", .dims = type.dims + type.rank - 2, .n = 2},
                           {.name = "axis", .i = axis},
                           {.name = "dtype", .i = TN_I64},
                           {0}};
    return tn_apply(TN_HERE, scores.graph, TN_OP_iota, NULL, 0, attrs);
}

static tn_val hide(tn_val is_seen, tn_val scores) {
    return tn_select(is_seen, scores, tn_scalar(scores.graph, TN_F32, -__builtin_inf()));
}

/* Row i sees columns up to i + n - m. */
static tn_val causal(tn_val scores) {
    tn_graph *g = scores.graph;
    dim_table *t = g->module->dims;
    tn_dim ahead = dim_sub(t, tn_dim_of(scores, -1), tn_dim_of(scores, -2));
    int64_t number;
    tn_val offset = dim_is_const(t, ahead, &number) ? tn_scalar_int(g, TN_I64, number) : tn_dim_value(g, ahead);
    return hide(tn_less_equal(count_along(scores, 1), tn_add(count_along(scores, 0), offset)), scores);
}

bool expand_attention(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    static const int64_t leading[TN_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    tn_val q = expand_widen(x[0]), k = expand_widen(x[1]), v = expand_widen(x[2]);
    int last = tn_rank(q) - 1;
    tn_ints batch = {last - 1, leading};
    double scale = attr_float(attrs, ATTR_scale, 0);
    tn_dtype dtype = (tn_dtype)tn_type_of(q).dtype;
    q = tn_mul(q, scale != 0 ? tn_scalar(g, dtype, scale) : default_scale(q));
    tn_val scores = tn_dot(q, k, batch, batch, TN_INTS(last), TN_INTS(last));
    if (n == 4 && tn_type_of(x[3]).dtype == TN_BOOL)
        scores = hide(x[3], scores);
    else if (n == 4)
        scores = tn_add(scores, expand_widen(x[3]));
    if (attr_int(attrs, ATTR_causal, 0)) scores = causal(scores);
    tn_val y = tn_dot(tn_softmax(scores, -1), v, batch, batch, TN_INTS(last), TN_INTS(last - 1));
    return expand_done(expand_narrow(y, (tn_dtype)tn_type_of(x[0]).dtype), results);
}
