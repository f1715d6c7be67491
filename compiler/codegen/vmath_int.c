/* Total integer arithmetic: division, remainder, shifts and powers that no input can trap.
 *
 * Machines have no vector division of integers, but dividing floats of enough bits and cutting
 * off gives the same: for |x| < 2^w the exact quotient is at least 2^-w x / y off the next whole
 * number, more than the rounding of a format with w + 1 bits. So 16 bits go through f32 and 32
 * through f64; only 64-bit lanes are divided one by one.
 */
#include <stdio.h>

#include "compiler/codegen/vmath_build.h"

static val constant(val like, int64_t value) { return vsplat_int(LLVMTypeOf(like), (uint64_t)value); }

static unsigned width_of(val v) { return LLVMGetIntTypeWidth(velement_of(LLVMTypeOf(v))); }

static val equals(const vmath_ctx *c, val a, val b) { return LLVMBuildICmp(c->builder, LLVMIntEQ, a, b, ""); }

/* ---- Division --------------------------------------------------------------------------- */

/* x / y for y that is neither 0 nor, if signed, -1. */
static val divide(const vmath_ctx *c, bool is_signed, val x, val y) {
    LLVMBuilderRef b = c->builder;
    unsigned bits = width_of(x);
    bool in_floats = vlanes_of(x) > 0 && bits <= 32 && !LLVMIsConstant(y);
    if (!in_floats) return is_signed ? LLVMBuildSDiv(b, x, y, "") : LLVMBuildUDiv(b, x, y, "");
    LLVMContextRef context = LLVMGetModuleContext(c->module);
    LLVMTypeRef element = bits <= 16 ? LLVMFloatTypeInContext(context) : LLVMDoubleTypeInContext(context);
    LLVMTypeRef type = vvector(element, vlanes_of(x)), ints = LLVMTypeOf(x);
    if (is_signed) {
        val q = LLVMBuildFDiv(b, LLVMBuildSIToFP(b, x, type, ""), LLVMBuildSIToFP(b, y, type, ""), "");
        return LLVMBuildFPToSI(b, q, ints, "");
    }
    val q = LLVMBuildFDiv(b, LLVMBuildUIToFP(b, x, type, ""), LLVMBuildUIToFP(b, y, type, ""), "");
    return LLVMBuildFPToUI(b, q, ints, "");
}

static bool is_bool(val x) { return width_of(x) == 1; }

LLVMValueRef vmath_int_div(const vmath_ctx *c, bool is_signed, LLVMValueRef x, LLVMValueRef y) {
    LLVMBuilderRef b = c->builder;
    if (is_bool(x)) return LLVMBuildAnd(b, x, y, "");
    val zero = constant(x, 0), one = constant(x, 1);
    val by_zero = equals(c, y, zero);
    val by_minus_one = is_signed ? equals(c, y, constant(x, -1)) : NULL;
    val is_special = is_signed ? LLVMBuildOr(b, by_zero, by_minus_one, "") : by_zero;
    val q = divide(c, is_signed, x, LLVMBuildSelect(b, is_special, one, y, ""));
    if (is_signed) q = LLVMBuildSelect(b, by_minus_one, LLVMBuildSub(b, zero, x, ""), q, "");
    return LLVMBuildSelect(b, by_zero, zero, q, "");
}

/* x - (x / y) y, which is also right for y = -1; 0 for y = 0. */
LLVMValueRef vmath_int_rem(const vmath_ctx *c, bool is_signed, LLVMValueRef x, LLVMValueRef y) {
    LLVMBuilderRef b = c->builder;
    val zero = LLVMConstNull(LLVMTypeOf(x));
    if (is_bool(x)) return zero;
    val q = vmath_int_div(c, is_signed, x, y);
    val r = LLVMBuildSub(b, x, LLVMBuildMul(b, q, y, ""), "");
    return LLVMBuildSelect(b, equals(c, y, zero), zero, r, "");
}

/* ---- Shifts ----------------------------------------------------------------------------- */

typedef struct guarded {
    val in_range, count; /* count 0 where not in range */
} guarded;

static guarded guard(const vmath_ctx *c, val count) {
    val width = constant(count, (int64_t)width_of(count));
    val in_range = LLVMBuildICmp(c->builder, LLVMIntULT, count, width, "");
    return (guarded){in_range, LLVMBuildSelect(c->builder, in_range, count, constant(count, 0), "")};
}

LLVMValueRef vmath_shl(const vmath_ctx *c, LLVMValueRef x, LLVMValueRef count) {
    LLVMBuilderRef b = c->builder;
    if (is_bool(x)) return LLVMBuildAnd(b, x, LLVMBuildNot(b, count, ""), "");
    guarded g = guard(c, count);
    return LLVMBuildSelect(b, g.in_range, LLVMBuildShl(b, x, g.count, ""), constant(x, 0), "");
}

LLVMValueRef vmath_shr(const vmath_ctx *c, bool is_signed, LLVMValueRef x, LLVMValueRef count) {
    LLVMBuilderRef b = c->builder;
    if (is_bool(x)) return LLVMBuildAnd(b, x, LLVMBuildNot(b, count, ""), "");
    guarded g = guard(c, count);
    if (!is_signed) return LLVMBuildSelect(b, g.in_range, LLVMBuildLShr(b, x, g.count, ""), constant(x, 0), "");
    val most = constant(x, (int64_t)width_of(x) - 1);
    return LLVMBuildAShr(b, x, LLVMBuildSelect(b, g.in_range, g.count, most, ""), "");
}

/* ---- Powers ----------------------------------------------------------------------------- */

/* By squaring, until every lane's exponent is used up. */
static void fill_pow(const vmath_ctx *c, val function, LLVMTypeRef type) {
    LLVMContextRef context = LLVMGetModuleContext(c->module);
    LLVMBuilderRef b = c->builder;
    LLVMBasicBlockRef entry = LLVMAppendBasicBlockInContext(context, function, "entry");
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(context, function, "body");
    LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(context, function, "done");
    val x = LLVMGetParam(function, 0), y = LLVMGetParam(function, 1);
    val zero = LLVMConstNull(type), one = constant(x, 1);
    LLVMPositionBuilderAtEnd(b, entry);
    LLVMBuildBr(b, body);

    LLVMPositionBuilderAtEnd(b, body);
    val power = LLVMBuildPhi(b, type, "power"), base = LLVMBuildPhi(b, type, "base"),
        left = LLVMBuildPhi(b, type, "left");
    val odd = LLVMBuildICmp(b, LLVMIntNE, LLVMBuildAnd(b, left, one, ""), zero, "");
    val next_power = LLVMBuildSelect(b, odd, LLVMBuildMul(b, power, base, ""), power, "");
    val next_base = LLVMBuildMul(b, base, base, "");
    val next_left = LLVMBuildLShr(b, left, one, "");
    val any = LLVMBuildICmp(b, LLVMIntNE, next_left, zero, "");
    if (vlanes_of(x)) {
        LLVMTypeRef mask = LLVMIntTypeInContext(context, vlanes_of(x));
        any = LLVMBuildICmp(b, LLVMIntNE, LLVMBuildBitCast(b, any, mask, ""), LLVMConstNull(mask), "");
    }
    LLVMBuildCondBr(b, any, body, done);
    LLVMAddIncoming(power, (val[]){one, next_power}, (LLVMBasicBlockRef[]){entry, body}, 2);
    LLVMAddIncoming(base, (val[]){x, next_base}, (LLVMBasicBlockRef[]){entry, body}, 2);
    LLVMAddIncoming(left, (val[]){y, next_left}, (LLVMBasicBlockRef[]){entry, body}, 2);

    LLVMPositionBuilderAtEnd(b, done);
    LLVMBuildRet(b, next_power);
}

/* x^y for y taken as unsigned. */
static val unsigned_power(const vmath_ctx *c, val x, val y) {
    char name[48];
    snprintf(name, sizeof name, "vmath.pow.i%u.x%u", width_of(x), vlanes_of(x));
    LLVMTypeRef value_type = LLVMTypeOf(x);
    LLVMTypeRef type = LLVMFunctionType(value_type, (LLVMTypeRef[]){value_type, value_type}, 2, 0);
    val function = LLVMGetNamedFunction(c->module, name);
    if (!function) {
        function = LLVMAddFunction(c->module, name, type);
        LLVMSetLinkage(function, LLVMPrivateLinkage);
        target_mark_function(c->target, function);
        vmath_ctx inner = *c;
        inner.builder = LLVMCreateBuilderInContext(LLVMGetModuleContext(c->module));
        fill_pow(&inner, function, value_type);
        LLVMDisposeBuilder(inner.builder);
    }
    return LLVMBuildCall2(c->builder, type, function, (val[]){x, y}, 2, "");
}

LLVMValueRef vmath_int_pow(const vmath_ctx *c, bool is_signed, LLVMValueRef x, LLVMValueRef y) {
    LLVMBuilderRef b = c->builder;
    if (is_bool(x)) return LLVMBuildOr(b, x, LLVMBuildNot(b, y, ""), "");
    val power = unsigned_power(c, x, y);
    if (!is_signed) return power;
    /* A negative exponent leaves only 1 / 1 and 1 / -1 whole; its last bit gives the sign. */
    val zero = constant(x, 0), one = constant(x, 1), minus_one = constant(x, -1);
    val y_odd = LLVMBuildICmp(b, LLVMIntNE, LLVMBuildAnd(b, y, one, ""), zero, "");
    val of_minus_one = LLVMBuildSelect(b, y_odd, minus_one, one, "");
    val inverse = LLVMBuildSelect(b, equals(c, x, one), one, zero, "");
    inverse = LLVMBuildSelect(b, equals(c, x, minus_one), of_minus_one, inverse, "");
    return LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntSLT, y, zero, ""), inverse, power, "");
}
