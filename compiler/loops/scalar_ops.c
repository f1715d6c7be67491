/* Elementwise ops on single elements (scalar.h): one row for each op, a column for each kind.
 *
 * f32 is computed in f32 where one IEEE operation is the whole op, so that the bits are those
 * of compiled code; the elementary functions go through f64 and libm.
 */
#include "compiler/loops/scalar.h"

#include <math.h>

/* One application. Integers are sign- or zero-extended in i[] and as they are in u[]. */
typedef struct application {
    tn_dtype dtype;
    bool is_signed;
    unsigned bits;
    int32_t compare;
    double f[3];
    float f32[3];
    int64_t i[3];
    uint64_t u[3];
} application;

/* ---- Floats: a result in f64 that is still to be rounded to the dtype ---- */

typedef double float_op(const application *a);

#define MATH(name, expression)                                                                                         \
    static double float_##name(const application *a) {                                                                 \
        double x = a->f[0];                                                                                            \
        return expression;                                                                                             \
    }
MATH(neg, -x)
MATH(abs, fabs(x))
MATH(sign, x > 0 ? 1 : x < 0 ? -1 : x)
MATH(floor, floor(x))
MATH(ceil, ceil(x))
MATH(round, nearbyint(x))
MATH(exp, exp(x))
MATH(exp2, exp2(x))
MATH(log, log(x))
MATH(log1p, log1p(x))
MATH(expm1, expm1(x))
MATH(sin, sin(x))
MATH(cos, cos(x))
MATH(tan, tan(x))
MATH(asin, asin(x))
MATH(acos, acos(x))
MATH(atan, atan(x))
MATH(sinh, sinh(x))
MATH(cosh, cosh(x))
MATH(tanh, tanh(x))
MATH(asinh, asinh(x))
MATH(acosh, acosh(x))
MATH(atanh, atanh(x))
MATH(erf, erf(x))
MATH(rsqrt, 1 / sqrt(x))
MATH(logistic, 1 / (1 + exp(-x)))
MATH(rem, fmod(x, a->f[1]))
MATH(pow, pow(x, a->f[1]))
MATH(atan2, atan2(x, a->f[1]))

/* One IEEE operation, in f64 or in f32. */
#define EXACT(name, on_f64, on_f32)                                                                                    \
    static double float_##name(const application *a) {                                                                 \
        const double *f = a->f;                                                                                        \
        const float *s = a->f32;                                                                                       \
        (void)f, (void)s;                                                                                              \
        return a->dtype == TN_F64 ? (on_f64) : (double)(on_f32);                                                       \
    }
EXACT(sqrt, sqrt(f[0]), sqrtf(s[0]))
EXACT(add, f[0] + f[1], s[0] + s[1])
EXACT(sub, f[0] - f[1], s[0] - s[1])
EXACT(mul, f[0] * f[1], s[0] * s[1])
EXACT(div, f[0] / f[1], s[0] / s[1])
EXACT(fma, fma(f[0], f[1], f[2]), fmaf(s[0], s[1], s[2]))

/* NaN when either is; of zeros the greater is +0. */
static double greater_of(double x, double y) {
    if (isnan(x) || isnan(y)) return NAN;
    if (x == y) return signbit(x) ? y : x;
    return x > y ? x : y;
}

static double lesser_of(double x, double y) {
    if (isnan(x) || isnan(y)) return NAN;
    if (x == y) return signbit(x) ? x : y;
    return x < y ? x : y;
}

static double float_max(const application *a) { return greater_of(a->f[0], a->f[1]); }
static double float_min(const application *a) { return lesser_of(a->f[0], a->f[1]); }
static double float_clamp(const application *a) { return lesser_of(greater_of(a->f[1], a->f[0]), a->f[2]); }

/* ---- Integers and bool: 64 bits that are still to be cut to the dtype ---- */

typedef uint64_t int_op(const application *a);

static bool is_less(const application *a, int x, int y) { return a->is_signed ? a->i[x] < a->i[y] : a->u[x] < a->u[y]; }

static uint64_t wrap_div(const application *a) {
    if (a->u[1] == 0) return 0;
    if (!a->is_signed) return a->u[0] / a->u[1];
    return a->i[1] == -1 ? 0 - a->u[0] : (uint64_t)(a->i[0] / a->i[1]);
}

static uint64_t wrap_rem(const application *a) {
    if (a->u[1] == 0) return 0;
    if (!a->is_signed) return a->u[0] % a->u[1];
    return a->i[1] == -1 ? 0 : (uint64_t)(a->i[0] % a->i[1]);
}

static uint64_t wrap_pow(const application *a) {
    uint64_t base = (uint64_t)a->i[0], result = 1, n = a->u[1];
    if (a->is_signed && a->i[1] < 0) return base == 1 ? 1 : a->i[0] == -1 ? (a->u[1] & 1 ? UINT64_MAX : 1) : 0;
    for (; n; n >>= 1, base *= base)
        if (n & 1) result *= base;
    return result;
}

static bool is_count(const application *a) {
    return a->is_signed ? a->i[1] >= 0 && a->i[1] < (int64_t)a->bits : a->u[1] < a->bits;
}

static uint64_t int_shr(const application *a) {
    if (!a->is_signed) return is_count(a) ? a->u[0] >> a->u[1] : 0;
    unsigned count = is_count(a) ? (unsigned)a->i[1] : 63;
    return a->i[0] < 0 ? ~(~(uint64_t)a->i[0] >> count) : (uint64_t)a->i[0] >> count;
}

static uint64_t int_popcount(const application *a) {
    uint64_t n = 0;
    for (uint64_t x = a->u[0]; x; x &= x - 1) n++;
    return n;
}

static uint64_t int_neg(const application *a) { return 0 - a->u[0]; }
static uint64_t int_abs(const application *a) { return a->is_signed && a->i[0] < 0 ? 0 - a->u[0] : a->u[0]; }
static uint64_t int_sign(const application *a) {
    return a->u[0] == 0 ? 0 : a->is_signed && a->i[0] < 0 ? UINT64_MAX : 1;
}
static uint64_t int_not(const application *a) { return ~a->u[0]; }
static uint64_t int_add(const application *a) { return a->u[0] + a->u[1]; }
static uint64_t int_sub(const application *a) { return a->u[0] - a->u[1]; }
static uint64_t int_mul(const application *a) { return a->u[0] * a->u[1]; }
static uint64_t int_fma(const application *a) { return a->u[0] * a->u[1] + a->u[2]; }
static uint64_t int_max(const application *a) { return is_less(a, 0, 1) ? a->u[1] : a->u[0]; }
static uint64_t int_min(const application *a) { return is_less(a, 0, 1) ? a->u[0] : a->u[1]; }
static uint64_t int_and(const application *a) { return a->u[0] & a->u[1]; }
static uint64_t int_or(const application *a) { return a->u[0] | a->u[1]; }
static uint64_t int_xor(const application *a) { return a->u[0] ^ a->u[1]; }
static uint64_t int_shl(const application *a) { return is_count(a) ? a->u[0] << a->u[1] : 0; }

static uint64_t int_clamp(const application *a) {
    int x = is_less(a, 1, 0) ? 0 : 1; /* max(low, x) */
    return is_less(a, 2, x) ? a->u[2] : a->u[x];
}

/* ---- The table ---- */

typedef struct op_row {
    float_op *on_float;
    int_op *on_int, *on_bool;
} op_row;

#define NONE NULL
static const op_row rows[TN_OP_COUNT] = {
#define ROW(op, on_float, on_int, on_bool) [TN_OP_##op] = {on_float, on_int, on_bool}
#define FLOAT_ROW(op) ROW(op, float_##op, NONE, NONE)
#define NUMBER_ROW(op, on_int) ROW(op, float_##op, on_int, NONE)
#define BITS_ROW(op) ROW(op, NONE, int_##op, int_##op)
    NUMBER_ROW(neg, int_neg),
    NUMBER_ROW(abs, int_abs),
    NUMBER_ROW(sign, int_sign),
    FLOAT_ROW(floor),
    FLOAT_ROW(ceil),
    FLOAT_ROW(round),
    FLOAT_ROW(exp),
    FLOAT_ROW(exp2),
    FLOAT_ROW(log),
    FLOAT_ROW(log1p),
    FLOAT_ROW(expm1),
    FLOAT_ROW(sqrt),
    FLOAT_ROW(rsqrt),
    FLOAT_ROW(sin),
    FLOAT_ROW(cos),
    FLOAT_ROW(tan),
    FLOAT_ROW(asin),
    FLOAT_ROW(acos),
    FLOAT_ROW(atan),
    FLOAT_ROW(sinh),
    FLOAT_ROW(cosh),
    FLOAT_ROW(tanh),
    FLOAT_ROW(asinh),
    FLOAT_ROW(acosh),
    FLOAT_ROW(atanh),
    FLOAT_ROW(erf),
    FLOAT_ROW(logistic),
    FLOAT_ROW(atan2),
    BITS_ROW(not),
    ROW(popcount, NONE, int_popcount, NONE),
    NUMBER_ROW(add, int_add),
    NUMBER_ROW(sub, int_sub),
    NUMBER_ROW(mul, int_mul),
    NUMBER_ROW(div, wrap_div),
    NUMBER_ROW(rem, wrap_rem),
    NUMBER_ROW(pow, wrap_pow),
    NUMBER_ROW(fma, int_fma),
    ROW(max, float_max, int_max, int_or),
    ROW(min, float_min, int_min, int_and),
    ROW(clamp, float_clamp, int_clamp, int_clamp),
    BITS_ROW(and),
    BITS_ROW(or),
    BITS_ROW(xor),
    ROW(shl, NONE, int_shl, NONE),
    ROW(shr, NONE, int_shr, NONE),
#undef ROW
#undef FLOAT_ROW
#undef NUMBER_ROW
#undef BITS_ROW
};
#undef NONE

static application prepare(tn_dtype dtype, int32_t compare, const uint64_t *operands) {
    application a = {dtype,
                     scalar_kind_of(dtype) == SCALAR_SINT,
                     dtype == TN_BOOL ? 1 : tn_dtype_bits(dtype),
                     compare,
                     {0, 0, 0},
                     {0, 0, 0},
                     {0, 0, 0},
                     {0, 0, 0}};
    for (int k = 0; k < 3; k++) {
        a.u[k] = operands[k];
        if (scalar_kind_of(dtype) == SCALAR_FLOAT) {
            a.f[k] = scalar_to_float(dtype, operands[k]);
            a.f32[k] = (float)a.f[k];
        } else
            a.i[k] = scalar_to_int(dtype, operands[k]);
    }
    return a;
}

static bool compare_with(const application *a) {
    bool is_float = scalar_kind_of(a->dtype) == SCALAR_FLOAT;
    bool less = is_float ? a->f[0] < a->f[1] : is_less(a, 0, 1);
    bool more = is_float ? a->f[0] > a->f[1] : is_less(a, 1, 0);
    bool equal = is_float ? a->f[0] == a->f[1] : a->u[0] == a->u[1];
    switch (a->compare) {
    case COMPARE_EQ: return equal;
    case COMPARE_NE: return !equal;
    case COMPARE_LT: return less;
    case COMPARE_LE: return less || equal;
    case COMPARE_GT: return more;
    default: return more || equal;
    }
}

/* Ops whose result has another dtype, or that look at no number. */
static bool special_op(tn_op op, const application *a, tn_dtype result_dtype, const uint64_t *operands,
                       uint64_t *result) {
    bool is_float = scalar_kind_of(a->dtype) == SCALAR_FLOAT;
    switch (op) {
    case TN_OP_select: *result = operands[operands[0] ? 1 : 2]; return true;
    case TN_OP_compare: *result = compare_with(a); return true;
    case TN_OP_is_nan: *result = isnan(a->f[0]) != 0; return is_float;
    case TN_OP_is_inf: *result = isinf(a->f[0]) != 0; return is_float;
    case TN_OP_convert: *result = scalar_convert(a->dtype, result_dtype, operands[0]); return true;
    case TN_OP_bitcast: *result = operands[0]; return true;
    default: return false;
    }
}

bool scalar_op(tn_op op, int32_t compare, tn_dtype dtype, tn_dtype result_dtype, const uint64_t *operands,
               uint64_t *result) {
    application a = prepare(dtype, compare, operands);
    if (special_op(op, &a, result_dtype, operands, result)) return true;
    const op_row *row = &rows[op];
    scalar_kind kind = scalar_kind_of(dtype);
    if (kind == SCALAR_FLOAT) {
        if (row->on_float) *result = scalar_from_float(dtype, row->on_float(&a));
        return row->on_float != NULL;
    }
    int_op *f = kind == SCALAR_BOOL ? row->on_bool : row->on_int;
    if (f) {
        uint64_t bits = f(&a);
        *result = kind == SCALAR_BOOL ? bits & 1 : scalar_from_int(dtype, (int64_t)bits);
    }
    return f != NULL;
}
