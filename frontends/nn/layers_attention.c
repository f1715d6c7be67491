/* Attention of several heads, and encodings of positions.
 *
 * Vaswani et al., "Attention is all you need" (2017); grouped queries: Ainslie et al. (2023); rotary positions: Su et
 * al., "RoFormer" (2021), pairs (i, i + d / 2) as in GPT-NeoX.
 */
#include "frontends/nn/layer.h"

#include "ir/dtype.h"

#include <inttypes.h>
#include <math.h>

static const double BASE = 10000;

/* ---- Positions ------------------------------------------------------------------------------------------ */

/* A table of doubles as a constant vector of dtype. */
static tn_val make_vector(tn_graph *g, tn_dtype dtype, const double *numbers, int64_t n) {
    return tn_convert(tn_constant(g, TN_F64, TN_SHAPE(TN_SIZE(n)), numbers), dtype);
}

/* [steps, n]: position times frequency, of dtype. */
static tn_val make_angles(tn_graph *g, tn_dim steps, tn_dtype dtype, const double *frequencies, int64_t n) {
    tn_attr_arg attrs[] = {
        {.name = "shape", .dims = &steps, .n = 1}, {.name = "axis", .i = 0}, {.name = "dtype", .i = dtype}, {0}};
    tn_val positions = tn_expand_dims(tn_apply(TN_HERE, g, TN_OP_iota, NULL, 0, attrs), TN_INTS(1));
    return tn_mul(positions, make_vector(g, dtype, frequencies, n));
}

static tn_val turn(nn_scope *s, tn_val x, double base) {
    int64_t d;
    if (!nn_check(s, x, 2, -1) || !nn_extent(s, x, -1, "the last axis", &d)) return BUILD_INVALID;
    if (d % 2 != 0) return build_error(&s->b, TN_ERR_SHAPE, "needs an even number of features, there are %" PRId64, d);
    if (!(base > 0)) base = BASE;
    double *frequencies = ARENA_ARRAY(&s->m->module->memory, double, d / 2);
    if (!frequencies) {
        module_no_memory(s->m->module);
        return BUILD_INVALID;
    }
    for (int64_t i = 0; i < d / 2; i++) frequencies[i] = pow(base, -2.0 * (double)i / (double)d);
    tn_graph *g = s->m->forward;
    tn_val angles = make_angles(g, tn_dim_of(x, -2), s->m->dtype, frequencies, d / 2);
    tn_val cosines = tn_convert(tn_cos(angles), nn_dtype(x)), sines = tn_convert(tn_sin(angles), nn_dtype(x));
    tn_val a = tn_slice(x, -1, 0, d / 2, 1), b = tn_slice(x, -1, d / 2, d, 1);
    tn_val halves[] = {tn_sub(tn_mul(a, cosines), tn_mul(b, sines)), tn_add(tn_mul(b, cosines), tn_mul(a, sines))};
    return tn_concat(halves, 2, -1);
}

tn_val tn_nn_rotary_at(tn_location at, tn_model *m, tn_nn_position_args a) {
    nn_scope s;
    return nn_open(&s, m, at, "rotary", a.name, &a.x, 1) ? nn_close(&s, turn(&s, a.x, a.base)) : BUILD_INVALID;
}

static tn_val add_sinusoids(nn_scope *s, const tn_nn_position_args *a) {
    int64_t width;
    tn_graph *g = s->m->forward;
    if (!nn_check(s, a->x, 2, -1) || !nn_extent(s, a->x, -1, "the last axis", &width)) return BUILD_INVALID;
    double *frequencies = ARENA_ARRAY(&s->m->module->memory, double, width);
    uint8_t *is_odd = ARENA_ARRAY(&s->m->module->memory, uint8_t, width);
    if (!frequencies || !is_odd) {
        module_no_memory(s->m->module);
        return BUILD_INVALID;
    }
    for (int64_t i = 0; i < width; i++) {
        frequencies[i] = pow(a->base > 0 ? a->base : BASE, -(double)(i - i % 2) / (double)width);
        is_odd[i] = i % 2 != 0;
    }
    tn_val angles = make_angles(g, tn_dim_of(a->x, -2), s->m->dtype, frequencies, width);
    tn_val odd = tn_constant(g, TN_BOOL, TN_SHAPE(TN_SIZE(width)), is_odd);
    tn_val table = tn_select(odd, tn_cos(angles), tn_sin(angles));
    return tn_add(a->x, tn_convert(table, nn_dtype(a->x)));
}

tn_val tn_nn_sinusoidal_at(tn_location at, tn_model *m, tn_nn_position_args a) {
    nn_scope s;
    return nn_open(&s, m, at, "sinusoidal", a.name, &a.x, 1) ? nn_close(&s, add_sinusoids(&s, &a)) : BUILD_INVALID;
}

static tn_val add_learned(nn_scope *s, const tn_nn_position_args *a) {
    int64_t width;
    dim_table *t = build_dims(&s->b);
    if (!nn_check(s, a->x, 2, -1) || !nn_extent(s, a->x, -1, "the last axis", &width) ||
        !nn_positive(s, "most", a->most))
        return BUILD_INVALID;
    tn_val table = nn_parameter(s, (nn_parameter_args){.name = "table",
                                                       .init = a->init,
                                                       .init_default = "normal",
                                                       .number_default = 0.02,
                                                       .rank = 2,
                                                       .dims = {a->most, width}});
    tn_dim start[] = {dim_const(t, 0), dim_const(t, 0)}, limit[] = {tn_dim_of(a->x, -2), dim_const(t, width)};
    return tn_add(a->x, tn_slice_dims(table, start, limit, NULL));
}

tn_val tn_nn_learned_positions_at(tn_location at, tn_model *m, tn_nn_position_args a) {
    nn_scope s;
    return nn_open(&s, m, at, "learned_positions", a.name, &a.x, 1) ? nn_close(&s, add_learned(&s, &a)) : BUILD_INVALID;
}

/* ---- Attention -------------------------------------------------------------------------------------------- */

typedef struct heads {
    int64_t width, heads, groups, head;
} heads;

static bool take_heads(nn_scope *s, const tn_nn_attention_args *a, heads *h) {
    *h = (heads){.heads = a->heads, .groups = a->groups ? a->groups : a->heads, .head = a->head};
    if (!nn_check(s, a->x, 3, 3) || !nn_extent(s, a->x, -1, "the last axis", &h->width) ||
        !nn_positive(s, "heads", h->heads) || !nn_positive(s, "groups", h->groups))
        return false;
    if (h->heads % h->groups != 0) {
        build_error(&s->b, TN_ERR_ARGUMENT, "%" PRId64 " groups do not divide %" PRId64 " heads", h->groups, h->heads);
        return false;
    }
    if (!h->head && h->width % h->heads != 0) {
        build_error(&s->b, TN_ERR_SHAPE, "%" PRId64 " heads do not divide %" PRId64 " features: give .head", h->heads,
                    h->width);
        return false;
    }
    if (!h->head) h->head = h->width / h->heads;
    return nn_positive(s, "head", h->head);
}

/* [n, steps, ...] by a kernel, as [n, heads, steps, head]. */
static tn_val project(nn_scope *s, const tn_nn_attention_args *a, tn_val x, const char *prefix, int64_t n_heads,
                      int64_t head) {
    dim_table *t = build_dims(&s->b);
    nn_linear_args linear = {
        .prefix = prefix, .units = n_heads * head, .no_bias = a->no_bias, .kernel_init = a->kernel_init};
    tn_val y = nn_linear(s, x, linear);
    if (!tn_is_valid(y)) return y;
    tn_type type = tn_type_of(y);
    tn_dim split[] = {type.dims[0], type.dims[1], dim_const(t, n_heads), dim_const(t, head)};
    return tn_transpose(tn_reshape_dims(y, 4, split), TN_INTS(0, 2, 1, 3));
}

/* Each of [n, groups, ...] as many times as heads share it: [n, heads, ...]. */
static tn_val share(nn_scope *s, const heads *h, tn_val v) {
    if (h->groups == h->heads || !tn_is_valid(v)) return v;
    dim_table *t = build_dims(&s->b);
    tn_type type = tn_type_of(v);
    tn_dim repeated[] = {type.dims[0], type.dims[1], dim_const(t, h->heads / h->groups), type.dims[2], type.dims[3]};
    tn_dim joined[] = {type.dims[0], dim_const(t, h->heads), type.dims[2], type.dims[3]};
    return tn_reshape_dims(tn_broadcast_to(tn_expand_dims(v, TN_INTS(2)), 5, repeated), 4, joined);
}

static tn_val attend(nn_scope *s, const tn_nn_attention_args *a) {
    heads h;
    tn_val memory = a->memory.graph ? a->memory : a->x;
    if (!take_heads(s, a, &h) || !nn_check(s, memory, 3, 3)) return BUILD_INVALID;
    tn_val q = project(s, a, a->x, "query.", h.heads, h.head);
    tn_val k = project(s, a, memory, "key.", h.groups, h.head);
    tn_val v = project(s, a, memory, "value.", h.groups, h.head);
    if (a->rotary) {
        q = turn(s, q, a->rotary_base);
        k = turn(s, k, a->rotary_base);
    }
    tn_val mixed = tn_attention(q, share(s, &h, k), share(s, &h, v), a->mask, 0, a->causal);
    if (!tn_is_valid(mixed)) return mixed;
    tn_type type = tn_type_of(a->x);
    tn_dim joined[] = {type.dims[0], type.dims[1], dim_const(build_dims(&s->b), h.heads * h.head)};
    mixed = tn_reshape_dims(tn_transpose(mixed, TN_INTS(0, 2, 1, 3)), 3, joined);
    nn_linear_args linear = {.prefix = "output.",
                             .units = h.width,
                             .no_bias = a->no_bias,
                             .kernel_init = a->output_init.name ? a->output_init : a->kernel_init};
    return nn_linear(s, mixed, linear);
}

tn_val tn_nn_multi_head_attention_at(tn_location at, tn_model *m, tn_nn_attention_args a) {
    nn_scope s;
    tn_val values[3] = {a.x};
    int n = 1;
    if (a.memory.graph) values[n++] = a.memory;
    if (a.mask.graph) values[n++] = a.mask;
    return nn_open(&s, m, at, "multi_head_attention", a.name, values, n) ? nn_close(&s, attend(&s, &a)) : BUILD_INVALID;
}
