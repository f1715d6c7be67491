/* Exponential functions: exp, exp2, expm1, and what is made of them: logistic, tanh, sinh, cosh.
 *
 * All reduce x = k log(2) + r with whole k and |r| <= log(2) / 2 (Cody and Waite 1980, chapter
 * 6), take a polynomial of r, and multiply by 2^k in two steps, so that overflow and gradual
 * underflow come out of the last operation.
 *
 * f64 carries what sums and quotients lose in pairs. The f32 forms of exp, logistic and tanh, which
 * neural networks are full of, keep 2^k and e^r - 1 apart for as long as that is exact instead.
 */
#include "compiler/codegen/vmath_build.h"
#include "compiler/codegen/vmath_coef.h"
#include "runtime/fault.h"

/* The value itself inside, else the nearer bound; NaN stays. */
static val clamp(const vm *m, val x, double low, double high) {
    return vmin(m, vnum(m, high), vmax(m, vnum(m, low), x));
}

typedef struct reduced {
    vwhole k;
    val r;
    val lost; /* r + lost is closer */
} reduced;

static reduced reduce(const vm *m, val x) {
    const double *ln2 = m->is64 ? ln2_64 : ln2_32;
    vwhole k = vnearest(m, x, log2e_dd[0]);
    val head = vmad(m, k.value, vnum(m, -ln2[0]), x); /* exact */
    val r = vmad(m, k.value, vnum(m, -ln2[1]), head);
    return (reduced){k, r, vmad(m, k.value, vnum(m, -ln2[1]), vsub(m, head, r))};
}

/* (sum.hi + sum.lo) 2^k, with sum.lo the smaller but not below an ulp of sum.hi. */
typedef struct scaled {
    vpair sum;
    vwhole k;
} scaled;

/* e^x in f64: what 1 + r loses goes to the smaller terms. */
static scaled exp_parts(const vm *m, val x) {
    reduced a = reduce(m, x);
    vpair head = vfast_two_sum(m, vnum(m, 1), a.r);
    val tail = vmad(m, vmul(m, a.r, a.r), vpoly64(m, a.r, exp), head.lo);
    return (scaled){{head.hi, tail}, a.k};
}

/* e^x - 1 as (1 - 2^-k) + (e^r - 1). */
static scaled expm1_parts(const vm *m, val x) {
    reduced a = reduce(m, x);
    val tail = vmad(m, vmul(m, a.r, a.r), vpoly(m, a.r, expm1), a.lost);
    vwhole minus_k = vwhole_of(m, vmax(m, vneg(m, a.k.value), vnum(m, -64)));
    val shift = vsub(m, vnum(m, 1), vpow2(m, minus_k));
    vpair head = vfast_two_sum(m, shift, a.r);
    return (scaled){{head.hi, vadd(m, head.lo, tail)}, a.k};
}

static val rounded(const vm *m, scaled s) { return vscale(m, vadd(m, s.sum.hi, s.sum.lo), s.k); }

/* a / b with hardly more error than the last rounding. */
static val quotient(const vm *m, vpair a, vpair b) {
    val inverse = vdiv(m, vnum(m, 1), b.hi);
    val q = vmul(m, a.hi, inverse);
    vpair back = vtwo_prod(m, q, b.hi);
    val rest = vsub(m, vsub(m, a.hi, back.hi), back.lo);
    rest = vadd(m, rest, vsub(m, a.lo, vmul(m, q, b.lo)));
    return vmad(m, rest, inverse, q);
}

/* x, or `otherwise` where the result is 0 anyway: a product that underflows takes CPUs tens of
 * cycles, and masks of -inf make many. */
static val unless_below(const vm *m, val argument, double low, double otherwise, val x) {
    if (vscales_at_once(m)) return x;
    return vsel(m, vlt(m, argument, vnum(m, low)), vnum(m, otherwise), x);
}

/* e^r - 1 for f32 and |r| <= log(2) / 2. */
static val expm1_of_rest(const vm *m, val r) {
    val square = vmul(m, r, r);
    return vmad(m, square, vpairs32(m, r, square, exp), r);
}

/* Here log(2) need not be exact: what k log(2) loses is small beside 1 - 2^-k. */
vdecay vdecay_f32(const vm *m, val x) {
    vwhole k = vnearest(m, x, log2e_dd[0]);
    val r = vmad(m, k.value, vnum(m, -ln2_dd[0]), x);
    return (vdecay){vpow2(m, k), expm1_of_rest(m, r)};
}

/* Beyond these bounds the result is 0 or infinity. */
static val exp_f32(const vm *m, val a) {
    reduced x = reduce(m, clamp(m, a, -104, 89));
    return vscale_1p(m, unless_below(m, a, -104, -1, expm1_of_rest(m, x.r)), x.k);
}

static val exp_f64(const vm *m, val a) {
    scaled s = exp_parts(m, clamp(m, a, -746, 710));
    return vscale(m, unless_below(m, a, -746, 0, vadd(m, s.sum.hi, s.sum.lo)), s.k);
}

val vmath_exp(const vm *m, const val *a) { return m->is64 ? exp_f64(m, a[0]) : exp_f32(m, a[0]); }

val vmath_exp2(const vm *m, const val *a) {
    double low = m->is64 ? -1080 : -160, high = m->is64 ? 1025 : 129;
    val x = clamp(m, a[0], low, high);
    vwhole k = vnearest(m, x, 1);
    val r = vsub(m, x, k.value);
    val slope = vpoly(m, r, exp2);
    if (m->is64) slope = vadd(m, slope, vnum(m, ln2_dd[0]));
    return vscale(m, unless_below(m, a[0], low, 0, vmad(m, r, slope, vnum(m, 1))), k);
}

val vmath_expm1(const vm *m, const val *a) {
    val x = m->is64 ? clamp(m, a[0], -40, 710) : clamp(m, a[0], -20, 89);
    val result = rounded(m, expm1_parts(m, x));
    val tiny = vlt(m, vabs(m, a[0]), vnum(m, m->is64 ? 0x1p-54 : 0x1p-25));
    return vsel(m, tiny, a[0], result);
}

/* 2^k / (2^k + e^-r), all times 2^24: so 2^k is normal down to where the quotient is 0. Of e^-r the factor and the
 * signs are in the coefficients: on what multiplies, and less on the division, this is bound. */
static val logistic_f32(const vm *m, val a) {
    enum { TERMS = sizeof exp_32 / sizeof exp_32[0] };
    const double scale = 0x1p24;
    double slope[1 + TERMS] = {-scale}; /* (e^-r - 1) / r */
    for (int i = 0; i < TERMS; i++) slope[1 + i] = (i % 2 ? -scale : scale) * exp_32[i];
    if (FAULT(logistic_coefficient)) slope[2] *= 1.05;
    reduced x = reduce(m, clamp(m, a, -104, 20));
    val power = vpow2(m, vwhole_plus(m, x.k, 24));
    return vdiv(m, power, vmad(m, x.r, vpoly_of(m, x.r, slope, 1 + TERMS), vadd(m, power, vnum(m, scale))));
}

/* 1 / (1 + t) or t / (1 + t) with t = e^-|x|, which never overflows. */
static val logistic_f64(const vm *m, val a) {
    scaled s = exp_parts(m, vmax(m, vnum(m, -746), vneg(m, vabs(m, a))));
    vpair t = vfast_two_sum(m, s.sum.hi, s.sum.lo);
    t = (vpair){vscale(m, t.hi, s.k), vscale(m, t.lo, s.k)};
    val zero = vnum(m, 0), one = vnum(m, 1);
    val is_negative = vlt(m, a, zero);
    vpair above = {vsel(m, is_negative, t.hi, one), vsel(m, is_negative, t.lo, zero)};
    vpair below = vfast_two_sum(m, one, t.hi);
    below.lo = vadd(m, below.lo, t.lo);
    return quotient(m, above, below);
}

val vmath_logistic(const vm *m, const val *a) { return m->is64 ? logistic_f64(m, a[0]) : logistic_f32(m, a[0]); }

/* (1 - t) / (1 + t) with t = e^(-2|x|), but for the sign. */
static val tanh_f32(const vm *m, val a) {
    val y = vmin(m, vnum(m, 10), vabs(m, a)), one = vnum(m, 1);
    vdecay t = vdecay_f32(m, vneg(m, vadd(m, y, y)));
    val above = vmad(m, t.rest, t.power, vsub(m, t.power, one));
    val below = vmad(m, t.rest, t.power, vadd(m, t.power, one));
    return vcopysign(m, vdiv(m, above, below), a);
}

/* t / (t + 2) with t = e^(2|x|) - 1. */
static val tanh_f64(const vm *m, val a) {
    val y = vabs(m, a);
    y = vmin(m, vnum(m, 44), vadd(m, y, y));
    scaled s = expm1_parts(m, y);
    vpair t = vfast_two_sum(m, s.sum.hi, s.sum.lo);
    val scale = vpow2(m, s.k); /* below 2^64 */
    t = (vpair){vmul(m, t.hi, scale), vmul(m, t.lo, scale)};
    vpair below = vtwo_sum(m, vnum(m, 2), t.hi);
    below.lo = vadd(m, below.lo, t.lo);
    val result = quotient(m, t, below);
    val tiny = vlt(m, y, vnum(m, 0x1p-54));
    return vcopysign(m, vsel(m, tiny, vmul(m, y, vnum(m, 0.5)), result), a);
}

val vmath_tanh(const vm *m, const val *a) { return m->is64 ? tanh_f64(m, a[0]) : tanh_f32(m, a[0]); }

/* e^|x| / 2 without overflow before the result overflows. */
static val half_exp(const vm *m, val x) {
    scaled e = exp_parts(m, vmin(m, vnum(m, 712), vabs(m, x)));
    e.k = vwhole_plus(m, e.k, -1);
    return rounded(m, e);
}

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
