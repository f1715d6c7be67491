/* Divisions and choices of dim expressions.
 *
 * in:  i64 operands, scalars or vectors, and what is known of them
 * out: floordiv, ceildiv, mod, min, max
 * law: a divisor that is not known to be positive is taken as at least 1; so nothing traps, also
 *      where code was moved to a place at which it would not have run
 */
#include "compiler/codegen/emit_state.h"

/* ---- Arithmetic on scalars and vectors alike ---- */

static LLVMValueRef constant_like(LLVMValueRef like, int64_t value) {
    LLVMTypeRef type = LLVMTypeOf(like);
    bool is_vector = LLVMGetTypeKind(type) == LLVMVectorTypeKind;
    LLVMValueRef c = LLVMConstInt(is_vector ? LLVMGetElementType(type) : type, (unsigned long long)value, true);
    if (!is_vector) return c;
    LLVMValueRef items[256];
    unsigned n = LLVMGetVectorSize(type);
    for (unsigned i = 0; i < n && i < 256; i++) items[i] = c;
    return LLVMConstVector(items, n);
}

static LLVMValueRef safe_divisor(LLVMBuilderRef b, LLVMValueRef y, const emit_division *how) {
    if (how->divisor > 0 || how->is_positive) return y;
    LLVMValueRef one = constant_like(y, 1);
    LLVMValueRef above = LLVMBuildICmp(b, LLVMIntSGT, y, one, "");
    return LLVMBuildSelect(b, above, y, one, "divisor");
}

static int log2_exact(int64_t x) {
    for (int i = 0; i < 62; i++)
        if (x == INT64_C(1) << i) return i;
    return -1;
}

static LLVMValueRef floor_mod(LLVMBuilderRef b, LLVMValueRef x, LLVMValueRef y, const emit_division *how) {
    if (how->divisor > 0 && log2_exact(how->divisor) >= 0)
        return LLVMBuildAnd(b, x, constant_like(x, how->divisor - 1), "mod");
    y = safe_divisor(b, y, how);
    if (how->is_nonnegative) return LLVMBuildURem(b, x, y, "mod");
    LLVMValueRef r = LLVMBuildSRem(b, x, y, "");
    LLVMValueRef below = LLVMBuildICmp(b, LLVMIntSLT, r, constant_like(r, 0), "");
    return LLVMBuildAdd(b, r, LLVMBuildSelect(b, below, y, constant_like(y, 0), ""), "mod");
}

static LLVMValueRef floor_div(LLVMBuilderRef b, LLVMValueRef x, LLVMValueRef y, const emit_division *how) {
    int shift = how->divisor > 0 ? log2_exact(how->divisor) : -1;
    if (shift >= 0)
        return how->is_nonnegative ? LLVMBuildLShr(b, x, constant_like(x, shift), "quotient")
                                   : LLVMBuildAShr(b, x, constant_like(x, shift), "quotient");
    y = safe_divisor(b, y, how);
    if (how->is_nonnegative) return LLVMBuildUDiv(b, x, y, "quotient");
    LLVMValueRef q = LLVMBuildSDiv(b, x, y, "");
    LLVMValueRef r = LLVMBuildSub(b, x, LLVMBuildMul(b, q, y, ""), "");
    LLVMValueRef below = LLVMBuildICmp(b, LLVMIntSLT, r, constant_like(r, 0), "");
    return LLVMBuildAdd(b, q, LLVMBuildSExt(b, below, LLVMTypeOf(q), ""), "quotient");
}

/* ceildiv(x, y) = floordiv(x + y - 1, y). */
static LLVMValueRef ceil_div(LLVMBuilderRef b, LLVMValueRef x, LLVMValueRef y, const emit_division *how) {
    y = safe_divisor(b, y, how);
    LLVMValueRef up = LLVMBuildAdd(b, x, LLVMBuildSub(b, y, constant_like(y, 1), ""), "");
    emit_division known = {how->divisor, how->is_nonnegative, true};
    return floor_div(b, up, y, &known);
}

static LLVMValueRef choose(LLVMBuilderRef b, LLVMIntPredicate p, LLVMValueRef x, LLVMValueRef y, const char *name) {
    return LLVMBuildSelect(b, LLVMBuildICmp(b, p, x, y, ""), x, y, name);
}

LLVMValueRef emit_divide(LLVMBuilderRef b, dim_kind kind, LLVMValueRef x, LLVMValueRef y, const emit_division *how) {
    switch (kind) {
    case DIM_FLOORDIV: return floor_div(b, x, y, how);
    case DIM_CEILDIV: return ceil_div(b, x, y, how);
    case DIM_MOD: return floor_mod(b, x, y, how);
    case DIM_MIN: return choose(b, LLVMIntSLT, x, y, "min");
    default: return choose(b, LLVMIntSGT, x, y, "max");
    }
}

emit_division emit_division_of(dim_table *t, tn_dim x, tn_dim y, const dim_range *ranges, size_t n) {
    emit_division how = {0, dim_is_nonnegative(t, x, ranges, (int)n), false};
    if (!dim_is_const(t, y, &how.divisor)) {
        how.divisor = 0;
        how.is_positive = dim_is_nonnegative(t, dim_add_const(t, y, -1), ranges, (int)n);
    }
    return how;
}

/* ---- Quotients of consecutive numbers ---- */

/* What is known of lanes: x0 + stride * l divided by y, the same for all. */
typedef struct quotient {
    emit *e;
    int64_t stride;
    LLVMValueRef y; /* at least 1 */
    tn_dim divisor;
    LLVMValueRef first, rest; /* of lane 0: quotient and remainder */
} quotient;

static LLVMValueRef lane_vector(const quotient *q, LLVMTypeRef type, int64_t factor) {
    LLVMValueRef items[256];
    for (uint32_t l = 0; l < q->e->lanes; l++) items[l] = LLVMConstInt(type, l * (unsigned long long)factor, false);
    return LLVMConstVector(items, q->e->lanes);
}

/* How often a lane passes a multiple of y, when y reaches over all lanes: not or once. */
static LLVMValueRef one_wrap(const quotient *q) {
    emit *e = q->e;
    LLVMValueRef far = emit_const_i64(e, q->stride * e->lanes);
    LLVMValueRef left = LLVMBuildSub(e->builder, q->y, q->rest, "");
    left = choose(e->builder, LLVMIntSLT, left, far, "left");
    LLVMValueRef lanes = lane_vector(q, e->i32, q->stride);
    left = emit_splat(e, LLVMBuildTrunc(e->builder, left, e->i32, ""));
    LLVMValueRef wraps = LLVMBuildICmp(e->builder, LLVMIntUGE, lanes, left, "wraps");
    return LLVMBuildZExt(e->builder, wraps, LLVMTypeOf(lanes), "");
}

/* For a small y: (rest + stride * l + 1/2) / y in f32, which is exact enough below 2^22. */
static LLVMValueRef many_wraps(const quotient *q) {
    emit *e = q->e;
    LLVMTypeRef f32 = LLVMFloatTypeInContext(e->context);
    builder_place here = emit_enter_prologue(e, emit_dim_level(e, q->divisor));
    LLVMValueRef one = LLVMConstReal(f32, 1.0);
    LLVMValueRef y = LLVMBuildTrunc(e->builder, q->y, e->i32, "");
    LLVMValueRef inverse = LLVMBuildFDiv(e->builder, one, LLVMBuildSIToFP(e->builder, y, f32, ""), "inverse");
    builder_return(e->builder, here);
    LLVMValueRef rest = emit_splat(e, LLVMBuildTrunc(e->builder, q->rest, e->i32, ""));
    LLVMValueRef lanes = LLVMBuildAdd(e->builder, lane_vector(q, e->i32, q->stride), rest, "");
    LLVMTypeRef floats = LLVMVectorType(f32, e->lanes);
    LLVMValueRef middle = emit_splat(e, LLVMConstReal(f32, 0.5));
    LLVMValueRef x = LLVMBuildFAdd(e->builder, LLVMBuildSIToFP(e->builder, lanes, floats, ""), middle, "");
    x = LLVMBuildFMul(e->builder, x, emit_splat(e, inverse), "");
    return LLVMBuildFPToSI(e->builder, x, LLVMTypeOf(lanes), "wraps");
}

/* floordiv and mod of lanes that differ by a small constant, by a divisor that they share: one
 * scalar division in place of one each. NULL: not such a case. */
LLVMValueRef emit_quotient_lanes(emit *e, tn_dim d, uint32_t level) {
    enum { MAX_STRIDE = 64 };
    dim_kind kind = dim_kind_of(e->dims, d);
    quotient q = {.e = e};
    tn_dim x, stride;
    if (kind != DIM_FLOORDIV && kind != DIM_MOD) return NULL;
    dim_operands(e->dims, d, &x, &q.divisor);
    if (emit_dim_varies(e, q.divisor) || emit_lane_pattern(e, x, &stride) != LANES_STRIDED ||
        !dim_is_const(e->dims, stride, &q.stride) || q.stride < 1 || q.stride > MAX_STRIDE)
        return NULL;
    int64_t reach = q.stride * e->lanes;
    emit_division how = emit_division_of(e->dims, x, q.divisor, e->ranges, e->scopes[level].n_ranges);
    bool is_wide = how.divisor >= reach, is_narrow = how.divisor > 0 && !is_wide;
    builder_place here = emit_enter_prologue(e, emit_dim_level(e, q.divisor));
    q.y = emit_dim(e, q.divisor);
    if (how.divisor <= 0) q.y = safe_divisor(e->builder, q.y, &(emit_division){0, false, false});
    builder_return(e->builder, here);
    LLVMValueRef x0 = emit_dim(e, x);
    emit_division known = {how.divisor, how.is_nonnegative, true};
    q.first = floor_div(e->builder, x0, q.y, &known);
    q.rest = LLVMBuildSub(e->builder, x0, LLVMBuildMul(e->builder, q.first, q.y, ""), "rest");

    LLVMValueRef wraps;
    if (is_wide)
        wraps = one_wrap(&q);
    else if (is_narrow)
        wraps = many_wraps(&q);
    else {
        LLVMValueRef reaches = LLVMBuildICmp(e->builder, LLVMIntSGE, q.y, emit_const_i64(e, reach), "reaches");
        wraps = LLVMBuildSelect(e->builder, reaches, one_wrap(&q), many_wraps(&q), "wraps");
    }
    LLVMTypeRef wide = LLVMVectorType(e->i64, e->lanes);
    wraps = LLVMBuildZExt(e->builder, wraps, wide, "");
    if (kind == DIM_FLOORDIV) return LLVMBuildAdd(e->builder, emit_splat(e, q.first), wraps, "quotient");
    LLVMValueRef lanes = LLVMBuildAdd(e->builder, emit_splat(e, q.rest), lane_vector(&q, e->i64, q.stride), "");
    return LLVMBuildSub(e->builder, lanes, LLVMBuildMul(e->builder, wraps, emit_splat(e, q.y), ""), "mod");
}
