/* Gradient rules of activations: the cotangent times a slope that depends on the operand alone.
 *
 * The slope is one value, so that a forward kernel stores it rather than all that goes into it. What it shares with
 * the activation is written as its decomposition does (ir/expand_activation.c). Smaller floats are computed in f32.
 *
 * Edges: relu has slope 0 at 0, leaky_relu and elu alpha, the hard ones 0 at either bend.
 */
#include "ir/columns.h"
#include "ir/expand.h"
#include "ir/grad.h"

static tn_dtype dtype_of(tn_val x) { return (tn_dtype)tn_type_of(x).dtype; }

/* dy * slope, in what the slope is computed in. */
static void chain(const grad_args *c, tn_val slope) {
    c->dx[0] = expand_narrow(tn_mul(expand_widen(c->dy[0]), slope), dtype_of(c->x[0]));
}

void grad_relu(grad_args *c) { c->dx[0] = grad_where(tn_greater(c->y[0], grad_zeros(c->y[0])), c->dy[0]); }

void grad_leaky_relu(grad_args *c) {
    tn_val is_positive = tn_greater(c->x[0], grad_zeros(c->x[0]));
    tn_val less = tn_mul_scalar(c->dy[0], attr_float(&c->attrs, ATTR_alpha, 0.01));
    c->dx[0] = tn_select(is_positive, c->dy[0], less);
}

void grad_elu(grad_args *c) {
    tn_val x = expand_widen(c->x[0]);
    tn_val bent = tn_mul_scalar(tn_exp(tn_min_scalar(x, 0)), attr_float(&c->attrs, ATTR_alpha, 1));
    chain(c, tn_select(tn_greater(x, grad_zeros(x)), grad_fill(x, 1), bent));
}

/* y = x * cdf(x): cdf(x) + x * density(x) */
static tn_val gelu_slope(tn_val x) {
    const double sqrt_half = 0.70710678118654752440, root_2_pi = 0.39894228040143267794;
    tn_val scaled = tn_mul_scalar(x, sqrt_half);
    tn_val cdf = tn_mul_scalar(tn_add_scalar(tn_erf(scaled), 1), 0.5);
    tn_val density = tn_mul_scalar(tn_exp(tn_neg(tn_mul(scaled, scaled))), root_2_pi);
    return tn_add(cdf, tn_mul(x, density));
}

/* y = x * (1 + t) / 2, t = tanh(u(x)) */
static tn_val gelu_tanh_slope(tn_val x) {
    const double sqrt_2_over_pi = 0.79788456080286535588, cubic = 0.044715;
    tn_val square = tn_mul(x, x), cube = tn_mul(square, x);
    tn_val t = tn_tanh(tn_mul_scalar(tn_add(x, tn_mul_scalar(cube, cubic)), sqrt_2_over_pi));
    tn_val inner = tn_mul_scalar(tn_add_scalar(tn_mul_scalar(square, 3 * cubic), 1), 0.5 * sqrt_2_over_pi);
    tn_val bend = tn_mul(tn_mul(x, grad_one_minus_square(t)), inner);
    return tn_add(tn_mul_scalar(tn_add_scalar(t, 1), 0.5), bend);
}

void grad_gelu(grad_args *c) {
    tn_val x = expand_widen(c->x[0]);
    chain(c, attr_int(&c->attrs, ATTR_approximate, 0) ? gelu_tanh_slope(x) : gelu_slope(x));
}

void grad_sigmoid(grad_args *c) { c->dx[0] = tn_mul(c->dy[0], tn_mul(c->y[0], grad_one_minus(c->y[0]))); }

/* s * (1 + x * (1 - s)) */
void grad_silu(grad_args *c) {
    tn_val x = expand_widen(c->x[0]), s = tn_logistic(x);
    chain(c, tn_mul(s, tn_add_scalar(tn_mul(x, grad_one_minus(s)), 1)));
}

void grad_softplus(grad_args *c) { chain(c, tn_logistic(expand_widen(c->x[0]))); }

/* y = x * t, t = tanh(softplus(x)): t + x * (1 - t^2) * logistic(x) */
void grad_mish(grad_args *c) {
    tn_val x = expand_widen(c->x[0]), t = tn_tanh(tn_softplus(x));
    tn_val bend = tn_mul(grad_one_minus_square(t), tn_logistic(x));
    chain(c, tn_add(t, tn_mul(x, bend)));
}

/* Whether the line lies between its bends. */
static tn_val is_between(tn_val x, double low, double high) {
    return tn_and(tn_greater(x, grad_fill(x, low)), tn_less(x, grad_fill(x, high)));
}

void grad_hard_sigmoid(grad_args *c) {
    tn_val x = expand_widen(c->x[0]);
    double slope = attr_float(&c->attrs, ATTR_alpha, 1.0 / 6), offset = attr_float(&c->attrs, ATTR_beta, 0.5);
    tn_val line = tn_add_scalar(tn_mul_scalar(x, slope), offset);
    chain(c, grad_where(is_between(line, 0, 1), grad_fill(x, slope)));
}

/* y = x * (x / 6 + 1 / 2) between the bends, then x */
void grad_hard_swish(grad_args *c) {
    tn_val x = expand_widen(c->x[0]);
    tn_val line = tn_add_scalar(tn_mul_scalar(x, 1.0 / 3), 0.5);
    tn_val outside = tn_select(tn_greater(x, grad_zeros(x)), grad_fill(x, 1), grad_zeros(x));
    chain(c, tn_select(is_between(x, -3, 3), line, outside));
}
