/* Sine, cosine, tangent for every argument.
 *
 * in:  x = m 2^e
 * law: x 2/pi = q + t with whole q and |t| <= 1/2 about, t accurate to twice the result's bits,
 *      also next to multiples of pi/2 and for the largest floats
 *
 * The reduction multiplies the mantissa m by 2^e 2/pi mod 4, which a table holds for each e (f32)
 * or each 16th (f64), with more bits than m and cancellation use up (the idea of Payne and
 * Hanek 1983, in floating point). f32 does this in f64, where the products are exact.
 */
#include "compiler/codegen/vmath_build.h"
#include "compiler/codegen/vmath_coef.h"

#define COUNT_OF(array) ((unsigned)(sizeof(array) / sizeof(array)[0]))

/* |x| = q pi/2 + r: q modulo 4 in the low bits of an integer of the float's width. */
typedef struct quadrant {
    val q;
    vpair r; /* f32: an f64 in hi alone */
} quadrant;

static quadrant reduce_32(const vm *m, val x) {
    const vm w = vm_f64(m);
    val bits = vbits(m, x);
    val exponent = viand(m, vishr(m, bits, 23), vint(m, 255));
    /* There is no row for infinities and NaN: theirs is patched by the caller. */
    val index = vsel(m, vieq(m, exponent, vint(m, 255)), vint(m, 0), exponent);
    val mantissa = vfloat(m, vior(m, viand(m, bits, vint(m, 0x7fffff)), vint(m, m->one_bits)));
    val wide = vwiden(m, mantissa);
    val turns = vmul(&w, wide, vlookup(m, "vmath.turns.f32.0", turns_32_0, COUNT_OF(turns_32_0), index));
    val q = vround(&w, turns);
    val low = vlookup(m, "vmath.turns.f32.1", turns_32_1, COUNT_OF(turns_32_1), index);
    val t = vmad(&w, wide, low, vsub(&w, turns, q));
    val r = vmul(&w, t, vnum(&w, pio2_dd[0]));
    return (quadrant){LLVMBuildFPToSI(m->b, q, m->i, ""), {r, NULL}};
}

static quadrant reduce_64(const vm *m, val x) {
    val bits = vbits(m, x);
    val exponent = viand(m, vishr(m, bits, 52), vint(m, 2047));
    val safe = vsel(m, vieq(m, exponent, vint(m, 2047)), vint(m, 0), exponent);
    /* e = biased - 1023 = 16 row - 1024 + rest, rest = (biased + 1) mod 16. */
    val shifted = viadd(m, safe, vint(m, 1));
    val row = vishr(m, shifted, 4);
    val rest = viand(m, shifted, vint(m, 15));
    val mantissa_bits = viand(m, bits, vint(m, (UINT64_C(1) << 52) - 1));
    val y = vfloat(m, vior(m, mantissa_bits, vishl(m, viadd(m, rest, vint(m, 1023)), 52)));
    vpair p0 = vtwo_prod(m, y, vlookup(m, "vmath.turns.f64.0", turns_64_0, COUNT_OF(turns_64_0), row));
    vpair p1 = vtwo_prod(m, y, vlookup(m, "vmath.turns.f64.1", turns_64_1, COUNT_OF(turns_64_1), row));
    val p2 = vmul(m, y, vlookup(m, "vmath.turns.f64.2", turns_64_2, COUNT_OF(turns_64_2), row));
    val q = vround(m, p0.hi);
    vpair s = vtwo_sum(m, vsub(m, p0.hi, q), p0.lo);
    vpair u = vtwo_sum(m, s.hi, p1.hi);
    vpair t = vfast_two_sum(m, u.hi, vadd(m, vadd(m, u.lo, s.lo), vadd(m, p1.lo, p2)));
    vpair r = vpair_mul(m, t, vpair_num(m, pio2_dd));
    /* q < 2^18: its low bits stand at the bottom after adding 1.5 2^52. */
    return (quadrant){vbits(m, vadd(m, q, vnum(m, 0x1.8p52))), r};
}

/* Sine and cosine of r, |r| <= pi / 4 and a little. */
static val sin_kernel(const vm *m, vpair r) {
    val z = vmul(m, r.hi, r.hi);
    val cubic = vmul(m, vmul(m, z, r.hi), vpoly(m, z, sin));
    if (r.lo) cubic = vadd(m, cubic, vmul(m, r.lo, vmad(m, z, vnum(m, -0.5), vnum(m, 1))));
    return vadd(m, r.hi, cubic);
}

static val cos_kernel(const vm *m, vpair r) {
    val z = vmul(m, r.hi, r.hi);
    val half = vmul(m, z, vnum(m, 0.5));
    val base = vsub(m, vnum(m, 1), half);
    /* What 1 - half lost, exactly. */
    val lost = vsub(m, vsub(m, vnum(m, 1), base), half);
    if (r.lo) lost = vsub(m, lost, vmul(m, r.hi, r.lo));
    return vadd(m, base, vmad(m, vmul(m, z, z), vpoly(m, z, cos), lost));
}

static quadrant reduce(const vm *m, val x) {
    if (m->is64) return reduce_64(m, x);
    quadrant a = reduce_32(m, x);
    a.r.hi = vnarrow(m, a.r.hi);
    return a;
}

static val is_odd(const vm *m, val q) {
    return vieq(m, viand(m, q, vint(m, 1)), vint(m, 1));
}

/* The sign bit where bit 1 of q is set. */
static val flip(const vm *m, val q) {
    return vishl(m, vishr(m, viand(m, q, vint(m, 2)), 1), m->is64 ? 63 : 31);
}

static val patch_infinite(const vm *m, val x, val result) {
    return vsel(m, vlt(m, vabs(m, x), vinf(m)), result, vnan(m));
}

/* sin(|x|) from the quadrant, then x's sign. */
val vmath_sin(const vm *m, const val *a) {
    quadrant p = reduce(m, a[0]);
    val s = sin_kernel(m, p.r), c = cos_kernel(m, p.r);
    val value = vsel(m, is_odd(m, p.q), c, s);
    val sign = viand(m, vbits(m, a[0]), vbits(m, vnum(m, -0.0)));
    val result = vfloat(m, vixor(m, vixor(m, vbits(m, value), flip(m, p.q)), sign));
    val tiny = vlt(m, vabs(m, a[0]), vnum(m, m->is64 ? 0x1p-27 : 0x1p-13));
    return patch_infinite(m, a[0], vsel(m, tiny, a[0], result));
}

val vmath_cos(const vm *m, const val *a) {
    quadrant p = reduce(m, a[0]);
    val s = sin_kernel(m, p.r), c = cos_kernel(m, p.r);
    val value = vsel(m, is_odd(m, p.q), s, c);
    val next = viadd(m, p.q, vint(m, 1));
    return patch_infinite(m, a[0], vfloat(m, vixor(m, vbits(m, value), flip(m, next))));
}

/* f32 by way of f64 kernels: its reduction is exact enough there. */
val vmath_tan(const vm *m, const val *a) {
    const vm w = vm_f64(m);
    quadrant p = m->is64 ? reduce_64(m, a[0]) : reduce_32(m, a[0]);
    val s = sin_kernel(&w, p.r), c = cos_kernel(&w, p.r);
    val odd = is_odd(m, p.q);
    val value = vdiv(&w, vsel(m, odd, vneg(&w, c), s), vsel(m, odd, s, c));
    if (!m->is64) value = vnarrow(m, value);
    val sign = viand(m, vbits(m, a[0]), vbits(m, vnum(m, -0.0)));
    val result = vfloat(m, vixor(m, vbits(m, value), sign));
    val tiny = vlt(m, vabs(m, a[0]), vnum(m, m->is64 ? 0x1p-27 : 0x1p-13));
    return patch_infinite(m, a[0], vsel(m, tiny, a[0], result));
}
