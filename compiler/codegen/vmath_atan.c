/* Inverse trigonometric functions, in f64; f32 goes through f64.
 *
 * asin and acos use one polynomial on [0, 1/2] and asin(x) = pi/2 - 2 asin(sqrt((1 - x) / 2))
 * beyond; atan uses one on [0, 1] and atan(x) = pi/2 - atan(1 / x) beyond.
 */
#include "compiler/codegen/vmath_build.h"
#include "compiler/codegen/vmath_coef.h"

/* pi/2 - v, and its low part. */
static val from_half_pi(const vm *m, val v) { return vadd(m, vsub(m, vnum(m, pio2_dd[0]), v), vnum(m, pio2_dd[1])); }

/* The argument of the polynomial for |x| = y: small ? y : sqrt((1 - y) / 2), with its square and
 * what rounding the root lost. */
typedef struct half_angle {
    val is_small, s, square, lost;
} half_angle;

static half_angle half_angle_of(const vm *m, val y) {
    half_angle h = {.is_small = vle(m, y, vnum(m, 0.5))};
    val z = vmul(m, vsub(m, vnum(m, 1), y), vnum(m, 0.5));
    val root = vsqrt(m, z);
    /* (z - root^2) / (2 root) is what must be added; 0 at the end where root = 0. */
    vpair p = vtwo_prod(m, root, root);
    val rest = vsub(m, vsub(m, z, p.hi), p.lo);
    val lost = vdiv(m, rest, vmax(m, vadd(m, root, root), vnum(m, 0x1p-1000)));
    h.s = vsel(m, h.is_small, y, root);
    h.square = vsel(m, h.is_small, vmul(m, y, y), z);
    h.lost = vsel(m, h.is_small, vnum(m, 0), lost);
    return h;
}

val vmath_asin(const vm *m, const val *a) {
    if (!m->is64) return vin_f64(m, vmath_asin, a, 1);
    val y = vabs(m, a[0]);
    half_angle h = half_angle_of(m, y);
    val rest = vmad(m, vmul(m, h.s, h.square), vpoly64(m, h.square, asin), h.lost);
    /* pi/2 - 2 (s + rest), the exact parts first. */
    vpair head = vfast_two_sum(m, vnum(m, pio2_dd[0]), vmul(m, h.s, vnum(m, -2)));
    val tail = vadd(m, head.lo, vsub(m, vnum(m, pio2_dd[1]), vadd(m, rest, rest)));
    val result = vsel(m, h.is_small, vadd(m, h.s, rest), vadd(m, head.hi, tail));
    return vcopysign(m, vsel(m, vgt(m, y, vnum(m, 1)), vnan(m), result), a[0]);
}

val vmath_acos(const vm *m, const val *a) {
    if (!m->is64) return vin_f64(m, vmath_acos, a, 1);
    val x = a[0], y = vabs(m, x);
    half_angle h = half_angle_of(m, y);
    val rest = vmad(m, vmul(m, h.s, h.square), vpoly64(m, h.square, asin), h.lost);
    val angle = vadd(m, h.s, rest);
    val is_negative = vlt(m, x, vnum(m, 0));
    /* Small: pi/2 - x - rest with x's sign on both. */
    vpair head = vtwo_sum(m, vnum(m, pio2_dd[0]), vneg(m, x));
    val small = vadd(m, head.hi, vadd(m, head.lo, vsub(m, vnum(m, pio2_dd[1]), vcopysign(m, rest, x))));
    val twice = vadd(m, angle, angle);
    vpair far = vfast_two_sum(m, vnum(m, 2 * pio2_dd[0]), vmul(m, h.s, vnum(m, -2)));
    val far_tail = vadd(m, far.lo, vsub(m, vnum(m, 2 * pio2_dd[1]), vadd(m, rest, rest)));
    val large = vsel(m, is_negative, vadd(m, far.hi, far_tail), twice);
    val result = vsel(m, h.is_small, small, large);
    return vsel(m, vgt(m, y, vnum(m, 1)), vnan(m), result);
}

/* atan of t in [0, 1]. */
static val atan_kernel(const vm *m, val t) {
    val z = vmul(m, t, t);
    return vmad(m, vmul(m, t, z), vpoly64(m, z, atan), t);
}

val vmath_atan(const vm *m, const val *a) {
    if (!m->is64) return vin_f64(m, vmath_atan, a, 1);
    val x = vabs(m, a[0]);
    val one = vnum(m, 1);
    val is_steep = vgt(m, x, one);
    val angle = atan_kernel(m, vdiv(m, vsel(m, is_steep, one, x), vsel(m, is_steep, x, one)));
    return vcopysign(m, vsel(m, is_steep, from_half_pi(m, angle), angle), a[0]);
}

/* The angle in the first octant, mirrored at the diagonal, at the y axis, at the x axis. */
val vmath_atan2(const vm *m, const val *a) {
    /* Once more the sign of the first, in f32: rounded on to f16, LLVM 22 would else round the
     * sign's operand from f64 by a library call. */
    if (!m->is64) return vcopysign(m, vin_f64(m, vmath_atan2, a, 2), a[0]);
    val y = vabs(m, a[0]), x = vabs(m, a[1]);
    val is_steep = vgt(m, y, x);
    val high = vsel(m, is_steep, y, x), low = vsel(m, is_steep, x, y);
    val t = vdiv(m, low, high);
    val both_zero = veq(m, high, vnum(m, 0));
    val both_infinite = veq(m, low, vinf(m));
    t = vsel(m, both_zero, vnum(m, 0), vsel(m, both_infinite, vnum(m, 1), t));
    val angle = atan_kernel(m, t);
    angle = vsel(m, is_steep, from_half_pi(m, angle), angle);
    val left = vadd(m, vsub(m, vnum(m, 2 * pio2_dd[0]), angle), vnum(m, 2 * pio2_dd[1]));
    val result = vcopysign(m, vsel(m, vis_negative(m, a[1]), left, angle), a[0]);
    val is_nan = LLVMBuildFCmp(m->b, LLVMRealUNO, a[0], a[1], "");
    return vsel(m, is_nan, vnan(m), result);
}
