/* Random graphs: many ops, each fed with what earlier ones gave.
 *
 * Exact graphs hold small integers in floats: every op that could leave the integers is
 * followed by a clamp (and products by none that are long), so that any order of sums gives
 * the same bits. Continuous graphs use no op that jumps, and keep arguments where functions
 * are smooth and of moderate slope.
 */
#include "ir/samples_shape.h"

#include "ir/dtype.h"

#include <stdio.h>

enum { POOL = 256, MOST_ELEMENTS = 4096 };

typedef struct growth {
    sampler *s;
    tn_graph *g;
    tn_val pool[POOL]; /* values of s->dtype */
    int n;
} growth;

static int64_t elements(const growth *w, tn_val v) {
    tn_type type = tn_type_of(v);
    int64_t n = 1;
    for (int i = 0; i < type.rank; i++) n *= sampler_value(w->s, w->g, type.dims[i]);
    return n;
}

static void add(growth *w, tn_val v) {
    if (!tn_is_valid(v) || tn_type_of(v).dtype != w->s->dtype || elements(w, v) > MOST_ELEMENTS) return;
    w->pool[w->n < POOL ? w->n++ : (int)sampler_range(w->s, 0, POOL - 1)] = v;
}

/* Later values more often, so that graphs get deep. */
static tn_val pick(growth *w) {
    int64_t i = sampler_range(w->s, 0, w->n - 1), j = sampler_range(w->s, 0, w->n - 1);
    return w->pool[i > j ? i : j];
}

static tn_val fresh(growth *w, int least_rank, int64_t least) {
    sample_shape shape = sampler_shape(w->s, least_rank, 3, least);
    return sampler_input(w->s, w->g, w->s->dtype, &shape);
}

static tn_val pick_of_rank(growth *w, int least) {
    for (int i = 0; i < 8; i++) {
        tn_val v = pick(w);
        if (tn_rank(v) >= least) return v;
    }
    tn_val v = fresh(w, least, 1);
    add(w, v);
    return v;
}

/* A value that broadcasts with v: v's own shape, some axes of extent 1, or another of the pool
 * that fits. */
static tn_val partner(growth *w, tn_val v) {
    tn_type type = tn_type_of(v);
    for (int i = 0; i < 6; i++) {
        tn_val other = pick(w);
        tn_type t = tn_type_of(other);
        if (t.rank == type.rank && type_equal(&t, &type)) return other;
    }
    sample_shape shape = {.rank = type.rank};
    for (int i = 0; i < type.rank; i++) {
        const char *name = dim_symbol_name(w->g->module->dims, type.dims[i]);
        int64_t extent;
        if (name)
            shape.args[i] = TN_DIM(name);
        else if (dim_is_const(w->g->module->dims, type.dims[i], &extent))
            shape.args[i] = TN_SIZE(extent);
        else
            return v; /* an expression: itself */
        if (sampler_chance(w->s, 20)) shape.args[i] = TN_SIZE(1);
    }
    tn_val other = sampler_input(w->s, w->g, w->s->dtype, &shape);
    add(w, other);
    return other;
}

static tn_val scalar(growth *w, double number) { return tn_scalar(w->g, w->s->dtype, number); }

/* Back to small integers, or to a moderate range. */
static tn_val tame(growth *w, tn_val v) {
    if (!tn_is_valid(v) || tn_type_of(v).dtype != w->s->dtype) return v;
    return w->s->exact ? tn_clamp(scalar(w, -8), v, scalar(w, 8)) : tn_mul_scalar(tn_tanh(tn_mul_scalar(v, 0.25)), 4);
}

/* ---- Steps ------------------------------------------------------------------------------------- */

static int axis_of(growth *w, tn_val v) { return (int)sampler_range(w->s, 0, tn_rank(v) - 1); }

static tn_val step_binary(growth *w) {
    static const tn_op ops[] = {TN_OP_add, TN_OP_sub, TN_OP_mul, TN_OP_max, TN_OP_min};
    tn_val x = pick(w), y = partner(w, x);
    tn_val v = tn_binary_at(TN_HERE, ops[sampler_range(w->s, 0, 4)], x, y);
    return sampler_chance(w->s, 50) || w->s->exact ? tame(w, v) : v;
}

static tn_val step_exact_unary(growth *w) {
    static const tn_op ops[] = {TN_OP_neg, TN_OP_abs, TN_OP_sign, TN_OP_floor, TN_OP_ceil, TN_OP_round, TN_OP_relu};
    return tn_unary_at(TN_HERE, ops[sampler_range(w->s, 0, 6)], pick(w));
}

static tn_val step_smooth_unary(growth *w) {
    static const tn_op ops[] = {TN_OP_neg,  TN_OP_sin,     TN_OP_cos,  TN_OP_tanh,      TN_OP_erf,      TN_OP_logistic,
                                TN_OP_atan, TN_OP_asinh,   TN_OP_gelu, TN_OP_silu,      TN_OP_softplus, TN_OP_relu,
                                TN_OP_elu,  TN_OP_sigmoid, TN_OP_abs,  TN_OP_leaky_relu};
    return tn_unary_at(TN_HERE, ops[sampler_range(w->s, 0, 15)], pick(w));
}

/* Functions with poles and edges, of an argument away from them. */
static tn_val step_guarded(growth *w) {
    tn_val x = pick(w), positive = tn_add_scalar(tn_abs(x), 1);
    switch (sampler_range(w->s, 0, 6)) {
    case 0: return tn_log(positive);
    case 1: return tn_sqrt(positive);
    case 2: return tn_rsqrt(positive);
    case 3: return tn_exp(tn_min_scalar(x, 2));
    case 4: return tn_div(partner(w, x), positive);
    case 5: return tn_asin(tn_mul_scalar(tn_tanh(x), 0.5));
    default: return tn_log1p(tn_abs(x));
    }
}

static tn_val step_choice(growth *w) {
    tn_val x = pick(w), y = partner(w, x);
    static const char *const relations[] = {"lt", "ge", "eq", "ne"};
    return tn_select(tn_compare_at(TN_HERE, relations[sampler_range(w->s, 0, 3)], x, y), x, y);
}

static tn_val step_reduce(growth *w) {
    static const char *const kinds[] = {"sum", "max", "min"};
    tn_val x = pick_of_rank(w, 1);
    int64_t axes[TN_MAX_RANK];
    int n = sampler_axes(w->s, tn_rank(x), axes);
    return tame(w, tn_reduce(kinds[sampler_range(w->s, 0, 2)], x, ((tn_ints){n, axes}), sampler_chance(w->s, 50)));
}

static tn_val step_cumulate(growth *w) {
    tn_val x = pick_of_rank(w, 1);
    return tame(w, tn_cumulate("sum", x, axis_of(w, x), sampler_chance(w->s, 50), sampler_chance(w->s, 50)));
}

static tn_val step_matmul(growth *w) {
    tn_val x = pick_of_rank(w, 2);
    tn_val weights = tn_transpose(x, TN_NO_INTS);
    if (tn_rank(x) > 4) return x; /* too many free axes */
    if (tn_rank(x) > 2 || sampler_chance(w->s, 30)) {
        int last = tn_rank(x) - 1;
        return tame(w, tn_dot(x, x, TN_NO_INTS, TN_NO_INTS, TN_INTS(last), TN_INTS(last)));
    }
    return tame(w, tn_matmul(x, weights));
}

static tn_val step_transpose(growth *w) {
    tn_val x = pick_of_rank(w, 2);
    int64_t perm[TN_MAX_RANK];
    for (int i = 0; i < tn_rank(x); i++) perm[i] = i;
    sampler_shuffle(w->s, perm, tn_rank(x));
    return tn_transpose(x, ((tn_ints){tn_rank(x), perm}));
}

static tn_val step_reshape(growth *w) {
    tn_val x = pick(w);
    tn_type type = tn_type_of(x);
    if (type.rank == 0 || (type.rank < TN_MAX_RANK && sampler_chance(w->s, 30)))
        return tn_expand_dims(x, TN_INTS(sampler_range(w->s, 0, type.rank)));
    tn_dim count = type_element_count(w->g->module->dims, &type);
    return tn_reshape_dims(x, 1, &count);
}

static tn_val step_slice(growth *w) {
    tn_val x = pick_of_rank(w, 1);
    int axis = axis_of(w, x);
    int64_t extent = sampler_value(w->s, w->g, tn_dim_of(x, axis)), first = sampler_range(w->s, 0, extent);
    /* Up to the end, so that no extent of a symbol's is fixed; `first` fits this sample's. */
    return tn_slice(x, axis, first > 0 && sampler_chance(w->s, 80) ? first - 1 : 0, INT64_MAX,
                    sampler_chance(w->s, 30) ? 2 : 1);
}

static tn_val step_pad(growth *w) {
    tn_val x = pick_of_rank(w, 1);
    int64_t low[TN_MAX_RANK], high[TN_MAX_RANK];
    for (int i = 0; i < tn_rank(x); i++) {
        low[i] = sampler_range(w->s, 0, 2);
        high[i] = sampler_range(w->s, 0, 1);
    }
    return tn_pad(x, (double)sampler_range(w->s, -1, 1), ((tn_ints){tn_rank(x), low}), ((tn_ints){tn_rank(x), high}));
}

static tn_val step_concat(growth *w) {
    tn_val x = pick_of_rank(w, 1), pair[] = {x, tn_reverse(x, TN_INTS(0))};
    return tn_concat(pair, 2, axis_of(w, x));
}

static tn_val step_broadcast(growth *w) {
    tn_type type = tn_type_of(pick(w));
    return tn_broadcast_to(scalar(w, 2), type.rank, type.dims);
}

static tn_val step_softmax(growth *w) {
    tn_val x = pick_of_rank(w, 1);
    int axis = axis_of(w, x);
    if (sampler_chance(w->s, 40)) return tn_softmax(x, axis);
    return sampler_chance(w->s, 50) ? tn_log_softmax(x, axis) : tn_mean(x, TN_INTS(axis), true);
}

static tn_val step_sort(growth *w) {
    tn_val x = pick_of_rank(w, 1);
    if (sampler_chance(w->s, 50)) return tn_sort(&x, 1, axis_of(w, x), sampler_chance(w->s, 50));
    return tn_top_k(x, axis_of(w, x), dim_const(w->g->module->dims, 1), true);
}

/* Rows by a constant index, which is in range because extents here are at least 1. */
static tn_val step_gather(growth *w) {
    tn_val x = pick_of_rank(w, 1);
    int axis = axis_of(w, x);
    if (sampler_value(w->s, w->g, tn_dim_of(x, axis)) < 1) return x;
    static const int64_t rows[] = {0, 0};
    return tn_take(x, tn_constant(w->g, TN_I64, TN_SHAPE(TN_SIZE(2)), rows), axis);
}

static tn_val step_argmax(growth *w) {
    tn_val x = pick_of_rank(w, 1);
    return tame(w, tn_convert(tn_reduce("argmax", x, TN_INTS(axis_of(w, x)), false), w->s->dtype));
}

static tn_val step_convert(growth *w) { return tn_convert(tn_convert(pick(w), TN_I32), w->s->dtype); }

static tn_val step_conv(growth *w) {
    tn_val x = fresh(w, 3, 1);
    sample_shape kernel = {.rank = 3, .args = {TN_SIZE(sampler_range(w->s, 1, 9)), {0}, TN_SIZE(2)}};
    const char *name = dim_symbol_name(w->g->module->dims, tn_dim_of(x, 1));
    kernel.args[1] = name ? TN_DIM(name) : TN_SIZE(sampler_value(w->s, w->g, tn_dim_of(x, 1)));
    tn_val weights = sampler_input(w->s, w->g, w->s->dtype, &kernel);
    return tame(w, tn_conv(x, weights, .low = TN_INTS(1)));
}

typedef tn_val step_fn(growth *w);
static const struct {
    step_fn *step;
    bool exact, continuous; /* kinds of graphs it goes into */
} steps[] = {
    {step_binary, true, true},        {step_binary, true, true},        {step_exact_unary, true, false},
    {step_smooth_unary, false, true}, {step_smooth_unary, false, true}, {step_guarded, false, true},
    {step_choice, true, false},       {step_reduce, true, true},        {step_cumulate, true, true},
    {step_matmul, true, true},        {step_transpose, true, true},     {step_reshape, true, true},
    {step_slice, true, true},         {step_pad, true, true},           {step_concat, true, true},
    {step_broadcast, true, true},     {step_softmax, false, true},      {step_sort, true, false},
    {step_gather, true, true},        {step_argmax, true, false},       {step_convert, true, false},
    {step_conv, true, true},
};

/* Values that nothing reads become outputs, so that all that was built counts. */
static bool mark_outputs(tn_graph *g) {
    uint32_t *uses = graph_count_uses(g);
    if (!uses) return module_no_memory(g->module);
    for (size_t v = g->n_values; v-- > 0;) {
        char name[32];
        if (uses[v] > 0 || g->nodes[g->values[v].node].op == TN_OP_param) continue;
        snprintf(name, sizeof name, "y%zu", g->n_results);
        tn_output(g, name, ((tn_val){g, (value_id)v}));
    }
    tn_free(uses);
    return g->n_results > 0 && !tn_graph_error(g);
}

bool sample_graph(sampler *s, tn_graph *g, int n_nodes) {
    growth w = {.s = s, .g = g};
    if (!dtype_is_float(s->dtype)) s->dtype = TN_F32;
    for (int i = 0; i < 2; i++) add(&w, fresh(&w, i, 1));
    /* A step may come to nothing new; the bound ends a graph that does not grow. */
    for (int tries = 0; (int)g->n_nodes < n_nodes && tries < 8 * n_nodes && !tn_graph_error(g); tries++) {
        size_t i = (size_t)sampler_range(s, 0, (int64_t)(sizeof steps / sizeof *steps) - 1);
        if (w.n > 0 && (s->exact ? steps[i].exact : steps[i].continuous)) add(&w, steps[i].step(&w));
    }
    if (w.n > 0 && g->n_nodes > 0) add(&w, step_binary(&w));
    return mark_outputs(g);
}
