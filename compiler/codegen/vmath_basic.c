/* Functions that are an instruction or a few: roots, rounding, sign, extremes; and the remainder.
 */
#include <stdio.h>

#include "compiler/codegen/vmath_build.h"

val vmath_sqrt(const vm *m, const val *a) { return vsqrt(m, a[0]); }

val vmath_rsqrt(const vm *m, const val *a) { return vdiv(m, vnum(m, 1), vsqrt(m, a[0])); }

val vmath_floor(const vm *m, const val *a) { return vfloor(m, a[0]); }

val vmath_ceil(const vm *m, const val *a) { return vceil(m, a[0]); }

val vmath_round(const vm *m, const val *a) { return vround(m, a[0]); }

val vmath_trunc(const vm *m, const val *a) { return vtrunc(m, a[0]); }

val vmath_abs(const vm *m, const val *a) { return vabs(m, a[0]); }

val vmath_sign(const vm *m, const val *a) {
    val zero = vnum(m, 0);
    val negative = vsel(m, vlt(m, a[0], zero), vnum(m, -1), a[0]);
    return vsel(m, vgt(m, a[0], zero), vnum(m, 1), negative);
}

val vmath_max(const vm *m, const val *a) { return vmaximum(m, a[0], a[1]); }

val vmath_min(const vm *m, const val *a) { return vminimum(m, a[0], a[1]); }

/* ---- Remainder -------------------------------------------------------------------------- */

/* Long division, one bit a turn: `step` is |y| 2^j from the exponent of |x| down to |y|. All
 * operations are exact. The loop runs as often as the lane with the largest quotient has bits. */
static void fill_rem(vm *m, val function) {
    LLVMBasicBlockRef entry = LLVMAppendBasicBlockInContext(m->context, function, "entry");
    LLVMBasicBlockRef head = LLVMAppendBasicBlockInContext(m->context, function, "head");
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(m->context, function, "body");
    LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(m->context, function, "done");
    val x = LLVMGetParam(function, 0), y = LLVMGetParam(function, 1);

    LLVMPositionBuilderAtEnd(m->b, entry);
    val ax = vabs(m, x), ay = vabs(m, y);
    val zero = vnum(m, 0), one = vnum(m, 1);
    val valid = vand(m, vlt(m, ax, vinf(m)), vgt(m, ay, zero));
    val todo = vand(m, valid, vge(m, ax, ay));
    /* Small operands are scaled up, so that x is normal. */
    double up = m->is64 ? 0x1p56 : 0x1p28;
    val small = vlt(m, ax, vnum(m, m->min_normal * up));
    val scale = vsel(m, small, vnum(m, up), one);
    val r0 = vmul(m, ax, scale), divisor = vsel(m, todo, vmul(m, ay, scale), one);
    val normal = vsel(m, vlt(m, divisor, vnum(m, m->min_normal)), vmul(m, divisor, vnum(m, up)), divisor);
    val mantissa_mask = vint(m, (UINT64_C(1) << m->mantissa) - 1);
    val exponent_mask = vint(m, ((UINT64_C(1) << (m->is64 ? 11 : 8)) - 1) << m->mantissa);
    val exponent = viand(m, vbits(m, r0), exponent_mask);
    val top = vfloat(m, vior(m, exponent, viand(m, vbits(m, normal), mantissa_mask)));
    val step0 = vsel(m, todo, top, zero);
    LLVMBuildBr(m->b, head);

    LLVMPositionBuilderAtEnd(m->b, head);
    val r = LLVMBuildPhi(m->b, m->f, "r"), step = LLVMBuildPhi(m->b, m->f, "step");
    val active = vge(m, step, divisor);
    val any = active;
    if (m->lanes) {
        LLVMTypeRef mask = LLVMIntTypeInContext(m->context, m->lanes);
        any = LLVMBuildICmp(m->b, LLVMIntNE, LLVMBuildBitCast(m->b, active, mask, ""), LLVMConstNull(mask), "");
    }
    LLVMBuildCondBr(m->b, any, body, done);

    LLVMPositionBuilderAtEnd(m->b, body);
    val fits = vand(m, active, vge(m, r, step));
    val next = vsel(m, fits, vsub(m, r, step), r);
    val half = vmul(m, step, vnum(m, 0.5));
    LLVMBuildBr(m->b, head);
    LLVMAddIncoming(r, (val[]){r0, next}, (LLVMBasicBlockRef[]){entry, body}, 2);
    LLVMAddIncoming(step, (val[]){step0, half}, (LLVMBasicBlockRef[]){entry, body}, 2);

    LLVMPositionBuilderAtEnd(m->b, done);
    val result = vmul(m, r, vsel(m, small, vnum(m, 1 / up), one));
    result = vsel(m, valid, vcopysign(m, result, x), vnan(m));
    LLVMBuildRet(m->b, vsel(m, vis_nan(m, y), vnan(m), result));
}

val vmath_rem(const vm *m, const val *a) {
    char name[48];
    snprintf(name, sizeof name, "vmath.rem.f%d.x%u", m->is64 ? 64 : 32, m->lanes);
    LLVMTypeRef type = LLVMFunctionType(m->f, (LLVMTypeRef[]){m->f, m->f}, 2, 0);
    val function = LLVMGetNamedFunction(m->module, name);
    if (!function) {
        function = LLVMAddFunction(m->module, name, type);
        LLVMSetLinkage(function, LLVMPrivateLinkage);
        target_mark_function(m->target, function);
        vm inner = *m;
        inner.b = LLVMCreateBuilderInContext(m->context);
        fill_rem(&inner, function);
        LLVMDisposeBuilder(inner.b);
    }
    return LLVMBuildCall2(m->b, type, function, (val *)a, 2, "");
}
