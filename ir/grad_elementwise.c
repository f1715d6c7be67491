/* Gradient rules of elementwise ops.
 *
 * A function of one operand contributes dy * slope; slopes are written with the result where that is
 * possible, so that nothing but the result has to be kept.
 *
 * Edges, where a function has no derivative: abs has slope 0 at 0; of equal operands of max and min each gets half;
 * clamp passes within its bounds, bounds included; sqrt has slope +inf at 0; pow has slope 0 in the base where the
 * exponent is 0, and in the exponent where the base is 0 and the exponent is not negative; atan2 has slope 0 at the
 * origin.
 */
#include "ir/columns.h"
#include "ir/dtype.h"
#include "ir/grad.h"

static void chain(const grad_args *c, tn_val slope) { c->dx[0] = tn_mul(c->dy[0], slope); }

/* ---- One operand -------------------------------------------------------------------------------- */

void grad_neg(grad_args *c) { c->dx[0] = tn_neg(c->dy[0]); }
void grad_abs(grad_args *c) { chain(c, tn_sign(c->x[0])); }
void grad_exp(grad_args *c) { chain(c, c->y[0]); }
void grad_exp2(grad_args *c) { chain(c, tn_mul_scalar(c->y[0], 0.69314718055994530942)); }
void grad_log(grad_args *c) { c->dx[0] = tn_div(c->dy[0], c->x[0]); }
void grad_log1p(grad_args *c) { c->dx[0] = tn_div(c->dy[0], tn_add_scalar(c->x[0], 1)); }
void grad_expm1(grad_args *c) { chain(c, tn_exp(c->x[0])); }
void grad_sqrt(grad_args *c) { c->dx[0] = tn_div(tn_mul_scalar(c->dy[0], 0.5), c->y[0]); }
void grad_sin(grad_args *c) { chain(c, tn_cos(c->x[0])); }
void grad_cos(grad_args *c) { chain(c, tn_neg(tn_sin(c->x[0]))); }
void grad_tan(grad_args *c) { chain(c, tn_add_scalar(tn_mul(c->y[0], c->y[0]), 1)); }
void grad_sinh(grad_args *c) { chain(c, tn_cosh(c->x[0])); }
void grad_cosh(grad_args *c) { chain(c, tn_sinh(c->x[0])); }

void grad_tanh(grad_args *c) { chain(c, grad_one_minus_square(c->y[0])); }
void grad_logistic(grad_args *c) { chain(c, tn_mul(c->y[0], grad_one_minus(c->y[0]))); }
void grad_asin(grad_args *c) { chain(c, tn_rsqrt(grad_one_minus_square(c->x[0]))); }
void grad_acos(grad_args *c) { chain(c, tn_neg(tn_rsqrt(grad_one_minus_square(c->x[0])))); }
void grad_atan(grad_args *c) { c->dx[0] = tn_div(c->dy[0], tn_add_scalar(tn_mul(c->x[0], c->x[0]), 1)); }
void grad_asinh(grad_args *c) { chain(c, tn_rsqrt(tn_add_scalar(tn_mul(c->x[0], c->x[0]), 1))); }
void grad_atanh(grad_args *c) { c->dx[0] = tn_div(c->dy[0], grad_one_minus_square(c->x[0])); }

/* (x - 1) * (x + 1) is exact enough near 1, where acosh begins. */
void grad_acosh(grad_args *c) { chain(c, tn_rsqrt(tn_mul(tn_sub_scalar(c->x[0], 1), tn_add_scalar(c->x[0], 1)))); }

void grad_rsqrt(grad_args *c) {
    tn_val cube = tn_mul(tn_mul(c->y[0], c->y[0]), c->y[0]);
    chain(c, tn_mul_scalar(cube, -0.5));
}

void grad_erf(grad_args *c) {
    const double two_over_root_pi = 1.12837916709551257390;
    chain(c, tn_mul_scalar(tn_exp(tn_neg(tn_mul(c->x[0], c->x[0]))), two_over_root_pi));
}

/* From a float to another; what comes from integers has no cotangent. */
void grad_convert(grad_args *c) { c->dx[0] = tn_convert(c->dy[0], (tn_dtype)tn_type_of(c->x[0]).dtype); }

/* ---- Two operands --------------------------------------------------------------------------------- */

void grad_add(grad_args *c) { c->dx[0] = c->dx[1] = c->dy[0]; }

void grad_sub(grad_args *c) {
    c->dx[0] = c->dy[0];
    if (c->wanted[1]) c->dx[1] = tn_neg(c->dy[0]);
}

void grad_mul(grad_args *c) {
    if (c->wanted[0]) c->dx[0] = tn_mul(c->dy[0], c->x[1]);
    if (c->wanted[1]) c->dx[1] = tn_mul(c->dy[0], c->x[0]);
}

void grad_div(grad_args *c) {
    tn_val part = tn_div(c->dy[0], c->x[1]);
    c->dx[0] = part;
    if (c->wanted[1]) c->dx[1] = tn_neg(tn_mul(part, c->y[0]));
}

/* x rem y = x - trunc(x / y) * y, and trunc(x / y) is (x - x rem y) / y but for rounding. */
void grad_rem(grad_args *c) {
    c->dx[0] = c->dy[0];
    if (!c->wanted[1]) return;
    tn_val quotient = tn_round(tn_div(tn_sub(c->x[0], c->y[0]), c->x[1]));
    c->dx[1] = tn_neg(tn_mul(c->dy[0], quotient));
}

void grad_pow(grad_args *c) {
    tn_val base = c->x[0], exponent = c->x[1], zero = grad_zeros(base);
    if (c->wanted[0]) {
        tn_val slope = tn_mul(exponent, tn_pow(base, tn_sub_scalar(exponent, 1)));
        c->dx[0] = tn_mul(c->dy[0], tn_select(tn_equal(exponent, zero), zero, slope));
    }
    if (c->wanted[1]) {
        tn_val is_flat = tn_and(tn_equal(base, zero), tn_greater_equal(exponent, zero));
        /* log of a harmless number where it is not used: 0 * -inf would be NaN in a second derivative. */
        tn_val slope = tn_mul(c->y[0], tn_log(tn_select(is_flat, grad_fill(base, 1), base)));
        c->dx[1] = tn_mul(c->dy[0], tn_select(is_flat, zero, slope));
    }
}

void grad_atan2(grad_args *c) {
    tn_val y = c->x[0], x = c->x[1];
    tn_val square = tn_add(tn_mul(y, y), tn_mul(x, x)), is_origin = tn_equal(square, grad_zeros(square));
    tn_val part = grad_where(tn_not(is_origin), tn_div(c->dy[0], tn_select(is_origin, grad_fill(square, 1), square)));
    if (c->wanted[0]) c->dx[0] = tn_mul(part, x);
    if (c->wanted[1]) c->dx[1] = tn_neg(tn_mul(part, y));
}

/* All of dy where `wins`, half where the operands are equal. */
static tn_val share(const grad_args *c, tn_val wins, tn_val is_tie) {
    return tn_select(is_tie, tn_mul_scalar(c->dy[0], 0.5), grad_where(wins, c->dy[0]));
}

static void choose(grad_args *c, tn_val first_wins, tn_val second_wins) {
    tn_val is_tie = tn_equal(c->x[0], c->x[1]);
    if (c->wanted[0]) c->dx[0] = share(c, first_wins, is_tie);
    if (c->wanted[1]) c->dx[1] = share(c, second_wins, is_tie);
}

void grad_max(grad_args *c) { choose(c, tn_greater(c->x[0], c->x[1]), tn_less(c->x[0], c->x[1])); }
void grad_min(grad_args *c) { choose(c, tn_less(c->x[0], c->x[1]), tn_greater(c->x[0], c->x[1])); }

/* ---- Three operands ------------------------------------------------------------------------------- */

void grad_select(grad_args *c) {
    tn_val zero = grad_zeros(c->dy[0]);
    if (c->wanted[1]) c->dx[1] = tn_select(c->x[0], c->dy[0], zero);
    if (c->wanted[2]) c->dx[2] = tn_select(c->x[0], zero, c->dy[0]);
}

void grad_fma(grad_args *c) {
    grad_mul(c);
    c->dx[2] = c->dy[0];
}

/* min(max(x, low), high) */
void grad_clamp(grad_args *c) {
    tn_val low = c->x[0], x = c->x[1], high = c->x[2], raised = tn_max(x, low);
    tn_val is_high = tn_greater(raised, high), is_low = tn_and(tn_less(x, low), tn_not(is_high));
    if (c->wanted[0]) c->dx[0] = grad_where(is_low, c->dy[0]);
    if (c->wanted[1]) c->dx[1] = grad_where(tn_not(tn_or(is_low, is_high)), c->dy[0]);
    if (c->wanted[2]) c->dx[2] = grad_where(is_high, c->dy[0]);
}
