/* Reference evaluation of the elementwise ops of two operands, and these ops as data: what
 * reductions, windows and scatter combine with.
 *
 * in:  two operands of one shape and dtype
 * out: one result of the same shape
 * law: floats are computed in f64 and rounded once; integers in 64 bits and cut. Every op is
 *      total: division by zero gives 0, counts outside the width shift everything out, max
 *      and min propagate NaN and order -0 below 0. Magnitudes are first-order error bounds:
 *      sums add, products cross-multiply.
 */
#include "ir/eval_state.h"

#include <math.h>

/* ---- Floats ---------------------------------------------------------------------------------- */

static double f_add(double a, double b) { return a + b; }
static double f_sub(double a, double b) { return a - b; }
static double f_mul(double a, double b) { return a * b; }
static double f_div(double a, double b) { return a / b; }
static double f_max(double a, double b) {
    if (isnan(a) || isnan(b)) return NAN;
    return a > b || (a == b && !signbit(a)) ? a : b;
}
static double f_min(double a, double b) {
    if (isnan(a) || isnan(b)) return NAN;
    return a < b || (a == b && signbit(a)) ? a : b;
}

/* Product in which an exact zero wins over an infinity. */
static double times(double a, double b) { return a == 0 || b == 0 ? 0 : fabs(a) * fabs(b); }

static double m_add(double a, double ma, double b, double mb, double y) { return (void)a, (void)b, (void)y, ma + mb; }
static double m_mul(double a, double ma, double b, double mb, double y) { return (void)y, times(ma, b) + times(a, mb); }
static double m_div(double a, double ma, double b, double mb, double y) {
    return (void)a, fabs(y) + (times(ma, 1) + times(y, mb)) / fabs(b);
}
static double m_pow(double a, double ma, double b, double mb, double y) {
    double from_base = ma == 0 || b == 0 ? 0 : fabs(b * ma / a),
           from_exponent = mb == 0 || a == 1 ? 0 : fabs(log(fabs(a)) * mb);
    return times(y, from_base) + times(y, from_exponent) + fabs(y);
}
static double m_greater(double a, double ma, double b, double mb, double y) {
    return (void)a, (void)b, (void)y, ma > mb || isnan(ma) ? ma : mb;
}
static double m_atan2(double a, double ma, double b, double mb, double y) {
    return (times(b, ma) + times(a, mb)) / (a * a + b * b) + fabs(y);
}

/* ---- Integers --------------------------------------------------------------------------------- */

typedef uint64_t u;

static int64_t i_add(int64_t a, int64_t b, int_type t) { return (void)t, (int64_t)((u)a + (u)b); }
static int64_t i_sub(int64_t a, int64_t b, int_type t) { return (void)t, (int64_t)((u)a - (u)b); }
static int64_t i_mul(int64_t a, int64_t b, int_type t) { return (void)t, (int64_t)((u)a * (u)b); }
static int64_t i_div(int64_t a, int64_t b, int_type t) {
    if (b == 0) return 0;
    if (!t.is_signed) return (int64_t)((u)a / (u)b);
    return b == -1 ? (int64_t)-(u)a : a / b;
}
static int64_t i_rem(int64_t a, int64_t b, int_type t) {
    if (b == 0) return 0;
    if (!t.is_signed) return (int64_t)((u)a % (u)b);
    return b == -1 ? 0 : a % b;
}
static int64_t i_pow(int64_t a, int64_t b, int_type t) {
    if (t.is_signed && b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
    u power = 1, square = (u)a;
    for (u rest = (u)b; rest; rest >>= 1, square *= square)
        if (rest & 1) power *= square;
    return (int64_t)power;
}
static bool i_less(int64_t a, int64_t b, int_type t) { return t.is_signed ? a < b : (u)a < (u)b; }
static int64_t i_max(int64_t a, int64_t b, int_type t) { return i_less(a, b, t) ? b : a; }
static int64_t i_min(int64_t a, int64_t b, int_type t) { return i_less(b, a, t) ? b : a; }
static int64_t i_and(int64_t a, int64_t b, int_type t) { return (void)t, a & b; }
static int64_t i_or(int64_t a, int64_t b, int_type t) { return (void)t, a | b; }
static int64_t i_xor(int64_t a, int64_t b, int_type t) { return (void)t, a ^ b; }
static int64_t i_shl(int64_t a, int64_t b, int_type t) { return (u)b < t.bits ? (int64_t)((u)a << b) : 0; }
static int64_t i_shr(int64_t a, int64_t b, int_type t) {
    bool is_negative = t.is_signed && a < 0;
    if ((u)b >= t.bits) return is_negative ? -1 : 0;
    return is_negative ? (int64_t)~(~(u)a >> b) : (int64_t)((u)a >> b);
}

/* ---- The table ----------------------------------------------------------------------------------- */

static const binary_row rows[TN_OP_COUNT] = {
    [TN_OP_add] = {f_add, i_add, m_add},     [TN_OP_sub] = {f_sub, i_sub, m_add},
    [TN_OP_mul] = {f_mul, i_mul, m_mul},     [TN_OP_div] = {f_div, i_div, m_div},
    [TN_OP_rem] = {fmod, i_rem, NULL},       [TN_OP_pow] = {pow, i_pow, m_pow},
    [TN_OP_max] = {f_max, i_max, m_greater}, [TN_OP_min] = {f_min, i_min, m_greater},
    [TN_OP_atan2] = {atan2, NULL, m_atan2},  [TN_OP_and] = {NULL, i_and, NULL},
    [TN_OP_or] = {NULL, i_or, NULL},         [TN_OP_xor] = {NULL, i_xor, NULL},
    [TN_OP_shl] = {NULL, i_shl, NULL},       [TN_OP_shr] = {NULL, i_shr, NULL},
};

const binary_row *eval_binary_row(tn_op op) { return &rows[op]; }

bool eval_binary(eval_args *c) {
    const binary_row *row = &rows[c->node->op];
    const eval_tensor *a = c->operands[0], *b = c->operands[1];
    eval_tensor *y = &c->results[0];
    bool is_float = dtype_is_float(y->dtype);
    int_type type = eval_int_type(y->dtype);
    if (a->n != y->n || b->n != y->n || a->dtype != y->dtype || b->dtype != y->dtype || (is_float ? !row->f : !row->i))
        return eval_error(c->state, TN_ERR_VERIFY, "not defined on %s of these shapes", tn_dtype_name(y->dtype));
    wide va[EVAL_CHUNK], vb[EVAL_CHUNK], v[EVAL_CHUNK];
    double ma[EVAL_CHUNK], mb[EVAL_CHUNK];
    for (int64_t first = 0; first < y->n; first += EVAL_CHUNK) {
        int64_t n = y->n - first < EVAL_CHUNK ? y->n - first : EVAL_CHUNK;
        eval_read(a, first, n, va);
        eval_read(b, first, n, vb);
        if (is_float)
            for (int64_t k = 0; k < n; k++) v[k].f = row->f(va[k].f, vb[k].f);
        else
            for (int64_t k = 0; k < n; k++) v[k].i = row->i(va[k].i, vb[k].i, type);
        eval_write(y, first, n, v);
        if (!y->magnitude) continue;
        eval_read_magnitudes(a, first, n, ma);
        eval_read_magnitudes(b, first, n, mb);
        for (int64_t k = 0; k < n; k++)
            y->magnitude[first + k] =
                row->magnitude ? row->magnitude(va[k].f, ma[k], vb[k].f, mb[k], v[k].f) : fabs(v[k].f);
    }
    return true;
}

/* ---- Folds -------------------------------------------------------------------------------------------- */

static const struct {
    tn_op op;
    double neutral;
} folds[] = {
    [REDUCE_SUM] = {TN_OP_add, 0},        [REDUCE_PROD] = {TN_OP_mul, 1}, [REDUCE_MAX] = {TN_OP_max, -INFINITY},
    [REDUCE_MIN] = {TN_OP_min, INFINITY}, [REDUCE_AND] = {TN_OP_and, 1},  [REDUCE_OR] = {TN_OP_or, 0},
};

bool eval_fold_of(reduce_kind kind, tn_dtype dtype, eval_fold *fold) {
    if ((size_t)kind >= sizeof folds / sizeof *folds) return false;
    *fold = (eval_fold){.row = &rows[folds[kind].op], .is_float = dtype_is_float(dtype), .type = eval_int_type(dtype)};
    if (fold->is_float) {
        fold->neutral.f = folds[kind].neutral;
        return fold->row->f != NULL;
    }
    /* The least and the greatest integer are what the infinities saturate to; all ones for and. */
    fold->neutral.i = kind == REDUCE_AND ? eval_wrap(-1, dtype)
                      : dtype == TN_BOOL ? folds[kind].neutral > 0
                                         : eval_float_to_int(folds[kind].neutral, dtype);
    return fold->row->i != NULL;
}

double eval_acc_growth(const eval_args *c) {
    tn_dtype to = c->results[0].dtype;
    tn_dtype acc = (tn_dtype)attr_int(&c->node->attrs, ATTR_acc, to);
    if (!dtype_is_float(acc) || !dtype_is_float(to)) return 1;
    double growth = eval_unit_roundoff(acc) / eval_unit_roundoff(to);
    return growth > 1 ? growth : 1;
}

double eval_folded_magnitude(double growth, double m, double y) { return fmax(growth * m, fabs(y)); }
