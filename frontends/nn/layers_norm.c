/* Normalisations.
 *
 * law: moments are taken, and scale and bias applied, in the model's dtype, also of a mixed-precision model; only the
 *      result is rounded to what layers compute in
 */
#include "frontends/nn/layer.h"

#include "ir/expand.h"

#include <inttypes.h>
#include <stdio.h>

static const double EPSILON = 1e-5, MOMENTUM = 0.9;

static double epsilon_of(const tn_nn_norm_args *a) { return a->epsilon > 0 ? a->epsilon : EPSILON; }

/* A parameter of one number for each feature, or that number where there is none. */
static tn_val factor(nn_scope *s, const char *name, tn_nn_init init, bool is_left_out, double otherwise,
                     int64_t extent) {
    tn_graph *g = s->m->forward;
    tn_dim dim = dim_const(build_dims(&s->b), extent);
    if (is_left_out) return tn_broadcast_to(tn_scalar(g, s->m->dtype, otherwise), 1, &dim);
    return nn_parameter(s, (nn_parameter_args){.name = name,
                                               .init = init,
                                               .init_default = otherwise == 0 ? "zeros" : "ones",
                                               .keep_dtype = true,
                                               .rank = 1,
                                               .dims = {extent}});
}

static tn_val scale_of(nn_scope *s, const tn_nn_norm_args *a, int64_t extent) {
    return factor(s, "scale", a->scale_init, a->no_scale, 1, extent);
}

static tn_val bias_of(nn_scope *s, const tn_nn_norm_args *a, int64_t extent) {
    return factor(s, "bias", a->bias_init, a->no_bias, 0, extent);
}

/* ---- Batch ---------------------------------------------------------------------------------------------- */

/* state * momentum + batch * (1 - momentum) */
static tn_val blend(tn_val state, tn_val batch, double momentum) {
    return tn_add(tn_mul_scalar(state, momentum), tn_mul_scalar(batch, 1 - momentum));
}

static tn_val norm_batch(nn_scope *s, const tn_nn_norm_args *a) {
    tn_model *m = s->m;
    int64_t channels, axes[TN_MAX_RANK];
    double momentum = a->momentum > 0 ? a->momentum : MOMENTUM;
    if (!nn_check(s, a->x, 2, -1) || !nn_extent(s, a->x, 1, "the number of channels", &channels)) return BUILD_INVALID;
    if (momentum >= 1) return build_error(&s->b, TN_ERR_ARGUMENT, "momentum is %g, it must be below 1", momentum);
    tn_val scale = scale_of(s, a, channels), bias = bias_of(s, a, channels);
    tn_val old_mean = nn_state(s, "mean", "zeros", channels), old_variance = nn_state(s, "variance", "ones", channels);
    tn_val x = tn_convert(a->x, m->dtype);
    int n = 0;
    for (int i = 0; i < tn_rank(x); i++)
        if (i != 1) axes[n++] = i;
    tn_ints over = {n, axes};
    tn_val mean = tn_mean(x, over, false), variance = tn_variance(x, over, false);
    /* The state has the variance without bias: times n / (n - 1), of one element as it is. */
    tn_val count = expand_count(x, axes, n, m->dtype);
    tn_val unbiased = tn_mul(variance, tn_div(count, tn_max_scalar(tn_sub_scalar(count, 1), 1)));
    nn_set_next(s, old_mean, blend(old_mean, mean, momentum));
    nn_set_next(s, old_variance, blend(old_variance, unbiased, momentum));
    tn_val training = tn_model_training(m);
    tn_val y = tn_batch_norm(x, scale, bias, tn_select(training, mean, old_mean),
                             tn_select(training, variance, old_variance), epsilon_of(a));
    return tn_convert(y, m->compute);
}

tn_val tn_nn_batch_norm_at(tn_location at, tn_model *m, tn_nn_norm_args a) {
    nn_scope s;
    return nn_open(&s, m, at, "batch_norm", a.name, &a.x, 1) ? nn_close(&s, norm_batch(&s, &a)) : BUILD_INVALID;
}

/* ---- Features --------------------------------------------------------------------------------------------- */

static tn_val norm_features(nn_scope *s, const tn_nn_norm_args *a, bool has_mean) {
    int64_t width;
    if (!nn_check(s, a->x, 1, -1) || !nn_extent(s, a->x, -1, "the last axis", &width)) return BUILD_INVALID;
    tn_val x = tn_convert(a->x, s->m->dtype), scale = scale_of(s, a, width);
    tn_val y = has_mean ? tn_layer_norm(x, scale, bias_of(s, a, width), -1, epsilon_of(a))
                        : tn_rms_norm(x, scale, -1, epsilon_of(a));
    return tn_convert(y, s->m->compute);
}

tn_val tn_nn_layer_norm_at(tn_location at, tn_model *m, tn_nn_norm_args a) {
    nn_scope s;
    return nn_open(&s, m, at, "layer_norm", a.name, &a.x, 1) ? nn_close(&s, norm_features(&s, &a, true))
                                                             : BUILD_INVALID;
}

tn_val tn_nn_rms_norm_at(tn_location at, tn_model *m, tn_nn_norm_args a) {
    nn_scope s;
    return nn_open(&s, m, at, "rms_norm", a.name, &a.x, 1) ? nn_close(&s, norm_features(&s, &a, false)) : BUILD_INVALID;
}

/* ---- Groups of channels ------------------------------------------------------------------------------------- */

/* As [n, groups, elements of a group], normalised over the last axis. */
static tn_val norm_groups(nn_scope *s, const tn_nn_norm_args *a) {
    int64_t channels;
    if (!nn_check(s, a->x, 2, -1) || !nn_extent(s, a->x, 1, "the number of channels", &channels) ||
        !nn_positive(s, "groups", a->groups))
        return BUILD_INVALID;
    if (channels % a->groups != 0)
        return build_error(&s->b, TN_ERR_SHAPE, "%" PRId64 " groups do not divide %" PRId64 " channels", a->groups,
                           channels);
    dim_table *t = build_dims(&s->b);
    tn_type type = tn_type_of(a->x);
    tn_dim in_group = dim_mul_const(t, dim_product(t, type.dims + 2, type.rank - 2), channels / a->groups);
    tn_dim grouped[] = {type.dims[0], dim_const(t, a->groups), in_group};
    tn_val x = tn_reshape_dims(tn_convert(a->x, s->m->dtype), 3, grouped);
    tn_val off = tn_sub(x, tn_mean(x, TN_INTS(2), true));
    tn_val variance = tn_mean(tn_mul(off, off), TN_INTS(2), true);
    tn_val y = tn_mul(off, tn_rsqrt(tn_add_scalar(variance, epsilon_of(a))));
    y = tn_reshape_dims(y, type.rank, type.dims);
    if (!a->no_scale) y = tn_mul(y, nn_along(scale_of(s, a, channels), y, 1));
    if (!a->no_bias) y = tn_add(y, nn_along(bias_of(s, a, channels), y, 1));
    return tn_convert(y, s->m->compute);
}

tn_val tn_nn_group_norm_at(tn_location at, tn_model *m, tn_nn_norm_args a) {
    nn_scope s;
    return nn_open(&s, m, at, "group_norm", a.name, &a.x, 1) ? nn_close(&s, norm_groups(&s, &a)) : BUILD_INVALID;
}
