/* Reference evaluation of the elementwise ops of one operand.
 *
 * in:  one operand
 * out: one result of the same shape
 * law: floats are computed in f64 by the C library and rounded once; integers in 64 bits and
 *      cut. Magnitude |f'(x)| m(x) + |f(x)|: the operand's error carried on and the result's
 *      own; where f jumps, |f(x)| alone. Converting between floats of other precision rescales it,
 *      for a magnitude counts in units of its own dtype's roundoff.
 */
#include "ir/eval_state.h"

#include <math.h>
#include <string.h>

typedef struct unary_row {
    double (*f)(double x);
    double (*slope)(double x, double y); /* f'(x) where y = f(x); NULL: f jumps or is flat */
    int64_t (*i)(int64_t x, int_type type);
    bool tests; /* float to bool */
} unary_row;

static double f_neg(double x) { return -x; }
static double f_sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : x; }
static double f_rsqrt(double x) { return 1 / sqrt(x); }
static double f_logistic(double x) { return 1 / (1 + exp(-x)); }
static double f_is_nan(double x) { return isnan(x) != 0; }
static double f_is_inf(double x) { return isinf(x) != 0; }

static double d_one(double x, double y) { return (void)x, (void)y, 1; }
static double d_exp(double x, double y) { return (void)x, y; }
static double d_exp2(double x, double y) { return (void)x, y * 0.69314718055994530942; }
static double d_log(double x, double y) { return (void)y, 1 / x; }
static double d_log1p(double x, double y) { return (void)y, 1 / (1 + x); }
static double d_expm1(double x, double y) { return (void)x, y + 1; }
static double d_sqrt(double x, double y) { return (void)x, 0.5 / y; }
static double d_rsqrt(double x, double y) { return -0.5 * y / x; }
static double d_sin(double x, double y) { return (void)y, cos(x); }
static double d_cos(double x, double y) { return (void)y, -sin(x); }
static double d_tan(double x, double y) { return (void)x, 1 + y * y; }
static double d_asin(double x, double y) { return (void)y, 1 / sqrt(1 - x * x); }
static double d_atan(double x, double y) { return (void)y, 1 / (1 + x * x); }
static double d_sinh(double x, double y) { return (void)y, cosh(x); }
static double d_cosh(double x, double y) { return (void)y, sinh(x); }
static double d_tanh(double x, double y) { return (void)x, 1 - y * y; }
static double d_asinh(double x, double y) { return (void)y, 1 / sqrt(x * x + 1); }
static double d_acosh(double x, double y) { return (void)y, 1 / sqrt(x * x - 1); }
static double d_atanh(double x, double y) { return (void)y, 1 / (1 - x * x); }
static double d_erf(double x, double y) { return (void)y, 1.1283791670955126 * exp(-x * x); }
static double d_logistic(double x, double y) { return (void)x, y * (1 - y); }

static int64_t i_neg(int64_t x, int_type t) { return (void)t, (int64_t)-(uint64_t)x; }
static int64_t i_abs(int64_t x, int_type t) { return t.is_signed && x < 0 ? i_neg(x, t) : x; }
static int64_t i_sign(int64_t x, int_type t) { return t.is_signed ? (x > 0) - (x < 0) : x != 0; }
static int64_t i_not(int64_t x, int_type t) { return t.bits == 1 ? !x : ~x; }
static int64_t i_popcount(int64_t x, int_type t) {
    return __builtin_popcountll((unsigned long long)x & (UINT64_MAX >> (64 - t.bits)));
}

/*                  f           slope       integers     to bool */
static const unary_row rows[TN_OP_COUNT] = {
    [TN_OP_neg] = {f_neg, d_one, i_neg, false},
    [TN_OP_abs] = {fabs, d_one, i_abs, false},
    [TN_OP_sign] = {f_sign, NULL, i_sign, false},
    [TN_OP_floor] = {floor, NULL, NULL, false},
    [TN_OP_ceil] = {ceil, NULL, NULL, false},
    [TN_OP_round] = {rint, NULL, NULL, false},
    [TN_OP_exp] = {exp, d_exp, NULL, false},
    [TN_OP_exp2] = {exp2, d_exp2, NULL, false},
    [TN_OP_log] = {log, d_log, NULL, false},
    [TN_OP_log1p] = {log1p, d_log1p, NULL, false},
    [TN_OP_expm1] = {expm1, d_expm1, NULL, false},
    [TN_OP_sqrt] = {sqrt, d_sqrt, NULL, false},
    [TN_OP_rsqrt] = {f_rsqrt, d_rsqrt, NULL, false},
    [TN_OP_sin] = {sin, d_sin, NULL, false},
    [TN_OP_cos] = {cos, d_cos, NULL, false},
    [TN_OP_tan] = {tan, d_tan, NULL, false},
    [TN_OP_asin] = {asin, d_asin, NULL, false},
    [TN_OP_acos] = {acos, d_asin, NULL, false},
    [TN_OP_atan] = {atan, d_atan, NULL, false},
    [TN_OP_sinh] = {sinh, d_sinh, NULL, false},
    [TN_OP_cosh] = {cosh, d_cosh, NULL, false},
    [TN_OP_tanh] = {tanh, d_tanh, NULL, false},
    [TN_OP_asinh] = {asinh, d_asinh, NULL, false},
    [TN_OP_acosh] = {acosh, d_acosh, NULL, false},
    [TN_OP_atanh] = {atanh, d_atanh, NULL, false},
    [TN_OP_erf] = {erf, d_erf, NULL, false},
    [TN_OP_logistic] = {f_logistic, d_logistic, NULL, false},
    [TN_OP_not] = {NULL, NULL, i_not, false},
    [TN_OP_is_nan] = {f_is_nan, NULL, NULL, true},
    [TN_OP_is_inf] = {f_is_inf, NULL, NULL, true},
    [TN_OP_popcount] = {NULL, NULL, i_popcount, false},
};

/* The operand's error carried to the result, and the result's own. An exact operand adds
 * nothing, however steep f is. */
static double carried(double slope, double m, double y) { return (m == 0 ? 0 : fabs(slope) * m) + fabs(y); }

static void apply_float(const unary_row *row, const eval_tensor *x, eval_tensor *y) {
    wide v[EVAL_CHUNK], before[EVAL_CHUNK];
    double m[EVAL_CHUNK];
    for (int64_t first = 0; first < y->n; first += EVAL_CHUNK) {
        int64_t n = y->n - first < EVAL_CHUNK ? y->n - first : EVAL_CHUNK;
        eval_read(x, first, n, before);
        if (row->tests)
            for (int64_t k = 0; k < n; k++) v[k].i = row->f(before[k].f) != 0;
        else
            for (int64_t k = 0; k < n; k++) v[k].f = row->f(before[k].f);
        eval_write(y, first, n, v);
        if (!y->magnitude) continue;
        eval_read_magnitudes(x, first, n, m);
        for (int64_t k = 0; k < n; k++)
            y->magnitude[first + k] =
                row->slope ? carried(row->slope(before[k].f, v[k].f), m[k], v[k].f) : fabs(v[k].f);
    }
}

static void apply_int(const unary_row *row, const eval_tensor *x, eval_tensor *y) {
    wide v[EVAL_CHUNK];
    int_type type = eval_int_type(x->dtype);
    for (int64_t first = 0; first < y->n; first += EVAL_CHUNK) {
        int64_t n = y->n - first < EVAL_CHUNK ? y->n - first : EVAL_CHUNK;
        eval_read(x, first, n, v);
        for (int64_t k = 0; k < n; k++) v[k].i = row->i(v[k].i, type);
        eval_write(y, first, n, v);
    }
}

bool eval_unary(eval_args *c) {
    const unary_row *row = &rows[c->node->op];
    const eval_tensor *x = c->operands[0];
    eval_tensor *y = &c->results[0];
    bool is_float = dtype_is_float(x->dtype);
    if (x->n != y->n || (is_float ? !row->f : !row->i) || is_float != (dtype_is_float(y->dtype) || row->tests))
        return eval_error(c->state, TN_ERR_VERIFY, "not defined from %s to %s of these shapes", tn_dtype_name(x->dtype),
                          tn_dtype_name(y->dtype));
    if (is_float)
        apply_float(row, x, y);
    else
        apply_int(row, x, y);
    return true;
}

/* ---- convert and bitcast ------------------------------------------------------------------------ */

static void convert_chunk(const eval_tensor *x, eval_tensor *y, int64_t n, wide *v) {
    bool from_float = dtype_is_float(x->dtype), to_float = dtype_is_float(y->dtype);
    if (from_float && !to_float)
        for (int64_t k = 0; k < n; k++) v[k].i = eval_float_to_int(v[k].f, y->dtype);
    if (!from_float && to_float)
        for (int64_t k = 0; k < n; k++) v[k].f = eval_int_to_float(v[k].i, x->dtype == TN_U64, y->dtype);
}

static void convert_magnitudes(const eval_tensor *x, eval_tensor *y, int64_t first, int64_t n, const wide *v) {
    double m[EVAL_CHUNK], scale = eval_unit_roundoff(x->dtype) / eval_unit_roundoff(y->dtype);
    eval_read_magnitudes(x, first, n, m);
    for (int64_t k = 0; k < n; k++)
        y->magnitude[first + k] = scale == 0 ? fabs(v[k].f) : scale >= 1 ? scale * m[k] : scale * m[k] + fabs(v[k].f);
}

bool eval_convert(eval_args *c) {
    const eval_tensor *x = c->operands[0];
    eval_tensor *y = &c->results[0];
    wide v[EVAL_CHUNK];
    if (x->n != y->n) return eval_error(c->state, TN_ERR_VERIFY, "shapes differ");
    for (int64_t first = 0; first < y->n; first += EVAL_CHUNK) {
        int64_t n = y->n - first < EVAL_CHUNK ? y->n - first : EVAL_CHUNK;
        eval_read(x, first, n, v);
        convert_chunk(x, y, n, v);
        eval_write(y, first, n, v);
        if (y->magnitude) convert_magnitudes(x, y, first, n, v);
    }
    return true;
}

bool eval_bitcast(eval_args *c) {
    const eval_tensor *x = c->operands[0];
    eval_tensor *y = &c->results[0];
    if (x->n != y->n || eval_dtype_bytes(x->dtype) != eval_dtype_bytes(y->dtype))
        return eval_error(c->state, TN_ERR_VERIFY, "%s and %s differ in size", tn_dtype_name(x->dtype),
                          tn_dtype_name(y->dtype));
    if (y->n > 0) memcpy(y->data, x->data, (size_t)y->n * eval_dtype_bytes(y->dtype));
    for (int64_t k = 0; y->magnitude && k < y->n; k++) y->magnitude[k] = fabs(eval_load_float(y, k));
    return true;
}
