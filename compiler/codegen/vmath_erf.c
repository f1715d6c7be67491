/* The error function.
 *
 * f32 takes 1 - e^u with a polynomial for u = log(erfc(x)), which keeps relative accuracy at 0.
 * f64 takes near 0 a polynomial times x, and further out 1 - erfc(x) with erfc(x) = exp(-x^2) /
 * (1 + 2 x) times a polynomial of (x - 4) / (x + 4) (the mapping of Schonfelder 1978 and of Shepherd
 * and Laframboise 1981). The subtraction makes all errors of erfc smaller, so exp(-x^2) needs no care.
 */
#include "compiler/codegen/vmath_build.h"
#include "compiler/codegen/vmath_coef.h"

static val erf_f32(const vm *m, val a) {
    val x = vmin(m, vnum(m, 3.95), vabs(m, a)); /* erf(3.95) rounds to 1 */
    val u = vmad(m, x, vpairs32(m, x, vmul(m, x, x), erfc_log), vneg(m, x));
    vdecay t = vdecay_f32(m, u);
    return vcopysign(m, vmad(m, vneg(m, t.rest), t.power, vsub(m, vnum(m, 1), t.power)), a);
}

static val erfc_f64(const vm *m, val x) {
    val y = vmin(m, vnum(m, 6), x);
    val four = vnum(m, 4), one = vnum(m, 1);
    val t = vdiv(m, vsub(m, y, four), vadd(m, y, four));
    val power = vneg(m, vmul(m, y, y));
    val scaled = vdiv(m, vmath_exp(m, &power), vadd(m, vadd(m, y, y), one));
    return vmul(m, scaled, vpoly64(m, t, erfc));
}

static val erf_f64(const vm *m, val a) {
    val x = vabs(m, a), one = vnum(m, 1);
    val near = vmad(m, x, vpoly64(m, vmul(m, x, x), erf), x);
    val far = vsub(m, one, erfc_f64(m, x));
    return vcopysign(m, vsel(m, vlt(m, x, one), near, far), a);
}

val vmath_erf(const vm *m, const val *a) { return m->is64 ? erf_f64(m, a[0]) : erf_f32(m, a[0]); }
