/* Decompositions of softmax, moments and normalisations.
 *
 * law: softmax subtracts the maximum first; the variance is taken of deviations from the mean
 *      (two passes), never as a difference of squares
 */
#include "ir/columns.h"
#include "ir/expand.h"

#define UNUSED(g, n) (void)(g), (void)(n)

static tn_dtype dtype_of(tn_val x) { return (tn_dtype)tn_type_of(x).dtype; }

/* ---- Softmax ---------------------------------------------------------------------------------- */

static tn_val minus_max(tn_val wide, const int64_t *axis) {
    return tn_sub(wide, expand_reduce("max", wide, axis, 1, true));
}

bool expand_softmax(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    UNUSED(g, n);
    int64_t axis = attr_int(attrs, ATTR_axis, 0);
    tn_val powers = tn_exp(minus_max(expand_widen(x[0]), &axis));
    tn_val sum = expand_reduce("sum", powers, &axis, 1, true); /* one division a row is enough */
    tn_val y = tn_mul(powers, tn_div(tn_scalar(g, dtype_of(powers), 1), sum));
    return expand_done(expand_narrow(y, dtype_of(x[0])), results);
}

bool expand_log_softmax(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    UNUSED(g, n);
    int64_t axis = attr_int(attrs, ATTR_axis, 0);
    tn_val shifted = minus_max(expand_widen(x[0]), &axis);
    tn_val log_sum = tn_log(expand_reduce("sum", tn_exp(shifted), &axis, 1, false));
    tn_val y = tn_sub(shifted, expand_back(log_sum, shifted, &axis, 1));
    return expand_done(expand_narrow(y, dtype_of(x[0])), results);
}

/* ---- Moments ---------------------------------------------------------------------------------- */

static tn_val deviations(tn_val wide, const int64_t *axes, int n) {
    return tn_sub(wide, expand_average(wide, axes, n, true));
}

bool expand_mean(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    UNUSED(g, n);
    const attr *axes = attr_find(attrs, ATTR_axes);
    tn_val y = expand_average(expand_widen(x[0]), axes->ints.items, (int)axes->ints.n, false);
    return expand_done(expand_narrow(y, dtype_of(x[0])), results);
}

bool expand_variance(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    UNUSED(g, n);
    const attr *axes = attr_find(attrs, ATTR_axes);
    tn_val off = deviations(expand_widen(x[0]), axes->ints.items, (int)axes->ints.n);
    tn_val y = expand_average(tn_mul(off, off), axes->ints.items, (int)axes->ints.n, false);
    return expand_done(expand_narrow(y, dtype_of(x[0])), results);
}

/* ---- Normalisations --------------------------------------------------------------------------- */

/* 1 / sqrt(v + epsilon) */
static tn_val inverse_root(tn_val v, const attr_list *attrs) {
    return tn_rsqrt(tn_add_scalar(v, attr_float(attrs, ATTR_epsilon, 1e-5)));
}

bool expand_layer_norm(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    UNUSED(g, n);
    int64_t axes[TN_MAX_RANK];
    int n_axes = expand_axes_from(x[0], attr_int(attrs, ATTR_axis, 0), axes);
    tn_val off = deviations(expand_widen(x[0]), axes, n_axes);
    tn_val variance = expand_average(tn_mul(off, off), axes, n_axes, false);
    tn_val unit = tn_mul(off, expand_back(inverse_root(variance, attrs), off, axes, n_axes));
    tn_val y = tn_add(tn_mul(unit, expand_widen(x[1])), expand_widen(x[2]));
    return expand_done(expand_narrow(y, dtype_of(x[0])), results);
}

bool expand_rms_norm(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    UNUSED(g, n);
    int64_t axes[TN_MAX_RANK];
    int n_axes = expand_axes_from(x[0], attr_int(attrs, ATTR_axis, 0), axes);
    tn_val wide = expand_widen(x[0]);
    tn_val power = expand_average(tn_mul(wide, wide), axes, n_axes, false);
    tn_val unit = tn_mul(wide, expand_back(inverse_root(power, attrs), wide, axes, n_axes));
    return expand_done(expand_narrow(tn_mul(unit, expand_widen(x[1])), dtype_of(x[0])), results);
}

/* factor * x + offset with both computed on [c] first, so that they fold into the weights of a
 * convolution before. */
bool expand_batch_norm(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    UNUSED(g, n);
    const int64_t channels = 1;
    tn_val wide = expand_widen(x[0]);
    tn_val factor = tn_mul(expand_widen(x[1]), inverse_root(expand_widen(x[4]), attrs));
    tn_val offset = tn_sub(expand_widen(x[2]), tn_mul(expand_widen(x[3]), factor));
    tn_val y = tn_add(tn_mul(wide, expand_along(factor, wide, &channels, 1)), expand_along(offset, wide, &channels, 1));
    return expand_done(expand_narrow(y, dtype_of(x[0])), results);
}
