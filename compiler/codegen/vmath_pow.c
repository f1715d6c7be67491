/* x to the power of y = exp(y log|x|), with C's special cases.
 *
 * y log|x| reaches 745, so an error of the logarithm counts 745-fold: f64 carries the logarithm
 * and the product as pairs. f32 computes both in plain f64.
 */
#include "compiler/codegen/vmath_build.h"
#include "compiler/codegen/vmath_coef.h"

/* log(x) to about 70 bits, for normal positive x, plus e log(2). */
static vpair log_pair(const vm *m, val x, val e) {
    vparts p = vsplit(m, x);
    val f = vsub(m, p.mantissa, vnum(m, 1));
    vpair s = vpair_div(m, (vpair){f, vnum(m, 0)}, vfast_two_sum(m, vnum(m, 2), f));
    vpair z = vpair_mul(m, s, s);
    /* 2 s + s z (2/3 + z (2/5 + z poly(z))) */
    vpair fifth = vfast_two_sum(m, vnum(m, two_fifths_dd[0]), vmul(m, z.hi, vpoly64(m, z.hi, pow)));
    fifth.lo = vadd(m, fifth.lo, vnum(m, two_fifths_dd[1]));
    vpair third = vpair_add(m, vpair_num(m, two_thirds_dd), vpair_mul(m, z, fifth));
    vpair cubic = vpair_mul(m, vpair_mul(m, s, z), third);
    vpair twice = {vadd(m, s.hi, s.hi), vadd(m, s.lo, s.lo)};
    val exponent = vadd(m, p.exponent, e);
    vpair base = vtwo_prod(m, exponent, vnum(m, ln2_dd[0]));
    base.lo = vmad(m, exponent, vnum(m, ln2_dd[1]), base.lo);
    return vpair_add(m, base, vpair_add(m, twice, cubic));
}

/* e^(x.hi + x.lo). */
static val exp_pair(const vm *m, vpair x) {
    vwhole k = vnearest(m, x.hi, log2e_dd[0]);
    val head = vsub(m, x.hi, vmul(m, k.value, vnum(m, ln2_64[0]))); /* both exact */
    vpair r = vtwo_sum(m, head, vmul(m, k.value, vnum(m, -ln2_64[1])));
    r = vfast_two_sum(m, r.hi, vadd(m, r.lo, x.lo));
    vpair one_r = vfast_two_sum(m, vnum(m, 1), r.hi);
    val tail = vmad(m, vmul(m, r.hi, r.hi), vpoly64(m, r.hi, exp), vadd(m, one_r.lo, vmul(m, r.lo, one_r.hi)));
    return vscale(m, vadd(m, one_r.hi, tail), k);
}

/* |x|^y for finite positive |x|, accurate to about half an ulp. */
static val magnitude_64(const vm *m, val x, val y) {
    val denormal = vlt(m, x, vnum(m, m->min_normal));
    val u = vsel(m, denormal, vmul(m, x, vnum(m, 0x1p54)), x);
    vpair l = log_pair(m, u, vsel(m, denormal, vnum(m, -54), vnum(m, 0)));
    /* |log(x)| >= 2^-53 unless x = 1, so a larger y changes nothing. */
    val bounded = vmax(m, vnum(m, -0x1p70), vmin(m, vnum(m, 0x1p70), y));
    vpair p = vtwo_prod(m, bounded, l.hi);
    p = vfast_two_sum(m, p.hi, vmad(m, bounded, l.lo, p.lo));
    val beyond = vgt(m, vabs(m, p.hi), vnum(m, 750));
    p.hi = vmax(m, vnum(m, -750), vmin(m, vnum(m, 750), p.hi));
    p.lo = vsel(m, beyond, vnum(m, 0), p.lo);
    return exp_pair(m, p);
}

static val magnitude_32(const vm *m, val x, val y) {
    const vm w = vm_f64(m);
    val exponent = vmul(&w, vwiden(m, y), vlog_core(&w, vwiden(m, x), NULL, NULL));
    return vnarrow(m, vmath_exp(&w, &exponent));
}

val vmath_pow(const vm *m, const val *a) {
    val x = vabs(m, a[0]), y = a[1];
    val one = vnum(m, 1), zero = vnum(m, 0), inf = vinf(m);
    val result = m->is64 ? magnitude_64(m, x, y) : magnitude_32(m, x, y);

    /* 0 and infinity to the power of y, and x to the power of infinity. */
    val y_positive = vgt(m, y, zero);
    val grows = vixor(m, vlt(m, x, one), y_positive);
    val x_extreme = vor(m, veq(m, x, zero), veq(m, x, inf));
    val y_infinite = veq(m, vabs(m, y), inf);
    result = vsel(m, vor(m, x_extreme, y_infinite), vsel(m, grows, inf, zero), result);

    /* Negative x: a sign for odd y, NaN unless y is whole (every large y is even). */
    val whole = veq(m, vtrunc(m, y), y);
    val half = vmul(m, y, vnum(m, 0.5));
    val odd = vand(m, whole, vne(m, vtrunc(m, half), half));
    result = vsel(m, vand(m, odd, vis_negative(m, a[0])), vneg(m, result), result);
    val finite_negative = vand(m, vlt(m, a[0], zero), vlt(m, x, inf));
    result = vsel(m, vand(m, finite_negative, vnot(m, whole)), vnan(m), result);

    /* NaN, then the bases and powers that give 1 even with NaN. */
    val is_nan = LLVMBuildFCmp(m->b, LLVMRealUNO, a[0], y, "");
    result = vsel(m, is_nan, vnan(m), result);
    val minus_one_to_infinity = vand(m, y_infinite, veq(m, x, one));
    val is_one = vor(m, vor(m, veq(m, y, zero), veq(m, a[0], one)), minus_one_to_infinity);
    return vsel(m, is_one, one, result);
}
