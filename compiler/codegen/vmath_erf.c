/* The error function.
 *
 * Near 0 a polynomial times x. Further out 1 - erfc(x): f32 takes a polynomial for log(erfc(x));
 * f64 takes erfc(x) = exp(-x^2) / (1 + 2 x) times a polynomial of (x - 4) / (x + 4) (the mapping of
 * Schonfelder 1978 and of Shepherd and Laframboise 1981). The subtraction makes all errors of
 * erfc smaller, so exp(-x^2) needs no care.
 */
#include "compiler/codegen/vmath_build.h"
#include "compiler/codegen/vmath_coef.h"

static val one_minus_erf_32(const vm *m, val x) {
    val y = vmin(m, vnum(m, 4.1), x); /* erf(4.1) rounds to 1 */
    val p = vpoly32(m, y, erfc_log);
    return vmath_exp(m, &p);
}

static val one_minus_erf_64(const vm *m, val x) {
    val y = vmin(m, vnum(m, 6), x);
    val four = vnum(m, 4), one = vnum(m, 1);
    val t = vdiv(m, vsub(m, y, four), vadd(m, y, four));
    val power = vneg(m, vmul(m, y, y));
    val scaled = vdiv(m, vmath_exp(m, &power), vadd(m, vadd(m, y, y), one));
    return vmul(m, scaled, vpoly64(m, t, erfc));
}

val vmath_erf(const vm *m, const val *a) {
    val x = vabs(m, a[0]);
    val z = vmul(m, x, x);
    val near = vmad(m, x, vpoly(m, z, erf), x);
    val far = vsub(m, vnum(m, 1), m->is64 ? one_minus_erf_64(m, x) : one_minus_erf_32(m, x));
    val is_near = vlt(m, x, vnum(m, m->is64 ? 1.0 : 0.9265));
    return vcopysign(m, vsel(m, is_near, near, far), a[0]);
}
