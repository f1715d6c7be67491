/* Samples of leaves, elementwise ops and views. */
#include "ir/samples_shape.h"

#include "ir/dtype.h"

#include <string.h>

/* ---- Leaves ------------------------------------------------------------------------------------ */

static tn_val any_input(sampler *s, tn_graph *g) {
    sample_shape shape = sampler_shape(s, 0, 4, 0);
    return sampler_input(s, g, s->dtype, &shape);
}

bool sample_param(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    return sampler_done(g, any_input(s, g));
}

/* Integers in whatever dtype, through conversion. */
bool sample_constant(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    enum { MOST = 64 };
    double data[MOST];
    sample_shape shape = {0};
    tn_shape given = {.rank = (int)sampler_range(s, 0, 2)};
    int64_t n = 1;
    for (int i = 0; i < given.rank; i++) {
        shape.values[i] = sampler_range(s, sampler_chance(s, 10) ? 0 : 1, 8);
        given.dims[i] = TN_SIZE(shape.values[i]);
        n *= shape.values[i];
    }
    for (int64_t i = 0; i < n; i++) data[i] = (double)sampler_range(s, 0, 100);
    /* A constant in each dtype: scalars of it, stacked. */
    if (n == 0 || given.rank == 0) {
        if (given.rank > 0) return sampler_done(g, tn_constant(g, s->dtype, given, NULL));
        return sampler_done(g, tn_scalar(g, s->dtype, data[0]));
    }
    unsigned char bytes[MOST * 8] = {0};
    size_t size = tn_dtype_bits(s->dtype) / 8;
    for (int64_t i = 0; i < n; i++) {
        tn_val scalar = tn_scalar(g, s->dtype, data[i]);
        if (!tn_is_valid(scalar)) return false;
        memcpy(bytes + (size_t)i * size, attr_find(&graph_node_of(g, scalar.id)->attrs, ATTR_value)->data->data, size);
    }
    return sampler_done(g, tn_constant(g, s->dtype, given, bytes));
}

bool sample_iota(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    sample_shape shape = sampler_shape(s, 1, 4, 0);
    tn_shape given = {.rank = shape.rank};
    memcpy(given.dims, shape.args, sizeof given.dims);
    sampler_input(s, g, s->dtype, &shape); /* brings the symbols */
    return sampler_done(g, tn_iota(g, s->dtype, given, (int)sampler_range(s, 0, shape.rank - 1)));
}

bool sample_dim(sampler *s, tn_graph *g, tn_op op) {
    if (s->dtype != TN_I64) return sampler_refuse(g, op, s);
    sample_shape shape = sampler_shape(s, 1, 3, 0);
    tn_val x = sampler_input(s, g, TN_F32, &shape);
    dim_table *t = g->module->dims;
    tn_dim d = dim_add_const(t, dim_mul_const(t, tn_dim_of(x, 0), 3), -2);
    if (sampler_chance(s, 50)) d = dim_floordiv(t, d, dim_const(t, 4));
    return sampler_done(g, tn_dim_value(g, dim_add(t, d, tn_dim_of(x, -1))));
}

bool sample_rng_bits(sampler *s, tn_graph *g, tn_op op) {
    sample_shape four = {.rank = 1, .args = {TN_SIZE(4)}, .values = {4}};
    sample_shape shape = sampler_shape(s, 0, 3, 0);
    tn_type like = tn_type_of(sampler_input(s, g, TN_F32, &shape));
    tn_val state = sampler_input(s, g, TN_U64, &four);
    tn_attr_arg attrs[] = {{.name = "shape", .dims = like.dims, .n = like.rank}, {.name = "dtype", .i = s->dtype}, {0}};
    return sampler_done(g, tn_apply(TN_HERE, g, op, &state, 1, attrs));
}

/* ---- Elementwise ------------------------------------------------------------------------------- */

bool sample_unary(sampler *s, tn_graph *g, tn_op op) {
    return sampler_done(g, tn_unary_at(TN_HERE, op, any_input(s, g)));
}

bool sample_convert(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    tn_dtype to = (tn_dtype)sampler_range(s, 0, TN_DTYPE_COUNT - 1);
    return sampler_done(g, tn_convert(any_input(s, g), to));
}

bool sample_bitcast(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    tn_dtype fits[TN_DTYPE_COUNT];
    int n = 0;
    for (int i = 0; i < TN_DTYPE_COUNT; i++)
        if (i != TN_BOOL && tn_dtype_bits((tn_dtype)i) == tn_dtype_bits(s->dtype)) fits[n++] = (tn_dtype)i;
    return sampler_done(g, tn_bitcast(any_input(s, g), fits[sampler_range(s, 0, n - 1)]));
}

/* n inputs whose shapes broadcast to one: axes dropped from the left or of extent 1. */
static void broadcasting_inputs(sampler *s, tn_graph *g, const tn_dtype *dtypes, int n, tn_val *values) {
    sample_shape full = sampler_shape(s, 0, 4, 0);
    for (int i = 0; i < n; i++) {
        sample_shape shape = full;
        if (sampler_chance(s, 30)) {
            int dropped = (int)sampler_range(s, 0, full.rank);
            shape.rank = full.rank - dropped;
            memmove(shape.args, full.args + dropped, (size_t)shape.rank * sizeof *shape.args);
        }
        for (int k = 0; k < shape.rank; k++)
            if (sampler_chance(s, 15)) shape.args[k] = TN_SIZE(1);
        values[i] = sampler_input(s, g, dtypes[i], &shape);
    }
}

bool sample_binary(sampler *s, tn_graph *g, tn_op op) {
    tn_val x[2];
    broadcasting_inputs(s, g, (tn_dtype[]){s->dtype, s->dtype}, 2, x);
    return sampler_done(g, tn_binary_at(TN_HERE, op, x[0], x[1]));
}

bool sample_compare(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    tn_val x[2];
    broadcasting_inputs(s, g, (tn_dtype[]){s->dtype, s->dtype}, 2, x);
    return sampler_done(g, tn_compare_at(TN_HERE, attr_option(ATTR_compare, sampler_range(s, 0, 5)), x[0], x[1]));
}

static bool ternary(sampler *s, tn_graph *g, tn_op op, tn_dtype first) {
    tn_val x[3];
    broadcasting_inputs(s, g, (tn_dtype[]){first, s->dtype, s->dtype}, 3, x);
    return sampler_done(g, tn_ternary_at(TN_HERE, op, x[0], x[1], x[2]));
}

bool sample_select(sampler *s, tn_graph *g, tn_op op) { return ternary(s, g, op, TN_BOOL); }
bool sample_clamp(sampler *s, tn_graph *g, tn_op op) { return ternary(s, g, op, s->dtype); }
bool sample_fma(sampler *s, tn_graph *g, tn_op op) { return ternary(s, g, op, s->dtype); }

/* ---- Views ------------------------------------------------------------------------------------- */

bool sample_broadcast(sampler *s, tn_graph *g, tn_op op) {
    sample_shape shape = sampler_shape(s, 0, 5, 0);
    tn_type to = tn_type_of(sampler_input(s, g, TN_BOOL, &shape)); /* brings the symbols */
    sample_shape small = {0};
    int64_t axes[TN_MAX_RANK];
    int n = sampler_axes(s, shape.rank, axes);
    for (int i = 0; i < n; i++) {
        small.args[i] = sampler_chance(s, 30) ? TN_SIZE(1) : shape.args[axes[i]];
        small.rank++;
    }
    tn_val x = sampler_input(s, g, s->dtype, &small);
    tn_attr_arg attrs[] = {
        {.name = "shape", .dims = to.dims, .n = to.rank}, {.name = "dims", .ints = axes, .n = n}, {0}};
    return sampler_done(g, tn_apply(TN_HERE, g, op, &x, 1, attrs));
}

/* The axes in another order, some merged, some of extent 1 put between. */
bool sample_reshape(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    tn_val x = any_input(s, g);
    tn_type type = tn_type_of(x);
    tn_dim dims[TN_MAX_RANK];
    int64_t order[TN_MAX_RANK];
    int n = 0;
    for (int i = 0; i < type.rank; i++) order[i] = i;
    if (sampler_chance(s, 30)) sampler_shuffle(s, order, type.rank);
    for (int i = 0; i < type.rank; i++) {
        tn_dim d = type.dims[order[i]];
        if (n > 0 && sampler_chance(s, 40))
            dims[n - 1] = dim_mul(g->module->dims, dims[n - 1], d);
        else
            dims[n++] = d;
        if (sampler_chance(s, 15)) dims[n++] = dim_const(g->module->dims, 1);
    }
    return sampler_done(g, tn_reshape_dims(x, n, dims));
}

bool sample_transpose(sampler *s, tn_graph *g, tn_op op) {
    tn_val x = any_input(s, g);
    int64_t perm[TN_MAX_RANK];
    for (int i = 0; i < tn_rank(x); i++) perm[i] = i;
    sampler_shuffle(s, perm, tn_rank(x));
    tn_attr_arg attrs[] = {{.name = "perm", .ints = perm, .n = tn_rank(x)}, {0}};
    return sampler_done(g, tn_apply(TN_HERE, g, op, &x, 1, attrs));
}

bool sample_slice(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    tn_val x = any_input(s, g);
    dim_table *t = g->module->dims;
    tn_dim start[TN_MAX_RANK], limit[TN_MAX_RANK];
    int64_t stride[TN_MAX_RANK];
    for (int i = 0; i < tn_rank(x); i++) {
        int64_t extent = sampler_value(s, g, tn_dim_of(x, i)), first = sampler_range(s, 0, extent);
        int64_t last = sampler_range(s, first, extent);
        start[i] = dim_const(t, first);
        /* Counted from the start or from the end. */
        limit[i] = sampler_chance(s, 50) ? dim_const(t, last) : dim_add_const(t, tn_dim_of(x, i), last - extent);
        stride[i] = sampler_chance(s, 30) ? sampler_range(s, 1, 3) : 1;
    }
    return sampler_done(g, tn_slice_dims(x, start, limit, stride));
}

bool sample_pad(sampler *s, tn_graph *g, tn_op op) {
    tn_val x = any_input(s, g);
    sample_shape scalar = {0};
    int64_t low[TN_MAX_RANK], high[TN_MAX_RANK], interior[TN_MAX_RANK];
    for (int i = 0; i < tn_rank(x); i++) {
        int64_t extent = sampler_value(s, g, tn_dim_of(x, i));
        interior[i] = sampler_chance(s, 25) ? sampler_range(s, 1, 2) : 0;
        extent += extent > 0 ? interior[i] * (extent - 1) : 0;
        low[i] = sampler_range(s, extent > 2 ? -2 : -extent, 3);
        high[i] = sampler_range(s, extent + low[i] > 2 ? -2 : -(extent + low[i]), 3);
    }
    tn_val operands[] = {x, sampler_input(s, g, s->dtype, &scalar)};
    tn_attr_arg attrs[] = {{.name = "low", .ints = low, .n = tn_rank(x)},
                           {.name = "high", .ints = high, .n = tn_rank(x)},
                           {.name = "interior", .ints = interior, .n = tn_rank(x)},
                           {0}};
    return sampler_done(g, tn_apply(TN_HERE, g, op, operands, 2, attrs));
}

bool sample_concat(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    sample_shape shape = sampler_shape(s, 1, 4, 0);
    int axis = (int)sampler_range(s, 0, shape.rank - 1), n = (int)sampler_range(s, 1, 4);
    tn_val values[4];
    for (int i = 0; i < n; i++) {
        shape.args[axis] = sampler_extent(s, 0, 5, &shape.values[axis]);
        values[i] = sampler_input(s, g, s->dtype, &shape);
    }
    return sampler_done(g, tn_concat(values, n, axis));
}

bool sample_reverse(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    tn_val x = any_input(s, g);
    int64_t axes[TN_MAX_RANK];
    int n = sampler_axes(s, tn_rank(x), axes);
    return sampler_done(g, tn_reverse(x, ((tn_ints){n, axes})));
}
