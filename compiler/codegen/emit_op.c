/* Elementwise ops as code: one row for each op, one column for each kind of dtype.
 *
 * in:  operands in register form (f16 and bf16 as f32), scalars or vectors of one width
 * out: the result in register form, for each lane what ops.def says
 * law: total: nothing here traps. f16 and bf16 are rounded after each op whose result might not
 *      be one of theirs
 */
#include "compiler/codegen/emit_state.h"

#include <math.h>

#include "ir/dtype.h"
#include "ir/op.h"
#include "runtime/fault.h"

/* One application. */
typedef struct application {
    emit *e;
    LLVMBuilderRef b;
    tn_dtype dtype, result;
    bool is_signed;
    int32_t compare;
    const LLVMValueRef *x;
} application;

typedef LLVMValueRef op_emitter(const application *a);

static LLVMValueRef zero_of(LLVMValueRef like) { return LLVMConstNull(LLVMTypeOf(like)); }

static LLVMValueRef choose(const application *a, LLVMValueRef condition, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildSelect(a->b, condition, x, y, "");
}

static LLVMValueRef as_i8_lanes(const application *a, LLVMValueRef bit) {
    LLVMTypeRef element = LLVMTypeOf(a->x[0]);
    return LLVMBuildZExt(a->b, bit, element, "");
}

/* ---- Floats ---- */

#define FLOAT_MATH(name, ENUM)                                                                                         \
    static LLVMValueRef float_##name(const application *a) { return vmath_emit(&a->e->math, VMATH_##ENUM, a->x); }
FLOAT_MATH(abs, ABS)
FLOAT_MATH(sign, SIGN)
FLOAT_MATH(floor, FLOOR)
FLOAT_MATH(ceil, CEIL)
FLOAT_MATH(round, ROUND)
FLOAT_MATH(exp, EXP)
FLOAT_MATH(exp2, EXP2)
FLOAT_MATH(log, LOG)
FLOAT_MATH(log1p, LOG1P)
FLOAT_MATH(expm1, EXPM1)
FLOAT_MATH(sqrt, SQRT)
FLOAT_MATH(rsqrt, RSQRT)
FLOAT_MATH(sin, SIN)
FLOAT_MATH(cos, COS)
FLOAT_MATH(tan, TAN)
FLOAT_MATH(asin, ASIN)
FLOAT_MATH(acos, ACOS)
FLOAT_MATH(atan, ATAN)
FLOAT_MATH(sinh, SINH)
FLOAT_MATH(cosh, COSH)
FLOAT_MATH(tanh, TANH)
FLOAT_MATH(asinh, ASINH)
FLOAT_MATH(acosh, ACOSH)
FLOAT_MATH(atanh, ATANH)
FLOAT_MATH(erf, ERF)
FLOAT_MATH(logistic, LOGISTIC)
FLOAT_MATH(rem, REM)
FLOAT_MATH(pow, POW)
FLOAT_MATH(atan2, ATAN2)

static LLVMValueRef float_neg(const application *a) { return LLVMBuildFNeg(a->b, a->x[0], ""); }
static LLVMValueRef float_add(const application *a) { return LLVMBuildFAdd(a->b, a->x[0], a->x[1], ""); }
static LLVMValueRef float_sub(const application *a) { return LLVMBuildFSub(a->b, a->x[0], a->x[1], ""); }
static LLVMValueRef float_mul(const application *a) { return LLVMBuildFMul(a->b, a->x[0], a->x[1], ""); }
static LLVMValueRef float_div(const application *a) { return LLVMBuildFDiv(a->b, a->x[0], a->x[1], ""); }
static LLVMValueRef float_fma(const application *a) {
    if (FAULT(fma_operands)) return vmath_mad(&a->e->math, a->x[0], a->x[2], a->x[1]);
    return vmath_mad(&a->e->math, a->x[0], a->x[1], a->x[2]);
}

static LLVMValueRef float_is_nan(const application *a) {
    return LLVMBuildFCmp(a->b, LLVMRealUNO, a->x[0], a->x[0], "");
}

static LLVMValueRef float_is_inf(const application *a) {
    LLVMValueRef magnitude = vmath_emit(&a->e->math, VMATH_ABS, a->x);
    LLVMTypeRef type = LLVMTypeOf(magnitude);
    bool is_vector = emit_is_vector(magnitude);
    LLVMValueRef infinity = LLVMConstReal(is_vector ? LLVMGetElementType(type) : type, INFINITY);
    return LLVMBuildFCmp(a->b, LLVMRealOEQ, magnitude, is_vector ? emit_splat(a->e, infinity) : infinity, "");
}

static LLVMValueRef float_compare(const application *a) {
    static const LLVMRealPredicate predicates[] = {LLVMRealOEQ, LLVMRealUNE, LLVMRealOLT,
                                                   LLVMRealOLE, LLVMRealOGT, LLVMRealOGE};
    return LLVMBuildFCmp(a->b, predicates[a->compare], a->x[0], a->x[1], "");
}

/* Known to be no NaN: a constant (vectors of constants are splats). */
static bool is_number(LLVMValueRef v) {
    LLVMValueRef first = emit_is_vector(v) && LLVMIsConstant(v) ? LLVMGetAggregateElement(v, 0) : v;
    LLVMBool loses;
    return first && LLVMIsAConstantFP(first) && !isnan(LLVMConstRealGetDouble(first, &loses));
}

static LLVMValueRef nan_like(LLVMValueRef like) {
    LLVMTypeRef type = LLVMTypeOf(like);
    if (!emit_is_vector(like)) return LLVMConstReal(type, NAN);
    LLVMValueRef lanes[256], nan = LLVMConstReal(LLVMGetElementType(type), NAN);
    unsigned n = LLVMGetVectorSize(type);
    for (unsigned i = 0; i < n && i < 256; i++) lanes[i] = nan;
    return LLVMConstVector(lanes, n);
}

/* `y` where it is beyond `x`, else `x`: one instruction on x86, and NaN where x is. Then NaN
 * where y is, unless that cannot be; so the chain of a carried x is as short as can be. (A NaN
 * constant, as selecting y twice would be merged into slower masks.) The sign of zero is left open. */
static LLVMValueRef extreme(const application *a, LLVMRealPredicate beyond, LLVMValueRef x, LLVMValueRef y) {
    if (is_number(x) && !is_number(y)) return extreme(a, beyond, y, x);
    LLVMValueRef result = choose(a, LLVMBuildFCmp(a->b, beyond, y, x, ""), y, x);
    return is_number(y) ? result : choose(a, LLVMBuildFCmp(a->b, LLVMRealUNO, y, y, ""), nan_like(y), result);
}

static LLVMValueRef float_max(const application *a) { return extreme(a, LLVMRealOGT, a->x[0], a->x[1]); }
static LLVMValueRef float_min(const application *a) { return extreme(a, LLVMRealOLT, a->x[0], a->x[1]); }

/* min(max(x, low), high); operands low, x, high. A NaN anywhere gives NaN, as max and min do. */
static LLVMValueRef float_clamp(const application *a) {
    return extreme(a, LLVMRealOLT, extreme(a, LLVMRealOGT, a->x[1], a->x[0]), a->x[2]);
}

/* ---- Integers ---- */

static LLVMValueRef is_below(const application *a, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildICmp(a->b, a->is_signed ? LLVMIntSLT : LLVMIntULT, x, y, "");
}

static LLVMValueRef int_neg(const application *a) { return LLVMBuildNeg(a->b, a->x[0], ""); }
static LLVMValueRef int_not(const application *a) { return LLVMBuildNot(a->b, a->x[0], ""); }
static LLVMValueRef int_add(const application *a) { return LLVMBuildAdd(a->b, a->x[0], a->x[1], ""); }
static LLVMValueRef int_sub(const application *a) { return LLVMBuildSub(a->b, a->x[0], a->x[1], ""); }
static LLVMValueRef int_mul(const application *a) { return LLVMBuildMul(a->b, a->x[0], a->x[1], ""); }
static LLVMValueRef int_and(const application *a) { return LLVMBuildAnd(a->b, a->x[0], a->x[1], ""); }
static LLVMValueRef int_or(const application *a) { return LLVMBuildOr(a->b, a->x[0], a->x[1], ""); }
static LLVMValueRef int_xor(const application *a) { return LLVMBuildXor(a->b, a->x[0], a->x[1], ""); }
static LLVMValueRef int_div(const application *a) { return vmath_int_div(&a->e->math, a->is_signed, a->x[0], a->x[1]); }
static LLVMValueRef int_rem(const application *a) {
    return vmath_int_rem(&a->e->math, a->is_signed && !FAULT(int_rem_sign), a->x[0], a->x[1]);
}
static LLVMValueRef int_pow(const application *a) { return vmath_int_pow(&a->e->math, a->is_signed, a->x[0], a->x[1]); }
static LLVMValueRef int_shl(const application *a) { return vmath_shl(&a->e->math, a->x[0], a->x[1]); }
static LLVMValueRef int_shr(const application *a) { return vmath_shr(&a->e->math, a->is_signed, a->x[0], a->x[1]); }
static LLVMValueRef int_max(const application *a) { return choose(a, is_below(a, a->x[0], a->x[1]), a->x[1], a->x[0]); }
static LLVMValueRef int_min(const application *a) { return choose(a, is_below(a, a->x[0], a->x[1]), a->x[0], a->x[1]); }

static LLVMValueRef int_abs(const application *a) {
    if (!a->is_signed) return a->x[0];
    return choose(a, is_below(a, a->x[0], zero_of(a->x[0])), LLVMBuildNeg(a->b, a->x[0], ""), a->x[0]);
}

static LLVMValueRef int_sign(const application *a) {
    LLVMValueRef zero = zero_of(a->x[0]);
    LLVMValueRef positive = as_i8_lanes(a, is_below(a, zero, a->x[0]));
    if (!a->is_signed) return positive;
    return LLVMBuildSub(a->b, positive, as_i8_lanes(a, is_below(a, a->x[0], zero)), "");
}

static LLVMValueRef int_popcount(const application *a) {
    LLVMTypeRef type = LLVMTypeOf(a->x[0]);
    LLVMValueRef x = a->x[0];
    return emit_intrinsic(a->e, "llvm.ctpop", &type, 1, &x, 1, "");
}

static LLVMValueRef int_compare(const application *a) {
    static const LLVMIntPredicate predicates[2][6] = {
        {LLVMIntEQ, LLVMIntNE, LLVMIntULT, LLVMIntULE, LLVMIntUGT, LLVMIntUGE},
        {LLVMIntEQ, LLVMIntNE, LLVMIntSLT, LLVMIntSLE, LLVMIntSGT, LLVMIntSGE},
    };
    return LLVMBuildICmp(a->b, predicates[a->is_signed][a->compare], a->x[0], a->x[1], "");
}

static LLVMValueRef int_clamp(const application *a) {
    LLVMValueRef above = choose(a, is_below(a, a->x[1], a->x[0]), a->x[0], a->x[1]);
    return choose(a, is_below(a, a->x[2], above), a->x[2], above);
}

static LLVMValueRef int_fma(const application *a) {
    return LLVMBuildAdd(a->b, LLVMBuildMul(a->b, a->x[0], a->x[1], ""), a->x[2], "");
}

/* ---- Any dtype ---- */

static LLVMValueRef any_select(const application *a) { return choose(a, a->x[0], a->x[1], a->x[2]); }

static LLVMValueRef any_convert(const application *a) {
    return a->dtype == a->result ? a->x[0] : vmath_convert(&a->e->math, a->x[0], a->dtype, a->result);
}

static LLVMValueRef any_bitcast(const application *a) {
    unsigned lanes = emit_is_vector(a->x[0]) ? LLVMGetVectorSize(LLVMTypeOf(a->x[0])) : 0;
    LLVMValueRef memory = vmath_pack(&a->e->math, a->dtype, a->x[0]);
    LLVMTypeRef type = vmath_memory_type(a->e->context, a->result, lanes);
    return vmath_unpack(&a->e->math, a->result, LLVMBuildBitCast(a->b, memory, type, ""));
}

/* ---- The table ---- */

typedef struct op_row {
    op_emitter *on_float, *on_int, *on_bool;
    bool rounds; /* f16, bf16: the result must be rounded */
} op_row;

/* ROW(op, on floats, on integers, on bool, rounds) */
#define NONE NULL
static const op_row rows[TN_OP_COUNT] = {
#define ROW(op, on_float, on_int, on_bool, rounds) [TN_OP_##op] = {on_float, on_int, on_bool, rounds}
    ROW(neg, float_neg, int_neg, NONE, false),
    ROW(abs, float_abs, int_abs, NONE, false),
    ROW(sign, float_sign, int_sign, NONE, false),
    ROW(floor, float_floor, NONE, NONE, false),
    ROW(ceil, float_ceil, NONE, NONE, false),
    ROW(round, float_round, NONE, NONE, false),
    ROW(exp, float_exp, NONE, NONE, true),
    ROW(exp2, float_exp2, NONE, NONE, true),
    ROW(log, float_log, NONE, NONE, true),
    ROW(log1p, float_log1p, NONE, NONE, true),
    ROW(expm1, float_expm1, NONE, NONE, true),
    ROW(sqrt, float_sqrt, NONE, NONE, true),
    ROW(rsqrt, float_rsqrt, NONE, NONE, true),
    ROW(sin, float_sin, NONE, NONE, true),
    ROW(cos, float_cos, NONE, NONE, true),
    ROW(tan, float_tan, NONE, NONE, true),
    ROW(asin, float_asin, NONE, NONE, true),
    ROW(acos, float_acos, NONE, NONE, true),
    ROW(atan, float_atan, NONE, NONE, true),
    ROW(sinh, float_sinh, NONE, NONE, true),
    ROW(cosh, float_cosh, NONE, NONE, true),
    ROW(tanh, float_tanh, NONE, NONE, true),
    ROW(asinh, float_asinh, NONE, NONE, true),
    ROW(acosh, float_acosh, NONE, NONE, true),
    ROW(atanh, float_atanh, NONE, NONE, true),
    ROW(erf, float_erf, NONE, NONE, true),
    ROW(logistic, float_logistic, NONE, NONE, true),
    ROW(not, NONE, int_not, int_not, false),
    ROW(is_nan, float_is_nan, NONE, NONE, false),
    ROW(is_inf, float_is_inf, NONE, NONE, false),
    ROW(popcount, NONE, int_popcount, NONE, false),
    ROW(convert, any_convert, any_convert, any_convert, false),
    ROW(bitcast, any_bitcast, any_bitcast, NONE, false),
    ROW(add, float_add, int_add, NONE, true),
    ROW(sub, float_sub, int_sub, NONE, true),
    ROW(mul, float_mul, int_mul, NONE, true),
    ROW(div, float_div, int_div, NONE, true),
    ROW(rem, float_rem, int_rem, NONE, true),
    ROW(pow, float_pow, int_pow, NONE, true),
    ROW(max, float_max, int_max, int_or, false),
    ROW(min, float_min, int_min, int_and, false),
    ROW(atan2, float_atan2, NONE, NONE, true),
    ROW(and, NONE, int_and, int_and, false),
    ROW(or, NONE, int_or, int_or, false),
    ROW(xor, NONE, int_xor, int_xor, false),
    ROW(shl, NONE, int_shl, NONE, false),
    ROW(shr, NONE, int_shr, NONE, false),
    ROW(compare, float_compare, int_compare, int_compare, false),
    ROW(select, any_select, any_select, any_select, false),
    ROW(clamp, float_clamp, int_clamp, int_clamp, false),
    ROW(fma, float_fma, int_fma, NONE, true),
#undef ROW
};
#undef NONE

LLVMValueRef emit_op(emit *e, tn_op op, int32_t compare, tn_dtype operand, tn_dtype result, const LLVMValueRef *x) {
    const op_row *row = &rows[op];
    op_emitter *emitter = dtype_is_float(operand) ? row->on_float : operand == TN_BOOL ? row->on_bool : row->on_int;
    if (!emitter) {
        emit_fail(e, TN_ERR_UNSUPPORTED, "%s of %s has no code", op_name(op), tn_dtype_name(operand));
        return NULL;
    }
    application a = {e, e->builder, operand, result, dtype_in(DTYPES_SINT, operand), compare, x};
    LLVMValueRef value = emitter(&a);
    if (row->rounds && (operand == TN_F16 || operand == TN_BF16))
        value = vmath_convert(&e->math, value, TN_F32, operand);
    return value;
}

LLVMValueRef emit_const(emit *e, tn_dtype dtype, uint64_t bits) {
    LLVMTypeRef type = vmath_register_type(e->context, dtype, 0);
    if (!dtype_is_float(dtype)) return LLVMConstInt(type, dtype == TN_BOOL ? bits != 0 : bits, false);
    LLVMTypeRef memory = vmath_memory_type(e->context, dtype, 0);
    unsigned width = tn_dtype_bits(dtype);
    LLVMValueRef raw = LLVMConstInt(LLVMIntTypeInContext(e->context, width), bits, false);
    if (dtype == TN_F32 || dtype == TN_F64) return LLVMConstBitCast(raw, memory);
    return vmath_unpack(&e->math, dtype, raw);
}
