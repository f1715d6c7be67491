/* Logarithms: log, log1p, and the inverse hyperbolic functions made of them.
 *
 * x = 2^e m with m in [sqrt(1/2), sqrt(2)), so that log(x) = e log(2) + log(1 + f), f = m - 1
 * exact. f64 takes log(1 + f) = 2 atanh(f / (2 + f)) and f32 a polynomial of f; the leading
 * f - f^2 / 2 is kept apart so that the rest is small.
 */
#include "compiler/codegen/vmath_build.h"
#include "compiler/codegen/vmath_coef.h"

/* Adding the right offset to the bits moves the point where the exponent
 * steps from 1 to sqrt(1/2). */
vparts vsplit(const vm *m, val x) {
    uint64_t sqrt_half = m->is64 ? UINT64_C(0x3fe6a09e667f3bcd) : UINT64_C(0x3f3504f3);
    val moved = viadd(m, vbits(m, x), vint(m, m->one_bits - sqrt_half));
    val mantissa_mask = vint(m, (UINT64_C(1) << m->mantissa) - 1);
    val mantissa = vfloat(m, viadd(m, viand(m, moved, mantissa_mask), vint(m, sqrt_half)));
    /* The biased exponent as the low bits of a float with the exponent of 2^mantissa. */
    double base = m->is64 ? 0x1p52 : 0x1p23;
    val exponent = vfloat(m, vior(m, vishr(m, moved, m->mantissa), vbits(m, vnum(m, base))));
    return (vparts){vsub(m, exponent, vnum(m, base + m->bias)), mantissa};
}

val vlog_core(const vm *m, val u, val c, val e) {
    const double *ln2 = m->is64 ? ln2_64 : ln2_32;
    vparts p = vsplit(m, u);
    val exponent = e ? vadd(m, p.exponent, e) : p.exponent;
    val f = vsub(m, p.mantissa, vnum(m, 1));
    val low = vmul(m, exponent, vnum(m, ln2[1]));
    if (c) low = vadd(m, low, vdiv(m, c, u));
    val half_square = vmul(m, vmul(m, f, f), vnum(m, 0.5));
    val rest;
    if (m->is64) {
        /* log(1 + f) = f - f^2/2 + s (f^2/2 + r) with s = f / (2 + f), r = s^2 poly(s^2). */
        val s = vdiv(m, f, vadd(m, f, vnum(m, 2)));
        val z = vmul(m, s, s);
        rest = vmad(m, s, vmad(m, z, vpoly64(m, z, log), half_square), low);
    } else {
        rest = vmad(m, vmul(m, vmul(m, f, f), f), vpoly32(m, f, log), low);
    }
    val inner = vadd(m, vsub(m, rest, half_square), f);
    return vmad(m, exponent, vnum(m, ln2[0]), inner);
}

/* `result` for x > 0; -inf at 0, NaN below, and x itself where it is inf or NaN. */
static val patch_log(const vm *m, val x, val result) {
    val zero = vnum(m, 0);
    result = vsel(m, vlt(m, x, vinf(m)), result, x);
    result = vsel(m, veq(m, x, zero), vneg(m, vinf(m)), result);
    return vsel(m, vlt(m, x, zero), vnan(m), result);
}

val vmath_log(const vm *m, const val *a) {
    val denormal = vlt(m, a[0], vnum(m, m->min_normal));
    double step = m->is64 ? 54 : 25;
    val u = vsel(m, denormal, vmul(m, a[0], vnum(m, m->is64 ? 0x1p54 : 0x1p25)), a[0]);
    val e = vsel(m, denormal, vnum(m, -step), vnum(m, 0));
    return patch_log(m, a[0], vlog_core(m, u, NULL, e));
}

/* log(1 + x) for x > -1, with 1 + x taken as an exact pair. */
static val log1p_finite(const vm *m, val x, val e) {
    vpair u = vtwo_sum(m, vnum(m, 1), x);
    return vlog_core(m, u.hi, u.lo, e);
}

val vmath_log1p(const vm *m, const val *a) {
    val x = a[0];
    val result = log1p_finite(m, x, NULL);
    result = vsel(m, vlt(m, x, vinf(m)), result, x);
    result = vsel(m, veq(m, x, vnum(m, -1)), vneg(m, vinf(m)), result);
    result = vsel(m, vlt(m, x, vnum(m, -1)), vnan(m), result);
    val tiny = vlt(m, vabs(m, x), vnum(m, m->is64 ? 0x1p-54 : 0x1p-25));
    return vsel(m, tiny, x, result);
}

/* From here on f64 only: squares must not overflow, so above `HUGE_ARGUMENT` log(2 x) is taken,
 * which is then exact enough. */
#define HUGE_ARGUMENT 0x1p28

/* log1p(t + x^2 / (1 + sqrt(1 + x^2))) for t = |x|. */
val vmath_asinh(const vm *m, const val *a) {
    if (!m->is64) return vin_f64(m, vmath_asinh, a, 1);
    val x = vabs(m, a[0]);
    val one = vnum(m, 1), zero = vnum(m, 0);
    val huge = vgt(m, x, vnum(m, HUGE_ARGUMENT));
    val y = vsel(m, huge, one, x);
    val square = vmul(m, y, y);
    val root = vsqrt(m, vadd(m, square, one));
    val sum = vadd(m, y, vdiv(m, square, vadd(m, root, one)));
    vpair u = vtwo_sum(m, one, sum);
    val result = vlog_core(m, vsel(m, huge, x, u.hi), vsel(m, huge, zero, u.lo), vsel(m, huge, one, zero));
    result = vsel(m, vlt(m, x, vinf(m)), result, x);
    result = vsel(m, vlt(m, x, vnum(m, 0x1p-28)), x, result);
    return vcopysign(m, result, a[0]);
}

/* log1p(t + sqrt(t (t + 2))) for t = x - 1. */
val vmath_acosh(const vm *m, const val *a) {
    if (!m->is64) return vin_f64(m, vmath_acosh, a, 1);
    val x = a[0];
    val one = vnum(m, 1), zero = vnum(m, 0);
    val huge = vgt(m, x, vnum(m, HUGE_ARGUMENT));
    val t = vsub(m, vsel(m, huge, one, x), one);
    val root = vsqrt(m, vmul(m, t, vadd(m, t, vnum(m, 2))));
    vpair u = vtwo_sum(m, one, vadd(m, t, root));
    val result = vlog_core(m, vsel(m, huge, x, u.hi), vsel(m, huge, zero, u.lo), vsel(m, huge, one, zero));
    result = vsel(m, vlt(m, x, vinf(m)), result, x);
    return vsel(m, vlt(m, x, one), vnan(m), result);
}

/* log1p(2 x / (1 - x)) / 2. */
val vmath_atanh(const vm *m, const val *a) {
    if (!m->is64) return vin_f64(m, vmath_atanh, a, 1);
    val x = vabs(m, a[0]);
    val one = vnum(m, 1);
    val t = vdiv(m, vadd(m, x, x), vsub(m, one, x));
    val result = vmul(m, log1p_finite(m, t, NULL), vnum(m, 0.5));
    result = vsel(m, veq(m, x, one), vinf(m), result);
    result = vsel(m, vgt(m, x, one), vnan(m), result);
    result = vsel(m, vlt(m, x, vnum(m, 0x1p-28)), x, result);
    return vcopysign(m, result, a[0]);
}
