/* Exponential functions: exp, exp2, expm1, and what is made of them: logistic, tanh, sinh, cosh.
 *
 * All reduce x = k log(2) + r with whole k and |r| <= log(2) / 2 (Cody and Waite 1980, chapter
 * 6), take a polynomial of r, and multiply by 2^k in two steps, so that overflow and gradual
 * underflow come out of the last multiplication.
 */
#include "compiler/codegen/vmath_build.h"
#include "compiler/codegen/vmath_coef.h"

/* The value itself inside, else the nearer bound; NaN stays. */
static val clamp(const vm *m, val x, double low, double high) {
    return vmin(m, vnum(m, high), vmax(m, vnum(m, low), x));
}

typedef struct reduced {
    val k, r;
    val lost; /* r + lost is closer */
} reduced;

static reduced reduce(const vm *m, val x) {
    const double *ln2 = m->is64 ? ln2_64 : ln2_32;
    val k = vround(m, vmul(m, x, vnum(m, log2e_dd[0])));
    val head = vmad(m, k, vnum(m, -ln2[0]), x); /* exact */
    val r = vmad(m, k, vnum(m, -ln2[1]), head);
    return (reduced){k, r, vmad(m, k, vnum(m, -ln2[1]), vsub(m, head, r))};
}

/* e^x 2^shift for x in the range where neither factor's logarithm passes 3 times the bias. */
static val exp_shifted(const vm *m, val x, double shift) {
    reduced a = reduce(m, x);
    val square = vmul(m, a.r, a.r);
    val p = vadd(m, vmad(m, square, vpoly(m, a.r, exp), a.r), vnum(m, 1));
    return vscale(m, p, shift != 0 ? vadd(m, a.k, vnum(m, shift)) : a.k);
}

val vmath_exp(const vm *m, const val *a) {
    /* Beyond these the result is 0 or infinity. */
    val x = m->is64 ? clamp(m, a[0], -746, 710) : clamp(m, a[0], -104, 89);
    return exp_shifted(m, x, 0);
}

val vmath_exp2(const vm *m, const val *a) {
    val x = m->is64 ? clamp(m, a[0], -1080, 1025) : clamp(m, a[0], -160, 129);
    val k = vround(m, x);
    val r = vsub(m, x, k);
    val slope = vpoly(m, r, exp2);
    if (m->is64) slope = vadd(m, slope, vnum(m, ln2_dd[0]));
    return vscale(m, vmad(m, r, slope, vnum(m, 1)), k);
}

/* e^r - 1 + (1 - 2^-k), times 2^k: the two differences are exact or nearly so. */
val vmath_expm1(const vm *m, const val *a) {
    val x = m->is64 ? clamp(m, a[0], -40, 710) : clamp(m, a[0], -20, 89);
    reduced p = reduce(m, x);
    val em1 = vadd(m, vmad(m, vmul(m, p.r, p.r), vpoly(m, p.r, expm1), p.lost), p.r);
    val inverse_scale = vpow2(m, vneg(m, vmin(m, p.k, vnum(m, 64))));
    val result = vscale(m, vadd(m, em1, vsub(m, vnum(m, 1), inverse_scale)), p.k);
    val tiny = vlt(m, vabs(m, a[0]), vnum(m, m->is64 ? 0x1p-54 : 0x1p-25));
    return vsel(m, tiny, a[0], result);
}

/* 1 / (1 + t) or t / (1 + t) with t = e^-|x|, which never overflows. */
val vmath_logistic(const vm *m, const val *a) {
    val negative = vneg(m, vabs(m, a[0]));
    val t = vmath_exp(m, &negative);
    val one = vnum(m, 1);
    return vdiv(m, vsel(m, vlt(m, a[0], vnum(m, 0)), t, one), vadd(m, t, one));
}

/* t / (t + 2) with t = e^(2|x|) - 1. */
val vmath_tanh(const vm *m, const val *a) {
    val y = vabs(m, a[0]);
    y = vmin(m, vnum(m, m->is64 ? 44 : 22), vadd(m, y, y));
    val t = vmath_expm1(m, &y);
    return vcopysign(m, vdiv(m, t, vadd(m, t, vnum(m, 2))), a[0]);
}

/* e^|x| / 2 without overflow before the result overflows. */
static val half_exp(const vm *m, val x) { return exp_shifted(m, vmin(m, vnum(m, 712), vabs(m, x)), -1); }

/* A polynomial below 1, above it (E - 1 / E) / 2. */
val vmath_sinh(const vm *m, const val *a) {
    if (!m->is64) return vin_f64(m, vmath_sinh, a, 1);
    val x = vabs(m, a[0]);
    val z = vmul(m, x, x);
    val small = vmad(m, vmul(m, x, z), vpoly64(m, z, sinh), x);
    val e = half_exp(m, x);
    val large = vsub(m, e, vdiv(m, vnum(m, 0.25), e));
    return vcopysign(m, vsel(m, vlt(m, x, vnum(m, 1)), small, large), a[0]);
}

val vmath_cosh(const vm *m, const val *a) {
    if (!m->is64) return vin_f64(m, vmath_cosh, a, 1);
    val e = half_exp(m, a[0]);
    return vadd(m, e, vdiv(m, vnum(m, 0.25), e));
}
