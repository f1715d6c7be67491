/* Decompositions of activation functions.
 *
 * law: no intermediate overflows where the result does not; the side of a select that is not
 *      taken stays finite, so that its gradient does too
 */
#include "ir/columns.h"
#include "ir/expand.h"

#define UNUSED(g, n, attrs) (void)(g), (void)(n), (void)(attrs)

/* Gradients end here (grad_stop); for all else the operand stands for it. */
bool expand_stop_gradient(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    UNUSED(g, n, attrs);
    return expand_done(x[0], results);
}

bool expand_relu(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    UNUSED(g, n, attrs);
    return expand_done(tn_max_scalar(x[0], 0), results);
}

bool expand_leaky_relu(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    UNUSED(g, n, attrs);
    tn_dtype dtype = (tn_dtype)tn_type_of(x[0]).dtype;
    tn_val wide = expand_widen(x[0]);
    tn_val is_positive = tn_greater_equal(wide, tn_scalar(g, TN_F32, 0));
    tn_val y = tn_select(is_positive, wide, tn_mul_scalar(wide, attr_float(attrs, ATTR_alpha, 0.01)));
    return expand_done(expand_narrow(y, dtype), results);
}

bool expand_elu(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    UNUSED(g, n, attrs);
    tn_dtype dtype = (tn_dtype)tn_type_of(x[0]).dtype;
    tn_val wide = expand_widen(x[0]);
    tn_val below = tn_mul_scalar(tn_expm1(tn_min_scalar(wide, 0)), attr_float(attrs, ATTR_alpha, 1));
    tn_val y = tn_select(tn_greater(wide, tn_scalar(g, TN_F32, 0)), wide, below);
    return expand_done(expand_narrow(y, dtype), results);
}

bool expand_gelu(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    UNUSED(g, n, attrs);
    tn_dtype dtype = (tn_dtype)tn_type_of(x[0]).dtype;
    tn_val wide = expand_widen(x[0]), bent;
    if (attr_int(attrs, ATTR_approximate, 0)) {
        const double sqrt_2_over_pi = 0.79788456080286535588;
        tn_val cube = tn_mul(tn_mul(wide, wide), wide);
        bent = tn_tanh(tn_mul_scalar(tn_add(wide, tn_mul_scalar(cube, 0.044715)), sqrt_2_over_pi));
    } else {
        const double sqrt_half = 0.70710678118654752440;
        bent = tn_erf(tn_mul_scalar(wide, sqrt_half));
    }
    tn_val y = tn_mul(tn_mul_scalar(wide, 0.5), tn_add_scalar(bent, 1));
    return expand_done(expand_narrow(y, dtype), results);
}

bool expand_silu(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    UNUSED(g, n, attrs);
    tn_val wide = expand_widen(x[0]);
    return expand_done(expand_narrow(tn_mul(wide, tn_logistic(wide)), (tn_dtype)tn_type_of(x[0]).dtype), results);
}

bool expand_sigmoid(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    UNUSED(g, n, attrs);
    return expand_done(tn_logistic(x[0]), results);
}

/* clamp(slope * x + offset, 0, 1) */
static tn_val ramp(tn_val x, double slope, double offset) {
    tn_graph *g = x.graph;
    tn_val line = tn_add_scalar(tn_mul_scalar(x, slope), offset);
    return tn_clamp(tn_scalar(g, TN_F32, 0), line, tn_scalar(g, TN_F32, 1));
}

bool expand_hard_sigmoid(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    UNUSED(g, n, attrs);
    double slope = attr_float(attrs, ATTR_alpha, 1.0 / 6), offset = attr_float(attrs, ATTR_beta, 0.5);
    tn_val y = ramp(expand_widen(x[0]), slope, offset);
    return expand_done(expand_narrow(y, (tn_dtype)tn_type_of(x[0]).dtype), results);
}

bool expand_hard_swish(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    UNUSED(g, n, attrs);
    tn_val wide = expand_widen(x[0]);
    tn_val y = tn_mul(wide, ramp(wide, 1.0 / 6, 0.5));
    return expand_done(expand_narrow(y, (tn_dtype)tn_type_of(x[0]).dtype), results);
}

/* log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)) */
bool expand_softplus(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    UNUSED(g, n, attrs);
    tn_val wide = expand_widen(x[0]);
    tn_val y = tn_add(tn_max_scalar(wide, 0), tn_log1p(tn_exp(tn_neg(tn_abs(wide)))));
    return expand_done(expand_narrow(y, (tn_dtype)tn_type_of(x[0]).dtype), results);
}

bool expand_mish(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    UNUSED(g, n, attrs);
    tn_val wide = expand_widen(x[0]);
    tn_val y = tn_mul(wide, tn_tanh(tn_softplus(wide)));
    return expand_done(expand_narrow(y, (tn_dtype)tn_type_of(x[0]).dtype), results);
}
