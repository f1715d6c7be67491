/* Sine, cosine, tangent for every argument.
 *
 * in:  x = m 2^e
 * law: x 2/pi = q + t with whole q and |t| <= 1/2 about, t accurate to twice the result's bits,
 *      also next to multiples of pi/2 and for the largest floats
 *
 * The reduction multiplies m, a whole number, by 2^e 2/pi mod 4, which a table holds for each e
 * (f32) or each 16th (f64), with more bits than m and cancellation use up (the idea of Payne and
 * Hanek 1983, in floating point). f32 does this in f64, where the main product is exact.
 */
#include "compiler/codegen/vmath_build.h"
#include "compiler/codegen/vmath_coef.h"

#define COUNT_OF(array) ((unsigned)(sizeof(array) / sizeof(array)[0]))

/* |x| = q pi/2 + r: q modulo 4 in the low bits of an integer of the float's width. */
typedef struct quadrant {
    val q;
    vpair r; /* f32: an f64 in hi alone */
} quadrant;

/* Biased exponent of |x|; 0 in place of that of infinities and NaN, which have no row in the
 * tables and whose results are patched. */
static val exponent_of(const vm *m, val bits) {
    val mask = vint(m, m->is64 ? 2047 : 255);
    val exponent = viand(m, vishr(m, bits, m->mantissa), mask);
    return vsel(m, vieq(m, exponent, mask), vint(m, 0), exponent);
}

static quadrant reduce_32(const vm *m, val x) {
    const vm w = vm_f64(m);
    val bits = vbits(m, x), row = exponent_of(m, bits);
    /* The mantissa as a whole number: 2^23 as exponent. */
    val mantissa = vfloat(m, vior(m, viand(m, bits, vint(m, 0x7fffff)), vbits(m, vnum(m, 0x1p23))));
    val whole = vwiden(m, mantissa);
    val high = vmul(&w, whole, vlookup(m, "vmath.turns.f32.0", turns_32_0, COUNT_OF(turns_32_0), row));
    val low = vlookup(m, "vmath.turns.f32.1", turns_32_1, COUNT_OF(turns_32_1), row);
    val q = vround(&w, vmad(&w, whole, low, high));
    val t = vmad(&w, whole, low, vsub(&w, high, q));
    val r = vmul(&w, t, vnum(&w, pio2_dd[0]));
    return (quadrant){LLVMBuildFPToSI(m->b, q, m->i, ""), {r, NULL}};
}

/* x modulo 4, exactly, in [-2, 2]. */
static val mod_4(const vm *m, val x) { return vsub(m, x, vmul(m, vround(m, vmul(m, x, vnum(m, 0.25))), vnum(m, 4))); }

static quadrant reduce_64(const vm *m, val x) {
    static const struct {
        const char *name;
        const double *parts;
    } tables[4] = {{"vmath.turns.f64.0", turns_64_0},
                   {"vmath.turns.f64.1", turns_64_1},
                   {"vmath.turns.f64.2", turns_64_2},
                   {"vmath.turns.f64.3", turns_64_3}};
    val bits = vbits(m, x), exponent = exponent_of(m, bits);
    val row = vishr(m, exponent, 4), rest = viand(m, exponent, vint(m, 15));
    /* The mantissa as a whole number times 2^rest. */
    val mantissa = viand(m, bits, vint(m, (UINT64_C(1) << 52) - 1));
    val y = vfloat(m, vior(m, mantissa, vishl(m, viadd(m, rest, vint(m, 1023 + 52)), 52)));
    vpair p[4];
    for (int i = 0; i < 4; i++)
        p[i] = vtwo_prod(m, y, vlookup(m, tables[i].name, tables[i].parts, COUNT_OF(turns_64_0), row));
    /* Below 2^71, 2^18, 2^18, 2^-35, 2^-35, 2^-88: p0.hi, p0.lo, p1.hi, p1.lo, p2.hi, p2.lo. */
    vpair a = vtwo_sum(m, mod_4(m, p[0].lo), mod_4(m, p[1].hi));
    vpair b = vtwo_sum(m, mod_4(m, p[0].hi), a.hi);
    vpair c = vtwo_sum(m, p[1].lo, p[2].hi);
    val q = vround(m, vadd(m, b.hi, c.hi));
    vpair d = vtwo_sum(m, vsub(m, b.hi, q), c.hi);
    vpair e = vtwo_sum(m, d.hi, b.lo);
    vpair f = vtwo_sum(m, e.hi, a.lo);
    val low = vadd(m, vadd(m, c.lo, d.lo), vadd(m, vadd(m, e.lo, f.lo), vadd(m, p[2].lo, p[3].hi)));
    vpair r = vpair_mul(m, vfast_two_sum(m, f.hi, low), vpair_num(m, pio2_dd));
    /* |q| <= 6: its low bits stand at the bottom after adding 1.5 2^52. */
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
    const vm w = vm_f64(m);
    quadrant a = reduce_32(m, x);
    val r = a.r.hi;
    a.r.hi = vnarrow(m, r);
    a.r.lo = vnarrow(m, vsub(&w, r, vwiden(m, a.r.hi)));
    return a;
}

static val is_odd(const vm *m, val q) { return vieq(m, viand(m, q, vint(m, 1)), vint(m, 1)); }

/* The sign bit where bit 1 of q is set. */
static val flip(const vm *m, val q) { return vishl(m, vishr(m, viand(m, q, vint(m, 2)), 1), m->is64 ? 63 : 31); }

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
